package telling

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"grantline/shared/customer"
	"grantline/shared/delivery"
	"grantline/shared/entitlement"
	"grantline/shared/event"
	"grantline/shared/table"
	"grantline/shared/wallet"
)

// person is a customer as the tables have it.
type person struct {
	scope  table.Scope
	ref    string // our own id
	events []*written
	folded customer.State
	head   struct {
		Sequence int64
		Relayed  int64
		Into     string
		Sources  []entitlement.Source
	}
	waits   bool // its head has an entry
	wallets map[string]wallet.Wallet
	first   string    // the company's first id, "" of one who was merged or erased
	erased  time.Time // when the name was last taken away; zero while there is one
	unnamed bool      // it was, or may have been, without a name at some time
	touched bool
}

// written is an event as it was committed.
type written struct {
	id    string // under which it is told
	of    *person
	event event.Event
	when  time.Time // it was committed
	told  time.Time // first taken by anybody
	body  []byte    // in the format standard, as it was last found good
	names [2]string // that it has
	words string    // for the story
}

func (q *Quarter) person(partition string) *person {
	if p := q.people[partition]; p != nil {
		return p
	}
	parts := strings.SplitN(partition, "#", 3)
	p := &person{scope: table.Scope{Project: parts[0], Environment: parts[1]}, ref: parts[2], wallets: map[string]wallet.Wallet{}}
	q.people[partition] = p
	q.all = append(q.all, p)
	return p
}

// MessageID is the id under which a customer's event is told, for Told.
func MessageID(scope table.Scope, ref string, sequence int64) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "webhook|%s|%s|%s|%d", scope.Project, scope.Environment, ref, sequence))
	return "evt_" + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:])[:32])
}

// committed holds every commit against what it must keep.
func (q *Quarter) committed(writes []table.Write) {
	for _, w := range writes {
		if w.Change == table.Check {
			continue
		}
		switch w.Item.Key.Table {
		case table.Customers:
			q.customer(w)
		case table.Endpoints:
			q.endpoint(w)
		case table.Orders, table.Purchases, table.Subscriptions, table.Notices: // others watch them
		}
	}
	for _, w := range writes {
		if w.Item.Key.Table == table.Endpoints && w.Change != table.Check {
			q.moved(w, writes)
		}
	}
	for _, p := range q.touched {
		p.touched = false
		q.whole(p)
	}
	q.touched = q.touched[:0]
}

func (q *Quarter) touch(p *person) {
	if !p.touched {
		p.touched = true
		q.touched = append(q.touched, p)
	}
}

// customer takes one write of a customer's partition.
func (q *Quarter) customer(w table.Write) {
	key := w.Item.Key
	currency, isWallet := strings.CutPrefix(key.Sort, "#wallet#")
	number, isEvent := strings.CutPrefix(key.Sort, "event#")
	if !isWallet && !isEvent && key.Sort != "#head" && key.Sort != "#profile" {
		return
	}
	p := q.person(key.Partition)
	q.touch(p)
	read := func(into any) {
		if err := json.Unmarshal(w.Item.Data, into); err != nil {
			q.fail(Sound, "an item %s cannot be read: %v", key.Sort, err)
		}
	}
	switch {
	case isEvent:
		var r customer.Record
		read(&r)
		place := int64(len(p.events) + 1)
		if w.Change != table.Insert || r.Sequence != place || number != fmt.Sprintf("%012d", place) {
			q.fail(Numbered, "event %s of %s says that it is %d and is written over %d others", number, p.ref, r.Sequence, place-1)
			return
		}
		e := &written{id: MessageID(p.scope, p.ref, place), of: p, event: r.Event, when: q.w.Now(), words: fmt.Sprintf("%s#%d", p.ref[:10], place)}
		p.events, q.written[e.id] = append(p.events, e), e
		p.folded = p.folded.After(r)
	case key.Sort == "#head":
		p.head.Sources, p.head.Into = nil, ""
		was := p.head.Relayed
		read(&p.head)
		slices.SortFunc(p.head.Sources, byName)
		p.waits = w.Item.Index != nil
		if p.head.Relayed != was {
			q.relayed(p, was)
		}
	case isWallet:
		var is wallet.Wallet
		read(&is)
		if delete(p.wallets, currency); len(is.Lots) > 0 || is.Debt != 0 {
			p.wallets[currency] = is
		}
	default:
		var profile struct {
			ID     string
			Others map[string]string
		}
		if w.Change != table.Remove {
			read(&profile)
		}
		p.first = profile.ID
		switch {
		case p.first != "":
			p.erased = time.Time{}
			for ref := range profile.Others { // the order decides nothing
				if o := q.people[p.scope.Key(ref)]; o != nil {
					o.erased = time.Time{}
				}
			}
		case w.Change != table.Remove:
			for _, o := range q.all { // and whoever was merged into it, who gets no name again
				if o.scope == p.scope && q.stands(o) == p && o.erased.IsZero() {
					o.unnamed, o.erased = true, q.w.Now()
				}
			}
		}
	}
}

// stands is for whom a customer stands by now: itself, or whom it was merged into in the end.
func (q *Quarter) stands(p *person) *person {
	for range 60 {
		next := q.people[p.scope.Key(cmp.Or(p.head.Into, p.ref))]
		if next == nil || next == p {
			break
		}
		p = next
	}
	return p
}

func byName(a, b entitlement.Source) int {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Provider, b.Provider), cmp.Compare(a.Ref, b.Ref), cmp.Compare(a.Entitlement, b.Entitlement))
}

// whole holds a customer after a commit against its log.
func (q *Quarter) whole(p *person) {
	if n := int64(len(p.events)); p.head.Sequence != n {
		q.fail(Numbered, "%s has %d events, and its head counts %d", p.ref, n, p.head.Sequence)
	}
	sameSource := func(a, b entitlement.Source) bool {
		same := a.Until.Equal(b.Until)
		a.Until, b.Until = time.Time{}, time.Time{}
		return same && a == b
	}
	if !slices.EqualFunc(p.head.Sources, p.folded.Sources, sameSource) {
		q.fail(Folded, "%s is given %+v, and its events come to %+v", p.ref, p.head.Sources, p.folded.Sources)
	}
	same := len(p.wallets) == len(p.folded.Wallets)
	for currency, is := range p.wallets {
		of := p.folded.Wallets[currency]
		same = same && is.Debt == of.Debt && slices.EqualFunc(is.Lots, of.Lots, sameLot)
	}
	if !same {
		q.fail(Folded, "%s holds %+v, and its events come to %+v", p.ref, p.wallets, p.folded.Wallets)
	}
	if !p.waits && p.head.Relayed < p.head.Sequence {
		q.fail(Entered, "of %s %d of %d events were handed on, and nothing leads back to it", p.ref, p.head.Relayed, p.head.Sequence)
	}
}

func sameLot(a, b wallet.Lot) bool {
	if (a.ExpiresAt == nil) != (b.ExpiresAt == nil) || a.ExpiresAt != nil && !a.ExpiresAt.Equal(*b.ExpiresAt) || !a.CameAt.Equal(b.CameAt) {
		return false
	}
	a.ExpiresAt, b.ExpiresAt, a.CameAt, b.CameAt = nil, nil, time.Time{}, time.Time{}
	return a == b
}

// named says whether the company's id may be told as a customer's, by a request that was made
// not long before now.
func (q *Quarter) named(p *person, id string) bool {
	if id != "" {
		ref, err := q.identity.Ref(context.Background(), p.scope, id)
		// Who comes again after being erased, under another of its ids, has that as its first.
		o := q.people[p.scope.Key(ref)]
		return err == nil && (ref == p.ref || id == p.first || o != nil && q.stands(o) == q.stands(p))
	}
	return p.unnamed
}

// standard is the body in the format standard, with the names that it has to have.
func (e *written) standard(customerID, otherID string) ([]byte, error) {
	told := customer.Told{Event: e.event, OtherCustomerID: otherID}
	told.Other = ""
	return json.Marshal(delivery.Payload{
		Type: e.event.Type, Timestamp: e.event.At.UTC(),
		Data: delivery.Data{CustomerID: customerID, Project: e.of.scope.Project, Environment: e.of.scope.Environment, Told: told},
	})
}

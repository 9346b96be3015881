package rebuild

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"grantline/shared/customer"
	"grantline/shared/entitlement"
	"grantline/shared/event"
	"grantline/shared/table"
	"grantline/shared/wallet"
)

// life is what a customer's events come to, and what they say of orders on the way.
type life struct {
	state   customer.State
	events  int
	last    int64              // the last number
	sums    map[string]int64   // of each currency's entries
	uneven  map[string]bool    // currencies with an entry that says another sum so far
	credits map[string]int64   // of the entries of each order
	orders  map[string]bool    // that events and sources are of
	given   map[agreement]bool // what was ever given
	carried map[string]bool    // currencies whose ledger is younger than they are
	found   []Finding
}

// agreement names what gives something: a purchase's line or a part of it, or a subscription.
type agreement struct{ kind, provider, ref string }

func newLife() *life {
	return &life{
		sums: map[string]int64{}, uneven: map[string]bool{}, credits: map[string]int64{}, orders: map[string]bool{},
		given: map[agreement]bool{}, carried: map[string]bool{},
	}
}

const (
	schema     = 1 // of a customer's items; see package customer
	eventSort  = "event#"
	headSort   = "#head"
	walletSort = "#wallet#"
)

func eventKey(sequence int64) string { return fmt.Sprintf("%s%012d", eventSort, sequence) }

// read takes one more event, in the order of their keys.
func (l *life) read(item table.Item) {
	l.events++
	place := l.last + 1
	var r customer.Record
	if item.Schema > schema || json.Unmarshal(item.Data, &r) != nil {
		l.found = append(l.found, Finding{Kind: Unreadable})
		l.last = place
		return
	}
	if item.Key.Sort != eventKey(place) {
		l.found = append(l.found, Finding{Kind: MissingEvent})
		if _, err := fmt.Sscanf(item.Key.Sort, eventSort+"%d", &place); err != nil {
			place = l.last + 1
		}
	}
	if r.Sequence != place {
		l.found = append(l.found, Finding{Kind: Misnumbered})
	}
	l.last = place
	l.state = l.state.After(r)
	l.state.Sequence = place
	l.note(r)
}

// note remembers what a record says of orders and sums.
func (l *life) note(r customer.Record) {
	for _, id := range []string{r.OrderID, r.OtherOrderID} {
		if id != "" {
			l.orders[id] = true
		}
	}
	for _, s := range r.Changes.Sources {
		l.given[agreement{s.Kind, s.Provider, s.Ref}] = true
		if s.OrderID != "" {
			l.orders[s.OrderID] = true
		}
	}
	for _, m := range r.Changes.Wallet {
		l.sums[m.Currency] += m.Entry.Amount
		if l.sums[m.Currency] != m.Entry.Balance {
			l.uneven[m.Currency] = true
		}
		switch m.Entry.Kind {
		case wallet.Credited, wallet.TakenBack, wallet.GivenBack:
			l.credits[orderOf(r.Event, m.Entry)] += m.Entry.Amount
		case wallet.CarriedOver:
			l.carried[m.Currency] = true
		case wallet.Spent, wallet.Unspent, wallet.Expired, wallet.MovedIn, wallet.MovedOut:
		}
	}
}

// orderOf is the order that an entry is of. One that only moved the debt names no lot, and is
// of the order that its event tells of.
func orderOf(e event.Event, entry wallet.Entry) string {
	if len(entry.Parts) > 0 {
		return entry.Parts[0].Lot.OrderID
	}
	return e.OrderID
}

// byName is the order of a state's sources.
func byName(a, b entitlement.Source) int {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Provider, b.Provider), cmp.Compare(a.Ref, b.Ref), cmp.Compare(a.Entitlement, b.Entitlement))
}

// live is what a customer's own records say.
type live struct {
	there    bool // it has a head
	revision int64
	state    customer.State
	into     string   // whom it was merged into
	merged   []string // who were merged into it, and names of it
	logged   bool     // its events have all of its sources
	unlogged map[string]bool
	found    []Finding
}

// head is what is kept of one beside what is somebody else's business.
type head struct {
	Sequence int64                `json:"sequence"`
	Sources  []entitlement.Source `json:"sources"`
	Into     string               `json:"into,omitempty"`
	Merged   []string             `json:"merged,omitempty"`
	Logged   bool                 `json:"logged,omitempty"`
}

type kept struct {
	wallet.Wallet
	Logged bool `json:"logged,omitempty"`
}

func newLive() *live {
	return &live{state: customer.State{Wallets: map[string]wallet.Wallet{}}, unlogged: map[string]bool{}}
}

// read takes one item of the customer's, other than its events.
func (l *live) read(item table.Item) {
	unreadable := func(into any) bool {
		bad := item.Schema > schema || json.Unmarshal(item.Data, into) != nil
		if bad {
			l.found = append(l.found, Finding{Kind: Unreadable})
		}
		return bad
	}
	currency, isWallet := strings.CutPrefix(item.Key.Sort, walletSort)
	switch {
	case item.Key.Sort == headSort:
		l.there, l.revision = true, item.Revision
		var h head
		if unreadable(&h) {
			return
		}
		l.state.Sequence, l.state.Sources = h.Sequence, h.Sources
		slices.SortFunc(l.state.Sources, byName)
		l.into, l.merged, l.logged = h.Into, h.Merged, h.Logged
	case isWallet:
		var w kept
		if unreadable(&w) {
			return
		}
		if w.Debt != 0 || len(w.Lots) > 0 {
			l.state.Wallets[currency] = w.Wallet
		}
		l.unlogged[currency] = !w.Logged
	}
}

// older says that the events do not have all of what the customer holds.
func (l *live) older() bool {
	if !l.logged && len(l.state.Sources) > 0 {
		return true
	}
	for currency, unlogged := range l.unlogged {
		if _, holds := l.state.Wallets[currency]; unlogged && holds {
			return true
		}
	}
	return false
}

package rebuild

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"grantline/shared/billing"
	"grantline/shared/entitlement"
	"grantline/shared/fault"
	"grantline/shared/purchase"
	"grantline/shared/table"
)

func orderKey(scope table.Scope, id string) table.Key {
	return table.Key{Table: table.Orders, Partition: scope.Key(id)}
}

// absent finds orders that a customer's events, or what it is given, are of and that are not
// there. An order is never removed.
func (w *walk) absent(ctx context.Context, h holder, is *live, was *life) ([]Finding, error) {
	ids := maps.Clone(was.orders)
	for _, s := range is.state.Sources {
		if s.OrderID != "" {
			ids[s.OrderID] = true
		}
	}
	var found []Finding
	for some := range slices.Chunk(slices.Sorted(maps.Keys(ids)), orderStretch) {
		keys := make([]table.Key, len(some))
		for i, id := range some {
			keys[i] = orderKey(h.scope, id)
		}
		items, err := w.Tables.GetAll(ctx, keys)
		if err != nil {
			return nil, fmt.Errorf("rebuild: orders: %w", err)
		}
		for i, id := range some {
			if !slices.ContainsFunc(items, func(item table.Item) bool { return item.Key == keys[i] }) {
				found = append(found, Finding{Kind: NoSuchOrder, Customer: h.ref, Order: OrderHash(id)})
			}
		}
	}
	return found, nil
}

// order is what is compared of one, a purchase's or a charge's.
type order struct {
	id       string
	holder   holder
	currency string // of a wallet, if it credited any
	credited int64  // less what was taken back
	gives    []agreement
	refunded bool
}

// readOrder is false for one that is nobody's, or gave nothing that could be compared.
func readOrder(item table.Item) (order, bool, error) {
	scope, _, ok := scoped(item.Key.Partition)
	if !ok {
		return order{}, false, errUnreadable
	}
	var of struct {
		Kind string `json:"kind"`
	}
	if err := json.Unmarshal(item.Data, &of); err != nil {
		return order{}, false, errUnreadable
	}
	switch of.Kind {
	case purchase.OrderKind:
		o, err := purchase.DecodeOrder(item)
		if err != nil {
			return order{}, false, errUnreadable
		}
		is := order{id: o.ID, holder: holder{scope, o.Customer}, currency: o.Currency, credited: o.Credited - o.TakenBack}
		if o.Entitlement != "" {
			is.refunded = o.State == purchase.OrderRefunded
			if o.State == purchase.OrderGranted && !o.Replaced {
				is.gives = []agreement{{entitlement.KindPurchase, o.Store, o.Line}}
			}
		}
		return is, o.Customer != "", nil
	case billing.ChargeKind:
		c, err := billing.DecodeCharge(item)
		if err != nil {
			return order{}, false, errUnreadable
		}
		is := order{id: c.ID, holder: holder{scope, c.Customer}}
		if c.State == billing.Paid && !c.OnDemand {
			is.gives = []agreement{{entitlement.KindSubscription, c.Gateway, c.Subscription}}
		}
		return is, c.Customer != "", nil
	}
	return order{}, false, errUnreadable
}

var errUnreadable = errors.New("rebuild: an item that cannot be read")

// group is a customer and all who were merged into it: what one of them bought another may
// have to give back.
type group struct {
	there   bool
	moving  bool
	logged  bool
	carried map[string]bool // currencies whose ledgers do not have all
	credits map[string]int64
	given   map[agreement]bool
	sources []entitlement.Source
}

// judge finds where an order and its customer's events differ.
func judge(o order, g *group) (Kind, bool) {
	switch {
	case !g.there:
		return NoSuchCustomer, true
	case g.moving:
		return Unsettled, true
	case !g.carried[o.currency] && g.credits[o.id] != o.credited:
		return WrongCredit, true
	case g.logged && slices.ContainsFunc(o.gives, func(a agreement) bool { return !g.gave(a) }):
		return NeverGiven, true
	case o.refunded && slices.ContainsFunc(g.sources, func(s entitlement.Source) bool { return s.OrderID == o.id && s.State != entitlement.Ended }):
		return StillGiven, true
	}
	return "", false
}

// gave says whether an agreement, or a part of it, ever gave anything.
func (g *group) gave(a agreement) bool {
	if g.given[a] {
		return true
	}
	for o := range g.given {
		if o.kind == a.kind && o.provider == a.provider && strings.HasPrefix(o.ref, a.ref+"/") {
			return true
		}
	}
	return false
}

// orders compares orders with the events of their customers.
func (w *walk) orders(ctx context.Context, partitions []string, report *Report) error {
	keys := make([]table.Key, len(partitions))
	for i, partition := range partitions {
		keys[i] = table.Key{Table: table.Orders, Partition: partition}
	}
	for some := range slices.Chunk(keys, orderStretch) {
		items, err := w.Tables.GetAll(ctx, some)
		if err != nil {
			return fmt.Errorf("rebuild: orders: %w", err)
		}
		for _, item := range items {
			if err := w.order(ctx, item, report); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *walk) order(ctx context.Context, item table.Item, report *Report) error {
	report.Orders++
	for try := range mostTries {
		o, somebodys, err := readOrder(item)
		if err != nil {
			_, id, _ := scoped(item.Key.Partition)
			report.add(Finding{Kind: Unreadable, Order: OrderHash(id)})
			return nil
		}
		if !somebodys {
			return nil
		}
		g, err := w.group(ctx, o.holder, try > 0)
		if err != nil {
			return err
		}
		kind, wrong := judge(o, g)
		if !wrong {
			return nil
		}
		// Only what is wrong by an order that did not change while its customer was read is wrong.
		now, err := w.Tables.Get(ctx, item.Key)
		if err != nil {
			return fmt.Errorf("rebuild: order: %w", err)
		}
		if try > 0 && now.Revision == item.Revision {
			f := Finding{Kind: kind, Customer: o.holder.ref, Order: OrderHash(o.id)}
			if kind == WrongCredit {
				f.Currency = o.currency
			}
			report.add(f)
			return nil
		}
		item = now
	}
	report.add(Finding{Kind: Unsettled, Order: OrderHash(item.Key.Partition)})
	return nil
}

const (
	longLife   = 200     // events, from which on a customer is remembered for its next order
	mostWeight = 200_000 // of all who are remembered, in what is remembered of them
	mostHops   = 60      // more than are ever merged into one
)

// group reads a customer and whoever became one with it.
func (w *walk) group(ctx context.Context, h holder, fresh bool) (*group, error) {
	if g, ok := w.long[h]; ok && !fresh {
		return g, nil
	}
	last := h
	for range mostHops {
		item, err := w.Tables.Get(ctx, last.key(headSort))
		if errors.Is(err, fault.NotFound) {
			return &group{}, nil
		}
		if err != nil {
			return nil, fmt.Errorf("rebuild: customer: %w", err)
		}
		is := newLive()
		is.read(item)
		if is.into == "" {
			break
		}
		last.ref = is.into
	}
	g := &group{logged: true, carried: map[string]bool{}, credits: map[string]int64{}, given: map[agreement]bool{}}
	events := 0
	members := []string{last.ref}
	for i := 0; i < len(members) && i < mostMembers; i++ {
		is, was, err := w.settled(ctx, holder{h.scope, members[i]})
		if errors.Is(err, errMoving) {
			g.there, g.moving = true, true
			return g, nil
		}
		if err != nil {
			return nil, err
		}
		if !is.there {
			continue // only a name
		}
		if i == 0 {
			members = append(members, is.merged...)
			g.there, g.sources = true, is.state.Sources
		}
		g.logged = g.logged && is.logged
		for currency, unlogged := range is.unlogged {
			g.carried[currency] = g.carried[currency] || unlogged
		}
		for currency := range was.carried {
			g.carried[currency] = true
		}
		for id, n := range was.credits {
			g.credits[id] += n
		}
		maps.Copy(g.given, was.given)
		events += was.events
	}
	if weight := len(g.credits) + len(g.given); events >= longLife && w.weight+weight <= mostWeight {
		if _, there := w.long[h]; !there {
			w.weight += weight
		}
		w.long[h] = g
	}
	return g, nil
}

// mostMembers is more than a customer has other names.
const mostMembers = 200

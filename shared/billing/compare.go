package billing

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"grantline/shared/clock"
	"grantline/shared/fault"
	"grantline/shared/table"
)

const (
	day = 24 * time.Hour
	// booked is how long after a day's end a gateway's statement surely shows it whole.
	booked = 3 * time.Hour
	// edges is how far the statement is read beyond the day on both sides: what was taken
	// by one clock at its end may be settled by the other in the next.
	edges = time.Hour
	// compareRoom is what must be left of an invocation's time to go on comparing.
	compareRoom = 75 * time.Second
	// insist is how long a day is begun anew for an order that could not be looked at.
	insist = 24 * time.Hour
	// mostPages bounds a statement: a day of 100 payments a second at the smallest pages.
	mostPages = 200_000
)

// statementAgain is how long to wait before a page is asked for again: what was lost comes at
// once, and a pace that is shared with charges gives way to them.
var statementAgain = []time.Duration{100 * time.Millisecond, time.Second, 15 * time.Second}

// compared is which day of an account was held against ours last, in UTC.
type compared struct {
	Day string `json:"day"`
}

// Compare holds one day of an account's books against ours, both ways, the oldest that was
// not compared yet, and says when the next day can be. What the gateway took and we do not
// know of is settled or given back; what we have as paid and the gateway does not know is
// for a person, since nobody loses access over a statement. Disputes that were decided are
// looked at, whenever they were opened. Without an error the day is
// done; with one, fault.Unavailable, it begins anew.
func (b *Biller) Compare(ctx context.Context, name GatewayName) (next time.Time, err error) {
	key := table.Key{Table: table.Subscriptions, Partition: name.Scope.Key("cursor", name.Gateway, "compared")}
	item, err := b.Tables.Get(ctx, key)
	now := b.Clock.Now()
	from := now.Truncate(day).Add(-day) // a new account begins with yesterday
	switch {
	case errors.Is(err, fault.NotFound):
		item.Key = key
	case err != nil:
		return now, fmt.Errorf("billing: comparison: %w", err)
	default:
		var last compared
		if err := decode(item, &last); err != nil {
			return now, err
		}
		if from, err = time.Parse(time.DateOnly, last.Day); err != nil {
			return now, fmt.Errorf("billing: comparison: %w", err)
		}
		from = from.Add(day)
	}
	ready := func(from time.Time) time.Time { return from.Add(day + booked) }
	if now.Before(ready(from)) {
		return ready(from), nil
	}
	if err := b.compare(ctx, name, from); err != nil {
		if !errors.Is(err, errUnlooked) || now.Before(ready(from).Add(insist)) {
			return now, err
		}
		b.alarm(ctx, "some orders of a day could not be compared", "gateway", name.Gateway, "day", from.Format(time.DateOnly))
	}
	item.Schema = schema
	if item.Data, err = json.Marshal(compared{from.Format(time.DateOnly)}); err != nil {
		return now, err
	}
	if err := lost(b.Tables.Commit(ctx, table.Put(item))); err != nil {
		return now, fmt.Errorf("billing: comparison: %w", err)
	}
	return ready(from.Add(day)), nil
}

// errUnlooked is a day of which every entry was read, but not every order could be looked
// at again.
var errUnlooked = errors.New("billing: not every order could be looked at")

// comparison is one day of one account.
type comparison struct {
	*Biller
	GatewayName
	gateway  Gateway
	from     time.Time
	taken    map[string]bool // orders of which the gateway took money
	unlooked int
}

func (b *Biller) compare(ctx context.Context, name GatewayName, from time.Time) error {
	gateway, err := b.gateway(name.Scope, name.Gateway)
	if err != nil {
		return err
	}
	c := &comparison{Biller: b, GatewayName: name, gateway: gateway, from: from, taken: map[string]bool{}}
	entries := 0
	after := ""
	for page := 0; ; page++ {
		if page == mostPages || !clock.Room(ctx, compareRoom) {
			b.alarm(ctx, "a day's statement is too long to be compared", "gateway", name.Gateway, "day", from.Format(time.DateOnly))
			return fault.New(fault.Unavailable, "comparison_unfinished", "The day has more payments than could be compared.")
		}
		found, following, err := c.page(ctx, after)
		if err != nil {
			return fmt.Errorf("billing: statement: %w", err)
		}
		entries += len(found)
		if err := c.hold(ctx, found); err != nil {
			return err
		}
		if after = following; after == "" {
			break
		}
	}
	checked, err := c.missed(ctx)
	if err != nil {
		return err
	}
	disputes, err := c.disputed(ctx)
	if err != nil {
		return err
	}
	b.Log.InfoContext(ctx, "day compared", "gateway", name.Gateway, "scope", name.Scope.String(), "day", from.Format(time.DateOnly),
		"entries", entries, "checked", checked, "disputes", disputes, "unlooked", c.unlooked)
	if c.unlooked > 0 {
		return errUnlooked
	}
	return nil
}

// page reads a page of the statement.
func (c *comparison) page(ctx context.Context, after string) (entries []Entry, next string, err error) {
	err = c.patiently(ctx, func() (err error) {
		entries, next, err = c.gateway.Statement(ctx, c.from.Add(-edges), c.from.Add(day+edges), after)
		return err
	})
	return entries, next, err
}

// patiently asks for a page until there is an answer, as often as statementAgain has it.
func (c *comparison) patiently(ctx context.Context, ask func() error) error {
	for try := 0; ; try++ {
		err := ask()
		if err == nil || try == len(statementAgain) || !clock.Room(ctx, compareRoom+statementAgain[try]) {
			return err
		}
		if err := c.Clock.Sleep(ctx, statementAgain[try]); err != nil {
			return err
		}
	}
}

// hold holds a page of a statement against our orders.
func (c *comparison) hold(ctx context.Context, entries []Entry) error {
	for len(entries) > 0 {
		n := min(len(entries), 500)
		orders, err := c.ordersOf(ctx, c.Scope, entries[:n])
		if err != nil {
			return err
		}
		for _, e := range entries[:n] {
			if e.Taken > 0 {
				c.taken[e.OrderID] = true
			}
			if err := c.judge(ctx, e, orders[e.OrderID]); err != nil {
				return err
			}
		}
		entries = entries[n:]
	}
	return nil
}

// ordersOf reads the orders that entries are about, those of ours.
func (b *Biller) ordersOf(ctx context.Context, scope table.Scope, entries []Entry) (map[string]Charge, error) {
	var keys []table.Key
	asked := map[string]bool{}
	for _, e := range entries {
		if demandIDs.MatchString(e.OrderID) && !asked[e.OrderID] {
			asked[e.OrderID] = true
			keys = append(keys, orderKey(scope, e.OrderID))
		}
	}
	orders := map[string]Charge{}
	if len(keys) == 0 {
		return orders, nil
	}
	items, err := b.Tables.GetAll(ctx, keys)
	if err != nil {
		return nil, fmt.Errorf("billing: orders: %w", err)
	}
	for _, item := range items {
		c, err := DecodeCharge(item)
		if err != nil {
			return nil, err
		}
		if c.Kind == ChargeKind {
			orders[c.ID] = c
		}
	}
	return orders, nil
}

// judge holds one entry of a statement against its order; a zero charge is none of ours,
// for a shop may sell by other ways under the same account.
func (c *comparison) judge(ctx context.Context, e Entry, o Charge) error {
	_, asked := c.gateway.(Cards) // a gateway that is asked by order shows one payment of each
	own := o.State == Paid && o.key() == e.Payment
	switch {
	case o.ID == "" || o.Gateway != c.Gateway:
		if e.Taken > 0 && strings.HasPrefix(e.OrderID, scheduledPrefix) {
			c.alarm(ctx, "money taken for an order of ours that is not in our books", "order", e.OrderID, "gateway", c.Gateway)
		}
		return nil
	case e.Taken > 0 && own:
		if o.Payment.Amount != e.Taken || o.paidIn() != e.Currency {
			c.alarm(ctx, "the gateway's books have another amount than ours", "order", o.ID, "gateway", c.Gateway)
		}
		return nil
	case e.Taken > 0 && o.State == Paid && asked:
		return c.giveBack(ctx, c.Scope, o.ID, Payment{Key: e.Payment, Amount: e.Taken, Currency: e.Currency}, "A second payment was made for this order.")
	case e.Taken > 0, e.Returned > 0 && own && o.Refunded < o.Amount:
		_, err := c.lookAt(ctx, c.Scope, Hint{Order: o.ID, Payment: e.Payment, Returned: true})
		return c.looked(ctx, o.ID, err)
	}
	return nil
}

// looked goes on with the others where one order could not be looked at.
func (c *comparison) looked(ctx context.Context, order string, err error) error {
	if err == nil || ctx.Err() != nil {
		return err
	}
	c.unlooked++
	c.Log.WarnContext(ctx, "order not compared", "order", order, "gateway", c.Gateway, "error", err)
	return nil
}

// missed looks for charges that we have as paid on the day and the statement did not show.
// The due index says of each agreement which attempt was paid last, and when; those on
// demand are held against the books one by one.
func (c *comparison) missed(ctx context.Context) (checked int, err error) {
	for _, lane := range []string{c.Gateway, RetriesLane(c.Gateway)} {
		for shard := range int(c.Shards) {
			for after := ""; ; {
				if !clock.Room(ctx, compareRoom) {
					return checked, fault.New(fault.Unavailable, "comparison_unfinished", "The day has more payments than could be compared.")
				}
				found, err := c.Tables.Query(ctx, table.Query{
					Table: table.Subscriptions, Indexed: true, Partition: duePartition(c.Scope, lane, shard), Limit: 1000, After: after,
				})
				if err != nil {
					return checked, fmt.Errorf("billing: due index: %w", err)
				}
				for _, item := range found.Items {
					var last LastPaid
					if item.Index.Hint == "" || last.UnmarshalText([]byte(item.Index.Hint)) != nil || last.At.Before(c.from) || !last.At.Before(c.from.Add(day)) {
						continue
					}
					checked++
					id := OrderID(c.Scope, subscriptionOf(item), last.Period, last.Attempt)
					if c.taken[id] {
						continue
					}
					if err := c.looked(ctx, id, c.absent(ctx, id)); err != nil {
						return checked, err
					}
				}
				if after = found.Next; after == "" {
					break
				}
			}
		}
	}
	return checked, nil
}

// subscriptionOf is the id in an entry of the due index.
func subscriptionOf(item table.Item) string {
	return item.Index.Sort[len("2006-01-02T15:04:05Z#"):]
}

// absent asks once more for a payment that a statement did not show.
func (c *comparison) absent(ctx context.Context, id string) error {
	o, err := c.order(ctx, c.Scope, id)
	if errors.Is(err, fault.NotFound) {
		c.alarm(ctx, "paid, but the order is not in our books", "order", id)
		return nil
	}
	if err != nil || o.State != Paid {
		return err
	}
	found := c.find(ctx, c.gateway, o, letter{}, "")
	switch found.Result {
	case Taken:
	case Unclear, NotMade:
		return fault.New(fault.Unavailable, "gateway_unavailable", "The gateway could not be asked.")
	case Absent, Refused, Accepted:
		c.alarm(ctx, "paid here, but not in the gateway's books", "order", id, "gateway", c.Gateway)
	}
	return nil
}

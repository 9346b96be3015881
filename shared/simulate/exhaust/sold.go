package exhaust

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"grantline/shared/customer"
	"grantline/shared/entitlement"
	"grantline/shared/event"
	"grantline/shared/fault"
	"grantline/shared/purchase"
	"grantline/shared/table"
)

// rest lets time go on until the store has heard of everything, and holds the books against it.
func (s *selling) rest() {
	now := s.World.Now()
	review := func(ctx context.Context, _ string) error {
		_, err := s.book.Review(ctx, scope, s.counter.name, 100)
		return err
	}
	s.pump(table.Purchases, review, now.Add(refundsUnheard-time.Hour), waitingFor(now, s.again))
	if s.World.Violated() != nil {
		return
	}
	ctx := context.Background()
	item, written := s.Tables.Peek(table.Key{Table: table.Orders, Partition: scope.Key(purchase.OrderID(s.counter.name, storeOrder))})
	var o purchase.Order
	if written {
		o = decoded[purchase.Order](item)
	}
	s.sound(ctx, o)
	for _, i := range s.Tables.Kept().Items(table.Customers) {
		if i.Key.Sort == "#head" {
			ref := i.Key.Partition[strings.LastIndexByte(i.Key.Partition, '#')+1:]
			s.once(ctx, folded(s.Path, ref))
		}
	}
}

// sound checks the order against the store and those who claimed it.
func (s *selling) sound(ctx context.Context, o purchase.Order) {
	claimed := len(s.claims) > 0
	switch {
	case s.refunded && o.Credited != o.TakenBack:
		s.Fail("granted sales are the store's sales less refunds", "the sale is refunded, and its order has credited %d and taken back %d", o.Credited, o.TakenBack)
	case s.refunded && o.State == purchase.OrderGranted:
		s.Fail("granted sales are the store's sales less refunds", "the sale is refunded, and its order is %s", o.State)
	case !s.refunded && (claimed || o.Customer != "") && (o.State != purchase.OrderGranted || o.Credited != s.pack() || o.TakenBack != 0):
		s.Fail("granted sales are the store's sales less refunds", "the sale is claimed, and its order %q has credited %d and taken back %d", o.State, o.Credited, o.TakenBack)
	case s.counter.name == "play" && !s.refunded && o.State == purchase.OrderGranted && (!s.acknowledged || !s.consumed):
		s.Fail("what was granted is acknowledged", "acknowledged: %v, consumed: %v", s.acknowledged, s.consumed)
	}
	if s.sku == level && o.Customer != "" {
		allowed := slices.ContainsFunc(folded(s.Path, o.Customer).Entitlements(s.World.Now()), func(e entitlement.Entitlement) bool { return e.Active })
		if allowed == s.refunded {
			s.Fail("entitlement follows the books", "refunded: %v, and it gives access: %v", s.refunded, allowed)
		}
	}
	for _, c := range s.claims {
		heard, err := c.Heard()
		if !heard || errors.Is(err, fault.Unavailable) {
			err = s.claim(ctx, c.who) // it has been asked again, and would be answered the same
		}
		is, failed := s.directory.Named(ctx, scope, c.who)
		must(failed)
		if mine := o.Customer != "" && is.Is(o.Customer); err == nil && !mine {
			s.Fail("whoever hears of a grant has it", "%s was granted what is %q's", c.who, o.Customer)
		}
	}
}

// once checks that each spend was told once.
func (s *selling) once(ctx context.Context, c *customer.Customer) {
	records, err := customer.Log(ctx, s.Tables, scope, c.Ref, 0, 1000)
	must(err)
	said := map[string]int{}
	for _, r := range records {
		if r.Type != event.WalletSpent {
			continue
		}
		if said[r.Reference]++; said[r.Reference] > 1 || -r.Credited != s.spends[r.Reference] {
			s.Fail("a spend is made once for each reference", "%s was told of %d times, and of %d", r.Reference, said[r.Reference], r.Credited)
		}
	}
}

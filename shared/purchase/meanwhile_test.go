package purchase_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"grantline/shared/event"
	"grantline/shared/purchase"
	"grantline/shared/table"
)

// between are tables in which something happens once, after a line was read and before its
// owner is.
type between struct {
	table.Tables
	happens func()
}

func (b *between) GetAll(ctx context.Context, keys []table.Key) ([]table.Item, error) {
	items, err := b.Tables.GetAll(ctx, keys)
	line := slices.ContainsFunc(keys, func(k table.Key) bool { return k.Table == table.Purchases })
	if happens := b.happens; line && happens != nil {
		b.happens = nil
		happens()
	}
	return items, err
}

// The line is read first and its owner then. A word that changes nothing of the line, such as
// one heard twice, is held against an owner who has what a later word brought meanwhile.
func TestAWordHeardTwiceTakesNothingBackThatALaterOneBrought(t *testing.T) {
	sale := sold("1", premium)
	for name, c := range map[string]struct {
		later  purchase.News
		events []event.Type
		check  func(t *testing.T, s *shop)
	}{
		"what it renews as": {
			purchase.News{Sales: []purchase.Sale{sale}, Standing: purchase.Standing{AsOf: noon.Add(time.Second), WillRenew: true, Next: yearly}},
			[]event.Type{event.PurchaseGranted, event.PurchasePlanned},
			func(t *testing.T, s *shop) {
				if got := s.source(ann, "1").Next; got != yearly {
					t.Errorf("got %q as what it renews as, want %q", got, yearly)
				}
			},
		},
		"a refund": {
			purchase.News{Sales: []purchase.Sale{refunded(sale, time.Hour, 0)}},
			[]event.Type{event.PurchaseGranted, event.PurchaseRefunded},
			func(t *testing.T, s *shop) {
				if s.allowed(ann, "premium") {
					t.Error("got access to what was refunded, want none")
				}
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, f := newFollowedShop(t)
			s.Catalog = groups(t)
			first := purchase.News{Sales: []purchase.Sale{sale}, Standing: purchase.Standing{AsOf: noon, WillRenew: true}}
			f.claims["proof"] = first
			s.granted(ann, "proof")

			tables := &between{Tables: s.tables, happens: func() {
				if _, err := s.tell(c.later); err != nil {
					t.Errorf("the later word: %v", err)
				}
			}}
			s.Tables = tables
			if _, err := s.tell(first); err != nil {
				t.Errorf("the word heard twice: %v", err)
			}
			if tables.happens != nil {
				t.Fatal("nobody read the line, so that nothing came between")
			}
			c.check(t, s)
			if got := s.events(ann); !slices.Equal(got, c.events) {
				t.Errorf("got %v told, want %v", got, c.events)
			}
		})
	}
}

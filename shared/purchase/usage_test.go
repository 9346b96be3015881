package purchase_test

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/catalog"
	"grantline/shared/purchase"
)

// What a store is told became of a sale is what the ledger says of its lot.
func TestAStoreIsToldWhatTheLedgerSays(t *testing.T) {
	t.Parallel()
	all := func(spent int) purchase.Usage { return purchase.Usage{Delivered: true, Spendable: true, Spent: spent} }
	for name, c := range map[string]struct {
		before func(s *shop)
		want   purchase.Usage
	}{
		"untouched":         {func(s *shop) { s.bought(ann, "1") }, all(0)},
		"the first in":      {func(s *shop) { s.bought(ann, "1", "2"); s.spend(ann, 130) }, all(100_000)},
		"the last in":       {func(s *shop) { s.bought(ann, "0", "1"); s.spend(ann, 133) }, all(33_000)},
		"behind many":       {func(s *shop) { s.bought(ann, "a", "b", "c", "d", "e", "1"); s.spend(ann, 501) }, all(1000)},
		"it paid a debt":    {func(s *shop) { s.bought(ann, "0"); s.spend(ann, 80); s.taken("0"); s.bought(ann, "1") }, all(80_000)},
		"a debt beside it":  {func(s *shop) { s.bought(ann, "0", "1"); s.spend(ann, 150); s.taken("0") }, all(50_000)},
		"a gift":            {func(s *shop) { s.store.put("1", sold("1", gems)); s.given(ann, ben, "1"); s.spend(ben, 25) }, all(25_000)},
		"of who was merged": {func(s *shop) { s.bought(ann, "1"); s.spend(ann, 10); s.merge(ben, ann); s.spend(ben, 10) }, all(20_000)},
		"half of it taken back": {func(s *shop) {
			s.bought(ann, "1")
			s.spend(ann, 20)
			s.told(refunded(sold("1", gems), 2*time.Minute, 50_000))
		}, all(40_000)},
		"all taken back, and given again": {func(s *shop) {
			s.bought(ann, "1")
			s.spend(ann, 80)
			s.taken("1")
			s.told(later(sold("1", gems), 2*time.Minute))
		}, all(80_000)},
		"for nobody yet": {func(s *shop) { s.told(sold("1", gems)) }, purchase.Usage{}},
	} {
		s, f := newFollowedShop(t)
		s.Catalog = groups(t)
		c.before(s)
		o := s.order("1")
		sale := sold("1", gems)
		sale.AsOf = o.AsOf.Add(-time.Second) // no news of it
		if ok, err := s.tell(purchase.News{Sales: []purchase.Sale{sale}, Usage: true}); !ok || err != nil {
			t.Fatalf("%s: got %t, %v", name, ok, err)
		}
		if diff := cmp.Diff([]purchase.Usage{c.want}, f.reported); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestWhatIsTransferredIsReportedAsDelivered(t *testing.T) {
	t.Parallel()
	s, f := restoring(t, purchase.Transfer)
	s.granted(ben, "1")
	if ok, err := s.tell(purchase.News{Sales: []purchase.Sale{renewed("1", 0)}, Usage: true}); !ok || err != nil {
		t.Fatalf("got %t, %v", ok, err)
	}
	if diff := cmp.Diff([]purchase.Usage{{Delivered: true}}, f.reported); diff != "" {
		t.Errorf("reports (-want +got):\n%s", diff)
	}
}

func TestAGreatLotIsReportedInFull(t *testing.T) {
	t.Parallel()
	s, f := newFollowedShop(t)
	var err error
	s.Catalog, err = catalog.Parse([]byte(`{"plans": [], "products": [
		{"id": "gold", "kind": "consumable", "currency": "gems", "amount": 1000000000, "stores": {"apple": "` + gems + `"}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	sale := sold("1", gems)
	sale.Quantity = 1_000_000
	s.store.put("1", sale)
	s.granted(ann, "1")
	s.spend(ann, 250_000_000_000_000)
	if ok, err := s.tell(purchase.News{Sales: []purchase.Sale{sale}, Usage: true}); !ok || err != nil {
		t.Fatalf("got %t, %v", ok, err)
	}
	if len(f.reported) != 1 || math.Abs(float64(f.reported[0].Spent-25_000)) > 1 {
		t.Errorf("got %+v, want a quarter spent", f.reported)
	}
}

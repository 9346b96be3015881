package rebuild_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/event"
	"grantline/shared/memory"
	"grantline/shared/rebuild"
	"grantline/shared/table"
)

func TestWhateverHappenedEventsMakeTheStateAgain(t *testing.T) {
	told := map[event.Type]int{}
	for seed := range uint64(15) {
		w := newWorld(t, memory.New(), seed)
		w.live(300)
		w.count(told)
		got := w.compare()
		if !got.Equal || len(got.Findings) > 0 || got.Cursor != "" || got.Older > 0 {
			t.Errorf("seed %d: got %+v, want equal, to the end", seed, got)
		}
		if got.Customers < 8 || got.Events < 100 || got.Orders < 50 {
			t.Errorf("seed %d: got %d customers, %d events, %d orders, want a world worth comparing", seed, got.Customers, got.Events, got.Orders)
		}
	}
	for _, kind := range []event.Type{
		event.PurchaseGranted, event.PurchaseRenewed, event.PurchaseRefunded, event.PurchaseRestored, event.SubscriptionActivated, event.SubscriptionRenewed,
		event.SubscriptionCancelled, event.ChargeDeclined, event.ChargeRefunded, event.EntitlementGranted, event.EntitlementRevoked, event.WalletCredited,
		event.WalletSpent, event.WalletSpendRefunded, event.WalletExpired, event.CustomerMerged, event.CustomerAliased, event.CustomerFlagged,
		event.PurchaseTransferred, event.PurchaseShared, event.GiftSent, event.GiftReturned,
	} {
		if told[kind] == 0 {
			t.Errorf("nowhere was there a %s, so that nothing is proven of it", kind)
		}
	}
}

// count adds the events of everybody by their types.
func (w *world) count(told map[event.Type]int) {
	w.Helper()
	for _, item := range w.tables.(*memory.Tables).Items(table.Customers) {
		var e event.Event
		if err := json.Unmarshal(item.Data, &e); err != nil {
			w.Fatal(err)
		}
		if strings.HasPrefix(item.Key.Sort, "event#") {
			told[e.Type]++
		}
	}
}

func TestAnEmptyWorldIsEqual(t *testing.T) {
	want := rebuild.Report{Equal: true, Counts: map[rebuild.Kind]int{}, Findings: []rebuild.Finding{}}
	if d := cmp.Diff(want, newWorld(t, memory.New(), 1).compare()); d != "" {
		t.Errorf("the report of nothing: got (+) and want (-) differ:\n%s", d)
	}
}

package purchase_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"grantline/shared/catalog"
	"grantline/shared/clock"
	"grantline/shared/customer"
	"grantline/shared/memory"
	"grantline/shared/notice"
	"grantline/shared/purchase"
	"grantline/shared/table"
)

// heard is a store that notes what it hears.
type heard struct {
	purchase.Store
	purchase.Follower
	evidence *[]string
}

func (s heard) Hear(_ context.Context, evidence string) (purchase.News, error) {
	*s.evidence = append(*s.evidence, evidence)
	at := time.Date(2026, 11, 20, 2, 14, 7, 0, time.UTC)
	return purchase.News{Sales: []purchase.Sale{{
		Store: "apple", Line: "1", Order: "1", SKU: "com.example.adfree", State: purchase.Paid, PurchasedAt: at, AsOf: at, Quantity: 1,
	}}}, nil
}

// A store's notice is believed by its evidence alone, in the scope of its address.
func TestAStoresNoticeIsHeardInItsScope(t *testing.T) {
	goods, err := catalog.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	for _, environment := range []string{"production", "sandbox"} {
		tables, evidence := memory.New(), []string{}
		f := purchase.Notices{Book: &purchase.Book{
			Tables: tables, Customers: customer.Directory{Tables: tables}, Catalog: goods, Clock: clock.System(), Log: slog.New(slog.DiscardHandler),
			Stores: map[string]purchase.Store{"apple": heard{evidence: &evidence}},
		}}
		h := notice.Hint{
			Project: "default", Environment: environment, Provider: "apple", ID: "1", Signed: true, Order: "apple_2", Line: "2", Evidence: "signed-by-apple",
		}
		if applied, err := f.LookAgain(t.Context(), h); !applied || err != nil {
			t.Errorf("%s: got %t, %v, want it applied", environment, applied, err)
		}
		if got := strings.Join(evidence, " "); got != "signed-by-apple" {
			t.Errorf("%s: got %q heard, want the evidence alone", environment, got)
		}
		key := table.Key{Table: table.Orders, Partition: h.Scope().Key("apple_1")}
		if items := tables.Items(table.Orders); len(items) != 1 || items[0].Key != key {
			t.Errorf("%s: got %d orders, want the one that was heard of, in its scope", environment, len(items))
		}
	}
	f := purchase.Notices{Book: &purchase.Book{Stores: map[string]purchase.Store{"apple": heard{}}}}
	if applied, err := f.LookAgain(t.Context(), notice.Hint{Project: "default", Environment: "production", Provider: "play", Evidence: "x"}); applied || err == nil {
		t.Errorf("of a store that is not configured: got %t, %v, want that it comes again", applied, err)
	}
}

package main

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"grantline/shared/billing"
	"grantline/shared/catalog"
	"grantline/shared/clock"
	"grantline/shared/customer"
	"grantline/shared/memory"
	"grantline/shared/notice"
	"grantline/shared/purchase"
	"grantline/shared/table"
)

// A payment that is known costs no look; what may have been given back is looked at, and
// here ends at a subscription that is gone, so that it is not ours.
func TestWhatMayHaveBeenGivenBackIsLookedAtThoughItIsKnown(t *testing.T) {
	tables := memory.New()
	for _, scope := range []table.Scope{table.Default, {Project: "default", Environment: "sandbox"}} {
		i := table.Item{
			Key: table.Key{Table: table.Orders, Partition: scope.Key("gl_1")}, Schema: 1,
			Data: []byte(`{"id":"gl_1","kind":"charge","subscription":"sub-gone","state":"paid","payment":{"key":"pay_of_` + scope.Environment + `"}}`),
		}
		if err := tables.Commit(t.Context(), table.Inserted(i)); err != nil {
			t.Fatal(err)
		}
	}
	l := looker{&billing.Biller{Tables: tables}}
	for _, c := range []struct {
		provider, kind, environment, payment string
		known                                bool
	}{
		{"dodo", "payment.succeeded", "production", "pay_of_production", true},
		{"dodo", "payment.succeeded", "sandbox", "pay_of_sandbox", true},
		{"dodo", "payment.succeeded", "production", "pay_of_sandbox", false},
		{"dodo", "payment.succeeded", "sandbox", "pay_of_production", false},
		{"dodo", "payment.succeeded", "production", "", false},
		{"dodo", "refund.succeeded", "production", "pay_of_production", false},
		{"dodo", "refund.failed", "production", "pay_of_production", false},
		{"dodo", "refundable", "production", "pay_of_production", true},
		{"toss", "PAYMENT_STATUS_CHANGED", "production", "pay_of_production", false},
	} {
		got, err := l.LookAgain(t.Context(), hint(func(h *notice.Hint) {
			h.Provider, h.Type, h.Environment, h.Order, h.Payment = c.provider, c.kind, c.environment, "gl_1", c.payment
		}))
		if got != c.known || err != nil {
			t.Errorf("%s %s of %s in %s: got %t, %v, want known %t", c.provider, c.kind, c.payment, c.environment, got, err, c.known)
		}
	}
}

// What comes with every charge says nothing about the mandate.
func TestAMandateIsLookedAtWhenANoticeIsAboutIt(t *testing.T) {
	for kind, want := range map[string]bool{
		"subscription.active": true, "subscription.cancelled": true, "subscription.on_hold": true, "subscription.whatever_comes": true,
		"subscription.renewed": false, "subscription.updated": false, "payment.succeeded": false, "refund.succeeded": false, "subscription": false, "": false,
	} {
		tables, read := memory.New(), []table.Key(nil)
		tables.Fail = func(op memory.Op) (bool, error) {
			read = append(read, op.Keys...)
			return true, nil
		}
		l := looker{&billing.Biller{Tables: tables}}
		if _, err := l.LookAgain(t.Context(), hint(func(h *notice.Hint) { h.Type, h.Subscription = kind, "sub-1" })); err != nil {
			t.Errorf("%q: got %v, want none", kind, err)
		}
		if got := len(read) > 0; got != want {
			t.Errorf("%q: got %v read, want a look at the subscription %t", kind, read, want)
		}
	}
}

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
		f := follower{&purchase.Book{
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
	f := follower{&purchase.Book{Stores: map[string]purchase.Store{"apple": heard{}}}}
	if applied, err := f.LookAgain(t.Context(), notice.Hint{Project: "default", Environment: "production", Provider: "play", Evidence: "x"}); applied || err == nil {
		t.Errorf("of a store that is not configured: got %t, %v, want that it comes again", applied, err)
	}
}

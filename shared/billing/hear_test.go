package billing_test

import (
	"errors"
	"testing"

	"grantline/shared/billing"
	"grantline/shared/fault"
	"grantline/shared/memory"
	"grantline/shared/notice"
	"grantline/shared/table"
)

func heard(change func(*notice.Hint)) notice.Hint {
	h := notice.Hint{Project: "default", Environment: "production", Provider: "dodo", ID: "msg_1", Type: "payment.succeeded", Signed: true}
	change(&h)
	return h
}

func TestWhatIsNotOursIsUnknown(t *testing.T) {
	tables := memory.New()
	for id, data := range map[string]string{
		"gl_orphan":  `{"id":"gl_orphan","kind":"charge","subscription":"sub-gone"}`,
		"purchase_1": `{"id":"purchase_1","kind":"purchase","subscription":"sub-gone"}`,
	} {
		i := table.Item{Key: table.Key{Table: table.Orders, Partition: table.Default.Key(id)}, Schema: 1, Data: []byte(data)}
		if err := tables.Commit(t.Context(), table.Inserted(i)); err != nil {
			t.Fatal(err)
		}
	}
	l := billing.Notices{Biller: &billing.Biller{Tables: tables}}
	for what, h := range map[string]notice.Hint{
		"an unknown order":                heard(func(h *notice.Hint) { h.Order = "gl_nobody" }),
		"an order without subscription":   heard(func(h *notice.Hint) { h.Order = "gl_orphan" }),
		"a store's order":                 heard(func(h *notice.Hint) { h.Order = "purchase_1" }),
		"an unknown subscription":         heard(func(h *notice.Hint) { h.Subscription = "sub-nobody" }),
		"what can be no subscription":     heard(func(h *notice.Hint) { h.Subscription = "a/b" }),
		"a mandate and a payment":         heard(func(h *notice.Hint) { h.Mandate, h.Payment = "sub_1", "pay_1" }),
		"an order in another environment": heard(func(h *notice.Hint) { h.Order, h.Environment = "gl_orphan", "sandbox" }),
	} {
		if applied, err := l.LookAgain(t.Context(), h); applied || err != nil {
			t.Errorf("%s: got %t, %v, want that it is not ours", what, applied, err)
		}
	}
}

func TestTablesOutOfReachAreAnOutage(t *testing.T) {
	tables := memory.New()
	tables.Fail = func(memory.Op) (bool, error) {
		return false, fault.New(fault.Unavailable, "tables_unavailable", "The tables did not answer.")
	}
	l := billing.Notices{Biller: &billing.Biller{Tables: tables}}
	for _, h := range []notice.Hint{heard(func(h *notice.Hint) { h.Order = "gl_1" }), heard(func(h *notice.Hint) { h.Type, h.Subscription = "subscription.active", "sub-1" })} {
		if _, err := l.LookAgain(t.Context(), h); !errors.Is(err, fault.Unavailable) {
			t.Errorf("got %v, want fault.Unavailable", err)
		}
	}
}

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
	l := billing.Notices{Biller: &billing.Biller{Tables: tables}}
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
		got, err := l.LookAgain(t.Context(), heard(func(h *notice.Hint) {
			h.Signed = c.provider != "toss"
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
		l := billing.Notices{Biller: &billing.Biller{Tables: tables}}
		if _, err := l.LookAgain(t.Context(), heard(func(h *notice.Hint) { h.Type, h.Subscription = kind, "sub-1" })); err != nil {
			t.Errorf("%q: got %v, want none", kind, err)
		}
		if got := len(read) > 0; got != want {
			t.Errorf("%q: got %v read, want a look at the subscription %t", kind, read, want)
		}
	}
}

package main

import (
	"errors"
	"testing"

	"grantline/shared/billing"
	"grantline/shared/fault"
	"grantline/shared/memory"
	"grantline/shared/notice"
	"grantline/shared/table"
)

func hint(change func(*notice.Hint)) notice.Hint {
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
	l := looker{&billing.Biller{Tables: tables}}
	for what, h := range map[string]notice.Hint{
		"an unknown order":                hint(func(h *notice.Hint) { h.Order = "gl_nobody" }),
		"an order without subscription":   hint(func(h *notice.Hint) { h.Order = "gl_orphan" }),
		"a store's order":                 hint(func(h *notice.Hint) { h.Order = "purchase_1" }),
		"an unknown subscription":         hint(func(h *notice.Hint) { h.Subscription = "sub-nobody" }),
		"what can be no subscription":     hint(func(h *notice.Hint) { h.Subscription = "a/b" }),
		"a mandate and a payment":         hint(func(h *notice.Hint) { h.Mandate, h.Payment = "sub_1", "pay_1" }),
		"an order in another environment": hint(func(h *notice.Hint) { h.Order, h.Environment = "gl_orphan", "sandbox" }),
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
	l := looker{&billing.Biller{Tables: tables}}
	for _, h := range []notice.Hint{hint(func(h *notice.Hint) { h.Order = "gl_1" }), hint(func(h *notice.Hint) { h.Type, h.Subscription = "subscription.active", "sub-1" })} {
		if _, err := l.LookAgain(t.Context(), h); !errors.Is(err, fault.Unavailable) {
			t.Errorf("got %v, want fault.Unavailable", err)
		}
	}
}

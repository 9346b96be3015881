package bank_test

import (
	"context"
	"strconv"
	"testing"
	"time"

	"grantline/shared/billing"
	"grantline/shared/money"
	"grantline/shared/simulate"
	"grantline/shared/simulate/bank"
)

// BenchmarkPayment is a payment at each gateway, with the look-up that Dodo needs.
func BenchmarkPayment(b *testing.B) {
	w := simulate.New(1, start, simulate.NewWeather(1, simulate.Faults{}))
	defer w.Close()
	toss, dodo := bank.NewToss(w, bank.Habits{}), bank.NewDodo(w, bank.Habits{})
	key, _ := toss.Issue(b.Context(), billing.Registration{Key: "k", AuthKey: toss.ConsoleRegister("customer", nil, ""), CustomerKey: "customer"})
	made, _ := dodo.Invite(b.Context(), invitation)
	dodo.ConsoleVisit(made.Link, nil, "")
	mandate := billing.Card{BillingKey: made.Mandate}
	each := func(b *testing.B, run func(ctx context.Context, id string)) {
		b.ReportAllocs()
		for n := range b.N {
			id := "gl_order_" + strconv.Itoa(b.N) + "_" + strconv.Itoa(n)
			w.Invoke("f", time.Minute, func(ctx context.Context) error {
				run(ctx, id)
				return nil
			}, nil)
			_ = w.Run(w.Now().Add(2 * time.Minute))
		}
	}
	b.Run("nothing", func(b *testing.B) {
		each(b, func(context.Context, string) { w.Cross(simulate.Op{}) })
	})
	b.Run("compose", func(b *testing.B) {
		each(b, func(_ context.Context, id string) {
			_, _ = toss.Compose(billing.Request{OrderID: id, CustomerKey: "customer", Amount: money.Of(4900, "KRW"), Name: "Premium"})
		})
	})
	b.Run("toss", func(b *testing.B) {
		each(b, func(ctx context.Context, id string) {
			body, _ := toss.Compose(billing.Request{OrderID: id, CustomerKey: "customer", Amount: money.Of(4900, "KRW"), Name: "Premium"})
			if o := toss.Charge(ctx, id, key, body); o.Result != billing.Taken {
				b.Fatal(o)
			}
		})
	})
	b.Run("dodo", func(b *testing.B) {
		each(b, func(ctx context.Context, id string) {
			body, _ := dodo.Compose(billing.Request{OrderID: id, Amount: money.Of(1000, "USD"), Name: "Premium"})
			o := dodo.Charge(ctx, id, mandate, body)
			w.Pass(30 * time.Second)
			if o = dodo.Find(ctx, id, billing.Want{Card: mandate, Payment: o.Payment.Key}); o.Result != billing.Taken {
				b.Fatal(o)
			}
		})
	})
}

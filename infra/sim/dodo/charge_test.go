package dodo_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/infra/sim/dodo"
	"grantline/infra/sim/stage"
)

func TestChargeIsDecidedLater(t *testing.T) {
	s := newShop(t, dodo.Options{})
	id := s.active()
	payment := s.charge(id, "order-1", 2500)
	got := s.call("GET", "/payments/"+payment, nil)
	wants := fields{
		"status": "processing", "total_amount": 2750.0, "tax": 250.0, "currency": "USD", "subscription_id": id,
		"metadata": fields{"order_id": "order-1"}, "error_code": nil, "is_update_payment_method": false, "refunds": []any{}, "product_cart": nil,
	}
	for name, want := range wants {
		if diff := cmp.Diff(want, got.body[name]); diff != "" {
			t.Errorf("%s differs (-want +got):\n%s", name, diff)
		}
	}
	s.want("another meanwhile", s.call("POST", "/subscriptions/"+id+"/charge", fields{"product_price": 2500}), 409, "PREVIOUS_PAYMENT_PENDING")
	s.clock.Advance(3 * time.Second)
	if got := s.status("/payments/" + payment); got != "succeeded" {
		t.Errorf("later: got %s, want succeeded", got)
	}
	s.wantEffects("charged", "mandateCreated", "mandateActive", "charged")
	if e := s.Effects()[2]; e.OrderID != "order-1" || e.Amount != 2750 || e.Tax != 250 || e.PaymentKey != payment || e.SubscriptionID != id {
		t.Errorf("got %+v, want order-1 of 2750 cents", e)
	}
	s.wantTypes("charged", "payment.succeeded", "subscription.active", "payment.processing", "payment.succeeded")
}

func TestNothingIsIdempotent(t *testing.T) {
	s := newShop(t, dodo.Options{})
	id := s.active()
	body := fields{"product_price": 2500, "metadata": fields{"order_id": "order-1"}}
	var ids []string
	for range 2 {
		got := s.call("POST", "/subscriptions/"+id+"/charge", body, "Idempotency-Key", "k")
		s.want("charge", got, 200, "")
		ids = append(ids, got.text("payment_id"))
		s.clock.Advance(time.Minute)
	}
	if ids[0] == ids[1] {
		t.Errorf("got %s twice, want two payments", ids[0])
	}
	s.call("POST", "/subscriptions", creation(), "Idempotency-Key", "k")
	s.call("POST", "/subscriptions", creation(), "Idempotency-Key", "k")
	s.wantEffects("twice", "mandateCreated", "mandateActive", "charged", "charged", "mandateCreated", "mandateCreated")
}

func TestChargeRefusesWhatDodoRefuses(t *testing.T) {
	s := newShop(t, dodo.Options{})
	id := s.active()
	path := "/subscriptions/" + id + "/charge"
	for _, c := range []struct {
		name string
		body any
		code string
	}{
		{"no JSON", "product_price=100", "INVALID_REQUEST_BODY"},
		{"no price", fields{"metadata": fields{}}, "INVALID_REQUEST_BODY"},
		{"price null", fields{"product_price": nil}, "INVALID_REQUEST_BODY"},
		{"price in quotes", fields{"product_price": "100"}, "INVALID_REQUEST_BODY"},
		{"fraction", fields{"product_price": 100.5}, "INVALID_REQUEST_BODY"},
		{"negative", fields{"product_price": -100}, "INVALID_REQUEST_BODY"},
		{"too low", fields{"product_price": 49}, "TOTAL_PAYMENT_AMOUNT_BELOW_MINIMUM_AMOUNT"},
		{"currency", fields{"product_price": 100, "product_currency": "usd"}, "UNSUPPORTED_CURRENCY"},
		{"metadata", fields{"product_price": 100, "metadata": fields{"k": nil}}, "INVALID_REQUEST_BODY"},
	} {
		s.want(c.name, s.call("POST", path, c.body), 422, c.code)
	}
	good := fields{"product_price": 100}
	s.want("unknown", s.call("POST", "/subscriptions/x/charge", good), 404, "NOT_FOUND")
	pending := s.call("POST", "/subscriptions", creation()).text("subscription_id")
	s.want("pending", s.call("POST", "/subscriptions/"+pending+"/charge", good), 409, "SUBSCRIPTION_INACTIVE")
	s.must(s.Hold(dodo.Selection{SubscriptionID: id}))
	s.want("on hold", s.call("POST", path, good), 409, "SUBSCRIPTION_INACTIVE")
	s.must(s.Expire(dodo.Selection{SubscriptionID: id}))
	s.want("expired", s.call("POST", path, good), 409, "SUBSCRIPTION_EXPIRED")
	body := creation()
	delete(body, "on_demand")
	usual := s.call("POST", "/subscriptions", body).text("subscription_id")
	s.want("not on demand", s.call("POST", "/subscriptions/"+usual+"/charge", good), 422, "SUBSCRIPTION_NOT_ON_DEMAND")
	ending := s.active()
	s.call("PATCH", "/subscriptions/"+ending, fields{"cancel_at_next_billing_date": true})
	s.want("ending", s.call("POST", "/subscriptions/"+ending+"/charge", good), 409, "CHARGE_NOT_ALLOWED_FOR_SCHEDULED_CANCELLATION")
}

func TestChargeMayFail(t *testing.T) {
	for _, c := range []struct {
		name  string
		card  string
		price int64
		code  string
		want  string
	}{
		{"by control", "", 2500, "EXPIRED_CARD", "EXPIRED_CARD"},
		{"by amount", "", 2551, "", "INSUFFICIENT_FUNDS"},
		{"by amount", "", 2505, "", "DO_NOT_HONOR"},
		{"by amount", "", 2541, "", "LOST_CARD"},
		{"by amount", "", 2591, "", "PROCESSING_ERROR"},
		{"by card", "4000000000000341", 2500, "", "CARD_DECLINED"},
	} {
		t.Run(c.name+" "+c.want, func(t *testing.T) {
			s := newShop(t, dodo.Options{})
			id := s.call("POST", "/subscriptions", creation()).text("subscription_id")
			s.must(s.Approve(dodo.Approval{Card: c.card}))
			if c.code != "" {
				s.must(s.Decline(dodo.Decline{Code: c.code, OrderID: "order-0"}))
				s.must(s.Decline(dodo.Decline{Code: c.code, OrderID: "order-1"}))
			}
			payment := s.charge(id, "order-1", c.price)
			s.clock.Advance(3 * time.Second)
			got := s.call("GET", "/payments/"+payment, nil)
			if got.text("status") != "failed" || got.text("error_code") != c.want {
				t.Errorf("got %s %s, want failed %s", got.text("status"), got.text("error_code"), c.want)
			}
			s.wantEffects("failed", "mandateCreated", "mandateActive", "declined")
			s.wantTypes("failed", "payment.succeeded", "subscription.active", "payment.processing", "payment.failed")
			if got := s.status("/subscriptions/" + id); got != dodo.Active {
				t.Errorf("mandate: got %s, want active", got)
			}
		})
	}
}

func TestFailedChargeMayPutTheMandateOnHoldUntilItIsMended(t *testing.T) {
	s := newShop(t, dodo.Options{})
	yes := true
	s.must(s.Set(dodo.Settings{OnHoldAfterFailedCharge: &yes}))
	id := s.active()
	s.charge(id, "order-1", 2551)
	s.clock.Advance(3 * time.Second)
	if got := s.status("/subscriptions/" + id); got != dodo.OnHold {
		t.Errorf("after the failure: got %s, want on_hold", got)
	}
	mend := s.call("POST", "/subscriptions/"+id+"/update-payment-method", fields{"type": "new", "return_url": "https://app.example.com/"})
	s.want("mend", mend, 200, "")
	if mend.text("payment_link") == "" || s.call("GET", "/payments/"+mend.text("payment_id"), nil).body["is_update_payment_method"] != true {
		t.Errorf("mend: got %s, want a link and a payment that says what it is", mend.raw)
	}
	s.must(s.UpdateMethod(dodo.Approval{SubscriptionID: id, Card: "5555555555554444"}))
	if got := s.status("/subscriptions/" + id); got != dodo.Active {
		t.Errorf("mended: got %s, want active", got)
	}
	s.charge(id, "order-2", 2500)
	s.clock.Advance(3 * time.Second)
	s.wantEffects("mended", "mandateCreated", "mandateActive", "declined", "mandateOnHold", "mandateUpdated", "charged")
	s.wantTypes("mended", "payment.succeeded", "subscription.active", "payment.processing", "payment.failed", "subscription.on_hold",
		"payment.succeeded", "subscription.update_payment_method", "subscription.active", "payment.processing", "payment.succeeded")
}

func TestMetadataIsOfTheChargeOrElseOfTheSubscription(t *testing.T) {
	s := newShop(t, dodo.Options{})
	id := s.active()
	for _, c := range []struct {
		name string
		body fields
		want any
	}{
		{"none", fields{"product_price": 100}, fields{"order_id": "sign-up-1"}},
		{"empty", fields{"product_price": 100, "metadata": fields{}}, fields{}},
		{"own", fields{"product_price": 100, "metadata": fields{"a": true, "b": 2}}, fields{"a": true, "b": 2.0}},
	} {
		payment := s.call("POST", "/subscriptions/"+id+"/charge", c.body).text("payment_id")
		s.clock.Advance(3 * time.Second)
		if diff := cmp.Diff(c.want, s.call("GET", "/payments/"+payment, nil).body["metadata"]); diff != "" {
			t.Errorf("%s: metadata differs (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestListLagsPagesAndFiltersByDocumentedFieldsAlone(t *testing.T) {
	s := newShop(t, dodo.Options{})
	other := s.active()
	id := s.active()
	s.clock.Advance(time.Hour)
	begin := s.clock.Now().Format(time.RFC3339)
	var want []string
	for range 3 {
		want = append(want, s.charge(id, "order-1", 2500))
		s.clock.Advance(3 * time.Second)
	}
	ids := func(query string) (list []string) {
		t.Helper()
		got := s.call("GET", "/payments?"+query, nil)
		s.want(query, got, 200, "")
		for _, item := range got.body["items"].([]any) {
			item := item.(fields)
			if _, ok := item["error_code"]; ok {
				t.Errorf("got %v, want no error_code in a list", item)
			}
			list = append(list, item["payment_id"].(string))
		}
		return list
	}
	of := "subscription_id=" + id + "&created_at_gte=" + begin
	if got := ids(of); got != nil {
		t.Errorf("at once: got %v, want none", got)
	}
	s.clock.Advance(time.Minute)
	newest := []string{want[2], want[1], want[0]}
	for query, want := range map[string][]string{
		of: newest,
		of + "&metadata=order-9&metadata.order_id=order-9&unknown=1": newest,
		of + "&page_size=2":                                         newest[:2],
		of + "&page_size=2&page_number=1":                           newest[2:],
		of + "&page_size=2&page_number=9":                           nil,
		of + "&status=succeeded":                                    newest,
		of + "&status=failed":                                       nil,
		of + "&customer_id=x":                                       nil,
		"created_at_lte=2026-02-28T23:59:59Z&subscription_id=" + id: nil,
		"created_at_gte=" + begin:                                   newest,
		"created_at_gte=" + begin + "&subscription_id=" + other:     nil,
	} {
		if diff := cmp.Diff(want, ids(query)); diff != "" {
			t.Errorf("%s differs (-want +got):\n%s", query, diff)
		}
	}
	asc := "asc"
	s.must(s.Set(dodo.Settings{SortOrder: &asc}))
	if diff := cmp.Diff(want, ids(of)); diff != "" {
		t.Errorf("ascending differs (-want +got):\n%s", diff)
	}
	if got := len(ids("subscription_id=" + id)); got != 4 {
		t.Errorf("of the mandate: got %d, want the three and the approval of 0", got)
	}
	for _, query := range []string{"page_size=101", "page_size=x", "page_number=-1", "created_at_gte=yesterday"} {
		s.want(query, s.call("GET", "/payments?"+query, nil), 422, "INVALID_QUERY_PARAMS")
	}
	s.want("unknown payment", s.call("GET", "/payments/x", nil), 404, "NOT_FOUND")
}

func TestLostAnswerTellsNothingAndTheLogTellsAll(t *testing.T) {
	for _, when := range []string{stage.Before, stage.After} {
		for _, how := range []string{stage.Hang, stage.Reset, stage.Error} {
			for endpoint, effect := range map[string]string{dodo.Charge: "charged", dodo.Create: "mandateCreated", dodo.Refunding: "refunded", dodo.Patch: "mandateCancelled"} {
				t.Run(when+" "+how+" "+endpoint, func(t *testing.T) {
					s := newShop(t, dodo.Options{HangLimit: time.Millisecond})
					id := s.active()
					paid := s.charge(id, "order-1", 2500)
					s.clock.Advance(time.Minute)
					before := s.kinds()
					s.must(s.Fault(stage.Fault{Endpoint: endpoint, When: when, How: how}))
					method, path, body := "POST", "/subscriptions/"+id+"/charge", fields{"product_price": 2500}
					switch endpoint {
					case dodo.Create:
						path, body = "/subscriptions", creation()
					case dodo.Refunding:
						path, body = "/refunds", fields{"payment_id": paid}
					case dodo.Patch:
						method, path, body = "PATCH", "/subscriptions/"+id, fields{"status": "cancelled"}
					}
					got, err := s.send(t.Context(), method, path, body)
					if how == stage.Error {
						if err != nil || got.status != 500 || got.code != "INTERNAL_SERVER_ERROR" {
							t.Errorf("got %d %s, %v; want 500", got.status, got.code, err)
						}
					} else if err == nil {
						t.Errorf("got %d, want no answer", got.status)
					}
					s.clock.Advance(time.Minute)
					want := before
					if when == stage.After {
						want = append(before, effect)
					}
					s.wantEffects("after the fault", want...)
				})
			}
		}
	}
}

func TestRateIsLimitedByTheClock(t *testing.T) {
	s := newShop(t, dodo.Options{})
	minute, second := 100, 10
	s.must(s.Set(dodo.Settings{PerMinute: &minute, PerSecond: &second}))
	for i := range 10 {
		got := s.call("GET", "/payments/x", nil)
		s.want("within", got, 404, "NOT_FOUND")
		if i == 0 && got.header.Get("X-RateLimit-Remaining") != "99" {
			t.Errorf("remaining: got %q, want 99", got.header.Get("X-RateLimit-Remaining"))
		}
	}
	s.want("the eleventh of a second", s.call("GET", "/payments/x", nil), 429, "TOO_MANY_REQUESTS")
	for range 9 {
		s.clock.Advance(time.Second)
		for range 10 {
			s.want("within", s.call("GET", "/payments/x", nil), 404, "NOT_FOUND")
		}
	}
	s.clock.Advance(time.Second)
	over := s.call("GET", "/payments/x", nil)
	s.want("the 101st of a minute", over, 429, "TOO_MANY_REQUESTS")
	if got := over.header.Get("X-RateLimit-Remaining"); got != "0" {
		t.Errorf("remaining: got %q, want 0", got)
	}
	s.clock.Advance(time.Minute)
	s.MakeBusy(dodo.Busy{Endpoint: dodo.Get, Count: 2})
	s.want("another endpoint", s.call("GET", "/payments", nil), 200, "")
	for _, want := range []int{429, 429, 404} {
		if got := s.call("GET", "/payments/x", nil).status; got != want {
			t.Errorf("busy: got %d, want %d", got, want)
		}
	}
}

func TestForeignPaymentsAreInTheBooks(t *testing.T) {
	s := newShop(t, dodo.Options{})
	id := s.active()
	first := s.charge(id, "order-1", 2500)
	s.clock.Advance(time.Minute)
	second, err := s.Take(dodo.Foreign{SubscriptionID: id, OrderID: "order-1", Amount: 2500})
	s.must(err)
	if _, err := s.Take(dodo.Foreign{SubscriptionID: id, Amount: 1}); err == nil {
		t.Error("1 cent: got nil, want an error")
	}
	s.clock.Advance(time.Minute)
	got := s.call("GET", "/payments/"+second, nil)
	if first == second || got.text("status") != "succeeded" || got.body["metadata"].(fields)["order_id"] != "order-1" {
		t.Errorf("got %s, want a second success of order-1", got.raw)
	}
	refund, err := s.Return(dodo.Return{PaymentID: second, Amount: 1000})
	s.must(err)
	if got := s.call("GET", "/refunds/"+refund, nil); got.body["amount"] != 1000.0 {
		t.Errorf("refund: got %s, want 1000", got.raw)
	}
	s.must(s.Cancel(dodo.Selection{SubscriptionID: id}))
	s.wantEffects("foreign", "mandateCreated", "mandateActive", "charged", "charged", "refunded", "mandateCancelled")
	for _, e := range s.Effects()[3:] {
		if e.Origin != "control" {
			t.Errorf("%s: got origin %q, want control", e.Kind, e.Origin)
		}
	}
}

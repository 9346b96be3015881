package toss_test

import (
	"bytes"
	"context"
	"encoding/json"
	"testing"

	"grantline/shared/billing"
	"grantline/shared/toss"
)

// rotated is a secret key whose successor only a fresh look finds.
func rotated(c *toss.Config) {
	c.SecretKey = func(_ context.Context, fresh bool) (string, error) {
		if fresh {
			return newSecret, nil
		}
		return secretKey, nil
	}
}

// seeds are answers of each kind.
func seeds(f *testing.F) {
	f.Helper()
	for _, spoil := range []map[string]any{
		nil,
		{"status": "CANCELED"},
		{"status": "ABORTED", "failure": map[string]any{"code": "REJECT_CARD_PAYMENT"}},
		{"status": "IN_PROGRESS"},
		{"totalAmount": 50000},
		{"orderId": "gl_other"},
		{"currency": "USD"},
		{"type": "NORMAL"},
		{"card": 1},
	} {
		f.Add(200, []byte(payment(f, spoil)))
	}
	for _, status := range []int{200, 400, 401, 403, 404, 409, 429, 500} {
		f.Add(status, []byte(`{"code":"REJECT_CARD_PAYMENT","message":"m"}`))
	}
	f.Add(404, []byte(`{"code":"NOT_FOUND_PAYMENT"}`))
	f.Add(400, []byte(`{"code":"PROVIDER_ERROR"}`))
	f.Add(200, []byte(`{"status":"ABORTED","STATUS":"DONE"}`))
	f.Add(200, []byte("\xef\xbb\xbf{}"))
	f.Add(502, []byte(`<html>`))
}

// matches reads an answer another way than the gateway does.
func matches(text []byte, states ...string) bool {
	var p any
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if decoder.Decode(&p) != nil || decoder.More() {
		return false
	}
	o, _ := p.(map[string]any)
	for _, state := range states {
		if o["status"] == state {
			return o["orderId"] == order && o["totalAmount"] == json.Number("4900") && o["currency"] == "KRW" && o["type"] == "BILLING"
		}
	}
	return false
}

// FuzzCharge: whatever Toss answers, money is taken only if it shows this very payment.
func FuzzCharge(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, status int, text []byte) {
		var l log
		g := gateway(t, "https://toss.example", says{status: status, body: string(text)}, &l)
		got := g.Charge(t.Context(), order, card, body(t, g))
		if got.Result == billing.Taken && (status != 200 || !matches(text, "DONE")) {
			t.Errorf("got %+v of %d %q, want nothing taken", got, status, text)
		}
		if got.Result == billing.Absent || (got.Result == billing.Refused && (status < 400 || status > 499 || got.Class == "")) {
			t.Errorf("got %+v of %d %q", got, status, text)
		}
	})
}

// FuzzFind: the same, and a payment is absent only by Toss's own 404.
func FuzzFind(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, status int, text []byte) {
		g := gateway(t, "https://toss.example", says{status: status, body: string(text)}, &log{})
		got := g.Find(t.Context(), order, billing.Want{Amount: amount})
		if got.Result == billing.Taken && (status != 200 || !matches(text, "DONE", "CANCELED", "PARTIAL_CANCELED")) {
			t.Errorf("got %+v of %d %q, want nothing taken", got, status, text)
		}
		if got.Result == billing.Refused && (status != 200 || !matches(text, "ABORTED", "EXPIRED")) {
			t.Errorf("got %+v of %d %q, want no decline", got, status, text)
		}
		if got.Result == billing.Absent && (status != 404 || got.Code != "NOT_FOUND_PAYMENT") {
			t.Errorf("got %+v of %d %q, want it not absent", got, status, text)
		}
		if got.Result == billing.NotMade {
			t.Errorf("got %+v of %d %q, want no such answer to a look", got, status, text)
		}
	})
}

// shows reads the one cancel of a payment another way than the gateway does.
func shows(text []byte, left string) bool {
	var p map[string]any
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if decoder.Decode(&p) != nil || p["orderId"] != order || p["paymentKey"] != paymentKey || p["currency"] != "KRW" || p["type"] != "BILLING" {
		return false
	}
	if left != "" && p["balanceAmount"] != json.Number(left) {
		return false
	}
	cancels, _ := p["cancels"].([]any)
	for _, c := range cancels {
		if c, _ := c.(map[string]any); c["cancelAmount"] == json.Number("1900") {
			return true
		}
	}
	return false
}

// refundSeeds are answers of each kind to a refund.
func refundSeeds(f *testing.F) {
	f.Helper()
	seeds(f)
	f.Add(200, []byte(after(f, 3000, nil, half())))
	f.Add(200, []byte(after(f, 1100, nil, half(), cancelled(1900, 1100, "B", refunding.Since))))
	f.Add(200, []byte(after(f, 3900, nil, cancelled(1000, 3900, "B", refunding.Since))))
	f.Add(200, []byte(after(f, 3000, nil, but(half(), "refundableAmount", nil))))
	f.Add(400, []byte(`{"code":"NOT_MATCHES_REFUNDABLE_AMOUNT"}`))
	f.Add(500, []byte(`{"code":"FAILED_REFUND_PROCESS"}`))
}

// FuzzRefund: whatever Toss answers, money is given back only if it shows this very cancel.
func FuzzRefund(f *testing.F) {
	refundSeeds(f)
	f.Fuzz(func(t *testing.T, status int, text []byte) {
		g := gateway(t, "https://toss.example", says{status: status, body: string(text)}, &log{})
		got := g.Refund(t.Context(), refunding)
		if got.Result == billing.Taken && (status != 200 || !shows(text, "3000")) {
			t.Errorf("got %+v of %d %q, want nothing given back", got, status, text)
		}
		if got.Result == billing.Absent || (got.Result == billing.Refused && (status < 400 || status > 499 || got.Code == "")) {
			t.Errorf("got %+v of %d %q", got, status, text)
		}
	})
}

// FuzzFindRefund: the same, and it is absent only if Toss shows the payment without it.
func FuzzFindRefund(f *testing.F) {
	refundSeeds(f)
	f.Fuzz(func(t *testing.T, status int, text []byte) {
		g := gateway(t, "https://toss.example", says{status: status, body: string(text)}, &log{})
		got := g.FindRefund(t.Context(), refunding)
		if got.Result == billing.Taken && (status != 200 || !shows(text, "")) {
			t.Errorf("got %+v of %d %q, want nothing given back", got, status, text)
		}
		if got.Result != billing.Taken && got.Result != billing.Unclear && (got.Result != billing.Absent || status != 200) {
			t.Errorf("got %+v of %d %q, want no such answer to a look", got, status, text)
		}
	})
}

// FuzzStatement: whatever Toss answers, an entry is of the time that was asked for and
// moves won one way.
func FuzzStatement(f *testing.F) {
	seeds(f)
	f.Add(200, []byte(listed(f, transaction("A", "DONE", 4900, day, nil), transaction("B", "CANCELED", -4900, day, nil))))
	f.Add(200, []byte(`[]`))
	f.Add(200, []byte(`[{"status":"PAUSED"}]`))
	f.Fuzz(func(t *testing.T, status int, text []byte) {
		g := gateway(t, "https://toss.example", says{status: status, body: string(text)}, &log{})
		got, _, err := g.Statement(t.Context(), day, nextDay, "")
		if len(got) > 0 && (status != 200 || err != nil) {
			t.Errorf("got %+v, %v of %d %q", got, err, status, text)
		}
		for _, e := range got {
			if e.At.Before(day) || !e.At.Before(nextDay) || e.Currency != "KRW" || e.Payment == "" ||
				(e.Taken > 0) == (e.Returned > 0) || e.Taken < 0 || e.Returned < 0 {
				t.Errorf("got %+v of %q", e, text)
			}
		}
	})
}

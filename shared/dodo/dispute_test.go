package dodo_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"grantline/shared/billing"
	"grantline/shared/fault"
)

// What a bank took back counts once that is decided, and as all of the payment unless it says
// that it is a part (Dodo Payments API, Dispute).
func TestADisputeCountsOnceItIsLost(t *testing.T) {
	for _, c := range []struct {
		name, status, amount, currency string
		want                           int64
	}{
		{"opened", "dispute_opened", "1188", "USD", 0},
		{"challenged", "dispute_challenged", "1188", "USD", 0},
		{"won", "dispute_won", "1188", "USD", 0},
		{"cancelled", "dispute_cancelled", "1188", "USD", 0},
		{"expired", "dispute_expired", "1188", "USD", 0},
		{"nobody knows what", "", "1188", "USD", 0},
		{"lost", "dispute_lost", "1188", "USD", 1188},
		{"accepted", "dispute_accepted", "1188", "USD", 1188},
		{"lost, in main units", "dispute_lost", "11.88", "USD", 1188},
		{"lost, a part", "dispute_lost", "500", "USD", 500},
		{"lost, more than was paid", "dispute_lost", "99999", "USD", 1188},
		{"lost, unreadable", "dispute_lost", "all of it", "USD", 1188},
		{"lost, in another currency", "dispute_lost", "500", "EUR", 1188},
		{"lost, less than nothing", "dispute_lost", "-1", "USD", 1188},
	} {
		dispute := has{"dispute_status": c.status, "amount": c.amount, "currency": c.currency, "dispute_id": "dsp_1"}
		_, url, transports := open(t, paid("pay_1", has{"disputes": []has{dispute}}))
		var l log
		o := gateway(t, url, transports["own"], &l).Find(t.Context(), order, want)
		if o.Result != billing.Taken || o.Payment.Returned != c.want {
			t.Errorf("%s: got %v with %d given back, want %d", c.name, o.Result, o.Payment.Returned, c.want)
		}
	}
}

func TestAPaymentSaysForWhichOrderItWas(t *testing.T) {
	s, url, transports := open(t, paid("pay_1", nil))
	var l log
	g := gateway(t, url, transports["own"], &l)
	if got, err := g.OrderOf(t.Context(), "pay_1"); got != order || err != nil {
		t.Errorf("got %q, %v, want %s", got, err, order)
	}
	if got, err := g.OrderOf(t.Context(), "pay_of_nobody"); got != "" || err != nil {
		t.Errorf("an unknown payment: got %q, %v, want none", got, err)
	}
	before, _ := s.seen()
	for _, id := range []string{"", "pay_1/refunds", "pay 1", "../subscriptions", strings.Repeat("p", 101)} {
		if got, err := g.OrderOf(t.Context(), id); got != "" || err != nil {
			t.Errorf("%q: got %q, %v, want none", id, got, err)
		}
	}
	if after, _ := s.seen(); len(after) != len(before) {
		t.Errorf("what can be no payment: got the requests %q, want none", after[len(before):])
	}
	for _, status := range []int{401, 429, 500} {
		g = gateway(t, url, says{status, "{}"}, &l)
		if got, err := g.OrderOf(t.Context(), "pay_1"); got != "" || !errors.Is(err, fault.Unavailable) {
			t.Errorf("%d: got %q, %v, want fault.Unavailable", status, got, err)
		}
	}
}

// mute answers nobody, and notes until when it was waited for.
type mute struct{ until time.Time }

func (m *mute) RoundTrip(req *http.Request) (*http.Response, error) {
	m.until, _ = req.Context().Deadline()
	return nil, context.DeadlineExceeded
}

func TestNobodyWaitsForTheOrderOfAPaymentLongerThanForAnythingElse(t *testing.T) {
	var m mute
	g := gateway(t, "https://dodo.example", &m, &log{})
	if _, err := g.OrderOf(t.Context(), "pay_1"); !errors.Is(err, fault.Unavailable) || m.until.IsZero() {
		t.Errorf("got %v and asked until %v, want an outage at the gateway's time limit", err, m.until)
	}
}

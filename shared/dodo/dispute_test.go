package dodo_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

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

// disputed is a dispute as the list shows it.
func disputed(id, status, at string) has {
	return has{
		"amount": "1188", "business_id": "bus_1", "created_at": at, "currency": "USD", "dispute_id": id, "dispute_stage": "dispute",
		"dispute_status": status, "payment_id": "pay_of_" + id, "a_member_of_tomorrow": has{"x": 1},
	}
}

func TestTheListHasTheDisputesThatAreDecided(t *testing.T) {
	s, url, transports := open(t)
	const at = "2026-01-31T12:30:00Z"
	s.disputes = []has{
		disputed("early", "dispute_lost", "2026-01-31T11:59:59Z"),
		disputed("opened", "dispute_opened", at), disputed("challenged", "dispute_challenged", at), disputed("expired", "dispute_expired", at),
		disputed("tomorrow", "dispute_of_tomorrow", at),
		{"dispute_status": "dispute_opened", "created_at": at},
		disputed("lost", "dispute_lost", at), disputed("accepted", "dispute_accepted", at), disputed("won", "dispute_won", at),
		disputed("cancelled", "dispute_cancelled", at), disputed("late", "dispute_lost", "2026-01-31T13:00:00Z"),
	}
	var l log
	got, next, err := gateway(t, url, transports["own"], &l).Disputed(t.Context(), noon, noon.Add(time.Hour), "")
	wanted := []billing.Dispute{}
	for _, id := range []string{"lost", "accepted", "won", "cancelled"} {
		wanted = append(wanted, billing.Dispute{ID: id, Payment: "pay_of_" + id, Opened: noon.Add(30 * time.Minute), Lost: id == "lost" || id == "accepted"})
	}
	if diff := cmp.Diff(wanted, got); diff != "" || next != "1" || err != nil {
		t.Errorf("got next %q, %v, want 1; want -, got +\n%s", next, err, diff)
	}
	requests, _ := s.seen()
	if diff := cmp.Diff([]string{"GET /disputes?created_at_gte=2026-01-31T12%3A00%3A00Z&created_at_lte=2026-01-31T13%3A00%3A00Z&page_number=0&page_size=100"}, requests); diff != "" {
		t.Errorf("requests: want -, got +\n%s", diff)
	}
	silent(t, &l)
}

func TestTheListOfDisputesHasEveryPage(t *testing.T) {
	for _, size := range []int{0, 10} {
		s, url, transports := open(t)
		s.size = size
		for n := range 230 {
			s.disputes = append(s.disputes, disputed(fmt.Sprintf("dsp_%d", n), "dispute_lost", "2026-01-31T12:30:00Z"))
		}
		g := gateway(t, url, transports["own"], &log{})
		all, after := 0, ""
		for range 100 {
			some, next, err := g.Disputed(t.Context(), noon, noon.Add(time.Hour), after)
			if err != nil {
				t.Fatalf("page %q: got %v, want none", after, err)
			}
			all += len(some)
			if after = next; after == "" {
				break
			}
		}
		if all != 230 || after != "" {
			t.Errorf("pages of %d: got %d disputes and then %q, want 230 and an end", size, all, after)
		}
	}
}

func TestDisputesThatCannotBeReadAreUnavailable(t *testing.T) {
	for name, c := range map[string]struct {
		after, text string
		status      int
	}{
		"limit":           {"", `{"code":"TOO_MANY_REQUESTS"}`, 429},
		"key":             {"", `{"code":"UNAUTHORIZED"}`, 401},
		"no list":         {"", `{}`, 200},
		"no payment":      {"", `{"items":[{"dispute_id":"dsp_1","dispute_status":"dispute_lost","created_at":"2026-01-31T12:00:00Z"}]}`, 200},
		"no date":         {"", `{"items":[{"dispute_id":"dsp_1","dispute_status":"dispute_lost","payment_id":"pay_1"}]}`, 200},
		"no id":           {"", `{"items":[{"payment_id":"pay_1","dispute_status":"dispute_won","created_at":"2026-01-31T12:00:00Z"}]}`, 200},
		"a page of words": {"next", `{"items":[]}`, 200},
		"a page below 0":  {"-1", `{"items":[]}`, 200},
		"a page far away": {"2000", `{"items":[]}`, 200},
	} {
		var l log
		g := gateway(t, "https://dodo.example", says{c.status, c.text}, &l)
		disputes, next, err := g.Disputed(t.Context(), noon, noon.Add(time.Hour), c.after)
		if !errors.Is(err, fault.Unavailable) || disputes != nil || next != "" {
			t.Errorf("%s: got %v, %q, %v, want fault.Unavailable alone", name, disputes, next, err)
		}
		silent(t, &l, fmt.Sprint(err))
	}
}

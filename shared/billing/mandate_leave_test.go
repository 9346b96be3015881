package billing_test

import (
	"testing"
	"time"

	"grantline/shared/billing"
)

// The customer's word comes first, and the page is used all the same, before or after.
func TestCancelledWhilePendingNothingIsKept(t *testing.T) {
	t.Parallel()
	once := func(nth int) fate { return fate{drop: nth == 1} }
	for name, c := range map[string]struct {
		only   bool
		paid   time.Duration // from the cancellation; the page is closed a minute or two after it
		revoke func(nth int) fate
		post   func(billing.Hint, int) []time.Duration
		find   func(int) bool
		taken  int
	}{
		"the page was never used":         {paid: days(30)},
		"the mandate alone":               {only: true, paid: days(30)},
		"paid seconds before":             {paid: -4 * time.Second, taken: 1},
		"paid seconds after":              {paid: 20 * time.Second, revoke: once, taken: 1},
		"paid seconds after, unnoticed":   {paid: 20 * time.Second, revoke: once, post: silent, taken: 1},
		"paid while the page stays open":  {paid: 5 * time.Hour, revoke: func(nth int) fate { return fate{drop: nth < 5} }, taken: 1},
		"and nobody is told":              {paid: 5 * time.Hour, revoke: func(nth int) fate { return fate{drop: nth < 5} }, post: silent, taken: 1},
		"and look-ups fail for a while":   {paid: 20 * time.Second, revoke: once, find: func(nth int) bool { return nth < 6 }, taken: 1},
		"approved while it stays open":    {only: true, paid: 5 * time.Hour, revoke: func(nth int) fate { return fate{drop: nth < 5} }},
		"paid on the second, long after":  {paid: 30 * time.Hour, revoke: func(nth int) fate { return fate{drop: nth < 6} }, taken: 1},
		"revoked, and the answer is lost": {paid: days(30), revoke: func(nth int) fate { return fate{lose: nth < 3} }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newAbroad(t, noon)
			w.compares = true
			w.dodo.revoke, w.dodo.post, w.dodo.find = c.revoke, c.post, c.find
			w.asked(invitation("usd", c.only))
			end := noon.Add(3 * time.Hour)
			if c.paid < 0 {
				w.until(end.Add(c.paid))
				w.dodo.approve()
			}
			w.until(end)
			if _, err := w.biller.Cancel(t.Context(), scope, "sub-1", false); err != nil {
				t.Fatal(err)
			}
			if c.paid > 0 {
				w.until(end.Add(c.paid))
				w.dodo.approve()
			}
			w.until(end.Add(days(12)))
			w.wantState(billing.StateCancelled)
			w.wantKept()
			if got := len(w.dodo.taken()); got != c.taken {
				t.Errorf("payments on the page: got %d, want %d, given back", got, c.taken)
			}
			if got := len(w.dodo.sent()); got != 0 {
				t.Errorf("charges: got %d, want none", got)
			}
			if m := w.dodo.newest(); m.state != billing.MandateEnded {
				t.Errorf("mandate: got %s, want it revoked", m.state)
			}
			if c.taken > 0 && !w.alarmed() {
				t.Error("money was taken that should not have been, and nobody was told")
			}
			w.wantAccess(false)
			w.sound()
		})
	}
}

func TestMoneyOfACancelledPageIsOnItsWayBackWithinMinutesOfItsNotice(t *testing.T) {
	t.Parallel()
	w := newAbroad(t, noon)
	w.dodo.revoke = func(nth int) fate { return fate{drop: nth < 4} }
	w.dodo.find = func(int) bool { return w.clock.Now().Before(noon.Add(20*time.Hour + 20*time.Minute)) }
	w.asked(invitation("usd", false))
	w.until(noon.Add(20 * time.Hour))
	if _, err := w.biller.Cancel(t.Context(), scope, "sub-1", true); err != nil {
		t.Fatal(err)
	}
	w.until(noon.Add(20*time.Hour + 30*time.Minute))
	w.dodo.approve()
	w.until(noon.Add(20*time.Hour + 35*time.Minute))
	if len(w.dodo.taken()) != 1 {
		t.Fatal("the page took no money")
	}
	w.wantKept()
	w.until(noon.Add(days(3)))
	w.sound()
}

// A cancelled sign-up's page is open until its mandate is revoked, so that comes first.
func TestAPendingMandateIsRevokedWithinMinutesOfTheCancellation(t *testing.T) {
	t.Parallel()
	w := newAbroad(t, noon)
	w.asked(invitation("usd", false))
	w.until(noon.Add(time.Hour))
	if _, err := w.biller.Cancel(t.Context(), scope, "sub-1", true); err != nil {
		t.Fatal(err)
	}
	w.until(noon.Add(time.Hour + 2*time.Minute))
	if m := w.dodo.newest(); m.state != billing.MandateEnded {
		t.Errorf("mandate: got %s, want it revoked", m.state)
	}
	created, err := w.ask(invitation("usd", false))
	if err != nil || created.Link != "" {
		t.Errorf("asked again: got page %q, %v; want no page of what is cancelled", created.Link, err)
	}
	w.until(noon.Add(days(2)))
	w.sound()
}

package appsintoss_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/infra/sim/appsintoss"
	"grantline/infra/sim/stage/stagetest"
)

const premium = "premium-1month"

// agency is an office whose clock comes to each thing at its instant, with a receiver of
// webhooks.
type agency struct {
	*office

	clock    *stagetest.Clock
	receiver *stagetest.Receiver
	seen     int
}

func newAgency(t *testing.T, options appsintoss.Options) *agency {
	clock := stagetest.NewClock()
	a := &agency{clock: clock, receiver: stagetest.NewReceiver(t, clock)}
	options.Now, options.At, options.Webhooks = clock.Now, clock.At, a.receiver.URL
	a.office = officeOf(t, appsintoss.New(options))
	return a
}

func ptr[T any](v T) *T { return &v }

func (a *agency) days(n int) { a.clock.Advance(time.Duration(n) * 24 * time.Hour) }

func (a *agency) buy(p appsintoss.Purchase) appsintoss.Bought {
	a.t.Helper()
	bought, err := a.Purchase(p)
	if err != nil || bought.ErrorCode != "" {
		a.t.Fatalf("purchase: got %q, %v; want it bought", bought.ErrorCode, err)
	}
	return bought
}

// word is a webhook as it came.
type word struct {
	Reason, Order, SKU, Status string
	Access, AutoRenew          bool
	Expires                    any
	Before                     string // the previous status
}

// hears gives the webhooks since the last time, having let the clock come to them.
func (a *agency) hears() []word {
	a.clock.Advance(0)
	all := a.receiver.Arrivals()
	fresh := all[a.seen:]
	a.seen = len(all)
	words := []word{}
	for _, arrival := range fresh {
		b := arrival.Body
		subscription, _ := b["subscription"].(map[string]any)
		current, _ := subscription["current"].(map[string]any)
		previous, _ := subscription["previous"].(map[string]any)
		text := func(v any) string { s, _ := v.(string); return s }
		yes := func(v any) bool { is, _ := v.(bool); return is }
		words = append(words, word{
			Reason: text(b["changeReason"]), Order: text(b["orderId"]), SKU: text(b["sku"]), Status: text(current["status"]),
			Access: yes(current["accessGranted"]), AutoRenew: yes(current["autoRenew"]), Expires: current["expiresAt"], Before: text(previous["status"]),
		})
	}
	return words
}

// wants says that just these were heard.
func (a *agency) wants(name string, want ...word) {
	a.t.Helper()
	if want == nil {
		want = []word{}
	}
	if diff := cmp.Diff(want, a.hears()); diff != "" {
		a.t.Errorf("%s: webhooks differ (-want +got):\n%s", name, diff)
	}
}

// effects counts the effects of each kind of an order.
func (a *agency) effects(id string) map[string]int {
	counts := map[string]int{}
	for _, e := range a.Effects() {
		if e.OrderID == id {
			counts[e.Kind]++
		}
	}
	return counts
}

func (a *agency) info(id string) appsintoss.Info {
	a.t.Helper()
	got, err := a.Info(appsintoss.Held{OrderID: id})
	if err != nil || got.Subscription == nil {
		a.t.Fatalf("info: got %v, %v; want a subscription", got, err)
	}
	return *got.Subscription
}

func TestSubscriptionRenewsOfItselfAtEachEndOfAPeriod(t *testing.T) {
	for _, c := range []struct {
		sku  string
		ends []string
	}{
		{"premium-1week", []string{"2026-03-08T09:00:00", "2026-03-15T09:00:00", "2026-03-22T09:00:00"}},
		{"premium-1month", []string{"2026-04-01T09:00:00", "2026-05-01T09:00:00", "2026-06-01T09:00:00"}},
		{"premium-1year", []string{"2027-03-01T09:00:00", "2028-03-01T09:00:00", "2029-03-01T09:00:00"}},
	} {
		a := newAgency(t, appsintoss.Options{})
		id := a.buy(appsintoss.Purchase{SKU: c.sku}).OrderID
		word := word{"CREATED", id, c.sku, "ACTIVE", true, true, c.ends[0], ""}
		a.wants(c.sku, word)
		word.Before = "ACTIVE"
		for i, end := range c.ends[:2] {
			at, err := time.Parse(time.RFC3339, end+"+09:00")
			if err != nil {
				t.Fatal(err)
			}
			a.clock.Advance(at.Sub(a.clock.Now()) - time.Second)
			a.wants(c.sku + " before its end")
			a.clock.Advance(time.Second)
			word.Reason, word.Expires = "RENEWED", c.ends[i+1]
			a.wants(c.sku, word)
		}
		if diff := cmp.Diff(map[string]int{"purchased": 1, "renewed": 2}, a.effects(id)); diff != "" {
			t.Errorf("%s: effects differ (-want +got):\n%s", c.sku, diff)
		}
	}
}

func TestMonthWithoutThatDayEndsOnItsLastAndComesBack(t *testing.T) {
	a := newAgency(t, appsintoss.Options{})
	a.days(30) // 31 March
	a.buy(appsintoss.Purchase{SKU: premium})
	a.days(70)
	var ends []any
	for _, w := range a.hears() {
		ends = append(ends, w.Expires)
	}
	if diff := cmp.Diff([]any{"2026-04-30T09:00:00", "2026-05-31T09:00:00", "2026-06-30T09:00:00"}, ends); diff != "" {
		t.Errorf("ends differ (-want +got):\n%s", diff)
	}
}

func TestFailedBillingGoesThroughGraceAndHoldToItsEnd(t *testing.T) {
	const end = "2026-04-01T09:00:00"
	a := newAgency(t, appsintoss.Options{})
	id := a.buy(appsintoss.Purchase{SKU: premium}).OrderID
	a.hears()
	a.must(a.FailBilling(appsintoss.Held{OrderID: id}))
	a.days(31)
	a.wants("grace", word{"ENTERED_GRACE_PERIOD", id, premium, "IN_GRACE_PERIOD", true, true, end, "ACTIVE"})
	if got := a.info(id); got.GraceExpires == nil || *got.GraceExpires != "2026-04-08T09:00:00" || !got.IsAccessible || *got.ExpiresAt != end {
		t.Errorf("grace: got %+v, want it accessible until 8 April", got)
	}
	a.days(7)
	a.wants("hold", word{"ON_HOLD", id, premium, "ON_HOLD", false, true, end, "IN_GRACE_PERIOD"})
	a.days(30)
	a.wants("end", word{"EXPIRED", id, premium, "EXPIRED", false, false, end, "ON_HOLD"})
	a.days(400)
	a.wants("afterwards")
	if diff := cmp.Diff(map[string]int{"purchased": 1, "graceEntered": 1, "onHold": 1, "expired": 1}, a.effects(id)); diff != "" {
		t.Errorf("effects differ (-want +got):\n%s", diff)
	}
	without := a.buy(appsintoss.Purchase{SKU: premium, GraceDays: ptr(0), HoldDays: ptr(3)}).OrderID
	a.must(a.FailBilling(appsintoss.Held{OrderID: without}))
	a.days(40)
	var reasons []string
	for _, w := range a.hears() {
		reasons = append(reasons, w.Reason)
	}
	if diff := cmp.Diff([]string{"CREATED", "ON_HOLD", "EXPIRED"}, reasons); diff != "" {
		t.Errorf("without grace: reasons differ (-want +got):\n%s", diff)
	}
}

func TestRecoveryInGraceKeepsTheDayAndOnHoldBeginsAnew(t *testing.T) {
	for _, c := range []struct {
		name, before, expires string
		after                 int
	}{
		{"grace", "IN_GRACE_PERIOD", "2026-05-01T09:00:00", 33},
		{"hold", "ON_HOLD", "2026-05-10T09:00:00", 40},
	} {
		a := newAgency(t, appsintoss.Options{})
		id := a.buy(appsintoss.Purchase{SKU: premium}).OrderID
		a.must(a.FailBilling(appsintoss.Held{OrderID: id}))
		a.days(c.after)
		a.hears()
		a.must(a.RecoverBilling(appsintoss.Held{OrderID: id}))
		a.wants(c.name, word{"RECOVERED", id, premium, "ACTIVE", true, true, c.expires, c.before})
		a.days(31)
		if got := a.effects(id); got["recovered"] != 1 || got["renewed"] != 1 {
			t.Errorf("%s: got %v, want it recovered and then renewed", c.name, got)
		}
	}
}

func TestCancelledSubscriptionEndsUnlessItIsTakenUpAgain(t *testing.T) {
	const end = "2026-04-01T09:00:00"
	a := newAgency(t, appsintoss.Options{})
	id := a.buy(appsintoss.Purchase{SKU: premium}).OrderID
	a.hears()
	off := appsintoss.AutoRenew{OrderID: id}
	a.must(a.SetAutoRenew(off))
	a.wants("off", word{"AUTO_RENEW_DISABLED", id, premium, "ACTIVE", true, false, end, "ACTIVE"})
	if a.SetAutoRenew(off) == nil {
		t.Error("off again: got nil, want it refused")
	}
	a.must(a.SetAutoRenew(appsintoss.AutoRenew{OrderID: id, On: true}))
	a.wants("on", word{"AUTO_RENEW_ENABLED", id, premium, "ACTIVE", true, true, end, "ACTIVE"})
	if a.Restart(appsintoss.Restart{OrderID: id}) == nil {
		t.Error("restart of what runs: got nil, want it refused")
	}
	a.must(a.SetAutoRenew(off))
	a.must(a.Restart(appsintoss.Restart{OrderID: id}))
	a.hears()
	a.must(a.SetAutoRenew(off))
	a.must(a.Restart(appsintoss.Restart{OrderID: id, AutoRenew: ptr(false)}))
	a.wants("restarted, and off all the same",
		word{"AUTO_RENEW_DISABLED", id, premium, "ACTIVE", true, false, end, "ACTIVE"},
		word{"RESTARTED", id, premium, "ACTIVE", true, false, end, "ACTIVE"})
	a.days(31)
	a.wants("end", word{"EXPIRED", id, premium, "EXPIRED", false, false, end, "ACTIVE"})
	if a.Restart(appsintoss.Restart{OrderID: id}) == nil || a.Renew(appsintoss.Held{OrderID: id}) == nil {
		t.Error("after its end: got it done, want it refused")
	}
}

func TestPauseBeginsWithTheEndOfThePeriod(t *testing.T) {
	const end = "2026-04-01T09:00:00"
	a := newAgency(t, appsintoss.Options{})
	id := a.buy(appsintoss.Purchase{SKU: premium}).OrderID
	a.hears()
	a.must(a.Pause(appsintoss.Days{OrderID: id, Days: 14}))
	a.wants("to come")
	a.days(31)
	a.wants("paused", word{"PAUSED", id, premium, "PAUSED", false, true, end, "ACTIVE"})
	a.days(14)
	a.wants("resumed", word{"RECOVERED", id, premium, "ACTIVE", true, true, "2026-05-15T09:00:00", "PAUSED"})
	a.must(a.Pause(appsintoss.Days{OrderID: id}))
	a.must(a.Resume(appsintoss.Held{OrderID: id}))
	a.days(30)
	a.wants("called off", word{"RENEWED", id, premium, "ACTIVE", true, true, "2026-06-15T09:00:00", "ACTIVE"})
	a.must(a.Pause(appsintoss.Days{OrderID: id, Days: 300}))
	a.days(40)
	a.hears()
	a.must(a.Resume(appsintoss.Held{OrderID: id}))
	if got := a.hears(); len(got) != 1 || got[0].Reason != "RECOVERED" {
		t.Errorf("resumed by hand: got %v, want RECOVERED", got)
	}
}

func TestExtensionMovesTheEndForNothing(t *testing.T) {
	a := newAgency(t, appsintoss.Options{})
	id := a.buy(appsintoss.Purchase{SKU: premium}).OrderID
	a.hears()
	a.must(a.Extend(appsintoss.Days{OrderID: id, Days: 7}))
	a.wants("extended", word{"EXTENDED", id, premium, "ACTIVE", true, true, "2026-04-08T09:00:00", "ACTIVE"})
	a.days(37)
	a.wants("before the new end")
	a.days(1)
	a.wants("renewed", word{"RENEWED", id, premium, "ACTIVE", true, true, "2026-05-08T09:00:00", "ACTIVE"})
}

func TestRevocationIsToldAndARefundOfAOneTimeProductIsNot(t *testing.T) {
	a := newAgency(t, appsintoss.Options{})
	for name, revoke := range map[string]func(string) error{
		"revoke": func(id string) error { return a.Revoke(appsintoss.Revocation{OrderID: id, Reason: "asked"}) },
		"refund": func(id string) error { return a.Refund(appsintoss.Refund{OrderID: id, Reason: "asked"}) },
	} {
		id := a.buy(appsintoss.Purchase{SKU: premium}).OrderID
		a.hears()
		a.must(revoke(id))
		a.wants(name, word{"REVOKED", id, premium, "REVOKED", false, false, "2026-03-01T09:00:00", "ACTIVE"})
		if got := a.look(id).Success; got["status"] != appsintoss.Refunded || got["reason"] != "asked" {
			t.Errorf("%s: got %v, want REFUNDED with its reason", name, got)
		}
		if got := a.info(id); got.Status != "REVOKED" || got.IsAccessible {
			t.Errorf("%s: got %+v, want it revoked", name, got)
		}
		if revoke(id) == nil {
			t.Errorf("%s again: got nil, want it refused", name)
		}
	}
	kept := a.buy(appsintoss.Purchase{SKU: premium}).OrderID
	a.must(a.Revoke(appsintoss.Revocation{OrderID: kept, Refund: ptr(false)}))
	if got := a.effects(kept); got["refunded"] != 0 || got["revoked"] != 1 {
		t.Errorf("without refund: got %v, want it revoked alone", got)
	}
	a.hears()
	gems := a.buy(appsintoss.Purchase{SKU: "gems-100"}).OrderID
	a.must(a.Refund(appsintoss.Refund{OrderID: gems}))
	a.wants("one-time")
	if got := a.look(gems).Success["status"]; got != appsintoss.Refunded {
		t.Errorf("one-time: got %v, want REFUNDED", got)
	}
	unpaid := a.order(appsintoss.NewOrder{SKU: "gems-100", Status: appsintoss.InProgress})
	if a.Refund(appsintoss.Refund{OrderID: unpaid}) == nil || a.Refund(appsintoss.Refund{OrderID: gems}) == nil {
		t.Error("unpaid, and again: got it refunded, want it refused")
	}
}

func TestSwitchOfPlansLeavesTwoActive(t *testing.T) {
	a := newAgency(t, appsintoss.Options{})
	old := a.buy(appsintoss.Purchase{SKU: premium, UserKey: "user-1"}).OrderID
	a.hears()
	bought, err := a.Switch(appsintoss.Switch{OrderID: old, SKU: "premium-1year"})
	if err != nil || bought.OrderID == old || bought.SubscriptionID == "" {
		t.Fatalf("switch: got %+v, %v; want another subscription", bought, err)
	}
	a.wants("switch",
		word{"CREATED", bought.OrderID, "premium-1year", "ACTIVE", true, true, "2027-03-01T09:00:00", ""},
		word{"AUTO_RENEW_DISABLED", old, premium, "ACTIVE", true, false, "2026-04-01T09:00:00", "ACTIVE"})
	if !a.info(old).IsAccessible || !a.info(bought.OrderID).IsAccessible {
		t.Error("got one of them out of use, want both active")
	}
	a.days(31)
	a.wants("end of the old one", word{"EXPIRED", old, premium, "EXPIRED", false, false, "2026-04-01T09:00:00", "ACTIVE"})
	if _, err := a.Switch(appsintoss.Switch{OrderID: bought.OrderID, SKU: "gems-100"}); err == nil {
		t.Error("to gems: got it done, want it refused")
	}
}

func TestRenewalHasTheSameOrderIDOrANewOne(t *testing.T) {
	a := newAgency(t, appsintoss.Options{})
	id := a.buy(appsintoss.Purchase{SKU: premium, UserKey: "user-1"}).OrderID
	a.must(a.Renew(appsintoss.Held{OrderID: id}))
	if got := a.hears(); len(got) != 2 || got[1].Order != id {
		t.Fatalf("same: got %v, want CREATED and RENEWED of one order", got)
	}
	a.must(a.Set(appsintoss.Settings{RenewalOrder: ptr("new")}))
	a.must(a.Renew(appsintoss.Held{OrderID: id}))
	renewed := a.hears()[0].Order
	if renewed == id {
		t.Error("new: got the order before, want another")
	}
	if got := a.look(renewed).Success; got["status"] != appsintoss.Purchased || got["sku"] != premium {
		t.Errorf("new: got %v, want it PURCHASED", got)
	}
	if first, second := a.info(id), a.info(renewed); !cmp.Equal(first, second) || first.Status != "ACTIVE" {
		t.Errorf("info: got %+v and %+v, want the same by either order", first, second)
	}
	if got := a.Pending(appsintoss.User{UserKey: "user-1"}).Orders; len(got) != 1 || got[0].OrderID != id {
		t.Errorf("pending: got %v, want the first order alone", got)
	}
	a.must(a.SetAutoRenew(appsintoss.AutoRenew{OrderID: id}))
	if got := a.hears()[0].Order; got != renewed {
		t.Errorf("later: got %s, want the newest order", got)
	}
}

func TestOrdersOfSubscriptionsMayBeUnknownToTheAPI(t *testing.T) {
	a := newAgency(t, appsintoss.Options{})
	id := a.buy(appsintoss.Purchase{SKU: premium}).OrderID
	for answered, want := range map[bool]string{true: appsintoss.PaymentCompleted, false: appsintoss.NotFound} {
		a.must(a.Set(appsintoss.Settings{SubscriptionOrders: &answered}))
		if got := a.look(id).Success["status"]; got != want {
			t.Errorf("%v: got %v, want %s", answered, got, want)
		}
	}
}

func TestInfoLagsBehindThePurchase(t *testing.T) {
	a := newAgency(t, appsintoss.Options{})
	lag := minutes(5)
	a.must(a.Set(appsintoss.Settings{InfoLag: &lag}))
	id := a.buy(appsintoss.Purchase{SKU: premium}).OrderID
	if got, err := a.Info(appsintoss.Held{OrderID: id}); err != nil || got.Subscription != nil {
		t.Errorf("at once: got %v, %v; want nothing", got, err)
	}
	a.clock.Advance(5 * time.Minute)
	if got := a.info(id); got.Status != "ACTIVE" {
		t.Errorf("later: got %+v, want it active", got)
	}
	if _, err := a.Info(appsintoss.Held{OrderID: a.order(appsintoss.NewOrder{SKU: "gems-100"})}); err == nil {
		t.Error("one-time: got an answer, want an error")
	}
}

package billing_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"grantline/shared/billing"
	"grantline/shared/fault"
)

// Each look costs of the pace that charges share, and whoever does not come back in two
// weeks is waited for by notice alone.
func TestAnUnpaidMandateOnHoldIsLookedAtForTwoWeeks(t *testing.T) {
	t.Parallel()
	w := renewing(t, "usd")
	w.dodo.holds = true
	w.dodo.fate = refusing(map[string]string{"1.1": "CARD_DECLINED"})
	w.until(seventeenDay.Add(days(13)))
	if s := w.subscription("sub-1"); s.State != billing.StateUnpaid || s.Step != billing.StepAwait {
		t.Errorf("within two weeks: got %s with step %q, want it unpaid and awaiting", s.State, s.Step)
	}
	w.until(seventeenDay.Add(days(16)))
	if s := w.subscription("sub-1"); s.Step != billing.StepNone {
		t.Errorf("after two weeks: got step %q, want it to sleep", s.Step)
	}
	before := w.dodo.count("look")
	w.until(seventeenDay.Add(days(40)))
	if got := w.dodo.count("look"); got != before {
		t.Errorf("looks while it sleeps: got %d, want none", got-before)
	}
	w.sound()
	w.dodo.mended("pm_2")
	w.until(seventeenDay.Add(days(75)))
	w.wantState(billing.StateActive)
	w.sound()
}

func TestChangingTheMethodOfAMandateAnswersAPage(t *testing.T) {
	t.Parallel()
	w := subscribed(t, "usd")
	_, link, waiting, err := w.biller.ChangeMethod(t.Context(), scope, "sub-1", nil, "")
	if err != nil || waiting || !strings.Contains(link, "secret-mend-") {
		t.Errorf("ChangeMethod: got page %q, waiting %v, %v", link, waiting, err)
	}
	if got := w.dodo.returnURLs; !slices.Equal(got, []string{"https://app.example/back"}) {
		t.Errorf("return address: got %v, want that of the sign-up", got)
	}
	for _, address := range []string{"ftp://app.example", "https://" + strings.Repeat("a", 500), "app"} {
		_, _, _, err := w.biller.ChangeMethod(t.Context(), scope, "sub-1", nil, address)
		wantFault(t, err, fault.Malformed, "invalid_request")
	}
	if _, _, _, err := w.biller.ChangeMethod(t.Context(), scope, "sub-1", &billing.NewCard{AuthKey: "a", CustomerKey: "bb"}, ""); !isFault(err, fault.Malformed) {
		t.Errorf("with a card: got %v, want it malformed", err)
	}
	w.until(noon.Add(2 * time.Hour))
	w.dodo.mended("pm_2")
	w.until(noon.Add(3 * time.Hour))
	if got := w.subscription("sub-1").Method; got != "pm_2" {
		t.Errorf("method: got %q, want the new one", got)
	}
	if got := len(w.dodo.sent()); got != 0 {
		t.Errorf("charges: got %d, want none for a new means of payment", got)
	}
	w.sound()
}

func TestThePageOfASignUpIsNoPageToChangeTheMethod(t *testing.T) {
	t.Parallel()
	w := newAbroad(t, noon)
	w.asked(invitation("usd", true))
	_, _, _, err := w.biller.ChangeMethod(t.Context(), scope, "sub-1", nil, "")
	wantFault(t, err, fault.Conflict, "not_ready")
	w.until(noon.Add(time.Hour))
	if _, err := w.biller.Cancel(t.Context(), scope, "sub-1", true); err != nil {
		t.Fatal(err)
	}
	_, _, _, err = w.biller.ChangeMethod(t.Context(), scope, "sub-1", nil, "")
	wantFault(t, err, fault.Conflict, "subscription_cancelled")
}

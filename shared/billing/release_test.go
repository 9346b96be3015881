package billing_test

import (
	"testing"
	"time"

	"grantline/shared/billing"
	"grantline/shared/fault"
)

// other is a sign-up by somebody else under the customerKey of signUp.
func other() billing.SignUp {
	r := signUp("monthly")
	r.ID, r.CustomerID, r.Card.AuthKey = "sub-2", "person-2", "other"
	return r
}

// Whoever guesses another's customerKey needs a card of its own to keep it.
func TestARefusedCardKeepsNobodyFromItsCustomerKey(t *testing.T) {
	t.Parallel()
	for name, queued := range map[string]bool{"refused to the request": false, "refused to the queue": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, noon)
			w.gateway.issue = func(nth int) (refused, dropped, lost bool) {
				return nth <= 2, queued && nth == 1, false
			}
			created, err := w.try(signUp("monthly"))
			if queued {
				if err != nil || created.Subscription.State != billing.StatePending {
					t.Fatalf("unanswered: got %s, %v, want pending", created.Subscription.State, err)
				}
				// While it is not refused, the key is its customer's.
				_, err = w.try(other())
				wantFault(t, err, fault.Conflict, "customer_key_taken")
				w.until(noon.Add(time.Hour))
			} else {
				wantFault(t, err, fault.Invalid, "payment_method_refused")
				w.gateway.issue = nil
			}
			if created, err := w.try(other()); err != nil || created.Subscription.State != billing.StateActive {
				t.Errorf("its owner: got %s, %v, want active", created.Subscription.State, err)
			}
			again := signUp("monthly")
			again.Card.AuthKey = "once more"
			_, err = w.try(again)
			wantFault(t, err, fault.Conflict, "customer_key_taken")
		})
	}
}

func TestARefusedCardLosesNoCustomerKeyThatAnotherCardKeeps(t *testing.T) {
	t.Parallel()
	w := newWorld(t, noon)
	w.subscribe(signUp("monthly"))
	w.gateway.issue = func(nth int) (refused, dropped, lost bool) { return nth == 2, false, false }
	r := signUp("weekly")
	r.ID, r.Card.AuthKey = "sub-3", "refused"
	_, err := w.try(r)
	wantFault(t, err, fault.Invalid, "payment_method_refused")
	_, err = w.try(other())
	wantFault(t, err, fault.Conflict, "customer_key_taken")
	w.sound("sub-1")
}

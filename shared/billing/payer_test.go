package billing_test

import (
	"testing"

	"grantline/shared/billing"
	"grantline/shared/customer"
	"grantline/shared/fault"
)

// A gateway asks a new payer for an address and a name; the profile knows them already.
func TestWhatTheRequestLeavesOutOfThePayerIsInTheProfile(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		profile customer.Profile
		payer   billing.Payer
		want    billing.Payer
	}{
		"all given":     {customer.Profile{Email: "p@example.com", Name: "P"}, billing.Payer{Email: "a@example.com", Name: "A"}, billing.Payer{Email: "a@example.com", Name: "A"}},
		"no name":       {customer.Profile{}, billing.Payer{Email: "a@example.com"}, billing.Payer{Email: "a@example.com", Name: "a@example.com"}},
		"nothing given": {customer.Profile{Email: "p@example.com", Name: "P"}, billing.Payer{}, billing.Payer{Email: "p@example.com", Name: "P"}},
		"known there":   {customer.Profile{Email: "p@example.com", Name: "P"}, billing.Payer{ID: "cus_1"}, billing.Payer{ID: "cus_1"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newAbroad(t, noon)
			w.profile(c.profile.Email, c.profile.Name)
			ask := invitation("usd", true)
			ask.Mandate.Payer = c.payer
			if _, err := w.biller.Subscribe(t.Context(), scope, ask); err != nil {
				t.Fatal(err)
			}
			if got := w.dodo.invitations[0].Customer; got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
	w := newAbroad(t, noon)
	ask := invitation("usd", true)
	ask.Mandate.Payer = billing.Payer{}
	_, err := w.biller.Subscribe(t.Context(), scope, ask)
	wantFault(t, err, fault.Invalid, "payer_unknown")
	if len(w.dodo.invitations) != 0 {
		t.Errorf("got %d pages, want none", len(w.dodo.invitations))
	}
}

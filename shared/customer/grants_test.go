package customer_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/abuse"
	"grantline/shared/clock"
	"grantline/shared/customer"
	"grantline/shared/entitlement"
	"grantline/shared/event"
	"grantline/shared/fault"
	"grantline/shared/table"
)

func (p *people) give(id string, g customer.Grant) error {
	_, err := p.Grant(p.Context(), table.Default, id, g, p.now)
	return err
}

func (p *people) takeBack(id string, g customer.Grant) error {
	_, err := p.Revoke(p.Context(), table.Default, id, g, p.now)
	return err
}

func (p *people) active(id, name string, at time.Time) bool {
	p.Helper()
	for _, e := range named(p.T, p.Directory, id).Entitlements(at) {
		if e.ID == name {
			return e.Active
		}
	}
	return false
}

func TestAGrantHappensOnceForEachReference(t *testing.T) {
	p := newPeople(t)
	month := customer.Grant{Entitlement: "premium", Reference: "ticket-1", Reason: "The app was down.", ExpiresAt: noon.Add(720 * time.Hour)}
	for range 2 {
		if err := p.give("ann", month); err != nil {
			t.Fatal(err)
		}
	}
	if !p.active("ann", "premium", noon.Add(719*time.Hour)) || p.active("ann", "premium", noon.Add(720*time.Hour)) {
		t.Error("the grant should give until its end, and no longer")
	}
	all := p.log("ann")
	if len(all) != 1 || all[0].Type != event.EntitlementGranted || all[0].Reference != "ticket-1" || all[0].Cause.Reason != month.Reason {
		t.Errorf("got events %+v, want one that says which grant and why", all)
	}
	longer := month
	longer.ExpiresAt = time.Time{}
	if err := p.give("ann", longer); fault.Code(err) != "reference_used" {
		t.Errorf("another end under the same reference: got %v, want reference_used", err)
	}
	other := month
	other.Entitlement = "ad_free"
	if err := p.give("ann", other); err != nil {
		t.Errorf("the same reference for another entitlement: got %v, want it taken", err)
	}
	for range 2 {
		if err := p.takeBack("ann", month); err != nil {
			t.Fatal(err)
		}
	}
	if p.active("ann", "premium", noon) || !p.active("ann", "ad_free", noon) {
		t.Error("what was revoked should be over, and the other grant not")
	}
	if err := p.give("ann", month); fault.Code(err) != "reference_used" {
		t.Errorf("granting again what was revoked: got %v, want reference_used: a late repeat must not bring it back", err)
	}
	if all = p.log("ann"); len(all) != 3 || all[2].Type != event.EntitlementRevoked {
		t.Errorf("got events %+v, want one more that says that it was revoked", all)
	}
	if err := p.takeBack("ann", customer.Grant{Entitlement: "premium", Reference: "none"}); !errors.Is(err, fault.NotFound) {
		t.Errorf("revoking what there is not: got %v, want not found", err)
	}
	p.foldsEqual("ann")
}

func TestNoStoreEndsWhatTheCompanyGranted(t *testing.T) {
	p := newPeople(t)
	if err := p.give("ann", customer.Grant{Entitlement: "premium", Reference: "t", Reason: "r"}); err != nil {
		t.Fatal(err)
	}
	c := named(t, p.Directory, "ann")
	c.Replace(entitlement.Source{Kind: entitlement.KindPurchase, Provider: "apple", Ref: "t", Entitlement: "premium", State: entitlement.Ended})
	c.Tell(event.Event{Type: event.PurchaseRefunded, At: noon})
	if err := save(t, p.Directory, c); err != nil {
		t.Fatal(err)
	}
	if !p.active("ann", "premium", noon) {
		t.Error("a refund ended what the company granted")
	}
}

func TestAGrantThatCannotBeIsRefused(t *testing.T) {
	p := newPeople(t)
	for what, g := range map[string]customer.Grant{
		"over already":    {Entitlement: "premium", Reference: "t", Reason: "r", ExpiresAt: noon},
		"no reference":    {Entitlement: "premium", Reason: "r"},
		"a route's name":  {Entitlement: "premium", Reference: "explain", Reason: "r"},
		"a slash":         {Entitlement: "premium", Reference: "a/b", Reason: "r"},
		"too long":        {Entitlement: "premium", Reference: strings.Repeat("x", 101), Reason: "r"},
		"no reason":       {Entitlement: "premium", Reference: "t"},
		"a novel":         {Entitlement: "premium", Reference: "t", Reason: strings.Repeat("r", 501)},
		"control letters": {Entitlement: "premium", Reference: "t", Reason: "a\x00b"},
	} {
		if err := p.give("ann", g); !errors.Is(err, fault.Malformed) && !errors.Is(err, fault.Invalid) {
			t.Errorf("%s: got %v, want it refused", what, err)
		}
	}
	if got := p.tables.Items(table.Customers); len(got) != 0 {
		t.Errorf("got %d items, want none after refusals", len(got))
	}
}

func TestGrantsOfOneCustomerAreBounded(t *testing.T) {
	p := newPeople(t)
	for i := range 100 {
		until := time.Time{}
		if i == 7 {
			until = noon.Add(time.Hour)
		}
		if err := p.give("ann", customer.Grant{Entitlement: "premium", Reference: fmt.Sprint(i), Reason: "r", ExpiresAt: until}); err != nil {
			t.Fatal(err)
		}
	}
	more := customer.Grant{Entitlement: "premium", Reference: "more", Reason: "r"}
	if err := p.give("ann", more); fault.Code(err) != "too_many_grants" {
		t.Errorf("got %v, want too_many_grants while all of them give", err)
	}
	p.now = clock.Fixed(noon.Add(2 * time.Hour))
	if err := p.give("ann", more); err != nil {
		t.Errorf("got %v, want the one that is over to make room", err)
	}
	if got := len(named(t, p.Directory, "ann").Sources()); got != 100 {
		t.Errorf("got %d sources, want 100", got)
	}
	p.foldsEqual("ann")
}

func TestAGrantThatFailsAnywhereHappensOnce(t *testing.T) {
	for n := 1; n < 8; n++ {
		for _, apply := range []bool{false, true} {
			p := newPeople(t)
			p.failing(n, apply, false)
			if err := p.give("ann", customer.Grant{Entitlement: "premium", Reference: "t", Reason: "r"}); err != nil {
				t.Errorf("operation %d, applied %t: got %v, want it got over", n, apply, err)
			}
			p.tables.Fail = nil
			if got := len(p.log("ann")); got != 1 || !p.active("ann", "premium", noon) {
				t.Errorf("operation %d, applied %t: got %d events, want one grant", n, apply, got)
			}
		}
	}
}

func (p *people) decide(o abuse.Override, policy abuse.Policy) (*customer.Customer, error) {
	return p.Override(p.Context(), table.Default, "ann", o, policy, p.now)
}

func TestAPersonsWordStandsAboveTheScoreAndIsKeptWithItsReason(t *testing.T) {
	policy := abuse.Policy{abuse.Note: 1, abuse.BlockSpending: 5}
	p := newPeople(t)
	if _, err := p.decide(abuse.Override{Reason: "r", By: "key_1"}, policy); !errors.Is(err, fault.NotFound) {
		t.Errorf("of nobody: got %v, want not found", err)
	}
	p.bought("ann", "1", 100, 100) // the debt alone scores
	c := named(t, p.Directory, "ann")
	h := c.Conduct()
	for i := range 4 {
		h = h.Refunded(abuse.Refund{OrderID: fmt.Sprint(i), At: noon, PurchasedAt: noon.Add(-time.Hour), Credited: 100, Spent: 100, Consumable: true})
	}
	c.Judge(h, policy, noon)
	if err := save(t, p.Directory, c); err != nil {
		t.Fatal(err)
	}
	if c = named(t, p.Directory, "ann"); !c.Conduct().InForce(abuse.BlockSpending) {
		t.Fatalf("got %+v, want spending blocked by the score", c.Conduct())
	}
	var err error
	for range 2 {
		if c, err = p.decide(abuse.Override{Measures: []abuse.Measure{}, Reason: "A child did it.", By: "key_1"}, policy); err != nil {
			t.Fatal(err)
		}
	}
	if got := c.Conduct(); got.InForce(abuse.BlockSpending) || len(got.Overrides) != 1 || got.Overrides[0].Reason != "A child did it." || got.Overrides[0].By != "key_1" {
		t.Errorf("got %+v, want nothing in force, by one word that is kept", got)
	}
	if c, err = p.Lift(t.Context(), table.Default, "ann", "Again.", policy, p.now); err != nil || !c.Conduct().InForce(abuse.BlockSpending) {
		t.Errorf("lifted: got %+v, %v, want spending blocked again", c, err)
	}
	if _, err = p.Lift(t.Context(), table.Default, "ann", "Again.", policy, p.now); err != nil {
		t.Errorf("lifted again: got %v, want nothing", err)
	}
	var kinds []string
	for _, r := range p.log("ann")[1:] {
		why := ""
		if r.Cause != nil {
			why = " " + r.Cause.Reason
		}
		kinds = append(kinds, fmt.Sprint(r.Type, r.Measures, why))
	}
	want := []string{
		"customer.flagged[note block_spending]", "customer.overridden[] A child did it.", "customer.cleared[]",
		"customer.overridden[note block_spending] Again.", "customer.flagged[note block_spending]",
	}
	if diff := cmp.Diff(want, kinds); diff != "" {
		t.Errorf("what was told (-want +got):\n%s", diff)
	}
	if _, err := p.decide(abuse.Override{Measures: []abuse.Measure{"jail"}, Reason: "r", By: "key_1"}, policy); !errors.Is(err, fault.Invalid) {
		t.Errorf("an unknown measure: got %v, want it refused", err)
	}
	if _, err := p.decide(abuse.Override{Reason: " ", By: "key_1"}, policy); err == nil {
		t.Error("a word without a reason was taken")
	}
}

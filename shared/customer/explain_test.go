package customer_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/clock"
	"grantline/shared/customer"
	"grantline/shared/entitlement"
	"grantline/shared/event"
	"grantline/shared/fault"
	"grantline/shared/table"
)

// said is what a live view said of one entitlement of one id at an instant.
type said struct {
	id, entitlement string
	at              time.Time
	is              entitlement.Entitlement
}

// look keeps what the live view of each id says now.
func (p *people) look(ids, entitlements []string, at time.Time) []said {
	p.Helper()
	var all []said
	for _, id := range ids {
		live := named(p.T, p.Directory, id).Entitlements(at)
		for _, name := range entitlements {
			s := said{id: id, entitlement: name, at: at}
			if i := slices.IndexFunc(live, func(e entitlement.Entitlement) bool { return e.ID == name }); i >= 0 {
				s.is = live[i]
			}
			all = append(all, s)
		}
	}
	return all
}

// What was live at any instant is what its explanation comes to ever after, by each name that
// the customer had or got, and whatever happened since.
func TestAnExplanationOfAnyInstantIsWhatWasLiveThen(t *testing.T) {
	ids, entitlements := []string{"ann", "ben", "anon_1", "anon_2"}, []string{"premium", "ad_free", "nothing"}
	for seed := range uint64(60) {
		dice := rand.New(rand.NewPCG(seed, 8))
		p := newPeople(t)
		at := noon
		var all []said
		for step := range 30 {
			at = at.Add(time.Duration(1+dice.IntN(72)) * time.Hour)
			p.now = clock.Fixed(at)
			id := ids[dice.IntN(len(ids))]
			switch dice.IntN(8) {
			case 0:
				p.join(id, ids[dice.IntN(len(ids))])
			case 1:
				g := customer.Grant{Entitlement: entitlements[dice.IntN(2)], Reference: fmt.Sprint("g", step), Reason: "r", ExpiresAt: at.Add(100 * time.Hour)}
				if _, err := p.Grant(t.Context(), table.Default, id, g, p.now); err != nil {
					t.Fatal(err)
				}
			default:
				p.happens(id, dice, at)
			}
			all = append(all, p.look(ids, entitlements, at)...)
			between := at.Add(time.Duration(dice.IntN(59)) * time.Minute)
			all = append(all, p.look(ids, entitlements, between)...)
		}
		for _, s := range all {
			x, err := p.Explain(t.Context(), table.Default, s.id, s.entitlement, s.at)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(s.is, x.Entitlement); diff != "" {
				t.Fatalf("seed %d, %s of %s at %s (-live +explained):\n%s", seed, s.entitlement, s.id, s.at, diff)
			}
			checkSteps(t, x, s)
		}
		p.foldsEqual(ids...)
	}
}

// happens is something that a store or gateway told of a line.
func (p *people) happens(id string, dice *rand.Rand, at time.Time) {
	p.Helper()
	c := named(p.T, p.Directory, id)
	line := fmt.Sprint(id, "-", dice.IntN(2))
	s := entitlement.Source{
		Kind: entitlement.KindPurchase, Provider: "apple", Ref: line, OrderID: fmt.Sprint("apple_", line, "_", dice.IntN(1000)),
		Entitlement: []string{"premium", "ad_free"}[dice.IntN(2)],
		State:       []entitlement.State{entitlement.Active, entitlement.Active, entitlement.Grace, entitlement.OnHold, entitlement.Ended}[dice.IntN(5)],
		Until:       at.Add(time.Duration(dice.IntN(300)-50) * time.Hour), WillRenew: dice.IntN(2) == 0,
	}
	if dice.IntN(2) == 0 {
		c.Replace(s)
	} else {
		c.Set(s)
	}
	if dice.IntN(5) > 0 { // else the change alone is told of
		c.Tell(event.Event{Type: event.PurchaseRenewed, At: at, OrderID: s.OrderID, Store: "apple"})
	}
	writes, err := c.Writes(at)
	if err != nil {
		p.Fatal(err)
	}
	if err := p.tables.Commit(p.Context(), writes...); err != nil {
		p.Fatal(err)
	}
}

// checkSteps insists that there is a chain for what there is, that it ends by the instant, is
// in order, and that each order which counts is in it.
func checkSteps(t *testing.T, x customer.Explanation, s said) {
	t.Helper()
	if len(x.Entitlement.Sources) > 0 && len(x.Because) == 0 {
		t.Fatalf("%s of %s at %s: got no chain for %+v", s.entitlement, s.id, s.at, x.Entitlement)
	}
	orders := map[string]bool{}
	for i, b := range x.Because {
		if b.Event.At.After(s.at) || i > 0 && b.Event.At.Before(x.Because[i-1].Event.At) {
			t.Fatalf("%s of %s at %s: got steps out of order or of later: %+v", s.entitlement, s.id, s.at, x.Because)
		}
		if b.Event.Type == event.EntitlementPaidTwice {
			t.Fatalf("that somebody pays twice is given as a cause: %+v", b)
		}
		orders[b.Event.OrderID+b.Event.Reference] = true
	}
	for _, src := range x.Entitlement.Sources {
		name := src.OrderID
		if src.Kind == entitlement.KindGrant {
			name = src.Ref
		}
		if src.Gives(s.at) == x.Entitlement.Active && !orders[name] {
			t.Fatalf("%s of %s at %s: the chain %+v has not %s", s.entitlement, s.id, s.at, x.Because, name)
		}
	}
}

func TestTheChainGoesBackIntoWhoWasMerged(t *testing.T) {
	p := newPeople(t)
	at := noon
	tell := func(id string, kind event.Type, until time.Duration, cause event.Cause) {
		at = at.Add(time.Hour)
		c := named(t, p.Directory, id)
		c.Set(entitlement.Source{Kind: "purchase", Provider: "apple", Ref: "1", Entitlement: "premium", OrderID: "apple_" + string(kind), State: entitlement.Active, Until: at.Add(until)})
		c.Tell(event.Event{Type: kind, At: at, OrderID: "apple_" + string(kind), Cause: &cause})
		if err := save(t, p.Directory, c); err != nil {
			t.Fatal(err)
		}
	}
	join := func(id, other string) {
		at = at.Add(time.Hour)
		p.now = clock.Fixed(at)
		p.join(id, other)
	}
	tell("anon_1", event.PurchaseGranted, 24*time.Hour, event.Cause{Kind: event.ByClaim})
	tell("anon_1", event.PurchaseRenewed, 48*time.Hour, event.Cause{Kind: event.ByNotice, Provider: "apple", ID: "n-1"})
	join("anon_2", "anon_1")
	tell("anon_1", event.PurchaseExtended, 72*time.Hour, event.Cause{Kind: event.ByReview})
	join("ann", "anon_2")
	tell("ann", event.PurchaseEnding, 72*time.Hour, event.Cause{Kind: event.ByNotice, ID: "n-2"})

	x, err := p.Explain(t.Context(), table.Default, "anon_1", "premium", at)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, b := range x.Because {
		why := ""
		if b.Event.Cause != nil {
			why = b.Event.Cause.Kind + b.Event.Cause.ID
		}
		of := map[string]string{"": "", p.ref("anon_1"): "1:", p.ref("anon_2"): "2:"}[b.Of]
		got = append(got, fmt.Sprint(of, b.Event.Sequence, " ", b.Event.Type, " ", why))
	}
	want := []string{
		"1:1 purchase.granted claim", "1:2 purchase.renewed noticen-1", "2:1 customer.merged ", "2:2 purchase.extended review",
		"1 customer.merged ", "2 purchase.ending noticen-2",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the chain (-want +got):\n%s", diff)
	}
}

func TestThatSomebodyPaysTwiceIsNoReasonButFollowsFromOne(t *testing.T) {
	p := newPeople(t)
	p.bought("ann", "1", 1, 0)
	p.bought("ann", "2", 1, 0)
	all := p.log("ann")
	if last := all[len(all)-1]; last.Type != event.EntitlementPaidTwice {
		t.Fatalf("got %+v, want that premium is paid twice", last)
	}
	x, err := p.Explain(t.Context(), table.Default, "ann", "premium", noon)
	if err != nil || len(x.Because) != 2 || x.Because[1].Event.Type != event.PurchaseGranted || x.Because[1].Event.OrderID != "apple_2" {
		t.Errorf("got %+v, %v, want the two purchases", x.Because, err)
	}
}

func TestOfAnActiveEntitlementWhatIsOverIsNoReason(t *testing.T) {
	p := newPeople(t)
	c := named(t, p.Directory, "ann")
	c.Set(entitlement.Source{Kind: "purchase", Provider: "apple", Ref: "old", Entitlement: "premium", OrderID: "old", State: entitlement.Ended})
	c.Tell(event.Event{Type: event.PurchaseRefunded, At: noon, OrderID: "old"})
	if err := save(t, p.Directory, c); err != nil {
		t.Fatal(err)
	}
	ended, err := p.Explain(t.Context(), table.Default, "ann", "premium", noon)
	if err != nil || len(ended.Because) != 1 || ended.Entitlement.Active {
		t.Errorf("got %+v, %v, want the refund as the reason that there is none", ended, err)
	}
	p.grants(t.Context(), "ann", "t")
	if x, err := p.Explain(t.Context(), table.Default, "ann", "extra", noon); err != nil || len(x.Because) != 1 || x.Because[0].Event.Reference != "t" {
		t.Errorf("got %+v, %v, want the grant alone", x, err)
	}
	g := customer.Grant{Entitlement: "premium", Reference: "u", Reason: "why"}
	if _, err := p.Grant(t.Context(), table.Default, "ann", g, p.now); err != nil {
		t.Fatal(err)
	}
	x, err := p.Explain(t.Context(), table.Default, "ann", "premium", noon)
	if err != nil || !x.Entitlement.Active || len(x.Because) != 1 || x.Because[0].Event.Type != event.EntitlementGranted {
		t.Errorf("got %+v, %v, want the grant and not the refund", x.Because, err)
	}
}

func TestALongHistoryIsReadInPagesAndItsLatestStepsShown(t *testing.T) {
	p := newPeople(t)
	c := named(t, p.Directory, "ann")
	const all = 620
	for i := range all {
		c.Set(entitlement.Source{Kind: "purchase", Provider: "apple", Ref: "1", Entitlement: "premium", OrderID: fmt.Sprint(i), State: entitlement.Active})
		c.Tell(event.Event{Type: event.PurchaseRenewed, At: noon.Add(time.Duration(i) * time.Second), OrderID: fmt.Sprint(i)})
		if err := save(t, p.Directory, c); err != nil {
			t.Fatal(err)
		}
		c = named(t, p.Directory, "ann")
	}
	x, err := p.Explain(t.Context(), table.Default, "ann", "premium", noon.Add(time.Hour))
	if err != nil || len(x.Because) != customer.MostSteps || x.Earlier != all-customer.MostSteps {
		t.Fatalf("got %d steps and %d earlier, %v, want %d and %d", len(x.Because), x.Earlier, err, customer.MostSteps, all-customer.MostSteps)
	}
	if last := x.Because[len(x.Because)-1].Event; last.Sequence != all || x.Entitlement.Sources[0].OrderID != fmt.Sprint(all-1) {
		t.Errorf("got %+v as the last, want the latest renewal", last)
	}
	then, err := p.Explain(t.Context(), table.Default, "ann", "premium", noon.Add(9*time.Second))
	if err != nil || len(then.Because) != 10 || then.Earlier != 0 {
		t.Errorf("ten seconds in: got %d steps, %v, want 10", len(then.Because), err)
	}
}

func TestNobodyIsExplainedAsNothing(t *testing.T) {
	p := newPeople(t)
	x, err := p.Explain(t.Context(), table.Default, "ann", "premium", noon)
	if err != nil || x.Entitlement.ID != "" || len(x.Because) != 0 {
		t.Errorf("got %+v, %v, want nothing", x, err)
	}
	if _, err := p.Explain(t.Context(), table.Default, "a\n", "premium", noon); !errors.Is(err, fault.Malformed) {
		t.Errorf("got %v for an id that can be none, want malformed", err)
	}
	p.bought("ann", "1", 1, 0)
	count := p.failing(1, false, true)
	if _, err := p.Explain(t.Context(), table.Default, "ann", "premium", noon); !errors.Is(err, fault.Unavailable) || *count == 0 {
		t.Errorf("got %v, want an outage", err)
	}
}

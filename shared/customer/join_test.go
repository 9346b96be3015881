package customer_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
	"grantline/shared/memory"
	"grantline/shared/table"
	"grantline/shared/wallet"
)

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// people are customers over tables that can be made to fail.
type people struct {
	*testing.T
	customer.Directory
	tables *memory.Tables
	now    clock.Clock
}

func newPeople(t *testing.T) *people {
	t.Helper()
	d, tables := directory()
	return &people{t, d, tables, clock.Fixed(noon)}
}

// bought has somebody hold a subscription of a store's, some gems, and a debt.
func (p *people) bought(id, line string, gems, debt int64) {
	p.Helper()
	c := named(p.T, p.Directory, id)
	c.Set(entitlement.Source{
		Kind: entitlement.KindPurchase, Provider: "apple", Ref: line, Entitlement: "premium", OrderID: "apple_" + line,
		State: entitlement.Active, Until: noon.Add(240 * time.Hour), WillRenew: true,
	})
	w, e := c.Wallets()["gems"].Credit(wallet.Lot{OrderID: "gems_" + line, Kind: wallet.Paid, Granted: gems})
	c.SetWallet("gems", w, e)
	if debt > 0 {
		w, e = w.TakeBack("gone_"+line, debt)
		c.SetWallet("gems", w, e)
	}
	c.Tell(event.Event{Type: event.PurchaseGranted, At: noon, OrderID: "apple_" + line, Store: "apple"})
	if err := save(p.T, p.Directory, c); err != nil {
		p.Fatal(err)
	}
}

func (p *people) join(id, other string) *customer.Customer {
	p.Helper()
	c, err := p.Join(p.Context(), table.Default, customer.Alias{ID: id, Other: other}, p.now)
	if err != nil {
		p.Fatalf("joining %q to %q: %v", other, id, err)
	}
	return c
}

func (p *people) take(id, other string) error {
	_, err := p.Join(p.Context(), table.Default, customer.Alias{ID: id, Other: other, Unclaimed: true}, p.now)
	return err
}

// What policy refuses somebody is not granted under an id that was made up, and taken along.
func TestWhatAPolicyRefusesIsNotTakenAlong(t *testing.T) {
	p := newPeople(t)
	p.bought("ann", "1", 1, 0)
	p.bought("anon_1", "2", 100, 0)
	no := []abuse.Measure{abuse.RefuseConsumables}
	if _, err := p.Override(t.Context(), table.Default, "ann", abuse.Override{Measures: no, Reason: "r", By: "key"}, nil, p.now); err != nil {
		t.Fatal(err)
	}
	if err := p.take("ann", "anon_1"); fault.Code(err) != "refused_by_policy" || !errors.Is(err, fault.Denied) {
		t.Errorf("got %v, want refused_by_policy", err)
	}
	if err := p.take("ann", "anon_empty"); err != nil {
		t.Errorf("an id that holds nothing: got %v, want it taken along", err)
	}
	p.join("ann", "anon_1") // the company's server may
}

func (p *people) ref(id string) string {
	p.Helper()
	ref, err := p.Identity.Ref(p.Context(), table.Default, id)
	if err != nil {
		p.Fatal(err)
	}
	return ref
}

func (p *people) log(id string) []customer.Record {
	p.Helper()
	records, err := customer.Log(p.Context(), p.tables, table.Default, p.ref(id), 0, 1000)
	if err != nil {
		p.Fatal(err)
	}
	return records
}

// foldsEqual insists that each customer's own records come to what it is.
func (p *people) foldsEqual(ids ...string) {
	p.Helper()
	for _, id := range ids {
		c, err := customer.Outgoing(p.Context(), p.tables, table.Default, p.ref(id))
		if errors.Is(err, fault.NotFound) {
			continue
		}
		if err != nil {
			p.Fatal(err)
		}
		state := customer.State{Wallets: map[string]wallet.Wallet{}}
		for i, r := range p.log(id) {
			if r.Sequence != int64(i+1) {
				p.Errorf("%s: got event %d in place %d", id, r.Sequence, i+1)
			}
			state = state.After(r)
		}
		if diff := cmp.Diff(c.State(), state); diff != "" && c.Sequence() > 0 {
			p.Errorf("%s: what it is and what its records come to (-is +records):\n%s", id, diff)
		}
	}
}

func TestJoiningMovesAllThatSomebodyHolds(t *testing.T) {
	p := newPeople(t)
	p.bought("ann", "1", 100, 0)
	p.bought("anon_1", "2", 40, 15)
	bad := named(t, p.Directory, "anon_1")
	bad.SetConduct(abuse.History{}.Refunded(abuse.Refund{OrderID: "apple_0", At: noon}))
	if err := save(t, p.Directory, bad); err != nil {
		t.Fatal(err)
	}
	p.join("ann", "anon_1")
	for _, id := range []string{"ann", "anon_1"} {
		c := named(t, p.Directory, id)
		if c.Profile.ID != "ann" || c.Ref != p.ref("ann") {
			t.Errorf("%s: got %s %s, want ann", id, c.Profile.ID, c.Ref)
		}
		if got := len(c.Sources()); got != 2 {
			t.Errorf("%s: got %d sources, want both", id, got)
		}
		if w := c.Wallets()["gems"]; w.Balance(noon) != 125 || len(w.Lots) != 2 || w.Debt != 15 {
			t.Errorf("%s: got wallet %+v, want two lots, 140 gems less a debt of 15", id, w)
		}
		if got := c.Conduct().Count; got != 1 {
			t.Errorf("%s: got %d refunds, want the one that came along", id, got)
		}
		if !c.Is(p.ref("ann")) || !c.Is(p.ref("anon_1")) || c.Is(p.ref("ben")) {
			t.Errorf("%s: it should be ann and anon_1, and not ben", id)
		}
	}
	own := p.log("anon_1")
	last := own[len(own)-1]
	if last.Type != event.CustomerMerged || !last.ToOther || last.Other != p.ref("ann") {
		t.Errorf("the last event of anon_1: got %+v, want that it was merged into ann", last.Event)
	}
	stays := p.log("ann")
	if e := stays[len(stays)-2].Event; e.Type != event.CustomerMerged || e.ToOther || e.Other != p.ref("anon_1") {
		t.Errorf("the events of ann end with %+v before that of paying twice, want that anon_1 was merged into it", e)
	}
	if e := stays[len(stays)-1].Event; e.Type != event.EntitlementPaidTwice {
		t.Errorf("the last event of ann: got %s, want that premium is paid twice", e.Type)
	}
	p.foldsEqual("ann", "anon_1")
}

func TestJoiningAgainChangesNothing(t *testing.T) {
	p := newPeople(t)
	p.bought("ann", "1", 100, 0)
	p.bought("anon_1", "2", 40, 0)
	p.join("ann", "anon_1")
	was := p.tables.Items(table.Customers)
	for _, again := range [][2]string{{"ann", "anon_1"}, {"anon_1", "ann"}, {"anon_1", "anon_1"}, {"ann", "ann"}} {
		p.join(again[0], again[1])
		if diff := cmp.Diff(was, p.tables.Items(table.Customers)); diff != "" {
			t.Errorf("joining %v again changed (-was +is):\n%s", again, diff)
		}
	}
	p.join("nobody", "nobody")
	if diff := cmp.Diff(was, p.tables.Items(table.Customers)); diff != "" {
		t.Errorf("joining nobody to itself changed (-was +is):\n%s", diff)
	}
}

func TestAnIDThatWasNeverHereIsANameAndNoEventOfItsOwn(t *testing.T) {
	p := newPeople(t)
	p.bought("ann", "1", 10, 0)
	p.join("ann", "ann@example.com")
	if c := named(t, p.Directory, "ann@example.com"); c.Profile.ID != "ann" {
		t.Errorf("got %q, want ann by its other id", c.Profile.ID)
	}
	if got := p.log("ann@example.com"); len(got) != 0 {
		t.Errorf("got %d events of an id that was never anybody, want none", len(got))
	}
	all := p.log("ann")
	if e := all[len(all)-1]; e.Type != event.CustomerAliased || e.Other != p.ref("ann@example.com") {
		t.Errorf("got %+v, want that ann has another id", e.Event)
	}
	ids, err := p.Identity.StoreIDs(t.Context(), table.Default, "ann@example.com")
	if err != nil {
		t.Fatal(err)
	}
	ref, err := customer.Bound(t.Context(), p.tables, table.Default, "apple", ids.AppAccountToken)
	if err != nil {
		t.Fatal(err)
	}
	if c, err := customer.Read(t.Context(), p.tables, table.Default, ref); err != nil || c.Profile.ID != "ann" {
		t.Errorf("by the store id of the other name: got %+v, %v, want ann", c, err)
	}
}

func TestChainsAndCirclesOfNamesLeadToOneCustomer(t *testing.T) {
	for name, joins := range map[string][][2]string{
		"a chain":   {{"b", "a"}, {"c", "b"}, {"d", "c"}},
		"backwards": {{"c", "d"}, {"b", "c"}, {"a", "b"}},
		"a circle":  {{"b", "a"}, {"c", "b"}, {"a", "c"}, {"a", "d"}},
		"two pairs": {{"a", "b"}, {"c", "d"}, {"b", "d"}},
		"by old":    {{"b", "a"}, {"a", "c"}, {"c", "d"}},
	} {
		p := newPeople(t)
		all := []string{"a", "b", "c", "d"}
		for i, id := range all[:3] { // d was never here
			p.bought(id, fmt.Sprint(i), 10, 0)
		}
		for _, j := range joins {
			p.join(j[0], j[1])
		}
		one := named(t, p.Directory, "a")
		for _, id := range all {
			if c := named(t, p.Directory, id); c.Ref != one.Ref || !c.Is(p.ref(id)) {
				t.Errorf("%s: %s: got %s, want %s", name, id, c.Ref, one.Ref)
			}
		}
		if w := one.Wallets()["gems"]; w.Balance(noon) != 30 || len(one.Sources()) != 3 {
			t.Errorf("%s: got %+v and %d sources, want all three's", name, w, len(one.Sources()))
		}
		p.foldsEqual(all...)
	}
}

func TestALongChainIsFollowedToItsEndAndNoLonger(t *testing.T) {
	p := newPeople(t)
	p.bought("0", "0", 7, 0)
	n := 0
	for {
		_, err := p.Join(t.Context(), table.Default, customer.Alias{ID: fmt.Sprint(n + 1), Other: fmt.Sprint(n)}, p.now)
		if err != nil {
			if !errors.Is(err, fault.Conflict) || fault.Code(err) != "too_many_aliases" {
				t.Errorf("got %v, want too_many_aliases", err)
			}
			break
		}
		if n++; n > 60 {
			t.Fatal("got no end of names, want one")
		}
	}
	if n != 50 {
		t.Errorf("got %d other names, want 50", n)
	}
	if c := named(t, p.Directory, "0"); c.Profile.ID != fmt.Sprint(n) || c.Wallets()["gems"].Balance(noon) != 7 {
		t.Errorf("the first of all: got %q, want %d with its gems", c.Profile.ID, n)
	}
}

func TestAnIDThatSomebodyStandsBehindIsNobodyElsesToTake(t *testing.T) {
	scope := table.Default
	for name, c := range map[string]struct {
		id   string
		have func(p *people)
		want string
	}{
		"one without a name":      {"anon_1", func(p *people) { p.bought("anon_1", "1", 5, 0) }, ""},
		"one that was never here": {"$RCAnonymousID:1", func(*people) {}, ""},
		"its own already":         {"anon_1", func(p *people) { p.join("ann", "anon_1") }, ""},
		"somebody's name":         {"ben", func(p *people) { p.bought("ben", "1", 5, 0) }, "alias_taken"},
		"taken by another":        {"anon_1", func(p *people) { p.bought("anon_1", "1", 5, 0); p.join("ben", "anon_1") }, "alias_taken"},
		"with another id":         {"anon_1", func(p *people) { p.join("anon_1", "ben") }, "alias_taken"},
		"signed in": {"anon_1", func(p *people) {
			if err := p.SignedIn(p.Context(), scope, "anon_1", p.now); err != nil {
				p.Fatal(err)
			}
		}, "alias_taken"},
		"with a subscription": {"anon_1", func(p *people) {
			c := named(p.T, p.Directory, "anon_1")
			c.Set(entitlement.Source{Kind: entitlement.KindSubscription, Provider: "toss", Ref: "s", Entitlement: "premium"})
			if err := save(p.T, p.Directory, c); err != nil {
				p.Fatal(err)
			}
		}, "alias_taken"},
		"with an address": {"anon_1", func(p *people) {
			c := named(p.T, p.Directory, "anon_1")
			c.SetProfile(customer.Profile{Email: "a@example.com"})
			if err := save(p.T, p.Directory, c); err != nil {
				p.Fatal(err)
			}
		}, "alias_taken"},
	} {
		p := newPeople(t)
		p.bought("ann", "9", 1, 0)
		c.have(p)
		if err := p.take("ann", c.id); fault.Code(err) != c.want {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
		one := named(t, p.Directory, c.id).Ref == p.ref("ann")
		if one != (c.want == "") {
			t.Errorf("%s: got one customer %t, want %t", name, one, c.want == "")
		}
	}
}

func TestWhatIsSharedAndOwnedIsOwned(t *testing.T) {
	for _, first := range []bool{true, false} {
		p := newPeople(t)
		for id, family := range map[string]bool{"ann": first, "ben": !first} {
			c := named(t, p.Directory, id)
			c.Set(entitlement.Source{Kind: "purchase", Provider: "apple", Ref: "1", Entitlement: "premium", State: entitlement.Active, Family: family, Until: noon.Add(time.Hour)})
			if err := save(t, p.Directory, c); err != nil {
				t.Fatal(err)
			}
		}
		if s := p.join("ann", "ben").Sources(); len(s) != 1 || s[0].Family {
			t.Errorf("ann shares %t: got %+v, want the owner's source alone", first, s)
		}
		p.foldsEqual("ann", "ben")
	}
}

func TestMeasuresComeAlongAndAreTold(t *testing.T) {
	p := newPeople(t)
	p.bought("ann", "1", 1, 0)
	p.bought("anon_1", "2", 1, 0)
	if _, err := p.Override(t.Context(), table.Default, "anon_1", abuse.Override{Measures: []abuse.Measure{abuse.BlockSpending}, Reason: "r", By: "key"}, nil, p.now); err != nil {
		t.Fatal(err)
	}
	c := p.join("ann", "anon_1")
	if !c.Conduct().InForce(abuse.BlockSpending) {
		t.Errorf("got %+v, want spending blocked as before", c.Conduct())
	}
	flagged := slices.ContainsFunc(p.log("ann"), func(r customer.Record) bool {
		return r.Type == event.CustomerFlagged && slices.Equal(r.Measures, []string{"block_spending"})
	})
	if !flagged {
		t.Error("nobody was told that ann's spending is blocked now")
	}
	p.foldsEqual("ann", "anon_1")
}

var errLost = fault.New(fault.Unavailable, "tables_unavailable", "no answer")

// failing makes the nth operation fail, having been done or not, and all after it where dead.
func (p *people) failing(n int, apply, dead bool) *int {
	count := 0
	p.tables.Fail = func(memory.Op) (bool, error) {
		if count++; count == n || dead && count > n {
			return apply && count == n, errLost
		}
		return false, nil
	}
	return &count
}

func TestAJoinThatFailsAnywhereHappensOnce(t *testing.T) {
	want := newPeople(t)
	want.bought("ann", "1", 100, 0)
	want.bought("anon_1", "2", 40, 15)
	want.join("ann", "anon_1")
	for n := 1; ; n++ {
		reached := 0
		for _, how := range []struct{ apply, dead bool }{{false, false}, {true, false}, {false, true}, {true, true}} {
			p := newPeople(t)
			p.bought("ann", "1", 100, 0)
			p.bought("anon_1", "2", 40, 15)
			count := p.failing(n, how.apply, how.dead)
			_, err := p.Join(t.Context(), table.Default, customer.Alias{ID: "ann", Other: "anon_1"}, p.now)
			reached = max(reached, *count)
			p.tables.Fail = nil
			if err != nil && !errors.Is(err, fault.Unavailable) {
				t.Errorf("operation %d, %+v: got %v, want an outage or nothing", n, how, err)
			}
			if !how.dead && err != nil {
				t.Errorf("operation %d, %+v: got %v, want that one failure is got over", n, how, err)
			}
			p.foldsEqual("ann", "anon_1")
			p.join("ann", "anon_1")
			if diff := cmp.Diff(want.tables.Items(table.Customers), p.tables.Items(table.Customers)); diff != "" {
				t.Errorf("operation %d, %+v (-want +got):\n%s", n, how, diff)
			}
		}
		if reached < n {
			break
		}
	}
}

// between runs something whole in the middle of something else, before its nth operation.
func (p *people) between(n int, other func()) *int {
	count, busy := 0, false
	p.tables.Fail = func(memory.Op) (bool, error) {
		if busy {
			return false, nil
		}
		if count++; count == n {
			busy = true
			other()
			busy = false
		}
		return false, nil
	}
	return &count
}

func TestWhateverHappensInTheMiddleOfAJoinIsNotLost(t *testing.T) {
	ctx, scope := t.Context(), table.Default
	for name, other := range map[string]struct {
		do    func(p *people)
		gems  int64
		lines int
		into  string
	}{
		"a purchase of who goes":     {func(p *people) { p.bought("anon_1", "3", 5, 0) }, 145, 3, "ann"},
		"a purchase of who stays":    {func(p *people) { p.bought("ann", "3", 5, 0) }, 145, 3, "ann"},
		"the same join":              {func(p *people) { p.join("ann", "anon_1") }, 140, 2, "ann"},
		"the join the other way":     {func(p *people) { p.join("anon_1", "ann") }, 140, 2, ""},
		"who goes goes to a third":   {func(p *people) { p.bought("cat", "3", 5, 0); p.join("cat", "anon_1") }, 145, 3, "ann"},
		"who stays goes to a third":  {func(p *people) { p.bought("cat", "3", 5, 0); p.join("cat", "ann") }, 145, 3, "cat"},
		"a spend of who goes":        {func(p *people) { p.spends(ctx, "anon_1", 7) }, 133, 2, "ann"},
		"a spend of who stays":       {func(p *people) { p.spends(ctx, "ann", 7) }, 133, 2, "ann"},
		"a grant to who goes":        {func(p *people) { p.grants(ctx, "anon_1", "t") }, 140, 3, "ann"},
		"where who goes is to reach": {func(p *people) { p.reached(scope, "anon_1") }, 140, 2, "ann"},
	} {
		for n := 1; ; n++ {
			p := newPeople(t)
			p.bought("ann", "1", 100, 0)
			p.bought("anon_1", "2", 40, 0)
			count := p.between(n, func() { other.do(p) })
			p.join("ann", "anon_1")
			p.tables.Fail = nil
			if *count < n {
				break
			}
			one := named(t, p.Directory, "ann")
			if two := named(t, p.Directory, "anon_1"); two.Ref != one.Ref {
				t.Errorf("%s at %d: got two customers, want one", name, n)
			}
			if w := one.Wallets()["gems"]; w.Balance(noon) != other.gems || len(one.Sources()) != other.lines {
				t.Errorf("%s at %d: got %d gems and %d sources, want %d and %d", name, n, w.Balance(noon), len(one.Sources()), other.gems, other.lines)
			}
			if other.into != "" && one.Profile.ID != other.into {
				t.Errorf("%s at %d: got the customer %s, want %s", name, n, one.Profile.ID, other.into)
			}
			p.foldsEqual("ann", "anon_1", "cat")
		}
	}
}

func (p *people) spends(ctx context.Context, id string, amount int64) {
	p.Helper()
	if _, _, err := p.Spend(ctx, table.Default, id, customer.SpendAsk{Currency: "gems", Amount: amount, Reference: "r"}, p.now); err != nil {
		p.Errorf("spending: %v", err)
	}
}

func (p *people) grants(ctx context.Context, id, reference string) {
	p.Helper()
	g := customer.Grant{Entitlement: "extra", Reference: reference, Reason: "why"}
	if _, err := p.Grant(ctx, table.Default, id, g, p.now); err != nil {
		p.Errorf("granting: %v", err)
	}
}

func (p *people) reached(scope table.Scope, id string) {
	p.Helper()
	c, err := p.Named(p.Context(), scope, id)
	if err != nil {
		p.Fatal(err)
	}
	c.SetProfile(customer.Profile{Email: "a@example.com"})
	if err := save(p.T, p.Directory, c); err != nil {
		p.Fatal(err)
	}
}

func TestWhatIsKnownOfAPersonGoesAlongAndStaysNowhereElse(t *testing.T) {
	p := newPeople(t)
	p.bought("ann", "1", 1, 0)
	p.bought("anon_1", "2", 1, 0)
	p.reached(table.Default, "anon_1")
	if c := p.join("ann", "anon_1"); c.Profile.Email != "a@example.com" {
		t.Errorf("got the address %q, want that of anon_1, since ann had none", c.Profile.Email)
	}
	for _, item := range p.tables.Items(table.Customers) {
		if strings.Contains(item.Key.Partition, p.ref("anon_1")) && strings.Contains(string(item.Data), "example.com") {
			t.Errorf("%s of who was merged still holds %s", item.Key.Sort, item.Data)
		}
	}
}

func TestErasingLeavesNoNameInAnyItemOfTheCustomers(t *testing.T) {
	p := newPeople(t)
	p.bought("ann-lee", "1", 100, 0)
	p.bought("anon_77", "2", 40, 15)
	p.reached(table.Default, "anon_77")
	p.join("ann-lee", "anon_77")
	p.join("ann-lee", "lee@work.example")
	was := named(t, p.Directory, "ann-lee").State()
	for range 2 {
		if err := p.Erase(t.Context(), table.Default, "anon_77", p.now); err != nil {
			t.Fatal(err)
		}
	}
	for _, item := range p.tables.Items(table.Customers) {
		for _, name := range []string{"ann-lee", "anon_77", "lee@work.example", "a@example.com"} {
			if strings.Contains(string(item.Data)+item.Key.Partition+item.Key.Sort, name) {
				t.Errorf("%v still holds %q: %s", item.Key, name, item.Data)
			}
		}
	}
	all := p.log("ann-lee")
	if last := all[len(all)-1]; last.Type != event.CustomerErased {
		t.Errorf("the last event: got %s, want that it was erased, once", last.Type)
	}
	c := named(t, p.Directory, "ann-lee")
	now := c.State()
	if now.Sequence != was.Sequence+1 || !c.Erased() {
		t.Errorf("got %d events, erased %t, want %d and true", now.Sequence, c.Erased(), was.Sequence+1)
	}
	now.Sequence = was.Sequence
	if diff := cmp.Diff(was, now); diff != "" {
		t.Errorf("the books changed (-was +is):\n%s", diff)
	}
}

func TestWhoComesBackAfterErasingIsThereAgainWithItsOldBooks(t *testing.T) {
	p := newPeople(t)
	p.bought("ann", "1", 100, 0)
	if err := p.Erase(t.Context(), table.Default, "ann", p.now); err != nil {
		t.Fatal(err)
	}
	p.bought("ann", "2", 10, 0)
	c, err := customer.Read(t.Context(), p.tables, table.Default, p.ref("ann"))
	if err != nil {
		t.Fatal(err)
	}
	if c.Erased() || c.Profile.ID != "ann" || c.Wallets()["gems"].Balance(noon) != 110 {
		t.Errorf("got %q with %d gems, want ann with 110", c.Profile.ID, c.Wallets()["gems"].Balance(noon))
	}
	if err := p.Erase(t.Context(), table.Default, "nobody", p.now); err != nil {
		t.Errorf("erasing nobody: got %v, want nothing", err)
	}
}

func TestWhoSignedUpMeanwhileIsNotErasedBeforeThatIsOver(t *testing.T) {
	p := newPeople(t)
	p.bought("ann", "1", 1, 0)
	c := named(t, p.Directory, "ann")
	c.Set(entitlement.Source{Kind: entitlement.KindSubscription, Provider: "toss", Ref: "sub-1", Entitlement: "premium"})
	if err := save(t, p.Directory, c); err != nil {
		t.Fatal(err)
	}
	if err := p.Erase(t.Context(), table.Default, "ann", p.now); !errors.Is(err, fault.Unavailable) || named(t, p.Directory, "ann").Erased() {
		t.Errorf("got %v, want to be asked again, and ann still known", err)
	}
	if err := p.Erase(t.Context(), table.Default, "ann", p.now, "sub-1"); err != nil || !named(t, p.Directory, "ann").Erased() {
		t.Errorf("got %v, want ann forgotten", err)
	}
}

func TestErasingThatFailsAnywhereHappensOnce(t *testing.T) {
	for n := 1; n < 6; n++ {
		for _, apply := range []bool{false, true} {
			p := newPeople(t)
			p.bought("ann", "1", 100, 0)
			p.failing(n, apply, false)
			if err := p.Erase(t.Context(), table.Default, "ann", p.now); err != nil {
				t.Errorf("operation %d, applied %t: got %v, want it got over", n, apply, err)
			}
			p.tables.Fail = nil
			if got := len(p.log("ann")); got != 2 || !named(t, p.Directory, "ann").Erased() {
				t.Errorf("operation %d, applied %t: got %d events, want 2, and nobody's", n, apply, got)
			}
		}
	}
}

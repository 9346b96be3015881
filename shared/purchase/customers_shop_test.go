package purchase_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/abuse"
	"grantline/shared/customer"
	"grantline/shared/entitlement"
	"grantline/shared/event"
	"grantline/shared/memory"
	"grantline/shared/purchase"
	"grantline/shared/rebuild"
)

const cat = "cat"

// spend takes gems as the wallet's route does.
func (s *shop) spend(who string, amount int64) {
	s.Helper()
	c := s.customer(who)
	w, entry, err := c.Wallets()["gems"].Spend(amount, s.clock.Now())
	if err != nil {
		s.Fatalf("%s spends %d: got %v, want it spent", who, amount, err)
	}
	c.SetWallet("gems", w, entry)
	c.Tell(event.Event{Type: event.WalletSpent, At: s.clock.Now()})
	s.write(c)
}

func (s *shop) write(c *customer.Customer) {
	s.Helper()
	writes, err := c.Writes(s.clock.Now())
	if err == nil {
		err = s.tables.Commit(s.Context(), writes...)
	}
	if err != nil {
		s.Fatal(err)
	}
}

// merge makes other a name of who.
func (s *shop) merge(who, other string) {
	s.Helper()
	if _, err := s.Customers.Join(s.Context(), s.scope, customer.Alias{ID: who, Other: other}, s.clock); err != nil {
		s.Fatalf("merge of %s and %s: got %v", who, other, err)
	}
}

func (s *shop) gift(who, to, evidence string) (purchase.Claimed, error) {
	return s.Claim(s.Context(), s.scope, who, purchase.Proof{Store: "apple", Evidence: evidence, GiftTo: to})
}

// last is the last event of a kind, which must be there.
func (s *shop) last(who string, kind event.Type) event.Event {
	s.Helper()
	all, err := customer.Events(s.Context(), s.tables, s.scope, s.customer(who).Ref, 0, 1000)
	if err != nil {
		s.Fatal(err)
	}
	for n := len(all) - 1; n >= 0; n-- {
		if all[n].Type == kind {
			return all[n]
		}
	}
	s.Errorf("events of %s: got %v, want a %s", who, s.events(who), kind)
	return event.Event{}
}

func (s *shop) count(who string, kind event.Type) (n int) {
	s.Helper()
	for _, k := range s.events(who) {
		if k == kind {
			n++
		}
	}
	return n
}

// wantReplayed says that what customers' logs come to is what they have.
func (s *shop) wantReplayed(people ...string) {
	s.Helper()
	for _, who := range people {
		s.events(who)
		c := s.customer(who)
		if !c.Exists() {
			continue
		}
		log, err := customer.Log(s.Context(), s.tables, s.scope, c.Ref, 0, 1000)
		if err != nil {
			s.Fatal(err)
		}
		var state customer.State
		for _, r := range log {
			state = state.After(r)
		}
		is := c.State()
		state.Sources, is.Sources = append([]entitlement.Source{}, state.Sources...), append([]entitlement.Source{}, is.Sources...)
		if diff := cmp.Diff(state, is); diff != "" {
			s.Errorf("%s: the log (-) and the records (+) differ:\n%s", who, diff)
		}
	}
}

// wantRebuilt says that customers, events and orders agree on all of it.
func (s *shop) wantRebuilt() {
	s.Helper()
	r := rebuild.Rebuild{Tables: s.tables, Walker: s.tables}
	report, err := r.Run(s.Context(), rebuild.Ask{})
	if err != nil || !report.Equal || report.Cursor != "" || report.Customers == 0 || report.Orders == 0 {
		s.Errorf("books held together: got %+v, %v, want them equal", report, err)
	}
}

// strict is a policy that needs little.
var strict = abuse.Policy{abuse.Note: 20, abuse.BlockSpending: 30, abuse.RefuseConsumables: 40}

// failing has the kth operation fail, counted from now; done says whether it is carried out
// all the same, and lasting whether all after it fail.
func (s *shop) failing(k int, done, lasting bool) (ops *int) {
	ops = new(int)
	s.tables.Fail = func(memory.Op) (bool, error) {
		if *ops++; *ops == k || lasting && *ops > k {
			return done && *ops == k, broken()
		}
		return true, nil
	}
	return ops
}

// meanwhile does something once, before the first commit.
func (s *shop) meanwhile(do func()) {
	done := false
	s.tables.Fail = func(op memory.Op) (bool, error) {
		if op.Method == "Commit" && !done {
			done = true
			do()
		}
		return true, nil
	}
}

// bought are orders of 100 gems each, bought now.
func (s *shop) bought(who string, orders ...string) {
	s.Helper()
	for _, o := range orders {
		sale := sold(o, gems)
		sale.PurchasedAt, sale.AsOf = s.clock.Now(), s.clock.Now()
		s.store.put(o, sale)
		s.granted(who, o)
	}
}

// taken has a store take back an order of gems now.
func (s *shop) taken(order string) {
	s.Helper()
	sale := sold(order, gems)
	sale.State, sale.AsOf = purchase.Refunded, s.clock.Now().Add(time.Second)
	s.told(sale)
}

func newAbusedShop(t testing.TB) *shop {
	s, _ := newFollowedShop(t)
	s.Catalog, s.Abuse = groups(t), strict
	return s
}

package customer_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"grantline/shared/customer"
	"grantline/shared/entitlement"
	"grantline/shared/event"
	"grantline/shared/fault"
	"grantline/shared/table"
	"grantline/shared/wallet"
)

var logNoon = time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)

func logSource(ref, opens string) entitlement.Source {
	return entitlement.Source{
		Kind: entitlement.KindPurchase, Provider: "apple", Ref: ref, Entitlement: opens, ProductID: "p", OrderID: "apple_" + ref,
		State: entitlement.Active, Until: logNoon.Add(time.Hour),
	}
}

func logLot(order string, n int64) wallet.Lot {
	return wallet.Lot{OrderID: order, Kind: wallet.Paid, Granted: n}
}

func logLotOf(dice *rand.Rand) wallet.Lot {
	return logLot(fmt.Sprint("order-", dice.Uint64()), 1+dice.Int64N(50))
}

// logOf are all of a customer's, in order.
func logOf(t *testing.T, d customer.Directory, ref string) []customer.Record {
	t.Helper()
	var all []customer.Record
	for {
		some, err := customer.Log(t.Context(), d.Tables, table.Default, ref, int64(len(all)), 3)
		if err != nil {
			t.Fatal(err)
		}
		if all = append(all, some...); len(some) == 0 {
			return all
		}
	}
}

// fold is what records come to.
func foldLog(all []customer.Record) customer.State {
	var s customer.State
	for _, r := range all {
		s = s.After(r)
	}
	return s
}

// changed does something to a customer, and gives the records that it left.
func logAfter(t *testing.T, d customer.Directory, id string, change func(c *customer.Customer)) []customer.Record {
	t.Helper()
	c := named(t, d, id)
	before := c.Sequence()
	change(c)
	if err := save(t, d, c); err != nil {
		t.Fatal(err)
	}
	return logOf(t, d, c.Ref)[before:]
}

func sameAsLog(t *testing.T, d customer.Directory, id string) {
	t.Helper()
	c := named(t, d, id)
	if diff := cmp.Diff(c.State(), foldLog(logOf(t, d, c.Ref)), cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("what the records come to (+) and what there is (-) differ:\n%s", diff)
	}
}

func TestRecordsAloneMakeTheStateAgain(t *testing.T) {
	for seed := range uint64(200) {
		d, _ := directory()
		dice := rand.New(rand.NewPCG(seed, 3))
		for range 30 {
			c := named(t, d, "a")
			for range 1 + dice.IntN(4) {
				s := logSource(fmt.Sprint("line-", dice.IntN(4)), []string{"", "gold", "silver"}[dice.IntN(3)])
				s.State = []entitlement.State{entitlement.Active, entitlement.Ended}[dice.IntN(2)]
				s.Until = logNoon.Add(time.Duration(dice.IntN(3)) * time.Hour)
				currency := []string{"gems", "coins"}[dice.IntN(2)]
				w := c.Wallets()[currency]
				order := "spent long ago"
				if len(w.Lots) > 0 && dice.IntN(3) > 0 {
					order = w.Lots[dice.IntN(len(w.Lots))].OrderID
				}
				switch dice.IntN(7) {
				case 0:
					c.Set(s)
				case 1:
					c.Replace(s)
				case 2:
					c.Drop(s)
				case 3:
					next, e := w.Credit(logLotOf(dice))
					c.SetWallet(currency, next, e)
				case 4:
					next, e := w.TakeBack(order, 1+dice.Int64N(50))
					c.SetWallet(currency, next, e)
				case 5:
					next, e, err := w.Spend(1+dice.Int64N(20), logNoon)
					if err != nil {
						next, e = w.Credit(logLotOf(dice))
					}
					c.SetWallet(currency, next, e)
				case 6:
					c.Tell(event.Event{Type: event.PurchaseGranted, At: logNoon})
				}
			}
			if err := save(t, d, c); err != nil {
				t.Fatal(err)
			}
			if named(t, d, "a").Exists() {
				sameAsLog(t, d, "a")
			}
		}
		for i, r := range logOf(t, d, named(t, d, "a").Ref) {
			if r.Sequence != int64(i+1) {
				t.Fatalf("seed %d: record %d has number %d, want no gap", seed, i+1, r.Sequence)
			}
		}
	}
}

func TestARecordHasWhatChangedAndNothingElse(t *testing.T) {
	d, _ := directory()
	gold, silver, later := logSource("a", "gold"), logSource("b", "silver"), logSource("a", "gold")
	later.Until = logNoon.Add(2 * time.Hour)
	bronze := logSource("a", "bronze")
	elsewhere := later
	elsewhere.Until = later.Until.In(time.FixedZone("KST", 9*3600))
	name := func(s entitlement.Source) entitlement.Source {
		return entitlement.Source{Kind: s.Kind, Provider: s.Provider, Ref: s.Ref, Entitlement: s.Entitlement}
	}
	tell := func(c *customer.Customer) { c.Tell(event.Event{Type: event.PurchaseGranted, At: logNoon}) }
	for _, step := range []struct {
		name string
		do   func(c *customer.Customer)
		want customer.Changes
	}{
		{"two come", func(c *customer.Customer) { c.Set(gold); c.Set(silver) }, customer.Changes{Sources: []entitlement.Source{gold, silver}}},
		{"nothing", func(c *customer.Customer) { c.Set(gold) }, customer.Changes{}},
		{"one is longer", func(c *customer.Customer) { c.Set(later) }, customer.Changes{Sources: []entitlement.Source{later}}},
		{"the same instant by another clock", func(c *customer.Customer) { c.Set(elsewhere) }, customer.Changes{}},
		{"one opens something else", func(c *customer.Customer) { c.Replace(bronze) }, customer.Changes{Sources: []entitlement.Source{bronze}, Gone: []entitlement.Source{name(gold)}}},
		{"there and back", func(c *customer.Customer) { c.Set(logSource("c", "gold")); c.Drop(logSource("c", "gold")) }, customer.Changes{}},
		{"one goes", func(c *customer.Customer) { c.Drop(silver) }, customer.Changes{Gone: []entitlement.Source{name(silver)}}},
	} {
		got := logAfter(t, d, "a", func(c *customer.Customer) { step.do(c); tell(c) })
		if len(got) != 1 {
			t.Fatalf("%s: got %d records, want 1", step.name, len(got))
		}
		if diff := cmp.Diff(step.want, got[0].Changes); diff != "" {
			t.Errorf("%s: the changes: got (+) and want (-) differ:\n%s", step.name, diff)
		}
		sameAsLog(t, d, "a")
	}
}

func TestOfSeveralEventsTheLastHasTheSourcesAndEachItsOwnEntries(t *testing.T) {
	d, _ := directory()
	got := logAfter(t, d, "a", func(c *customer.Customer) {
		c.Set(logSource("a", "gold"))
		for _, order := range []string{"one", "two"} {
			w, e := c.Wallets()["gems"].Credit(logLot(order, 5))
			c.SetWallet("gems", w, e)
			c.Tell(event.Event{Type: event.PurchaseGranted, At: logNoon, OrderID: order})
		}
		w, e := c.Wallets()["coins"].Credit(logLot("three", 7))
		c.SetWallet("coins", w, e) // of which nobody is told
	})
	if len(got) != 2 {
		t.Fatalf("got %d records, want 2", len(got))
	}
	type entries struct {
		Orders  []string
		Sources int
	}
	var have []entries
	for _, r := range got {
		e := entries{Sources: len(r.Changes.Sources)}
		for _, m := range r.Changes.Wallet {
			e.Orders = append(e.Orders, m.Currency+" "+m.Entry.Parts[0].Lot.OrderID)
		}
		have = append(have, e)
	}
	if diff := cmp.Diff([]entries{{[]string{"gems one"}, 0}, {[]string{"gems two", "coins three"}, 1}}, have); diff != "" {
		t.Errorf("what the events have: got (+) and want (-) differ:\n%s", diff)
	}
	sameAsLog(t, d, "a")
}

func TestWhatNobodyWasToldOfHasAnEventOfItsOwn(t *testing.T) {
	d, _ := directory()
	got := logAfter(t, d, "a", func(c *customer.Customer) { c.Set(logSource("a", "gold")) })
	if len(got) != 1 || got[0].Type != event.EntitlementUpdated || got[0].Entitlement != "gold" || got[0].OrderID != "apple_a" {
		t.Errorf("a source: got %+v, want one entitlement.updated of gold, by apple_a", got)
	}
	got = logAfter(t, d, "a", func(c *customer.Customer) { c.Drop(logSource("a", "gold")) })
	if len(got) != 1 || got[0].Type != event.EntitlementUpdated || got[0].Entitlement != "gold" {
		t.Errorf("one that goes: got %+v, want one entitlement.updated of gold", got)
	}
	got = logAfter(t, d, "a", func(c *customer.Customer) {
		w, e := c.Wallets()["gems"].Credit(logLot("one", 5))
		c.SetWallet("gems", w, e)
	})
	if len(got) != 1 || len(got[0].Changes.Wallet) != 1 {
		t.Errorf("an entry: got %+v, want one event with it", got)
	}
	sameAsLog(t, d, "a")
}

func TestAStateIsNotChangedByWhatComesAfter(t *testing.T) {
	first, e := wallet.Wallet{}.Credit(logLot("one", 5))
	before := customer.State{}.After(customer.Record{
		Event:   event.Event{Sequence: 1},
		Changes: customer.Changes{Sources: []entitlement.Source{logSource("b", "gold"), logSource("a", "gold")}, Wallet: []customer.Movement{{Currency: "gems", Entry: e}}},
	})
	_, taken, err := first.Spend(3, logNoon)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, err := first.After(taken).Spend(2, logNoon)
	if err != nil {
		t.Fatal(err)
	}
	ended := logSource("a", "gold")
	ended.State = entitlement.Ended
	want := fmt.Sprintf("%+v", before)
	after := before.After(customer.Record{Event: event.Event{Sequence: 2}, Changes: customer.Changes{
		Sources: []entitlement.Source{ended}, Gone: []entitlement.Source{logSource("b", "gold")},
		Wallet: []customer.Movement{{Currency: "gems", Entry: taken}, {Currency: "gems", Entry: rest}},
	}})
	if got := fmt.Sprintf("%+v", before); got != want {
		t.Errorf("the state before: got %s, want %s", got, want)
	}
	if diff := cmp.Diff(customer.State{Sequence: 2, Sources: []entitlement.Source{ended}, Wallets: map[string]wallet.Wallet{}}, after); diff != "" {
		t.Errorf("the state after, the wallet empty: got (+) and want (-) differ:\n%s", diff)
	}
	if got := after.After(customer.Record{Event: event.Event{Sequence: 9}}).Sequence; got != 9 {
		t.Errorf("sequence: got %d, want that of the record", got)
	}
	if refs := []string{before.Sources[0].Ref, before.Sources[1].Ref}; !slices.Equal(refs, []string{"a", "b"}) {
		t.Errorf("sources: got %v, want them in the order of their names", refs)
	}
}

func TestADebtAloneIsInTheState(t *testing.T) {
	d, _ := directory()
	logAfter(t, d, "a", func(c *customer.Customer) {
		w, e := c.Wallets()["gems"].TakeBack("one", 5)
		c.SetWallet("gems", w, e)
	})
	sameAsLog(t, d, "a")
	if got := named(t, d, "a").State().Wallets["gems"].Debt; got != 5 {
		t.Errorf("debt: got %d, want 5", got)
	}
}

func TestWhatGoesByOneNameGoesAloneHoweverAlikeTheOthersAre(t *testing.T) {
	d, _ := directory()
	all := []entitlement.Source{logSource("a", "gold"), logSource("a", "silver"), logSource("b", "gold"), logSource("a", "gold"), logSource("a", "gold")}
	all[3].Provider, all[4].Kind = "play", entitlement.KindSubscription
	logAfter(t, d, "a", func(c *customer.Customer) {
		for _, s := range all {
			c.Set(s)
		}
	})
	for i, s := range all {
		logAfter(t, d, "a", func(c *customer.Customer) { c.Drop(s) })
		sameAsLog(t, d, "a")
		if got := len(named(t, d, "a").Sources()); got != len(all)-i-1 {
			t.Fatalf("after %d went: got %d, want %d", i+1, got, len(all)-i-1)
		}
	}
}

func TestTheLogIsReadInPagesAfterANumber(t *testing.T) {
	d, tables := directory()
	for n := range 12 {
		logAfter(t, d, "a", func(c *customer.Customer) {
			c.Tell(event.Event{Type: event.PurchaseGranted, At: logNoon, OrderID: fmt.Sprint("order-", n+1)})
		})
	}
	ref := named(t, d, "a").Ref
	for _, c := range []struct {
		after int64
		limit int
		want  []int64
	}{{0, 3, []int64{1, 2, 3}}, {9, 5, []int64{10, 11, 12}}, {12, 5, nil}, {4, 1, []int64{5}}} {
		events, err := customer.Events(t.Context(), tables, table.Default, ref, c.after, c.limit)
		var got []int64
		for _, e := range events {
			got = append(got, e.Sequence)
		}
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%d after %d: got %v, %v, want %v", c.limit, c.after, got, err, c.want)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := customer.Log(ended, tables, table.Default, ref, 0, 5); !errors.Is(err, fault.Unavailable) {
		t.Errorf("the tables do not answer: got %v, want fault.Unavailable", err)
	}
}

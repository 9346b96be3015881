package memory_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/fault"
	"grantline/shared/memory"
	"grantline/shared/table"
)

func order(id string) table.Item {
	return table.Item{Key: table.Key{Table: table.Orders, Partition: id}, Schema: 1, Data: []byte(`{}`)}
}

func head(id string) table.Item {
	return table.Item{Key: table.Key{Table: table.Customers, Partition: id, Sort: "head"}, Schema: 1, Data: []byte(`{}`)}
}

var outage = fault.New(fault.Unavailable, "tables_unavailable", "The tables did not answer.")

func TestLostRequestDoesNothing(t *testing.T) {
	tables := memory.New()
	tables.Fail = func(memory.Op) (bool, error) { return false, outage }
	err := tables.Commit(t.Context(), table.Inserted(order("o")), table.Inserted(head("c")))
	if !errors.Is(err, outage) {
		t.Errorf("Commit: got %v, want the failure that was asked for", err)
	}
	if got := len(tables.Items(table.Orders)) + len(tables.Items(table.Customers)); got != 0 {
		t.Errorf("items after a lost request: got %d, want 0", got)
	}
}

func TestLostAnswerDoesEverything(t *testing.T) {
	tables := memory.New()
	tables.Fail = func(op memory.Op) (bool, error) {
		if op.Method == "Commit" {
			return true, outage
		}
		return false, nil
	}
	for range 2 { // a conflict is an answer as well, and is lost
		err := tables.Commit(t.Context(), table.Inserted(order("o")), table.Inserted(head("c")))
		if !errors.Is(err, outage) || errors.Is(err, fault.Conflict) {
			t.Errorf("Commit: got %v, want the failure that was asked for", err)
		}
	}
	for _, k := range []table.Key{order("o").Key, head("c").Key} {
		if i, err := tables.Get(t.Context(), k); err != nil || i.Revision != 1 {
			t.Errorf("Get in %s: got revision %d, %v, want 1", k.Table, i.Revision, err)
		}
	}
}

func TestLostAnswerOfAReadTellsNothing(t *testing.T) {
	tables := memory.New()
	if err := tables.Commit(t.Context(), table.Inserted(order("o")), table.Inserted(head("c"))); err != nil {
		t.Fatalf("Commit: got %v, want success", err)
	}
	for _, apply := range []bool{false, true} {
		tables.Fail = func(memory.Op) (bool, error) { return apply, outage }
		if i, err := tables.Glance(t.Context(), order("o").Key); !errors.Is(err, outage) || i.Revision != 0 {
			t.Errorf("Glance: got %+v, %v, want nothing and the failure that was asked for", i, err)
		}
		if all, err := tables.GetAll(t.Context(), []table.Key{order("o").Key}); !errors.Is(err, outage) || all != nil {
			t.Errorf("GetAll: got %v, %v, want nothing and the failure that was asked for", all, err)
		}
		p, err := tables.Query(t.Context(), table.Query{Table: table.Customers, Partition: "c", Limit: 1})
		if !errors.Is(err, outage) || p.Items != nil {
			t.Errorf("Query: got %v, %v, want nothing and the failure that was asked for", p, err)
		}
	}
}

func TestFailIsToldWhatIsAboutToHappen(t *testing.T) {
	tables := memory.New()
	var got []string
	tables.Fail = func(op memory.Op) (bool, error) {
		said := op.Method
		for _, in := range table.Names {
			if op.Touches(in) {
				said += " " + string(in)
			}
		}
		for _, k := range op.Keys {
			said += " " + k.Partition
		}
		for _, w := range op.Writes {
			said += fmt.Sprint(" change ", w.Change)
		}
		got = append(got, said+" "+op.Query.Partition)
		return false, nil
	}
	_ = tables.Commit(t.Context(), table.Inserted(head("c")), table.Inserted(order("o")))
	_, _ = tables.Get(t.Context(), order("o").Key)
	_, _ = tables.Glance(t.Context(), head("c").Key)
	_, _ = tables.GetAll(t.Context(), []table.Key{order("b").Key, order("a").Key})
	_, _ = tables.Query(t.Context(), table.Query{Table: table.Customers, Partition: "c", Limit: 1})
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, _ = tables.Get(ended, order("o").Key) // never happens
	want := []string{
		"Commit orders customers c o change 1 change 1 ", "Get orders o ", "Glance customers c ", "GetAll orders b a ", "Query customers c",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("operations: got (+) and want (-) differ:\n%s", d)
	}
}

func TestFailMayLookAndWriteItself(t *testing.T) {
	tables := memory.New()
	overtaken := false
	tables.Fail = func(op memory.Op) (bool, error) {
		if op.Method == "Commit" && !overtaken {
			overtaken = true
			rival := order("o")
			rival.Data = []byte(`{"by":"rival"}`)
			return false, tables.Commit(t.Context(), table.Inserted(rival))
		}
		return false, nil
	}
	if err := tables.Commit(t.Context(), table.Inserted(order("o"))); !errors.Is(err, fault.Conflict) {
		t.Errorf("Commit that a rival overtakes: got %v, want fault.Conflict", err)
	}
}

func TestItemsAreListedInOrderAndAreCopies(t *testing.T) {
	tables := memory.New()
	for _, id := range []string{"c", "a", "b"} {
		if err := tables.Commit(t.Context(), table.Inserted(order(id)), table.Inserted(head(id))); err != nil {
			t.Fatalf("Commit: got %v, want success", err)
		}
	}
	var got []string
	for _, i := range tables.Items(table.Orders) {
		got = append(got, i.Key.Partition)
		copy(i.Data, "[]")
	}
	if d := cmp.Diff([]string{"a", "b", "c"}, got); d != "" {
		t.Errorf("orders: got (+) and want (-) differ:\n%s", d)
	}
	if got := tables.Items(table.Orders)[0].Data; string(got) != `{}` {
		t.Errorf("Data after a reader changed its own: got %s, want {}", got)
	}
}

// TestNonsensePanics: an error might be swallowed by the very bug that it is about.
func TestNonsensePanics(t *testing.T) {
	tables := memory.New()
	for name, call := range map[string]func(){
		"Commit": func() { _ = tables.Commit(t.Context()) },
		"Get":    func() { _, _ = tables.Get(t.Context(), table.Key{Table: "charges", Partition: "p"}) },
		"GetAll": func() { _, _ = tables.GetAll(t.Context(), make([]table.Key, 1001)) },
		"Query":  func() { _, _ = tables.Query(t.Context(), table.Query{Table: table.Orders, Partition: "p", Limit: 1}) },
	} {
		func() {
			defer func() {
				if got := fmt.Sprint(recover()); !strings.HasPrefix(got, "memory: bug in the caller: ") {
					t.Errorf("%s with nonsense: got %q, want a panic that calls it a bug", name, got)
				}
			}()
			call()
		}()
	}
	if err := tables.Commit(t.Context(), table.Inserted(order("o"))); err != nil {
		t.Errorf("Commit after the panics: got %v, want success", err)
	}
}

func TestNumbersThatDynamoWouldRoundAreNonsense(t *testing.T) {
	for text, ok := range map[string]bool{
		"0": true, "-0": true, "0e999999999999999999999": true, "0.000": true,
		"9223372036854775807": true, "12345678901234567890123456789012345678": true,
		"123456789012345678901234567890123456789":                     false,
		"1234567890123456789012345678901234567800000":                 true,
		"0.00000000000000000012345678901234567890123456789012345678":  true,
		"0.000000000000000000123456789012345678901234567890123456789": false,
		"9.9999999999999999999999999999999999999e125":                 true,
		"1e126":                   false,
		"10e125":                  false,
		"0.1e126":                 true,
		"1e-130":                  true,
		"0.1e-129":                true,
		"1e-131":                  false,
		"-1E+125":                 true,
		"1e99999999999999999999":  false,
		"1e-99999999999999999999": false,
	} {
		panics := true
		func() {
			defer func() { _ = recover() }()
			i := order("o")
			i.Data = []byte(`{"n":` + text + `}`)
			_ = memory.New().Commit(t.Context(), table.Inserted(i))
			panics = false
		}()
		if panics == ok {
			t.Errorf("number %s: got refused %v, want %v", text, panics, !ok)
		}
	}
}

// TestAnIndexLagsUntilItIsShown: what an index says is of the past, and its table's items are not.
func TestAnIndexLagsUntilItIsShown(t *testing.T) {
	tables := memory.New()
	var shows []func()
	tables.Lag = func(_ table.Key, show func()) { shows = append(shows, show) }
	at := func(partition string) table.Item {
		i := order("o")
		i.Index = &table.Index{Partition: partition, Sort: "1", Hint: "h-" + partition}
		return i
	}
	seen := func() (in []string) {
		for _, p := range []string{"first", "second"} {
			page, err := tables.Query(t.Context(), table.Query{Table: table.Orders, Indexed: true, Partition: p, Limit: 10})
			if err != nil {
				t.Fatal(err)
			}
			for _, i := range page.Items {
				in = append(in, p+" "+i.Index.Hint)
			}
		}
		return in
	}
	want := func(when string, entries ...string) {
		t.Helper()
		if d := cmp.Diff(entries, seen()); d != "" {
			t.Errorf("%s: got (+) and want (-) differ:\n%s", when, d)
		}
	}
	commit := func(w table.Write) {
		t.Helper()
		if err := tables.Commit(t.Context(), w); err != nil {
			t.Fatal(err)
		}
	}
	commit(table.Inserted(at("first")))
	want("inserted")
	shows[0]()
	want("shown", "first h-first")
	moved := at("second")
	moved.Revision = 1
	commit(table.Replaced(moved))
	want("moved", "first h-first")
	moved.Revision = 2
	commit(table.Removed(moved))
	want("removed", "first h-first")
	shows[1]()
	want("shown once more")
	shows[2]()
	want("shown again")
	if len(shows) != 3 {
		t.Errorf("told %d times that the index is behind, want 3", len(shows))
	}
}

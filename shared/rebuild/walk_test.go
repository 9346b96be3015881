package rebuild_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/aws/dynamo"
	"grantline/shared/customer"
	"grantline/shared/dbtest/local"
	"grantline/shared/fault"
	"grantline/shared/memory"
	"grantline/shared/rebuild"
	"grantline/shared/table"
)

func onBoth(t *testing.T, prove func(t *testing.T, tables walked)) {
	t.Run("memory", func(t *testing.T) { prove(t, memory.New()) })
	t.Run("dynamo", func(t *testing.T) { prove(t, dynamo.New(local.Open(t))) })
}

func TestAWalkMeetsEachPartitionOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, tables walked) {
		want := map[table.Table][]string{}
		put := func(in table.Table, partition, sort string) {
			item := table.Item{Key: table.Key{Table: in, Partition: table.Default.Key(partition), Sort: sort}, Schema: 1, Data: []byte(`{}`)}
			if err := tables.Commit(t.Context(), table.Inserted(item)); err != nil {
				t.Fatal(err)
			}
			if !slices.Contains(want[in], item.Key.Partition) {
				want[in] = append(want[in], item.Key.Partition)
			}
		}
		for n := range 12 {
			put(table.Orders, fmt.Sprint("order-", n), "")
			for m := range 1 + n*n%7 {
				put(table.Customers, fmt.Sprint("cus_", n), fmt.Sprint("item-", m))
			}
		}
		for in := range want {
			slices.Sort(want[in])
			for _, segments := range []int{1, 3} {
				for _, limit := range []int{1, 5, 1000} {
					var got []string
					for segment := range segments {
						after := ""
						for range 1000 {
							some, next, err := tables.Walk(t.Context(), in, segment, segments, limit, after)
							if err != nil {
								t.Fatalf("Walk: got %v, want a stretch", err)
							}
							if got = append(got, some...); next == "" {
								break
							}
							after = next
						}
					}
					slices.Sort(got)
					if d := cmp.Diff(want[in], got); d != "" {
						t.Errorf("%s in %d segments by %d: got (+) and want (-) differ:\n%s", in, segments, limit, d)
					}
				}
			}
		}
		if none, next, err := tables.Walk(t.Context(), table.Purchases, 0, 1, 10, ""); err != nil || next != "" || none != nil {
			t.Errorf("a walk through nothing: got %v, %q, %v, want nothing", none, next, err)
		}
		_, next, err := tables.Walk(t.Context(), table.Customers, 0, 1, 1, "")
		if err != nil {
			t.Fatal(err)
		}
		for name, after := range map[string]string{"noise": "?", "another table's": next} {
			if _, _, err := tables.Walk(t.Context(), table.Orders, 0, 1, 1, after); !errors.Is(err, fault.Malformed) {
				t.Errorf("a cursor that is %s: got %v, want fault.Malformed", name, err)
			}
		}
	})
}

func TestOnRealTablesEventsMakeTheStateAgain(t *testing.T) {
	w := newWorld(t, dynamo.New(local.Open(t)), 5)
	w.live(250)
	target := dynamo.New(local.Open(t))
	r := &rebuild.Rebuild{Tables: w.tables, Walker: w.tables, Target: target, TargetWalker: target}
	report, err := r.Run(t.Context(), rebuild.Ask{})
	if err != nil || !report.Equal || report.Customers < 8 || report.Orders < 30 {
		t.Fatalf("Run: got %+v, %v, want many, and all equal", report, err)
	}
	if _, err := r.Run(t.Context(), rebuild.Ask{}); fault.Code(err) != "target_not_empty" {
		t.Errorf("Run into what is not empty any more: got %v, want target_not_empty", err)
	}
	_, _, err = w.people.Credit(t.Context(), table.Default, "debtor", customer.CreditAsk{Currency: "gems", Amount: 7, Reference: "r", Reason: "x"}, w.clock)
	w.fine("a credit", err)
	w.alter(w.item("debtor", "#wallet#gems"), `"remaining":7`, `"remaining":8`)
	r.Target = nil
	if report, err = r.Run(t.Context(), rebuild.Ask{}); err != nil || report.Counts[rebuild.WrongLots] != 1 || report.Counts[rebuild.WrongLedger] != 1 {
		t.Errorf("Run over damage: got %+v, %v, want it found", report, err)
	}
}

// ending are tables under which time ends after some reads.
type ending struct {
	walked
	left int
	end  context.CancelFunc
}

func (e *ending) Query(ctx context.Context, q table.Query) (table.Page, error) {
	if e.left--; e.left < 0 {
		e.end()
	}
	return e.walked.Query(ctx, q)
}

func TestARunThatIsCutOffGoesOnWhereItStopped(t *testing.T) {
	w := newWorld(t, memory.New(), 21)
	for n := range 300 {
		_, _, err := w.people.Credit(t.Context(), table.Default, fmt.Sprint("p", n), customer.CreditAsk{Currency: "gems", Amount: 5, Reference: "r", Reason: "x"}, w.clock)
		w.fine("a credit", err)
	}
	w.live(200)
	w.alter(w.item("p7", "#wallet#gems"), `"remaining":5`, `"remaining":6`)
	w.alter(w.item("p207", "#wallet#gems"), `"remaining":5`, `"remaining":6`)
	want := w.compare()
	target := memory.New()
	r := &rebuild.Rebuild{Walker: w.tables, Target: target, TargetWalker: target}
	var got rebuild.Report
	calls := 0
	for ; calls == 0 || got.Cursor != "" && calls < 1000; calls++ {
		ctx, cancel := context.WithCancel(t.Context())
		r.Tables = &ending{w.tables, 400, cancel}
		part, err := r.Run(ctx, rebuild.Ask{Cursor: got.Cursor})
		cancel()
		if err != nil {
			t.Fatalf("call %d: got %v, want a part of the report", calls, err)
		}
		if calls == 0 {
			got = part
		} else {
			got = got.And(part)
		}
	}
	if d := cmp.Diff(want, got); d != "" || calls < 3 {
		t.Errorf("in %d calls, want several: got (+) and want (-) differ:\n%s", calls, d)
	}
	for _, n := range []int{1, 299} {
		if _, err := customer.Outgoing(t.Context(), target, table.Default, w.ref(fmt.Sprint("p", n))); err != nil {
			t.Errorf("p%d in the target: got %v, want it there", n, err)
		}
	}
}

func TestARunWithoutTimeForAnythingIsUnavailable(t *testing.T) {
	w := newWorld(t, memory.New(), 2)
	w.live(50)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second) // less than an answer needs
	defer cancel()
	r := &rebuild.Rebuild{Tables: w.tables, Walker: w.tables}
	if report, err := r.Run(ctx, rebuild.Ask{}); !errors.Is(err, fault.Unavailable) {
		t.Errorf("Run: got %+v, %v, want fault.Unavailable", report, err)
	}
}

func TestSegmentsTogetherAreTheWhole(t *testing.T) {
	w := newWorld(t, memory.New(), 4)
	w.live(300)
	w.alter(w.item("person-1", "#head"), `"sequence":`, `"sequence":1`)
	r := &rebuild.Rebuild{Tables: w.tables, Walker: w.tables}
	whole, err := r.Run(t.Context(), rebuild.Ask{})
	if err != nil || whole.Equal {
		t.Fatalf("Run: got %+v, %v, want the damage", whole, err)
	}
	sum := rebuild.Report{Equal: true}
	for segment := range 3 {
		part, err := r.Run(t.Context(), rebuild.Ask{Segment: segment, Segments: 3})
		if err != nil {
			t.Fatal(err)
		}
		sum = sum.And(part)
	}
	if d := cmp.Diff(whole, sum); d != "" {
		t.Errorf("three segments (+) and the whole (-) differ:\n%s", d)
	}
	for _, bad := range []rebuild.Ask{{Segments: -1}, {Segment: 1}, {Segment: -1, Segments: 2}, {Segment: 2, Segments: 2}, {Segments: 65}, {Cursor: "?"}, {Cursor: "e30"}} {
		if _, err := r.Run(t.Context(), bad); !errors.Is(err, fault.Malformed) {
			t.Errorf("%+v: got %v, want fault.Malformed", bad, err)
		}
	}
}

// busy are tables in which something happens after each read of a customer.
type busy struct {
	walked
	then func()
}

func (b busy) Query(ctx context.Context, q table.Query) (table.Page, error) {
	page, err := b.walked.Query(ctx, q)
	b.then()
	return page, err
}

func TestWhatChangesWhileItIsReadIsReadAgain(t *testing.T) {
	for _, c := range []struct {
		name  string
		times int
		want  map[rebuild.Kind]int
	}{{"once", 1, map[rebuild.Kind]int{}}, {"always", math.MaxInt, map[rebuild.Kind]int{rebuild.Unsettled: 5}}} { // two customers, three orders
		t.Run(c.name, func(t *testing.T) {
			w, tables := village(t)
			n := 0
			r := &rebuild.Rebuild{Walker: tables, Tables: busy{tables, func() {
				if n++; n > c.times {
					return
				}
				for _, who := range []string{"ann", "ben"} {
					ask := customer.CreditAsk{Currency: "gems", Amount: 1, Reference: fmt.Sprint("r", n), Reason: "x"}
					_, _, err := w.people.Credit(t.Context(), table.Default, who, ask, w.clock)
					w.fine("a credit", err)
				}
			}}}
			got, err := r.Run(t.Context(), rebuild.Ask{})
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, got.Counts); d != "" || got.Equal != (c.times == 1) {
				t.Errorf("equal is %v, and findings: got (+) and want (-) differ:\n%s", got.Equal, d)
			}
		})
	}
}

func TestAnOutageIsNoDifference(t *testing.T) {
	outage := fault.New(fault.Unavailable, "tables_unavailable", "The tables did not answer.")
	w, tables := village(t)
	count := 0
	tables.Fail = func(memory.Op) (bool, error) { count++; return false, nil }
	if got := w.compare(); !got.Equal {
		t.Fatalf("got %+v, want equal", got)
	}
	all := count
	for nth := range all {
		n := 0
		tables.Fail = func(memory.Op) (bool, error) {
			if n++; n == nth+1 {
				return false, outage
			}
			return false, nil
		}
		r := &rebuild.Rebuild{Tables: tables, Walker: tables}
		if report, err := r.Run(t.Context(), rebuild.Ask{}); !errors.Is(err, fault.Unavailable) {
			t.Errorf("the tables fail at operation %d of %d: got %+v, %v, want fault.Unavailable", nth+1, all, report, err)
		}
	}
}

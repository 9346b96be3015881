package customer_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/customer"
	"grantline/shared/fault"
	"grantline/shared/memory"
	"grantline/shared/table"
)

// faults has operations of tables go wrong, or something happen in their middle.
type faults struct {
	mu         sync.Mutex
	operations int // so far
	commits    int
	only       string // the method that counts; "": all do
	at         int    // which operation goes wrong, from 1; 0: none
	lasts      int    // for how many operations from there on
	applied    bool   // it is done, and its answer lost
	before     func() // instead, what happens before the operation
}

func (f *faults) fail(op memory.Op) (bool, error) {
	f.mu.Lock()
	counted := f.only == "" || f.only == op.Method
	if counted {
		f.operations++
	}
	if op.Method == "Commit" {
		f.commits++
	}
	hit := counted && f.at > 0 && f.operations >= f.at && f.operations < f.at+max(f.lasts, 1)
	before := f.before
	if hit && before != nil {
		f.at = 0 // once
	}
	f.mu.Unlock()
	if !hit {
		return false, nil
	}
	if before != nil {
		before()
		return false, nil
	}
	return f.applied, fault.New(fault.Unavailable, "tables_unavailable", "The tables did not answer.")
}

// set begins to count anew.
func (f *faults) set(to *faults) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.operations, f.commits, f.only, f.at, f.lasts, f.applied, f.before = 0, 0, to.only, to.at, to.lasts, to.applied, to.before
}

// done is one thing that is asked of a wallet, and by how much it moves the balance.
type done struct {
	name  string
	moves int64
	ask   func(*purse) (any, error)
}

func all() []done {
	return []done{
		{"a spend", -30, func(p *purse) (any, error) { s, _, err := p.spend(30, "s"); return s, err }},
		{"a refund of a spend", 5, func(p *purse) (any, error) { r, _, _, err := p.refund("before", 5, "r"); return r, err }},
		{"a credit", 7, func(p *purse) (any, error) { c, _, err := p.credit(7, "c"); return c, err }},
	}
}

// ready has 90 gems left of 100, and a spend of ten.
func ready(t testing.TB) (*purse, *faults) {
	t.Helper()
	p, f := newPurse(t)
	p.buy("o", 100)
	if _, _, err := p.spend(10, "before"); err != nil {
		t.Fatal(err)
	}
	return p, f
}

// Whatever operation fails, and however, what is asked for happens once: asked again until
// there is an answer, and once more.
func TestWhateverFailsItHappensOnce(t *testing.T) {
	for _, act := range all() {
		for _, applied := range []bool{false, true} {
			for _, lasts := range []int{1, 2, 3, 4, 7} {
				failed := 0
				for n := 1; ; n++ {
					p, f := ready(t)
					f.set(&faults{at: n, lasts: lasts, applied: applied})
					what := fmt.Sprintf("%s, operations %d to %d lost, done all the same: %t", act.name, n, n+lasts-1, applied)
					var first any
					asked := fault.Unavailable
					for tries := 0; asked != nil; tries++ {
						if tries > 20 {
							t.Fatalf("%s: got %v for ever", what, asked)
						}
						if first, asked = act.ask(p); asked != nil {
							failed++
							if !errors.Is(asked, fault.Unavailable) || errors.Is(asked, fault.Conflict) {
								t.Fatalf("%s: got %v, want unavailable", what, asked)
							}
						}
					}
					over := f.operations < n
					f.set(&faults{})
					again, asked := act.ask(p)
					if asked != nil || cmp.Diff(first, again) != "" {
						t.Fatalf("%s: again: got %+v, %v, want %+v", what, again, asked, first)
					}
					p.holds(90 + act.moves)
					if got := len(p.log(p.read().Ref)); got != 3 {
						t.Fatalf("%s: got %d events, want 3", what, got)
					}
					if over {
						break // there are not so many operations
					}
				}
				if failed == 0 {
					t.Errorf("%s: nothing failed", act.name)
				}
			}
		}
	}
}

// An answer that is lost alone troubles nobody: it is looked up by its reference.
func TestALostAnswerIsLookedUp(t *testing.T) {
	for _, act := range all() {
		for _, applied := range []bool{false, true} {
			p, f := ready(t)
			f.set(&faults{at: 1, only: "Commit", applied: applied})
			if _, err := act.ask(p); err != nil || f.commits < 1 {
				t.Errorf("%s, its Commit lost and done all the same %t: got %v, want an answer", act.name, applied, err)
			}
			f.set(&faults{})
			p.holds(90 + act.moves)
		}
	}
}

func TestTablesThatStayAwayAreGivenUp(t *testing.T) {
	for _, act := range all() {
		p, f := ready(t)
		f.set(&faults{at: 1, lasts: 1 << 30})
		if _, err := act.ask(p); !errors.Is(err, fault.Unavailable) || f.operations > 1 {
			t.Errorf("%s: got %v after %d operations, want unavailable after one", act.name, err, f.operations)
		}
		p, f = ready(t)
		f.set(&faults{at: 3, lasts: 1 << 30}) // from the Commit on
		if _, err := act.ask(p); !errors.Is(err, fault.Unavailable) || f.operations > 10 {
			t.Errorf("%s: got %v after %d operations, want unavailable after ten at most", act.name, err, f.operations)
		}
	}
}

// Whatever happens in the middle of whatever else, at each of its operations, both happen
// once, and nobody hears of the other.
func TestTwoInEachOthersMiddleBothHappenOnce(t *testing.T) {
	others := append(all(),
		done{"another spend", -20, func(p *purse) (any, error) { s, _, err := p.spend(20, "other"); return s, err }},
		done{"another refund", 3, func(p *purse) (any, error) { r, _, _, err := p.refund("before", 3, "other"); return r, err }},
		done{"an order", 50, func(p *purse) (any, error) { p.buy("o2", 50); return nil, nil }},
		done{"an order's refund", -40, func(p *purse) (any, error) { p.takeBack("o", 40); return nil, nil }},
		done{"a merge", 11, func(p *purse) (any, error) {
			ben := *p
			ben.id = "ben"
			if _, _, err := ben.credit(11, "ben's"); err != nil {
				return nil, err
			}
			return p.join(p.id, "ben")
		}},
		done{"its own merge", 11, func(p *purse) (any, error) {
			ben := *p
			ben.id = "ben"
			if _, _, err := ben.credit(11, "ben's"); err != nil {
				return nil, err
			}
			return p.join("ben", p.id)
		}},
	)
	for _, act := range all() {
		for _, other := range others {
			for n := 1; ; n++ {
				p, f := ready(t)
				var met error
				happened := false
				f.set(&faults{at: n, before: func() { happened = true; _, met = other.ask(p) }})
				first, err := act.ask(p)
				f.set(&faults{})
				if !happened {
					break // there are not so many operations
				}
				if err != nil || met != nil {
					t.Fatalf("%s with %s before operation %d: got %v and %v, want both done", act.name, other.name, n, err, met)
				}
				again, err := act.ask(p)
				if err != nil || cmp.Diff(first, again) != "" {
					t.Fatalf("%s with %s before operation %d, again: got %+v, %v, want %+v", act.name, other.name, n, again, err, first)
				}
				want := 90 + act.moves
				if other.name != act.name {
					want += other.moves
				}
				p.holds(want)
			}
		}
	}
}

func TestTheSameReferenceForAnotherAmountInTheMiddleIsAConflict(t *testing.T) {
	for n := 1; ; n++ {
		p, f := ready(t)
		happened := false
		f.set(&faults{at: n, before: func() {
			happened = true
			if _, _, err := p.spend(29, "s"); err != nil {
				t.Error(err)
			}
		}})
		_, _, err := p.spend(30, "s")
		f.set(&faults{})
		if !happened {
			return
		}
		p.refuses("reference_used", fault.Conflict, err)
		p.holds(61)
	}
}

// Enough for one of what two want at once: one has it, and the other hears that it is gone.
func TestTheLastGemIsSpentOnce(t *testing.T) {
	for n := 1; ; n++ {
		p, f := ready(t)
		happened := false
		f.set(&faults{at: n, before: func() {
			happened = true
			if _, _, err := p.spend(60, "other"); err != nil {
				t.Error(err)
			}
		}})
		_, _, err := p.spend(60, "s")
		f.set(&faults{})
		if !happened {
			return
		}
		p.refuses("insufficient_balance", fault.Invalid, err)
		p.holds(30)
	}
}

func TestWhatWasSpentBeforeAMergeIsSpent(t *testing.T) {
	p, _ := newPurse(t)
	ben, zoe := *p, *p
	ben.id, zoe.id = "ben", "zoe"
	p.buy("o1", 100)
	ben.buy("o2", 100)
	zoe.buy("o3", 100)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	first, _, err := ben.spend(60, "ben's")
	must(err)
	credit, _, err := zoe.credit(5, "zoe's")
	must(err)
	_, _, _, err = ben.refund("ben's", 10, "back")
	must(err)
	for _, pair := range [][2]string{{"ben", "zoe"}, {"ann", "ben"}} { // one after the other
		_, err = p.join(pair[0], pair[1])
		must(err)
	}
	for _, who := range []*purse{p, &ben, &zoe} {
		again, _, err := who.spend(60, "ben's")
		first.Refunded = 10
		if diff := cmp.Diff(first, again); err != nil || diff != "" {
			t.Errorf("by %s: got %v and another spend (-first +again):\n%s", who.id, err, diff)
		}
		_, _, err = who.spend(61, "ben's")
		who.refuses("reference_used", fault.Conflict, err)
		if again, _, err := who.credit(5, "zoe's"); err != nil || cmp.Diff(credit, again) != "" {
			t.Errorf("by %s: got %+v, %v, want the credit of before", who.id, again, err)
		}
		if back, of, _, err := who.refund("ben's", 10, "back"); err != nil || back.Amount != 10 || of.Refunded != 10 {
			t.Errorf("by %s: got %+v of %+v, %v, want the refund of before", who.id, back, of, err)
		}
	}
	p.holds(255)
	_, of, _, err := p.refund("ben's", 0, "rest")
	if err != nil || of.Refunded != 60 {
		t.Errorf("the rest of what was spent before: got %+v, %v, want all given back", of, err)
	}
	p.holds(305)
	_, _, _, err = p.refund("ben's", 1, "more")
	p.refuses("refund_exceeds_spend", fault.Invalid, err)
	lots := map[string]int64{}
	for _, l := range p.read().Wallets()["gems"].Lots {
		lots[l.OrderID] += l.Remaining
	}
	if diff := cmp.Diff(map[string]int64{"o1": 100, "o2": 100, "o3": 100, "credit_zoe's": 5}, lots); diff != "" {
		t.Errorf("lots (-want +got):\n%s", diff)
	}
}

func TestOneReferenceThatBothHadNamesEither(t *testing.T) {
	p, _ := newPurse(t)
	ben := *p
	ben.id = "ben"
	p.buy("o1", 100)
	ben.buy("o2", 100)
	for who, amount := range map[*purse]int64{p: 10, &ben: 20} {
		if _, _, err := who.spend(amount, "level-1"); err != nil {
			t.Fatal(err)
		}
		if _, _, err := who.credit(5, "welcome"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := p.join("ann", "ben"); err != nil {
		t.Fatal(err)
	}
	p.holds(180)
	for _, amount := range []int64{10, 20} {
		if got, _, err := p.spend(amount, "level-1"); err != nil || got.Amount != amount {
			t.Errorf("a spend of %d again: got %+v, %v", amount, got, err)
		}
	}
	_, _, err := p.spend(30, "level-1")
	p.refuses("reference_used", fault.Conflict, err)
	if got, of, _, err := p.refund("level-1", 20, "back"); err != nil || of.Amount != 20 || got.Amount != 20 {
		t.Errorf("a refund of 20: got %+v of %+v, %v, want it of the spend that has so much", got, of, err)
	}
	if got, of, _, err := p.refund("level-1", 0, "rest"); err != nil || of.Amount != 10 || got.Amount != 10 {
		t.Errorf("the refund of the rest: got %+v of %+v, %v, want it of the spend that has some left", got, of, err)
	}
	p.holds(210)
}

// A request is over when its time is, whatever comes between.
func TestAPauseEndsWithTheRequest(t *testing.T) {
	p, _ := ready(t)
	conflicts := &always{Tables: p.Tables}
	p.Tables = conflicts
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	waits := &waiting{cancel: cancel}
	_, _, err := p.Spend(ctx, table.Default, p.id, customer.SpendAsk{Currency: "gems", Amount: 1, Reference: "s"}, waits)
	p.refuses("busy", fault.Unavailable, err)
	if got := len(waits.slept); got != 30 || conflicts.times != 30 {
		t.Errorf("got %d pauses and %d tries, want 30, when the request was over", got, conflicts.times)
	}
	early, late := time.Duration(0), time.Duration(0)
	for n, d := range waits.slept {
		if d <= 0 || d > time.Second {
			t.Errorf("pause %d is of %v, want a short one", n, d)
		}
		if n < 10 {
			early += d
		} else if n >= 20 {
			late += d
		}
	}
	if late <= early {
		t.Errorf("the last ten pauses are %v, the first ten %v, want longer ones", late, early)
	}
}

// waiting is a clock that ends the request in its thirtieth pause.
type waiting struct {
	cancel context.CancelFunc
	slept  []time.Duration
}

func (w *waiting) Now() time.Time { return at }

func (w *waiting) Sleep(ctx context.Context, d time.Duration) error {
	if w.slept = append(w.slept, d); len(w.slept) == 30 {
		w.cancel()
	}
	return ctx.Err()
}

func TestWhoNeverComesToTheirTurnIsToldToAskAgain(t *testing.T) {
	p, _ := ready(t)
	conflicts := &always{Tables: p.Tables}
	p.Tables = conflicts
	_, _, err := p.spend(1, "s")
	p.refuses("busy", fault.Unavailable, err)
	if conflicts.times < 100 || conflicts.times > 1000 {
		t.Errorf("got %d tries, want enough for a hundred at once, and an end", conflicts.times)
	}
}

// always has another write come between.
type always struct {
	table.Tables
	times int
}

func (a *always) Commit(context.Context, ...table.Write) error {
	a.times++
	return &table.Conflict{}
}

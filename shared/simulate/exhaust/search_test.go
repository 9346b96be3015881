package exhaust_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"

	"grantline/shared/fault"
	"grantline/shared/simulate/exhaust"
	"grantline/shared/table"
)

var counter = table.Key{Table: table.Orders, Partition: "counter"}

// add counts one more; careless, it does so whatever was counted meanwhile.
func add(ctx context.Context, tables table.Tables, careless bool) error {
	for {
		item, err := tables.Get(ctx, counter)
		if err != nil {
			return err
		}
		n, _ := strconv.Atoi(strings.Trim(string(item.Data), `{"n:}`))
		item.Data = []byte(`{"n":` + strconv.Itoa(n+1) + `}`)
		if err = tables.Commit(ctx, table.Replaced(item)); !errors.Is(err, fault.Conflict) {
			return err
		}
		if careless {
			return nil
		}
	}
}

// counting are some who count, of whom nobody must be forgotten who was told that it counted.
func counting(name string, who, faults int, careless bool) *exhaust.Set {
	return &exhaust.Set{Name: name, Faults: faults, Stage: func(p *exhaust.Path) {
		p.Tables.Load([]table.Item{{Key: counter, Schema: 1, Data: []byte(`{"n":0}`)}})
		var all []exhaust.Racer
		for n := range who {
			all = append(all, p.Race("adder "+strconv.Itoa(n+1), func(ctx context.Context) error { return add(ctx, p.Tables, careless) }))
		}
		p.Settle(func() {
			counted := 0
			for _, r := range all {
				if heard, err := r.Heard(); heard && err == nil {
					counted++
				}
			}
			item, _ := p.Tables.Peek(counter)
			if n, _ := strconv.Atoi(strings.Trim(string(item.Data), `{"n:}`)); n < counted {
				p.Fail("whoever heard that it counted is counted", "%d heard it, and %d are counted", counted, n)
			}
		})
	}}
}

func TestWhatIsNotGoneAgainIsCountedAsIfItWere(t *testing.T) {
	for _, c := range []struct{ who, faults int }{{2, 0}, {2, 1}, {2, 2}, {3, 0}} {
		s := counting("counting", c.who, c.faults, false)
		plain := s.Search(exhaust.Options{Plain: true})
		pruned := s.Search(exhaust.Options{})
		if plain.Violation != nil || pruned.Violation != nil || !plain.Complete || !pruned.Complete {
			t.Fatalf("%+v: got %+v and %+v, want both complete", c, plain, pruned)
		}
		if uint64(plain.Runs) != plain.Covered || pruned.Covered != plain.Covered || pruned.Runs >= plain.Runs || pruned.Deepest != plain.Deepest {
			t.Errorf("%+v: plain %d runs of %d paths, pruned %d of %d, want the same paths by fewer runs", c, plain.Runs, plain.Covered, pruned.Runs, pruned.Covered)
		}
	}
}

func TestAllOrdersOfTwoHandlersAreGone(t *testing.T) {
	// Two of two steps each have six orders. Whoever commits second has two steps more, which
	// nobody can come between, but where both have read before: four of the six.
	got := counting("counting", 2, 0, false).Search(exhaust.Options{Plain: true})
	if got.Runs != 6 {
		t.Errorf("runs: got %d, want 6", got.Runs)
	}
}

func TestAViolationIsToldAndGoneAgain(t *testing.T) {
	s := counting("careless", 2, 1, true)
	for _, o := range []exhaust.Options{{}, {Plain: true}, {Most: 400, Seed: 3}} {
		r := s.Search(o)
		if r.Violation == nil || !strings.HasPrefix(r.Violation.Error(), "violation: whoever heard that it counted is counted: ") {
			t.Fatalf("%+v: got %v, want the promise that is broken", o, r.Violation)
		}
		v, story, err := exhaust.Replay([]*exhaust.Set{s}, r.Replay)
		if err != nil || v == nil || v.Error() != r.Violation.Error() || story != r.Story {
			t.Errorf("%s: got %v, %v, %s\nwant %v\n%s", r.Replay, v, err, story, r.Violation, r.Story)
		}
		if !strings.Contains(story, "adder 2") || !strings.Contains(story, "commit counter") {
			t.Errorf("the story says nothing of who did what: %s", story)
		}
	}
	if _, _, err := exhaust.Replay([]*exhaust.Set{s}, "careless:0.x"); err == nil {
		t.Error("a path that is none was gone")
	}
}

func TestABoundedSearchIsTheSameEachTime(t *testing.T) {
	s := counting("counting", 3, 1, false)
	one, other := s.Search(exhaust.Options{Most: 300, Seed: 5}), s.Search(exhaust.Options{Most: 300, Seed: 5})
	if one.Complete || one.Runs != 300 || one.Covered != other.Covered || one.Deepest != other.Deepest {
		t.Errorf("got %+v and %+v, want 300 runs, the same both times", one, other)
	}
}

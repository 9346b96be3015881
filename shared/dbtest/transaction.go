package dbtest

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"grantline/shared/fault"
	"grantline/shared/table"
)

// oneFailedConditionChangesNothing puts each write whose condition does not hold at each
// place among writes whose conditions do.
func oneFailedConditionChangesNothing(t *testing.T, b *bench) {
	good := []table.Item{b.order("replaced"), b.order("removed"), b.order("checked")}
	var inserts []table.Write
	for _, i := range append(slices.Clone(good), b.order("stale"), b.order("inserted twice")) {
		inserts = append(inserts, table.Inserted(i))
	}
	b.write(t, inserts...)
	for n := range good {
		good[n] = b.read(t, good[n].Key)
	}
	replaced, removed, checked := good[0], good[1], good[2]
	replaced.Data = []byte(`{"state":"changed"}`)
	head := table.Item{Key: b.key(table.Customers, "ann", "head"), Schema: 1, Data: []byte(`{}`)}
	hold := []table.Write{table.Replaced(replaced), table.Removed(removed), table.Unchanged(checked), table.Inserted(head)}

	stale, absent := b.read(t, b.order("stale").Key), b.order("absent")
	b.write(t, table.Replaced(stale))
	absent.Revision = 1
	for what, fails := range map[string]table.Write{
		"insert of what is there":   table.Inserted(b.order("inserted twice")),
		"replacement of what moved": table.Replaced(stale),
		"removal of what moved":     table.Removed(stale),
		"check of what moved":       table.Unchanged(stale),
		"replacement of nothing":    table.Replaced(absent),
		"removal of nothing":        table.Removed(absent),
		"check of nothing":          table.Unchanged(absent),
	} {
		for at := range len(hold) + 1 {
			c := b.conflict(t, slices.Insert(slices.Clone(hold), at, fails)...)
			for n, found := range c.Found {
				want := n == at && fails.Item.Key != absent.Key
				if (found != nil) != want {
					t.Errorf("%s at %d: got entry %d %+v, want one: %v", what, at, n, found, want)
				}
				if want && found != nil {
					same(t, what, *found, b.read(t, fails.Item.Key))
				}
			}
		}
		for _, i := range good {
			same(t, "item beside a "+what, b.read(t, i.Key), i)
		}
		b.missing(t, head.Key)
		b.missing(t, absent.Key)
	}
	b.write(t, hold...) // it was that one alone
}

// oneOfManyChangesWins: whoever read the same revision, replaces it or removes it.
func oneOfManyChangesWins(t *testing.T, b *bench) {
	b.write(t, table.Inserted(b.order("o-1")))
	read := b.read(t, b.order("o-1").Key)
	errs := race(func(n int) error {
		mine := read
		mine.Data = fmt.Appendf(nil, `{"by":%d}`, n)
		switch n % 3 {
		case 0:
			return b.Commit(t.Context(), table.Removed(mine))
		case 1:
			return b.Commit(t.Context(), table.Replaced(mine))
		default:
			beside := b.order(fmt.Sprint("beside-", n))
			return b.Commit(t.Context(), table.Replaced(mine), table.Inserted(beside))
		}
	})
	oneWinner(t, errs)
	won := slices.Index(errs, nil)
	if won < 0 {
		return
	}
	if won%3 == 0 {
		b.missing(t, read.Key)
		return
	}
	want := read
	want.Data, want.Revision = fmt.Appendf(nil, `{"by":%d}`, won), 2
	same(t, "item after the race", b.read(t, read.Key), want)
	for n := 2; n < racers; n += 3 {
		if n != won {
			b.missing(t, b.order(fmt.Sprint("beside-", n)).Key)
		}
	}
}

// whatIsCheckedDoesNotChangeMeanwhile: two transactions that each change what the other
// relies on cannot both happen. With only the items written compared, they could.
func whatIsCheckedDoesNotChangeMeanwhile(t *testing.T, b *bench) {
	for round := range 20 {
		left, right := b.order(fmt.Sprint("left-", round)), b.order(fmt.Sprint("right-", round))
		b.write(t, table.Inserted(left), table.Inserted(right))
		left, right = b.read(t, left.Key), b.read(t, right.Key)
		errs := race(func(n int) error {
			if n%2 == 0 {
				return b.Commit(t.Context(), table.Unchanged(left), table.Replaced(right))
			}
			return b.Commit(t.Context(), table.Replaced(left), table.Unchanged(right))
		})
		won := int64(0)
		for _, err := range errs {
			if err == nil {
				won++
			} else if !errors.Is(err, fault.Conflict) {
				t.Errorf("Commit of a loser: got %v, want fault.Conflict", err)
			}
		}
		changed := b.read(t, left.Key).Revision + b.read(t, right.Key).Revision - 2
		if won > 1 || changed != won {
			t.Errorf("round %d: got %d transactions that happened and %d changes, want one of each at most", round, won, changed)
		}
	}
}

func onlyKeyAndRevisionOfARemovalCount(t *testing.T, b *bench) {
	for _, in := range table.Names {
		k := b.key(in, "x", "y")
		bare := table.Item{Key: k, Revision: 1}
		bare.Data, bare.Index = []byte("no JSON"), &table.Index{}
		insert := table.Inserted(table.Item{Key: k, Schema: 1, Data: []byte(`{}`)})
		b.write(t, insert)
		b.write(t, table.Unchanged(bare))
		b.write(t, table.Unchanged(bare), table.Inserted(b.order(string(in)+"-1")))
		b.write(t, table.Removed(bare))
		b.missing(t, k)
		b.write(t, insert)
		b.write(t, table.Removed(bare), table.Inserted(b.order(string(in)+"-2")))
		b.missing(t, k)
	}
}

func removalIsSeenAtOnce(t *testing.T, b *bench) {
	for n := range 10 {
		k := b.key(table.Customers, "ann", fmt.Sprint(n))
		b.write(t, table.Inserted(table.Item{Key: k, Schema: 1, Data: []byte(`{}`)}))
		remove := []table.Write{table.Removed(b.read(t, k))}
		if n%2 == 1 {
			remove = append(remove, table.Inserted(b.order(fmt.Sprint(n))))
		}
		b.write(t, remove...)
		b.missing(t, k)
		if all, err := b.GetAll(t.Context(), []table.Key{k}); err != nil || len(all) != 0 {
			t.Errorf("GetAll after a removal: got %+v, %v, want nothing", all, err)
		}
		if p := b.page(t, table.Query{Table: table.Customers, Partition: k.Partition, Limit: 10}); len(p.Items) != 0 {
			t.Errorf("Query after a removal: got %+v, want nothing", p.Items)
		}
	}
}

// glanceComesToSeeWhatIsWritten: it may be a moment old, and no more than that.
func glanceComesToSeeWhatIsWritten(t *testing.T, b *bench) {
	for _, in := range table.Names {
		i := table.Item{Key: b.key(in, "x", "y"), Schema: 1, Data: []byte(`{"n":1}`), Sealed: []byte{0, 255}}
		b.write(t, table.Put(i))
		for revision := int64(1); revision <= 3; revision++ {
			i.Revision = revision
			settled(t, func() error {
				got, err := b.Glance(t.Context(), i.Key)
				if err == nil && got.Revision > revision {
					t.Fatalf("Glance in %s: got revision %d, want at most %d", in, got.Revision, revision)
				}
				if err != nil || got.Revision < revision {
					return fmt.Errorf("Glance in %s: got revision %d, %w, want %d", in, got.Revision, err, revision)
				}
				same(t, "Glance", got, i)
				return nil
			})
			b.write(t, table.Put(i))
		}
		i.Revision = 4
		b.write(t, table.Removed(i))
		settled(t, func() error {
			if got, err := b.Glance(t.Context(), i.Key); !errors.Is(err, fault.NotFound) {
				return fmt.Errorf("Glance in %s after a removal: got %+v, %w, want fault.NotFound", in, got, err)
			}
			return nil
		})
	}
}

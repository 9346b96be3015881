package dbtest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"grantline/shared/table"
)

// indexed are the tables that have an index.
var indexed = []table.Table{table.Orders, table.Purchases, table.Customers, table.Subscriptions, table.Endpoints}

// entriesShow fails the test unless a partition of an index comes to hold exactly these.
func (b *bench) entriesShow(t *testing.T, q table.Query, want ...table.Item) {
	t.Helper()
	settled(t, func() error {
		got := b.walk(t, q)
		if !slices.EqualFunc(got, want, func(a, b table.Item) bool { return a.Key == b.Key && *a.Index == *b.Index }) {
			return fmt.Errorf("index %q of %s: got %+v, want %+v", q.Partition, q.Table, got, want)
		}
		for n := range got {
			same(t, "entry", got[n], want[n])
		}
		return nil
	})
}

// indexFollowsItsItem through all that can happen to it, alone and in transactions.
func indexFollowsItsItem(t *testing.T, b *bench) {
	for _, in := range indexed {
		here := table.Query{Table: in, Indexed: true, Partition: b.scope.Key("here"), Limit: 10}
		there := here
		there.Partition = b.scope.Key("there")
		i := table.Item{Key: b.key(in, "x", "#head"), Schema: 1, Data: []byte(`{}`), Sealed: []byte("sealed")}
		i.Expires = time.Date(2096, 2, 29, 0, 0, 0, 0, time.UTC)
		beside := 0
		put := func(x *table.Index) {
			t.Helper()
			if i.Index = x; beside%2 == 0 {
				b.write(t, table.Put(i))
			} else {
				b.write(t, table.Put(i), table.Inserted(b.order(fmt.Sprint(in, "-", beside))))
			}
			beside++
			i.Revision++
		}
		shown := func(q table.Query, x table.Index) {
			t.Helper()
			b.entriesShow(t, q, table.Item{Key: i.Key, Index: &x}) // without Data, Sealed and Expires
		}
		first := table.Index{Partition: here.Partition, Sort: "1", Hint: "hint"}
		put(&first)
		shown(here, first)
		hinted := table.Index{Partition: here.Partition, Sort: "1", Hint: "another hint"}
		put(&hinted)
		shown(here, hinted)
		sorted := table.Index{Partition: here.Partition, Sort: "0"}
		put(&sorted)
		shown(here, sorted)
		moved := table.Index{Partition: there.Partition, Sort: "0"}
		put(&moved)
		shown(there, moved)
		b.entriesShow(t, here)
		put(&moved)
		shown(there, moved)
		put(nil)
		b.entriesShow(t, there)
		put(&first)
		shown(here, first)
		b.write(t, table.Removed(i))
		b.entriesShow(t, here)
		i.Revision = 0
		put(&moved)
		shown(there, moved)
		b.write(t, table.Removed(i), table.Inserted(b.order(string(in)+"-last")))
		b.entriesShow(t, there)
	}
}

// equalSortKeysArePagedWithinBounds: an index may hold many entries of one sort key, and a
// page may end in the midst of them.
func equalSortKeysArePagedWithinBounds(t *testing.T, b *bench) {
	for _, in := range []table.Table{table.Purchases, table.Customers} {
		partition := b.scope.Key("check")
		var writes []table.Write
		for n := range 25 {
			i := table.Item{Key: b.key(in, fmt.Sprint("line-", n*7%25), fmt.Sprint(n%2)), Schema: 1, Data: []byte(`{}`)}
			i.Index = &table.Index{Partition: partition, Sort: string(rune('a' + n/5))} // five of each
			writes = append(writes, table.Inserted(i))
		}
		b.write(t, writes...)
		all := table.Query{Table: in, Indexed: true, Partition: partition, Limit: 1000}
		settled(t, func() error {
			if n := len(b.walk(t, all)); n != 25 {
				return fmt.Errorf("entries of %s: got %d, want 25", in, n)
			}
			return nil
		})
		for _, c := range []struct{ from, to, want string }{
			{"", "", "abcde"}, {"c", "c", "c"}, {"b", "d", "bcd"}, {"d", "", "de"}, {"", "b", "ab"}, {"bb", "cc", "c"}, {"cc", "cd", ""},
		} {
			for _, limit := range []int{1, 2, 5, 7, 25} {
				for _, backward := range []bool{false, true} {
					q := all
					q.From, q.To, q.Limit, q.Backward = c.from, c.to, limit, backward
					var got []string
					seen := map[table.Key]bool{}
					for _, i := range b.walk(t, q) {
						got = append(got, i.Index.Sort)
						seen[i.Key] = true
					}
					var want []string
					for _, k := range c.want {
						want = append(want, strings.Split(strings.Repeat(string(k), 5), "")...)
					}
					if backward {
						slices.Reverse(want)
					}
					if !slices.Equal(got, want) || len(seen) != len(want) {
						t.Errorf("%s from %q to %q, pages of %d, backward %v: got %d different of %v, want %v",
							in, c.from, c.to, limit, backward, len(seen), got, want)
					}
				}
			}
		}
	}
}

// indexPageGoesOnAfterItsLastEntryIsGone: whoever works through what is due takes it out
// while he pages.
func indexPageGoesOnAfterItsLastEntryIsGone(t *testing.T, b *bench) {
	for _, backward := range []bool{false, true} {
		partition := b.scope.Key("toss", fmt.Sprint(backward))
		left := map[table.Key]bool{}
		for n := range 9 {
			i := b.due(fmt.Sprint(backward, n), "0", "1")
			i.Index = &table.Index{Partition: partition, Sort: fmt.Sprint(n / 4)}
			b.write(t, table.Inserted(i))
			left[i.Key] = true
		}
		q := table.Query{Table: table.Subscriptions, Indexed: true, Partition: partition, Limit: 2, Backward: backward}
		settled(t, func() error {
			if n := len(b.walk(t, q)); n != len(left) {
				return fmt.Errorf("entries: got %d, want %d", n, len(left))
			}
			return nil
		})
		for range len(left) {
			p := b.page(t, q)
			for n, entry := range p.Items {
				if !left[entry.Key] {
					t.Errorf("entry of %s: got it twice or never put there, want each once", entry.Key.Partition)
				}
				delete(left, entry.Key)
				i := b.read(t, entry.Key)
				if i.Index = nil; n%2 == 0 {
					b.write(t, table.Replaced(i))
				} else {
					b.write(t, table.Removed(i))
				}
			}
			if q.After = p.Next; q.After == "" {
				break
			}
		}
		if len(left) > 0 {
			t.Errorf("entries, backward %v: got none for %v, want each once", backward, left)
		}
	}
}

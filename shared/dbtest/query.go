package dbtest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/fault"
	"grantline/shared/table"
)

// settled repeats look until it is nil, for an index follows its table a moment later.
// It gives up after many tries, not after a time.
func settled(t *testing.T, look func() error) {
	t.Helper()
	var err error
	for range 1000 {
		if err = look(); err == nil {
			return
		}
	}
	t.Error(err)
}

// ledger inserts an item for each sort key into one customer's partition.
func (b *bench) ledger(t *testing.T, customer string, keys ...string) string {
	t.Helper()
	for some := range slices.Chunk(keys, 100) {
		var writes []table.Write
		for _, k := range some {
			writes = append(writes, table.Inserted(table.Item{
				Key: b.key(table.Customers, customer, k), Schema: 1, Data: fmt.Appendf(nil, `{"is":%q}`, k),
			}))
		}
		b.write(t, writes...)
	}
	return b.scope.Key(customer)
}

func partitionIsSorted(t *testing.T, b *bench) {
	keys := []string{"b", "a", "aa", "Z", "10", "9", "é", "ä", "👩", "\uffee", "a#1", "a!", "~"}
	p := b.ledger(t, "ann", keys...)
	b.ledger(t, "ann2", "other")
	slices.Sort(keys) // by bytes, as DynamoDB sorts UTF-8
	q := table.Query{Table: table.Customers, Partition: p, Limit: 100}
	items := b.walk(t, q)
	if d := cmp.Diff(keys, sorts(items)); d != "" {
		t.Errorf("sort keys: got (+) and want (-) differ:\n%s", d)
	}
	same(t, "first item", items[0], table.Item{
		Key: b.key(table.Customers, "ann", "10"), Schema: 1, Revision: 1, Data: []byte(`{"is":"10"}`),
	})
	q.Backward = true
	slices.Reverse(keys)
	if d := cmp.Diff(keys, sorts(b.walk(t, q))); d != "" {
		t.Errorf("sort keys backward: got (+) and want (-) differ:\n%s", d)
	}
	q.Partition = b.scope.Key("nobody")
	if p := b.page(t, q); len(p.Items) != 0 || p.Next != "" {
		t.Errorf("page of an empty partition: got %+v, want nothing", p)
	}
}

func boundsAreInclusive(t *testing.T, b *bench) {
	p := b.ledger(t, "ann", "a", "b", "c", "d", "e")
	for _, c := range []struct{ from, to, want string }{
		{"", "", "a b c d e"},
		{"b", "", "b c d e"},
		{"", "d", "a b c d"},
		{"b", "d", "b c d"},
		{"c", "c", "c"},
		{"bb", "dd", "c d"},
		{"cc", "cd", ""},
		{"f", "", ""},
		{"", "A", ""},
		{"d", "b", ""},
	} {
		want := strings.Fields(c.want)
		for _, backward := range []bool{false, true} {
			q := table.Query{
				Table: table.Customers, Partition: p, From: c.from, To: c.to, Limit: 2, Backward: backward,
			}
			if got := sorts(b.walk(t, q)); strings.Join(got, " ") != strings.Join(want, " ") {
				t.Errorf("from %q to %q, backward %v: got %v, want %v", c.from, c.to, backward, got, want)
			}
			slices.Reverse(want)
		}
	}
}

func pagesMissNothing(t *testing.T, b *bench) {
	var keys []string
	for n := range 120 {
		keys = append(keys, fmt.Sprintf("event#%04d", n))
	}
	p := b.ledger(t, "ann", keys...)
	for _, limit := range []int{1, 7, 60, 119, 120, 121, 1000} {
		q := table.Query{Table: table.Customers, Partition: p, Limit: limit}
		if got := sorts(b.walk(t, q)); !slices.Equal(got, keys) {
			t.Errorf("pages of %d: got %d items, %v, want all in order", limit, len(got), got)
		}
		q.Backward = true
		got := sorts(b.walk(t, q))
		slices.Reverse(got)
		if !slices.Equal(got, keys) {
			t.Errorf("pages of %d backward: got %d items, %v, want all in order", limit, len(got), got)
		}
		q.From, q.To = "event#0010", "event#0019"
		got = sorts(b.walk(t, q))
		slices.Reverse(got)
		if !slices.Equal(got, keys[10:20]) {
			t.Errorf("pages of %d between bounds: got %v, want %v", limit, got, keys[10:20])
		}
	}
	full := b.page(t, table.Query{Table: table.Customers, Partition: p, Limit: 120})
	if len(full.Items) != 120 || full.Next != "" {
		t.Errorf("page that is just full: got %d items and Next %q, want 120 and none", len(full.Items), full.Next)
	}
}

func pageGoesOnAfterItsLastItemIsGone(t *testing.T, b *bench) {
	p := b.ledger(t, "ann", "a", "b", "c", "d")
	q := table.Query{Table: table.Customers, Partition: p, Limit: 2}
	first := b.page(t, q)
	b.write(t, table.Removed(first.Items[1]))
	b.ledger(t, "ann", "bb")
	q.After = first.Next
	if got := sorts(b.walk(t, q)); !slices.Equal(got, []string{"bb", "c", "d"}) {
		t.Errorf("rest: got %v, want bb, c, d", got)
	}
}

func largePageEndsEarlyAndGoesOn(t *testing.T, b *bench) {
	var want []string
	for n := range 6 {
		k := fmt.Sprint(n)
		want = append(want, k)
		b.write(t, table.Inserted(table.Item{
			Key: b.key(table.Customers, "ann", k), Schema: 1, Data: fmt.Appendf(nil, `{"a":%q}`, strings.Repeat("x", 300<<10)),
		}))
	}
	q := table.Query{Table: table.Customers, Partition: b.scope.Key("ann"), Limit: 1000}
	if p := b.page(t, q); len(p.Items) >= 6 || p.Next == "" {
		t.Errorf("page of 1.8 MB: got %d items and Next %q, want an early end", len(p.Items), p.Next)
	}
	if got := sorts(b.walk(t, q)); !slices.Equal(got, want) {
		t.Errorf("all pages: got %v, want %v", got, want)
	}
}

func foreignCursorIsMalformed(t *testing.T, b *bench) {
	p := b.ledger(t, "ann", "a", "b", "c", "d")
	own := table.Query{Table: table.Customers, Partition: p, Limit: 1}
	next := b.page(t, own).Next
	outside := own
	outside.From, outside.After = "b", next
	garbage := own
	garbage.After = "garbage!"
	half := own
	half.After = next[:len(next)/2]
	for what, q := range map[string]table.Query{"garbage": garbage, "half a cursor": half, "another range's": outside} {
		if _, err := b.Query(t.Context(), q); !errors.Is(err, fault.Malformed) {
			t.Errorf("Query after %s: got %v, want fault.Malformed", what, err)
		}
	}
	// A cursor carries no partition: in another it cannot lead out of that one.
	b.ledger(t, "bob", "a", "z")
	other := own
	other.Partition, other.After = b.scope.Key("bob"), next
	if got := sorts(b.walk(t, other)); !slices.Equal(got, []string{"z"}) {
		t.Errorf("Query of one partition after another's cursor: got %v, want its own z", got)
	}
}

// due is a subscription that wakes at the given instant.
func (b *bench) due(id, shard, at string) table.Item {
	i := table.Item{Key: b.key(table.Subscriptions, id, ""), Schema: 1, Data: []byte(`{"state":"active"}`)}
	if at != "" {
		i.Index = &table.Index{Partition: b.scope.Key("toss", shard), Sort: at + "#" + id, Hint: "hint of " + id}
	}
	return i
}

// indexShows fails the test unless the partition of the index comes to hold want.
func (b *bench) indexShows(t *testing.T, q table.Query, want ...string) {
	t.Helper()
	settled(t, func() error {
		if got := sorts(b.walk(t, q)); !slices.Equal(got, want) {
			return fmt.Errorf("index %q: got %v, want %v", q.Partition, got, want)
		}
		return nil
	})
}

func indexIsSparse(t *testing.T, b *bench) {
	q := table.Query{Table: table.Subscriptions, Indexed: true, Partition: b.scope.Key("toss", "0"), Limit: 100}
	moved := q
	moved.Partition = b.scope.Key("toss", "1")

	b.write(t, table.Inserted(b.due("s-1", "0", "10")), table.Inserted(b.due("s-2", "0", "20")), table.Inserted(b.due("s-3", "0", "")))
	b.indexShows(t, q, "10#s-1", "20#s-2")
	same(t, "entry", b.page(t, q).Items[0], table.Item{
		Key: b.key(table.Subscriptions, "s-1", ""), Index: &table.Index{Partition: q.Partition, Sort: "10#s-1", Hint: "hint of s-1"},
	})

	s := b.read(t, b.key(table.Subscriptions, "s-1", ""))
	s.Index.Sort, s.Index.Hint = "30#s-1", ""
	b.write(t, table.Replaced(s))
	b.indexShows(t, q, "20#s-2", "30#s-1")
	if got := b.page(t, q).Items[1].Index.Hint; got != "" {
		t.Errorf("hint that was taken away: got %q, want none", got)
	}
	s = b.read(t, s.Key)
	s.Index.Partition = moved.Partition
	b.write(t, table.Replaced(s))
	b.indexShows(t, q, "20#s-2")
	b.indexShows(t, moved, "30#s-1")
	s = b.read(t, s.Key)
	s.Index = nil
	b.write(t, table.Replaced(s), table.Inserted(b.order("o-1")))
	b.indexShows(t, moved)
	if got := b.read(t, s.Key).Index; got != nil {
		t.Errorf("index entry that was taken away: got %+v, want none", got)
	}
	b.write(t, table.Removed(b.read(t, b.key(table.Subscriptions, "s-2", ""))))
	b.indexShows(t, q)
}

func indexIsSortedAndBounded(t *testing.T, b *bench) {
	q := table.Query{Table: table.Subscriptions, Indexed: true, Partition: b.scope.Key("toss", "0"), Limit: 3}
	var want []string
	for n := range 20 {
		at, id := fmt.Sprintf("2026-01-%02dT10:00:00Z", n+1), fmt.Sprint("s-", 7*n%20)
		want = append(want, at+"#"+id)
		b.write(t, table.Inserted(b.due(id, "0", at)))
	}
	b.indexShows(t, q, want...)
	q.To = "2026-01-15T10:00:00Z~"
	b.indexShows(t, q, want[:15]...)
	q.From = "2026-01-05T10:00:00Z"
	b.indexShows(t, q, want[4:15]...)
	q.Backward = true
	back := slices.Clone(want[4:15])
	slices.Reverse(back)
	b.indexShows(t, q, back...)
	q.Backward, q.From, q.To = false, "", "2026-01-01"
	b.indexShows(t, q)
}

func sameSortKeyInAnIndexMissesNothing(t *testing.T, b *bench) {
	for _, of := range []table.Table{table.Purchases, table.Customers} {
		b.pagesOfOneSortKey(t, of)
	}
}

func (b *bench) pagesOfOneSortKey(t *testing.T, of table.Table) {
	in := b.scope.Key("check")
	want := map[string]bool{}
	for n := range 25 {
		sort := ""
		if of.Sorted() {
			sort = "#head"
		}
		k := b.key(of, fmt.Sprint("line-", n), sort)
		want[k.Partition] = true
		b.write(t, table.Inserted(table.Item{
			Key: k, Schema: 1, Data: []byte(`{}`), Index: &table.Index{Partition: in, Sort: "same"},
		}))
	}
	for _, backward := range []bool{false, true} {
		q := table.Query{Table: of, Indexed: true, Partition: in, Limit: 4, Backward: backward}
		settled(t, func() error {
			got := map[string]bool{}
			items := b.walk(t, q)
			for _, i := range items {
				got[i.Key.Partition] = true
			}
			if d := cmp.Diff(want, got); d != "" || len(items) != len(want) {
				return fmt.Errorf("entries of one sort key: got %d (+), want %d (-):\n%s", len(items), len(want), d)
			}
			return nil
		})
	}
}

func everyIndexWorks(t *testing.T, b *bench) {
	for _, in := range []table.Table{table.Orders, table.Purchases, table.Customers, table.Subscriptions, table.Endpoints} {
		entry := table.Index{Partition: b.scope.Key("p", string(in)), Sort: "s", Hint: "h"}
		sort := ""
		if in.Sorted() {
			sort = "#head"
		}
		k := b.key(in, "x", sort)
		b.write(t, table.Inserted(table.Item{Key: k, Schema: 1, Data: []byte(`{}`), Index: &entry}))
		q := table.Query{Table: in, Indexed: true, Partition: entry.Partition, Limit: 1}
		settled(t, func() error {
			if n := len(b.walk(t, q)); n != 1 {
				return fmt.Errorf("index of %s: got %d entries, want 1", in, n)
			}
			return nil
		})
		same(t, string(in), b.page(t, q).Items[0], table.Item{Key: k, Index: &entry})
	}
}

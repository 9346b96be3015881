package dbtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"grantline/shared/fault"
	"grantline/shared/table"
)

func itemIsInsertedOnce(t *testing.T, b *bench) {
	first := b.order("o-1")
	first.Data = []byte(`{"customer":"ann"}`)
	b.write(t, table.Inserted(first))
	second := b.order("o-1")
	second.Data = []byte(`{"customer":"bob"}`)

	c := b.conflict(t, table.Inserted(second))
	first.Revision = 1
	if c.Found[0] == nil {
		t.Fatal("Conflict.Found: got nothing, want the first item")
	}
	same(t, "item in the way", *c.Found[0], first)
	same(t, "item stored", b.read(t, first.Key), first)
}

func absentItemIsNotFound(t *testing.T, b *bench) {
	for _, in := range table.Names {
		k := b.key(in, "nobody", "nothing")
		b.missing(t, k)
		if _, err := b.Glance(t.Context(), k); !errors.Is(err, fault.NotFound) {
			t.Errorf("Glance in %s: got %v, want fault.NotFound", in, err)
		}
	}
}

func onlyWhatWasReadIsReplaced(t *testing.T, b *bench) {
	k := b.order("o-1").Key
	b.write(t, table.Inserted(b.order("o-1")))
	first, second := b.read(t, k), b.read(t, k)
	first.Data = []byte(`{"state":"paid","by":1}`)
	b.write(t, table.Replaced(first))
	second.Data = []byte(`{"state":"paid","by":2}`)
	_ = b.conflict(t, table.Replaced(second))
	first.Revision = 2
	same(t, "item after the lost race", b.read(t, k), first)

	ahead := first
	ahead.Revision = 3
	_ = b.conflict(t, table.Replaced(ahead))
	same(t, "item after a revision from the future", b.read(t, k), first)

	absent := b.order("o-2")
	absent.Revision = 1
	if c := b.conflict(t, table.Replaced(absent)); c.Found[0] != nil {
		t.Errorf("Conflict.Found of an absent item: got %+v, want nil", c.Found[0])
	}
	b.missing(t, absent.Key)
}

func onlyWhatWasReadIsRemoved(t *testing.T, b *bench) {
	b.write(t, table.Inserted(b.order("o-1")))
	old := b.read(t, b.order("o-1").Key)
	b.write(t, table.Replaced(old))
	c := b.conflict(t, table.Removed(old))
	now := b.read(t, old.Key)
	if c.Found[0] == nil {
		t.Fatal("Conflict.Found: got nothing, want the newer item")
	}
	same(t, "item in the way", *c.Found[0], now)

	b.write(t, table.Removed(now))
	b.missing(t, now.Key)
	if c := b.conflict(t, table.Removed(now)); c.Found[0] != nil {
		t.Errorf("Conflict.Found of an item that is gone: got %+v, want nil", c.Found[0])
	}
	b.write(t, table.Inserted(b.order("o-1")))
	if got := b.read(t, now.Key).Revision; got != 1 {
		t.Errorf("revision of an item inserted after a removal: got %d, want 1", got)
	}
}

func revisionGrowsByExactlyOne(t *testing.T, b *bench) {
	other := b.order("o-2")
	b.write(t, table.Put(b.order("o-1")), table.Put(other))
	for want := int64(1); want <= 4; want++ {
		alone, together := b.read(t, b.order("o-1").Key), b.read(t, other.Key)
		if alone.Revision != want {
			t.Errorf("revision after %d writes: got %d, want %d", want, alone.Revision, want)
		}
		if together.Revision != 1 {
			t.Errorf("revision of an item that was only checked: got %d, want 1", together.Revision)
		}
		if want%2 == 0 {
			b.write(t, table.Put(alone))
		} else {
			b.write(t, table.Put(alone), table.Unchanged(together))
		}
	}
}

func lostRaceNamesTheItemInTheWay(t *testing.T, b *bench) {
	winner := b.order("o-1")
	winner.Schema = 7
	winner.Data = []byte(`{"lease":{"until":"2026-01-31T10:00:00Z","owner":"a"}}`)
	winner.Index = &table.Index{Partition: b.scope.Key("sub", "s-1"), Sort: "1", Hint: "claimed"}
	b.write(t, table.Inserted(winner))
	winner.Revision = 1
	late := b.order("o-1")
	head := table.Item{Key: b.key(table.Customers, "ann", "head"), Schema: 1, Data: []byte(`{}`)}

	alone := b.conflict(t, table.Inserted(late))
	together := b.conflict(t, table.Inserted(head), table.Inserted(late))
	for what, got := range map[string]*table.Item{"alone": alone.Found[0], "in a transaction": together.Found[1]} {
		if got == nil {
			t.Errorf("item in the way, %s: got nothing, want it", what)
			continue
		}
		same(t, "item in the way, "+what, *got, winner)
	}
	if together.Found[0] != nil {
		t.Errorf("entry of the write that could have been made: got %+v, want nil", together.Found[0])
	}
	b.missing(t, head.Key)
}

func checkHoldsOnlyWhileUnchanged(t *testing.T, b *bench) {
	b.write(t, table.Inserted(b.order("o-1")))
	read := b.read(t, b.order("o-1").Key)
	b.write(t, table.Unchanged(read))
	b.write(t, table.Unchanged(read), table.Inserted(b.order("o-2")))
	same(t, "item that was checked", b.read(t, read.Key), read)

	b.write(t, table.Replaced(read))
	for _, writes := range [][]table.Write{
		{table.Unchanged(read)},
		{table.Unchanged(read), table.Inserted(b.order("o-3"))},
	} {
		c := b.conflict(t, writes...)
		if c.Found[0] == nil || c.Found[0].Revision != 2 {
			t.Errorf("item in the way of a check among %d: got %+v, want revision 2", len(writes), c.Found[0])
		}
	}
	b.missing(t, b.order("o-3").Key)

	b.write(t, table.Removed(b.read(t, read.Key)))
	for _, writes := range [][]table.Write{
		{table.Unchanged(read)},
		{table.Unchanged(read), table.Inserted(b.order("o-3"))},
	} {
		if c := b.conflict(t, writes...); c.Found[0] != nil {
			t.Errorf("entry of a check among %d of an absent item: got %+v, want nil", len(writes), c.Found[0])
		}
	}
	b.missing(t, b.order("o-3").Key)
}

func commitIsAllOrNothing(t *testing.T, b *bench) {
	b.write(t, table.Inserted(b.order("kept")), table.Inserted(b.order("gone")))
	kept, gone := b.read(t, b.order("kept").Key), b.read(t, b.order("gone").Key)
	head := table.Item{Key: b.key(table.Customers, "ann", "head"), Schema: 1, Data: []byte(`{"n":1}`)}
	b.write(t, table.Inserted(b.order("taken")))
	taken := b.read(t, b.order("taken").Key)

	changed := kept
	changed.Data = []byte(`{"changed":true}`)
	writes := []table.Write{
		table.Replaced(changed), table.Removed(gone), table.Inserted(head), table.Inserted(b.order("taken")),
	}
	_ = b.conflict(t, writes...)
	same(t, "item to replace", b.read(t, kept.Key), kept)
	same(t, "item to remove", b.read(t, gone.Key), gone)
	same(t, "item in the way", b.read(t, taken.Key), taken)
	b.missing(t, head.Key)

	b.write(t, table.Removed(taken))
	b.write(t, writes...)
	changed.Revision, head.Revision, taken.Revision = 2, 1, 1
	same(t, "item replaced", b.read(t, kept.Key), changed)
	same(t, "item inserted", b.read(t, head.Key), head)
	same(t, "item inserted again", b.read(t, taken.Key), taken)
	b.missing(t, gone.Key)
}

func conflictIsInTheOrderOfTheWrites(t *testing.T, b *bench) {
	var writes []table.Write
	for n := range 6 {
		i := b.order(fmt.Sprint("o-", n))
		i.Data = fmt.Appendf(nil, `{"n":%d}`, n)
		if n%2 == 1 {
			b.write(t, table.Inserted(i))
		}
		writes = append(writes, table.Inserted(i))
	}
	stale := b.read(t, b.order("o-5").Key)
	b.write(t, table.Replaced(stale))
	writes[5] = table.Removed(stale)

	c := b.conflict(t, writes...)
	for n, got := range c.Found {
		switch {
		case n%2 == 0 && got != nil:
			t.Errorf("entry %d: got %+v, want nil", n, got)
		case n%2 == 1 && got == nil:
			t.Errorf("entry %d: got nil, want the item in the way", n)
		case n%2 == 1:
			same(t, fmt.Sprint("entry ", n), *got, b.read(t, writes[n].Item.Key))
		}
	}
	for n := 0; n < 6; n += 2 {
		b.missing(t, writes[n].Item.Key)
	}
}

func hundredWritesHappenTogether(t *testing.T, b *bench) {
	var writes []table.Write
	var keys []table.Key
	for n := range 100 {
		i := b.order(fmt.Sprint("o-", n))
		writes, keys = append(writes, table.Inserted(i)), append(keys, i.Key)
	}
	b.write(t, writes...)
	all, err := b.GetAll(t.Context(), keys)
	if err != nil || len(all) != 100 {
		t.Errorf("GetAll after 100 writes: got %d items, %v, want 100", len(all), err)
	}
}

func cancelledContextIsUnavailable(t *testing.T, b *bench) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	k := b.order("o-1").Key
	get := func() error { _, err := b.Get(ctx, k); return err }
	glance := func() error { _, err := b.Glance(ctx, k); return err }
	all := func() error { _, err := b.GetAll(ctx, []table.Key{k}); return err }
	query := func() error {
		_, err := b.Query(ctx, table.Query{Table: table.Customers, Partition: b.scope.Key("ann"), Limit: 1})
		return err
	}
	one := func() error { return b.Commit(ctx, table.Inserted(b.order("o-1"))) }
	two := func() error { return b.Commit(ctx, table.Inserted(b.order("o-1")), table.Inserted(b.order("o-2"))) }
	for name, call := range map[string]func() error{
		"Get": get, "Glance": glance, "GetAll": all, "Query": query, "Commit of one": one, "Commit of two": two,
	} {
		if err := call(); !errors.Is(err, fault.Unavailable) || !errors.Is(err, context.Canceled) {
			t.Errorf("%s: got %v, want fault.Unavailable because of context.Canceled", name, err)
		}
	}
	b.missing(t, k)
}

// refused calls something that only a bug would: it must panic, or return an error that
// has no kind, since a kind would have the caller act on it.
func refused(t *testing.T, what string, call func() error) {
	t.Helper()
	defer func() {
		if r := recover(); r != nil && !strings.Contains(fmt.Sprint(r), "bug in the caller") {
			panic(r)
		}
	}()
	err := call()
	if err == nil {
		t.Errorf("%s: got success, want it refused", what)
	}
	for _, kind := range []error{
		fault.Malformed, fault.Unauthenticated, fault.Denied, fault.NotFound, fault.Conflict, fault.Invalid, fault.Unavailable,
	} {
		if errors.Is(err, kind) {
			t.Errorf("%s: got %v, want an error of no kind", what, err)
		}
	}
}

func nonsenseIsRefused(t *testing.T, b *bench) {
	free := 0
	commit := func(what string, writes ...table.Write) {
		refused(t, what, func() error { return b.Commit(t.Context(), writes...) })
	}
	// fresh is an item that could be inserted, were it not for what change does to it.
	fresh := func(change func(*table.Item)) table.Item {
		free++
		i := b.order(fmt.Sprint("o-", free))
		change(&i)
		return i
	}
	data := func(text string) func(*table.Item) { return func(i *table.Item) { i.Data = []byte(text) } }
	plain := func(*table.Item) {}
	revision := func(n int64) func(*table.Item) { return func(i *table.Item) { i.Revision = n } }
	insert := func(what string, change func(*table.Item)) {
		commit(what, table.Inserted(fresh(change)))
		commit(what+", in a transaction", table.Inserted(fresh(plain)), table.Inserted(fresh(change)))
	}

	commit("a Commit of nothing")
	var tooMany []table.Write
	for range 101 {
		tooMany = append(tooMany, table.Inserted(fresh(plain)))
	}
	commit("101 writes", tooMany...)
	twice := table.Inserted(fresh(plain))
	commit("two writes on one key", twice, twice)
	for _, c := range []table.Change{table.Replace, table.Remove, table.Check} {
		commit(fmt.Sprint("change ", c, " of what was never read"), table.Write{Change: c, Item: fresh(plain)})
		commit(fmt.Sprint("change ", c, " at a revision below 0"), table.Write{Change: c, Item: fresh(revision(-1))})
	}
	commit("an Insert of what was read", table.Write{Change: table.Insert, Item: fresh(revision(1))})
	commit("no change", table.Write{Item: fresh(plain)})
	commit("an unknown change", table.Write{Change: 5, Item: fresh(revision(1))})

	insert("a sort key where there is none", func(i *table.Item) { i.Key.Sort = "s" })
	insert("no sort key where there is one", func(i *table.Item) { i.Key.Table = table.Customers })
	insert("an unknown table", func(i *table.Item) { i.Key.Table = "charges" })
	insert("an empty partition", func(i *table.Item) { i.Key.Partition = "" })
	insert("an oversized partition", func(i *table.Item) { i.Key.Partition = strings.Repeat("k", 2049) })
	insert("an index entry without a partition", func(i *table.Item) { i.Index = &table.Index{Sort: "s"} })
	insert("an index entry without a sort key", func(i *table.Item) { i.Index = &table.Index{Partition: "p"} })
	insert("an index entry where there is no index", func(i *table.Item) {
		i.Key.Table = table.Notices
		i.Index = &table.Index{Partition: "p", Sort: "s"}
	})

	insert("an expiry before 1970", func(i *table.Item) { i.Expires = time.Unix(-1, 0) })

	for _, text := range []string{
		``, `null`, `[]`, `"text"`, `1`, `{`, `{} {}`, `{}]`, "{\"a\":\"\xff\"}", `{"":1}`, `{"a":{"":1}}`, `{"a":[{"":1}]}`,
		`{"a":` + strings.Repeat("[", 31) + strings.Repeat("]", 31) + `}`,
		`{"n":123456789012345678901234567890123456789}`, `{"n":1e126}`, `{"n":[1e-131]}`,
	} {
		insert(fmt.Sprintf("Data %.60q", text), data(text))
	}
	for _, name := range []string{"pk", "sk", "revision", "schema", "token", "indexPartition", "indexSort", "hint", "sealed", "expires"} {
		insert("a member named "+name, data(fmt.Sprintf(`{%q:"x"}`, name)))
	}
	insert("an item over 400 KB", data(`{"a":"`+strings.Repeat("a", 400<<10)+`"}`))

	for what, k := range map[string]table.Key{
		"no sort key":     {Table: table.Customers, Partition: "p"},
		"needless sort":   {Table: table.Orders, Partition: "p", Sort: "s"},
		"empty partition": {Table: table.Orders},
		"unknown table":   {Table: "charges", Partition: "p"},
	} {
		refused(t, "Get with "+what, func() error { _, err := b.Get(t.Context(), k); return err })
		refused(t, "Glance with "+what, func() error { _, err := b.Glance(t.Context(), k); return err })
		refused(t, "GetAll with "+what, func() error { _, err := b.GetAll(t.Context(), []table.Key{k}); return err })
	}
	refused(t, "GetAll of 1,001", func() error {
		_, err := b.GetAll(t.Context(), make([]table.Key, 1001))
		return err
	})
	good := table.Query{Table: table.Customers, Partition: "p", Limit: 1}
	for what, change := range map[string]func(*table.Query){
		"a table without sort key": func(q *table.Query) { q.Table = table.Orders },
		"a missing index":          func(q *table.Query) { q.Table, q.Indexed = table.Notices, true },
		"an unknown table":         func(q *table.Query) { q.Table = "charges" },
		"no partition":             func(q *table.Query) { q.Partition = "" },
		"limit 0":                  func(q *table.Query) { q.Limit = 0 },
		"limit 1,001":              func(q *table.Query) { q.Limit = 1001 },
	} {
		q := good
		change(&q)
		refused(t, "Query of "+what, func() error { _, err := b.Query(t.Context(), q); return err })
	}

	for n := 1; n <= free; n++ {
		b.missing(t, b.order(fmt.Sprint("o-", n)).Key)
	}
}

func largeItemFits(t *testing.T, b *bench) {
	i := b.order("o-1")
	i.Data = append(append([]byte(`{"a":"`), bytes.Repeat([]byte("a"), 390<<10)...), `"}`...)
	b.write(t, table.Inserted(i))
	i.Revision = 1
	if got := b.read(t, i.Key); len(got.Data) != len(i.Data) {
		t.Errorf("Data of a large item: got %d bytes, want %d", len(got.Data), len(i.Data))
	}
}

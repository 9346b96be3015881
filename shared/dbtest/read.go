package dbtest

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/fault"
	"grantline/shared/table"
)

func whatIsWrittenIsReadAtOnce(t *testing.T, b *bench) {
	for _, in := range table.Names {
		i := table.Item{Key: b.key(in, "x", "y"), Schema: 1, Data: []byte(`{"n":0}`)}
		b.write(t, table.Inserted(i))
		for n := 1; n <= 10; n++ {
			is := b.read(t, i.Key)
			want := i
			want.Data, want.Revision = fmt.Appendf(nil, `{"n":%d}`, n-1), int64(n)
			same(t, "Get", is, want)
			all, err := b.GetAll(t.Context(), []table.Key{i.Key})
			if err != nil || len(all) != 1 {
				t.Fatalf("GetAll: got %d items, %v, want 1", len(all), err)
			}
			same(t, "GetAll", all[0], want)
			if in.Sorted() {
				p := b.page(t, table.Query{Table: in, Partition: i.Key.Partition, Limit: 10})
				if len(p.Items) != 1 {
					t.Fatalf("Query: got %d items, want 1", len(p.Items))
				}
				same(t, "Query", p.Items[0], want)
			}
			is.Data = fmt.Appendf(nil, `{"n":%d}`, n)
			b.write(t, table.Replaced(is))
		}
	}
}

func whatIsReadIsACopy(t *testing.T, b *bench) {
	i := b.order("o-1")
	i.Index = &table.Index{Partition: b.scope.Key("sub"), Sort: "1"}
	want := i
	want.Data, want.Index, want.Revision = []byte(`{"state":"claimed"}`), &table.Index{Partition: b.scope.Key("sub"), Sort: "1"}, 1
	b.write(t, table.Inserted(i))
	spoil := func(i table.Item) {
		copy(i.Data, "spoiled")
		i.Index.Sort = "spoiled"
	}
	spoil(i)
	read := b.read(t, i.Key)
	same(t, "item after its writer changed its own", read, want)
	spoil(read)
	c := b.conflict(t, table.Inserted(b.order("o-1")))
	same(t, "item after a reader changed its own", *c.Found[0], want)
	spoil(*c.Found[0])
	same(t, "item after a loser changed its own", b.read(t, i.Key), want)
}

func dataComesBackAsItWas(t *testing.T, b *bench) {
	for n, text := range []string{
		`{}`,
		`{"a":""}`,
		`{"a":null,"b":true,"c":false}`,
		`{"a":[],"b":{},"c":[[]],"d":[{}],"e":[null,"",0]}`,
		`{"n":9223372036854775807}`,
		`{"n":-9223372036854775808}`,
		`{"n":9007199254740993,"m":[9007199254740993,{"k":-9007199254740993}]}`,
		`{"n":12345678901234567890123456789012345678}`,
		`{"n":0.1,"m":1.50,"o":-0.000001,"p":1e20,"q":1E-7,"r":100,"s":0,"t":0.0}`,
		`{"n":9.9999999999999999999999999999999999999E+125,"m":1e-130}`,
		`{"이름":"홍길동","emoji":"👩‍👩‍👧 é é","case":"İi"}`,
		`{"a":"\u0000\u0001\t\n\"\\/<>&\u2028"}`,
		`{"deep":{"er":{"still":[1,[2,[3,{"x":[{"y":"z"}]}]]]}}}`,
		`{"Pk":1,"PK":2,"Token":"a","name":"b","value":"c","size":3,"state":"d","ttl":4,"sk ":5,"a.b":6,"#x":7,":y":8}`,
		` { "spaced" : [ 1 , 2 ] } `,
	} {
		i := b.order(fmt.Sprint("o-", n))
		i.Schema, i.Data = n, []byte(text)
		b.write(t, table.Inserted(i))
		i.Revision = 1
		same(t, text, b.read(t, i.Key), i)
	}
}

func bytesInKeysComeBack(t *testing.T, b *bench) {
	for _, id := range []string{"a b", "a#b#c", "홍/길 동", "%2F+&=?", "👩‍👩‍👧", "\u0001", `"\`} {
		k := b.key(table.Customers, id, "item#"+id)
		i := table.Item{Key: k, Schema: 1, Data: []byte(`{}`)}
		b.write(t, table.Inserted(i))
		i.Revision = 1
		same(t, id, b.read(t, k), i)
		p := b.page(t, table.Query{Table: table.Customers, Partition: k.Partition, From: "item#", Limit: 2})
		if len(p.Items) != 1 {
			t.Errorf("Query of %q: got %d items, want 1", id, len(p.Items))
			continue
		}
		same(t, id, p.Items[0], i)
	}
}

func allAreReadInTheOrderOfTheKeys(t *testing.T, b *bench) {
	orders, customers := b.order("o-1"), b.order("o-1")
	customers.Key = b.key(table.Customers, "ann", "head")
	third := b.order("o-3")
	b.write(t, table.Inserted(orders), table.Inserted(customers), table.Inserted(third))
	absent := b.order("o-2").Key

	got, err := b.GetAll(t.Context(), []table.Key{third.Key, absent, customers.Key, orders.Key, third.Key})
	if err != nil {
		t.Fatalf("GetAll: got %v, want items", err)
	}
	var keys []table.Key
	for _, i := range got {
		keys = append(keys, i.Key)
	}
	if d := cmp.Diff([]table.Key{third.Key, customers.Key, orders.Key, third.Key}, keys); d != "" {
		t.Errorf("keys of what was found: got (+) and want (-) differ:\n%s", d)
	}
	for what, keys := range map[string][]table.Key{"of nothing": nil, "of what is absent": {absent}} {
		if got, err := b.GetAll(t.Context(), keys); err != nil || len(got) != 0 {
			t.Errorf("GetAll %s: got %d items, %v, want none", what, len(got), err)
		}
	}
}

func thousandItemsAreReadAtOnce(t *testing.T, b *bench) {
	var writes []table.Write
	var keys, want []table.Key
	for n := range 1000 {
		i := b.order(fmt.Sprintf("o-%d", n*7919%1000))
		keys = append(keys, i.Key)
		if n%3 == 0 {
			continue // absent
		}
		want = append(want, i.Key)
		writes = append(writes, table.Inserted(i))
		if len(writes) == 100 {
			b.write(t, writes...)
			writes = nil
		}
	}
	b.write(t, writes...)
	all, err := b.GetAll(t.Context(), keys)
	if err != nil {
		t.Fatalf("GetAll of 1,000: got %v, want items", err)
	}
	var got []table.Key
	for _, i := range all {
		got = append(got, i.Key)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("keys of what was found: got (+) and want (-) differ:\n%s", d)
	}
}

func sealedBytesComeBackAndGo(t *testing.T, b *bench) {
	var every []byte
	for c := range 256 {
		every = append(every, byte(c))
	}
	alone, together := b.order("alone"), b.order("together")
	alone.Sealed, together.Sealed = every, every
	b.write(t, table.Inserted(alone))
	b.write(t, table.Inserted(together), table.Inserted(b.order("another")))
	for _, want := range []table.Item{alone, together} {
		want.Revision = 1
		is := b.read(t, want.Key)
		same(t, "item with sealed bytes", is, want)
		if found := b.conflict(t, table.Inserted(want)).Found[0]; found == nil || !bytes.Equal(found.Sealed, every) {
			t.Errorf("the item in the way: got %+v, want its sealed bytes", found)
		}
		is.Sealed = nil
		b.write(t, table.Replaced(is))
		if is = b.read(t, want.Key); len(is.Sealed) != 0 {
			t.Errorf("Sealed after it was dropped: got %d bytes, want none", len(is.Sealed))
		}
	}
}

func expiryComesBackAndGoes(t *testing.T, b *bench) {
	later := time.Date(2096, 2, 29, 23, 59, 58, 0, time.UTC)
	for _, in := range table.Names {
		i := table.Item{Key: b.key(in, "x", "y"), Schema: 1, Data: []byte(`{"expiresAt":"a member like any other"}`)}
		i.Expires = later.Add(999 * time.Millisecond).In(time.FixedZone("KST", 9*3600))
		b.write(t, table.Inserted(i))
		want := i
		want.Revision, want.Expires = 1, later // to the second, in UTC
		is := b.read(t, i.Key)
		same(t, "item that expires", is, want)
		if is.Expired(later.Add(-time.Nanosecond)) || !is.Expired(later) {
			t.Errorf("Expired in %s: got another instant than the one given", in)
		}
		if found := b.conflict(t, table.Inserted(i)).Found[0]; found == nil || !found.Expires.Equal(later) {
			t.Errorf("the item in the way: got %+v, want its expiry", found)
		}
		is.Expires = time.Time{}
		b.write(t, table.Replaced(is))
		if is = b.read(t, i.Key); !is.Expires.IsZero() || is.Expired(later.AddDate(100, 0, 0)) {
			t.Errorf("Expires in %s after it was dropped: got %v, want none", in, is.Expires)
		}
	}
}

// whatHasExpiredMayOrMayNotBeThere: a table drops what has expired when it likes. Until
// then all is as it was, and after that the key is free.
func whatHasExpiredMayOrMayNotBeThere(t *testing.T, b *bench) {
	now := time.Now()
	i := table.Item{Key: b.key(table.Notices, "x", ""), Schema: 1, Data: []byte(`{}`), Expires: now.Add(-time.Hour)}
	b.write(t, table.Inserted(i))
	is, err := b.Get(t.Context(), i.Key)
	switch {
	case errors.Is(err, fault.NotFound):
	case err != nil:
		t.Fatalf("Get of what has expired: got %v, want it or fault.NotFound", err)
	case !is.Expired(now):
		t.Errorf("Get of what has expired: got an item that expires at %v, want to see that it has", is.Expires)
	}
	again := i
	again.Expires = now.Add(time.Hour)
	err = b.Commit(t.Context(), table.Inserted(again))
	if c, ok := errors.AsType[*table.Conflict](err); ok {
		if c.Found[0] == nil {
			return // dropped at this very moment
		}
		again.Revision = c.Found[0].Revision
		err = b.Commit(t.Context(), table.Replaced(again))
	}
	if err != nil && !errors.Is(err, fault.Conflict) {
		t.Errorf("Commit in place of what has expired: got %v, want success", err)
	}
}

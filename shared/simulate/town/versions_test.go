package town_test

import (
	"context"
	"encoding/json"
	"slices"
	"testing"

	"grantline/shared/simulate/release"
	"grantline/shared/simulate/telling"
	"grantline/shared/simulate/town"
	"grantline/shared/simulate/version"
	"grantline/shared/table"
)

func versions(world string, v town.Versions, people, days int) town.Config {
	c := config(world, people, days)
	c.Versions, c.Older = v, release.New
	return c
}

// The short form of `make upgrade`: this version stands beside itself, with nothing between the
// two but tables, queues and the gateways' APIs.
func TestEveryPromiseIsKeptByTwoVersionsAtOnce(t *testing.T) {
	t.Parallel()
	for _, v := range []town.Versions{town.Rolling, town.Both} {
		var payments, returned, older, newer int
		for seed := range uint64(3) {
			r := kept(t, seed+1, versions("charging", v, 12, 100))
			payments, returned, older, newer = payments+r.Payments, returned+r.Returned, older+r.Older, newer+r.Newer
		}
		r := kept(t, 1, versions("all", v, 2, 25))
		if payments == 0 || returned == 0 || r.Sold == 0 || r.Spends == 0 || r.Told == 0 {
			t.Errorf("%s: got %d payments, %d refunds, %d sales, %d spends and %d requests to servers, want some of each",
				v, payments, returned, r.Sold, r.Spends, r.Told)
		}
		for of, n := range map[string]int{"the older": min(older, r.Older), "the newer": min(newer, r.Newer)} {
			if n < 100 {
				t.Errorf("%s: got %d invocations of %s version, want hundreds", v, n, of)
			}
		}
	}
}

func TestASeedOfTwoVersionsIsTheSameTownEachTime(t *testing.T) {
	t.Parallel()
	for _, v := range []town.Versions{town.Rolling, town.Both, town.Alone} {
		c := versions("charging", v, 6, 60)
		one, again, other := kept(t, 6, c), kept(t, 6, c), kept(t, 7, c)
		if one.Print != again.Print || one.Steps != again.Steps || one.Older != again.Older || one.Print == other.Print {
			t.Errorf("%s: got prints %x, %x and %x after %d, %d and %d steps, want the first two the same and the third another",
				v, one.Print, again.Print, other.Print, one.Steps, again.Steps, other.Steps)
		}
	}
}

// A seed means the same whether the product is asked in its own types or through its messages,
// and its gateways through their APIs: what a test of two versions finds is no work of the wire.
func TestAVersionAloneIsTheSameTownByTheWire(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		world        string
		seed         uint64
		people, days int
	}{{"charging", 1, 8, 90}, {"charging", 2, 8, 90}, {"selling", 3, 4, 40}, {"telling", 1, 2, 20}, {"all", 5, 2, 20}} {
		direct, wired := kept(t, c.seed, config(c.world, c.people, c.days)), kept(t, c.seed, versions(c.world, town.Alone, c.people, c.days))
		if direct.Print != wired.Print || direct.Steps != wired.Steps || wired.Newer > 0 {
			t.Errorf("%s, seed %d: got print %x by the wire after %d steps, with %d invocations without it, want %x after %d",
				c.world, c.seed, wired.Print, wired.Steps, wired.Newer, direct.Print, direct.Steps)
		}
	}
}

// forgetful is what the tables are to a version whose records do not have a field: it reads
// none, and so writes none.
type forgetful struct {
	table.Tables
	in    table.Table
	field string
}

func (f forgetful) forget(items ...table.Item) []table.Item {
	items = slices.Clone(items)
	for n, i := range items {
		var record map[string]json.RawMessage
		if i.Key.Table != f.in || json.Unmarshal(i.Data, &record) != nil || record[f.field] == nil {
			continue
		}
		delete(record, f.field)
		items[n].Data, _ = json.Marshal(record)
	}
	return items
}

func (f forgetful) Get(ctx context.Context, k table.Key) (table.Item, error) {
	i, err := f.Tables.Get(ctx, k)
	return f.forget(i)[0], err
}

func (f forgetful) Glance(ctx context.Context, k table.Key) (table.Item, error) {
	i, err := f.Tables.Glance(ctx, k)
	return f.forget(i)[0], err
}

func (f forgetful) GetAll(ctx context.Context, keys []table.Key) ([]table.Item, error) {
	all, err := f.Tables.GetAll(ctx, keys)
	return f.forget(all...), err
}

func (f forgetful) Query(ctx context.Context, q table.Query) (table.Page, error) {
	p, err := f.Tables.Query(ctx, q)
	p.Items = f.forget(p.Items...)
	return p, err
}

// Each is a field that a newer version brought and an older one's code has no place for, so that
// its writes drop it. Most would do no harm; of these a promise tells.
func TestAnOlderVersionThatDropsAFieldIsFound(t *testing.T) {
	t.Parallel()
	for field, of := range map[string]struct {
		in           table.Table
		world        string
		people, days int
		finds        []string // one of them
	}{
		"ending":  {table.Subscriptions, "charging", 20, 300, []string{"nothing after \"you will not be charged\""}},
		"refunds": {table.Orders, "charging", 20, 300, []string{"each refund is made once, and said to be", "what was given back is written"}},
		"leased":  {table.Endpoints, "telling", 3, 30, []string{telling.OneTeller}},
		"cursor":  {table.Endpoints, "telling", 3, 30, []string{telling.InOrder, telling.OneTeller}},
	} {
		c := versions(of.world, town.Both, of.people, of.days)
		c.Older = func(p version.Ports) version.Code {
			p.Tables = forgetful{p.Tables, of.in, field}
			return release.New(p)
		}
		found := ""
		for seed := uint64(1); seed <= 5 && found == ""; seed++ {
			if r := town.Run(seed, c); r.Broken != nil {
				found = r.Broken.Promise
			}
		}
		if !slices.Contains(of.finds, found) {
			t.Errorf("%s: got %q broken, want one of %q", field, found, of.finds)
		}
	}
}

package history_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"grantline/shared/aws/dynamo"
	"grantline/shared/dbtest/history"
	"grantline/shared/dbtest/local"
	"grantline/shared/fault"
	"grantline/shared/memory"
	"grantline/shared/table"
)

// rounds is how much of a history is made: some, or as much as HISTORY_ROUNDS says.
func rounds(t *testing.T, some int) int {
	t.Helper()
	text := os.Getenv("HISTORY_ROUNDS")
	if text == "" {
		return some
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("HISTORY_ROUNDS: got %q, want a number", text)
	}
	return n
}

// dice may be thrown by many.
type dice struct {
	mu     sync.Mutex
	random *rand.Rand
}

func newDice(seed uint64) *dice { return &dice{random: rand.New(rand.NewPCG(seed, 9))} }

// in says yes once in n times.
func (d *dice) in(n int) bool { return d.below(n) == 0 }

func (d *dice) below(n int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.random.IntN(n)
}

func unavailable() error {
	return fault.New(fault.Unavailable, "tables_unavailable", "The tables did not answer.")
}

// losing are tables whose requests and answers are lost at times.
type losing struct {
	table.Tables
	dice  *dice
	often int // a loss in that many; 0 for none
	still atomic.Bool
}

// lost also takes its time now and then, so that others come in between: one may have done
// several things by then.
func (l *losing) lost() bool {
	if l.still.Load() {
		return false
	}
	if runtime.Gosched(); l.dice.in(10) {
		time.Sleep(time.Duration(l.dice.below(10_000)) * time.Microsecond)
	}
	return l.often > 0 && l.dice.in(l.often)
}

func (l *losing) Get(ctx context.Context, k table.Key) (table.Item, error) {
	if l.lost() {
		return table.Item{}, unavailable()
	}
	return l.Tables.Get(ctx, k)
}

func (l *losing) Commit(ctx context.Context, writes ...table.Write) error {
	if l.lost() {
		return unavailable()
	}
	err := l.Tables.Commit(ctx, writes...)
	if l.lost() {
		return unavailable()
	}
	return err
}

// crowd is who uses some tables at once, at random, and remembers what it has seen.
type crowd struct {
	tables  *history.Tables
	scope   table.Scope
	groups  int // of items that are written together
	clients int
	ops     int // of each client
	seed    uint64
}

// items of a group: two without and one with a sort key.
func (c crowd) items(group int) []table.Key {
	at := func(name string) string { return c.scope.Key(fmt.Sprint(name, "-", group)) }
	return []table.Key{
		{Table: table.Orders, Partition: at("left")},
		{Table: table.Orders, Partition: at("right")},
		{Table: table.Customers, Partition: at("customer"), Sort: "#head"},
	}
}

func (c crowd) run(ctx context.Context) error {
	var all sync.WaitGroup
	errs := make([]error, c.clients)
	for n := range c.clients {
		all.Go(func() {
			w := &client{
				crowd: c, n: n, random: rand.New(rand.NewPCG(c.seed, uint64(n))),
				seen: map[table.Key]table.Item{}, older: map[table.Key]table.Item{},
			}
			for op := range c.ops {
				if errs[n] = w.act(ctx, op); errs[n] != nil {
					return
				}
			}
		})
	}
	all.Wait()
	for group := range c.groups { // how it ended says much about what was lost
		if _, err := c.tables.GetAll(ctx, c.items(group)); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

type client struct {
	crowd
	n      int
	random *rand.Rand
	seen   map[table.Key]table.Item
	older  map[table.Key]table.Item // what was seen before that
}

// see remembers an item, or that there is none.
func (w *client) see(k table.Key, i table.Item, there bool) {
	if was, ok := w.seen[k]; ok {
		w.older[k] = was
	}
	if delete(w.seen, k); there {
		w.seen[k] = i
	}
}

func (w *client) act(ctx context.Context, op int) error {
	keys := w.items(w.random.IntN(w.groups))
	k := keys[w.random.IntN(len(keys))]
	var err error
	switch w.random.IntN(10) {
	case 0, 1, 2:
		var i table.Item
		if i, err = w.tables.Get(ctx, k); err == nil || errors.Is(err, fault.NotFound) {
			w.see(k, i, err == nil)
		}
	case 3:
		var all []table.Item
		if all, err = w.tables.GetAll(ctx, keys); err == nil {
			for _, k := range keys {
				n := slices.IndexFunc(all, func(i table.Item) bool { return i.Key == k })
				if n < 0 {
					w.see(k, table.Item{}, false)
				} else {
					w.see(k, all[n], true)
				}
			}
		}
	case 4:
		_, err = w.tables.Query(ctx, table.Query{Table: table.Customers, Partition: keys[2].Partition, Limit: 10})
	default:
		writes := []table.Write{w.write(k, op)}
		if w.random.IntN(2) == 0 {
			if other := keys[w.random.IntN(len(keys))]; other != k {
				writes = append(writes, w.write(other, op))
			}
		}
		err = w.tables.Commit(ctx, writes...)
		w.learn(writes, err)
	}
	if err == nil || errors.Is(err, fault.NotFound) || errors.Is(err, fault.Conflict) || errors.Is(err, fault.Unavailable) {
		return nil
	}
	return err
}

// write is a change to what was seen last, however long ago that is, and at times to what was
// seen before.
func (w *client) write(k table.Key, op int) table.Write {
	i, there := w.seen[k]
	if was, ok := w.older[k]; ok && w.random.IntN(5) == 0 {
		i, there = was, true
	}
	if !there {
		i = table.Item{Key: k, Schema: 1}
	}
	i.Data = fmt.Appendf(nil, `{"by":%d,"op":%d}`, w.n, op)
	switch {
	case !there:
		return table.Inserted(i)
	case w.random.IntN(6) == 0:
		return table.Removed(i)
	case w.random.IntN(4) == 0:
		return table.Unchanged(i)
	}
	return table.Replaced(i)
}

func (w *client) learn(writes []table.Write, err error) {
	overtaken, refused := errors.AsType[*table.Conflict](err)
	for n, wrote := range writes {
		k := wrote.Item.Key
		switch {
		case refused && overtaken.Found[n] != nil:
			w.see(k, *overtaken.Found[n], true)
		case err != nil:
		case wrote.Change == table.Remove:
			w.see(k, table.Item{}, false)
		case wrote.Change != table.Check:
			wrote.Item.Revision++
			w.see(k, wrote.Item, true)
		}
	}
}

// told runs a crowd on tables and says whether an order of what it did explains what it heard.
func told(ctx context.Context, tables table.Tables, c crowd) (operations int, err error) {
	h := &history.History{}
	c.tables = &history.Tables{Tables: tables, History: h}
	if err := c.run(ctx); err != nil {
		return 0, err
	}
	ops := h.Operations()
	return len(ops), history.Check(history.OfTables(), ops)
}

func tablesAreLinearizable(t *testing.T, tables table.Tables) {
	t.Helper()
	operations := 0
	for round := range rounds(t, 4) {
		c := crowd{scope: table.Scope{Project: fmt.Sprint("r", round), Environment: "sandbox"}, groups: 1 + round%3, clients: 6, ops: 40, seed: uint64(round)}
		often := 0
		if round%2 == 1 {
			often = 25
		}
		n, err := told(t.Context(), &losing{Tables: tables, dice: newDice(uint64(round)), often: often}, c)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		operations += n
	}
	t.Logf("%d operations", operations)
}

func TestMemoryIsLinearizable(t *testing.T) {
	t.Parallel()
	tablesAreLinearizable(t, memory.New())
}

func TestDynamoIsLinearizable(t *testing.T) {
	t.Parallel()
	tablesAreLinearizable(t, dynamo.New(local.Open(t)))
}

// broken are tables that keep a promise of the port only most of the time.
type broken struct {
	*memory.Tables
	dice *dice
	mu   sync.Mutex
	old  map[table.Key]table.Item // an earlier state of what was read
	by   defect
}

// defect is how; nil is as it should be.
type defect struct {
	get    func(b *broken, ctx context.Context, k table.Key) (table.Item, error)
	commit func(b *broken, ctx context.Context, writes []table.Write) error
}

const seldom = 10

func (b *broken) Get(ctx context.Context, k table.Key) (table.Item, error) {
	if b.by.get == nil {
		return b.Tables.Get(ctx, k)
	}
	return b.by.get(b, ctx, k)
}

func (b *broken) Commit(ctx context.Context, writes ...table.Write) error {
	if b.by.commit == nil {
		return b.Tables.Commit(ctx, writes...)
	}
	return b.by.commit(b, ctx, writes)
}

// staleGet reads what was there when it was read before.
func staleGet(b *broken, ctx context.Context, k table.Key) (table.Item, error) {
	i, err := b.Tables.Get(ctx, k)
	b.mu.Lock()
	defer b.mu.Unlock()
	was, there := b.old[k]
	if err == nil {
		b.old[k] = i
	}
	if there && b.dice.in(3) {
		return was, nil
	}
	return i, err
}

// missingGet does not find what is there.
func missingGet(b *broken, ctx context.Context, k table.Key) (table.Item, error) {
	if b.dice.in(seldom) {
		return table.Item{}, fault.New(fault.NotFound, "item_not_found", "There is no such item.")
	}
	return b.Tables.Get(ctx, k)
}

// unconditional writes over whatever is there.
func unconditional(b *broken, ctx context.Context, writes []table.Write) error {
	err := b.Tables.Commit(ctx, writes...)
	for errors.Is(err, fault.Conflict) && !b.dice.in(2) {
		forced := slices.Clone(writes)
		for n := range forced {
			is, err := b.Tables.Get(ctx, forced[n].Item.Key)
			if err != nil && forced[n].Change != table.Insert && forced[n].Change != table.Replace {
				return &table.Conflict{Found: make([]*table.Item, len(writes))}
			}
			forced[n].Item.Revision = is.Revision
			if forced[n].Change == table.Insert || forced[n].Change == table.Replace {
				forced[n] = table.Put(forced[n].Item)
			}
		}
		err = b.Tables.Commit(ctx, forced...)
	}
	return err
}

// withoutEffect says that it has written, and has not.
func withoutEffect(b *broken, ctx context.Context, writes []table.Write) error {
	if b.dice.in(seldom) {
		return nil
	}
	return b.Tables.Commit(ctx, writes...)
}

// inParts writes a transaction as if it were several.
func inParts(b *broken, ctx context.Context, writes []table.Write) error {
	for _, w := range writes {
		if err := b.Tables.Commit(ctx, w); err != nil {
			return &table.Conflict{Found: make([]*table.Item, len(writes))}
		}
	}
	return nil
}

// unchecked leaves the checks out of a transaction.
func unchecked(b *broken, ctx context.Context, writes []table.Write) error {
	kept := slices.DeleteFunc(slices.Clone(writes), func(w table.Write) bool { return w.Change == table.Check })
	if len(kept) == 0 {
		return nil
	}
	err := b.Tables.Commit(ctx, kept...)
	if errors.Is(err, fault.Conflict) {
		return &table.Conflict{Found: make([]*table.Item, len(writes))}
	}
	return err
}

// refusedWithEffect calls overtaken what has happened: its own write stood in its way.
func refusedWithEffect(b *broken, ctx context.Context, writes []table.Write) error {
	err := b.Tables.Commit(ctx, writes...)
	if err == nil && b.dice.in(seldom) {
		return &table.Conflict{Found: make([]*table.Item, len(writes))}
	}
	return err
}

// mistaken names in a conflict something else than what stands in the way.
func mistaken(b *broken, ctx context.Context, writes []table.Write) error {
	err := b.Tables.Commit(ctx, writes...)
	if c, ok := errors.AsType[*table.Conflict](err); ok {
		for _, found := range c.Found {
			if found != nil {
				found.Revision++
			}
		}
	}
	return err
}

// TestBrokenTablesAreFound: a checker that never objects proves nothing.
func TestBrokenTablesAreFound(t *testing.T) {
	t.Parallel()
	for name, by := range map[string]defect{
		"a read of what was":                    {get: staleGet},
		"a read that misses":                    {get: missingGet},
		"a commit without its condition":        {commit: unconditional},
		"a success without effect":              {commit: withoutEffect},
		"a transaction in parts":                {commit: inParts},
		"a transaction without its checks":      {commit: unchecked},
		"a conflict with effect":                {commit: refusedWithEffect},
		"a conflict that names the wrong thing": {commit: mistaken},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const tries = 100 // at random, one is enough nearly always
			for seed := range uint64(tries) {
				tables := &broken{Tables: memory.New(), dice: newDice(seed), old: map[table.Key]table.Item{}, by: by}
				c := crowd{scope: table.Default, groups: 1, clients: 4, ops: 40, seed: seed}
				_, err := told(t.Context(), &losing{Tables: tables, dice: newDice(seed)}, c)
				if errors.Is(err, history.ErrImpossible) {
					return
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			t.Errorf("histories of %d crowds: got an order for each, want none", tries)
		})
	}
}

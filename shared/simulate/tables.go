package simulate

import (
	"context"
	"time"

	"grantline/shared/fault"
	"grantline/shared/memory"
	"grantline/shared/table"
)

// Tables is the port of records over tables in memory. Requests are lost, answers are lost,
// transactions meet others, glances are stale, and indexes lag.
type Tables struct {
	world *World
	kept  *memory.Tables
	// before is each item as it was before its last change, for glances.
	before  map[table.Key]past
	watched []func(writes []table.Write)
	commits int
	shown   []func(key table.Key)
	// crossing says that what is being committed crossed the port, and that nobody prepares
	// the tables.
	crossing bool
}

type past struct {
	item *table.Item // nil: there was none; not to be changed
	till int64       // when it was changed
}

// checkedEach is of how many commits one is checked for what DynamoDB would not take.
const checkedEach = 16

// staleFor is how long after a change a replica may be behind.
const staleFor = 2 * time.Second

var _ table.Tables = (*Tables)(nil)

// NewTables makes empty tables.
func NewTables(w *World) *Tables {
	t := &Tables{world: w, kept: memory.New(), before: map[table.Key]past{}}
	t.kept.Changed = func(key table.Key, was *table.Item) {
		if t.crossing {
			t.before[key] = past{was, w.now}
		}
	}
	t.kept.Lag = func(key table.Key, show func()) {
		d := w.chance.Lag()
		if d <= 0 {
			d = time.Nanosecond // not within the commit
		}
		w.After(d, func() {
			show()
			for _, f := range t.shown {
				f(key)
			}
		})
	}
	return t
}

// Watch has f see every commit as it happens. f crosses no port.
func (t *Tables) Watch(f func(writes []table.Write)) { t.watched = append(t.watched, f) }

// WatchIndex has f hear of each entry of an index once it is up to date.
func (t *Tables) WatchIndex(f func(key table.Key)) { t.shown = append(t.shown, f) }

// Peek reads an item as it is, outside any function.
func (t *Tables) Peek(k table.Key) (table.Item, bool) {
	i, err := t.kept.Get(context.Background(), k)
	return i, err == nil
}

// Kept is what is kept, for whoever audits all of it.
func (t *Tables) Kept() *memory.Tables { return t.kept }

func silent() error {
	return fault.New(fault.Unavailable, "tables_unavailable", "The tables did not answer.")
}

// reading crosses the port; the error is what the function hears instead of an answer.
func (t *Tables) reading(verb, about string) (Fate, error) {
	fate := t.world.Cross(Op{Port: "tables", Verb: verb, About: about})
	if fate == Fine || fate == Stale {
		return fate, nil
	}
	t.world.Crossed()
	return fate, silent()
}

// Get reads one item.
func (t *Tables) Get(ctx context.Context, k table.Key) (table.Item, error) {
	if _, err := t.reading("get", k.Partition); err != nil {
		return table.Item{}, err
	}
	defer t.world.Crossed()
	return t.kept.Get(ctx, k)
}

// Glance reads one item, as it is or as it was a moment ago.
func (t *Tables) Glance(ctx context.Context, k table.Key) (table.Item, error) {
	fate, err := t.reading("glance", k.Partition)
	if err != nil {
		return table.Item{}, err
	}
	defer t.world.Crossed()
	if was, ok := t.before[k]; ok && fate == Stale && t.world.now-was.till < int64(staleFor) {
		if was.item == nil {
			return table.Item{}, fault.New(fault.NotFound, "item_not_found", "There is no such item in %s.", k.Table)
		}
		return memory.Copy(*was.item), nil
	}
	return t.kept.Get(ctx, k)
}

// GetAll reads several items.
func (t *Tables) GetAll(ctx context.Context, keys []table.Key) ([]table.Item, error) {
	about := ""
	if len(keys) > 0 {
		about = keys[0].Partition
	}
	if _, err := t.reading("get all", about); err != nil {
		return nil, err
	}
	defer t.world.Crossed()
	return t.kept.GetAll(ctx, keys)
}

// Query reads a page; of an index as it is by now.
func (t *Tables) Query(ctx context.Context, q table.Query) (table.Page, error) {
	if _, err := t.reading("query", q.Partition); err != nil {
		return table.Page{}, err
	}
	defer t.world.Crossed()
	return t.kept.Query(ctx, q)
}

// Commit makes the writes happen together or not at all.
func (t *Tables) Commit(ctx context.Context, writes ...table.Write) error {
	fate := t.world.Cross(Op{Port: "tables", Verb: "commit", About: writes[0].Item.Key.Partition, Write: true})
	if fate == Lost {
		t.world.Crossed()
		return silent()
	}
	if fate == Vague {
		t.world.Crossed()
		return &table.Conflict{Found: make([]*table.Item, len(writes))}
	}
	t.commits++
	t.kept.Trust = t.commits%checkedEach != 0
	t.crossing = true
	err := t.kept.Commit(ctx, writes...)
	t.crossing = false
	if err == nil {
		for _, f := range t.watched {
			f(writes)
		}
	}
	t.world.Crossed()
	if fate == Unheard {
		return silent()
	}
	return err
}

package billing_test

import (
	"context"
	"testing"

	"grantline/shared/fault"
	"grantline/shared/table"
)

// lagging answers a Glance with what it remembers, as a replica that is behind.
type lagging struct {
	table.Tables
	old map[table.Key]table.Item
}

func (l *lagging) remember(t *testing.T, w *world) {
	t.Helper()
	l.old = map[table.Key]table.Item{}
	for _, item := range w.tables.Items(table.Subscriptions) {
		l.old[item.Key] = item
	}
	if len(l.old) == 0 {
		t.Fatal("there is nothing to remember")
	}
}

func (l *lagging) Glance(_ context.Context, k table.Key) (table.Item, error) {
	item, ok := l.old[k]
	if !ok {
		return item, fault.New(fault.NotFound, "item_not_found", "There is no such item.")
	}
	return item, nil
}

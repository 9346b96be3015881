package rebuild

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"grantline/shared/entitlement"
	"grantline/shared/fault"
	"grantline/shared/table"
)

// write puts what a customer's events come to where nothing live is. What an earlier call,
// which was cut off, wrote there is written over.
func write(ctx context.Context, target table.Tables, h holder, is *live, was *life) error {
	items := []struct {
		sort  string
		value any
	}{{headSort, head{
		Sequence: was.last, Sources: append([]entitlement.Source{}, was.state.Sources...),
		Into: is.into, Merged: is.merged, Logged: true,
	}}}
	for _, currency := range slices.Sorted(maps.Keys(was.state.Wallets)) {
		items = append(items, struct {
			sort  string
			value any
		}{walletSort + currency, kept{was.state.Wallets[currency], true}})
	}
	for _, i := range items {
		data, err := json.Marshal(i.value)
		if err != nil {
			return fmt.Errorf("rebuild: bug: %w", err)
		}
		if err := put(ctx, target, table.Item{Key: h.key(i.sort), Schema: schema, Data: data}); err != nil {
			return fmt.Errorf("rebuild: target: %w", err)
		}
	}
	return nil
}

func put(ctx context.Context, target table.Tables, item table.Item) error {
	var err error
	for range mostTries {
		if err = target.Commit(ctx, table.Put(item)); !errors.As(err, new(*table.Conflict)) {
			return err
		}
		there, failed := target.Get(ctx, item.Key)
		if failed != nil && !errors.Is(failed, fault.NotFound) {
			return failed
		}
		item.Revision = there.Revision
	}
	return err
}

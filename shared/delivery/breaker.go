package delivery

import (
	"context"
	"errors"
	"fmt"
	"time"

	"grantline/shared/fault"
	"grantline/shared/table"
)

const (
	// opensAfter is how many times in a row an endpoint fails, for whichever customers, before
	// it is only probed.
	opensAfter = 10
	probeEach  = time.Minute
)

// breaker keeps what fails for everybody from being tried for everybody.
type breaker struct {
	Failures int       `json:"failures"`       // in a row
	Since    time.Time `json:"since,omitzero"` // of the first of those
	ProbeAt  time.Time `json:"probeAt,omitzero"`
	Status   int       `json:"status,omitempty"`

	item    table.Item
	probing bool // the next request is the probe
}

func (b breaker) open() bool { return b.Failures >= opensAfter }

// lets says whether a request may be sent at now.
func (b breaker) lets(now time.Time) bool { return !b.open() || !now.Before(b.ProbeAt) }

func breakerKey(scope table.Scope, endpoint string) table.Key {
	return table.Key{Table: table.Endpoints, Partition: scope.Key("breaker", endpoint)}
}

func readBreaker(ctx context.Context, tables table.Tables, scope table.Scope, endpoint string) (breaker, error) {
	key := breakerKey(scope, endpoint)
	item, err := tables.Get(ctx, key)
	if errors.Is(err, fault.NotFound) {
		return breaker{item: table.Item{Key: key}}, nil
	}
	if err != nil {
		return breaker{}, fmt.Errorf("delivery: breaker: %w", err)
	}
	b := breaker{item: item}
	return b, decode(item, &b)
}

// save stores it as it should be; overtaken says that another request's outcome came first,
// which is as good, unless it was to be a claim.
func (b *breaker) save(ctx context.Context, tables table.Tables) (overtaken bool, err error) {
	item, err := encode(b.item.Key, b.item, b)
	if err != nil {
		return false, err
	}
	write := table.Put(item)
	if b.Failures == 0 {
		write = table.Removed(b.item)
	}
	err = tables.Commit(ctx, write)
	if errors.As(err, new(*table.Conflict)) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("delivery: breaker: %w", err)
	}
	b.item = write.Item
	b.item.Revision++
	if b.Failures == 0 {
		b.item = table.Item{Key: b.item.Key}
	}
	return false, nil
}

package dbtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"

	"grantline/shared/fault"
	"grantline/shared/table"
)

const racers = 50

// race runs act for each racer at once and returns their errors.
func race(act func(n int) error) []error {
	errs := make([]error, racers)
	var line, group sync.WaitGroup
	line.Add(1)
	for n := range racers {
		group.Go(func() {
			line.Wait()
			errs[n] = act(n)
		})
	}
	line.Done()
	group.Wait()
	return errs
}

// oneWinner fails the test unless exactly one of errs is nil and the others conflicts.
func oneWinner(t *testing.T, errs []error) {
	t.Helper()
	won := 0
	for _, err := range errs {
		switch {
		case err == nil:
			won++
		case !errors.Is(err, fault.Conflict):
			t.Errorf("Commit of a loser: got %v, want fault.Conflict", err)
		}
	}
	if won != 1 {
		t.Errorf("winners of %d: got %d, want 1", racers, won)
	}
}

func oneOfManyInsertsWins(t *testing.T, b *bench) {
	errs := race(func(n int) error {
		i := b.order("o-1")
		i.Data = fmt.Appendf(nil, `{"by":%d}`, n)
		return b.Commit(t.Context(), table.Inserted(i))
	})
	oneWinner(t, errs)
	is := b.read(t, b.order("o-1").Key)
	var data struct{ By int }
	if err := json.Unmarshal(is.Data, &data); err != nil || errs[data.By] != nil {
		t.Errorf("item after the race: got %s, %v, want that of the winner", is.Data, err)
	}
	if is.Revision != 1 {
		t.Errorf("revision after the race: got %d, want 1", is.Revision)
	}
}

func oneOfManyTransactionsWins(t *testing.T, b *bench) {
	errs := race(func(n int) error {
		grant := table.Item{Key: b.key(table.Customers, fmt.Sprint("c-", n), "head"), Schema: 1, Data: []byte(`{}`)}
		return b.Commit(t.Context(), table.Inserted(grant), table.Inserted(b.order("o-1")))
	})
	oneWinner(t, errs)
	for n, err := range errs {
		k := b.key(table.Customers, fmt.Sprint("c-", n), "head")
		if err == nil {
			b.read(t, k)
		} else {
			b.missing(t, k)
		}
	}
}

func countersLoseNothing(t *testing.T, b *bench) {
	start := b.order("counter")
	start.Data = []byte(`{"n":0}`)
	b.write(t, table.Inserted(start))
	errs := race(func(int) error {
		for range 100 * racers {
			is, err := b.Get(t.Context(), start.Key)
			if err != nil {
				return err
			}
			var data struct {
				N int `json:"n"`
			}
			if err := json.Unmarshal(is.Data, &data); err != nil {
				return err
			}
			is.Data = fmt.Appendf(nil, `{"n":%d}`, data.N+1)
			err = b.Commit(t.Context(), table.Replaced(is))
			if !errors.Is(err, fault.Conflict) {
				return err
			}
		}
		return errors.New("never got a turn")
	})
	for _, err := range errs {
		if err != nil {
			t.Errorf("adding one: got %v, want success", err)
		}
	}
	want := start
	want.Data = fmt.Appendf(nil, `{"n":%d}`, racers)
	want.Revision = racers + 1
	same(t, "counter", b.read(t, start.Key), want)
}

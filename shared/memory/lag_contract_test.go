package memory_test

import (
	"context"
	"sync"
	"testing"

	"grantline/shared/dbtest"
	"grantline/shared/memory"
	"grantline/shared/table"
)

// TestMemoryKeepsTheContractThoughItsIndexLags: each query brings one entry up to date, the
// oldest first, so that it is never the one that has just been written about.
func TestMemoryKeepsTheContractThoughItsIndexLags(t *testing.T) {
	dbtest.Run(t, func(*testing.T) table.Tables {
		l := &lagging{Tables: memory.New()}
		l.Lag = func(_ table.Key, show func()) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.late = append(l.late, show)
		}
		return l
	})
}

type lagging struct {
	*memory.Tables
	mu   sync.Mutex
	late []func()
}

func (l *lagging) Query(ctx context.Context, q table.Query) (table.Page, error) {
	page, err := l.Tables.Query(ctx, q)
	l.mu.Lock()
	var show func()
	if len(l.late) > 0 {
		show, l.late = l.late[0], l.late[1:]
	}
	l.mu.Unlock()
	if show != nil { // without the lock: it takes that of the tables, and Lag runs within that one
		show()
	}
	return page, err
}

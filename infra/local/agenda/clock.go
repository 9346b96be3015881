package agenda

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Clock is the movable clock of one run: real time plus an offset. Functions read the offset
// from its file, which holds two integers, nanoseconds since 1970: the instant that the clock
// was set to, and the real instant at which that was done. It never goes backwards.
type Clock struct {
	file string

	mu     sync.Mutex
	offset time.Duration
}

// NewClock makes a clock that shows the real time and is written to file.
func NewClock(file string) (*Clock, error) {
	c := &Clock{file: file}
	now := time.Now()
	return c, c.write(now, now)
}

// Now is the local instant, in UTC.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	// Wall time without the monotonic reading, as the functions compute it.
	return time.Now().Round(0).Add(c.offset).UTC()
}

// AdvanceTo sets the clock to t, unless it shows a later time already.
func (c *Clock) AdvanceTo(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now().Round(0)
	offset := t.Sub(now)
	if offset <= c.offset {
		return nil
	}
	if err := c.write(t, now); err != nil {
		return err
	}
	c.offset = offset
	return nil
}

// write replaces the file as a whole, so that a reader never sees half of it.
func (c *Clock) write(told, now time.Time) error {
	next := c.file + ".next"
	text := fmt.Sprintf("%d %d\n", told.UnixNano(), now.UnixNano())
	if err := os.WriteFile(next, []byte(text), 0o600); err != nil {
		return fmt.Errorf("clock: %w", err)
	}
	if err := os.Rename(next, filepath.Clean(c.file)); err != nil {
		return fmt.Errorf("clock: %w", err)
	}
	return nil
}

package simulate

import (
	"context"
	"time"

	"grantline/shared/clock"
)

type watch struct{ world *World }

// Clock is the port of time: each invocation has its own idea of it, which is off by its
// skew. A sleep lets others have their turns.
func (w *World) Clock() clock.Clock { return watch{w} }

func (c watch) Now() time.Time {
	if i := c.world.running; i != nil {
		return c.world.Now().Add(i.Skew)
	}
	return c.world.Now()
}

func (c watch) Sleep(ctx context.Context, d time.Duration) error {
	c.world.Pass(d)
	return ctx.Err()
}

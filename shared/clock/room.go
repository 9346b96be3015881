package clock

import (
	"context"
	"time"
)

// LeaveRoom ends a call by that much earlier than ctx ends, so that its answer can still
// be written down. A ctx without an end is left as it is.
func LeaveRoom(ctx context.Context, by time.Duration) (context.Context, context.CancelFunc) {
	if end, ok := ctx.Deadline(); ok {
		return context.WithDeadline(ctx, end.Add(-by))
	}
	return context.WithCancel(ctx)
}

// Room says whether at least d is left of ctx's time.
func Room(ctx context.Context, d time.Duration) bool {
	probe, cancel := LeaveRoom(ctx, d)
	defer cancel()
	return probe.Err() == nil
}

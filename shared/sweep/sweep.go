// Package sweep repairs what nobody told us: whatever a message, a notice or a charge left
// undone is found by looking, however long ago that was.
package sweep

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"grantline/shared/billing"
	"grantline/shared/clock"
	"grantline/shared/event"
	"grantline/shared/notice"
	"grantline/shared/purchase"
	"grantline/shared/table"
)

// Report is what a caller that knows of no other change may rely on: there is nothing to
// do before IdleUntil.
type Report struct {
	IdleUntil *time.Time `json:"idleUntil,omitempty"`
}

// Job is one repair. It says when it has to be done again, zero for only when something
// else happens.
type Job func(ctx context.Context) (next time.Time, err error)

// Run does every job, whatever becomes of the others.
func Run(ctx context.Context, now clock.Clock, jobs []Job) (Report, error) {
	idle := now.Now().Add(24 * time.Hour)
	var failed error
	ctx = event.Because(ctx, event.Cause{Kind: event.ByReview})
	for _, do := range jobs {
		next, err := do(ctx)
		if failed = errors.Join(failed, err); !next.IsZero() && next.Before(idle) {
			idle = next
		}
	}
	if failed != nil {
		return Report{}, failed
	}
	return Report{&idle}, nil
}

// Compare compares every day that is over, one account after another.
func Compare(ctx context.Context, b *billing.Biller) (time.Time, error) {
	var names []billing.GatewayName
	for name := range b.Gateways {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b billing.GatewayName) int {
		return strings.Compare(a.Scope.String()+a.Gateway, b.Scope.String()+b.Gateway)
	})
	var failed error
	var idle time.Time
	for _, name := range names {
		next, err := b.Compare(ctx, name)
		for err == nil && !next.After(b.Clock.Now()) {
			next, err = b.Compare(ctx, name)
		}
		if failed = errors.Join(failed, err); err == nil && (idle.IsZero() || next.Before(idle)) {
			idle = next
		}
	}
	return idle, failed
}

// mostReviews bounds the lines that a store is asked about at a time, and mostTurns how often
// that is in one run, which has 15 minutes.
const (
	mostReviews = 500
	mostTurns   = 6
)

// Repairs are the jobs of stores: lines whose time has come, and notices that could not be
// delivered.
func Repairs(book *purchase.Book, histories map[string][]notice.History, missed *notice.Missed) []Job {
	var jobs []Job
	for _, store := range slices.Sorted(maps.Keys(histories)) {
		for _, environment := range []string{"production", "sandbox"} {
			scope := table.Scope{Project: table.Default.Project, Environment: environment}
			jobs = append(jobs, func(ctx context.Context) (next time.Time, err error) {
				for range mostTurns {
					next, err = book.Review(ctx, scope, store, mostReviews)
					if err != nil || next.IsZero() || next.After(book.Clock.Now()) {
						break
					}
				}
				return next, err
			})
		}
		for _, h := range histories[store] {
			jobs = append(jobs, func(ctx context.Context) (time.Time, error) {
				return missed.Catch(ctx, table.Default, store, h)
			})
		}
	}
	return jobs
}

package purchase

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"grantline/shared/clock"
	"grantline/shared/customer"
	"grantline/shared/fault"
	"grantline/shared/table"
)

// reviewShards is over how many partitions of the index lines are spread that are to be
// looked at again.
const reviewShards = 8

func reviewPartition(scope table.Scope, store string, shard int) string {
	return scope.Key(store, "check", strconv.Itoa(shard))
}

// instantFormat sorts as text as it does in time.
const instantFormat = "2006-01-02T15:04:05Z"

// index is a line's entry among those to be looked at again, nil if it is none.
func (r Record) index(scope table.Scope) *table.Index {
	if r.CheckAt.IsZero() {
		return nil
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(r.Line)) // never fails
	return &table.Index{
		Partition: reviewPartition(scope, r.Store, int(h.Sum32()%reviewShards)),
		Sort:      r.CheckAt.UTC().Format(instantFormat) + "#" + r.Line,
	}
}

// follows says whether a store's lines are looked at again.
func (b *Book) follows(store string) bool {
	_, ok := b.Stores[store].(Follower)
	return ok
}

func (b *Book) follower(scope table.Scope, name string) (Follower, error) {
	store, err := b.store(scope, name)
	if err != nil {
		return nil, err
	}
	f, ok := store.(Follower)
	if !ok {
		return nil, fmt.Errorf("purchase: bug: %s sends no notices", name)
	}
	return f, nil
}

// LookAgain takes over what a notice brought, and what the store says now. It reports
// false for a notice that is about no sale, or that nobody can believe. Errors:
// fault.Unavailable when it should come again.
func (b *Book) LookAgain(ctx context.Context, scope table.Scope, store, evidence string) (bool, error) {
	f, err := b.follower(scope, store)
	if err != nil {
		return false, err
	}
	looking, cancel := clock.LeaveRoom(ctx, answerMargin)
	news, err := f.Hear(looking, evidence)
	cancel()
	if errors.Is(err, fault.Invalid) || errors.Is(err, fault.Malformed) {
		b.Log.WarnContext(ctx, "A notice was not believed.", "store", store, "reason", err)
		return false, nil
	}
	if err != nil || len(news.Sales) == 0 {
		return false, err
	}
	settled, err := b.settle(ctx, scope, nil, news)
	if err != nil {
		return false, err
	}
	if !news.Usage {
		return true, nil
	}
	return true, b.report(ctx, scope, f, news.Sales[0], settled.Order)
}

// report answers a store that asks what became of a sale.
func (b *Book) report(ctx context.Context, scope table.Scope, f Follower, s Sale, o Order) error {
	if o.State == OrderRefunded {
		return nil // it is decided
	}
	var u Usage
	if o.Customer != "" {
		u.Delivered = o.State == OrderGranted
		c, err := customer.Read(ctx, b.Tables, scope, o.Customer)
		if err != nil {
			return fmt.Errorf("purchase: owner: %w", err)
		}
		if given := o.Credited - o.TakenBack; given > 0 {
			left := int64(0)
			for _, l := range c.Wallets()[o.Currency].Lots {
				if l.OrderID == o.ID {
					left = l.Remaining
				}
			}
			u.Spendable, u.Spent = true, int((given-min(left, given))*wholly/given)
		}
	}
	err := f.Report(ctx, s, u)
	if errors.Is(err, fault.Invalid) {
		b.Log.ErrorContext(ctx, "The store did not take a report on what became of a sale.", "alarm", true, "order", o.ID, "error", err)
		return nil
	}
	return err
}

// Review asks the store about lines whose time has come, most of them at most, and says
// when the next is due; zero if none is. A line that the store cannot say anything about
// now keeps what it gives, and one that cannot be taken over stops no other.
func (b *Book) Review(ctx context.Context, scope table.Scope, store string, most int) (next time.Time, err error) {
	most = min(most, mostReviews)
	f, err := b.follower(scope, store)
	if err != nil {
		return time.Time{}, err
	}
	sooner := func(at time.Time) {
		if !at.IsZero() && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	now, silent := b.Clock.Now(), 0
	for shard := range reviewShards {
		page, err := b.Tables.Query(ctx, table.Query{
			Table: table.Purchases, Indexed: true, Partition: reviewPartition(scope, store, shard), Limit: most + 1,
		})
		if err != nil {
			return time.Time{}, fmt.Errorf("purchase: lines to review: %w", err)
		}
		for _, item := range page.Items {
			due, line, _ := strings.Cut(item.Index.Sort, "#")
			at, err := time.Parse(instantFormat, due)
			if err != nil {
				return time.Time{}, fmt.Errorf("purchase: bug: an index entry without a time: %w", err)
			}
			if at.After(now) || most <= 0 {
				sooner(at)
				break
			}
			most--
			again, answered, err := b.review(ctx, scope, f, store, line)
			if err != nil {
				return time.Time{}, err
			}
			if sooner(again); !answered {
				silent++
			}
			if silent == mostSilent {
				return now.Add(reviewSoon), nil // it is out of reach, and would be for the others
			}
		}
	}
	return next, nil
}

// mostReviews is how many lines one run can see in a shard, and whether there are more.
const mostReviews = 999

// mostSilent is how many lines of one run a store may be out of reach for.
const mostSilent = 5

// review asks about one line, and says when to ask again, zero for never; it is false if
// the store was out of reach.
func (b *Book) review(ctx context.Context, scope table.Scope, f Follower, store, line string) (again time.Time, answered bool, err error) {
	item, err := b.Tables.Get(ctx, recordKey(scope, store, line))
	if err != nil {
		return time.Time{}, false, fmt.Errorf("purchase: line: %w", err)
	}
	r, err := decodeRecord(item)
	if err != nil {
		return time.Time{}, false, err
	}
	now := b.Clock.Now()
	if r.CheckAt.IsZero() || r.CheckAt.After(now) {
		return r.CheckAt, true, nil // the index was behind
	}
	looking, cancel := clock.LeaveRoom(ctx, answerMargin)
	news, able, err := f.Follow(looking, Line{Line: line, Order: strings.TrimPrefix(r.first().Order, store+"_"), Test: r.first().Test})
	cancel()
	switch {
	case err == nil && able && len(news.Sales) > 0:
		claimed, err := b.settle(ctx, scope, nil, news)
		if err == nil && claimed.Order.ID != "" {
			return claimed.checkAt, true, nil
		}
		answered, r.CheckAt = true, r.afterRefusal(ctx, b.Log, now, err)
	case err == nil || errors.Is(err, fault.NotFound):
		// A known purchase survives its store's not knowing it.
		answered, r.CheckAt = true, r.within(now, reviewRetry)
	default:
		b.Log.WarnContext(ctx, "A line could not be reviewed.", "store", store, "error", err)
		r.CheckAt = now.Add(reviewSoon)
	}
	if item, err = encode(item, r); err != nil {
		return time.Time{}, false, err
	}
	item.Index = r.index(scope)
	err = b.Tables.Commit(ctx, table.Put(item))
	if errors.As(err, new(*table.Conflict)) {
		return now, answered, nil // somebody had news, and the index knows when to ask
	}
	return r.CheckAt, answered, err
}

// afterRefusal is when to ask again after what the store said could not be taken over for
// err. A person is told of what does not pass by itself, such as a product that the
// catalog does not have yet, and not every few minutes.
func (r Record) afterRefusal(ctx context.Context, log *slog.Logger, now time.Time, err error) time.Time {
	if fault.Retryable(err) && fault.Code(err) != "product_not_configured" {
		log.WarnContext(ctx, "A line could not be brought up to date.", "store", r.Store, "error", err)
		return now.Add(reviewSoon)
	}
	log.ErrorContext(ctx, "What the store says of a line cannot be taken over.", "alarm", true, "store", r.Store, "error", err)
	return r.within(now, reviewLate)
}

// within is that time after now or when the store has given up, whichever is first; zero
// once it has.
func (r Record) within(now time.Time, wait time.Duration) time.Time {
	last := r.first().End.Add(reviewUntil)
	if !now.Before(last) {
		return time.Time{}
	}
	if at := now.Add(wait); at.Before(last) {
		return at
	}
	return last
}

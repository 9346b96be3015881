package purchase

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"grantline/shared/clock"
	"grantline/shared/customer"
	"grantline/shared/event"
	"grantline/shared/fault"
	"grantline/shared/notice"
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

// Notices looks at the purchases that the notices of stores are about. It is a notice.Looker.
type Notices struct{ *Book }

// LookAgain verifies the store's word once more, and asks the store.
func (n Notices) LookAgain(ctx context.Context, h notice.Hint) (bool, error) {
	return n.Book.LookAgain(event.Because(ctx, h.Cause()), h.Scope(), h.Provider, h.Evidence)
}

// LookAgain takes over what a notice brought, and what the store says now. It reports
// false for a notice that is about no sale, or that nobody can believe. Errors:
// fault.Unavailable when it should come again.
func (b *Book) LookAgain(ctx context.Context, scope table.Scope, store, evidence string) (bool, error) {
	if event.CauseOf(ctx) == nil {
		ctx = event.Because(ctx, event.Cause{Kind: event.ByNotice, Provider: store})
	}
	f, err := b.follower(scope, store)
	if err != nil {
		return false, err
	}
	looking, cancel := clock.LeaveRoom(ctx, answerMargin)
	news, err := f.Hear(looking, evidence)
	if err == nil && len(news.Sales) > 0 {
		news, err = b.trace(looking, scope, b.Stores[store], news)
	}
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
	if settled.owes {
		b.finishNow(ctx, scope, settled.line)
	}
	if !news.Usage {
		return true, nil
	}
	return true, b.report(ctx, scope, f, news, settled.Order)
}

// report answers a store that asks what became of a sale.
func (b *Book) report(ctx context.Context, scope table.Scope, f Follower, news News, o Order) error {
	u, asked := Usage{Case: news.Case}, ""
	if u.Case != "" {
		sum := sha256.Sum256([]byte(u.Case))
		asked = hex.EncodeToString(sum[:16])
	}
	if o.State == OrderRefunded || asked != "" && o.Answered == asked {
		return nil // it is decided, or answered
	}
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
					left += l.Remaining
				}
			}
			u.Spendable, u.Spent = true, int(fraction(given-min(left, given), given))
		}
	}
	err := f.Report(ctx, news.Sales[0], u)
	if errors.Is(err, fault.Invalid) {
		b.Log.ErrorContext(ctx, "The store did not take a report on what became of a sale.", "alarm", true, "store", o.Store, "error", err)
		return nil
	}
	if err != nil || asked == "" {
		return err
	}
	return b.answered(ctx, scope, o.ID, asked)
}

// answered notes on an order which question of the store's was answered. An order that we do
// not have has nothing to note it on, and would be answered again.
func (b *Book) answered(ctx context.Context, scope table.Scope, id, asked string) error {
	for try := range mostTries {
		item, err := b.Tables.Get(ctx, orderKey(scope, id))
		if errors.Is(err, fault.NotFound) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("purchase: order: %w", err)
		}
		o, err := DecodeOrder(item)
		if err != nil {
			return err
		}
		o.Answered = asked
		if item, err = encode(item, o); err != nil {
			return err
		}
		if err = b.Tables.Commit(ctx, table.Put(item)); !errors.As(err, new(*table.Conflict)) {
			return err
		}
		if err := b.Clock.Sleep(ctx, pause(try)); err != nil {
			break
		}
	}
	return fault.New(fault.Unavailable, "busy", "Too much happened to this order at once.")
}

// Review asks the store about lines whose time has come, most of them at most, and says
// when the next is due; zero if none is. A line that the store cannot say anything about
// now keeps what it gives, and one that cannot be taken over stops no other.
func (b *Book) Review(ctx context.Context, scope table.Scope, store string, most int) (next time.Time, err error) {
	ctx = event.Because(ctx, event.Cause{Kind: event.ByReview, Provider: store})
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
	for n := range reviewShards {
		// Each has its turn to be the first, for a run may end before it came to the last.
		shard := (n + int(now.Unix()/int64(reviewTurn/time.Second))) % reviewShards
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
			sooner(again)
			if silent++; answered {
				silent = 0
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

// mostSilent is for how many lines in a row a store may be out of reach in one run.
const mostSilent = 5

// reviewTurn is for how long a shard is the first to be reviewed. A run that found the store
// silent is followed by one after reviewSoon, which is three turns of eight, so that each
// shard comes first in time.
const reviewTurn = 5 * time.Minute

// review asks about one line, and says when to ask again, zero for never; it is false if
// the store was out of reach.
func (b *Book) review(ctx context.Context, scope table.Scope, f Follower, store, line string) (again time.Time, answered bool, err error) {
	key := recordKey(scope, store, line)
	item, err := b.Tables.Get(ctx, key)
	if err != nil {
		return time.Time{}, false, fmt.Errorf("purchase: line: %w", err)
	}
	r, err := decodeRecord(item)
	if err != nil {
		return time.Time{}, false, err
	}
	if now := b.Clock.Now(); r.CheckAt.IsZero() || r.CheckAt.After(now) {
		return r.CheckAt, true, nil // the index was behind
	}
	var postponed time.Time
	for _, l := range r.asks() {
		at, written, heard, err := b.ask(ctx, scope, f, r, l)
		if err != nil {
			return time.Time{}, false, err
		}
		answered = answered || heard
		if !written {
			postponed = soonest(postponed, at)
		} else if len(r.Tokens) == 0 {
			return at, answered, nil
		}
	}
	if len(r.Tokens) > 0 {
		if item, r, err = b.tellLate(ctx, scope, key); err != nil {
			return time.Time{}, false, err
		}
		now := b.Clock.Now()
		if postponed.IsZero() && r.CheckAt.After(now) {
			return r.CheckAt, answered, nil
		}
		if !r.Again.After(now) {
			r.Again = time.Time{} // it was asked
		}
		postponed = soonest(postponed, r.checkAt(now, false))
		if !postponed.IsZero() && !postponed.After(now) {
			postponed = now.Add(reviewLate)
		}
	}
	r.CheckAt = postponed
	err = b.keep(ctx, scope, item, r)
	if errors.As(err, new(*table.Conflict)) {
		return b.Clock.Now(), answered, nil // somebody had news, and the index knows when to ask
	}
	return r.CheckAt, answered, err
}

// asks are what is to be asked about a line: at a store with tokens those that are to be paid,
// which may have taken the place of others, then the current one, and those to be acknowledged.
func (r Record) asks() []Line {
	latest := r.first()
	l := Line{Line: r.Line, Order: strings.TrimPrefix(latest.Order, r.Store+"_"), Test: latest.Test, Since: r.Since, Token: r.current()}
	if len(r.Tokens) == 0 {
		return []Line{l}
	}
	for _, t := range r.Terms {
		if t.State != Refunded {
			l.Sold = append(l.Sold, Sold{Order: r.sold(t), Part: t.Part, SKU: t.SKU})
		}
	}
	var first, then []Line
	for _, h := range r.Tokens {
		other := Line{Line: r.Line, Test: l.Test, Token: h.token()}
		switch {
		case h.ID == l.Token.ID:
		case h.Pending:
			first = append(first, other)
		case h.owes():
			then = append(then, other)
		}
	}
	return slices.Concat(first, []Line{l}, then)
}

// sold is the store's id of the order of a term.
func (r Record) sold(t Term) string {
	order := strings.TrimPrefix(t.Order, r.Store+"_")
	if t.Part != "" {
		order = strings.TrimSuffix(order, ":"+t.Part)
	}
	return order
}

// ask asks the store once about a line. It says when to ask again, whether the line has that
// written down, and whether the store answered.
func (b *Book) ask(ctx context.Context, scope table.Scope, f Follower, r Record, l Line) (again time.Time, written, answered bool, err error) {
	now := b.Clock.Now()
	looking, cancel := clock.LeaveRoom(ctx, answerMargin)
	news, able, err := f.Follow(looking, l)
	if err == nil && able && len(news.Sales) > 0 {
		news, err = b.trace(looking, scope, b.Stores[r.Store], news)
	}
	cancel()
	switch {
	case err == nil && able && len(news.Sales) > 0:
		claimed, err := b.settle(ctx, scope, nil, news)
		if err == nil && (claimed.Order.ID != "" || len(r.Tokens) > 0) {
			return claimed.checkAt, true, true, nil
		}
		return r.afterRefusal(ctx, b.Log, now, err), false, true, nil
	case err == nil || errors.Is(err, fault.NotFound):
		// A known purchase survives its store's not knowing it.
		return soonest(r.within(now, reviewRetry), news.Again), false, true, nil
	default:
		b.Log.WarnContext(ctx, "A line could not be reviewed.", "store", r.Store, "error", err)
		return now.Add(reviewSoon), false, false, nil
	}
}

// tellLate tells the store what it is still owed of a line, and a person of what nobody came
// for, and gives the line as it is then. Whatever the store answers, it stops no other line.
func (b *Book) tellLate(ctx context.Context, scope table.Scope, key table.Key) (table.Item, Record, error) {
	b.finishNow(ctx, scope, key)
	item, err := b.Tables.Get(ctx, key)
	if err != nil {
		return table.Item{}, Record{}, fmt.Errorf("purchase: line: %w", err)
	}
	r, err := decodeRecord(item)
	if err != nil || r.Owner != "" {
		return item, r, err
	}
	r.Tokens = slices.Clone(r.Tokens)
	for i, h := range r.Tokens {
		r.Tokens[i] = b.alarm(ctx, r.Store, h, errUnclaimed)
	}
	return item, r, nil // what a person was told of is written with the next time to ask
}

var errUnclaimed = errors.New("nobody claimed it")

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

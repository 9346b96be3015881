// Package rebuild holds the customers' records against the books that they came from. Its
// one idea is that a customer's events alone make its sources and wallets again: it folds
// them, from the first, in tables of its own if there are any, and whatever differs from the
// live records, or from what the orders say, is a finding. It changes nothing that is live.
package rebuild

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"grantline/shared/clock"
	"grantline/shared/fault"
	"grantline/shared/table"
)

// Walker goes through a whole table, which nothing else may: every other read begins with a key.
type Walker interface {
	// Walk gives the partition keys in a stretch of a table, strongly consistent, each of them
	// once, and where the next stretch begins, "" at the end. A table is walked in segments,
	// each from after "", which may go on side by side; limit, 1 to 1000, bounds the items that
	// a stretch looks at, so that it may have no partition and not be the last. What is written
	// meanwhile may or may not be met. Errors: fault.Malformed for an after that no stretch of
	// the table gave, fault.Unavailable where it could not be read.
	Walk(ctx context.Context, t table.Table, segment, segments, limit int, after string) (partitions []string, next string, err error)
}

// Rebuild compares.
type Rebuild struct {
	Tables table.Tables // the live ones, which are only read
	Walker Walker       // of the live ones
	// Target is where the state that the events come to is written, nil for nowhere, and
	// TargetWalker says whether it is empty.
	Target       table.Tables
	TargetWalker Walker
}

// Ask is which part to compare.
type Ask struct {
	// Segment of Segments, from 0; the whole where Segments is 0. Several may go on side by
	// side. A target that is not empty is refused by the start of the first, so begin with it.
	Segment  int `json:"segment"`
	Segments int `json:"segments"`
	// Cursor goes on after another report's; "" begins.
	Cursor string `json:"cursor"`
}

const (
	mostSegments = 64
	// How many items a stretch looks at. Customers have several each, orders are one.
	customerStretch = 500
	orderStretch    = 100
	// answerMargin is what is kept of the time for the answer.
	answerMargin = 5 * time.Second
	// mostTries bounds how often what changes while it is read is read again.
	mostTries = 6
)

// place is what a cursor says.
type place struct {
	Table table.Table `json:"t"`
	After string      `json:"a"`
}

// Run compares customers, and then orders, until there are no more or ctx's time is nearly
// over; the report says which of both. Errors: fault.Malformed for an Ask that makes no sense,
// fault.Conflict for a target that is not empty, fault.Unavailable where the tables did not
// answer, or ctx's time was not enough for anything.
func (r *Rebuild) Run(ctx context.Context, a Ask) (Report, error) {
	if a.Segments == 0 {
		a.Segments = 1
	}
	if a.Segments < 1 || a.Segments > mostSegments || a.Segment < 0 || a.Segment >= a.Segments {
		return Report{}, fault.New(fault.Malformed, "invalid_request", "segment should be below segments, and those %d at most.", mostSegments)
	}
	at := place{Table: table.Customers}
	if a.Cursor != "" {
		var err error
		if at, err = parse(a.Cursor); err != nil {
			return Report{}, err
		}
	} else if err := r.refuse(ctx, a); err != nil {
		return Report{}, err
	}
	working, cancel := clock.LeaveRoom(ctx, answerMargin)
	defer cancel()
	w := &walk{Rebuild: r, long: map[holder]*group{}}
	whole := newReport()
	for first := true; ; first = false {
		part, next, err := w.stretch(working, a, at)
		if err != nil {
			if !first && working.Err() != nil {
				whole.Cursor = at.String() // this stretch is for the next call
				return whole, nil
			}
			return Report{}, err
		}
		whole = whole.And(part)
		if next == (place{}) {
			return whole, nil
		}
		at = next
	}
}

// refuse a target in which something is.
func (r *Rebuild) refuse(ctx context.Context, a Ask) error {
	if r.Target == nil || a.Segment > 0 {
		return nil
	}
	for after := ""; ; {
		there, next, err := r.TargetWalker.Walk(ctx, table.Customers, 0, 1, 1, after)
		if err != nil {
			return fmt.Errorf("rebuild: target: %w", err)
		}
		if len(there) > 0 {
			return fault.New(fault.Conflict, "target_not_empty", "The target has customers already; give an empty one.")
		}
		if next == "" {
			return nil
		}
		after = next
	}
}

// String is the cursor.
func (p place) String() string {
	text, err := json.Marshal(p)
	if err != nil {
		panic(err) // two strings can always be written
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

func parse(cursor string) (place, error) {
	var p place
	text, err := base64.RawURLEncoding.DecodeString(cursor)
	if err == nil {
		err = json.Unmarshal(text, &p)
	}
	if err != nil || p.Table != table.Customers && p.Table != table.Orders {
		return p, fault.New(fault.Malformed, "cursor_malformed", "The cursor is not one that a report has.")
	}
	return p, nil
}

// walk is one Run.
type walk struct {
	*Rebuild
	long   map[holder]*group // those whom it takes long to read
	weight int               // of them, in orders
}

// stretch compares the next few customers or orders.
func (w *walk) stretch(ctx context.Context, a Ask, at place) (Report, place, error) {
	limit, one := customerStretch, w.customers
	if at.Table == table.Orders {
		limit, one = orderStretch, w.orders
	}
	partitions, next, err := w.Walker.Walk(ctx, at.Table, a.Segment, a.Segments, limit, at.After)
	if err != nil {
		return Report{}, place{}, fmt.Errorf("rebuild: %w", err)
	}
	report := newReport()
	if err := one(ctx, partitions, &report); err != nil {
		return Report{}, place{}, err
	}
	switch {
	case next != "":
		return report, place{at.Table, next}, nil
	case at.Table == table.Customers:
		return report, place{Table: table.Orders}, nil
	}
	return report, place{}, nil
}

// holder is a customer's own id, in its project and environment.
type holder struct {
	scope table.Scope
	ref   string
}

func (h holder) key(sort string) table.Key {
	return table.Key{Table: table.Customers, Partition: h.scope.Key(h.ref), Sort: sort}
}

// scoped takes a partition key apart.
func scoped(partition string) (table.Scope, string, bool) {
	parts := strings.SplitN(partition, "#", 3)
	if len(parts) != 3 {
		return table.Scope{}, "", false
	}
	return table.Scope{Project: parts[0], Environment: parts[1]}, parts[2], true
}

// customers compares those among partitions of the customers' table that are customers.
func (w *walk) customers(ctx context.Context, partitions []string, report *Report) error {
	for _, partition := range partitions {
		scope, ref, ok := scoped(partition)
		if !ok || !strings.HasPrefix(ref, "cus_") {
			continue
		}
		if err := w.customer(ctx, holder{scope, ref}, report); err != nil {
			return err
		}
	}
	return nil
}

// customer compares one.
func (w *walk) customer(ctx context.Context, h holder, report *Report) error {
	is, was, err := w.settled(ctx, h)
	if errors.Is(err, errMoving) {
		report.Customers++
		report.add(Finding{Kind: Unsettled, Customer: h.ref})
		return nil
	}
	if err != nil {
		return err
	}
	if !is.there && was.events == 0 {
		return nil // something else is kept under its name
	}
	report.Customers++
	report.Events += was.events
	if is.older() {
		report.Older++
	}
	found := compare(is, was)
	for i := range found {
		found[i].Customer = h.ref
	}
	absent, err := w.absent(ctx, h, is, was)
	if err != nil {
		return err
	}
	report.add(found...)
	report.add(absent...)
	if w.Target != nil && is.there {
		return write(ctx, w.Target, h, is, was)
	}
	return nil
}

// errMoving is for a customer that changed each time it was read.
var errMoving = errors.New("rebuild: it keeps changing")

// settled reads a customer and its events as of one moment: whatever changes either changes
// the head in the same transaction.
func (w *walk) settled(ctx context.Context, h holder) (*live, *life, error) {
	for range mostTries {
		is, was, err := w.read(ctx, h)
		if err != nil {
			return nil, nil, err
		}
		now, err := w.Tables.Get(ctx, h.key(headSort))
		switch {
		case errors.Is(err, fault.NotFound) && !is.there, err == nil && is.there && now.Revision == is.revision:
			return is, was, nil
		case err != nil && !errors.Is(err, fault.NotFound):
			return nil, nil, fmt.Errorf("rebuild: head: %w", err)
		}
	}
	return nil, nil, errMoving
}

const (
	mostItems = 1000 // of a page
	mostPages = 10_000
)

func (w *walk) read(ctx context.Context, h holder) (*live, *life, error) {
	is, was := newLive(), newLife()
	for _, part := range []struct {
		from, to string
		take     func(table.Item)
	}{{"#", "#~", is.read}, {eventSort, eventSort + "~", was.read}} {
		q := table.Query{Table: table.Customers, Partition: h.scope.Key(h.ref), From: part.from, To: part.to, Limit: mostItems}
		for page := range mostPages + 1 {
			if page == mostPages {
				return nil, nil, fmt.Errorf("rebuild: a customer of more than %d pages", mostPages)
			}
			got, err := w.Tables.Query(ctx, q)
			if err != nil {
				return nil, nil, fmt.Errorf("rebuild: customer: %w", err)
			}
			for _, item := range got.Items {
				part.take(item)
			}
			if q.After = got.Next; q.After == "" {
				break
			}
		}
	}
	return is, was, nil
}

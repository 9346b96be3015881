package delivery

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"grantline/shared/customer"
	"grantline/shared/fault"
	"grantline/shared/table"
)

// Letter is a dead letter: events in a row that an endpoint did not take in three days.
type Letter struct {
	Endpoint string    `json:"endpoint"`
	Customer string    `json:"customer"` // our own id
	From     int64     `json:"from"`     // numbers of the first event and of the last
	To       int64     `json:"to"`
	Status   int       `json:"status,omitempty"` // of the last answer, 0 if there was none
	At       time.Time `json:"at"`
}

func letterKey(scope table.Scope, l Letter) table.Key {
	return table.Key{Table: table.Endpoints, Partition: scope.Key("letter", l.Endpoint, l.Customer, strconv.FormatInt(l.From, 10))}
}

func lettersPartition(scope table.Scope, endpoint string) string {
	return scope.Key("letters", endpoint)
}

// writes are the letters as they are to be stored. One that is there already, of events that
// were told again since, gets the new one's end.
func letterWrites(ctx context.Context, tables table.Tables, scope table.Scope, letters []Letter) ([]table.Write, error) {
	var writes []table.Write
	for _, l := range letters {
		key := letterKey(scope, l)
		was, err := tables.Get(ctx, key)
		if err != nil && !errors.Is(err, fault.NotFound) {
			return nil, fmt.Errorf("delivery: dead letter: %w", err)
		}
		if err == nil {
			var before Letter
			if err := decode(was, &before); err != nil {
				return nil, err
			}
			l.To = max(l.To, before.To)
		}
		item, err := encode(key, was, l)
		if err != nil {
			return nil, err
		}
		item.Index = &table.Index{
			Partition: lettersPartition(scope, l.Endpoint),
			Sort:      l.At.UTC().Format(dueFormat) + "#" + l.Customer + "#" + strconv.FormatInt(l.From, 10),
		}
		writes = append(writes, table.Put(item))
	}
	return writes, nil
}

// letters reads a page of an endpoint's dead letters, the oldest first.
func (r *Registry) letters(ctx context.Context, scope table.Scope, id, after string, most int) (letters []Letter, items []table.Item, next string, err error) {
	page, err := r.Tables.Query(ctx, table.Query{
		Table: table.Endpoints, Indexed: true, Partition: lettersPartition(scope, id), Limit: most, After: after,
	})
	if err != nil || len(page.Items) == 0 {
		return nil, nil, "", err
	}
	keys := make([]table.Key, len(page.Items))
	for i, item := range page.Items {
		keys[i] = item.Key
	}
	if items, err = r.Tables.GetAll(ctx, keys); err != nil { // without those that are gone meanwhile
		return nil, nil, "", fmt.Errorf("delivery: dead letters: %w", err)
	}
	letters = make([]Letter, len(items))
	for i, item := range items {
		if err := decode(item, &letters[i]); err != nil {
			return nil, nil, "", err
		}
	}
	return letters, items, page.Next, nil
}

// Failure is a dead letter as the company sees it.
type Failure struct {
	CustomerID string // "" of one who was erased
	Letter
}

// Failures is a page of an endpoint's dead letters, the oldest first; next is "" on the last one.
// Errors: fault.NotFound; fault.Malformed for an after that is no page's next.
func (r *Registry) Failures(ctx context.Context, scope table.Scope, id, after string, most int) (failures []Failure, next string, err error) {
	if _, err := r.Get(ctx, scope, id); err != nil {
		return nil, "", err
	}
	letters, _, next, err := r.letters(ctx, scope, id, after, most)
	if errors.Is(err, fault.Malformed) {
		return nil, "", fault.New(fault.Malformed, "invalid_request", "after should be the next of the page before.")
	}
	if err != nil {
		return nil, "", err
	}
	names := map[string]string{}
	for _, l := range letters {
		name, known := names[l.Customer]
		if !known {
			c, err := customer.Outgoing(ctx, r.Tables, scope, l.Customer)
			if err == nil {
				name, _, err = c.Names(ctx, r.Tables)
			}
			if err != nil && !errors.Is(err, fault.NotFound) {
				return nil, "", err
			}
			names[l.Customer] = name
		}
		failures = append(failures, Failure{name, l})
	}
	return failures, next, nil
}

// mostRedriven bounds the dead letters of one Redrive.
const mostRedriven = 50

// Redrive has events be told again that were given up: of each customer, from the first of its
// dead letters on, and what came after it once more, so that what the receiver hears last is
// what happened last. It returns how many dead letters are gone and whether there are more.
// Errors: fault.NotFound.
func (r *Registry) Redrive(ctx context.Context, scope table.Scope, id string) (done int, more bool, err error) {
	e, err := r.Get(ctx, scope, id)
	if err != nil {
		return 0, false, err
	}
	letters, items, next, err := r.letters(ctx, scope, id, "", mostRedriven)
	if err != nil {
		return 0, false, err
	}
	first := map[string]int64{}
	gone := map[string][]table.Write{}
	var refs []string
	for i, l := range letters {
		if _, known := first[l.Customer]; !known {
			refs, first[l.Customer] = append(refs, l.Customer), l.From
		}
		first[l.Customer] = min(first[l.Customer], l.From)
		gone[l.Customer] = append(gone[l.Customer], table.Removed(items[i]))
	}
	for _, ref := range refs {
		err := again(ctx, r.Clock, func() error {
			for i, w := range gone[ref] {
				is, err := r.Tables.Get(ctx, w.Item.Key)
				if errors.Is(err, fault.NotFound) { // another redrive was first, and told of the same
					return nil
				}
				if err != nil {
					return err
				}
				gone[ref][i] = table.Removed(is)
			}
			return r.rewind(ctx, scope, e, ref, first[ref]-1, gone[ref]...)
		})
		if err != nil {
			return done, true, err
		}
		done += len(gone[ref])
	}
	return done, next != "", nil
}

// Replay has a customer's events after a number be told to an endpoint again, along with those
// before it that it was not told yet. The customer is
// named by any of the company's ids; each has its own events. Errors: fault.NotFound; fault.Invalid where the
// number is beyond the last event's.
func (r *Registry) Replay(ctx context.Context, scope table.Scope, id, ref string, after int64) error {
	e, err := r.Get(ctx, scope, id)
	if err != nil {
		return err
	}
	return again(ctx, r.Clock, func() error {
		return r.rewind(ctx, scope, e, ref, after)
	})
}

// rewind moves an endpoint back among a customer's events, along with other writes. One that
// is not as far yet goes on from where it is: nothing is passed over that it was never told.
func (r *Registry) rewind(ctx context.Context, scope table.Scope, e Endpoint, ref string, after int64, more ...table.Write) error {
	c, err := customer.Outgoing(ctx, r.Tables, scope, ref)
	if err != nil {
		return err
	}
	d, err := open(ctx, r.Tables, scope, e, c)
	if err != nil {
		return err
	}
	if after > c.Sequence() {
		return fault.New(fault.Invalid, "no_such_event", "after should be at most the number of the customer's last event, %d.", c.Sequence())
	}
	d.progress = d.rewound(min(after, d.Cursor), r.Clock.Now().UTC())
	return d.save(ctx, r.Tables, scope, more...)
}

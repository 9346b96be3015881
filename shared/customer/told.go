package customer

import (
	"context"
	"errors"
	"maps"
	"slices"

	"grantline/shared/event"
	"grantline/shared/fault"
	"grantline/shared/table"
)

// Told is an event as others see it: in the place of our own id of another customer there is
// the company's. It is the one shape in which an event leaves, by the API and by webhooks.
type Told struct {
	event.Event
	// OtherCustomerID is the company's first id of the other customer; "" once that one was
	// erased.
	OtherCustomerID string `json:"otherCustomerId,omitzero"`
}

// Told turns events of the customer's into what others see. Errors: fault.Unavailable.
func (c *Customer) Told(ctx context.Context, tables table.Tables, events []event.Event) ([]Told, error) {
	names := map[string]string{}
	told := make([]Told, len(events))
	for i, e := range events {
		told[i].Event = e
		if e.Other == "" {
			continue
		}
		name, known := names[e.Other]
		if !known {
			var err error
			if name, err = c.nameOf(ctx, tables, e.Other); err != nil {
				return nil, err
			}
			names[e.Other] = name
		}
		told[i].Other, told[i].OtherCustomerID = "", name
	}
	return told, nil
}

// NameOf is the company's id for whom ref was, "" where nothing says so any more. Errors:
// fault.Unavailable.
func NameOf(ctx context.Context, tables table.Tables, scope table.Scope, ref string) (string, error) {
	return (&Customer{scope: scope}).nameOf(ctx, tables, ref)
}

// nameOf is the company's id for whom ref was, "" if nothing says so any more.
func (c *Customer) nameOf(ctx context.Context, tables table.Tables, ref string) (string, error) {
	if name := c.Profile.Others[ref]; name != "" {
		return name, nil
	}
	o, err := Read(ctx, tables, c.scope, ref)
	if errors.Is(err, fault.NotFound) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	if o.Ref == ref {
		return o.Profile.ID, nil
	}
	return o.Profile.Others[ref], nil
}

// Names are the company's ids for the customer: the first one, "" of one who was erased, and
// all others, in order. Of a customer who was merged into another, the first is its own, and
// the others are those of whom it is now. Errors: fault.Unavailable.
func (c *Customer) Names(ctx context.Context, tables table.Tables) (first string, others []string, err error) {
	is := c
	first = c.Profile.ID
	if c.head.Into != "" {
		if is, err = Read(ctx, tables, c.scope, c.head.Into); err != nil {
			return "", nil, err
		}
		first = is.Profile.Others[c.Ref]
	}
	all := slices.Sorted(maps.Values(is.Profile.Others))
	if is != c && is.Profile.ID != "" {
		all = append([]string{is.Profile.ID}, all...)
	}
	for _, id := range all {
		if id != first && !slices.Contains(others, id) {
			others = append(others, id)
		}
	}
	return first, others, nil
}

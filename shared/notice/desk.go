package notice

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"grantline/shared/clock"
	"grantline/shared/fault"
	"grantline/shared/table"
)

const (
	// pause is the least time between two looks that unsigned hints at one order can bring
	// about. A customer knows the ids of its own orders, and could send them for ever.
	pause = time.Minute
	// skew is how far the clocks of two functions may be apart.
	skew = time.Second
	// mostTries bounds how often a write starts anew because another came between.
	mostTries = 5
	// shortPause is between two of them, once for the first and so on.
	shortPause = 20 * time.Millisecond
)

// Looker looks at what a hint points to, at the gateway or store, and brings our records
// up to date with what is found. It may be called any number of times for the same hint.
type Looker interface {
	// LookAgain reports false where what the hint is about is not ours. Errors:
	// fault.Unavailable when the truth could not be found out.
	LookAgain(ctx context.Context, h Hint) (applied bool, err error)
}

// Desk receives hints from the queue.
type Desk struct {
	Tables table.Tables
	Clock  clock.Clock
	Log    *slog.Logger
	Look   map[string]Looker // by provider
}

// Receive writes a notice down, looks, and writes down what became of it. It may be
// repeated at any time. An error makes the message come again; fault.Unavailable is an
// outage or a wait, and anything else a bug.
//
// A hint that is not signed is nobody's word: unless it names an order of ours that was
// charged through that provider, nothing is kept and nobody is asked, and of what it says
// nothing counts but the order.
func (d *Desk) Receive(ctx context.Context, h Hint) error {
	if err := h.check(); err != nil {
		return err
	}
	looker, ok := d.Look[h.Provider]
	if !ok {
		return fault.New(fault.Unavailable, "provider_not_configured", "%s is not configured.", h.Provider)
	}
	begin := d.begin
	if !h.Signed {
		h.Payment, h.Mandate, h.Subscription, h.Line = "", "", "", ""
		if ours, err := d.ours(ctx, h); err != nil || !ours {
			return err
		}
		begin = d.beginUnsigned
	}
	n, item, look, err := begin(ctx, h)
	if err != nil || !look {
		return err
	}
	n.LookedAt = d.Clock.Now()
	applied, err := looker.LookAgain(ctx, h)
	switch {
	case err != nil:
		n.State, n.Detail = Received, fault.Code(err)
	case applied:
		n.State, n.Detail = Applied, ""
	default:
		n.State, n.Detail = Unknown, ""
		d.Log.InfoContext(ctx, "A notice is about nothing of ours.", "provider", n.Provider, "notice", n.ID, "type", n.Type)
	}
	return errors.Join(err, d.end(ctx, n, item))
}

// ours says whether an unsigned hint names an order that was charged through its provider.
func (d *Desk) ours(ctx context.Context, h Hint) (bool, error) {
	if h.Order == "" {
		return false, nil
	}
	item, err := d.Tables.Get(ctx, table.Key{Table: table.Orders, Partition: h.Scope().Key(h.Order)})
	if errors.Is(err, fault.NotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("notice: order: %w", err)
	}
	var order struct {
		Gateway string `json:"gateway"`
	}
	if err := json.Unmarshal(item.Data, &order); err != nil {
		return false, fmt.Errorf("notice: an item that is no order: %w", err)
	}
	return order.Gateway == h.Provider, nil
}

// begin writes a signed notice down, and says whether to look: not at what was applied,
// and not where nothing is named.
func (d *Desk) begin(ctx context.Context, h Hint) (n Notice, item table.Item, look bool, err error) {
	err = d.again(ctx, func() error {
		n, item, _, err = d.place(ctx, h.notice(d.Clock.Now()))
		look = n.State != Applied && h.Names()
		return err
	})
	return n, item, look, err
}

// beginUnsigned notes that there will be a look, before it, so that others wait for their
// turn. One hint waits at most: its look comes after whatever the others were about.
func (d *Desk) beginUnsigned(ctx context.Context, h Hint) (n Notice, item table.Item, look bool, err error) {
	err = d.again(ctx, func() error {
		now := d.Clock.Now()
		fresh := h.notice(now)
		fresh.LookedAt = now
		if n, item, look, err = d.place(ctx, fresh); err != nil || look {
			return err
		}
		switch age := now.Sub(n.LookedAt); {
		case n.State != Received && !h.At.IsZero() && h.At.Before(n.LookedAt.Add(-skew)):
			return nil // a look that began after it came in has seen what it is about
		case age >= pause || age < 0:
			n, look = fresh, true
			item, err = d.put(ctx, n, item)
			return err
		case n.Waiting == "":
			n.Waiting = h.ID
			if item, err = d.put(ctx, n, item); err != nil {
				return err
			}
		case n.Waiting != h.ID:
			return nil
		}
		return fault.New(fault.Unavailable, "looked_just_now", "This order was looked at within the last minute.")
	})
	return n, item, look, err
}

// place writes a notice where there is none, or reads the one that is there.
func (d *Desk) place(ctx context.Context, fresh Notice) (n Notice, item table.Item, isNew bool, err error) {
	item, err = d.put(ctx, fresh, table.Item{})
	c, ok := errors.AsType[*table.Conflict](err)
	if !ok || c.Found[0] == nil {
		return fresh, item, err == nil, err
	}
	if item = *c.Found[0]; item.Expired(d.Clock.Now()) {
		item, err = d.put(ctx, fresh, item)
		return fresh, item, err == nil, err
	}
	n, err = decode(item, fresh.Scope)
	return n, item, false, err
}

// put writes a notice over the item that was read, and returns it as it then is.
func (d *Desk) put(ctx context.Context, n Notice, read table.Item) (table.Item, error) {
	item, err := n.item(read, d.Clock.Now())
	if err != nil {
		return table.Item{}, err
	}
	err = d.Tables.Commit(ctx, table.Put(item))
	item.Revision++
	return item, err
}

// end writes down what became of a notice, unless it is there already. What was applied
// stays so, but for an order's, where each look is about something new.
func (d *Desk) end(ctx context.Context, n Notice, item table.Item) error {
	return d.again(ctx, func() error {
		is, err := decode(item, n.Scope)
		if err != nil {
			return err
		}
		if is.State == Applied && is.Signed || is.State == n.State && is.Detail == n.Detail {
			return nil
		}
		is.State, is.Detail, is.LookedAt = n.State, n.Detail, n.LookedAt
		_, err = d.put(ctx, is, item)
		if c, ok := errors.AsType[*table.Conflict](err); ok && c.Found[0] != nil {
			item = *c.Found[0]
		}
		return err
	})
}

// again repeats a step while other writes come between.
func (d *Desk) again(ctx context.Context, step func() error) error {
	for try := range mostTries {
		err := step()
		if !errors.As(err, new(*table.Conflict)) {
			return err
		}
		if err := d.Clock.Sleep(ctx, time.Duration(try+1)*shortPause); err != nil {
			break
		}
	}
	return fault.New(fault.Unavailable, "busy", "Too much happened to this notice at once.")
}

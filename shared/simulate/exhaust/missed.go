package exhaust

import (
	"context"
	"strconv"
	"time"

	"grantline/shared/fault"
	"grantline/shared/notice"
	"grantline/shared/simulate"
)

// history is a store's memory of the one notice that it could not deliver.
type history struct {
	*selling
	at     time.Time // when that was sent
	failed bool      // the store knows by now that it did not arrive
	// full is until when the queue takes nothing.
	full  time.Time
	taken int // hints that the queue took
}

var _ notice.History = (*history)(nil)

// Name is that of the only environment.
func (*history) Name() string { return "Production" }

// Keeps is how long the App Store remembers.
func (*history) Keeps() time.Duration { return 180 * 24 * time.Hour }

// Missed gives the notice if it is one of those that are asked for.
func (h *history) Missed(_ context.Context, from, to time.Time, _ string) (hints []notice.Hint, next string, err error) {
	err = h.call("history", false, func() {
		if h.failed && !h.at.Before(from) && h.at.Before(to) {
			hints = []notice.Hint{{ID: "notice-1", Evidence: evidence}}
		}
	})
	if err == nil {
		h.Answered(false, "missed", strconv.Itoa(len(hints)))
	}
	return hints, "", err
}

// Send takes hints to the queue of notices, or does not.
func (h *history) Send(_ context.Context, _ string, hints []notice.Hint) (sent int, err error) {
	fate := h.Call("queue", "send", "notices", true)
	if !h.World.Now().Before(h.full) && (fate == simulate.Fine || fate == simulate.Unheard) {
		sent = len(hints)
		h.taken += sent
	}
	effect := sent > 0
	if fate != simulate.Fine {
		sent = 0
	}
	h.Answered(effect, fate.String())
	h.World.Crossed()
	if sent < len(hints) {
		return sent, fault.New(fault.Unavailable, "unavailable", "The queue did not take it.")
	}
	return sent, nil
}

// missing are sets of a refund whose notice did not arrive, and of the daily reading of what
// did not.
func missing() []*Set {
	set := func(name string, race func(h *history)) *Set {
		return &Set{Name: name, Faults: 1, Calls: 1, Stage: func(p *Path) {
			s := owned["apple"]().staged(p, "apple")
			h := &history{selling: s, at: p.World.Now().Add(-time.Minute)}
			s.Path.State(func(print *Print) {
				s.counter.print(print)
				print.Text(s.owner)
				print.Bool(h.failed)
				print.Number(uint64(h.taken)) //nolint:gosec // they are few
			})
			s.Path.Settle(h.rest)
			race(h)
		}}
	}
	return []*Set{
		set("missed-known-late", func(h *history) {
			h.fails("refund")
			h.reads("reading")
			h.reads("second reading")
		}),
		set("missed-queue-full", func(h *history) {
			h.full = h.World.Now().Add(50 * time.Hour)
			h.fails("refund")
			h.reads("reading")
		}),
	}
}

// fails is the customer, who gets the money back, and the notice of it, which does not arrive.
func (h *history) fails(name string) {
	h.Race(name, func(context.Context) error {
		h.Happen("the store gives the money back, and its notice is lost", func() {
			h.giveBack()
			h.failed = true
		})
		return nil
	})
}

// catch reads what was missed.
func (h *history) catch(ctx context.Context) (time.Time, error) {
	m := notice.Missed{Tables: h.Tables, Queue: h, Clock: h.Clock(), Log: silent}
	return m.Catch(ctx, scope, h.counter.name, h)
}

func (h *history) reads(name string) {
	h.Race(name, func(ctx context.Context) error {
		_, err := h.catch(ctx)
		return err
	})
}

// rest reads for some days, and hands on what the queue took.
func (h *history) rest() {
	ctx := context.Background()
	for end := h.World.Now().Add(5 * 24 * time.Hour); h.World.Now().Before(end) && h.World.Violated() == nil; {
		next, err := h.catch(ctx)
		if err != nil {
			next = h.World.Now().Add(6 * time.Hour)
		}
		for ; h.taken > 0; h.taken-- {
			if err := h.hear(ctx); err != nil {
				h.Fail("nothing is stuck", "a notice fails at rest: %v", err)
			}
		}
		h.until(maxOf(next, h.World.Now().Add(time.Second)))
	}
	h.selling.rest()
}

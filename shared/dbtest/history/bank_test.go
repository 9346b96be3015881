package history_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"grantline/shared/billing"
	"grantline/shared/dbtest/history"
	"grantline/shared/fault"
)

// bank is a gateway that takes an order's money once, keeps what it said of it, and whose
// requests and answers are lost at times. What really happens to money is recorded as it
// happens.
type bank struct {
	moves *history.History
	dice  *dice
	often int // a loss in that many; 0 for none
	still func() bool
	// forgetful takes what is sent again for another order, and finds none.
	forgetful bool

	mu       sync.Mutex
	said     map[string]billing.Outcome  // of charges, by order
	returned map[string]billing.Refunded // by key
	taken    map[string]int              // how often, by order
}

func newBank(moves *history.History, d *dice, often int, still func() bool) *bank {
	return &bank{
		moves: moves, dice: d, often: often, still: still,
		said: map[string]billing.Outcome{}, returned: map[string]billing.Refunded{}, taken: map[string]int{},
	}
}

var _ billing.Cards = (*bank)(nil)

func (b *bank) lost() bool { return b.often > 0 && !b.still() && b.dice.in(b.often) }

// travel is the way of a request, on which much may happen elsewhere.
func (b *bank) travel() {
	if !b.still() && b.dice.in(2) {
		time.Sleep(time.Duration(b.dice.below(20_000)) * time.Microsecond)
	}
}

func (*bank) Repeats() bool { return true }

func (*bank) Issue(_ context.Context, r billing.Registration) (billing.Card, error) {
	return billing.Card{BillingKey: "key of " + r.AuthKey, CustomerKey: r.CustomerKey, Number: "1234****"}, nil
}

func (*bank) Forget(context.Context, billing.Card) error { return nil }

func (*bank) Compose(r billing.Request) ([]byte, error) { return json.Marshal(r) }

func (b *bank) Charge(_ context.Context, order string, _ billing.Card, body []byte) billing.Outcome {
	b.travel()
	if b.lost() {
		return billing.Outcome{Result: billing.Unclear}
	}
	var r billing.Request
	if err := json.Unmarshal(body, &r); err != nil || r.OrderID != order {
		return billing.Outcome{Result: billing.NotMade, Code: "MALFORMED", Misconfigured: true}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, known := b.said[order]; !known || b.forgetful {
		began := b.moves.Begin()
		if r.Attempt == 1 && b.often > 0 && !b.still() && b.dice.in(3) {
			b.said[order] = billing.Outcome{Result: billing.Refused, Code: "INSUFFICIENT_FUNDS", Class: billing.Soft}
			b.moves.Ended(began, move{order: order, kind: declined}, nothing)
		} else {
			b.taken[order]++
			b.said[order] = billing.Outcome{Result: billing.Taken, Payment: billing.Payment{
				Key: "pay_" + order, Amount: r.Amount.Units, Currency: r.Amount.Currency, ApprovedAt: noon,
			}}
			b.moves.Ended(began, move{order: order, kind: taken}, nothing)
		}
	}
	if b.lost() {
		return billing.Outcome{Result: billing.Unclear}
	}
	return b.said[order]
}

func (b *bank) Find(_ context.Context, order string, _ billing.Want) billing.Outcome {
	if b.lost() {
		return billing.Outcome{Result: billing.Unclear}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if o := b.said[order]; o.Result == billing.Taken && !b.forgetful {
		return o
	}
	return billing.Outcome{Result: billing.Absent, Code: "NOT_FOUND_PAYMENT"}
}

func (b *bank) Refund(_ context.Context, r billing.Refunding) billing.Refunded {
	b.travel()
	if b.lost() {
		return billing.Refunded{Result: billing.Unclear}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, known := b.returned[r.Key]; !known {
		began := b.moves.Begin()
		b.returned[r.Key] = billing.Refunded{Result: billing.Taken, Transaction: "tx_" + r.Key}
		b.moves.Ended(began, move{order: r.OrderID, kind: given, reference: r.Reason}, nothing)
	}
	if b.lost() {
		return billing.Refunded{Result: billing.Unclear}
	}
	return b.returned[r.Key]
}

func (b *bank) FindRefund(_ context.Context, r billing.Refunding) billing.Refunded {
	b.mu.Lock()
	defer b.mu.Unlock()
	if was, known := b.returned[r.Key]; known {
		return was
	}
	return billing.Refunded{Result: billing.Absent}
}

func (*bank) Statement(context.Context, time.Time, time.Time, string) ([]billing.Entry, string, error) {
	return nil, "", fault.New(fault.Unavailable, "gateway_unavailable", "There is no statement.")
}

// bound is a sealer that hides nothing, and opens only what was sealed for the same purpose.
type bound struct {
	mu sync.Mutex
	n  int
}

// Seal never seals two alike, as no sealer does.
func (b *bound) Seal(_ context.Context, plain, to []byte) ([]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.n++
	return json.Marshal(sealed{b.n, plain, to})
}

func (*bound) Open(_ context.Context, text, to []byte) ([]byte, error) {
	var s sealed
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	if string(s.Bound) != string(to) {
		return nil, errors.New("seal: for another purpose")
	}
	return s.Plain, nil
}

type sealed struct {
	N            int
	Plain, Bound []byte
}

// outgoing is a queue of wake-ups.
type outgoing struct{ messages []billing.Due }

func (o *outgoing) Send(_ context.Context, _ string, messages []billing.Due) (int, error) {
	o.messages = append(o.messages, messages...)
	return len(messages), nil
}

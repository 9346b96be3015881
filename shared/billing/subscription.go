package billing

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"strconv"
	"time"

	"grantline/shared/catalog"
	"grantline/shared/entitlement"
	"grantline/shared/event"
	"grantline/shared/money"
	"grantline/shared/schedule"
	"grantline/shared/table"
)

// State is how an agreement stands.
type State string

// The states.
const (
	StatePending   State = "pending"   // its first charge is not settled yet
	StateActive    State = "active"    // paid
	StatePastDue   State = "past_due"  // declined, and attempts remain
	StateUnpaid    State = "unpaid"    // automatic attempts are over; a new card revives it
	StateCancelled State = "cancelled" // over
)

// Step is what a subscription's next wake-up is for.
type Step string

// The steps. A subscription without one sleeps for good.
const (
	StepNone     Step = ""
	StepRegister Step = "register" // turn the authKey into a billing key
	StepCharge   Step = "charge"   // make the next attempt
	StepRemind   Step = "remind"   // tell the customer that an attempt is coming
	StepResolve  Step = "resolve"  // find out what became of the attempt
)

// Terms are what was agreed at the sign-up; a later change of the plan does not move them.
type Terms struct {
	Entitlement             string         `json:"entitlement"`
	Name                    string         `json:"name"`
	Price                   money.Amount   `json:"price"`
	TaxFree                 int64          `json:"taxFree,omitempty"`
	Cycle                   schedule.Cycle `json:"cycle"`
	Zone                    string         `json:"zone"`
	Grace                   bool           `json:"grace,omitempty"`
	RepeatInsufficientFunds bool           `json:"repeatInsufficientFunds,omitempty"`
	AfterLastAttempt        catalog.End    `json:"afterLastAttempt"`
}

func termsOf(p catalog.Plan) Terms {
	return Terms{
		Entitlement: p.Entitlement, Name: p.Name, Price: p.Price, TaxFree: p.TaxFree, Cycle: p.Cycle, Zone: p.Zone,
		Grace: p.Grace, RepeatInsufficientFunds: p.RepeatInsufficientFunds, AfterLastAttempt: p.AfterLastAttempt,
	}
}

// Subscription is an agreement that we charge for. Its methods are pure.
type Subscription struct {
	ID       string `json:"id"`
	Customer string `json:"customer"` // our id
	Gateway  string `json:"gateway"`
	Plan     string `json:"plan"`
	Terms    Terms  `json:"terms"`
	// Request is a hash of what was asked at the creation, without the authKey: the same id
	// with another one is a conflict.
	Request string    `json:"request"`
	State   State     `json:"state"`
	Anchor  time.Time `json:"anchor"`  // the instant of the sign-up, to which all dates go back
	Period  int       `json:"period"`  // the one to be paid next, from 0
	Attempt int       `json:"attempt"` // the one to be made next, from 1
	// NextDueAt is the instant of that attempt, zero if there will be none.
	NextDueAt time.Time `json:"nextDueAt,omitzero"`
	PaidUntil time.Time `json:"paidUntil,omitzero"`
	LastCode  string    `json:"lastCode,omitempty"` // of the decline before, if it says something about the card
	Reminded  int       `json:"reminded,omitempty"` // the attempt that the customer was told of
	Step      Step      `json:"step,omitempty"`
	WakeAt    time.Time `json:"wakeAt,omitzero"`
	Tries     int       `json:"tries,omitempty"` // of the registration, so far

	CustomerKey string `json:"customerKey"`
	AuthKey     []byte `json:"-"`              // sealed; gone once it was used
	BillingKey  []byte `json:"-"`              // sealed
	Card        string `json:"card,omitempty"` // masked
	Issuer      string `json:"issuer,omitempty"`
	// Refusal is set where no billing key was to be had; the id may then be used again.
	Refusal string `json:"refusal,omitempty"`
}

const schema = 1

// calendar never fails on a subscription that was made by newSubscription.
func (s Subscription) calendar() schedule.Schedule {
	c, err := schedule.New(s.Anchor, s.Terms.Zone, s.Terms.Cycle)
	if err != nil {
		panic(fmt.Sprintf("billing: subscription %s has a calendar that cannot be: %v", s.ID, err))
	}
	return c
}

// ended says that no attempt will be made of itself any more.
func (s Subscription) ended() bool {
	switch s.State {
	case StateUnpaid, StateCancelled:
		return true
	case StatePending, StateActive, StatePastDue:
	}
	return false
}

// chargeable says whether an attempt may be made at all.
func (s Subscription) chargeable() bool { return !s.ended() && len(s.BillingKey) > 0 }

// lapsed says that the next period is due already, so that this one is not asked for any
// more: two periods are never charged at once.
func (s Subscription) lapsed(now time.Time) bool {
	return !now.Before(s.calendar().Due(s.Period + 1))
}

// due says whether the attempt may be made at now.
func (s Subscription) due(now time.Time) bool {
	return s.chargeable() && !s.NextDueAt.IsZero() && !now.Before(s.NextDueAt) && !s.lapsed(now) &&
		(s.Attempt == 1 || s.Reminded == s.Attempt)
}

// wake sets what is next, and never an instant that is gone: the due index is read by a
// cursor, and nothing may be put in behind it.
func (s Subscription) wake(step Step, at, now time.Time) Subscription {
	if at.Before(now) {
		at = now
	}
	s.Step, s.WakeAt = step, at
	return s
}

func (s Subscription) sleep() Subscription {
	s.Step, s.WakeAt, s.NextDueAt = StepNone, time.Time{}, time.Time{}
	return s
}

// paid is the subscription after the money of its period was taken.
func (s Subscription) paid(now time.Time) (Subscription, event.Type) {
	kind := event.SubscriptionRenewed
	switch {
	case s.PaidUntil.IsZero():
		kind = event.SubscriptionActivated
	case s.Attempt > 1:
		kind = event.SubscriptionRecovered
	}
	s = s.next(now)
	s.State, s.PaidUntil = StateActive, s.NextDueAt
	return s, kind
}

// next goes on to the period after.
func (s Subscription) next(now time.Time) Subscription {
	s.Period, s.Attempt, s.LastCode, s.Reminded = s.Period+1, 1, "", 0
	s.NextDueAt = s.calendar().Due(s.Period)
	return s.wake(StepCharge, s.NextDueAt, now)
}

// remindBefore is how long before an attempt the customer is told of it: a full day, and
// what a wake-up may be late by.
const remindBefore = 24*time.Hour + 2*time.Minute

// insufficientFunds are the codes that say that the account was empty and nothing else.
var insufficientFunds = map[string]bool{"INSUFFICIENT_FUNDS": true}

// declined is the subscription after a definite decline of its attempt (the safe retry
// policy: never after a hard decline, never after the same decline twice, at most four
// attempts, none once the next period is due).
func (s Subscription) declined(code string, class Class, now time.Time) (Subscription, event.Type) {
	same := code != "" && code == s.LastCode && class == Soft && !(s.Terms.RepeatInsufficientFunds && insufficientFunds[code])
	if class != Passing {
		s.LastCode = code
	}
	if class != Hard && !same {
		for attempt := s.Attempt + 1; ; attempt++ {
			at, ok := s.calendar().Attempt(s.Period, attempt)
			if !ok {
				break
			}
			if !at.After(now) {
				continue // this one was late by more than the pause after it
			}
			s.State, s.Attempt, s.NextDueAt = StatePastDue, attempt, at
			return s.wake(StepRemind, at.Add(-remindBefore), now), event.ChargeDeclined
		}
	}
	s = s.sleep()
	if s.Terms.AfterLastAttempt == catalog.Cancelled {
		s.State = StateCancelled
		return s, event.SubscriptionCancelled
	}
	s.State = StateUnpaid
	return s, event.SubscriptionUnpaid
}

// reminded is the subscription after its customer was told of the attempt.
func (s Subscription) reminded(now time.Time) Subscription {
	s.Reminded = s.Attempt
	return s.wake(StepCharge, s.NextDueAt, now)
}

// source is what the subscription gives its customer.
func (s Subscription) source(orderID string) entitlement.Source {
	e := entitlement.Source{
		Kind: "subscription", Provider: s.Gateway, Ref: s.ID, Entitlement: s.Terms.Entitlement, ProductID: s.Plan,
		OrderID: orderID, Until: s.PaidUntil,
	}
	switch s.State {
	case StateActive:
		// A renewal that is due and not yet declined ends nothing.
		e.State, e.Open, e.WillRenew = entitlement.Active, true, true
	case StatePastDue:
		e.State, e.WillRenew = entitlement.OnHold, true
		if s.Terms.Grace && !s.PaidUntil.IsZero() {
			e.State, e.Open = entitlement.Grace, true
		}
	case StatePending:
		e.State = entitlement.OnHold
	case StateUnpaid, StateCancelled:
		e.State = entitlement.Ended
	}
	return e
}

// --- as an item ---

func key(scope table.Scope, id string) table.Key {
	return table.Key{Table: table.Subscriptions, Partition: scope.Key(id)}
}

// Shards is how many partitions each gateway's due index has. It may grow, never shrink.
type Shards int

// shardOf spreads subscriptions evenly.
func (n Shards) of(id string) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(id))
	return int(h.Sum32() % uint32(n)) //nolint:gosec // between 1 and 64 by configuration
}

func duePartition(scope table.Scope, gateway string, shard int) string {
	return scope.Key(gateway, strconv.Itoa(shard))
}

// dueSort orders by instant, to the second and never before it.
func dueSort(at time.Time, id string) string {
	if at = at.UTC(); at.Nanosecond() > 0 {
		at = at.Truncate(time.Second).Add(time.Second)
	}
	return at.Format(time.RFC3339) + "#" + id
}

func dueAt(sort string) (time.Time, error) {
	if len(sort) < len("2006-01-02T15:04:05Z") {
		return time.Time{}, fmt.Errorf("billing: %q does not begin with an instant", sort)
	}
	return time.Parse(time.RFC3339, sort[:len("2006-01-02T15:04:05Z")])
}

// item is the subscription as it is to be stored over the one that was read.
func (s Subscription) item(read table.Item, scope table.Scope, shards Shards) (table.Item, error) {
	data, err := json.Marshal(s)
	read.Key, read.Schema, read.Data, read.Sealed, read.Index = key(scope, s.ID), schema, data, joined(s.AuthKey, s.BillingKey), nil
	if s.Step != StepNone {
		read.Index = &table.Index{Partition: duePartition(scope, s.Gateway, shards.of(s.ID)), Sort: dueSort(s.WakeAt, s.ID)}
	}
	return read, err
}

// decodeSubscription reads a subscription from its item.
func decodeSubscription(item table.Item) (Subscription, error) {
	var s Subscription
	if err := decode(item, &s); err != nil {
		return s, err
	}
	var err error
	s.AuthKey, s.BillingKey, err = parted(item.Sealed)
	return s, err
}

// joined puts two values into one, the first with its length before it; nil if both are
// empty.
func joined(first, second []byte) []byte {
	if len(first)+len(second) == 0 {
		return nil
	}
	both := binary.AppendUvarint(nil, uint64(len(first)))
	return append(append(both, first...), second...)
}

// parted is the inverse of joined.
func parted(both []byte) (first, second []byte, err error) {
	if len(both) == 0 {
		return nil, nil, nil
	}
	n, width := binary.Uvarint(both)
	if width <= 0 {
		return nil, nil, errors.New("billing: a sealed value is cut short")
	}
	rest := both[width:]
	if n > uint64(len(rest)) {
		return nil, nil, errors.New("billing: a sealed value is cut short")
	}
	return rest[:n], rest[n:], nil
}

func decode(item table.Item, into any) error {
	if item.Schema > schema {
		return fmt.Errorf("billing: item of schema %d, newer than this code's %d", item.Schema, schema)
	}
	if err := json.Unmarshal(item.Data, into); err != nil {
		return fmt.Errorf("billing: item %s: %w", item.Key.Partition, err)
	}
	return nil
}

package billing

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"grantline/shared/table"
)

// ChargeKind tells a charge from a purchase's order in the orders table.
const ChargeKind = "charge"

// ChargeState is how one attempt stands.
type ChargeState string

// The states. Paid and Declined never change into one another; see doc.go.
const (
	Sending  ChargeState = "sending"
	Unknown  ChargeState = "unknown"
	Paid     ChargeState = "paid"
	Declined ChargeState = "declined"
	Void     ChargeState = "void" // surely not executed; may be made again
)

// Charge is one attempt to take money: of one period, or as much as was asked for on
// demand. It is an order of ours.
type Charge struct {
	ID           string      `json:"id"`
	Kind         string      `json:"kind"` // ChargeKind
	Customer     string      `json:"customer"`
	Gateway      string      `json:"gateway"`
	Subscription string      `json:"subscription"`
	Plan         string      `json:"plan"`
	Period       int         `json:"period"`
	Attempt      int         `json:"attempt"`
	OnDemand     bool        `json:"onDemand,omitempty"` // of no period
	Name         string      `json:"name,omitempty"`     // of one on demand: what the customer reads, "" for the plan's name
	State        ChargeState `json:"state"`
	Amount       int64       `json:"amount"`
	Currency     string      `json:"currency"`
	Refunded     int64       `json:"refunded,omitempty"` // of Amount, given back for good
	Refunds      []Refund    `json:"refunds,omitempty"`  // oldest first
	DueAt        time.Time   `json:"dueAt"`
	SentAt       time.Time   `json:"sentAt,omitzero"` // first
	SettledAt    time.Time   `json:"settledAt,omitzero"`
	Code         string      `json:"code,omitempty"`   // of a decline, or of the last unclear answer
	Class        Class       `json:"class,omitempty"`  // of a decline
	Method       string      `json:"method,omitempty"` // Outcome.Method of a decline
	Payment      *Payment    `json:"payment,omitempty"`

	// Cards is how many others had taken the place of the first card when it was claimed.
	Cards int `json:"cards,omitempty"`
	// Lease is until when whoever sent last may still be at it.
	Lease time.Time `json:"lease,omitzero"`
	// LastSentAt and Sends count what went out under this order.
	LastSentAt time.Time `json:"lastSentAt,omitzero"`
	Sends      int       `json:"sends,omitempty"`
	// Unsure says that a send before the last one may have taken money, so that what is
	// surely true of the last decides nothing.
	Unsure bool `json:"unsure,omitempty"`
	// Final says that the gateway will answer the last send the same for ever.
	Final bool `json:"final,omitempty"`
	// AbsentSince is since when look-ups have found no payment after the last send.
	AbsentSince time.Time `json:"absentSince,omitzero"`
	Round       int       `json:"round,omitempty"` // of one on demand: Request.Round
	// LookAt, of one on demand, is when to look at it again; that of a period is looked at by
	// its subscription. Of either that was paid, it is when to hold it against the gateway's books.
	LookAt time.Time `json:"lookAt,omitzero"`
	// Sealed is the card and the exact body, for a resend must have the same bytes. It is
	// dropped when the charge closes.
	Sealed []byte `json:"-"`
}

// scheduledPrefix begins the ids of our own orders.
const scheduledPrefix = "gl_"

// OrderID of a scheduled attempt follows from what it is for, so that whoever makes it,
// however often, makes the same order: "gl_" and a hash.
func OrderID(scope table.Scope, subscription string, period, attempt int) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s|%s|%s|%d|%d", scope.Project, scope.Environment, subscription, period, attempt))
	return scheduledPrefix + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:])[:32])
}

// DecodeCharge reads a charge from its order's item. Of another's order, whose schema is its
// own, it reads the id and the kind alone.
func DecodeCharge(item table.Item) (Charge, error) {
	if item.Schema > schema {
		var order struct {
			ID   string `json:"id"`
			Kind string `json:"kind"`
		}
		if err := json.Unmarshal(item.Data, &order); err == nil && order.Kind != "" && order.Kind != ChargeKind {
			return Charge{ID: order.ID, Kind: order.Kind}, nil
		}
	}
	c := Charge{Sealed: item.Sealed}
	err := decode(item, &c)
	return c, err
}

func orderKey(scope table.Scope, id string) table.Key {
	return table.Key{Table: table.Orders, Partition: scope.Key(id)}
}

func (c Charge) item(read table.Item, scope table.Scope) (table.Item, error) {
	data, err := json.Marshal(c)
	read.Key, read.Schema, read.Data, read.Sealed = orderKey(scope, c.ID), schema, data, c.Sealed
	if c.OnDemand {
		// Those of periods are found by their ids, and need no index.
		read.Index = &table.Index{Partition: scope.Key(c.Subscription), Sort: dueSort(c.DueAt, c.ID)}
	}
	return read, err
}

// open says that money may still move under it.
func (c Charge) open() bool { return c.State == Sending || c.State == Unknown }

// settled says that its outcome is known for good.
func (c Charge) settled() bool { return c.State == Paid || c.State == Declined }

// sending is the charge as it is written before its body goes out.
func (c Charge) sending(now time.Time, lease time.Duration) Charge {
	if c.SentAt.IsZero() {
		c.SentAt = now
	}
	c.Unsure = c.Unsure || c.open()
	c.State, c.LastSentAt, c.Lease, c.AbsentSince, c.Final = Sending, now, now.Add(lease), time.Time{}, false
	c.Sends++
	return c
}

// after is the charge with the answer to a send. An answer that decides nothing leaves it
// unknown.
func (c Charge) after(o Outcome, now time.Time) Charge {
	c.Lease = time.Time{}
	switch o.Result {
	case Taken:
		c.State, c.SettledAt, c.Payment, c.Code, c.Sealed = Paid, now, &o.Payment, "", nil
	case Refused:
		c.State, c.SettledAt, c.Code, c.Class, c.Method, c.Sealed = Declined, now, o.Code, o.Class, o.Method, nil
	case NotMade:
		if c.Unsure {
			c.State, c.Code = Unknown, o.Code
			break
		}
		c = c.void(o.Code)
	case Accepted:
		c = c.accepted(o.Payment.Key)
	case Unclear, Absent:
		c.State, c.Code, c.Final = Unknown, o.Code, o.Final
	}
	return c
}

// accepted is the charge once the gateway has said which payment of its own it is.
func (c Charge) accepted(payment string) Charge {
	c.State, c.Code, c.Lease, c.AbsentSince, c.Payment = Sending, "", time.Time{}, time.Time{}, &Payment{Key: payment}
	return c
}

// unspent is what the gateway says of an open order without the payments that are being given
// back, or were: they turned up while it counted as not made, and do not pay it. Nor does one that
// was given back whole elsewhere, beside one that was not.
func (c Charge) unspent(o Outcome) Outcome {
	if !c.open() || o.Result != Taken {
		return o
	}
	gone := func(p Payment) bool { return p.Amount > 0 && p.Returned >= p.Amount }
	left := slices.DeleteFunc(append([]Payment{o.Payment}, o.Others...), func(p Payment) bool {
		refused := func(r Refund) bool { return r.Stray == p.Key } // since somebody else was first
		return c.spent(p.Key) || gone(p) && slices.ContainsFunc(c.Refunds, refused)
	})
	if slices.ContainsFunc(left, func(p Payment) bool { return !gone(p) }) {
		left = slices.DeleteFunc(left, gone)
	}
	if len(left) == 0 {
		return Outcome{Result: Absent}
	}
	o.Payment, o.Others = left[0], left[1:]
	return o
}

// strays are the payments of the order that are being given back, or were, while it counted as not
// made.
func (c Charge) strays() (keys []string) {
	for _, r := range c.Refunds {
		if r.Stray != "" && r.State != RefundRefused {
			keys = append(keys, r.Stray)
		}
	}
	return keys
}

func (c Charge) spent(payment string) bool { return slices.Contains(c.strays(), payment) }

// key of the gateway's payment, "" if it is not known.
func (c Charge) key() string {
	if c.Payment == nil {
		return ""
	}
	return c.Payment.Key
}

// settledAs is the charge, as somebody else wrote it, with the final outcome of ours.
func (c Charge) settledAs(ours Charge) Charge {
	c.State, c.SettledAt, c.Code, c.Class, c.Payment = ours.State, ours.SettledAt, ours.Code, ours.Class, ours.Payment
	c.Method, c.Lease, c.Sealed = ours.Method, time.Time{}, nil
	return c
}

// void is the charge once it is sure that nothing under it was executed.
func (c Charge) void(code string) Charge {
	c.State, c.Code, c.Sealed, c.Lease, c.Unsure = Void, code, nil, time.Time{}, false
	return c
}

// The look-ups of an unknown outcome, counted from the first send; then each three hours
// for another day, and twice a day for a person. They are never more than three hours apart
// on the first two days, so that whatever a gateway's outage left open is made up for soon
// after it.
var lookAfter = []time.Duration{
	2 * time.Minute, 10 * time.Minute, time.Hour, 2 * time.Hour, 4 * time.Hour, 6 * time.Hour, 8 * time.Hour, 10 * time.Hour,
	12 * time.Hour, 15 * time.Hour, 18 * time.Hour, 21 * time.Hour, 24 * time.Hour,
}

// soonest is the first look at a payment that the gateway has accepted: most are decided
// within seconds, and its word may be lost.
const soonest = time.Minute

const (
	// quiet is how long after the last send no payment must have turned up for us to say
	// that there is none: far longer than any request lives.
	quiet = 12 * time.Hour
	// quietUnrepeated is the same where nothing can be sent again. Dodo Payments states no
	// bound for how late a payment may turn up, so a day.
	quietUnrepeated = 24 * time.Hour
	// resendWithin is until when, from the first send, the same body may be sent again
	// under the same key: past the last look-up of the first day, and early enough for a
	// quiet period and a look-up within the second. The key itself is good for 15 days at
	// Toss.
	resendWithin = 30 * time.Hour
	// finalAfter is how far apart two look-ups must be that find nothing behind an answer
	// which will not change.
	finalAfter = 10 * time.Minute
)

// NoPaymentFound is the code of an attempt that was closed since the gateway had no
// payment for it long after it could have made one.
const NoPaymentFound = "NO_PAYMENT_FOUND"

// nextLook is when to look at an unknown outcome after now.
func (c Charge) nextLook(now time.Time) time.Time {
	if at := c.SentAt.Add(soonest); c.State == Sending && at.After(now.Add(time.Second)) {
		return at
	}
	last := c.Final || !now.Before(c.SentAt.Add(resendWithin)) // nothing will be sent again
	if at := c.AbsentSince.Add(finalAfter); last && at.After(now) && !c.AbsentSince.IsZero() {
		return at
	}
	for _, d := range lookAfter {
		if at := c.SentAt.Add(d); at.After(now.Add(30 * time.Second)) {
			return at
		}
	}
	if now.Before(c.SentAt.Add(48 * time.Hour)) {
		return now.Add(3 * time.Hour)
	}
	return now.Add(12 * time.Hour)
}

// Verdict is what to do about an open charge after a look-up.
type Verdict int

// The verdicts.
const (
	Close  Verdict = iota + 1 // the charge is as given now; settle it
	Resend                    // send the same body under the same key again
	Wait                      // look again later
)

// resolve decides what a look-up means. wanted says whether the attempt is still to be
// made, repeats whether the gateway makes one charge of the same sent twice. Nothing is
// ever decided from silence: a decline without a payment needs the gateway's word, twice,
// that there is none.
func (c Charge) resolve(o Outcome, wanted, repeats bool, now time.Time) (Charge, Verdict) {
	switch o.Result {
	case Taken, Refused:
		return c.after(o, now), Close
	case Accepted:
		return c.accepted(o.Payment.Key), Wait
	case Unclear, NotMade:
		return c.waiting(), Wait
	case Absent:
	}
	c = c.waiting()
	if c.AbsentSince.IsZero() {
		c.AbsentSince = now
	}
	none := Outcome{Result: Refused, Code: c.Code, Class: Soft}
	silence := quiet
	if !repeats {
		silence = quietUnrepeated
	}
	switch {
	case c.Final && repeats && now.Sub(c.AbsentSince) >= finalAfter:
		return c.after(none, now), Close
	case c.Final && repeats:
		return c, Wait
	case wanted && repeats && now.Before(c.SentAt.Add(resendWithin)):
		return c, Resend
	case now.Sub(c.LastSentAt) < silence, now.Sub(c.AbsentSince) < finalAfter:
		return c, Wait
	case wanted:
		none.Code, none.Class = NoPaymentFound, Passing
		return c.after(none, now), Close
	default:
		return c.void(NoPaymentFound), Close
	}
}

func (c Charge) waiting() Charge {
	if c.Lease = (time.Time{}); c.key() == "" {
		c.State = Unknown
	}
	return c
}

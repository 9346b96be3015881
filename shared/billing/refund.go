package billing

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"grantline/shared/clock"
	"grantline/shared/event"
	"grantline/shared/fault"
	"grantline/shared/money"
	"grantline/shared/table"
)

// RefundState is how a refund stands.
type RefundState string

// The states. Done and Refused are final.
const (
	RefundSending RefundState = "sending"
	RefundUnknown RefundState = "unknown"
	RefundDone    RefundState = "done"
	RefundRefused RefundState = "refused"
)

// Refund is money of a charge given back, or to be given back. It is written before it is
// asked for, with the balance that it was decided on, so that asking twice gives back once.
type Refund struct {
	Reference string      `json:"reference"`         // the caller's, or ours for one that nobody asked for
	Amount    int64       `json:"amount"`            // of the charge's currency
	TaxFree   int64       `json:"taxFree,omitempty"` // part of Amount
	Reason    string      `json:"reason"`
	State     RefundState `json:"state"`
	Code      string      `json:"code,omitempty"`        // of a refusal, or of the last unclear answer
	Stray     string      `json:"stray,omitempty"`       // a payment that is not the charge's own; it counts for no Refunded
	Currency  string      `json:"currency,omitempty"`    // of a stray
	Left      int64       `json:"left"`                  // what the payment had left before
	Transact  string      `json:"transaction,omitempty"` // the gateway's id of it
	AskedAt   time.Time   `json:"askedAt"`
	SentAt    time.Time   `json:"sentAt,omitzero"` // last
	DoneAt    time.Time   `json:"doneAt,omitzero"`
	Lease     time.Time   `json:"lease,omitzero"` // until when whoever sent last may be at it
	LookAt    time.Time   `json:"lookAt,omitzero"`
	Sends     int         `json:"sends,omitempty"`
	Round     int         `json:"round,omitempty"` // as Request.Round
	// Unsure says that something sent may have given the money back.
	Unsure bool `json:"unsure,omitempty"`
	// Final is as Refunded.Final, of the last send.
	Final       bool      `json:"final,omitempty"`
	AbsentSince time.Time `json:"absentSince,omitzero"`
}

func (r Refund) open() bool { return r.State == RefundSending || r.State == RefundUnknown }

// sending is the refund as it is written before it goes out.
func (r Refund) sending(now time.Time, lease time.Duration) Refund {
	r.Unsure, r.Final = r.Unsure || !r.Lease.IsZero(), false
	r.State, r.SentAt, r.Lease, r.LookAt, r.AbsentSince = RefundSending, now, now.Add(lease), now.Add(lease), time.Time{}
	r.Sends++
	return r
}

// The looks at a refund whose outcome is not known, from when it was asked for.
var refundLooks = []time.Duration{
	2 * time.Minute, 10 * time.Minute, time.Hour, 6 * time.Hour, 24 * time.Hour, 25 * time.Hour,
}

func (r Refund) nextLook(now time.Time) time.Time {
	for _, d := range refundLooks {
		if at := r.AskedAt.Add(d); at.After(now.Add(30 * time.Second)) {
			return at
		}
	}
	return now.Add(24 * time.Hour)
}

// after is the refund with the gateway's word. found says that it is of a look-up, which
// may say that there is none; a refund that surely was not made is made anew.
func (r Refund) after(o Refunded, now time.Time) Refund {
	sent := !r.Lease.IsZero()
	r.Lease = time.Time{}
	switch o.Result {
	case Taken:
		r.State, r.DoneAt, r.Code, r.Transact, r.LookAt = RefundDone, now, "", o.Transaction, time.Time{}
	case Refused:
		r.State, r.DoneAt, r.Code, r.LookAt = RefundRefused, now, o.Code, time.Time{}
	case NotMade:
		r.Code, r.LookAt = o.Code, now.Add(pauseOf(o.Misconfigured, o.Again))
		switch {
		case r.Unsure:
			r.State = RefundUnknown
		case o.Misconfigured && o.Code != "":
			r.Round++ // once it is mended, what was refused must not be repeated
		}
	case Absent:
		if r.State = RefundUnknown; r.AbsentSince.IsZero() {
			r.AbsentSince = now
		}
		r.Unsure = r.Unsure || sent // whoever sent it died, or could not write down what it heard
		r.LookAt = r.nextLook(now)
		if r.Final {
			return r.renewed(now)
		}
		if now.Sub(r.SentAt) >= quietUnrepeated && now.Sub(r.AbsentSince) >= finalAfter {
			r.State, r.Unsure, r.LookAt = RefundSending, false, now
		}
	case Accepted, Unclear:
		r.Final = r.Final || o.Final
		r.State, r.Code, r.Unsure, r.LookAt, r.AbsentSince = RefundUnknown, o.Code, true, r.nextLook(now), time.Time{}
	}
	return r
}

// renewed is a refund that look-ups do not find, and whose key would be answered the same for days:
// it is asked for under another one. It is made once all the same, for what is left falls with the
// first of the two, and never rises: the lock refuses the other. That first one may still be the
// one before, so that it stays unsure.
func (r Refund) renewed(now time.Time) Refund {
	if at := r.AbsentSince.Add(finalAfter); at.After(now) {
		r.LookAt = at
		return r
	}
	r.Final, r.LookAt = false, now
	r.Round++
	return r
}

// oursPrefix begins the references of refunds that nobody asked for. They follow from order
// and payment, so that whoever could use one would keep that money from being given back.
const oursPrefix = "gl_"

// RefundAsk asks for money of one of our own charges to be given back.
type RefundAsk struct {
	OrderID   string
	Amount    int64  // 0 is all that is left
	Reason    string // for the gateway's books, 1 to 200 characters
	Reference string // the caller's, 1 to 100 printable characters; the same again is the same refund
}

func (a RefundAsk) validate() error {
	printable := func(s string, most int) bool {
		bad := func(r rune) bool { return !unicode.IsPrint(r) }
		return s != "" && utf8.ValidString(s) && utf8.RuneCountInString(s) <= most && !slices.ContainsFunc([]rune(s), bad)
	}
	switch {
	case a.Amount < 0:
		return fault.New(fault.Malformed, "invalid_request", "amount should be a positive number of the currency's smallest unit.")
	case !printable(a.Reason, 200):
		return fault.New(fault.Malformed, "invalid_request", "reason should be 1 to 200 printable characters.")
	case !printable(a.Reference, 100):
		return fault.New(fault.Malformed, "invalid_request", "reference should be 1 to 100 printable characters.")
	case strings.HasPrefix(a.Reference, oursPrefix):
		return fault.New(fault.Malformed, "invalid_request", "reference should not begin with %s.", oursPrefix)
	}
	return nil
}

// asked adds the refund that was asked for to a charge. It is false if it is there already.
func (c Charge) asked(a RefundAsk, now time.Time, lease time.Duration) (Charge, bool, error) {
	for _, r := range c.Refunds {
		if r.Reference != a.Reference {
			continue
		}
		if a.Amount != 0 && a.Amount != r.Amount || a.Reason != r.Reason {
			return c, false, fault.New(fault.Conflict, "reference_used", "Another refund of this order has this reference.")
		}
		return c, false, nil
	}
	if c.State != Paid {
		return c, false, fault.New(fault.Conflict, "not_paid", "No money was taken by this order, or it is not known yet.")
	}
	for _, r := range c.Refunds {
		if r.open() && r.Stray == "" {
			return c, false, fault.New(fault.Unavailable, "refund_in_progress", "Another refund of this order is under way; ask again.")
		}
	}
	left := c.Amount - c.Refunded
	switch {
	case left <= 0:
		return c, false, fault.New(fault.Invalid, "already_refunded", "All of this order's money was given back.")
	case a.Amount > left:
		return c, false, fault.New(fault.Invalid, "refund_exceeds_payment", "amount should be at most what is left: %d.", left)
	case a.Amount == 0:
		a.Amount = left
	}
	if a.Amount < left && c.paidIn() != c.Currency {
		return c, false, fault.New(fault.Invalid, "refund_in_part_impossible", "The customer paid in %s, so that only all of it can be given back here.", c.paidIn())
	}
	r := Refund{Reference: a.Reference, Amount: a.Amount, TaxFree: c.taxFreeOf(a.Amount, left), Reason: a.Reason, Left: left, AskedAt: now}
	c.Refunds = append(slices.Clone(c.Refunds), r.sending(now, lease))
	return c, true, nil
}

// paidIn is the currency that was taken: a gateway may let the customer choose another.
func (c Charge) paidIn() string {
	if c.Payment == nil || c.Payment.Currency == "" {
		return c.Currency
	}
	return c.Payment.Currency
}

// taxFreeOf is how much of an amount given back was free of tax: its share, and of the last
// part all that is left.
func (c Charge) taxFreeOf(amount, left int64) int64 {
	if c.Payment == nil || c.Payment.TaxFree <= 0 || c.Amount <= 0 {
		return 0
	}
	rest := c.Payment.TaxFree
	for _, r := range c.Refunds {
		if r.Stray == "" && r.State != RefundRefused {
			rest -= r.TaxFree
		}
	}
	if amount == left {
		return max(rest, 0)
	}
	// Amounts are far below 2^31 of the smallest unit; the product does not overflow.
	return min(max(rest, 0), c.Payment.TaxFree*amount/c.Amount)
}

// Refund gives money of a charge back, as far as ctx's time allows; what is left is done by
// the queue. The same reference again is the same refund. Errors: fault.NotFound;
// fault.Malformed and fault.Invalid before anything is sent, fault.Invalid with code
// refund_refused when the gateway will not; fault.Conflict when the order was not paid or the
// reference was used for another refund; fault.Unavailable while another one is under way.
func (b *Biller) Refund(ctx context.Context, scope table.Scope, a RefundAsk) (Charge, Refund, error) {
	if err := a.validate(); err != nil {
		return Charge{}, Refund{}, err
	}
	added := false
	c, err := b.rewrite(ctx, scope, a.OrderID, func(c Charge, now time.Time) (next change, ok bool, err error) {
		switch {
		case c.ID == "":
			return next, false, fault.New(fault.NotFound, "order_not_found", "There is no such order.")
		case c.Kind != ChargeKind:
			return next, false, fault.New(fault.Invalid, "not_refundable", "A store's order is refunded by the store.")
		}
		next.Charge, added, err = c.asked(a, now, b.Lease)
		return next, added, err
	})
	if err != nil {
		return c, Refund{}, err
	}
	if added {
		sent, err := b.sendRefund(ctx, scope, c, a.Reference)
		if err != nil {
			b.Log.WarnContext(ctx, "refund left to the queue", "order", c.ID, "error", err)
		} else {
			c = sent
		}
	}
	r := c.refund(a.Reference)
	if r.State == RefundRefused {
		return c, r, fault.New(fault.Invalid, "refund_refused", "The gateway refuses this refund.")
	}
	return c, r, nil
}

func (c Charge) refund(reference string) Refund {
	for _, r := range c.Refunds {
		if r.Reference == reference {
			return r
		}
	}
	return Refund{}
}

// refunding is what a refund says to the gateway: the same each time.
func (c Charge) refunding(scope table.Scope, r Refund) Refunding {
	payment, currency := c.key(), c.paidIn()
	if r.Stray != "" {
		payment, currency = r.Stray, r.Currency
	}
	identity := []string{"refund", scope.String(), c.ID, r.Reference}
	if r.Round > 0 {
		identity = append(identity, strconv.Itoa(r.Round))
	}
	return Refunding{
		Key: "gl_refund_" + short(hash(identity...)), OrderID: c.ID, Payment: payment,
		Amount: money.Of(r.Amount, currency), Left: r.Left, TaxFree: r.TaxFree, Whole: r.Amount == r.Left,
		Reason: r.Reason, Since: r.AskedAt,
	}
}

// sendRefund asks the gateway once and writes down what it says.
func (b *Biller) sendRefund(ctx context.Context, scope table.Scope, c Charge, reference string) (Charge, error) {
	gateway, err := b.gateway(scope, c.Gateway)
	if err != nil {
		return c, err
	}
	r := c.refund(reference)
	calling, cancel := clock.LeaveRoom(ctx, answerMargin)
	o := gateway.Refund(calling, c.refunding(scope, r))
	cancel()
	b.Log.InfoContext(ctx, "refund sent", "order", c.ID, "send", r.Sends, "result", o.Result, "code", o.Code)
	if r.Unsure && o.Result == Refused {
		// The refusal may be of what an earlier send, whose answer was lost, has done.
		calling, cancel := clock.LeaveRoom(ctx, answerMargin)
		if found := gateway.FindRefund(calling, c.refunding(scope, r)); found.Result != Absent {
			o = found
		}
		cancel()
	}
	b.noted(ctx, scope, c.Gateway, Outcome{Misconfigured: o.Misconfigured, Busy: o.Busy, Code: o.Code})
	return b.closeRefund(ctx, scope, c.ID, reference, o)
}

// closeRefund writes the gateway's word into the refund, unless it is final already.
func (b *Biller) closeRefund(ctx context.Context, scope table.Scope, id, reference string, o Refunded) (Charge, error) {
	return b.rewrite(ctx, scope, id, func(c Charge, now time.Time) (change, bool, error) {
		i := slices.IndexFunc(c.Refunds, func(r Refund) bool { return r.Reference == reference })
		if i < 0 || !c.Refunds[i].open() {
			return change{Charge: c}, false, nil
		}
		c.Refunds = slices.Clone(c.Refunds)
		was := c.Refunds[i]
		r := was.after(o, now)
		c.Refunds[i] = r
		if !r.open() && r.Stray == "" && c.LookAt.IsZero() && (r.State == RefundRefused || was.Unsure || r.Sends > 1) {
			// What was given back elsewhere meanwhile was passed over, for it might have been this
			// one; and who refuses may know of more than we do.
			c.LookAt = now
		}
		if r.State != RefundDone || r.Stray != "" {
			return change{Charge: c}, true, nil
		}
		return c.returned(r.Amount, now), true, nil
	})
}

// returned is a charge of which money was given back, and what follows: whoever gets all
// the money of the running period back has its access no more. The agreement stands.
func (c Charge) returned(amount int64, now time.Time) change {
	c.Refunded += amount
	next := change{Charge: c, events: []event.Event{{
		Type: event.ChargeRefunded, At: now, OrderID: c.ID, SubscriptionID: c.Subscription, PlanID: c.Plan, Amount: amount, Currency: c.Currency,
	}}}
	if c.Refunded >= c.Amount && !c.OnDemand {
		next.agreement = func(s Subscription) Subscription {
			if s.LastPaid != nil && s.LastPaid.Period == c.Period && s.LastPaid.Attempt == c.Attempt {
				s.Returned = true
			}
			return s
		}
	}
	return next
}

// restored is a charge of which money came back to us, and what follows: whoever had lost the
// access of the running period has it again.
func (c Charge) restored(amount int64, now time.Time) change {
	c.Refunded -= amount
	next := change{Charge: c, events: []event.Event{{
		Type: event.ChargeRestored, At: now, OrderID: c.ID, SubscriptionID: c.Subscription, PlanID: c.Plan, Amount: amount, Currency: c.Currency,
	}}}
	if c.Refunded < c.Amount && !c.OnDemand {
		next.agreement = func(s Subscription) Subscription {
			if s.LastPaid != nil && s.LastPaid.Period == c.Period && s.LastPaid.Attempt == c.Attempt {
				s.Returned = false
			}
			return s
		}
	}
	return next
}

// tendRefund goes on with a refund whose outcome is not known.
func (b *Biller) tendRefund(ctx context.Context, scope table.Scope, c Charge, r Refund) error {
	gateway, err := b.gateway(scope, c.Gateway)
	if err != nil {
		return err
	}
	now := b.Clock.Now()
	if now.Sub(r.AskedAt) > 24*time.Hour {
		b.alarm(ctx, "refund still not known to be done", "order", c.ID, "code", r.Code)
	}
	unsure := r.Unsure || !r.Lease.IsZero()
	if unsure && r.Final {
		return b.lookUpRefund(ctx, gateway, scope, c, r)
	}
	if unsure && (!gateway.Repeats() || now.Sub(r.AskedAt) > keyLife) {
		return b.lookUpRefund(ctx, gateway, scope, c, r)
	}
	mine := false
	c, err = b.rewrite(ctx, scope, c.ID, func(c Charge, now time.Time) (change, bool, error) {
		i := slices.IndexFunc(c.Refunds, func(o Refund) bool { return o.Reference == r.Reference })
		mine = i >= 0 && c.Refunds[i].open() && c.Refunds[i].Sends == r.Sends && !c.Refunds[i].LookAt.After(now)
		if mine {
			c.Refunds = slices.Clone(c.Refunds)
			c.Refunds[i] = c.Refunds[i].sending(now, b.Lease)
		}
		return change{Charge: c}, mine, nil
	})
	if err != nil || !mine {
		return err
	}
	_, err = b.sendRefund(ctx, scope, c, r.Reference)
	return err
}

// lookUpRefund writes down what a look at the gateway says of a refund.
func (b *Biller) lookUpRefund(ctx context.Context, g Gateway, scope table.Scope, c Charge, r Refund) error {
	calling, cancel := clock.LeaveRoom(ctx, answerMargin)
	o := g.FindRefund(calling, c.refunding(scope, r))
	cancel()
	b.Log.InfoContext(ctx, "refund looked up", "order", c.ID, "result", o.Result, "code", o.Code)
	_, err := b.closeRefund(ctx, scope, c.ID, r.Reference, o)
	return err
}

// keyLife is until when a gateway that repeats surely remembers a key: Toss keeps it for
// 15 days.
const keyLife = 14 * 24 * time.Hour

// giveBack has money given back that nobody asked for: of a payment that is not the order's
// own, because a second one was made or the order was closed without, or of the order's own
// where its agreement had ended before. A person hears of it.
func (b *Biller) giveBack(ctx context.Context, scope table.Scope, id string, p Payment, why string) error {
	added := false
	_, err := b.rewrite(ctx, scope, id, func(c Charge, now time.Time) (change, bool, error) {
		own := c.State == Paid && (p.Key == "" || c.key() == p.Key)
		r := Refund{
			Reference: oursPrefix + short(hash("give-back", c.ID, p.Key)), Amount: p.Amount - p.Returned, Left: p.Amount - p.Returned,
			Reason: why, Stray: p.Key, Currency: p.Currency, State: RefundSending, AskedAt: now, LookAt: now,
		}
		if own {
			if p.Key != "" {
				return change{Charge: c}, false, nil // it has become the order's since
			}
			r.Stray, r.Currency, r.Amount, r.Left = "", "", c.Amount-c.Refunded, c.Amount-c.Refunded
			r.TaxFree = c.taxFreeOf(r.Amount, r.Left)
		}
		if !own && r.Amount <= 0 && p.Amount > 0 { // already, elsewhere: written down, so that it pays no order made again
			r.Amount, r.Left, r.Reason, r.State, r.DoneAt, r.LookAt = p.Amount, p.Amount, elsewhere, RefundDone, now, time.Time{}
		}
		known := slices.ContainsFunc(c.Refunds, func(o Refund) bool { return o.Reference == r.Reference })
		if c.ID == "" || c.open() || known || r.Amount <= 0 {
			return change{Charge: c}, false, nil
		}
		if own && slices.ContainsFunc(c.Refunds, func(o Refund) bool { return o.open() && o.Stray == "" }) {
			// What is left is known only once that one is over.
			return change{Charge: c}, false, fault.New(fault.Unavailable, "refund_in_progress", "Another refund of order %s is under way.", c.ID)
		}
		c.Refunds = append(slices.Clone(c.Refunds), r)
		added = r.open()
		return change{Charge: c}, true, nil
	})
	if err == nil && added {
		b.alarm(ctx, "money is given back that should not have been taken", "order", id, "why", why)
	}
	return err
}

package exhaust

import (
	"context"
	"encoding/json"
	"strconv"
	"time"

	"grantline/shared/billing"
	"grantline/shared/fault"
)

// keyless is a till at which two requests are two, each decided after it was accepted: Dodo
// Payments.
type keyless struct{ *till }

var _ billing.Mandates = keyless{}

// The answers of a keyless till to a charge that it accepts.
const (
	paysAtOnce = iota
	failsAtOnce
	paysLater
	failsLater
	keylessAnswers
)

// listLag is until when no list shows a payment, decides when it is decided.
const (
	listLag = time.Minute
	decides = 5 * time.Second
)

// Repeats is not so.
func (keyless) Repeats() bool { return false }

// Charge makes a payment of its own each time.
func (t keyless) Charge(_ context.Context, order string, card billing.Card, text []byte) billing.Outcome {
	defer t.sending(order, card.BillingKey)()
	var o billing.Outcome
	if !t.call("charge", order, true, func() { o = t.charge(order, card.BillingKey, text) }) {
		return billing.Outcome{Result: billing.Unclear}
	}
	return t.told(o, true)
}

func (t keyless) charge(order, mandate string, text []byte) billing.Outcome {
	for _, p := range t.payments {
		if p.decided.After(t.now()) {
			return billing.Outcome{Result: billing.NotMade, Code: "PREVIOUS_PAYMENT_PENDING", Again: 10 * time.Minute}
		}
	}
	var b body
	if err := json.Unmarshal(text, &b); err != nil || b.Order != order {
		t.path.Fail("what is sent is what was written", "order %s was sent with the body of %q", order, b.Order)
	}
	p := payment{key: "pay_" + strconv.Itoa(len(t.payments)+1), order: order, card: mandate, amount: b.Amount, decided: t.now(), listed: t.now()}
	is := t.path.Choose(t.answers)
	if t.declines {
		is = failsAtOnce
	}
	if is == failsAtOnce || is == failsLater {
		p.code, p.class = "CARD_DECLINED", billing.Soft
	}
	if is == paysLater || is == failsLater {
		p.decided, p.listed = t.now().Add(decides), t.now().Add(listLag)
	}
	t.take(p)
	return billing.Outcome{Result: billing.Accepted, Payment: billing.Payment{Key: p.key}}
}

// Find knows a payment by its key, or by its mandate once the list shows it.
func (t keyless) Find(_ context.Context, order string, want billing.Want) billing.Outcome {
	var o billing.Outcome
	if !t.call("find", order, false, func() { o = t.find(order, want) }) {
		return billing.Outcome{Result: billing.Unclear}
	}
	return t.told(o, false)
}

func (t keyless) find(order string, want billing.Want) billing.Outcome {
	now := t.now()
	o := billing.Outcome{Result: billing.Absent}
	found, open := false, ""
	for _, p := range t.payments {
		listed := want.Payment == "" && p.card == want.Card.BillingKey && !p.listed.After(now)
		if p.order != order || !listed && p.key != want.Payment {
			continue
		}
		found = true
		switch {
		case p.decided.After(now):
			open = p.key
		case p.code != "" && o.Result == billing.Absent:
			o = billing.Outcome{Result: billing.Refused, Code: p.code, Class: p.class}
		case p.code == "" && o.Result == billing.Taken:
			o.Others = append(o.Others, t.paid(p, "USD"))
		case p.code == "":
			o = billing.Outcome{Result: billing.Taken, Payment: t.paid(p, "USD")}
			o.Payment.Mandate = p.card
		}
	}
	switch {
	case !found && want.Payment != "":
		return billing.Outcome{Result: billing.Unclear}
	case o.Result != billing.Taken && open != "":
		return billing.Outcome{Result: billing.Accepted, Payment: billing.Payment{Key: open}}
	}
	return o
}

// Refund looks whether it was made, and makes it if not: two at once are two.
func (t keyless) Refund(ctx context.Context, r billing.Refunding) billing.Refunded {
	if found := t.FindRefund(ctx, r); found.Result != billing.Absent {
		if found.Result == billing.Unclear {
			found = billing.Refunded{Result: billing.NotMade} // nothing was sent
		}
		return found
	}
	var o billing.Refunded
	if !t.call("refund", r.OrderID, true, func() {
		p := t.payment(r.Payment)
		left, amount := p.amount-t.returned(p.key), r.Amount.Units
		if r.Whole {
			amount = left
		}
		if amount > left || left == 0 {
			o = billing.Refunded{Result: billing.Refused, Code: "REFUND_AMOUNT_EXCEEDS_PAID_AMOUNT"}
			return
		}
		t.give(r, amount)
		o = billing.Refunded{Result: billing.Taken, Transaction: "refund_" + r.Key}
	}) {
		return billing.Refunded{Result: billing.Unclear}
	}
	return t.repaid(o, true)
}

// FindRefund knows a refund by the key that was sent with it.
func (t keyless) FindRefund(_ context.Context, r billing.Refunding) billing.Refunded {
	o := billing.Refunded{Result: billing.Absent}
	if !t.call("find refund", r.OrderID, false, func() {
		for _, was := range t.refunds {
			if was.key == r.Key {
				o = billing.Refunded{Result: billing.Taken, Transaction: "refund_" + was.key}
			}
		}
	}) {
		return billing.Refunded{Result: billing.Unclear}
	}
	return t.repaid(o, false)
}

// Invite makes the mandate that there is.
func (t keyless) Invite(context.Context, billing.Invitation) (billing.Invited, error) {
	if !t.call("invite", "", true, func() {}) {
		return billing.Invited{}, fault.New(fault.Unavailable, "gateway_unavailable", "The gateway did not answer.")
	}
	t.path.Answered(true, "page")
	return billing.Invited{Mandate: "mandate", Link: "https://pay.example/page"}, nil
}

// Look says whether the mandate can be charged, which is found out with the first look.
func (t keyless) Look(context.Context, string) (billing.Mandate, error) {
	m := billing.Mandate{State: billing.MandateActive, Method: "pm_1"}
	if !t.call("look", "", false, func() {
		if !t.looked {
			t.looked, t.held = true, t.path.Choose(2) == 1
		}
	}) {
		return billing.Mandate{}, fault.New(fault.Unavailable, "gateway_unavailable", "The gateway did not answer.")
	}
	if t.held {
		m.State = billing.MandateOnHold
	}
	t.path.Answered(false, string(m.State))
	return m, nil
}

// Mend makes a page.
func (t keyless) Mend(context.Context, string, string) (string, error) {
	if !t.call("mend", "", true, func() {}) {
		return "", fault.New(fault.Unavailable, "gateway_unavailable", "The gateway did not answer.")
	}
	t.path.Answered(false, "page")
	return "https://pay.example/mend", nil
}

// Revoke ends the mandate.
func (t keyless) Revoke(context.Context, string) error {
	if !t.call("revoke", "", true, func() { t.forgot = append(t.forgot, "mandate") }) {
		return fault.New(fault.Unavailable, "gateway_unavailable", "The gateway did not answer.")
	}
	t.path.Answered(true, "revoked")
	return nil
}

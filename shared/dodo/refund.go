package dodo

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	"grantline/shared/billing"
)

// maxRefunds bounds the refunds of one payment that are looked at one by one.
const maxRefunds = 20

// refund is the body of a refund. Without items it is all of the payment.
type refund struct {
	Payment  string   `json:"payment_id"`
	Items    []item   `json:"items,omitempty"`
	Reason   string   `json:"reason"`
	Metadata metadata `json:"metadata"`
}

// item is a part of a payment: so much of a product's price, tax included.
type item struct {
	ID           string `json:"item_id"`
	Amount       int64  `json:"amount"`
	TaxInclusive bool   `json:"tax_inclusive"`
}

// Refund asks once for money of a payment to be given back. Dodo has no lock against
// giving back twice, so the payment is looked at first: a refund under the same key is the
// answer, and nothing is sent if less is left of the payment than r says. That look is no
// more than a safeguard: of two refunds at the same instant both would pass.
//
// NotMade is about this call alone. After an Unclear the same refund is for FindRefund,
// and not to be sent again before it is Absent for good.
func (g *Gateway) Refund(ctx context.Context, r billing.Refunding) billing.Refunded {
	ctx, cancel := g.bounded(ctx)
	defer cancel()
	if !refundable(r) || strings.TrimSpace(r.Reason) == "" || !short(r.Reason, 200) || r.Left < r.Amount.Units {
		g.config.Log.LogAttrs(ctx, slog.LevelError, "refund not sent to dodo: it is not one of ours", slog.String("order", r.OrderID))
		return billing.Refunded{Result: billing.NotMade, Misconfigured: true}
	}
	body, refunded := g.prepare(ctx, r)
	if body == nil {
		g.refunded(ctx, "refund", r.OrderID, refunded, 0)
		return refunded
	}
	a, err := g.ask(ctx, call{method: http.MethodPost, path: "/refunds", body: body})
	if err != nil {
		refunded = billing.Refunded{Result: billing.Unclear}
		if errors.Is(err, errUnsent) {
			refunded.Result = billing.NotMade
		}
		g.unanswered(ctx, "refund", r.OrderID, string(refunded.Result), err)
		return refunded
	}
	switch {
	case a.status != http.StatusOK && a.status != http.StatusCreated:
		refunded = unrefunded(a)
	case a.body.id("payment_id") != r.Payment || a.body.id("refund_id") == "":
		refunded = billing.Refunded{Result: billing.Unclear}
	default:
		refunded = state(a.body)
	}
	g.refunded(ctx, "refund", r.OrderID, refunded, a.status)
	return refunded
}

// FindRefund looks up a refund, by its key in the metadata. A refund whose metadata Dodo
// does not show is taken for ours if it is of the same amount and not older than r.Since.
func (g *Gateway) FindRefund(ctx context.Context, r billing.Refunding) billing.Refunded {
	ctx, cancel := g.bounded(ctx)
	defer cancel()
	if !refundable(r) {
		g.config.Log.LogAttrs(ctx, slog.LevelError, "refund not looked up at dodo: it is not one of ours", slog.String("order", r.OrderID))
		return billing.Refunded{Result: billing.Unclear}
	}
	refunded := billing.Refunded{Result: billing.Unclear}
	p, err := g.payment(ctx, r.Payment)
	if err == nil && !pays(p, r) {
		g.alarm(ctx, "dodo shows another payment than the one to be given back", r.OrderID)
		err = errors.New("dodo: another payment")
	}
	var found billing.Refunded
	if err == nil {
		found, err = g.match(ctx, p, r)
	}
	if err != nil {
		refunded.Code = codeOf(err)
		g.unanswered(ctx, "find refund", r.OrderID, string(refunded.Result), err)
		return refunded
	}
	g.refunded(ctx, "find refund", r.OrderID, found, http.StatusOK)
	return found
}

// refundable says whether a refund can be sent and found again.
func refundable(r billing.Refunding) bool {
	return orderShape.MatchString(r.OrderID) && idShape.MatchString(r.Payment) && r.Key != "" && len(r.Key) <= 300 && printable(r.Key) &&
		r.Amount.Units > 0 && currencyShape.MatchString(r.Amount.Currency)
}

// pays says whether a payment is the one whose money is to be given back.
func pays(p object, r billing.Refunding) bool {
	return p.object("metadata").text(orderField) == r.OrderID && p.text("currency") == r.Amount.Currency
}

// prepare looks at the payment and makes the body of its refund, or says why there is to
// be none: nothing was sent then.
func (g *Gateway) prepare(ctx context.Context, r billing.Refunding) ([]byte, billing.Refunded) {
	p, err := g.payment(ctx, r.Payment)
	if err != nil {
		return nil, g.unprepared(ctx, r, err)
	}
	total, readable := p.integer("total_amount")
	if !pays(p, r) || !readable || total <= 0 || p.text("status") != "succeeded" {
		g.alarm(ctx, "dodo shows another payment than the one to be given back", r.OrderID)
		return nil, billing.Refunded{Result: billing.NotMade, Misconfigured: true}
	}
	found, err := g.match(ctx, p, r)
	if err != nil {
		return nil, g.unprepared(ctx, r, err)
	}
	if found.Result != billing.Absent {
		return nil, found
	}
	left, ok := remaining(p, total)
	switch {
	case !ok:
		g.alarm(ctx, "dodo shows refunds that cannot be added up", r.OrderID)
		return nil, billing.Refunded{Result: billing.NotMade}
	case left < r.Amount.Units:
		return nil, billing.Refunded{Result: billing.Refused, Code: "REFUND_AMOUNT_EXCEEDS_PAID_AMOUNT"}
	case left < r.Left:
		g.alarm(ctx, "more of a payment was given back at dodo than we know of", r.OrderID, slog.Int64("left", left), slog.Int64("known", r.Left))
		return nil, billing.Refunded{Result: billing.Refused}
	}
	request := refund{Payment: r.Payment, Reason: r.Reason, Metadata: metadata{OrderID: r.OrderID, Refund: r.Key}}
	if r.Amount.Units < total && !r.Whole {
		product, err := g.product(ctx, p)
		if err != nil {
			return nil, g.unprepared(ctx, r, err)
		}
		request.Items = []item{{product, r.Amount.Units, true}}
	}
	body, err := json.Marshal(request)
	if err != nil {
		return nil, billing.Refunded{Result: billing.NotMade, Misconfigured: true}
	}
	return body, billing.Refunded{}
}

// unprepared is the outcome of a refund that was not sent because Dodo could not be asked.
func (g *Gateway) unprepared(ctx context.Context, r billing.Refunding, err error) billing.Refunded {
	g.unanswered(ctx, "look before a refund", r.OrderID, string(billing.NotMade), err)
	refunded := billing.Refunded{Result: billing.NotMade, Code: codeOf(err)}
	if u, ok := errors.AsType[unhad](err); ok {
		refunded.Misconfigured, refunded.Busy = meaning(u.answer) == ours, meaning(u.answer) == busy
	}
	return refunded
}

// remaining is what has not been given back of a payment, and is not being given back.
func remaining(p object, total int64) (int64, bool) {
	refunds, ok := p.list("refunds")
	for _, each := range refunds {
		amount, readable := each.integer("amount")
		switch {
		case each == nil:
			return 0, false
		case each.text("status") == "failed":
		case !readable && !each.yes("is_partial"):
			return 0, true // all of it
		case !readable || amount < 0 || amount > total:
			return 0, false
		default:
			total -= amount
		}
	}
	return total, ok
}

// product is what a payment was for, as Dodo names the items of a refund: a subscription's
// payment may not say, and then its mandate does.
func (g *Gateway) product(ctx context.Context, p object) (string, error) {
	if cart, _ := p.list("product_cart"); len(cart) > 0 {
		if id := cart[0].id("product_id"); id != "" {
			return id, nil
		}
	}
	mandate, err := g.mandate(ctx, p.id("subscription_id"))
	if err != nil {
		return "", err
	}
	if id := mandate.id("product_id"); id != "" {
		return id, nil
	}
	return "", errors.New("dodo: neither payment nor mandate names a product")
}

// match finds the refund r among those of a payment; Absent if it surely is not there. One
// that failed counts only if there is no other.
func (g *Gateway) match(ctx context.Context, p object, r billing.Refunding) (billing.Refunded, error) {
	refunds, ok := p.list("refunds")
	if !ok || len(refunds) > maxRefunds {
		return billing.Refunded{}, errors.New("dodo: the payment's refunds cannot be read")
	}
	best := billing.Refunded{Result: billing.Absent}
	for _, each := range refunds {
		id := each.id("refund_id")
		if id == "" {
			return billing.Refunded{}, errors.New("dodo: the payment has a refund without an id")
		}
		data, err := g.kept(ctx, id, each)
		if err != nil {
			return billing.Refunded{}, err
		}
		if data != nil && data.text(refundField) != r.Key || data == nil && !alike(each, r) {
			continue
		}
		if this := state(each); best.Result == billing.Absent || best.Result == billing.Refused {
			best = this
		}
	}
	return best, nil
}

// alike says whether a refund that does not show its key may be r.
func alike(each object, r billing.Refunding) bool {
	amount, readable := each.integer("amount")
	at := each.at("created_at")
	return (r.Whole || readable && amount == r.Amount.Units || !readable && !each.yes("is_partial")) && (at.IsZero() || !at.Before(r.Since.Add(-backdated)))
}

// kept is the metadata of a refund, nil if Dodo does not show it: the refunds of a payment
// come without, and a refund alone has it.
func (g *Gateway) kept(ctx context.Context, id string, listed object) (object, error) {
	if data := listed.object("metadata"); data != nil {
		return data, nil
	}
	a, err := g.ask(ctx, call{method: http.MethodGet, path: "/refunds/" + url.PathEscape(id)})
	switch {
	case err != nil:
		return nil, err
	case gone(a):
		return nil, nil
	case a.status != http.StatusOK || a.body.id("refund_id") != id:
		return nil, unhad{a}
	}
	return a.body.object("metadata"), nil
}

// state is how a refund stands (Dodo Payments reference, "RefundStatus").
func state(each object) billing.Refunded {
	refunded := billing.Refunded{Result: billing.Unclear, Transaction: each.id("refund_id")}
	switch each.text("status") {
	case "succeeded":
		refunded.Result = billing.Taken
	case "pending", "review":
		refunded.Result = billing.Accepted
	case "failed":
		refunded.Result = billing.Refused
	}
	return refunded
}

// unrefunded is what an error answer to a refund means for it.
func unrefunded(a answer) billing.Refunded {
	switch meaning(a) {
	case ours:
		return billing.Refunded{Result: billing.NotMade, Code: a.code, Misconfigured: true}
	case busy:
		return billing.Refunded{Result: billing.NotMade, Code: a.code, Busy: true}
	case pending:
		return billing.Refunded{Result: billing.NotMade, Code: a.code, Again: pendingWait}
	case spent:
		return billing.Refunded{Result: billing.Refused, Code: a.code}
	case inactive, over, ambiguous:
		return billing.Refunded{Result: billing.Unclear, Code: a.code}
	default:
		panic("dodo: a kind of error code without an outcome is a bug in this file")
	}
}

// refunded logs what an answer about a refund was taken for.
func (g *Gateway) refunded(ctx context.Context, what, orderID string, r billing.Refunded, status int) {
	level, message := slog.LevelInfo, "dodo answered"
	switch {
	case r.Misconfigured:
		level, message = slog.LevelError, "dodo refused us, not the refund"
	case r.Result == billing.Unclear || r.Result == billing.NotMade:
		level = slog.LevelWarn
	}
	g.config.Log.LogAttrs(ctx, level, message, slog.String("call", what), slog.String("order", orderID), slog.Int("status", status),
		slog.String("code", r.Code), slog.String("result", string(r.Result)), slog.String("refund", r.Transaction))
}

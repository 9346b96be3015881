package toss

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"grantline/shared/billing"
)

// cancel is the body of a refund; the order of its fields is the order of the bytes. The
// amount is never left out, which would give back all that is left, and neither is the
// lock: Toss gives nothing back if RefundableAmount is not what is left.
type cancel struct {
	CancelReason     string `json:"cancelReason"`
	CancelAmount     int64  `json:"cancelAmount"`
	RefundableAmount int64  `json:"refundableAmount"`
	TaxFreeAmount    int64  `json:"taxFreeAmount,omitempty"` // Toss takes a missing one for 0
}

// clocks is how far Toss's clock may be behind ours.
const clocks = time.Minute

// refundRefusals are the codes by which Toss says for good that it gives nothing back
// under this key (Toss Payments reference, "Error codes", cancelling a payment).
var refundRefusals = map[string]bool{
	"ALREADY_CANCELED_PAYMENT":                   true,
	"ALREADY_REFUND_PAYMENT":                     true,
	"NOT_MATCHES_REFUNDABLE_AMOUNT":              true,
	"NOT_CANCELABLE_AMOUNT":                      true,
	"NOT_CANCELABLE_PAYMENT":                     true,
	"NOT_CANCELABLE_PAYMENT_FOR_DORMANT_USER":    true,
	"EXCEED_MAX_REFUND_DUE":                      true,
	"EXCEED_MAX_REFUND_AMOUNT":                   true,
	"EXCEED_CANCEL_LIMIT":                        true,
	"EXCEED_CANCEL_AMOUNT_DISCOUNT_AMOUNT":       true,
	"INVALID_REFUND_AMOUNT":                      true,
	"REFUND_REJECTED":                            true,
	"NOT_SUPPORTED_REFUND":                       true,
	"NOT_ALLOWED_PARTIAL_REFUND":                 true,
	"NOT_ALLOWED_PARTIAL_REFUND_WAITING_DEPOSIT": true,
	// Of money that goes back to an account.
	"INVALID_REFUND_ACCOUNT_INFO":   true,
	"INVALID_REFUND_ACCOUNT_NUMBER": true,
	"INVALID_BANK":                  true,
	"FORBIDDEN_BANK_REFUND_REQUEST": true,
	"NOT_ALLOWED_REFUND_BANK":       true,
	"NOT_AVAILABLE_BANK":            true,
}

// Refund gives money of a payment back, once, with r.Key as its Idempotency-Key and
// r.Left as the lock. Taken is only a payment that has lost exactly r.Amount of r.Left,
// by a cancel that it shows.
//
// NotMade and Refused are about this send. If an earlier send under the same key is
// unclear, they say nothing about it: Toss repeats its first answer to a key, but whether
// it kept the one that was lost in a failure of its own is not documented, and a refund
// that is behind us is refused just as a foreign one, with NOT_MATCHES_REFUNDABLE_AMOUNT,
// ALREADY_CANCELED_PAYMENT or NOT_CANCELABLE_AMOUNT. FindRefund tells.
func (g *Gateway) Refund(ctx context.Context, r billing.Refunding) billing.Refunded {
	if !refundable(r) || r.Key == "" || len(r.Key) > 300 || !printable(r.Key) || !reasonable(r.Reason) {
		g.config.Log.LogAttrs(ctx, slog.LevelError, "refund not sent to toss: it is none that can be asked for", slog.String("order", r.OrderID))
		return billing.Refunded{Result: billing.NotMade, Misconfigured: true}
	}
	body, err := json.Marshal(cancel{r.Reason, r.Amount.Units, r.Left, r.TaxFree})
	if err != nil {
		return billing.Refunded{Result: billing.NotMade, Misconfigured: true}
	}
	a, err := g.ask(ctx, call{method: http.MethodPost, path: paymentPath(r.Payment) + "/cancel", key: r.Key, body: body})
	if err != nil {
		refund := billing.Refunded{Result: billing.Unclear}
		if errors.Is(err, errUnsent) {
			refund.Result = billing.NotMade
		}
		g.unanswered(ctx, "refund", r.OrderID, outcomeOf(refund), err)
		return refund
	}
	refund := refundRefusal(a.status, a.code)
	if a.status == http.StatusOK {
		refund = givenBack(a.body, r)
	}
	g.answered(ctx, "refund", r.OrderID, a, outcomeOf(refund), a.status == http.StatusOK && refund.Result != billing.Taken)
	return refund
}

// FindRefund looks up whether the payment shows the refund. What it looks for is the one
// cancel that took r.Amount off r.Left, no earlier than r.Since but for a minute that
// Toss's clock may be behind ours.
//
// One that is older than that is another's, and ours is Absent: it has taken away the very
// balance that our lock asks for, a balance only falls, and so ours neither was made nor ever
// can be, however late its entry might show. This rests on the clocks alone.
//
// Two things cannot be told. A cancel that somebody else made of the same amount, with as
// much left before it, in the last minute before r.Since or after it, is taken for ours: Toss
// shows no key with a cancel, and the lock lets only one of the two happen. And where a cancel
// does not say what it left, one of the same amount after r.Since is taken for ours, and
// several are unclear.
func (g *Gateway) FindRefund(ctx context.Context, r billing.Refunding) billing.Refunded {
	if !refundable(r) {
		g.config.Log.LogAttrs(ctx, slog.LevelError, "refund not looked up at toss: it is none that can have been asked for", slog.String("order", r.OrderID))
		return billing.Refunded{Result: billing.Unclear}
	}
	a, err := g.ask(ctx, call{method: http.MethodGet, path: paymentPath(r.Payment)})
	if err != nil {
		refund := billing.Refunded{Result: billing.Unclear}
		g.unanswered(ctx, "find refund", r.OrderID, outcomeOf(refund), err)
		return refund
	}
	refund, strange := billing.Refunded{Result: billing.Unclear, Code: a.code}, false
	switch {
	case a.status == http.StatusOK:
		refund, strange = standing(a.body, r)
	case a.status == http.StatusNotFound && a.code == "NOT_FOUND_PAYMENT":
		strange = true // we have its key; it may be the key of another shop
	}
	g.answered(ctx, "find refund", r.OrderID, a, outcomeOf(refund), strange)
	return refund
}

// refundable says whether a refund can be one of a payment of ours.
func refundable(r billing.Refunding) bool {
	return orderShape.MatchString(r.OrderID) && addressable(r.Payment) && r.Amount.Currency == currency &&
		r.Amount.Units > 0 && r.Left >= r.Amount.Units
}

// reasonable says whether Toss takes s for a reason.
func reasonable(s string) bool {
	return strings.TrimSpace(s) != "" && utf8.ValidString(s) && utf8.RuneCountInString(s) <= 200 && !strings.ContainsFunc(s, unicode.IsControl)
}

// addressable says whether a key of Toss's can stand in a path and be that key there.
func addressable(key string) bool {
	return strings.Trim(key, ".") != "" && len(key) <= 200 && printable(key)
}

func paymentPath(key string) string { return "/v1/payments/" + url.PathEscape(key) }

// refundRefusal is the one place where an error answer to a refund becomes its result.
func refundRefusal(status int, code string) billing.Refunded {
	switch {
	case status == http.StatusTooManyRequests:
		return billing.Refunded{Result: billing.NotMade, Code: code, Busy: true}
	case status == http.StatusUnauthorized && code == "UNAUTHORIZED_KEY":
		return billing.Refunded{Result: billing.NotMade, Code: code, Misconfigured: true}
	case status >= http.StatusInternalServerError:
		// Whether Toss repeats a failure of its own is not documented. Without a code it was not
		// Toss who spoke, and it may be at it still.
		return billing.Refunded{Result: billing.Unclear, Code: code, Final: code != ""}
	case !decided(status):
		return billing.Refunded{Result: billing.Unclear, Code: code}
	case refundRefusals[code]:
		return billing.Refunded{Result: billing.Refused, Code: code}
	case kinds[code] == ours, status == http.StatusNotFound && code == "NOT_FOUND_PAYMENT":
		// A payment whose key we have is unknown to a shop that is not the one that took it.
		return billing.Refunded{Result: billing.NotMade, Code: code, Misconfigured: true}
	default:
		return billing.Refunded{Result: billing.Unclear, Code: code, Final: code != "" && kinds[code] != fleeting}
	}
}

// given is a cancel of a payment (Toss Payments reference, "Payment", cancels).
type given struct {
	amount      int64
	left        int64 // after it
	leftKnown   bool
	at          time.Time // zero if it cannot be read
	done        bool
	transaction string
}

// cancelsOf reads all cancels of a payment, or is false if one of them has no amount.
func cancelsOf(p object) ([]given, bool) {
	if raw := p["cancels"]; raw == nil || string(raw) == "null" {
		return nil, true
	}
	list, ok := readObjects(p["cancels"])
	if !ok {
		return nil, false
	}
	cancels := make([]given, len(list))
	for i, c := range list {
		amount, ok := c.integer("cancelAmount")
		if !ok || amount <= 0 {
			return nil, false
		}
		left, known := c.integer("refundableAmount")
		at, err := time.Parse(time.RFC3339, c.text("canceledAt"))
		if err != nil {
			at = time.Time{}
		}
		// Only cancels of foreign wallets take their time; a card's is done when it is shown.
		status := c.text("cancelStatus")
		cancels[i] = given{amount, left, known, at, status == "DONE" || status == "", c.text("transactionKey")}
	}
	return cancels, true
}

// fitting are the cancels that can be r's: of its amount, and, where they say what they
// left, of what there was before it. What is left only falls, so at most one fits fully.
func fitting(cancels []given, r billing.Refunding) []given {
	var fit []given
	for _, c := range cancels {
		if c.amount == r.Amount.Units && (!c.leftKnown || c.left == r.Left-r.Amount.Units) {
			fit = append(fit, c)
		}
	}
	return fit
}

// refunded says whether p is the payment that r gives back of, and what is left of it.
func refunded(p object, r billing.Refunding) (left int64, ok bool) {
	left, ok = p.integer("balanceAmount")
	return left, ok && left >= 0 && p.text("paymentKey") == r.Payment && p.text("orderId") == r.OrderID &&
		p.text("currency") == currency && p.text("type") == "BILLING"
}

// givenBack is what a 200 to a refund says.
func givenBack(p object, r billing.Refunding) billing.Refunded {
	left, ok := refunded(p, r)
	cancels, readable := cancelsOf(p)
	if !ok || !readable || left != r.Left-r.Amount.Units {
		return billing.Refunded{Result: billing.Unclear}
	}
	fit := fitting(cancels, r)
	for _, c := range fit {
		if c.done && (len(fit) == 1 || c.transaction == p.text("lastTransactionKey")) {
			return billing.Refunded{Result: billing.Taken, Transaction: c.transaction}
		}
	}
	return billing.Refunded{Result: billing.Unclear}
}

// standing is what a payment that was looked up says of a refund; strange says that it is
// not the payment, or cannot be read.
func standing(p object, r billing.Refunding) (refund billing.Refunded, strange bool) {
	unclear := billing.Refunded{Result: billing.Unclear}
	left, ok := refunded(p, r)
	total, counted := p.integer("totalAmount")
	cancels, readable := cancelsOf(p)
	if !ok || !counted || !readable {
		return unclear, true
	}
	var fit []given
	doubt := false
	since := r.Since.Truncate(time.Second) // as Toss writes it
	for _, c := range fitting(cancels, r) {
		switch {
		case c.leftKnown && (c.at.IsZero() || !c.at.Before(since.Add(-clocks))), !c.leftKnown && !c.at.IsZero() && !c.at.Before(since):
			fit = append(fit, c)
		case c.leftKnown:
			// The very cancel, but before we asked: another's, if it stands.
			doubt = doubt || !c.done || left > r.Left-r.Amount.Units
		case c.at.IsZero():
			doubt = true // nobody knows when
		}
	}
	switch {
	case len(fit) > 1 || doubt:
		return unclear, false
	case len(fit) == 1:
		if !fit[0].done || left > r.Left-r.Amount.Units {
			return unclear, false
		}
		return billing.Refunded{Result: billing.Taken, Transaction: fit[0].transaction}, false
	case left == r.Left:
		return billing.Refunded{Result: billing.Absent}, false
	}
	// Something else was given back. If the payment shows all of it, ours is not among it,
	// and the lock keeps it from happening any more.
	for _, c := range cancels {
		if c.done && c.amount <= total {
			total -= c.amount
		}
	}
	if total != left {
		return unclear, false
	}
	return billing.Refunded{Result: billing.Absent}, false
}

// outcomeOf is a refund as the log shows it.
func outcomeOf(r billing.Refunded) billing.Outcome {
	return billing.Outcome{Result: r.Result, Code: r.Code, Misconfigured: r.Misconfigured}
}

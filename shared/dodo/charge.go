package dodo

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"grantline/shared/billing"
	"grantline/shared/fault"
)

// The keys of our metadata. Dodo gives metadata back and never searches it (Dodo Payments
// reference, "Metadata": keys of up to 40 letters, digits, - and _; values of up to 500).
const (
	orderField        = "order_id"
	subscriptionField = "grantline_subscription"
	refundField       = "refund_key"
)

// orderShape is an orderId.
var orderShape = regexp.MustCompile(`^[A-Za-z0-9_-]{6,64}$`)

// charge is the body of a charge; the order of its fields is the order of the bytes.
// Without metadata Dodo would copy the mandate's, and no payment could be told from
// another.
type charge struct {
	Price       int64    `json:"product_price"`
	Currency    string   `json:"product_currency"`
	Description string   `json:"product_description"`
	Included    bool     `json:"adaptive_currency_fees_inclusive"`
	Metadata    metadata `json:"metadata"`
}

// metadata is what we keep with a payment, a mandate or a refund.
type metadata struct {
	OrderID      string `json:"order_id,omitempty"`
	Subscription string `json:"grantline_subscription,omitempty"`
	Refund       string `json:"refund_key,omitempty"`
	Retry        string `json:"retry_attempt,omitempty"` // to be read by people alone (seed policy)
}

// Compose makes the body of a charge: the same bytes for the same request. Whom to
// charge is the mandate's, and tax is Dodo's business, so a request's customer and its
// tax-free part are not in it. Errors are fault.Invalid with code "invalid_charge", and
// name the field.
func (g *Gateway) Compose(r billing.Request) ([]byte, error) {
	wrong := func(field, should string) ([]byte, error) {
		return nil, fault.New(fault.Invalid, "invalid_charge", "%s should be %s.", field, should)
	}
	switch {
	case !orderShape.MatchString(r.OrderID):
		return wrong("orderId", "6 to 64 of letters, digits, - and _")
	case !currencyShape.MatchString(r.Amount.Currency):
		return wrong("currency", "three capital letters of ISO 4217")
	case r.Amount.Units <= 0:
		return wrong("amount", "positive")
	case !short(r.Name, 100) || strings.TrimSpace(r.Name) == "":
		return wrong("orderName", "1 to 100 characters")
	}
	retry := ""
	if r.Attempt > 0 {
		retry = strconv.Itoa(r.Attempt - 1)
	}
	return json.Marshal(charge{r.Amount.Units, r.Amount.Currency, r.Name, r.FeesIncluded, metadata{OrderID: r.OrderID, Retry: retry}})
}

// short says whether s is text of up to so many characters.
func short(s string, most int) bool { return utf8.ValidString(s) && utf8.RuneCountInString(s) <= most }

// errBody is a body that Compose did not make for this order.
var errBody = errors.New("dodo: the body is not of this order")

// read checks that a body is the one of an order: what is kept sealed in a record may
// have been mixed up there.
func read(orderID string, body []byte) error {
	var c charge
	if err := json.Unmarshal(body, &c); err != nil || c.Metadata.OrderID != orderID || !orderShape.MatchString(orderID) ||
		c.Price <= 0 || !currencyShape.MatchString(c.Currency) {
		return errBody
	}
	return nil
}

// Charge sends a body that Compose made, once. Accepted is all the good news that there is:
// Dodo has made a payment, and Find with its key says what became of it.
//
// NotMade and Refused are about this send alone, which Dodo surely did not execute. What
// an earlier send of the same order did is for Find to say, and the same order is never to
// be sent again before.
func (g *Gateway) Charge(ctx context.Context, orderID string, card billing.Card, body []byte) billing.Outcome {
	ctx, cancel := g.bounded(ctx)
	defer cancel()
	if read(orderID, body) != nil || !idShape.MatchString(card.BillingKey) {
		// Sent, it would be another order's or another address. Both are bugs of the caller.
		g.config.Log.LogAttrs(ctx, slog.LevelError, "charge not sent to dodo: body or mandate is not of this order", slog.String("order", orderID))
		return billing.Outcome{Result: billing.NotMade, Misconfigured: true}
	}
	a, err := g.ask(ctx, call{
		method: http.MethodPost,
		path:   "/subscriptions/" + url.PathEscape(card.BillingKey) + "/charge",
		body:   body,
	})
	if err != nil {
		outcome := billing.Outcome{Result: billing.Unclear}
		if errors.Is(err, errUnsent) {
			outcome.Result = billing.NotMade
		}
		g.unanswered(ctx, "charge", orderID, string(outcome.Result), err)
		return outcome
	}
	if a.status != http.StatusOK {
		outcome := refusal(a)
		g.answered(ctx, "charge", orderID, a, outcome)
		return outcome
	}
	outcome := billing.Outcome{Result: billing.Unclear}
	if id := a.body.id("payment_id"); id != "" {
		outcome = billing.Outcome{Result: billing.Accepted, Payment: billing.Payment{Key: id}}
	} else {
		g.alarm(ctx, "dodo accepted a charge and names no payment", orderID)
	}
	g.answered(ctx, "charge", orderID, a, outcome)
	return outcome
}

// unanswered logs a call that brought no answer.
func (g *Gateway) unanswered(ctx context.Context, what, orderID, result string, err error) {
	g.config.Log.LogAttrs(ctx, slog.LevelWarn, "dodo did not answer", slog.String("call", what), slog.String("order", orderID),
		slog.String("result", result), slog.String("why", err.Error()))
}

// answered logs an answer and what it was taken for. A person is needed where our side is
// wrong.
func (g *Gateway) answered(ctx context.Context, what, orderID string, a answer, o billing.Outcome) {
	level, message := slog.LevelInfo, "dodo answered"
	switch {
	case o.Misconfigured:
		level, message = slog.LevelError, "dodo refused us, not the card"
	case o.Result == billing.Unclear || o.Result == billing.NotMade:
		level = slog.LevelWarn
	}
	g.config.Log.LogAttrs(ctx, level, message, slog.String("call", what), slog.String("order", orderID), slog.Int("status", a.status),
		slog.String("code", a.code), slog.String("result", string(o.Result)), slog.String("class", string(o.Class)))
}

// alarm logs what a person has to look at.
func (g *Gateway) alarm(ctx context.Context, message, orderID string, more ...slog.Attr) {
	g.config.Log.LogAttrs(ctx, slog.LevelError, message, append([]slog.Attr{slog.String("order", orderID), slog.Bool("alarm", true)}, more...)...)
}

package toss

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"grantline/shared/billing"
	"grantline/shared/fault"
	"grantline/shared/money"
)

// currency is the only one that a Korean billing key is charged in.
const currency = "KRW"

// minAmount is the least that Toss charges a card, in won (BELOW_MINIMUM_AMOUNT).
const minAmount = 100

// What Toss accepts (Toss Payments reference, "Automatic payment" and "Error codes"). Its pages disagree
// about the length of a customerKey; 300 is the longest that any of them allows.
var (
	orderShape    = regexp.MustCompile(`^[A-Za-z0-9_-]{6,64}$`)
	customerShape = regexp.MustCompile(`^[A-Za-z0-9\-_=.@]{2,300}$`)
	// mailShape is an address as everybody writes one, well within RFC 5321.
	mailShape = regexp.MustCompile(`^[A-Za-z0-9_+-]+(\.[A-Za-z0-9_+-]+)*@([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,24}$`)
	// nameShape is a name in letters of any script that UTF-16 has in one unit.
	nameShape = regexp.MustCompile(`^[\pL\pM\pN '.,()·-]*$`)
)

// charge is the body of a charge; the order of its fields is the order of the bytes.
type charge struct {
	CustomerKey   string `json:"customerKey"`
	Amount        int64  `json:"amount"`
	OrderID       string `json:"orderId"`
	OrderName     string `json:"orderName"`
	CustomerEmail string `json:"customerEmail,omitempty"`
	CustomerName  string `json:"customerName,omitempty"`
	TaxFreeAmount int64  `json:"taxFreeAmount"`
}

// Compose makes the body of a charge: the same bytes for the same request. Its errors
// are fault.Invalid with code "invalid_charge", and name the field.
func (g *Gateway) Compose(r billing.Request) ([]byte, error) {
	wrong := func(field, should string) ([]byte, error) {
		return nil, fault.New(fault.Invalid, "invalid_charge", "%s should be %s.", field, should)
	}
	switch {
	case !orderShape.MatchString(r.OrderID):
		return wrong("orderId", "6 to 64 of letters, digits, - and _")
	case !customerShape.MatchString(r.CustomerKey):
		return wrong("customerKey", "2 to 300 of letters, digits and -_=.@")
	case r.Amount.Currency != currency:
		return wrong("currency", currency)
	case r.Amount.Units < minAmount:
		return wrong("amount", "100 won or more")
	case r.TaxFree < 0 || r.TaxFree > r.Amount.Units:
		return wrong("taxFreeAmount", "within the amount")
	case !short(r.Name) || strings.TrimSpace(r.Name) == "":
		return wrong("orderName", "1 to 100 characters")
	case r.Email != "" && !mailable(r.Email):
		return wrong("customerEmail", "a plain address of up to 100 characters")
	case !nameable(r.Customer):
		return wrong("customerName", "up to 100 letters")
	}
	text, err := json.Marshal(charge{r.CustomerKey, r.Amount.Units, r.OrderID, r.Name, r.Email, r.Customer, r.TaxFree})
	if err != nil || r.Round <= 0 {
		return text, err
	}
	return append([]byte(r.OrderID+roundMark+strconv.Itoa(r.Round)+"\n"), text...), nil
}

// roundMark parts an order's id from the number of its round in an idempotency key. Toss
// repeats a refusal for 15 days, and so one for a mistake that was mended the next hour: a
// body that surely was not executed is followed by one under another key. Should that be
// wrong, the order's id, of which Toss takes no second payment, makes it one charge.
const roundMark = "_round"

// short says whether s is up to 100 characters of text.
func short(s string) bool {
	return utf8.ValidString(s) && utf8.RuneCountInString(s) <= 100 && !strings.ContainsFunc(s, unicode.IsControl)
}

// mailable is far stricter than an address may be. Toss refuses a charge for its e-mail
// (INVALID_EMAIL) by rules that it does not publish, and would repeat that for the order's
// key: whoever wrote an address that we take and Toss does not would never be charged.
func mailable(s string) bool {
	at := strings.LastIndexByte(s, '@')
	return len(s) <= 100 && at <= 64 && mailShape.MatchString(s)
}

// nameable is as strict, for the same reason.
func nameable(s string) bool {
	wide := func(r rune) bool { return r > 0xffff }
	return short(s) && !strings.ContainsFunc(s, wide) && nameShape.MatchString(s)
}

// errBody is a body that Compose did not make for this order.
var errBody = errors.New("toss: the body is not of this order")

// letter is what Compose wrote: the bytes to send, and the key to send them under.
type letter struct {
	charge
	key  string
	text []byte
}

// read gives back what Compose wrote.
func read(orderID string, body []byte) (letter, error) {
	l := letter{key: orderID, text: body}
	if first, rest, ok := bytes.Cut(body, []byte("\n")); ok {
		round, found := strings.CutPrefix(string(first), orderID+roundMark)
		if n, err := strconv.Atoi(round); !found || err != nil || n < 1 {
			return letter{}, errBody
		}
		l.key, l.text = string(first), rest
	}
	if err := json.Unmarshal(l.text, &l.charge); err != nil || l.OrderID != orderID || !orderShape.MatchString(orderID) || l.Amount < minAmount {
		return letter{}, errBody
	}
	return l, nil
}

// Charge sends a body that Compose made, once, with the orderID as its Idempotency-Key, and
// the number of its round if it is not the first.
// Taken is only the payment that was asked for, by its order, amount, currency and type.
//
// NotMade and Refused are about this send. If an earlier send of the same order is still
// unclear, NotMade says nothing about it: its 401 or 429 came before Toss looked at the key.
func (g *Gateway) Charge(ctx context.Context, orderID string, card billing.Card, body []byte) billing.Outcome {
	wanted, err := read(orderID, body)
	if err != nil || card.BillingKey == "" || strings.Trim(card.BillingKey, ".") == "" {
		// Sent, it would be another order's or another address. Both are bugs of the caller.
		g.config.Log.LogAttrs(ctx, slog.LevelError, "charge not sent to toss: body or billing key is not of this order", slog.String("order", orderID))
		return billing.Outcome{Result: billing.NotMade, Misconfigured: true}
	}
	a, err := g.ask(ctx, call{
		method: http.MethodPost,
		path:   "/v1/billing/" + url.PathEscape(card.BillingKey),
		key:    wanted.key,
		body:   wanted.text,
	})
	if err != nil {
		outcome := billing.Outcome{Result: billing.Unclear}
		if errors.Is(err, errUnsent) {
			outcome.Result = billing.NotMade
		}
		g.unanswered(ctx, "charge", orderID, outcome, err)
		return outcome
	}
	outcome := refusal(a.status, a.code)
	if a.status == http.StatusOK {
		outcome = taken(a.body, orderID, money.Of(wanted.Amount, currency))
	}
	g.answered(ctx, "charge", orderID, a, outcome, a.status == http.StatusOK && outcome.Result != billing.Taken)
	return outcome
}

// taken is what a 200 to a charge says.
func taken(p object, orderID string, want money.Amount) billing.Outcome {
	if p.text("status") != "DONE" || !same(p, orderID, want) {
		return billing.Outcome{Result: billing.Unclear}
	}
	return billing.Outcome{Result: billing.Taken, Payment: paymentOf(p)}
}

// unanswered logs a call that brought no answer.
func (g *Gateway) unanswered(ctx context.Context, what, orderID string, o billing.Outcome, err error) {
	g.config.Log.LogAttrs(ctx, slog.LevelWarn, "toss did not answer", slog.String("call", what), slog.String("order", orderID),
		slog.String("result", string(o.Result)), slog.String("why", err.Error()))
}

// answered logs an answer and what it was taken for. A person is needed where our side is
// wrong, and where Toss shows a strange payment: not the one that was asked for.
func (g *Gateway) answered(ctx context.Context, what, orderID string, a answer, o billing.Outcome, strange bool) {
	level, message := slog.LevelInfo, "toss answered"
	switch {
	case o.Misconfigured:
		level, message = slog.LevelError, "toss refused us, not the card"
	case strange:
		level, message = slog.LevelError, "toss shows another payment than the one asked for"
	case o.Result == billing.Unclear || o.Result == billing.NotMade:
		level = slog.LevelWarn
	}
	g.config.Log.LogAttrs(ctx, level, message, slog.String("call", what), slog.String("order", orderID),
		slog.Int("status", a.status), slog.String("code", o.Code), slog.String("result", string(o.Result)),
		slog.String("class", string(o.Class)), slog.String("trace", a.trace))
}

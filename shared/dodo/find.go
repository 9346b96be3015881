package dodo

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"grantline/shared/billing"
	"grantline/shared/fault"
	"grantline/shared/money"
)

const (
	// pageSize is the most that Dodo puts on a page of a list.
	pageSize = 100
	// surelyLast is Dodo's own size of a page: one with fewer is the last, whatever size
	// Dodo granted.
	surelyLast = 10
	// maxPages bounds the pages that a Find looks at, of one mandate's payments.
	maxPages = 20
	// maxMatches bounds the payments of one order that a Find looks at, one by one.
	maxMatches = 20
	// backdated is how far Dodo's clock may be behind ours.
	backdated = 10 * time.Minute
)

// Find looks up the payments of an order. With want.Payment it looks at that one; without,
// it lists the payments of the mandate since want.Since, and looks at those that carry the
// order's id in their metadata, but for want.Passed. A payment that was given back since was
// taken all the same.
//
// A payment's amount includes tax, and may be in the customer's currency, so order and
// mandate tell which payment it is, and its amount does not.
//
// Absent means that every page was read and no payment of the order was on it. Dodo does
// not say how soon a list shows a payment: it is for the caller to ask again before it
// believes it.
func (g *Gateway) Find(ctx context.Context, orderID string, want billing.Want) billing.Outcome {
	ctx, cancel := g.bounded(ctx)
	defer cancel()
	byKey := want.Payment != "" && want.Card.BillingKey == "" // of a mandate that is forgotten here: the order alone tells
	if !orderShape.MatchString(orderID) || !byKey && !idShape.MatchString(want.Card.BillingKey) || want.Payment != "" && !idShape.MatchString(want.Payment) {
		g.config.Log.LogAttrs(ctx, slog.LevelError, "order not looked up at dodo: no order or mandate of ours has such an id")
		return billing.Outcome{Result: billing.Unclear}
	}
	keys, whole := []string{want.Payment}, true
	if want.Payment == "" {
		var err error
		if keys, whole, err = g.candidates(ctx, orderID, want); err != nil {
			g.unanswered(ctx, "find", orderID, string(billing.Unclear), err)
			return billing.Outcome{Result: billing.Unclear, Code: codeOf(err)}
		}
	}
	var found []sighting
	for _, key := range keys {
		p, err := g.payment(ctx, key)
		if err != nil {
			g.unanswered(ctx, "find", orderID, string(billing.Unclear), err)
			return billing.Outcome{Result: billing.Unclear, Code: codeOf(err)}
		}
		switch whose(p, orderID, want.Card.BillingKey) {
		case mine:
			found = append(found, g.sight(ctx, p, orderID, want))
		case foreign:
			// One that only gave the mandate another card carries the metadata of its first order.
			if want.Payment == "" || p.yes("is_update_payment_method") {
				continue
			}
			fallthrough
		case strange:
			g.alarm(ctx, "dodo shows another payment than the one asked for", orderID)
			return billing.Outcome{Result: billing.Unclear}
		}
	}
	outcome := g.settle(ctx, orderID, found, whole)
	level := slog.LevelInfo
	if outcome.Result == billing.Unclear {
		level = slog.LevelWarn
	}
	g.config.Log.LogAttrs(ctx, level, "dodo answered", slog.String("call", "find"), slog.String("order", orderID), slog.Int("payments", len(found)),
		slog.String("code", outcome.Code), slog.String("result", string(outcome.Result)), slog.String("class", string(outcome.Class)))
	return outcome
}

// unhad is an answer that does not show what was asked for.
type unhad struct{ answer answer }

func (u unhad) Error() string {
	return "dodo: no answer to build on, status " + strconv.Itoa(u.answer.status) + " " + u.answer.code
}

// codeOf is the code of an answer that does not show what was asked for, "" for no answer.
func codeOf(err error) string {
	if u, ok := errors.AsType[unhad](err); ok {
		return u.answer.code
	}
	return ""
}

// payment looks at one payment.
func (g *Gateway) payment(ctx context.Context, key string) (object, error) {
	a, err := g.ask(ctx, call{method: http.MethodGet, path: "/payments/" + url.PathEscape(key)})
	if err != nil {
		return nil, err
	}
	if a.status != http.StatusOK || a.body.id("payment_id") != key {
		return nil, unhad{a}
	}
	return a.body, nil
}

// candidates lists the payments that may be an order's: those that carry its id, and those
// whose metadata the list does not show. It is whole if the list was read to its end.
func (g *Gateway) candidates(ctx context.Context, orderID string, want billing.Want) (keys []string, whole bool, err error) {
	query := url.Values{"subscription_id": {want.Card.BillingKey}}
	if !want.Since.IsZero() {
		query.Set("created_at_gte", instant(want.Since.Add(-backdated)))
	}
	for page := range maxPages {
		items, err := g.page(ctx, "/payments", query, page, pageSize)
		if err != nil {
			return nil, false, err
		}
		for _, item := range items {
			key, data := item.id("payment_id"), item.object("metadata")
			switch {
			case key == "":
				return nil, false, errors.New("dodo: the list has an entry without its payment's id")
			case data != nil && data.text(orderField) != orderID, item.yes("is_update_payment_method"), slices.Contains(keys, key), slices.Contains(want.Passed, key):
			case len(keys) == maxMatches:
				return nil, false, errors.New("dodo: too many payments carry the order's id")
			default:
				keys = append(keys, key)
			}
		}
		if len(items) < surelyLast {
			return keys, true, nil
		}
	}
	return keys, false, nil
}

// page reads one page of a list.
func (g *Gateway) page(ctx context.Context, path string, query url.Values, number, size int) ([]object, error) {
	query.Set("page_size", strconv.Itoa(size))
	query.Set("page_number", strconv.Itoa(number))
	a, err := g.ask(ctx, call{method: http.MethodGet, path: path, query: query})
	if err != nil {
		return nil, err
	}
	items, ok := a.body.list("items")
	if a.status != http.StatusOK || !ok {
		return nil, unhad{a}
	}
	return items, nil
}

// instant is how a list's filters take a time.
func instant(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// owner says whose a payment is.
type owner int

const (
	mine    owner = iota
	foreign       // of another order, or of no order: a new means of payment
	strange       // it carries the order's id and is another mandate's, or cannot be read
)

// whose compares a payment with the order and mandate that it should be of. The payment by
// which a customer gives a mandate another card copies the mandate's metadata, and with it
// the id of the order that the mandate began with.
func whose(p object, orderID, mandate string) owner {
	data := p.object("metadata")
	switch {
	case data == nil:
		return strange
	case data.text(orderField) != orderID, p.yes("is_update_payment_method"):
		return foreign
	case mandate != "" && p.text("subscription_id") != mandate:
		return strange
	default:
		return mine
	}
}

// sighting is one payment of the order.
type sighting struct {
	outcome billing.Outcome
	at      time.Time
	key     string
}

// sight is the one place where a payment that was looked up becomes an outcome. The states
// are those of the Dodo Payments reference, "IntentStatus".
func (g *Gateway) sight(ctx context.Context, p object, orderID string, want billing.Want) sighting {
	s := sighting{at: p.at("created_at"), key: p.id("payment_id")}
	amount, readable := p.integer("total_amount")
	currency := p.text("currency")
	switch status := p.text("status"); status {
	case "succeeded":
		if !readable || amount <= 0 || !currencyShape.MatchString(currency) {
			g.alarm(ctx, "dodo shows a payment that succeeded without an amount", orderID)
			s.outcome = billing.Outcome{Result: billing.Unclear}
			return s
		}
		if currency == want.Amount.Currency && amount < want.Amount.Units {
			g.config.Log.LogAttrs(ctx, slog.LevelWarn, "dodo took less than was asked for", slog.String("order", orderID),
				slog.Int64("taken", amount), slog.Int64("asked", want.Amount.Units), slog.String("currency", currency))
		}
		s.outcome = billing.Outcome{Result: billing.Taken, Payment: paymentOf(p, amount, currency)}
	case "failed", "cancelled":
		var alarm bool
		s.outcome, alarm = declined(p.code("error_code"))
		if s.outcome.Method = p.id("payment_method_id"); alarm {
			g.alarm(ctx, "dodo declined a charge for a reason that needs a person", orderID, slog.String("code", s.outcome.Code))
		}
	case "", "processing", "requires_customer_action", "requires_merchant_action", "requires_payment_method", "requires_confirmation",
		"requires_capture", "partially_captured", "partially_captured_and_capturable":
		s.outcome = billing.Outcome{Result: billing.Accepted, Payment: billing.Payment{Key: s.key}}
	default:
		g.alarm(ctx, "dodo shows a payment in a state that is new", orderID)
		s.outcome = billing.Outcome{Result: billing.Unclear}
	}
	return s
}

// settle makes one outcome of the payments of an order. Money that was taken counts first,
// the earliest payment as the order's own and each later one as a further; then what is
// not certain, then what is open, and last what was declined, by the latest.
func (g *Gateway) settle(ctx context.Context, orderID string, found []sighting, whole bool) billing.Outcome {
	slices.SortFunc(found, func(a, b sighting) int {
		return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.key, b.key))
	})
	by := map[billing.Result][]billing.Outcome{}
	for _, s := range found {
		by[s.outcome.Result] = append(by[s.outcome.Result], s.outcome)
	}
	taken, unclear, open, refused := by[billing.Taken], by[billing.Unclear], by[billing.Accepted], by[billing.Refused]
	if len(taken) > 0 && len(found)-len(refused) > 1 {
		g.alarm(ctx, "dodo shows several payments of one order", orderID, slog.Int("taken", len(taken)), slog.Int("undecided", len(unclear)+len(open)))
	}
	switch {
	case len(taken) > 0:
		outcome := taken[0]
		for _, other := range taken[1:] {
			outcome.Others = append(outcome.Others, other.Payment)
		}
		return outcome
	case len(unclear) > 0:
		return billing.Outcome{Result: billing.Unclear}
	case len(open) > 0:
		return open[0]
	case !whole: // another may have been taken
		return billing.Outcome{Result: billing.Unclear}
	case len(refused) > 0:
		return refused[len(refused)-1]
	default:
		return billing.Outcome{Result: billing.Absent}
	}
}

// paymentOf keeps what is needed to refund, to show and to account for a payment. What
// decides nothing and cannot be read is left out.
func paymentOf(p object, amount int64, currency string) billing.Payment {
	tax, _ := p.integer("tax")
	return billing.Payment{
		Key:        p.id("payment_id"),
		Card:       masked(p.text("card_last_four")),
		Issuer:     p.text("card_network"),
		ReceiptURL: followable(p.text("invoice_url")),
		ApprovedAt: p.at("created_at"),
		Amount:     amount,
		Currency:   currency,
		VAT:        max(tax, 0),
		Mandate:    p.id("subscription_id"),
		Returned:   returned(p) + lost(p, amount, currency),
	}
}

// returned is what of a payment was given back for good, by its refunds.
func returned(p object) int64 {
	var all int64
	refunds, _ := p.list("refunds")
	for _, r := range refunds {
		if amount, ok := r.integer("amount"); ok && amount > 0 && r.text("status") == "succeeded" {
			all += amount
		}
	}
	return all
}

// lost is what of a payment the payer's bank took back for good, by disputes that were lost or
// accepted (Dodo Payments API, dispute_status). While one is open nothing is decided. Its amount
// is a text of which nobody says the unit: what reads as all of the payment either way is all of
// it, and so is what cannot be read.
func lost(p object, amount int64, currency string) int64 {
	var all int64
	disputes, _ := p.list("disputes")
	for _, d := range disputes {
		if !verdicts[d.text("dispute_status")].lost {
			continue
		}
		part := amount
		if minor, err := strconv.ParseInt(d.text("amount"), 10, 64); err == nil && minor > 0 && minor < amount && d.text("currency") == currency {
			if major, exact := money.FromMilli(minor*1000, currency); !exact || major.Units != amount {
				part = minor
			}
		}
		all += part
	}
	return min(all, amount)
}

// OrderOf is the order that a payment was made for, by its metadata, "" for none of ours.
// Errors: fault.Unavailable.
func (g *Gateway) OrderOf(ctx context.Context, payment string) (string, error) {
	if !idShape.MatchString(payment) {
		return "", nil
	}
	ctx, cancel := g.bounded(ctx)
	defer cancel()
	p, err := g.payment(ctx, payment)
	if u, ok := errors.AsType[unhad](err); ok && u.answer.status == http.StatusNotFound {
		return "", nil
	}
	if err != nil {
		return "", fault.New(fault.Unavailable, "gateway_unavailable", "Dodo Payments could not be asked.").Because(err)
	}
	return p.object("metadata").id(orderField), nil
}

// followable passes the address of a page: customers are shown it, and whatever else they
// could be made to follow is dropped.
func followable(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.User != nil || !printable(address) {
		return ""
	}
	return address
}

// masked shows the last four digits of a card, and nothing else that stands where they
// should: a whole number is not ours to keep (PCI DSS, 3.4).
func masked(four string) string {
	if len(four) != 4 {
		return ""
	}
	for i := range len(four) {
		if four[i] < '0' || four[i] > '9' {
			return ""
		}
	}
	return "****" + four
}

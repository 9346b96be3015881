package dodo

import (
	"context"
	"log/slog"
	"net/url"
	"strconv"
	"strings"
	"time"

	"grantline/shared/billing"
	"grantline/shared/fault"
)

const (
	// maxStatement bounds the pages of a list in a statement: 200,000 payments.
	maxStatement = 2000
	// refundPage is the size of a page of refunds. Each needs a look at its payment, since a
	// refund in a list does not say whose it is; Dodo allows 10 requests a second and 100 a
	// minute a key, and charges come first.
	refundPage = 5
)

// The two parts of a statement, each paged by its number.
const (
	paymentsPart = "payments"
	refundsPart  = "refunds"
)

// Statement pages through the payments that succeeded, and then through the refunds that
// did, each by the instant at which it was made. The lists do not say which payments only
// gave a mandate another card; where such a one took money, it is an entry too.
func (g *Gateway) Statement(ctx context.Context, from, to time.Time, after string) (entries []billing.Entry, next string, err error) {
	ctx, cancel := g.bounded(ctx)
	defer cancel()
	part, number, ok := cursor(after)
	if !ok || !from.Before(to) {
		g.config.Log.LogAttrs(ctx, slog.LevelError, "statement not asked for at dodo: no such page or span")
		return nil, "", unavailable()
	}
	size, read := pageSize, g.paid
	if part == refundsPart {
		size, read = refundPage, g.returned
	}
	query := url.Values{"created_at_gte": {instant(from)}, "created_at_lte": {instant(to)}}
	items, err := g.page(ctx, "/"+part, query, number, size)
	if err != nil {
		return nil, "", g.unstated(ctx, err.Error())
	}
	for _, each := range items {
		at := each.at("created_at")
		if at.IsZero() {
			return nil, "", g.unstated(ctx, "an entry has no date")
		}
		if at.Before(from) || !at.Before(to) {
			continue
		}
		entry, listed, why := read(ctx, each)
		if why != "" {
			return nil, "", g.unstated(ctx, why)
		}
		if listed {
			entry.At = at
			entries = append(entries, entry)
		}
	}
	switch {
	case len(items) >= min(size, surelyLast) && number+1 == maxStatement:
		return nil, "", g.unstated(ctx, "the list does not end")
	case len(items) >= min(size, surelyLast):
		next = part + ":" + strconv.Itoa(number+1)
	case part == paymentsPart:
		next = refundsPart + ":0"
	}
	return entries, next, nil
}

// cursor reads what Statement gave as next.
func cursor(after string) (part string, number int, ok bool) {
	if after == "" {
		return paymentsPart, 0, true
	}
	part, page, _ := strings.Cut(after, ":")
	number, err := strconv.Atoi(page)
	return part, number, err == nil && number >= 0 && number < maxStatement && (part == paymentsPart || part == refundsPart)
}

// paid reads a payment of a statement. Why is not "" if it cannot be read, and listed is
// false if it took nothing.
func (g *Gateway) paid(_ context.Context, p object) (entry billing.Entry, listed bool, why string) {
	if p.text("status") != "succeeded" || p.yes("is_update_payment_method") {
		return billing.Entry{}, false, ""
	}
	amount, readable := p.integer("total_amount")
	entry = billing.Entry{OrderID: orderOf(p), Payment: p.id("payment_id"), Currency: p.text("currency"), Taken: amount}
	if !readable || amount < 0 || entry.Payment == "" || !currencyShape.MatchString(entry.Currency) {
		return billing.Entry{}, false, "a payment that succeeded has no id, amount or currency"
	}
	return entry, amount > 0, "" // a mandate alone takes nothing
}

// returned reads a refund of a statement, as paid does a payment.
func (g *Gateway) returned(ctx context.Context, each object) (entry billing.Entry, listed bool, why string) {
	if each.text("status") != "succeeded" {
		return billing.Entry{}, false, ""
	}
	key := each.id("payment_id")
	if key == "" {
		return billing.Entry{}, false, "a refund does not name its payment"
	}
	p, err := g.payment(ctx, key)
	if err != nil {
		return billing.Entry{}, false, err.Error()
	}
	if p.yes("is_update_payment_method") {
		return billing.Entry{}, false, ""
	}
	entry = billing.Entry{OrderID: orderOf(p), Payment: key, Currency: p.text("currency")}
	if currency := each.text("currency"); currency != "" {
		entry.Currency = currency
	}
	amount, readable := each.integer("amount")
	if !readable && !each.yes("is_partial") {
		amount, readable = p.integer("total_amount")
	}
	if !readable || amount <= 0 || !currencyShape.MatchString(entry.Currency) {
		return billing.Entry{}, false, "a refund has no amount or currency"
	}
	entry.Returned = amount
	return entry, true, ""
}

// orderOf is the order that a payment carries, "" if it is none of ours.
func orderOf(p object) string {
	if id := p.object("metadata").text(orderField); orderShape.MatchString(id) {
		return id
	}
	return ""
}

// unstated is the error of a statement that could not be had.
func (g *Gateway) unstated(ctx context.Context, why string) error {
	g.config.Log.LogAttrs(ctx, slog.LevelWarn, "dodo gave no statement", slog.String("call", "statement"), slog.String("why", why))
	return unavailable()
}

func unavailable() *fault.Error {
	return fault.New(fault.Unavailable, "gateway_unavailable", "Dodo Payments could not be asked now; ask again.")
}

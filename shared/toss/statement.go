package toss

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"grantline/shared/billing"
)

// maxRows bounds a page of a statement. Toss gives up to 5000 at once, of some 500 bytes
// each; so many are a quarter of maxAnswer.
const maxRows = 500

// korea is the zone of the dates in a question (Toss Payments reference, "Transactions");
// it has no daylight saving time.
var korea = time.FixedZone("KST", 9*60*60)

// whole is how Toss wants a date: Korean time to the second, without a zone.
const whole = "2006-01-02T15:04:05"

// moves says which way money went, by the state that a transaction left its payment in
// (Toss Payments reference, "Transaction"). The others moved none.
var moves = map[string]struct{ taken, returned bool }{
	"DONE":                {taken: true},
	"CANCELED":            {returned: true},
	"PARTIAL_CANCELED":    {returned: true},
	"READY":               {},
	"IN_PROGRESS":         {},
	"WAITING_FOR_DEPOSIT": {},
	"ABORTED":             {},
	"EXPIRED":             {},
}

// Statement pages through the transactions of the shop in [from, to), those of others
// who share it among them. Its errors are fault.Unavailable with code
// "gateway_unavailable"; a page that cannot be read in full is one, since a comparison
// would take what it lacks for missing. Left out are transactions that moved no money or
// none in won, which no billing key is charged in, and, with an error in the log, those
// in a state that is new.
//
// Toss may take a minute for a page, shows a payment some time after it was made, and
// with a test key goes back three days only.
func (g *Gateway) Statement(ctx context.Context, from, to time.Time, after string) (entries []billing.Entry, next string, err error) {
	if !from.Before(to) {
		return nil, "", nil
	}
	// The second that an end falls into is asked for as a whole, and the exact ends are
	// ours: Toss's pages differ about whether endDate is in or out.
	query := url.Values{
		"startDate": {from.Truncate(time.Second).In(korea).Format(whole)},
		"endDate":   {to.Add(time.Second - 1).Truncate(time.Second).In(korea).Format(whole)},
		"limit":     {strconv.Itoa(maxRows)},
	}
	if after != "" {
		query.Set("startingAfter", after)
	}
	a, err := g.ask(ctx, call{method: http.MethodGet, path: "/v1/transactions?" + query.Encode()})
	if err != nil {
		return nil, "", g.unheard(ctx, "statement", err)
	}
	entries, next, err = g.page(ctx, a, from, to, after)
	g.heard(ctx, "statement", a, err)
	return entries, next, err
}

// page reads a page of a statement. Its errors are fault.Unavailable.
func (g *Gateway) page(ctx context.Context, a answer, from, to time.Time, after string) (entries []billing.Entry, next string, err error) {
	if a.status != http.StatusOK {
		return nil, "", unavailable(errors.New("toss: no statement, code " + a.code))
	}
	rows, ok := readObjects(a.text)
	if !ok {
		return nil, "", unavailable(errors.New("toss: the statement is no list of transactions"))
	}
	for _, row := range rows {
		status := row.text("status")
		move, known := moves[status]
		if !known && codeShape.MatchString(status) {
			g.config.Log.LogAttrs(ctx, slog.LevelError, "toss shows a transaction in a new state", slog.String("state", status), slog.String("trace", a.trace))
			continue
		}
		if known && !move.taken && !move.returned || row.text("currency") != "" && row.text("currency") != currency {
			continue
		}
		entry, ok := entryOf(row, move.returned)
		if !known || !ok {
			return nil, "", unavailable(errors.New("toss: a transaction of the statement cannot be read"))
		}
		if !entry.At.Before(from) && entry.At.Before(to) {
			entries = append(entries, entry)
		}
	}
	if len(rows) < maxRows {
		return entries, "", nil
	}
	// A page that leads to itself would be read for ever.
	next = rows[len(rows)-1].text("transactionKey")
	if !addressable(next) || next == after {
		return nil, "", unavailable(errors.New("toss: the statement does not say where it goes on"))
	}
	return entries, next, nil
}

// entryOf reads a transaction that moved won. Which way is said by its state; whether the
// amount of a cancel has a sign is not documented, so one does not matter.
func entryOf(row object, returned bool) (billing.Entry, bool) {
	amount, ok := row.integer("amount")
	at, err := time.Parse(time.RFC3339, row.text("transactionAt"))
	if returned && amount < 0 {
		amount = -amount
	}
	entry := billing.Entry{OrderID: row.text("orderId"), Payment: row.text("paymentKey"), At: at.UTC(), Currency: row.text("currency")}
	if returned {
		entry.Returned = amount
	} else {
		entry.Taken = amount
	}
	return entry, ok && amount > 0 && err == nil && entry.Payment != "" && entry.Currency == currency
}

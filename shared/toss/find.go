package toss

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"grantline/shared/billing"
	"grantline/shared/money"
)

// Find looks up the payment of an order. A payment that was given back since was taken
// all the same. Absent is Toss's NOT_FOUND_PAYMENT alone; a 404 of anybody else is not.
func (g *Gateway) Find(ctx context.Context, orderID string, want billing.Want) billing.Outcome {
	if !orderShape.MatchString(orderID) {
		g.config.Log.LogAttrs(ctx, slog.LevelError, "order not looked up at toss: no order of ours has such an id")
		return billing.Outcome{Result: billing.Unclear}
	}
	a, err := g.ask(ctx, call{method: http.MethodGet, path: "/v1/payments/orders/" + url.PathEscape(orderID)})
	if err != nil {
		outcome := billing.Outcome{Result: billing.Unclear}
		g.unanswered(ctx, "find", orderID, outcome, err)
		return outcome
	}
	outcome := found(a, orderID, want.Amount)
	g.answered(ctx, "find", orderID, a, outcome, a.status == http.StatusOK && !same(a.body, orderID, want.Amount))
	return outcome
}

// found is the one place where a payment that was looked up becomes an outcome. The states
// are those of the Toss Payments reference, "Payment".
func found(a answer, orderID string, want money.Amount) billing.Outcome {
	switch {
	case a.status == http.StatusNotFound && a.code == "NOT_FOUND_PAYMENT":
		return billing.Outcome{Result: billing.Absent, Code: a.code}
	case a.status != http.StatusOK:
		return billing.Outcome{Result: billing.Unclear, Code: a.code}
	case !same(a.body, orderID, want):
		return billing.Outcome{Result: billing.Unclear}
	}
	switch a.body.text("status") {
	case "DONE", "CANCELED", "PARTIAL_CANCELED":
		return billing.Outcome{Result: billing.Taken, Payment: paymentOf(a.body)}
	case "ABORTED":
		code := a.body.object("failure").text("code")
		if !codeShape.MatchString(code) {
			code = ""
		}
		return aborted(code)
	case "EXPIRED":
		return billing.Outcome{Result: billing.Refused, Class: billing.Soft}
	default: // READY, IN_PROGRESS, WAITING_FOR_DEPOSIT, or a word that is new
		return billing.Outcome{Result: billing.Unclear}
	}
}

// same says whether a payment is the one that was asked for. Its totalAmount stays what
// was charged, however much of it was given back.
func same(p object, orderID string, want money.Amount) bool {
	amount, ok := p.integer("totalAmount")
	return ok && amount > 0 && amount == want.Units && want.Currency == currency && p.text("currency") == currency &&
		p.text("orderId") == orderID && p.text("type") == "BILLING"
}

// paymentOf keeps what is needed to refund, to show and to account for a payment. None of
// it decides anything, so what cannot be read is left out.
func paymentOf(p object) billing.Payment {
	amount, _ := p.integer("totalAmount")
	vat, _ := p.integer("vat")
	taxFree, _ := p.integer("taxFreeAmount")
	card := p.object("card")
	payment := billing.Payment{
		Key:         p.text("paymentKey"),
		Transaction: p.text("lastTransactionKey"),
		Card:        masked(card.text("number")),
		Issuer:      card.text("issuerCode"),
		Approval:    card.text("approveNo"),
		ReceiptURL:  followable(p.object("receipt").text("url")),
		Amount:      amount,
		Currency:    p.text("currency"),
		VAT:         vat,
		TaxFree:     taxFree,
	}
	if balance, ok := p.integer("balanceAmount"); ok && balance >= 0 && balance <= amount {
		payment.Returned = amount - balance
	}
	if at, err := time.Parse(time.RFC3339, p.text("approvedAt")); err == nil {
		payment.ApprovedAt = at.UTC()
	}
	return payment
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

// masked passes a card's number only with its digits hidden; a whole one is not ours to
// keep (PCI DSS, 3.4).
func masked(number string) string {
	if !strings.Contains(number, "*") {
		return ""
	}
	return number
}

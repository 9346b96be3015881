package toss

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"

	"grantline/shared/billing"
)

// gone are the codes that Toss has for a billing key that cannot be charged any more
// (Toss Payments reference, "Error codes").
var gone = map[string]bool{
	"ALREADY_REMOVED_BILLING_KEY": true,
	"BILLING_KEY_NOT_FOUND":       true,
	"INVALID_BILL_KEY_REQUEST":    true,
	"NOT_FOUND_BILLING":           true,
}

// Forget deletes a billing key; one that is gone already is forgotten. Its errors are
// fault.Unavailable with code "gateway_unavailable". It may be repeated at any time.
func (g *Gateway) Forget(ctx context.Context, card billing.Card) error {
	if !addressable(card.BillingKey) {
		g.config.Log.LogAttrs(ctx, slog.LevelError, "billing key not deleted at toss: it is none")
		return unavailable(errors.New("toss: a card's BillingKey should be 1 to 200 characters"))
	}
	a, err := g.ask(ctx, call{method: http.MethodDelete, path: "/v1/billing/" + url.PathEscape(card.BillingKey)})
	if err != nil {
		return g.unheard(ctx, "forget", err)
	}
	if a.status != http.StatusOK && (!decided(a.status) || !gone[a.code]) {
		err = unavailable(errors.New("toss: the billing key was not deleted, code " + a.code))
	}
	g.heard(ctx, "forget", a, err)
	return err
}

// unheard logs a call without an order that brought no answer, and is its error.
func (g *Gateway) unheard(ctx context.Context, what string, err error) error {
	g.config.Log.LogAttrs(ctx, slog.LevelWarn, "toss did not answer", slog.String("call", what), slog.String("why", err.Error()))
	return unavailable(err)
}

// heard logs the answer to a call without an order, and what it was taken for.
func (g *Gateway) heard(ctx context.Context, what string, a answer, err error) {
	level, message := slog.LevelInfo, "toss answered"
	switch {
	case err == nil:
	case kinds[a.code] == ours && (decided(a.status) || a.status == http.StatusUnauthorized):
		level, message = slog.LevelError, "toss refused us, not the card"
	default:
		level = slog.LevelWarn
	}
	g.config.Log.LogAttrs(ctx, level, message, slog.String("call", what), slog.Int("status", a.status), slog.String("code", a.code),
		slog.Bool("done", err == nil), slog.String("trace", a.trace))
}

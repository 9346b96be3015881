package toss

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"

	"grantline/shared/billing"
	"grantline/shared/fault"
)

// What a refused registration means, in our own words.
const (
	wrongDetails  = "The card's details were refused."
	unfitCard     = "This card cannot be charged regularly."
	refusedByBank = "The card company refused the registration."
	tooManyTries  = "The card was tried too often; register it again tomorrow."
	worthless     = "The registration is used up, too old, or belongs to another customerKey; register the card again."
)

// refusals are the codes that end an issue for good (Toss Payments reference, "Error codes"),
// beside INVALID_CARD_…. Toss's codes for its own trouble, and for ours, are not among them;
// nor are codes that we do not know: the key may have been issued. INVALID_REQUEST and the
// two about the customerKey are: an issue carries nothing but what the customer brought.
var refusals = map[string]string{
	"INVALID_BIRTH_DAY_FORMAT":      wrongDetails,
	"INVALID_STOPPED_CARD":          unfitCard,
	"INVALID_REJECT_CARD":           unfitCard,
	"INVALID_CARD_LOST_OR_STOLEN":   unfitCard,
	"NOT_SUPPORTED_CARD_TYPE":       unfitCard,
	"NOT_REGISTERED_CARD_COMPANY":   unfitCard,
	"RESTRICTED_TRANSFER_ACCOUNT":   unfitCard,
	"REJECT_CARD_COMPANY":           refusedByBank,
	"REJECT_CARD_PAYMENT":           refusedByBank,
	"REJECT_ACCOUNT_PAYMENT":        refusedByBank,
	"FAILED_BILL_KEY_AUTH_CREATION": refusedByBank,
	"FDS_ERROR":                     refusedByBank,
	"EXCEED_MAX_AUTH_COUNT":         tooManyTries,
	"INVALID_BILLING_AUTH":          worthless,
	"INVALID_BILL_KEY_REQUEST":      worthless,
	"INVALID_CUSTOMER_KEY":          worthless,
	"NOT_MATCHES_CUSTOMER_KEY":      worthless,
	"INVALID_REQUEST":               worthless,
}

// Issue exchanges an authKey for a billing key. Its errors are fault.Invalid with code
// "payment_method_refused" and fault.Unavailable with code "gateway_unavailable". Toss
// shows a billing key once and never again, so an answer that was lost is got back by
// the same request within 15 days, and by nothing else.
func (g *Gateway) Issue(ctx context.Context, r billing.Registration) (billing.Card, error) {
	switch {
	case r.AuthKey == "" || len(r.AuthKey) > 300 || !printable(r.AuthKey):
		return billing.Card{}, refused("authKey should be the 1 to 300 characters that the card form returned.")
	case !customerShape.MatchString(r.CustomerKey):
		return billing.Card{}, refused("customerKey should be 2 to 300 of letters, digits and -_=.@")
	case r.Key == "" || len(r.Key) > 300 || !printable(r.Key):
		g.config.Log.LogAttrs(ctx, slog.LevelError, "billing key not asked for: the registration has no key of its own")
		return billing.Card{}, unavailable(errors.New("toss: a registration's Key should be 1 to 300 characters"))
	}
	body, err := json.Marshal(struct {
		AuthKey     string `json:"authKey"`
		CustomerKey string `json:"customerKey"`
	}{r.AuthKey, r.CustomerKey})
	if err != nil {
		return billing.Card{}, unavailable(errors.New("toss: the registration cannot be written as JSON"))
	}

	a, err := g.ask(ctx, call{method: http.MethodPost, path: "/v1/billing/authorizations/issue", key: r.Key, body: body})
	if err != nil {
		g.config.Log.LogAttrs(ctx, slog.LevelWarn, "toss did not answer", slog.String("call", "issue"), slog.String("why", err.Error()))
		return billing.Card{}, unavailable(err)
	}
	card, err := issued(a, r.CustomerKey)
	level, message := slog.LevelInfo, "toss answered"
	switch {
	case err == nil:
	case errors.Is(err, errForeign):
		level, message = slog.LevelWarn, "toss issued a billing key for another customer key"
	case kinds[a.code] == ours && errors.Is(err, fault.Unavailable) && (decided(a.status) || a.status == http.StatusUnauthorized):
		level, message = slog.LevelError, "toss refused us, not the card"
	default:
		level = slog.LevelWarn
	}
	g.config.Log.LogAttrs(ctx, level, message, slog.String("call", "issue"), slog.Int("status", a.status), slog.String("code", a.code),
		slog.String("result", fault.Code(err)), slog.String("trace", a.trace))
	return card, err
}

// errForeign is a billing key of another customer key than the one that asked.
var errForeign = errors.New("toss: the billing key is another customer key's")

// issued is the one place where an answer to an issue becomes a card or an error.
func issued(a answer, customerKey string) (billing.Card, error) {
	if a.status != http.StatusOK {
		if decided(a.status) {
			if meaning, ok := refusals[a.code]; ok {
				return billing.Card{}, refused(meaning)
			}
			if strings.HasPrefix(a.code, "INVALID_CARD_") {
				return billing.Card{}, refused(wrongDetails)
			}
		}
		return billing.Card{}, unavailable(errors.New("toss: no billing key, code " + a.code))
	}
	key, owner, card := a.body.text("billingKey"), a.body.text("customerKey"), a.body.object("card")
	switch {
	case owner == "" || strings.Trim(key, ".") == "" || len(key) > 200:
		return billing.Card{}, unavailable(errors.New("toss: the answer has no billing key to be used"))
	case subtle.ConstantTimeCompare([]byte(owner), []byte(customerKey)) != 1:
		return billing.Card{}, refused(worthless).Because(errForeign)
	}
	return billing.Card{BillingKey: key, CustomerKey: owner, Number: masked(card.text("number")), Issuer: card.text("issuerCode")}, nil
}

func refused(detail string) *fault.Error {
	return fault.New(fault.Invalid, "payment_method_refused", "%s", detail)
}

func unavailable(cause error) error {
	return fault.New(fault.Unavailable, "gateway_unavailable", "Toss Payments could not be asked now; ask again.").Because(cause)
}

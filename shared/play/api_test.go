package play_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"grantline/shared/fault"
	"grantline/shared/play"
)

func TestAPurchaseIsFetchedAsGoogleHasIt(t *testing.T) {
	g := newGoogle(t, apiSays(aProduct), apiSays(aSubscription))
	a := g.api()
	p, asked, err := a.Product(t.Context(), apiPackage, apiToken)
	if err != nil || p.PurchaseStateContext.PurchaseState != "PURCHASED" || p.OrderId != apiOrder || !asked.Equal(apiNow) {
		t.Errorf("got %+v of %v, %v, want it purchased at %v", p, asked, err, apiNow)
	}
	s, asked, err := a.Subscription(t.Context(), apiPackage, apiToken)
	if err != nil || s.SubscriptionState != "SUBSCRIPTION_STATE_ACTIVE" || len(s.LineItems) != 1 || !asked.Equal(apiNow) {
		t.Errorf("got %+v of %v, %v, want it active at %v", s, asked, err, apiNow)
	}
	seen := g.requests()
	if len(seen) != 2 {
		t.Fatalf("got %d requests, want 2", len(seen))
	}
	for i, want := range []string{"purchases/productsv2/tokens/", "purchases/subscriptionsv2/tokens/"} {
		if seen[i].method != http.MethodGet || seen[i].path != apiRoot+want+apiToken || seen[i].bearer != apiAccess+"1" {
			t.Errorf("got %s %s by %s, want a GET of %s", seen[i].method, seen[i].path, seen[i].bearer, want)
		}
	}
	if len(g.grants()) != 1 {
		t.Errorf("got %d access tokens, want one for both", len(g.grants()))
	}
}

// What Google says is handed up as it is: a store decides what a word means.
func TestAnUnknownWordIsHandedUp(t *testing.T) {
	g := newGoogle(t, apiSays(strings.Replace(aSubscription, "SUBSCRIPTION_STATE_ACTIVE", "SUBSCRIPTION_STATE_NEW", 1)))
	s, _, err := g.api().Subscription(t.Context(), apiPackage, apiToken)
	if err != nil || s.SubscriptionState != "SUBSCRIPTION_STATE_NEW" {
		t.Errorf("got %+v, %v, want the new word", s, err)
	}
}

func TestWhatIsNoPurchaseNeverReadsAsOne(t *testing.T) {
	for name, turn := range map[string]apiTurn{
		"empty object":      apiSays(`{}`),
		"nothing":           apiSays(``),
		"null":              apiSays(`null`),
		"array":             apiSays(`[` + aProduct + `]`),
		"word":              apiSays(`"PURCHASED"`),
		"page":              apiSays(`<!DOCTYPE html><title>Sign in</title>`),
		"other kind":        apiSays(strings.Replace(aProduct, "productPurchaseV2", "productPurchase", 1)),
		"no kind":           apiSays(strings.Replace(aProduct, `"kind":"androidpublisher#productPurchaseV2",`, "", 1)),
		"the other sort":    apiSays(aSubscription),
		"no state":          apiSays(`{"kind":"androidpublisher#productPurchaseV2","orderId":"x"}`),
		"no word of state":  apiSays(`{"kind":"androidpublisher#productPurchaseV2","purchaseStateContext":{}}`),
		"empty state":       apiSays(strings.Replace(aProduct, "PURCHASED", "", 1)),
		"state a number":    apiSays(strings.Replace(aProduct, `"PURCHASED"`, "0", 1)),
		"state twice":       apiSays(strings.Replace(aProduct, `{"purchaseState":"PURCHASED"}`, `{"purchaseState":"CANCELLED","purchaseState":"PURCHASED"}`, 1)),
		"trailing garbage":  apiSays(aProduct + `}`),
		"half":              apiSays(aProduct[:len(aProduct)/2]),
		"no UTF-8":          apiSays(strings.Replace(aProduct, apiOrder, "\xff", 1)),
		"over 1 MiB":        apiSays(strings.Replace(aProduct, "{", "{"+strings.Repeat(" ", 1<<20), 1)),
		"created":           {status: 201, body: aProduct},
		"no content":        {status: 204},
		"accepted":          {status: 202, body: aProduct},
		"partial":           {status: 206, body: aProduct},
		"truncated, always": {status: 200, body: aProduct, how: "cut"},
	} {
		g := newGoogle(t, turn)
		p, asked, err := g.api().Product(t.Context(), apiPackage, apiToken)
		apiKindIs(t, name, err, fault.Unavailable, nil)
		if p != nil || !asked.IsZero() {
			t.Errorf("%s: got %+v of %v beside the error, want nothing", name, p, asked)
		}
		if turn.how == "" && len(g.requests()) != 1 {
			t.Errorf("%s: got %d requests, want 1: the next would be no better", name, len(g.requests()))
		}
		switch name {
		case "other kind", "the other sort", "state a number", "state twice":
		default:
			s, _, err := g.api().Subscription(t.Context(), apiPackage, apiToken)
			apiKindIs(t, name, err, fault.Unavailable, nil)
			if s != nil {
				t.Errorf("%s: got %+v, want no subscription", name, s)
			}
		}
	}
	for name, body := range map[string]string{
		"no state": `{"kind":"androidpublisher#subscriptionPurchaseV2"}`,
		"a v1":     strings.Replace(aSubscription, "V2", "", 1),
	} {
		g := newGoogle(t, apiSays(body))
		_, _, err := g.api().Subscription(t.Context(), apiPackage, apiToken)
		apiKindIs(t, name, err, fault.Unavailable, nil)
	}
	// Up to its bound an answer is read.
	g := newGoogle(t, apiSays(strings.Replace(aProduct, "{", "{"+strings.Repeat(" ", 1<<20-len(aProduct)), 1)))
	if _, _, err := g.api().Product(t.Context(), apiPackage, apiToken); err != nil {
		t.Errorf("an answer of 1 MiB: got %v, want it read", err)
	}
}

// apiEffects are the calls that settle a purchase, with what they ask.
func apiEffects() map[string]struct {
	call func(context.Context, *play.API) error
	path string
	body string
} {
	type effect = struct {
		call func(context.Context, *play.API) error
		path string
		body string
	}
	return map[string]effect{
		"acknowledge a product": {func(ctx context.Context, a *play.API) error {
			return a.AcknowledgeProduct(ctx, apiPackage, apiProduct, apiToken)
		}, "purchases/products/" + apiProduct + "/tokens/" + apiToken + ":acknowledge", `{}`},
		"consume a product": {apiEffect, "purchases/products/" + apiProduct + "/tokens/" + apiToken + ":consume", ``},
		"acknowledge a subscription": {func(ctx context.Context, a *play.API) error {
			return a.AcknowledgeSubscription(ctx, apiPackage, "premium", apiToken, "")
		}, "purchases/subscriptions/premium/tokens/" + apiToken + ":acknowledge", `{}`},
		"acknowledge a re-subscription": {func(ctx context.Context, a *play.API) error {
			return a.AcknowledgeSubscription(ctx, apiPackage, "premium", apiToken, strings.Repeat("f", 64))
		}, "purchases/subscriptions/premium/tokens/" + apiToken + ":acknowledge", `{"externalAccountIds":{"obfuscatedAccountId":"` + strings.Repeat("f", 64) + `"}}`},
	}
}

func TestAPurchaseIsSettledAsGoogleWantsIt(t *testing.T) {
	for name, c := range apiEffects() {
		for _, turn := range []apiTurn{apiSays(``), apiSays(`{}`), {status: 204}} {
			g := newGoogle(t, turn)
			if err := c.call(t.Context(), g.api()); err != nil {
				t.Errorf("%s, answered %d %q: got %v, want success", name, turn.status, turn.body, err)
			}
			seen := g.requests()
			if len(seen) != 1 || seen[0].method != http.MethodPost || seen[0].path != apiRoot+c.path || strings.TrimSpace(seen[0].body) != c.body {
				t.Errorf("%s: got %+v, want one POST of %s with %s", name, seen, c.path, c.body)
			}
		}
	}
}

// A page of somebody in between is not a success.
func TestAnEffectIsBelievedOnItsOwnAnswerAlone(t *testing.T) {
	for name, c := range apiEffects() {
		for _, turn := range []apiTurn{apiSays(`<html>`), apiSays(`[]`), apiSays(`null`), {status: 202}, apiSays(strings.Repeat(" ", 1<<20+1)), {status: 302, header: http.Header{"Location": {"/"}}}} {
			g := newGoogle(t, turn)
			apiKindIs(t, name, c.call(t.Context(), g.api()), fault.Unavailable, nil)
		}
	}
}

// Each failure comes before anything was done, or with the answer lost after it was.
func TestAnEffectThatFailsOnceIsDoneAtTheEnd(t *testing.T) {
	for name, c := range apiEffects() {
		for _, done := range []bool{false, true} {
			for failing, turn := range map[string]apiTurn{
				"500": apiFails(500, "backendError", "x"), "503": apiFails(503, "backendError", "x"), "reset": {how: "reset"},
				"cut": {status: 200, body: `{`, how: "cut"}, "409": apiFails(409, "concurrentUpdate", "x"), "429": apiFails(429, "rateLimitExceeded", "x"),
			} {
				g := newGoogle(t)
				times, effects := 0, 0
				g.by(func(asked apiAsked) apiTurn {
					times++
					if times == 1 {
						if done {
							effects++
						}
						return turn
					}
					if effects == 1 && strings.HasSuffix(asked.path, ":consume") {
						return apiFails(400, "productNotOwnedByUser", "x")
					}
					effects = 1
					return apiSays(``)
				})
				about := fmt.Sprintf("%s, %s, done %v", name, failing, done)
				err := c.call(t.Context(), g.api())
				if done && strings.HasPrefix(name, "consume") {
					// Refunded or consumed: only a look says which.
					apiKindIs(t, about, err, fault.Invalid, play.ErrState)
				} else if err != nil {
					t.Errorf("%s: got %v, want it done", about, err)
				}
				if times != 2 || effects != 1 {
					t.Errorf("%s: got %d requests and %d effects, want 2 and 1", about, times, effects)
				}
			}
		}
	}
}

func TestATokenIsEscapedOrRefused(t *testing.T) {
	g := newGoogle(t, apiSays(aProduct))
	a := g.api()
	for _, token := range []string{"a/b", "a?b=c", "a#b", "a%2Fb", "%", "../../orders", "..a", "...", "a:consume", "a;b", "a&b=c", "{token}", `"`, `\`, "+", strings.Repeat("x", 4096)} {
		g.answers(apiSays(aProduct))
		_, _, err := a.Product(t.Context(), apiPackage, token)
		seen := g.requests()
		if err != nil || len(seen) != 1 {
			t.Errorf("%.20q: got %v after %d requests, want it asked for", token, err, len(seen))
			continue
		}
		sent, ok := strings.CutPrefix(seen[0].path, apiRoot+"purchases/productsv2/tokens/")
		if plain, err := url.PathUnescape(sent); !ok || err != nil || plain != token || strings.ContainsAny(sent, "/?#") {
			t.Errorf("%.20q: got %.80s, want it whole as one segment", token, seen[0].path)
		}
		if seen[0].query != "alt=json&prettyPrint=false" {
			t.Errorf("%.20q: got query %s, want the client's own", token, seen[0].query)
		}
	}
	g.answers(apiSays(aProduct))
	for _, token := range []string{"", " ", "a b", "a\n", "a\x00", "ü", ".", "..", strings.Repeat("x", 4097)} {
		_, _, err := a.Product(t.Context(), apiPackage, token)
		apiKindIs(t, fmt.Sprintf("product %.20q", token), err, fault.Malformed, nil)
		_, _, err = a.Subscription(t.Context(), apiPackage, token)
		apiKindIs(t, fmt.Sprintf("subscription %.20q", token), err, fault.Malformed, nil)
		apiKindIs(t, fmt.Sprintf("consume %.20q", token), a.ConsumeProduct(t.Context(), apiPackage, apiProduct, token), fault.Malformed, nil)
	}
	for _, odd := range []string{"", ".", "..", "a/b", "a b", "ü", strings.Repeat("x", 151)} {
		apiKindIs(t, "product "+odd, a.AcknowledgeProduct(t.Context(), apiPackage, odd, apiToken), fault.Malformed, nil)
		apiKindIs(t, "package "+odd, a.AcknowledgeProduct(t.Context(), odd, apiProduct, apiToken), fault.Malformed, nil)
		apiKindIs(t, "order "+odd, a.Refund(t.Context(), apiPackage, odd, true), fault.Malformed, nil)
	}
	for _, account := range []string{" ", "ü", strings.Repeat("x", 65)} {
		apiKindIs(t, "account "+account, a.AcknowledgeSubscription(t.Context(), apiPackage, apiProduct, apiToken, account), fault.Malformed, nil)
	}
	if got := len(g.requests()); got != 0 {
		t.Errorf("got %d requests, want none of what cannot be asked", got)
	}
}

func TestAnAPIIsMadeOfWholeSettings(t *testing.T) {
	g := newGoogle(t, apiSays(aProduct))
	for field, change := range map[string]func(*play.APIConfig){
		"URL":         func(c *play.APIConfig) { c.URL = "" },
		"Credentials": func(c *play.APIConfig) { c.Credentials = nil },
		"Attempt":     func(c *play.APIConfig) { c.Attempt = -1 },
		"Clock":       func(c *play.APIConfig) { c.Clock = nil },
		"Log":         func(c *play.APIConfig) { c.Log = nil },
	} {
		if _, err := play.NewAPI(g.config(change)); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("got %v, want %s named", err, field)
		}
	}
	for _, odd := range []string{"http://api.example", "https://", "https://u@h", "https://h?q", "https://h?", "https://h#f", "https://h/path", "h", ":", "ftp://h"} {
		if _, err := play.NewAPI(g.config(func(c *play.APIConfig) { c.URL = odd })); err == nil {
			t.Errorf("%s: got an API, want the address refused", odd)
		}
	}
	for _, plain := range []string{"http://127.0.0.1:4000/play", "http://localhost:4000/play/", "http://[::1]:4000"} {
		if _, err := play.NewAPI(g.config(func(c *play.APIConfig) { c.URL = plain })); (err == nil) != apiPlainAllowed {
			t.Errorf("%s: got %v, want it allowed: %v", plain, err, apiPlainAllowed)
		}
	}
	if _, err := play.NewAPI(g.config(func(c *play.APIConfig) { c.URL = play.APIURL; c.Attempt = 0; c.Transport = nil })); err != nil {
		t.Errorf("got %v, want Google's own address taken", err)
	}
	if looks, grants, seen := g.looks(), g.grants(), g.requests(); len(looks)+len(grants)+len(seen) != 0 {
		t.Errorf("got %v, %v, %v, want nobody asked before the first call", looks, grants, seen)
	}
}

func TestARequestEndsAtItsTime(t *testing.T) {
	g := newGoogle(t, apiTurn{how: "hang"}, apiSays(aProduct))
	_, _, err := g.api(func(c *play.APIConfig) { c.Attempt = 2 * time.Second }).Product(t.Context(), apiPackage, apiToken)
	if err != nil || len(g.requests()) != 2 {
		t.Errorf("got %v after %d requests, want a second one that succeeds", err, len(g.requests()))
	}
}

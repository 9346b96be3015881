package play_test

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"grantline/shared/fault"
	"grantline/shared/play"
)

// apiRead and apiEffect are one call of either sort.
func apiRead(ctx context.Context, a *play.API) error {
	_, _, err := a.Product(ctx, apiPackage, apiToken)
	return err
}

func apiEffect(ctx context.Context, a *play.API) error {
	return a.ConsumeProduct(ctx, apiPackage, apiProduct, apiToken)
}

func TestEveryErrorOfGooglesHasItsReaction(t *testing.T) {
	html := func(status int) apiTurn {
		return apiTurn{status: status, body: "<!DOCTYPE html><title>Error</title>"}
	}
	for name, c := range map[string]struct {
		turn     apiTurn
		kind, is error // of a read
		effect   error // what it is for an effect besides, where that differs
		requests int
		alarms   int
	}{
		"400 invalid":              {apiFails(400, "invalid", "Invalid Value"), fault.Invalid, nil, nil, 1, 0},
		"400 invalidValue":         {apiFails(400, "invalidValue", "x"), fault.Invalid, nil, nil, 1, 0},
		"400 other app":            {apiFails(400, "purchaseTokenDoesNotMatchPackageName", "x"), fault.Invalid, nil, nil, 1, 0},
		"400 other product":        {apiFails(400, "purchaseTokenDoesNotMatchProductId", "x"), fault.Invalid, nil, nil, 1, 0},
		"400 unknown word":         {apiFails(400, "aNewWord", "x"), fault.Invalid, nil, nil, 1, 0},
		"400 state":                {apiFails(400, "invalidPurchaseState", "x"), fault.Invalid, nil, play.ErrState, 1, 0},
		"400 not owned":            {apiFails(400, "productNotOwnedByUser", "x"), fault.Invalid, nil, play.ErrState, 1, 0},
		"400 expired":              {apiFails(400, "subscriptionExpired", "x"), fault.Invalid, nil, play.ErrState, 1, 0},
		"400 state by sentence":    {apiFails(400, "invalid", "The purchase token is Not In A Valid State to perform the operation."), fault.Invalid, nil, play.ErrState, 1, 0},
		"400 our key":              {apiFails(400, "keyInvalid", "x"), fault.Unavailable, play.ErrConfiguration, nil, 1, 1},
		"400 of nobody":            {html(400), fault.Unavailable, nil, nil, 1, 0},
		"400 empty error":          {apiTurn{status: 400, body: `{"error":{}}`}, fault.Unavailable, nil, nil, 1, 0},
		"400 by status alone":      {apiTurn{status: 400, body: `{"error":{"code":400,"message":"Invalid Value","status":"INVALID_ARGUMENT"}}`}, fault.Invalid, nil, nil, 1, 0},
		"401 authError":            {apiFails(401, "authError", "x"), fault.Unavailable, play.ErrConfiguration, nil, 2, 1},
		"401 of nobody":            {html(401), fault.Unavailable, play.ErrConfiguration, nil, 2, 1},
		"401 permissionDenied":     {apiFails(401, "permissionDenied", "x"), fault.Unavailable, play.ErrConfiguration, nil, 1, 1},
		"403 no rights":            {apiFails(403, "userInsufficientPermission", "x"), fault.Unavailable, play.ErrConfiguration, nil, 1, 1},
		"403 not linked":           {apiFails(403, "projectNotLinked", "x"), fault.Unavailable, play.ErrConfiguration, nil, 1, 1},
		"403 not switched on":      {apiFails(403, "accessNotConfigured", "x"), fault.Unavailable, play.ErrConfiguration, nil, 1, 1},
		"403 unknown word":         {apiFails(403, "aNewWord", "x"), fault.Unavailable, play.ErrConfiguration, nil, 1, 1},
		"403 a refusal's word":     {apiFails(403, "invalid", "x"), fault.Unavailable, play.ErrConfiguration, nil, 1, 1},
		"403 of nobody":            {html(403), fault.Unavailable, play.ErrConfiguration, nil, 1, 1},
		"403 rate":                 {apiFails(403, "rateLimitExceeded", "x"), fault.Unavailable, play.ErrQuota, nil, 3, 0},
		"403 quota":                {apiFails(403, "quotaExceeded", "x"), fault.Unavailable, play.ErrQuota, nil, 3, 0},
		"403 day":                  {apiFails(403, "dailyLimitExceeded", "x"), fault.Unavailable, play.ErrQuota, nil, 1, 0},
		"429":                      {apiFails(429, "rateLimitExceeded", "x"), fault.Unavailable, play.ErrQuota, nil, 3, 0},
		"429 of nobody":            {html(429), fault.Unavailable, play.ErrQuota, nil, 3, 0},
		"404 notFound":             {apiFails(404, "notFound", "x"), fault.NotFound, nil, nil, 1, 0},
		"404 token":                {apiFails(404, "purchaseTokenNotFound", "x"), fault.NotFound, nil, nil, 1, 0},
		"404 of nobody":            {html(404), fault.Unavailable, nil, nil, 1, 0},
		"404 app":                  {apiFails(404, "applicationNotFound", "No application was found for the given package name."), fault.Unavailable, play.ErrConfiguration, nil, 1, 1},
		"404 app by sentence":      {apiFails(404, "notFound", "Package not found: com.example.app."), fault.Unavailable, play.ErrConfiguration, nil, 1, 1},
		"409":                      {apiFails(409, "concurrentUpdate", "x"), fault.Unavailable, nil, nil, 3, 0},
		"410 token":                {apiFails(410, "purchaseTokenNoLongerValid", "x"), fault.NotFound, play.ErrGone, nil, 1, 0},
		"410 subscription":         {apiFails(410, "subscriptionPurchaseNoLongerAvailable", "x"), fault.NotFound, play.ErrGone, nil, 1, 0},
		"410 of nobody":            {html(410), fault.Unavailable, nil, nil, 1, 0},
		"412":                      {apiFails(412, "conditionNotMet", "x"), fault.Unavailable, nil, nil, 1, 0},
		"500":                      {apiFails(500, "backendError", "x"), fault.Unavailable, nil, nil, 3, 0},
		"502 of nobody":            {html(502), fault.Unavailable, nil, nil, 3, 0},
		"503":                      {apiFails(503, "backendError", "x"), fault.Unavailable, nil, nil, 3, 0},
		"503 that says it is 404":  {apiTurn{status: 503, body: apiFails(404, "purchaseTokenNotFound", "x").body}, fault.Unavailable, nil, nil, 3, 0},
		"503 that says it is 410":  {apiTurn{status: 503, body: apiFails(410, "purchaseTokenNoLongerValid", "x").body}, fault.Unavailable, nil, nil, 3, 0},
		"404 that says it is 500":  {apiTurn{status: 404, body: apiFails(500, "backendError", "x").body}, fault.Unavailable, nil, nil, 1, 0},
		"400 that says it is 404":  {apiTurn{status: 400, body: apiFails(404, "notFound", "x").body}, fault.Unavailable, nil, nil, 1, 0},
		"302":                      {apiTurn{status: 302, header: http.Header{"Location": {"/androidpublisher/else"}}}, fault.Unavailable, nil, nil, 1, 0},
		"304":                      {apiTurn{status: 304}, fault.Unavailable, nil, nil, 1, 0},
		"404 with a word of a 400": {apiFails(404, "invalid", "x"), fault.NotFound, nil, nil, 1, 0},
	} {
		for sort, call := range map[string]func(context.Context, *play.API) error{"read": apiRead, "effect": apiEffect} {
			t.Run(name+" "+sort, func(t *testing.T) {
				g := newGoogle(t, c.turn)
				err := call(t.Context(), g.api())
				is := c.is
				if sort == "effect" && c.effect != nil {
					is = c.effect
				}
				apiKindIs(t, "the call", err, c.kind, is)
				cause, ok := errors.AsType[*play.APIError](err)
				if !ok || cause.Status != c.turn.status {
					t.Errorf("got %#v, want status %d in it", cause, c.turn.status)
				}
				if got := len(g.requests()); got != c.requests {
					t.Errorf("got %d requests, want %d", got, c.requests)
				}
				if got := g.alarms(); got != c.alarms {
					t.Errorf("got %d alarms, want %d: %s", got, c.alarms, g.log)
				}
			})
		}
	}
}

// A reason is a word of a closed list: what else stands there may be anything.
func TestAReasonIsAKnownWordOrNone(t *testing.T) {
	for reason, want := range map[string]string{"purchaseTokenNotFound": "purchaseTokenNotFound", apiToken: "", "invalid": ""} {
		g := newGoogle(t, apiFails(404, reason, "x"))
		err := apiRead(t.Context(), g.api())
		cause, ok := errors.AsType[*play.APIError](err)
		if !ok || cause.Reason != want {
			t.Errorf("%s: got %v, want %q", reason, err, want)
		}
	}
}

package apple_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"grantline/shared/apple"
	"grantline/shared/fault"
)

// canned answers every request in the same way, without a network.
type canned struct {
	status int
	body   []byte
}

func (c canned) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: c.status, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(c.body)), ContentLength: -1}, nil
}

// Whatever comes back, it is an answer that keeps its promises or a fault of a kind that
// the status allows, and nothing of it is in the error.
func FuzzAPIAnswer(f *testing.F) {
	for _, e := range endpoints() {
		f.Add(uint16(e.answer.status), []byte(e.answer.body))
		for _, bad := range e.bad {
			if len(bad) < 1000 {
				f.Add(uint16(200), []byte(bad))
			}
		}
	}
	for _, code := range []int64{4000006, 4030004, 4040001, 4040010, 4040002, 4290000, 5000000, 5000001} {
		f.Add(uint16(code/10_000), []byte(fails(code).body))
	}
	f.Add(uint16(401), []byte("Unauthenticated"))
	f.Add(uint16(404), []byte(`{"errorCode":4000006}`))
	f.Fuzz(func(t *testing.T, status uint16, body []byte) {
		config := apiConfig()
		config.PrivateKey = func(context.Context, bool) (string, error) { return fuzzKey(), nil }
		config.Transport = canned{int(status), body}
		api, err := apple.NewAPI(config)
		if err != nil {
			t.Fatal(err)
		}
		check := func(name string, err error, empty, sound bool) {
			t.Helper()
			if err == nil {
				if status != 200 || !sound {
					t.Errorf("%s: got an answer out of %d %q, want an outage", name, status, body)
				}
				return
			}
			failed, ok := errors.AsType[*apple.APIError](err)
			switch {
			case !ok || !empty:
				t.Errorf("%s: got %v with a result, want a fault with its cause alone", name, err)
			case errors.Is(err, fault.NotFound) && (status != 404 || failed.Code/10_000 != 404),
				errors.Is(err, fault.Invalid) && (failed.Code == 0 || status != 400 && status != 403 && status != 409),
				!errors.Is(err, fault.NotFound) && !errors.Is(err, fault.Invalid) && !errors.Is(err, fault.Unavailable):
				t.Errorf("%s: got %v out of %d %q, want another kind", name, err, status, body)
			}
			if message := strings.TrimSpace(string(body)); len(message) > 20 && strings.Contains(err.Error(), message) {
				t.Errorf("%s: got the body in %v", name, err)
			}
		}
		ctx := t.Context()
		signed, err := api.Transaction(ctx, inProduction, apiTID)
		check("Transaction", err, signed == "", strings.Count(signed, ".") == 2)
		page, err := api.History(ctx, inProduction, apiTID, apple.HistoryQuery{Revision: "r"})
		check("History", err, page.Signed == nil && !page.HasMore && page.Revision == "", allWhole(page.Signed) && (!page.HasMore || page.Revision != "" && page.Revision != "r"))
		groups, err := api.Statuses(ctx, inProduction, apiTID)
		sound := true
		for _, g := range groups {
			for _, last := range g.Last {
				sound = sound && last.OriginalTransactionID != "" && allWhole([]string{last.SignedTransactionInfo, last.SignedRenewalInfo})
			}
		}
		check("Statuses", err, groups == nil, sound)
		notes, err := api.NotificationHistory(ctx, inProduction, apple.HistoryAsk{Start: apiStart, End: apiEnd}, "p")
		sound = !notes.HasMore || notes.PaginationToken != "" && notes.PaginationToken != "p"
		for _, n := range notes.Sent {
			sound = sound && allWhole([]string{n.SignedPayload})
		}
		check("NotificationHistory", err, notes.Sent == nil && !notes.HasMore, sound)
	})
}

// fuzzKey is written once, for many answers.
var fuzzKey = sync.OnceValue(func() string { return p8(apiKeys()[0]) })

func allWhole(signed []string) bool {
	for _, s := range signed {
		if strings.Count(s, ".") != 2 || strings.ContainsAny(s, " \n/") {
			return false
		}
	}
	return true
}

//go:build consumers

// Package consumers_test shows what we tell others to servers of others, unmodified, from npm:
// standardwebhooks verifies what we sign, and convex-revenuecat keeps a mirror of customers by
// the format revenuecat. It needs Node, and so runs by make consumers only.
package consumers_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"grantline/shared/clock"
	"grantline/shared/delivery"
	"grantline/shared/memory"
	"grantline/shared/table"
)

// request is one as it goes out.
type request struct {
	Name    string            `json:"name"`
	Secret  string            `json:"secret,omitempty"`
	Now     int64             `json:"now"` // ms since 1970, when it arrives
	Headers map[string]string `json:"headers"`
	Body    string            `json:"body"`
}

// world is a server with nothing in it, and the requests that it gets.
type world struct {
	Name      string    `json:"name"`
	Secret    string    `json:"secret"`
	Steps     []request `json:"steps"`
	Customers []string  `json:"customers"`
}

type question struct {
	Signed []request `json:"signed"`
	Worlds []world   `json:"worlds"`
}

type answer struct {
	Signed []struct {
		Name    string `json:"name"`
		Refused string `json:"refused"`
	} `json:"signed"`
	Worlds []struct {
		Name  string `json:"name"`
		Steps []step `json:"steps"`
	} `json:"worlds"`
}

// step is what the server made of a request.
type step struct {
	Name       string            `json:"name"`
	Status     int               `json:"status"`
	Answer     string            `json:"answer"`
	Complaints []string          `json:"complaints"` // what it wrote to its log
	Customers  map[string]mirror `json:"customers"`
}

// mirror is all that the server then knows of a customer.
type mirror struct {
	Customer *struct {
		OriginalAppUserID string   `json:"originalAppUserId"`
		Aliases           []string `json:"aliases"`
	} `json:"customer"`
	Active        map[string]bool `json:"active"`
	Entitlements  []entitlement   `json:"entitlements"`
	Subscriptions []subscription  `json:"subscriptions"`
	Balances      []struct {
		CurrencyCode string  `json:"currencyCode"`
		Balance      float64 `json:"balance"`
	} `json:"balances"`
	Events []struct {
		EventID string `json:"eventId"`
		Status  string `json:"status"`
	} `json:"events"`
}

type entitlement struct {
	EntitlementID string `json:"entitlementId"`
	ProductID     string `json:"productId"`
	Store         string `json:"store"`
	IsActive      bool   `json:"isActive"`
	IsSandbox     bool   `json:"isSandbox"`
	ExpiresAtMS   int64  `json:"expiresAtMs"`
}

type subscription struct {
	ProductID             string   `json:"productId"`
	Kind                  string   `json:"kind"`
	EntitlementIDs        []string `json:"entitlementIds"`
	Store                 string   `json:"store"`
	Environment           string   `json:"environment"`
	PeriodType            string   `json:"periodType"`
	PurchasedAtMS         int64    `json:"purchasedAtMs"`
	ExpirationAtMS        int64    `json:"expirationAtMs"`
	TransactionID         string   `json:"transactionId"`
	OriginalTransactionID string   `json:"originalTransactionId"`
	IsFamilyShare         bool     `json:"isFamilyShare"`
	AutoRenewStatus       bool     `json:"autoRenewStatus"`
	Currency              string   `json:"currency"`
	PriceUSD              *float64 `json:"priceUsd"`
	Price                 *float64 `json:"priceInPurchasedCurrency"`
	CancelReason          string   `json:"cancelReason"`
	ExpirationReason      string   `json:"expirationReason"`
	NewProductID          string   `json:"newProductId"`
	RenewalNumber         int      `json:"renewalNumber"`
	GraceUntilMS          int64    `json:"gracePeriodExpirationAtMs"`
}

// ask shows requests to the packages, all in one process.
func ask(t *testing.T, q question) answer {
	t.Helper()
	for i := range q.Signed {
		if q.Signed[i].Headers == nil {
			q.Signed[i].Headers = map[string]string{}
		}
	}
	if q.Signed == nil {
		q.Signed = []request{}
	}
	if q.Worlds == nil {
		q.Worlds = []world{}
	}
	in, err := json.Marshal(q)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	var out, complaints bytes.Buffer
	node := exec.CommandContext(ctx, "node", "consume.mjs")
	node.Stdin, node.Stdout, node.Stderr = bytes.NewReader(in), &out, &complaints
	if err := node.Run(); err != nil {
		t.Fatalf("the packages could not be asked (npm ci in this folder?): %v\n%s", err, complaints.String())
	}
	var a answer
	if err := json.Unmarshal(out.Bytes(), &a); err != nil || len(a.Signed) != len(q.Signed) || len(a.Worlds) != len(q.Worlds) {
		t.Fatalf("got %d verified and %d worlds of %d and %d, error %v", len(a.Signed), len(a.Worlds), len(q.Signed), len(q.Worlds), err)
	}
	return a
}

// kept has every request for the company's server, and sends none.
type kept struct{ requests []request }

func (k *kept) RoundTrip(q *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(q.Body)
	if err != nil {
		return nil, err
	}
	headers := map[string]string{}
	for name := range q.Header {
		headers[strings.ToLower(name)] = q.Header.Get(name)
	}
	k.requests = append(k.requests, request{Now: noon.UnixMilli(), Headers: headers, Body: string(body)})
	return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Request: q}, nil
}

// open seals nothing: what is sealed is another test's.
type open struct{}

func (open) Seal(_ context.Context, plaintext, _ []byte) ([]byte, error) { return plaintext, nil }
func (open) Open(_ context.Context, sealed, _ []byte) ([]byte, error)    { return sealed, nil }

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// told has our own code make an endpoint of a format and send it one request, with what it is
// known by; rotated is what it is known by after its secrets were changed, which is when the
// request goes out.
func told(t *testing.T, format string, rotate bool) (sent request, first, rotated delivery.Secrets) {
	t.Helper()
	carrier := &kept{}
	r := delivery.Registry{Tables: memory.New(), Sealer: open{}, Clock: clock.Fixed(noon), Courier: delivery.Courier{By: carrier}}
	e, made, err := r.Create(t.Context(), table.Default, delivery.NewEndpoint{URL: "https://hooks.example.com/events", Format: format})
	if err != nil || made == nil {
		t.Fatalf("Create: got %v, %v; want an endpoint with its secrets", made, err)
	}
	if rotate {
		if _, rotated, err = r.Rotate(t.Context(), table.Default, e.ID, ""); err != nil {
			t.Fatal(err)
		}
	}
	if tested, err := r.Test(t.Context(), table.Default, e.ID); err != nil || !tested.Taken || len(carrier.requests) != 1 {
		t.Fatalf("Test: got %+v, %v and %d requests; want one, taken", tested, err, len(carrier.requests))
	}
	return carrier.requests[0], *made, rotated
}

// documents are the bodies that shared/protocols/revenuecat makes, as its own tests hold
// them to be, by name.
func documents(t *testing.T) map[string]string {
	t.Helper()
	paths, err := filepath.Glob("../../shared/protocols/revenuecat/testdata/*.json")
	if err != nil || len(paths) < 50 {
		t.Fatalf("got %d documents, %v; want all", len(paths), err)
	}
	all := map[string]string{}
	for _, path := range paths {
		indented, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var body bytes.Buffer
		if err := json.Compact(&body, indented); err != nil {
			t.Fatal(err)
		}
		all[strings.TrimSuffix(filepath.Base(path), ".json")] = body.String()
	}
	return all
}

package stores_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/google/go-cmp/cmp"

	"grantline/functions/internal/stores"
	"grantline/shared/abuse"
	"grantline/shared/apple"
	"grantline/shared/aws/secret"
	"grantline/shared/aws/setting"
	"grantline/shared/clock"
	"grantline/shared/customer"
	"grantline/shared/memory"
	"grantline/shared/purchase"
)

var log = slog.New(slog.DiscardHandler)

// settings are those of a function that knows the App Store and may ask it.
var settings = map[string]string{
	"APPLE_BUNDLE_IDS": "com.example.app,com.example.second", "APPLE_APP_ID": "1234567890", "APPLE_REVOCATION": "soft",
	"APPLE_API_URL": "https://production.example", "APPLE_SANDBOX_API_URL": "https://sandbox.example",
	"APPLE_ISSUER_ID": "57246542-96fe-1a63-e053-0824d011072a", "APPLE_KEY_ID": "ABCDEFGHIJ",
	"APPLE_PRIVATE_KEY": "arn:aws:secretsmanager:ap-northeast-2:000000000000:secret:apple",
}

// start opens what the settings say, with some of them others ("" is one that is not set),
// and gives what a function would complain of.
func start(t *testing.T, others map[string]string) (*stores.Apple, *apple.Store, *purchase.Book, string) {
	t.Helper()
	are := maps.Clone(settings)
	maps.Copy(are, others)
	var complaints bytes.Buffer
	r := setting.ReadFrom(func(name string) (string, bool) { v, ok := are[name]; return v, ok }, &complaints, func(int) {})
	tables, now := memory.New(), clock.System()
	vault := secret.NewVault(func(context.Context) (aws.Config, error) { return aws.Config{}, errors.New("nobody is asked at start") }, now, log)
	shop := stores.OpenApple(r, tables, now, log)
	var store *apple.Store
	sell := map[string]purchase.Store{}
	if shop != nil {
		store = shop.Store(r, vault, now, log)
		sell[apple.Name] = store
	}
	book := stores.Book(r, customer.Directory{Tables: tables}, sell, now, log)
	r.Check()
	return shop, store, book, complaints.String()
}

func TestAFunctionKnowsEachAppInBothEnvironments(t *testing.T) {
	shop, store, book, complaints := start(t, nil)
	if shop == nil || complaints != "" {
		t.Fatalf("got %v and %q, want the App Store and no complaint", shop, complaints)
	}
	keeps := map[string]time.Duration{}
	for _, h := range store.Histories(log) {
		keeps[h.Name()] = h.Keeps()
	}
	const day = 24 * time.Hour
	want := map[string]time.Duration{
		"Production#com.example.app": 180 * day, "Production#com.example.second": 180 * day,
		"Sandbox#com.example.app": 30 * day, "Sandbox#com.example.second": 30 * day,
	}
	if diff := cmp.Diff(want, keeps); diff != "" {
		t.Errorf("histories (-want +got):\n%s", diff)
	}
	if store.Verifier != shop.Verifier {
		t.Error("got a store that believes other words than the function does")
	}
	if store.ReportUsage {
		t.Error("got a store that reports usage, which is the company's to allow")
	}
	if book.TestsPerDay != 100 || book.Stores[apple.Name] != store || book.Catalog == nil {
		t.Errorf("got %d purchases without money a day and %v, want 100, and the store with its catalog", book.TestsPerDay, book.Stores)
	}
}

func TestWithoutAKeyTheAppStoreIsBelievedAndNotAsked(t *testing.T) {
	shop, store, _, complaints := start(t, map[string]string{
		"APPLE_PRIVATE_KEY": "", "APPLE_API_URL": "", "APPLE_SANDBOX_API_URL": "", "APPLE_ISSUER_ID": "", "APPLE_KEY_ID": "",
	})
	if shop == nil || store.API != nil || complaints != "" {
		t.Errorf("got %v with %q, want a store without an API, and no complaint", store, complaints)
	}
}

func TestWithoutABundleIDTheAppIsNotSoldThere(t *testing.T) {
	shop, _, book, complaints := start(t, map[string]string{"APPLE_BUNDLE_IDS": "", "APPLE_APP_ID": "", "APPLE_REVOCATION": ""})
	if shop != nil || len(book.Stores) != 0 || complaints != "" {
		t.Errorf("got %v and %q, want no App Store, and no complaint", shop, complaints)
	}
}

// What is wrong ends the function at its start, by the variable's name and never its value.
func TestAWrongSettingIsRefusedAtStart(t *testing.T) {
	for name, values := range map[string][]string{
		"APPLE_APP_ID":           {"", "com.example.app", "1.5", "99999999999999999999"},
		"APPLE_REVOCATION":       {"none", "Soft", "softly"},
		"APPLE_API_URL":          {"", "ftp://production.example", "https://production.example?x=1"},
		"APPLE_SANDBOX_API_URL":  {"", "sandbox.example"},
		"APPLE_ISSUER_ID":        {""},
		"APPLE_KEY_ID":           {""},
		"TEST_PURCHASES_PER_DAY": {"-1", "10001", "many"},
		"RESTORE_POLICY":         {"Keep", "steal", "transfer,share"},
		"ABUSE_POLICY":           {"refunds", "note=0", "note=101", "ban=50", "note=1,note=2"},
	} {
		for _, value := range values {
			_, _, _, complaints := start(t, map[string]string{name: value})
			if !strings.HasPrefix(complaints, name+": should be ") || value != "" && strings.Contains(complaints, value) {
				t.Errorf("%s=%.40q: got complaint %q, want one about that and without its value", name, value, complaints)
			}
		}
	}
}

func TestPurchasesWithoutMoneyCanBeRefusedAltogether(t *testing.T) {
	for value, want := range map[string]int{"0": 0, "7": 7, "10000": 10_000} {
		_, _, book, complaints := start(t, map[string]string{"TEST_PURCHASES_PER_DAY": value})
		if book.TestsPerDay != want || complaints != "" {
			t.Errorf("%s: got %d a day and %q, want %d", value, book.TestsPerDay, complaints, want)
		}
	}
}

func TestWhoRestoresAndWhoAbusesIsAsTheProjectSays(t *testing.T) {
	_, _, book, complaints := start(t, nil)
	if book.Restore != purchase.Keep || len(book.Abuse) != 0 || complaints != "" {
		t.Errorf("unset: got %q, %v and complaint %q, want keep and no measure", book.Restore, book.Abuse, complaints)
	}
	for _, want := range purchase.RestorePolicies {
		if _, _, book, complaints = start(t, map[string]string{"RESTORE_POLICY": string(want)}); book.Restore != want || complaints != "" {
			t.Errorf("%s: got %q and complaint %q, want it taken", want, book.Restore, complaints)
		}
	}
	_, _, book, complaints = start(t, map[string]string{"ABUSE_POLICY": "note=30,refuse_consumables=80"})
	want := abuse.Policy{abuse.Note: 30, abuse.RefuseConsumables: 80}
	if diff := cmp.Diff(want, book.Abuse); diff != "" || complaints != "" {
		t.Errorf("policy: got complaint %q and (-want +got):\n%s", complaints, diff)
	}
}

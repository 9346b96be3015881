package stores_test

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"

	"grantline/functions/internal/stores"
	"grantline/shared/appsintoss"
	"grantline/shared/aws/secret"
	"grantline/shared/aws/setting"
	"grantline/shared/clock"
	"grantline/shared/fault"
	"grantline/shared/purchase"
)

// startAppsInToss is start for Apps-in-Toss alone: the store, as the book asks it, and the
// complaints.
func startAppsInToss(t *testing.T, others map[string]string) (*appsintoss.Store, purchase.Store, string) {
	t.Helper()
	are := map[string]string{
		"APPS_IN_TOSS_API_URL":     "https://toss.example",
		"APPS_IN_TOSS_CERTIFICATE": "arn:aws:secretsmanager:ap-northeast-2:000000000000:secret:certificate",
		"APPS_IN_TOSS_KEY":         "arn:aws:secretsmanager:ap-northeast-2:000000000000:secret:key",
	}
	maps.Copy(are, others)
	var complaints bytes.Buffer
	r := setting.ReadFrom(func(name string) (string, bool) { v, ok := are[name]; return v, ok }, &complaints, func(int) {})
	now := clock.System()
	vault := secret.NewVault(func(context.Context) (aws.Config, error) { return aws.Config{}, errors.New("nobody is asked at start") }, now, log)
	store := stores.OpenAppsInToss(r, vault, now, log)
	var sold purchase.Store
	if store != nil {
		sold = stores.AppsInToss(r, store)
	}
	r.Check()
	return store, sold, complaints.String()
}

func TestAppsInTossIsSoldWhereThereIsACertificate(t *testing.T) {
	store, sold, complaints := startAppsInToss(t, nil)
	if store == nil || sold != purchase.Store(store) || complaints != "" {
		t.Errorf("got %v, sold as %T, with %q, want the store itself and no complaint", store, sold, complaints)
	}
	store, _, complaints = startAppsInToss(t, map[string]string{"APPS_IN_TOSS_CERTIFICATE": "", "APPS_IN_TOSS_KEY": "", "APPS_IN_TOSS_API_URL": ""})
	if store != nil || complaints != "" {
		t.Errorf("without one: got %v with %q, want none and no complaint", store, complaints)
	}
}

func TestAWrongAddressOfAppsInTossIsRefusedAtStart(t *testing.T) {
	for _, value := range []string{"", "http://127.0.0.1:1", "https://toss.example?x=1", "toss.example"} {
		_, _, complaints := startAppsInToss(t, map[string]string{"APPS_IN_TOSS_API_URL": value})
		if !strings.HasPrefix(complaints, "APPS_IN_TOSS_API_URL: should be ") || value != "" && strings.Contains(complaints, value) {
			t.Errorf("%q: got complaint %q, want one about that and without its value", value, complaints)
		}
	}
}

// A certificate without its key is known when it is needed: the key may come later.
func TestACertificateWithoutItsKeyIsAnOutage(t *testing.T) {
	_, sold, complaints := startAppsInToss(t, map[string]string{"APPS_IN_TOSS_KEY": ""})
	if complaints != "" {
		t.Fatalf("got %q, want no complaint", complaints)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // there is nothing to wait for
	if _, err := sold.Look(ctx, purchase.Proof{Evidence: "0198c0de-7a3b-7c4d-8e5f-6a7b8c9d0e1f"}); !errors.Is(err, fault.Unavailable) {
		t.Errorf("got %v, want fault.Unavailable", err)
	}
}

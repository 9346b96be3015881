//go:build local

package stores_test

import (
	"strings"
	"testing"

	"grantline/shared/appsintoss"
	"grantline/shared/purchase"
)

func TestALocalRunThatNamesAProductTakesOrdersThatWereMadeUp(t *testing.T) {
	_, sold, complaints := startAppsInToss(t, map[string]string{"APPS_IN_TOSS_FAKE_SKU": "gems-100"})
	if _, ok := sold.(appsintoss.Faking); !ok || complaints != "" {
		t.Fatalf("got %T and %q, want a store that takes them", sold, complaints)
	}
	if _, ok := sold.(purchase.Follower); !ok {
		t.Error("got a store whose sales cannot be followed, want one as without the setting")
	}
	news, err := sold.Look(t.Context(), purchase.Proof{Evidence: "mock-order-1"})
	if err != nil || len(news.Sales) != 1 || news.Sales[0].SKU != "gems-100" || !news.Sales[0].Test {
		t.Errorf("got %+v, %v, want gems bought without money", news, err)
	}
}

func TestAProductThatIsNotForSaleIsRefusedAtStart(t *testing.T) {
	_, _, complaints := startAppsInToss(t, map[string]string{"APPS_IN_TOSS_FAKE_SKU": "com.example.gems100"})
	if !strings.HasPrefix(complaints, "APPS_IN_TOSS_FAKE_SKU: should be ") || strings.Contains(complaints, "com.example") {
		t.Errorf("got complaint %q, want one about that and without its value", complaints)
	}
}

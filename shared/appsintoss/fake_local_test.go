//go:build local

package appsintoss_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/appsintoss"
	"grantline/shared/clock"
	"grantline/shared/fault"
	"grantline/shared/purchase"
)

func TestOrderThatAToolMadeUpIsPaidWithoutMoney(t *testing.T) {
	s := &script{answers: []says{paid}}
	f := appsintoss.Faking{Store: scripted(t, s, clock.Fixed(now), &log{}), SKU: "ad-free"}
	const madeUp = "mock-order-1795251570000"
	want := purchase.Sale{
		Store: "appsintoss", Line: madeUp, Order: madeUp, SKU: "ad-free", State: purchase.Paid, PurchasedAt: now, AsOf: now, Quantity: 1, Test: true,
	}
	for _, sku := range []string{"", "ad-free"} {
		got, err := only(f.Look(t.Context(), purchase.Proof{Evidence: madeUp, SKU: sku}))
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("of sku %q: got the error %v; sale: want -, got +\n%s", sku, err, diff)
		}
	}
	news, ok, err := f.Follow(t.Context(), purchase.Line{Order: madeUp})
	if diff := cmp.Diff(purchase.News{Sales: []purchase.Sale{want}}, news); diff != "" || !ok || err != nil {
		t.Errorf("followed: got %v, the error %v; news: want -, got +\n%s", ok, err, diff)
	}
	if _, err := f.Look(t.Context(), purchase.Proof{Evidence: madeUp, SKU: "gems-100"}); !errors.Is(err, fault.Invalid) {
		t.Errorf("of another sku: got %v, want fault.Invalid", err)
	}
	if s.asked != 0 {
		t.Errorf("got %d requests, want none about orders that Toss cannot know", s.asked)
	}
}

func TestOrderThatTossMayKnowIsAskedAboutEvenWhereFakesAreTaken(t *testing.T) {
	for _, id := range []string{order, strings.ToUpper(order)} {
		s := &script{answers: []says{success("FAILED", "")}}
		f := appsintoss.Faking{Store: scripted(t, s, clock.Fixed(now), &log{}), SKU: "ad-free"}
		if got, err := only(f.Look(t.Context(), purchase.Proof{Evidence: id})); got.State == purchase.Paid || s.asked == 0 {
			t.Errorf("%s: got %+v, %v after %d requests, want the store's word", id, got, err, s.asked)
		}
		s.asked = 0
		if got, _, err := f.Follow(t.Context(), purchase.Line{Order: id}); len(got.Sales) > 0 && got.Sales[0].State == purchase.Paid || s.asked == 0 {
			t.Errorf("%s, followed: got %+v, %v after %d requests, want the store's word", id, got, err, s.asked)
		}
	}
	for _, id := range []string{"", "a b", "mock/1", strings.Repeat("a", 101)} {
		f := appsintoss.Faking{Store: scripted(t, &script{answers: []says{paid}}, clock.Fixed(now), &log{}), SKU: "ad-free"}
		if _, err := f.Look(t.Context(), purchase.Proof{Evidence: id}); !errors.Is(err, fault.Malformed) {
			t.Errorf("%q: got %v, want fault.Malformed", id, err)
		}
	}
}

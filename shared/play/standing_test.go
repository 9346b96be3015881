package play_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/purchase"
)

// How a subscription goes on changes no access: whatever is said of it here, the sale is as
// it was.
func TestHowASubscriptionGoesOn(t *testing.T) {
	plan := func(more string) []string {
		return []string{shopRenewing, `"autoRenewingPlan":{"autoRenewEnabled":true,` + more + `}`}
	}
	price := func(mode, state string) []string {
		return plan(`"priceChangeDetails":{"newPrice":{"currencyCode":"KRW","units":"9900"},"priceChangeMode":"` + mode + `","priceChangeState":"` + state + `"}`)
	}
	consent := func(state string) []string {
		return plan(`"priceStepUpConsentDetails":{"state":"` + state + `","consentDeadlineTime":"2026-12-01T00:00:00Z"}`)
	}
	in := func(state string, pairs ...string) []string {
		return append([]string{"SUBSCRIPTION_STATE_ACTIVE", "SUBSCRIPTION_STATE_" + state}, pairs...)
	}
	said := func(context string) []string { return []string{`"lineItems"`, context + `,"lineItems"`} }
	cancelled := func(why string) []string { return said(`"canceledStateContext":{` + why + `}`) }
	ends := func(at string) []string { return []string{"2026-12-22T05:00:00Z", at} }
	const (
		off    = `"autoRenewingPlan":{"autoRenewEnabled":false}`
		user   = `"userInitiatedCancellation":{"cancelTime":"2026-11-22T00:00:00Z"}`
		system = `"systemInitiatedCancellation":{}`
		pause  = `"pausedStateContext":{"autoResumeTime":"2026-12-24T05:00:00.5Z"}`
	)
	resumes := time.Date(2026, 12, 24, 5, 0, 0, 5e8, time.UTC)
	join := func(parts ...[]string) (all []string) {
		for _, p := range parts {
			all = append(all, p...)
		}
		return all
	}
	for _, c := range []struct {
		name  string
		edits []string
		want  purchase.Standing
	}{
		{"renews", nil, purchase.Standing{WillRenew: true}},
		{"renews no more", []string{shopRenewing, off}, purchase.Standing{}},
		{"has no plan", []string{"," + shopRenewing, ""}, purchase.Standing{}},
		{"is prepaid", []string{shopRenewing, `"prepaidPlan":{}`}, purchase.Standing{}},

		{"a higher price, nothing said", price("PRICE_INCREASE", "OUTSTANDING"), purchase.Standing{WillRenew: true, PriceIncrease: "pending"}},
		{"a higher price, confirmed", price("PRICE_INCREASE", "CONFIRMED"), purchase.Standing{WillRenew: true, PriceIncrease: "accepted"}},
		{"a higher price, applied", price("PRICE_INCREASE", "APPLIED"), purchase.Standing{WillRenew: true}},
		{"a higher price, withdrawn", price("PRICE_INCREASE", "CANCELED"), purchase.Standing{WillRenew: true}},
		{"a lower price", price("PRICE_DECREASE", "OUTSTANDING"), purchase.Standing{WillRenew: true}},
		{"a higher price without asking", price("OPT_OUT_PRICE_INCREASE", "OUTSTANDING"), purchase.Standing{WillRenew: true}},
		{"a price change of a new mode", price("PRICE_SURPRISE", "OUTSTANDING"), purchase.Standing{WillRenew: true}},
		{"consent is awaited", consent("PENDING"), purchase.Standing{WillRenew: true, PriceIncrease: "pending"}},
		{"consent is given", consent("CONFIRMED"), purchase.Standing{WillRenew: true, PriceIncrease: "accepted"}},
		{"consent is done with", consent("COMPLETED"), purchase.Standing{WillRenew: true, PriceIncrease: "accepted"}},
		{"consent in a new word", consent("PERHAPS"), purchase.Standing{WillRenew: true}},
		{
			"consent is awaited, of a confirmed price", plan(`"priceStepUpConsentDetails":{"state":"PENDING"},"priceChangeDetails":{"priceChangeMode":"PRICE_INCREASE","priceChangeState":"CONFIRMED"}`),
			purchase.Standing{WillRenew: true, PriceIncrease: "pending"},
		},
		{
			"consent in a new word, of a confirmed price", plan(`"priceStepUpConsentDetails":{"state":"NEW"},"priceChangeDetails":{"priceChangeMode":"PRICE_INCREASE","priceChangeState":"CONFIRMED"}`),
			purchase.Standing{WillRenew: true, PriceIncrease: "accepted"},
		},

		{"cancelled by the customer", join(in("CANCELED"), cancelled(user)), purchase.Standing{Reason: purchase.ByCustomer}},
		{"cancelled by Google", join(in("CANCELED"), cancelled(system)), purchase.Standing{Reason: purchase.ByBilling}},
		{"cancelled by us", join(in("CANCELED"), cancelled(`"developerInitiatedCancellation":{}`)), purchase.Standing{Reason: purchase.ByTheUnsaid}},
		{"cancelled for a reason of a new kind", join(in("CANCELED"), cancelled("")), purchase.Standing{Reason: purchase.ByTheUnsaid}},
		{"cancelled, nothing said", in("CANCELED"), purchase.Standing{}},
		{"expired after the customer cancelled", join(in("EXPIRED"), cancelled(user)), purchase.Standing{Reason: purchase.ByCustomer}},
		{"expired without the money", join(in("EXPIRED"), cancelled(system)), purchase.Standing{Reason: purchase.ByBilling}},
		{"active, cancelled by a word", cancelled(user), purchase.Standing{WillRenew: true}},
		{"active and renewing no more, cancelled by the customer", join([]string{shopRenewing, off}, cancelled(user)), purchase.Standing{Reason: purchase.ByCustomer}},

		{"in grace", in("IN_GRACE_PERIOD"), purchase.Standing{WillRenew: true, Retrying: true, GraceUntil: shopEnd}},
		{"in grace, renewing no more", in("IN_GRACE_PERIOD", shopRenewing, off), purchase.Standing{Retrying: true, GraceUntil: shopEnd}},
		{"on hold", in("ON_HOLD"), purchase.Standing{WillRenew: true, Retrying: true}},
		{"paused", join(in("PAUSED"), said(pause)), purchase.Standing{WillRenew: true, ResumesAt: resumes}},
		{"paused, renewing by its own", join(in("PAUSED", shopRenewing, off), said(pause)), purchase.Standing{WillRenew: true, ResumesAt: resumes}},
		{"paused, for ever", join(in("PAUSED"), said(`"pausedStateContext":{}`)), purchase.Standing{WillRenew: true}},
		{"paused, until nonsense", join(in("PAUSED"), said(`"pausedStateContext":{"autoResumeTime":"soon"}`)), purchase.Standing{WillRenew: true}},
		{"paused, nothing said", in("PAUSED"), purchase.Standing{WillRenew: true}},
		{"active, with a pause to come", said(pause), purchase.Standing{WillRenew: true}},

		{"at its end", ends("2026-11-22T06:00:00Z"), purchase.Standing{WillRenew: true, Retrying: true, GraceUntil: apiNow.Add(24 * time.Hour)}},
		{"a moment before its end", ends("2026-11-22T06:00:00.000000001Z"), purchase.Standing{WillRenew: true}},
		{"the last moment of the silent day", ends("2026-11-21T06:00:00.000000001Z"), purchase.Standing{WillRenew: true, Retrying: true, GraceUntil: apiNow.Add(1)}},
		{"after the silent day", ends("2026-11-21T06:00:00Z"), purchase.Standing{WillRenew: true}},
		{"after its end, renewing no more", join(ends("2026-11-22T05:00:00Z"), []string{shopRenewing, off}), purchase.Standing{}},
		{"on hold, after its end", join(in("ON_HOLD"), ends("2026-11-22T05:00:00Z")), purchase.Standing{WillRenew: true, Retrying: true}},

		{"to be replaced", []string{shopRenewing, shopRenewing + `,"deferredItemReplacement":{"productId":"basic"}`}, purchase.Standing{WillRenew: true, Next: "basic"}},
		{"to be replaced, and cancelled", in("CANCELED", shopRenewing, shopRenewing+`,"deferredItemReplacement":{"productId":"basic"}`), purchase.Standing{}},
		{"to be replaced, and expired", in("EXPIRED", shopRenewing, shopRenewing+`,"deferredItemReplacement":{"productId":"basic"}`), purchase.Standing{}},
		{"to be removed", []string{shopRenewing, shopRenewing + `,"deferredItemRemoval":{}`}, purchase.Standing{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newShop(t)
			s.sells(edited(t, shopSubscription, c.edits...))
			got, err := s.look(t, "premium")
			if err != nil || len(got.Sales) != 1 {
				t.Fatalf("got %+v, %v, want a sale", got, err)
			}
			c.want.AsOf = apiNow
			if diff := cmp.Diff(map[string]purchase.Standing{"premium": c.want}, got.Parts); diff != "" {
				t.Errorf("standings (-want +got):\n%s", diff)
			}
			want := subscriptionSaid().Sales[0]
			text := strings.Join(c.edits, "")
			over := strings.Contains(text, "ON_HOLD") || strings.Contains(text, "PAUSED") || strings.Contains(text, "EXPIRED")
			want.Until, want.WillRenew, want.Ended, want.Unpaid = got.Sales[0].Until, c.want.WillRenew, over, strings.Contains(text, "IN_GRACE")
			if diff := cmp.Diff(want, got.Sales[0]); diff != "" {
				t.Errorf("sale (-want +got):\n%s", diff)
			}
		})
	}
}

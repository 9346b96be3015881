package appsintoss

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"grantline/infra/sim/stage"
)

// Values of the switches.
const (
	Basic  = "Basic"
	Bearer = "Bearer"

	sameOrderID = "same"
	newOrderID  = "new"

	never      = "never"
	atCreation = "created"
	always     = "always"

	ofPeriod = "period"
	ofGrace  = "grace"

	refuses = "FAIL"
)

// Settings are the switches for what the documents contradict themselves on, or leave out. A
// nil leaves a setting as it is.
type Settings struct {
	TimeFormat         *string         `json:"timeFormat,omitempty"`         // of what the API and the SDK answer: zoneless (at start), zoned or utc
	RequireUserKey     *bool           `json:"requireUserKey,omitempty"`     // whether a look without x-toss-user-key is 400; false at start
	UserKeyMismatch    *string         `json:"userKeyMismatch,omitempty"`    // what a look with another user's key gets: NOT_FOUND (at start) or FAIL
	PerMinute          *int            `json:"perMinute,omitempty"`          // as in RateLimit; 3000 at start
	AfterGrant         *string         `json:"afterGrant,omitempty"`         // the status of an order whose grant is finished: PURCHASED (at start) or PAYMENT_COMPLETED
	GrantCompletes     *bool           `json:"grantCompletes,omitempty"`     // whether a true of processProductGrant finishes the grant (at start), or only completeProductGrant
	SubscriptionOrders *bool           `json:"subscriptionOrders,omitempty"` // whether get-order-status knows orders of subscriptions; true at start
	RenewalOrder       *string         `json:"renewalOrder,omitempty"`       // the orderId of a renewal: same (at start) or new
	Scheme             *string         `json:"scheme,omitempty"`             // of a webhook's Authorization: Basic (at start) or Bearer
	VerificationScheme *string         `json:"verificationScheme,omitempty"` // of the registration check: Bearer (at start) or Basic
	WebhookTimes       *string         `json:"webhookTimes,omitempty"`       // zoneless (at start), zoned or utc
	NullExpiry         *string         `json:"nullExpiry,omitempty"`         // when expiresAt is null: never (at start), created (until the second webhook) or always
	GraceExpiry        *string         `json:"graceExpiry,omitempty"`        // expiresAt in grace: the end of the period (at start), which is over, or of the grace
	InfoLag            *stage.Duration `json:"infoLag,omitempty"`            // after a purchase getSubscriptionInfo has nothing for so long; 0 at start
}

func atStart() Settings {
	return Settings{
		TimeFormat: ptr(Zoneless), RequireUserKey: ptr(false), UserKeyMismatch: ptr(NotFound), PerMinute: ptr(3000),
		AfterGrant: ptr(Purchased), GrantCompletes: ptr(true), SubscriptionOrders: ptr(true), RenewalOrder: ptr(sameOrderID),
		Scheme: ptr(Basic), VerificationScheme: ptr(Bearer), WebhookTimes: ptr(Zoneless), NullExpiry: ptr(never),
		GraceExpiry: ptr(ofPeriod), InfoLag: ptr(stage.Duration(0)),
	}
}

// Set turns switches.
func (s *Simulator) Set(new Settings) error {
	for _, choice := range []struct {
		name    string
		value   *string
		allowed []string
	}{
		{"timeFormat", new.TimeFormat, []string{Zoneless, Zoned, UTC}},
		{"userKeyMismatch", new.UserKeyMismatch, []string{NotFound, refuses}},
		{"afterGrant", new.AfterGrant, []string{Purchased, PaymentCompleted}},
		{"renewalOrder", new.RenewalOrder, []string{sameOrderID, newOrderID}},
		{"scheme", new.Scheme, []string{Basic, Bearer}},
		{"verificationScheme", new.VerificationScheme, []string{Bearer, Basic}},
		{"webhookTimes", new.WebhookTimes, []string{Zoneless, Zoned, UTC}},
		{"nullExpiry", new.NullExpiry, []string{never, atCreation, always}},
		{"graceExpiry", new.GraceExpiry, []string{ofPeriod, ofGrace}},
	} {
		if choice.value != nil && !slices.Contains(choice.allowed, *choice.value) {
			return fmt.Errorf("%s %q: one of %s", choice.name, *choice.value, strings.Join(choice.allowed, ", "))
		}
	}
	switch {
	case new.PerMinute != nil && *new.PerMinute < 0:
		return errors.New("perMinute: 0 or more")
	case new.InfoLag != nil && *new.InfoLag < 0:
		return errors.New("infoLag: 0 or more")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	old := &s.settings
	keep(&old.TimeFormat, new.TimeFormat)
	keep(&old.RequireUserKey, new.RequireUserKey)
	keep(&old.UserKeyMismatch, new.UserKeyMismatch)
	keep(&old.PerMinute, new.PerMinute)
	keep(&old.AfterGrant, new.AfterGrant)
	keep(&old.GrantCompletes, new.GrantCompletes)
	keep(&old.SubscriptionOrders, new.SubscriptionOrders)
	keep(&old.RenewalOrder, new.RenewalOrder)
	keep(&old.Scheme, new.Scheme)
	keep(&old.VerificationScheme, new.VerificationScheme)
	keep(&old.WebhookTimes, new.WebhookTimes)
	keep(&old.NullExpiry, new.NullExpiry)
	keep(&old.GraceExpiry, new.GraceExpiry)
	keep(&old.InfoLag, new.InfoLag)
	return nil
}

func keep[T any](old **T, new *T) {
	if new != nil {
		*old = new
	}
}

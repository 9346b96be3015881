package apple

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// whole is a revocationPercentage of everything, in thousandths of a per cent.
const whole = 100_000

// Refund gives the money of a transaction back.
type Refund struct {
	TransactionID string `json:"transactionId"`
	Reason        int    `json:"reason,omitempty"` // 0 other, 1 an issue of the app
	// Type is full or prorated; "" is full for all and prorated for a part.
	Type string `json:"type,omitempty"`
	// RevocationPercentage is the part of the whole quantity, in thousandths of a per cent;
	// 0 is all, or of a prorated one what is left of the period, else half.
	RevocationPercentage int `json:"revocationPercentage,omitempty"`
}

// Refund marks a transaction as revoked from now on. Of a subscription's last one it turns
// auto-renew off before, as the App Store does once a refund is asked for (notification
// subtype AUTO_RENEW_DISABLED), and takes it from the family.
func (s *Simulator) Refund(r Refund) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.saleOf(r.TransactionID)
	switch {
	case err != nil:
		return err
	case t.revoked():
		return fmt.Errorf("transactionId %q is refunded already", r.TransactionID)
	case t.family():
		return fmt.Errorf("transactionId %q was not paid for: revoke", r.TransactionID)
	case r.Reason != 0 && r.Reason != 1:
		return errors.New("reason: 0 or 1")
	case !slices.Contains([]string{"", "full", "prorated"}, r.Type):
		return fmt.Errorf("type %q: full or prorated", r.Type)
	case r.RevocationPercentage < 0 || r.RevocationPercentage > whole:
		return fmt.Errorf("revocationPercentage %d: up to %d, which is all", r.RevocationPercentage, whole)
	}
	if r.RevocationPercentage == 0 {
		if r.RevocationPercentage = whole; r.Type == "prorated" {
			r.RevocationPercentage = s.left(t)
		}
	}
	kind := "REFUND_FULL"
	if r.Type == "prorated" || r.Type == "" && r.RevocationPercentage < whole {
		kind = "REFUND_PRORATED"
	}
	s.askedForRefund(t)
	t.open = false
	s.revokeSale(t, kind, r.Reason, r.RevocationPercentage)
	s.record("refunded", t)
	s.tell(t, "REFUND", "")
	if l := t.line; l != nil && l.last() == t {
		for _, m := range l.members {
			if !m.last().revoked() {
				s.leaveFamily(m.last())
			}
		}
	}
	return nil
}

// left is how much of a subscription's period is to come, or half.
func (s *Simulator) left(t *sale) int {
	rest, all := t.ExpiresDate-s.stage.Now().UnixMilli(), t.ExpiresDate-t.PurchaseDate
	if t.line == nil || rest <= 0 || all <= 0 {
		return whole / 2
	}
	return max(1, int(min(rest, all)*whole/all))
}

func (s *Simulator) revokeSale(t *sale, kind string, reason, percentage int) {
	t.RevocationDate, t.RevocationReason = s.stage.Now().UnixMilli(), &reason
	t.RevocationType, t.RevocationPercentage = kind, percentage
	s.touch(t)
}

// askedForRefund turns auto-renew off where the customer wants the last period's money back.
func (s *Simulator) askedForRefund(t *sale) {
	l := t.line
	if l != nil && l.last() == t && l.owner == nil && l.autoRenew && l.status != expired {
		s.switchRenewal(l, false)
	}
}

// Reverse takes a refund back: the revocation is gone as if it had not been.
func (s *Simulator) Reverse(h Held) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.saleOf(h.TransactionID)
	if err != nil {
		return err
	}
	if !t.revoked() || t.family() {
		return fmt.Errorf("transactionId %q is not refunded", h.TransactionID)
	}
	t.RevocationDate, t.RevocationReason, t.RevocationType, t.RevocationPercentage = 0, nil, "", 0
	s.touch(t)
	s.record("refundReversed", t)
	s.tell(t, "REFUND_REVERSED", "")
	if l := t.line; l != nil && l.last() == t && l.status == active {
		s.wake(l, l.ends())
	}
	return nil
}

// Decline tells that a refund is not given.
func (s *Simulator) Decline(h Held) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.saleOf(h.TransactionID)
	if err != nil {
		return err
	}
	if t.revoked() {
		return fmt.Errorf("transactionId %q is refunded already", h.TransactionID)
	}
	t.open = false
	s.tell(t, "REFUND_DECLINED", "")
	return nil
}

// Asking is a customer's wish for a refund.
type Asking struct {
	TransactionID string `json:"transactionId"`
	// Reason is the consumptionRequestReason; "" is UNSATISFIED_WITH_PURCHASE.
	Reason string `json:"reason,omitempty"`
}

// How often, and how far apart, Apple asks for consumption (observed, not documented).
const (
	requestsForConsumption = 3
	requestAgainAfter      = 8 * time.Hour
)

// AskConsumption has Apple ask how much was consumed, each time by a notification of its
// own, until it is told, the refund is decided, or it has asked three times.
func (s *Simulator) AskConsumption(a Asking) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.saleOf(a.TransactionID)
	if err != nil {
		return err
	}
	reason := or(a.Reason, "UNSATISFIED_WITH_PURCHASE")
	switch {
	case !slices.Contains([]string{"UNINTENDED_PURCHASE", "FULFILLMENT_ISSUE", "UNSATISFIED_WITH_PURCHASE", "LEGAL", "OTHER"}, reason):
		return fmt.Errorf("reason %q is none of Apple's", reason)
	case t.family():
		return fmt.Errorf("transactionId %q was not paid for", a.TransactionID)
	case t.revoked():
		return fmt.Errorf("transactionId %q is refunded already", a.TransactionID)
	}
	s.askedForRefund(t)
	t.request++
	t.open = true
	s.ask(t, t.request, reason, 1)
	return nil
}

func (s *Simulator) ask(t *sale, request int, reason string, times int) {
	d := s.data(t)
	d.ConsumptionReason = reason
	s.notify("CONSUMPTION_REQUEST", "", t.Environment, t, envelope{Data: d})
	if times == requestsForConsumption {
		return
	}
	s.stage.Later(s.stage.Now().Add(requestAgainAfter), func(context.Context) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if t.open && t.request == request {
			s.ask(t, request, reason, times+1)
		}
	})
}

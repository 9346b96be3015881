// Package entitlement says what a customer may use now: the union of what each purchase
// and each subscription gives. It is derived and never stored, and no source can end
// what another still gives.
package entitlement

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// State of a source, and of an entitlement as a whole.
type State string

// The states of a source. Expired is none of them: it follows from Until and the clock.
const (
	Active State = "active"
	Grace  State = "grace"   // the last charge failed and is tried again; access stays
	OnHold State = "on_hold" // the last charge failed; no access until it passes
	Ended  State = "ended"   // refunded, revoked, unpaid or cancelled: no access whatever Until says

	// Expired is only ever the state of an entitlement: every source of it is over.
	Expired State = "expired"
)

// Kinds of a source.
const (
	KindPurchase     = "purchase"
	KindSubscription = "subscription"
	KindGrant        = "grant" // the company's own word, with no provider
)

// Source is one purchase's or subscription's word.
type Source struct {
	Kind        string `json:"kind"`        // KindPurchase, KindSubscription or KindGrant
	Provider    string `json:"provider"`    // the store or gateway; "" of a grant
	Ref         string `json:"ref"`         // the line of a purchase, the id of a subscription, the reference of a grant
	Entitlement string `json:"entitlement"` // "" opens nothing
	ProductID   string `json:"productId"`   // the store's name of it, or the plan
	OrderID     string `json:"orderId"`     // the order that made it so
	State       State  `json:"state"`
	// Until is the end of what was paid for; zero is for ever.
	Until time.Time `json:"until,omitzero"`
	// Open keeps access beyond Until until we hear otherwise: a renewal of our own that is
	// due and not yet declined ends nothing.
	Open      bool `json:"open,omitempty"`
	WillRenew bool `json:"willRenew,omitempty"`
	// Next is the product that takes over with the next renewal, "" if it stays the same.
	Next   string `json:"next,omitempty"`
	Test   bool   `json:"test,omitempty"`   // no money moved
	Family bool   `json:"family,omitempty"` // somebody else's, shared
}

// Gives says whether the source gives access at now.
func (s Source) Gives(now time.Time) bool {
	switch s.State {
	case Active, Grace:
		return s.Open || s.Until.IsZero() || now.Before(s.Until)
	case OnHold, Ended, Expired:
	}
	return false
}

// Entitlement is what a customer may use, or might have.
type Entitlement struct {
	ID        string
	Active    bool
	ExpiresAt time.Time // zero: never. Of an inactive one, when it last ended
	WillRenew bool
	State     State
	Sources   []Source // those that give come first, then the others, each newest first
}

// Of folds sources, in any order, into the entitlements at now, ordered by id.
func Of(sources []Source, now time.Time) []Entitlement {
	byID := map[string][]Source{}
	for _, s := range sources {
		if s.Entitlement == "" {
			continue
		}
		byID[s.Entitlement] = append(byID[s.Entitlement], s)
	}
	var all []Entitlement
	for id, of := range byID {
		all = append(all, fold(id, of, now))
	}
	slices.SortFunc(all, func(a, b Entitlement) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

func fold(id string, of []Source, now time.Time) Entitlement {
	slices.SortFunc(of, func(a, b Source) int {
		if a.Gives(now) != b.Gives(now) {
			if a.Gives(now) {
				return -1
			}
			return 1
		}
		return cmp.Or(later(a, b), cmp.Compare(rank(a.State), rank(b.State)),
			cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Provider, b.Provider), cmp.Compare(a.Ref, b.Ref))
	})
	best := of[0] // gives, if any does, for the longest
	e := Entitlement{ID: id, Active: best.Gives(now), ExpiresAt: best.Until, State: best.State, Sources: of}
	for _, s := range of {
		if s.Gives(now) == e.Active && s.WillRenew && s.State != Ended {
			e.WillRenew = e.WillRenew || e.Active
		}
	}
	if !e.Active && e.State != OnHold {
		e.State = Expired
	}
	return e
}

// later orders by the end, the latest first; never is the latest.
func later(a, b Source) int {
	switch {
	case a.Until.IsZero() && b.Until.IsZero():
		return 0
	case a.Until.IsZero():
		return -1
	case b.Until.IsZero():
		return 1
	}
	return b.Until.Compare(a.Until)
}

func rank(s State) int {
	return slices.Index([]State{Active, Grace, OnHold, Ended, Expired}, s)
}

// Doubled are two sources that take money for the same entitlement.
type Doubled struct {
	Entitlement   string
	Latest, Other Source // the one that was paid further, and the nearest to it
}

// PaidTwice finds entitlements that two agreements with different providers, or two
// different ones with the same, both give at now and both will renew: somebody pays twice.
// What is shared by a family is paid by another, and a test is paid by nobody.
func PaidTwice(sources []Source, now time.Time) []Doubled {
	var twice []Doubled
	for _, e := range Of(sources, now) {
		var paid []Source
		for _, s := range e.Sources {
			again := slices.ContainsFunc(paid, func(o Source) bool {
				return o.Kind == s.Kind && o.Provider == s.Provider && agreement(o) == agreement(s)
			})
			counts := len(paid) == 0 || paid[0].Test == s.Test
			if s.Gives(now) && s.WillRenew && !s.Family && !again && counts {
				paid = append(paid, s)
			}
		}
		if len(paid) > 1 {
			twice = append(twice, Doubled{e.ID, paid[0], paid[1]})
		}
	}
	return twice
}

// agreement is what is renewed as a whole: parts of one purchase are one.
func agreement(s Source) string {
	whole, _, _ := strings.Cut(s.Ref, "/")
	return whole
}

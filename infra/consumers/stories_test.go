//go:build consumers

package consumers_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// scene is a message of a story and what is to be known of a customer after it.
type scene struct {
	document string
	customer string
	want     string // what is in use, whether it goes on, and the balance
}

// seen writes what the server knows of a customer as a scene does.
func seen(m mirror) string {
	var words []string
	for _, e := range m.Entitlements {
		word := e.EntitlementID
		if !m.Active[e.EntitlementID] {
			word = "no " + word
		}
		words = append(words, word)
	}
	slices.Sort(words)
	for _, s := range m.Subscriptions {
		if s.Kind == "subscription" && s.AutoRenewStatus {
			words = append(words, "renews")
		}
	}
	for _, b := range m.Balances {
		words = append(words, fmt.Sprintf("%v %s", b.Balance, b.CurrencyCode))
	}
	return strings.Join(words, ", ")
}

func TestStoriesEndAtTheServerAsTheyDoHere(t *testing.T) {
	stories := map[string][]scene{
		"cancels, comes back, renews, is refunded and it is undone": {
			{"purchase.granted", "kim", "premium, renews"},
			{"purchase.ending", "kim", "premium"},
			{"purchase.resumed", "kim", "premium, renews"},
			{"purchase.refunded", "kim", "no premium, renews"},
			{"purchase.restored", "kim", "premium, renews"},
			{"purchase.renewed", "kim", "premium, renews"},
		},
		"the card fails, grace keeps, and the money comes": {
			{"purchase.granted", "kim", "premium, renews"},
			{"purchase.grace", "kim", "premium"},
			{"purchase.grace+1", "kim", "premium"},
			{"purchase.recovered", "kim", "premium, renews"},
		},
		"the card fails on Play, and nothing keeps": {
			{"purchase.granted.play", "lee", "premium, renews"},
			{"purchase.on_hold", "lee", "no premium"},
			{"purchase.on_hold+1", "lee", "no premium"},
			{"purchase.on_hold+2", "lee", "no premium"},
			{"purchase.renewed.play", "lee", "premium, renews"},
		},
		"goes yearly": {
			{"purchase.granted", "kim", "premium, renews"},
			{"purchase.changed", "kim", "premium, renews"},
			{"purchase.changed+1", "kim", "premium, renews"},
		},
		"pays us, is declined, pays, cancels": {
			{"subscription.activated", "park", "premium, renews"},
			{"charge.declined", "park", "premium"},
			{"subscription.recovered", "park", "premium, renews"},
		},
		"pays us and cancels": {
			{"subscription.activated", "park", "premium, renews"},
			{"subscription.ending", "park", "premium"},
			{"subscription.resumed", "park", "premium, renews"},
			{"subscription.planned", "park", "premium, renews"},
			{"subscription.cancelled", "park", "no premium"},
		},
		"nothing is left to try": {
			{"subscription.activated", "park", "premium, renews"},
			{"charge.declined", "park", "premium"},
			{"subscription.unpaid", "park", "no premium"},
		},
		"gets all the money back": {
			{"subscription.activated", "park", "premium, renews"},
			{"subscription.renewed", "park", "premium, renews"},
			{"charge.refunded", "park", "no premium"},
		},
		"Apple ends what the company still gives": {
			{"purchase.granted", "kim", "premium, renews"},
			{"entitlement.granted", "kim", "premium, renews"},
			{"purchase.refunded", "kim", "premium, renews"},
			{"entitlement.revoked", "kim", "no premium, renews"},
		},
		"one ends while another gives, and the server was not told of the other": {
			{"purchase.granted", "kim", "premium, renews"},
			{"purchase.extended", "kim", "premium, renews"},
			{"purchase.expired.still_given", "kim", "premium"},
		},
		"gems are bought, refunded in part, given, spent, and some are too old": {
			{"purchase.granted.gems", "kim", ""},
			{"purchase.granted.gems+1", "kim", "100 gems"},
			{"wallet.credited", "kim", "120 gems"},
			{"wallet.spent", "kim", "40 gems"},
			{"wallet.spend_refunded", "kim", "120 gems"},
			{"purchase.refunded.gems", "kim", "120 gems"},
			{"purchase.refunded.gems+1", "kim", "95 gems"},
			{"wallet.expired", "kim", "75 gems"},
		},
		"a purchase goes to another customer": {
			{"purchase.granted", "kim", "premium, renews"},
			{"purchase.transferred", "kim", "no premium"},
			{"purchase.transferred", "lee", "premium, renews"},
		},
		"a purchase is shared, and taken back from who shared it": {
			{"purchase.granted", "kim", "premium, renews"},
			{"purchase.shared", "lee", "premium, renews"},
			{"purchase.shared", "kim", "premium, renews"},
			{"purchase.refunded", "kim", "no premium, renews"},
		},
		"a rental runs out by its end": {
			{"purchase.granted.rental", "kim", "movie_rental"},
			{"purchase.renewed", "kim", "no movie_rental, premium, renews"},
		},
	}
	s, all := newSender(t), documents(t)
	var q question
	for name, scenes := range stories {
		w := world{Name: name, Secret: s.secret, Customers: everybody}
		for _, c := range scenes {
			w.Steps = append(w.Steps, s.request(t, c.document, all[c.document]))
		}
		q.Worlds = append(q.Worlds, w)
	}
	for _, w := range ask(t, q).Worlds {
		for i, c := range stories[w.Name] {
			got := w.Steps[i]
			got.result(t)
			if len(got.Complaints) > 0 {
				t.Errorf("%s: %s: the server complains: %q", w.Name, c.document, got.Complaints)
			}
			if now := seen(got.Customers[c.customer]); now != c.want {
				t.Errorf("%s: after %s %s has %q, want %q", w.Name, c.document, c.customer, now, c.want)
			}
		}
	}
}

package apple_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/apple"
	"grantline/shared/entitlement"
	"grantline/shared/event"
	"grantline/shared/purchase"
	"grantline/shared/table"
)

// held is what a customer has after a notification, and was told because of it.
type held struct {
	Active      bool
	State       entitlement.State
	Until       time.Time
	WillRenew   bool
	SKU, Next   string
	Order       purchase.OrderState // of the transaction that the notification is about
	Balance     int64               // gems
	Reason      purchase.Reason
	Price       string // what was said to a higher one
	Told        []event.Type
	Unasked     bool // nothing was looked at
	Consumption string
}

// month is so many months after the first purchase.
func month(n int) time.Time { return signedAt.AddDate(0, n, 0) }

const day = 24 * time.Hour

// subscribed is a subscription that ann has had since signedAt.
func subscribed(w *world) string {
	id := w.subscribe("", monthlySKU, month(1))
	w.granted("ann", id)
	return id
}

// renewed is one that was renewed, and heard of.
func renewed(w *world) (first, second string) {
	first = subscribed(w)
	w.set(month(1))
	second = w.subscribe(first, monthlySKU, month(2))
	w.hear(w.notify("DID_RENEW", second, nil))
	return first, second
}

// onHold is one that could not be renewed, without grace.
func onHold(w *world) string {
	id := subscribed(w)
	w.set(month(1).Add(time.Hour))
	w.change(id, apple.StatusBillingRetry, facts{"isInBillingRetryPeriod": true, "expirationIntent": 2})
	w.hear(w.notify("DID_FAIL_TO_RENEW", id, nil))
	return id
}

// inGrace is one that could not be renewed, with grace until its end.
func inGrace(w *world) string {
	id := subscribed(w)
	w.set(month(1).Add(-time.Hour))
	w.change(id, apple.StatusGracePeriod, facts{
		"isInBillingRetryPeriod": true, "expirationIntent": 2, "gracePeriodExpiresDate": milli(month(1).Add(16 * day)),
	})
	w.hear(w.notify("DID_FAIL_TO_RENEW.GRACE_PERIOD", id, nil))
	return id
}

// ended is one that ended at the customer's wish.
func ended(w *world) string {
	id := subscribed(w)
	w.change(id, apple.StatusActive, facts{"autoRenewStatus": 0})
	w.hear(w.notify("DID_CHANGE_RENEWAL_STATUS.AUTO_RENEW_DISABLED", id, nil))
	w.set(month(1).Add(time.Minute))
	w.change(id, apple.StatusExpired, facts{"expirationIntent": 1})
	w.hear(w.notify("EXPIRED.VOLUNTARY", id, nil))
	return id
}

// bought is something that does not renew, of ann's since signedAt.
func bought(w *world, sku string, kind apple.ProductType, more facts) string {
	id := w.sell("", sku, kind, more)
	w.granted("ann", id)
	return id
}

// known makes ann a customer whom the store's account token names.
func known(w *world) (token string) {
	bought(w, adFreeSKU, apple.NonConsumable, nil)
	ids, err := w.Customers.Identity.StoreIDs(w.Context(), table.Default, "ann")
	if err != nil {
		w.Fatal(err)
	}
	return strings.ToUpper(ids.AppAccountToken)
}

// outcome is one row: what came before, what then happens and is told by a notification,
// and what the customer has afterwards.
type outcome struct {
	name   string // of the notification
	detail string
	of     string                     // the entitlement, premium unless said
	happen func(w *world) (id string) // what came before and what happens
	source func(w *world) facts       // of a notification about no transaction
	want   held
}

func outcomes() []outcome {
	active := held{Active: true, State: entitlement.Active, Until: month(1), WillRenew: true, SKU: monthlySKU, Order: purchase.OrderGranted}
	with := func(h held, changes ...func(*held)) held {
		for _, change := range changes {
			change(&h)
		}
		return h
	}
	told := func(types ...event.Type) func(*held) { return func(h *held) { h.Told = types } }
	until := func(at time.Time) func(*held) { return func(h *held) { h.Until = at } }
	gone := func(state entitlement.State, reason purchase.Reason) func(*held) {
		return func(h *held) { h.Active, h.State, h.WillRenew, h.Reason = false, state, false, reason }
	}
	sku := func(name string) func(*held) { return func(h *held) { h.SKU = name } }
	ending := func(h *held) { h.WillRenew, h.Reason = false, purchase.ByCustomer }
	next := func(name string) func(*held) { return func(h *held) { h.Next = name } }
	price := func(said string) func(*held) { return func(h *held) { h.Price = said } }
	once := func(name string) held {
		return held{Active: true, State: entitlement.Active, SKU: name, Order: purchase.OrderGranted, Told: []event.Type{event.PurchaseGranted}}
	}
	refundedOrder := func(h *held) { h.Order = purchase.OrderRefunded }
	gems := func(balance int64, types ...event.Type) held {
		return held{Order: purchase.OrderGranted, Balance: balance, Told: types}
	}
	asked := func(body string) func(*held) { return func(h *held) { h.Consumption = body } }
	kept := held{Unasked: true}

	// first is a purchase that the store's word alone gives to ann.
	first := func(changes facts) func(w *world) string {
		return func(w *world) string {
			token := known(w)
			id := w.subscribe("", monthlySKU, month(1))
			w.transactions[id]["appAccountToken"] = token
			for name, value := range changes {
				w.transactions[id][name] = value
			}
			return id
		}
	}
	again := func(w *world) string {
		id := ended(w)
		w.set(month(1).Add(10 * day))
		return w.subscribe(id, monthlySKU, month(2).Add(10*day))
	}
	upgrade := func(w *world) string {
		id := subscribed(w)
		w.set(signedAt.Add(5 * day))
		upgraded := w.subscribe(id, yearlySKU, signedAt.Add(5*day).AddDate(1, 0, 0))
		w.transactions[id]["isUpgraded"] = true
		return upgraded
	}
	shorter := func(w *world) string {
		id := w.subscribe("", basicSKU, month(12))
		w.granted("ann", id)
		w.set(signedAt.Add(5 * day))
		upgraded := w.subscribe(id, monthlySKU, signedAt.Add(5*day).AddDate(0, 1, 0))
		w.transactions[id]["isUpgraded"] = true
		return upgraded
	}
	downgrade := func(w *world) string {
		id := subscribed(w)
		w.change(id, apple.StatusActive, facts{"autoRenewProductId": basicSKU})
		return id
	}
	nothing := func(w *world) string { return subscribed(w) }
	expired := func(intent int, before func(*world) string) func(*world) string {
		return func(w *world) string {
			id := before(w)
			w.set(month(1).Add(60 * day))
			w.change(id, apple.StatusExpired, facts{"expirationIntent": intent, "isInBillingRetryPeriod": false, "autoRenewStatus": 0})
			return id
		}
	}
	flag := func(status int) func(*world) string {
		return func(w *world) string {
			id := subscribed(w)
			w.change(id, apple.StatusActive, facts{"priceIncreaseStatus": status})
			return id
		}
	}
	refund := func(w *world) string {
		_, second := renewed(w)
		w.set(month(1).Add(day))
		w.revoke(second, nil)
		w.change(second, apple.StatusRevoked, facts{"autoRenewStatus": 0})
		return second
	}
	oneOff := func(name string, kind apple.ProductType, more facts) func(*world) string {
		return func(w *world) string {
			token := known(w)
			id := w.sell("", name, kind, more)
			w.transactions[id]["appAccountToken"] = token
			return id
		}
	}
	gemsRefunded := func(more facts) func(*world) string {
		return func(w *world) string {
			id := bought(w, gemsSKU, apple.Consumable, facts{"quantity": 5})
			w.set(signedAt.Add(day))
			w.revoke(id, more)
			return id
		}
	}
	reversed := func(w *world, id string) string {
		w.hear(w.notify("REFUND", id, nil))
		w.set(w.Now().Add(day))
		w.unrevoke(id)
		return id
	}
	about := facts{"environment": "Production", "appAppleId": 1234567890, "bundleId": "com.example.app"}
	bare := func(*world) facts { return facts{"data": about} }
	summary := func(*world) facts {
		return facts{"summary": facts{
			"environment": "Production", "appAppleId": 1234567890, "bundleId": "com.example.app", "productId": monthlySKU, "requestIdentifier": "r",
			"storefrontCountryCodes": []string{"KOR"}, "succeededCount": 5, "failedCount": 2,
		}}
	}
	external := func(*world) facts {
		return facts{"externalPurchaseToken": facts{"externalPurchaseId": "b2158121", "tokenCreationDate": 1768478100000, "appAppleId": 1234567890, "bundleId": "com.example.app"}}
	}
	consent := func(w *world) facts {
		return facts{"appData": facts{"environment": "Production", "appAppleId": 1234567890, "bundleId": "com.example.app", "signedAppTransactionInfo": w.a.sign(appPayload)}}
	}

	return []outcome{
		{name: "SUBSCRIBED.INITIAL_BUY", happen: first(nil), want: with(active, told(event.PurchaseGranted))},
		{name: "SUBSCRIBED.INITIAL_BUY", detail: "by family", happen: first(facts{"inAppOwnershipType": "FAMILY_SHARED"}), want: with(active, told(event.PurchaseGranted))},
		{name: "SUBSCRIBED.RESUBSCRIBE", happen: again, want: with(active, until(month(2).Add(10*day)), told(event.PurchaseRenewed))},
		{name: "DID_RENEW", happen: func(w *world) string {
			id := subscribed(w)
			w.set(month(1).Add(-time.Minute))
			return w.subscribe(id, monthlySKU, month(2))
		}, want: with(active, until(month(2)), told(event.PurchaseRenewed))},
		{name: "DID_RENEW.BILLING_RECOVERY", happen: func(w *world) string {
			id := onHold(w)
			w.set(month(1).Add(9 * day))
			return w.subscribe(id, monthlySKU, month(2).Add(9*day))
		}, want: with(active, until(month(2).Add(9*day)), told(event.PurchaseRecovered))},
		{name: "DID_RENEW.BILLING_RECOVERY", detail: "within grace", happen: func(w *world) string {
			id := inGrace(w)
			w.set(month(1).Add(9 * day))
			return w.subscribe(id, monthlySKU, month(2))
		}, want: with(active, until(month(2)), told(event.PurchaseRecovered))},
		{name: "DID_CHANGE_RENEWAL_PREF", happen: func(w *world) string {
			id := downgrade(w)
			w.hear(w.notify("DID_CHANGE_RENEWAL_PREF.DOWNGRADE", id, nil))
			w.change(id, apple.StatusActive, facts{"autoRenewProductId": monthlySKU})
			return id
		}, want: with(active, told(event.EntitlementUpdated))},
		{name: "DID_CHANGE_RENEWAL_PREF.UPGRADE", happen: upgrade, want: with(active, sku(yearlySKU), until(signedAt.Add(5*day).AddDate(1, 0, 0)), told(event.PurchaseChanged))},
		{name: "DID_CHANGE_RENEWAL_PREF.UPGRADE", detail: "of a longer period", happen: shorter, want: with(active, until(signedAt.Add(5*day).AddDate(0, 1, 0)), told(event.PurchaseChanged))},
		{name: "DID_CHANGE_RENEWAL_PREF.DOWNGRADE", happen: downgrade, want: with(active, next(basicSKU), told(event.PurchasePlanned))},
		{name: "DID_CHANGE_RENEWAL_STATUS.AUTO_RENEW_ENABLED", happen: func(w *world) string {
			id := subscribed(w)
			w.change(id, apple.StatusActive, facts{"autoRenewStatus": 0})
			w.hear(w.notify("DID_CHANGE_RENEWAL_STATUS.AUTO_RENEW_DISABLED", id, nil))
			w.change(id, apple.StatusActive, facts{"autoRenewStatus": 1})
			return id
		}, want: with(active, told(event.PurchaseResumed))},
		{name: "DID_CHANGE_RENEWAL_STATUS.AUTO_RENEW_DISABLED", happen: func(w *world) string {
			id := subscribed(w)
			w.change(id, apple.StatusActive, facts{"autoRenewStatus": 0})
			return id
		}, want: with(active, ending, told(event.PurchaseEnding))},
		{name: "OFFER_REDEEMED", happen: nothing, want: active},
		{name: "OFFER_REDEEMED.INITIAL_BUY", happen: first(facts{"offerType": 3}), want: with(active, told(event.PurchaseGranted))},
		{name: "OFFER_REDEEMED.RESUBSCRIBE", happen: again, want: with(active, until(month(2).Add(10*day)), told(event.PurchaseRenewed))},
		{name: "OFFER_REDEEMED.UPGRADE", happen: upgrade, want: with(active, sku(yearlySKU), until(signedAt.Add(5*day).AddDate(1, 0, 0)), told(event.PurchaseChanged))},
		{name: "OFFER_REDEEMED.DOWNGRADE", happen: downgrade, want: with(active, next(basicSKU), told(event.PurchasePlanned))},
		{name: "DID_FAIL_TO_RENEW", happen: func(w *world) string {
			id := subscribed(w)
			w.set(month(1).Add(time.Hour))
			w.change(id, apple.StatusBillingRetry, facts{"isInBillingRetryPeriod": true, "expirationIntent": 2})
			return id
		}, want: with(active, gone(entitlement.OnHold, purchase.ByBilling), told(event.PurchaseOnHold))},
		{name: "DID_FAIL_TO_RENEW", detail: "before the end", happen: func(w *world) string {
			id := subscribed(w)
			w.set(month(1).Add(-time.Hour))
			w.change(id, apple.StatusActive, facts{"isInBillingRetryPeriod": true, "expirationIntent": 2})
			return id
		}, want: with(active, func(h *held) { h.Reason = purchase.ByBilling })},
		{name: "DID_FAIL_TO_RENEW.GRACE_PERIOD", happen: func(w *world) string {
			id := subscribed(w)
			w.set(month(1).Add(-time.Hour))
			w.change(id, apple.StatusGracePeriod, facts{
				"isInBillingRetryPeriod": true, "expirationIntent": 2, "gracePeriodExpiresDate": milli(month(1).Add(16 * day)),
			})
			return id
		}, want: with(active, until(month(1).Add(16*day)), func(h *held) { h.State, h.Reason = entitlement.Grace, purchase.ByBilling }, told(event.PurchaseGrace))},
		{name: "GRACE_PERIOD_EXPIRED", happen: func(w *world) string {
			id := inGrace(w)
			w.set(month(1).Add(16*day + time.Minute))
			w.change(id, apple.StatusBillingRetry, nil)
			return id
		}, want: with(active, gone(entitlement.OnHold, purchase.ByBilling), told(event.PurchaseOnHold))},
		{name: "EXPIRED", happen: expired(5, nothing), want: with(active, gone(entitlement.Expired, purchase.ByTheUnsaid), told(event.PurchaseExpired))},
		{name: "EXPIRED.VOLUNTARY", happen: expired(1, nothing), want: with(active, gone(entitlement.Expired, purchase.ByCustomer), told(event.PurchaseExpired))},
		{name: "EXPIRED.BILLING_RETRY", happen: expired(2, onHold), want: with(active, gone(entitlement.Expired, purchase.ByBilling), told(event.PurchaseExpired))},
		{name: "EXPIRED.PRICE_INCREASE", happen: expired(3, nothing), want: with(active, gone(entitlement.Expired, purchase.ByPrice), told(event.PurchaseExpired))},
		{name: "EXPIRED.PRODUCT_NOT_FOR_SALE", happen: expired(4, nothing), want: with(active, gone(entitlement.Expired, purchase.ByProduct), told(event.PurchaseExpired))},
		{name: "PRICE_INCREASE.PENDING", happen: flag(0), want: with(active, price("pending"))},
		{name: "PRICE_INCREASE.ACCEPTED", happen: flag(1), want: with(active, price("accepted"))},
		{name: "PRICE_CHANGE", happen: nothing, want: active},
		{name: "PRICE_CHANGE.PENDING", happen: flag(0), want: with(active, price("pending"))},
		{name: "PRICE_CHANGE.ACCEPTED", happen: flag(1), want: with(active, price("accepted"))},
		{name: "REFUND", detail: "of an older renewal", happen: func(w *world) string {
			old, _ := renewed(w)
			w.set(month(1).Add(day))
			w.revoke(old, nil)
			return old
		}, want: with(active, until(month(2)), refundedOrder, told(event.PurchaseRefunded))},
		{name: "REFUND", detail: "of the last renewal", happen: refund, want: with(active, gone(entitlement.Expired, purchase.ByCustomer), refundedOrder, told(event.PurchaseRefunded))},
		{name: "REFUND", detail: "of a consumable, all of it", happen: gemsRefunded(nil), want: with(gems(0, event.PurchaseRefunded), refundedOrder)},
		{name: "REFUND", detail: "of a consumable, 40 per cent", happen: gemsRefunded(facts{"revocationType": "REFUND_PRORATED", "revocationPercentage": 40_000}), want: gems(300, event.PurchaseRefunded)},
		{name: "REFUND", detail: "of a subscription in part", happen: func(w *world) string {
			id := subscribed(w)
			w.revoke(id, facts{"revocationType": "REFUND_PRORATED", "revocationPercentage": 40_000})
			return id
		}, want: held{State: entitlement.Expired, Until: month(1), SKU: monthlySKU, Order: purchase.OrderRefunded, Told: []event.Type{event.PurchaseRefunded}}},
		{name: "REFUND", detail: "of what never ends", of: "ad_free", happen: func(w *world) string {
			id := bought(w, adFreeSKU, apple.NonConsumable, nil)
			w.revoke(id, nil)
			return id
		}, want: held{State: entitlement.Expired, SKU: adFreeSKU, Order: purchase.OrderRefunded, Told: []event.Type{event.PurchaseRefunded}}},
		{name: "REFUND_REVERSED", happen: func(w *world) string {
			id := reversed(w, refund(w))
			w.change(id, apple.StatusActive, facts{"autoRenewStatus": 1})
			return id
		}, want: with(active, until(month(2)), told(event.PurchaseRestored))},
		{name: "REFUND_REVERSED", detail: "of a consumable", happen: func(w *world) string { return reversed(w, gemsRefunded(nil)(w)) }, want: gems(500, event.PurchaseRestored)},
		{name: "REFUND_DECLINED", happen: nothing, want: active},
		{name: "CONSUMPTION_REQUEST", happen: func(w *world) string { return bought(w, gemsSKU, apple.Consumable, nil) }, want: with(gems(100),
			asked(`{"customerConsented":true,"sampleContentProvided":false,"deliveryStatus":"DELIVERED","refundPreference":"GRANT_FULL","consumptionPercentage":0}`))},
		{name: "CONSUMPTION_REQUEST", detail: "of a subscription", happen: nothing, want: with(active,
			asked(`{"customerConsented":true,"sampleContentProvided":false,"deliveryStatus":"DELIVERED"}`))},
		{name: "CONSUMPTION_REQUEST", detail: "about nothing", source: bare, want: kept},
		{name: "REVOKE", happen: func(w *world) string {
			id := first(facts{"inAppOwnershipType": "FAMILY_SHARED"})(w)
			w.hear(w.notify("SUBSCRIBED.INITIAL_BUY", id, nil))
			w.revoke(id, facts{"revocationType": "FAMILY_REVOKE"})
			w.change(id, apple.StatusRevoked, facts{"autoRenewStatus": 0})
			return id
		}, want: with(active, gone(entitlement.Expired, purchase.ByCustomer), refundedOrder, told(event.PurchaseRevoked))},
		{name: "RENEWAL_EXTENDED", happen: func(w *world) string {
			id := subscribed(w)
			w.set(signedAt.Add(day))
			w.transactions[id]["expiresDate"] = milli(month(1).Add(7 * day))
			w.change(id, apple.StatusActive, facts{"renewalDate": milli(month(1).Add(7 * day))})
			return id
		}, want: with(active, until(month(1).Add(7*day)), told(event.PurchaseExtended))},
		{name: "RENEWAL_EXTENSION.SUMMARY", source: summary, want: kept},
		{name: "RENEWAL_EXTENSION.FAILURE", happen: nothing, want: active},
		{name: "ONE_TIME_CHARGE", detail: "consumable", happen: oneOff(gemsSKU, apple.Consumable, facts{"quantity": 2}), want: gems(200, event.PurchaseGranted)},
		{name: "ONE_TIME_CHARGE", detail: "for good", of: "ad_free", happen: oneOff(adFreeSKU, apple.NonConsumable, nil), want: once(adFreeSKU)},
		{name: "ONE_TIME_CHARGE", detail: "for good, by family", of: "ad_free", happen: oneOff(adFreeSKU, apple.NonConsumable, facts{"inAppOwnershipType": "FAMILY_SHARED"}), want: once(adFreeSKU)},
		{name: "ONE_TIME_CHARGE", detail: "for seven days", of: "movie_rental", happen: oneOff(rentalSKU, apple.NonRenewing, nil), want: with(once(rentalSKU), until(signedAt.Add(7*day)))},
		{name: "EXTERNAL_PURCHASE_TOKEN.UNREPORTED", source: external, want: kept},
		{name: "EXTERNAL_PURCHASE_TOKEN.CREATED", source: external, want: kept},
		{name: "EXTERNAL_PURCHASE_TOKEN.ACTIVE_TOKEN_REMINDER", source: external, want: kept},
		{name: "RESCIND_CONSENT", source: consent, want: kept},
		{name: "METADATA_UPDATE", happen: nothing, want: active},
		{name: "MIGRATION", happen: nothing, want: active},
		{name: "MIGRATE", happen: nothing, want: active},
		{name: "TEST", source: bare, want: kept},
		{name: "SOMETHING_NEW", detail: "with a renewal that nobody told of", happen: func(w *world) string {
			id := subscribed(w)
			w.set(month(1))
			return w.subscribe(id, monthlySKU, month(2))
		}, want: with(active, until(month(2)), told(event.PurchaseRenewed))},
		{name: "SOMETHING_NEW", detail: "about nothing", source: bare, want: kept},
		{name: "DID_RENEW.SOMEHOW", happen: func(w *world) string {
			id := subscribed(w)
			w.set(month(1))
			return w.subscribe(id, monthlySKU, month(2))
		}, want: with(active, until(month(2)), told(event.PurchaseRenewed))},
	}
}

// Every type and subtype that Apple names, after what realistically comes before it, ends
// in a named state of the customer: the same from signed data alone and from the API.
func TestEveryNotificationLeavesTheCustomerWithWhatItSays(t *testing.T) {
	for _, able := range []bool{false, true} {
		for _, row := range outcomes() {
			name := strings.TrimSuffix(row.name+", "+row.detail, ", ") + map[bool]string{false: ", signed data alone", true: ", with an API"}[able]
			t.Run(name, func(t *testing.T) {
				w := newWorld(t, able)
				var id, signed string
				if row.source != nil {
					subscribed(w)
					signed = w.notice(row.name, row.source(w))
				} else {
					id = row.happen(w)
					signed = w.notify(row.name, id, nil)
				}
				before := w.customer("ann").Sequence()
				w.requests()
				applied := w.hear(signed)
				bodies := strings.Join(w.bodies, "")
				asked := len(w.requests()) > 0

				want := row.want
				if applied == want.Unasked {
					t.Errorf("applied: got %t, want %t", applied, !want.Unasked)
				}
				if asked != (able && !want.Unasked) {
					t.Errorf("the API was asked: got %t, want %t", asked, able && !want.Unasked)
				}
				got := held{Told: w.told("ann", before), Unasked: !applied}
				if want.Unasked {
					want = held{Unasked: true}
				} else {
					of := row.of
					if of == "" {
						of = "premium"
					}
					e, r := w.entitled("ann", of), w.record(w.lineOf(id))
					got.Active, got.State, got.Until, got.WillRenew = e.Active, e.State, e.ExpiresAt, e.WillRenew
					if len(e.Sources) > 0 {
						got.SKU, got.Next = e.Sources[0].ProductID, e.Sources[0].Next
					}
					got.Order, got.Balance, got.Reason, got.Price = w.order(id).State, w.balance("ann"), r.Standing.Reason, r.Standing.PriceIncrease
					got.Consumption = bodies
				}
				if !able {
					want.Consumption = ""
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("after %s (-want +got):\n%s", row.name, diff)
				}

				// Heard again, it changes nothing.
				before = w.customer("ann").Sequence()
				w.hear(signed)
				if told := w.told("ann", before); len(told) != 0 {
					t.Errorf("heard again: told %q, want nothing", told)
				}
			})
		}
	}
}

func TestEveryWordOfAppleHasItsRow(t *testing.T) {
	named := map[string]bool{}
	for _, row := range outcomes() {
		kind, sub, _ := strings.Cut(row.name, ".")
		named[kind], named["."+sub] = true, true
	}
	source, err := os.ReadFile("notification_type.go")
	if err != nil {
		t.Fatal(err)
	}
	words := regexp.MustCompile(`(?m)^\s+(Type|Subtype)\w+ +\w+ += "([A-Z_]+)"`).FindAllStringSubmatch(string(source), -1)
	if len(words) != 43 {
		t.Errorf("got %d words in notification_type.go, want 24 types and 19 subtypes", len(words))
	}
	for _, word := range words {
		name := word[2]
		if word[1] == "Subtype" {
			name = "." + name
		}
		if !named[name] {
			t.Errorf("%s has no row", name)
		}
	}
}

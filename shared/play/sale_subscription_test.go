package play_test

import (
	"strings"
	"testing"
	"time"

	"grantline/shared/fault"
	"grantline/shared/play"
	"grantline/shared/purchase"
)

const (
	shopExpiry   = `"expiryTime":"2026-12-22T05:00:00Z",`
	shopOwned    = `"latestSuccessfulOrderId":"` + apiOrder + `",`
	shopRenewing = `"autoRenewingPlan":{"autoRenewEnabled":true}`
)

// Whether there is access is Until, Ended and the state of a sale: of each word of Google's,
// before the end of what was paid and after it.
func TestEveryStateOfASubscriptionIsTranslated(t *testing.T) {
	const ending = `"autoRenewingPlan":{}`
	past := time.Date(2026, 11, 22, 5, 0, 0, 0, time.UTC) // an hour ago
	for _, c := range []struct {
		state   string
		edits   []string
		differs func(*purchase.News)
	}{
		{"ACTIVE", nil, func(*purchase.News) {}},
		{"IN_GRACE_PERIOD", nil, func(n *purchase.News) {
			n.Sales[0].Unpaid = true
			standing(n, "premium", func(s *purchase.Standing) { s.Retrying, s.GraceUntil = true, n.Sales[0].Until })
		}},
		{"ON_HOLD", nil, func(n *purchase.News) {
			n.Sales[0].Ended = true
			untold(n)
			standing(n, "premium", func(s *purchase.Standing) { s.Retrying = true })
		}},
		{"PAUSED", nil, func(n *purchase.News) {
			n.Sales[0].Ended = true
			untold(n)
		}},
		{"PAUSED", []string{shopRenewing, ending}, func(n *purchase.News) {
			n.Sales[0].Ended = true
			untold(n)
		}},
		{"CANCELED", []string{shopRenewing, ending}, func(n *purchase.News) {
			n.Sales[0].WillRenew = false
			standing(n, "premium", func(s *purchase.Standing) { s.WillRenew = false })
		}},
		{"CANCELED", nil, func(n *purchase.News) { // whatever the plan says
			n.Sales[0].WillRenew = false
			standing(n, "premium", func(s *purchase.Standing) { s.WillRenew = false })
		}},
		{"EXPIRED", nil, func(n *purchase.News) {
			n.Sales[0].Ended, n.Sales[0].WillRenew = true, false
			untold(n)
			standing(n, "premium", func(s *purchase.Standing) { s.WillRenew = false })
		}},
		// A refund that nobody is told of may come after the end.
		{"EXPIRED", []string{"2026-12-22T05:00:00Z", "2026-10-06T06:00:01Z"}, func(n *purchase.News) { // asked about for the last time
			n.Sales[0].Ended, n.Sales[0].WillRenew, n.Sales[0].Until = true, false, apiNow.Add(time.Second-47*24*time.Hour)
			untold(n)
			standing(n, "premium", func(s *purchase.Standing) { s.WillRenew = false })
		}},
		{"EXPIRED", []string{"2026-12-22T05:00:00Z", "2026-10-06T06:00:00Z"}, func(n *purchase.News) { // no more
			n.Sales[0].Ended, n.Sales[0].WillRenew, n.Sales[0].Until = true, false, apiNow.Add(-47*24*time.Hour)
			over(n)
			standing(n, "premium", func(s *purchase.Standing) { s.WillRenew = false })
		}},
		{"PENDING", []string{`"startTime":"2026-11-21T05:00:00Z",`, "", shopExpiry, "", shopOwned, ""}, func(n *purchase.News) {
			n.Sales[0].State, n.Sales[0].Order, n.Sales[0].WillRenew = purchase.Pending, n.Token.ID, false
			n.Sales[0].Until, n.Parts = time.Time{}, map[string]purchase.Standing{}
			over(n)
		}},
		{"PENDING", nil, func(n *purchase.News) { // whatever else it says
			n.Sales[0].State, n.Sales[0].Order, n.Sales[0].WillRenew = purchase.Pending, n.Token.ID, false
			n.Sales[0].Until, n.Parts = time.Time{}, map[string]purchase.Standing{}
			over(n)
		}},
		{"PENDING", []string{`,"lineItems":[` + shopItem + `]`, ""}, func(n *purchase.News) {
			n.Sales[0].State, n.Sales[0].Order, n.Sales[0].WillRenew = purchase.Pending, n.Token.ID, false
			n.Sales[0].Part, n.Sales[0].SKU = "", ""
			n.Sales[0].Until, n.Parts = time.Time{}, map[string]purchase.Standing{}
			over(n)
		}},
		{"PENDING_PURCHASE_CANCELED", nil, func(n *purchase.News) {
			n.Sales[0].State, n.Sales[0].Order, n.Sales[0].WillRenew = purchase.Failed, n.Token.ID, false
			n.Sales[0].Until, n.Parts = time.Time{}, map[string]purchase.Standing{}
			over(n)
		}},
	} {
		for when, until := range map[string]time.Time{"before its end": shopEnd, "after its end": past} {
			t.Run(c.state+" "+when, func(t *testing.T) {
				s := newShop(t)
				text := strings.Replace(shopSubscription, "STATE_ACTIVE", "STATE_"+c.state, 1)
				text = edited(t, text, c.edits...)
				s.sells(strings.Replace(text, "2026-12-22T05:00:00Z", until.Format(time.RFC3339), 1))
				want := subscriptionSaid()
				want.Sales[0].Until = until
				c.differs(&want)
				if c.state == "ACTIVE" && until.Equal(past) { // Google tries for a day, and says nothing
					standing(&want, "premium", func(s *purchase.Standing) { s.Retrying, s.GraceUntil = true, past.Add(24*time.Hour) })
				}
				got, err := s.look(t, "premium")
				if err != nil {
					t.Fatalf("error %v, want none", err)
				}
				newsIs(t, got, want)
			})
		}
	}
}

func TestGooglesWordOnASubscriptionBecomesASale(t *testing.T) {
	const (
		start    = `"startTime":"2026-11-21T05:00:00Z",`
		account  = `"externalAccountIdentifiers":{"obfuscatedExternalAccountId":"` + shopAccount + `"},`
		prepaid  = `"prepaidPlan":{"allowExtendAfterTime":"2026-11-22T00:00:00Z"}`
		linked   = `"linkedPurchaseToken":"` + shopOlder + `",`
		outside  = `"outOfAppPurchaseContext":{"expiredPurchaseToken":"` + shopOlder + `","expiredExternalAccountIdentifiers":{"obfuscatedExternalAccountId":"account-before"}},`
		unnamed  = `"outOfAppPurchaseContext":{"expiredPurchaseToken":"` + shopOlder + `"},`
		by       = `"lineItems":[`
		replaced = `"canceledStateContext":{"replacementCancellation":{}},`
	)
	older := &purchase.Token{ID: play.TokenID(shopOlder), Secret: shopOlder, Kind: "subscription@" + apiPackage}
	isPrepaid := func(ends time.Time, within time.Duration) func(*purchase.News) {
		return func(n *purchase.News) {
			n.Sales[0].Until, n.Sales[0].WillRenew, n.Token.By = ends, false, shopStart.Add(within)
			standing(n, "premium", func(s *purchase.Standing) { s.WillRenew = false })
		}
	}
	for _, c := range []struct {
		name    string
		edits   []string
		differs func(*purchase.News)
	}{
		{"acknowledged", []string{"STATE_PENDING", "STATE_ACKNOWLEDGED"}, func(n *purchase.News) { n.Token.Unacknowledged = false }},
		{"acknowledgement not said", []string{`"acknowledgementState":"ACKNOWLEDGEMENT_STATE_PENDING",`, ""}, func(*purchase.News) {}},
		{"the first of its line", []string{"09..4", "09"}, func(n *purchase.News) {
			n.Sales[0].Order, n.Sales[0].PurchasedAt = shopOrder, shopStart
		}},
		{"no start", []string{start, "", "09..4", "09"}, func(n *purchase.News) {
			n.Sales[0].Order, n.Token.By = shopOrder, apiNow.Add(72*time.Hour)
		}},
		{"nine digits of a second", []string{"2026-12-22T05:00:00Z", "2026-12-22T05:00:00.000000001Z"}, func(n *purchase.News) {
			n.Sales[0].Until = shopEnd.Add(1)
		}},
		{"no base plan said", []string{`"offerDetails":{"basePlanId":"monthly"},`, ""}, func(n *purchase.News) { n.Sales[0].SKU = "premium" }},
		{"a base plan without a name", []string{`"basePlanId":"monthly"`, `"offerId":"trial"`}, func(n *purchase.News) { n.Sales[0].SKU = "premium" }},
		{"a license tester's", []string{start, start + `"testPurchase":{},`}, func(n *purchase.News) {
			n.Sales[0].Test, n.Token.By = true, apiNow.Add(3*time.Minute)
		}},
		{"a license tester's, prepaid", []string{start, start + `"testPurchase":{},`, shopRenewing, prepaid, "2026-12-22", "2026-11-22"}, func(n *purchase.News) {
			isPrepaid(shopStart.Add(24*time.Hour), 0)(n)
			n.Sales[0].Test, n.Token.By = true, apiNow.Add(3*time.Minute)
		}},
		{"by nobody", []string{account, ""}, func(n *purchase.News) { n.Sales[0].Account = "" }},
		{"by nobody that the app named", []string{`"obfuscatedExternalAccountId"`, `"externalAccountId"`}, func(n *purchase.News) { n.Sales[0].Account = "" }},
		{"prepaid for a month", []string{shopRenewing, prepaid}, isPrepaid(shopEnd, 72*time.Hour)},
		{"prepaid for a week", []string{shopRenewing, prepaid, "2026-12-22", "2026-11-28"}, isPrepaid(shopStart.Add(7*24*time.Hour), 72*time.Hour)},
		{
			"prepaid for a second less than a week",
			[]string{shopRenewing, prepaid, "2026-12-22T05:00:00Z", "2026-11-28T04:59:59Z"},
			isPrepaid(shopStart.Add(7*24*time.Hour-time.Second), (7*24*time.Hour-time.Second)/2),
		},
		{"prepaid for three days", []string{shopRenewing, prepaid, "2026-12-22", "2026-11-24"}, isPrepaid(shopStart.Add(72*time.Hour), 36*time.Hour)},
		{"prepaid, without a start", []string{shopRenewing, prepaid, "2026-12-22", "2026-11-24", start, ""}, func(n *purchase.News) {
			isPrepaid(shopStart.Add(72*time.Hour), 0)(n)
			n.Token.By = apiNow.Add(72 * time.Hour)
		}},
		{"a renewing plan of three days", []string{"2026-12-22", "2026-11-24"}, func(n *purchase.News) { n.Sales[0].Until = shopStart.Add(72 * time.Hour) }},
		{"in instalments", []string{shopRenewing, `"autoRenewingPlan":{"autoRenewEnabled":true,"installmentDetails":{"remainingCommittedPaymentsCount":3}}`}, func(*purchase.News) {}},
		{"in instalments, to be cancelled", []string{shopRenewing, `"autoRenewingPlan":{"autoRenewEnabled":true,"installmentDetails":{"remainingCommittedPaymentsCount":3,"pendingCancellation":{}}}`}, func(*purchase.News) {}},
		{"in place of another", []string{by, linked + by}, func(n *purchase.News) { n.Token.Older = older }},
		{"in place of none that could be", []string{by, strings.Replace(linked, shopOlder, "..", 1) + by}, func(*purchase.News) {}},
		{"resubscribed out of the app", []string{by, outside + by}, func(n *purchase.News) { n.Token.Older, n.Token.Account = older, "account-before" }},
		{"resubscribed out of the app, by nobody now", []string{by, outside + by, account, ""}, func(n *purchase.News) {
			n.Token.Older, n.Token.Account, n.Sales[0].Account = older, "account-before", "account-before"
		}},
		{"resubscribed out of the app, by nobody ever", []string{by, unnamed + by, account, ""}, func(n *purchase.News) { n.Token.Older, n.Sales[0].Account = older, "" }},
		{"out of the app, after nothing", []string{by, `"outOfAppPurchaseContext":{},` + by}, func(*purchase.News) {}},
		{"out of the app and linked", []string{by, linked + strings.Replace(outside, shopOlder, "another-token", 1) + by}, func(n *purchase.News) {
			n.Token.Older, n.Token.Account = older, "account-before"
		}},
		{"replaced, and not over", []string{"STATE_ACTIVE", "STATE_CANCELED", by, replaced + by}, func(n *purchase.News) {
			n.Sales[0].WillRenew = false
			standing(n, "premium", func(s *purchase.Standing) { s.WillRenew, s.Reason = false, purchase.ByTheUnsaid })
		}},
		{"replaced", []string{"STATE_ACTIVE", "STATE_EXPIRED", by, replaced + by}, func(n *purchase.News) {
			n.Sales[0].State, n.Sales[0].Ended, n.Sales[0].WillRenew = purchase.Replaced, true, false
			untold(n)
			standing(n, "premium", func(s *purchase.Standing) { s.WillRenew, s.Reason = false, purchase.ByTheUnsaid })
		}},
		{"active, and replaced by a word", []string{by, replaced + by}, func(*purchase.News) {}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newShop(t)
			s.sells(edited(t, shopSubscription, c.edits...))
			want := subscriptionSaid()
			c.differs(&want)
			got, err := s.look(t, "premium")
			if err != nil {
				t.Fatalf("error %v, want none", err)
			}
			newsIs(t, got, want)
		})
	}
}

// item is a line item of a subscription; what is "" is not said.
func item(product, expires, order, plan string) string {
	text := `{"productId":"` + product + `","offerDetails":{"basePlanId":"monthly"}`
	if expires != "" {
		text += `,"expiryTime":"` + expires + `"`
	}
	if order != "" {
		text += `,"latestSuccessfulOrderId":"` + order + `"`
	}
	if plan != "" {
		text += `,` + plan
	}
	return text + `}`
}

// Each item of a bundle has its own end, and what is not owned yet is no sale.
func TestEachItemOfASubscriptionIsAPart(t *testing.T) {
	const (
		later    = "2026-12-25T00:00:00Z"
		past     = "2026-11-01T00:00:00Z"
		prepaid  = `"prepaidPlan":{}`
		replaced = `"autoRenewingPlan":{},"deferredItemReplacement":{"productId":"basic"}`
		removed  = `"autoRenewingPlan":{"autoRenewEnabled":true},"deferredItemRemoval":{}`
	)
	base := shopItem
	other := func(part, until, order string, renews bool) purchase.Sale {
		s := subscriptionSaid().Sales[0]
		s.Part, s.SKU, s.Order, s.WillRenew = part, part+":monthly", order, renews
		s.Until, _ = time.Parse(time.RFC3339, until)
		return s
	}
	renewing := purchase.Standing{AsOf: apiNow, WillRenew: true}
	ending := purchase.Standing{AsOf: apiNow}
	premium := subscriptionSaid().Sales[0]
	ends := func(s purchase.Sale) purchase.Sale {
		s.WillRenew = false
		return s
	}
	for _, c := range []struct {
		name    string
		items   []string
		differs func(*purchase.News)
	}{
		{"an add-on that ends later", []string{base, item("sport", later, "GPA.2..1", shopRenewing)}, func(n *purchase.News) {
			n.Sales = []purchase.Sale{other("sport", later, "GPA.2..1", true), premium}
			n.Parts["sport"] = renewing
		}},
		{"add-ons that end with it", []string{item("sport", "2026-12-22T05:00:00Z", "GPA.2..1", shopRenewing), base, item("film", "2026-12-22T05:00:00Z", "GPA.3..1", shopRenewing)}, func(n *purchase.News) {
			n.Sales = []purchase.Sale{other("film", "2026-12-22T05:00:00Z", "GPA.3..1", true), premium, other("sport", "2026-12-22T05:00:00Z", "GPA.2..1", true)}
			n.Parts["sport"], n.Parts["film"] = renewing, renewing
		}},
		{"an add-on that is over", []string{item("sport", past, "GPA.2..1", ""), base}, func(n *purchase.News) {
			n.Sales = []purchase.Sale{premium, other("sport", past, "GPA.2..1", false)}
			n.Parts["sport"] = ending
		}},
		{"an add-on that nobody has yet", []string{base, item("sport", "", "", shopRenewing)}, func(n *purchase.News) { n.Parts["sport"] = renewing }},
		{"an add-on without an order, though it has an end", []string{item("sport", later, "", shopRenewing), base}, func(n *purchase.News) { n.Parts["sport"] = renewing }},
		{"an add-on to be removed", []string{base, item("sport", later, "GPA.2..1", removed)}, func(n *purchase.News) {
			n.Sales = []purchase.Sale{other("sport", later, "GPA.2..1", false), premium}
			n.Parts["sport"], n.Keeps = ending, []string{"sport"}
		}},
		{"a replacement that waits", []string{
			item("premium", "2026-12-22T05:00:00Z", apiOrder, replaced), item("basic", "2027-01-22T05:00:00Z", "", shopRenewing),
		}, func(n *purchase.News) {
			n.Sales = []purchase.Sale{ends(premium)}
			n.Parts["premium"], n.Parts["basic"] = purchase.Standing{AsOf: apiNow, Next: "basic:monthly"}, renewing
			n.Keeps = []string{"premium"}
		}},
		{"another base plan that waits", []string{
			strings.Replace(item("premium", "", "", shopRenewing), "monthly", "yearly", 1),
			item("sport", later, "GPA.2..1", `"autoRenewingPlan":{},"deferredItemReplacement":{"productId":"premium"}`),
		}, func(n *purchase.News) {
			n.Sales = []purchase.Sale{other("sport", later, "GPA.2..1", false)}
			n.Parts["premium"], n.Parts["sport"] = renewing, purchase.Standing{AsOf: apiNow, Next: "premium:yearly"}
			n.Keeps = []string{"sport"}
		}},
		{"another plan of the same product that waits", []string{
			item("premium", "2026-12-22T05:00:00Z", apiOrder, `"autoRenewingPlan":{},"deferredItemReplacement":{"productId":"premium"}`),
			strings.Replace(item("premium", "2027-12-22T05:00:00Z", "", shopRenewing), "monthly", "yearly", 1),
		}, func(n *purchase.News) {
			n.Sales = []purchase.Sale{ends(premium)}
			n.Parts["premium"], n.Keeps = purchase.Standing{AsOf: apiNow, Next: "premium:yearly"}, []string{"premium"}
		}},
		{"another plan of the same product, said first", []string{
			strings.Replace(item("premium", "2027-12-22T05:00:00Z", "", shopRenewing), "monthly", "yearly", 1),
			item("premium", "2026-12-22T05:00:00Z", apiOrder, `"autoRenewingPlan":{},"deferredItemReplacement":{"productId":"premium"}`),
		}, func(n *purchase.News) {
			n.Sales = []purchase.Sale{ends(premium)}
			n.Parts["premium"], n.Keeps = purchase.Standing{AsOf: apiNow, Next: "premium:yearly"}, []string{"premium"}
		}},
		{"a replacement that waits, of which nothing is said", []string{item("premium", "2026-12-22T05:00:00Z", apiOrder, replaced)}, func(n *purchase.News) {
			n.Sales = []purchase.Sale{ends(premium)}
			n.Parts["premium"] = purchase.Standing{AsOf: apiNow, Next: "basic"}
			n.Keeps = []string{"premium"}
		}},
		{"a replacement that waits, of what has no order here", []string{
			item("premium", "2026-12-22T05:00:00Z", "", replaced), item("sport", later, "GPA.2..1", shopRenewing), item("basic", "", "", shopRenewing),
		}, func(n *purchase.News) {
			n.Sales = []purchase.Sale{other("sport", later, "GPA.2..1", true)}
			n.Parts["premium"], n.Parts["basic"], n.Parts["sport"] = purchase.Standing{AsOf: apiNow, Next: "basic:monthly"}, renewing, renewing
			n.Keeps = []string{"premium"}
		}},
		{"prepaid, the shorter counts", []string{
			item("premium", "2026-12-22T05:00:00Z", apiOrder, prepaid), item("sport", "2026-11-24T05:00:00Z", "GPA.2", prepaid), item("film", "2026-11-25T05:00:00Z", "GPA.3..0", prepaid),
		}, func(n *purchase.News) {
			sport := other("sport", "2026-11-24T05:00:00Z", "GPA.2", false)
			sport.PurchasedAt = shopStart
			n.Sales = []purchase.Sale{ends(premium), other("film", "2026-11-25T05:00:00Z", "GPA.3..0", false), sport}
			n.Parts["premium"], n.Parts["sport"], n.Parts["film"] = ending, ending, ending
			n.Token.By = shopStart.Add(36 * time.Hour)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newShop(t)
			s.sells(edited(t, shopSubscription, shopItem, strings.Join(c.items, ",")))
			want := subscriptionSaid()
			c.differs(&want)
			got, err := s.look(t, "any")
			if err != nil {
				t.Fatalf("error %v, want none", err)
			}
			newsIs(t, got, want)
		})
	}
}

// A token of which nobody has anything yet grants nothing, and asks for nothing.
func TestWhatNobodyOwnsYetIsNoSale(t *testing.T) {
	for name, text := range map[string]string{
		"no order":         edited(t, shopSubscription, shopOwned, ""),
		"no order, no end": edited(t, shopSubscription, shopOwned, "", shopExpiry, ""),
		"no items":         edited(t, shopSubscription, shopItem, ""),
	} {
		t.Run(name, func(t *testing.T) {
			s := newShop(t)
			s.sells(text)
			news, err := s.look(t, "premium")
			faultIs(t, err, fault.Invalid)
			newsIs(t, news, purchase.News{})
			news, err = s.hear(t, play.Notification{Kind: play.KindSubscription, Type: play.SubscriptionPurchased, Token: apiToken})
			faultIs(t, err, nil)
			newsIs(t, news, purchase.News{})
			news, known, err := s.store.Follow(t.Context(), shopLine("subscription@"+apiPackage))
			if err != nil || !known || len(news.Sales) > 0 || news.Token.Unacknowledged || !news.Token.By.IsZero() {
				t.Errorf("followed: got %+v, %v, %v, want no sale and nothing owed", news, known, err)
			}
		})
	}
}

func TestUnknownWordsOnASubscriptionNeitherGrantNorRevoke(t *testing.T) {
	for name, text := range map[string]string{
		"an empty object":             `{}`,
		"no state":                    edited(t, shopSubscription, `"subscriptionState":"SUBSCRIPTION_STATE_ACTIVE",`, ""),
		"an unspecified state":        edited(t, shopSubscription, "STATE_ACTIVE", "STATE_UNSPECIFIED"),
		"a state that an article has": edited(t, shopSubscription, "STATE_ACTIVE", "STATE_PENDING_PURCHASE_EXPIRED"),
		"a word of ours":              edited(t, shopSubscription, "SUBSCRIPTION_STATE_ACTIVE", "ACTIVE"),
		"a state in lower case":       edited(t, shopSubscription, "STATE_ACTIVE", "STATE_active"),
		"cancelled with two L":        edited(t, shopSubscription, "STATE_ACTIVE", "STATE_CANCELLED"),
		"no end":                      edited(t, shopSubscription, shopExpiry, ""),
		"no end, expired":             edited(t, shopSubscription, shopExpiry, "", "STATE_ACTIVE", "STATE_EXPIRED"),
		"an end of garbage":           edited(t, shopSubscription, "2026-12-22T05:00:00Z", "never"),
		"an end of an unowned item":   edited(t, shopSubscription, "2026-12-22T05:00:00Z", "never", shopOwned, ""),
		"an end in 1970":              edited(t, shopSubscription, "2026-12-22T05:00:00Z", "1970-01-01T00:00:00Z"),
		"a start of garbage":          edited(t, shopSubscription, "2026-11-21T05:00:00Z", "once"),
		"an item of nothing":          edited(t, shopSubscription, `"productId":"premium"`, `"productId":""`),
		"no item":                     edited(t, shopSubscription, `"lineItems":[`, `"lineItems":[null,`),
		"the sound item after none":   edited(t, shopSubscription, `"lineItems":[`, `"lineItems":[{},`),
	} {
		t.Run(name, func(t *testing.T) {
			s := newShop(t)
			s.subscriptions[apiPackage] = apiSays(text)
			got, err := s.look(t, "premium")
			faultIs(t, err, fault.Unavailable)
			newsIs(t, got, purchase.News{})
			got, err = s.hear(t, play.Notification{Kind: play.KindSubscription, Type: play.SubscriptionRevoked, Token: apiToken})
			faultIs(t, err, fault.Unavailable)
			newsIs(t, got, purchase.News{})
			got, known, err := s.store.Follow(t.Context(), shopLine("subscription@"+apiPackage))
			faultIs(t, err, fault.Unavailable)
			if newsIs(t, got, purchase.News{}); !known {
				t.Error("followed: got a store that cannot be asked")
			}
		})
	}
}

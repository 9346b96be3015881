package revenuecat_test

import (
	"time"

	"grantline/shared/billing"
	"grantline/shared/catalog"
	"grantline/shared/event"
	"grantline/shared/purchase"
	"grantline/shared/table"

	"grantline/shared/protocols/revenuecat"
)

// One story: Kim buys on Apple, Lee on Play, Park through our own gateways.
var (
	start = time.Date(2026, 3, 31, 9, 30, 0, 250_000_000, time.UTC)
	month = start.AddDate(0, 1, -1)
)

// sample is a Telling and the name of the documents in testdata that it makes; silent ones
// make none.
type sample struct {
	name   string
	of     revenuecat.Telling
	silent bool
}

func days(n int) time.Time       { return start.AddDate(0, 0, n) }
func end(t time.Time) *time.Time { return &t }
func number(n int) *int          { return &n }
func balance(n int64) *int64     { return &n }
func cause(kind, actor string) *event.Cause {
	return &event.Cause{Kind: kind, Actor: actor}
}

// apple is Kim's monthly subscription.
func apple() *purchase.Order {
	return &purchase.Order{
		ID: "apple_2000000111111111", Kind: purchase.OrderKind, Customer: "cus_kim", Store: "apple", Line: "2000000111111111",
		SKU: "com.example.premium.monthly", Product: "premium-monthly", State: purchase.OrderGranted, Quantity: 1, Entitlement: "premium",
		PurchasedAt: start, GrantedAt: start, Until: month, Price: 999, PriceIn: "USD",
	}
}

// appleLater is its renewal.
func appleLater() *purchase.Order {
	o := apple()
	o.ID, o.PurchasedAt, o.Until = "apple_2000000222222222", month, month.AddDate(0, 1, 0)
	return o
}

// play is Lee's, in won.
func play() *purchase.Order {
	return &purchase.Order{
		ID: "play_GPA.3313-5503-3858-32549..0", Kind: purchase.OrderKind, Customer: "cus_lee", Store: "play",
		Line: "5f1d6a1c", SKU: "premium:monthly", Product: "premium-monthly", State: purchase.OrderGranted, Quantity: 1,
		Entitlement: "premium", PurchasedAt: start, GrantedAt: start, Until: month, Price: 4900, PriceIn: "KRW",
	}
}

// gems are bought once.
func gems() *purchase.Order {
	return &purchase.Order{
		ID: "apple_2000000333333333", Kind: purchase.OrderKind, Customer: "cus_kim", Store: "apple", Line: "2000000333333333",
		SKU: "com.example.gems100", Product: "gems-100", State: purchase.OrderGranted, Quantity: 1, Currency: "gems", Credited: 100,
		PurchasedAt: start, GrantedAt: start, Price: 199, PriceIn: "USD",
	}
}

func mini() *purchase.Order {
	return &purchase.Order{
		ID: "appsintoss_7f9c2ba4e88f827d", Kind: purchase.OrderKind, Customer: "cus_lee", Store: "appsintoss", Line: "7f9c2ba4e88f827d",
		SKU: "ad-free", Product: "ad-free", State: purchase.OrderGranted, Quantity: 1, Entitlement: "ad_free",
		PurchasedAt: start, GrantedAt: start, Price: 3300, PriceIn: "KRW",
	}
}

func charge(period int) *billing.Charge {
	at := start.AddDate(0, period, 0)
	return &billing.Charge{
		ID: "gl_r7pzkq3m5n2x", Kind: billing.ChargeKind, Customer: "cus_park", Gateway: "toss", Subscription: "sub_park", Plan: "premium-monthly",
		Period: period, Attempt: 1, State: billing.Paid, Amount: 4900, Currency: "KRW", DueAt: at, SentAt: at, SettledAt: at,
		Payment: &billing.Payment{Key: "secret-looking-key", Card: "43301234****123*", Issuer: "11", ApprovedAt: at, Amount: 4900, Currency: "KRW"},
	}
}

func declined(period int) *billing.Charge {
	c := charge(period)
	c.State, c.Code, c.Payment = billing.Declined, "INSUFFICIENT_FUNDS", nil
	return c
}

func demanded() *billing.Charge {
	c := charge(0)
	c.ID, c.Gateway, c.Subscription, c.Plan, c.OnDemand = "usage-2026-03", "dodo", "sub_usage", "usage-usd", true
	c.Amount, c.Currency = 1234, "USD"
	return c
}

func kim(e event.Event, o *purchase.Order, kind catalog.Kind) revenuecat.Telling {
	e.Sequence = 7
	if e.At.IsZero() {
		e.At = start
	}
	if o != nil {
		e.OrderID, e.Store, e.ProductID, e.Entitlement = o.ID, o.Store, o.SKU, o.Entitlement
	}
	return revenuecat.Telling{Scope: table.Default, CustomerID: "kim", OtherIDs: []string{"$RCAnonymousID:5f2c"}, Event: e, Order: o, Kind: kind}
}

func lee(e event.Event, o *purchase.Order, kind catalog.Kind) revenuecat.Telling {
	t := kim(e, o, kind)
	t.CustomerID, t.OtherIDs = "lee", nil
	return t
}

// park has what we charge for: of our own events that name no order the charge is the last.
func park(e event.Event, c *billing.Charge) revenuecat.Telling {
	e.Sequence, e.SubscriptionID, e.PlanID = 3, "sub_park", "premium-monthly"
	if e.At.IsZero() {
		e.At = start
	}
	if e.Type != event.ChargePaid {
		e.Entitlement = "premium"
	}
	if c != nil {
		e.SubscriptionID = c.Subscription
		if e.PlanID = c.Plan; c.OnDemand {
			e.Entitlement = ""
		}
	}
	return revenuecat.Telling{Scope: table.Default, CustomerID: "park", Event: e, Charge: c}
}

// with has the event name the charge's order and its money.
func with(e event.Event, c *billing.Charge) event.Event {
	e.OrderID, e.Amount, e.Currency = c.ID, c.Amount, c.Currency
	if !c.OnDemand {
		e.Period, e.Attempt = &c.Period, c.Attempt
	}
	return e
}

func samples() []sample {
	const sub, once, forever = catalog.Subscription, catalog.Consumable, catalog.NonConsumable
	trial, test, family, rental, gone := apple(), apple(), apple(), apple(), apple()
	trial.Price = 0
	test.Test = true
	family.Family, family.Price, family.PriceIn = true, 0, ""
	rental.ID, rental.Line = "apple_2000000444444444", "2000000444444444"
	rental.SKU, rental.Product, rental.Until, rental.Entitlement = "com.example.rental7d", "movie-rental", days(7), "movie_rental"
	gone.State, gone.RefundedAt, gone.Returned = purchase.OrderRefunded, days(3), 100_000
	gemsBack := gems()
	gemsBack.Returned, gemsBack.TakenBack = 25_000, 25
	upgrade := appleLater()
	upgrade.SKU, upgrade.Price, upgrade.Until = "com.example.premium.yearly", 9999, start.AddDate(1, 0, 3)
	playLater := play()
	playLater.ID, playLater.PurchasedAt, playLater.Until = "play_GPA.3313-5503-3858-32549..1", month, month.AddDate(0, 1, 0)
	part, whole := charge(1), charge(1)
	part.Refunded, whole.Refunded = 1000, 4900
	planned := park(event.Event{Type: event.SubscriptionPlanned, At: days(5), ExpiresAt: &month}, charge(0))
	planned.Event.PlanID = "premium-yearly"
	sandbox := kim(event.Event{Type: event.PurchaseGranted, ExpiresAt: &month, Amount: 999, Currency: "USD"}, apple(), sub)
	sandbox.Scope.Environment = "sandbox"
	to := func(t revenuecat.Telling, other string, away bool) revenuecat.Telling {
		t.Other, t.Event.Other, t.Event.ToOther = other, "cus_"+other, away
		return t
	}
	grace := park(with(event.Event{Type: event.ChargeDeclined, At: start.AddDate(0, 1, 0), DeclineCode: "INSUFFICIENT_FUNDS", NextAttemptAt: end(start.AddDate(0, 1, 3))}, declined(1)), declined(1))
	grace.Grace = true

	all := []sample{
		{name: "purchase.granted", of: kim(event.Event{Type: event.PurchaseGranted, ExpiresAt: &month, Amount: 999, Currency: "USD"}, apple(), sub)},
		{name: "purchase.granted.trial", of: kim(event.Event{Type: event.PurchaseGranted, ExpiresAt: &month, Amount: 0, Currency: "USD"}, trial, sub)},
		{name: "purchase.granted.test", of: kim(event.Event{Type: event.PurchaseGranted, ExpiresAt: &month, Amount: 999, Currency: "USD", Test: true}, test, sub)},
		{name: "purchase.granted.sandbox", of: sandbox},
		{name: "purchase.granted.family", of: kim(event.Event{Type: event.PurchaseGranted, ExpiresAt: &month}, family, sub)},
		{name: "purchase.granted.play", of: lee(event.Event{Type: event.PurchaseGranted, ExpiresAt: &month, Amount: 4900, Currency: "KRW"}, play(), sub)},
		{name: "purchase.granted.appsintoss", of: lee(event.Event{Type: event.PurchaseGranted, Amount: 3300, Currency: "KRW"}, mini(), forever)},
		{name: "purchase.granted.rental", of: kim(event.Event{Type: event.PurchaseGranted, ExpiresAt: end(days(7)), Amount: 999, Currency: "USD"}, rental, catalog.NonRenewing)},
		{name: "purchase.granted.gems", of: kim(event.Event{Type: event.PurchaseGranted, Amount: 199, Currency: "USD", WalletCurrency: "gems", Credited: 100, Balance: balance(100)}, gems(), once)},
		{name: "purchase.renewed", of: kim(event.Event{Type: event.PurchaseRenewed, At: month, ExpiresAt: end(month.AddDate(0, 1, 0)), Amount: 999, Currency: "USD"}, appleLater(), sub)},
		{name: "purchase.renewed.play", of: lee(event.Event{Type: event.PurchaseRenewed, At: month, ExpiresAt: end(month.AddDate(0, 1, 0)), Amount: 4900, Currency: "KRW"}, playLater, sub)},
		{name: "purchase.recovered", of: kim(event.Event{Type: event.PurchaseRecovered, At: month.AddDate(0, 0, 5), ExpiresAt: end(month.AddDate(0, 1, 0)), Amount: 999, Currency: "USD"}, appleLater(), sub)},
		{name: "purchase.refunded", of: kim(event.Event{Type: event.PurchaseRefunded, At: days(3)}, gone, sub)},
		{name: "purchase.refunded.gems", of: kim(event.Event{Type: event.PurchaseRefunded, At: days(3), WalletCurrency: "gems", Credited: -25, Balance: balance(75)}, gemsBack, once)},
		{name: "purchase.refunded.earlier", of: kim(event.Event{Type: event.PurchaseRefunded, At: month.AddDate(0, 0, 2)}, gone, sub), silent: true},
		{name: "purchase.revoked", of: kim(event.Event{Type: event.PurchaseRevoked, At: days(3)}, family, sub)},
		{name: "purchase.restored", of: kim(event.Event{Type: event.PurchaseRestored, At: days(5), ExpiresAt: &month}, apple(), sub)},
		{name: "purchase.changed", of: kim(event.Event{Type: event.PurchaseChanged, At: month, ExpiresAt: end(start.AddDate(1, 0, 3)), Amount: 9999, Currency: "USD"}, upgrade, sub)},
		{name: "purchase.planned", of: func() revenuecat.Telling {
			t := lee(event.Event{Type: event.PurchasePlanned, At: days(3), ExpiresAt: &month}, play(), sub)
			t.Event.ProductID = "premium:yearly"
			return t
		}()},
		{name: "purchase.extended", of: kim(event.Event{Type: event.PurchaseExtended, At: days(3), ExpiresAt: end(month.AddDate(0, 0, 7))}, apple(), sub)},
		{name: "purchase.grace", of: kim(event.Event{Type: event.PurchaseGrace, At: month, ExpiresAt: end(month.AddDate(0, 0, 16))}, apple(), sub)},
		{name: "purchase.on_hold", of: lee(event.Event{Type: event.PurchaseOnHold, At: month, ExpiresAt: &month}, play(), sub)},
		{name: "purchase.ending", of: kim(event.Event{Type: event.PurchaseEnding, At: days(3), ExpiresAt: &month}, apple(), sub)},
		{name: "purchase.resumed", of: kim(event.Event{Type: event.PurchaseResumed, At: days(4), ExpiresAt: &month}, apple(), sub)},
		{name: "purchase.expired", of: kim(event.Event{Type: event.PurchaseExpired, At: month, ExpiresAt: &month}, apple(), sub)},
		{name: "purchase.expired.still_given", of: func() revenuecat.Telling {
			t := kim(event.Event{Type: event.PurchaseExpired, At: month, ExpiresAt: &month}, apple(), sub)
			t.Entitlements = []string{"premium"}
			return t
		}()},
		{name: "purchase.transferred", of: to(lee(event.Event{Type: event.PurchaseTransferred, At: days(3)}, apple(), sub), "kim", false)},
		{name: "purchase.transferred.away", of: to(kim(event.Event{Type: event.PurchaseTransferred, At: days(3)}, apple(), sub), "lee", true), silent: true},
		{name: "purchase.transferred.gems", of: to(kim(event.Event{Type: event.PurchaseTransferred, At: days(3), WalletCurrency: "gems", Credited: -100}, gems(), once), "lee", true)},
		{name: "purchase.shared", of: to(lee(event.Event{Type: event.PurchaseShared, At: days(3), ExpiresAt: &month}, apple(), sub), "kim", false)},
		{name: "purchase.shared.away", of: to(kim(event.Event{Type: event.PurchaseShared, At: days(3)}, apple(), sub), "lee", true), silent: true},

		{name: "subscription.created", of: park(event.Event{Type: event.SubscriptionCreated}, nil), silent: true},
		{name: "subscription.activated", of: park(with(event.Event{Type: event.SubscriptionActivated, ExpiresAt: &month}, charge(0)), charge(0))},
		{name: "subscription.activated.on_demand", of: func() revenuecat.Telling {
			t := park(event.Event{Type: event.SubscriptionActivated}, nil)
			t.Event.Entitlement = ""
			return t
		}(), silent: true},
		{name: "subscription.renewed", of: park(with(event.Event{Type: event.SubscriptionRenewed, At: month, ExpiresAt: end(start.AddDate(0, 2, 0))}, charge(1)), charge(1))},
		{name: "subscription.recovered", of: park(with(event.Event{Type: event.SubscriptionRecovered, At: month.AddDate(0, 0, 3), ExpiresAt: end(start.AddDate(0, 2, 0))}, charge(1)), charge(1))},
		{name: "subscription.unpaid", of: park(with(event.Event{Type: event.SubscriptionUnpaid, At: month.AddDate(0, 0, 17), DeclineCode: "INSUFFICIENT_FUNDS"}, charge(1)), nil)},
		{name: "subscription.unpaid.never_paid", of: park(with(event.Event{Type: event.SubscriptionUnpaid, DeclineCode: "INVALID_STOPPED_CARD"}, charge(0)), nil), silent: true},
		{name: "subscription.cancelled", of: park(event.Event{Type: event.SubscriptionCancelled, At: month, Cause: cause(event.BySchedule, "")}, charge(0))},
		{name: "subscription.cancelled.by_server", of: park(event.Event{Type: event.SubscriptionCancelled, At: days(3), Cause: cause(event.ByRequest, "key_1a2b3c4d")}, charge(0))},
		{name: "subscription.cancelled.declined", of: park(with(event.Event{Type: event.SubscriptionCancelled, At: month.AddDate(0, 0, 17), DeclineCode: "INSUFFICIENT_FUNDS"}, charge(1)), nil)},
		{name: "subscription.cancelled.refused", of: park(event.Event{Type: event.SubscriptionCancelled, DeclineCode: "INVALID_CARD_NUMBER"}, nil), silent: true},
		{name: "subscription.ending", of: park(event.Event{Type: event.SubscriptionEnding, At: days(3), ExpiresAt: &month, Cause: cause(event.ByRequest, "customer")}, charge(0))},
		{name: "subscription.resumed", of: park(event.Event{Type: event.SubscriptionResumed, At: days(4), ExpiresAt: &month}, charge(0))},
		{name: "subscription.planned", of: planned},
		{name: "payment_method.changed", of: park(event.Event{Type: event.PaymentMethodChanged}, nil), silent: true},
		{name: "payment_method.required", of: park(event.Event{Type: event.PaymentMethodRequired, At: month, Period: number(1), Attempt: 1, DeclineCode: "mandate_on_hold", NextAttemptAt: end(month.AddDate(0, 0, 3))}, nil)},
		{name: "charge.paid", of: park(with(event.Event{Type: event.ChargePaid}, demanded()), demanded())},
		{name: "charge.declined", of: grace},
		{name: "charge.declined.first", of: park(with(event.Event{Type: event.ChargeDeclined, DeclineCode: "INSUFFICIENT_FUNDS"}, declined(0)), declined(0)), silent: true},
		{name: "charge.declined.on_demand", of: park(with(event.Event{Type: event.ChargeDeclined, DeclineCode: "INSUFFICIENT_FUNDS"}, demanded()), demanded()), silent: true},
		{name: "charge.refunded", of: park(with(event.Event{Type: event.ChargeRefunded, At: days(35)}, whole), whole)},
		{name: "charge.restored", of: park(with(event.Event{Type: event.ChargeRestored, At: days(40)}, whole), whole)},
		{name: "charge.refunded.part", of: park(event.Event{Type: event.ChargeRefunded, At: days(35), OrderID: part.ID, Amount: 1000, Currency: "KRW"}, part), silent: true},
		{name: "charge.refunded.on_demand", of: func() revenuecat.Telling {
			c := demanded()
			c.Refunded = 234
			return park(event.Event{Type: event.ChargeRefunded, At: days(3), OrderID: c.ID, Amount: 234, Currency: "USD"}, c)
		}()},
		{name: "dunning.reminder", of: park(event.Event{Type: event.DunningReminder, Period: number(1)}, nil), silent: true},

		{name: "entitlement.granted", of: kim(event.Event{Type: event.EntitlementGranted, Entitlement: "premium", ExpiresAt: end(days(14)), Reference: "ticket-4711"}, nil, "")},
		{name: "entitlement.revoked", of: kim(event.Event{Type: event.EntitlementRevoked, At: days(3), Entitlement: "premium", Reference: "ticket-4711"}, nil, "")},
		{name: "entitlement.updated", of: kim(event.Event{Type: event.EntitlementUpdated, Entitlement: "premium"}, nil, ""), silent: true},
		{name: "entitlement.paid_twice", of: kim(event.Event{Type: event.EntitlementPaidTwice, Entitlement: "premium"}, nil, ""), silent: true},
		{name: "wallet.credited", of: kim(event.Event{Type: event.WalletCredited, WalletCurrency: "gems", Credited: 20, Balance: balance(120), Reference: "sorry"}, nil, "")},
		{name: "wallet.spent", of: kim(event.Event{Type: event.WalletSpent, At: days(1), WalletCurrency: "gems", Credited: -80, Balance: balance(40), Reference: "sword"}, nil, "")},
		{name: "wallet.spend_refunded", of: kim(event.Event{Type: event.WalletSpendRefunded, At: days(2), WalletCurrency: "gems", Credited: 80, Balance: balance(120), Reference: "sword-back", OtherReference: "sword"}, nil, "")},
		{name: "wallet.expired", of: kim(event.Event{Type: event.WalletExpired, At: days(3), WalletCurrency: "gems", Credited: -20, Balance: balance(100)}, nil, "")},
		{name: "gift.sent", of: to(kim(event.Event{Type: event.GiftSent, Amount: 199, Currency: "USD"}, gems(), once), "lee", true), silent: true},
		{name: "gift.returned", of: to(kim(event.Event{Type: event.GiftReturned}, gems(), once), "lee", true), silent: true},
		{name: "customer.aliased", of: to(kim(event.Event{Type: event.CustomerAliased}, nil, ""), "$RCAnonymousID:5f2c", false)},
		{name: "customer.merged", of: to(kim(event.Event{Type: event.CustomerMerged}, nil, ""), "kim-on-the-tablet", false)},
		{name: "customer.merged.away", of: to(kim(event.Event{Type: event.CustomerMerged}, nil, ""), "kim", true), silent: true},
		{name: "customer.erased", of: kim(event.Event{Type: event.CustomerErased}, nil, ""), silent: true},
		{name: "customer.flagged", of: kim(event.Event{Type: event.CustomerFlagged, Score: number(80)}, nil, ""), silent: true},
		{name: "customer.cleared", of: kim(event.Event{Type: event.CustomerCleared}, nil, ""), silent: true},
		{name: "customer.overridden", of: kim(event.Event{Type: event.CustomerOverridden}, nil, ""), silent: true},
	}
	for i := range all {
		all[i].of.ID = "evt_" + all[i].name
	}
	return all
}

package play_test

import (
	"errors"
	"testing"
	"time"

	"grantline/shared/fault"
	"grantline/shared/play"
	"grantline/shared/purchase"
)

func TestGooglesWordOnAProductBecomesASale(t *testing.T) {
	const (
		completed = `"purchaseCompletionTime":"2026-11-22T05:59:00Z",`
		order     = `"orderId":"` + shopOrder + `",`
		quantity  = `"quantity":1,"refundableQuantity":1,`
		consumed  = `,"consumptionState":"CONSUMPTION_STATE_YET_TO_BE_CONSUMED"`
		details   = `,"productOfferDetails":{"quantity":1,"refundableQuantity":1` + consumed + `}`
	)
	id := play.TokenID(apiToken)
	paidAt := func(at time.Time) func(*purchase.News) {
		return func(n *purchase.News) { n.Sales[0].PurchasedAt, n.Token.By = at, at.Add(72*time.Hour) }
	}
	for _, c := range []struct {
		name    string
		edits   []string
		differs func(*purchase.News)
	}{
		{"bought", nil, func(*purchase.News) {}},
		{"acknowledged", []string{"STATE_PENDING", "STATE_ACKNOWLEDGED"}, func(n *purchase.News) { n.Token.Unacknowledged = false }},
		{"acknowledgement not said", []string{`,"acknowledgementState":"ACKNOWLEDGEMENT_STATE_PENDING"`, ""}, func(*purchase.News) {}},
		{"acknowledgement in a new word", []string{"STATE_PENDING", "STATE_PERHAPS"}, func(*purchase.News) {}},
		{"consumed", []string{"YET_TO_BE_CONSUMED", "CONSUMED"}, func(n *purchase.News) { n.Sales[0].Unconsumed = false }},
		{"consumption not said", []string{consumed, ""}, func(n *purchase.News) { n.Sales[0].Unconsumed = false }},
		{"no details", []string{details, ""}, func(n *purchase.News) { n.Sales[0].Unconsumed = false }},
		{"a rental", []string{quantity, quantity + `"rentOfferDetails":{},`}, func(n *purchase.News) { n.Sales[0].Unconsumed, n.Sales[0].Rented = false, true }},
		{"a pre-order", []string{quantity, quantity + `"preorderOfferDetails":{"preorderReleaseTime":"2027-01-01T00:00:00Z"},`}, func(*purchase.News) {}},
		{"pending", []string{"PURCHASED", "PENDING", completed, ""}, func(n *purchase.News) {
			n.Sales[0].State, n.Sales[0].PurchasedAt = purchase.Pending, time.Time{}
			over(n)
		}},
		{"pending, though completed", []string{"PURCHASED", "PENDING"}, func(n *purchase.News) {
			n.Sales[0].State = purchase.Pending
			over(n)
		}},
		{"cancelled before it was paid", []string{"PURCHASED", "CANCELLED", completed, ""}, func(n *purchase.News) {
			n.Sales[0].State, n.Sales[0].PurchasedAt = purchase.Failed, time.Time{}
			over(n)
		}},
		{"cancelled after it was paid", []string{"PURCHASED", "CANCELLED"}, func(n *purchase.News) {
			n.Sales[0].State = purchase.Refunded
			over(n)
		}},
		{"no completion time", []string{completed, ""}, func(n *purchase.News) {
			n.Sales[0].PurchasedAt, n.Token.By = time.Time{}, apiNow.Add(72*time.Hour)
		}},
		{"nine digits of a second", []string{"05:59:00Z", "05:59:00.123456789Z"}, paidAt(shopPaidAt.Add(123456789))},
		{"another zone", []string{"05:59:00Z", "14:59:00+09:00"}, paidAt(shopPaidAt)},
		{"acknowledgement due in a second", []string{"2026-11-22T05:59:00Z", "2026-11-19T06:00:01Z"}, paidAt(apiNow.Add(time.Second - 72*time.Hour))},
		{"acknowledgement due now", []string{"2026-11-22T05:59:00Z", "2026-11-19T06:00:00Z"}, func(n *purchase.News) {
			n.Sales[0].PurchasedAt, n.Token.By = apiNow.Add(-72*time.Hour), apiNow.Add(72*time.Hour)
		}},
		{"looked at for the last time", []string{"2026-11-22T05:59:00Z", "2026-09-06T06:00:01Z"}, func(n *purchase.News) {
			n.Sales[0].PurchasedAt, n.Token.By = apiNow.Add(time.Second-77*24*time.Hour), apiNow.Add(72*time.Hour)
		}},
		{"looked at no more", []string{"2026-11-22T05:59:00Z", "2026-09-06T06:00:00Z"}, func(n *purchase.News) {
			n.Sales[0].PurchasedAt, n.Token.By, n.Again = apiNow.Add(-77*24*time.Hour), apiNow.Add(72*time.Hour), time.Time{}
		}},
		{"a license tester's", []string{`{"kind"`, `{"testPurchaseContext":{"fopType":"TEST"},"kind"`}, func(n *purchase.News) {
			n.Sales[0].Test, n.Token.By = true, shopPaidAt.Add(3*time.Minute)
		}},
		{"a license tester's, late", []string{`{"kind"`, `{"testPurchaseContext":{},"kind"`, "05:59:00Z", "05:57:00Z"}, func(n *purchase.News) {
			n.Sales[0].Test, n.Sales[0].PurchasedAt, n.Token.By = true, apiNow.Add(-3*time.Minute), apiNow.Add(3*time.Minute)
		}},
		{"a promotion without an order", []string{order, ""}, func(n *purchase.News) { n.Sales[0].Order = id }},
		{"rewarded, by nobody", []string{order, "", `"obfuscatedExternalAccountId":"` + shopAccount + `",`, "", `"quantity":1,`, ""}, func(n *purchase.News) {
			n.Sales[0].Order, n.Sales[0].Account = id, ""
		}},
		{"quantity 0", []string{`"quantity":1`, `"quantity":0`}, func(*purchase.News) {}},
		{"quantity not said", []string{`"quantity":1,`, ""}, func(*purchase.News) {}},
		{"quantity 3", []string{quantity, `"quantity":3,"refundableQuantity":3,`}, func(n *purchase.News) { n.Sales[0].Quantity = 3 }},
		{"the largest quantity", []string{quantity, `"quantity":1000000,`}, func(n *purchase.News) { n.Sales[0].Quantity = 1_000_000 }},
		{"one of three given back", []string{quantity, `"quantity":3,"refundableQuantity":2,`}, func(n *purchase.News) { n.Sales[0].Quantity, n.Sales[0].Back = 3, 1 }},
		{"two of three given back", []string{quantity, `"quantity":3,"refundableQuantity":1,`}, func(n *purchase.News) { n.Sales[0].Quantity, n.Sales[0].Back = 3, 2 }},
		{"none of three left", []string{quantity, `"quantity":3,"refundableQuantity":0,`}, func(n *purchase.News) { n.Sales[0].Quantity = 3 }},
		{"left of three not said", []string{quantity, `"quantity":3,`}, func(n *purchase.News) { n.Sales[0].Quantity = 3 }},
		{"more left than there were", []string{quantity, `"quantity":3,"refundableQuantity":4,`}, func(n *purchase.News) { n.Sales[0].Quantity = 3 }},
		{"an absurd number left", []string{quantity, `"quantity":3,"refundableQuantity":9223372036854775807,`}, func(n *purchase.News) { n.Sales[0].Quantity = 3 }},
		{"nothing left, one bought", []string{quantity, `"quantity":1,`}, func(*purchase.News) {}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newShop(t)
			s.sells(edited(t, shopProduct, c.edits...))
			want := productSaid()
			c.differs(&want)
			got, err := s.look(t, "gems_100")
			if err != nil {
				t.Fatalf("error %v, want none", err)
			}
			newsIs(t, got, want)
		})
	}
}

// Two things in one basket are two sales of one order, and neither is forgotten.
func TestEveryLineItemIsASale(t *testing.T) {
	s := newShop(t)
	s.by(s.answer) // all at the same instant
	s.sells(edited(t, shopProduct, `"productLineItem":[`, `"productLineItem":[{"productId":"skin","productOfferDetails":{"quantity":1}},{"productId":"book","productOfferDetails":{"quantity":2,"refundableQuantity":1}},`))
	want := productSaid()
	book, skin := want.Sales[0], want.Sales[0]
	book.Part, book.SKU, book.Unconsumed, book.Quantity, book.Back = "book", "book", false, 2, 1
	skin.Part, skin.SKU, skin.Unconsumed = "skin", "skin", false
	for sku, sales := range map[string][]purchase.Sale{
		"":         {book, want.Sales[0], skin},
		"book":     {book, want.Sales[0], skin},
		"gems_100": {want.Sales[0], book, skin},
		"skin":     {skin, book, want.Sales[0]},
		"nothing":  {book, want.Sales[0], skin},
	} {
		t.Run("asked for "+sku, func(t *testing.T) {
			got, err := s.look(t, sku)
			if err != nil {
				t.Fatalf("error %v, want none", err)
			}
			want := want
			want.Sales = sales
			newsIs(t, got, want)
		})
	}
}

// By two offers, say: they were paid for at once, and are taken back as one.
func TestTwoItemsOfOneProductAreOneSale(t *testing.T) {
	s := newShop(t)
	s.by(s.answer) // all at the same instant
	s.sells(edited(t, shopProduct, `"productLineItem":[`, `"productLineItem":[{"productId":"gems_100","productOfferDetails":{"quantity":3,"refundableQuantity":2}},`))
	want := productSaid()
	want.Sales[0].Quantity, want.Sales[0].Back = want.Sales[0].Quantity+3, 1
	got, err := s.look(t, "")
	if err != nil {
		t.Fatalf("error %v, want none", err)
	}
	newsIs(t, got, want)
	s.sells(edited(t, shopProduct, `"productLineItem":[`, `"productLineItem":[{"productId":"gems_100","productOfferDetails":{"rentOfferDetails":{}}},`))
	if _, err := s.look(t, ""); !errors.Is(err, fault.Unavailable) {
		t.Errorf("bought and rented at once: got %v, want fault.Unavailable", err)
	}
}

// What is not understood is neither paid nor invalid.
func TestUnknownWordsOnAProductNeitherGrantNorRefuse(t *testing.T) {
	const completed = `"2026-11-22T05:59:00Z"`
	for name, text := range map[string]string{
		"an empty object":       `{}`,
		"of nothing":            edited(t, shopProduct, `"productLineItem"`, `"others"`),
		"an item of nothing":    edited(t, shopProduct, `"gems_100"`, `""`),
		"no item":               edited(t, shopProduct, `"productLineItem":[`, `"productLineItem":[null,`),
		"no state":              edited(t, shopProduct, `"purchaseState":"PURCHASED"`, ``),
		"no context of a state": edited(t, shopProduct, `"purchaseStateContext":{"purchaseState":"PURCHASED"},`, ``),
		"an unspecified state":  edited(t, shopProduct, `PURCHASED`, `PURCHASE_STATE_UNSPECIFIED`),
		"another state":         edited(t, shopProduct, `PURCHASED`, `GIFTED`),
		"a state in lower case": edited(t, shopProduct, `PURCHASED`, `purchased`),
		"cancelled with one L":  edited(t, shopProduct, `PURCHASED`, `CANCELED`),
		"the old number":        edited(t, shopProduct, `"PURCHASED"`, `0`),
		"a negative quantity":   edited(t, shopProduct, `"quantity":1`, `"quantity":-1`),
		"an absurd quantity":    edited(t, shopProduct, `"quantity":1`, `"quantity":1000001`),
		"a huge quantity":       edited(t, shopProduct, `"quantity":1`, `"quantity":9223372036854775807`),
		"negative left":         edited(t, shopProduct, `"refundableQuantity":1`, `"refundableQuantity":-1`),
		"a time of garbage":     edited(t, shopProduct, completed, `"yesterday"`),
		"a time without a zone": edited(t, shopProduct, completed, `"2026-11-22T05:59:00"`),
		"a time in millis":      edited(t, shopProduct, completed, `"1795327140000"`),
		"a time before Play":    edited(t, shopProduct, completed, `"1970-01-01T00:00:00Z"`),
		"a time after all":      edited(t, shopProduct, completed, `"9999-12-31T23:00:00-10:00"`),
		"a time before the end": edited(t, shopProduct, completed, `"9999-12-31T00:00:00Z"`),
		"a time of 2007 here":   edited(t, shopProduct, completed, `"2008-01-01T00:00:00+09:00"`),
	} {
		t.Run(name, func(t *testing.T) {
			s := newShop(t)
			s.products[apiPackage] = apiSays(text)
			got, err := s.look(t, "gems_100")
			faultIs(t, err, fault.Unavailable)
			newsIs(t, got, purchase.News{})
			got, err = s.hear(t, play.Notification{Kind: play.KindOneTime, Type: play.OneTimeCanceled, Token: apiToken})
			faultIs(t, err, fault.Unavailable)
			newsIs(t, got, purchase.News{})
		})
	}
}

package purchase_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"grantline/shared/fault"
	"grantline/shared/purchase"
)

// playID is the obfuscated account id that is derived from a customer's id.
func (k *tokens) playID(who string) string {
	k.Helper()
	ids, err := k.Customers.Identity.StoreIDs(k.Context(), k.scope, who)
	if err != nil {
		k.Fatal(err)
	}
	return ids.ObfuscatedAccountID
}

// An order of the store's does not say that nobody paid it, so that what it says of a test
// must not be taken for another sale's.
func TestARefundedOrderOfATestIsTakenBack(t *testing.T) {
	t.Parallel()
	for _, way := range []string{"notice", "notice of a forgotten token", "review"} {
		k := newTokens(t)
		k.sell("tok-1", ticket{test: true, items: []item{month(basic, "o1", 1)}, again: 13 * 24 * time.Hour})
		k.granted(ann, "tok-1")
		k.at(noon.AddDate(0, 1, 0))
		k.market.change("tok-1", func(t *ticket) { t.items = []item{month(basic, "o2", 2)} })
		k.heard("tok-1")
		k.market.refunded["o1"] = month(basic, "o1", 1)
		switch way {
		case "notice":
			k.heard("voided tok-1 o1")
		case "notice of a forgotten token":
			k.market.change("tok-1", func(t *ticket) { t.lost = errGone })
			k.heard("voided tok-1 o1")
		case "review":
			k.at(k.record("tok-1").CheckAt)
			k.reviewed()
		}
		if o := k.playOrder("o1"); o.State != purchase.OrderRefunded || !o.Test {
			t.Errorf("%s: got the order %+v, want it refunded, and a test still", way, o)
		}
		if o := k.playOrder("o2"); o.State != purchase.OrderGranted {
			t.Errorf("%s: got the later order %s, want it granted", way, o.State)
		}
	}
}

// The app names the customer at the first purchase and forgets it at the next; whom the first
// was for was never here.
func TestNobodyGetsTheSuccessorOfWhatWasBoughtForACustomerToBe(t *testing.T) {
	t.Parallel()
	for _, state := range []ticketState{isPaid, isPending} {
		k := newTokens(t)
		k.sell("tok-old", ticket{account: k.playID(ben), items: []item{month(basic, "old", 1)}})
		k.heard("tok-old")
		_, err := k.claim(ann, "tok-old")
		wantFault(t, err, fault.Conflict, "owned_by_another_customer")
		k.sell("tok-new", ticket{older: "tok-old", state: state, items: []item{month(higher, "new", 2)}})
		_, err = k.claim(ann, "tok-new")
		wantFault(t, err, fault.Conflict, "owned_by_another_customer")
		if got := k.gives(ann); got != "" {
			t.Errorf("the one who came with it: got %q, want nothing", got)
		}
		if state == isPaid {
			k.granted(ben, "tok-new")
			k.wantGives(ben, "pro")
		} else {
			k.pending(ben, "tok-new")
		}
	}
}

// Lines that the store will never say anything of, such as those of an app that it does not
// let us ask about, keep no other from its turn.
func TestLinesThatStaySilentKeepNoOtherFromItsTurn(t *testing.T) {
	t.Parallel()
	k := newTokens(t)
	for n := range 200 {
		token := fmt.Sprintf("tok-%d", n)
		k.sell(token, ticket{acknowledged: true, items: []item{month(basic, fmt.Sprintf("o%d", n), 1)}})
		k.granted(ann, token)
	}
	good := map[string]bool{}
	for n := range 16 {
		token := fmt.Sprintf("tok-good-%d", n)
		good[token] = true
		k.sell(token, ticket{acknowledged: true, items: []item{month(basic, fmt.Sprintf("good-%d", n), 1)}})
		k.granted(ann, token)
	}
	k.market.before = func(call, token string) error {
		if call == "follow" && !good[token] {
			return outage
		}
		return nil
	}
	k.market.asked = nil
	k.at(noon.AddDate(0, 1, 0).Add(2 * time.Hour))
	for range 12 * 24 { // a day, each five minutes
		if _, err := k.Review(t.Context(), k.scope, "play", 2000); err != nil {
			t.Fatal(err)
		}
		k.clock.move(5 * time.Minute)
	}
	asked := map[string]bool{}
	for _, token := range k.market.asked {
		asked[token] = true
	}
	for token := range good {
		if !asked[token] {
			t.Errorf("%s: it was never asked about within a day", token)
		}
	}
}

// What was renewed in parts before anybody came for it fits into one transaction.
func TestPartsThatWereRenewedBeforeTheirClaimCanBeClaimed(t *testing.T) {
	t.Parallel()
	for _, parts := range []int{5, 12, 30} {
		k := newTokens(t)
		var items []item
		for n := range parts {
			part := fmt.Sprintf("addon%d", n)
			items = append(items, item{part: part, sku: basic, order: "o" + part, until: noon.AddDate(0, 1, 0), renews: true})
		}
		k.sell("tok-1", ticket{items: items})
		for renewal := range 23 {
			k.heard("tok-1")
			k.at(items[0].until.AddDate(0, renewal, 0))
			k.market.change("tok-1", func(t *ticket) {
				for n := range t.items {
					t.items[n].order = fmt.Sprintf("o%s..%d", t.items[n].part, renewal)
					t.items[n].until = t.items[n].until.AddDate(0, 1, 0)
				}
			})
		}
		k.granted(ann, "tok-1")
		if got := len(k.sources(ann)); got != parts {
			t.Errorf("%d parts: got %d that are open, want each", parts, got)
		}
	}
}

// To rent costs less than to buy, and may go by the same name.
func TestWhatIsRentedIsNeverGivenForGood(t *testing.T) {
	t.Parallel()
	for _, sku := range []string{badge, film} {
		k := newTokens(t)
		rented := purchase.Sale{
			Store: "play", Line: tokenID("tok-1"), Part: sku, Order: "o1", SKU: sku, State: purchase.Paid, PurchasedAt: noon, AsOf: noon,
			Quantity: 1, Blind: true, Rented: true,
		}
		k.market.words["rented"] = purchase.News{
			Sales: []purchase.Sale{rented}, Token: &purchase.Token{ID: tokenID("tok-1"), Secret: "tok-1", Kind: kindOfToken},
		}
		k.heard("rented")
		c, err := k.claimWord(ann, "rented")
		if sku == film {
			if err != nil || !c.Order.Until.Equal(noon.AddDate(0, 0, 7)) {
				t.Errorf("%s: got until %v, %v, want the seven days of the catalog", sku, c.Order.Until, err)
			}
			continue
		}
		wantFault(t, err, fault.Unavailable, "product_not_configured")
		if got := k.gives(ann); got != "" {
			t.Errorf("%s: got %q, want nothing", sku, got)
		}
	}
}

// claimWord claims with news that no ticket says.
func (k *tokens) claimWord(who, word string) (purchase.Claimed, error) {
	k.Helper()
	k.Stores = map[string]purchase.Store{"play": saying{k.market, k.market.words[word]}}
	return k.Claim(k.Context(), k.scope, who, purchase.Proof{Store: "play", Evidence: "tok-1"})
}

// saying is a market that says the same whatever it is asked.
type saying struct {
	*market
	news purchase.News
}

func (s saying) Look(context.Context, purchase.Proof) (purchase.News, error) { return s.news, nil }

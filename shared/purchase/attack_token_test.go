package purchase_test

import (
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

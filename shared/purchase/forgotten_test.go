package purchase_test

import (
	"testing"
	"time"

	"grantline/shared/catalog"
	"grantline/shared/event"
	"grantline/shared/fault"
	"grantline/shared/purchase"
)

const eve = "eve@example.com"

const forgotten = "forgotten:month" // in no catalog but the one that remembered

// remembered is a catalog that has it.
func remembered(t testing.TB) *catalog.Catalog {
	t.Helper()
	c, err := catalog.Parse([]byte(`{"plans": [], "products": [
		{"id": "basic", "kind": "subscription", "entitlement": "premium", "stores": {"play": "` + basic + `"}},
		{"id": "forgotten", "kind": "subscription", "entitlement": "extra", "stores": {"play": "` + forgotten + `"}}
	]}`))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// What the catalog has is the customer's, though it lacks what was sold beside it; that is
// theirs as soon as the catalog has it.
func TestWhatTheCatalogForgotKeepsNobodyFromWhatWasSoldBesideIt(t *testing.T) {
	t.Parallel()
	for _, told := range []bool{false, true} {
		k := newTokens(t)
		k.sell("tok-1", ticket{account: k.account(ann), items: []item{month(forgotten, "o-extra", 2), month(basic, "o-basic", 1)}})
		if told {
			k.heard("tok-1")
		}
		got := k.granted(ann, "tok-1").Order
		if got.ID != "play_o-basic" || got.Customer == "" {
			t.Errorf("told %v: got %+v, want the order of what was granted", told, got)
		}
		k.wantGives(ann, "premium")
		k.wantTold("tok-1", 1, 0)
		if o := k.playOrder("o-extra"); o.State != purchase.OrderUnclaimed || o.Customer != "" {
			t.Errorf("told %v: got %+v, want what is not in the catalog to wait", told, o)
		}
		if k.alarms() == 0 {
			t.Errorf("told %v: got no alarm, want a person told of it", told)
		}
		_, err := k.claim(eve, "tok-1")
		wantFault(t, err, fault.Conflict, "owned_by_another_customer")

		// It is renewed, and goes on.
		k.market.change("tok-1", func(t *ticket) {
			t.items[1].order, t.items[1].until = "o-basic..0", noon.AddDate(0, 2, 0)
		})
		k.heard("tok-1")
		k.wantEvents(ann, event.PurchaseGranted, event.PurchaseRenewed)
		k.market.down()
		k.granted(ann, "tok-1")
		_, err = k.claim(eve, "tok-1")
		wantFault(t, err, fault.Conflict, "owned_by_another_customer")
		k.market.up()

		// Asked again within hours, by when the catalog has it.
		k.Catalog = remembered(t)
		if at, want := k.record("tok-1").CheckAt, k.clock.Now().Add(6*time.Hour); at.IsZero() || at.After(want) {
			t.Errorf("told %v: got the next look at %v, want it by %v", told, at, want)
		}
		k.at(k.record("tok-1").CheckAt)
		k.reviewed()
		k.wantGives(ann, "extra premium")
		k.wantEvents(ann, event.PurchaseGranted, event.PurchaseRenewed, event.PurchaseGranted)
		k.wantTold("tok-1", 1, 0)
	}
}

// Of a basket, too.
func TestWhatTheCatalogForgotOfABasketWaitsAlone(t *testing.T) {
	t.Parallel()
	k := newTokens(t)
	k.sell("tok-1", ticket{items: []item{{part: "forgotten", sku: "forgotten", order: "o1", unconsumed: true}, once(coins, "o1")}})
	k.granted(ann, "tok-1")
	k.heard("tok-1")
	k.granted(ann, "tok-1")
	if got := k.balance(ann); got != 100 {
		t.Errorf("balance: got %d, want 100", got)
	}
	if _, consumed := k.market.toldOf("tok-1"); consumed != 1 {
		t.Errorf("got %d consumptions, want what was granted, once", consumed)
	}
}

// Nothing is granted, acknowledged or ended by news of nothing else.
func TestWhatTheCatalogForgotAloneIsAskedForAgain(t *testing.T) {
	t.Parallel()
	k := newTokens(t)
	k.sell("tok-1", ticket{items: []item{month(forgotten, "o1", 1)}})
	_, err := k.claim(ann, "tok-1")
	wantFault(t, err, fault.Unavailable, "product_not_configured")
	k.wantTold("tok-1", 0, 0)

	k.sell("tok-2", ticket{items: []item{month(basic, "o2", 1), month(extra, "o3", 1)}})
	k.granted(ann, "tok-2")
	k.wantGives(ann, "extra premium")
	// The new plan of the one is not in the catalog, and the other stays as it is.
	k.sell("tok-3", ticket{older: "tok-2", items: []item{month("basic:forgotten", "o4", 2), month(extra, "o5", 2)}})
	k.later()
	_, err = k.LookAgain(t.Context(), k.scope, "play", "tok-3")
	wantFault(t, err, fault.Unavailable, "product_not_configured")
	_, err = k.claim(ann, "tok-3")
	wantFault(t, err, fault.Unavailable, "product_not_configured")
	k.wantGives(ann, "extra premium")
}

package web_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/abuse"
	"grantline/shared/audit"
	"grantline/shared/billing"
	"grantline/shared/fault"
	"grantline/shared/memory"
	"grantline/shared/purchase"
	"grantline/shared/table"
)

const (
	grantBody = `{"reference":"ticket-1","reason":"The app was down."}`
	overBody  = `{"measures":[],"reason":"A child did it."}`
)

// Who may do what about a person: each row a request, each column who asks.
func TestWhoMayDoWhatAboutAPerson(t *testing.T) {
	for _, c := range []struct {
		method, path, body                         string
		nobody, app, user, another, confined, full int
	}{
		{"POST", me + "/aliases", `{"alias":"anon_1"}`, 401, 403, 200, 403, 200, 200},
		{"POST", me + "/aliases", `{"alias":"$RCAnonymousID:1"}`, 401, 403, 200, 403, 200, 200},
		{"POST", me + "/aliases", `{"alias":"sora"}`, 401, 403, 403, 403, 403, 200},
		{"DELETE", "/v1/customers/sora", "", 401, 403, 403, 403, 403, 204},
		{"DELETE", me, "", 401, 403, 204, 403, 204, 204},
		{"POST", me + "/entitlements/premium", grantBody, 401, 403, 403, 403, 200, 200},
		{"DELETE", me + "/entitlements/premium/given", "", 401, 403, 403, 403, 200, 200},
		{"GET", me + "/entitlements/premium/explain", "", 401, 403, 200, 403, 200, 200},
		{"GET", me + "/conduct", "", 401, 403, 403, 403, 200, 200},
		{"POST", me + "/conduct/override", overBody, 401, 403, 403, 403, 200, 200},
		{"DELETE", me + "/conduct/override", `{"reason":"Again."}`, 401, 403, 403, 403, 200, 200},
		{"GET", "/v1/audit", "", 401, 403, 403, 403, 403, 200},
	} {
		for who, want := range map[string]int{"nobody": c.nobody, "app": c.app, "user": c.user, "another": c.another, "confined": c.confined, "server": c.full} {
			w := newWorld(t)
			w.minji()
			w.expect(200, "", "PUT", "/v1/customers/sora", server(""), `{"name":"Sora"}`)
			w.expect(200, "", "POST", me+"/entitlements/premium", server(""), `{"reference":"given","reason":"r"}`)
			h := map[string]header{
				"nobody": nil, "app": app(""), "user": w.user("minji"), "another": w.user("jisoo"), "confined": server("minji"), "server": server(""),
			}[who]
			was := w.state()
			a := w.ask(c.method, c.path, h, c.body)
			if a.status != want {
				t.Errorf("%s %s %s as %s: got %d %s, want %d", c.method, c.path, c.body, who, a.status, a.text, want)
			}
			if want >= 400 {
				w.nothingChanged(was, who+" "+c.method+" "+c.path)
			}
		}
	}
	w := newWorld(t)
	w.minji()
	w.expect(403, "another_customer", "DELETE", me, server("jisoo"), "")
	w.expect(403, "another_customer", "POST", me+"/conduct/override", server("jisoo"), overBody)
}

func TestWhatWasBoughtBeforeSigningInIsThereAfter(t *testing.T) {
	w := newWorld(t)
	w.shops["appsintoss"].sell("gems", purchase.Sale{Order: "gems", SKU: "gems-100"})
	w.expect(200, "", "POST", "/v1/purchases", app("anon_1"), `{"store":"appsintoss","appsintoss":{"orderId":"gems"}}`)
	w.expect(200, "", "GET", me, w.user("minji"), "")
	var first string
	for range 2 {
		a := w.expect(200, "", "POST", me+"/aliases", w.user("minji"), `{"alias":"anon_1"}`)
		if a.body["id"] != "minji" || !strings.Contains(a.text, `"balance":100`) || strings.Contains(a.text, "aliases") {
			t.Errorf("got %s, want minji with the gems, and no names for a user", a.text)
		}
		if first == "" {
			first = a.text
		} else if a.text != first {
			t.Errorf("done again: got %s, want the same as before", a.text)
		}
	}
	// Reading, claiming and spending by the old id reach the one customer.
	if a := w.expect(200, "", "GET", "/v1/customers/anon_1", server(""), ""); a.body["id"] != "minji" || !strings.Contains(a.text, `"aliases":["anon_1"]`) {
		t.Errorf("by the old id: got %s, want minji and its other name", a.text)
	}
	w.expect(200, "", "POST", "/v1/purchases", app("anon_1"), `{"store":"appsintoss","appsintoss":{"orderId":"gems"}}`)
	w.shops["appsintoss"].sell("more", purchase.Sale{Order: "more", SKU: "gems-100"})
	w.expect(200, "", "POST", "/v1/purchases", app("anon_1"), `{"store":"appsintoss","appsintoss":{"orderId":"more"}}`)
	w.expect(200, "", "GET", "/v1/orders/appsintoss_gems", w.user("minji"), "")
	w.expect(200, "", "POST", me+"/wallet/gems/spend", w.user("minji"), `{"amount":150,"reference":"sword"}`)
	if a := w.expect(200, "", "GET", "/v1/customers/anon_1", app(""), ""); !strings.Contains(a.text, `"balance":50`) {
		t.Errorf("got %s, want 50 gems left of both", a.text)
	}
	// Whoever still has the old id, and no token, is not told whose it is.
	for _, h := range []header{app(""), app("anon_1")} {
		if a := w.expect(200, "", "GET", "/v1/customers/anon_1", h, ""); a.body["id"] != "anon_1" || strings.Contains(a.text, "minji") {
			t.Errorf("an app: got %s, want the id that it asked for", a.text)
		}
	}
	claimed := w.expect(200, "", "POST", "/v1/purchases", app("anon_1"), `{"store":"appsintoss","appsintoss":{"orderId":"more"}}`)
	if strings.Contains(claimed.text, "minji") {
		t.Errorf("a claim by an app: got %s, want the id that it came with", claimed.text)
	}
	own := w.expect(200, "", "GET", "/v1/customers/anon_1/events", server(""), "").text
	if !strings.Contains(own, `"type":"customer.merged"`) || !strings.Contains(own, `"otherCustomerId":"minji","toOther":true`) && !strings.Contains(own, `"toOther":true`) || strings.Contains(own, "wallet.spent") {
		t.Errorf("events by the old id: got %s, want its own, the last of which says into whom", own)
	}
	if strings.Contains(own, "cus_") {
		t.Errorf("our own id left: %s", own)
	}
	// Somebody else comes too late.
	w.expect(409, "alias_taken", "POST", "/v1/customers/jisoo/aliases", w.user("jisoo"), `{"alias":"anon_1"}`)
}

func TestASubscriptionOfWhoWasMergedIsItsOwnersStill(t *testing.T) {
	w := newWorld(t)
	signUp := `{"id":"sub-1","planId":"premium-monthly","gateway":"toss","toss":{"authKey":"auth-1","customerKey":"key-1"}}`
	derived := `{"planId":"premium-weekly","gateway":"toss","toss":{"authKey":"auth-2","customerKey":"key-1"}}`
	w.expect(201, "", "POST", "/v1/subscriptions", server("old"), signUp)
	made := w.expect(201, "", "POST", "/v1/subscriptions", server("old"), derived)
	w.expect(200, "", "PUT", me, server(""), `{"name":"Minji"}`)
	w.expect(200, "", "POST", me+"/aliases", server(""), `{"alias":"old"}`)
	for _, h := range []header{w.user("minji"), w.user("old"), server("minji"), server("old")} {
		if a := w.expect(200, "", "GET", "/v1/subscriptions/sub-1", h, ""); a.body["customerId"] != "minji" {
			t.Errorf("got the owner %v, want minji", a.body["customerId"])
		}
	}
	w.expect(404, "subscription_not_found", "GET", "/v1/subscriptions/sub-1", w.user("jisoo"), "")
	// The same sign-up again is the same subscription, by either name, and takes no money again.
	charges := w.gateway.charge
	w.expect(200, "", "POST", "/v1/subscriptions", server("minji"), signUp)
	w.expect(200, "", "POST", "/v1/subscriptions", server("old"), signUp)
	again := w.expect(200, "", "POST", "/v1/subscriptions", server("minji"), derived)
	if again.body["subscription"].(map[string]any)["id"] != made.body["subscription"].(map[string]any)["id"] {
		t.Errorf("got %s, want the subscription of before", again.text)
	}
	if w.gateway.charge != charges {
		t.Errorf("got %d charges, want the %d of before", w.gateway.charge, charges)
	}
	w.expect(409, "subscription_exists", "POST", "/v1/subscriptions", server("minji"), strings.Replace(signUp, "key-1", "key-2", 1))
	w.expect(200, "", "POST", "/v1/subscriptions/sub-1/cancel", w.user("minji"), `{"at":"now"}`)
}

func TestWhoSignedInWithAnAnonymousIDKeepsIt(t *testing.T) {
	for name, signIn := range map[string]func(w *world){
		"asking for its card": func(w *world) {
			w.expect(200, "", "PUT", "/v1/customers/anon_1", w.user("anon_1"), `{"locale":"ko-KR"}`)
		},
		"reading": func(w *world) { w.expect(200, "", "GET", "/v1/customers/anon_1", w.user("anon_1"), "") },
		"reading, and being erased": func(w *world) {
			w.expect(200, "", "GET", "/v1/customers/anon_1", w.user("anon_1"), "")
			w.expect(204, "", "DELETE", "/v1/customers/anon_1", w.user("anon_1"), "")
		},
		"a claim": func(w *world) {
			w.shops["appsintoss"].sell("gems", purchase.Sale{Order: "gems", SKU: "gems-100"})
			w.expect(200, "", "POST", "/v1/purchases", w.user("anon_1"), `{"store":"appsintoss","appsintoss":{"orderId":"gems"}}`)
		},
	} {
		w := newWorld(t)
		signIn(w)
		a := w.ask("POST", me+"/aliases", w.user("minji"), `{"alias":"anon_1"}`)
		if a.status != 409 {
			t.Errorf("%s: got %d %s, want 409: somebody has signed in under it", name, a.status, a.text)
		}
		w.expect(200, "", "POST", me+"/aliases", server(""), `{"alias":"anon_1"}`)
	}
}

func TestNoMoreNamesThanThereMayBe(t *testing.T) {
	w := newWorld(t)
	for i := range 50 {
		w.expect(200, "", "POST", me+"/aliases", server(""), fmt.Sprintf(`{"alias":"name-%d"}`, i))
	}
	w.expect(409, "too_many_aliases", "POST", me+"/aliases", server(""), `{"alias":"one-more"}`)
	w.expect(400, "invalid_customer_id", "POST", me+"/aliases", server(""), `{"alias":"a/conduct"}`)
	w.expect(400, "invalid_customer_id", "POST", me+"/aliases", server(""), `{"alias":""}`)
}

// finds are the items that hold a text, in whatever form.
func (w *world) finds(text string) (found []string) {
	for _, name := range table.Names {
		for _, item := range w.tables.Items(name) {
			all, err := json.Marshal(item)
			if err != nil {
				w.Fatal(err)
			}
			if strings.Contains(string(all)+string(item.Data)+string(item.Sealed)+item.Key.Partition+item.Key.Sort, text) {
				found = append(found, fmt.Sprint(item.Key, " ", string(item.Data)))
			}
		}
	}
	return found
}

func TestErasingLeavesNothingOfAPersonInAnyTable(t *testing.T) {
	w := newWorld(t)
	personal := []string{"minji-kim", "anon_77", "minji@example.com", "Minji Kim", "+821012345678", "김민지", "ko-KR", "key-of-minji", "payer@example.com", "Portland", "customer=minji", "43301234****123*"}
	id := "/v1/customers/minji-kim"
	w.shops["appsintoss"].sell("gems", purchase.Sale{Order: "gems", SKU: "gems-100"})
	w.expect(200, "", "POST", "/v1/purchases", app("anon_77"), `{"store":"appsintoss","appsintoss":{"orderId":"gems"}}`)
	w.expect(200, "", "PUT", id, server(""), `{"email":"minji@example.com","phone":"+821012345678","name":"김민지 Minji Kim","locale":"ko-KR"}`)
	w.expect(200, "", "POST", id+"/aliases", server(""), `{"alias":"anon_77"}`)
	w.expect(201, "", "POST", "/v1/subscriptions", server("minji-kim"),
		`{"id":"sub-1","planId":"premium-monthly","gateway":"toss","toss":{"authKey":"auth-1","customerKey":"key-of-minji"}}`)
	w.expect(201, "", "POST", "/v1/subscriptions", server("anon_77"),
		`{"id":"sub-4","planId":"premium-weekly","gateway":"toss","toss":{"authKey":"auth-4","customerKey":"key-of-minji"}}`)
	w.expect(201, "", "POST", "/v1/subscriptions", server("minji-kim"),
		`{"id":"sub-2","planId":"usage-usd","gateway":"dodo","dodo":{"customer":{"email":"payer@example.com","name":"Minji Kim"},
		"billing":{"country":"US","city":"Portland"},"returnUrl":"https://app.example.com/?customer=minji","mandateOnly":true}}`)
	w.mandates.approve("sub-2", nil)
	w.notice("sub-2")
	w.expect(200, "", "POST", "/v1/subscriptions/sub-2/charge", server(""), `{"orderId":"usage-1","amount":1250,"currency":"USD","description":"Usage"}`)
	w.expect(200, "", "POST", id+"/entitlements/ad_free", server(""), grantBody)
	w.expect(200, "", "POST", id+"/conduct/override", server(""), overBody)
	requests := map[string]bool{}
	for _, s := range []string{"sub-1", "sub-2", "sub-4"} {
		sub, err := w.api.Biller.Get(t.Context(), table.Default, s)
		if err != nil {
			t.Fatal(err)
		}
		requests[sub.Request] = true
	}
	for _, p := range personal[:9] {
		if p != "payer@example.com" && len(w.finds(p)) == 0 && p != "ko-KR" {
			t.Errorf("%q is nowhere before: the test looks for nothing", p)
		}
	}
	order := w.expect(200, "", "GET", "/v1/orders/usage-1", server(""), "").text
	before := w.expect(200, "", "GET", id, server(""), "")

	for range 2 {
		w.expect(204, "", "DELETE", id, server(""), "")
	}
	for _, p := range personal {
		found := w.finds(p)
		if p == "43301234****123*" { // the books say what was charged, and not to whom
			found = slices.DeleteFunc(found, func(s string) bool { return strings.Contains(s, `"kind":"charge"`) })
		}
		if len(found) > 0 {
			t.Errorf("after erasing %q is still in %v", p, found)
		}
	}
	for r := range requests {
		if found := w.finds(r); len(found) > 0 {
			t.Errorf("the hash of what was asked for at a sign-up is still in %v", found)
		}
	}
	for _, s := range []string{"sub-1", "sub-2", "sub-4"} {
		sub, err := w.api.Biller.Get(t.Context(), table.Default, s)
		if err != nil || sub.State != billing.StateCancelled || len(sub.BillingKey) > 0 {
			t.Errorf("%s: got %s, %v, want it cancelled, without a card", s, sub.State, err)
		}
	}
	// The books stay.
	if got := w.expect(200, "", "GET", "/v1/orders/usage-1", server(""), "").text; got != order {
		t.Errorf("the order: got %s, want %s", got, order)
	}
	after := w.expect(200, "", "GET", id, server(""), "")
	if diff := cmp.Diff(before.body["wallet"], after.body["wallet"]); diff != "" {
		t.Errorf("the wallet (-before +after):\n%s", diff)
	}
	if text := w.expect(200, "", "GET", id+"/events", server(""), "").text; !strings.Contains(text, "customer.erased") {
		t.Errorf("got %s, want events that end with the erasing", text)
	}
	// Its cards are forgotten at the gateway with the next turn of the queue, not days later.
	w.errands()
	if !slices.Contains(w.gateway.forgotten, "billing-key-of-auth-1") || !slices.Contains(w.gateway.forgotten, "billing-key-of-auth-4") || !slices.Contains(w.mandates.revoked, "mandate-of-sub-2") {
		t.Errorf("got cards %v and mandates %v forgotten, want all three", w.gateway.forgotten, w.mandates.revoked)
	}
	// What a store tells later is booked as before, and whoever buys again is there again.
	w.expect(200, "", "POST", "/v1/purchases", server("minji-kim"), `{"store":"appsintoss","appsintoss":{"orderId":"gems"}}`)
	w.shops["appsintoss"].sell("more", purchase.Sale{Order: "more", SKU: "gems-100"})
	w.expect(200, "", "POST", "/v1/purchases", server("minji-kim"), `{"store":"appsintoss","appsintoss":{"orderId":"more"}}`)
	if a := w.expect(200, "", "GET", id, server(""), ""); a.body["id"] != "minji-kim" || !strings.Contains(a.text, `"balance":200`) {
		t.Errorf("got %s, want minji-kim with the old gems and the new", a.text)
	}
	w.expect(204, "", "DELETE", "/v1/customers/never-here", server(""), "")
}

// errands does what is due of billing's errands, as the queue would.
func (w *world) errands() {
	w.Helper()
	for _, item := range w.tables.Items(table.Subscriptions) {
		_, id, ok := strings.Cut(item.Key.Partition, "#errand#")
		if !ok {
			continue
		}
		if err := w.api.Biller.Work(w.Context(), table.Default, "errand:"+id); err != nil {
			w.Errorf("errand %s: %v", id, err)
		}
	}
}

func TestErasingWaitsForAChargeThatIsUnderWay(t *testing.T) {
	w := newWorld(t)
	w.expect(202, "", "POST", "/v1/subscriptions", server("minji"),
		`{"id":"sub-1","planId":"premium-monthly","gateway":"toss","toss":{"authKey":"lost-1","customerKey":"key-1"}}`)
	a := w.expect(409, "charge_under_way", "DELETE", me, w.user("minji"), "")
	if a.body["retryable"] != true {
		t.Errorf("got %s, want it retryable", a.text)
	}
	sub, err := w.api.Biller.Get(t.Context(), table.Default, "sub-1")
	if err != nil || sub.State != billing.StateCancelled {
		t.Errorf("got %s, %v, want it cancelled meanwhile", sub.State, err)
	}
	for range 60 { // until the outcome is known
		w.clock.advance(time.Hour)
		if err := w.api.Biller.Work(t.Context(), table.Default, "sub-1"); err != nil {
			t.Fatal(err)
		}
		w.errands()
	}
	w.expect(204, "", "DELETE", me, w.user("minji"), "")
	if found := w.finds("key-1"); len(found) > 0 {
		t.Errorf("the customerKey is still in %v", found)
	}
}

func TestAGrantIsSeenAndExplained(t *testing.T) {
	w := newWorld(t)
	w.expect(422, "unknown_entitlement", "POST", me+"/entitlements/first_class", server(""), grantBody)
	w.expect(422, "grant_over", "POST", me+"/entitlements/premium", server(""), `{"reference":"t","reason":"r","expiresAt":"2020-01-01T00:00:00Z"}`)
	w.expect(404, "grant_not_found", "DELETE", me+"/entitlements/premium/none", server(""), "")
	for range 2 {
		a := w.expect(200, "", "POST", me+"/entitlements/premium", server(""), `{"reference":"ticket-1","reason":"The app was down.","expiresAt":"2026-12-24T00:00:00+09:00"}`)
		if !strings.Contains(a.text, `"kind":"grant","reference":"ticket-1"`) || !strings.Contains(a.text, `"expiresAt":"2026-12-23T15:00:00Z"`) {
			t.Errorf("got %s, want a grant by its reference until its end", a.text)
		}
	}
	w.expect(409, "reference_used", "POST", me+"/entitlements/premium", server(""), grantBody)
	w.clock.advance(time.Hour)
	h := server("")
	h["X-Reason"] = "Asked for by the customer."
	w.expect(200, "", "DELETE", me+"/entitlements/premium/ticket-1", h, "")

	at := "at=" + start.Add(time.Minute).Format(time.RFC3339)
	a := w.expect(200, "", "GET", me+"/entitlements/premium/explain", server(""), "", at)
	if a.body["active"] != true || !strings.Contains(a.text, `"type":"entitlement.granted"`) || !strings.Contains(a.text, "The app was down.") || strings.Contains(a.text, "revoked") {
		t.Errorf("then: got %s, want the grant with its reason", a.text)
	}
	a = w.expect(200, "", "GET", me+"/entitlements/premium/explain", server(""), "")
	if a.body["active"] != false || !strings.Contains(a.text, `"type":"entitlement.revoked"`) || !strings.Contains(a.text, "Asked for by the customer.") {
		t.Errorf("now: got %s, want that it was revoked and why", a.text)
	}
	if !strings.Contains(a.text, `"actor":"key_`) {
		t.Errorf("got %s, want the key's name", a.text)
	}
	mine := w.expect(200, "", "GET", me+"/entitlements/premium/explain", w.user("minji"), "")
	if strings.Contains(mine.text, "The app was down.") || !strings.Contains(mine.text, `"type":"entitlement.granted"`) {
		t.Errorf("its own: got %s, want what happened without a person's words", mine.text)
	}
	if text := w.expect(200, "", "GET", me+"/events", w.user("minji"), "").text; strings.Contains(text, "The app was down.") {
		t.Errorf("its own events: got %s, want them without a person's words", text)
	}
	none := w.expect(200, "", "GET", me+"/entitlements/ad_free/explain", server(""), "")
	if none.body["state"] != "none" || none.body["active"] != false {
		t.Errorf("got %s, want that there is none", none.text)
	}
	for _, query := range []string{"at=tomorrow", "at=" + start.Add(48*time.Hour).Format(time.RFC3339), "at=%zz"} {
		w.expect(400, "invalid_request", "GET", me+"/entitlements/premium/explain", server(""), "", query)
	}
	w.expect(400, "invalid_request", "GET", me+"/entitlements/pre mium/explain", server(""), "")
}

func TestAPersonDecidesAboutConduct(t *testing.T) {
	w := newWorld(t)
	w.api.Abuse = abuse.Policy{abuse.BlockSpending: 60}
	w.expect(404, "customer_not_found", "POST", me+"/conduct/override", server(""), overBody)
	w.expect(404, "customer_not_found", "DELETE", me+"/conduct/override", server(""), `{"reason":"r"}`)
	if a := w.expect(200, "", "GET", me+"/conduct", server(""), ""); a.body["score"] != 0.0 {
		t.Errorf("of nobody: got %s, want a score of 0", a.text)
	}
	w.shops["appsintoss"].sell("gems", purchase.Sale{Order: "gems", SKU: "gems-100"})
	w.expect(200, "", "POST", "/v1/purchases", server("minji"), `{"store":"appsintoss","appsintoss":{"orderId":"gems"}}`)
	a := w.expect(200, "", "POST", me+"/conduct/override", server(""), `{"measures":["block_spending"],"reason":"Chargebacks elsewhere."}`)
	if !strings.Contains(a.text, `"measures":["block_spending"]`) || !strings.Contains(a.text, `"by":"key_`) || !strings.Contains(a.text, "Chargebacks elsewhere.") {
		t.Errorf("got %s, want the word with who said it and why", a.text)
	}
	w.expect(403, "spending_blocked", "POST", me+"/wallet/gems/spend", w.user("minji"), `{"amount":1,"reference":"r"}`)
	w.expect(400, "invalid_request", "DELETE", me+"/conduct/override", server(""), "")
	w.expect(200, "", "DELETE", me+"/conduct/override", server(""), `{"reason":"It was not them."}`)
	w.expect(200, "", "POST", me+"/wallet/gems/spend", w.user("minji"), `{"amount":1,"reference":"r"}`)
	w.expect(422, "override_invalid", "POST", me+"/conduct/override", server(""), `{"measures":["jail"],"reason":"r"}`)
	w.expect(400, "invalid_request", "POST", me+"/conduct/override", server(""), `{"reason":"r"}`)
	text := w.expect(200, "", "GET", me+"/events", server(""), "").text
	for _, want := range []string{"customer.overridden", "customer.flagged", "customer.cleared", "It was not them."} {
		if !strings.Contains(text, want) {
			t.Errorf("got events %s, want %s among them", text, want)
		}
	}
}

// acts are what the journal has of today.
func (w *world) acts() []audit.Act {
	w.Helper()
	a := w.expect(200, "", "GET", "/v1/audit", server(""), "")
	var page struct{ Acts []audit.Act }
	if err := json.Unmarshal([]byte(a.text), &page); err != nil {
		w.Fatal(err)
	}
	return page.Acts
}

func TestWhatASecretKeyDoesIsKeptWithWhoWhatWhyAndHowItEnded(t *testing.T) {
	w := newWorld(t)
	h := server("")
	h["X-Reason"] = "Moved to another shop."
	w.expect(200, "", "PUT", me, h, `{"name":"Minji"}`)
	w.clock.advance(time.Second)
	w.expect(409, "reference_used", "POST", me+"/entitlements/premium", w.twice(grantBody), `{"reference":"ticket-1","reason":"Other","expiresAt":"2027-01-01T00:00:00Z"}`)
	w.expect(200, "", "PUT", me, w.user("minji"), `{"name":"Minji"}`)
	w.expect(200, "", "GET", me, server(""), "")
	var got []string
	for _, a := range w.acts() {
		if a.Outcome == nil {
			t.Fatalf("got %+v, want how it ended", a)
		}
		got = append(got, fmt.Sprint(a.Route, " ", a.Outcome.Status, a.Outcome.Code, " ", a.Reason, " ", a.About["customer"], a.About["entitlement"]))
		if a.By != "key_"+hashed(secretKey)[len("sha256:"):][:8] {
			t.Errorf("got %q, want the key's name", a.By)
		}
		if strings.Contains(fmt.Sprint(a), "cus_") {
			t.Errorf("our own id left: %+v", a)
		}
	}
	// Who it was is said by the profile alone.
	for _, item := range w.tables.Items(table.Customers) {
		if text := string(item.Data); strings.Contains(item.Key.Partition, "#audit#") && (strings.Contains(strings.ToLower(text), "minji") || strings.Contains(text, "ticket-1")) {
			t.Errorf("the journal names somebody: %s", text)
		}
	}
	want := []string{
		"PUT /v1/customers/{customerId} 200 Moved to another shop. minji",
		"POST /v1/customers/{customerId}/entitlements/{entitlement} 200 The app was down. minjipremium",
		"POST /v1/customers/{customerId}/entitlements/{entitlement} 409reference_used Other minjipremium",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the journal (-want +got):\n%s", diff)
	}
	h["X-Reason"] = strings.Repeat("x", 501)
	w.expect(400, "invalid_request", "PUT", me, h, `{"name":"Minji"}`)
	h["X-Reason"] = "a\u202eb"
	w.expect(400, "invalid_request", "PUT", me, h, `{"name":"Minji"}`)
	w.expect(400, "invalid_request", "GET", "/v1/audit", server(""), "", "day=today")
	w.expect(400, "invalid_request", "GET", "/v1/audit", server(""), "", "after=x")
	w.expect(403, "another_customer", "GET", "/v1/audit", server("minji"), "")
}

// twice grants premium to minji, and gives the server's credentials.
func (w *world) twice(body string) header {
	w.expect(200, "", "POST", me+"/entitlements/premium", server(""), body)
	w.clock.advance(time.Second)
	return server("")
}

func TestWithoutARecordNothingIsDone(t *testing.T) {
	w := newWorld(t)
	journal := func(op memory.Op) bool {
		return op.Method == "Commit" && slices.ContainsFunc(op.Keys, func(k table.Key) bool { return strings.Contains(k.Partition, "#audit#") })
	}
	w.tables.Fail = func(op memory.Op) (bool, error) {
		if journal(op) {
			return false, fault.New(fault.Unavailable, "tables_unavailable", "no answer")
		}
		return false, nil
	}
	w.expect(503, "tables_unavailable", "POST", me+"/entitlements/premium", server(""), grantBody)
	w.expect(503, "tables_unavailable", "POST", "/v1/subscriptions", server("minji"), `{"planId":"premium-weekly","gateway":"toss","toss":{"authKey":"auth-2","customerKey":"key-2"}}`)
	w.nothingWritten("acts without a record")
	if w.gateway.charge != 0 {
		t.Errorf("got %d charges, want none", w.gateway.charge)
	}
	w.expect(200, "", "PUT", me, w.user("minji"), `{"name":"Minji"}`) // no key, no act
	// An act whose end cannot be kept was done all the same, and its record says that nobody knows.
	began := false
	w.tables.Fail = func(op memory.Op) (bool, error) {
		if journal(op) && began {
			return false, fault.New(fault.Unavailable, "tables_unavailable", "no answer")
		}
		began = began || journal(op)
		return false, nil
	}
	w.expect(200, "", "POST", me+"/entitlements/premium", server(""), grantBody)
	w.tables.Fail = nil
	if acts := w.acts(); len(acts) != 1 || acts[0].Outcome != nil {
		t.Errorf("got %+v, want one act without an end", acts)
	}
}

// Each route by which a server can have something done is one of the journal's: the document is
// the list of them.
func TestNoActOfTheDocumentIsLeftOutOfTheJournal(t *testing.T) {
	checked := 0
	for _, o := range theDocument(t).operations() {
		security, _ := o.node["security"].([]any)
		servers := slices.ContainsFunc(security, func(s any) bool { _, ok := s.(map[string]any)["server"]; return ok })
		claim := slices.Contains([]string{"claimPurchase", "fulfill", "signOffer"}, o.id) || o.path == "/v1/purchases" || o.path == "/api/iap/fulfill" || o.path == "/v1/apple/offers"
		if o.method == "GET" || !servers || claim {
			continue
		}
		checked++
		w := newWorld(t)
		path := strings.ReplaceAll(atHome(o.path), "{currency}", "gems")
		w.ask(o.method, path, server(""), "nonsense")
		acts := w.acts()
		if len(acts) == 0 || acts[len(acts)-1].Route != o.method+" "+o.path {
			t.Errorf("%s: got the acts %+v, want %s %s last", o.id, acts, o.method, o.path)
		}
	}
	if checked < 15 {
		t.Errorf("got %d acts in the document, want 15 or more", checked)
	}
}

func TestAHistoryThatIsTooLongIsNotGoneThrough(t *testing.T) {
	w := newWorld(t)
	w.expect(200, "", "GET", me, w.user("minji"), "")
	c, err := w.api.Customers.Named(t.Context(), table.Default, "minji")
	if err != nil {
		t.Fatal(err)
	}
	var writes []table.Write
	for n := range 20_001 {
		writes = append(writes, table.Inserted(table.Item{
			Key:    table.Key{Table: table.Customers, Partition: table.Default.Key(c.Ref), Sort: fmt.Sprintf("event#%012d", n+1)},
			Schema: 1, Data: fmt.Appendf(nil, `{"sequence":%d,"type":"dunning.reminder","at":"2026-11-20T02:14:07Z"}`, n+1),
		}))
		if len(writes) == 100 || n == 20_000 {
			if err := w.tables.Commit(t.Context(), writes...); err != nil {
				t.Fatal(err)
			}
			writes = nil
		}
	}
	w.expect(422, "history_too_long", "GET", me+"/entitlements/premium/explain", server(""), "")
}

func TestWhatFailsOfGrantsAndOfTheJournalIsNobodysFault(t *testing.T) {
	bad := server("")
	bad["X-Reason"] = "a\u202eb"
	w := newWorld(t)
	w.expect(200, "", "POST", me+"/entitlements/premium", server(""), grantBody)
	w.expect(400, "invalid_request", "DELETE", me+"/entitlements/premium/ticket-1", bad, "")
	w.expect(400, "invalid_request", "DELETE", me, bad, "")
	w.expect(400, "invalid_customer_id", "GET", "/v1/customers/a /conduct", server(""), "")
	items := w.tables.Items(table.Customers)
	w.tables.Fail = func(memory.Op) (bool, error) { return false, outage() }
	w.expect(503, "store_unavailable", "DELETE", me+"/entitlements/premium/ticket-1", server(""), "")
	w.expect(503, "store_unavailable", "GET", "/v1/audit", server(""), "")
	w.tables.Fail = nil
	for _, item := range items { // a newer version of the code has written them
		item.Schema = 99
		if err := w.tables.Commit(t.Context(), table.Replaced(item)); err != nil {
			t.Fatal(err)
		}
	}
	w.expect(500, "internal_error", "DELETE", me+"/entitlements/premium/ticket-1", server(""), "")
	w.expect(500, "internal_error", "GET", "/v1/audit", server(""), "")
}

func TestWhatComesOfARequestIsToldWithItsCause(t *testing.T) {
	w := newWorld(t)
	w.shops["appsintoss"].sell("one", purchase.Sale{Order: "one", SKU: "gems-100"})
	w.shops["appsintoss"].sell("two", purchase.Sale{Order: "two", SKU: "gems-100"})
	w.shops["appsintoss"].sell("three", purchase.Sale{Order: "three", SKU: "gems-100"})
	for order, h := range map[string]header{"one": app("minji"), "two": server("minji"), "three": w.user("minji")} {
		w.expect(200, "", "POST", "/v1/purchases", h, `{"store":"appsintoss","appsintoss":{"orderId":"`+order+`"}}`)
	}
	w.expect(200, "", "POST", me+"/wallet/gems/spend", w.user("minji"), `{"amount":1,"reference":"r"}`)
	a := w.expect(200, "", "GET", me+"/events", server(""), "")
	causes := map[string]string{}
	for _, e := range a.body["events"].([]any) {
		e := e.(map[string]any)
		c, _ := e["cause"].(map[string]any)
		order, _ := e["orderId"].(string)
		causes[fmt.Sprint(e["type"], order)] = fmt.Sprint(c["kind"], " ", c["actor"])
	}
	key := "key_" + hashed(secretKey)[len("sha256:"):][:8]
	want := map[string]string{
		"purchase.grantedappsintoss_one": "claim app", "purchase.grantedappsintoss_two": "claim " + key,
		"purchase.grantedappsintoss_three": "claim customer", "wallet.spent": "request customer",
	}
	if diff := cmp.Diff(want, causes); diff != "" {
		t.Errorf("causes (-want +got):\n%s", diff)
	}
}

package web_test

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"grantline/shared/billing"
	"grantline/shared/purchase"
	"grantline/shared/table"
)

// columns of testdata/who-may.txt.
var columns = map[string]struct{ method, path, body string }{
	"claim":     {"POST", "/v1/purchases", `{"store":"appsintoss","appsintoss":{"orderId":"new"}}`},
	"claim-for": {"POST", "/v1/purchases", `{"store":"appsintoss","customerId":"minji","appsintoss":{"orderId":"new"}}`},
	"fulfil":    {"POST", "/api/iap/fulfill", `{"orderId":"new"}`},
	"get":       {"GET", "/v1/customers/minji", ""},
	"put":       {"PUT", "/v1/customers/minji", `{"name":"Minji"}`},
	"events":    {"GET", "/v1/customers/minji/events", ""},
	"start":     {"POST", "/v1/subscriptions", `{"planId":"premium-weekly","gateway":"toss","toss":{"authKey":"auth-2","customerKey":"key-2"}}`},
	"start-for": {"POST", "/v1/subscriptions", `{"customerId":"minji","planId":"premium-weekly","gateway":"toss","toss":{"authKey":"auth-2","customerKey":"key-2"}}`},
	"sub":       {"GET", "/v1/subscriptions/sub-1", ""},
	"order":     {"GET", "/v1/orders/appsintoss_granted", ""},
	"mandate": {"POST", "/v1/subscriptions", `{"id":"sub-9","customerId":"minji","planId":"premium-usd","gateway":"dodo","dodo":{
		"customer":{"email":"minji@example.com","name":"Minji"},"billing":{"country":"US"},"returnUrl":"https://app.example.com/","mandateOnly":false}}`},
	"mandate-of": {"POST", "/v1/subscriptions", `{"id":"sub-9","customerId":"minji","planId":"usage-usd","gateway":"dodo","dodo":{
		"customer":{"customer_id":"cus_1"},"billing":{"country":"US"},"returnUrl":"https://app.example.com/","mandateOnly":true}}`},
	"cancel": {"POST", "/v1/subscriptions/sub-1/cancel", `{"at":"now"}`},
	"resume": {"POST", "/v1/subscriptions/sub-3/resume", ""},
	"card":   {"POST", "/v1/subscriptions/sub-1/payment-method", `{"toss":{"authKey":"auth-9","customerKey":"key-1"}}`},
	"page":   {"POST", "/v1/subscriptions/sub-2/payment-method", `{"dodo":{"returnUrl":"https://app.example.com/card"}}`},
	"plan":   {"POST", "/v1/subscriptions/sub-1/plan", `{"planId":"premium-yearly"}`},
	"charge": {"POST", "/v1/subscriptions/sub-2/charge", `{"orderId":"usage-2026-11","amount":1250,"currency":"USD","description":"Usage"}`},
	"refund": {"POST", "/v1/orders/" + paidOrder + "/refund", `{"amount":900,"reason":"Counted twice","reference":"ticket-1"}`},
	"health": {"GET", "/healthz", ""},
	"offer":  {"POST", "/v1/apple/offers", `{"kind":"promotional_v1","productId":"com.example.premium.monthly","offerId":"winback50","customerId":"minji"}`},

	"alias":    {"POST", "/v1/customers/minji/aliases", `{"alias":"anon_1"}`},
	"erase":    {"DELETE", "/v1/customers/minji", ""},
	"grant":    {"POST", "/v1/customers/minji/entitlements/premium", `{"reference":"ticket-1","reason":"The app was down."}`},
	"explain":  {"GET", "/v1/customers/minji/entitlements/premium/explain", ""},
	"conduct":  {"GET", "/v1/customers/minji/conduct", ""},
	"override": {"POST", "/v1/customers/minji/conduct/override", `{"measures":[],"reason":"A child did it."}`},
	"lift":     {"DELETE", "/v1/customers/minji/conduct/override", `{"reason":"Again."}`},

	"unclaimed": {"GET", "/v1/orders/apple_unclaimed", ""},
}

// credentials are the rows of testdata/who-may.txt.
var credentials = sync.OnceValue(func() map[string]header {
	p := newProvider()
	minji := claims("minji")
	bearer := func(token string) header { return header{"Authorization": "Bearer " + token} }
	signed := func(c object) header { return bearer(compact(es256, c, p.signES)) }
	headed := func(h object) header { return bearer(compact(h, minji, p.signES)) }
	der, err := x509.MarshalPKIXPublicKey(p.ec.Public())
	if err != nil {
		panic(err)
	}
	jwk, err := json.Marshal(jose.JSONWebKey{Key: p.thief.Public()})
	if err != nil {
		panic(err)
	}
	publicPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	hs256 := object{"alg": "HS256", "kid": "ec-1", "typ": "JWT"}
	rs256 := object{"alg": "RS256", "kid": "rsa-1", "typ": "JWT"}
	good := p.token("minji", start)
	parts := strings.Split(good, ".")
	jisoo := p.token("jisoo", start)
	with := func(h header, customerID string) header { h["X-Customer-Id"] = customerID; return h }
	flat := `{"x":".` + parts[1] + `.","payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`
	twice := `{"x":".` + parts[1] + `.","payload":"` + parts[1] + `","signatures":[{"protected":"` + parts[0] + `","signature":"` + parts[2] +
		`"},{"protected":"` + parts[0] + `","signature":"` + parts[2] + `"}]}`
	raw, _ := json.Marshal(minji)
	unencoded := part(object{"alg": "ES256", "kid": "ec-1", "b64": false, "crit": []string{"b64"}})
	return map[string]header{
		"nobody":                      {},
		"nobody, X-Customer-Id minji": {"X-Customer-Id": "minji"},
		"no scheme":                   {"Authorization": secretKey},
		"scheme alone":                {"Authorization": "Bearer "},
		"another scheme":              {"Authorization": "Basic " + base64.StdEncoding.EncodeToString([]byte(secretKey+":"))},
		"two credentials":             {"Authorization": "Bearer " + publicKey + " " + secretKey},
		"endless":                     bearer(strings.Repeat("a", 1<<20)),

		"wrong public key":           {"Authorization": "Bearer pk_test_Zq8vN3xW5rT1yB7d"},
		"wrong secret key":           {"Authorization": "Bearer sk_test_Lm4kJ9hG2fD6sA0q"},
		"secret key as public":       {"Authorization": "Bearer pk_" + secretKey},
		"the hash of the secret key": {"Authorization": "Bearer sk_" + hashed(secretKey)},

		"public key": app(""), "public key, minji": app("minji"), "public key, jisoo": app("jisoo"),
		"secret key": server(""), "secret key, minji": server("minji"), "secret key, jisoo": server("jisoo"),
		"token of minji": bearer(good), "token of jisoo": bearer(jisoo), "token of minji, for jisoo": with(bearer(good), "jisoo"),
		"token of minji by RS256": bearer(compact(rs256, minji.with("aud", []string{"another", audience}), p.signRS)),

		"expired":          signed(minji.with("exp", start.Add(-time.Second).Unix())),
		"without expiry":   signed(minji.with("exp", nil)),
		"not yet valid":    signed(minji.with("nbf", start.Add(10*time.Minute).Unix())),
		"wrong issuer":     signed(minji.with("iss", issuer+"/")),
		"without issuer":   signed(minji.with("iss", nil)),
		"wrong audience":   signed(minji.with("aud", []string{"another", audience + "2"})),
		"without audience": signed(minji.with("aud", nil)),
		"without subject":  signed(minji.with("sub", nil)),
		"subject no id":    signed(minji.with("sub", "minji\n")),
		"subject a list":   signed(minji.with("sub", []string{"minji"})),

		"alg none":                    bearer(part(object{"alg": "none"}) + "." + parts[1] + "."),
		"alg none, signature kept":    bearer(part(object{"alg": "none", "kid": "ec-1"}) + "." + parts[1] + "." + parts[2]),
		"HS256 by the public key PEM": bearer(compact(hs256, minji, signHS(publicPEM))),
		"HS256 by the public key DER": bearer(compact(hs256, minji, signHS(der))),
		"HS256 by the key set":        bearer(compact(hs256, minji, signHS(p.set))),
		"signed by another key":       bearer(compact(es256, minji, signWith(p.thief))),
		"key in its own header":       bearer(compact(es256.with("jwk", json.RawMessage(jwk)), minji, signWith(p.thief))),
		"another token's signature":   bearer(parts[0] + "." + parts[1] + "." + strings.Split(jisoo, ".")[2]),
		"another algorithm's key":     bearer(compact(object{"alg": "RS256", "kid": "ec-1"}, minji, p.signRS)),
		"PS256":                       bearer(compact(object{"alg": "PS256", "kid": "rsa-1"}, minji, p.signRS)),
		"unknown kid":                 headed(es256.with("kid", "ec-2")),
		"no kid":                      headed(es256.with("kid", nil)),
		"kid of an encryption key":    bearer(compact(rs256.with("kid", "for-encryption"), minji, p.signRS)),
		"kid of a key for RSA-OAEP":   bearer(compact(rs256.with("kid", "for-encryption-by-alg"), minji, p.signRS)),
		"two signatures":              bearer(twice),
		"JSON serialization":          bearer(flat),
		"crit unknown":                headed(es256.with("crit", []string{"exp"}).with("exp", 1)),
		"crit b64":                    headed(es256.with("crit", []string{"b64"}).with("b64", true)),
		"unencoded payload": bearer(unencoded + "." + parts[1] + "." +
			base64.RawURLEncoding.EncodeToString(p.signES(append([]byte(unencoded+"."), raw...)))),
		"zip":                headed(es256.with("zip", "DEF").with("crit", []string{"zip"})),
		"an encrypted token": bearer(part(object{"alg": "RSA-OAEP", "enc": "A256GCM", "kid": "for-encryption"}) + ".aa.aa." + parts[1] + ".aa"),
		"no token":           bearer("a.b.c"),
	}
})

func TestEveryCallerMayDoWhatIsItsOwn(t *testing.T) {
	text, err := os.ReadFile("testdata/who-may.txt")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	rows := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\n")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		row, cells := strings.TrimSpace(line[:29]), strings.Fields(line[29:])
		if names == nil {
			names = cells
			continue
		}
		rows[row] = true
		var strangers *world // one is enough for a row that nobody gets past
		if !slices.ContainsFunc(cells, func(cell string) bool { return cell != "401" && cell != "200" }) && strings.Count(line, "200") == 1 {
			strangers = newWorld(t)
			strangers.minji()
		}
		for i, cell := range cells {
			want, err := strconv.Atoi(cell)
			if err != nil {
				t.Fatalf("who-may.txt, %s: %v", row, err)
			}
			t.Run(row+"/"+names[i], func(t *testing.T) {
				w := strangers
				if w == nil {
					w = newWorld(t)
					w.minji()
				}
				h, ok := credentials()[row]
				if !ok {
					t.Fatalf("nobody knows the credentials %q", row)
				}
				if _, proof, _ := strings.Cut(h["Authorization"], " "); len(proof) > 20 {
					w.keep(proof)
				}
				before := w.written()
				c := columns[names[i]]
				a := w.ask(c.method, c.path, h, c.body)
				if a.status != want {
					t.Errorf("got %d %s, want %d", a.status, a.text, want)
				}
				if after := w.written(); a.status >= 400 && after != before {
					t.Errorf("got %d items after a refusal, want the %d of before", after, before)
				}
				if want == 401 && !strings.HasPrefix(a.header.Get("WWW-Authenticate"), "Bearer") {
					t.Errorf("got WWW-Authenticate %q, want Bearer", a.header.Get("WWW-Authenticate"))
				}
			})
		}
	}
	for row := range credentials() {
		if !rows[row] {
			t.Errorf("who-may.txt says nothing about %q", row)
		}
	}
}

// paidOrder is the first charge of sub-1.
const paidOrder = "gl_otpchzgmepti3adktdbqakqfnavd3pkc"

// minji makes what who-may.txt begins with.
func (w *world) minji() {
	w.Helper()
	w.shops["appsintoss"].sell("granted", purchase.Sale{Order: "granted", SKU: "ad-free"})
	w.shops["appsintoss"].sell("new", purchase.Sale{Order: "new", SKU: "gems-100"})
	w.order(purchase.Order{ID: "apple_unclaimed", Store: "apple", SKU: "com.example.gems100", State: purchase.OrderUnclaimed, Quantity: 1})
	w.expect(200, "", "POST", "/v1/purchases", server("minji"), `{"store":"appsintoss","appsintoss":{"orderId":"granted"}}`)
	w.expect(201, "", "POST", "/v1/subscriptions", server("minji"),
		`{"id":"sub-1","planId":"premium-monthly","gateway":"toss","toss":{"authKey":"auth-1","customerKey":"key-1"}}`)
	w.expect(201, "", "POST", "/v1/subscriptions", server("minji"),
		`{"id":"sub-2","planId":"usage-usd","gateway":"dodo","dodo":{"customer":{"email":"minji@example.com","name":"Minji"},
		"billing":{"country":"US"},"returnUrl":"https://app.example.com/","mandateOnly":true}}`)
	w.mandates.approve("sub-2", nil)
	w.notice("sub-2")
	w.expect(201, "", "POST", "/v1/subscriptions", server("minji"),
		`{"id":"sub-3","planId":"premium-weekly","gateway":"toss","toss":{"authKey":"auth-3","customerKey":"key-1"}}`)
	w.expect(200, "", "POST", "/v1/subscriptions/sub-3/cancel", server("minji"), `{"at":"period_end"}`)
	w.expect(200, "", "POST", me+"/wallet/gems/credit", server("minji"), `{"amount":1000,"reference":"first","reason":"to spend"}`)
	w.expect(200, "", "POST", me+"/wallet/gems/spend", server("minji"), `{"amount":40,"reference":"sword-5560"}`)
	w.expect(201, "", "POST", "/v1/endpoints", server(""), `{"id":"shop","url":"https://shop.example.com/"}`)
}

// order writes one down as the book of purchases keeps it.
func (w *world) order(o purchase.Order) {
	w.Helper()
	o.Kind = purchase.OrderKind
	data, err := json.Marshal(o)
	if err != nil {
		w.Fatal(err)
	}
	item := table.Item{Key: table.Key{Table: table.Orders, Partition: table.Default.Key(o.ID)}, Schema: 2, Data: data}
	if err := w.tables.Commit(w.Context(), table.Inserted(item)); err != nil {
		w.Fatal(err)
	}
}

// notice has the queue look at a mandate, as a webhook makes it.
func (w *world) notice(subscription string) {
	w.Helper()
	if looked, err := w.api.Biller.LookAgain(w.Context(), table.Default, billing.Hint{Subscription: subscription}); !looked || err != nil {
		w.Fatalf("a notice about %s: got %t, %v, want a look", subscription, looked, err)
	}
}

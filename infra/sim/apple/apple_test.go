package apple_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"grantline/infra/sim/apple"
	"grantline/infra/sim/stage"
)

// store is a simulator on a server, a clock and a client with a key.
type store struct {
	*apple.Simulator
	t      *testing.T
	server *httptest.Server
	client *http.Client
	now    atomic.Int64 // seconds since 1970
}

func newStore(t *testing.T, options apple.Options) *store {
	s := &store{t: t}
	s.now.Store(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC).Unix())
	options.Now = func() time.Time { return time.Unix(s.now.Load(), 0) }
	s.Simulator = apple.New(options)
	s.server = httptest.NewServer(s.Simulator)
	s.client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	t.Cleanup(func() {
		s.Close()
		s.server.Close()
	})
	return s
}

func (s *store) buy(p apple.Purchase) apple.Bought {
	s.t.Helper()
	bought, err := s.Buy(p)
	if err != nil {
		s.t.Fatalf("buy: got %v, want it sold", err)
	}
	return bought
}

// bearer is a token that Apple takes, spoiled by change.
func (s *store) bearer(change func(header, claims map[string]any, key **ecdsa.PrivateKey)) string {
	s.t.Helper()
	credentials := s.Credentials()
	block, _ := pem.Decode(credentials.PrivateKey)
	if block == nil {
		s.t.Fatal("private key: got no PEM block, want one")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		s.t.Fatalf("private key: %v", err)
	}
	key := parsed.(*ecdsa.PrivateKey)
	header := map[string]any{"alg": jose.ES256, "kid": credentials.KeyID}
	claims := map[string]any{
		"iss": credentials.IssuerID, "iat": s.now.Load(), "exp": s.now.Load() + 300,
		"aud": "appstoreconnect-v1", "bid": apple.BundleID,
	}
	if change != nil {
		change(header, claims, &key)
	}
	options := (&jose.SignerOptions{}).WithType("JWT").WithHeader("kid", header["kid"])
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: header["alg"].(jose.SignatureAlgorithm), Key: key}, options)
	if err != nil {
		s.t.Fatalf("signer: %v", err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		s.t.Fatal(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		s.t.Fatal(err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		s.t.Fatal(err)
	}
	return "Bearer " + token
}

// get asks for a transaction; code is the errorCode.
func (s *store) get(path, authorization string) (status int, code int64, body string, err error) {
	r, err := http.NewRequestWithContext(s.t.Context(), "GET", s.server.URL+path, nil)
	if err != nil {
		return 0, 0, "", err
	}
	r.Header.Set("Authorization", authorization)
	response, err := s.client.Do(r)
	if err != nil {
		return 0, 0, "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	var failure struct{ ErrorCode int64 }
	_ = json.Unmarshal(text, &failure) // not every answer is JSON
	return response.StatusCode, failure.ErrorCode, string(text), err
}

func (s *store) want(what, path, authorization string, status int, code int64) string {
	s.t.Helper()
	gotStatus, gotCode, body, err := s.get(path, authorization)
	if err != nil || gotStatus != status || gotCode != code {
		s.t.Errorf("%s: got %d %d, %v; want %d %d", what, gotStatus, gotCode, err, status, code)
	}
	return body
}

// payload verifies a token under the authority's leaf and reads it.
func (s *store) payload(token string) map[string]any {
	s.t.Helper()
	parsed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		s.t.Fatalf("token: %v", err)
	}
	text, err := parsed.Verify(s.Authority().Certificate(apple.Leaf).PublicKey)
	if err != nil {
		s.t.Fatalf("token: got %v, want it signed by the leaf", err)
	}
	var claims map[string]any
	if err := json.Unmarshal(text, &claims); err != nil {
		s.t.Fatal(err)
	}
	return claims
}

func TestBoughtTransactionHasApplesFields(t *testing.T) {
	s := newStore(t, apple.Options{})
	const march = 1772323200000.0 // 2026-03-01T00:00:00Z
	for _, c := range []struct {
		purchase apple.Purchase
		want     map[string]any
	}{
		{
			apple.Purchase{ProductID: "com.example.premium.monthly", AppAccountToken: "6F2B7C1E-2A53-4A53-9C0F-6D6F0F6B2F10"},
			map[string]any{
				"type": apple.AutoRenewable, "environment": "Production", "bundleId": "com.example.app", "quantity": 1.0,
				"purchaseDate": march, "originalPurchaseDate": march, "signedDate": march, "expiresDate": 1775001600000.0,
				"appAccountToken": "6f2b7c1e-2a53-4a53-9c0f-6d6f0f6b2f10", "inAppOwnershipType": "PURCHASED",
				"transactionReason": "PURCHASE", "price": 4900000.0, "currency": "KRW", "storefront": "KOR", "revocationDate": nil,
			},
		},
		{
			apple.Purchase{ProductID: "com.example.gems100", Environment: "Sandbox", Quantity: 3},
			map[string]any{"type": apple.Consumable, "environment": "Sandbox", "quantity": 3.0, "expiresDate": nil, "appAccountToken": nil},
		},
		{apple.Purchase{ProductID: "com.example.adfree", Ownership: "FAMILY_SHARED"}, map[string]any{"type": apple.NonConsumable, "inAppOwnershipType": "FAMILY_SHARED"}},
		{apple.Purchase{ProductID: "com.example.rental7d"}, map[string]any{"type": apple.NonRenewing, "expiresDate": nil}},
		{apple.Purchase{ProductID: "else", Type: apple.Consumable, BundleID: "com.example.other"}, map[string]any{"productId": "else", "bundleId": "com.example.other"}},
	} {
		bought := s.buy(c.purchase)
		got := s.payload(bought.SignedTransaction)
		if got["transactionId"] != bought.TransactionID || got["originalTransactionId"] != bought.OriginalTransactionID {
			t.Errorf("%s: got ids %v and %v, want those answered", c.purchase.ProductID, got["transactionId"], got["originalTransactionId"])
		}
		for name, want := range c.want {
			if got[name] != want {
				t.Errorf("%s: %s: got %v, want %v", c.purchase.ProductID, name, got[name], want)
			}
		}
	}
	for _, bad := range []apple.Purchase{
		{},
		{ProductID: "else"},
		{ProductID: "com.example.gems100", Environment: "Xcode"},
		{ProductID: "com.example.gems100", AppAccountToken: "42"},
		{ProductID: "com.example.gems100", Quantity: 11},
		{ProductID: "com.example.gems100", Ownership: "STOLEN"},
		{ProductID: "com.example.gems100", Forged: "all"},
		{ProductID: "com.example.gems100", OriginalTransactionID: "1"},
	} {
		if _, err := s.Buy(bad); err == nil {
			t.Errorf("buy %+v: got it sold, want it refused", bad)
		}
	}
	if got := len(s.Effects()); got != 5 {
		t.Errorf("got %d effects, want 5", got)
	}
}

func TestRenewalBelongsToItsFirstTransaction(t *testing.T) {
	s := newStore(t, apple.Options{})
	first := s.buy(apple.Purchase{ProductID: "com.example.premium.monthly"})
	s.now.Add(31 * 24 * 3600)
	second := s.buy(apple.Purchase{ProductID: "com.example.premium.monthly", OriginalTransactionID: first.TransactionID})
	got := s.payload(second.SignedTransaction)
	if second.OriginalTransactionID != first.TransactionID || second.TransactionID == first.TransactionID || got["transactionReason"] != "RENEWAL" {
		t.Errorf("got %s of %s, %v; want another of %s, RENEWAL", second.TransactionID, second.OriginalTransactionID, got["transactionReason"], first.TransactionID)
	}
	if old := s.payload(first.SignedTransaction)["purchaseDate"]; got["originalPurchaseDate"] != old || got["purchaseDate"] == old {
		t.Errorf("got purchased %v, originally %v; want only the latter to be %v", got["purchaseDate"], got["originalPurchaseDate"], old)
	}
}

func TestForgeriesDoNotVerify(t *testing.T) {
	s := newStore(t, apple.Options{})
	for _, forged := range []string{"chain", "signature", "payload"} {
		bought := s.buy(apple.Purchase{ProductID: "com.example.gems100", Forged: forged})
		parsed, err := jose.ParseSignedCompact(bought.SignedTransaction, []jose.SignatureAlgorithm{jose.ES256})
		if err != nil {
			t.Fatalf("%s: got %v, want a token that can be read", forged, err)
		}
		if _, err := parsed.Verify(s.Authority().Certificate(apple.Leaf).PublicKey); err == nil {
			t.Errorf("%s: got a genuine signature, want a forgery", forged)
		}
		s.want(forged, "/inApps/v1/transactions/"+bought.TransactionID, s.bearer(nil), 404, 4040010)
	}
	if got := s.Effects(); len(got) != 0 {
		t.Errorf("got effects %v, want none", got)
	}
}

func TestTransactionIsFoundInItsOwnEnvironment(t *testing.T) {
	s := newStore(t, apple.Options{})
	production := s.buy(apple.Purchase{ProductID: "com.example.gems100"})
	sandbox := s.buy(apple.Purchase{ProductID: "com.example.gems100", Environment: "Sandbox"})
	foreign := s.buy(apple.Purchase{ProductID: "com.example.gems100", BundleID: "com.example.other"})
	token := s.bearer(nil)
	for _, c := range []struct {
		name, path string
		status     int
		code       int64
	}{
		{"production", "/inApps/v1/transactions/" + production.TransactionID, 200, 0},
		{"sandbox", "/sandbox/inApps/v1/transactions/" + sandbox.TransactionID, 200, 0},
		{"sandbox in production", "/inApps/v1/transactions/" + sandbox.TransactionID, 404, 4040010},
		{"production in sandbox", "/sandbox/inApps/v1/transactions/" + production.TransactionID, 404, 4040010},
		{"another app's", "/inApps/v1/transactions/" + foreign.TransactionID, 404, 4040010},
		{"unknown", "/inApps/v1/transactions/1", 404, 4040010},
		{"no number", "/inApps/v1/transactions/one", 400, 4000006},
		{"unknown path", "/inApps/v9/transactions/1", 404, 0},
	} {
		s.want(c.name, c.path, token, c.status, c.code)
	}
	s.now.Add(60)
	var answer struct{ SignedTransactionInfo string }
	body := s.want("later", "/inApps/v1/transactions/"+production.TransactionID, s.bearer(nil), 200, 0)
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		t.Fatal(err)
	}
	then, now := s.payload(production.SignedTransaction), s.payload(answer.SignedTransactionInfo)
	if now["signedDate"].(float64)-then["signedDate"].(float64) != 60_000 || now["purchaseDate"] != then["purchaseDate"] {
		t.Errorf("later: got signed %v, want the same purchase signed 60 s after %v", now["signedDate"], then["signedDate"])
	}
}

func TestRefundShowsInTheAPI(t *testing.T) {
	s := newStore(t, apple.Options{})
	bought := s.buy(apple.Purchase{ProductID: "com.example.gems100"})
	s.now.Add(3600)
	if err := s.Refund(apple.Refund{TransactionID: bought.TransactionID, Reason: 1}); err != nil {
		t.Fatalf("refund: got %v, want it done", err)
	}
	var answer struct{ SignedTransactionInfo string }
	body := s.want("look-up", "/inApps/v1/transactions/"+bought.TransactionID, s.bearer(nil), 200, 0)
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		t.Fatal(err)
	}
	got := s.payload(answer.SignedTransactionInfo)
	if got["revocationDate"] != float64(s.now.Load()*1000) || got["revocationReason"] != 1.0 || got["revocationType"] != "REFUND_FULL" {
		t.Errorf("got %v, want it revoked now, for reason 1", got)
	}
	for _, bad := range []apple.Refund{{}, {TransactionID: "1"}, {TransactionID: bought.TransactionID}} {
		if err := s.Refund(bad); err == nil {
			t.Errorf("refund %+v: got nil, want it refused", bad)
		}
	}
	if effects := s.Effects(); len(effects) != 2 || effects[1].Kind != "refunded" {
		t.Errorf("got effects %v, want purchased and refunded", effects)
	}
}

func TestTokenOfTheDeveloperIsChecked(t *testing.T) {
	s := newStore(t, apple.Options{})
	path := "/inApps/v1/transactions/" + s.buy(apple.Purchase{ProductID: "com.example.gems100"}).TransactionID
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := s.now.Load()
	type change = func(header, claims map[string]any, key **ecdsa.PrivateKey)
	claim := func(name string, value any) change {
		return func(_, claims map[string]any, _ **ecdsa.PrivateKey) {
			claims[name] = value
			if value == nil {
				delete(claims, name)
			}
		}
	}
	for _, c := range []struct {
		name   string
		change change
		status int
	}{
		{"right", nil, 200},
		{"no iat", claim("iat", nil), 200},
		{"audience in a list", claim("aud", []string{"appstoreconnect-v1"}), 200},
		{"an hour", claim("exp", now+3600), 200},
		{"more than an hour", claim("exp", now+3601), 401},
		{"more than an hour, no iat", func(_, claims map[string]any, _ **ecdsa.PrivateKey) {
			delete(claims, "iat")
			claims["exp"] = now + 3601
		}, 401},
		{"expired", claim("exp", now), 401},
		{"no exp", claim("exp", nil), 401},
		{"of tomorrow", func(_, claims map[string]any, _ **ecdsa.PrivateKey) {
			claims["iat"], claims["exp"] = now+86400, now+86700
		}, 401},
		{"another issuer", claim("iss", "somebody"), 401},
		{"another audience", claim("aud", "appstoreconnect-v2"), 401},
		{"two audiences", claim("aud", []string{"appstoreconnect-v1", "x"}), 401},
		{"another app", claim("bid", "com.example.other"), 401},
		{"no app", claim("bid", nil), 401},
		{"another kid", func(header, _ map[string]any, _ **ecdsa.PrivateKey) { header["kid"] = "ABCDEFGHIJ" }, 401},
		{"another key", func(_, _ map[string]any, key **ecdsa.PrivateKey) { *key = stranger }, 401},
	} {
		s.want(c.name, path, s.bearer(c.change), c.status, 0)
	}
	for _, authorization := range []string{"", "Bearer", "Bearer x", "Basic " + s.bearer(nil)[7:], "Bearer " + s.bearer(nil)[7:] + "A.b"} {
		if body := s.want("no token", path, authorization, 401, 0); body == "" || body[0] == '{' {
			t.Errorf("no token: got %q, want plain text", body)
		}
	}
}

func TestAppBeforeItsReleaseHasOnlyTheSandbox(t *testing.T) {
	s := newStore(t, apple.Options{})
	bought := s.buy(apple.Purchase{ProductID: "com.example.gems100", Environment: "Sandbox"})
	no := false
	if err := s.Set(apple.Settings{Released: &no}); err != nil {
		t.Fatal(err)
	}
	s.want("production", "/inApps/v1/transactions/"+bought.TransactionID, s.bearer(nil), 401, 0)
	s.want("sandbox", "/sandbox/inApps/v1/transactions/"+bought.TransactionID, s.bearer(nil), 200, 0)
}

func TestErrorCodesCanBeScripted(t *testing.T) {
	s := newStore(t, apple.Options{})
	bought := s.buy(apple.Purchase{ProductID: "com.example.gems100"})
	path := "/inApps/v1/transactions/" + bought.TransactionID
	for _, c := range []struct {
		code   int64
		status int
	}{{4290000, 429}, {5000001, 500}, {4040010, 404}, {4040002, 404}} {
		if err := s.Fail(apple.Failure{ErrorCode: c.code, TransactionID: bought.TransactionID}); err != nil {
			t.Fatal(err)
		}
		s.want("scripted", path, s.bearer(nil), c.status, c.code)
	}
	s.want("and then not", path, s.bearer(nil), 200, 0)
	if err := s.Fail(apple.Failure{ErrorCode: 404}); err == nil {
		t.Error("404: got nil, want it refused")
	}
}

func TestLookUpsFailInAllWays(t *testing.T) {
	for _, when := range []string{stage.Before, stage.After} {
		for _, how := range []string{stage.Hang, stage.Reset, stage.Error} {
			s := newStore(t, apple.Options{HangLimit: time.Millisecond})
			path := "/inApps/v1/transactions/" + s.buy(apple.Purchase{ProductID: "com.example.gems100"}).TransactionID
			if err := s.Fault(stage.Fault{Endpoint: apple.Transaction, When: when, How: how}); err != nil {
				t.Fatal(err)
			}
			status, code, _, err := s.get(path, s.bearer(nil))
			if how == stage.Error && (err != nil || status != 500 || code != 5000000) {
				t.Errorf("%s %s: got %d %d, %v; want 500 5000000", when, how, status, code, err)
			}
			if how != stage.Error && err == nil {
				t.Errorf("%s %s: got %d, want no answer", when, how, status)
			}
			s.want("again", path, s.bearer(nil), 200, 0)
		}
	}
}

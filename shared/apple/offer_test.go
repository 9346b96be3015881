package apple_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/apple"
	"grantline/shared/clock"
	"grantline/shared/fault"
)

// newSigner gives a signer and the public half of its key.
func newSigner(t *testing.T) (*apple.Signer, *ecdsa.PublicKey) {
	t.Helper()
	key := newKey(t, elliptic.P256())
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	return &apple.Signer{
		KeyID: "ABCDE12345", IssuerID: "57246542-96fe-1a63-e053-0824d011072a",
		PrivateKey: func(context.Context, bool) (string, error) { return text, nil },
		Clock:      clock.Fixed(now),
	}, &key.PublicKey
}

var (
	promotionalV1 = apple.PromotionalV1{BundleID: "com.example.app", ProductID: "com.example.premium.monthly", OfferID: "comeback", AppAccountToken: "7E3FB204-2EC1-4C1C-8D6E-0E7B9A6F1C11"}
	promotional   = apple.Promotional{BundleID: "com.example.app", ProductID: "com.example.premium.monthly", OfferID: "comeback", TransactionID: "2000000812345678"}
	introductory  = apple.Introductory{BundleID: "com.example.app", ProductID: "com.example.premium.monthly", Allow: true, TransactionID: "2000000812345678"}
	uuidForm      = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
)

func TestPromotionalV1SignsTheFieldsInApplesOrder(t *testing.T) {
	s, public := newSigner(t)
	for name, c := range map[string]struct{ token, signed string }{
		"an account in capitals": {"7E3FB204-2EC1-4C1C-8D6E-0E7B9A6F1C11", "7e3fb204-2ec1-4c1c-8d6e-0e7b9a6f1c11"},
		"no account":             {"", ""},
	} {
		o := promotionalV1
		o.AppAccountToken = c.token
		got, err := s.PromotionalV1(t.Context(), o)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got.KeyID != "ABCDE12345" || got.Timestamp != 1768478460000 || !uuidForm.MatchString(got.Nonce) {
			t.Errorf("%s: got key %q, timestamp %d, nonce %q, want ABCDE12345, 1768478460000 and a UUID", name, got.KeyID, got.Timestamp, got.Nonce)
		}
		digest := sha256.Sum256([]byte("com.example.app\u2063ABCDE12345\u2063com.example.premium.monthly\u2063comeback\u2063" +
			c.signed + "\u2063" + got.Nonce + "\u20631768478460000"))
		der, err := base64.StdEncoding.DecodeString(got.Signature)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !ecdsa.VerifyASN1(public, digest[:], der) {
			t.Errorf("%s: the signature is not over the documented text", name)
		}
	}
}

// parseJWS reads a compact JWS by hand (RFC 7515, 3.1) and checks its signature.
func parseJWS(t *testing.T, public *ecdsa.PublicKey, jws string) (header, claims map[string]any) {
	t.Helper()
	parts := strings.Split(jws, ".")
	if len(parts) != 3 {
		t.Fatalf("%d segments, want 3", len(parts))
	}
	var raw [3][]byte
	for i, p := range parts {
		var err error
		if raw[i], err = base64.RawURLEncoding.DecodeString(p); err != nil {
			t.Fatal(err)
		}
	}
	if err := json.Unmarshal(raw[0], &header); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw[1], &claims); err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if len(raw[2]) != 64 || !ecdsa.Verify(public, digest[:], new(big.Int).SetBytes(raw[2][:32]), new(big.Int).SetBytes(raw[2][32:])) {
		t.Fatal("the signature is not the key's over header and payload")
	}
	return header, claims
}

func TestOfferTokensSayWhatAppleAsksFor(t *testing.T) {
	s, public := newSigner(t)
	everybody, refusedIntroductory := promotional, introductory
	everybody.TransactionID, refusedIntroductory.Allow = "", false
	for name, c := range map[string]struct {
		sign func() (string, error)
		want map[string]any
	}{
		"promotional": {
			func() (string, error) { return s.Promotional(t.Context(), promotional) },
			map[string]any{"aud": "promotional-offer", "offerIdentifier": "comeback", "transactionId": "2000000812345678"},
		},
		"promotional for everybody": {
			func() (string, error) { return s.Promotional(t.Context(), everybody) },
			map[string]any{"aud": "promotional-offer", "offerIdentifier": "comeback"},
		},
		"introductory": {
			func() (string, error) { return s.Introductory(t.Context(), introductory) },
			map[string]any{"aud": "introductory-offer-eligibility", "allowIntroductoryOffer": true, "transactionId": "2000000812345678"},
		},
		"no introductory": {
			func() (string, error) { return s.Introductory(t.Context(), refusedIntroductory) },
			map[string]any{"aud": "introductory-offer-eligibility", "allowIntroductoryOffer": false, "transactionId": "2000000812345678"},
		},
	} {
		signed, err := c.sign()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		header, claims := parseJWS(t, public, signed)
		if diff := cmp.Diff(map[string]any{"alg": "ES256", "kid": "ABCDE12345", "typ": "JWT"}, header); diff != "" {
			t.Errorf("%s: header (-want +got):\n%s", name, diff)
		}
		if nonce, _ := claims["nonce"].(string); !uuidForm.MatchString(nonce) {
			t.Errorf("%s: nonce %q, want a UUID in small letters", name, nonce)
		}
		delete(claims, "nonce")
		c.want["iss"], c.want["bid"], c.want["iat"] = "57246542-96fe-1a63-e053-0824d011072a", "com.example.app", float64(1768478460)
		c.want["productId"] = "com.example.premium.monthly"
		if diff := cmp.Diff(c.want, claims); diff != "" {
			t.Errorf("%s: claims (-want +got):\n%s", name, diff)
		}
	}
}

func TestEveryOfferHasItsOwnNonce(t *testing.T) {
	s, public := newSigner(t)
	seen := map[string]bool{}
	var mu sync.Mutex
	var wait sync.WaitGroup
	for range 20 {
		wait.Go(func() {
			offer, err := s.PromotionalV1(t.Context(), promotionalV1)
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if seen[offer.Nonce] {
				t.Errorf("nonce %q twice", offer.Nonce)
			}
			seen[offer.Nonce] = true
		})
	}
	wait.Wait()
	for _, sign := range []func() (string, error){
		func() (string, error) { return s.Promotional(t.Context(), promotional) },
		func() (string, error) { return s.Introductory(t.Context(), introductory) },
	} {
		for range 5 {
			signed, err := sign()
			if err != nil {
				t.Fatal(err)
			}
			_, claims := parseJWS(t, public, signed)
			nonce := claims["nonce"].(string)
			if seen[nonce] {
				t.Errorf("nonce %q twice", nonce)
			}
			seen[nonce] = true
		}
	}
	s.Random = bytes.NewReader(bytes.Repeat([]byte{0xff}, 16))
	offer, err := s.PromotionalV1(t.Context(), promotionalV1)
	if want := "ffffffff-ffff-4fff-bfff-ffffffffffff"; err != nil || offer.Nonce != want {
		t.Errorf("of sixteen bytes 0xff: nonce %q and error %v, want %q", offer.Nonce, err, want)
	}
}

func TestOfferWithAMissingOrOddFieldIsMalformed(t *testing.T) {
	s, _ := newSigner(t)
	v1 := func(change func(*apple.PromotionalV1)) func() (string, error) {
		return func() (string, error) {
			o := promotionalV1
			change(&o)
			got, err := s.PromotionalV1(t.Context(), o)
			return got.Signature, err
		}
	}
	v2 := func(change func(*apple.Promotional)) func() (string, error) {
		return func() (string, error) { o := promotional; change(&o); return s.Promotional(t.Context(), o) }
	}
	intro := func(change func(*apple.Introductory)) func() (string, error) {
		return func() (string, error) { o := introductory; change(&o); return s.Introductory(t.Context(), o) }
	}
	long := strings.Repeat("x", 257)
	for name, c := range map[string]struct {
		sign  func() (string, error)
		field string
	}{
		"V1 without bundle":              {v1(func(o *apple.PromotionalV1) { o.BundleID = "" }), "bundleId"},
		"V1 without product":             {v1(func(o *apple.PromotionalV1) { o.ProductID = "" }), "productId"},
		"V1 without offer":               {v1(func(o *apple.PromotionalV1) { o.OfferID = "" }), "offerId"},
		"V1 with a separator in bundle":  {v1(func(o *apple.PromotionalV1) { o.BundleID = "a\u2063b" }), "bundleId"},
		"V1 with a separator in product": {v1(func(o *apple.PromotionalV1) { o.ProductID = "a\u2063b" }), "productId"},
		"V1 with a separator in offer":   {v1(func(o *apple.PromotionalV1) { o.OfferID = "a\u2063b" }), "offerId"},
		"V1 with a separator in account": {v1(func(o *apple.PromotionalV1) { o.AppAccountToken = "a\u2063b" }), "appAccountToken"},
		"V1 with a long account":         {v1(func(o *apple.PromotionalV1) { o.AppAccountToken = long }), "appAccountToken"},
		"V1 with a space":                {v1(func(o *apple.PromotionalV1) { o.OfferID = "a b" }), "offerId"},
		"promotional without bundle":     {v2(func(o *apple.Promotional) { o.BundleID = "" }), "bundleId"},
		"promotional without product":    {v2(func(o *apple.Promotional) { o.ProductID = "" }), "productId"},
		"promotional without offer":      {v2(func(o *apple.Promotional) { o.OfferID = "" }), "offerId"},
		"promotional with a long offer":  {v2(func(o *apple.Promotional) { o.OfferID = long }), "offerId"},
		"promotional, odd transaction":   {v2(func(o *apple.Promotional) { o.TransactionID = "1/2" }), "transactionId"},
		"introductory without bundle":    {intro(func(o *apple.Introductory) { o.BundleID = "" }), "bundleId"},
		"introductory without product":   {intro(func(o *apple.Introductory) { o.ProductID = "" }), "productId"},
		"introductory of nobody":         {intro(func(o *apple.Introductory) { o.TransactionID = "" }), "transactionId"},
		"introductory, odd transaction":  {intro(func(o *apple.Introductory) { o.TransactionID = "1 2" }), "transactionId"},
	} {
		got, err := c.sign()
		if got != "" || !errors.Is(err, fault.Malformed) || fault.Code(err) != "invalid_request" || !strings.Contains(err.Error(), c.field) {
			t.Errorf("%s: got %q and error %v, want invalid_request about %s", name, got, err, c.field)
		}
	}
}

// What is our fault is no verdict on the offer.
func TestOfferWithoutAKeyIsAnOutage(t *testing.T) {
	ended, cancel := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer cancel()
	all := []string{"V1", "promotional", "introductory"}
	for name, c := range map[string]struct {
		change func(*apple.Signer)
		fail   []string
	}{
		"no key id":      {func(s *apple.Signer) { s.KeyID = "" }, all},
		"no source":      {func(s *apple.Signer) { s.PrivateKey = nil }, all},
		"no clock":       {func(s *apple.Signer) { s.Clock = nil }, all},
		"no issuer":      {func(s *apple.Signer) { s.IssuerID = "" }, all[1:]},
		"no randomness":  {func(s *apple.Signer) { s.Random = iotest.ErrReader(io.ErrUnexpectedEOF) }, all},
		"source failed":  {func(s *apple.Signer) { s.PrivateKey = keySource("", errors.New("top secret")) }, all},
		"key is junk":    {func(s *apple.Signer) { s.PrivateKey = keySource("top secret", nil) }, all},
		"no key yet":     {func(s *apple.Signer) { s.PrivateKey = keySource("", nil) }, all},
		"caller is gone": {func(s *apple.Signer) { s.PrivateKey = keySource("", ended.Err()) }, all},
	} {
		s, _ := newSigner(t)
		c.change(s)
		ctx := t.Context()
		if name == "caller is gone" {
			ctx = ended
		}
		var errs [3]error
		_, errs[0] = s.PromotionalV1(ctx, promotionalV1)
		_, errs[1] = s.Promotional(ctx, promotional)
		_, errs[2] = s.Introductory(ctx, introductory)
		failed := []string{}
		for i, err := range errs {
			if err == nil {
				continue
			}
			failed = append(failed, all[i])
			if !errors.Is(err, fault.Unavailable) || fault.Code(err) != "store_unavailable" || strings.Contains(err.Error(), "top secret") {
				t.Errorf("%s, %s: error %v, want store_unavailable without the key", name, all[i], err)
			}
		}
		if diff := cmp.Diff(c.fail, failed); diff != "" {
			t.Errorf("%s: what failed (-want +got):\n%s", name, diff)
		}
	}
}

func keySource(text string, err error) func(context.Context, bool) (string, error) {
	return func(context.Context, bool) (string, error) { return text, err }
}

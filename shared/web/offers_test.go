package web_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/apple"
	"grantline/shared/web"
)

const (
	offers  = "/v1/apple/offers"
	monthly = "com.example.premium.monthly"
)

var uuids = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

// opened gives the payload of a JWS that our key signed.
func opened(t *testing.T, jws string) object {
	t.Helper()
	parts := strings.Split(jws, ".")
	if len(parts) != 3 {
		t.Fatalf("got %d parts, want a JWS of three", len(parts))
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil || len(signature) != 64 {
		t.Fatalf("got a signature of %d bytes, %v, want 64", len(signature), err)
	}
	key, _ := purchaseKey()
	digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if !ecdsa.Verify(&key.PublicKey, digest[:], new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])) {
		t.Error("the signature is not our key's")
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var payload object
	if err := json.Unmarshal(text, &payload); err != nil {
		t.Fatal(err)
	}
	return payload
}

func TestAnOfferIsSignedAsItWasAskedFor(t *testing.T) {
	w := newWorld(t)
	for body, want := range map[string]object{
		`{"kind":"promotional","productId":"` + monthly + `","offerId":"winback50"}`: {
			"aud": "promotional-offer", "productId": monthly, "offerIdentifier": "winback50",
		},
		`{"kind":"promotional","bundleId":"com.example.app","productId":"` + monthly + `","offerId":"winback50","transactionId":"20001"}`: {
			"aud": "promotional-offer", "productId": monthly, "offerIdentifier": "winback50", "transactionId": "20001",
		},
		`{"kind":"introductory","productId":"` + monthly + `","transactionId":"20001","allow":true}`: {
			"aud": "introductory-offer-eligibility", "productId": monthly, "transactionId": "20001", "allowIntroductoryOffer": true,
		},
		`{"kind":"introductory","productId":"` + monthly + `","transactionId":"20001","allow":false}`: {
			"aud": "introductory-offer-eligibility", "productId": monthly, "transactionId": "20001", "allowIntroductoryOffer": false,
		},
	} {
		a := w.expect(200, "", "POST", offers, server(""), body)
		kind, _, _ := strings.Cut(strings.TrimPrefix(body, `{"kind":"`), `"`)
		if a.body["kind"] != kind || len(a.body) != 2 {
			t.Errorf("%s: got %s, want kind %s and jws", body, a.text, kind)
		}
		jws, _ := a.body["jws"].(string)
		got := opened(t, jws)
		if nonce, _ := got["nonce"].(string); !uuids.MatchString(nonce) {
			t.Errorf("%s: got nonce %q, want a random UUID", body, nonce)
		}
		delete(got, "nonce")
		want["iss"], want["bid"], want["iat"] = "57246542-96fe-1a63-e053-0824d011072a", appBundle, float64(start.Unix())
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: payload (-want +got):\n%s", body, d)
		}
	}
	w.nothingWritten("offers")
}

func TestAnOldOfferIsSignedForTheCustomerWhoIsNamed(t *testing.T) {
	w := newWorld(t)
	known := w.expect(200, "", "GET", me, server(""), "").body["storeIds"].(map[string]any)["appAccountToken"].(string)
	for name, c := range map[string]struct {
		h     header
		more  string
		token string
	}{
		"nobody":                   {server(""), ``, ""},
		"in the body":              {server(""), `,"customerId":"minji"`, known},
		"in the header":            {server("minji"), ``, known},
		"in both":                  {server("minji"), `,"customerId":"minji"`, known},
		"of one app, named itself": {server(""), `,"customerId":"minji","bundleId":"com.example.app"`, known},
	} {
		a := w.expect(200, "", "POST", offers, c.h, `{"kind":"promotional_v1","productId":"`+monthly+`","offerId":"winback50"`+c.more+`}`)
		nonce, _ := a.body["nonce"].(string)
		at, _ := a.body["timestamp"].(float64)
		if a.body["kind"] != "promotional_v1" || a.body["keyId"] != "ABCDE12345" || a.body["appAccountToken"] != c.token || !uuids.MatchString(nonce) || int64(at) != start.UnixMilli() {
			t.Errorf("%s: got %s, want token %q at %d", name, a.text, c.token, start.UnixMilli())
		}
		signature, err := base64.StdEncoding.DecodeString(a.body["signature"].(string))
		if err != nil {
			t.Errorf("%s: signature: %v", name, err)
		}
		digest := sha256.Sum256([]byte(strings.Join([]string{
			appBundle, "ABCDE12345", monthly, "winback50", c.token, nonce, strconv.FormatInt(int64(at), 10),
		}, "\u2063")))
		if key, _ := purchaseKey(); !ecdsa.VerifyASN1(&key.PublicKey, digest[:], signature) {
			t.Errorf("%s: the signature is not our key's over what was answered", name)
		}
	}
	w.nothingWritten("offers")
}

func TestNoTwoOffersShareANonce(t *testing.T) {
	w := newWorld(t)
	seen := map[string]bool{}
	for i := range 60 {
		var nonce string
		if i%2 == 0 {
			a := w.expect(200, "", "POST", offers, server(""), `{"kind":"promotional","productId":"p","offerId":"o"}`)
			nonce, _ = opened(t, a.body["jws"].(string))["nonce"].(string)
		} else {
			nonce, _ = w.expect(200, "", "POST", offers, server(""), `{"kind":"promotional_v1","productId":"p","offerId":"o"}`).body["nonce"].(string)
		}
		if nonce == "" || seen[nonce] {
			t.Fatalf("got the nonce %q again, want a new one for each offer", nonce)
		}
		seen[nonce] = true
	}
}

func TestAnOfferSaysWhichFieldIsWrong(t *testing.T) {
	long := strings.Repeat("x", 257)
	for body, detail := range map[string]string{
		`{}`:                     "kind should be promotional, promotional_v1 or introductory.",
		`{"kind":""}`:            "kind should be promotional, promotional_v1 or introductory.",
		`{"kind":"Promotional"}`: "kind should be promotional, promotional_v1 or introductory.",
		`{"kind":"promotional"}`: "productId is needed for the kind promotional.",

		`{"kind":"promotional","productId":"p"}`:                                                   "offerId is needed for the kind promotional.",
		`{"kind":"promotional","productId":"p","offerId":"o","customerId":"minji"}`:                "customerId is no field of the kind promotional.",
		`{"kind":"promotional","productId":"p","offerId":"o","allow":true}`:                        "allow is no field of the kind promotional.",
		`{"kind":"promotional","productId":"","offerId":"o"}`:                                      "productId should not be empty.",
		`{"kind":"promotional","productId":"p","offerId":""}`:                                      "offerId should not be empty.",
		`{"kind":"promotional","productId":"p","offerId":"o","transactionId":""}`:                  "transactionId should not be empty.",
		`{"kind":"promotional","productId":"p p","offerId":"o"}`:                                   "The offer's productId is missing or has letters that it cannot have.",
		`{"kind":"promotional","productId":"p","offerId":"o\u2063"}`:                               "The offer's offerId is missing or has letters that it cannot have.",
		`{"kind":"promotional","productId":"p","offerId":"` + long + `"}`:                          "The offer's offerId is missing or has letters that it cannot have.",
		`{"kind":"promotional","productId":"p","offerId":"o","transactionId":"1 2"}`:               "The offer's transactionId is missing or has letters that it cannot have.",
		`{"kind":"promotional","productId":"p","offerId":"o","bundleId":"com.example.other"}`:      "bundleId should be that of an app that is sold here.",
		`{"kind":"promotional","productId":"p","offerId":"o","bundleId":""}`:                       "bundleId should be that of an app that is sold here.",
		`{"kind":"promotional","productId":"p","offerId":"o","nonce":"n"}`:                         "nonce is no field of this route.",
		`{"kind":"promotional_v1","productId":"p"}`:                                                "offerId is needed for the kind promotional_v1.",
		`{"kind":"promotional_v1","offerId":"o"}`:                                                  "productId is needed for the kind promotional_v1.",
		`{"kind":"promotional_v1","productId":"p","offerId":"o","transactionId":"1"}`:              "transactionId is no field of the kind promotional_v1.",
		`{"kind":"promotional_v1","productId":"p","offerId":"o","allow":false}`:                    "allow is no field of the kind promotional_v1.",
		`{"kind":"promotional_v1","productId":"p","offerId":"o","customerId":""}`:                  "customerId should not be empty.",
		`{"kind":"introductory","productId":"p","transactionId":"1"}`:                              "allow is needed for the kind introductory.",
		`{"kind":"introductory","productId":"p","allow":true}`:                                     "transactionId is needed for the kind introductory.",
		`{"kind":"introductory","transactionId":"1","allow":true}`:                                 "productId is needed for the kind introductory.",
		`{"kind":"introductory","productId":"p","transactionId":"1","allow":"true"}`:               "allow should be true or false.",
		`{"kind":"introductory","productId":"p","transactionId":"1","allow":true,"offerId":"o"}`:   "offerId is no field of the kind introductory.",
		`{"kind":"introductory","productId":"p","transactionId":"1","allow":true,"customerId":""}`: "customerId is no field of the kind introductory.",
	} {
		w := newWorld(t)
		if a := w.expect(400, "invalid_request", "POST", offers, server(""), body); a.body["detail"] != detail {
			t.Errorf("%s: got detail %q, want %q", body, a.body["detail"], detail)
		}
		w.nothingWritten(body)
	}
	w := newWorld(t)
	w.expect(400, "invalid_customer_id", "POST", offers, server(""), `{"kind":"promotional_v1","productId":"p","offerId":"o","customerId":"a/events"}`)
	w.expect(403, "another_customer", "POST", offers, server("jisoo"), `{"kind":"promotional_v1","productId":"p","offerId":"o","customerId":"minji"}`)
	w.expect(405, "method_not_allowed", "GET", offers, server(""), "")
}

func TestOneOfSeveralAppsHasToBeNamedInAnOffer(t *testing.T) {
	w := newWorld(t)
	w.claims.Offers.BundleIDs = []string{appBundle, "com.example.second"}
	const fields = `"kind":"promotional","productId":"p","offerId":"o"`
	a := w.expect(400, "invalid_request", "POST", offers, server(""), "{"+fields+"}")
	if want := "bundleId is needed, since several apps are sold here."; a.body["detail"] != want {
		t.Errorf("got detail %q, want %q", a.body["detail"], want)
	}
	for _, bundle := range w.claims.Offers.BundleIDs {
		a := w.expect(200, "", "POST", offers, server(""), `{"bundleId":"`+bundle+`",`+fields+"}")
		if got := opened(t, a.body["jws"].(string))["bid"]; got != bundle {
			t.Errorf("got bid %v, want %s", got, bundle)
		}
	}
}

func TestWithoutAKeyNoOfferIsSignedAndNobodyIsToldMore(t *testing.T) {
	const good = `{"kind":"promotional","productId":"p","offerId":"o"}`
	w := newWorld(t)
	w.claims.Offers = web.Offers{}
	w.expect(503, "store_not_configured", "POST", offers, server(""), good)
	w.expect(400, "invalid_request", "POST", offers, server(""), `{"kind":"promotional"}`)
	w.expect(403, "secret_key_required", "POST", offers, app("minji"), good)
	w.expect(403, "secret_key_required", "POST", offers, w.user("minji"), good)
	w.expect(401, "unauthenticated", "POST", offers, nil, good)

	w = newWorld(t)
	w.secret.text = "other/production=" + hashed(secretKey) // another project's customers are not ours to sell to
	w.expect(503, "store_not_configured", "POST", offers, server(""), good)
	w.secret.text = "default/sandbox=" + hashed(secretKey)
	w.expect(200, "", "POST", offers, server(""), good)

	for _, key := range []string{"", "-----BEGIN PRIVATE KEY-----\nSECRET\n-----END PRIVATE KEY-----"} {
		for _, kind := range []string{good, `{"kind":"promotional_v1","productId":"p","offerId":"o"}`, `{"kind":"introductory","productId":"p","transactionId":"1","allow":true}`} {
			w := newWorld(t)
			w.claims.Offers.Signer = &apple.Signer{
				KeyID: "ABCDE12345", IssuerID: "issuer", Clock: w.clock,
				PrivateKey: func(context.Context, bool) (string, error) {
					if key == "" {
						return "", fmt.Errorf("%w named SECRET", errors.New("no host"))
					}
					return key, nil
				},
			}
			a := w.expect(503, "store_unavailable", "POST", offers, server(""), kind)
			if a.header.Get("Retry-After") == "" || strings.Contains(a.text, "SECRET") || strings.Contains(w.logs.String(), "SECRET") {
				t.Errorf("got %s and the log %s, want to be asked again and nothing of the key", a.text, w.logs)
			}
		}
	}
}

func TestNoLogHoldsWhatWasSigned(t *testing.T) {
	w := newWorld(t)
	a := w.expect(200, "", "POST", offers, server(""), `{"kind":"promotional_v1","productId":"p","offerId":"o","customerId":"minji"}`)
	for _, field := range []string{"signature", "nonce", "appAccountToken"} {
		if strings.Contains(w.logs.String(), a.body[field].(string)) {
			t.Errorf("a log holds the %s", field)
		}
	}
}

// confused is a signer with a bug.
type confused struct{ web.OfferSigner }

func (confused) Promotional(context.Context, apple.Promotional) (string, error) {
	return "", errors.New("a bug named SECRET")
}

func TestABugInSigningShowsNothing(t *testing.T) {
	w := newWorld(t)
	w.claims.Offers.Signer = confused{}
	if a := w.expect(500, "internal_error", "POST", offers, server(""), `{"kind":"promotional","productId":"p","offerId":"o"}`); strings.Contains(a.text, "SECRET") {
		t.Errorf("got %s, want nothing of the cause", a.text)
	}
}

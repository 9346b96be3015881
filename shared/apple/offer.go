package apple

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"

	"github.com/go-jose/go-jose/v4"

	"grantline/shared/clock"
	"grantline/shared/fault"
)

// Signer signs offers, so that the App Store sells at our price. What it signs, Apple
// honours: it belongs behind the key of a server, never behind that of an app. It may be
// used by several goroutines at once.
type Signer struct {
	KeyID    string // of the In-App Purchase key
	IssuerID string // of App Store Connect; PromotionalV1 does without
	// PrivateKey gives the In-App Purchase key as PEM of PKCS #8; fresh says that the
	// value before was refused.
	PrivateKey func(ctx context.Context, fresh bool) (string, error)
	Clock      clock.Clock
	// Random gives the nonces; nil is crypto/rand.
	Random io.Reader

	turn sync.Mutex // Random is read by one at a time
	keys keyring
}

// PromotionalV1 is an offer in the form of the original StoreKit (SKPaymentDiscount).
type PromotionalV1 struct {
	BundleID  string
	ProductID string
	OfferID   string // the promotional offer's identifier in App Store Connect
	// AppAccountToken is what the app sets as the payment's user name, "" if nothing. It
	// is signed in small letters.
	AppAccountToken string
}

// SignedOffer is all that an app needs to make the payment, beside what it asked for. It is
// good for 24 hours from Timestamp, and once.
type SignedOffer struct {
	KeyID     string
	Nonce     string // a UUID in small letters
	Timestamp int64  // milliseconds since 1970
	Signature string // base64 of ECDSA with SHA-256 in DER
}

// Promotional is an offer in the form of StoreKit 2, version 2 of the signature.
type Promotional struct {
	BundleID  string
	ProductID string
	OfferID   string // the promotional offer's identifier in App Store Connect
	// TransactionID is any transaction of the customer, or the appTransactionId. Without
	// one, "", the signature is good for every customer.
	TransactionID string
}

// Introductory overrides whether a customer may have the introductory offer.
type Introductory struct {
	BundleID      string
	ProductID     string
	Allow         bool
	TransactionID string // any transaction of the customer, or the appTransactionId
}

// The audiences of the signatures (App Store Server API, Generating JWS to sign App Store
// requests).
const (
	audiencePromotional  = "promotional-offer"
	audienceIntroductory = "introductory-offer-eligibility"
)

// PromotionalV1 signs as "Generating a signature for promotional offers" says: the fields,
// joined by the invisible separator U+2063. Errors: fault.Malformed, naming the field, for
// what cannot be signed; fault.Unavailable when there is no key.
func (s *Signer) PromotionalV1(ctx context.Context, o PromotionalV1) (SignedOffer, error) {
	if err := checkOffer(o.BundleID, o.ProductID, o.OfferID); err != nil {
		return SignedOffer{}, err
	}
	if o.AppAccountToken != "" && !signable(o.AppAccountToken) {
		return SignedOffer{}, unsignable("appAccountToken")
	}
	key, nonce, err := s.ready(ctx)
	if err != nil {
		return SignedOffer{}, err
	}
	now := s.Clock.Now().UnixMilli()
	digest := sha256.Sum256([]byte(strings.Join([]string{
		o.BundleID, s.KeyID, o.ProductID, o.OfferID, strings.ToLower(o.AppAccountToken), nonce, strconv.FormatInt(now, 10),
	}, "\u2063")))
	signature, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
	if err != nil {
		return SignedOffer{}, unsigned(errors.New("apple: the key does not sign"))
	}
	return SignedOffer{KeyID: s.KeyID, Nonce: nonce, Timestamp: now, Signature: base64.StdEncoding.EncodeToString(signature)}, nil
}

// Promotional gives the compact JWS that an app passes to StoreKit. Errors as for
// PromotionalV1.
func (s *Signer) Promotional(ctx context.Context, o Promotional) (string, error) {
	if err := checkOffer(o.BundleID, o.ProductID, o.OfferID); err != nil {
		return "", err
	}
	if o.TransactionID != "" && !isIdentifier(o.TransactionID) {
		return "", unsignable("transactionId")
	}
	return s.jws(ctx, claims{
		Audience: audiencePromotional, BundleID: o.BundleID, ProductID: o.ProductID,
		OfferID: o.OfferID, TransactionID: o.TransactionID,
	})
}

// Introductory gives the compact JWS that an app passes to StoreKit. Errors as for
// PromotionalV1.
func (s *Signer) Introductory(ctx context.Context, o Introductory) (string, error) {
	switch {
	case !signable(o.BundleID):
		return "", unsignable("bundleId")
	case !signable(o.ProductID):
		return "", unsignable("productId")
	case !isIdentifier(o.TransactionID):
		return "", unsignable("transactionId")
	}
	return s.jws(ctx, claims{
		Audience: audienceIntroductory, BundleID: o.BundleID, ProductID: o.ProductID,
		Allow: &o.Allow, TransactionID: o.TransactionID,
	})
}

// claims are the payload of a signature. Apple wants no exp.
type claims struct {
	Issuer        string `json:"iss"`
	IssuedAt      int64  `json:"iat"` // seconds since 1970
	Audience      string `json:"aud"`
	BundleID      string `json:"bid"`
	Nonce         string `json:"nonce"`
	ProductID     string `json:"productId"`
	OfferID       string `json:"offerIdentifier,omitempty"`
	Allow         *bool  `json:"allowIntroductoryOffer,omitempty"`
	TransactionID string `json:"transactionId,omitempty"`
}

func (s *Signer) jws(ctx context.Context, c claims) (string, error) {
	if s.IssuerID == "" {
		return "", unsigned(errors.New("apple: no issuer id"))
	}
	key, nonce, err := s.ready(ctx)
	if err != nil {
		return "", err
	}
	c.Issuer, c.Nonce, c.IssuedAt = s.IssuerID, nonce, s.Clock.Now().Unix()
	payload, err := json.Marshal(c)
	if err != nil {
		return "", unsigned(err)
	}
	signer, err := jose.NewSigner(
		jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: s.KeyID}},
		(&jose.SignerOptions{}).WithType("JWT"),
	)
	if err != nil {
		return "", unsigned(errors.New("apple: the key does not sign"))
	}
	object, err := signer.Sign(payload)
	if err != nil {
		return "", unsigned(errors.New("apple: the key does not sign"))
	}
	signed, err := object.CompactSerialize()
	if err != nil {
		return "", unsigned(errors.New("apple: the key does not sign"))
	}
	return signed, nil
}

// ready gets the key, and a nonce that was never used.
func (s *Signer) ready(ctx context.Context) (*ecdsa.PrivateKey, string, error) {
	if s.KeyID == "" || s.PrivateKey == nil || s.Clock == nil {
		return nil, "", unsigned(errors.New("apple: no In-App Purchase key is configured"))
	}
	key, err := s.keys.get(ctx, s.PrivateKey, false)
	if err != nil {
		return nil, "", unsigned(err)
	}
	random := s.Random
	if random == nil {
		random = rand.Reader
	}
	s.turn.Lock()
	defer s.turn.Unlock()
	var b [16]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return nil, "", unsigned(errors.New("apple: no random numbers"))
	}
	// A UUID of version 4 (RFC 9562, 5.4).
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return key, fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:]), nil
}

// checkOffer checks what every promotional offer has.
func checkOffer(bundleID, productID, offerID string) error {
	switch {
	case !signable(bundleID):
		return unsignable("bundleId")
	case !signable(productID):
		return unsignable("productId")
	case !signable(offerID):
		return unsignable("offerId")
	}
	return nil
}

// maxSignable bounds a field of an offer, in bytes. App Store Connect takes 100.
const maxSignable = 256

// signable are the visible letters of ASCII. The separator is none, so no field can pass
// for two.
func signable(field string) bool {
	odd := func(r rune) bool { return r <= ' ' || r > '~' }
	return field != "" && len(field) <= maxSignable && !strings.ContainsFunc(field, odd)
}

func unsignable(field string) error {
	return fault.New(fault.Malformed, "invalid_request", "The offer's %s is missing or has letters that it cannot have.", field)
}

func unsigned(cause error) error {
	return fault.New(fault.Unavailable, CodeUnavailable, "The offer could not be signed now; ask again.").Because(cause)
}

package web_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
	"sync"
	"testing"
	"time"

	"grantline/shared/apple"
	"grantline/shared/clock"
)

const (
	appBundle = "com.example.app"
	appID     = 6446000001
)

// appStore signs as the App Store does: a chain in its shape, under a root of its own.
type appStore struct {
	root *x509.Certificate
	x5c  []string
	key  *ecdsa.PrivateKey
}

func newAppStore() *appStore {
	made := func(key *ecdsa.PrivateKey, err error) *ecdsa.PrivateKey {
		if err != nil {
			panic(err)
		}
		return key
	}
	rootKey, middleKey := made(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)), made(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
	s := &appStore{key: made(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))}
	certificate := func(serial int64, name string, oid asn1.ObjectIdentifier, above *x509.Certificate, public *ecdsa.PublicKey, by *ecdsa.PrivateKey) *x509.Certificate {
		c := &x509.Certificate{
			SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, NotBefore: start.AddDate(-1, 0, 0), NotAfter: start.AddDate(5, 0, 0),
			BasicConstraintsValid: true, IsCA: serial < 3, KeyUsage: x509.KeyUsageDigitalSignature,
		}
		if c.IsCA {
			c.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
		}
		if oid != nil {
			c.ExtraExtensions = []pkix.Extension{{Id: oid, Value: []byte{5, 0}}}
		}
		if above == nil {
			above = c
		}
		der, err := x509.CreateCertificate(rand.Reader, c, above, public, by)
		if err != nil {
			panic(err)
		}
		s.x5c = append([]string{base64.StdEncoding.EncodeToString(der)}, s.x5c...)
		if c, err = x509.ParseCertificate(der); err != nil {
			panic(err)
		}
		return c
	}
	s.root = certificate(1, "Root", nil, nil, &rootKey.PublicKey, rootKey)
	middle := certificate(2, "Developer Relations", asn1.ObjectIdentifier{1, 2, 840, 113635, 100, 6, 2, 1}, s.root, &middleKey.PublicKey, rootKey)
	certificate(3, "Receipt Signing", asn1.ObjectIdentifier{1, 2, 840, 113635, 100, 6, 11, 1}, middle, &s.key.PublicKey, middleKey)
	return s
}

// theAppStore is the one that is believed.
var theAppStore = sync.OnceValue(newAppStore)

// sign makes a compact JWS of a payload.
func (s *appStore) sign(payload object) string {
	header, err := json.Marshal(object{"alg": "ES256", "x5c": s.x5c})
	if err != nil {
		panic(err)
	}
	body, err := json.Marshal(payload)
	if err != nil {
		panic(err)
	}
	signed := base64.RawURLEncoding.EncodeToString(header) + "." + base64.RawURLEncoding.EncodeToString(body)
	digest := sha256.Sum256([]byte(signed))
	r, v, err := ecdsa.Sign(rand.Reader, s.key, digest[:])
	if err != nil {
		panic(err)
	}
	signature := make([]byte, 64)
	r.FillBytes(signature[:32])
	v.FillBytes(signature[32:])
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// transaction is a renewal's.
func transaction() object {
	return object{
		"transactionId": "2000000900000002", "originalTransactionId": "2000000900000001", "bundleId": appBundle, "environment": "Production",
		"productId": "com.example.premium.monthly", "type": "Auto-Renewable Subscription", "inAppOwnershipType": "PURCHASED", "quantity": 1,
		"purchaseDate": start.UnixMilli(), "expiresDate": start.AddDate(0, 1, 0).UnixMilli(), "signedDate": start.UnixMilli(),
		"price": 4900000, "currency": "KRW",
	}
}

// renewed is a notification of it.
func (s *appStore) renewed() object {
	return object{
		"notificationType": "DID_RENEW", "notificationUUID": "5f2b1c0e-9d8a-4c7b-8e6f-1a2b3c4d5e6f", "version": "2.0", "signedDate": start.UnixMilli(),
		"data": object{
			"bundleId": appBundle, "appAppleId": appID, "environment": "Production", "status": 1, "signedTransactionInfo": s.sign(transaction()),
			"signedRenewalInfo": s.sign(object{
				"originalTransactionId": "2000000900000001", "productId": "com.example.premium.monthly", "autoRenewProductId": "com.example.premium.monthly",
				"autoRenewStatus": 1, "environment": "Production", "signedDate": start.UnixMilli(),
			}),
		},
	}
}

func body(signedPayload string) string {
	return `{"signedPayload":"` + signedPayload + `"}`
}

// standings is what is known of chains: nothing, or nothing to be had.
type standings struct{ down bool }

func (s *standings) Standing(context.Context, apple.Chain) (apple.Standing, error) {
	if s.down {
		return apple.Standing{}, errors.New("tables are out of reach")
	}
	return apple.Standing{}, nil
}

func newVerifier(c clock.Clock, mode apple.Mode, environments ...apple.Environment) *apple.Verifier {
	v, err := apple.NewVerifier(apple.Config{
		Roots: []*x509.Certificate{theAppStore().root}, BundleIDs: []string{appBundle}, AppID: appID, Environments: environments, Clock: c,
		Revocation: mode, Revocations: &standings{},
	})
	if err != nil {
		panic(err)
	}
	return v
}

// purchaseKey is an In-App Purchase key as App Store Connect gives it.
var purchaseKey = sync.OnceValues(func() (*ecdsa.PrivateKey, string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		panic(err)
	}
	return key, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
})

func newSigner(c clock.Clock) *apple.Signer {
	return &apple.Signer{
		KeyID: "ABCDE12345", IssuerID: "57246542-96fe-1a63-e053-0824d011072a", Clock: c,
		PrivateKey: func(context.Context, bool) (string, error) {
			_, text := purchaseKey()
			return text, nil
		},
	}
}

func TestTheAppStoreOfTheseTestsIsBelieved(t *testing.T) {
	w := newWorld(t)
	n, err := newVerifier(w.clock, apple.RevocationSoft, apple.Production).Notification(t.Context(), theAppStore().sign(theAppStore().renewed()))
	if err != nil || n.Transaction == nil || !n.Transaction.SignedDate.Equal(start.Truncate(time.Millisecond)) {
		t.Errorf("got %+v, %v, want a renewal", n, err)
	}
}

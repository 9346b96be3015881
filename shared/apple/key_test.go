package apple

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"strings"
	"testing"
)

func pemOf(t *testing.T, key any) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func curveKey(t *testing.T, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestKeyIsReadAsAppStoreConnectGivesIt(t *testing.T) {
	want := curveKey(t, elliptic.P256())
	text := pemOf(t, want)
	for name, form := range map[string]string{
		"as it is": text, "without the last line break": strings.TrimSpace(text),
		"with carriage returns": strings.ReplaceAll(text, "\n", "\r\n"), "with blank lines around": "\n\n" + text + "\n \n",
	} {
		got, err := parseKey(form)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if !got.Equal(want) {
			t.Errorf("%s: got another key than was written", name)
		}
	}
}

func TestWhatIsNoInAppPurchaseKeyIsRefusedWithoutShowingIt(t *testing.T) {
	good := pemOf(t, curveKey(t, elliptic.P256()))
	key := curveKey(t, elliptic.P256())
	sec1, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	body := strings.Split(good, "\n")[1]
	for name, text := range map[string]string{
		"nothing":              "",
		"a word":               "secret-word-in-clear",
		"the bare base64":      body,
		"an SEC 1 key":         string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: sec1})),
		"SEC 1 in PKCS's name": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: sec1})),
		"a public key":         string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})),
		"a key on P-384":       pemOf(t, curveKey(t, elliptic.P384())),
		"an Ed25519 key":       pemOf(t, edwards),
		"two keys":             good + good,
		"text before":          "key: " + good,
		"a line before":        "key:\n" + good,
		"text behind":          good + "x",
		"a line lost":          strings.Replace(good, body+"\n", "", 1),
		"too large":            good + strings.Repeat("\n", maxKey),
	} {
		got, err := parseKey(text)
		if err == nil || got != nil {
			t.Errorf("%s: got a key %t and error %v, want an error", name, got != nil, err)
			continue
		}
		if strings.Contains(err.Error(), body[:16]) || strings.Contains(err.Error(), "secret-word") {
			t.Errorf("%s: the error shows the key: %v", name, err)
		}
	}
}

func TestKeyIsParsedOncePerValueAndRotates(t *testing.T) {
	first, second := curveKey(t, elliptic.P256()), curveKey(t, elliptic.P256())
	text, wrong := pemOf(t, first), error(nil)
	asked := []bool{}
	source := func(_ context.Context, fresh bool) (string, error) {
		asked = append(asked, fresh)
		return text, wrong
	}
	var ring keyring
	one, err := ring.get(t.Context(), source, false)
	if err != nil {
		t.Fatal(err)
	}
	again, err := ring.get(t.Context(), source, true)
	if err != nil {
		t.Fatal(err)
	}
	if one != again {
		t.Error("the same text was parsed twice, want once")
	}
	if len(asked) != 2 || asked[0] || !asked[1] {
		t.Errorf("the source was asked with fresh %v, want [false true]", asked)
	}
	text = pemOf(t, second)
	if got, err := ring.get(t.Context(), source, false); err != nil || !got.Equal(second) {
		t.Errorf("after a rotation: another key than the new one, or error %v", err)
	}
	text = "junk"
	if _, err := ring.get(t.Context(), source, false); !errors.Is(err, errKey) {
		t.Errorf("junk after a good key: error %v, want %v", err, errKey)
	}
	wrong = errors.New("no such parameter: top secret")
	if _, err := ring.get(t.Context(), source, false); err == nil || strings.Contains(err.Error(), "top secret") {
		t.Errorf("the source failed: error %v, want one that does not repeat it", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := ring.get(ended, source, false); !errors.Is(err, context.Canceled) {
		t.Errorf("ended context: error %v, want %v", err, context.Canceled)
	}
}

package apple_test

import (
	"bytes"
	"crypto/x509"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"grantline/shared/apple"
	"grantline/shared/fault"
	"grantline/shared/table"
)

// Whoever stands in Apple's place can keep its word from us, and can make us believe none
// that Apple did not give about the purchase that was asked about.
func TestHostileAPIGrantsNothingAndCallsNothingFalse(t *testing.T) {
	t.Parallel()
	for name, lie := range map[string]func(w *world, mine, other string) *http.Response{
		"another purchase": func(w *world, _, other string) *http.Response {
			return apiSays(200, `{"signedTransactionInfo":"`+w.proof(other)+`"}`)
		},
		"another line that began with it": func(w *world, mine, other string) *http.Response {
			later := facts{"originalTransactionId": mine}
			for n, v := range w.transactions[other] {
				if later[n] == nil {
					later[n] = v
				}
			}
			return apiSays(200, `{"signedTransactionInfo":"`+w.signed(later)+`"}`)
		},
		"another app's": func(w *world, mine, _ string) *http.Response {
			theirs := facts{"bundleId": "com.example.other"}
			for n, v := range w.transactions[mine] {
				if theirs[n] == nil {
					theirs[n] = v
				}
			}
			return apiSays(200, `{"signedTransactionInfo":"`+w.signed(theirs)+`"}`)
		},
		"one of another's key": func(w *world, mine, _ string) *http.Response {
			return apiSays(200, `{"signedTransactionInfo":"`+w.forged(w.transactions[mine])+`"}`)
		},
		"one that nobody signed": func(w *world, mine, _ string) *http.Response {
			parts := strings.Split(w.proof(mine), ".")
			return apiSays(200, `{"signedTransactionInfo":"`+parts[0]+"."+parts[1]+`.AA"}`)
		},
		"a page":         func(*world, string, string) *http.Response { return apiSays(200, "<html>") },
		"much":           func(*world, string, string) *http.Response { return apiSays(200, strings.Repeat(" ", 5<<20)) },
		"a refusal":      func(*world, string, string) *http.Response { return apiSays(400, `{"errorCode":4000006}`) },
		"an empty word":  func(*world, string, string) *http.Response { return apiSays(200, `{"signedTransactionInfo":""}`) },
		"nothing at all": func(*world, string, string) *http.Response { return apiSays(204, "") },
	} {
		w := newWorld(t, true)
		line := w.sell("", gemsSKU, apple.Consumable, nil)
		mine := w.sell(line, gemsSKU, apple.Consumable, nil) // not the first of its line
		other := w.sell("", adFreeSKU, apple.NonConsumable, nil)
		w.instead = func(*http.Request, string) (*http.Response, error) { return lie(w, mine, other), nil }
		_, err := w.claim("ann", w.proof(mine))
		if !errors.Is(err, fault.Unavailable) {
			t.Errorf("%s: got %v, want fault.Unavailable", name, err)
		}
		for _, n := range []table.Table{table.Orders, table.Purchases} {
			if got := len(w.tables.Items(n)); got != 0 {
				t.Errorf("%s: got %d items in %s, want none", name, got, n)
			}
		}
	}
}

// A notification is of 64 KiB at most. Nobody has us take apart what is longer.
func TestWhatIsTooLongForANotificationIsNotReadAtAll(t *testing.T) {
	v := newVerifier(t, genuine(t).certs[root])
	for name, body := range map[string]string{
		"many objects": `{"a":[` + strings.Repeat("{},", 300_000) + `{}],"signedPayload":"x"}`,
		"many names":   `{"signedPayload":"x"` + strings.Repeat(`,"b":{}`, 100_000) + "}",
		"a long text":  bodyOf(strings.Repeat("x", 1<<20-100)),
	} {
		cost := testing.AllocsPerRun(1, func() {
			if _, err := v.ReadHint(t.Context(), []byte(body)); !errors.Is(err, fault.Unauthenticated) {
				t.Errorf("%s: got %v, want fault.Unauthenticated", name, err)
			}
		})
		if cost > 100 {
			t.Errorf("%s: got %v allocations for %d bytes, want them not read", name, cost, len(body))
		}
	}
}

// Somebody on the way of plain HTTP keeps an answer from before a revocation and gives it
// for as long as it would count, and longer.
func TestReplayOfAnOldAnswerUndoesNoRevocation(t *testing.T) {
	t.Parallel()
	r := newRealm(t)
	old := r.state(leaf)
	r.learn()
	v := r.verifier(apple.RevocationHard)
	token := r.sign(payload)
	verdict(t, v, token, nil)

	replay := func(w http.ResponseWriter, _ *http.Request) { w.Write(old) }
	r.say(leaf, status(ocsp.Revoked))
	r.clock.turn(13 * time.Hour)
	r.say(intermediate)
	r.refresh()
	r.answer(leaf, replay)
	for range 4 {
		r.clock.turn(16 * time.Minute)
		r.refresh()
		verdict(t, v, token, apple.ErrRevoked)
		verdict(t, r.verifier(apple.RevocationSoft), token, apple.ErrRevoked)
	}

	// One that began before the revocation was learned of counts until it ends and no longer.
	late := newRealm(t)
	kept := late.state(leaf)
	late.answer(leaf, func(w http.ResponseWriter, _ *http.Request) { w.Write(kept) })
	late.learn()
	token = late.sign(payload)
	verdict(t, late.verifier(apple.RevocationHard), token, nil)
	late.clock.turn(25 * time.Hour)
	late.say(intermediate)
	late.refresh()
	verdict(t, late.verifier(apple.RevocationHard), token, apple.ErrRevocation)
}

// FuzzOCSPAnswer: bytes from plain HTTP give no panic, and a word only where an authority of
// ours signed it, which is why the answers that it begins with are kept.
func FuzzOCSPAnswer(f *testing.F) {
	if *rewrite {
		writeAnswers(f)
	}
	file := func(name string) []byte {
		text, err := os.ReadFile(filepath.Join("testdata", "ocsp", name))
		if err != nil {
			f.Fatal(err)
		}
		return text
	}
	certificate, err := x509.ParseCertificate(file("leaf.der"))
	if err != nil {
		f.Fatal(err)
	}
	issuer, err := x509.ParseCertificate(file("intermediate.der"))
	if err != nil {
		f.Fatal(err)
	}
	var signed [][]byte
	for name, want := range saidOfLeaf {
		text := file(name)
		said, err := ocsp.ParseResponse(text, nil)
		if err != nil {
			f.Fatal(err)
		}
		if got, err := apple.ReadAnswer(text, certificate, issuer, now); got != want || err != nil && want != "" {
			f.Errorf("%s: got %q, %v, want %q", name, got, err, want)
		}
		if want != "" {
			signed = append(signed, said.TBSResponseData)
		}
		f.Add(text)
		f.Add(text[:len(text)/2])
	}
	for _, seed := range [][]byte{ocsp.TryLaterErrorResponse, nil, {0x30, 0x80}, {0x30, 0x84, 0xff, 0xff, 0xff, 0xff}} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		state, err := apple.ReadAnswer(body, certificate, issuer, now)
		if err != nil {
			if state != "" {
				t.Errorf("got %q beside error %v, want nothing", state, err)
			}
			return
		}
		said, err := ocsp.ParseResponse(body, nil)
		if err != nil {
			t.Fatalf("accepted what is no answer: %v", err)
		}
		if !slices.ContainsFunc(signed, func(one []byte) bool { return bytes.Equal(one, said.TBSResponseData) }) {
			t.Errorf("accepted %q, which nobody signed", state)
		}
	})
}

// saidOfLeaf are the files in testdata/ocsp and what they say of its leaf, "" for nothing.
var saidOfLeaf = map[string]apple.StandingState{
	"good.der": apple.StandingGood, "revoked.der": apple.StandingRevoked, "unknown.der": apple.StandingUnknown,
	"deputy.der": apple.StandingGood, "other.der": "", "stale.der": "",
}

func writeAnswers(f *testing.F) {
	f.Helper()
	r := newRealm(f, template(leaf, func(c *x509.Certificate) { c.OCSPServer = nil }), template(intermediate, func(c *x509.Certificate) { c.OCSPServer = nil }))
	for name, text := range map[string][]byte{
		"leaf.der": r.certs[leaf].Raw, "intermediate.der": r.certs[intermediate].Raw,
		"good.der": r.state(leaf), "revoked.der": r.state(leaf, status(ocsp.Revoked)), "unknown.der": r.state(leaf, status(ocsp.Unknown)),
		"deputy.der": r.state(leaf, r.deputy(intermediate)), "other.der": r.state(intermediate),
		"stale.der": r.state(leaf, r.dated(-48*time.Hour, -24*time.Hour)),
	} {
		name = filepath.Join("testdata", "ocsp", name)
		if err := os.MkdirAll(filepath.Dir(name), 0o750); err != nil {
			f.Fatal(err)
		}
		if err := os.WriteFile(name, text, 0o600); err != nil {
			f.Fatal(err)
		}
	}
}

package apple_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"grantline/shared/apple"
	"grantline/shared/fault"
)

// verdict looks at what a token is worth, and at the kind of the error.
func verdict(t *testing.T, v *apple.Verifier, token string, want error) {
	t.Helper()
	_, err := v.Transaction(t.Context(), token)
	if !errors.Is(err, want) || (err == nil) != (want == nil) {
		t.Errorf("error %v, want %v", err, want)
	}
	if want == nil {
		return
	}
	outage := errors.Is(want, apple.ErrRevocation)
	if errors.Is(err, fault.Unavailable) != outage || errors.Is(err, fault.Invalid) == outage || errors.Is(err, fault.Malformed) {
		t.Errorf("error %v, want it to be an outage: %v, and invalid otherwise", err, outage)
	}
}

func TestModesDifferOnlyInWhatIgnoranceIsWorth(t *testing.T) {
	r := newRealm(t)
	token := r.sign(payload)
	ended := r.certs[leaf].NotAfter.Add(time.Second).Sub(now)
	allEnded := r.certs[root].NotAfter.Add(time.Second).Sub(now)
	for name, c := range map[string]struct {
		stored     func()
		soft, hard error
	}{
		"nothing stored":       {func() {}, nil, apple.ErrRevocation},
		"not answered yet":     {r.meet, nil, apple.ErrRevocation},
		"both good":            {r.learn, nil, nil},
		"leaf revoked":         {func() { r.say(leaf, status(ocsp.Revoked)); r.learn() }, apple.ErrRevoked, apple.ErrRevoked},
		"intermediate revoked": {func() { r.say(intermediate, status(ocsp.Revoked)); r.learn() }, apple.ErrRevoked, apple.ErrRevoked},
		"both revoked": {func() {
			r.say(leaf, status(ocsp.Revoked))
			r.say(intermediate, status(ocsp.Revoked))
			r.learn()
		}, apple.ErrRevoked, apple.ErrRevoked},
		"one revoked, one unknown": {func() {
			r.say(leaf, status(ocsp.Unknown))
			r.say(intermediate, status(ocsp.Revoked))
			r.learn()
		}, apple.ErrRevoked, apple.ErrRevoked},
		"revoked, and years ago":        {func() { r.say(leaf, status(ocsp.Revoked)); r.learn(); r.clock.turn(ended) }, apple.ErrRevoked, apple.ErrRevoked},
		"leaf unknown":                  {func() { r.say(leaf, status(ocsp.Unknown)); r.learn() }, nil, apple.ErrRevocation},
		"intermediate unknown":          {func() { r.say(intermediate, status(ocsp.Unknown)); r.learn() }, nil, apple.ErrRevocation},
		"leaf not answered for":         {func() { r.answer(leaf, http.NotFound); r.learn() }, nil, apple.ErrRevocation},
		"intermediate not answered for": {func() { r.answer(intermediate, http.NotFound); r.learn() }, nil, apple.ErrRevocation},
		"good to the last second":       {func() { r.learn(); r.clock.turn(24*time.Hour + 59*time.Second) }, nil, nil},
		"stale":                         {func() { r.learn(); r.clock.turn(24*time.Hour + time.Minute) }, nil, apple.ErrRevocation},
		"leaf stale": {func() {
			r.say(intermediate, func(s *statement) { s.NextUpdate = s.NextUpdate.AddDate(0, 0, 7) })
			r.learn()
			r.clock.turn(25 * time.Hour)
		}, nil, apple.ErrRevocation},
		"intermediate stale": {func() {
			r.say(leaf, func(s *statement) { s.NextUpdate = s.NextUpdate.AddDate(0, 0, 7) })
			r.learn()
			r.clock.turn(25 * time.Hour)
		}, nil, apple.ErrRevocation},
		"stale, and everything ended":            {func() { r.learn(); r.clock.turn(allEnded) }, nil, nil},
		"stale, and the leaf alone ended":        {func() { r.learn(); r.clock.turn(ended) }, nil, apple.ErrRevocation},
		"never answered, and everything ended":   {func() { r.meet(); r.clock.turn(allEnded) }, nil, apple.ErrRevocation},
		"unknown, and everything ended":          {func() { r.say(leaf, status(ocsp.Unknown)); r.learn(); r.clock.turn(allEnded) }, nil, apple.ErrRevocation},
		"the table is out of reach":              {func() { r.learn(); r.failing(outOfReach) }, nil, apple.ErrRevocation},
		"out of reach, and nothing was stored":   {func() { r.failing(outOfReach) }, nil, apple.ErrRevocation},
		"out of reach, and revoked was stored":   {func() { r.say(leaf, status(ocsp.Revoked)); r.learn(); r.failing(outOfReach) }, nil, apple.ErrRevocation},
		"what is stored is of a newer programme": {func() { r.learn(); r.newerSchema() }, nil, apple.ErrRevocation},
	} {
		for mode, want := range map[apple.Mode]error{apple.RevocationSoft: c.soft, apple.RevocationHard: c.hard} {
			t.Run(fmt.Sprint(name, "/", mode), func(t *testing.T) {
				began := r.clock.Now()
				r.empty()
				c.stored()
				v := r.verifier(mode)
				verdict(t, v, token, want)
				verdict(t, v, token, want) // by heart
				r.clock.turn(began.Sub(r.clock.Now()))
			})
		}
	}
}

func TestModeIsSoftOrHardAndSaid(t *testing.T) {
	for text, want := range map[string]apple.Mode{"soft": apple.RevocationSoft, "hard": apple.RevocationHard, "": "", "Soft": "", "on": "", "soft ": "", "soft\nhard": ""} {
		got, err := apple.ParseMode(text)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: mode %q, error %v; want %q", text, got, err, want)
		}
		if err != nil && (!strings.Contains(err.Error(), "soft or hard") && !strings.Contains(err.Error(), "soft, hard") || strings.Contains(err.Error(), "\n")) {
			t.Errorf("%q: error %v, want one line that says what is possible", text, err)
		}
	}
	r := newRealm(t)
	for name, c := range map[string]struct {
		mode  apple.Mode
		knows apple.Revocations
		want  string
	}{
		"no mode":      {"", r.book(), "mode"},
		"another mode": {"on", r.book(), "mode"},
		"nobody knows": {apple.RevocationSoft, nil, "knows"},
		"nobody, hard": {apple.RevocationHard, nil, "knows"},
	} {
		given := config(r.certs[root])
		given.Revocation, given.Revocations = c.mode, c.knows
		if v, err := apple.NewVerifier(given); v != nil || err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one about %q", name, err, c.want)
		}
	}
}

func TestRevocationIsNoticedWithinFifteenMinutesByAChainInMemory(t *testing.T) {
	r := newRealm(t)
	token := r.sign(payload)
	for _, mode := range []apple.Mode{apple.RevocationSoft, apple.RevocationHard} {
		r.empty()
		r.learn()
		v := r.verifier(mode)
		verdict(t, v, token, nil)
		r.say(leaf, status(ocsp.Revoked))
		r.clock.turn(12 * time.Hour)
		verdict(t, v, token, nil) // good is stored still, and remembered from here
		r.refresh()
		r.clock.turn(15*time.Minute - time.Nanosecond)
		verdict(t, v, token, nil)
		r.clock.turn(time.Nanosecond)
		verdict(t, v, token, apple.ErrRevoked)
		if !v.Remembers(token) {
			t.Errorf("%s: the chain is not in memory any more, want it there", mode)
		}
		r.clock.turn(-13 * time.Hour)
	}
}

func TestRememberedGoodEndsWithTheAnswer(t *testing.T) {
	r := newRealm(t)
	token := r.sign(payload)
	r.say(leaf, r.dated(-time.Hour, 5*time.Minute))
	r.learn()
	v := r.verifier(apple.RevocationHard)
	verdict(t, v, token, nil)
	r.clock.turn(6*time.Minute - time.Nanosecond)
	verdict(t, v, token, nil)
	r.clock.turn(time.Nanosecond)
	verdict(t, v, token, apple.ErrRevocation)
}

func TestRevocationOnceSeenIsNeverForgotten(t *testing.T) {
	r := newRealm(t)
	token := r.sign(payload)
	r.say(leaf, status(ocsp.Revoked))
	r.learn()
	v := r.verifier(apple.RevocationSoft)
	verdict(t, v, token, apple.ErrRevoked)
	r.counted()
	r.failing(outOfReach)
	for range 3 {
		r.clock.turn(10 * 365 * 24 * time.Hour)
		verdict(t, v, token, apple.ErrRevoked)
	}
	if reads, writes := r.counted(); reads != 0 || writes != 0 {
		t.Errorf("%d reads and %d writes, want none", reads, writes)
	}
}

func TestManyTokensOfAChainCostOneReadInFifteenMinutes(t *testing.T) {
	r := newRealm(t)
	token := r.sign(payload)
	r.learn()
	v := r.verifier(apple.RevocationHard)
	r.counted()
	for minute := range 45 {
		verdict(t, v, token, nil)
		want := 0
		if minute%15 == 0 {
			want = 1
		}
		if reads, writes := r.counted(); reads != want || writes != 0 {
			t.Errorf("minute %d: %d reads and %d writes, want %d and none", minute, reads, writes, want)
		}
		r.clock.turn(time.Minute)
	}
}

// Until there is an answer, soft asks once a minute; hard asks for each token, so that the
// next one passes as soon as the answer is there.
func TestIgnoranceIsNotAskedAboutForEachTokenUnlessItStopsThem(t *testing.T) {
	r := newRealm(t)
	token := r.sign(payload)
	r.meet()
	soft, hard := r.verifier(apple.RevocationSoft), r.verifier(apple.RevocationHard)
	r.counted()
	for range 5 {
		verdict(t, soft, token, nil)
	}
	if reads, _ := r.counted(); reads != 1 {
		t.Errorf("soft: %d reads for five tokens, want 1", reads)
	}
	for range 5 {
		verdict(t, hard, token, apple.ErrRevocation)
	}
	if reads, _ := r.counted(); reads != 5 {
		t.Errorf("hard: %d reads for five tokens, want 5", reads)
	}
	r.say(leaf, status(ocsp.Revoked))
	r.refresh()
	verdict(t, soft, token, nil)
	verdict(t, hard, token, apple.ErrRevoked)
	r.clock.turn(time.Minute)
	verdict(t, soft, token, apple.ErrRevoked)
}

func TestOutageIsOverForHardAtOnce(t *testing.T) {
	r := newRealm(t)
	token := r.sign(payload)
	r.learn()
	v := r.verifier(apple.RevocationHard)
	r.failing(outOfReach)
	verdict(t, v, token, apple.ErrRevocation)
	r.failing(nil)
	verdict(t, v, token, nil)
}

func TestClockSetBackMakesNoAnswerLastLonger(t *testing.T) {
	r := newRealm(t)
	token := r.sign(payload)
	r.learn()
	v := r.verifier(apple.RevocationHard)
	verdict(t, v, token, nil)
	r.counted()
	r.clock.turn(-time.Second)
	verdict(t, v, token, nil)
	if reads, _ := r.counted(); reads != 1 {
		t.Errorf("%d reads, want 1", reads)
	}
}

// Whoever sends us tokens makes us read and write nothing, unless Apple signed them.
func TestTokenThatAppleDidNotSignCostsNoReadAndWritesNothing(t *testing.T) {
	r := newRealm(t)
	forged := newAuthority(t)
	noOID := newAuthority(t, below(r.authority, intermediate), template(leaf, func(c *x509.Certificate) { c.ExtraExtensions = nil }))
	for _, mode := range []apple.Mode{apple.RevocationSoft, apple.RevocationHard} {
		v := r.verifier(mode)
		for round, warm := range []bool{false, true} {
			if warm {
				r.learn()
				verdict(t, v, r.sign(payload), nil)
				r.clock.turn(time.Hour) // what is remembered is over
			}
			r.counted()
			for name, token := range map[string]string{
				"under another root":                    forged.sign(payload),
				"another root's, ours named":            forged.signWith(header([]string{forged.x5c()[0], forged.x5c()[1], r.x5c()[2]}), payload),
				"another intermediate's, ours named":    forged.signWith(header([]string{forged.x5c()[0], r.x5c()[1], r.x5c()[2]}), payload),
				"a genuine header, and another's key":   forged.signWith(header(r.x5c()), payload),
				"a leaf of another kind":                noOID.sign(payload),
				"signed when the chain was not valid":   r.sign(swap(t, payload, `"signedDate":1768478400000`, `"signedDate":1000000000000`)),
				"signed without a date":                 r.sign(swap(t, payload, `"signedDate":1768478400000,`, ``)),
				"expired by itself":                     r.sign(swap(t, payload, `"quantity":1`, `"quantity":1,"exp":1`)),
				"no token":                              "a.b.c",
				"its payload exchanged":                 exchanged(t, r.sign(payload)),
				"no chain":                              r.signWith(header([]string{}), payload),
				"genuine, under an algorithm of theirs": r.signWith(swap(t, header(r.x5c()), "ES256", "none"), payload),
			} {
				if _, err := v.Transaction(t.Context(), token); err == nil || errors.Is(err, apple.ErrRevocation) || errors.Is(err, apple.ErrRevoked) {
					t.Errorf("%s, %s, round %d: error %v, want a refusal of the token itself", mode, name, round, err)
				}
				if reads, writes := r.counted(); reads != 0 || writes != 0 {
					t.Errorf("%s, %s, round %d: %d reads and %d writes, want none", mode, name, round, reads, writes)
				}
			}
			if got, want := len(r.items()), round; got != want {
				t.Errorf("%s, round %d: %d chains are stored, want %d", mode, round, got, want)
			}
		}
		r.clock.turn(-time.Hour)
		r.empty()
	}
}

func exchanged(t *testing.T, token string) string {
	t.Helper()
	parts := strings.Split(token, ".")
	return parts[0] + "." + segment(swap(t, payload, `"quantity":1`, `"quantity":2`)) + "." + parts[2]
}

// Apple's own words about another app are signed as well, but prove nothing to us.
func TestTokenOfAnotherAppStoresItsChainOnceAtMost(t *testing.T) {
	r := newRealm(t)
	v := r.verifier(apple.RevocationSoft)
	for range 3 {
		verdict(t, v, r.sign(swap(t, payload, "com.example.app", "com.example.other")), apple.ErrBundle)
	}
	if n := len(r.items()); n > 1 {
		t.Errorf("%d chains are stored, want 1 at most", n)
	}
}

func TestEachOfThirtyThreeChainsStandsForItself(t *testing.T) {
	r := newRealm(t)
	signers := []*authority{r.authority}
	for range apple.MaxChains {
		signers = append(signers, newAuthority(t, below(r.authority, intermediate),
			template(leaf, func(c *x509.Certificate) { c.OCSPServer = r.certs[leaf].OCSPServer })))
	}
	v := r.verifier(apple.RevocationSoft)
	var tokens []string
	for _, s := range signers {
		tokens = append(tokens, s.sign(payload))
	}
	for range 2 {
		for i, token := range tokens {
			if _, err := v.Transaction(t.Context(), token); err != nil {
				t.Fatalf("chain %d: error %v, want none", i, err)
			}
		}
	}
	if got, want := len(r.items()), len(signers); got != want {
		t.Fatalf("%d chains are stored, want %d", got, want)
	}
	// All leaves have the same serial number, so that one answer will do for each.
	r.refresh()
	r.clock.turn(15 * time.Minute)
	hard := r.verifier(apple.RevocationHard)
	for i, token := range tokens {
		if _, err := hard.Transaction(t.Context(), token); err != nil {
			t.Errorf("chain %d: error %v, want none", i, err)
		}
	}
	r.revoke(signers[7])
	for i, token := range tokens {
		_, err := v.Transaction(t.Context(), token)
		if want := i == 7; errors.Is(err, apple.ErrRevoked) != want || (err != nil) != want {
			t.Errorf("chain %d of 33: error %v, revoked %v", i, err, want)
		}
	}
}

func TestVerifierIsSafeWhileChainsAreRevoked(t *testing.T) {
	r := newRealm(t)
	other := newAuthority(t, below(r.authority, intermediate), template(leaf, func(c *x509.Certificate) { c.OCSPServer = r.certs[leaf].OCSPServer }))
	tokens := []string{r.sign(payload), other.sign(payload)}
	v := r.verifier(apple.RevocationSoft)
	for _, token := range tokens {
		verdict(t, v, token, nil)
	}
	var over atomic.Bool
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() {
			for j := range 60 {
				revoked := over.Load() && (i+j)%2 == 0
				_, err := v.Transaction(t.Context(), tokens[(i+j)%2])
				if err != nil && (!errors.Is(err, apple.ErrRevoked) || (i+j)%2 == 1) || revoked && err == nil {
					t.Errorf("token %d, revoked %v: error %v", (i+j)%2, revoked, err)
				}
			}
		})
	}
	wg.Go(func() {
		for range 10 {
			r.clock.turn(5 * time.Minute)
			if _, err := r.book().Refresh(context.WithoutCancel(t.Context())); err != nil {
				t.Errorf("Refresh: error %v, want none", err)
			}
		}
		r.revoke(r.authority)
		r.clock.turn(15 * time.Minute)
		over.Store(true)
	})
	wg.Wait()
	verdict(t, v, tokens[0], apple.ErrRevoked)
	verdict(t, v, tokens[1], nil)
}

// A function is frozen between two invocations, and with it whatever was left running.
func TestNoGoroutineIsStarted(t *testing.T) {
	for _, file := range []string{"chain.go", "verifier.go", "revocation.go", "revocation_answer.go", "revocation_book.go"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		files := token.NewFileSet()
		parsed, err := parser.ParseFile(files, file, text, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			if g, ok := n.(*ast.GoStmt); ok {
				t.Errorf("%s: a goroutine is started, want none", files.Position(g.Pos()))
			}
			return true
		})
	}
}

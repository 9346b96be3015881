//go:build differential && local

// Package differential_test holds shared/apple against Apple's own library, unmodified, on
// generated signed data: what the library refuses we never accept, and where we are
// stricter a list says why. It needs Node, and so runs by make differential only.
package differential_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/apple"
	"grantline/shared/clock"
)

// sample is one piece of signed data and whom it is shown to: verifiers that trust root,
// accept one environment and know one app.
type sample struct {
	name        string
	kind        string // transaction, renewal, notification, appTransaction
	token       string
	environment string
	genuine     *authority // its root is the trusted one
}

// verdict is what one side said: status is empty where it accepted, and read then holds
// what it understood, of what both tell.
type verdict struct {
	status string
	read   map[string]string
}

func (v verdict) accepted() bool { return v.status == "" }

// seed is DIFFERENTIAL_SEED, or another one each time. The whole run follows from it, to
// the last byte of every token.
func seed(t *testing.T) uint64 {
	t.Helper()
	given := os.Getenv("DIFFERENTIAL_SEED")
	if given == "" {
		return rand.Uint64()
	}
	n, err := strconv.ParseUint(given, 10, 64)
	if err != nil {
		t.Fatalf("DIFFERENTIAL_SEED is %q, want a number", given)
	}
	return n
}

func TestWeAcceptNothingThatApplesLibraryRefuses(t *testing.T) {
	number := seed(t)
	t.Logf("DIFFERENTIAL_SEED=%d", number)
	tokens, certificates := generate(t, number)
	used := make([]int, len(stricter))
	t.Run("tokens", func(t *testing.T) {
		if both, neither := compare(t, tokens, used); both < 1000 || neither < 3000 {
			t.Errorf("%d accepted by both and %d refused by both: the comparison says too little", both, neither)
		}
	})
	// Nobody but Apple could sign these, each of them genuine but for the one certificate
	// that its issuer should not have signed.
	t.Run("certificates", func(t *testing.T) {
		if both, neither := compare(t, certificates, used); both < 100 || neither < 100 {
			t.Errorf("%d accepted by both and %d refused by both: the comparison says too little", both, neither)
		}
	})
	for i, n := range used {
		t.Logf("%5d  %s", n, stricter[i].why)
		if n == 0 {
			t.Errorf("nothing is refused because %s: the entry is out of date", stricter[i].why)
		}
	}
}

// compare shows the samples to both sides, fails for each on which they differ without a
// reason in stricter, and counts what they agree on.
func compare(t *testing.T, samples []sample, used []int) (both, neither int) {
	t.Helper()
	ours := make([]verdict, len(samples))
	for i, s := range samples {
		ours[i] = s.ours(t)
	}
	samples, ours = eachEnvironment(t, samples, ours)
	peer := ask(t, samples)

	looser, strict, reasons := 0, 0, map[string]int{}
	for i, s := range samples {
		us, them := ours[i], peer[i]
		switch {
		case us.accepted() && !them.accepted():
			looser++
			t.Errorf("LOOSER: %s: we accept what Apple's library refuses as %s\n%s", s, them.status, s.recipe())
		case us.accepted():
			both++
			if diff := cmp.Diff(them.read, us.read); diff != "" {
				t.Errorf("READ OTHERWISE: %s (-Apple's library +us):\n%s\n%s", s, diff, s.recipe())
			}
		case !them.accepted():
			neither++
		default:
			strict++
			reasons[us.status]++
			if n := whyStricter(s, us.status); n >= 0 {
				used[n]++
			} else {
				t.Errorf("STRICTER, and not in the list: %s: we refuse as %q\n%s", s, us.status, s.recipe())
			}
		}
		if us.accepted() != them.accepted() && strings.HasPrefix(s.name, "valid") {
			t.Errorf("%s: valid, and we say %q, Apple's library %q", s, us.status, them.status)
		}
	}
	t.Logf("%d compared: %d accepted by both, %d refused by both, %d refused by us alone, %d accepted by us alone", len(samples), both, neither, strict, looser)
	for _, reason := range slices.Sorted(maps.Keys(reasons)) {
		t.Logf("%5d  refused by us alone: %s", reasons[reason], reason)
	}
	return both, neither
}

// eachEnvironment asks a verifier that accepts both environments about every token. It may
// accept more than one bound to a single environment only if that of the other accepts, to
// which the token is then shown as well.
func eachEnvironment(t *testing.T, samples []sample, ours []verdict) ([]sample, []verdict) {
	t.Helper()
	for i, s := range samples {
		open := s.asked(t, apple.Production, apple.Sandbox)
		if open.accepted() == ours[i].accepted() {
			continue
		}
		if ours[i].accepted() {
			t.Errorf("%s: accepted where its environment alone is, but not where both are", s)
			continue
		}
		other := s
		other.name += ", shown to the other environment"
		other.environment = map[string]string{"Production": "Sandbox", "Sandbox": "Production"}[s.environment]
		samples, ours = append(samples, other), append(ours, other.ours(t))
		if last := ours[len(ours)-1]; !last.accepted() {
			t.Errorf("%s: accepted where both environments are, but by neither alone: %q", s, last.status)
		}
	}
	return samples, ours
}

func (s sample) String() string { return fmt.Sprintf("%s %q in %s", s.kind, s.name, s.environment) }

// recipe shows what a token holds, which is all made up, without its certificates.
func (s sample) recipe() string {
	head, rest, _ := strings.Cut(s.token, ".")
	body, _, _ := strings.Cut(rest, ".")
	show := func(text string) string {
		raw, err := base64.RawURLEncoding.DecodeString(text)
		if err != nil {
			return fmt.Sprintf("%q", text)
		}
		return fmt.Sprintf("%.3000q", raw)
	}
	var x5c struct {
		X5C []string `json:"x5c"`
	}
	if raw, err := base64.RawURLEncoding.DecodeString(head); err == nil && json.Unmarshal(raw, &x5c) == nil && slices.Equal(x5c.X5C, s.genuine.x5c()) {
		head = segment(strings.ReplaceAll(string(raw), strings.Join(x5c.X5C, `","`), "(the genuine three)"))
	}
	return "  header  " + show(head) + "\n  payload " + show(body)
}

// ours is what a verifier of shared/apple says that accepts one environment.
func (s sample) ours(t *testing.T) verdict {
	t.Helper()
	return s.asked(t, apple.Environment(s.environment))
}

// asked shows the sample to a verifier that has seen nothing before and to one that has
// seen all the others, which have to agree.
func (s sample) asked(t *testing.T, environments ...apple.Environment) verdict {
	t.Helper()
	cold := s.judge(t, s.verifier(t, environments))
	key := fmt.Sprint(environments) + string(s.genuine.certs[root])
	if warm[key] == nil {
		warm[key] = s.verifier(t, environments)
	}
	for range 2 {
		if again := s.judge(t, warm[key]); cmp.Diff(cold, again, cmp.AllowUnexported(verdict{})) != "" {
			t.Errorf("%s: %+v at first, and %+v from a verifier with a past", s, cold, again)
		}
	}
	return cold
}

var warm = map[string]*apple.Verifier{}

func (s sample) verifier(t *testing.T, environments []apple.Environment) *apple.Verifier {
	t.Helper()
	anchor, err := x509.ParseCertificate(s.genuine.certs[root])
	if err != nil {
		t.Fatal(err)
	}
	v, err := apple.NewVerifier(apple.Config{
		Roots:        []*x509.Certificate{anchor},
		BundleIDs:    []string{bundleID},
		AppID:        appID,
		Environments: environments,
		Clock:        clock.Fixed(now),
		Revocation:   apple.RevocationOff, // Apple's library is asked without its online checks too
	})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func (s sample) judge(t *testing.T, v *apple.Verifier) verdict {
	t.Helper()
	read, err := readers[s.kind](t.Context(), v, s.token)
	if err == nil {
		return verdict{read: read}
	}
	var reason apple.Reason
	if !errors.As(err, &reason) {
		t.Errorf("%s: %v has no reason", s, err)
	}
	return verdict{status: string(reason)}
}

// line is a sample as verdicts.mjs reads it, and what it answers.
type line struct {
	Name        string         `json:"name"`
	Kind        string         `json:"kind,omitempty"`
	Token       string         `json:"token,omitempty"`
	Environment string         `json:"environment,omitempty"`
	BundleID    string         `json:"bundleId,omitempty"`
	AppID       int64          `json:"appAppleId,omitempty"`
	Root        []byte         `json:"root,omitempty"`
	Status      string         `json:"status,omitempty"`
	Read        map[string]any `json:"read,omitempty"`
}

// ask gives the samples to Apple's library, all to one process.
func ask(t *testing.T, samples []sample) []verdict {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Minute)
	defer cancel()
	var in, out, complaints bytes.Buffer
	fmt.Fprintf(&in, "{\"now\":%d}\n", now.UnixMilli())
	lines := json.NewEncoder(&in)
	for i, s := range samples {
		must(0, lines.Encode(line{
			Name: strconv.Itoa(i), Kind: s.kind, Token: s.token, Environment: s.environment,
			BundleID: bundleID, AppID: appID, Root: s.genuine.certs[root],
		}))
	}
	node := exec.CommandContext(ctx, "node", "verdicts.mjs")
	node.Stdin, node.Stdout, node.Stderr = &in, &out, &complaints
	if err := node.Run(); err != nil {
		t.Fatalf("Apple's library could not be asked (npm ci in this folder?): %v\n%s", err, complaints.String())
	}
	verdicts := make([]verdict, 0, len(samples))
	answers := json.NewDecoder(&out)
	answers.UseNumber()
	for i, s := range samples {
		var a line
		if err := answers.Decode(&a); err != nil || a.Name != strconv.Itoa(i) || a.Status == "" {
			t.Fatalf("the answer on %s is %+v, error %v", s, a, err)
		}
		if a.Status != "OK" {
			verdicts = append(verdicts, verdict{status: a.Status})
			continue
		}
		verdicts = append(verdicts, verdict{read: peerRead(s.kind, a.Read)})
	}
	return verdicts
}

// What is of Xcode or a local test is signed by nobody. Apple's library takes it from
// whoever asks for it; nothing can be configured here that does.
func TestXcodeAndLocalTestingAreNeverAccepted(t *testing.T) {
	a := newAuthority(t)
	unsigned := func(payload string) string {
		return segment(`{"alg":"ES256","kid":"Apple_Xcode_Key","typ":"JWT","x5c":["AAAA"]}`) + "." + segment(payload) + ".AAAA"
	}
	var samples []sample
	for _, environment := range []string{"Xcode", "LocalTesting"} {
		g := &generator{t: t, a: a, seen: map[string]bool{}}
		for _, s := range g.kinds(environment) {
			if s.path == "externalPurchaseToken" {
				continue // it names no environment
			}
			payload := s.payload(s.object)
			g.add(s.path+" signed by the genuine chain", s.kind, a.sign(payload), environment)
			g.add(s.path+" signed by another", s.kind, newAuthority(t).sign(payload), environment)
			g.add(s.path+" unsigned", s.kind, unsigned(payload), environment)
		}
		samples = append(samples, g.samples...)
		_, err := apple.NewVerifier(apple.Config{
			Roots: []*x509.Certificate{must(x509.ParseCertificate(a.certs[root]))}, BundleIDs: []string{bundleID}, AppID: appID,
			Environments: []apple.Environment{apple.Production, apple.Environment(environment)}, Clock: clock.Fixed(now), Revocation: apple.RevocationOff,
		})
		if err == nil {
			t.Errorf("a verifier that accepts %s, want none", environment)
		}
	}
	for i, them := range ask(t, samples) {
		s := samples[i]
		if !them.accepted() {
			t.Errorf("%s: Apple's library refuses it as %s, so that nothing is shown", s, them.status)
		}
		for _, environments := range [][]apple.Environment{{apple.Production}, {apple.Sandbox}, {apple.Production, apple.Sandbox}} {
			if us := s.asked(t, environments...); us.accepted() {
				t.Errorf("%s: accepted where %v is", s, environments)
			}
		}
	}
}

package apple_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/apple"
	"grantline/shared/fault"
)

func TestFindLooksInProductionThenInTheSandbox(t *testing.T) {
	const (
		has = iota
		unknownID
		unknownOriginal
		unauthorised
		noApp
		noAppYet
		down
		bad
		strange // absent, but not the id
	)
	turns := []turn{
		has: found(), unknownID: fails(4040010), unknownOriginal: fails(4040005), unauthorised: unauthenticated,
		noApp: fails(4040003), noAppYet: fails(4040004), down: fails(5000000), bad: fails(4000006), strange: fails(4040019),
	}
	outage := fault.Unavailable
	for _, c := range []struct {
		production, sandbox int
		place               apple.Place // where it was found
		kind                error       // or why not
		path                string      // hosts asked, p and s; a 401 is got over once for each
	}{
		{has, has, inProduction, nil, "p"},
		{has, down, inProduction, nil, "p"},
		{unknownID, has, inSandbox, nil, "ps"},
		{unknownOriginal, has, inSandbox, nil, "ps"},
		{unauthorised, has, inSandbox, nil, "pps"},
		{noApp, has, inSandbox, nil, "ps"},
		{noAppYet, has, apple.Place{}, outage, "ppp"},
		{down, has, apple.Place{}, outage, "p"},
		{bad, has, apple.Place{}, fault.Invalid, "p"},
		{strange, has, apple.Place{}, outage, "p"},
		{unknownID, unknownID, apple.Place{}, fault.NotFound, "psps"},
		{unknownID, unknownOriginal, apple.Place{}, fault.NotFound, "psps"},
		{unauthorised, unknownID, apple.Place{}, fault.NotFound, "ppss"}, // the second look need not ask production
		{noApp, unknownID, apple.Place{}, fault.NotFound, "pss"},
		{unauthorised, unauthorised, apple.Place{}, outage, "ppss"},
		{unknownID, unauthorised, apple.Place{}, outage, "pss"},
		{unknownID, noApp, apple.Place{}, outage, "ps"},
		{noApp, noApp, apple.Place{}, outage, "ps"},
		{unauthorised, noApp, apple.Place{}, outage, "pps"},
		{unknownID, down, apple.Place{}, outage, "ps"},
		{unauthorised, down, apple.Place{}, outage, "pps"},
		{unknownID, bad, apple.Place{}, fault.Invalid, "ps"},
		{unknownID, strange, apple.Place{}, outage, "ps"},
	} {
		s := newAppStore(t)
		s.by(func(a asked) turn {
			if a.environment == apple.Production {
				return turns[c.production]
			}
			return turns[c.sandbox]
		})
		signed, place, err := s.api().Find(t.Context(), []string{apiBundle}, apiTID)
		if c.kind == nil {
			if err != nil || signed != apiSigned {
				t.Errorf("%v: got %q, %v, want the transaction", c, signed, err)
			}
		} else if _ = kindIs(t, c.path, err, c.kind); signed != "" {
			t.Errorf("%v: got %q beside the error, want nothing", c, signed)
		}
		if place != c.place {
			t.Errorf("%v: got it in %v, want %v", c, place, c.place)
		}
		if path := hosts(s); path != c.path {
			t.Errorf("%v: asked %s, want %s", c, path, c.path)
		}
		s.silent(err)
	}
}

// hosts are those asked, in order.
func hosts(s *appStore) string {
	var b strings.Builder
	for _, r := range s.requests() {
		b.WriteString(strings.ToLower(string(r.environment[:1])))
	}
	return b.String()
}

func TestFindLooksAgainForAPurchaseMadeAMomentAgo(t *testing.T) {
	for name, late := range map[string]apple.Environment{"production": apple.Production, "sandbox": apple.Sandbox} {
		s := newAppStore(t)
		s.by(func(a asked) turn {
			if len(s.clock.naps()) > 0 && a.environment == late {
				return found()
			}
			return fails(apple.APITransactionIDNotFound)
		})
		_, place, err := s.api().Find(t.Context(), []string{apiBundle}, apiTID)
		if err != nil || place.Environment != late {
			t.Errorf("%s: got it in %v, %v, want it found there", name, place, err)
		}
		if diff := cmp.Diff([]time.Duration{time.Second}, s.clock.naps()); diff != "" {
			t.Errorf("%s: pauses (-want +got):\n%s", name, diff)
		}
	}
}

func TestFindAsksForEachApp(t *testing.T) {
	const other = "com.example.other"
	unknown := fails(apple.APITransactionIDNotFound)
	for name, c := range map[string]struct {
		answers map[string]turn // by host and app; unknown where it is not said
		place   apple.Place
		kind    error
	}{
		"the other's in production":              {map[string]turn{"Production " + other: found()}, apple.Place{Environment: apple.Production, BundleID: other}, nil},
		"the other's in the sandbox":             {map[string]turn{"Sandbox " + other: found()}, apple.Place{Environment: apple.Sandbox, BundleID: other}, nil},
		"past an app that is refused everywhere": {map[string]turn{"Production " + apiBundle: unauthenticated, "Sandbox " + apiBundle: unauthenticated, "Sandbox " + other: found()}, apple.Place{Environment: apple.Sandbox, BundleID: other}, nil},
		"unknown, but one is refused everywhere": {map[string]turn{"Production " + apiBundle: unauthenticated, "Sandbox " + apiBundle: unauthenticated}, apple.Place{}, fault.Unavailable},
		"unknown":                                {nil, apple.Place{}, fault.NotFound},
	} {
		s := newAppStore(t)
		s.by(func(a asked) turn {
			if turn, ok := c.answers[string(a.environment)+" "+a.bundle]; ok {
				return turn
			}
			return unknown
		})
		_, place, err := s.api().Find(t.Context(), []string{apiBundle, other}, apiTID)
		if c.kind == nil && err != nil {
			t.Errorf("%s: got %v, want it found", name, err)
		}
		if c.kind != nil {
			_ = kindIs(t, name, err, c.kind)
		}
		if place != c.place {
			t.Errorf("%s: got it in %v, want %v", name, place, c.place)
		}
	}
}

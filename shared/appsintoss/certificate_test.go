package appsintoss_test

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/appsintoss"
	"grantline/shared/fault"
	"grantline/shared/purchase"
)

// console is Toss as its certificates are tested: it notes who asked, and refuses some.
type console struct {
	mu      sync.Mutex
	refuses map[string]bool // by the end of the certificate, written as a day
	asked   []string        // by whom, the same way
	chain   int             // certificates that came with the last one
}

func (c *console) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	shown := r.TLS.PeerCertificates
	who := day(shown[0].NotAfter)
	c.asked, c.chain = append(c.asked, who), len(shown)
	if c.refuses[who] {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	fmt.Fprint(w, paid.body)
}

// since gives who asked since it was last asked itself.
func (c *console) since() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	asked := c.asked
	c.asked = nil
	return asked
}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// hand is a clock that is moved by hand.
type hand struct {
	mu sync.Mutex
	at time.Time
}

func (h *hand) Now() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.at
}

func (h *hand) Sleep(ctx context.Context, _ time.Duration) error { return ctx.Err() }

func (h *hand) move(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.at = h.at.Add(d)
}

// drawer is where two secrets are kept, and how often somebody looked past what is cached.
type drawer struct {
	mu            sync.Mutex
	cached, fresh [2]string
	err           error
	freshly       int
}

func (d *drawer) part(i int) func(context.Context, bool) (string, error) {
	return func(_ context.Context, fresh bool) (string, error) {
		d.mu.Lock()
		defer d.mu.Unlock()
		if fresh {
			d.freshly++
			return d.fresh[i], d.err
		}
		return d.cached[i], d.err
	}
}

// holds are pairs of certificate and key, one below the other.
func holds(pairs ...[2]string) [2]string {
	var all [2]string
	for _, pair := range pairs {
		all[0], all[1] = all[0]+pair[0], all[1]+pair[1]
	}
	return all
}

// asking is a store that asks the console at the hand's time, and its log.
func asking(t *testing.T, toss *authority, c *console, d *drawer, h *hand) (*appsintoss.Store, *log) {
	t.Helper()
	var l log
	store, err := appsintoss.New(appsintoss.Config{
		URL: serve(t, toss, toss, c.ServeHTTP), Certificate: d.part(0), Key: d.part(1), CA: toss.pem(), Clock: h, Timeout: time.Minute,
		Log: slog.New(slog.NewJSONHandler(&l, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return store, &l
}

func TestNewestCertificateThatIsValidIsShown(t *testing.T) {
	toss := newAuthority(t, "toss")
	years := func(from, until int) [2]string {
		return pairOf(toss.issueFrom(now.AddDate(from, 0, 0), now.AddDate(until, 0, 0)))
	}
	day := func(years int) []string { return []string{day(now.AddDate(years, 0, 0))} }
	old, current, next, past := years(-3, 1), years(-1, 2), years(1, 5), years(-2, -1)
	both := holds(old, current)
	for name, c := range map[string]struct {
		holds [2]string
		want  []string
	}{
		"one":                        {old, day(1)},
		"the newer below":            {holds(old, current), day(2)},
		"the newer above":            {holds(current, old), day(2)},
		"keys in another order":      {[2]string{both[0], current[1] + old[1]}, day(2)},
		"not valid yet":              {holds(next, old), day(1)},
		"not valid any more":         {holds(old, past), day(1)},
		"all":                        {holds(past, next, old, current), day(2)},
		"begun later, ends earlier":  {holds(years(-4, 4), current), day(2)},
		"begun at once, ends later":  {holds(years(-1, 1), years(-1, 3)), day(3)},
		"twice":                      {holds(old, old), day(1)},
		"a key too few":              {[2]string{current[0] + old[0], old[1]}, day(1)},
		"a key too many":             {[2]string{old[0], current[1] + old[1]}, day(1)},
		"what is neither":            {[2]string{"Bag Attributes\n" + old[0], "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n" + old[1]}, day(1)},
		"certificate beside its key": {[2]string{old[0] + old[1], old[0] + old[1]}, day(1)},
	} {
		t.Run(name, func(t *testing.T) {
			seen := &console{}
			store, _ := asking(t, toss, seen, &drawer{cached: c.holds, fresh: c.holds}, &hand{at: now})
			got, err := only(store.Look(t.Context(), proof))
			if asked := seen.since(); err != nil || got.State != purchase.Paid || !cmp.Equal(asked, c.want) {
				t.Errorf("got %q, %v, asked with the certificates that end on %q, want it paid, asked with %q", got.State, err, asked, c.want)
			}
		})
	}
}

func TestChainStaysWithItsCertificate(t *testing.T) {
	toss := newAuthority(t, "toss")
	one, two := newAuthorityUnder(t, "one", toss), newAuthorityUnder(t, "two", toss)
	old, current := pairOf(one.issueFrom(now.AddDate(-2, 0, 0), now.AddDate(1, 0, 0))), pairOf(two.issueFrom(now.AddDate(-1, 0, 0), now.AddDate(2, 0, 0)))
	root, namesake := string(toss.pem()), string(newAuthorityUnder(t, "one", toss).pem())
	for name, c := range map[string]struct {
		certificates string
		shown        int
	}{
		"behind each":        {old[0] + string(one.pem()) + current[0] + string(two.pem()), 2},
		"behind all":         {current[0] + old[0] + string(two.pem()) + string(one.pem()), 2},
		"in front":           {string(one.pem()) + string(two.pem()) + current[0] + old[0], 2},
		"up to the root":     {current[0] + string(two.pem()) + root + old[0] + string(one.pem()) + root, 3},
		"of two of one name": {old[0] + namesake + string(one.pem()), 2},
		"of the other only":  {pairOf(toss.issueFrom(now.AddDate(-1, 0, 0), now.AddDate(3, 0, 0)))[0] + old[0] + string(one.pem()), 2},
	} {
		t.Run(name, func(t *testing.T) {
			held := [2]string{c.certificates, old[1] + current[1]}
			seen := &console{}
			store, _ := asking(t, toss, seen, &drawer{cached: held, fresh: held}, &hand{at: now})
			// Toss trusts the root alone, so it needs what is between.
			if got, err := only(store.Look(t.Context(), proof)); err != nil || got.State != purchase.Paid || seen.chain != c.shown {
				t.Errorf("got %q, %v and %d certificates shown, want it paid and %d", got.State, err, seen.chain, c.shown)
			}
		})
	}
}

func TestRefusedCertificateGivesWayToTheNext(t *testing.T) {
	toss, foreign := newAuthority(t, "toss"), newAuthority(t, "foreign")
	first, second, third := day(now.AddDate(3, 0, 0)), day(now.AddDate(2, 0, 0)), day(now.AddDate(1, 0, 0))
	issue := func(by *authority, years int) [2]string {
		return pairOf(by.issueFrom(now.AddDate(years-10, 0, 0), now.AddDate(years, 0, 0)))
	}
	twice := issue(toss, 3)
	many := holds(issue(toss, 2), issue(toss, 2), issue(toss, 2), issue(toss, 2), issue(toss, 2))
	for name, c := range map[string]struct {
		cached, fresh [2]string
		refuses       string
		asked, then   []string
		err           error
		freshly       int
	}{
		"by the handshake": {
			cached: holds(issue(toss, 1), issue(foreign, 3)), asked: []string{third}, then: []string{third},
		},
		"by the answer": {
			cached: holds(issue(toss, 1), issue(toss, 3)), refuses: first, asked: []string{first, third}, then: []string{third},
		},
		"both ways": {
			cached: holds(issue(foreign, 3), issue(toss, 2), issue(toss, 1)), refuses: second, asked: []string{second, third}, then: []string{third},
		},
		"all, and there is another": {
			cached: holds(issue(foreign, 3), issue(toss, 2)), fresh: issue(toss, 1), refuses: second,
			asked: []string{second, third}, then: []string{third}, freshly: 2,
		},
		"one that is there twice": {
			cached: holds(twice, twice), refuses: first, asked: []string{first}, then: []string{first}, err: fault.Unavailable, freshly: 2,
		},
		"more than anybody has": {
			cached: many, refuses: second, asked: []string{second, second, second, second}, then: []string{second, second, second, second},
			err: fault.Unavailable, freshly: 2,
		},
		"all, and there is no other": {
			cached: holds(issue(toss, 3), issue(toss, 2)), refuses: first + second,
			asked: []string{first, second}, then: []string{first, second}, err: fault.Unavailable, freshly: 2,
		},
	} {
		t.Run(name, func(t *testing.T) {
			if c.fresh == [2]string{} {
				c.fresh = c.cached
			}
			seen, vault := &console{refuses: map[string]bool{}}, &drawer{cached: c.cached, fresh: c.fresh}
			for _, end := range []string{first, second, third} {
				seen.refuses[end] = strings.Contains(c.refuses, end)
			}
			store, l := asking(t, toss, seen, vault, &hand{at: now})
			for i, want := range [][]string{c.asked, c.then} {
				_, err := store.Look(t.Context(), proof)
				if asked := seen.since(); !errors.Is(err, c.err) || !cmp.Equal(asked, want) {
					t.Errorf("look %d: got %v, let in were those that end on %q, want %v and %q", i, err, asked, c.err, want)
				}
				if i == 0 && vault.freshly != c.freshly {
					t.Errorf("got %d fresh looks at the secrets, want %d", vault.freshly, c.freshly)
				}
				silent(t, l, fmt.Sprint(err))
			}
		})
	}
}

// Toss may have stumbled when it refused the newest.
func TestCertificateThatWasRefusedIsTriedAgainOnceTheOtherIs(t *testing.T) {
	toss := newAuthority(t, "toss")
	held := holds(pairOf(toss.issue(now.AddDate(1, 0, 0))), pairOf(toss.issue(now.AddDate(2, 0, 0))))
	older, newer := day(now.AddDate(1, 0, 0)), day(now.AddDate(2, 0, 0))
	seen := &console{}
	store, _ := asking(t, toss, seen, &drawer{cached: held, fresh: held}, &hand{at: now})
	for _, step := range []struct {
		refuses string
		want    []string
	}{{newer, []string{newer, older}}, {"", []string{older}}, {older, []string{older, newer}}, {"", []string{newer}}} {
		seen.refuses = map[string]bool{step.refuses: true}
		if _, err := store.Look(t.Context(), proof); err != nil {
			t.Errorf("while %s is refused: got %v, want no error", step.refuses, err)
		}
		if asked := seen.since(); !cmp.Equal(asked, step.want) {
			t.Errorf("while %s is refused: got %q, want %q", step.refuses, asked, step.want)
		}
	}
}

func TestWithoutAValidCertificateNobodyIsAskedAndAnAlarmGoesOff(t *testing.T) {
	toss := newAuthority(t, "toss")
	good := pairOf(toss.issue(now.AddDate(1, 0, 0)))
	past, future := pairOf(toss.issue(now.Add(-time.Second))), pairOf(toss.issueFrom(now.Add(time.Second), now.AddDate(1, 0, 0)))
	other := pairOf(toss.issue(now.AddDate(1, 0, 0)))
	broken := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")}))
	brokenKey := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")}))
	for name, held := range map[string][2]string{
		"ended": past, "not begun": future, "both": holds(past, future), "nothing": {}, "no PEM": {"x", "y"}, "no key": {good[0], ""},
		"no certificate": {"", good[1]}, "another's key": {good[0], other[1]}, "the wrong way round": {good[1], good[0]},
		"unreadable": {broken, good[1]}, "unreadable key": {good[0], brokenKey}, "one of them unreadable": {good[0] + broken, good[1]},
	} {
		t.Run(name, func(t *testing.T) {
			seen, vault := &console{}, &drawer{cached: held, fresh: held}
			clock := &hand{at: now}
			store, l := asking(t, toss, seen, vault, clock)
			for range 2 {
				_, err := store.Look(t.Context(), proof)
				if asked := seen.since(); !errors.Is(err, fault.Unavailable) || len(asked) != 0 {
					t.Errorf("got %v, asked with %q, want fault.Unavailable and nobody asked", err, asked)
				}
				silent(t, l, fmt.Sprint(err))
			}
			if got := strings.Count(l.String(), `"alarm":true`); got != 1 {
				t.Errorf("got %d alarms, want one: %s", got, l.String())
			}
			vault.mu.Lock()
			vault.fresh = good
			vault.mu.Unlock()
			if _, err := store.Look(t.Context(), proof); err != nil {
				t.Errorf("once there is one: got %v, want no error", err)
			}
		})
	}
}

func TestEndOfTheLastCertificateAlarmsAMonthBeforeAndOnceADay(t *testing.T) {
	toss := newAuthority(t, "toss")
	const days = 24 * time.Hour
	from := now.AddDate(-1, 0, 0)
	ends := func(at time.Duration) [2]string { return pairOf(toss.issueFrom(from, now.Add(at))) }
	last := ends(2 * days)
	next := pairOf(toss.issueFrom(now.Add(5*days), now.Add(400*days)))
	for name, c := range map[string]struct {
		held [2]string
		want int
	}{
		"far away":                      {ends(31 * days), 0},
		"a second before the month":     {ends(30*days + time.Second), 0},
		"a month":                       {ends(30 * days), 1},
		"tomorrow":                      {ends(1 * days), 1},
		"the old one of two":            {holds(ends(2*days), ends(300*days)), 0},
		"the other way round":           {holds(ends(300*days), ends(2*days)), 0},
		"the next is not valid yet":     {holds(ends(20*days), next), 0},
		"both":                          {holds(ends(2*days), ends(29*days)), 1},
		"the one that stays has no key": {[2]string{ends(300 * days)[0] + last[0], last[1]}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			store, l := asking(t, toss, &console{}, &drawer{cached: c.held, fresh: c.held}, &hand{at: now})
			for range 3 {
				_, _ = store.Look(t.Context(), proof)
			}
			if got := strings.Count(l.String(), `"alarm":true`); got != c.want {
				t.Errorf("got %d alarms, want %d: %s", got, c.want, l.String())
			}
			if strings.Count(l.String(), `"level":"WARN"`) != 0 && c.want == 0 {
				t.Errorf("got the log %s, want no warning in an alarm's place", l.String())
			}
		})
	}

	held := ends(20 * days)
	clock := &hand{at: now}
	store, l := asking(t, toss, &console{}, &drawer{cached: held, fresh: held}, clock)
	for hour := range 72 {
		if _, err := store.Look(t.Context(), proof); err != nil {
			t.Fatal(err)
		}
		if got, want := strings.Count(l.String(), `"alarm":true`), 1+hour/24; got != want {
			t.Fatalf("after %d hours: got %d alarms, want %d", hour, got, want)
		}
		clock.move(time.Hour)
	}
	if !strings.Contains(l.String(), `"days_left":20`) || !strings.Contains(l.String(), `"days_left":18`) {
		t.Errorf("got the log %s, want the days that are left", l.String())
	}
}

func TestSecretsAreReadAgainEachHourWhileTossIsContent(t *testing.T) {
	toss := newAuthority(t, "toss")
	old, next := pairOf(toss.issue(now.Add(48*time.Hour))), pairOf(toss.issueFrom(now.Add(30*time.Minute), now.AddDate(1, 0, 0)))
	older, newer := day(now.Add(48*time.Hour)), day(now.AddDate(1, 0, 0))
	held := holds(old, next)
	seen, vault, clock := &console{}, &drawer{cached: held, fresh: held}, &hand{at: now}
	store, l := asking(t, toss, seen, vault, clock)
	look := func(what, want string, wantErr error) {
		t.Helper()
		_, err := store.Look(t.Context(), proof)
		if asked := seen.since(); !errors.Is(err, wantErr) || strings.Join(asked, " ") != want {
			t.Errorf("%s: got %v, asked with %q, want %v and %q", what, err, asked, wantErr, want)
		}
	}
	change := func(held [2]string, err error) {
		vault.mu.Lock()
		defer vault.mu.Unlock()
		vault.cached, vault.fresh, vault.err = held, held, err
	}
	look("at first", older, nil)
	clock.move(59 * time.Minute)
	look("within the hour", older, nil)

	change([2]string{"x", "y"}, nil)
	clock.move(2 * time.Minute)
	look("after somebody broke it", older, nil)
	if !strings.Contains(l.String(), `"alarm":true`) {
		t.Errorf("got the log %s, want an alarm", l.String())
	}
	change(held, errors.New("vault says no"))
	clock.move(61 * time.Minute)
	look("while the secrets are out", older, nil)
	clock.move(49 * time.Hour)
	look("after its end while the secrets are out", "", fault.Unavailable)
	silent(t, l)

	replaced := pairOf(toss.issue(now.AddDate(1, 0, 0)))
	change(replaced, nil)
	look("once they are back", newer, nil)
	clock.move(-49 * time.Hour)
	change(old, nil)
	look("on a clock that was set back", older, nil)
}

// A key may come in any of the forms that crypto/tls takes.
func TestKeysOfEveryFormAreTaken(t *testing.T) {
	toss := newAuthority(t, "toss")
	certificate, key := toss.issue(now.AddDate(1, 0, 0))
	block, _ := pem.Decode([]byte(key))
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	for name, held := range map[string][2]string{"EC": {certificate, sec1(t, parsed)}, "RSA": toss.issueRSA()} {
		seen := &console{}
		store, _ := asking(t, toss, seen, &drawer{cached: held, fresh: held}, &hand{at: now})
		if _, err := store.Look(t.Context(), proof); err != nil || len(seen.since()) != 1 {
			t.Errorf("%s: got %v, want it taken", name, err)
		}
	}
}

func TestCertificateIsShownToNobodyThatTossSendsUsTo(t *testing.T) {
	toss := newAuthority(t, "toss")
	held := pairOf(toss.issue(now.AddDate(1, 0, 0)))
	elsewhere := &console{}
	url := serve(t, toss, toss, elsewhere.ServeHTTP)
	for _, status := range []int{http.StatusFound, http.StatusTemporaryRedirect, http.StatusPermanentRedirect} {
		store, err := appsintoss.New(appsintoss.Config{
			URL:         serve(t, toss, toss, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, url, status) }),
			Certificate: (&drawer{cached: held}).part(0), Key: (&drawer{cached: held}).part(1), CA: toss.pem(), Clock: &hand{at: now}, Log: discard,
			Timeout: time.Minute,
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := store.Look(t.Context(), proof); !errors.Is(err, fault.Unavailable) || len(elsewhere.since()) != 0 {
			t.Errorf("%d: got %v, want fault.Unavailable and nobody else asked", status, err)
		}
	}
}

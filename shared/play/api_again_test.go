package play_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"grantline/shared/clock"
	"grantline/shared/fault"
	"grantline/shared/play"
)

func TestACallIsThreeRequestsAtMost(t *testing.T) {
	for name, turn := range map[string]apiTurn{
		"5xx": apiFails(500, "backendError", "x"), "quota": apiFails(429, "rateLimitExceeded", "x"), "in parallel": apiFails(409, "concurrentUpdate", "x"),
		"reset": {how: "reset"}, "cut": {status: 200, body: aProduct, how: "cut"},
	} {
		for sort, call := range map[string]func(context.Context, *play.API) error{"read": apiRead, "effect": apiEffect} {
			g := newGoogle(t, turn)
			err := call(t.Context(), g.api())
			var is error
			if name == "quota" {
				is = play.ErrQuota
			}
			apiKindIs(t, name+" "+sort, err, fault.Unavailable, is)
			// What was read from a kept connection that breaks, net/http asks once more itself.
			requests := len(g.requests())
			if name == "reset" && sort == "read" {
				requests = min(requests, 3)
			}
			if requests != 3 || len(g.clock.naps()) != 2 {
				t.Errorf("%s %s: got %d requests and the pauses %v, want 3 and 2", name, sort, len(g.requests()), g.clock.naps())
			}
			for i, want := range []time.Duration{300 * time.Millisecond, 1500 * time.Millisecond} {
				if got := g.clock.naps()[i]; got < want/2 || got > want {
					t.Errorf("%s %s: got the pause %v, want %v to %v", name, sort, got, want/2, want)
				}
			}
		}
	}
}

func TestTheInstantIsThatOfTheRequestThatSucceeded(t *testing.T) {
	g := newGoogle(t, apiFails(500, "backendError", "x"), apiSays(aProduct))
	_, asked, err := g.api().Product(t.Context(), apiPackage, apiToken)
	if want := apiNow.Add(g.clock.naps()[0]); err != nil || !asked.Equal(want) {
		t.Errorf("got %v, %v, want %v", asked, err, want)
	}
}

func TestWhatGoogleSaysToWaitIsWaited(t *testing.T) {
	limited := func(after string) apiTurn {
		turn := apiFails(429, "rateLimitExceeded", "x")
		turn.header = http.Header{"Retry-After": {after}}
		return turn
	}
	for after, want := range map[string]time.Duration{
		"7": 7 * time.Second, "30": 30 * time.Second, apiNow.Add(9 * time.Second).Format(http.TimeFormat): 9 * time.Second,
		"0": 0, "-5": 0, "soon": 0, "": 0, apiNow.Add(-time.Hour).Format(http.TimeFormat): 0,
		"31": -1, "86400": -1, "99999999999999": 0, apiNow.Add(time.Hour).Format(http.TimeFormat): -1,
	} {
		g := newGoogle(t, limited(after), apiSays(aProduct))
		_, _, err := g.api().Product(t.Context(), apiPackage, apiToken)
		naps := g.clock.naps()
		switch {
		case want < 0:
			apiKindIs(t, after, err, fault.Unavailable, play.ErrQuota)
			if len(naps) != 0 || len(g.requests()) != 1 {
				t.Errorf("%s: got the pauses %v, want none and one request", after, naps)
			}
		case err != nil || len(naps) != 1:
			t.Errorf("%s: got %v after the pauses %v, want one", after, err, naps)
		case want > 0 && naps[0] != want, want == 0 && naps[0] > 300*time.Millisecond:
			t.Errorf("%s: got the pause %v, want %v", after, naps[0], want)
		}
	}
	// Nor is it waited for where the time ends before.
	g := newGoogle(t, limited("29"), apiSays(aProduct))
	ctx, cancel := context.WithTimeout(t.Context(), 28*time.Second)
	defer cancel()
	_, _, err := g.api().Product(ctx, apiPackage, apiToken)
	apiKindIs(t, "little time", err, fault.Unavailable, play.ErrQuota)
	if len(g.clock.naps()) != 0 {
		t.Errorf("got the pauses %v, want none", g.clock.naps())
	}
}

// A second refund would be refused, which says nothing of the first.
func TestARefundIsNotRepeatedOnceItMayHaveBeenDone(t *testing.T) {
	for name, c := range map[string]struct {
		turn     apiTurn
		requests int
	}{
		"500": {apiFails(500, "backendError", "x"), 1}, "502 of nobody": {apiTurn{status: 502}, 1}, "reset": {apiTurn{how: "reset"}, 1},
		"cut": {apiTurn{status: 200, body: "{", how: "cut"}, 1}, "quota": {apiFails(429, "rateLimitExceeded", "x"), 2}, "parallel": {apiFails(409, "concurrentUpdate", "x"), 2},
		"token": {apiFails(401, "authError", "x"), 2},
	} {
		g := newGoogle(t, c.turn, apiSays(``))
		err := g.api().Refund(t.Context(), apiPackage, apiOrder, true)
		if c.requests == 1 {
			apiKindIs(t, name, err, fault.Unavailable, nil)
		} else if err != nil {
			t.Errorf("%s: got %v, want success", name, err)
		}
		if got := len(g.requests()); got != c.requests {
			t.Errorf("%s: got %d requests, want %d", name, got, c.requests)
		}
	}
}

func TestACallerThatGivesUpIsNotWaitedFor(t *testing.T) {
	g := newGoogle(t, apiTurn{how: "hang"})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-g.arrived; cancel() }()
	apiKindIs(t, "in a request", apiRead(ctx, g.api()), fault.Unavailable, nil)
	if len(g.requests()) != 1 {
		t.Errorf("got %d requests, want 1", len(g.requests()))
	}

	g = newGoogle(t, apiFails(500, "backendError", "x"))
	ctx, cancel = context.WithCancel(t.Context())
	g.clock.onNap = cancel
	apiKindIs(t, "in a pause", apiRead(ctx, g.api()), fault.Unavailable, nil)
	if len(g.requests()) != 1 {
		t.Errorf("got %d requests, want 1", len(g.requests()))
	}

	g = newGoogle(t, apiSays(aProduct))
	apiKindIs(t, "before", apiRead(ctx, g.api()), fault.Unavailable, nil)
	if len(g.requests()) != 0 {
		t.Errorf("got %d requests, want none", len(g.requests()))
	}
}

// Of voided purchases 30 may be asked for in 30 s.
func TestTheQuotaOfVoidedPurchasesIsKept(t *testing.T) {
	g := newGoogle(t, apiSays(`{}`))
	a := g.api()
	var at []time.Time
	for range 70 {
		if _, _, err := a.Voided(t.Context(), apiPackage, apiNow.Add(-time.Hour), apiNow, ""); err != nil {
			t.Fatal(err)
		}
		at = append(at, g.clock.Now())
	}
	for i := range at {
		within := 0
		for _, other := range at[i:] {
			if other.Sub(at[i]) < 30*time.Second {
				within++
			}
		}
		if within > 30 {
			t.Fatalf("got %d requests in the 30 s from %v, want 30 at most", within, at[i])
		}
	}
	if spent := g.clock.Now().Sub(apiNow); at[9] != apiNow || spent > 100*time.Second {
		t.Errorf("got 10 at %v and 70 in %v, want 10 at once and 70 in some 90 s", at[9], spent)
	}
	// It fills up again, and others are not held up by it.
	g.clock.move(time.Minute)
	naps := len(g.clock.naps())
	_, _, err := a.Voided(t.Context(), apiPackage, apiNow.Add(-time.Hour), apiNow, "")
	if _, _, other := a.Product(t.Context(), apiPackage, apiToken); err != nil || other == nil || len(g.clock.naps()) != naps {
		t.Errorf("got %v and the pauses %v, want none", err, g.clock.naps()[naps:])
	}
}

func TestAQuotaIsNotWaitedForBeyondTheDeadline(t *testing.T) {
	g := newGoogle(t, apiSays(`{}`))
	a := g.api()
	ask := func(ctx context.Context) error {
		_, _, err := a.Voided(ctx, apiPackage, apiNow.Add(-time.Hour), apiNow, "")
		return err
	}
	for range 10 {
		if err := ask(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	apiKindIs(t, "little time", ask(ctx), fault.Unavailable, play.ErrQuota)
	if len(g.requests()) != 10 || len(g.clock.naps()) != 0 {
		t.Errorf("got %d requests and the pauses %v, want 10 and none", len(g.requests()), g.clock.naps())
	}
	// The refused one took no turn.
	if err := ask(t.Context()); err != nil || g.clock.naps()[0] != 1500*time.Millisecond {
		t.Errorf("got %v after %v, want it after 1.5 s", err, g.clock.naps())
	}
	// A clock that is moved back holds up nobody.
	g.clock.move(-24 * time.Hour)
	if err := ask(t.Context()); err != nil || len(g.clock.naps()) != 1 {
		t.Errorf("got %v after %v, want it at once", err, g.clock.naps())
	}
}

// Who would wait for longer than any call lasts is told at once.
func TestAQuotaIsNotWaitedForWithoutEnd(t *testing.T) {
	g := newGoogle(t, apiSays(`{}`))
	a := g.api(func(c *play.APIConfig) { c.Clock = clock.Fixed(apiNow) })
	for i := range 40 {
		_, _, err := a.Voided(t.Context(), apiPackage, apiNow.Add(-time.Hour), apiNow, "")
		if i < 30 {
			if err != nil {
				t.Fatalf("the request %d: got %v, want its turn within 30 s", i, err)
			}
			continue
		}
		apiKindIs(t, fmt.Sprint("the request ", i), err, fault.Unavailable, play.ErrQuota)
	}
}

// 3,000 a minute of each of the others, in every minute.
func TestTheQuotaOfPurchasesIsKept(t *testing.T) {
	g := newGoogle(t, apiSays(aProduct))
	a := g.api()
	for i := range 1000 {
		if _, _, err := a.Product(t.Context(), apiPackage, fmt.Sprint("token-", i)); err != nil {
			t.Fatal(err)
		}
	}
	if len(g.clock.naps()) != 0 {
		t.Errorf("got the pauses %v, want 1,000 at once", g.clock.naps())
	}
	if err := a.ConsumeProduct(t.Context(), apiPackage, apiProduct, apiToken); err != nil || len(g.clock.naps()) != 1 || g.clock.naps()[0] != 30*time.Millisecond {
		t.Errorf("got %v after %v, want it after 30 ms", err, g.clock.naps())
	}
	g.answers(apiSays(aSubscription))
	if _, _, err := a.Subscription(t.Context(), apiPackage, apiToken); err != nil || len(g.clock.naps()) != 1 {
		t.Errorf("got %v after %v, want a subscription at once", err, g.clock.naps())
	}
}

// It may be older than why somebody asks: a pending purchase that was just paid, a notification.
func TestAnAnswerThatIsThereIsGivenToNobodyElse(t *testing.T) {
	g := newGoogle(t, apiSays(aProduct))
	a := g.api()
	for i := range 3 {
		if _, asked, err := a.Product(t.Context(), apiPackage, apiToken); err != nil || !asked.Equal(apiNow.Add(time.Duration(i)*time.Millisecond)) || len(g.requests()) != i+1 {
			t.Errorf("got one of %v by %d requests and %v, want one of its own", asked, len(g.requests()), err)
		}
		g.clock.move(time.Millisecond)
	}
	if got := a.Shared(); got != 0 {
		t.Errorf("got %d answers kept, want none", got)
	}
}

func TestFailuresAreNotKept(t *testing.T) {
	for name, turn := range map[string]apiTurn{"404": apiFails(404, "notFound", "x"), "500": apiFails(403, "forbidden", "x"), "{}": apiSays(`{}`)} {
		g := newGoogle(t, turn, apiSays(aProduct))
		a := g.api()
		if err := apiRead(t.Context(), a); err == nil {
			t.Errorf("%s: got no error", name)
		}
		if err := apiRead(t.Context(), a); err != nil {
			t.Errorf("%s: got %v, want it asked again", name, err)
		}
	}
}

// An answer under way when a purchase changes may be older than that.
func TestWhatChangesAPurchaseEndsTheSharing(t *testing.T) {
	changes := map[string]func(context.Context, *play.API) error{
		"refund": func(ctx context.Context, a *play.API) error { return a.Refund(ctx, apiPackage, apiOrder, true) },
		"forget": func(_ context.Context, a *play.API) error { a.Forget(apiPackage, apiToken); return nil },
	}
	for name, c := range apiEffects() {
		changes[name] = c.call
	}
	for name, change := range changes {
		for _, failing := range []bool{false, true} {
			g := newGoogle(t)
			g.by(func(asked apiAsked) apiTurn {
				switch {
				case asked.method == http.MethodGet:
					return apiSays(aProduct)
				case failing:
					return apiFails(500, "backendError", "x")
				}
				return apiSays(``)
			})
			under, release := make(chan struct{}, 10), make(chan struct{}, 10)
			a := g.api(func(c *play.APIConfig) {
				by := c.Transport
				c.Transport = apiTripper(func(r *http.Request) (*http.Response, error) {
					if r.Method == http.MethodGet {
						under <- struct{}{}
						<-release
					}
					return by.RoundTrip(r)
				})
			})
			var wait sync.WaitGroup
			wait.Go(func() { _ = apiRead(t.Context(), a) })
			<-under
			if err := change(t.Context(), a); (err != nil) != (failing && name != "forget") {
				t.Fatalf("%s: got %v", name, err)
			}
			wait.Go(func() { _ = apiRead(t.Context(), a) })
			<-under // its own; it would wait for the first otherwise
			release <- struct{}{}
			release <- struct{}{}
			wait.Wait()
		}
	}
}

func TestOneRequestAnswersAllWhoAskAtOnce(t *testing.T) {
	for name, c := range map[string]struct {
		turn apiTurn
		kind error
	}{"found": {apiSays(aProduct), nil}, "absent": {apiFails(404, "notFound", "x"), fault.NotFound}, "outage": {apiFails(403, "forbidden", "x"), fault.Unavailable}} {
		g := newGoogle(t, c.turn)
		under, release := make(chan struct{}, 100), make(chan struct{})
		a := g.api(func(c *play.APIConfig) {
			by := c.Transport
			c.Transport = apiTripper(func(r *http.Request) (*http.Response, error) {
				if r.Method == http.MethodGet {
					under <- struct{}{}
					<-release
				}
				return by.RoundTrip(r)
			})
		})
		var wait sync.WaitGroup
		failed := make(chan error, 50)
		wait.Go(func() { failed <- apiRead(t.Context(), a) })
		<-under
		for range 49 {
			wait.Go(func() { failed <- apiRead(t.Context(), a) })
		}
		for a.Waits() < 49 {
			time.Sleep(time.Millisecond)
		}
		close(release)
		wait.Wait()
		for range 50 {
			err := <-failed
			if (err == nil) != (c.kind == nil) {
				t.Errorf("%s: got %v", name, err)
			}
		}
		if got := len(g.requests()); got != 1 {
			t.Errorf("%s: got %d requests, want 1", name, got)
		}
	}
}

// The one who asks may run out of time; the others have theirs.
func TestTheImpatienceOfOneIsNotSharedWithOthers(t *testing.T) {
	g := newGoogle(t)
	times := 0
	g.by(func(apiAsked) apiTurn {
		times++
		if times == 1 {
			return apiTurn{how: "hang"}
		}
		return apiSays(aProduct)
	})
	a := g.api()
	ctx, cancel := context.WithCancel(t.Context())
	var wait sync.WaitGroup
	var first, second error
	wait.Go(func() { first = apiRead(ctx, a) })
	<-g.arrived
	wait.Go(func() { second = apiRead(t.Context(), a) })
	for a.Waits() < 1 {
		time.Sleep(time.Millisecond)
	}
	cancel()
	wait.Wait()
	apiKindIs(t, "the first", first, fault.Unavailable, nil)
	if second != nil {
		t.Errorf("got %v, want the second answered", second)
	}
	// Nor does one who waits wait beyond their own time.
	g.by(func(apiAsked) apiTurn { return apiTurn{how: "hang"} })
	g.clock.move(time.Minute)
	ctx, cancel = context.WithCancel(t.Context())
	patient, stop := context.WithCancel(t.Context())
	wait.Go(func() { _ = apiRead(patient, a) })
	<-g.arrived
	wait.Go(func() { second = apiRead(ctx, a) })
	for a.Waits() < 1 {
		time.Sleep(time.Millisecond)
	}
	cancel()
	for a.Waits() > 0 {
		time.Sleep(time.Millisecond)
	}
	stop()
	wait.Wait()
	apiKindIs(t, "the second", second, fault.Unavailable, nil)
}

// apiTripper is a transport of one function.
type apiTripper func(*http.Request) (*http.Response, error)

func (f apiTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

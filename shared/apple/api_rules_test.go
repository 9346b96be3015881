package apple_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/apple"
	"grantline/shared/fault"
)

const fifth = 200 * time.Millisecond

// The codes and what they mean are those of the App Store Server API's error codes.
func TestErrorCodesHaveTheirKind(t *testing.T) {
	type row struct {
		kind     error
		requests int
		pauses   []time.Duration
	}
	absent, refused, outage := row{fault.NotFound, 1, nil}, row{fault.Invalid, 1, nil}, row{fault.Unavailable, 1, nil}
	again := row{fault.Unavailable, 3, []time.Duration{fifth, time.Second}}
	for code, want := range map[int64]row{
		4040001: absent, 4040003: absent, 4040005: absent, 4040007: absent, 4040008: absent, 4040009: absent, 4040010: absent, 4040019: absent,
		4040002: again, 4040004: again, 4040006: again, 5000001: again,
		4000000: refused, 4000006: refused, 4000047: refused, 4000187: refused, 4009999: refused, // the last is unknown
		4030004: refused, 4030007: refused, 4039999: refused, 4090000: refused, 4099999: refused,
		4010000: {fault.Unavailable, 2, nil}, // with a fresh key
		4290000: outage, 5000000: outage, 5009999: outage, 5030000: outage,
		4040099: outage, 4040014: outage, 4180000: outage, 3000000: outage, // nobody knows what is absent
	} {
		s := newAppStore(t, fails(code))
		_, err := s.api().RefundHistory(t.Context(), inProduction, apiTID, "")
		failed := kindIs(t, fmt.Sprint(code), err, want.kind)
		if failed.Code != code || failed.Status != int(code/10_000) || failed.Endpoint != "refund history" {
			t.Errorf("%d: got %v, want the code, status %d and the endpoint", code, failed, code/10_000)
		}
		if got := len(s.requests()); got != want.requests {
			t.Errorf("%d: got %d requests, want %d", code, got, want.requests)
		}
		if diff := cmp.Diff(want.pauses, s.clock.naps()); diff != "" {
			t.Errorf("%d: pauses (-want +got):\n%s", code, diff)
		}
		s.silent(err)
	}
}

// What is no word of Apple's application says nothing about what was asked.
func TestErrorsThatAppleDidNotWriteAreAnOutage(t *testing.T) {
	for name, c := range map[string]struct {
		turn     turn
		requests int
	}{
		"400 page":          {turn{status: 400, body: "<html>"}, 1},
		"403 page":          {turn{status: 403, body: "<html>"}, 1},
		"404 page":          {turn{status: 404, body: "not found"}, 1},
		"404 without code":  {turn{status: 404, body: `{"errorMessage":"x"}`}, 1},
		"404 null":          {turn{status: 404, body: `{"errorCode":null}`}, 1},
		"404 text":          {turn{status: 404, body: `{"errorCode":"4040010"}`}, 1},
		"404 list":          {turn{status: 404, body: `[{"errorCode":4040010}]`}, 1},
		"404 code twice":    {turn{status: 404, body: `{"errorCode":4040010,"errorCode":4040010}`}, 1},
		"404 of a 400":      {turn{status: 404, body: `{"errorCode":4000006}`}, 1},
		"404 long":          {turn{status: 404, body: `{"errorCode":40400101}`}, 1},
		"404 short":         {turn{status: 404, body: `{"errorCode":404}`}, 1},
		"404 of a 500":      {turn{status: 404, body: `{"errorCode":5000001}`}, 1},
		"400 of a 404":      {turn{status: 400, body: `{"errorCode":4040010}`}, 1},
		"500 of a 404":      {turn{status: 500, body: `{"errorCode":4040010}`}, 1},
		"500 empty":         {turn{status: 500}, 3},
		"500 without code":  {turn{status: 500, body: `{}`}, 3},
		"502 page":          {turn{status: 502, body: "<html>" + apiSaying}, 3},
		"503 page":          {turn{status: 503, body: "later"}, 3},
		"599":               {turn{status: 599}, 3},
		"600":               {turn{status: 600}, 1},
		"reset":             {turn{how: "reset"}, 3},
		"cut":               {turn{status: 200, body: found().body, how: "cut"}, 3},
		"cut error":         {turn{status: 404, body: fails(4040010).body, how: "cut"}, 3},
		"huge":              {turn{status: 200, body: `{"signedTransactionInfo":"a.b.c"}` + strings.Repeat(" ", 4<<20)}, 1},
		"huge error":        {turn{status: 404, body: `{"errorCode":4040010}` + strings.Repeat(" ", 4<<20)}, 1},
		"huge header":       {turn{status: 200, body: found().body, header: http.Header{"X-Long": {strings.Repeat("x", 1<<20)}}}, 3},
		"moved permanently": {turn{status: 301, body: found().body, header: http.Header{"Location": {"/inApps/v1/transactions/1"}}}, 1},
		"moved":             {turn{status: 307, body: found().body, header: http.Header{"Location": {"/inApps/v1/transactions/1"}}}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := newAppStore(t, c.turn)
			signed, err := s.api().Transaction(t.Context(), inProduction, apiTID)
			failed := kindIs(t, name, err, fault.Unavailable)
			if failed.Code != 0 || signed != "" {
				t.Errorf("got the code %d and %q, want none", failed.Code, signed)
			}
			if got := len(s.requests()); got != c.requests {
				t.Errorf("got %d requests, want %d", got, c.requests)
			}
			s.silent(err)
		})
	}
}

// Every endpoint may be repeated, so that every one is.
func TestFailureThatPassesIsGotOverAtEveryEndpoint(t *testing.T) {
	for _, e := range endpoints() {
		for name, first := range map[string]turn{"5000001": fails(5000001), "503": {status: 503}, "reset": {how: "reset"}, "4040006": fails(4040006)} {
			s := newAppStore(t, first, first, e.answer)
			got, err := e.call(t.Context(), s.api(), inProduction)
			if err != nil || !cmp.Equal(got, e.want) {
				t.Errorf("%s after %s: got %v, %v, want %v", e.name, name, got, err, e.want)
			}
			all := s.requests()
			if len(all) != 3 {
				t.Fatalf("%s after %s: got %d requests, want 3", e.name, name, len(all))
			}
			for _, r := range all[1:] {
				if r.method != all[0].method || r.path != all[0].path || r.body != all[0].body || r.query.Encode() != all[0].query.Encode() {
					t.Errorf("%s after %s: got another request the second time, want the same", e.name, name)
				}
			}
		}
	}
}

// A purchase made a moment ago may not be known everywhere.
func TestUnknownTransactionIsAskedForOnceMore(t *testing.T) {
	unknown := fails(apple.APITransactionIDNotFound)
	for _, e := range endpoints() {
		settles := e.name == "Get Transaction Info" || e.name == "Get All Subscription Statuses"
		s := newAppStore(t, unknown, e.answer)
		got, err := e.call(t.Context(), s.api(), inProduction)
		if settles {
			if err != nil || !cmp.Equal(got, e.want) || !cmp.Equal(s.clock.naps(), []time.Duration{time.Second}) {
				t.Errorf("%s: got %v, %v after pauses %v, want the answer after a second", e.name, got, err, s.clock.naps())
			}
		} else if _ = kindIs(t, e.name, err, fault.NotFound); len(s.requests()) != 1 {
			t.Errorf("%s: got %d requests, want 1", e.name, len(s.requests()))
		}
	}
	s := newAppStore(t, unknown)
	_, err := s.api().Transaction(t.Context(), inProduction, apiTID)
	if _ = kindIs(t, "still unknown", err, fault.NotFound); len(s.requests()) != 2 {
		t.Errorf("still unknown: got %d requests, want 2", len(s.requests()))
	}
	s = newAppStore(t, fails(5000001), fails(5000001), unknown, found())
	if _, err := s.api().Transaction(t.Context(), inProduction, apiTID); err != nil {
		t.Errorf("after two failures: got %v, want the second look all the same", err)
	}
	s = newAppStore(t, unknown, fails(5000001))
	_, err = s.api().Transaction(t.Context(), inProduction, apiTID)
	if _ = kindIs(t, "second look fails", err, fault.Unavailable); len(s.requests()) != 3 {
		t.Errorf("second look fails: got %d requests, want 3 in all", len(s.requests()))
	}
}

func TestRateLimitIsWaitedForOnlyIfItIsNear(t *testing.T) {
	limit := func(value ...string) turn {
		return turn{status: 429, body: fails(4290000).body, header: http.Header{"Retry-After": value}}
	}
	milli := func(d time.Duration) string { return fmt.Sprint(apiNow.Add(d).UnixMilli()) }
	for name, c := range map[string]struct {
		turn turn
		wait time.Duration // 0 where it is given up
		at   time.Time     // what the error says then
	}{
		"near":            {limit(milli(2500 * time.Millisecond)), 2500 * time.Millisecond, time.Time{}},
		"at the bound":    {limit(milli(3 * time.Second)), 3 * time.Second, time.Time{}},
		"beyond it":       {limit(milli(3*time.Second + time.Millisecond)), 0, apiNow.Add(3*time.Second + time.Millisecond)},
		"very near":       {limit(milli(time.Millisecond)), fifth, time.Time{}},
		"just passed":     {limit(milli(-time.Minute)), fifth, time.Time{}},
		"far":             {limit(milli(time.Hour)), 0, apiNow.Add(time.Hour)},
		"absurd":          {limit(milli(25 * time.Hour)), 0, time.Time{}},
		"long ago":        {limit(milli(-25 * time.Hour)), 0, time.Time{}},
		"in seconds":      {limit("2"), 0, time.Time{}},
		"as UNIX seconds": {limit(fmt.Sprint(apiNow.Unix() + 1)), 0, time.Time{}},
		"a date":          {limit("Sun, 22 Nov 2026 06:00:02 GMT"), 0, time.Time{}},
		"negative":        {limit("-1"), 0, time.Time{}},
		"overflow":        {limit("9223372036854775807"), 0, time.Time{}},
		"missing":         {turn{status: 429, body: fails(4290000).body}, 0, time.Time{}},
		"no JSON":         {turn{status: 429, body: "slow down", header: http.Header{"Retry-After": {milli(time.Second)}}}, time.Second, time.Time{}},
	} {
		s := newAppStore(t, c.turn, found())
		_, err := s.api().Transaction(t.Context(), inProduction, apiTID)
		if c.wait > 0 {
			if err != nil || !cmp.Equal(s.clock.naps(), []time.Duration{c.wait}) {
				t.Errorf("%s: got %v after pauses %v, want the answer after %v", name, err, s.clock.naps(), c.wait)
			}
			continue
		}
		failed := kindIs(t, name, err, fault.Unavailable)
		if failed.Status != 429 || !failed.RetryAt.Equal(c.at) || len(s.requests()) != 1 || len(s.clock.naps()) != 0 {
			t.Errorf("%s: got %v until %v after %d requests, want a 429 until %v after 1", name, failed, failed.RetryAt, len(s.requests()), c.at)
		}
		s.silent(err)
	}
	s := newAppStore(t)
	s.by(func(asked) turn {
		return turn{status: 429, header: http.Header{"Retry-After": {fmt.Sprint(s.clock.Now().Add(time.Second).UnixMilli())}}}
	})
	_, err := s.api().Transaction(t.Context(), inProduction, apiTID)
	if failed := kindIs(t, "for ever", err, fault.Unavailable); len(s.requests()) != 3 || failed.RetryAt.IsZero() {
		t.Errorf("for ever: got %d requests and %v, want 3 and when to come back", len(s.requests()), failed.RetryAt)
	}
}

// soon is a context that says it ends in half a second, and never does.
type soon struct{ context.Context }

func (soon) Deadline() (time.Time, bool) { return time.Now().Add(500 * time.Millisecond), true }

// stub answers without a network.
type stub struct {
	turns []turn
	asked int
}

func (s *stub) RoundTrip(*http.Request) (*http.Response, error) {
	t := s.turns[min(s.asked, len(s.turns)-1)]
	s.asked++
	header := t.header
	if header == nil {
		header = http.Header{}
	}
	return &http.Response{StatusCode: t.status, Header: header, Body: io.NopCloser(strings.NewReader(t.body)), ContentLength: -1}, nil
}

func TestNoWaitGoesBeyondTheCallersTime(t *testing.T) {
	near := http.Header{"Retry-After": {fmt.Sprint(apiNow.Add(2 * time.Second).UnixMilli())}}
	for name, c := range map[string]struct {
		turns  []turn
		asked  int
		pauses []time.Duration
	}{
		"limit":   {[]turn{{status: 429, header: near}}, 1, nil},
		"failure": {[]turn{{status: 503}}, 2, []time.Duration{fifth}}, // and no whole second
		"unknown": {[]turn{fails(apple.APITransactionIDNotFound)}, 1, nil},
	} {
		s := newAppStore(t, found())
		transport := &stub{turns: c.turns}
		api := s.api(func(a *apple.APIConfig) { a.Transport = transport })
		_, err := api.Transaction(soon{t.Context()}, inProduction, apiTID)
		_ = kindIs(t, name, err, fault.Unavailable)
		if transport.asked != c.asked || !cmp.Equal(c.pauses, s.clock.naps()) {
			t.Errorf("%s: got %d requests with pauses %v, want %d with %v", name, transport.asked, s.clock.naps(), c.asked, c.pauses)
		}
	}
	s := newAppStore(t, found())
	api := s.api(func(a *apple.APIConfig) { a.Transport = &stub{turns: []turn{fails(apple.APITransactionIDNotFound)}} })
	_, _, err := api.Find(soon{t.Context()}, []string{apiBundle}, apiTID)
	_ = kindIs(t, "Find", err, fault.Unavailable)
	if naps := s.clock.naps(); len(naps) > 0 {
		t.Errorf("Find: got pauses %v, want none", naps)
	}
}

// Without the second look nobody knows whether the purchase is only a moment old.
func TestAbsenceWithoutTimeForTheSecondLookIsNotSure(t *testing.T) {
	s := newAppStore(t, fails(apple.APITransactionIDNotFound))
	api := s.api()
	_, err := api.Transaction(briefly(t, s), inProduction, apiTID)
	if failed := kindIs(t, "Transaction", err, fault.Unavailable); failed.Code != apple.APITransactionIDNotFound {
		t.Errorf("got %v, want the code kept", failed)
	}
	_, _, err = api.Find(briefly(t, s), []string{apiBundle}, apiTID)
	_ = kindIs(t, "Find", err, fault.Unavailable)
}

// briefly ends when somebody wants to sleep.
func briefly(t *testing.T, s *appStore) context.Context {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	s.clock.mu.Lock()
	defer s.clock.mu.Unlock()
	s.clock.onNap = cancel
	return ctx
}

func TestCallEndsWithItsCaller(t *testing.T) {
	s := newAppStore(t, turn{how: "hang"})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		<-s.arrived
		cancel()
	}()
	_, err := s.api().Transaction(ctx, inProduction, apiTID)
	_ = kindIs(t, "given up", err, fault.Unavailable)
	if got := len(s.requests()); got != 1 || !strings.Contains(err.Error(), "the caller gave up") {
		t.Errorf("got %v after %d requests, want that the caller gave up after 1", err, got)
	}
	_, err = s.api().Transaction(ctx, inProduction, apiTID)
	_ = kindIs(t, "given up before", err, fault.Unavailable)
	if got := len(s.requests()); got != 1 {
		t.Errorf("given up before: got %d requests, want no more", got-1)
	}
	s.silent(err)
}

// An attempt has its own bound; the next one may be answered.
func TestAttemptThatHangsIsGivenUp(t *testing.T) {
	s := newAppStore(t, turn{how: "hang"}, turn{how: "hang"}, turn{how: "hang"}, found())
	api := s.api(func(c *apple.APIConfig) { c.Attempt = 200 * time.Millisecond })
	_, err := api.Transaction(t.Context(), inProduction, apiTID)
	_ = kindIs(t, "hangs", err, fault.Unavailable)
	if !strings.Contains(err.Error(), "no answer in time") {
		t.Errorf("got %v, want the reason", err)
	}
	if diff := cmp.Diff([]time.Duration{fifth, time.Second}, s.clock.naps()); diff != "" {
		t.Errorf("pauses (-want +got):\n%s", diff)
	}
	s.silent(err)
}

func TestHostThatIsNotThereIsAnOutage(t *testing.T) {
	// Nobody listens there: the kernel gives no port below 1024 of itself.
	const address = "https://127.0.0.1:1"
	s := newAppStore(t, found())
	for name, c := range map[string]struct {
		change func(*apple.APIConfig)
		why    string
	}{
		"nobody listens": {func(c *apple.APIConfig) { c.URL = address }, "the connection failed at dial"},
		"a stranger":     {func(c *apple.APIConfig) { c.Transport = nil }, "the host's certificate is not trusted"},
	} {
		_, err := s.api(c.change).Transaction(t.Context(), inProduction, apiTID)
		_ = kindIs(t, name, err, fault.Unavailable)
		if !strings.Contains(err.Error(), c.why) {
			t.Errorf("%s: got %v, want %q in it", name, err, c.why)
		}
		s.silent(err)
	}
	if got := len(s.requests()); got != 0 {
		t.Errorf("got %d requests, want none", got)
	}
}

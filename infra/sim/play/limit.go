package play

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"grantline/infra/sim/stage"
)

// The limits of voidedpurchases.list, beside those of a minute (Voided Purchases API).
const (
	voidedInHalfMinute = 30
	voidedInDay        = 6000
)

// count is of the calls of one stretch of the clock.
type count struct {
	begins time.Time
	calls  int
}

// another counts one more call and says whether it is above the limit; 0 is none. The caller
// holds mu.
func (s *Simulator) another(name string, stretch time.Duration, limit int) bool {
	c := s.asked[name]
	if begins := s.stage.Now().Truncate(stretch); !c.begins.Equal(begins) {
		c = count{begins: begins}
	}
	c.calls++
	s.asked[name] = c
	return limit > 0 && c.calls > limit
}

// overQuota refuses what is one call too many.
func (s *Simulator) overQuota(e endpoint) *apiError {
	if b, ok := s.busy.Take(func(b Busy) bool { return b.Endpoint == "" || b.Endpoint == e.name }); ok {
		refused := *rateLimited
		refused.code, refused.again = or(b.Status, refused.code), time.Duration(b.RetryAfter)
		return &refused
	}
	if e.bucket == "" {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	limit := *s.settings.PerMinute
	if s.another(e.bucket, time.Minute, limit) {
		return rateLimited
	}
	if e.bucket == voidedCalls && limit > 0 {
		if s.another("voided in half a minute", 30*time.Second, voidedInHalfMinute) {
			return rateLimited
		}
		if s.another("voided in a day", 24*time.Hour, voidedInDay) {
			return dailyLimit
		}
	}
	return nil
}

// Busy has the next calls answered with rateLimitExceeded.
type Busy struct {
	Endpoint   string         `json:"endpoint,omitempty"`   // "" is any
	Status     int            `json:"status,omitempty"`     // 429 or 403; 0 is 429
	RetryAfter stage.Duration `json:"retryAfter,omitempty"` // 0 writes no Retry-After
	Count      int            `json:"count,omitempty"`      // 0 is 1
}

// RateLimit scripts rateLimitExceeded.
func (s *Simulator) RateLimit(b Busy) error {
	if b.Status != 0 && b.Status != http.StatusTooManyRequests && b.Status != http.StatusForbidden {
		return fmt.Errorf("status %d: 429 or 403", b.Status)
	}
	if b.RetryAfter < 0 {
		return errors.New("retryAfter: 0 or more")
	}
	if err := checkEndpoint(b.Endpoint); err != nil {
		return err
	}
	s.busy.Add(b.Count, b)
	return nil
}

func checkEndpoint(name string) error {
	if name == "" || slices.ContainsFunc(endpoints, func(e endpoint) bool { return e.name == name }) {
		return nil
	}
	return fmt.Errorf("endpoint %q is none of the API's", name)
}

// Failure makes the next calls fail with one of Google's reasons.
type Failure struct {
	Reason   string `json:"reason"`
	Status   int    `json:"status,omitempty"`   // 0 is the reason's own; a must for one that nobody knows
	Endpoint string `json:"endpoint,omitempty"` // "" is any
	ID       string `json:"id,omitempty"`       // a token, product or order in the path; "" is any
	Count    int    `json:"count,omitempty"`    // 0 is 1
}

func (f Failure) fits(e endpoint, q *query) bool {
	return (f.Endpoint == "" || f.Endpoint == e.name) && (f.ID == "" || slices.Contains(q.given, f.ID))
}

func (f Failure) refusal() *apiError {
	e, ok := reasons[f.Reason]
	if !ok {
		e = apiError{reason: f.Reason, message: "Simulated error."}
	}
	e.code = or(f.Status, e.code)
	return &e
}

// Fail scripts refusals.
func (s *Simulator) Fail(f Failure) error {
	switch known, ok := reasons[f.Reason]; {
	case f.Reason == "":
		return errors.New("reason: which, such as userInsufficientPermission")
	case !ok && f.Status == 0:
		return fmt.Errorf("reason %q is none that we know: give its status too", f.Reason)
	case or(f.Status, known.code) < 400 || f.Status > 599:
		return fmt.Errorf("status %d: from 400 to 599", f.Status)
	}
	if err := checkEndpoint(f.Endpoint); err != nil {
		return err
	}
	s.failures.Add(f.Count, f)
	return nil
}

// Garble spoils the next answers that are 200.
type Garble struct {
	How      string `json:"how"`                // empty ({}), html, truncated, huge (2 MiB) or nothing
	Endpoint string `json:"endpoint,omitempty"` // "" is any
	ID       string `json:"id,omitempty"`       // a token, product or order in the path; "" is any
	Count    int    `json:"count,omitempty"`    // 0 is 1
}

var garbles = []string{"empty", "html", "truncated", "huge", "nothing"}

func (g Garble) fits(e endpoint, q *query) bool {
	return Failure{Endpoint: g.Endpoint, ID: g.ID}.fits(e, q)
}

func (g Garble) spoil(a stage.Answer) stage.Answer {
	switch g.How {
	case "empty":
		a.Body = []byte("{}")
	case "html":
		a.ContentType, a.Body = "text/html; charset=UTF-8", []byte("<!DOCTYPE html><title>Sign in</title>")
	case "truncated":
		a.Body = a.Body[:len(a.Body)/2]
	case "huge":
		a.Body = append(a.Body[:len(a.Body)-1], `,"padding":"`+strings.Repeat("x", 2<<20)+`"}`...)
	case "nothing":
		a.Body = nil
	}
	return a
}

// Spoil scripts answers that are none.
func (s *Simulator) Spoil(g Garble) error {
	if !slices.Contains(garbles, g.How) {
		return fmt.Errorf("how %q: %s", g.How, strings.Join(garbles, ", "))
	}
	if err := checkEndpoint(g.Endpoint); err != nil {
		return err
	}
	s.garbled.Add(g.Count, g)
	return nil
}

// Settings are the switches. A nil leaves a setting as it is.
type Settings struct {
	// PerMinute is the quota of each bucket in a minute of the clock, 3,000 at start; 0 is
	// no quota at all.
	PerMinute *int `json:"perMinute,omitempty"`
	// AccessLasts is how long an access token does; an hour at start.
	AccessLasts *stage.Duration `json:"accessLasts,omitempty"`
	// Push is the shape of a push: wrapped (at start), unwrapped, or metadata, which is
	// unwrapped with Pub/Sub's metadata in headers.
	Push string `json:"push,omitempty"`
	// RenewLag is from the expiryTime to the renewal, with the state still ACTIVE; 0 at start.
	RenewLag *stage.Duration `json:"renewLag,omitempty"`
	// SilentPast leaves the expiryTime in the past during the silent day that there is
	// without grace; false at start: it is moved by that day.
	SilentPast *bool `json:"silentPast,omitempty"`
	// VoidedLag is from a refund to its row in voidedpurchases.list; 0 at start.
	VoidedLag *stage.Duration `json:"voidedLag,omitempty"`
	// WriteZeros writes a refundableQuantity of 0, which Google's JSON would leave out; false
	// at start.
	WriteZeros *bool `json:"writeZeros,omitempty"`
	// Nanoseconds gives instants nine digits after the point; false at start.
	Nanoseconds *bool `json:"nanoseconds,omitempty"`
	// Deprecated sends what goes away in 2027 too: subscriptionId, and type 8 beside 19. True
	// at start, as it is at Google.
	Deprecated *bool `json:"deprecated,omitempty"`
	// KeysMaxAge is what the keys of push tokens say of themselves; six hours at start.
	KeysMaxAge *stage.Duration `json:"keysMaxAge,omitempty"`
}

func initial() Settings {
	return Settings{
		PerMinute: ptr(3000), AccessLasts: ptr(stage.Duration(time.Hour)), Push: wrapped, RenewLag: ptr(stage.Duration(0)),
		SilentPast: ptr(false), VoidedLag: ptr(stage.Duration(0)), WriteZeros: ptr(false), Nanoseconds: ptr(false),
		Deprecated: ptr(true), KeysMaxAge: ptr(stage.Duration(6 * time.Hour)),
	}
}

// Set turns switches.
func (s *Simulator) Set(new Settings) error {
	for _, d := range []*stage.Duration{new.AccessLasts, new.RenewLag, new.VoidedLag, new.KeysMaxAge} {
		if d != nil && *d < 0 {
			return errors.New("a duration is 0 or more")
		}
	}
	if new.PerMinute != nil && *new.PerMinute < 0 {
		return errors.New("perMinute: 0 or more")
	}
	if !slices.Contains([]string{"", wrapped, unwrapped, metadata}, new.Push) {
		return fmt.Errorf("push %q: wrapped, unwrapped or metadata", new.Push)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	set(&s.settings.PerMinute, new.PerMinute)
	set(&s.settings.AccessLasts, new.AccessLasts)
	set(&s.settings.RenewLag, new.RenewLag)
	set(&s.settings.SilentPast, new.SilentPast)
	set(&s.settings.VoidedLag, new.VoidedLag)
	set(&s.settings.WriteZeros, new.WriteZeros)
	set(&s.settings.Nanoseconds, new.Nanoseconds)
	set(&s.settings.Deprecated, new.Deprecated)
	set(&s.settings.KeysMaxAge, new.KeysMaxAge)
	s.settings.Push = or(new.Push, s.settings.Push)
	return nil
}

func set[T any](setting **T, new *T) {
	if new != nil {
		*setting = new
	}
}

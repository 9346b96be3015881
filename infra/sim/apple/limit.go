package apple

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"grantline/infra/sim/stage"
)

// hour counts the calls of an endpoint in one hour of the clock.
type hour struct {
	begins time.Time
	calls  int
}

// sandboxPart is what of production's rates the sandbox has (identifying rate limits).
const sandboxPart = 10

// tooMany says whether a call is one too many, and from when on the next one is not, in
// milliseconds since 1970. Apple counts by the hour (identifying rate limits).
func (s *Simulator) tooMany(e endpoint, environment string) (again int64, ok bool) {
	now := s.stage.Now()
	if b, ok := s.busy.Take(func(b Busy) bool { return b.Endpoint == "" || b.Endpoint == e.name }); ok {
		return now.Add(b.wait()).UnixMilli(), true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	limit := *s.settings.PerHour
	if limit == 0 {
		if limit = e.rate * 3600; environment == Sandbox {
			limit /= sandboxPart
		}
	}
	if limit <= 0 {
		return 0, false // no endpoint
	}
	count := s.asked[e.name+" "+environment]
	if begins := now.Truncate(time.Hour); !count.begins.Equal(begins) {
		count = hour{begins: begins}
	}
	count.calls++
	s.asked[e.name+" "+environment] = count
	return count.begins.Add(time.Hour).UnixMilli(), count.calls > limit
}

// Busy has the next calls answered with 429.
type Busy struct {
	Endpoint   string         `json:"endpoint,omitempty"`   // "" is any
	RetryAfter stage.Duration `json:"retryAfter,omitempty"` // from the call to when Apple takes the next; 0 is 10s
	Count      int            `json:"count,omitempty"`      // 0 is 1
}

func (b Busy) wait() time.Duration {
	if b.RetryAfter > 0 {
		return time.Duration(b.RetryAfter)
	}
	return 10 * time.Second
}

// RateLimit scripts 429.
func (s *Simulator) RateLimit(b Busy) error {
	if err := checkEndpoint(b.Endpoint); err != nil {
		return err
	}
	if b.RetryAfter < 0 {
		return errors.New("retryAfter: 0 or more")
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

// Failure makes the next calls fail with one of Apple's error codes.
type Failure struct {
	ErrorCode     int64  `json:"errorCode"` // seven digits, of which the first three are the HTTP status
	TransactionID string `json:"transactionId,omitempty"`
	Endpoint      string `json:"endpoint,omitempty"` // "" is any
	Count         int    `json:"count,omitempty"`    // 0 is 1
}

func (f Failure) answer(now time.Time) stage.Answer {
	if f.ErrorCode == rateLimited.Code {
		return later(now.Add(Busy{}.wait()).UnixMilli())
	}
	return apiError{f.ErrorCode, "Simulated error."}.answer()
}

// Fail scripts error codes.
func (s *Simulator) Fail(f Failure) error {
	if f.ErrorCode < 400_0000 || f.ErrorCode > 599_9999 {
		return fmt.Errorf("errorCode %d: from 4000000 to 5999999, such as 4290000 or 5000001", f.ErrorCode)
	}
	if err := checkEndpoint(f.Endpoint); err != nil {
		return err
	}
	s.failures.Add(f.Count, f)
	return nil
}

// Settings are the switches. A nil leaves a setting as it is.
type Settings struct {
	// Released says that the app had its first release; without one the production API
	// answers 401 to everything. True at start.
	Released *bool `json:"released,omitempty"`
	// Renews says whether a subscription renews of itself where Purchase does not say it.
	// False at start.
	Renews *bool `json:"renews,omitempty"`
	// RetryBadRequest says that a notification answered with 400 is sent again. False at
	// start, as observed since March 2026 and documented nowhere.
	RetryBadRequest *bool `json:"retryBadRequest,omitempty"`
	// PerHour is how often each endpoint may be called in an hour of the clock; 0, as at
	// start, are Apple's own limits.
	PerHour *int `json:"perHour,omitempty"`
	// SandboxPath is where the sandbox's notifications go; at start where all go.
	SandboxPath string `json:"sandboxPath,omitempty"`
	// ExtendAfter is how long an extension for all subscribers takes; an hour at start.
	ExtendAfter *stage.Duration `json:"extendAfter,omitempty"`
}

// Set turns switches.
func (s *Simulator) Set(new Settings) error {
	if new.PerHour != nil && *new.PerHour < 0 || new.ExtendAfter != nil && *new.ExtendAfter < 0 {
		return errors.New("perHour, extendAfter: 0 or more")
	}
	if new.SandboxPath != "" && new.SandboxPath[0] != '/' {
		return errors.New("sandboxPath: begins with /")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	set(&s.settings.Released, new.Released)
	set(&s.settings.Renews, new.Renews)
	set(&s.settings.RetryBadRequest, new.RetryBadRequest)
	set(&s.settings.PerHour, new.PerHour)
	set(&s.settings.ExtendAfter, new.ExtendAfter)
	s.settings.SandboxPath = or(new.SandboxPath, s.settings.SandboxPath)
	return nil
}

func set[T any](setting **T, new *T) {
	if new != nil {
		*setting = new
	}
}

func or(a, b string) string {
	if a == "" {
		return b
	}
	return a
}

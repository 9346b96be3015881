package appsintoss

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"grantline/infra/sim/stage"
)

// NewOrder is an order to be made, as if a customer had bought in the Toss app.
type NewOrder struct {
	SKU     string `json:"sku"`
	Status  string `json:"status,omitempty"`  // "" is PAYMENT_COMPLETED
	UserKey string `json:"userKey,omitempty"` // another x-toss-user-key does not see the order
	OrderID string `json:"orderId,omitempty"` // "" is a new one
	App     string `json:"app,omitempty"`     // the mini-app that it was bought in; "" is the sample's own
	Looks   int    `json:"looks,omitempty"`   // after so many looks it turns into Then; 0 is never, unless Then is given
	Then    string `json:"then,omitempty"`    // "" is PAYMENT_COMPLETED
}

// StatusChange moves an order on.
type StatusChange struct {
	OrderID string `json:"orderId"`
	Status  string `json:"status"`
	Reason  string `json:"reason,omitempty"`
}

// FailedAnswer makes the next looks fail inside of HTTP 200.
type FailedAnswer struct {
	ResultType        string `json:"resultType,omitempty"` // "" is FAIL
	ErrorCode         string `json:"errorCode,omitempty"`
	RetryAfterSeconds int    `json:"retryAfterSeconds,omitempty"`
	OrderID           string `json:"orderId,omitempty"`
	Count             int    `json:"count,omitempty"` // 0 is 1
}

// RateLimit answers 4095 to the next looks, or sets a limit for good.
type RateLimit struct {
	Count             int  `json:"count,omitempty"`
	RetryAfterSeconds int  `json:"retryAfterSeconds,omitempty"` // 0 is 1
	PerMinute         *int `json:"perMinute,omitempty"`         // looks of one mini-app in a minute of the clock; 0 is without limit
}

// Settings are the switches for what the documents contradict themselves on. A nil leaves
// a setting as it is.
type Settings struct {
	TimeFormat     *string `json:"timeFormat,omitempty"`     // of statusDeterminedAt: zoneless (at start), zoned or utc
	RequireUserKey *bool   `json:"requireUserKey,omitempty"` // whether a look without x-toss-user-key is 400; false at start
	PerMinute      *int    `json:"perMinute,omitempty"`      // as in RateLimit; 3000 at start
}

var (
	statuses    = []string{PaymentCompleted, Purchased, InProgress, NotFound, Failed, Refunded, MiniAppMismatch, Broken}
	resultTypes = []string{"FAIL", "HTTP_TIMEOUT", "NETWORK_ERROR", "EXECUTION_FAIL", "INTERRUPTED", "INTERNAL_ERROR"}
)

// Order makes an order and gives its id.
func (s *Simulator) Order(n NewOrder) (string, error) {
	if n.Status == "" {
		n.Status = PaymentCompleted
	}
	if n.Looks > 0 && n.Then == "" {
		n.Then = PaymentCompleted
	}
	switch {
	case n.SKU == "":
		return "", errors.New("sku: which product")
	case !slices.Contains(statuses, n.Status):
		return "", unknownStatus("status", n.Status)
	case n.Then != "" && !slices.Contains(statuses, n.Then):
		return "", unknownStatus("then", n.Then)
	case n.Looks < 0:
		return "", errors.New("looks: 0 or more")
	}
	if n.OrderID == "" {
		n.OrderID = s.stage.UUID()
	}
	if n.App == "" {
		n.App = OwnApp
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.orders[n.OrderID] != nil {
		return "", fmt.Errorf("order %q exists already; status changes it", n.OrderID)
	}
	o := &order{app: n.App, sku: n.SKU, userKey: n.UserKey}
	s.orders[n.OrderID] = o
	s.move(n.OrderID, o, n.Status, "")
	o.looks, o.then = n.Looks, n.Then
	return n.OrderID, nil
}

// SetStatus moves an order into a state.
func (s *Simulator) SetStatus(c StatusChange) error {
	if !slices.Contains(statuses, c.Status) {
		return unknownStatus("status", c.Status)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.orders[c.OrderID]
	if o == nil {
		return fmt.Errorf("order %q does not exist", c.OrderID)
	}
	s.move(c.OrderID, o, c.Status, c.Reason)
	return nil
}

func unknownStatus(field, status string) error {
	return fmt.Errorf("%s %q: one of %s", field, status, strings.Join(statuses, ", "))
}

// Answer scripts failures inside of HTTP 200.
func (s *Simulator) Answer(f FailedAnswer) error {
	if f.ResultType == "" {
		f.ResultType = "FAIL"
	}
	if !slices.Contains(resultTypes, f.ResultType) {
		return fmt.Errorf("resultType %q: one of %s", f.ResultType, strings.Join(resultTypes, ", "))
	}
	s.answers.Add(f.Count, f)
	return nil
}

func (f FailedAnswer) envelope() envelope {
	if f.RetryAfterSeconds > 0 {
		return failure(f.ResultType, f.ErrorCode, map[string]any{"retryAfterSeconds": f.RetryAfterSeconds})
	}
	return failure(f.ResultType, f.ErrorCode, nil)
}

// LimitRate scripts answers of 4095 or sets a limit.
func (s *Simulator) LimitRate(l RateLimit) error {
	if l.PerMinute == nil && l.Count < 1 {
		return errors.New("count or perMinute: how many looks")
	}
	if l.PerMinute != nil {
		if err := s.Set(Settings{PerMinute: l.PerMinute}); err != nil {
			return err
		}
	}
	if l.Count > 0 {
		return s.Answer(FailedAnswer{ErrorCode: fmt.Sprint(rateCode), RetryAfterSeconds: max(l.RetryAfterSeconds, 1), Count: l.Count})
	}
	return nil
}

// Set turns switches.
func (s *Simulator) Set(new Settings) error {
	switch {
	case new.TimeFormat != nil && !slices.Contains([]string{Zoneless, Zoned, UTC}, *new.TimeFormat):
		return fmt.Errorf("timeFormat %q: zoneless, zoned or utc", *new.TimeFormat)
	case new.PerMinute != nil && *new.PerMinute < 0:
		return errors.New("perMinute: 0 or more")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if new.TimeFormat != nil {
		s.settings.TimeFormat = new.TimeFormat
	}
	if new.RequireUserKey != nil {
		s.settings.RequireUserKey = new.RequireUserKey
	}
	if new.PerMinute != nil {
		s.settings.PerMinute = new.PerMinute
	}
	return nil
}

// Controls are what can be made to happen.
func (s *Simulator) Controls() []stage.Control {
	return append([]stage.Control{
		stage.On("order", "Makes an order and answers its orderId; with looks it is in its status for so many looks and then turns into then (PAYMENT_COMPLETED unless given).",
			NewOrder{SKU: "premium-1month", Status: InProgress, Looks: 2},
			func(n NewOrder) (any, error) {
				id, err := s.Order(n)
				return map[string]string{"orderId": id}, err
			}),
		stage.On("status", "Moves an order into another status: "+strings.Join(statuses, ", ")+".",
			StatusChange{OrderID: "0199a1b2-0000-7000-8000-000000000001", Status: Refunded},
			func(c StatusChange) (any, error) { return nil, s.SetStatus(c) }),
		stage.On("answer", "Fails the next count looks inside of HTTP 200, of one orderId if given, with a resultType: "+strings.Join(resultTypes, ", ")+".",
			FailedAnswer{ResultType: "HTTP_TIMEOUT", Count: 1},
			func(f FailedAnswer) (any, error) { return nil, s.Answer(f) }),
		stage.On("rate-limit", "Answers errorCode 4095 with retryAfterSeconds to the next count looks; or, with perMinute, to all that are more than that in a minute of the clock.",
			RateLimit{Count: 3, RetryAfterSeconds: 2},
			func(l RateLimit) (any, error) { return nil, s.LimitRate(l) }),
		stage.On("settings", "Turns the switches: timeFormat zoneless, zoned or utc; requireUserKey; perMinute.",
			Settings{TimeFormat: ptr(Zoned), RequireUserKey: ptr(false)},
			func(new Settings) (any, error) { return nil, s.Set(new) }),
	}, s.stage.Common(s.answers.Clear)...)
}

// Control serves the controls and the log of effects: POST /order, GET /effects, ….
func (s *Simulator) Control() http.Handler { return s.stage.Panel(s.Controls()) }

package toss

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"grantline/infra/sim/stage"
)

// Decline makes the next charges that fit be refused with a code.
type Decline struct {
	Code        string `json:"code"`
	Status      int    `json:"status,omitempty"` // 0 is the code's own; needed for a code that Toss does not document
	Count       int    `json:"count,omitempty"`  // charges; 0 is 1
	CustomerKey string `json:"customerKey,omitempty"`
	BillingKey  string `json:"billingKey,omitempty"`
	OrderID     string `json:"orderId,omitempty"`
	Paid        bool   `json:"paid,omitempty"` // the money is taken all the same
}

// Rejection makes the next issues of a billing key that fit be refused with a code.
type Rejection struct {
	Code        string `json:"code"`
	Status      int    `json:"status,omitempty"`
	Count       int    `json:"count,omitempty"`
	AuthKey     string `json:"authKey,omitempty"`
	CustomerKey string `json:"customerKey,omitempty"`
}

// CancelRefusal makes the next cancels that fit be refused with a code, though nothing
// else is wrong with them.
type CancelRefusal struct {
	Code       string `json:"code"`
	Status     int    `json:"status,omitempty"`
	Count      int    `json:"count,omitempty"`
	PaymentKey string `json:"paymentKey,omitempty"`
	OrderID    string `json:"orderId,omitempty"`
}

// Foreign is a payment that nobody asked for through the API.
type Foreign struct {
	OrderID     string `json:"orderId"` // one that was charged already makes it a second success
	Amount      int64  `json:"amount"`
	CustomerKey string `json:"customerKey,omitempty"`
}

// Return is a cancel made in the console.
type Return struct {
	PaymentKey string `json:"paymentKey,omitempty"`
	OrderID    string `json:"orderId,omitempty"`
	Amount     int64  `json:"amount,omitempty"` // 0 is all that is left
}

// Busy makes the next calls be answered 429.
type Busy struct {
	Endpoint string `json:"endpoint,omitempty"` // "" is any
	Count    int    `json:"count,omitempty"`    // calls; 0 is 1
}

// RateLimit makes the next calls be answered 429, or sets a limit for good.
type RateLimit struct {
	Endpoint  string `json:"endpoint,omitempty"`  // of the next Count; "" is any
	Count     int    `json:"count,omitempty"`     // calls that are over the limit, whatever it is
	PerMinute *int   `json:"perMinute,omitempty"` // calls of one endpoint in a minute of the clock; 0 is without limit
}

// Settings are the switches for what nobody knows of the real one, and for its pace. A
// nil leaves a setting as it is.
type Settings struct {
	DeclinedLookup     *string         `json:"declinedLookup,omitempty"`     // what a look-up of a declined order finds: "404" (at start) or "aborted"
	Store5xx           *bool           `json:"store5xx,omitempty"`           // whether an idempotency key keeps 5xx answers; false at start
	DeclinedOrderReuse *bool           `json:"declinedOrderReuse,omitempty"` // whether a declined orderId may be used again under another key; true at start
	ApprovalLag        *stage.Duration `json:"approvalLag,omitempty"`        // approvedAt after requestedAt without waiting, up to 5m; 0 is the instant of approval
	PerMinute          *int            `json:"perMinute,omitempty"`          // as in RateLimit
	TransactionLag     *stage.Duration `json:"transactionLag,omitempty"`     // before a transaction is in statements; 10m at start
	CancelRows         *string         `json:"cancelRows,omitempty"`         // the sign of a cancel's amount in statements: "negative" (at start) or "positive"
}

// DeleteKey removes billing keys as a customer does in the Toss app.
type DeleteKey struct {
	BillingKey  string `json:"billingKey,omitempty"`
	CustomerKey string `json:"customerKey,omitempty"`
}

// Decline scripts a refusal of charges.
func (s *Simulator) Decline(d Decline) error {
	if err := checkCode(d.Code, d.Status); err != nil {
		return err
	}
	s.declines.Add(d.Count, d)
	return nil
}

// RejectIssue scripts a refusal of billing keys.
func (s *Simulator) RejectIssue(r Rejection) error {
	if err := checkCode(r.Code, r.Status); err != nil {
		return err
	}
	s.rejections.Add(r.Count, r)
	return nil
}

func checkCode(code string, status int) error {
	switch _, known := codes[code]; {
	case code == "":
		return errors.New("code: which error code to answer, such as REJECT_CARD_PAYMENT")
	case status != 0 && (status < 400 || status > 599):
		return fmt.Errorf("status %d: from 400 to 599", status)
	case !known && status == 0:
		return fmt.Errorf("code %q is not one that Toss documents; give a status with it", code)
	}
	return nil
}

// LimitRate scripts 429s or sets a limit.
func (s *Simulator) LimitRate(l RateLimit) error {
	if l.PerMinute == nil && l.Count < 1 {
		return errors.New("count or perMinute: how many calls")
	}
	if l.PerMinute != nil {
		if err := s.Set(Settings{PerMinute: l.PerMinute}); err != nil {
			return err
		}
	}
	if l.Count > 0 {
		s.limited.Add(l.Count, l)
	}
	return nil
}

// Set turns switches.
func (s *Simulator) Set(new Settings) error {
	switch {
	case new.DeclinedLookup != nil && *new.DeclinedLookup != "404" && *new.DeclinedLookup != "aborted":
		return fmt.Errorf("declinedLookup %q: 404 or aborted", *new.DeclinedLookup)
	case new.ApprovalLag != nil && (*new.ApprovalLag < 0 || time.Duration(*new.ApprovalLag) > 5*time.Minute):
		return errors.New("approvalLag: from 0 to 5m")
	case new.TransactionLag != nil && *new.TransactionLag < 0:
		return errors.New("transactionLag: 0 or more")
	case new.CancelRows != nil && *new.CancelRows != "negative" && *new.CancelRows != "positive":
		return fmt.Errorf("cancelRows %q: negative or positive", *new.CancelRows)
	case new.PerMinute != nil && *new.PerMinute < 0:
		return errors.New("perMinute: 0 or more")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	old := &s.settings
	keep(&old.DeclinedLookup, new.DeclinedLookup)
	keep(&old.Store5xx, new.Store5xx)
	keep(&old.DeclinedOrderReuse, new.DeclinedOrderReuse)
	keep(&old.ApprovalLag, new.ApprovalLag)
	keep(&old.PerMinute, new.PerMinute)
	keep(&old.TransactionLag, new.TransactionLag)
	keep(&old.CancelRows, new.CancelRows)
	return nil
}

func keep[T any](old **T, new *T) {
	if new != nil {
		*old = new
	}
}

// DeleteKey removes what it names from the test shop and says how many keys that were.
func (s *Simulator) DeleteKey(d DeleteKey) (int, error) {
	if d.BillingKey == "" && d.CustomerKey == "" {
		return 0, errors.New("billingKey or customerKey: whose")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	deleted := 0
	for key, issued := range s.test.keys {
		if !issued.removed && fits(d.BillingKey, key) && fits(d.CustomerKey, issued.customerKey) {
			issued.removed = true
			deleted++
			s.stage.Record(stage.Effect{Kind: "keyDeleted", BillingKey: key, CustomerKey: issued.customerKey, Origin: "control"})
			s.forgotten(s.test, key)
		}
	}
	return deleted, nil
}

// RefuseCancel scripts a refusal of cancels.
func (s *Simulator) RefuseCancel(r CancelRefusal) error {
	if err := checkCode(r.Code, r.Status); err != nil {
		return err
	}
	s.refusals.Add(r.Count, r)
	return nil
}

// Take makes a payment in the test shop that nobody asked for, and gives its paymentKey. A
// look-up of an orderId that had a payment goes on finding that one.
func (s *Simulator) Take(f Foreign) (string, error) {
	switch {
	case !orderIDPattern.MatchString(f.OrderID):
		return "", errors.New("orderId: 6 to 64 letters, digits, hyphens and underscores")
	case f.Amount < minimumCard:
		return "", fmt.Errorf("amount: %d or more", minimumCard)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.stage.Now()
	p := s.newPayment(s.test, chargeRequest{Amount: f.Amount, OrderID: f.OrderID, OrderName: "-", CustomerKey: f.CustomerKey}, now)
	s.take(s.test, p, now, "", "control")
	if s.test.orders[f.OrderID] == nil {
		s.test.orders[f.OrderID] = &order{payment: p}
	}
	return p.PaymentKey, nil
}

// Return cancels a payment of the test shop as the console does, and says how much.
func (s *Simulator) Return(by Return) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.test.payments[by.PaymentKey]
	if known := s.test.orders[by.OrderID]; by.PaymentKey == "" && known != nil {
		p = known.payment
	}
	switch {
	case p == nil || cancelable(p) != "" || p.BalanceAmount == 0:
		return 0, errors.New("paymentKey or orderId: of a payment with money left")
	case by.Amount < 0 || by.Amount > p.BalanceAmount:
		return 0, fmt.Errorf("amount: from 1 to the %d that are left", p.BalanceAmount)
	case by.Amount == 0:
		by.Amount = p.BalanceAmount
	}
	s.giveBack(s.test, p, by.Amount, 0, "상점관리자 취소", "control")
	return by.Amount, nil
}

// Controls are what can be made to happen.
func (s *Simulator) Controls() []stage.Control {
	return append([]stage.Control{
		stage.On("decline", "Refuses the next count charges with a code, of one customerKey, billingKey or orderId if given; paid takes the money all the same.",
			Decline{Code: "REJECT_CARD_PAYMENT", Count: 1},
			func(d Decline) (any, error) { return nil, s.Decline(d) }),
		stage.On("reject-issue", "Refuses the next count billing keys with a code, of one authKey or customerKey if given.",
			Rejection{Code: "INVALID_CARD_NUMBER", Count: 1},
			func(r Rejection) (any, error) { return nil, s.RejectIssue(r) }),
		stage.On("rate-limit", "Answers 429 to the next count calls, of one endpoint if given; or, with perMinute, to all that are more than that in a minute of the clock (0 is no limit).",
			RateLimit{Count: 3, Endpoint: Charge},
			func(l RateLimit) (any, error) { return nil, s.LimitRate(l) }),
		stage.On("busy", "Answers 429 to the next count calls, of one endpoint if given.",
			Busy{Endpoint: Charge, Count: 3}, func(b Busy) (any, error) {
				return nil, s.LimitRate(RateLimit{Endpoint: b.Endpoint, Count: max(b.Count, 1)})
			}),
		stage.On("reject-cancel", "Refuses the next count cancels with a code, of one paymentKey or orderId if given.",
			CancelRefusal{Code: "EXCEED_MAX_REFUND_DUE", Count: 1},
			func(r CancelRefusal) (any, error) { return nil, s.RefuseCancel(r) }),
		stage.On("pay", "Takes money that nobody asked for; an orderId that was charged already makes it a second success.",
			Foreign{OrderID: "order-1", Amount: 4900}, func(f Foreign) (any, error) {
				key, err := s.Take(f)
				return map[string]string{"paymentKey": key}, err
			}),
		stage.On("cancel", "Cancels a payment as the console does: an amount, or all that is left.",
			Return{OrderID: "order-1"}, func(by Return) (any, error) {
				amount, err := s.Return(by)
				return map[string]int64{"amount": amount}, err
			}),
		stage.On("delete-key", "Deletes billing keys as a customer may do in the Toss app; the next charge finds out.",
			DeleteKey{CustomerKey: "4b7e5b52-6f1d-4d5c-9c57-0a3b6f6f6a11"},
			func(d DeleteKey) (any, error) {
				deleted, err := s.DeleteKey(d)
				return map[string]int{"deleted": deleted}, err
			}),
		stage.On("settings", "Turns the switches: declinedLookup 404 or aborted, store5xx, declinedOrderReuse, approvalLag, perMinute, transactionLag, cancelRows.",
			Settings{DeclinedLookup: ptr("aborted"), Store5xx: ptr(true)},
			func(new Settings) (any, error) { return nil, s.Set(new) }),
	}, s.stage.Common(func() {
		s.declines.Clear()
		s.rejections.Clear()
		s.limited.Clear()
		s.refusals.Clear()
	})...)
}

// Control serves the controls and the log of effects: POST /decline, GET /effects, ….
func (s *Simulator) Control() http.Handler { return s.stage.Panel(s.Controls()) }

package dodo

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"grantline/infra/sim/stage"
)

// Selection names subscriptions by what is known of them; all that is given has to fit. The
// newest that fits is meant.
type Selection struct {
	SubscriptionID string `json:"subscriptionId,omitempty"`
	Email          string `json:"email,omitempty"`    // of the customer
	OrderID        string `json:"orderId,omitempty"`  // metadata.order_id
	Metadata       string `json:"metadata,omitempty"` // any value of the metadata
}

// Approval is what a customer does on the page of a payment link.
type Approval struct {
	SubscriptionID string `json:"subscriptionId,omitempty"`
	Email          string `json:"email,omitempty"`
	OrderID        string `json:"orderId,omitempty"`
	Metadata       string `json:"metadata,omitempty"`
	Card           string `json:"card,omitempty"` // of the testing guide; "" is one that is good
	Code           string `json:"code,omitempty"` // with which it fails, where it shall
}

func (a Approval) selection() Selection {
	return Selection{a.SubscriptionID, a.Email, a.OrderID, a.Metadata}
}

// Decline makes the next charges that fit fail with a code.
type Decline struct {
	Code           string `json:"code"`
	Count          int    `json:"count,omitempty"` // charges; 0 is 1
	SubscriptionID string `json:"subscriptionId,omitempty"`
	OrderID        string `json:"orderId,omitempty"`
}

// Busy makes the next calls be answered 429.
type Busy struct {
	Endpoint string `json:"endpoint,omitempty"` // "" is any
	Count    int    `json:"count,omitempty"`    // calls; 0 is 1
}

// Foreign is a charge that nobody asked for through the API, taken at once.
type Foreign struct {
	SubscriptionID string `json:"subscriptionId,omitempty"`
	Email          string `json:"email,omitempty"`
	OrderID        string `json:"orderId,omitempty"` // of its metadata; "" is none
	Amount         int64  `json:"amount"`            // before tax
	Currency       string `json:"currency,omitempty"`
}

// Return is a refund made in the dashboard.
type Return struct {
	PaymentID string `json:"paymentId,omitempty"`
	OrderID   string `json:"orderId,omitempty"`
	Amount    int64  `json:"amount,omitempty"` // 0 is all that is left
}

// Dispute is what becomes of a dispute about a payment.
type Dispute struct {
	PaymentID string `json:"paymentId,omitempty"`
	OrderID   string `json:"orderId,omitempty"`
	Status    string `json:"status"`           // opened, challenged, won, lost, accepted, cancelled or expired
	Amount    int64  `json:"amount,omitempty"` // of a new one; 0 is all of the payment
}

// Settings are the switches for what nobody knows of the real one, and for its pace. A
// nil leaves a setting as it is.
type Settings struct {
	OnHoldAfterFailedCharge *bool           `json:"onHoldAfterFailedCharge,omitempty"` // whether a charge that failed puts the mandate on hold; false at start
	ListLag                 *stage.Duration `json:"listLag,omitempty"`                 // before a payment is in lists; 10s at start
	SortOrder               *string         `json:"sortOrder,omitempty"`               // of lists by creation: "desc" (at start) or "asc"
	SettleAfter             *stage.Duration `json:"settleAfter,omitempty"`             // from a charge to its outcome; 3s at start
	FirstStatus             *string         `json:"firstStatus,omitempty"`             // of a payment until then: "processing" (at start) or "null"
	PendingStatus           *int            `json:"pendingStatus,omitempty"`           // the HTTP status of PREVIOUS_PAYMENT_PENDING; 409 at start
	MandatePayment          *bool           `json:"mandatePayment,omitempty"`          // whether an approval without a charge is a payment of 0 in lists; true at start
	TaxPercent              *int            `json:"taxPercent,omitempty"`              // added to each price; 10 at start
	RefundStatus            *string         `json:"refundStatus,omitempty"`            // with which a refund begins: succeeded (at start), pending, review or failed
	RefundAfter             *stage.Duration `json:"refundAfter,omitempty"`             // until a pending one or one in review succeeds; 1h at start
	RefundWindow            *stage.Duration `json:"refundWindow,omitempty"`            // in which a payment can be refunded; 2160h (90 days) at start
	ApproveAfter            *stage.Duration `json:"approveAfter,omitempty"`            // after which customers approve of themselves; 0 (at start) is never
	PerMinute               *int            `json:"perMinute,omitempty"`               // calls let through in any minute of the clock; 100 at start, 0 is no limit
	PerSecond               *int            `json:"perSecond,omitempty"`               // in any second; 10 at start, 0 is no limit
	Enabled                 *bool           `json:"enabled,omitempty"`                 // whether the account may make on-demand subscriptions; true at start
}

func atStart() Settings {
	return Settings{
		OnHoldAfterFailedCharge: ptr(false), ListLag: ptr(stage.Duration(10 * time.Second)), SortOrder: ptr("desc"),
		SettleAfter: ptr(stage.Duration(3 * time.Second)), FirstStatus: ptr("processing"), PendingStatus: ptr(http.StatusConflict),
		MandatePayment: ptr(true), TaxPercent: ptr(10), RefundStatus: ptr(succeeded), RefundAfter: ptr(stage.Duration(time.Hour)),
		RefundWindow: ptr(stage.Duration(90 * 24 * time.Hour)), ApproveAfter: ptr(stage.Duration(0)),
		PerMinute: ptr(100), PerSecond: ptr(10), Enabled: ptr(true),
	}
}

// Set turns switches.
func (s *Simulator) Set(new Settings) error {
	for name, d := range map[string]*stage.Duration{
		"listLag": new.ListLag, "settleAfter": new.SettleAfter, "refundAfter": new.RefundAfter,
		"refundWindow": new.RefundWindow, "approveAfter": new.ApproveAfter,
	} {
		if d != nil && *d < 0 {
			return fmt.Errorf("%s: 0 or more", name)
		}
	}
	for name, n := range map[string]*int{"perMinute": new.PerMinute, "perSecond": new.PerSecond, "taxPercent": new.TaxPercent} {
		if n != nil && (*n < 0 || *n > 1000) {
			return fmt.Errorf("%s: from 0 to 1000", name)
		}
	}
	for _, choice := range []struct {
		name    string
		value   *string
		allowed []string
	}{
		{"sortOrder", new.SortOrder, []string{"desc", "asc"}},
		{"firstStatus", new.FirstStatus, []string{processing, "null"}},
		{"refundStatus", new.RefundStatus, []string{succeeded, "pending", "review", failed}},
	} {
		if choice.value != nil && !slices.Contains(choice.allowed, *choice.value) {
			return fmt.Errorf("%s %q: one of %v", choice.name, *choice.value, choice.allowed)
		}
	}
	if new.PendingStatus != nil && (*new.PendingStatus < 400 || *new.PendingStatus > 499) {
		return errors.New("pendingStatus: from 400 to 499")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	old := &s.settings
	keep(&old.OnHoldAfterFailedCharge, new.OnHoldAfterFailedCharge)
	keep(&old.ListLag, new.ListLag)
	keep(&old.SortOrder, new.SortOrder)
	keep(&old.SettleAfter, new.SettleAfter)
	keep(&old.FirstStatus, new.FirstStatus)
	keep(&old.PendingStatus, new.PendingStatus)
	keep(&old.MandatePayment, new.MandatePayment)
	keep(&old.TaxPercent, new.TaxPercent)
	keep(&old.RefundStatus, new.RefundStatus)
	keep(&old.RefundAfter, new.RefundAfter)
	keep(&old.RefundWindow, new.RefundWindow)
	keep(&old.ApproveAfter, new.ApproveAfter)
	keep(&old.PerMinute, new.PerMinute)
	keep(&old.PerSecond, new.PerSecond)
	keep(&old.Enabled, new.Enabled)
	return nil
}

func keep[T any](old **T, new *T) {
	if new != nil {
		*old = new
	}
}

// meant says whether a subscription is the one that is looked for.
func (by Selection) meant(sub *subscription) bool {
	return fits(by.SubscriptionID, sub.id) && fits(by.Email, sub.customer.Email) && fits(by.OrderID, orderOf(sub.metadata)) &&
		(by.Metadata == "" || slices.ContainsFunc(slices.Collect(maps.Values(sub.metadata)), func(v any) bool { return fmt.Sprint(v) == by.Metadata }))
}

// find gives the newest subscription that is meant. The caller holds mu.
func (s *Simulator) find(by Selection, states ...string) (*subscription, error) {
	for _, sub := range slices.Backward(s.agreements) {
		if by.meant(sub) && slices.Contains(states, sub.status) {
			return sub, nil
		}
	}
	return nil, fmt.Errorf("there is no such subscription that is %s", strings.Join(states, ", "))
}

// page gives the newest unused page of a subscription that is meant.
func (s *Simulator) page(by Selection, updates bool) (*approval, error) {
	for _, a := range slices.Backward(s.pages) {
		if !a.done && !a.payment.terminal() && a.payment.updates == updates && by.meant(a.subscription) {
			return a, nil
		}
	}
	return nil, errors.New("there is no such page that nobody has used")
}

// Approve is the customer who completes the page of a mandate, or, with a code, cannot.
func (s *Simulator) Approve(a Approval) error { return s.onPage(a, false) }

// UpdateMethod is the customer who completes the page for another means of payment, or,
// with a code, cannot.
func (s *Simulator) UpdateMethod(a Approval) error { return s.onPage(a, true) }

func (s *Simulator) onPage(by Approval, updates bool) error {
	if by.Code != "" && !declineCode.MatchString(by.Code) {
		return errors.New("code: such as AUTHENTICATION_FAILURE")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	a, err := s.page(by.selection(), updates)
	switch {
	case err != nil:
		return err
	case by.Code != "":
		return s.refuse(a, by.Code)
	case by.Card == "":
		by.Card = goodCard
	}
	return s.complete(a, by.Card, "control")
}

// Decline scripts a charge that fails.
func (s *Simulator) Decline(d Decline) error {
	if !declineCode.MatchString(d.Code) {
		return errors.New("code: which error code the payment has, such as INSUFFICIENT_FUNDS")
	}
	s.declines.Add(d.Count, d)
	return nil
}

// MakeBusy scripts 429s.
func (s *Simulator) MakeBusy(b Busy) { s.busy.Add(b.Count, b) }

// end, hold and so on by a control: what may have been done in the dashboard or portal.
func (s *Simulator) change(by Selection, do func(*subscription), states ...string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	sub, err := s.find(by, states...)
	if err == nil {
		do(sub)
	}
	return err
}

// Expire, Cancel and Hold change a subscription as the dashboard, the customer or time may.
func (s *Simulator) Expire(by Selection) error {
	return s.change(by, func(sub *subscription) { s.end(sub, Expired, "control") }, Pending, Active, OnHold, Paused)
}

// Cancel ends a subscription as a customer may in the portal.
func (s *Simulator) Cancel(by Selection) error {
	return s.change(by, func(sub *subscription) { s.end(sub, Cancelled, "control") }, Pending, Active, OnHold, Paused)
}

// Hold puts an active subscription on hold.
func (s *Simulator) Hold(by Selection) error {
	return s.change(by, func(sub *subscription) { s.hold(sub, "control") }, Active)
}

// Take makes a payment that nobody asked for, and gives its id.
func (s *Simulator) Take(f Foreign) (string, error) {
	if f.Amount < minimum || f.Currency != "" && !knownCurrency(f.Currency) {
		return "", fmt.Errorf("amount: %d or more, in a currency that can be charged", minimum)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	sub, err := s.find(Selection{SubscriptionID: f.SubscriptionID, Email: f.Email}, Active, OnHold, Paused, Cancelled, Expired)
	if err != nil {
		return "", err
	}
	if f.Currency == "" {
		f.Currency = sub.currency
	}
	metadata := map[string]any{}
	if f.OrderID != "" {
		metadata["order_id"] = f.OrderID
	}
	p := s.newPayment(sub, f.Amount, f.Currency, metadata)
	p.status, p.origin = processing, "control"
	s.settle(p, "")
	return p.id, nil
}

// Return gives money of a payment back as the dashboard does, and gives the refund's id.
func (s *Simulator) Return(by Return) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.ordered {
		if p.status != succeeded || p.total() == p.returned() || by.PaymentID == "" && by.OrderID == "" ||
			!fits(by.PaymentID, p.id) || !fits(by.OrderID, orderOf(p.metadata)) {
			continue
		}
		if by.Amount == 0 {
			by.Amount = p.total() - p.returned()
		}
		r, code := s.giveBack(p, by.Amount, "", map[string]any{}, "control")
		if code != "" {
			return "", errors.New(code)
		}
		return r.id, nil
	}
	return "", errors.New("paymentId or orderId: of a payment with money left")
}

// Dispute opens a dispute about a payment, or goes on with the one that there is.
func (s *Simulator) Dispute(by Dispute) (string, error) {
	if !slices.Contains(disputeWords, by.Status) {
		return "", errors.New("status: opened, challenged, won, lost, accepted, cancelled or expired")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.ordered {
		if p.status != succeeded || by.PaymentID == "" && by.OrderID == "" || !fits(by.PaymentID, p.id) || !fits(by.OrderID, orderOf(p.metadata)) {
			continue
		}
		if len(p.disputes) == 0 {
			amount := by.Amount
			if amount == 0 {
				amount = p.total()
			}
			p.disputes = append(p.disputes, &dispute{id: "dsp_" + s.stage.Text(20, stage.Alphanumeric), amount: amount, at: s.stage.Now()})
		}
		d := p.disputes[0]
		d.status = "dispute_" + by.Status
		s.send("dispute."+by.Status, orderOf(p.metadata), "Dispute", func() object { return s.shownDispute(p, d) })
		return d.id, nil
	}
	return "", errors.New("paymentId or orderId: of a payment that was taken")
}

// Sell says what a product costs where a call names no price.
func (s *Simulator) Sell(p Product) error {
	if p.ProductID == "" || p.Price < 0 || !knownCurrency(p.Currency) {
		return errors.New("productId, price and currency: what it is and costs")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.products[p.ProductID] = p
	return nil
}

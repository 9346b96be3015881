package play

import (
	"encoding/json"
	"errors"
	"strconv"
)

// The types of subscription notifications (Real-time developer notifications reference).
const (
	typeRecovered             = 1
	typeRenewed               = 2
	typeCanceled              = 3
	typePurchased             = 4
	typeOnHold                = 5
	typeInGrace               = 6
	typeRestarted             = 7
	typePriceChangeConfirmed  = 8
	typeDeferred              = 9
	typePaused                = 10
	typePauseScheduleChanged  = 11
	typeRevoked               = 12
	typeExpired               = 13
	typeItemsChanged          = 17
	typeCancellationScheduled = 18
	typePriceChangeUpdated    = 19
	typePendingCanceled       = 20
	typePriceStepUp           = 22
)

// The types of one-time notifications, and of what was voided.
const (
	oneTimePurchased = 1
	oneTimeCanceled  = 2

	voidedSubscription = 1
	voidedOneTime      = 2
	refundFull         = 1
	refundPartial      = 2

	reviewChargeback = 7
)

// notification is a DeveloperNotification; exactly one of its last five is set.
type notification struct {
	Version string `json:"version"`
	Package string `json:"packageName"`
	At      string `json:"eventTimeMillis"`

	Subscription *subscriptionNotice `json:"subscriptionNotification,omitempty"`
	OneTime      *oneTimeNotice      `json:"oneTimeProductNotification,omitempty"`
	Voided       *voidedNotice       `json:"voidedPurchaseNotification,omitempty"`
	Review       *reviewNotice       `json:"pendingRefundReviewNotification,omitempty"`
	Test         *testNotice         `json:"testNotification,omitempty"`
}

type (
	subscriptionNotice struct {
		Version string `json:"version"`
		Type    int    `json:"notificationType"`
		Token   string `json:"purchaseToken"`
		ID      string `json:"subscriptionId,omitempty"` // deprecated
	}
	oneTimeNotice struct {
		Version string `json:"version"`
		Type    int    `json:"notificationType"`
		Token   string `json:"purchaseToken"`
		SKU     string `json:"sku"`
	}
	voidedNotice struct {
		Token   string `json:"purchaseToken"`
		OrderID string `json:"orderId,omitempty"`
		Product int    `json:"productType"`
		Refund  int    `json:"refundType"`
	}
	reviewNotice struct {
		Version string `json:"version"`
		Token   string `json:"pendingRefundToken"`
		OrderID string `json:"orderId"`
		Reason  int    `json:"refundReason"`
	}
	testNotice struct {
		Version string `json:"version"`
	}
)

// notice begins a notification about an app.
func (s *Simulator) notice(app string) notification {
	return notification{Version: "1.0", Package: app, At: strconv.FormatInt(s.stage.Now().UnixMilli(), 10)}
}

// tellSubscription publishes a notification about a subscription. The caller holds mu, as
// for all of these.
func (s *Simulator) tellSubscription(p *purchase, kind int) {
	n := s.notice(p.app)
	n.Subscription = &subscriptionNotice{Version: "1.0", Type: kind, Token: p.token}
	if *s.settings.Deprecated {
		n.Subscription.ID = p.subscription.items[0].product.id
	}
	s.publish(n, "subscription."+strconv.Itoa(kind), p.name())
}

func (s *Simulator) tellOneTime(p *purchase, kind int) {
	n := s.notice(p.app)
	n.OneTime = &oneTimeNotice{"1.0", kind, p.token, p.picks[0].product.id}
	s.publish(n, "oneTime."+strconv.Itoa(kind), p.name())
}

func (s *Simulator) tellVoided(p *purchase, order string, refund int) {
	n := s.notice(p.app)
	n.Voided = &voidedNotice{p.token, order, voidedOneTime, refund}
	if p.subscription != nil {
		n.Voided.Product = voidedSubscription
	}
	s.publish(n, "voided."+strconv.Itoa(n.Voided.Product)+"."+strconv.Itoa(refund), p.name())
}

func (s *Simulator) tellReview(o *order, token string) {
	n := s.notice(o.purchase.app)
	n.Review = &reviewNotice{"1.0", token, o.id, reviewChargeback}
	s.publish(n, "pendingRefundReview."+strconv.Itoa(reviewChargeback), o.purchase.name())
}

// publish has a notification of one's own making pushed.
func (s *Simulator) publish(n notification, kind, order string) {
	s.push(must(json.Marshal(n)), kind, order)
}

// TestNotification sends what the Console's button sends.
func (s *Simulator) TestNotification() (map[string]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.notice(Package)
	n.Test = &testNotice{"1.0"}
	return s.sent(must(json.Marshal(n)), "test")
}

func (s *Simulator) sent(data []byte, kind string) (map[string]string, error) {
	if !s.stage.Reachable() {
		return nil, errors.New("there is no address that notifications are sent to")
	}
	return map[string]string{"messageId": s.push(data, kind, "")}, nil
}

// Notice is a notification given as it is, whatever it says.
type Notice struct {
	// Data is the DeveloperNotification; nil makes one of the fields below.
	Data json.RawMessage `json:"data,omitempty"`
	// Raw is what is sent in its place, such as what is no JSON.
	Raw           string `json:"raw,omitempty"`
	Type          int    `json:"type,omitempty"`          // of a subscription's or one-time product's notification
	PurchaseToken string `json:"purchaseToken,omitempty"` // of the same
	PackageName   string `json:"packageName,omitempty"`
}

// Notify pushes any notification; nothing else happens. It gives the messageId.
func (s *Simulator) Notify(n Notice) (map[string]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case n.Data != nil:
		return s.sent(n.Data, "given")
	case n.Raw != "":
		return s.sent([]byte(n.Raw), "given")
	}
	p, err := s.purchaseOf(n.PurchaseToken)
	if err != nil {
		return nil, err
	}
	made := s.notice(or(n.PackageName, p.app))
	name := "oneTime."
	if p.subscription != nil {
		name = "subscription."
		made.Subscription = &subscriptionNotice{Version: "1.0", Type: n.Type, Token: p.token}
	} else {
		made.OneTime = &oneTimeNotice{"1.0", n.Type, p.token, p.picks[0].product.id}
	}
	return s.sent(must(json.Marshal(made)), name+strconv.Itoa(n.Type))
}

// Republished is a message that shall be published once more.
type Republished struct {
	MessageID string `json:"messageId,omitempty"` // "" is the last one
}

// Republish publishes a notification once more: the same, with another messageId.
func (s *Simulator) Republish(a Republished) (map[string]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := len(s.published) - 1; i >= 0; i-- {
		if m := s.published[i]; a.MessageID == "" || m.id == a.MessageID {
			return map[string]string{"messageId": s.push(m.data, m.kind, m.order)}, nil
		}
	}
	return nil, errors.New("messageId: no such message")
}

package appsintoss

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"grantline/infra/sim/stage"
)

// sender is how notifications are sent. Whether and when they are repeated is not
// documented: five tries, minutes apart, are chosen.
var sender = stage.Sender{
	Path:    "/webhooks/appsintoss",
	Retries: []time.Duration{time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute},
	Timeout: 10 * time.Second,
	OK:      func(status int) bool { return status/100 == 2 },
}

// Verification is the type of the webhook by which the console checks an address.
const Verification = "callback.registration_verification"

const statusChanged = "subscription.status_changed"

// standing is how a subscription stands, as a webhook says it.
type standing struct {
	Status        string  `json:"status"`
	AccessGranted bool    `json:"accessGranted"`
	ExpiresAt     *string `json:"expiresAt"`
	AutoRenew     bool    `json:"autoRenew"`

	reason string
}

// event is the body of a webhook. There is no id in it, no user and no signature.
type event struct {
	Type         string   `json:"eventType"`
	Version      string   `json:"eventVersion,omitempty"`
	OccurredAt   string   `json:"occurredAt"`
	OrderID      string   `json:"orderId,omitempty"`
	SKU          string   `json:"sku,omitempty"`
	ChangeReason string   `json:"changeReason,omitempty"`
	Subscription *between `json:"subscription,omitempty"`
}

type between struct {
	Previous *standing `json:"previous,omitempty"`
	Current  *standing `json:"current"`
}

// stand is how a subscription stands now. The caller holds mu.
func (s *Simulator) stand(l *line, reason string) *standing {
	now := &standing{Status: l.status, AccessGranted: l.accessible(), AutoRenew: l.autoRenew, reason: reason}
	ends := l.expires
	if l.status == inGrace && *s.settings.GraceExpiry == ofGrace {
		ends = l.graceEnds
	}
	if known := *s.settings.NullExpiry; known == never || known == atCreation && reason != created {
		now.ExpiresAt = ptr(write(ends, *s.settings.WebhookTimes))
	}
	return now
}

// about is the event of a change.
func (s *Simulator) about(l *line, reason string, current *standing) event {
	return event{
		Type: statusChanged, Version: "1.0", OccurredAt: write(s.stage.Now(), *s.settings.WebhookTimes),
		OrderID: l.last().id, SKU: l.sku, ChangeReason: reason, Subscription: &between{l.told, current},
	}
}

// tell sends a change of a subscription to its mini-app. The caller holds mu.
func (s *Simulator) tell(l *line, reason string) {
	current := s.stand(l, reason)
	e := s.about(l, reason, current)
	l.told = current
	s.send(reason, l.last(), stage.JSON(0, e).Body)
}

// send delivers a body as it is, however often it is tried. Only the sample's own mini-app
// has registered an address.
func (s *Simulator) send(kind string, o *order, body []byte) {
	if !s.stage.Reachable() || o.app != OwnApp {
		return
	}
	s.sent++
	s.stage.Send(stage.Webhook{
		ID: strconv.FormatInt(s.sent, 10), Type: kind, OrderID: o.id,
		Compose: func(int) (http.Header, []byte) {
			s.mu.Lock()
			defer s.mu.Unlock()
			return header(*s.settings.Scheme + " " + s.secret), body
		},
	})
}

func header(authorization string) http.Header {
	h := http.Header{"Content-Type": {"application/json"}, "User-Agent": {"Apps-in-Toss"}}
	if authorization != "" {
		h.Set("Authorization", authorization)
	}
	return h
}

// WebhookSecret is what the console was given for the Authorization of webhooks.
func (s *Simulator) WebhookSecret() string { return s.secret }

// Register has the console check the address, once, and gives the status that it got; 0 is
// no answer.
func (s *Simulator) Register(ctx context.Context) (int, error) {
	if !s.stage.Reachable() {
		return 0, errors.New("there is no address to send to")
	}
	s.mu.Lock()
	authorization := *s.settings.VerificationScheme + " " + s.secret
	body := stage.JSON(0, event{Type: Verification, OccurredAt: write(s.stage.Now(), *s.settings.WebhookTimes)}).Body
	s.mu.Unlock()
	return s.stage.Post(ctx, header(authorization), body), nil
}

// Notice is a webhook that is sent though nothing happened.
type Notice struct {
	OrderID      string          `json:"orderId,omitempty"`
	ChangeReason string          `json:"changeReason,omitempty"` // one that nobody knows, too
	Status       string          `json:"status,omitempty"`       // "" is the true one
	OccurredAt   string          `json:"occurredAt,omitempty"`   // as it shall be written; "" is now
	Body         json.RawMessage `json:"body,omitempty"`         // any JSON, instead of all that
	Raw          string          `json:"raw,omitempty"`          // any text, instead of all that
}

// Notify sends a webhook about a subscription as it stands, or with any body.
func (s *Simulator) Notify(n Notice) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n.Raw != "" || n.Body != nil {
		body := []byte(n.Raw)
		if n.Raw == "" {
			body = n.Body
		}
		s.send("notify", &order{app: OwnApp, id: n.OrderID}, body)
		return nil
	}
	o, err := s.orderOf(n.OrderID)
	switch {
	case err != nil:
		return err
	case o.line == nil:
		return fmt.Errorf("order %q is of no subscription", n.OrderID)
	case n.ChangeReason == "":
		return fmt.Errorf("changeReason: such as one of %s", strings.Join(reasons, ", "))
	}
	current := s.stand(o.line, n.ChangeReason)
	if n.Status != "" {
		current.Status = n.Status
	}
	e := s.about(o.line, n.ChangeReason, current)
	e.OrderID = o.id
	if n.OccurredAt != "" {
		e.OccurredAt = n.OccurredAt
	}
	s.send(n.ChangeReason, o, stage.JSON(0, e).Body)
	return nil
}

// Forgery is a webhook of somebody who is not Toss.
type Forgery struct {
	How          string `json:"how"`
	OrderID      string `json:"orderId,omitempty"`      // "" is one that nobody made
	SKU          string `json:"sku,omitempty"`          // "" is the order's, or premium-1month
	ChangeReason string `json:"changeReason,omitempty"` // "" is RENEWED
}

// forgeries are what the Authorization of a forgery is made of.
var forgeries = map[string]func(secret string) string{
	"none":   func(string) string { return "" },
	"empty":  func(string) string { return "Basic " },
	"wrong":  func(secret string) string { return "Basic " + strings.Repeat("x", len(secret)) },
	"short":  func(secret string) string { return "Basic " + secret[:len(secret)-1] },
	"long":   func(secret string) string { return "Basic " + secret + "x" },
	"case":   func(secret string) string { return "Bearer " + strings.ToUpper(secret) },
	"bare":   func(secret string) string { return secret },
	"token":  func(secret string) string { return "Token " + secret },
	"digest": func(secret string) string { return "Digest " + secret },
	"base64": func(secret string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(secret)) },
	"pair": func(secret string) string {
		return "Basic " + base64.StdEncoding.EncodeToString([]byte("toss:"+secret))
	},
}

func waysToForge() string {
	var ways []string
	for how := range forgeries {
		ways = append(ways, how)
	}
	slices.Sort(ways)
	return strings.Join(ways, ", ")
}

// Forge sends a webhook that says more than is true, once, with an Authorization that is
// wrong in one way, and gives the status that it got; 0 is no answer.
func (s *Simulator) Forge(ctx context.Context, f Forgery) (int, error) {
	authorization, ok := forgeries[f.How]
	switch {
	case !ok:
		return 0, fmt.Errorf("how %q: one of %s", f.How, waysToForge())
	case !s.stage.Reachable():
		return 0, errors.New("there is no address to send to")
	}
	s.mu.Lock()
	now := s.stage.Now()
	form := *s.settings.WebhookTimes
	e := event{Type: statusChanged, Version: "1.0", OccurredAt: write(now, form), OrderID: f.OrderID, SKU: f.SKU, ChangeReason: f.ChangeReason}
	if o := s.orders[f.OrderID]; o != nil && e.SKU == "" {
		e.SKU = o.sku
	}
	s.mu.Unlock()
	if e.OrderID == "" {
		e.OrderID = s.stage.UUID()
	}
	if e.SKU == "" {
		e.SKU = "premium-1month"
	}
	if e.ChangeReason == "" {
		e.ChangeReason = renewed
	}
	far := write(now.AddDate(1, 0, 0), form)
	e.Subscription = &between{Current: &standing{Status: active, AccessGranted: true, ExpiresAt: &far, AutoRenew: true}}
	if e.ChangeReason == wasRevoked || e.ChangeReason == hasExpired {
		e.Subscription.Current = &standing{Status: e.ChangeReason, ExpiresAt: &far}
	}
	return s.stage.Post(ctx, header(authorization(s.secret)), stage.JSON(0, e).Body), nil
}

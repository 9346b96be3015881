package dodo

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"

	"grantline/infra/sim/stage"
)

// sender is how webhooks are sent (Dodo Payments webhook guide): up to eight repeats, each
// after another wait, and 15 s for an answer of 2xx.
var sender = stage.Sender{
	Path: "/webhooks/dodo",
	Retries: []time.Duration{
		0, 5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 10 * time.Hour,
	},
	Timeout: 15 * time.Second,
	OK:      func(status int) bool { return status/100 == 2 },
}

// keptFor is how long a secret signs beside the one that replaced it.
const keptFor = 24 * time.Hour

// secret signs webhooks.
type secret struct {
	value string
	until time.Time // zero of the current one
}

// send sends an event about an object. Its time is that of the event, its payload the
// object as it is at each delivery. The caller holds mu.
func (s *Simulator) send(kind, order, payload string, show func() object) {
	id, at := "msg_"+s.stage.Text(27, stage.Alphanumeric), s.stage.Now()
	s.stage.Send(stage.Webhook{ID: id, Type: kind, OrderID: order, Compose: func(int) (http.Header, []byte) {
		s.mu.Lock()
		defer s.mu.Unlock()
		data := object{"payload_type": payload}
		maps.Copy(data, show())
		body, err := json.Marshal(object{"business_id": s.business, "type": kind, "timestamp": instant(at), "data": data})
		if err != nil {
			panic(fmt.Sprintf("dodo: a webhook of the simulator's own is no JSON: %v", err))
		}
		return s.sign(id, body), body
	}})
}

// tell sends an event about a subscription.
func (s *Simulator) tell(sub *subscription, kind string) {
	s.send(kind, orderOf(sub.metadata), "Subscription", func() object { return s.show(sub) })
}

// tellPayment sends an event about a payment.
func (s *Simulator) tellPayment(p *payment, kind string) {
	s.send(kind, orderOf(p.metadata), "Payment", func() object { return s.full(p) })
}

// sign makes the headers of an attempt, with the signature of each secret that is valid
// now, the current one first.
func (s *Simulator) sign(id string, body []byte) http.Header {
	now := s.stage.Now()
	stamp := strconv.FormatInt(now.Unix(), 10)
	var signatures []string
	for i := len(s.secrets) - 1; i >= 0; i-- {
		if known := s.secrets[i]; known.until.IsZero() || now.Before(known.until) {
			signatures = append(signatures, Signature(known.value, id, stamp, body))
		}
	}
	return http.Header{
		"Content-Type": {"application/json"}, "Webhook-Id": {id}, "Webhook-Timestamp": {stamp},
		"Webhook-Signature": {strings.Join(signatures, " ")},
	}
}

// Signature signs a message under a secret of the form whsec_… (Standard Webhooks). It
// panics for a secret that is none.
func Signature(secret, id, timestamp string, body []byte) string {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		panic("dodo: a secret is whsec_ and base64")
	}
	mac := hmac.New(sha256.New, key)
	_, _ = fmt.Fprintf(mac, "%s.%s.", id, timestamp) // never fails
	mac.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// Rotate replaces the secret and gives the new one. The old one signs beside it for a day.
func (s *Simulator) Rotate() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.secrets[len(s.secrets)-1].until = s.stage.Now().Add(keptFor)
	s.secrets = append(s.secrets, secret{value: s.next})
	s.next = s.newSecret()
	return s.secrets[len(s.secrets)-1].value
}

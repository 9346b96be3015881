package toss

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"grantline/infra/sim/stage"
)

// sender is how webhooks are sent (Toss Payments webhook guide): up to seven repeats, 1,
// 4, 16 … minutes after one another, and 10 s for an answer of 200.
var sender = stage.Sender{
	Path: "/webhooks/toss",
	Retries: []time.Duration{
		time.Minute, 4 * time.Minute, 16 * time.Minute, 64 * time.Minute, 256 * time.Minute, 1024 * time.Minute, 4096 * time.Minute,
	},
	Timeout: 10 * time.Second,
	OK:      func(status int) bool { return status == http.StatusOK },
}

// tell sends an event, which nobody signs. Its data are as they are now, not as they are
// when it arrives. The live shop has no address to send to.
func (s *Simulator) tell(shop *shop, kind, order string, data any) {
	if shop.live {
		return
	}
	body, err := json.Marshal(map[string]any{
		"eventType": kind, "data": data,
		"createdAt": s.stage.Now().In(seoul).Format("2006-01-02T15:04:05.000000"), // in the zone that nobody names
	})
	if err != nil {
		panic(fmt.Sprintf("toss: a webhook of the simulator's own is no JSON: %v", err))
	}
	id := "whtrans_" + s.stage.Text(32, stage.Alphanumeric)
	s.stage.Send(stage.Webhook{ID: id, Type: kind, OrderID: order, Compose: func(attempt int) (http.Header, []byte) {
		return http.Header{
			"Content-Type":                           {"application/json"},
			"Tosspayments-Webhook-Transmission-Id":   {id},
			"Tosspayments-Webhook-Transmission-Time": {s.stage.Now().In(seoul).Format(time.RFC3339)},
			"Tosspayments-Webhook-Retried-Count":     {strconv.Itoa(attempt)},
		}, body
	}})
}

// cancelled sends the news of a cancel. There are none of a charge on a billing key.
func (s *Simulator) cancelled(shop *shop, p *Payment) {
	s.tell(shop, "PAYMENT_STATUS_CHANGED", p.OrderID, p)
}

// forgotten sends the news that a billing key is deleted.
func (s *Simulator) forgotten(shop *shop, key string) {
	s.tell(shop, "BILLING_DELETED", "", map[string]any{"billingKey": key, "reason": nil})
}

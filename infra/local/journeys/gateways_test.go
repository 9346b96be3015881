package journeys_test

import (
	"fmt"
	"strings"
	"testing"
)

// script is a journey that a test puts together.
type script struct{ strings.Builder }

func (s *script) say(format string, args ...any) { fmt.Fprintf(s, format+"\n", args...) }

// fault is one of the six ways for a call to go wrong.
type fault struct{ when, how string }

func (f fault) done() bool { return f.when == "after" }

func faults() (all []fault) {
	for _, when := range whens {
		for _, how := range hows {
			all = append(all, fault{when, how})
		}
	}
	return all
}

// breaks has the next call of an endpoint go wrong.
func (s *script) breaks(provider, endpoint string, f fault) {
	s.say(`POST /_sim/%s/fault {"endpoint":%q,"when":%q,"how":%q}`, provider, endpoint, f.when, f.how)
	s.say("expect 200")
}

// mandate signs a customer up with Dodo Payments, however often that takes.
func (s *script) mandate(who, plan string, only bool) {
	body := fmt.Sprintf(`{"id":"sub-%[1]s","planId":%[2]q,"gateway":"dodo","dodo":{"customer":{"email":"%[1]s@example.com","name":%[1]q},"billing":{"country":"US"},"returnUrl":"https://app.example.com/done","mandateOnly":%[3]t}}`, who, plan, only)
	s.say("POST /v1/subscriptions as server for %s %s", who, body)
	s.say("expect 201 or 503")
	s.say("eventually POST /v1/subscriptions as server for %s %s", who, body)
	s.say("expect 200 or 201")
	s.say("expect .paymentLink exists")
}

func (s *script) card(who, plan string) {
	s.say(`POST /v1/subscriptions as server for %[1]s {"id":"sub-%[1]s","planId":%[2]q,"gateway":"toss","toss":{"authKey":"auth-%[1]s","customerKey":"key-%[1]s"}}`, who, plan)
	s.say("expect 201 or 202")
}

// Each way for a call of Dodo Payments to go wrong: a page, a first charge, a renewal with
// its look-ups, a charge on demand and a refund. It has no idempotency keys, so what may have
// been done is waited for, and never done again to find out.
func TestWhateverHappensToACallOfDodoMoneyIsTakenOnce(t *testing.T) {
	t.Parallel()
	s := start(t, quick)
	var j script
	j.say("clock until 2040-01-01T06:00:00Z")
	j.say(`POST /_sim/dodo/settings {"perSecond":0,"perMinute":0}`)
	var all, signUps []string
	for _, only := range []bool{true, false} {
		for _, f := range faults() {
			who := fmt.Sprintf("customer-%d", len(all))
			all = append(all, who)
			j.breaks("dodo", "create", f)
			var one script
			one.mandate(who, "premium-usd", only)
			signUps = append(signUps, one.String())
		}
	}
	tell(t, s, j.String())
	together(t, s, signUps) // whichever of the faults each of them meets
	j = script{}
	for _, f := range faults() {
		j.breaks("dodo", "charge", f)
		j.breaks("dodo", "get-subscription", f)
	}
	for _, who := range all {
		j.say(`POST /_sim/dodo/approve {"email":"%s@example.com"}`, who)
		j.say("expect 200")
	}
	j.say("clock 120h") // a day to be sure that nothing was taken, and the next attempt three days on
	for _, who := range all {
		j.say("GET /v1/subscriptions/sub-%s as server", who)
		j.say(`expect .state == "active"`)
		j.say("expect .period == 1")
		j.say(`expect .charges[last].state == "paid"`)
	}
	j.say("effects dodo charged == %d", len(all))

	// A month on, renewals have each of the faults, and so have the looks at them, but not the
	// daily comparison, which comes at night.
	j.say("clock until 2040-02-01T05:55:00Z")
	for _, f := range append(faults(), brief()...) {
		j.breaks("dodo", "charge", f)
		j.breaks("dodo", "get", f)
		j.breaks("dodo", "list", f)
	}
	j.say("clock 1h")
	j.say("POST /_sim/dodo/calm {}") // of the looks that were not needed
	j.say("clock 120h")
	for _, who := range all {
		j.say("GET /v1/subscriptions/sub-%s as server", who)
		j.say(`expect .state == "active"`)
		j.say("expect .period == 2")
		j.say("GET /v1/customers/%s as server", who)
		j.say("expect .entitlements[id=premium].active == true")
	}
	j.say("effects dodo charged == %d", 2*len(all))
	j.say("effects dodo charged once for each order")

	tell(t, s, j.String())

	// On demand, and money given back. Each charge meets its own fault, and each refund one.
	var asked, orders []string
	for i, f := range faults() {
		charges := object(t, s, "", "/v1/subscriptions/sub-"+all[i])["charges"].([]any)
		orders = append(orders, charges[len(charges)-1].(map[string]any)["orderId"].(string))
		j = script{}
		j.say(`POST /_sim/dodo/fault {"endpoint":"charge","when":%q,"how":%q,"id":"demand-%d"}`, f.when, f.how, i)
		j.say("expect 200")
		j.say(`patiently POST /v1/subscriptions/sub-%s/charge as server {"orderId":"demand-%d","amount":700,"currency":"USD","description":"Extra"}`, all[i], i)
		j.say("expect 200 or 202")
		j.breaks("dodo", "refund", f)
		j.breaks("dodo", "list-refunds", f)
		j.say(`patiently POST /v1/orders/%s/refund as server {"amount":100,"reason":"Apology","reference":"case"}`, orders[i])
		j.say("expect 200 or 202")
		asked = append(asked, j.String())
	}
	together(t, s, asked)
	j = script{}
	j.say("clock 1h")
	j.say("POST /_sim/dodo/calm {}")
	j.say("clock 95h")
	paid := 0
	for i, f := range faults() {
		state := "declined" // what was not made is never made up for behind the caller's back
		if f.done() {
			state = "paid"
			paid++
		}
		j.say("GET /v1/orders/demand-%d as server", i)
		j.say("expect .order.state == %q", state)
		j.say("GET /v1/orders/%s as server", orders[i])
		j.say("expect .order.refunded == 100")
	}
	j.say("effects dodo charged == %d", 2*len(all)+paid)
	j.say("effects dodo charged once for each order")
	j.say("effects dodo refunded == %d", len(faults()))
	j.say("queues are empty")
	tell(t, s, j.String())
}

// The same of charges on demand and refunds with Toss Payments, which has idempotency keys:
// all is done, once, within hours.
func TestWhateverHappensToACallOfTossOnDemandItIsMadeOnce(t *testing.T) {
	t.Parallel()
	s := start(t, quick)
	var j script
	for i := range faults() {
		j.card(fmt.Sprintf("customer-%d", i), "premium-monthly")
	}
	tell(t, s, j.String())
	var asked, orders []string
	for i, f := range faults() {
		who := fmt.Sprintf("customer-%d", i)
		charges := object(t, s, "", "/v1/subscriptions/sub-"+who)["charges"].([]any)
		orders = append(orders, charges[0].(map[string]any)["orderId"].(string))
		j = script{}
		j.say(`POST /_sim/toss/fault {"endpoint":"charge","when":%q,"how":%q,"id":"demand-%d"}`, f.when, f.how, i)
		j.say("expect 200")
		j.say(`patiently POST /v1/subscriptions/sub-%s/charge as server {"orderId":"demand-%d","amount":700,"currency":"KRW","description":"Extra"}`, who, i)
		j.say("expect 200 or 202")
		j.breaks("toss", "cancel", f)
		j.say(`patiently POST /v1/orders/%s/refund as server {"amount":100,"reason":"Apology","reference":"case"}`, orders[i])
		j.say("expect 200 or 202")
		// Asked again, in the middle of it.
		j.say(`patiently POST /v1/orders/%s/refund as server {"amount":100,"reason":"Apology","reference":"case"}`, orders[i])
		j.say("expect 200 or 202")
		asked = append(asked, j.String())
	}
	together(t, s, asked)
	j = script{}
	j.say("clock 6h")
	for i := range faults() {
		j.say("GET /v1/orders/demand-%d as server", i)
		j.say(`expect .order.state == "paid"`)
		j.say("GET /v1/orders/%s as server", orders[i])
		j.say("expect .order.refunded == 100")
		j.say("GET /v1/subscriptions/sub-customer-%d as server", i)
		j.say("expect .period == 1")
		j.say("expect .charges has 2")
	}
	j.say("effects toss charged == %d", 2*len(faults()))
	j.say("effects toss charged once for each order")
	j.say("effects toss cancelled == %d", len(faults()))
	j.say("queues are empty")
	tell(t, s, j.String())
}

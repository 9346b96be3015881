package journeys_test

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"testing"

	"grantline/infra/local/faulty"
	"grantline/infra/local/stack"
)

// two signs up somebody at Toss Payments and somebody at Dodo Payments, both due at 10:00 on
// the first of each month.
func two() string {
	var j script
	j.say("clock until 2040-01-01T10:00:00Z")
	j.card("minji", "premium-monthly")
	j.mandate("jisoo", "premium-usd", true)
	j.say(`POST /_sim/dodo/approve {"email":"jisoo@example.com"}`)
	j.say("clock 10m")
	return j.String() + bothPaid(1)
}

// bothPaid says that so many periods are paid, each once, and that nobody is without access.
func bothPaid(periods int) string {
	var j script
	for who, gateway := range map[string]string{"minji": "toss", "jisoo": "dodo"} {
		j.say("GET /v1/subscriptions/sub-%s as server", who)
		j.say(`expect .state == "active"`)
		j.say("expect .period == %d", periods)
		j.say("effects %s charged == %d", gateway, periods)
		j.say("effects %s charged once for each order", gateway)
	}
	return j.String() + bothHaveAccess
}

const bothHaveAccess = `
	GET /v1/customers/minji as server
	expect .entitlements[id=premium].active == true
	GET /v1/customers/jisoo as server
	expect .entitlements[id=premium].active == true
`

// long says that there is time for the whole of it; CI has a short form.
func long() bool { return os.Getenv("GRANTLINE_LONG") != "" }

// For six hours around a renewal no call of either gateway gets a good answer, in each way, or
// in the worst where there is little time.
// Nobody loses access meanwhile, and afterwards the money of the period is taken once: within
// hours where the same may be sent again, else at the next attempt.
func TestASixHourOutageOfTheGatewaysTakesMoneyOnce(t *testing.T) {
	t.Parallel()
	ways := []fault{{"after", "reset"}}
	if long() {
		ways = append(ways, fault{"before", "500"}, fault{"before", "hang"})
	}
	s := start(t, quick)
	tell(t, s, two())
	for month, f := range ways {
		t.Logf("%s, %s", f.when, f.how)
		var j script
		j.say("clock until 2040-%02d-01T09:55:00Z", month+2)
		for _, gateway := range []string{"toss", "dodo"} {
			j.say(`POST /_sim/%s/fault {"when":%q,"how":%q,"count":1000000}`, gateway, f.when, f.how)
			j.say("expect 200")
		}
		j.say("clock 6h")
		j.say(bothHaveAccess)
		// Who signs up in the middle of it waits, and is refused nothing.
		j.say(`POST /v1/subscriptions as server for late-%[1]d {"id":"late-%[1]d","planId":"premium-yearly","gateway":"toss","toss":{"authKey":"late-%[1]d","customerKey":"key-late-%[1]d"}}`, month)
		j.say("expect 202 or 503")
		j.say("POST /_sim/toss/calm {}")
		j.say("POST /_sim/dodo/calm {}")
		j.say("clock 4h")
		j.say("GET /v1/subscriptions/sub-minji as server")
		j.say("expect .period == %d", month+2)
		j.say("POST /v1/subscriptions as server for late-%[1]d %s", month, fmt.Sprintf(
			`{"id":"late-%[1]d","planId":"premium-yearly","gateway":"toss","toss":{"authKey":"late-%[1]d","customerKey":"key-late-%[1]d"}}`, month))
		j.say("expect 200 or 201")
		j.say(`expect .subscription.state == "active"`)
		j.say("POST /v1/subscriptions/late-%d/cancel as server {\"at\":\"now\"}", month)
		j.say("expect 200")
		j.say("clock 96h")
		j.say("GET /v1/subscriptions/sub-jisoo as server")
		j.say(`expect .state == "active"`)
		j.say("expect .period == %d", month+2)
		j.say("effects dodo charged == %d", month+2)
		j.say("effects dodo charged once for each order")
		j.say("effects toss charged == %d", 2*(month+1)+1)
		j.say("effects toss charged once for each order")
		j.say(bothHaveAccess)
		// Of webhooks that came meanwhile nothing could be learned, and nothing was lost by it.
		j.say("POST /_local/queues/NoticesQueue/redrive")
		j.say("expect 200")
		j.say("clock 1h")
		j.say("queues are empty")
		tell(t, s, j.String())
	}
}

// For six hours around a renewal no schedule fires.
func TestASixHourOutageOfTheSchedulerIsMadeUpFor(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	tell(t, s, two()+"clock until 2040-02-01T09:55:00Z")
	s.StopSchedules(true)
	tell(t, s, "clock 6h\neffects toss charged == 1\neffects dodo charged == 1\n"+bothHaveAccess)
	s.StopSchedules(false)
	tell(t, s, "clock 10m\n"+bothPaid(2)+`
		GET /v1/subscriptions/sub-minji as server
		expect .charges[1].dueAt within 10m of 2040-02-01T10:00:00Z
		expect .charges[1].sentAt within 10m of 2040-02-01T15:55:00Z
		expect .nextDueAt within 10m of 2040-03-01T10:00:00Z
		queues are empty
	`)
}

// For six hours around a renewal, or ten minutes where there is little time, no call of
// the tables succeeds; and for as long as that writes alone fail, with nothing done and with all done.
func TestAnOutageOfTheTablesIsMadeUpFor(t *testing.T) {
	t.Parallel()
	outage := "10m"
	if long() {
		outage = "6h"
	}
	var proxy *faulty.Proxy
	s := start(t, func(o *stack.Options) {
		o.DynamoDBProxy = func(target *url.URL) http.Handler {
			proxy = faulty.New(target)
			return proxy
		}
	})
	const always = 1 << 30
	tell(t, s, two()+"clock until 2040-02-01T09:55:00Z")
	proxyBreak(t, proxy, faulty.Fault{Times: always, When: faulty.Before, How: faulty.Error})
	tell(t, s, "clock "+outage+`
		effects toss charged == 1
		effects dodo charged == 1
		GET /v1/customers/minji as server
		expect 503
		expect .retryable == true
		POST /v1/subscriptions as server for suho {"id":"sub-suho","planId":"premium-monthly","gateway":"toss","toss":{"authKey":"auth-suho","customerKey":"key-suho"}}
		expect 503
	`)
	proxy.Mend()
	tell(t, s, "clock 30m\n"+bothPaid(2)+"queues are empty")
	for i, when := range []faulty.When{faulty.Before, faulty.After} {
		t.Logf("writes, %s", when)
		tell(t, s, fmt.Sprintf("clock until 2040-%02d-01T09:55:00Z", i+3))
		for _, operation := range []string{"PutItem", "TransactWriteItems"} {
			proxyBreak(t, proxy, faulty.Fault{Operation: operation, Times: always, When: when, How: faulty.Error})
		}
		tell(t, s, "clock 15m")
		proxy.Mend()
		tell(t, s, "clock 1h\n"+bothPaid(i+3)+"queues are empty")
	}
}

package journeys_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"grantline/infra/local/faulty"
	"grantline/infra/local/stack"
	simulated "grantline/infra/sim/appsintoss"
)

var (
	whens = []string{"before", "after"}
	hows  = []string{"hang", "reset", "500"}
)

// quick shortens what a fault makes a function wait for; everything else is as deployed.
func quick(o *stack.Options) {
	o.Variables = map[string]string{"TOSS_TIMEOUT": "2s", "DODO_TIMEOUT": "2s", "SIGNUP_TIMEOUT": "2s"}
}

// Each way for a call of Toss's to go wrong, at the sign-up and at a renewal a month on:
// the money of each period is taken once, and nothing is stuck.
func TestWhateverHappensToACallOfTossMoneyIsTakenOnce(t *testing.T) {
	t.Parallel()
	s := start(t, quick)
	var script strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&script, format+"\n", args...) }
	customers := 0
	var signUps []string
	for _, endpoint := range []string{"issue", "charge"} {
		for _, f := range faults() {
			customers++
			who := fmt.Sprintf("customer-%d", customers)
			id := "auth-" + who
			if endpoint == "charge" {
				id = "key-" + who
			}
			signUps = append(signUps, fmt.Sprintf(`
				POST /_sim/toss/fault {"endpoint":%[2]q,"when":%[3]q,"how":%[4]q,"id":%[5]q}
				expect 200
				patiently POST /v1/subscriptions as server for %[1]s {"id":"sub-%[1]s","planId":"premium-monthly","gateway":"toss","toss":{"authKey":"auth-%[1]s","customerKey":"key-%[1]s"}}
				expect 200 or 201 or 202`, who, endpoint, f.when, f.how, id))
		}
	}
	together(t, s, signUps) // for a hang takes its time
	say("clock 1h")
	for i := 1; i <= customers; i++ {
		say("GET /v1/subscriptions/sub-customer-%d as server", i)
		say(`expect .state == "active"`)
		say(`expect .charges has 1`)
		say(`expect .charges[0].state == "paid"`)
		say("GET /v1/customers/customer-%d as server", i)
		say(`expect .entitlements[id=premium].active == true`)
	}
	say("effects toss issued == %d", customers)
	say("effects toss charged == %d", customers)

	// A month on, each of the twelve renewals has one of the faults.
	for range 2 {
		for _, when := range whens {
			for _, how := range hows {
				say(`POST /_sim/toss/fault {"endpoint":"charge","when":"%s","how":"%s"}`, when, how)
			}
		}
	}
	say("clock 768h") // 32 days: the renewal, and more than a day to resolve
	for i := 1; i <= customers; i++ {
		say("GET /v1/subscriptions/sub-customer-%d as server", i)
		say(`expect .state == "active"`)
		say(`expect .period == 2`)
		say(`expect .charges has 2`)
		say(`expect .charges[1].state == "paid"`)
		say("GET /v1/customers/customer-%d/events as server", i)
		say(`expect .events has 3`)
	}
	say("effects toss charged == %d", 2*customers)
	say("queues are empty")
	tell(t, s, script.String())
}

// broken is a call to the tables that a journey makes.
type broken struct {
	what      string
	operation string
	contains  string // with %s for the customer, or for the order where nobody signs up
	skip      int
}

// Each write to the tables on the way of a purchase, a sign-up and a renewal, failing in
// each way, for as long as the SDK repeats it: the customer asks again, and is granted
// once and charged once. What fails in one way does so side by side, for a hang takes its time.
func TestWhateverHappensToATableGrantAndChargeAreMadeOnce(t *testing.T) {
	t.Parallel()
	var proxy *faulty.Proxy
	s := start(t, func(o *stack.Options) {
		quick(o)
		o.DynamoDBProxy = func(target *url.URL) http.Handler {
			proxy = faulty.New(target)
			return proxy
		}
	})
	n, subscriptions := 0, 0
	for _, how := range hows {
		var first, again, then []string
		for _, write := range []broken{
			{"the grant of a purchase", "TransactWriteItems", "%s", 0},
			{"the subscription", "TransactWriteItems", `#sub-%s"`, 0},
			{"the billing key", "PutItem", `#sub-%s"`, 0},
			{"the claim of a charge", "PutItem", `"subscription":{"S":"sub-%s"}`, 0},
			{"the close of a charge", "PutItem", `"subscription":{"S":"sub-%s"}`, 1},
			{"the advance", "TransactWriteItems", `#sub-%s"`, 1},
		} {
			for _, when := range whens {
				n++
				who := fmt.Sprintf("c%d", n)
				t.Logf("%s: %s, %s, %s", who, write.what, when, how)
				whose := who
				if strings.HasPrefix(write.what, "the grant") {
					order, err := s.Sim().AppsInToss.Order(simulated.NewOrder{SKU: "gems-100", Status: "PAYMENT_COMPLETED"})
					if err != nil {
						t.Fatal(err)
					}
					whose = order
					claim := fmt.Sprintf("POST /api/iap/fulfill as %s {\"orderId\":%q}\n", who, order)
					first = append(first, claim+"expect 200 or 503")
					again = append(again, "eventually "+claim+"expect 200")
					then = append(then, granted(who))
				} else {
					subscriptions++
					signUp := fmt.Sprintf(`POST /v1/subscriptions as server for %[1]s {"id":"sub-%[1]s","planId":"premium-monthly","gateway":"toss","toss":{"authKey":"auth-%[1]s","customerKey":"key-%[1]s"}}`+"\n", who)
					first = append(first, signUp+"expect 201 or 202 or 503")
					again = append(again, "patiently "+signUp+"expect 200 or 201 or 202")
					then = append(then, subscribed(who))
				}
				proxyBreak(t, proxy, faulty.Fault{
					Operation: write.operation, Contains: strings.ReplaceAll(write.contains, "%s", whose), Skip: write.skip, Times: 4,
					When: faulty.When(when), How: faulty.How(how),
				})
			}
		}
		together(t, s, first)
		proxy.Mend()
		together(t, s, again)
		tell(t, s, "clock 2h\n"+strings.Join(then, "\n"))
	}
	tell(t, s, fmt.Sprintf("effects toss charged == %d\neffects toss issued == %d\nqueues are empty", subscriptions, subscriptions))
}

func proxyBreak(t *testing.T, p *faulty.Proxy, f faulty.Fault) {
	t.Helper()
	if err := p.Break(f); err != nil {
		t.Fatal(err)
	}
}

// granted is what somebody has of one order of gems.
func granted(who string) string {
	return fmt.Sprintf(`
		GET /v1/customers/%[1]s as server
		expect .wallet.gems.balance == 100
		expect .wallet.gems.lots has 1
		GET /v1/customers/%[1]s/events as server
		expect .events has 1`, who)
}

// subscribed is what somebody has who signed up and paid once.
func subscribed(who string) string {
	return fmt.Sprintf(`
		GET /v1/subscriptions/sub-%[1]s as server
		expect .state == "active"
		expect .charges has 1
		expect .charges[0].state == "paid"
		GET /v1/customers/%[1]s as server
		expect .entitlements[id=premium].active == true
		GET /v1/customers/%[1]s/events as server
		expect .events has 2
		expect .events[1].type == "subscription.activated"`, who)
}

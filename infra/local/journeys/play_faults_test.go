package journeys_test

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"grantline/infra/local/stack"
	simulated "grantline/infra/sim/play"
	"grantline/infra/sim/stage"
)

// wrong is a way for a call of the Play Developer API to go wrong.
type wrong struct {
	name string
	// absent says that Google answers to know no such purchase, by which a claim is refused
	// and a notice is let go, at once or after an hour.
	absent bool
	script func(sim *simulated.Simulator, endpoint, id string) error
}

// wrongs are those of any provider, and Google's own; each but the first lasts for a whole
// call with its repetitions.
func wrongs(any []fault) (all []wrong) {
	for _, f := range any {
		all = append(all, wrong{f.when + " " + f.how, false, func(sim *simulated.Simulator, endpoint, id string) error {
			return sim.Fault(stage.Fault{Endpoint: endpoint, When: f.when, How: f.how, ID: id})
		}})
	}
	const whole = 4
	for _, reason := range []string{
		"permissionDenied", "userInsufficientPermission", "purchaseTokenNotFound", "purchaseTokenNoLongerValid", "concurrentUpdate", "rateLimitExceeded", "backendError",
	} {
		absent := strings.HasPrefix(reason, "purchaseToken")
		all = append(all, wrong{reason, absent, func(sim *simulated.Simulator, endpoint, id string) error {
			return sim.Fail(simulated.Failure{Reason: reason, Endpoint: endpoint, ID: id, Count: whole})
		}})
	}
	for _, how := range []string{"empty", "html", "truncated"} {
		all = append(all, wrong{how, false, func(sim *simulated.Simulator, endpoint, id string) error {
			return sim.Spoil(simulated.Garble{How: how, Endpoint: endpoint, ID: id, Count: whole})
		}})
	}
	return all
}

// The goods of a journey of faults: a subscription of two days, and what is sold once.
const (
	twoDays = "premium:monthly"
	gems    = "gems_100"
	forever = "ad_free"
)

// spoiled is a purchase of somebody, of which a call goes wrong.
type spoiled struct {
	who, product string
	by           wrong
	bought       simulated.Bought
}

// has says what the customer has of it, and that it was granted once.
func (p spoiled) has(j *script) {
	j.say("GET /v1/customers/%s as %[1]s", p.who)
	switch p.product {
	case twoDays:
		j.say("expect .entitlements[id=premium].active == true")
	case forever:
		j.say("expect .entitlements[id=ad_free].active == true")
	case gems:
		j.say("expect .wallet.gems.balance == 100")
		j.say("expect .wallet.gems.lots has 1")
	}
}

func claimOf(who, token string) string {
	return fmt.Sprintf(`POST /v1/purchases as %s {"store":"play","play":{"purchaseToken":%q}}`, who, token)
}

// acknowledgedOnce says that each was acknowledged or consumed, once, and none taken back.
func acknowledgedOnce(t *testing.T, sim *simulated.Simulator, all []spoiled) {
	t.Helper()
	told := map[string]map[string]int{}
	for _, e := range sim.Effects() {
		if told[e.TransactionID] == nil {
			told[e.TransactionID] = map[string]int{}
		}
		told[e.TransactionID][e.Kind]++
	}
	for _, p := range all {
		want := "acknowledged"
		if p.product == gems {
			want = "consumed"
		}
		if n := told[p.bought.PurchaseToken]; n[want] != 1 || n["autoRefunded"] != 0 {
			t.Errorf("%s of %s, %s: got %v, want it %s once", p.product, p.who, p.by.name, n, want)
		}
	}
}

// Each way for a call of the Play Developer API to go wrong: at a claim, at what Google is
// told then, at a notice, and at the list of what was given back. Nothing is granted twice,
// an outage refuses and takes nothing, and each purchase is acknowledged in time.
func TestWhateverHappensToACallOfGooglePlayAllIsGrantedAndAcknowledgedOnce(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	sim := s.Sim().Play
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	const lost = `POST /_sim/play/webhook {"how":"drop","count":1000000}`
	tell(t, s, `POST /_sim/play/goods {"productId":"premium:monthly","period":"P2D"}`+"\n"+lost)

	// Claims, side by side.
	var all []spoiled
	var claims []string
	for _, at := range []struct{ endpoint, product string }{
		{simulated.Subscription, twoDays},
		{simulated.Product, gems},
		{simulated.Order, gems},
		{simulated.AcknowledgeSubscription, twoDays},
		{simulated.AcknowledgeProduct, forever},
		{simulated.ConsumeProduct, gems},
	} {
		for _, by := range wrongs(brief()) {
			bought, err := sim.Buy(simulated.Purchase{ProductID: at.product})
			check(err)
			id := bought.PurchaseToken
			if at.endpoint == simulated.Order {
				id = bought.OrderID
			}
			check(by.script(sim, at.endpoint, id))
			p := spoiled{fmt.Sprintf("customer-%d", len(all)), at.product, by, bought}
			all = append(all, p)
			var j script
			j.say("%s", claimOf(p.who, bought.PurchaseToken))
			if by.absent && (at.endpoint == simulated.Subscription || at.endpoint == simulated.Product) {
				j.say("expect 422 or 503")
			} else {
				j.say("expect 200 or 503")
			}
			j.say("eventually %s", claimOf(p.who, bought.PurchaseToken))
			j.say("expect 200")
			p.has(&j)
			j.say("GET /v1/customers/%s/events as %[1]s", p.who)
			j.say("expect .events has 1")
			claims = append(claims, j.String())
		}
	}
	together(t, s, claims)
	tell(t, s, "clock 3h\nPOST /_sim/play/calm {}")
	acknowledgedOnce(t, sim, all)

	// Notices: of renewals, and of what is known by the customer's name alone.
	var j script
	ways, known := wrongs(brief()), all[len(all)-1].who
	account := object(t, s, "", "/v1/customers/"+known)["storeIds"].(map[string]any)["obfuscatedAccountId"].(string)
	subscribed := 0
	for i, p := range all {
		if p.product == twoDays {
			all[i].by = ways[subscribed%len(ways)]
			check(all[i].by.script(sim, simulated.Subscription, p.bought.PurchaseToken))
			_, err := sim.Held(simulated.Held{PurchaseToken: p.bought.PurchaseToken})
			check(err)
			check(sim.Renew(simulated.Held{PurchaseToken: p.bought.PurchaseToken}))
			subscribed++
		}
	}
	var told []spoiled
	for _, by := range ways {
		// It is told of later, when it is known how the look at it goes wrong.
		check(sim.ScriptWebhook(stage.Fate{How: "delay", Type: "oneTime.1", Delay: stage.Duration(60_000_000_000)}))
		bought, err := sim.Buy(simulated.Purchase{ProductID: gems, Account: account})
		check(err)
		check(by.script(sim, simulated.Product, bought.PurchaseToken))
		told = append(told, spoiled{known, gems, by, bought})
	}
	j.say("clock 2h")
	j.say("POST /_sim/play/calm {}")
	for _, p := range told {
		// What is not shown is looked at again for an hour, and what is gone is gone.
		if p.by.absent && p.by.name != "purchaseTokenNotFound" {
			j.say("GET /v1/orders/play_%s as server", p.bought.OrderID)
			j.say("expect 404")
			j.say("%s", claimOf(known, p.bought.PurchaseToken))
			j.say("expect 200")
		}
		j.say("GET /v1/orders/play_%s as server", p.bought.OrderID)
		j.say(`expect .order.state == "granted"`)
		j.say("expect .order.credited == 100")
	}
	j.say("GET /v1/customers/%s as server", known)
	j.say("expect .wallet.gems.balance == %d", 100*(1+len(told)))
	j.say("expect .wallet.gems.lots has %d", 1+len(told))
	for _, p := range all {
		if p.product == twoDays && !p.by.absent {
			j.say("GET /v1/customers/%s as server", p.who)
			j.say("expect .entitlements[id=premium].expiresAt within 3h of 2040-01-05T00:00:00Z")
		}
	}
	// Of what Google did not know for a moment a look at the end knows more.
	j.say("clock until 2040-01-03T03:00:00Z")
	for _, p := range all {
		if p.product == twoDays {
			j.say("GET /v1/customers/%s as server", p.who)
			j.say("expect .entitlements[id=premium].active == true")
			j.say("expect .entitlements[id=premium].expiresAt within 3h of 2040-01-05T00:00:00Z")
			j.say("GET /v1/customers/%s/events as server", p.who)
			j.say("expect .events has 2")
		}
	}
	tell(t, s, j.String())
	acknowledgedOnce(t, sim, told)

	// Whatever is asked fails, for hours, or for one where there is little time: who has something
	// keeps it, and nobody is refused.
	outage := "1h"
	if long() {
		outage = "3h"
	}
	late, err := sim.Buy(simulated.Purchase{ProductID: forever})
	check(err)
	all = append(all, spoiled{"late", forever, wrong{name: "outage"}, late})
	tell(t, s, `POST /_sim/play/fault {"when":"before","how":"500","count":1000000}`)
	asked := []string{claimOf("late", late.PurchaseToken) + "\nexpect 503\nexpect .retryable == true"}
	for _, p := range all[:3] {
		asked = append(asked,
			"patiently "+claimOf(p.who, p.bought.PurchaseToken)+"\nexpect 200",
			"patiently "+claimOf("mallory", p.bought.PurchaseToken)+"\nexpect 409")
	}
	together(t, s, asked)
	j = script{}
	j.say("clock %s", outage)
	for _, p := range all[:len(all)-1] {
		if p.who != known {
			p.has(&j)
		}
	}
	j.say("POST /_sim/play/calm {}")
	j.say("eventually %s", claimOf("late", late.PurchaseToken))
	j.say("expect 200")
	j.say("POST /_local/queues/NoticesQueue/redrive")
	j.say("clock 1h")
	tell(t, s, j.String())

	// Given back, and nobody hears of it; the list, and what it leads to, go wrong.
	tell(t, s, lost)
	refunded := 0
	for i, p := range all {
		if p.product == gems && p.who != known {
			check(sim.Refund(simulated.Refund{OrderID: p.bought.OrderID}))
			check(ways[i%len(ways)].script(sim, simulated.Product, p.bought.PurchaseToken))
			refunded++
		}
	}
	for _, by := range ways {
		for _, endpoint := range []string{simulated.Voided, simulated.Order, simulated.Orders} {
			check(by.script(sim, endpoint, ""))
		}
	}
	// And we have to say anew who we are, which goes wrong too.
	for _, f := range brief() {
		check(sim.Fault(stage.Fault{Endpoint: simulated.Token, When: f.when, How: f.how}))
	}
	sim.ForgetTokens()
	tell(t, s, "clock 25h\nPOST /_sim/play/calm {}")
	tell(t, s, "POST /_local/queues/NoticesQueue/redrive\nclock until 2040-01-05T04:00:00Z")
	j = script{}
	for _, p := range all {
		switch {
		case p.who == known:
		case p.product == gems:
			j.say("GET /v1/customers/%s as server", p.who)
			j.say("expect .wallet.gems.balance == 0")
			j.say("GET /v1/customers/%s/events as server", p.who)
			j.say("expect .events has 2")
		case p.product == twoDays:
			j.say("GET /v1/customers/%s as server", p.who)
			j.say("expect .entitlements[id=premium].expiresAt within 4h of 2040-01-07T00:00:00Z")
			j.say("GET /v1/customers/%s/events as server", p.who)
			j.say("expect .events has 3")
		default:
			p.has(&j)
		}
	}
	j.say("effects play refunded == %d", refunded)
	j.say("effects play autoRefunded == 0")
	j.say("queues are empty")
	tell(t, s, j.String())
	acknowledgedOnce(t, sim, append(all, told...))
}

// counter counts the lines of a log that have a text.
type counter struct {
	io.Writer

	mu    sync.Mutex
	lines bytes.Buffer
}

func (c *counter) Write(p []byte) (int, error) {
	c.mu.Lock()
	c.lines.Write(p)
	c.mu.Unlock()
	return c.Writer.Write(p)
}

// alarms counts those with a message.
func (c *counter) alarms(message string) (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for line := range strings.Lines(c.lines.String()) {
		if strings.Contains(line, `"alarm":true`) && strings.Contains(line, message) {
			n++
		}
	}
	return n
}

// What cannot be acknowledged for two days, and what nobody comes for, a person hears of a day
// before Google gives the money back; the one is acknowledged then, and the other is lost.
func TestAPersonHearsADayBeforeGooglePlayGivesMoneyBack(t *testing.T) {
	t.Parallel()
	log := &counter{Writer: logger{t}}
	s := start(t, func(o *stack.Options) { o.Log = log })
	const message = "A purchase is not acknowledged"
	wants := func(when string, want int) {
		t.Helper()
		// What a function wrote may be read a little after it has answered.
		for end := time.Now().Add(time.Minute); log.alarms(message) < want && time.Now().Before(end); {
			time.Sleep(20 * time.Millisecond)
		}
		if got := log.alarms(message); got != want {
			t.Errorf("%s: got %d alarms, want %d", when, got, want)
		}
	}
	var tokens []string
	for i, product := range []string{twoDays, gems, forever, "gems_100*2"} {
		bought, err := s.Sim().Play.Buy(simulated.Purchase{ProductID: product})
		if err != nil {
			t.Fatal(err)
		}
		tokens = append(tokens, bought.PurchaseToken)
		if i == 0 {
			// Refused, which is not tried again at once as an outage is: that would take its time.
			for _, endpoint := range []string{simulated.AcknowledgeSubscription, simulated.AcknowledgeProduct, simulated.ConsumeProduct} {
				err := s.Sim().Play.Fail(simulated.Failure{Endpoint: endpoint, Reason: "userInsufficientPermission", Count: 1_000_000})
				if err != nil {
					t.Fatal(err)
				}
			}
		}
		if i < 3 { // and nobody comes for the last
			tell(t, s, claimOf("minji", bought.PurchaseToken)+"\nexpect 200")
		}
	}
	tell(t, s, "clock 46h")
	wants("with a day and two hours left", 0)
	tell(t, s, "clock 4h")
	wants("with less than a day left", len(tokens))
	tell(t, s, "POST /_sim/play/calm {}\nclock 2h\neffects play acknowledged == 2\neffects play consumed == 1")
	tell(t, s, `
		clock until 2040-01-04T01:00:00Z
		effects play autoRefunded == 1
		effects play acknowledged == 2
		effects play consumed == 1
		GET /v1/customers/minji as minji
		expect .entitlements[id=premium].active == true
		expect .entitlements[id=ad_free].active == true
		expect .wallet.gems.balance == 100
		`+claimOf("minji", tokens[3])+`
		expect 422
		queues are empty`)
	wants("afterwards", len(tokens))
}

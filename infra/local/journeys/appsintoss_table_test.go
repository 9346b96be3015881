package journeys_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"grantline/infra/local/faulty"
	"grantline/infra/local/stack"
	"grantline/infra/sim/appsintoss/client"
)

// exactlyOnce is a stack on which grants of a mini-app go wrong.
type exactlyOnce struct {
	*testing.T
	s     *stack.Stack
	proxy *faulty.Proxy
}

// Each way for a grant at Apps-in-Toss to go wrong, one after the other on one stack: it is
// granted once in the end, or never, and Toss and our book agree.
func TestWhateverHappensToAGrantOfAMiniAppItIsMadeOnce(t *testing.T) {
	t.Parallel()
	e := exactlyOnce{T: t}
	e.s = start(t, func(o *stack.Options) {
		o.DynamoDBProxy = func(target *url.URL) http.Handler {
			e.proxy = faulty.New(target)
			return e.proxy
		}
	})
	for i, row := range []struct {
		name string
		tell func(exactlyOnce, *phone)
	}{
		{"user paid, app died before callback", exactlyOnce.appDied},
		{"our server got the orderId, status call times out", exactlyOnce.statusCallTimesOut},
		{"a status call goes wrong in each way", exactlyOnce.statusCallFails},
		{"verified, crash before grant write", func(e exactlyOnce, p *phone) { e.crash(p, faulty.Before) }},
		{"granted, answer lost", func(e exactlyOnce, p *phone) { e.crash(p, faulty.After) }},
		{"granted, answer after 30 seconds", exactlyOnce.answerTooLate},
		{"client sends the orderId twice or concurrently", exactlyOnce.concurrently},
		{"another user sends the orderId", exactlyOnce.anotherUser},
		{"two users send the orderId concurrently", exactlyOnce.twoUsers},
		{"another app's orderId", exactlyOnce.anotherApp},
		{"REFUNDED after grant", exactlyOnce.refunded},
		{"completeProductGrant fails", exactlyOnce.completeFails},
		{"consumable, grant counted twice", exactlyOnce.countedTwice},
		{"webhook replay or forgery", exactlyOnce.replayed},
		{"client certificate expired", exactlyOnce.expired},
	} {
		t.Run(row.name, func(t *testing.T) {
			e := e
			e.T = t
			row.tell(e, newPhone(t, e.s, fmt.Sprintf("customer-%d", i)))
			e.proxy.Mend()
			tell(t, e.s, "POST /_sim/appsintoss/calm {}")
		})
	}
	tell(t, e.s, "effects appsintoss purchased once for each order\nclock 1m\nqueues are empty")
}

// dies buys gems with a phone that dies at a step.
func (e exactlyOnce) dies(p *phone, at client.Step) client.Order {
	e.Helper()
	p.DieAt(at)
	o, err := p.Buy(e.Context(), "gems-100", p.fulfil)
	if !errors.Is(err, client.ErrDied) {
		e.Fatalf("buy: got %v, want a death", err)
	}
	return o
}

// recovered has the phone recover, and says that each of the orders is granted once.
func (e exactlyOnce) recovered(p *phone, orders ...client.Order) {
	e.Helper()
	if err := p.recovers(); err != nil {
		e.Fatal(err)
	}
	tell(e.T, e.s, has(p.who, orders...))
}

// answers has fulfil of an order answer a status.
func (e exactlyOnce) answers(p *phone, o client.Order, want int) {
	e.Helper()
	if got, err := p.post(e.Context(), fmt.Sprintf(`{"orderId":%q}`, o.OrderID)); err != nil || got != want {
		e.Errorf("fulfil: got %d, %v, want %d", got, err, want)
	}
}

func (e exactlyOnce) appDied(p *phone) {
	o := e.dies(p, client.BeforeCallback)
	tell(e.T, e.s, "GET /v1/customers/"+p.who+" as server\nexpect .wallet.gems absent")
	e.recovered(p, o)
}

func (e exactlyOnce) statusCallTimesOut(p *phone) {
	o := e.dies(p, client.BeforeCallback)
	tell(e.T, e.s, `POST /_sim/appsintoss/fault {"endpoint":"order-status","when":"after","how":"hang","count":100}`)
	e.answers(p, o, http.StatusServiceUnavailable)
	tell(e.T, e.s, "POST /_sim/appsintoss/calm {}\nGET /v1/customers/"+p.who+" as server\nexpect .wallet.gems absent")
	e.recovered(p, o)
}

func (e exactlyOnce) statusCallFails(p *phone) {
	var all []client.Order
	for _, f := range brief() {
		for _, count := range []int{1, 3} { // one is made up for within the claim
			tell(e.T, e.s, fmt.Sprintf(`POST /_sim/appsintoss/fault {"endpoint":"order-status","when":%q,"how":%q,"count":%d}`, f.when, f.how, count))
			o, err := p.buys("gems-100")
			if err != nil {
				e.Fatalf("%v, %d times: %v", f, count, err)
			}
			all = append(all, o)
			tell(e.T, e.s, "POST /_sim/appsintoss/calm {}")
		}
	}
	e.recovered(p, all...)
}

// crash kills the function while the write of a grant hangs, with nothing or all of it done.
func (e exactlyOnce) crash(p *phone, when faulty.When) {
	o := e.dies(p, client.BeforeCallback)
	proxyBreak(e.T, e.proxy, faulty.Fault{Operation: "TransactWriteItems", Contains: o.OrderID, Times: 100, When: when, How: faulty.Hang})
	before, ended := e.proxy.Broken("TransactWriteItems"), make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = p.post(e.Context(), fmt.Sprintf(`{"orderId":%q}`, o.OrderID))
	}()
	for stuck := false; !stuck; {
		select {
		case <-ended:
			e.Fatal("the claim was answered, want its write to hang")
		case <-time.After(50 * time.Millisecond):
			stuck = e.proxy.Broken("TransactWriteItems") > before
		}
	}
	for _, id := range e.s.Processes("verify") {
		_ = syscall.Kill(id, syscall.SIGKILL)
	}
	<-ended
	e.proxy.Mend()
	e.recovered(p, o)
}

func (e exactlyOnce) answerTooLate(p *phone) {
	late := func(ctx context.Context, o client.Order) (bool, error) {
		granted, err := p.fulfil(ctx, o)
		tell(e.T, e.s, "clock 31s")
		return granted, err
	}
	o, err := p.Buy(e.Context(), "gems-100", late)
	var refused *client.Error
	if !errors.As(err, &refused) {
		e.Fatalf("buy: got %v, want Toss to have given up", err)
	}
	if pending, err := p.GetPendingOrders(e.Context()); err != nil || len(pending) != 1 {
		e.Errorf("pending: got %v, %v, want the one order", pending, err)
	}
	e.recovered(p, o)
}

// Where an answer of the tables came too late for us, nobody knows who wrote; the app is asked
// to come again.
func (e exactlyOnce) concurrently(p *phone) {
	o := e.dies(p, client.BeforeCallback)
	tell(e.T, e.s, fmt.Sprintf("200 times at once POST /api/iap/fulfill as %s {\"orderId\":%q}\nexpect 200 or 503", p.who, o.OrderID))
	e.answers(p, o, http.StatusOK)
	e.recovered(p, o)
}

func (e exactlyOnce) anotherUser(p *phone) {
	o := e.dies(p, client.AfterAnswer)
	e.answers(newPhone(e.T, e.s, "mallory"), o, http.StatusConflict)
	e.recovered(p, o)
	tell(e.T, e.s, "GET /v1/customers/mallory as server\nexpect .wallet.gems absent")

	// Before its user came: signed in with Toss, nobody has another's.
	second := e.dies(p, client.BeforeCallback)
	r, err := http.NewRequestWithContext(e.Context(), http.MethodPost, e.s.URL()+"/api/iap/fulfill", strings.NewReader(fmt.Sprintf(`{"orderId":%q}`, second.OrderID)))
	if err != nil {
		e.Fatal(err)
	}
	token, err := e.s.Token("mallory")
	if err != nil {
		e.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Toss-User-Key", "user-mallory")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		e.Fatal(err)
	}
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusBadRequest {
		e.Errorf("with another's user key: got %d, want 400", answer.StatusCode)
	}
	e.recovered(p, o, second)
}

func (e exactlyOnce) twoUsers(p *phone) {
	o := e.dies(p, client.BeforeCallback)
	other := newPhone(e.T, e.s, "other-"+p.who)
	statuses := make([]int, 40)
	var all sync.WaitGroup
	for i := range statuses {
		all.Go(func() {
			from := []*phone{p, other}[i%2]
			statuses[i], _ = from.post(e.Context(), fmt.Sprintf(`{"orderId":%q}`, o.OrderID))
		})
	}
	all.Wait()
	owner := slices.Index(statuses, http.StatusOK) % 2
	if owner < 0 {
		e.Fatalf("got %v, want one of the users to own it", statuses)
	}
	for i, got := range statuses {
		want := http.StatusConflict
		if i%2 == owner {
			want = http.StatusOK
		}
		if got != want && got != http.StatusServiceUnavailable { // as in concurrently
			e.Errorf("call %d: got %d, want %d, of the one user and the other in turn: %v", i, got, want, statuses)
		}
	}
	first, second := p, other
	if owner == 1 {
		first, second = other, p
	}
	tell(e.T, e.s, has(first.who, o)+"GET /v1/customers/"+second.who+" as server\nexpect .wallet.gems absent")
}

func (e exactlyOnce) anotherApp(p *phone) {
	theirs := newPhone(e.T, e.s, p.who)
	theirs.App = "another-app"
	o := e.dies(theirs, client.BeforeCallback)
	e.answers(p, o, http.StatusBadRequest)
	tell(e.T, e.s, "GET /v1/customers/"+p.who+" as server\nexpect .wallet.gems absent")
}

func (e exactlyOnce) refunded(p *phone) {
	o, err := p.buys("gems-100")
	if err != nil {
		e.Fatal(err)
	}
	tell(e.T, e.s, fmt.Sprintf("POST /_sim/appsintoss/refund {\"orderId\":%q}\nexpect 200\nclock 11m", o.OrderID))
	for range 3 {
		e.answers(p, o, http.StatusBadRequest)
	}
	tell(e.T, e.s, fmt.Sprintf(`
		GET /v1/customers/%[1]s as server
		expect .wallet.gems.balance == 0
		GET /v1/customers/%[1]s/events as server
		expect .events has 2
		expect .events[1].type == "purchase.refunded"
		clock 48h
		GET /v1/customers/%[1]s/events as server
		expect .events has 2`, p.who))
}

func (e exactlyOnce) completeFails(p *phone) {
	tell(e.T, e.s, `POST /_sim/appsintoss/settings {"grantCompletes":false}`)
	o := e.dies(p, client.BeforeComplete)
	p.Start()
	if pending, err := p.GetPendingOrders(e.Context()); err != nil || len(pending) != 1 {
		e.Errorf("pending: got %v, %v, want the one order", pending, err)
	}
	e.answers(p, o, http.StatusOK)
	e.recovered(p, o)
	tell(e.T, e.s, `POST /_sim/appsintoss/settings {"grantCompletes":true}`)
}

func (e exactlyOnce) countedTwice(p *phone) {
	first, err := p.buys("gems-100")
	if err != nil {
		e.Fatal(err)
	}
	second, err := p.buys("gems-100")
	if err != nil {
		e.Fatal(err)
	}
	for range 3 {
		e.answers(p, first, http.StatusOK)
	}
	tell(e.T, e.s, "clock 11m") // from then on it is asked about again
	e.answers(p, first, http.StatusOK)
	e.recovered(p, first, second)
	tell(e.T, e.s, fmt.Sprintf("GET /v1/customers/%s/events as server\nexpect .events[0].credited == 100\nexpect .events[1].credited == 100\nexpect .events[1].balance == 200", p.who))
}

func (e exactlyOnce) replayed(p *phone) {
	o, err := p.buys("premium-1month")
	if err != nil {
		e.Fatal(err)
	}
	tell(e.T, e.s, fmt.Sprintf(`
		POST /_sim/appsintoss/webhook {"how":"duplicate","type":"REVOKED"}
		POST /_sim/appsintoss/forge {"how":"wrong","orderId":%[2]q,"changeReason":"REVOKED"}
		expect .status == 401
		clock 10s
		GET /v1/customers/%[1]s as server
		expect .entitlements[id=premium].active == true
		POST /_sim/appsintoss/revoke {"orderId":%[2]q}
		expect 200
		eventually GET /v1/customers/%[1]s as server
		expect .entitlements[id=premium].active == false
		GET /v1/customers/%[1]s/events as server
		keep told = .events[last].sequence
		POST /_sim/appsintoss/notify {"orderId":%[2]q,"changeReason":"RENEWED","status":"ACTIVE","occurredAt":"2039-12-01T00:00:00Z"}
		POST /_sim/appsintoss/forge {"how":"wrong","orderId":%[2]q}
		expect .status == 401
		clock 1h
		GET /v1/customers/%[1]s as server
		expect .entitlements[id=premium].active == false
		GET /v1/customers/%[1]s/events?after={told} as server
		expect .events has 0`, p.who, o.OrderID))
}

func (e exactlyOnce) expired(p *phone) {
	tell(e.T, e.s, `
		POST /_sim/appsintoss/rotate-certificate {"lasts":"1h"}
		expect 200
		POST /_sim/appsintoss/end-certificate {}
		clock 2h`)
	// Whichever process it is, it shows one that is over.
	o := e.dies(p, client.BeforeCallback)
	e.answers(p, o, http.StatusServiceUnavailable)
	tell(e.T, e.s, "POST /_sim/appsintoss/rotate-certificate {}\nexpect 200\nclock 1m")
	e.recovered(p, o)
}

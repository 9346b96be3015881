package journeys_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"grantline/infra/local/stack"
	"grantline/infra/sim/appsintoss/client"
)

// phone is a customer's, with a mini-app whose server is the stack's.
type phone struct {
	*client.Device
	t   *testing.T
	s   *stack.Stack
	who string
}

// newPhone gives a customer one. The 30 seconds that it waits are on the simulator's clock too,
// so an order may stay pending on a slow machine; then it is recovered as any other.
func newPhone(t *testing.T, s *stack.Stack, who string) *phone {
	t.Helper()
	return &phone{client.New(client.At(s.SimURL()+"/_sim/appsintoss", nil), "user-"+who), t, s, who}
}

// fulfil is what the mini-app calls in processProductGrant.
func (p *phone) fulfil(ctx context.Context, o client.Order) (bool, error) {
	status, err := p.post(ctx, fmt.Sprintf(`{"orderId":%q,"subscriptionId":%q}`, o.OrderID, o.SubscriptionID))
	return status == http.StatusOK, err
}

func (p *phone) post(ctx context.Context, body string) (int, error) {
	token, err := p.s.Token(p.who) // which lasts for an hour of the clock
	if err != nil {
		return 0, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, p.s.URL()+"/api/iap/fulfill", strings.NewReader(body))
	if err != nil {
		return 0, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+token)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err
	}
	defer func() { _ = answer.Body.Close() }()
	_, err = io.Copy(io.Discard, io.LimitReader(answer.Body, 1<<20))
	return answer.StatusCode, err
}

// recoversWithin bounds how long a phone is started again, in real time.
const recoversWithin = 3 * time.Minute

var errPending = errors.New("an order that was not granted")

// recovers starts the phone again until no order is pending any more.
func (p *phone) recovers() error {
	var failed error
	for end := time.Now().Add(recoversWithin); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		p.Start()
		pending, err := p.GetPendingOrders(p.t.Context())
		if err != nil {
			return err
		}
		if len(pending) == 0 {
			p.Settle()
			return nil
		}
		_, failed = p.Recover(p.t.Context(), p.fulfil)
	}
	return fmt.Errorf("%s still has pending orders after %v: %w", p.who, recoversWithin, errors.Join(failed, errPending))
}

// buys has the phone buy a product, die where it was told to, and recover.
func (p *phone) buys(sku string) (client.Order, error) {
	buy := p.Buy
	if strings.HasPrefix(sku, "premium") {
		buy = p.Subscribe
	}
	o, err := buy(p.t.Context(), sku, p.fulfil)
	var refused *client.Error
	if err != nil && !errors.Is(err, client.ErrDied) && !errors.As(err, &refused) {
		return o, err
	}
	if o.OrderID == "" {
		return o, fmt.Errorf("nothing was bought: %w", err)
	}
	return o, p.recovers()
}

// has is what a customer has of orders of 100 gems each.
func has(who string, orders ...client.Order) string {
	var j script
	j.say("eventually GET /v1/customers/%s as server", who)
	j.say("expect .wallet.gems.balance == %d", 100*len(orders))
	j.say("expect .wallet.gems.lots has %d", len(orders))
	j.say("GET /v1/customers/%s/events as server", who)
	j.say("expect .events has %d", len(orders))
	for _, o := range orders {
		j.say("GET /v1/orders/appsintoss_%s as server", o.OrderID)
		j.say(`expect .order.state == "granted"`)
	}
	return j.String()
}

// A phone dies at each step of a purchase, and again at each of the recovery: it is granted
// once, Toss hears of it, and nothing is left pending.
func TestAPhoneThatDiesAtAnyStepIsGrantedOnce(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	again := []client.Step{"", client.BeforeRequest, client.DuringRequest, client.AfterAnswer, client.BeforeComplete, client.AfterComplete}
	bought := 0
	// A true that Toss does not take for the end is what phones have seen; then completeProductGrant is.
	tell(t, s, `POST /_sim/appsintoss/settings {"grantCompletes":false}`)
	for i, first := range client.Steps() {
		for k, second := range again {
			t.Run(fmt.Sprintf("%s, %s", first, second), func(t *testing.T) {
				p := newPhone(t, s, fmt.Sprintf("gems-%d-%d", i, k))
				p.DieAt(first)
				o, err := p.Buy(t.Context(), "gems-100", p.fulfil)
				if !errors.Is(err, client.ErrDied) {
					t.Fatalf("buy: got %v, want a death", err)
				}
				if second != "" {
					p.Start()
					p.DieAt(second)
					if _, err := p.Recover(t.Context(), p.fulfil); err != nil && !errors.Is(err, client.ErrDied) {
						t.Fatalf("recover: got %v, want nil or a death", err)
					}
				}
				if err := p.recovers(); err != nil {
					t.Fatal(err)
				}
				tell(t, s, has(p.who, o))
			})
			bought++
		}
	}
	tell(t, s, `POST /_sim/appsintoss/settings {"grantCompletes":true}`)
	for i, first := range client.Steps() {
		t.Run(fmt.Sprintf("%s, a subscription", first), func(t *testing.T) {
			p := newPhone(t, s, fmt.Sprintf("premium-%d", i))
			p.DieAt(first)
			o, err := p.buys("premium-1month")
			if err != nil {
				t.Fatal(err)
			}
			tell(t, s, fmt.Sprintf(`
				eventually GET /v1/customers/%[1]s as server
				expect .entitlements[id=premium].active == true
				expect .entitlements[id=premium].willRenew == true
				GET /v1/customers/%[1]s/events as server
				expect .events[0].type == "purchase.granted"
				GET /v1/orders/appsintoss_%[2]s as server
				expect .order.state == "granted"`, p.who, o.OrderID))
		})
		bought++
	}
	tell(t, s, fmt.Sprintf("effects appsintoss purchased == %d\neffects appsintoss purchased once for each order\nclock 1m\nqueues are empty", bought))
}

// The function is killed at random while phones buy, and die as well: each order is granted
// once, and none is left pending.
func TestWhoeverKillsTheFunctionEachOrderOfAMiniAppIsGrantedOnce(t *testing.T) {
	t.Parallel()
	const customers = 8
	orders := setting(t, "KILL_ORDERS", 4)
	pause := time.Duration(setting(t, "KILL_MILLISECONDS", 300)) * time.Millisecond
	seed := uint64(setting(t, "KILL_SEED", int(time.Now().UnixNano()%1_000_000)+1))
	s := start(t, nil)
	// A look takes its time, so that most deaths come in the middle of a claim.
	tell(t, s, `POST /_sim/appsintoss/fault {"endpoint":"order-status","delay":"100ms","count":10000000}`)
	killing, cancel := context.WithTimeout(t.Context(), time.Duration(setting(t, "KILL_SECONDS", 15))*time.Second)
	defer cancel()
	stop := killer(killing, s, []string{"verify"}, seed, pause)
	steps := client.Steps()
	bought := make([][]client.Order, customers)
	failed := make([]error, customers)
	var all sync.WaitGroup
	for i := range customers {
		p := newPhone(t, s, fmt.Sprintf("customer-%d", i))
		all.Go(func() {
			for n := range orders {
				p.DieAt(steps[(i+n)%len(steps)])
				o, err := p.buys("gems-100")
				if err != nil {
					failed[i] = err
					return
				}
				bought[i] = append(bought[i], o)
			}
		})
	}
	all.Wait()
	killed := stop()
	if err := errors.Join(failed...); err != nil {
		t.Fatal(err)
	}
	tell(t, s, "POST /_sim/appsintoss/calm {}")
	for i := range customers {
		tell(t, s, has(fmt.Sprintf("customer-%d", i), bought[i]...))
	}
	tell(t, s, fmt.Sprintf("effects appsintoss purchased == %d\nqueues are empty", customers*orders))
	if killed == 0 {
		t.Error("nobody was killed")
	}
	t.Logf("seed %d: %d kills, %d orders", seed, killed, customers*orders)
}

// Certificates are replaced and those before ended while phones buy: every claim is granted,
// and where none is valid each waits, and none is refused.
func TestFulfilWorksWhileCertificatesAreReplaced(t *testing.T) {
	t.Parallel()
	const customers, rounds, mostBought = 4, 3, 500
	s := start(t, nil)
	bought := make([][]client.Order, customers)
	failed := make([]error, customers)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var all sync.WaitGroup
	for i := range customers {
		p := newPhone(t, s, fmt.Sprintf("customer-%d", i))
		all.Go(func() {
			for n := 0; n < mostBought && ctx.Err() == nil && failed[i] == nil; n++ {
				o, err := p.CreateOneTimePurchaseOrder(t.Context(), "gems-100", func(ctx context.Context, o client.Order) (bool, error) {
					status, err := p.post(ctx, fmt.Sprintf(`{"orderId":%q}`, o.OrderID))
					if status != http.StatusOK && failed[i] == nil {
						failed[i] = errors.Join(err, fmt.Errorf("%s: fulfil got %d, want 200", p.who, status))
					}
					return status == http.StatusOK, err
				})
				var late *client.Error // the clock moved meanwhile, and Toss did not hear
				if err != nil && !errors.As(err, &late) && failed[i] == nil {
					failed[i] = err
				}
				bought[i] = append(bought[i], o)
				time.Sleep(50 * time.Millisecond)
			}
		})
	}
	for round := range rounds {
		// The one before is ended a minute later, when those processes still show it that kept
		// it for five. Secrets are read afresh at most each 30 seconds.
		err := run(t, s, `
			POST /_sim/appsintoss/rotate-certificate {}
			expect 200
			clock 1m
			POST /_sim/appsintoss/end-certificate {}
			expect 200`)
		if err != nil {
			t.Errorf("round %d: %v", round, err)
		}
		// Each round sees claims of everybody on the new certificate.
		p := newPhone(t, s, fmt.Sprintf("round-%d", round))
		o, err := p.buys("gems-100")
		if err != nil {
			t.Errorf("round %d: %v", round, err)
		} else if err := run(t, s, has(p.who, o)); err != nil {
			t.Errorf("round %d: %v", round, err)
		}
	}
	cancel()
	all.Wait()
	if err := errors.Join(failed...); err != nil {
		t.Fatal(err)
	}
	for i := range customers {
		tell(t, s, fmt.Sprintf("GET /v1/customers/customer-%d as server\nexpect .wallet.gems.balance == %d", i, 100*len(bought[i])))
	}
	// One that is ended before there is another.
	tell(t, s, `
		clock 1m
		POST /_sim/appsintoss/rotate-certificate {}
		keep newest = .certificateId
		POST /_sim/appsintoss/end-certificate {"certificateId":"{newest}"}
		expect 200
		POST /_sim/appsintoss/end-certificate {}
		POST /_sim/appsintoss/order {"sku":"gems-100"}
		keep order = .orderId
		POST /api/iap/fulfill as late {"orderId":"{order}"}
		expect 503
		expect .ok == false
		POST /_sim/appsintoss/rotate-certificate {}
		expect 200
		clock 1m
		eventually POST /api/iap/fulfill as late {"orderId":"{order}"}
		expect 200
		GET /v1/customers/late as server
		expect .wallet.gems.balance == 100`)
}

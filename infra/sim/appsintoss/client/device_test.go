package client_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/infra/sim/appsintoss"
	"grantline/infra/sim/appsintoss/client"
	"grantline/infra/sim/stage"
	"grantline/infra/sim/stage/stagetest"
)

const gems = "gems-100"

// books is a little server: it asks the partner API about an order, over mutual TLS, and
// grants each paid order once.
type books struct {
	t       *testing.T
	toss    *http.Client
	address string

	mu     sync.Mutex
	grants map[string]int // by orderId: what was put on the customer's account
	asked  map[string]int
}

// fulfil is what the mini-app calls.
func (b *books) fulfil(ctx context.Context, o client.Order) (bool, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, b.address, strings.NewReader(`{"orderId":"`+o.OrderID+`"}`))
	if err != nil {
		return false, err
	}
	response, err := b.toss.Do(r)
	if err != nil {
		return false, err
	}
	defer response.Body.Close()
	paid := paid(response)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked[o.OrderID]++
	if paid && b.grants[o.OrderID] == 0 {
		b.grants[o.OrderID]++
	}
	return paid, nil
}

// store is a simulator on a server, its clock, and the server under test.
type store struct {
	*appsintoss.Simulator
	t     *testing.T
	clock *stagetest.Clock
	books *books
}

func newStore(t *testing.T) *store {
	clock := stagetest.NewClock()
	s := &store{t: t, clock: clock, Simulator: appsintoss.New(appsintoss.Options{Now: clock.Now, At: clock.At})}
	server := httptest.NewUnstartedServer(s.Simulator)
	server.TLS = s.TLSConfig()
	server.StartTLS()
	t.Cleanup(func() {
		s.Close()
		server.Close()
	})
	s.books = &books{
		t: t, toss: tossClient(t, s.Credentials(appsintoss.OwnApp)), grants: map[string]int{}, asked: map[string]int{},
		address: server.URL + "/api-partner/v1/apps-in-toss/order/get-order-status",
	}
	return s
}

// count counts the effects of a kind.
func (s *store) count(kind string) int {
	n := 0
	for _, e := range s.Effects() {
		if e.Kind == kind {
			n++
		}
	}
	return n
}

func (s *store) pending(d *client.Device) int {
	s.t.Helper()
	list, err := d.GetPendingOrders(s.t.Context())
	if err != nil {
		s.t.Fatalf("pending orders: got %v, want a list", err)
	}
	return len(list)
}

func TestPurchaseIsGrantedAndCompletedOnce(t *testing.T) {
	s := newStore(t)
	d := client.New(client.In(s.Simulator), "user-1")
	o, err := d.Buy(t.Context(), gems, s.books.fulfil)
	if err != nil {
		t.Fatalf("buy: got %v, want nil", err)
	}
	if diff := cmp.Diff(map[string]int{o.OrderID: 1}, s.books.grants); diff != "" {
		t.Errorf("grants differ (-want +got):\n%s", diff)
	}
	if got := s.pending(d); got != 0 {
		t.Errorf("pending: got %d, want 0", got)
	}
	past, err := d.GetCompletedOrRefundedOrders(t.Context(), "")
	if err != nil || len(past.Orders) != 1 || past.Orders[0].Status != "COMPLETED" || past.HasNext {
		t.Errorf("history: got %+v, %v; want the one order, COMPLETED", past, err)
	}
	for kind, want := range map[string]int{"purchased": 1, "granted": 1} {
		if got := s.count(kind); got != want {
			t.Errorf("%s: got %d, want %d", kind, got, want)
		}
	}
}

func TestPhoneThatDiesAtAnyStepRecoversToOneGrant(t *testing.T) {
	recovery := []client.Step{client.BeforeRequest, client.DuringRequest, client.AfterAnswer, client.BeforeComplete, client.AfterComplete}
	for _, completes := range []bool{true, false} {
		for _, first := range client.Steps() {
			for _, second := range append(recovery, "") {
				t.Run(fmt.Sprintf("%v/%s/%s", completes, first, second), func(t *testing.T) {
					s := newStore(t)
					if err := s.Set(appsintoss.Settings{GrantCompletes: &completes}); err != nil {
						t.Fatal(err)
					}
					d := client.New(client.In(s.Simulator), "user-1")
					d.DieAt(first)
					o, err := d.Buy(t.Context(), gems, s.books.fulfil)
					if !errors.Is(err, client.ErrDied) || o.OrderID == "" {
						t.Fatalf("buy: got %v %v, want an order and a death", o, err)
					}
					if _, err := d.Recover(t.Context(), s.books.fulfil); !errors.Is(err, client.ErrDied) {
						t.Fatalf("dead: got %v, want ErrDied", err)
					}
					d.Start()
					if second != "" {
						d.DieAt(second)
						if _, err := d.Recover(t.Context(), s.books.fulfil); err != nil && !errors.Is(err, client.ErrDied) {
							t.Fatalf("recover: got %v, want nil or a death", err)
						}
						d.Start()
						d = client.New(client.In(s.Simulator), "user-1") // what did not come to pass is off
					}
					if _, err := d.Recover(t.Context(), s.books.fulfil); err != nil {
						t.Fatalf("recover: got %v, want nil", err)
					}
					d.Settle()
					if diff := cmp.Diff(map[string]int{o.OrderID: 1}, s.books.grants); diff != "" {
						t.Errorf("grants differ (-want +got):\n%s", diff)
					}
					if got := s.pending(d); got != 0 {
						t.Errorf("pending: got %d, want 0", got)
					}
					if got := s.count("purchased"); got != 1 {
						t.Errorf("purchased: got %d, want 1", got)
					}
				})
			}
		}
	}
}

func TestWhatAPhoneLeftBehindGoesOnWithoutIt(t *testing.T) {
	s := newStore(t)
	d := client.New(client.In(s.Simulator), "user-1")
	d.DieAt(client.DuringRequest)
	release := make(chan struct{})
	o, err := d.Buy(t.Context(), gems, func(ctx context.Context, o client.Order) (bool, error) {
		<-release
		return s.books.fulfil(ctx, o)
	})
	if !errors.Is(err, client.ErrDied) {
		t.Fatalf("buy: got %v, want a death while the server is at it", err)
	}
	d.Start()
	if got := s.pending(d); got != 1 {
		t.Errorf("pending: got %d, want 1", got)
	}
	close(release)
	if _, err := d.Recover(t.Context(), s.books.fulfil); err != nil {
		t.Fatalf("recover: got %v, want nil", err)
	}
	d.Settle()
	if asked, granted := s.books.asked[o.OrderID], s.books.grants[o.OrderID]; asked != 2 || granted != 1 {
		t.Errorf("got asked %d times and granted %d, want 2 and 1", asked, granted)
	}
}

func TestWhatIsNotGrantedStaysPending(t *testing.T) {
	s := newStore(t)
	d := client.New(client.In(s.Simulator), "user-1")
	no := func(context.Context, client.Order) (bool, error) { return false, nil }
	throws := func(context.Context, client.Order) (bool, error) { return true, errors.New("no network") }
	for i, grant := range []client.Grant{no, throws} {
		var refused *client.Error
		if _, err := d.Buy(t.Context(), gems, grant); !errors.As(err, &refused) || refused.Code != appsintoss.NotGranted {
			t.Errorf("%d: got %v, want %s", i, err, appsintoss.NotGranted)
		}
	}
	if got := s.pending(d); got != 2 {
		t.Fatalf("pending: got %d, want 2", got)
	}
	if recovered, err := d.Recover(t.Context(), no); err != nil || len(recovered) != 0 || s.pending(d) != 2 {
		t.Errorf("recover, and the server says no: got %v, %v; want none completed", recovered, err)
	}
	// One that fails stops no other.
	failed := 0
	recovered, err := d.Recover(t.Context(), func(ctx context.Context, o client.Order) (bool, error) {
		if failed++; failed == 1 {
			return false, errors.New("no network")
		}
		return s.books.fulfil(ctx, o)
	})
	if err == nil || len(recovered) != 1 {
		t.Errorf("recover: got %v, %v; want one order and an error", recovered, err)
	}
	if got := s.pending(d); got != 1 {
		t.Errorf("pending: got %d, want 1", got)
	}
	if other := client.New(client.In(s.Simulator), "user-2"); s.pending(other) != 0 {
		t.Error("another user: got pending orders, want none")
	}
}

func TestServerThatTakesLongerThanTheLimitDidNotGrant(t *testing.T) {
	s := newStore(t)
	d := client.New(client.In(s.Simulator), "user-1")
	d.Limit = time.Millisecond
	_, err := d.Buy(t.Context(), gems, func(ctx context.Context, _ client.Order) (bool, error) {
		<-ctx.Done()
		return true, nil // nobody listens any more
	})
	var refused *client.Error
	if !errors.As(err, &refused) || refused.Code != appsintoss.NotGranted {
		t.Errorf("real time: got %v, want %s", err, appsintoss.NotGranted)
	}
	d.Settle()
	d.Limit = time.Hour
	_, err = d.Buy(t.Context(), gems, func(context.Context, client.Order) (bool, error) {
		s.clock.Advance(appsintoss.GrantLimit + time.Second)
		return true, nil
	})
	if !errors.As(err, &refused) || refused.Code != appsintoss.NotGranted {
		t.Errorf("the clock: got %v, want %s", err, appsintoss.NotGranted)
	}
	if got := s.pending(d); got != 2 {
		t.Errorf("pending: got %d, want 2", got)
	}
	if got := s.count("granted"); got != 0 {
		t.Errorf("granted: got %d, want 0", got)
	}
}

func TestSubscriptionIsBoughtWithItsOwnFunctionAlone(t *testing.T) {
	s := newStore(t)
	d := client.New(client.In(s.Simulator), "user-1")
	var refused *client.Error
	if _, err := d.CreateOneTimePurchaseOrder(t.Context(), "premium-1month", s.books.fulfil); !errors.As(err, &refused) || refused.Code != appsintoss.InvalidProduct {
		t.Errorf("one-time: got %v, want %s", err, appsintoss.InvalidProduct)
	}
	if _, err := d.CreateSubscriptionPurchaseOrder(t.Context(), gems, "", s.books.fulfil); !errors.As(err, &refused) || refused.Code != appsintoss.InvalidProduct {
		t.Errorf("subscription: got %v, want %s", err, appsintoss.InvalidProduct)
	}
	named := ""
	o, err := d.Subscribe(t.Context(), "premium-1month", func(ctx context.Context, o client.Order) (bool, error) {
		named = o.SubscriptionID
		return s.books.fulfil(ctx, o)
	})
	if err != nil || named == "" || named != o.SubscriptionID {
		t.Fatalf("subscribe: got %+v, %v, callback heard %q; want a subscriptionId", o, err, named)
	}
	info, err := d.GetSubscriptionInfo(t.Context(), o.OrderID)
	if err != nil || info == nil || info.Status != "ACTIVE" || !info.IsAccessible || !info.IsAutoRenew || info.CatalogID != "premium-1month" {
		t.Errorf("info: got %+v, %v; want it active", info, err)
	}
	if _, err := d.Subscribe(t.Context(), "premium-1month", s.books.fulfil); !errors.As(err, &refused) || refused.Code != appsintoss.AlreadyOwned {
		t.Errorf("again: got %v, want %s", err, appsintoss.AlreadyOwned)
	}
	list, err := d.GetProductItemList(t.Context())
	if err != nil || len(list) != 5 {
		t.Errorf("products: got %d, %v; want 5", len(list), err)
	}
}

func TestHistoryComesInPagesOfFifty(t *testing.T) {
	s := newStore(t)
	d := client.New(client.In(s.Simulator), "user-1")
	for range 101 {
		o, err := s.Order(appsintoss.NewOrder{SKU: gems, UserKey: "user-1", Status: appsintoss.Purchased})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Refund(appsintoss.Refund{OrderID: o}); err != nil {
			t.Fatal(err)
		}
	}
	seen, key := map[string]bool{}, ""
	for i, want := range []int{50, 50, 1} {
		page, err := d.GetCompletedOrRefundedOrders(t.Context(), key)
		if err != nil || len(page.Orders) != want || page.HasNext != (i < 2) {
			t.Fatalf("page %d: got %d orders, next %v, %v; want %d", i+1, len(page.Orders), page.HasNext, err, want)
		}
		for _, o := range page.Orders {
			seen[o.OrderID] = o.Status == appsintoss.Refunded
		}
		if page.NextKey != nil {
			key = *page.NextKey
		}
	}
	if len(seen) != 101 {
		t.Errorf("got %d orders, want 101 different ones", len(seen))
	}
}

func TestErrorsOfTheSDKReachTheApp(t *testing.T) {
	s := newStore(t)
	d := client.New(client.In(s.Simulator), "user-1")
	if err := s.FailPurchase(appsintoss.FailedPurchase{ErrorCode: "USER_CANCELED", UserKey: "user-1"}); err != nil {
		t.Fatal(err)
	}
	never := func(context.Context, client.Order) (bool, error) {
		t.Error("got processProductGrant called, want not")
		return false, nil
	}
	var refused *client.Error
	if _, err := d.Buy(t.Context(), gems, never); !errors.As(err, &refused) || refused.Code != "USER_CANCELED" {
		t.Errorf("got %v, want USER_CANCELED", err)
	}
	if _, err := d.Buy(t.Context(), "nothing", never); !errors.As(err, &refused) || refused.Code != appsintoss.InvalidProduct {
		t.Errorf("got %v, want %s", err, appsintoss.InvalidProduct)
	}
	if got := len(s.Effects()); got != 0 {
		t.Errorf("got %d effects, want none", got)
	}
}

func TestPhoneReachesASimulatorElsewhere(t *testing.T) {
	s := newStore(t)
	server := httptest.NewServer(http.StripPrefix("/_sim/appsintoss", s.Control()))
	defer server.Close()
	d := client.New(client.At(server.URL+"/_sim/appsintoss", server.Client()), "user-1")
	d.DieAt(client.AfterAnswer)
	if _, err := d.Buy(t.Context(), gems, s.books.fulfil); !errors.Is(err, client.ErrDied) {
		t.Fatalf("buy: got %v, want a death", err)
	}
	d.Start()
	if recovered, err := d.Recover(t.Context(), s.books.fulfil); err != nil || len(recovered) != 1 {
		t.Errorf("recover: got %v, %v; want one order", recovered, err)
	}
	if _, err := d.GetSubscriptionInfo(t.Context(), "nobody-ordered-this"); err == nil {
		t.Error("unknown order: got nil, want an error")
	}
}

func TestServerOutOfReachOfTossLeavesTheOrderPending(t *testing.T) {
	s := newStore(t)
	d := client.New(client.In(s.Simulator), "user-1")
	if err := s.Fault(stage.Fault{Endpoint: appsintoss.OrderStatus, When: stage.Before, How: stage.Reset}); err != nil {
		t.Fatal(err)
	}
	var refused *client.Error
	if _, err := d.Buy(t.Context(), gems, s.books.fulfil); !errors.As(err, &refused) {
		t.Fatalf("buy: got %v, want it not granted", err)
	}
	if recovered, err := d.Recover(t.Context(), s.books.fulfil); err != nil || len(recovered) != 1 || len(s.books.grants) != 1 {
		t.Errorf("recover: got %v, %v, %d grants; want one", recovered, err, len(s.books.grants))
	}
}

func TestServerWithoutBooksIsCaught(t *testing.T) {
	for _, step := range []client.Step{client.DuringRequest, client.AfterAnswer} {
		s := newStore(t)
		d := client.New(client.In(s.Simulator), "user-1")
		var mu sync.Mutex
		granted := 0
		careless := func(context.Context, client.Order) (bool, error) {
			mu.Lock()
			defer mu.Unlock()
			granted++
			return true, nil
		}
		d.DieAt(step)
		if _, err := d.Buy(t.Context(), gems, careless); !errors.Is(err, client.ErrDied) {
			t.Fatalf("%s: got %v, want a death", step, err)
		}
		d.Start()
		if _, err := d.Recover(t.Context(), careless); err != nil {
			t.Fatalf("%s: got %v, want nil", step, err)
		}
		d.Settle()
		if granted != 2 {
			t.Errorf("%s: got %d grants, want the 2 that a server without books makes", step, granted)
		}
	}
}

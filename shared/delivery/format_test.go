package delivery_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"grantline/shared/catalog"
	"grantline/shared/delivery"
	"grantline/shared/event"
	"grantline/shared/purchase"
	"grantline/shared/table"
)

// order writes an order down, as the book of purchases keeps it.
func (w *world) order(o purchase.Order) {
	w.Helper()
	o.Kind = purchase.OrderKind
	data, err := json.Marshal(o)
	if err != nil {
		w.Fatal(err)
	}
	item := table.Item{Key: table.Key{Table: table.Orders, Partition: table.Default.Key(o.ID)}, Schema: 2, Data: data}
	if err := w.tables.Commit(w.Context(), table.Inserted(item)); err != nil {
		w.Fatal(err)
	}
}

// happens has an event with its order happen.
func (w *world) happens(id string, e event.Event) {
	w.Helper()
	c, err := w.directory.Named(w.Context(), table.Default, id)
	if err != nil {
		w.Fatal(err)
	}
	e.At = w.clock.Now()
	c.Tell(e)
	writes, err := c.Writes(w.clock.Now())
	if err == nil {
		err = w.tables.Commit(w.Context(), writes...)
	}
	if err != nil {
		w.Fatal(err)
	}
}

func TestTheOtherFormatTellsWhatItHasAWordFor(t *testing.T) {
	w := newWorld(t)
	goods, err := catalog.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	w.publisher.Catalog = goods
	w.endpoint("old", func(n *delivery.NewEndpoint) {
		n.Format, n.Authorization = delivery.RevenueCat, "Bearer kept-from-before"
	})
	w.order(purchase.Order{
		ID: "apple_1", Store: "apple", Line: "1", SKU: "com.example.premium.monthly", Product: "premium", State: purchase.OrderGranted,
		Quantity: 1, Entitlement: "premium", Price: 499, PriceIn: "USD", PurchasedAt: noon, Until: noon.AddDate(0, 1, 0),
	})
	until := noon.AddDate(0, 1, 0)
	w.happens("minji", event.Event{
		Type: event.PurchaseGranted, OrderID: "apple_1", Store: "apple", ProductID: "com.example.premium.monthly",
		Entitlement: "premium", ExpiresAt: &until, Amount: 499, Currency: "USD",
	})
	w.happens("minji", event.Event{Type: event.CustomerCleared}) // of which that format knows nothing
	balance := int64(70)
	w.happens("minji", event.Event{Type: event.WalletSpent, WalletCurrency: "gems", Credited: -30, Balance: &balance, Reference: "sword"})
	taken := 201
	w.receiver.answer = func(arrival) int { return taken }
	w.minutes(1)
	if n := w.tries("old"); n != 1 {
		t.Errorf("201: got %d requests, want the first alone, for it was not taken", n)
	}
	taken = 200
	w.minutes(10)
	var types []string
	ids := map[string]bool{}
	for _, a := range w.receiver.arrived[1:] {
		var body struct {
			APIVersion string `json:"api_version"`
			Event      struct {
				ID, Type, Environment string
				AppUserID             string `json:"app_user_id"`
				ProductID             string `json:"product_id"`
			}
		}
		if err := json.Unmarshal([]byte(a.text), &body); err != nil {
			t.Fatal(err)
		}
		types = append(types, body.Event.Type)
		ids[body.Event.ID] = true
		if body.APIVersion != "1.0" || body.Event.AppUserID != "minji" || a.header.Get("Authorization") != "Bearer kept-from-before" {
			t.Errorf("got %s, want minji's under the endpoint's authorization", a.text)
		}
		if body.Event.Type == "INITIAL_PURCHASE" && body.Event.ProductID != "com.example.premium.monthly" {
			t.Errorf("got %s, want the order's product", a.text)
		}
		if a.header.Get("Webhook-Id") == "" || a.header.Get("Webhook-Signature") == "" {
			t.Errorf("got %v, want it signed as well", a.header)
		}
	}
	if want := []string{"INITIAL_PURCHASE", "VIRTUAL_CURRENCY_TRANSACTION"}; !slices.Equal(types, want) || len(ids) != 2 {
		t.Errorf("got %v with %d ids, want %v", types, len(ids), want)
	}
	w.idle()
}

// What a receiver does is nobody's secret, but what it redirects to is not asked.
func TestARedirectIsNotFollowed(t *testing.T) {
	w := newWorld(t)
	w.endpoint("a")
	asked := 0
	w.registry.Courier.By = roundTrip(func(q *http.Request) (*http.Response, error) {
		asked++
		return &http.Response{
			StatusCode: http.StatusTemporaryRedirect, Header: http.Header{"Location": {"https://169.254.169.254/"}},
			Body: io.NopCloser(strings.NewReader("")), Request: q,
		}, nil
	})
	got, err := w.registry.Test(t.Context(), table.Default, "a")
	if err != nil || got.Taken || got.Status != 307 || asked != 1 {
		t.Errorf("got %+v, %v after %d requests, want 307 after one", got, err, asked)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(q *http.Request) (*http.Response, error) { return f(q) }

// The end of the invocation says nothing of the endpoint.
func TestAnInvocationThatEndsIsNoFailureOfTheEndpoint(t *testing.T) {
	w := newWorld(t)
	w.endpoint("a")
	w.tell("minji", event.PurchaseGranted)
	w.tick()
	m := w.queue.take()[0]
	ctx, cancel := context.WithCancel(t.Context())
	w.receiver.meanwhile = func(arrival) { cancel() }
	w.receiver.answer = func(arrival) int { return 0 }
	if err := w.publisher.Work(ctx, m); err == nil {
		t.Errorf("Work: got no error, want that it was interrupted")
	}
	w.receiver.meanwhile, w.receiver.answer = nil, nil
	w.minutes(1)
	if n := w.tries("a"); n != 1 {
		t.Errorf("before the lease ends: got %d requests, want no other", n)
	}
	w.minutes(4)
	w.whole("a", "minji", 1)
	if strings.Contains(w.logs.String(), "was not taken") {
		t.Errorf("it counts as a failure of the endpoint: %s", w.logs)
	}
	w.idle()
}

// Little time is left: what cannot be begun is due at once, for another invocation.
func TestNothingIsBegunThatCannotEnd(t *testing.T) {
	w := newWorld(t)
	w.endpoint("a")
	w.tell("minji", event.PurchaseGranted)
	w.tick()
	m := w.queue.take()[0]
	ctx, cancel := context.WithTimeout(t.Context(), delivery.Wait)
	defer cancel()
	if err := w.publisher.Work(ctx, m); err != nil {
		t.Errorf("Work: got %v, want no error", err)
	}
	if n := w.tries("a"); n != 0 {
		t.Errorf("got %d requests, want none", n)
	}
	w.clock.advance(time.Second)
	w.minutes(2)
	w.whole("a", "minji", 1)
	w.idle()
}

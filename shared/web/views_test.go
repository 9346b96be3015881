package web_test

import (
	"encoding/json"
	"maps"
	"testing"
	"time"

	"grantline/shared/purchase"
	"grantline/shared/table"
)

// alter changes members of the one record in a table that has this id.
func (w *world) alter(in table.Table, id string, members object) {
	w.Helper()
	for _, item := range w.tables.Items(in) {
		var record object
		if err := json.Unmarshal(item.Data, &record); err != nil || record["id"] != id {
			continue
		}
		maps.Copy(record, members)
		var err error
		if item.Data, err = json.Marshal(record); err == nil {
			err = w.tables.Commit(w.Context(), table.Replaced(item))
		}
		if err != nil {
			w.Fatal(err)
		}
		return
	}
	w.Fatalf("%s: got no record in %s, want one", id, in)
}

func TestASourceThatEndedIsNotActive(t *testing.T) {
	w := newWorld(t)
	end := start.AddDate(0, 1, 0)
	w.shops["apple"].sell("a.b.c", purchase.Sale{Order: "2001", SKU: monthly, PurchasedAt: start, Until: end, AsOf: start})
	w.expect(200, "", "POST", "/v1/purchases", server("minji"), claimOf("a.b.c"))
	for _, c := range []struct {
		after time.Duration
		want  bool
	}{{end.Sub(start) - time.Second, true}, {time.Second, false}} {
		w.clock.advance(c.after)
		e := w.expect(200, "", "GET", me, server(""), "").body["entitlements"].([]any)[0].(map[string]any)
		source := e["sources"].([]any)[0].(map[string]any)
		if e["active"] != c.want || source["active"] != c.want {
			t.Errorf("at %v: got entitlement %v and source %v, want active %t", w.clock.Now(), e["active"], source["active"], c.want)
		}
	}
}

// A mandate on hold, and a card that was refused for good, wait for the customer; what is
// cancelled waits for nobody.
func TestASubscriptionSaysThatItWaitsForAPaymentMethod(t *testing.T) {
	for name, c := range map[string]struct {
		is   object
		want any
	}{
		"as it was":            {object{}, nil},
		"on hold":              {object{"onHold": true}, true},
		"spent":                {object{"spent": true}, true},
		"spent and cancelled":  {object{"spent": true, "state": "cancelled"}, nil},
		"neither, and unpaid":  {object{"state": "unpaid"}, nil},
		"on hold, and unpaid":  {object{"onHold": true, "state": "unpaid"}, true},
		"spent, and on hold":   {object{"spent": true, "onHold": true}, true},
		"cancelled, not spent": {object{"state": "cancelled"}, nil},
	} {
		w := newWorld(t)
		w.minji()
		w.alter(table.Subscriptions, "sub-1", c.is)
		if got := w.expect(200, "", "GET", "/v1/subscriptions/sub-1", server(""), "").body["paymentMethodRequired"]; got != c.want {
			t.Errorf("%s: got payment method required %v, want %v", name, got, c.want)
		}
	}
}

// Money that came under an order's name and was not its own is a matter between the gateway
// and us.
func TestAnOrderShowsNoRefundOfAPaymentThatIsNotItsOwn(t *testing.T) {
	w := newWorld(t)
	w.minji()
	charges := w.expect(200, "", "GET", "/v1/subscriptions/sub-1", server(""), "").body["charges"].([]any)
	id := charges[0].(map[string]any)["orderId"].(string)
	w.alter(table.Orders, id, object{"refunds": []object{
		{"reference": "own", "amount": 100, "reason": "asked for", "state": "done", "askedAt": start, "doneAt": start},
		{"reference": "gl-stray", "amount": 4900, "reason": "twice", "state": "done", "stray": "pay-2", "askedAt": start, "doneAt": start},
	}})
	order := w.expect(200, "", "GET", "/v1/orders/"+id, server(""), "").body["order"].(map[string]any)
	refunds, _ := order["refunds"].([]any)
	if len(refunds) != 1 || refunds[0].(map[string]any)["reference"] != "own" {
		t.Errorf("refunds: got %v, want its own alone", refunds)
	}
}

package appsintoss_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"grantline/shared/appsintoss"
	"grantline/shared/catalog"
	"grantline/shared/customer"
	"grantline/shared/entitlement"
	"grantline/shared/event"
	"grantline/shared/fault"
	"grantline/shared/memory"
	"grantline/shared/purchase"
	"grantline/shared/table"
)

const (
	ann = "ann"
	ben = "ben"

	monthly = "premium-1month"
	gems    = "gems-100"

	aDay = 24 * time.Hour
)

// toss answers about each order as it stands, and about others that it does not know them.
type toss struct {
	orders map[string]says // by orderId
	owners map[string]string
	down   bool
	asked  int
}

func (o *toss) RoundTrip(req *http.Request) (*http.Response, error) {
	var body struct{ OrderID string }
	if err := json.NewDecoder(req.Body).Decode(&body); err != nil {
		return nil, err
	}
	o.asked++
	answer, ok := o.orders[body.OrderID]
	key := req.Header.Get("X-Toss-User-Key")
	if owner := o.owners[body.OrderID]; !ok || key != "" && owner != "" && key != owner {
		answer = stands(body.OrderID, "NOT_FOUND", "")
	}
	if o.down {
		answer = says{err: io.EOF}
	}
	return (&script{answers: []says{answer}}).RoundTrip(req)
}

// stands is a SUCCESS about an order.
func stands(id, status, sku string) says {
	if sku != "" {
		sku = fmt.Sprintf(`,"sku":%q,"statusDeterminedAt":"2026-11-22T17:59:30"`, sku)
	}
	return says{status: 200, body: fmt.Sprintf(`{"resultType":"SUCCESS","success":{"orderId":%q,"status":%q%s}}`, id, status, sku)}
}

// desk is a book that sells through Apps-in-Toss alone, by the clock of a bubble.
type desk struct {
	*testing.T
	*purchase.Book
	*toss
	tables *memory.Tables
	log    *log
}

// open makes a desk whose clock says now.
func open(t *testing.T) *desk {
	t.Helper()
	time.Sleep(time.Until(now))
	products, err := catalog.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	d := &desk{T: t, toss: &toss{orders: map[string]says{}, owners: map[string]string{}}, tables: memory.New(), log: &log{}}
	d.Book = &purchase.Book{
		Tables: d.tables, Catalog: products, Clock: bubble{}, Log: slog.New(slog.NewJSONHandler(d.log, nil)),
		Stores: map[string]purchase.Store{appsintoss.Name: scripted(t, d.toss, bubble{}, d.log)},
		Customers: customer.Directory{Tables: d.tables, Identity: customer.Identity{
			Key: func(context.Context, bool) (string, error) { return strings.Repeat("k", 32), nil },
		}},
	}
	return d
}

// each runs a test in a bubble of its own.
func each(t *testing.T, name string, test func(*desk)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { test(open(t)) })
	})
}

func (d *desk) claim(who string) (purchase.Claimed, error) {
	return d.Claim(d.Context(), table.Default, who, purchase.Proof{Store: appsintoss.Name, Evidence: order})
}

// wipe forgets everything.
func (d *desk) wipe() {
	d.tables = memory.New()
	d.Tables, d.Customers.Tables = d.tables, d.tables
}

func (d *desk) granted(who string) purchase.Order {
	d.Helper()
	c, err := d.claim(who)
	if err != nil || c.Order.State != purchase.OrderGranted {
		d.Fatalf("claim by %s: got %q, %v, want it granted", who, c.Order.State, err)
	}
	return c.Order
}

func (d *desk) refused(who string, kind error, code string) {
	d.Helper()
	if c, err := d.claim(who); !errors.Is(err, kind) || fault.Code(err) != code {
		d.Errorf("claim by %s: got %q, %v, want %v with code %s", who, c.Order.State, err, kind, code)
	}
}

// hear sends an event, by way of its evidence.
func (d *desk) hear(body string) (bool, error) {
	d.Helper()
	e, err := appsintoss.ParseEvent([]byte(body))
	if err != nil {
		d.Fatalf("event %s: got %v, want it read", body, err)
	}
	return d.LookAgain(d.Context(), table.Default, appsintoss.Name, e.Evidence())
}

func (d *desk) heard(body string) {
	d.Helper()
	if ok, err := d.hear(body); !ok || err != nil {
		d.Fatalf("event %s: got %t, %v, want it taken over", body, ok, err)
	}
}

func (d *desk) customer(who string) *customer.Customer {
	d.Helper()
	c, err := d.Customers.Named(d.Context(), table.Default, who)
	if err != nil {
		d.Fatal(err)
	}
	return c
}

// premium is what who has of it at an instant.
func (d *desk) premium(who string, at time.Time) entitlement.Entitlement {
	d.Helper()
	for _, e := range d.customer(who).Entitlements(at) {
		if e.ID == "premium" {
			return e
		}
	}
	return entitlement.Entitlement{}
}

func (d *desk) balance(who string) int64 {
	d.Helper()
	return d.customer(who).Wallets()["gems"].Balance(time.Now())
}

// told are the events of a customer.
func (d *desk) told(who string) []event.Type {
	d.Helper()
	all, err := customer.Events(d.Context(), d.tables, table.Default, d.customer(who).Ref, 0, 1000)
	if err != nil {
		d.Fatal(err)
	}
	kinds := []event.Type{}
	for _, e := range all {
		kinds = append(kinds, e.Type)
	}
	return kinds
}

func (d *desk) wantTold(who string, want ...event.Type) {
	d.Helper()
	if got := d.told(who); !slices.Equal(got, want) {
		d.Errorf("events of %s: got %v, want %v", who, got, want)
	}
}

// order reads our order, the zero one if there is none.
func (d *desk) order() purchase.Order {
	d.Helper()
	item, err := d.tables.Get(d.Context(), table.Key{Table: table.Orders, Partition: table.Default.Key("appsintoss_" + order)})
	if errors.Is(err, fault.NotFound) {
		return purchase.Order{}
	}
	if err != nil {
		d.Fatal(err)
	}
	o, err := purchase.DecodeOrder(item)
	if err != nil {
		d.Fatal(err)
	}
	return o
}

// due is when the line is to be looked at again, zero for never.
func (d *desk) due() time.Time {
	d.Helper()
	item, err := d.tables.Get(d.Context(), table.Key{Table: table.Purchases, Partition: table.Default.Key(appsintoss.Name, order)})
	if err != nil {
		d.Fatal(err)
	}
	var r purchase.Record
	if err := json.Unmarshal(item.Data, &r); err != nil {
		d.Fatal(err)
	}
	return r.CheckAt
}

// review waits until the line is due, at most as long as most, and reviews it. It says how
// long that was, false if nothing was due.
func (d *desk) review(most time.Duration) (time.Duration, bool) {
	d.Helper()
	at := d.due()
	if at.IsZero() || time.Until(at) > most {
		return 0, false
	}
	waited := time.Until(at)
	time.Sleep(waited)
	before := d.asked
	if _, err := d.Review(d.Context(), table.Default, appsintoss.Name, 10); err != nil || d.asked == before {
		d.Fatalf("review: got %v after %d requests, want one at least", err, d.asked-before)
	}
	return waited, true
}

func at(t time.Time) string { return `"` + t.Format(time.RFC3339Nano) + `"` }

// turned is a subscription's event of this moment.
func turned(status string, granted bool, expires time.Time, renew bool, others members) string {
	m := members{
		"occurredAt": at(time.Now()), "current.status": `"` + status + `"`, "current.accessGranted": fmt.Sprint(granted),
		"current.autoRenew": fmt.Sprint(renew), "current.expiresAt": `null`,
	}
	if !expires.IsZero() {
		m["current.expiresAt"] = at(expires)
	}
	for name, value := range others {
		m[name] = value
	}
	return change(m)
}

var statuses = []string{"ACTIVE", "IN_GRACE_PERIOD", "ON_HOLD", "PAUSED", "EXPIRED", "REVOKED"}

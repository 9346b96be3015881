//go:build consumers

package consumers_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/delivery"
)

// message is what of a document the server keeps.
type message struct {
	Type                  string   `json:"type"`
	ID                    string   `json:"id"`
	AtMS                  int64    `json:"event_timestamp_ms"`
	AppUserID             string   `json:"app_user_id"`
	OriginalAppUserID     string   `json:"original_app_user_id"`
	Aliases               []string `json:"aliases"`
	ProductID             string   `json:"product_id"`
	EntitlementIDs        []string `json:"entitlement_ids"`
	Store                 string   `json:"store"`
	Environment           string   `json:"environment"`
	PeriodType            string   `json:"period_type"`
	PurchasedAtMS         *int64   `json:"purchased_at_ms"`
	ExpirationAtMS        int64    `json:"expiration_at_ms"`
	TransactionID         string   `json:"transaction_id"`
	OriginalTransactionID string   `json:"original_transaction_id"`
	IsFamilyShare         bool     `json:"is_family_share"`
	Currency              string   `json:"currency"`
	PriceUSD              *float64 `json:"price"`
	Price                 *float64 `json:"price_in_purchased_currency"`
	CancelReason          string   `json:"cancel_reason"`
	ExpirationReason      string   `json:"expiration_reason"`
	NewProductID          string   `json:"new_product_id"`
	RenewalNumber         int      `json:"renewal_number"`
	GraceUntilMS          int64    `json:"grace_period_expiration_at_ms"`
	Adjustments           []struct {
		Amount float64 `json:"amount"`
	} `json:"adjustments"`
}

func read(t *testing.T, body string) message {
	t.Helper()
	var m struct {
		Event message `json:"event"`
	}
	if err := json.Unmarshal([]byte(body), &m); err != nil {
		t.Fatal(err)
	}
	return m.Event
}

var everybody = []string{"kim", "lee", "park", "$RCAnonymousID:5f2c", "kim-on-the-tablet"}

// sender has requests go out as our own do, to an endpoint of the format.
type sender struct {
	like   request
	secret string
}

func newSender(t *testing.T) sender {
	t.Helper()
	like, secrets, _ := told(t, delivery.RevenueCat, false)
	return sender{like, secrets.Authorization}
}

func (s sender) request(t *testing.T, name, body string) request {
	t.Helper()
	r := s.like
	r.Name, r.Body, r.Now = name, body, read(t, body).AtMS
	return r
}

// result is the server's word on a request.
func (s step) result(t *testing.T) (processed bool) {
	t.Helper()
	var a struct {
		Processed *bool `json:"processed"`
	}
	if err := json.Unmarshal([]byte(s.Answer), &a); err != nil || a.Processed == nil || s.Status != 200 {
		t.Errorf("%s: got %d %s, want 200 and whether it was processed", s.Name, s.Status, s.Answer)
		return false
	}
	return *a.Processed
}

func TestConvexRevenuecatTakesEveryMessageOnceAndReadsItAsMeant(t *testing.T) {
	s := newSender(t)
	all := documents(t)
	var q question
	for _, name := range slices.Sorted(maps.Keys(all)) {
		r := s.request(t, name, all[name])
		again := r
		again.Now += 5 * 60_000
		q.Worlds = append(q.Worlds, world{Name: name, Secret: s.secret, Steps: []request{r, again}, Customers: everybody})
	}
	seen := map[string]int{}
	for _, w := range ask(t, q).Worlds {
		m := read(t, all[w.Name])
		first, again := w.Steps[0], w.Steps[1]
		if !first.result(t) || again.result(t) {
			t.Errorf("%s: got %s and %s, want it processed once", w.Name, first.Answer, again.Answer)
		}
		for _, complaint := range append(first.Complaints, again.Complaints...) {
			t.Errorf("%s: the server complains: %s", w.Name, complaint)
		}
		if diff := cmp.Diff(first.Customers, again.Customers); diff != "" {
			t.Errorf("%s: the second time changed something: %s", w.Name, diff)
		}
		seen[m.Type]++
		how := reads(t, w.Name, m, first)
		t.Logf("%-36s %-28s %s", w.Name, m.Type, how)
	}
	for _, kind := range []string{
		"INITIAL_PURCHASE", "NON_RENEWING_PURCHASE", "RENEWAL", "PRODUCT_CHANGE", "CANCELLATION", "UNCANCELLATION", "BILLING_ISSUE",
		"SUBSCRIPTION_EXTENDED", "EXPIRATION", "REFUND_REVERSED", "TRANSFER", "SUBSCRIBER_ALIAS", "VIRTUAL_CURRENCY_TRANSACTION",
	} {
		if seen[kind] == 0 {
			t.Errorf("%s: no document has it", kind)
		}
	}
}

// reads compares what the server keeps with the message, field by field.
func reads(t *testing.T, name string, m message, s step) string {
	t.Helper()
	if m.Type == "TRANSFER" {
		return "two customers, and what moves between them"
	}
	who := s.Customers[m.AppUserID]
	if len(who.Events) != 1 || who.Events[0].EventID != m.ID || who.Events[0].Status != "processed" {
		t.Errorf("%s: got events %+v, want %s processed", name, who.Events, m.ID)
	}
	if c := who.Customer; c == nil || c.OriginalAppUserID != m.OriginalAppUserID || !slices.Equal(c.Aliases, m.Aliases) {
		t.Errorf("%s: got customer %+v, want %s with %q", name, c, m.OriginalAppUserID, m.Aliases)
	}
	switch {
	case m.Type == "SUBSCRIBER_ALIAS":
		return "customer"
	case m.Type == "VIRTUAL_CURRENCY_TRANSACTION":
		if want := max(0, m.Adjustments[0].Amount); len(who.Balances) != 1 || who.Balances[0].CurrencyCode != "gems" || who.Balances[0].Balance != want {
			t.Errorf("%s: got balances %+v, want %v gems", name, who.Balances, want)
		}
		return fmt.Sprintf("customer, transaction, balance %v", who.Balances[0].Balance)
	case len(who.Subscriptions) != 1:
		t.Errorf("%s: got %d subscriptions, want 1", name, len(who.Subscriptions))
		return ""
	}
	got := who.Subscriptions[0]
	want := subscription{
		ProductID: m.ProductID, Kind: "subscription", EntitlementIDs: m.EntitlementIDs, Store: m.Store, Environment: m.Environment,
		PeriodType: m.PeriodType, PurchasedAtMS: s.at(m), ExpirationAtMS: m.ExpirationAtMS, TransactionID: m.TransactionID,
		OriginalTransactionID: m.OriginalTransactionID, IsFamilyShare: m.IsFamilyShare, AutoRenewStatus: got.AutoRenewStatus,
		Currency: m.Currency, PriceUSD: m.PriceUSD, Price: m.Price, CancelReason: m.CancelReason, ExpirationReason: m.ExpirationReason,
		NewProductID: m.NewProductID, RenewalNumber: m.RenewalNumber, GraceUntilMS: m.GraceUntilMS,
	}
	if m.Type == "NON_RENEWING_PURCHASE" {
		want.Kind = "consumable" // its word for whatever does not renew
	}
	if m.Type == "RENEWAL" || m.Type == "EXPIRATION" {
		want.GraceUntilMS = 0
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s: want -, kept +: %s", name, diff)
	}
	gives := slices.Contains([]string{"INITIAL_PURCHASE", "NON_RENEWING_PURCHASE", "RENEWAL", "PRODUCT_CHANGE", "SUBSCRIPTION_EXTENDED", "REFUND_REVERSED"}, m.Type)
	var active []string
	for id, on := range who.Active {
		if on {
			active = append(active, id)
		}
	}
	if gives && !slices.Equal(active, m.EntitlementIDs) || !gives && len(active) > 0 {
		t.Errorf("%s: got %q in use, want what it gives of %q", name, active, m.EntitlementIDs)
	}
	if len(active) == 0 {
		active = []string{"nothing"}
	}
	return "customer, every field of the subscription; may use " + strings.Join(active, ", ")
}

// at is when the server believes something was bought: when it was told, if nobody says.
func (s step) at(m message) int64 {
	if m.PurchasedAtMS != nil {
		return *m.PurchasedAtMS
	}
	return m.AtMS
}

// The server says 200 to most messages that it cannot use, so its log has to be read.
func TestConvexRevenuecatComplainsOfWhatItMisses(t *testing.T) {
	s := newSender(t)
	body := documents(t)["purchase.granted"]
	w := world{Name: "gaps", Secret: s.secret, Customers: []string{"kim"}}
	for _, field := range []string{"product_id", "store", "period_type", "original_transaction_id", "app_user_id"} {
		before, rest, _ := strings.Cut(body, `"`+field+`":`)
		_, after, _ := strings.Cut(rest, ",")
		r := s.request(t, field, body)
		r.Body = strings.Replace(before+`"`+field+`":null,`+after, "evt_", "evt_without_"+field+"_", 1)
		w.Steps = append(w.Steps, r)
	}
	for _, got := range ask(t, question{Worlds: []world{w}}).Worlds[0].Steps {
		t.Logf("without %-24s %d %q %s", got.Name, got.Status, got.Complaints, got.Answer)
		told := got.Status == 200 && len(got.Complaints) == 1 && strings.Contains(got.Complaints[0], "missing "+got.Name)
		refused := got.Status == 500 && got.Name == "app_user_id"
		if !told && !refused || len(got.Customers["kim"].Subscriptions) > 0 {
			t.Errorf("without %s: got %d %q, and %+v; want a complaint and no subscription", got.Name, got.Status, got.Complaints, got.Customers["kim"].Subscriptions)
		}
	}
}

func TestConvexRevenuecatKnowsUsByTheHeaderThatWeMade(t *testing.T) {
	s := newSender(t)
	other := newSender(t)
	body := documents(t)["purchase.granted"]
	w := world{Name: "door", Secret: s.secret, Customers: []string{"kim"}}
	want := map[string]int{}
	add := func(name string, r request, status int) {
		r.Name, want[name] = name, status
		w.Steps = append(w.Steps, r)
	}
	without := s.request(t, "", body)
	without.Headers = maps.Clone(without.Headers)
	delete(without.Headers, "authorization")
	spoiled := func(body string) request {
		r := s.request(t, "", documents(t)["purchase.granted"])
		r.Body = body
		return r
	}
	add("nobody's header", without, 401)
	add("another endpoint's header", other.request(t, "", body), 401)
	add("no JSON", spoiled(body[1:]), 400)
	add("no id", spoiled(strings.Replace(body, `"id":"evt_purchase.granted",`, "", 1)), 400)
	add("another environment", spoiled(strings.Replace(body, `"PRODUCTION"`, `"STAGING"`, 1)), 400)
	add("our test", s.like, 200)
	add("ours", s.request(t, "", body), 200)
	for _, got := range ask(t, question{Worlds: []world{w}}).Worlds[0].Steps {
		t.Logf("%-28s %d %s", got.Name, got.Status, got.Answer)
		if got.Status != want[got.Name] {
			t.Errorf("%s: got %d %s, want %d", got.Name, got.Status, got.Answer, want[got.Name])
		}
		if known := got.Customers["kim"].Customer != nil; known != (got.Name == "ours") {
			t.Errorf("%s: got a customer %t", got.Name, known)
		}
	}
}

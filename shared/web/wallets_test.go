package web_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/abuse"
	"grantline/shared/event"
	"grantline/shared/memory"
	"grantline/shared/table"
	"grantline/shared/wallet"
)

// obj is a JSON object.
type obj = map[string]any

const gems = me + "/wallet/gems"

// has gives minji gems of an order.
func (w *world) has(order string, amount int64) {
	w.Helper()
	w.moves(func(is wallet.Wallet) (wallet.Wallet, wallet.Entry) {
		return is.Credit(wallet.Lot{OrderID: order, Kind: wallet.Paid, Granted: amount, CameAt: w.clock.Now()})
	}, event.Event{Type: event.PurchaseGranted, At: w.clock.Now(), OrderID: order})
}

func (w *world) moves(act func(wallet.Wallet) (wallet.Wallet, wallet.Entry), e event.Event) {
	w.Helper()
	c, err := w.api.Customers.Named(w.Context(), table.Default, "minji")
	if err != nil {
		w.Fatal(err)
	}
	is, entry := act(c.Wallets()["gems"])
	c.SetWallet("gems", is, entry)
	c.Tell(e)
	writes, err := c.Writes(w.clock.Now())
	if err == nil {
		err = w.tables.Commit(w.Context(), writes...)
	}
	if err != nil {
		w.Fatal(err)
	}
}

func TestAWalletIsSpentAndGivenBackOnceForEachReference(t *testing.T) {
	w := newWorld(t)
	w.has("appsintoss_o", 100)
	user := w.user("minji")
	left := func(balance int) obj {
		return obj{"gems": obj{"balance": float64(balance), "lots": []any{obj{"orderId": "appsintoss_o", "kind": "paid", "remaining": float64(balance), "expiresAt": nil}}}}
	}
	same := func(what string, got answer, want obj) {
		t.Helper()
		if diff := cmp.Diff(want, got.body); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	at := start.Format(time.RFC3339Nano)
	spend := func(refunded int) obj {
		return obj{"reference": "sword", "amount": 30.0, "refunded": float64(refunded), "at": at}
	}
	same("a spend", w.expect(200, "", "POST", gems+"/spend", user, `{"amount":30,"reference":"sword"}`), obj{"spend": spend(0), "wallet": left(70)})
	w.clock.advance(time.Hour)
	same("the same", w.expect(200, "", "POST", gems+"/spend", user, `{"amount":30,"reference":"sword"}`), obj{"spend": spend(0), "wallet": left(70)})
	// What a customer spent under a name that it guessed is not what the server means by it.
	w.expect(409, "reference_used", "POST", gems+"/spend", server(""), `{"amount":30,"reference":"sword"}`)
	w.expect(409, "reference_used", "POST", gems+"/spend", user, `{"amount":31,"reference":"sword"}`)
	w.expect(422, "insufficient_balance", "POST", gems+"/spend", user, `{"amount":71,"reference":"shield"}`)
	w.expect(422, "insufficient_balance", "POST", me+"/wallet/gold/spend", user, `{"amount":1,"reference":"shield"}`)
	later := w.clock.Now().Format(time.RFC3339Nano)
	part := obj{"spend": spend(10), "refund": obj{"reference": "sorry", "amount": 10.0, "at": later}, "wallet": left(80)}
	for range 2 {
		same("a refund in part", w.expect(200, "", "POST", gems+"/refund", server(""), `{"spend":"sword","amount":10,"reference":"sorry","reason":"lost"}`), part)
	}
	w.expect(409, "reference_used", "POST", gems+"/refund", server(""), `{"spend":"sword","amount":11,"reference":"sorry"}`)
	w.expect(409, "reference_used", "POST", gems+"/refund", server(""), `{"spend":"sword","reference":"sorry"}`)
	w.expect(422, "refund_exceeds_spend", "POST", gems+"/refund", server(""), `{"spend":"sword","amount":21,"reference":"more"}`)
	w.expect(404, "spend_not_found", "POST", gems+"/refund", server(""), `{"spend":"bow","reference":"more"}`)
	same("the rest", w.expect(200, "", "POST", gems+"/refund", server(""), `{"spend":"sword","reference":"rest"}`),
		obj{"spend": spend(30), "refund": obj{"reference": "rest", "amount": 20.0, "at": later}, "wallet": left(100)})
	for _, body := range []string{
		`{"amount":0,"reference":"r"}`, `{"reference":"r"}`, `{"amount":1}`, `{"amount":1,"reference":""}`, `{"amount":1.5,"reference":"r"}`, `{"amount":"1","reference":"r"}`,
		`{"amount":1000000000001,"reference":"r"}`, `{"amount":9223372036854775808,"reference":"r"}`, `{"amount":1,"reference":"r","reason":"x"}`, `{"amount":1,"amount":1,"reference":"r"}`,
	} {
		w.expect(400, "invalid_request", "POST", gems+"/spend", user, body)
	}
	w.expect(400, "invalid_request", "POST", gems+"/refund", server(""), `{"spend":"sword","amount":0,"reference":"r"}`)
	w.expect(400, "invalid_request", "POST", me+"/wallet/g%25/spend", user, `{"amount":1,"reference":"r"}`)
}

func TestACreditIsGivenByTheServerOnceForEachReference(t *testing.T) {
	w := newWorld(t)
	end := start.Add(time.Hour).Format(time.RFC3339)
	body := fmt.Sprintf(`{"amount":50,"reference":"winter","expiresAt":%q,"reason":"The winter event."}`, end)
	for range 2 {
		a := w.expect(200, "", "POST", gems+"/credit", server(""), body)
		want := obj{
			"credit": obj{"reference": "winter", "amount": 50.0, "at": start.Format(time.RFC3339)},
			"wallet": obj{"gems": obj{"balance": 50.0, "lots": []any{obj{"orderId": "credit_winter", "kind": "free", "remaining": 50.0, "expiresAt": end}}}},
		}
		if diff := cmp.Diff(want, a.body); diff != "" {
			t.Errorf("a credit (-want +got):\n%s", diff)
		}
	}
	w.expect(409, "reference_used", "POST", gems+"/credit", server(""), `{"amount":50,"reference":"winter","reason":"x"}`)
	w.expect(400, "invalid_request", "POST", gems+"/credit", server(""), `{"amount":50,"reference":"other"}`)
	w.expect(422, "credit_over", "POST", gems+"/credit", server(""), fmt.Sprintf(`{"amount":50,"reference":"other","expiresAt":%q,"reason":"x"}`, start.Format(time.RFC3339)))
	a := w.expect(200, "", "GET", me+"/events", server(""), "")
	events, _ := a.body["events"].([]any)
	if len(events) != 1 {
		t.Fatalf("got %s, want one event", a.text)
	}
	cause, _ := events[0].(map[string]any)["cause"].(map[string]any)
	if cause["reason"] != "The winter event." {
		t.Errorf("got the cause %v, want the reason that was given", cause)
	}
	w.clock.advance(time.Hour)
	if a := w.expect(422, "insufficient_balance", "POST", gems+"/spend", server(""), `{"amount":1,"reference":"late"}`); a.status != 422 {
		t.Error("what was over was spent")
	}
}

func TestNobodySpendsWhatIsAnothers(t *testing.T) {
	w := newWorld(t)
	w.has("appsintoss_o", 100)
	was := w.state()
	spend, refund, credit := `{"amount":1,"reference":"r"}`, `{"spend":"r","reference":"r"}`, `{"amount":1,"reference":"r","reason":"x"}`
	for _, c := range []struct {
		who                string
		h                  header
		status             int
		code               string
		serversStatus      int
		serversCode, reads string
	}{
		{"nobody", nil, 401, "unauthenticated", 401, "unauthenticated", "unauthenticated"},
		{"an app that names her", app("minji"), 403, "sign_in_required", 403, "secret_key_required", "sign_in_required"},
		{"an app", app(""), 403, "sign_in_required", 403, "secret_key_required", "sign_in_required"},
		{"another user", w.user("jisoo"), 403, "another_customer", 403, "secret_key_required", "another_customer"},
		{"a server for another", server("jisoo"), 403, "another_customer", 403, "another_customer", "another_customer"},
	} {
		w.expect(c.status, c.code, "POST", gems+"/spend", c.h, spend)
		w.expect(c.serversStatus, c.serversCode, "POST", gems+"/refund", c.h, refund)
		w.expect(c.serversStatus, c.serversCode, "POST", gems+"/credit", c.h, credit)
		w.expect(c.status, c.reads, "GET", gems+"/ledger", c.h, "")
	}
	w.expect(403, "secret_key_required", "POST", gems+"/refund", w.user("minji"), refund)
	w.expect(403, "secret_key_required", "POST", gems+"/credit", w.user("minji"), credit)
	is := w.state()
	for key, item := range was {
		if diff := cmp.Diff(item, is[key]); diff != "" {
			t.Errorf("%s was changed (-was +is):\n%s", key.Sort, diff)
		}
	}
}

func TestBlockedOrInDebtNothingIsSpent(t *testing.T) {
	w := newWorld(t)
	w.has("appsintoss_o", 100)
	user := w.user("minji")
	w.expect(200, "", "POST", gems+"/spend", user, `{"amount":80,"reference":"sword"}`)
	w.moves(func(is wallet.Wallet) (wallet.Wallet, wallet.Entry) { return is.TakeBack("appsintoss_o", 100) },
		event.Event{Type: event.PurchaseRefunded, At: start, OrderID: "appsintoss_o"})
	w.expect(422, "wallet_in_debt", "POST", gems+"/spend", user, `{"amount":1,"reference":"bow"}`)
	w.expect(200, "", "POST", gems+"/spend", user, `{"amount":80,"reference":"sword"}`)
	w.has("appsintoss_p", 100)
	c, err := w.api.Customers.Named(t.Context(), table.Default, "minji")
	if err != nil {
		t.Fatal(err)
	}
	blocked := []abuse.Measure{abuse.BlockSpending}
	c.SetConduct(abuse.History{Measures: blocked, Overrides: []abuse.Override{{Measures: blocked, Reason: "r", By: "key", At: start}}})
	writes, err := c.Writes(start)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.tables.Commit(t.Context(), writes...); err != nil {
		t.Fatal(err)
	}
	w.expect(403, "spending_blocked", "POST", gems+"/spend", user, `{"amount":1,"reference":"bow"}`)
	a := w.expect(200, "", "GET", gems+"/ledger", user, "")
	var got []string
	entries, _ := a.body["entries"].([]any)
	for _, e := range entries {
		e := e.(map[string]any)
		got = append(got, fmt.Sprintf("%v %v %v %v %v %v %v", e["sequence"], e["kind"], e["amount"], e["balance"], e["debt"], e["orderId"], e["reference"]))
	}
	want := []string{
		"1 credit 100 100 <nil> appsintoss_o <nil>", "2 spend -80 20 <nil> <nil> sword", "3 take_back -100 -80 80 appsintoss_o <nil>",
		"4 credit 100 20 -80 appsintoss_p <nil>",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the ledger (-want +got):\n%s", diff)
	}
}

func TestALedgerComesInPagesAndTellsOfItsCurrencyAlone(t *testing.T) {
	w := newWorld(t)
	for n := range 210 {
		currency := map[bool]string{true: "gems", false: "gold"}[n%2 == 0]
		w.expect(200, "", "POST", me+"/wallet/"+currency+"/credit", server(""), fmt.Sprintf(`{"amount":1,"reference":"r%d","reason":"x"}`, n))
	}
	var seen []float64
	pages, after := 0, ""
	for {
		a := w.expect(200, "", "GET", gems+"/ledger", w.user("minji"), "", after)
		entries, _ := a.body["entries"].([]any)
		for _, e := range entries {
			e := e.(map[string]any)
			if seen = append(seen, e["balance"].(float64)); e["reference"] != fmt.Sprint("r", 2*(len(seen)-1)) {
				t.Errorf("entry %d is %v", len(seen), e)
			}
		}
		pages++
		next, more := a.body["next"].(float64)
		if !more {
			break
		}
		after = fmt.Sprintf("after=%.0f", next)
	}
	if pages != 2 || len(seen) != 105 || seen[104] != 105 {
		t.Errorf("got %d pages with %d entries, the last balance %v, want 2, 105 and 105", pages, len(seen), seen[len(seen)-1])
	}
	for _, h := range []header{server(""), server("sora")} {
		if a := w.expect(200, "", "GET", "/v1/customers/sora/wallet/gems/ledger", h, ""); len(a.body["entries"].([]any)) != 0 {
			t.Errorf("of nobody: got %s, want an empty ledger", a.text)
		}
	}
	for _, query := range []string{"after=-1", "after=x", "after=1e3", "after=9999999999999", "after=%zz"} {
		w.expect(400, "invalid_request", "GET", gems+"/ledger", server(""), "", query)
	}
	w.expect(400, "invalid_request", "GET", me+"/wallet/-/ledger", server(""), "")
}

func TestAWalletOfAnyPrintableCustomerIDIsFound(t *testing.T) {
	for _, id := range []string{"a/b", "a/wallet/gems", "/", "wallet/gems", "김민지", "a%2Fwallet%2Fgems%2Fspend", "$RCAnonymousID:1"} {
		w := newWorld(t)
		path := "/v1/customers/" + id + "/wallet/gems"
		w.expect(200, "", "POST", path+"/credit", server(""), `{"amount":10,"reference":"r","reason":"x"}`)
		w.expect(200, "", "POST", path+"/spend", w.user(id), `{"amount":4,"reference":"r"}`)
		w.expect(200, "", "POST", path+"/refund", server(id), `{"spend":"r","amount":1,"reference":"r"}`)
		a := w.expect(200, "", "GET", "/v1/customers/"+id, w.user(id), "")
		balance := a.body["wallet"].(map[string]any)["gems"].(map[string]any)["balance"]
		if balance != 7.0 {
			t.Errorf("%q: got a balance of %v, want 7", id, balance)
		}
	}
	w := newWorld(t)
	for _, id := range []string{"a/wallet/gems/refund", "a/wallet/gems/credit", "a/wallet/gems/ledger", "a/wallet/gems/spend"} {
		w.expect(400, "invalid_customer_id", "POST", "/v1/customers/"+id+"/wallet/gems/spend", server(""), `{"amount":4,"reference":"r"}`)
		w.expect(405, "method_not_allowed", "PUT", "/v1/customers/"+id, server(""), `{"name":"Minji"}`)
	}
}

func TestTablesThatFailAreNoAnswerAboutAWallet(t *testing.T) {
	for _, ask := range []struct{ method, path, body string }{
		{"POST", gems + "/spend", `{"amount":1,"reference":"r"}`},
		{"POST", gems + "/refund", `{"spend":"sword","amount":1,"reference":"r"}`},
		{"POST", gems + "/credit", `{"amount":1,"reference":"r","reason":"x"}`},
		{"GET", gems + "/ledger", ""},
	} {
		w := newWorld(t)
		w.has("appsintoss_o", 100)
		w.expect(200, "", "POST", gems+"/spend", server(""), `{"amount":3,"reference":"sword"}`)
		failure := outage()
		w.tables.Fail = func(op memory.Op) (bool, error) {
			if op.Method != "GetAll" && op.Query.Table != table.Customers { // what is about references, or the customer
				return false, nil
			}
			return false, failure
		}
		if a := w.ask(ask.method, ask.path, server(""), ask.body); a.status != 503 {
			t.Errorf("%s %s without tables: got %d, want 503", ask.method, ask.path, a.status)
		}
		failure = errors.New("a bug")
		w.expect(500, "internal_error", ask.method, ask.path, server(""), ask.body)
		w.tables.Fail = nil
		if a := w.expect(200, "", ask.method, ask.path, server(""), ask.body); a.status != 200 {
			t.Errorf("afterwards: got %d", a.status)
		}
	}
}

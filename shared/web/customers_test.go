package web_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"grantline/shared/customer"
	"grantline/shared/event"
	"grantline/shared/fault"
	"grantline/shared/memory"
	"grantline/shared/purchase"
	"grantline/shared/table"
)

func TestAnyPrintableCustomerIDWorksEverywhere(t *testing.T) {
	for _, id := range []string{
		"a", "$RCAnonymousID:f4a1c0d29b7e4d5f8a6b3c2d1e0f9a8b", "user@example.com", "a+b", "100%", "%25", "%2F", "a%2Fevents", "a/b/c", "/", "//", "..", "../..", "/a",
		"a/", "a b", "a  b", "김민지", "émile", "👩‍👩‍👧"[:4], "#head", "a#b", "a?after=1", "a&b", `a"b\c`, "<script>", "events", "a/events2", "events/a", "a/wallet/gems",
		"a/wallet/gems/spending", strings.Repeat("x", 512), strings.Repeat("한", 170), "null", "0", "cus_abc", "alias", "sub-1", "v1/customers/other",
	} {
		w := newWorld(t)
		w.shops["appsintoss"].sell("order-1", purchase.Sale{Order: "order-1", SKU: "gems-100"})
		body, err := json.Marshal(map[string]any{"store": "appsintoss", "customerId": id, "appsintoss": map[string]string{"orderId": "order-1"}})
		if err != nil {
			t.Fatal(err)
		}
		w.expect(200, "", "POST", "/v1/purchases", app(""), string(body))
		path := "/v1/customers/" + id
		for who, h := range map[string]header{"server": server(""), "app": app(""), "app by header": app(id), "user": w.user(id)} {
			a := w.expect(200, "", "GET", path, h, "")
			if a.body["id"] != id || !strings.Contains(a.text, "appsintoss_order-1") {
				t.Errorf("GET as %s: got %s, want the customer %q with its order", who, a.text, id)
			}
		}
		if a := w.expect(200, "", "GET", path+"/events", w.user(id), ""); !strings.Contains(a.text, `"sequence":1`) {
			t.Errorf("events of %q: got %s, want the grant", id, a.text)
		}
		w.expect(200, "", "PUT", path, w.user(id), `{"locale":"ko-KR"}`)
		w.expect(403, "another_customer", "GET", "/v1/customers/somebody-else", w.user(id), "")
	}
}

func TestAPathIsDecodedOnce(t *testing.T) {
	w := newWorld(t)
	for wire, id := range map[string]string{
		"/v1/customers/a%2Fb": "a/b", "/v1/customers/a%252Fb": "a%2Fb", "/v1/customers/100%25": "100%", "/v1/customers/a+b": "a+b", "/v1/customers/a%2Bb": "a+b",
		"/v1/customers/%EA%B9%80": "김", "/v1/customers/a%2Fevents%20": "", "/v1/customers/a%20b": "a b",
	} {
		// A server's request, which net/http decodes once, as API Gateway does.
		r := httptest.NewRequest("GET", "http://127.0.0.1"+wire, nil)
		r.Header.Set("Authorization", "Bearer "+secretKey)
		rw := httptest.NewRecorder()
		w.ServeHTTP(rw, r)
		var got struct{ ID string }
		if err := json.Unmarshal(rw.Body.Bytes(), &got); err != nil || got.ID != id {
			t.Errorf("GET %s: got %d %s, want the customer %q", wire, rw.Code, rw.Body, id)
		}
	}
}

func TestACustomerIDThatCannotBeIsRefusedEverywhere(t *testing.T) {
	for _, id := range []string{
		"a/events", "/events", "a/b/events", "a/wallet/gems/spend", "/wallet//spend", "a\n", "\x00", "a\x00b", " a", "a ", "a\tb", "a\u00a0b", "a\u2028b", "\u202eevil",
		"a\u200bb", "\xff", "a\xed\xa0\x80", strings.Repeat("x", 513), strings.Repeat("한", 171), "\ufeffa", "a\u007f",
	} {
		w := newWorld(t)
		w.shelves(t)
		if utf8.ValidString(id) { // else no JSON holds it
			body, err := json.Marshal(id)
			if err != nil {
				t.Fatal(err)
			}
			w.expect(401, "unauthenticated", "GET", me, w.user(id), "")
			for _, d := range doors {
				if d.path != "/v1/purchases" && d.path != "/v1/subscriptions" {
					continue
				}
				a := w.ask(d.method, d.path, server(""), `{"customerId":`+string(body)+","+d.body[1:])
				if a.status != 400 {
					t.Errorf("%s for %q: got %d %s, want 400", d.path, id, a.status, a.text)
				}
			}
		}
		w.expect(400, "invalid_customer_id", "POST", "/v1/purchases", app(id), doors[0].body)
		w.expect(400, "invalid_customer_id", "GET", "/v1/subscriptions/sub-1", server(id), "")
		w.expect(400, "invalid_customer_id", "GET", "/v1/orders/gl_1", server(id), "")
		if a := w.ask("GET", "/v1/customers/"+id+"/events", server(""), ""); a.status != 400 {
			t.Errorf("events of %q: got %d %s, want 400", id, a.status, a.text)
		}
		switch {
		case strings.HasSuffix(id, "/events"): // those are the events of another one
		case strings.HasSuffix(id, "/spend"): // and those another one's spends
			w.expect(405, "method_not_allowed", "PUT", "/v1/customers/"+id, server(""), `{"name":"Minji"}`)
			w.expect(405, "method_not_allowed", "GET", "/v1/customers/"+id, app(""), "")
		default:
			w.expect(400, "invalid_customer_id", "PUT", "/v1/customers/"+id, server(""), `{"name":"Minji"}`)
			w.expect(400, "invalid_customer_id", "GET", "/v1/customers/"+id, app(""), "")
		}
		w.nothingWritten(fmt.Sprintf("requests about %.20q", id))
	}
}

func TestAnEmptyCustomerIDNamesNobody(t *testing.T) {
	w := newWorld(t)
	for _, d := range doors {
		if d.path == "/v1/purchases" || d.path == "/v1/subscriptions" {
			w.expect(400, "invalid_customer_id", d.method, d.path, w.user("minji"), `{"customerId":"",`+d.body[1:])
		}
	}
	w.expect(404, "no_route", "GET", "/v1/customers/", w.user("minji"), "")
	w.expect(400, "invalid_customer_id", "GET", "/v1/customers//events", w.user("minji"), "")
	w.nothingWritten("requests about nobody")
}

func TestEventsComeInPagesWithoutGaps(t *testing.T) {
	w := newWorld(t)
	const all = 250
	c, err := w.api.Customers.Named(t.Context(), table.Default, "minji")
	if err != nil {
		t.Fatal(err)
	}
	for n := range all {
		c.Tell(event.Event{Type: event.PurchaseGranted, At: start, OrderID: fmt.Sprint("apple_", n+1)})
		if n%50 == 49 {
			writes, err := c.Writes(start)
			if err != nil {
				t.Fatal(err)
			}
			if err := w.tables.Commit(t.Context(), writes...); err != nil {
				t.Fatal(err)
			}
			if c, err = customer.Read(t.Context(), w.tables, table.Default, c.Ref); err != nil {
				t.Fatal(err)
			}
		}
	}
	var seen, pages int64
	for after := "0"; after != ""; pages++ {
		a := w.expect(200, "", "GET", me+"/events", server(""), "", "after="+after)
		var page struct {
			Events []struct{ Sequence int64 }
			Next   *int64
		}
		if err := json.Unmarshal([]byte(a.text), &page); err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Events {
			if seen++; e.Sequence != seen {
				t.Fatalf("got event %d after event %d, want the next", e.Sequence, seen-1)
			}
		}
		after = ""
		if page.Next != nil {
			if *page.Next != seen {
				t.Errorf("got next %d after event %d, want that", *page.Next, seen)
			}
			after = fmt.Sprint(*page.Next)
		}
	}
	if seen != all || pages != 3 {
		t.Errorf("got %d events on %d pages, want %d on 3", seen, pages, all)
	}
}

func TestWhoAsksAboutItselfComesToBe(t *testing.T) {
	for who, h := range map[string]func(w *world) header{
		"app":  func(*world) header { return app("") },
		"user": func(w *world) header { return w.user("minji") },
	} {
		w := newWorld(t)
		first := w.expect(200, "", "GET", me, h(w), "")
		if n := len(w.tables.Items(table.Customers)); n == 0 {
			t.Errorf("%s: got nothing written, want the customer, so that its store ids name it", who)
		}
		before := w.written()
		again := w.expect(200, "", "GET", me, h(w), "")
		if again.text != first.text || w.written() != before {
			t.Errorf("%s: got another answer or more items the second time, want the same:\n%s%s", who, first.text, again.text)
		}
	}
}

func TestTwoRequestsMayMakeACustomerAtOnce(t *testing.T) {
	w := newWorld(t)
	first := true
	w.tables.Fail = func(op memory.Op) (bool, error) {
		if op.Method == "Commit" && first {
			first = false
			w.expect(200, "", "GET", me, app(""), "")
		}
		return false, nil
	}
	w.expect(200, "", "GET", me, app(""), "")
}

func TestAProfileThatIsOvertakenIsWrittenAnew(t *testing.T) {
	w := newWorld(t)
	w.expect(200, "", "PUT", me, server(""), `{"name":"Minji"}`)
	times := 3
	w.tables.Fail = func(op memory.Op) (bool, error) {
		if op.Method == "Commit" && times > 0 {
			times--
			w.ask("PUT", me, server(""), fmt.Sprintf(`{"phone":"%d"}`, times))
		}
		return false, nil
	}
	w.expect(200, "", "PUT", me, server(""), `{"email":"minji@example.com"}`)
	c, err := w.api.Customers.Named(t.Context(), table.Default, "minji")
	if err != nil {
		t.Fatal(err)
	}
	if c.Profile.Email != "minji@example.com" || c.Profile.Name != "Minji" || c.Profile.Phone == "" {
		t.Errorf("got profile %+v, want what all wrote", c.Profile)
	}
}

func TestACustomerWhoIsTooBusyIsAskedForAgain(t *testing.T) {
	w := newWorld(t)
	w.tables.Fail = func(op memory.Op) (bool, error) {
		if op.Method == "Commit" {
			return false, &table.Conflict{}
		}
		return false, nil
	}
	w.expect(503, "busy", "PUT", me, server(""), `{"name":"Minji"}`)
}

func TestTablesOutOfReachAreNobodysFault(t *testing.T) {
	for column, c := range columns {
		if column == "health" || column == "offer" { // no table is needed for them
			continue
		}
		w := newWorld(t)
		w.minji()
		w.tables.Fail = func(memory.Op) (bool, error) { return false, outage() }
		a := w.ask(c.method, c.path, server("minji"), c.body)
		if a.status != 503 || a.header.Get("Retry-After") == "" {
			t.Errorf("%s: got %d %s with Retry-After %q, want 503 with one", column, a.status, a.text, a.header.Get("Retry-After"))
		}
	}
}

func TestTablesThatFailHalfwayAreNobodysFault(t *testing.T) {
	for column, c := range columns {
		if column == "health" || column == "unclaimed" { // it is not there for minji
			continue
		}
		for nth := 1; ; nth++ {
			w := newWorld(t)
			w.minji()
			ops := 0
			w.tables.Fail = func(memory.Op) (bool, error) {
				if ops++; ops == nth {
					return false, outage()
				}
				return false, nil
			}
			// A sign-up that stands is finished by the queue, so that one may succeed.
			a := w.ask(c.method, c.path, server("minji"), c.body)
			if a.status != 503 && a.status >= 300 {
				t.Errorf("%s, operation %d lost: got %d %s, want 503 or success", column, nth, a.status, a.text)
			}
			if ops < nth {
				break
			}
			w.tables.Fail = nil
			w.clock.advance(3 * time.Minute) // whoever was at it has surely ended
			if a := w.ask(c.method, c.path, server("minji"), c.body); a.status >= 300 {
				t.Errorf("%s again after operation %d was lost: got %d %s, want success", column, nth, a.status, a.text)
			}
			if nth > 50 {
				t.Fatalf("%s: got more than 50 operations on the tables, want fewer", column)
			}
		}
	}
}

func TestAnIdentityKeyOutOfReachIsNobodysFault(t *testing.T) {
	for column, c := range columns {
		if column == "health" || column == "unclaimed" { // whose it is does not matter
			continue
		}
		w := newWorld(t)
		w.minji()
		away := customer.Identity{Key: func(context.Context, bool) (string, error) {
			return "", fault.New(fault.Unavailable, "secret_unavailable", "A secret that is needed cannot be had now.").Because(errOutage)
		}}
		w.api.Customers.Identity, w.api.Biller.Customers.Identity, w.claims.Book.Customers.Identity = away, away, away
		if a := w.ask(c.method, c.path, server("minji"), c.body); a.status != 503 {
			t.Errorf("%s: got %d %s, want 503", column, a.status, a.text)
		}
	}
}

func TestAnswersThatWereLostAreAskedForAgain(t *testing.T) {
	for column, c := range columns {
		if c.method == "GET" || column == "offer" { // nothing is written
			continue
		}
		w := newWorld(t)
		w.minji()
		w.tables.Fail = func(op memory.Op) (bool, error) {
			if op.Method == "Commit" {
				return true, outage()
			}
			return false, nil
		}
		// Who looks again finds it done, and says so.
		if a := w.ask(c.method, c.path, server("minji"), c.body); a.status != 503 && a.status >= 300 {
			t.Errorf("%s whose write was done and not answered: got %d %s, want 503 or success", column, a.status, a.text)
		}
		w.tables.Fail = nil
		w.clock.advance(3 * time.Minute) // whoever was at it has surely ended
		if a := w.ask(c.method, c.path, server("minji"), c.body); a.status >= 300 {
			t.Errorf("%s again: got %d %s, want 2xx", column, a.status, a.text)
		}
	}
}

func TestHealthIsThatOfTablesAndQueues(t *testing.T) {
	w := newWorld(t)
	if a := w.expect(200, "", "GET", "/healthz", nil, ""); strings.TrimSpace(a.text) != `{"ok":true}` {
		t.Errorf("got %s, want ok", a.text)
	}
	w.healthy = errors.New("dial tcp 10.0.0.7:8000: refused")
	a := w.expect(503, "unhealthy", "GET", "/healthz", nil, "")
	if strings.Contains(a.text, "10.0.0.7") {
		t.Errorf("got %s, want nothing of the cause", a.text)
	}
}

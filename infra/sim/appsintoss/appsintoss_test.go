package appsintoss_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/infra/sim/appsintoss"
	"grantline/infra/sim/stage"
)

const path = "/api-partner/v1/apps-in-toss/order/get-order-status"

// office is a simulator on a server, a clock and a mini-app's client.
type office struct {
	*appsintoss.Simulator
	t      *testing.T
	server *httptest.Server
	client *http.Client
	now    *atomic.Int64 // seconds since 1970; nil where there is another clock
}

func newOffice(t *testing.T, options appsintoss.Options) *office {
	var now atomic.Int64
	now.Store(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC).Unix())
	options.Now = func() time.Time { return time.Unix(now.Load(), 0) }
	o := officeOf(t, appsintoss.New(options))
	o.now = &now
	return o
}

// officeOf serves a simulator.
func officeOf(t *testing.T, s *appsintoss.Simulator) *office {
	o := &office{t: t, Simulator: s}
	o.server = httptest.NewUnstartedServer(o.Simulator)
	o.server.TLS = o.TLSConfig()
	o.server.StartTLS()
	o.client = client(t, o.Credentials(appsintoss.OwnApp))
	t.Cleanup(func() {
		o.Close()
		o.server.Close()
	})
	return o
}

// client trusts the credentials' authority and shows their certificate, if they have one.
func client(t *testing.T, c appsintoss.Credentials) *http.Client {
	t.Helper()
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(c.CA) {
		t.Fatal("CA: got no certificate, want a PEM block")
	}
	config := &tls.Config{RootCAs: pool}
	if c.Certificate != nil {
		pair, err := tls.X509KeyPair(c.Certificate, c.Key)
		if err != nil {
			t.Fatalf("key pair: %v", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}}
}

// reply is an answer, read.
type reply struct {
	status     int
	ResultType string
	Success    map[string]any
	Error      struct {
		ErrorCode string
		Data      struct{ RetryAfterSeconds int }
	}
}

func (o *office) send(client *http.Client, body string, header ...string) (reply, error) {
	r, err := http.NewRequestWithContext(o.t.Context(), "POST", o.server.URL+path, strings.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	response, err := client.Do(r)
	if err != nil {
		return reply{}, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return reply{}, err
	}
	out := reply{status: response.StatusCode}
	return out, json.Unmarshal(text, &out)
}

// look asks for an order as the sample's own mini-app.
func (o *office) look(id string, header ...string) reply {
	o.t.Helper()
	got, err := o.send(o.client, `{"orderId":"`+id+`"}`, header...)
	if err != nil {
		o.t.Fatalf("look: got %v, want an answer", err)
	}
	return got
}

func (o *office) order(n appsintoss.NewOrder) string {
	o.t.Helper()
	id, err := o.Order(n)
	if err != nil {
		o.t.Fatalf("order: got %v, want an id", err)
	}
	return id
}

func (o *office) must(err error) {
	o.t.Helper()
	if err != nil {
		o.t.Fatalf("control: got %v, want it done", err)
	}
}

func TestOnlyACertificateOfItsOwnGetsAnAnswer(t *testing.T) {
	o := newOffice(t, appsintoss.Options{})
	own := o.Credentials(appsintoss.OwnApp)
	if got := o.look("x"); got.status != 200 {
		t.Errorf("own: got %d, want 200", got.status)
	}
	got, err := o.send(client(t, appsintoss.Credentials{CA: own.CA}), `{"orderId":"x"}`)
	if err != nil || got.status != 403 || got.ResultType != "FAIL" {
		t.Errorf("no certificate: got %d %s, %v; want 403 FAIL", got.status, got.ResultType, err)
	}
	stranger := appsintoss.New(appsintoss.Options{}).Credentials(appsintoss.OwnApp)
	stranger.CA = own.CA
	if got, err := o.send(client(t, stranger), `{"orderId":"x"}`); err == nil {
		t.Errorf("another authority's certificate: got %d, want no connection", got.status)
	}
	if _, err := o.send(client(t, appsintoss.Credentials{CA: appsintoss.New(appsintoss.Options{}).Credentials("a").CA}), "{}"); err == nil {
		t.Error("a client that trusts another authority: got an answer, want it to refuse ours")
	}
	plain := httptest.NewServer(o.Simulator)
	defer plain.Close()
	response, err := plain.Client().Post(plain.URL+path, "application/json", strings.NewReader(`{"orderId":"x"}`))
	if err != nil || response.StatusCode != 403 {
		t.Fatalf("without TLS: got %v, %v; want 403", response, err)
	}
	response.Body.Close()
}

func TestEachStatusIsShownAsTheRealOneShowsIt(t *testing.T) {
	o := newOffice(t, appsintoss.Options{})
	for _, c := range []struct {
		status string
		told   bool // sku and time
		effect string
	}{
		{appsintoss.PaymentCompleted, true, "purchased"},
		{appsintoss.Purchased, true, "purchased"},
		{appsintoss.InProgress, true, "moved"},
		{appsintoss.Failed, true, "failed"},
		{appsintoss.Refunded, true, "refunded"},
		{appsintoss.NotFound, false, "moved"},
		{appsintoss.MiniAppMismatch, false, "moved"},
		{appsintoss.Broken, false, "moved"},
	} {
		id := o.order(appsintoss.NewOrder{SKU: "gems-100", Status: c.status})
		want := map[string]any{"orderId": id, "status": c.status, "addedWithoutAVersion": "simulated"}
		if c.told {
			want["sku"], want["statusDeterminedAt"] = "gems-100", "2026-03-01T09:00:00"
		}
		got := o.look(id)
		if got.status != 200 || got.ResultType != "SUCCESS" {
			t.Errorf("%s: got %d %s, want 200 SUCCESS", c.status, got.status, got.ResultType)
		}
		if diff := cmp.Diff(want, got.Success); diff != "" {
			t.Errorf("%s: answer differs (-want +got):\n%s", c.status, diff)
		}
		effects := o.Effects()
		if last := effects[len(effects)-1]; last.Kind != c.effect || last.OrderID != id || last.SKU != "gems-100" {
			t.Errorf("%s: got effect %+v, want %s", c.status, last, c.effect)
		}
	}
	if got := o.look("nobody-ordered-this").Success["status"]; got != appsintoss.NotFound {
		t.Errorf("unknown: got %v, want NOT_FOUND", got)
	}
	if _, err := o.Order(appsintoss.NewOrder{SKU: "gems-100", Status: "PAID"}); err == nil {
		t.Error("status PAID: got an order, want it refused")
	}
	if _, err := o.Order(appsintoss.NewOrder{}); err == nil {
		t.Error("no sku: got an order, want it refused")
	}
}

func TestOrderMovesOnAfterSomeLooks(t *testing.T) {
	o := newOffice(t, appsintoss.Options{})
	id := o.order(appsintoss.NewOrder{SKU: "ad-free", Status: appsintoss.InProgress, Looks: 2})
	for i, want := range []string{appsintoss.InProgress, appsintoss.InProgress, appsintoss.PaymentCompleted, appsintoss.PaymentCompleted} {
		if got := o.look(id).Success["status"]; got != want {
			t.Errorf("look %d: got %v, want %s", i+1, got, want)
		}
	}
	late := o.order(appsintoss.NewOrder{SKU: "ad-free", Status: appsintoss.NotFound, Looks: 1, Then: appsintoss.Failed})
	for i, want := range []string{appsintoss.NotFound, appsintoss.Failed} {
		if got := o.look(late).Success["status"]; got != want {
			t.Errorf("look %d: got %v, want %s", i+1, got, want)
		}
	}
	stays := o.order(appsintoss.NewOrder{SKU: "ad-free", Status: appsintoss.InProgress})
	for range 3 {
		if got := o.look(stays).Success["status"]; got != appsintoss.InProgress {
			t.Errorf("without looks: got %v, want it to stay", got)
		}
	}
	o.must(o.SetStatus(appsintoss.StatusChange{OrderID: stays, Status: appsintoss.PaymentCompleted}))
	o.must(o.SetStatus(appsintoss.StatusChange{OrderID: stays, Status: appsintoss.Purchased}))
	o.must(o.SetStatus(appsintoss.StatusChange{OrderID: stays, Status: appsintoss.Refunded, Reason: "asked for"}))
	if got := o.look(stays).Success; got["status"] != appsintoss.Refunded || got["reason"] != "asked for" {
		t.Errorf("moved: got %v, want REFUNDED with its reason", got)
	}
	purchased := 0
	for _, e := range o.Effects() {
		if e.OrderID == stays && e.Kind == "purchased" {
			purchased++
		}
	}
	if purchased != 1 {
		t.Errorf("got %d effects of kind purchased, want 1", purchased)
	}
	if err := o.SetStatus(appsintoss.StatusChange{OrderID: "nothing", Status: appsintoss.Refunded}); err == nil {
		t.Error("unknown order: got nil, want it refused")
	}
}

func TestCertificateIsTheMiniApp(t *testing.T) {
	o := newOffice(t, appsintoss.Options{})
	foreign := o.order(appsintoss.NewOrder{SKU: "gems-100", App: "another-app"})
	want := map[string]any{"orderId": foreign, "status": appsintoss.MiniAppMismatch, "addedWithoutAVersion": "simulated"}
	if diff := cmp.Diff(want, o.look(foreign).Success); diff != "" {
		t.Errorf("another mini-app's order differs (-want +got):\n%s", diff)
	}
	got, err := o.send(client(t, o.Credentials("another-app")), `{"orderId":"`+foreign+`"}`)
	if err != nil || got.Success["status"] != appsintoss.PaymentCompleted {
		t.Errorf("that mini-app: got %v, %v; want PAYMENT_COMPLETED", got.Success, err)
	}
}

func TestUserKeyBindsAnOrder(t *testing.T) {
	o := newOffice(t, appsintoss.Options{})
	id := o.order(appsintoss.NewOrder{SKU: "gems-100", UserKey: "user-1"})
	free := o.order(appsintoss.NewOrder{SKU: "gems-100"})
	for _, c := range []struct{ name, id, key, want string }{
		{"its user", id, "user-1", appsintoss.PaymentCompleted},
		{"another user", id, "user-2", appsintoss.NotFound},
		{"no header", id, "", appsintoss.PaymentCompleted},
		{"an order of nobody", free, "user-2", appsintoss.PaymentCompleted},
	} {
		if got := o.look(c.id, "x-toss-user-key", c.key).Success["status"]; got != c.want {
			t.Errorf("%s: got %v, want %s", c.name, got, c.want)
		}
	}
	yes := true
	o.must(o.Set(appsintoss.Settings{RequireUserKey: &yes}))
	if got := o.look(id); got.status != 400 {
		t.Errorf("required, no header: got %d, want 400", got.status)
	}
	if got := o.look(id, "x-toss-user-key", "user-1"); got.status != 200 {
		t.Errorf("required, its user: got %d, want 200", got.status)
	}
}

func TestFailuresComeInsideOf200(t *testing.T) {
	o := newOffice(t, appsintoss.Options{})
	id := o.order(appsintoss.NewOrder{SKU: "gems-100"})
	for _, resultType := range []string{"FAIL", "HTTP_TIMEOUT", "NETWORK_ERROR", "EXECUTION_FAIL", "INTERRUPTED", "INTERNAL_ERROR"} {
		o.must(o.Answer(appsintoss.FailedAnswer{ResultType: resultType, ErrorCode: "X1"}))
		got := o.look(id)
		if got.status != 200 || got.ResultType != resultType || got.Success != nil || got.Error.ErrorCode != "X1" {
			t.Errorf("%s: got %+v, want it in 200 with success null", resultType, got)
		}
	}
	o.must(o.Answer(appsintoss.FailedAnswer{OrderID: id}))
	if got := o.look("another-order").ResultType; got != "SUCCESS" {
		t.Errorf("another order: got %s, want SUCCESS", got)
	}
	if got := o.look(id).ResultType; got != "FAIL" {
		t.Errorf("this order: got %s, want FAIL", got)
	}
	if err := o.Answer(appsintoss.FailedAnswer{ResultType: "OOPS"}); err == nil {
		t.Error("OOPS: got nil, want it refused")
	}
}

func TestTooManyLooksAre4095(t *testing.T) {
	o := newOffice(t, appsintoss.Options{})
	id := o.order(appsintoss.NewOrder{SKU: "gems-100"})
	o.must(o.LimitRate(appsintoss.RateLimit{Count: 1, RetryAfterSeconds: 7}))
	got := o.look(id)
	if got.status != 200 || got.ResultType != "FAIL" || got.Error.ErrorCode != "4095" || got.Error.Data.RetryAfterSeconds != 7 {
		t.Errorf("got %+v, want FAIL 4095 with 7 seconds, in 200", got)
	}
	two := 2
	o.now.Add(60 + 15)
	o.must(o.LimitRate(appsintoss.RateLimit{PerMinute: &two}))
	for i, want := range []string{"SUCCESS", "SUCCESS", "FAIL"} {
		if got = o.look(id); got.ResultType != want {
			t.Errorf("look %d of the minute: got %s, want %s", i+1, got.ResultType, want)
		}
	}
	if got.Error.Data.RetryAfterSeconds != 45 {
		t.Errorf("retryAfterSeconds: got %d, want 45, the rest of the minute", got.Error.Data.RetryAfterSeconds)
	}
	o.now.Add(45)
	if got := o.look(id).ResultType; got != "SUCCESS" {
		t.Errorf("next minute: got %s, want SUCCESS", got)
	}
}

func TestTimeIsWrittenAsTheDocumentsContradictThemselves(t *testing.T) {
	o := newOffice(t, appsintoss.Options{})
	id := o.order(appsintoss.NewOrder{SKU: "gems-100"})
	for _, c := range []struct{ format, want string }{
		{appsintoss.Zoneless, "2026-03-01T09:00:00"},
		{appsintoss.Zoned, "2026-03-01T09:00:00+09:00"},
		{appsintoss.UTC, "2026-03-01T00:00:00Z"},
	} {
		o.must(o.Set(appsintoss.Settings{TimeFormat: &c.format}))
		if got := o.look(id).Success["statusDeterminedAt"]; got != c.want {
			t.Errorf("%s: got %v, want %s", c.format, got, c.want)
		}
	}
	odd := "rfc822"
	if err := o.Set(appsintoss.Settings{TimeFormat: &odd}); err == nil {
		t.Error("rfc822: got nil, want it refused")
	}
}

func TestUnreadableRequestIs400(t *testing.T) {
	o := newOffice(t, appsintoss.Options{})
	for _, body := range []string{"", "{", "[]", "null", "{}", `{"orderId":""}`, `{"orderId":7}`, `{"orderID":"x"}`, `{"orderId":"` + strings.Repeat("x", 101) + `"}`} {
		got, err := o.send(o.client, body)
		if err != nil || got.status != 400 || got.ResultType != "FAIL" {
			t.Errorf("%q: got %d %s, %v; want 400 FAIL", body, got.status, got.ResultType, err)
		}
	}
}

func TestLostAnswersHaveNoEffect(t *testing.T) {
	for _, when := range []string{stage.Before, stage.After} {
		for _, how := range []string{stage.Hang, stage.Reset, stage.Error} {
			o := newOffice(t, appsintoss.Options{HangLimit: time.Millisecond})
			id := o.order(appsintoss.NewOrder{SKU: "gems-100", Status: appsintoss.InProgress, Looks: 1})
			o.must(o.Fault(stage.Fault{Endpoint: appsintoss.OrderStatus, ID: id, When: when, How: how}))
			got, err := o.send(o.client, `{"orderId":"`+id+`"}`)
			if how == stage.Error && (err != nil || got.status != 500) {
				t.Errorf("%s %s: got %d, %v; want 500", when, how, got.status, err)
			}
			if how != stage.Error && err == nil {
				t.Errorf("%s %s: got %d, want no answer", when, how, got.status)
			}
			// A lost answer after the look counts as a look, one before it does not.
			want := appsintoss.InProgress
			if when == stage.After {
				want = appsintoss.PaymentCompleted
			}
			if got := o.look(id).Success["status"]; got != want {
				t.Errorf("%s %s, then: got %v, want %s", when, how, got, want)
			}
		}
	}
}

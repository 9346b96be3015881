package sim_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/infra/local/server"
	"grantline/infra/sim"
	"grantline/infra/sim/appsintoss"
	"grantline/infra/sim/stage"
	"grantline/infra/sim/stage/stagetest"
)

func start(t *testing.T, o sim.Options) *sim.Server {
	t.Helper()
	server, err := sim.Start(t.Context(), o)
	if err != nil {
		t.Fatalf("start: got %v, want it running", err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Errorf("close: got %v, want nil", err)
		}
	})
	return server
}

// post sends a body to a control or a provider.
func post(t *testing.T, url, body string) (int, map[string]any) {
	t.Helper()
	return do(t, http.DefaultClient, "POST", url, body)
}

func do(t *testing.T, client *http.Client, method, url, body string) (int, map[string]any) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(r)
	if err != nil {
		t.Fatalf("%s %s: got %v, want an answer", method, url, err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]any
	if err := json.Unmarshal(text, &out); err != nil && response.StatusCode < 300 {
		t.Fatalf("%s %s: got %q, want JSON", method, url, text)
	}
	return response.StatusCode, out
}

// miniApp is a client as the environment describes it.
func miniApp(t *testing.T, env map[string]string, certificate bool) *http.Client {
	t.Helper()
	ca, err := os.ReadFile(env["APPS_IN_TOSS_CA"])
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	config := &tls.Config{RootCAs: pool, NextProtos: []string{"h2", "http/1.1"}}
	if certificate {
		pair, err := tls.LoadX509KeyPair(env["APPS_IN_TOSS_CERTIFICATE"], env["APPS_IN_TOSS_KEY"])
		if err != nil {
			t.Fatal(err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	transport := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

const orderStatus = "/api-partner/v1/apps-in-toss/order/get-order-status"

func TestEnvironmentHasExactlyWhatTheProductReads(t *testing.T) {
	dir := t.TempDir()
	server := start(t, sim.Options{Dir: dir})
	env := server.Env()
	want := strings.Fields(`APPLE_API_URL APPLE_APP_ID APPLE_BUNDLE_IDS APPLE_ISSUER_ID APPLE_KEY_ID APPLE_PRIVATE_KEY APPLE_REVOCATION
		APPLE_ROOT_CERTIFICATES APPLE_SANDBOX_API_URL APPS_IN_TOSS_API_URL APPS_IN_TOSS_CA APPS_IN_TOSS_CERTIFICATE APPS_IN_TOSS_KEY APPS_IN_TOSS_WEBHOOK_SECRET
		DODO_API_KEY DODO_API_URL DODO_WEBHOOK_SECRETS PLAY_API_URL PLAY_CREDENTIALS PLAY_PACKAGE_NAMES PLAY_PUSH_AUDIENCE PLAY_PUSH_EMAIL
		PLAY_PUSH_KEYS_URL TOSS_API_URL TOSS_SECRET_KEY`)
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(env))); diff != "" {
		t.Errorf("names differ (-want +got):\n%s", diff)
	}
	host := strings.TrimPrefix(server.URL(), "http://")
	for name, want := range map[string]string{
		"TOSS_API_URL": "http://" + host + "/toss", "DODO_API_URL": "http://" + host + "/dodo", "APPS_IN_TOSS_API_URL": "https://" + host + "/appsintoss",
		"APPLE_API_URL": "http://" + host + "/apple", "APPLE_SANDBOX_API_URL": "http://" + host + "/apple/sandbox",
		"APPLE_BUNDLE_IDS": "com.example.app", "APPLE_REVOCATION": "off",
		"PLAY_API_URL": "http://" + host + "/play", "PLAY_PACKAGE_NAMES": "com.example.app", "PLAY_PUSH_KEYS_URL": "http://" + host + "/play/oauth2/v3/certs",
	} {
		if env[name] != want {
			t.Errorf("%s: got %q, want %q", name, env[name], want)
		}
	}
	if !strings.Contains(env["APPLE_PRIVATE_KEY"], "BEGIN PRIVATE KEY") {
		t.Error("APPLE_PRIVATE_KEY: got no PEM block, want one")
	}
	root, err := os.ReadFile(env["APPLE_ROOT_CERTIFICATES"])
	if err != nil || !bytes.Equal(root, server.Apple.Authority().RootPEM()) {
		t.Errorf("APPLE_ROOT_CERTIFICATES: got another file (%v), want the root", err)
	}
	env["TOSS_SECRET_KEY"] = "changed"
	if server.Env()["TOSS_SECRET_KEY"] == "changed" {
		t.Error("Env: got the server's own map, want a copy")
	}
	if err := server.Close(); err != nil {
		t.Errorf("close: got %v, want nil", err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 0 {
		t.Errorf("after close: got %d files, %v; want none", len(left), err)
	}
}

func TestOnlyLoopbackIsBound(t *testing.T) {
	for _, address := range []string{"0.0.0.0:0", ":0", "[::]:0", "192.0.2.1:0", "example.com:0", "127.0.0.1", "8.8.8.8:53"} {
		server, err := sim.Start(t.Context(), sim.Options{Addr: address})
		if err == nil {
			server.Close()
			t.Errorf("%q: got it running, want it refused", address)
		}
	}
	for _, address := range []string{"", "127.0.0.1:0", "localhost:0", "127.0.0.2:0"} {
		server, err := sim.Start(t.Context(), sim.Options{Addr: address})
		if err != nil {
			t.Errorf("%q: got %v, want it running", address, err)
			continue
		}
		server.Close()
	}
	if _, err := sim.Start(t.Context(), sim.Options{Unkind: 101}); err == nil {
		t.Error("unkind 101: got it running, want it refused")
	}
}

func TestWebhooksLeaveThisMachineNever(t *testing.T) {
	for _, origin := range []string{"http://example.com", "http://192.0.2.1:80", "https://127.0.0.1:3000", "127.0.0.1:3000", "http://127.0.0.1:3000/x", "http://a@127.0.0.1:3000"} {
		server, err := sim.Start(t.Context(), sim.Options{Webhooks: origin})
		if err == nil {
			server.Close()
			t.Errorf("%q: got it running, want it refused", origin)
		}
	}
	start(t, sim.Options{Webhooks: "http://localhost:3000"})
}

func TestOnePortServesPlainAndMutualTLS(t *testing.T) {
	server := start(t, sim.Options{})
	env := server.Env()
	id, err := server.AppsInToss.Order(appsintoss.NewOrder{SKU: "gems-100"})
	if err != nil {
		t.Fatal(err)
	}
	body := `{"orderId":"` + id + `"}`
	status, got := do(t, miniApp(t, env, true), "POST", env["APPS_IN_TOSS_API_URL"]+orderStatus, body)
	if success, _ := got["success"].(map[string]any); status != 200 || success["status"] != appsintoss.PaymentCompleted {
		t.Errorf("with certificate: got %d %v, want PAYMENT_COMPLETED", status, got)
	}
	if status, got = do(t, miniApp(t, env, false), "POST", env["APPS_IN_TOSS_API_URL"]+orderStatus, body); status != 403 {
		t.Errorf("without certificate: got %d %v, want 403", status, got)
	}
	if status, got = post(t, server.URL()+"/appsintoss"+orderStatus, body); status != 403 {
		t.Errorf("plain: got %d %v, want 403", status, got)
	}
	if status, got = do(t, http.DefaultClient, "GET", env["TOSS_API_URL"]+"/v1/payments/x", ""); status != 401 || got["code"] != "UNAUTHORIZED_KEY" {
		t.Errorf("toss: got %d %v, want 401 UNAUTHORIZED_KEY", status, got)
	}
	for _, name := range []string{"APPLE_API_URL", "APPLE_SANDBOX_API_URL"} {
		if status, _ = do(t, http.DefaultClient, "GET", env[name]+"/inApps/v1/transactions/1", ""); status != 401 {
			t.Errorf("%s: got %d, want 401", name, status)
		}
	}
	if status, _ = do(t, http.DefaultClient, "GET", server.URL()+"/else", ""); status != 404 {
		t.Errorf("else: got %d, want 404", status)
	}
}

func TestResetIsAResetUnderTLSToo(t *testing.T) {
	server := start(t, sim.Options{})
	env := server.Env()
	fine, err := miniApp(t, env, true).Post(env["APPS_IN_TOSS_API_URL"]+orderStatus, "application/json", strings.NewReader(`{"orderId":"x"}`))
	if err != nil {
		t.Fatal(err)
	}
	fine.Body.Close()
	if got, want := fine.Proto, "HTTP/1.1"; got != want {
		t.Errorf("got %s, want %s: with several calls on a connection none can be reset alone", got, want)
	}
	if err := server.AppsInToss.Fault(stage.Fault{When: stage.Before, How: stage.Reset}); err != nil {
		t.Fatal(err)
	}
	response, err := miniApp(t, env, true).Post(env["APPS_IN_TOSS_API_URL"]+orderStatus, "application/json", strings.NewReader(`{"orderId":"x"}`))
	if err == nil {
		response.Body.Close()
		t.Fatalf("got %d, want no answer", response.StatusCode)
	}
	if !strings.Contains(err.Error(), "reset") {
		t.Errorf("got %v, want a connection that was reset", err)
	}
}

func TestProvidersFollowTheClockTheyAreGiven(t *testing.T) {
	at := time.Date(2031, 5, 6, 7, 8, 9, 0, time.UTC)
	server := start(t, sim.Options{Now: func() time.Time { return at }})
	post(t, server.URL()+"/_sim/appsintoss/order", "sku=gems-100")
	post(t, server.URL()+"/_sim/apple/buy", "productId=com.example.gems100")
	for _, provider := range []string{"appsintoss", "apple"} {
		_, got := do(t, http.DefaultClient, "GET", server.URL()+"/_sim/"+provider+"/effects", "")
		effects, _ := got["effects"].([]any)
		if len(effects) != 1 {
			t.Fatalf("%s: got %v, want one effect", provider, got)
		}
		if effect := effects[0].(map[string]any); effect["at"] != "2031-05-06T07:08:09Z" || effect["kind"] != "purchased" || effect["sequence"] != 1.0 {
			t.Errorf("%s: got %v, want the first, purchased, at the given instant", provider, effect)
		}
	}
}

func TestEffectsHaveACursorAndCannotBeCleared(t *testing.T) {
	server := start(t, sim.Options{})
	url := server.URL() + "/_sim/appsintoss/effects"
	for range 3 {
		post(t, server.URL()+"/_sim/appsintoss/order", `{"sku":"gems-100"}`)
	}
	for after, want := range map[string]int{"": 3, "?after=0": 3, "?after=2": 1, "?after=3": 0, "?after=99": 0} {
		status, got := do(t, http.DefaultClient, "GET", url+after, "")
		if effects, ok := got["effects"].([]any); status != 200 || !ok || len(effects) != want {
			t.Errorf("%q: got %d %v, want %d effects", after, status, got, want)
		}
	}
	for _, after := range []string{"?after=x", "?after=-1"} {
		if status, _ := do(t, http.DefaultClient, "GET", url+after, ""); status != 400 {
			t.Errorf("%q: got %d, want 400", after, status)
		}
	}
	if status, _ := do(t, http.DefaultClient, "DELETE", url, ""); status != 404 {
		t.Errorf("DELETE: got %d, want 404", status)
	}
	post(t, server.URL()+"/_sim/appsintoss/calm", "")
	if _, got := do(t, http.DefaultClient, "GET", url, ""); len(got["effects"].([]any)) != 3 {
		t.Errorf("after calm: got %v, want 3 effects", got)
	}
}

// controls are those listed by GET /_sim/.
func controls(t *testing.T, server *sim.Server) (list []struct {
	Event, Path, Does string
	Example           json.RawMessage
},
) {
	t.Helper()
	response, err := http.Get(server.URL() + "/_sim/")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var out struct {
		Controls json.RawMessage
	}
	if err := json.NewDecoder(response.Body).Decode(&out); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out.Controls, &list); err != nil {
		t.Fatal(err)
	}
	return list
}

// callDodo makes a call with the key of the environment.
func callDodo(t *testing.T, server *sim.Server, method, path, body string) map[string]any {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, server.Env()["DODO_API_URL"]+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+server.Env()["DODO_API_KEY"])
	r.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var out map[string]any
	if err := json.NewDecoder(response.Body).Decode(&out); err != nil || response.StatusCode != 200 {
		t.Fatalf("%s %s: got %d %v %v, want 200", method, path, response.StatusCode, out, err)
	}
	return out
}

// mandate makes a subscription that waits for its customer, and gives its id.
func mandate(t *testing.T, server *sim.Server) string {
	t.Helper()
	post(t, server.URL()+"/_sim/dodo/settings", "perMinute=0&perSecond=0")
	made := callDodo(t, server, "POST", "/subscriptions", `{"product_id":"prod_1","quantity":1,"billing":{"country":"US"},
		"customer":{"email":"park@example.com"},"payment_link":true,"on_demand":{"mandate_only":true}}`)
	return made["subscription_id"].(string)
}

// bought puts a subscription in place of the one that an Apple example names, with what its
// control needs to have happened.
func bought(t *testing.T, server *sim.Server, event, example string) string {
	t.Helper()
	of := func(event, body string) string {
		status, made := post(t, server.URL()+"/_sim/apple/"+event, body)
		if status != 200 {
			t.Fatalf("apple.%s %s: got %d %v, want 200", event, body, status, made)
		}
		id, _ := made["transactionId"].(string)
		return id
	}
	id := of("subscribe", "")
	switch event {
	case "apple.price-accept":
		of("price-increase", "price=5900000&transactionId="+id)
	case "apple.refund-reverse", "apple.resubscribe":
		of("refund", "transactionId="+id)
	case "apple.revoke":
		id = of("share", "transactionId="+id)
	}
	return strings.Replace(example, "350001234567890", id, 1)
}

// held puts a purchase in place of the one that a Play example names, with what its control
// needs to have happened.
func held(t *testing.T, server *sim.Server, event, example string) string {
	t.Helper()
	of := func(event, body string) string {
		status, made := post(t, server.URL()+"/_sim/play/"+event, body)
		if status != 200 {
			t.Fatalf("play.%s %s: got %d %v, want 200", event, body, status, made)
		}
		token, _ := made["purchaseToken"].(string)
		return token
	}
	product := "premium:monthly"
	switch event {
	case "play.complete", "play.abandon":
		product = "gems_100&pending=true"
	case "play.consume":
		product = "gems_100"
	case "play.top-up":
		product = "premium:monthly-prepaid"
	}
	token := of("buy", "productId="+product)
	before := map[string]string{
		"play.restart": "cancel", "play.resubscribe": "cancel", "play.resume": "pause", "play.replace": "acknowledge",
		"play.price-accept": "price-change", "play.price-step-up-accept": "price-step-up",
	}[event]
	if before != "" {
		body := "purchaseToken=" + token
		if strings.HasPrefix(before, "price") {
			body += "&price=5900"
		}
		of(before, body)
	}
	return strings.Replace(example, "GPA.1234-5678-9012-34567", token, 1)
}

func TestEachControlIsListedAndDocumentedAndItsExampleWorks(t *testing.T) {
	server := start(t, sim.Options{Webhooks: stagetest.NewReceiver(t, stagetest.NewClock()).URL})
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	// Some examples are about something that has to exist.
	post(t, server.URL()+"/_sim/toss/pay", "orderId=order-1&amount=4900")
	list := controls(t, server)
	if len(list) < 20 {
		t.Errorf("got %d controls, want 20 or more", len(list))
	}
	for _, control := range list {
		example := string(control.Example)
		switch control.Event {
		case "dodo.approve", "dodo.fail-approval":
			mandate(t, server)
		case "dodo.hold", "dodo.cancel", "dodo.expire", "dodo.pay", "dodo.refund", "dodo.update-payment-method":
			made := mandate(t, server)
			post(t, server.URL()+"/_sim/dodo/approve", "email=park@example.com")
			post(t, server.URL()+"/_sim/dodo/pay", "email=park@example.com&amount=999&orderId=order-1")
			callDodo(t, server, "POST", "/subscriptions/"+made+"/update-payment-method", `{"type":"new"}`)
		}
		if strings.HasPrefix(control.Event, "appsintoss.") {
			example = inTheTossApp(t, server, control.Event, example)
		}
		if strings.Contains(example, "350001234567890") {
			example = bought(t, server, control.Event, example)
		}
		if strings.Contains(example, "GPA.1234-5678-9012-34567") {
			example = held(t, server, control.Event, example)
		}
		if status, got := post(t, server.URL()+control.Path, example); status != 200 {
			t.Errorf("%s %s: got %d %v, want 200", control.Event, example, status, got)
		}
		if !strings.Contains(string(readme), "`"+control.Event+"`") {
			t.Errorf("README.md: got nothing about %s, want each control", control.Event)
		}
		if !strings.HasSuffix(control.Does, ".") {
			t.Errorf("%s: got %q, want a sentence", control.Event, control.Does)
		}
	}
}

func TestControlRefusesWhatItDoesNotUnderstand(t *testing.T) {
	server := start(t, sim.Options{})
	for _, c := range []struct {
		path, body string
		status     int
	}{
		{"/toss/decline", `{"code":"REJECT_CARD_PAYMENT","kount":1}`, 400},
		{"/toss/decline", `{"code":"REJECT_CARD_PAYMENT"}{}`, 400},
		{"/toss/decline", `{"code":1}`, 400},
		{"/toss/decline", `{`, 400},
		{"/toss/decline", `[]`, 400},
		{"/toss/decline", ``, 400},
		{"/toss/decline", `kode=REJECT_CARD_PAYMENT`, 400},
		{"/toss/decline", `code=REJECT_CARD_PAYMENT&count=many`, 400},
		{"/toss/decline", `code=REJECT_CARD_PAYMENT&paid=perhaps`, 400},
		{"/toss/decline", strings.Repeat("x", 2<<20), 400},
		{"/toss/fault", `when=after&how=hang&delay=long`, 400},
		{"/toss/nothing", ``, 404},
		{"/nothing", ``, 404},
		{"/unkind", `percent=101`, 400},
		{"/toss/decline", `CODE=REJECT_CARD_PAYMENT&COUNT=2&customerkey=c&paid=true`, 200},
		{"/toss/fault", `endpoint=charge&delay=1500ms`, 200},
		{"/toss/settings", `store5xx=true&approvalLag=40s&declinedLookup=aborted`, 200},
		{"/apple/buy", `productId=com.example.premium.monthly&expiresDate=2030-01-01T00:00:00Z&quantity=2`, 200},
		{"/unkind", `{"percent":0}`, 200},
	} {
		status, got := post(t, server.URL()+"/_sim"+c.path, c.body)
		if status != c.status {
			t.Errorf("%s %.60s: got %d %v, want %d", c.path, c.body, status, got, c.status)
		}
		if status != 200 && got["error"] == nil {
			t.Errorf("%s %.60s: got no error, want one that says why", c.path, c.body)
		}
	}
}

func TestUnkindIsSetForAll(t *testing.T) {
	server := start(t, sim.Options{Unkind: 100, Seed: 1})
	call := func() bool {
		response, err := http.Get(server.URL() + "/apple/inApps/v1/transactions/1")
		if err != nil {
			return false
		}
		response.Body.Close()
		return response.StatusCode == 401
	}
	for _, p := range []string{"/toss/unkind", "/dodo/unkind", "/appsintoss/unkind", "/unkind"} {
		if status, got := post(t, server.URL()+"/_sim"+p, "percent=0"); status != 200 {
			t.Errorf("%s: got %d %v, want 200", p, status, got)
		}
	}
	for range 20 {
		if !call() {
			t.Fatal("at 0 %: got a call that went wrong, want none")
		}
	}
}

func TestEndOfContextStopsAllAndFreesThePort(t *testing.T) {
	port, err := server.Port(t.Context()) // the kernel gives it to nobody else once it is free
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	s, err := sim.Start(ctx, sim.Options{Addr: fmt.Sprintf("127.0.0.1:%d", port)})
	if err != nil {
		t.Fatal(err)
	}
	address := strings.TrimPrefix(s.URL(), "http://")
	silent, err := net.Dial("tcp", address) // says nothing, and must not hold anything up
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	stop()
	if err := s.Close(); err != nil {
		t.Errorf("close: got %v, want nil", err)
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatalf("after the end: got %v, want the port to be free", err)
	}
	listener.Close()
	if _, err := os.Stat(s.Env()["APPS_IN_TOSS_KEY"]); !os.IsNotExist(err) {
		t.Errorf("after the end: got the key's file (%v), want it gone", err)
	}
}

func TestLogHasALineForEachCallAndNoSecret(t *testing.T) {
	var log bytes.Buffer
	server, err := sim.Start(t.Context(), sim.Options{Log: &log})
	if err != nil {
		t.Fatal(err)
	}
	env := server.Env()
	r, err := http.NewRequestWithContext(t.Context(), "POST", env["TOSS_API_URL"]+"/v1/billing/authorizations/issue",
		strings.NewReader(`{"authKey":"very-secret","customerKey":"customer-1"}`))
	if err != nil {
		t.Fatal(err)
	}
	r.SetBasicAuth(env["TOSS_SECRET_KEY"], "")
	r.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	do(t, http.DefaultClient, "GET", env["TOSS_API_URL"]+"/v1/payments/orders/order-1", "")
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	if got, want := log.String(), "sim: toss issue 200\nsim: toss get-order order=\"order-1\" 401\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

package delivery_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"grantline/shared/delivery"
	"grantline/shared/event"
	"grantline/shared/fault"
	"grantline/shared/table"
	"grantline/shared/transport"
)

func TestAnEndpointIsMadeOnceHoweverOftenItIsAskedFor(t *testing.T) {
	w := newWorld(t)
	ask := delivery.NewEndpoint{URL: "https://shop.example/hook", Types: []string{"wallet.*"}, Description: "The shop"}
	first, made, err := w.registry.Create(t.Context(), table.Default, ask)
	if err != nil || made == nil || first.State != delivery.Active || first.Format != delivery.Standard || !first.CreatedAt.Equal(noon) {
		t.Fatalf("got %+v, secrets %v, %v, want an active endpoint of the format standard", first, made != nil, err)
	}
	if n := len(keyOf(t, made.Signing)); n != 32 || made.Authorization != "" {
		t.Errorf("secret: got %d bytes, want 32 and no authorization", n)
	}
	again, made, err := w.registry.Create(t.Context(), table.Default, ask)
	if err != nil || made != nil || again.ID != first.ID {
		t.Errorf("again: got %+v, secrets %v, %v, want the same without its secrets", again, made != nil, err)
	}
	ask.Description = "Another"
	_, _, err = w.registry.Create(t.Context(), table.Default, ask)
	wantFault(t, err, "endpoint_exists")
	ask.ID = "second"
	if _, made, err = w.registry.Create(t.Context(), table.Default, ask); err != nil || made == nil {
		t.Errorf("another id: got %v, %v, want another endpoint", made, err)
	}
	all, err := w.registry.List(t.Context(), table.Default)
	if err != nil || len(all) != 2 {
		t.Errorf("list: got %v, %v, want two", all, err)
	}
	other, err := w.registry.List(t.Context(), table.Scope{Project: "default", Environment: "sandbox"})
	if err != nil || len(other) != 0 {
		t.Errorf("another scope: got %v, %v, want none", other, err)
	}
}

func TestThereAreTenEndpointsAtMost(t *testing.T) {
	w := newWorld(t)
	for i := range delivery.MostEndpoints {
		w.endpoint(fmt.Sprint("e", i))
	}
	_, _, err := w.registry.Create(t.Context(), table.Default, delivery.NewEndpoint{URL: "https://one-more.example/"})
	wantFault(t, err, "too_many_endpoints")
	if err := w.registry.Remove(t.Context(), table.Default, "e3"); err != nil {
		t.Fatal(err)
	}
	w.endpoint("one-more")
	wantFault(t, w.registry.Remove(t.Context(), table.Default, "e3"), "endpoint_not_found")
}

func TestWhatIsNoEndpointIsRefused(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]struct {
		ask  delivery.NewEndpoint
		code string
	}{
		"no address":       {delivery.NewEndpoint{}, "invalid_request"},
		"http":             {delivery.NewEndpoint{URL: "http://shop.example/"}, "invalid_request"},
		"another scheme":   {delivery.NewEndpoint{URL: "ftp://shop.example/"}, "invalid_request"},
		"a file":           {delivery.NewEndpoint{URL: "file:///etc/passwd"}, "invalid_request"},
		"opaque":           {delivery.NewEndpoint{URL: "https:shop.example"}, "invalid_request"},
		"no host":          {delivery.NewEndpoint{URL: "https:///hook"}, "invalid_request"},
		"user":             {delivery.NewEndpoint{URL: "https://me:secret@shop.example/"}, "invalid_request"},
		"fragment":         {delivery.NewEndpoint{URL: "https://shop.example/#a"}, "invalid_request"},
		"empty fragment":   {delivery.NewEndpoint{URL: "https://shop.example/#"}, "invalid_request"},
		"line feed":        {delivery.NewEndpoint{URL: "https://shop.example/\nX: y"}, "invalid_request"},
		"space":            {delivery.NewEndpoint{URL: "https://shop.example/a b"}, "invalid_request"},
		"port":             {delivery.NewEndpoint{URL: "https://shop.example:0/"}, "invalid_request"},
		"large port":       {delivery.NewEndpoint{URL: "https://shop.example:65536/"}, "invalid_request"},
		"empty port":       {delivery.NewEndpoint{URL: "https://shop.example:/"}, "invalid_request"},
		"long":             {delivery.NewEndpoint{URL: "https://shop.example/" + strings.Repeat("a", 1000)}, "invalid_request"},
		"format":           {delivery.NewEndpoint{URL: "https://shop.example/", Format: "xml"}, "invalid_request"},
		"type":             {delivery.NewEndpoint{URL: "https://shop.example/", Types: []string{"*"}}, "invalid_request"},
		"types":            {delivery.NewEndpoint{URL: "https://shop.example/", Types: slices.Repeat([]string{"a.b"}, 65)}, "invalid_request"},
		"id":               {delivery.NewEndpoint{URL: "https://shop.example/", ID: "a#b"}, "invalid_request"},
		"description":      {delivery.NewEndpoint{URL: "https://shop.example/", Description: strings.Repeat("é", 201)}, "invalid_request"},
		"control":          {delivery.NewEndpoint{URL: "https://shop.example/", Description: "a\x1bb"}, "invalid_request"},
		"authorization":    {delivery.NewEndpoint{URL: "https://shop.example/", Authorization: "Bearer 0123456789abcdef"}, "invalid_request"},
		"short":            {delivery.NewEndpoint{URL: "https://shop.example/", Format: "revenuecat", Authorization: "Bearer x"}, "invalid_request"},
		"smuggled":         {delivery.NewEndpoint{URL: "https://shop.example/", Format: "revenuecat", Authorization: "Bearer 0123456789\r\nX: y"}, "invalid_request"},
		"private":          {delivery.NewEndpoint{URL: "https://10.0.0.1/"}, "address_not_public"},
		"credentials":      {delivery.NewEndpoint{URL: "https://169.254.169.254/latest/meta-data"}, "address_not_public"},
		"private, as IPv6": {delivery.NewEndpoint{URL: "https://[::ffff:10.0.0.1]/"}, "address_not_public"},
		"local, as IPv6":   {delivery.NewEndpoint{URL: "https://[fd00:ec2::254]/"}, "address_not_public"},
	} {
		_, made, err := w.registry.Create(t.Context(), table.Default, c.ask)
		if got := fault.Code(err); got != c.code || made != nil {
			t.Errorf("%s: got %v, want %s", name, err, c.code)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the error shows the address: %v", name, err)
		}
	}
	if n := len(w.tables.Items(table.Endpoints)); n != 0 {
		t.Errorf("got %d items, want none written", n)
	}
	w.endpoint("a")
	bad := "http://shop.example/"
	_, err := w.registry.Change(t.Context(), table.Default, "a", delivery.Change{URL: &bad})
	wantFault(t, err, "invalid_request")
	state := delivery.State("sleepy")
	_, err = w.registry.Change(t.Context(), table.Default, "a", delivery.Change{State: &state})
	wantFault(t, err, "invalid_request")
	if e, err := w.registry.Get(t.Context(), table.Default, "a"); err != nil || e.State != delivery.Active || !strings.HasPrefix(e.URL, "https://a.") {
		t.Errorf("after refused changes: got %+v, %v, want it as it was", e, err)
	}
}

// A local build alone lets an endpoint be on this machine, without TLS.
func TestPlainEndpointsAreForALocalBuildOnThisMachine(t *testing.T) {
	local := transport.Plain("127.0.0.1")
	for address, allowed := range map[string]bool{
		"http://127.0.0.1:4000/_sim/receiver": local, "https://127.0.0.1/": local, "http://localhost:1/": local, "http://[::1]/": local,
		"http://shop.example/": false, "http://10.0.0.1/": false, "https://10.0.0.1/": false, "http://127.0.0.1.example/": false,
	} {
		w := newWorld(t)
		_, _, err := w.registry.Create(t.Context(), table.Default, delivery.NewEndpoint{URL: address})
		if (err == nil) != allowed {
			t.Errorf("%s: got %v, want it allowed %v", address, err, allowed)
		}
	}
}

func TestSecretsAreSealedAndSealedForTheirScope(t *testing.T) {
	w := newWorld(t)
	w.endpoint("a")
	e := w.endpoint("b", func(n *delivery.NewEndpoint) { n.Format = delivery.RevenueCat })
	if got := w.secrets["b"].Authorization; !strings.HasPrefix(got, "Bearer ") || len(got) < 40 {
		t.Errorf("authorization: got %d characters, want one made", len(got))
	}
	for _, item := range w.tables.Items(table.Endpoints) {
		for _, s := range []string{"whsec_", "Bearer", w.secrets["a"].Signing, w.secrets["b"].Authorization} {
			if strings.Contains(string(item.Data), s) || strings.Contains(string(item.Sealed), s) {
				t.Errorf("the item %s shows a secret", item.Key.Partition)
			}
		}
		// Moved to another scope it does not open.
		moved := item
		moved.Key.Partition, moved.Revision = "default#sandbox#registry", 0
		if err := w.tables.Commit(t.Context(), table.Inserted(moved)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.registry.Test(t.Context(), table.Scope{Project: "default", Environment: "sandbox"}, e.ID); err == nil {
		t.Errorf("the secrets of another scope could be used")
	}
}

// Standard Webhooks, "Webhook headers": while a secret is rotated, a request has the signatures of
// both.
func TestARotatedSecretSignsForADayBesideTheNewOne(t *testing.T) {
	w := newWorld(t)
	w.endpoint("a")
	verified := func(secret string) bool {
		t.Helper()
		w.clock.advance(time.Second)
		w.tell("minji", event.WalletSpent)
		w.minutes(1)
		a := w.receiver.arrived[len(w.receiver.arrived)-1]
		hook, err := standardwebhooks.NewWebhook(secret)
		if err != nil {
			t.Fatal(err)
		}
		return hook.VerifyIgnoringTimestamp([]byte(a.text), a.header) == nil
	}
	first := w.secrets["a"].Signing
	e, made, err := w.registry.Rotate(t.Context(), table.Default, "a", "")
	if err != nil || made.Signing == first || !e.RotatedAt.Equal(noon) {
		t.Fatalf("Rotate: got %+v, %v, want another secret", e, err)
	}
	w.secrets["a"] = &made
	if !verified(first) || !verified(made.Signing) {
		t.Errorf("after the rotation: want the signatures of both")
	}
	second := made.Signing
	w.clock.advance(12 * time.Hour)
	if _, made, err = w.registry.Rotate(t.Context(), table.Default, "a", ""); err != nil {
		t.Fatal(err)
	}
	if !verified(first) || !verified(second) || !verified(made.Signing) {
		t.Errorf("after another rotation: want the signatures of all three")
	}
	w.clock.advance(12 * time.Hour)
	if verified(first) || !verified(second) || !verified(made.Signing) {
		t.Errorf("a day after the first rotation: want the signatures of the second and the third")
	}
	w.clock.advance(12 * time.Hour)
	if verified(second) || !verified(made.Signing) {
		t.Errorf("a day after the second rotation: want that of the third alone")
	}
	for range 20 {
		if _, made, err = w.registry.Rotate(t.Context(), table.Default, "a", ""); err != nil {
			t.Fatal(err)
		}
	}
	w.secrets["a"] = &made
	if !verified(made.Signing) {
		t.Errorf("after many rotations: want the newest to sign")
	}
	if a := w.receiver.arrived[len(w.receiver.arrived)-1]; len(strings.Fields(a.header.Get("Webhook-Signature"))) != 4 {
		t.Errorf("after many rotations: got %q, want four signatures", a.header.Get("Webhook-Signature"))
	}
	_, _, err = w.registry.Rotate(t.Context(), table.Default, "b", "")
	wantFault(t, err, "endpoint_not_found")
}

func TestATestSaysWhatTheEndpointMadeOfIt(t *testing.T) {
	w := newWorld(t)
	w.endpoint("a")
	w.endpoint("b", func(n *delivery.NewEndpoint) { n.Format = delivery.RevenueCat })
	for status, want := range map[int]delivery.Tested{
		200: {Taken: true, Status: 200}, 204: {Taken: true, Status: 204}, 302: {Status: 302, Why: "it was not taken"},
		500: {Status: 500, Why: "it was not taken"}, 0: {Why: "no readable answer"},
	} {
		w.receiver.answer = func(arrival) int { return status }
		if got, err := w.registry.Test(t.Context(), table.Default, "a"); err != nil || got != want {
			t.Errorf("%d: got %+v, %v, want %+v", status, got, err, want)
		}
	}
	a := w.receiver.arrived[0]
	if a.body.Type != delivery.EndpointTest || a.body.Data.Environment != "production" || !strings.HasPrefix(a.header.Get("Webhook-Id"), "test_") {
		t.Errorf("got %s, want a test that says so", a.text)
	}
	// In the other format nothing but 200 is success.
	for status, taken := range map[int]bool{200: true, 201: false, 204: false} {
		w.receiver.answer = func(arrival) int { return status }
		if got, err := w.registry.Test(t.Context(), table.Default, "b"); err != nil || got.Taken != taken {
			t.Errorf("revenuecat, %d: got %+v, %v, want taken %v", status, got, err, taken)
		}
	}
	last := w.receiver.arrived[len(w.receiver.arrived)-1]
	if got := last.header.Get("Authorization"); got != w.secrets["b"].Authorization || !strings.Contains(last.text, `"type":"TEST"`) {
		t.Errorf("revenuecat: got %s, want TEST under the endpoint's authorization", last.text)
	}
	_, err := w.registry.Test(t.Context(), table.Default, "c")
	wantFault(t, err, "endpoint_not_found")
	if n := len(w.tables.Items(table.Endpoints)); n != 1 {
		t.Errorf("got %d items, want the registry alone", n)
	}
}

func TestWhatWaitsForAnEndpointThatIsNoMoreIsDropped(t *testing.T) {
	w := newWorld(t)
	w.endpoint("a")
	w.endpoint("b")
	w.receiver.answer = func(a arrival) int {
		if a.endpoint == "a" {
			return 500
		}
		return 200
	}
	w.tell("minji", event.WalletSpent, event.WalletSpent)
	w.minutes(1)
	if err := w.registry.Remove(t.Context(), table.Default, "a"); err != nil {
		t.Fatal(err)
	}
	w.minutes(10)
	w.idle()
	// One made later under the same id begins anew.
	w.receiver.answer = nil
	w.clock.advance(time.Hour)
	w.endpoint("a")
	w.tell("minji", event.WalletSpent)
	w.minutes(2)
	if got := w.got("a", "minji"); !slices.Equal(got, []int64{3}) {
		t.Errorf("got %v, want what came since alone", got)
	}
	w.whole("b", "minji", 3)
	w.idle()
}

func TestWhileSecretsCannotBeOpenedNothingIsSentOrLost(t *testing.T) {
	w := newWorld(t)
	w.endpoint("a")
	w.tell("minji", event.WalletSpent)
	sealer := w.registry.Sealer.(*sealer)
	sealer.fail = broken()
	for range 5 {
		w.tick()
		for _, m := range w.queue.take() {
			if err := w.publisher.Work(t.Context(), m); !errors.Is(err, fault.Unavailable) && w.tries("a") > 0 {
				t.Errorf("Work: got %v, want an outage", err)
			}
		}
		w.clock.advance(time.Minute)
	}
	sealer.fail = nil
	if n := w.tries("a"); n != 0 {
		t.Errorf("got %d requests, want none unsigned", n)
	}
	w.minutes(5)
	w.whole("a", "minji", 1)
	w.idle()
}

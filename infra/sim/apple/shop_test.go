package apple_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/infra/sim/apple"
	"grantline/infra/sim/stage/stagetest"
)

// shop is a store on a clock that can be moved, whose notifications come to a receiver.
type shop struct {
	*store

	clock    *stagetest.Clock
	receiver *stagetest.Receiver
	seen     int
}

func newShop(t *testing.T, options apple.Options) *shop {
	t.Helper()
	clock := stagetest.NewClock()
	p := &shop{store: &store{t: t}, clock: clock, receiver: stagetest.NewReceiver(t, clock)}
	options.Now, options.At, options.Webhooks = clock.Now, clock.At, p.receiver.URL
	p.now.Store(clock.Now().Unix())
	p.Simulator = apple.New(options)
	p.server = httptest.NewServer(p.Simulator)
	p.client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	t.Cleanup(func() {
		p.Close()
		p.server.Close()
	})
	return p
}

func (p *shop) advance(d time.Duration) {
	p.clock.Advance(d)
	p.now.Store(p.clock.Now().Unix())
}

// days is a long time, and a second for what is sent then.
func (p *shop) days(n int) { p.advance(time.Duration(n)*24*time.Hour + time.Second) }

func (p *shop) millis() float64 { return float64(p.clock.Now().UnixMilli()) }

// call asks the API with a body, if there is one, and reads the answer.
func (p *shop) call(method, path, body string) (status int, answer map[string]any, header http.Header) {
	p.t.Helper()
	r, err := http.NewRequestWithContext(p.t.Context(), method, p.server.URL+path, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	r.Header.Set("Authorization", p.bearer(nil))
	response, err := p.client.Do(r)
	if err != nil {
		p.t.Fatalf("%s %s: got %v, want an answer", method, path, err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	if len(text) > 0 && json.Unmarshal(text, &answer) != nil {
		p.t.Fatalf("%s %s: got %q, want JSON", method, path, text)
	}
	return response.StatusCode, answer, response.Header
}

// asks wants a status and an errorCode, 0 for none.
func (p *shop) asks(method, path, body string, status int, code int64) map[string]any {
	p.t.Helper()
	got, answer, _ := p.call(method, path, body)
	gotCode, _ := answer["errorCode"].(float64)
	if got != status || int64(gotCode) != code {
		p.t.Errorf("%s %s %s: got %d %d, want %d %d", method, path, body, got, int64(gotCode), status, code)
	}
	return answer
}

func (p *shop) subscribe(more apple.Purchase) apple.Bought {
	p.t.Helper()
	bought, err := p.Subscribe(more)
	if err != nil {
		p.t.Fatalf("subscribe: got %v, want it sold", err)
	}
	return bought
}

// must wants that a control works.
func (p *shop) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatalf("control: got %v, want it done", err)
	}
}

// word is a notification that came, read by hand.
type word struct {
	name        string
	payload     map[string]any
	data        map[string]any
	transaction map[string]any
	renewal     map[string]any
	arrival     stagetest.Arrival
}

// words are the notifications since they were last asked for.
func (p *shop) words() []word {
	p.t.Helper()
	var list []word
	all := p.receiver.Arrivals()
	for _, a := range all[p.seen:] {
		signed, _ := a.Body["signedPayload"].(string)
		if len(a.Body) != 1 || signed == "" {
			p.t.Fatalf("arrival: got %s, want a signedPayload alone", a.Raw)
		}
		w := word{payload: p.payload(signed), arrival: a}
		w.name, _ = w.payload["notificationType"].(string)
		if subtype, ok := w.payload["subtype"].(string); ok {
			w.name += "." + subtype
		}
		w.data, _ = w.payload["data"].(map[string]any)
		if signed, ok := w.data["signedTransactionInfo"].(string); ok {
			w.transaction = p.payload(signed)
		}
		if signed, ok := w.data["signedRenewalInfo"].(string); ok {
			w.renewal = p.payload(signed)
		}
		list = append(list, w)
	}
	p.seen = len(all)
	return list
}

// wants lets a second pass and wants notifications of these names, in this order.
func (p *shop) wants(names ...string) []word {
	p.t.Helper()
	p.advance(time.Second)
	list := p.words()
	var got []string
	for _, w := range list {
		got = append(got, w.name)
	}
	if diff := cmp.Diff(names, got); diff != "" {
		p.t.Fatalf("notifications differ (-want +got):\n%s", diff)
	}
	return list
}

// status is the subscription's as the API has it.
func (p *shop) status(id string) (float64, map[string]any, map[string]any) {
	p.t.Helper()
	answer := p.asks("GET", "/inApps/v1/subscriptions/"+id, "", 200, 0)
	for _, group := range answer["data"].([]any) {
		for _, entry := range group.(map[string]any)["lastTransactions"].([]any) {
			e := entry.(map[string]any)
			t := p.payload(e["signedTransactionInfo"].(string))
			if e["originalTransactionId"] == id || t["transactionId"] == id {
				return e["status"].(float64), t, p.payload(e["signedRenewalInfo"].(string))
			}
		}
	}
	p.t.Fatalf("subscription %s: got none in %v, want it", id, answer)
	return 0, nil, nil
}

func (p *shop) effects() (kinds []string) {
	for _, e := range p.Effects() {
		kinds = append(kinds, e.Kind)
	}
	return kinds
}

// date is an instant of the first days of the clock, in milliseconds.
func date(text string) float64 {
	at, err := time.Parse("2006-01-02", text)
	if err != nil {
		panic(err)
	}
	return float64(at.UnixMilli())
}

func fields(t *testing.T, what string, got, want map[string]any) {
	t.Helper()
	for name, value := range want {
		if got[name] != value {
			t.Errorf("%s: %s: got %v, want %v", what, name, got[name], value)
		}
	}
}

func ptr[T any](v T) *T { return &v }

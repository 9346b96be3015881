package journeys_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	diff "github.com/google/go-cmp/cmp"

	"grantline/infra/local/journeys"
	"grantline/infra/local/stack"
	simulated "grantline/infra/sim/apple"
	"grantline/shared/apple"
)

// without unsets variables of the world outside that the simulators would set.
func without(names ...string) func(*stack.Options) {
	return func(o *stack.Options) {
		o.Outside = func(name string) (string, bool) {
			for _, unset := range names {
				if name == unset {
					return "", true
				}
			}
			return "", false
		}
	}
}

// plain takes what a client sends to the App Store's host to the simulator.
type plain struct{ base *url.URL }

func (p plain) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.Scheme, r.URL.Host, r.URL.Path = p.base.Scheme, p.base.Host, p.base.Path+r.URL.Path
	return http.DefaultTransport.RoundTrip(r)
}

// localClock is a stack's.
type localClock struct{ *stack.Stack }

func (localClock) Sleep(ctx context.Context, _ time.Duration) error { return ctx.Err() }

// company is a client of the App Store's API with the company's key.
func company(t *testing.T, s *stack.Stack) *apple.API {
	t.Helper()
	env := s.Sim().Env()
	base, err := url.Parse(env["APPLE_API_URL"])
	if err != nil {
		t.Fatal(err)
	}
	api, err := apple.NewAPI(apple.APIConfig{
		URL: apple.APIURL, SandboxURL: apple.APISandboxURL, IssuerID: env["APPLE_ISSUER_ID"], KeyID: env["APPLE_KEY_ID"],
		PrivateKey: func(context.Context, bool) (string, error) { return env["APPLE_PRIVATE_KEY"], nil },
		Clock:      localClock{s}, Log: slog.New(slog.DiscardHandler), Transport: plain{base},
	})
	if err != nil {
		t.Fatal(err)
	}
	return api
}

// told are all notifications about a transaction's line, as Apple signed them.
func told(t *testing.T, s *stack.Stack, api *apple.API, transaction string) []string {
	t.Helper()
	ask := apple.HistoryAsk{Start: begin, End: s.Now().Add(time.Minute), TransactionID: transaction}
	var all []string
	for page := ""; ; {
		p, err := api.NotificationHistory(t.Context(), apple.Place{Environment: apple.Production, BundleID: simulated.BundleID}, ask, page)
		if err != nil {
			t.Fatal(err)
		}
		for _, sent := range p.Sent {
			all = append(all, sent.SignedPayload)
		}
		if !p.HasMore {
			return all
		}
		page = p.PaginationToken
	}
}

// lived is what one customer bought.
type lived struct {
	who   string
	began time.Time
	ids   []string // of all transactions, each at its place in the life
	lines []string // of which notifications can be asked for
}

// live has customers buy and do the same, all of them step by step; pass lets a week pass, or is nil.
func live(t *testing.T, s *stack.Stack, customers int, pass func()) []*lived {
	t.Helper()
	sim := s.Sim().Apple
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	all := make([]*lived, customers)
	token := map[string]string{}
	for i := range all {
		l := &lived{who: fmt.Sprintf("customer-%d", i)}
		all[i] = l
		token[l.who] = object(t, s, l.who, "/v1/customers/"+l.who)["storeIds"].(map[string]any)["appAccountToken"].(string)
		bought, err := sim.Subscribe(simulated.Purchase{Period: "P1W", AppAccountToken: token[l.who]})
		check(err)
		l.began, l.ids, l.lines = s.Now(), []string{bought.TransactionID}, []string{bought.TransactionID}
		tell(t, s, fmt.Sprintf("POST /v1/purchases as %s {\"store\":\"apple\",\"apple\":{\"signedTransaction\":%q}}\nexpect 200", l.who, bought.SignedTransaction))
	}
	each := func(do func(l *lived)) {
		for _, l := range all {
			do(l)
		}
		time.Sleep(2 * time.Millisecond) // what is signed next is signed later, since Apple's instants are of milliseconds
	}
	more := func(l *lived, b simulated.Bought, err error) {
		t.Helper()
		check(err)
		l.ids = append(l.ids, b.TransactionID)
	}
	if pass != nil {
		each(func(l *lived) { check(sim.FailBilling(simulated.Held{TransactionID: l.ids[0]})) })
		pass()
		each(func(l *lived) {
			b, err := sim.RecoverBilling(simulated.Held{TransactionID: l.ids[0]})
			more(l, b, err)
		})
	} else {
		each(func(l *lived) {
			b, err := sim.Renew(simulated.Held{TransactionID: l.ids[0]})
			more(l, b, err)
		})
	}
	each(func(l *lived) {
		b, err := sim.Renew(simulated.Held{TransactionID: l.ids[0]})
		more(l, b, err)
	})
	each(func(l *lived) { check(sim.Refund(simulated.Refund{TransactionID: l.ids[1]})) })
	each(func(l *lived) {
		b, err := sim.Upgrade(simulated.Switch{TransactionID: l.ids[0], ProductID: "com.example.premium.yearly", Period: "P1Y"})
		more(l, b, err)
	})
	each(func(l *lived) { check(sim.SetAutoRenew(simulated.AutoRenew{TransactionID: l.ids[0]})) })
	each(func(l *lived) { check(sim.SetAutoRenew(simulated.AutoRenew{TransactionID: l.ids[0], On: true})) })
	each(func(l *lived) {
		check(sim.Downgrade(simulated.Switch{TransactionID: l.ids[0], ProductID: "com.example.premium.monthly"}))
	})
	first := len(all[0].ids)
	for _, quantity := range []int{1, 3, 1, 1} {
		each(func(l *lived) {
			b, err := sim.Buy(simulated.Purchase{ProductID: "com.example.gems100", Quantity: quantity, AppAccountToken: token[l.who]})
			more(l, b, err)
			l.lines = append(l.lines, b.TransactionID)
		})
	}
	each(func(l *lived) { check(sim.Refund(simulated.Refund{TransactionID: l.ids[first]})) })
	each(func(l *lived) { check(sim.Reverse(simulated.Held{TransactionID: l.ids[first]})) })
	each(func(l *lived) {
		check(sim.Refund(simulated.Refund{TransactionID: l.ids[first+1], RevocationPercentage: 66667}))
	})
	each(func(l *lived) { check(sim.Refund(simulated.Refund{TransactionID: l.ids[first+2]})) })
	return all
}

// object is what a GET answers.
func object(t *testing.T, s *stack.Stack, who, path string) map[string]any {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, secret := s.Keys("production")
	request.Header.Set("Authorization", "Bearer "+secret)
	if who != "" {
		request.Header.Set("X-Customer-Id", who)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(body, &got); err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: got %d %s, %v, want 200", path, answer.StatusCode, body, err)
	}
	return got
}

// end is what a customer has and what became of each order, in words that are the same for
// whoever lived the same: instants count from the beginning, transactions are numbered.
func (l *lived) end(t *testing.T, s *stack.Stack) string {
	t.Helper()
	customer := object(t, s, l.who, "/v1/customers/"+l.who)
	said := []any{customer["entitlements"], customer["wallet"], customer["purchases"]}
	for _, id := range l.ids {
		order := object(t, s, "", "/v1/orders/apple_"+id)["order"].(map[string]any)
		if order["state"] == "refunded" {
			// What was refunded before it was heard of was never granted, and so not taken back.
			delete(order, "credited")
			delete(order, "takenBack")
			delete(order, "walletCurrency")
		}
		said = append(said, order)
	}
	for _, part := range said {
		l.since(part)
	}
	text, err := json.MarshalIndent(said, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	for i, id := range l.ids {
		text = bytes.ReplaceAll(text, []byte(id), fmt.Appendf(nil, "%d", i))
	}
	return string(text)
}

// since takes out what the order of notices decides, which is when each was granted, and
// gives what ends as minutes from the beginning.
func (l *lived) since(v any) {
	switch v := v.(type) {
	case []any:
		// Lots are in the order in which they were credited.
		slices.SortFunc(v, func(a, b any) int { return cmp.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
		for _, member := range v {
			l.since(member)
		}
	case map[string]any:
		delete(v, "grantedAt")
		for name, member := range v {
			text, _ := member.(string)
			if at, err := time.Parse(time.RFC3339, text); err == nil {
				v[name] = fmt.Sprintf("%d minutes", int(at.Sub(l.began).Round(10*time.Minute).Minutes()))
			}
			l.since(member)
		}
	}
}

// post sends payloads as Apple does: several at once, one after another.
func post(t *testing.T, s *stack.Stack, payloads []string, atOnce int) {
	t.Helper()
	for len(payloads) > 0 {
		batch := payloads[:min(atOnce, len(payloads))]
		payloads = payloads[len(batch):]
		failed := make([]string, len(batch))
		var all sync.WaitGroup
		for i, payload := range batch {
			all.Go(func() {
				body, _ := json.Marshal(map[string]string{"signedPayload": payload})
				for range 20 {
					answer, err := http.Post(s.URL()+"/webhooks/apple", "application/json", bytes.NewReader(body))
					if err != nil {
						failed[i] = err.Error()
						continue
					}
					_ = answer.Body.Close()
					if failed[i] = answer.Status; answer.StatusCode == http.StatusOK {
						failed[i] = ""
						return
					}
				}
			})
		}
		all.Wait()
		for _, why := range failed {
			if why != "" {
				t.Fatalf("a genuine notification was answered %s, want 200", why)
			}
		}
	}
}

// shuffled has ten customers live the same while all notifications are lost, and then sends
// those of each in another order, each twice.
func shuffled(t *testing.T, s *stack.Stack, pass func()) {
	t.Helper()
	const lost = `POST /_sim/apple/webhook {"how":"drop","count":1000000}` + "\nexpect 200"
	tell(t, s, lost)
	all := live(t, s, 10, pass)
	api := company(t, s)
	var want string
	for i, l := range all {
		var payloads []string
		for _, line := range l.lines {
			payloads = append(payloads, told(t, s, api, line)...)
		}
		if len(payloads) < 15 {
			t.Fatalf("%s: got %d notifications, want at least 15", l.who, len(payloads))
		}
		payloads = append(payloads, payloads...)
		dice := rand.New(rand.NewPCG(uint64(i), 5))
		if i > 0 { // the first hears everything in its turn
			dice.Shuffle(len(payloads), func(a, b int) { payloads[a], payloads[b] = payloads[b], payloads[a] })
		}
		post(t, s, payloads, 1+i%4*3)
	}
	tell(t, s, "clock 30m") // whatever came between each other is tried again
	for _, l := range all {
		got := l.end(t, s)
		if want == "" {
			want = got
			t.Logf("the end of all: %s", want)
			for _, part := range []string{`"active": true`, `"balance": 300`, `"nextProductId": "com.example.premium.monthly"`, `"state": "refunded"`} {
				if !strings.Contains(want, part) {
					t.Errorf("the end of %s is without %s", l.who, part)
				}
			}
		}
		if changed := diff.Diff(want, got); changed != "" {
			t.Errorf("%s ends otherwise than %s (-want +got):\n%s", l.who, all[0].who, changed)
		}
	}
	tell(t, s, "queues are empty")
}

// Notices of ten customers who did the same, each in another order, twice, some at once: the
// end is the same. Nobody can be asked, so nothing but what Apple signed decides.
func TestNoticesInAnyOrderEndTheSameWithoutAKey(t *testing.T) {
	t.Parallel()
	s := start(t, without("APPLE_PRIVATE_KEY"))
	shuffled(t, s, func() { tell(t, s, "clock 169h") })

	// What is weaker is said; a renewal and a refund are known from their notices.
	tell(t, s, `
		POST /_sim/apple/calm {}
		POST /_sim/apple/subscribe {"period":"P1W"}
		keep signed = .signedTransaction
		keep first = .transactionId
		POST /v1/purchases as minji {"store":"apple","apple":{"signedTransaction":"{signed}"}}
		expect 200
		expect .checked == "signed_data"
		expect .finish == true
		POST /_sim/apple/renew {"transactionId":"{first}"}
		keep second = .transactionId
		eventually GET /v1/customers/minji as minji
		expect .purchases[0].orderId == "apple_{second}"
		POST /_sim/apple/refund {"transactionId":"{second}"}
		eventually GET /v1/orders/apple_{second} as server
		expect .order.state == "refunded"
		eventually GET /v1/customers/minji as minji
		expect .entitlements[id=premium].willRenew == false
		POST /_sim/apple/refund {"transactionId":"{first}"}
		eventually GET /v1/orders/apple_{first} as server
		expect .order.state == "refunded"
		GET /v1/customers/minji as minji
		expect .entitlements[id=premium].active == false
		POST /v1/purchases as minji {"store":"apple","apple":{"signedTransaction":"{signed}"}}
		expect 422
		POST /_sim/apple/held {"transactionId":"{first}"}
		keep receipt = .receipt
		POST /v1/purchases as jisoo {"store":"apple","apple":{"receipt":"{receipt}"}}
		expect 503
		POST /v1/apple/offers as server {"kind":"promotional","productId":"com.example.premium.monthly","offerId":"comeback"}
		expect 503
		clock 25h
		queues are empty
	`)
}

// The same where each is looked at again.
func TestNoticesInAnyOrderEndTheSameWithAKey(t *testing.T) {
	t.Parallel()
	shuffled(t, start(t, nil), nil)
}

// run tells a journey to a stack from any goroutine.
func run(t *testing.T, s *stack.Stack, text string) error {
	teller := journeys.Teller{URL: s.URL(), SimURL: s.SimURL()}
	return teller.Run(t.Context(), text)
}

// together runs a journey for each, all at once.
func together(t *testing.T, s *stack.Stack, texts []string) {
	t.Helper()
	failed := make([]error, len(texts))
	var all sync.WaitGroup
	for i, text := range texts {
		all.Go(func() { failed[i] = run(t, s, text) })
	}
	all.Wait()
	for i, err := range failed {
		if err != nil {
			t.Errorf("journey %d: %v", i, err)
		}
	}
	if t.Failed() {
		t.FailNow()
	}
}

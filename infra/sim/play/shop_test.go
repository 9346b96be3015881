package play_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/oauth2/google"
	"google.golang.org/api/androidpublisher/v3"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/option"

	"grantline/infra/sim/play"
	"grantline/infra/sim/stage/stagetest"
)

// shop is a store on a clock that can be moved, asked by Google's own client.
type shop struct {
	*play.Simulator

	t        *testing.T
	clock    *stagetest.Clock
	receiver *stagetest.Receiver
	server   *httptest.Server
	api      *androidpublisher.Service
	access   string
	seen     int
}

func newShop(t *testing.T, options play.Options) *shop {
	t.Helper()
	clock := stagetest.NewClock()
	p := &shop{t: t, clock: clock, receiver: stagetest.NewReceiver(t, clock)}
	p.server = httptest.NewUnstartedServer(nil)
	options.Now, options.At, options.Webhooks = clock.Now, clock.At, p.receiver.URL
	options.Base = "http://" + p.server.Listener.Addr().String()
	p.Simulator = play.New(options)
	p.server.Config.Handler = p.Simulator
	p.server.Start()
	var err error
	p.api, err = androidpublisher.NewService(t.Context(),
		option.WithHTTPClient(&http.Client{Transport: p}), option.WithEndpoint(p.server.URL+"/"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Close()
		p.server.Close()
	})
	return p
}

// RoundTrip adds the access token, as the credentials of a client do.
func (p *shop) RoundTrip(r *http.Request) (*http.Response, error) {
	if p.access == "" {
		_, granted := p.grant(nil)
		p.access, _ = granted["access_token"].(string)
	}
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+p.access)
	return (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
}

// assertion is what a service account signs, by the shop's clock.
type assertion struct {
	jwt.Claims
	Scope string `json:"scope,omitempty"`

	kid  string
	key  any
	alg  jose.SignatureAlgorithm
	kind string
}

// grant asks for an access token with an assertion that spoil may spoil.
func (p *shop) grant(spoil func(*assertion)) (int, map[string]any) {
	p.t.Helper()
	config, err := google.JWTConfigFromJSON(p.Credentials(), "https://www.googleapis.com/auth/androidpublisher")
	if err != nil {
		p.t.Fatal(err)
	}
	key, err := readKey(config.PrivateKey)
	if err != nil {
		p.t.Fatal(err)
	}
	now := p.clock.Now()
	a := assertion{
		Claims: jwt.Claims{
			Issuer: config.Email, Audience: jwt.Audience{config.TokenURL},
			IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(time.Hour)),
		},
		Scope: config.Scopes[0], kid: config.PrivateKeyID, key: key, alg: jose.RS256, kind: "urn:ietf:params:oauth:grant-type:jwt-bearer",
	}
	if spoil != nil {
		spoil(&a)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: a.alg, Key: a.key}, (&jose.SignerOptions{}).WithHeader("kid", a.kid))
	if err != nil {
		p.t.Fatal(err)
	}
	text, err := jwt.Signed(signer).Claims(a).Serialize()
	if err != nil {
		p.t.Fatal(err)
	}
	response, err := http.PostForm(config.TokenURL, url.Values{"grant_type": {a.kind}, "assertion": {text}})
	if err != nil {
		p.t.Fatal(err)
	}
	defer response.Body.Close()
	var out map[string]any
	if err := json.NewDecoder(response.Body).Decode(&out); err != nil {
		p.t.Fatal(err)
	}
	return response.StatusCode, out
}

func (p *shop) advance(d time.Duration) {
	p.clock.Advance(d)
	p.access = ""
}

// days is a long time, and a second for what is sent then.
func (p *shop) days(n int) { p.advance(time.Duration(n)*24*time.Hour + time.Second) }

// to moves the clock to a date and a second.
func (p *shop) to(date string) {
	p.t.Helper()
	at, err := time.Parse("2006-01-02", date)
	if err != nil {
		p.t.Fatal(err)
	}
	p.advance(at.Sub(p.clock.Now()) + time.Second)
}

// calm skips what a purchase begins with.
func (p *shop) calm() {
	p.t.Helper()
	p.advance(time.Second)
	p.seen = len(p.receiver.Arrivals())
}

func (p *shop) buy(b play.Purchase) play.Bought {
	p.t.Helper()
	bought, err := p.Buy(b)
	if err != nil {
		p.t.Fatalf("buy %+v: got %v, want it sold", b, err)
	}
	return bought
}

// owned buys a subscription that is acknowledged, and whose purchase is told.
func (p *shop) owned(b play.Purchase) play.Bought {
	p.t.Helper()
	b.ProductID = cmpOr(b.ProductID, "premium:monthly")
	bought := p.buy(b)
	p.must(p.Acknowledge(play.Held{PurchaseToken: bought.PurchaseToken}))
	p.calm()
	return bought
}

func cmpOr(a, b string) string {
	if a == "" {
		return b
	}
	return a
}

// must wants that a control or a call works.
func (p *shop) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatalf("got %v, want it done", err)
	}
}

// refused wants a refusal of the API with a status and a reason.
func (p *shop) refused(what string, err error, status int, reason string) {
	p.t.Helper()
	var refusal *googleapi.Error
	if !errors.As(err, &refusal) {
		p.t.Errorf("%s: got %v, want %d %s", what, err, status, reason)
		return
	}
	got := ""
	if len(refusal.Errors) > 0 {
		got = refusal.Errors[0].Reason
	}
	if refusal.Code != status || got != reason {
		p.t.Errorf("%s: got %d %s, want %d %s", what, refusal.Code, got, status, reason)
	}
}

func (p *shop) product(token string) *androidpublisher.ProductPurchaseV2 {
	p.t.Helper()
	got, err := p.api.Purchases.Productsv2.Getproductpurchasev2(play.Package, token).Do()
	p.must(err)
	return got
}

func (p *shop) subscription(token string) *androidpublisher.SubscriptionPurchaseV2 {
	p.t.Helper()
	got, err := p.api.Purchases.Subscriptionsv2.Get(play.Package, token).Do()
	p.must(err)
	return got
}

func (p *shop) order(id string) *androidpublisher.Order {
	p.t.Helper()
	got, err := p.api.Orders.Get(play.Package, id).Do()
	p.must(err)
	return got
}

// state wants a subscription's state (without its prefix) and the day on which its first
// item ends.
func (p *shop) state(what, token, state, day string) *androidpublisher.SubscriptionPurchaseV2 {
	p.t.Helper()
	got := p.subscription(token)
	ends := ""
	if len(got.LineItems) > 0 && len(got.LineItems[0].ExpiryTime) >= 10 {
		ends = got.LineItems[0].ExpiryTime[:10]
	}
	if got.SubscriptionState != "SUBSCRIPTION_STATE_"+state || ends != day {
		p.t.Errorf("%s: got %s until %s, want %s until %s", what, got.SubscriptionState, ends, state, day)
	}
	return got
}

// word is a notification that came, read by hand.
type word struct {
	name    string
	id      string
	notice  map[string]any
	detail  map[string]any
	arrival stagetest.Arrival
}

// words are the notifications since they were last asked for.
func (p *shop) words() []word {
	p.t.Helper()
	var list []word
	all := p.receiver.Arrivals()
	for _, a := range all[p.seen:] {
		list = append(list, p.word(a))
	}
	p.seen = len(all)
	return list
}

func (p *shop) word(a stagetest.Arrival) word {
	p.t.Helper()
	w := word{arrival: a, notice: a.Body}
	if m, ok := a.Body["message"].(map[string]any); ok {
		w.id, _ = m["messageId"].(string)
		text, _ := m["data"].(string)
		raw, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			p.t.Fatal(err)
		}
		w.notice = nil
		_ = json.Unmarshal(raw, &w.notice) // what is no JSON was sent as none
	}
	for field, kind := range map[string]string{
		"subscriptionNotification": "subscription", "oneTimeProductNotification": "oneTime", "voidedPurchaseNotification": "voided",
		"pendingRefundReviewNotification": "review", "testNotification": "test",
	} {
		detail, ok := w.notice[field].(map[string]any)
		if !ok {
			continue
		}
		w.name, w.detail = kind, detail
		for _, number := range []string{"notificationType", "productType", "refundType", "refundReason"} {
			if n, ok := detail[number].(float64); ok {
				w.name += "." + strconv.Itoa(int(n))
			}
		}
	}
	return w
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

// effects are the kinds of what was done, in order.
func (p *shop) effects() (kinds []string) {
	for _, e := range p.Effects() {
		kinds = append(kinds, e.Kind)
	}
	return kinds
}

func (p *shop) wantEffects(want ...string) {
	p.t.Helper()
	if diff := cmp.Diff(want, p.effects()); diff != "" {
		p.t.Errorf("effects differ (-want +got):\n%s", diff)
	}
}

// ask calls a path of the simulator's by hand.
func (p *shop) ask(method, path, bearer, body string) (int, string, http.Header) {
	p.t.Helper()
	r, err := http.NewRequestWithContext(p.t.Context(), method, p.server.URL+path, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	if bearer != "" {
		r.Header.Set("Authorization", bearer)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return response.StatusCode, string(text), response.Header
}

func ptr[T any](v T) *T { return &v }

func contains(text, part string) bool { return strings.Contains(text, part) }

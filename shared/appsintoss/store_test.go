package appsintoss_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/appsintoss"
	"grantline/shared/clock"
	"grantline/shared/fault"
	"grantline/shared/purchase"
)

func TestLookAsksForTheOrderOfTheUser(t *testing.T) {
	for _, key := range []string{userKey, ""} {
		s := &script{answers: []says{paid}}
		p := proof
		p.UserKey = key
		if _, err := scripted(t, s, clock.Fixed(now), &log{}).Look(t.Context(), p); err != nil {
			t.Fatalf("got %v, want no error", err)
		}
		req := s.requests[0]
		if want := "https://apps.example/appsintoss/api-partner/v1/apps-in-toss/order/get-order-status"; req.Method != http.MethodPost || req.URL.String() != want {
			t.Errorf("got %s %s, want POST %s", req.Method, req.URL, want)
		}
		if want := fmt.Sprintf(`{"orderId":%q}`, order); s.bodies[0] != want {
			t.Errorf("got the body %s, want %s", s.bodies[0], want)
		}
		if got, sent := req.Header["X-Toss-User-Key"]; sent != (key != "") || (sent && got[0] != key) {
			t.Errorf("got the user key %q, want %q", got, key)
		}
	}
}

// Every answer, given again and again, with what it is in the end and after how many requests.
func TestEveryAnswerHasItsMeaning(t *testing.T) {
	sale := func(state purchase.SaleState, sku string, at time.Time) purchase.Sale {
		return purchase.Sale{Store: "appsintoss", Line: order, Order: order, SKU: sku, State: state, PurchasedAt: at, AsOf: now, Quantity: 1}
	}
	at := time.Date(2026, 11, 22, 8, 59, 30, 0, time.UTC)
	for _, c := range []struct {
		name  string
		says  says
		want  purchase.Sale
		err   error
		asked int
		level string
	}{
		{"payment completed", paid, sale(purchase.Paid, "gems-100", at), nil, 1, "INFO"},
		{"purchased", success("PURCHASED", `,"sku":"gems-100","statusDeterminedAt":"2026-11-22T08:59:30Z"`), sale(purchase.Paid, "gems-100", at), nil, 1, "INFO"},
		{"time without zone", success("PURCHASED", `,"sku":"gems-100","statusDeterminedAt":"2025-09-12T16:57:12"`), sale(purchase.Paid, "gems-100", time.Time{}), nil, 1, "INFO"},
		{"zone without colon", success("PURCHASED", `,"sku":"gems-100","statusDeterminedAt":"2026-11-22T17:59:30+0900"`), sale(purchase.Paid, "gems-100", at), nil, 1, "INFO"},
		{"no time", success("PURCHASED", `,"sku":"gems-100"`), sale(purchase.Paid, "gems-100", time.Time{}), nil, 1, "INFO"},
		{"refunded", success("REFUNDED", `,"sku":"gems-100","statusDeterminedAt":"2026-11-22T08:59:30Z"`), sale(purchase.Refunded, "gems-100", time.Time{}), nil, 1, "INFO"},
		{"failed", success("FAILED", `,"sku":"gems-100","reason":"reason of toss"`), sale(purchase.Failed, "gems-100", time.Time{}), nil, 1, "INFO"},
		{"in progress", success("ORDER_IN_PROGRESS", `,"sku":"gems-100"`), sale(purchase.Pending, "gems-100", time.Time{}), nil, 16, "INFO"},
		{"not found", success("NOT_FOUND", ""), purchase.Sale{}, fault.NotFound, 6, "INFO"},
		{"another mini-app's", success("MINIAPP_MISMATCH", ""), purchase.Sale{}, fault.Invalid, 1, "WARN"},
		{"error", success("ERROR", ""), purchase.Sale{}, fault.Unavailable, 3, "WARN"},
		{"paid without sku", success("PAYMENT_COMPLETED", ""), purchase.Sale{}, fault.Unavailable, 1, "ERROR"},
		{"new word", success("GIFTED", `,"sku":"gems-100"`), purchase.Sale{}, fault.Unavailable, 1, "ERROR"},
		{"no word", success("", `,"sku":"gems-100"`), purchase.Sale{}, fault.Unavailable, 1, "ERROR"},
		{"lower case", success("purchased", `,"sku":"gems-100"`), purchase.Sale{}, fault.Unavailable, 1, "ERROR"},
		{
			"another order",
			says{200, `{"resultType":"SUCCESS","success":{"orderId":"another","sku":"gems-100","status":"PURCHASED"}}`, nil},
			purchase.Sale{},
			fault.Unavailable, 1, "ERROR",
		},
		{"another order not found", says{200, `{"resultType":"SUCCESS","success":{"status":"NOT_FOUND"}}`, nil}, purchase.Sale{}, fault.Unavailable, 1, "ERROR"},
		{"no order", says{200, `{"resultType":"SUCCESS","success":null}`, nil}, purchase.Sale{}, fault.Unavailable, 1, "ERROR"},
		{"fail", failure("FAIL", "4000", "null"), purchase.Sale{}, fault.Unavailable, 3, "WARN"},
		{"HTTP_TIMEOUT", failure("HTTP_TIMEOUT", "1", "null"), purchase.Sale{}, fault.Unavailable, 3, "WARN"},
		{"NETWORK_ERROR", failure("NETWORK_ERROR", "1", "null"), purchase.Sale{}, fault.Unavailable, 3, "WARN"},
		{"EXECUTION_FAIL", failure("EXECUTION_FAIL", "1", "null"), purchase.Sale{}, fault.Unavailable, 3, "WARN"},
		{"INTERRUPTED", failure("INTERRUPTED", "1", "null"), purchase.Sale{}, fault.Unavailable, 3, "WARN"},
		{"INTERNAL_ERROR", failure("INTERNAL_ERROR", "1", "null"), purchase.Sale{}, fault.Unavailable, 3, "WARN"},
		{"new result", failure("<odd>", "<odd>", "null"), purchase.Sale{}, fault.Unavailable, 3, "WARN"},
		{"a failure that says success", says{200, `{"resultType":"FAIL","success":{"orderId":"` + order + `","sku":"gems-100","status":"PURCHASED"}}`, nil}, purchase.Sale{}, fault.Unavailable, 3, "WARN"},
		{"another case", says{200, `{"RESULTTYPE":"SUCCESS","success":{"orderId":"` + order + `","sku":"gems-100","status":"PURCHASED"}}`, nil}, purchase.Sale{}, fault.Unavailable, 3, "WARN"},
		{"too many, shortly", failure("FAIL", "4095", `{"retryAfterSeconds":10}`), purchase.Sale{}, fault.Unavailable, 3, "WARN"},
		{"too many, at once", failure("FAIL", "4095", `{"retryAfterSeconds":0}`), purchase.Sale{}, fault.Unavailable, 30, "WARN"},
		{"too many, for long", failure("FAIL", "4095", `{"retryAfterSeconds":60}`), purchase.Sale{}, fault.Unavailable, 1, "WARN"},
		{"too many, for ever", failure("FAIL", "4095", `{"retryAfterSeconds":1e300}`), purchase.Sale{}, fault.Unavailable, 1, "WARN"},
		{"too many, unsaid", failure("FAIL", "4095", `null`), purchase.Sale{}, fault.Unavailable, 3, "WARN"},
		{"too many, nonsense", failure("FAIL", "4095", `{"retryAfterSeconds":-1}`), purchase.Sale{}, fault.Unavailable, 3, "WARN"},
		{"empty", says{200, ``, nil}, purchase.Sale{}, fault.Unavailable, 3, "WARN"},
		{"empty object", says{200, `{}`, nil}, purchase.Sale{}, fault.Unavailable, 3, "WARN"},
		{"garbage", says{200, `<html>`, nil}, purchase.Sale{}, fault.Unavailable, 3, "WARN"},
		{"too large", says{200, paid.body + strings.Repeat(" ", 16<<10), nil}, purchase.Sale{}, fault.Unavailable, 3, "WARN"},
		{"400", says{400, `{"resultType":"FAIL","error":{"errorCode":"1"}}`, nil}, purchase.Sale{}, fault.Invalid, 1, "INFO"},
		{"400 of a proxy", says{400, `<html>No required SSL certificate was sent`, nil}, purchase.Sale{}, fault.Unavailable, 1, "ERROR"},
		{"401", says{401, `{}`, nil}, purchase.Sale{}, fault.Unavailable, 1, "ERROR"},
		{"403", says{403, ``, nil}, purchase.Sale{}, fault.Unavailable, 1, "ERROR"},
		{"404", says{404, `{}`, nil}, purchase.Sale{}, fault.Unavailable, 3, "WARN"},
		{"429", says{429, ``, nil}, purchase.Sale{}, fault.Unavailable, 3, "WARN"},
		{"500", says{500, paid.body, nil}, purchase.Sale{}, fault.Unavailable, 3, "WARN"},
		{"503", says{503, ``, nil}, purchase.Sale{}, fault.Unavailable, 3, "WARN"},
		{"redirect", says{302, ``, nil}, purchase.Sale{}, fault.Unavailable, 3, "WARN"},
		{"reset", says{0, ``, io.EOF}, purchase.Sale{}, fault.Unavailable, 3, "WARN"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &script{answers: []says{c.says}}
			var l log
			got, err := only(scripted(t, s, clock.Fixed(now), &l).Look(t.Context(), proof))
			if diff := cmp.Diff(c.want, got); diff != "" || !errors.Is(err, c.err) {
				t.Errorf("got the error %v, want %v; sale: want -, got +\n%s", err, c.err, diff)
			}
			wantCode := map[error]string{nil: "", fault.Invalid: "invalid_purchase", fault.NotFound: "invalid_purchase", fault.Unavailable: "store_unavailable"}[c.err]
			if fault.Code(err) != wantCode {
				t.Errorf("got the code %q, want %q", fault.Code(err), wantCode)
			}
			if s.asked != c.asked {
				t.Errorf("got %d requests, want %d", s.asked, c.asked)
			}
			if !strings.Contains(l.String(), `"level":"`+c.level+`"`) {
				t.Errorf("got the log %s, want a line at %s", l.String(), c.level)
			}
			silent(t, &l, fmt.Sprint(err))
		})
	}
}

func TestProductThatTheAppNamesIsCompared(t *testing.T) {
	for _, status := range []string{"PAYMENT_COMPLETED", "PURCHASED", "REFUNDED", "FAILED", "ORDER_IN_PROGRESS"} {
		for sku, want := range map[string]error{"": nil, "gems-100": nil, "premium-1month": fault.Invalid, "GEMS-100": fault.Invalid} {
			p := proof
			p.SKU = sku
			s := &script{answers: []says{success(status, `,"sku":"gems-100"`)}}
			got, err := only(scripted(t, s, clock.Fixed(now), &log{}).Look(t.Context(), p))
			if !errors.Is(err, want) || (err == nil && got.SKU != "gems-100") {
				t.Errorf("%s, app says %q: got %+v, %v, want %v and the store's sku", status, sku, got, err, want)
			}
		}
	}
}

func TestOrderIsAskedAboutUntilItIsDefinite(t *testing.T) {
	progress, missing, down := success("ORDER_IN_PROGRESS", ""), success("NOT_FOUND", ""), says{503, "", nil}
	limited := failure("FAIL", "4095", `{"retryAfterSeconds":"2"}`)
	for _, c := range []struct {
		name    string
		answers []says
		want    purchase.SaleState
		err     error
		asked   int
	}{
		{"paid after a while", []says{progress, progress, progress, paid}, purchase.Paid, nil, 4},
		{"known after a while", []says{missing, missing, missing, missing, missing, paid}, purchase.Paid, nil, 6},
		{"up after a while", []says{down, down, paid}, purchase.Paid, nil, 3},
		{"let in after a while", []says{limited, limited, limited, paid}, purchase.Paid, nil, 4},
		{"everything", []says{missing, down, progress, limited, down, progress, paid}, purchase.Paid, nil, 7},
		{"in progress, then down", []says{progress, down}, purchase.Pending, nil, 4},
		{"in progress, then not known", []says{progress, missing}, purchase.Pending, nil, 30},
		{"not known, then down", []says{missing, missing, down}, "", fault.Unavailable, 5},
		{"failed after a while", []says{progress, success("FAILED", "")}, purchase.Failed, nil, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &script{answers: c.answers}
			got, err := only(scripted(t, s, clock.Fixed(now), &log{}).Look(t.Context(), proof))
			if got.State != c.want || !errors.Is(err, c.err) || s.asked != c.asked {
				t.Errorf("got %q, %v after %d requests, want %q, %v after %d", got.State, err, s.asked, c.want, c.err, c.asked)
			}
		})
	}
}

func TestFieldThatTheStoreRefusesIsTheOrderOrTheMissingUser(t *testing.T) {
	for _, c := range []struct {
		evidence, userKey string
		want              error
	}{
		{order, userKey, fault.Invalid},
		{"not-a-uuid", userKey, fault.Invalid},
		{"not-a-uuid", "", fault.Invalid},
		{order, "", fault.Unavailable},
	} {
		s := &script{answers: []says{{400, `{"resultType":"FAIL","error":{"errorCode":"400"}}`, nil}}}
		var l log
		_, err := scripted(t, s, clock.Fixed(now), &l).Look(t.Context(), purchase.Proof{Evidence: c.evidence, UserKey: c.userKey})
		if !errors.Is(err, c.want) || s.asked != 1 {
			t.Errorf("%q of user %q: got %v after %d requests, want %v after 1", c.evidence, c.userKey, err, s.asked, c.want)
		}
		if alarm := strings.Contains(l.String(), `"level":"ERROR"`); alarm != errors.Is(c.want, fault.Unavailable) {
			t.Errorf("%q of user %q: got the log %s", c.evidence, c.userKey, l.String())
		}
	}
}

// In a bubble time is exact, so the limits can be too.
func TestLookAnswersASecondBeforeItsDeadline(t *testing.T) {
	hang := roundTrip(func(req *http.Request) (*http.Response, error) {
		<-req.Context().Done()
		return nil, req.Context().Err()
	})
	slow := roundTrip(func(req *http.Request) (*http.Response, error) {
		select {
		case <-time.After(3 * time.Second):
			return (&script{answers: []says{success("ORDER_IN_PROGRESS", "")}}).RoundTrip(req)
		case <-req.Context().Done():
			return nil, req.Context().Err()
		}
	})
	for _, c := range []struct {
		name     string
		store    http.RoundTripper
		deadline time.Duration // 0 for none
		most     time.Duration
		want     purchase.SaleState
		err      error
	}{
		{"in progress", &script{answers: []says{success("ORDER_IN_PROGRESS", "")}}, 20 * time.Second, 19 * time.Second, purchase.Pending, nil},
		{"in progress, slowly", slow, 20 * time.Second, 19 * time.Second, purchase.Pending, nil},
		{"in progress, no deadline", slow, 0, 25 * time.Second, purchase.Pending, nil},
		{"in progress, late deadline", slow, 5 * time.Minute, 25 * time.Second, purchase.Pending, nil},
		{"silent", hang, 10 * time.Second, 9 * time.Second, "", fault.Unavailable},
		{"silent, no deadline", hang, 0, 16 * time.Second, "", fault.Unavailable},
		{"no time at all", &script{answers: []says{paid}}, time.Second, 0, "", fault.Unavailable},
		{"a word in time", &script{answers: []says{paid}}, 1100 * time.Millisecond, 0, purchase.Paid, nil},
		{"too little to be sure", &script{answers: []says{success("NOT_FOUND", "")}}, 2 * time.Second, time.Second, "", fault.Unavailable},
		{"a wait that does not fit", &script{answers: []says{failure("FAIL", "4095", `{"retryAfterSeconds":20}`)}}, 15 * time.Second, 0, "", fault.Unavailable},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := t.Context(), context.CancelFunc(func() {})
				if c.deadline > 0 {
					ctx, cancel = context.WithTimeout(ctx, c.deadline)
				}
				defer cancel()
				store := scripted(t, c.store, bubble{}, &log{})
				began := time.Now()
				got, err := only(store.Look(ctx, proof))
				if took := time.Since(began); took > c.most {
					t.Errorf("got an answer after %v, want one within %v", took, c.most)
				}
				if got.State != c.want || !errors.Is(err, c.err) {
					t.Errorf("got %q, %v, want %q, %v", got.State, err, c.want, c.err)
				}
			})
		})
	}
}

func TestWordIsAsOldAsItsQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := time.Time{}
		store := scripted(t, roundTrip(func(req *http.Request) (*http.Response, error) {
			asked = time.Now()
			time.Sleep(2 * time.Second)
			return (&script{answers: []says{paid}}).RoundTrip(req)
		}), bubble{}, &log{})
		got, err := only(store.Look(t.Context(), proof))
		if err != nil || !got.AsOf.Equal(asked) {
			t.Errorf("got %v, %v, want the instant of asking, %v", got.AsOf, err, asked)
		}
	})
}

// bubble is the clock of a synctest bubble.
type bubble struct{}

func (bubble) Now() time.Time { return time.Now().UTC() }
func (bubble) Sleep(ctx context.Context, d time.Duration) error {
	return clock.System().Sleep(ctx, d)
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func TestProofThatCannotBeAnOrderIsNotAskedAbout(t *testing.T) {
	spoilt := []purchase.Proof{{Evidence: order, UserKey: "a\nb"}, {Evidence: order, UserKey: strings.Repeat("a", 201)}}
	for _, evidence := range []string{"", "a b", "a/b", "a\n", "주문", strings.Repeat("a", 101), `a"b`} {
		p := purchase.Proof{Evidence: evidence}
		spoilt = append(spoilt, p)
		if got, ok := scripted(t, &script{}, clock.Fixed(now), &log{}).OrderOf(p); ok {
			t.Errorf("OrderOf(%q): got %q, want none", evidence, got)
		}
	}
	for _, p := range spoilt {
		s := &script{answers: []says{paid}}
		if _, err := scripted(t, s, clock.Fixed(now), &log{}).Look(t.Context(), p); !errors.Is(err, fault.Malformed) || s.asked != 0 {
			t.Errorf("%+v: got %v after %d requests, want fault.Malformed after none", p, err, s.asked)
		}
	}
	if got, ok := scripted(t, &script{}, clock.Fixed(now), &log{}).OrderOf(proof); !ok || got != order {
		t.Errorf("OrderOf: got %q, %v, want the order", got, ok)
	}
}

func TestConfigThatCannotWorkIsRefused(t *testing.T) {
	good := appsintoss.Config{URL: "https://apps.example", Certificate: none, Key: none, Clock: clock.Fixed(now), Log: discard}
	if _, err := appsintoss.New(good); err != nil {
		t.Errorf("got %v, want no error", err)
	}
	for field, spoil := range map[string]func(*appsintoss.Config){
		"URL":         func(c *appsintoss.Config) { c.URL = "http://127.0.0.1" },
		"Certificate": func(c *appsintoss.Config) { c.Certificate = nil },
		"Key":         func(c *appsintoss.Config) { c.Key = nil },
		"Clock":       func(c *appsintoss.Config) { c.Clock = nil },
		"Log":         func(c *appsintoss.Config) { c.Log = nil },
		"Timeout":     func(c *appsintoss.Config) { c.Timeout = -1 },
		"CA":          func(c *appsintoss.Config) { c.CA = []byte("no PEM") },
	} {
		config := good
		spoil(&config)
		if _, err := appsintoss.New(config); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: got %v, want an error that names it", field, err)
		}
	}
}

// FuzzAnswer: whatever is answered, an order is paid only if the store says so of it.
func FuzzAnswer(f *testing.F) {
	f.Add(200, paid.body)
	for _, status := range []string{"PURCHASED", "REFUNDED", "FAILED", "ORDER_IN_PROGRESS", "NOT_FOUND", "MINIAPP_MISMATCH", "ERROR"} {
		f.Add(200, success(status, `,"sku":"gems-100"`).body)
	}
	f.Add(200, failure("FAIL", "4095", `{"retryAfterSeconds":1}`).body)
	f.Add(200, `{"resultType":"SUCCESS","success":{"orderId":"another","sku":"gems-100","status":"PURCHASED"}}`)
	f.Add(400, `{}`)
	f.Add(401, ``)
	f.Fuzz(func(t *testing.T, status int, body string) {
		s := &script{answers: []says{{status, body, nil}}}
		got, err := only(scripted(t, s, clock.Fixed(now), io.Discard).Look(t.Context(), proof))
		if s.asked > 30 {
			t.Errorf("%d %q: got %d requests, want at most 30", status, body, s.asked)
		}
		if err != nil {
			if got != (purchase.Sale{}) || fault.Code(err) == "" {
				t.Errorf("%d %q: got %+v, %v, want either", status, body, got, err)
			}
			return
		}
		if status != 200 || got.Order != order || !says200(body, got) {
			t.Errorf("%d %q: got %+v", status, body, got)
		}
	})
}

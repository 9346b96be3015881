package apple_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/apple"
	"grantline/shared/fault"
)

const apiAbout = `"bundleId":"com.example.app","environment":"Production","appAppleId":1234567890`

var (
	apiYes   = true
	apiStart = time.UnixMilli(1698148900123).UTC()
	apiEnd   = time.UnixMilli(1698148950456).UTC()
	apiLast  = `{"status":1,"originalTransactionId":"1000","signedTransactionInfo":"` + apiSigned + `","signedRenewalInfo":"a.b.c","new":{}}`
	apiSent  = `{"signedPayload":"` + apiSigned + `","sendAttempts":[{"attemptDate":1698148900000,"sendAttemptResult":"SUCCESS"},{"attemptDate":1698148950000.5,"sendAttemptResult":"A_NEW_WORD"}]}`
	apiMoved = apple.Extension{Days: 45, Reason: apple.ExtendSatisfaction, RequestID: "fdf964a4-233b-486c-aac1-97d8d52688ac"}
	apiUsed  = 50_000
	apiShort = apple.SentNotification{SignedPayload: apiSigned, Attempts: []apple.SendAttempt{
		{At: time.UnixMilli(1698148900000).UTC(), Result: apple.SendSuccess}, {At: time.UnixMilli(1698148950000).UTC(), Result: "A_NEW_WORD"},
	}}
)

// nothing is the result of an endpoint that only does something.
func nothing(err error) (any, error) { return nil, err }

func some[T any](v T, err error) (any, error) { return v, err }

// endpoint is one endpoint with a request of it, Apple's answer and what that is read as.
type endpoint struct {
	name   string
	call   func(ctx context.Context, a *apple.API, p apple.Place) (any, error)
	method string
	path   string
	query  url.Values
	body   string // JSON, "" for none
	answer turn
	want   any
	empty  bool     // an empty answer is the good one
	bad    []string // answers of status 200 that are none
}

// endpoints are those of the reference, with the names of queries and members as it has
// them.
func endpoints() []endpoint {
	type ctx = context.Context
	ok := says("")
	return []endpoint{
		{
			name: "Get Transaction Info", call: func(c ctx, a *apple.API, p apple.Place) (any, error) { return some(a.Transaction(c, p, apiTID)) },
			method: "GET", path: "/inApps/v1/transactions/" + apiTID, answer: found(), want: apiSigned,
			bad: []string{`{"signedTransactionInfo":""}`, `{"signedTransactionInfo":null}`, `{"signedTransactionInfo":7}`, `{"SignedTransactionInfo":"a.b.c"}`, `{"signedTransactionInfo":"a.b"}`, `{"signedTransactionInfo":"a.b.c","signedTransactionInfo":"a.b.c"}`, `{"signedTransactionInfo":"` + strings.Repeat("a", 64<<10) + `.b.c"}`},
		},
		{
			name: "Finish Transaction", call: func(c ctx, a *apple.API, p apple.Place) (any, error) { return nothing(a.Finish(c, p, apiTID)) },
			method: "POST", path: "/inApps/v1/transactions/" + apiTID + "/finish", answer: ok, empty: true,
		},
		{
			name: "Get Transaction History", call: func(c ctx, a *apple.API, p apple.Place) (any, error) {
				return some(a.History(c, p, apiTID, apple.HistoryQuery{
					Revision: "rev+/=1", Start: apiStart, End: apiEnd, ProductIDs: []string{"com.example.1", "com.example.2"},
					ProductTypes: []apple.ProductFilter{apple.OnlyConsumable, apple.OnlyAutoRenewable}, Descending: true,
					SubscriptionGroups: []string{"sub_group_id", "sub_group_id_2"}, Ownership: apple.FamilyShared, Revoked: &apiYes,
				}))
			},
			method: "GET", path: "/inApps/v2/history/" + apiTID,
			query: url.Values{
				"revision": {"rev+/=1"}, "startDate": {"1698148900123"}, "endDate": {"1698148950456"}, "productId": {"com.example.1", "com.example.2"},
				"productType": {"CONSUMABLE", "AUTO_RENEWABLE"}, "sort": {"DESCENDING"}, "subscriptionGroupIdentifier": {"sub_group_id", "sub_group_id_2"},
				"inAppOwnershipType": {"FAMILY_SHARED"}, "revoked": {"true"},
			},
			answer: says(`{"revision":"rev2","hasMore":true,` + apiAbout + `,"signedTransactions":["` + apiSigned + `","a.b.c"]}`),
			want:   apple.HistoryPage{Signed: []string{apiSigned, "a.b.c"}, Revision: "rev2", HasMore: true},
			bad: []string{
				`{"hasMore":false}`, `{` + apiAbout + `}`, `{` + apiAbout + `,"hasMore":true}`, `{` + apiAbout + `,"hasMore":true,"revision":"rev+/=1"}`,
				`{` + apiAbout + `,"hasMore":"no"}`, `{` + apiAbout + `,"hasMore":false,"signedTransactions":["x"]}`, `{` + apiAbout + `,"hasMore":false,"signedTransactions":[7]}`,
				`{"bundleId":"com.example.app","environment":"Production","appAppleId":"1234567890","hasMore":false}`,
				`{"bundleId":"com.example.app","environment":"Production","appAppleId":1.5,"hasMore":false}`,
				`{"environment":"Production","hasMore":false}`, `{"bundleId":"com.example.app","hasMore":false}`,
				`{"bundleId":"com.example.other","environment":"Production","hasMore":false}`, `{"bundleId":"com.example.app","environment":"Sandbox","hasMore":false}`,
				`{"bundleId":"com.example.app","environment":"Somewhere","hasMore":false}`,
				`{` + apiAbout + `,"hasMore":false,"signedTransactions":["a.b.c"` + strings.Repeat(`,"a.b.c"`, 200) + `]}`,
				`{` + apiAbout + `,"hasMore":true,"revision":"` + strings.Repeat("r", 5000) + `"}`,
			},
		},
		{
			name: "Get All Subscription Statuses", call: func(c ctx, a *apple.API, p apple.Place) (any, error) {
				return some(a.Statuses(c, p, apiTID, apple.StatusActive, apple.StatusRevoked))
			},
			method: "GET", path: "/inApps/v1/subscriptions/" + apiTID, query: url.Values{"status": {"1", "5"}},
			answer: says(`{` + apiAbout + `,"data":[{"subscriptionGroupIdentifier":"sub_group_one","lastTransactions":[` + apiLast + `,` + strings.Replace(apiLast, `"status":1`, `"status":99`, 1) + `]},{"subscriptionGroupIdentifier":"two","lastTransactions":[]}]}`),
			want: []apple.Group{
				{SubscriptionGroupIdentifier: "sub_group_one", Last: []apple.LastTransaction{{1, "1000", apiSigned, "a.b.c"}, {99, "1000", apiSigned, "a.b.c"}}},
				{SubscriptionGroupIdentifier: "two"},
			},
			bad: []string{
				`{` + apiAbout + `}`, `{` + apiAbout + `,"data":null}`, `{"data":[]}`, `{` + apiAbout + `,"data":{}}`,
				`{"bundleId":"com.example.other","environment":"Production","data":[]}`, `{"bundleId":"com.example.app","environment":"Sandbox","data":[]}`,
				`{` + apiAbout + `,"data":[{"lastTransactions":[` + apiLast + `]}]}`,
				`{` + apiAbout + `,"data":[{"subscriptionGroupIdentifier":"one","lastTransactions":[` + strings.Replace(apiLast, `"status":1,`, ``, 1) + `]}]}`,
				`{` + apiAbout + `,"data":[{"subscriptionGroupIdentifier":"one","lastTransactions":[` + strings.Replace(apiLast, `"status":1`, `"status":"1"`, 1) + `]}]}`,
				`{` + apiAbout + `,"data":[{"subscriptionGroupIdentifier":"one","lastTransactions":[` + strings.Replace(apiLast, `"1000"`, `"../1"`, 1) + `]}]}`,
				`{` + apiAbout + `,"data":[{"subscriptionGroupIdentifier":"one","lastTransactions":[` + strings.Replace(apiLast, apiSigned, ``, 1) + `]}]}`,
				`{` + apiAbout + `,"data":[{"subscriptionGroupIdentifier":"one","lastTransactions":[` + strings.Replace(apiLast, `"a.b.c"`, `""`, 1) + `]}]}`,
			},
		},
		{
			name: "Look Up Order ID", call: func(c ctx, a *apple.API, p apple.Place) (any, error) { return some(a.LookUpOrder(c, p, "W002182")) },
			method: "GET", path: "/inApps/v1/lookup/W002182", answer: says(`{"status":1,"signedTransactions":["` + apiSigned + `"]}`),
			want: apple.Invoice{Status: apple.OrderInvalid, Signed: []string{apiSigned}},
			bad:  []string{`{"signedTransactions":[]}`, `{"status":"0"}`, `{"status":0,"signedTransactions":[""]}`},
		},
		{
			name: "Get Refund History", call: func(c ctx, a *apple.API, p apple.Place) (any, error) {
				return some(a.RefundHistory(c, p, apiTID, "revision_input"))
			},
			method: "GET", path: "/inApps/v2/refund/lookup/" + apiTID, query: url.Values{"revision": {"revision_input"}},
			answer: says(`{"signedTransactions":["a.b.c"],"revision":"revision_output","hasMore":false}`),
			want:   apple.HistoryPage{Signed: []string{"a.b.c"}, Revision: "revision_output"},
			bad:    []string{`{"signedTransactions":["a.b.c"]}`, `{"hasMore":true}`, `{"hasMore":true,"revision":"revision_input"}`, `{"hasMore":false,"signedTransactions":"a.b.c"}`},
		},
		{
			name: "Extend a Subscription Renewal Date", call: func(c ctx, a *apple.API, p apple.Place) (any, error) {
				return some(a.ExtendOne(c, p, "4124214", apiMoved))
			},
			method: "PUT", path: "/inApps/v1/subscriptions/extend/4124214",
			body:   `{"extendByDays":45,"extendReasonCode":1,"requestIdentifier":"fdf964a4-233b-486c-aac1-97d8d52688ac"}`,
			answer: says(`{"originalTransactionId":"4124214","webOrderLineItemId":"9993","success":true,"effectiveDate":1698148900000}`),
			want:   apple.Extended{OriginalTransactionID: "4124214", WebOrderLineItemID: "9993", Success: true, EffectiveDate: time.UnixMilli(1698148900000).UTC()},
			bad:    []string{`{"originalTransactionId":"4124214"}`, `{"success":true}`, `{"originalTransactionId":"4124215","success":true}`, `{"originalTransactionId":"4124214","success":true,"effectiveDate":"soon"}`},
		},
		{
			name: "Extend Subscription Renewal Dates for All", call: func(c ctx, a *apple.API, p apple.Place) (any, error) {
				return nothing(a.ExtendAll(c, p, "com.example.productId", []string{"USA", "MEX"}, apiMoved))
			},
			method: "POST", path: "/inApps/v1/subscriptions/extend/mass",
			body:   `{"extendByDays":45,"extendReasonCode":1,"requestIdentifier":"fdf964a4-233b-486c-aac1-97d8d52688ac","productId":"com.example.productId","storefrontCountryCodes":["USA","MEX"]}`,
			answer: turn{status: 202, body: `{"requestIdentifier":"fdf964a4-233b-486c-aac1-97d8d52688ac"}`},
			bad:    []string{`{"requestIdentifier":"another"}`},
		},
		{
			name: "Extend for All, in every storefront", call: func(c ctx, a *apple.API, p apple.Place) (any, error) {
				return nothing(a.ExtendAll(c, p, "com.example.productId", []string{}, apiMoved))
			},
			method: "POST", path: "/inApps/v1/subscriptions/extend/mass",
			body:   `{"extendByDays":45,"extendReasonCode":1,"requestIdentifier":"fdf964a4-233b-486c-aac1-97d8d52688ac","productId":"com.example.productId"}`,
			answer: says(`{"requestIdentifier":"fdf964a4-233b-486c-aac1-97d8d52688ac"}`),
		},
		{
			name: "Get Status of Subscription Renewal Date Extensions", call: func(c ctx, a *apple.API, p apple.Place) (any, error) {
				return some(a.ExtendAllStatus(c, p, "com.example/../a?b", "20fba8a0"))
			},
			method: "GET", path: "/inApps/v1/subscriptions/extend/mass/com.example%2F..%2Fa%3Fb/20fba8a0",
			answer: says(`{"requestIdentifier":"20fba8a0","complete":true,"completeDate":1698148900000,"succeededCount":30,"failedCount":2}`),
			want:   apple.ExtensionProgress{Complete: true, CompleteDate: time.UnixMilli(1698148900000).UTC(), Succeeded: 30, Failed: 2},
			bad: []string{
				`{"requestIdentifier":"20fba8a0"}`, `{"complete":true}`, `{"requestIdentifier":"x","complete":true}`,
				`{"requestIdentifier":"20fba8a0","complete":true,"failedCount":-1}`, `{"requestIdentifier":"20fba8a0","complete":true,"succeededCount":"30"}`,
			},
		},
		{
			name: "Send Consumption Information", call: func(c ctx, a *apple.API, p apple.Place) (any, error) {
				return nothing(a.SendConsumption(c, p, apiTID, apple.Consumption{
					CustomerConsented: true, SampleContentProvided: true, DeliveryStatus: apple.Delivered, Preference: apple.PreferProrated, Percentage: &apiUsed,
				}))
			},
			method: "PUT", path: "/inApps/v2/transactions/consumption/" + apiTID,
			body:   `{"customerConsented":true,"sampleContentProvided":true,"deliveryStatus":"DELIVERED","refundPreference":"GRANT_PRORATED","consumptionPercentage":50000}`,
			answer: turn{status: 202}, empty: true,
		},
		{
			name: "Send Consumption Information, the least", call: func(c ctx, a *apple.API, p apple.Place) (any, error) {
				return nothing(a.SendConsumption(c, p, apiTID, apple.Consumption{CustomerConsented: true, DeliveryStatus: apple.UndeliveredServerOutage, Percentage: new(int)}))
			},
			method: "PUT", path: "/inApps/v2/transactions/consumption/" + apiTID,
			body:   `{"customerConsented":true,"sampleContentProvided":false,"deliveryStatus":"UNDELIVERED_SERVER_OUTAGE","consumptionPercentage":0}`,
			answer: turn{status: 202}, empty: true,
		},
		{
			name: "Set App Account Token", call: func(c ctx, a *apple.API, p apple.Place) (any, error) {
				return nothing(a.SetAppAccountToken(c, p, apiTID, "7389A31A-FB6D-4569-A2A6-DB7D85D84813"))
			},
			method: "PUT", path: "/inApps/v1/transactions/" + apiTID + "/appAccountToken",
			body: `{"appAccountToken":"7389a31a-fb6d-4569-a2a6-db7d85d84813"}`, answer: ok, empty: true,
		},
		{
			name: "Get App Transaction Info", call: func(c ctx, a *apple.API, p apple.Place) (any, error) { return some(a.AppTransaction(c, p, apiTID)) },
			method: "GET", path: "/inApps/v1/transactions/appTransactions/" + apiTID,
			answer: says(`{"signedAppTransactionInfo":"` + apiSigned + `"}`), want: apiSigned,
			bad: []string{`{"signedTransactionInfo":"a.b.c"}`, `{"signedAppTransactionInfo":"no"}`},
		},
		{
			name: "Get Notification History by type", call: func(c ctx, a *apple.API, p apple.Place) (any, error) {
				return some(a.NotificationHistory(c, p, apple.HistoryAsk{Start: apiStart, End: apiEnd, Type: "SUBSCRIBED", Subtype: "INITIAL_BUY", OnlyFailures: true}, "a036bc0e+/="))
			},
			method: "POST", path: "/inApps/v1/notifications/history", query: url.Values{"paginationToken": {"a036bc0e+/="}},
			body:   `{"startDate":1698148900123,"endDate":1698148950456,"notificationType":"SUBSCRIBED","notificationSubtype":"INITIAL_BUY","onlyFailures":true}`,
			answer: says(`{"paginationToken":"57715481","hasMore":true,"notificationHistory":[` + apiSent + `,{"signedPayload":"a.b.c"}]}`),
			want:   apple.NotificationPage{Sent: []apple.SentNotification{apiShort, {SignedPayload: "a.b.c"}}, PaginationToken: "57715481", HasMore: true},
			bad: []string{
				`{"notificationHistory":[]}`, `{"hasMore":true}`, `{"hasMore":true,"paginationToken":"a036bc0e+/="}`, `{"hasMore":false,"notificationHistory":[{}]}`,
				`{"hasMore":false,"notificationHistory":[{"signedPayload":"a.b.c","sendAttempts":[{"attemptDate":"x"}]}]}`,
			},
		},
		{
			name: "Get Notification History of a transaction", call: func(c ctx, a *apple.API, p apple.Place) (any, error) {
				return some(a.NotificationHistory(c, p, apple.HistoryAsk{Start: apiStart, End: apiEnd, TransactionID: "999733843"}, ""))
			},
			method: "POST", path: "/inApps/v1/notifications/history",
			body:   `{"startDate":1698148900123,"endDate":1698148950456,"transactionId":"999733843"}`,
			answer: says(`{"hasMore":false}`), want: apple.NotificationPage{},
		},
		{
			name: "Request a Test Notification", call: func(c ctx, a *apple.API, p apple.Place) (any, error) { return some(a.RequestTest(c, p)) },
			method: "POST", path: "/inApps/v1/notifications/test",
			answer: says(`{"testNotificationToken":"ce3af791-365e-4c60-841b-1674b43c1609_1656711609000"}`), want: "ce3af791-365e-4c60-841b-1674b43c1609_1656711609000",
			bad: []string{`{"testNotificationToken":""}`, `{"testNotificationToken":"a/b"}`},
		},
		{
			name: "Get Test Notification Status", call: func(c ctx, a *apple.API, p apple.Place) (any, error) { return some(a.TestStatus(c, p, "ce3af791_16")) },
			method: "GET", path: "/inApps/v1/notifications/test/ce3af791_16", answer: says(apiSent), want: apiShort,
			bad: []string{`{"sendAttempts":[]}`},
		},
	}
}

func TestEachEndpointIsAskedAsAppleDocumentsIt(t *testing.T) {
	for _, e := range endpoints() {
		t.Run(e.name, func(t *testing.T) {
			s := newAppStore(t, e.answer)
			got, err := e.call(t.Context(), s.api(), inProduction)
			if err != nil {
				t.Fatalf("got %v, want no error", err)
			}
			if diff := cmp.Diff(e.want, got); diff != "" {
				t.Errorf("result (-want +got):\n%s", diff)
			}
			all := s.requests()
			if len(all) != 1 {
				t.Fatalf("got %d requests, want 1", len(all))
			}
			r := all[0]
			if r.environment != apple.Production || r.method != e.method || r.path != e.path {
				t.Errorf("got %s %s %s, want %s %s of Production", r.environment, r.method, r.path, e.method, e.path)
			}
			want := e.query
			if want == nil {
				want = url.Values{}
			}
			if diff := cmp.Diff(want, r.query); diff != "" {
				t.Errorf("query (-want +got):\n%s", diff)
			}
			for name, want := range map[string]string{"Accept": "application/json", "User-Agent": "grantline", "Content-Type": ""} {
				if name == "Content-Type" && e.body != "" {
					want = "application/json"
				}
				if got := r.header.Get(name); got != want {
					t.Errorf("%s: got %q, want %q", name, got, want)
				}
			}
			if e.body == "" && r.body != "" {
				t.Errorf("got the body %s, want none", r.body)
			}
			if e.body != "" {
				var got, want any
				if json.Unmarshal([]byte(r.body), &got) != nil || json.Unmarshal([]byte(e.body), &want) != nil {
					t.Fatalf("got the body %s, want %s", r.body, e.body)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("body (-want +got):\n%s", diff)
				}
			}
			if r.bundle != apiBundle || !signedWith(t, r.token, apiKeys()[0]) {
				t.Errorf("got a token for %q, want one for %q by the key", r.bundle, apiBundle)
			}
			s.silent()
		})
	}
}

// Nothing is granted, revoked or taken for done by an answer that is not whole.
func TestAnswerThatIsNotWhatItShouldBeIsAnOutage(t *testing.T) {
	garbage := []string{`null`, `[]`, `"{}"`, `{"a":`, `<html>` + apiSaying, "{}{}", "{\"a\":\"\xff\"}", `{"a":1,"a":2}`}
	for _, e := range endpoints() {
		t.Run(e.name, func(t *testing.T) {
			bad := append(garbage, e.bad...)
			if !e.empty {
				bad = append(bad, ``, `{}`)
			}
			s := newAppStore(t, found())
			api := s.api()
			for _, body := range bad {
				s.answers(says(body))
				got, err := e.call(t.Context(), api, inProduction)
				if failed := kindIs(t, body, err, fault.Unavailable); failed.Status != 200 || failed.Code != 0 {
					t.Errorf("%s: got %v, want status 200", body, failed)
				}
				if len(s.requests()) != 1 {
					t.Errorf("%s: got %d requests, want 1", body, len(s.requests()))
				}
				if got != nil && !cmp.Equal(got, zero(got)) {
					t.Errorf("%s: got %v beside the error, want nothing", body, got)
				}
				s.silent(err)
			}
		})
	}
}

func zero(v any) any {
	switch v.(type) {
	case string:
		return ""
	case []apple.Group:
		return []apple.Group(nil)
	case apple.HistoryPage:
		return apple.HistoryPage{}
	case apple.Invoice:
		return apple.Invoice{}
	case apple.Extended:
		return apple.Extended{}
	case apple.ExtensionProgress:
		return apple.ExtensionProgress{}
	case apple.NotificationPage:
		return apple.NotificationPage{}
	case apple.SentNotification:
		return apple.SentNotification{}
	}
	return nil
}

// An effect may be answered 200, 202 or 204 where there is nothing to say; a question only
// 200.
func TestOtherSuccessesThanApplesAreAnOutage(t *testing.T) {
	effects := map[string]bool{"POST": true, "PUT": true}
	for _, e := range endpoints() {
		effect := effects[e.method] && !strings.HasPrefix(e.name, "Get ")
		for _, status := range []int{201, 202, 203, 206, 302} {
			s := newAppStore(t, turn{status: status, body: e.answer.body, header: http.Header{"Location": {"/elsewhere"}}})
			_, err := e.call(t.Context(), s.api(), inProduction)
			if effect && status == 202 {
				if err != nil {
					t.Errorf("%s, %d: got %v, want no error", e.name, status, err)
				}
				continue
			}
			_ = kindIs(t, e.name, err, fault.Unavailable)
			if got := len(s.requests()); got != 1 {
				t.Errorf("%s, %d: got %d requests, want 1", e.name, status, got)
			}
		}
	}
}

func TestPlaceChoosesTheHost(t *testing.T) {
	s := newAppStore(t, found())
	api := s.api()
	for _, p := range []apple.Place{inSandbox, inProduction} {
		if _, err := api.Transaction(t.Context(), p, apiTID); err != nil {
			t.Fatal(err)
		}
	}
	if r := s.requests(); r[0].environment != apple.Sandbox || r[1].environment != apple.Production {
		t.Errorf("got %s and %s, want Sandbox and Production", r[0].environment, r[1].environment)
	}
}

func TestWhatCannotBeAskedIsNeverSent(t *testing.T) {
	s := newAppStore(t, found())
	api := s.api()
	type ctx = context.Context
	refuse := func(name string, call func(c ctx) error) {
		t.Helper()
		if err := call(t.Context()); err == nil {
			t.Errorf("%s: got no error, want it refused", name)
		} else {
			_ = kindIs(t, name, err, fault.Malformed)
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("%s: got %v, want nothing of the argument", name, err)
			}
		}
	}
	for _, p := range []apple.Place{
		{},
		{Environment: "Xcode", BundleID: apiBundle},
		{Environment: "LocalTesting", BundleID: apiBundle},
		{Environment: "production", BundleID: apiBundle},
		{Environment: apple.Production},
		{Environment: apple.Production, BundleID: "com.example app"},
		{Environment: apple.Sandbox, BundleID: strings.Repeat("a", 156)},
	} {
		refuse("place", func(c ctx) error { _, err := api.Transaction(c, p, apiTID); return err })
		refuse("place", func(c ctx) error { return api.Finish(c, p, apiTID) })
		refuse("place", func(c ctx) error { _, err := api.RequestTest(c, p); return err })
	}
	p := inProduction
	for _, id := range []string{"", "secret/1", "..", "secret?x", "secret%2F", "secret 1", "sécret", strings.Repeat("1", 65), "secret\n"} {
		for name, call := range map[string]func(c ctx) error{
			"Transaction":   func(c ctx) error { _, err := api.Transaction(c, p, id); return err },
			"Find":          func(c ctx) error { _, _, err := api.Find(c, []string{apiBundle}, id); return err },
			"Finish":        func(c ctx) error { return api.Finish(c, p, id) },
			"History":       func(c ctx) error { _, err := api.History(c, p, id, apple.HistoryQuery{}); return err },
			"Statuses":      func(c ctx) error { _, err := api.Statuses(c, p, id); return err },
			"LookUpOrder":   func(c ctx) error { _, err := api.LookUpOrder(c, p, id); return err },
			"RefundHistory": func(c ctx) error { _, err := api.RefundHistory(c, p, id, ""); return err },
			"ExtendOne":     func(c ctx) error { _, err := api.ExtendOne(c, p, id, apiMoved); return err },
			"ExtendOne request": func(c ctx) error {
				_, err := api.ExtendOne(c, p, apiTID, apple.Extension{Days: 1, RequestID: id})
				return err
			},
			"ExtendAll request": func(c ctx) error { return api.ExtendAll(c, p, "p", nil, apple.Extension{Days: 1, RequestID: id}) },
			"ExtendAllStatus":   func(c ctx) error { _, err := api.ExtendAllStatus(c, p, "p", id); return err },
			"SendConsumption": func(c ctx) error {
				return api.SendConsumption(c, p, id, apple.Consumption{CustomerConsented: true, DeliveryStatus: apple.Delivered})
			},
			"SetAppAccountToken": func(c ctx) error { return api.SetAppAccountToken(c, p, id, apiIssuer) },
			"AppTransaction":     func(c ctx) error { _, err := api.AppTransaction(c, p, id); return err },
			"TestStatus":         func(c ctx) error { _, err := api.TestStatus(c, p, id); return err },
			"NotificationHistory": func(c ctx) error {
				if id == "" {
					id = "/"
				}
				_, err := api.NotificationHistory(c, p, apple.HistoryAsk{Start: apiStart, End: apiEnd, TransactionID: id}, "")
				return err
			},
		} {
			refuse(name, call)
		}
	}
	for _, token := range []string{"", "secret", "7389a31afb6d4569a2a6db7d85d84813", "7389a31a-fb6d-4569-a2a6-db7d85d8481g", "7389a31a-fb6d-4569-a2a6-db7d85d84813 "} {
		refuse("account token", func(c ctx) error { return api.SetAppAccountToken(c, p, apiTID, token) })
	}
	for _, product := range []string{"", ".", "..", "com.secret/a b", "secret\x00", "sécret", strings.Repeat("p", 256)} {
		refuse("product", func(c ctx) error { return api.ExtendAll(c, p, product, nil, apiMoved) })
		refuse("product", func(c ctx) error { _, err := api.ExtendAllStatus(c, p, product, "id"); return err })
	}
	for _, e := range []apple.Extension{{Days: 0, RequestID: "id"}, {Days: 91, RequestID: "id"}, {Days: 1, Reason: -1, RequestID: "id"}, {Days: 1, Reason: 4, RequestID: "id"}} {
		refuse("extension", func(c ctx) error { _, err := api.ExtendOne(c, p, apiTID, e); return err })
		refuse("extension", func(c ctx) error { return api.ExtendAll(c, p, "p", nil, e) })
	}
	refuse("storefront", func(c ctx) error { return api.ExtendAll(c, p, "p", []string{"USA", "US"}, apiMoved) })
	refuse("storefronts", func(c ctx) error {
		return api.ExtendAll(c, p, "p", strings.Fields(strings.Repeat("USA ", 301)), apiMoved)
	})
	refuse("history backwards", func(c ctx) error {
		_, err := api.History(c, p, apiTID, apple.HistoryQuery{Start: apiEnd, End: apiStart})
		return err
	})
	long := strings.Repeat("r", 5000)
	refuse("revision", func(c ctx) error { _, err := api.History(c, p, apiTID, apple.HistoryQuery{Revision: long}); return err })
	refuse("revision", func(c ctx) error { _, err := api.RefundHistory(c, p, apiTID, long); return err })
	refuse("UTF-8", func(c ctx) error {
		_, err := api.NotificationHistory(c, p, apple.HistoryAsk{Start: apiStart, End: apiEnd, Type: "\xff"}, "")
		return err
	})
	for name, ask := range map[string]apple.HistoryAsk{
		"no start": {End: apiEnd}, "no end": {Start: apiStart}, "backwards": {Start: apiEnd, End: apiStart}, "empty": {Start: apiEnd, End: apiEnd},
		"subtype alone": {Start: apiStart, End: apiEnd, Subtype: "INITIAL_BUY"}, "two filters": {Start: apiStart, End: apiEnd, Type: "TEST", TransactionID: "1"},
	} {
		refuse(name, func(c ctx) error { _, err := api.NotificationHistory(c, p, ask, ""); return err })
	}
	refuse("token", func(c ctx) error {
		_, err := api.NotificationHistory(c, p, apple.HistoryAsk{Start: apiStart, End: apiEnd}, long)
		return err
	})
	refuse("no bundle ids", func(c ctx) error { _, _, err := api.Find(c, nil, apiTID); return err })
	refuse("many bundle ids", func(c ctx) error { _, _, err := api.Find(c, make([]string, 17), apiTID); return err })
	refuse("a bundle id", func(c ctx) error { _, _, err := api.Find(c, []string{""}, apiTID); return err })
	if got := len(s.requests()); got != 0 {
		t.Errorf("got %d requests, want none", got)
	}
}

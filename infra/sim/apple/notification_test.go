package apple_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/infra/sim/apple"
	"grantline/infra/sim/stage"
)

// hours are those after the clock's start at which notifications came.
func (p *shop) hours() (list []float64) {
	start := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	for _, a := range p.receiver.Arrivals() {
		list = append(list, a.At.Sub(start).Hours())
	}
	return list
}

// history is a page of the notification history of all that was.
func (p *shop) history(prefix, filter, page string) (names, results []string, answer map[string]any) {
	p.t.Helper()
	now := p.clock.Now()
	body := fmt.Sprintf(`{"startDate":%d,"endDate":%d%s}`, now.AddDate(0, 0, -29).UnixMilli(), now.Add(time.Second).UnixMilli(), filter)
	answer = p.asks("POST", prefix+"/inApps/v1/notifications/history"+page, body, 200, 0)
	names, results = []string{}, []string{}
	for _, item := range answer["notificationHistory"].([]any) {
		i := item.(map[string]any)
		names = append(names, p.payload(i["signedPayload"].(string))["notificationType"].(string))
		line := ""
		for _, attempt := range i["sendAttempts"].([]any) {
			line += attempt.(map[string]any)["sendAttemptResult"].(string) + " "
		}
		results = append(results, strings.TrimSpace(line))
	}
	return names, results, answer
}

func TestNotificationHasApplesForm(t *testing.T) {
	p := newShop(t, apple.Options{})
	bought := p.buy(apple.Purchase{ProductID: "com.example.gems100", Environment: "Sandbox"})
	word := p.wants("ONE_TIME_CHARGE")[0]
	if got := word.arrival.Header.Get("Content-Type"); !strings.HasPrefix(got, "application/json") || word.arrival.Path != "/webhooks/apple" {
		t.Errorf("got %s at %s, want JSON at /webhooks/apple", got, word.arrival.Path)
	}
	fields(t, "payload", word.payload, map[string]any{"version": "2.0", "signedDate": date("2026-03-01"), "subtype": nil, "summary": nil})
	if uuid, _ := word.payload["notificationUUID"].(string); !regexp.MustCompile(`^[0-9a-f-]{36}$`).MatchString(uuid) {
		t.Errorf("notificationUUID: got %q, want a UUID", uuid)
	}
	app := p.Credentials().AppID
	if got := fmt.Sprintf("%.0f", word.data["appAppleId"]); got != app {
		t.Errorf("appAppleId: got %s, want %s", got, app)
	}
	fields(t, "data", word.data, map[string]any{"environment": "Sandbox", "bundleId": "com.example.app", "status": nil, "signedRenewalInfo": nil})
	fields(t, "transaction", word.transaction, map[string]any{"transactionId": bought.TransactionID, "signedDate": date("2026-03-01")})
	p.buy(apple.Purchase{ProductID: "com.example.gems100", BundleID: "com.example.other"})
	p.buy(apple.Purchase{ProductID: "com.example.gems100", Forged: "chain"})
	p.wants() // another app's, and nobody's
	p.must(p.Set(apple.Settings{SandboxPath: "/webhooks/apple/default/sandbox"}))
	p.buy(apple.Purchase{ProductID: "com.example.gems100", Environment: "Sandbox"})
	p.buy(apple.Purchase{ProductID: "com.example.gems100"})
	list := p.wants("ONE_TIME_CHARGE", "ONE_TIME_CHARGE")
	if list[0].arrival.Path != "/webhooks/apple/default/sandbox" || list[1].arrival.Path != "/webhooks/apple" {
		t.Errorf("got %s and %s, want the sandbox's own path and production's", list[0].arrival.Path, list[1].arrival.Path)
	}
}

func TestNotificationIsRepeatedAtApplesTimesWithTheSameBytes(t *testing.T) {
	for _, c := range []struct {
		name   string
		status int
		set    apple.Settings
		buy    apple.Purchase
		want   []float64
	}{
		{"production", 503, apple.Settings{}, apple.Purchase{}, []float64{0, 1, 13, 37, 85, 157}},
		{"redirected", 302, apple.Settings{}, apple.Purchase{}, []float64{0, 1, 13, 37, 85, 157}},
		{"207", 207, apple.Settings{}, apple.Purchase{}, []float64{0, 1, 13, 37, 85, 157}},
		{"401", 401, apple.Settings{}, apple.Purchase{}, []float64{0, 1, 13, 37, 85, 157}},
		{"400", 400, apple.Settings{}, apple.Purchase{}, []float64{0}},
		{"400 as of old", 400, apple.Settings{RetryBadRequest: ptr(true)}, apple.Purchase{}, []float64{0, 1, 13, 37, 85, 157}},
		{"sandbox", 503, apple.Settings{}, apple.Purchase{Environment: "Sandbox"}, []float64{0}},
		{"206", 206, apple.Settings{}, apple.Purchase{}, []float64{0}},
	} {
		p := newShop(t, apple.Options{})
		p.must(p.Set(c.set))
		p.receiver.Answer(c.status)
		c.buy.ProductID = "com.example.gems100"
		id := p.buy(c.buy).TransactionID
		p.advance(time.Minute)
		p.must(p.Refund(apple.Refund{TransactionID: id})) // must not show in repeats
		p.days(20)
		var first [][]byte
		for _, a := range p.receiver.Arrivals() {
			if !slices.ContainsFunc(first, func(known []byte) bool { return bytes.Equal(known, a.Raw) }) {
				first = append(first, a.Raw)
			}
		}
		if len(first) != 2 {
			t.Errorf("%s: got %d different bodies, want two: of the purchase and of the refund", c.name, len(first))
		}
		var hours []float64
		for i, a := range p.receiver.Arrivals() {
			if bytes.Equal(a.Raw, first[0]) {
				hours = append(hours, p.hours()[i])
			}
		}
		if diff := cmp.Diff(c.want, hours); diff != "" {
			t.Errorf("%s: hours differ (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestWhatWasLostIsInTheHistoryAsAFailure(t *testing.T) {
	p := newShop(t, apple.Options{})
	p.must(p.ScriptWebhook(stage.Fate{How: stage.Drop, Type: "SUBSCRIBED.INITIAL_BUY"}))
	id := p.subscribe(apple.Purchase{}).TransactionID
	gems := p.buy(apple.Purchase{ProductID: "com.example.gems100"}).TransactionID
	p.must(p.ScriptWebhook(stage.Fate{How: stage.Delay, Delay: stage.Duration(time.Hour)}))
	p.must(p.Decline(apple.Held{TransactionID: gems}))
	p.wants("ONE_TIME_CHARGE")
	p.receiver.Answer(500)
	p.must(p.SetAutoRenew(apple.AutoRenew{TransactionID: id}))
	p.advance(time.Minute)
	type page struct{ names, results []string }
	for filter, want := range map[string]page{
		"": {
			[]string{"SUBSCRIBED", "ONE_TIME_CHARGE", "REFUND_DECLINED", "DID_CHANGE_RENEWAL_STATUS"},
			[]string{"TIMED_OUT", "SUCCESS", "", "UNSUCCESSFUL_HTTP_RESPONSE_CODE"},
		},
		`,"onlyFailures":true`: {
			[]string{"SUBSCRIBED", "DID_CHANGE_RENEWAL_STATUS"}, []string{"TIMED_OUT", "UNSUCCESSFUL_HTTP_RESPONSE_CODE"},
		},
		`,"transactionId":"` + gems + `"`:                                      {[]string{"ONE_TIME_CHARGE", "REFUND_DECLINED"}, []string{"SUCCESS", ""}},
		`,"notificationType":"ONE_TIME_CHARGE"`:                                {[]string{"ONE_TIME_CHARGE"}, []string{"SUCCESS"}},
		`,"notificationType":"SUBSCRIBED","notificationSubtype":"INITIAL_BUY"`: {[]string{"SUBSCRIBED"}, []string{"TIMED_OUT"}},
		`,"notificationType":"EXPIRED","notificationSubtype":"VOLUNTARY"`:      {[]string{}, []string{}},
	} {
		names, results, _ := p.history("", filter, "")
		if diff := cmp.Diff([][]string{want.names, want.results}, [][]string{names, results}); diff != "" {
			t.Errorf("%q: history differs (-want +got):\n%s", filter, diff)
		}
	}
	if names, _, _ := p.history("/sandbox", "", ""); len(names) != 0 {
		t.Errorf("sandbox: got %v, want none of production's", names)
	}
	p.receiver.Answer(200)
	p.advance(2 * time.Hour)
	if names, _, _ := p.history("", `,"onlyFailures":true`, ""); len(names) != 1 || names[0] != "SUBSCRIBED" {
		t.Errorf("after a repeat: got %v, want what was dropped alone", names)
	}
}

func TestHistoryOfNotificationsHasPagesAndRules(t *testing.T) {
	p := newShop(t, apple.Options{})
	p.receiver.Answer(500)
	for range 45 {
		p.buy(apple.Purchase{ProductID: "com.example.gems100", Environment: "Sandbox"})
	}
	p.advance(time.Second)
	var all []any
	page, sizes := "", []int{}
	for {
		_, _, answer := p.history("/sandbox", `,"onlyFailures":true`, page)
		items := answer["notificationHistory"].([]any)
		all, sizes = append(all, items...), append(sizes, len(items))
		if answer["hasMore"] != true {
			break
		}
		page = "?paginationToken=" + answer["paginationToken"].(string)
		if len(sizes) > 5 {
			t.Fatal("got pages without end, want three")
		}
	}
	if diff := cmp.Diff([]int{20, 20, 5}, sizes); diff != "" {
		t.Errorf("sizes of pages differ (-want +got):\n%s", diff)
	}
	seen := map[string]bool{}
	for _, item := range all {
		seen[item.(map[string]any)["signedPayload"].(string)] = true
	}
	if len(seen) != 45 {
		t.Errorf("got %d different notifications, want 45", len(seen))
	}
	now := p.clock.Now()
	at := func(days int) string { return fmt.Sprint(now.AddDate(0, 0, days).UnixMilli()) }
	const path = "/inApps/v1/notifications/history"
	for _, c := range []struct {
		prefix, body string
		code         int64
	}{
		{"", `[`, 4000000},
		{"", `{"endDate":` + at(0) + `}`, 4000015},
		{"", `{"startDate":` + at(-1) + `}`, 4000016},
		{"", `{"startDate":` + at(0) + `,"endDate":` + at(0) + `}`, 4000013},
		{"", `{"startDate":` + at(-181) + `,"endDate":` + at(0) + `}`, 4000012},
		{"/sandbox", `{"startDate":` + at(-31) + `,"endDate":` + at(0) + `}`, 4000012},
		{"", `{"startDate":` + at(-1) + `,"endDate":` + at(0) + `,"transactionId":"1","notificationType":"TEST"}`, 4000019},
		{"", `{"startDate":` + at(-1) + `,"endDate":` + at(0) + `,"notificationType":"PARTY"}`, 4000018},
		{"", `{"startDate":` + at(-1) + `,"endDate":` + at(0) + `,"notificationSubtype":"UPGRADE"}`, 4000018},
		{"", `{"startDate":` + at(-1) + `,"endDate":` + at(0) + `,"transactionId":"x"}`, 4000006},
	} {
		p.asks("POST", c.prefix+path, c.body, 400, c.code)
	}
	good := `{"startDate":` + at(-179) + `,"endDate":` + at(0) + `}`
	p.asks("POST", path, good, 200, 0)
	p.asks("POST", path+"?paginationToken=x", good, 400, 4000014)
	p.asks("POST", path+page, good, 400, 4000014) // of another question
}

func TestTestNotificationTellsWhatBecameOfIt(t *testing.T) {
	p := newShop(t, apple.Options{})
	token := p.asks("POST", "/sandbox/inApps/v1/notifications/test", "", 200, 0)["testNotificationToken"].(string)
	path := "/sandbox/inApps/v1/notifications/test/"
	p.asks("GET", path+token, "", 404, 4040008) // not tried yet
	word := p.wants("TEST")[0]
	fields(t, "test", word.data, map[string]any{"environment": "Sandbox", "bundleId": "com.example.app", "signedTransactionInfo": nil})
	answer := p.asks("GET", path+token, "", 200, 0)
	if got := p.payload(answer["signedPayload"].(string))["notificationUUID"]; got != word.payload["notificationUUID"] {
		t.Errorf("got notification %v, want %v", got, word.payload["notificationUUID"])
	}
	attempts := answer["sendAttempts"].([]any)
	fields(t, "attempt", attempts[0].(map[string]any), map[string]any{"sendAttemptResult": "SUCCESS", "attemptDate": date("2026-03-01")})
	p.asks("GET", "/inApps/v1/notifications/test/"+token, "", 404, 4040008)
	p.asks("GET", path+"x", "", 400, 4000020)
	p.must(p.Set(apple.Settings{Released: ptr(false)}))
	p.asks("POST", "/sandbox/inApps/v1/notifications/test", "", 200, 0)
}

func TestTestWithoutAnAddressIsRefused(t *testing.T) {
	p := newShop(t, apple.Options{})
	silent := apple.New(apple.Options{Now: p.clock.Now, At: p.clock.At})
	t.Cleanup(silent.Close)
	p.Simulator, p.server.Config.Handler = silent, silent
	p.asks("POST", "/inApps/v1/notifications/test", "", 404, 4040007)
	p.buy(apple.Purchase{ProductID: "com.example.gems100"})
	if names, _, _ := p.history("", "", ""); len(names) != 0 {
		t.Errorf("history: got %v, want none", names)
	}
}

func TestAnyNotificationCanBeSent(t *testing.T) {
	p := newShop(t, apple.Options{})
	id := p.subscribe(apple.Purchase{}).TransactionID
	p.wants("SUBSCRIBED.INITIAL_BUY")
	for _, c := range []struct {
		notice apple.Notice
		member string // where the app is named
	}{
		{apple.Notice{Type: "METADATA_UPDATE", TransactionID: id}, "data"},
		{apple.Notice{Type: "MIGRATION", TransactionID: id}, "data"},
		{apple.Notice{Type: "MIGRATE", TransactionID: id}, "data"},
		{apple.Notice{Type: "PRICE_CHANGE", Subtype: "PENDING", TransactionID: id}, "data"},
		{apple.Notice{Type: "NEVER_HEARD_OF", Subtype: "EITHER", TransactionID: id}, "data"},
		{apple.Notice{Type: "TEST"}, "data"},
		{apple.Notice{Type: "RESCIND_CONSENT", TransactionID: id}, "appData"},
		{apple.Notice{Type: "RENEWAL_EXTENSION", Subtype: "SUMMARY"}, "summary"},
		{apple.Notice{Type: "EXTERNAL_PURCHASE_TOKEN", Subtype: "CREATED", Environment: "Sandbox"}, "externalPurchaseToken"},
	} {
		uuid, err := p.Notify(c.notice)
		if err != nil {
			t.Fatalf("%+v: got %v, want it sent", c.notice, err)
		}
		name := c.notice.Type
		if c.notice.Subtype != "" {
			name += "." + c.notice.Subtype
		}
		word := p.wants(name)[0]
		var members []string
		for _, member := range []string{"data", "summary", "externalPurchaseToken", "appData"} {
			if word.payload[member] != nil {
				members = append(members, member)
			}
		}
		if diff := cmp.Diff([]string{c.member}, members); diff != "" || word.payload["notificationUUID"] != uuid {
			t.Errorf("%s: UUID %v, members differ (-want +got):\n%s", name, word.payload["notificationUUID"], diff)
		}
		about, _ := word.payload[c.member].(map[string]any)
		fields(t, name, about, map[string]any{"bundleId": "com.example.app"})
		switch {
		case c.member == "data" && c.notice.TransactionID != "" && word.transaction["transactionId"] != id:
			t.Errorf("%s: got no transaction, want %s", name, id)
		case c.member == "appData":
			fields(t, name, p.payload(about["signedAppTransactionInfo"].(string)), map[string]any{"receiptType": "Production"})
		case c.member == "externalPurchaseToken":
			if token, _ := about["externalPurchaseId"].(string); !strings.HasPrefix(token, "SANDBOX") {
				t.Errorf("%s: got %q, want the sandbox's", name, token)
			}
		}
	}
	for _, bad := range []apple.Notice{{}, {Type: "TEST", Environment: "Xcode"}, {Type: "REFUND", TransactionID: "9"}} {
		if _, err := p.Notify(bad); err == nil {
			t.Errorf("%+v: got it sent, want it refused", bad)
		}
	}
	if _, err := newStore(t, apple.Options{}).Notify(apple.Notice{Type: "TEST"}); err == nil {
		t.Error("without an address: got it sent, want it refused")
	}
}

func TestForgedNotificationIsWrongInOneWayAndAnswersWhatItGot(t *testing.T) {
	p := newShop(t, apple.Options{})
	id := p.subscribe(apple.Purchase{}).TransactionID
	p.wants("SUBSCRIBED.INITIAL_BUY")
	p.receiver.Answer(401)
	x5c := func(token string) string {
		var header struct{ X5C []string }
		text, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[0])
		p.must(err)
		p.must(json.Unmarshal(text, &header))
		return header.X5C[2]
	}
	ours := p.Authority().X5C()[2]
	claims := func(token string) (c map[string]any) {
		text, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
		p.must(err)
		p.must(json.Unmarshal(text, &c))
		return c
	}
	for _, how := range []string{"chain", "signature", "payload", "bundle", "app", "environment", "inner", "innerChain"} {
		before := len(p.receiver.Arrivals())
		status, err := p.Forge(t.Context(), apple.Forgery{TransactionID: id, How: how})
		if err != nil || status != 401 {
			t.Errorf("%s: got %d, %v; want 401", how, status, err)
		}
		all := p.receiver.Arrivals()
		if len(all) != before+1 {
			t.Fatalf("%s: got %d arrivals, want one", how, len(all)-before)
		}
		token := all[before].Body["signedPayload"].(string)
		payload := claims(token)
		data := payload["data"].(map[string]any)
		inner := data["signedTransactionInfo"].(string)
		got := map[string]bool{
			"chain": x5c(token) != ours, "bundle": data["bundleId"] != "com.example.app", "environment": data["environment"] != "Production",
			"app":   fmt.Sprintf("%.0f", data["appAppleId"]) != p.Credentials().AppID,
			"inner": claims(inner)["bundleId"] != "com.example.app", "innerChain": x5c(inner) != ours,
			"payload": payload["notificationType"] != "DID_RENEW", "signature": how == "signature",
		}
		for name, wrong := range got {
			if wrong != (name == how) {
				t.Errorf("%s: %s wrong: got %t, want %t", how, name, wrong, name == how)
			}
		}
		if how != "chain" && how != "signature" && how != "payload" {
			p.payload(token)
		}
	}
	p.seen = len(p.receiver.Arrivals())
	p.days(20)
	p.wants() // none is repeated
	if names, _, _ := p.history("", `,"onlyFailures":true`, ""); len(names) != 0 {
		t.Errorf("history: got %v, want no forgeries", names)
	}
	for _, bad := range []apple.Forgery{{TransactionID: id, How: "smell"}, {TransactionID: "9", How: "chain"}} {
		if _, err := p.Forge(t.Context(), bad); err == nil {
			t.Errorf("%+v: got it sent, want it refused", bad)
		}
	}
}

func TestAppHoldsReceiptsThatNameTheTransaction(t *testing.T) {
	p := newShop(t, apple.Options{})
	id := p.subscribe(apple.Purchase{}).TransactionID
	got, err := p.Held(apple.Held{TransactionID: id})
	if err != nil || got.TransactionID != id {
		t.Fatalf("got %+v, %v; want what the app has of %s", got, err, id)
	}
	fields(t, "app", p.payload(got.SignedAppTransaction), map[string]any{"receiptType": "Production"})
	fields(t, "renewal", p.payload(got.SignedRenewalInfo), map[string]any{"originalTransactionId": id})
	der, err := base64.StdEncoding.DecodeString(got.Receipt)
	if err != nil || der[0] != 0x30 {
		t.Fatalf("receipt: got %v, want base64 of DER", err)
	}
	// Attribute 1703, version 1, an OCTET STRING of the UTF8String.
	attribute := append([]byte{0x02, 0x02, 0x06, 0xa7, 0x02, 0x01, 0x01, 0x04, byte(len(id) + 2), 0x0c, byte(len(id))}, id...)
	if !bytes.Contains(der, attribute) {
		t.Error("receipt: got no attribute 1703 with the transactionId, want one")
	}
	text, err := base64.StdEncoding.DecodeString(got.TransactionReceipt)
	if err != nil {
		t.Fatal(err)
	}
	info := regexp.MustCompile(`"purchase-info"\s+=\s+"([a-zA-Z0-9+/=]+)";`).FindSubmatch(text)
	if info == nil {
		t.Fatalf("transaction receipt: got %s, want a purchase-info", text)
	}
	plain, err := base64.StdEncoding.DecodeString(string(info[1]))
	if err != nil || !strings.Contains(string(plain), `"transaction-id" = "`+id+`";`) {
		t.Errorf("purchase-info: got %s, %v; want the transaction-id", plain, err)
	}
}

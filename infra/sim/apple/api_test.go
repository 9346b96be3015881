package apple_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/infra/sim/apple"
	"grantline/infra/sim/stage"
)

// ids are the transactionIds of signed transactions, which carry the time of the question.
func (p *shop) ids(answer map[string]any) []string {
	p.t.Helper()
	list := []string{}
	signed, _ := answer["signedTransactions"].([]any)
	for _, s := range signed {
		t := p.payload(s.(string))
		if t["signedDate"] != p.millis() {
			p.t.Errorf("signedDate: got %v, want that of the question", t["signedDate"])
		}
		list = append(list, t["transactionId"].(string))
	}
	return list
}

func TestEveryEndpointWantsATokenAndAFreePlace(t *testing.T) {
	for _, c := range []struct{ endpoint, method, path, body string }{
		{apple.Transaction, "GET", "/inApps/v1/transactions/1", ""},
		{apple.Finish, "POST", "/inApps/v1/transactions/1/finish", ""},
		{apple.History, "GET", "/inApps/v1/history/1", ""},
		{apple.History, "GET", "/inApps/v2/history/1", ""},
		{apple.Statuses, "GET", "/inApps/v1/subscriptions/1", ""},
		{apple.Order, "GET", "/inApps/v1/lookup/M1", ""},
		{apple.RefundHistory, "GET", "/inApps/v2/refund/lookup/1", ""},
		{apple.ExtendOne, "PUT", "/inApps/v1/subscriptions/extend/1", "{}"},
		{apple.ExtendAll, "POST", "/inApps/v1/subscriptions/extend/mass", "{}"},
		{apple.ExtendStatus, "GET", "/inApps/v1/subscriptions/extend/mass/p/6f2b7c1e-2a53-4a53-9c0f-6d6f0f6b2f10", ""},
		{apple.Consumption, "PUT", "/inApps/v1/transactions/consumption/1", "{}"},
		{apple.Consumption, "PUT", "/inApps/v2/transactions/consumption/1", "{}"},
		{apple.AccountToken, "PUT", "/inApps/v1/transactions/1/appAccountToken", "{}"},
		{apple.AppTransaction, "GET", "/inApps/v1/transactions/appTransactions/1", ""},
		{apple.Notifications, "POST", "/inApps/v1/notifications/history", "{}"},
		{apple.TestNotification, "POST", "/inApps/v1/notifications/test", ""},
		{apple.TestStatus, "GET", "/inApps/v1/notifications/test/x", ""},
	} {
		p := newShop(t, apple.Options{})
		if status, _, _, err := p.get("/sandbox"+c.path, ""); c.method == "GET" && (err != nil || status != 401) {
			t.Errorf("%s without a token: got %d, %v; want 401", c.path, status, err)
		}
		for _, prefix := range []string{"", "/sandbox"} {
			p.must(p.RateLimit(apple.Busy{Endpoint: c.endpoint, RetryAfter: stage.Duration(time.Minute)}))
			status, answer, header := p.call(c.method, prefix+c.path, c.body)
			if again, err := strconv.ParseInt(header.Get("Retry-After"), 10, 64); err != nil || float64(again) != p.millis()+60_000 || status != 429 || answer["errorCode"] != 4290000.0 {
				t.Errorf("%s busy: got %d %v, Retry-After %q; want 429, 4290000 and a minute from now in milliseconds", c.path, status, answer, header.Get("Retry-After"))
			}
			p.must(p.Fail(apple.Failure{Endpoint: c.endpoint, ErrorCode: 5000001}))
			p.asks(c.method, prefix+c.path, c.body, 500, 5000001)
			p.must(p.Fault(stage.Fault{Endpoint: c.endpoint, When: stage.Before, How: stage.Error}))
			p.asks(c.method, prefix+c.path, c.body, 500, 5000000)
		}
		p.must(p.Set(apple.Settings{PerHour: ptr(1)}))
		p.call(c.method, c.path, c.body)
		_, _, header := p.call(c.method, c.path, c.body)
		if got := header.Get("Retry-After"); got != "1772326800000" {
			t.Errorf("%s above the limit: got Retry-After %q, want the next hour, 01:00", c.path, got)
		}
		p.advance(time.Hour)
		if status, _, _ := p.call(c.method, c.path, c.body); status == 429 {
			t.Errorf("%s in the next hour: got 429, want it let in", c.path)
		}
	}
	p := newShop(t, apple.Options{})
	if p.RateLimit(apple.Busy{Endpoint: "charge"}) == nil || p.Fail(apple.Failure{Endpoint: "charge", ErrorCode: 4290000}) == nil {
		t.Error("an endpoint of somebody else: got nil, want it refused")
	}
	p.asks("PUT", "/inApps/v1/transactions/1/elsewhere", "{}", 404, 0)
}

func TestSandboxHasATenthOfTheRate(t *testing.T) {
	p := newShop(t, apple.Options{})
	for range 360 { // one a second, counted by the hour
		p.asks("POST", "/sandbox/inApps/v1/subscriptions/extend/mass", "{}", 400, 4000009)
	}
	p.asks("POST", "/sandbox/inApps/v1/subscriptions/extend/mass", "{}", 429, 4290000)
	p.asks("POST", "/inApps/v1/subscriptions/extend/mass", "{}", 400, 4000009)
}

func TestHistoryComesByPagesAndWhatChangesMeanwhileComesAgain(t *testing.T) {
	p := newShop(t, apple.Options{})
	var all []string
	for range 45 {
		all = append(all, p.buy(apple.Purchase{ProductID: "com.example.gems100", Customer: "park"}).TransactionID)
		p.clock.Advance(time.Second)
	}
	p.buy(apple.Purchase{ProductID: "com.example.gems100", Customer: "kim"})
	p.advance(0)
	path := "/inApps/v2/history/" + all[7]
	first := p.asks("GET", path, "", 200, 0)
	fields(t, "first page", first, map[string]any{"hasMore": true, "bundleId": "com.example.app", "environment": "Production"})
	got := p.ids(first)
	p.must(p.Refund(apple.Refund{TransactionID: all[3]}))
	second := p.asks("GET", path+"?revision="+first["revision"].(string), "", 200, 0)
	third := p.asks("GET", path+"?revision="+second["revision"].(string), "", 200, 0)
	got = append(append(got, p.ids(second)...), p.ids(third)...)
	if diff := cmp.Diff(append(append([]string{}, all...), all[3]), got); diff != "" || third["hasMore"] != false {
		t.Errorf("pages differ, has more %v (-want +got):\n%s", third["hasMore"], diff)
	}
	p.asks("GET", path+"?sort=DESCENDING&revision="+first["revision"].(string), "", 400, 4000005)
	p.asks("GET", path+"?revision=x", "", 400, 4000005)
	down := p.asks("GET", path+"?sort=DESCENDING", "", 200, 0)
	if list := p.ids(down); list[0] != all[3] || list[1] != all[44] || len(list) != 20 {
		t.Errorf("descending: got %v, want the changed one and then the newest", list)
	}
	rest := p.ids(p.asks("GET", path+"?sort=DESCENDING&revision="+down["revision"].(string), "", 200, 0))
	if rest[0] != all[25] {
		t.Errorf("descending, second page: got %s first, want %s", rest[0], all[25])
	}
	later := p.buy(apple.Purchase{ProductID: "com.example.adfree", Customer: "park"}).TransactionID
	if list := p.ids(p.asks("GET", path+"?revision="+third["revision"].(string), "", 200, 0)); len(list) != 1 || list[0] != later {
		t.Errorf("from the last revision: got %v, want what was bought since", list)
	}
}

func TestHistoryIsFiltered(t *testing.T) {
	p := newShop(t, apple.Options{})
	gems := p.buy(apple.Purchase{ProductID: "com.example.gems100", Customer: "park"}).TransactionID
	p.advance(time.Hour)
	hour := int64(p.millis())
	adfree := p.buy(apple.Purchase{ProductID: "com.example.adfree", Customer: "park"}).TransactionID
	rental := p.buy(apple.Purchase{ProductID: "com.example.rental7d", Customer: "park"}).TransactionID
	premium := p.subscribe(apple.Purchase{Customer: "park", Group: "77"}).TransactionID
	shared := p.buy(apple.Purchase{ProductID: "com.example.adfree", Customer: "park", Ownership: "FAMILY_SHARED"}).TransactionID
	p.must(p.Refund(apple.Refund{TransactionID: rental}))
	p.asks("POST", "/inApps/v1/transactions/"+gems+"/finish", "", 200, 0)
	who := p.payload(p.asks("GET", "/inApps/v1/transactions/"+gems, "", 200, 0)["signedTransactionInfo"].(string))["appTransactionId"].(string)
	for filter, want := range map[string][]string{
		"":                       {gems, adfree, premium, shared, rental}, // by when it changed
		"productType=CONSUMABLE": {gems},
		"productType=NON_CONSUMABLE&productType=NON_RENEWABLE": {adfree, shared, rental},
		"productType=AUTO_RENEWABLE":                           {premium},
		"productId=com.example.adfree":                         {adfree, shared},
		"subscriptionGroupIdentifier=77":                       {premium},
		"inAppOwnershipType=FAMILY_SHARED":                     {shared},
		"inAppOwnershipType=PURCHASED&revoked=true":            {rental},
		"revoked=false":                                        {gems, adfree, premium, shared},
		fmt.Sprintf("startDate=%d", hour):                      {adfree, premium, shared, rental},
		fmt.Sprintf("startDate=0&endDate=%d", hour):            {gems},
	} {
		for _, id := range []string{premium, who} {
			got := p.ids(p.asks("GET", "/inApps/v2/history/"+id+"?"+filter, "", 200, 0))
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%q: transactions differ (-want +got):\n%s", filter, diff)
			}
		}
	}
	if got := p.ids(p.asks("GET", "/inApps/v1/history/"+gems+"?productType=CONSUMABLE", "", 200, 0)); len(got) != 0 {
		t.Errorf("version 1: got %v, want no consumable that was finished", got)
	}
	for filter, code := range map[string]int64{
		"startDate=x": 4000015, "endDate=x": 4000016, "startDate=5&endDate=5": 4000013, "sort=UP": 4000021, "productType=GEM": 4000022,
		"productId=%20": 4000023, "subscriptionGroupIdentifier=%20": 4000024, "inAppOwnershipType=STOLEN": 4000026, "revoked=1": 4000030,
	} {
		p.asks("GET", "/inApps/v2/history/"+gems+"?"+filter, "", 400, code)
	}
	p.asks("GET", "/inApps/v2/history/x", "", 400, 4000006)
	p.asks("GET", "/inApps/v2/history/9", "", 404, 4040010)
	p.asks("GET", "/sandbox/inApps/v2/history/"+gems, "", 404, 4040010)
	p.asks("GET", "/sandbox/inApps/v2/history/"+who, "", 400+4, 4040010)
}

func TestRefundHistoryIsInTheOrderOfRefunds(t *testing.T) {
	p := newShop(t, apple.Options{})
	var all, want []string
	for range 23 {
		all = append(all, p.buy(apple.Purchase{ProductID: "com.example.gems100", Customer: "park"}).TransactionID)
	}
	for i := range 22 {
		p.advance(time.Minute)
		p.must(p.Refund(apple.Refund{TransactionID: all[22-i]}))
		want = append(want, all[22-i])
	}
	path := "/inApps/v2/refund/lookup/" + all[0]
	first := p.asks("GET", path, "", 200, 0)
	second := p.asks("GET", path+"?revision="+first["revision"].(string), "", 200, 0)
	if diff := cmp.Diff(want, append(p.ids(first), p.ids(second)...)); diff != "" || first["hasMore"] != true || second["hasMore"] != false {
		t.Errorf("refunds differ, has more %v, %v (-want +got):\n%s", first["hasMore"], second["hasMore"], diff)
	}
	p.asks("GET", path+"?revision=x", "", 400, 4000005)
	p.asks("GET", "/inApps/v2/refund/lookup/9", "", 404, 4040010)
}

func TestStatusesHaveTheLastTransactionOfEachLine(t *testing.T) {
	p := newShop(t, apple.Options{})
	own := p.subscribe(apple.Purchase{Customer: "park"}).TransactionID
	others := p.subscribe(apple.Purchase{}).TransactionID
	shared, err := p.Share(apple.Sharing{TransactionID: others, Customer: "park"})
	p.must(err)
	p.buy(apple.Purchase{ProductID: "com.example.gems100", Customer: "park"})
	p.days(31)
	p.must(p.Refund(apple.Refund{TransactionID: own})) // an older one: no matter
	answer := p.asks("GET", "/inApps/v1/subscriptions/"+own, "", 200, 0)
	groups := answer["data"].([]any)
	if len(groups) != 1 {
		t.Fatalf("got %d groups, want one", len(groups))
	}
	last := groups[0].(map[string]any)["lastTransactions"].([]any)
	if len(last) != 2 {
		t.Fatalf("got %d subscriptions, want their own and the family's", len(last))
	}
	for i, original := range []string{own, shared.TransactionID} {
		e := last[i].(map[string]any)
		now, info := p.payload(e["signedTransactionInfo"].(string)), p.payload(e["signedRenewalInfo"].(string))
		fields(t, original, e, map[string]any{"status": 1.0, "originalTransactionId": original})
		fields(t, original, now, map[string]any{"expiresDate": date("2026-05-01"), "revocationDate": nil, "signedDate": p.millis()})
		fields(t, original, info, map[string]any{"originalTransactionId": original, "signedDate": p.millis()})
	}
	none := p.asks("GET", "/inApps/v1/subscriptions/"+own+"?status=2&status=5", "", 200, 0)
	if got := none["data"].([]any); len(got) != 0 {
		t.Errorf("of status 2 and 5: got %v, want none", got)
	}
	p.asks("GET", "/inApps/v1/subscriptions/"+own+"?status=6", "", 400, 4000031)
	p.asks("GET", "/inApps/v1/subscriptions/9", "", 404, 4040010)
}

func TestInvoiceIsLookedUpInProductionOnly(t *testing.T) {
	p := newShop(t, apple.Options{})
	one := p.buy(apple.Purchase{ProductID: "com.example.gems100", Customer: "park", Order: "MK5TTTVWJH"})
	p.buy(apple.Purchase{ProductID: "com.example.adfree", Customer: "park", Order: "MK5TTTVWJH"})
	single := p.buy(apple.Purchase{ProductID: "com.example.gems100"})
	both := p.asks("GET", "/inApps/v1/lookup/"+one.OrderID, "", 200, 0)
	if got := p.ids(both); both["status"] != 0.0 || len(got) != 2 || got[0] != one.TransactionID {
		t.Errorf("got status %v and %v, want 0 and both", both["status"], got)
	}
	if got := p.ids(p.asks("GET", "/inApps/v1/lookup/"+single.OrderID, "", 200, 0)); len(got) != 1 || got[0] != single.TransactionID {
		t.Errorf("got %v, want the one of that invoice", got)
	}
	fields(t, "unknown", p.asks("GET", "/inApps/v1/lookup/MNONE", "", 200, 0), map[string]any{"status": 1.0, "signedTransactions": nil})
	p.asks("GET", "/sandbox/inApps/v1/lookup/"+one.OrderID, "", 404, 0)
}

func TestAccountTokenIsSetOnAPurchaseAndItsRenewals(t *testing.T) {
	p := newShop(t, apple.Options{})
	id := p.subscribe(apple.Purchase{}).TransactionID
	p.days(31)
	_, renewed, _ := p.status(id)
	path := "/inApps/v1/transactions/" + id + "/appAccountToken"
	const token = "6F2B7C1E-2A53-4A53-9C0F-6D6F0F6B2F10"
	p.asks("PUT", path, `{"appAccountToken":"`+token+`"}`, 200, 0)
	for range 2 {
		_, last, info := p.status(id)
		fields(t, "transaction", last, map[string]any{"appAccountToken": strings.ToLower(token)})
		fields(t, "renewal", info, map[string]any{"appAccountToken": strings.ToLower(token)})
		p.days(31)
	}
	member, err := p.Share(apple.Sharing{TransactionID: id})
	p.must(err)
	body := `{"appAccountToken":"` + token + `"}`
	p.asks("PUT", path, `{"appAccountToken":"42"}`, 400, 4000183)
	p.asks("PUT", path, `{}`, 400, 4000033)
	p.asks("PUT", path, `[`, 400, 4000000)
	p.asks("PUT", "/inApps/v1/transactions/"+renewed["transactionId"].(string)+"/appAccountToken", body, 400, 4000187)
	p.asks("PUT", "/inApps/v1/transactions/"+member.TransactionID+"/appAccountToken", body, 400, 4000185)
	p.asks("PUT", "/inApps/v1/transactions/9/appAccountToken", body, 404, 4040010)
}

func TestAppTransactionSaysWhoHasTheApp(t *testing.T) {
	p := newShop(t, apple.Options{})
	bought := p.buy(apple.Purchase{ProductID: "com.example.gems100", Environment: "Sandbox"})
	answer := p.asks("GET", "/sandbox/inApps/v1/transactions/appTransactions/"+bought.TransactionID, "", 200, 0)
	got := p.payload(answer["signedAppTransactionInfo"].(string))
	fields(t, "app", got, map[string]any{
		"receiptType": "Sandbox", "bundleId": "com.example.app", "receiptCreationDate": p.millis(), "originalPlatform": "iOS",
		"appTransactionId": p.payload(bought.SignedTransaction)["appTransactionId"], "signedDate": nil,
	})
	none := p.buy(apple.Purchase{ProductID: "com.example.gems100", Customer: "without-app-transaction"})
	p.asks("GET", "/inApps/v1/transactions/appTransactions/"+none.TransactionID, "", 404, 4040019)
	p.asks("GET", "/inApps/v1/transactions/appTransactions/9", "", 404, 4040010)
}

func TestFinishIsNotedOnce(t *testing.T) {
	p := newShop(t, apple.Options{})
	id := p.buy(apple.Purchase{ProductID: "com.example.gems100"}).TransactionID
	for range 2 {
		p.asks("POST", "/inApps/v1/transactions/"+id+"/finish", "", 200, 0)
	}
	p.asks("POST", "/inApps/v1/transactions/9/finish", "", 404, 4040010)
	p.asks("POST", "/inApps/v1/transactions/x/finish", "", 400, 4000006)
	if diff := cmp.Diff([]string{"purchased", "finished"}, p.effects()); diff != "" {
		t.Errorf("effects differ (-want +got):\n%s", diff)
	}
}

func TestExtensionHasItsRulesAndItsLimits(t *testing.T) {
	p := newShop(t, apple.Options{})
	id := p.subscribe(apple.Purchase{}).TransactionID
	member, err := p.Share(apple.Sharing{TransactionID: id})
	p.must(err)
	path := "/inApps/v1/subscriptions/extend/"
	body := func(request string) string {
		return `{"extendByDays":30,"extendReasonCode":1,"requestIdentifier":"` + request + `"}`
	}
	for range 2 { // the same request is the same extension
		fields(t, "extended", p.asks("PUT", path+id, body("a"), 200, 0), map[string]any{
			"originalTransactionId": id, "success": true, "effectiveDate": date("2026-05-01"), "webOrderLineItemId": id + "1",
		})
	}
	fields(t, "again", p.asks("PUT", path+id, body("b"), 200, 0), map[string]any{"effectiveDate": date("2026-05-31")})
	p.asks("PUT", path+id, body("c"), 403, 4030005)
	p.asks("PUT", path+member.TransactionID, body("c"), 403, 4030007)
	for bad, code := range map[string]int64{
		`[`: 4000000, `{}`: 4000009, `{"extendByDays":91,"extendReasonCode":1,"requestIdentifier":"a"}`: 4000009,
		`{"extendByDays":0,"extendReasonCode":1,"requestIdentifier":"a"}`: 4000009,
		`{"extendByDays":1,"extendReasonCode":4,"requestIdentifier":"a"}`: 4000010, `{"extendByDays":1,"extendReasonCode":3}`: 4000011,
	} {
		p.asks("PUT", path+id, bad, 400, code)
	}
	p.asks("PUT", path+"x", body("d"), 400, 4000008)
	p.asks("PUT", path+"9", body("d"), 404, 4040005)
	p.asks("PUT", "/sandbox"+path+id, body("d"), 404, 4040005)
	p.must(p.FailBilling(apple.Held{TransactionID: id}))
	p.days(366)
	p.asks("PUT", path+id, body("d"), 403, 4030004)
	free := p.subscribe(apple.Purchase{OfferType: 1, OfferDiscountType: "FREE_TRIAL"}).TransactionID
	p.asks("PUT", path+free, body("d"), 403, 4030004)
}

func TestExtensionOfAllIsDoneLaterAndTold(t *testing.T) {
	p := newShop(t, apple.Options{})
	const product, request = "com.example.premium.monthly", "6f2b7c1e-2a53-4a53-9c0f-6d6f0f6b2f10"
	one := p.subscribe(apple.Purchase{}).TransactionID
	p.subscribe(apple.Purchase{OfferType: 1, OfferDiscountType: "FREE_TRIAL"})
	p.subscribe(apple.Purchase{ProductID: "else"})
	p.subscribe(apple.Purchase{Environment: "Sandbox"})
	p.advance(time.Second)
	p.words()
	path := "/inApps/v1/subscriptions/extend/mass"
	body := `{"extendByDays":7,"extendReasonCode":3,"requestIdentifier":"` + request + `","productId":"` + product + `","storefrontCountryCodes":["KOR"]}`
	for range 2 {
		fields(t, "asked", p.asks("POST", path, body, 200, 0), map[string]any{"requestIdentifier": request})
	}
	fields(t, "waiting", p.asks("GET", path+"/"+product+"/"+request, "", 200, 0), map[string]any{"complete": false, "succeededCount": nil})
	p.advance(time.Hour)
	list := p.wants("RENEWAL_EXTENDED", "RENEWAL_EXTENSION.FAILURE", "RENEWAL_EXTENSION.SUMMARY")
	fields(t, "one", list[0].transaction, map[string]any{"transactionId": one, "expiresDate": date("2026-04-08")})
	summary, _ := list[2].payload["summary"].(map[string]any)
	fields(t, "summary", summary, map[string]any{"succeededCount": 1.0, "failedCount": 1.0, "productId": product, "requestIdentifier": request, "environment": "Production"})
	fields(t, "done", p.asks("GET", path+"/"+product+"/"+request, "", 200, 0), map[string]any{"complete": true, "succeededCount": 1.0, "failedCount": 1.0})
	p.asks("GET", path+"/else/"+request, "", 404, 4040009)
	p.asks("GET", path+"/"+product+"/x", "", 400, 4000011)
	p.asks("POST", path, strings.Replace(body, `["KOR"]`, `[]`, 1), 400, 4000027)
	p.asks("POST", path, strings.Replace(body, `"KOR"`, `"Korea"`, 1), 400, 4000028)
	p.asks("POST", path, strings.Replace(body, product, "", 1), 400, 4000023)
	p.asks("POST", path, strings.Replace(body, request, "a", 1), 400, 4000011)
}

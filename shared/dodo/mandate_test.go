package dodo_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/billing"
	"grantline/shared/fault"
)

// byMethod is a transport that answers by the request's method, without a network.
type byMethod map[string]says

func (b byMethod) RoundTrip(req *http.Request) (*http.Response, error) {
	return b[req.Method].RoundTrip(req)
}

func TestInviteMakesAMandateAndItsPage(t *testing.T) {
	alone := invitation
	alone.OrderID = ""
	known := invitation
	known.Customer = billing.Payer{ID: "cus_7", Email: "x", Name: ""}
	const (
		head    = `{"product_id":"prod_usd","quantity":1,"billing":{"country":"US","city":"San Francisco","state":"CA","street":"1 Market St","zipcode":"94105"},"customer":`
		payer   = `{"email":"payer@company.example","name":"Alex Payer","phone_number":"+1 555 0100"}`
		middle  = `,"payment_link":true,"return_url":"https://company.example/done?x=1","metadata":`
		both    = `{"order_id":"` + order + `","grantline_subscription":"subscription-1"}`
		charged = `,"on_demand":{"mandate_only":false,"product_price":999,"product_currency":"USD","product_description":"Premium, a month","adaptive_currency_fees_inclusive":false}}`
	)
	for name, c := range map[string]struct {
		i    billing.Invitation
		body string
	}{
		"with a first charge": {invitation, head + payer + middle + both + charged},
		"a mandate alone":     {alone, head + payer + middle + `{"grantline_subscription":"subscription-1"},"on_demand":{"mandate_only":true}}`},
		"a known customer":    {known, head + `{"customer_id":"cus_7"}` + middle + both + charged},
	} {
		t.Run(name, func(t *testing.T) {
			s, url, transports := open(t)
			var l log
			g := gateway(t, url, transports["own"], &l)
			got, err := g.Invite(t.Context(), c.i)
			if diff := cmp.Diff(billing.Invited{Mandate: "sub_new_1", Link: payLink}, got); err != nil || diff != "" {
				t.Errorf("got %v; want -, got +\n%s", err, diff)
			}
			if diff := cmp.Diff([]string{"POST /subscriptions"}, s.requests); diff != "" {
				t.Errorf("requests: want -, got +\n%s", diff)
			}
			if diff := cmp.Diff(c.body, s.bodies[0]); diff != "" {
				t.Errorf("body: want -, got +\n%s", diff)
			}
			silent(t, &l)
		})
	}
}

func TestInviteNamesTheFieldAtFault(t *testing.T) {
	g := gateway(t, "https://dodo.example", says{200, `{"subscription_id":"sub_1","payment_link":"https://pay.example/x"}`}, &log{})
	for field, changes := range map[string][]func(*billing.Invitation){
		"id":         {func(i *billing.Invitation) { i.Subscription = "" }, func(i *billing.Invitation) { i.Subscription = "a b" }},
		"orderId":    {func(i *billing.Invitation) { i.OrderID = "short" }},
		"product":    {func(i *billing.Invitation) { i.Product = "" }},
		"price":      {func(i *billing.Invitation) { i.Price.Units = 0 }, func(i *billing.Invitation) { i.Price.Currency = "usd" }},
		"name":       {func(i *billing.Invitation) { i.Name = "" }, func(i *billing.Invitation) { i.Name = strings.Repeat("a", 101) }},
		"customer.i": {func(i *billing.Invitation) { i.Customer.ID = "../x" }},
		"customer.email": {
			func(i *billing.Invitation) { i.Customer.Email = "" }, func(i *billing.Invitation) { i.Customer.Email = "nobody" },
			func(i *billing.Invitation) { i.Customer.Email = "a@b@c.de" }, func(i *billing.Invitation) { i.Customer.Email = "a b@c.de" },
			func(i *billing.Invitation) { i.Customer.Email = "a@c.de\n" }, func(i *billing.Invitation) { i.Customer.Email = "<a@c.de>" },
		},
		"customer.name":  {func(i *billing.Invitation) { i.Customer.Name = " " }, func(i *billing.Invitation) { i.Customer.Name = strings.Repeat("a", 101) }},
		"customer.phone": {func(i *billing.Invitation) { i.Customer.Phone = "call me" }},
		"billing.country": {
			func(i *billing.Invitation) { i.Address.Country = "" }, func(i *billing.Invitation) { i.Address.Country = "us" },
			func(i *billing.Invitation) { i.Address.Country = "USA" },
		},
		"billing.street": {func(i *billing.Invitation) { i.Address.Street = strings.Repeat("a", 201) }},
		"billing.zip":    {func(i *billing.Invitation) { i.Address.Zip = "\xff" }},
		"returnUrl": {
			func(i *billing.Invitation) { i.ReturnURL = "" }, func(i *billing.Invitation) { i.ReturnURL = "/done" },
			func(i *billing.Invitation) { i.ReturnURL = "javascript:alert(1)" }, func(i *billing.Invitation) { i.ReturnURL = "https://a:b@c.de" },
			func(i *billing.Invitation) { i.ReturnURL = "https://c.de/" + strings.Repeat("a", 2000) }, func(i *billing.Invitation) { i.ReturnURL = "https://c.de/ x" },
		},
	} {
		for n, change := range changes {
			i := invitation
			change(&i)
			_, err := g.Invite(t.Context(), i)
			if !errors.Is(err, fault.Invalid) || fault.Code(err) != "invalid_mandate" || !strings.Contains(fmt.Sprint(err), field) {
				t.Errorf("%s, change %d: got %v, want fault.Invalid that names the field", field, n, err)
			}
		}
	}
	if _, err := g.Invite(t.Context(), invitation); err != nil {
		t.Errorf("unchanged: got %v, want no error", err)
	}
}

func TestRefusedInvitationSaysWhoseFaultItIs(t *testing.T) {
	known := invitation
	known.Customer.ID = "cus_7"
	for _, c := range []struct {
		i      billing.Invitation
		status int
		body   string
		kind   error
		code   string
		alarm  bool
	}{
		{invitation, 422, `{"code":"UNSUPPORTED_COUNTRY"}`, fault.Invalid, "gateway_refused", false},
		{invitation, 422, `{"code":"INVALID_REQUEST_BODY"}`, fault.Invalid, "gateway_refused", false},
		{invitation, 409, `{"code":"CUSTOMER_HAS_EXISTING_SUBSCRIPTION"}`, fault.Invalid, "gateway_refused", false},
		{known, 404, `{"code":"NOT_FOUND"}`, fault.Invalid, "gateway_refused", false},
		{invitation, 404, `{"code":"NOT_FOUND"}`, fault.Unavailable, "gateway_unavailable", true},
		{known, 404, `nobody`, fault.Unavailable, "gateway_unavailable", true},
		{invitation, 403, `{"code":"ON_DEMAND_SUBSCRIPTIONS_NOT_ENABLED"}`, fault.Unavailable, "gateway_unavailable", true},
		{invitation, 422, `{"code":"UNSUPPORTED_CURRENCY"}`, fault.Unavailable, "gateway_unavailable", true},
		{invitation, 422, `{"code":"A_CODE_OF_TOMORROW"}`, fault.Unavailable, "gateway_unavailable", true},
		{invitation, 401, `{"code":"UNAUTHORIZED"}`, fault.Unavailable, "gateway_unavailable", true},
		{invitation, 429, `{"code":"TOO_MANY_REQUESTS"}`, fault.Unavailable, "gateway_unavailable", false},
		{invitation, 400, `{"code":"A_CODE_OF_TOMORROW"}`, fault.Unavailable, "gateway_unavailable", false},
		{invitation, 500, `{"code":"UNSUPPORTED_COUNTRY"}`, fault.Unavailable, "gateway_unavailable", false},
		{invitation, 200, `{"code":"UNSUPPORTED_COUNTRY"}`, fault.Unavailable, "gateway_unavailable", false},
		{invitation, 200, `{"subscription_id":"sub_1"}`, fault.Unavailable, "gateway_unavailable", false},
		{invitation, 200, `{"payment_link":"https://pay.example/x"}`, fault.Unavailable, "gateway_unavailable", false},
		{invitation, 200, `{"subscription_id":"../1","payment_link":"https://pay.example/x"}`, fault.Unavailable, "gateway_unavailable", false},
		{invitation, 200, `{"subscription_id":"sub_1","payment_link":"javascript:alert(1)"}`, fault.Unavailable, "gateway_unavailable", false},
		{invitation, 200, `{"subscription_id":"sub_1","payment_link":"http://pay.example/x"}`, fault.Unavailable, "gateway_unavailable", false},
		{invitation, 200, `<html>`, fault.Unavailable, "gateway_unavailable", false},
	} {
		var l log
		g := gateway(t, "https://dodo.example", says{c.status, c.body}, &l)
		got, err := g.Invite(t.Context(), c.i)
		if !errors.Is(err, c.kind) || fault.Code(err) != c.code || got != (billing.Invited{}) || l.alarmed() != c.alarm {
			t.Errorf("%d %s: got %+v, %v and the log %s, want %v %s and an alarm: %v", c.status, c.body, got, err, l.String(), c.kind, c.code, c.alarm)
		}
		silent(t, &l, fmt.Sprint(err))
	}
}

func TestLookSaysHowAMandateStands(t *testing.T) {
	shown := func(status string) string {
		return fmt.Sprintf(`{"subscription_id":%q,"on_demand":true,"status":%q}`, mandate, status)
	}
	for _, c := range []struct {
		status int
		body   string
		want   billing.MandateState
		kind   error
		alarm  bool
	}{
		{200, shown("pending"), billing.MandatePending, nil, false},
		{200, shown("active"), billing.MandateActive, nil, false},
		{200, shown("on_hold"), billing.MandateOnHold, nil, false},
		{200, shown("paused"), billing.MandateOnHold, nil, false},
		{200, shown("cancelled"), billing.MandateEnded, nil, false},
		{200, shown("failed"), billing.MandateEnded, nil, false},
		{200, shown("expired"), billing.MandateEnded, nil, false},
		{200, shown("of_tomorrow"), "", fault.Unavailable, true},
		{200, shown(""), "", fault.Unavailable, true},
		{200, strings.Replace(shown("active"), "true", "false", 1), "", fault.Unavailable, true},
		{200, strings.Replace(shown("active"), `"on_demand":true,`, "", 1), "", fault.Unavailable, true},
		{200, strings.Replace(shown("active"), mandate, "sub_other", 1), "", fault.Unavailable, false},
		{200, `{}`, "", fault.Unavailable, false},
		{404, `{"code":"NOT_FOUND"}`, "", fault.NotFound, false},
		{404, `not here`, "", fault.Unavailable, false},
		{400, `{"code":"NOT_FOUND"}`, "", fault.Unavailable, false},
		{401, `{"code":"UNAUTHORIZED"}`, "", fault.Unavailable, false},
		{500, shown("active"), "", fault.Unavailable, false},
	} {
		var l log
		g := gateway(t, "https://dodo.example", says{c.status, c.body}, &l)
		got, err := g.Look(t.Context(), mandate)
		if got.State != c.want || c.kind == nil && err != nil || c.kind != nil && !errors.Is(err, c.kind) || l.alarmed() != c.alarm {
			t.Errorf("%d %s: got %q, %v and the log %s, want %q, %v and an alarm: %v", c.status, c.body, got, err, l.String(), c.want, c.kind, c.alarm)
		}
		silent(t, &l, fmt.Sprint(err))
	}
	g := gateway(t, "https://dodo.example", says{200, shown("active")}, &log{})
	if _, err := g.Look(t.Context(), "../payments"); !errors.Is(err, fault.Unavailable) {
		t.Errorf("a path: got %v, want fault.Unavailable", err)
	}
}

func TestMendMakesAPage(t *testing.T) {
	s, url, transports := open(t)
	var l log
	g := gateway(t, url, transports["own"], &l)
	link, err := g.Mend(t.Context(), mandate, "https://company.example/done")
	if err != nil || link != payLink {
		t.Errorf("got %q, %v, want the page", link, err)
	}
	if diff := cmp.Diff([]string{"POST /subscriptions/" + mandate + "/update-payment-method"}, s.requests); diff != "" {
		t.Errorf("requests: want -, got +\n%s", diff)
	}
	if diff := cmp.Diff([]string{`{"type":"new","return_url":"https://company.example/done"}`}, s.bodies); diff != "" {
		t.Errorf("bodies: want -, got +\n%s", diff)
	}
	silent(t, &l)

	for _, c := range []struct {
		mandate, back string
		status        int
		body          string
		kind          error
	}{
		{mandate, "/done", 200, `{}`, fault.Invalid},
		{"../x", "https://c.de", 200, `{}`, fault.NotFound},
		{mandate, "https://c.de", 200, `{}`, fault.Unavailable},
		{mandate, "https://c.de", 200, `{"payment_link":null}`, fault.Unavailable},
		{mandate, "https://c.de", 404, `{"code":"NOT_FOUND"}`, fault.NotFound},
		{mandate, "https://c.de", 404, ``, fault.Unavailable},
		{mandate, "https://c.de", 409, `{"code":"SUBSCRIPTION_INACTIVE"}`, fault.Conflict},
		{mandate, "https://c.de", 400, `{"code":"SUBSCRIPTION_EXPIRED"}`, fault.Conflict},
		{mandate, "https://c.de", 400, `{"code":"UNSUPPORTED_ACTION"}`, fault.Conflict},
		{mandate, "https://c.de", 409, `{"code":"A_CODE_OF_TOMORROW"}`, fault.Conflict},
		{mandate, "https://c.de", 409, `gone fishing`, fault.Unavailable},
		{mandate, "https://c.de", 422, `{"code":"INVALID_REQUEST_BODY"}`, fault.Unavailable},
		{mandate, "https://c.de", 429, `{}`, fault.Unavailable},
		{mandate, "https://c.de", 503, `{"code":"SUBSCRIPTION_EXPIRED"}`, fault.Unavailable},
	} {
		g := gateway(t, "https://dodo.example", says{c.status, c.body}, &l)
		link, err := g.Mend(t.Context(), c.mandate, c.back)
		if !errors.Is(err, c.kind) || link != "" {
			t.Errorf("%d %s: got %q, %v, want %v", c.status, c.body, link, err, c.kind)
		}
		silent(t, &l, fmt.Sprint(err))
	}
}

func TestRevokeEndsAMandate(t *testing.T) {
	s, url, transports := open(t)
	var l log
	g := gateway(t, url, transports["own"], &l)
	for range 2 { // one that has ended is as good
		if err := g.Revoke(t.Context(), mandate); err != nil {
			t.Errorf("got %v, want no error", err)
		}
	}
	if diff := cmp.Diff(`{"status":"cancelled"}`, s.bodies[0]); diff != "" || s.mandates[mandate]["status"] != "cancelled" {
		t.Errorf("got the mandate %v; body: want -, got +\n%s", s.mandates[mandate], diff)
	}
	shown := func(status string) says {
		return says{200, fmt.Sprintf(`{"subscription_id":%q,"status":%q}`, mandate, status)}
	}
	for _, c := range []struct {
		name    string
		answers byMethod
		ok      bool
	}{
		{"unknown", byMethod{"PATCH": {404, `{"code":"NOT_FOUND"}`}}, true},
		{"unknown to somebody", byMethod{"PATCH": {404, `nobody`}, "GET": shown("active")}, false},
		{"refused, and ended", byMethod{"PATCH": {422, `{"code":"INVALID_REQUEST_BODY"}`}, "GET": shown("expired")}, true},
		{"refused, and not ended", byMethod{"PATCH": {409, `{"code":"SUBSCRIPTION_INACTIVE"}`}, "GET": shown("on_hold")}, false},
		{"refused, and not to be seen", byMethod{"PATCH": {409, `{}`}, "GET": {500, ``}}, false},
		{"not let in", byMethod{"PATCH": {401, `{"code":"UNAUTHORIZED"}`}, "GET": shown("cancelled")}, false},
		{"too many", byMethod{"PATCH": {429, `{}`}, "GET": shown("cancelled")}, false},
		{"done, and not ended", byMethod{"PATCH": shown("active")}, false},
		{"done to another", byMethod{"PATCH": {200, `{"subscription_id":"sub_other","status":"cancelled"}`}}, false},
		{"garbage", byMethod{"PATCH": {200, `<html>`}}, false},
		{"down", byMethod{"PATCH": {503, ``}, "GET": shown("cancelled")}, false},
	} {
		g := gateway(t, "https://dodo.example", c.answers, &l)
		err := g.Revoke(t.Context(), mandate)
		if (err == nil) != c.ok || err != nil && !errors.Is(err, fault.Unavailable) {
			t.Errorf("%s: got %v, want it revoked: %v, or fault.Unavailable", c.name, err, c.ok)
		}
		silent(t, &l, fmt.Sprint(err))
	}
}

package web

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json"

	"grantline/shared/audit"
	"grantline/shared/billing"
	"grantline/shared/customer"
	"grantline/shared/delivery"
	"grantline/shared/event"
	"grantline/shared/fault"
	"grantline/shared/table"
)

// acts are the routes by which something is done, as docs/openapi.yaml writes them: the
// longer first, since routes match from the right. Reading is no act. What is not here can
// be done by nobody.
var acts = templates(
	"POST /v1/customers/{customerId}/wallet/{currency}/spend",
	"POST /v1/customers/{customerId}/wallet/{currency}/refund",
	"POST /v1/customers/{customerId}/wallet/{currency}/credit",
	"POST /v1/customers/{customerId}/conduct/override",
	"DELETE /v1/customers/{customerId}/conduct/override",
	"POST /v1/customers/{customerId}/aliases",
	"DELETE /v1/customers/{customerId}/entitlements/{entitlement}/{reference}",
	"POST /v1/customers/{customerId}/entitlements/{entitlement}",
	"PUT /v1/customers/{customerId}",
	"DELETE /v1/customers/{customerId}",
	"POST /v1/subscriptions/{subscriptionId}/payment-method",
	"POST /v1/subscriptions/{subscriptionId}/cancel",
	"POST /v1/subscriptions/{subscriptionId}/resume",
	"POST /v1/subscriptions/{subscriptionId}/plan",
	"POST /v1/subscriptions/{subscriptionId}/charge",
	"POST /v1/subscriptions",
	"POST /v1/orders/{orderId}/refund",
	"POST /v1/endpoints/{endpointId}/rotate",
	"POST /v1/endpoints/{endpointId}/test",
	"POST /v1/endpoints/{endpointId}/redrive",
	"POST /v1/endpoints/{endpointId}/replay",
	"PUT /v1/endpoints/{endpointId}",
	"DELETE /v1/endpoints/{endpointId}",
	"POST /v1/endpoints",
)

// template is the route of an act.
type template struct {
	text, method string
	pattern      *regexp.Regexp
	names        []string
}

var parameters = regexp.MustCompile(`\\\{([A-Za-z]+)\\\}`)

func templates(texts ...string) []template {
	var all []template
	for _, text := range texts {
		method, path, _ := strings.Cut(text, " ")
		t := template{text: text, method: method}
		pattern := parameters.ReplaceAllStringFunc(regexp.QuoteMeta(path), func(name string) string {
			name = strings.Trim(name, `\{}`)
			t.names = append(t.names, name)
			if name == "customerId" { // it may hold anything, a '/' too
				return "(.*)"
			}
			return "([^/]*)"
		})
		t.pattern = regexp.MustCompile("^(?s:" + pattern + ")$")
		all = append(all, t)
	}
	return all
}

// actOf finds the act that a request asks for, with what is in its path; false where it asks
// for none.
func actOf(method, path string) (template, map[string]string, bool) {
	for _, t := range acts {
		if found := t.pattern.FindStringSubmatch(path); t.method == method && found != nil {
			in := map[string]string{}
			for i, name := range t.names {
				in[name] = found[i+1]
			}
			return t, in, possible(in)
		}
	}
	return template{}, nil, false
}

// possible says whether what stands for ids in a path can be ids; else there is nothing there.
func possible(in map[string]string) bool {
	if id, ok := in["customerId"]; ok && tails.MatchString(id) {
		return false
	}
	if id, ok := in["subscriptionId"]; ok && !billing.ValidID(id) {
		return false
	}
	if id, ok := in["endpointId"]; ok && !delivery.ValidID(id) {
		return false
	}
	id, ok := in["orderId"]
	return !ok || orderIDs.MatchString(id)
}

// asking is what is known of a request before its handler is.
type asking struct {
	caller Caller
	reason string
}

type askingKey struct{}

// reasonGiven is a person's words for what a request asks for, "" without any.
func reasonGiven(r *http.Request) string {
	known, _ := r.Context().Value(askingKey{}).(asking)
	return known.reason
}

// causeOf says who asks, without saying whom the company calls so.
func (c Caller) causeOf(kind, request, reason string) event.Cause {
	actor := c.Name
	switch c.Role {
	case User:
		actor = "customer"
	case App:
		actor = "app"
	case Server:
	}
	return event.Cause{Kind: kind, ID: request, Actor: actor, Reason: reason}
}

// known has a handler called by whom its request is known to come from, with the cause of
// whatever comes of it. Nothing that is written in a customer's name is its reason.
func known(r *http.Request, caller Caller, kind, request, reason string) *http.Request {
	words := ""
	if caller.Role == Server {
		words = reason
	}
	ctx := context.WithValue(r.Context(), askingKey{}, asking{caller, words})
	return r.WithContext(event.Because(ctx, caller.causeOf(kind, request, words)))
}

// attended lets an act be done by who is known, and keeps in the journal what a server key did.
// There is no act without its record.
func (a *API) attended(h handler) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		t, in, ok := actOf(r.Method, r.URL.Path)
		if !ok {
			return h(w, r)
		}
		caller, err := a.Callers.Identify(r)
		if err != nil {
			return err
		}
		reason, err := reasonOf(r)
		if err != nil {
			return err
		}
		request := ""
		if a.RequestID != nil {
			request = a.RequestID(r.Context())
		}
		if caller.Role == User {
			if err := a.Customers.SignedIn(r.Context(), caller.Scope, caller.Customer, a.Clock); err != nil {
				return err
			}
		}
		r = known(r, caller, event.ByRequest, request, reason)
		if caller.Role != Server {
			return h(w, r)
		}
		about, err := a.about(r.Context(), caller.Scope, in)
		if err != nil {
			return err
		}
		act, err := a.journal().Begin(r.Context(), caller.Scope, audit.Act{By: caller.Name, Route: t.text, About: about, Request: request, Reason: reason})
		if err != nil {
			return err
		}
		answered := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		err = h(answered, r)
		status, code := answered.status, ""
		if err != nil {
			p := problemOf(err)
			status, code = p.Status, p.Code
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), endWithin)
		defer cancel()
		if failed := a.journal().End(ctx, caller.Scope, act, status, code); failed != nil {
			a.Log.ErrorContext(ctx, "The end of an act could not be kept.", "act", act.ID, "status", status, "error", failed)
		}
		return err
	}
}

// attended has a claim be told of with who made it. A server key's claims are no acts of the
// journal: each grant has an event, whose cause names the key.
func (c *Claims) attended(h handler) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		if r.Method != http.MethodPost {
			return h(w, r)
		}
		caller, err := c.Callers.Identify(r)
		if err != nil {
			return err
		}
		if caller.Role == User {
			if err := c.Book.Customers.SignedIn(r.Context(), caller.Scope, caller.Customer, c.Clock); err != nil {
				return err
			}
		}
		request := ""
		if c.RequestID != nil {
			request = c.RequestID(r.Context())
		}
		return h(w, known(r, caller, event.ByClaim, request, ""))
	}
}

// endWithin is what is left of a request for writing down how its act ended.
const endWithin = 3 * time.Second

func (a *API) journal() *audit.Journal { return &audit.Journal{Tables: a.Tables, Clock: a.Clock} }

// about is what an act is about, by our own ids. The company's words for things are left out.
func (a *API) about(ctx context.Context, scope table.Scope, in map[string]string) (map[string]string, error) {
	about := map[string]string{}
	for name, value := range in {
		switch name {
		case "customerId":
			if validCustomerID(value) != nil {
				continue // it will be refused
			}
			ref, err := a.Customers.Identity.Ref(ctx, scope, value)
			if err != nil {
				return nil, err
			}
			about["customer"] = ref
		case "subscriptionId", "orderId", "endpointId":
			about[strings.TrimSuffix(name, "Id")] = cut(value, 200)
		case "entitlement", "currency":
			about[name] = cut(value, 100)
		}
	}
	return about, nil
}

// mostReason is how many characters of a person's words are kept.
const mostReason = 500

// reasonOf is a person's words in a request: the body's reason, or the header X-Reason. The
// body can be read again.
func reasonOf(r *http.Request) (string, error) {
	reason := strings.TrimSpace(r.Header.Get("X-Reason"))
	if !words(reason) {
		return "", fault.New(fault.Malformed, "invalid_request", "X-Reason should be at most %d printable characters.", mostReason)
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, MostBytes+1))
	if err != nil {
		return "", fault.New(fault.Malformed, "invalid_request", "The body could not be read.").Because(err)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	var q struct {
		Reason string `json:"reason"`
	}
	if err := json.Unmarshal(body, &q); err == nil && q.Reason != "" {
		if !words(q.Reason) {
			return "", fault.New(fault.Malformed, "invalid_request", "reason should be at most %d printable characters.", mostReason)
		}
		reason = q.Reason
	}
	return reason, nil
}

func words(s string) bool {
	bad := func(r rune) bool { return !unicode.IsPrint(r) || r == utf8.RuneError }
	return utf8.ValidString(s) && utf8.RuneCountInString(s) <= mostReason && !slices.ContainsFunc([]rune(s), bad)
}

func cut(s string, most int) string { return s[:min(len(s), most)] }

// statusWriter notes the status of an answer.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// listActs is GET /v1/audit?day=&after=.
func (a *API) listActs(w http.ResponseWriter, r *http.Request) error {
	caller, err := a.Callers.serverOnly(r)
	if err != nil {
		return err
	}
	if caller.Customer != "" {
		return anotherCustomer()
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return fault.New(fault.Malformed, "invalid_request", "The query cannot be read.")
	}
	day := query.Get("day")
	if day == "" {
		day = a.Clock.Now().UTC().Format(time.DateOnly)
	}
	found, next, err := a.journal().List(r.Context(), caller.Scope, day, query.Get("after"))
	if err != nil {
		return err
	}
	if err := a.name(r.Context(), caller.Scope, found); err != nil {
		return err
	}
	return answer(w, http.StatusOK, struct {
		Acts []audit.Act `json:"acts"`
		Next string      `json:"next,omitzero"`
	}{found, next})
}

// name puts the company's ids in the place of ours, which never leave. Who was erased has none.
func (a *API) name(ctx context.Context, scope table.Scope, acts []audit.Act) error {
	names := map[string]string{}
	for _, act := range acts {
		ref, ok := act.About["customer"]
		if !ok {
			continue
		}
		if _, known := names[ref]; !known {
			name, err := customer.NameOf(ctx, a.Tables, scope, ref)
			if err != nil {
				return err
			}
			names[ref] = name
		}
		if act.About["customer"] = names[ref]; names[ref] == "" {
			delete(act.About, "customer")
		}
	}
	return nil
}

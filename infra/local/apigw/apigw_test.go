package apigw_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/google/go-cmp/cmp"

	"grantline/infra/local/apigw"
	"grantline/infra/local/lambda"
)

var now = time.Date(2026, 1, 31, 23, 59, 58, 0, time.UTC)

type call struct {
	function string
	event    events.APIGatewayV2HTTPRequest
}

// serve runs an API whose functions all answer the same, and keeps what they were given.
func serve(t *testing.T, answer string, failure error, routes ...apigw.Route) (*httptest.Server, *[]call) {
	t.Helper()
	calls := &[]call{}
	api, err := apigw.New(apigw.Options{
		Routes: routes, Now: func() time.Time { return now }, Timeout: time.Minute,
		Invoke: func(_ context.Context, function string, payload []byte) ([]byte, error) {
			var e events.APIGatewayV2HTTPRequest
			if err := json.Unmarshal(payload, &e); err != nil {
				t.Error(err)
			}
			*calls = append(*calls, call{function, e})
			return []byte(answer), failure
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	return server, calls
}

func do(t *testing.T, method, url, contentType, body string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	got, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(got)
}

func TestTheMostSpecificRouteTakesTheRequest(t *testing.T) {
	server, calls := serve(
		t, `{"statusCode":204}`, nil,
		apigw.Route{Method: "ANY", Path: "/v1/{proxy+}", Function: "greedy"},
		apigw.Route{Method: "ANY", Path: "/v1/things/{id}", Function: "parameter"},
		apigw.Route{Method: "ANY", Path: "/v1/things/new", Function: "any"},
		apigw.Route{Method: "POST", Path: "/v1/things/new", Function: "literal"},
		apigw.Route{Method: "GET", Path: "/only", Function: "get"},
		apigw.Route{Method: "ANY", Path: "/files/{name}/{rest+}", Function: "rest"},
	)
	for _, row := range []struct {
		method, path, function, key string
		parameters                  map[string]string
	}{
		{"POST", "/v1/things/new", "literal", "POST /v1/things/new", nil},
		{"GET", "/v1/things/new", "any", "ANY /v1/things/new", nil},
		{"GET", "/v1/things/7", "parameter", "ANY /v1/things/{id}", map[string]string{"id": "7"}},
		{"OPTIONS", "/v1/things/7", "parameter", "ANY /v1/things/{id}", map[string]string{"id": "7"}},
		{"GET", "/v1/things/7/parts", "greedy", "ANY /v1/{proxy+}", map[string]string{"proxy": "things/7/parts"}},
		{"GET", "/v1/things/", "greedy", "ANY /v1/{proxy+}", map[string]string{"proxy": "things/"}},
		{"GET", "/v1/things/a%2Fb", "greedy", "ANY /v1/{proxy+}", map[string]string{"proxy": "things/a/b"}},
		{"GET", "/files/a/b/c", "rest", "ANY /files/{name}/{rest+}", map[string]string{"name": "a", "rest": "b/c"}},
	} {
		do(t, row.method, server.URL+row.path, "", "")
		got := (*calls)[len(*calls)-1]
		if got.function != row.function || got.event.RouteKey != row.key {
			t.Errorf("%s %s: got %s by %q, want %s by %q", row.method, row.path, got.function, got.event.RouteKey, row.function, row.key)
		}
		if diff := cmp.Diff(row.parameters, got.event.PathParameters); diff != "" {
			t.Errorf("%s %s: parameters (-want +got):\n%s", row.method, row.path, diff)
		}
	}
	for _, row := range [][2]string{{"POST", "/only"}, {"GET", "/only/"}, {"GET", "/"}, {"GET", "/v1"}, {"GET", "/v1/"}} {
		if res, body := do(t, row[0], server.URL+row[1], "", ""); res.StatusCode != 404 || body != "{\"message\":\"Not Found\"}\n" {
			t.Errorf("%v: got %d %s, want 404 Not Found", row, res.StatusCode, body)
		}
	}
}

func TestTheDefaultRouteTakesWhatIsLeft(t *testing.T) {
	server, calls := serve(t, `{"statusCode":204}`, nil, apigw.Route{Method: "ANY", Path: "$default", Function: "f"})
	do(t, "GET", server.URL+"/anything/at/all", "", "")
	if got := (*calls)[0].event.RouteKey; got != "$default" {
		t.Errorf("got %q, want $default", got)
	}
}

func TestTheEventIsAsAnHTTPAPIMakesIt(t *testing.T) {
	server, calls := serve(t, `{"statusCode":204}`, nil, apigw.Route{Method: "ANY", Path: "/{proxy+}", Function: "f"})
	r, err := http.NewRequestWithContext(t.Context(), "PUT", server.URL+"/v1/a%2Fb%20%25c+d?x=1&y=%20z&x=2", strings.NewReader(`{"a":1}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = http.Header{
		"X-Many": {"1", "2"}, "Cookie": {"a=b; c=d"}, "Content-Type": {"application/json; charset=utf-8"}, "User-Agent": {"test"},
		"X-Forwarded-For": {"10.0.0.1"},
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	got := (*calls)[0].event
	id := got.RequestContext.RequestID
	if id == "" || id != res.Header.Get("Apigw-Requestid") {
		t.Errorf("got request id %q and header %q, want the same", id, res.Header.Get("Apigw-Requestid"))
	}
	host := strings.TrimPrefix(server.URL, "http://")
	want := events.APIGatewayV2HTTPRequest{
		Version: "2.0", RouteKey: "ANY /{proxy+}", RawPath: "/v1/a/b %c+d", RawQueryString: "x=1&y=%20z&x=2",
		Cookies: []string{"a=b", "c=d"},
		Headers: map[string]string{
			"x-many": "1,2", "content-type": "application/json; charset=utf-8", "user-agent": "test", "host": host,
			"content-length": "7", "accept-encoding": "gzip",
			"x-forwarded-for": "10.0.0.1, 127.0.0.1", "x-forwarded-proto": "http", "x-forwarded-port": host[strings.LastIndex(host, ":")+1:],
		},
		QueryStringParameters: map[string]string{"x": "1,2", "y": " z"},
		PathParameters:        map[string]string{"proxy": "v1/a/b %c+d"},
		RequestContext: events.APIGatewayV2HTTPRequestContext{
			RouteKey: "ANY /{proxy+}", AccountID: "000000000000", Stage: "$default", RequestID: id, APIID: "local",
			DomainName: host, DomainPrefix: "local", Time: "31/Jan/2026:23:59:58 +0000", TimeEpoch: now.UnixMilli(),
			HTTP: events.APIGatewayV2HTTPRequestContextHTTPDescription{
				Method: "PUT", Path: "/v1/a/b %c+d", Protocol: "HTTP/1.1", SourceIP: "127.0.0.1", UserAgent: "test",
			},
		},
		Body: `{"a":1}`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("event (-want +got):\n%s", diff)
	}
}

func TestOnlyTextBodiesArriveAsText(t *testing.T) {
	server, calls := serve(t, `{"statusCode":204}`, nil, apigw.Route{Method: "ANY", Path: "/{proxy+}", Function: "f"})
	for _, row := range []struct {
		contentType, body, want string
		encoded                 bool
	}{
		{"application/json", "{}", "{}", false},
		{"Application/JSON; charset=UTF-8", "{}", "{}", false},
		{"text/html", "한", "한", false},
		{"application/xml", "<a/>", "<a/>", false},
		{"application/javascript", "1", "1", false},
		{"application/x-www-form-urlencoded", "a=b", "YT1i", true},
		{"application/problem+json", "{}", "e30=", true},
		{"", "{}", "e30=", true},
		{"application/json", "\xff", "/w==", true},
		{"application/octet-stream", "", "", false},
	} {
		do(t, "POST", server.URL+"/x", row.contentType, row.body)
		got := (*calls)[len(*calls)-1].event
		if got.Body != row.want || got.IsBase64Encoded != row.encoded {
			t.Errorf("%q %q: got %q, base64 %v, want %q, %v", row.contentType, row.body, got.Body, got.IsBase64Encoded, row.want, row.encoded)
		}
	}
}

func TestAnswersAreReadInBothForms(t *testing.T) {
	for _, row := range []struct {
		answer string
		status int
		kind   string
		body   string
	}{
		{`{"statusCode":201,"headers":{"content-type":"text/html","x-a":"b"},"body":"hi"}`, 201, "text/html", "hi"},
		{`{"statusCode":200,"body":"aGk=","isBase64Encoded":true}`, 200, "text/plain; charset=utf-8", "hi"},
		{`{"statusCode":204}`, 204, "text/plain; charset=utf-8", ""},
		{`{"ok":true}`, 200, "application/json", `{"ok":true}`},
		{`"hi"`, 200, "application/json", `"hi"`},
		{`{"statusCode":200,"body":"%%","isBase64Encoded":true}`, 500, "application/json", "{\"message\":\"Internal Server Error\"}\n"},
		{`{"statusCode":99}`, 500, "application/json", "{\"message\":\"Internal Server Error\"}\n"},
		{`{"statusCode":200,"body":{"a":1}}`, 500, "application/json", "{\"message\":\"Internal Server Error\"}\n"},
		{`nonsense`, 500, "application/json", "{\"message\":\"Internal Server Error\"}\n"},
	} {
		server, _ := serve(t, row.answer, nil, apigw.Route{Method: "ANY", Path: "/{proxy+}", Function: "f"})
		res, body := do(t, "GET", server.URL+"/x", "", "")
		if res.StatusCode != row.status || res.Header.Get("Content-Type") != row.kind || body != row.body {
			t.Errorf("%s: got %d %s %q, want %d %s %q", row.answer, res.StatusCode, res.Header.Get("Content-Type"), body, row.status, row.kind, row.body)
		}
	}
}

func TestCookiesAreSetOneByOne(t *testing.T) {
	server, _ := serve(t, `{"statusCode":200,"cookies":["a=b","c=d; Secure"]}`, nil, apigw.Route{Method: "ANY", Path: "/{proxy+}", Function: "f"})
	res, _ := do(t, "GET", server.URL+"/x", "", "")
	if diff := cmp.Diff([]string{"a=b", "c=d; Secure"}, res.Header.Values("Set-Cookie")); diff != "" {
		t.Errorf("cookies (-want +got):\n%s", diff)
	}
}

func TestFailuresAreAnsweredAsAPIGatewayDoes(t *testing.T) {
	for _, row := range []struct {
		failure error
		status  int
		text    string
	}{
		{&lambda.FunctionError{Kind: lambda.Returned}, 500, "Internal Server Error"},
		{&lambda.FunctionError{Kind: lambda.Exited}, 500, "Internal Server Error"},
		{&lambda.FunctionError{Kind: lambda.Init}, 500, "Internal Server Error"},
		{&lambda.FunctionError{Kind: lambda.TimedOut}, 500, "Internal Server Error"},
		{&lambda.FunctionError{Kind: lambda.Killed}, 502, "Bad Gateway"},
		{lambda.ErrThrottled, 503, "Service Unavailable"},
		{lambda.ErrClosed, 503, "Service Unavailable"},
		{context.DeadlineExceeded, 503, "Service Unavailable"},
		{errors.New("other"), 500, "Internal Server Error"},
	} {
		server, _ := serve(t, "", row.failure, apigw.Route{Method: "ANY", Path: "/{proxy+}", Function: "f"})
		res, body := do(t, "GET", server.URL+"/x", "", "")
		if want := `{"message":"` + row.text + "\"}\n"; res.StatusCode != row.status || body != want {
			t.Errorf("%v: got %d %s, want %d %s", row.failure, res.StatusCode, body, row.status, want)
		}
	}
}

func TestAFunctionSlowerThanTheIntegrationIsUnavailable(t *testing.T) {
	api, err := apigw.New(apigw.Options{
		Routes: []apigw.Route{{Method: "ANY", Path: "$default", Function: "f"}}, Now: time.Now, Timeout: time.Millisecond,
		Invoke: func(ctx context.Context, _ string, _ []byte) ([]byte, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	recorder := httptest.NewRecorder()
	api.ServeHTTP(recorder, httptest.NewRequest("GET", "/", nil))
	if recorder.Code != 503 {
		t.Errorf("got %d, want 503", recorder.Code)
	}
}

func TestBodiesAreBounded(t *testing.T) {
	server, calls := serve(t, `{"statusCode":204}`, nil, apigw.Route{Method: "ANY", Path: "/{proxy+}", Function: "f"})
	for _, size := range []int{10<<20 + 1, 7 << 20} {
		if res, body := do(t, "POST", server.URL+"/x", "text/plain", strings.Repeat("a", size)); res.StatusCode != 413 {
			t.Errorf("%d bytes: got %d %s, want 413", size, res.StatusCode, body)
		}
	}
	if len(*calls) != 0 {
		t.Errorf("got %d calls, want none", len(*calls))
	}
}

func TestRoutesThatCouldNotBeCreatedAreRefused(t *testing.T) {
	for _, routes := range [][]apigw.Route{
		{{Method: "GET", Path: "/a"}, {Method: "GET", Path: "/a"}},
		{{Method: "GET", Path: "a"}},
		{{Method: "GET", Path: "/{a+}/b"}},
	} {
		if _, err := apigw.New(apigw.Options{Routes: routes}); err == nil {
			t.Errorf("%v: got no error, want one", routes)
		}
	}
}

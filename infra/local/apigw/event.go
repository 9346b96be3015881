package apigw

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-lambda-go/events"
)

// newEvent is the request as a function gets it. now is the local clock's.
func newEvent(r *http.Request, route Route, parameters map[string]string, body []byte, id string, now time.Time) events.APIGatewayV2HTTPRequest {
	sourceIP, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		sourceIP = r.RemoteAddr
	}
	e := events.APIGatewayV2HTTPRequest{
		Version:               "2.0",
		RouteKey:              route.key(),
		RawPath:               r.URL.Path, // decoded once, as an HTTP API does
		RawQueryString:        r.URL.RawQuery,
		Headers:               headers(r, sourceIP),
		Cookies:               cookies(r.Header),
		QueryStringParameters: query(r.URL.RawQuery),
		PathParameters:        parameters,
		RequestContext: events.APIGatewayV2HTTPRequestContext{
			RouteKey:     route.key(),
			AccountID:    "000000000000",
			Stage:        "$default",
			RequestID:    id,
			APIID:        "local",
			DomainName:   r.Host,
			DomainPrefix: "local",
			Time:         now.UTC().Format("02/Jan/2006:15:04:05 -0700"),
			TimeEpoch:    now.UnixMilli(),
			HTTP: events.APIGatewayV2HTTPRequestContextHTTPDescription{
				Method: r.Method, Path: r.URL.Path, Protocol: r.Proto, SourceIP: sourceIP, UserAgent: r.UserAgent(),
			},
		},
	}
	switch {
	case len(body) == 0:
	case isText(r.Header.Get("Content-Type")) && utf8.Valid(body):
		e.Body = string(body)
	default:
		e.Body, e.IsBase64Encoded = base64.StdEncoding.EncodeToString(body), true
	}
	return e
}

// isText says whether a body of this type reaches a function as text. AWS publishes no list;
// this one was measured on a real HTTP API. A form, or a body without a type, is not on it.
func isText(contentType string) bool {
	kind, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return false
	}
	switch kind {
	case "application/json", "application/xml", "application/javascript":
		return true
	default:
		return strings.HasPrefix(kind, "text/")
	}
}

func headers(r *http.Request, sourceIP string) map[string]string {
	out := make(map[string]string, len(r.Header)+4)
	for name, values := range r.Header {
		if name != "Cookie" {
			out[strings.ToLower(name)] = strings.Join(values, ",")
		}
	}
	out["host"] = r.Host
	if r.ContentLength > 0 || r.Body != http.NoBody {
		out["content-length"] = fmt.Sprint(max(0, r.ContentLength))
	}
	if before := out["x-forwarded-for"]; before != "" {
		sourceIP = before + ", " + sourceIP
	}
	out["x-forwarded-for"] = sourceIP
	out["x-forwarded-proto"] = "http"
	if _, port, err := net.SplitHostPort(r.Host); err == nil {
		out["x-forwarded-port"] = port
	}
	return out
}

func cookies(h http.Header) []string {
	var out []string
	for _, line := range h.Values("Cookie") {
		for cookie := range strings.SplitSeq(line, ";") {
			if cookie = strings.TrimSpace(cookie); cookie != "" {
				out = append(out, cookie)
			}
		}
	}
	return out
}

// query joins the values of a repeated name by commas. A pair that cannot be decoded is
// left out here; it still is in the raw query string.
func query(raw string) map[string]string {
	values, _ := url.ParseQuery(raw)
	if len(values) == 0 {
		return nil
	}
	out := make(map[string]string, len(values))
	for name, all := range values {
		out[name] = strings.Join(all, ",")
	}
	return out
}

// answer is what a function returned, ready to be written.
type answer struct {
	status  int
	header  http.Header
	body    []byte
	cookies []string
}

// readAnswer understands both forms that payload format 2.0 allows: an object with a
// statusCode, or anything else, which then is the body of a 200.
func readAnswer(payload []byte) (answer, error) {
	var shape struct {
		StatusCode      *json.Number   `json:"statusCode"`
		Headers         map[string]any `json:"headers"`
		Body            *string        `json:"body"`
		IsBase64Encoded bool           `json:"isBase64Encoded"`
		Cookies         []string       `json:"cookies"`
	}
	if !json.Valid(payload) {
		return answer{}, fmt.Errorf("apigw: the answer is no JSON")
	}
	if err := json.Unmarshal(payload, &shape); err != nil || shape.StatusCode == nil {
		if err != nil && strings.HasPrefix(strings.TrimSpace(string(payload)), "{") {
			return answer{}, fmt.Errorf("apigw: the answer has not the form of payload format 2.0: %w", err)
		}
		h := http.Header{"Content-Type": {"application/json"}}
		return answer{status: http.StatusOK, header: h, body: payload}, nil
	}
	status, err := shape.StatusCode.Int64()
	if err != nil || status < 200 || status > 599 {
		return answer{}, fmt.Errorf("apigw: status %s: want 200 to 599", *shape.StatusCode)
	}
	out := answer{status: int(status), header: http.Header{}, cookies: shape.Cookies}
	for name, value := range shape.Headers {
		out.header.Set(name, fmt.Sprint(value))
	}
	if out.header.Get("Content-Type") == "" {
		out.header.Set("Content-Type", "text/plain; charset=utf-8")
	}
	if shape.Body != nil {
		out.body = []byte(*shape.Body)
	}
	if shape.IsBase64Encoded {
		decoded, err := base64.StdEncoding.DecodeString(string(out.body))
		if err != nil {
			return answer{}, fmt.Errorf("apigw: the body is not the base64 that it says it is: %w", err)
		}
		out.body = decoded
	}
	return out, nil
}

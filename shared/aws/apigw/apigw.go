// Package apigw lets an http.Handler answer what an HTTP API of API Gateway sends (payload
// format 2.0). The one idea: it converts and nothing else, so that a handler cannot tell
// it from a server, and can be tested without it.
package apigw

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"

	"grantline/shared/aws/setting"
)

// Start serves h until the environment of the function ends. It does not return.
func Start(h http.Handler) { lambda.Start(Handler(h, setting.Logger())) }

// Handler is what Start gives to the Lambda runtime. The context of a request ends with the
// invocation. A handler that panics, or that answers more than Lambda passes on, is
// answered for with 500 and logged.
func Handler(h http.Handler, log *slog.Logger) func(context.Context, events.APIGatewayV2HTTPRequest) (events.APIGatewayV2HTTPResponse, error) {
	return func(ctx context.Context, event events.APIGatewayV2HTTPRequest) (events.APIGatewayV2HTTPResponse, error) {
		ctx = withRequestID(ctx, event.RequestContext.RequestID)
		r, err := request(ctx, event)
		if err != nil {
			log.WarnContext(ctx, "A request could not be read.", "error", err.Error())
			return problem(http.StatusBadRequest), nil
		}
		return serve(h, r, log), nil
	}
}

func serve(h http.Handler, r *http.Request, log *slog.Logger) (answer events.APIGatewayV2HTTPResponse) {
	defer func() {
		if recovered := recover(); recovered != nil {
			setting.LogPanic(r.Context(), log, "A handler panicked.", recovered)
			answer = problem(http.StatusInternalServerError)
		}
	}()
	w := &recorder{header: http.Header{}, head: r.Method == http.MethodHead}
	h.ServeHTTP(w, r)
	if w.tooLong {
		log.ErrorContext(r.Context(), "An answer is longer than Lambda passes on.", "limit", longestAnswer)
		return problem(http.StatusInternalServerError)
	}
	return w.response()
}

type requestID struct{}

// withRequestID keeps the API's id of the request, or where it gave none, that of the
// invocation.
func withRequestID(ctx context.Context, id string) context.Context {
	if id == "" {
		if lc, ok := lambdacontext.FromContext(ctx); ok {
			id = lc.AwsRequestID
		}
	}
	return context.WithValue(ctx, requestID{}, id)
}

// RequestID returns the id under which the API knows the request that ctx belongs to; its
// access log and its header apigw-requestid show the same. It is "" elsewhere.
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestID{}).(string)
	return id
}

// Errors of an event that is no request. They hold nothing of it.
var (
	errNotHTTP = errors.New("the event has no HTTP method")
	errBody    = errors.New("the body is not base64")
)

// request converts an event. Its path was decoded by the API and is not decoded again:
// URL.Path is rawPath as it came, and URL.EscapedPath an encoding of that, which need not
// be the one that the client used.
func request(ctx context.Context, event events.APIGatewayV2HTTPRequest) (*http.Request, error) {
	if event.RequestContext.HTTP.Method == "" {
		return nil, errNotHTTP
	}
	body := []byte(event.Body)
	if event.IsBase64Encoded {
		var err error
		if body, err = base64.StdEncoding.Strict().DecodeString(event.Body); err != nil {
			return nil, errBody
		}
	}
	path := event.RawPath
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	u := &url.URL{Path: path, RawQuery: event.RawQueryString}
	r := &http.Request{
		Method:        event.RequestContext.HTTP.Method,
		URL:           u,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        make(http.Header, len(event.Headers)+1),
		Body:          http.NoBody,
		ContentLength: int64(len(body)),
		Host:          event.RequestContext.DomainName,
		RemoteAddr:    net.JoinHostPort(event.RequestContext.HTTP.SourceIP, "0"),
		RequestURI:    u.RequestURI(),
	}
	if len(body) > 0 {
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	for name, value := range event.Headers {
		switch name = http.CanonicalHeaderKey(name); name {
		case "Host": // a server keeps it apart, too
			r.Host = value
		case "Content-Length": // is the length of what the API decoded
		default:
			r.Header.Add(name, value)
		}
	}
	if len(event.Cookies) > 0 {
		r.Header.Set("Cookie", strings.Join(event.Cookies, "; "))
	}
	if len(body) > 0 {
		r.Header.Set("Content-Length", strconv.Itoa(len(body)))
	}
	return r.WithContext(ctx), nil
}

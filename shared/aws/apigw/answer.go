package apigw

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/aws/aws-lambda-go/events"
)

// longestAnswer bounds a body in bytes, so that it stays below the 6 MB that Lambda passes
// on even when it is sent as base64 (AWS Lambda quotas).
const longestAnswer = 4 << 20

var errTooLong = errors.New("apigw: the answer is too long")

// recorder is the http.ResponseWriter of one request.
type recorder struct {
	header  http.Header
	head    bool        // the request is a HEAD, whose answer has no body
	sent    http.Header // as it was when the status was written
	status  int         // 0 until written
	body    bytes.Buffer
	tooLong bool
}

func (w *recorder) Header() http.Header { return w.header }

func (w *recorder) WriteHeader(status int) {
	if status < 100 || status > 999 {
		panic("apigw: the status has not three digits")
	}
	if w.status != 0 || status < 200 { // an HTTP API passes no interim answers on
		return
	}
	w.status, w.sent = status, w.header.Clone()
}

func (w *recorder) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	switch {
	case w.status == http.StatusNoContent || w.status == http.StatusNotModified:
		return 0, http.ErrBodyNotAllowed
	case w.body.Len()+len(p) > longestAnswer:
		w.tooLong = true
		return 0, errTooLong
	}
	return w.body.Write(p)
}

// response converts what the handler wrote.
func (w *recorder) response() events.APIGatewayV2HTTPResponse {
	w.WriteHeader(http.StatusOK)
	body := w.body.Bytes()
	if len(body) > 0 && w.sent.Values("Content-Type") == nil {
		w.sent.Set("Content-Type", http.DetectContentType(body))
	}
	if w.head {
		body = nil
	}
	out := events.APIGatewayV2HTTPResponse{StatusCode: w.status, Headers: make(map[string]string, len(w.sent))}
	for name, values := range w.sent {
		switch {
		case len(values) == 0 || name == "Content-Length": // the API sets it
		case name == "Set-Cookie": // the one header that cannot be joined (RFC 9110, 5.3)
			out.Cookies = append(out.Cookies, values...)
		default:
			out.Headers[strings.ToLower(name)] = strings.Join(values, ", ")
		}
	}
	if isText(w.sent.Get("Content-Type")) && utf8.Valid(body) {
		out.Body = string(body)
	} else if len(body) > 0 {
		out.Body, out.IsBase64Encoded = base64.StdEncoding.EncodeToString(body), true
	}
	return out
}

// isText says whether a body of this type may travel as a JSON string.
func isText(contentType string) bool {
	t, _, err := mime.ParseMediaType(contentType)
	return err == nil && (strings.HasPrefix(t, "text/") || t == "application/json" || strings.HasPrefix(t, "application/") && strings.HasSuffix(t, "+json"))
}

// problem is the answer where no handler could give one (RFC 9457). What it was about can
// be repeated as it was after a 500, and never after a 400.
func problem(status int) events.APIGatewayV2HTTPResponse {
	code, detail := "internal_error", "Something went wrong here. It has been noted."
	if status == http.StatusBadRequest {
		code, detail = "malformed_request", "The request cannot be read."
	}
	body, err := json.Marshal(map[string]any{
		"type": "about:blank", "title": http.StatusText(status), "status": status,
		"code": code, "detail": detail, "retryable": status >= http.StatusInternalServerError,
	})
	if err != nil {
		panic("apigw: a map of plain values is no JSON")
	}
	return events.APIGatewayV2HTTPResponse{
		StatusCode: status,
		Headers:    map[string]string{"content-type": "application/problem+json", "cache-control": "no-store"},
		Body:       string(body),
	}
}

package bank

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"time"
)

// never is longer than any run: simulated time does not pass by a real clock.
const never = 1000 * time.Hour

// Transport is Toss at the other end of its real adapter's connections, of whichever version that is.
func (t *Toss) Transport() http.RoundTripper { return wire(t.serve) }

// Transport is Dodo at the other end of its real adapter's connections, of whichever version that is.
func (d *Dodo) Transport() http.RoundTripper { return wire(d.serve) }

// object is a JSON object of an answer.
type object map[string]any

// wire is a gateway as its real adapter sees it.
type wire func(r *http.Request, part []string, body []byte) (status int, answer any, unsent bool)

var errReset = errors.New("bank: connection reset")

// RoundTrip answers a request; a status of 0 is none.
func (w wire) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	status, answer, unsent := w(r, strings.Split(strings.Trim(r.URL.Path, "/"), "/"), body)
	if trace := httptrace.ContextClientTrace(r.Context()); unsent && trace != nil && trace.GetConn != nil {
		trace.GetConn("") // a connection was asked for, and there was none
	}
	if status == 0 {
		return nil, errReset
	}
	text, err := json.Marshal(answer)
	if err != nil {
		return nil, err
	}
	return &http.Response{
		StatusCode: status, ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{}, Request: r, Body: io.NopCloser(bytes.NewReader(text)),
	}, nil
}

func failure(code string) object { return object{"code": code, "message": "of the gateway"} }

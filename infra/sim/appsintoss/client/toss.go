// Package client plays a mini-app on a customer's phone: it buys through the SDK of
// Apps-in-Toss as the simulator acts it out, has the server under test grant, and recovers
// at its next start. The one idea: a phone may die at any moment, and so this one dies where
// it is told to; what it had asked of the server goes on without it. Begin at New.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"grantline/infra/sim/appsintoss"
)

// Toss is the Toss app that a phone has, by way of the simulator's controls.
type Toss struct {
	base   string
	client *http.Client
}

// At is the simulator whose controls are below an address, such as
// http://127.0.0.1:4000/_sim/appsintoss. A nil client is http.DefaultClient.
func At(base string, client *http.Client) *Toss {
	if client == nil {
		client = http.DefaultClient
	}
	return &Toss{base, client}
}

// In is a simulator of the same process.
func In(s *appsintoss.Simulator) *Toss {
	return &Toss{"http://simulator", &http.Client{Transport: inside{s.Control()}}}
}

// inside takes calls to a handler without a network.
type inside struct{ handler http.Handler }

// RoundTrip calls the handler.
func (i inside) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	recorder := httptest.NewRecorder()
	i.handler.ServeHTTP(recorder, r)
	return recorder.Result(), nil
}

// maxAnswer bounds the answer of a control, in bytes.
const maxAnswer = 1 << 20

// ask uses a control.
func ask[A any](ctx context.Context, t *Toss, control string, body any) (A, error) {
	var answer A
	text, err := json.Marshal(body)
	if err != nil {
		return answer, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, t.base+"/"+control, bytes.NewReader(text))
	if err != nil {
		return answer, err
	}
	r.Header.Set("Content-Type", "application/json")
	response, err := t.client.Do(r)
	if err != nil {
		return answer, err
	}
	defer func() { _ = response.Body.Close() }()
	text, err = io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return answer, err
	}
	if response.StatusCode != http.StatusOK {
		return answer, fmt.Errorf("the simulator does not take %s: %d %s", control, response.StatusCode, text)
	}
	return answer, json.Unmarshal(text, &answer)
}

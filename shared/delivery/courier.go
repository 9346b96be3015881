package delivery

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"grantline/shared/transport"
)

// Wait bounds one request, from the connect to the end of the answer (Standard Webhooks:
// 15 to 30 seconds).
const Wait = 15 * time.Second

// mostAnswer is how many bytes of an answer are read, so that its connection can be kept.
const mostAnswer = 64 << 10

// Courier carries requests to endpoints.
type Courier struct {
	By http.RoundTripper // Transport(), but in tests
}

// outcome is what became of a request.
type outcome struct {
	OK     bool
	Status int    // 0: no answer
	Why    string // in our own words, "" if it was taken
	ours   bool   // nothing was sent, by a fault of ours
}

// post sends a body once, signed by each of the secrets that count at now. Its errors are bugs;
// what goes wrong on the way is an outcome.
func (c Courier) post(ctx context.Context, e Endpoint, s Secrets, id string, now time.Time, body []byte, header http.Header) (outcome, error) {
	signature, err := s.sign(id, now, body)
	if err != nil {
		return outcome{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, Wait)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, e.URL, bytes.NewReader(body))
	if err != nil {
		return outcome{}, errors.New("delivery: bug: the address of an endpoint cannot be used") // whose text holds it
	}
	for name, values := range header {
		request.Header[name] = values
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "Grantline")
	request.Header.Set(standardwebhooks.HeaderWebhookID, id)
	request.Header.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(now.Unix(), 10))
	request.Header.Set(standardwebhooks.HeaderWebhookSignature, signature)
	response, err := transport.Client(c.By).Do(request)
	if errors.Is(err, errGuarded) {
		return outcome{Why: "the address is not on the Internet"}, nil
	}
	if err != nil {
		return outcome{Why: transport.Why(err)}, nil
	}
	defer func() { _ = response.Body.Close() }()                          // only read
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, mostAnswer)) // the status has said it all
	if formats[e.Format].OK(response.StatusCode) {
		return outcome{OK: true, Status: response.StatusCode}, nil
	}
	return outcome{Status: response.StatusCode, Why: "it was not taken"}, nil
}

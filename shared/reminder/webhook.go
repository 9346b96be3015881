package reminder

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"grantline/shared/clock"
	"grantline/shared/event"
	"grantline/shared/fault"
)

const (
	webhookWait = 10 * time.Second
	maxAnswer   = 64 << 10 // bytes of an answer that are read, so that its connection can be kept
	leastSecret = 24       // bytes (Standard Webhooks, "Signature scheme")
	mostSecrets = 4        // at once, while one is rotated
)

// Webhook is the channel to the company's own server, which then tells its customer as it
// likes. A request is signed by Standard Webhooks; any answer of 2xx is success.
type Webhook struct {
	// URL is https; plain http is for this machine and a local build, which whoever reads
	// the configuration sees to. Redirects are not followed.
	URL string
	// Secrets gives one signing secret, "whsec_" and base64 of at least 24 bytes, or up to
	// four of them separated by commas, of which the receiver needs to know one. Fresh asks
	// to look past what is cached, after the receiver answered 401.
	Secrets func(ctx context.Context, fresh bool) (string, error)
	Clock   clock.Clock
	// Transport replaces the default one, in tests.
	Transport http.RoundTripper
}

var _ Channel = (*Webhook)(nil)

// Name is for logs.
func (*Webhook) Name() string { return "webhook" }

// Reaches is always true: the company knows its customers by their ids.
func (*Webhook) Reaches(Reminder) bool { return true }

// Payload is the body of the request. It has no e-mail address and no telephone number;
// the message may greet the customer by name.
type Payload struct {
	Type      event.Type `json:"type"` // dunning.reminder
	Timestamp time.Time  `json:"timestamp"`
	Data      Data       `json:"data"`
}

// Data is what the reminder is about.
type Data struct {
	Project        string     `json:"project"`
	Environment    string     `json:"environment"`
	SubscriptionID string     `json:"subscriptionId"`
	CustomerID     string     `json:"customerId"`
	PlanName       string     `json:"planName"`
	Amount         int64      `json:"amount"` // smallest unit of Currency
	Currency       string     `json:"currency"`
	NextAttemptAt  *time.Time `json:"nextAttemptAt,omitzero"` // UTC; absent where none is planned
	Zone           string     `json:"zone"`
	Period         int        `json:"period"`  // from 0
	Attempt        int        `json:"attempt"` // from 1
	DeclineCode    string     `json:"declineCode,omitzero"`
	Link           string     `json:"link,omitzero"`
	Message        Words      `json:"message"`
}

// Words is the message, for a server that only passes it on.
type Words struct {
	Locale  string `json:"locale"`
	Subject string `json:"subject"`
	Text    string `json:"text"`
	HTML    string `json:"html"`
	Short   string `json:"short"`
}

// Tell posts the reminder. Errors: fault.Unavailable.
func (w *Webhook) Tell(ctx context.Context, r Reminder, m Message) error {
	ctx, cancel := context.WithTimeout(ctx, webhookWait)
	defer cancel()
	now := w.Clock.Now()
	body, err := json.Marshal(payload(r, m, now))
	if err != nil {
		return fmt.Errorf("reminder: bug: the webhook's body is no JSON: %w", err)
	}
	used := ""
	for _, fresh := range []bool{false, true} {
		secrets, err := w.Secrets(ctx, fresh)
		if err != nil {
			return err
		}
		if secrets == used {
			break // the receiver refused them, and there are no others
		}
		used = secrets
		signature, err := sign(secrets, r.ID, now, body)
		if err != nil {
			return unavailable(err)
		}
		status, err := w.post(ctx, r.ID, now, signature, body)
		if err != nil {
			return unavailable(err)
		}
		if status >= 200 && status < 300 {
			return nil
		}
		if status != http.StatusUnauthorized {
			return unavailable(fmt.Errorf("the receiver answered %d", status))
		}
	}
	return unavailable(errors.New("the receiver answered 401"))
}

func payload(r Reminder, m Message, now time.Time) Payload {
	d := Data{
		Project: r.Scope.Project, Environment: r.Scope.Environment, SubscriptionID: r.SubscriptionID, CustomerID: r.CustomerID,
		PlanName: r.PlanName, Amount: r.Amount.Units, Currency: r.Amount.Currency, Zone: r.Zone, Period: r.Period,
		Attempt: r.Attempt, DeclineCode: r.DeclineCode, Link: safeLink(r.Link), Message: Words(m),
	}
	if !r.NextAttemptAt.IsZero() {
		at := r.NextAttemptAt.UTC()
		d.NextAttemptAt = &at
	}
	return Payload{Type: event.DunningReminder, Timestamp: now, Data: d}
}

// sign makes the signatures of all secrets, separated by spaces (Standard Webhooks,
// "Webhook headers"). Its errors say nothing of a secret.
func sign(secrets, id string, at time.Time, body []byte) (string, error) {
	var signatures []string
	for secret := range strings.SplitSeq(secrets, ",") {
		// The library says in its error at which byte a secret is no base64.
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(strings.TrimSpace(secret), "whsec_"))
		if err != nil || len(key) < leastSecret || len(signatures) == mostSecrets {
			return "", errors.New("the webhook's secret should be up to four of whsec_ and base64 of at least 24 bytes, comma-separated")
		}
		signer, err := standardwebhooks.NewWebhookRaw(key)
		if err != nil {
			return "", errors.New("the webhook's secret cannot be used")
		}
		signature, err := signer.Sign(id, at, body)
		if err != nil {
			return "", errors.New("the webhook cannot be signed")
		}
		signatures = append(signatures, signature)
	}
	return strings.Join(signatures, " "), nil
}

// post sends the body once and returns the status.
func (w *Webhook) post(ctx context.Context, id string, at time.Time, signature string, body []byte) (int, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, w.URL, bytes.NewReader(body))
	if err != nil {
		return 0, errors.New("the webhook's address cannot be used")
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "Grantline")
	request.Header.Set(standardwebhooks.HeaderWebhookID, id)
	request.Header.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(at.Unix(), 10))
	request.Header.Set(standardwebhooks.HeaderWebhookSignature, signature)
	client := &http.Client{
		Transport:     w.Transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	response, err := client.Do(request)
	if err != nil {
		if full, ok := errors.AsType[*url.Error](err); ok {
			err = full.Err // the address itself may be a secret of the receiver's
		}
		return 0, err
	}
	defer func() { _ = response.Body.Close() }()                         // only read
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, maxAnswer)) // the status has said it all
	return response.StatusCode, nil
}

func unavailable(cause error) error {
	return fault.New(fault.Unavailable, "webhook_unavailable", "The company's server did not take the reminder.").Because(cause)
}

package dodo

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"grantline/shared/fault"
)

const (
	// tolerance is how far a notice's time stamp may be from our clock, both ways
	// (Standard Webhooks, "Verifying webhook authenticity").
	tolerance = 5 * time.Minute
	// minSecret is the least that a secret has, in bytes (Standard Webhooks, "Symmetric
	// signature"). The library takes an empty one, with which anybody can sign.
	minSecret = 24
	// maxSecrets bounds the secrets that are tried; a rotation has two.
	maxSecrets = 10
	// maxSignature bounds the header with the signatures, in bytes; one is 47.
	maxSignature = 4 << 10
	// maxNotice bounds a notice, in bytes; 20 kB is what the standard recommends.
	maxNotice = 1 << 20
)

// noticeShape is a webhook-id. It has no full stop, which separates what is signed.
var noticeShape = regexp.MustCompile(`^[A-Za-z0-9_-]{1,255}$`)

// Verifier tells Dodo's notices from everybody else's. It is safe for concurrent use.
type Verifier struct {
	secrets func(ctx context.Context, fresh bool) (string, error)
}

// NewVerifier makes a verifier of a source of secrets, comma-separated, as Dodo shows them
// (whsec_…). Fresh asks it to look past what it has cached, after no secret matched.
func NewVerifier(secrets func(ctx context.Context, fresh bool) (string, error)) (*Verifier, error) {
	if secrets == nil {
		return nil, errors.New("dodo: a Verifier needs its secrets")
	}
	return &Verifier{secrets}, nil
}

// Hint is what a verified notice points to. Nothing is decided by it: its order is not
// kept, and it shows the state at delivery, not at the event. What cannot be read, and
// what a notice of its type has not got, is "".
type Hint struct {
	ID           string    // webhook-id, the same for every delivery of one notice
	Type         string    // "payment.succeeded", …; also one that we do not know
	Timestamp    time.Time // of the event; zero if it cannot be read
	Payment      string    // Dodo's id of the payment
	Mandate      string    // Dodo's id of the subscription
	OrderID      string    // ours, from the metadata
	Subscription string    // ours, from the metadata
	Status       string    // of the payment, subscription, refund or dispute
}

var errForged = fault.New(fault.Unauthenticated, "signature_invalid", "The notice does not have a valid signature of Dodo Payments.")

// Verify checks a notice's signature over the body as it came, and its time stamp against
// now. Its errors are fault.Unauthenticated for whatever does not verify;
// fault.Malformed for a notice of Dodo's that is no JSON object; fault.Unavailable when
// the secrets cannot be had, or are not fit to verify with.
func (v *Verifier) Verify(ctx context.Context, header http.Header, body []byte, now time.Time) (Hint, error) {
	if !plausible(header, body, now) {
		return Hint{}, errForged
	}
	listed, err := v.signed(ctx, false, header, body, "")
	if errors.Is(err, fault.Unauthenticated) {
		_, err = v.signed(ctx, true, header, body, listed)
	}
	if err != nil {
		return Hint{}, err
	}
	notice := readObject(body)
	if notice == nil {
		return Hint{}, fault.New(fault.Malformed, "notice_unreadable", "The notice is not a JSON object.")
	}
	data := notice.object("data")
	metadata := data.object("metadata")
	return Hint{
		ID:           header.Get(standardwebhooks.HeaderWebhookID),
		Type:         word(notice.text("type")),
		Timestamp:    notice.at("timestamp"),
		Payment:      data.id("payment_id"),
		Mandate:      data.id("subscription_id"),
		OrderID:      metadata.id(orderField),
		Subscription: metadata.id(subscriptionField),
		Status:       word(data.text("status")),
	}, nil
}

// plausible says whether a notice is worth asking for the secrets: it has each header
// once, in its form, and was signed now.
func plausible(header http.Header, body []byte, now time.Time) bool {
	for _, name := range []string{standardwebhooks.HeaderWebhookID, standardwebhooks.HeaderWebhookTimestamp, standardwebhooks.HeaderWebhookSignature} {
		if len(header.Values(name)) != 1 {
			return false
		}
	}
	stamp := header.Get(standardwebhooks.HeaderWebhookTimestamp)
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil || strconv.FormatInt(seconds, 10) != stamp {
		return false
	}
	sent := time.Unix(seconds, 0)
	return !sent.Before(now.Add(-tolerance)) && !sent.After(now.Add(tolerance)) && len(body) <= maxNotice &&
		len(header.Get(standardwebhooks.HeaderWebhookSignature)) <= maxSignature && noticeShape.MatchString(header.Get(standardwebhooks.HeaderWebhookID))
}

// signed tries each secret, unless they are those that were tried already. It returns the
// list that it tried.
func (v *Verifier) signed(ctx context.Context, fresh bool, header http.Header, body []byte, tried string) (string, error) {
	listed, err := v.secrets(ctx, fresh)
	if err != nil { // whose text may name the value
		return "", unverifiable("the webhook secrets could not be had")
	}
	if fresh && listed == tried {
		return listed, errForged
	}
	secrets := strings.Split(listed, ",")
	if len(secrets) > maxSecrets {
		return "", unverifiable("there are too many webhook secrets")
	}
	matched := false
	for _, secret := range secrets {
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(strings.TrimSpace(secret), "whsec_"))
		if err != nil || len(key) < minSecret {
			return "", unverifiable("a webhook secret is not base64 of 24 bytes or more")
		}
		hook, err := standardwebhooks.NewWebhookRaw(key)
		if err != nil {
			return "", unverifiable("a webhook secret cannot be used")
		}
		matched = hook.VerifyIgnoringTimestamp(body, header) == nil || matched
	}
	if !matched {
		return listed, errForged
	}
	return listed, nil
}

func unverifiable(why string) error {
	return fault.New(fault.Unavailable, "notice_unverifiable", "The notice cannot be verified now; send it again.").Because(errors.New("dodo: " + why))
}

// word passes a type or a status: lower-case words with dots and underscores between.
func word(s string) string {
	if !wordShape.MatchString(s) {
		return ""
	}
	return s
}

var wordShape = regexp.MustCompile(`^[a-z][a-z0-9_.]{0,63}$`)

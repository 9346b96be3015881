package delivery

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"strings"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"grantline/shared/fault"
)

const (
	secretBytes = 32
	// overlap is how long a secret that was rotated still signs beside the new one.
	overlap = 24 * time.Hour
	// mostOld bounds the old ones, should somebody rotate again and again.
	mostOld           = 3
	mostAuthorization = 1000
)

// Secrets are what an endpoint knows us by.
type Secrets struct {
	// Signing signs every request (Standard Webhooks, "whsec_" and base64).
	Signing string `json:"signing"`
	Old     []old  `json:"old,omitempty"`
	// Authorization is the header's value, in the format revenuecat alone.
	Authorization string `json:"authorization,omitempty"`
}

type old struct {
	Signing string    `json:"signing"`
	Until   time.Time `json:"until"`
}

func newSecret() []byte {
	secret := make([]byte, secretBytes)
	rand.Read(secret)
	return secret
}

// newSecrets makes an endpoint's first secrets; authorization is the company's own, "" for one
// of ours.
func newSecrets(format, authorization string) Secrets {
	s := Secrets{Signing: "whsec_" + base64.StdEncoding.EncodeToString(newSecret())}
	if format == RevenueCat {
		if s.Authorization = authorization; authorization == "" {
			s.Authorization = "Bearer " + base64.RawURLEncoding.EncodeToString(newSecret())
		}
	}
	return s
}

// rotated puts new secrets in the place of these, the signing one of which goes on signing for
// a day. A header has room for one Authorization alone: the new one counts at once.
func (s Secrets) rotated(format, authorization string, now time.Time) Secrets {
	next := newSecrets(format, authorization)
	next.Old = []old{{s.Signing, now.Add(overlap)}}
	for _, o := range s.Old {
		if now.Before(o.Until) && len(next.Old) < mostOld {
			next.Old = append(next.Old, o)
		}
	}
	return next
}

func validAuthorization(format, value string) error {
	bad := func(r rune) bool { return r < ' ' || r > '~' }
	switch {
	case value == "":
		return nil
	case format != RevenueCat:
		return fault.New(fault.Malformed, "invalid_request", "authorization belongs to the format revenuecat alone.")
	case len(value) < 16, len(value) > mostAuthorization, strings.ContainsFunc(value, bad), strings.TrimSpace(value) != value:
		return fault.New(fault.Malformed, "invalid_request", "authorization should be 16 to %d printable characters of ASCII.", mostAuthorization)
	}
	return nil
}

// sign makes the signatures of all secrets that count at an instant, the newest first,
// separated by spaces (Standard Webhooks, "Webhook headers"). Its errors say nothing of a secret.
func (s Secrets) sign(id string, at time.Time, body []byte) (string, error) {
	all := []string{s.Signing}
	for _, o := range s.Old {
		if at.Before(o.Until) {
			all = append(all, o.Signing)
		}
	}
	signatures := make([]string, len(all))
	for i, secret := range all {
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
		if err != nil || len(key) != secretBytes {
			return "", errors.New("delivery: bug: a signing secret is not what was made")
		}
		signer, err := standardwebhooks.NewWebhookRaw(key)
		if err != nil {
			return "", errors.New("delivery: bug: a signing secret cannot be used")
		}
		if signatures[i], err = signer.Sign(id, at, body); err != nil {
			return "", errors.New("delivery: bug: a webhook cannot be signed")
		}
	}
	return strings.Join(signatures, " "), nil
}

package appsintoss

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/http"
	"strings"

	"grantline/shared/fault"
	"grantline/shared/notice"
	"grantline/shared/purchase"
)

const (
	// minSecret is the least that the secret of webhooks has, in bytes. There is nothing else
	// that tells Toss from anybody.
	minSecret = 16
	// maxAuthorization bounds the header that shows it, in bytes.
	maxAuthorization = 4 << 10
)

// Door lets in the webhooks of Apps-in-Toss. They have no signature: who knows the secret
// that was typed into Toss's console is Toss.
type Door struct {
	// Secret gives that secret as it was typed. Fresh asks it to look past what it has
	// cached, after another one was shown; it bounds itself how often it does.
	Secret func(ctx context.Context, fresh bool) (string, error)
	Log    *slog.Logger
}

// ReadHint reads a webhook. Toss's console, and whatever nobody will ever understand, are
// hints that name nothing, of types "registration" and "unreadable": to refuse what is
// Toss's would only bring it again. There is no id of an event, so a webhook is known by the
// hash of its body, which is the same each time that it is sent. Errors:
// fault.Unauthenticated for whoever does not show the secret, fault.Unavailable where the
// secret cannot be had or is too short to be one.
func (d *Door) ReadHint(ctx context.Context, header http.Header, body []byte) (notice.Hint, error) {
	if err := d.authenticate(ctx, header); err != nil {
		return notice.Hint{}, err
	}
	sum := sha256.Sum256(body)
	h := notice.Hint{Signed: true, ID: "sha256-" + hex.EncodeToString(sum[:]), Type: "unreadable"}
	e, err := ParseEvent(body)
	switch {
	case err != nil:
		// Nobody can ask Toss how a subscription stands, so what is lost here is lost.
		d.Log.ErrorContext(ctx, "A webhook of Apps-in-Toss cannot be understood, and is kept as that.", "alarm", true, "error", err)
	case e.Type == Registration:
		h.Type = "registration"
	default:
		h.Type = "subscription." + kindOf(e.Reason)
		h.Order, h.Line, h.Evidence = purchase.OrderID(Name, e.OrderID), e.OrderID, e.Evidence()
	}
	return h, nil
}

// kindOf is a changeReason as part of a type, "other" if it is no single word.
func kindOf(reason string) string {
	if !codeShape.MatchString(reason) {
		return "other"
	}
	return strings.ToLower(reason)
}

var errStranger = fault.New(fault.Unauthenticated, "secret_invalid", "The webhook does not show the secret of Apps-in-Toss.")

// authenticate says whether the sender knows the secret. One that does not match may be newer
// than ours, and one that is unfit may have been replaced, so a fresh one is looked at once.
func (d *Door) authenticate(ctx context.Context, header http.Header) error {
	shown, ok := credential(header)
	if !ok {
		return errStranger
	}
	fit := false
	for _, fresh := range []bool{false, true} {
		secret, err := d.Secret(ctx, fresh)
		if err != nil { // whose text may name the value
			return unverifiable("the secret of webhooks could not be had")
		}
		if fit = len(secret) >= minSecret; fit && same(shown, secret) {
			return nil
		}
	}
	if !fit {
		return unverifiable("the secret of webhooks is shorter than 16 bytes")
	}
	return errStranger
}

// credential is what stands behind Basic or Bearer in the only Authorization there is. Toss
// documents the one and has been seen to send the other, with the same text behind it.
func credential(header http.Header) (string, bool) {
	values := header.Values("Authorization")
	if len(values) != 1 || len(values[0]) > maxAuthorization {
		return "", false
	}
	scheme, shown, ok := strings.Cut(values[0], " ")
	scheme = strings.ToLower(scheme)
	return shown, ok && (scheme == "basic" || scheme == "bearer")
}

// same compares in a time that says nothing of either text, their lengths included.
func same(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

func unverifiable(why string) error {
	return fault.New(fault.Unavailable, "notice_unverifiable", "The webhook cannot be verified now; send it again.").
		Because(errors.New("appsintoss: " + why))
}

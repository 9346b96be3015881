package apple

import (
	"context"
	"errors"

	"grantline/shared/fault"
	"grantline/shared/notice"
	"grantline/shared/purchase"
)

// HintOf says where a notification points to. The payload goes along, for where no API can
// be asked it is all that is known; whoever looks verifies it again.
func HintOf(n Notification, signedPayload string) notice.Hint {
	h := notice.Hint{Signed: true, ID: n.UUID, Type: n.Name()}
	if t := n.Transaction; t != nil {
		h.Order, h.Line, h.Evidence = purchase.OrderID(Name, t.TransactionID), t.OriginalTransactionID, signedPayload
	}
	return h
}

// maxNotice bounds the body of a webhook, in bytes: what was signed, its name, and some room
// for what Apple may add. Anybody can send a body.
const maxNotice = maxSigned + 4<<10

// ReadHint reads the body of a webhook ({"signedPayload"}). What Apple signed about
// another app, or for an environment that is not accepted here, names nothing: to refuse
// it would only bring it again. Errors: fault.Unauthenticated for what Apple did not sign
// or nobody can read, never fault.Malformed, since Apple does not repeat what was answered
// 400; fault.Unavailable for what cannot be verified now.
func (v *Verifier) ReadHint(ctx context.Context, body []byte) (notice.Hint, error) {
	if len(body) > maxNotice {
		return notice.Hint{}, unbelieved(ErrFormat)
	}
	members, err := readObject(body)
	if err != nil {
		return notice.Hint{}, unbelieved(err)
	}
	var signed string
	for _, m := range members {
		if m.name == "signedPayload" {
			if signed, err = text(m.value); err != nil {
				return notice.Hint{}, unbelieved(err)
			}
		}
	}
	n, err := v.Notification(ctx, signed)
	switch {
	case errors.Is(err, fault.Unavailable):
		return notice.Hint{}, err
	case errors.Is(err, ErrBundle), errors.Is(err, ErrApp), errors.Is(err, ErrEnvironment):
		return notice.Hint{Signed: true, ID: string(errReason(err)), Type: "another_app"}, nil
	case err != nil:
		return notice.Hint{}, unbelieved(err)
	}
	return HintOf(n, signed), nil
}

func errReason(err error) Reason {
	var r Reason
	errors.As(err, &r)
	return r
}

// unbelieved keeps the reason of a refusal and not its kind, which might be fault.Malformed.
func unbelieved(cause error) error {
	return fault.New(fault.Unauthenticated, "invalid_notice", "The notice was not signed by Apple.").Because(errReason(cause))
}

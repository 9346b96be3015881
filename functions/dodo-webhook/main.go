// Dodo-webhook takes the webhooks of Dodo Payments, signed by Standard Webhooks.
package main

import (
	"context"
	"errors"
	"net/http"

	"grantline/shared/aws/apigw"
	"grantline/shared/aws/queue"
	"grantline/shared/aws/secret"
	"grantline/shared/aws/setting"
	"grantline/shared/clock"
	"grantline/shared/dodo"
	"grantline/shared/fault"
	"grantline/shared/notice"
	"grantline/shared/table"
	"grantline/shared/web"
)

func main() {
	r, now, log, config := setting.Read(), clock.System(), setting.Logger(), setting.AWS()
	webhooks := &web.Webhooks{
		Provider: "dodo", Clock: now, Log: log,
		Queue:  queue.NewSender[notice.Hint](queue.Client(config), r.QueueURL("NOTICES_QUEUE_URL"), now),
		Scopes: map[table.Scope]web.Webhook{},
	}
	if secrets := r.OptionalSecret("DODO_WEBHOOK_SECRETS"); secrets.Given() {
		verifier, err := dodo.NewVerifier(secret.NewVault(config, now, log).Open(secrets))
		if err != nil {
			r.Refuse("DODO_WEBHOOK_SECRETS", "usable: "+err.Error())
		}
		webhooks.Scopes[table.Default] = reader(verifier, now)
	}
	r.Check()

	apigw.Start(webhooks)
}

// reader verifies. What is genuine and can never be understood is kept as that, since to
// refuse it would only bring it again.
func reader(verifier *dodo.Verifier, now clock.Clock) web.Webhook {
	return func(ctx context.Context, header http.Header, body []byte) (notice.Hint, error) {
		h, err := verifier.Verify(ctx, header, body, now.Now())
		if errors.Is(err, fault.Malformed) {
			return notice.Hint{Signed: true, ID: header.Get("Webhook-Id")}, nil
		}
		return notice.Hint{
			Signed: true, ID: h.ID, Type: h.Type, Payment: h.Payment, Mandate: h.Mandate, Order: h.OrderID, Subscription: h.Subscription,
		}, err
	}
}

// Appsintoss-webhook takes what Apps-in-Toss sends about subscriptions, behind the secret
// that was typed into its console. It has the queue and that secret, and nothing else.
package main

import (
	"grantline/shared/appsintoss"
	"grantline/shared/aws/apigw"
	"grantline/shared/aws/queue"
	"grantline/shared/aws/secret"
	"grantline/shared/aws/setting"
	"grantline/shared/clock"
	"grantline/shared/notice"
	"grantline/shared/table"
	"grantline/shared/web"
)

func main() {
	r, now, log, config := setting.Read(), clock.System(), setting.Logger(), setting.AWS()
	webhooks := &web.Webhooks{
		Provider: appsintoss.Name, Clock: now, Log: log, Cuts: true,
		Queue:  queue.NewSender[notice.Hint](queue.Client(config), r.QueueURL("NOTICES_QUEUE_URL"), now),
		Scopes: map[table.Scope]web.Webhook{},
	}
	if shared := r.OptionalSecret("APPS_IN_TOSS_WEBHOOK_SECRET"); shared.Given() {
		door := &appsintoss.Door{Secret: secret.NewVault(config, now, log).Open(shared), Log: log}
		webhooks.Scopes[table.Default] = door.ReadHint
	}
	r.Check()

	apigw.Start(webhooks)
}

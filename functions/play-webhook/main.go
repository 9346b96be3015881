// Play-webhook takes Google Play's real-time developer notifications, pushed by Pub/Sub
// with a token of Google's. It has the queue and nothing else: no tables, and no credentials
// for Play.
package main

import (
	"errors"

	"grantline/shared/aws/apigw"
	"grantline/shared/aws/queue"
	"grantline/shared/aws/setting"
	"grantline/shared/clock"
	"grantline/shared/notice"
	"grantline/shared/play"
	"grantline/shared/table"
	"grantline/shared/web"
)

func main() {
	r, now, log, config := setting.Read(), clock.System(), setting.Logger(), setting.AWS()
	webhooks := &web.Webhooks{
		Provider: "play", Clock: now, Log: log, Cuts: true,
		Queue:  queue.NewSender[notice.Hint](queue.Client(config), r.QueueURL("NOTICES_QUEUE_URL"), now),
		Scopes: map[table.Scope]web.Webhook{},
	}
	if names := r.List("PLAY_PACKAGE_NAMES", "the package names of the app"); len(names) > 0 {
		push, err := play.NewPush(play.PushConfig{
			Packages:     names,
			Audience:     r.Text("PLAY_PUSH_AUDIENCE", "the audience that the push subscription signs for"),
			Email:        r.Text("PLAY_PUSH_EMAIL", "the e-mail address of the push subscription's service account"),
			KeysURL:      r.URL("PLAY_PUSH_KEYS_URL", "the address of the keys that Google signs with"),
			Subscription: r.OptionalText("PLAY_PUSH_SUBSCRIPTION", ""),
			Clock:        now, Log: log,
		})
		// What is not set was refused by its name already.
		if errors.Is(err, play.ErrPackages) {
			r.Refuse("PLAY_PACKAGE_NAMES", "the package names of the app, such as com.example.app")
		}
		if errors.Is(err, play.ErrEmail) {
			r.Refuse("PLAY_PUSH_EMAIL", "the e-mail address of the push subscription's service account")
		}
		if errors.Is(err, play.ErrSubscription) {
			r.Refuse("PLAY_PUSH_SUBSCRIPTION", "the push subscription, such as projects/example/subscriptions/play")
		}
		webhooks.Scopes[table.Default] = push.ReadHint
	}
	r.Check()

	apigw.Start(webhooks)
}

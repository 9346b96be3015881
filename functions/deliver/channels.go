package main

import (
	"context"
	"log/slog"

	"github.com/aws/aws-sdk-go-v2/aws"

	"grantline/shared/aws/mail"
	"grantline/shared/aws/secret"
	"grantline/shared/aws/setting"
	"grantline/shared/aws/text"
	"grantline/shared/clock"
	"grantline/shared/reminder"
)

// courier reads by which ways customers are told. Without any, the event that each reminder
// is about is all there is.
func courier(r *setting.Reader, config func(context.Context) (aws.Config, error), vault *secret.Vault, now clock.Clock, log *slog.Logger) reminder.Courier {
	c := reminder.Courier{Log: log}
	if from := r.OptionalText("REMINDER_FROM", ""); from != "" {
		if !mail.Address(from) {
			r.Refuse("REMINDER_FROM", "one bare e-mail address that Amazon SES has verified")
		}
		c.Channels = append(c.Channels, mail.New(mail.Client(config), from))
	}
	if r.Choice("REMINDER_SMS", "off", "on", "off") == "on" {
		c.Channels = append(c.Channels, text.New(text.Client(config)))
	}
	if url := r.OptionalURL("REMINDER_WEBHOOK_URL", "the address of the company's server for reminders", ""); url != "" {
		c.Channels = append(c.Channels, &reminder.Webhook{URL: url, Secrets: vault.Open(r.Secret("REMINDER_WEBHOOK_SECRET")), Clock: now})
	}
	if template := r.OptionalText("REMINDER_LINK", ""); template != "" {
		var err error
		if c.Link, err = reminder.ParseLink(template); err != nil {
			r.Refuse("REMINDER_LINK", "an https address, with {subscriptionId} in its path, query or fragment")
		}
	}
	if len(c.Channels) == 0 {
		log.Info("Reminders are events alone: REMINDER_FROM, REMINDER_SMS and REMINDER_WEBHOOK_URL are not set.")
	}
	return c
}

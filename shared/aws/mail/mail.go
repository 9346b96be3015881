// Package mail tells customers by e-mail, through Amazon SES. The one idea: SES is given
// parts, never a message in raw form, so that nobody's name or plan can add a header; and
// of what SES answers only its code is repeated, since its text may quote an address.
package mail

import (
	"context"
	"errors"
	"net/mail"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"
	"github.com/aws/aws-sdk-go-v2/service/sesv2/types"
	"github.com/aws/smithy-go"

	"grantline/shared/fault"
	"grantline/shared/reminder"
)

const charset = "UTF-8"

// API is what a Mailer uses of a *sesv2.Client.
type API interface {
	SendEmail(context.Context, *sesv2.SendEmailInput, ...func(*sesv2.Options)) (*sesv2.SendEmailOutput, error)
}

// Client returns the way to a client of SES, which is made when it is first asked for.
func Client(config func(context.Context) (aws.Config, error)) func(context.Context) (API, error) {
	var mu sync.Mutex
	var client *sesv2.Client
	return func(ctx context.Context) (API, error) {
		mu.Lock()
		defer mu.Unlock()
		if client == nil {
			c, err := config(ctx)
			if err != nil {
				return nil, err
			}
			client = sesv2.NewFromConfig(c)
		}
		return client, nil
	}
}

// Mailer is the channel. It is safe for use by many goroutines.
type Mailer struct {
	client func(context.Context) (API, error)
	from   string
}

var _ reminder.Channel = (*Mailer)(nil)

// New makes a Mailer that sends from an address for which Address is true, and which SES
// has verified. Nothing is asked of SES yet.
func New(client func(context.Context) (API, error), from string) *Mailer {
	return &Mailer{client, from}
}

// Address says whether text is one bare e-mail address that SES takes: ASCII alone, a
// domain with other characters as Punycode (Amazon SES API v2, SendEmail).
func Address(text string) bool {
	for _, r := range text {
		if r <= ' ' || r >= 0x7f {
			return false
		}
	}
	a, err := mail.ParseAddress(text)
	return err == nil && a.Address == text && len(text) <= 320
}

// Name is for logs.
func (*Mailer) Name() string { return "email" }

// Reaches says whether the customer has an e-mail address.
func (*Mailer) Reaches(r reminder.Reminder) bool { return Address(r.Email) }

// Tell sends the message. Errors: fault.Invalid where SES refuses the address as none;
// fault.Unavailable for everything else, a sender that is not verified included, since
// that can be mended.
func (m *Mailer) Tell(ctx context.Context, r reminder.Reminder, message reminder.Message) error {
	client, err := m.client(ctx)
	if err != nil {
		return unavailable(err)
	}
	part := func(text string) *types.Content {
		return &types.Content{Data: aws.String(text), Charset: aws.String(charset)}
	}
	_, err = client.SendEmail(ctx, &sesv2.SendEmailInput{
		FromEmailAddress: &m.from,
		Destination:      &types.Destination{ToAddresses: []string{r.Email}},
		Content: &types.EmailContent{Simple: &types.Message{
			Subject: part(message.Subject),
			Body:    &types.Body{Text: part(message.Text), Html: part(message.HTML)},
		}},
	})
	if err == nil {
		return nil
	}
	said, answered := errors.AsType[smithy.APIError](err)
	if !answered {
		return unavailable(err) // it did not answer, so the text is our own
	}
	code := errors.New(said.ErrorCode())
	if _, bad := errors.AsType[*types.BadRequestException](err); bad {
		return fault.New(fault.Invalid, "email_refused", "The e-mail address was refused.").Because(code)
	}
	return unavailable(code)
}

func unavailable(cause error) error {
	return fault.New(fault.Unavailable, "email_unavailable", "The e-mail could not be sent now.").Because(cause)
}

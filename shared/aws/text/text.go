// Package text tells customers by text message, through Amazon SNS. The one idea: a number
// is brought into the one form that SNS takes, and one that cannot be is not reached.
package text

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/aws/smithy-go"

	"grantline/shared/fault"
	"grantline/shared/reminder"
)

// API is what a Texter uses of a *sns.Client.
type API interface {
	Publish(context.Context, *sns.PublishInput, ...func(*sns.Options)) (*sns.PublishOutput, error)
}

// Client returns the way to a client of SNS, which is made when it is first asked for.
func Client(config func(context.Context) (aws.Config, error)) func(context.Context) (API, error) {
	var mu sync.Mutex
	var client *sns.Client
	return func(ctx context.Context) (API, error) {
		mu.Lock()
		defer mu.Unlock()
		if client == nil {
			c, err := config(ctx)
			if err != nil {
				return nil, err
			}
			client = sns.NewFromConfig(c)
		}
		return client, nil
	}
}

// Texter is the channel. It is safe for use by many goroutines.
type Texter struct {
	client func(context.Context) (API, error)
}

var _ reminder.Channel = (*Texter)(nil)

// New makes a Texter. Nothing is asked of SNS yet.
func New(client func(context.Context) (API, error)) *Texter { return &Texter{client} }

var (
	e164   = regexp.MustCompile(`^\+[1-9][0-9]{7,14}$`)
	korean = regexp.MustCompile(`^01[016789][0-9]{7,8}$`)
)

// Number brings a telephone number into the form of ITU-T E.164, "+821012345678". One
// without a country is taken for a Korean mobile number where the zone is Korea's, and
// for none elsewhere.
func Number(phone, zone string) (string, bool) {
	digits := strings.NewReplacer(" ", "", "-", "", ".", "", "(", "", ")", "").Replace(phone)
	if zone == "Asia/Seoul" && korean.MatchString(digits) {
		digits = "+82" + digits[1:]
	}
	return digits, e164.MatchString(digits)
}

// Name is for logs.
func (*Texter) Name() string { return "sms" }

// Reaches says whether the customer has a telephone number.
func (*Texter) Reaches(r reminder.Reminder) bool {
	_, ok := Number(r.Phone, r.Zone)
	return ok
}

// Tell sends the message's short form, as one that customers rely on rather than
// advertising (Amazon SNS, AWS.SNS.SMS.SMSType). Errors: fault.Invalid where SNS refuses
// the number; fault.Unavailable for everything else.
func (t *Texter) Tell(ctx context.Context, r reminder.Reminder, m reminder.Message) error {
	number, ok := Number(r.Phone, r.Zone)
	if !ok {
		return refused(errors.New("it is no number"))
	}
	client, err := t.client(ctx)
	if err != nil {
		return unavailable(err)
	}
	_, err = client.Publish(ctx, &sns.PublishInput{
		PhoneNumber: &number,
		Message:     &m.Short,
		MessageAttributes: map[string]types.MessageAttributeValue{
			"AWS.SNS.SMS.SMSType": {DataType: aws.String("String"), StringValue: aws.String("Transactional")},
		},
	})
	if err == nil {
		return nil
	}
	said, answered := errors.AsType[smithy.APIError](err)
	if !answered {
		return unavailable(err) // it did not answer, so the text is our own
	}
	// What SNS says beside its code quotes the number.
	code := errors.New(said.ErrorCode())
	if _, bad := errors.AsType[*types.InvalidParameterException](err); bad {
		return refused(code)
	}
	return unavailable(code)
}

func refused(cause error) error {
	return fault.New(fault.Invalid, "sms_refused", "The telephone number was refused.").Because(cause)
}

func unavailable(cause error) error {
	return fault.New(fault.Unavailable, "sms_unavailable", "The text message could not be sent now.").Because(cause)
}

package mail_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"
	"github.com/aws/aws-sdk-go-v2/service/sesv2/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"grantline/shared/aws/mail"
	"grantline/shared/fault"
	"grantline/shared/reminder"
)

// service is SES as a Mailer sees it.
type service struct {
	got    []*sesv2.SendEmailInput
	answer error
}

func (s *service) SendEmail(_ context.Context, in *sesv2.SendEmailInput, _ ...func(*sesv2.Options)) (*sesv2.SendEmailOutput, error) {
	s.got = append(s.got, in)
	return &sesv2.SendEmailOutput{}, s.answer
}

func (s *service) mailer() *mail.Mailer {
	return mail.New(func(context.Context) (mail.API, error) { return s, nil }, "reminders@example.com")
}

var minji = reminder.Reminder{Email: "minji@example.com"}

func TestAnEmailIsHandedOverInParts(t *testing.T) {
	s := &service{}
	if err := s.mailer().Tell(t.Context(), minji, reminder.Message{Subject: "제목", Text: "text", HTML: "<p>"}); err != nil || len(s.got) != 1 {
		t.Fatalf("sent %d times with error %v, want once", len(s.got), err)
	}
	in := s.got[0]
	if in.Content.Raw != nil || in.Content.Simple == nil {
		t.Fatal("the message is raw, want it in parts")
	}
	got := []string{
		aws.ToString(in.FromEmailAddress), strings.Join(in.Destination.ToAddresses, " "), aws.ToString(in.Content.Simple.Subject.Data),
		aws.ToString(in.Content.Simple.Body.Text.Data), aws.ToString(in.Content.Simple.Body.Html.Data), aws.ToString(in.Content.Simple.Subject.Charset),
	}
	if diff := cmp.Diff([]string{"reminders@example.com", "minji@example.com", "제목", "text", "<p>", "UTF-8"}, got); diff != "" {
		t.Errorf("sent (-want +got):\n%s", diff)
	}
}

func TestOnlyOneBareAddressIsReached(t *testing.T) {
	for address, want := range map[string]bool{
		"minji@example.com": true, "a.b+c@xn--9n2bp8q.example": true, "": false, "minji": false, "Minji <minji@example.com>": false, "a@example.com,b@example.com": false,
		"a@example.com\r\nBcc: b@example.com": false, "민지@example.com": false, "minji@예시.example": false, strings.Repeat("a", 320) + "@example.com": false,
	} {
		if got := (&mail.Mailer{}).Reaches(reminder.Reminder{Email: address}); got != want {
			t.Errorf("%.40q is reached: %v, want %v", address, got, want)
		}
	}
}

func TestOnlyARefusedAddressIsInvalidAndNoErrorShowsIt(t *testing.T) {
	for name, c := range map[string]struct {
		answer error
		want   error
	}{
		"an address that is refused":    {&types.BadRequestException{Message: aws.String("minji@example.com")}, fault.Invalid},
		"a sender that is not verified": {&types.MessageRejected{Message: aws.String("minji@example.com")}, fault.Unavailable},
		"throttled":                     {&types.TooManyRequestsException{Message: aws.String("minji@example.com")}, fault.Unavailable},
		"not allowed":                   {&smithy.GenericAPIError{Code: "AccessDeniedException", Message: "minji@example.com"}, fault.Unavailable},
		"no answer":                     {context.DeadlineExceeded, fault.Unavailable},
	} {
		s := &service{answer: c.answer}
		err := s.mailer().Tell(t.Context(), minji, reminder.Message{Subject: "s"})
		if !errors.Is(err, c.want) || strings.Contains(err.Error(), "minji") {
			t.Errorf("%s: got %v, want %v without the address", name, err, c.want)
		}
	}
	none := mail.New(func(context.Context) (mail.API, error) { return nil, errors.New("no region") }, "reminders@example.com")
	if err := none.Tell(t.Context(), minji, reminder.Message{}); !errors.Is(err, fault.Unavailable) {
		t.Errorf("without a client: got %v, want fault.Unavailable", err)
	}
}

package text_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/aws/smithy-go"

	"grantline/shared/aws/text"
	"grantline/shared/fault"
	"grantline/shared/reminder"
)

// service is SNS as a Texter sees it.
type service struct {
	got    []*sns.PublishInput
	answer error
}

func (s *service) Publish(_ context.Context, in *sns.PublishInput, _ ...func(*sns.Options)) (*sns.PublishOutput, error) {
	s.got = append(s.got, in)
	return &sns.PublishOutput{}, s.answer
}

func (s *service) texter() *text.Texter {
	return text.New(func(context.Context) (text.API, error) { return s, nil })
}

var minji = reminder.Reminder{Phone: "010-1234-5678", Zone: "Asia/Seoul"}

func TestATextMessageIsNoAdvertising(t *testing.T) {
	s := &service{}
	if err := s.texter().Tell(t.Context(), minji, reminder.Message{Short: "short", Text: "long"}); err != nil || len(s.got) != 1 {
		t.Fatalf("published %d times with error %v, want once", len(s.got), err)
	}
	in := s.got[0]
	kind := aws.ToString(in.MessageAttributes["AWS.SNS.SMS.SMSType"].StringValue)
	if aws.ToString(in.PhoneNumber) != "+821012345678" || aws.ToString(in.Message) != "short" || kind != "Transactional" || in.TopicArn != nil || in.TargetArn != nil {
		t.Errorf("published %q of type %q to %q, want the short form, Transactional, to the number alone", aws.ToString(in.Message), kind, aws.ToString(in.PhoneNumber))
	}
}

func TestOnlyARefusedNumberIsInvalidAndNoErrorShowsIt(t *testing.T) {
	for name, c := range map[string]struct {
		answer error
		want   error
	}{
		"a number that is refused": {&types.InvalidParameterException{Message: aws.String("PhoneNumber: +821012345678")}, fault.Invalid},
		"throttled":                {&types.ThrottledException{Message: aws.String("+821012345678")}, fault.Unavailable},
		"not allowed":              {&types.AuthorizationErrorException{Message: aws.String("on resource +821012345678")}, fault.Unavailable},
		"another":                  {&smithy.GenericAPIError{Code: "OptedOut", Message: "+821012345678"}, fault.Unavailable},
		"no answer":                {context.DeadlineExceeded, fault.Unavailable},
	} {
		s := &service{answer: c.answer}
		err := s.texter().Tell(t.Context(), minji, reminder.Message{Short: "short"})
		if !errors.Is(err, c.want) || strings.Contains(err.Error(), "1234") {
			t.Errorf("%s: got %v, want %v without the number", name, err, c.want)
		}
	}
	none := text.New(func(context.Context) (text.API, error) { return nil, errors.New("no region") })
	if err := none.Tell(t.Context(), minji, reminder.Message{}); !errors.Is(err, fault.Unavailable) {
		t.Errorf("without a client: got %v, want fault.Unavailable", err)
	}
	s := &service{}
	if err := s.texter().Tell(t.Context(), reminder.Reminder{Phone: "none"}, reminder.Message{}); !errors.Is(err, fault.Invalid) || len(s.got) > 0 {
		t.Errorf("without a number: published %d times with error %v, want none and fault.Invalid", len(s.got), err)
	}
}

func TestANumberWithoutACountryIsKoreanOnlyInKorea(t *testing.T) {
	for _, c := range []struct {
		phone, zone, want string
	}{
		{"+821012345678", "UTC", "+821012345678"},
		{"+82 10-1234-5678", "Asia/Seoul", "+821012345678"},
		{"010-1234-5678", "Asia/Seoul", "+821012345678"},
		{"011 234 5678", "Asia/Seoul", "+82112345678"},
		{"+1 (202) 555.0100", "America/New_York", "+12025550100"},
		{"010-1234-5678", "America/New_York", ""},
		{"02-123-4567", "Asia/Seoul", ""},
		{"+0821012345678", "Asia/Seoul", ""},
		{"+82", "Asia/Seoul", ""},
		{"+8210１2345678", "Asia/Seoul", ""},
		{"", "Asia/Seoul", ""},
		{"call me", "Asia/Seoul", ""},
	} {
		r := reminder.Reminder{Phone: c.phone, Zone: c.zone}
		got, ok := text.Number(c.phone, c.zone)
		if ok != (c.want != "") || ok && got != c.want || (&text.Texter{}).Reaches(r) != ok {
			t.Errorf("%q in %s is %q (%v), want %q", c.phone, c.zone, got, ok, c.want)
		}
	}
}

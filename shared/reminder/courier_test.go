package reminder_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"grantline/shared/fault"
	"grantline/shared/money"
	"grantline/shared/reminder"
)

// way is a channel that says what it is told to.
type way struct {
	name    string
	reaches bool
	err     error
	told    []reminder.Reminder
}

func (w *way) Name() string                   { return w.name }
func (w *way) Reaches(reminder.Reminder) bool { return w.reaches }

func (w *way) Tell(_ context.Context, r reminder.Reminder, m reminder.Message) error {
	if m.Subject == "" {
		return errors.New("nothing to say")
	}
	w.told = append(w.told, r)
	return w.err
}

func courier(log *bytes.Buffer, ways ...*way) reminder.Courier {
	c := reminder.Courier{Log: slog.New(slog.NewTextHandler(log, nil))}
	for _, w := range ways {
		c.Channels = append(c.Channels, w)
	}
	return c
}

func TestACustomerIsToldByEveryWayThatReaches(t *testing.T) {
	outage := fault.New(fault.Unavailable, "x_unavailable", "Out of reach.")
	refused := fault.New(fault.Invalid, "x_refused", "No such address.")
	for name, c := range map[string]struct {
		ways     []*way
		told     []int // how often each was tried
		outcomes []string
		fails    bool
	}{
		"all":               {[]*way{{"email", true, nil, nil}, {"sms", true, nil, nil}}, []int{1, 1}, []string{"told", "told"}, false},
		"one of them":       {[]*way{{"email", false, nil, nil}, {"sms", true, nil, nil}}, []int{0, 1}, []string{"told"}, false},
		"one failed":        {[]*way{{"email", true, outage, nil}, {"sms", true, nil, nil}}, []int{1, 1}, []string{"failed", "told"}, false},
		"all failed":        {[]*way{{"email", true, outage, nil}, {"sms", true, outage, nil}}, []int{1, 1}, []string{"failed", "failed"}, true},
		"the one failed":    {[]*way{{"email", false, nil, nil}, {"sms", true, errors.New("x"), nil}}, []int{0, 1}, []string{"failed"}, true},
		"refused":           {[]*way{{"email", true, refused, nil}}, []int{1}, []string{"refused", "event only"}, false},
		"refused or failed": {[]*way{{"email", true, refused, nil}, {"sms", true, outage, nil}}, []int{1, 1}, []string{"refused", "failed"}, true},
		"none reaches":      {[]*way{{"email", false, nil, nil}}, []int{0}, []string{"event only"}, false},
		"none":              {nil, nil, []string{"event only"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			err := courier(&log, c.ways...).Tell(t.Context(), due())
			if (err != nil) != c.fails || c.fails && !errors.Is(err, fault.Unavailable) {
				t.Errorf("got error %v, want fault.Unavailable: %v", err, c.fails)
			}
			var told []int
			for _, w := range c.ways {
				told = append(told, len(w.told))
			}
			if !slices.Equal(told, c.told) {
				t.Errorf("told %v times, want %v", told, c.told)
			}
			lines := strings.Split(strings.TrimSpace(log.String()), "\n")
			if len(lines) != len(c.outcomes) {
				t.Fatalf("the log is %q, want a line for each of %v", lines, c.outcomes)
			}
			for i, outcome := range c.outcomes {
				if !strings.Contains(lines[i], outcome) || !strings.Contains(lines[i], "minji-premium") {
					t.Errorf("line %q, want the subscription and that it was %s", lines[i], outcome)
				}
			}
			for _, personal := range []string{"minji@", "8210", "김민지"} {
				if strings.Contains(log.String(), personal) || err != nil && strings.Contains(err.Error(), personal) {
					t.Errorf("the log %q or the error %v shows %s", log.String(), err, personal)
				}
			}
		})
	}
}

func TestTheCompanysPageIsNamedWhereTheGatewayHasNone(t *testing.T) {
	link, err := reminder.ParseLink("https://app.example.com/card?s={subscriptionId}")
	if err != nil {
		t.Fatal(err)
	}
	for given, want := range map[string]string{
		"": "https://app.example.com/card?s=minji-premium", "https://pay.example.com/mend": "https://pay.example.com/mend",
	} {
		email := &way{name: "email", reaches: true}
		c := courier(&bytes.Buffer{}, email)
		c.Link = link
		r := due()
		r.Link = given
		if err := c.Tell(t.Context(), r); err != nil || len(email.told) != 1 || email.told[0].Link != want {
			t.Errorf("with the link %q: told %+v with error %v, want the link %q", given, email.told, err, want)
		}
	}
}

func TestAReminderThatCannotBeWordedIsNoOutage(t *testing.T) {
	email := &way{name: "email", reaches: true}
	r := due()
	r.Amount = money.Of(1, "XXX")
	var log bytes.Buffer
	err := courier(&log, email).Tell(t.Context(), r)
	if !strings.Contains(log.String(), "alarm=true") {
		t.Errorf("the log is %q, want that a person is needed", log.String())
	}
	if err == nil || errors.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "minji-premium") || len(email.told) > 0 {
		t.Errorf("told %d with error %v, want none, and an error that names the subscription", len(email.told), err)
	}
}

func TestALinkTakesTheSubscriptionsIDWherever(t *testing.T) {
	const id = "a b/c?d&e=f+g%#é"
	const escaped = "a%20b%2Fc%3Fd%26e%3Df%2Bg%25%23%C3%A9"
	for template, want := range map[string]string{
		"https://app.example.com/s/{subscriptionId}/card":          "https://app.example.com/s/" + escaped + "/card",
		"https://app.example.com/card?s={subscriptionId}&x=1":      "https://app.example.com/card?s=" + escaped + "&x=1",
		"https://app.example.com/#/card/{subscriptionId}":          "https://app.example.com/#/card/" + escaped,
		"https://app.example.com/{subscriptionId}{subscriptionId}": "https://app.example.com/" + escaped + escaped,
		"https://app.example.com/card":                             "https://app.example.com/card",
	} {
		link, err := reminder.ParseLink(template)
		if got := link.For(id); err != nil || got != want {
			t.Errorf("%s is %q with error %v, want %q", template, got, err, want)
		}
	}
	if got := (reminder.Link{}).For(id); got != "" {
		t.Errorf("no page is %q, want nothing", got)
	}
}

func TestALinkIsAnHTTPSAddressOfTheCompany(t *testing.T) {
	for _, template := range []string{
		"", "app.example.com/card", "http://app.example.com/card", "javascript:{subscriptionId}", "https://{subscriptionId}.example.com/", "https://{subscriptionId}/",
		"https://example.com:{subscriptionId}/", "https://user@example.com/", "https://example.com/{id}", "https://example.com/{subscriptionId", "https://example.com/a b",
		"https://example.com/\n", "https:///card", "https://example.com/" + strings.Repeat("a", 2000),
	} {
		if link, err := reminder.ParseLink(template); err == nil {
			t.Errorf("%.60q is %v, want an error", template, link)
		}
	}
}

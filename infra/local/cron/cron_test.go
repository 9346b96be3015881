package cron_test

import (
	"testing"
	"time"

	"grantline/infra/local/cron"
)

func at(t *testing.T, text string) time.Time {
	t.Helper()
	instant, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return instant
}

func TestNextIsTheFirstDueInstantAfter(t *testing.T) {
	seoul, err := time.LoadLocation("Asia/Seoul")
	if err != nil {
		t.Fatal(err)
	}
	newYork, err := time.LoadLocation("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		expression string
		zone       *time.Location
		after      string
		want       string
	}{
		{"rate(1 minute)", nil, "2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z"},
		{"rate(1 minute)", nil, "2026-01-01T00:00:59.999Z", "2026-01-01T00:01:00Z"},
		{"rate(5 minutes)", nil, "2026-01-01T00:07:00Z", "2026-01-01T00:10:00Z"},
		{"rate(1 hour)", nil, "2026-01-01T00:07:00Z", "2026-01-01T01:00:00Z"},
		{"rate(1 day)", nil, "2026-02-28T12:00:00Z", "2026-03-01T00:00:00Z"},
		{"rate(1 minute)", nil, "1969-12-31T23:59:30Z", "1970-01-01T00:00:00Z"},
		{"cron(* * * * ? *)", nil, "2026-01-01T00:00:30Z", "2026-01-01T00:01:00Z"},
		{"cron(0/15 * * * ? *)", nil, "2026-01-01T00:16:00Z", "2026-01-01T00:30:00Z"},
		{"cron(30 3 * * ? *)", nil, "2026-01-01T03:30:00Z", "2026-01-02T03:30:00Z"},
		{"cron(0 10 * * ? *)", seoul, "2026-01-01T01:00:00Z", "2026-01-02T01:00:00Z"},
		{"cron(0 18 ? * MON-FRI *)", nil, "2026-01-02T18:00:00Z", "2026-01-05T18:00:00Z"},
		{"cron(0 18 ? * 7 *)", nil, "2026-01-02T18:00:00Z", "2026-01-03T18:00:00Z"},
		{"cron(0 8 1 * ? *)", nil, "2026-01-01T08:00:00Z", "2026-02-01T08:00:00Z"},
		{"cron(0 0 31 * ? *)", nil, "2026-01-31T00:00:00Z", "2026-03-31T00:00:00Z"},
		{"cron(0 0 L * ? *)", nil, "2028-02-01T00:00:00Z", "2028-02-29T00:00:00Z"},
		{"cron(0 0 29 2 ? *)", nil, "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z"},
		{"cron(0 0 1 1,JUL ? *)", nil, "2026-01-02T00:00:00Z", "2026-07-01T00:00:00Z"},
		{"cron(10 6 1 1 ? 2030)", nil, "2026-01-02T00:00:00Z", "2030-01-01T06:10:00Z"},
		// 02:30 is skipped on the day that New York's clocks go forward.
		{"cron(30 2 * * ? *)", newYork, "2026-03-07T12:00:00Z", "2026-03-09T06:30:00Z"},
	} {
		e, err := cron.Parse(row.expression, row.zone)
		if err != nil {
			t.Errorf("%s: %v", row.expression, err)
			continue
		}
		got, ok := e.Next(at(t, row.after))
		if want := at(t, row.want); !ok || !got.Equal(want) {
			t.Errorf("%s after %s: got %v %v, want %v", row.expression, row.after, got, ok, want)
		}
	}
}

func TestAnExpressionOfThePastIsNeverDue(t *testing.T) {
	e, err := cron.Parse("cron(0 0 1 1 ? 2020)", nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, ok := e.Next(at(t, "2026-01-01T00:00:00Z")); ok {
		t.Errorf("got %v, want none", got)
	}
}

func TestWhatIsNotUnderstoodIsRefused(t *testing.T) {
	for _, text := range []string{
		"", "rate()", "rate(0 minutes)", "rate(1 week)", "rate(1minute)", "rate(1 minute", "at(2026-01-01T00:00:00)",
		"cron(* * * * *)", "cron(* * * * * *)", "cron(60 * * * ? *)", "cron(* * 15W * ? *)", "cron(* * ? * 2#1 *)",
		"cron(* * ? * ? *)", "cron(5-1 * * * ? *)", "cron(*/0 * * * ? *)",
	} {
		if _, err := cron.Parse(text, nil); err == nil {
			t.Errorf("%q: got no error, want one", text)
		}
	}
}

package stack

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"grantline/infra/local/cron"
	"grantline/infra/local/template"
)

func TestTroubleIsShownAtTheTerminal(t *testing.T) {
	var log, terminal bytes.Buffer
	j, err := newJournal(&log, &terminal, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		`{"level":"INFO","message":"charge settled"}`, `{"level":"WARN","message":"late"}`, `{"level":"error"}`, "panic: no",
	} {
		j.line("charge", []byte(line))
	}
	j.failed("queue", errors.New("gone"))
	trouble := "charge         | {\"level\":\"WARN\",\"message\":\"late\"}\ncharge         | {\"level\":\"error\"}\n" +
		"charge         | panic: no\nrunner         | queue: gone\n"
	if got := terminal.String(); got != trouble {
		t.Errorf("terminal: got %q, want %q", got, trouble)
	}
	if got, want := log.String(), "charge         | {\"level\":\"INFO\",\"message\":\"charge settled\"}\n"+trouble; got != want {
		t.Errorf("log: got %q, want %q", got, want)
	}
}

func TestAScheduleTellsItsInstant(t *testing.T) {
	every, err := cron.Parse("rate(1 minute)", nil)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 1, 31, 23, 59, 0, 0, time.UTC)
	for _, input := range []string{"", `{"time":"<aws.scheduler.scheduled-time>","id":"<aws.scheduler.execution-id>"}`} {
		var got struct{ Time, ID string }
		event := scheduleEvent(template.Schedule{Name: "f/Minute", Expression: every, Input: input}, at)
		if err := json.Unmarshal(event, &got); err != nil {
			t.Fatalf("%s: %v", event, err)
		}
		if got.Time != "2026-01-31T23:59:00Z" || got.ID == "" {
			t.Errorf("input %q: got %s, want its instant and an id", input, event)
		}
	}
}

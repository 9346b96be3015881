package stack

import (
	"crypto/rand"
	"encoding/json"
	"strings"
	"time"

	"grantline/infra/local/template"
)

// scheduleEvent is what a schedule hands to its function: its Input with the context
// attributes filled in (EventBridge Scheduler user guide, "Adding context attributes"), or,
// without one, the event that EventBridge makes itself.
func scheduleEvent(s template.Schedule, at time.Time) []byte {
	instant := at.UTC().Format(time.RFC3339)
	arn := "arn:aws:scheduler:" + template.Region + ":" + template.Account + ":schedule/default/" + strings.ReplaceAll(s.Name, "/", "-")
	id := rand.Text()
	if s.Input != "" {
		return []byte(strings.NewReplacer(
			"<aws.scheduler.scheduled-time>", instant,
			"<aws.scheduler.schedule-arn>", arn,
			"<aws.scheduler.execution-id>", id,
			"<aws.scheduler.attempt-number>", "1",
		).Replace(s.Input))
	}
	event, err := json.Marshal(map[string]any{
		"version": "0", "id": id, "detail-type": "Scheduled Event", "source": "aws.scheduler",
		"account": template.Account, "time": instant, "region": template.Region, "resources": []string{arn}, "detail": "{}",
	})
	if err != nil {
		panic("stack: strings always marshal: " + err.Error())
	}
	return event
}

package outbox

import (
	_ "embed"
	"html/template"
	"time"
)

//go:embed page.html
var pageText string

// page shows messages, the newest first, to a person.
var page = template.Must(template.New("outbox").Funcs(template.FuncMap{
	"instant": func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
	"channel": func(name string) string {
		korean := map[string]string{"email": "이메일", "sms": "문자", "webhook": "웹훅"}
		return korean[name] + " · " + name
	},
}).Parse(pageText))

package outbox_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/infra/local/outbox"
	"grantline/shared/aws/mail"
	"grantline/shared/aws/setting"
	"grantline/shared/aws/text"
	"grantline/shared/clock"
	"grantline/shared/fault"
	"grantline/shared/money"
	"grantline/shared/reminder"
	"grantline/shared/table"
)

var (
	now    = time.Date(2026, 12, 24, 1, 48, 49, 0, time.UTC)
	secret = "whsec_" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat("s", 32)))
)

// post is an outbox, mounted as a stack does, and the real clients that talk to it.
type post struct {
	url     string
	email   *mail.Mailer
	sms     *text.Texter
	webhook *reminder.Webhook
}

func open(t *testing.T) post {
	t.Helper()
	server := httptest.NewServer(http.StripPrefix("/_local/outbox", outbox.New(outbox.Options{Secrets: secret, Now: func() time.Time { return now }})))
	t.Cleanup(server.Close)
	p := post{url: server.URL + "/_local/outbox"}
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL_SESV2": p.url + "/ses", "AWS_ENDPOINT_URL_SNS": p.url + "/sns", "AWS_REGION": "ap-northeast-2",
		"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local", "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_CONFIG_FILE": t.TempDir() + "/none", "AWS_SHARED_CREDENTIALS_FILE": t.TempDir() + "/none",
	} {
		t.Setenv(name, value)
	}
	config := setting.AWS()
	p.email, p.sms = mail.New(mail.Client(config), "reminders@example.com"), text.New(text.Client(config))
	p.webhook = &reminder.Webhook{
		URL: p.url + "/webhook", Clock: clock.Fixed(now), Secrets: func(context.Context, bool) (string, error) { return secret, nil },
	}
	return p
}

func (p post) get(t *testing.T, path, accept string) (string, http.Header) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Accept", accept)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: got %d %s (%v), want 200", path, response.StatusCode, body, err)
	}
	return string(body), response.Header
}

func (p post) messages(t *testing.T) []outbox.Message {
	t.Helper()
	body, _ := p.get(t, "?format=json", "text/html")
	var in struct{ Messages []outbox.Message }
	if err := json.Unmarshal([]byte(body), &in); err != nil || in.Messages == nil {
		t.Fatalf("got %s (%v), want messages", body, err)
	}
	return in.Messages
}

func due() reminder.Reminder {
	return reminder.Reminder{
		ID: "rem_1", Scope: table.Default, SubscriptionID: "minji-premium", PlanName: "Premium <b>", CustomerID: "minji",
		Amount: money.Of(4900, "KRW"), NextAttemptAt: now.Add(24 * time.Hour), Zone: "Asia/Seoul", Period: 1, Attempt: 2,
		Email: "minji@example.com", Phone: "010-1234-5678", Name: "민지", Locale: "ko",
	}
}

func TestTheRealClientsReachACustomerInEveryWay(t *testing.T) {
	p := open(t)
	var log bytes.Buffer
	courier := reminder.Courier{Channels: []reminder.Channel{p.email, p.sms, p.webhook}, Log: slog.New(slog.NewTextHandler(&log, nil))}
	if got := p.messages(t); len(got) != 0 {
		t.Fatalf("before anything: got %v, want none", got)
	}
	if err := courier.Tell(t.Context(), due()); err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(log.String(), "outcome=told"); got != 3 {
		t.Fatalf("told by %d ways, want 3:\n%s", got, log.String())
	}
	m, err := reminder.Compose(due())
	if err != nil {
		t.Fatal(err)
	}
	want := []outbox.Message{
		{Channel: "email", To: "minji@example.com", Subject: m.Subject, Text: m.Text, HTML: m.HTML, At: now},
		{Channel: "sms", To: "+821012345678", Text: m.Short, At: now},
		{Channel: "webhook", To: "minji", Subject: m.Subject, Text: m.Text, HTML: m.HTML, At: now},
	}
	if diff := cmp.Diff(want, p.messages(t)); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
}

func TestAPersonSeesMessagesAndNothingInThemRuns(t *testing.T) {
	p := open(t)
	if body, _ := p.get(t, "/", "text/html"); !strings.Contains(body, "아직 없습니다. · There is none yet.") {
		t.Errorf("the empty page is %s, want that it says so", body)
	}
	r := due()
	if err := p.email.Tell(t.Context(), r, reminder.Message{Subject: "<script>1</script>", Text: "</pre><script>2</script>", HTML: `<p>"><script>3</script></p>`}); err != nil {
		t.Fatal(err)
	}
	body, header := p.get(t, "", "text/html,application/xhtml+xml,*/*;q=0.8")
	if !strings.HasPrefix(header.Get("Content-Type"), "text/html") || strings.Contains(body, "<script>") || !strings.Contains(header.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("got %s of %v, want a page that runs nothing", body, header)
	}
	for _, want := range []string{"이메일 · email", "받는 사람 · to", "minji@example.com", "2026-12-24T01:48:49Z", "sandbox srcdoc="} {
		if !strings.Contains(body, want) {
			t.Errorf("the page %s has no %q", body, want)
		}
	}
	if body, header := p.get(t, "/", "application/json"); header.Get("Content-Type") != "application/json" || !strings.Contains(body, `"channel":"email"`) {
		t.Errorf("asked for JSON: got %s of %v", body, header)
	}
}

func TestOnlyTheLastThousandAreKept(t *testing.T) {
	p := open(t)
	for i := range 1003 {
		if err := p.sms.Tell(t.Context(), due(), reminder.Message{Short: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	got := p.messages(t)
	if len(got) != 1000 || got[0].Text != "3" || got[999].Text != "1002" {
		t.Errorf("got %d, from %q to %q, want 1000, from 3 to 1002", len(got), got[0].Text, got[len(got)-1].Text)
	}
}

func TestWhatTheServicesWouldRefuseIsRefused(t *testing.T) {
	p := open(t)
	bad := due()
	bad.Email = "minji"
	if err := p.email.Tell(t.Context(), bad, reminder.Message{Subject: "s", Text: "t", HTML: "h"}); !errors.Is(err, fault.Invalid) || strings.Contains(err.Error(), "minji") {
		t.Errorf("an address that is none: got %v, want fault.Invalid without it", err)
	}
	if err := p.email.Tell(t.Context(), due(), reminder.Message{Subject: "s\r\nBcc: x@example.com", Text: "t"}); !errors.Is(err, fault.Invalid) {
		t.Errorf("a subject of two lines: got %v, want fault.Invalid", err)
	}
	if err := p.sms.Tell(t.Context(), due(), reminder.Message{Short: strings.Repeat("x", 1601)}); !errors.Is(err, fault.Invalid) {
		t.Errorf("a text message that is too long: got %v, want fault.Invalid", err)
	}
	p.webhook.Secrets = func(context.Context, bool) (string, error) {
		return "whsec_" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", 32))), nil
	}
	if err := p.webhook.Tell(t.Context(), due(), reminder.Message{}); !errors.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "401") {
		t.Errorf("a foreign signature: got %v, want fault.Unavailable and 401", err)
	}
	for path, want := range map[string]int{"/ses/v2/email/outbound-emails": http.StatusForbidden, "/sns/": http.StatusForbidden, "/webhook": http.StatusUnauthorized, "/other": http.StatusNotFound} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.url+path, strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		if _ = response.Body.Close(); response.StatusCode != want {
			t.Errorf("POST %s without credentials: got %d, want %d", path, response.StatusCode, want)
		}
	}
	if got := p.messages(t); len(got) != 0 {
		t.Errorf("kept %v, want nothing", got)
	}
}

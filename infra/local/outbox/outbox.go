// Package outbox is where a local stack's messages to customers go. The one idea: it stands
// in for Amazon SES, Amazon SNS and the company's own server, as the real clients talk to
// them, refuses what those would refuse, and sends nothing; what would have arrived is kept
// to be looked at.
package outbox

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/mail"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

const (
	most    = 1000    // messages that are kept; the oldest go first
	maxBody = 1 << 20 // bytes of a request
)

// Options of an Outbox. All are required.
type Options struct {
	// Secrets are the company's webhook secrets, comma-separated; a webhook must be signed
	// with one of them.
	Secrets string
	// Now is the local time.
	Now func() time.Time
}

// Message is one that would have arrived.
type Message struct {
	Channel string    `json:"channel"` // email, sms or webhook
	To      string    `json:"to"`      // an address, a number, or the company's id of a customer
	Subject string    `json:"subject"` // "" for a text message
	Text    string    `json:"text"`
	HTML    string    `json:"html"` // "" for a text message
	At      time.Time `json:"at"`
}

// Outbox serves, below the path at which it is mounted:
//
//	ses/…     what the client of Amazon SES v2 sends, for AWS_ENDPOINT_URL_SESV2
//	sns/      what the client of Amazon SNS sends, for AWS_ENDPOINT_URL_SNS
//	webhook   the company's own server, for REMINDER_WEBHOOK_URL
//	(itself)  GET: the messages, as a page or as JSON
type Outbox struct {
	options Options
	router  http.Handler

	mu   sync.Mutex
	kept []Message
	sent int
}

// New makes an empty one.
func New(o Options) *Outbox {
	out := &Outbox{options: o}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", out.show)
	mux.HandleFunc("POST /ses/v2/email/outbound-emails", out.email)
	mux.HandleFunc("POST /sns", out.sms)
	mux.HandleFunc("POST /sns/{$}", out.sms)
	mux.HandleFunc("POST /webhook", out.webhook)
	out.router = mux
	return out
}

// ServeHTTP serves paths below a mount, which whoever mounts an Outbox strips off.
func (o *Outbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r = r.Clone(r.Context())
	if r.URL.Path == "" { // the mount itself
		r.URL.Path = "/"
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	o.router.ServeHTTP(w, r)
}

// Messages are those that are kept, oldest first.
func (o *Outbox) Messages() []Message {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.kept)
}

// keep keeps a message and returns an id for the sender.
func (o *Outbox) keep(m Message) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	m.At = o.options.Now().UTC()
	o.kept = append(o.kept, m)
	o.kept = o.kept[max(0, len(o.kept)-most):]
	o.sent++
	return fmt.Sprintf("00000000-0000-4000-8000-%012d", o.sent)
}

// sendEmail is the part of SendEmail that a reminder uses (Amazon SES API v2). A field
// beside them is refused, so that nobody relies on what is not looked at here.
type sendEmail struct {
	FromEmailAddress string
	Destination      struct{ ToAddresses []string }
	Content          struct {
		Simple struct {
			Subject content
			Body    struct {
				Text content
				HTML content `json:"Html"`
			}
		}
	}
}

type content struct{ Data, Charset string }

func (o *Outbox) email(w http.ResponseWriter, r *http.Request) {
	refuse := func(status int, code, message string) {
		w.Header().Set("X-Amzn-ErrorType", code)
		answer(w, status, map[string]string{"message": message})
	}
	if !signed(r, "ses") {
		refuse(http.StatusForbidden, "MissingAuthenticationTokenException", "Missing Authentication Token")
		return
	}
	var in sendEmail
	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&in); err != nil {
		refuse(http.StatusBadRequest, "BadRequestException", err.Error())
		return
	}
	to, simple := in.Destination.ToAddresses, in.Content.Simple
	for _, address := range append([]string{in.FromEmailAddress}, to...) {
		if _, err := mail.ParseAddress(address); err != nil {
			refuse(http.StatusBadRequest, "BadRequestException", "Illegal address")
			return
		}
	}
	if len(to) == 0 || len(to) > 50 || simple.Subject.Data == "" || strings.ContainsAny(simple.Subject.Data, "\r\n") || simple.Body.Text.Data+simple.Body.HTML.Data == "" {
		refuse(http.StatusBadRequest, "BadRequestException", "A subject of one line, a body and 1 to 50 recipients are needed.")
		return
	}
	id := ""
	for _, address := range to {
		id = o.keep(Message{Channel: "email", To: address, Subject: simple.Subject.Data, Text: simple.Body.Text.Data, HTML: simple.Body.HTML.Data})
	}
	answer(w, http.StatusOK, map[string]string{"MessageId": id})
}

var number = regexp.MustCompile(`^\+[1-9][0-9]{7,14}$`)

// sms answers the action Publish of the query protocol (Amazon SNS API, Publish).
func (o *Outbox) sms(w http.ResponseWriter, r *http.Request) {
	if !signed(r, "sns") {
		answerXML(w, http.StatusForbidden, failure("MissingAuthenticationToken", "Request is missing Authentication Token"))
		return
	}
	err := r.ParseForm()
	to, text := r.PostForm.Get("PhoneNumber"), r.PostForm.Get("Message")
	switch {
	case err != nil || r.PostForm.Get("Action") != "Publish" || r.PostForm.Get("Version") != "2010-03-31":
		answerXML(w, http.StatusBadRequest, failure("InvalidAction", "Only Publish of 2010-03-31 is known here."))
	case !number.MatchString(to):
		answerXML(w, http.StatusBadRequest, failure("InvalidParameter", "Invalid parameter: PhoneNumber Reason: "+to+" is not valid to publish to"))
	case text == "" || len(text) > 1600:
		answerXML(w, http.StatusBadRequest, failure("InvalidParameter", "Invalid parameter: Message"))
	default:
		var out published
		out.Result.MessageID = o.keep(Message{Channel: "sms", To: to, Text: text})
		out.Metadata.RequestID = out.Result.MessageID
		answerXML(w, http.StatusOK, out)
	}
}

type published struct {
	XMLName xml.Name `xml:"http://sns.amazonaws.com/doc/2010-03-31/ PublishResponse"`
	Result  struct {
		MessageID string `xml:"MessageId"`
	} `xml:"PublishResult"`
	Metadata struct {
		RequestID string `xml:"RequestId"`
	} `xml:"ResponseMetadata"`
}

type failed struct {
	XMLName xml.Name `xml:"http://sns.amazonaws.com/doc/2010-03-31/ ErrorResponse"`
	Type    string   `xml:"Error>Type"`
	Code    string   `xml:"Error>Code"`
	Message string   `xml:"Error>Message"`
}

func failure(code, message string) failed {
	return failed{Type: "Sender", Code: code, Message: message}
}

// signed says whether a request claims credentials for a service; they are not checked.
func signed(r *http.Request, service string) bool {
	return strings.HasPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 Credential=") &&
		strings.Contains(r.Header.Get("Authorization"), "/"+service+"/aws4_request")
}

// webhook is the company's server: it wants a signature, and then tells nobody.
func (o *Outbox) webhook(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		answer(w, http.StatusBadRequest, map[string]string{"message": "the body cannot be read"})
		return
	}
	if err := o.verify(body, r.Header); err != nil {
		answer(w, http.StatusUnauthorized, map[string]string{"message": err.Error()})
		return
	}
	var in struct {
		Data struct {
			CustomerID string `json:"customerId"`
			Message    struct {
				Subject string `json:"subject"`
				Text    string `json:"text"`
				HTML    string `json:"html"`
			} `json:"message"`
		} `json:"data"`
	}
	if err := json.Unmarshal(body, &in); err != nil || in.Data.CustomerID == "" {
		answer(w, http.StatusBadRequest, map[string]string{"message": "the body should be JSON with data.customerId"})
		return
	}
	said := in.Data.Message
	o.keep(Message{Channel: "webhook", To: in.Data.CustomerID, Subject: said.Subject, Text: said.Text, HTML: said.HTML})
	w.WriteHeader(http.StatusNoContent)
}

func (o *Outbox) verify(body []byte, header http.Header) error {
	for secret := range strings.SplitSeq(o.options.Secrets, ",") {
		verifier, err := standardwebhooks.NewWebhook(strings.TrimSpace(secret))
		if err == nil && verifier.VerifyIgnoringTimestamp(body, header) == nil {
			return nil
		}
	}
	return errors.New("the signature is of none of REMINDER_WEBHOOK_SECRET")
}

// show answers with the messages: JSON where that is asked for, else a page.
func (o *Outbox) show(w http.ResponseWriter, r *http.Request) {
	messages := o.Messages()
	if r.URL.Query().Get("format") == "json" || acceptsJSON(r.Header.Values("Accept")) {
		answer(w, http.StatusOK, map[string][]Message{"messages": append([]Message{}, messages...)})
		return
	}
	slices.Reverse(messages)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	// What is shown was written by others: nothing of it runs or fetches anything.
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-src 'self'; base-uri 'none'; form-action 'none'")
	_ = page.Execute(w, messages) // a reader that has gone away does not mind
}

func acceptsJSON(accept []string) bool {
	for part := range strings.SplitSeq(strings.Join(accept, ","), ",") {
		if kind, _, err := mime.ParseMediaType(part); err == nil && kind == "application/json" {
			return true
		}
	}
	return false
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // a caller that has gone away does not mind
}

func answerXML(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "text/xml")
	w.WriteHeader(status)
	_ = xml.NewEncoder(w).Encode(body) // as above
}

package journeys

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Teller runs journeys against a stack.
type Teller struct {
	URL    string // of the API
	SimURL string
	Log    func(format string, args ...any) // may be nil

	client http.Client
	keys   struct{ PublicKey, SecretKey string }
	kept   map[string]string
}

const (
	// longestAnswer bounds one request; a clock that moves by years takes its time. It is longer
	// than the runner waits for its queues, so that where one stands still the runner says why.
	longestAnswer = 15 * time.Minute
	// explainedWithin bounds asking what there is, once a request was not answered.
	explainedWithin = 30 * time.Second
	// eventuallyWithin bounds how long an "eventually" is asked again, in real time.
	eventuallyWithin = 3 * time.Minute
	// doneWithin bounds how long what is under way may take to its end, in real time. It is less
	// than a message is hidden that failed, so that none of those is waited for.
	doneWithin = time.Minute
)

// Run tells one journey. The error names the line at which it went otherwise.
func (t *Teller) Run(ctx context.Context, text string) error {
	t.client.Timeout = longestAnswer
	t.kept = map[string]string{}
	got, err := t.ask(ctx, request{method: http.MethodGet, path: "/_local/keys"})
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(got.text), &t.keys); err != nil {
		return err
	}
	lines := parse(text)
	for i := 0; i < len(lines); {
		n, err := t.line(ctx, lines[i:])
		if err != nil {
			return fmt.Errorf("line %d: %s: %w", lines[i+n].number, lines[i+n].text, err)
		}
		i += n
	}
	return nil
}

// line does the first of lines with the expectations that belong to it, and returns how
// many lines that were; with an error, which of them it was.
func (t *Teller) line(ctx context.Context, lines []line) (int, error) {
	words := lines[0].words
	switch words[0] {
	case "clock":
		return alone(t.moveClock(ctx, words))
	case "effects":
		return alone(t.effects(ctx, words))
	case "queues":
		return alone(t.queuesAreEmpty(ctx))
	case "rebuilt":
		return alone(t.rebuilt(ctx))
	}
	r, ok := parseRequest(t.fill(lines[0].text))
	if !ok {
		return 0, errors.New("nobody knows what this line means")
	}
	if t.Log != nil {
		t.Log("%s", lines[0].text)
	}
	n := 1
	for n < len(lines) && (lines[n].words[0] == "expect" || lines[n].words[0] == "keep") {
		n++
	}
	return t.answered(ctx, r, lines[:n])
}

// alone is a line to which no other belongs.
func alone(err error) (int, error) {
	if err != nil {
		return 0, err
	}
	return 1, nil
}

// answered makes a request as often as it says and holds each answer to its expectations.
func (t *Teller) answered(ctx context.Context, r request, lines []line) (int, error) {
	end := time.Now().Add(eventuallyWithin)
	for {
		answers, errs := make([]response, r.times), make([]error, r.times)
		var all sync.WaitGroup
		for i := range r.times {
			all.Go(func() { answers[i], errs[i] = t.askAgain(ctx, r, end) })
		}
		all.Wait()
		if err := errors.Join(errs...); err != nil {
			return 0, err
		}
		at, err := t.check(answers, lines)
		if err == nil || !r.eventually || time.Now().After(end) {
			return at, err
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// askAgain makes a request and, if it is a patient one, makes it again as an app does where the
// tables answered too late to say who wrote. How many of those that come at once meet that is up
// to the machine, and nobody is refused for it. To a mini-app the status alone says so.
func (t *Teller) askAgain(ctx context.Context, r request, end time.Time) (response, error) {
	for {
		got, err := t.ask(ctx, r)
		code, coded := at(got.body, ".code")
		late := got.status == http.StatusServiceUnavailable && (!coded || code == "tables_unavailable")
		if err != nil || !r.patiently || !late || time.Now().After(end) {
			return got, err
		}
		if t.Log != nil {
			t.Log("it comes again after %s", got.text)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

func (t *Teller) check(answers []response, lines []line) (int, error) {
	for i, l := range lines[1:] {
		words := parse(t.fill(l.text))[0].words
		for _, a := range answers {
			if words[0] == "expect" {
				if err := a.fits(words); err != nil {
					return i + 1, err
				}
				continue
			}
			v, ok := at(a.body, words[3])
			if !ok {
				return i + 1, fmt.Errorf("there is none in %s", a.text)
			}
			t.kept[words[1]] = fmt.Sprint(v)
		}
	}
	return len(lines), nil
}

func (t *Teller) fill(text string) string {
	for name, value := range t.kept {
		text = strings.ReplaceAll(text, "{"+name+"}", value)
	}
	return text
}

// ask makes one request.
func (t *Teller) ask(ctx context.Context, r request) (response, error) {
	base := t.URL
	if strings.HasPrefix(r.path, "/_sim/") {
		base = t.SimURL
	}
	q, err := http.NewRequestWithContext(ctx, r.method, base+r.path, strings.NewReader(r.body))
	if err != nil {
		return response{}, err
	}
	if r.body != "" {
		q.Header.Set("Content-Type", "application/json")
	}
	if err := t.sign(ctx, q, r.as); err != nil {
		return response{}, err
	}
	answer, err := t.client.Do(q)
	if err != nil {
		return response{}, err
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return response{}, err
	}
	got := response{status: answer.StatusCode, text: string(bytes.TrimSpace(body))}
	_ = json.Unmarshal(body, &got.body) // no JSON is a nil body, which fits no expectation
	return got, nil
}

// sign puts the credentials of "as …" on a request.
func (t *Teller) sign(ctx context.Context, q *http.Request, as string) error {
	who, customer, _ := strings.Cut(as, " for ")
	if customer != "" {
		q.Header.Set("X-Customer-Id", customer)
	}
	switch who {
	case "":
	case "server":
		q.Header.Set("Authorization", "Bearer "+t.keys.SecretKey)
	case "app":
		q.Header.Set("Authorization", "Bearer "+t.keys.PublicKey)
	default:
		body, _ := json.Marshal(map[string]string{"customerId": who})
		got, err := t.ask(ctx, request{method: http.MethodPost, path: "/_local/token", body: string(body)})
		if err != nil {
			return err
		}
		token, _ := at(got.body, ".token")
		q.Header.Set("Authorization", fmt.Sprintf("Bearer %v", token))
	}
	return nil
}

func (t *Teller) now(ctx context.Context) (time.Time, error) {
	got, err := t.ask(ctx, request{method: http.MethodGet, path: "/_local/clock"})
	if err != nil {
		return time.Time{}, err
	}
	now, _ := at(got.body, ".now")
	return instant(now)
}

// furthestMove is how far the runner moves the clock at once.
const furthestMove = 87_600 * time.Hour

func (t *Teller) moveClock(ctx context.Context, words []string) error {
	var by time.Duration
	var err error
	if words[1] == "until" {
		until, err := time.Parse(time.RFC3339, words[2])
		if err != nil {
			return err
		}
		now, err := t.now(ctx)
		if err != nil {
			return err
		}
		if by = until.Sub(now); by < 0 {
			return fmt.Errorf("it is %v already", now)
		}
	} else if by, err = time.ParseDuration(words[1]); err != nil {
		return err
	}
	for by > 0 {
		step := min(by, furthestMove)
		by -= step
		body, _ := json.Marshal(map[string]string{"advance": step.String()})
		got, err := t.ask(ctx, request{method: http.MethodPost, path: "/_local/clock", body: string(body)})
		if err != nil {
			return fmt.Errorf("%w; by then there was %s", err, t.underWay(ctx))
		}
		if got.status != http.StatusOK {
			return fmt.Errorf("status %d: %s", got.status, got.text)
		}
	}
	return nil
}

// underWay is what the runner says that it is at, to whoever may have run out of time.
func (t *Teller) underWay(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), explainedWithin)
	defer cancel()
	got, err := t.ask(ctx, request{method: http.MethodGet, path: "/_local/queues"})
	if err != nil {
		return err.Error()
	}
	return got.text
}

// effects counts the entries of a kind in a simulator's log, or looks whether any two are
// of one order.
func (t *Teller) effects(ctx context.Context, words []string) error {
	count, after := 0, "0"
	orders := map[any]bool{}
	for {
		got, err := t.ask(ctx, request{method: http.MethodGet, path: "/_sim/" + words[1] + "/effects?after=" + url.QueryEscape(after)})
		if err != nil {
			return err
		}
		list, _ := at(got.body, ".effects")
		entries, _ := list.([]any)
		for _, e := range entries {
			if kind, _ := at(e, ".kind"); kind != words[2] {
				continue
			}
			count++
			order, _ := at(e, ".orderId")
			if words[3] == "once" && orders[order] {
				return fmt.Errorf("order %v is there twice", order)
			}
			orders[order] = true
		}
		next, more := at(got.body, ".next")
		if !more || len(entries) == 0 {
			break
		}
		after = fmt.Sprint(next)
	}
	if words[3] != "once" && fmt.Sprint(count) != words[4] {
		return fmt.Errorf("there are %d", count)
	}
	return nil
}

// queuesAreEmpty looks until what is under way has come to its end: what a message leads to
// can be seen before the message is deleted.
func (t *Teller) queuesAreEmpty(ctx context.Context) error {
	for end := time.Now().Add(doneWithin); ; time.Sleep(100 * time.Millisecond) {
		got, err := t.ask(ctx, request{method: http.MethodGet, path: "/_local/queues"})
		if err != nil {
			return err
		}
		if empty(got.body) {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("%s", got.text)
		}
	}
}

// rebuilt has what all customers hold made of their events anew, and finds it the same.
func (t *Teller) rebuilt(ctx context.Context) error {
	got, err := t.ask(ctx, request{method: http.MethodPost, path: "/_local/rebuild"})
	if err != nil {
		return err
	}
	if equal, _ := at(got.body, ".equal"); equal != true {
		return fmt.Errorf("%s", got.text)
	}
	return nil
}

// empty says whether there are queues, with nothing in any and no dead letter.
func empty(depths any) bool {
	list, _ := at(depths, ".queues")
	queues, _ := list.([]any)
	for _, q := range queues {
		for _, count := range []string{".visible", ".inFlight", ".deadLetters"} {
			if n, _ := at(q, count); n != float64(0) {
				return false
			}
		}
	}
	return len(queues) > 0
}

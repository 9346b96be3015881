package stage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

// What becomes of a webhook that does not simply arrive.
const (
	Drop      = "drop"      // it is never sent, nor are its repeats
	Duplicate = "duplicate" // it is sent twice, under the same id
	Delay     = "delay"     // it is late
	Reorder   = "reorder"   // the next one overtakes it
)

// How late a webhook is that is late of itself, and how long one waits for another to
// overtake it, by the clock of the provider.
const (
	lateBy      = 10 * time.Minute
	overtakenIn = 5 * time.Minute
)

// Sender is how a provider sends its webhooks.
type Sender struct {
	Path    string          // below Options.Webhooks
	Retries []time.Duration // after a failed attempt, by the clock; as many as there are
	Timeout time.Duration   // of one attempt, in real time
	OK      func(status int) bool
}

// Webhook is one message, whose attempts all have its id.
type Webhook struct {
	ID, Type string
	OrderID  string // for the log and for a Fate that is meant for it; may be ""
	// Compose makes an attempt, numbered from 0, as it is at that instant. The stage
	// holds no lock meanwhile.
	Compose func(attempt int) (http.Header, []byte)
	// Path is where this one goes; "" is the Sender's.
	Path string
	// Repeat says when the next attempt follows one, numbered from 0, that was answered with
	// status, 0 without an answer; false is never. Nil is as the Sender's Retries say.
	Repeat func(attempt, status int) (after time.Duration, again bool)
}

// Fate is what shall become of the next webhooks that it fits.
type Fate struct {
	How     string   `json:"how"`               // Drop, Duplicate, Delay or Reorder
	Type    string   `json:"type,omitempty"`    // "" is any
	OrderID string   `json:"orderId,omitempty"` // "" is any
	Delay   Duration `json:"delay,omitempty"`   // of Delay, and of the second of a Duplicate; 0 is 10m and 1s
	Count   int      `json:"count,omitempty"`   // webhooks; 0 is 1
}

// Delivery is an entry in the log of webhooks: an attempt, or that there will be none.
type Delivery struct {
	Sequence int64     `json:"sequence"` // from 1, without gaps, per provider
	At       time.Time `json:"at"`       // by the simulator's clock
	ID       string    `json:"id"`
	Type     string    `json:"type"`
	OrderID  string    `json:"orderId,omitempty"`
	Attempt  int       `json:"attempt"`          // from 0
	Status   int       `json:"status,omitempty"` // what was answered; 0 without an answer
	Fate     string    `json:"fate,omitempty"`   // of the webhook, where it is one; or "given up"
}

// Pump sends the webhooks of one provider and tries again as that provider does.
type Pump struct {
	Sender

	stage  *Stage
	client *http.Client
	fates  Script[Fate]

	// Guarded by the stage's mutex.
	log    []Delivery
	byID   map[string][]int // of the log
	behind []*Webhook       // wait to be overtaken
	lost   []Webhook        // dropped, or given up
}

// Sends makes the provider one that sends webhooks. Call it once, before the first.
func (s *Stage) Sends(how Sender) {
	s.hooks = &Pump{Sender: how, stage: s, client: &http.Client{
		Timeout: how.Timeout,
		// A connection of its own for each, so that none is left over; and a redirection is
		// no success.
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Send sends a webhook, from now on and until it is accepted or given up. It returns at
// once, so that it may be called with the provider's locks held.
func (s *Stage) Send(w Webhook) {
	p := s.hooks
	if p == nil || s.options.Webhooks == "" {
		return
	}
	now := s.Now()
	fate := p.fate(w)
	switch fate.How {
	case Drop:
		p.note(w, 0, 0, Drop)
		s.mu.Lock()
		p.lost = append(p.lost, w)
		s.mu.Unlock()
		return
	case Reorder:
		p.note(w, 0, 0, Reorder)
		s.mu.Lock()
		p.behind = append(p.behind, &w)
		s.mu.Unlock()
		s.Later(now.Add(overtakenIn), func(context.Context) { p.release(&w, s.Now()) })
		return
	case Delay:
		p.note(w, 0, 0, Delay)
		now = now.Add(orElse(time.Duration(fate.Delay), lateBy))
	case Duplicate:
		again := now.Add(orElse(time.Duration(fate.Delay), time.Second))
		s.Later(again, func(ctx context.Context) { p.try(ctx, w, 0, Duplicate) })
	}
	s.Later(now, func(ctx context.Context) { p.try(ctx, w, 0, "") })
	s.mu.Lock()
	behind := slices.Clone(p.behind)
	s.mu.Unlock()
	for _, overtaken := range behind {
		p.release(overtaken, now.Add(time.Second))
	}
}

func orElse[T time.Duration | string](v, otherwise T) T {
	var zero T
	if v > zero {
		return v
	}
	return otherwise
}

// release sends what was waiting to be overtaken, once.
func (p *Pump) release(w *Webhook, at time.Time) {
	p.stage.mu.Lock()
	i := slices.Index(p.behind, w)
	if i >= 0 {
		p.behind = slices.Delete(p.behind, i, i+1)
	}
	p.stage.mu.Unlock()
	if i >= 0 {
		p.stage.Later(at, func(ctx context.Context) { p.try(ctx, *w, 0, "") })
	}
}

// fate decides what becomes of a webhook: as scripted, or by chance, or (the zero Fate)
// nothing in particular.
func (p *Pump) fate(w Webhook) Fate {
	if f, ok := p.fates.Take(func(f Fate) bool {
		return (f.Type == "" || f.Type == w.Type) && (f.OrderID == "" || f.OrderID == w.OrderID)
	}); ok {
		return f
	}
	p.stage.mu.Lock()
	defer p.stage.mu.Unlock()
	if p.stage.fates.IntN(100) >= p.stage.unkind {
		return Fate{}
	}
	return Fate{How: []string{Drop, Duplicate, Delay, Reorder}[p.stage.fates.IntN(4)]}
}

// try makes an attempt, and if it fails has the next one made when it is due.
func (p *Pump) try(ctx context.Context, w Webhook, attempt int, fate string) {
	header, body := w.Compose(attempt)
	status := p.post(ctx, orElse(w.Path, p.Path), header, body)
	if status != 0 && p.OK(status) {
		p.note(w, attempt, status, fate)
		return
	}
	after, again := p.repeat(w, attempt, status)
	if !again {
		p.note(w, attempt, status, "given up")
		p.stage.mu.Lock()
		p.lost = append(p.lost, w)
		p.stage.mu.Unlock()
		return
	}
	p.note(w, attempt, status, fate)
	p.stage.Later(p.stage.Now().Add(after), func(ctx context.Context) { p.try(ctx, w, attempt+1, fate) })
}

// repeat says when the attempt after a failed one is due.
func (p *Pump) repeat(w Webhook, attempt, status int) (after time.Duration, again bool) {
	switch {
	case w.Repeat != nil:
		return w.Repeat(attempt, status)
	case attempt < len(p.Retries):
		return p.Retries[attempt], true
	}
	return 0, false
}

// Post sends a body to where the provider's webhooks go, once, outside of all fates and of
// the log, and gives the status of the answer, 0 without one. Hold no locks.
func (s *Stage) Post(ctx context.Context, header http.Header, body []byte) int {
	if !s.Reachable() {
		return 0
	}
	return s.hooks.post(ctx, s.hooks.Path, header, body)
}

// Reachable says whether there is an address that webhooks are sent to.
func (s *Stage) Reachable() bool { return s.hooks != nil && s.options.Webhooks != "" }

// post makes a request and gives the status of its answer, 0 without one.
func (p *Pump) post(ctx context.Context, path string, header http.Header, body []byte) int {
	// Whoever moved the clock to here may have gone away; the end of the stage counts.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.Timeout)
	defer cancel()
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		select {
		case <-p.stage.closed:
			cancel()
		case <-stop:
		}
	}()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, p.stage.options.Webhooks+path, bytes.NewReader(body))
	if err != nil {
		return 0
	}
	r.Header = header
	answer, err := p.client.Do(r)
	if err != nil {
		return 0
	}
	defer func() { _ = answer.Body.Close() }()
	if _, err := io.Copy(io.Discard, io.LimitReader(answer.Body, MaxBody)); err != nil {
		return 0
	}
	return answer.StatusCode
}

func (p *Pump) note(w Webhook, attempt, status int, fate string) {
	at := p.stage.Now()
	p.stage.mu.Lock()
	defer p.stage.mu.Unlock()
	if p.byID == nil {
		p.byID = map[string][]int{}
	}
	p.byID[w.ID] = append(p.byID[w.ID], len(p.log))
	p.log = append(p.log, Delivery{
		Sequence: int64(len(p.log)) + 1, At: at, ID: w.ID, Type: w.Type, OrderID: w.OrderID,
		Attempt: attempt, Status: status, Fate: fate,
	})
	var line strings.Builder
	fmt.Fprintf(&line, "sim: %s webhook %s", p.stage.provider, w.Type)
	if w.OrderID != "" {
		fmt.Fprintf(&line, " order=%q", w.OrderID)
	}
	if status != 0 || fate == "" {
		fmt.Fprintf(&line, " %d", status)
	}
	if fate != "" {
		fmt.Fprintf(&line, " %s", fate)
	}
	_, _ = fmt.Fprintln(p.stage.options.Log, line.String())
}

// Deliveries is the log of webhooks after a sequence, oldest first; 0 gives all.
func (s *Stage) Deliveries(after int64) []Delivery {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hooks == nil {
		return []Delivery{}
	}
	from := min(max(after, 0), int64(len(s.hooks.log)))
	return append([]Delivery{}, s.hooks.log[from:]...)
}

// DeliveriesOf is the part of the log that is about one webhook, oldest first.
func (s *Stage) DeliveriesOf(id string) []Delivery {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hooks == nil {
		return nil
	}
	var list []Delivery
	for _, i := range s.hooks.byID[id] {
		list = append(list, s.hooks.log[i])
	}
	return list
}

// ScriptWebhook decides what becomes of the next webhooks.
func (s *Stage) ScriptWebhook(f Fate) error {
	switch {
	case s.hooks == nil:
		return fmt.Errorf("%s sends no webhooks", s.provider)
	case !slices.Contains([]string{Drop, Duplicate, Delay, Reorder}, f.How):
		return fmt.Errorf("how %q: drop, duplicate, delay or reorder", f.How)
	case f.Delay < 0:
		return errors.New("delay: more than 0")
	}
	s.hooks.fates.Add(f.Count, f)
	return nil
}

// Recover sends again, as from a provider's dashboard, what was dropped or given up, and
// says how many that were.
func (s *Stage) Recover() int {
	if s.hooks == nil {
		return 0
	}
	s.mu.Lock()
	lost := s.hooks.lost
	s.hooks.lost = nil
	s.mu.Unlock()
	for _, w := range lost {
		s.Later(s.Now(), func(ctx context.Context) { s.hooks.try(ctx, w, 0, "") })
	}
	return len(lost)
}

func (p *Pump) controls() []Control {
	return []Control{
		On("webhook", "Decides what becomes of the next count webhooks, of one type or orderId if given: drop, duplicate, delay or reorder.",
			Fate{How: Drop, Count: 1}, func(f Fate) (any, error) { return nil, p.stage.ScriptWebhook(f) }),
		On("recover", "Sends every webhook again that was dropped or given up, as from the dashboard.",
			struct{}{}, func(struct{}) (any, error) { return map[string]int{"sent": p.stage.Recover()}, nil }),
	}
}

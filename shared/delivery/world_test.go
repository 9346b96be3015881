package delivery_test

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"grantline/shared/customer"
	"grantline/shared/delivery"
	"grantline/shared/event"
	"grantline/shared/memory"
	"grantline/shared/table"
)

var noon = time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)

// world is a deployment in memory: tables, a queue that loses nothing, receivers that behave
// and misbehave, and a clock that is moved.
type world struct {
	testing.TB
	tables    *memory.Tables
	clock     *movable
	logs      *record
	receiver  *receiver
	queue     *queue
	directory customer.Directory
	registry  *delivery.Registry
	publisher *delivery.Publisher
	fanout    *delivery.Fanout
	secrets   map[string]*delivery.Secrets // by endpoint
}

func newWorld(t testing.TB) *world {
	t.Helper()
	clock := &movable{at: noon}
	w := &world{TB: t, tables: memory.New(), clock: clock, logs: &record{}, queue: &queue{}, secrets: map[string]*delivery.Secrets{}}
	w.receiver = &receiver{world: w}
	log := slog.New(slog.NewJSONHandler(w.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	w.directory = customer.Directory{Tables: w.tables, Identity: customer.Identity{
		Key: func(context.Context, bool) (string, error) { return strings.Repeat("k", 32), nil },
	}}
	courier := delivery.Courier{By: w.receiver}
	w.registry = &delivery.Registry{Tables: w.tables, Sealer: newSealer(), Clock: clock, Courier: courier}
	w.publisher = &delivery.Publisher{
		Tables: w.tables, Registry: w.registry, Courier: courier, Clock: clock, Log: log, Lease: 2 * time.Minute,
	}
	w.fanout = &delivery.Fanout{
		Tables: w.tables, Clock: clock, Log: log, Queue: w.queue,
		Scopes: []table.Scope{table.Default, {Project: "default", Environment: "sandbox"}},
	}
	t.Cleanup(w.nothingSecretWasLogged)
	return w
}

// endpoint makes an endpoint that takes all events.
func (w *world) endpoint(id string, change ...func(*delivery.NewEndpoint)) delivery.Endpoint {
	w.Helper()
	ask := delivery.NewEndpoint{ID: id, URL: "https://" + id + ".example/hook?token=of-the-receiver"}
	for _, c := range change {
		c(&ask)
	}
	e, made, err := w.registry.Create(w.Context(), table.Default, ask)
	if err != nil {
		w.Fatal(err)
	}
	w.secrets[id] = made
	return e
}

// tell has something happen to a customer, as anything that writes events does.
func (w *world) tell(id string, types ...event.Type) {
	w.Helper()
	for _, kind := range types {
		for {
			c, err := w.directory.Named(w.Context(), table.Default, id)
			if err != nil {
				w.Fatal(err)
			}
			c.Tell(event.Event{Type: kind, At: w.clock.Now(), Reference: "of " + string(kind)})
			writes, err := c.Writes(w.clock.Now())
			if err == nil {
				err = w.tables.Commit(w.Context(), writes...)
			}
			if errors.As(err, new(*table.Conflict)) {
				continue
			}
			if err != nil {
				w.Fatal(err)
			}
			break
		}
	}
}

func (w *world) ref(id string) string {
	w.Helper()
	ref, err := w.directory.Identity.Ref(w.Context(), table.Default, id)
	if err != nil {
		w.Fatal(err)
	}
	return ref
}

func (w *world) tick() delivery.Report {
	w.Helper()
	report, err := w.fanout.Tick(w.Context())
	if err != nil {
		w.Errorf("Tick: got %v, want no error", err)
	}
	return report
}

// work lets the publisher look at what is in the queue.
func (w *world) work() {
	w.Helper()
	for _, m := range w.queue.take() {
		if err := w.publisher.Work(w.Context(), m); err != nil {
			w.Errorf("Work: got %v, want no error", err)
		}
	}
}

// minutes passes time as a deployment does, minute by minute, but skips idle ones.
func (w *world) minutes(n int) {
	w.Helper()
	end := w.clock.Now().Add(time.Duration(n) * time.Minute)
	for w.clock.Now().Before(end) {
		report := w.tick()
		w.work()
		step := time.Minute
		if report.IdleUntil != nil && report.Sent == 0 {
			step = max(step, min(report.IdleUntil.Sub(w.clock.Now()).Truncate(time.Minute), end.Sub(w.clock.Now())))
		}
		w.clock.advance(step)
	}
}

// idle insists that nothing waits anywhere.
func (w *world) idle() {
	w.Helper()
	if r := w.tick(); r.Sent != 0 || r.IdleUntil == nil || r.IdleUntil.Sub(w.clock.Now()) < 29*24*time.Hour {
		w.Errorf("tick: got %+v, want nothing waiting", r)
	}
}

// got are the numbers that arrived and were taken by an endpoint, of one customer, in order.
func (w *world) got(endpoint, id string) []int64 {
	w.receiver.mu.Lock()
	defer w.receiver.mu.Unlock()
	var all []int64
	for _, a := range w.receiver.arrived {
		if a.endpoint == endpoint && a.body.Data.CustomerID == id && a.took {
			all = append(all, a.body.Data.Sequence)
		}
	}
	return all
}

// tries counts what was sent to an endpoint.
func (w *world) tries(endpoint string) int {
	w.receiver.mu.Lock()
	defer w.receiver.mu.Unlock()
	n := 0
	for _, a := range w.receiver.arrived {
		if a.endpoint == endpoint {
			n++
		}
	}
	return n
}

// whole insists that an endpoint took 1 to n of a customer, each at least once, and never one
// before the one in front of it.
func (w *world) whole(endpoint, id string, n int64) {
	w.Helper()
	var most int64
	got := w.got(endpoint, id)
	for _, s := range got {
		if s > most+1 {
			w.Errorf("%s of %s: got %v, want none before the one in front of it", endpoint, id, got)
		}
		most = max(most, s)
	}
	if most != n {
		w.Errorf("%s of %s: got %v, want all up to %d", endpoint, id, got, n)
	}
}

func (w *world) nothingSecretWasLogged() {
	logs := w.logs.String()
	for _, s := range []string{"of-the-receiver", "minji", "jisoo", "whsec_", "Bearer ", ".example", "\"type\":"} {
		if strings.Contains(logs, s) {
			w.Errorf("a log tells of %q: %s", s, logs)
		}
	}
}

// message is a body in the format standard.
type message struct {
	Type      event.Type
	Timestamp time.Time
	Data      struct {
		CustomerID, Project, Environment, Reference, OtherCustomerID, Other string
		Sequence                                                            int64
		Type                                                                event.Type
	}
}

// arrival is a request that came to a receiver.
type arrival struct {
	endpoint string
	at       time.Time
	header   http.Header
	text     string
	body     message
	took     bool
}

// receiver is the servers of all endpoints.
type receiver struct {
	*world
	mu      sync.Mutex
	arrived []arrival
	// answer says what becomes of a request: the status, or 0 for no answer. Nil takes all.
	answer func(a arrival) int
	// lost says that the answer to what was taken is lost. Nil loses none.
	lost func(a arrival) bool
	// meanwhile is called while a request is under way.
	meanwhile func(a arrival)
}

var errReset = errors.New("reset https://secret.example/hook?token=of-the-receiver")

func (r *receiver) RoundTrip(q *http.Request) (*http.Response, error) {
	text, err := io.ReadAll(q.Body)
	if err != nil {
		return nil, err
	}
	a := arrival{endpoint: strings.TrimSuffix(q.URL.Hostname(), ".example"), at: r.clock.Now(), header: q.Header.Clone(), text: string(text)}
	if err := json.Unmarshal(text, &a.body); err != nil {
		r.Errorf("a body is no JSON: %v: %s", err, text)
	}
	r.verify(a)
	if _, ok := q.Context().Deadline(); !ok {
		r.Errorf("a request may take for ever")
	}
	if r.meanwhile != nil {
		r.meanwhile(a)
	}
	status := http.StatusOK
	if r.answer != nil {
		status = r.answer(a)
	}
	a.took = status >= 200 && status < 300
	lost := a.took && r.lost != nil && r.lost(a)
	r.mu.Lock()
	r.arrived = append(r.arrived, a)
	r.mu.Unlock()
	if status == 0 || lost {
		return nil, errReset
	}
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("whatever")), Request: q}, nil
}

// verify holds a request to Standard Webhooks by its own library.
func (r *receiver) verify(a arrival) {
	r.Helper()
	s := r.secrets[a.endpoint]
	if s == nil {
		r.Errorf("a request to %s, which nobody made", a.endpoint)
		return
	}
	hook, err := standardwebhooks.NewWebhook(s.Signing)
	if err == nil {
		err = hook.VerifyIgnoringTimestamp([]byte(a.text), a.header)
	}
	if err != nil {
		r.Errorf("the signature to %s: %v", a.endpoint, err)
	}
	if got, want := a.header.Get("Webhook-Timestamp"), fmt.Sprint(a.at.Unix()); got != want {
		r.Errorf("webhook-timestamp: got %s, want that of the attempt, %s", got, want)
	}
	for header, values := range a.header {
		if strings.Contains(strings.Join(values, " "), "cus_") {
			r.Errorf("the header %s shows our own id", header)
		}
	}
	if strings.Contains(a.text, "cus_") {
		r.Errorf("a body shows our own id: %s", a.text)
	}
}

// queue keeps what was sent until it is taken.
type queue struct {
	mu    sync.Mutex
	waits []delivery.Wake
	fail  func(delivery.Wake) bool
}

func (q *queue) Send(_ context.Context, group string, messages []delivery.Wake) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, m := range messages {
		if q.fail != nil && q.fail(m) {
			return i, errors.New("the queue is down")
		}
		q.waits = append(q.waits, m)
	}
	return len(messages), nil
}

func (q *queue) take() []delivery.Wake {
	q.mu.Lock()
	defer q.mu.Unlock()
	all := q.waits
	q.waits = nil
	return all
}

// movable is a clock that stands until it is moved.
type movable struct {
	mu sync.Mutex
	at time.Time
}

func (m *movable) Now() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.at
}

func (m *movable) Sleep(ctx context.Context, _ time.Duration) error { return ctx.Err() }

func (m *movable) advance(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.at = m.at.Add(d)
}

// record is a log that a test can read.
type record struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(p)
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

func (r *record) alarms() int { return strings.Count(r.String(), `"alarm":true`) }

// sealer seals as the real one does, under a key of its own.
type sealer struct {
	mu   sync.Mutex
	next uint64
	aead cipher.AEAD
	fail error
}

func newSealer() *sealer {
	block, err := aes.NewCipher([]byte("thirty-two bytes of a test's key"))
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	return &sealer{aead: aead}
}

func (s *sealer) Seal(_ context.Context, plain, bound []byte) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return nil, s.fail
	}
	s.next++
	nonce := binary.BigEndian.AppendUint64(make([]byte, 4, 64), s.next)
	return s.aead.Seal(nonce, nonce, plain, bound), nil
}

func (s *sealer) Open(_ context.Context, sealed, bound []byte) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return nil, s.fail
	}
	return s.aead.Open(nil, sealed[:12], sealed[12:], bound)
}

// keyOf is the key in a signing secret (Standard Webhooks, "Signature scheme").
func keyOf(t testing.TB, secret string) []byte {
	t.Helper()
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil || !strings.HasPrefix(secret, "whsec_") {
		t.Errorf("secret: got no whsec_ and base64")
	}
	return key
}

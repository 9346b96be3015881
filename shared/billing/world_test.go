package billing_test

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"grantline/shared/billing"
	"grantline/shared/catalog"
	"grantline/shared/customer"
	"grantline/shared/event"
	"grantline/shared/memory"
	"grantline/shared/reminder"
	"grantline/shared/table"
)

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

func (m *movable) set(t time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.at = t.UTC()
}

// sealer encrypts, and checks what a ciphertext is bound to.
type sealer struct {
	mu   sync.Mutex
	next uint64
	aead cipher.AEAD
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
	s.next++
	nonce := binary.BigEndian.AppendUint64(make([]byte, 4, 64), s.next)
	return s.aead.Seal(nonce, nonce, plain, bound), nil
}

func (s *sealer) Open(_ context.Context, sealed, bound []byte) ([]byte, error) {
	if len(sealed) < 12 {
		return nil, errors.New("sealer: too short")
	}
	return s.aead.Open(nil, sealed[:12], sealed[12:], bound)
}

// queue is the messages that were handed over and not yet delivered.
type queue struct {
	mu       sync.Mutex
	messages []message
	total    int
	// take, if set, says how many from the front of a Send are taken.
	take func(n int) (int, error)
}

type message struct {
	billing.Due
	receives int
}

func (q *queue) Send(_ context.Context, _ string, messages []billing.Due) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	n, err := len(messages), error(nil)
	if q.take != nil {
		n, err = q.take(n)
	}
	for _, m := range messages[:n] {
		q.messages = append(q.messages, message{Due: m})
	}
	q.total += n
	return n, err
}

func (q *queue) drain() []message {
	q.mu.Lock()
	defer q.mu.Unlock()
	all := q.messages
	q.messages = nil
	return all
}

// world is everything around the code under test.
type world struct {
	testing.TB
	tables   *memory.Tables
	clock    *movable
	gateway  *gateway
	queue    *queue
	tellings *queue // what is to be told
	courier  *courier
	biller   *billing.Biller
	fanout   *billing.Fanout
	rand     *rand.Rand
	logs     *record
	// meanwhile counts the deliveries that came in between others.
	meanwhile int
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

var scope = table.Default

const (
	who    = "person-1"
	lease  = 2 * time.Minute
	secret = "secret-auth-key"
)

// plans are the sample plans and some that differ in policy.
const plans = `{"products":[],"plans":[
	{"id":"weekly","gateway":"toss","entitlement":"premium","name":"W","price":{"units":1900,"currency":"KRW"},"cycle":"1 weeks","grace":true,"after_last_attempt":"unpaid"},
	{"id":"biweekly","gateway":"toss","entitlement":"premium","name":"B","price":{"units":2900,"currency":"KRW"},"cycle":"2 weeks","grace":true,"after_last_attempt":"unpaid"},
	{"id":"monthly","gateway":"toss","entitlement":"premium","name":"M","price":{"units":4900,"currency":"KRW"},"cycle":"1 months","grace":true,"after_last_attempt":"unpaid"},
	{"id":"quarterly","gateway":"toss","entitlement":"premium","name":"Q","price":{"units":12900,"currency":"KRW"},"cycle":"3 months","grace":true,"after_last_attempt":"unpaid"},
	{"id":"yearly","gateway":"toss","entitlement":"premium","name":"Y","price":{"units":49000,"currency":"KRW"},"cycle":"1 years","grace":true,"after_last_attempt":"unpaid"},
	{"id":"new-york","gateway":"toss","entitlement":"premium","name":"N","price":{"units":4900,"currency":"KRW"},"cycle":"1 months","zone":"America/New_York","grace":true,"after_last_attempt":"unpaid"},
	{"id":"strict","gateway":"toss","entitlement":"premium","name":"S","price":{"units":4900,"currency":"KRW"},"cycle":"1 months","after_last_attempt":"cancelled"},
	{"id":"other-entitlement","gateway":"toss","entitlement":"ad_free","name":"A","price":{"units":9900,"currency":"KRW"},"cycle":"1 months","grace":true,"after_last_attempt":"unpaid"},
	{"id":"taxed","gateway":"toss","entitlement":"premium","name":"T","price":{"units":10000,"currency":"KRW"},"tax_free":3001,"cycle":"1 months","grace":true,"after_last_attempt":"unpaid"},
	{"id":"usage","gateway":"toss","name":"U","on_demand":true,"after_last_attempt":"unpaid"},
	{"id":"patient","gateway":"toss","entitlement":"premium","name":"P","price":{"units":4900,"currency":"KRW"},"cycle":"1 months","grace":true,"repeat_insufficient_funds":true,"after_last_attempt":"unpaid"}]}`

var sold = sync.OnceValues(func() (*catalog.Catalog, error) { return catalog.Parse([]byte(plans)) })

func newWorld(t testing.TB, start time.Time) *world {
	t.Helper()
	c, err := sold()
	if err != nil {
		t.Fatal(err)
	}
	clock := &movable{at: start.UTC()}
	w := &world{
		TB: t, tables: memory.New(), clock: clock, gateway: newGateway(clock), queue: &queue{}, tellings: &queue{}, courier: &courier{},
		rand: rand.New(rand.NewPCG(1, 2)), logs: &record{},
	}
	log := slog.New(slog.NewTextHandler(w.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	name := billing.GatewayName{Scope: scope, Gateway: "toss"}
	w.biller = &billing.Biller{
		Tables: w.tables, Catalog: c, Gateways: billing.Gateways{name: w.gateway}, Sealer: newSealer(), Clock: clock, Log: log,
		Customers: customer.Directory{Tables: w.tables, Identity: customer.Identity{
			Key: func(context.Context, bool) (string, error) { return strings.Repeat("k", 32), nil },
		}},
		Shards: 2, Lease: lease, Courier: w.courier,
	}
	w.fanout = &billing.Fanout{
		Tables: w.tables, Clock: clock, Log: log, Shards: 2, Lines: []billing.Line{
			{GatewayName: name, Queue: w.queue, PerMinute: 300},
			{GatewayName: name, Lane: "toss-retries", Queue: w.queue, PerMinute: 100},
			{GatewayName: billing.GatewayName{Scope: scope, Gateway: billing.LaneDeliver}, Queue: w.tellings, PerMinute: 600},
		},
	}
	return w
}

func signUp(plan string) billing.SignUp {
	return billing.SignUp{ID: "sub-1", CustomerID: who, Plan: plan, Gateway: "toss", Card: &billing.NewCard{AuthKey: secret, CustomerKey: "key-of-person-1"}}
}

// invoke runs act as one invocation, which the gateway may end before its time.
func (w *world) invoke(act func(ctx context.Context) error) error {
	ctx, cancel := context.WithCancel(w.Context())
	defer cancel()
	w.gateway.mu.Lock()
	w.gateway.kill = cancel
	w.gateway.mu.Unlock()
	return act(ctx)
}

// subscribe asks as a patient app does: again after an outage.
func (w *world) subscribe(r billing.SignUp) billing.Subscription {
	w.Helper()
	var err error
	for range 4 {
		var created billing.Created
		err = w.invoke(func(ctx context.Context) (err error) {
			created, err = w.biller.Subscribe(ctx, scope, r)
			return err
		})
		if err == nil {
			return created.Subscription
		}
	}
	w.Fatalf("Subscribe: got %v, want success after a few tries", err)
	return billing.Subscription{}
}

// until lets time pass as the minute rule and the queue do it: a tick each whole minute
// but for those that a tick said were idle, each message once or twice and in any order,
// a failed one again a few minutes later, up to eight times.
func (w *world) until(end time.Time) {
	w.Helper()
	for w.clock.Now().Before(end) {
		var report billing.Report
		began, meanwhile := w.clock.Now(), w.meanwhile
		err := w.invoke(func(ctx context.Context) (err error) {
			report, err = w.fanout.Tick(ctx)
			return err
		})
		next := w.clock.Now().Truncate(time.Minute).Add(time.Minute)
		// Who worked while the tick looked may have put something where it had looked.
		if w.deliver() && err == nil && report.IdleUntil != nil && w.meanwhile == meanwhile {
			next = report.IdleUntil.Add(time.Minute - time.Nanosecond).Truncate(time.Minute)
			if !next.After(began) {
				w.Fatalf("IdleUntil: got %v at %v, want an instant to come", report.IdleUntil, began)
			}
		}
		if next.After(end) {
			next = end
		}
		if next.After(w.clock.Now()) { // time may have passed within an invocation
			w.clock.set(next)
		}
	}
}

// courier is what customers were told.
type courier struct {
	mu   sync.Mutex
	told []reminder.Reminder
	fail func(nth int) bool // the nth telling does not arrive
	nth  int
}

func (c *courier) Tell(ctx context.Context, r reminder.Reminder) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.nth++; ctx.Err() != nil || c.fail != nil && c.fail(c.nth) {
		return errors.New("courier: lost")
	}
	c.told = append(c.told, r)
	return nil
}

// deliver works off the queues and says whether nothing remains.
func (w *world) deliver() bool {
	for _, m := range w.tellings.drain() {
		if err := w.invoke(func(ctx context.Context) error { return w.biller.Deliver(ctx, scope, m.Subscription) }); err != nil {
			w.tellings.mu.Lock()
			if m.receives++; m.receives < 8 {
				w.tellings.messages = append(w.tellings.messages, m)
			}
			w.tellings.mu.Unlock()
		}
	}
	messages := w.queue.drain()
	for _, m := range messages {
		if w.rand.IntN(3) == 0 {
			messages = append(messages, m)
		}
	}
	w.rand.Shuffle(len(messages), func(i, j int) { messages[i], messages[j] = messages[j], messages[i] })
	idle := true
	for _, m := range messages {
		err := w.work(m.Subscription)
		if m.receives++; err != nil && m.receives < 8 {
			w.queue.mu.Lock()
			w.queue.messages = append(w.queue.messages, m)
			w.queue.mu.Unlock()
			idle = false
		}
	}
	return idle && len(messages) == 0
}

func (w *world) work(id string) error {
	return w.invoke(func(ctx context.Context) error { return w.biller.Work(ctx, scope, id) })
}

func (w *world) subscription(id string) billing.Subscription {
	w.Helper()
	s, err := w.biller.Get(w.Context(), scope, id)
	if err != nil {
		w.Fatalf("Get %s: got %v, want a subscription", id, err)
	}
	return s
}

// change rewrites a subscription behind everybody's back, as a caller's word would.
func (w *world) change(id string, how func(*billing.Subscription)) {
	w.Helper()
	for _, item := range w.tables.Items(table.Subscriptions) {
		var s billing.Subscription
		if err := json.Unmarshal(item.Data, &s); err != nil || s.ID != id {
			continue
		}
		how(&s)
		if s.Step == billing.StepNone {
			item.Index = nil
		}
		item.Data, _ = json.Marshal(s)
		if len(s.BillingKey) > 0 {
			item.Sealed = append([]byte{0}, s.BillingKey...) // no authKey before it
		}
		if err := w.tables.Commit(w.Context(), table.Replaced(item)); err != nil {
			w.Fatal(err)
		}
		return
	}
	w.Fatalf("there is no subscription %s to change", id)
}

func (w *world) charges(id string) []billing.Charge {
	w.Helper()
	c, err := w.biller.Charges(w.Context(), scope, w.subscription(id))
	if err != nil {
		w.Fatal(err)
	}
	return c
}

func (w *world) events() []event.Event {
	w.Helper()
	c, err := w.biller.Customers.Named(w.Context(), scope, who)
	if err != nil {
		w.Fatal(err)
	}
	var all []event.Event
	for {
		some, err := customer.Events(w.Context(), w.tables, scope, c.Ref, int64(len(all)), 500)
		if err != nil {
			w.Fatal(err)
		}
		if len(some) == 0 {
			return all
		}
		all = append(all, some...)
	}
}

func (w *world) kinds() []event.Type {
	var kinds []event.Type
	for _, e := range w.events() {
		kinds = append(kinds, e.Type)
	}
	return kinds
}

// allowed says whether the customer may use what the plans open.
func (w *world) allowed() bool {
	w.Helper()
	c, err := w.biller.Customers.Named(w.Context(), scope, who)
	if err != nil {
		w.Fatal(err)
	}
	for _, e := range c.Entitlements(w.clock.Now()) {
		if e.ID == "premium" {
			return e.Active
		}
	}
	return false
}

func at(text string) time.Time {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		panic(err)
	}
	return t.UTC()
}

func days(n int) time.Duration { return time.Duration(n) * 24 * time.Hour }

// attemptOf finds which attempt of sub-1 an order is.
func attemptOf(id, order string) (period, attempt int) {
	if is, ok := attempts()[order]; ok && id == "sub-1" {
		return is[0], is[1]
	}
	panic(fmt.Sprintf("%s is no order of %s", order, id))
}

var attempts = sync.OnceValue(func() map[string][2]int {
	all := map[string][2]int{}
	for period := range 60 {
		for attempt := 1; attempt <= 4; attempt++ {
			all[billing.OrderID(scope, "sub-1", period, attempt)] = [2]int{period, attempt}
		}
	}
	return all
})

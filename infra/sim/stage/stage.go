// Package stage is what every simulated provider stands on: the log of effects, the
// faults and the controls. The one idea: a call goes wrong either before the provider did
// anything or after it did everything, and the caller cannot tell which; the log of
// effects can. Begin at Stage.Serve.
package stage

import (
	"context"
	cryptorand "crypto/rand"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// MaxBody bounds the body of a call and of a control, in bytes.
const MaxBody = 1 << 20

// Options are the same for each provider. The zero value is a kind simulator on the
// system's clock that is different at every start.
type Options struct {
	// Now is the clock that the provider's records and expiries follow; nil is the
	// system's. It never decides how long a call waits: faults wait in real time.
	Now func() time.Time
	// Seed makes keys, ids and random faults repeatable. 0 draws a fresh one, so that
	// nobody comes to rely on what was made up.
	Seed uint64
	// Unkind is the percentage of calls, 0 to 100, that go wrong of themselves.
	Unkind int
	// HangLimit is how long a hanging call is held where the caller does not give up; 0
	// is 90 seconds.
	HangLimit time.Duration
	// Log gets a line for each call, without secrets; nil keeps none.
	Log io.Writer
	// At has do called at an instant of Now's clock, later than its own return; what comes
	// under the same key replaces what is waiting. Nil waits for it in real time.
	At func(key string, at time.Time, do func(ctx context.Context))
	// Webhooks is the origin that webhooks are sent to, without a slash at its end; ""
	// sends none.
	Webhooks string
	// Base is the address that the provider is served under, for links that it hands out;
	// "" takes the host of the request.
	Base string
}

// Stage holds what one provider did and how it shall go wrong. Its methods may be called
// by several goroutines.
type Stage struct {
	provider  string
	endpoints []string
	broken    Answer
	options   Options
	faults    Script[Fault]
	closed    chan struct{}
	closing   sync.Once
	agenda    agenda
	hooks     *Pump // nil unless Sends was called

	mu      sync.Mutex
	ids     *rand.ChaCha8
	dice    *rand.Rand
	fates   *rand.Rand // of webhooks
	unkind  int
	brief   map[string]bool // endpoints whose calls do not hang of themselves
	effects []Effect
}

// Brief names endpoints whose calls never hang of themselves: they are asked each day, and a
// person moves the clock by years.
func (s *Stage) Brief(endpoints ...string) {
	s.brief = map[string]bool{}
	for _, e := range endpoints {
		s.brief[e] = true
	}
}

// New sets the stage for a provider. Endpoints are the names under which its calls can be
// made to fail; broken is its answer when a fault says "500".
func New(provider string, endpoints []string, broken Answer, o Options) *Stage {
	if o.Now == nil {
		o.Now = func() time.Time { return time.Now().UTC() }
	}
	if o.HangLimit <= 0 {
		o.HangLimit = 90 * time.Second
	}
	if o.Log == nil {
		o.Log = io.Discard
	}
	var seed [32]byte
	if o.Seed == 0 {
		cryptorand.Read(seed[:]) // never fails, see crypto/rand
	} else {
		binary.LittleEndian.PutUint64(seed[:], o.Seed)
		copy(seed[8:], provider) // so that two providers of one seed draw differently
	}
	s := &Stage{
		provider: provider, endpoints: endpoints, broken: broken, options: o,
		closed: make(chan struct{}), ids: rand.NewChaCha8(seed),
	}
	seed[31] ^= 0xff // faults have a stream of their own: drawing an id moves no fault
	s.dice = rand.New(rand.NewChaCha8(seed))
	seed[30] ^= 0xff // and so have webhooks
	s.fates = rand.New(rand.NewChaCha8(seed))
	s.unkind = min(max(o.Unkind, 0), 100)
	return s
}

// Now is the instant by the provider's clock, in UTC.
func (s *Stage) Now() time.Time { return s.options.Now().UTC() }

// Read draws random bytes for keys and ids; it never fails.
func (s *Stage) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ids.Read(p)
}

// Bytes draws n random bytes.
func (s *Stage) Bytes(n int) []byte {
	raw := make([]byte, n)
	_, _ = s.Read(raw) // never fails
	return raw
}

// Text draws n characters of an alphabet of at most 256.
func (s *Stage) Text(n int, alphabet string) string {
	raw := s.Bytes(n)
	for i, b := range raw {
		raw[i] = alphabet[int(b)%len(alphabet)]
	}
	return string(raw)
}

// Alphabets for Text.
const (
	Digits       = "0123456789"
	Capitals     = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	Alphanumeric = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
)

// UUID draws a version 7 UUID for the instant now (RFC 9562).
func (s *Stage) UUID() string {
	raw := s.Bytes(16)
	millis := uint64(s.Now().UnixMilli())
	for i := range 6 {
		raw[i] = byte(millis >> (40 - 8*i))
	}
	raw[6] = raw[6]&0x0f | 0x70
	raw[8] = raw[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", raw[:4], raw[4:6], raw[6:8], raw[8:10], raw[10:])
}

// Answer is what a provider says.
type Answer struct {
	Status      int
	ContentType string // of Body; "" where there is none
	Body        []byte
	Header      http.Header
	// Hang loses the answer: the caller waits as in a Fault of Hang after the effect.
	Hang bool
}

// JSON is an Answer with v as its body. It panics for what is no JSON, a bug.
func JSON(status int, v any) Answer {
	body, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("stage: an answer of the simulator's own is no JSON: %v", err))
	}
	return Answer{Status: status, ContentType: "application/json;charset=utf-8", Body: body}
}

// Call says what a request is, for faults and for the log.
type Call struct {
	Endpoint string   // one of those given to New
	IDs      []string // what a fault may name: an orderId, a key; "" is ignored
	Order    string   // shown in the log of calls
}

// Serve answers one call of the provider. It decides first whether and how the call goes
// wrong, then lets act do the provider's work, unless the fault comes before. The act
// calls pause where it would take its time: with its claims made, before its effect.
// Read the request's body before Serve, else a caller that gives up goes unnoticed.
func (s *Stage) Serve(w http.ResponseWriter, r *http.Request, call Call, act func(pause func()) Answer) {
	fault := s.pick(call)
	pause := func() { s.wait(time.Duration(fault.Delay), nil) }
	if fault.When == Before {
		pause()
		s.note(call, 0, fault)
		s.fail(w, r, fault)
		return
	}
	answer := act(pause)
	switch {
	case fault.When == After:
		s.note(call, answer.Status, fault)
		s.fail(w, r, fault)
	case answer.Hang:
		s.note(call, answer.Status, Fault{When: After, How: Hang})
		s.fail(w, r, Fault{How: Hang})
	default:
		s.note(call, answer.Status, fault)
		Write(w, answer)
	}
}

// Write sends an answer.
func Write(w http.ResponseWriter, a Answer) {
	header := w.Header()
	for name, values := range a.Header {
		header[name] = values
	}
	if a.ContentType != "" {
		header.Set("Content-Type", a.ContentType)
	}
	header.Set("Content-Length", strconv.Itoa(len(a.Body)))
	w.WriteHeader(a.Status)
	_, _ = w.Write(a.Body) // a caller that has gone is its own affair
}

// note writes a line to the log of calls: a status in brackets was decided but not told.
func (s *Stage) note(call Call, status int, fault Fault) {
	var line strings.Builder
	fmt.Fprintf(&line, "sim: %s %s", s.provider, call.Endpoint)
	if call.Order != "" {
		fmt.Fprintf(&line, " order=%q", call.Order)
	}
	switch fault.When {
	case Before:
		fmt.Fprintf(&line, " %s before anything was done", fault.How)
	case After:
		fmt.Fprintf(&line, " (%d) %s after it was done", status, fault.How)
	default:
		fmt.Fprintf(&line, " %d", status)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, _ = fmt.Fprintln(s.options.Log, line.String())
}

// Origin is where the provider is served, as seen by r.
func (s *Stage) Origin(r *http.Request) string {
	if s.options.Base != "" {
		return s.options.Base
	}
	return "http://" + r.Host
}

// Close ends every wait: what hangs is dropped, what pauses goes on, what was to be done
// later is not.
func (s *Stage) Close() {
	s.closing.Do(func() {
		close(s.closed)
		s.agenda.close()
	})
}

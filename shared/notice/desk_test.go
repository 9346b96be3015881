package notice_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/fault"
	"grantline/shared/memory"
	"grantline/shared/notice"
	"grantline/shared/table"
)

var start = time.Date(2026, 11, 20, 2, 14, 7, 0, time.UTC)

// world is a desk over tables in memory, with a looker that does as told.
type world struct {
	testing.TB
	tables *memory.Tables
	desk   *notice.Desk
	clock  *movable
	log    bytes.Buffer

	mu     sync.Mutex
	looks  []notice.Hint
	answer func(h notice.Hint) (bool, error)
}

func newWorld(t testing.TB) *world {
	w := &world{TB: t, tables: memory.New(), clock: &movable{at: start}}
	w.answer = func(notice.Hint) (bool, error) { return true, nil }
	w.desk = &notice.Desk{
		Tables: w.tables, Clock: w.clock, Log: slog.New(slog.NewTextHandler(&w.log, nil)),
		Look: map[string]notice.Looker{"toss": w, "dodo": w},
	}
	return w
}

func (w *world) LookAgain(_ context.Context, h notice.Hint) (bool, error) {
	w.mu.Lock()
	w.looks = append(w.looks, h)
	w.mu.Unlock()
	return w.answer(h)
}

func (w *world) receive(h notice.Hint) {
	w.Helper()
	if err := w.desk.Receive(w.Context(), h); err != nil {
		w.Fatalf("Receive: got %v, want the message let go", err)
	}
}

// comesAgain fails the test unless the message would come again for an outage or a wait.
func (w *world) comesAgain(h notice.Hint, code string) {
	w.Helper()
	if err := w.desk.Receive(w.Context(), h); !errors.Is(err, fault.Unavailable) || fault.Code(err) != code {
		w.Fatalf("Receive: got %v, want fault.Unavailable with code %s", err, code)
	}
}

func (w *world) looked(want int) {
	w.Helper()
	if got := len(w.looks); got != want {
		w.Errorf("looks: got %d, want %d", got, want)
	}
}

func (w *world) rows() []table.Item { return w.tables.Items(table.Notices) }

func (w *world) kept(provider, id string) notice.Notice {
	w.Helper()
	n, err := notice.Read(w.Context(), w.tables, table.Default, provider, id, w.clock.Now())
	if err != nil {
		w.Fatalf("Read %s %s: got %v, want a notice", provider, id, err)
	}
	return n
}

// order puts an order into the books.
func (w *world) order(id, data string) {
	w.Helper()
	i := table.Item{Key: table.Key{Table: table.Orders, Partition: table.Default.Key(id)}, Schema: 1, Data: []byte(data)}
	if err := w.tables.Commit(w.Context(), table.Inserted(i)); err != nil {
		w.Fatal(err)
	}
}

func outage() error {
	return fault.New(fault.Unavailable, "gateway_unavailable", "The gateway did not answer.")
}

func dodo(change ...func(*notice.Hint)) notice.Hint {
	h := notice.Hint{
		Project: "default", Environment: "production", Provider: "dodo", ID: "msg_1", Type: "payment.succeeded", At: start.Add(-time.Second),
		Signed: true, Payment: "pay_1", Mandate: "sub_dodo1", Order: "gl_1", Subscription: "sub-1",
	}
	for _, c := range change {
		c(&h)
	}
	return h
}

// toss is an unsigned hint that does not say when it came in.
func toss(id, order string) notice.Hint {
	return notice.Hint{
		Project: "default", Environment: "production", Provider: "toss", ID: id, Type: "PAYMENT_STATUS_CHANGED",
		Order: order, Payment: "payment-key-of-anybody",
	}
}

const tossOrder = `{"id":"gl_1","kind":"charge","gateway":"toss","customer":"cus_1"}`

func TestNoticeIsWrittenDownLookedAtAndKeptForNinetyDays(t *testing.T) {
	w := newWorld(t)
	w.answer = func(h notice.Hint) (bool, error) {
		if got := w.kept("dodo", "msg_1").State; got != notice.Received {
			t.Errorf("state during the look: got %s, want received", got)
		}
		return true, nil
	}
	w.receive(dodo())
	if d := cmp.Diff([]notice.Hint{dodo()}, w.looks); d != "" {
		t.Errorf("what was looked at (+) is not what came in (-):\n%s", d)
	}
	want := notice.Notice{
		Scope: table.Default, Provider: "dodo", ID: "msg_1", Type: "payment.succeeded", Signed: true, ReceivedAt: start.Add(-time.Second),
		Payment: "pay_1", Mandate: "sub_dodo1", Order: "gl_1", Subscription: "sub-1", State: notice.Applied, LookedAt: start,
	}
	if d := cmp.Diff(want, w.kept("dodo", "msg_1")); d != "" {
		t.Errorf("what is kept: got (+) and want (-) differ:\n%s", d)
	}
	if got, want := w.rows()[0].Expires, start.Add(90*24*time.Hour); !got.Equal(want) {
		t.Errorf("expires at %v, want %v", got, want)
	}
	w.clock.at = start.Add(90 * 24 * time.Hour)
	if _, err := notice.Read(t.Context(), w.tables, table.Default, "dodo", "msg_1", w.clock.Now()); !errors.Is(err, fault.NotFound) {
		t.Errorf("Read after 90 days: got %v, want fault.NotFound", err)
	}
}

func TestDuplicateOfWhatWasAppliedIsLetGo(t *testing.T) {
	w := newWorld(t)
	for range 3 {
		w.receive(dodo())
	}
	w.looked(1)
	if got := w.rows()[0].Revision; len(w.rows()) != 1 || got != 2 {
		t.Errorf("got %d rows, the first written %d times, want one written twice", len(w.rows()), got)
	}
}

func TestOutageMakesTheNoticeComeAgainAndIsToldOf(t *testing.T) {
	w := newWorld(t)
	w.answer = func(notice.Hint) (bool, error) { return false, outage() }
	for range 3 {
		w.comesAgain(dodo(), "gateway_unavailable")
	}
	n := w.kept("dodo", "msg_1")
	if n.State != notice.Received || n.Detail != "gateway_unavailable" {
		t.Errorf("kept during the outage: got %s %q, want received and the code", n.State, n.Detail)
	}
	if got := w.rows()[0].Revision; got != 2 {
		t.Errorf("writes for three times the same outage: got %d, want 2", got)
	}
	w.answer = func(notice.Hint) (bool, error) { return true, nil }
	w.receive(dodo())
	if n := w.kept("dodo", "msg_1"); n.State != notice.Applied || n.Detail != "" {
		t.Errorf("kept after the outage: got %s %q, want applied", n.State, n.Detail)
	}
}

func TestSignedNoticeOfNothingOfOursIsKeptAndLetGo(t *testing.T) {
	w := newWorld(t)
	w.answer = func(notice.Hint) (bool, error) { return false, nil }
	w.receive(dodo(func(h *notice.Hint) { h.Type = "payment.unheard_of" }))
	if n := w.kept("dodo", "msg_1"); n.State != notice.Unknown || n.Type != "payment.unheard_of" {
		t.Errorf("kept: got %s %s, want unknown with its type", n.State, n.Type)
	}

	// It came before what it is about was written: a redrive finds it.
	w.answer = func(notice.Hint) (bool, error) { return true, nil }
	w.receive(dodo(func(h *notice.Hint) { h.Type = "payment.unheard_of" }))
	if n := w.kept("dodo", "msg_1"); n.State != notice.Applied {
		t.Errorf("kept after a redrive: got %s, want applied", n.State)
	}
}

func TestSignedNoticeThatNamesNothingIsKeptAndNobodyIsAsked(t *testing.T) {
	w := newWorld(t)
	h := notice.Hint{Project: "default", Environment: "production", Provider: "dodo", ID: "msg_2", Type: "license_key.created", Signed: true}
	w.receive(h)
	w.receive(h)
	w.looked(0)
	if n := w.kept("dodo", "msg_2"); n.State != notice.Ignored || n.ReceivedAt != start {
		t.Errorf("kept: got %s of %v, want ignored, of now", n.State, n.ReceivedAt)
	}
}

func TestFloodOfUnsignedHintsAtUnknownOrdersLeavesNoTrace(t *testing.T) {
	w := newWorld(t)
	w.order("appsintoss_1", `{"id":"appsintoss_1","store":"appsintoss","customer":"cus_1"}`)
	w.order("gl_dodo", `{"id":"gl_dodo","kind":"charge","gateway":"dodo"}`)
	for _, order := range []string{"", "gl_0", "gl_1#x", "appsintoss_1", "gl_dodo", "health", "../x", strings.Repeat("a", 200)} {
		for _, id := range []string{"a", "b", "c"} {
			w.receive(toss(id, order).Tidy())
		}
	}
	w.looked(0)
	if rows := w.rows(); len(rows) != 0 {
		t.Errorf("rows after the flood: got %d, want none", len(rows))
	}
}

func TestFloodOfUnsignedHintsAtAKnownOrderIsOneRowAndOneLookAMinute(t *testing.T) {
	w := newWorld(t)
	w.order("gl_1", tossOrder)
	w.receive(toss("t-0", "gl_1"))
	w.looked(1)
	if h := w.looks[0]; h.Order != "gl_1" || h.Payment != "" {
		t.Errorf("looked at %+v, want the order alone, for anybody may have written the rest", h)
	}
	w.clock.at = start.Add(59 * time.Second)
	w.comesAgain(toss("t-1", "gl_1"), "looked_just_now") // it may be news, and waits
	for range 50 {
		w.receive(toss("t-2", "gl_1")) // whatever it is about, the look of t-1 comes after it
	}
	w.comesAgain(toss("t-1", "gl_1"), "looked_just_now")
	w.looked(1)

	w.clock.at = start.Add(10 * time.Minute)
	w.receive(toss("t-1", "gl_1"))
	w.looked(2)
	w.comesAgain(toss("t-3", "gl_1"), "looked_just_now")
	if rows := w.rows(); len(rows) != 1 {
		t.Errorf("rows: got %d, want one", len(rows))
	}
	if n := w.kept("toss", "gl_1"); n.State != notice.Applied || n.Payment != "" || n.Waiting != "t-3" {
		t.Errorf("kept: got %+v, want applied, without a payment, t-3 waiting", n)
	}
}

func TestUnsignedHintIsCoveredByALookThatBeganAfterItCameIn(t *testing.T) {
	w := newWorld(t)
	w.order("gl_1", tossOrder)
	w.receive(toss("t-0", "gl_1"))
	waiting, later := toss("t-1", "gl_1"), toss("t-2", "gl_1")
	waiting.At, later.At = start.Add(10*time.Second), start.Add(8*time.Minute)
	w.clock.at = waiting.At
	w.comesAgain(waiting, "looked_just_now")
	w.clock.at = later.At
	w.receive(later)
	w.looked(2)

	w.clock.at = start.Add(8*time.Minute + 30*time.Second)
	for range 8 { // nobody can keep it coming back until it is a dead letter
		w.receive(waiting)
	}
	w.looked(2)

	// A look that failed has seen nothing.
	w.answer = func(notice.Hint) (bool, error) { return false, outage() }
	failed := toss("t-3", "gl_1")
	failed.At, w.clock.at = start.Add(time.Hour), start.Add(time.Hour)
	w.comesAgain(failed, "gateway_unavailable")
	w.comesAgain(waiting, "looked_just_now")
}

func TestUnsignedHintsAtOnceAreOneLook(t *testing.T) {
	w := newWorld(t)
	w.order("gl_1", tossOrder)
	inLook, goOn := make(chan struct{}), make(chan struct{})
	w.answer = func(notice.Hint) (bool, error) {
		close(inLook)
		<-goOn
		return true, nil
	}
	done := make(chan error, 1)
	go func() { done <- w.desk.Receive(t.Context(), toss("t-0", "gl_1")) }()
	<-inLook
	w.comesAgain(toss("t-1", "gl_1"), "looked_just_now")
	w.receive(toss("t-2", "gl_1"))
	close(goOn)
	if err := <-done; err != nil {
		t.Fatalf("Receive of the first: got %v, want success", err)
	}
	if n := w.kept("toss", "gl_1"); n.State != notice.Applied || n.Waiting != "t-1" {
		t.Errorf("kept: got %s with %q waiting, want applied, and t-1 not forgotten", n.State, n.Waiting)
	}
}

func TestUnsignedHintIsLookedAtAgainAfterAnOutage(t *testing.T) {
	w := newWorld(t)
	w.order("gl_1", tossOrder)
	w.answer = func(notice.Hint) (bool, error) { return false, outage() }
	w.comesAgain(toss("t-0", "gl_1"), "gateway_unavailable")
	w.comesAgain(toss("t-0", "gl_1"), "looked_just_now")
	w.answer = func(notice.Hint) (bool, error) { return true, nil }
	w.clock.at = start.Add(9 * time.Minute)
	w.receive(toss("t-0", "gl_1"))
	w.looked(2)
	if n := w.kept("toss", "gl_1"); n.State != notice.Applied || n.Detail != "" || n.Waiting != "" {
		t.Errorf("kept: got %+v, want applied and nobody waiting", n)
	}
	// News of the same order a month later.
	w.clock.at = start.AddDate(0, 1, 0)
	w.answer = func(notice.Hint) (bool, error) { return false, outage() }
	w.comesAgain(toss("t-9", "gl_1"), "gateway_unavailable")
	if n := w.kept("toss", "gl_1"); n.State != notice.Received {
		t.Errorf("kept when the news cannot be looked at: got %s, want received", n.State)
	}
}

func TestWhatHasExpiredIsNoDuplicate(t *testing.T) {
	w := newWorld(t)
	w.order("gl_1", tossOrder)
	w.receive(dodo())
	w.receive(toss("t-0", "gl_1"))
	w.clock.at = start.Add(notice.Kept)
	w.receive(dodo())
	w.receive(toss("t-0", "gl_1"))
	w.looked(4)
	for _, row := range w.rows() {
		if got, want := row.Expires, start.Add(2*notice.Kept); !got.Equal(want) {
			t.Errorf("expires at %v, want %v", got, want)
		}
	}
}

// TestEveryLostWriteIsMadeGoodByARedrive: whatever operation on the tables fails, before
// or after it was carried out, the message comes again, and then all is as it should be.
func TestEveryLostWriteIsMadeGoodByARedrive(t *testing.T) {
	for _, h := range []notice.Hint{dodo(), toss("t-0", "gl_1")} {
		for failing := 1; ; failing++ {
			w := newWorld(t)
			w.order("gl_1", tossOrder)
			done := 0
			for _, apply := range []bool{false, true} {
				n := 0
				w.tables.Fail = func(memory.Op) (bool, error) {
					if n++; n == failing {
						return apply, fault.New(fault.Unavailable, "tables_unavailable", "The tables did not answer.")
					}
					return false, nil
				}
				err := w.desk.Receive(t.Context(), h)
				w.tables.Fail = nil
				if n < failing {
					done++
				} else if !errors.Is(err, fault.Unavailable) {
					t.Fatalf("%s, operation %d lost (%t): got %v, want fault.Unavailable", h.Provider, failing, apply, err)
				}
				w.clock.at = w.clock.at.Add(9 * time.Minute)
				w.receive(h)
			}
			if n := w.kept(h.Provider, map[string]string{"dodo": "msg_1", "toss": "gl_1"}[h.Provider]); n.State != notice.Applied {
				t.Errorf("%s, operation %d lost: got %s in the end, want applied", h.Provider, failing, n.State)
			}
			if done == 2 {
				break
			}
		}
	}
}

func TestConcurrentDuplicatesEndApplied(t *testing.T) {
	w := newWorld(t)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if err := w.desk.Receive(t.Context(), dodo()); err != nil && !errors.Is(err, fault.Unavailable) {
				t.Errorf("Receive: got %v, want success or fault.Unavailable", err)
			}
		})
	}
	all.Wait()
	if n := w.kept("dodo", "msg_1"); n.State != notice.Applied || len(w.rows()) != 1 {
		t.Errorf("got %s in %d rows, want applied in one", n.State, len(w.rows()))
	}
}

func TestScopesAndProvidersDoNotMeet(t *testing.T) {
	w := newWorld(t)
	w.receive(dodo())
	w.receive(dodo(func(h *notice.Hint) { h.Environment = "sandbox" }))
	w.receive(dodo(func(h *notice.Hint) { h.Provider = "toss" }))
	if got := len(w.rows()); got != 3 {
		t.Errorf("rows: got %d, want 3", got)
	}
	w.order("gl_1", tossOrder)
	other := toss("t-0", "gl_1")
	other.Project = "other"
	w.receive(other)
	w.looked(3)
}

func TestMessageThatIsNoHintGoesToTheDeadLetters(t *testing.T) {
	for name, spoil := range map[string]func(*notice.Hint){
		"no provider":    func(h *notice.Hint) { h.Provider = "" },
		"odd provider":   func(h *notice.Hint) { h.Provider = "do#do" },
		"no project":     func(h *notice.Hint) { h.Project = "" },
		"environment":    func(h *notice.Hint) { h.Environment = "test" },
		"no id":          func(h *notice.Hint) { h.ID = "" },
		"blanks":         func(h *notice.Hint) { h.Order = "a b" },
		"endless":        func(h *notice.Hint) { h.Payment = strings.Repeat("a", 256) },
		"no type":        func(h *notice.Hint) { h.Type = "" },
		"type of a page": func(h *notice.Hint) { h.Type = "<b>" },
	} {
		w := newWorld(t)
		err := w.desk.Receive(t.Context(), dodo(spoil))
		if err == nil || errors.Is(err, fault.Unavailable) {
			t.Errorf("%s: got %v, want an error that is a bug", name, err)
		}
		w.looked(0)
		if len(w.rows()) != 0 {
			t.Errorf("%s: got %d rows, want none", name, len(w.rows()))
		}
	}
	w := newWorld(t)
	delete(w.desk.Look, "dodo")
	w.comesAgain(dodo(), "provider_not_configured")
}

func TestNothingPersonalOrSecretIsKeptOrLogged(t *testing.T) {
	w := newWorld(t)
	w.answer = func(notice.Hint) (bool, error) { return false, nil }
	w.receive(dodo(func(h *notice.Hint) { h.Order, h.Payment = "min ji", "김민지" }).Tidy())
	for _, personal := range []string{"min ji", "김민지"} {
		if strings.Contains(w.log.String(), personal) || bytes.Contains(w.rows()[0].Data, []byte(personal)) {
			t.Errorf("%q is in a log or a table", personal)
		}
	}
}

func FuzzTidy(f *testing.F) {
	f.Add("msg_1", "payment.succeeded", "pay_1", "gl_1")
	f.Add("", "<script>", strings.Repeat("a", 300), "a\x00b")
	f.Fuzz(func(t *testing.T, id, kind, payment, order string) {
		w := newWorld(t)
		h := notice.Hint{
			Project: "default", Environment: "production", Provider: "dodo", ID: id, Type: kind, Payment: payment, Order: order, Signed: true,
		}.Tidy()
		if again := h.Tidy(); again != h {
			t.Errorf("Tidy of what is tidy: got %+v, want %+v", again, h)
		}
		w.receive(h)
		if rows := w.rows(); len(rows) != 1 || len(rows[0].Data) > 2000 {
			t.Errorf("rows: got %d, want one of bounded size", len(rows))
		}
	})
}

// movable is a clock that stands until it is moved.
type movable struct{ at time.Time }

func (m *movable) Now() time.Time { return m.at }

func (m *movable) Sleep(ctx context.Context, _ time.Duration) error { return ctx.Err() }

package notice_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/fault"
	"grantline/shared/memory"
	"grantline/shared/notice"
	"grantline/shared/table"
)

// history is a provider's memory: hints by when they were sent, in pages of two.
type history struct {
	name  string
	keeps time.Duration
	sent  []sent
	clock *movable

	generation int // pages of another one are not known any more
	fail       func(page string) error
	asked      []window
}

type sent struct {
	at time.Time
	id string
}

type window struct {
	From, To time.Time
	Page     string
}

func (h *history) Name() string         { return h.name }
func (h *history) Keeps() time.Duration { return h.keeps }

func (h *history) Missed(_ context.Context, from, to time.Time, page string) ([]notice.Hint, string, error) {
	h.asked = append(h.asked, window{from, to, page})
	if h.fail != nil {
		if err := h.fail(page); err != nil {
			return nil, "", err
		}
	}
	if from.Before(h.clock.at.Add(-h.keeps)) || to.After(h.clock.at) || !from.Before(to) {
		return nil, "", errors.New("the provider refuses such a window")
	}
	at, generation := 0, h.generation
	if page != "" {
		if _, err := fmt.Sscanf(page, "%d-%d", &generation, &at); err != nil || generation != h.generation {
			return nil, "", fault.New(fault.Invalid, "page_unknown", "There is no such page any more.")
		}
	}
	var all []notice.Hint
	for _, s := range h.sent {
		if !s.at.Before(from) && !s.at.After(to) {
			all = append(all, notice.Hint{
				ID: s.id, Type: "DID_RENEW", Signed: true, Line: "line-" + s.id, Evidence: "evidence of " + s.id,
				Project: "forged", Environment: "forged", Provider: "forged",
			})
		}
	}
	end := min(at+2, len(all))
	if end == len(all) {
		return all[min(at, end):], "", nil
	}
	return all[at:end], fmt.Sprintf("%d-%d", h.generation, end), nil
}

// queue keeps what it is sent, or loses it.
type queue struct {
	hints  []notice.Hint
	groups []string
	fail   func() (sent bool, err error)
}

func (q *queue) Send(_ context.Context, group string, messages []notice.Hint) (int, error) {
	if q.fail != nil {
		if ok, err := q.fail(); err != nil || !ok {
			return 0, err
		}
	}
	q.groups, q.hints = append(q.groups, group), append(q.hints, messages...)
	return len(messages), nil
}

func (q *queue) ids() []string {
	var ids []string
	for _, h := range q.hints {
		ids = append(ids, h.ID)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

type catcher struct {
	testing.TB
	*notice.Missed
	tables  *memory.Tables
	clock   *movable
	queue   *queue
	history *history
	log     bytes.Buffer
}

func newCatcher(t testing.TB) *catcher {
	c := &catcher{TB: t, tables: memory.New(), clock: &movable{at: first}, queue: &queue{}}
	c.history = &history{name: "Production", keeps: 180 * 24 * time.Hour, clock: c.clock}
	c.Missed = &notice.Missed{Tables: c.tables, Queue: c.queue, Clock: c.clock, Log: slog.New(slog.NewTextHandler(&c.log, nil))}
	return c
}

// first is when a history is read for the first time here, and tomorrow when it is due again.
var (
	first    = start.Add(2 * time.Hour)
	tomorrow = time.Date(2026, 11, 21, 3, 0, 0, 0, time.UTC)
)

func (c *catcher) missed(ago time.Duration, ids ...string) {
	for _, id := range ids {
		c.history.sent = append(c.history.sent, sent{c.clock.at.Add(-ago), id})
	}
}

func (c *catcher) caught(next time.Time) {
	c.Helper()
	got, err := c.Catch(c.Context(), table.Default, "apple", c.history)
	if err != nil || !got.Equal(next) {
		c.Fatalf("Catch at %v: got next %v, %v, want %v", c.clock.at, got, err, next)
	}
}

func (c *catcher) handedOn(want ...string) {
	c.Helper()
	slices.Sort(want)
	if d := cmp.Diff(want, c.queue.ids()); d != "" {
		c.Errorf("handed on: got (+) and want (-) differ:\n%s", d)
	}
}

func (c *catcher) asked(want ...window) {
	c.Helper()
	if d := cmp.Diff(want, c.history.asked); d != "" {
		c.Errorf("asked: got (+) and want (-) differ:\n%s", d)
	}
	c.history.asked = nil
}

func TestMissedNoticesGoTheWayOfLiveOnes(t *testing.T) {
	c := newCatcher(t)
	c.missed(time.Hour, "a")
	c.caught(tomorrow)
	want := []notice.Hint{{
		Project: "default", Environment: "production", Provider: "apple", ID: "a", Type: "DID_RENEW", At: first, Signed: true,
		Line: "line-a", Evidence: "evidence of a",
	}}
	if d := cmp.Diff(want, c.queue.hints); d != "" || c.queue.groups[0] != "apple#missed" {
		t.Errorf("handed on in group %v: got (+) and want (-) differ:\n%s", c.queue.groups, d)
	}
	if strings.Contains(c.log.String(), "evidence") || !strings.Contains(c.log.String(), "count=1") {
		t.Errorf("log: got %s, want how many and no evidence", c.log.String())
	}
}

func TestAHistoryIsReadOnceADayWithAnOverlap(t *testing.T) {
	c := newCatcher(t)
	c.missed(time.Hour, "a", "b", "c")
	from := first.Add(-180*24*time.Hour + 12*time.Hour)
	c.caught(tomorrow)
	c.asked(window{From: from, To: first}, window{From: from, To: first, Page: "0-2"})
	c.clock.at = tomorrow.Add(-time.Second)
	c.caught(tomorrow)
	c.asked()
	c.clock.at = tomorrow
	c.missed(tomorrow.Sub(first)+25*time.Hour, "known-late")
	c.missed(tomorrow.Sub(first)+27*time.Hour, "too-late")
	c.caught(tomorrow.Add(24 * time.Hour))
	overlap := first.Add(-26 * time.Hour)
	c.asked(window{From: overlap, To: tomorrow}, window{From: overlap, To: tomorrow, Page: "0-2"})
	c.handedOn("a", "b", "c", "known-late")
}

// Whenever it was read last, it is due within a day, at three o'clock (UTC).
func TestAHistoryIsDueAtThree(t *testing.T) {
	midnight := time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
	for read, want := range map[time.Duration]time.Duration{
		0: 3 * time.Hour, 3*time.Hour - 1: 3 * time.Hour, 3 * time.Hour: 27 * time.Hour, 23 * time.Hour: 27 * time.Hour,
	} {
		c := newCatcher(t)
		c.clock.at = midnight.Add(read)
		c.caught(midnight.Add(want))
		c.clock.at = midnight.Add(want)
		c.caught(midnight.Add(27*time.Hour + max(0, want.Truncate(24*time.Hour))))
	}
}

func TestAHistoryIsNotReadFurtherBackThanItIsKept(t *testing.T) {
	c := newCatcher(t)
	c.history.keeps = 48 * time.Hour
	c.caught(tomorrow)
	c.asked(window{From: first.Add(-36 * time.Hour), To: first})
	c.clock.at = first.Add(30 * 24 * time.Hour) // nobody swept for a month
	c.caught(tomorrow.Add(30 * 24 * time.Hour))
	c.asked(window{From: c.clock.at.Add(-36 * time.Hour), To: c.clock.at})
}

// many is more than one run hands on.
func many(n int) (ids []string) {
	for i := range n {
		ids = append(ids, fmt.Sprintf("n-%04d", i))
	}
	return ids
}

// However long it takes: the window of a history that is read to its very beginning moves
// on meanwhile, and the reading does not begin again for that.
func TestALongHistoryIsReadOverSeveralRuns(t *testing.T) {
	c := newCatcher(t)
	c.missed(40*time.Hour, many(450)...)
	c.caught(first)
	if got := len(c.history.asked); got != 100 {
		t.Errorf("pages of one run: got %d, want 100", got)
	}
	c.clock.at = first.Add(time.Minute)
	c.caught(first)
	if got := c.history.asked[100]; got.Page != "0-200" || !got.To.Equal(first) {
		t.Errorf("the second run began with %+v, want page 0-200 of the same window", got)
	}
	c.clock.at = first.Add(11 * time.Hour)
	c.caught(tomorrow)
	if got := len(c.queue.hints); got != 450 {
		t.Errorf("handed on: got %d, want 450, each once", got)
	}
	c.handedOn(many(450)...)
	// What came meanwhile is for the next time.
	c.missed(20*time.Minute, "meanwhile")
	c.clock.at = tomorrow
	c.caught(tomorrow.Add(24 * time.Hour))
	c.handedOn(append(many(450), "meanwhile")...)
}

func TestAPageThatTheProviderForgotIsReadFromTheBeginningOfItsWindow(t *testing.T) {
	c := newCatcher(t)
	c.missed(time.Hour, many(210)...)
	c.caught(first)
	c.history.generation++
	c.history.asked = nil
	c.clock.at = first.Add(time.Minute)
	c.caught(first) // 99 pages are left of that run
	if a, b := c.history.asked[0], c.history.asked[1]; a.Page != "0-200" || b.Page != "" || !b.To.Equal(first) || !b.From.Equal(a.From) {
		t.Errorf("asked %+v and %+v, want the page, and then the window from its beginning", a, b)
	}
	c.caught(tomorrow)
	c.handedOn(many(210)...)

	// One whose pages are never known is no endless loop.
	c = newCatcher(t)
	c.missed(time.Hour, many(5)...)
	c.history.fail = func(page string) error {
		if page != "" {
			return fault.New(fault.Invalid, "page_unknown", "There is no such page any more.")
		}
		return nil
	}
	if _, err := c.Catch(t.Context(), table.Default, "apple", c.history); err != nil || len(c.history.asked) != 100 {
		t.Errorf("got %v after %d pages, want the run to end at 100", err, len(c.history.asked))
	}
	c.history.fail = nil
	c.caught(tomorrow)
	c.handedOn(many(5)...)
}

func TestTheFirstPageBeingRefusedIsToldOf(t *testing.T) {
	c := newCatcher(t)
	c.history.fail = func(string) error { return fault.New(fault.Invalid, "bad_window", "Not such a window.") }
	if _, err := c.Catch(t.Context(), table.Default, "apple", c.history); !errors.Is(err, fault.Invalid) || len(c.history.asked) != 1 {
		t.Errorf("got %v after %d questions, want the refusal after one", err, len(c.history.asked))
	}
}

func TestNothingMissedIsLostWhateverFails(t *testing.T) {
	for _, done := range []bool{false, true} {
		for k := 1; ; k++ {
			c := newCatcher(t)
			c.missed(time.Hour, many(7)...)
			n := 0
			lost := func() error {
				if n++; n == k {
					return fault.New(fault.Unavailable, "unavailable", "There was no answer.")
				}
				return nil
			}
			c.tables.Fail = func(memory.Op) (bool, error) { return done, lost() }
			c.history.fail = func(string) error { return lost() }
			c.queue.fail = func() (bool, error) { err := lost(); return err == nil, err }
			_, err := c.Catch(t.Context(), table.Default, "apple", c.history)
			if n < k {
				c.handedOn(many(7)...)
				break
			}
			if !errors.Is(err, fault.Unavailable) {
				t.Errorf("operation %d failing: got %v, want an outage", k, err)
			}
			if _, err := c.Catch(t.Context(), table.Default, "apple", c.history); err != nil {
				t.Errorf("again after operation %d failed: got %v, want success", k, err)
			}
			c.handedOn(many(7)...)
		}
	}
	// A queue that did not take it says so without an error, too.
	c := newCatcher(t)
	c.missed(time.Hour, "a")
	c.queue.fail = func() (bool, error) { return false, nil }
	if _, err := c.Catch(t.Context(), table.Default, "apple", c.history); !errors.Is(err, fault.Unavailable) {
		t.Errorf("got %v, want an outage", err)
	}
	c.queue.fail = nil
	c.caught(tomorrow)
	c.handedOn("a")
}

func TestHistoriesAndScopesAreReadApart(t *testing.T) {
	c := newCatcher(t)
	c.caught(tomorrow)
	c.history.name = "Sandbox"
	c.caught(tomorrow)
	if got := len(c.history.asked); got != 2 {
		t.Errorf("questions: got %d, want each history asked", got)
	}
	if _, err := c.Catch(t.Context(), table.Scope{Project: "default", Environment: "sandbox"}, "apple", c.history); err != nil || len(c.history.asked) != 3 {
		t.Errorf("another scope: got %v and %d questions, want 3", err, len(c.history.asked))
	}
	if _, err := c.Catch(t.Context(), table.Default, "play", c.history); err != nil || len(c.history.asked) != 4 {
		t.Errorf("another provider: got %v and %d questions, want 4", err, len(c.history.asked))
	}
	if got := len(c.tables.Items(table.Notices)); got != 4 {
		t.Errorf("progress: got %d items, want 4", got)
	}
}

func TestTwoReadersOfAHistoryMakeOneProgress(t *testing.T) {
	c := newCatcher(t)
	c.missed(time.Hour, "a")
	once := false
	c.history.fail = func(string) error {
		if !once {
			once = true
			c.caught(tomorrow)
		}
		return nil
	}
	if _, err := c.Catch(t.Context(), table.Default, "apple", c.history); !errors.Is(err, fault.Conflict) {
		t.Errorf("the slower: got %v, want a conflict", err)
	}
	c.caught(tomorrow)
	c.handedOn("a")
}

func TestALineAndItsEvidenceReachWhoeverLooksAndTheEvidenceIsKeptNowhere(t *testing.T) {
	w := newWorld(t)
	h := dodo(func(h *notice.Hint) {
		h.Payment, h.Mandate, h.Order, h.Subscription, h.Line, h.Evidence = "", "", "", "", "line-1", "signed evidence"
	})
	w.receive(h)
	w.looked(1)
	if d := cmp.Diff(h, w.looks[0]); d != "" {
		t.Errorf("what was looked at (+) is not what came in (-):\n%s", d)
	}
	if n := w.kept("dodo", "msg_1"); n.Line != "line-1" || n.State != notice.Applied {
		t.Errorf("kept: got %+v, want the line, applied", n)
	}
	if bytes.Contains(w.rows()[0].Data, []byte("signed evidence")) || strings.Contains(w.log.String(), "signed evidence") {
		t.Error("the evidence is in a table or a log")
	}
	unsigned := toss("t-0", "gl_1")
	unsigned.Line, unsigned.Evidence = "line-1", "of anybody"
	w.order("gl_1", tossOrder)
	w.receive(unsigned.Tidy())
	if got := w.looks[1]; got.Line != "" || got.Evidence != "" {
		t.Errorf("of an unsigned hint %+v was looked at, want the order alone", got)
	}
	for size, want := range map[int]int{notice.MostEvidence: notice.MostEvidence, notice.MostEvidence + 1: 0} {
		long := h
		long.Evidence = strings.Repeat("e", size)
		if got := len(long.Tidy().Evidence); got != want {
			t.Errorf("evidence of %d bytes: got %d after Tidy, want %d", size, got, want)
		}
	}
}

func TestAReadingThatTookTooLongBeginsAgainWhereTheProviderStillLooks(t *testing.T) {
	c := newCatcher(t)
	c.missed(40*time.Hour, many(450)...)
	c.caught(first)
	c.clock.at = first.Add(12*time.Hour + time.Second)
	c.caught(first)
	from := first.Add(-180*24*time.Hour + 24*time.Hour + time.Second)
	if got, want := c.history.asked[100], (window{From: from, To: first}); got != want {
		t.Errorf("asked %+v, want %+v", got, want)
	}
}

func TestALongHistoryOfALaterDayIsReadOverSeveralRuns(t *testing.T) {
	c := newCatcher(t)
	c.caught(tomorrow)
	late := tomorrow.Add(time.Hour)
	c.clock.at = late
	c.missed(time.Hour, many(210)...)
	c.caught(late)
	c.clock.at = late.Add(time.Minute)
	c.caught(tomorrow.Add(24 * time.Hour))
	c.handedOn(many(210)...)
}

func TestWhatAHistoryHandsOnIsTidy(t *testing.T) {
	c := newCatcher(t)
	c.missed(time.Hour, "an id with blanks")
	c.caught(tomorrow)
	if got := c.queue.hints[0]; got != got.Tidy() || !strings.HasPrefix(got.ID, "sha256-") {
		t.Errorf("handed on: got %+v, want it tidy", got)
	}
}

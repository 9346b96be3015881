package purchase_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/entitlement"
	"grantline/shared/event"
	"grantline/shared/fault"
	"grantline/shared/memory"
	"grantline/shared/purchase"
	"grantline/shared/table"
)

var outage = fault.New(fault.Unavailable, "store_unavailable", "The store did not answer.")

// owned is a first month of ann's.
func (s *shop) owned(f *followed, line string) purchase.Sale {
	s.Helper()
	sale := renewed(line, 0)
	f.offer(line, purchase.News{Sales: []purchase.Sale{sale}})
	s.granted(ann, line)
	return sale
}

// reviewed runs a review, which must say that it is due next at that time.
func (s *shop) reviewed(most int, next time.Time) {
	s.Helper()
	got, err := s.Review(s.Context(), s.scope, "apple", most)
	if err != nil || !got.Equal(next) {
		s.Errorf("review at %v: got next %v, %v, want %v", s.clock.Now(), got, err, next)
	}
}

func (f *followed) wantAsked(t testing.TB, want int) {
	t.Helper()
	if got := len(f.asked); got != want {
		t.Errorf("questions to the store: got %d, want %d", got, want)
	}
}

func TestALineIsAskedAboutOnceAfterItsEndAndNotBefore(t *testing.T) {
	t.Parallel()
	s, f := newFollowedShop(t)
	s.reviewed(10, time.Time{})
	end := s.owned(f, "1").Until
	due := end.Add(time.Hour)
	s.reviewed(10, due)
	s.at(due.Add(-time.Second))
	s.reviewed(10, due)
	f.wantAsked(t, 0)
	f.lines["1"] = purchase.News{Sales: []purchase.Sale{later(renewed("1", 0), 40*24*time.Hour), renewed("1", 1)}}
	s.at(due)
	next := renewed("1", 1).Until.Add(time.Hour)
	s.reviewed(10, next)
	s.reviewed(10, next)
	f.wantAsked(t, 1)
	if got, want := f.asked[0], (purchase.Line{Line: "1", Order: "1-0", Since: renewed("1", 0).AsOf}); !cmp.Equal(got, want) {
		t.Errorf("asked about %+v, want %+v", got, want)
	}
	if got := s.source(ann, "1"); got.OrderID != "apple_1-1" || !s.allowed(ann, "premium") {
		t.Errorf("source: got %+v, want the second month", got)
	}
}

func TestWhatTheStoreCannotSayChangesNothingThatIsGiven(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		store func(f *followed)
		again time.Duration
	}{
		"out of reach":     {func(f *followed) { f.silent = outage }, 15 * time.Minute},
		"unknown to it":    {func(*followed) {}, 24 * time.Hour},
		"not to be asked":  {func(f *followed) { f.mute = true }, 24 * time.Hour},
		"nothing is said":  {func(f *followed) { f.lines["1"] = purchase.News{} }, 24 * time.Hour},
		"not paid":         {func(f *followed) { f.lines["1"] = of(pending(renewed("1", 1))) }, 6 * time.Hour},
		"not in a catalog": {func(f *followed) { f.lines["1"] = of(renamed(renewed("1", 1), "com.example.forgotten")) }, 6 * time.Hour},
		"another's name":   {func(f *followed) { f.lines["1"] = of(renewed("2", 0), later(renewed("1", 0), 1)) }, 6 * time.Hour},
	} {
		s, f := newFollowedShop(t)
		s.owned(f, "1")
		s.stands(purchase.Standing{AsOf: noon.AddDate(0, 0, 20), WillRenew: true, Retrying: true, GraceUntil: noon.AddDate(0, 1, 16)}, renewed("1", 0))
		s.at(noon.AddDate(0, 1, 16).Add(time.Hour))
		before := s.ending("1")
		c.store(f)
		s.reviewed(10, s.clock.Now().Add(c.again))
		f.wantAsked(t, 1)
		s.reviewed(10, s.clock.Now().Add(c.again))
		f.wantAsked(t, 1)
		after := s.ending("1")
		before.Line.CheckAt = after.Line.CheckAt
		if d := cmp.Diff(before, after); d != "" {
			t.Errorf("%s: it changed our book:\n%s", name, d)
		}
	}
}

func of(sales ...purchase.Sale) purchase.News { return purchase.News{Sales: sales} }

func pending(s purchase.Sale) purchase.Sale { s.State = purchase.Pending; return s }

func renamed(s purchase.Sale, sku string) purchase.Sale { s.SKU = sku; return s }

func TestAnUnknownLineIsAskedAboutDailyUntilTheStoreHasGivenUp(t *testing.T) {
	t.Parallel()
	s, f := newFollowedShop(t)
	end := s.owned(f, "1").Until
	s.at(end.Add(60 * 24 * time.Hour))
	s.reviewed(10, end.Add(61*24*time.Hour))
	s.at(end.Add(61*24*time.Hour - time.Second))
	s.reviewed(10, end.Add(61*24*time.Hour))
	s.at(end.Add(61 * 24 * time.Hour))
	s.reviewed(10, time.Time{})
	f.wantAsked(t, 2)
	if !s.line("1").CheckAt.IsZero() {
		t.Errorf("after 61 days it is to be looked at %v, want never", s.line("1").CheckAt)
	}
}

func TestALineWhoseMoneyIsBeingTriedIsAskedAboutDailyForSixtyOneDays(t *testing.T) {
	t.Parallel()
	s, f := newFollowedShop(t)
	end := s.owned(f, "1").Until
	asked := 0
	for day := range 61 {
		now := end.Add(time.Hour).Add(time.Duration(day) * 24 * time.Hour)
		s.at(now)
		f.lines["1"] = purchase.News{
			Sales: []purchase.Sale{renewed("1", 0)}, Standing: purchase.Standing{AsOf: now, WillRenew: true, Retrying: true},
		}
		s.reviewed(10, now.Add(24*time.Hour))
		asked++
		f.wantAsked(t, asked)
		s.reviewed(10, now.Add(24*time.Hour))
	}
	if got := s.source(ann, "1").State; got != entitlement.OnHold {
		t.Errorf("source: got %s, want on hold", got)
	}
	s.at(end.Add(time.Hour + 61*24*time.Hour))
	s.reviewed(10, time.Time{})
	f.wantAsked(t, asked+1)
	s.reviewed(10, time.Time{})
	f.wantAsked(t, asked+1)
}

func TestALineThatIsOverIsAskedAboutNoMore(t *testing.T) {
	t.Parallel()
	s, f := newFollowedShop(t)
	end := s.owned(f, "1").Until
	s.at(end.Add(time.Hour))
	f.lines["1"] = purchase.News{Sales: []purchase.Sale{renewed("1", 0)}, Standing: purchase.Standing{AsOf: end.Add(time.Hour), Reason: purchase.ByCustomer}}
	s.reviewed(10, time.Time{})
	s.at(end.Add(48 * time.Hour))
	s.reviewed(10, time.Time{})
	f.wantAsked(t, 1)
	if got := s.events(ann); got[len(got)-1] != event.PurchaseExpired || !s.line("1").Over {
		t.Errorf("events: got %v, want the last to say that it expired", got)
	}
	// A renewal that is late is not over.
	s.owned(f, "2")
	s.at(end.Add(54 * time.Hour))
	f.lines["2"] = purchase.News{Sales: []purchase.Sale{renewed("2", 0)}, Standing: purchase.Standing{AsOf: end.Add(54 * time.Hour), WillRenew: true}}
	s.reviewed(10, end.Add(60*time.Hour))
}

func TestFiveSilentLinesStopTheRun(t *testing.T) {
	t.Parallel()
	s, f := newFollowedShop(t)
	var end time.Time
	for n := range 12 {
		end = s.owned(f, fmt.Sprint("line-", n)).Until
	}
	s.at(end.Add(2 * time.Hour))
	f.silent = outage
	s.reviewed(100, s.clock.Now().Add(15*time.Minute))
	f.wantAsked(t, 5)
	f.silent = nil // and unknown lines are answers
	s.reviewed(100, s.clock.Now().Add(15*time.Minute))
	f.wantAsked(t, 12)
}

func TestNoMoreLinesAreAskedAboutThanARunMay(t *testing.T) {
	t.Parallel()
	s, f := newFollowedShop(t)
	var end time.Time
	for n := range 12 {
		line := fmt.Sprint("line-", n)
		end = s.owned(f, line).Until
		f.lines[line] = of(renewed(line, 1))
	}
	s.at(end.Add(2 * time.Hour))
	due := end.Add(time.Hour)
	s.reviewed(0, due)
	f.wantAsked(t, 0)
	s.reviewed(5, due)
	f.wantAsked(t, 5)
	s.reviewed(6, due)
	f.wantAsked(t, 11)
	s.reviewed(1, renewed("x", 1).Until.Add(time.Hour))
	f.wantAsked(t, 12)
	lines := map[string]bool{}
	for _, l := range f.asked {
		lines[l.Line] = true
	}
	if len(lines) != 12 {
		t.Errorf("got %d different lines, want each of 12 once", len(lines))
	}
}

func TestOneLineThatCannotBeTakenOverStopsNoOther(t *testing.T) {
	t.Parallel()
	s, f := newFollowedShop(t)
	var log bytes.Buffer
	s.Book.Log = slog.New(slog.NewTextHandler(&log, nil))
	var end time.Time
	for n := range 12 {
		line := fmt.Sprint("line-", n)
		end = s.owned(f, line).Until
		f.lines[line] = of(renewed(line, 1))
		if n%2 == 0 {
			f.lines[line] = of(renamed(renewed(line, 1), "com.example.forgotten"))
		}
	}
	s.at(end.Add(2 * time.Hour))
	s.reviewed(100, s.clock.Now().Add(6*time.Hour))
	f.wantAsked(t, 12)
	for n := range 12 {
		if got, want := s.source(ann, fmt.Sprint("line-", n)).Until.After(end), n%2 == 1; got != want {
			t.Errorf("line %d: got renewed %t, want %t", n, got, want)
		}
	}
	if !strings.Contains(log.String(), "alarm=true") || !strings.Contains(log.String(), "com.example.forgotten") {
		t.Errorf("log: got %s, want an alarm that names the product", log.String())
	}
}

func TestAnIndexThatIsBehindDoesNothing(t *testing.T) {
	t.Parallel()
	for _, entry := range []string{"later", "never"} {
		s, f := newFollowedShop(t)
		end := s.owned(f, "1").Until
		s.at(end.Add(2 * time.Hour))
		item := s.tables.Items(table.Purchases)[0]
		was := *item.Index
		if entry == "later" {
			s.told(renewed("1", 1)) // while the index still has the first end
		} else {
			s.told(refunded(renewed("1", 0), time.Hour, 0))
		}
		item = s.tables.Items(table.Purchases)[0]
		item.Index = &was
		if err := s.tables.Commit(t.Context(), table.Replaced(item)); err != nil {
			t.Fatal(err)
		}
		before := s.tables.Items(table.Purchases)[0].Revision
		if _, err := s.Review(t.Context(), s.scope, "apple", 10); err != nil {
			t.Error(err)
		}
		f.wantAsked(t, 0)
		if got := s.tables.Items(table.Purchases)[0].Revision; got != before {
			t.Errorf("%s: the line was written", entry)
		}
	}
}

func TestScopesAndStoresAreReviewedApart(t *testing.T) {
	t.Parallel()
	s, f := newFollowedShop(t)
	end := s.owned(f, "1").Until
	s.scope.Environment = "sandbox"
	test := renewed("2", 0)
	test.Test = true
	f.offer("2", of(test))
	s.granted(ann, "2")
	s.at(end.Add(2 * time.Hour))
	f.lines["1"], f.lines["2"] = of(renewed("1", 1)), of(test)
	s.reviewed(10, s.clock.Now().Add(6*time.Hour))
	if len(f.asked) != 1 || !cmp.Equal(f.asked[0], purchase.Line{Line: "2", Order: "2-0", Test: true, Since: test.AsOf}) {
		t.Errorf("the sandbox asked about %+v, want its own line alone", f.asked)
	}
	s.scope.Environment = "production"
	s.reviewed(10, renewed("1", 1).Until.Add(time.Hour))
	f.wantAsked(t, 2)
	if _, err := s.Review(t.Context(), s.scope, "appsintoss", 10); err == nil {
		t.Error("a store that cannot be followed was reviewed")
	}
	_, err := s.Review(t.Context(), s.scope, "play", 10)
	wantFault(t, err, fault.Unavailable, "store_not_configured")
}

func TestALineThatCannotBeTakenOverAlarmsFourTimesADayUntilTheStoreHasGivenUp(t *testing.T) {
	t.Parallel()
	s, f := newFollowedShop(t)
	var out bytes.Buffer
	s.Book.Log = slog.New(slog.NewJSONHandler(&out, nil))
	end := s.owned(f, "1").Until
	f.lines["1"] = of(renamed(renewed("1", 1), "com.example.forgotten"))
	last := end.Add(61 * 24 * time.Hour)
	asked := 0
	for at := end.Add(time.Hour); at.Before(last); at = at.Add(6 * time.Hour) {
		s.at(at)
		next := at.Add(6 * time.Hour)
		if next.After(last) {
			next = last
		}
		s.reviewed(10, next)
		asked++
	}
	s.at(last)
	s.reviewed(10, time.Time{})
	f.wantAsked(t, asked+1)
	if got, want := strings.Count(out.String(), `"alarm":true`), asked+1; got != want || want > 4*61+1 {
		t.Errorf("alarms: got %d, want %d, four a day at most", got, want)
	}
}

func TestTablesThatCannotWriteAreNoAlarmOfALine(t *testing.T) {
	t.Parallel()
	s, f := newFollowedShop(t)
	var out bytes.Buffer
	s.Book.Log = slog.New(slog.NewJSONHandler(&out, nil))
	end := s.owned(f, "1").Until
	f.lines["1"] = of(renewed("1", 1))
	s.at(end.Add(time.Hour))
	failed := 0
	s.tables.Fail = func(op memory.Op) (bool, error) {
		if op.Method != "Commit" || failed == 3 {
			return false, nil
		}
		failed++
		return false, fault.New(fault.Unavailable, "tables_unavailable", "The tables did not answer.")
	}
	soon := s.clock.Now().Add(15 * time.Minute)
	s.reviewed(10, soon)
	if strings.Contains(out.String(), "alarm") {
		t.Errorf("log: got %s, want no alarm", out.String())
	}
	s.at(soon)
	s.reviewed(10, renewed("1", 1).Until.Add(time.Hour))
}

func TestALineHeardOfWhileTheStoreWasOutOfReachIsAskedAboutSoon(t *testing.T) {
	t.Parallel()
	s, f := newFollowedShop(t)
	sale := s.owned(f, "1")
	f.offer("gems", of(sold("gems", gems)))
	s.granted(ann, "gems")
	for _, line := range []purchase.Sale{sale, later(sold("gems", gems), time.Minute), sold("nobodys", gems)} {
		if ok, err := s.tell(purchase.News{Sales: []purchase.Sale{line}, Unasked: true}); !ok || err != nil {
			t.Fatal(ok, err)
		}
		f.lines[line.Line] = of(line)
	}
	soon := noon.Add(15 * time.Minute)
	s.reviewed(10, soon)
	s.at(soon)
	s.reviewed(10, sale.Until.Add(time.Hour))
	f.wantAsked(t, 3)
	s.reviewed(10, sale.Until.Add(time.Hour))
	f.wantAsked(t, 3)
}

func TestAReviewThatMeetsNewsLeavesThemAlone(t *testing.T) {
	t.Parallel()
	s, f := newFollowedShop(t)
	end := s.owned(f, "1").Until
	s.at(end.Add(time.Hour))
	busy := false
	hook := hooked{f, func() {
		if !busy {
			busy = true
			s.told(renewed("1", 1))
		}
	}}
	s.Stores["apple"] = hook
	f.silent = outage
	if _, err := s.Review(t.Context(), s.scope, "apple", 10); err != nil {
		t.Errorf("got %v, want the review to yield", err)
	}
	if got := s.line("1"); !got.CheckAt.Equal(renewed("1", 1).Until.Add(time.Hour)) || got.Terms[0].Order != "apple_1-1" {
		t.Errorf("line: got %+v, want what the news made of it", got)
	}
}

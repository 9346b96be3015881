package purchase_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/entitlement"
	"grantline/shared/event"
	"grantline/shared/purchase"
)

// Webhook and claim of a purchase come at once: the event was heard of before the look and is
// taken over after it, or of the same moment, and counts all the same.
func TestALookThatCameBetweenTakesNothingFromAnEvent(t *testing.T) {
	t.Parallel()
	for _, after := range []time.Duration{-time.Minute, 0, time.Minute} {
		s, c := newCounter(t)
		look := s.now(sold("1", premium))
		look.Until = time.Time{}
		c.offer("1", of(look))
		s.granted(ann, "1")
		ends := noon.AddDate(0, 1, 0)
		s.hears(eventOf("1", noon.Add(after), ends))
		if got := s.order("1"); !got.Until.Equal(ends) || got.AsOf.Before(look.AsOf) {
			t.Errorf("event %v after the look: got an end at %v, want %v", after, got.Until, ends)
		}
		if src := s.source(ann, "1"); !src.Until.Equal(ends) || !src.WillRenew {
			t.Errorf("event %v after the look: got %+v, want it until %v, to renew", after, src, ends)
		}
		// And it still is a word that a refund counts after.
		back := sold("1", premium)
		back.State, back.AsOf = purchase.Refunded, noon.Add(2*time.Minute)
		s.told(back)
		if got := s.order("1").State; got != purchase.OrderRefunded {
			t.Errorf("event %v after the look, and a refund: got %s, want refunded", after, got)
		}
	}
}

func TestAnEventThatIsNotTheNewestChangesNothing(t *testing.T) {
	t.Parallel()
	s, c := newCounter(t)
	c.offer("1", of(s.now(sold("1", premium))))
	s.granted(ann, "1")
	newest := eventOf("1", noon.Add(time.Hour), noon.AddDate(0, 1, 0))
	s.hears(newest)
	before := s.everything()
	back, over, later := eventOf("1", noon, noon.AddDate(0, 2, 0)), eventOf("1", noon, noon), eventOf("1", noon, noon.AddDate(0, 3, 0))
	back.Sales[0].State, over.Sales[0].Ended = purchase.Refunded, true
	for name, news := range map[string]purchase.News{"the same": newest, "a refund": back, "an end": over, "a later end": later} {
		news.Sales = slices.Clone(news.Sales)
		news.Sales[0].AsOf = noon.Add(48 * time.Hour) // whenever it is heard of
		s.hears(news)
		if d := cmp.Diff(before, s.everything()); d != "" {
			t.Errorf("%s, of before: what is written changed:\n%s", name, d)
		}
	}
	next := eventOf("1", noon.Add(time.Hour+1), noon.AddDate(0, 3, 0))
	s.hears(next)
	if got := s.order("1").Until; !got.Equal(noon.AddDate(0, 3, 0)) {
		t.Errorf("a newer one: got an end at %v, want %v", got, noon.AddDate(0, 3, 0))
	}
}

// A line's newer event says nothing of an order that it was not about.
func TestAnOlderEventOfAnOrderThatNobodyKnowsIsTakenOver(t *testing.T) {
	t.Parallel()
	s, _ := newCounter(t)
	s.hears(eventOf("1", noon.Add(time.Hour), noon.AddDate(0, 1, 0)))
	other := eventOf("2", noon, noon.AddDate(0, 0, 7))
	other.Sales[0].Line = "1"
	s.hears(other)
	if got := s.order("2"); got.State != purchase.OrderUnclaimed || !got.Until.Equal(noon.AddDate(0, 0, 7)) {
		t.Errorf("got %s until %v, want it unclaimed", got.State, got.Until)
	}
	if got := s.line("1").Standing.AsOf; !got.Equal(noon.Add(time.Hour)) {
		t.Errorf("standing: got one of %v, want the newest", got)
	}
}

// Parts of a line have events of their own.
func TestAnEventOfAPartIsComparedWithThoseOfThatPart(t *testing.T) {
	t.Parallel()
	s, _ := newCounter(t)
	part := func(name string, at, until time.Time) purchase.News {
		news := eventOf("of-"+name, at, until)
		news.Sales[0].Line, news.Sales[0].Part = "1", name
		news.Parts, news.Standing = map[string]purchase.Standing{name: news.Standing}, purchase.Standing{}
		return news
	}
	s.hears(part("a", noon.Add(time.Hour), noon.AddDate(0, 1, 0)))
	s.hears(part("b", noon, noon.AddDate(0, 1, 0)))
	s.hears(part("b", noon.Add(time.Minute), noon.AddDate(0, 2, 0)))
	s.hears(part("a", noon.Add(time.Minute), noon.AddDate(0, 2, 0)))
	for order, want := range map[string]time.Time{"of-a": noon.AddDate(0, 1, 0), "of-b": noon.AddDate(0, 2, 0)} {
		if got := s.order(order).Until; !got.Equal(want) {
			t.Errorf("%s: got an end at %v, want %v", order, got, want)
		}
	}
}

func TestAnEventsWordOnARefundDoesNotUndoOne(t *testing.T) {
	t.Parallel()
	s, c := newCounter(t)
	c.offer("1", of(s.now(sold("1", premium))))
	s.granted(ann, "1")
	back := sold("1", premium)
	back.State, back.AsOf = purchase.Refunded, noon.Add(time.Minute)
	s.told(back)
	s.hears(eventOf("1", noon.Add(time.Hour), noon.AddDate(0, 1, 0)))
	if got := s.order("1").State; got != purchase.OrderRefunded || s.allowed(ann, "premium") {
		t.Errorf("got %s, access %t, want it to stay refunded", got, s.allowed(ann, "premium"))
	}
}

// What ends by an event's word ended when that says; any other word is of its own instant.
func TestAnEndThatIsToldIsOfWhenItSays(t *testing.T) {
	t.Parallel()
	known := noon.AddDate(0, 1, 0)
	heard := noon.Add(48 * time.Hour)
	for name, c := range map[string]struct {
		told  bool
		until time.Time
		want  time.Time
	}{
		"an event of before":            {true, noon.Add(time.Hour), noon.Add(time.Hour)},
		"an event of what was over":     {true, known.AddDate(0, 1, 0), known},
		"an event that says no end":     {true, time.Time{}, heard},
		"a look":                        {false, noon.Add(time.Hour), heard},
		"a look that knows a later end": {false, known.AddDate(0, 1, 0), heard},
	} {
		s, store := newCounter(t)
		store.offer("1", of(s.now(sold("1", premium))))
		s.granted(ann, "1")
		over := eventOf("1", noon.Add(time.Hour), c.until)
		over.Sales[0].Ended, over.Sales[0].Told, over.Sales[0].AsOf, over.Standing.WillRenew = true, c.told, heard, false
		s.at(heard)
		s.hears(over)
		if got := s.order("1").Until; !got.Equal(c.want) {
			t.Errorf("%s: got the end %v, want %v", name, got, c.want)
		}
	}
}

// A look that knows of no end leaves what an event said of it, and whether it renews.
func TestAWordWithoutAnEndLeavesWhatAnEventSaidOfIt(t *testing.T) {
	t.Parallel()
	s, c := newCounter(t)
	look := s.now(sold("1", premium))
	look.Until = time.Time{}
	c.offer("1", of(look))
	s.granted(ann, "1")
	if r := s.line("1"); r.Terms[0].Renewing || !r.CheckAt.IsZero() {
		t.Errorf("before any event: got %+v, to be looked at %v, want no end said, and never", r.Terms[0], r.CheckAt)
	}
	ends := noon.AddDate(0, 1, 0)
	s.hears(eventOf("1", noon.Add(time.Minute), ends))
	s.clock.move(time.Hour)
	c.offer("1", of(s.now(look)))
	s.granted(ann, "1")
	r := s.line("1")
	if got := r.Terms[0]; !got.Renewing || !got.WillRenew || !got.End.Equal(ends) || !got.AsOf.Equal(s.clock.Now()) || !r.CheckAt.Equal(ends.Add(time.Hour)) {
		t.Errorf("after a look: got %+v, to be looked at %v, want what the event said", got, r.CheckAt)
	}
	if src := s.source(ann, "1"); !src.WillRenew || !src.Until.Equal(ends) {
		t.Errorf("source: got %+v, want it to renew at %v", src, ends)
	}
	over := s.now(look)
	over.Ended, over.AsOf = true, over.AsOf.Add(time.Minute)
	s.told(over)
	if got := s.line("1").Terms[0]; got.WillRenew || !got.Renewing {
		t.Errorf("after an end: got %+v, want the sale's own word", got)
	}
}

// No order's words are mixed with another's of its line.
func TestAWordWithoutAnEndLeavesWhatIsKnownOfThatOrder(t *testing.T) {
	t.Parallel()
	s, c := newCounter(t)
	s.owned(c.followed, "1")
	other := sold("2", premium)
	other.Line, other.Until, other.PurchasedAt = "1", time.Time{}, noon.Add(time.Hour)
	s.told(other)
	for _, term := range s.line("1").Terms {
		if term.Order == "apple_2" && (term.Renewing || term.WillRenew) {
			t.Errorf("got %+v, want nothing of the other order's", term)
		}
	}
}

func TestALineIsAsOldAsTheOldestWordAboutIt(t *testing.T) {
	t.Parallel()
	s, c := newCounter(t)
	at := func(order string, when time.Time) purchase.Sale {
		sale := sold(order, premium)
		sale.Line, sale.AsOf = "1", when
		return sale
	}
	want := func(since time.Time) {
		t.Helper()
		if got := s.line("1").Since; !got.Equal(since) {
			t.Errorf("since: got %v, want %v", got, since)
		}
	}
	c.offer("1", of(at("1", noon)))
	s.granted(ann, "1")
	want(noon)
	s.told(at("1", noon.Add(time.Hour)))
	want(noon)
	s.told(at("1", noon.Add(2*time.Hour)), at("2", noon.Add(-time.Hour)))
	want(noon.Add(-time.Hour))
	s.at(s.line("1").CheckAt)
	c.lines["1"] = of(at("1", s.clock.Now()))
	if _, err := s.Review(t.Context(), s.scope, "apple", 1); err != nil || len(c.asked) != 1 || !c.asked[0].Since.Equal(noon.Add(-time.Hour)) {
		t.Errorf("got %v and questions %+v, want one that says since when", err, c.asked)
	}
}

// A store that renews under the same order tells of a recovery by an end that moved.
func TestAnEndThatMovesAfterGraceOrHoldIsARecovery(t *testing.T) {
	t.Parallel()
	paid := noon.AddDate(0, 1, 0)
	late := paid.Add(time.Hour)
	for name, c := range map[string]struct {
		between []purchase.Standing
		then    purchase.Standing
		until   time.Time
		want    []event.Type
	}{
		"active": {nil, purchase.Standing{WillRenew: true}, paid.AddDate(0, 1, 0), []event.Type{event.PurchaseExtended}},
		"grace": {
			[]purchase.Standing{{Retrying: true, WillRenew: true, GraceUntil: paid.AddDate(0, 0, 16)}},
			purchase.Standing{WillRenew: true},
			paid.AddDate(0, 1, 0),
			[]event.Type{event.PurchaseGrace, event.PurchaseRecovered},
		},
		"hold": {
			[]purchase.Standing{{Retrying: true, WillRenew: true}},
			purchase.Standing{WillRenew: true},
			paid.AddDate(0, 1, 0),
			[]event.Type{event.PurchaseOnHold, event.PurchaseRecovered},
		},
		"grace, then hold": {
			[]purchase.Standing{{Retrying: true, WillRenew: true, GraceUntil: paid.AddDate(0, 0, 16)}, {Retrying: true, WillRenew: true}},
			purchase.Standing{WillRenew: true},
			paid.AddDate(0, 1, 0),
			[]event.Type{event.PurchaseGrace, event.PurchaseOnHold, event.PurchaseRecovered},
		},
		"grace that stays": {
			[]purchase.Standing{{Retrying: true, WillRenew: true, GraceUntil: paid.AddDate(0, 0, 16)}},
			purchase.Standing{Retrying: true, WillRenew: true, GraceUntil: paid.AddDate(0, 0, 20)},
			paid.Add(time.Minute),
			[]event.Type{event.PurchaseGrace, event.PurchaseExtended},
		},
		"hold, to an end that is past": {
			[]purchase.Standing{{Retrying: true, WillRenew: true}},
			purchase.Standing{Retrying: true, WillRenew: true},
			paid.Add(time.Minute),
			[]event.Type{event.PurchaseOnHold, event.PurchaseExtended},
		},
	} {
		s, store := newCounter(t)
		store.offer("1", of(s.now(sold("1", premium))))
		s.granted(ann, "1")
		s.hears(eventOf("1", noon.Add(time.Minute), paid))
		s.at(late)
		for n, standing := range append(c.between, c.then) {
			news := eventOf("1", late.Add(time.Duration(n)*time.Minute), paid)
			if n == len(c.between) {
				news.Sales[0].Until = c.until
			}
			standing.AsOf = news.Standing.AsOf
			news.Standing = standing
			s.hears(news)
			s.hears(news)
		}
		if got, want := s.events(ann), append([]event.Type{event.PurchaseGranted}, resumed(c.want)...); !slices.Equal(got, want) {
			t.Errorf("%s: events: got %v, want %v", name, got, want)
		}
	}
}

// Whose end does not move was not paid for again, though the store takes back that it tried.
func TestAnEndThatStaysIsNoRecovery(t *testing.T) {
	t.Parallel()
	s, c := newCounter(t)
	ends := noon.AddDate(0, 1, 0)
	c.offer("1", of(s.now(sold("1", premium))))
	s.granted(ann, "1")
	grace := eventOf("1", noon.Add(time.Minute), ends)
	grace.Standing.Retrying, grace.Standing.GraceUntil = true, ends.AddDate(0, 0, 16)
	s.hears(grace)
	s.hears(eventOf("1", noon.Add(time.Hour), ends))
	if got := s.events(ann); slices.Contains(got, event.PurchaseRecovered) || !slices.Contains(got, event.PurchaseGrace) {
		t.Errorf("events: got %v, want grace and no recovery", got)
	}
	if got := s.source(ann, "1").State; got != entitlement.Active {
		t.Errorf("got %s, want active", got)
	}
}

// resumed are the events after the first of which the store said that it renews: its sale had
// said an end, and not that.
func resumed(then []event.Type) []event.Type {
	return append([]event.Type{event.PurchaseResumed}, then...)
}

// A store that had not said a word of renewals told of no change of mind.
func TestTheFirstWordOnRenewalsIsNoResumption(t *testing.T) {
	t.Parallel()
	s, c := newCounter(t)
	look := s.now(sold("1", premium))
	look.Until = time.Time{}
	c.offer("1", of(look))
	s.granted(ann, "1")
	ends := noon.AddDate(0, 1, 0)
	s.hears(eventOf("1", noon.Add(time.Minute), ends))
	if got, want := s.events(ann), []event.Type{event.PurchaseGranted, event.EntitlementUpdated}; !slices.Equal(got, want) {
		t.Errorf("after the first: got %v, want %v", got, want)
	}
	off := eventOf("1", noon.Add(2*time.Minute), ends)
	off.Standing.WillRenew, off.Sales[0].WillRenew = false, false
	s.hears(off)
	s.hears(eventOf("1", noon.Add(3*time.Minute), ends))
	if got, want := s.events(ann), []event.Type{event.PurchaseGranted, event.EntitlementUpdated, event.PurchaseEnding, event.PurchaseResumed}; !slices.Equal(got, want) {
		t.Errorf("after a change of mind and back: got %v, want %v", got, want)
	}
	if got := s.source(ann, "1").State; got != entitlement.Active {
		t.Errorf("got %s, want active", got)
	}
}

// unshown is a store that does not show a line today, and says when to ask for it again.
type unshown struct {
	*counter
	again time.Time
}

func (u unshown) Follow(ctx context.Context, l purchase.Line) (purchase.News, bool, error) {
	_, able, _ := u.counter.Follow(ctx, l)
	return purchase.News{Again: u.again}, able, unknown
}

// What is not shown today takes nothing, and is asked about when the store says, if that is
// sooner than for a line that has an end.
func TestALineThatIsNotShownIsAskedAboutAgain(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		sku         string
		again, want time.Duration // zero for never
	}{
		"endless, to be asked":        {gems, 7 * 24 * time.Hour, 7 * 24 * time.Hour},
		"endless, not to be asked":    {gems, 0, 0},
		"with an end, to be asked":    {premium, time.Hour, time.Hour},
		"with an end, asked late":     {premium, 7 * 24 * time.Hour, 24 * time.Hour},
		"with an end, without a word": {premium, 0, 24 * time.Hour},
	} {
		s, store := newCounter(t)
		first := of(s.now(sold("1", c.sku)))
		first.Again = noon.Add(time.Hour)
		store.offer("1", first)
		s.granted(ann, "1")
		s.at(noon.Add(time.Hour))
		u := unshown{counter: store}
		var want time.Time
		if c.again != 0 {
			u.again = s.clock.Now().Add(c.again)
		}
		if c.want != 0 {
			want = s.clock.Now().Add(c.want)
		}
		s.Stores["apple"] = u
		if next, err := s.Review(t.Context(), s.scope, "apple", 10); err != nil || !next.Equal(want) || len(store.asked) != 1 {
			t.Errorf("%s: got the next look at %v after %d questions, %v, want %v after one", name, next, len(store.asked), err, want)
		}
		if got := s.line("1"); !got.CheckAt.Equal(want) || s.order("1").State != purchase.OrderGranted {
			t.Errorf("%s: got %s, looked at %v, want it granted and looked at %v", name, s.order("1").State, got.CheckAt, want)
		}
	}
}

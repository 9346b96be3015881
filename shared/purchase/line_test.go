package purchase_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"grantline/shared/entitlement"
	"grantline/shared/event"
	"grantline/shared/purchase"
)

var (
	monthEnd = noon.AddDate(0, 1, 0) // of renewed("1", 0)
	graceEnd = noon.AddDate(0, 1, 16)
)

const (
	moment = time.Second
	dayly  = 24 * time.Hour
)

func TestALineAtTheInstantsAroundItsEnd(t *testing.T) {
	t.Parallel()
	on := purchase.Standing{AsOf: monthEnd, WillRenew: true}
	off := purchase.Standing{AsOf: monthEnd, Reason: purchase.ByCustomer}
	offEarly := purchase.Standing{AsOf: monthEnd.Add(-moment), Reason: purchase.ByCustomer}
	retry := purchase.Standing{AsOf: monthEnd, WillRenew: true, Retrying: true}
	grace := purchase.Standing{AsOf: monthEnd, WillRenew: true, Retrying: true, GraceUntil: graceEnd}
	shortGrace := purchase.Standing{AsOf: monthEnd, WillRenew: true, Retrying: true, GraceUntil: monthEnd}
	graceNoRetry := purchase.Standing{AsOf: monthEnd, WillRenew: true, GraceUntil: graceEnd}
	past := purchase.Standing{AsOf: noon.Add(-moment), Retrying: true, GraceUntil: graceEnd}
	never := time.Time{}
	review := monthEnd.Add(time.Hour)
	for _, c := range []struct {
		name     string
		standing purchase.Standing
		now      time.Time
		state    entitlement.State
		until    time.Time
		renews   bool
		over     bool
		check    time.Time
	}{
		{"nobody said, before", purchase.Standing{}, monthEnd.Add(-moment), "active", monthEnd, true, false, review},
		{"nobody said, at the end", purchase.Standing{}, monthEnd, "active", monthEnd, true, false, monthEnd.Add(6 * time.Hour)},
		{"nobody said, 61 days later less a moment", purchase.Standing{}, monthEnd.Add(61*dayly - moment), "active", monthEnd, true, false, monthEnd.Add(61*dayly - moment + 6*time.Hour)},
		{"nobody said, 61 days later", purchase.Standing{}, monthEnd.Add(61 * dayly), "active", monthEnd, true, false, never},
		{"to renew, before", on, monthEnd.Add(-moment), "active", monthEnd, true, false, review},
		{"to renew, at the end", on, monthEnd, "active", monthEnd, true, false, monthEnd.Add(6 * time.Hour)},
		{"cancelled, before", offEarly, monthEnd.Add(-moment), "active", monthEnd, false, false, review},
		{"cancelled by an older word, at the end", offEarly, monthEnd, "active", monthEnd, false, false, monthEnd.Add(6 * time.Hour)},
		{"cancelled, a word of the end, before", off, monthEnd.Add(-moment), "active", monthEnd, false, false, review},
		{"cancelled, at the end", off, monthEnd, "active", monthEnd, false, true, never},
		{"retried, before", retry, monthEnd.Add(-moment), "active", monthEnd, true, false, review},
		{"retried, at the end", retry, monthEnd, "on_hold", monthEnd, true, false, monthEnd.Add(dayly)},
		{"retried, 61 days later less a moment", retry, monthEnd.Add(61*dayly - moment), "on_hold", monthEnd, true, false, monthEnd.Add(62*dayly - moment)},
		{"retried, 61 days later", retry, monthEnd.Add(61 * dayly), "on_hold", monthEnd, true, false, never},
		{"in grace, before the end", grace, monthEnd.Add(-moment), "grace", graceEnd, true, false, graceEnd.Add(time.Hour)},
		{"in grace, at the end", grace, monthEnd, "grace", graceEnd, true, false, graceEnd.Add(time.Hour)},
		{"in grace, at its last moment", grace, graceEnd.Add(-moment), "grace", graceEnd, true, false, graceEnd.Add(time.Hour)},
		{"grace is over", grace, graceEnd, "on_hold", graceEnd, true, false, graceEnd.Add(dayly)},
		{"a grace that adds nothing", shortGrace, monthEnd.Add(-moment), "active", monthEnd, true, false, review},
		{"grace without a retry is none", graceNoRetry, monthEnd, "active", monthEnd, true, false, monthEnd.Add(6 * time.Hour)},
		{"of a time before it was bought", past, monthEnd, "active", monthEnd, true, false, monthEnd.Add(6 * time.Hour)},
	} {
		s, f := newFollowedShop(t)
		sale := s.owned(f, "1")
		s.at(c.now)
		s.stands(c.standing, sale)
		src, r := s.source(ann, "1"), s.line("1")
		if src.State != c.state || !src.Until.Equal(c.until) || src.WillRenew != c.renews {
			t.Errorf("%s: got %s until %v, will renew %t, want %s until %v, %t", c.name, src.State, src.Until, src.WillRenew, c.state, c.until, c.renews)
		}
		if r.Over != c.over || !r.CheckAt.Equal(c.check) {
			t.Errorf("%s: got over %t, to be looked at %v, want %t, %v", c.name, r.Over, r.CheckAt, c.over, c.check)
		}
		events := s.events(ann)
		if got := slices.Contains(events, event.PurchaseExpired); got != c.over {
			t.Errorf("%s: got events %v, want it told to have expired: %t", c.name, events, c.over)
		}
		s.stands(c.standing, sale)
		if got := s.events(ann); len(got) != len(events) {
			t.Errorf("%s, heard again: got events %v, want %v", c.name, got, events)
		}
	}
}

func TestAnEndedLineIsNeitherOverNorOnHoldNorLookedAt(t *testing.T) {
	t.Parallel()
	for name, word := range map[string]purchase.Sale{
		"refunded": refunded(renewed("1", 0), time.Hour, 0),
		"replaced": func() purchase.Sale { s := later(renewed("1", 0), time.Hour); s.State = purchase.Replaced; return s }(),
	} {
		s, f := newFollowedShop(t)
		s.owned(f, "1")
		s.at(monthEnd.Add(dayly))
		for _, standing := range []purchase.Standing{
			{AsOf: monthEnd, Reason: purchase.ByCustomer},
			{AsOf: monthEnd.Add(1), WillRenew: true, Retrying: true, GraceUntil: graceEnd, Next: yearly},
		} {
			s.stands(standing, word)
			src, r := s.source(ann, "1"), s.line("1")
			if src.State != entitlement.Ended || !src.Until.Equal(monthEnd) || src.WillRenew || src.Next != "" || r.Over || !r.CheckAt.IsZero() {
				t.Errorf("%s: got %+v, over %t, to be looked at %v, want it ended and no more", name, src, r.Over, r.CheckAt)
			}
		}
	}
}

// What is not renewed has no end that a store could tell more of.
func TestWhatIsBoughtOnceIsNeverLookedAt(t *testing.T) {
	t.Parallel()
	for _, sku := range []string{adFree, gems, rental} {
		s, f := newFollowedShop(t)
		f.offer("1", of(sold("1", sku)))
		s.granted(ann, "1")
		s.stands(purchase.Standing{AsOf: noon, Retrying: true, GraceUntil: graceEnd}, sold("1", sku))
		if got := s.line("1").CheckAt; !got.IsZero() {
			t.Errorf("%s: to be looked at %v, want never", sku, got)
		}
		if got := s.source(ann, "1"); sku == adFree && (got.State != entitlement.Active || !got.Until.IsZero()) {
			t.Errorf("%s: got %+v, want it active for ever", sku, got)
		}
	}
	// And a store that is not followed is not asked.
	s := newShop(t)
	s.store.put("1", sold("1", premium))
	s.granted(ann, "1")
	if got := s.line("1").CheckAt; !got.IsZero() {
		t.Errorf("without a follower: to be looked at %v, want never", got)
	}
}

// Each change of a line is told of once, as what it is.
func TestALifeIsToldOfInItsEvents(t *testing.T) {
	t.Parallel()
	month := func(n int) purchase.Sale { return renewed("1", n) }
	higher := later(month(3), 10*dayly)
	higher.Order, higher.SKU, higher.PurchasedAt, higher.Until = "1-higher", pro, month(3).PurchasedAt.Add(10*dayly), month(3).Until.AddDate(1, 0, 0)
	given := later(month(3), 10*dayly)
	given.State = purchase.Replaced
	extended := later(month(1), dayly)
	extended.Until = extended.Until.Add(dayly)
	family := refunded(renewed("family", 0), dayly, 0)
	family.Family = true
	at := func(n int) time.Time { return noon.AddDate(0, n, 0).Add(2 * time.Hour) }
	type step struct {
		now      time.Time
		standing purchase.Standing
		sales    []purchase.Sale
		want     []event.Type
	}
	for n, steps := range [][]step{
		{
			{noon, purchase.Standing{AsOf: noon, WillRenew: true}, nil, nil},
			{at(0), purchase.Standing{AsOf: at(0)}, nil, []event.Type{event.PurchaseEnding}},
			{at(0), purchase.Standing{AsOf: at(0).Add(1), WillRenew: true, Next: yearly}, nil, []event.Type{event.PurchaseResumed, event.PurchasePlanned}},
			{at(0), purchase.Standing{AsOf: at(0).Add(2), WillRenew: true, Next: pro}, nil, []event.Type{event.PurchasePlanned}},
			{at(0), purchase.Standing{AsOf: at(0).Add(3), WillRenew: true}, nil, []event.Type{event.EntitlementUpdated}},
			{at(1), purchase.Standing{AsOf: at(1), WillRenew: true}, []purchase.Sale{month(1)}, []event.Type{event.PurchaseRenewed}},
			{at(1), purchase.Standing{}, []purchase.Sale{extended}, []event.Type{event.PurchaseExtended}},
			{at(2), purchase.Standing{}, []purchase.Sale{month(2), month(1)}, []event.Type{event.PurchaseRenewed}},
			{at(3), purchase.Standing{AsOf: at(3), WillRenew: true, Retrying: true, GraceUntil: at(3).Add(16 * dayly)}, []purchase.Sale{month(2)}, []event.Type{event.PurchaseGrace}},
			{at(3).Add(16 * dayly), purchase.Standing{AsOf: at(3).Add(16 * dayly), WillRenew: true, Retrying: true}, []purchase.Sale{month(2)}, []event.Type{event.PurchaseOnHold}},
			{at(3).Add(17 * dayly), purchase.Standing{AsOf: at(3).Add(17 * dayly), WillRenew: true}, []purchase.Sale{month(3)}, []event.Type{event.PurchaseRecovered}},
			{at(3).Add(18 * dayly), purchase.Standing{}, []purchase.Sale{higher, given}, []event.Type{event.PurchaseChanged}},
			{at(4), purchase.Standing{}, []purchase.Sale{refunded(month(0), 90*dayly, 0)}, []event.Type{event.PurchaseRefunded}},
			{at(4), purchase.Standing{}, []purchase.Sale{later(month(0), 91*dayly)}, []event.Type{event.PurchaseRestored}},
			{at(16), purchase.Standing{AsOf: at(16).AddDate(1, 0, 0)}, []purchase.Sale{higher}, []event.Type{event.PurchaseExpired}},
			{at(16), purchase.Standing{AsOf: at(16).AddDate(1, 0, 1)}, []purchase.Sale{higher}, nil},
		},
		{
			{at(1), purchase.Standing{AsOf: at(1), WillRenew: true, Retrying: true}, nil, []event.Type{event.PurchaseOnHold}},
			{at(2), purchase.Standing{AsOf: at(2), Reason: purchase.ByBilling}, nil, []event.Type{event.PurchaseExpired}},
			{at(5), purchase.Standing{}, []purchase.Sale{month(5)}, []event.Type{event.PurchaseRenewed}},
		},
	} {
		s, f := newFollowedShop(t)
		s.Catalog = groups(t)
		s.owned(f, "1")
		for i, step := range steps {
			before := len(s.events(ann))
			s.at(step.now)
			if step.sales == nil {
				step.sales = []purchase.Sale{month(0)}
			}
			s.stands(step.standing, step.sales...)
			if got := s.events(ann)[before:]; !slices.Equal(got, step.want) {
				t.Errorf("life %d, step %d: got events %v, want %v", n, i, got, step.want)
			}
		}
	}
	s, f := newFollowedShop(t)
	shared := renewed("family", 0)
	shared.Family = true
	f.offer("family", of(shared))
	s.granted(ann, "family")
	s.told(family)
	if got := fmt.Sprint(s.events(ann)); got != "[purchase.granted purchase.revoked]" {
		t.Errorf("a family's share taken away: got %s, want granted and revoked", got)
	}
}

// A refund in part takes back as much as its share rounds to, and never more in sum.
func TestARefundInPartIsRoundedToTheNearest(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		quantity, returned int
		want               int64
	}{{1, 1, 100}, {1, 499, 100}, {1, 500, 99}, {1, 33_333, 67}, {1, 99_499, 1}, {1, 99_500, 0}, {1, 99_999, 0}, {3, 50_000, 150}, {1, 100_001, 0}, {1, -1, 0}} {
		s, f := newFollowedShop(t)
		sale := sold("1", gems)
		sale.Quantity = c.quantity
		f.offer("1", of(sale))
		s.granted(ann, "1")
		s.told(refunded(sale, time.Minute, c.returned))
		s.told(refunded(sale, time.Minute, c.returned))
		o := s.order("1")
		if got := s.balance(ann); got != c.want || o.TakenBack != o.Credited-c.want {
			t.Errorf("%d of %d: got a balance of %d, %d taken back, want %d", c.returned, o.Credited, got, o.TakenBack, c.want)
		}
		if whole := o.State == purchase.OrderRefunded; whole != (c.returned < 0 || c.returned > 99_999) || whole == o.RefundedAt.IsZero() {
			t.Errorf("%d of it: got %s at %v", c.returned, o.State, o.RefundedAt)
		}
		if got := s.line("1").Terms[0].State == purchase.Refunded; got != (o.State == purchase.OrderRefunded) {
			t.Errorf("%d of it: got a term that is refunded %t, want it as its order", c.returned, got)
		}
		s.told(later(sale, time.Hour))
		if got := s.balance(ann); got != 100*int64(c.quantity) || s.order("1").TakenBack != 0 || s.order("1").State != purchase.OrderGranted {
			t.Errorf("undone: got a balance of %d, want all of it", got)
		}
	}
}

package purchase_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/event"
	"grantline/shared/fault"
	"grantline/shared/memory"
	"grantline/shared/purchase"
	"grantline/shared/table"
)

// counter is a store that asks by the order, tells of its sales, and can be asked later.
type counter struct {
	*followed
	mu    sync.Mutex
	users map[string]string // who alone is shown an order, by its id
	asks  []purchase.Proof
	room  time.Duration // that the last look had at most
}

func (c *counter) OrderOf(p purchase.Proof) (string, bool) { return p.Evidence, p.Evidence != "" }

func (c *counter) Look(ctx context.Context, p purchase.Proof) (purchase.News, error) {
	c.mu.Lock()
	c.asks, c.room = append(c.asks, p), time.Hour
	if deadline, ok := ctx.Deadline(); ok {
		c.room = time.Until(deadline)
	}
	owner := c.users[p.Evidence]
	c.mu.Unlock()
	if p.UserKey != "" && owner != "" && owner != p.UserKey {
		return purchase.News{}, unknown
	}
	return c.followed.Look(ctx, p)
}

var unknown = fault.New(fault.NotFound, "invalid_purchase", "The store does not know this.")

func newCounter(t testing.TB) (*shop, *counter) {
	s, f := newFollowedShop(t)
	c := &counter{followed: f, users: map[string]string{}}
	s.Stores["apple"] = c
	return s, c
}

// looks checks how often the store was asked since the last time.
func (c *counter) looks(t testing.TB, want int) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if got := len(c.asks); got != want {
		t.Errorf("looks: got %d, want %d", got, want)
	}
	c.asks = nil
}

// now is a word of this moment.
func (s *shop) now(sale purchase.Sale) purchase.Sale {
	sale.AsOf = s.clock.Now()
	return sale
}

func TestWhoComesWithAKnownOrderHasItLookedAtWhenItsLastWordIsTenMinutesOld(t *testing.T) {
	t.Parallel()
	s, c := newCounter(t)
	c.offer("1", of(s.now(sold("1", gems))))
	first := s.granted(ann, "1").Order
	c.looks(t, 1)
	s.clock.move(10*time.Minute - 1)
	if got := s.granted(ann, "1").Order; got != first {
		t.Errorf("got %+v, want %+v", got, first)
	}
	c.looks(t, 0)
	s.clock.move(1)
	c.offer("1", of(s.now(sold("1", gems))))
	if got := s.granted(ann, "1").Order; !got.AsOf.Equal(s.clock.Now()) {
		t.Errorf("got a word of %v, want that of %v", got.AsOf, s.clock.Now())
	}
	c.looks(t, 1)
	s.granted(ann, "1")
	s.clock.move(9 * time.Minute)
	s.granted(ann, "1")
	c.looks(t, 0)
	if got := s.balance(ann); got != 100 {
		t.Errorf("balance: got %d, want 100", got)
	}
	if got, want := s.events(ann), []event.Type{event.PurchaseGranted}; !slices.Equal(got, want) {
		t.Errorf("events: got %v, want %v", got, want)
	}
}

// Who waits for what is granted already waits no longer than four seconds for the store.
func TestALookAtWhatIsKnownHasFourSeconds(t *testing.T) {
	t.Parallel()
	s, c := newCounter(t)
	c.offer("1", of(s.now(sold("1", gems))))
	s.granted(ann, "1")
	if c.room < 4*time.Second {
		t.Errorf("room of the first look: got %v, want all that there is", c.room)
	}
	s.clock.move(time.Hour)
	s.granted(ann, "1")
	c.looks(t, 2)
	if c.room > 4*time.Second {
		t.Errorf("room of the second: got %v, want 4 s at most", c.room)
	}
}

// A store whose sales cannot be followed is asked no second time.
func TestAStoreThatCannotBeFollowedIsNotAskedAgain(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.store.put("1", sold("1", gems))
	s.Stores["apple"] = byOrder{s.store}
	s.granted(ann, "1")
	s.clock.move(24 * time.Hour)
	s.granted(ann, "1")
	if s.store.looks != 1 {
		t.Errorf("looks: got %d, want 1", s.store.looks)
	}
}

func TestWhatTheStoreCannotSayLeavesAKnownOrderAsItIs(t *testing.T) {
	t.Parallel()
	pending := sold("1", gems)
	pending.State = purchase.Pending
	for name, c := range map[string]struct {
		says purchase.Sale
		down error
	}{
		"an outage":   {down: outage},
		"not known":   {down: unknown},
		"in progress": {says: pending},
		// Asked for by another key or certificate than then, say: that is no refund.
		"forged":     {down: fault.New(fault.Invalid, "invalid_purchase", "Another app's.")},
		"unreadable": {down: fault.New(fault.Malformed, "invalid_purchase", "No key.")},
	} {
		s, store := newCounter(t)
		store.offer("1", of(s.now(sold("1", gems))))
		want := s.granted(ann, "1").Order
		s.clock.move(time.Hour)
		store.down = c.down
		if c.down == nil {
			store.offer("1", of(s.now(c.says)))
		}
		before := s.everything()
		for range 2 {
			got, err := s.claim(ann, "1")
			if err != nil || got.Order != want {
				t.Errorf("%s: got %+v, %v, want %+v", name, got.Order, err, want)
			}
		}
		store.looks(t, 3)
		if d := cmp.Diff(before, s.everything()); d != "" {
			t.Errorf("%s: what is written changed:\n%s", name, d)
		}
	}
}

// everything is all that is written.
func (s *shop) everything() []table.Item {
	var all []table.Item
	for _, name := range table.Names {
		all = append(all, s.tables.Items(name)...)
	}
	return all
}

func TestWhatWasGivenBackMeanwhileIsTakenBackOnce(t *testing.T) {
	t.Parallel()
	for _, state := range []purchase.SaleState{purchase.Refunded, purchase.Failed} {
		s, c := newCounter(t)
		c.offer("1", of(s.now(sold("1", gems))))
		s.granted(ann, "1")
		s.clock.move(10 * time.Minute)
		for range 3 {
			back := s.now(sold("1", gems))
			back.State = state
			c.offer("1", of(back))
			_, err := s.claim(ann, "1")
			wantFault(t, err, fault.Invalid, "invalid_purchase")
			s.clock.move(time.Hour)
		}
		_, err := s.claim(ben, "1")
		wantFault(t, err, fault.Conflict, "owned_by_another_customer")
		if o := s.order("1"); o.State != purchase.OrderRefunded || o.TakenBack != 100 || s.balance(ann) != 0 {
			t.Errorf("%s: got %s, %d taken back and a balance of %d, want all of it back", state, o.State, o.TakenBack, s.balance(ann))
		}
		if got, want := s.events(ann), []event.Type{event.PurchaseGranted, event.PurchaseRefunded}; !slices.Equal(got, want) {
			t.Errorf("%s: events: got %v, want %v", state, got, want)
		}
	}
}

func TestAnotherCustomersOrderIsRefusedWithoutALook(t *testing.T) {
	t.Parallel()
	s, c := newCounter(t)
	c.offer("1", of(s.now(sold("1", gems))))
	s.granted(ann, "1")
	c.looks(t, 1)
	for range 3 {
		s.clock.move(time.Hour)
		_, err := s.claim(ben, "1")
		wantFault(t, err, fault.Conflict, "owned_by_another_customer")
	}
	c.looks(t, 0)
	if s.customer(ben).Exists() {
		t.Error("got a customer of who was refused, want none")
	}
}

// eventOf is what a store says of its own accord of a subscription, at an instant, until when.
func eventOf(order string, at, until time.Time) purchase.News {
	sale := sold(order, premium)
	sale.Told, sale.Blind, sale.AsOf, sale.PurchasedAt, sale.Until, sale.WillRenew = true, true, at, time.Time{}, until, true
	return purchase.News{Sales: []purchase.Sale{sale}, Standing: purchase.Standing{AsOf: at, WillRenew: true}}
}

func (s *shop) hears(news purchase.News) {
	s.Helper()
	if ok, err := s.tell(news); !ok || err != nil {
		s.Fatalf("event of %s: got %t, %v, want it taken over", news.Sales[0].Order, ok, err)
	}
}

// Events are of subscriptions: whoever can make one up does not get virtual currency by it.
func TestAnEventGivesNothingButASubscription(t *testing.T) {
	t.Parallel()
	s, c := newCounter(t)
	c.down = unknown
	e := eventOf("1", noon, noon.AddDate(0, 1, 0))
	e.Sales[0].SKU = gems
	s.hears(e)
	_, err := s.claim(ann, "1")
	wantFault(t, err, fault.Invalid, "invalid_purchase")
}

// An order that the store tells of and shows to nobody goes to the first who comes for it.
func TestWhatOnlyAnEventToldOfGoesToItsFirstClaimant(t *testing.T) {
	t.Parallel()
	s, c := newCounter(t)
	c.down = unknown
	_, err := s.claim(ann, "1")
	wantFault(t, err, fault.Invalid, "invalid_purchase")
	s.empty()
	ends := noon.AddDate(0, 1, 0)
	s.hears(eventOf("1", noon, ends))
	_, err = s.Claim(t.Context(), s.scope, ben, purchase.Proof{Store: "apple", Evidence: "1", SKU: gems})
	wantFault(t, err, fault.Invalid, "invalid_purchase")
	got, err := s.Claim(t.Context(), s.scope, ann, purchase.Proof{Store: "apple", Evidence: "1", SKU: premium})
	if err != nil || got.Order.State != purchase.OrderGranted || !got.Order.Until.Equal(ends) || !s.allowed(ann, "premium") {
		t.Fatalf("got %+v, %v, want it granted until %v", got.Order, err, ends)
	}
	if src, r := s.source(ann, "1"), s.line("1"); !src.WillRenew || !r.Terms[0].Renewing || !r.CheckAt.Equal(s.clock.Now().Add(24*time.Hour)) {
		t.Errorf("got %+v, to be looked at %v, want it to renew, and looked for in a day", src, r.CheckAt)
	}
	again := s.granted(ann, "1").Order
	if again != got.Order {
		t.Errorf("again: got %+v, want %+v", again, got.Order)
	}
	_, err = s.claim(ben, "1")
	wantFault(t, err, fault.Conflict, "owned_by_another_customer")
	if got, want := s.events(ann), []event.Type{event.PurchaseGranted}; !slices.Equal(got, want) {
		t.Errorf("events: got %v, want %v", got, want)
	}
}

func TestWhatAnEventToldOfIsNotHadWithoutTheStoresNotKnowingIt(t *testing.T) {
	t.Parallel()
	back := eventOf("1", noon, noon.AddDate(0, 1, 0))
	back.Sales[0].State = purchase.Refunded
	gone := eventOf("1", noon, noon.AddDate(0, 1, 0))
	gone.Sales[0].State = purchase.Replaced
	for name, c := range map[string]struct {
		event purchase.News
		down  error
		want  error
		code  string
	}{
		"taken back":    {back, unknown, fault.Invalid, "invalid_purchase"},
		"replaced":      {gone, unknown, fault.Invalid, "invalid_purchase"},
		"an outage":     {eventOf("1", noon, noon.AddDate(0, 1, 0)), outage, fault.Unavailable, "store_unavailable"},
		"another app's": {eventOf("1", noon, noon.AddDate(0, 1, 0)), fault.New(fault.Invalid, "invalid_purchase", "No."), fault.Invalid, "invalid_purchase"},
	} {
		s, store := newCounter(t)
		s.hears(c.event)
		store.down = c.down
		if _, err := s.claim(ann, "1"); !errors.Is(err, c.want) || fault.Code(err) != c.code || s.customer(ann).Exists() {
			t.Errorf("%s: got %v, want %v with code %s and nothing granted", name, err, c.want, c.code)
		}
	}
}

func TestATableThatDoesNotAnswerIsNoWordOnWhatAnEventToldOf(t *testing.T) {
	t.Parallel()
	s, c := newCounter(t)
	c.down = unknown
	s.hears(eventOf("1", noon, noon.AddDate(0, 1, 0)))
	reads := 0
	s.tables.Fail = func(op memory.Op) (bool, error) {
		if op.Method != "Get" {
			return true, nil
		}
		if reads++; reads < 2 {
			return true, nil
		}
		return false, broken()
	}
	if _, err := s.claim(ann, "1"); !errors.Is(err, fault.Unavailable) {
		t.Errorf("got %v after %d reads, want the outage", err, reads)
	}
	s.tables.Fail = nil
	s.granted(ann, "1")
}

// What the store shows to its user alone is not taken for what it shows to nobody.
func TestWhatTheStoreShowsToItsUserAloneIsNotHadByAnother(t *testing.T) {
	t.Parallel()
	by := func(s *shop, who, key string) error {
		_, err := s.Claim(t.Context(), s.scope, who, purchase.Proof{Store: "apple", Evidence: "1", UserKey: key})
		return err
	}
	s, c := newCounter(t)
	c.users["1"] = "anns"
	s.hears(eventOf("1", noon, noon.AddDate(0, 1, 0)))
	c.offer("1", of(s.now(sold("1", premium))))
	wantFault(t, by(s, ben, "bens"), fault.Invalid, "invalid_purchase")
	if got := c.asks[len(c.asks)-1].UserKey; len(c.asks) != 2 || got != "" {
		t.Errorf("got %d looks, the last for %q, want a second one for nobody", len(c.asks), got)
	}
	c.down = outage // after that it is an outage for ben too, and no grant
	if err := by(s, ben, "bens"); !errors.Is(err, fault.Unavailable) {
		t.Errorf("got %v, want the outage", err)
	}
	c.down = nil
	if err := by(s, ann, "anns"); err != nil {
		t.Errorf("by its user: got %v, want it granted", err)
	}
	s, c = newCounter(t)
	c.down = unknown
	s.hears(eventOf("1", noon, noon.AddDate(0, 1, 0)))
	if err := by(s, ann, "anns"); err != nil {
		t.Errorf("what is shown to nobody: got %v, want it granted", err)
	}
}

func TestOfManyWhoComeAtOnceForWhatAnEventToldOfOneHasIt(t *testing.T) {
	t.Parallel()
	s, c := newCounter(t)
	c.down = unknown
	s.hears(eventOf("1", noon, noon.AddDate(0, 1, 0)))
	var (
		all           sync.WaitGroup
		have, refused atomic.Int32
	)
	for n := range 12 {
		all.Go(func() {
			switch _, err := s.claim(fmt.Sprint("customer ", n), "1"); {
			case err == nil:
				have.Add(1)
			case errors.Is(err, fault.Conflict):
				refused.Add(1)
			default:
				t.Errorf("claim: got %v, want it granted or a conflict", err)
			}
		})
	}
	all.Wait()
	if have.Load() != 1 || refused.Load() != 11 {
		t.Errorf("got %d grants and %d conflicts, want one grant", have.Load(), refused.Load())
	}
}

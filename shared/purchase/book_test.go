package purchase_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"grantline/shared/fault"
	"grantline/shared/memory"
	"grantline/shared/purchase"
	"grantline/shared/table"
	"grantline/shared/wallet"
)

// scripted is a store each of whose answers a test gives.
type scripted struct {
	*followed
	read   func() (purchase.Sale, bool, error)
	look   func(ctx context.Context) (purchase.News, error)
	hear   func(ctx context.Context) (purchase.News, error)
	follow func(ctx context.Context) (purchase.News, bool, error)
}

func (s scripted) Read(context.Context, purchase.Proof) (purchase.Sale, bool, error) { return s.read() }

func (s scripted) Look(ctx context.Context, _ purchase.Proof) (purchase.News, error) {
	return s.look(ctx)
}

func (s scripted) Hear(ctx context.Context, _ string) (purchase.News, error) { return s.hear(ctx) }

func (s scripted) Follow(ctx context.Context, _ purchase.Line) (purchase.News, bool, error) {
	return s.follow(ctx)
}

func TestWhatIsProvenFalseByItselfIsNotLookedAt(t *testing.T) {
	t.Parallel()
	s, f := newFollowedShop(t)
	s.Stores["apple"] = scripted{
		followed: f,
		read: func() (purchase.Sale, bool, error) {
			return purchase.Sale{}, false, fault.New(fault.Invalid, "invalid_purchase", "Forged.")
		},
		look: func(context.Context) (purchase.News, error) {
			t.Error("the store was asked about what is forged")
			return of(sold("1", gems)), nil
		},
	}
	_, err := s.claim(ann, "forged")
	wantFault(t, err, fault.Invalid, "invalid_purchase")
	s.empty()
}

// While the store is out of reach the book answers; what it denies the book does not grant.
func TestTheStoresDenialOutranksOurBook(t *testing.T) {
	t.Parallel()
	s, f, r := newReadingShop(t)
	f.store.put("first", sold("1", gems))
	s.granted(ann, "first")
	r.signed["newer"] = later(sold("1", gems), time.Hour)
	f.down = fault.New(fault.Invalid, "invalid_purchase", "The store does not know of this.")
	_, err := s.claim(ann, "newer")
	wantFault(t, err, fault.Invalid, "invalid_purchase")
	f.down = fault.New(fault.Malformed, "invalid_purchase", "The proof cannot be read.")
	_, err = s.claim(ann, "newer")
	wantFault(t, err, fault.Malformed, "invalid_purchase")
}

// The store is asked for a while, and somebody else may come meanwhile.
func TestWhoeverCameWhileTheStoreDidNotAnswerIsTheOwner(t *testing.T) {
	t.Parallel()
	s, f := newFollowedShop(t)
	sale, come := sold("1", gems), false
	s.Stores["apple"] = scripted{
		followed: f,
		read:     func() (purchase.Sale, bool, error) { return sale, true, nil },
		look: func(context.Context) (purchase.News, error) {
			if come {
				return of(sale), nil
			}
			come = true
			s.granted(ben, "proof")
			return purchase.News{}, outage
		},
	}
	_, err := s.claim(ann, "proof")
	wantFault(t, err, fault.Conflict, "owned_by_another_customer")
}

// Refunded is not free to be had: whose it was is asked before the store is.
func TestARefundedOrderIsStillItsCustomers(t *testing.T) {
	t.Parallel()
	s, f, r := newReadingShop(t)
	f.store.put("first", sold("1", gems))
	s.granted(ann, "first")
	s.told(refunded(sold("1", gems), time.Hour, 0))
	f.down, r.signed["first"] = outage, sold("1", gems)
	_, err := s.claim(ben, "first")
	wantFault(t, err, fault.Conflict, "owned_by_another_customer")
	if f.looks != 1 {
		t.Errorf("looks: got %d, want the one of the first claim", f.looks)
	}
}

// What cannot be read is known all the same: the store's word would not help.
func TestAnOrderThatANewerCodeKeptIsNotLookedAt(t *testing.T) {
	t.Parallel()
	s, f, r := newReadingShop(t)
	item := table.Item{Key: table.Key{Table: table.Orders, Partition: s.scope.Key("apple_1")}, Schema: 99, Data: []byte(`{}`)}
	if err := s.tables.Commit(t.Context(), table.Inserted(item)); err != nil {
		t.Fatal(err)
	}
	r.signed["proof"] = sold("1", gems)
	f.store.put("proof", sold("1", gems))
	if _, err := s.claim(ann, "proof"); err == nil || errors.Is(err, fault.Invalid) || f.looks != 0 {
		t.Errorf("got %v after %d looks, want an error of ours and none", err, f.looks)
	}
}

func TestEvidenceThatSaysNothingByItselfCostsNoReadOfOurBook(t *testing.T) {
	t.Parallel()
	s, f, _ := newReadingShop(t)
	f.store.put("receipt", sold("1", gems))
	s.tables.Fail = func(op memory.Op) (bool, error) {
		if op.Method == "Get" && op.Touches(table.Orders) && f.looks == 0 {
			t.Errorf("got a read of %v before the store was asked, want none", op.Keys)
		}
		return true, nil
	}
	s.granted(ann, "receipt")
	s.tables.Fail = nil
}

// impatient is a clock that lets nobody wait.
type impatient struct{ *stopped }

func (impatient) Sleep(context.Context, time.Duration) error { return context.DeadlineExceeded }

func TestATryForWhichThereIsNoTimeIsNotMade(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.Clock = impatient{s.clock}
	s.store.put("proof", sold("1", gems))
	tries := 0
	s.tables.Fail = func(op memory.Op) (bool, error) {
		if op.Method == "Commit" {
			tries++
			return false, &table.Conflict{}
		}
		return true, nil
	}
	_, err := s.claim(ann, "proof")
	wantFault(t, err, fault.Unavailable, "busy")
	if tries != 1 {
		t.Errorf("tries: got %d, want one", tries)
	}
}

// Some of a request's time is kept for writing down what the store says, however it is asked.
func TestAStoreIsNotGivenAllOfTheTime(t *testing.T) {
	t.Parallel()
	s, f := newFollowedShop(t)
	end := s.owned(f, "1").Until
	s.at(end.Add(time.Hour))
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	all, _ := ctx.Deadline()
	asked := 0
	within := func(ctx context.Context) {
		asked++
		if got, ok := ctx.Deadline(); !ok || !got.Equal(all.Add(-4*time.Second)) {
			t.Errorf("question %d ends %v before the request does, want 4 s", asked, all.Sub(got))
		}
	}
	s.Stores["apple"] = scripted{
		followed: f,
		read:     func() (purchase.Sale, bool, error) { return purchase.Sale{}, false, nil },
		look: func(ctx context.Context) (purchase.News, error) {
			within(ctx)
			return of(sold("2", gems)), nil
		},
		hear: func(ctx context.Context) (purchase.News, error) {
			within(ctx)
			return of(sold("2", gems)), nil
		},
		follow: func(ctx context.Context) (purchase.News, bool, error) {
			within(ctx)
			return of(renewed("1", 1)), true, nil
		},
	}
	if _, err := s.Claim(ctx, s.scope, ann, purchase.Proof{Store: "apple", Evidence: "proof"}); err != nil {
		t.Error(err)
	}
	if _, err := s.LookAgain(ctx, s.scope, "apple", "notice"); err != nil {
		t.Error(err)
	}
	if _, err := s.Review(ctx, s.scope, "apple", 10); err != nil {
		t.Error(err)
	}
	if asked != 3 {
		t.Errorf("questions: got %d, want one each of a claim, a notice and a review", asked)
	}
}

// Where our book names one customer and the sale's account another, neither may claim: we
// cannot know who is right.
func TestAClaimOnWhichTwoCustomersAreNamedIsNeithers(t *testing.T) {
	t.Parallel()
	s, f := newFollowedShop(t)
	bens := renewed("bens", 0)
	bens.Account = "bens-account"
	f.offer("bens", of(bens))
	s.granted(ben, "bens")
	s.owned(f, "1")
	next := renewed("1", 1)
	next.Account = "bens-account"
	f.offer("next", of(next))
	was := s.orders()
	for _, who := range []string{ann, ben} {
		_, err := s.claim(who, "next")
		wantFault(t, err, fault.Conflict, "owned_by_another_customer")
	}
	if got := s.orders(); len(got) != len(was) || s.source(ben, "1").OrderID != "" || s.source(ann, "1").OrderID != "apple_1-0" {
		t.Errorf("got %d orders and %+v of ann's, want nothing changed", len(got), s.source(ann, "1"))
	}
}

// What a line held while it was nobody's comes along by whatever way it finds its customer.
func TestANoticeThatNamesALinesCustomerBringsWhatItHeldBefore(t *testing.T) {
	t.Parallel()
	s, f := newFollowedShop(t)
	bound := sold("9", adFree)
	bound.Account = "anns-account"
	f.offer("bound", of(bound))
	s.granted(ann, "bound")
	s.told(renewed("1", 0))
	s.told(refunded(renewed("1", 1), time.Hour, 0))
	s.clock.move(65 * 24 * time.Hour)
	named := renewed("1", 2)
	named.Account = "anns-account"
	s.told(named)
	want := map[string]purchase.OrderState{"1-0": purchase.OrderGranted, "1-1": purchase.OrderRefunded, "1-2": purchase.OrderGranted}
	for id, state := range want {
		o := s.order(id)
		if o.State != state || (o.Customer == s.customer(ann).Ref) != (state == purchase.OrderGranted) {
			t.Errorf("order %s: got %s of %q, want %s", id, o.State, o.Customer, state)
		}
	}
	if !s.allowed(ann, "premium") {
		t.Error("got no access by a line that is the customer's")
	}
}

// What is never to be looked at is in nobody's way there.
func TestALineThatIsNeverLookedAtIsNotInTheIndex(t *testing.T) {
	t.Parallel()
	s, f := newFollowedShop(t)
	f.offer("once", of(sold("once", adFree)))
	s.granted(ann, "once")
	sale := s.owned(f, "1")
	s.told(sold("nobodys", gems))
	s.told(refunded(sale, time.Hour, 0)) // and what was in it leaves it
	for _, item := range s.tables.Items(table.Purchases) {
		if item.Index != nil {
			t.Errorf("%s: got the entry %+v, want none", item.Key.Partition, item.Index)
		}
	}
}

// A store that cannot be asked said nothing, whatever it gave besides.
func TestAStoreThatCannotBeAskedSaysNothing(t *testing.T) {
	t.Parallel()
	s, f := newFollowedShop(t)
	end := s.owned(f, "1").Until
	s.at(end.Add(time.Hour))
	s.Stores["apple"] = scripted{followed: f, follow: func(context.Context) (purchase.News, bool, error) {
		return of(renewed("1", 1)), false, nil
	}}
	s.reviewed(10, s.clock.Now().Add(24*time.Hour))
	if got := s.source(ann, "1"); got.OrderID != "apple_1-0" {
		t.Errorf("source: got %+v, want the first month", got)
	}
}

func TestAnUnknownLineIsAskedAboutOnceMoreOnItsLastDay(t *testing.T) {
	t.Parallel()
	s, f := newFollowedShop(t)
	end := s.owned(f, "1").Until
	last := end.Add(61 * 24 * time.Hour)
	s.at(last.Add(-time.Hour))
	s.reviewed(10, last)
	s.at(last)
	s.reviewed(10, time.Time{})
	f.wantAsked(t, 2)
}

// Whoever had news meanwhile knows when to ask again; the review does not, so it is due.
func TestAReviewThatWasOvertakenIsDueAtOnce(t *testing.T) {
	t.Parallel()
	s, f := newFollowedShop(t)
	end := s.owned(f, "1").Until
	s.at(end.Add(time.Hour))
	f.silent = outage
	s.Stores["apple"] = hooked{f, func() { s.told(renewed("1", 1)) }}
	s.reviewed(10, s.clock.Now())
	s.reviewed(10, renewed("1", 1).Until.Add(time.Hour))
	f.wantAsked(t, 1)
}

func TestNewsOfTwoStoresAreABugOfTheStore(t *testing.T) {
	t.Parallel()
	s, f := newFollowedShop(t)
	other := sold("1-b", "gems_100")
	other.Store, other.Line = "play", "1"
	f.offer("proof", of(sold("1", gems), other))
	if _, err := s.claim(ann, "proof"); err == nil || errors.Is(err, fault.Invalid) {
		t.Errorf("got %v, want an error of ours", err)
	}
	s.empty()
}

// What is pending may yet cost something else, so an answer names no price of it.
func TestAPendingOrderSaysOnlyWhatItIsOf(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.store.put("proof", pending(sold("1", gems)))
	got, err := s.claim(ann, "proof")
	want := purchase.Order{ID: "apple_1", Kind: purchase.OrderKind, Store: "apple", SKU: gems, State: purchase.OrderPending}
	if err != nil || got.Order != want {
		t.Errorf("got %+v, %v, want %+v", got.Order, err, want)
	}
}

// The index is sorted as text, so that every entry is of one zone.
func TestTheIndexIsOfOneZone(t *testing.T) {
	t.Parallel()
	s, f := newFollowedShop(t)
	sale := renewed("1", 0)
	sale.Until = sale.Until.In(time.FixedZone("", 9*60*60))
	f.offer("1", of(sale))
	s.granted(ann, "1")
	item := s.tables.Items(table.Purchases)[0]
	if want := "2026-04-10T13:00:00Z#1"; item.Index == nil || item.Index.Sort != want {
		t.Errorf("index: got %+v, want %s", item.Index, want)
	}
}

func TestANoticeThatNobodyCanReadIsLetGo(t *testing.T) {
	t.Parallel()
	s, f := newFollowedShop(t)
	for _, kind := range []error{fault.Malformed, fault.Invalid, fault.Unavailable} {
		s.Stores["apple"] = scripted{followed: f, hear: func(context.Context) (purchase.News, error) {
			return purchase.News{}, fault.New(kind, "invalid_notice", "It cannot be read.")
		}}
		applied, err := s.LookAgain(t.Context(), s.scope, "apple", "notice")
		if again := errors.Is(kind, fault.Unavailable); applied || (err != nil) != again {
			t.Errorf("%v: got %t, %v, want it let go unless it is an outage", kind, applied, err)
		}
	}
	s.empty()
}

func TestNoLessThanNothingIsReportedSpent(t *testing.T) {
	t.Parallel()
	s, f := newFollowedShop(t)
	f.offer("proof", of(sold("1", gems)))
	s.granted(ann, "proof")
	c := s.customer(ann)
	c.SetWallet("gems", wallet.Wallet{Lots: []wallet.Lot{{OrderID: "apple_1", Kind: wallet.Paid, Granted: 200, Remaining: 150}}}, wallet.Entry{})
	writes, err := c.Writes(noon)
	if err == nil {
		err = s.tables.Commit(t.Context(), writes...)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.tell(purchase.News{Sales: []purchase.Sale{sold("1", gems)}, Usage: true}); err != nil {
		t.Fatal(err)
	}
	if want := (purchase.Usage{Delivered: true, Spendable: true}); len(f.reported) != 1 || f.reported[0] != want {
		t.Errorf("reports: got %+v, want %+v", f.reported, want)
	}
}

func TestANoticeIsOfItsScope(t *testing.T) {
	t.Parallel()
	s, _ := newFollowedShop(t)
	s.scope.Environment = "sandbox"
	s.told(sold("1", gems))
	if got := s.order("1").State; got != purchase.OrderUnclaimed {
		t.Errorf("order: got %s, want unclaimed", got)
	}
}

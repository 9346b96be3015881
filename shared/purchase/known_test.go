package purchase_test

import (
	"bytes"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"grantline/shared/fault"
	"grantline/shared/memory"
	"grantline/shared/purchase"
	"grantline/shared/wallet"
)

func newReadingShop(t testing.TB) (*shop, *followed, reading) {
	s, f := newFollowedShop(t)
	r := reading{f, map[string]purchase.Sale{}}
	s.Stores["apple"] = r
	return s, f, r
}

func TestOnlyAWordThatIsNewerThanOurBookIsLookedAt(t *testing.T) {
	t.Parallel()
	s, f, r := newReadingShop(t)
	for evidence, at := range map[string]time.Duration{"older": -time.Hour, "same": 0, "newer": time.Hour} {
		r.signed[evidence] = later(sold("1", gems), at)
		f.store.put(evidence, r.signed[evidence])
	}
	s.granted(ann, "same")
	looks := func(want int) {
		t.Helper()
		if f.looks != want {
			t.Errorf("looks: got %d, want %d", f.looks, want)
		}
	}
	looks(1)
	s.granted(ann, "same")
	s.granted(ann, "older")
	looks(1)
	_, err := s.claim(ben, "older")
	wantFault(t, err, fault.Conflict, "owned_by_another_customer")
	looks(1)
	s.granted(ann, "newer")
	looks(2)
	s.granted(ann, "newer")
	looks(2)
	s.told(refunded(sold("1", gems), 2*time.Hour, 0))
	f.store.put("newer", refunded(sold("1", gems), 2*time.Hour, 0))
	_, err = s.claim(ann, "newer") // what is not granted is looked at whatever our book says
	wantFault(t, err, fault.Invalid, "invalid_purchase")
	looks(3)
	if got := s.balance(ann); got != 0 {
		t.Errorf("balance: got %d, want 0", got)
	}
}

func TestWhatIsKnownIsAnsweredWhileTheStoreOfSignedWordsIsDown(t *testing.T) {
	t.Parallel()
	s, f, r := newReadingShop(t)
	r.signed["first"], r.signed["newer"], r.signed["unknown"] = sold("1", gems), later(sold("1", gems), time.Hour), sold("2", gems)
	f.store.put("first", sold("1", gems))
	first := s.granted(ann, "first").Order
	f.down = outage
	if got := s.granted(ann, "newer").Order; got != first || f.looks != 2 {
		t.Errorf("got %+v after %d looks, want the order as it was after an attempt", got, f.looks)
	}
	_, err := s.claim(ben, "newer")
	wantFault(t, err, fault.Conflict, "owned_by_another_customer")
	_, err = s.claim(ann, "unknown")
	wantFault(t, err, fault.Unavailable, "store_unavailable")
	s.told(refunded(sold("1", gems), 2*time.Hour, 0))
	_, err = s.claim(ann, "newer")
	wantFault(t, err, fault.Unavailable, "store_unavailable")
	s.told(sold("9", gems)) // nobody's is no answer
	r.signed["nobodys"] = sold("9", gems)
	_, err = s.claim(ann, "nobodys")
	wantFault(t, err, fault.Unavailable, "store_unavailable")
	f.down = fault.New(fault.Invalid, "invalid_purchase", "Forged.")
	r.signed["forged"] = later(sold("1", gems), 9*time.Hour)
	_, err = s.claim(ann, "forged")
	wantFault(t, err, fault.Invalid, "invalid_purchase")
}

// A sale whose place was taken is no answer: it is looked at, and told to be superseded.
func TestAClaimOfWhatWasReplacedIsToldOf(t *testing.T) {
	t.Parallel()
	s, f, r := newReadingShop(t)
	s.owned(f, "1")
	replaced := later(renewed("1", 0), time.Hour)
	replaced.State = purchase.Replaced
	s.told(replaced)
	r.signed["old"] = renewed("1", 0)
	f.offer("old", of(replaced))
	_, err := s.claim(ann, "old")
	wantFault(t, err, fault.Invalid, "superseded_purchase")
	if got := s.order("1-0"); got.State != purchase.OrderGranted || !got.Replaced || s.allowed(ann, "premium") {
		t.Errorf("got %s, replaced %t, access %t, want it kept as paid and giving nothing", got.State, got.Replaced, s.allowed(ann, "premium"))
	}
	// Nobody's cannot be had by it.
	s, f = newFollowedShop(t)
	f.offer("old", of(replaced))
	_, err = s.claim(ann, "old")
	wantFault(t, err, fault.Invalid, "superseded_purchase")
	if s.customer(ann).Exists() || s.line("1").Owner != "" {
		t.Error("a claim of what was replaced made an owner")
	}
}

func TestAStoreThatAsksIsToldWhatBecameOfASale(t *testing.T) {
	t.Parallel()
	ask := func(s *shop, sale purchase.Sale) (bool, error) {
		return s.tell(purchase.News{Sales: []purchase.Sale{sale}, Usage: true})
	}
	holding := func(s *shop, lots ...wallet.Lot) {
		c := s.customer(ann)
		c.SetWallet("gems", wallet.Wallet{Lots: lots}, wallet.Entry{})
		writes, err := c.Writes(noon)
		if err == nil {
			err = s.tables.Commit(s.Context(), writes...)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	lot := func(order string, left int64) wallet.Lot {
		return wallet.Lot{OrderID: "apple_" + order, Kind: wallet.Paid, Granted: 100, Remaining: left}
	}
	half := refunded(sold("1", gems), time.Minute, 50_000)
	for name, c := range map[string]struct {
		claimed, sale purchase.Sale
		lots          []wallet.Lot
		want          purchase.Usage // reported, unless it is refunded, and so decided
	}{
		"nobody's":               {sold("2", gems), sold("1", gems), nil, purchase.Usage{}},
		"untouched":              {sold("1", gems), sold("1", gems), nil, purchase.Usage{Delivered: true, Spendable: true}},
		"a third spent":          {sold("1", gems), sold("1", gems), []wallet.Lot{lot("2", 5), lot("1", 67)}, purchase.Usage{Delivered: true, Spendable: true, Spent: 33_000}},
		"all spent":              {sold("1", gems), sold("1", gems), []wallet.Lot{lot("2", 5)}, purchase.Usage{Delivered: true, Spendable: true, Spent: 100_000}},
		"refunded":               {sold("1", gems), refunded(sold("1", gems), time.Minute, 0), nil, purchase.Usage{}},
		"half refunded":          {sold("1", gems), half, nil, purchase.Usage{Delivered: true, Spendable: true}},
		"half refunded, spent":   {sold("1", gems), half, []wallet.Lot{lot("1", 60)}, purchase.Usage{Delivered: true, Spendable: true, Spent: 80_000}},
		"no virtual currency":    {sold("1", adFree), sold("1", adFree), nil, purchase.Usage{Delivered: true}},
		"a refunded entitlement": {sold("1", adFree), refunded(sold("1", adFree), time.Minute, 0), nil, purchase.Usage{}},
	} {
		s, f := newFollowedShop(t)
		f.offer("proof", of(c.claimed))
		s.granted(ann, "proof")
		if c.lots != nil {
			holding(s, c.lots...)
		}
		want := []purchase.Usage{c.want}
		if c.sale.State == purchase.Refunded && c.sale.Returned == 0 {
			want = nil
		}
		if ok, err := ask(s, c.sale); !ok || err != nil || !slices.Equal(f.reported, want) {
			t.Errorf("%s: got %t, %v and reports %+v, want %+v", name, ok, err, f.reported, want)
		}
		s.told(later(c.sale, 0))
		if len(f.reported) != len(want) {
			t.Errorf("%s: it was reported though nobody asked", name)
		}
	}
}

func TestAReportThatIsRefusedRaisesTheAlarmAndOneThatIsLostComesAgain(t *testing.T) {
	t.Parallel()
	s, f := newFollowedShop(t)
	var log bytes.Buffer
	s.Book.Log = slog.New(slog.NewTextHandler(&log, nil))
	sale := s.owned(f, "1")
	usage := purchase.News{Sales: []purchase.Sale{sale}, Usage: true}
	f.refusal = outage
	_, err := s.tell(usage)
	wantFault(t, err, fault.Unavailable, "store_unavailable")
	if log.Len() > 0 {
		t.Errorf("log after an outage: got %s, want none", log.String())
	}
	f.refusal = fault.New(fault.Invalid, "consumption_refused", "Not like that.")
	if ok, err := s.tell(usage); !ok || err != nil || !strings.Contains(log.String(), "alarm=true") {
		t.Errorf("refused: got %t, %v and log %q, want an alarm, and the notice let go", ok, err, log.String())
	}
	f.refusal = nil
	if ok, err := s.tell(usage); !ok || err != nil || len(f.reported) != 1 {
		t.Errorf("taken: got %t, %v and %d reports, want one", ok, err, len(f.reported))
	}
}

func TestANoticeCostsOneTransactionAndNothingWhenItComesAgain(t *testing.T) {
	t.Parallel()
	s, f := newFollowedShop(t)
	sale := s.owned(f, "1")
	var did []string
	s.tables.Fail = func(op memory.Op) (bool, error) {
		did = append(did, op.Method)
		for range op.Writes {
			did[len(did)-1] += "+"
		}
		return true, nil
	}
	for name, c := range map[string]struct {
		news purchase.News
		want []string
	}{
		// The alias is read where the sale names an account. Head, event, order and line.
		"a renewal":      {of(renewed("1", 1)), []string{"GetAll", "Query", "Commit++++"}},
		"one of nobody":  {of(sold("2", gems)), []string{"GetAll", "Commit++"}},
		"the same again": {of(sale), []string{"GetAll", "Query"}},
	} {
		did = nil
		s.told(c.news.Sales...)
		if !slices.Equal(did, c.want) {
			t.Errorf("%s: got operations %v, want %v", name, did, c.want)
		}
	}
	s.tables.Fail = nil
}

package purchase_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/abuse"
	"grantline/shared/event"
	"grantline/shared/fault"
	"grantline/shared/memory"
	"grantline/shared/purchase"
	"grantline/shared/table"
)

func TestARefundIsKnownWithWhatWasSpentBeforeItWasTakenBack(t *testing.T) {
	t.Parallel()
	s := newAbusedShop(t)
	s.bought(ann, "1", "2", "3")
	s.spend(ann, 180)
	s.clock.move(time.Hour)
	s.taken("2")
	want := abuse.History{
		Purchases: 3, Paid: map[string]int64{"KRW": 3 * 4900}, Count: 1, Returned: map[string]int64{"KRW": 4900},
		Refunds: []abuse.Refund{{
			OrderID: "apple_2", At: s.clock.Now(), PurchasedAt: noon, Amount: 4900, Currency: "KRW", Credited: 100, Spent: 80, Consumable: true,
		}},
		Measures: []abuse.Measure{abuse.Note, abuse.BlockSpending, abuse.RefuseConsumables},
	}
	if diff := cmp.Diff(want, s.customer(ann).Conduct()); diff != "" {
		t.Errorf("conduct (-want +got):\n%s", diff)
	}
	if e := s.last(ann, event.CustomerFlagged); e.Score == nil || *e.Score < 40 || !slices.Equal(e.Measures, []string{"note", "block_spending", "refuse_consumables"}) {
		t.Errorf("got %+v, want all measures and the score", e)
	}
	before := s.everything()
	s.taken("2")
	if diff := cmp.Diff(before, s.everything()); diff != "" {
		t.Errorf("heard again: got something written (-before +after):\n%s", diff)
	}
	s.wantReplayed(ann)
	s.wantRebuilt()
}

func TestARefundInPartsIsOneWithTheGreatestShareSpent(t *testing.T) {
	t.Parallel()
	s := newAbusedShop(t)
	s.bought(ann, "1")
	s.spend(ann, 80)
	s.told(refunded(sold("1", gems), 24*time.Hour, 30_000)) // 20 of the lot and a debt of 10
	if r := s.customer(ann).Conduct().Refunds; len(r) != 1 || r[0].Amount != 1470 || r[0].Spent != 80 {
		t.Errorf("a part: got %+v, want 1470 of the money and 80 spent", r)
	}
	s.told(refunded(sold("1", gems), 25*time.Hour, 0))
	h := s.customer(ann).Conduct()
	if r := h.Refunds; len(r) != 1 || r[0].Amount != 4900 || r[0].Spent != 80 || h.Count != 1 || h.Returned["KRW"] != 4900 {
		t.Errorf("all of it: got %+v, want one refund of 4900 with 80 spent", h)
	}
	s.told(refunded(sold("1", gems), 26*time.Hour, 50_000))
	h = s.customer(ann).Conduct()
	if r := h.Refunds; len(r) != 1 || r[0].Amount != 2450 || r[0].Spent != 80 || h.Returned["KRW"] != 2450 {
		t.Errorf("half of it after all: got %+v, want 2450", h)
	}
	s.told(later(sold("1", gems), 27*time.Hour))
	if h = s.customer(ann).Conduct(); h.Count != 0 || len(h.Refunds) != 0 || len(h.Returned) != 0 {
		t.Errorf("reversed: got %+v, want none", h)
	}
}

func TestWhatWasTakenBackBeforeWasNotSpent(t *testing.T) {
	t.Parallel()
	s := newAbusedShop(t)
	s.bought(ann, "1")
	s.told(refunded(sold("1", gems), 24*time.Hour, 30_000))
	s.told(refunded(sold("1", gems), 25*time.Hour, 0))
	if r := s.customer(ann).Conduct().Refunds; len(r) != 1 || r[0].Spent != 0 {
		t.Errorf("got %+v, want nothing spent", r)
	}
}

func TestARefundUndoneClearsTheCustomer(t *testing.T) {
	t.Parallel()
	s := newAbusedShop(t)
	s.bought(ann, "1")
	s.spend(ann, 100)
	s.taken("1")
	s.last(ann, event.CustomerFlagged)
	back := sold("1", gems)
	back.AsOf = s.clock.Now().Add(time.Minute)
	s.told(back)
	if e := s.last(ann, event.CustomerCleared); e.Score == nil || *e.Score != 0 || len(e.Measures) != 0 {
		t.Errorf("got %+v, want a score of nothing", e)
	}
	if h := s.customer(ann).Conduct(); h.Count != 0 || len(h.Measures) != 0 {
		t.Errorf("got %+v, want a clean sheet", h)
	}
}

func TestTestsAndSharesOfAFamilyAreNoConduct(t *testing.T) {
	t.Parallel()
	s := newAbusedShop(t)
	s.bought(ann, "1")
	for _, change := range []func(*purchase.Sale){func(o *purchase.Sale) { o.Test = true }, func(o *purchase.Sale) { o.Family = true }} {
		sale := sold(fmt.Sprint("other-", len(s.events(ann))), gems)
		change(&sale)
		s.store.put(sale.Order, sale)
		s.granted(ann, sale.Order)
		s.told(refunded(sale, time.Hour, 0))
	}
	if h := s.customer(ann).Conduct(); h.Count != 0 || h.Purchases != 0 || s.count(ann, event.CustomerFlagged) != 0 {
		t.Errorf("got %+v, want nothing", h)
	}
	// And they make no share of what was paid smaller.
	s.taken("1")
	test := sold("a-test", adFree)
	test.Test = true
	s.store.put("a-test", test)
	s.granted(ann, "a-test")
	if h := s.customer(ann).Conduct(); h.Purchases != 1 || h.Paid["KRW"] != 4900 {
		t.Errorf("got %d purchases and %v paid, want the one with money", h.Purchases, h.Paid)
	}
}

func TestACleanSheetIsNotWrittenWithEachPurchase(t *testing.T) {
	t.Parallel()
	s := newAbusedShop(t)
	s.bought(ann, "1", "2")
	s.tables.Fail = func(op memory.Op) (bool, error) {
		for _, w := range op.Writes {
			if w.Item.Key.Sort == "#conduct" {
				t.Errorf("a purchase of a clean customer wrote %v", w.Item.Key)
			}
		}
		return true, nil
	}
	s.bought(ann, "3")
	s.tables.Fail = nil
	s.taken("1")
	if h := s.customer(ann).Conduct(); h.Purchases != 3 || h.Paid["KRW"] != 3*4900 {
		t.Errorf("at the first refund: got %d purchases, %v, want the three of before", h.Purchases, h.Paid)
	}
	s.store.put("kept", sold("kept", adFree))
	s.granted(ann, "kept")
	s.granted(ann, "kept")
	if h := s.customer(ann).Conduct(); h.Purchases != 4 || h.Paid["KRW"] != 4*4900 {
		t.Errorf("after it: got %d purchases, %v, want each counted once", h.Purchases, h.Paid)
	}
	s.taken("2")
	if h := s.customer(ann).Conduct(); h.Purchases != 4 || h.Count != 2 {
		t.Errorf("at the second refund: got %d purchases and %d refunds, want 4 and 2", h.Purchases, h.Count)
	}
}

func TestWhoIsRefusedIsGrantedNoConsumableAndEverythingElse(t *testing.T) {
	t.Parallel()
	s := newAbusedShop(t)
	s.bought(ann, "1", "2")
	s.spend(ann, 100)
	s.taken("1")
	before := s.everything()
	for _, claim := range []func() (purchase.Claimed, error){
		func() (purchase.Claimed, error) { return s.claim(ann, "new") },
		func() (purchase.Claimed, error) { return s.gift(ann, ben, "new") },
		func() (purchase.Claimed, error) { return s.gift(ben, ann, "new") },
	} {
		s.store.put("new", sold("new", gems))
		_, err := claim()
		wantFault(t, err, fault.Denied, "refused_by_policy")
	}
	if diff := cmp.Diff(before, s.everything()); diff != "" {
		t.Errorf("refused: got something written (-before +after):\n%s", diff)
	}
	s.granted(ann, "2") // what was granted before
	s.store.put("kept", sold("kept", adFree))
	s.granted(ann, "kept")
	// What a notice would grant waits, and is granted once the measure is over.
	named := sold("named", gems)
	named.Account = s.tokenOf(ann)
	s.told(named)
	if o := s.order("named"); o.State != purchase.OrderUnclaimed || o.Customer != "" || s.line("named").Owner != "" {
		t.Errorf("by a notice: got %s of %q, want it to wait", o.State, o.Customer)
	}
	s.store.put("named", named)
	_, err := s.claim(ann, "named")
	wantFault(t, err, fault.Denied, "refused_by_policy")
	balance := s.balance(ann)
	s.clock.move(366 * 24 * time.Hour)
	s.granted(ann, "named")
	if got := s.balance(ann); got != balance+100 {
		t.Errorf("a year later: got a balance of %d, want %d", got, balance+100)
	}
	if e := s.last(ann, event.CustomerCleared); e.Score == nil || *e.Score >= 40 {
		t.Errorf("a year later: got %+v, want it told", e)
	}
	s.wantReplayed(ann)
	s.wantRebuilt()
}

func TestAPersonsWordStandsAboveTheScore(t *testing.T) {
	t.Parallel()
	s := newAbusedShop(t)
	s.bought(ann, "1")
	s.spend(ann, 100)
	s.taken("1")
	forgive := func(measures ...abuse.Measure) {
		c := s.customer(ann)
		h, err := c.Conduct().Override(abuse.Override{Measures: measures, Reason: "A child.", By: "eve", At: s.clock.Now()})
		if err != nil {
			t.Fatal(err)
		}
		h.Measures = measures
		c.SetConduct(h)
		c.Tell(event.Event{Type: event.CustomerOverridden, At: s.clock.Now()})
		s.write(c)
	}
	forgive()
	s.bought(ann, "2")
	s.taken("2")
	s.bought(ann, "3")
	if got := s.count(ann, event.CustomerFlagged); got != 1 {
		t.Errorf("forgiven: got told %d times, want once, of before", got)
	}
	forgive(abuse.RefuseConsumables)
	s.store.put("4", sold("4", gems))
	_, err := s.claim(ann, "4")
	wantFault(t, err, fault.Denied, "refused_by_policy")
}

func TestWithoutAPolicyRefundsAreKnownAndNothingIsRefused(t *testing.T) {
	t.Parallel()
	s := newAbusedShop(t)
	s.Abuse = nil
	s.bought(ann, "1", "2", "3", "4")
	s.spend(ann, 400)
	for _, o := range []string{"1", "2", "3"} {
		s.taken(o)
	}
	s.bought(ann, "5")
	if h := s.customer(ann).Conduct(); h.Count != 3 || len(h.Measures) != 0 || s.count(ann, event.CustomerFlagged) != 0 {
		t.Errorf("got %+v, want three refunds and no measure", h)
	}
}

func TestAConsumableWaitsBesideWhatIsGranted(t *testing.T) {
	t.Parallel()
	k := newTokens(t)
	k.Abuse = abuse.Policy{abuse.RefuseConsumables: 1}
	k.sell("tok-1", ticket{items: []item{once(coins, "o1")}})
	k.granted(ann, "tok-1")
	k.spend(ann, 100)
	k.market.change("tok-1", func(t *ticket) { t.items[0].refunded = true })
	k.heard("tok-1")
	k.sell("tok-2", ticket{items: []item{once(badge, "o2"), once(coins, "o3")}})
	k.granted(ann, "tok-2")
	k.wantGives(ann, "badge")
	if o := k.playOrder("o3"); k.playOrder("o2").State != purchase.OrderGranted || o.State != purchase.OrderUnclaimed {
		t.Errorf("beside each other: got %s and %s, want granted and unclaimed", k.playOrder("o2").State, o.State)
	}
	if got := k.balance(ann); got != -100 {
		t.Errorf("got a balance of %d, want -100", got)
	}
	k.Abuse = nil
	k.granted(ann, "tok-2")
	if got := k.balance(ann); got != 0 {
		t.Errorf("forgiven: got a balance of %d, want 0", got)
	}
}

func TestEachFailureOfARefundCountsItOnce(t *testing.T) {
	t.Parallel()
	prepare := func() *shop {
		s := newAbusedShop(t)
		s.bought(ann, "1", "2")
		s.spend(ann, 150)
		return s
	}
	s := prepare()
	s.taken("1")
	want := s.everything()
	for _, done := range []bool{false, true} {
		for k := 1; ; k++ {
			s := prepare()
			sale := refunded(sold("1", gems), time.Minute+time.Second, 0)
			ops := s.failing(k, done, false)
			_, err := s.tell(of(sale))
			s.tables.Fail = nil
			if *ops < k {
				break
			}
			if err != nil && !fault.Retryable(err) {
				t.Errorf("operation %d failing: got %v, want an outage", k, err)
			}
			s.told(sale)
			if diff := cmp.Diff(want, s.everything()); diff != "" {
				t.Errorf("operation %d failed (done %t): without (-) and with it (+) differ:\n%s", k, done, diff)
			}
		}
	}
}

func TestRefundsAfterAMergeAreOfWhoIsLeft(t *testing.T) {
	t.Parallel()
	s := newAbusedShop(t)
	s.bought(ann, "1", "2")
	s.taken("1")
	s.bought(ben, "3")
	s.merge(ben, ann)
	s.taken("2")
	if h := s.customer(ben).Conduct(); h.Count != 2 || h.Returned["KRW"] != 2*4900 {
		t.Errorf("got %+v, want both refunds", h)
	}
}

// conductItem is what is written of a customer's conduct, "" if nothing.
func (s *shop) conductItem(who string) string {
	s.Helper()
	ref := s.customer(who).Ref
	for _, i := range s.tables.Items(table.Customers) {
		if i.Key.Sort == "#conduct" && strings.HasSuffix(i.Key.Partition, ref) {
			return string(i.Data)
		}
	}
	return ""
}

func TestAWordThatIsNoNewsOpensNoSheet(t *testing.T) {
	t.Parallel()
	s := newAbusedShop(t)
	s.bought(ann, "1", "2")
	s.told(refunded(sold("1", gems), -time.Hour, 0)) // older than what is known
	if got := s.conductItem(ann); got != "" {
		t.Errorf("got %s, want nothing", got)
	}
}

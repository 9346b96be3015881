package purchase_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/entitlement"
	"grantline/shared/fault"
	"grantline/shared/purchase"
)

// history is everything that a store ever says of one line.
type history struct {
	sales     []purchase.Sale
	standings []purchase.Standing
}

func (h history) line() string { return h.sales[0].Line }

// inTurn is the history as it happened.
func (h history) inTurn() history {
	h.sales, h.standings = slices.Clone(h.sales), slices.Clone(h.standings)
	slices.SortStableFunc(h.sales, func(a, b purchase.Sale) int { return a.AsOf.Compare(b.AsOf) })
	slices.SortStableFunc(h.standings, func(a, b purchase.Standing) int { return a.AsOf.Compare(b.AsOf) })
	return h
}

// told are the histories that stores document (App Store Server Notifications V2).
func toldHistories() map[string]history {
	month := func(n int) purchase.Sale { return renewed("line", n) }
	stand := func(months int, change func(*purchase.Standing)) purchase.Standing {
		s := purchase.Standing{AsOf: noon.AddDate(0, months, 0).Add(2 * time.Minute), WillRenew: true}
		change(&s)
		return s
	}
	off := func(s *purchase.Standing) { s.WillRenew, s.Reason = false, purchase.ByCustomer }
	retry := func(s *purchase.Standing) { s.Retrying = true }
	grace := func(s *purchase.Standing) { s.Retrying, s.GraceUntil = true, noon.AddDate(0, 2, 16) }
	up := month(1)
	up.State, up.AsOf = purchase.Replaced, up.AsOf.Add(24*time.Hour)
	higher := month(1)
	higher.Order, higher.SKU, higher.PurchasedAt, higher.Until = "higher", pro, up.AsOf, up.AsOf.AddDate(1, 0, 0)
	extended := later(month(1), 24*time.Hour)
	extended.Until = extended.Until.AddDate(0, 0, 30)
	gem := sold("gem", gems)
	return map[string]history{
		"renewals":                   {sales: []purchase.Sale{month(0), month(1), month(2), month(3)}},
		"more renewals than kept":    {sales: []purchase.Sale{month(0), month(1), month(2), month(3), month(4), month(5), month(6)}},
		"cancelled, resumed":         {sales: []purchase.Sale{month(0)}, standings: []purchase.Standing{stand(0, off), stand(1, func(*purchase.Standing) {})}},
		"grace":                      {sales: []purchase.Sale{month(0), month(1)}, standings: []purchase.Standing{stand(1, func(*purchase.Standing) {}), stand(2, grace)}},
		"grace, on hold":             {sales: []purchase.Sale{month(0), month(1)}, standings: []purchase.Standing{stand(2, grace), stand(3, retry)}},
		"on hold, over":              {sales: []purchase.Sale{month(0)}, standings: []purchase.Standing{stand(1, retry), stand(3, off)}},
		"on hold, recovered":         {sales: []purchase.Sale{month(0), month(2)}, standings: []purchase.Standing{stand(1, retry), stand(2, func(*purchase.Standing) {})}},
		"refund of an older renewal": {sales: []purchase.Sale{month(0), month(1), month(2), refunded(month(0), 9*24*time.Hour, 0)}},
		"refund of the last":         {sales: []purchase.Sale{month(0), month(1), refunded(month(1), time.Hour, 0)}, standings: []purchase.Standing{stand(1, off)}},
		"refunds of more than kept": {sales: []purchase.Sale{
			month(0), month(1), month(2), month(3), month(4), month(5), refunded(month(5), time.Hour, 0), refunded(month(4), 50*24*time.Hour, 0),
			refunded(month(3), 80*24*time.Hour, 0), refunded(month(2), 110*24*time.Hour, 0), refunded(month(1), 140*24*time.Hour, 0),
		}},
		"refund undone":   {sales: []purchase.Sale{month(0), month(1), refunded(month(1), time.Hour, 0), later(month(1), 2*time.Hour)}},
		"upgrade":         {sales: []purchase.Sale{month(0), month(1), up, higher}},
		"plan":            {sales: []purchase.Sale{month(0)}, standings: []purchase.Standing{stand(0, func(s *purchase.Standing) { s.Next = yearly })}},
		"extension":       {sales: []purchase.Sale{month(0), month(1), extended}},
		"partial refunds": {sales: []purchase.Sale{gem, refunded(gem, time.Hour, 30_000), refunded(gem, 2*time.Hour, 65_000)}},
		"partial, undone": {sales: []purchase.Sale{gem, refunded(gem, time.Hour, 30_000), refunded(gem, 2*time.Hour, 0), later(gem, 3*time.Hour)}},
		"a tie": {sales: []purchase.Sale{
			gem, later(gem, time.Hour), refunded(gem, time.Hour, 30_000), refunded(gem, time.Hour, 60_000),
		}},
	}
}

// invented is a history that no store documents.
func invented(dice *rand.Rand) history {
	var h history
	at := noon
	tick := func() time.Time { at = at.Add(time.Duration(1+dice.IntN(20*24)) * time.Hour); return at }
	if dice.IntN(4) == 0 {
		s := sold("x", gems)
		s.Quantity = 1 + dice.IntN(3)
		for range 1 + dice.IntN(6) {
			w := s
			w.AsOf = tick()
			if dice.IntN(3) > 0 {
				w.State, w.Returned = purchase.Refunded, dice.IntN(100_001)
			}
			h.sales = append(h.sales, w)
		}
	} else {
		for n := range 1 + dice.IntN(7) {
			s := renewed("line", n)
			s.SKU = []string{premium, yearly, pro}[dice.IntN(3)]
			s.Until = s.PurchasedAt.AddDate(0, []int{1, 2, 12}[dice.IntN(3)], 0)
			for range 1 + dice.IntN(3) {
				w := s
				w.AsOf, w.WillRenew = tick(), dice.IntN(2) == 0
				switch dice.IntN(6) {
				case 0:
					w.State = purchase.Refunded
				case 1:
					w.State = purchase.Replaced
				case 2:
					w.Until = w.Until.AddDate(0, 0, dice.IntN(40))
				}
				h.sales = append(h.sales, w)
			}
		}
	}
	at = noon
	for range dice.IntN(5) {
		s := purchase.Standing{AsOf: tick(), WillRenew: dice.IntN(2) == 0, Retrying: dice.IntN(3) == 0}
		if s.Retrying && dice.IntN(2) == 0 {
			s.GraceUntil = s.AsOf.AddDate(0, 0, 16)
		}
		if dice.IntN(4) == 0 {
			s.Next = yearly
		}
		h.standings = append(h.standings, s)
	}
	return h
}

// ending is what a history leaves.
type ending struct {
	Sources []entitlement.Source
	Balance int64
	Debt    int64
	Orders  []purchase.Order
	Line    purchase.Record
}

func (s *shop) ending(line string) ending {
	s.Helper()
	c := s.customer(ann)
	s.events(ann)
	sources := c.Sources()
	slices.SortFunc(sources, func(a, b entitlement.Source) int { return strings.Compare(a.Ref, b.Ref) })
	orders := s.orders()
	for i, o := range orders {
		if o.State == purchase.OrderRefunded { // whose it was depends on whether it was ever granted
			orders[i].Customer, orders[i].Currency, orders[i].Credited, orders[i].TakenBack = "", "", 0, 0
		}
	}
	return ending{sources, s.balance(ann), c.Wallets()["gems"].Debt, orders, s.line(line)}
}

// listener hears one history in some order and by some ways.
type listener struct {
	*shop
	store   *followed
	history history
	until   time.Time // the clock goes no further
	claimed int
}

// listen makes a shop in which ann is a customer already.
func listen(t testing.TB, h history, until time.Time) *listener {
	t.Helper()
	s, f := newFollowedShop(t)
	s.Catalog = groups(t)
	s.store.put("before", sold("before", adFree))
	s.granted(ann, "before")
	return &listener{shop: s, store: f, history: h, until: until}
}

// claim hears news by a claim of ann, which nothing but the store's word may refuse.
func (l *listener) claimOf(news purchase.News) {
	l.Helper()
	l.claimed++
	evidence := fmt.Sprint("claim-", l.claimed)
	l.store.offer(evidence, news)
	if _, err := l.claim(ann, evidence); err != nil && !errors.Is(err, fault.Invalid) {
		l.Fatalf("claim: got %v, want it heard", err)
	}
}

func (l *listener) noticeOf(news purchase.News) {
	l.Helper()
	if ok, err := l.tell(news); !ok || err != nil {
		l.Fatalf("notice: got %t, %v, want it heard", ok, err)
	}
}

// reviewOf hears news by a review if one comes in time, else by a notice.
func (l *listener) reviewOf(news purchase.News) {
	l.Helper()
	due := l.line(l.history.line()).CheckAt
	if due.IsZero() || due.After(l.until) {
		l.noticeOf(news)
		return
	}
	if due.After(l.clock.Now()) {
		l.at(due)
	}
	before := len(l.store.asked)
	l.store.lines[l.history.line()] = news
	if _, err := l.Review(l.Context(), l.scope, "apple", 10); err != nil || len(l.store.asked) != before+1 {
		l.Fatalf("review: got %v and %d questions, want one", err, len(l.store.asked)-before)
	}
}

// shuffled hears everything, some of it twice, in some order.
func (l *listener) shuffled(dice *rand.Rand, known bool) {
	l.Helper()
	h := l.history
	var all []purchase.News
	for _, s := range h.sales {
		all = append(all, purchase.News{Sales: []purchase.Sale{s}})
	}
	for _, s := range h.standings {
		all = append(all, purchase.News{Sales: []purchase.Sale{h.sales[dice.IntN(len(h.sales))]}, Standing: s})
	}
	for range dice.IntN(len(all) + 1) {
		all = append(all, all[dice.IntN(len(all))])
	}
	dice.Shuffle(len(all), func(a, b int) { all[a], all[b] = all[b], all[a] })
	for n, news := range all {
		if other := h.sales[dice.IntN(len(h.sales))]; dice.IntN(3) == 0 && other.Order != news.Sales[0].Order {
			news.Sales = append(slices.Clone(news.Sales), other)
		}
		news.Unasked = dice.IntN(5) == 0
		if dice.IntN(3) == 0 && l.clock.Now().Before(l.until) {
			l.clock.move(time.Duration(dice.Int64N(int64(l.until.Sub(l.clock.Now())))))
		}
		switch way := dice.IntN(3); {
		case way == 0:
			l.claimOf(news)
		case way == 1 || !known || n == 0:
			l.noticeOf(news)
		default:
			l.reviewOf(news)
		}
	}
	l.at(l.until)
	l.noticeOf(all[0])
}

func (l *listener) inTurn() {
	l.Helper()
	h := l.history.inTurn()
	for n, s := range h.sales {
		if n == 0 {
			l.claimOf(purchase.News{Sales: []purchase.Sale{s}})
			continue
		}
		l.noticeOf(purchase.News{Sales: []purchase.Sale{s}})
	}
	for _, s := range h.standings {
		l.noticeOf(purchase.News{Sales: h.sales[:1], Standing: s})
	}
	l.at(l.until)
	l.noticeOf(purchase.News{Sales: h.sales[:1]})
}

// own makes the line ann's before anything else is heard of it, whatever is heard first.
func (h history) own(account string) history {
	h.sales = slices.Clone(h.sales)
	for i := range h.sales {
		h.sales[i].Account = account
	}
	return h
}

func TestWordsOfAnOwnedLineInAnyOrderAndByAnyWayEndTheSame(t *testing.T) {
	t.Parallel()
	all := toldHistories()
	dice := rand.New(rand.NewPCG(11, 12))
	for n := range 70 {
		all[fmt.Sprint("invented ", n)] = invented(dice)
	}
	for name, h := range all {
		for _, until := range []time.Time{noon.AddDate(0, 0, 20), noon.AddDate(0, 2, 10), noon.AddDate(0, 8, 0)} {
			first := listen(t, h, until)
			ids, err := first.Customers.Identity.StoreIDs(t.Context(), first.scope, ann)
			if err != nil {
				t.Fatal(err)
			}
			first.history = h.own(ids.AppAccountToken)
			first.inTurn()
			want := first.ending(h.line())
			for round := range 4 {
				seed := uint64(round)
				l := listen(t, h.own(ids.AppAccountToken), until)
				l.shuffled(rand.New(rand.NewPCG(seed, seed)), true)
				if d := cmp.Diff(want, l.ending(h.line())); d != "" {
					t.Fatalf("%s until %v, round %d: in turn (-) and shuffled (+) differ:\n%s", name, until, round, d)
				}
			}
		}
	}
}

// A line that nobody owns at first ends in the same access and currency once its customer
// has come. Whose a sale is that was refunded before is nobody's business.
func TestWordsHeardBeforeAnybodyClaimedEndInTheSameAccess(t *testing.T) {
	t.Parallel()
	all := toldHistories()
	dice := rand.New(rand.NewPCG(13, 14))
	for n := range 70 {
		all[fmt.Sprint("invented ", n)] = invented(dice)
	}
	access := func(l *listener) (all []string) {
		for _, e := range l.customer(ann).Entitlements(l.until) {
			if e.Active {
				all = append(all, fmt.Sprint(e.ID, e.ExpiresAt, e.WillRenew, e.State))
			}
		}
		return append(all, fmt.Sprint(l.balance(ann)))
	}
	claims := func(l *listener) { // of each sale, by its newest word
		newest := map[string]purchase.Sale{}
		for _, s := range l.history.sales {
			if was, ok := newest[s.Order]; !ok || s.AsOf.After(was.AsOf) || s.AsOf.Equal(was.AsOf) && s.Returned > was.Returned {
				newest[s.Order] = s
			}
		}
		for _, s := range newest {
			l.claimOf(purchase.News{Sales: []purchase.Sale{s}})
		}
	}
	for name, h := range all {
		for _, until := range []time.Time{noon.AddDate(0, 0, 20), noon.AddDate(0, 2, 10), noon.AddDate(0, 8, 0)} {
			first := listen(t, h, until)
			first.inTurn()
			claims(first)
			want := access(first)
			for round := range 3 {
				seed := uint64(round)
				l := listen(t, h, until)
				l.shuffled(rand.New(rand.NewPCG(seed, seed)), false)
				claims(l)
				if d := cmp.Diff(want, access(l)); d != "" {
					t.Fatalf("%s until %v, round %d: in turn (-) and shuffled (+) differ:\n%s", name, until, round, d)
				}
			}
		}
	}
}

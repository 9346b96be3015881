package abuse_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/abuse"
)

func usual(t *testing.T) abuse.Policy {
	t.Helper()
	p, err := abuse.ParsePolicy("note=30,block_spending=60,refuse_consumables=80")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func points(a abuse.Assessment, code string) int {
	for _, r := range a.Reasons {
		if r.Code == code {
			return r.Points
		}
	}
	return 0
}

// buyer has bought so often, for 1000 KRW each.
func buyer(times int) abuse.History {
	h := abuse.History{}
	for range times {
		h = h.Granted(1000, "KRW")
	}
	return h
}

// quick is the refund of an order that was spent and refunded at once.
func quick(n int, days float64) abuse.Refund {
	r := spent(n, days)
	r.PurchasedAt = r.At.Add(-2 * time.Hour)
	return r
}

func refunding(h abuse.History, refunds ...abuse.Refund) abuse.History {
	for _, r := range refunds {
		h = h.Refunded(r)
	}
	return h
}

func TestTypicalCustomers(t *testing.T) {
	month := func(of func(int, float64) abuse.Refund, n int) (all []abuse.Refund) {
		for i := range n {
			all = append(all, of(i, float64(i*28)/float64(n)))
		}
		return all
	}
	monthly := func(n int) (all []abuse.Refund) {
		for i := range n {
			all = append(all, unspent(i, float64(i*31)))
		}
		return all
	}
	debt := map[string]int64{"gems": 80}
	tests := []struct {
		name     string
		history  abuse.History
		debt     map[string]int64
		score    int
		codes    []string
		measures []abuse.Measure
	}{
		{"never bought", abuse.History{}, nil, 0, nil, nil},
		{"honest", buyer(20), nil, 0, nil, nil},
		{"one of one, unspent", refunding(buyer(1), unspent(1, 0)), nil, 3, []string{"share_of_paid", "refunds"}, nil},
		{"one of one, and no sale is known", told(unspent(1, 0)), nil, 3, []string{"share_of_paid", "refunds"}, nil},
		{"whale, one of fifty", refunding(buyer(50), unspent(1, 0)), nil, 1, []string{"refunds"}, nil},
		{"whale, one of fifty, spent", refunding(buyer(50), spent(1, 0)), nil, 26, []string{"spent_before_refund", "refunds"}, nil},
		{"whale, one of fifty, a year ago", refunding(buyer(50), spent(1, 365)), nil, 0, nil, nil},
		{"one of five, spent, in debt", refunding(buyer(5), spent(1, 0)), debt, 38, []string{"spent_before_refund", "wallet_debt", "share_of_paid", "refunds"}, []abuse.Measure{abuse.Note}},
		{"two of five unspent within a month", refunding(buyer(5), month(unspent, 2)...), nil, 16, []string{"refunds", "refunds_in_a_month", "share_of_paid"}, nil},
		{"one a month for a year, of fifty, unspent", refunding(buyer(50), monthly(12)...), nil, 21, []string{"refunds", "share_of_paid"}, nil},
		{"ten of ten within a month, unspent", refunding(buyer(10), month(unspent, 10)...), nil, 86, []string{"refunds", "refunds_in_a_month", "share_of_paid"}, []abuse.Measure{abuse.Note, abuse.BlockSpending, abuse.RefuseConsumables}},
		{"spends first, twice", refunding(buyer(5), month(spent, 2)...), debt, 74, []string{"spent_before_refund", "wallet_debt", "refunds", "refunds_in_a_month", "share_of_paid"}, []abuse.Measure{abuse.Note, abuse.BlockSpending}},
		{"spends first, thrice, at once", refunding(buyer(5), month(quick, 3)...), debt, 100, []string{"spent_before_refund", "refunded_soon", "refunds_in_a_month", "refunds", "wallet_debt", "share_of_paid", "score_ends_at_hundred"}, []abuse.Measure{abuse.Note, abuse.BlockSpending, abuse.RefuseConsumables}},
		{"spent first, thrice, half a year ago, debt paid", refunding(buyer(15), spent(1, 180), spent(2, 185), spent(3, 190)), nil, 25, []string{"spent_before_refund", "refunds", "refunds_in_a_month", "share_of_paid"}, nil},
		{"in debt alone", buyer(5), debt, 10, []string{"wallet_debt"}, nil},
	}
	for _, c := range tests {
		got := c.history.Assess(usual(t), c.debt, now)
		var codes []string
		for _, r := range got.Reasons {
			codes = append(codes, r.Code)
		}
		if got.Score != c.score {
			t.Errorf("%s: got score %d, want %d: %+v", c.name, got.Score, c.score, got.Reasons)
		}
		same(t, c.name, codes, c.codes)
		same(t, c.name, got.Measures, append([]abuse.Measure{}, c.measures...))
	}
}

func TestEveryPointSaysWhereItComesFrom(t *testing.T) {
	h := refunding(buyer(4), unspent(1, 70), quick(2, 20), spent(3, 10))
	got := h.Assess(usual(t), map[string]int64{"gems": 80, "coins": 0, "gold": -3, "dust": 5}, now)
	same(t, "three refunds of four sales", got, abuse.Assessment{
		Score: 84,
		Reasons: []abuse.Reason{
			{Code: "spent_before_refund", Points: 46, Detail: "2 refunds came after what had been bought was spent, in part or all of it.", Orders: []string{"apple_2", "apple_3"}},
			{Code: "wallet_debt", Points: 10, Detail: "The wallet owes 5 dust, 80 gems."},
			{Code: "refunded_soon", Points: 9, Detail: "1 refund came within 48 hours of the purchase, of what was spent by then.", Orders: []string{"apple_2"}},
			{Code: "refunds", Points: 8, Detail: "3 refunds within a year, of which the older weigh less.", Orders: []string{"apple_1", "apple_2", "apple_3"}},
			{Code: "refunds_in_a_month", Points: 6, Detail: "2 refunds came within 30 days.", Orders: []string{"apple_2", "apple_3"}},
			{Code: "share_of_paid", Points: 5, Detail: "Of what was paid in KRW, 61 % came back, older refunds weighing less. So few refunds count as 24 %.", Orders: []string{"apple_1", "apple_2", "apple_3"}},
		},
		Measures: []abuse.Measure{abuse.Note, abuse.BlockSpending, abuse.RefuseConsumables},
	})
	for days, want := range map[float64]string{0: "One refund within a year; the first costs next to nothing.", 400: ""} {
		reasons := refunding(buyer(1000), unspent(1, days)).Assess(nil, nil, now).Reasons
		if len(reasons) == 0 != (want == "") || len(reasons) == 1 && reasons[0].Detail != want {
			t.Errorf("one %v days ago: got %+v, want %q", days, reasons, want)
		}
	}
	unknown := told(unspent(1, 0)).Assess(nil, nil, now).Reasons[0]
	same(t, "of no known sale", unknown.Detail, "Money in KRW came back, and no sale in it is known.")
	all := refunding(abuse.History{}, quick(1, 0), quick(2, 0), quick(3, 0), quick(4, 0)).Assess(nil, nil, now).Reasons
	same(t, "above the end", all[len(all)-1], abuse.Reason{Code: "score_ends_at_hundred", Points: -82, Detail: "No score is above 100."})
}

func TestOlderRefundsWeighLess(t *testing.T) {
	for days, want := range map[float64]int{-5: 26, 0: 26, 45: 20, 90: 14, 180: 6, 270: 3, 360: 2, 364.99: 2, 365: 0, 4000: 0} {
		h := refunding(buyer(1000), spent(1, days))
		if got := h.Assess(nil, nil, now).Score; got != want {
			t.Errorf("spent and refunded %v days ago: got %d, want %d", days, got, want)
		}
	}
}

func TestWhatWasSpentWeighsByItsShare(t *testing.T) {
	for units, want := range map[int64]int{-10: 0, 0: 0, 1: 0, 4: 1, 50: 13, 99: 25, 100: 25, 1000: 25} {
		r := spent(1, 0)
		r.Spent = units
		if got := points(told(r).Assess(nil, nil, now), abuse.CodeSpent); got != want {
			t.Errorf("%d of 100 spent: got %d points, want %d", units, got, want)
		}
	}
	r := spent(1, 0)
	r.Credited = 0
	if got := points(told(r).Assess(nil, nil, now), abuse.CodeSpent); got != 0 {
		t.Errorf("a sale that granted no units: got %d points, want none", got)
	}
}

func TestSoonAfterThePurchaseIsWithin48Hours(t *testing.T) {
	for _, c := range []struct {
		after time.Duration
		want  int
	}{{0, 10}, {-time.Second, 10}, {48 * time.Hour, 10}, {48*time.Hour + 1, 0}, {30 * day, 0}} {
		r := spent(1, 0)
		r.PurchasedAt = r.At.Add(-c.after)
		if got := points(told(r).Assess(nil, nil, now), abuse.CodeSoon); got != c.want {
			t.Errorf("spent and refunded %v after: got %d points, want %d", c.after, got, c.want)
		}
		r.Spent = 0
		if got := points(told(r).Assess(nil, nil, now), abuse.CodeSoon); got != 0 {
			t.Errorf("unspent and refunded %v after: got %d points, want none", c.after, got)
		}
	}
	r := spent(1, 0)
	r.PurchasedAt = time.Time{}
	if got := points(told(r).Assess(nil, nil, now), abuse.CodeSoon); got != 0 {
		t.Errorf("bought nobody knows when: got %d points, want none", got)
	}
}

func TestRefundsCloseTogetherWeighMore(t *testing.T) {
	for _, c := range []struct {
		name string
		days []float64
		want int
	}{
		{"one", []float64{0}, 0},
		{"two within a month", []float64{0, 29.9}, 6},
		{"two a month apart", []float64{0, 30}, 0},
		{"three on a day", []float64{0, 0, 0}, 12},
		{"five", []float64{0, 1, 2, 3, 4}, 24},
		{"a run ends at five", []float64{0, 1, 2, 3, 4, 5, 6, 7}, 24},
		{"a run of a quarter ago", []float64{90, 91, 92, 93, 94}, 12},
		{"an old run beside a new one", []float64{0, 10, 90, 91, 92, 93, 94}, 12},
		{"a new run beside an old one", []float64{0, 10, 20, 180, 181, 182}, 12},
	} {
		h := abuse.History{}
		for n, days := range c.days {
			h = h.Refunded(unspent(n, days))
		}
		if got := points(h.Assess(nil, nil, now), abuse.CodeBurst); got != c.want {
			t.Errorf("%s: got %d points, want %d", c.name, got, c.want)
		}
	}
	h := told(unspent(1, 0), unspent(2, 10), unspent(3, 20), unspent(4, 180), unspent(5, 181))
	for _, r := range h.Assess(nil, nil, now).Reasons {
		if r.Code == abuse.CodeBurst {
			same(t, "the orders of the run", r.Orders, []string{"apple_3", "apple_2", "apple_1"})
		}
	}
}

func TestTheShareOfWhatWasPaidIsByCurrency(t *testing.T) {
	ten := func(currency string, amount int64) (all []abuse.Refund) {
		for n := range 10 {
			r := unspent(n, 0)
			r.OrderID, r.Amount, r.Currency = currency+r.OrderID, amount, currency
			all = append(all, r)
		}
		return all
	}
	unknown := ten("KRW", 0)
	twenty := ten("KRW", 5000)
	for n := range 10 {
		twenty = append(twenty, unspent(100+n, 0))
	}
	for _, c := range []struct {
		name string
		h    abuse.History
		want int
	}{
		{"ten of ten", refunding(buyer(10), ten("KRW", 1000)...), 20},
		{"ten of forty", refunding(buyer(40), ten("KRW", 1000)...), 5},
		{"ten halves of ten", refunding(buyer(10), ten("KRW", 500)...), 10},
		{"more than was paid", refunding(buyer(10), ten("KRW", 5000)...), 20},
		{"far more than was paid", refunding(buyer(10), twenty...), 20},
		{"all of the dollars, beside a lot of won", refunding(buyer(1000).Granted(50, "USD"), ten("USD", 5)...), 20},
		{"the dollars and the won are not added up", refunding(refunding(buyer(20).Granted(10_000, "USD"), ten("USD", 500)...), ten("KRW", 1000)...), 10},
		{"of unknown amounts", refunding(buyer(10), unknown...), 0},
		{"one of one is a tenth at most", refunding(buyer(1), unspent(1, 0)), 2},
		{"five of five are a half at most", refunding(buyer(5), ten("KRW", 1000)[:5]...), 10},
	} {
		if got := points(c.h.Assess(nil, nil, now), abuse.CodeShare); got != c.want {
			t.Errorf("%s: got %d points, want %d", c.name, got, c.want)
		}
	}
}

func TestADebtCountsAsLongAsItStands(t *testing.T) {
	h := refunding(buyer(5), spent(1, 400))
	for _, c := range []struct {
		debt map[string]int64
		want int
	}{{nil, 0}, {map[string]int64{"gems": 0, "gold": -9}, 0}, {map[string]int64{"gems": 1}, 10}, {map[string]int64{"gems": 1, "gold": 1 << 62}, 10}} {
		if got := h.Assess(nil, c.debt, now).Score; got != c.want {
			t.Errorf("owes %v: got %d, want %d", c.debt, got, c.want)
		}
	}
	many := map[string]int64{}
	for n := range 1000 {
		many[strings.Repeat("x", n%7+1)+string(rune('a'+n%26))+string(rune('a'+n/26))] = 1
	}
	if got := h.Assess(nil, many, now).Reasons[0].Detail; len(got) > 400 || !strings.HasSuffix(got, " and more.") {
		t.Errorf("got %q, want it short", got)
	}
}

func TestMeasuresBeginAtTheirScore(t *testing.T) {
	h := refunding(buyer(1000), spent(1, 0)) // 26
	for _, c := range []struct {
		policy abuse.Policy
		want   []abuse.Measure
	}{
		{nil, []abuse.Measure{}},
		{abuse.Policy{abuse.Note: 27}, []abuse.Measure{}},
		{abuse.Policy{abuse.Note: 26}, []abuse.Measure{abuse.Note}},
		{abuse.Policy{abuse.Note: 0, abuse.BlockSpending: -1, abuse.RefuseConsumables: 26}, []abuse.Measure{abuse.RefuseConsumables}},
		{abuse.Policy{abuse.RefuseConsumables: 1, abuse.BlockSpending: 1, abuse.Note: 1, "ban": 1}, []abuse.Measure{abuse.Note, abuse.BlockSpending, abuse.RefuseConsumables}},
	} {
		got := h.Assess(c.policy, nil, now)
		if diff := cmp.Diff(c.want, got.Measures); diff != "" {
			t.Errorf("%v at %d: -want +got\n%s", c.policy, got.Score, diff)
		}
	}
	zero := abuse.History{}.Assess(abuse.Policy{abuse.Note: 0}, nil, now)
	if len(zero.Measures) != 0 {
		t.Errorf("a blank sheet and a measure at 0: got %v, want none", zero.Measures)
	}
	same(t, "a blank sheet as it is told", text(t, zero), `{"score":0,"reasons":[],"measures":[]}`)
}

func TestMoneyThatIsForgottenStillCameBack(t *testing.T) {
	great := unspent(1000, 10)
	great.Amount = 500_000
	h := buyer(1000).Refunded(great)
	for n := range abuse.MostRefunds - 1 {
		h = h.Refunded(unspent(n, 1))
	}
	before := points(h.Assess(nil, nil, now), abuse.CodeShare)
	h = h.Refunded(unspent(1001, 0))
	if kept(h, great.OrderID) {
		t.Fatal("the oldest is still kept")
	}
	if got := points(h.Assess(nil, nil, now), abuse.CodeShare); before != 10 || got != 10 {
		t.Errorf("half of the money came back: got %d points before and %d after it is forgotten, want 10", before, got)
	}
	other := unspent(1002, 1)
	other.Currency = "USD"
	if got := points(h.Granted(1000, "USD").Refunded(other).Assess(nil, nil, now), abuse.CodeShare); got != 19 && got != 20 {
		t.Errorf("all of another currency's: got %d points, want that share", got)
	}
}

func TestOnlyMoreThanFiftyInAYearAreTouchedByWhatIsForgotten(t *testing.T) {
	patient, hasty := buyer(1000), buyer(1000)
	for n := range 60 {
		patient = patient.Refunded(unspent(n, float64(60-n)*40))
		hasty = hasty.Refunded(unspent(n, float64(60-n)))
	}
	kept := buyer(1000)
	for n := range abuse.MostRefunds {
		kept = kept.Refunded(unspent(n, float64(abuse.MostRefunds-n)*40))
	}
	if got, want := patient.Assess(nil, nil, now), kept.Assess(nil, nil, now); got.Score != want.Score {
		t.Errorf("one each forty days: got %d, want %d as without what was forgotten", got.Score, want.Score)
	}
	got := hasty.Assess(nil, nil, now)
	if points(got, abuse.CodeSpent) == 0 || got.Score != 100 {
		t.Errorf("one a day: got %+v, want what was forgotten at its worst", got)
	}
	for _, r := range got.Reasons {
		if slices.Contains(r.Orders, "") {
			t.Errorf("%s: got an order without a name", r.Code)
		}
	}
}

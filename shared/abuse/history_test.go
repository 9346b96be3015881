package abuse_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/abuse"
	"grantline/shared/fault"
)

const day = 24 * time.Hour

var now = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// unspent is the refund of a sale of 1000 KRW told days ago, of which all units were left.
func unspent(n int, days float64) abuse.Refund {
	at := now.Add(-time.Duration(days * float64(day)))
	return abuse.Refund{
		OrderID: fmt.Sprintf("apple_%d", n), At: at, PurchasedAt: at.Add(-10 * day),
		Amount: 1000, Currency: "KRW", Credited: 100, Consumable: true,
	}
}

// spent is one of which none was left.
func spent(n int, days float64) abuse.Refund {
	r := unspent(n, days)
	r.Spent = r.Credited
	return r
}

func told(refunds ...abuse.Refund) abuse.History {
	h := abuse.History{}
	for _, r := range refunds {
		h = h.Refunded(r)
	}
	return h
}

func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s: -want +got\n%s", what, diff)
	}
}

func TestASaleWithMoneyIsCounted(t *testing.T) {
	h := abuse.History{}.Granted(1000, "KRW").Granted(500, "USD").Granted(200, "KRW").Granted(0, "KRW").Granted(-5, "KRW")
	same(t, "after three sales", h, abuse.History{Purchases: 3, Paid: map[string]int64{"KRW": 1200, "USD": 500}})
	same(t, "in no known currency", abuse.History{}.Granted(7, ""), abuse.History{Purchases: 1})
}

func TestAnOrderIsOneRefundHoweverOftenItIsTold(t *testing.T) {
	r := spent(1, 3)
	same(t, "told thrice", told(r, r, r), abuse.History{Count: 1, Returned: map[string]int64{"KRW": 1000}, Refunds: []abuse.Refund{r}})

	again := r
	again.At = now
	same(t, "told again later", told(r, again), told(r))
	same(t, "told again earlier", told(again, r), told(r))
}

func TestAPartialRefundThatGrowsCountsTheDifference(t *testing.T) {
	first, second := unspent(1, 3), spent(1, 1)
	first.Amount = 300
	first.PurchasedAt = time.Time{}
	want := second
	want.At = first.At // one refund, as old as its first part
	h := abuse.History{Count: 1, Returned: map[string]int64{"KRW": 1000}, Refunds: []abuse.Refund{want}}
	same(t, "300 and then 1000", told(first, second), h)
	same(t, "1000 and then, late, 300", told(second, first), h)

	undated := first
	undated.At = time.Time{}
	same(t, "nobody knows when, and then when", told(undated, first), told(first))
	same(t, "when, and then nobody knows when", told(first, undated), told(first))
	dollars := first
	dollars.Currency = "USD"
	same(t, "in two currencies", told(first, dollars), told(dollars, first))
	same(t, "joined in two currencies", told(first).Join(told(dollars)), told(dollars).Join(told(first)))

	unknown := abuse.Refund{OrderID: first.OrderID, At: first.At}
	same(t, "an unknown amount after a known one", told(first, unknown).Returned, map[string]int64{"KRW": 300})
	same(t, "a known amount after an unknown one", told(unknown, first).Returned, map[string]int64{"KRW": 300})
	nowhere := first
	nowhere.Amount, nowhere.Currency = 1_000_000, ""
	same(t, "more, but of no currency", told(first, nowhere).Returned, map[string]int64{"KRW": 300})
}

func TestWhatWasSpentIsNotUnspentByBeingToldAgain(t *testing.T) {
	worst, better := spent(1, 3), unspent(1, 3)
	same(t, "then unspent", told(worst, better), told(worst))
	same(t, "first unspent", told(better, worst), told(worst))
	better.Consumable = false
	if got := told(better, worst).Refunds[0]; !got.Consumable {
		t.Errorf("got %+v, want it a consumable", got)
	}
}

func TestARefundWithoutAnOrderIsNobodys(t *testing.T) {
	same(t, "without an order", told(abuse.Refund{Amount: 5, Currency: "KRW", At: now}), abuse.History{})
	same(t, "and it is undone by nothing", told(spent(1, 0)).Restored("", 1000, "KRW"), told(spent(1, 0)))
}

func TestAnAmountThatCannotBeIsUnknown(t *testing.T) {
	r := unspent(1, 0)
	r.Amount = -5
	h := told(r)
	if h.Count != 1 || h.Returned != nil || h.Refunds[0].Amount != 0 {
		t.Errorf("got %+v, want one refund of an unknown amount", h)
	}
}

func TestARefundThatWasUndoneLeavesNoTrace(t *testing.T) {
	before := told(spent(1, 5), unspent(2, 4)).Granted(10, "KRW")
	partial := unspent(3, 4.5)
	partial.Amount = 30
	for name, h := range map[string]abuse.History{
		"all of it":                   before.Refunded(spent(3, 1)).Restored("apple_3", 1000, "KRW"),
		"a part, and all is restored": before.Refunded(partial).Restored("apple_3", 1000, "KRW"),
		"all, and a part is restored": before.Refunded(spent(3, 1)).Restored("apple_3", 30, "KRW"),
		"of an unknown amount":        before.Refunded(abuse.Refund{OrderID: "apple_3", At: now}).Restored("apple_3", 1000, "KRW"),
		"twice":                       before.Refunded(partial).Restored("apple_3", 30, "KRW").Restored("apple_3", 30, "KRW"),
		"of what nobody refunded":     before.Restored("apple_4", 1000, "KRW"),
	} {
		same(t, name, h, before)
	}
	same(t, "the only one", told(spent(1, 0)).Restored("apple_1", 1000, "KRW"), abuse.History{})
}

func TestWhatIsForgottenStillCountsAndCanBeUndone(t *testing.T) {
	h := abuse.History{}
	for n := range abuse.MostRefunds + 2 {
		h = h.Refunded(unspent(n, float64(100-n)))
	}
	if h.Count != 52 || len(h.Refunds) != abuse.MostRefunds || h.Returned["KRW"] != 52_000 {
		t.Fatalf("got %d refunds, %d of them kept, %v returned; want 52, 50, 52000", h.Count, len(h.Refunds), h.Returned)
	}
	if got, want := h.Refunds[0].OrderID, "apple_2"; got != want || !h.ForgottenAt.Equal(unspent(1, 99).At) {
		t.Errorf("got %s as the oldest that is kept and %v, want %s and the time of the one before", got, h.ForgottenAt, want)
	}
	same(t, "nobody's is undone", h.Restored("", 1000, "KRW"), h)
	fewer := h.Restored("apple_7", 1000, "KRW")
	if fewer.Count != 51 || len(fewer.Refunds) != 49 || fewer.Returned["KRW"] != 51_000 || !fewer.ForgottenAt.Equal(h.ForgottenAt) {
		t.Errorf("one that is kept undone: got %d refunds, %d kept, %v returned; want 51, 49, 51000", fewer.Count, len(fewer.Refunds), fewer.Returned)
	}
	h = h.Restored("apple_0", 1000, "KRW")
	if h.Count != 51 || h.Returned["KRW"] != 51_000 || len(h.Refunds) != abuse.MostRefunds || h.ForgottenAt.IsZero() {
		t.Errorf("one undone: got %d refunds, %v returned, %v; want 51, 51000", h.Count, h.Returned, h.ForgottenAt)
	}
	h = h.Restored("apple_1", 99_000, "KRW") // more than what is forgotten can have been
	if h.Count != 50 || h.Returned["KRW"] != 50_000 || !h.ForgottenAt.IsZero() {
		t.Errorf("both undone: got %d refunds, %v returned, %v; want 50, 50000, never", h.Count, h.Returned, h.ForgottenAt)
	}
	same(t, "nothing is left that was forgotten", h.Restored("apple_1", 1000, "KRW"), h)
}

func TestAnOverrideNeedsAReasonAndSomebody(t *testing.T) {
	good := abuse.Override{Measures: []abuse.Measure{abuse.BlockSpending, abuse.Note, abuse.Note}, Reason: " gift cards ", By: " kim ", At: now}
	h, err := told(spent(1, 0)).Override(good)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "what is kept", h.Overrides, []abuse.Override{{Measures: []abuse.Measure{abuse.Note, abuse.BlockSpending}, Reason: "gift cards", By: "kim", At: now}})

	for name, change := range map[string]func(*abuse.Override){
		"no reason":         func(o *abuse.Override) { o.Reason = "" },
		"a blank reason":    func(o *abuse.Override) { o.Reason = " \n" },
		"a long reason":     func(o *abuse.Override) { o.Reason = strings.Repeat("가", abuse.LongestReason+1) },
		"a broken reason":   func(o *abuse.Override) { o.Reason = "\xff" },
		"nobody":            func(o *abuse.Override) { o.By = " " },
		"a long name":       func(o *abuse.Override) { o.By = strings.Repeat("x", abuse.LongestBy+1) },
		"a measure unknown": func(o *abuse.Override) { o.Measures = []abuse.Measure{"ban"} },
	} {
		bad := good
		change(&bad)
		got, err := h.Override(bad)
		if !errors.Is(err, fault.Invalid) || fault.Code(err) != "override_invalid" {
			t.Errorf("%s: got error %v, want override_invalid", name, err)
		}
		same(t, name, got, h)
	}
	longest := good
	longest.Reason, longest.By = strings.Repeat("가", abuse.LongestReason), strings.Repeat("x", abuse.LongestBy)
	if _, err := h.Override(longest); err != nil {
		t.Errorf("the longest words: got error %v, want none", err)
	}
}

func TestAPersonsWordStandsAboveTheScore(t *testing.T) {
	policy := abuse.Policy{abuse.Note: 30, abuse.BlockSpending: 60, abuse.RefuseConsumables: 80}
	all := []abuse.Measure{abuse.Note, abuse.BlockSpending, abuse.RefuseConsumables}
	bad, good := told(spent(1, 0), spent(2, 0), spent(3, 0)), abuse.History{}
	forgiven, err := bad.Override(abuse.Override{Reason: "a child's purchases", By: "kim", At: now})
	if err != nil {
		t.Fatal(err)
	}
	stopped, err := good.Override(abuse.Override{Measures: all, Reason: "sells accounts", By: "lee", At: now})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name     string
		history  abuse.History
		measures []abuse.Measure
		override string
	}{
		{"the score of a bad one", bad, all, ""},
		{"forgiven", forgiven, []abuse.Measure{}, "a child's purchases"},
		{"forgiven, and refunds again", forgiven.Refunded(spent(4, 0)), []abuse.Measure{}, "a child's purchases"},
		{"no longer forgiven", forgiven.Lift(), all, ""},
		{"no longer forgiven, said twice", forgiven.Lift().Lift(), all, ""},
		{"stopped", stopped, all, "sells accounts"},
		{"no longer stopped", stopped.Lift(), []abuse.Measure{}, ""},
		{"nothing to lift", good.Lift(), []abuse.Measure{}, ""},
	} {
		got := c.history.Assess(policy, nil, now)
		same(t, c.name, got.Measures, c.measures)
		if c.override == "" && got.Override != nil || c.override != "" && (got.Override == nil || got.Override.Reason != c.override) {
			t.Errorf("%s: got override %+v, want %q", c.name, got.Override, c.override)
		}
	}
	if got, want := forgiven.Assess(policy, nil, now).Score, bad.Assess(policy, nil, now).Score; got != want {
		t.Errorf("forgiven: got score %d, want it to be told all the same, %d", got, want)
	}
	same(t, "lifting what nobody said", bad.Lift(), bad)
	same(t, "a lifted word is kept", forgiven.Lift().Overrides, forgiven.Overrides)
	again, err := forgiven.Lift().Override(abuse.Override{Measures: []abuse.Measure{abuse.Note}, Reason: "watched", By: "kim", At: now})
	if err != nil {
		t.Fatal(err)
	}
	same(t, "a word after a lifted one is in force", again.Assess(policy, nil, now).Measures, []abuse.Measure{abuse.Note})
}

func TestTheLatestWordsAreKept(t *testing.T) {
	h := abuse.History{}
	for n := range abuse.MostOverrides + 3 {
		var err error
		if h, err = h.Override(abuse.Override{Reason: fmt.Sprint("word ", n), By: "kim", At: now.Add(time.Duration(n))}); err != nil {
			t.Fatal(err)
		}
	}
	if len(h.Overrides) != abuse.MostOverrides || h.Overrides[0].Reason != "word 3" || h.Assess(nil, nil, now).Override.Reason != "word 22" {
		t.Errorf("got %d overrides from %+v on, want the latest %d", len(h.Overrides), h.Overrides[0], abuse.MostOverrides)
	}
}

func TestMeasuresAreInForceAsWritten(t *testing.T) {
	h := told(spent(1, 0), spent(2, 0), spent(3, 0))
	if h.InForce(abuse.BlockSpending) {
		t.Error("nothing was written, and spending is blocked")
	}
	h.Measures = []abuse.Measure{abuse.BlockSpending}
	h = h.Granted(1, "KRW").Refunded(unspent(4, 0)).Restored("apple_1", 1, "KRW").Lift()
	if !h.InForce(abuse.BlockSpending) || h.InForce(abuse.Note) || h.InForce(abuse.RefuseConsumables) {
		t.Errorf("got %v in force, want what was written", h.Measures)
	}
}

func TestNoHistorySharesWhatAnotherHolds(t *testing.T) {
	h := told(spent(1, 9), unspent(2, 8)).Granted(1000, "KRW")
	h.Measures = []abuse.Measure{abuse.Note}
	h, err := h.Override(abuse.Override{Measures: []abuse.Measure{abuse.Note}, Reason: "watched", By: "kim", At: now})
	if err != nil {
		t.Fatal(err)
	}
	before := text(t, h)
	other := told(spent(1, 9), spent(7, 7))
	for name, act := range map[string]func() abuse.History{
		"granted":         func() abuse.History { return h.Granted(5, "KRW") },
		"granted nothing": func() abuse.History { return h.Granted(0, "KRW") },
		"refunded":        func() abuse.History { return h.Refunded(spent(3, 0)) },
		"refunded early":  func() abuse.History { return h.Refunded(spent(3, 20)) },
		"refunded again":  func() abuse.History { return h.Refunded(spent(2, 0)) },
		"refunded nobody": func() abuse.History { return h.Refunded(abuse.Refund{}) },
		"restored":        func() abuse.History { return h.Restored("apple_1", 1000, "KRW") },
		"restored none":   func() abuse.History { return h.Restored("apple_9", 1000, "KRW") },
		"lifted":          func() abuse.History { return h.Lift() },
		"joined":          func() abuse.History { return h.Join(other) },
		"joined to":       func() abuse.History { return other.Join(h) },
		"overridden": func() abuse.History {
			o, err := h.Override(abuse.Override{Reason: "fine", By: "kim", At: now})
			if err != nil {
				t.Fatal(err)
			}
			return o
		},
	} {
		got := act()
		for i := range got.Refunds {
			got.Refunds[i] = abuse.Refund{OrderID: "spoilt"}
		}
		for i := range got.Overrides {
			for j := range got.Overrides[i].Measures {
				got.Overrides[i].Measures[j] = "spoilt"
			}
			got.Overrides[i].Reason = "spoilt"
		}
		for i := range got.Measures {
			got.Measures[i] = "spoilt"
		}
		for _, m := range []map[string]int64{got.Paid, got.Returned} {
			for c := range m {
				m[c] = -1
			}
		}
		same(t, name, text(t, h), before)
	}
	a := h.Assess(nil, nil, now)
	a.Override.Measures[0], a.Override.Reason = "spoilt", "spoilt"
	same(t, "the measures beside the override", a.Measures, []abuse.Measure{abuse.Note})
	a.Measures[0] = "spoilt"
	same(t, "assessed", text(t, h), before)
}

func text(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestNumbersEndWhereTheyEnd(t *testing.T) {
	h := abuse.History{Purchases: math.MaxInt}.Granted(math.MaxInt64, "KRW").Granted(math.MaxInt64, "KRW")
	if h.Purchases != math.MaxInt || h.Paid["KRW"] != math.MaxInt64 {
		t.Errorf("got %+v, want the greatest numbers", h)
	}
	huge := spent(1, 0)
	huge.Amount, huge.Credited, huge.Spent = math.MaxInt64, math.MaxInt64, math.MaxInt64
	h = h.Refunded(huge)
	huge.OrderID = "apple_2"
	h = h.Refunded(huge)
	if h.Returned["KRW"] != math.MaxInt64 {
		t.Errorf("got %v returned, want the greatest number", h.Returned)
	}
	both := h.Join(abuse.History{Purchases: 1, Paid: map[string]int64{"KRW": 1}, Count: math.MaxInt, Returned: map[string]int64{"KRW": 1}})
	if both.Purchases != math.MaxInt || both.Count != math.MaxInt || both.Paid["KRW"] != math.MaxInt64 || both.Returned["KRW"] != math.MaxInt64 {
		t.Errorf("joined: got %+v, want the greatest numbers", both)
	}
	if got := (abuse.History{Count: math.MaxInt}).Refunded(spent(1, 0)).Count; got != math.MaxInt {
		t.Errorf("got %d refunds, want the greatest number", got)
	}
	for _, h := range []abuse.History{h, both} {
		if got := h.Assess(nil, map[string]int64{"gems": math.MaxInt64}, now).Score; got < 60 || got > 100 {
			t.Errorf("got score %d, want one for two that were spent", got)
		}
	}
	half := told(abuse.Refund{OrderID: "a", At: now, Credited: math.MaxInt64, Spent: math.MaxInt64/2 + 1})
	if got := points(half.Assess(nil, nil, now), abuse.CodeSpent); got != 12 && got != 13 {
		t.Errorf("half of the greatest number spent: got %d points, want half of 25", got)
	}
}

func TestCurrenciesAreBounded(t *testing.T) {
	h, o := abuse.History{}, abuse.History{}
	for n := range 2 * abuse.MostCurrencies {
		r := unspent(n, 1)
		r.Currency = fmt.Sprintf("X%02d", n)
		h = h.Granted(1000, r.Currency).Refunded(r)
		r.OrderID, r.Currency = "other_"+r.OrderID, fmt.Sprintf("Y%02d", n)
		o = o.Granted(1000, r.Currency).Refunded(r)
	}
	for name, h := range map[string]abuse.History{"one": h, "joined": h.Join(o), "joined the other way": o.Join(h)} {
		if len(h.Paid) != abuse.MostCurrencies || len(h.Returned) != abuse.MostCurrencies {
			t.Errorf("%s: got %d and %d currencies, want %d", name, len(h.Paid), len(h.Returned), abuse.MostCurrencies)
		}
	}
	if h.Purchases != 2*abuse.MostCurrencies || h.Count != 2*abuse.MostCurrencies {
		t.Errorf("got %d sales and %d refunds, want all of them", h.Purchases, h.Count)
	}
	if got := h.Granted(5, "X00").Paid["X00"]; got != 1005 {
		t.Errorf("a known currency: got %d, want 1005", got)
	}
}

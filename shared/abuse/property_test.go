package abuse_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/abuse"
)

// dice make customers of every conduct, the same ones each time.
type dice struct{ *rand.Rand }

func roll(seed uint64) dice { return dice{rand.New(rand.NewPCG(seed, 17))} }

// refund is of one of a hundred orders; an order is always of the same sale.
func (d dice) refund(order int) abuse.Refund {
	at := now.Add(-time.Duration(d.Int64N(int64(420*day))) + day)
	if d.IntN(4) == 0 {
		at = now.Add(-time.Duration(d.IntN(40)) * day)
	}
	r := abuse.Refund{OrderID: fmt.Sprintf("order_%d", order), At: at, Consumable: d.IntN(2) == 0}
	if order%7 != 0 {
		r.Currency = []string{"KRW", "USD"}[order%2]
		r.Amount = d.Int64N(5000)
	}
	if order%3 != 0 {
		r.Credited = int64(10 + 90*(order%2))
		r.Spent = d.Int64N(r.Credited + 1)
	}
	if d.IntN(3) != 0 {
		r.PurchasedAt = at.Add(-time.Duration(d.Int64N(int64(4 * day))))
	}
	return r
}

// history of up to most refunds.
func (d dice) history(most int) abuse.History {
	h := abuse.History{}
	for range d.IntN(20) {
		h = h.Granted(d.Int64N(10_000), []string{"KRW", "USD", "JPY"}[d.IntN(3)])
	}
	for range d.IntN(most + 1) {
		h = h.Refunded(d.refund(d.IntN(100)))
	}
	return h
}

func (d dice) words(h abuse.History) abuse.History {
	for range d.IntN(4) {
		h, _ = h.Override(abuse.Override{
			Measures: []abuse.Measure{abuse.Note, abuse.BlockSpending, abuse.RefuseConsumables}[:d.IntN(4)],
			Reason:   fmt.Sprint("word ", d.IntN(3)), By: []string{"kim", "lee"}[d.IntN(2)], At: now.Add(-time.Duration(d.IntN(3)) * day),
		})
		if d.IntN(3) == 0 {
			h = h.Lift()
		}
	}
	return h
}

func (d dice) debt() map[string]int64 {
	if d.IntN(2) == 0 {
		return nil
	}
	return map[string]int64{"gems": d.Int64N(100), "gold": d.Int64N(3) - 1}
}

func kept(h abuse.History, orderID string) bool {
	return slices.ContainsFunc(h.Refunds, func(r abuse.Refund) bool { return r.OrderID == orderID })
}

const rolls = 600

func TestOneMoreRefundNeverLowersTheScore(t *testing.T) {
	for seed := range uint64(rolls) {
		d := roll(seed)
		h, debt := d.history([]int{3, 10, 150}[seed%3]), d.debt()
		before := h.Assess(nil, debt, now)
		r := d.refund(d.IntN(200))
		for _, known := range h.Refunds { // what is told again is told later
			if known.OrderID == r.OrderID && r.At.Before(known.At) {
				r.At = known.At.Add(day)
			}
		}
		after := h.Refunded(r).Assess(nil, debt, now)
		if after.Score < before.Score || sum(after, true) < sum(before, true) {
			t.Fatalf("seed %d: %+v more: got %+v, want no less than %+v", seed, r, after, before)
		}
	}
}

func TestARefundThatIsUndoneNeverRaisesTheScore(t *testing.T) {
	for seed := range uint64(rolls) {
		d := roll(seed)
		h, debt := d.history([]int{3, 10, 150}[seed%3]), d.debt()
		before := h.Assess(nil, debt, now)
		order := fmt.Sprintf("order_%d", d.IntN(100))
		if len(h.Refunds) > 0 && d.IntN(2) == 0 {
			order = h.Refunds[d.IntN(len(h.Refunds))].OrderID
		}
		after := h.Restored(order, d.Int64N(9000), []string{"KRW", "USD"}[d.IntN(2)]).Assess(nil, debt, now)
		if after.Score > before.Score || sum(after, true) > sum(before, true) {
			t.Fatalf("seed %d: %s undone: got %+v, want no more than %+v", seed, order, after, before)
		}
	}
}

func TestTimeAndSalesNeverRaiseTheScore(t *testing.T) {
	for seed := range uint64(rolls) {
		d := roll(seed)
		h, debt := d.history([]int{3, 10, 150}[seed%3]), d.debt()
		before := h.Assess(nil, debt, now)
		if after := h.Assess(nil, debt, now.Add(time.Duration(d.Int64N(int64(200*day))))); sum(after, true) > sum(before, true) {
			t.Fatalf("seed %d: later: got %+v, want no more than %+v", seed, after, before)
		}
		if after := h.Granted(d.Int64N(10_000), "KRW").Assess(nil, debt, now); sum(after, true) > sum(before, true) {
			t.Fatalf("seed %d: one more sale: got %+v, want no more than %+v", seed, after, before)
		}
		if after := h.Assess(nil, map[string]int64{"gems": 1}, now); sum(after, true) < sum(before, true) {
			t.Fatalf("seed %d: in debt: got %+v, want no less than %+v", seed, after, before)
		}
	}
}

// sum of the points, with or without what is above the end of the score.
func sum(a abuse.Assessment, above bool) (points int) {
	for _, r := range a.Reasons {
		if !above || r.Code != abuse.CodeCap {
			points += r.Points
		}
	}
	return points
}

func TestThePointsAddUpToTheScore(t *testing.T) {
	capped := 0
	for seed := range uint64(rolls) {
		d := roll(seed)
		h, debt := d.words(d.history([]int{1, 10, 150}[seed%3])), d.debt()
		policy := abuse.Policy{abuse.Note: 1 + d.IntN(100), abuse.RefuseConsumables: 1 + d.IntN(100)}
		a := h.Assess(policy, debt, now)
		if a.Score < 0 || a.Score > 100 || sum(a, false) != a.Score {
			t.Fatalf("seed %d: got score %d of points %d: %+v", seed, a.Score, sum(a, false), a.Reasons)
		}
		for i, r := range a.Reasons {
			if r.Code == "" || r.Detail == "" || (r.Points <= 0) != (r.Code == abuse.CodeCap) || i > 0 && r.Points > a.Reasons[i-1].Points {
				t.Fatalf("seed %d: got reason %+v after %+v", seed, r, a.Reasons[:i])
			}
			for _, id := range r.Orders {
				if !kept(h, id) {
					t.Fatalf("seed %d: %s names %q, which is none of the refunds", seed, r.Code, id)
				}
			}
			if r.Code == abuse.CodeCap {
				capped++
			}
		}
		var stored abuse.History
		if err := json.Unmarshal([]byte(text(t, h)), &stored); err != nil {
			t.Fatal(err)
		}
		if b := stored.Assess(policy, debt, now); !reflect.DeepEqual(a, b) && text(t, a) != text(t, b) {
			t.Fatalf("seed %d: got %+v of what was stored, want %+v", seed, b, a)
		}
	}
	if capped == 0 {
		t.Error("no score was above its end: the customers are too good for this test")
	}
}

func TestTheOrderOfTellingMakesNoDifference(t *testing.T) {
	for seed := range uint64(rolls / 3) {
		d := roll(seed)
		var all []abuse.Refund
		if seed%2 == 0 { // more than are kept, each told once
			for order := range 70 {
				all = append(all, d.refund(order))
			}
		} else { // no more than are kept, some of them told several times
			for range 60 {
				all = append(all, d.refund(d.IntN(abuse.MostRefunds)))
			}
		}
		want := told(all...).Granted(1000, "KRW")
		d.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		got := refunding(abuse.History{}.Granted(1000, "KRW"), all...)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("seed %d: -want +got\n%s", seed, diff)
		}
	}
}

func TestToldAndUndoneIsAsNeverTold(t *testing.T) {
	for seed := range uint64(rolls / 3) {
		d := roll(seed)
		h := d.history(40)
		r := d.refund(100 + d.IntN(100))
		got := h.Refunded(r).Restored(r.OrderID, d.Int64N(9000), r.Currency)
		if diff := cmp.Diff(h, got); diff != "" {
			t.Fatalf("seed %d: -want +got\n%s", seed, diff)
		}
	}
}

func TestJoiningIsTheSameEitherWay(t *testing.T) {
	for seed := range uint64(rolls) {
		d := roll(seed)
		most := []int{3, 10, 150}[seed%3]
		a, b := d.words(d.history(most)), d.words(d.history(most))
		a.Measures, b.Measures = []abuse.Measure{abuse.RefuseConsumables, abuse.Note}[:d.IntN(3)], []abuse.Measure{abuse.BlockSpending}[:d.IntN(2)]
		ab, ba := a.Join(b), b.Join(a)
		if diff := cmp.Diff(ab, ba); diff != "" {
			t.Fatalf("seed %d: -one way +other way\n%s", seed, diff)
		}
		policy, debt := abuse.Policy{abuse.Note: 20, abuse.BlockSpending: 50}, d.debt()
		if diff := cmp.Diff(ab.Assess(policy, debt, now), ba.Assess(policy, debt, now)); diff != "" {
			t.Fatalf("seed %d: -one way +other way\n%s", seed, diff)
		}
		for _, h := range []abuse.History{a, b} {
			for _, m := range h.Measures {
				if !ab.InForce(m) {
					t.Fatalf("seed %d: %s was in force and is not any more", seed, m)
				}
			}
		}
	}
}

func TestJoiningTwoHalvesIsTheWhole(t *testing.T) {
	for seed := range uint64(rolls / 3) {
		d := roll(seed)
		var a, b, whole abuse.History
		for range d.IntN(100) {
			switch order := d.IntN(70); d.IntN(3) {
			case 0: // both may know an order, while neither has forgotten one
				r := d.refund(order % abuse.MostRefunds)
				whole = whole.Refunded(r)
				if d.IntN(2) == 0 {
					a = a.Refunded(r)
				} else {
					b = b.Refunded(r)
				}
			case 1:
				a, whole = a.Granted(int64(order), "KRW"), whole.Granted(int64(order), "KRW")
			case 2:
				b, whole = b.Granted(int64(order), "USD"), whole.Granted(int64(order), "USD")
			}
		}
		if diff := cmp.Diff(whole, a.Join(b)); diff != "" {
			t.Fatalf("seed %d: -want +got\n%s", seed, diff)
		}
		if diff := cmp.Diff(whole, whole.Join(abuse.History{})); diff != "" {
			t.Fatalf("seed %d: with a blank sheet: -want +got\n%s", seed, diff)
		}
	}
}

func TestJoiningMoreThanIsKeptForgetsTheOldest(t *testing.T) {
	var a, b, whole abuse.History
	for n := range 80 {
		r := spent(n, float64(n))
		whole = whole.Refunded(r)
		if n%2 == 0 {
			a = a.Refunded(r)
		} else {
			b = b.Refunded(r)
		}
	}
	same(t, "eighty in two halves", a.Join(b), whole)
	if whole.Count != 80 || len(whole.Refunds) != abuse.MostRefunds || whole.Refunds[0].OrderID != "apple_49" {
		t.Errorf("got %d refunds, %d kept, %s the oldest; want 80, 50, apple_49", whole.Count, len(whole.Refunds), whole.Refunds[0].OrderID)
	}
}

func TestAWordInForceOutlivesAJoin(t *testing.T) {
	say := func(h abuse.History, reason string, days int, measures ...abuse.Measure) abuse.History {
		t.Helper()
		h, err := h.Override(abuse.Override{Measures: measures, Reason: reason, By: "kim", At: now.Add(-time.Duration(days) * day)})
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	blank := abuse.History{}
	for _, c := range []struct {
		name string
		a, b abuse.History
		want string
		kept int
	}{
		{"neither said", blank, blank, "", 0},
		{"one said", say(blank, "old", 9), blank, "old", 1},
		{"both said", say(blank, "old", 9), say(blank, "new", 1, abuse.Note), "new", 2},
		{"the later was lifted", say(blank, "old", 9), say(blank, "new", 1).Lift(), "old", 2},
		{"the earlier was lifted", say(blank, "old", 9).Lift(), say(blank, "new", 1), "new", 2},
		{"both were lifted", say(blank, "old", 9).Lift(), say(blank, "new", 1).Lift(), "", 2},
		{"both say the same", say(blank, "old", 9), say(blank, "old", 9), "old", 1},
	} {
		for _, j := range []abuse.History{c.a.Join(c.b), c.b.Join(c.a)} {
			got := ""
			if o := j.Assess(nil, nil, now).Override; o != nil {
				got = o.Reason
			}
			if got != c.want || len(j.Overrides) != c.kept {
				t.Errorf("%s: got %q in force of %+v, want %q of %d", c.name, got, j.Overrides, c.want, c.kept)
			}
		}
	}
	full := blank
	for n := range abuse.MostOverrides {
		full = say(full, fmt.Sprint("word ", n), 0)
	}
	j := say(blank, "old", 9).Join(full.Lift())
	if o := j.Assess(nil, nil, now).Override; o == nil || o.Reason != "old" || len(j.Overrides) != abuse.MostOverrides {
		t.Errorf("got %+v in force of %d, want the old one, the only one in force", o, len(j.Overrides))
	}
}

// FuzzWhateverWasStoredIsScored: a history of another version, or a spoilt one, is no outage.
func FuzzWhateverWasStoredIsScored(f *testing.F) {
	for seed := range uint64(5) {
		b, err := json.Marshal(roll(seed).words(roll(seed).history(60)))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(`{"count":-5,"purchases":-1,"refunds":[{"orderId":"a","amount":-1}],"measures":["x"],"overrides":[{}]}`))
	f.Add([]byte(`{"count":9223372036854775807,"returned":{"KRW":-5},"paid":{"KRW":-9223372036854775808},"forgottenAt":"2026-05-31T00:00:00Z"}`))
	f.Fuzz(func(t *testing.T, stored []byte) {
		var h abuse.History
		if json.Unmarshal(stored, &h) != nil {
			return
		}
		for _, h := range []abuse.History{h, h.Refunded(spent(1, 0)), h.Restored("apple_1", 5, "KRW"), h.Join(h), h.Lift()} {
			if a := h.Assess(abuse.Policy{abuse.Note: 1}, map[string]int64{"gems": 1}, now); a.Score < 0 || a.Score > 100 || sum(a, false) != a.Score {
				t.Errorf("got %+v", a)
			}
		}
	})
}

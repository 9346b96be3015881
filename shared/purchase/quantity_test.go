package purchase_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"grantline/shared/event"
	"grantline/shared/purchase"
	"grantline/shared/wallet"
)

func five() ticket {
	i := once(coins, "o1")
	i.quantity = 5
	return ticket{items: []item{i}}
}

// Five are given back as two, one and the rest, told in any order and doubled: what is taken
// back is what the store says is, never a sum of messages.
func TestWhatIsGivenBackOfAQuantityIsTakenBackOnceInAnyOrder(t *testing.T) {
	t.Parallel()
	dice := rand.New(rand.NewPCG(21, 22))
	for round := range 200 {
		k := newTokens(t)
		k.sell("tok-1", five())
		k.granted(ann, "tok-1")
		if got := k.balance(ann); got != 500 {
			t.Fatalf("balance: got %d, want 500", got)
		}
		var words []string
		for n, back := range []int{0, 2, 3, 5} {
			k.market.change("tok-1", func(t *ticket) { t.items[0].back, t.items[0].refunded = back, back == 5 })
			news, _, err := k.market.Follow(t.Context(), purchase.Line{Token: purchase.Token{Secret: "tok-1"}})
			if err != nil {
				t.Fatal(err)
			}
			news.Sales[0].AsOf = k.clock.Now().Add(time.Duration(n) * time.Second)
			word := fmt.Sprint(back)
			k.market.words[word] = news
			words = append(words, word, word)
		}
		k.clock.move(time.Hour)
		dice.Shuffle(len(words), func(a, b int) { words[a], words[b] = words[b], words[a] })
		if round == 0 {
			words = []string{"0", "2", "2", "3", "2", "5", "3", "5", "0"}
		}
		most, last := 0, int64(500)
		for _, word := range words {
			k.heard(word)
			back := int(word[0] - '0')
			most = max(most, back)
			if got, want := k.balance(ann), int64(500-100*most); got != want || got > last {
				t.Fatalf("round %d, after %s of %v: got a balance of %d, want %d", round, word, words, got, want)
			}
			last = k.balance(ann)
		}
		o := k.playOrder("o1")
		if o.State != purchase.OrderRefunded || o.TakenBack != 500 || o.Credited != 500 {
			t.Fatalf("round %d: got %+v, want all of it taken back", round, o)
		}
		steps := 0
		for _, kind := range k.events(ann) {
			if kind == event.PurchaseRefunded {
				steps++
			}
		}
		if steps < 1 || steps > 3 || round == 0 && steps != 3 {
			t.Errorf("round %d: got %d refunds told of %v, want one for each step that was heard", round, steps, words)
		}
	}
}

func TestWhatIsGivenBackOfASpentQuantityIsADebt(t *testing.T) {
	t.Parallel()
	k := newTokens(t)
	k.sell("tok-1", five())
	k.granted(ann, "tok-1")
	c := k.customer(ann)
	c.SetWallet("gems", wallet.Wallet{Lots: []wallet.Lot{{OrderID: "play_o1", Kind: wallet.Paid, Granted: 500, Remaining: 120}}}, wallet.Entry{})
	writes, err := c.Writes(noon)
	if err == nil {
		err = k.tables.Commit(t.Context(), writes...)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct{ back, want int }{{2, -80}, {3, -180}, {5, -380}, {5, -380}} {
		k.market.change("tok-1", func(t *ticket) { t.items[0].back, t.items[0].refunded = step.back, step.back == 5 })
		k.heard("tok-1")
		if got := k.balance(ann); got != int64(step.want) {
			t.Errorf("%d given back: got a balance of %d, want %d", step.back, got, step.want)
		}
	}
}

// The store does not say of every purchase that its money went back.
func TestAWordThatCannotKnowOfARefundUndoesNone(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		back int
		want int64
	}{"all": {5, 0}, "some": {2, 300}} {
		k := newTokens(t)
		k.sell("tok-1", five())
		k.granted(ann, "tok-1")
		k.market.change("tok-1", func(t *ticket) { t.items[0].back, t.items[0].refunded = c.back, c.back == 5 })
		k.heard("tok-1")
		k.market.change("tok-1", func(t *ticket) { t.items[0].back, t.items[0].refunded = 0, false })
		for range 2 {
			k.heard("tok-1")
			k.clock.move(time.Hour)
			if got := k.balance(ann); got != c.want {
				t.Errorf("%s given back, after a word that does not know it: got %d, want %d", name, got, c.want)
			}
		}
		if o := k.playOrder("o1"); o.TakenBack != 500-c.want {
			t.Errorf("%s given back: got %+v, want it to stay so", name, o)
		}
	}
}

// One that knows undoes it.
func TestAWordThatKnowsOfNoRefundUndoesIt(t *testing.T) {
	t.Parallel()
	k := newTokens(t)
	k.sell("tok-1", five())
	k.granted(ann, "tok-1")
	k.market.change("tok-1", func(t *ticket) { t.items[0].back = 2 })
	k.heard("tok-1")
	k.market.change("tok-1", func(t *ticket) { t.items[0].back = 0 })
	news, _, err := k.market.Follow(t.Context(), purchase.Line{Token: purchase.Token{Secret: "tok-1"}})
	if err != nil {
		t.Fatal(err)
	}
	news.Sales[0].Blind = false
	news.Sales[0].AsOf = k.clock.Now().Add(time.Second)
	k.market.words["word"] = news
	k.heard("word")
	if got := k.balance(ann); got != 500 {
		t.Errorf("balance: got %d, want 500", got)
	}
}

// What was given back before anybody came is not granted first.
func TestOfAQuantityThatWasGivenBackInPartTheRestIsGranted(t *testing.T) {
	t.Parallel()
	for _, claimed := range []bool{true, false} {
		k := newTokens(t)
		some := five()
		some.items[0].back = 2
		k.sell("tok-1", some)
		if !claimed {
			k.heard("tok-1")
		}
		k.granted(ann, "tok-1")
		if got := k.balance(ann); got != 300 {
			t.Errorf("balance: got %d, want 300", got)
		}
		k.wantTold("tok-1", 0, 1)
	}
}

// More than there were is all of it.
func TestNoMoreIsTakenBackThanWasGranted(t *testing.T) {
	t.Parallel()
	k := newTokens(t)
	k.sell("tok-1", five())
	k.granted(ann, "tok-1")
	k.market.change("tok-1", func(t *ticket) { t.items[0].back = 9 })
	k.heard("tok-1")
	if o := k.playOrder("o1"); k.balance(ann) != 0 || o.TakenBack != 500 || o.State != purchase.OrderRefunded {
		t.Errorf("got a balance of %d and %+v, want 0 and all of it taken back", k.balance(ann), o)
	}
}

// Of very many a part is never nothing and never all.
func TestAPartOfAQuantityIsNeitherNoneNorAll(t *testing.T) {
	t.Parallel()
	for back, want := range map[int]int64{1: 100 * 999_999, 999_999: 100} {
		k := newTokens(t)
		many := five()
		many.items[0].quantity = 1_000_000
		k.sell("tok-1", many)
		k.granted(ann, "tok-1")
		k.market.change("tok-1", func(t *ticket) { t.items[0].back = back })
		k.heard("tok-1")
		o := k.playOrder("o1")
		if got := k.balance(ann); got != want || o.State != purchase.OrderGranted || o.Returned == 0 {
			t.Errorf("%d given back: got a balance of %d and %+v, want %d and it granted", back, got, o, want)
		}
	}
}

// A refund that no token shows is found by the orders that the line knows.
func TestARefundThatOnlyTheOrderShowsIsFoundByReview(t *testing.T) {
	t.Parallel()
	k := newTokens(t)
	k.sell("tok-1", ticket{items: []item{month(basic, "o1", 1)}, again: 13 * 24 * time.Hour})
	k.granted(ann, "tok-1")
	k.market.change("tok-1", func(t *ticket) { t.items[0] = month(basic, "o1..0", 2) })
	k.heard("tok-1")
	k.market.refunded["o1"] = month(basic, "o1", 1)
	k.untilDone(k.clock.Now().Add(14 * 24 * time.Hour))
	if got := k.playOrder("o1").State; got != purchase.OrderRefunded {
		t.Errorf("the old order: got %s, want refunded", got)
	}
	k.wantGives(ann, "premium")
	want := []purchase.Sold{{Order: "o1..0", Part: "basic", SKU: basic}, {Order: "o1", Part: "basic", SKU: basic}}
	if got := k.market.lines[0].Sold; len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("asked about %+v, want %+v", got, want)
	}
}

package purchase_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/aws/dynamo"
	"grantline/shared/dbtest/local"
	"grantline/shared/entitlement"
	"grantline/shared/fault"
	"grantline/shared/purchase"
	"grantline/shared/table"
)

func TestAKnownPurchaseSurvivesItsStore(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(k *tokens){
		"404": func(k *tokens) {
			k.market.change("tok-new", func(t *ticket) { t.lost = fault.New(fault.NotFound, "not_in_store", "Never.") })
		},
		"410":    func(k *tokens) { k.market.change("tok-new", func(t *ticket) { t.lost = errGone }) },
		"outage": func(k *tokens) { k.market.down() },
		"the old token is out of reach": func(k *tokens) {
			k.market.before = func(string, string) error { return outage }
		},
	} {
		k := newTokens(t)
		k.sell("tok-old", ticket{items: []item{month(basic, "old", 1)}})
		k.granted(ann, "tok-old")
		k.upgrade("tok-new")
		first := k.granted(ann, "tok-new").Order
		was := k.snapshot()
		lose(k)
		for range 2 {
			if got := k.granted(ann, "tok-new"); got.Order != first || got.Customer.Ref != k.customer(ann).Ref {
				t.Errorf("%s: got %+v, want the order as it was, %+v", name, got.Order, first)
			}
			_, err := k.claim(ben, "tok-new")
			wantFault(t, err, fault.Conflict, "owned_by_another_customer")
		}
		if k.snapshot() != was {
			t.Errorf("%s: got something written, want nothing", name)
		}
		k.wantGives(ann, "pro")
		// A review changes nothing either.
		k.untilDone(noon.AddDate(0, 1, 0))
		k.wantGives(ann, "pro")
		if ok, err := k.LookAgain(t.Context(), k.scope, "play", "tok-new"); ok || err != nil && !fault.Retryable(err) {
			t.Errorf("%s: got a notice %t, %v, want it to come again or let go", name, ok, err)
		}
	}
}

func TestWhatIsNotKnownIsNotGrantedWhileTheStoreIsSilent(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		kind error
		code string
		lose func(k *tokens)
	}{
		"404":    {fault.Invalid, "invalid_purchase", func(k *tokens) { k.market.change("tok-1", func(t *ticket) { t.lost = errGone }) }},
		"outage": {fault.Unavailable, "store_unavailable", func(k *tokens) { k.market.down() }},
	} {
		for _, heard := range []bool{true, false} {
			k := newTokens(t)
			k.sell("tok-1", ticket{items: []item{once(badge, "o1")}})
			if heard {
				k.heard("tok-1") // and nobody claimed it
			}
			c.lose(k)
			was := k.snapshot()
			_, err := k.claim(ann, "tok-1")
			wantFault(t, err, c.kind, c.code)
			if k.snapshot() != was {
				t.Errorf("%s: got something written, want nothing", name)
			}
		}
		// What was given back is not given again.
		k := newTokens(t)
		k.sell("tok-1", ticket{items: []item{once(badge, "o1")}})
		k.granted(ann, "tok-1")
		k.market.change("tok-1", func(t *ticket) { t.items[0].refunded = true })
		k.heard("tok-1")
		c.lose(k)
		_, err := k.claim(ann, "tok-1")
		wantFault(t, err, c.kind, c.code)
		_, err = k.claim(ben, "tok-1")
		wantFault(t, err, fault.Conflict, "owned_by_another_customer")
	}
}

func TestAQuestionOfTheStoreIsAnsweredOnce(t *testing.T) {
	t.Parallel()
	k := newTokens(t)
	k.sell("tok-1", ticket{items: []item{once(coins, "o1")}})
	k.granted(ann, "tok-1")
	k.market.down("report")
	k.later()
	if _, err := k.LookAgain(t.Context(), k.scope, "play", "review tok-1 case-1"); !fault.Retryable(err) {
		t.Errorf("report that failed: got %v, want the notice to come again", err)
	}
	k.market.up()
	for range 3 {
		k.heard("review tok-1 case-1")
	}
	want := []purchase.Usage{{Delivered: true, Spendable: true, Case: "case-1"}}
	if d := cmp.Diff(want, k.market.reported); d != "" {
		t.Errorf("reports (-want, +got):\n%s", d)
	}
	k.heard("review tok-1 case-2")
	k.heard("review tok-1 case-2")
	if got := len(k.market.reported); got != 2 {
		t.Errorf("reports of two cases: got %d, want 2", got)
	}
	if strings.Contains(k.snapshot(), "case-1") || strings.Contains(k.snapshot(), "case-2") {
		t.Error("got the name of a case written down, want its hash alone")
	}
	k.market.change("tok-1", func(t *ticket) { t.items[0].refunded = true })
	k.heard("review tok-1 case-3")
	if got := len(k.market.reported); got != 2 {
		t.Errorf("reports of what was given back: got %d, want none more", got-2)
	}
}

func TestAnAnswerThatTheStoreDoesNotTakeIsAPersons(t *testing.T) {
	t.Parallel()
	k := newTokens(t)
	k.sell("tok-1", ticket{items: []item{once(coins, "o1")}})
	k.granted(ann, "tok-1")
	k.market.before = func(call, _ string) error {
		if call == "report" {
			return fault.New(fault.Invalid, "refused_by_store", "No.")
		}
		return nil
	}
	k.heard("review tok-1 case-1")
	if k.alarms() != 1 || len(k.market.reported) != 0 {
		t.Errorf("got %d alarms and %d reports, want one and none", k.alarms(), len(k.market.reported))
	}
}

// chains are the words of what may become of a chain of tokens, in turn.
func chains(account string) map[string][]purchase.News {
	at := func(hours int) time.Time { return noon.Add(time.Duration(hours) * time.Hour) }
	word := func(hours int, token string, t ticket) purchase.News {
		t.account, t.paidAt, t.by = account, noon, noon.Add(72*time.Hour)
		return t.news(token, at(hours))
	}
	sub := func(older string, items ...item) ticket { return ticket{older: older, items: items} }
	state := func(s ticketState, t ticket) ticket { t.state = s; return t }
	with := func(i item, change func(*item)) item { change(&i); return i }
	kept := with(month(higher, "o1", 1), func(i *item) { i.renews, i.next = false, "basic" })
	some := func(back int) ticket {
		i := once(coins, "o1")
		i.quantity, i.back, i.refunded = 5, back, back == 5
		return ticket{items: []item{i}}
	}
	return map[string][]purchase.News{
		"upgrade": {
			word(0, "tok-1", sub("", month(basic, "o1", 1))), word(1, "tok-2", sub("tok-1", month(higher, "o2", 1))),
			word(2, "tok-1", state(isReplaced, sub("", month(basic, "o1", 1)))), word(700, "tok-2", sub("tok-1", month(higher, "o2..0", 2))),
		},
		"three": {
			word(0, "tok-1", sub("", month(basic, "o1", 1))), word(1, "tok-2", sub("tok-1", month(higher, "o2", 1))),
			word(2, "tok-3", sub("tok-2", month(basic, "o3", 2))), word(3, "tok-2", state(isReplaced, sub("tok-1", month(higher, "o2", 1)))),
		},
		"top-ups": {
			word(0, "tok-1", sub("", month(basic, "o1", 1))), word(1, "tok-2", sub("tok-1", month(basic, "o2", 2))),
			word(2, "tok-3", sub("tok-2", month(basic, "o3", 3))),
		},
		"both go on": { // the old one looks as if it did, after the new one
			word(0, "tok-1", sub("", month(basic, "o1", 2))), word(1, "tok-2", sub("tok-1", month(higher, "o2", 2))),
			word(2, "tok-1", sub("", month(basic, "o1", 2))),
		},
		"pending, paid": {
			word(0, "tok-1", sub("", month(basic, "o1", 1))), word(1, "tok-2", state(isPending, sub("tok-1", month(higher, "", 1)))),
			word(2, "tok-2", sub("tok-1", month(higher, "o2", 1))),
		},
		"pending, cancelled": {
			word(0, "tok-1", sub("", month(basic, "o1", 1))), word(1, "tok-2", state(isPending, sub("tok-1", month(higher, "", 1)))),
			word(2, "tok-2", state(isCancelled, sub("tok-1", month(higher, "", 1)))), word(700, "tok-1", sub("", month(basic, "o1..0", 2))),
		},
		"waiting": {
			word(0, "tok-1", sub("", month(higher, "o1", 1))),
			word(1, "tok-2", sub("tok-1", kept, item{part: "basic", sku: basic, until: at(744), renews: true})),
			word(750, "tok-2", sub("tok-1", month(basic, "o2", 2))),
		},
		"parts": {
			word(0, "tok-1", sub("", month(basic, "o1", 1))), word(1, "tok-1", sub("", month(basic, "o1", 1), month(extra, "o1e", 1))),
			word(2, "tok-1", sub("", month(basic, "o1", 1), with(month(extra, "o1e", 1), func(i *item) { i.refunded = true }))),
			word(3, "tok-2", sub("tok-1", month(higher, "o2", 1))),
		},
		"quantity": {word(0, "tok-1", some(0)), word(1, "tok-1", some(2)), word(2, "tok-1", some(3)), word(3, "tok-1", some(5))},
		"resubscribed": {
			word(0, "tok-1", sub("", month(basic, "o1", 1))), word(750, "tok-1", state(isExpired, sub("", month(basic, "o1", 1)))),
			word(800, "tok-2", sub("tok-1", month(basic, "o2", 3))),
		},
	}
}

// left is what a chain leaves, without the instants at which we happened to hear, and
// without how what is over came to its end.
type left struct {
	Gives   string
	Balance int64
	Sources []entitlement.Source
	Orders  []purchase.Order
	Over    map[string]bool
	Line    string
}

func (k *tokens) left(token string) left {
	k.Helper()
	l := left{Gives: k.gives(ann), Balance: k.balance(ann), Over: map[string]bool{}}
	now := k.clock.Now()
	over := func(until time.Time) bool { return !until.IsZero() && !until.After(now) }
	l.Sources = slices.DeleteFunc(k.customer(ann).Sources(), func(s entitlement.Source) bool { return over(s.Until) })
	slices.SortFunc(l.Sources, func(a, b entitlement.Source) int { return strings.Compare(a.Ref, b.Ref) })
	for _, o := range k.orders() {
		o.AsOf = time.Time{}
		if o.State == purchase.OrderRefunded { // whose it was depends on whether it was ever granted
			o.Customer, o.Currency, o.Credited, o.TakenBack = "", "", 0, 0
		}
		if over(o.Until) {
			o.Replaced = false
		}
		if o.Replaced || over(o.Until) {
			o.Until = time.Time{}
		}
		l.Orders = append(l.Orders, o)
	}
	r := k.record(token)
	for _, h := range r.Tokens {
		l.Over[h.ID] = h.Over
	}
	l.Line = r.Line
	return l
}

func TestTheWordsOfAChainInAnyOrderEndTheSame(t *testing.T) {
	t.Parallel()
	for name := range chains("") {
		run := func(order func(words []purchase.News) []purchase.News) (left, *tokens) {
			k := newTokens(t)
			k.known(ann)
			words := chains(k.account(ann))[name]
			k.clock.move(900 * time.Hour)
			for _, w := range words { // what the store says of each token at the end
				token := w.Token.Secret
				last := ticket{lost: errGone}
				if w.Token.Older != nil {
					last = ticket{older: w.Token.Older.Secret, state: isReplaced, items: []item{month(basic, "unused", 1)}, account: k.account(ann)}
				}
				k.sell(token, last)
			}
			for n, w := range order(words) {
				evidence := fmt.Sprint("word-", n)
				k.market.words[evidence] = w
				k.heard(evidence)
			}
			return k.left("tok-1"), k
		}
		want, _ := run(func(words []purchase.News) []purchase.News { return words })
		for round := range 60 {
			dice := rand.New(rand.NewPCG(uint64(round), 7))
			var heard []string
			got, k := run(func(words []purchase.News) []purchase.News {
				words = slices.Concat(words, words)
				dice.Shuffle(len(words), func(a, b int) { words[a], words[b] = words[b], words[a] })
				for _, w := range words {
					heard = append(heard, fmt.Sprint(w.Token.Secret, " ", w.Sales[0].AsOf.Sub(noon)))
				}
				return words
			})
			if d := cmp.Diff(want, got); d != "" {
				t.Fatalf("%s, round %d, heard %v: in turn (-) and shuffled (+) differ:\n%s", name, round, heard, d)
			}
			k.events(ann)
		}
	}
}

// paced is a clock that stands, and lets those who wait for each other wait.
type paced struct{ *stopped }

func (paced) Sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// rounds of a race: 50, or as many as CLAIM_ROUNDS says.
func rounds(t *testing.T) int {
	n, err := strconv.Atoi(os.Getenv("CLAIM_ROUNDS"))
	if err != nil {
		return 50
	}
	t.Logf("%d rounds", n)
	return n
}

// On real tables two customers claim one purchase at once: one has it, and of the other
// nothing is written. Bought, pending, and by two tokens of one chain.
func TestOfTwoWhoClaimATokenAtOnceOneHasIt(t *testing.T) {
	t.Parallel()
	client, prefix := local.Open(t)
	tables := dynamo.New(client, prefix)
	k := newTokens(t)
	k.at(time.Date(2040, 3, 10, 12, 0, 0, 0, time.UTC))
	k.Tables, k.Customers.Tables, k.Clock = tables, tables, paced{k.clock}
	var mu sync.Mutex
	winners, kinds := map[string]int{}, map[string]int{}
	round := func(n int) {
		a, b := fmt.Sprint("tok-a", n), fmt.Sprint("tok-b", n)
		kind := []string{"bought", "pending", "chain"}[n%3]
		claims := map[string]string{fmt.Sprint("ann-", n): a, fmt.Sprint("ben-", n): a}
		switch kind {
		case "bought":
			k.sell(a, ticket{items: []item{once(coins, a)}})
		case "pending":
			k.sell(a, waiting(once(coins, a)))
		case "chain":
			k.sell(a, ticket{items: []item{month(basic, a, 24*12)}})
			k.sell(b, ticket{older: a, items: []item{month(higher, b, 24*12)}})
			claims[fmt.Sprint("ben-", n)] = b
		}
		start, done := make(chan struct{}), sync.WaitGroup{}
		outcomes := map[string]error{}
		for who, token := range claims {
			done.Go(func() {
				<-start
				_, err := k.Claim(t.Context(), k.scope, who, purchase.Proof{Store: "play", Evidence: token})
				mu.Lock()
				outcomes[who] = err
				mu.Unlock()
			})
		}
		close(start)
		done.Wait()
		winner := ""
		for who, err := range outcomes {
			if err == nil && winner == "" {
				winner = who
				continue
			}
			wantFault(t, err, fault.Conflict, "owned_by_another_customer")
		}
		if winner == "" {
			t.Errorf("round %d, %s: got no winner of %v, want one", n, kind, outcomes)
			return
		}
		for who := range claims {
			c, err := k.Customers.Named(t.Context(), k.scope, who)
			if err != nil {
				t.Error(err)
				return
			}
			if c.Exists() != (who == winner) || len(c.Sources()) != 0 && who != winner {
				t.Errorf("round %d, %s: got %s there %t, want the winner %s alone", n, kind, who, c.Exists(), winner)
			}
			k.wholly(tables, kind, claims[winner], c.Ref, who == winner)
		}
		mu.Lock()
		winners[winner[:3]]++
		kinds[kind]++
		mu.Unlock()
	}
	all, workers := rounds(t), sync.WaitGroup{}
	turns := make(chan int)
	for range 4 {
		workers.Go(func() {
			for n := range turns {
				round(n)
			}
		})
	}
	for n := range all {
		turns <- n
	}
	close(turns)
	workers.Wait()
	if winners["ann"]+winners["ben"] != all {
		t.Errorf("winners: got %v, want one of each of %d rounds", winners, all)
	}
	t.Logf("%d rounds %v, won by %v", all, kinds, winners)
}

// wholly checks that what was claimed is one customer's in every record.
func (k *tokens) wholly(tables table.Tables, kind, token, ref string, owner bool) {
	k.Helper()
	ctx := k.Context()
	id := tokenID(token)
	var r purchase.Record
	for range 2 {
		got, err := tables.Get(ctx, table.Key{Table: table.Purchases, Partition: k.scope.Key("play", id)})
		if err != nil {
			k.Errorf("line of %s: %v", token, err)
			return
		}
		r = purchase.Record{}
		unmarshal(k.TB, got.Data, &r)
		if r.Root == "" {
			break
		}
		id = r.Root
	}
	if (r.Owner == ref) != owner {
		k.Errorf("%s of %s: got the line %s's, want it the winner's", kind, token, r.Owner)
	}
	if kind == "pending" {
		return
	}
	if len(r.Terms) != 1 || r.Terms[0].Order != "play_"+token {
		k.Errorf("%s of %s: got the terms %+v, want the winner's alone", kind, token, r.Terms)
	}
	got, err := tables.Get(ctx, table.Key{Table: table.Orders, Partition: k.scope.Key("play_" + token)})
	if err != nil {
		k.Errorf("order of %s: %v", token, err)
		return
	}
	if o, err := purchase.DecodeOrder(got); err != nil || (o.Customer == ref) != owner || o.State != purchase.OrderGranted {
		k.Errorf("%s of %s: got the order %+v, %v, want it granted to the winner", kind, token, o, err)
	}
	if acknowledged, consumed := k.market.toldOf(token); acknowledged+consumed != 1 {
		k.Errorf("%s of %s: got it told %d times, want once", kind, token, acknowledged+consumed)
	}
}

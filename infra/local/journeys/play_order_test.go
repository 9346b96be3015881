package journeys_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	diff "github.com/google/go-cmp/cmp"

	"grantline/infra/local/stack"
	simulated "grantline/infra/sim/play"
	"grantline/infra/sim/stage"
)

// shopper is a customer of Google Play, and how they are told of.
type shopper struct {
	who, account string
	began        time.Time
	tokens       []string // each at its place in the life
	bases        map[string]bool
	manner       func(ids []string) []string
	waiting      []string // messages of Pub/Sub that are withheld
}

// manners are the ways in which the messages of one step of a life arrive, the plainest first.
func manners() []func(ids []string) []string {
	reversed := func(ids []string) []string {
		ids = slices.Clone(ids)
		slices.Reverse(ids)
		return ids
	}
	doubled := func(ids []string) []string { return slices.Concat(ids, ids) }
	shuffled := func(seed uint64) func(ids []string) []string {
		dice := rand.New(rand.NewPCG(seed, 6))
		return func(ids []string) []string {
			ids = slices.Clone(ids)
			dice.Shuffle(len(ids), func(a, b int) { ids[a], ids[b] = ids[b], ids[a] })
			return ids
		}
	}
	half := func(rest int) func(ids []string) []string {
		n := rest
		return func(ids []string) (kept []string) {
			for _, id := range ids {
				if n++; n%2 == 0 {
					kept = append(kept, id)
				}
			}
			return kept
		}
	}
	return []func(ids []string) []string{
		slices.Clone[[]string],
		reversed,
		doubled,
		func(ids []string) []string { return doubled(reversed(ids)) },
		shuffled(1), shuffled(2),
		func(ids []string) []string { return doubled(shuffled(3)(ids)) },
		half(0), half(1),
		func([]string) []string { return nil }, // and nobody tells the last of anything
	}
}

// town is ten customers who live the same, step by step.
type town struct {
	*testing.T

	s    *stack.Stack
	all  []*shopper
	seen int64 // of the log of deliveries
}

func newTown(t *testing.T, s *stack.Stack) *town {
	t.Helper()
	w := &town{T: t, s: s}
	for i, manner := range manners() {
		c := &shopper{who: fmt.Sprintf("customer-%d", i), manner: manner, bases: map[string]bool{}, began: s.Now()}
		c.account = object(t, s, "", "/v1/customers/"+c.who)["storeIds"].(map[string]any)["obfuscatedAccountId"].(string)
		w.all = append(w.all, c)
	}
	return w
}

// buys adds what somebody bought, and claims it unless they are to wait.
func (w *town) buys(c *shopper, b simulated.Bought, err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
	c.tokens, c.bases[b.OrderID] = append(c.tokens, b.PurchaseToken), true
	tell(w.T, w.s, claimOf(c.who, b.PurchaseToken)+"\nexpect 200 or 202")
}

// step has all do the same, and then tells of it as each is told of things. Until has time
// pass in between, if it is any.
func (w *town) step(name, until string, do func(c *shopper) error) {
	w.Helper()
	sim := w.s.Sim().Play
	if err := sim.ScriptWebhook(stage.Fate{How: "drop", Count: 1_000_000}); err != nil {
		w.Fatal(err)
	}
	for _, c := range w.all {
		if err := do(c); err != nil {
			w.Fatalf("%s, %s: %v", name, c.who, err)
		}
	}
	if until != "" {
		tell(w.T, w.s, "clock until "+until)
	}
	for _, d := range sim.Deliveries() {
		if d.Sequence <= w.seen || d.Fate != "drop" {
			continue
		}
		for _, c := range w.all {
			if c.bases[d.OrderID] {
				c.waiting = append(c.waiting, d.ID)
			}
		}
		w.seen = d.Sequence
	}
	tell(w.T, w.s, "POST /_sim/play/calm {}")
	for _, c := range w.all {
		c.waiting = c.manner(c.waiting)
	}
	// One message of each at a time, and what it leads to.
	for rest := true; rest; {
		rest = false
		for _, c := range w.all {
			if len(c.waiting) == 0 {
				continue
			}
			if _, err := sim.Republish(simulated.Republished{MessageID: c.waiting[0]}); err != nil {
				w.Fatal(err)
			}
			c.waiting, rest = c.waiting[1:], true
		}
		if rest {
			tell(w.T, w.s, "clock 1s")
		}
	}
	for _, d := range sim.Deliveries() {
		w.seen = max(w.seen, d.Sequence)
	}
}

// end is what somebody has and what became of each order, in words that are the same for
// whoever lived the same: instants count from the beginning, orders are numbered.
func (w *town) end(c *shopper, orders []string) string {
	w.Helper()
	customer := object(w.T, w.s, "", "/v1/customers/"+c.who)
	said := []any{customer["entitlements"], customer["wallet"], customer["purchases"]}
	for _, id := range orders {
		said = append(said, object(w.T, w.s, "", "/v1/orders/play_"+id)["order"])
	}
	l := &lived{began: c.began}
	for _, part := range said {
		l.since(part)
	}
	text, err := json.MarshalIndent(said, "", " ")
	if err != nil {
		w.Fatal(err)
	}
	// The longest first, for renewals are named after what they renew.
	numbers := map[string]int{}
	for i, id := range orders {
		numbers[id] = i
	}
	longest := slices.SortedFunc(slices.Values(orders), func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	for _, id := range longest {
		text = bytes.ReplaceAll(text, []byte(id), fmt.Appendf(nil, "order %d", numbers[id]))
	}
	return strings.ReplaceAll(string(text), c.who, "customer")
}

// Ten customers live the same, and are told of in their turn, backwards, shuffled, twice, by
// half or not at all; what is not told is found by a look. All end with the same.
func TestNoticesOfGooglePlayInAnyOrderEndTheSame(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	sim := s.Sim().Play
	tell(t, s, `POST /_sim/play/goods {"productId":"premium:monthly","period":"P2D"}`)
	w := newTown(t, s)
	held := func(c *shopper) simulated.Held {
		return simulated.Held{PurchaseToken: c.tokens[0]}
	}
	w.step("buys", "", func(c *shopper) error {
		days, hold := 1, 5
		b, err := sim.Buy(simulated.Purchase{ProductID: twoDays, Account: c.account, GraceDays: &days, HoldDays: &hold})
		w.buys(c, b, err)
		for _, quantity := range []int{1, 3} {
			b, err = sim.Buy(simulated.Purchase{ProductID: gems, Quantity: quantity, Account: c.account})
			w.buys(c, b, err)
		}
		b, err = sim.Buy(simulated.Purchase{ProductID: forever, Account: c.account, Pending: true})
		w.buys(c, b, err)
		return nil
	})
	w.step("has paid", "", func(c *shopper) error {
		_, err := sim.Complete(simulated.Held{PurchaseToken: c.tokens[3]})
		return err
	})
	w.step("leaves and comes back", "", func(c *shopper) error {
		if err := sim.Cancel(simulated.Cancellation{PurchaseToken: c.tokens[0]}); err != nil {
			return err
		}
		return sim.Restart(held(c))
	})
	w.step("renews", "2040-01-03T01:30:00Z", func(*shopper) error { return nil })
	w.step("cannot pay", "2040-01-05T01:30:00Z", func(c *shopper) error { return sim.FailBilling(held(c)) })
	w.step("is on hold", "2040-01-06T01:30:00Z", func(*shopper) error { return nil })
	w.step("pays", "", func(c *shopper) error { return sim.RecoverBilling(held(c)) })
	w.step("wants a year", "", func(c *shopper) error {
		b, err := sim.Replace(simulated.Change{PurchaseToken: c.tokens[0], ProductID: "premium:yearly"})
		w.buys(c, b, err)
		return nil
	})
	w.step("is given back", "", func(c *shopper) error {
		if err := sim.Refund(simulated.Refund{OrderID: c.tokens[1]}); err != nil {
			return err
		}
		return sim.Refund(simulated.Refund{OrderID: c.tokens[2], Quantity: 1})
	})
	w.step("is given back again", "", func(c *shopper) error {
		if err := sim.Refund(simulated.Refund{OrderID: c.tokens[2], Quantity: 1}); err != nil {
			return err
		}
		// A period of before the plan that is.
		b, err := sim.Held(held(c))
		if err != nil {
			return err
		}
		return sim.Refund(simulated.Refund{OrderID: b.OrderID + "..0"})
	})
	tell(t, s, "clock 27h") // in which the list of what was given back is read

	orders := map[string][]string{}
	for _, e := range sim.Effects() {
		if e.Kind == "purchased" || e.Kind == "renewed" {
			orders[e.TransactionID] = append(orders[e.TransactionID], e.OrderID)
		}
	}
	var want string
	for _, c := range w.all {
		var mine []string
		for _, token := range c.tokens {
			mine = append(mine, orders[token]...)
		}
		got := w.end(c, mine)
		if want == "" {
			want = got
			t.Logf("the end of all: %s", want)
			for _, part := range []string{`"active": true`, `"balance": 100`, `"productId": "premium:yearly"`, `"state": "refunded"`, `"takenBack": 200`} {
				if !strings.Contains(want, part) {
					t.Errorf("the end of %s is without %s", c.who, part)
				}
			}
		}
		if changed := diff.Diff(want, got); changed != "" {
			t.Errorf("%s ends otherwise than %s (-want +got):\n%s", c.who, w.all[0].who, changed)
		}
	}
	tell(t, s, "queues are empty\neffects play autoRefunded == 0")
}

package customer_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/abuse"
	"grantline/shared/clock"
	"grantline/shared/customer"
	"grantline/shared/event"
	"grantline/shared/fault"
	"grantline/shared/table"
	"grantline/shared/wallet"
)

var at = time.Date(2026, 11, 20, 2, 14, 7, 0, time.UTC)

// purse is a customer's wallet of gems and what is asked of it.
type purse struct {
	testing.TB
	customer.Directory
	clock clock.Clock
	id    string
}

func newPurse(t testing.TB) (*purse, *faults) {
	t.Helper()
	d, tables := directory()
	f := &faults{}
	tables.Fail = f.fail
	return &purse{TB: t, Directory: d, clock: clock.Fixed(at), id: "ann"}, f
}

func (p *purse) spend(amount int64, reference string) (customer.Spend, *customer.Customer, error) {
	return p.Spend(p.Context(), table.Default, p.id, customer.SpendAsk{Currency: "gems", Amount: amount, Reference: reference}, p.clock)
}

func (p *purse) refund(spend string, amount int64, reference string) (customer.SpendRefund, customer.Spend, *customer.Customer, error) {
	return p.Unspend(p.Context(), table.Default, p.id, customer.UnspendAsk{Currency: "gems", Spend: spend, Amount: amount, Reference: reference}, p.clock)
}

func (p *purse) credit(amount int64, reference string) (customer.Credit, *customer.Customer, error) {
	return p.Credit(p.Context(), table.Default, p.id, customer.CreditAsk{Currency: "gems", Amount: amount, Reference: reference, Reason: "welcome"}, p.clock)
}

// buy credits as a store's order does.
func (p *purse) buy(order string, amount int64) {
	p.Helper()
	p.change(func(w wallet.Wallet) (wallet.Wallet, wallet.Entry) {
		return w.Credit(wallet.Lot{OrderID: order, Kind: wallet.Paid, Granted: amount, CameAt: p.clock.Now()})
	})
}

func (p *purse) takeBack(order string, amount int64) {
	p.Helper()
	p.change(func(w wallet.Wallet) (wallet.Wallet, wallet.Entry) { return w.TakeBack(order, amount) })
}

func (p *purse) change(act func(wallet.Wallet) (wallet.Wallet, wallet.Entry)) {
	p.Helper()
	c := p.read()
	w, e := act(c.Wallets()["gems"])
	c.SetWallet("gems", w, e)
	c.Tell(event.Event{Type: event.PurchaseGranted, At: p.clock.Now()})
	p.write(c)
}

func (p *purse) join(id, other string) (*customer.Customer, error) {
	return p.Join(p.Context(), table.Default, customer.Alias{ID: id, Other: other}, p.clock)
}

func (p *purse) read() *customer.Customer {
	p.Helper()
	c, err := p.Named(context.WithoutCancel(p.Context()), table.Default, p.id)
	if err != nil {
		p.Fatal(err)
	}
	return c
}

func (p *purse) write(c *customer.Customer) {
	p.Helper()
	writes, err := c.Writes(p.clock.Now())
	if err == nil {
		err = p.Tables.Commit(p.Context(), writes...)
	}
	if err != nil {
		p.Fatal(err)
	}
}

func (p *purse) balance() int64 {
	p.Helper()
	return p.read().Wallets()["gems"].Balance(p.clock.Now())
}

// log reads all records of a customer by our own id.
func (p *purse) log(ref string) []customer.Record {
	p.Helper()
	var all []customer.Record
	for {
		page, err := customer.Log(p.Context(), p.Tables, table.Default, ref, int64(len(all)), 100)
		if err != nil {
			p.Fatal(err)
		}
		if all = append(all, page...); len(page) < 100 {
			return all
		}
	}
}

// holds insists on a balance, that the ledger comes to it, and that the events tell of it
// without gaps.
func (p *purse) holds(want int64) {
	p.Helper()
	c := p.read()
	if got := c.Wallets()["gems"].Balance(p.clock.Now()); got != want {
		p.Errorf("got a balance of %d, want %d", got, want)
	}
	p.replays(c)
}

// replays insists that the records of a customer alone make it again, entry by entry.
func (p *purse) replays(c *customer.Customer) {
	p.Helper()
	records := p.log(c.Ref)
	state := customer.State{Wallets: map[string]wallet.Wallet{}}
	var sum int64
	for n, r := range records {
		if r.Sequence != int64(n+1) {
			p.Errorf("record %d has the number %d", n+1, r.Sequence)
		}
		for _, m := range r.Changes.Wallet {
			if m.Currency != "gems" {
				continue
			}
			if sum += m.Entry.Amount; sum != m.Entry.Balance {
				p.Errorf("record %d: the entry %+v says a balance of %d, but the ledger comes to %d", n+1, m.Entry, m.Entry.Balance, sum)
			}
		}
		state = state.After(r)
	}
	if booked := c.Wallets()["gems"].Booked(); sum != booked {
		p.Errorf("the ledger comes to %d, the wallet to %d", sum, booked)
	}
	if diff := cmp.Diff(c.State().Wallets, state.Wallets); diff != "" {
		p.Errorf("the records make other wallets (-is +replayed):\n%s", diff)
	}
}

func (p *purse) refuses(code string, kind, err error) {
	p.Helper()
	if fault.Code(err) != code || !errors.Is(err, kind) {
		p.Errorf("got %v, want %s of kind %v", err, code, kind)
	}
}

func TestASpendHappensOnceForEachReference(t *testing.T) {
	p, _ := newPurse(t)
	p.buy("a", 100)
	first, c, err := p.spend(30, "sword")
	if err != nil {
		t.Fatal(err)
	}
	if first.Amount != 30 || first.Refunded != 0 || !first.At.Equal(at) || c.Wallets()["gems"].Balance(at) != 70 {
		t.Errorf("got %+v and %d left, want 30 spent and 70 left", first, c.Wallets()["gems"].Balance(at))
	}
	if _, _, err := p.spend(70, "shield"); err != nil {
		t.Fatal(err)
	}
	again, c, err := p.spend(30, "sword") // there is nothing left by now
	if diff := cmp.Diff(first, again); err != nil || diff != "" {
		t.Errorf("again: got %v and another spend (-first +again):\n%s", err, diff)
	}
	if got := c.Wallets()["gems"].Balance(at); got != 0 {
		t.Errorf("again: got a balance of %d, want that of now, 0", got)
	}
	_, _, err = p.spend(31, "sword")
	p.refuses("reference_used", fault.Conflict, err)
	p.holds(0)
	if got := len(p.log(c.Ref)); got != 3 {
		t.Errorf("got %d events, want one for the order and one for each spend", got)
	}
}

func TestASpendIsToldWithItsReferenceAndTheBalance(t *testing.T) {
	p, _ := newPurse(t)
	if _, _, err := p.credit(50, "bonus"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := p.spend(30, "sword"); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := p.refund("sword", 10, "sorry"); err != nil {
		t.Fatal(err)
	}
	got, err := customer.Events(t.Context(), p.Tables, table.Default, p.read().Ref, 0, 10)
	if err != nil {
		t.Fatal(err)
	}
	balance := func(n int64) *int64 { return &n }
	want := []event.Event{
		{Sequence: 1, Type: event.WalletCredited, At: at, WalletCurrency: "gems", Credited: 50, Balance: balance(50), Reference: "bonus", Cause: &event.Cause{Kind: event.ByRequest, Reason: "welcome"}},
		{Sequence: 2, Type: event.WalletSpent, At: at, WalletCurrency: "gems", Credited: -30, Balance: balance(20), Reference: "sword"},
		{Sequence: 3, Type: event.WalletSpendRefunded, At: at, WalletCurrency: "gems", Credited: 10, Balance: balance(30), Reference: "sorry", OtherReference: "sword"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestACreditKeepsWhoAskedAndWhy(t *testing.T) {
	p, _ := newPurse(t)
	ctx := event.Because(t.Context(), event.Cause{Kind: event.ByOperator, Actor: "key_01234567", ID: "request-1"})
	ask := customer.CreditAsk{Currency: "gems", Amount: 1, Reference: "r", Reason: "for the outage"}
	if _, _, err := p.Credit(ctx, table.Default, p.id, ask, p.clock); err != nil {
		t.Fatal(err)
	}
	want := &event.Cause{Kind: event.ByOperator, Actor: "key_01234567", ID: "request-1", Reason: "for the outage"}
	if diff := cmp.Diff(want, p.log(p.read().Ref)[0].Cause); diff != "" {
		t.Errorf("the cause (-want +got):\n%s", diff)
	}
}

func TestWhatCannotBeSpentIsRefusedAndWritesNothing(t *testing.T) {
	p, f := newPurse(t)
	_, _, err := p.spend(1, "a")
	p.refuses("insufficient_balance", fault.Invalid, err) // nobody, and no such wallet
	if p.read().Exists() {
		t.Error("a spend that was refused made a customer")
	}
	p.buy("o", 100)
	f.commits = 0
	_, _, err = p.spend(101, "a")
	p.refuses("insufficient_balance", fault.Invalid, err)
	_, _, err = p.Spend(t.Context(), table.Default, p.id, customer.SpendAsk{Currency: "gold", Amount: 1, Reference: "a"}, p.clock)
	p.refuses("insufficient_balance", fault.Invalid, err)
	_, _, _, err = p.refund("a", 0, "b")
	p.refuses("spend_not_found", fault.NotFound, err)
	if f.commits != 0 {
		t.Errorf("what was refused wrote %d times", f.commits)
	}
	if _, _, err := p.spend(80, "a"); err != nil { // the reference is free still
		t.Fatal(err)
	}
	p.takeBack("o", 100)
	_, _, err = p.spend(1, "b")
	p.refuses("wallet_in_debt", fault.Invalid, err)
	if again, _, err := p.spend(80, "a"); err != nil || again.Amount != 80 {
		t.Errorf("the first spend again, while in debt: got %+v, %v, want it as it was", again, err)
	}
	p.buy("p", 100)
	p.holds(20)
	if _, _, err := p.spend(20, "b"); err != nil {
		t.Errorf("spending what is left after the debt: %v", err)
	}
	p.holds(0)
}

func TestNobodySpendsWhoseSpendingIsBlocked(t *testing.T) {
	p, _ := newPurse(t)
	p.buy("o", 100)
	if _, _, err := p.spend(10, "before"); err != nil {
		t.Fatal(err)
	}
	c := p.read()
	blocked := []abuse.Measure{abuse.BlockSpending}
	c.SetConduct(abuse.History{Measures: blocked, Overrides: []abuse.Override{{Measures: blocked, Reason: "r", By: "key"}}})
	p.write(c)
	_, _, err := p.spend(1, "a")
	p.refuses("spending_blocked", fault.Denied, err)
	_, _, err = p.spend(1000, "a")
	p.refuses("spending_blocked", fault.Denied, err)
	if _, _, err := p.spend(10, "before"); err != nil {
		t.Errorf("what was spent before, again: got %v, want its answer", err)
	}
	if _, _, _, err := p.refund("before", 0, "back"); err != nil {
		t.Errorf("giving back: got %v, want it done", err)
	}
	c = p.read()
	c.SetConduct(abuse.History{Measures: []abuse.Measure{abuse.Note, abuse.RefuseConsumables}})
	p.write(c)
	if _, _, err := p.spend(1, "a"); err != nil {
		t.Errorf("with other measures in force: got %v, want it spent", err)
	}
	p.holds(99)
}

func TestARefundOfASpendHappensOnceForEachReference(t *testing.T) {
	p, _ := newPurse(t)
	p.buy("o", 100)
	for _, name := range []string{"a", "b"} {
		if _, _, err := p.spend(40, name); err != nil {
			t.Fatal(err)
		}
	}
	first, of, _, err := p.refund("a", 15, "r1")
	if err != nil || first.Amount != 15 || of.Refunded != 15 || first.Spend != "a" {
		t.Fatalf("got %+v of %+v, %v, want 15 given back", first, of, err)
	}
	rest, of, _, err := p.refund("a", 0, "r2")
	if err != nil || rest.Amount != 25 || of.Refunded != 40 {
		t.Fatalf("the rest: got %+v of %+v, %v, want 25", rest, of, err)
	}
	p.holds(60)
	again, of, _, err := p.refund("a", 15, "r1")
	if diff := cmp.Diff(first, again); err != nil || diff != "" || of.Refunded != 40 {
		t.Errorf("again: got %v, %d refunded and another refund (-first +again):\n%s", err, of.Refunded, diff)
	}
	for _, amount := range []int64{0, 25} { // all of it, by either word
		if again, _, _, err = p.refund("a", amount, "r2"); err != nil || cmp.Diff(rest, again) != "" {
			t.Errorf("the rest again, by %d: got %+v, %v, want %+v", amount, again, err, rest)
		}
	}
	for _, wrong := range []func() error{
		func() error { _, _, _, err := p.refund("a", 14, "r1"); return err },
		func() error { _, _, _, err := p.refund("a", 0, "r1"); return err },
		func() error { _, _, _, err := p.refund("b", 15, "r1"); return err },
		func() error { _, _, _, err := p.refund("nothing", 15, "r1"); return err },
	} {
		p.refuses("reference_used", fault.Conflict, wrong())
	}
	_, _, _, err = p.refund("a", 1, "r3")
	p.refuses("refund_exceeds_spend", fault.Invalid, err)
	_, _, _, err = p.refund("a", 0, "r3")
	p.refuses("refund_exceeds_spend", fault.Invalid, err)
	_, _, _, err = p.refund("b", 41, "r3")
	p.refuses("refund_exceeds_spend", fault.Invalid, err)
	if again, _, err := p.spend(40, "a"); err != nil || again.Refunded != 40 {
		t.Errorf("the spend again: got %+v, %v, want it with all given back", again, err)
	}
	p.holds(60)
}

func TestACreditHappensOnceForEachReference(t *testing.T) {
	p, _ := newPurse(t)
	end := at.Add(time.Hour)
	ask := customer.CreditAsk{Currency: "gems", Amount: 10, Reference: "welcome", ExpiresAt: &end, Reason: "new here"}
	give := func(change func(*customer.CreditAsk)) (customer.Credit, error) {
		ask := ask
		change(&ask)
		got, _, err := p.Credit(t.Context(), table.Default, p.id, ask, p.clock)
		return got, err
	}
	first, err := give(func(*customer.CreditAsk) {})
	if err != nil {
		t.Fatal(err)
	}
	lots := p.read().Wallets()["gems"].Lots
	want := []wallet.Lot{{OrderID: "credit_welcome", Kind: wallet.Free, Granted: 10, Remaining: 10, ExpiresAt: &end, CameAt: at}}
	if diff := cmp.Diff(want, lots); diff != "" {
		t.Errorf("lots (-want +got):\n%s", diff)
	}
	for name, change := range map[string]func(*customer.CreditAsk){
		"the same": func(*customer.CreditAsk) {}, "another reason": func(a *customer.CreditAsk) { a.Reason = "said otherwise" },
		"in another zone": func(a *customer.CreditAsk) { there := end.In(time.FixedZone("", 3600)); a.ExpiresAt = &there },
	} {
		if again, err := give(change); err != nil || cmp.Diff(first, again) != "" {
			t.Errorf("%s: got %+v, %v, want %+v", name, again, err, first)
		}
	}
	later := end.Add(time.Second)
	for _, change := range []func(*customer.CreditAsk){
		func(a *customer.CreditAsk) { a.Amount = 11 }, func(a *customer.CreditAsk) { a.ExpiresAt = nil },
		func(a *customer.CreditAsk) { a.ExpiresAt = &later },
	} {
		_, err := give(change)
		p.refuses("reference_used", fault.Conflict, err)
	}
	p.holds(10)
	p.clock = clock.Fixed(end)
	if again, err := give(func(*customer.CreditAsk) {}); err != nil || cmp.Diff(first, again) != "" {
		t.Errorf("after its end: got %+v, %v, want %+v", again, err, first)
	}
	_, err = give(func(a *customer.CreditAsk) { a.Reference = "other" })
	p.refuses("credit_over", fault.Invalid, err)
	never := time.Date(9999, 12, 31, 23, 59, 59, 0, time.FixedZone("", -3600))
	_, err = give(func(a *customer.CreditAsk) { a.Reference, a.ExpiresAt = "far", &never })
	p.refuses("invalid_request", fault.Malformed, err)
}

func TestReferencesOfOneCurrencyAndKindAreNoneOfAnother(t *testing.T) {
	p, _ := newPurse(t)
	for _, currency := range []string{"gems", "gold"} {
		if _, _, err := p.Credit(t.Context(), table.Default, p.id, customer.CreditAsk{Currency: currency, Amount: 10, Reference: "r", Reason: "x"}, p.clock); err != nil {
			t.Fatal(err)
		}
		if _, _, err := p.Spend(t.Context(), table.Default, p.id, customer.SpendAsk{Currency: currency, Amount: 4, Reference: "r"}, p.clock); err != nil {
			t.Fatal(err)
		}
		if _, _, _, err := p.Unspend(t.Context(), table.Default, p.id, customer.UnspendAsk{Currency: currency, Spend: "r", Amount: 1, Reference: "r"}, p.clock); err != nil {
			t.Fatal(err)
		}
		if got := p.read().Wallets()[currency].Balance(at); got != 7 {
			t.Errorf("%s: got a balance of %d, want 7", currency, got)
		}
	}
}

func TestAskedWronglyIsMalformed(t *testing.T) {
	p, f := newPurse(t)
	spend := func(currency string, amount int64, reference string) error {
		_, _, err := p.Spend(t.Context(), table.Default, p.id, customer.SpendAsk{Currency: currency, Amount: amount, Reference: reference}, p.clock)
		return err
	}
	refund := func(spend, reference string, amount int64) error {
		_, _, _, err := p.refund(spend, amount, reference)
		return err
	}
	credit := func(amount int64, reason string) error {
		_, _, err := p.Credit(t.Context(), table.Default, p.id, customer.CreditAsk{Currency: "gems", Amount: amount, Reference: "r", Reason: reason}, p.clock)
		return err
	}
	for name, err := range map[string]error{
		"no amount": spend("gems", 0, "r"), "below nothing": spend("gems", -5, "r"), "too much": spend("gems", 1e12+1, "r"),
		"no reference": spend("gems", 1, ""), "a long one": spend("gems", 1, strings.Repeat("r", 129)), "no text": spend("gems", 1, "\xff"),
		"a line": spend("gems", 1, "a\nb"), "a space before": spend("gems", 1, " a"), "no currency": spend("", 1, "r"),
		"another partition's key": spend("gems#1", 1, "r"), "a replaced letter": spend("gems", 1, "a\ufffd"),
		"a refund of nothing": refund("", "r", 1), "without a name": refund("r", "", 1), "of less than nothing": refund("r", "s", -1), "of too much": refund("r", "s", 1e12+1),
		"a credit of nothing": credit(0, "x"), "without a reason": credit(1, ""), "with a long one": credit(1, strings.Repeat("x", 501)), "with a line": credit(1, "a\nb"),
	} {
		if !errors.Is(err, fault.Malformed) {
			t.Errorf("%s: got %v, want malformed", name, err)
		}
	}
	if f.operations != 0 {
		t.Errorf("what nobody could mean was looked up %d times", f.operations)
	}
	for _, reference := range []string{"r", strings.Repeat("홍", 128), "order #12: sword/2", "a%b+c"} {
		p.refuses("insufficient_balance", fault.Invalid, spend("gems", 1, reference))
	}
}

func TestWhatIsOverIsBookedBeforeAnythingIsSpent(t *testing.T) {
	p, _ := newPurse(t)
	end := at.Add(time.Hour)
	if _, _, err := p.Credit(t.Context(), table.Default, p.id, customer.CreditAsk{Currency: "gems", Amount: 10, Reference: "short", ExpiresAt: &end, Reason: "x"}, p.clock); err != nil {
		t.Fatal(err)
	}
	p.buy("o", 100)
	spent, _, err := p.spend(15, "s") // ten of what ends
	if err != nil {
		t.Fatal(err)
	}
	if got := spent.Parts[0].Lot.OrderID; got != "credit_short" || len(spent.Parts) != 2 {
		t.Errorf("got %+v, want what ends first of all", spent.Parts)
	}
	if _, _, _, err := p.refund("s", 9, "r"); err != nil {
		t.Fatal(err)
	}
	p.holds(104)
	p.clock = clock.Fixed(end)
	if got := p.balance(); got != 100 {
		t.Errorf("at the end of what came back the balance is %d, want 100", got)
	}
	if _, _, err := p.spend(1, "t"); err != nil {
		t.Fatal(err)
	}
	p.holds(99)
	if _, _, _, err := p.refund("s", 0, "r2"); err != nil { // six that are over already
		t.Fatal(err)
	}
	p.holds(99)
	var types []string
	for _, r := range p.log(p.read().Ref) {
		types = append(types, fmt.Sprint(r.Type, " ", r.Credited))
	}
	want := []string{
		"wallet.credited 10", "purchase.granted 0", "wallet.spent -15", "wallet.spend_refunded 9", "wallet.expired -4", "wallet.spent -1",
		"wallet.spend_refunded 6", "wallet.expired -6",
	}
	if diff := cmp.Diff(want, types); diff != "" {
		t.Errorf("what was told (-want +got):\n%s", diff)
	}
}

func TestAWalletThatIsFullTakesNoMoreCredits(t *testing.T) {
	p, _ := newPurse(t)
	p.change(func(w wallet.Wallet) (wallet.Wallet, wallet.Entry) {
		for n := range wallet.MostLots {
			w.Lots = append(w.Lots, wallet.Lot{OrderID: fmt.Sprint("lot", n), Kind: wallet.Free, Granted: 1000, Remaining: 1000, CameAt: at})
		}
		return w, w.Carry()
	})
	_, _, err := p.credit(1, "one more")
	p.refuses("too_many_lots", fault.Conflict, err)
	if _, _, err := p.spend(1000*wallet.MostLots, "all"); err != nil {
		t.Fatalf("spending %d lots at once: %v", wallet.MostLots, err)
	}
	if _, _, _, err := p.refund("all", 0, "back"); err != nil {
		t.Fatalf("giving %d lots back at once: %v", wallet.MostLots, err)
	}
	if _, _, err := p.spend(1000, "one"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := p.credit(1, "one more"); err != nil {
		t.Errorf("after one is gone: %v", err)
	}
	p.holds(1000*wallet.MostLots - 999)
}

func TestANewerItemIsNotMisread(t *testing.T) {
	p, _ := newPurse(t)
	p.buy("o", 100)
	if _, _, err := p.spend(1, "s"); err != nil {
		t.Fatal(err)
	}
	key := table.Key{Table: table.Customers, Partition: table.Default.Key(p.read().Ref), Sort: "spend#gems#s"}
	item, err := p.Tables.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	item.Schema = 2
	if err := p.Tables.Commit(t.Context(), table.Replaced(item)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := p.spend(1, "s"); err == nil || fault.Code(err) != "" {
		t.Errorf("got %v, want an error without a kind", err)
	}
	if _, _, _, err := p.refund("s", 1, "r"); err == nil || fault.Code(err) != "" {
		t.Errorf("a refund: got %v, want an error without a kind", err)
	}
	p.holds(99)
}

package customer_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/clock"
	"grantline/shared/customer"
	"grantline/shared/event"
	"grantline/shared/fault"
	"grantline/shared/table"
	"grantline/shared/wallet"
)

func (p *purse) ledger(currency string, after int64) ([]string, int64) {
	p.Helper()
	booked, next, err := p.Ledger(p.Context(), table.Default, p.id, currency, after)
	if err != nil {
		p.Fatal(err)
	}
	lines := []string{}
	for _, b := range booked {
		lines = append(lines, fmt.Sprintf("%d %s %d %d [%s] [%s] [%s]", b.Sequence, b.Entry.Kind, b.Entry.Amount, b.Entry.Balance, b.OrderID, b.Reference, b.Spend))
	}
	return lines, next
}

func TestALedgerSaysWhatEachEntryWasFor(t *testing.T) {
	p, _ := newPurse(t)
	if got, next := p.ledger("gems", 0); len(got) != 0 || next != 0 {
		t.Errorf("of nobody: got %q and %d, want nothing", got, next)
	}
	ben := *p
	ben.id = "ben"
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ben.buy("o2", 10)
	_, _, err := ben.spend(4, "ben's")
	must(err)
	p.buy("o1", 100)
	end := at.Add(time.Hour)
	_, _, err = p.Credit(t.Context(), table.Default, p.id, customer.CreditAsk{Currency: "gems", Amount: 5, Reference: "c", ExpiresAt: &end, Reason: "x"}, p.clock)
	must(err)
	_, _, err = p.Credit(t.Context(), table.Default, p.id, customer.CreditAsk{Currency: "gold", Amount: 7, Reference: "c", Reason: "x"}, p.clock)
	must(err)
	_, _, err = p.spend(3, "s")
	must(err)
	p.clock = clock.Fixed(end)
	_, _, _, err = p.refund("s", 1, "r")
	must(err)
	_, err = p.join("ann", "ben")
	must(err)
	p.takeBack("o1", 100)
	_, _, _, err = p.refund("ben's", 0, "r2")
	must(err)
	want := []string{
		"1 credit 100 100 [o1] [] []",
		"2 credit 5 105 [credit_c] [c] []",
		"4 spend -3 102 [] [s] []",
		"5 expire -2 100 [] [] []",
		"6 spend_refund 1 101 [] [r] [s]",
		"7 expire -1 100 [] [] []",
		"8 move_in 6 106 [] [] []",
		"9 take_back -100 6 [o1] [] []",
		"10 spend_refund 4 10 [] [r2] [ben's]",
	}
	got, next := p.ledger("gems", 0)
	if diff := cmp.Diff(want, got); diff != "" || next != 0 {
		t.Errorf("next %d, the ledger (-want +got):\n%s", next, diff)
	}
	if got, _ := p.ledger("gems", 6); cmp.Diff(want[5:], got) != "" {
		t.Errorf("after the sixth event: got %q, want %q", got, want[5:])
	}
	if got, next := p.ledger("gems", 1000); len(got) != 0 || next != 0 {
		t.Errorf("after the last: got %q and %d, want nothing", got, next)
	}
	if got, _ := p.ledger("gold", 0); cmp.Diff([]string{"3 credit 7 7 [credit_c] [c] []"}, got) != "" {
		t.Errorf("of another currency: got %q", got)
	}
	if got, _ := p.ledger("iron", 0); len(got) != 0 {
		t.Errorf("of a currency that nobody had: got %q", got)
	}
	if _, _, err := p.Ledger(t.Context(), table.Default, p.id, "", 0); !errors.Is(err, fault.Malformed) {
		t.Errorf("of no currency: got %v, want malformed", err)
	}
}

func TestALedgerIsReadToItsEndWhateverIsBetween(t *testing.T) {
	p, f := newPurse(t)
	c := p.read()
	told := func(n int) {
		for range n {
			c.Tell(event.Event{Type: event.PurchaseGranted, At: at})
			if c.Sequence()%90 == 0 { // as many as a Commit holds
				p.write(c)
				c = p.read()
			}
		}
	}
	entry := func() {
		w, e := c.Wallets()["gems"].Credit(wallet.Lot{OrderID: fmt.Sprint("o", c.Sequence()), Granted: 1})
		c.SetWallet("gems", w, e)
		told(1)
	}
	entry()
	told(1500)
	entry()
	told(30)
	p.write(c)
	f.set(&faults{})
	first, next := p.ledger("gems", 0)
	if f.operations > 12 || len(first) != 1 || next == 0 {
		t.Errorf("got %d entries, %d to go on from, by %d reads, want one, a number, and no more than a bounded number", len(first), next, f.operations)
	}
	second, last := p.ledger("gems", next)
	if len(second) != 1 || last != 0 {
		t.Errorf("then: got %q and %d, want the other one and the end", second, last)
	}
}

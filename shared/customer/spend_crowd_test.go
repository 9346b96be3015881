package customer_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"grantline/shared/aws/dynamo"
	"grantline/shared/clock"
	"grantline/shared/customer"
	"grantline/shared/dbtest/local"
	"grantline/shared/event"
	"grantline/shared/fault"
	"grantline/shared/memory"
	"grantline/shared/table"
)

// crowds runs a test on tables in memory and on real ones.
func crowds(t *testing.T, test func(*testing.T, *purse)) {
	t.Helper()
	t.Run("memory", func(t *testing.T) {
		test(t, &purse{TB: t, Directory: customer.Directory{Tables: memory.New(), Identity: identity(key)}, clock: clock.System(), id: "ann"})
	})
	t.Run("DynamoDB Local", func(t *testing.T) {
		client, prefix := local.Open(t)
		test(t, &purse{TB: t, Directory: customer.Directory{Tables: dynamo.New(client, prefix), Identity: identity(key)}, clock: clock.System(), id: "ann"})
	})
}

// atOnce begins all together and returns what each ended with.
func atOnce(acts ...func() error) []error {
	errs := make([]error, len(acts))
	var group sync.WaitGroup
	start := make(chan struct{})
	for n, act := range acts {
		group.Go(func() {
			<-start
			errs[n] = act()
		})
	}
	close(start)
	group.Wait()
	return errs
}

func TestACrowdLosesNothingAndDoublesNothing(t *testing.T) {
	crowds(t, func(t *testing.T, p *purse) {
		ben := *p
		ben.id = "ben"
		for n := range 5 {
			p.buy(fmt.Sprint("o", n), 100)
		}
		ben.buy("ben's", 300)
		for n := range 10 {
			if _, _, err := p.spend(5, fmt.Sprint("before ", n)); err != nil {
				t.Fatal(err)
			}
		}
		var acts []func() error
		for n := range 60 {
			acts = append(acts, func() error { _, _, err := p.spend(3, fmt.Sprint("spend ", n)); return err })
		}
		for n := range 10 {
			// The same at the same time, as by somebody who heard no answer.
			acts = append(acts, func() error { _, _, err := p.spend(3, fmt.Sprint("spend ", n)); return err })
			acts = append(acts, func() error { _, _, err := p.credit(7, fmt.Sprint("credit ", n)); return err })
			acts = append(acts, func() error { _, _, err := ben.spend(4, fmt.Sprint("ben ", n)); return err })
		}
		for n := range 20 {
			acts = append(acts, func() error {
				_, _, _, err := p.refund(fmt.Sprint("before ", n/2), 2, fmt.Sprint("refund ", n))
				return err
			})
		}
		acts = append(acts, func() error {
			for {
				_, err := p.join("ann", "ben")
				if !errors.Is(err, fault.Unavailable) { // it asks again; all others have an end
					return err
				}
			}
		})
		for n, err := range atOnce(acts...) {
			if err != nil {
				t.Errorf("act %d of %d: %v", n, len(acts), err)
			}
		}
		p.holds(5*100 + 300 - 10*5 - 60*3 + 10*7 - 10*4 + 20*2)
		gone, err := customer.Outgoing(t.Context(), p.Tables, table.Default, mustRef(t, p, "ben"))
		if err != nil {
			t.Fatal(err)
		}
		p.replays(gone)
		told := map[event.Type]map[string]int{}
		for _, r := range append(p.log(p.read().Ref), p.log(gone.Ref)...) {
			if told[r.Type] == nil {
				told[r.Type] = map[string]int{}
			}
			told[r.Type][r.Reference]++
		}
		for kind, want := range map[event.Type]int{event.WalletSpent: 80, event.WalletCredited: 10, event.WalletSpendRefunded: 20} {
			if got := len(told[kind]); got != want {
				t.Errorf("%s was told of %d references, want %d", kind, got, want)
			}
			for reference, times := range told[kind] {
				if times != 1 {
					t.Errorf("%s was told %d times of %q, want once", kind, times, reference)
				}
			}
		}
		for n := range 10 {
			if s, _, err := p.spend(5, fmt.Sprint("before ", n)); err != nil || s.Refunded != 4 {
				t.Errorf("spend %d: got %+v, %v, want 4 of it given back", n, s, err)
			}
		}
	})
}

func mustRef(t *testing.T, p *purse, id string) string {
	t.Helper()
	ref, err := p.Identity.Ref(t.Context(), table.Default, id)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

func TestACrowdSpendsNoMoreThanThereIs(t *testing.T) {
	crowds(t, func(t *testing.T, p *purse) {
		p.buy("o", 50)
		var acts []func() error
		for n := range 60 {
			acts = append(acts, func() error { _, _, err := p.spend(1, fmt.Sprint("spend ", n)); return err })
		}
		spent := 0
		for n, err := range atOnce(acts...) {
			switch {
			case err == nil:
				spent++
			case fault.Code(err) != "insufficient_balance":
				t.Errorf("spend %d: got %v, want it spent or insufficient_balance", n, err)
			}
		}
		if spent != 50 {
			t.Errorf("of 50 gems %d were spent", spent)
		}
		p.holds(0)
	})
}

func TestACrowdThatGivesBackGivesNoMoreThanWasSpent(t *testing.T) {
	crowds(t, func(t *testing.T, p *purse) {
		p.buy("o", 100)
		if _, _, err := p.spend(10, "s"); err != nil {
			t.Fatal(err)
		}
		var acts []func() error
		for n := range 15 {
			acts = append(acts, func() error { _, _, _, err := p.refund("s", 1, fmt.Sprint("r ", n)); return err })
		}
		back := 0
		for n, err := range atOnce(acts...) {
			switch {
			case err == nil:
				back++
			case fault.Code(err) != "refund_exceeds_spend":
				t.Errorf("refund %d: got %v, want it given back or refund_exceeds_spend", n, err)
			}
		}
		if back != 10 {
			t.Errorf("of 10 gems %d were given back", back)
		}
		p.holds(100)
	})
}

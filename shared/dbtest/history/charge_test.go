package history_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"grantline/shared/aws/dynamo"
	"grantline/shared/billing"
	"grantline/shared/catalog"
	"grantline/shared/dbtest/history"
	"grantline/shared/dbtest/local"
	"grantline/shared/fault"
	"grantline/shared/memory"
	"grantline/shared/table"
)

// office is where subscriptions are charged and everybody talks at once.
type office struct {
	tables *history.Tables
	losses *losing
	asked  *history.History
	bank   *bank
	watch  *watch
	biller *billing.Biller
	fanout *billing.Fanout
	queue  *outgoing
	scope  table.Scope
	ids    []string
	orders map[string]string // of the second period, and whose they are
}

const plans = `{"products":[],"plans":[{"id":"monthly","gateway":"toss","entitlement":"premium","name":"M",
	"price":{"units":4900,"currency":"KRW"},"cycle":"1 months","grace":true,"after_last_attempt":"unpaid"}]}`

var due = noon.AddDate(0, 1, 0)

const lease = 2 * time.Minute

// openOffice signs customers up, a month before the history begins.
func openOffice(ctx context.Context, tables table.Tables, seed uint64, often, customers int) (*office, error) {
	sold, err := catalog.Parse([]byte(plans))
	if err != nil {
		return nil, err
	}
	o := &office{
		losses: &losing{Tables: tables, dice: newDice(seed), often: often}, asked: &history.History{}, watch: &watch{at: noon},
		queue: &outgoing{}, orders: map[string]string{}, scope: table.Scope{Project: fmt.Sprint("round-", seed), Environment: "production"},
	}
	o.losses.still.Store(true)
	o.tables = &history.Tables{Tables: o.losses, History: &history.History{}}
	bankOften := 0
	if often > 0 {
		bankOften = 5
	}
	o.bank = newBank(o.asked, newDice(seed+1000), bankOften, o.losses.still.Load)
	name, log := billing.GatewayName{Scope: o.scope, Gateway: "toss"}, slog.New(slog.DiscardHandler)
	o.biller = &billing.Biller{
		Tables: o.tables, Customers: directory(o.tables), Catalog: sold, Gateways: billing.Gateways{name: o.bank}, Sealer: &bound{},
		Clock: o.watch, Log: log, Shards: 1, Lease: lease,
	}
	o.fanout = &billing.Fanout{Tables: o.tables, Clock: o.watch, Log: log, Shards: 1, Lines: []billing.Line{
		{GatewayName: name, Queue: o.queue, PerMinute: 10_000},
	}}
	for n := range customers {
		id := fmt.Sprintf("sub-%d-%d", seed, n)
		created, err := o.biller.Subscribe(ctx, o.scope, billing.SignUp{
			ID: id, CustomerID: "customer of " + id, Plan: "monthly", Gateway: "toss",
			Card: &billing.NewCard{AuthKey: "auth of " + id, CustomerKey: "customer-key-of-" + id},
		})
		if err != nil {
			return nil, err
		}
		if s := created.Subscription; s.State != billing.StateActive || !s.NextDueAt.Equal(due) {
			return nil, fmt.Errorf("subscription: got %s, next due %v, want it active until %v", s.State, s.NextDueAt, due)
		}
		o.ids = append(o.ids, id)
		o.orders[billing.OrderID(o.scope, id, 1, 1)] = id
	}
	o.asked = &history.History{} // the first period is paid, and not what this is about
	o.bank.moves = o.asked
	o.losses.still.Store(false)
	return o, nil
}

func (o *office) order(id string) string { return billing.OrderID(o.scope, id, 1, 1) }

// cancel asks as the edge does: it shows with its answer what may be under way.
func (o *office) cancel(ctx context.Context, id string, atOnce bool) error {
	asked, began := cancel{id, atOnce}, o.asked.Begin()
	s, err := o.biller.Cancel(ctx, o.scope, id, atOnce)
	if errors.Is(err, fault.Unavailable) {
		o.asked.Lost(began, asked)
		return nil
	}
	if err != nil {
		return err
	}
	answer := agreed{over: s.State == billing.StateCancelled, ending: s.Ending, underWay: true}
	if charges, err := o.biller.Charges(ctx, o.scope, s); err == nil {
		answer.underWay = false
		for _, c := range charges {
			answer.underWay = answer.underWay || c.State == billing.Sending || c.State == billing.Unknown
		}
	}
	o.asked.Ended(began, asked, answer)
	return nil
}

func (o *office) resume(ctx context.Context, id string) error {
	began := o.asked.Begin()
	_, err := o.biller.Resume(ctx, o.scope, id)
	switch {
	case err == nil:
		o.asked.Ended(began, resume{id}, going)
	case fault.Code(err) == "subscription_cancelled":
		o.asked.Ended(began, resume{id}, over)
	case errors.Is(err, fault.Unavailable):
		o.asked.Lost(began, resume{id})
	default:
		return err
	}
	return nil
}

func (o *office) refund(ctx context.Context, id, reference string) error {
	asked, began := refund{id, reference}, o.asked.Begin()
	_, r, err := o.biller.Refund(ctx, o.scope, billing.RefundAsk{OrderID: o.order(id), Reason: reference, Reference: reference})
	switch {
	case err == nil && r.State == billing.RefundDone:
		o.asked.Ended(began, asked, returned)
	case err == nil:
		o.asked.Lost(began, asked)
	case errors.Is(err, fault.NotFound), fault.Code(err) == "not_paid":
		o.asked.Ended(began, asked, notPaid)
	case fault.Code(err) == "already_refunded":
		o.asked.Ended(began, asked, allReturned)
	case fault.Code(err) == "refund_in_progress":
		o.asked.Ended(began, asked, inProgress)
	case errors.Is(err, fault.Unavailable):
		o.asked.Lost(began, asked)
	default:
		return err
	}
	return nil
}

func (o *office) look(ctx context.Context, id string) error {
	began := o.asked.Begin()
	s, err := o.biller.Get(ctx, o.scope, id)
	if err == nil {
		o.asked.Ended(began, standing{id}, agreed{over: s.State == billing.StateCancelled, ending: s.Ending})
	} else if !errors.Is(err, fault.Unavailable) {
		return err
	}
	return nil
}

func (o *office) lookUp(ctx context.Context, id string) error {
	began := o.asked.Begin()
	item, err := o.tables.Get(ctx, table.Key{Table: table.Orders, Partition: o.scope.Key(o.order(id))})
	var answer ordered
	switch {
	case err == nil:
		c, err := billing.DecodeCharge(item)
		if err != nil {
			return err
		}
		if c.State == billing.Paid || c.State == billing.Declined {
			answer.state = string(c.State)
		}
		answer.refunded = c.Refunded > 0
	case errors.Is(err, fault.Unavailable):
		return nil
	case !errors.Is(err, fault.NotFound):
		return err
	}
	o.asked.Ended(began, outcome{id}, answer)
	return nil
}

// crowd delivers a subscription's message again and again, while its customer and the support
// desk talk.
func (o *office) crowd(ctx context.Context, id string, seed uint64, refunds bool) error {
	var all sync.WaitGroup
	errs := make([]error, 5)
	for n := range errs {
		random := rand.New(rand.NewPCG(seed, uint64(n)))
		all.Go(func() {
			for range 4 {
				var err error
				switch choice := random.IntN(10); {
				case choice == 0:
					err = o.cancel(ctx, id, !refunds && random.IntN(2) == 0)
				case choice == 1:
					err = o.resume(ctx, id)
				case choice == 2 && refunds:
					err = o.refund(ctx, id, fmt.Sprint(asks, random.IntN(3)))
				case choice == 3:
					err = o.look(ctx, id)
				case choice < 6:
					err = o.lookUp(ctx, id)
				default:
					_ = o.biller.Work(ctx, o.scope, id) // what fails is delivered again
				}
				errs[n] = errors.Join(errs[n], err)
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// run has everybody talk when the subscriptions are due and at the looks after that, and then
// lets a day pass in which nothing is lost and nobody says anything.
func (o *office) run(ctx context.Context, seed uint64) error {
	for n, later := range []time.Duration{0, 3 * time.Minute, 11 * time.Minute} {
		o.watch.set(due.Add(later))
		for m, id := range o.ids {
			if err := o.crowd(ctx, id, seed*10_000+uint64(100*n+m), m%2 == 0); err != nil {
				return err
			}
		}
	}
	o.losses.still.Store(true)
	for hours := 1; hours <= 26; hours++ {
		o.watch.set(due.Add(time.Duration(hours) * time.Hour))
		if _, err := o.fanout.Tick(ctx); err != nil {
			return err
		}
		for _, m := range o.queue.messages {
			if err := o.biller.Work(ctx, m.Scope(), m.Subscription); err != nil {
				return fmt.Errorf("work on %s: %w", m.Subscription, err)
			}
		}
		o.queue.messages = nil
	}
	for _, id := range o.ids {
		if err := errors.Join(o.look(ctx, id), o.lookUp(ctx, id)); err != nil {
			return err
		}
		o.asked.Ended(o.asked.Begin(), closing{id}, nothing)
	}
	return nil
}

// books fails unless what the orders say is what the gateway did.
func (o *office) books(ctx context.Context) (paid, refused, back int, err error) {
	for order, id := range o.orders {
		item, failed := o.losses.Tables.Get(ctx, table.Key{Table: table.Orders, Partition: o.scope.Key(order)})
		if errors.Is(failed, fault.NotFound) {
			failed = nil
			item.Data, item.Schema = []byte(`{}`), 1
		}
		c, unread := billing.DecodeCharge(item)
		if failed := errors.Join(failed, unread); failed != nil {
			return 0, 0, 0, failed
		}
		took, gave := o.bank.taken[order], c.Refunded > 0
		if (c.State == billing.Paid) != (took == 1) || took > 1 || c.State == billing.Sending || c.State == billing.Unknown {
			return 0, 0, 0, fmt.Errorf("%s: the order is %q and the money was taken %d times", id, c.State, took)
		}
		switch {
		case gave:
			back++
		case took == 1:
			paid++
		case c.State == billing.Declined:
			refused++
		}
	}
	return paid, refused, back, nil
}

func chargesAreLinearizable(t *testing.T, tables table.Tables) {
	t.Helper()
	asked, operations := 0, 0
	var sum [3]int
	for round := range rounds(t, 2) {
		o, err := openOffice(t.Context(), tables, uint64(round+1), []int{25, 0, 60}[round%3], 4)
		if err != nil {
			t.Fatal(err)
		}
		if err := o.run(t.Context(), uint64(round)); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if err := history.Check(ofAgreements(o.orders), o.asked.Operations()); err != nil {
			t.Errorf("round %d, charges: %v", round, err)
		}
		if err := history.Check(history.OfTables(), o.tables.History.Operations()); err != nil {
			t.Errorf("round %d, tables: %v", round, err)
		}
		paid, refused, back, err := o.books(t.Context())
		if err != nil {
			t.Errorf("round %d: %v", round, err)
		}
		sum[0], sum[1], sum[2] = sum[0]+paid, sum[1]+refused, sum[2]+back
		asked, operations = asked+len(o.asked.Operations()), operations+len(o.tables.History.Operations())
	}
	t.Logf("%d words and movements, %d operations of tables; %d paid, %d declined, %d given back", asked, operations, sum[0], sum[1], sum[2])
}

func TestChargesAreLinearizableInMemory(t *testing.T) {
	t.Parallel()
	chargesAreLinearizable(t, memory.New())
}

func TestChargesAreLinearizableOnDynamo(t *testing.T) {
	t.Parallel()
	chargesAreLinearizable(t, dynamo.New(local.Open(t)))
}

// TestChargesOnWhatIsBrokenAreFound: the model of charges has teeth of its own, for tables and
// for a gateway.
func TestChargesOnWhatIsBrokenAreFound(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		by        defect
		forgetful bool
	}{
		"a read of what was":             {by: defect{get: staleGet}},
		"a commit without its condition": {by: defect{commit: unconditional}},
		"a success without effect":       {by: defect{commit: withoutEffect}},
		"a gateway that forgets":         {forgetful: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const tries = 100 // at random, a few are enough nearly always
			for seed := range uint64(tries) {
				tables := &broken{Tables: memory.New(), dice: newDice(seed), old: map[table.Key]table.Item{}}
				o, err := openOffice(t.Context(), tables, seed+1, 25, 5)
				if err != nil {
					t.Fatal(err)
				}
				tables.by, o.bank.forgetful = c.by, c.forgetful
				_ = o.run(t.Context(), seed) // which may stumble over what is broken
				if err := history.Check(ofAgreements(o.orders), o.asked.Operations()); errors.Is(err, history.ErrImpossible) {
					return
				}
			}
			t.Errorf("charges of %d offices: got an order for each, want none", tries)
		})
	}
}

package history_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"grantline/shared/aws/dynamo"
	"grantline/shared/catalog"
	"grantline/shared/customer"
	"grantline/shared/dbtest/history"
	"grantline/shared/dbtest/local"
	"grantline/shared/fault"
	"grantline/shared/memory"
	"grantline/shared/purchase"
	"grantline/shared/table"
)

var noon = time.Date(2040, 3, 10, 12, 0, 0, 0, time.UTC)

// watch is a clock that is moved by hand. Who sleeps really does, so that those who stand in
// each other's way make room.
type watch struct {
	mu sync.Mutex
	at time.Time
}

func (w *watch) Now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.at
}

func (w *watch) set(at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.at = at
}

func (*watch) Sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

func directory(tables table.Tables) customer.Directory {
	return customer.Directory{Tables: tables, Identity: customer.Identity{
		Key: func(context.Context, bool) (string, error) { return strings.Repeat("k", 32), nil },
	}}
}

// counter is a store that has sold whatever it is asked for, by order.
type counter struct{}

func (counter) Look(_ context.Context, p purchase.Proof) (purchase.News, error) {
	return purchase.News{Sales: []purchase.Sale{{
		Store: "apple", Line: p.Evidence, Order: p.Evidence, SKU: "com.example.gems100", State: purchase.Paid, Quantity: 1,
		PurchasedAt: noon.Add(-time.Minute), AsOf: noon.Add(-time.Minute), Currency: "KRW", Price: 4900,
	}}}, nil
}

// claim is that of an order by a customer, and whose asks our book whose the order is.
type (
	claim struct{ order, who string }
	whose struct{ order string }
)

// ofClaims is the model of orders: who claims one first has it. The state is the owner.
func ofClaims() porcupine.Model {
	return porcupine.Model{
		Partition: func(ops []porcupine.Operation) [][]porcupine.Operation {
			return byName(ops, func(op porcupine.Operation) string {
				if c, ok := op.Input.(claim); ok {
					return c.order
				}
				return op.Input.(whose).order
			})
		},
		Init: func() any { return "" },
		Step: func(state, input, output any) (bool, any) {
			owner := state.(string)
			c, claimed := input.(claim)
			switch {
			case !claimed:
				return owner == output.(string), owner
			case output == nil && owner == "", output == granted && (owner == "" || owner == c.who):
				return true, c.who
			case output == nil, output == anothers && owner != "" && owner != c.who:
				return true, owner
			}
			return false, owner
		},
		DescribeOperation: func(input, output any) string { return fmt.Sprintf("%T%+v: %v", input, input, output) },
	}
}

// The answers to a claim.
const (
	granted  = "granted"
	anothers = "another's"
)

// byName parts a history by what its operations are about.
func byName(ops []porcupine.Operation, name func(porcupine.Operation) string) [][]porcupine.Operation {
	places := map[string]int{}
	var parts [][]porcupine.Operation
	for _, op := range ops {
		n, ok := places[name(op)]
		if !ok {
			n = len(parts)
			places[name(op)], parts = n, append(parts, nil)
		}
		parts[n] = append(parts[n], op)
	}
	return parts
}

// market is a book of purchases whose customers claim each other's orders.
type market struct {
	tables         *history.Tables // what the book has
	under          table.Tables    // what nobody records, and nothing is lost of
	book           *purchase.Book
	claims         *history.History
	scope          table.Scope
	buyers, orders []string
	refs           map[string]string // of buyers, to their names
}

// open makes a book on tables whose answers are lost at times.
func openMarket(ctx context.Context, tables table.Tables, seed uint64, often int) (*market, error) {
	sold, err := catalog.Embedded()
	if err != nil {
		return nil, err
	}
	m := &market{
		tables: &history.Tables{Tables: &losing{Tables: tables, dice: newDice(seed), often: often}, History: &history.History{}},
		under:  tables, claims: &history.History{}, refs: map[string]string{}, scope: table.Default,
	}

	m.book = &purchase.Book{
		Tables: m.tables, Customers: directory(m.tables), Catalog: sold, Clock: &watch{at: noon}, Log: slog.New(slog.DiscardHandler),
		Stores: map[string]purchase.Store{"apple": counter{}},
	}
	of := directory(tables)
	for n := range 4 {
		who := fmt.Sprint("buyer-", seed, "-", n)
		c, err := of.Named(ctx, m.scope, who)
		if err != nil {
			return nil, err
		}
		m.buyers, m.refs[c.Ref] = append(m.buyers, who), who
	}
	for n := range 5 {
		m.orders = append(m.orders, fmt.Sprint(seed*100+uint64(n)))
	}
	return m, nil
}

func (m *market) claim(ctx context.Context, order, who string) error {
	asked, began := claim{order, who}, m.claims.Begin()
	_, err := m.book.Claim(ctx, m.scope, who, purchase.Proof{Store: "apple", Evidence: order})
	switch {
	case err == nil:
		m.claims.Ended(began, asked, granted)
	case errors.Is(err, fault.Conflict) && fault.Code(err) == "owned_by_another_customer":
		m.claims.Ended(began, asked, anothers)
	case errors.Is(err, fault.Unavailable):
		m.claims.Lost(began, asked)
	default:
		return fmt.Errorf("claim of %s by %s: %w", order, who, err)
	}
	return nil
}

// ask whose an order is, by the order itself.
func (m *market) ask(ctx context.Context, order string) error {
	began := m.claims.Begin()
	item, err := m.under.Get(ctx, table.Key{Table: table.Orders, Partition: m.scope.Key("apple_" + order)})
	owner := ""
	if err == nil {
		o, err := purchase.DecodeOrder(item)
		if err != nil {
			return err
		}
		owner = m.refs[o.Customer]
	} else if !errors.Is(err, fault.NotFound) {
		return err
	}
	m.claims.Ended(began, whose{order}, owner)
	return nil
}

// crowd claims at random, and then counts what everybody has.
func (m *market) crowd(ctx context.Context, seed uint64) error {
	var all sync.WaitGroup
	errs := make([]error, 6)
	for n := range errs {
		random := rand.New(rand.NewPCG(seed, uint64(n)))
		all.Go(func() {
			for range 8 {
				order := m.orders[random.IntN(len(m.orders))]
				if random.IntN(3) == 0 {
					errs[n] = errors.Join(errs[n], m.ask(ctx, order))
				} else {
					errs[n] = errors.Join(errs[n], m.claim(ctx, order, m.buyers[random.IntN(len(m.buyers))]))
				}
			}
		})
	}
	all.Wait()
	for _, order := range m.orders {
		errs = append(errs, m.ask(ctx, order))
	}
	return errors.Join(errs...)
}

// balances fails unless everybody's wallet holds what its orders gave.
func (m *market) balances(ctx context.Context) error {
	of := directory(m.under)
	for ref, who := range m.refs {
		c, err := of.Named(ctx, m.scope, who)
		if err != nil {
			return err
		}
		want := int64(0)
		for _, order := range m.orders {
			item, err := m.under.Get(ctx, table.Key{Table: table.Orders, Partition: m.scope.Key("apple_" + order)})
			if errors.Is(err, fault.NotFound) {
				continue
			}
			o, failed := purchase.DecodeOrder(item)
			if err = errors.Join(err, failed); err != nil {
				return err
			}
			if o.Customer == ref {
				want += 100
			}
		}
		if got := c.Wallets()["gems"].Balance(noon); got != want {
			return fmt.Errorf("gems of %s: got %d, want %d", who, got, want)
		}
	}
	return nil
}

func claimsAreLinearizable(t *testing.T, tables table.Tables) {
	t.Helper()
	claims, operations := 0, 0
	for round := range rounds(t, 4) {
		m, err := openMarket(t.Context(), tables, uint64(round+1), []int{0, 60, 20}[round%3])
		if err != nil {
			t.Fatal(err)
		}
		if err := m.crowd(t.Context(), uint64(round)); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if err := history.Check(ofClaims(), m.claims.Operations()); err != nil {
			t.Errorf("round %d, claims: %v", round, err)
		}
		if err := history.Check(history.OfTables(), m.tables.History.Operations()); err != nil {
			t.Errorf("round %d, tables: %v", round, err)
		}
		if err := m.balances(t.Context()); err != nil {
			t.Errorf("round %d: %v", round, err)
		}
		claims, operations = claims+len(m.claims.Operations()), operations+len(m.tables.History.Operations())
	}
	t.Logf("%d claims and questions, %d operations of tables", claims, operations)
}

func TestClaimsAreLinearizableInMemory(t *testing.T) {
	t.Parallel()
	claimsAreLinearizable(t, memory.New())
}

func TestClaimsAreLinearizableOnDynamo(t *testing.T) {
	t.Parallel()
	claimsAreLinearizable(t, dynamo.New(local.Open(t)))
}

// TestClaimsOnBrokenTablesAreFound: the model of claims has teeth of its own.
func TestClaimsOnBrokenTablesAreFound(t *testing.T) {
	t.Parallel()
	for name, by := range map[string]defect{
		"a commit without its condition": {commit: unconditional},
		"a success without effect":       {commit: withoutEffect},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const tries = 100
			for seed := range uint64(tries) {
				tables := &broken{Tables: memory.New(), dice: newDice(seed), old: map[table.Key]table.Item{}, by: by}
				m, err := openMarket(t.Context(), tables, seed+1, 0)
				if err != nil {
					t.Fatal(err)
				}
				_ = m.crowd(t.Context(), seed) // which may stumble over what is broken
				if errors.Is(history.Check(ofClaims(), m.claims.Operations()), history.ErrImpossible) {
					return
				}
			}
			t.Errorf("claims of %d crowds: got an order for each, want none", tries)
		})
	}
}

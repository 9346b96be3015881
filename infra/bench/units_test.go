// Package bench_test counts what the journeys cost: read and write units of the tables, as
// DynamoDB meters them.
package bench_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"grantline/shared/aws/dynamo"
	"grantline/shared/billing"
	"grantline/shared/catalog"
	"grantline/shared/clock"
	"grantline/shared/customer"
	"grantline/shared/dbtest/local"
	"grantline/shared/money"
	"grantline/shared/purchase"
	"grantline/shared/table"
)

// units counts reads and index writes as DynamoDB meters them. Writes it counts itself, by
// the rule of AWS's documentation (one for each started KB, two in a transaction), since
// DynamoDB Local reports no more than one item for each table of a transaction.
type units struct {
	table.Tables

	mu                 sync.Mutex
	read, write, index float64
	largest            int // bytes of the largest item written
	sizes              map[table.Key]int
}

func (u *units) count(_ string, _ table.Table, read, _, index float64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.read, u.index = u.read+read, u.index+index
}

func (u *units) Commit(ctx context.Context, writes ...table.Write) error {
	u.mu.Lock()
	for _, w := range writes {
		size := itemSize(w.Item)
		u.largest = max(u.largest, size)
		// A replacement is charged by the larger of the old and the new item.
		old := u.sizes[w.Item.Key]
		if u.sizes == nil {
			u.sizes = map[table.Key]int{}
		}
		u.sizes[w.Item.Key] = size
		kb := float64((max(size, old) + 1023) / 1024)
		if len(writes) > 1 {
			kb *= 2
		}
		u.write += kb
	}
	u.mu.Unlock()
	return u.Tables.Commit(ctx, writes...)
}

func (u *units) reset() { u.read, u.write, u.index, u.largest = 0, 0, 0, 0 }

// unsealed seals nothing, but makes it as large as the real one does.
type unsealed struct{}

func (unsealed) Seal(_ context.Context, plain, _ []byte) ([]byte, error) {
	return append(make([]byte, envelope), plain...), nil
}

func (unsealed) Open(_ context.Context, sealed, _ []byte) ([]byte, error) {
	return sealed[envelope:], nil
}

// envelope is a data key wrapped by KMS, a nonce and a tag.
const envelope = 3 + 184 + 12 + 16

// willing takes every charge; its body and answer are as large as the real ones.
type willing struct {
	billing.Cards // what no charge needs

	charges int
}

func (willing) Issue(_ context.Context, r billing.Registration) (billing.Card, error) {
	return billing.Card{BillingKey: "Z_t5vOvQxrj4499PeiJcjen28-V2RyqgYTwN44Rdzk0=", CustomerKey: r.CustomerKey, Number: "53275010****222*", Issuer: "24"}, nil
}

func (willing) Compose(r billing.Request) ([]byte, error) { return json.Marshal(r) }

func (w *willing) Charge(context.Context, string, billing.Card, []byte) billing.Outcome {
	w.charges++
	return billing.Outcome{Result: billing.Taken, Payment: billing.Payment{
		Key: "xMljweGQBN5OWRapdA8dPbZN9zYl7X8o1zEqZKLPbmD70vk4", Transaction: "748038ECC457E11C9532BB4A7B7D02E1",
		Card: "53275010****222*", Issuer: "24", Approval: "00000000",
		ReceiptURL: "https://dashboard.tosspayments.com/receipt/redirection?transactionId=tviva20230808163001X5IR1&ref=PX",
		Amount:     4900, Currency: "KRW", VAT: 445,
	}}
}

func (willing) Find(context.Context, string, billing.Want) billing.Outcome {
	return billing.Outcome{Result: billing.Absent}
}

func (willing) Repeats() bool { return true }

func (willing) Forget(context.Context, billing.Card) error { return nil }

func (willing) Refund(context.Context, billing.Refunding) billing.Refunded {
	return billing.Refunded{Result: billing.Taken}
}

func (willing) FindRefund(context.Context, billing.Refunding) billing.Refunded {
	return billing.Refunded{Result: billing.Absent}
}

func (willing) Statement(context.Context, time.Time, time.Time, string) ([]billing.Entry, string, error) {
	return nil, "", nil
}

// paid is a store where everything is paid.
type paid struct{}

func (paid) Look(_ context.Context, p purchase.Proof) (purchase.News, error) {
	return purchase.News{Sales: []purchase.Sale{
		{Store: p.Store, Line: p.Evidence, Order: p.Evidence, SKU: p.SKU, State: purchase.Paid, Quantity: 1},
	}}, nil
}

// itemSize is how many bytes DynamoDB counts for an item (DynamoDB developer guide,
// "DynamoDB item sizes and formats").
func itemSize(i table.Item) int {
	var data map[string]any
	decoder := json.NewDecoder(bytes.NewReader(i.Data))
	decoder.UseNumber()
	if err := decoder.Decode(&data); err != nil {
		panic(err)
	}
	size := len("pk") + len(i.Key.Partition) + len("revision") + 2 + len("schema") + 2 + len("token") + 26
	if i.Key.Sort != "" {
		size += len("sk") + len(i.Key.Sort)
	}
	if i.Index != nil {
		size += len("indexPartition") + len(i.Index.Partition) + len("indexSort") + len(i.Index.Sort)
		if i.Index.Hint != "" {
			size += len("hint") + len(i.Index.Hint)
		}
	}
	if len(i.Sealed) > 0 {
		size += len("sealed") + len(i.Sealed)
	}
	for name, value := range data {
		size += len(name) + valueSize(value)
	}
	return size
}

func valueSize(v any) int {
	switch v := v.(type) {
	case string:
		return len(v)
	case json.Number:
		return (len(v)+1)/2 + 1
	case []any:
		size := 3
		for _, of := range v {
			size += 1 + valueSize(of)
		}
		return size
	case map[string]any:
		size := 3
		for name, of := range v {
			size += 1 + len(name) + valueSize(of)
		}
		return size
	}
	return 1
}

func world(t *testing.T, now clock.Clock) (*units, *willing, *billing.Biller, *purchase.Book) {
	t.Helper()
	client, prefix := local.Open(t)
	meter := &units{}
	meter.Tables = dynamo.New(client, prefix, dynamo.WithMeter(meter.count))
	tables := table.Tables(meter)
	goods, err := catalog.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	customers := customer.Directory{Tables: tables, Identity: customer.Identity{
		Key: func(context.Context, bool) (string, error) { return "0123456789abcdef0123456789abcdef", nil },
	}}
	gateway := &willing{}
	biller := &billing.Biller{
		Tables: tables, Customers: customers, Catalog: goods, Sealer: unsealed{}, Clock: now, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
		Gateways: billing.Gateways{{Scope: table.Default, Gateway: "toss"}: gateway}, Shards: 16, Lease: 2 * time.Minute,
	}
	book := &purchase.Book{Tables: tables, Customers: customers, Catalog: goods, Clock: now, Stores: map[string]purchase.Store{"appsintoss": paid{}}}
	return meter, gateway, biller, book
}

// movable is a clock that a test moves.
type movable struct{ at time.Time }

func (m *movable) Now() time.Time                                   { return m.at }
func (m *movable) Sleep(ctx context.Context, _ time.Duration) error { return ctx.Err() }

func TestASuccessfulChargeCostsEightWritesTwoIndexWritesAndTwoAndAHalfReads(t *testing.T) {
	now := &movable{time.Date(2026, 1, 31, 4, 10, 0, 0, time.UTC)}
	meter, gateway, biller, _ := world(t, now)
	created, err := biller.Subscribe(t.Context(), table.Default, billing.SignUp{
		ID: "sub-1", CustomerID: "minji", Plan: "premium-monthly", Gateway: "toss",
		Card: &billing.NewCard{AuthKey: "auth", CustomerKey: "2f1f0f6e-6e4f-4d3b-9d2f-1b2c3d4e5f60"},
	})
	if err != nil || created.Subscription.State != billing.StateActive {
		t.Fatalf("the sign-up ended in %+v, %v", created.Subscription, err)
	}
	t.Logf("a sign-up with its first charge: %v write, %v index, %v read units", meter.write, meter.index, meter.read)
	for month := 1; month <= 13; month++ {
		now.at = created.Subscription.NextDueAt
		meter.reset()
		if err := biller.Work(t.Context(), table.Default, "sub-1"); err != nil {
			t.Fatal(err)
		}
		if created.Subscription, err = biller.Get(t.Context(), table.Default, "sub-1"); err != nil {
			t.Fatal(err)
		}
		meter.read-- // our own look, which is no part of the charge
		// DynamoDB Local counts an index entry that moves inside a transaction twice.
		if meter.write != 8 || meter.index != 4 || meter.read != 2.5 {
			t.Errorf("charge %d cost %v write, %v index and %v read units, want 8, 4 (2 on AWS) and 2.5", month, meter.write, meter.index, meter.read)
		}
	}
	t.Logf("the largest item of a charge has %d bytes of the kilobyte", meter.largest)
	if gateway.charges != 14 {
		t.Errorf("%d charges were made, want 14", gateway.charges)
	}
}

func TestWhatIsApartFromTheDatesCostsWhatTheMapSays(t *testing.T) {
	now := &movable{time.Date(2026, 1, 31, 4, 10, 0, 0, time.UTC)}
	meter, _, biller, _ := world(t, now)
	if _, err := biller.Subscribe(t.Context(), table.Default, billing.SignUp{
		ID: "sub-1", CustomerID: "minji", Plan: "premium-monthly", Gateway: "toss",
		Card: &billing.NewCard{AuthKey: "auth", CustomerKey: "2f1f0f6e-6e4f-4d3b-9d2f-1b2c3d4e5f60"},
	}); err != nil {
		t.Fatal(err)
	}
	cost := func(what string, want float64, act func() error) {
		t.Helper()
		meter.reset()
		if err := act(); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if meter.write != want {
			t.Errorf("%s cost %v write units (%v index, %v read), want %v", what, meter.write, meter.index, meter.read, want)
		}
	}
	cost("a charge on demand", 12, func() error {
		c, err := biller.Demand(t.Context(), table.Default, "sub-1", billing.Demand{OrderID: "extra-1", Amount: money.Of(1000, "KRW")})
		if err == nil && c.State != billing.Paid {
			t.Errorf("the charge is %s", c.State)
		}
		return err
	})
	refund := func(order string, amount int64) func() error {
		return func() error {
			_, r, err := biller.Refund(t.Context(), table.Default, billing.RefundAsk{OrderID: order, Amount: amount, Reason: "asked for", Reference: "r-" + order})
			if err == nil && r.State != billing.RefundDone {
				t.Errorf("the refund is %s", r.State)
			}
			return err
		}
	}
	cost("a refund in part", 12, refund(billing.OrderID(table.Default, "sub-1", 0, 1), 1000))
	now.at = now.at.Add(26*time.Hour + time.Minute)
	cost("its being held against the books", 4, func() error { return biller.Work(t.Context(), table.Default, "errand:order-extra-1") })
}

func TestAClaimIsOneTransactionAndADuplicateWritesNothing(t *testing.T) {
	meter, _, _, book := world(t, clock.Fixed(time.Date(2026, 1, 31, 4, 10, 0, 0, time.UTC)))
	claim := func(order, sku string) {
		t.Helper()
		meter.reset()
		if _, err := book.Claim(t.Context(), table.Default, "minji", purchase.Proof{Store: "appsintoss", Evidence: order, SKU: sku}); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		what, order, sku string
		write, index     float64
	}{
		// order, line, head, event; wallet; with the first claim profile and two aliases, and the
		// outbox, which stays as it is while more comes.
		{"the first claim of a customer, gems", "0193e5b0-0000-7000-8000-000000000001", "gems-100", 16, 2},
		{"more gems", "0193e5b0-0000-7000-8000-000000000002", "gems-100", 10, 0},
		{"an entitlement", "0193e5b0-0000-7000-8000-000000000003", "ad-free", 8, 0},
		{"the same again", "0193e5b0-0000-7000-8000-000000000003", "ad-free", 0, 0},
	} {
		claim(c.order, c.sku)
		t.Logf("%s: %v write, %v index, %v read units", c.what, meter.write, meter.index, meter.read)
		if meter.write != c.write || meter.index != c.index || meter.read > 3 {
			t.Errorf("%s cost %s, want %v write, %v index and at most 3 read units", c.what, fmt.Sprint(meter.write, meter.index, meter.read), c.write, c.index)
		}
	}
}

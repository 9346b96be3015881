package dynamo_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/google/go-cmp/cmp"

	"grantline/shared/aws/dynamo"
	"grantline/shared/clock"
	"grantline/shared/dbtest/local"
	"grantline/shared/fault"
	"grantline/shared/table"
)

func TestReadsAreAsStrongAsTheySay(t *testing.T) {
	s := told(fine)
	tables := s.tables(t)
	_, _ = tables.Get(t.Context(), order("o").Key)
	_, _ = tables.Glance(t.Context(), order("o").Key)
	_, _ = tables.GetAll(t.Context(), []table.Key{order("o").Key})
	_, _ = tables.Query(t.Context(), table.Query{Table: table.Customers, Partition: "c", Limit: 1})
	_, _ = tables.Query(t.Context(), table.Query{Table: table.Orders, Indexed: true, Partition: "c", Limit: 1})
	var got []any
	for _, c := range s.calls {
		strong := c.at("ConsistentRead")
		if c.Operation == "BatchGetItem" {
			strong = c.at("RequestItems", "t-orders", "ConsistentRead")
		}
		got = append(got, c.Operation, strong)
	}
	want := []any{"GetItem", true, "GetItem", false, "BatchGetItem", true, "Query", true, "Query", nil}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("reads: got (+) and want (-) differ:\n%s", d)
	}
}

func TestNothingIsMeteredUnasked(t *testing.T) {
	for _, c := range []struct {
		options []dynamo.Option
		want    any
	}{
		{nil, nil},
		{[]dynamo.Option{dynamo.WithMeter(func(string, table.Table, float64, float64, float64) {})}, "INDEXES"},
	} {
		s := told(fine)
		tables := s.tables(t, c.options...)
		read := order("o")
		read.Revision = 1
		_, _ = tables.Get(t.Context(), read.Key)
		_, _ = tables.GetAll(t.Context(), []table.Key{read.Key})
		_, _ = tables.Query(t.Context(), table.Query{Table: table.Customers, Partition: "c", Limit: 1})
		_ = tables.Commit(t.Context(), table.Inserted(order("o")))
		_ = tables.Commit(t.Context(), table.Removed(read))
		_ = tables.Commit(t.Context(), table.Replaced(read), table.Inserted(head("c")))
		if len(s.calls) != 6 {
			t.Fatalf("requests: got %d, want 6", len(s.calls))
		}
		for _, r := range s.calls {
			if got := r.at("ReturnConsumedCapacity"); got != c.want {
				t.Errorf("%s asks for capacity: got %v, want %v", r.Operation, got, c.want)
			}
		}
	}
}

func TestUnprocessedKeysAreAskedForAgain(t *testing.T) {
	some := func(in, left string) answer {
		body := `{"Responses":{"t-orders":[` + in + `]}`
		if left != "" {
			body += `,"UnprocessedKeys":{"t-orders":{"ConsistentRead":true,"Keys":[{"pk":{"S":"` + left + `"}}]}}`
		}
		return answer{200, body + `}`}
	}
	s := told(
		some(lying("b", "x", "1"), "a"),
		some("", "a"),
		some("", "a"),
		some(lying("a", "x", "1"), ""),
	)
	tables := s.tables(t, dynamo.WithClock(clock.Fixed{}))
	items, err := tables.GetAll(t.Context(), []table.Key{order("a").Key, order("b").Key})
	if err != nil || len(items) != 2 || items[0].Key != order("a").Key || items[1].Key != order("b").Key {
		t.Errorf("GetAll: got %v, %v, want a and b", items, err)
	}

	never := told(some("", "a"))
	_, err = never.tables(t, dynamo.WithClock(clock.Fixed{})).GetAll(t.Context(), []table.Key{order("a").Key})
	if !errors.Is(err, fault.Unavailable) || len(never.calls) > 10 {
		t.Errorf("GetAll that never gets an item: got %v after %d requests, want fault.Unavailable after a few", err, len(never.calls))
	}
}

// leaving ends a context while GetAll waits.
type leaving struct {
	clock.Clock
	leave context.CancelFunc
}

func (l leaving) Sleep(ctx context.Context, _ time.Duration) error {
	l.leave()
	return ctx.Err()
}

func TestCallerMayLeaveWhileGetAllWaits(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := told(answer{200, `{"UnprocessedKeys":{"t-orders":{"Keys":[{"pk":{"S":"a"}}]}}}`})
	_, err := s.tables(t, dynamo.WithClock(leaving{clock.System(), cancel})).GetAll(ctx, []table.Key{order("a").Key})
	if !errors.Is(err, fault.Unavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("GetAll: got %v, want fault.Unavailable because of context.Canceled", err)
	}
}

func TestForeignAttributesAreAnErrorAndNotNotFound(t *testing.T) {
	for name, item := range map[string]string{
		"a set":       `{"pk":{"S":"o"},"revision":{"N":"1"},"schema":{"N":"1"},"x":{"SS":["a"]}}`,
		"binary":      `{"pk":{"S":"o"},"revision":{"N":"1"},"schema":{"N":"1"},"x":{"L":[{"B":"YQ=="}]}}`,
		"no revision": `{"pk":{"S":"o"},"schema":{"N":"1"}}`,
		"revision 0":  `{"pk":{"S":"o"},"revision":{"N":"0"},"schema":{"N":"1"}}`,
		"no schema":   `{"pk":{"S":"o"},"revision":{"N":"1"}}`,
	} {
		_, err := told(answer{200, `{"Item":` + item + `}`}).tables(t).Get(t.Context(), order("o").Key)
		if !kindless(err) {
			t.Errorf("Get of an item with %s: got %v, want an error of no kind", name, err)
		}
	}
}

func TestClientKeepsConnectionsForManyGoroutines(t *testing.T) {
	o := dynamo.Client(local.Config("http://127.0.0.1:9"), time.Second).Options()
	client, ok := o.HTTPClient.(*awshttp.BuildableClient)
	if !ok {
		t.Fatalf("HTTP client: got %T, want *awshttp.BuildableClient", o.HTTPClient)
	}
	if got := client.GetTransport().MaxIdleConnsPerHost; got < 50 {
		t.Errorf("idle connections kept: got %d, want 50 or more", got)
	}
	if got := client.GetTimeout(); got != time.Second {
		t.Errorf("timeout of an attempt: got %v, want 1s", got)
	}
}

func TestAnswersOverSixteenMegabytesComeInParts(t *testing.T) {
	parts := 0
	client, prefix := local.Open(t)
	tables := dynamo.New(client, prefix, dynamo.WithMeter(func(string, table.Table, float64, float64, float64) { parts++ }))
	var keys []table.Key
	for n := range 45 {
		i := order(fmt.Sprint("o-", n))
		i.Data = fmt.Appendf(nil, `{"a":%q}`, strings.Repeat("x", 390<<10))
		if err := tables.Commit(t.Context(), table.Inserted(i)); err != nil {
			t.Fatalf("Commit: got %v, want success", err)
		}
		keys = append(keys, i.Key)
	}
	parts = 0
	items, err := tables.GetAll(t.Context(), keys)
	if err != nil || len(items) != len(keys) {
		t.Errorf("GetAll of 17 MB: got %d items, %v, want %d", len(items), err, len(keys))
	}
	for n := range items {
		if items[n].Key != keys[n] {
			t.Fatalf("item %d: got %v, want %v", n, items[n].Key, keys[n])
		}
	}
	if parts < 2 {
		t.Errorf("answers: got %d, want several", parts)
	}
}

// TestUnitsAreAsTheMapSays holds the package's comment to what DynamoDB Local counts.
func TestUnitsAreAsTheMapSays(t *testing.T) {
	var got []string
	client, prefix := local.Open(t)
	tables := dynamo.New(client, prefix, dynamo.WithMeter(func(op string, in table.Table, read, write, index float64) {
		got = append(got, fmt.Sprint(op, " ", in, " ", read, " ", write, " ", index))
	}))
	step := func(what string, do func() error, want ...string) {
		t.Helper()
		got = nil
		if err := do(); err != nil {
			t.Fatalf("%s: got %v, want success", what, err)
		}
		slices.Sort(got) // the tables of a transaction come in any order
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: units (operation, table, read, write, index) got (+) and want (-) differ:\n%s", what, d)
		}
	}
	commit := func(writes ...table.Write) func() error {
		return func() error { return tables.Commit(t.Context(), writes...) }
	}
	s := table.Item{
		Key: table.Key{Table: table.Subscriptions, Partition: "s"}, Schema: 1, Data: []byte(`{}`),
		Index: &table.Index{Partition: "p", Sort: "1", Hint: "h"},
	}
	at := func(revision int64, change func(*table.Index)) table.Item {
		i := s
		entry := table.Index{Partition: "p", Sort: "1", Hint: "h"}
		change(&entry)
		i.Index, i.Revision = &entry, revision
		return i
	}
	step("insert with an entry", commit(table.Inserted(s)), "PutItem subscriptions 0 1 1")
	step("replace, same entry", commit(table.Replaced(at(1, func(*table.Index) {}))), "PutItem subscriptions 0 1 0")
	step("replace, another hint", commit(table.Replaced(at(2, func(x *table.Index) { x.Hint = "i" }))), "PutItem subscriptions 0 1 1")
	step("replace, entry moves", commit(table.Replaced(at(3, func(x *table.Index) { x.Sort = "2" }))), "PutItem subscriptions 0 1 2")
	moved := at(4, func(x *table.Index) { x.Sort = "2" })
	step("lone check", commit(table.Unchanged(moved)), "GetItem subscriptions 1 0 0")
	step("get", func() error { _, err := tables.Get(t.Context(), s.Key); return err }, "GetItem subscriptions 1 0 0")
	step("glance", func() error { _, err := tables.Glance(t.Context(), s.Key); return err }, "GetItem subscriptions 0.5 0 0")
	step("query of the index", func() error {
		_, err := tables.Query(t.Context(), table.Query{Table: table.Subscriptions, Indexed: true, Partition: "p", Limit: 9})
		return err
	}, "Query subscriptions 0 0 0.5")
	step("claim and its head", commit(table.Inserted(order("o")), table.Inserted(head("c"))),
		"TransactWriteItems customers 0 2 0", "TransactWriteItems orders 0 2 0")
	step("query of a partition", func() error {
		_, err := tables.Query(t.Context(), table.Query{Table: table.Customers, Partition: "c", Limit: 9})
		return err
	}, "Query customers 1 0 0")
	gone := moved
	gone.Index = nil
	step("entry goes", commit(table.Replaced(gone)), "PutItem subscriptions 0 1 1")
	gone.Revision = 5
	step("remove", commit(table.Removed(gone)), "DeleteItem subscriptions 0 1 0")
}

package faulty_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"grantline/infra/local/faulty"
	"grantline/shared/aws/dynamo"
	"grantline/shared/dbtest/local"
	"grantline/shared/fault"
	"grantline/shared/table"
)

// patience is what a client waits for an answer; a hanging call costs it.
const patience = 3 * time.Second

// behind opens tables behind a proxy, and the same ones without it.
func behind(t *testing.T) (broken, whole *dynamo.Tables, proxy *faulty.Proxy) {
	t.Helper()
	client, prefix := local.Open(t)
	target, err := url.Parse(local.Endpoint(t))
	if err != nil {
		t.Fatalf("DYNAMODB_ENDPOINT: got %v, want a URL", err)
	}
	proxy = faulty.New(target)
	server := httptest.NewServer(proxy)
	t.Cleanup(server.Close)
	return dynamo.New(dynamo.Client(local.Config(server.URL), patience), prefix), dynamo.New(client, prefix), proxy
}

func order(id string) table.Item {
	return table.Item{
		Key: table.Key{Table: table.Orders, Partition: table.Default.Key(id)}, Schema: 1, Data: []byte(`{"state":"claimed"}`),
	}
}

func head(id string) table.Item {
	return table.Item{
		Key: table.Key{Table: table.Customers, Partition: table.Default.Key(id), Sort: "head"}, Schema: 1, Data: []byte(`{}`),
	}
}

// revision of an item as it is stored, 0 if it is not.
func revision(t *testing.T, in *dynamo.Tables, k table.Key) int64 {
	t.Helper()
	i, err := in.Get(t.Context(), k)
	if err != nil && !errors.Is(err, fault.NotFound) {
		t.Fatalf("Get: got %v, want an item or none", err)
	}
	return i.Revision
}

var (
	everyWay = []faulty.How{faulty.Hang, faulty.Reset, faulty.Error}
	quickly  = []faulty.How{faulty.Reset, faulty.Error}
)

// each runs a test for nothing done and done, for each of the ways to fail, with an id
// of its own.
func each(t *testing.T, hows []faulty.How, test func(t *testing.T, id string, f faulty.Fault)) {
	for _, when := range []faulty.When{faulty.Before, faulty.After} {
		for _, how := range hows {
			t.Run(string(when)+" "+string(how), func(t *testing.T) {
				test(t, string(when)+"-"+string(how), faulty.Fault{Times: 1, When: when, How: how})
			})
		}
	}
}

func inject(t *testing.T, p *faulty.Proxy, f faulty.Fault) {
	t.Helper()
	if err := p.Break(f); err != nil {
		t.Fatalf("Break: got %v, want success", err)
	}
}

func TestInsertWhoseAnswerWasLostSucceedsOnce(t *testing.T) {
	broken, whole, proxy := behind(t)
	each(t, everyWay, func(t *testing.T, id string, f faulty.Fault) {
		f.Operation, f.Contains = "PutItem", id
		inject(t, proxy, f)
		done := proxy.Done("PutItem")
		if err := broken.Commit(t.Context(), table.Inserted(order(id))); err != nil {
			t.Errorf("Commit: got %v, want success", err)
		}
		if got := revision(t, whole, order(id).Key); got != 1 {
			t.Errorf("revision: got %d, want 1", got)
		}
		if got := proxy.Done("PutItem") - done; got != 1 || proxy.Left() != 0 {
			t.Errorf("puts that were made: got %d with %d faults left, want 1 and none", got, proxy.Left())
		}
		if err := broken.Commit(t.Context(), table.Inserted(order(id))); !errors.Is(err, fault.Conflict) {
			t.Errorf("another Commit of the same: got %v, want fault.Conflict", err)
		}
	})
}

func TestReplaceWhoseAnswerWasLostSucceedsOnce(t *testing.T) {
	broken, whole, proxy := behind(t)
	each(t, quickly, func(t *testing.T, id string, f faulty.Fault) {
		if err := whole.Commit(t.Context(), table.Inserted(order(id))); err != nil {
			t.Fatalf("Commit: got %v, want success", err)
		}
		inject(t, proxy, f)
		i := order(id)
		i.Revision = 1
		if err := broken.Commit(t.Context(), table.Replaced(i)); err != nil {
			t.Errorf("Commit: got %v, want success", err)
		}
		if got := revision(t, whole, i.Key); got != 2 {
			t.Errorf("revision: got %d, want 2", got)
		}
	})
}

func TestTransactionWhoseAnswerWasLostSucceedsOnce(t *testing.T) {
	broken, whole, proxy := behind(t)
	each(t, everyWay, func(t *testing.T, id string, f faulty.Fault) {
		if err := whole.Commit(t.Context(), table.Inserted(head(id))); err != nil {
			t.Fatalf("Commit: got %v, want success", err)
		}
		f.Operation, f.Contains = "TransactWriteItems", "-orders"
		inject(t, proxy, f)
		counted := head(id)
		counted.Revision = 1
		if err := broken.Commit(t.Context(), table.Inserted(order(id)), table.Replaced(counted)); err != nil {
			t.Errorf("Commit: got %v, want success", err)
		}
		if got := [2]int64{revision(t, whole, order(id).Key), revision(t, whole, head(id).Key)}; got != [2]int64{1, 2} {
			t.Errorf("revisions: got %v, want 1 and 2", got)
		}
	})
}

func TestRemovalWhoseAnswerWasLostIsUnknown(t *testing.T) {
	broken, whole, proxy := behind(t)
	each(t, quickly, func(t *testing.T, id string, f faulty.Fault) {
		if err := whole.Commit(t.Context(), table.Inserted(order(id))); err != nil {
			t.Fatalf("Commit: got %v, want success", err)
		}
		inject(t, proxy, f)
		i := order(id)
		i.Revision = 1
		err := broken.Commit(t.Context(), table.Removed(i))
		if f.When == faulty.Before && err != nil {
			t.Errorf("Commit, with the first attempt lost: got %v, want success", err)
		}
		if f.When == faulty.After && !errors.Is(err, fault.Unavailable) {
			t.Errorf("Commit, with the first answer lost: got %v, want fault.Unavailable", err)
		}
		if got := revision(t, whole, i.Key); got != 0 {
			t.Errorf("revision: got %d, want none", got)
		}
	})
}

func TestOutageIsUnavailable(t *testing.T) {
	broken, whole, proxy := behind(t)
	each(t, quickly, func(t *testing.T, id string, f faulty.Fault) {
		f.Times = dynamo.Attempts
		calls := map[string]func() error{
			"one write": func() error { return broken.Commit(t.Context(), table.Inserted(order(id))) },
			"two writes": func() error {
				return broken.Commit(t.Context(), table.Inserted(order(id+"2")), table.Inserted(head(id)))
			},
		}
		if f.How != faulty.Hang { // which would only take longer
			calls["Get"] = func() error { _, err := broken.Get(t.Context(), order(id).Key); return err }
			calls["GetAll"] = func() error { _, err := broken.GetAll(t.Context(), []table.Key{order(id).Key}); return err }
			calls["Query"] = func() error {
				_, err := broken.Query(t.Context(), table.Query{Table: table.Customers, Partition: head(id).Key.Partition, Limit: 1})
				return err
			}
		}
		for what, call := range map[string]func() error{
			"one write": func() error { return broken.Commit(t.Context(), table.Inserted(order(id))) },
			"two writes": func() error {
				return broken.Commit(t.Context(), table.Inserted(order(id+"2")), table.Inserted(head(id)))
			},
			"Get":    func() error { _, err := broken.Get(t.Context(), order(id).Key); return err },
			"GetAll": func() error { _, err := broken.GetAll(t.Context(), []table.Key{order(id).Key}); return err },
			"Query": func() error {
				_, err := broken.Query(t.Context(), table.Query{Table: table.Customers, Partition: head(id).Key.Partition, Limit: 1})
				return err
			},
		} {
			inject(t, proxy, f)
			if err := call(); !errors.Is(err, fault.Unavailable) {
				t.Errorf("%s: got %v, want fault.Unavailable", what, err)
			}
			if left := proxy.Left(); left != 0 {
				t.Errorf("%s: got %d attempts fewer than the %d it should make", what, left, dynamo.Attempts)
				proxy.Mend()
			}
		}
		want := int64(0)
		if f.When == faulty.After {
			want = 1
		}
		for _, k := range []table.Key{order(id).Key, order(id + "2").Key, head(id).Key} {
			if got := revision(t, whole, k); got != want {
				t.Errorf("revision in %s: got %d, want %d", k.Table, got, want)
			}
		}
	})
}

func TestCallerThatGivesUpLeavesTheWriteMade(t *testing.T) {
	broken, whole, proxy := behind(t)
	inject(t, proxy, faulty.Fault{Operation: "PutItem", Times: 1, When: faulty.After, How: faulty.Hang})
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	go func() { gone <- broken.Commit(ctx, table.Inserted(order("o"))) }()
	until(t, func() error {
		if proxy.Done("PutItem") == 0 {
			return errors.New("the put was not made")
		}
		return nil
	})
	cancel()
	if err := <-gone; !errors.Is(err, fault.Unavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("Commit: got %v, want fault.Unavailable because of context.Canceled", err)
	}
	if got := revision(t, whole, order("o").Key); got != 1 {
		t.Errorf("revision: got %d, want 1", got)
	}
}

// until waits for a condition, for a minute at most.
func until(t *testing.T, look func() error) {
	t.Helper()
	var err error
	for range 6000 {
		if err = look(); err == nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal(err)
}

func TestFaultBreaksOnlyWhatItNames(t *testing.T) {
	broken, _, proxy := behind(t)
	inject(t, proxy, faulty.Fault{Operation: "PutItem", Contains: "-purchases", Times: 1, When: faulty.Before, How: faulty.Reset})
	inject(t, proxy, faulty.Fault{Operation: "GetItem", Skip: 2, Times: 3, When: faulty.Before, How: faulty.Error})
	if err := broken.Commit(t.Context(), table.Inserted(order("o"))); err != nil || proxy.Left() != 4 {
		t.Errorf("Commit in another table: got %v with %d faults left, want success and 4", err, proxy.Left())
	}
	for n, want := range []int{0, 0, 3} {
		if got := revision(t, broken, order("o").Key); got != 1 || proxy.Broken("GetItem") != want {
			t.Errorf("read %d: got revision %d with %d broken, want 1 and %d", n+1, got, proxy.Broken("GetItem"), want)
		}
	}
	proxy.Mend()
	if got := proxy.Left(); got != 0 {
		t.Errorf("faults left after Mend: got %d, want 0", got)
	}
}

func TestNonsenseFaultIsRefused(t *testing.T) {
	proxy := faulty.New(&url.URL{Scheme: "http", Host: "127.0.0.1:9"})
	good := faulty.Fault{Times: 1, When: faulty.Before, How: faulty.Reset}
	for n, change := range []func(*faulty.Fault){
		func(f *faulty.Fault) { f.Times = 0 },
		func(f *faulty.Fault) { f.Skip = -1 },
		func(f *faulty.Fault) { f.When = "" },
		func(f *faulty.Fault) { f.How = "502" },
	} {
		f := good
		change(&f)
		if err := proxy.Break(f); err == nil {
			t.Errorf("Break %d, %s: got success, want an error", n, fmt.Sprint(f))
		}
	}
}

func TestDeadDynamoIsAReset(t *testing.T) {
	dead := httptest.NewServer(nil)
	target, err := url.Parse(dead.URL)
	if err != nil {
		t.Fatal(err)
	}
	dead.Close()
	server := httptest.NewServer(faulty.New(target))
	defer server.Close()
	tables := dynamo.New(dynamo.Client(local.Config(server.URL), time.Minute), "dead-")
	if _, err := tables.Get(t.Context(), order("o").Key); !errors.Is(err, fault.Unavailable) {
		t.Errorf("Get: got %v, want fault.Unavailable", err)
	}
}

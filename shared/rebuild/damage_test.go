package rebuild_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/customer"
	"grantline/shared/fault"
	"grantline/shared/memory"
	"grantline/shared/purchase"
	"grantline/shared/rebuild"
	"grantline/shared/table"
)

// village is a world in which each kind of thing is there once.
func village(t *testing.T) (*world, *memory.Tables) {
	t.Helper()
	tables := memory.New()
	w := newWorld(t, tables, 7)
	sell := func(who, order, sku string) {
		s := purchase.Sale{
			Store: "apple", Order: order, Line: order, SKU: sku, State: purchase.Paid, PurchasedAt: noon, AsOf: noon, Quantity: 1,
			Currency: "KRW", Price: 4900,
		}
		w.store.sales[order] = s
		if _, err := w.book.Claim(t.Context(), table.Default, who, purchase.Proof{Store: "apple", Evidence: order}); err != nil {
			t.Fatal(err)
		}
	}
	sell("ann", "gems", "com.example.gems100")
	sell("ann", "adfree", "com.example.adfree")
	sell("ben", "other", "com.example.gems100")
	for _, who := range []string{"ann", "ben"} {
		if _, _, err := w.people.Spend(t.Context(), table.Default, who, customer.SpendAsk{Currency: "gems", Amount: 80, Reference: "sword"}, w.clock); err != nil {
			t.Fatal(err)
		}
	}
	s := w.store.sales["other"]
	s.State, s.AsOf = purchase.Refunded, noon.Add(1)
	w.store.sales["other"] = s
	if _, err := w.book.LookAgain(t.Context(), table.Default, "apple", "other"); err != nil {
		t.Fatal(err)
	}
	if got := w.compare(); !got.Equal || got.Customers != 2 || got.Orders != 3 {
		t.Fatalf("before any damage: got %+v, want two equal customers of three orders", got)
	}
	return w, tables
}

func (w *world) ref(id string) string {
	w.Helper()
	ref, err := w.people.Identity.Ref(w.Context(), table.Default, id)
	if err != nil {
		w.Fatal(err)
	}
	return ref
}

func (w *world) item(who, sort string) table.Item {
	w.Helper()
	item, err := w.tables.Get(w.Context(), table.Key{Table: table.Customers, Partition: table.Default.Key(w.ref(who)), Sort: sort})
	if err != nil {
		w.Fatal(err)
	}
	return item
}

func (w *world) order(id string) table.Item {
	w.Helper()
	item, err := w.tables.Get(w.Context(), table.Key{Table: table.Orders, Partition: table.Default.Key(id)})
	if err != nil {
		w.Fatal(err)
	}
	return item
}

func (w *world) commit(writes ...table.Write) {
	w.Helper()
	if err := w.tables.Commit(w.Context(), writes...); err != nil {
		w.Fatal(err)
	}
}

// alter changes an item's data as text.
func (w *world) alter(item table.Item, from, to string) {
	w.Helper()
	var data map[string]any
	text := strings.Replace(string(item.Data), from, to, 1)
	if err := json.Unmarshal([]byte(text), &data); err != nil || text == string(item.Data) {
		w.Fatalf("%s to %s changes nothing of %s, or too much: %v", from, to, item.Data, err)
	}
	item.Data = []byte(text)
	w.commit(table.Replaced(item))
}

func TestDamageToOneItemIsFoundByItsKind(t *testing.T) {
	event := func(n int) string { return fmt.Sprintf("event#%012d", n) }
	for name, c := range map[string]struct {
		harm func(w *world)
		want map[rebuild.Kind]int
		who  string // whose
	}{
		"a lot holds more": {
			func(w *world) { w.alter(w.item("ann", "#wallet#gems"), `"remaining":20`, `"remaining":21`) },
			map[rebuild.Kind]int{rebuild.WrongLots: 1, rebuild.WrongLedger: 1},
			"ann",
		},
		"a lot is another order's": {
			func(w *world) { w.alter(w.item("ann", "#wallet#gems"), `"apple_gems"`, `"apple_germs"`) },
			map[rebuild.Kind]int{rebuild.WrongLots: 1},
			"ann",
		},
		"a lot is free": {
			func(w *world) { w.alter(w.item("ann", "#wallet#gems"), `"paid"`, `"free"`) },
			map[rebuild.Kind]int{rebuild.WrongLots: 1},
			"ann",
		},
		"a wallet is gone": {
			func(w *world) { w.commit(table.Removed(w.item("ann", "#wallet#gems"))) },
			map[rebuild.Kind]int{rebuild.WrongLots: 1, rebuild.WrongLedger: 1},
			"ann",
		},
		"a wallet nobody filled": {
			func(w *world) {
				item := w.item("ann", "#wallet#gems")
				item.Key.Sort = "#wallet#coins"
				w.commit(table.Inserted(item))
			},
			map[rebuild.Kind]int{rebuild.WrongLots: 1, rebuild.WrongLedger: 1},
			"ann",
		},
		"a debt is forgotten": {
			func(w *world) { w.alter(w.item("ben", "#wallet#gems"), `"debt":80`, `"debt":0`) },
			map[rebuild.Kind]int{rebuild.WrongDebt: 1, rebuild.WrongLedger: 1},
			"ben",
		},
		"a source is dropped": {
			func(w *world) {
				item := w.item("ann", "#head")
				var head map[string]any
				if err := json.Unmarshal(item.Data, &head); err != nil {
					w.Fatal(err)
				}
				head["sources"] = []any{}
				item.Data, _ = json.Marshal(head)
				w.commit(table.Replaced(item))
			},
			map[rebuild.Kind]int{rebuild.WrongSources: 1},
			"ann",
		},
		"a source is on hold": {
			func(w *world) { w.alter(w.item("ann", "#head"), `"state":"active"`, `"state":"on_hold"`) },
			map[rebuild.Kind]int{rebuild.WrongSources: 1},
			"ann",
		},
		"an event of the middle is removed": {
			func(w *world) { w.commit(table.Removed(w.item("ann", event(1)))) },
			map[rebuild.Kind]int{rebuild.MissingEvent: 1, rebuild.WrongLots: 1, rebuild.WrongLedger: 1, rebuild.WrongCredit: 1},
			"ann",
		},
		"the last event is removed": {
			func(w *world) { w.commit(table.Removed(w.item("ann", event(3)))) },
			map[rebuild.Kind]int{rebuild.WrongSequence: 1, rebuild.WrongLots: 1, rebuild.WrongLedger: 1},
			"ann",
		},
		"an event that granted is removed": {
			func(w *world) { w.commit(table.Removed(w.item("ann", event(2)))) },
			map[rebuild.Kind]int{rebuild.MissingEvent: 1, rebuild.WrongSources: 1, rebuild.NeverGiven: 1},
			"ann",
		},
		"an event is moved": {
			func(w *world) {
				item := w.item("ann", event(3))
				moved := item
				moved.Key.Sort = event(4)
				w.commit(table.Removed(item), table.Inserted(moved))
			},
			map[rebuild.Kind]int{rebuild.MissingEvent: 1, rebuild.Misnumbered: 1, rebuild.WrongSequence: 1},
			"ann",
		},
		"an event says another number": {
			func(w *world) { w.alter(w.item("ann", event(2)), `"sequence":2`, `"sequence":5`) },
			map[rebuild.Kind]int{rebuild.Misnumbered: 1},
			"ann",
		},
		"an entry says another sum": {
			func(w *world) { w.alter(w.item("ann", event(3)), `"amount":-80,"balance"`, `"amount":-70,"balance"`) },
			map[rebuild.Kind]int{rebuild.WrongLedger: 1},
			"ann",
		},
		"an entry says another balance": {
			func(w *world) { w.alter(w.item("ann", event(1)), `"balance":100,"parts"`, `"balance":90,"parts"`) },
			map[rebuild.Kind]int{rebuild.WrongLedger: 1},
			"ann",
		},
		"the head counts on": {
			func(w *world) { w.alter(w.item("ann", "#head"), `"sequence":3`, `"sequence":4`) },
			map[rebuild.Kind]int{rebuild.WrongSequence: 1},
			"ann",
		},
		"the head is gone": {
			func(w *world) { w.commit(table.Removed(w.item("ann", "#head"))) },
			map[rebuild.Kind]int{rebuild.NoSuchCustomer: 3},
			"ann",
		},
		"an order credited more": {
			func(w *world) { w.alter(w.order("apple_gems"), `"credited":100`, `"credited":110`) },
			map[rebuild.Kind]int{rebuild.WrongCredit: 1},
			"ann",
		},
		"an order took back less": {
			func(w *world) { w.alter(w.order("apple_other"), `"takenBack":100`, `"takenBack":99`) },
			map[rebuild.Kind]int{rebuild.WrongCredit: 1},
			"ben",
		},
		"an order is refunded and goes on": {
			func(w *world) { w.alter(w.order("apple_adfree"), `"state":"granted"`, `"state":"refunded"`) },
			map[rebuild.Kind]int{rebuild.StillGiven: 1},
			"ann",
		},
		"an order is gone": {
			func(w *world) { w.commit(table.Removed(w.order("apple_adfree"))) },
			map[rebuild.Kind]int{rebuild.NoSuchOrder: 1},
			"ann",
		},
		"an order gives what nobody was given": {
			func(w *world) {
				item := w.order("apple_adfree")
				item.Key.Partition = table.Default.Key("apple_stray")
				item.Data = []byte(strings.ReplaceAll(string(item.Data), `adfree"`, `stray"`))
				w.commit(table.Inserted(item))
			},
			map[rebuild.Kind]int{rebuild.NeverGiven: 1},
			"ann",
		},
		"an order is another's": {
			func(w *world) { w.alter(w.order("apple_gems"), w.ref("ann"), w.ref("ben")) },
			map[rebuild.Kind]int{rebuild.WrongCredit: 1},
			"ben",
		},
		"a wallet cannot be read": {
			func(w *world) { w.alter(w.item("ann", "#wallet#gems"), `"remaining":20`, `"remaining":"some"`) },
			map[rebuild.Kind]int{rebuild.Unreadable: 1, rebuild.WrongLots: 1, rebuild.WrongLedger: 1},
			"ann",
		},
		"an event cannot be read": {
			func(w *world) { w.alter(w.item("ann", event(3)), `"sequence":3`, `"sequence":"three"`) },
			map[rebuild.Kind]int{rebuild.Unreadable: 1, rebuild.WrongLots: 1, rebuild.WrongLedger: 1},
			"ann",
		},
		"an order cannot be read": {
			func(w *world) { w.alter(w.order("apple_gems"), `"kind":"purchase"`, `"kind":"present"`) },
			map[rebuild.Kind]int{rebuild.Unreadable: 1},
			"",
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, _ := village(t)
			c.harm(w)
			got := w.compare()
			if d := cmp.Diff(c.want, got.Counts); d != "" || got.Equal {
				t.Errorf("the findings: got (+) and want (-) differ, equal is %v:\n%s", got.Equal, d)
			}
			for _, f := range got.Findings {
				if want := w.ref(c.who); c.who != "" && f.Customer != want {
					t.Errorf("%s: got customer %s, want %s", f.Kind, f.Customer, want)
				}
			}
		})
	}
}

func TestAFindingNamesNobodyAndNoStoresOrder(t *testing.T) {
	w, _ := village(t)
	w.alter(w.order("apple_gems"), `"credited":100`, `"credited":110`)
	w.alter(w.item("ben", "#wallet#gems"), `"debt":80`, `"debt":0`)
	text, err := json.Marshal(w.compare())
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{`ann"`, `ben"`, "apple_", "sword"} {
		if strings.Contains(string(text), secret) {
			t.Errorf("the report has %q: %s", secret, text)
		}
	}
	if want := `{"kind":"credit","customer":"` + w.ref("ann") + `","order":"` + rebuild.OrderHash("apple_gems") + `","currency":"gems"}`; !strings.Contains(string(text), want) {
		t.Errorf("the report: got %s, want it to have %s", text, want)
	}
}

func TestFindingsAreAllCountedAndAHundredListed(t *testing.T) {
	w := newWorld(t, memory.New(), 3)
	for n := range 130 {
		if _, _, err := w.people.Credit(t.Context(), table.Default, fmt.Sprint("p", n), customer.CreditAsk{Currency: "gems", Amount: 5, Reference: "r", Reason: "x"}, w.clock); err != nil {
			t.Fatal(err)
		}
		w.alter(w.item(fmt.Sprint("p", n), "#wallet#gems"), `"remaining":5`, `"remaining":6`)
	}
	got := w.compare()
	if got.Customers != 130 || got.Counts[rebuild.WrongLots] != 130 || len(got.Findings) != 100 {
		t.Errorf("got %d customers, %v, %d listed; want 130 of each and 100 listed", got.Customers, got.Counts, len(got.Findings))
	}
}

func TestACustomerOlderThanItsLogIsCountedApart(t *testing.T) {
	w, _ := village(t)
	// As it was before there was a log: heads and wallets do not say so, and events change nothing.
	for _, who := range []string{"ann", "ben"} {
		w.alter(w.item(who, "#wallet#gems"), `,"logged":true`, ``)
	}
	w.alter(w.item("ann", "#head"), `,"logged":true`, ``)
	for n := range 3 {
		item := w.item("ann", fmt.Sprintf("event#%012d", n+1))
		var e map[string]any
		if err := json.Unmarshal(item.Data, &e); err != nil {
			t.Fatal(err)
		}
		delete(e, "changes")
		item.Data, _ = json.Marshal(e)
		w.commit(table.Replaced(item))
	}
	got := w.compare()
	if !got.Equal || got.Older != 2 {
		t.Errorf("before anything is logged: got %+v, want equal, two of them older", got)
	}
	// The first that is logged has all that was there.
	if _, _, err := w.people.Credit(t.Context(), table.Default, "ann", customer.CreditAsk{Currency: "gems", Amount: 5, Reference: "r", Reason: "x"}, w.clock); err != nil {
		t.Fatal(err)
	}
	if _, err := w.people.Grant(t.Context(), table.Default, "ann", customer.Grant{Entitlement: "vip", Reference: "g", Reason: "x"}, w.clock); err != nil {
		t.Fatal(err)
	}
	got = w.compare()
	if !got.Equal || got.Older != 1 {
		t.Errorf("once it is logged: got %+v, want equal, one of them older", got)
	}
	w.alter(w.item("ann", "#wallet#gems"), `"remaining":20`, `"remaining":21`)
	if got = w.compare(); got.Equal || got.Counts[rebuild.WrongLots] != 1 {
		t.Errorf("damage to what is logged by now: got %+v, want it found", got)
	}
}

func TestWhatTheEventsComeToIsWrittenAndIsTheLiveState(t *testing.T) {
	w := newWorld(t, memory.New(), 11)
	w.live(400)
	target := memory.New()
	r := &rebuild.Rebuild{Tables: w.tables, Walker: w.tables, Target: target, TargetWalker: target}
	if report, err := r.Run(t.Context(), rebuild.Ask{}); err != nil || !report.Equal {
		t.Fatalf("Run: got %+v, %v, want equal", report, err)
	}
	seen := 0
	for n := range 8 {
		for _, name := range []string{"person-", "anon_"} {
			ref := w.ref(fmt.Sprint(name, n))
			is, err := customer.Outgoing(t.Context(), w.tables, table.Default, ref)
			if errors.Is(err, fault.NotFound) {
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			made, err := customer.Outgoing(t.Context(), target, table.Default, ref)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(is.State(), made.State()); d != "" {
				t.Errorf("%s%d: rebuilt (+) and live (-) differ:\n%s", name, n, d)
			}
			seen++
		}
	}
	if seen < 10 {
		t.Errorf("got %d customers, want at least 10", seen)
	}
	heads := slices.DeleteFunc(target.Items(table.Customers), func(i table.Item) bool { return i.Key.Sort != "#head" })
	if len(heads) != seen {
		t.Errorf("the target has %d heads, want %d, and nobody else", len(heads), seen)
	}
	if _, err := r.Run(t.Context(), rebuild.Ask{}); !errors.Is(err, fault.Conflict) || fault.Code(err) != "target_not_empty" {
		t.Errorf("Run into what is not empty any more: got %v, want target_not_empty", err)
	}
}

func TestNothingLiveIsWritten(t *testing.T) {
	w, tables := village(t)
	w.alter(w.item("ben", "#wallet#gems"), `"debt":80`, `"debt":0`)
	tables.Fail = func(op memory.Op) (bool, error) {
		if op.Method == "Commit" {
			t.Errorf("a write of %v, want none", op.Keys)
		}
		return false, nil
	}
	if got := w.compare(); slices.Collect(maps.Keys(got.Counts)) == nil {
		t.Error("got nothing, want the damage")
	}
}

package purchase_test

import (
	"testing"
	"time"

	"grantline/shared/customer"
	"grantline/shared/entitlement"
	"grantline/shared/event"
	"grantline/shared/fault"
	"grantline/shared/purchase"
	"grantline/shared/table"
	"grantline/shared/wallet"
)

// keptAsOne is what the code before schema 2 kept of ann's purchases: a month of premium
// that runs, one that was refunded, 100 gems, and 100 gems that were refunded.
func keptAsOne(s *shop, f *followed) {
	s.Helper()
	c := s.customer(ann)
	item := func(in table.Table, key, data string) table.Write {
		return table.Inserted(table.Item{Key: table.Key{Table: in, Partition: s.scope.Key(key)}, Schema: 1, Data: []byte(data)})
	}
	line := func(id, state, rest string) table.Write {
		return item(table.Purchases, "apple#"+id, `{"store":"apple","line":"`+id+`","owner":"`+c.Ref+`","order":"apple_`+id+`","state":"`+state+`",`+rest+`}`)
	}
	order := func(id, state, rest string) table.Write {
		return item(table.Orders, "apple_"+id, `{"id":"apple_`+id+`","kind":"purchase","customer":"`+c.Ref+`","store":"apple","line":"`+id+`","state":"`+state+
			`","quantity":1,"purchasedAt":"2026-03-10T11:59:00Z","grantedAt":"2026-03-10T12:00:00Z","price":4900,"priceIn":"KRW",`+rest+`}`)
	}
	const (
		month     = `"sku":"com.example.premium.monthly","product":"premium_monthly","entitlement":"premium","until":"2026-04-10T12:00:00Z"`
		hundred   = `"sku":"com.example.gems100","product":"gems_100"`
		asOf      = `,"asOf":"2026-03-10T11:59:00Z"`
		wholeAsOf = `,"asOf":"2026-03-11T09:00:00Z"`
		credited  = `,"walletCurrency":"gems","credited":100`
		takenBack = `,"refundedAt":"2026-03-11T10:00:00Z"`
	)
	for ref, state := range map[string]entitlement.State{"runs": entitlement.Active, "back": entitlement.Ended} {
		c.Set(entitlement.Source{
			Kind: entitlement.KindPurchase, Provider: "apple", Ref: ref, Entitlement: "premium", ProductID: premium, OrderID: "apple_" + ref,
			State: state, Until: noon.AddDate(0, 1, 0), WillRenew: state == entitlement.Active,
		})
	}
	c.SetWallet("gems", wallet.Wallet{Lots: []wallet.Lot{{OrderID: "apple_gems", Kind: wallet.Paid, Granted: 100, Remaining: 100}}}, wallet.Entry{})
	c.Tell(event.Event{Type: event.PurchaseGranted, At: noon, OrderID: "apple_runs"})
	writes, err := c.Writes(noon)
	if err == nil {
		err = s.tables.Commit(s.Context(), append(writes,
			line("runs", "active", month+asOf+`,"willRenew":true`), order("runs", "granted", month),
			line("back", "ended", month+wholeAsOf), order("back", "refunded", month+takenBack),
			line("gems", "active", hundred+asOf), order("gems", "granted", hundred+credited),
			line("gone", "ended", hundred+wholeAsOf), order("gone", "refunded", hundred+credited+takenBack))...)
	}
	if err != nil {
		s.Fatal(err)
	}
	for id, sku := range map[string]string{"runs": premium, "back": premium, "gems": gems, "gone": gems} {
		sale := sold(id, sku)
		sale.WillRenew = sku == premium
		f.offer(id, of(sale))
	}
	s.at(noon.Add(48 * time.Hour))
}

func TestWhatWasKeptBySchemaOneIsReadAndKeptByTwo(t *testing.T) {
	t.Parallel()
	s, f := newFollowedShop(t)
	keptAsOne(s, f)
	for _, id := range []string{"runs", "gems"} {
		s.granted(ann, id)
		_, err := s.claim(ben, id)
		wantFault(t, err, fault.Conflict, "owned_by_another_customer")
	}
	if got := s.balance(ann); got != 100 || !s.allowed(ann, "premium") {
		t.Errorf("after the claims: got a balance of %d and premium %t, want what was granted, once", got, s.allowed(ann, "premium"))
	}
	s.told(later(sold("runs", premium), -time.Hour)) // an older word, which brings the source up to date
	if got := s.source(ann, "runs"); !got.WillRenew || got.State != entitlement.Active {
		t.Errorf("source: got %+v, want it as it was kept", got)
	}
	if r := s.line("runs"); len(r.Terms) != 1 || r.Terms[0].Order != "apple_runs" || !r.CheckAt.Equal(noon.AddDate(0, 1, 0).Add(time.Hour)) {
		t.Errorf("line as it is kept now: got %+v, want its one term, to be looked at an hour after its end", r)
	}

	next := sold("next", premium)
	next.Line, next.PurchasedAt, next.Until, next.AsOf = "runs", noon.AddDate(0, 1, 0), noon.AddDate(0, 2, 0), noon.AddDate(0, 1, 0)
	s.at(noon.AddDate(0, 1, 0))
	s.told(next)
	if got := s.source(ann, "runs"); got.OrderID != "apple_next" || len(s.line("runs").Terms) != 2 {
		t.Errorf("renewed: got %+v, want the next month", got)
	}
	s.told(refunded(next, time.Hour, 0))
	s.told(refunded(sold("runs", premium), 31*24*time.Hour, 0))
	if s.allowed(ann, "premium") {
		t.Error("both refunded: want premium over")
	}
	s.told(refunded(sold("gems", gems), time.Hour, 25_000))
	if got := s.balance(ann); got != 75 {
		t.Errorf("a quarter refunded: got a balance of %d, want 75", got)
	}
	for _, item := range append(s.tables.Items(table.Orders), s.tables.Items(table.Purchases)...) {
		touched := item.Key.Partition == s.scope.Key("apple_runs") || item.Key.Partition == s.scope.Key("apple_gems") || item.Key.Partition == s.scope.Key("apple", "runs")
		if touched && item.Schema != 2 {
			t.Errorf("%s: got schema %d, want 2", item.Key.Partition, item.Schema)
		}
	}
}

func TestWhatSchemaOneKeptAsRefundedStaysSo(t *testing.T) {
	t.Parallel()
	s, f := newFollowedShop(t)
	keptAsOne(s, f)
	for _, id := range []string{"back", "gone"} {
		_, err := s.claim(ann, id) // by a proof from before the refund
		wantFault(t, err, fault.Invalid, "invalid_purchase")
	}
	// The store says it again, later than before.
	s.told(refunded(sold("gone", gems), 3*24*time.Hour, 0))
	s.told(refunded(sold("back", premium), 3*24*time.Hour, 0))
	if got := s.balance(ann); got != 100 || len(s.events(ann)) != 1 {
		t.Errorf("got a balance of %d and events %v, want nothing taken back twice", got, s.events(ann))
	}
	if got := s.source(ann, "back").State; got != entitlement.Ended {
		t.Errorf("source of what was refunded: got %s, want ended", got)
	}
	// Undone, all of it is there again, once.
	for range 2 {
		s.told(later(sold("gone", gems), 4*24*time.Hour))
		s.told(later(sold("back", premium), 4*24*time.Hour))
	}
	if got := s.balance(ann); got != 200 || s.source(ann, "back").State != entitlement.Active || s.order("gone").State != purchase.OrderGranted {
		t.Errorf("undone: got a balance of %d, source %s, want 200 and active", got, s.source(ann, "back").State)
	}
}

func TestWhatANewerCodeKeptIsLeftAlone(t *testing.T) {
	t.Parallel()
	for _, in := range []table.Key{{Table: table.Orders, Partition: "default#production#apple_1"}, {Table: table.Purchases, Partition: "default#production#apple#1"}} {
		s, f := newFollowedShop(t)
		if err := s.tables.Commit(t.Context(), table.Inserted(table.Item{Key: in, Schema: 3, Data: []byte(`{}`)})); err != nil {
			t.Fatal(err)
		}
		f.offer("1", purchase.News{Sales: []purchase.Sale{sold("1", gems)}})
		if _, err := s.claim(ann, "1"); err == nil || fault.Code(err) != fault.Code(nil) {
			t.Errorf("%s: got %v, want an error without a kind", in.Table, err)
		}
		if _, err := customer.Read(t.Context(), s.tables, s.scope, s.customer(ann).Ref); err == nil {
			t.Errorf("%s: something was granted", in.Table)
		}
	}
}

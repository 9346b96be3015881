package customer_test

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"grantline/shared/customer"
	"grantline/shared/entitlement"
	"grantline/shared/event"
	"grantline/shared/fault"
	"grantline/shared/memory"
	"grantline/shared/table"
	"grantline/shared/wallet"
)

func identity(key string) customer.Identity {
	return customer.Identity{Key: func(context.Context, bool) (string, error) { return key, nil }}
}

var key = strings.Repeat("k", 32)

func directory() (customer.Directory, *memory.Tables) {
	tables := memory.New()
	return customer.Directory{Tables: tables, Identity: identity(key)}, tables
}

func named(t *testing.T, d customer.Directory, id string) *customer.Customer {
	t.Helper()
	c, err := d.Named(t.Context(), table.Default, id)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func save(t *testing.T, d customer.Directory, c *customer.Customer) error {
	t.Helper()
	writes, err := c.Writes(time.Unix(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	return d.Tables.Commit(t.Context(), writes...)
}

func TestNamesDependOnKeyScopeAndIDAndOnNothingElse(t *testing.T) {
	seen := map[string]string{}
	sandbox := table.Scope{Project: "default", Environment: "sandbox"}
	other := table.Scope{Project: "other", Environment: "production"}
	for name, of := range map[string]struct {
		key   string
		scope table.Scope
		id    string
	}{
		"one": {key, table.Default, "a"}, "another id": {key, table.Default, "b"}, "sandbox": {key, sandbox, "a"},
		"project": {key, other, "a"}, "key": {strings.Repeat("l", 32), table.Default, "a"},
		"moved border": {key, table.Scope{Project: "default", Environment: "production1"}, ":a"},
	} {
		ref, err := identity(of.key).Ref(t.Context(), of.scope, of.id)
		if err != nil {
			t.Fatal(err)
		}
		ids, err := identity(of.key).StoreIDs(t.Context(), of.scope, of.id)
		if err != nil {
			t.Fatal(err)
		}
		for _, value := range []string{ref, ids.AppAccountToken, ids.ObfuscatedAccountID} {
			if was, twice := seen[value]; twice {
				t.Errorf("%s has the name %s of %s", name, value, was)
			}
			seen[value] = name
		}
		if !regexp.MustCompile(`^cus_[a-z2-7]{32}$`).MatchString(ref) {
			t.Errorf("%s: got %q, want cus_ and 32 letters", name, ref)
		}
		if !regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(ids.AppAccountToken) {
			t.Errorf("%s: got %q, want a UUID of version 8", name, ids.AppAccountToken)
		}
		if len(ids.ObfuscatedAccountID) != 64 {
			t.Errorf("%s: got an account id of %d characters, want 64, Play's most", name, len(ids.ObfuscatedAccountID))
		}
	}
	if _, err := identity("short").Ref(t.Context(), table.Default, "a"); err == nil {
		t.Error("a key of 5 bytes was taken")
	}
}

// Every record hangs on these: they were computed by other code, and never change.
func TestNamesNeverChange(t *testing.T) {
	const ref, token, account = "cus_y4pljzdm4zs3fw26d6rvdpvxuzmto55p", "7a53c1c5-7707-8976-80a3-e798bbf1f55c", "b6dfa7781f762f9b04c00ad3b0a243ee225ce896cc2849ce7c18905c365054cf"
	got, err := identity(key).Ref(t.Context(), table.Default, "a")
	if err != nil || got != ref {
		t.Errorf("Ref: got %s, %v, want %s", got, err, ref)
	}
	ids, err := identity(key).StoreIDs(t.Context(), table.Default, "a")
	if want := (customer.StoreIDs{AppAccountToken: token, ObfuscatedAccountID: account}); err != nil || ids != want {
		t.Errorf("StoreIDs: got %+v, %v, want %+v", ids, err, want)
	}
}

// By its mark a store id is known as ours, whoever's it is; nothing else is.
func TestAStoreIDIsKnownAsOneOfOurs(t *testing.T) {
	i := identity(key)
	sandbox := table.Scope{Project: "default", Environment: "sandbox"}
	ids, err := i.StoreIDs(t.Context(), table.Default, "somebody who was never here")
	if err != nil {
		t.Fatal(err)
	}
	there, err := i.StoreIDs(t.Context(), sandbox, "somebody who was never here")
	if err != nil {
		t.Fatal(err)
	}
	turned := func(id string, at int) string {
		digit := byte('0')
		if id[at] == digit {
			digit = '1'
		}
		return id[:at] + string(digit) + id[at+1:]
	}
	for _, c := range []struct {
		name, store, value string
		want               bool
	}{
		{"Apple's", "apple", ids.AppAccountToken, true},
		{"Play's", "play", ids.ObfuscatedAccountID, true},
		{"of another environment", "apple", there.AppAccountToken, false},
		{"Play's of another environment", "play", there.ObfuscatedAccountID, false},
		{"at another store", "play", ids.AppAccountToken, false},
		{"at another store", "apple", ids.ObfuscatedAccountID, false},
		{"at a store that takes none", "appsintoss", ids.AppAccountToken, false},
		{"the first digit turned", "apple", turned(ids.AppAccountToken, 0), false},
		{"the last digit turned", "apple", turned(ids.AppAccountToken, 35), false},
		{"Play's first digit turned", "play", turned(ids.ObfuscatedAccountID, 0), false},
		{"Play's last digit turned", "play", turned(ids.ObfuscatedAccountID, 63), false},
		{"a UUID of chance", "apple", "6f2b7c1e-2a53-4a53-9c0f-6d6f0f6b2f10", false},
		{"cut", "play", ids.ObfuscatedAccountID[:62], false},
		{"nothing", "apple", "", false},
		{"no hexadecimal", "play", strings.Repeat("x", 64), false},
	} {
		if got, err := i.Made(t.Context(), table.Default, c.store, c.value); got != c.want || err != nil {
			t.Errorf("%s: got %t, %v, want %t", c.name, got, err, c.want)
		}
	}
	if _, err := identity("short").Made(t.Context(), table.Default, "apple", ids.AppAccountToken); err == nil {
		t.Error("a key that is too short: got no error")
	}
}

func TestIDsArePrintableAndNothingElse(t *testing.T) {
	for _, id := range []string{"a", "user@example.com", "$RCAnonymousID:1", "홍길동", "a b", "a/b#c%", strings.Repeat("x", 512)} {
		if err := customer.ValidID(id); err != nil {
			t.Errorf("%q: got %v, want it taken", id, err)
		}
	}
	for _, id := range []string{"", " a", "a ", "a\x00", "a\nb", "\xff", "a\u200bb", "jos\ufffd", strings.Repeat("x", 513)} {
		if err := customer.ValidID(id); !errors.Is(err, fault.Malformed) {
			t.Errorf("%q: got %v, want malformed", id, err)
		}
	}
}

func TestACustomerComesToBeWithTheFirstWrite(t *testing.T) {
	d, tables := directory()
	c := named(t, d, "ann")
	if c.Exists() || len(tables.Items(table.Customers)) != 0 {
		t.Error("reading made a customer")
	}
	if _, err := customer.Read(t.Context(), tables, table.Default, c.Ref); !errors.Is(err, fault.NotFound) {
		t.Errorf("Read: got %v, want not found", err)
	}
	c.Tell(event.Event{Type: event.PurchaseGranted})
	c.Set(entitlement.Source{Kind: "purchase", Provider: "apple", Ref: "1", Entitlement: "x", State: entitlement.Active})
	w, e := wallet.Wallet{}.Credit(wallet.Lot{OrderID: "o", Granted: 5})
	c.SetWallet("gems", w, e)
	if err := save(t, d, c); err != nil {
		t.Fatal(err)
	}
	again := named(t, d, "ann")
	if !again.Exists() || again.Sequence() != 1 || len(again.Sources()) != 1 || again.Profile.ID != "ann" || again.Wallets()["gems"].Balance(time.Time{}) != 5 {
		t.Errorf("got %+v, want all that was written", again)
	}
}

func TestTwoWhoChangeACustomerAtOnceDoNotBothSucceed(t *testing.T) {
	d, _ := directory()
	for _, exists := range []bool{false, true} {
		a, b := named(t, d, "ann"), named(t, d, "ann")
		a.Tell(event.Event{Type: event.PurchaseGranted})
		b.Tell(event.Event{Type: event.PurchaseRefunded})
		if err := save(t, d, a); err != nil {
			t.Fatal(err)
		}
		if err := save(t, d, b); !errors.Is(err, fault.Conflict) {
			t.Errorf("customer exists %v: the second: got %v, want a conflict", exists, err)
		}
	}
	events, err := customer.Events(t.Context(), d.Tables, table.Default, named(t, d, "ann").Ref, 1, 10)
	if err != nil || len(events) != 1 || events[0].Sequence != 2 {
		t.Errorf("events after the first: got %+v, %v, want the second alone", events, err)
	}
}

func TestASourceIsReplacedDroppedAndNeverDoubled(t *testing.T) {
	d, _ := directory()
	c := named(t, d, "ann")
	s := entitlement.Source{Kind: "subscription", Provider: "toss", Ref: "1", Entitlement: "x", State: entitlement.OnHold}
	other := s
	other.Ref = "2"
	c.Set(s)
	c.Set(other)
	s.State = entitlement.Active
	c.Set(s)
	if got := c.Sources(); len(got) != 2 || got[0].State != entitlement.Active {
		t.Errorf("got %+v, want two, the first active", got)
	}
	c.Drop(s)
	if got := c.Sources(); len(got) != 1 || got[0].Ref != "2" {
		t.Errorf("after the drop: got %+v, want the other", got)
	}
}

func TestANameIsBoundOnce(t *testing.T) {
	d, _ := directory()
	a, b := named(t, d, "ann"), named(t, d, "ben")
	a.Bind("toss", "key")
	a.Bind("toss", "key")
	b.Bind("toss", "key")
	if err := save(t, d, a); err != nil {
		t.Fatal(err)
	}
	if err := save(t, d, b); !errors.Is(err, fault.Conflict) {
		t.Errorf("the second: got %v, want a conflict", err)
	}
	if got, err := customer.Bound(t.Context(), d.Tables, table.Default, "toss", "key"); err != nil || got != a.Ref {
		t.Errorf("bound to %s, %v, want %s", got, err, a.Ref)
	}
	if got, err := customer.Bound(t.Context(), d.Tables, table.Default, "apple", "key"); err != nil || got != "" {
		t.Errorf("another kind: got %s, %v, want nobody", got, err)
	}
}

func TestTestsAreCountedByDay(t *testing.T) {
	d, _ := directory()
	c := named(t, d, "ann")
	at := time.Date(2026, 3, 10, 23, 59, 0, 0, time.UTC)
	if a, b, n := c.CountTest(at), c.CountTest(at), c.CountTest(at.Add(time.Minute)); a != 1 || b != 2 || n != 1 {
		t.Errorf("got %d, %d and %d, want 1, 2 and 1 on the next day", a, b, n)
	}
}

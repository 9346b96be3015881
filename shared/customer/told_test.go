package customer_test

import (
	"slices"
	"testing"
	"time"

	"grantline/shared/clock"
	"grantline/shared/customer"
	"grantline/shared/event"
	"grantline/shared/table"
)

func minute(n int) time.Time { return time.Unix(int64(n)*60, 0).UTC() }

func TestAnEventNamesAnotherCustomerByTheCompanysID(t *testing.T) {
	d, tables := directory()
	for _, id := range []string{"giver", "gone"} {
		if err := save(t, d, named(t, d, id)); err != nil {
			t.Fatal(err)
		}
	}
	friend, gone := named(t, d, "giver"), named(t, d, "gone")
	if err := d.Erase(t.Context(), table.Default, "gone", clock.Fixed(minute(1))); err != nil {
		t.Fatal(err)
	}
	c := named(t, d, "minji")
	events := []event.Event{
		{Type: event.GiftSent, Other: friend.Ref},
		{Type: event.GiftSent, Other: gone.Ref},
		{Type: event.GiftSent, Other: "cus_nobody"},
		{Type: event.WalletSpent},
	}
	told, err := c.Told(t.Context(), tables, events)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"giver", "", "", ""} {
		if told[i].OtherCustomerID != want || told[i].Other != "" {
			t.Errorf("event %d: got %q and our own id %q, want %q and none of ours", i, told[i].OtherCustomerID, told[i].Other, want)
		}
	}
	if events[0].Other != friend.Ref {
		t.Errorf("the events themselves were changed")
	}
}

func TestWhoWasMergedKeepsItsNameInItsOwnEvents(t *testing.T) {
	d, tables := directory()
	for _, id := range []string{"minji", "anon_1"} {
		if err := save(t, d, named(t, d, id)); err != nil {
			t.Fatal(err)
		}
	}
	was := named(t, d, "anon_1").Ref
	stays, err := d.Join(t.Context(), table.Default, customer.Alias{ID: "minji", Other: "anon_1"}, clock.Fixed(minute(1)))
	if err != nil {
		t.Fatal(err)
	}
	goes, err := customer.Outgoing(t.Context(), tables, table.Default, was)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		of     *customer.Customer
		first  string
		others []string
	}{"who stays": {stays, "minji", []string{"anon_1"}}, "who goes": {goes, "anon_1", []string{"minji"}}} {
		first, others, err := c.of.Names(t.Context(), tables)
		if err != nil || first != c.first || !slices.Equal(others, c.others) {
			t.Errorf("%s: got %q, %v, %v, want %q, %v", name, first, others, err, c.first, c.others)
		}
	}
	for name, c := range map[string]struct {
		of    *customer.Customer
		other string
		want  string
	}{"who stays": {stays, goes.Ref, "anon_1"}, "who goes": {goes, stays.Ref, "minji"}} {
		told, err := c.of.Told(t.Context(), tables, []event.Event{{Type: event.CustomerMerged, Other: c.other}})
		if err != nil || told[0].OtherCustomerID != c.want {
			t.Errorf("%s: got %+v, %v, want %q", name, told, err, c.want)
		}
	}
}

func TestBeforeIsTheLastEventOfBeforeThatWasNotHandedOn(t *testing.T) {
	d, tables := directory()
	for n := 1; n <= 7; n++ {
		c := named(t, d, "minji")
		c.Tell(event.Event{Type: event.WalletSpent, At: minute(n)})
		if err := save(t, d, c); err != nil {
			t.Fatal(err)
		}
	}
	before := func(n, page int) int64 {
		t.Helper()
		c, err := customer.Outgoing(t.Context(), tables, table.Default, named(t, d, "minji").Ref)
		if err != nil {
			t.Fatal(err)
		}
		got, err := customer.Before(t.Context(), tables, table.Default, c, minute(n), page)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	for _, page := range []int{1, 3, 100} {
		for n, want := range map[int]int64{0: 0, 1: 0, 2: 1, 5: 4, 7: 6, 8: 7, 99: 7} {
			if got := before(n, page); got != want {
				t.Errorf("before minute %d, %d at once: got %d, want %d", n, page, got, want)
			}
		}
	}
	c := named(t, d, "minji")
	relayed, err := c.Relay()
	if err == nil {
		err = tables.Commit(t.Context(), relayed)
	}
	if err != nil {
		t.Fatal(err)
	}
	if got := before(0, 3); got != 7 {
		t.Errorf("all handed on: got %d, want 7", got)
	}
}

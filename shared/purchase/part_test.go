package purchase_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"grantline/shared/customer"
	"grantline/shared/entitlement"
	"grantline/shared/event"
	"grantline/shared/purchase"
)

// bundle is a subscription with an add-on that ends by itself.
func bundle(months, more int) ticket {
	return ticket{items: []item{month(basic, "o-basic", months), month(extra, "o-extra", more)}}
}

func (k *tokens) wantEvents(who string, want ...event.Type) {
	k.Helper()
	if got := k.events(who); !slices.Equal(got, want) {
		k.Errorf("events: got %v, want %v", got, want)
	}
}

func TestEachPartOfALineEndsByItself(t *testing.T) {
	t.Parallel()
	k := newTokens(t)
	k.sell("tok-1", bundle(2, 1))
	k.granted(ann, "tok-1")
	k.wantGives(ann, "extra premium")
	k.wantEvents(ann, event.PurchaseGranted, event.PurchaseGranted)
	got := k.sources(ann)
	if len(got) != 2 || !got["basic"].Until.Equal(noon.AddDate(0, 2, 0)) || !got["extra"].Until.Equal(noon.AddDate(0, 1, 0)) {
		t.Errorf("sources: got %+v, want one with its end for each part", got)
	}
	k.at(noon.AddDate(0, 1, 0).Add(time.Minute))
	k.wantGives(ann, "premium")
	k.market.change("tok-1", func(t *ticket) { t.items[1].renews = false })
	k.heard("tok-1")
	k.wantEvents(ann, event.PurchaseGranted, event.PurchaseGranted, event.PurchaseExpired)
	k.heard("tok-1")
	k.wantEvents(ann, event.PurchaseGranted, event.PurchaseGranted, event.PurchaseExpired)
	k.at(noon.AddDate(0, 2, 0).Add(time.Minute))
	k.market.change("tok-1", func(t *ticket) { t.items[0].renews, t.state = false, isExpired })
	k.heard("tok-1")
	k.wantGives(ann, "")
	k.wantEvents(ann, event.PurchaseGranted, event.PurchaseGranted, event.PurchaseExpired, event.PurchaseExpired)
	if got := k.record("tok-1"); !got.CheckAt.IsZero() {
		t.Errorf("next look: got %v, want none at what is over", got.CheckAt)
	}
	k.wantTold("tok-1", 1, 0)
}

// The line is looked at again for whichever part ends first.
func TestALineIsLookedAtForThePartThatEndsFirst(t *testing.T) {
	t.Parallel()
	for _, months := range [][2]int{{1, 2}, {2, 1}} {
		k := newTokens(t)
		k.sell("tok-1", bundle(months[0], months[1]))
		k.granted(ann, "tok-1")
		if got, want := k.record("tok-1").CheckAt, noon.AddDate(0, 1, 0).Add(time.Hour); !got.Equal(want) {
			t.Errorf("ends %v: got the next look at %v, want %v", months, got, want)
		}
	}
}

// Or sooner, where the store wants that.
func TestALineIsLookedAtWhenTheStoreWantsIt(t *testing.T) {
	t.Parallel()
	for days, want := range map[int]time.Time{13: noon.Add(13*24*time.Hour + time.Second), 300: noon.AddDate(0, 1, 0).Add(time.Hour)} {
		k := newTokens(t)
		b := bundle(1, 2)
		b.again = time.Duration(days) * 24 * time.Hour
		k.sell("tok-1", b)
		k.granted(ann, "tok-1")
		if got := k.record("tok-1").CheckAt; !got.Equal(want) {
			t.Errorf("asked for in %d days: got the next look at %v, want %v", days, got, want)
		}
	}
}

func TestAPartIsAddedAndTakenAway(t *testing.T) {
	t.Parallel()
	k := newTokens(t)
	k.sell("tok-1", ticket{items: []item{month(basic, "o-basic", 2)}})
	k.granted(ann, "tok-1")
	k.market.change("tok-1", func(t *ticket) { t.items = append(t.items, month(extra, "o-extra", 1)) })
	k.heard("tok-1")
	k.wantGives(ann, "extra premium")
	k.wantEvents(ann, event.PurchaseGranted, event.PurchaseGranted)
	k.market.change("tok-1", func(t *ticket) { t.items[1].renews = false })
	k.heard("tok-1")
	k.wantEvents(ann, event.PurchaseGranted, event.PurchaseGranted, event.PurchaseEnding)
	k.wantGives(ann, "extra premium")
	k.at(noon.AddDate(0, 1, 0).Add(time.Minute))
	k.market.change("tok-1", func(t *ticket) { t.items = t.items[:1] })
	k.heard("tok-1")
	k.wantGives(ann, "premium")
	if got := k.sources(ann)["basic"]; got.State != entitlement.Active || !got.WillRenew {
		t.Errorf("source of what stays: got %+v, want it as it was", got)
	}
}

// One movement of money may pay for several parts, and each is granted and given back once.
func TestPartsThatOneOrderPaidForAreGrantedAndGivenBackOnceEach(t *testing.T) {
	t.Parallel()
	for _, back := range [][]string{{"basic"}, {"extra"}, {"basic", "extra"}, {"extra", "basic"}} {
		k := newTokens(t)
		k.sell("tok-1", ticket{items: []item{month(basic, "o1", 1), month(extra, "o1", 1)}})
		for range 2 {
			k.granted(ann, "tok-1")
			k.heard("tok-1")
		}
		k.wantGives(ann, "extra premium")
		k.wantEvents(ann, event.PurchaseGranted, event.PurchaseGranted)
		if a, b := k.playOrder("o1"), k.playOrder("o1:extra"); a.Part != "basic" || b.Part != "extra" || a.Customer != b.Customer {
			t.Errorf("orders: got %+v and %+v, want one for each part", a, b)
		}
		left := "extra premium"
		for _, part := range back {
			k.market.change("tok-1", func(t *ticket) {
				for i := range t.items {
					t.items[i].refunded = t.items[i].refunded || t.items[i].part == part
				}
			})
			k.heard("tok-1")
			k.heard("tok-1")
			left = map[string]string{"extra premiumbasic": "extra", "extra premiumextra": "premium", "extrabasic": "", "extraextra": "", "premiumbasic": ""}[left+part]
			k.wantGives(ann, left)
		}
		if got := k.events(ann); len(got) != 2+len(back) {
			t.Errorf("%v given back: got events %v, want one for each", back, got)
		}
	}
}

// Which part has the order's own name stays so, whatever comes first afterwards.
func TestPartsOfOneOrderKeepTheirNames(t *testing.T) {
	t.Parallel()
	k := newTokens(t)
	k.sell("tok-1", ticket{items: []item{month(basic, "o1", 1), month(extra, "o1", 1)}})
	k.granted(ann, "tok-1")
	k.market.change("tok-1", func(t *ticket) { slices.Reverse(t.items) })
	k.heard("tok-1")
	k.granted(ann, "tok-1")
	if a, b := k.playOrder("o1"), k.playOrder("o1:extra"); a.Part != "basic" || b.Part != "extra" {
		t.Errorf("orders: got %+v and %+v, want their parts as they were", a, b)
	}
	k.market.change("tok-1", func(t *ticket) { t.items = t.items[:1] }) // extra alone
	k.heard("tok-1")
	if got := k.playOrder("o1:extra").AsOf; !got.Equal(k.clock.Now()) {
		t.Errorf("the order of the part that is left: got a word of %v, want of %v", got, k.clock.Now())
	}
	k.wantEvents(ann, event.PurchaseGranted, event.PurchaseGranted)
}

// Every part remembers its own renewals, and one that was forgotten can be given back.
func TestEachPartRenewsMoreOftenThanTheLineRemembers(t *testing.T) {
	t.Parallel()
	for _, reversed := range []bool{false, true} {
		k := newTokens(t)
		items := func(n int) []item {
			order := fmt.Sprint("o1..", n)
			return []item{month(basic, order, n+1), month(extra, order, n+1)}
		}
		k.sell("tok-1", ticket{items: items(0)})
		k.granted(ann, "tok-1")
		for n := 1; n < 8; n++ {
			k.at(noon.AddDate(0, n, 0))
			k.market.change("tok-1", func(t *ticket) {
				t.items = items(n)
				if reversed && n > 5 {
					slices.Reverse(t.items)
				}
			})
			k.heard("tok-1")
			k.wantGives(ann, "extra premium")
		}
		r := k.record("tok-1")
		counts := map[string]int{}
		for _, term := range r.Terms {
			counts[term.Part]++
		}
		if counts["basic"] != 4 || counts["extra"] != 4 {
			t.Errorf("terms: got %v, want the last four of each part", counts)
		}
		if got := k.events(ann); len(got) != 16 {
			t.Errorf("events: got %d, want two a month", len(got))
		}
		// The order of a month long ago is given back, both of its parts, and only they.
		for _, i := range items(1) {
			k.market.refunded[i.order+i.part] = i
		}
		for range 2 {
			k.heard("voided tok-1 o1..1")
		}
		for _, id := range []string{"o1..1", "o1..1:extra"} {
			if o := k.playOrder(id); o.State != purchase.OrderRefunded {
				t.Errorf("order %s: got %s of part %s, want refunded", id, o.State, o.Part)
			}
		}
		k.wantGives(ann, "extra premium")
		if got := k.events(ann); len(got) != 18 {
			t.Errorf("events: got %d, want two refunds more", len(got))
		}
	}
}

func TestARefundOfOnePartLeavesTheOther(t *testing.T) {
	t.Parallel()
	for n, left := range []string{"extra", "premium"} {
		k := newTokens(t)
		k.sell("tok-1", bundle(1, 1))
		k.granted(ann, "tok-1")
		k.market.change("tok-1", func(t *ticket) { t.items[n].refunded = true })
		k.heard("tok-1")
		k.wantGives(ann, left)
		k.wantEvents(ann, event.PurchaseGranted, event.PurchaseGranted, event.PurchaseRefunded)
	}
}

// A part stands by its own: one is retried while the other goes on.
func TestTheStandingOfOnePartIsNotTheOthers(t *testing.T) {
	t.Parallel()
	k := newTokens(t)
	k.sell("tok-1", bundle(1, 2))
	k.granted(ann, "tok-1")
	k.clock.move(time.Hour)
	k.market.change("tok-1", func(t *ticket) { t.items[0].renews = false })
	k.heard("tok-1")
	got := k.sources(ann)
	if got["basic"].WillRenew || !got["extra"].WillRenew {
		t.Errorf("sources: got %+v, want the first alone not to renew", got)
	}
	if r := k.record("tok-1"); !r.Standing.AsOf.IsZero() || len(r.Parts) != 2 || r.Parts[0].Name != "basic" || r.Parts[1].Name != "extra" {
		t.Errorf("line: got %+v and %+v, want a standing for each part and none for all", r.Standing, r.Parts)
	}
	k.wantEvents(ann, event.PurchaseGranted, event.PurchaseGranted, event.PurchaseEnding)
	k.market.change("tok-1", func(t *ticket) { t.items[0].renews = true })
	k.heard("tok-1")
	k.wantEvents(ann, event.PurchaseGranted, event.PurchaseGranted, event.PurchaseEnding, event.PurchaseResumed)
	k.clock.move(-time.Minute) // what was asked before is no news
	k.market.change("tok-1", func(t *ticket) { t.items[0].renews = false })
	k.heard("tok-1")
	if got := k.sources(ann)["basic"]; !got.WillRenew {
		t.Errorf("source: got %+v, want an older word to change nothing", got)
	}
}

// Access stays while the money cannot be taken, and the order says no more than was paid for.
func TestTheGraceOfAPartIsNotPaidFor(t *testing.T) {
	t.Parallel()
	k := newTokens(t)
	k.sell("tok-1", bundle(1, 1))
	k.granted(ann, "tok-1")
	end := noon.AddDate(0, 1, 0)
	k.at(end.Add(time.Minute))
	k.wantGives(ann, "")
	k.market.change("tok-1", func(t *ticket) { t.grace = 7 * 24 * time.Hour })
	k.heard("tok-1")
	k.wantGives(ann, "extra premium")
	if o := k.playOrder("o-basic"); !o.Until.Equal(end) {
		t.Errorf("order: got an end of %v, want %v that was paid for", o.Until, end)
	}
	if got := k.sources(ann)["basic"]; got.State != entitlement.Grace || !got.Until.Equal(end.Add(7*24*time.Hour)) {
		t.Errorf("source: got %+v, want grace", got)
	}
	k.wantEvents(ann, event.PurchaseGranted, event.PurchaseGranted, event.PurchaseGrace, event.PurchaseGrace)
	told, err := customer.Events(t.Context(), k.tables, k.scope, k.customer(ann).Ref, 2, 10)
	if err != nil || told[0].ProductID != basic || told[1].ProductID != extra {
		t.Errorf("events: got %+v, %v, want the parts in their order", told, err)
	}
	k.market.change("tok-1", func(t *ticket) {
		t.grace = 0
		t.items = []item{month(basic, "o-basic..0", 2), month(extra, "o-extra..0", 2)}
	})
	k.heard("tok-1")
	k.wantEvents(ann, event.PurchaseGranted, event.PurchaseGranted, event.PurchaseGrace, event.PurchaseGrace, event.PurchaseRecovered, event.PurchaseRecovered)
}

// What changes product keeps its part only where the store sells it so.
func TestRenewalsOfPartsAreToldAsRenewals(t *testing.T) {
	t.Parallel()
	k := newTokens(t)
	k.sell("tok-1", bundle(1, 1))
	k.granted(ann, "tok-1")
	k.at(noon.AddDate(0, 1, 0).Add(-time.Minute))
	k.market.change("tok-1", func(t *ticket) {
		t.items = []item{month(basic, "o-basic..0", 2), month(extra, "o-extra..0", 2)}
	})
	k.heard("tok-1")
	k.wantEvents(ann, event.PurchaseGranted, event.PurchaseGranted, event.PurchaseRenewed, event.PurchaseRenewed)
	k.wantTold("tok-1", 1, 0)
}

// The store knows nothing of the name that a part's order has in our book.
func TestTheStoreIsAskedAboutAnOrderByTheStoresName(t *testing.T) {
	t.Parallel()
	k := newTokens(t)
	k.sell("tok-1", ticket{items: []item{month(basic, "o1", 1), month(extra, "o1", 1)}, again: time.Hour})
	k.granted(ann, "tok-1")
	k.clock.move(2 * time.Hour)
	k.reviewed()
	want := []purchase.Sold{{Order: "o1", Part: "extra", SKU: extra}, {Order: "o1", Part: "basic", SKU: basic}}
	if got := k.market.lines[0].Sold; !slices.Equal(got, want) {
		t.Errorf("asked about %+v, want %+v", got, want)
	}
}

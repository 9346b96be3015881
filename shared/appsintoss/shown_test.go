package appsintoss_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"grantline/shared/appsintoss"
	"grantline/shared/event"
	"grantline/shared/fault"
	"grantline/shared/purchase"
	"grantline/shared/table"
)

// Whether money was taken or given back is the order's to say, whatever an event says; what the
// order does not show, the event is believed. Nobody had claimed it, or ann had.
func TestWhatTheOrderShowsBesideAnEventCounts(t *testing.T) {
	wrong := says{status: 200, body: `{"resultType":"FAIL","error":{"errorCode":"4000"}}`}
	for name, c := range map[string]struct {
		shows  says
		status string // of the event, which grants access unless it is REVOKED
		// taken says that the event was let go, coming that it is to come again.
		taken, coming bool
		known, new    purchase.OrderState // in the end, of an order that was granted and of one that is new
		access        bool                // of ann's, though a new one that was never shown is nobody's yet
		soon          bool                // it is looked at again soon
	}{
		"payment completed":          {stands(order, "PAYMENT_COMPLETED", monthly), "ACTIVE", true, false, purchase.OrderGranted, purchase.OrderUnclaimed, true, false},
		"purchased":                  {stands(order, "PURCHASED", monthly), "ACTIVE", true, false, purchase.OrderGranted, purchase.OrderUnclaimed, true, false},
		"purchased, revoked":         {stands(order, "PURCHASED", monthly), "REVOKED", true, false, purchase.OrderGranted, purchase.OrderUnclaimed, false, false},
		"refunded":                   {stands(order, "REFUNDED", monthly), "ACTIVE", true, false, purchase.OrderRefunded, purchase.OrderRefunded, false, false},
		"refunded, revoked":          {stands(order, "REFUNDED", monthly), "REVOKED", true, false, purchase.OrderRefunded, purchase.OrderRefunded, false, false},
		"refunded, without sku":      {stands(order, "REFUNDED", ""), "ACTIVE", true, false, purchase.OrderRefunded, purchase.OrderRefunded, false, false},
		"failed":                     {stands(order, "FAILED", monthly), "ACTIVE", true, false, purchase.OrderRefunded, "", false, false},
		"in progress":                {stands(order, "ORDER_IN_PROGRESS", monthly), "ACTIVE", false, true, purchase.OrderGranted, "", true, false},
		"not found":                  {stands(order, "NOT_FOUND", ""), "ACTIVE", true, false, purchase.OrderGranted, purchase.OrderUnclaimed, true, false},
		"not found, revoked":         {stands(order, "NOT_FOUND", ""), "REVOKED", true, false, purchase.OrderRefunded, purchase.OrderRefunded, false, false},
		"another app's":              {stands(order, "MINIAPP_MISMATCH", ""), "ACTIVE", false, false, purchase.OrderGranted, "", true, false},
		"another app's, revoked":     {stands(order, "MINIAPP_MISMATCH", ""), "REVOKED", false, false, purchase.OrderGranted, "", true, false},
		"another product's":          {stands(order, "PURCHASED", gems), "ACTIVE", false, false, purchase.OrderGranted, "", true, false},
		"another product's, revoked": {stands(order, "REFUNDED", gems), "REVOKED", false, false, purchase.OrderGranted, "", true, false},
		"error":                      {stands(order, "ERROR", ""), "ACTIVE", true, false, purchase.OrderGranted, purchase.OrderUnclaimed, true, true},
		"error, revoked":             {stands(order, "ERROR", ""), "REVOKED", true, false, purchase.OrderGranted, purchase.OrderUnclaimed, false, true},
		"a failure":                  {wrong, "ACTIVE", true, false, purchase.OrderGranted, purchase.OrderUnclaimed, true, true},
		"an outage":                  {says{status: 503}, "ACTIVE", true, false, purchase.OrderGranted, purchase.OrderUnclaimed, true, true},
		"a new word":                 {stands(order, "GIFTED", monthly), "ACTIVE", true, false, purchase.OrderGranted, purchase.OrderUnclaimed, true, true},
	} {
		for _, claimed := range []bool{true, false} {
			each(t, fmt.Sprint(name, " claimed ", claimed), func(d *desk) {
				want := c.new
				if claimed {
					d.orders[order] = stands(order, "PURCHASED", monthly)
					d.granted(ann)
					want = c.known
				}
				time.Sleep(time.Minute)
				d.orders[order] = c.shows
				ok, err := d.hear(turned(c.status, c.status != "REVOKED", time.Now().Add(30*aDay), true, nil))
				if ok != c.taken || errors.Is(err, fault.Unavailable) != c.coming || err != nil && !c.coming {
					d.Errorf("got %t, %v, want it taken over: %t, to come again: %t", ok, err, c.taken, c.coming)
				}
				if got := d.order().State; got != want {
					d.Errorf("order: got %q, want %q", got, want)
				}
				if got := d.premium(ann, time.Now().Add(time.Hour)).Active; got != (c.access && claimed) {
					d.Errorf("access: got %t, want %t", got, c.access && claimed)
				}
				if want == "" {
					return
				}
				got, now := d.due(), time.Now()
				if soon := got.After(now) && !got.After(now.Add(20*time.Minute)); soon != c.soon {
					d.Errorf("to be looked at: got %v, want soon: %t", got, c.soon)
				}
			})
		}
	}
}

// An order that shows the money though access was revoked is not given back and restored in turns.
func TestALookAfterARevocationRestoresNothing(t *testing.T) {
	for _, down := range []bool{false, true} {
		each(t, fmt.Sprint("heard in an outage ", down), func(d *desk) {
			d.orders[order] = stands(order, "PURCHASED", monthly)
			d.granted(ann)
			d.heard(turned("ACTIVE", true, time.Now().Add(30*aDay), true, nil))
			time.Sleep(aDay / 2)
			d.down = down
			d.heard(turned("REVOKED", false, time.Now().Add(30*aDay), false, nil))
			d.down = false
			for range 5 {
				d.wantAccess(ann, time.Time{})
				d.review(2 * aDay)
			}
			d.wantTold(ann, event.PurchaseGranted, event.EntitlementUpdated, event.PurchaseExpired)
			d.orders[order] = stands(order, "REFUNDED", monthly)
			for range 5 {
				d.review(2 * aDay)
			}
			d.wantTold(ann, event.PurchaseGranted, event.EntitlementUpdated, event.PurchaseExpired, event.PurchaseRefunded)
		})
	}
}

// A refund that the order showed stays one, though later events say that all is well while the
// order is not shown.
func TestARefundedSubscriptionIsGivenBackByNoEvent(t *testing.T) {
	for name, shows := range map[string]says{"not found": stands(order, "NOT_FOUND", ""), "outage": {status: 503}} {
		each(t, name, func(d *desk) {
			d.orders[order] = stands(order, "PURCHASED", monthly)
			d.granted(ann)
			time.Sleep(time.Hour)
			d.orders[order] = stands(order, "REFUNDED", monthly)
			d.heard(turned("ACTIVE", true, time.Now().Add(30*aDay), true, nil))
			time.Sleep(time.Hour)
			d.orders[order] = shows
			d.heard(turned("ACTIVE", true, time.Now().Add(60*aDay), true, nil))
			d.wantAccess(ann, time.Time{})
			d.wantTold(ann, event.PurchaseGranted, event.PurchaseRefunded, event.EntitlementUpdated) // its end, as the event says
		})
	}
}

// Toss says when an order's status was determined, which may be after the event of its purchase.
func TestOfAnEventFromBeforeTheMoneyWasDeterminedItsRenewalCounts(t *testing.T) {
	for _, renew := range []bool{true, false} {
		each(t, fmt.Sprint(renew), func(d *desk) {
			shows := stands(order, "PURCHASED", monthly)
			shows.body = strings.Replace(shows.body, "2026-11-22T17:59:30", "2026-11-22T18:00:10+09:00", 1)
			d.orders[order] = shows
			ends := time.Now().Add(30 * aDay)
			body := turned("ACTIVE", true, ends, renew, nil)
			time.Sleep(20 * time.Second)
			d.granted(ann)
			d.heard(body)
			d.wantAccess(ann, ends)
			if got := d.premium(ann, time.Now()).WillRenew; got != renew {
				d.Errorf("will renew: got %t, want %t", got, renew)
			}
		})
	}
}

// Toss does not say whether it shows a subscription's order. Whichever it is, the first who comes
// has it, once it is known to be paid, and nobody else.
func TestClaimsOfASubscriptionWhetherItsOrderIsShownOrNot(t *testing.T) {
	for _, shown := range []bool{true, false} {
		each(t, fmt.Sprint("shown ", shown), func(d *desk) {
			if shown {
				d.orders[order] = stands(order, "PAYMENT_COMPLETED", monthly)
				d.granted(ann)
				d.refused(ben, fault.Conflict, "owned_by_another_customer")
			} else {
				d.refused(ann, fault.Invalid, "invalid_purchase")
			}
			ends := time.Now().Add(30 * aDay)
			d.heard(turned("ACTIVE", true, ends, true, nil))
			d.granted(ann)
			d.wantAccess(ann, ends)
			if !d.premium(ann, time.Now()).WillRenew {
				d.Error("got that it will not renew, want what the event says")
			}
			d.refused(ben, fault.Conflict, "owned_by_another_customer")
			d.wantAccess(ben, time.Time{})
			time.Sleep(time.Hour)
			d.granted(ann)
			d.refused(ben, fault.Conflict, "owned_by_another_customer")
			d.wantAccess(ann, ends)
			if shown {
				d.wantTold(ann, event.PurchaseGranted, event.EntitlementUpdated)
			} else {
				d.wantTold(ann, event.PurchaseGranted)
			}
		})
		each(t, fmt.Sprint("shown ", shown, ", the event first"), func(d *desk) {
			if shown {
				d.orders[order] = stands(order, "PAYMENT_COMPLETED", monthly)
			}
			ends := time.Now().Add(30 * aDay)
			d.heard(turned("ACTIVE", true, ends, true, nil))
			for sku, want := range map[string]bool{gems: false, monthly: true} {
				_, err := d.Claim(d.Context(), table.Default, "by-"+sku, purchase.Proof{Store: appsintoss.Name, Evidence: order, SKU: sku})
				if (err == nil) != want || err != nil && fault.Code(err) != "invalid_purchase" && fault.Code(err) != "owned_by_another_customer" {
					d.Errorf("claim of %s: got %v, want it granted: %t", sku, err, want)
				}
			}
			d.wantAccess("by-"+monthly, ends)
			d.wantAccess("by-"+gems, time.Time{})
		})
	}
}

// What Toss shows to nobody but its own user is no order that it shows to nobody.
func TestAnotherUsersOrderIsNotHadByItsEvent(t *testing.T) {
	for _, shown := range []bool{true, false} {
		each(t, fmt.Sprint("shown ", shown), func(d *desk) {
			if shown {
				d.orders[order], d.owners[order] = stands(order, "PURCHASED", monthly), "anns"
			}
			d.heard(turned("ACTIVE", true, time.Now().Add(30*aDay), true, nil))
			by := func(who, key string) error {
				_, err := d.Claim(d.Context(), table.Default, who, purchase.Proof{Store: appsintoss.Name, Evidence: order, UserKey: key})
				return err
			}
			if shown {
				if err := by(ben, "bens"); !errors.Is(err, fault.Invalid) || fault.Code(err) != "invalid_purchase" {
					d.Errorf("by another user: got %v, want it refused", err)
				}
			}
			if err := by(ann, "anns"); err != nil || !d.premium(ann, time.Now()).Active {
				d.Errorf("by its user: got %v, want it granted", err)
			}
			if err := by(ben, "bens"); !errors.Is(err, fault.Conflict) {
				d.Errorf("by another user later: got %v, want a conflict", err)
			}
		})
	}
}

// sold makes ann's order of gems, an hour before noon.
func (d *desk) sold() {
	d.Helper()
	d.orders[order] = stands(order, "PURCHASED", gems)
	d.granted(ann)
}

func TestOrdersAreAskedAboutDailyThenEachThirdDayThenWeeklyThenNever(t *testing.T) {
	for _, sku := range []string{gems, "ad-free"} {
		each(t, sku, func(d *desk) {
			d.orders[order] = stands(order, "PURCHASED", sku)
			d.granted(ann)
			began, polls := time.Now(), map[time.Duration]int{}
			for range 100 {
				age := time.Since(began)
				waited, due := d.review(365 * aDay)
				if !due {
					break
				}
				step := waited.Round(aDay)
				polls[step]++
				want := 7 * aDay
				if age < 30*aDay-time.Hour {
					want = aDay
				} else if age < 45*aDay-time.Hour {
					want = 3 * aDay
				}
				if step != want {
					d.Errorf("at the age of %v: got the next look after %v, want %v", age, step, want)
				}
			}
			if age := time.Since(began).Round(aDay); polls[aDay] != 30 || polls[3*aDay] != 5 || polls[7*aDay] != 20 || len(polls) != 3 || age != 185*aDay {
				d.Errorf("got polls %v until the age of %v, want 30 daily ones, 5 each third day and 20 weekly", polls, age)
			}
			time.Sleep(365 * aDay)
			before := d.asked
			if next, err := d.Review(d.Context(), table.Default, appsintoss.Name, 10); err != nil || !next.IsZero() || d.asked != before {
				d.Errorf("after the last: got %v, %v and %d requests, want none for ever", next, err, d.asked-before)
			}
			d.wantTold(ann, event.PurchaseGranted)
		})
	}
}

func TestARefundThatAPollFindsIsTakenBackOnceAndNotAskedAboutAgain(t *testing.T) {
	for _, after := range []int{1, 29, 33} {
		for _, word := range []string{"REFUNDED", "FAILED"} {
			each(t, fmt.Sprint(word, " after ", after), func(d *desk) {
				d.sold()
				for range after {
					d.review(8 * aDay)
				}
				if d.balance(ann) != 100 {
					d.Fatalf("balance before: got %d, want 100", d.balance(ann))
				}
				d.orders[order] = stands(order, word, gems)
				d.review(8 * aDay)
				if got := d.order(); d.balance(ann) != 0 || got.State != purchase.OrderRefunded || got.TakenBack != 100 {
					d.Errorf("got a balance of %d and %s, %d taken back, want all of it back", d.balance(ann), got.State, got.TakenBack)
				}
				if _, due := d.review(365 * aDay); due {
					d.Error("it was asked about again, want never")
				}
				d.refused(ann, fault.Invalid, "invalid_purchase")
				d.wantTold(ann, event.PurchaseGranted, event.PurchaseRefunded)
			})
		}
	}
}

// A word that is no word about money takes nothing, and ends no polls.
func TestAPollWithoutAWordTakesNothingAndComesAgain(t *testing.T) {
	for name, c := range map[string]struct {
		shows says
		again time.Duration
	}{
		"an outage":     {says{status: 503}, 15 * time.Minute},
		"error":         {stands(order, "ERROR", ""), 15 * time.Minute},
		"a new word":    {stands(order, "GIFTED", gems), 15 * time.Minute},
		"in progress":   {stands(order, "ORDER_IN_PROGRESS", gems), 15 * time.Minute},
		"another app's": {stands(order, "MINIAPP_MISMATCH", ""), 15 * time.Minute},
		"not found":     {stands(order, "NOT_FOUND", ""), aDay},
	} {
		each(t, name, func(d *desk) {
			d.sold()
			d.orders[order] = c.shows
			for n := range 3 {
				waited, due := d.review(aDay)
				if want := c.again; !due || n > 0 && (waited > want || waited < want-time.Minute) {
					d.Errorf("look %d: got it due %t after %v, want it again after %v", n, due, waited, want)
				}
				if d.balance(ann) != 100 || d.order().State != purchase.OrderGranted {
					d.Errorf("look %d: got a balance of %d and %s, want it untouched", n, d.balance(ann), d.order().State)
				}
			}
			d.orders[order] = stands(order, "REFUNDED", gems)
			d.review(aDay)
			if d.balance(ann) != 0 {
				d.Errorf("after a refund: got a balance of %d, want none", d.balance(ann))
			}
		})
	}
}

// To come with it again leaves the polls as they are, and so does an event.
func TestWhoComesAgainPutsNoPollOff(t *testing.T) {
	each(t, "again", func(d *desk) {
		d.sold()
		for range 40 {
			d.review(8 * aDay)
		}
		time.Sleep(aDay)
		d.granted(ann)
		if waited, due := d.review(aDay); !due || waited < 23*time.Hour {
			d.Errorf("got it due %t after %v, want a day later", due, waited)
		}
		if waited, due := d.review(8 * aDay); !due || waited < 6*aDay {
			d.Errorf("got it due %t after %v, want a week later, by its age", due, waited)
		}
	})
	each(t, "event", func(d *desk) {
		d.orders[order] = stands(order, "PURCHASED", monthly)
		d.granted(ann)
		d.heard(turned("ACTIVE", true, time.Now().Add(30*aDay), true, nil))
		if waited, due := d.review(aDay); !due || waited < 23*time.Hour {
			d.Errorf("got it due %t after %v, want a day later", due, waited)
		}
		if !d.premium(ann, time.Now()).Active || !d.premium(ann, time.Now()).WillRenew {
			d.Error("a poll, which knows no end, changed what the event said")
		}
		d.wantAccess(ann, now.Add(30*aDay))
	})
}

// Who comes with a known order hints that something became of it.
func TestAKnownOrderIsLookedAtAgainWhenItsLastWordIsOld(t *testing.T) {
	each(t, "known", func(d *desk) {
		d.sold()
		asks := func(after time.Duration, want int, claims func()) {
			d.Helper()
			time.Sleep(after)
			before := d.asked
			claims()
			if got := d.asked - before; got != want {
				d.Errorf("%v later: got %d requests, want %d", after, got, want)
			}
		}
		mine := func() { d.granted(ann) }
		asks(10*time.Minute-1, 0, mine)
		asks(1, 1, mine)
		asks(time.Minute, 0, mine)
		asks(time.Hour, 0, func() { d.refused(ben, fault.Conflict, "owned_by_another_customer") })
		for name, says := range map[string]says{
			"not found": stands(order, "NOT_FOUND", ""), "outage": {status: 503}, "in progress": stands(order, "ORDER_IN_PROGRESS", gems),
		} {
			d.orders[order] = says
			began := time.Now()
			d.granted(ann)
			if took := time.Since(began); took > 4*time.Second {
				d.Errorf("%s: got an answer after %v, want it within 4 s", name, took)
			}
		}
		d.orders[order] = stands(order, "REFUNDED", gems)
		asks(0, 1, func() { d.refused(ann, fault.Invalid, "invalid_purchase") })
		asks(0, 1, func() { d.refused(ann, fault.Invalid, "invalid_purchase") })
		if d.balance(ann) != 0 {
			d.Errorf("balance: got %d, want none", d.balance(ann))
		}
		d.wantTold(ann, event.PurchaseGranted, event.PurchaseRefunded)
	})
}

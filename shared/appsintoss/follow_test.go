package appsintoss_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/appsintoss"
	"grantline/shared/entitlement"
	"grantline/shared/event"
	"grantline/shared/fault"
	"grantline/shared/purchase"
	"grantline/shared/table"
)

// The whole table: whatever the status, access is there exactly as long as the event says, and
// for a bounded time where it says none. It is the same whoever came first, customer or event.
func TestEveryEventSaysUntilWhenThereIsAccess(t *testing.T) {
	for _, status := range statuses {
		for _, granted := range []bool{true, false} {
			for expiry, after := range map[string]time.Duration{"null": 0, "past": -aDay, "future": 20 * aDay} {
				for _, renew := range []bool{true, false} {
					for _, shown := range []bool{true, false} {
						for _, claimedFirst := range []bool{true, false} {
							if claimedFirst && !shown {
								continue // nobody knows it then
							}
							name := fmt.Sprint(status, " access ", granted, " expiry ", expiry, " renewing ", renew, " shown ", shown, " claimed first ", claimedFirst)
							each(t, name, func(d *desk) {
								if shown {
									d.orders[order] = stands(order, "PURCHASED", monthly)
								}
								if claimedFirst {
									d.granted(ann)
								}
								time.Sleep(time.Hour)
								occurred, expires := time.Now(), time.Time{}
								if after != 0 {
									expires = occurred.Add(after)
								}
								d.heard(turned(status, granted, expires, renew, nil))
								if !claimedFirst {
									if status == "REVOKED" && !shown {
										d.refused(ann, fault.Invalid, "invalid_purchase")
										return
									}
									d.granted(ann)
								}
								var ends time.Time
								switch {
								case !granted || status == "REVOKED":
								case status == "IN_GRACE_PERIOD":
									ends = occurred.Add(30 * aDay)
								case expiry == "null":
									ends = occurred.Add(70 * aDay)
								case expiry == "future":
									ends = expires
								}
								d.wantAccess(ann, ends)
								got := d.premium(ann, time.Now())
								if want := status == "IN_GRACE_PERIOD"; !ends.IsZero() && (got.State == entitlement.Grace) != want {
									d.Errorf("got %s, want grace: %t", got.State, want)
								}
								if want := renew && !ends.IsZero(); got.WillRenew != want {
									d.Errorf("will renew: got %t, want %t", got.WillRenew, want)
								}
								if o := d.order(); o.State != purchase.OrderGranted {
									d.Errorf("order: got %s, want granted, for the money was not given back", o.State)
								}
							})
						}
					}
				}
			}
		}
	}
}

// wantAccess checks access from now on until the end, none if that is zero.
func (d *desk) wantAccess(who string, ends time.Time) {
	d.Helper()
	for n := range 200 {
		at := time.Now().Add(time.Duration(n) * aDay / 2)
		if got, want := d.premium(who, at).Active, at.Before(ends); got != want {
			d.Errorf("access %v from now: got %t, want %t, until %v", time.Until(at), got, want, ends)
			return
		}
	}
	if !ends.IsZero() && (!d.premium(who, ends.Add(-1)).Active || d.premium(who, ends).Active) {
		d.Errorf("access at %v: got it to end another time, want it to end then", ends)
	}
}

func TestAStatusThatNobodyKnowsWaitsAndChangesNothing(t *testing.T) {
	for _, status := range []string{"active", "GIFTED", "CANCELLED"} {
		each(t, status, func(d *desk) {
			if ok, err := d.hear(turned(status, true, time.Now().Add(aDay), true, nil)); ok || !errors.Is(err, fault.Unavailable) {
				d.Errorf("got %t, %v, want it to come again", ok, err)
			}
			if got := len(d.tables.Items(table.Orders)); got != 0 || d.asked != 0 {
				d.Errorf("got %d orders and %d requests, want none", got, d.asked)
			}
		})
	}
}

// What is no subscription's change is about no sale.
func TestARegistrationIsAboutNoSale(t *testing.T) {
	each(t, "registration", func(d *desk) {
		if ok, err := d.hear(`{"eventType":"callback.registration_verification","occurredAt":"2026-11-22T09:00:00"}`); ok || err != nil {
			d.Errorf("got %t, %v, want nothing", ok, err)
		}
		if ok, err := d.LookAgain(d.Context(), table.Default, appsintoss.Name, `{"eventType":"x"}`); ok || err != nil || d.asked != 0 {
			d.Errorf("unreadable: got %t, %v and %d requests, want it let go", ok, err, d.asked)
		}
	})
}

// Toss was seen to send RESTARTED with autoRenew false: it is as it says, not as it is called.
func TestARestartThatDoesNotRenewEndsWhenItSays(t *testing.T) {
	each(t, "restart", func(d *desk) {
		d.orders[order] = stands(order, "PURCHASED", monthly)
		d.heard(turned("ACTIVE", true, time.Now().Add(30*aDay), true, nil))
		d.granted(ann)
		time.Sleep(aDay)
		d.heard(turned("PAUSED", false, time.Now().Add(29*aDay), true, nil))
		d.wantAccess(ann, time.Time{})
		time.Sleep(aDay)
		ends := time.Now().Add(28 * aDay)
		d.heard(turned("ACTIVE", true, ends, false, members{"changeReason": `"RESTARTED"`}))
		d.wantAccess(ann, ends)
		if d.premium(ann, time.Now()).WillRenew {
			d.Error("got that it will renew, want what the event says")
		}
	})
}

// A subscription's life, as the customer is told of it.
func TestEachTurnOfASubscriptionIsToldOnce(t *testing.T) {
	each(t, "life", func(d *desk) {
		d.orders[order] = stands(order, "PAYMENT_COMPLETED", monthly)
		want := []event.Type{event.PurchaseGranted}
		turn := func(after time.Duration, kind event.Type, status string, granted bool, expires time.Time, renew bool) {
			d.Helper()
			time.Sleep(after)
			body := turned(status, granted, expires, renew, nil)
			d.heard(body)
			d.heard(body)
			if kind != "" {
				want = append(want, kind)
			}
			d.wantTold(ann, want...)
		}
		d.granted(ann)
		first := time.Now().Add(30 * aDay)
		turn(time.Minute, event.PurchaseExtended, "ACTIVE", true, time.Time{}, true) // right after the purchase it says no end
		turn(time.Minute, event.EntitlementUpdated, "ACTIVE", true, first, true)     // and then one
		turn(aDay, event.PurchaseEnding, "ACTIVE", true, first, false)
		turn(aDay, event.PurchaseResumed, "ACTIVE", true, first, true)
		turn(27*aDay, event.PurchaseExtended, "ACTIVE", true, first.Add(30*aDay), true)
		turn(31*aDay, event.PurchaseGrace, "IN_GRACE_PERIOD", true, first.Add(30*aDay), true)
		turn(2*aDay, event.PurchaseRecovered, "ACTIVE", true, first.Add(60*aDay), true)
		turn(28*aDay, event.PurchaseGrace, "IN_GRACE_PERIOD", true, first.Add(60*aDay), true)
		turn(7*aDay, event.PurchaseOnHold, "ON_HOLD", false, first.Add(60*aDay), true)
		turn(7*aDay, event.PurchaseRecovered, "ACTIVE", true, first.Add(110*aDay), true)
		turn(aDay, event.PurchaseEnding, "ACTIVE", true, first.Add(110*aDay), false)
		turn(40*aDay, event.PurchaseExpired, "EXPIRED", false, first.Add(110*aDay), false)
	})
}

// Without an end in any event, its end is told of when that comes, and not before.
func TestAnEndBeforeTheOneThatWasThoughtIsToldOf(t *testing.T) {
	each(t, "end", func(d *desk) {
		d.orders[order] = stands(order, "PURCHASED", monthly)
		d.granted(ann)
		d.heard(turned("ACTIVE", true, time.Time{}, false, nil))
		time.Sleep(30 * aDay)
		occurred := time.Now()
		body := turned("EXPIRED", false, time.Time{}, false, nil)
		time.Sleep(time.Hour) // on its way
		d.heard(body)
		d.wantTold(ann, event.PurchaseGranted, event.PurchaseExpired)
		if got := d.order().Until; !got.Equal(occurred) {
			d.Errorf("end: got %v, want %v as the event says", got, occurred)
		}
	})
}

// An event without a zone may be of hours that are still to come. What it takes goes at once.
func TestAccessThatGoesDoesNotWaitForAnHourWithoutAZone(t *testing.T) {
	each(t, "zone", func(d *desk) {
		d.orders[order] = stands(order, "PURCHASED", monthly)
		d.granted(ann)
		korean := `"` + time.Now().Add(9*time.Hour).Format("2006-01-02T15:04:05") + `"`
		d.heard(turned("EXPIRED", false, time.Time{}, false, members{"occurredAt": korean, "current.expiresAt": korean}))
		d.wantAccess(ann, time.Time{})
		d.wantTold(ann, event.PurchaseGranted, event.PurchaseExpired)
	})
}

func TestOfTwoEventsOfOneInstantTheOneThatTakesAccessCounts(t *testing.T) {
	each(t, "tie", func(d *desk) {
		d.orders[order] = stands(order, "PURCHASED", monthly)
		off := turned("ACTIVE", true, time.Now().Add(30*aDay), false, nil)
		over := turned("EXPIRED", false, time.Now().Add(30*aDay), false, nil)
		for _, turn := range [][]string{{off, over}, {over, off}, {over, off, over, off}} {
			d.wipe()
			d.granted(ann)
			for _, body := range turn {
				d.heard(body)
			}
			d.wantAccess(ann, time.Time{})
		}
	})
}

// invented is a subscription's events in the order of their time, one a day or rarer.
func invented(dice *rand.Rand) (bodies []string, last time.Time) {
	occurred := now
	for n, count := 0, 1+dice.IntN(8); n < count; n++ {
		occurred = occurred.Add(time.Duration(1+dice.IntN(20*24)) * time.Hour)
		status := statuses[dice.IntN(len(statuses)-1)]
		if n == count-1 && dice.IntN(4) == 0 {
			status = "REVOKED" // after which there is no other
		}
		expires := `null`
		if dice.IntN(4) > 0 {
			expires = at(occurred.Add(time.Duration(dice.IntN(60*24)-30*24) * time.Hour))
		}
		bodies = append(bodies, change(members{
			"occurredAt": at(occurred), "current.status": `"` + status + `"`, "current.accessGranted": fmt.Sprint(dice.IntN(3) > 0),
			"current.expiresAt": expires, "current.autoRenew": fmt.Sprint(dice.IntN(2) == 0),
		}))
	}
	return bodies, occurred
}

// outcome is what ann has from an instant on, and what the line says of her order.
func (d *desk) outcome(from time.Time) (all []string) {
	d.Helper()
	for n := range 80 {
		at := from.Add(time.Duration(n) * aDay)
		e := d.premium(ann, at)
		all = append(all, fmt.Sprint(n, e.Active, e.WillRenew, e.Active && e.State == entitlement.Grace))
	}
	return append(all, string(d.order().State))
}

// Whatever comes late, twice, during an outage, between claims or looks: the newest event by its
// own time counts.
func TestEventsInAnyOrderEndAsTheNewestSays(t *testing.T) {
	dice := rand.New(rand.NewPCG(7, 7))
	for n := range 60 {
		bodies, last := invented(dice)
		for _, shown := range []bool{true, false} {
			each(t, fmt.Sprint(n, " shown ", shown), func(d *desk) {
				if shown {
					d.orders[order] = stands(order, "PAYMENT_COMPLETED", monthly)
				}
				time.Sleep(time.Until(last) + time.Hour)
				from := time.Now().Add(12 * time.Hour)
				var want []string
				for round := range 6 {
					d.wipe()
					turn, claimAt := slices.Clone(bodies), 1
					if round > 0 {
						for range dice.IntN(len(turn) + 1) {
							turn = append(turn, turn[dice.IntN(len(turn))])
						}
						dice.Shuffle(len(turn), func(a, b int) { turn[a], turn[b] = turn[b], turn[a] })
						claimAt = dice.IntN(len(turn) + 1)
					}
					for i, body := range turn {
						if i >= claimAt {
							if _, err := d.claim(ann); err != nil && !errors.Is(err, fault.Invalid) {
								d.Fatalf("claim: got %v, want nothing but a refund to refuse it", err)
							}
						}
						d.heard(body)
						if dice.IntN(4) == 0 {
							time.Sleep(time.Duration(dice.IntN(11)) * time.Minute)
						}
					}
					if _, err := d.claim(ann); err != nil && !errors.Is(err, fault.Invalid) {
						d.Fatalf("claim: got %v, want nothing but a refund to refuse it", err)
					}
					got := d.outcome(from)
					if round == 0 {
						want = got
					}
					if diff := cmp.Diff(want, got); diff != "" {
						d.Fatalf("round %d: events %v\nin turn (-) and %v (+) differ:\n%s", round, bodies, turn, diff)
					}
					d.heard(bodies[0])
					if diff := cmp.Diff(want, d.outcome(from)); diff != "" {
						d.Errorf("round %d: the oldest, once more, changed:\n%s", round, diff)
					}
				}
			})
		}
	}
}

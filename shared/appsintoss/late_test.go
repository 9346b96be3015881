package appsintoss_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"grantline/shared/appsintoss"
	"grantline/shared/event"
	"grantline/shared/purchase"
	"grantline/shared/table"
)

// What an event gives runs from when it occurred, however long it was on its way.
func TestALateEventGivesNoMoreThanOneInTime(t *testing.T) {
	for status, within := range map[string]time.Duration{"ACTIVE": 70 * aDay, "IN_GRACE_PERIOD": 30 * aDay} {
		each(t, status, func(d *desk) {
			d.orders[order] = stands(order, "PURCHASED", monthly)
			occurred := time.Now()
			body := turned(status, true, time.Time{}, true, nil)
			time.Sleep(5 * aDay)
			d.heard(body)
			d.granted(ann)
			d.wantAccess(ann, occurred.Add(within))
			if got := d.order().Until; status == "IN_GRACE_PERIOD" && !got.Equal(occurred) {
				d.Errorf("paid until: got %v, want %v, when grace began", got, occurred)
			}
		})
	}
}

// An end is no extension, though it is said later than the one that is known.
func TestWhatEndsLaterThanItWasPaidForIsNotExtended(t *testing.T) {
	for status, want := range map[string]event.Type{
		"IN_GRACE_PERIOD": event.PurchaseGrace, "ON_HOLD": event.PurchaseOnHold, "EXPIRED": event.PurchaseExpired,
	} {
		each(t, status, func(d *desk) {
			d.orders[order] = stands(order, "PURCHASED", monthly)
			ends := time.Now().Add(30 * aDay)
			d.heard(turned("ACTIVE", true, ends, true, nil))
			d.granted(ann)
			time.Sleep(31 * aDay)
			d.heard(turned(status, status == "IN_GRACE_PERIOD", time.Time{}, false, nil))
			if got := d.order().Until; !got.Equal(ends) {
				d.Errorf("paid until: got %v, want %v as before", got, ends)
			}
			if got := d.told(ann); got[len(got)-1] != want && got[len(got)-2] != want || strings.Contains(text(t, got), string(event.PurchaseExtended)) {
				d.Errorf("events: got %v, want %s, and no extension", got, want)
			}
		})
	}
}

func text(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// When it was bought the order says, and why it will not renew nobody does.
func TestALineHasWhatOrderAndEventSay(t *testing.T) {
	each(t, "line", func(d *desk) {
		d.orders[order] = says{status: 200, body: strings.Replace(stands(order, "PURCHASED", monthly).body, "17:59:30", "17:59:30+09:00", 1)}
		for _, renew := range []bool{true, false} {
			time.Sleep(time.Minute)
			d.heard(turned("ACTIVE", true, time.Now().Add(30*aDay), renew, nil))
			want := purchase.Standing{AsOf: time.Now().UTC(), WillRenew: renew}
			if !renew {
				want.Reason = purchase.ByTheUnsaid
			}
			item, err := d.tables.Get(d.Context(), table.Key{Table: table.Purchases, Partition: table.Default.Key(appsintoss.Name, order)})
			if err != nil {
				d.Fatal(err)
			}
			var r purchase.Record
			if err := json.Unmarshal(item.Data, &r); err != nil || r.Standing != want {
				d.Errorf("got %+v, %v, want %+v", r.Standing, err, want)
			}
		}
		if got, want := d.order().PurchasedAt, time.Date(2026, 11, 22, 8, 59, 30, 0, time.UTC); !got.Equal(want) {
			d.Errorf("bought: got %v, want %v", got, want)
		}
	})
}

// A store that does not answer, or not definitely, holds up a poll and an event for three
// seconds, and a poll leaves 30 ms to others first. The time is the bubble's.
func TestAPollAndAnEventWaitThreeSecondsAtMost(t *testing.T) {
	each(t, "wait", func(d *desk) {
		d.orders[order] = stands(order, "PURCHASED", monthly)
		d.granted(ann)
		timed := func(what string, least, most time.Duration, do func() error) {
			d.Helper()
			began := time.Now()
			err := do()
			if took := time.Since(began); took < least || took > most {
				d.Errorf("%s: got it after %v (%v), want it within %v and %v", what, took, err, least, most)
			}
		}
		poll := func() error {
			_, err := d.Review(d.Context(), table.Default, appsintoss.Name, 10)
			return err
		}
		hear := func() error {
			_, err := d.hear(turned("ACTIVE", true, time.Now().Add(30*aDay), true, nil))
			return err
		}
		time.Sleep(time.Until(d.due()))
		timed("a poll", 30*time.Millisecond, time.Second, poll)
		time.Sleep(time.Until(d.due()))
		d.Stores[appsintoss.Name] = scripted(t, roundTrip(func(req *http.Request) (*http.Response, error) {
			<-req.Context().Done()
			return nil, req.Context().Err()
		}), bubble{}, d.log)
		timed("a poll that is not answered", time.Second, 4*time.Second, poll)
		timed("an event whose order is not answered", time.Second, 4*time.Second, hear)
		d.Stores[appsintoss.Name] = scripted(t, d.toss, bubble{}, d.log)
		d.orders[order] = stands(order, "ORDER_IN_PROGRESS", monthly)
		time.Sleep(time.Until(d.due()))
		timed("a poll of an order in progress", time.Second, 4*time.Second, poll)
		timed("an event of an order in progress", time.Second, 4*time.Second, hear)
	})
}

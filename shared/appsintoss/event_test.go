package appsintoss_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/appsintoss"
	"grantline/shared/fault"
)

// members are those of an event; "" takes one away. Each is JSON.
type members map[string]string

// change is the event of a renewal with some members others: those of current have "current."
// in front, those of previous "previous.".
func change(others members) string {
	is := members{
		"eventType": `"subscription.status_changed"`, "eventVersion": `"1.0"`, "occurredAt": `"2026-11-22T17:59:30+09:00"`, "orderId": `"` + order + `"`,
		"sku": `"premium-1month"`, "changeReason": `"RENEWED"`,
		"current.status": `"ACTIVE"`, "current.accessGranted": `true`, "current.expiresAt": `"2026-12-22T17:59:30+09:00"`, "current.autoRenew": `true`,
	}
	for name, value := range others {
		is[name] = value
	}
	part := func(prefix string) string {
		var written []string
		for name, value := range is {
			rest, ok := strings.CutPrefix(name, prefix)
			if ok && !strings.Contains(rest, ".") && value != "" {
				written = append(written, fmt.Sprintf("%q:%s", rest, value))
			}
		}
		return strings.Join(written, ",")
	}
	subscription := `"current":{` + part("current.") + `}`
	if previous := part("previous."); previous != "" {
		subscription += `,"previous":{` + previous + `}`
	}
	if _, given := is["subscription"]; given {
		return `{` + part("") + `}`
	}
	return `{` + part("") + `,"subscription":{` + subscription + `}}`
}

var renewal = appsintoss.Event{
	Type: "subscription.status_changed", OccurredAt: "2026-11-22T17:59:30+09:00", At: time.Date(2026, 11, 22, 8, 59, 30, 0, time.UTC),
	OrderID: order, SKU: "premium-1month", Reason: "RENEWED",
	Status: "ACTIVE", AccessGranted: true, ExpiresAt: time.Date(2026, 12, 22, 8, 59, 30, 0, time.UTC), AutoRenew: true,
}

func TestEventIsReadAsItIsAndComesBackFromItsEvidence(t *testing.T) {
	long := strings.Repeat("<", 200)
	for name, c := range map[string]struct {
		body string
		want func(*appsintoss.Event)
	}{
		"renewal": {change(nil), func(*appsintoss.Event) {}},
		"with what was before": {change(members{"previous.status": `"IN_GRACE_PERIOD"`, "previous.accessGranted": `true`, "previous.expiresAt": `null`}), func(e *appsintoss.Event) {
			e.Previous = &appsintoss.Access{Status: "IN_GRACE_PERIOD", AccessGranted: true, Unending: true}
		}},
		"unreadable before": {change(members{"previous.status": `7`}), func(*appsintoss.Event) {}},
		"no end": {change(members{"current.expiresAt": `null`}), func(e *appsintoss.Event) {
			e.ExpiresAt, e.Unending = time.Time{}, true
		}},
		"end within a second": {change(members{"current.expiresAt": `"2026-12-22T17:59:30.123456789+09:00"`}), func(e *appsintoss.Event) {
			e.ExpiresAt = e.ExpiresAt.Add(123456789)
		}},
		"end not said": {change(members{"current.expiresAt": ``}), func(e *appsintoss.Event) {
			e.ExpiresAt, e.Unending = time.Time{}, true
		}},
		"revoked": {change(members{"changeReason": `"REVOKED"`, "current.status": `"REVOKED"`, "current.accessGranted": `false`, "current.autoRenew": `false`}), func(e *appsintoss.Event) {
			e.Reason, e.Status, e.AccessGranted, e.AutoRenew = "REVOKED", "REVOKED", false, false
		}},
		"restarted without renewal": {change(members{"changeReason": `"RESTARTED"`, "current.autoRenew": `false`}), func(e *appsintoss.Event) {
			e.Reason, e.AutoRenew = "RESTARTED", false
		}},
		"words that nobody knows": {change(members{"changeReason": `"GIFTED to a friend"`, "current.status": `"active"`}), func(e *appsintoss.Event) {
			e.Reason, e.Status = "GIFTED to a friend", "active"
		}},
		"members that nobody knows": {change(members{"eventId": `"1"`, "eventVersion": `"1.7"`, "current.price": `{"x":[1]}`}), func(*appsintoss.Event) {}},
		"no version, no reason, no word on renewal": {change(members{"eventVersion": ``, "changeReason": ``, "current.autoRenew": ``}), func(e *appsintoss.Event) {
			e.Reason, e.AutoRenew = "", false
		}},
		"null for what may be missing": {change(members{"eventVersion": `null`, "changeReason": `null`, "current.autoRenew": `null`}), func(e *appsintoss.Event) {
			e.Reason, e.AutoRenew = "", false
		}},
		"texts that grow when they are written": {change(members{"changeReason": `"` + long + `"`, "current.status": `"` + long + `"`, "sku": `"` + long + `"`}), func(e *appsintoss.Event) {
			e.Reason, e.Status, e.SKU = long, long, long
		}},
	} {
		t.Run(name, func(t *testing.T) {
			want := renewal
			c.want(&want)
			got, err := appsintoss.ParseEvent([]byte(c.body))
			if diff := cmp.Diff(want, got); diff != "" || err != nil {
				t.Errorf("got the error %v; event: want -, got +\n%s", err, diff)
			}
			again, err := appsintoss.ParseEvent([]byte(got.Evidence()))
			if diff := cmp.Diff(want, again); diff != "" || err != nil {
				t.Errorf("from its evidence: got the error %v; event: want -, got +\n%s", err, diff)
			}
			if again.Evidence() != got.Evidence() {
				t.Errorf("evidence: got %s, and of that %s, want the same", got.Evidence(), again.Evidence())
			}
		})
	}
}

// What Toss's console sends, to see whether an address answers, has nothing but a time.
func TestRegistrationCheckIsNoChange(t *testing.T) {
	at := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	for body, want := range map[string]appsintoss.Event{
		`{"eventType":"callback.registration_verification","occurredAt":"2026-11-22T09:00:00"}`: {
			Type: appsintoss.Registration, OccurredAt: "2026-11-22T09:00:00", At: at,
		},
		`{"eventType":"callback.registration_verification"}`:                                      {Type: appsintoss.Registration},
		`{"eventType":"callback.registration_verification","occurredAt":"0026-11-22T09:00:00"}`:   {Type: appsintoss.Registration},
		`{"eventType":"callback.registration_verification","occurredAt":"yesterday","orderId":7}`: {Type: appsintoss.Registration},
	} {
		got, err := appsintoss.ParseEvent([]byte(body))
		if err != nil || got != want {
			t.Errorf("%s: got %+v, %v, want %+v", body, got, err, want)
		}
		if again, err := appsintoss.ParseEvent([]byte(got.Evidence())); err != nil || again != want {
			t.Errorf("%s: from its evidence got %+v, %v, want %+v", body, again, err, want)
		}
	}
}

// Nine hours more of access than was paid for, at most, is what not knowing the zone costs.
func TestTimeWithoutAZoneIsTheLaterOfWhatItMayMean(t *testing.T) {
	seoul := time.FixedZone("", 9*60*60)
	for _, c := range []struct {
		written string
		want    time.Time
	}{
		{"2026-12-22T17:59:30", time.Date(2026, 12, 22, 17, 59, 30, 0, time.UTC)},
		{"2026-12-22T17:59:30.123456", time.Date(2026, 12, 22, 17, 59, 30, 123456000, time.UTC)},
		{"2026-12-22T17:59", time.Date(2026, 12, 22, 17, 59, 0, 0, time.UTC)},
		{"2026-12-22T17:59:30Z", time.Date(2026, 12, 22, 17, 59, 30, 0, time.UTC)},
		{"2026-12-22T17:59:30+09:00", time.Date(2026, 12, 22, 17, 59, 30, 0, seoul)},
		{"2026-12-22T17:59:30.5+0900", time.Date(2026, 12, 22, 17, 59, 30, 5e8, seoul)},
		{"2026-12-22T17:59:30+09", time.Date(2026, 12, 22, 17, 59, 30, 0, seoul)},
		{"9999-12-31T23:59:59", time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)},
	} {
		quoted := `"` + c.written + `"`
		got, err := appsintoss.ParseEvent([]byte(change(members{"occurredAt": quoted, "current.expiresAt": quoted})))
		if err != nil || !got.ExpiresAt.Equal(c.want) || !got.At.Equal(c.want) || got.At.Location() != time.UTC || got.OccurredAt != c.written {
			t.Errorf("%s: got %v to %v, written %q, %v, want %v", c.written, got.At, got.ExpiresAt, got.OccurredAt, err, c.want)
		}
		if korea := time.Date(got.At.Year(), got.At.Month(), got.At.Day(), got.At.Hour(), got.At.Minute(), got.At.Second(), 0, seoul); got.At.Before(korea) {
			t.Errorf("%s: got %v, want none before Korea's %v", c.written, got.At, korea)
		}
	}
}

func TestEventWithoutWhatItCannotDoWithoutIsRefused(t *testing.T) {
	bodies := map[string]string{
		"empty": ``, "no JSON": `eventType`, "null": `null`, "list": `[` + change(nil) + `]`, "two": change(nil) + change(nil), "cut": change(nil)[:100],
		"no UTF-8":  strings.Replace(change(nil), "RENEWED", "REN\xffEWED", 1),
		"too large": change(nil) + strings.Repeat(" ", 64<<10), "nothing in it": `{}`, "another case": strings.Replace(change(nil), "orderId", "OrderID", 1),
		"no subscription": change(members{"subscription": `null`}), "subscription of another kind": change(members{"subscription": `[]`}),
		"no current": change(members{"subscription": `{"previous":{"status":"ACTIVE","accessGranted":true}}`}),
	}
	for name, values := range map[string][]string{
		"eventType":             {``, `null`, `""`, `7`, `"subscription.statusChanged"`, `"SUBSCRIPTION.STATUS_CHANGED"`, `["subscription.status_changed"]`},
		"eventVersion":          {`"2.0"`, `"10.0"`, `""`, `1.0`, `1`, `"1x"`},
		"occurredAt":            {``, `null`, `""`, `"today"`, `1795251570000`, `"2026-11-22"`, `"2026-13-22T17:59:30"`, `"1999-12-31T23:59:59"`, `"9999-12-31T23:59:59-09:00"`, `"10000-01-01T00:00:00"`},
		"orderId":               {``, `null`, `""`, `7`, `"a b"`, `"a/b"`, `"a\n"`, `"주문"`, `"` + strings.Repeat("a", 101) + `"`, `["` + order + `"]`},
		"sku":                   {``, `null`, `""`, `7`, `"a\u0000b"`, `"a\nb"`, `"` + strings.Repeat("a", 201) + `"`},
		"changeReason":          {`7`, `{}`, `"a\u001bb"`, `"` + strings.Repeat("a", 201) + `"`},
		"current.status":        {``, `null`, `""`, `7`, `true`, `"` + strings.Repeat("a", 201) + `"`},
		"current.accessGranted": {``, `null`, `"true"`, `1`, `"false"`, `0`},
		"current.autoRenew":     {`"true"`, `1`, `{}`},
		"current.expiresAt":     {`""`, `0`, `false`, `"never"`, `1797000000000`, `"2026-12-22"`, `"2026-12-32T00:00:00"`, `"0001-01-01T00:00:00Z"`},
	} {
		for _, value := range values {
			bodies[name+" "+value] = change(members{name: value})
		}
	}
	for name, body := range bodies {
		got, err := appsintoss.ParseEvent([]byte(body))
		if !errors.Is(err, fault.Malformed) || got != (appsintoss.Event{}) {
			t.Errorf("%s: got %+v, %v, want fault.Malformed and no event", name, got, err)
		}
		if err != nil && strings.Contains(err.Error(), order) {
			t.Errorf("%s: got the error %v, want none of the body in it", name, err)
		}
	}
}

// FuzzEvent: whatever is sent, what is taken has all that is needed, and comes back from its
// evidence.
func FuzzEvent(f *testing.F) {
	f.Add([]byte(change(nil)))
	f.Add([]byte(change(members{"current.expiresAt": `null`, "previous.status": `"ON_HOLD"`, "previous.accessGranted": `false`})))
	f.Add([]byte(change(members{"occurredAt": `"2026-12-22T17:59:30.1234567891"`, "current.expiresAt": `"2026-12-22T17:59"`, "sku": `"\ud800"`})))
	f.Add([]byte(`{"eventType":"callback.registration_verification","occurredAt":"2026-11-22T09:00:00"}`))
	f.Add([]byte(`{"eventType":"subscription.status_changed"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := appsintoss.ParseEvent(body)
		if err != nil {
			if !errors.Is(err, fault.Malformed) || got != (appsintoss.Event{}) {
				t.Errorf("%q: got %+v, %v, want fault.Malformed and no event", body, got, err)
			}
			return
		}
		evidence := got.Evidence()
		if len(evidence) > 8<<10 || !json.Valid([]byte(evidence)) {
			t.Errorf("%q: got evidence of %d bytes, %s, want JSON of 8 KiB at most", body, len(evidence), evidence)
		}
		again, err := appsintoss.ParseEvent([]byte(evidence))
		if diff := cmp.Diff(got, again); diff != "" || err != nil {
			t.Errorf("%q: from its evidence got the error %v; event: want -, got +\n%s", body, err, diff)
		}
		if got.Type == appsintoss.Registration {
			return
		}
		if got.OrderID == "" || got.SKU == "" || got.Status == "" || got.At.IsZero() || got.Unending != got.ExpiresAt.IsZero() {
			t.Errorf("%q: got %+v, want it whole", body, got)
		}
		// encoding/json's own reading of it, which tells no case from another, agrees on access.
		var loose struct {
			Subscription struct{ Current struct{ AccessGranted *bool } }
		}
		if json.Unmarshal(body, &loose) == nil && got.AccessGranted && loose.Subscription.Current.AccessGranted == nil {
			t.Errorf("%q: got access, want it only where it is said", body)
		}
	})
}

package appsintoss

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"time"
	"unicode"

	"grantline/shared/fault"
)

// The types of an event (Apps-in-Toss, "in-app purchase notification URL").
const (
	// Registration is how the console checks an address when it is registered.
	Registration = "callback.registration_verification"
	// StatusChanged is about a subscription.
	StatusChanged = "subscription.status_changed"
)

// maxEvent bounds the body of an event, in bytes; one has less than a thousand.
const maxEvent = 64 << 10

// Event is what Apps-in-Toss sends of its own accord: the change of a subscription. It has
// no id, no user and no signature. Words that nobody knows are kept as they are; what they
// mean is for whoever follows the subscription.
type Event struct {
	Type       string
	OccurredAt string    // as it was written
	At         time.Time // OccurredAt, in UTC; zero only for a Registration without one
	OrderID    string    // of the first order or of the renewal: Toss does not say which
	SKU        string
	Reason     string // changeReason: CREATED, RENEWED, …; "" if there is none

	// How the subscription stands now.
	Status        string    // ACTIVE, EXPIRED, …
	AccessGranted bool      // whether the customer may use it
	ExpiresAt     time.Time // in UTC; zero where it is Unending
	Unending      bool      // expiresAt is null: the end is not known, which is not for ever
	AutoRenew     bool

	// Previous is how it stood before; nil where that is not said, or not readable.
	Previous *Access
}

// Access is how a subscription stood. Its fields are those of Event.
type Access struct {
	Status        string
	AccessGranted bool
	ExpiresAt     time.Time
	Unending      bool
	AutoRenew     bool
}

// ParseEvent reads the body of a webhook. Members that nobody knows pass. Errors:
// fault.Malformed for what is no event of eventVersion 1, or lacks what cannot be done
// without: orderId, sku, occurredAt, and in current the status and accessGranted.
//
// A time without a zone is read as UTC. Toss writes such times and does not say whose they
// are; Korea's would be nine hours earlier. Of the two this is the later, so that nobody
// loses access for our not knowing.
func ParseEvent(body []byte) (Event, error) {
	if len(body) > maxEvent {
		return Event{}, unreadable("it is too large")
	}
	o := readObject(body)
	if o == nil {
		return Event{}, unreadable("it is no JSON object")
	}
	kind, _ := o.quoted("eventType")
	if version, ok := o.quoted("eventVersion"); o.has("eventVersion") && (!ok || version != "1" && !strings.HasPrefix(version, "1.")) {
		return Event{}, unreadable("its eventVersion is not 1")
	}
	written, _ := o.quoted("occurredAt")
	at, dated := instant(written)
	switch kind {
	case Registration:
		if !dated {
			written = ""
		}
		return Event{Type: kind, OccurredAt: written, At: at}, nil
	case StatusChanged:
	default:
		return Event{}, unreadable("its eventType is not known")
	}

	e := Event{Type: kind, OccurredAt: written, At: at}
	var ok bool
	if e.OrderID, _ = o.quoted("orderId"); !orderShape.MatchString(e.OrderID) {
		return Event{}, unreadable("its orderId is none")
	}
	if e.SKU, _ = o.quoted("sku"); e.SKU == "" {
		return Event{}, unreadable("its sku is none")
	}
	if !dated {
		return Event{}, unreadable("its occurredAt is no time")
	}
	if e.Reason, ok = o.quoted("changeReason"); !ok && o.has("changeReason") {
		return Event{}, unreadable("its changeReason is no text")
	}
	standing := o.object("subscription")
	current, err := access(standing.object("current"))
	if err != nil {
		return Event{}, unreadable("of its current state, " + err.Error())
	}
	e.Status, e.AccessGranted, e.AutoRenew = current.Status, current.AccessGranted, current.AutoRenew
	e.ExpiresAt, e.Unending = current.ExpiresAt, current.Unending
	if previous, err := access(standing.object("previous")); err == nil {
		e.Previous = &previous
	}
	return e, nil
}

// access reads how a subscription stands or stood. An expiresAt that is there and cannot be
// read is not taken for none: that would be access without an end.
func access(o object) (Access, error) {
	var a Access
	var ok bool
	if a.Status, ok = o.quoted("status"); !ok || a.Status == "" {
		return Access{}, errors.New("the status is none")
	}
	if a.AccessGranted, ok = o.truth("accessGranted"); !ok {
		return Access{}, errors.New("accessGranted is neither true nor false")
	}
	if a.AutoRenew, ok = o.truth("autoRenew"); !ok && o.has("autoRenew") {
		return Access{}, errors.New("autoRenew is neither true nor false")
	}
	if a.Unending = !o.has("expiresAt"); a.Unending {
		return a, nil
	}
	written, _ := o.quoted("expiresAt")
	if a.ExpiresAt, ok = instant(written); !ok {
		return Access{}, errors.New("expiresAt is no time")
	}
	return a, nil
}

// layouts are the forms of a time, with a zone first. Fractions of a second pass in each.
var layouts = []string{
	time.RFC3339, "2006-01-02T15:04:05Z0700", "2006-01-02T15:04:05Z07",
	"2006-01-02T15:04:05", "2006-01-02T15:04",
}

// instant reads a time of an event, in UTC; see ParseEvent for one without a zone. No year
// is before the first mini-app's, or has five digits.
func instant(written string) (time.Time, bool) {
	for _, layout := range layouts {
		if at, err := time.Parse(layout, written); err == nil {
			if at = at.UTC(); at.Year() >= 2000 && at.Year() <= 9999 {
				return at, true
			}
			break
		}
	}
	return time.Time{}, false
}

// Evidence is what ParseEvent read, and nothing else of what was sent, as JSON that it reads
// back to the same Event. It has less than 8 KiB.
func (e Event) Evidence() string {
	w := wireEvent{Type: e.Type, OccurredAt: e.OccurredAt, OrderID: e.OrderID, SKU: e.SKU, Reason: e.Reason}
	if e.Type == StatusChanged {
		w.Subscription = &wireChange{Current: wireOf(Access{e.Status, e.AccessGranted, e.ExpiresAt, e.Unending, e.AutoRenew})}
		if e.Previous != nil {
			w.Subscription.Previous = wireOf(*e.Previous)
		}
	}
	text, err := json.Marshal(w)
	if err != nil {
		panic("appsintoss: an event that is no JSON is a bug in this file: " + err.Error())
	}
	return string(text)
}

type wireEvent struct {
	Type         string      `json:"eventType"`
	OccurredAt   string      `json:"occurredAt,omitempty"`
	OrderID      string      `json:"orderId,omitempty"`
	SKU          string      `json:"sku,omitempty"`
	Reason       string      `json:"changeReason,omitempty"`
	Subscription *wireChange `json:"subscription,omitempty"`
}

type wireChange struct {
	Previous *wireAccess `json:"previous,omitempty"`
	Current  *wireAccess `json:"current"`
}

type wireAccess struct {
	Status        string  `json:"status"`
	AccessGranted bool    `json:"accessGranted"`
	ExpiresAt     *string `json:"expiresAt"`
	AutoRenew     bool    `json:"autoRenew"`
}

func wireOf(a Access) *wireAccess {
	w := &wireAccess{Status: a.Status, AccessGranted: a.AccessGranted, AutoRenew: a.AutoRenew}
	if !a.Unending {
		until := a.ExpiresAt.UTC().Format(time.RFC3339Nano)
		w.ExpiresAt = &until
	}
	return w
}

// has says whether there is a member that is not null.
func (o object) has(name string) bool {
	raw := o[name]
	return len(raw) > 0 && !bytes.Equal(raw, []byte("null"))
}

// quoted is a member that is a text of up to maxText bytes without control characters; false
// if it is anything else. A text of that length may be six times as long as it is escaped.
func (o object) quoted(name string) (string, bool) {
	raw := o[name]
	var s string
	if len(raw) == 0 || raw[0] != '"' || len(raw) > 6*maxText+2 || json.Unmarshal(raw, &s) != nil ||
		len(s) > maxText || strings.ContainsFunc(s, unicode.IsControl) {
		return "", false
	}
	return s, true
}

// truth is a member that is true or false; false, false if it is neither.
func (o object) truth(name string) (value, ok bool) {
	switch string(o[name]) {
	case "true":
		return true, true
	case "false":
		return false, true
	}
	return false, false
}

func unreadable(why string) error {
	return fault.New(fault.Malformed, "notice_unreadable", "The event cannot be read: %s.", why)
}

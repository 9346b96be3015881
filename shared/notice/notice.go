// Package notice keeps what gateways and stores tell us: what came in, and what became of
// it. The one idea: a notice is a hint and proves nothing. It says where to look, the
// truth is what is found there, and so one that is doubled, late, lost or forged can make
// us look once more or once less, and nothing worse.
package notice

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"time"

	"grantline/shared/event"
	"grantline/shared/fault"
	"grantline/shared/table"
)

// Kept is how long a notice is kept, for support and repair.
const Kept = 90 * 24 * time.Hour

// schema is the version of a Notice's shape.
const schema = 1

// State is what became of a notice.
type State string

// The states. Applied is for good; the others are looked at again if they come again.
const (
	Received State = "received" // written down; nobody has looked yet, or nobody could
	Applied  State = "applied"  // looked at: what it is about is ours and is up to date
	Unknown  State = "unknown"  // looked at: what it is about is not ours
	Ignored  State = "ignored"  // it names nothing that one could look at
)

// Notice is what came in and what became of it. It holds ids, a type and times, and
// nothing else of what was sent.
type Notice struct {
	Scope        table.Scope `json:"-"` // it is part of the key
	Provider     string      `json:"provider"`
	ID           string      `json:"id"` // the provider's; the order's where nothing is signed
	Type         string      `json:"type"`
	Signed       bool        `json:"signed,omitempty"`
	ReceivedAt   time.Time   `json:"receivedAt"`
	Payment      string      `json:"payment,omitempty"`
	Mandate      string      `json:"mandate,omitempty"`
	Order        string      `json:"order,omitempty"`
	Subscription string      `json:"subscription,omitempty"`
	Line         string      `json:"line,omitempty"` // of a purchase, by the store's name
	State        State       `json:"state"`
	Detail       string      `json:"detail,omitempty"`  // code of the error of the last look
	LookedAt     time.Time   `json:"lookedAt,omitzero"` // when the last look began
	// Waiting is the hint that comes again, of an unsigned provider, because it came too
	// soon after the last look.
	Waiting string `json:"waiting,omitempty"`
}

// Read gets a notice by the id under which it is kept: the provider's, or the order's
// where the provider signs nothing. Errors: fault.NotFound, also for one whose time is
// up; fault.Unavailable.
func Read(ctx context.Context, tables table.Tables, scope table.Scope, provider, id string, now time.Time) (Notice, error) {
	item, err := tables.Get(ctx, key(scope, provider, id))
	if err != nil {
		return Notice{}, fmt.Errorf("notice: %w", err)
	}
	if item.Expired(now) {
		return Notice{}, fault.New(fault.NotFound, "notice_not_found", "There is no such notice any more.")
	}
	return decode(item, scope)
}

func key(scope table.Scope, provider, id string) table.Key {
	return table.Key{Table: table.Notices, Partition: scope.Key(provider, id)}
}

func decode(item table.Item, scope table.Scope) (Notice, error) {
	n := Notice{Scope: scope}
	if item.Schema != schema {
		return Notice{}, fmt.Errorf("notice: schema %d is not known", item.Schema)
	}
	if err := json.Unmarshal(item.Data, &n); err != nil {
		return Notice{}, fmt.Errorf("notice: an item that is no notice: %w", err)
	}
	return n, nil
}

// item is what is stored of n over the item that was read; the zero one, if none was.
func (n Notice) item(read table.Item, now time.Time) (table.Item, error) {
	data, err := json.Marshal(n)
	return table.Item{
		Key: key(n.Scope, n.Provider, n.ID), Schema: schema, Revision: read.Revision, Data: data, Expires: now.Add(Kept),
	}, err
}

// Hint is what a webhook's body comes down to, as it goes through the queue.
type Hint struct {
	Project      string    `json:"project"`
	Environment  string    `json:"environment"`
	Provider     string    `json:"provider"` // toss, dodo
	ID           string    `json:"id"`       // the provider's; the same for each time it sends it
	Type         string    `json:"type"`
	At           time.Time `json:"at"`               // when it came in
	Signed       bool      `json:"signed,omitempty"` // the sender proved to be the provider
	Payment      string    `json:"payment,omitempty"`
	Mandate      string    `json:"mandate,omitempty"`
	Order        string    `json:"order,omitempty"`
	Subscription string    `json:"subscription,omitempty"`
	Line         string    `json:"line,omitempty"` // of a purchase, by the store's name
	// Evidence is the store's own signed word, for whoever looks to verify again. It goes
	// through the queue and is kept nowhere.
	Evidence string `json:"evidence,omitempty"`
}

// MostEvidence bounds Hint.Evidence, in bytes.
const MostEvidence = 64 << 10

// Scope is the project and environment whose address the webhook came to.
func (h Hint) Scope() table.Scope {
	return table.Scope{Project: h.Project, Environment: h.Environment}
}

// Cause is what is told of what comes of a notice. The id of one that is not signed is nobody's
// word, and is not kept.
func (h Hint) Cause() event.Cause {
	c := event.Cause{Kind: event.ByNotice, Provider: h.Provider}
	if h.Signed {
		c.ID = h.ID
	}
	return c
}

var (
	ids          = regexp.MustCompile(`^[!-~]{1,255}$`)
	types        = regexp.MustCompile(`^[A-Za-z0-9._-]{1,100}$`)
	providers    = regexp.MustCompile(`^[a-z]{1,20}$`)
	projects     = regexp.MustCompile(`^[a-z0-9-]{1,32}$`)
	environments = map[string]bool{"production": true, "sandbox": true}
)

// Tidy makes a hint of bounded size out of whatever a sender wrote: what cannot be one of
// our ids or the provider's names nothing, an ID that is no word becomes its hash, and a
// type that is none becomes "unreadable".
func (h Hint) Tidy() Hint {
	for _, id := range []*string{&h.Payment, &h.Mandate, &h.Order, &h.Subscription, &h.Line} {
		if !ids.MatchString(*id) {
			*id = ""
		}
	}
	if !ids.MatchString(h.ID) {
		sum := sha256.Sum256([]byte(h.ID))
		h.ID = "sha256-" + hex.EncodeToString(sum[:])
	}
	if !types.MatchString(h.Type) {
		h.Type = "unreadable"
	}
	if !h.Signed || len(h.Evidence) > MostEvidence {
		h.Evidence = ""
	}
	return h
}

// check says whether a message is a hint as Tidy leaves it. One that is not is a bug of
// whoever sent it, and has no kind.
func (h Hint) check() error {
	if h != h.Tidy() || !providers.MatchString(h.Provider) || !projects.MatchString(h.Project) || !environments[h.Environment] {
		return fmt.Errorf("notice: bug in the sender: the message is no hint")
	}
	return nil
}

// Names says whether there is anything to look at.
func (h Hint) Names() bool { return h.Payment+h.Mandate+h.Order+h.Subscription+h.Line != "" }

// notice is how h is first written down. Where anybody can send anything, it is kept under
// the order that it names, so that there is at most one for each order of ours.
func (h Hint) notice(now time.Time) Notice {
	n := Notice{
		Scope: h.Scope(), Provider: h.Provider, ID: h.ID, Type: h.Type, Signed: h.Signed, ReceivedAt: h.At.UTC(), State: Received,
		Payment: h.Payment, Mandate: h.Mandate, Order: h.Order, Subscription: h.Subscription, Line: h.Line,
	}
	if !h.Signed {
		n.ID = h.Order
	}
	if h.At.IsZero() {
		n.ReceivedAt = now
	}
	if !h.Names() {
		n.State = Ignored
	}
	return n
}

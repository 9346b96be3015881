// Package audit keeps who did what with a server key, when, why, and how it ended. The one
// idea: the record is written before the act, so that there is no act without one; one that
// says nothing of its end is of an act that may or may not have happened.
package audit

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"grantline/shared/clock"
	"grantline/shared/fault"
	"grantline/shared/table"
)

// Act is one thing that somebody did, or tried to. It holds our own ids of what it was about
// and nothing personal; only the reason is a person's words.
type Act struct {
	ID      string            `json:"id"`
	At      time.Time         `json:"at"`
	By      string            `json:"by"`                // the key's name: "key_" and eight digits of its hash
	Route   string            `json:"route"`             // the method and the route's template
	About   map[string]string `json:"about,omitempty"`   // our ids, by what they are of
	Request string            `json:"request,omitempty"` // the API's id of the request
	Reason  string            `json:"reason,omitempty"`
	Outcome *Outcome          `json:"outcome,omitempty"` // nil: under way, or nobody knows
}

// Outcome is how an act ended.
type Outcome struct {
	Status int       `json:"status"`         // of the answer
	Code   string    `json:"code,omitempty"` // of the problem, "" where it succeeded
	At     time.Time `json:"at"`
}

// Journal keeps acts, by scope and day (UTC).
type Journal struct {
	Tables table.Tables
	Clock  clock.Clock
}

const (
	schema = 1
	// instants have one width, so that they sort as text.
	instants = "2006-01-02T15:04:05.000000000Z"
)

func key(scope table.Scope, a Act) table.Key {
	at := a.At.UTC()
	return table.Key{Table: table.Customers, Partition: scope.Key("audit", at.Format(time.DateOnly)), Sort: at.Format(instants) + "#" + a.ID}
}

// Begin writes an act down before it is done; who, what and why are the caller's, the id and
// the instant are not. Errors: fault.Unavailable, and then it must not be done.
func (j *Journal) Begin(ctx context.Context, scope table.Scope, a Act) (Act, error) {
	a.ID, a.At, a.Outcome = strings.ToLower(rand.Text()), j.Clock.Now().UTC(), nil
	return a, j.put(ctx, scope, a, 0)
}

// End writes down how an act that was begun has ended. Done again it changes nothing. Errors:
// fault.Unavailable.
func (j *Journal) End(ctx context.Context, scope table.Scope, a Act, status int, code string) error {
	a.Outcome = &Outcome{Status: status, Code: code, At: j.Clock.Now().UTC()}
	err := j.put(ctx, scope, a, 1)
	if errors.As(err, new(*table.Conflict)) {
		return nil // by this very call, whose answer was lost
	}
	return err
}

// put tries twice, for an answer may be lost.
func (j *Journal) put(ctx context.Context, scope table.Scope, a Act, revision int64) error {
	data, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("audit: bug: %w", err)
	}
	item := table.Item{Key: key(scope, a), Schema: schema, Revision: revision, Data: data}
	for range 2 {
		err = j.Tables.Commit(ctx, table.Put(item))
		c, conflict := errors.AsType[*table.Conflict](err)
		switch {
		case err == nil:
			return nil
		case conflict && revision == 0 && len(c.Found) == 1 && c.Found[0] != nil:
			return nil // nobody else has its id
		case conflict && revision == 0:
			err = fault.New(fault.Unavailable, "busy", "Too much happened at once; ask again.").Because(err)
		case conflict:
			return fmt.Errorf("audit: %w", err)
		}
	}
	return fmt.Errorf("audit: %w", errors.Join(fault.Unavailable, err))
}

// APage is how many acts are listed at once.
const APage = 100

var cursors = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z#[a-z0-9]{26}$`)

// List is a page of the acts of one day (UTC, as 2006-01-02), oldest first, after the one that a
// cursor stands for; next is the cursor of the page after, "" where there is none. Errors:
// fault.Malformed, fault.Unavailable.
func (j *Journal) List(ctx context.Context, scope table.Scope, day, after string) (acts []Act, next string, err error) {
	if _, err := time.Parse(time.DateOnly, day); err != nil {
		return nil, "", fault.New(fault.Malformed, "invalid_request", "day should be a date, as 2026-11-20.")
	}
	from := ""
	if after != "" {
		if !cursors.MatchString(after) {
			return nil, "", fault.New(fault.Malformed, "invalid_request", "after should be the next of the page before.")
		}
		from = after + "#" // what is next in order
	}
	page, err := j.Tables.Query(ctx, table.Query{
		Table: table.Customers, Partition: scope.Key("audit", day), From: from, Limit: APage,
	})
	if err != nil {
		return nil, "", fmt.Errorf("audit: %w", err)
	}
	acts = make([]Act, len(page.Items))
	for i, item := range page.Items {
		if item.Schema > schema {
			return nil, "", fmt.Errorf("audit: item of schema %d, newer than this code's %d", item.Schema, schema)
		}
		if err := json.Unmarshal(item.Data, &acts[i]); err != nil {
			return nil, "", fmt.Errorf("audit: %w", err)
		}
	}
	if page.Next != "" {
		next = page.Items[len(page.Items)-1].Key.Sort
	}
	return acts, next, nil
}

package notice

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"grantline/shared/clock"
	"grantline/shared/fault"
	"grantline/shared/table"
)

const (
	// missedAt is when, after each midnight (UTC), what a provider could not deliver is
	// looked at: once a day, when the days of gateways are compared as well, so that what
	// idles is woken once.
	missedAt = 3 * time.Hour
	day      = 24 * time.Hour
	// missedOverlap is how much of the time before is looked at again: a failure is known
	// to the provider some time after the notice that failed. What is known here is let go.
	missedOverlap = 26 * time.Hour
	// missedRoom is how much less far back a reading begins than the provider would look.
	missedRoom = 12 * time.Hour
	// missedPages bounds one run; the next goes on where it stopped.
	missedPages = 100
)

// History is a provider's memory of what it could not deliver.
type History interface {
	// Name tells a provider's histories apart, such as "Production".
	Name() string
	// Keeps is how long the provider remembers.
	Keeps() time.Duration
	// Missed gives a page of what was not delivered between two instants, and the name of
	// the next page, "" after the last. Errors: fault.Invalid for a page that the provider
	// does not know any more, fault.Unavailable when it should be asked again.
	Missed(ctx context.Context, from, to time.Time, page string) (hints []Hint, next string, err error)
}

// Missed hands on what a provider could not deliver, by the way that a live notice goes.
type Missed struct {
	Tables table.Tables
	Queue  interface {
		Send(ctx context.Context, group string, messages []Hint) (sent int, err error)
	}
	Clock clock.Clock
	Log   *slog.Logger
}

// progress is how far a history was read: all that was sent before Until, and of what was
// sent from From to To the pages before Page.
type progress struct {
	Until time.Time `json:"until,omitzero"`
	From  time.Time `json:"from,omitzero"`
	To    time.Time `json:"to,omitzero"`
	Page  string    `json:"page,omitempty"`
}

// due is when a history is to be read again: the first missedAt after it was read, or at
// once where there is more.
func (p progress) due() time.Time {
	if p.Page != "" || p.Until.IsZero() {
		return p.To
	}
	return p.Until.Add(-missedAt).Truncate(day).Add(day + missedAt)
}

// Catch reads on in a history, and says when it should be read again. It may be repeated
// at any time: whatever is handed on twice is one notice.
func (m *Missed) Catch(ctx context.Context, scope table.Scope, provider string, h History) (next time.Time, err error) {
	now := m.Clock.Now()
	item := table.Item{Key: table.Key{Table: table.Notices, Partition: scope.Key("progress", provider+"#"+h.Name())}}
	var p progress
	switch read, err := m.Tables.Get(ctx, item.Key); {
	case errors.Is(err, fault.NotFound):
	case err != nil:
		return time.Time{}, fmt.Errorf("notice: progress: %w", err)
	default:
		item = read
		if err := json.Unmarshal(item.Data, &p); err != nil {
			return time.Time{}, fmt.Errorf("notice: an item that is no progress: %w", err)
		}
	}
	if at := p.due(); at.After(now) {
		return at, nil
	}
	if p.Page == "" {
		p.From, p.To = p.Until.Add(-missedOverlap), now
	}
	// Further back the provider refuses to look. A reading has some time to come to its end
	// before it has to begin again for that.
	if oldest := now.Add(-h.Keeps()); p.From.Before(oldest) || p.Page == "" && p.From.Before(oldest.Add(missedRoom)) {
		p.From, p.Page = oldest.Add(missedRoom), ""
	}
	for range missedPages {
		hints, following, err := h.Missed(ctx, p.From, p.To, p.Page)
		if errors.Is(err, fault.Invalid) && p.Page != "" {
			p.Page = "" // too old a page: from the beginning of that time
			continue
		}
		if err != nil {
			return time.Time{}, err
		}
		for _, hint := range hints {
			hint.Provider, hint.Project, hint.Environment, hint.At = provider, scope.Project, scope.Environment, now
			if sent, err := m.Queue.Send(ctx, provider+"#missed", []Hint{hint.Tidy()}); err != nil || sent != 1 {
				return time.Time{}, fault.New(fault.Unavailable, "unavailable", "What was missed cannot be handed on now.").Because(err)
			}
		}
		if len(hints) > 0 {
			m.Log.InfoContext(ctx, "Notices that did not arrive were found.", "provider", provider, "history", h.Name(), "count", len(hints))
		}
		if p.Page = following; following == "" {
			p = progress{Until: p.To}
			break
		}
	}
	if item.Data, err = json.Marshal(p); err != nil {
		return time.Time{}, err
	}
	item.Schema = schema
	if err := m.Tables.Commit(ctx, table.Put(item)); err != nil {
		return time.Time{}, fmt.Errorf("notice: progress: %w", err)
	}
	return p.due(), nil
}

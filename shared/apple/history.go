package apple

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"grantline/shared/fault"
	"grantline/shared/notice"
)

// historyKeeps is how long Apple remembers notifications (Get Notification History).
var historyKeeps = map[Environment]time.Duration{Production: 180 * 24 * time.Hour, Sandbox: 30 * 24 * time.Hour}

// history is what Apple could not deliver about one app in one environment.
type history struct {
	store *Store
	place Place
	log   *slog.Logger
}

// Histories are what Apple could not deliver, none without an API.
func (s *Store) Histories(log *slog.Logger) []notice.History {
	var all []notice.History
	if s.API == nil {
		return nil
	}
	for _, environment := range s.Verifier.config.Environments {
		for _, bundle := range s.Verifier.config.BundleIDs {
			all = append(all, &history{s, Place{environment, bundle}, log})
		}
	}
	return all
}

func (h *history) Name() string { return string(h.place.Environment) + "#" + h.place.BundleID }

func (h *history) Keeps() time.Duration { return historyKeeps[h.place.Environment] }

// waits is how long a notification is waited for whose certificates nobody has said
// anything about: the authority answers within a day, or never, as of those that ended
// before anybody here asked. What is behind it is not held up for ever.
const waits = 3 * 24 * time.Hour

// old says whether Apple first sent a notification before that.
func (h *history) old(sent SentNotification) bool {
	for _, attempt := range sent.Attempts {
		if h.store.Verifier.config.Clock.Now().Sub(attempt.At) < waits {
			return false
		}
	}
	return len(sent.Attempts) > 0
}

func (h *history) Missed(ctx context.Context, from, to time.Time, page string) ([]notice.Hint, string, error) {
	p, err := h.store.API.NotificationHistory(ctx, h.place, HistoryAsk{Start: from, End: to, OnlyFailures: true}, page)
	if err != nil {
		return nil, "", err
	}
	var hints []notice.Hint
	for _, sent := range p.Sent {
		n, err := h.store.Verifier.Notification(ctx, sent.SignedPayload)
		if errors.Is(err, fault.Unavailable) && !(errors.Is(err, ErrRevocation) && h.old(sent)) {
			return nil, "", err // it is not passed over for what is wrong with us
		}
		if err != nil {
			// Apple would not have it in its history, and one more look at it would not help.
			h.log.WarnContext(ctx, "A notification of the history was not believed.", "reason", err)
			continue
		}
		hints = append(hints, HintOf(n, sent.SignedPayload))
	}
	if !p.HasMore {
		return hints, "", nil
	}
	return hints, p.PaginationToken, nil
}

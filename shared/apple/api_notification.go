package apple

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// SentNotification is a notification as Apple sent it, and how that went.
type SentNotification struct {
	SignedPayload string
	Attempts      []SendAttempt
}

// SendAttempt is one attempt of Apple's to reach our webhook.
type SendAttempt struct {
	At time.Time
	// Result is SUCCESS or a word for the failure, such as TIMED_OUT or
	// UNSUCCESSFUL_HTTP_RESPONSE_CODE.
	Result string
}

// SendSuccess is the Result of an attempt that our webhook answered well.
const SendSuccess = "SUCCESS"

type sentAnswer struct {
	SignedPayload string `json:"signedPayload"`
	Attempts      []struct {
		At     apiDate `json:"attemptDate"`
		Result string  `json:"sendAttemptResult"`
	} `json:"sendAttempts"`
}

func (s sentAnswer) readable() bool {
	return looksSigned(s.SignedPayload) && len(s.Attempts) <= maxPage
}

func (s sentAnswer) notification() SentNotification {
	n := SentNotification{SignedPayload: s.SignedPayload}
	for _, attempt := range s.Attempts {
		n.Attempts = append(n.Attempts, SendAttempt{attempt.At.Time, attempt.Result})
	}
	return n
}

// HistoryAsk says which notifications are wanted. Apple keeps them for 180 days, those of
// the sandbox for 30.
type HistoryAsk struct {
	Start, End time.Time // both needed
	// Type and Subtype, or TransactionID, or neither. A subtype needs its type.
	Type          NotificationType
	Subtype       Subtype
	TransactionID string
	// OnlyFailures leaves those that did not reach our webhook, those among them that
	// Apple will still send again.
	OnlyFailures bool
}

func (h HistoryAsk) valid() error {
	switch {
	case h.Start.IsZero() || h.End.IsZero():
		return impossible("Start and End", "set")
	case !h.Start.Before(h.End):
		return impossible("Start", "before End")
	case h.Type == "" && h.Subtype != "":
		return impossible("Type", "set where Subtype is")
	case h.TransactionID == "":
		return nil
	case h.Type != "":
		return impossible("Type", "empty where TransactionID is set")
	}
	return apiID("The transaction id", h.TransactionID)
}

// NotificationPage is a page of notifications.
type NotificationPage struct {
	Sent            []SentNotification // up to 20
	PaginationToken string             // asks for the next page
	HasMore         bool
}

// NotificationHistory gives a page of the notifications that Apple sent for an app, the
// pagination token being "" for the first and the ask the same for all (Get Notification
// History). It only reads.
func (a *API) NotificationHistory(ctx context.Context, p Place, h HistoryAsk, paginationToken string) (NotificationPage, error) {
	if err := h.valid(); err != nil {
		return NotificationPage{}, err
	}
	if len(paginationToken) > maxPageToken {
		return NotificationPage{}, impossible("The pagination token", "one that Apple gave")
	}
	query := url.Values{}
	if paginationToken != "" {
		query.Set("paginationToken", paginationToken)
	}
	type answer struct {
		Token   string       `json:"paginationToken"`
		HasMore *bool        `json:"hasMore"`
		History []sentAnswer `json:"notificationHistory"`
	}
	found, err := askFor(ctx, a, p, apiCall{
		endpoint: "notification history", method: http.MethodPost, path: "/inApps/v1/notifications/history", query: query,
		body: struct {
			Start         int64            `json:"startDate"`
			End           int64            `json:"endDate"`
			Type          NotificationType `json:"notificationType,omitzero"`
			Subtype       Subtype          `json:"notificationSubtype,omitzero"`
			OnlyFailures  bool             `json:"onlyFailures,omitzero"`
			TransactionID string           `json:"transactionId,omitzero"`
		}{h.Start.UnixMilli(), h.End.UnixMilli(), h.Type, h.Subtype, h.OnlyFailures, h.TransactionID},
	}, func(n answer) string {
		switch {
		case n.HasMore == nil, len(n.History) > maxPage, len(n.Token) > maxPageToken, *n.HasMore && n.Token == "":
			return answerLacks
		case *n.HasMore && n.Token == paginationToken:
			return answerEndless
		}
		for _, sent := range n.History {
			if !sent.readable() {
				return answerLacks
			}
		}
		return ""
	})
	if err != nil {
		return NotificationPage{}, err
	}
	page := NotificationPage{PaginationToken: found.Token, HasMore: *found.HasMore}
	for _, sent := range found.History {
		page.Sent = append(page.Sent, sent.notification())
	}
	return page, nil
}

// RequestTest has Apple send a notification of type TEST, and gives the token that asks
// what became of it (Request a Test Notification). Where no URL is configured it is
// fault.NotFound. A second test says no more than the first, so it may be repeated.
func (a *API) RequestTest(ctx context.Context, p Place) (string, error) {
	type answer struct {
		Token string `json:"testNotificationToken"`
	}
	asked, err := askFor(ctx, a, p, apiCall{
		endpoint: "request test", method: http.MethodPost, path: "/inApps/v1/notifications/test", effect: true,
	}, func(t answer) string {
		if apiID("", t.Token) != nil {
			return answerLacks
		}
		return ""
	})
	return asked.Token, err
}

// TestStatus says what became of a test notification (Get Test Notification Status). A
// token that has ended is fault.NotFound. It only reads.
func (a *API) TestStatus(ctx context.Context, p Place, token string) (SentNotification, error) {
	if err := apiID("The test notification's token", token); err != nil {
		return SentNotification{}, err
	}
	found, err := askFor(ctx, a, p, apiCall{
		endpoint: "test status", method: http.MethodGet, path: "/inApps/v1/notifications/test/" + token,
	}, func(s sentAnswer) string {
		if !s.readable() {
			return answerLacks
		}
		return ""
	})
	if err != nil {
		return SentNotification{}, err
	}
	return found.notification(), nil
}

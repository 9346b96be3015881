package apple

import (
	"fmt"
	"net/http"
	"time"

	"grantline/infra/sim/stage"
)

// How long notifications are kept (Get Notification History).
const (
	keptInProduction = 180 * 24 * time.Hour
	keptInSandbox    = 30 * 24 * time.Hour
	mostAttempts     = 6
)

// attempt is one try at delivering a notification (sendAttemptItem).
type attempt struct {
	At     int64  `json:"attemptDate"`
	Result string `json:"sendAttemptResult"`
}

// attempts are those at one notification, and whether one succeeded. A notification that
// somebody had dropped counts as one that timed out: to Apple it is one like any other.
func (s *Simulator) attempts(n *notification) (list []attempt, arrived bool) {
	list = []attempt{}
	for _, d := range s.stage.DeliveriesOf(n.UUID) {
		result := "UNSUCCESSFUL_HTTP_RESPONSE_CODE"
		switch {
		case d.Fate == stage.Drop:
			result = "TIMED_OUT"
		case d.Status == 0 && (d.Fate == stage.Delay || d.Fate == stage.Reorder):
			continue // decided, not tried
		case d.Status == 0:
			result = "NO_RESPONSE"
		case sender.OK(d.Status):
			result, arrived = "SUCCESS", true
		}
		list = append(list, attempt{d.At.UnixMilli(), result})
	}
	return list[max(0, len(list)-mostAttempts):], arrived
}

// asking is the body of Get Notification History.
type asking struct {
	Start         *int64 `json:"startDate"`
	End           *int64 `json:"endDate"`
	Type          string `json:"notificationType"`
	Subtype       string `json:"notificationSubtype"`
	OnlyFailures  bool   `json:"onlyFailures"`
	TransactionID string `json:"transactionId"`
}

func (a asking) check(now time.Time, environment string) *apiError {
	kept := keptInProduction
	if environment == Sandbox {
		kept = keptInSandbox
	}
	switch {
	case a.Start == nil || *a.Start < 0:
		return &invalidStart
	case a.End == nil || *a.End < 0:
		return &invalidEnd
	case *a.Start >= *a.End:
		return &startAfterEnd
	case *a.Start < now.Add(-kept).UnixMilli():
		return &startTooOld
	case a.TransactionID != "" && (a.Type != "" || a.Subtype != ""):
		return &manyFilters
	case a.TransactionID != "" && !idPattern.MatchString(a.TransactionID):
		return &invalidID
	case a.Subtype != "" && a.Type == "":
		return &invalidType
	case a.Type != "" && !knownType(a.Type, a.Subtype):
		return &invalidType
	}
	return nil
}

func (a asking) fits(n *notification) bool {
	return n.SignedDate >= *a.Start && n.SignedDate <= *a.End &&
		(a.Type == "" || a.Type == n.Type && a.Subtype == n.Subtype) &&
		(a.TransactionID == "" || n.sale != nil && (n.sale.TransactionID == a.TransactionID || n.sale.OriginalTransactionID == a.TransactionID))
}

// notificationHistory lists what was sent, oldest first.
func (s *Simulator) notificationHistory(q *query) stage.Answer {
	var in asking
	if !q.decode(&in) {
		return badRequest.answer()
	}
	if refused := in.check(s.stage.Now(), q.environment); refused != nil {
		return refused.answer()
	}
	identity := digest(fmt.Sprint("notifications", *in.Start, *in.End, in.Type, in.Subtype, in.OnlyFailures, in.TransactionID, q.environment))
	after := mark{Filters: identity}
	if token := q.URL.Query().Get("paginationToken"); token != "" {
		var ok bool
		if after, ok = readMark(token, identity); !ok || after.At < 0 {
			return invalidPage.answer()
		}
	}
	q.pause()
	s.mu.Lock()
	defer s.mu.Unlock()
	type item struct {
		Signed   string    `json:"signedPayload"`
		Attempts []attempt `json:"sendAttempts"`
	}
	page, more := []item{}, false
	for i := int(min(after.At, int64(len(s.notifications)))); i < len(s.notifications); i++ {
		n := s.notifications[i]
		if n.environment != q.environment || !in.fits(n) {
			continue
		}
		tries, arrived := s.attempts(n)
		if in.OnlyFailures && (arrived || len(tries) == 0) {
			continue
		}
		if more = len(page) == pageSize; more {
			break
		}
		page = append(page, item{n.signed, tries})
		after.At = int64(i) + 1
	}
	answer := map[string]any{"notificationHistory": page, "hasMore": more}
	if more {
		answer["paginationToken"] = after.String()
	}
	return stage.JSON(http.StatusOK, answer)
}

// requestTest sends a notification of type TEST.
func (s *Simulator) requestTest(q *query) stage.Answer {
	q.pause()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.stage.Reachable() {
		return noAddress.answer()
	}
	n := s.notify("TEST", "", q.environment, nil, envelope{
		Data: &data{Environment: q.environment, AppID: s.appNumber(), BundleID: BundleID, BundleVersion: "1"},
	})
	s.stage.Record(stage.Effect{Kind: "testRequested", Environment: q.environment})
	return stage.JSON(http.StatusOK, map[string]string{"testNotificationToken": testToken(n)})
}

// testToken is what a test is asked about by.
func testToken(n *notification) string { return fmt.Sprintf("%s_%d", n.UUID, n.SignedDate) }

// testStatus says what became of a test, once it was tried.
func (s *Simulator) testStatus(q *query) stage.Answer {
	if len(q.id) < 37 || !tokenPattern.MatchString(q.id[:36]) || q.id[36] != '_' {
		return invalidTestToken.answer()
	}
	q.pause()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range s.notifications {
		if n.environment != q.environment || n.Type != "TEST" || testToken(n) != q.id {
			continue
		}
		if tries, _ := s.attempts(n); len(tries) > 0 {
			return stage.JSON(http.StatusOK, map[string]any{"signedPayload": n.signed, "sendAttempts": tries})
		}
	}
	return unknownTest.answer()
}

// knownType says whether a history can be asked for by a type (notificationType, subtype).
func knownType(kind, subtype string) bool { return types[kind] && (subtype == "" || subtypes[subtype]) }

var (
	types = setOf(
		"SUBSCRIBED", "DID_RENEW", "DID_CHANGE_RENEWAL_PREF", "DID_CHANGE_RENEWAL_STATUS", "OFFER_REDEEMED", "DID_FAIL_TO_RENEW",
		"GRACE_PERIOD_EXPIRED", "EXPIRED", "PRICE_INCREASE", "PRICE_CHANGE", "REFUND", "REFUND_REVERSED", "REFUND_DECLINED",
		"CONSUMPTION_REQUEST", "REVOKE", "RENEWAL_EXTENDED", "RENEWAL_EXTENSION", "ONE_TIME_CHARGE", "EXTERNAL_PURCHASE_TOKEN",
		"RESCIND_CONSENT", "METADATA_UPDATE", "MIGRATION", "MIGRATE", "TEST",
	)
	subtypes = setOf(
		"INITIAL_BUY", "RESUBSCRIBE", "BILLING_RECOVERY", "UPGRADE", "DOWNGRADE", "AUTO_RENEW_ENABLED", "AUTO_RENEW_DISABLED",
		"GRACE_PERIOD", "VOLUNTARY", "BILLING_RETRY", "PRICE_INCREASE", "PRODUCT_NOT_FOR_SALE", "PENDING", "ACCEPTED", "SUMMARY",
		"FAILURE", "UNREPORTED", "CREATED", "ACTIVE_TOKEN_REMINDER",
	)
)

func setOf(names ...string) map[string]bool {
	set := map[string]bool{}
	for _, name := range names {
		set[name] = true
	}
	return set
}

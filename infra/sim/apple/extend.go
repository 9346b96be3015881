package apple

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"grantline/infra/sim/stage"
)

// Limits of extensions (extending the renewal date for auto-renewable subscriptions).
const (
	mostDays       = 90
	mostExtensions = 2
	extensionsIn   = 365 * 24 * time.Hour
	longestRequest = 128
)

var storefrontPattern = regexp.MustCompile(`^[A-Z]{3}$`)

// job is an extension for all subscribers of a product.
type job struct {
	product           string
	request           string
	storefronts       []string
	days              int
	complete          bool
	at                int64
	succeeded, failed int
}

// extending is the body of an extension.
type extending struct {
	Days        *int      `json:"extendByDays"`
	Reason      *int      `json:"extendReasonCode"`
	Request     string    `json:"requestIdentifier"`
	ProductID   string    `json:"productId"`
	Storefronts *[]string `json:"storefrontCountryCodes"`
}

func (e extending) check() *apiError {
	switch {
	case e.Days == nil || *e.Days < 1 || *e.Days > mostDays:
		return &invalidDays
	case e.Reason == nil || *e.Reason < 0 || *e.Reason > 3:
		return &invalidReason
	case e.Request == "" || len(e.Request) > longestRequest:
		return &invalidRequestID
	}
	return nil
}

// extendOne gives a subscription more days without money.
func (s *Simulator) extendOne(q *query) stage.Answer {
	var in extending
	if !q.decode(&in) {
		return badRequest.answer()
	}
	if refused := in.check(); refused != nil {
		return refused.answer()
	}
	if !idPattern.MatchString(q.id) {
		return invalidOriginalID.answer()
	}
	q.pause()
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.lines[q.id]
	if l == nil || l.customer.environment != q.environment || l.customer.bundle != BundleID {
		return unknownOriginalID.answer()
	}
	ends := int64(0)
	for _, before := range l.extended { // the answer was lost
		if before.request == in.Request {
			ends = before.ends
		}
	}
	if ends == 0 {
		if refused := s.extensible(l); refused != nil {
			return refused.answer()
		}
		ends = s.extend(l, *in.Days, in.Request)
	}
	return stage.JSON(http.StatusOK, map[string]any{
		"originalTransactionId": l.original, "webOrderLineItemId": l.last().WebOrderLineItemID, "success": true, "effectiveDate": ends,
	})
}

// extensible says why a subscription cannot be extended.
func (s *Simulator) extensible(l *line) *apiError {
	t, now := l.last(), s.stage.Now()
	recent := 0
	for _, e := range l.extended {
		if e.request != "" && now.Sub(e.at) < extensionsIn {
			recent++
		}
	}
	switch {
	case t.family():
		return &familyIneligible
	case l.standing() != active, t.OfferDiscountType == "FREE_TRIAL":
		return &ineligible
	case recent >= mostExtensions:
		return &extendedTooOften
	}
	return nil
}

func (s *Simulator) extend(l *line, days int, request string) int64 {
	for _, m := range l.household() {
		m.last().ExpiresDate = l.ends().AddDate(0, 0, days).UnixMilli()
		s.touch(m.last())
		if m == l {
			days = 0 // the members now end as the owner does
		}
	}
	l.extended = append(l.extended, extension{s.stage.Now(), request, l.last().ExpiresDate})
	s.wake(l, l.ends())
	s.change("extended", l.last())
	for _, m := range l.household() {
		s.tell(m.last(), "RENEWAL_EXTENDED", "")
	}
	return l.last().ExpiresDate
}

// extendAll gives all subscribers of a product more days, in a while.
func (s *Simulator) extendAll(q *query) stage.Answer {
	var in extending
	if !q.decode(&in) {
		return badRequest.answer()
	}
	refused := in.check()
	switch {
	case refused != nil:
		return refused.answer()
	case !tokenPattern.MatchString(in.Request):
		return invalidRequestID.answer()
	case !namePattern.MatchString(in.ProductID):
		return invalidProduct.answer()
	}
	var storefronts []string
	if in.Storefronts != nil {
		if storefronts = *in.Storefronts; len(storefronts) == 0 {
			return noStorefronts.answer()
		}
		for _, code := range storefronts {
			if !storefrontPattern.MatchString(code) {
				return invalidStorefront.answer()
			}
		}
	}
	q.pause()
	s.mu.Lock()
	defer s.mu.Unlock()
	key := q.environment + " " + strings.ToLower(in.Request)
	if s.jobs[key] == nil { // the same request again is the same job
		j := &job{product: in.ProductID, request: in.Request, storefronts: storefronts, days: *in.Days}
		s.jobs[key] = j
		s.stage.Later(s.stage.Now().Add(time.Duration(*s.settings.ExtendAfter)), func(context.Context) { s.run(j, q.environment) })
	}
	return stage.JSON(http.StatusOK, map[string]string{"requestIdentifier": in.Request})
}

// run extends all of a product in an environment, and tells what became of it.
func (s *Simulator) run(j *job, environment string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, original := range slices.Sorted(maps.Keys(s.lines)) {
		l := s.lines[original]
		t := l.last()
		if t.ProductID != j.product || t.Environment != environment || t.BundleID != BundleID || l.owner != nil ||
			l.standing() == expired || l.standing() == revoked || len(j.storefronts) > 0 && !slices.Contains(j.storefronts, t.Storefront) {
			continue
		}
		if s.extensible(l) != nil {
			j.failed++
			s.tell(t, "RENEWAL_EXTENSION", "FAILURE")
			continue
		}
		s.extend(l, j.days, j.request)
		j.succeeded++
	}
	j.complete, j.at = true, s.stage.Now().UnixMilli()
	s.notify("RENEWAL_EXTENSION", "SUMMARY", environment, nil, envelope{Summary: &summary{
		Environment: environment, AppID: s.appNumber(), BundleID: BundleID, ProductID: j.product, RequestID: j.request,
		Storefronts: j.storefronts, Succeeded: j.succeeded, Failed: j.failed,
	}})
}

// extendStatus says how far an extension for all is.
func (s *Simulator) extendStatus(q *query) stage.Answer {
	if !tokenPattern.MatchString(q.id) {
		return invalidRequestID.answer()
	}
	q.pause()
	s.mu.Lock()
	defer s.mu.Unlock()
	j := s.jobs[q.environment+" "+strings.ToLower(q.id)]
	if j == nil || j.product != q.PathValue("product") {
		return unknownRequest.answer()
	}
	answer := map[string]any{"requestIdentifier": j.request, "complete": j.complete}
	if j.complete {
		answer["completeDate"], answer["succeededCount"], answer["failedCount"] = j.at, j.succeeded, j.failed
	}
	return stage.JSON(http.StatusOK, answer)
}

// Longer is an extension that Apple gives of itself.
type Longer struct {
	TransactionID string `json:"transactionId"`
	Days          int    `json:"days"`
}

// Extend gives a subscription more days, as Apple's own staff may, without counting.
func (s *Simulator) Extend(e Longer) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	l, err := s.running(e.TransactionID)
	if err != nil {
		return err
	}
	if e.Days < 1 || e.Days > mostDays {
		return fmt.Errorf("days %d: from 1 to %d", e.Days, mostDays)
	}
	s.extend(l, e.Days, "")
	return nil
}

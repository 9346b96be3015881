package apple

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"grantline/infra/sim/stage"
)

var idPattern = regexp.MustCompile(`^[0-9]{1,32}$`)

// done is an answer without a body.
var done = stage.Answer{Status: http.StatusOK}

// decode reads the body as a JSON object.
func (q *query) decode(into any) bool { return json.Unmarshal(q.body, into) == nil }

// sale finds the transaction that a call is about. Each environment knows its own only,
// and those of the one app. The caller holds mu.
func (s *Simulator) sale(q *query) (*sale, *apiError) {
	if !idPattern.MatchString(q.id) {
		return nil, &invalidID
	}
	t := s.sold[q.id]
	if t == nil || t.Environment != q.environment || t.BundleID != BundleID {
		return nil, &unknownID
	}
	return t, nil
}

// customer finds whose transactionId, originalTransactionId or appTransactionId it is. The
// caller holds mu.
func (s *Simulator) customer(q *query) (*customer, *apiError) {
	if who := s.customers[q.id]; who != nil && who.environment == q.environment && who.bundle == BundleID && q.id != "" {
		return who, nil
	}
	t, refused := s.sale(q)
	if refused != nil {
		return nil, refused
	}
	return t.customer, nil
}

// transactionInfo signs a transaction anew, as it stands now.
func (s *Simulator) transactionInfo(q *query) stage.Answer {
	q.pause()
	s.mu.Lock()
	defer s.mu.Unlock()
	t, refused := s.sale(q)
	if refused != nil {
		return refused.answer()
	}
	return stage.JSON(http.StatusOK, map[string]string{"signedTransactionInfo": s.sign(s.authority, t.transaction)})
}

// finish notes that the app gave what was bought.
func (s *Simulator) finish(q *query) stage.Answer {
	q.pause()
	s.mu.Lock()
	defer s.mu.Unlock()
	t, refused := s.sale(q)
	if refused != nil {
		return refused.answer()
	}
	if !t.finished {
		t.finished = true
		s.change("finished", t)
	}
	return done
}

// setAccountToken sets the account that a purchase and its renewals belong to.
func (s *Simulator) setAccountToken(q *query) stage.Answer {
	var in struct {
		Token *string `json:"appAccountToken"`
	}
	if !q.decode(&in) {
		return badRequest.answer()
	}
	if in.Token == nil {
		return invalidAccountToken.answer()
	}
	if !tokenPattern.MatchString(*in.Token) {
		return tokenNoUUID.answer()
	}
	q.pause()
	s.mu.Lock()
	defer s.mu.Unlock()
	t, refused := s.sale(q)
	switch {
	case refused != nil:
		return refused.answer()
	case t.OriginalTransactionID != t.TransactionID:
		return notOriginal.answer()
	case t.family():
		return noFamily.answer()
	}
	for _, other := range t.customer.sales {
		if other.OriginalTransactionID == t.OriginalTransactionID {
			other.AppAccountToken = strings.ToLower(*in.Token)
			s.touch(other)
		}
	}
	s.change("accountToken", t)
	return done
}

// statuses lists the subscriptions of a customer by group, each with its last transaction.
func (s *Simulator) statuses(q *query) stage.Answer {
	wanted := map[int]bool{}
	for _, text := range q.URL.Query()["status"] {
		status, err := strconv.Atoi(text)
		if err != nil || status < active || status > revoked {
			return invalidStatus.answer()
		}
		wanted[status] = true
	}
	q.pause()
	s.mu.Lock()
	defer s.mu.Unlock()
	who, refused := s.customer(q)
	if refused != nil {
		return refused.answer()
	}
	type entry struct {
		Status   int    `json:"status"`
		Original string `json:"originalTransactionId"`
		Signed   string `json:"signedTransactionInfo"`
		Renewal  string `json:"signedRenewalInfo"`
	}
	type group struct {
		ID   string  `json:"subscriptionGroupIdentifier"`
		Last []entry `json:"lastTransactions"`
	}
	groups, place, seen := []*group{}, map[string]*group{}, map[*line]bool{}
	for _, t := range who.sales {
		l := t.line
		if l == nil || seen[l] || len(wanted) > 0 && !wanted[l.standing()] {
			continue
		}
		seen[l] = true
		g := place[t.SubscriptionGroup]
		if g == nil {
			g = &group{ID: t.SubscriptionGroup}
			place[g.ID], groups = g, append(groups, g)
		}
		g.Last = append(g.Last, entry{
			l.standing(), l.original, s.sign(s.authority, l.last().transaction), s.authority.Sign(s.renewalInfo(l)),
		})
	}
	return stage.JSON(http.StatusOK, s.about(q, "data", groups))
}

// about is an answer that says of which app and environment it is.
func (s *Simulator) about(q *query, name string, value any) map[string]any {
	return map[string]any{"environment": q.environment, "bundleId": BundleID, "appAppleId": s.appNumber(), name: value}
}

// order looks up the transactions of a customer's invoice, in production only.
func (s *Simulator) order(q *query) stage.Answer {
	if q.environment != Production {
		return stage.Answer{Status: http.StatusNotFound}
	}
	q.pause()
	s.mu.Lock()
	defer s.mu.Unlock()
	signed := []string{}
	for _, who := range s.people() {
		for _, t := range who.sales {
			if t.order == q.id && t.Environment == q.environment && t.BundleID == BundleID {
				signed = append(signed, s.sign(s.authority, t.transaction))
			}
		}
	}
	if len(signed) == 0 {
		return stage.JSON(http.StatusOK, map[string]any{"status": 1})
	}
	return stage.JSON(http.StatusOK, map[string]any{"status": 0, "signedTransactions": signed})
}

// people are the customers, each once.
func (s *Simulator) people() []*customer {
	var list []*customer
	for key, who := range s.customers {
		if key == who.appTransactionID {
			list = append(list, who)
		}
	}
	return list
}

// appTransaction is the payload of a signed app transaction
// (JWSAppTransactionDecodedPayload).
type appTransaction struct {
	ReceiptType      string `json:"receiptType"`
	AppID            int64  `json:"appAppleId"`
	BundleID         string `json:"bundleId"`
	Version          string `json:"applicationVersion"`
	VersionID        int64  `json:"versionExternalIdentifier"`
	Created          int64  `json:"receiptCreationDate"`
	Purchased        int64  `json:"originalPurchaseDate"`
	OriginalVersion  string `json:"originalApplicationVersion"`
	Device           string `json:"deviceVerification"`
	Nonce            string `json:"deviceVerificationNonce"`
	AppTransactionID string `json:"appTransactionId"`
	Platform         string `json:"originalPlatform"`
}

// appTransactionOf says that a customer has the app, as of now.
func (s *Simulator) appTransactionOf(who *customer) appTransaction {
	return appTransaction{
		ReceiptType: who.environment, AppID: s.appNumber(), BundleID: who.bundle, Version: "1", VersionID: 1,
		Created: s.stage.Now().UnixMilli(), Purchased: who.since.UnixMilli(), OriginalVersion: "1",
		Device: "c2ltdWxhdGVk", Nonce: s.stage.UUID(), AppTransactionID: who.appTransactionID, Platform: "iOS",
	}
}

func (s *Simulator) appTransaction(q *query) stage.Answer {
	q.pause()
	s.mu.Lock()
	defer s.mu.Unlock()
	who, refused := s.customer(q)
	if refused != nil {
		return refused.answer()
	}
	if who.name == withoutApp {
		return noAppTransactionOf.answer()
	}
	return stage.JSON(http.StatusOK, map[string]string{"signedAppTransactionInfo": s.authority.Sign(s.appTransactionOf(who))})
}

// withoutApp is the name of a customer who has no app transaction.
const withoutApp = "without-app-transaction"

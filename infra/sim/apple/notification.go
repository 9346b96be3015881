package apple

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"grantline/infra/sim/stage"
)

// sender is how notifications are sent (responding to App Store Server Notifications). How
// long Apple waits for an answer is not known.
var sender = stage.Sender{
	Path:    "/webhooks/apple",
	Timeout: 30 * time.Second,
	OK:      func(status int) bool { return status >= 200 && status <= 206 },
}

// retries are production's, each after the attempt before; the sandbox has none.
var retries = []time.Duration{time.Hour, 12 * time.Hour, 24 * time.Hour, 48 * time.Hour, 72 * time.Hour}

// envelope is the payload of a notification (responseBodyV2DecodedPayload).
type envelope struct {
	Type       string `json:"notificationType"`
	Subtype    string `json:"subtype,omitempty"`
	UUID       string `json:"notificationUUID"`
	Version    string `json:"version"`
	SignedDate int64  `json:"signedDate"`

	// One of these.
	Data     *data     `json:"data,omitempty"`
	Summary  *summary  `json:"summary,omitempty"`
	External *external `json:"externalPurchaseToken,omitempty"`
	AppData  *appData  `json:"appData,omitempty"`
}

// data is about a transaction, or about none in a test.
type data struct {
	Environment       string `json:"environment"`
	AppID             int64  `json:"appAppleId"`
	BundleID          string `json:"bundleId"`
	BundleVersion     string `json:"bundleVersion"`
	SignedTransaction string `json:"signedTransactionInfo,omitempty"`
	SignedRenewal     string `json:"signedRenewalInfo,omitempty"`
	Status            int    `json:"status,omitempty"`
	ConsumptionReason string `json:"consumptionRequestReason,omitempty"`
}

// summary is of an extension for all subscribers.
type summary struct {
	Environment string   `json:"environment"`
	AppID       int64    `json:"appAppleId"`
	BundleID    string   `json:"bundleId"`
	ProductID   string   `json:"productId"`
	RequestID   string   `json:"requestIdentifier"`
	Storefronts []string `json:"storefrontCountryCodes,omitempty"`
	Succeeded   int      `json:"succeededCount"`
	Failed      int      `json:"failedCount"`
}

// external is a token of a purchase outside of the App Store.
type external struct {
	ID      string `json:"externalPurchaseId"`
	Created int64  `json:"tokenCreationDate"`
	AppID   int64  `json:"appAppleId"`
	Bundle  string `json:"bundleId"`
	Type    string `json:"tokenType"`
	Expires int64  `json:"tokenExpirationDate"`
}

// appData is about the app, not a purchase.
type appData struct {
	Environment string `json:"environment"`
	AppID       int64  `json:"appAppleId"`
	BundleID    string `json:"bundleId"`
	Signed      string `json:"signedAppTransactionInfo"`
}

// notification is one that was sent, or was to be.
type notification struct {
	envelope

	environment string
	signed      string
	sale        *sale // nil where it is about none
}

// name is TYPE or TYPE.SUBTYPE.
func (e envelope) name() string {
	if e.Subtype == "" {
		return e.Type
	}
	return e.Type + "." + e.Subtype
}

// appNumber is the app's Apple id.
func (s *Simulator) appNumber() int64 { return must(strconv.ParseInt(s.appID, 10, 64)) }

// data is about a transaction, signed as of now.
func (s *Simulator) data(t *sale) *data {
	d := &data{Environment: t.Environment, AppID: s.appNumber(), BundleID: t.BundleID, BundleVersion: "1"}
	d.SignedTransaction = s.sign(s.authority, t.transaction)
	if t.line != nil {
		d.SignedRenewal, d.Status = s.authority.Sign(s.renewalInfo(t.line)), t.line.standing()
	}
	return d
}

// tell sends a notification about a transaction. The caller holds mu.
func (s *Simulator) tell(t *sale, kind, subtype string) {
	if s.stage.Reachable() && t.BundleID == BundleID {
		s.notify(kind, subtype, t.Environment, t, envelope{Data: s.data(t)})
	}
}

// notify signs a notification as of now and has it delivered. Without an address there is
// none, nor is there a history. The caller holds mu.
func (s *Simulator) notify(kind, subtype, environment string, t *sale, e envelope) *notification {
	e.Type, e.Subtype, e.UUID, e.Version = kind, subtype, s.stage.UUID(), "2.0"
	e.SignedDate = s.stage.Now().UnixMilli()
	n := &notification{envelope: e, environment: environment, signed: s.authority.Sign(e), sale: t}
	if !s.stage.Reachable() || t != nil && t.BundleID != BundleID {
		return n
	}
	s.notifications = append(s.notifications, n)
	w := stage.Webhook{
		ID: n.UUID, Type: n.name(), Repeat: s.repeat(environment),
		Compose: func(int) (http.Header, []byte) { return jsonHeader(), body(n.signed) },
	}
	if environment == Sandbox {
		w.Path = s.settings.SandboxPath
	}
	if t != nil {
		w.OrderID = t.OriginalTransactionID
	}
	s.stage.Send(w)
	return n
}

func (s *Simulator) repeat(environment string) func(attempt, status int) (time.Duration, bool) {
	return func(attempt, status int) (time.Duration, bool) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if environment != Production || attempt >= len(retries) || status == http.StatusBadRequest && !*s.settings.RetryBadRequest {
			return 0, false
		}
		return retries[attempt], true
	}
}

func jsonHeader() http.Header {
	return http.Header{"Content-Type": {"application/json; charset=utf-8"}}
}

func body(signed string) []byte {
	return stage.JSON(0, map[string]string{"signedPayload": signed}).Body
}

// Notice is a notification of any kind, to see what becomes of it.
type Notice struct {
	Type          string `json:"type"`
	Subtype       string `json:"subtype,omitempty"`
	TransactionID string `json:"transactionId,omitempty"`
	Environment   string `json:"environment,omitempty"` // where there is no transaction; "" is Production
	ProductID     string `json:"productId,omitempty"`   // of RENEWAL_EXTENSION.SUMMARY
}

// Notify sends a notification about a transaction as it is, of whatever type and subtype,
// one that nobody knows too. Nothing else happens. RENEWAL_EXTENSION.SUMMARY,
// EXTERNAL_PURCHASE_TOKEN, RESCIND_CONSENT and TEST have the payload that they have at
// Apple. It gives the notificationUUID.
func (s *Simulator) Notify(n Notice) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	environment := or(n.Environment, Production)
	var about *sale
	if n.TransactionID != "" {
		var err error
		if about, err = s.saleOf(n.TransactionID); err != nil {
			return "", err
		}
		environment = about.Environment
	}
	switch {
	case n.Type == "":
		return "", errors.New("type: of which type")
	case environment != Production && environment != Sandbox:
		return "", fmt.Errorf("environment %q: Production or Sandbox", environment)
	case !s.stage.Reachable():
		return "", errors.New("there is no address that notifications are sent to")
	}
	e := envelope{}
	switch name := (envelope{Type: n.Type, Subtype: n.Subtype}).name(); {
	case name == "RENEWAL_EXTENSION.SUMMARY":
		e.Summary = &summary{
			Environment: environment, AppID: s.appNumber(), BundleID: BundleID, RequestID: s.stage.UUID(),
			ProductID: or(n.ProductID, "com.example.premium.monthly"), Succeeded: 1,
		}
	case n.Type == "EXTERNAL_PURCHASE_TOKEN":
		e.External = s.externalToken(environment)
	case n.Type == "RESCIND_CONSENT":
		who := s.customerOf("", environment, BundleID)
		if about != nil {
			who = about.customer
		}
		e.AppData = &appData{environment, s.appNumber(), BundleID, s.authority.Sign(s.appTransactionOf(who))}
	case about != nil:
		e.Data = s.data(about)
	default:
		e.Data = &data{Environment: environment, AppID: s.appNumber(), BundleID: BundleID, BundleVersion: "1"}
	}
	return s.notify(n.Type, n.Subtype, environment, about, e).UUID, nil
}

func (s *Simulator) externalToken(environment string) *external {
	now := s.stage.Now()
	id := s.stage.UUID()
	if environment == Sandbox {
		id = "SANDBOX_" + id
	}
	return &external{id, now.UnixMilli(), s.appNumber(), BundleID, "SERVICES", now.AddDate(1, 0, 0).UnixMilli()}
}

// Forgery is a notification that is not what it seems.
type Forgery struct {
	TransactionID string `json:"transactionId"` // what it is about
	How           string `json:"how"`           // one of forgeries
	Type          string `json:"type,omitempty"`
}

// forgeries are the ways in which a notification can be wrong.
var forgeries = []string{"chain", "signature", "payload", "bundle", "app", "environment", "inner", "innerChain"}

// Forge sends a notification that is wrong in one way, and gives the status of the answer,
// 0 without one. It is in no history and is not repeated.
func (s *Simulator) Forge(ctx context.Context, f Forgery) (int, error) {
	body, err := s.forged(f)
	if err != nil {
		return 0, err
	}
	return s.stage.Post(ctx, jsonHeader(), body), nil
}

func (s *Simulator) forged(f Forgery) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	about, err := s.saleOf(f.TransactionID)
	switch {
	case err != nil:
		return nil, err
	case !slices.Contains(forgeries, f.How):
		return nil, fmt.Errorf("how %q: %s", f.How, strings.Join(forgeries, ", "))
	case !s.stage.Reachable():
		return nil, errors.New("there is no address that notifications are sent to")
	}
	d := s.data(about)
	e := envelope{Type: or(f.Type, "DID_RENEW"), UUID: s.stage.UUID(), Version: "2.0", SignedDate: s.stage.Now().UnixMilli(), Data: d}
	switch f.How {
	case "chain":
		return body(s.impostor.Sign(e)), nil
	case "signature":
		return body(turnBit(s.authority.Sign(e))), nil
	case "payload":
		genuine := s.authority.Sign(e)
		e.Type = "REFUND"
		return body(swapPayload(genuine, e)), nil
	case "bundle":
		d.BundleID = otherApp
	case "app":
		d.AppID++
	case "environment":
		d.Environment = "Xcode"
	case "inner":
		t := about.transaction
		t.BundleID = otherApp
		d.SignedTransaction = s.sign(s.authority, t)
	case "innerChain":
		d.SignedTransaction = s.sign(s.impostor, about.transaction)
	}
	return body(s.authority.Sign(e)), nil
}

// otherApp is somebody else's, genuinely signed.
const otherApp = "com.example.other"

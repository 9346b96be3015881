package apple

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// Notification is an App Store Server Notification, version 2, about one of our apps. Its
// parts were verified one by one, and belong together. What Apple left out is zero. It
// holds the customer's account token and belongs in no log.
type Notification struct {
	Type       NotificationType
	Subtype    Subtype
	UUID       string // the same when Apple sends it again
	Version    string
	SignedDate time.Time // always there

	// What it is about, by the first of data, summary, externalPurchaseToken and appData.
	Environment   Environment
	BundleID      string
	BundleVersion string
	AppID         int64
	// Status of a subscription at SignedDate: 1 active, 2 expired, 3 billing retry, 4
	// grace period, 5 revoked; 0 where Apple does not say.
	Status                   int
	ConsumptionRequestReason string

	// Transaction is what the notice is about, if about a purchase, and Renewal what
	// comes after it: never there without Transaction, and of the same line.
	Transaction *Transaction
	Renewal     *RenewalInfo

	AppTransaction   *AppTransaction   // of RESCIND_CONSENT
	Summary          *Summary          // of RENEWAL_EXTENSION.SUMMARY
	ExternalPurchase *ExternalPurchase // of EXTERNAL_PURCHASE_TOKEN

	// Other holds the members without a field above, as Apple signed them; those of data
	// and appData are in OtherData.
	Other     map[string]json.RawMessage
	OtherData map[string]json.RawMessage
}

// Summary is how an extension of all renewal dates ended (summary).
type Summary struct {
	ProductID              string
	RequestIdentifier      string
	StorefrontCountryCodes []string // ISO 3166-1 alpha-3
	SucceededCount         int64
	FailedCount            int64
	Other                  map[string]json.RawMessage
}

// ExternalPurchase is a token for a purchase outside the App Store (externalPurchaseToken,
// External Purchase Server API).
type ExternalPurchase struct {
	ID        string
	TokenType string // SERVICES, ACQUISITION, or what Apple has added since
	Created   time.Time
	Expires   time.Time
	Other     map[string]json.RawMessage
}

// Outcome is what is to be done about a notification. How a purchase stands follows from
// the words that were signed about it, the newest of which counts, and never from the
// notification's type; so there are few outcomes.
type Outcome string

// The outcomes.
const (
	// OutcomeWords: its transaction and renewal words are taken over, and then the
	// purchase is looked at again.
	OutcomeWords Outcome = "words"
	// OutcomeConsumption: as OutcomeWords, and Apple's question about a refund is
	// answered by policy.
	OutcomeConsumption Outcome = "consumption"
	// OutcomeKept: it is about no purchase, so it is kept and nothing is looked at.
	OutcomeKept Outcome = "kept"
)

// Outcome says what is to be done. Transaction is there unless it is OutcomeKept.
func (n Notification) Outcome() Outcome {
	switch {
	case n.Transaction == nil:
		return OutcomeKept
	case n.Type == TypeConsumptionRequest:
		return OutcomeConsumption
	default:
		return OutcomeWords
	}
}

// Name is the type, with the subtype behind a dot where there is one.
func (n Notification) Name() string {
	if n.Subtype == "" {
		return string(n.Type)
	}
	return string(n.Type) + "." + string(n.Subtype)
}

// Notification reads a signedPayload and whatever signed objects it carries. It has no
// effect and costs no call. Errors as for Transaction, and ErrMismatch for parts that do
// not belong together: another app's or environment's transaction than the notification
// names, another purchase's renewal info than the transaction's, or renewal info of no
// transaction. ErrBundle, ErrApp and ErrEnvironment are said of genuine ones only.
func (v *Verifier) Notification(ctx context.Context, signedPayload string) (Notification, error) {
	claims, err := v.open(ctx, signedPayload, "signedDate")
	if err != nil {
		return Notification{}, err
	}
	n, parts, err := readNotification(claims)
	if err != nil {
		return Notification{}, err
	}
	if n.UUID == "" || n.Type == "" {
		return Notification{}, unreadable(ErrClaims) // another kind of signed object, which any customer has
	}
	if err := v.oursByID(n.BundleID, n.AppID, n.Environment); err != nil {
		return Notification{}, err
	}
	if err := v.join(ctx, &n, parts); err != nil {
		return Notification{}, err
	}
	return n, nil
}

// parts are the signed objects that a notification carries, nil where there is none.
type parts struct{ transaction, renewal, app *string }

// join verifies the parts and puts them into n.
func (v *Verifier) join(ctx context.Context, n *Notification, p parts) error {
	if p.transaction != nil {
		t, err := v.Transaction(ctx, *p.transaction)
		if err != nil {
			return err
		}
		if t.Environment != n.Environment || t.BundleID != n.BundleID {
			return refused(ErrMismatch)
		}
		n.Transaction = &t
	}
	if p.renewal != nil {
		r, err := v.RenewalInfo(ctx, *p.renewal)
		if err != nil {
			return err
		}
		// It names no app, so only the transaction says whose it is.
		if n.Transaction == nil || r.Environment != n.Environment || r.OriginalTransactionID != n.Transaction.OriginalTransactionID {
			return refused(ErrMismatch)
		}
		n.Renewal = &r
	}
	if p.app != nil {
		a, err := v.AppTransaction(ctx, *p.app)
		if err != nil {
			return err
		}
		if a.Environment != n.Environment || a.BundleID != n.BundleID {
			return refused(ErrMismatch)
		}
		n.AppTransaction = &a
	}
	return nil
}

// sources are the members that say what a notification is about, of which the first that
// is there counts (App Store Server Library). Apple sends exactly one.
var sources = [...]string{"data", "summary", "externalPurchaseToken", "appData"}

// readNotification reads the members of a verified payload.
func readNotification(claims []member) (Notification, parts, error) {
	var n Notification
	var p parts
	source := ""
	for _, name := range sources {
		for _, c := range claims {
			if source == "" && c.name == name {
				source = name
			}
		}
	}
	for _, c := range claims {
		var err error
		switch c.name {
		case "notificationType":
			n.Type, err = word[NotificationType](c.value)
		case "subtype":
			n.Subtype, err = word[Subtype](c.value)
		case "notificationUUID":
			// It becomes part of a key.
			n.UUID, err = identifier(c.value)
		case "version":
			n.Version, err = text(c.value)
		case "signedDate":
			n.SignedDate, err = date(c.value)
		default:
			if source != "" && c.name == source {
				err = n.about(source, c.value, &p)
				break
			}
			if slices.Contains(sources[:], c.name) {
				// It does not count, and still has to be what its name says (App Store
				// Server Library).
				err = new(Notification).about(c.name, c.value, &parts{})
			}
			keep(&n.Other, c)
		}
		if err != nil {
			return Notification{}, parts{}, err
		}
	}
	return n, p, nil
}

// about reads the source.
func (n *Notification) about(source string, value []byte, p *parts) error {
	members, err := inner(value)
	if err != nil {
		return err
	}
	var read func(member) error
	switch source {
	case "summary":
		n.Summary = &Summary{}
		read = n.Summary.read
	case "externalPurchaseToken":
		n.ExternalPurchase = &ExternalPurchase{}
		read = n.ExternalPurchase.read
	case "appData":
		read = func(c member) error { return n.appData(c, p) }
	default:
		read = func(c member) error { return n.data(c, p) }
	}
	for _, c := range members {
		var err error
		switch {
		case c.name == "bundleId":
			n.BundleID, err = text(c.value)
		case c.name == "appAppleId":
			n.AppID, _, err = integer(c.value)
		case c.name == "environment" && n.ExternalPurchase == nil:
			n.Environment, err = word[Environment](c.value)
		default:
			err = read(c)
		}
		if err != nil {
			return err
		}
	}
	if n.ExternalPurchase != nil {
		// These say it by their id alone (External Purchase Server API).
		n.Environment = Production
		if strings.HasPrefix(n.ExternalPurchase.ID, "SANDBOX") {
			n.Environment = Sandbox
		}
	}
	return nil
}

func (n *Notification) data(c member, p *parts) (err error) {
	switch c.name {
	case "bundleVersion":
		n.BundleVersion, err = text(c.value)
	case "status":
		n.Status, err = whole(c.value)
	case "consumptionRequestReason":
		n.ConsumptionRequestReason, err = text(c.value)
	case "signedTransactionInfo":
		p.transaction, err = part(c.value)
	case "signedRenewalInfo":
		p.renewal, err = part(c.value)
	default:
		keep(&n.OtherData, c)
	}
	return err
}

func (n *Notification) appData(c member, p *parts) (err error) {
	switch c.name {
	case "signedAppTransactionInfo":
		p.app, err = part(c.value)
	default:
		keep(&n.OtherData, c)
	}
	return err
}

func part(value []byte) (*string, error) {
	signed, err := text(value)
	return &signed, err
}

func (s *Summary) read(c member) (err error) {
	switch c.name {
	case "productId":
		s.ProductID, err = text(c.value)
	case "requestIdentifier":
		s.RequestIdentifier, err = text(c.value)
	case "storefrontCountryCodes":
		s.StorefrontCountryCodes, err = texts(c.value)
	case "succeededCount":
		s.SucceededCount, _, err = integer(c.value)
	case "failedCount":
		s.FailedCount, _, err = integer(c.value)
	default:
		keep(&s.Other, c)
	}
	return err
}

func (e *ExternalPurchase) read(c member) (err error) {
	switch c.name {
	case "externalPurchaseId":
		e.ID, err = text(c.value)
	case "tokenType":
		e.TokenType, err = text(c.value)
	case "tokenCreationDate":
		e.Created, err = date(c.value)
	case "tokenExpirationDate":
		e.Expires, err = date(c.value)
	default:
		keep(&e.Other, c)
	}
	return err
}

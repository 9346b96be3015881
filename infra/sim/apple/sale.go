package apple

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"grantline/infra/sim/stage"
)

// transaction is the payload of a signed transaction (JWSTransactionDecodedPayload).
// Instants are milliseconds since 1970; a price is in thousandths of the currency.
type transaction struct {
	TransactionID         string `json:"transactionId"`
	OriginalTransactionID string `json:"originalTransactionId"`
	WebOrderLineItemID    string `json:"webOrderLineItemId,omitempty"`
	AppTransactionID      string `json:"appTransactionId"`
	BundleID              string `json:"bundleId"`
	ProductID             string `json:"productId"`
	SubscriptionGroup     string `json:"subscriptionGroupIdentifier,omitempty"`
	PurchaseDate          int64  `json:"purchaseDate"`
	OriginalPurchaseDate  int64  `json:"originalPurchaseDate"`
	ExpiresDate           int64  `json:"expiresDate,omitempty"`
	Quantity              int    `json:"quantity"`
	Type                  string `json:"type"`
	AppAccountToken       string `json:"appAccountToken,omitempty"`
	InAppOwnershipType    string `json:"inAppOwnershipType"`
	SignedDate            int64  `json:"signedDate"`
	RevocationDate        int64  `json:"revocationDate,omitempty"`
	RevocationReason      *int   `json:"revocationReason,omitempty"`
	RevocationType        string `json:"revocationType,omitempty"`
	RevocationPercentage  int    `json:"revocationPercentage,omitempty"`
	IsUpgraded            bool   `json:"isUpgraded,omitempty"`
	OfferType             int    `json:"offerType,omitempty"`
	OfferIdentifier       string `json:"offerIdentifier,omitempty"`
	OfferDiscountType     string `json:"offerDiscountType,omitempty"`
	OfferPeriod           string `json:"offerPeriod,omitempty"`
	Environment           string `json:"environment"`
	Storefront            string `json:"storefront"`
	StorefrontID          string `json:"storefrontId"`
	TransactionReason     string `json:"transactionReason"`
	Price                 int64  `json:"price"`
	Currency              string `json:"currency"`
	Added                 string `json:"addedWithoutAVersion"`
}

// revoked says that it was refunded or taken from a member of a family.
func (t *transaction) revoked() bool { return t.RevocationDate != 0 }

// family says that it came by Family Sharing.
func (t *transaction) family() bool { return t.InAppOwnershipType == familyShared }

// sale is a transaction with what the App Store knows of it beside its payload.
type sale struct {
	transaction

	order    string // the customer's invoice
	customer *customer
	line     *line // nil unless it is of an auto-renewable subscription
	changed  int64 // Simulator.changes when it was made or changed last
	finished bool
	request  int // counts requests for a refund that are open or were; see AskConsumption
	open     bool
}

// customer is an Apple account in one environment and app.
type customer struct {
	name             string
	appTransactionID string
	environment      string
	bundle           string
	since            time.Time // when the app was got
	sales            []*sale   // oldest first
}

// The kinds of products.
const (
	AutoRenewable = "Auto-Renewable Subscription"
	NonConsumable = "Non-Consumable"
	Consumable    = "Consumable"
	NonRenewing   = "Non-Renewing Subscription"
)

// How a customer came to a product.
const (
	purchased    = "PURCHASED"
	familyShared = "FAMILY_SHARED"
)

// kinds are the sample catalog's products, which need no type in Purchase.
var kinds = map[string]string{
	"com.example.premium.monthly": AutoRenewable,
	"com.example.premium.yearly":  AutoRenewable,
	"com.example.adfree":          NonConsumable,
	"com.example.gems100":         Consumable,
	"com.example.rental7d":        NonRenewing,
}

// Purchase is something bought in the app. Only ProductID is a must, and Type for what is
// not in the sample catalog.
type Purchase struct {
	ProductID             string     `json:"productId"`
	Type                  string     `json:"type,omitempty"`
	Environment           string     `json:"environment,omitempty"` // "" is Production
	AppAccountToken       string     `json:"appAccountToken,omitempty"`
	Quantity              int        `json:"quantity,omitempty"`    // 0 is 1
	ExpiresDate           *time.Time `json:"expiresDate,omitempty"` // of the first period, where it is not Period
	PurchaseDate          *time.Time `json:"purchaseDate,omitempty"`
	OriginalTransactionID string     `json:"originalTransactionId,omitempty"` // makes it a renewal of that one
	BundleID              string     `json:"bundleId,omitempty"`
	Ownership             string     `json:"ownership,omitempty"` // PURCHASED or FAMILY_SHARED
	OfferType             int        `json:"offerType,omitempty"` // 1 introductory, 2 promotional, 3 code, 4 win-back
	OfferDiscountType     string     `json:"offerDiscountType,omitempty"`
	OfferIdentifier       string     `json:"offerIdentifier,omitempty"`
	Price                 int64      `json:"price,omitempty"` // in thousandths of the currency; 0 is 4,900 won
	Currency              string     `json:"currency,omitempty"`
	// Customer is any name for an Apple account, whose purchases are one history; "" is
	// somebody new each time.
	Customer string `json:"customer,omitempty"`
	Order    string `json:"order,omitempty"` // the invoice, where several are on one
	// Renews has an auto-renewable subscription live on: it renews of itself as long as
	// AutoRenew and the means of payment let it. Nil is as Settings.Renews says.
	Renews    *bool  `json:"renews,omitempty"`
	Period    string `json:"period,omitempty"`    // P1W, P1M, P2M, P3M, P6M or P1Y; "" is P1M
	GraceDays *int   `json:"graceDays,omitempty"` // of a failing renewal, 0 to 28; nil is 16
	Group     string `json:"group,omitempty"`     // subscriptionGroupIdentifier; "" is 21500000
	// Forged makes it a forgery, which the API does not know: "chain" is signed under
	// another root, "signature" has one bit turned, "payload" was changed after signing.
	Forged string `json:"forged,omitempty"`
}

// Bought is what the app gets.
type Bought struct {
	SignedTransaction     string `json:"signedTransaction"`
	SignedRenewalInfo     string `json:"signedRenewalInfo,omitempty"`
	TransactionID         string `json:"transactionId"`
	OriginalTransactionID string `json:"originalTransactionId"`
	OrderID               string `json:"orderId,omitempty"` // on the customer's invoice
}

var tokenPattern = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

// complete fills in what a purchase leaves out, and refuses one that cannot be.
func (p *Purchase) complete() error {
	p.Type, p.Environment = or(p.Type, kinds[p.ProductID]), or(p.Environment, Production)
	p.Ownership, p.BundleID, p.Period = or(p.Ownership, purchased), or(p.BundleID, BundleID), or(p.Period, "P1M")
	if p.Quantity == 0 {
		p.Quantity = 1
	}
	switch {
	case p.ProductID == "":
		return errors.New("productId: which product")
	case !slices.Contains([]string{AutoRenewable, NonConsumable, Consumable, NonRenewing}, p.Type):
		return fmt.Errorf("type %q: %s, %s, %s or %s", p.Type, AutoRenewable, NonConsumable, Consumable, NonRenewing)
	case p.Environment != Production && p.Environment != Sandbox:
		return fmt.Errorf("environment %q: Production or Sandbox", p.Environment)
	case p.AppAccountToken != "" && !tokenPattern.MatchString(p.AppAccountToken):
		return errors.New("appAccountToken: a UUID, else the App Store drops it")
	case p.Quantity < 1 || p.Quantity > 10:
		return errors.New("quantity: from 1 to 10")
	case p.Ownership != purchased && p.Ownership != familyShared:
		return fmt.Errorf("ownership %q: PURCHASED or FAMILY_SHARED", p.Ownership)
	case p.GraceDays != nil && (*p.GraceDays < 0 || *p.GraceDays > mostGraceDays):
		return fmt.Errorf("graceDays %d: from 0 to %d", *p.GraceDays, mostGraceDays)
	case !slices.Contains([]string{"", "chain", "signature", "payload"}, p.Forged):
		return fmt.Errorf("forged %q: chain, signature or payload", p.Forged)
	}
	_, err := parsePeriod(p.Period)
	return err
}

// Buy sells a product and signs the transaction.
func (s *Simulator) Buy(p Purchase) (Bought, error) {
	if err := p.complete(); err != nil {
		return Bought{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.Forged != "" {
		return s.forge(p)
	}
	if p.OriginalTransactionID != "" {
		return s.buyAgain(p)
	}
	who := s.customerOf(p.Customer, p.Environment, p.BundleID)
	if p.Type == AutoRenewable {
		return s.subscribe(p, who)
	}
	t := s.enter(&sale{transaction: s.payload(p, s.at(p)), customer: who, order: p.Order})
	s.record("purchased", t)
	s.tell(t, "ONE_TIME_CHARGE", "")
	return s.bought(t), nil
}

// buyAgain makes another transaction of a line that is known.
func (s *Simulator) buyAgain(p Purchase) (Bought, error) {
	first := s.sold[p.OriginalTransactionID]
	if first == nil {
		return Bought{}, fmt.Errorf("originalTransactionId %q was not bought here", p.OriginalTransactionID)
	}
	t := s.payload(p, s.at(p))
	t.OriginalTransactionID, t.OriginalPurchaseDate = first.OriginalTransactionID, first.OriginalPurchaseDate
	t.AppTransactionID, t.TransactionReason = first.AppTransactionID, renewal
	t.AppAccountToken = or(t.AppAccountToken, first.AppAccountToken)
	made := s.enter(&sale{transaction: t, customer: first.customer, line: first.line, order: p.Order})
	s.record("purchased", made)
	if l := first.line; l != nil {
		l.next = product{t.ProductID, t.Price, l.next.period}
		s.begin(l)
		s.tell(made, "DID_RENEW", "")
	}
	return s.bought(made), nil
}

// forge signs what was never bought.
func (s *Simulator) forge(p Purchase) (Bought, error) {
	t := s.payload(p, s.at(p))
	if first := s.sold[p.OriginalTransactionID]; first != nil {
		t.OriginalTransactionID = first.OriginalTransactionID
	}
	made := Bought{TransactionID: t.TransactionID, OriginalTransactionID: t.OriginalTransactionID}
	switch p.Forged {
	case "chain":
		made.SignedTransaction = s.sign(s.impostor, t)
	case "signature":
		made.SignedTransaction = turnBit(s.sign(s.authority, t))
	default:
		changed := t
		changed.Quantity += 9
		made.SignedTransaction = swapPayload(s.sign(s.authority, t), changed)
	}
	return made, nil
}

// at is when a purchase is made.
func (s *Simulator) at(p Purchase) time.Time {
	if p.PurchaseDate != nil {
		return p.PurchaseDate.UTC()
	}
	return s.stage.Now()
}

// newID makes the id of a transaction. Those of the sandbox are recognised by their first
// digits.
func (s *Simulator) newID(environment string) string {
	s.next++
	if environment == Sandbox {
		return fmt.Sprintf("2000000%d", s.next)
	}
	return fmt.Sprintf("35000%d", s.next)
}

// payload is the transaction of a purchase that is in order.
func (s *Simulator) payload(p Purchase, at time.Time) transaction {
	id := s.newID(p.Environment)
	t := transaction{
		TransactionID: id, OriginalTransactionID: id, BundleID: p.BundleID, ProductID: p.ProductID, Type: p.Type,
		PurchaseDate: at.UnixMilli(), OriginalPurchaseDate: at.UnixMilli(), Quantity: p.Quantity,
		AppAccountToken: strings.ToLower(p.AppAccountToken), InAppOwnershipType: p.Ownership,
		OfferType: p.OfferType, OfferDiscountType: p.OfferDiscountType, OfferIdentifier: p.OfferIdentifier,
		Environment: p.Environment, Storefront: "KOR", StorefrontID: "143466", TransactionReason: "PURCHASE",
		Price: p.Price, Currency: or(p.Currency, "KRW"), Added: "simulated", AppTransactionID: "7" + s.stage.Text(17, stage.Digits),
	}
	if t.Price == 0 {
		t.Price = 4_900_000
	}
	if p.OfferType != 0 {
		t.OfferPeriod = p.Period
	}
	if p.Type == AutoRenewable {
		t.WebOrderLineItemID, t.SubscriptionGroup = id+"1", or(p.Group, "21500000")
		t.ExpiresDate = must(parsePeriod(p.Period)).after(at).UnixMilli()
	}
	if p.ExpiresDate != nil {
		t.ExpiresDate = p.ExpiresDate.UnixMilli()
	}
	return t
}

// customerOf finds the customer of a name, or makes one.
func (s *Simulator) customerOf(name, environment, bundle string) *customer {
	key := strings.Join([]string{environment, bundle, name}, "\x00")
	if known := s.customers[key]; known != nil && name != "" {
		return known
	}
	who := &customer{
		name: name, appTransactionID: "7" + s.stage.Text(17, stage.Digits), environment: environment, bundle: bundle, since: s.stage.Now(),
	}
	if name != "" {
		s.customers[key] = who
	}
	s.customers[who.appTransactionID] = who
	return who
}

// enter puts a sale into the books.
func (s *Simulator) enter(t *sale) *sale {
	t.AppTransactionID = t.customer.appTransactionID
	t.order = or(t.order, "M"+s.stage.Text(9, stage.Capitals))
	s.sold[t.TransactionID] = t
	t.customer.sales = append(t.customer.sales, t)
	if t.line != nil {
		t.line.sales = append(t.line.sales, t)
	}
	s.touch(t)
	return t
}

// touch notes that a sale is another than it was.
func (s *Simulator) touch(t *sale) {
	s.changes++
	t.changed = s.changes
}

// record notes an effect of a transaction.
func (s *Simulator) record(kind string, t *sale) {
	s.stage.Record(stage.Effect{
		Kind: kind, OrderID: t.TransactionID, TransactionID: t.TransactionID, SKU: t.ProductID,
		Amount: t.Price, Currency: t.Currency, Environment: t.Environment, SubscriptionID: t.subscription(),
	})
}

// subscription is the original transaction of one that renews.
func (t *sale) subscription() string {
	if t.line == nil {
		return ""
	}
	return t.OriginalTransactionID
}

// bought is what the app gets of a sale.
func (s *Simulator) bought(t *sale) Bought {
	made := Bought{
		SignedTransaction: s.sign(s.authority, t.transaction), TransactionID: t.TransactionID,
		OriginalTransactionID: t.OriginalTransactionID, OrderID: t.order,
	}
	if t.line != nil {
		made.SignedRenewalInfo = s.authority.Sign(s.renewalInfo(t.line))
	}
	return made
}

// sign signs a transaction as of now.
func (s *Simulator) sign(by *Authority, t transaction) string {
	t.SignedDate = s.stage.Now().UnixMilli()
	return by.Sign(t)
}

// turnBit changes one bit in the middle of a token's signature.
func turnBit(token string) string {
	dot := strings.LastIndexByte(token, '.')
	signature := must(base64.RawURLEncoding.DecodeString(token[dot+1:]))
	signature[len(signature)/2] ^= 1
	return token[:dot+1] + base64.RawURLEncoding.EncodeToString(signature)
}

// swapPayload puts other claims under the signature of a token.
func swapPayload(token string, claims any) string {
	parts := strings.Split(token, ".")
	parts[1] = base64.RawURLEncoding.EncodeToString(must(json.Marshal(claims)))
	return strings.Join(parts, ".")
}

// saleOf finds a transaction for a control.
func (s *Simulator) saleOf(id string) (*sale, error) {
	if t := s.sold[id]; t != nil {
		return t, nil
	}
	return nil, fmt.Errorf("transactionId %q was not bought here", id)
}

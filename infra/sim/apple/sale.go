package apple

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
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
	OfferType             int    `json:"offerType,omitempty"`
	OfferDiscountType     string `json:"offerDiscountType,omitempty"`
	Environment           string `json:"environment"`
	Storefront            string `json:"storefront"`
	StorefrontID          string `json:"storefrontId"`
	TransactionReason     string `json:"transactionReason"`
	Price                 int64  `json:"price"`
	Currency              string `json:"currency"`
	Added                 string `json:"addedWithoutAVersion"`
}

// The kinds of products.
const (
	AutoRenewable = "Auto-Renewable Subscription"
	NonConsumable = "Non-Consumable"
	Consumable    = "Consumable"
	NonRenewing   = "Non-Renewing Subscription"
)

// kinds are the sample catalog's products, which need no type in Purchase.
var kinds = map[string]string{
	"com.example.premium.monthly": AutoRenewable,
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
	ExpiresDate           *time.Time `json:"expiresDate,omitempty"` // an auto-renewable one has a month unless told
	PurchaseDate          *time.Time `json:"purchaseDate,omitempty"`
	OriginalTransactionID string     `json:"originalTransactionId,omitempty"` // makes it a renewal of that one
	BundleID              string     `json:"bundleId,omitempty"`
	Ownership             string     `json:"ownership,omitempty"` // PURCHASED or FAMILY_SHARED
	OfferType             int        `json:"offerType,omitempty"` // 1 introductory, 2 promotional, 3 code, 4 win-back
	OfferDiscountType     string     `json:"offerDiscountType,omitempty"`
	Price                 int64      `json:"price,omitempty"` // in thousandths of the currency; 0 is 4,900 won
	Currency              string     `json:"currency,omitempty"`
	// Forged makes it a forgery, which the API does not know: "chain" is signed under
	// another root, "signature" has one bit turned, "payload" was changed after signing.
	Forged string `json:"forged,omitempty"`
}

// Bought is what the app gets.
type Bought struct {
	SignedTransaction     string `json:"signedTransaction"`
	TransactionID         string `json:"transactionId"`
	OriginalTransactionID string `json:"originalTransactionId"`
}

var tokenPattern = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

// Buy sells a product and signs the transaction.
func (s *Simulator) Buy(p Purchase) (Bought, error) {
	if p.Type == "" {
		p.Type = kinds[p.ProductID]
	}
	if p.Environment == "" {
		p.Environment = Production
	}
	if p.Ownership == "" {
		p.Ownership = "PURCHASED"
	}
	switch {
	case p.ProductID == "":
		return Bought{}, errors.New("productId: which product")
	case !slices.Contains([]string{AutoRenewable, NonConsumable, Consumable, NonRenewing}, p.Type):
		return Bought{}, fmt.Errorf("type %q: %s, %s, %s or %s", p.Type, AutoRenewable, NonConsumable, Consumable, NonRenewing)
	case p.Environment != Production && p.Environment != Sandbox:
		return Bought{}, fmt.Errorf("environment %q: Production or Sandbox", p.Environment)
	case p.AppAccountToken != "" && !tokenPattern.MatchString(p.AppAccountToken):
		return Bought{}, errors.New("appAccountToken: a UUID, else the App Store drops it")
	case p.Quantity < 0 || p.Quantity > 10:
		return Bought{}, errors.New("quantity: from 1 to 10")
	case p.Ownership != "PURCHASED" && p.Ownership != "FAMILY_SHARED":
		return Bought{}, fmt.Errorf("ownership %q: PURCHASED or FAMILY_SHARED", p.Ownership)
	case !slices.Contains([]string{"", "chain", "signature", "payload"}, p.Forged):
		return Bought{}, fmt.Errorf("forged %q: chain, signature or payload", p.Forged)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.transact(p)
	if err != nil {
		return Bought{}, err
	}
	bought := Bought{TransactionID: t.TransactionID, OriginalTransactionID: t.OriginalTransactionID}
	switch p.Forged {
	case "":
		s.sold[t.TransactionID] = &t
		s.stage.Record(stage.Effect{
			Kind: "purchased", OrderID: t.TransactionID, TransactionID: t.TransactionID, SKU: t.ProductID,
			Amount: t.Price, Currency: t.Currency, Environment: t.Environment,
		})
		bought.SignedTransaction = s.sign(s.authority, t)
	case "chain":
		bought.SignedTransaction = s.sign(s.impostor, t)
	case "signature":
		bought.SignedTransaction = turnBit(s.sign(s.authority, t))
	case "payload":
		genuine := strings.Split(s.sign(s.authority, t), ".")
		t.Quantity += 9
		genuine[1] = base64.RawURLEncoding.EncodeToString(must(json.Marshal(t)))
		bought.SignedTransaction = strings.Join(genuine, ".")
	}
	return bought, nil
}

// transact makes the transaction of a purchase that is in order.
func (s *Simulator) transact(p Purchase) (transaction, error) {
	now := s.stage.Now()
	at := now
	if p.PurchaseDate != nil {
		at = *p.PurchaseDate
	}
	s.next++
	// Transactions of the sandbox are recognised by their first digits.
	id := fmt.Sprintf("35000%d", s.next)
	if p.Environment == Sandbox {
		id = fmt.Sprintf("2000000%d", s.next)
	}
	t := transaction{
		TransactionID: id, OriginalTransactionID: id, AppTransactionID: "7" + s.stage.Text(17, stage.Digits),
		BundleID: or(p.BundleID, BundleID), ProductID: p.ProductID, Type: p.Type,
		PurchaseDate: at.UnixMilli(), OriginalPurchaseDate: at.UnixMilli(),
		Quantity: max(p.Quantity, 1), AppAccountToken: strings.ToLower(p.AppAccountToken), InAppOwnershipType: p.Ownership,
		OfferType: p.OfferType, OfferDiscountType: p.OfferDiscountType,
		Environment: p.Environment, Storefront: "KOR", StorefrontID: "143466", TransactionReason: "PURCHASE",
		Price: p.Price, Currency: or(p.Currency, "KRW"), Added: "simulated",
	}
	if t.Price == 0 {
		t.Price = 4_900_000
	}
	if p.OriginalTransactionID != "" {
		first := s.sold[p.OriginalTransactionID]
		if first == nil {
			return t, fmt.Errorf("originalTransactionId %q was not bought here", p.OriginalTransactionID)
		}
		t.OriginalTransactionID, t.OriginalPurchaseDate = first.OriginalTransactionID, first.OriginalPurchaseDate
		t.AppTransactionID, t.TransactionReason = first.AppTransactionID, "RENEWAL"
		t.AppAccountToken = or(t.AppAccountToken, first.AppAccountToken)
	}
	if p.Type == AutoRenewable {
		t.WebOrderLineItemID, t.SubscriptionGroup = id+"1", "21500000"
		t.ExpiresDate = at.AddDate(0, 1, 0).UnixMilli()
	}
	if p.ExpiresDate != nil {
		t.ExpiresDate = p.ExpiresDate.UnixMilli()
	}
	return t, nil
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

// Refund takes a purchase back.
type Refund struct {
	TransactionID string `json:"transactionId"`
	Reason        int    `json:"reason,omitempty"` // 0 other, 1 an issue of the app
}

// Refund marks a transaction as revoked from now on.
func (s *Simulator) Refund(r Refund) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.sold[r.TransactionID]
	switch {
	case t == nil:
		return fmt.Errorf("transactionId %q was not bought here", r.TransactionID)
	case t.RevocationDate != 0:
		return fmt.Errorf("transactionId %q is refunded already", r.TransactionID)
	case r.Reason != 0 && r.Reason != 1:
		return errors.New("reason: 0 or 1")
	}
	t.RevocationDate, t.RevocationReason = s.stage.Now().UnixMilli(), &r.Reason
	t.RevocationType, t.RevocationPercentage = "REFUND_FULL", 100_000
	s.stage.Record(stage.Effect{
		Kind: "refunded", OrderID: t.TransactionID, TransactionID: t.TransactionID, SKU: t.ProductID,
		Amount: t.Price, Currency: t.Currency, Environment: t.Environment,
	})
	return nil
}

// Failure makes the next look-ups fail with one of Apple's error codes.
type Failure struct {
	ErrorCode     int64  `json:"errorCode"` // seven digits, of which the first three are the HTTP status
	TransactionID string `json:"transactionId,omitempty"`
	Count         int    `json:"count,omitempty"` // 0 is 1
}

func (f Failure) answer() stage.Answer {
	return apiError{f.ErrorCode, "Simulated error."}.answer()
}

// Fail scripts error codes.
func (s *Simulator) Fail(f Failure) error {
	if f.ErrorCode < 400_0000 || f.ErrorCode > 599_9999 {
		return fmt.Errorf("errorCode %d: from 4000000 to 5999999, such as 4290000 or 5000001", f.ErrorCode)
	}
	s.failures.Add(f.Count, f)
	return nil
}

// Settings are the switches. A nil leaves a setting as it is.
type Settings struct {
	// Released says that the app had its first release; without one the production API
	// answers 401 to everything. True at start.
	Released *bool `json:"released,omitempty"`
}

// Set turns switches.
func (s *Simulator) Set(new Settings) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if new.Released != nil {
		s.settings.Released = new.Released
	}
	return nil
}

// Controls are what can be made to happen.
func (s *Simulator) Controls() []stage.Control {
	return append([]stage.Control{
		stage.On("buy", "Buys a product and answers signedTransaction, transactionId and originalTransactionId; forged chain, signature or payload makes a forgery.",
			Purchase{ProductID: "com.example.premium.monthly", AppAccountToken: "6f2b7c1e-2a53-4a53-9c0f-6d6f0f6b2f10"},
			func(p Purchase) (any, error) {
				bought, err := s.Buy(p)
				return bought, err
			}),
		stage.On("refund", "Refunds a transaction: the API signs it as revoked from now on.",
			Refund{TransactionID: "350001234567890"},
			func(r Refund) (any, error) { return nil, s.Refund(r) }),
		stage.On("fail", "Answers the next count look-ups with an error code of Apple's, of one transactionId if given: 4040010, 4290000, 5000001 ….",
			Failure{ErrorCode: 4290000, Count: 1},
			func(f Failure) (any, error) { return nil, s.Fail(f) }),
		stage.On("settings", "Turns the switches: released false makes the production API answer 401, as for an app before its first release.",
			Settings{Released: ptr(true)},
			func(new Settings) (any, error) { return nil, s.Set(new) }),
	}, s.stage.Common(s.failures.Clear)...)
}

// Control serves the controls and the log of effects: POST /buy, GET /effects, ….
func (s *Simulator) Control() http.Handler { return s.stage.Panel(s.Controls()) }

func or(a, b string) string {
	if a == "" {
		return b
	}
	return a
}

package purchase

import (
	"context"
	"time"
)

// Proof is what an app sends to claim a purchase. It gives an id, never a state.
type Proof struct {
	Store string // apple, play or appsintoss
	// Evidence is Apple's signed transaction, Play's purchase token or the orderId of
	// Apps-in-Toss. It is secret: it appears in no log and no error.
	Evidence string
	// SKU is what the app says it bought; "" if it did not say. It is compared with the
	// store's word and never believed.
	SKU string
	// Subscription is the subscriptionId of Apps-in-Toss, "" otherwise.
	Subscription string
	// UserKey is the x-toss-user-key of a user signed in with Toss, "" otherwise.
	UserKey string
}

// SaleState is how a sale stands by the store's word.
type SaleState string

// The states of a sale. A store's translation maps every word it knows to one of them,
// and a word it does not know to an error of kind fault.Unavailable, never to Paid.
const (
	Pending  SaleState = "pending"  // ordered, money not taken yet
	Paid     SaleState = "paid"     // money taken
	Refunded SaleState = "refunded" // money given back, or access taken back by the store
	Failed   SaleState = "failed"   // ended without money; final
)

// Sale is a store's word about one order, now.
type Sale struct {
	Store string
	// Line names what renewals and upgrades have in common: Apple's original
	// transaction, Apps-in-Toss's first order, the oldest Play token's hash.
	Line string
	// Order is the store's id of this movement of money, without our prefix.
	Order string
	SKU   string
	State SaleState
	// PurchasedAt is when the money was taken, zero if unknown.
	PurchasedAt time.Time
	// Until is the end of what was paid for; zero means that it never ends or that the
	// catalog knows how long.
	Until time.Time
	// AsOf is the instant that this word is about: signed by the store, or the moment of
	// asking, never that of answering. A word older than the one recorded is no news.
	AsOf time.Time
	// Quantity of a consumable, 1 or more.
	Quantity int
	// WillRenew says that the store means to charge again at Until.
	WillRenew bool
	// Test marks a purchase made without money: sandbox, license tester, TestFlight.
	Test bool
	// Family marks a share of somebody else's purchase.
	Family bool
	// Account is the id that the app gave to the store at the purchase (appAccountToken,
	// obfuscated account id), "" if it gave none.
	Account string
	// Currency and Price, in the smallest unit, where the store says them.
	Currency string
	Price    int64
}

// Store is a shop that sells for us.
type Store interface {
	// Look finds out how a sale stands. Errors: fault.Malformed for evidence that cannot
	// be read, fault.Invalid for what is proven false (forged, another app's, unknown to
	// the store), fault.Unavailable for everything that could not be found out, our own
	// misconfiguration included. It has no effect at the store and may be repeated.
	Look(ctx context.Context, p Proof) (Sale, error)
}

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
	// Receipt says that the evidence is one of Apple's old receipts.
	Receipt bool
	// SKU is what the app says it bought; "" if it did not say. It is compared with the
	// store's word, or tells where to look, and is never believed.
	SKU string
	// Subscription is the subscriptionId of Apps-in-Toss, "" otherwise.
	Subscription string
	// UserKey is the x-toss-user-key of a user signed in with Toss, "" otherwise.
	UserKey string
	// GiftTo is the company's id of whom it was bought for, "" for the claimant.
	GiftTo string
}

// SaleState is how a sale stands by the store's word.
type SaleState string

// The states of a sale. A store's translation maps every word it knows to one of them,
// and a word it does not know to an error of kind fault.Unavailable, never to Paid.
const (
	Pending  SaleState = "pending"  // ordered, money not taken yet
	Paid     SaleState = "paid"     // money taken
	Replaced SaleState = "replaced" // paid, and given up for another sale of the same line
	Refunded SaleState = "refunded" // money given back, or access taken back by the store
	Failed   SaleState = "failed"   // ended without money; final
)

// Sale is a store's word about one order, now.
type Sale struct {
	Store string
	// App is the store's name of the app that it was sold in, "" where there is but one.
	App string
	// Line names what renewals and upgrades have in common: Apple's original
	// transaction, Apps-in-Toss's first order, a Play token's hash, which the book follows
	// to the oldest of its chain.
	Line string
	// Part is what of its line it is, where a line sells several things beside each other
	// that renew and end by themselves: Play's line items, by product. "" where a line is
	// one thing.
	Part string
	// Order is the store's id of this movement of money, without our prefix.
	Order string
	SKU   string
	State SaleState
	// PurchasedAt is when the money was taken, zero if unknown.
	PurchasedAt time.Time
	// Until is the end of what was paid for; zero means that it never ends or that the
	// catalog knows how long.
	Until time.Time
	// Ended says that access is over, though Until may be later. Where it is Told, Until says
	// since when.
	Ended bool
	// Unpaid says that Until is further than what was paid for, since access stays while the
	// money cannot be taken. It moves the end of no sale that is known.
	Unpaid bool
	// Told says that Until and Ended, or all of it, are of the same word as the Standing, and
	// count only if that is newer than the one that is known: a store's events name no instant
	// that could be compared with that of asking.
	Told bool
	// AsOf is the instant that this word is about: signed by the store, or the moment of
	// asking, never that of answering. A word older than the one recorded is no news.
	AsOf time.Time
	// Quantity of a consumable, 1 or more.
	Quantity int
	// WillRenew says that the store means to charge again at Until, as far as a sale alone
	// tells. A Standing knows better.
	WillRenew bool
	// Returned is how much of a Refunded sale was given back, in thousandths of a per cent;
	// 0 is all of it. What is not virtual currency is taken back whole.
	Returned int
	// Back is how many of Quantity were given back, at a store that counts them; it goes
	// before Returned, and some are given back of a Paid sale.
	Back int
	// Blind says that a store may have given money back without a word of it here: what is
	// known to be given back stays so.
	Blind bool
	// Unconsumed says that the store sells no other to this customer until it hears that
	// this one was used up.
	Unconsumed bool
	// Rented marks what was paid for to be used for some time, and not to be kept, though the
	// store may have sold it under the name of what is: the catalog says for how long.
	Rented bool
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

// Standing is how a store means to go on with a line of renewals.
type Standing struct {
	// AsOf is the instant that it is about, as a Sale's; zero means that nobody said.
	AsOf      time.Time `json:"asOf,omitzero"`
	WillRenew bool      `json:"willRenew,omitempty"`
	// Retrying says that the store could not take the money and goes on trying.
	Retrying bool `json:"retrying,omitempty"`
	// GraceUntil is until when access stays meanwhile, beyond what was paid for.
	GraceUntil time.Time `json:"graceUntil,omitzero"`
	// Next is the store's name of the product that takes over with the next renewal, ""
	// if it stays the same.
	Next string `json:"next,omitempty"`
	// Reason is why it will not renew, or did not.
	Reason Reason `json:"reason,omitempty"`
	// PriceIncrease is what the customer said to a higher price: "", pending or accepted.
	PriceIncrease string `json:"priceIncrease,omitempty"`
	// ResumesAt is when a pause ends that the customer made, zero without one.
	ResumesAt time.Time `json:"resumesAt,omitzero"`
	// Token is the id of the one that it was said of, "" where there are none. Our book fills it in.
	Token string `json:"token,omitempty"`
}

// Reason is why a line does not go on.
type Reason string

// The reasons.
const (
	ByCustomer  Reason = "customer"    // cancelled
	ByBilling   Reason = "billing"     // the money could not be taken
	ByPrice     Reason = "price"       // no consent to a higher price
	ByProduct   Reason = "unavailable" // the product was not for sale any more
	ByTheUnsaid Reason = "other"
)

// News is what a store says at one time about one line.
type News struct {
	// Sales has the one that was asked about first; others of its line may follow.
	Sales []Sale
	// Standing is the zero one where the store has nothing to say on it.
	Standing Standing
	// Parts are the standings of a line that is sold in parts, by Sale.Part.
	Parts map[string]Standing
	// Token is what this was asked by, nil at a store that is asked by the order.
	Token *Token
	// Keeps are parts of older tokens that go on until their end, though Token took their
	// place: a replacement that waits for the next renewal.
	Keeps []string
	// Again is when the store should be asked at the latest; zero leaves it to the line.
	Again time.Time
	// Unasked means that these are signed words alone, though the store could be asked and
	// was out of reach: the line is to be looked at again soon.
	Unasked bool
	// Usage means that the store asks what became of the first sale.
	Usage bool
	// Case names what it asks about, where it has a name; it is secret.
	Case string
}

// Token is what a store is asked by where that is not the order: a Play purchase token.
type Token struct {
	ID     string // its hash, which names a line
	Secret string // appears in no log and no error
	Kind   string // the store's own: where to ask
	// Older is the token whose place this one took, nil if it took none; of that one only
	// what it is asked by is known. An upgrade, a resubscription and a top-up have one.
	Older *Token
	// Unacknowledged says that the store gives the money back at By, unless it hears that the
	// customer has what was paid for.
	Unacknowledged bool
	By             time.Time
	// Account is the customer's name that the store takes with the acknowledgement, where it
	// was not bought in the app; "" if there is none to say.
	Account string
}

// Delivery is what a store should hear once a sale is durably granted.
type Delivery struct {
	Token   Token
	Part    string // of the sale, or any of the token's
	Consume bool   // it was used up, and may be bought again; else only that it was delivered
	Account string // Token.Account, as it was when the sale was looked at
}

// Acknowledger is a store that gives the money back for what nobody says was delivered.
type Acknowledger interface {
	// Acknowledge tells the store; to do it twice is to do it once. Errors: fault.Invalid
	// where the store takes none of this sale as it stands, so that it is to be looked at
	// again; fault.Unavailable when it should be told again.
	Acknowledge(ctx context.Context, d Delivery) error
	// LineOf names the line of an evidence without asking anybody.
	LineOf(p Proof) string
}

// Store is a shop that sells for us.
type Store interface {
	// Look finds out how a sale stands. Errors: fault.Malformed for evidence that cannot
	// be read, fault.Invalid for what is proven false (forged, another app's), fault.NotFound
	// for what the store does not know, or not any more, fault.Unavailable for everything that could not be found out, our own
	// misconfiguration included. It has no effect at the store and may be repeated.
	Look(ctx context.Context, p Proof) (News, error)
}

// Reader is a store whose evidence is a word by itself, so that our book can be asked
// before the store is.
type Reader interface {
	// Read verifies the evidence without any call; its errors are Look's. It is false for
	// evidence that says nothing by itself.
	Read(ctx context.Context, p Proof) (Sale, bool, error)
}

// Follower is a store whose sales can be followed after their claim.
type Follower interface {
	// Hear reads what a notice brought, and looks again where the store can be asked.
	// fault.Invalid and fault.Malformed are for evidence that nobody will ever believe;
	// News without sales is about no sale.
	Hear(ctx context.Context, evidence string) (News, error)
	// Follow asks how a line that we know stands now. Errors: fault.NotFound if the store
	// does not know it, when its News may still say Again, fault.Unavailable if that could not be found out. It is false where
	// the store cannot be asked at all.
	Follow(ctx context.Context, l Line) (News, bool, error)
	// Report tells the store what became of a sale. Errors: fault.Invalid when it does not
	// take the report, fault.Unavailable when it should be told again.
	Report(ctx context.Context, s Sale, u Usage) error
}

// Line names what Follow asks about.
type Line struct {
	Line  string // as Sale.Line
	Order string // as Sale.Order, of the sale that reaches furthest
	Test  bool
	// Since is the instant of the oldest word about the line.
	Since time.Time
	// Token is what to ask by, at a store that has them, and Sold are the latest sales, whose
	// money may have been given back without a word.
	Token Token
	Sold  []Sold
}

// Sold is a sale that we know of.
type Sold struct {
	Order, Part, SKU string // as a Sale's
}

// Usage is what became of a sale, as far as our book knows.
type Usage struct {
	// Delivered says that it was granted to a customer.
	Delivered bool
	// Spendable says that it is virtual currency, of which Spent thousandths of a per cent
	// are gone.
	Spendable bool
	Spent     int
	// Case is News.Case of what asked.
	Case string
}

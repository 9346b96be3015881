package apple

import (
	"context"
	"fmt"
	"strings"
	"time"

	"grantline/shared/money"
	"grantline/shared/purchase"
)

// Name is the store's name in records and requests.
const Name = "apple"

// Store answers from signed data alone: no API key, no call. Its word is as old as the
// proof is (Sale.AsOf): a refund made since is not in it.
type Store struct {
	verifier *Verifier
}

// NewStore makes a store of what v believes.
func NewStore(v *Verifier) *Store { return &Store{v} }

var _ purchase.Store = (*Store)(nil)

// Look translates a signed transaction; Proof.Evidence is the token, and nothing else of
// the proof is read. Beside what purchase.Store says: a transaction that an upgrade
// replaced is fault.Invalid with code "superseded_purchase", and a genuine one whose
// words we do not know is fault.Unavailable.
func (s *Store) Look(ctx context.Context, p purchase.Proof) (purchase.Sale, error) {
	t, err := s.verifier.Transaction(ctx, p.Evidence)
	if err != nil {
		return purchase.Sale{}, err
	}
	return saleOf(t, s.verifier.config.Clock.Now())
}

// saleOf is the only place where Apple's words meet ours. A word not known here grants
// nothing and revokes nothing.
func saleOf(t Transaction, now time.Time) (purchase.Sale, error) {
	sale := purchase.Sale{
		Store:       Name,
		Line:        t.OriginalTransactionID,
		Order:       t.TransactionID,
		SKU:         t.ProductID,
		State:       purchase.Paid, // Apple signs a transaction when the money is taken
		PurchasedAt: t.PurchaseDate,
		Until:       t.ExpiresDate,
		AsOf:        t.SignedDate,
		Quantity:    1,
		Account:     strings.ToLower(t.AppAccountToken),
	}

	switch t.Environment {
	case Production:
	case Sandbox:
		sale.Test = true
	default:
		return purchase.Sale{}, unknown(ErrWord)
	}

	switch t.Ownership {
	case Purchased, "":
	case FamilyShared:
		sale.Family = true
	default:
		return purchase.Sale{}, unknown(fmt.Errorf("%w: inAppOwnershipType", ErrWord))
	}

	if t.PurchaseDate.IsZero() {
		// What is rented runs from here.
		return purchase.Sale{}, unknown(fmt.Errorf("%w: no purchaseDate", ErrWord))
	}

	switch t.Type {
	case AutoRenewable:
		if t.ExpiresDate.IsZero() {
			// No end means forever to everybody else.
			return purchase.Sale{}, unknown(fmt.Errorf("%w: a subscription without expiresDate", ErrWord))
		}
		// The renewal info, which knows better, is not part of a transaction.
		sale.WillRenew = !t.Revoked() && t.ExpiresDate.After(now)
	case NonConsumable, Consumable, NonRenewing:
	default:
		return purchase.Sale{}, unknown(fmt.Errorf("%w: type", ErrWord))
	}

	if t.Quantity < 0 {
		return purchase.Sale{}, unknown(fmt.Errorf("%w: quantity", ErrWord))
	}
	if t.Quantity > 0 {
		sale.Quantity = t.Quantity
	}

	if t.Priced {
		if amount, ok := money.FromMilli(t.Price, t.Currency); ok {
			sale.Price, sale.Currency = amount.Units, amount.Currency
		}
	}

	switch {
	case t.Revoked():
		// In part or whole, by refund or by leaving the family: Apple takes it back.
		sale.State = purchase.Refunded
	case t.IsUpgraded:
		// The customer moved on within the same line, so this transaction gives nothing.
		// Paid would give until ExpiresDate what was given up; Refunded would be a word
		// about the line, newer perhaps than the one that says the upgrade is paid.
		// So nothing is said, nothing is written, and the app sends the new one.
		return purchase.Sale{}, superseded()
	}
	return sale, nil
}

package apple

import "fmt"

// Sharing is of a purchase with a member of the family.
type Sharing struct {
	TransactionID string `json:"transactionId"`
	Customer      string `json:"customer,omitempty"` // the member's name; "" is somebody new
}

// Share gives a member of the family a transaction of their own, which goes as the owner's.
// It carries the owner's price, which nobody paid for it.
func (s *Simulator) Share(f Sharing) (Bought, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	from, err := s.saleOf(f.TransactionID)
	if err != nil {
		return Bought{}, err
	}
	if from.line != nil {
		from = from.line.lead().last()
	}
	switch {
	case from.Type != AutoRenewable && from.Type != NonConsumable:
		return Bought{}, fmt.Errorf("transactionId %q: a %s cannot be shared", f.TransactionID, from.Type)
	case from.family() || from.revoked() || from.line != nil && from.line.status == expired:
		return Bought{}, fmt.Errorf("transactionId %q is nothing to share", f.TransactionID)
	}
	t := from.transaction
	t.TransactionID = s.newID(t.Environment)
	t.OriginalTransactionID, t.InAppOwnershipType, t.AppAccountToken = t.TransactionID, familyShared, ""
	t.OriginalPurchaseDate = t.PurchaseDate
	who := s.customerOf(f.Customer, t.Environment, t.BundleID)
	made := &sale{transaction: t, customer: who}
	kind, subtype := "ONE_TIME_CHARGE", ""
	if owner := from.line; owner != nil {
		made.WebOrderLineItemID = t.TransactionID + "1"
		made.line = &line{
			original: t.TransactionID, customer: who, owner: owner, status: owner.status, intent: owner.intent, graceEnds: owner.graceEnds,
		}
		s.lines[t.TransactionID] = made.line
		owner.members = append(owner.members, made.line)
		kind, subtype = "SUBSCRIBED", "INITIAL_BUY"
	}
	s.enter(made)
	s.change("shared", made)
	s.tell(made, kind, subtype)
	return s.bought(made), nil
}

// Revoke takes from a member what came by Family Sharing.
func (s *Simulator) Revoke(h Held) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.saleOf(h.TransactionID)
	if err != nil {
		return err
	}
	if t.line != nil && t.family() {
		t = t.line.last()
	}
	if !t.family() || t.revoked() {
		return fmt.Errorf("transactionId %q is no member's, or is revoked already", h.TransactionID)
	}
	s.leaveFamily(t)
	return nil
}

func (s *Simulator) leaveFamily(t *sale) {
	s.revokeSale(t, "FAMILY_REVOKE", 0, 0)
	s.change("familyRevoked", t)
	s.tell(t, "REVOKE", "")
}

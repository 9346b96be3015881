package apple

import "unicode/utf16"

// shape is what the documented members of an object have to be where nobody here reads
// them: whoever reads Transaction.Other may rely on it, and nothing passes that Apple's
// own library refuses. Members that are not named may be anything.
type shape map[string]func(value []byte) error

// check wants every named member that is there to be right.
func (s shape) check(value []byte) error {
	_, err := s.count(value)
	return err
}

// full wants every named member to be there as well.
func (s shape) full(value []byte) error {
	n, err := s.count(value)
	if err == nil && n != len(s) {
		return unreadable(ErrClaims)
	}
	return err
}

// count checks an object and says how many of the named members it has.
func (s shape) count(value []byte) (n int, err error) {
	members, err := inner(value)
	if err != nil {
		return 0, err
	}
	for _, m := range members {
		check := s[m.name]
		if check == nil {
			continue
		}
		n++
		if err := check(m.value); err != nil {
			return 0, err
		}
	}
	return n, nil
}

// of makes a check of a reader.
func of[T any](read func([]byte) (T, error)) func([]byte) error {
	return func(value []byte) error {
		_, err := read(value)
		return err
	}
}

// each checks every element of an array.
func each(check func([]byte) error) func([]byte) error {
	return func(value []byte) error {
		values, err := array(value)
		if err != nil {
			return err
		}
		for _, v := range values {
			if err := check(v); err != nil {
				return err
			}
		}
		return nil
	}
}

// upTo checks a string of at most so many UTF-16 units, as JavaScript and Apple's bounds
// count them.
func upTo(units int) func([]byte) error {
	return func(value []byte) error {
		s, err := text(value)
		if err == nil && len(utf16.Encode([]rune(s))) > units {
			err = unreadable(ErrClaims)
		}
		return err
	}
}

// periods checks a count of billing periods, 1 to 12.
func periods(value []byte) error {
	n, err := number(value)
	if err == nil && (n < 1 || n > 12) {
		err = unreadable(ErrClaims)
	}
	return err
}

// The objects within transactions and renewals (App Store Server Library, with its bounds
// and with what it does without).
var (
	commitmentOfTransaction = shape{
		"billingPeriodNumber": periods, "totalBillingPeriods": of(number), "commitmentExpiresDate": of(date), "commitmentPrice": of(number),
	}
	commerceOfTransaction = shape{
		"descriptors": commerceDescriptors.full, "estimatedTax": of(number), "items": each(commerceItem.check), "period": of(text),
		"requestReferenceId": of(text), "taxCode": of(text), "taxExclusivePrice": of(number), "taxRate": of(text),
	}
	commerceItem = shape{
		"SKU": of(text), "description": of(text), "displayName": of(text), "offer": commerceOffer.full, "price": of(number),
		"refunds": each(commerceRefund.check), "revocationDate": of(date),
	}
	commerceRefund = shape{"refundAmount": of(number), "refundDate": of(date), "refundReason": of(text), "refundType": of(text)}

	// commerceOfRenewal has the bounds alone: AdvancedCommerceRenewal reads the rest.
	commerceOfRenewal   = shape{"descriptors": commerceDescriptors.full, "items": each(shape{"offer": commerceOffer.full}.check)}
	commerceDescriptors = shape{"description": upTo(45), "displayName": upTo(30)}
	commerceOffer       = shape{"period": of(text), "periodCount": periods, "price": of(number), "reason": of(text)}
)

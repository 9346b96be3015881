package customer

import (
	"context"
	"time"

	"grantline/shared/table"
	"grantline/shared/wallet"
)

// Booking is one entry of a wallet's ledger, and what it was made for.
type Booking struct {
	Sequence  int64     // of the event that tells of it; one event may tell of several
	At        time.Time // of that event
	Entry     wallet.Entry
	OrderID   string // of what was bought, given back or credited
	Reference string // the company's, of a spend, its refund or a credit
	Spend     string // the reference of the spend that a refund is of
}

// A page of a ledger ends with the record that fills it, or where so many were read in vain.
const (
	bookingsAPage = 100
	recordsARead  = 100
	mostReads     = 10
)

// Ledger reads a page of a currency's ledger, oldest first: what comes after a number of the
// customer's events. Next is the number to go on from, 0 where there is no more. A customer
// that took in another has what that one's wallet held as one entry; what was before is in
// the other's. Errors: fault.Malformed; fault.Unavailable.
func (d Directory) Ledger(ctx context.Context, scope table.Scope, id, currency string, after int64) (booked []Booking, next int64, err error) {
	if err := validCurrency(currency); err != nil {
		return nil, 0, err
	}
	c, err := d.Named(ctx, scope, id)
	if err != nil || !c.Exists() {
		return nil, 0, err
	}
	for range mostReads {
		if after >= c.Sequence() {
			return booked, 0, nil
		}
		records, err := Log(ctx, d.Tables, scope, c.Ref, after, recordsARead)
		if err != nil {
			return nil, 0, err
		}
		for _, r := range records {
			after = r.Sequence
			for _, m := range r.Changes.Wallet {
				if m.Currency == currency {
					booked = append(booked, bookingOf(r, m.Entry))
				}
			}
			if len(booked) >= bookingsAPage && after < c.Sequence() {
				return booked, after, nil
			}
		}
	}
	return booked, after, nil
}

func bookingOf(r Record, e wallet.Entry) Booking {
	b := Booking{Sequence: r.Sequence, At: r.At, Entry: e}
	switch e.Kind {
	case wallet.Credited, wallet.TakenBack, wallet.GivenBack:
		b.OrderID, b.Reference = r.OrderID, r.Reference
		if len(e.Parts) > 0 {
			b.OrderID = e.Parts[0].Lot.OrderID
		}
	case wallet.Spent:
		b.Reference = r.Reference
	case wallet.Unspent:
		b.Reference, b.Spend = r.Reference, r.OtherReference
	case wallet.Expired, wallet.MovedIn, wallet.MovedOut, wallet.CarriedOver: // of many
	}
	return b
}

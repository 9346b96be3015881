package shop

import (
	"strings"
	"time"

	"grantline/shared/play"
	"grantline/shared/purchase"
)

// once is the adapter's word of a one-time purchase (play.productNews).
func once(t *Token, b bought, asOf time.Time) purchase.News {
	news := purchase.News{Token: &purchase.Token{ID: t.ID, Secret: t.Secret, Kind: kindOf(false)}}
	sale := purchase.Sale{
		Store: play.Name, App: bundle, Line: t.ID, Part: t.product, Order: t.orderID(), SKU: t.product, State: purchase.Paid,
		PurchasedAt: b.at, AsOf: asOf, Quantity: b.quantity, Blind: true, Account: t.Account, Unconsumed: !b.consumed,
	}
	if b.left > 0 && b.left < b.quantity {
		sale.Back = b.quantity - b.left
	}
	switch {
	case b.state == playPending:
		sale.State = purchase.Pending
	case b.state == playVoid && b.at.IsZero():
		sale.State = purchase.Failed
	case b.state == playVoid:
		sale.State = purchase.Refunded
	}
	news.Sales = []purchase.Sale{sale}
	if sale.State != purchase.Paid {
		return news
	}
	news.Token.Unacknowledged = !b.acknowledged
	news.Token.By = deadline(b.at, asOf)
	if at := asOf.Add(askedEvery); at.Before(b.at.Add(askedFor)) {
		news.Again = at
	}
	return news
}

func deadline(paid, asOf time.Time) time.Time {
	if by := paid.Add(acknowledgeWithin); by.After(asOf) {
		return by
	}
	return asOf.Add(acknowledgeWithin)
}

// subscribed is the adapter's word of a subscription (play.subscriptionNews, play.standing).
func subscribed(t *Token, b bought, asOf time.Time) purchase.News {
	news := purchase.News{
		Token: &purchase.Token{ID: t.ID, Secret: t.Secret, Kind: kindOf(true)}, Parts: map[string]purchase.Standing{},
	}
	if o := t.older; o != nil && (!t.outside || b.hasOutside) {
		news.Token.Older = &purchase.Token{ID: o.ID, Secret: o.Secret, Kind: kindOf(true)}
	}
	sale := purchase.Sale{
		Store: play.Name, App: bundle, Line: t.ID, AsOf: asOf, Quantity: 1, Blind: true, Account: t.Account, Part: t.product, SKU: t.SKU,
	}
	if b.hasOutside {
		news.Token.Account = t.older.Account
		if sale.Account == "" {
			sale.Account = t.older.Account
		}
	}
	switch b.state {
	case playPending, playVoid:
		sale.Order, sale.State = t.ID, purchase.Pending
		if b.state == playVoid {
			sale.State = purchase.Failed
		}
		news.Sales = []purchase.Sale{sale}
		return news
	case playHold, playPaused, playExpired:
		sale.Ended = true
	case playPaid, playGrace, playCanceled:
	}
	sale.State = purchase.Paid
	if b.replaced && b.state == playExpired {
		sale.State = purchase.Replaced
	}
	s := purchase.Standing{AsOf: asOf, WillRenew: b.on}
	switch b.state {
	case playGrace:
		s.Retrying, s.GraceUntil = true, b.expiry
	case playHold:
		s.Retrying = true
	case playPaused:
		s.WillRenew, s.ResumesAt = true, b.resumes
	case playPaid:
		if late := asOf.Sub(b.expiry); s.WillRenew && late >= 0 && late < silentGrace {
			s.Retrying, s.GraceUntil = true, b.expiry.Add(silentGrace)
		}
	case playCanceled, playExpired:
		s.WillRenew = false
	case playPending, playVoid:
	}
	if !s.WillRenew && (b.state == playCanceled || b.state == playExpired) {
		switch {
		case b.replaced:
			s.Reason = purchase.ByTheUnsaid
		case b.byCustomer:
			s.Reason = purchase.ByCustomer
		default:
			s.Reason = purchase.ByBilling
		}
	}
	news.Parts[t.product] = s
	sale.Order, sale.Until, sale.Unpaid, sale.WillRenew = b.order, b.expiry, b.state == playGrace, s.WillRenew
	if !strings.Contains(sale.Order, "..") {
		sale.PurchasedAt = b.at
	}
	news.Sales = []purchase.Sale{sale}
	if at := asOf.Add(askedEvery); b.state != playExpired || at.Before(b.expiry.Add(askedAfterEnd)) {
		news.Again = at
	}
	if sale.Ended || sale.State != purchase.Paid {
		return news
	}
	news.Token.Unacknowledged = !b.acknowledged
	news.Token.By = deadline(b.at, asOf)
	return news
}

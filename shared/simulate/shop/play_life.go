package shop

import (
	"strconv"
	"strings"
	"time"

	"grantline/shared/catalog"
	"grantline/shared/notice"
	"grantline/shared/play"
	"grantline/shared/purchase"
)

// How long access stays while the money cannot be taken, and how long it is tried after that.
const (
	playGraceFor = 7 * 24 * time.Hour
	playHoldFor  = 53 * 24 * time.Hour
)

func (p *Play) token(sku, account string, buyer int) *Token {
	secret := p.next("play-token-of-a-customer-")
	product, _, renews := strings.Cut(sku, ":")
	t := &Token{Secret: secret, ID: play.TokenID(secret), SKU: sku, product: product, renews: renews, Account: account, Buyer: buyer}
	p.tokens[secret], p.hashes[t.ID] = t, t
	return t
}

// Buy sells a product once. One that is pending is paid or dropped by Settle.
func (p *Play) Buy(sku, account string, buyer, quantity int, pending bool) *Token {
	t := p.token(sku, account, buyer)
	b := bought{state: playPending, quantity: quantity, left: quantity}
	t.stands.set(p.now(), b)
	if pending {
		p.world.Tell(p.name, "has a pending purchase", t.ID)
		return t
	}
	p.Settle(t, true)
	return t
}

// Settle ends a pending purchase: its money is taken, or it is dropped.
func (p *Play) Settle(t *Token, paid bool) {
	b := t.stands.is
	if b.state != playPending {
		return
	}
	if !paid {
		b.state = playVoid
		t.stands.set(p.now(), b)
		if t.renews {
			p.tell(t, play.SubscriptionPendingCanceled)
		} else {
			p.tell(t, play.OneTimeCanceled)
		}
		return
	}
	b.state, b.at = playPaid, p.now()
	if t.renews {
		p.start(t, b)
		return
	}
	o := &Order{ID: p.next("GPA.3000-"), Line: t.ID, SKU: t.SKU, Account: t.Account, Buyer: t.Buyer, Quantity: b.quantity}
	t.orders = append(t.orders, o)
	t.stands.set(p.now(), b)
	p.sold(o)
	p.tell(t, play.OneTimePurchased)
	p.expect(t)
}

// Subscribe sells a subscription. One that takes the place of another has its token, and one
// that is bought outside the app says so until it is acknowledged.
func (p *Play) Subscribe(sku, account string, buyer int, older *Token, outside, pending bool) *Token {
	t := p.token(sku, account, buyer)
	t.older, t.outside = older, outside
	t.stands.set(p.now(), bought{state: playPending, quantity: 1, hasOutside: outside})
	if pending {
		p.world.Tell(p.name, "has a pending subscription", t.ID)
		return t
	}
	p.Settle(t, true)
	return t
}

// start begins the first period of a token.
func (p *Play) start(t *Token, b bought) {
	goods, _ := p.goods.BySKU(p.name, t.SKU)
	b.on, b.expiry = true, p.now().AddDate(0, months(goods), 0)
	b.order = p.next("GPA.3300-")
	p.period(t, b)
	if o := t.older; o != nil {
		for _, order := range o.orders {
			order.Succeeded = true
		}
		if !t.outside {
			p.replace(o)
		}
	}
	p.tell(t, play.SubscriptionPurchased)
	p.expect(t)
}

// period writes a paid period of a token.
func (p *Play) period(t *Token, b bought) {
	o := &Order{ID: b.order, Line: t.ID, SKU: t.SKU, Account: t.Account, Buyer: t.Buyer, Until: b.expiry}
	if b.acknowledged {
		o.Acknowledged = p.now() // renewals need none
	}
	t.orders = append(t.orders, o)
	b.state = playPaid
	t.stands.set(p.now(), b)
	p.sold(o)
	p.plan(t, b.expiry, p.due)
}

// replace ends a token whose place another took.
func (p *Play) replace(t *Token) {
	b := t.stands.is
	if b.state == playExpired || b.state == playVoid {
		return
	}
	b.state, b.on, b.replaced, b.expiry = playExpired, false, true, earlier(b.expiry, p.now())
	t.turn++
	t.stands.set(p.now(), b)
	for _, o := range t.orders {
		o.Replaced = true
	}
	p.tell(t, play.SubscriptionExpired)
}

func earlier(x, y time.Time) time.Time {
	if y.Before(x) {
		return y
	}
	return x
}

func (p *Play) plan(t *Token, at time.Time, do func(*Token)) {
	t.turn++
	turn := t.turn
	p.world.At(at, func() {
		if t.turn == turn {
			do(t)
		}
	})
}

// expect gives the money back of what nobody acknowledged in time.
func (p *Play) expect(t *Token) {
	t.by = p.now().Add(acknowledgeWithin)
	p.world.At(t.by, func() {
		b := t.stands.is
		if b.acknowledged || b.state == playVoid || len(t.orders) == 0 {
			return
		}
		for _, o := range t.orders {
			if o.Paid() {
				o.Unclaimed = true
				p.Refund(o, true)
			}
		}
	})
}

// Running says whether a subscription goes on, or would if the money could be taken.
func (t *Token) Running() bool {
	s := t.stands.is.state
	return t.renews && (s == playPaid || s == playGrace || s == playHold || s == playCanceled || s == playPaused)
}

// WillRenew says whether its money is to be taken again.
func (t *Token) WillRenew() bool { return t.Running() && t.stands.is.on }

// Pending says whether it is still to be paid.
func (t *Token) Pending() bool { return t.stands.is.state == playPending }

// Acknowledged says whether Google was told of it.
func (t *Token) Acknowledged() bool { return t.stands.is.acknowledged }

// Changed is when it last did.
func (t *Token) Changed() time.Time { return t.stands.since }

// Ends is the end of what is paid, or of its grace.
func (t *Token) Ends() time.Time { return t.stands.is.expiry }

// Made is when it was bought, or was to be.
func (t *Token) Made() time.Time { return t.stands.made }

// Orders are those of the token.
func (t *Token) Orders() []*Order { return t.orders }

// Older is the token whose place it took, nil without one.
func (t *Token) Older() *Token { return t.older }

// Token is that of an order.
func (p *Play) Token(o *Order) *Token { return p.hashes[o.Line] }

// Access is until when a token gives access; ok is false where it gives none.
func (t *Token) Access(now time.Time) (until time.Time, ok bool) {
	b := t.stands.is
	if !t.renews {
		return time.Time{}, b.state == playPaid && len(t.orders) > 0 && t.orders[0].Paid()
	}
	if len(t.orders) == 0 || b.state == playPending || b.state == playHold || b.state == playPaused || b.state == playExpired || b.state == playVoid {
		return b.expiry, false
	}
	if !t.orders[len(t.orders)-1].Paid() {
		return b.expiry, false
	}
	return b.expiry, b.expiry.After(now)
}

// due is the end of a period.
func (p *Play) due(t *Token) {
	b := t.stands.is
	switch {
	case !b.on:
		p.end(t, play.SubscriptionExpired)
	case b.pause > 0:
		b.state, b.resumes, b.pause = playPaused, p.now().Add(b.pause), 0
		t.stands.set(p.now(), b)
		p.tell(t, play.SubscriptionPaused)
		p.plan(t, b.resumes, func(t *Token) { p.renew(t, p.now(), play.SubscriptionRenewed) })
	case t.poor || p.dice(p.habits.Poor):
		t.poor = true
		b.state, b.expiry = playGrace, b.expiry.Add(playGraceFor)
		t.stands.set(p.now(), b)
		p.tell(t, play.SubscriptionInGracePeriod)
		p.plan(t, p.now().Add(p.within(playGraceFor)), p.graceTurn)
	default:
		p.renew(t, b.expiry, play.SubscriptionRenewed)
	}
}

func (p *Play) renew(t *Token, from time.Time, kind int) {
	b := t.stands.is
	goods, _ := p.goods.BySKU(p.name, t.SKU)
	t.poor = false
	base, n, _ := strings.Cut(b.order, "..")
	turn := 0
	if n != "" {
		turn = number(n) + 1
	}
	b.order = base + ".." + strconv.Itoa(turn)
	b.expiry, b.resumes = from.AddDate(0, months(goods), 0), time.Time{}
	p.period(t, b)
	p.tell(t, kind)
}

func (p *Play) graceTurn(t *Token) {
	b := t.stands.is
	if b.on && p.world.Dice.IntN(2) == 0 {
		p.renew(t, b.expiry.Add(-playGraceFor), play.SubscriptionRenewed)
		return
	}
	p.plan(t, b.expiry, func(t *Token) {
		b := t.stands.is
		if !b.on {
			p.end(t, play.SubscriptionExpired)
			return
		}
		b.state = playHold
		t.stands.set(p.now(), b)
		p.tell(t, play.SubscriptionOnHold)
		p.plan(t, p.now().Add(p.within(playHoldFor)), p.holdTurn)
	})
}

func (p *Play) holdTurn(t *Token) {
	b := t.stands.is
	if b.on && p.world.Dice.IntN(2) == 0 {
		p.renew(t, p.now(), play.SubscriptionRecovered)
		return
	}
	p.plan(t, later(p.now(), b.expiry.Add(playHoldFor)), func(t *Token) {
		p.tell(t, play.SubscriptionCanceled)
		p.end(t, play.SubscriptionExpired)
	})
}

// end is the end of a subscription at once.
func (p *Play) end(t *Token, kind int) {
	b := t.stands.is
	b.state, b.on, b.expiry = playExpired, false, earlier(b.expiry, p.now())
	b.pause, b.resumes = 0, time.Time{}
	t.turn++
	t.stands.set(p.now(), b)
	p.world.Tell(p.name, "ends a subscription", b.order)
	p.tell(t, kind)
}

// Cancel has the customer turn renewal off, and Resume on again before its end.
func (p *Play) Cancel(t *Token) {
	b := t.stands.is
	if !t.renews || !b.on || b.state != playPaid && b.state != playGrace && b.state != playHold && b.state != playPaused {
		return
	}
	b.on, b.byCustomer, b.pause = false, true, 0
	if b.state == playPaid {
		b.state = playCanceled
	}
	hold := b.state == playHold || b.state == playPaused
	t.stands.set(p.now(), b)
	p.tell(t, play.SubscriptionCanceled)
	if hold {
		p.end(t, play.SubscriptionExpired)
	}
}

// Pause has the customer leave out some time after the period that is paid.
func (p *Play) Pause(t *Token, d time.Duration) {
	b := t.stands.is
	if !t.renews || !b.on || b.state != playPaid {
		return
	}
	b.pause = d
	t.stands.set(p.now(), b)
	p.tell(t, play.SubscriptionPauseScheduleChanged)
}

// Resume has the customer take a cancellation back before its end, or a pause.
func (p *Play) Resume(t *Token) {
	if t.stands.is.state == playPaused {
		p.renew(t, p.now(), play.SubscriptionRecovered)
		return
	}
	if b := t.stands.is; b.state == playCanceled && b.expiry.After(p.now()) {
		b.state, b.on, b.byCustomer = playPaid, true, false
		t.stands.set(p.now(), b)
		p.tell(t, play.SubscriptionRestarted)
	}
}

// Refund gives all that is left of an order back, and with revoke takes what it gave. Without,
// nobody is told.
func (p *Play) Refund(o *Order, revoke bool) {
	t := p.Token(o)
	if !o.Paid() {
		return
	}
	o.Quiet = !revoke
	b := t.stands.is
	last := !t.renews || b.order == o.ID
	if revoke && !t.renews {
		b.state, b.left = playVoid, 0
		t.stands.set(p.now(), b)
	}
	p.returned(o, wholly, 0)
	if !revoke {
		return
	}
	if t.renews && last && b.state != playExpired {
		p.end(t, play.SubscriptionRevoked)
	}
	p.void(t, o, false)
}

// RefundSome gives units of a quantity back.
func (p *Play) RefundSome(o *Order, units int) {
	t := p.Token(o)
	b := t.stands.is
	if !o.Paid() || b.left <= units || t.renews {
		return
	}
	b.left -= units
	t.stands.set(p.now(), b)
	p.returned(o, 0, o.Quantity-b.left)
	p.void(t, o, true)
}

func (p *Play) void(t *Token, o *Order, partly bool) {
	p.voids = append(p.voids, void{t, o.ID, p.now(), p.now().Add(p.within(time.Hour)), partly})
	n := play.Notification{Kind: play.KindVoided, Token: t.Secret, Order: o.ID, ProductType: play.ProductOneTime, RefundType: play.RefundFull}
	if t.renews {
		n.ProductType = play.ProductSubscription
	}
	if partly {
		n.RefundType = play.RefundPartial
	}
	p.push(n)
}

// tell sends a notification, which carries no state.
func (p *Play) tell(t *Token, number int) {
	n := play.Notification{Kind: play.KindOneTime, Type: number, Token: t.Secret, SKU: t.product}
	if t.renews {
		n.Kind, n.SKU = play.KindSubscription, ""
	}
	p.push(n)
}

func (p *Play) push(n play.Notification) {
	n.Package, n.At = bundle, signed(p.now())
	h := p.hint(n)
	h.ID = p.next("message-")
	p.post(h)
}

// hint is where a notification points to (play.Notification.hint).
func (p *Play) hint(n play.Notification) notice.Hint {
	h := notice.Hint{Signed: true, Type: n.Name(), Evidence: n.Evidence(), Line: p.tokens[n.Token].ID}
	if n.Order != "" {
		h.Order = purchase.OrderID(p.name, n.Order)
	}
	return h
}

// Kind is what a token's product is.
func (p *Play) Kind(t *Token) catalog.Kind {
	g, _ := p.goods.BySKU(p.name, t.SKU)
	return g.Kind
}

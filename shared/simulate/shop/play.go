package shop

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"grantline/shared/catalog"
	"grantline/shared/fault"
	"grantline/shared/notice"
	"grantline/shared/play"
	"grantline/shared/purchase"
	"grantline/shared/simulate"
)

// Play is Google Play. What it says is as old as the question, by the clock of who asks.
type Play struct {
	counter
	tokens map[string]*Token // by the token itself
	hashes map[string]*Token // by its id
	voids  []void
}

// NewPlay opens a Google Play.
func NewPlay(w *simulate.World, goods *catalog.Catalog, h Habits) *Play {
	return &Play{counter: newCounter(w, play.Name, goods, h), tokens: map[string]*Token{}, hashes: map[string]*Token{}}
}

// void is a line of voidedpurchases.list.
type void struct {
	token        *Token
	order        string
	at, recorded time.Time
	partly       bool
}

// Token is a purchase, by its purchase token.
type Token struct {
	Secret, ID string
	SKU        string // in our catalog's name
	Account    string
	Buyer      int
	product    string // without the base plan
	renews     bool   // it is a subscription
	stands     known[bought]
	orders     []*Order
	older      *Token
	outside    bool // it was bought again outside the app
	by         time.Time
	turn       int
	poor       bool
}

// bought is how a purchase stands (ProductPurchaseV2, SubscriptionPurchaseV2).
type bought struct {
	state        playState
	at           time.Time // purchaseCompletionTime, startTime
	acknowledged bool
	consumed     bool
	left         int // refundableQuantity
	quantity     int
	expiry       time.Time
	order        string // latestSuccessfulOrderId
	on           bool   // autoRenewEnabled
	replaced     bool
	byCustomer   bool
	hasOutside   bool // outOfAppPurchaseContext
	pause        time.Duration
	resumes      time.Time // autoResumeTime
}

type playState uint8

const (
	playPending playState = iota
	playPaid              // PURCHASED, ACTIVE
	playGrace
	playHold
	playCanceled // of a subscription: it ends
	playExpired
	playVoid // of a product: CANCELLED; of a subscription: PENDING_PURCHASE_CANCELED
	playPaused
)

// How long Google waits for an acknowledgement, and how often it is asked again (play.again).
const (
	acknowledgeWithin = 72 * time.Hour
	askedEvery        = 13 * 24 * time.Hour
	askedFor          = 90 * 24 * time.Hour
	askedAfterEnd     = 60 * 24 * time.Hour
	silentGrace       = 24 * time.Hour
	seenWithin        = time.Hour
	goneAfter         = 60 * 24 * time.Hour
)

func kindOf(renews bool) string {
	if renews {
		return "subscription@" + bundle
	}
	return "product@" + bundle
}

var errPlayInvalid = fault.New(fault.Invalid, "refused_by_store", "Google Play refused what was asked.")

// get is purchases.productsv2.get or purchases.subscriptionsv2.get.
func (p *Play) get(renews bool, secret string) (news purchase.News, b bought, gone bool, err error) {
	asOf := p.world.Clock().Now()
	t := p.tokens[secret]
	about := ""
	if t != nil {
		about = t.ID
	}
	as, err := p.ask("purchase", about)
	if err != nil {
		return purchase.News{}, b, false, err
	}
	seen := t != nil
	if seen {
		b, seen = t.stands.as(as)
	}
	p.world.Crossed()
	switch {
	case t != nil && t.renews != renews:
		return purchase.News{}, b, false, errPlayInvalid
	case !seen:
		return purchase.News{}, b, false, unknown(p.name)
	case renews && (b.state == playExpired || b.state == playVoid) && !b.expiry.IsZero() && p.now().After(b.expiry.Add(goneAfter)):
		return purchase.News{}, b, true, unknown(p.name)
	case renews:
		return subscribed(t, b, asOf), b, false, nil
	}
	return once(t, b, asOf), b, false, nil
}

func (t *Token) orderID() string {
	if len(t.orders) == 0 {
		return t.ID
	}
	return t.orders[0].ID
}

// LineOf is the hash of the token.
func (p *Play) LineOf(proof purchase.Proof) string {
	if t := p.tokens[proof.Evidence]; t != nil {
		return t.ID
	}
	return play.TokenID(proof.Evidence)
}

// Look finds out what a purchase token stands for.
func (p *Play) Look(_ context.Context, proof purchase.Proof) (purchase.News, error) {
	_, listed := p.goods.BySKU(p.name, proof.SKU)
	renews := proof.SKU != "" && (!listed || strings.Contains(proof.SKU, ":"))
	refused := error(fault.New(fault.Invalid, "invalid_purchase", "Google Play does not know this purchase."))
	for _, at := range [...]bool{renews, !renews} {
		news, _, _, err := p.get(at, proof.Evidence)
		switch {
		case err == nil:
			_ = p.enrich(&news, nil)
			return news, nil
		case errors.Is(err, fault.NotFound):
			refused = err
		case !errors.Is(err, fault.Invalid):
			return purchase.News{}, err
		}
	}
	return purchase.News{}, refused
}

// enrich adds what orders say, by orders.batchget.
func (p *Play) enrich(news *purchase.News, sold []purchase.Sold) error {
	var ids []string
	for _, s := range news.Sales {
		if s.Order != news.Token.ID {
			ids = append(ids, s.Order)
		}
	}
	for _, s := range sold {
		if s.Order != news.Token.ID {
			ids = append(ids, s.Order)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	asOf := p.world.Clock().Now()
	as, err := p.ask("orders", ids[0])
	if err != nil {
		return err
	}
	orders := map[string]*Order{}
	for _, id := range ids {
		if o := p.byID[id]; o != nil && !o.SoldAt.After(as) {
			orders[id] = o
		}
	}
	p.world.Crossed()
	p.apply(news, orders, sold, asOf, as)
	return nil
}

// apply is what the adapter makes of orders (play.apply, play.told, play.orderSales).
func (p *Play) apply(news *purchase.News, orders map[string]*Order, sold []purchase.Sold, asOf, as time.Time) {
	back := func(o *Order) bool { return o.Returned == wholly && !o.ReturnedAt.After(as) }
	for i := range news.Sales {
		s := &news.Sales[i]
		o := orders[s.Order]
		if o == nil {
			continue
		}
		if s.PurchasedAt.IsZero() {
			s.PurchasedAt = o.SoldAt
		}
		s.Price, s.Currency = o.Price, o.Currency
		if back(o) && (s.State == purchase.Paid || s.State == purchase.Replaced) {
			s.State, s.Back = purchase.Refunded, 0
		}
	}
	for _, s := range sold {
		o := orders[s.Order]
		if o == nil || !back(o) {
			continue
		}
		product, _, _ := strings.Cut(o.SKU, ":")
		known := func(other purchase.Sale) bool { return other.Order == o.ID && other.Part == product }
		if s.Part != "" && s.Part != product || slices.ContainsFunc(news.Sales, known) {
			continue
		}
		news.Sales = append(news.Sales, purchase.Sale{
			Store: p.name, App: bundle, Line: news.Token.ID, Part: product, Order: o.ID, SKU: o.SKU, State: purchase.Refunded, AsOf: asOf,
			Quantity: o.Quantity, Blind: true, Until: o.Until, PurchasedAt: o.SoldAt, Price: o.Price, Currency: o.Currency,
		})
	}
}

// Hear looks at what a notification is about.
func (p *Play) Hear(_ context.Context, evidence string) (purchase.News, error) {
	n, err := play.ParseNotification([]byte(evidence))
	if err != nil {
		return purchase.News{}, err
	}
	switch n.Kind {
	case play.KindSubscription:
		return p.heard(true, n)
	case play.KindOneTime:
		return p.heard(false, n)
	case play.KindVoided:
		return p.voided(n)
	case play.KindReview, play.KindTest:
	}
	return purchase.News{}, nil
}

func notVisible() error {
	return fault.New(fault.Unavailable, "not_visible_yet", "What Google Play told of is not to be seen yet.")
}

func (p *Play) heard(renews bool, n play.Notification) (purchase.News, error) {
	news, _, gone, err := p.get(renews, n.Token)
	if errors.Is(err, fault.NotFound) {
		if age := p.world.Clock().Now().Sub(n.At); !gone && age.Abs() < seenWithin {
			return purchase.News{}, notVisible()
		}
		return purchase.News{}, nil
	}
	if err != nil {
		return purchase.News{}, err
	}
	_ = p.enrich(&news, nil)
	return news, nil
}

func (p *Play) voided(n play.Notification) (purchase.News, error) {
	renews, said := n.ProductType == play.ProductSubscription, n.ProductType != 0
	if !said && n.Order != "" {
		if _, err := p.ask("orders", n.Order); err != nil {
			return purchase.News{}, err
		}
		if o := p.byID[n.Order]; o != nil {
			renews = o.Product.Kind == catalog.Subscription
		}
		p.world.Crossed()
	}
	news, _, _, err := p.get(renews, n.Token)
	if errors.Is(err, fault.Invalid) && !said {
		renews = !renews
		news, _, _, err = p.get(renews, n.Token)
	}
	switch {
	case errors.Is(err, fault.NotFound):
		t := p.tokens[n.Token]
		news = purchase.News{Token: &purchase.Token{ID: t.ID, Secret: n.Token, Kind: kindOf(renews)}}
	case err != nil:
		return purchase.News{}, err
	}
	for i := range news.Sales {
		if s := &news.Sales[i]; s.State == purchase.Failed {
			s.State = purchase.Refunded
		}
	}
	var sold []purchase.Sold
	if n.Order != "" {
		sold = []purchase.Sold{{Order: n.Order}}
	}
	if err := p.enrich(&news, sold); err != nil {
		return purchase.News{}, err
	}
	back := func(s purchase.Sale) bool {
		part := s.Back > 0 && n.RefundType != play.RefundFull
		return (s.Order == n.Order || n.Order == "") && (s.State == purchase.Refunded || part)
	}
	at := slices.IndexFunc(news.Sales, back)
	if at < 0 {
		return purchase.News{}, notVisible()
	}
	if at > 0 {
		s := news.Sales[at]
		news.Sales = slices.Insert(slices.Delete(news.Sales, at, at+1), 0, s)
	}
	return news, nil
}

// Follow asks how a token stands, and what was given back of what was sold with it.
func (p *Play) Follow(_ context.Context, l purchase.Line) (purchase.News, bool, error) {
	news, _, _, err := p.get(strings.HasPrefix(l.Token.Kind, "subscription@"), l.Token.Secret)
	if errors.Is(err, fault.Invalid) {
		err = unknown(p.name)
	}
	if err == nil && len(l.Sold) > 0 {
		return news, true, p.enrich(&news, l.Sold)
	}
	if err == nil && slices.ContainsFunc(news.Sales, func(s purchase.Sale) bool { return s.State == purchase.Paid }) {
		_ = p.enrich(&news, nil)
	}
	return news, true, err
}

// Acknowledge hears that a purchase was delivered, or used up.
func (p *Play) Acknowledge(_ context.Context, d purchase.Delivery) error {
	verb := "acknowledge"
	if d.Consume {
		verb = "consume"
	}
	return p.effect(verb, d.Token.ID, func() error { return p.acknowledge(d) })
}

func (p *Play) acknowledge(d purchase.Delivery) error {
	t := p.tokens[d.Token.Secret]
	if t == nil {
		return errPlayInvalid
	}
	b := t.stands.is
	switch {
	case b.state == playPending, b.state == playVoid, b.state == playExpired, b.consumed, d.Consume && t.renews:
		return errPlayInvalid // invalidPurchaseState, productNotOwnedByUser, subscriptionExpired
	case b.acknowledged && !d.Consume:
		return nil
	}
	if b.acknowledged, b.hasOutside = true, false; t.outside && d.Account != "" {
		t.Account = d.Account
	}
	b.consumed = b.consumed || d.Consume
	t.stands.set(p.now(), b)
	for _, o := range t.orders {
		if o.Acknowledged.IsZero() {
			o.Acknowledged = p.now()
			p.world.Tell(p.name, verbOf(d), o.ID)
			p.Watch.tell(p.Watch.Acknowledged, o)
		}
	}
	return nil
}

func verbOf(d purchase.Delivery) string {
	if d.Consume {
		return "hears that it is used up"
	}
	return "hears that it is delivered"
}

// Report hears what became of a sale.
func (p *Play) Report(_ context.Context, s purchase.Sale, _ purchase.Usage) error {
	return p.effect("review", s.Order, func() error {
		if o := p.byID[s.Order]; o != nil {
			p.Watch.tell(p.Watch.Reported, o)
		}
		return nil
	})
}

// playHistory is Google's list of what was voided.
type playHistory struct{ *Play }

// History is Google's list of what was voided.
func (p *Play) History() notice.History { return playHistory{p} }

// Name is "voided" and the app's package name.
func (h playHistory) Name() string { return "voided#" + bundle }

// Keeps is 30 days.
func (h playHistory) Keeps() time.Duration { return 30 * 24 * time.Hour }

// Missed gives what was voided, in one page, as a thousand rows are.
func (h playHistory) Missed(_ context.Context, from, to time.Time, _ string) ([]notice.Hint, string, error) {
	if _, err := h.ask("voided", ""); err != nil {
		return nil, "", err
	}
	var hints []notice.Hint
	for _, v := range h.voids {
		if v.recorded.Before(from) || !v.recorded.Before(to) || v.recorded.After(h.now()) {
			continue
		}
		n := play.Notification{Package: bundle, At: v.at.Truncate(time.Millisecond), Kind: play.KindVoided, Token: v.token.Secret, Order: v.order, RefundType: play.RefundFull}
		if v.partly {
			n.RefundType = play.RefundPartial
		}
		of := play.TokenID(v.token.Secret + " " + v.order)
		hint := h.hint(n)
		hint.Provider, hint.ID = "", "voided-"+of[:40]+"-"+numbered(int(v.at.UnixMilli()))
		hints = append(hints, hint)
	}
	h.world.Crossed()
	return hints, "", nil
}

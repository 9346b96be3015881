package play

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"grantline/infra/sim/stage"
)

// purchase is what one purchase token stands for.
type purchase struct {
	token            string
	app              string
	region           string
	account, profile string // obfuscated, as the app gave them
	price            money  // what the first product costs; of the currency of all
	base             string // order ids are this, or begin with it; "" where there is none
	picks            []pick

	test, promo, rewarded bool

	acknowledged bool
	busy         bool      // an acknowledgement or consumption is under way
	asked        time.Time // when the customer bought
	completed    time.Time // when the money came; zero while pending
	over         time.Time // when it was ended for good; zero is not yet
	gone         bool      // by control: the token is no longer valid

	goods        *goods        // one of these
	subscription *subscription //
}

// A new subscription or product is taken back unless it is acknowledged for so long
// (Process purchases; for license testers Test your integration).
const deadline = 72 * time.Hour

// kept is how long after its end a token can be asked about.
const kept = 60 * 24 * time.Hour

// Purchase is something bought in the app. Only ProductID is a must, and Kind for what is
// not in the catalogue.
type Purchase struct {
	ProductID string `json:"productId"`          // gems_100*3,ad_free or premium:monthly,extra:monthly
	Quantity  int    `json:"quantity,omitempty"` // of a single product, instead of *3
	Account   string `json:"account,omitempty"`  // obfuscatedExternalAccountId
	Profile   string `json:"profile,omitempty"`  // obfuscatedExternalProfileId
	// Pending has the customer pay later: see complete and cancel.
	Pending     bool   `json:"pending,omitempty"`
	Test        bool   `json:"test,omitempty"`     // by a license tester
	Promo       bool   `json:"promo,omitempty"`    // by a promotion code, without an order id
	Rewarded    bool   `json:"rewarded,omitempty"` // for watching something
	PackageName string `json:"packageName,omitempty"`
	Region      string `json:"region,omitempty"`
	Offer       string `json:"offer,omitempty"` // an offerId
	Trial       string `json:"trial,omitempty"` // a free first period, such as P7D
	// Renews has a subscription renew of itself; nil is true. One that does not is cancelled by
	// the customer at once.
	Renews    *bool `json:"renews,omitempty"`
	GraceDays *int  `json:"graceDays,omitempty"` // nil is 7; 0 is the silent day
	HoldDays  *int  `json:"holdDays,omitempty"`  // nil makes 60 with grace

	Kind      string `json:"kind,omitempty"`      // subscription or oneTime, of what is not in the catalogue
	Period    string `json:"period,omitempty"`    // of the same
	Price     int64  `json:"price,omitempty"`     // of the same, in the smallest unit
	Currency  string `json:"currency,omitempty"`  // of the same
	Prepaid   bool   `json:"prepaid,omitempty"`   // of the same
	Committed int    `json:"committed,omitempty"` // of the same: payments of an installment plan
}

// Bought is what the app gets, in the words of the Play Billing Library.
type Bought struct {
	PurchaseToken string   `json:"purchaseToken"`
	OrderID       string   `json:"orderId,omitempty"`
	PackageName   string   `json:"packageName"`
	Products      []string `json:"products"`
	ProductID     string   `json:"productId"` // the first of them
	BasePlanID    string   `json:"basePlanId,omitempty"`
	PurchaseTime  int64    `json:"purchaseTime"`  // in milliseconds
	PurchaseState int      `json:"purchaseState"` // 0 bought, 4 pending, as in OriginalJSON
	Quantity      int      `json:"quantity"`
	Acknowledged  bool     `json:"acknowledged"`
	OriginalJSON  string   `json:"originalJson"`
	AccountID     string   `json:"obfuscatedAccountId,omitempty"`
	ProfileID     string   `json:"obfuscatedProfileId,omitempty"`
}

// mostID is how long an obfuscated id may be (setObfuscatedAccountId).
const mostID = 64

// Play blocks a purchase whose obfuscated id is a name in clear text.
var clearText = regexp.MustCompile(`@`)

func (p *Purchase) check() error {
	for name, id := range map[string]string{"account": p.Account, "profile": p.Profile} {
		if len(id) > mostID || clearText.MatchString(id) {
			return fmt.Errorf("%s: %d characters at most and no e-mail address, else Google blocks the purchase", name, mostID)
		}
	}
	switch {
	case p.Quantity < 0 || p.Quantity > mostQuantity:
		return fmt.Errorf("quantity: from 1 to %d", mostQuantity)
	case p.Quantity > 1 && strings.ContainsAny(p.ProductID, "*,"):
		return errors.New("quantity: of a single product; else write gems_100*3,ad_free")
	case p.GraceDays != nil && (*p.GraceDays < 0 || *p.GraceDays > 30):
		return errors.New("graceDays: from 0 to 30")
	case p.HoldDays != nil && (*p.HoldDays < 0 || *p.HoldDays > 60):
		return errors.New("holdDays: from 0 to 60")
	case p.Committed < 0 || p.Committed > 24:
		return errors.New("committed: from 0 to 24")
	}
	if p.Trial != "" {
		_, err := parsePeriod(p.Trial)
		return err
	}
	return nil
}

// Buy sells products and answers what the app gets.
func (s *Simulator) Buy(b Purchase) (Bought, error) {
	if err := b.check(); err != nil {
		return Bought{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var other *plan
	if b.Kind != "" {
		var err error
		if other, err = made(b.Kind, b.Period, "", b.Price, b.Currency); err != nil {
			return Bought{}, err
		}
		other.prepaid, other.committed = b.Prepaid, b.Committed
	}
	text := b.ProductID
	if b.Quantity > 1 {
		text = fmt.Sprintf("%s*%d", text, b.Quantity)
	}
	picks, err := s.basket(text, other)
	if err != nil {
		return Bought{}, err
	}
	if b.Promo && picks[0].product.subscription {
		return Bought{}, errors.New("promo: of a one-time product; a subscription has an order all the same")
	}
	p := s.newPurchase(picks)
	p.app, p.region, p.account, p.profile = or(b.PackageName, Package), or(b.Region, "KR"), b.Account, b.Profile
	p.test, p.promo, p.rewarded = b.Test, b.Promo, b.Rewarded
	if b.Promo {
		p.base = ""
	}
	s.apps[p.app] = true
	if picks[0].product.subscription {
		p.subscription = s.newSubscription(p, b)
	} else {
		p.goods = newGoods(picks)
	}
	s.enter(p, b.Pending)
	return p.bought(), nil
}

// newPurchase makes a token. The caller holds mu.
func (s *Simulator) newPurchase(picks []pick) *purchase {
	p := &purchase{
		token: s.stage.Text(24, "abcdefghijklmnop") + ".AO-J1O" + s.stage.Text(120, stage.Alphanumeric+"-_"),
		base:  s.newOrderID(), picks: picks, price: picks[0].plan.price, asked: s.stage.Now(), region: "KR", app: Package,
	}
	s.sold[p.token] = p
	return p
}

func (s *Simulator) newOrderID() string {
	return "GPA." + s.stage.Text(4, stage.Digits) + "-" + s.stage.Text(4, stage.Digits) + "-" + s.stage.Text(4, stage.Digits) + "-" + s.stage.Text(5, stage.Digits)
}

// tokenPattern is the shape of a token, as everybody has seen it and nobody documented it.
var tokenPattern = regexp.MustCompile(`^[a-z]{24}\.AO-J1O[A-Za-z0-9_-]{20,1000}$`)

// enter begins a purchase: it is paid at once, or waits for the money.
func (s *Simulator) enter(p *purchase, pending bool) {
	if pending {
		if p.subscription != nil {
			p.subscription.state = pendingPayment
		}
		s.openOrders(p)
		s.record("pending", p, p.base)
		return
	}
	s.complete(p)
}

// complete takes the money of a purchase.
func (s *Simulator) complete(p *purchase) {
	p.completed = s.stage.Now()
	s.expectAcknowledgement(p)
	if p.subscription != nil {
		s.start(p)
		return
	}
	if p.base != "" {
		s.paid(s.oneTimeOrder(p))
	}
	s.recordMoney("purchased", p, p.base, p.total())
	s.tellOneTime(p, oneTimePurchased)
}

// expectAcknowledgement has Google take a purchase back that nobody acknowledges.
func (s *Simulator) expectAcknowledgement(p *purchase) {
	if p.acknowledged {
		return
	}
	s.stage.Later(p.completed.Add(p.deadline()), func(context.Context) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if !p.acknowledged && !p.dead() {
			s.takeBack(p)
		}
	})
}

// deadline is how long a purchase may go without being acknowledged.
func (p *purchase) deadline() time.Duration {
	first := p.picks[0].plan
	if p.test {
		return testDeadline
	}
	if first.prepaid {
		if whole := first.period.after(p.completed).Sub(p.completed); whole < 7*24*time.Hour {
			return whole / 2
		}
	}
	return deadline
}

// dead says that there is nothing left to take back.
func (p *purchase) dead() bool { return !p.over.IsZero() }

// name is an order id that stands for the purchase, or its first product.
func (p *purchase) name() string { return cmp.Or(p.base, p.picks[0].product.id) }

// bought is what the app has of a purchase.
func (p *purchase) bought() Bought {
	b := Bought{
		PurchaseToken: p.token, OrderID: p.base, PackageName: p.app, PurchaseTime: p.asked.UnixMilli(), Quantity: p.picks[0].quantity,
		Acknowledged: p.acknowledged, AccountID: p.account, ProfileID: p.profile, ProductID: p.picks[0].product.id,
	}
	for _, k := range p.picks {
		b.Products = append(b.Products, k.product.id)
	}
	if p.completed.IsZero() {
		b.PurchaseState = 4
	}
	device := map[string]any{
		"packageName": b.PackageName, "productId": b.ProductID, "purchaseTime": b.PurchaseTime, "purchaseState": b.PurchaseState,
		"purchaseToken": b.PurchaseToken, "quantity": b.Quantity, "acknowledged": b.Acknowledged,
	}
	for name, text := range map[string]string{"orderId": b.OrderID, "obfuscatedAccountId": b.AccountID, "obfuscatedProfileId": b.ProfileID} {
		if text != "" {
			device[name] = text
		}
	}
	if p.subscription != nil {
		b.BasePlanID = p.picks[0].plan.id
		device["autoRenewing"] = p.subscription.renews()
	}
	b.OriginalJSON = string(stage.JSON(0, device).Body)
	return b
}

// Held names a purchase by its token, or by any of its orders.
type Held struct {
	PurchaseToken string `json:"purchaseToken"`
}

// Held answers what the app has of a purchase now.
func (s *Simulator) Held(h Held) (Bought, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.purchaseOf(h.PurchaseToken)
	if err != nil {
		return Bought{}, err
	}
	return p.bought(), nil
}

// purchaseOf finds a purchase for a control.
func (s *Simulator) purchaseOf(name string) (*purchase, error) {
	if p := s.sold[name]; p != nil {
		return p, nil
	}
	if o := s.orders[name]; o != nil {
		return o.purchase, nil
	}
	return nil, fmt.Errorf("purchaseToken %q: no such token or order", name)
}

// Complete has the money of a pending purchase come.
func (s *Simulator) Complete(h Held) (Bought, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.pending(h)
	if err != nil {
		return Bought{}, err
	}
	s.complete(p)
	return p.bought(), nil
}

// Abandon has a pending purchase come to nothing.
func (s *Simulator) Abandon(h Held) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.pending(h)
	if err != nil {
		return err
	}
	p.over = s.stage.Now()
	for _, o := range s.ordersOf(p) {
		o.cancel(p.over)
	}
	s.record("pendingCancelled", p, p.base)
	if p.subscription != nil {
		p.subscription.state = pendingCanceled
		s.tellSubscription(p, typePendingCanceled)
		return nil
	}
	p.goods.state = stateCancelled
	s.tellOneTime(p, oneTimeCanceled)
	return nil
}

func (s *Simulator) pending(h Held) (*purchase, error) {
	p, err := s.purchaseOf(h.PurchaseToken)
	if err != nil {
		return nil, err
	}
	if !p.completed.IsZero() || p.dead() {
		return nil, errors.New("purchaseToken: of no purchase that is pending")
	}
	return p, nil
}

// Lapse has Google know nothing of a token any more: 410.
func (s *Simulator) Lapse(h Held) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.purchaseOf(h.PurchaseToken)
	if err != nil {
		return err
	}
	p.gone = true
	return nil
}

// record notes an effect of a purchase.
func (s *Simulator) record(kind string, p *purchase, order string) {
	s.recordMoney(kind, p, order, money{})
}

func (s *Simulator) recordMoney(kind string, p *purchase, order string, m money) {
	e := stage.Effect{Kind: kind, OrderID: order, TransactionID: p.token, SKU: p.sku(), Amount: m.amount, Currency: m.currency}
	if p.subscription != nil {
		e.SubscriptionID = p.base
	}
	if p.test {
		e.Environment = "test"
	}
	s.stage.Record(e)
}

// sku is the first product as our catalogue would name it.
func (p *purchase) sku() string {
	first := p.picks[0]
	if p.subscription == nil {
		return first.product.id
	}
	return first.product.id + ":" + first.plan.id
}

// total is the price of the whole basket.
func (p *purchase) total() money {
	sum := money{currency: p.price.currency}
	for _, k := range p.picks {
		sum.amount += k.plan.price.amount * int64(k.quantity)
	}
	if p.promo || p.rewarded {
		sum.amount = 0
	}
	return sum
}

// lookUp finds the purchase of a call, one of the kind that it asks for, or gives what
// refuses it. The caller holds mu.
func (s *Simulator) lookUp(q *query, subscription bool) (*purchase, *apiError) {
	if !tokenPattern.MatchString(q.token()) {
		return nil, invalidToken
	}
	p := s.sold[q.token()]
	switch {
	case p == nil:
		return nil, unknownToken
	case p.app != q.app:
		return nil, otherPackage
	case (p.subscription != nil) != subscription:
		return nil, invalidToken
	case p.gone && !subscription:
		return nil, tokenGone
	case p.gone || subscription && p.forgotten(s.stage.Now()):
		return nil, subscriptionGone
	case p.forgotten(s.stage.Now()):
		return nil, tokenGone
	}
	return p, nil
}

// forgotten says that a purchase has been over for too long to be asked about.
func (p *purchase) forgotten(now time.Time) bool {
	return p.dead() && now.After(p.over.Add(kept))
}

// instant writes an instant as the API does. The caller holds mu.
func (s *Simulator) instant(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	if *s.settings.Nanoseconds {
		return t.UTC().Format("2006-01-02T15:04:05.") + fmt.Sprintf("%09dZ", t.Nanosecond()/1_000_000*1_000_000+123_456)
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}

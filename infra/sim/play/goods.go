package play

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// money is an amount in the smallest unit of its currency.
type money struct {
	amount   int64
	currency string
}

// wholeOnly are the currencies that have no smaller unit (ISO 4217), of those that anybody
// is likely to try.
var wholeOnly = []string{"KRW", "JPY", "VND", "CLP", "PYG"}

// wireMoney is google.type.Money: units as text, and billionths.
type wireMoney struct {
	Currency string `json:"currencyCode"`
	Units    string `json:"units,omitempty"`
	Nanos    int64  `json:"nanos,omitempty"`
}

func (m money) wire() *wireMoney {
	units, nanos := m.amount, int64(0)
	if !slices.Contains(wholeOnly, m.currency) {
		units, nanos = m.amount/100, m.amount%100*10_000_000
	}
	w := &wireMoney{Currency: m.currency, Nanos: nanos}
	if units != 0 {
		w.Units = strconv.FormatInt(units, 10)
	}
	return w
}

// tax is what is in a price: a tenth of what is without it.
func (m money) tax() money { return money{m.amount - m.amount*10/11, m.currency} }

func (m money) part(of, whole int64) money { return money{m.amount * of / max(whole, 1), m.currency} }

// product is what the Console has for sale.
type product struct {
	id           string
	title        string
	subscription bool
	plans        []*plan
}

// plan is a base plan of a subscription, or a purchase option of a one-time product.
type plan struct {
	id     string
	price  money
	iso    string // of period, for what has one
	period period
	state  string // ACTIVE, INACTIVE or DRAFT

	prepaid   bool
	committed int      // payments of an installment plan
	offers    []string // ids of offers
	rental    bool
}

// The states of a plan that matter here.
const (
	onSale  = "ACTIVE"
	offSale = "INACTIVE"
	draft   = "DRAFT"
)

func won(amount int64) money { return money{amount, "KRW"} }

// sample is the sample catalog, and what else tests need.
func sample() []*product {
	base := func(id, iso string, amount int64) *plan {
		return &plan{id: id, iso: iso, period: must(parsePeriod(iso)), price: won(amount), state: onSale}
	}
	prepaid := func(id, iso string, amount int64) *plan {
		p := base(id, iso, amount)
		p.prepaid = true
		return p
	}
	monthly, yearly := base("monthly", "P1M", 4900), base("yearly", "P1Y", 49_000)
	monthly.offers = []string{"trial"}
	installments := base("installments", "P1M", 4500)
	installments.committed = 12
	legacy := base("legacy", "P1M", 2900)
	legacy.state = offSale
	rent := &plan{id: "rent", iso: "PT48H", period: must(parsePeriod("PT48H")), price: won(2500), state: onSale, rental: true}
	buy := func(amount int64, state string) *plan { return &plan{id: "buy", price: won(amount), state: state} }
	return []*product{
		{id: "premium", title: "Premium", subscription: true, plans: []*plan{
			monthly, yearly, base("weekly", "P1W", 1900), prepaid("monthly-prepaid", "P1M", 5500),
			prepaid("weekly-prepaid", "P1W", 2100), prepaid("short-prepaid", "P3D", 1000), installments, legacy,
		}},
		{id: "basic", title: "Basic", subscription: true, plans: []*plan{base("monthly", "P1M", 2900)}},
		{id: "extra", title: "Extra channel", subscription: true, plans: []*plan{base("monthly", "P1M", 1500)}},
		{id: "retired", title: "Retired", subscription: true, plans: []*plan{{id: "monthly", iso: "P1M", period: period{months: 1}, price: won(900), state: offSale}}},
		{id: "gems_100", title: "100 gems", plans: []*plan{buy(1200, onSale)}},
		{id: "ad_free", title: "No advertisements", plans: []*plan{buy(5900, onSale)}},
		{id: "film", title: "A film", plans: []*plan{rent, buy(9900, onSale)}},
		{id: "old_pack", title: "Old pack", plans: []*plan{buy(700, offSale)}},
	}
}

// find gives a product of the catalogue. The caller holds mu.
func (s *Simulator) find(id string) *product {
	i := slices.IndexFunc(s.catalogue, func(p *product) bool { return p.id == id })
	if i < 0 {
		return nil
	}
	return s.catalogue[i]
}

func (p *product) plan(id string) *plan {
	i := slices.IndexFunc(p.plans, func(plan *plan) bool { return plan.id == id || id == "" })
	if i < 0 {
		return nil
	}
	return p.plans[i]
}

// pick is a product that is bought, as "premium:monthly" or "gems_100*3" name one.
type pick struct {
	product  *product
	plan     *plan
	quantity int
}

// mostQuantity and mostItems bound a basket (multi-quantity purchases, subscriptions with
// add-ons).
const (
	mostQuantity = 1000
	mostItems    = 50
)

// basket reads products with their plans and quantities, such as "gems_100*3,ad_free" or
// "premium:monthly,extra:monthly". What the catalogue lacks is made up as other says. The
// caller holds mu.
func (s *Simulator) basket(text string, other *plan) ([]pick, error) {
	var picks []pick
	for part := range strings.SplitSeq(text, ",") {
		name, times, counted := strings.Cut(strings.TrimSpace(part), "*")
		quantity := 1
		if counted {
			var err error
			if quantity, err = strconv.Atoi(times); err != nil || quantity < 1 || quantity > mostQuantity {
				return nil, fmt.Errorf("productId %q: a quantity from 1 to %d after *", part, mostQuantity)
			}
		}
		id, planID, _ := strings.Cut(name, ":")
		if id == "" {
			return nil, errors.New("productId: which product, such as gems_100 or premium:monthly")
		}
		found := s.find(id)
		if found == nil {
			if other == nil {
				return nil, fmt.Errorf("productId %q is not in the catalogue: give its kind (subscription, oneTime), period and price, or put it in by goods", id)
			}
			made := *other
			made.id = or(planID, made.id)
			found = &product{id: id, title: id, subscription: made.iso != "" && !made.rental, plans: []*plan{&made}}
		}
		plan := found.plan(planID)
		if plan == nil {
			return nil, fmt.Errorf("productId %q: %s has no plan %q", part, id, planID)
		}
		picks = append(picks, pick{found, plan, quantity})
	}
	if len(picks) > mostItems {
		return nil, fmt.Errorf("productId: %d products at most", mostItems)
	}
	for _, p := range picks {
		if p.product.subscription != picks[0].product.subscription || p.plan.prepaid != picks[0].plan.prepaid {
			return nil, errors.New("productId: all subscriptions or none, all prepaid or none")
		}
		if p.plan.prepaid && len(picks) > 1 || p.product.subscription && p.quantity > 1 {
			return nil, errors.New("productId: a prepaid plan stands alone, and a subscription has no quantity")
		}
	}
	return picks, nil
}

// Goods puts a plan into the catalogue, or changes it there.
type Goods struct {
	ProductID string `json:"productId"`        // with its plan: premium:monthly
	Kind      string `json:"kind,omitempty"`   // subscription or oneTime, of a new one
	Period    string `json:"period,omitempty"` // of a subscription or a rental
	Price     int64  `json:"price,omitempty"`  // in the smallest unit
	Currency  string `json:"currency,omitempty"`
	State     string `json:"state,omitempty"` // ACTIVE, INACTIVE or DRAFT; "" is ACTIVE
	Prepaid   bool   `json:"prepaid,omitempty"`
	Committed int    `json:"committed,omitempty"` // payments of an installment plan
}

// The kinds of products, where one has to be named.
const (
	kindSubscription = "subscription"
	kindOneTime      = "oneTime"
)

// made is a plan as a control describes one.
func made(kind, iso, id string, price int64, currency string) (*plan, error) {
	if kind != kindSubscription && kind != kindOneTime {
		return nil, fmt.Errorf("kind %q: subscription or oneTime", kind)
	}
	if price < 0 {
		return nil, errors.New("price: more than 0, in the smallest unit of the currency")
	}
	p := &plan{id: id, state: onSale, price: money{or(price, 4900), or(currency, "KRW")}}
	if kind == kindSubscription {
		iso, p.id = or(iso, "P1M"), or(id, "monthly")
	}
	p.id = or(p.id, "buy")
	if iso == "" {
		return p, nil
	}
	p.iso, p.rental = iso, kind == kindOneTime
	var err error
	p.period, err = parsePeriod(iso)
	return p, err
}

// Stock puts goods on sale, takes them off, or changes their price for new customers.
func (s *Simulator) Stock(g Goods) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	id, planID, _ := strings.Cut(g.ProductID, ":")
	if id == "" {
		return errors.New("productId: which product")
	}
	if !slices.Contains([]string{"", onSale, offSale, draft}, g.State) {
		return fmt.Errorf("state %q: ACTIVE, INACTIVE or DRAFT", g.State)
	}
	known := s.find(id)
	kind := g.Kind
	if known != nil {
		if kind = kindOneTime; known.subscription {
			kind = kindSubscription
		}
	}
	to, err := made(kind, g.Period, planID, g.Price, g.Currency)
	if err != nil {
		return err
	}
	to.state, to.prepaid, to.committed = or(g.State, onSale), g.Prepaid, g.Committed
	if known == nil {
		s.catalogue = append(s.catalogue, &product{id: id, title: id, subscription: kind == kindSubscription, plans: []*plan{to}})
		return nil
	}
	old := known.plan(planID)
	if old == nil {
		known.plans = append(known.plans, to)
		return nil
	}
	// Those who bought keep the plan that they bought.
	changed := *old
	changed.state = to.state
	if g.Price != 0 {
		changed.price = to.price
	}
	if g.Period != "" {
		changed.iso, changed.period = to.iso, to.period
	}
	known.plans[slices.Index(known.plans, old)] = &changed
	return nil
}

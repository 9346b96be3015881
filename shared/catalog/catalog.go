// Package catalog is what may be sold: products with their names at each store and
// what they grant, and the plans that we charge for ourselves. The file catalog.json
// beside it is replaced by whoever deploys; no Go code changes.
package catalog

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"time"

	"grantline/shared/money"
	"grantline/shared/schedule"
)

// Kind of a product, as the stores know them.
type Kind string

// The kinds.
const (
	Consumable    Kind = "consumable"     // grants an amount of a wallet currency
	NonConsumable Kind = "non_consumable" // grants an entitlement for ever
	Subscription  Kind = "subscription"   // grants an entitlement until the store says
	NonRenewing   Kind = "non_renewing"   // grants an entitlement for some days from the purchase
)

// Product is one thing that stores sell for us.
type Product struct {
	ID          string `json:"id"`
	Kind        Kind   `json:"kind"`
	Entitlement string `json:"entitlement,omitempty"` // what it opens; "" for a consumable
	Currency    string `json:"currency,omitempty"`    // of the wallet; consumable only
	Amount      int64  `json:"amount,omitempty"`      // of the currency, for quantity one
	Days        int    `json:"days,omitempty"`        // of a non-renewing product
	// Stores has the product's name at each store: a product id, at Play with ":" and the
	// base plan where it is a subscription.
	Stores map[string]string `json:"stores"`
}

// Until is when what was bought at that time ends, by the catalog alone: zero unless the
// product is non-renewing.
func (p Product) Until(bought time.Time) time.Time {
	if p.Kind != NonRenewing {
		return time.Time{}
	}
	return bought.Add(time.Duration(p.Days) * 24 * time.Hour)
}

// End is what a plan does with a subscription whose automatic attempts are over.
type End string

// The ends.
const (
	Unpaid    End = "unpaid"    // it rests, and a new card revives it
	Cancelled End = "cancelled" // it is over
)

// Plan is an agreement that we charge for ourselves.
type Plan struct {
	ID      string `json:"id"`
	Gateway string `json:"gateway"` // toss or dodo
	// Entitlement is what it opens while it is paid; a plan on demand may open nothing.
	Entitlement string `json:"entitlement,omitempty"`
	// Product is the gateway's id of what is sold; Dodo Payments needs one.
	Product string `json:"product,omitempty"`
	// FeesIncluded says that the price includes what Dodo Payments takes for letting the customer
	// pay in another currency; else that is added (adaptive_currency_fees_inclusive).
	FeesIncluded bool `json:"adaptive_currency_fees_inclusive,omitempty"`
	// OnDemand has neither price nor cycle: it is charged when the company asks.
	OnDemand bool           `json:"on_demand,omitempty"`
	Name     string         `json:"name"` // on the customer's statement; at most 100 characters
	Price    money.Amount   `json:"price,omitzero"`
	TaxFree  int64          `json:"tax_free,omitempty"` // the part of the price without VAT
	Cycle    schedule.Cycle `json:"cycle,omitzero"`
	// Zone of the wall on which its dates are counted. Toss's plans default to
	// Asia/Seoul, Dodo's to UTC.
	Zone string `json:"zone,omitempty"`
	// Grace keeps the entitlement while attempts remain.
	Grace bool `json:"grace,omitempty"`
	// RepeatInsufficientFunds goes on with the schedule though the same decline came
	// twice, if it says that the account was empty. Off unless stated: the safe retry
	// policy says to stop.
	RepeatInsufficientFunds bool `json:"repeat_insufficient_funds,omitempty"`
	AfterLastAttempt        End  `json:"after_last_attempt"`
}

// Catalog is a read-only set of products and plans.
type Catalog struct {
	products map[string]Product // by id
	skus     map[[2]string]string
	plans    map[string]Plan
}

//go:embed catalog.json
var embedded []byte

// Embedded is the catalog that was built in.
func Embedded() (*Catalog, error) { return Parse(embedded) }

// mostAmount of a currency is what one product grants at most, so that no quantity that a
// store sells at once comes near to what an integer holds.
const mostAmount = 1e9

var (
	identifier = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:-]{0,99}$`)
	zones      = map[string]string{"toss": "Asia/Seoul", "dodo": "UTC"}
	stores     = []string{"apple", "play", "appsintoss"}
)

// Parse reads a catalog and refuses one that could not be sold from: unknown fields, a
// name used twice at a store, a plan without a price.
func Parse(text []byte) (*Catalog, error) {
	var file struct {
		Products []Product `json:"products"`
		Plans    []Plan    `json:"plans"`
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&file); err != nil {
		return nil, fmt.Errorf("catalog: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("catalog: something follows the catalog")
	}
	c := &Catalog{map[string]Product{}, map[[2]string]string{}, map[string]Plan{}}
	for _, p := range file.Products {
		if err := c.addProduct(p); err != nil {
			return nil, fmt.Errorf("catalog: product %q: %w", p.ID, err)
		}
	}
	for _, p := range file.Plans {
		if err := c.addPlan(p); err != nil {
			return nil, fmt.Errorf("catalog: plan %q: %w", p.ID, err)
		}
	}
	return c, nil
}

func (c *Catalog) addProduct(p Product) error {
	if _, twice := c.products[p.ID]; twice {
		return errors.New("comes twice")
	}
	if !identifier.MatchString(p.ID) {
		return errors.New("its id should be letters, digits, and . _ : -")
	}
	for _, name := range []string{p.Entitlement, p.Currency} {
		if name != "" && !identifier.MatchString(name) {
			return fmt.Errorf("%q should be letters, digits, and . _ : -", name)
		}
	}
	wallet := p.Currency != "" && p.Amount > 0 && p.Amount <= mostAmount
	var ok bool
	switch p.Kind {
	case Consumable:
		ok = wallet && p.Entitlement == "" && p.Days == 0
	case NonConsumable, Subscription:
		ok = p.Entitlement != "" && p.Currency == "" && p.Amount == 0 && p.Days == 0
	case NonRenewing:
		ok = p.Entitlement != "" && p.Currency == "" && p.Amount == 0 && p.Days > 0
	}
	if !ok {
		return fmt.Errorf("kind %q does not go with what it grants", p.Kind)
	}
	for store, sku := range p.Stores {
		if !slices.Contains(stores, store) || !identifier.MatchString(sku) {
			return fmt.Errorf("%q is no name at store %q", sku, store)
		}
		if other, taken := c.skus[[2]string{store, sku}]; taken {
			return fmt.Errorf("store %s sells %q as product %q already", store, sku, other)
		}
		c.skus[[2]string{store, sku}] = p.ID
	}
	c.products[p.ID] = p
	return nil
}

func (c *Catalog) addPlan(p Plan) error {
	if _, twice := c.plans[p.ID]; twice {
		return errors.New("comes twice")
	}
	if !identifier.MatchString(p.ID) {
		return errors.New("its id should be letters, digits, and . _ : -")
	}
	standard, known := zones[p.Gateway]
	if !known {
		return fmt.Errorf("there is no gateway %q", p.Gateway)
	}
	if p.Zone == "" {
		p.Zone = standard
	}
	if _, err := schedule.Zone(p.Zone); err != nil {
		return err
	}
	if !p.OnDemand {
		if _, err := schedule.New(time.Unix(0, 0), p.Zone, p.Cycle); err != nil {
			return err
		}
		if err := p.Price.Valid(); err != nil {
			return err
		}
	}
	switch {
	case p.OnDemand && (p.Price != money.Amount{} || p.Cycle != schedule.Cycle{} || p.TaxFree != 0):
		return errors.New("a plan on demand has neither price nor cycle")
	case p.Gateway == "dodo" && !identifier.MatchString(p.Product):
		return errors.New("Dodo Payments needs its product's id")
	case p.Gateway != "dodo" && p.FeesIncluded:
		return errors.New("adaptive currency fees are Dodo Payments' alone")
	case p.Gateway == "toss" && !p.OnDemand && (p.Price.Currency != "KRW" || p.Price.Units < 100):
		return errors.New("Toss Payments charges cards 100 KRW or more")
	case p.TaxFree < 0 || p.TaxFree > p.Price.Units:
		return errors.New("tax_free is a part of the price")
	case p.Name == "" || len([]rune(p.Name)) > 100:
		return errors.New("its name should have 1 to 100 characters")
	case p.Entitlement == "" && !p.OnDemand:
		return errors.New("it opens no entitlement")
	case p.AfterLastAttempt != Unpaid && p.AfterLastAttempt != Cancelled:
		return fmt.Errorf("after_last_attempt should be %q or %q", Unpaid, Cancelled)
	}
	c.plans[p.ID] = p
	return nil
}

// Product finds a product by our id.
func (c *Catalog) Product(id string) (Product, bool) {
	p, ok := c.products[id]
	return p, ok
}

// BySKU finds what a store sells under a name.
func (c *Catalog) BySKU(store, sku string) (Product, bool) {
	id, ok := c.skus[[2]string{store, sku}]
	return c.products[id], ok
}

// Plan finds a plan by its id.
func (c *Catalog) Plan(id string) (Plan, bool) {
	p, ok := c.plans[id]
	return p, ok
}

// Opens says whether a product or plan opens an entitlement of that name.
func (c *Catalog) Opens(entitlement string) bool {
	for _, p := range c.products {
		if p.Entitlement == entitlement && entitlement != "" {
			return true
		}
	}
	for _, p := range c.plans {
		if p.Entitlement == entitlement && entitlement != "" {
			return true
		}
	}
	return false
}

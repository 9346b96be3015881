package appsintoss

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// The types of products, and the cycles of a subscription (web-framework, IapProductListItem).
const (
	Consumable    = "CONSUMABLE"
	NonConsumable = "NON_CONSUMABLE"
	Subscription  = "SUBSCRIPTION"

	Weekly  = "WEEKLY"
	Monthly = "MONTHLY"
	Yearly  = "YEARLY"
)

// Product is one of the console's.
type Product struct {
	SKU   string `json:"sku"`
	Type  string `json:"type,omitempty"`  // "" is CONSUMABLE, or SUBSCRIPTION with a cycle
	Cycle string `json:"cycle,omitempty"` // of a subscription; "" is MONTHLY
	Price int64  `json:"price,omitempty"` // in won
	Name  string `json:"name,omitempty"`
}

// catalogue is what the console has at start.
func catalogue() []Product {
	return []Product{
		{"gems-100", Consumable, "", 1200, "Gems"},
		{"ad-free", NonConsumable, "", 5500, "No advertisements"},
		{"premium-1month", Subscription, Monthly, 4900, "Premium, monthly"},
		{"premium-1week", Subscription, Weekly, 1500, "Premium, weekly"},
		{"premium-1year", Subscription, Yearly, 49_000, "Premium, yearly"},
	}
}

func (p *Product) check() error {
	if p.Type == "" {
		p.Type = Consumable
		if p.Cycle != "" {
			p.Type = Subscription
		}
	}
	if p.Type == Subscription && p.Cycle == "" {
		p.Cycle = Monthly
	}
	switch {
	case p.SKU == "":
		return errors.New("sku: which product")
	case !slices.Contains([]string{Consumable, NonConsumable, Subscription}, p.Type):
		return fmt.Errorf("type %q: CONSUMABLE, NON_CONSUMABLE or SUBSCRIPTION", p.Type)
	case p.Type == Subscription && !slices.Contains([]string{Weekly, Monthly, Yearly}, p.Cycle):
		return fmt.Errorf("cycle %q: WEEKLY, MONTHLY or YEARLY", p.Cycle)
	case p.Type != Subscription && p.Cycle != "":
		return fmt.Errorf("cycle %q: of subscriptions only", p.Cycle)
	case p.Price < 0:
		return errors.New("price: 0 or more, in won")
	}
	return nil
}

// Sell puts a product into the catalogue, in place of one with the same sku.
func (s *Simulator) Sell(p Product) error {
	if err := p.check(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.productOf(p.SKU); known != nil {
		*known = p
		return nil
	}
	s.products = append(s.products, p)
	return nil
}

// productOf finds a product of the catalogue, or nil. The caller holds mu.
func (s *Simulator) productOf(sku string) *Product {
	i := slices.IndexFunc(s.products, func(p Product) bool { return p.SKU == sku })
	if i < 0 {
		return nil
	}
	return &s.products[i]
}

// Listed is a product as getProductItemList shows it.
type Listed struct {
	SKU           string `json:"sku"`
	Type          string `json:"type"`
	DisplayName   string `json:"displayName"`
	DisplayAmount string `json:"displayAmount"`
	IconURL       string `json:"iconUrl"`
	Description   string `json:"description"`
	RenewalCycle  string `json:"renewalCycle,omitempty"`
}

// ItemList is what getProductItemList answers.
type ItemList struct {
	Products []Listed `json:"products"`
}

// Items is getProductItemList.
func (s *Simulator) Items() ItemList {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := ItemList{Products: []Listed{}}
	for _, p := range s.products {
		list.Products = append(list.Products, Listed{p.SKU, p.Type, p.Name, fmt.Sprintf("%d원", p.Price), "", p.Name, p.Cycle})
	}
	return list
}

// ends is when the nth period ends of a subscription that begins at from. A month without
// that day ends on its last day, and the next one has the day again.
func ends(cycle string, from time.Time, n int) time.Time {
	months := n
	switch cycle {
	case Weekly:
		return from.AddDate(0, 0, 7*n)
	case Yearly:
		months = 12 * n
	}
	local := from.In(seoul)
	first := local.AddDate(0, 0, 1-local.Day()).AddDate(0, months, 0)
	last := first.AddDate(0, 1, -1).Day()
	return first.AddDate(0, 0, min(local.Day(), last)-1).UTC()
}

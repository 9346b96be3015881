package web_test

import (
	"context"
	"regexp"
	"sync"

	"grantline/shared/fault"
	"grantline/shared/purchase"
)

var (
	jws      = regexp.MustCompile(`^([A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+|MII[A-Za-z0-9+/]+=*)$`) // or a receipt
	orderIDs = regexp.MustCompile(`^[A-Za-z0-9_-]{1,100}$`)
	anything = regexp.MustCompile(`^[!-~]{1,1000}$`)
)

// shop is a store that knows some sales by their evidence.
type shop struct {
	name  string
	shape *regexp.Regexp // of evidence that can be read

	mu    sync.Mutex
	sales map[string]purchase.Sale
	stand purchase.Standing // of whatever line
	down  bool
	looks int
	keys  []string // the user keys that came along
}

// sell makes a sale known.
func (s *shop) sell(evidence string, sale purchase.Sale) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sales == nil {
		s.sales = map[string]purchase.Sale{}
	}
	sale.Store = s.name
	if sale.Line == "" {
		sale.Line = sale.Order
	}
	if sale.State == "" {
		sale.State = purchase.Paid
	}
	sale.Quantity = max(sale.Quantity, 1)
	s.sales[evidence] = sale
}

func (s *shop) Look(ctx context.Context, p purchase.Proof) (purchase.News, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.looks++
	s.keys = append(s.keys, p.UserKey)
	if !s.shape.MatchString(p.Evidence) {
		return purchase.News{}, fault.New(fault.Malformed, "invalid_purchase", "The proof cannot be read.")
	}
	if s.down || ctx.Err() != nil {
		return purchase.News{}, outage()
	}
	sale, ok := s.sales[p.Evidence]
	if !ok || p.SKU != "" && p.SKU != sale.SKU {
		return purchase.News{}, fault.New(fault.Invalid, "invalid_purchase", "The store does not know of this.")
	}
	return purchase.News{Sales: []purchase.Sale{sale}, Standing: s.stand}, nil
}

// ordersShop is a shop whose evidence is the order's id.
type ordersShop struct{ *shop }

func (s ordersShop) OrderOf(p purchase.Proof) (string, bool) {
	return p.Evidence, s.shape.MatchString(p.Evidence)
}

// deadlined is a store that is out of reach and tells whether its time was bounded.
type deadlined func(bounded bool)

func (d deadlined) Look(ctx context.Context, _ purchase.Proof) (purchase.News, error) {
	_, bounded := ctx.Deadline()
	d(bounded)
	return purchase.News{}, outage()
}

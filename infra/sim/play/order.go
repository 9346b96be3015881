package play

import (
	"net/http"
	"strconv"
	"time"

	"grantline/infra/sim/stage"
)

// The states of an order (Order.state).
const (
	orderPending   = "PENDING"
	orderProcessed = "PROCESSED"
	orderCanceled  = "CANCELED"
	orderPartly    = "PARTIALLY_REFUNDED"
	orderRefunded  = "REFUNDED"
)

// order is one movement of money.
type order struct {
	id       string
	purchase *purchase
	item     *item // of a subscription
	state    string
	lines    []orderLine

	created, processed, cancelled, refunded time.Time

	chargeback bool
	partial    []partialRefund
}

type orderLine struct {
	pick

	total       money
	from, until time.Time // of a subscription
	phase       string
	offer       string
}

type partialRefund struct {
	at    time.Time
	total money
}

func (o *order) total() money {
	sum := money{currency: o.purchase.price.currency}
	for _, l := range o.lines {
		sum.amount += l.total.amount
	}
	return sum
}

// left is what was paid and not yet given back.
func (o *order) left() money {
	sum := o.total()
	if o.state == orderRefunded || o.state == orderCanceled {
		sum.amount = 0
	}
	for _, r := range o.partial {
		sum.amount = max(0, sum.amount-r.total.amount)
	}
	return sum
}

func (o *order) cancel(at time.Time) {
	if o.state == orderPending {
		o.state, o.cancelled = orderCanceled, at
	}
}

// orderOf is the order of an id, a pending one if it is new. The caller holds mu.
func (s *Simulator) orderOf(p *purchase, id string) *order {
	if o := s.orders[id]; o != nil {
		return o
	}
	o := &order{id: id, purchase: p, state: orderPending, created: s.stage.Now()}
	s.orders[id] = o
	return o
}

// oneTimeOrder is the only order of a one-time purchase.
func (s *Simulator) oneTimeOrder(p *purchase) *order {
	o := s.orderOf(p, p.base)
	o.lines = nil
	for _, k := range p.picks {
		total := money{k.plan.price.amount * int64(k.quantity), k.plan.price.currency}
		if p.rewarded {
			total.amount = 0
		}
		o.lines = append(o.lines, orderLine{pick: k, total: total})
	}
	return o
}

// itemOrder is the order of an item's next charge: the first has the plain id, those of
// renewals count from ..0 on.
func (s *Simulator) itemOrder(p *purchase, it *item) *order {
	id := it.base
	if it.charges > 0 {
		id += ".." + strconv.Itoa(it.charges-1)
	}
	o := s.orderOf(p, id)
	o.item = it
	if o.lines == nil {
		o.lines = []orderLine{{pick: it.pick, total: it.price, phase: it.phase, offer: it.offer}}
	}
	return o
}

// openOrders makes the orders of a purchase that waits for its money.
func (s *Simulator) openOrders(p *purchase) {
	if p.base == "" {
		return
	}
	if p.subscription == nil {
		s.oneTimeOrder(p)
		return
	}
	for _, it := range p.subscription.items {
		s.itemOrder(p, it)
	}
}

func (s *Simulator) paid(o *order) { o.state, o.processed = orderProcessed, s.stage.Now() }

// ordersOf are the orders of a purchase that money moved for, or is to: those of its items
// last.
func (s *Simulator) ordersOf(p *purchase) (list []*order) {
	if p.subscription == nil {
		if o := s.orders[p.base]; o != nil {
			list = append(list, o)
		}
		return list
	}
	for _, it := range p.subscription.items {
		o := it.order
		if o == nil {
			o = s.orders[it.base]
		}
		if o != nil && o.purchase == p {
			list = append(list, o)
		}
	}
	return list
}

type (
	wireOrder struct {
		ID      string          `json:"orderId"`
		Token   string          `json:"purchaseToken"`
		State   string          `json:"state"`
		Created string          `json:"createTime"`
		Changed string          `json:"lastEventTime"`
		Buyer   map[string]any  `json:"buyerAddress"`
		Total   *wireMoney      `json:"total"`
		Tax     *wireMoney      `json:"tax"`
		Revenue *wireMoney      `json:"developerRevenueInBuyerCurrency"`
		Details map[string]bool `json:"orderDetails"`
		History map[string]any  `json:"orderHistory"`
		Items   []wireOrderLine `json:"lineItems"`
		Channel string          `json:"salesChannel"`
	}
	wireOrderLine struct {
		ID           string         `json:"productId"`
		Title        string         `json:"productTitle"`
		Listing      *wireMoney     `json:"listingPrice"`
		Total        *wireMoney     `json:"total"`
		Tax          *wireMoney     `json:"tax"`
		OneTime      map[string]any `json:"oneTimePurchaseDetails,omitempty"`
		Subscription map[string]any `json:"subscriptionDetails,omitempty"`
	}
)

// revenueShare is what the developer gets, in per cent.
const revenueShare = 85

// show is an order as the API shows it.
func (s *Simulator) show(o *order) wireOrder {
	total, last := o.total(), o.created
	w := wireOrder{
		ID: o.id, Token: o.purchase.token, State: o.state, Created: s.instant(o.created), Buyer: map[string]any{"buyerCountry": o.purchase.region},
		Total: total.wire(), Tax: total.tax().wire(), Revenue: total.part(revenueShare, 100).wire(),
		Details: map[string]bool{"taxInclusive": true}, History: map[string]any{}, Channel: "IN_APP",
	}
	event := func(name string, at time.Time, more map[string]any) {
		if at.IsZero() {
			return
		}
		said := map[string]any{"eventTime": s.instant(at)}
		for k, v := range more {
			said[k] = v
		}
		w.History[name] = said
		if at.After(last) {
			last = at
		}
	}
	event("processedEvent", o.processed, nil)
	event("cancellationEvent", o.cancelled, nil)
	reason := "OTHER"
	if o.chargeback {
		reason = "CHARGEBACK"
	}
	event("refundEvent", o.refunded, map[string]any{
		"refundReason": reason, "refundDetails": map[string]any{"total": total.wire(), "tax": total.tax().wire()},
	})
	var parts []any
	for _, r := range o.partial {
		parts = append(parts, map[string]any{
			"createTime": s.instant(r.at), "processTime": s.instant(r.at), "state": "PROCESSED_SUCCESSFULLY",
			"refundDetails": map[string]any{"total": r.total.wire(), "tax": r.total.tax().wire()},
		})
		if r.at.After(last) {
			last = r.at
		}
	}
	if parts != nil {
		w.History["partialRefundEvents"] = parts
	}
	w.Changed = s.instant(last)
	for _, l := range o.lines {
		w.Items = append(w.Items, s.orderLine(o, l))
	}
	return w
}

func (s *Simulator) orderLine(o *order, l orderLine) wireOrderLine {
	w := wireOrderLine{ID: l.product.id, Title: l.product.title, Listing: l.plan.price.wire(), Total: l.total.wire(), Tax: l.total.tax().wire()}
	if o.item == nil {
		w.OneTime = map[string]any{"quantity": l.quantity, "purchaseOptionId": l.plan.id}
		if l.plan.rental {
			w.OneTime["rentalDetails"] = struct{}{}
		}
		return w
	}
	w.Subscription = map[string]any{"basePlanId": l.plan.id}
	if l.offer != "" {
		w.Subscription["offerId"] = l.offer
	}
	if !l.from.IsZero() {
		w.Subscription["servicePeriodStartTime"], w.Subscription["servicePeriodEndTime"] = s.instant(l.from), s.instant(l.until)
	}
	if name, ok := map[string]string{"freeTrial": "freeTrialDetails", "basePrice": "baseDetails", "prorationPeriod": "prorationPeriodDetails"}[l.phase]; ok {
		w.Subscription["offerPhaseDetails"] = map[string]any{name: struct{}{}}
	}
	return w
}

// lookUpOrder finds the order of a call, in its app.
func (s *Simulator) lookUpOrder(q *query, id string) (*order, *apiError) {
	if o := s.orders[id]; o != nil && o.purchase.app == q.app {
		return o, nil
	}
	return nil, notFound("orderId", "The order was not found.")
}

func (s *Simulator) getOrder(q *query) stage.Answer {
	q.pause()
	s.mu.Lock()
	defer s.mu.Unlock()
	o, refused := s.lookUpOrder(q, q.given[0])
	if refused != nil {
		return refused.answer()
	}
	return stage.JSON(http.StatusOK, s.show(o))
}

// mostOrders bounds batchGet.
const mostOrders = 1000

// getOrders finds several orders; one that is unknown fails them all.
func (s *Simulator) getOrders(q *query) stage.Answer {
	ids := q.URL.Query()["orderIds"]
	seen := map[string]bool{}
	for _, id := range ids {
		if seen[id] {
			return invalid("orderIds", "The order ids are to be distinct.").answer()
		}
		seen[id] = true
	}
	if len(ids) == 0 || len(ids) > mostOrders {
		return invalid("orderIds", "From 1 to 1000 order ids.").answer()
	}
	q.pause()
	s.mu.Lock()
	defer s.mu.Unlock()
	list := []wireOrder{}
	for _, id := range ids {
		o, refused := s.lookUpOrder(q, id)
		if refused != nil {
			return refused.answer()
		}
		list = append(list, s.show(o))
	}
	return stage.JSON(http.StatusOK, map[string]any{"orders": list})
}

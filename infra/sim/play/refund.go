package play

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"grantline/infra/sim/stage"
)

// Who voids a purchase, and why (voidedSource, voidedReason).
const (
	sourceUser      = 0
	sourceDeveloper = 1
	sourceGoogle    = 2

	reasonOther          = 0
	reasonChargeback     = 7
	reasonUnacknowledged = 8
)

// voidedRow is a line of voidedpurchases.list.
type voidedRow struct {
	purchase       *purchase
	order          string
	at, recorded   time.Time
	source, reason int
	quantity       int // of a partial refund; 0 is all
}

// How is what is given back, and what is taken for it.
type how struct {
	revoke         bool
	source, reason int
	effect         string
}

// void takes what an order gave: a row in the list, and a notification. The caller holds mu.
func (s *Simulator) void(p *purchase, id string, h how, quantity int) {
	now := s.stage.Now()
	s.voided = append(s.voided, &voidedRow{
		purchase: p, order: id, at: now, recorded: now.Add(time.Duration(*s.settings.VoidedLag)), source: h.source, reason: h.reason, quantity: quantity,
	})
	kind := refundFull
	if quantity > 0 {
		kind = refundPartial
	}
	s.record("voided", p, id)
	s.tellVoided(p, id, kind)
}

// giveBack gives all that is left of an order back, and takes what it gave if it is told to.
// Of an older order of a subscription it takes nothing that is still to come.
func (s *Simulator) giveBack(o *order, h how) {
	p, left := o.purchase, o.left()
	o.state, o.refunded, o.chargeback = orderRefunded, s.stage.Now(), h.reason == reasonChargeback
	s.recordMoney(h.effect, p, o.id, left)
	if p.goods != nil {
		p.goods.refunded = true
	}
	if !h.revoke {
		return
	}
	switch {
	case p.goods != nil:
		p.goods.state, p.over = stateCancelled, s.stage.Now()
	case o.item.order == o:
		s.endItem(p, o.item)
	}
	s.void(p, o.id, h, 0)
}

// endItem takes an item away at once, and with the last one the subscription.
func (s *Simulator) endItem(p *purchase, it *item) {
	if p.dead() {
		return
	}
	now := s.stage.Now()
	it.cut(now)
	it.autoRenew = false
	if slices.ContainsFunc(p.subscription.items, func(other *item) bool { return other.expires.After(now) && other.order != nil }) {
		s.tellSubscription(p, typeItemsChanged)
		return
	}
	s.end(p, byDeveloper)
}

// end revokes a subscription.
func (s *Simulator) end(p *purchase, by string) {
	s.finish(p, by)
	s.record("revoked", p, p.base)
	s.tellSubscription(p, typeRevoked)
}

// takeBack is what Google does with what nobody acknowledged.
func (s *Simulator) takeBack(p *purchase) {
	h := how{revoke: true, source: sourceGoogle, reason: reasonUnacknowledged, effect: "autoRefunded"}
	orders := s.ordersOf(p)
	if p.subscription != nil {
		s.end(p, bySystem)
	}
	if len(orders) == 0 {
		s.record(h.effect, p, p.base)
		if p.goods != nil {
			p.goods.refunded, p.goods.state, p.over = true, stateCancelled, s.stage.Now()
			s.void(p, "", h, 0)
		}
	}
	for _, o := range orders {
		if o.state != orderRefunded {
			s.giveBack(o, h)
		}
	}
}

// Refund gives money back, as the Console, Google or a bank does.
type Refund struct {
	OrderID string `json:"orderId"`           // or a purchaseToken: its latest order
	Revoke  *bool  `json:"revoke,omitempty"`  // nil is true
	Source  int    `json:"source,omitempty"`  // 0 user, 1 developer, 2 Google
	Reason  int    `json:"reason,omitempty"`  // 0 other … 7 chargeback, 8 unacknowledged
	Product string `json:"product,omitempty"` // of Quantity, where there are several
	// Quantity is how many are given back of a one-time purchase; 0 is all, and so is what
	// leaves none.
	Quantity int `json:"quantity,omitempty"`
}

// Refund gives an order back, all of it or a part of its quantity.
func (s *Simulator) Refund(r Refund) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	o, err := s.refundable(r.OrderID)
	if err != nil {
		return err
	}
	if r.Source < 0 || r.Source > sourceGoogle || r.Reason < 0 || r.Reason > reasonUnacknowledged {
		return errors.New("source: from 0 to 2; reason: from 0 to 8")
	}
	h := how{revoke: r.Revoke == nil || *r.Revoke, source: r.Source, reason: r.Reason, effect: "refunded"}
	if r.Quantity == 0 {
		s.giveBack(o, h)
		return nil
	}
	if o.purchase.goods == nil || r.Quantity < 0 {
		return errors.New("quantity: of a one-time purchase, more than 0")
	}
	return s.giveSome(o, r, h)
}

// refundable finds an order that has something to give back. The caller holds mu.
func (s *Simulator) refundable(name string) (*order, error) {
	o := s.orders[name]
	if p := s.sold[name]; p != nil {
		list := s.ordersOf(p)
		if len(list) == 0 {
			return nil, errors.New("orderId: the purchase has none")
		}
		o = list[0]
	}
	switch {
	case o == nil:
		return nil, fmt.Errorf("orderId %q: no such order or token", name)
	case o.state != orderProcessed && o.state != orderPartly:
		return nil, fmt.Errorf("orderId: the order is %s", o.state)
	}
	return o, nil
}

func (s *Simulator) giveSome(o *order, r Refund, h how) error {
	p := o.purchase
	i := slices.IndexFunc(p.goods.items, func(b *bundle) bool { return r.Product == "" || b.product.id == r.Product })
	if i < 0 {
		return fmt.Errorf("product %q is not in the order", r.Product)
	}
	b := p.goods.items[i]
	rest := 0
	for _, other := range p.goods.items {
		rest += p.goods.left(other)
	}
	switch left := p.goods.left(b); {
	case r.Quantity > left:
		return fmt.Errorf("quantity: %d are left", left)
	case r.Quantity == rest:
		s.giveBack(o, h)
		return nil
	}
	total := money{b.plan.price.amount * int64(r.Quantity), b.plan.price.currency}
	b.returned += r.Quantity
	o.state, o.partial = orderPartly, append(o.partial, partialRefund{s.stage.Now(), total})
	s.recordMoney("refunded", p, o.id, total)
	s.void(p, o.id, h, r.Quantity)
	return nil
}

// oldestRefund is how old an order may be that the API refunds (orders.refund).
const oldestRefund = 3

func (s *Simulator) refundOrder(q *query) stage.Answer {
	revoke := false
	if text := q.URL.Query().Get("revoke"); text != "" {
		var err error
		if revoke, err = strconv.ParseBool(text); err != nil {
			return invalid("revoke", "Invalid boolean.").answer()
		}
	}
	q.pause()
	s.mu.Lock()
	defer s.mu.Unlock()
	o, refused := s.lookUpOrder(q, q.given[0])
	switch {
	case refused != nil:
		return refused.answer()
	case o.state != orderProcessed && o.state != orderPartly:
		return invalid("orderId", "The order cannot be refunded: it is "+o.state+".").answer()
	case s.stage.Now().After(o.created.AddDate(oldestRefund, 0, 0)):
		return invalid("orderId", "The order is too old to be refunded.").answer()
	}
	s.giveBack(o, how{revoke: revoke, source: sourceDeveloper, reason: reasonOther, effect: "refunded"})
	return empty
}

func (s *Simulator) revokeSubscription(q *query) stage.Answer {
	var in struct {
		Context struct {
			Full     *struct{} `json:"fullRefund"`
			Prorated *struct{} `json:"proratedRefund"`
			Item     *struct {
				ID string `json:"productId"`
			} `json:"itemBasedRefund"`
		} `json:"revocationContext"`
	}
	chosen := 0
	if json.Unmarshal(q.body, &in) == nil {
		for _, given := range []bool{in.Context.Full != nil, in.Context.Prorated != nil, in.Context.Item != nil} {
			if given {
				chosen++
			}
		}
	}
	if chosen != 1 {
		return invalid("revocationContext", "Exactly one kind of refund is to be given.").answer()
	}
	q.pause()
	s.mu.Lock()
	defer s.mu.Unlock()
	p, refused := s.edit(q)
	if refused != nil {
		return refused.answer()
	}
	orders := s.ordersOf(p)
	if in.Context.Item != nil {
		orders = slices.DeleteFunc(orders, func(o *order) bool { return o.lines[0].product.id != in.Context.Item.ID })
		if len(orders) == 0 {
			return invalid("itemBasedRefund", "The subscription has no such item.").answer()
		}
	}
	h := how{revoke: true, source: sourceDeveloper, reason: reasonOther, effect: "refunded"}
	if in.Context.Item == nil {
		s.end(p, byDeveloper)
	}
	for _, o := range orders {
		if o.state != orderProcessed && o.state != orderPartly {
			continue
		}
		if in.Context.Prorated != nil {
			s.prorate(o, h)
			continue
		}
		s.giveBack(o, h)
	}
	return stage.JSON(http.StatusOK, struct{}{})
}

// prorate gives back what is left of an order's period, and voids it.
func (s *Simulator) prorate(o *order, h how) {
	now, line := s.stage.Now(), o.lines[0]
	left, whole := max(0, line.until.Sub(now)), line.until.Sub(line.from)
	total := o.left().part(int64(left/time.Second), int64(whole/time.Second))
	o.state, o.partial = orderPartly, append(o.partial, partialRefund{now, total})
	s.recordMoney(h.effect, o.purchase, o.id, total)
	s.void(o.purchase, o.id, h, 0)
}

// The window of voidedpurchases.list.
const (
	voidedWindow = 30 * 24 * time.Hour
	mostVoided   = 1000
)

type wireVoided struct {
	Kind      string `json:"kind"`
	Token     string `json:"purchaseToken"`
	Purchased string `json:"purchaseTimeMillis"`
	Voided    string `json:"voidedTimeMillis"`
	OrderID   string `json:"orderId,omitempty"`
	Source    int    `json:"voidedSource"`
	Reason    int    `json:"voidedReason"`
	Quantity  int    `json:"voidedQuantity,omitempty"`
}

// voidedQuery is what a list is asked for by; its page tokens carry it.
type voidedQuery struct {
	From, To int64 // by when it was recorded, in milliseconds
	Type     int
	Partial  bool
	After    int // rows of the window that were seen
}

// read takes the parameters of a call.
func (v *voidedQuery) read(q *query, now time.Time) (size int, refused *apiError) {
	values := q.URL.Query()
	number := func(name string, otherwise int64) int64 {
		text := values.Get(name)
		if text == "" {
			return otherwise
		}
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 0 {
			refused = invalid(name, "Invalid number.")
		}
		return n
	}
	size = int(min(or(number("maxResults", mostVoided), mostVoided), mostVoided))
	if token := values.Get("token"); token != "" {
		raw, err := base64.RawURLEncoding.DecodeString(token)
		if err != nil || json.Unmarshal(raw, v) != nil {
			return 0, invalid("token", "Invalid page token.")
		}
		return size, refused
	}
	v.From = number("startTime", now.Add(-voidedWindow).UnixMilli())
	v.To = number("endTime", now.UnixMilli())
	v.Type = int(number("type", 0))
	partial, err := strconv.ParseBool(or(values.Get("includeQuantityBasedPartialRefund"), "false"))
	v.Partial = partial
	switch {
	case refused != nil:
		return 0, refused
	case err != nil:
		return 0, invalid("includeQuantityBasedPartialRefund", "Invalid boolean.")
	case v.Type > 1:
		return 0, invalid("type", "Type is 0 or 1.")
	case v.From < now.Add(-voidedWindow).UnixMilli():
		return 0, invalid("startTime", "The start is more than 30 days ago.")
	case v.To > now.UnixMilli():
		return 0, invalid("endTime", "The end is in the future.")
	case v.From > v.To:
		return 0, invalid("startTime", "The start is after the end.")
	}
	return size, nil
}

func (s *Simulator) listVoided(q *query) stage.Answer {
	var v voidedQuery
	size, refused := v.read(q, s.stage.Now())
	if refused != nil {
		return refused.answer()
	}
	q.pause()
	s.mu.Lock()
	defer s.mu.Unlock()
	rows, seen, more := []wireVoided{}, 0, false
	for _, r := range s.voided {
		at := r.recorded.UnixMilli()
		if at < v.From || at > v.To || r.purchase.app != q.app ||
			v.Type == 0 && r.purchase.subscription != nil || r.quantity > 0 && !v.Partial {
			continue
		}
		if seen++; seen <= v.After {
			continue
		}
		if more = len(rows) == size; more {
			break
		}
		rows = append(rows, wireVoided{
			"androidpublisher#voidedPurchase", r.purchase.token, strconv.FormatInt(r.purchase.asked.UnixMilli(), 10),
			strconv.FormatInt(r.at.UnixMilli(), 10), r.order, r.source, r.reason, r.quantity,
		})
	}
	body := map[string]any{}
	if len(rows) > 0 {
		body["voidedPurchases"] = rows
	}
	if more {
		v.After += len(rows)
		body["tokenPagination"] = map[string]string{"nextPageToken": base64.RawURLEncoding.EncodeToString(must(json.Marshal(v)))}
	}
	return stage.JSON(http.StatusOK, body)
}

// review is a chargeback that Google asks the developer's opinion about.
type review struct {
	order    *order
	at       time.Time
	answered bool
}

// answerIn is how long an opinion is heard (refund and chargeback suggestions).
const answerIn = 24 * time.Hour

// Review has Google ask about an order that a bank wants back.
func (s *Simulator) Review(r Refund) (map[string]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o, err := s.refundable(r.OrderID)
	if err != nil {
		return nil, err
	}
	token := s.stage.Text(64, stage.Alphanumeric)
	s.reviews[token] = &review{order: o, at: s.stage.Now()}
	s.tellReview(o, token)
	return map[string]string{"pendingRefundToken": token, "orderId": o.id}, nil
}

// reviewRefund hears an opinion. Only the first one counts; later ones are told the same.
func (s *Simulator) reviewRefund(q *query) stage.Answer {
	var in struct {
		Token      string `json:"pendingRefundToken"`
		Sample     *bool  `json:"sampleContentProvided"`
		Preference string `json:"refundPreference"`
		Consumed   int64  `json:"consumptionPercentageMilliunits"`
		Events     []any  `json:"consumptionUsageEvents"`
	}
	const all, mostEvents = 100_000, 1000
	switch {
	case json.Unmarshal(q.body, &in) != nil:
		return malformed.answer()
	case in.Sample == nil:
		return invalid("sampleContentProvided", "The field is required.").answer()
	case !slices.Contains([]string{"APPROVE", "DECLINE", "NEUTRAL"}, in.Preference):
		return invalid("refundPreference", "Invalid refund preference.").answer()
	case in.Consumed < 0 || in.Consumed > all || len(in.Events) > mostEvents:
		return invalid("consumptionPercentageMilliunits", "Out of range.").answer()
	}
	q.pause()
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.reviews[in.Token]
	if r == nil || r.order.id != q.given[0] || r.order.purchase.app != q.app {
		return invalid("pendingRefundToken", "The pending refund token is not of this order.").answer()
	}
	if !r.answered && s.stage.Now().After(r.at.Add(answerIn)) {
		return invalid("pendingRefundToken", "The pending refund is decided.").answer()
	}
	if !r.answered {
		r.answered = true
		s.stage.Record(stage.Effect{
			Kind: "reviewed", OrderID: r.order.id, TransactionID: r.order.purchase.token, SKU: r.order.purchase.sku(), Detail: json.RawMessage(q.body),
		})
	}
	return empty
}

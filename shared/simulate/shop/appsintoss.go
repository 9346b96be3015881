package shop

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"time"

	"grantline/shared/appsintoss"
	"grantline/shared/catalog"
	"grantline/shared/fault"
	"grantline/shared/notice"
	"grantline/shared/purchase"
	"grantline/shared/simulate"
)

// AppsInToss is the store of Apps-in-Toss: asked by an order's id, and silent of most things.
type AppsInToss struct {
	counter
	bought map[string]*TossOrder
}

// NewAppsInToss opens one.
func NewAppsInToss(w *simulate.World, goods *catalog.Catalog, h Habits) *AppsInToss {
	return &AppsInToss{counter: newCounter(w, appsintoss.Name, goods, h), bought: map[string]*TossOrder{}}
}

// TossOrder is an order, and the subscription that it began if it did.
type TossOrder struct {
	ID, SKU string
	Buyer   int
	UserKey string
	renews  bool
	stands  known[tossStands]
	order   *Order
	ends    time.Time
	status  string
	on      bool
	at      time.Time // of the last event
	poor    bool
	turn    int
}

type tossStands struct {
	state purchase.SaleState
}

// How the adapter asks (appsintoss.look).
const (
	mostRequests = 30
	mostLook     = 25 * time.Second
	firstPause   = 350 * time.Millisecond
	mostPause    = 2 * time.Second
	mostMissing  = 6
	knownMissing = 3
	mostTroubles = 3
	pollWithin   = 3 * time.Second
	pollPause    = 30 * time.Millisecond
	pollDaily    = 24 * time.Hour
	tossGraceFor = 30 * 24 * time.Hour // at most, while nothing is heard
)

// OrderOf is the order's id.
func (s *AppsInToss) OrderOf(p purchase.Proof) (string, bool) { return p.Evidence, p.Evidence != "" }

// Look asks how an order stands.
func (s *AppsInToss) Look(_ context.Context, p purchase.Proof) (purchase.News, error) {
	return s.look(p, mostMissing, mostLook)
}

func (s *AppsInToss) look(p purchase.Proof, missing int, budget time.Duration) (purchase.News, error) {
	var pending *purchase.Sale
	var slept time.Duration
	pause, misses, troubles := firstPause, 0, 0
	givenUp := func() (purchase.News, error) {
		if pending != nil {
			return purchase.News{Sales: []purchase.Sale{*pending}}, nil
		}
		return purchase.News{}, outage(s.name)
	}
	for range mostRequests {
		sale, found, err := s.once(p)
		wait := firstPause
		switch {
		case err != nil && errors.Is(err, fault.Invalid):
			return purchase.News{}, err
		case err != nil:
			if troubles++; troubles == mostTroubles {
				return givenUp()
			}
		case !found:
			if misses++; misses == missing && pending == nil {
				return purchase.News{}, unknown(s.name)
			}
		case sale.State == purchase.Pending:
			pending, wait = &sale, pause
			pause = min(pause*3/2, mostPause)
		default:
			news := purchase.News{Sales: []purchase.Sale{sale}}
			if sale.State == purchase.Paid {
				news.Again = s.world.Clock().Now().Add(pollDaily)
			}
			return news, nil
		}
		if slept+wait >= budget {
			return givenUp()
		}
		slept += wait
		s.world.Pass(wait)
	}
	return givenUp()
}

// once makes one request (get-order-status); found is false for an order that is not known.
func (s *AppsInToss) once(p purchase.Proof) (sale purchase.Sale, found bool, err error) {
	asOf := s.world.Clock().Now()
	as, err := s.ask("order", p.Evidence)
	if err != nil {
		return sale, false, err
	}
	o := s.bought[p.Evidence]
	var st tossStands
	if found = o != nil; found {
		st, found = o.stands.as(as)
	}
	s.world.Crossed()
	if !found || p.UserKey != "" && p.UserKey != o.UserKey {
		return sale, false, nil
	}
	if p.SKU != "" && p.SKU != o.SKU {
		return sale, false, fault.New(fault.Invalid, "invalid_purchase", "The order is of another product.")
	}
	return purchase.Sale{Store: s.name, Line: o.ID, Order: o.ID, SKU: o.SKU, AsOf: asOf, Quantity: 1, State: st.state}, true, nil
}

// Follow asks how a granted order stands.
func (s *AppsInToss) Follow(_ context.Context, l purchase.Line) (purchase.News, bool, error) {
	s.world.Pass(pollPause)
	news, err := s.look(purchase.Proof{Store: s.name, Evidence: l.Order}, knownMissing, pollWithin)
	again := poll(l.Since, s.world.Clock().Now())
	switch {
	case errors.Is(err, fault.NotFound):
		return purchase.News{Again: again}, true, err
	case err != nil:
		return purchase.News{}, true, err
	case news.Sales[0].State == purchase.Pending:
		return purchase.News{}, true, outage(s.name)
	case news.Sales[0].State == purchase.Paid:
		news.Again = again
	}
	return news, true, nil
}

// poll is when an order is to be asked about again (appsintoss.poll).
func poll(since, now time.Time) time.Time {
	const day = 24 * time.Hour
	switch age := now.Sub(since); {
	case age < 30*day:
		return now.Add(day)
	case age < 45*day:
		return now.Add(3 * day)
	case age < 180*day:
		return now.Add(7 * day)
	}
	return time.Time{}
}

// Hear takes over what an event brought, and asks how the order stands.
func (s *AppsInToss) Hear(_ context.Context, evidence string) (purchase.News, error) {
	e, err := appsintoss.ParseEvent([]byte(evidence))
	if err != nil || e.OrderID == "" {
		return purchase.News{}, err
	}
	news := told(e, s.world.Clock().Now())
	found, err := s.look(purchase.Proof{Store: s.name, Evidence: e.OrderID}, knownMissing, pollWithin)
	switch {
	case err == nil:
		news.Again = found.Again
		return agreed(news, found.Sales[0])
	case errors.Is(err, fault.NotFound):
		news.Again = s.world.Clock().Now().Add(pollDaily)
		return news, nil
	case errors.Is(err, fault.Unavailable):
		news.Unasked, news.Sales[0].State = true, purchase.Paid
		return news, nil
	}
	return purchase.News{}, err
}

// told is the adapter's word of an event (appsintoss.told).
func told(e appsintoss.Event, now time.Time) purchase.News {
	sale := purchase.Sale{
		Store: appsintoss.Name, Line: e.OrderID, Order: e.OrderID, SKU: e.SKU, State: purchase.Paid, AsOf: now, Quantity: 1,
		Told: true, Blind: true, Until: e.ExpiresAt, WillRenew: e.AutoRenew,
	}
	stands := purchase.Standing{AsOf: e.At, WillRenew: e.AutoRenew}
	if !e.AutoRenew {
		stands.Reason = purchase.ByTheUnsaid
	}
	access := e.AccessGranted
	switch e.Status {
	case tossGrace, tossHold:
		stands.Retrying = true
	case tossRevoked:
		sale.State, access = purchase.Refunded, false
	}
	switch {
	case !access:
		sale.Ended, sale.Until = true, earlier(now, e.At)
		if !e.ExpiresAt.IsZero() {
			sale.Until = earlier(sale.Until, e.ExpiresAt)
		}
		stands.AsOf = e.At.Add(1)
	case e.Status == tossGrace:
		sale.Ended, sale.Until, stands.GraceUntil = true, e.ExpiresAt, e.At.Add(tossGraceFor)
		if e.ExpiresAt.IsZero() {
			sale.Until = e.At
		}
	case e.ExpiresAt.IsZero():
		sale.Until = e.At.Add(purchase.ReviewWithin)
		if p := e.Previous; p != nil && p.ExpiresAt.After(sale.Until) {
			sale.Until = p.ExpiresAt
		}
	}
	return purchase.News{Sales: []purchase.Sale{sale}, Standing: stands}
}

// agreed is appsintoss.agreed.
func agreed(news purchase.News, found purchase.Sale) (purchase.News, error) {
	switch found.State {
	case purchase.Refunded, purchase.Failed:
		return purchase.News{Sales: []purchase.Sale{found}, Standing: news.Standing}, nil
	case purchase.Pending:
		return purchase.News{}, outage(appsintoss.Name)
	case purchase.Paid, purchase.Replaced:
	}
	news.Sales[0].State = purchase.Paid
	news.Sales[0].PurchasedAt = found.PurchasedAt
	return news, nil
}

// Report is never called.
func (s *AppsInToss) Report(context.Context, purchase.Sale, purchase.Usage) error {
	panic("shop: Apps-in-Toss asks nothing")
}

// Complete is what the app tells the store once we said that it is granted.
func (s *AppsInToss) Complete(id string) {
	if o := s.bought[id]; o != nil && o.order != nil && o.order.Acknowledged.IsZero() {
		o.order.Acknowledged = s.now()
		s.world.Tell(s.name, "hears that it is delivered", id)
		s.Watch.tell(s.Watch.Acknowledged, o.order)
	}
}

// The statuses of a subscription.
const (
	tossActive  = "ACTIVE"
	tossGrace   = "IN_GRACE_PERIOD"
	tossHold    = "ON_HOLD"
	tossExpired = "EXPIRED"
	tossRevoked = "REVOKED"
)

// Buy begins an order: its money is taken at once, or it is in progress until Settle.
func (s *AppsInToss) Buy(sku string, buyer int, userKey string, pending bool) *TossOrder {
	goods, _ := s.goods.BySKU(s.name, sku)
	o := &TossOrder{ID: s.next("0197a0c0-0000-7000-8000-00000000"), SKU: sku, Buyer: buyer, UserKey: userKey, renews: goods.Kind == catalog.Subscription}
	s.bought[o.ID] = o
	o.stands.set(s.now(), tossStands{purchase.Pending})
	if !pending {
		s.Settle(o, true)
	}
	return o
}

// Settle ends an order in progress.
func (s *AppsInToss) Settle(o *TossOrder, paid bool) {
	switch {
	case o.stands.is.state != purchase.Pending:
	case !paid:
		o.stands.set(s.now(), tossStands{purchase.Failed})
	default:
		o.stands.set(s.now(), tossStands{purchase.Paid})
		if o.renews {
			o.on, o.status = true, tossActive
			o.ends = signed(s.now().AddDate(0, 1, 0))
		}
		o.order = s.sold(&Order{ID: o.ID, Line: o.ID, SKU: o.SKU, Buyer: o.Buyer, Until: o.ends})
		if o.renews {
			s.event(o, "CREATED")
			s.plan(o, o.ends, s.due)
		}
	}
}

// Order is the money of it, nil while it is in progress or failed.
func (o *TossOrder) Order() *Order { return o.order }

// Running says whether a subscription goes on.
func (o *TossOrder) Running() bool {
	return o.status == tossActive || o.status == tossGrace || o.status == tossHold
}

// WillRenew says whether its money is to be taken again.
func (o *TossOrder) WillRenew() bool { return o.Running() && o.on }

// Access is until when it gives access; ok is false where it gives none.
func (o *TossOrder) Access(now time.Time) (until time.Time, ok bool) {
	switch {
	case o.order == nil || !o.order.Paid():
		return time.Time{}, false
	case !o.renews:
		return time.Time{}, true
	case o.status == tossGrace:
		return o.at.Add(tossGraceFor), true // what bounds it, for nobody says until when
	}
	return o.ends, o.status == tossActive && o.ends.After(now)
}

// Changed is when it last did.
func (o *TossOrder) Changed() time.Time { return later(o.stands.since, o.at) }

// ByID is an order by its id.
func (s *AppsInToss) ByID(id string) *TossOrder { return s.bought[id] }

func (s *AppsInToss) plan(o *TossOrder, at time.Time, do func(*TossOrder)) {
	o.turn++
	turn := o.turn
	s.world.At(at, func() {
		if o.turn == turn {
			do(o)
		}
	})
}

// due is the end of a period.
func (s *AppsInToss) due(o *TossOrder) {
	switch {
	case !o.on:
		s.expire(o)
	case o.poor || s.dice(s.habits.Poor):
		o.poor, o.status = true, tossGrace
		s.event(o, "ENTERED_GRACE_PERIOD")
		s.plan(o, s.now().Add(s.within(7*24*time.Hour)), s.retry)
	default:
		s.renew(o, o.ends, "RENEWED")
	}
}

func (s *AppsInToss) retry(o *TossOrder) {
	switch s.world.Dice.IntN(3) {
	case 0:
		s.renew(o, o.ends, "RECOVERED")
	case 1:
		if o.status != tossHold {
			o.status = tossHold
			s.event(o, "ON_HOLD")
		}
		s.plan(o, s.now().Add(s.within(20*24*time.Hour)), func(o *TossOrder) {
			if s.world.Dice.IntN(2) == 0 {
				s.renew(o, s.now(), "RECOVERED")
				return
			}
			s.expire(o)
		})
	default:
		s.expire(o)
	}
}

// renew takes the money of the next period under the same order.
func (s *AppsInToss) renew(o *TossOrder, from time.Time, why string) {
	o.poor, o.status, o.on = false, tossActive, true
	o.ends = signed(from.AddDate(0, 1, 0))
	o.order.Until = o.ends
	s.world.Tell(s.name, "renews", o.ID)
	s.event(o, why)
	s.plan(o, o.ends, s.due)
}

func (s *AppsInToss) expire(o *TossOrder) {
	o.status, o.on = tossExpired, false
	o.ends = earlier(o.ends, signed(s.now()))
	o.turn++
	s.event(o, "EXPIRED")
}

// Cancel has the customer turn renewal off, and Resume on again.
func (s *AppsInToss) Cancel(o *TossOrder) {
	if o.Running() && o.on {
		o.on = false
		s.event(o, "AUTO_RENEW_DISABLED")
	}
}

// Resume has the customer turn renewal on again.
func (s *AppsInToss) Resume(o *TossOrder) {
	if o.status == tossActive && !o.on {
		o.on = true
		s.event(o, "AUTO_RENEW_ENABLED")
	}
}

// Refund gives all of the money back. Of what does not renew, or not any more, nobody is told.
func (s *AppsInToss) Refund(o *TossOrder) {
	if o.order == nil || !o.order.Paid() {
		return
	}
	o.stands.set(s.now(), tossStands{purchase.Refunded})
	o.order.Quiet = !o.renews || !o.Running()
	s.returned(o.order, wholly, 0)
	if o.renews && o.Running() {
		o.status, o.on = tossRevoked, false
		o.turn++
		s.event(o, "REVOKED")
	}
}

// event tells of how a subscription stands now.
func (s *AppsInToss) event(o *TossOrder, why string) {
	at := s.now().Truncate(time.Millisecond)
	if !at.After(o.at) {
		at = o.at.Add(time.Millisecond)
	}
	o.at = at
	e := appsintoss.Event{
		Type: appsintoss.StatusChanged, OccurredAt: at.Format(time.RFC3339Nano), At: at, OrderID: o.ID, SKU: o.SKU, Reason: why,
		Status: o.status, AccessGranted: o.status == tossActive || o.status == tossGrace, ExpiresAt: o.ends, AutoRenew: o.on,
	}
	body := e.Evidence()
	sum := sha256.Sum256([]byte(body))
	h := notice.Hint{
		ID: "sha256-" + hex.EncodeToString(sum[:]), Type: "subscription." + strings.ToLower(why), Order: purchase.OrderID(s.name, o.ID), Line: o.ID, Evidence: body,
	}
	o.order.Unheard = !s.post(h)
}

package play

import (
	"encoding/json"
	"net/http"
	"strconv"

	"grantline/infra/sim/stage"
)

// The states of a one-time purchase (PurchaseStateContext), by the numbers of the first
// version too.
const (
	statePurchased = 0
	stateCancelled = 1
	statePending   = 2
)

var purchaseStates = []string{"PURCHASED", "CANCELLED", "PENDING"}

// goods are the products of a one-time purchase.
type goods struct {
	state    int // where it was completed; else it is pending
	items    []*bundle
	consumed bool
	refunded bool // all the money, whether or not it was taken away
}

// bundle is one product of a purchase in its quantity.
type bundle struct {
	pick

	returned int // of the quantity, refunded
}

func newGoods(picks []pick) *goods {
	g := &goods{}
	for _, k := range picks {
		g.items = append(g.items, &bundle{pick: k})
	}
	return g
}

// stands is the state of a one-time purchase.
func (p *purchase) stands() int {
	if p.goods.state != stateCancelled && p.completed.IsZero() {
		return statePending
	}
	return p.goods.state
}

// left is what has not been refunded.
func (g *goods) left(b *bundle) int {
	if g.refunded {
		return 0
	}
	return b.quantity - b.returned
}

type (
	wireProductV2 struct {
		Kind         string           `json:"kind"`
		Items        []wireLineItem   `json:"productLineItem"`
		State        wireState        `json:"purchaseStateContext"`
		Test         *wireTest        `json:"testPurchaseContext,omitempty"`
		OrderID      string           `json:"orderId,omitempty"`
		Account      string           `json:"obfuscatedExternalAccountId,omitempty"`
		Profile      string           `json:"obfuscatedExternalProfileId,omitempty"`
		Region       string           `json:"regionCode"`
		Completed    string           `json:"purchaseCompletionTime,omitempty"`
		Acknowledged acknowledgeState `json:"acknowledgementState"`
	}
	wireState struct {
		State string `json:"purchaseState"`
	}
	wireTest struct {
		FOP string `json:"fopType"`
	}
	wireLineItem struct {
		ID    string    `json:"productId"`
		Offer wireOffer `json:"productOfferDetails"`
	}
	wireOffer struct {
		Option      string    `json:"purchaseOptionId,omitempty"`
		Rent        *struct{} `json:"rentOfferDetails,omitempty"`
		Quantity    int       `json:"quantity"`
		Refundable  *int      `json:"refundableQuantity,omitempty"`
		Consumption string    `json:"consumptionState"`
	}
	acknowledgeState bool
)

// MarshalText writes the word of the API.
func (a acknowledgeState) MarshalText() ([]byte, error) {
	if a {
		return []byte("ACKNOWLEDGEMENT_STATE_ACKNOWLEDGED"), nil
	}
	return []byte("ACKNOWLEDGEMENT_STATE_PENDING"), nil
}

// count is a quantity as it is written: Google's JSON leaves out what is 0.
func (s *Simulator) count(n int) *int {
	if n == 0 && !*s.settings.WriteZeros {
		return nil
	}
	return &n
}

func (s *Simulator) productV2(q *query) stage.Answer {
	q.pause()
	s.mu.Lock()
	defer s.mu.Unlock()
	p, refused := s.lookUp(q, false)
	if refused != nil {
		return refused.answer()
	}
	w := wireProductV2{
		Kind: "androidpublisher#productPurchaseV2", State: wireState{purchaseStates[p.stands()]}, OrderID: p.base,
		Account: p.account, Profile: p.profile, Region: p.region, Completed: s.instant(p.completed), Acknowledged: acknowledgeState(p.acknowledged),
	}
	if p.test {
		w.Test = &wireTest{"TEST"}
	}
	for _, b := range p.goods.items {
		offer := wireOffer{Option: b.plan.id, Quantity: b.quantity, Refundable: s.count(p.goods.left(b)), Consumption: "CONSUMPTION_STATE_YET_TO_BE_CONSUMED"}
		if b.plan.rental {
			offer.Rent = &struct{}{}
		}
		if p.goods.consumed {
			offer.Consumption = "CONSUMPTION_STATE_CONSUMED"
		}
		w.Items = append(w.Items, wireLineItem{b.product.id, offer})
	}
	return stage.JSON(http.StatusOK, w)
}

type wireProductV1 struct {
	Kind         string `json:"kind"`
	Time         string `json:"purchaseTimeMillis"`
	State        int    `json:"purchaseState"`
	Consumption  int    `json:"consumptionState"`
	OrderID      string `json:"orderId,omitempty"`
	Type         *int   `json:"purchaseType,omitempty"`
	Acknowledged int    `json:"acknowledgementState"`
	Quantity     int    `json:"quantity,omitempty"`
	Account      string `json:"obfuscatedExternalAccountId,omitempty"`
	Profile      string `json:"obfuscatedExternalProfileId,omitempty"`
	Region       string `json:"regionCode"`
	Refundable   *int   `json:"refundableQuantity,omitempty"`
}

// product finds the purchase of a call that names its product too.
func (s *Simulator) product(q *query) (*purchase, *bundle, *apiError) {
	p, refused := s.lookUp(q, false)
	if refused != nil {
		return nil, nil, refused
	}
	for _, b := range p.goods.items {
		if b.product.id == q.given[0] {
			return p, b, nil
		}
	}
	return nil, nil, otherProduct
}

func (s *Simulator) productV1(q *query) stage.Answer {
	q.pause()
	s.mu.Lock()
	defer s.mu.Unlock()
	p, b, refused := s.product(q)
	if refused != nil {
		return refused.answer()
	}
	w := wireProductV1{
		Kind: "androidpublisher#productPurchase", Time: strconv.FormatInt(p.asked.UnixMilli(), 10), State: p.stands(), OrderID: p.base,
		Account: p.account, Profile: p.profile, Region: p.region, Refundable: s.count(p.goods.left(b)),
	}
	if b.quantity > 1 {
		w.Quantity = b.quantity
	}
	if p.goods.consumed {
		w.Consumption = 1
	}
	if p.acknowledged {
		w.Acknowledged = 1
	}
	switch {
	case p.test:
		w.Type = ptr(0)
	case p.promo:
		w.Type = ptr(1)
	case p.rewarded:
		w.Type = ptr(2)
	}
	return stage.JSON(http.StatusOK, w)
}

// alone has one call at a time change a purchase, with a pause between its claim and its
// effect; the other is refused, as Google does.
func (s *Simulator) alone(q *query, find func() (*purchase, *apiError), do func(p *purchase) *apiError) stage.Answer {
	s.mu.Lock()
	p, refused := find()
	if refused == nil && p.busy {
		refused = concurrent
	}
	if refused != nil {
		s.mu.Unlock()
		return refused.answer()
	}
	p.busy = true
	s.mu.Unlock()
	q.pause()
	s.mu.Lock()
	defer s.mu.Unlock()
	p.busy = false
	if refused := do(p); refused != nil {
		return refused.answer()
	}
	return empty
}

// acknowledgement is the body of an acknowledgement.
type acknowledgement struct {
	Payload  string `json:"developerPayload"`
	External *struct {
		Account string `json:"obfuscatedAccountId"`
		Profile string `json:"obfuscatedProfileId"`
	} `json:"externalAccountIds"`
}

// decode reads the body of a call; none at all is an empty one.
func (q *query) decode(into any) bool {
	return len(q.body) == 0 || json.Unmarshal(q.body, into) == nil
}

var malformed = invalid("body", "Invalid JSON payload received.")

func (s *Simulator) acknowledgeProduct(q *query) stage.Answer {
	var in acknowledgement
	if !q.decode(&in) || in.External != nil {
		return malformed.answer()
	}
	return s.alone(q, func() (*purchase, *apiError) { p, _, refused := s.product(q); return p, refused }, s.acknowledgeGoods)
}

// acknowledgeGoods notes that a purchase was acknowledged; again it does nothing.
func (s *Simulator) acknowledgeGoods(p *purchase) *apiError {
	switch {
	case p.stands() != statePurchased:
		return wrongState
	case p.goods.consumed:
		return notOwned
	}
	s.acknowledged(p)
	return nil
}

func (s *Simulator) acknowledged(p *purchase) {
	if p.acknowledged {
		return
	}
	p.acknowledged = true
	s.record("acknowledged", p, p.base)
}

func (s *Simulator) consumeProduct(q *query) stage.Answer {
	return s.alone(q, func() (*purchase, *apiError) { p, _, refused := s.product(q); return p, refused }, s.consumeGoods)
}

// consumeGoods takes a purchase from the customer, who may buy it again.
func (s *Simulator) consumeGoods(p *purchase) *apiError {
	switch {
	case p.stands() == statePending:
		return wrongState
	case p.goods.consumed || p.stands() == stateCancelled:
		return notOwned
	}
	p.acknowledged, p.goods.consumed = true, true
	s.record("consumed", p, p.base)
	return nil
}

// Acknowledge has the app acknowledge a purchase, as its billing library can.
func (s *Simulator) Acknowledge(h Held) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.purchaseOf(h.PurchaseToken)
	if err != nil {
		return err
	}
	act := s.acknowledgeGoods
	if p.subscription != nil {
		act = s.acknowledgeLine
	}
	if refused := act(p); refused != nil {
		return refused
	}
	return nil
}

// Consume has the app consume a purchase.
func (s *Simulator) Consume(h Held) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.purchaseOf(h.PurchaseToken)
	if err != nil {
		return err
	}
	if p.subscription != nil {
		return invalidToken
	}
	if refused := s.consumeGoods(p); refused != nil {
		return refused
	}
	return nil
}

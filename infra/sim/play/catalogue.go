package play

import (
	"encoding/base64"
	"net/http"
	"strconv"

	"grantline/infra/sim/stage"
)

// Pages of the catalogue (monetization, pageSize).
const (
	pageSize     = 50
	mostPageSize = 1000
)

// page cuts the part of a list that a call asks for.
func page[T any](q *query, list []T) (part []T, next string, refused *apiError) {
	size, from := pageSize, 0
	if text := q.URL.Query().Get("pageSize"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			return nil, "", invalid("pageSize", "Invalid page size.")
		}
		if n > 0 {
			size = min(n, mostPageSize)
		}
	}
	if text := q.URL.Query().Get("pageToken"); text != "" {
		raw, err := base64.RawURLEncoding.DecodeString(text)
		n, bad := strconv.Atoi(string(raw))
		if err != nil || bad != nil || n < 0 || n > len(list) {
			return nil, "", invalid("pageToken", "Invalid page token.")
		}
		from = n
	}
	to := min(from+size, len(list))
	if to < len(list) {
		next = base64.RawURLEncoding.EncodeToString([]byte(strconv.Itoa(to)))
	}
	return list[from:to], next, nil
}

type wireListing struct {
	Language    string `json:"languageCode"`
	Title       string `json:"title"`
	Description string `json:"description,omitempty"`
}

func (p *product) listings() []wireListing {
	return []wireListing{{"ko-KR", p.title, p.title + " (simulated)"}, {"en-US", p.title, ""}}
}

// regional is a price in a region; the field that says whether it is sold there is another
// for subscriptions than for one-time products.
type regional struct {
	Region       string     `json:"regionCode"`
	Price        *wireMoney `json:"price"`
	NewCustomers bool       `json:"newSubscriberAvailability,omitempty"`
	Availability string     `json:"availability,omitempty"`
}

// regions are where everything is sold, each with its currency.
func (p *plan) regions() []regional {
	own := regional{Region: "KR", Price: p.price.wire()}
	if p.price.currency != "KRW" {
		own.Region = "US"
		return []regional{own}
	}
	return []regional{own, {Region: "US", Price: money{p.price.amount/1000*100 - 1, "USD"}.wire()}}
}

type (
	wireOption struct {
		ID        string         `json:"purchaseOptionId"`
		State     string         `json:"state"`
		Buy       map[string]any `json:"buyOption,omitempty"`
		Rent      map[string]any `json:"rentOption,omitempty"`
		Regions   []regional     `json:"regionalPricingAndAvailabilityConfigs"`
		OfferTags []any          `json:"offerTags,omitempty"`
	}
	wireOneTime struct {
		Package  string            `json:"packageName"`
		ID       string            `json:"productId"`
		Listings []wireListing     `json:"listings"`
		Options  []wireOption      `json:"purchaseOptions"`
		Regions  map[string]string `json:"regionsVersion"`
	}
	wireBasePlan struct {
		ID           string         `json:"basePlanId"`
		State        string         `json:"state"`
		Regions      []regional     `json:"regionalConfigs"`
		AutoRenewing map[string]any `json:"autoRenewingBasePlanType,omitempty"`
		Prepaid      map[string]any `json:"prepaidBasePlanType,omitempty"`
		Installments map[string]any `json:"installmentsBasePlanType,omitempty"`
	}
	wireSubscriptionGoods struct {
		Package   string         `json:"packageName"`
		ID        string         `json:"productId"`
		Listings  []wireListing  `json:"listings"`
		BasePlans []wireBasePlan `json:"basePlans"`
	}
)

// goods are the products of one kind.
func (s *Simulator) goods(subscriptions bool) (list []*product) {
	for _, p := range s.catalogue {
		if p.subscription == subscriptions {
			list = append(list, p)
		}
	}
	return list
}

// listed answers a page under a name.
func listed[T any](name string, part []T, next string) stage.Answer {
	body := map[string]any{}
	if len(part) > 0 {
		body[name] = part
	}
	if next != "" {
		body["nextPageToken"] = next
	}
	return stage.JSON(http.StatusOK, body)
}

func (s *Simulator) listOneTimeProducts(q *query) stage.Answer {
	q.pause()
	s.mu.Lock()
	defer s.mu.Unlock()
	part, next, refused := page(q, s.goods(false))
	if refused != nil {
		return refused.answer()
	}
	var list []wireOneTime
	for _, p := range part {
		w := wireOneTime{Package: q.app, ID: p.id, Listings: p.listings(), Regions: map[string]string{"version": "2025/03"}}
		for _, o := range p.plans {
			option := wireOption{ID: o.id, State: o.state, Regions: o.regions()}
			for i := range option.Regions {
				option.Regions[i].Availability = "AVAILABLE"
			}
			if o.rental {
				option.Rent = map[string]any{"rentalPeriod": "P30D", "expirationPeriod": o.iso}
			} else {
				option.Buy = map[string]any{"legacyCompatible": true, "multiQuantityEnabled": true}
			}
			w.Options = append(w.Options, option)
		}
		list = append(list, w)
	}
	return listed("oneTimeProducts", list, next)
}

func (s *Simulator) listSubscriptions(q *query) stage.Answer {
	q.pause()
	s.mu.Lock()
	defer s.mu.Unlock()
	part, next, refused := page(q, s.goods(true))
	if refused != nil {
		return refused.answer()
	}
	var list []wireSubscriptionGoods
	for _, p := range part {
		w := wireSubscriptionGoods{Package: q.app, ID: p.id, Listings: p.listings()}
		for _, b := range p.plans {
			base := wireBasePlan{ID: b.id, State: b.state, Regions: b.regions()}
			for i := range base.Regions {
				base.Regions[i].NewCustomers = b.state == onSale
			}
			switch of := map[string]any{"billingPeriodDuration": b.iso}; {
			case b.prepaid:
				of["timeExtension"] = "TIME_EXTENSION_ACTIVE"
				base.Prepaid = of
			case b.committed > 0:
				of["committedPaymentsCount"], of["renewalType"] = b.committed, "RENEWAL_TYPE_RENEWS_WITHOUT_COMMITMENT"
				of["gracePeriodDuration"], of["accountHoldDuration"] = "P7D", "P53D"
				base.Installments = of
			default:
				of["gracePeriodDuration"], of["accountHoldDuration"], of["resubscribeState"] = "P7D", "P53D", "RESUBSCRIBE_STATE_ACTIVE"
				base.AutoRenewing = of
			}
			w.BasePlans = append(w.BasePlans, base)
		}
		list = append(list, w)
	}
	return listed("subscriptions", list, next)
}

// wirePlanOffer is an offer of a base plan: here all are free first weeks.
type wirePlanOffer struct {
	Package  string           `json:"packageName"`
	Product  string           `json:"productId"`
	BasePlan string           `json:"basePlanId"`
	ID       string           `json:"offerId"`
	State    string           `json:"state"`
	Regions  []map[string]any `json:"regionalConfigs"`
	Phases   []map[string]any `json:"phases"`
}

// listSubscriptionOffers answers those of all subscriptions, or of one of them and one base
// plan, where "-" is any.
func (s *Simulator) listSubscriptionOffers(q *query) stage.Answer {
	q.pause()
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []wirePlanOffer
	for _, p := range s.goods(true) {
		for _, b := range p.plans {
			if product, base := q.given[0], q.given[1]; product != everyOne && product != p.id || base != everyOne && base != b.id {
				continue
			}
			for _, offer := range b.offers {
				w := wirePlanOffer{Package: q.app, Product: p.id, BasePlan: b.id, ID: offer, State: b.state}
				var free []map[string]any
				for _, r := range b.regions() {
					w.Regions = append(w.Regions, map[string]any{"regionCode": r.Region, "newSubscriberAvailability": true})
					free = append(free, map[string]any{"regionCode": r.Region, "free": map[string]any{}})
				}
				w.Phases = []map[string]any{{"duration": "P7D", "recurrenceCount": 1, "regionalConfigs": free}}
				all = append(all, w)
			}
		}
	}
	part, next, refused := page(q, all)
	if refused != nil {
		return refused.answer()
	}
	return listed("subscriptionOffers", part, next)
}

// everyOne stands for all products in the path of a list.
const everyOne = "-"

// listOneTimeOffers answers none: one-time products have no offers here.
func (s *Simulator) listOneTimeOffers(q *query) stage.Answer {
	q.pause()
	part, next, refused := page(q, []wirePlanOffer(nil))
	if refused != nil {
		return refused.answer()
	}
	return listed("oneTimeProductOffers", part, next)
}

package dodo

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"grantline/infra/sim/stage"
)

// page is what every list can be asked for: which part of it, and of when.
type page struct {
	number, size int
	from, to     time.Time // zero is without bound; both are included
}

// readPage reads a page, or gives the name of what cannot be read.
func readPage(given url.Values) (page, string) {
	p := page{size: 10}
	for _, field := range []struct {
		name string
		to   *int
		most int
	}{{"page_number", &p.number, 1 << 20}, {"page_size", &p.size, 100}} {
		if text := given.Get(field.name); text != "" {
			n, err := strconv.Atoi(text)
			if err != nil || n < 0 || n > field.most {
				return p, field.name
			}
			*field.to = n
		}
	}
	for _, field := range []struct {
		name string
		to   *time.Time
	}{{"created_at_gte", &p.from}, {"created_at_lte", &p.to}} {
		if text := given.Get(field.name); text != "" {
			at, err := time.Parse(time.RFC3339, text)
			if err != nil {
				return p, field.name
			}
			*field.to = at
		}
	}
	return p, ""
}

// holds says whether something made at an instant is in the time that was asked for.
func (p page) holds(at time.Time) bool {
	return (p.from.IsZero() || !at.Before(p.from)) && (p.to.IsZero() || !at.After(p.to))
}

// cut sorts what was found by when it was made, and leaves the page of it.
func cut[T any](p page, order string, found []T, made func(T) time.Time) []T {
	slices.SortStableFunc(found, func(a, b T) int { return made(a).Compare(made(b)) })
	if order == "desc" {
		slices.Reverse(found)
	}
	from := min(p.number*p.size, len(found))
	return found[from:min(from+p.size, len(found))]
}

// list pages through payments by the documented filters alone; others, such as metadata,
// are ignored. What was made a moment ago is not in it yet.
func (s *Simulator) list(q *query) stage.Answer {
	given := q.URL.Query()
	asked, wrong := readPage(given)
	if wrong != "" {
		return refusal("INVALID_QUERY_PARAMS", wrong)
	}
	q.pause()
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.stage.Now()
	var found []*payment
	for _, p := range s.ordered {
		sub := p.subscription
		if !p.hidden && !p.shown.After(now) && asked.holds(p.created) &&
			fits(given.Get("subscription_id"), sub.id) && fits(given.Get("customer_id"), sub.customer.ID) &&
			fits(given.Get("status"), p.status) && fits(given.Get("currency"), p.currency) &&
			fits(given.Get("product_id"), sub.product) && fits(given.Get("brand_id"), s.brand) {
			found = append(found, p)
		}
	}
	items := []object{}
	for _, p := range cut(asked, *s.settings.SortOrder, found, func(p *payment) time.Time { return p.created }) {
		items = append(items, s.item(p))
	}
	return stage.JSON(http.StatusOK, object{"items": items})
}

// listRefunds pages through refunds as list does through payments. Their metadata is not
// shown.
func (s *Simulator) listRefunds(q *query) stage.Answer {
	given := q.URL.Query()
	asked, wrong := readPage(given)
	if wrong != "" {
		return refusal("INVALID_QUERY_PARAMS", wrong)
	}
	q.pause()
	s.mu.Lock()
	defer s.mu.Unlock()
	horizon := s.stage.Now().Add(-time.Duration(*s.settings.ListLag))
	var found []*refund
	for _, r := range s.refunded {
		sub := r.payment.subscription
		if !r.created.After(horizon) && asked.holds(r.created) && fits(given.Get("status"), r.status) &&
			fits(given.Get("subscription_id"), sub.id) && fits(given.Get("customer_id"), sub.customer.ID) {
			found = append(found, r)
		}
	}
	items := []object{}
	for _, r := range cut(asked, *s.settings.SortOrder, found, func(r *refund) time.Time { return r.created }) {
		items = append(items, s.listed(r))
	}
	return stage.JSON(http.StatusOK, object{"items": items})
}

// listDisputes pages through disputes as list does through payments. As everywhere they name
// their payment alone.
func (s *Simulator) listDisputes(q *query) stage.Answer {
	given := q.URL.Query()
	asked, wrong := readPage(given)
	if status := given.Get("dispute_status"); wrong == "" && status != "" && !slices.Contains(disputeWords, strings.TrimPrefix(status, "dispute_")) {
		wrong = "dispute_status"
	}
	if wrong != "" {
		return refusal("INVALID_QUERY_PARAMS", wrong)
	}
	q.pause()
	s.mu.Lock()
	defer s.mu.Unlock()
	horizon := s.stage.Now().Add(-time.Duration(*s.settings.ListLag))
	type listed struct {
		of *payment
		*dispute
	}
	var found []listed
	for _, p := range s.ordered {
		for _, d := range p.disputes {
			if !d.at.After(horizon) && asked.holds(d.at) && fits(given.Get("dispute_status"), d.status) &&
				fits(given.Get("dispute_stage"), disputeStage) && fits(given.Get("customer_id"), p.subscription.customer.ID) {
				found = append(found, listed{p, d})
			}
		}
	}
	items := []object{}
	for _, l := range cut(asked, *s.settings.SortOrder, found, func(l listed) time.Time { return l.at }) {
		o := s.shownDispute(l.of, l.dispute)
		delete(o, "remarks")
		items = append(items, o)
	}
	return stage.JSON(http.StatusOK, object{"items": items})
}

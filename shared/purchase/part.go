package purchase

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"grantline/shared/catalog"
	"grantline/shared/table"
)

// Part is how a part of a line stands, beside its terms.
type Part struct {
	Name     string   `json:"name"` // as Sale.Part
	Standing Standing `json:"standing,omitzero"`
	Over     bool     `json:"over,omitempty"` // its end was told of
}

// part is the line as if it were sold as that part alone.
func (r Record) part(name string) Record {
	all := r
	r.Terms, r.Parts = nil, nil
	for _, t := range all.Terms {
		if t.Part == name {
			r.Terms = append(r.Terms, t)
		}
	}
	if name == "" {
		return r
	}
	r.Standing, r.Over = Standing{}, false
	for _, p := range all.Parts {
		if p.Name == name {
			r.Standing, r.Over = p.Standing, p.Over
		}
	}
	return r
}

// parts are the names of what the line is sold as, "" alone for one that is one thing.
func (r Record) parts() []string {
	var names []string
	for _, t := range r.Terms {
		names = append(names, t.Part)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// ref is how a customer's source names a part.
func (r Record) ref(part string) string {
	if part == "" {
		return r.Line
	}
	return r.Line + "/" + part
}

// standing is that of a part.
func (n News) standing(part string) Standing {
	if part == "" {
		return n.Standing
	}
	return n.Parts[part]
}

// stand takes over a part's standing, unless it is older than what is known.
func (r Record) stand(part string, s Standing) Record {
	was := r.part(part).Standing
	// What a token said whose place another took is over with it, whenever it was said.
	by, held := r.held(was.Token)
	passed := was.Token != "" && was.Token != s.Token && (by.Over || !held)
	if !passed && !s.newer(was) {
		return r
	}
	return r.put(part, func(p *Part) { p.Standing = s })
}

// tell notes that a part's end was told of, or is none after all.
func (r Record) tell(part string, over bool) Record {
	if r.part(part).Over == over {
		return r
	}
	return r.put(part, func(p *Part) { p.Over = over })
}

func (r Record) put(part string, change func(p *Part)) Record {
	if part == "" {
		p := Part{Standing: r.Standing, Over: r.Over}
		change(&p)
		r.Standing, r.Over = p.Standing, p.Over
		return r
	}
	r.Parts = slices.Clone(r.Parts)
	at, found := slices.BinarySearchFunc(r.Parts, part, func(p Part, name string) int { return cmp.Compare(p.Name, name) })
	if !found {
		r.Parts = slices.Insert(r.Parts, at, Part{Name: part})
	}
	change(&r.Parts[at])
	return r
}

// checkAt is when the store should be asked of itself, zero for never.
func (r Record) checkAt(now time.Time, unasked bool) time.Time {
	at := soonest(r.due(now), r.Again)
	for _, name := range r.parts() {
		at = soonest(at, r.part(name).check(now, unasked))
	}
	return at
}

// soonest of two instants; zero is never.
func soonest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// named gives sales the line that they belong to. Where one movement of money paid for
// several parts, all of them but one have the part behind the order's id; which one that is
// stays as it was when the line met them first, or as the orders have it, known by their id.
func (r Record) named(line string, sales []Sale, known map[string]string) []Sale {
	sales = slices.Clone(sales)
	taken := map[string]string{} // part by order
	maps.Copy(taken, known)
	for _, t := range r.Terms {
		taken[t.Order] = t.Part
	}
	for i := range sales {
		s := &sales[i]
		s.Line = line
		if s.Part == "" {
			continue
		}
		id, own := OrderID(s.Store, s.Order), s.Order+":"+s.Part
		if _, before := taken[OrderID(s.Store, own)]; before {
			s.Order = own
		} else if part, used := taken[id]; used && part != s.Part {
			s.Order = own
		}
		taken[OrderID(s.Store, s.Order)] = s.Part
	}
	return sales
}

// match reads the orders of sales, and what keys name besides. What one order of the store's
// paid for may have other names in our book than it would be given now.
func (b *Book) match(ctx context.Context, now *state, keys []table.Key, sales []Sale) ([]Sale, error) {
	known := map[string]string{}
	for { // once more with each name that is met, of which there are two for each sale
		named := sales
		if now.line.Line != "" {
			named = now.line.named(now.line.Line, sales, known)
		}
		now.entries = nil
		keys := slices.Clone(keys)
		for _, s := range named {
			p, listed := b.Catalog.BySKU(s.Store, s.SKU)
			if s.Rented && p.Kind != catalog.NonRenewing {
				p, listed = catalog.Product{}, false // what it would give was not paid for
			}
			key := orderKey(now.scope, OrderID(s.Store, s.Order))
			now.entries = append(now.entries, entry{item: table.Item{Key: key}, sale: s, product: p, listed: listed})
			keys = append(keys, key)
		}
		if err := b.fill(ctx, now, keys); err != nil {
			return nil, err
		}
		before := len(known)
		for _, e := range now.entries {
			if e.was.ID != "" && e.was.Part != e.sale.Part {
				known[e.was.ID] = e.was.Part
			}
		}
		if len(known) == before {
			return named, nil
		}
	}
}

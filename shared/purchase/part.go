package purchase

import (
	"cmp"
	"slices"
	"time"
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

// stand takes over a part's standing, unless it is older than what is known.
func (r Record) stand(part string, s Standing) Record {
	if !s.newer(r.part(part).Standing) {
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

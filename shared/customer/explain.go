package customer

import (
	"context"
	"errors"
	"slices"
	"time"

	"grantline/shared/entitlement"
	"grantline/shared/event"
	"grantline/shared/fault"
	"grantline/shared/table"
)

// Explanation is an entitlement as it was at an instant, and what made it so.
type Explanation struct {
	Entitlement entitlement.Entitlement // without an ID where there was none
	// Because are the events that changed the sources which counted, each since its line began,
	// oldest first: the MostSteps that came last.
	Because []Step
	Earlier int // how many more there were before those
}

// Step is one event of an explanation.
type Step struct {
	Of    string // our own id of whom it happened to, where that was merged into the customer later
	Event event.Event
	at    time.Time // never before that of the one before it
}

// MostSteps is how many events an explanation shows.
const MostSteps = 200

const (
	recordsAPage = 250
	// mostRecords bounds what one explanation reads: decades of one customer, and of those who
	// were merged into it.
	mostRecords = 20_000
)

// Explain folds a customer's records up to an instant, and says what an entitlement was then
// and why. Who was merged is explained by its own records before that, and goes on with the
// other's. Errors: fault.Malformed for an id; fault.Invalid, history_too_long;
// fault.Unavailable.
func (d Directory) Explain(ctx context.Context, scope table.Scope, id, entitlementID string, at time.Time) (Explanation, error) {
	if err := ValidID(id); err != nil {
		return Explanation{}, err
	}
	ref, err := d.Identity.Ref(ctx, scope, id)
	if err != nil {
		return Explanation{}, err
	}
	a := &archive{tables: d.Tables, scope: scope, at: at, read: map[string]chronicle{}}
	h, err := a.follow(ctx, ref)
	if err != nil {
		return Explanation{}, err
	}
	var x Explanation
	for _, e := range entitlement.Of(h.state.Sources, at) {
		if e.ID == entitlementID {
			x.Entitlement = e
		}
	}
	for _, s := range x.Entitlement.Sources {
		if s.Gives(at) != x.Entitlement.Active {
			continue // it has no part in what the whole comes to
		}
		steps, err := a.steps(ctx, h, lineOf(s), "", mostHops)
		if err != nil {
			return Explanation{}, err
		}
		x.Because = append(x.Because, steps...)
	}
	x.Because = inOrder(x.Because)
	if x.Earlier = max(0, len(x.Because)-MostSteps); x.Earlier > 0 {
		x.Because = x.Because[x.Earlier:]
	}
	return x, nil
}

// inOrder sorts steps by when they happened, each once; those of one customer stay as they are.
func inOrder(steps []Step) []Step {
	slices.SortStableFunc(steps, func(a, b Step) int { return a.at.Compare(b.at) })
	var once []Step
	seen := map[step]bool{}
	for _, s := range steps {
		if k := (step{s.Of, s.Event.Sequence}); !seen[k] {
			seen[k] = true
			once = append(once, s)
		}
	}
	return once
}

type step struct {
	of       string
	sequence int64
}

// line is one purchase or subscription, whatever it opened in its time.
type line struct{ kind, provider, ref string }

func lineOf(s entitlement.Source) line { return line{s.Kind, s.Provider, s.Ref} }

// chronicle is what a customer's own records come to, and which of them changed what.
type chronicle struct {
	state State
	steps map[line][]Step
	into  string          // whom it was merged into
	from  map[string]bool // who was merged into it
	last  time.Time       // of all so far
}

// after is the chronicle with one more record.
func (h chronicle) after(r Record) chronicle {
	is := Step{Event: r.Event, at: r.At}
	if is.at.Before(h.last) {
		is.at = h.last // clocks of two functions differ, numbers do not
	}
	h.last = is.at
	touched := map[line]bool{}
	for _, s := range slices.Concat(r.Changes.Sources, r.Changes.Gone) {
		if l := lineOf(s); !touched[l] {
			touched[l] = true
			h.steps[l] = append(h.steps[l], is)
		}
	}
	switch {
	case r.Type == event.CustomerMerged && r.ToOther:
		h.into = r.Other
	case r.Type == event.CustomerMerged, r.Type == event.CustomerAliased:
		h.from[r.Other] = true
	}
	h.state = h.state.After(r)
	return h
}

// archive reads chronicles up to an instant, each once.
type archive struct {
	tables table.Tables
	scope  table.Scope
	at     time.Time
	read   map[string]chronicle
	count  int
}

func (a *archive) of(ctx context.Context, ref string) (chronicle, error) {
	if h, ok := a.read[ref]; ok {
		return h, nil
	}
	h := chronicle{steps: map[line][]Step{}, from: map[string]bool{}}
	for after := int64(0); ; {
		records, err := Log(ctx, a.tables, a.scope, ref, after, recordsAPage)
		if err != nil {
			return h, err
		}
		if a.count += len(records); a.count > mostRecords {
			return h, fault.New(fault.Invalid, "history_too_long", "There are more than %d events to go through.", mostRecords)
		}
		for _, r := range records {
			if r.At.After(a.at) {
				a.read[ref] = h
				return h, nil
			}
			h = h.after(r)
			after = r.Sequence
		}
		if len(records) < recordsAPage {
			a.read[ref] = h
			return h, nil
		}
	}
}

// follow is the chronicle of whom ref stood for at the instant.
func (a *archive) follow(ctx context.Context, ref string) (chronicle, error) {
	for range mostHops {
		h, err := a.of(ctx, ref)
		if err != nil {
			return h, err
		}
		next := h.into
		if next == "" && h.state.Sequence == 0 {
			if next, err = a.named(ctx, ref); err != nil {
				return h, err
			}
		}
		if next == "" {
			return h, nil
		}
		ref = next
	}
	return chronicle{}, errors.New("customer: bug: customers were merged in a circle")
}

// named is whom an id that was never anybody's own named at the instant, "" for nobody yet:
// that one's events say since when.
func (a *archive) named(ctx context.Context, ref string) (string, error) {
	c, err := readOne(ctx, a.tables, a.scope, ref)
	if errors.Is(err, fault.NotFound) {
		return "", nil
	}
	if err != nil || c.head.Into == "" {
		return "", err
	}
	of, err := a.of(ctx, c.head.Into)
	if err != nil || !of.from[ref] {
		return "", err
	}
	return c.head.Into, nil
}

// steps are those of one line, with those from before it came with somebody who was merged.
func (a *archive) steps(ctx context.Context, h chronicle, l line, of string, hops int) ([]Step, error) {
	var all []Step
	for _, s := range h.steps[l] {
		if s.Event.Type == event.CustomerMerged && s.Event.ToOther {
			continue // the other's event says the same
		}
		if e := s.Event; e.Type == event.CustomerMerged && !e.ToOther && hops > 0 {
			before, err := a.of(ctx, e.Other)
			if err != nil {
				return nil, err
			}
			was, err := a.steps(ctx, before, l, e.Other, hops-1)
			if err != nil {
				return nil, err
			}
			all = append(all, was...)
		}
		s.Of = of
		all = append(all, s)
	}
	return all, nil
}

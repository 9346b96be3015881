package teeth

import "slices"

// Layer is a part of the product without which the others are to hold, or at least one of them:
// what it keeps is kept by another as well. A run without it shows what that other one keeps.
type Layer struct {
	Name string
	Is   string
	// Edits switch it off in the product's text; none where the simulator can do without it
	// by itself.
	Edits []Edit
	// In are the runs in which it has a part.
	In []Run
	// Keeps is what nobody else keeps, by the promise that is broken without it and how; "" where
	// others keep it all, so that it is there for speed or for what is spared.
	Keeps string
}

// Layers are all that can be switched off.
func Layers() []Layer {
	return []Layer{
		{
			Name: "sweep", Is: "the function that repairs what nobody told us", In: []Run{inCharging, inSelling},
			Keeps: "what was given back in a gateway's console is written, and what was granted is acknowledged before the store takes it back: the jobs below are its own",
		},
		{
			Name: "compare", Is: "the daily comparison with the gateways' statements", In: []Run{inCharging},
			Keeps: "what was given back is written: a refund in a gateway's console whose webhook was lost",
		},
		{
			Name: "review", Is: "the look at lines whose end passed without a word", In: []Run{inSelling},
			Keeps: "granted sales are the store's sales less refunds: refunds that a store tells nobody of",
		},
		{
			Name: "missed", Is: "the reading of what a store could not deliver", In: []Run{inSelling},
			Keeps: "granted sales are the store's sales less refunds: within a day and not within 13, where the notice was lost",
		},
		{
			Name: "notices", Is: "the notices of gateways and stores", In: []Run{inCharging, inSelling},
			Keeps: "granted sales are the store's sales less refunds: of what does not renew nobody asks; gateways are asked as often as it takes",
		},
		// Towns miss nothing without it; the sets do, see lease-ignored.
		{Name: "lease", Is: "the time for which whoever claimed a charge is let alone", In: []Run{inCharging}},
		{
			Name: "overdue", Is: "the second handing over of what has been due for long",
			In:    []Run{inCharging},
			Edits: edit(fanout, `	round := at.At != "" && (at.Again`, `	round := at.At == "-" && (at.Again`),
		},
		{
			Name: "overlap", Is: "the look behind the cursor of the due index",
			In: []Run{inCharging},
			Edits: edit(fanout, `	if err == nil && was.At != "" {
		var more int`, `	if err == nil && was.At == "-" {
		var more int`),
		},
		{
			Name: "cursor", Is: "the cursor of the due index",
			In:    []Run{inCharging},
			Edits: edit(fanout, `		at.At = max(at.At, last)`, `		at.At = min(at.At, last)`),
		},
		{
			Name: "glance", Is: "the cheap look before the proper one",
			In:    []Run{inCharging},
			Edits: edit(biller, `	s, err := b.readBy(ctx, b.Tables.Glance, scope, id)`, `	s, err := b.readBy(ctx, b.Tables.Get, scope, id)`),
		},
		{
			Name: "reminded", Is: "the look before a retry whether its customer was told of it",
			In: []Run{inCharging},
			Edits: []Edit{
				{biller, `	case s.chargeable() && s.Attempt > 1 && s.Reminded != s.Attempt:`, `	case s.chargeable() && s.Attempt > 1 && s.Reminded < 0:`},
				{subscription, `		(s.Attempt == 1 || s.Reminded == s.Attempt)`, `		s.Attempt >= 1`},
			},
		},
		{
			Name: "applied", Is: "that a notice which was applied is not looked at again",
			In:    []Run{inCharging, inSelling},
			Edits: edit(desk, `		look = n.State != Applied && h.Names()`, `		look = h.Names()`),
		},
		{
			Name: "known", Is: "the answer to a claim from our own book",
			In:    []Run{inSelling},
			Edits: edit("shared/purchase/known.go", `	return Claimed{Order: order, Customer: c}, order.State == OrderGranted`, `	return Claimed{Order: order, Customer: c}, order.State == OrderPending`),
		},
		{
			Name: "entry", Is: "the entry in the due index of whoever is sending events",
			In:    []Run{inTelling},
			Keeps: "whatever waits to be told has an entry: who dies while sending is come back to",
			Edits: edit(progress, `	if p.Leased.After(at) {
		at = p.Leased // who was sending may have died of it
	}`, ``),
		},
	}
}

// planted are the edits that switch off those layers of a run that the simulator knows nothing
// of, and the names of those that it does.
func (r Run) planted() (edits []Edit, others []string) {
	layers := Layers()
	for _, name := range r.Without {
		at := slices.IndexFunc(layers, func(l Layer) bool { return l.Name == name && len(l.Edits) > 0 })
		if at < 0 {
			others = append(others, name)
			continue
		}
		edits = append(edits, layers[at].Edits...)
	}
	return edits, others
}

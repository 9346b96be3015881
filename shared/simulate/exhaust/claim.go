package exhaust

import "slices"

// purchases race for what a store has sold: whoever claims it, the store's word, and the
// sweep's look.
func purchases() []*Set {
	return slices.Concat(
		sales("claim-another", onSale, func(s *selling) {
			s.claimed("claim", ann)
			s.noticed("notice")
			s.claimed("claim by ben", ben)
		}),
		sales("claim-both", onSale, func(s *selling) {
			s.claimed("claim", ann)
			s.claimed("claim by ben", ben)
		}),
		sales("claim-review", heardOf, func(s *selling) {
			s.claimed("claim", ann)
			s.claimed("other device", ann)
			s.reviewed("review")
		}),
		sales("claim-refund", onSale, func(s *selling) {
			s.claimed("claim", ann)
			s.noticed("notice")
			s.refund("refund")
		}),
		sales("claim-twice-refund", onSale, func(s *selling) {
			s.claimed("claim", ann)
			s.claimed("other device", ann)
			s.refund("refund")
		}),
		sales("claim-opened-refund", opened, func(s *selling) {
			s.noticed("the notice again")
			s.refund("refund")
			s.claimed("other device", ann)
		}),
		missing(),
	)
}

// wallets race for what was bought: whoever spends it, the store that gives the money back, and
// whoever takes it along to another id.
func wallets() []*Set {
	return slices.Concat(
		sales("wallet-spends-refund", owned, func(s *selling) {
			s.spend("spend a", ann, "a", 60)
			s.spend("spend b", ann, "b", 60)
			s.refund("refund")
		}),
		sales("wallet-spend-two-notices", owned, func(s *selling) {
			s.spend("spend", ann, "a", 60)
			s.refund("refund")
			s.noticed("second notice")
		}),
		holdings("wallet-same-spend", owned, func(s *selling) {
			s.spend("spend", ann, "a", 60)
			s.spend("spend again", ann, "a", 60)
			s.unspend("give back", ann, "u", "a")
		}),
		holdings("wallet-owing-credit", owing, func(s *selling) {
			s.credit("credit", ann, "sorry", 80)
			s.credit("credit again", ann, "sorry", 80)
			s.spend("spend", ann, "a", 20)
		}),
		holdings("wallet-owing-unspend", owing, func(s *selling) {
			s.credit("credit", ann, "sorry", 40)
			s.unspend("give back", ann, "u", "before")
			s.noticed("second notice")
		}),
		holdings("wallet-merge-spends", ownedToo, func(s *selling) {
			s.merge("merge", ann, anon)
			s.spend("spend by anon", anon, "a", 60)
			s.spend("spend by ann", ann, "b", 60)
		}),
		holdings("wallet-merge-same-spend", ownedToo, func(s *selling) {
			s.merge("merge", ann, anon)
			s.spend("spend by anon", anon, "a", 20)
			s.spend("spend by ann", ann, "a", 20)
		}),
		sales("wallet-merge-claim", onSale, func(s *selling) {
			s.merge("merge", ann, anon)
			s.claimed("claim by anon", anon)
			s.claimed("claim by ann", ann)
		}),
		sales("wallet-merge-refund", ownedBy, func(s *selling) {
			s.merge("merge", ann, anon)
			s.spend("spend by anon", anon, "a", 60)
			s.refund("refund")
		}),
	)
}

// holdings is a set in which no store has a part.
func holdings(name string, begins map[string]func() sold, race func(s *selling)) []*Set {
	only := sales(name, begins, race)[:1]
	only[0].Name = name
	return only
}

// sales is a set for each of two kinds of stores.
func sales(name string, begins map[string]func() sold, race func(s *selling)) []*Set {
	var sets []*Set
	for _, store := range []string{"apple", "play"} {
		sets = append(sets, &Set{
			Name: name + "-" + store, Faults: 1, Calls: 1, Late: true,
			Stage: func(p *Path) { race(begins[store]().staged(p, store)) },
		})
	}
	return sets
}

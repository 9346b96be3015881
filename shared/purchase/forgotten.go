package purchase

import (
	"context"
	"slices"
	"time"

	"grantline/shared/fault"
	"grantline/shared/table"
)

// sellable refuses news of something that our catalog forgot, which is ours to mend and not the
// customer's to lose. What was sold beside it is nobody's loss either and is taken over, unless
// that would end what the forgotten may have been to follow.
func (is decision) sellable(news int) error {
	beside := func(e entry) bool { return e.is.Part != "" && e.is.Customer != "" }
	ends := slices.ContainsFunc(is.entries, func(e entry) bool { return e.gaveWay })
	if len(is.forgotten) == 0 || !ends && slices.ContainsFunc(is.entries[:news], beside) {
		return nil
	}
	o := is.forgotten[0]
	return fault.New(fault.Unavailable, "product_not_configured", "%q of %s is not in the catalog yet.", o.SKU, o.Store)
}

// remind tells a person of what was paid for and cannot be granted.
func (b *Book) remind(ctx context.Context, forgotten []Order) {
	for _, o := range forgotten {
		b.Log.ErrorContext(ctx, "Something was paid for that the catalog does not have, and is not granted.",
			"alarm", true, "store", o.Store, "product", o.SKU)
	}
}

// answers is which entry a claim is answered with: the one that was asked about, unless the
// catalog forgot that and has another.
func (is decision) answers() int {
	asked := is.entries[0].is
	if len(is.forgotten) == 0 || asked.State != OrderUnclaimed {
		return 0
	}
	return max(0, slices.IndexFunc(is.entries, func(e entry) bool {
		return e.is.Part != "" && e.is.Customer != "" && e.is.State == OrderGranted && !e.is.Replaced
	}))
}

// knownOf is known for what a line gives now, the latest of its parts first: of one that is
// not granted nothing is known.
func (b *Book) knownOf(ctx context.Context, scope table.Scope, by claim, r Record) (Claimed, bool, error) {
	latest := r.first()
	claimed, known, err := b.known(ctx, scope, by, latest.Order, time.Time{})
	for _, part := range r.parts() {
		if known || err != nil || part == latest.Part {
			continue
		}
		claimed, known, err = b.known(ctx, scope, by, r.part(part).first().Order, time.Time{})
	}
	return claimed, known, err
}

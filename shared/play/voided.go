package play

import (
	"context"
	"strconv"
	"time"

	"grantline/shared/notice"
)

// History is Google's list of what was voided in one app, for what was told of in vain.
type History struct {
	API     *API
	Package string
}

var _ notice.History = History{}

// Histories are those of each app.
func (s *Store) Histories() []notice.History {
	var all []notice.History
	for _, pkg := range s.Packages {
		all = append(all, History{s.API, pkg})
	}
	return all
}

// Name is "voided" and the app's package name.
func (h History) Name() string { return "voided#" + h.Package }

// Keeps is 30 days (Voided Purchases API).
func (h History) Keeps() time.Duration { return 30 * 24 * time.Hour }

// Missed gives a page of what was voided, as the notifications that told of it would.
func (h History) Missed(ctx context.Context, from, to time.Time, page string) ([]notice.Hint, string, error) {
	rows, next, err := h.API.Voided(ctx, h.Package, from, to, page)
	if err != nil {
		return nil, "", err
	}
	var hints []notice.Hint
	for _, row := range rows {
		n := Notification{
			Package: h.Package, At: time.UnixMilli(row.VoidedTimeMillis).UTC(), Kind: KindVoided,
			Token: row.PurchaseToken, Order: row.OrderId, RefundType: RefundFull, // of what kind of product, it does not say
		}
		if row.VoidedQuantity > 0 {
			n.RefundType = RefundPartial
		}
		if n.check() != nil {
			continue // nothing that one could look at
		}
		// What is voided again, in part, is another notice.
		of := TokenID(row.PurchaseToken + " " + row.OrderId)
		hints = append(hints, n.hint("voided-"+of[:40]+"-"+strconv.FormatInt(row.VoidedTimeMillis, 10)))
	}
	return hints, next, nil
}

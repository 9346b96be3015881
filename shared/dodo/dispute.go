package dodo

import (
	"context"
	"log/slog"
	"net/url"
	"strconv"
	"time"

	"grantline/shared/billing"
)

// verdicts are the words of a dispute that say who keeps the money, and whether that is the payer
// (Dodo Payments API, dispute_status). One that expired lacks our answer, and is still to be
// decided.
var verdicts = map[string]struct{ lost bool }{
	"dispute_lost":      {lost: true},
	"dispute_accepted":  {lost: true},
	"dispute_won":       {},
	"dispute_cancelled": {},
}

// Disputed pages through the disputes that were opened in [from, to) and are decided. The list
// names no order and has no metadata (Dodo Payments API, GET /disputes). A page that cannot be
// read in full is fault.Unavailable.
func (g *Gateway) Disputed(ctx context.Context, from, to time.Time, after string) (disputes []billing.Dispute, next string, err error) {
	ctx, cancel := g.bounded(ctx)
	defer cancel()
	number := 0
	if after != "" {
		number, err = strconv.Atoi(after)
	}
	if err != nil || number < 0 || number >= maxStatement || !from.Before(to) {
		g.config.Log.LogAttrs(ctx, slog.LevelError, "disputes not asked for at dodo: no such page or span")
		return nil, "", unavailable()
	}
	query := url.Values{"created_at_gte": {instant(from)}, "created_at_lte": {instant(to)}}
	items, err := g.page(ctx, "/disputes", query, number, pageSize)
	if err != nil {
		return nil, "", g.unstated(ctx, err.Error())
	}
	for _, each := range items {
		verdict, decided := verdicts[each.text("dispute_status")]
		d := billing.Dispute{ID: each.id("dispute_id"), Payment: each.id("payment_id"), Opened: each.at("created_at"), Lost: verdict.lost}
		switch {
		case !decided:
		case d.ID == "" || d.Payment == "" || d.Opened.IsZero():
			return nil, "", g.unstated(ctx, "a dispute has no id, payment or date")
		case !d.Opened.Before(from) && d.Opened.Before(to):
			disputes = append(disputes, d)
		}
	}
	switch {
	case len(items) < surelyLast:
	case number+1 == maxStatement:
		return nil, "", g.unstated(ctx, "the list does not end")
	default:
		next = strconv.Itoa(number + 1)
	}
	return disputes, next, nil
}

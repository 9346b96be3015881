package teeth

const (
	book   = "shared/purchase/book.go"
	decide = "shared/purchase/decide.go"
	hear   = "shared/purchase/hear.go"
	part   = "shared/purchase/part.go"
	people = "shared/purchase/people.go"
	tokens = "shared/purchase/token.go"
	moves  = "shared/purchase/restore.go"
	line   = "shared/purchase/line.go"
	follow = "shared/purchase/follow.go"
	desk   = "shared/notice/desk.go"
	missed = "shared/notice/missed.go"
)

// selling are faults of what is bought at stores, and of their notices.
func selling() []Fault {
	return []Fault{
		{
			Name: "owner-written-beside-its-line", Is: "who is told of a word that changed nothing of its line is written, though the line has changed since",
			Edits: edit(book, `	if !is.lineChanged && is.item.Revision > 0 {`, `	if false {`),
			Run:   Run{Sets: "claim-opened-refund", Paths: 400}, Breaks: "entitlement follows the books",
		},
		{
			Name: "claim-over-another-write", Is: "an order, its line and its customer are written over whatever was written meanwhile",
			Edits: edit(book, `	if err := b.Tables.Commit(ctx, writes...); err != nil {
		// Not whose`, `	err := b.Tables.Commit(ctx, writes...)
	for range 3 {
		if overtaken := new(table.Conflict); errors.As(err, &overtaken) && len(overtaken.Found) == len(writes) {
			for i, found := range overtaken.Found {
				if found != nil {
					writes[i].Change, writes[i].Item.Revision = table.Replace, found.Revision
				}
			}
			err = b.Tables.Commit(ctx, writes...)
		}
	}
	if err != nil {
		// Not whose`),
			Run: inSelling, Breaks: "what the store sold is granted once",
		},
		{
			Name: "line-without-its-owner", Is: "a renewal is claimed without asking whose the line is",
			Edits: edit(people, `	now.owner = cmp.Or(now.line.Owner, first.Customer)`, `	now.owner = cmp.Or(first.Customer, "")`),
			Run:   inSelling, Breaks: "a purchase stays its owner's",
		},
		{
			Name: "late-claim-wins", Is: "whoever claims last has it, whoever had it before",
			Edits: edit(people, `	c := now.claimant
	to, err`, `	c := now.claimant
	if now.owner != "" && c != now.holder && now.giver == nil && now.sharer(c) == "" {
		now.owner, now.line.Owner, first.Customer, now.entries[0].was.Customer, now.entries[0].was.State = "", "", "", "", OrderUnclaimed
	}
	to, err`),
			Run: inSelling, Breaks: "a purchase stays its owner's",
		},
		{
			Name: "account-not-heeded", Is: "what the store says to be somebody's goes to who claims it first",
			Edits: edit(people, `	case other(now.bound) && !(gift && mine):`, `	case other(now.bound) && gift && !mine:`),
			Run:   inSelling, Breaks: "what names a customer is that customer's",
		},
		{
			Name: "transfer-leaves-access", Is: "who had what went over goes on having it",
			Edits: edit(moves, `			from.Drop(s)
`, `			_ = s
`),
			Run: inSelling, Breaks: "entitlement follows the books",
		},
		{
			Name: "currency-goes-over", Is: "virtual currency goes over to whoever comes with its proof",
			Edits: edit(moves, `	return len(is.line.Terms) > 0 && !slices.ContainsFunc(is.line.Terms, closed) && !slices.ContainsFunc(is.entries, credits)`,
				`	return len(is.line.Terms) > 0 && (!slices.ContainsFunc(is.line.Terms, closed) || slices.ContainsFunc(is.entries, credits))`),
			Run: inSelling, Breaks: "a claim by another never moves a purchase",
		},
		{
			Name: "in-use-goes-over", Is: "what goes over only while it gives nothing does while it gives access",
			Edits: edit(moves, `	case b.Restore == Transfer, b.Restore == TransferIfInactive && !is.gives(now):`, `	case b.Restore == Transfer, b.Restore == TransferIfInactive && is.line.Owner != "":`),
			Run:   inSelling, Breaks: "a claim by another never moves a purchase",
		},
		{
			Name: "share-ends-others", Is: "who comes to share a purchase takes the place of who shared it before",
			Edits: edit(moves, `	is.line.Shared = append(refs, is.claimant.Ref)`, `	is.line.Shared = append(refs[:0], is.claimant.Ref)`),
			Run:   inSelling, Breaks: "a claim by another never moves a purchase",
		},
		{
			Name: "sharers-not-kept-up", Is: "who shares a purchase has it as it was then, whatever becomes of it",
			Edits: edit(decide, `	for _, c := range is.sharers() {
		is.lend(c, part, after)
	}`, ``),
			Run: inSelling, Breaks: "entitlement follows the books",
		},
		{
			Name: "goes-over-for-ever", Is: "nothing bounds how often a purchase goes from one to another",
			Edits: edit(moves, `		if m.At.After(now.Add(-movedWithin)) {
			recent++`, `		if m.At.After(now.Add(-movedWithin)) {
			recent = min(recent+1, mostMoves-1)`),
			Run: inSelling, Breaks: "a claim by another never moves a purchase",
		},
		{
			Name: "pending-granted", Is: "what is not paid yet is granted",
			Edits: edit(book, `	case Pending:
		return b.unpaid(ctx, was, news)
	case Paid, Replaced, Refunded:`, `	case Pending, Paid, Replaced, Refunded:`),
			Run: inSelling, Breaks: "no grant without a purchase",
		},
		{
			Name: "old-word-of-an-order-wins", Is: "whatever the store said last counts, however old it is",
			Edits: edit(hear, `	} else if s.AsOf.Before(o.AsOf) || s.AsOf.Equal(o.AsOf) && weight(s.State == Replaced, returned) <= o.weight() {`,
				`	} else if s.AsOf.IsZero() && weight(s.State == Replaced, returned) <= o.weight() {`),
			Run: inSelling, Breaks: "access follows the store",
		},
		{
			Name: "old-word-of-a-line-wins", Is: "an old word about renewals counts over a newer one",
			Edits: edit(part, `	if !passed && !s.newer(was) {
		return r
	}`, `	if !passed && s.AsOf.IsZero() {
		return r
	}`),
			Run: inSelling, Breaks: "access follows the store",
		},
		{
			Name: "taken-back-with-each-word", Is: "each word about a refund takes back once more",
			Edits: edit(decide, `	o.TakenBack = o.back()
	return moved`, `	return moved`),
			Run: inSelling, Breaks: "a wallet holds what its orders gave less what was refunded",
		},
		{
			Name: "refund-undone-not-given-again", Is: "what was taken back for a refund that the store undid stays taken",
			Edits: edit(decide, `	} else if back < 0 {
		change(held().GiveBack(lot, -back))
	}`, `	}`),
			Run: inSelling, Breaks: "a wallet holds what its orders gave less what was refunded",
		},
		{
			Name: "credited-with-each-word", Is: "each word about a sale credits it once more",
			Edits: edit(decide, `	if e.was.Customer == "" {
		change(held().Credit(lot))`, `	if e.was.Customer == "" || e.heard {
		change(held().Credit(lot))`),
			Run: inSelling, Breaks: "a wallet holds what its orders gave less what was refunded",
		},
		{
			Name: "refund-keeps-access", Is: "a refunded sale of a line still counts",
			Edits: edit(hear, `	case o.State == OrderRefunded:
		t.State = Refunded`, `	case o.State == OrderRefunded && o.Customer == "":
		t.State = Refunded`),
			Run: inSelling, Breaks: "access follows the store",
		},
		{
			Name: "refund-not-taken-back", Is: "a refund changes the order and leaves the wallet as it was",
			Edits: edit(decide, `	if back := o.back() - o.TakenBack; back > 0 {
		change(held().TakeBack(o.ID, back))`, `	if back := o.back() - o.TakenBack; back > o.Credited {
		change(held().TakeBack(o.ID, back))`),
			Run: inSelling, Breaks: "a wallet holds what its orders gave less what was refunded",
		},
		{
			Name: "upgrade-keeps-both", Is: "what another token took the place of goes on beside it",
			Edits: edit(decide, `	e.is.Replaced, e.gaveWay = true, true`, `	e.is.Replaced, e.gaveWay = false, false`),
			Run:   inSelling, Breaks: "access follows the store",
		},
		{
			Name: "consumed-before-it-is-granted", Is: "the store is told of a delivery that is not written down yet",
			Edits: edit(book, `	if err := b.commit(ctx, is); err != nil {
		return Claimed{}, err
	}
	b.remind`, `	if store, able := b.Stores[is.line.Store].(Acknowledger); able && is.owes {
		for i, h := range is.line.Tokens {
			if h.owes() {
				is.line.Tokens[i], _ = b.tell(ctx, store, is.line, h)
			}
		}
	}
	if err := b.commit(ctx, is); err != nil {
		return Claimed{}, err
	}
	b.remind`),
			Run: inSelling, Breaks: "what the store was told to be delivered is granted",
		},
		{
			Name: "acknowledged-unheard", Is: "the store is taken to be told though it did not answer",
			Edits: edit(tokens, `	now := b.Clock.Now()
	if err == nil {
		h.By`, `	now := b.Clock.Now()
	if err == nil || ctx.Err() == nil {
		h.Acknowledge, h.Consume = false, nil
		h.By`),
			Run: inSelling, Breaks: "what is granted is acknowledged before the store gives the money back",
		},
		{
			Name: "acknowledged-by-the-claim-alone", Is: "nobody comes back to what the store was not told of",
			Edits: edit(tokens, `		case h.owes():
			at = soonest(at, h.Due)
		case r.Owner`, `		case r.Owner`),
			Run: inSelling, Breaks: "what is granted is acknowledged before the store gives the money back",
		},
		{
			Name: "old-owed-word-wins", Is: "what the store said before it was told is owed once more",
			Edits:      edit(tokens, `	if at < 0 || !asOf.After(r.Tokens[at].Settled) {`, `	if at < 0 {`),
			Run:        inSelling,
			Equivalent: "The store is told once more of what it was told of, and says so: done twice it is done once.",
		},
		{
			Name: "never-reviewed", Is: "a line whose end passed without a word is not asked about",
			Edits: edit(line, `	case end.After(now):
		return end.Add(reviewAfterEnd)`, `	case end.After(now):
		return time.Time{}`),
			Run: inSelling, Breaks: "a renewal is known soon after the period before",
		},
		{
			Name: "silent-refund-not-asked-for", Is: "a store that asked to be asked again is not",
			Edits: edit(part, `	at := soonest(r.due(now), r.Again)`, `	at := r.due(now)`),
			Run:   inSelling, Breaks: "granted sales are the store's sales less refunds",
		},
		{
			Name: "silence-is-an-end", Is: "a store that is out of reach ends what it does not speak of",
			Edits: edit(follow, `	default:
		b.Log.WarnContext(ctx, "A line could not be reviewed.", "store", r.Store, "error", err)
		return now.Add(reviewSoon), false, false, nil`, `	default:
		return time.Time{}, false, true, nil`),
			Run: inSelling, Breaks: "granted sales are the store's sales less refunds",
		},
		{
			Name: "applied-before-the-look", Is: "a notice is written down as applied before the store was asked",
			Edits: edit(desk, `	n.LookedAt = d.Clock.Now()
	applied, err :=`, `	n.LookedAt, n.State = d.Clock.Now(), Applied
	if err := d.end(ctx, n, item); err != nil {
		return err
	}
	applied, err :=`),
			Run: inSelling, Breaks: "every accepted notice is applied or a dead letter",
		},
		{
			Name: "seen-is-applied", Is: "a notice that was written down before is let go, whatever became of it",
			Edits: edit(desk, `		n, item, _, err = d.place(ctx, h.notice(d.Clock.Now()))
		look = n.State != Applied && h.Names()`, `		var isNew bool
		n, item, isNew, err = d.place(ctx, h.notice(d.Clock.Now()))
		look = isNew && h.Names()`),
			Run: inSelling, Breaks: "every accepted notice is applied or a dead letter",
		},
		{
			Name: "notice-let-go", Is: "a notice whose look failed is let go",
			Edits: edit(desk, `	return errors.Join(err, d.end(ctx, n, item))`, `	return d.end(ctx, n, item)`),
			Run:   inSelling, Breaks: "every accepted notice is applied or a dead letter",
		},
		{
			Name: "missed-without-overlap", Is: "what a store could not deliver is read from where the last reading ended",
			Edits: edit(missed, `		p.From, p.To = p.Until.Add(-missedOverlap), now`, `		p.From, p.To = p.Until.Add(-missedOverlap+missedOverlap), now`),
			Run:   Run{Sets: "missed", Paths: 1000}, Breaks: "granted sales are the store's sales less refunds",
		},
		{
			Name: "missed-and-lost", Is: "what a store could not deliver counts as handed on, whatever the queue says",
			Edits: edit(missed, `err != nil || sent != 1 {`, `err != nil && sent > 1 {`),
			Run:   Run{Sets: "missed", Paths: 1000}, Breaks: "granted sales are the store's sales less refunds",
		},
	}
}

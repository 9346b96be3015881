package teeth

const (
	publisher = "shared/delivery/publisher.go"
	progress  = "shared/delivery/progress.go"
	relay     = "shared/delivery/fanout.go"
	outbox    = "shared/customer/outbox.go"
)

// telling are faults of what others are told.
func telling() []Fault {
	return []Fault{
		{
			Name: "relayed-before-it-is-covered", Is: "a customer's events count as handed on though an endpoint could not be reached for them",
			Edits: edit(publisher, `	if !all || c.Relayed() >= c.Sequence() {`, `	if c.Relayed() >= c.Sequence() {`),
			Run:   inTelling, Breaks: "every event is taken or a dead letter",
		},
		{
			Name: "relayed-over-another-write", Is: "an event that came while others were handed on counts as handed on",
			Edits: edit(publisher, `	err = p.Tables.Commit(ctx, relayed)
	if errors.As(err, new(*table.Conflict)) {`, `	err = p.Tables.Commit(ctx, relayed)
	if overtaken := new(table.Conflict); errors.As(err, &overtaken) && len(overtaken.Found) > 0 && overtaken.Found[0] != nil {
		now, failed := customer.Outgoing(ctx, p.Tables, scope, w.Customer)
		if failed == nil {
			if relayed, failed = now.Relay(); failed == nil {
				err = p.Tables.Commit(ctx, relayed)
			}
		}
	}
	if errors.As(err, new(*table.Conflict)) {`),
			Run: inTelling, Breaks: "every event is taken or a dead letter",
		},
		{
			Name: "entry-of-new-events-forgotten", Is: "an event that comes while a customer waits to be handed on takes its entry away",
			Edits: edit(outbox, `	if was != nil || c.head.Relayed >= c.head.Sequence {
		return was
	}`, `	if was != nil || c.head.Relayed >= c.head.Sequence {
		return nil
	}`),
			Run: inTelling, Breaks: "every event is taken or a dead letter",
		},
		{
			Name: "skips-what-fails", Is: "an event that was not taken is passed over",
			Edits: edit(publisher, `	if !dead {
		return false, nil
	}
	if last`, `	if !dead {
		r.progress = r.moves(e.Sequence)
		return true, nil
	}
	if last`),
			Run: inTelling, Breaks: "every event is taken or a dead letter",
		},
		{
			Name: "cursor-before-sending", Is: "the cursor is written before the event is sent",
			Edits: edit(publisher, `		r.sent++
		r.since++
		var skip bool`, `		r.sent++
		r.since++
		was := r.progress
		r.progress = r.moves(e.Sequence)
		if ok, err := l.write(ctx, r); !ok || err != nil {
			return false, err
		}
		r.progress = was
		var skip bool`),
			Run: inTelling, Breaks: "every event is taken or a dead letter",
		},
		{
			Name: "dead-letter-dropped", Is: "what was not taken in three days is in no list",
			Edits: edit(publisher, `		r.letters = append(r.letters, Letter{r.endpoint.ID, r.Customer, e.Sequence, e.Sequence, o.Status, now})
`, `		r.letters = nil
`),
			Run: inTelling, Breaks: "every event is taken or a dead letter",
		},
		{
			Name: "two-tell-at-once", Is: "whoever may be sending is not waited for",
			Edits: edit(publisher, `	case d.Leased.After(now):
		return false, nil // whoever`, `	case d.Leased.After(now) && d.Cursor < 0:
		return false, nil // whoever`),
			Run: inTelling, Breaks: "events come in their order",
		},
		{
			Name: "another-id-each-time", Is: "an event that is told again has another id",
			Edits: edit(publisher, `ID: messageID(l.scope, l.customer.Ref, told.Sequence), CustomerID`, `ID: messageID(l.scope, l.customer.Ref, told.Sequence) + "-" + l.Clock.Now().UTC().Format("150405.000"), CustomerID`),
			Run:   inTelling, Breaks: "an event has one id however often it is told",
		},
		{
			Name: "waits-without-an-entry", Is: "what was not taken waits where nobody looks",
			Edits: edit(progress, `	if at.IsZero() {
		return nil
	}
	sort`, `	if at.IsZero() || p.Tries > 0 {
		return nil
	}
	sort`),
			Run: inTelling, Breaks: "every event is taken or a dead letter",
		},
		{
			Name: "dead-sender-without-an-entry", Is: "who dies while sending leaves no entry behind",
			Edits: edit(progress, `	if p.Leased.After(at) {
		at = p.Leased // who was sending may have died of it
	}`, ``),
			Run: inTelling, Breaks: "every event is taken or a dead letter",
		},
		{
			Name: "lane-is-not-gone-round", Is: "a lane that is longer than a tick can is begun anew each minute",
			Edits: edit(relay, `	is.At = max(was.At, last)
	if end`, `	is.At = min(was.At, last)
	if end`),
			Run: Run{Sets: "publish-behind-another", Paths: 400}, Breaks: "nothing is stuck",
		},
		{
			Name: "begins-after-what-it-waits-for", Is: "an endpoint that is made is not told of what was written as it was made",
			Edits: edit(progress, `e.CreatedAt.Add(-startsWithin), lookBack)`, `e.CreatedAt.Add(startsWithin), lookBack)`),
			Run:   inTelling, Breaks: "every event since the endpoint is taken or a dead letter",
		},
	}
}

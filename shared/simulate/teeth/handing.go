package teeth

const (
	fanout = "shared/billing/fanout.go"
	remind = "shared/billing/remind.go"
	errand = "shared/billing/errand.go"
)

// handing are faults of how what is due comes to whoever does it.
func handing() []Fault {
	return []Fault{
		{
			Name: "no-overlap", Is: "what comes into the index behind the cursor is not looked for",
			Edits: edit(fanout, `	overlap = 2 * time.Minute`, `	overlap = 0 * time.Minute`),
			Run:   sooner.without("overdue"), Breaks: "nothing stuck",
		},
		{
			Name: "no-cursor", Is: "the cursor is not moved on, and the first in the index are handed over each minute",
			Edits: edit(fanout, `		at.At = max(at.At, last)`, `		at.At = min(at.At, last)`),
			Run:   inCharging,
			Equivalent: "What is handed over twice is one piece of work. The cursor keeps a backlog from being handed over anew each minute, " +
				"and what is behind it has its turn once the front is done.",
		},
		{
			Name: "cursor-beyond-what-was-sent", Is: "the cursor passes over what the queue did not take",
			Edits: edit(fanout, `		if n > 0 {
			last = found.Items[n-1].Index.Sort
		}`, `		if len(found.Items) > 0 {
			last = found.Items[len(found.Items)-1].Index.Sort
		}`),
			Run: Run{World: "charging", Seeds: "100-191", People: 50, Years: 0.3, Without: []string{"overdue"}}, Breaks: "nothing stuck",
		},
		{
			Name: "sweep-looks-at-nothing", Is: "what has been due for long is not handed over again",
			Edits: edit(fanout, `	round := at.At != "" && (at.Again`, `	round := at.At == "-" && (at.Again`),
			Run:   inCharging, Breaks: "nothing stuck",
		},
		{
			Name: "sweep-stays-at-the-first", Is: "what is handed over again is always what has been due longest",
			Edits: edit(fanout, `		if last != "" {
			at.Again = last
		}`, `		if last == "" {
			at.Again = last
		}`),
			Run: Run{Of: "shared/billing", Test: "TestWhatNeverWorksDoesNotHoldUpWhatWasLost"}, Breaks: "nothing stuck",
		},
		{
			Name: "pace-of-each-lane", Is: "each lane of an account takes the whole of its pace",
			Edits: edit(fanout, `			left[line.GatewayName] -= sent
`, ``),
			Run: inCharging, Breaks: "the rate of each account is kept",
		},
		{
			Name: "pace-of-each-shard", Is: "each shard of a lane takes the whole of its pace",
			Edits: edit(fanout, `			most -= sent
`, ``),
			Run: Run{Of: "shared/billing", Test: "TestRule01RetriesNeverComeInBursts"}, Breaks: "retries never come in a burst",
		},
		{
			Name: "busy-not-heeded", Is: "a gateway that asks for a slower pace is asked as fast as before",
			Edits: edit(fanout, `f.pace(ctx, line.GatewayName, f.full(line.GatewayName), now)`, `max(f.full(line.GatewayName), f.pace(ctx, line.GatewayName, f.full(line.GatewayName), now))`),
			Run:   inCharging, Breaks: "the rate of each account is kept",
		},
		{
			Name: "woken-in-the-past", Is: "a wake-up is written where the cursor has passed",
			Edits: edit(subscription, `	if at.Before(now) {
		at = now
	}
	s.Step`, `	s.Step`),
			Run: sooner.without("overdue"), Breaks: "nothing stuck",
		},
		{
			Name: "reminder-lost-by-its-courier", Is: "a reminder that could not be sent is done with",
			Edits: edit(remind, `		return b.later(ctx, scope, e, item, tellAgain)`, `		return done()`),
			Run:   inCharging, Breaks: "a notice before each retry",
		},
		{
			Name: "reminder-without-its-errand", Is: "the event says that a retry comes, and nobody carries it to the customer",
			Edits: edit(remind, `		return b.commit(ctx, scope, s, held.on(s.reminded(now), now), c, told)`, `		_ = told
		return b.commit(ctx, scope, s, held.on(s.reminded(now), now), c)`),
			Run: inCharging, Breaks: "a notice before each retry",
		},
		{
			Name: "refund-without-its-errand", Is: "nobody comes back to a refund whose outcome is not known",
			Edits: edit(errand, `		if r.open() && (at.IsZero() || r.LookAt.Before(at)) {`, `		if r.open() && r.Stray == "" && r.LookAt.IsZero() {`),
			Run:   inCharging, Breaks: "nothing stuck",
		},
		{
			Name: "errand-let-go", Is: "an errand is gone before it is done",
			Edits: edit(errand, `	switch e.Kind {
	case errandOrder:
		return b.tend(ctx, scope, e.Order)`, `	switch e.Kind {
	case errandOrder:
		if err := b.Tables.Commit(ctx, table.Removed(item)); err != nil {
			return err
		}
		return b.tend(ctx, scope, e.Order)`),
			Run: inCharging, Breaks: "nothing stuck",
		},
	}
}

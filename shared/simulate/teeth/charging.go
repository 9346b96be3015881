package teeth

const (
	biller       = "shared/billing/biller.go"
	outcome      = "shared/billing/outcome.go"
	charge       = "shared/billing/charge.go"
	subscription = "shared/billing/subscription.go"
	calendar     = "shared/schedule/schedule.go"
)

// inSet is a run of exhaustive sets by how their names begin.
func inSet(names string) Run { return Run{Sets: names, Paths: 2000} }

// sooner is before the tables of a town are out of reach for so long that messages die: what is due
// then is asked for late where nobody hands it over again.
var sooner = Run{World: "charging", Seeds: "1-60", People: 50, Years: 0.3}

// charging are faults of how one attempt is claimed, sent and closed.
func charging() []Fault {
	return []Fault{
		{
			Name: "claim-without-condition", Is: "whoever finds an attempt claimed and not settled claims it too",
			Edits: edit(biller, `	case other.State != Void:
		return other, item, false, nil
	}`, `	case other.settled():
		return other, item, false, nil
	}`),
			Run: inCharging, Breaks: "one success for each period",
		},
		{
			Name: "order-id-of-the-moment", Is: "the order's id has the time in it, so that each try is another order",
			Edits: edit(charge, `"%s|%s|%s|%d|%d", scope.Project, scope.Environment, subscription, period, attempt)`,
				`"%s|%s|%s|%d|%d|%d", scope.Project, scope.Environment, subscription, period, attempt, time.Now().UnixNano())`),
			Run: inCharging, Breaks: "one success for each period",
		},
		{
			Name: "order-id-without-attempt", Is: "a retry has the id of the attempt that was declined",
			Edits: edit(charge, `scope.Project, scope.Environment, subscription, period, attempt)`,
				`scope.Project, scope.Environment, subscription, period, min(attempt, 1))`),
			Run: inCharges, Breaks: "nothing stuck: no retry is ever made",
		},
		{
			Name: "read-before-claim", Is: "the subscription is not read again after the claim",
			Edits: edit(biller, `	fresh, err := b.get(ctx, scope, s.ID)
	if err != nil {
		// Nothing was sent;`, `	fresh, err := s, error(nil)
	if err != nil {
		// Nothing was sent;`),
			Run: inSet("charge-cancel"), Breaks: "nothing after \"you will not be charged\"",
		},
		{
			Name: "read-before-resend", Is: "what is sent again is sent though its subscription has ended meanwhile",
			Edits: edit(outcome, `	if !fresh.due(b.Clock.Now()) || !fresh.wants(charge) {
		orderItem,`, `	if !fresh.wants(charge) && fresh.ID == "" {
		orderItem,`),
			Run: inCharges, Breaks: "nothing after \"you will not be charged\"",
		},
		{
			Name: "old-card-charged", Is: "a card that was replaced between the letter and the claim is charged",
			Edits: edit(biller, ` || !fresh.wants(charge) || !bytes.Equal(fresh.BillingKey, s.BillingKey) {`, ` || !fresh.wants(charge) {`),
			Run:   inCharges, Breaks: "nothing is taken from a card after it was replaced",
		},
		{
			Name: "answer-of-a-claim-not-known-again", Is: "our own claim whose answer was lost is taken for another's",
			Edits: edit(biller, `	case bytes.Equal(other.Sealed, charge.Sealed):
		return other, item, true, nil`, `	case false && bytes.Equal(other.Sealed, charge.Sealed):
		return other, item, true, nil`),
			Run: inCharging,
			Equivalent: "The claim stands until its lease ends; then the attempt is looked up, surely absent, and sent by who looked. " +
				"It is later by the lease and nothing else.",
		},
		{
			Name: "sent-again-without-a-key", Is: "what was not answered is sent again to a gateway that makes two of it",
			Edits: edit(charge, `	case wanted && repeats && now.Before(c.SentAt.Add(resendWithin)):`, `	case wanted && now.Before(c.SentAt.Add(resendWithin)):`),
			Run:   inCharging, Breaks: "one success for each period",
		},
		{
			Name: "absent-is-declined", Is: "no payment at the first look is a decline, without a quiet time",
			Edits: edit(charge, `	case now.Sub(c.LastSentAt) < silence, now.Sub(c.AbsentSince) < finalAfter:
		return c, Wait`, `	case silence < 0:
		return c, Wait`),
			Run: inCharging, Breaks: "one success for each period",
		},
		{
			Name: "timeout-is-declined", Is: "an answer that did not come is a decline",
			Edits: edit(charge, `	case Unclear, Absent:
		c.State, c.Code, c.Final = Unknown, o.Code, o.Final`, `	case Unclear:
		c.State, c.SettledAt, c.Code, c.Class, c.Sealed = Declined, now, o.Code, Soft, nil
	case Absent:
		c.State, c.Code, c.Final = Unknown, o.Code, o.Final`),
			Run: inCharging, Breaks: "no money without a record",
		},
		{
			Name: "busy-forgets-the-send-before", Is: "an answer that the last send was not made is taken for all sends before it",
			Edits: edit(charge, `	case NotMade:
		if c.Unsure {
			c.State, c.Code = Unknown, o.Code
			break
		}
		c = c.void(o.Code)`, `	case NotMade:
		c = c.void(o.Code)`),
			Run: inSet("charge-busy-cancel"), Breaks: "no money without a record",
		},
		{
			Name: "final-answer-is-a-decline-at-once", Is: "an answer that will not change is a decline at the first look that finds nothing",
			Edits: edit(charge, `	case c.Final && repeats && now.Sub(c.AbsentSince) >= finalAfter:`, `	case c.Final && repeats && now.Sub(c.AbsentSince) >= 0:`),
			Run:   inSet("charge-muddled"), Breaks: "no money without a record",
		},
		{
			Name: "lease-ignored", Is: "an attempt is looked up, and sent again, while whoever claimed it may be at it",
			Edits: edit(outcome, `	case charge.Lease.After(now):
		return b.commit(ctx, scope, s, s.wake(StepResolve, charge.Lease, now), nil)
	}`, `	}`),
			Run: inSet("charge-tried-cancel"), Breaks: "while one is sending no other sends",
		},
		{
			Name: "lease-shorter-than-the-function", Is: "a claim is let go of after a second",
			Edits: edit(biller, `	charge = charge.sending(b.Clock.Now(), b.Lease)`, `	charge = charge.sending(b.Clock.Now(), time.Second)`),
			Run:   inSet("charge-slow"), Breaks: "while one is sending no other sends",
		},
		{
			Name: "advanced-without-condition", Is: "an outcome advances the subscription wherever that is by now",
			Edits: edit(outcome, `		if s.Period != charge.Period || s.Attempt != charge.Attempt {
			return nil
		}`, ``),
			Run: inCharging, Breaks: "no access without money",
		},
		{
			Name: "advanced-over-another-write", Is: "the subscription is written over whatever was written meanwhile",
			Edits: edit(biller, `	if err := b.Tables.Commit(ctx, writes...); err != nil {
		return fmt.Errorf("billing: subscription %s: %w", next.ID, err)`, `	err = b.Tables.Commit(ctx, writes...)
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
		return fmt.Errorf("billing: subscription %s: %w", next.ID, err)`),
			Run: inCharging, Breaks: "no access without money",
		},
		{
			Name: "closed-over-a-settled-charge", Is: "an outcome is written over the one that somebody else has written",
			Edits: edit(outcome, `		if charge, err = DecodeCharge(item); err != nil || charge.settled() {`, `		if charge, err = DecodeCharge(item); err != nil {`),
			Run:   inSet("charge-tried-late"), Breaks: "no money without a record",
		},
		{
			Name: "money-of-a-closed-order-kept", Is: "what was taken under an order that had been closed is kept",
			Edits: edit(outcome, `	if ours.State == Paid && charge.State != Paid {`, `	if ours.State == Paid && charge.State == "" {`),
			Run:   inSet("charge-tried-late"), Breaks: "no money without a record",
		},
		{
			Name: "money-after-the-end-kept", Is: "what an attempt under way took after its agreement was ended at once is kept",
			Edits: edit(outcome, `	if charge.State == Paid {
		if err := b.giveBack(ctx, scope, charge.ID, Payment{}, "The subscription had been cancelled."); err != nil {`, `	if charge.State == "" {
		if err := b.giveBack(ctx, scope, charge.ID, Payment{}, "The subscription had been cancelled."); err != nil {`),
			Run: inCharging, Breaks: "money taken after an end at once is given back",
		},
		{
			Name: "second-payment-kept", Is: "further payments that a look-up finds under an order are passed over",
			Edits: edit(outcome, `	for _, p := range found.Others {`, `	for _, p := range found.Others[:0] {`),
			Run:   inSet("charge-tried-twice"), Breaks: "no money without a record",
		},
		{
			Name: "two-periods-at-once", Is: "after an outage the periods that are over are charged for one after the other",
			Edits: edit(subscription, `	return !now.Before(s.dueOf(s.Period + 1))`, `	return s.Period < 0 && !now.Before(s.dueOf(s.Period+1))`),
			Run:   inCharging, Breaks: "due instants: nothing is charged for a period that is over",
		},
		{
			Name: "message-let-go-before-the-work", Is: "the message goes whether the work was done or not",
			Edits: edit(biller, `	return b.step(ctx, scope, s)
}

func`, `	_ = b.step(ctx, scope, s)
	return nil
}

func`),
			Run: sooner.without("overdue"), Breaks: "nothing stuck",
		},
		{
			Name: "glance-believed", Is: "a look that may be old lets the message go",
			Edits: edit(biller, `	if err != nil || s.Step == StepNone || s.WakeAt.After(b.Clock.Now()) {
		// A glance`, `	if err != nil {
		// A glance`),
			Run: sooner.without("overdue"), Breaks: "nothing stuck",
		},
		{
			Name: "retries-side-by-side", Is: "the subscriptions of one customer are retried at the same time",
			Edits: edit("shared/customer/customer.go", `r.Subscription != subscription && r.Until.After(now)`, `r.Subscription != subscription && r.Until.Before(r.Until)`),
			Run:   inCharging, Breaks: "one retry at a time for each customer",
		},
	}
}

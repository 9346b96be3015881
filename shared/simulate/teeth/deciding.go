package teeth

// deciding are faults of what follows from an outcome, and of the dates.
func deciding() []Fault {
	return []Fault{
		{
			Name: "hard-decline-retried", Is: "a card that was refused for good is charged again",
			Edits: edit(subscription, `	if class != Hard && !same && !s.Ending {`, `	if !same && !s.Ending {`),
			Run:   inCharging, Breaks: "nothing after a hard decline",
		},
		{
			Name: "same-decline-not-counted", Is: "the same decline twice does not end the attempts",
			Edits: edit(subscription, `	same := code != "" && code == s.LastCode && class == Soft`, `	same := code == "" && code == s.LastCode && class == Soft`),
			Run:   inCharging, Breaks: "nothing after two equal declines",
		},
		{
			Name: "fifth-attempt", Is: "there is one attempt more than four",
			Edits: edit(calendar, `	if k < 1 || k > MostAttempts {
		return time.Time{}, false
	}
	at := Resolve(s.wall(n).addDays(retryDays[k-1]), s.zone)`, `	if k < 1 || k > MostAttempts+1 {
		return time.Time{}, false
	}
	at := Resolve(s.wall(n).addDays(retryDays[min(k, MostAttempts)-1]+7*max(0, k-MostAttempts)), s.zone)`),
			Run: inCharging, Breaks: "nothing after four attempts",
		},
		{
			Name: "retry-counted-from-now", Is: "a retry's date is as late as the attempt before it was",
			Edits: edit(subscription, `		if at.After(now) { // one that is late`, `		at = at.Add(max(0, now.Sub(s.NextDueAt)))
		if at.After(now) { // one that is late`),
			Run: inCharging, Breaks: "due instants equal an independent computation",
		},
		{
			Name: "retry-after-the-next-is-due", Is: "attempts go on when the next period is due",
			Edits: edit(calendar, `	return at, k == 1 || at.Before(s.Due(n+1))`, `	return at, k == 1 || !at.IsZero()`),
			Run:   inCharging, Breaks: "due instants: every period ends paid, unpaid or cancelled before the next",
		},
		{
			Name: "no-reminder", Is: "a retry is made that nobody was told of",
			Edits: edit(subscription, `			return s.wake(StepRemind, at.Add(-remindBefore), now), true`, `			s.Reminded = attempt
			return s.wake(StepCharge, at, now), true`),
			Run: inCharging, Breaks: "a notice before each retry",
		},
		{
			Name: "reminder-with-the-retry", Is: "who is retried is told of it as it is done",
			Edits: edit(subscription, `			return s.wake(StepRemind, at.Add(-remindBefore), now), true`, `			return s.wake(StepCharge, at, now), true`),
			Run:   inCharging, Breaks: "a notice a day before each retry",
		},
		{
			Name: "month-end-drift", Is: "a period is counted from the one before, so that the 31st never comes back",
			Edits: edit(calendar, `	case Months:
		return w.addMonths(k)
	}`, `	case Months:
		for range n {
			w = w.addMonths(k / n)
		}
		return w
	}`),
			Run: inCharging, Breaks: "due instants equal an independent computation",
		},
		{
			Name: "month-end-runs-over", Is: "the 31st of a short month is one of the first days of the next",
			Edits: edit(calendar, `	moved.Day = min(w.Day, last)`, `	moved.Day = max(w.Day, w.Day-last)`),
			Run:   inCharging, Breaks: "due instants equal an independent computation",
		},
		{
			Name: "skipped-hour-comes-early", Is: "a wall time that does not exist is an hour too early",
			Edits: edit(calendar, `	return early.UTC() // skipped: the offset before the gap`, `	return asUTC.Add(-time.Duration(after) * time.Second).UTC()`),
			Run:   inCharging, Breaks: "due instants equal an independent computation",
		},
		{
			Name: "unpaid-keeps-access", Is: "who did not pay keeps what it did not pay for",
			Edits: edit(subscription, `	case StateUnpaid, StateCancelled:
		e.State = entitlement.Ended
	}
	return e`, `	case StateUnpaid:
		e.State, e.Open = entitlement.Grace, true
	case StateCancelled:
		e.State = entitlement.Ended
	}
	return e`),
			Run: inCharging, Breaks: "access follows the books",
		},
		{
			Name: "declined-from-the-first-has-access", Is: "grace is given to who never paid",
			Edits: edit(subscription, `		if !s.PaidUntil.IsZero() && !s.Waits && !s.Returned {`, `		if !s.Waits && !s.Returned {`),
			Run:   inCharging, Breaks: "access follows the books",
		},
		{
			Name: "revived-before-it-pays", Is: "a new card brings access back before there is money",
			Edits: edit(subscription, `	s.State, s.Waits = StatePastDue, true
	if s.lapsed(now) {`, `	s.State, s.Waits = StatePastDue, false
	if s.lapsed(now) {`),
			Run: inCharging, Breaks: "access follows the books",
		},
		{
			Name: "refunded-keeps-access", Is: "who got all the money back keeps what it had paid for",
			Edits: edit(subscription, `		if s.Returned {
			e.State, e.Open = entitlement.Ended, false
		}`, ``),
			Run: inCharging, Breaks: "access follows the books",
		},
		{
			Name: "cancel-does-not-look", Is: "a cancellation does not reckon with an attempt that may be under way",
			Edits: edit(subscription, `	open := s.mayBeOpen(now)
	if s.Step == StepResolve {
		until = s.WakeAt`, `	open := false
	if s.Step == StepResolve {
		until = s.WakeAt`),
			Run: inCharging, Breaks: "paid once more, one more period",
		},
		{
			Name: "ending-is-charged", Is: "an agreement that ends with its period is charged where the cancellation met the claim",
			Edits: edit(subscription, `	return !s.ended() && !s.Ending && !s.Terms.OnDemand && len(s.BillingKey) > 0`, `	return !s.ended() && !s.Terms.OnDemand && len(s.BillingKey) > 0`),
			Run:   inCharging, Breaks: "nothing after \"you will not be charged\"",
		},
		{
			Name: "plan-turns-in-dunning", Is: "another plan takes over in the middle of a period's attempts",
			Edits: edit(subscription, `	return s.Next != nil && s.Attempt == 1 && !s.ended()`, `	return s.Next != nil && !s.ended()`),
			Run:   inCharging, Breaks: "a period is of one plan",
		},
		{
			Name: "plan-turns-without-the-claim", Is: "another plan takes over beside the claim and not with it",
			Edits: edit(biller, `		with = append(with, table.Put(item))
	}
	gateway, err`, `		_ = item
	}
	gateway, err`),
			Run: inSet("charge-plan"), Breaks: "nothing stuck",
		},
		{
			Name: "old-card-blamed", Is: "a decline of the card before ends what a new card was given for",
			Edits: edit(subscription, `	return s.Cards > c.Cards && `, `	return s.Cards < c.Cards && `),
			Run:   inCharging, Breaks: "a new card is tried on what is open",
		},
		{
			Name: "another-means-unasked", Is: "a decline counts against the means of payment that we know of, whichever was asked",
			Edits: edit(subscription, `	if c.Method == "" || c.Method == s.Method || c.Class == Passing && s.Method != "" || s.replaced(c) {`, `	if s.Method != "-" {`),
			Run:   Run{Of: "shared/billing", Test: "TestADeclineCountsAgainstTheMeansOfPaymentThatWasAsked"}, Breaks: "nothing after two equal declines",
		},
		{
			Name: "end-before-it-is-paid-up", Is: "an agreement that was cancelled for its period's end is over at once",
			Edits: edit(subscription, `		return s.wake(StepEnd, s.PaidUntil, now)`, `		return s.wake(StepEnd, now, now)`),
			Run:   inCharging, Breaks: "access follows the books",
		},
		{
			Name: "end-is-not-booked", Is: "an agreement that was cancelled for its period's end never ends",
			Edits: edit(subscription, `	case s.Ending:
		return s.wake(StepEnd, s.PaidUntil, now)`, `	case s.Ending:
		return s.sleep()`),
			Run: inCharging, Breaks: "nothing stuck",
		},
	}
}

package teeth

const (
	customers = "shared/customer/customer.go"
	spend     = "shared/customer/spend.go"
	join      = "shared/customer/join.go"
	wallets   = "shared/wallet/wallet.go"
	access    = "shared/entitlement/entitlement.go"
)

// holding are faults of wallets, of what a customer may use, and of its log.
func holding() []Fault {
	return []Fault{
		{
			Name: "debt-clamped-at-zero", Is: "what was spent before it was refunded is forgotten",
			Edits: edit(wallets, `	c.owe(amount)
	return c.end()`, `	return c.end()`),
			Run: inSelling, Breaks: "a wallet holds what its orders gave less what was refunded",
		},
		{
			Name: "spent-without-holding", Is: "more can be spent than there is",
			Edits: edit(wallets, `	case amount > balance:`, `	case amount > balance && balance == 0:`),
			Run:   inSelling, Breaks: "nothing is spent that is not held",
		},
		{
			Name: "credit-pays-no-debt", Is: "a credit pays the debt and fills its lot as well",
			Edits: edit(wallets, `	c.part(c.apart(l), l.Granted-c.pay(l.Granted))`, `	c.pay(l.Granted)
	c.part(c.apart(l), l.Granted)`),
			Run: inSelling, Breaks: "a wallet holds what its orders gave less what was refunded",
		},
		{
			Name: "lots-out-of-order", Is: "what ends last is spent first",
			Edits: edit(wallets, `	return a.ExpiresAt.Compare(*b.ExpiresAt)`, `	return b.ExpiresAt.Compare(*a.ExpiresAt)`),
			Run:   inSelling, Breaks: "lots are spent in the order of their ends",
		},
		{
			Name: "lots-never-over", Is: "what ended can be spent",
			Edits: edit(wallets, `return l.ExpiresAt != nil && !now.Before(*l.ExpiresAt) }`, `return l.ExpiresAt != nil && now.IsZero() }`),
			Run:   inSelling, Breaks: "nothing is spent that is not held",
		},
		{
			Name: "spend-not-kept", Is: "a spend is not remembered by its reference",
			Edits: edit(spend, `		return false, c.keep(table.Item{Key: c.key(sort)}, spent)`, `		return false, nil`),
			Run:   inSelling, Breaks: "a reference is spent once",
		},
		{
			Name: "spend-over-another-write", Is: "a wallet is written over whatever was written meanwhile",
			Edits: edit(spend, `	return d.Tables.Commit(ctx, writes...)
}`, `	err = d.Tables.Commit(ctx, writes...)
	for range 3 {
		if overtaken := new(table.Conflict); errors.As(err, &overtaken) && len(overtaken.Found) == len(writes) {
			for i, found := range overtaken.Found {
				if found != nil {
					writes[i].Change, writes[i].Item.Revision = table.Replace, found.Revision
				}
			}
			err = d.Tables.Commit(ctx, writes...)
		}
	}
	return err
}`),
			Run: inSelling, Breaks: "a wallet holds what its orders gave less what was refunded",
		},
		{
			Name: "spend-refunded-twice", Is: "what was given back of a spend is not counted",
			Edits: edit(spend, `		spent.Refunded += refund.Amount
`, ``),
			Run: inSelling, Breaks: "no more is given back of a spend than was spent",
		},
		{
			Name: "spend-refund-not-kept", Is: "the refund of a spend is not remembered by its reference",
			Edits: edit(spend, `		return false, errors.Join(c.keep(item, spent), c.keep(table.Item{Key: c.key(sort)}, refund))`, `		return false, c.keep(item, spent)`),
			Run:   inSelling, Breaks: "a reference is given back once",
		},
		{
			Name: "ended-gives", Is: "what ended gives access until the date that it had",
			Edits: edit(access, `	case Active, Grace:
		return s.Open || s.Until.IsZero() || now.Before(s.Until)
	case OnHold, Ended, Expired:`, `	case Active, Grace, Ended:
		return s.Open || s.Until.IsZero() || now.Before(s.Until)
	case OnHold, Expired:`),
			Run: inSelling, Breaks: "access follows the store",
		},
		{
			Name: "end-is-not-looked-at", Is: "what is active gives access whatever its end",
			Edits: edit(access, `s.Open || s.Until.IsZero() || now.Before(s.Until)`, `s.Open || s.Until.IsZero() || !now.IsZero()`),
			Run:   inSelling, Breaks: "access follows the store",
		},
		{
			Name: "number-skipped", Is: "a second event of one write skips a number",
			Edits: edit(customers, `	c.head.Sequence++
	e.Sequence`, `	c.head.Sequence += int64(min(len(c.events), 1)) + 1
	e.Sequence`),
			Run: inSelling, Breaks: "events have numbers without gaps",
		},
		{
			Name: "one-event-a-write", Is: "of two events of one write one is written",
			Edits: edit(customers, `	for _, e := range c.events {
		put(eventKey`, `	for _, e := range c.events[:min(len(c.events), 1)] {
		put(eventKey`),
			Run: inSelling, Breaks: "events have numbers without gaps",
		},
		{
			Name: "change-without-its-record", Is: "what a write changed is not in the event that tells of it",
			Edits: edit(customers, `		c.events[why].Changes.Sources, c.events[why].Changes.Gone = changed.Sources, changed.Gone
`, `		_ = why
`),
			Run: inSelling, Breaks: "the events make the state again",
		},
		{
			Name: "merged-wallet-left-behind", Is: "a wallet goes over to the other customer and stays as well",
			Edits: edit(join, `		o.SetWallet(currency, from, out)
`, `		_ = from
`),
			Run: inSelling, Breaks: "the events make the state again",
		},
	}
}

package selling

import (
	"slices"

	"grantline/shared/table"
)

// eventWritten folds an event into the books.
func (q *Quarter) eventWritten(a *account, r *eventRecord, change table.Change) {
	if r.Sequence != a.last+1 || change != table.Insert {
		q.fail("events of a customer are numbered without gaps", "%s: event %d after %d (%s)", a.ref, r.Sequence, a.last, r.Type)
	}
	a.last = r.Sequence
	for _, gone := range r.Changes.Gone {
		a.sources = slices.DeleteFunc(a.sources, gone.names)
	}
	for _, s := range r.Changes.Sources {
		a.sources = append(slices.DeleteFunc(a.sources, s.names), s)
	}
	for i := range r.Changes.Wallet {
		q.moved(a, r, &r.Changes.Wallet[i])
	}
	switch r.Type {
	case "wallet.spent", "wallet.spend_refunded", "wallet.credited":
		name := r.Type + " " + r.Reference
		if q.books.told[name] {
			q.fail("spends: exactly once per reference", "%s: %s is told of twice", a.ref, name)
		}
		q.books.told[name] = true
	}
}

// moved folds an entry of a ledger into the lots.
func (q *Quarter) moved(a *account, r *eventRecord, m *movement) {
	if m.Currency != "gems" {
		return
	}
	e := &m.Entry
	sum := -e.Debt
	a.debt += e.Debt
	for _, p := range e.Parts {
		sum += p.Amount
		a.put(p.Lot, p.Amount)
	}
	booked := -a.debt
	for _, l := range a.lots {
		booked += l.Remaining
	}
	if sum != e.Amount || booked != e.Balance || a.debt < 0 {
		q.fail("the balance is the sum of the lots less debt", "%s: event %d moves %d (%d), balance %d (%d), debt %d", a.ref, r.Sequence, e.Amount, sum, e.Balance, booked, a.debt)
	}
	switch e.Kind {
	case "credit":
		q.creditedOnce(a, r, m)
	case "expire":
		for _, p := range e.Parts {
			if !p.Lot.over(r.At) {
				q.fail("lots are orders less refunds, spends and ends", "%s: lot %s ends before its end", a.ref, p.Lot.Order)
			}
		}
		q.books.one(a.ref).ought += e.Amount
	case "spend":
		q.spentInTurn(a, r, m)
	}
}

// put changes a lot.
func (a *account) put(l lot, amount int64) {
	at := slices.IndexFunc(a.lots, func(o lot) bool { return o.Order == l.Order && o.N == l.N })
	if at < 0 {
		l.Remaining = 0
		a.lots = append(a.lots, l)
		at = len(a.lots) - 1
	}
	if a.lots[at].Remaining += amount; a.lots[at].Remaining == 0 {
		a.lots = slices.Delete(a.lots, at, at+1)
	}
}

// creditedOnce holds that what was bought comes into wallets once.
func (q *Quarter) creditedOnce(a *account, r *eventRecord, m *movement) {
	if r.Reference != "" {
		return // the company's own
	}
	if by := q.books.credits[r.OrderID]; by != "" {
		q.fail("a store sale is granted at most once", "%s is credited to %s, and was to %s", r.OrderID, a.ref, by)
	}
	q.books.credits[r.OrderID] = a.ref
}

// spentInTurn holds that what ends first is spent first, and nothing beyond the balance.
func (q *Quarter) spentInTurn(a *account, r *eventRecord, m *movement) {
	left := -a.debt
	for _, l := range a.lots {
		if l.over(r.At) {
			continue
		}
		left += l.Remaining
		for _, p := range m.Entry.Parts {
			if l.Ends != nil && (p.Lot.Ends == nil || l.Ends.Before(*p.Lot.Ends)) {
				q.fail("lots are spent in the order of their ends", "%s: %s is left, and %s was spent", a.ref, l.Order, p.Lot.Order)
			}
		}
	}
	if left < 0 {
		q.fail("spends: never beyond the balance", "%s: %s leaves %d", a.ref, r.Reference, left)
	}
	for _, p := range m.Entry.Parts {
		if p.Lot.over(r.At) || p.Amount >= 0 {
			q.fail("spends: never beyond the balance", "%s: %s takes from what is over", a.ref, r.Reference)
		}
	}
}

package abuse

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"grantline/shared/fault"
)

// Granted counts a sale of amount, in the smallest unit of an ISO 4217 currency, that was
// granted. One without money counts for nothing. It counts each time it is called: the
// caller calls it with the claim that makes a grant happen once.
func (h History) Granted(amount int64, currency string) History {
	h = h.clone()
	if amount <= 0 {
		return h
	}
	if h.Purchases < math.MaxInt {
		h.Purchases++
	}
	if countable(h.Paid, currency) {
		h.Paid = plus(h.Paid, currency, amount)
	}
	return h
}

// Refunded counts a refund. An order is one refund however often and in however many parts
// it is told, in any order: the greatest amount of it stands, and the greatest share that
// was spent, and it is as old as its first part, since being told again makes nothing
// younger. An amount below zero or in no known currency is an unknown one. One without an
// order is nobody's, and counts for nothing. Only an order that has been forgotten (there
// are MostRefunds later ones) would be counted anew.
func (h History) Refunded(r Refund) History {
	h = h.clone()
	if r.OrderID == "" {
		return h
	}
	if r.Amount <= 0 || !countable(h.Returned, r.Currency) {
		r.Amount, r.Currency = 0, ""
	}
	if i := h.find(r.OrderID); i >= 0 {
		known := h.Refunds[i]
		h.Returned = minus(h.Returned, known.Currency, known.Amount)
		r = worse(known, r)
		h.Refunds = slices.Delete(h.Refunds, i, i+1)
	} else if h.Count < math.MaxInt {
		h.Count++
	}
	h.Returned = plus(h.Returned, r.Currency, r.Amount)
	h.Refunds = append(h.Refunds, r)
	return h.trimmed()
}

// Restored undoes a refund, all of it: a sale whose money the store took again, or a won
// dispute, is no refund, however much of it had been told. The amount is needed only for an
// order that has been forgotten; one that was never refunded changes nothing. Of a forgotten
// one that cannot be known, so the caller undoes each refund once.
func (h History) Restored(orderID string, amount int64, currency string) History {
	h = h.clone()
	if i := h.find(orderID); i >= 0 {
		known := h.Refunds[i]
		h.Refunds = slices.Delete(h.Refunds, i, i+1)
		h.Returned = minus(h.Returned, known.Currency, known.Amount)
		h.Count = max(h.Count-1, len(h.Refunds))
		return h.bare()
	}
	if h.forgotten() == 0 || orderID == "" {
		return h
	}
	h.Returned = minus(h.Returned, currency, min(amount, h.forgottenMoney(currency)))
	h.Count--
	if h.forgotten() == 0 {
		h.ForgottenAt = time.Time{}
	}
	return h.bare()
}

// Override puts a person's word above the score, until it is lifted or followed by another.
// It leaves Measures as they were last written: those to write are in the next Assessment.
// Errors: fault.Invalid, override_invalid, where a measure is unknown, or the reason or who
// gave it is missing or too long.
func (h History) Override(o Override) (History, error) {
	o.Reason, o.By = strings.TrimSpace(o.Reason), strings.TrimSpace(o.By)
	if !words(o.Reason, LongestReason) {
		return h, fault.New(fault.Invalid, "override_invalid", "An override needs a reason of at most %d characters.", LongestReason)
	}
	if !words(o.By, LongestBy) {
		return h, fault.New(fault.Invalid, "override_invalid", "An override needs who made it, in at most %d characters.", LongestBy)
	}
	for _, m := range o.Measures {
		if !slices.Contains(measures(), m) {
			return h, fault.New(fault.Invalid, "override_invalid", "There is no measure of that name; there are %v.", measures())
		}
	}
	h = h.clone()
	o.Measures = ordered(o.Measures)
	h.Overrides = append(h.Overrides, o)
	h.Lifted = false
	return h.trimmed(), nil
}

// Lift takes the override in force back: the score decides again. Without one it changes
// nothing. What was said, and why, is kept.
func (h History) Lift() History {
	h = h.clone()
	h.Lifted = len(h.Overrides) > 0
	return h
}

// Join is the history of two customers who turned out to be one; which of them is asked
// makes no difference. An order that both know is one refund. Of two overrides in force the
// later stands, and one in force is not undone by another's having been lifted. The measures
// of both are in force until an Assessment of the whole is written.
func (h History) Join(o History) History {
	a, b := h.clone(), o.clone()
	j := History{
		Purchases: sum(a.Purchases, b.Purchases),
		Paid:      total(a.Paid, b.Paid),
		Count:     sum(a.Count, b.Count),
		Returned:  total(a.Returned, b.Returned),
		Refunds:   a.Refunds,
		Measures:  ordered(slices.Concat(a.Measures, b.Measures)),
	}
	for _, r := range b.Refunds {
		i := j.find(r.OrderID)
		if i < 0 {
			j.Refunds = append(j.Refunds, r)
			continue
		}
		j.Count--
		both := worse(j.Refunds[i], r)
		for _, twice := range []Refund{j.Refunds[i], r} {
			j.Returned = minus(j.Returned, twice.Currency, twice.Amount)
		}
		j.Returned = plus(j.Returned, both.Currency, both.Amount)
		j.Refunds[i] = both
	}
	j.ForgottenAt = later(a.ForgottenAt, b.ForgottenAt)
	j.Overrides, j.Lifted = joinOverrides(a, b)
	few(j.Paid)
	few(j.Returned)
	return j.trimmed()
}

func joinOverrides(a, b History) (all []Override, lifted bool) {
	all = slices.Concat(a.Overrides, b.Overrides)
	slices.SortFunc(all, compareOverrides)
	all = slices.CompactFunc(all, func(a, b Override) bool { return compareOverrides(a, b) == 0 })
	x, y := a.inForce(), b.inForce()
	if x == nil || y != nil && compareOverrides(*x, *y) < 0 {
		x = y
	}
	if x == nil {
		return all, len(all) > 0
	}
	i := slices.IndexFunc(all, func(o Override) bool { return compareOverrides(o, *x) == 0 })
	return append(slices.Delete(all, i, i+1), *x), false
}

// InForce says whether a measure is in force, as last written.
func (h History) InForce(m Measure) bool { return slices.Contains(h.Measures, m) }

// inForce is a copy of the override in force, nil where there is none.
func (h History) inForce() *Override {
	if h.Lifted || len(h.Overrides) == 0 {
		return nil
	}
	o := h.Overrides[len(h.Overrides)-1]
	o.Measures = ordered(o.Measures)
	return &o
}

// forgotten is how many refunds are counted but no longer kept.
func (h History) forgotten() int { return max(0, h.Count-len(h.Refunds)) }

// forgottenMoney is what came back with them.
func (h History) forgottenMoney(currency string) int64 {
	left := h.Returned[currency]
	for _, r := range h.Refunds {
		if r.Currency == currency {
			left = max(0, left-r.Amount)
		}
	}
	return left
}

func (h History) find(orderID string) int {
	return slices.IndexFunc(h.Refunds, func(r Refund) bool { return r.OrderID == orderID })
}

// trimmed keeps what a history keeps. What it forgets depends only on what it was told, not
// on when it was told what.
func (h History) trimmed() History {
	slices.SortFunc(h.Refunds, func(a, b Refund) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.OrderID, b.OrderID))
	})
	if over := len(h.Refunds) - MostRefunds; over > 0 {
		h.ForgottenAt = later(h.ForgottenAt, h.Refunds[over-1].At)
		h.Refunds = slices.Delete(h.Refunds, 0, over)
	}
	if over := len(h.Overrides) - MostOverrides; over > 0 {
		h.Overrides = slices.Delete(h.Overrides, 0, over)
	}
	return h.bare()
}

// bare has nil for what is empty, so that a refund that was undone leaves no trace.
func (h History) bare() History {
	if len(h.Measures) == 0 {
		h.Measures = nil
	}
	if len(h.Returned) == 0 {
		h.Returned = nil
	}
	if len(h.Refunds) == 0 {
		h.Refunds = nil
	}
	return h
}

func (h History) clone() History {
	h.Paid, h.Returned = maps.Clone(h.Paid), maps.Clone(h.Returned)
	h.Refunds, h.Measures = slices.Clone(h.Refunds), slices.Clone(h.Measures)
	h.Overrides = slices.Clone(h.Overrides)
	for i := range h.Overrides {
		h.Overrides[i].Measures = slices.Clone(h.Overrides[i].Measures)
	}
	return h
}

// worse is what two tellings of one order's refund come to, in either order.
func worse(a, b Refund) Refund {
	w := a
	if cmp.Or(cmp.Compare(a.Amount, b.Amount), cmp.Compare(a.Currency, b.Currency)) < 0 {
		w.Amount, w.Currency = b.Amount, b.Currency
	}
	if cmp.Or(cmp.Compare(a.spentShare(), b.spentShare()), cmp.Compare(a.Credited, b.Credited), cmp.Compare(a.Spent, b.Spent)) < 0 {
		w.Credited, w.Spent = b.Credited, b.Spent
	}
	if a.At.IsZero() || !b.At.IsZero() && b.At.Before(a.At) {
		w.At = b.At
	}
	w.PurchasedAt = later(a.PurchasedAt, b.PurchasedAt)
	w.Consumable = a.Consumable || b.Consumable
	return w
}

func compareOverrides(a, b Override) int {
	return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.By, b.By), cmp.Compare(a.Reason, b.Reason),
		slices.Compare(ordered(a.Measures), ordered(b.Measures)))
}

func words(s string, longest int) bool {
	return s != "" && utf8.ValidString(s) && utf8.RuneCountInString(s) <= longest
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// countable says whether money of a currency is counted in m.
func countable(m map[string]int64, currency string) bool {
	_, known := m[currency]
	return known || currency != "" && len(m) < MostCurrencies
}

// plus adds to m, which may be nil and is the caller's own; at the end of the numbers it stays there.
func plus(m map[string]int64, currency string, amount int64) map[string]int64 {
	if amount <= 0 {
		return m
	}
	if m == nil {
		m = map[string]int64{}
	}
	if m[currency] > math.MaxInt64-amount {
		m[currency] = math.MaxInt64
	} else {
		m[currency] += amount
	}
	return m
}

// minus takes from m, the caller's own, down to nothing, which is not kept.
func minus(m map[string]int64, currency string, amount int64) map[string]int64 {
	if amount <= 0 {
		return m
	}
	if m[currency] > amount {
		m[currency] -= amount
	} else {
		delete(m, currency)
	}
	return m
}

// total adds b to a, which is the caller's own.
func total(a, b map[string]int64) map[string]int64 {
	for currency, amount := range b {
		a = plus(a, currency, amount)
	}
	return a
}

// few drops the currencies of m, the caller's own, that are too many: the last by name.
func few(m map[string]int64) {
	for _, currency := range slices.Sorted(maps.Keys(m))[min(len(m), MostCurrencies):] {
		delete(m, currency)
	}
}

func sum(a, b int) int {
	if a > math.MaxInt-b {
		return math.MaxInt
	}
	return a + b
}

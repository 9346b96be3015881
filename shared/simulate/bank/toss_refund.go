package bank

import (
	"context"
	"sort"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"grantline/shared/billing"
)

// Refund gives money of a payment back, once for each key, if as much is left as r says.
func (t *Toss) Refund(_ context.Context, r billing.Refunding) billing.Refunded {
	if !t.refundable(r) || r.Key == "" || len(r.Key) > 300 || !printable(r.Key) || !reasonable(r.Reason) {
		return billing.Refunded{Result: billing.NotMade, Misconfigured: true}
	}
	a := t.write("refund", t.orderOf(r.Payment), request{r.Payment, r.Key}, func() answer { return t.cancel(r.Payment, r.Key, r.Amount.Units, r.Left) })
	switch {
	case a.status == 0:
		return billing.Refunded{Result: billing.Unclear}
	case a.status == 200:
		if a.payment.Order != r.OrderID || a.payment.Amount-a.returned != r.Left-r.Amount.Units || a.payment.cancelled(a.transaction) != r.Amount.Units {
			return billing.Refunded{Result: billing.Unclear} // the key's first body was another
		}
		return billing.Refunded{Result: billing.Taken, Transaction: a.transaction}
	case a.status == 429:
		return billing.Refunded{Result: billing.NotMade, Code: a.code, Busy: true}
	case a.ours:
		return billing.Refunded{Result: billing.NotMade, Code: a.code, Misconfigured: true}
	case a.means == billing.Refused:
		return billing.Refunded{Result: billing.Refused, Code: a.code}
	}
	return billing.Refunded{Result: billing.Unclear, Code: a.code, Final: a.status >= 500}
}

// cancelled is how much a transaction gave back.
func (p *Payment) cancelled(transaction string) int64 {
	for _, r := range p.Refunds {
		if r.ID == transaction {
			return r.Amount
		}
	}
	return 0
}

// orderOf is whose a payment is.
func (t *Toss) orderOf(payment string) string {
	if p := t.byKey[payment]; p != nil {
		return p.Order
	}
	return payment
}

// cancel is what Toss does about a refund. A lock of less than 0 is none.
func (t *Toss) cancel(payment, key string, amount, lock int64) answer {
	refuse := func(status int, code string) answer {
		return answer{status: status, code: code, means: billing.Refused}
	}
	p := t.byKey[payment]
	if p == nil {
		return answer{status: 404, code: "NOT_FOUND_PAYMENT", ours: true}
	}
	left := p.Amount - p.Returned
	switch {
	case left == 0 && len(p.Refunds) == 1:
		return refuse(400, "ALREADY_CANCELED_PAYMENT")
	case left == 0, lock < 0 && amount > left:
		return refuse(403, "NOT_CANCELABLE_AMOUNT")
	case lock >= 0 && lock != left:
		return refuse(400, "NOT_MATCHES_REFUNDABLE_AMOUNT")
	case amount > left:
		return refuse(403, "NOT_CANCELABLE_AMOUNT")
	case lock >= 0 && t.chance(t.RefundRefused):
		return refuse(400, "REFUND_REJECTED")
	}
	r := &Refund{ID: t.id(transactionPrefix), Key: key, Amount: amount, At: t.world.Now(), Payment: p, left: left - amount}
	p.Refunds, p.transaction = append(p.Refunds, r), r.ID
	t.rows = append(t.rows, row{at: r.At, n: t.count, payment: p, returned: amount})
	t.back(r)
	t.tell(p)
	return shown(p)
}

// FindRefund looks whether the payment shows the refund, as the adapter does.
func (t *Toss) FindRefund(_ context.Context, r billing.Refunding) billing.Refunded {
	if !t.refundable(r) {
		return billing.Refunded{Result: billing.Unclear}
	}
	var found billing.Refunded
	a := t.look("find refund", t.orderOf(r.Payment), func() answer {
		p := t.byKey[r.Payment]
		if p == nil {
			return answer{status: 404, code: "NOT_FOUND_PAYMENT"}
		}
		found = standing(p, r)
		return answer{status: 200}
	})
	if a.status != 200 {
		return billing.Refunded{Result: billing.Unclear, Code: a.code}
	}
	return found
}

// standing is what a payment says of a refund: it shows no key, so that amount, what was left
// and when have to tell.
func standing(p *Payment, r billing.Refunding) billing.Refunded {
	if p.Order != r.OrderID {
		return billing.Refunded{Result: billing.Unclear}
	}
	left, since := p.Amount-p.Returned, r.Since.Truncate(time.Second).Add(-time.Minute)
	var fit *Refund
	for _, c := range p.Refunds {
		// What is left only falls, so that one fits at most; one from before is another's.
		if c.Amount == r.Amount.Units && c.left == r.Left-r.Amount.Units && !c.At.Truncate(time.Second).Before(since) {
			fit = c
		}
	}
	switch {
	case fit != nil && left > r.Left-r.Amount.Units:
		return billing.Refunded{Result: billing.Unclear}
	case fit != nil:
		return billing.Refunded{Result: billing.Taken, Transaction: fit.ID}
	}
	return billing.Refunded{Result: billing.Absent} // the payment shows all that was given back of it
}

func (t *Toss) refundable(r billing.Refunding) bool {
	return isOrder(r.OrderID) && strings.Trim(r.Payment, ".") != "" && len(r.Payment) <= 200 && printable(r.Payment) && r.Amount.Currency == won &&
		r.Amount.Units > 0 && r.Left >= r.Amount.Units
}

// reasonable says whether Toss takes s for a reason.
func reasonable(s string) bool {
	return strings.TrimSpace(s) != "" && utf8.ValidString(s) && utf8.RuneCountInString(s) <= 200 && !strings.ContainsFunc(s, unicode.IsControl)
}

// ConsoleRefund gives money of a payment back in Toss's console; 0 is all that is left. It is
// false if there was not as much.
func (t *Toss) ConsoleRefund(payment string, amount int64) bool {
	p := t.byKey[payment]
	if p == nil {
		return false
	}
	if amount == 0 {
		amount = p.Amount - p.Returned
	}
	return amount > 0 && t.cancel(payment, "", amount, -1).status == 200
}

// Statement pages through what moved in [from, to).
func (t *Toss) Statement(_ context.Context, from, to time.Time, after string) (entries []billing.Entry, next string, err error) {
	if !from.Before(to) {
		return nil, "", nil
	}
	var rows []row
	full := false
	a := t.look("statement", "", func() answer {
		end := to.Add(time.Second - 1).Truncate(time.Second)
		rows, full = t.listed(from.Truncate(time.Second), end, after)
		return answer{status: 200}
	})
	if a.status != 200 {
		return nil, "", tossUnavailable()
	}
	for _, r := range rows {
		if at := r.at.Truncate(time.Second); !at.Before(from) && at.Before(to) {
			entries = append(entries, billing.Entry{
				OrderID: r.payment.Order, Payment: r.payment.Key, At: at, Currency: won, Taken: r.taken, Returned: r.returned,
			})
		}
	}
	if full {
		next = rows[len(rows)-1].key()
	}
	return entries, next, nil
}

// listed is a page of what moved from an instant to another, after a transaction, and whether
// it is full.
func (t *Toss) listed(from, end time.Time, after string) (rows []row, full bool) {
	size := t.Page
	if size == 0 {
		size = tossRows
	}
	n, _ := strconv.Atoi(strings.TrimPrefix(after, transactionPrefix))
	last := t.world.Now().Add(-t.lag())
	first := sort.Search(len(t.rows), func(i int) bool { return !t.rows[i].at.Before(from) && t.rows[i].n > n })
	beyond := sort.Search(len(t.rows), func(i int) bool { return t.rows[i].at.Truncate(time.Second).After(end) || t.rows[i].at.After(last) })
	rows = t.rows[first:max(first, min(first+size, beyond))]
	return rows, len(rows) == size
}

// transactionPrefix begins the keys of transactions.
const transactionPrefix = "toss_txn_"

func (r row) key() string { return transactionPrefix + strconv.Itoa(r.n) }

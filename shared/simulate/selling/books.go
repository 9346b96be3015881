package selling

import (
	"time"
)

// books are each customer's own, as they follow from what was written: what is held of gems,
// and what ought to be.
type books struct {
	accounts map[string]*account // by our id
	spends   map[string]*spending
	unspends map[string]bool
	told     map[string]bool   // events that have a reference, by both
	credits  map[string]string // lots: whose order it was that came to be one
}

// account is a customer's, or that of several who turned out to be one.
type account struct {
	ref     string
	into    *account
	members int
	// Of each record: number of the last event, and what its log comes to.
	last    int64
	lots    []lot
	debt    int64
	sources []source
	// Of all members: what orders, credits, spends and ends leave, and what wallets hold.
	ought, held int64
	wallet      int64 // this record's part of held
	heads       int64
	want        []source // as the head has them
}

type lot struct {
	Order     string     `json:"orderId"`
	N         int        `json:"n"`
	Granted   int64      `json:"granted"`
	Remaining int64      `json:"remaining"`
	Ends      *time.Time `json:"expiresAt"`
}

func (l lot) over(now time.Time) bool { return l.Ends != nil && !now.Before(*l.Ends) }

type source struct {
	Kind        string    `json:"kind"`
	Provider    string    `json:"provider"`
	Ref         string    `json:"ref"`
	Entitlement string    `json:"entitlement"`
	State       string    `json:"state"`
	Order       string    `json:"orderId"`
	Until       time.Time `json:"until"`
	WillRenew   bool      `json:"willRenew"`
}

func (s source) names(o source) bool {
	return s.Kind == o.Kind && s.Provider == o.Provider && s.Ref == o.Ref && s.Entitlement == o.Entitlement
}

func (s source) says(o source) bool {
	return s.names(o) && s.State == o.State && s.Order == o.Order && s.Until.Equal(o.Until) && s.WillRenew == o.WillRenew
}

// spending is what was spent under a reference.
type spending struct{ amount, refunded int64 }

func newBooks() *books {
	return &books{accounts: map[string]*account{}, spends: map[string]*spending{}, unspends: map[string]bool{}, told: map[string]bool{}, credits: map[string]string{}}
}

// of is a customer's account.
func (b *books) of(ref string) *account {
	a := b.accounts[ref]
	if a == nil {
		a = &account{ref: ref, members: 1}
		b.accounts[ref] = a
	}
	return a
}

// one is the account of all who turned out to be this one.
func (b *books) one(ref string) *account {
	a := b.of(ref)
	for a.into != nil {
		a = a.into
	}
	return a
}

// same says whether two of our ids are one customer's.
func (b *books) same(a, o string) bool { return b.one(a) == b.one(o) }

// join makes two customers one.
func (b *books) join(ref, into string) {
	from, to := b.one(ref), b.one(into)
	if from == to {
		return
	}
	from.into = to
	to.members += from.members
	to.ought += from.ought
	to.held += from.held
}

// balance is what a customer holds.
func (b *books) balance(ref string) int64 { return b.one(ref).held }

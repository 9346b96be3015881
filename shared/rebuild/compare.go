package rebuild

import (
	"maps"
	"slices"
	"time"

	"grantline/shared/entitlement"
	"grantline/shared/wallet"
)

// compare finds where a customer's records are not what its events come to.
func compare(is *live, was *life) []Finding {
	found := slices.Concat(is.found, was.found)
	add := func(kind Kind, currency string) { found = append(found, Finding{Kind: kind, Currency: currency}) }
	if !is.there {
		add(NoSuchCustomer, "")
		return found
	}
	if is.state.Sequence != was.last {
		add(WrongSequence, "")
	}
	if is.logged && !slices.EqualFunc(is.state.Sources, was.state.Sources, sameSource) {
		add(WrongSources, "")
	}
	currencies := maps.Clone(is.unlogged)
	for currency := range was.sums { // whatever has lots or a debt has entries
		if _, known := currencies[currency]; !known {
			currencies[currency] = false
		}
	}
	for _, currency := range slices.Sorted(maps.Keys(currencies)) {
		if currencies[currency] {
			continue // it is older than its ledger
		}
		has, comes := is.state.Wallets[currency], was.state.Wallets[currency]
		if !slices.EqualFunc(has.Lots, comes.Lots, sameLot) {
			add(WrongLots, currency)
		}
		if has.Debt != comes.Debt {
			add(WrongDebt, currency)
		}
		if left(has) != was.sums[currency] || was.uneven[currency] {
			add(WrongLedger, currency)
		}
	}
	return found
}

// left is what is in a wallet, over or not, less its debt.
func left(w wallet.Wallet) int64 {
	sum := -w.Debt
	for _, l := range w.Lots {
		sum += l.Remaining
	}
	return sum
}

func sameSource(a, b entitlement.Source) bool {
	if !a.Until.Equal(b.Until) {
		return false
	}
	a.Until, b.Until = time.Time{}, time.Time{}
	return a == b
}

func sameLot(a, b wallet.Lot) bool {
	if (a.ExpiresAt == nil) != (b.ExpiresAt == nil) || a.ExpiresAt != nil && !a.ExpiresAt.Equal(*b.ExpiresAt) {
		return false
	}
	if !a.CameAt.Equal(b.CameAt) {
		return false
	}
	a.ExpiresAt, b.ExpiresAt, a.CameAt, b.CameAt = nil, nil, time.Time{}, time.Time{}
	return a == b
}

// Package stores is the one place where a function's settings become the stores that sell
// for us, and the book of what they sold.
package stores

import (
	"log/slog"

	"grantline/shared/abuse"
	"grantline/shared/aws/setting"
	"grantline/shared/catalog"
	"grantline/shared/clock"
	"grantline/shared/customer"
	"grantline/shared/purchase"
)

// Book reads what the book of purchases is kept by. Only a function that serves claims
// needs the directory's identity key.
func Book(r *setting.Reader, customers customer.Directory, sell map[string]purchase.Store, now clock.Clock, log *slog.Logger) *purchase.Book {
	return &purchase.Book{
		Tables: customers.Tables, Customers: customers, Catalog: goods(r), Stores: sell, Clock: now, Log: log,
		TestsPerDay: r.Int("TEST_PURCHASES_PER_DAY", 0, 10_000, 100),
		Restore:     purchase.RestorePolicy(r.Choice("RESTORE_POLICY", string(purchase.Keep), restorePolicies...)),
		Abuse:       policy(r),
	}
}

var restorePolicies = []string{
	string(purchase.Keep), string(purchase.Transfer), string(purchase.TransferIfInactive), string(purchase.Share),
}

// policy is what follows from refunds; nothing without the variable.
func policy(r *setting.Reader) abuse.Policy {
	p, err := abuse.ParsePolicy(r.OptionalText("ABUSE_POLICY", ""))
	if err != nil {
		r.Refuse("ABUSE_POLICY", "measures, each with a score from 1 to 100, as in note=30,block_spending=60,refuse_consumables=80")
	}
	return p
}

func goods(r *setting.Reader) *catalog.Catalog {
	c, err := catalog.Embedded()
	if err != nil {
		r.Refuse("catalog.json", "a catalog that can be sold from: "+err.Error())
	}
	return c
}

// Verify serves the claims of apps: it asks the store and grants once.
package main

import (
	"context"

	"grantline/shared/appsintoss"
	"grantline/shared/aws/apigw"
	"grantline/shared/aws/dynamo"
	"grantline/shared/aws/secret"
	"grantline/shared/aws/setting"
	"grantline/shared/catalog"
	"grantline/shared/clock"
	"grantline/shared/customer"
	"grantline/shared/purchase"
	"grantline/shared/web"
)

func main() {
	r, now, log, config := setting.Read(), clock.System(), setting.Logger(), setting.AWS()
	vault := secret.NewVault(config, now, log)
	tables := dynamo.Open(context.Background(), r, config)
	goods, err := catalog.Embedded()
	if err != nil {
		r.Refuse("catalog.json", "a catalog that can be sold from: "+err.Error())
	}
	identity := customer.Identity{Key: vault.Open(r.Secret("IDENTITY_KEY"))}
	callers := apigw.Callers(r, vault, now, log)

	stores := map[string]purchase.Store{}
	if store := appleStore(r, tables, now, log); store != nil {
		stores["apple"] = store
	}
	if certificate := r.OptionalSecretFile("APPS_IN_TOSS_CERTIFICATE"); certificate.Given() {
		stores["appsintoss"], err = appsintoss.New(appsintoss.Config{
			URL:         r.URL("APPS_IN_TOSS_API_URL", "the address of the Apps-in-Toss partner API"),
			Certificate: vault.Open(certificate), Key: vault.Open(r.OptionalSecretFile("APPS_IN_TOSS_KEY")),
			CA: authority(r, vault), Clock: now, Log: log,
		})
		if err != nil {
			r.Refuse("APPS_IN_TOSS_API_URL", "usable: "+err.Error())
		}
	}
	tests := r.Int("TEST_PURCHASES_PER_DAY", 0, 10_000, 100)
	r.Check()

	apigw.Start(&web.Claims{Callers: callers, Clock: now, Log: log, Book: &purchase.Book{
		Tables: tables, Customers: customer.Directory{Tables: tables, Identity: identity},
		Catalog: goods, Stores: stores, Clock: now, TestsPerDay: tests,
	}})
}

// Verify serves the claims of apps: it asks the store and grants once. It has the App
// Store's key, so it signs the company's offers too.
package main

import (
	"context"

	"grantline/functions/internal/stores"
	"grantline/shared/apple"
	"grantline/shared/appsintoss"
	"grantline/shared/aws/apigw"
	"grantline/shared/aws/dynamo"
	"grantline/shared/aws/secret"
	"grantline/shared/aws/setting"
	"grantline/shared/clock"
	"grantline/shared/customer"
	"grantline/shared/play"
	"grantline/shared/purchase"
	"grantline/shared/web"
)

func main() {
	r, now, log, config := setting.Read(), clock.System(), setting.Logger(), setting.AWS()
	vault := secret.NewVault(config, now, log)
	tables := dynamo.Open(context.Background(), r, config)
	identity := customer.Identity{Key: vault.Open(r.Secret("IDENTITY_KEY"))}
	callers := apigw.Callers(r, vault, now, log)

	sell, shelves, offers := map[string]purchase.Store{}, map[string]web.Shelf{}, web.Offers{}
	if shop := stores.OpenApple(r, tables, now, log); shop != nil {
		sell[apple.Name] = shop.Store(r, vault, now, log)
		if key := r.OptionalSecret("APPLE_PRIVATE_KEY"); key.Given() {
			offers = web.Offers{BundleIDs: r.List("APPLE_BUNDLE_IDS", "the bundle ids of the app"), Signer: &apple.Signer{
				KeyID:      r.Text("APPLE_KEY_ID", "the id of the In-App Purchase key"),
				IssuerID:   r.Text("APPLE_ISSUER_ID", "the issuer id of App Store Connect"),
				PrivateKey: vault.Open(key), Clock: now,
			}}
		}
	}
	if shop := stores.OpenPlay(r, vault, now, log); shop != nil {
		sell[play.Name] = shop
		shelves[play.Name] = web.ShelfOf(shop.Catalogue().Products)
	}
	if shop := stores.OpenAppsInToss(r, vault, now, log); shop != nil {
		sell[appsintoss.Name] = stores.AppsInToss(r, shop)
	}
	book := stores.Book(r, customer.Directory{Tables: tables, Identity: identity}, sell, now, log)
	r.Check()

	apigw.Start(&web.Claims{
		Callers: callers, Clock: now, Log: log, Book: book, Shelves: shelves, AsksApple: offers.Signer != nil, Offers: offers,
		RequestID: apigw.RequestID,
	})
}

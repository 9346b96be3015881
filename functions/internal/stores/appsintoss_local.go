//go:build local

package stores

import (
	"context"

	"grantline/shared/appsintoss"
	"grantline/shared/aws/secret"
	"grantline/shared/aws/setting"
	"grantline/shared/purchase"
)

// authority is who signed the server that a local run takes for Apps-in-Toss.
func authority(r *setting.Reader, vault *secret.Vault) []byte {
	ca := r.OptionalSecretFile("APPS_IN_TOSS_CA")
	if !ca.Given() {
		return nil
	}
	pem, err := vault.Open(ca)(context.Background(), false)
	if err != nil {
		r.Refuse("APPS_IN_TOSS_CA", "a PEM file of trust anchors")
	}
	return []byte(pem)
}

// AppsInToss is the store as the book asks it. A local run that names a product in
// APPS_IN_TOSS_FAKE_SKU takes the orders that a development tool makes up for that product.
func AppsInToss(r *setting.Reader, store *appsintoss.Store) purchase.Store {
	sku := r.OptionalText("APPS_IN_TOSS_FAKE_SKU", "")
	if sku == "" {
		return store
	}
	if _, ok := goods(r).BySKU(appsintoss.Name, sku); !ok {
		r.Refuse("APPS_IN_TOSS_FAKE_SKU", "a product that the catalog sells at Apps-in-Toss")
	}
	return appsintoss.Faking{Store: store, SKU: sku}
}

//go:build local

package main

import (
	"context"

	"grantline/shared/aws/secret"
	"grantline/shared/aws/setting"
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

package stores

import (
	"log/slog"

	"grantline/shared/appsintoss"
	"grantline/shared/aws/secret"
	"grantline/shared/aws/setting"
	"grantline/shared/clock"
)

// OpenAppsInToss reads how Apps-in-Toss is asked; nil where no certificate says that the app
// is sold there. Nobody is asked before the first call.
func OpenAppsInToss(r *setting.Reader, vault *secret.Vault, now clock.Clock, log *slog.Logger) *appsintoss.Store {
	certificate := r.OptionalSecretFile("APPS_IN_TOSS_CERTIFICATE")
	if !certificate.Given() {
		return nil
	}
	store, err := appsintoss.New(appsintoss.Config{
		URL:         r.URL("APPS_IN_TOSS_API_URL", "the address of the Apps-in-Toss partner API"),
		Certificate: vault.Open(certificate), Key: vault.Open(r.OptionalSecretFile("APPS_IN_TOSS_KEY")),
		CA: authority(r, vault), Clock: now, Log: log,
	})
	if err != nil {
		r.Refuse("APPS_IN_TOSS_API_URL", "usable: "+err.Error())
	}
	return store
}

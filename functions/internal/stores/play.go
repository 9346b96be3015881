package stores

import (
	"log/slog"

	"grantline/shared/aws/secret"
	"grantline/shared/aws/setting"
	"grantline/shared/clock"
	"grantline/shared/play"
)

// OpenPlay reads how Google Play is asked; nil where no package name says that the app is sold
// there. Nobody is asked before the first call.
func OpenPlay(r *setting.Reader, vault *secret.Vault, now clock.Clock, log *slog.Logger) *play.Store {
	packages := r.List("PLAY_PACKAGE_NAMES", "the package names of the app")
	if len(packages) == 0 {
		return nil
	}
	api, err := play.NewAPI(play.APIConfig{
		URL:         r.URL("PLAY_API_URL", "the address of the Google Play Developer API"),
		Credentials: vault.Open(r.Secret("PLAY_CREDENTIALS")), Clock: now, Log: log,
	})
	if err != nil {
		r.Refuse("PLAY_API_URL", "usable: "+err.Error())
	}
	return play.NewStore(play.StoreConfig{API: api, Packages: packages, Catalog: goods(r), Clock: now, Log: log})
}

package stores

import (
	"log/slog"
	"strconv"

	"grantline/shared/apple"
	"grantline/shared/aws/secret"
	"grantline/shared/aws/setting"
	"grantline/shared/clock"
	"grantline/shared/table"
)

// Apple is the App Store as a function knows it.
type Apple struct {
	Verifier   *apple.Verifier
	Revocation *apple.RevocationBook
}

// OpenApple reads what signed data is verified by; nil where no bundle id says that the app is
// sold there.
func OpenApple(r *setting.Reader, tables table.Tables, now clock.Clock, log *slog.Logger) *Apple {
	bundles := r.List("APPLE_BUNDLE_IDS", "the bundle ids of the app")
	if len(bundles) == 0 {
		return nil
	}
	appID, err := strconv.ParseInt(r.Text("APPLE_APP_ID", "the app's Apple id, a number"), 10, 64)
	if err != nil || appID <= 0 {
		r.Refuse("APPLE_APP_ID", "the app's Apple id, a number")
		return nil
	}
	roots, err := apple.Roots()
	if err != nil {
		r.Refuse("trust anchors of the App Store", "readable: "+err.Error())
	}
	mode, err := apple.ParseMode(r.OptionalText("APPLE_REVOCATION", unset))
	if err != nil {
		r.Refuse("APPLE_REVOCATION", "soft or hard")
		return nil
	}
	book := &apple.RevocationBook{Tables: tables, Roots: roots, Clock: now, Log: log}
	verifier, err := apple.NewVerifier(apple.Config{
		Roots: roots, BundleIDs: bundles, AppID: appID, Clock: now, Revocation: mode, Revocations: book,
		// App Review and TestFlight buy in the sandbox, with the production app.
		Environments: []apple.Environment{apple.Production, apple.Sandbox},
	})
	if err != nil {
		r.Refuse("APPLE_BUNDLE_IDS", "what App Store purchases can be verified by")
		return nil
	}
	return &Apple{verifier, book}
}

// Store is the store that can be asked, if there is an In-App Purchase key.
func (a *Apple) Store(r *setting.Reader, vault *secret.Vault, now clock.Clock, log *slog.Logger) *apple.Store {
	c := apple.StoreConfig{Verifier: a.Verifier}
	if key := r.OptionalSecret("APPLE_PRIVATE_KEY"); key.Given() {
		api, err := apple.NewAPI(apple.APIConfig{
			URL:        r.URL("APPLE_API_URL", "the address of the App Store Server API"),
			SandboxURL: r.URL("APPLE_SANDBOX_API_URL", "the address of the App Store Server API for the sandbox"),
			IssuerID:   r.Text("APPLE_ISSUER_ID", "the issuer id of App Store Connect"),
			KeyID:      r.Text("APPLE_KEY_ID", "the id of the In-App Purchase key"),
			PrivateKey: vault.Open(key), Clock: now, Log: log,
		})
		if err != nil {
			r.Refuse("APPLE_API_URL", "usable: "+err.Error())
		}
		c.API = api
	}
	return apple.NewStore(c)
}

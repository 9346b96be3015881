package main

import (
	"log/slog"
	"strconv"

	"grantline/shared/apple"
	"grantline/shared/aws/setting"
	"grantline/shared/clock"
	"grantline/shared/purchase"
	"grantline/shared/table"
)

// appleStore is nil where no bundle id says that the app is sold there.
func appleStore(r *setting.Reader, tables table.Tables, now clock.Clock, log *slog.Logger) purchase.Store {
	bundles := r.List("APPLE_BUNDLE_IDS", "the bundle ids of the app")
	if len(bundles) == 0 {
		return nil
	}
	appID, err := strconv.ParseInt(r.Text("APPLE_APP_ID", "the app's Apple id, a number"), 10, 64)
	if err != nil {
		r.Refuse("APPLE_APP_ID", "the app's Apple id, a number")
		return nil
	}
	roots, err := apple.Roots()
	if err != nil {
		r.Refuse("trust anchors of the App Store", "readable: "+err.Error())
	}
	verifier, err := apple.NewVerifier(apple.Config{
		Roots: roots, BundleIDs: bundles, AppID: appID, Clock: now,
		// App Review and TestFlight buy in the sandbox, with the production app.
		Environments: []apple.Environment{apple.Production, apple.Sandbox},
		Revocation:   revocation,
		Revocations:  &apple.RevocationBook{Tables: tables, Roots: roots, Clock: now, Log: log},
	})
	if err != nil {
		r.Refuse("APPLE_BUNDLE_IDS", "what App Store purchases can be verified by")
	}
	return apple.NewStore(verifier)
}

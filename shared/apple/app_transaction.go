package apple

import (
	"context"
	"encoding/json"
	"slices"
	"time"
)

// AppTransaction says that a device got our app from the App Store (StoreKit,
// AppTransaction). It is about the app and never about a purchase in it. What Apple left
// out is zero.
type AppTransaction struct {
	BundleID         string
	AppID            int64
	Environment      Environment // in Apple's payload, receiptType
	AppTransactionID string      // one for each customer of the app

	ApplicationVersion         string
	OriginalApplicationVersion string // the one that the customer had first
	VersionExternalIdentifier  int64
	OriginalPlatform           string // iOS, macOS, tvOS, visionOS, or what Apple has added since

	ReceiptCreationDate  time.Time // when it was signed; always there
	OriginalPurchaseDate time.Time
	PreorderDate         time.Time

	// DeviceVerification ties the object to a device by a hash, of which
	// DeviceVerificationNonce is a part; a server cannot check it.
	DeviceVerification      string
	DeviceVerificationNonce string

	// Other holds the members without a field above, as Apple signed them.
	Other map[string]json.RawMessage
}

// AppTransaction reads a signed AppTransaction. The chain must have been valid at its
// receiptCreationDate. In production it has to name our app by Apple's id as well. Errors
// as for Transaction.
func (v *Verifier) AppTransaction(ctx context.Context, signed string) (AppTransaction, error) {
	claims, err := v.open(ctx, signed, "receiptCreationDate")
	if err != nil {
		return AppTransaction{}, err
	}
	var a AppTransaction
	for _, c := range claims {
		if err := a.read(c); err != nil {
			return AppTransaction{}, err
		}
	}
	if err := v.oursByID(a.BundleID, a.AppID, a.Environment); err != nil {
		return AppTransaction{}, err
	}
	return a, nil
}

// oursByID is ours for what has to name the app by its Apple id too, in production. In the
// sandbox Apple leaves that id out of some objects, so it is not looked at there (App
// Store Server Library).
func (v *Verifier) oursByID(bundleID string, appID int64, environment Environment) error {
	if environment == Production && appID == 0 && slices.Contains(v.config.Environments, Production) {
		appID = -1 // no app has it
	}
	return v.ours(bundleID, appID, environment)
}

func (a *AppTransaction) read(c member) (err error) {
	switch c.name {
	case "bundleId":
		a.BundleID, err = text(c.value)
	case "appAppleId":
		a.AppID, _, err = integer(c.value)
	case "receiptType":
		a.Environment, err = word[Environment](c.value)
	case "appTransactionId":
		a.AppTransactionID, err = text(c.value)
	case "applicationVersion":
		a.ApplicationVersion, err = text(c.value)
	case "originalApplicationVersion":
		a.OriginalApplicationVersion, err = text(c.value)
	case "versionExternalIdentifier":
		a.VersionExternalIdentifier, _, err = integer(c.value)
	case "originalPlatform":
		a.OriginalPlatform, err = text(c.value)
	case "receiptCreationDate":
		a.ReceiptCreationDate, err = date(c.value)
	case "originalPurchaseDate":
		a.OriginalPurchaseDate, err = date(c.value)
	case "preorderDate":
		a.PreorderDate, err = date(c.value)
	case "deviceVerification":
		a.DeviceVerification, err = text(c.value)
	case "deviceVerificationNonce":
		a.DeviceVerificationNonce, err = text(c.value)
	case "environment":
		// receiptType decides; this one has to be a string where it is there (App Store
		// Server Library).
		_, err = text(c.value)
		keep(&a.Other, c)
	default:
		keep(&a.Other, c)
	}
	return err
}

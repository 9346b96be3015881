//go:build differential && local

package differential_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"time"

	"grantline/shared/apple"
)

// readers are what shared/apple reads of each kind, told in words that Apple's library has
// too: members that decide about money and time, by Apple's names.
var readers = map[string]func(ctx context.Context, v *apple.Verifier, token string) (map[string]string, error){
	"transaction": func(ctx context.Context, v *apple.Verifier, token string) (map[string]string, error) {
		t, err := v.Transaction(ctx, token)
		if err != nil {
			return nil, err
		}
		return facts{
			"transactionId": t.TransactionID, "originalTransactionId": t.OriginalTransactionID, "productId": t.ProductID,
			"bundleId": t.BundleID, "environment": string(t.Environment), "type": string(t.Type), "inAppOwnershipType": string(t.Ownership),
			"appAccountToken": t.AppAccountToken, "purchaseDate": moment(t.PurchaseDate), "expiresDate": moment(t.ExpiresDate),
			"signedDate": moment(t.SignedDate), "revocationDate": moment(t.RevocationDate), "revocationType": t.RevocationType,
			"offerIdentifier": t.OfferIdentifier, "currency": t.Currency, "transactionReason": t.TransactionReason,
		}.filled(), nil
	},
	"renewal": func(ctx context.Context, v *apple.Verifier, token string) (map[string]string, error) {
		r, err := v.RenewalInfo(ctx, token)
		if err != nil {
			return nil, err
		}
		return facts{
			"originalTransactionId": r.OriginalTransactionID, "productId": r.ProductID, "autoRenewProductId": r.AutoRenewProductID,
			"environment": string(r.Environment), "autoRenewStatus": strconv.Itoa(r.AutoRenewStatus), "signedDate": moment(r.SignedDate),
			"renewalDate": moment(r.RenewalDate), "gracePeriodExpiresDate": moment(r.GracePeriodExpiresDate), "currency": r.Currency,
			"offerIdentifier": r.OfferIdentifier, "appAccountToken": r.AppAccountToken,
		}.filled(), nil
	},
	"appTransaction": func(ctx context.Context, v *apple.Verifier, token string) (map[string]string, error) {
		a, err := v.AppTransaction(ctx, token)
		if err != nil {
			return nil, err
		}
		return facts{
			"bundleId": a.BundleID, "receiptType": string(a.Environment), "appTransactionId": a.AppTransactionID, "originalPlatform": a.OriginalPlatform,
			"receiptCreationDate": moment(a.ReceiptCreationDate), "originalPurchaseDate": moment(a.OriginalPurchaseDate),
			"preorderDate": moment(a.PreorderDate), "originalApplicationVersion": a.OriginalApplicationVersion,
		}.filled(), nil
	},
	"notification": func(ctx context.Context, v *apple.Verifier, token string) (map[string]string, error) {
		n, err := v.Notification(ctx, token)
		if err != nil {
			return nil, err
		}
		return facts{
			"notificationType": string(n.Type), "subtype": string(n.Subtype), "notificationUUID": n.UUID, "version": n.Version, "signedDate": moment(n.SignedDate),
		}.filled(), nil
	},
}

// told are the members of each kind that readers tell of.
var told = map[string][]string{
	"transaction": {
		"transactionId", "originalTransactionId", "productId", "bundleId", "environment", "type", "inAppOwnershipType", "appAccountToken",
		"purchaseDate", "expiresDate", "signedDate", "revocationDate", "revocationType", "offerIdentifier", "currency", "transactionReason",
	},
	"renewal": {
		"originalTransactionId", "productId", "autoRenewProductId", "environment", "autoRenewStatus", "signedDate", "renewalDate", "gracePeriodExpiresDate",
		"currency", "offerIdentifier", "appAccountToken",
	},
	"appTransaction": {
		"bundleId", "receiptType", "appTransactionId", "originalPlatform", "receiptCreationDate", "originalPurchaseDate", "preorderDate", "originalApplicationVersion",
	},
	"notification": {"notificationType", "subtype", "notificationUUID", "version", "signedDate"},
}

type facts map[string]string

// filled leaves out what is empty: a zero of ours is a member that is missing or empty.
func (f facts) filled() map[string]string {
	for name, value := range f {
		if value == "" {
			delete(f, name)
		}
	}
	return f
}

// moment is a date in whole milliseconds since 1970, and empty where there is none.
func moment(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return strconv.FormatInt(at.UnixMilli(), 10)
}

// peerRead tells of the payload that Apple's library gave what readers tell of ours.
func peerRead(kind string, payload map[string]any) map[string]string {
	f := facts{}
	for _, name := range told[kind] {
		switch value := payload[name].(type) {
		case nil:
		case string:
			f[name] = value
		case json.Number:
			n, err := value.Float64()
			if err != nil {
				f[name] = value.String()
				break
			}
			f[name] = strconv.FormatFloat(math.Trunc(n)+0, 'f', -1, 64) // cut off, not rounded, and no minus before zero
		default:
			f[name] = fmt.Sprint(value)
		}
	}
	return f.filled()
}

package apple

// NotificationType is what happened, in Apple's words. An unknown value is kept as it came.
type NotificationType string

// The types (App Store Server Notifications, notificationType).
const (
	TypeSubscribed             NotificationType = "SUBSCRIBED"
	TypeDidRenew               NotificationType = "DID_RENEW"
	TypeDidChangeRenewalPref   NotificationType = "DID_CHANGE_RENEWAL_PREF"
	TypeDidChangeRenewalStatus NotificationType = "DID_CHANGE_RENEWAL_STATUS"
	TypeOfferRedeemed          NotificationType = "OFFER_REDEEMED"
	TypeDidFailToRenew         NotificationType = "DID_FAIL_TO_RENEW"
	TypeGracePeriodExpired     NotificationType = "GRACE_PERIOD_EXPIRED"
	TypeExpired                NotificationType = "EXPIRED"
	TypePriceIncrease          NotificationType = "PRICE_INCREASE"
	TypePriceChange            NotificationType = "PRICE_CHANGE"
	TypeRefund                 NotificationType = "REFUND"
	TypeRefundReversed         NotificationType = "REFUND_REVERSED"
	TypeRefundDeclined         NotificationType = "REFUND_DECLINED"
	TypeConsumptionRequest     NotificationType = "CONSUMPTION_REQUEST"
	TypeRevoke                 NotificationType = "REVOKE"
	TypeRenewalExtended        NotificationType = "RENEWAL_EXTENDED"
	TypeRenewalExtension       NotificationType = "RENEWAL_EXTENSION"
	TypeOneTimeCharge          NotificationType = "ONE_TIME_CHARGE"
	TypeExternalPurchaseToken  NotificationType = "EXTERNAL_PURCHASE_TOKEN" //nolint:gosec // a word of Apple, no credential
	TypeRescindConsent         NotificationType = "RESCIND_CONSENT"
	TypeMetadataUpdate         NotificationType = "METADATA_UPDATE"
	TypeMigration              NotificationType = "MIGRATION"
	// TypeMigrate is what the changelog of the notifications calls TypeMigration.
	TypeMigrate NotificationType = "MIGRATE"
	TypeTest    NotificationType = "TEST"
)

// Subtype says more about some types. An unknown value is kept as it came.
type Subtype string

// The subtypes (App Store Server Notifications, subtype).
const (
	SubtypeInitialBuy          Subtype = "INITIAL_BUY"
	SubtypeResubscribe         Subtype = "RESUBSCRIBE"
	SubtypeDowngrade           Subtype = "DOWNGRADE"
	SubtypeUpgrade             Subtype = "UPGRADE"
	SubtypeAutoRenewEnabled    Subtype = "AUTO_RENEW_ENABLED"
	SubtypeAutoRenewDisabled   Subtype = "AUTO_RENEW_DISABLED"
	SubtypeVoluntary           Subtype = "VOLUNTARY"
	SubtypeBillingRetry        Subtype = "BILLING_RETRY"
	SubtypePriceIncrease       Subtype = "PRICE_INCREASE"
	SubtypeGracePeriod         Subtype = "GRACE_PERIOD"
	SubtypePending             Subtype = "PENDING"
	SubtypeAccepted            Subtype = "ACCEPTED"
	SubtypeBillingRecovery     Subtype = "BILLING_RECOVERY"
	SubtypeProductNotForSale   Subtype = "PRODUCT_NOT_FOR_SALE"
	SubtypeSummary             Subtype = "SUMMARY"
	SubtypeFailure             Subtype = "FAILURE"
	SubtypeUnreported          Subtype = "UNREPORTED"
	SubtypeCreated             Subtype = "CREATED"
	SubtypeActiveTokenReminder Subtype = "ACTIVE_TOKEN_REMINDER" //nolint:gosec // a word of Apple, no credential
)

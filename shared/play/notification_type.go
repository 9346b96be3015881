package play

// Kind is which of its objects a notification has, in the words of our notices.
type Kind string

// The kinds (Real-time developer notifications reference, DeveloperNotification).
const (
	KindSubscription Kind = "subscription"
	KindOneTime      Kind = "oneTime"
	KindVoided       Kind = "voided"
	KindReview       Kind = "pendingRefundReview"
	KindTest         Kind = "test"
)

// The numbers of subscription notifications (Real-time developer notifications reference,
// SubscriptionNotification). 14, 15, 16 and 21 are nobody's yet.
const (
	SubscriptionRecovered              = 1
	SubscriptionRenewed                = 2
	SubscriptionCanceled               = 3
	SubscriptionPurchased              = 4
	SubscriptionOnHold                 = 5
	SubscriptionInGracePeriod          = 6
	SubscriptionRestarted              = 7
	SubscriptionPriceChangeConfirmed   = 8 // deprecated; may come besides 19
	SubscriptionDeferred               = 9
	SubscriptionPaused                 = 10
	SubscriptionPauseScheduleChanged   = 11
	SubscriptionRevoked                = 12
	SubscriptionExpired                = 13
	SubscriptionItemsChanged           = 17
	SubscriptionCancellationScheduled  = 18
	SubscriptionPriceChangeUpdated     = 19
	SubscriptionPendingCanceled        = 20
	SubscriptionPriceStepUpConsentNews = 22
)

// The numbers of one-time product notifications (OneTimeProductNotification).
const (
	OneTimePurchased = 1
	OneTimeCanceled  = 2 // of a pending purchase; it is no refund
)

// The numbers of voided purchase notifications (VoidedPurchaseNotification).
const (
	ProductSubscription = 1
	ProductOneTime      = 2
	RefundFull          = 1 // after partial ones, of what was left
	RefundPartial       = 2 // of a part of the quantity
)

// ReasonChargeback is the only reason of a pending refund that there is
// (PendingRefundReviewNotification).
const ReasonChargeback = 7

// Outcome names what a notification comes to, if what is found at Play bears it out. Every
// one but OutcomeNothing begins with a look: nothing is done on a notification's word.
type Outcome string

// The outcomes.
const (
	OutcomeGrant        Outcome = "grant"         // bind the owner, grant once, acknowledge
	OutcomeRenew        Outcome = "renew"         // a new order on the same token, access to its end
	OutcomeRestore      Outcome = "restore"       // access again, after a hold or a pause
	OutcomeSuspend      Outcome = "suspend"       // no access until it is restored
	OutcomeGrace        Outcome = "grace"         // access stays, while the payment is tried
	OutcomeWillEnd      Outcome = "will_end"      // access to the end of what is paid
	OutcomeWillRenew    Outcome = "will_renew"    // the customer took the cancellation back
	OutcomeMove         Outcome = "move"          // another end
	OutcomeEnd          Outcome = "end"           // no access from now on
	OutcomeItems        Outcome = "items"         // each item has its own end
	OutcomeDropPending  Outcome = "drop_pending"  // it was never paid; what it would replace stays
	OutcomeNoteTerms    Outcome = "note_terms"    // of price and consent; access stays
	OutcomeNotePause    Outcome = "note_pause"    // access to the end of what is paid
	OutcomeReverse      Outcome = "reverse"       // what the order granted, as far as it was refunded
	OutcomeAnswerReview Outcome = "answer_review" // once, within 24 hours; nothing is revoked by it
	OutcomeLook         Outcome = "look"          // a number that is not known yet: whatever is found
	OutcomeNothing      Outcome = "nothing"       // a test
)

var ofSubscriptions = map[int]Outcome{
	SubscriptionRecovered:              OutcomeRestore,
	SubscriptionRenewed:                OutcomeRenew,
	SubscriptionCanceled:               OutcomeWillEnd,
	SubscriptionPurchased:              OutcomeGrant,
	SubscriptionOnHold:                 OutcomeSuspend,
	SubscriptionInGracePeriod:          OutcomeGrace,
	SubscriptionRestarted:              OutcomeWillRenew,
	SubscriptionPriceChangeConfirmed:   OutcomeNoteTerms,
	SubscriptionDeferred:               OutcomeMove,
	SubscriptionPaused:                 OutcomeSuspend,
	SubscriptionPauseScheduleChanged:   OutcomeNotePause,
	SubscriptionRevoked:                OutcomeEnd,
	SubscriptionExpired:                OutcomeEnd,
	SubscriptionItemsChanged:           OutcomeItems,
	SubscriptionCancellationScheduled:  OutcomeWillEnd,
	SubscriptionPriceChangeUpdated:     OutcomeNoteTerms,
	SubscriptionPendingCanceled:        OutcomeDropPending,
	SubscriptionPriceStepUpConsentNews: OutcomeNoteTerms,
}

var ofOneTime = map[int]Outcome{OneTimePurchased: OutcomeGrant, OneTimeCanceled: OutcomeDropPending}

// Outcome names what n comes to.
func (n Notification) Outcome() Outcome {
	var o Outcome
	switch n.Kind {
	case KindSubscription:
		o = ofSubscriptions[n.Type]
	case KindOneTime:
		o = ofOneTime[n.Type]
	case KindVoided:
		o = OutcomeReverse
	case KindReview:
		o = OutcomeAnswerReview
	case KindTest:
		o = OutcomeNothing
	}
	if o == "" {
		return OutcomeLook
	}
	return o
}

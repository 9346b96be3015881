package apple

import (
	"context"
	"net/http"

	"grantline/infra/sim/stage"
)

// Controls are what can be made to happen.
func (s *Simulator) Controls() []stage.Control {
	list := append(s.purchases(), s.subscriptions()...)
	list = append(list, s.refundings()...)
	list = append(list, s.messages()...)
	return append(list, s.stage.Common(func() {
		s.failures.Clear()
		s.busy.Clear()
	})...)
}

// Control serves the controls and the logs: POST /buy, GET /effects, GET /webhooks, ….
func (s *Simulator) Control() http.Handler { return s.stage.Panel(s.Controls()) }

// example is a transaction as an example names one.
const example = "350001234567890"

// answer is a control that answers what it made.
func answer[B, A any](event, does string, example B, do func(B) (A, error)) stage.Control {
	return stage.On(event, does, example, func(b B) (any, error) {
		made, err := do(b)
		if err != nil {
			return nil, err
		}
		return made, nil
	})
}

// act is a control that answers {}.
func act[B any](event, does string, example B, do func(B) error) stage.Control {
	return stage.On(event, does, example, func(b B) (any, error) { return nil, do(b) })
}

func (s *Simulator) purchases() []stage.Control {
	return []stage.Control{
		answer("buy", "Buys a product and answers signedTransaction, transactionId and originalTransactionId; forged chain, signature or payload makes a forgery.",
			Purchase{ProductID: "com.example.premium.monthly", AppAccountToken: "6f2b7c1e-2a53-4a53-9c0f-6d6f0f6b2f10"}, s.Buy),
		answer("subscribe", "Buys a subscription that renews of itself; takes what buy takes, productId is com.example.premium.monthly unless given.",
			Purchase{GraceDays: ptr(16), Period: "P1M"}, s.Subscribe),
		answer("held", "Answers what the app has on the device for a transaction, signed as of now: signedTransaction, signedRenewalInfo, signedAppTransaction, receipt, transactionReceipt.",
			Held{example}, s.Held),
		answer("share", "Shares a subscription or non-consumable with a member of the family, and answers what the member's app gets.",
			Sharing{TransactionID: example}, s.Share),
		act("revoke", "Takes from a member of the family what was shared.", Held{example}, s.Revoke),
	}
}

func (s *Simulator) subscriptions() []stage.Control {
	return []stage.Control{
		answer("renew", "Takes the money of a subscription's next period now.", Held{example}, s.Renew),
		act("auto-renew", "Turns auto-renew off, or on with on=true; without it the subscription ends with its period.",
			AutoRenew{TransactionID: example}, s.SetAutoRenew),
		act("fail-billing", "Has a subscription's renewals fail from now on: grace, billing retry for 60 days, the end.", Held{example}, s.FailBilling),
		answer("recover-billing", "Has renewals work again; what failed is paid at once.", Held{example}, s.RecoverBilling),
		answer("upgrade", "Switches a subscription to another product now.",
			Switch{TransactionID: example, ProductID: "com.example.premium.yearly", Period: "P1Y", Price: 49_000_000}, s.Upgrade),
		act("downgrade", "Switches a subscription to another product at the next renewal; the same productId calls that off.",
			Switch{TransactionID: example, ProductID: "com.example.premium.monthly", Period: "P1M", Price: 4_900_000}, s.Downgrade),
		answer("resubscribe", "Buys again what ended, or another productId of the group.", Switch{TransactionID: example}, s.Resubscribe),
		act("price-increase", "Announces a price; with consent=false the customer is told, else asked.",
			Rise{TransactionID: example, Price: 5_900_000}, s.RaisePrice),
		act("price-accept", "Has the customer agree to the price.", Held{example}, s.AcceptPrice),
		act("offer", "Has the customer redeem an offer: with subtype UPGRADE now, DOWNGRADE or none at the next renewal.",
			Redemption{TransactionID: example, OfferIdentifier: "comeback"}, s.Redeem),
		act("withdraw", "Takes a product off sale: its subscriptions end when they would renew.",
			Withdrawal{"com.example.premium.monthly"}, s.Withdraw),
		act("extend", "Gives a subscription more days, as Apple's own staff may.", Longer{example, 7}, s.Extend),
	}
}

func (s *Simulator) refundings() []stage.Control {
	return []stage.Control{
		act("refund", "Refunds a transaction: the API signs it as revoked from now on. All of it, or type prorated, or a part of the quantity by revocationPercentage (100000 is all).",
			Refund{TransactionID: example}, s.Refund),
		act("refund-reverse", "Takes a refund back.", Held{example}, s.Reverse),
		act("refund-decline", "Declines a refund.", Held{example}, s.Decline),
		act("consumption", "Asks for consumption up to three times, 8 hours apart, until it is told.", Asking{TransactionID: example}, s.AskConsumption),
	}
}

func (s *Simulator) messages() []stage.Control {
	return []stage.Control{
		stage.On("notify", "Sends a notification of any type and subtype about a transaction as it is, or about none; nothing else happens.",
			Notice{Type: "METADATA_UPDATE", TransactionID: example}, func(n Notice) (any, error) {
				id, err := s.Notify(n)
				return map[string]string{"notificationUUID": id}, err
			}),
		stage.On("forge", "Sends a notification that is wrong in one way and answers the status it got: chain, signature, payload, bundle, app, environment, inner or innerChain.",
			Forgery{TransactionID: example, How: "chain"}, func(f Forgery) (any, error) {
				status, err := s.Forge(context.Background(), f)
				return map[string]int{"status": status}, err
			}),
		act("fail", "Answers the next count calls with an error code of Apple's, of one endpoint or transactionId if given: 4040010, 4290000, 5000001 ….",
			Failure{ErrorCode: 4290000, Count: 1}, s.Fail),
		act("rate-limit", "Answers 429 to the next count calls, of one endpoint if given, with a Retry-After of retryAfter from then.",
			Busy{Endpoint: Transaction, Count: 3}, s.RateLimit),
		act("revoke-certificate", "Has the OCSP responder call the leaf or the intermediate revoked, for good.", Pulled{Leaf.String()}, s.RevokeCertificate),
		act("ocsp", "Has the OCSP responder answer good, tryLater, 500, stale, unknown or foreign (signed by another) until told otherwise.",
			Responding{ocspTryLater}, s.AnswerOCSP),
		act("settings", "Turns the switches: released (false: the production API answers 401), renews, retryBadRequest, perHour, sandboxPath, extendAfter.",
			Settings{Released: ptr(true)}, s.Set),
	}
}

// Subscribe buys a subscription that renews of itself, monthly at the sample catalog's
// price unless told.
func (s *Simulator) Subscribe(p Purchase) (Bought, error) {
	p.ProductID = or(p.ProductID, "com.example.premium.monthly")
	p.Type, p.Renews = or(p.Type, AutoRenewable), ptr(true)
	return s.Buy(p)
}

package play

import (
	"context"
	"encoding/json"
	"net/http"

	"grantline/infra/sim/stage"
)

// Controls are what can be made to happen.
func (s *Simulator) Controls() []stage.Control {
	list := append(s.purchases(), s.subscriptionControls()...)
	list = append(list, s.refundings()...)
	list = append(list, s.pushings()...)
	list = append(list, s.apiControls()...)
	return append(list, s.stage.Common(func() {
		s.failures.Clear()
		s.busy.Clear()
		s.garbled.Clear()
	})...)
}

// Control serves the controls and the logs: POST /buy, GET /effects, GET /webhooks, ….
func (s *Simulator) Control() http.Handler { return s.stage.Panel(s.Controls()) }

// example is a purchase as an example names one.
const example = "GPA.1234-5678-9012-34567"

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
		answer("buy", "Buys products and answers what the app gets: purchaseToken, orderId, originalJson, …; premium:monthly, gems_100*3 or several with commas.",
			Purchase{ProductID: "premium:monthly", Account: "6f2b7c1e2a53"}, s.Buy),
		answer("held", "Answers what the app has of a purchase now, by its token or any of its orders.", Held{example}, s.Held),
		answer("complete", "Has the money of a pending purchase come.", Held{example}, s.Complete),
		act("abandon", "Has a pending purchase come to nothing.", Held{example}, s.Abandon),
		act("acknowledge", "Has the app acknowledge a purchase itself.", Held{example}, s.Acknowledge),
		act("consume", "Has the app consume a purchase itself.", Held{example}, s.Consume),
		act("lapse", "Has Google know nothing of a token any more: 410.", Held{example}, s.Lapse),
		act("goods", "Puts goods into the catalogue, takes them off sale (state=INACTIVE), or changes their price for new customers.",
			Goods{ProductID: "premium:daily", Period: "P1D", Price: 500}, s.Stock),
	}
}

func (s *Simulator) subscriptionControls() []stage.Control {
	return []stage.Control{
		act("renew", "Takes the money of a subscription's next period now.", Held{example}, s.Renew),
		act("cancel", "Turns auto-renew off, by the user, the developer or the system.", Cancellation{PurchaseToken: example}, s.Cancel),
		act("restart", "Has the customer restore a cancelled subscription before its end.", Held{example}, s.Restart),
		act("fail-billing", "Has a subscription's renewals fail from now on: grace (or a silent day), hold, the end.", Held{example}, s.FailBilling),
		act("recover-billing", "Has renewals work again; what failed is paid at once.", Held{example}, s.RecoverBilling),
		act("pause", "Has the customer pause a subscription from the end of its period on, for P1W to P3M.", Pausing{PurchaseToken: example}, s.Pause),
		act("resume", "Ends a pause now, or calls one off that has not begun.", Held{example}, s.Resume),
		answer("replace", "Switches to another product or plan under a new token that is linked to the old one; mode DEFERRED at the end of the period, else now.",
			Change{PurchaseToken: example, ProductID: "premium:yearly"}, s.Replace),
		answer("top-up", "Pays a prepaid plan for longer, under a new token.", Change{PurchaseToken: example}, s.TopUp),
		answer("resubscribe", "Buys again what was cancelled or has expired, in the app or with outOfApp=true in Google Play.", Again{PurchaseToken: example}, s.Resubscribe),
		act("items", "Adds items to a subscription, or removes some with the end of the period.", Bundle{PurchaseToken: example, Add: "extra:monthly"}, s.SetItems),
		act("price-change", "Announces another price from the next renewal on; the customer has to agree to mode PRICE_INCREASE.",
			Rise{PurchaseToken: example, Price: 5900}, s.ChangePrice),
		act("price-accept", "Has the customer agree to a price change, or with withdrawn=true the developer take it back.", Consent{PurchaseToken: example}, s.AcceptPrice),
		act("price-step-up", "Announces a price that needs consent by the next renewal.", Rise{PurchaseToken: example, Price: 5900}, s.StepUp),
		act("price-step-up-accept", "Has the customer consent to it.", Held{example}, s.AcceptStepUp),
		act("say", "Has the API say another state of a subscription, one that nobody knows too; without state the true one.",
			Word{example, "SUBSCRIPTION_STATE_FROZEN"}, s.Say),
	}
}

func (s *Simulator) refundings() []stage.Control {
	return []stage.Control{
		act("refund", "Gives an order back, all of it or a quantity, and takes what it gave unless revoke=false; reason 7 is a chargeback.",
			Refund{OrderID: example}, s.Refund),
		answer("review", "Has Google ask what the developer thinks of a chargeback; the answer is an effect.", Refund{OrderID: example}, s.Review),
	}
}

func (s *Simulator) pushings() []stage.Control {
	return []stage.Control{
		answer("test", "Sends the Console's test notification.", struct{}{}, func(struct{}) (map[string]string, error) { return s.TestNotification() }),
		answer("notify", "Pushes any notification: data as it is, raw text, or one of a type about a purchase; nothing else happens.",
			Notice{Type: 21, PurchaseToken: example}, s.Notify),
		answer("republish", "Publishes a notification once more under another messageId, the last one unless told.", Republished{}, s.Republish),
		stage.On("forge", "Pushes with a token that is wrong in one way and answers the status it got: missing, none, hs256, key, kid, payload, audience, email, noEmail, unverified, expired, future, issuer.",
			Forgery{How: "email"}, func(f Forgery) (any, error) {
				status, err := s.Forge(context.Background(), f)
				return map[string]int{"status": status}, err
			}),
		act("rotate-keys", "Signs push tokens with another key; with drop=true those before are published no more.", Rotation{}, s.RotateKeys),
		act("keys", "Has the keys of push tokens answered good, down, garbage, huge or empty until told otherwise.", Answering{"down"}, s.AnswerKeys),
	}
}

func (s *Simulator) apiControls() []stage.Control {
	return []stage.Control{
		act("fail", "Answers the next count calls with one of Google's reasons, of one endpoint or id (token, product, order) if given.",
			Failure{Reason: "userInsufficientPermission", Count: 1}, s.Fail),
		act("garble", "Spoils the next count answers that are 200: empty, html, truncated, huge or nothing.", Garble{How: "empty", Endpoint: Product}, s.Spoil),
		act("rate-limit", "Answers rateLimitExceeded to the next count calls, with 429 or 403, of one endpoint if given.",
			Busy{Endpoint: Subscription, Count: 3}, s.RateLimit),
		act("expire-access", "Ends every access token that was handed out.", struct{}{}, func(struct{}) error {
			s.ForgetTokens()
			return nil
		}),
		stage.On("rotate-credentials", "Gives the service account another key and answers its file; the one before is deleted.",
			struct{}{}, func(struct{}) (any, error) { return json.RawMessage(s.RotateCredentials()), nil }),
		act("settings", "Turns the switches: perMinute, accessLasts, push, renewLag, silentPast, voidedLag, writeZeros, nanoseconds, deprecated, keysMaxAge.",
			Settings{Push: unwrapped}, s.Set),
	}
}

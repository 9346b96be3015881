package appsintoss

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"grantline/infra/sim/stage"
)

// FailedAnswer makes the next looks fail inside of HTTP 200.
type FailedAnswer struct {
	ResultType        string `json:"resultType,omitempty"` // "" is FAIL
	ErrorCode         string `json:"errorCode,omitempty"`
	RetryAfterSeconds int    `json:"retryAfterSeconds,omitempty"`
	OrderID           string `json:"orderId,omitempty"`
	Count             int    `json:"count,omitempty"` // 0 is 1
}

// RateLimit answers 4095 to the next looks, or sets a limit for good.
type RateLimit struct {
	Count             int  `json:"count,omitempty"`
	RetryAfterSeconds int  `json:"retryAfterSeconds,omitempty"` // 0 is 1
	PerMinute         *int `json:"perMinute,omitempty"`         // looks of one mini-app in a minute of the clock; 0 is without limit
}

var resultTypes = []string{"FAIL", "HTTP_TIMEOUT", "NETWORK_ERROR", "EXECUTION_FAIL", "INTERRUPTED", "INTERNAL_ERROR"}

// Answer scripts failures inside of HTTP 200.
func (s *Simulator) Answer(f FailedAnswer) error {
	if f.ResultType == "" {
		f.ResultType = "FAIL"
	}
	if !slices.Contains(resultTypes, f.ResultType) {
		return fmt.Errorf("resultType %q: one of %s", f.ResultType, strings.Join(resultTypes, ", "))
	}
	s.answers.Add(f.Count, f)
	return nil
}

func (f FailedAnswer) envelope() envelope {
	if f.RetryAfterSeconds > 0 {
		return failure(f.ResultType, f.ErrorCode, map[string]any{"retryAfterSeconds": f.RetryAfterSeconds})
	}
	return failure(f.ResultType, f.ErrorCode, nil)
}

// LimitRate scripts answers of 4095 or sets a limit.
func (s *Simulator) LimitRate(l RateLimit) error {
	if l.PerMinute == nil && l.Count < 1 {
		return errors.New("count or perMinute: how many looks")
	}
	if l.PerMinute != nil {
		if err := s.Set(Settings{PerMinute: l.PerMinute}); err != nil {
			return err
		}
	}
	if l.Count > 0 {
		return s.Answer(FailedAnswer{ErrorCode: fmt.Sprint(rateCode), RetryAfterSeconds: max(l.RetryAfterSeconds, 1), Count: l.Count})
	}
	return nil
}

// Controls are what can be made to happen.
func (s *Simulator) Controls() []stage.Control {
	list := append(s.orderControls(), s.phone()...)
	list = append(list, s.subscriptions()...)
	list = append(list, s.messages()...)
	return append(list, s.stage.Common(func() {
		s.answers.Clear()
		s.refusals.Clear()
	})...)
}

// Control serves the controls and the logs: POST /order, GET /effects, GET /webhooks, ….
func (s *Simulator) Control() http.Handler { return s.stage.Panel(s.Controls()) }

// example is an order, and exampleCertificate a certificate, as an example names one.
const (
	example            = "0199a1b2-0000-7000-8000-000000000001"
	exampleCertificate = "1f3a5c7e9b2d4f60"
)

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

func (s *Simulator) orderControls() []stage.Control {
	return []stage.Control{
		answer("order", "Makes an order and answers its orderId; with looks it is in its status for so many looks and then turns into then (PAYMENT_COMPLETED unless given).",
			NewOrder{SKU: "premium-1month", Status: InProgress, Looks: 2},
			func(n NewOrder) (map[string]string, error) {
				id, err := s.Order(n)
				return map[string]string{"orderId": id}, err
			}),
		act("status", "Moves an order into another status, and tells nobody: "+strings.Join(statuses, ", ")+".",
			StatusChange{OrderID: example, Status: Refunded}, s.SetStatus),
		act("refund", "Gives the money of an order back: silently, or with a webhook where it is of a subscription.", Refund{OrderID: example}, s.Refund),
		act("answer", "Fails the next count looks inside of HTTP 200, of one orderId if given, with a resultType: "+strings.Join(resultTypes, ", ")+".",
			FailedAnswer{ResultType: "HTTP_TIMEOUT", Count: 1}, s.Answer),
		act("rate-limit", "Answers errorCode 4095 with retryAfterSeconds to the next count looks; or, with perMinute, to all that are more than that in a minute of the clock.",
			RateLimit{Count: 3, RetryAfterSeconds: 2}, s.LimitRate),
		answer("certificate", "Gives a mini-app another certificate and answers it: certificateId, certificate, key, ca; it lasts by the clock.",
			Certification{App: "another-app", Lasts: stage.Duration(30 * 24 * time.Hour)}, s.Certify),
		answer("rotate-certificate", "Gives the sample's mini-app another certificate in the files that the product reads; the ones before stay valid.",
			Certification{}, s.Rotate),
		answer("end-certificate", "Has a certificate be taken no more; without certificateId all of the mini-app but the newest.",
			Ending{CertificateID: exampleCertificate}, func(e Ending) (map[string]int, error) {
				count, err := s.EndCertificate(e)
				return map[string]int{"ended": count}, err
			}),
		act("settings", "Turns the switches: timeFormat, requireUserKey, userKeyMismatch, perMinute, afterGrant, grantCompletes, subscriptionOrders, renewalOrder, scheme, verificationScheme, webhookTimes, nullExpiry, graceExpiry, infoLag.",
			Settings{TimeFormat: ptr(Zoned), RequireUserKey: ptr(false)}, s.Set),
	}
}

func (s *Simulator) phone() []stage.Control {
	return []stage.Control{
		answer("products", "Answers what getProductItemList does.", struct{}{}, func(struct{}) (ItemList, error) { return s.Items(), nil }),
		act("product", "Puts a product into the catalogue.", Product{SKU: "gems-500", Price: 5500}, s.Sell),
		answer("purchase", "Has a customer pay, up to the call of processProductGrant, and answers what it is called with: orderId, of a subscription subscriptionId too; or the errorCode of the SDK.",
			Purchase{SKU: "gems-100", UserKey: "443731103"}, s.Purchase),
		answer("grant", "Has processProductGrant answer true, or with granted=false false; after 30 seconds of the clock neither counts.", Grant{OrderID: example}, s.Grant),
		answer("pending", "Answers what getPendingOrders does, for a userKey.", User{UserKey: "443731103"}, func(u User) (WaitingOrders, error) { return s.Pending(u), nil }),
		answer("complete", "Does what completeProductGrant does, and answers completed.", Completion{OrderID: example}, func(c Completion) (Completed, error) { return s.Complete(c), nil }),
		answer("history", "Answers what getCompletedOrRefundedOrders does, for a userKey, 50 a page from key on.", Past{UserKey: "443731103"}, s.History),
		answer("info", "Answers what getSubscriptionInfo does.", Held{example}, s.Info),
		act("fail-purchase", "Ends the next count purchases, of one userKey if given, with an error of the SDK: "+strings.Join(sdkErrors, ", ")+".",
			FailedPurchase{ErrorCode: "USER_CANCELED"}, s.FailPurchase),
	}
}

func (s *Simulator) subscriptions() []stage.Control {
	return []stage.Control{
		act("renew", "Takes the money of a subscription's next period now.", Held{example}, s.Renew),
		act("fail-billing", "Has a subscription's renewals fail from now on: grace, hold, the end.", Held{example}, s.FailBilling),
		act("recover-billing", "Has renewals work again; what failed is paid at once.", Held{example}, s.RecoverBilling),
		act("auto-renew", "Turns auto-renew off, or on with on=true; without it the subscription ends with its period.", AutoRenew{OrderID: example}, s.SetAutoRenew),
		act("restart", "Has the customer take up again what was cancelled; with autoRenew=false it stays off all the same.", Restart{OrderID: example}, s.Restart),
		act("pause", "Pauses a subscription from the end of its period on, for days.", Days{example, 30}, s.Pause),
		act("resume", "Ends a pause now, or calls one off that has not begun.", Held{example}, s.Resume),
		act("extend", "Gives a subscription more days for nothing.", Days{example, 7}, s.Extend),
		act("revoke", "Takes a subscription away at once and gives the money back, with refund=false without.", Revocation{OrderID: example}, s.Revoke),
		answer("switch", "Buys another subscription for the same user and answers what purchase does; both are active until the old one ends.",
			Switch{example, "premium-1year"}, s.Switch),
	}
}

func (s *Simulator) messages() []stage.Control {
	return []stage.Control{
		stage.On("register", "Has the console check the address of webhooks, and answers the status that came back.", struct{}{},
			func(struct{}) (any, error) {
				status, err := s.Register(context.Background())
				return map[string]int{"status": status}, err
			}),
		act("notify", "Sends a webhook of any changeReason about a subscription, or any body; nothing else happens.",
			Notice{OrderID: example, ChangeReason: extended}, s.Notify),
		stage.On("forge", "Sends a webhook that is not Toss's and answers the status that came back; how its Authorization is wrong: "+waysToForge()+".",
			Forgery{How: "wrong"}, func(f Forgery) (any, error) {
				status, err := s.Forge(context.Background(), f)
				return map[string]int{"status": status}, err
			}),
	}
}

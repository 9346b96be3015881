package dodo

import (
	"net/http"

	"grantline/infra/sim/stage"
)

// Controls are what can be made to happen.
func (s *Simulator) Controls() []stage.Control {
	return append([]stage.Control{
		stage.On("approve", "Has the customer complete the page of the newest pending mandate that fits, with a card of the testing guide if given.",
			Approval{Email: "park@example.com"}, func(a Approval) (any, error) { return nil, s.Approve(a) }),
		stage.On("fail-approval", "Has the approval of the newest pending mandate that fits fail with a code.",
			Approval{Email: "park@example.com", Code: "AUTHENTICATION_FAILURE"}, func(a Approval) (any, error) {
				if a.Code == "" {
					a.Code = "AUTHENTICATION_FAILURE"
				}
				return nil, s.Approve(a)
			}),
		stage.On("update-payment-method", "Has the customer complete the newest page for another means of payment that fits; with a code it fails.",
			Approval{Email: "park@example.com"}, func(a Approval) (any, error) { return nil, s.UpdateMethod(a) }),
		stage.On("decline", "Has the next count charges fail with a code, of one subscriptionId or orderId if given.",
			Decline{Code: "INSUFFICIENT_FUNDS", Count: 1}, func(d Decline) (any, error) { return nil, s.Decline(d) }),
		stage.On("hold", "Puts the newest active subscription that fits on hold.",
			Selection{Email: "park@example.com"}, func(by Selection) (any, error) { return nil, s.Hold(by) }),
		stage.On("cancel", "Cancels the newest subscription that fits, as a customer may in the portal.",
			Selection{Email: "park@example.com"}, func(by Selection) (any, error) { return nil, s.Cancel(by) }),
		stage.On("expire", "Has the newest subscription that fits expire.",
			Selection{Email: "park@example.com"}, func(by Selection) (any, error) { return nil, s.Expire(by) }),
		stage.On("pay", "Takes money that nobody asked for from the newest subscription that fits; an orderId that was charged already makes it a second success.",
			Foreign{Email: "park@example.com", Amount: 999}, func(f Foreign) (any, error) {
				id, err := s.Take(f)
				return map[string]string{"paymentId": id}, err
			}),
		stage.On("refund", "Gives money of a payment back as the dashboard does: an amount, or all that is left.",
			Return{OrderID: "order-1"}, func(by Return) (any, error) {
				id, err := s.Return(by)
				return map[string]string{"refundId": id}, err
			}),
		stage.On("dispute", "Opens a dispute about a payment, or says how the one that there is goes on.",
			Dispute{OrderID: "order-1", Status: "lost"}, func(by Dispute) (any, error) {
				id, err := s.Dispute(by)
				return map[string]string{"disputeId": id}, err
			}),
		stage.On("product", "Says what a product costs where a call names no price.",
			Product{ProductID: "prod_usage", Price: 1200, Currency: "USD"}, func(p Product) (any, error) { return nil, s.Sell(p) }),
		stage.On("busy", "Answers 429 to the next count calls, of one endpoint if given.",
			Busy{Endpoint: Charge, Count: 3}, func(b Busy) (any, error) { s.MakeBusy(b); return nil, nil }),
		stage.On("rotate-secret", "Signs webhooks with the next secret, and for 24 hours with the one before it too.",
			struct{}{}, func(struct{}) (any, error) { return map[string]string{"secret": s.Rotate()}, nil }),
		stage.On("settings", "Turns the switches: onHoldAfterFailedCharge, listLag, sortOrder, settleAfter, firstStatus, pendingStatus, mandatePayment, taxPercent, refundStatus, refundAfter, refundWindow, approveAfter, perMinute, perSecond, enabled.",
			Settings{OnHoldAfterFailedCharge: ptr(false), PerMinute: ptr(100)}, func(new Settings) (any, error) { return nil, s.Set(new) }),
	}, s.stage.Common(func() {
		s.declines.Clear()
		s.busy.Clear()
	})...)
}

// Control serves the controls, the log of effects and the log of webhooks: POST /approve,
// GET /effects, GET /webhooks, ….
func (s *Simulator) Control() http.Handler { return s.stage.Panel(s.Controls()) }

package play

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"time"

	"grantline/infra/sim/stage"
)

type (
	wireSubscription struct {
		Kind         string           `json:"kind"`
		Region       string           `json:"regionCode"`
		Started      string           `json:"startTime,omitempty"`
		State        string           `json:"subscriptionState"`
		Linked       string           `json:"linkedPurchaseToken,omitempty"`
		Paused       *wirePaused      `json:"pausedStateContext,omitempty"`
		Canceled     map[string]any   `json:"canceledStateContext,omitempty"`
		Test         *struct{}        `json:"testPurchase,omitempty"`
		Acknowledged acknowledgeState `json:"acknowledgementState"`
		External     *wireExternal    `json:"externalAccountIdentifiers,omitempty"`
		Items        []wireItem       `json:"lineItems"`
		InGrace      *wireDeclined    `json:"inGracePeriodStateContext,omitempty"`
		OnHold       *wireDeclined    `json:"onHoldStateContext,omitempty"`
		OutOfApp     *wireOutOfApp    `json:"outOfAppPurchaseContext,omitempty"`
		ETag         string           `json:"etag,omitempty"`
	}
	wirePaused struct {
		Resumes string `json:"autoResumeTime"`
	}
	wireExternal struct {
		Account string `json:"obfuscatedExternalAccountId,omitempty"`
		Profile string `json:"obfuscatedExternalProfileId,omitempty"`
	}
	wireDeclined struct {
		Renewal map[string]string `json:"renewalDeclined"`
	}
	wireOutOfApp struct {
		External *wireExternal `json:"expiredExternalAccountIdentifiers,omitempty"`
		Token    string        `json:"expiredPurchaseToken"`
	}
	wireItem struct {
		ID       string           `json:"productId"`
		Expires  string           `json:"expiryTime,omitempty"`
		OrderID  string           `json:"latestSuccessfulOrderId,omitempty"`
		Renewing *wireRenewing    `json:"autoRenewingPlan,omitempty"`
		Prepaid  *wirePrepaid     `json:"prepaidPlan,omitempty"`
		Offer    wireOfferDetails `json:"offerDetails"`
		Phase    map[string]any   `json:"offerPhase,omitempty"`
		Deferred *wireReplacedBy  `json:"deferredItemReplacement,omitempty"`
		Removed  *struct{}        `json:"deferredItemRemoval,omitempty"`
		Replaces *wireReplaces    `json:"itemReplacement,omitempty"`
	}
	wireRenewing struct {
		On           bool              `json:"autoRenewEnabled,omitempty"`
		Price        *wireMoney        `json:"recurringPrice,omitempty"`
		Change       *wireRise         `json:"priceChangeDetails,omitempty"`
		Installments *wireInstallments `json:"installmentDetails,omitempty"`
		Step         *wireStep         `json:"priceStepUpConsentDetails,omitempty"`
	}
	wireRise struct {
		Price *wireMoney `json:"newPrice"`
		Mode  string     `json:"priceChangeMode"`
		State string     `json:"priceChangeState"`
		When  string     `json:"expectedNewPriceChargeTime,omitempty"`
	}
	wireStep struct {
		State    string     `json:"state"`
		Deadline string     `json:"consentDeadlineTime"`
		Price    *wireMoney `json:"newPrice"`
	}
	wireInstallments struct {
		Initial   int       `json:"initialCommittedPaymentsCount"`
		Remaining int       `json:"remainingCommittedPaymentsCount,omitempty"`
		Pending   *struct{} `json:"pendingCancellation,omitempty"`
	}
	wirePrepaid struct {
		ExtendAfter string `json:"allowExtendAfterTime,omitempty"`
	}
	wireOfferDetails struct {
		BasePlan string `json:"basePlanId"`
		Offer    string `json:"offerId,omitempty"`
	}
	wireReplacedBy struct {
		ID string `json:"productId"`
	}
	wireReplaces struct {
		ID       string `json:"productId"`
		BasePlan string `json:"basePlanId"`
		Mode     string `json:"replacementMode"`
	}
)

// replacementTold is how long an item says what it replaced.
const replacementTold = 60 * 24 * time.Hour

func (s *Simulator) subscriptionV2(q *query) stage.Answer {
	q.pause()
	s.mu.Lock()
	defer s.mu.Unlock()
	p, refused := s.lookUp(q, true)
	if refused != nil {
		return refused.answer()
	}
	return stage.JSON(http.StatusOK, s.standing(p))
}

// standing is a subscription as the API shows it now.
func (s *Simulator) standing(p *purchase) wireSubscription {
	l := p.subscription
	w := wireSubscription{
		Kind: "androidpublisher#subscriptionPurchaseV2", Region: p.region, Started: s.instant(l.began),
		State: "SUBSCRIPTION_STATE_" + l.state, Acknowledged: acknowledgeState(p.acknowledged), External: p.external(),
	}
	if l.change != nil {
		w.Linked = l.change.old.token
	}
	if p.test {
		w.Test = &struct{}{}
	}
	if l.expired != nil {
		w.OutOfApp = &wireOutOfApp{l.expired.external(), l.expired.token}
	}
	var declined *wireDeclined
	if l.declined != nil {
		declined = &wireDeclined{map[string]string{"pendingOrderId": l.declined.id}}
	}
	switch l.state {
	case paused:
		w.Paused = &wirePaused{s.instant(l.resumes)}
	case inGrace:
		w.InGrace = declined
	case onHold:
		w.OnHold = declined
	case canceled, expired:
		w.Canceled = s.whoCancelled(l.cancelled)
	}
	for _, it := range l.items {
		w.Items = append(w.Items, s.itemOf(p, it))
	}
	if l.override != "" {
		w.State = l.override
	}
	sum := sha256.Sum256(must(json.Marshal(w)))
	w.ETag = base64.RawURLEncoding.EncodeToString(sum[:12])
	return w
}

func (p *purchase) external() *wireExternal {
	if p.account == "" && p.profile == "" {
		return nil
	}
	return &wireExternal{p.account, p.profile}
}

func (s *Simulator) whoCancelled(c cancellation) map[string]any {
	switch c.by {
	case byUser:
		return map[string]any{"userInitiatedCancellation": map[string]any{"cancelTime": s.instant(c.at)}}
	case bySystem:
		return map[string]any{"systemInitiatedCancellation": struct{}{}}
	case byDeveloper:
		return map[string]any{"developerInitiatedCancellation": struct{}{}}
	case byReplacement:
		return map[string]any{"replacementCancellation": struct{}{}}
	}
	return nil // a prepaid plan that ran out was cancelled by nobody
}

func (s *Simulator) itemOf(p *purchase, it *item) wireItem {
	w := wireItem{ID: it.product.id, Expires: s.instant(it.expires), Offer: wireOfferDetails{it.plan.id, it.offer}}
	if it.order != nil {
		w.OrderID = it.order.id
		w.Phase = map[string]any{it.phase: struct{}{}}
		if it.phase == "prorationPeriod" {
			w.Phase[it.phase] = map[string]string{"originalOfferPhaseType": "BASE"}
		}
	}
	if it.replacedBy != nil {
		w.Deferred = &wireReplacedBy{it.replacedBy.product.id}
	}
	if it.removed {
		w.Removed = &struct{}{}
	}
	if r := it.replaces; r != nil && s.stage.Now().Before(r.at.Add(replacementTold)) {
		w.Replaces = &wireReplaces{r.of.product.id, r.of.plan.id, r.mode}
	}
	if it.plan.prepaid {
		w.Prepaid = &wirePrepaid{s.instant(p.subscription.began)}
		return w
	}
	w.Renewing = &wireRenewing{On: it.autoRenew && it.replacedBy == nil && !it.removed, Price: it.price.wire()}
	if r := it.rise; r != nil {
		w.Renewing.Change = &wireRise{Price: r.to.wire(), Mode: r.mode, State: r.state}
		if r.state == riseOutstanding || r.state == riseConfirmed {
			w.Renewing.Change.When = s.instant(p.subscription.due)
		}
	}
	if st := it.step; st != nil {
		w.Renewing.Step = &wireStep{st.state, s.instant(st.deadline), st.to.wire()}
	}
	if it.plan.committed > 0 {
		w.Renewing.Installments = &wireInstallments{Initial: it.plan.committed, Remaining: it.committed}
		if it.lastCharge {
			w.Renewing.Installments.Pending = &struct{}{}
		}
	}
	return w
}

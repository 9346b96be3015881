package shop

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/catalog"
	"grantline/shared/fault"
	"grantline/shared/notice"
	"grantline/shared/play"
	"grantline/shared/purchase"
	"grantline/shared/simulate"
)

// google answers as Google would of what the shop knows.
type google struct{ *Play }

type object = map[string]any

func (g google) RoundTrip(r *http.Request) (*http.Response, error) {
	status, body := 200, any(object{"access_token": "access", "expires_in": 3600, "token_type": "Bearer"})
	_, path, api := strings.Cut(r.URL.Path, "/applications/"+bundle+"/")
	if api {
		status, body = g.answer(path, r.URL.Query()["orderIds"])
	}
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	return &http.Response{
		StatusCode: status, Status: http.StatusText(status), ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(string(text))), ContentLength: int64(len(text)),
	}, nil
}

func wrong(status int, reason string) (int, any) {
	return status, object{"error": object{"code": status, "message": "no", "errors": []any{object{"reason": reason, "message": "no", "domain": "androidpublisher"}}}}
}

func (g google) answer(path string, ids []string) (int, any) {
	last := path[strings.LastIndex(path, "/")+1:]
	if strings.HasPrefix(path, "orders") {
		if !strings.Contains(path, ":batchGet") {
			ids = []string{last}
		}
		var all []any
		for _, id := range ids {
			o := g.byID[id]
			if o == nil {
				return wrong(404, "notFound")
			}
			all = append(all, order(o))
		}
		if strings.Contains(path, ":batchGet") {
			return 200, object{"orders": all}
		}
		return 200, all[0]
	}
	t := g.tokens[last]
	switch renews := strings.Contains(path, "subscriptionsv2"); {
	case t == nil:
		return wrong(404, "notFound")
	case t.renews != renews:
		return wrong(400, "invalid")
	case renews && (t.stands.is.state == playExpired || t.stands.is.state == playVoid) && !t.stands.is.expiry.IsZero() && g.now().After(t.stands.is.expiry.Add(goneAfter)):
		return wrong(410, "subscriptionPurchaseNoLongerAvailable")
	case renews:
		return 200, subscription(t, t.stands.is)
	}
	return 200, product(t, t.stands.is)
}

func instant(at time.Time) string { return at.Format(time.RFC3339Nano) }

func acknowledgement(b bought) string {
	if b.acknowledged {
		return "ACKNOWLEDGEMENT_STATE_ACKNOWLEDGED"
	}
	return "ACKNOWLEDGEMENT_STATE_PENDING"
}

func product(t *Token, b bought) object {
	consumed := "CONSUMPTION_STATE_YET_TO_BE_CONSUMED"
	if b.consumed {
		consumed = "CONSUMPTION_STATE_CONSUMED"
	}
	is := object{
		"kind": "androidpublisher#productPurchaseV2", "obfuscatedExternalAccountId": t.Account, "acknowledgementState": acknowledgement(b),
		"purchaseStateContext": object{"purchaseState": map[playState]string{playPending: "PENDING", playPaid: "PURCHASED", playVoid: "CANCELLED"}[b.state]},
		"productLineItem": []any{object{"productId": t.product, "productOfferDetails": object{
			"quantity": b.quantity, "refundableQuantity": b.left, "consumptionState": consumed,
		}}},
	}
	if !b.at.IsZero() {
		is["purchaseCompletionTime"] = instant(b.at)
	}
	if len(t.orders) > 0 {
		is["orderId"] = t.orders[0].ID
	}
	return is
}

func subscription(t *Token, b bought) object {
	_, plan, _ := strings.Cut(t.SKU, ":")
	item := object{"productId": t.product, "offerDetails": object{"basePlanId": plan}, "autoRenewingPlan": object{"autoRenewEnabled": b.on}}
	is := object{"kind": "androidpublisher#subscriptionPurchaseV2", "acknowledgementState": acknowledgement(b), "lineItems": []any{item}}
	if b.order != "" {
		item["latestSuccessfulOrderId"], item["expiryTime"], is["startTime"] = b.order, instant(b.expiry), instant(b.at)
	}
	is["subscriptionState"] = "SUBSCRIPTION_STATE_" + map[playState]string{
		playPending: "PENDING", playPaid: "ACTIVE", playGrace: "IN_GRACE_PERIOD", playHold: "ON_HOLD", playCanceled: "CANCELED", playExpired: "EXPIRED",
		playVoid: "PENDING_PURCHASE_CANCELED", playPaused: "PAUSED",
	}[b.state]
	if b.state == playPaused {
		is["pausedStateContext"] = object{"autoResumeTime": instant(b.resumes)}
	}
	if t.Account != "" {
		is["externalAccountIdentifiers"] = object{"obfuscatedExternalAccountId": t.Account}
	}
	if t.older != nil && !t.outside {
		is["linkedPurchaseToken"] = t.older.Secret
	}
	if b.hasOutside {
		is["outOfAppPurchaseContext"] = object{
			"expiredPurchaseToken": t.older.Secret, "expiredExternalAccountIdentifiers": object{"obfuscatedExternalAccountId": t.older.Account},
		}
	}
	if b.state == playCanceled || b.state == playExpired {
		why := object{"systemInitiatedCancellation": object{}}
		switch {
		case b.replaced:
			why = object{"replacementCancellation": object{}}
		case b.byCustomer:
			why = object{"userInitiatedCancellation": object{"cancelTime": instant(b.at)}}
		}
		is["canceledStateContext"] = why
	}
	return is
}

func order(o *Order) object {
	id, plan, renews := strings.Cut(o.SKU, ":")
	item := object{"productId": id, "total": object{"currencyCode": o.Currency, "units": strconv.FormatInt(o.Price, 10)}}
	if renews {
		item["subscriptionDetails"] = object{"basePlanId": plan, "servicePeriodEndTime": instant(o.Until)}
	} else {
		item["oneTimePurchaseDetails"] = object{"quantity": o.Quantity}
	}
	state := "PROCESSED"
	switch {
	case o.Returned == wholly:
		state = "REFUNDED"
	case o.Back > 0:
		state = "PARTIALLY_REFUNDED"
	}
	return object{"orderId": o.ID, "state": state, "createTime": instant(o.SoldAt), "lineItems": []any{item}}
}

// adapter is the real one, which asks the shop by its answers.
func adapter(t *testing.T, p *Play) *play.Store {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	account, err := json.Marshal(object{
		"type": "service_account", "client_email": "play@project.iam.gserviceaccount.com", "token_uri": "https://sts.example/token", "private_key_id": "1",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
	})
	if err != nil {
		t.Fatal(err)
	}
	api, err := play.NewAPI(play.APIConfig{
		URL: play.APIURL, Credentials: func(context.Context, bool) (string, error) { return string(account), nil },
		Clock: p.world.Clock(), Log: slog.New(slog.DiscardHandler), Transport: google{p},
	})
	if err != nil {
		t.Fatal(err)
	}
	return play.NewStore(play.StoreConfig{
		API: api, Packages: []string{bundle}, Catalog: p.goods, Clock: p.world.Clock(), Log: slog.New(slog.DiscardHandler),
	})
}

// alike says how two words of stores differ: their news, or the kinds of their errors.
func alike(got, want purchase.News, gotErr, wantErr error) string {
	kinds := []error{fault.Malformed, fault.Invalid, fault.NotFound, fault.Unavailable}
	if (gotErr == nil) != (wantErr == nil) {
		return "error " + errorOf(gotErr) + ", and " + errorOf(wantErr)
	}
	for _, k := range kinds {
		if errors.Is(gotErr, k) != errors.Is(wantErr, k) {
			return "error " + errorOf(gotErr) + ", and " + errorOf(wantErr)
		}
	}
	if gotErr != nil {
		return ""
	}
	return cmp.Diff(want, got)
}

func errorOf(err error) string {
	if err == nil {
		return "none"
	}
	return err.Error()
}

func TestPlayIsToldOfAsItsAdapterTells(t *testing.T) {
	goods, err := catalog.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for seed := range uint64(2) {
		w := simulate.New(seed, time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC), simulate.NewWeather(seed, simulate.Faults{}))
		p := NewPlay(w, goods, Habits{Poor: 30_000})
		real := adapter(t, p)
		var heard []string
		p.Notify = func(h notice.Hint) { heard = append(heard, h.Evidence) }
		var all []*Token
		for range 50 {
			_ = w.Run(w.Now().Add(p.within(9 * 24 * time.Hour)))
			all = append(all, p.happens(all)...)
			_ = w.Run(w.Now().Add(time.Minute))
			for _, token := range all {
				sold := []purchase.Sold{}
				for _, o := range token.orders {
					sold = append(sold, purchase.Sold{Order: o.ID, Part: token.product, SKU: o.SKU})
				}
				line := purchase.Line{Token: purchase.Token{ID: token.ID, Secret: token.Secret, Kind: kindOf(token.renews)}, Sold: sold}
				for _, sku := range []string{"", token.product, token.SKU} {
					proof := purchase.Proof{Store: "play", Evidence: token.Secret, SKU: sku}
					want, wantErr := real.Look(t.Context(), proof)
					got, gotErr := p.Look(t.Context(), proof)
					if diff := alike(got, want, gotErr, wantErr); diff != "" {
						t.Fatalf("seed %d: Look at %+v (-adapter +shop):\n%s", seed, token.stands.is, diff)
					}
				}
				want, _, wantErr := real.Follow(t.Context(), line)
				got, _, gotErr := p.Follow(t.Context(), line)
				if diff := alike(got, want, gotErr, wantErr); diff != "" {
					t.Fatalf("seed %d: Follow of %+v (-adapter +shop):\n%s", seed, token.stands.is, diff)
				}
				checked++
			}
			for _, evidence := range heard {
				want, wantErr := real.Hear(t.Context(), evidence)
				got, gotErr := p.Hear(t.Context(), evidence)
				if diff := alike(got, want, gotErr, wantErr); diff != "" {
					t.Fatalf("seed %d: Hear of %s (-adapter +shop):\n%s", seed, evidence, diff)
				}
			}
			heard = heard[:0]
		}
		w.Close()
	}
	if checked < 300 {
		t.Errorf("compared %d times, want three hundred", checked)
	}
}

// happens is something that people or Google do.
func (p *Play) happens(all []*Token) (more []*Token) {
	dice := p.world.Dice
	if len(all) == 0 || dice.IntN(3) == 0 {
		switch dice.IntN(4) {
		case 0:
			return []*Token{p.Buy("gems_100", "account", 0, 1+dice.IntN(4), dice.IntN(3) == 0)}
		case 1:
			return []*Token{p.Buy("ad_free", "", 0, 1, false)}
		}
		return []*Token{p.Subscribe("premium:monthly", "account", 0, nil, false, dice.IntN(3) == 0)}
	}
	t := all[dice.IntN(len(all))]
	delivery := purchase.Delivery{Token: purchase.Token{Secret: t.Secret}, Part: t.product, Consume: dice.IntN(2) == 0}
	switch dice.IntN(10) {
	case 0, 1, 2:
		_ = p.acknowledge(delivery)
	case 3:
		p.Settle(t, dice.IntN(2) == 0)
	case 4:
		p.Cancel(t)
	case 5:
		p.Resume(t)
	case 6:
		if n := len(t.orders); n > 0 {
			p.Refund(t.orders[dice.IntN(n)], dice.IntN(2) == 0)
		}
	case 7:
		if n := len(t.orders); n > 0 && t.orders[0].Quantity > 1 {
			p.RefundSome(t.orders[0], 1)
		}
	case 8:
		p.Pause(t, time.Duration(1+dice.IntN(60))*24*time.Hour)
	case 9:
		if t.renews && t.stands.is.acknowledged {
			return []*Token{p.Subscribe("premium:yearly", "account", 0, t, !t.Running(), dice.IntN(3) == 0)}
		}
	}
	return nil
}

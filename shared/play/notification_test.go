package play_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/fault"
	"grantline/shared/play"
)

// notified are all notifications that Google Play documents, and some to come.
func notified() []struct {
	name    string
	member  string
	object  pushClaims
	outcome play.Outcome
} {
	type row = struct {
		name    string
		member  string
		object  pushClaims
		outcome play.Outcome
	}
	var all []row
	subscription := func(number int, o play.Outcome) {
		all = append(all, row{fmt.Sprintf("subscription.%d", number), "subscriptionNotification", pushClaims{"version": "1.0", "notificationType": number, "purchaseToken": pushToken}, o})
	}
	for number, o := range map[int]play.Outcome{
		1: play.OutcomeRestore, 2: play.OutcomeRenew, 3: play.OutcomeWillEnd, 4: play.OutcomeGrant, 5: play.OutcomeSuspend, 6: play.OutcomeGrace,
		7: play.OutcomeWillRenew, 8: play.OutcomeNoteTerms, 9: play.OutcomeMove, 10: play.OutcomeSuspend, 11: play.OutcomeNotePause, 12: play.OutcomeEnd,
		13: play.OutcomeEnd, 17: play.OutcomeItems, 18: play.OutcomeWillEnd, 19: play.OutcomeNoteTerms, 20: play.OutcomeDropPending, 22: play.OutcomeNoteTerms,
		0: play.OutcomeLook, 14: play.OutcomeLook, 15: play.OutcomeLook, 16: play.OutcomeLook, 21: play.OutcomeLook, 23: play.OutcomeLook, 99: play.OutcomeLook, 1<<31 - 1: play.OutcomeLook,
	} {
		subscription(number, o)
	}
	for number, o := range map[int]play.Outcome{0: play.OutcomeLook, 1: play.OutcomeGrant, 2: play.OutcomeDropPending, 3: play.OutcomeLook} {
		all = append(all, row{fmt.Sprintf("oneTime.%d", number), "oneTimeProductNotification", pushClaims{"version": "1.0", "notificationType": number, "purchaseToken": pushToken, "sku": "gems_100"}, o})
	}
	for _, product := range []int{0, 1, 2, 3} {
		for _, refund := range []int{0, 1, 2, 3} {
			all = append(all, row{
				fmt.Sprintf("voided.%d.%d", product, refund), "voidedPurchaseNotification",
				pushClaims{"purchaseToken": pushToken, "orderId": pushOrder, "productType": product, "refundType": refund},
				play.OutcomeReverse,
			})
		}
	}
	for _, reason := range []int{0, 7, 8} {
		all = append(all, row{
			fmt.Sprintf("pendingRefundReview.%d", reason), "pendingRefundReviewNotification",
			pushClaims{"version": "1.0", "pendingRefundToken": "review-token", "orderId": pushOrder, "refundReason": reason},
			play.OutcomeAnswerReview,
		})
	}
	return append(all, row{"test", "testNotification", pushClaims{"version": "1.0"}, play.OutcomeNothing})
}

func TestEveryNotificationHasItsOutcome(t *testing.T) {
	for _, c := range notified() {
		data := pushJSON(pushNotice.with("subscriptionNotification", nil).with(c.member, c.object))
		n, err := play.ParseNotification(data)
		if err != nil {
			t.Errorf("%s: got error %v, want none", c.name, err)
			continue
		}
		if n.Name() != c.name || n.Outcome() != c.outcome || n.Package != pushPackage || !n.At.Equal(time.UnixMilli(1503349566168)) {
			t.Errorf("%s: got %s with the outcome %q of %s at %s, want %q", c.name, n.Name(), n.Outcome(), n.Package, n.At, c.outcome)
		}
		again, err := play.ParseNotification([]byte(n.Evidence()))
		if err != nil {
			t.Errorf("%s: its evidence: got error %v, want none", c.name, err)
		}
		if d := cmp.Diff(n, again); d != "" {
			t.Errorf("%s: by its evidence (-want +got):\n%s", c.name, d)
		}
		w := newPushWorld(t, nil)
		status, hint := w.send(genuinePush(), pushBody(pushWrapped(data)))
		if status != 200 || hint.Type != c.name {
			t.Errorf("%s: got %d and a hint of type %q, want it taken", c.name, status, hint.Type)
		}
		// All of them are looked at but a test, whatever their numbers are.
		if got, want := hint.Names(), c.outcome != play.OutcomeNothing; got != want || (hint.Evidence != "") != want {
			t.Errorf("%s: names something: got %v, want %v", c.name, got, want)
		}
	}
}

func TestANotificationSaysWhereToLook(t *testing.T) {
	at := time.UnixMilli(1503349566168).UTC()
	for name, c := range map[string]struct {
		member, object string
		want           play.Notification
		line, order    string
	}{
		"subscription": {
			"subscriptionNotification", `{"notificationType":2,"purchaseToken":"t-1","subscriptionId":"premium"}`,
			play.Notification{Kind: play.KindSubscription, Type: play.SubscriptionRenewed, Token: "t-1", SKU: "premium"},
			play.TokenID("t-1"), "",
		},
		"one-time": {
			"oneTimeProductNotification", `{"notificationType":2,"purchaseToken":"t-1","sku":"gems_100"}`,
			play.Notification{Kind: play.KindOneTime, Type: play.OneTimeCanceled, Token: "t-1", SKU: "gems_100"},
			play.TokenID("t-1"), "",
		},
		"voided": {
			"voidedPurchaseNotification", `{"purchaseToken":"t-1","orderId":"GPA.1","productType":2,"refundType":2}`,
			play.Notification{Kind: play.KindVoided, Token: "t-1", Order: "GPA.1", ProductType: play.ProductOneTime, RefundType: play.RefundPartial},
			play.TokenID("t-1"), "play_GPA.1",
		},
		"voided without order": {
			"voidedPurchaseNotification", `{"purchaseToken":"t-1","productType":1,"refundType":1}`,
			play.Notification{Kind: play.KindVoided, Token: "t-1", ProductType: play.ProductSubscription, RefundType: play.RefundFull},
			play.TokenID("t-1"), "",
		},
		"review": {
			"pendingRefundReviewNotification", `{"pendingRefundToken":"r-1","orderId":"GPA.1","refundReason":7,"obfuscatedAccountId":"x"}`,
			play.Notification{Kind: play.KindReview, PendingRefundToken: "r-1", Order: "GPA.1", RefundReason: play.ReasonChargeback},
			"", "play_GPA.1",
		},
		"test": {"testNotification", `{"version":"1.0"}`, play.Notification{Kind: play.KindTest}, "", ""},
	} {
		data := `{"version":"1.0","packageName":"com.example.app","eventTimeMillis":"1503349566168","` + c.member + `":` + c.object + `}`
		n, err := play.ParseNotification([]byte(data))
		c.want.Package, c.want.At = pushPackage, at
		if d := cmp.Diff(c.want, n); err != nil || d != "" {
			t.Errorf("%s: got error %v and (-want +got):\n%s", name, err, d)
		}
		w := newPushWorld(t, nil)
		if _, hint := w.send(genuinePush(), pushBody(pushWrapped([]byte(data)))); hint.Line != c.line || hint.Order != c.order {
			t.Errorf("%s: got line %q and order %q, want %q and %q", name, hint.Line, hint.Order, c.line, c.order)
		}
	}
}

func TestWhatSaysNothingToLookAtIsMalformed(t *testing.T) {
	of := func(member, object string) string {
		return `{"packageName":"com.example.app","` + member + `":` + object + `}`
	}
	for name, data := range map[string]string{
		"nothing": "", "null": "null", "a number": "1", "no package": `{"testNotification":{}}`, "a word for a package": `{"packageName":"app","testNotification":{}}`,
		"a long package":       `{"packageName":"com.` + strings.Repeat("a", 300) + `","testNotification":{}}`,
		"no notification":      `{"packageName":"com.example.app"}`,
		"a future one":         of("futureNotification", "{}"),
		"one in another case":  of("TestNotification", "{}"),
		"one-time, no token":   of("oneTimeProductNotification", `{"notificationType":1,"sku":"gems_100"}`),
		"one-time, a list":     of("oneTimeProductNotification", `[]`),
		"voided, no token":     of("voidedPurchaseNotification", `{"orderId":"GPA.1","productType":2,"refundType":1}`),
		"voided, bad order":    of("voidedPurchaseNotification", `{"purchaseToken":"t-1","orderId":"a b"}`),
		"voided, long order":   of("voidedPurchaseNotification", `{"purchaseToken":"t-1","orderId":"`+strings.Repeat("a", 300)+`"}`),
		"voided, bad number":   of("voidedPurchaseNotification", `{"purchaseToken":"t-1","orderId":"GPA.1","productType":"x"}`),
		"review, no token":     of("pendingRefundReviewNotification", `{"orderId":"GPA.1","refundReason":7}`),
		"review, no order":     of("pendingRefundReviewNotification", `{"pendingRefundToken":"r-1","refundReason":7}`),
		"review, a blank":      of("pendingRefundReviewNotification", `{"pendingRefundToken":"r 1","orderId":"GPA.1"}`),
		"review, a long token": of("pendingRefundReviewNotification", `{"pendingRefundToken":"`+strings.Repeat("r", 16<<10+1)+`","orderId":"GPA.1"}`),
		"test that is text":    of("testNotification", `"x"`),
		"number of no digits":  of("subscriptionNotification", `{"notificationType":"","purchaseToken":"t-1"}`),
		"number with a sign":   of("subscriptionNotification", `{"notificationType":"+4","purchaseToken":"t-1"}`),
		"number true":          of("subscriptionNotification", `{"notificationType":true,"purchaseToken":"t-1"}`),
	} {
		n, err := play.ParseNotification([]byte(data))
		if !errors.Is(err, fault.Malformed) || fault.Code(err) != "unreadable_notification" || n != (play.Notification{}) {
			t.Errorf("%s: got %+v and %v, want fault.Malformed", name, n, err)
		}
		for _, said := range []string{"com.", "GPA", "t-1", "r-1", "gems"} {
			if err != nil && strings.Contains(err.Error(), said) {
				t.Errorf("%s: got %q in error %q, want it nowhere", name, said, err)
			}
		}
	}
}

func TestAProductThatIsNoneIsLeftToPlay(t *testing.T) {
	n, err := play.ParseNotification([]byte(`{"packageName":"com.example.app","oneTimeProductNotification":{"notificationType":1,"purchaseToken":"t-1","sku":"a b"}}`))
	if err != nil || n.SKU != "" || n.Token != "t-1" {
		t.Errorf("got %+v and %v, want the token without a product", n, err)
	}
}

// The id is what the tables know a purchase by: it may never change.
func TestATokenIDIsItsSHA256(t *testing.T) {
	if got, want := play.TokenID("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

package apple_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/apple"
	"grantline/shared/entitlement"
	"grantline/shared/event"
	"grantline/shared/fault"
	"grantline/shared/purchase"
	"grantline/shared/table"
)

func secondApp(c *apple.Config) { c.BundleIDs = append(c.BundleIDs, "com.example.second") }

// receiptOf is an old app receipt that names a transaction.
func receiptOf(id string) string {
	s := berShape{}
	return b64(s.receipt(s.inApp(s.attribute(1703, s.words(id)))))
}

func TestReceiptIsWorthWhatItsTransactionIs(t *testing.T) {
	for name, c := range map[string]struct {
		sold   facts
		say    func(w *world, id string)
		change func(*apple.Config)
		absent bool
		want   error
		code   string
	}{
		"in production":                 {},
		"in the sandbox":                {sold: facts{"environment": "Sandbox"}},
		"in the sandbox, not accepted":  {sold: facts{"environment": "Sandbox"}, change: func(c *apple.Config) { c.Environments = []apple.Environment{apple.Production} }, want: fault.Invalid, code: "invalid_purchase"},
		"of our second app":             {sold: facts{"bundleId": "com.example.second"}, change: secondApp},
		"of another app":                {sold: facts{"bundleId": "com.example.other"}, want: fault.Invalid, code: "invalid_purchase"},
		"known nowhere":                 {say: func(w *world, id string) { delete(w.transactions, id) }, want: fault.Invalid, code: "invalid_purchase"},
		"refunded":                      {say: func(w *world, id string) { w.revoke(id, nil) }},
		"without an API":                {absent: true, want: fault.Unavailable, code: "store_not_configured"},
		"during an outage":              {say: answers("/", 500, ""), want: fault.Unavailable, code: "store_unavailable"},
		"with a key that is refused":    {say: answers("/", 401, ""), want: fault.Unavailable, code: "store_unavailable"},
		"with an answer about another":  {say: answersWith(func(w *world, _ string) string { return w.proof(w.sell("", gemsSKU, apple.Consumable, nil)) }), want: fault.Unavailable, code: "store_unavailable"},
		"with an answer that is forged": {say: answersWith(func(w *world, id string) string { return w.forged(w.transactions[id]) }), want: fault.Unavailable, code: "store_unavailable"},
		"with an answer of another app": {say: answersWith(func(w *world, id string) string {
			return w.signed(changed(w.transactions[id], "bundleId", "com.example.other"))
		}), want: fault.Unavailable, code: "store_unavailable"},
		"of an app without a release": {sold: facts{"environment": "Sandbox"}, say: func(w *world, _ string) {
			w.instead = func(r *http.Request, _ string) (*http.Response, error) {
				if strings.HasPrefix(r.URL.Host, "production") {
					return apiSays(http.StatusUnauthorized, "Unauthenticated"), nil
				}
				return nil, nil
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, !c.absent, func(config *apple.Config) {
				if c.change != nil {
					c.change(config)
				}
			})
			id := w.sell("", gemsSKU, apple.Consumable, c.sold)
			if c.say != nil {
				c.say(w, id)
			}
			proof := purchase.Proof{Store: apple.Name, Evidence: receiptOf(id), Receipt: true}
			if _, says, err := w.store.Read(t.Context(), proof); says || err != nil {
				t.Errorf("a receipt alone: got a word %t, %v, want none", says, err)
			}
			news, err := w.store.Look(t.Context(), proof)
			if c.want != nil {
				onlyKind(t, err, c.want)
				showsNothing(t, err, id)
				if fault.Code(err) != c.code || len(news.Sales) != 0 {
					t.Errorf("got %d sales and code %s, want none and %s", len(news.Sales), fault.Code(err), c.code)
				}
				return
			}
			if err != nil || len(news.Sales) != 1 || news.Sales[0].Order != id {
				t.Fatalf("got %+v, %v, want %s", news, err, id)
			}
			_, err = w.Claim(t.Context(), table.Default, "ann", proof)
			if name == "refunded" {
				onlyKind(t, err, fault.Invalid)
				return
			}
			if err != nil || w.balance("ann") != 100 {
				t.Errorf("claim: got balance %d, %v, want 100", w.balance("ann"), err)
			}
		})
	}
}

// A receipt may name the first period of a subscription that has gone on since.
func TestReceiptOfAnOldPeriodGivesTheSubscription(t *testing.T) {
	w := newWorld(t, true)
	first := w.subscribe("", monthlySKU, month(1))
	w.set(month(1))
	w.subscribe(first, monthlySKU, month(2))
	if _, err := w.Claim(t.Context(), table.Default, "ann", purchase.Proof{Store: apple.Name, Evidence: receiptOf(first), Receipt: true}); err != nil {
		t.Fatal(err)
	}
	if e := w.entitled("ann", "premium"); !e.Active || !e.ExpiresAt.Equal(month(2)) {
		t.Errorf("got %+v, want it active until %v", e, month(2))
	}
}

func TestReceiptThatNamesNothingIsRefusedWithoutAQuestion(t *testing.T) {
	w := newWorld(t, true)
	for evidence, want := range map[string]error{b64(berShape{}.receipt()): fault.Invalid, "junk": fault.Malformed} {
		_, err := w.store.Look(t.Context(), purchase.Proof{Evidence: evidence, Receipt: true})
		onlyKind(t, err, want)
	}
	if asked := w.requests(); len(asked) != 0 {
		t.Errorf("got requests %q, want none", asked)
	}
}

func TestFollowTellsNotKnownFromNotKnownNow(t *testing.T) {
	unreleased := func(w *world, _ string) {
		w.instead = func(r *http.Request, _ string) (*http.Response, error) {
			if w.askedFor(r) == "com.example.app" {
				return apiSays(http.StatusUnauthorized, "Unauthenticated"), nil
			}
			return nil, nil
		}
	}
	for name, c := range map[string]struct {
		sold facts
		say  func(w *world, id string)
		want error
	}{
		"known":                               {},
		"of our second app":                   {sold: facts{"bundleId": "com.example.second"}},
		"of the second, the first unreleased": {sold: facts{"bundleId": "com.example.second"}, say: unreleased},
		"of neither, the first unreleased":    {sold: facts{"bundleId": "com.example.other"}, say: unreleased, want: fault.Unavailable},
		"of neither":                          {sold: facts{"bundleId": "com.example.other"}, want: fault.NotFound},
		"broken":                              {say: answers("/", 500, ""), want: fault.Unavailable},
		"refused":                             {say: answers("/", 400, `{"errorCode":4000006}`), want: fault.Unavailable},
		"known, and its statuses are not":     {say: answers(subscriptionPath, 404, `{"errorCode":4040005}`), want: fault.Unavailable},
		"known, and its statuses are forged": {say: entries(func(w *world, id string) []facts {
			return []facts{entry(id, w.forged(w.transactions[id]), w.signed(w.renewals[id]))}
		}), want: fault.Unavailable},
		"known in the sandbox, of which it is": {sold: facts{"environment": "Sandbox"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, true, secondApp)
			id := w.subscribe("", monthlySKU, month(1))
			for field, value := range c.sold {
				w.transactions[id][field] = value
				if field == "environment" {
					w.renewals[id][field] = value
				}
			}
			if c.say != nil {
				c.say(w, id)
			}
			news, able, err := w.store.Follow(t.Context(), purchase.Line{Line: id, Order: id, Test: c.sold["environment"] == "Sandbox"})
			if !able {
				t.Error("got not able, want able")
			}
			if c.want != nil {
				onlyKind(t, err, c.want)
				showsNothing(t, err, id)
				return
			}
			if err != nil || len(news.Sales) != 1 || news.Sales[0].Order != id || news.Standing.AsOf.IsZero() {
				t.Errorf("got %+v, %v, want %s and how it stands", news, err, id)
			}
		})
	}
}

// A renewal that nobody told of is found when its time has come, and what Apple does not
// know any more stays.
func TestLineIsReviewedWhenItsEndPassedWithoutWord(t *testing.T) {
	w := newWorld(t, true)
	id := w.subscribe("", monthlySKU, month(1))
	w.granted("ann", id)
	w.set(month(1))
	w.subscribe(id, monthlySKU, month(2))
	w.set(month(1).Add(time.Hour))
	if _, err := w.Review(t.Context(), table.Default, apple.Name, 10); err != nil {
		t.Fatal(err)
	}
	if e := w.entitled("ann", "premium"); !e.Active || !e.ExpiresAt.Equal(month(2)) {
		t.Errorf("got %+v, want it active until %v", e, month(2))
	}
	w.set(month(2).Add(-time.Minute))
	answers("/", 404, `{"errorCode":4040010}`)(w, id)
	if _, err := w.Review(t.Context(), table.Default, apple.Name, 10); err != nil {
		t.Fatal(err)
	}
	if e := w.entitled("ann", "premium"); !e.Active {
		t.Errorf("got %+v once Apple does not know it, want it as it was", e)
	}
}

func TestSignedWordsCountWhileTheAPIIsOutOfReach(t *testing.T) {
	for name, say := range map[string]func(*world, string){
		"broken": answers("/", 500, ""), "unauthorized": answers("/", 401, ""), "not known": answers("/", 404, `{"errorCode":4040010}`),
		"an empty object": answers("/", 200, "{}"), "statuses broken": answers(subscriptionPath, 500, ""),
		"forged": answersWith(func(w *world, id string) string { return w.forged(w.transactions[id]) }),
		"another app's": answersWith(func(w *world, id string) string {
			return w.signed(changed(w.transactions[id], "bundleId", "com.example.other"))
		}),
	} {
		w := newWorld(t, true)
		id := subscribed(w)
		w.set(signedAt.Add(day))
		w.revoke(id, nil)
		signed := w.notify("REFUND", id, nil)
		say(w, id)
		news, err := w.store.Hear(t.Context(), signed)
		if err != nil || !news.Unasked || len(news.Sales) != 1 || news.Sales[0].State != purchase.Refunded || news.Standing.AsOf.IsZero() {
			t.Errorf("%s: got %+v, %v, want the signed words, unasked", name, news, err)
		}
		w.hear(signed)
		if e := w.entitled("ann", "premium"); e.Active || w.order(id).State != purchase.OrderRefunded {
			t.Errorf("%s: got %+v, want it taken back", name, e)
		}
		if at, want := w.record(id).CheckAt, w.Now().Add(15*time.Minute); !at.Equal(want) {
			t.Errorf("%s: looked at again at %v, want %v", name, at, want)
		}
		// Then it turns out to have been reversed.
		w.instead = nil
		w.unrevoke(id)
		w.set(w.Now().Add(20 * time.Minute))
		if _, err := w.Review(t.Context(), table.Default, apple.Name, 10); err != nil {
			t.Fatal(err)
		}
		if e := w.entitled("ann", "premium"); !e.Active {
			t.Errorf("%s: got %+v after it was asked again, want it active", name, e)
		}
	}
}

// Of a notice and the API's answer the newer word about each thing counts.
func TestNewerOfNoticeAndAnswerCounts(t *testing.T) {
	w := newWorld(t, true)
	id := subscribed(w)
	w.set(signedAt.Add(day))
	w.revoke(id, nil)
	w.change(id, apple.StatusActive, facts{"autoRenewStatus": 0})
	stale := w.notify("REFUND", id, nil)
	w.set(signedAt.Add(2 * day))
	w.unrevoke(id)
	w.change(id, apple.StatusActive, facts{"autoRenewStatus": 1})
	news, err := w.store.Hear(t.Context(), stale)
	if err != nil || news.Sales[0].State != purchase.Paid || !news.Standing.WillRenew || news.Unasked {
		t.Errorf("an old notice: got %+v, %v, want what Apple says now", news, err)
	}
	fresh := w.notify("REFUND_REVERSED", id, nil)
	w.set(signedAt.Add(day)) // an answer from a cache
	w.revoke(id, nil)
	w.change(id, apple.StatusActive, facts{"autoRenewStatus": 0})
	news, err = w.store.Hear(t.Context(), fresh)
	if err != nil || news.Sales[0].State != purchase.Paid || !news.Standing.WillRenew {
		t.Errorf("an old answer: got %+v, %v, want what the notice says", news, err)
	}
}

func TestNoticeThatNobodySignedIsDoneWithAndAskedAboutNowhere(t *testing.T) {
	w := newWorld(t, true)
	id := w.subscribe("", monthlySKU, month(1))
	genuineNotice := w.notify("DID_RENEW", id, nil)
	parts := strings.Split(genuineNotice, ".")
	for name, evidence := range map[string]string{
		"junk": "junk", "nothing": "", "cut": parts[0] + "." + parts[1], "a transaction": w.proof(id),
		"a transaction forged within": w.notice("DID_RENEW", facts{"data": facts{
			"environment": "Production", "appAppleId": 1234567890, "bundleId": "com.example.app", "signedTransactionInfo": w.forged(w.transactions[id]),
		}}),
		"of another app": w.notify("DID_RENEW", id, facts{"bundleId": "com.example.other"}),
	} {
		applied, err := w.LookAgain(t.Context(), table.Default, apple.Name, evidence)
		if applied || err != nil {
			t.Errorf("%s: got applied %t, %v, want neither", name, applied, err)
		}
	}
	if asked := w.requests(); len(asked) != 0 {
		t.Errorf("got requests %q, want none", asked)
	}
	if got := len(w.tables.Items(table.Orders)) + len(w.tables.Items(table.Purchases)); got != 0 {
		t.Errorf("got %d items written, want none", got)
	}
	for _, secret := range []string{"eyJ", id, "com.example"} {
		if strings.Contains(w.log.String(), secret) {
			t.Errorf("got %q in the log, want it nowhere:\n%s", secret, w.log)
		}
	}
}

// A notification before the app's claim is kept, and joined to whoever claims.
func TestNoticeBeforeTheClaimIsJoinedLater(t *testing.T) {
	for _, able := range []bool{false, true} {
		w := newWorld(t, able)
		first := w.subscribe("", monthlySKU, month(1))
		proof := w.proof(first)
		w.hear(w.notify("SUBSCRIBED.INITIAL_BUY", first, nil))
		w.set(month(1))
		second := w.subscribe(first, monthlySKU, month(2))
		w.hear(w.notify("DID_RENEW", second, nil))
		if o := w.order(second); o.State != purchase.OrderUnclaimed || o.Customer != "" {
			t.Errorf("before the claim: got %s of %q, want it unclaimed", o.State, o.Customer)
		}
		if _, err := w.claim("ann", proof); err != nil {
			t.Fatal(err)
		}
		e := w.entitled("ann", "premium")
		if !e.Active || !e.ExpiresAt.Equal(month(2)) || !e.WillRenew || e.State != entitlement.Active {
			t.Errorf("with an API %t: got %+v, want it active until %v", able, e, month(2))
		}
		want := []event.Type{event.PurchaseGranted, event.PurchaseRenewed}
		if diff := cmp.Diff(want, w.told("ann", 0)); diff != "" {
			t.Errorf("with an API %t: events (-want +got):\n%s", able, diff)
		}
		_, err := w.claim("ben", w.proof(second))
		onlyKind(t, err, fault.Conflict)
	}
}

// What Apple told of just now its API may not show yet, though it signs that now.
func TestAnAnswerThatIsBehindWhatWasToldIsAskedForAgain(t *testing.T) {
	w := newWorld(t, true)
	id := bought(w, gemsSKU, apple.Consumable, nil)
	w.set(signedAt.Add(day))
	w.revoke(id, nil)
	notice := w.notify("REFUND", id, nil)
	w.unrevoke(id)
	w.set(w.Now().Add(5 * time.Second))
	w.hear(notice)
	if at, want := w.record(id).CheckAt, w.Now().Add(15*time.Minute); !at.Equal(want) {
		t.Errorf("looked at again at %v, want %v", at, want)
	}
	w.revoke(id, nil)
	w.set(w.Now().Add(20 * time.Minute))
	if _, err := w.Review(t.Context(), table.Default, apple.Name, 10); err != nil {
		t.Fatal(err)
	}
	if got := w.order(id).State; got != purchase.OrderRefunded || w.balance("ann") != 0 {
		t.Errorf("after it was asked again: got %s with %d gems, want it taken back", got, w.balance("ann"))
	}
	if at := w.record(id).CheckAt; !at.IsZero() {
		t.Errorf("looked at again at %v once it agrees, want never", at)
	}
}

func TestAnAnswerThatAgreesWithWhatWasToldEndsTheAsking(t *testing.T) {
	for name, c := range map[string]struct {
		later time.Duration
		turn  bool // auto-renew is off by then
		want  bool
	}{
		"it agrees": {later: time.Second}, "it was turned off since": {later: time.Second, turn: true, want: true},
		"that was some time ago": {later: time.Hour, turn: true},
	} {
		w := newWorld(t, true)
		id := subscribed(w)
		notice := w.notify("SUBSCRIBED.INITIAL_BUY", id, nil)
		w.set(w.Now().Add(c.later))
		if c.turn {
			w.change(id, apple.StatusActive, facts{"autoRenewStatus": 0})
		}
		if news, err := w.store.Hear(t.Context(), notice); err != nil || news.Unasked != c.want {
			t.Errorf("%s: got asked again %v, %v, want %v", name, news.Unasked, err, c.want)
		}
	}
}

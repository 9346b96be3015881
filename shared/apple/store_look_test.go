package apple_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/apple"
	"grantline/shared/fault"
	"grantline/shared/purchase"
)

// onlyKind fails the test unless err is of that kind and of no other.
func onlyKind(t testing.TB, err, want error) {
	t.Helper()
	for _, kind := range []error{fault.Malformed, fault.Unauthenticated, fault.Denied, fault.NotFound, fault.Conflict, fault.Invalid, fault.Unavailable} {
		if got := errors.Is(err, kind); got != errors.Is(want, kind) {
			t.Errorf("got error %v, want %v and no other kind", err, want)
			return
		}
	}
}

// showsNothing fails the test if an error tells what is the customer's or Apple's.
func showsNothing(t testing.TB, err error, secrets ...string) {
	t.Helper()
	for _, secret := range append(secrets, "20000000", "com.example", "eyJ", "signedTransactionInfo", ".example", "https") {
		if err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("got %q in error %q, want it nowhere", secret, err)
		}
	}
}

// kinds are the four kinds of a product with what each sale of it says.
var kinds = map[apple.ProductType]string{
	apple.AutoRenewable: monthlySKU, apple.Consumable: gemsSKU, apple.NonConsumable: adFreeSKU, apple.NonRenewing: rentalSKU,
}

// sellOne sells one of a kind.
func sellOne(w *world, kind apple.ProductType) string {
	if kind == apple.AutoRenewable {
		return w.subscribe("", monthlySKU, month(1))
	}
	return w.sell("", kinds[kind], kind, nil)
}

// answers makes the API answer every request whose path has a part.
func answers(path string, status int, body string) func(*world, string) {
	return func(w *world, _ string) {
		w.instead = func(r *http.Request, _ string) (*http.Response, error) {
			if strings.Contains(r.URL.Path, path) {
				return apiSays(status, body), nil
			}
			return nil, nil
		}
	}
}

// answersWith makes the API give another signed transaction.
func answersWith(signed func(w *world, id string) string) func(*world, string) {
	return func(w *world, id string) {
		answers("/transactions/", http.StatusOK, `{"signedTransactionInfo":"`+signed(w, id)+`"}`)(w, id)
	}
}

// entries makes the API list other entries among the subscription statuses.
func entries(list func(w *world, id string) []facts) func(*world, string) {
	return func(w *world, id string) {
		answers("/subscriptions/", http.StatusOK, factsText(w.till, facts{
			"environment": "Production", "bundleId": "com.example.app",
			"data": []facts{{"subscriptionGroupIdentifier": "21500001", "lastTransactions": list(w, id)}},
		}))(w, id)
	}
}

// entry is how a line stands, each part as it was signed.
func entry(line, transaction, renewal string) facts {
	return facts{"originalTransactionId": line, "status": 1, "signedTransactionInfo": transaction, "signedRenewalInfo": renewal}
}

func changed(f facts, name string, value any) facts {
	out := facts{}
	for n, v := range f {
		out[n] = v
	}
	out[name] = value
	return out
}

const (
	transactionPath  = "/inApps/v1/transactions/"
	subscriptionPath = "/inApps/v1/subscriptions/"
)

// lookCase is what the App Store says when it is asked about a transaction that it signed
// an hour before.
type lookCase struct {
	name string
	of   apple.ProductType // that alone, or all
	say  func(w *world, id string)
	want error // nil for News
	// state and until are the first sale's.
	state purchase.SaleState
	sales int
}

func lookCases() []lookCase {
	const sub = apple.AutoRenewable
	impostor := (*world).forged
	out := fault.Unavailable
	return []lookCase{
		{name: "the same", say: func(*world, string) {}, state: purchase.Paid, sales: 1},
		{name: "refunded since", say: func(w *world, id string) { w.revoke(id, nil) }, state: purchase.Refunded, sales: 1},
		{name: "replaced since", of: sub, say: func(w *world, id string) { w.transactions[id]["isUpgraded"] = true }, state: purchase.Replaced, sales: 1},
		{name: "renewed since", of: sub, say: func(w *world, id string) { w.subscribe(id, monthlySKU, month(2)) }, state: purchase.Paid, sales: 2},
		{name: "a family member's beside", of: sub, say: func(w *world, _ string) { w.subscribe("", monthlySKU, month(2)) }, state: purchase.Paid, sales: 1},
		{name: "no subscriptions", of: sub, say: entries(func(*world, string) []facts { return nil }), state: purchase.Paid, sales: 1},

		{name: "not known", say: answers(transactionPath, 404, `{"errorCode":4040010}`), want: out},
		{name: "no such account", say: answers(transactionPath, 404, `{"errorCode":4040001}`), want: out},
		{name: "no such app", say: answers(transactionPath, 404, `{"errorCode":4040003}`), want: out},
		{name: "404 of somebody else", say: answers(transactionPath, 404, "not found"), want: out},
		{name: "a bad id", say: answers(transactionPath, 400, `{"errorCode":4000006}`), want: out},
		{name: "unauthorized", say: answers("/", 401, "Unauthenticated"), want: out},
		{name: "forbidden", say: answers("/", 403, `{"errorCode":4030004}`), want: out},
		{name: "too many", say: answers("/", 429, `{"errorCode":4290000}`), want: out},
		{name: "broken", say: answers("/", 500, `{"errorCode":5000000}`), want: out},
		{name: "broken for now", say: answers("/", 500, `{"errorCode":5000001}`), want: out},
		{name: "a gateway's 502", say: answers("/", 502, "<html>"), want: out},
		{name: "a redirect", say: answers("/", 302, ""), want: out},
		{name: "silence", say: func(w *world, _ string) { w.instead = silence; w.store.API = w.api(20 * time.Millisecond) }, want: out},
		{name: "an empty object", say: answers(transactionPath, 200, `{}`), want: out},
		{name: "nothing", say: answers(transactionPath, 200, ""), want: out},
		{name: "a page", say: answers(transactionPath, 200, "<html></html>"), want: out},
		{name: "an empty transaction", say: answers(transactionPath, 200, `{"signedTransactionInfo":""}`), want: out},
		{name: "an unsigned one", say: answersWith(func(w *world, _ string) string { return "eyJ.eyJ.AA" }), want: out},
		{name: "another transaction", say: answersWith(func(w *world, _ string) string { return w.proof(w.sell("", gemsSKU, apple.Consumable, nil)) }), want: out},
		{name: "another app's", say: answersWith(func(w *world, id string) string {
			return w.signed(changed(w.transactions[id], "bundleId", "com.example.other"))
		}), want: out},
		{name: "another of our apps'", say: answersWith(func(w *world, id string) string {
			return w.signed(changed(w.transactions[id], "bundleId", "com.example.second"))
		}), want: out},
		{name: "the sandbox's", say: answersWith(func(w *world, id string) string {
			return w.signed(changed(w.transactions[id], "environment", "Sandbox"))
		}), want: out},
		{name: "forged under another root", say: answersWith(func(w *world, id string) string { return impostor(w, w.transactions[id]) }), want: out},
		{name: "with an unknown word", say: answersWith(func(w *world, id string) string { return w.signed(changed(w.transactions[id], "type", "Lease")) }), want: out},

		{name: "statuses broken", of: sub, say: answers(subscriptionPath, 500, ""), want: out},
		{name: "statuses not known", of: sub, say: answers(subscriptionPath, 404, `{"errorCode":4040005}`), want: out},
		{name: "statuses refused", of: sub, say: answers(subscriptionPath, 400, `{"errorCode":4000006}`), want: out},
		{name: "statuses unauthorized", of: sub, say: answers(subscriptionPath, 401, ""), want: out},
		{name: "statuses an empty object", of: sub, say: answers(subscriptionPath, 200, `{}`), want: out},
		{name: "statuses of another app", of: sub, say: answers(subscriptionPath, 200, `{"environment":"Production","bundleId":"com.example.other","data":[]}`), want: out},
		{name: "a status with a forged transaction", of: sub, say: entries(func(w *world, id string) []facts {
			return []facts{entry(id, impostor(w, w.transactions[id]), w.signed(w.renewals[id]))}
		}), want: out},
		{name: "a status with a forged renewal info", of: sub, say: entries(func(w *world, id string) []facts {
			return []facts{entry(id, w.proof(id), impostor(w, w.renewals[id]))}
		}), want: out},
		{name: "a status with a renewal info of another line", of: sub, say: entries(func(w *world, id string) []facts {
			return []facts{entry(id, w.proof(id), w.signed(changed(w.renewals[id], "originalTransactionId", "3")))}
		}), want: out},
		{name: "a status with a renewal info of the sandbox", of: sub, say: entries(func(w *world, id string) []facts {
			return []facts{entry(id, w.proof(id), w.signed(changed(w.renewals[id], "environment", "Sandbox")))}
		}), want: out},
		{name: "a status with a transaction of another line", of: sub, say: entries(func(w *world, id string) []facts {
			other := w.subscribe("", monthlySKU, month(2))
			return []facts{entry(id, w.proof(other), w.signed(w.renewals[id]))}
		}), want: out},
		{name: "a status with a transaction of the sandbox", of: sub, say: entries(func(w *world, id string) []facts {
			return []facts{entry(id, w.signed(changed(w.transactions[id], "environment", "Sandbox")), w.signed(w.renewals[id]))}
		}), want: out},
		{name: "a status with a transaction of an unknown word", of: sub, say: entries(func(w *world, id string) []facts {
			return []facts{entry(id, w.signed(changed(w.transactions[id], "type", "Lease")), w.signed(w.renewals[id]))}
		}), want: out},
		{name: "another line's status, forged", of: sub, say: entries(func(w *world, id string) []facts {
			return []facts{entry("3", impostor(w, w.transactions[id]), impostor(w, w.renewals[id]))}
		}), state: purchase.Paid, sales: 1},
	}
}

// Whatever the App Store answers, a signed transaction is paid for, taken back, or not to
// be found out about now; it is never called invalid for what is wrong with an answer.
func TestOutageIsNeverInvalidWhateverIsAnswered(t *testing.T) {
	twoApps := func(c *apple.Config) { c.BundleIDs = append(c.BundleIDs, "com.example.second") }
	for kind := range kinds {
		for _, c := range lookCases() {
			if c.of != "" && c.of != kind {
				continue
			}
			t.Run(string(kind)+", "+c.name, func(t *testing.T) {
				w := newWorld(t, true, twoApps)
				id := sellOne(w, kind)
				proof := purchase.Proof{Store: apple.Name, Evidence: w.proof(id)}
				w.set(signedAt.Add(time.Hour))
				c.say(w, id)
				news, err := w.store.Look(t.Context(), proof)
				claimed, claimErr := w.claim("ann", proof.Evidence)
				if c.want != nil {
					onlyKind(t, err, c.want)
					onlyKind(t, claimErr, c.want)
					showsNothing(t, err)
					if fault.Code(err) != "store_unavailable" {
						t.Errorf("got code %s, want store_unavailable", fault.Code(err))
					}
					if diff := cmp.Diff(purchase.News{}, news); diff != "" {
						t.Errorf("news beside an error (-want +got):\n%s", diff)
					}
					if o := w.order(id); o.ID != "" {
						t.Errorf("got order %+v in the book, want none", o)
					}
					return
				}
				if err != nil {
					t.Fatalf("got error %v, want none", err)
				}
				first := news.Sales[0]
				if len(news.Sales) != c.sales || first.Order != id || first.State != c.state || first.SKU != kinds[kind] {
					t.Errorf("got %d sales, the first %s, %s of %s; want %d, %s, %s of %s", len(news.Sales), first.Order, first.State, first.SKU, c.sales, id, c.state, kinds[kind])
				}
				if !first.AsOf.Equal(signedAt.Add(time.Hour)) {
					t.Errorf("got a word of %v, want that of now", first.AsOf)
				}
				if news.Unasked || news.Usage {
					t.Errorf("got unasked %t and usage %t, want neither", news.Unasked, news.Usage)
				}
				if c.state == purchase.Paid {
					if claimErr != nil || claimed.Order.State != purchase.OrderGranted || claimed.Order.ID != "apple_"+id {
						t.Errorf("claim: got %s %s, %v, want it granted", claimed.Order.ID, claimed.Order.State, claimErr)
					}
					return
				}
				onlyKind(t, claimErr, fault.Invalid)
			})
		}
	}
}

// What a look at a subscription says of how it goes on comes from the statuses.
func TestLookSaysHowASubscriptionStands(t *testing.T) {
	w := newWorld(t, true)
	id := w.subscribe("", monthlySKU, month(1))
	proof := purchase.Proof{Store: apple.Name, Evidence: w.proof(id)}
	w.set(month(1).Add(time.Hour))
	second := w.subscribe(id, monthlySKU, month(2))
	w.change(id, apple.StatusGracePeriod, facts{
		"autoRenewStatus": 1, "autoRenewProductId": yearlySKU, "isInBillingRetryPeriod": true, "expirationIntent": 2,
		"gracePeriodExpiresDate": milli(month(2)), "priceIncreaseStatus": 0,
	})
	news, err := w.store.Look(t.Context(), proof)
	if err != nil {
		t.Fatal(err)
	}
	want := purchase.Standing{
		AsOf: w.Now(), WillRenew: true, Retrying: true, GraceUntil: month(2), Next: yearlySKU, Reason: purchase.ByBilling, PriceIncrease: "pending",
	}
	if diff := cmp.Diff(want, news.Standing); diff != "" {
		t.Errorf("standing (-want +got):\n%s", diff)
	}
	if len(news.Sales) != 2 || news.Sales[0].Order != id || news.Sales[1].Order != second {
		t.Errorf("got sales %+v, want %s and then %s", news.Sales, id, second)
	}
}

func TestWithoutAnAPISignedDataIsTheAnswer(t *testing.T) {
	for kind := range kinds {
		w := newWorld(t, false)
		id := sellOne(w, kind)
		signed := w.proof(id)
		w.set(signedAt.Add(time.Hour))
		w.revoke(id, nil) // which nobody told us of
		news, err := w.store.Look(t.Context(), purchase.Proof{Store: apple.Name, Evidence: signed})
		if err != nil || len(news.Sales) != 1 || news.Sales[0].State != purchase.Paid || !news.Sales[0].AsOf.Equal(signedAt) || news.Unasked {
			t.Errorf("%s: got %+v, %v, want it paid as of %v", kind, news, err, signedAt)
		}
		if _, able, err := w.store.Follow(t.Context(), purchase.Line{Line: id, Order: id}); able || err != nil {
			t.Errorf("%s: follow: got able %t, %v, want false", kind, able, err)
		}
	}
}

// What was granted is answered from the book while the App Store is out of reach, and an
// old word costs no question.
func TestKnownPurchaseIsAnsweredDuringAnOutage(t *testing.T) {
	for kind := range kinds {
		w := newWorld(t, true)
		id := sellOne(w, kind)
		older := w.proof(id)
		w.set(signedAt.Add(time.Hour))
		w.granted("ann", id)
		w.set(signedAt.Add(2 * time.Hour))
		newer := w.proof(id)
		w.requests()

		answers("/", 503, "")(w, id)
		for name, c := range map[string]struct {
			proof string
			asked bool
		}{"older": {older, false}, "newer": {newer, true}} {
			claimed, err := w.claim("ann", c.proof)
			if err != nil || claimed.Order.State != purchase.OrderGranted {
				t.Errorf("%s, %s proof: got %s, %v, want it granted", kind, name, claimed.Order.State, err)
			}
			if got := len(w.requests()) > 0; got != c.asked {
				t.Errorf("%s, %s proof: the API was asked: got %t, want %t", kind, name, got, c.asked)
			}
			_, err = w.claim("ben", c.proof)
			onlyKind(t, err, fault.Conflict)
			w.requests()
		}
		w.set(signedAt.Add(3 * time.Hour))
		w.revoke(id, nil)
		w.instead = nil
		_, err := w.claim("ann", newer)
		onlyKind(t, err, fault.Invalid)
		if got := w.order(id).State; got != purchase.OrderRefunded {
			t.Errorf("%s: got order %s once it was asked, want refunded", kind, got)
		}
	}
}

func TestForgedProofIsAskedAboutNowhere(t *testing.T) {
	w := newWorld(t, true)
	id := w.sell("", gemsSKU, apple.Consumable, nil)
	for _, p := range []purchase.Proof{{Evidence: w.forged(w.transactions[id])}, {Evidence: "x"}, {Evidence: "x", Receipt: true}} {
		if _, err := w.store.Look(t.Context(), p); err == nil || fault.Retryable(err) {
			t.Errorf("got error %v, want a refusal", err)
		}
	}
	if asked := w.requests(); len(asked) != 0 {
		t.Errorf("got requests %q, want none", asked)
	}
}

func TestSandboxIsAskedAboutItsOwnPurchases(t *testing.T) {
	w := newWorld(t, true)
	id := w.sell("", gemsSKU, apple.Consumable, facts{"environment": "Sandbox"})
	w.granted("ann", id)
	for _, request := range w.requests() {
		if !strings.HasPrefix(request, "GET sandbox com.example.app ") {
			t.Errorf("got request %q, want the sandbox asked about the app", request)
		}
	}
	if o := w.order(id); !o.Test || o.State != purchase.OrderGranted {
		t.Errorf("got %+v, want it granted and marked as a test", o)
	}
}

// A proof of a later period is looked up by its own id.
func TestRefundOfARenewalIsSeenByTheProofOfIt(t *testing.T) {
	w := newWorld(t, true)
	first := w.subscribe("", monthlySKU, month(1))
	w.set(month(1))
	second := w.subscribe(first, monthlySKU, month(2))
	proof := w.proof(second)
	w.set(month(1).Add(day))
	w.revoke(second, nil)
	third := w.subscribe(first, monthlySKU, month(2).Add(day))
	news, err := w.store.Look(t.Context(), purchase.Proof{Store: apple.Name, Evidence: proof})
	if err != nil || len(news.Sales) != 2 {
		t.Fatalf("got %+v, %v, want two sales", news, err)
	}
	if s := news.Sales[0]; s.Order != second || s.State != purchase.Refunded {
		t.Errorf("got %s %s first, want %s refunded", s.Order, s.State, second)
	}
	if s := news.Sales[1]; s.Order != third || s.State != purchase.Paid {
		t.Errorf("got %s %s second, want %s paid", s.Order, s.State, third)
	}
}

// What is said beside a renewal info counts where the info does not say it.
func TestStatusOfASubscriptionCounts(t *testing.T) {
	for status, want := range map[int]bool{apple.StatusActive: false, apple.StatusExpired: false, apple.StatusBillingRetry: true, apple.StatusGracePeriod: true} {
		w := newWorld(t, true)
		id := w.subscribe("", monthlySKU, month(1))
		w.change(id, status, nil)
		news, err := w.store.Look(t.Context(), purchase.Proof{Store: apple.Name, Evidence: w.proof(id)})
		if err != nil || news.Standing.Retrying != want || news.Standing.WillRenew != (status != apple.StatusExpired) {
			t.Errorf("status %d: got %+v, %v, want retrying %t", status, news.Standing, err, want)
		}
	}
}

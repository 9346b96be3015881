package appsintoss_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/infra/sim/appsintoss"
)

func (o *office) grant(id string, granted bool) appsintoss.Outcome {
	o.t.Helper()
	got, err := o.Grant(appsintoss.Grant{OrderID: id, Granted: &granted})
	if err != nil {
		o.t.Fatalf("grant: got %v, want an outcome", err)
	}
	return got
}

func (o *office) pendingIDs(userKey string) []string {
	ids := []string{}
	for _, w := range o.Pending(appsintoss.User{UserKey: userKey}).Orders {
		ids = append(ids, w.OrderID)
	}
	return ids
}

func (o *office) past(userKey string) map[string]string {
	o.t.Helper()
	page, err := o.History(appsintoss.Past{UserKey: userKey})
	if err != nil {
		o.t.Fatalf("history: got %v, want a page", err)
	}
	statuses := map[string]string{}
	for _, p := range page.Orders {
		statuses[p.OrderID] = p.Status
	}
	return statuses
}

func TestGrantFinishesAnOrderAsTheDocumentsContradictThemselves(t *testing.T) {
	for _, c := range []struct {
		name, afterGrant          string
		grantCompletes            bool
		granted, completed        string // status afterwards
		pendingAfterTrue, counted int
	}{
		{"the newer page, the official sample", appsintoss.Purchased, true, appsintoss.Purchased, appsintoss.Purchased, 0, 0},
		{"the newer page, the seed", appsintoss.Purchased, false, appsintoss.PaymentCompleted, appsintoss.Purchased, 1, 1},
		{"the older page, the official sample", appsintoss.PaymentCompleted, true, appsintoss.PaymentCompleted, appsintoss.PaymentCompleted, 0, 0},
		{"the older page, the seed", appsintoss.PaymentCompleted, false, appsintoss.PaymentCompleted, appsintoss.PaymentCompleted, 1, 1},
	} {
		a := newAgency(t, appsintoss.Options{})
		a.must(a.Set(appsintoss.Settings{AfterGrant: &c.afterGrant, GrantCompletes: &c.grantCompletes}))
		id := a.buy(appsintoss.Purchase{SKU: "gems-100", UserKey: "user-1"}).OrderID
		if got := a.look(id).Success["status"]; got != appsintoss.PaymentCompleted {
			t.Errorf("%s: in the callback: got %v, want PAYMENT_COMPLETED", c.name, got)
		}
		if got := len(a.past("user-1")); got != 0 {
			t.Errorf("%s: history in the callback: got %d orders, want none", c.name, got)
		}
		a.clock.Advance(appsintoss.GrantLimit)
		if got := a.grant(id, true); got.Event != "success" || got.OrderID != id {
			t.Errorf("%s: got %+v, want success", c.name, got)
		}
		if got := a.look(id).Success["status"]; got != c.granted {
			t.Errorf("%s: granted: got %v, want %s", c.name, got, c.granted)
		}
		if got := len(a.pendingIDs("user-1")); got != c.pendingAfterTrue {
			t.Errorf("%s: pending: got %d, want %d", c.name, got, c.pendingAfterTrue)
		}
		for range 2 {
			if !a.Complete(appsintoss.Completion{OrderID: id, UserKey: "user-1"}).Completed {
				t.Errorf("%s: complete: got false, want true", c.name)
			}
		}
		if got := a.look(id).Success["status"]; got != c.completed {
			t.Errorf("%s: completed: got %v, want %s", c.name, got, c.completed)
		}
		if diff := cmp.Diff(map[string]string{id: "COMPLETED"}, a.past("user-1")); diff != "" {
			t.Errorf("%s: history differs (-want +got):\n%s", c.name, diff)
		}
		if got := a.effects(id); got["purchased"] != 1 || got["granted"] != 1 || got["completed"] != c.counted {
			t.Errorf("%s: got effects %v, want one purchase, one grant and %d completions", c.name, got, c.counted)
		}
	}
}

func TestFalseLateOrUnheardLeavesTheOrderPending(t *testing.T) {
	for _, c := range []struct {
		name    string
		after   time.Duration
		unheard bool
		granted bool
		effect  string
	}{
		{"false", 0, false, false, "notGranted"},
		{"late", appsintoss.GrantLimit + time.Second, false, true, "notGranted"},
		{"unheard", 0, true, true, "granted"},
	} {
		a := newAgency(t, appsintoss.Options{})
		id := a.buy(appsintoss.Purchase{SKU: "gems-100", UserKey: "user-1", Unheard: c.unheard}).OrderID
		a.clock.Advance(c.after)
		if got := a.grant(id, c.granted); got.ErrorCode != appsintoss.NotGranted || got.Event != "" {
			t.Errorf("%s: got %+v, want %s", c.name, got, appsintoss.NotGranted)
		}
		if _, err := a.Grant(appsintoss.Grant{OrderID: id}); err == nil {
			t.Errorf("%s: a second answer: got it taken, want it refused", c.name)
		}
		if got := a.effects(id)[c.effect]; got != 1 {
			t.Errorf("%s: got %d effects of kind %s, want 1", c.name, got, c.effect)
		}
		if diff := cmp.Diff([]string{id}, a.pendingIDs("user-1")); diff != "" {
			t.Errorf("%s: pending differs (-want +got):\n%s", c.name, diff)
		}
		a.days(400)
		if got := a.look(id).Success["status"]; got != appsintoss.PaymentCompleted {
			t.Errorf("%s: a year later: got %v, want PAYMENT_COMPLETED", c.name, got)
		}
		if !a.Complete(appsintoss.Completion{OrderID: id}).Completed || len(a.pendingIDs("user-1")) != 0 {
			t.Errorf("%s: got it pending still, want it completed", c.name)
		}
	}
}

func TestPendingOrderIsAsTheSDKShowsIt(t *testing.T) {
	a := newAgency(t, appsintoss.Options{})
	id := a.buy(appsintoss.Purchase{SKU: "gems-100", UserKey: "user-1"}).OrderID
	want := appsintoss.WaitingOrders{Orders: []appsintoss.Waiting{{OrderID: id, SKU: "gems-100", PaidAt: "2026-03-01T09:00:00"}}}
	if diff := cmp.Diff(want, a.Pending(appsintoss.User{UserKey: "user-1"})); diff != "" {
		t.Errorf("answer differs (-want +got):\n%s", diff)
	}
	for _, other := range []appsintoss.User{{UserKey: "user-2"}, {}, {UserKey: "user-1", App: "another-app"}} {
		if got := a.Pending(other).Orders; len(got) != 0 {
			t.Errorf("%+v: got %v, want none", other, got)
		}
	}
}

func TestOnlyAPaidOrderOfTheUserIsCompleted(t *testing.T) {
	a := newAgency(t, appsintoss.Options{})
	paid := a.buy(appsintoss.Purchase{SKU: "gems-100", UserKey: "user-1"}).OrderID
	refunded := a.buy(appsintoss.Purchase{SKU: "gems-100", UserKey: "user-1"}).OrderID
	a.must(a.Refund(appsintoss.Refund{OrderID: refunded}))
	for _, c := range []struct{ name, id, user string }{
		{"another user's", paid, "user-2"},
		{"refunded", refunded, ""},
		{"nobody's", "nobody-ordered-this", ""},
		{"in progress", a.order(appsintoss.NewOrder{SKU: "gems-100", Status: appsintoss.InProgress}), ""},
		{"failed", a.order(appsintoss.NewOrder{SKU: "gems-100", Status: appsintoss.Failed}), ""},
	} {
		if a.Complete(appsintoss.Completion{OrderID: c.id, UserKey: c.user}).Completed {
			t.Errorf("%s: got true, want false", c.name)
		}
	}
	if diff := cmp.Diff(map[string]string{refunded: appsintoss.Refunded}, a.past("user-1")); diff != "" {
		t.Errorf("history differs (-want +got):\n%s", diff)
	}
	if got := a.grant(refunded, true); got.ErrorCode != appsintoss.NotGranted {
		t.Errorf("granting what was refunded: got %+v, want %s", got, appsintoss.NotGranted)
	}
}

func TestAPIMayLagBehindThePayment(t *testing.T) {
	a := newAgency(t, appsintoss.Options{})
	id := a.buy(appsintoss.Purchase{SKU: "gems-100", UserKey: "user-1", Looks: 2}).OrderID
	if got := a.pendingIDs("user-1"); len(got) != 1 {
		t.Errorf("pending: got %v, want it", got)
	}
	if got := a.look(id).Success["status"]; got != appsintoss.InProgress {
		t.Errorf("look 1: got %v, want ORDER_IN_PROGRESS", got)
	}
	a.grant(id, true)
	for i, want := range []string{appsintoss.InProgress, appsintoss.Purchased} {
		if got := a.look(id).Success["status"]; got != want {
			t.Errorf("look %d: got %v, want %s", i+2, got, want)
		}
	}
	if got := a.effects(id)["purchased"]; got != 1 {
		t.Errorf("got %d purchases, want 1", got)
	}
}

func TestWhatIsHadOnceIsNotSoldTwice(t *testing.T) {
	a := newAgency(t, appsintoss.Options{})
	code := func(p appsintoss.Purchase) string {
		t.Helper()
		got, err := a.Purchase(p)
		if err != nil {
			t.Fatalf("%+v: got %v, want an answer", p, err)
		}
		return got.ErrorCode
	}
	bought := a.buy(appsintoss.Purchase{SKU: "ad-free", UserKey: "user-1"})
	month := a.buy(appsintoss.Purchase{SKU: premium, UserKey: "user-1", Renews: ptr(false)})
	for _, c := range []struct {
		name string
		p    appsintoss.Purchase
		want string
	}{
		{"non-consumable again", appsintoss.Purchase{SKU: "ad-free", UserKey: "user-1"}, appsintoss.AlreadyOwned},
		{"running subscription", appsintoss.Purchase{SKU: premium, UserKey: "user-1"}, appsintoss.AlreadyOwned},
		{"another user", appsintoss.Purchase{SKU: "ad-free", UserKey: "user-2"}, ""},
		{"nobody knows who", appsintoss.Purchase{SKU: "ad-free"}, ""},
		{"another mini-app", appsintoss.Purchase{SKU: "ad-free", UserKey: "user-1", App: "another-app"}, ""},
		{"unknown product", appsintoss.Purchase{SKU: "nothing"}, appsintoss.InvalidProduct},
		{"told what it is", appsintoss.Purchase{SKU: "nothing", Type: appsintoss.Consumable}, ""},
		{"the wrong function", appsintoss.Purchase{SKU: premium, Subscription: ptr(false)}, appsintoss.InvalidProduct},
	} {
		if got := code(c.p); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
	a.must(a.Refund(appsintoss.Refund{OrderID: bought.OrderID}))
	a.days(31)
	if got := a.info(month.OrderID).Status; got != "EXPIRED" {
		t.Errorf("month: got %s, want EXPIRED", got)
	}
	for _, sku := range []string{"ad-free", premium} {
		if got := code(appsintoss.Purchase{SKU: sku, UserKey: "user-1"}); got != "" {
			t.Errorf("%s, refunded or ended: got %q, want it sold", sku, got)
		}
	}
}

func TestFailedPurchaseLeavesWhatItsErrorSays(t *testing.T) {
	a := newAgency(t, appsintoss.Options{})
	for code, status := range map[string]string{"USER_CANCELED": "", appsintoss.PaymentPending: appsintoss.InProgress, "TOSS_SERVER_VERIFICATION_FAILED": appsintoss.Failed} {
		a.must(a.FailPurchase(appsintoss.FailedPurchase{ErrorCode: code, UserKey: "user-1"}))
		if other, err := a.Purchase(appsintoss.Purchase{SKU: "gems-100", UserKey: "user-2"}); err != nil || other.ErrorCode != "" {
			t.Errorf("%s: another user: got %q, %v; want it bought", code, other.ErrorCode, err)
		}
		got, err := a.Purchase(appsintoss.Purchase{SKU: "gems-100", UserKey: "user-1"})
		if err != nil || got.ErrorCode != code || (got.OrderID == "") != (status == "") {
			t.Errorf("%s: got %+v, %v; want the error", code, got, err)
		}
		if status != "" && a.look(got.OrderID).Success["status"] != status {
			t.Errorf("%s: got another status, want %s", code, status)
		}
		if code == appsintoss.PaymentPending {
			a.must(a.SetStatus(appsintoss.StatusChange{OrderID: got.OrderID, Status: appsintoss.PaymentCompleted}))
			if diff := cmp.Diff([]string{got.OrderID}, a.pendingIDs("user-1")); diff != "" {
				t.Errorf("%s: paid later: pending differs (-want +got):\n%s", code, diff)
			}
		}
	}
	if a.FailPurchase(appsintoss.FailedPurchase{ErrorCode: "OOPS"}) == nil {
		t.Error("OOPS: got nil, want it refused")
	}
}

func TestMoneyInEffectsIsWhatTheCatalogueSays(t *testing.T) {
	a := newAgency(t, appsintoss.Options{})
	a.must(a.Sell(appsintoss.Product{SKU: "pass", Cycle: appsintoss.Weekly, Price: 900}))
	id := a.buy(appsintoss.Purchase{SKU: "pass"}).OrderID
	a.days(7)
	a.must(a.Revoke(appsintoss.Revocation{OrderID: id}))
	got := map[string]int64{}
	for _, e := range a.Effects() {
		if e.Amount != 0 && e.Currency != "KRW" {
			t.Errorf("%s: got %s, want KRW", e.Kind, e.Currency)
		}
		got[e.Kind] = e.Amount
	}
	if diff := cmp.Diff(map[string]int64{"purchased": 900, "renewed": 900, "revoked": 0, "refunded": 900}, got); diff != "" {
		t.Errorf("amounts differ (-want +got):\n%s", diff)
	}
	list := a.Items().Products
	if last := list[len(list)-1]; last.SKU != "pass" || last.RenewalCycle != appsintoss.Weekly || last.DisplayAmount != "900원" {
		t.Errorf("products: got %+v, want the new one last", last)
	}
	for _, bad := range []appsintoss.Product{{}, {SKU: "x", Type: "THING"}, {SKU: "x", Cycle: "DAILY"}, {SKU: "x", Type: appsintoss.Consumable, Cycle: appsintoss.Weekly}, {SKU: "x", Price: -1}} {
		if a.Sell(bad) == nil {
			t.Errorf("%+v: got it for sale, want it refused", bad)
		}
	}
}

func TestControlsThatMakeNoSenseAreRefused(t *testing.T) {
	a := newAgency(t, appsintoss.Options{})
	gems := a.buy(appsintoss.Purchase{SKU: "gems-100"}).OrderID
	month := a.buy(appsintoss.Purchase{SKU: premium}).OrderID
	odd := "odd"
	_, noSKU := a.Purchase(appsintoss.Purchase{})
	_, looks := a.Purchase(appsintoss.Purchase{SKU: "gems-100", Looks: -1})
	_, grace := a.Purchase(appsintoss.Purchase{SKU: premium, GraceDays: ptr(-1)})
	_, again := a.Purchase(appsintoss.Purchase{SKU: "gems-100", OrderID: gems})
	_, key := a.History(appsintoss.Past{Key: "!"})
	_, nobody := a.Grant(appsintoss.Grant{OrderID: "nobody-ordered-this"})
	for name, err := range map[string]error{
		"no sku": noSKU, "looks": looks, "grace": grace, "orderId twice": again, "key": key, "grant of nothing": nobody,
		"renewal of gems":         a.Renew(appsintoss.Held{OrderID: gems}),
		"renewal of nothing":      a.Renew(appsintoss.Held{OrderID: "nobody-ordered-this"}),
		"no pause to resume from": a.Resume(appsintoss.Held{OrderID: month}),
		"days":                    a.Extend(appsintoss.Days{OrderID: month, Days: -1}),
		"many days":               a.Pause(appsintoss.Days{OrderID: month, Days: 366}),
		"afterGrant":              a.Set(appsintoss.Settings{AfterGrant: &odd}),
		"userKeyMismatch":         a.Set(appsintoss.Settings{UserKeyMismatch: &odd}),
		"renewalOrder":            a.Set(appsintoss.Settings{RenewalOrder: &odd}),
		"scheme":                  a.Set(appsintoss.Settings{Scheme: &odd}),
		"verificationScheme":      a.Set(appsintoss.Settings{VerificationScheme: &odd}),
		"webhookTimes":            a.Set(appsintoss.Settings{WebhookTimes: &odd}),
		"nullExpiry":              a.Set(appsintoss.Settings{NullExpiry: &odd}),
		"graceExpiry":             a.Set(appsintoss.Settings{GraceExpiry: &odd}),
		"infoLag":                 a.Set(appsintoss.Settings{InfoLag: ptr(minutes(-1))}),
	} {
		if err == nil {
			t.Errorf("%s: got it done, want it refused", name)
		}
	}
}

func TestAnotherUsersKeyIsNotFoundOrFails(t *testing.T) {
	o := newOffice(t, appsintoss.Options{})
	id := o.order(appsintoss.NewOrder{SKU: "gems-100", UserKey: "user-1"})
	fails := "FAIL"
	o.must(o.Set(appsintoss.Settings{UserKeyMismatch: &fails}))
	if got := o.look(id, "x-toss-user-key", "user-2"); got.status != http.StatusOK || got.ResultType != "FAIL" || got.Success != nil {
		t.Errorf("another user: got %+v, want FAIL inside of 200", got)
	}
	if got := o.look(id, "x-toss-user-key", "user-1"); got.ResultType != "SUCCESS" {
		t.Errorf("its user: got %+v, want SUCCESS", got)
	}
}

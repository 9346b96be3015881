package apple_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"grantline/shared/apple"
	"grantline/shared/entitlement"
	"grantline/shared/purchase"
	"grantline/shared/table"
)

// journey is what Apple told of one subscription, oldest first, and what its app can prove
// of the second period: subscribed, renewed, in grace, recovered, the first period refunded, the last
// refunded, and that reversed. It leaves the clock after it.
func journey(w *world, claimed bool) (ids, notices []string, proof string) {
	tell := func(name, id string) { notices = append(notices, w.notify(name, id, nil)) }
	first := w.subscribe("", monthlySKU, month(1))
	tell("SUBSCRIBED.INITIAL_BUY", first)
	if claimed {
		w.granted("ann", first)
	}
	w.set(month(1))
	second := w.subscribe(first, monthlySKU, month(2))
	w.set(month(1).Add(time.Minute))
	tell("DID_RENEW", second)
	proof = w.proof(second)
	w.set(month(2).Add(time.Minute))
	w.change(first, apple.StatusGracePeriod, facts{
		"isInBillingRetryPeriod": true, "expirationIntent": 2, "gracePeriodExpiresDate": milli(month(2).Add(16 * day)),
	})
	tell("DID_FAIL_TO_RENEW.GRACE_PERIOD", second)
	w.set(month(2).Add(5 * day))
	third := w.subscribe(first, monthlySKU, month(3).Add(5*day))
	tell("DID_RENEW.BILLING_RECOVERY", third)
	w.set(month(2).Add(6 * day))
	w.revoke(first, nil)
	tell("REFUND", first)
	w.set(month(2).Add(7 * day))
	w.revoke(third, nil)
	w.change(third, apple.StatusRevoked, facts{"autoRenewStatus": 0})
	tell("REFUND", third)
	w.set(month(2).Add(8 * day))
	w.unrevoke(third)
	w.change(third, apple.StatusActive, nil)
	tell("REFUND_REVERSED", third)
	w.set(month(2).Add(9 * day))
	return []string{first, second, third}, notices, proof
}

// ending is all that a journey leaves.
type ending struct {
	Active    bool
	State     entitlement.State
	Until     time.Time
	WillRenew bool
	Line      purchase.Record
	Orders    []purchase.Order
}

func endOf(w *world, ids []string) ending {
	e := w.entitled("ann", "premium")
	end := ending{Active: e.Active, State: e.State, Until: e.ExpiresAt, WillRenew: e.WillRenew, Line: w.record(ids[0])}
	for _, id := range ids {
		end.Orders = append(end.Orders, w.order(id))
	}
	return end
}

// whenTold are the fields that follow the moment at which a word of the App Store reached
// us: how new it is, since with an API the answer is newer than the notice, and when we
// would look again.
var whenTold = []cmp.Option{
	cmpopts.IgnoreFields(purchase.Order{}, "AsOf", "GrantedAt", "RefundedAt"), cmpopts.IgnoreFields(purchase.Term{}, "AsOf"),
	cmpopts.IgnoreFields(purchase.Standing{}, "AsOf"), cmpopts.IgnoreFields(purchase.Record{}, "CheckAt"),
}

// Shuffled a hundred ways and doubled, the same notices leave the same end, from signed
// data alone to the letter, and with an API that knows the final truth.
func TestNoticesInAnyOrderLeaveTheSameEnd(t *testing.T) {
	for _, able := range []bool{false, true} {
		var want *ending
		for seed := range uint64(100) {
			w := newWorld(t, able)
			ids, notices, _ := journey(w, true)
			order := append(slices.Clone(notices), notices...)
			if seed > 0 { // the first comes as it was sent
				random := rand.New(rand.NewPCG(seed, 1))
				random.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
			}
			for _, n := range order {
				if _, err := w.LookAgain(t.Context(), table.Default, apple.Name, n); err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
			}
			got := endOf(w, ids)
			if want == nil {
				want = &got
				if !got.Active || got.State != entitlement.Active || !got.Until.Equal(month(3).Add(5*day)) || got.WillRenew {
					t.Errorf("with an API %t: got %+v, want it active until %v, without renewal", able, got, month(3).Add(5*day))
				}
				states := []purchase.OrderState{got.Orders[0].State, got.Orders[1].State, got.Orders[2].State}
				if diff := cmp.Diff([]purchase.OrderState{purchase.OrderRefunded, purchase.OrderGranted, purchase.OrderGranted}, states); diff != "" {
					t.Errorf("with an API %t: orders (-want +got):\n%s", able, diff)
				}
			}
			var options []cmp.Option
			if able {
				options = whenTold // which transaction was asked about last
			}
			if diff := cmp.Diff(*want, got, options...); diff != "" {
				t.Errorf("seed %d, with an API %t (-in order +shuffled):\n%s", seed, able, diff)
			}
			if told := w.told("ann", 0); len(told) == 0 || told[0] != "purchase.granted" {
				t.Errorf("seed %d: got events %q, want the grant first", seed, told)
			}
		}
	}
}

// The app's claim may come anywhere among them: what is given is the same.
func TestClaimAnywhereAmongTheNoticesGivesTheSame(t *testing.T) {
	for _, able := range []bool{false, true} {
		for seed := range uint64(25) {
			w := newWorld(t, able)
			ids, notices, proof := journey(w, false)
			order := append(slices.Clone(notices), proof)
			random := rand.New(rand.NewPCG(seed, 2))
			random.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
			for _, n := range order {
				var err error
				if n == proof {
					_, err = w.claim("ann", n)
				} else {
					_, err = w.LookAgain(t.Context(), table.Default, apple.Name, n)
				}
				if err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
			}
			got := endOf(w, ids)
			if !got.Active || got.State != entitlement.Active || !got.Until.Equal(month(3).Add(5*day)) || got.WillRenew {
				t.Errorf("seed %d, with an API %t: got %+v, want it active until %v, without renewal", seed, able, got, month(3).Add(5*day))
			}
			if o := got.Orders[0]; o.State != purchase.OrderRefunded {
				t.Errorf("seed %d, with an API %t: got the first order %s, want refunded", seed, able, o.State)
			}
			for i, id := range ids[1:] {
				if o := got.Orders[i+1]; o.State != purchase.OrderGranted || o.Customer != w.customer("ann").Ref {
					t.Errorf("seed %d, with an API %t: got order %s %s of %q, want it granted to ann", seed, able, id, o.State, o.Customer)
				}
			}
		}
	}
}

package journeys_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	simulated "grantline/infra/sim/apple"
	"grantline/infra/sim/stage"
)

// brief are the ways for a call of the App Store to go wrong, where one waits for another.
// Each that hangs takes 8 s, so those are left out where there is little time.
func brief() (all []fault) {
	for _, f := range faults() {
		if long() || f.how != "hang" {
			all = append(all, f)
		}
	}
	return all
}

// Each way for a call of the App Store's API to go wrong: at a claim, at a notice, at a
// review, in the history, and at what Apple asks of us. Nothing is granted twice, and
// within the day everything is as the App Store has it.
func TestWhateverHappensToACallOfTheAppStoreAllIsGrantedOnce(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	sim := s.Sim().Apple
	breaks := func(endpoint string, f fault, id string) {
		t.Helper()
		if err := sim.Fault(stage.Fault{Endpoint: endpoint, When: f.when, How: f.how, ID: id}); err != nil {
			t.Fatal(err)
		}
	}
	// Claims, side by side: of gems one call, of a subscription two.
	var claims, whos, ids []string
	var gems []bool
	for _, endpoint := range []string{simulated.Transaction, simulated.Statuses, "gems"} {
		for _, f := range faults() {
			p := simulated.Purchase{ProductID: "com.example.premium.monthly", Period: "P1W", Renews: new(true)}
			if endpoint == "gems" {
				p = simulated.Purchase{ProductID: "com.example.gems100"}
			}
			bought, err := sim.Buy(p)
			if err != nil {
				t.Fatal(err)
			}
			if endpoint == "gems" {
				breaks(simulated.Transaction, f, bought.TransactionID)
			} else {
				breaks(endpoint, f, bought.TransactionID)
			}
			who := fmt.Sprintf("customer-%d", len(whos))
			whos, ids, gems = append(whos, who), append(ids, bought.TransactionID), append(gems, endpoint == "gems")
			claims = append(claims, fmt.Sprintf(`
				POST /v1/purchases as %[1]s {"store":"apple","apple":{"signedTransaction":%[2]q}}
				expect 200 or 503
				eventually POST /v1/purchases as %[1]s {"store":"apple","apple":{"signedTransaction":%[2]q}}
				expect 200
				GET /v1/customers/%[1]s/events as %[1]s
				expect .events has 1`, who, bought.SignedTransaction))
		}
	}
	together(t, s, claims)
	tell(t, s, "POST /_sim/apple/calm {}\nclock 1h")

	// Notices of renewals, and Apple's question about the gems, which may be answered twice.
	calls := func() {
		for _, f := range brief() {
			breaks(simulated.Transaction, f, "")
			breaks(simulated.Statuses, f, "")
		}
	}
	calls()
	for i, id := range ids {
		if gems[i] {
			if err := sim.AskConsumption(simulated.Asking{TransactionID: id}); err != nil {
				t.Fatal(err)
			}
			breaks(simulated.Consumption, brief()[i%len(brief())], id)
		} else if _, err := sim.Renew(simulated.Held{TransactionID: id}); err != nil {
			t.Fatal(err)
		}
	}
	tell(t, s, "clock 2h\nPOST /_sim/apple/calm {}\nclock 1h")
	ends := func(events int, until string) string {
		var j script
		for i, who := range whos {
			j.say("GET /v1/customers/%s as %[1]s", who)
			if gems[i] {
				j.say("expect .wallet.gems.balance == 100")
				j.say("expect .wallet.gems.lots has 1")
				continue
			}
			j.say("expect .entitlements[id=premium].active == true")
			j.say("expect .entitlements[id=premium].expiresAt within 90m of %s", until)
			j.say("GET /v1/customers/%s/events as %[1]s", who)
			j.say("expect .events has %d", events)
		}
		return j.String()
	}
	tell(t, s, ends(2, "2040-01-15T00:00:00Z"))

	// A renewal that nobody hears of, and reviews that go wrong. A refund that nobody hears
	// of, and a history that cannot be read at first.
	tell(t, s, `POST /_sim/apple/webhook {"how":"drop","count":1000000}`)
	tell(t, s, "clock until 2040-01-14T23:30:00Z")
	calls()
	tell(t, s, "clock 12h")
	tell(t, s, ends(3, "2040-01-22T00:00:00Z"))
	tell(t, s, "POST /_sim/apple/calm {}\n"+`POST /_sim/apple/webhook {"how":"drop","count":1000000}`)
	for _, f := range brief() {
		breaks(simulated.Notifications, f, "")
	}
	refunded := 0
	for i, id := range ids {
		if gems[i] {
			refunded++
			if err := sim.Refund(simulated.Refund{TransactionID: id}); err != nil {
				t.Fatal(err)
			}
		}
	}
	tell(t, s, "clock 25h")
	var j script
	for i, who := range whos {
		if gems[i] {
			j.say("GET /v1/customers/%s as %[1]s", who)
			j.say("expect .wallet.gems.balance == 0")
			j.say("GET /v1/customers/%s/events as %[1]s", who)
			j.say("expect .events has 2")
		}
	}
	j.say("effects apple purchased == %d", len(ids))
	j.say("effects apple refunded == %d", refunded)
	j.say("queues are empty")
	tell(t, s, j.String())
	answered := map[string]bool{}
	for _, e := range sim.Effects() {
		answered[e.TransactionID] = answered[e.TransactionID] || e.Kind == "consumption"
	}
	for i, id := range ids {
		if gems[i] && !answered[id] {
			t.Errorf("the App Store was not answered what became of the gems of %s", whos[i])
		}
	}
}

// Functions are killed at random while purchases are claimed and told of at once: each is
// granted once, and none is lost.
func TestWhoeverKillsFunctionsPurchasesAreGrantedOnce(t *testing.T) {
	t.Parallel()
	purchases := setting(t, "KILL_PURCHASES", 60)
	pause := time.Duration(setting(t, "KILL_MILLISECONDS", 150)) * time.Millisecond
	seed := uint64(setting(t, "KILL_SEED", int(time.Now().UnixNano()%1_000_000)+1))
	const customers = 10
	s := start(t, nil)
	var known script
	var tokens []string
	for i := range customers {
		// Whoever has claimed once is known by their token, so that notices grant as well.
		first, err := s.Sim().Apple.Buy(simulated.Purchase{ProductID: "com.example.adfree"})
		if err != nil {
			t.Fatal(err)
		}
		known.say(`POST /v1/purchases as customer-%d {"store":"apple","apple":{"signedTransaction":%q}}`, i, first.SignedTransaction)
		known.say("expect 200")
		who := fmt.Sprintf("customer-%d", i)
		tokens = append(tokens, object(t, s, who, "/v1/customers/"+who)["storeIds"].(map[string]any)["appAccountToken"].(string))
	}
	// Each call takes its time, so that most deaths come in the middle of one.
	tell(t, s, known.String()+`
		clock 1m
		POST /_sim/apple/fault {"endpoint":"transaction","delay":"100ms","count":10000000}`)

	// There is an end to it: on a slow machine nothing would come to one otherwise.
	killing, cancel := context.WithTimeout(t.Context(), time.Duration(setting(t, "KILL_SECONDS", 15))*time.Second)
	defer cancel()
	stop := killer(killing, s, []string{"verify", "notices"}, seed, pause)
	var buyers sync.WaitGroup
	var all sync.Mutex
	var lost []string
	for i := range customers {
		who := fmt.Sprintf("customer-%d", i)
		token, err := s.Token(who)
		if err != nil {
			t.Fatal(err)
		}
		buyers.Go(func() {
			for range purchases / customers {
				bought, err := s.Sim().Apple.Buy(simulated.Purchase{ProductID: "com.example.gems100", AppAccountToken: tokens[i]})
				if err == nil && claims(t, s, token, bought.SignedTransaction) {
					continue
				}
				all.Lock()
				lost = append(lost, bought.TransactionID)
				all.Unlock()
			}
		})
	}
	buyers.Wait()
	killed := stop()
	if len(lost) > 0 {
		t.Errorf("claims of %v never succeeded", lost)
	}
	tell(t, s, "POST /_sim/apple/calm {}\nclock 2h")
	moved, err := s.Redrive(t.Context(), "NoticesQueue")
	if err != nil {
		t.Fatal(err)
	}
	var after script
	after.say("clock 1h")
	for i := range customers {
		after.say("GET /v1/customers/customer-%d as server", i)
		after.say("expect .wallet.gems.balance == %d", 100*(purchases/customers))
		after.say("expect .wallet.gems.lots has %d", purchases/customers)
		after.say("GET /v1/customers/customer-%d/events as server", i)
		after.say("expect .events[last].sequence == %d", purchases/customers+1)
	}
	after.say("queues are empty")
	tell(t, s, after.String())
	if killed == 0 {
		t.Error("nobody was killed")
	}
	t.Logf("seed %d: %d kills, %d purchases of %d customers, %d dead letters sent again", seed, killed, purchases, customers, moved)
}

// claims claims as an app does, again and again for as long as it is told to.
func claims(t *testing.T, s interface{ URL() string }, token, signed string) bool {
	end := time.Now().Add(5 * time.Minute)
	for time.Now().Before(end) {
		body := strings.NewReader(fmt.Sprintf(`{"store":"apple","apple":{"signedTransaction":%q}}`, signed))
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL()+"/v1/purchases", body)
		if err != nil {
			return false
		}
		request.Header.Set("Authorization", "Bearer "+token)
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			continue
		}
		_ = answer.Body.Close()
		if answer.StatusCode == http.StatusOK {
			return true
		}
		if answer.StatusCode < http.StatusInternalServerError {
			t.Errorf("a claim was answered %s, want 200 or to come again", answer.Status)
			return false
		}
		time.Sleep(50 * time.Millisecond)
	}
	return false
}

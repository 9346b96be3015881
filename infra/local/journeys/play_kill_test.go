package journeys_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"grantline/infra/local/stack"
	simulated "grantline/infra/sim/play"
	"grantline/infra/sim/stage"
)

// Functions are killed at random while purchases of Google Play are claimed and told of at
// once, most of them between what is written and what Google is told: each is granted once,
// and acknowledged or consumed well before its money would go back.
func TestWhoeverKillsConsumersOfGooglePlayAllIsGrantedAndAcknowledged(t *testing.T) {
	t.Parallel()
	purchases := setting(t, "KILL_PURCHASES", setting(t, "KILL_SUBSCRIPTIONS", 60)) // make kill-consumers says how many
	pause := time.Duration(setting(t, "KILL_MILLISECONDS", 150)) * time.Millisecond
	seed := uint64(setting(t, "KILL_SEED", int(time.Now().UnixNano()%1_000_000)+1))
	const customers = 10
	s := start(t, nil)
	sim := s.Sim().Play
	var known script
	accounts := make([]string, customers)
	for i := range customers {
		// Whoever has claimed once is known by their name, so that notices grant as well.
		first, err := sim.Buy(simulated.Purchase{ProductID: forever})
		if err != nil {
			t.Fatal(err)
		}
		known.say("%s", claimOf(fmt.Sprintf("customer-%d", i), first.PurchaseToken))
		known.say("expect 200")
	}
	tell(t, s, known.String()+"clock 1m")
	for i := range customers {
		accounts[i] = object(t, s, "", fmt.Sprintf("/v1/customers/customer-%d", i))["storeIds"].(map[string]any)["obfuscatedAccountId"].(string)
	}
	// Each call takes its time, so that most deaths come in the middle of one.
	for _, endpoint := range []string{simulated.Product, simulated.ConsumeProduct} {
		if err := sim.Fault(stage.Fault{Endpoint: endpoint, Delay: stage.Duration(100 * time.Millisecond), Count: 10_000_000}); err != nil {
			t.Fatal(err)
		}
	}

	// There is an end to it: on a slow machine nothing would come to one otherwise.
	killing, cancel := context.WithTimeout(t.Context(), time.Duration(setting(t, "KILL_SECONDS", 15))*time.Second)
	defer cancel()
	stop := killer(killing, s, []string{"verify", "notices", "sweep"}, seed, pause)
	var buyers sync.WaitGroup
	var all sync.Mutex
	var lost []string
	for i := range customers {
		token, err := s.Token(fmt.Sprintf("customer-%d", i))
		if err != nil {
			t.Fatal(err)
		}
		buyers.Go(func() {
			for range purchases / customers {
				bought, err := sim.Buy(simulated.Purchase{ProductID: gems, Account: accounts[i]})
				if err == nil && sends(t, s.URL(), token, bought.PurchaseToken) {
					continue
				}
				all.Lock()
				lost = append(lost, bought.OrderID)
				all.Unlock()
			}
		})
	}
	buyers.Wait()
	killed := stop()
	if len(lost) > 0 {
		t.Errorf("claims of %v never succeeded", lost)
	}
	tell(t, s, "POST /_sim/play/calm {}\nclock 2h")
	moved, err := s.Redrive(t.Context(), "NoticesQueue")
	if err != nil {
		t.Fatal(err)
	}
	var after script
	after.say("clock 4h") // and with that all was told, 66 hours before it would be too late
	for i := range customers {
		after.say("GET /v1/customers/customer-%d as server", i)
		after.say("expect .entitlements[id=ad_free].active == true")
		after.say("expect .wallet.gems.balance == %d", 100*(purchases/customers))
		after.say("expect .wallet.gems.lots has %d", purchases/customers)
		after.say("GET /v1/customers/customer-%d/events as server", i)
		after.say("expect .events[last].sequence == %d", purchases/customers+1)
	}
	after.say("effects play acknowledged == %d", customers)
	after.say("effects play consumed == %d", purchases/customers*customers)
	after.say("effects play consumed once for each order")
	after.say("clock 73h")
	after.say("effects play autoRefunded == 0")
	after.say("queues are empty")
	tell(t, s, after.String())
	if killed == 0 {
		t.Error("nobody was killed")
	}
	t.Logf("seed %d: %d kills, %d purchases of %d customers, %d dead letters sent again", seed, killed, purchases, customers, moved)
}

// sends claims as an app does, again and again for as long as it is told to.
func sends(t *testing.T, address, signIn, token string) bool {
	for end := time.Now().Add(5 * time.Minute); time.Now().Before(end); {
		body := strings.NewReader(fmt.Sprintf(`{"store":"play","play":{"purchaseToken":%q}}`, token))
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address+"/v1/purchases", body)
		if err != nil {
			return false
		}
		request.Header.Set("Authorization", "Bearer "+signIn)
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

// kill kills what runs a function, some time after something began to ask it, and gives how
// that ended. Whether it died in the middle decides nothing, but most do.
func kill(s *stack.Stack, function string, ended <-chan error) error {
	select {
	case err := <-ended:
		return err
	case <-time.After(300 * time.Millisecond):
	}
	for _, id := range s.Processes(function) {
		_ = syscall.Kill(id, syscall.SIGKILL) // it may have gone by itself
	}
	return <-ended
}

// A function dies with each call that it makes of Google for a purchase, before the call has
// its effect or after, and another takes its place: once for a claim, once for a notice.
func TestWhoeverDiesAtACallOfGooglePlayHasAnHeir(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	sim := s.Sim().Play
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	// Whoever is known by their name is granted things by a notice.
	first, err := sim.Buy(simulated.Purchase{ProductID: forever})
	check(err)
	tell(t, s, claimOf("minji", first.PurchaseToken)+"\nexpect 200\nclock 1m")
	account := object(t, s, "", "/v1/customers/minji")["storeIds"].(map[string]any)["obfuscatedAccountId"].(string)
	var all []spoiled
	for _, product := range []string{gems, twoDays} {
		fetch, finish, dying := simulated.Product, simulated.ConsumeProduct, []string{"verify"}
		if product == twoDays {
			fetch, finish, dying = simulated.Subscription, simulated.AcknowledgeSubscription, []string{"notices"}
		}
		if long() {
			dying = []string{"verify", "notices"}
		}
		for _, endpoint := range []string{fetch, finish} {
			for _, when := range whens {
				for _, function := range dying {
					name := fmt.Sprintf("%s at %s, %s its effect", function, endpoint, when)
					p := simulated.Purchase{ProductID: product}
					fate := stage.Fate{How: "drop"}
					if function == "notices" {
						fate, p.Account = stage.Fate{How: "delay", Delay: stage.Duration(time.Second)}, account
					}
					check(sim.ScriptWebhook(fate))
					bought, err := sim.Buy(p)
					check(err)
					check(sim.Fault(stage.Fault{Endpoint: endpoint, ID: bought.PurchaseToken, When: when, How: "hang"}))
					all = append(all, spoiled{who: "minji", product: product, by: wrong{name: name}, bought: bought})
					dies := func() error { return run(t, s, "clock 2s") }
					if function == "verify" {
						dies = func() error {
							return run(t, s, claimOf("minji", bought.PurchaseToken)+"\nexpect 200 or 500 or 502 or 503 or 504")
						}
					}
					ended := make(chan error, 1)
					go func() { ended <- dies() }()
					check(kill(s, function, ended))
				}
			}
		}
	}
	tell(t, s, "POST /_sim/play/calm {}\nclock 1h")
	var j script
	for _, p := range all {
		j.say("%s", claimOf("minji", p.bought.PurchaseToken))
		j.say("expect 200")
	}
	j.say("GET /v1/customers/minji as minji")
	j.say("expect .entitlements[id=premium].active == true")
	j.say("expect .wallet.gems.balance == %d", 100*len(all)/2)
	j.say("expect .wallet.gems.lots has %d", len(all)/2)
	j.say("GET /v1/customers/minji/events as minji")
	// And once that whoever holds several subscriptions to the same pays for it more than once.
	j.say("expect .events has %d", 1+len(all)+1)
	j.say("expect .events[type=entitlement.paid_twice].entitlement == \"premium\"")
	j.say("clock 3h")
	j.say("queues are empty")
	tell(t, s, j.String())
	acknowledgedOnce(t, sim, all)
}

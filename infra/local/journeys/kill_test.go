package journeys_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"grantline/infra/local/stack"
)

// setting is a whole number of the environment, so that the same test runs for some seconds
// with each change and for ten minutes with make kill-consumers.
func setting(t *testing.T, name string, usual int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return usual
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s is %q, want a number from 1", name, text)
	}
	return n
}

// killer kills processes of a function, as kill -9 does, one after another at random until
// stop is called, which returns how many. Only children of the stack are ever named.
func killer(ctx context.Context, s *stack.Stack, functions []string, seed uint64, pause time.Duration) (stop func() int) {
	ctx, cancel := context.WithCancel(ctx)
	killed := 0
	var group sync.WaitGroup
	group.Go(func() {
		dice := rand.New(rand.NewPCG(seed, seed))
		for {
			select {
			case <-ctx.Done():
				return
			case <-time.After(pause/4 + time.Duration(dice.Int64N(int64(3*pause/2)))):
			}
			function := functions[dice.IntN(len(functions))]
			if ids := s.Processes(function); len(ids) > 0 && syscall.Kill(ids[dice.IntN(len(ids))], syscall.SIGKILL) == nil {
				killed++
			}
		}
	})
	return func() int {
		cancel()
		group.Wait()
		return killed
	}
}

// Consumers are killed at random, in the middle of whatever they do, while many subscriptions
// fall due week after week: each period is paid once, and nothing is stuck afterwards.
func TestWhoeverKillsConsumersMoneyIsTakenOnce(t *testing.T) {
	t.Parallel()
	subscriptions := setting(t, "KILL_SUBSCRIPTIONS", 40)
	lasting := time.Duration(setting(t, "KILL_SECONDS", 12)) * time.Second
	pause := time.Duration(setting(t, "KILL_MILLISECONDS", 150)) * time.Millisecond
	seed := uint64(setting(t, "KILL_SEED", int(time.Now().UnixNano()%1_000_000)+1))
	s := start(t, nil)
	var j script
	for i := range subscriptions {
		j.card(fmt.Sprintf("customer-%d", i), "premium-weekly")
	}
	tell(t, s, j.String()+"clock 1h\n"+fmt.Sprintf("effects toss charged == %d", subscriptions))
	// Each call takes its time between the gateway's word to itself and its effect, so that
	// most deaths come in the middle of one.
	tell(t, s, `POST /_sim/toss/fault {"endpoint":"charge","delay":"300ms","count":10000000}`)

	stop := killer(t.Context(), s, []string{"charge"}, seed, pause)
	weeks := 0
	for end := time.Now().Add(lasting); time.Now().Before(end); weeks++ {
		tell(t, s, "clock 168h")
	}
	killed := stop()
	tell(t, s, "POST /_sim/toss/calm {}\nclock 48h")
	moved, err := s.Redrive(t.Context(), "TossChargeQueue")
	if err != nil {
		t.Fatal(err)
	}
	var after script
	after.say("clock 1h")
	for i := range subscriptions {
		after.say("GET /v1/subscriptions/sub-customer-%d as server", i)
		after.say(`expect .state == "active"`)
		after.say("expect .period == %d", weeks+1)
		after.say("expect .charges has %d", weeks+1)
		after.say(`expect .charges[last].state == "paid"`)
	}
	after.say("effects toss charged == %d", subscriptions*(weeks+1))
	after.say("effects toss charged once for each order")
	after.say("queues are empty")
	tell(t, s, after.String())
	if killed == 0 {
		t.Error("nobody was killed")
	}
	t.Logf("seed %d: %d kills in %v, %d charges in %d weeks, %d dead letters sent again", seed, killed, lasting, subscriptions*(weeks+1), weeks+1, moved)
}

// Command cmd serves the simulators by themselves, prints the environment that points a
// program at them, and runs until it is interrupted.
//
// GRANTLINE_SIM_PORT is the port, 4000 unless set; SIM_UNKIND the percentage of calls and
// webhooks that go wrong of themselves, 5 unless set; SIM_WEBHOOKS the origin that webhooks
// are sent to, none unless set.
package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"grantline/infra/sim"
	"grantline/shared/clock"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	port, err := number("GRANTLINE_SIM_PORT", "4000", 65535)
	if err != nil {
		return err
	}
	unkind, err := number("SIM_UNKIND", "5", 100)
	if err != nil {
		return err
	}
	server, err := sim.Start(ctx, sim.Options{
		Addr: "127.0.0.1:" + strconv.Itoa(port), Unkind: unkind, Now: clock.System().Now, Log: os.Stderr,
		Webhooks: os.Getenv("SIM_WEBHOOKS"),
	})
	if err != nil {
		return err
	}
	env := server.Env()
	for _, name := range slices.Sorted(maps.Keys(env)) {
		fmt.Printf("export %s='%s'\n", name, strings.TrimSpace(env[name]))
	}
	fmt.Printf("# Controls: curl %s/_sim/\n", server.URL())
	<-ctx.Done()
	return server.Close()
}

// number reads a whole number from 0 to most.
func number(name, otherwise string, most int) (int, error) {
	text := cmp.Or(os.Getenv(name), otherwise)
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > most {
		return 0, fmt.Errorf("%s is %q: a whole number from 0 to %d", name, text, most)
	}
	return n, nil
}

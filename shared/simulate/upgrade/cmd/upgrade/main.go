// Upgrade lives through seeds of a town in which code of another commit and of this one are at
// work at once: first as a release that rolls out, and in every other town back and forth, and
// then both all the time.
//
//	go run ./shared/simulate/upgrade/cmd/upgrade -from main~20
//	go run ./shared/simulate/upgrade/cmd/upgrade -from v1.2 -world telling -people 5 -years 0.25 -versions both -seeds 7
//
// It ends as cmd/simulate does, with 3 where a promise was broken. Whatever else it is given is
// for cmd/simulate.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"

	"grantline/shared/simulate/teeth"
	"grantline/shared/simulate/upgrade"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code, err := start(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 2
	}
	os.Exit(code)
}

// start gives the highest code with which the simulator ended.
func start(ctx context.Context, arguments []string) (ended int, err error) {
	flags := flag.NewFlagSet("upgrade", flag.ContinueOnError)
	from := flags.String("from", "", "the commit whose code is the older version; . for this code once more")
	versions := flags.String("versions", "", "rolling, both, or alone for the older one only; the first two one after the other if nothing is said")
	seeds := flags.String("seeds", "1-20", "as of cmd/simulate")
	world := flags.String("world", "charging", "as of cmd/simulate")
	people := flags.Int("people", 20, "as of cmd/simulate")
	years := flags.Float64("years", 1, "as of cmd/simulate")
	if err := flags.Parse(arguments); err != nil || *from == "" {
		return 0, cmp.Or(err, errors.New("upgrade: -from says which commit the older version is"))
	}
	root, err := teeth.Root(".")
	if err != nil {
		return 0, err
	}
	folder, err := os.MkdirTemp("", "grantline-upgrade-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	code, err := upgrade.Now(root)
	if *from != "." {
		code, err = upgrade.Commit(ctx, root, *from)
	}
	if err != nil {
		return 0, err
	}
	overlay, err := code.Overlay(root, folder, *from)
	if err != nil {
		return 0, err
	}
	binary := filepath.Join(folder, "simulate")
	if err := upgrade.Build(ctx, root, overlay, binary); err != nil {
		return 0, err
	}
	ways := []string{"rolling", "both"}
	if *versions != "" {
		ways = []string{*versions}
	}
	for _, way := range ways {
		with := append([]string{"-versions", way, "-seeds", *seeds, "-world", *world, "-people", fmt.Sprint(*people), "-years", fmt.Sprint(*years)}, flags.Args()...)
		simulate := exec.CommandContext(ctx, binary, with...) //nolint:gosec // what has just been built
		simulate.Dir, simulate.Stdout, simulate.Stderr = root, os.Stdout, os.Stderr
		fmt.Printf("%s and this code, %s:\n", *from, way)
		failed := new(exec.ExitError)
		if err := simulate.Run(); errors.As(err, &failed) {
			ended = max(ended, failed.ExitCode())
		} else if err != nil {
			return 0, err
		}
	}
	return ended, nil
}

// Teeth plants each fault that the simulation has to find, lets the simulation look for it,
// and prints what it found:
//
//	go run ./shared/simulate/teeth/cmd/teeth
//	go run ./shared/simulate/teeth/cmd/teeth -only 'refund' -hunt
//	go run ./shared/simulate/teeth/cmd/teeth -units
//
// It ends with code 1 where a fault was not found that should have been, or where one was
// that is said to be no fault at all.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"syscall"
	"time"

	"grantline/shared/simulate/teeth"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	missed, err := look(ctx, os.Args[1:], os.Stdout)
	switch {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	case missed > 0:
		os.Exit(1)
	}
}

// everywhere are the runs by which a fault is hunted that its own run does not find.
func everywhere(seeds string) []teeth.Run {
	var runs []teeth.Run
	for _, without := range []string{"", "sweep", "review,missed", "sweep,cursor,lease,missed,review"} {
		run := teeth.Run{Seeds: seeds}
		if without != "" {
			run.Without = strings.Split(without, ",")
		}
		runs = append(runs, run)
	}
	return runs
}

func look(ctx context.Context, arguments []string, to io.Writer) (missed int, err error) {
	flags := flag.NewFlagSet("teeth", flag.ContinueOnError)
	only := flags.String("only", "", "look for those faults alone whose names this expression matches")
	seeds := flags.String("seeds", "", "run these seeds instead of each fault's own, such as 1-1000")
	hunt := flags.Bool("hunt", false, "look for what its own run does not find by others")
	units := flags.Bool("units", false, "run the unit tests of the packages that the faults are in, instead of the simulation")
	list := flags.Bool("list", false, "say what there is to be found, and look for nothing")
	told := flags.Bool("tell", false, "print the end of what each run said")
	limit := flags.Duration("limit", 10*time.Minute, "let no run take longer")
	if err := flags.Parse(arguments); err != nil {
		return 0, err
	}
	chosen, err := regexp.Compile(*only)
	if err != nil {
		return 0, err
	}
	root, err := teeth.Root(".")
	if err != nil {
		return 0, err
	}
	folder, err := os.MkdirTemp("", "grantline-teeth-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	lab := teeth.Lab{Root: root, Folder: folder, Limit: *limit}
	faults, found := 0, 0
	for _, f := range teeth.All() {
		if !chosen.MatchString(f.Name) {
			continue
		}
		faults++
		if *list {
			fmt.Fprintf(to, "%-36s %s\n%-36s %s: %s\n", f.Name, f.Is, "", f.Run, cmp.Or(f.Breaks, "nothing. "+f.Equivalent))
			continue
		}
		if *seeds != "" {
			f.Run.Seeds = *seeds
		}
		var findings []teeth.Finding
		if *units {
			var finding teeth.Finding
			finding, err = lab.Units(ctx, f)
			findings = []teeth.Finding{finding}
		} else {
			runs := []teeth.Run{f.Run}
			if *hunt {
				runs = append(runs, everywhere(cmp.Or(*seeds, f.Run.Seeds))...)
			}
			findings, err = lab.Simulate(ctx, f, runs...)
		}
		if err != nil {
			return missed, err
		}
		last := findings[len(findings)-1]
		ok := last.Verdict == teeth.Found
		if ok {
			found++
		}
		if ok != (f.Equivalent == "") && !*units || last.Verdict == teeth.Unbuilt || *units && !ok {
			missed++
		}
		report(to, f, last, *told)
	}
	if !*list {
		fmt.Fprintf(to, "%d faults, %d found, %d not as they should be\n", faults, found, missed)
	}
	return missed, nil
}

func report(to io.Writer, f teeth.Fault, is teeth.Finding, told bool) {
	verdict := strings.ToUpper(string(is.Verdict))
	if is.Verdict == teeth.Found {
		verdict = "found"
	} else if is.Verdict == teeth.Survived && f.Equivalent != "" {
		verdict = "equivalent"
	}
	where := is.Run.String()
	if is.Run.Seeds == "" && is.Run.Set == "" {
		where = "unit tests"
	}
	if is.Seed != "" {
		where = "seed " + is.Seed + " of " + where
	}
	fmt.Fprintf(to, "%-36s %-12s %-44s %s\n", f.Name, verdict, where, is.Violation)
	if told || is.Verdict == teeth.Unbuilt || is.Verdict == teeth.Failed {
		fmt.Fprintf(to, "%s\n", is.Output)
	}
}

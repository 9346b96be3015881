// Teeth plants each fault that the simulation has to find, lets the simulation look for it,
// and prints what it found:
//
//	go run ./shared/simulate/teeth/cmd/teeth
//	go run ./shared/simulate/teeth/cmd/teeth -only refund -hunt
//	go run ./shared/simulate/teeth/cmd/teeth -layers -seeds 1-1000
//	go run ./shared/simulate/teeth/cmd/teeth -units -limit 2m
//
// It ends with code 1 where a fault was not found that should have been, where one was that is
// said to be no fault at all, or where something else is broken without a layer than is said.
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
	missed, err := start(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, err)
	}
	if err != nil || missed > 0 {
		os.Exit(1)
	}
}

// wish is what is asked for.
type wish struct {
	only                      *regexp.Regexp
	seeds                     string
	paths                     int
	hunt, units, list, layers bool
	told                      bool
	to                        io.Writer
	lab                       teeth.Lab
	bare                      map[string]teeth.Finding // of runs without any fault
}

func start(ctx context.Context, arguments []string, to io.Writer) (missed int, err error) {
	w := wish{to: to, bare: map[string]teeth.Finding{}}
	flags := flag.NewFlagSet("teeth", flag.ContinueOnError)
	only := flags.String("only", "", "those alone whose names this expression matches")
	flags.StringVar(&w.seeds, "seeds", "", "run these seeds instead of each fault's own, such as 1-1000")
	flags.IntVar(&w.paths, "paths", 0, "go so many paths of exhaustive sets that fit, instead of each fault's own run")
	flags.BoolVar(&w.hunt, "hunt", false, "look for what its own run does not find by others")
	flags.BoolVar(&w.units, "units", false, "run the unit tests of the packages that the faults are in, instead of the simulation")
	flags.BoolVar(&w.layers, "layers", false, "no faults: switch each redundant layer off")
	flags.BoolVar(&w.list, "list", false, "say what there is to be found, and look for nothing")
	flags.BoolVar(&w.told, "tell", false, "print the end of what each run said")
	flags.DurationVar(&w.lab.Limit, "limit", 10*time.Minute, "let no run take longer")
	if err := flags.Parse(arguments); err != nil {
		return 0, err
	}
	if w.only, err = regexp.Compile(*only); err != nil {
		return 0, err
	}
	if w.lab.Root, err = teeth.Root("."); err != nil {
		return 0, err
	}
	if w.lab.Folder, err = os.MkdirTemp("", "grantline-teeth-"); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(w.lab.Folder)) }()
	if w.layers {
		return w.switchOff(ctx)
	}
	return w.find(ctx)
}

// find looks for each fault, and returns how many are not as they should be.
func (w wish) find(ctx context.Context) (missed int, err error) {
	faults, found := 0, 0
	for _, f := range teeth.All() {
		if !w.only.MatchString(f.Name) {
			continue
		}
		faults++
		if w.list {
			fmt.Fprintf(w.to, "%-36s %s\n%-36s %s: %s\n", f.Name, f.Is, "", f.Run, cmp.Or(f.Breaks, "nothing. "+f.Equivalent))
			continue
		}
		switch {
		case f.Run.Test != "":
		case w.paths > 0:
			f.Run = f.Sets(w.paths)
		case w.seeds != "" && f.Run.Sets == "":
			f.Run.Seeds = w.seeds
		}
		is, err := w.look(ctx, f)
		if err != nil {
			return missed, err
		}
		if is.Verdict == teeth.Found {
			found++
		}
		if f.Equivalent != "" && !w.units && is.Verdict != teeth.Survived || (f.Equivalent == "" || w.units) && is.Verdict != teeth.Found {
			missed++
		}
		w.report(f.Name, is, f.Equivalent != "" && !w.units)
	}
	if !w.list {
		fmt.Fprintf(w.to, "%d faults, %d found, %d not as they should be\n", faults, found, missed)
	}
	return missed, nil
}

// look looks for one fault, and if it is hunted by one run after another.
func (w wish) look(ctx context.Context, f teeth.Fault) (is teeth.Finding, err error) {
	if w.units {
		return w.lab.Units(ctx, f.Edits)
	}
	runs := []teeth.Run{f.Run}
	if w.hunt {
		for _, without := range []string{"", "overdue", "review,missed", "compare,notices", "overdue,sweep,lease"} {
			run := teeth.Run{Seeds: f.Run.Seeds}
			if without != "" {
				run.Without = strings.Split(without, ",")
			}
			runs = append(runs, run)
		}
	}
	for _, run := range runs {
		// What is broken without a fault as well says nothing of the fault.
		if _, known := w.bare[run.String()]; !known {
			if is, err = w.lab.Simulate(ctx, nil, run); err != nil {
				return is, err
			}
			w.bare[run.String()] = is
		}
		if is = w.bare[run.String()]; is.Verdict != teeth.Survived {
			is.Verdict = teeth.Unsound
			break
		}
		is, err = w.lab.Simulate(ctx, f.Edits, run)
		if err != nil || is.Verdict != teeth.Survived {
			break
		}
	}
	return is, err
}

// switchOff runs the product as it is without one layer after another: where nothing is broken,
// the others keep what it keeps. It returns how many are not as they are written down.
func (w wish) switchOff(ctx context.Context) (missed int, err error) {
	runs := 0
	for _, l := range teeth.Layers() {
		if !w.only.MatchString(l.Name) {
			continue
		}
		broken := false
		for _, run := range l.In {
			run.Seeds = cmp.Or(w.seeds, run.Seeds)
			if w.list {
				fmt.Fprintf(w.to, "%-36s %s\n%-36s %s: %s\n", l.Name, l.Is, "", run, cmp.Or(l.Keeps, "nothing"))
				continue
			}
			runs++
			sound, err := w.without(ctx, run)
			if err != nil {
				return missed, err
			}
			run.Without = []string{l.Name}
			is, err := w.lab.Simulate(ctx, nil, run)
			if err != nil {
				return missed, err
			}
			if !sound {
				is.Verdict = teeth.Unsound
			}
			broken = broken || is.Verdict == teeth.Found
			if is.Verdict != teeth.Found && is.Verdict != teeth.Survived {
				missed++
			}
			w.report(l.Name, is, l.Keeps == "")
		}
		if !w.list && broken != (l.Keeps != "") {
			missed++
			fmt.Fprintf(w.to, "%-36s is said to keep: %s\n", l.Name, cmp.Or(l.Keeps, "nothing that others do not"))
		}
	}
	if !w.list {
		fmt.Fprintf(w.to, "%d runs without a layer, %d not as they are said to be\n", runs, missed)
	}
	return missed, nil
}

// without says whether a run finds nothing where there is nothing.
func (w wish) without(ctx context.Context, run teeth.Run) (sound bool, err error) {
	is, known := w.bare[run.String()]
	if !known {
		if is, err = w.lab.Simulate(ctx, nil, run); err != nil {
			return false, err
		}
		w.bare[run.String()] = is
		w.report("(nothing)", is, true)
	}
	return is.Verdict == teeth.Survived, nil
}

func (w wish) report(name string, is teeth.Finding, survives bool) {
	verdict := strings.ToUpper(string(is.Verdict))
	if is.Verdict == teeth.Found != survives {
		verdict = string(is.Verdict)
	}
	if is.Verdict == teeth.Survived && survives {
		verdict = "nothing broken"
	}
	where := is.Run.String()
	if is.Run.Seeds == "" && is.Run.Sets == "" && is.Run.Test == "" {
		where = "unit tests"
	}
	if is.Where != "" {
		where = is.Where + " of " + where
	}
	fmt.Fprintf(w.to, "%-36s %-15s %-44s %s\n", name, verdict, where, is.Violation)
	if w.told || is.Verdict == teeth.Unbuilt || is.Verdict == teeth.Failed {
		fmt.Fprintf(w.to, "%s\n", is.Output)
	}
}

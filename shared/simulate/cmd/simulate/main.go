// Simulate lives through seeds of a town, and stops at the first promise that is broken: it
// tells the story, and the command that tells it again. It ends with 3 then, with 0 if every
// promise was kept, and with 2 if it was asked for what there is not.
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"grantline/shared/simulate"
	"grantline/shared/simulate/release"
	"grantline/shared/simulate/town"
	"grantline/shared/simulate/version"
)

const broken = 3

func main() {
	seeds := flag.String("seeds", "1-100", "the seeds, as in 7 or 1-100")
	world := flag.String("world", "all", strings.Join(town.Worlds, ", "))
	people := flag.Int("people", 50, "in each quarter")
	years := flag.Float64("years", 2, "of each seed")
	without := flag.String("without", "", "layers to switch off, separated by commas: sweep, compare, review, missed, notices, lease, publish")
	weather := flag.String("weather", "bad", "bad, or calm: nothing goes wrong")
	versions := flag.String("versions", "", "rolling, both or alone: code of two versions at work, see shared/simulate/upgrade; without an older one, this one is both")
	workers := flag.Int("workers", runtime.GOMAXPROCS(0), "seeds at a time")
	all := flag.Bool("all", false, "go on after a broken promise, and count them")
	flag.Parse()
	older, built := version.Built()
	if !built {
		older = version.Older{New: release.New}
	}
	config := town.Config{
		World: *world, People: *people, Span: time.Duration(*years * float64(365*24*time.Hour)), Without: map[string]bool{},
		Versions: town.Versions(*versions), Older: older.New,
	}
	first, last, err := span(*seeds)
	if err == nil {
		err = config.Known()
	}
	if err != nil || *people < 1 || *years <= 0 || *workers < 1 {
		fmt.Fprintln(os.Stderr, "simulate:", err)
		flag.Usage()
		os.Exit(2)
	}
	if *weather == "bad" {
		config.Faults = simulate.Bad()
	}
	for _, layer := range strings.Split(*without, ",") {
		config.Without[layer] = layer != ""
	}
	// What lives is small and what is thrown away is much.
	debug.SetGCPercent(800)
	os.Exit(run(first, last, *workers, config, *all))
}

func span(text string) (first, last uint64, err error) {
	from, to, ranged := strings.Cut(text, "-")
	if first, err = strconv.ParseUint(from, 10, 64); err != nil || !ranged {
		return first, first, err
	}
	last, err = strconv.ParseUint(to, 10, 64)
	if err == nil && last < first {
		err = fmt.Errorf("no seeds from %d to %d", first, last)
	}
	return first, last, err
}

// tally is what all seeds come to.
type tally struct {
	mu                                                                                        sync.Mutex
	seeds, steps, attempts, payments, returned, sold, spends, told, calls, dead, older, newer uint64
	violations                                                                                map[string]int
	worst                                                                                     *town.Result // the broken one with the lowest seed
}

func run(first, last uint64, workers int, c town.Config, all bool) int {
	start := time.Now()
	var next atomic.Uint64
	next.Store(first)
	var stop atomic.Bool
	sum := &tally{violations: map[string]int{}}
	var group sync.WaitGroup
	for range workers {
		group.Go(func() {
			for !stop.Load() {
				seed := next.Add(1) - 1
				if seed > last {
					return
				}
				r := town.Run(seed, c)
				if sum.add(r) {
					fmt.Fprintf(os.Stderr, "\nseed %d: %v\n", r.Seed, r.Broken)
					stop.Store(!all)
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { group.Wait(); close(done) }()
	tick := time.NewTicker(2 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			fmt.Fprintf(os.Stderr, "\r%s", sum.line(last-first+1, time.Since(start)))
			continue
		case <-done:
		}
		break
	}
	fmt.Fprintf(os.Stderr, "\r%s\n", sum.line(last-first+1, time.Since(start)))
	if c.Versions != town.One {
		fmt.Printf("%d invocations of the older version, %d of the newer\n", sum.older, sum.newer)
	}
	if sum.worst == nil {
		fmt.Printf("%d seeds, %d steps, %d attempts, %d payments, %d refunds, %d sales of stores, %d spends, %d requests to servers, %d dead letters, %d alarms: 0 violations in %.1f s\n",
			sum.seeds, sum.steps, sum.attempts, sum.payments, sum.returned, sum.sold, sum.spends, sum.told, sum.dead, sum.calls, time.Since(start).Seconds())
		return 0
	}
	r := sum.worst
	again := "./shared/simulate/cmd/simulate"
	if older, built := version.Built(); built {
		again = "./shared/simulate/upgrade/cmd/upgrade -from " + older.Name
	}
	fmt.Printf("%v\n\nseed %d, step %d; what happened last:\n%s\n\nagain: go run %s -seeds %d -world %s -people %d -years %g%s\n",
		r.Broken, r.Seed, r.Steps, r.Story, again, r.Seed, c.World, c.People, c.Span.Hours()/24/365, flags(c))
	if all {
		for promise, n := range sum.violations {
			fmt.Printf("%6d seeds broke: %s\n", n, promise)
		}
	}
	return broken
}

// flags are those that a run had beside its numbers.
func flags(c town.Config) string {
	more := ""
	if c.Faults == (simulate.Faults{}) {
		more = " -weather calm"
	}
	if c.Versions != town.One {
		more += " -versions " + string(c.Versions)
	}
	var off []string
	for layer, is := range c.Without {
		if is {
			off = append(off, layer)
		}
	}
	if len(off) == 0 {
		return more
	}
	slices.Sort(off)
	return more + " -without " + strings.Join(off, ",")
}

// add counts a seed, and says whether it broke a promise.
func (t *tally) add(r town.Result) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.seeds++
	t.steps += r.Steps
	t.attempts += uint64(r.Attempts) //nolint:gosec // counts
	t.payments += uint64(r.Payments) //nolint:gosec // counts
	t.returned += uint64(r.Returned) //nolint:gosec // counts
	t.sold += uint64(r.Sold)         //nolint:gosec // counts
	t.spends += uint64(r.Spends)     //nolint:gosec // counts
	t.told += uint64(r.Told)         //nolint:gosec // counts
	t.calls += uint64(r.Alarms)      //nolint:gosec // counts
	t.dead += uint64(r.Dead)         //nolint:gosec // counts
	t.older += uint64(r.Older)       //nolint:gosec // counts
	t.newer += uint64(r.Newer)       //nolint:gosec // counts
	if r.Broken == nil {
		return false
	}
	t.violations[r.Broken.Promise]++
	if t.worst == nil || r.Seed < t.worst.Seed {
		t.worst = &r
	}
	return true
}

func (t *tally) line(of uint64, took time.Duration) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	broken := 0
	for _, n := range t.violations {
		broken += n
	}
	return fmt.Sprintf("%d of %d seeds, %.1f M steps, %d payments, %d violations, %.0f s", t.seeds, of, float64(t.steps)/1e6, t.payments, broken, took.Seconds())
}

package exhaust_test

import (
	"flag"
	"syscall"
	"testing"
	"time"

	"grantline/shared/simulate/exhaust"
)

var (
	paths  = flag.Int("paths", 0, "how many paths of each set are run at most, below 0 for all; 0 is a few")
	seed   = flag.Uint64("seed", 1, "of the walks where a set is not gone through")
	faults = flag.Int("faults", 0, "how many are killed, or hear nothing of the tables, on one path at most; 0 is as each set has it")
	calls  = flag.Int("calls", 0, "how many calls of somebody else are lost or not heard on one path at most; likewise")
	replay = flag.String("replay", "", "the path to be gone again, as a violation names it")
)

// few is how many paths of each set are run where nothing else is asked for.
const few = 40

func TestSets(t *testing.T) {
	most := *paths
	switch {
	case most == 0:
		most = few
	case most < 0:
		most = 0
	}
	for _, s := range sets() {
		t.Run(s.Name, func(t *testing.T) {
			before := used()
			r := s.Search(exhaust.Options{Most: most, Seed: *seed})
			t.Logf("paths run %d, covered %d, states %d, deepest %d, complete %v, %.1f CPU s", r.Runs, r.Covered, r.States, r.Deepest, r.Complete, (used() - before).Seconds())
			if r.Violation != nil {
				t.Errorf("%v\n%s\ngo test ./shared/simulate/exhaust -run 'TestReplay$' -faults=%d -calls=%d -replay='%s'", r.Violation, r.Story, s.Faults, s.Calls, r.Replay)
			}
		})
	}
}

// sets are all, with as much going wrong as was asked for.
func sets() []*exhaust.Set {
	all := exhaust.All()
	for _, s := range all {
		if *faults > 0 {
			s.Faults = *faults
		}
		if *calls > 0 {
			s.Calls = *calls
		}
	}
	return all
}

// used is the processor's time that was spent so far.
func used() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func TestReplay(t *testing.T) {
	if *replay == "" {
		return
	}
	v, story, err := exhaust.Replay(sets(), *replay)
	if err != nil {
		t.Fatal(err)
	}
	t.Log("\n" + story)
	if v != nil {
		t.Error(v)
	}
}

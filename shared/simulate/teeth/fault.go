package teeth

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Fault is one mistake, and where it is to be found.
type Fault struct {
	Name  string // words joined by hyphens
	Is    string // what goes wrong, in words
	Edits []Edit
	// Run is to find it.
	Run Run
	// Breaks is the promise that the run is to find broken, in the words of its violation or
	// of whoever looks for them.
	Breaks string
	// Equivalent is why nobody can find it, "" for one that is found.
	Equivalent string
}

// Edit replaces a text that occurs once in a file.
type Edit struct {
	File     string // path in the module
	Old, New string
}

// Run is a bounded run of the simulation: of seeds, or of exhaustive sets; or a unit test, of what
// no town comes to.
type Run struct {
	World   string // "" for all
	Seeds   string // "1-50"
	People  int    // of each quarter, 0 as many as the simulator has by itself
	Years   float64
	Without []string
	// Sets are those whose names begin with one of these, divided by "|", and of each as many
	// Paths; instead of a world and its seeds.
	Sets  string
	Paths int
	// Test is the one that sees it, of the package in Of; instead of the others.
	Test, Of string
}

// String is the run as its command has it.
func (r Run) String() string {
	switch {
	case r.Test != "":
		return r.Test + " of " + r.Of
	case r.Sets != "":
		return fmt.Sprintf("%d paths of %s", r.Paths, r.Sets)
	}
	s := cmp.Or(r.World, "all") + " " + r.Seeds
	if r.People > 0 {
		s += fmt.Sprintf(" of %d people for %g years", r.People, r.Years)
	}
	if len(r.Without) > 0 {
		s += " without " + strings.Join(r.Without, ",")
	}
	return s
}

// without is the run with redundant layers switched off.
func (r Run) without(layers ...string) Run {
	r.Without = layers
	return r
}

// The runs that most are found by. Many short lives of few people meet more than few long ones
// of many.
var (
	inCharging = Run{World: "charging", Seeds: "1-200"}
	inSelling  = Run{World: "selling", Seeds: "1-200", People: 8, Years: 0.5}
	inTelling  = Run{World: "telling", Seeds: "1-40", People: 4, Years: 0.15}
	inCharges  = Run{Sets: "charge|refund", Paths: 2000}
	inClaims   = Run{Sets: "claim|wallet", Paths: 2000}
	inLetters  = Run{Sets: "publish", Paths: 2000}
)

// All is every fault, in the order of their paths.
func All() []Fault {
	return slices.Concat(charging(), deciding(), refunding(), handing(), selling(), holding(), telling())
}

// Sets is a run of the exhaustive sets in which the fault may be found.
func (f Fault) Sets(paths int) Run {
	run := inCharges
	switch is := f.Edits[0].File; {
	case f.Run.Sets != "":
		run = f.Run
	case strings.HasPrefix(is, "shared/delivery/") || f.Run.World == inTelling.World:
		run = inLetters
	case f.Run.World == inSelling.World:
		run = inClaims
	}
	run.Paths = paths
	return run
}

// in is a file's text with the fault, and with what else is planted. It fails where the text
// that is to be replaced does not occur exactly once, for then the product has moved on and the
// fault is another one.
func in(file, text string, edits []Edit) (string, error) {
	var failed error
	for _, e := range edits {
		if e.File != file {
			continue
		}
		if n := strings.Count(text, e.Old); n != 1 {
			failed = errors.Join(failed, fmt.Errorf("teeth: what is to be replaced in %s occurs %d times: %s", file, n, e.Old))
			continue
		}
		text = strings.Replace(text, e.Old, e.New, 1)
	}
	return text, failed
}

// files are those that edits change, each once.
func files(edits []Edit) []string {
	var all []string
	for _, e := range edits {
		if !slices.Contains(all, e.File) {
			all = append(all, e.File)
		}
	}
	return all
}

// edit is the one edit of most faults.
func edit(file, old, changed string) []Edit { return []Edit{{file, old, changed}} }

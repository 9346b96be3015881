package teeth

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Verdict is what became of a fault in one run.
type Verdict string

// The verdicts.
const (
	Found    Verdict = "found"
	Survived Verdict = "survived"
	Unbuilt  Verdict = "does not compile" // which finds nothing
	Failed   Verdict = "failed"           // the run ended neither well nor by a violation
	Endless  Verdict = "endless"          // it did not end in time
	Unsound  Verdict = "unsound"          // the run finds something without the fault as well
)

// Finding is what one run made of a fault.
type Finding struct {
	Verdict   Verdict
	Run       Run
	Violation string // of what is found: the promise, and what was seen
	Where     string // the seed or the set that found it
	Output    string // of what is found or went wrong, its end
}

// Lab builds simulators with faults in them, and runs those. It needs the go command.
type Lab struct {
	Root   string        // of the module
	Folder string        // for what is built; each fault's is taken away when it is done
	Limit  time.Duration // of one run
}

// broken is the code with which the simulator ends where a promise was broken.
const broken = 3

var (
	violation = regexp.MustCompile(`(?m)^\s*(?:\S+_test\.go:\d+: )?violation: (.*)$`)
	setOf     = regexp.MustCompile(`(?m)^ +--- FAIL: TestSets/(\S+)`)
	seedOf    = regexp.MustCompile(`-seeds[ =](\d+)\b`)
)

// Simulate has a simulator with these edits run, without the layers that the run names.
func (l Lab) Simulate(ctx context.Context, edits []Edit, run Run) (Finding, error) {
	off, without := run.planted()
	folder, overlay, err := l.plant(slices.Concat(edits, off))
	if err != nil {
		return Finding{}, err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	if run.Test != "" {
		return l.test(ctx, overlay, run)
	}
	of, arguments := "./shared/simulate/cmd/simulate", []string{"-seeds", run.Seeds}
	build := []string{"build", "-overlay", overlay}
	if run.Sets != "" {
		of, arguments = "./shared/simulate/exhaust", []string{"-test.run", "^TestSets$/^(" + run.Sets + ")", "-test.failfast", "-paths", strconv.Itoa(run.Paths)}
		build = []string{"test", "-c", "-vet=off", "-overlay", overlay}
	} else {
		if run.World != "" {
			arguments = append(arguments, "-world", run.World)
		}
		if run.People > 0 {
			arguments = append(arguments, "-people", strconv.Itoa(run.People), "-years", strconv.FormatFloat(run.Years, 'g', -1, 64))
		}
		if len(without) > 0 {
			arguments = append(arguments, "-without", strings.Join(without, ","))
		}
	}
	finding := Finding{Run: run}
	binary := filepath.Join(folder, path.Base(of))
	if output, err := l.command(ctx, mostBuilding, "go", append(build, "-o", binary, of)...); err != nil {
		finding.Verdict, finding.Output = Unbuilt, tail(output)
		return finding, ctx.Err()
	}
	output, err := l.command(ctx, l.Limit, binary, arguments...)
	if ctx.Err() != nil {
		return finding, ctx.Err()
	}
	finding.judge(output, err)
	return finding, nil
}

// test runs one unit test.
func (l Lab) test(ctx context.Context, overlay string, run Run) (Finding, error) {
	output, err := l.command(ctx, mostBuilding, "go", "test", "-overlay", overlay, "-vet=off", "-count=1", "-timeout", l.Limit.String(), "-run", "^"+run.Test+"$", "./"+run.Of)
	if ctx.Err() != nil {
		return Finding{}, ctx.Err()
	}
	finding := judged(output, err)
	finding.Run = run
	if bytes.Contains(output, []byte("[no tests to run]")) {
		finding.Verdict = Failed
	}
	return finding, nil
}

// mostBuilding is how long the go command may take, on however slow a machine.
const mostBuilding = 30 * time.Minute

// judge says what the end of a run means.
func (f *Finding) judge(output []byte, err error) {
	said := violation.FindSubmatch(output)
	ended := new(exec.ExitError)
	switch {
	case err == nil:
		f.Verdict = Survived
		return
	case errors.Is(err, context.DeadlineExceeded):
		f.Verdict = Endless
	case said == nil || !errors.As(err, &ended) || f.Run.Sets == "" && ended.ExitCode() != broken:
		f.Verdict = Failed
	default:
		f.Verdict, f.Violation = Found, string(said[1])
		if seed := seedOf.FindSubmatch(output); seed != nil {
			f.Where = "seed " + string(seed[1])
		} else if set := setOf.FindSubmatch(output); set != nil {
			f.Where = "set " + string(set[1])
		}
	}
	f.Output = tail(output)
}

// Units runs the short unit tests of the packages that edits are in: found where one fails.
func (l Lab) Units(ctx context.Context, edits []Edit) (Finding, error) {
	folder, overlay, err := l.plant(edits)
	if err != nil {
		return Finding{}, err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	arguments := []string{"test", "-overlay", overlay, "-short", "-vet=off", "-timeout", l.Limit.String()}
	for _, file := range files(edits) {
		if of := "./" + path.Dir(file); !slices.Contains(arguments, of) {
			arguments = append(arguments, of)
		}
	}
	output, err := l.command(ctx, mostBuilding+l.Limit, "go", arguments...)
	if ctx.Err() != nil {
		return Finding{}, ctx.Err()
	}
	return judged(output, err), nil
}

// judged says what the end of the go command's tests means.
func judged(output []byte, err error) (finding Finding) {
	switch {
	case err == nil:
		finding.Verdict = Survived
		return finding
	case bytes.Contains(output, []byte("panic: test timed out")):
		finding.Verdict = Endless
	case bytes.Contains(output, []byte("[build failed]")) || bytes.Contains(output, []byte("[setup failed]")):
		finding.Verdict = Unbuilt
	case failedTest.Match(output):
		finding.Verdict, finding.Violation = Found, string(failedTest.FindSubmatch(output)[1])
	case bytes.Contains(output, []byte("panic: ")):
		finding.Verdict, finding.Violation = Found, "a panic"
	default:
		finding.Verdict = Failed
	}
	finding.Output = tail(output)
	return finding
}

var failedTest = regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)`)

func (l Lab) plant(edits []Edit) (folder, overlay string, err error) {
	if folder, err = os.MkdirTemp(l.Folder, "fault-"); err != nil {
		return "", "", err
	}
	if overlay, err = Plant(l.Root, folder, edits); err != nil {
		_ = os.RemoveAll(folder)
	}
	return folder, overlay, err
}

// command runs a command within the module. One that was ended for taking too long gives
// context.DeadlineExceeded.
func (l Lab) command(ctx context.Context, limit time.Duration, name string, arguments ...string) ([]byte, error) {
	within, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	command := exec.CommandContext(within, name, arguments...) //nolint:gosec // the go command, or what it has just built
	command.Dir, command.WaitDelay = l.Root, 10*time.Second
	output, err := command.CombinedOutput()
	if within.Err() != nil {
		err = errors.Join(within.Err(), err)
	}
	if err != nil {
		err = fmt.Errorf("teeth: %s: %w", filepath.Base(name), err)
	}
	return output, err
}

// mostTold bounds what is kept of a run's output.
const mostTold = 6000

func tail(output []byte) string {
	return string(output[max(0, len(output)-mostTold):])
}

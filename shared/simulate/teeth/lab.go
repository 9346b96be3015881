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
)

// Finding is what one run made of a fault.
type Finding struct {
	Verdict   Verdict
	Run       Run
	Violation string // of what is found: the promise, and what was seen
	Seed      string // that found it, "" for an exhaustive set
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
	seedOf    = regexp.MustCompile(`-seeds[ =](\d+)\b`)
)

// Simulate looks for a fault by one run after another until one finds it, and returns what each
// made of it.
func (l Lab) Simulate(ctx context.Context, f Fault, runs ...Run) ([]Finding, error) {
	folder, overlay, err := l.plant(f)
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	var findings []Finding
	built := map[string]string{} // by what it is built from
	for _, run := range runs {
		of, arguments := "./shared/simulate/cmd/simulate", []string{"-seeds", run.Seeds, "-stop"}
		build := []string{"build", "-overlay", overlay}
		if run.Set != "" {
			of, arguments = "./shared/simulate/exhaust", []string{"-test.run", "^TestSets$/^" + run.Set + "$", "-test.count", "1"}
			build = []string{"test", "-c", "-overlay", overlay}
		} else {
			if run.World != "" {
				arguments = append(arguments, "-world", run.World)
			}
			if len(run.Without) > 0 {
				arguments = append(arguments, "-without", strings.Join(run.Without, ","))
			}
		}
		finding := Finding{Run: run}
		if built[of] == "" {
			binary := filepath.Join(folder, path.Base(of))
			output, err := l.command(ctx, 30*time.Minute, "go", append(build, "-o", binary, of)...)
			if err != nil {
				finding.Verdict, finding.Output = Unbuilt, tail(output)
				return append(findings, finding), ctx.Err()
			}
			built[of] = binary
		}
		output, err := l.command(ctx, l.Limit, built[of], arguments...)
		if ctx.Err() != nil {
			return findings, ctx.Err()
		}
		finding.judge(output, err)
		if findings = append(findings, finding); finding.Verdict == Found {
			break
		}
	}
	return findings, nil
}

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
	case said == nil || !errors.As(err, &ended) || f.Run.Set == "" && ended.ExitCode() != broken:
		f.Verdict = Failed
	default:
		f.Verdict, f.Violation = Found, string(said[1])
		if seed := seedOf.FindSubmatch(output); seed != nil {
			f.Seed = string(seed[1])
		}
	}
	f.Output = tail(output)
}

// Units runs the short unit tests of the packages that a fault is in: found where one fails.
func (l Lab) Units(ctx context.Context, f Fault) (Finding, error) {
	folder, overlay, err := l.plant(f)
	if err != nil {
		return Finding{}, err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	arguments := []string{"test", "-overlay", overlay, "-short", "-vet=off"}
	var packages []string
	for _, file := range f.Files() {
		if of := "./" + path.Dir(file); !slices.Contains(packages, of) {
			packages = append(packages, of)
		}
	}
	output, err := l.command(ctx, l.Limit, "go", append(arguments, packages...)...)
	if ctx.Err() != nil {
		return Finding{}, ctx.Err()
	}
	var finding Finding
	switch {
	case err == nil:
		finding.Verdict = Survived
		return finding, nil
	case errors.Is(err, context.DeadlineExceeded):
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
	return finding, nil
}

var failedTest = regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)`)

func (l Lab) plant(f Fault) (folder, overlay string, err error) {
	if folder, err = os.MkdirTemp(l.Folder, "fault-"); err != nil {
		return "", "", err
	}
	if overlay, err = f.Plant(l.Root, folder); err != nil {
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

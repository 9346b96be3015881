// Package tools looks after what a local run needs from outside: it says in one line what is
// missing, and fetches the two servers, DynamoDB Local and ElasticMQ, into a folder that git
// ignores. A folder is there whole or not at all, however many runs start at once or are
// killed on the way.
package tools

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Server is one that is fetched as a set of jars.
type Server struct {
	Name    string
	Version string
	Main    string // Java's main class
	notice  string // what to know of its licence
	pom     []byte
}

var (
	//go:embed pom-dynamodb-local.xml
	dynamoDBPOM []byte
	//go:embed pom-elasticmq.xml
	elasticMQPOM []byte
)

// DynamoDBLocal is the tables' server.
var DynamoDBLocal = Server{
	Name: "dynamodb-local", Version: "3.1.0", Main: "software.amazon.dynamodb.services.local.main.ServerRunner", pom: dynamoDBPOM,
	notice: "DynamoDB Local is AWS's and not open source: for internal use by holders of an AWS account, not to be passed on (LICENSE.txt in its jar).",
}

// ElasticMQ is the queues' server.
var ElasticMQ = Server{
	Name: "elasticmq", Version: "1.7.1", Main: "org.elasticmq.server.Main", pom: elasticMQPOM,
}

// oldestJava runs both servers.
const oldestJava = 17

// Missing lists what a run of the servers in dir lacks on this machine, one line each; notes
// are what only other commands of the project need.
func Missing(ctx context.Context, dir string) (missing, notes []string) {
	if _, err := exec.LookPath("go"); err != nil {
		missing = append(missing, "Go is missing: install Go 1.26 or newer and put its bin folder on PATH")
	}
	switch version, err := javaVersion(ctx); {
	case err != nil:
		missing = append(missing, fmt.Sprintf("Java is missing: install a JRE of version %d or newer (java -version must work)", oldestJava))
	case version < oldestJava:
		missing = append(missing, fmt.Sprintf("Java %d is too old: install version %d or newer", version, oldestJava))
	}
	if !DynamoDBLocal.fetched(dir) || !ElasticMQ.fetched(dir) {
		if _, err := exec.LookPath("mvn"); err != nil {
			missing = append(missing, "Maven is missing: install it (mvn), it fetches DynamoDB Local and ElasticMQ once")
		}
	}
	if _, err := exec.LookPath("python3"); err != nil {
		notes = append(notes, "Python 3 is missing: this works without it, the checks of template.yaml do not")
	}
	return missing, notes
}

var versionPattern = regexp.MustCompile(`version "(?:1\.)?(\d+)`)

// javaVersion is the major version of the java on PATH.
func javaVersion(ctx context.Context) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, "java", "-version").CombinedOutput()
	if err != nil {
		return 0, err
	}
	match := versionPattern.FindSubmatch(out)
	if match == nil {
		return 0, errors.New("tools: java tells no version")
	}
	return strconv.Atoi(string(match[1]))
}

// Folder is where the server's jars are below dir.
func (s Server) Folder(dir string) string { return filepath.Join(dir, s.Name+"-"+s.Version) }

func (s Server) fetched(dir string) bool {
	_, err := os.Stat(s.Folder(dir))
	return err == nil
}

// unfinished begins the names of folders that a fetch was killed over.
const unfinished = ".fetching-"

// Fetch puts the servers' jars below dir, unless they are there, and tells progress to out.
func Fetch(ctx context.Context, dir string, out io.Writer) error {
	if DynamoDBLocal.fetched(dir) && ElasticMQ.fetched(dir) {
		return nil
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return fmt.Errorf("tools: %w", err)
	}
	unlock, err := Lock(ctx, filepath.Join(dir, ".lock"))
	if err != nil {
		return err
	}
	defer unlock()
	leftovers, err := filepath.Glob(filepath.Join(dir, unfinished+"*"))
	if err != nil {
		return fmt.Errorf("tools: %w", err)
	}
	for _, folder := range leftovers { // the lock is ours, so nobody works on them
		if err := os.RemoveAll(folder); err != nil {
			return fmt.Errorf("tools: %w", err)
		}
	}
	for _, s := range []Server{DynamoDBLocal, ElasticMQ} {
		if s.fetched(dir) {
			continue
		}
		_, _ = fmt.Fprintf(out, "Fetching %s %s with Maven, this once.\n", s.Name, s.Version)
		if s.notice != "" {
			_, _ = fmt.Fprintln(out, s.notice)
		}
		if err := s.fetch(ctx, dir); err != nil {
			return err
		}
	}
	return nil
}

func (s Server) fetch(ctx context.Context, dir string) (err error) {
	if dir, err = filepath.Abs(dir); err != nil { // Maven takes a relative path from the pom's folder
		return fmt.Errorf("tools: %w", err)
	}
	work, err := os.MkdirTemp(dir, unfinished)
	if err != nil {
		return fmt.Errorf("tools: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	pom, jars := filepath.Join(work, "pom.xml"), filepath.Join(work, "jars")
	if err := os.WriteFile(pom, s.pom, 0o600); err != nil {
		return fmt.Errorf("tools: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, "mvn", "-q", "-B", "-f", pom, "dependency:copy-dependencies",
		"-DoutputDirectory="+jars, "-DincludeScope=runtime")
	command.WaitDelay = 5 * time.Second
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // mvn is a script; its Java must end with it
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGKILL) }
	if text, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("tools: fetching %s %s: %w\n%s", s.Name, s.Version, err, lastLines(text, 15))
	}
	if err := os.Rename(jars, s.Folder(dir)); err != nil {
		return fmt.Errorf("tools: %w", err)
	}
	return nil
}

// lastLines of an output are where a failure is explained.
func lastLines(text []byte, n int) string {
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// Lock waits for the lock on a file, which is created. The kernel drops the lock when its
// holder dies.
func Lock(ctx context.Context, name string) (unlock func(), err error) {
	file, err := os.OpenFile(filepath.Clean(name), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("tools: %w", err)
	}
	for {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { _ = file.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return nil, errors.Join(fmt.Errorf("tools: lock %s: %w", name, err), file.Close())
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), file.Close())
		}
	}
}

// Command runs the server, with its jars below dir. properties are passed as -D.
func (s Server) Command(dir string, properties, arguments []string) *exec.Cmd {
	jars := s.Folder(dir)
	// Small and quick to start: a serial collector, the first compiler only, and no file
	// outside the run's own folder.
	all := []string{"-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", "-Xmx512m", "-Djava.library.path=" + jars}
	for _, p := range properties {
		all = append(all, "-D"+p)
	}
	all = append(all, "-cp", filepath.Join(jars, "*"), s.Main)
	return exec.Command("java", append(all, arguments...)...)
}

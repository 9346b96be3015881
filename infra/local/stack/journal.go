package stack

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// journal is the one log of all functions. What looks like trouble is shown to the person at
// the terminal, too.
type journal struct {
	mu       sync.Mutex
	log      io.Writer
	terminal io.Writer
	file     *os.File // to close
}

// newJournal writes to log, or to the file of that name when log is nil.
func newJournal(log, terminal io.Writer, name string) (*journal, error) {
	j := &journal{log: log, terminal: terminal}
	if log != nil {
		return j, nil
	}
	file, err := os.OpenFile(filepath.Clean(name), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("stack: %w", err)
	}
	j.log, j.file = file, file
	return j, nil
}

// line takes what a function wrote.
func (j *journal) line(function string, line []byte) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.write(function, line, isTrouble(line))
}

// failed takes what went wrong between the functions.
func (j *journal) failed(what string, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.write("runner", fmt.Appendf(nil, "%s: %v", what, err), true)
}

func (j *journal) write(who string, line []byte, show bool) {
	text := fmt.Sprintf("%-14s | %s\n", who, line)
	// A log that cannot be written must not stop the run.
	_, _ = io.WriteString(j.log, text)
	if show && j.terminal != j.log {
		_, _ = io.WriteString(j.terminal, text)
	}
}

// isTrouble says whether a line is a warning or an error, or not written by the logger at all,
// as the last words of a process are.
func isTrouble(line []byte) bool {
	var entry struct {
		Level string `json:"level"`
	}
	if json.Unmarshal(line, &entry) != nil {
		return true
	}
	level := strings.ToUpper(entry.Level)
	return strings.HasPrefix(level, "WARN") || strings.HasPrefix(level, "ERROR") || strings.HasPrefix(level, "FATAL")
}

func (j *journal) close() error {
	if j.file == nil {
		return nil
	}
	return j.file.Close()
}

// Package version is where the code of one version meets the simulated world: ports whose types
// no version changes, and work that is asked for by a name and bytes. So code of another commit
// can stand beside the one at hand, over the same tables, queues and gateways, as it does while
// a release rolls out.
//
// What is the same for both, and so is not under trial, are the types here: the ports of tables,
// clocks and faults, HTTP, and JSON.
package version

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"grantline/shared/clock"
	"grantline/shared/table"
)

// Sealer keeps secrets unreadable, as the product's own ports of that name ask for.
type Sealer interface {
	Seal(ctx context.Context, plaintext, bound []byte) ([]byte, error)
	Open(ctx context.Context, sealed, bound []byte) ([]byte, error)
}

// Send hands over messages in order, on behalf of a group, each as it lies in the queue. It
// returns how many from the front surely were taken.
type Send func(ctx context.Context, group string, messages [][]byte) (sent int, err error)

// Ports is what a version is wired to.
type Ports struct {
	Tables    table.Tables
	Clock     clock.Clock
	Log       *slog.Logger
	Sealer    Sealer
	Catalog   []byte                       // its text
	Gateways  map[string]http.RoundTripper // by name, at the other end of the real adapters
	Stores    map[string]Store             // by name, at this end of their adapters, which both versions have in common
	Histories map[string][]History         // of stores
	Servers   http.RoundTripper            // the company's, that are told; nil: nobody is
	// Tell tells a customer of what is coming.
	Tell   func(ctx context.Context, reminder json.RawMessage) error
	Queues map[string]Send // toss, dodo, deliver, notices, events
	// The settings, by the names of template.yaml.
	Shards             int
	Lease              time.Duration
	TossPace, DodoPace int // a minute
	Restore            string
	Abuse              json.RawMessage // the policy
	TestsADay          int
	// Without names layers that are switched off.
	Without map[string]bool
}

// Store is a store by what its adapter can do: look, read, hear, follow, report, acknowledge,
// line of, order of. An answer may come with an error.
type Store struct {
	Can  map[string]bool
	Call func(ctx context.Context, verb string, arguments ...json.RawMessage) (answer []any, err error)
}

// History is what a store remembers of notices that it could not deliver.
type History struct {
	Name   string
	Keeps  time.Duration
	Missed func(ctx context.Context, from, to time.Time, page string) (hints []json.RawMessage, next string, err error)
}

// Code is the functions of one version.
type Code interface {
	// Work does what a message asks for: of the queues toss, dodo, deliver, notices and events.
	Work(ctx context.Context, queue string, message []byte) error
	// Tick is a run of a schedule: charge-fanout, publish-fanout or sweep. It says until when
	// nothing is to be done; the zero time: run again next time.
	Tick(ctx context.Context, schedule string) (idle time.Time, err error)
	// Ask is a request of the API, with its arguments in order, and what it answers.
	Ask(ctx context.Context, verb string, arguments ...json.RawMessage) (answer []any, err error)
}

// New wires a version.
type New func(Ports) Code

// Older is a version that a simulator was built with, beside the one at hand.
type Older struct {
	Name string // its commit
	New  New
}

var built []Older

// Register is called by the init function of what a simulator is built with.
func Register(o Older) { built = append(built, o) }

// Built is the older version, if the simulator was built with one.
func Built() (Older, bool) {
	if len(built) == 0 {
		return Older{}, false
	}
	return built[0], true
}

// Arguments are values as JSON.
func Arguments(values ...any) ([]json.RawMessage, error) {
	all := make([]json.RawMessage, len(values))
	for n, v := range values {
		text, err := json.Marshal(v)
		if err != nil {
			return nil, fmt.Errorf("version: argument %d: %w", n, err)
		}
		all[n] = text
	}
	return all, nil
}

// Read reads arguments, in order; one too few or too many is an error.
func Read(arguments []json.RawMessage, into ...any) error {
	if len(arguments) != len(into) {
		return fmt.Errorf("version: %d arguments, want %d", len(arguments), len(into))
	}
	for n, text := range arguments {
		if err := json.Unmarshal(text, into[n]); err != nil {
			return fmt.Errorf("version: argument %d: %w", n, err)
		}
	}
	return nil
}

// Package history records what many did at once and what they were answered, and asks whether
// doing one thing after another could have given the same answers: whether the history is
// linearizable (Herlihy and Wing, 1990). A suite of promises finds what is wrong in a case that
// somebody thought of; this finds it in any that happened.
//
// The question is decided by porcupine: its models are plain functions of Go, it takes what
// never returned as what may still happen, it needs no other module, and etcd is held to its
// promises with it.
package history

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anishathalye/porcupine"
)

// History is what happened so far. It is safe for use by many goroutines; its zero value is
// ready.
type History struct {
	ticks atomic.Int64
	mu    sync.Mutex
	ops   []porcupine.Operation
}

// Begin is called before something is asked for, and gives what Ended and Lost need.
func (h *History) Begin() (began int64) { return h.ticks.Add(1) }

// Ended records what was asked for, and its answer.
func (h *History) Ended(began int64, asked, answer any) {
	h.add(porcupine.Operation{Input: asked, Call: began, Output: answer, Return: h.ticks.Add(1)})
}

// Lost records what was asked for without an answer: it happened at any time since, or will
// at any time to come, and that may be never. The answer in the model is nil.
func (h *History) Lost(began int64, asked any) {
	h.add(porcupine.Operation{Input: asked, Call: began, Return: math.MaxInt64})
}

func (h *History) add(op porcupine.Operation) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, op)
}

// Operations is everything that has been recorded.
func (h *History) Operations() []porcupine.Operation {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.ops)
}

// ErrImpossible says that no order explains a history.
var ErrImpossible = errors.New("history: no order of these operations gives these answers")

// patience is for how long one part of a history is thought about. Histories are to be so
// small that seconds do.
const patience = 5 * time.Minute

// Check is nil if some order explains the history by the model, and else an error that tells
// how far one comes: ErrImpossible, or another if the question was too hard.
func Check(model porcupine.Model, ops []porcupine.Operation) error {
	parts := [][]porcupine.Operation{ops}
	if model.Partition != nil {
		parts = model.Partition(ops)
		model.Partition = nil
	}
	for _, part := range parts {
		switch porcupine.CheckOperationsTimeout(model, part, patience) {
		case porcupine.Ok:
		case porcupine.Unknown:
			return fmt.Errorf("history: %d operations were not decided in %v", len(part), patience)
		case porcupine.Illegal:
			return fmt.Errorf("%w: %s", ErrImpossible, story(model, part))
		}
	}
	return nil
}

// shown is how many operations a story tells of each of its parts.
const shown = 20

// story tells the longest order that can be had, and what does not go on from it.
func story(model porcupine.Model, ops []porcupine.Operation) string {
	_, info := porcupine.CheckOperationsVerbose(model, ops, patience)
	var longest []porcupine.Operation
	for _, of := range info.PartialLinearizationsOperations() {
		for _, order := range of {
			if len(order) > len(longest) {
				longest = order
			}
		}
	}
	type span struct{ call, back int64 }
	placed := map[span]int{}
	for _, op := range longest {
		placed[span{op.Call, op.Return}]++
	}
	var rest []porcupine.Operation
	for _, op := range ops {
		if at := (span{op.Call, op.Return}); placed[at] > 0 {
			placed[at]--
		} else {
			rest = append(rest, op)
		}
	}
	slices.SortFunc(rest, func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) })
	var text strings.Builder
	tell := func(ops []porcupine.Operation) {
		for _, op := range ops {
			back := fmt.Sprint(op.Return)
			if op.Return == math.MaxInt64 {
				back = "…"
			}
			fmt.Fprintf(&text, "\n  [%d, %s] %s", op.Call, back, model.DescribeOperation(op.Input, op.Output))
		}
	}
	fmt.Fprintf(&text, "%d of %d can be put in order, at the end", len(longest), len(ops))
	tell(longest[max(0, len(longest)-shown):])
	text.WriteString("\nand none of these comes next")
	tell(rest[:min(shown, len(rest))])
	return text.String()
}

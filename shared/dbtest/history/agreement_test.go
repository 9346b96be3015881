package history_test

import (
	"fmt"
	"strings"

	"github.com/anishathalye/porcupine"
)

// What is asked about a subscription and the order of its second period.
type (
	cancel struct {
		id     string
		atOnce bool
	}
	resume   struct{ id string }
	standing struct{ id string } // of the subscription
	outcome  struct{ id string } // of the order
	closing  struct{ id string } // of the books, when nothing more is to come
	refund   struct{ id, reference string }
	// move is what the gateway does with the money of an order.
	move struct {
		order, reference string
		kind             kind
	}
)

type kind int

const (
	taken kind = iota + 1
	declined
	given
)

// The answers.
type (
	agreed  struct{ over, ending, underWay bool }
	ordered struct {
		state    string // paid, declined, or "" for anything that decides nothing yet
		refunded bool
	}
	word string
)

const (
	nothing     word = "" // of a move
	over        word = "over"
	going       word = "going on"
	returned    word = "returned"
	notPaid     word = "not paid"
	inProgress  word = "in progress"
	allReturned word = "all returned before"
)

// agreement is the model of a subscription and the money of one period: what a caller may
// rely on, whatever happens underneath.
type agreement struct {
	ending, over bool
	// promised says that a cancellation was answered without an attempt under way: the
	// customer was told that nothing more is taken.
	promised bool
	// hasty says that it ended at once: what is taken after that has to go back.
	hasty, owed bool
	taken       bool
	declined    bool
	given       string // the reference by which it was given back
	state       string // of the order, as it was seen
	refunded    string // the reference of the refund that was seen to be done
}

func (a agreement) step(input, output any) (bool, agreement) {
	switch input := input.(type) {
	case move:
		return a.move(input)
	case cancel:
		answer, ok := output.(agreed)
		a.hasty = a.hasty || input.atOnce
		switch {
		case !ok:
			a.ending = true // or over, which then is seen
		case answer.over:
			a.over, a.ending, a.promised = true, true, a.promised || !answer.underWay
		case a.over || !answer.ending || input.atOnce:
			return false, a
		default:
			a.ending, a.promised = true, a.promised || !answer.underWay
		}
		return true, a
	case resume:
		switch {
		case output == over:
			ok := a.ending || a.over
			a.over = true
			return ok, a
		case a.over:
			return output == nil, a
		}
		a.ending, a.promised = false, false
		return true, a
	case standing:
		answer := output.(agreed)
		if answer.over {
			ok := a.ending || a.over
			a.over = true
			return ok, a
		}
		return !a.over && a.ending == answer.ending, a
	case outcome:
		answer := output.(ordered)
		settled := answer.state == "" && a.state == "" || answer.state == "paid" && a.taken && a.state != "declined" || answer.state == "declined" && a.declined && a.state != "paid"
		a.state = answer.state
		if answer.refunded {
			a = a.unasked()
		}
		return settled && answer.refunded == (a.refunded != ""), a
	case closing:
		return !a.owed || a.given != "", a
	case refund:
		return a.refund(input, output)
	}
	return false, a
}

// move says whether money may move so.
func (a agreement) move(m move) (bool, agreement) {
	switch m.kind {
	case taken:
		ok := !a.taken && !a.declined && !a.promised && (!a.over || a.hasty)
		a.taken, a.owed = true, a.over
		return ok, a
	case declined:
		ok := !a.taken && !a.declined
		a.declined = true
		return ok, a
	case given:
		ok := a.taken && a.given == ""
		a.given = m.reference
		return ok, a
	}
	return false, a
}

func (a agreement) refund(r refund, output any) (bool, agreement) {
	switch output {
	case nil: // or it was left to the queue
		if a.given == r.reference && a.refunded == "" {
			a.refunded, a.state = r.reference, "paid"
		}
		return true, a
	case returned:
		ok := a.given == r.reference && (a.refunded == "" || a.refunded == r.reference)
		a.refunded, a.state = r.reference, "paid"
		return ok, a
	case notPaid:
		return a.state != "paid", a
	case inProgress:
		a.state = "paid"
		return a.taken, a
	case allReturned:
		a = a.unasked()
		return a.refunded != "", a
	}
	return false, a
}

// unasked sees that what nobody asked for was given back.
func (a agreement) unasked() agreement {
	if a.refunded == "" && a.hasty && !strings.HasPrefix(a.given, asks) {
		a.refunded = a.given
	}
	return a
}

// asks begins the references of refunds that somebody asked for.
const asks = "refund-"

func ofAgreements(orders map[string]string) porcupine.Model {
	return porcupine.Model{
		Partition: func(ops []porcupine.Operation) [][]porcupine.Operation {
			return byName(ops, func(op porcupine.Operation) string {
				switch input := op.Input.(type) {
				case cancel:
					return input.id
				case resume:
					return input.id
				case standing:
					return input.id
				case outcome:
					return input.id
				case closing:
					return input.id
				case refund:
					return input.id
				case move:
					return orders[input.order]
				}
				return ""
			})
		},
		Init: func() any { return agreement{} },
		Step: func(state, input, output any) (bool, any) {
			ok, next := state.(agreement).step(input, output)
			return ok, next
		},
		DescribeOperation: func(input, output any) string { return fmt.Sprintf("%T%+v: %+v", input, input, output) },
	}
}

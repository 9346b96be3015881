package abuse

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// MostPoints is the end of the score.
const MostPoints = 100

// measures are all that there are, from the mildest on: the order in which they are told.
func measures() []Measure { return []Measure{Note, BlockSpending, RefuseConsumables} }

// ParsePolicy reads a project's policy as it is configured, for example
// "note=30,block_spending=60,refuse_consumables=80": from which score on (1 to 100) which
// measure is in force. A measure that is not named is never in force; "" is a policy that
// does nothing. An error says what is wrong, and is meant to stop the start of a program.
func ParsePolicy(text string) (Policy, error) {
	p := Policy{}
	if strings.TrimSpace(text) == "" {
		return p, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		name, score, found := strings.Cut(part, "=")
		m := Measure(strings.TrimSpace(name))
		if !found || !slices.Contains(measures(), m) {
			return nil, fmt.Errorf("abuse policy: %q should be one of %v with its score, as in note=30", part, measures())
		}
		if _, twice := p[m]; twice {
			return nil, fmt.Errorf("abuse policy: %s comes twice", m)
		}
		score = strings.TrimSpace(score)
		n, err := strconv.Atoi(score)
		if err != nil || n < 1 || n > MostPoints || strconv.Itoa(n) != score {
			return nil, fmt.Errorf("abuse policy: the score of %s should be a number from 1 to %d", m, MostPoints)
		}
		p[m] = n
	}
	return p, nil
}

// at is what the policy asks for at a score, the mildest first, and never nil.
func (p Policy) at(score int) []Measure {
	in := []Measure{}
	for _, m := range measures() {
		if from := p[m]; from > 0 && score >= from {
			in = append(in, m)
		}
	}
	return in
}

// ordered is each known measure of ms once, the mildest first, and never nil.
func ordered(ms []Measure) []Measure {
	in := []Measure{}
	for _, m := range measures() {
		if slices.Contains(ms, m) {
			in = append(in, m)
		}
	}
	return in
}

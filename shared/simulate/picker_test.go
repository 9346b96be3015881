package simulate_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"grantline/shared/simulate"
)

// picky picks the last of those that are due, and nobody once it has picked often enough.
type picky struct {
	*simulate.Weather
	left int
	due  []int
}

func (p *picky) Chooses() bool { return true }

func (p *picky) Pick(due []*simulate.Invocation) int {
	if p.left--; p.left < 0 {
		return -1
	}
	p.due = append(p.due, len(due))
	return len(due) - 1
}

func TestAPickerPicksFromAllThatIsDueAndMayPickNone(t *testing.T) {
	chance := &picky{Weather: simulate.NewWeather(1, simulate.Faults{}), left: 3}
	w := simulate.New(1, start, chance)
	defer w.Close()
	for range 3 {
		w.Invoke("f", time.Minute, func(context.Context) error { w.Pass(time.Second); return nil }, nil)
	}
	turns := 0
	for w.Turn(start.Add(time.Minute)) {
		turns++
	}
	if want := []int{3, 2, 1}; turns != 3 || !slices.Equal(chance.due, want) {
		t.Errorf("turns %d, due %v, want 3 and %v", turns, chance.due, want)
	}
	chance.left = 100
	for w.Turn(start.Add(time.Minute)) {
		turns++
	}
	if turns != 6 {
		t.Errorf("turns in all: %d, want 6, for what was not picked is still due", turns)
	}
}

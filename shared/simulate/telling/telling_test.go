package telling_test

import (
	"testing"
	"time"

	"grantline/shared/simulate"
	"grantline/shared/simulate/deployment"
	"grantline/shared/simulate/telling"
)

var start = time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC)

const day = 24 * time.Hour

// lived is a quarter after its span and its rest.
type lived struct {
	*simulate.World
	*telling.Quarter
	deployment *deployment.Deployment
	violation  *simulate.Violation
}

// live has a seed's quarter live through a span in some weather, and come to rest.
func live(t testing.TB, seed uint64, faults simulate.Faults, span time.Duration) lived {
	t.Helper()
	weather := simulate.NewWeather(seed, faults)
	w := simulate.New(seed, start, weather)
	t.Cleanup(w.Close)
	servers := telling.NewServers()
	d := deployment.New(w, deployment.Options{Endpoints: servers})
	q := telling.New(d, telling.Options{Servers: servers, Customers: 4, Span: span, Sandbox: true})
	v := w.Run(start.Add(span))
	if v == nil {
		weather.Faults = simulate.Faults{}
		v = w.Run(start.Add(span + telling.Settle))
	}
	if v == nil {
		q.AtRest()
		v = w.Violated()
	}
	return lived{w, q, d, v}
}

func TestWhateverHappensEveryEventIsToldInOrderOrIsADeadLetter(t *testing.T) {
	var requests, repeats, letters int
	var steps uint64
	for seed := range uint64(12) {
		l := live(t, seed, simulate.Bad(), 9*day)
		if l.violation != nil {
			t.Fatalf("seed %d: %v\n%s", seed, l.violation, l.Story.Last(60))
		}
		requests, repeats, letters, steps = requests+l.Requests, repeats+l.Repeats, letters+l.Letters, steps+l.Steps()
	}
	t.Logf("%d requests, %d of them repeats, %d letters, %d steps", requests, repeats, letters, steps)
	if requests == 0 || repeats == 0 || letters == 0 {
		t.Errorf("got %d requests, %d repeats, %d letters, want some of each", requests, repeats, letters)
	}
}

func TestASeedIsTheSameStoryEachTime(t *testing.T) {
	one, two, other := live(t, 7, simulate.Bad(), 4*day), live(t, 7, simulate.Bad(), 4*day), live(t, 8, simulate.Bad(), 4*day)
	if one.Print() != two.Print() || one.Steps() != two.Steps() {
		t.Errorf("got %d steps with print %x, then %d with %x, want the same", one.Steps(), one.Print(), two.Steps(), two.Print())
	}
	if one.Print() == other.Print() {
		t.Error("another seed is the same story, want another")
	}
}

package selling_test

import (
	"testing"
	"time"

	"grantline/shared/purchase"
	"grantline/shared/simulate"
	"grantline/shared/simulate/deployment"
	"grantline/shared/simulate/selling"
	"grantline/shared/simulate/shop"
)

var start = time.Date(2040, 1, 10, 3, 4, 5, 0, time.UTC)

const day = 24 * time.Hour

// life is what became of a seed.
type life struct {
	*selling.Quarter
	steps, print uint64
	broken       *simulate.Violation
	story        string
}

// live lets some people live for a span, and at rest after it.
func live(seed uint64, people int, span time.Duration) life {
	weather := simulate.NewWeather(seed, simulate.Bad())
	w := simulate.New(seed, start, weather)
	defer w.Close()
	goods := selling.Goods()
	shops := shop.Open(w, goods, shop.Unkind())
	settings := deployment.Defaults()
	settings.Restore = purchase.RestorePolicies[seed%4]
	d := deployment.New(w, deployment.Options{
		Stores: shops.Stores(), Histories: shops.Histories(), Catalog: goods, Releases: []deployment.Settings{settings}, Outages: 2, Span: span,
	})
	q := selling.New(d, selling.Options{Shops: shops, Habits: shop.Unkind(), People: people, Span: span})
	if w.Run(start.Add(span)) == nil {
		weather.Faults = simulate.Faults{}
		q.Calm(true)
		if w.Run(start.Add(span+6*day)) == nil {
			q.AtRest()
		}
	}
	return life{q, w.Steps(), w.Print(), w.Violated(), w.Story.Last(40)}
}

func TestPromisesHoldWhateverTheStoresAndTheWeatherDo(t *testing.T) {
	var sold, granted, returned, spends, moved int
	for seed := range uint64(24) {
		l := live(seed, 4, 60*day)
		if l.broken != nil {
			t.Fatalf("seed %d: %v\n%s", seed, l.broken, l.story)
		}
		sold, granted, returned, spends, moved = sold+l.Sold, granted+l.Granted, returned+l.Returned, spends+l.Spends, moved+l.Moved
	}
	t.Logf("sold %d, granted %d, took back %d, spent %d times, moved %d", sold, granted, returned, spends, moved)
	if sold == 0 || granted == 0 || returned == 0 || spends == 0 || moved == 0 {
		t.Errorf("sold %d, granted %d, took back %d, spent %d times, moved %d, want some of each", sold, granted, returned, spends, moved)
	}
}

func TestASeedIsTheSameLifeEachTime(t *testing.T) {
	one, again, other := live(3, 3, 30*day), live(3, 3, 30*day), live(4, 3, 30*day)
	if one.print != again.print || one.steps != again.steps || one.print == other.print {
		t.Errorf("got prints %x, %x and %x after %d, %d and %d steps, want the first two the same and the third another",
			one.print, again.print, other.print, one.steps, again.steps, other.steps)
	}
}

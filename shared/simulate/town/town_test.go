package town_test

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"grantline/shared/simulate"
	"grantline/shared/simulate/town"
)

const day = 24 * time.Hour

func config(world string, people, days int) town.Config {
	return town.Config{World: world, People: people, Span: time.Duration(days) * day, Faults: simulate.Bad()}
}

// kept lives through a seed and tells of a promise that it broke.
func kept(t *testing.T, seed uint64, c town.Config) town.Result {
	t.Helper()
	r := town.Run(seed, c)
	if r.Broken != nil {
		t.Fatalf("%s, seed %d, %d people, %d days: %v\n%s", c.World, seed, c.People, int(c.Span/day), r.Broken, r.Story)
	}
	return r
}

// The short form of `make simulate`.
func TestEveryPromiseIsKeptInAFewTowns(t *testing.T) {
	t.Parallel()
	var payments, returned, sold, spends, told int
	for seed := range uint64(16) {
		r := kept(t, seed+1, config("charging", 20, 150))
		payments, returned = payments+r.Payments, returned+r.Returned
	}
	for seed := range uint64(3) {
		r := kept(t, seed+1, config("all", 3, 40))
		payments, sold, spends, told = payments+r.Payments, sold+r.Sold, spends+r.Spends, told+r.Told
	}
	if payments == 0 || returned == 0 || sold == 0 || spends == 0 || told == 0 {
		t.Errorf("got %d payments, %d refunds, %d sales, %d spends and %d requests to servers, want some of each", payments, returned, sold, spends, told)
	}
}

func TestInCalmWeatherNobodyIsCalledForWhatStoresAndGatewaysDo(t *testing.T) {
	t.Parallel()
	c := config("charging", 20, 120)
	c.Faults = simulate.Faults{}
	if r := kept(t, 1, c); r.Dead != 0 {
		t.Errorf("got %d dead letters, want none", r.Dead)
	}
}

func TestASeedIsTheSameTownEachTime(t *testing.T) {
	t.Parallel()
	for _, world := range town.Worlds {
		c := config(world, 4, 30)
		one, again, other := kept(t, 5, c), kept(t, 5, c), kept(t, 6, c)
		if one.Print != again.Print || one.Steps != again.Steps || one.Print == other.Print {
			t.Errorf("%s: got prints %x, %x and %x after %d, %d and %d steps, want the first two the same and the third another",
				world, one.Print, again.Print, other.Print, one.Steps, again.Steps, other.Steps)
		}
	}
}

// Whatever layer is switched off, the others keep what they are there to keep.
func TestEachLayerMayBeMissing(t *testing.T) {
	t.Parallel()
	for _, layer := range []string{"notices", "lease"} {
		c := config("charging", 10, 90)
		c.Without = map[string]bool{layer: true}
		for seed := range uint64(3) {
			t.Run(fmt.Sprintf("%s/%d", layer, seed), func(t *testing.T) { kept(t, seed+1, c) })
		}
	}
}

func TestSeedsThatOnceBrokeAPromiseKeepIt(t *testing.T) {
	t.Parallel()
	file, err := os.Open("testdata/regressions.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		text, _, _ := strings.Cut(lines.Text(), "#")
		if strings.TrimSpace(text) == "" {
			continue
		}
		var world string
		var seed uint64
		var people, days int
		if _, err := fmt.Sscan(text, &world, &seed, &people, &days); err != nil {
			t.Fatalf("%q: got %v, want a world, a seed, people and days", text, err)
		}
		kept(t, seed, config(world, people, days))
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
}

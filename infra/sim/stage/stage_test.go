package stage_test

import (
	"regexp"
	"testing"
	"time"

	"grantline/infra/sim/stage"
)

func newStage(provider string, seed uint64) *stage.Stage {
	at := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	return stage.New(provider, []string{"call"}, stage.Answer{Status: 500}, stage.Options{
		Seed: seed, Now: func() time.Time { return at },
	})
}

func TestProvidersOfOneSeedDrawDifferently(t *testing.T) {
	one, two := newStage("one", 1).Text(20, stage.Digits), newStage("two", 1).Text(20, stage.Digits)
	if one == two {
		t.Errorf("got %s twice, want two draws", one)
	}
	if again := newStage("one", 1).Text(20, stage.Digits); again != one {
		t.Errorf("same provider and seed: got %s, want %s", again, one)
	}
}

func TestUUIDIsOfVersion7AndItsInstant(t *testing.T) {
	s := newStage("one", 1)
	// 2026-03-01T00:00:00Z is 0x019ca6b1dc00 milliseconds after 1970.
	want := regexp.MustCompile(`^019ca6b1-dc00-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	if got := s.UUID(); !want.MatchString(got) {
		t.Errorf("got %s, want it to match %s", got, want)
	}
	if one, two := s.UUID(), s.UUID(); one == two {
		t.Errorf("got %s twice, want two", one)
	}
}

func TestScriptServesTheOldestThatFits(t *testing.T) {
	var script stage.Script[string]
	script.Add(1, "a")
	script.Add(2, "b")
	script.Add(0, "c")
	anything := func(string) bool { return true }
	if got, ok := script.Take(func(s string) bool { return s == "d" }); ok {
		t.Errorf("nothing fits: got %q, want none", got)
	}
	if got, _ := script.Take(func(s string) bool { return s != "a" }); got != "b" {
		t.Errorf("all but a: got %q, want b", got)
	}
	for _, want := range []string{"a", "b", "c", ""} {
		if got, ok := script.Take(anything); got != want || ok != (want != "") {
			t.Errorf("got %q %t, want %q", got, ok, want)
		}
	}
	script.Add(1, "e")
	script.Clear()
	if got, ok := script.Take(anything); ok {
		t.Errorf("after Clear: got %q, want none", got)
	}
}

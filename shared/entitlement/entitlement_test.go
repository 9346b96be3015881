package entitlement_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/entitlement"
)

var now = time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)

func source(ref string, state entitlement.State, until time.Duration) entitlement.Source {
	s := entitlement.Source{Kind: "purchase", Provider: "apple", Ref: ref, Entitlement: "premium", State: state}
	if until != 0 {
		s.Until = now.Add(until)
	}
	return s
}

func TestAccessFollowsStateAndEnd(t *testing.T) {
	open := source("o", entitlement.Active, -time.Hour)
	open.Open = true
	for _, c := range []struct {
		name   string
		source entitlement.Source
		active bool
		state  entitlement.State
	}{
		{"paid until later", source("a", entitlement.Active, time.Hour), true, entitlement.Active},
		{"paid for ever", source("a", entitlement.Active, 0), true, entitlement.Active},
		{"ends at this very instant", source("a", entitlement.Active, -1), false, entitlement.Expired},
		{"over", source("a", entitlement.Active, -time.Hour), false, entitlement.Expired},
		{"renewal due, not declined", open, true, entitlement.Active},
		{"in grace", source("a", entitlement.Grace, time.Hour), true, entitlement.Grace},
		{"on hold", source("a", entitlement.OnHold, time.Hour), false, entitlement.OnHold},
		{"taken back before its end", source("a", entitlement.Ended, time.Hour), false, entitlement.Expired},
		{"taken back, bought for ever", source("a", entitlement.Ended, 0), false, entitlement.Expired},
	} {
		got := entitlement.Of([]entitlement.Source{c.source}, now)
		if len(got) != 1 || got[0].Active != c.active || got[0].State != c.state {
			t.Errorf("%s: got %+v, want active %v, state %s", c.name, got, c.active, c.state)
		}
	}
	exact := source("a", entitlement.Active, 0)
	exact.Until = now
	if got := entitlement.Of([]entitlement.Source{exact}, now); got[0].Active {
		t.Error("at the instant of its end it still gives access")
	}
}

func TestNoSourceEndsWhatAnotherGives(t *testing.T) {
	good := source("good", entitlement.Active, time.Hour)
	good.WillRenew = true
	for _, state := range []entitlement.State{entitlement.Ended, entitlement.OnHold, entitlement.Active, entitlement.Grace} {
		bad := source("bad", state, -time.Hour)
		got := entitlement.Of([]entitlement.Source{bad, good}, now)[0]
		if !got.Active || !got.ExpiresAt.Equal(good.Until) || !got.WillRenew || got.Sources[0].Ref != "good" {
			t.Errorf("beside one that is %s: got %+v, want what the good one gives", state, got)
		}
	}
	forever := source("forever", entitlement.Active, 0)
	if got := entitlement.Of([]entitlement.Source{good, forever}, now)[0]; !got.ExpiresAt.IsZero() {
		t.Errorf("beside one for ever it ends %v, want never", got.ExpiresAt)
	}
}

func TestAnEndedSourceDoesNotPromiseToRenew(t *testing.T) {
	over := source("over", entitlement.Active, -time.Hour)
	over.WillRenew = true
	if got := entitlement.Of([]entitlement.Source{over}, now)[0]; got.WillRenew {
		t.Errorf("got %+v, want no renewal of what is over", got)
	}
}

func TestSourcesInAnyOrderGiveTheSame(t *testing.T) {
	states := []entitlement.State{entitlement.Active, entitlement.Grace, entitlement.OnHold, entitlement.Ended}
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		var sources []entitlement.Source
		for i := range 2 + r.IntN(6) {
			s := source(string(rune('a'+i)), states[r.IntN(4)], time.Duration(r.IntN(5)-2)*time.Hour)
			s.Entitlement = []string{"premium", "ad_free"}[r.IntN(2)]
			s.WillRenew, s.Open = r.IntN(2) == 0, r.IntN(4) == 0
			sources = append(sources, s)
		}
		want := entitlement.Of(sources, now)
		r.Shuffle(len(sources), func(i, j int) { sources[i], sources[j] = sources[j], sources[i] })
		if diff := cmp.Diff(want, entitlement.Of(sources, now)); diff != "" {
			t.Fatalf("seed %d: another order gives another answer:\n%s", seed, diff)
		}
	}
}

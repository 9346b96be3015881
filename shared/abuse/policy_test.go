package abuse_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/abuse"
)

func TestAPolicyIsReadAsWritten(t *testing.T) {
	for text, want := range map[string]abuse.Policy{
		"":                       {},
		"  ":                     {},
		"note=1":                 {abuse.Note: 1},
		"refuse_consumables=100": {abuse.RefuseConsumables: 100},
		"note=30,block_spending=60,refuse_consumables=80": {abuse.Note: 30, abuse.BlockSpending: 60, abuse.RefuseConsumables: 80},
		" refuse_consumables = 80 , note = 30":            {abuse.Note: 30, abuse.RefuseConsumables: 80},
		"block_spending=10,refuse_consumables=10,note=10": {abuse.Note: 10, abuse.BlockSpending: 10, abuse.RefuseConsumables: 10},
	} {
		got, err := abuse.ParsePolicy(text)
		if err != nil || got == nil {
			t.Errorf("%q: got %v and error %v, want %v", text, got, err, want)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q: -want +got\n%s", text, diff)
		}
	}
}

func TestAPolicyThatMeansNothingIsRefused(t *testing.T) {
	for _, text := range []string{
		"note", "note=", "=30", ",", "note=30,", ",note=30", "note=30;block_spending=60",
		"ban=30", "Note=30", "note=30,note=40", "note=30,note=30",
		"note=0", "note=-1", "note=101", "note=1000000000000000000000", "note=030", "note=+30", "note=3e1", "note=30.0", "note=30=40", "note=３０",
	} {
		if got, err := abuse.ParsePolicy(text); err == nil || got != nil {
			t.Errorf("%q: got %v and error %v, want an error alone", text, got, err)
		}
	}
}

func TestAnEmptyPolicyDoesNothing(t *testing.T) {
	policy, err := abuse.ParsePolicy("")
	if err != nil {
		t.Fatal(err)
	}
	h := abuse.History{}
	for range 10 {
		h = h.Refunded(spent(h.Count, 0))
	}
	got := h.Assess(policy, nil, now)
	if got.Score != 100 || len(got.Measures) != 0 || got.Measures == nil {
		t.Errorf("got score %d and measures %#v, want 100 and none", got.Score, got.Measures)
	}
}

func FuzzAPolicyIsReadOrRefused(f *testing.F) {
	for _, text := range []string{"", "note=30,block_spending=60,refuse_consumables=80", "note=30,note=30", "note=101", " note = 1 "} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		policy, err := abuse.ParsePolicy(text)
		if err != nil {
			if policy != nil {
				t.Errorf("got %v beside the error %v", policy, err)
			}
			return
		}
		if want := strings.Count(text, "="); len(policy) != want {
			t.Errorf("%q: got %d measures, want %d", text, len(policy), want)
		}
		for m, score := range policy {
			if score < 1 || score > 100 || m != abuse.Note && m != abuse.BlockSpending && m != abuse.RefuseConsumables {
				t.Errorf("%q: got %s=%d", text, m, score)
			}
		}
	})
}

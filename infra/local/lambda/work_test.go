package lambda_test

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"grantline/infra/local/lambda"
)

func TestWhatIsAtWorkIsToldUntilItHasItsOutcome(t *testing.T) {
	h := open(t, lambda.Function{Environment: []string{"ACT_AS=function"}, Timeout: time.Minute, Concurrency: 1, Queue: true})
	before := time.Now()
	if got := h.AtWork(); len(got) != 0 {
		t.Errorf("before any event: got %v at work, want none", got)
	}
	dir := t.TempDir()
	var group sync.WaitGroup
	for i := range 2 { // one of which waits for the other
		group.Go(func() {
			if _, err := h.call(t, request{Do: "wait", File: fmt.Sprintf("%s/%d", dir, i)}); err != nil {
				t.Error(err)
			}
		})
	}
	eventually(t, "both are told", func() bool {
		got := h.AtWork()
		return len(got) == 1 && got[0].Function == "f" && got[0].Events == 2
	})
	if got := h.AtWork()[0].Since; got.Before(before) || got.After(time.Now()) {
		t.Errorf("got at work since %v, want after %v and before now", got, before)
	}
	for i := range 2 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	group.Wait()
	if got := h.AtWork(); len(got) != 0 {
		t.Errorf("once both are answered: got %v at work, want none", got)
	}
	for _, do := range []string{"error", "exit"} {
		if _, err := h.call(t, request{Do: do}); err == nil {
			t.Errorf("%s: got no error, want one", do)
		}
	}
	if got := h.AtWork(); len(got) != 0 {
		t.Errorf("once they failed: got %v at work, want none", got)
	}
}

package sim_test

import (
	"fmt"
	"net/http"
	"testing"

	"grantline/infra/sim"
)

func TestAReceiverTakesWhatIsPostedAndMisbehavesWhenTold(t *testing.T) {
	s := start(t, sim.Options{})
	url := s.URL() + "/_sim/receiver/shop"
	send := func(sequence int) int {
		t.Helper()
		status, _ := post(t, url, fmt.Sprintf(`{"type":"wallet.spent","data":{"customerId":"minji","sequence":%d}}`, sequence))
		return status
	}
	if got := send(4); got != 200 {
		t.Errorf("got %d, want 200", got)
	}
	if status, _ := do(t, http.DefaultClient, "PUT", url, `{"status":503,"count":2}`); status != 200 {
		t.Errorf("PUT: got %d, want 200", status)
	}
	for i, want := range []int{503, 503, 200} {
		if got := send(5); got != want {
			t.Errorf("answer %d: got %d, want %d", i+1, got, want)
		}
	}
	send(7) // 6 is missing
	status, shown := do(t, http.DefaultClient, "GET", url, "")
	if status != 200 || shown["url"] != url || shown["taken"] != 3.0 || shown["outOfOrder"] != 1.0 || len(shown["arrived"].([]any)) != 5 {
		t.Errorf("got %d %v, want five, three of them taken and one out of order", status, shown)
	}
	if first := shown["arrived"].([]any)[0].(map[string]any); first["verified"] != false || first["status"] != 200.0 {
		t.Errorf("got %v, want nothing verified without a secret", first)
	}
	if status, _ := do(t, http.DefaultClient, "PUT", url, `{"status":99}`); status != 400 {
		t.Errorf("a status that there is not: got %d, want 400", status)
	}
	if _, shown := do(t, http.DefaultClient, "DELETE", url, ""); len(shown["arrived"].([]any)) != 0 {
		t.Errorf("got %v, want it forgotten", shown)
	}
}

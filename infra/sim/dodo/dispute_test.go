package dodo_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/infra/sim/dodo"
)

func TestDisputesAreListedByTheDocumentedFilters(t *testing.T) {
	s := newShop(t, dodo.Options{})
	mandate := s.active()
	var ids []string
	for n := range 12 {
		payment := s.charge(mandate, fmt.Sprintf("order-%d", n), 2500)
		s.clock.Advance(time.Minute)
		status := "opened"
		if n%4 == 0 {
			status = "lost"
		}
		id, err := s.Dispute(dodo.Dispute{PaymentID: payment, Status: status})
		s.must(err)
		ids = append(ids, id)
	}
	list := func(query string) (found []string) {
		got := s.call("GET", "/disputes"+query, nil)
		s.want(query, got, 200, "")
		for _, item := range got.body["items"].([]any) {
			found = append(found, item.(fields)["dispute_id"].(string))
		}
		return found
	}
	if got := list(""); len(got) != 10 || got[0] != ids[10] {
		t.Errorf("at once: got %v, want ten of those made a while ago, the newest first", got)
	}
	s.clock.Advance(time.Minute)
	item := s.call("GET", "/disputes?page_size=1", nil).body["items"].([]any)[0].(fields)
	for _, name := range []string{"amount", "business_id", "created_at", "currency", "dispute_id", "dispute_stage", "dispute_status", "payment_id"} {
		if text, ok := item[name].(string); !ok || text == "" {
			t.Errorf("%s: got %v, want a text", name, item[name])
		}
	}
	if len(item) != 8 {
		t.Errorf("got the members %v, want the eight that are documented", item)
	}
	for query, want := range map[string][]string{
		"?page_number=1":                                 {ids[1], ids[0]},
		"?page_number=2":                                 nil,
		"?dispute_status=dispute_lost":                   {ids[8], ids[4], ids[0]},
		"?dispute_stage=pre_dispute":                     nil,
		"?customer_id=cus_nobody":                        nil,
		"?created_at_gte=" + item["created_at"].(string): {ids[11]},
		"?created_at_lte=2026-02-01T00:00:00Z":           nil,
	} {
		if diff := cmp.Diff(want, list(query)); diff != "" {
			t.Errorf("%s differs (-want +got):\n%s", query, diff)
		}
	}
	for _, query := range []string{"?dispute_status=lost_in_space", "?page_size=101", "?created_at_gte=soon"} {
		s.want(query, s.call("GET", "/disputes"+query, nil), 422, "INVALID_QUERY_PARAMS")
	}
}

package web_test

import (
	"slices"
	"strings"
	"testing"
)

// Anybody can have an app, and so a genuine notification of Apple's about it to send here
// as often as they like. It holds up none of ours.
func TestFloodOfAnotherAppsNoticesHoldsUpNoneOfOurs(t *testing.T) {
	s := theAppStore()
	w := newWorld(t)
	theirs := body(w.keep(s.sign(s.renewed().in("data", object{
		"bundleId": "com.example.another", "signedTransactionInfo": s.sign(transaction().with("bundleId", "com.example.another")), "signedRenewalInfo": nil,
	}))))
	for range 5 {
		w.expect(200, "", "POST", appleWebhook, nil, theirs)
	}
	w.expect(200, "", "POST", appleWebhook, nil, body(w.keep(s.sign(s.renewed()))))
	want := append(slices.Repeat([]string{"apple#default#production#nothing"}, 5), "apple#default#production")
	if !slices.Equal(w.notices.groups, want) {
		t.Errorf("groups: got %q, want %q", w.notices.groups, want)
	}
}

// Who has a copy of a signed transaction that was claimed gets nothing by it, whatever it
// calls itself.
func TestACopyOfASignedTransactionIsWorthNothingToOthers(t *testing.T) {
	s := theAppStore()
	w := newWorld(t)
	w.realApple()
	signed := w.keep(s.sign(transaction()))
	w.expect(200, "", "POST", "/v1/purchases", server("victim"), claimOf(signed))
	for _, id := range []string{"thief", "victim#", "victim%23", "VICTIM", "victi\u043c", "vi\u0301ctim", "victim/x", "../victim", "alias#apple#victim", "victim#head"} {
		claim := strings.Replace(claimOf(signed), "{", `{"customerId":"`+id+`",`, 1)
		a := w.ask("POST", "/v1/purchases", header{"Authorization": "Bearer " + publicKey}, claim)
		if a.status != 409 || a.code() != "owned_by_another_customer" || strings.Contains(a.text, "victim") {
			t.Errorf("%q: got %d %s, want a conflict that says nothing of its owner", id, a.status, a.text)
		}
	}
}

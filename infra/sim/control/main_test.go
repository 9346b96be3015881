package main

import (
	"strings"
	"testing"

	"grantline/infra/sim"
)

func TestCommandMakesThingsHappen(t *testing.T) {
	server, err := sim.Start(t.Context(), sim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	for _, c := range []struct {
		arguments string
		want      string // in what it prints, or in the error
		fails     bool
	}{
		{"toss.decline code=REJECT_CARD_PAYMENT count=1", "{}", false},
		{"EVENT=toss.decline CODE=REJECT_CARD_PAYMENT GRANTLINE_SIM_PORT=4000", "{}", false},
		{"appsintoss.order sku=gems-100", `{"orderId":"`, false},
		{"apple.buy productId=com.example.gems100", `"signedTransaction":"`, false},
		{"unkind percent=0", "{}", false},
		{"appsintoss.effects", `"sequence":1`, false},
		{"appsintoss.effects after=1", `{"effects":[]}`, false},
		{"EVENT=dodo.decline CODE=INSUFFICIENT_FUNDS count=2", "{}", false},
		{"dodo.rotate-secret", `{"secret":"whsec_`, false},
		{"dodo.webhooks", `{"webhooks":[]}`, false},
		{"dodo.approve email=nobody@example.com", "nobody has used", true},
		{"apple.webhooks", `{"webhooks":[]}`, false},
		{"appsintoss.webhooks", `{"webhooks":[]}`, false},
		{"", "toss.decline\n    Refuses the next count charges", false},
		{"toss.decline code=NEVER_HEARD_OF", "not one that Toss documents", true},
		{"toss.nothing", "no such control", true},
		{"toss.decline REJECT_CARD_PAYMENT", "name=value", true},
		{"../toss/decline code=x", "<provider>.<event>", true},
	} {
		var out strings.Builder
		err := run(t.Context(), server.URL(), strings.Fields(c.arguments), &out)
		got := out.String()
		if err != nil {
			got = err.Error()
		}
		if (err != nil) != c.fails || !strings.Contains(got, c.want) {
			t.Errorf("%q: got %q (failed: %t), want %q (failed: %t)", c.arguments, got, err != nil, c.want, c.fails)
		}
	}
	if err := run(t.Context(), "http://127.0.0.1:1", nil, &strings.Builder{}); err == nil || !strings.Contains(err.Error(), "make run") {
		t.Errorf("nothing running: got %v, want a hint", err)
	}
}

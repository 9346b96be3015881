package journeys_test

import (
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var shellBlock = regexp.MustCompile("(?s)```sh\n(.*?)```")

// What the README tells a newcomer to type does what it says.
func TestTheReadmesTourIsTrue(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"bash", "curl", "make", "python3"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("the tour needs %s", tool)
		}
	}
	root := filepath.Join("..", "..", "..")
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, tour, ok := strings.Cut(string(text), "\n## A tour\n")
	if !ok {
		t.Fatal("the README has no tour")
	}
	tour, _, _ = strings.Cut(tour, "\n## ")
	s := start(t, nil)
	sim, err := url.Parse(s.SimURL())
	if err != nil {
		t.Fatal(err)
	}
	script := "set -euo pipefail\n"
	for _, block := range shellBlock.FindAllStringSubmatch(tour, -1) {
		script += block[1]
	}
	script = strings.NewReplacer("http://127.0.0.1:3000", s.URL(), "http://127.0.0.1:4000", s.SimURL()).Replace(script)
	bash := exec.CommandContext(t.Context(), "bash", "-c", script)
	bash.Dir = root
	bash.Env = append(os.Environ(), "GRANTLINE_SIM_PORT="+sim.Port())
	out, err := bash.CombinedOutput()
	if err != nil {
		t.Fatalf("it ended with %v and said %s", err, out)
	}
	rest := string(out)
	for _, want := range []string{
		`{"ok":true}`, `{"ok":true}`, `"state":"active"`, `"state":"grace"`, `"balance":100`, `"state":"past_due"`,
		`"sequence":1,"type":"purchase.granted"`, `"sequence":2,"type":"subscription.created"`, `"sequence":3,"type":"subscription.activated"`,
		`"sequence":4,"type":"charge.declined"`, `"sequence":5,"type":"dunning.reminder"`, `"sequence":6,"type":"subscription.recovered"`,
		`"channel":"email","to":"minji@example.com"`, `"orderId":"stickers-12","period":null,"attempt":null,"state":"paid"`, `"refunded":1000`,
		`"reference":"ticket-5561"`, `"id":"minji-premium"`, `"cancelAt":`, `"id":"minji-abroad"`, `"state":"pending"`, `"paymentLink":`,
		`"id":"minji-abroad"`, `"state":"active","period":1`, `"state":"past_due"`, `"paymentMethodRequired":true`, `"paymentLink":`,
		`"state":"active","period":2`,
		`"order":{"id":"apple_`, `"state":"granted"`, `"finish":true,"checked":"app_store"`, `{"id":"ad_free","active":true`, `{"id":"ad_free","active":false`,
		`"kind":"promotional_v1","keyId":"`, `"appAccountToken":"`,
		`"order":{"id":"play_GPA.`, `"state":"granted","quantity":3,"walletCurrency":"gems","credited":300`, `"gems":{"balance":400`, `"gems":{"balance":200`,
		`"reference":"hat-1","amount":50,"refunded":0`, `"gems":{"balance":150`, `"reference":"hat-1","amount":50,"refunded":0`, `"gems":{"balance":150`,
		`"refunded":50`, `"gems":{"balance":200`, `"entitlement":"premium"`, `"active":true`, `"because":[`, `"type":"subscription.created"`,
	} {
		_, after, found := strings.Cut(rest, want)
		if !found {
			t.Fatalf("there is no %s where it should come in %s", want, out)
		}
		rest = after
	}
}

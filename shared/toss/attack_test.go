package toss_test

import (
	"testing"

	"grantline/shared/billing"
)

// What a payment says is shown to customers: an address that runs or hides something is
// none of a receipt.
func TestAReceiptIsAWebAddress(t *testing.T) {
	for address, receipt := range map[string]string{
		"https://toss.example/receipt?id=1": "https://toss.example/receipt?id=1",
		"javascript:alert(1)":               "",
		"data:text/html,<script>":           "",
		"https://user@toss.example/1":       "",
		"https://toss.example/ 1\n<b>":      "",
		"//toss.example/1":                  "",
	} {
		g := gateway(t, "https://toss.example", says{status: 200, body: payment(t, map[string]any{"receipt": map[string]any{"url": address}})}, &log{})
		if got := g.Find(t.Context(), order, billing.Want{Amount: amount}).Payment.ReceiptURL; got != receipt {
			t.Errorf("receipt %q: got %q, want %q", address, got, receipt)
		}
	}
}

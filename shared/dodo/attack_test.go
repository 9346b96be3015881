package dodo_test

import "testing"

// What a payment says is shown to customers: an address that runs or hides something is
// none of a receipt.
func TestAReceiptIsAWebAddress(t *testing.T) {
	for address, receipt := range map[string]string{
		"https://dodo.example/invoice/1": "https://dodo.example/invoice/1",
		"javascript:alert(1)":            "",
		"data:text/html,<script>":        "",
		"https://user@dodo.example/1":    "",
		"https://dodo.example/ 1\n<b>":   "",
		"//dodo.example/1":               "",
	} {
		_, url, transports := open(t, paid("pay_1", has{"invoice_url": address}))
		g := gateway(t, url, transports["own"], &log{})
		if got := g.Find(t.Context(), order, want).Payment.ReceiptURL; got != receipt {
			t.Errorf("receipt %q: got %q, want %q", address, got, receipt)
		}
	}
}

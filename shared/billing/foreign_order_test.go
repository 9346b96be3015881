package billing_test

import (
	"testing"

	"grantline/shared/billing"
	"grantline/shared/table"
)

// The orders table has purchases too, whose schema goes its own way.
func TestAPurchasesOrderOfALaterSchemaIsNoCharge(t *testing.T) {
	item := table.Item{Schema: 1000, Data: []byte(`{"id":"apple_1","kind":"purchase","state":7}`)}
	c, err := billing.DecodeCharge(item)
	if err != nil || c.ID != "apple_1" || c.Kind != "purchase" {
		t.Errorf("got %q of kind %q, %v, want apple_1 of kind purchase", c.ID, c.Kind, err)
	}
	for _, data := range []string{`{"id":"gl_1","kind":"charge"}`, `{"id":"gl_1"}`, `{`} {
		item.Data = []byte(data)
		if c, err := billing.DecodeCharge(item); err == nil {
			t.Errorf("%s of a later schema: got %+v, want an error", data, c)
		}
	}
}

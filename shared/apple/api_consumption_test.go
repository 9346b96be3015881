package apple_test

import (
	"strings"
	"testing"

	"grantline/shared/apple"
	"grantline/shared/fault"
)

// The rules are those of Send Consumption Information V2.
func TestConsumptionKeepsApplesRules(t *testing.T) {
	of := func(n int) *int { return &n }
	good := apple.Consumption{CustomerConsented: true, DeliveryStatus: apple.Delivered, Percentage: of(50_000)}
	for name, c := range map[string]struct {
		change func(*apple.Consumption)
		field  string // at fault, "" for none
	}{
		"as it is":              {func(*apple.Consumption) {}, ""},
		"no consent":            {func(c *apple.Consumption) { c.CustomerConsented = false }, "CustomerConsented"},
		"no delivery status":    {func(c *apple.Consumption) { c.DeliveryStatus = "" }, "DeliveryStatus"},
		"another status":        {func(c *apple.Consumption) { c.DeliveryStatus = "delivered" }, "DeliveryStatus"},
		"another preference":    {func(c *apple.Consumption) { c.Preference = "GRANT" }, "Preference"},
		"decline":               {func(c *apple.Consumption) { c.Preference = apple.PreferDecline }, ""},
		"full":                  {func(c *apple.Consumption) { c.Preference = apple.PreferFull }, ""},
		"nothing":               {func(c *apple.Consumption) { c.Percentage = of(0) }, ""},
		"all":                   {func(c *apple.Consumption) { c.Percentage = of(100_000) }, ""},
		"less than nothing":     {func(c *apple.Consumption) { c.Percentage = of(-1) }, "Percentage"},
		"more than all":         {func(c *apple.Consumption) { c.Percentage = of(100_001) }, "Percentage"},
		"used, not delivered":   {func(c *apple.Consumption) { c.DeliveryStatus = apple.UndeliveredWrongItem; c.Percentage = of(1) }, "Percentage"},
		"unused, not delivered": {func(c *apple.Consumption) { c.DeliveryStatus = apple.UndeliveredQualityIssue; c.Percentage = of(0) }, ""},
		"unsaid, not delivered": {func(c *apple.Consumption) { c.DeliveryStatus = apple.UndeliveredAnotherReason; c.Percentage = nil }, ""},
		"a part":                {func(c *apple.Consumption) { c.Preference = apple.PreferProrated }, ""},
		"a part of unsaid":      {func(c *apple.Consumption) { c.Preference = apple.PreferProrated; c.Percentage = nil }, ""},
		"a part of nothing":     {func(c *apple.Consumption) { c.Preference = apple.PreferProrated; c.Percentage = of(0) }, "Percentage"},
		"a part of all":         {func(c *apple.Consumption) { c.Preference = apple.PreferProrated; c.Percentage = of(100_000) }, "Percentage"},
	} {
		s := newAppStore(t, turn{status: 202})
		told := good
		c.change(&told)
		err := s.api().SendConsumption(t.Context(), inProduction, apiTID, told)
		if c.field == "" {
			if err != nil || len(s.requests()) != 1 {
				t.Errorf("%s: got %v after %d requests, want it sent", name, err, len(s.requests()))
			}
			continue
		}
		_ = kindIs(t, name, err, fault.Malformed)
		if !strings.Contains(err.Error(), c.field) || len(s.requests()) != 0 {
			t.Errorf("%s: got %v after %d requests, want %s refused before any", name, err, len(s.requests()), c.field)
		}
	}
}

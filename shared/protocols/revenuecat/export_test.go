package revenuecat

import "grantline/shared/event"

// Decided says whether there is an entry for a type.
func Decided(t event.Type) bool {
	_, ok := words[t]
	return ok
}

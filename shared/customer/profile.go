package customer

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"grantline/shared/fault"
)

// Profile is the personal side of a customer; it is kept nowhere else.
type Profile struct {
	ID     string `json:"id"` // the company's first id for the customer
	Email  string `json:"email,omitempty"`
	Phone  string `json:"phone,omitempty"`
	Name   string `json:"name,omitempty"`
	Locale string `json:"locale,omitempty"`
	// Others are the company's other ids for the customer, by our own id for each.
	Others map[string]string `json:"others,omitempty"`
	// SignedIn says that somebody signed in under the first id, though it looks anonymous.
	SignedIn bool `json:"signedIn,omitempty"`
}

// Valid says whether the profile can be kept and be put into a charge.
func (p Profile) Valid() error {
	for name, f := range map[string]struct {
		text string
		most int
	}{"email": {p.Email, 100}, "phone": {p.Phone, 32}, "name": {p.Name, 100}, "locale": {p.Locale, 35}} {
		bad := func(r rune) bool { return !unicode.IsPrint(r) }
		if len([]rune(f.text)) > f.most || !utf8.ValidString(f.text) || strings.ContainsFunc(f.text, bad) {
			return fault.New(fault.Malformed, "invalid_request", "%s should be at most %d printable characters.", name, f.most)
		}
	}
	if at := strings.LastIndexByte(p.Email, '@'); p.Email != "" && (at < 1 || at == len(p.Email)-1 || strings.ContainsAny(p.Email, " ,;<>")) {
		return fault.New(fault.Malformed, "invalid_request", "email should be one address.")
	}
	return nil
}

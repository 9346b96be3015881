package dodo

import (
	"encoding/json"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"
)

// maxText bounds a text that is taken from an answer, in bytes; the longest, a page's
// address, is some 200.
const maxText = 2000

var (
	// idShape is how an id of Dodo's may look: it goes into an address and into records.
	idShape = regexp.MustCompile(`^[A-Za-z0-9_-]{1,100}$`)
	// codeShape is how Dodo writes its codes. A code is kept with the charge and shown, so
	// that what only looks like one does not pass.
	codeShape = regexp.MustCompile(`^[A-Z][A-Z0-9_]{0,63}$`)
	// currencyShape is an ISO 4217 code.
	currencyShape = regexp.MustCompile(`^[A-Z]{3}$`)
)

// object is a JSON object of an answer, member by member. Dodo adds members as it goes,
// so each is read alone: one that is missing or of another type is a zero value, and
// spoils no other. Names are compared with their case, which encoding/json's structs do
// not.
type object map[string]json.RawMessage

// readObject reads text, or returns nil if it is not one JSON object in UTF-8.
func readObject(text []byte) object {
	var o object
	if !utf8.Valid(text) || json.Unmarshal(text, &o) != nil {
		return nil
	}
	return o
}

// object is a member that is an object, nil if it is not.
func (o object) object(name string) object {
	if o[name] == nil {
		return nil
	}
	return readObject(o[name])
}

// list is a member that is a list, false if it is not; what is no object in it is nil.
func (o object) list(name string) ([]object, bool) {
	var raw []json.RawMessage
	if o[name] == nil || json.Unmarshal(o[name], &raw) != nil || raw == nil {
		return nil, false
	}
	list := make([]object, len(raw))
	for i := range raw {
		list[i] = readObject(raw[i])
	}
	return list, true
}

// text is a member that is a text of up to maxText bytes, "" if it is not.
func (o object) text(name string) string {
	var s string
	if o[name] == nil || json.Unmarshal(o[name], &s) != nil || len(s) > maxText {
		return ""
	}
	return s
}

// id is a member that is an id, "" if it is not.
func (o object) id(name string) string {
	if s := o.text(name); idShape.MatchString(s) {
		return s
	}
	return ""
}

// code is a member that is a code in either case, in upper case, "" if it is none.
func (o object) code(name string) string {
	if s := strings.ToUpper(o.text(name)); codeShape.MatchString(s) {
		return s
	}
	return ""
}

// integer is a member that is a whole number written as one, false if it is not.
func (o object) integer(name string) (int64, bool) {
	var n *int64
	if o[name] == nil || json.Unmarshal(o[name], &n) != nil || n == nil {
		return 0, false
	}
	return *n, true
}

// yes is a member that is true.
func (o object) yes(name string) bool {
	var b bool
	return o[name] != nil && json.Unmarshal(o[name], &b) == nil && b
}

// at is a member that is an RFC 3339 instant, in UTC, the zero time if it is not.
func (o object) at(name string) time.Time {
	t, err := time.Parse(time.RFC3339, o.text(name))
	if err != nil {
		return time.Time{}
	}
	return t.UTC()
}

package toss

import (
	"encoding/json"
	"unicode/utf8"
)

// maxText bounds a text that is taken from an answer, in bytes; Toss's longest, a
// receipt's address, is some 150.
const maxText = 1000

// object is a JSON object of an answer, member by member. Toss adds members and changes
// what it does not decide by without a new version, so each is read alone: one that is
// missing or of another type is a zero value, and spoils no other. Names are compared
// with their case, which encoding/json's structs do not.
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

// readObjects reads text, or is false if it is not one JSON array of objects in UTF-8.
func readObjects(text []byte) ([]object, bool) {
	var raw []json.RawMessage
	if !utf8.Valid(text) || json.Unmarshal(text, &raw) != nil || raw == nil {
		return nil, false
	}
	list := make([]object, len(raw))
	for i, r := range raw {
		if list[i] = readObject(r); list[i] == nil {
			return nil, false
		}
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

// integer is a member that is a whole number written as one, false if it is not.
func (o object) integer(name string) (int64, bool) {
	var n *int64
	if o[name] == nil || json.Unmarshal(o[name], &n) != nil || n == nil {
		return 0, false
	}
	return *n, true
}

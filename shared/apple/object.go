package apple

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"time"
	"unicode/utf8"
)

// Apple's objects have some forty members and nest three deep; beyond these bounds
// something is not Apple's.
const (
	maxMembers = 256
	maxDepth   = 16
)

// member is one name of a JSON object with its value, as it was written.
type member struct {
	name  string // unescaped, its case kept
	value []byte // JSON, aliasing the text
}

// readObject splits a JSON object into its members. It refuses, at any depth, what two
// readers may read differently: a name that occurs twice and text that is not UTF-8.
// encoding/json takes the last of two names and matches names without their case, so it
// is asked for syntax only.
func readObject(text []byte) ([]member, error) {
	if !utf8.Valid(text) || !json.Valid(text) {
		return nil, unreadable(ErrFormat)
	}
	w := walker{text: text}
	w.space()
	if w.text[w.at] != '{' {
		return nil, unreadable(ErrFormat)
	}
	return w.object(0)
}

// walker steps through text that is known to be valid JSON, so it looks at structure only.
type walker struct {
	text []byte
	at   int
}

func (w *walker) space() {
	for w.at < len(w.text) {
		switch w.text[w.at] {
		case ' ', '\t', '\r', '\n':
			w.at++
		default:
			return
		}
	}
}

// object reads from '{' to behind '}'.
func (w *walker) object(depth int) ([]member, error) {
	var members []member
	if depth == 0 {
		members = make([]member, 0, 32) // those within are small, and a stranger's may be many
	}
	w.at++
	for w.space(); w.text[w.at] != '}'; w.space() {
		if w.text[w.at] == ',' {
			w.at++
			w.space()
		}
		name, err := text(w.string())
		if err != nil {
			return nil, err
		}
		for _, m := range members {
			if m.name == name {
				return nil, unreadable(ErrDuplicate)
			}
		}
		if len(members) == maxMembers {
			return nil, unreadable(ErrFormat)
		}
		w.space()
		w.at++ // the colon
		w.space()
		start := w.at
		if err := w.skip(depth + 1); err != nil {
			return nil, err
		}
		members = append(members, member{name, w.text[start:w.at]})
	}
	w.at++
	return members, nil
}

// skip steps over one value, looking for duplicates inside it.
func (w *walker) skip(depth int) error {
	if depth > maxDepth {
		return unreadable(ErrFormat)
	}
	switch w.text[w.at] {
	case '{':
		_, err := w.object(depth)
		return err
	case '[':
		w.at++
		for w.space(); w.text[w.at] != ']'; w.space() {
			if w.text[w.at] == ',' {
				w.at++
				w.space()
			}
			if err := w.skip(depth + 1); err != nil {
				return err
			}
		}
		w.at++
	case '"':
		w.string()
	default:
		for w.at < len(w.text) && bytes.IndexByte([]byte(",]} \t\r\n"), w.text[w.at]) < 0 {
			w.at++
		}
	}
	return nil
}

// string steps over a string and returns it with its quotes.
func (w *walker) string() []byte {
	start := w.at
	for w.at++; w.text[w.at] != '"'; w.at++ {
		if w.text[w.at] == '\\' {
			w.at++
		}
	}
	w.at++
	return w.text[start:w.at]
}

// text reads a JSON string.
func text(value []byte) (string, error) {
	if value[0] != '"' {
		return "", unreadable(ErrClaims)
	}
	if bytes.IndexByte(value, '\\') < 0 {
		return string(value[1 : len(value)-1]), nil
	}
	var s string
	if err := json.Unmarshal(value, &s); err != nil {
		return "", unreadable(ErrClaims)
	}
	return s, nil
}

// inner reads a value that has to be an object.
func inner(value []byte) ([]member, error) {
	if value[0] != '{' {
		return nil, unreadable(ErrClaims)
	}
	return readObject(value)
}

// array reads a JSON array.
func array(value []byte) ([]json.RawMessage, error) {
	if value[0] != '[' {
		return nil, unreadable(ErrClaims)
	}
	var values []json.RawMessage
	if json.Unmarshal(value, &values) != nil {
		return nil, unreadable(ErrClaims)
	}
	return values, nil
}

// texts reads an array of strings.
func texts(value []byte) ([]string, error) {
	values, err := array(value)
	if err != nil {
		return nil, err
	}
	out := make([]string, len(values))
	for i, v := range values {
		if out[i], err = text(v); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// keep puts a member that has no field of its own into other.
func keep(other *map[string]json.RawMessage, c member) {
	if *other == nil {
		*other = make(map[string]json.RawMessage)
	}
	(*other)[c.name] = json.RawMessage(c.value)
}

// number reads a JSON number of any form.
func number(value []byte) (float64, error) {
	if value[0] != '-' && (value[0] < '0' || value[0] > '9') {
		return 0, unreadable(ErrClaims)
	}
	n, err := strconv.ParseFloat(string(value), 64)
	if err != nil {
		return 0, unreadable(ErrClaims)
	}
	return n, nil
}

// whole reads an integer that fits 32 bits, as counts and codes do.
func whole(value []byte) (int, error) {
	n, err := number(value)
	if err != nil {
		return 0, err
	}
	if n != math.Trunc(n) || n < math.MinInt32 || n > math.MaxInt32 {
		return 0, unreadable(ErrClaims)
	}
	return int(n), nil
}

// truth reads a JSON boolean.
func truth(value []byte) (bool, error) {
	switch string(value) {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, unreadable(ErrClaims)
}

// The years 0 to 9999, which is what RFC 3339 can write.
const (
	firstMilli = -62167219200000
	lastMilli  = 253402300799999
)

// date reads milliseconds since 1970. Signers write fractions (1697679936049.7297) and
// years before 1 (-62135769600000): fractions are cut off.
func date(value []byte) (time.Time, error) {
	n, err := number(value)
	if err != nil {
		return time.Time{}, err
	}
	if n < firstMilli || n > lastMilli {
		return time.Time{}, unreadable(ErrClaims)
	}
	t := time.UnixMilli(int64(n)).UTC()
	if t.IsZero() {
		// The one instant that would read as "no date": a revocation would be lost.
		return time.Time{}, unreadable(ErrClaims)
	}
	return t, nil
}

package memory

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"

	"grantline/shared/table"
)

// objectToData looks at each name and value of an item's Data, and keeps none of them.
func objectToData(in table.Table, data []byte) {
	switch {
	case !utf8.Valid(data):
		object("Data of an item in %s is not UTF-8", in)
	case !json.Valid(data) || bytes.TrimLeft(data, " \t\r\n")[0] != '{':
		object("Data of an item in %s is not a JSON object and nothing else", in)
	}
	depth := -1 // of the object or array that is open; the whole is 0 deep
	for n := 0; n < len(data); {
		end := n + 1
		value := depth + 1 // how deep what begins here is
		switch c := data[n]; {
		case c == '{', c == '[':
			depth++
		case c == '}', c == ']':
			depth--
			value = depth
		case c == '"':
			end = n + text(data[n:])
			if rest := bytes.TrimLeft(data[end:], " \t\r\n"); rest[0] == ':' {
				value = depth
				objectToName(in, data[n:end], depth == 0)
			}
		case c == '-', c >= '0' && c <= '9':
			end = n + word(data[n:])
			if !storable(string(data[n:end])) {
				object("Data of an item in %s has a number of more than %d digits or out of range", in, maxDigits)
			}
		case c >= 'a' && c <= 'z': // true, false, null
			end = n + word(data[n:])
		default: // between values
			value = depth
		}
		if value > maxDepth {
			object("Data of an item in %s is nested more than %d deep", in, maxDepth)
		}
		n = end
	}
}

// objectToName is about a member's name as it is written, quotes included; top says that it
// is of the object that is the whole Data.
func objectToName(in table.Table, written []byte, top bool) {
	name := written[1 : len(written)-1]
	if bytes.IndexByte(name, '\\') >= 0 {
		var read string
		if err := json.Unmarshal(written, &read); err != nil {
			object("Data of an item in %s has a name that cannot be read", in)
		}
		name = []byte(read)
	}
	if len(name) == 0 {
		object("Data of an item in %s has a member without a name", in)
	}
	if top && slices.ContainsFunc(reserved, func(r string) bool { return r == string(name) }) {
		object("Data of an item in %s has a member %q, a name that is taken", in, string(name))
	}
}

// text is how long the text at the front of valid JSON is, quotes included.
func text(data []byte) int {
	for n := 1; ; n++ {
		switch data[n] {
		case '"':
			return n + 1
		case '\\':
			n++
		}
	}
}

// word is how long the number, or true, false or null, at the front of valid JSON is.
func word(data []byte) int {
	for n, c := range data {
		if strings.IndexByte(",]} \t\r\n", c) >= 0 {
			return n
		}
	}
	return len(data)
}

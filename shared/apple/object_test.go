package apple

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestObjectIsSplitAsItWasWritten(t *testing.T) {
	text := " { \"a\" : 1 , \"b\":\"x\\\"}\", \"\\u0063\":[ 1, {\"a\":{}} ,[]],\"d\": -1.5e3 , \"e\":true,\"f\":null } \n"
	got, err := readObject([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	want := []member{
		{"a", []byte("1")},
		{"b", []byte(`"x\"}"`)},
		{"c", []byte(`[ 1, {"a":{}} ,[]]`)},
		{"d", []byte("-1.5e3")},
		{"e", []byte("true")},
		{"f", []byte("null")},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(member{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestNestingIsBounded(t *testing.T) {
	for _, c := range []struct {
		depth int
		ok    bool
	}{{maxDepth, true}, {maxDepth + 1, false}, {5000, false}} {
		text := `{"a":` + strings.Repeat("[", c.depth) + strings.Repeat("]", c.depth) + "}"
		if _, err := readObject([]byte(text)); (err == nil) != c.ok {
			t.Errorf("depth %d: error %v, want ok %v", c.depth, err, c.ok)
		}
	}
}

// Whatever readObject accepts, encoding/json reads in the same way.
func FuzzObject(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"a":1}`, `{"a":1,"a":2}`, `{"a":{"b":1,"b":1}}`, ` {"a":[1,"]",{"x":"}"}]}`, `{"\u0061":1,"a":2}`,
		`{"\ud800":1,"\ud801":2}`, `[]`, `null`, `{"a":1}{}`, "{\"\xff\":1}", `{"":""}`, `{"a":"\\","b":"\\\""}`, `{"a":-0.0e-1}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		members, err := readObject(data)
		var want map[string]json.RawMessage
		wrong := json.Unmarshal(data, &want)
		if err != nil {
			return
		}
		if wrong != nil {
			t.Fatalf("accepted %q, which encoding/json refuses: %v", data, wrong)
		}
		if len(members) != len(want) {
			t.Fatalf("%q has %d members, want %d", data, len(members), len(want))
		}
		for _, m := range members {
			if !bytes.Equal(m.value, want[m.name]) {
				t.Errorf("%q: %q is %q, want %q", data, m.name, m.value, want[m.name])
			}
			// No reader of a value panics, whatever the value.
			_, _ = text(m.value)
			_, _ = identifier(m.value)
			_, _ = whole(m.value)
			_, _ = truth(m.value)
			_, _, _ = integer(m.value)
			if d, err := date(m.value); err == nil && (d.Year() < 0 || d.Year() > 9999 || d.IsZero()) {
				t.Errorf("%q is the date %v", m.value, d)
			}
		}
	})
}

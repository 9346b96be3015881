package memory_test

import (
	"strings"
	"testing"

	"grantline/shared/memory"
	"grantline/shared/table"
)

// TestDataThatDynamoWouldNotTakeIsNonsense: what the adapter could not keep as attributes is
// refused here as well, however it is written.
func TestDataThatDynamoWouldNotTakeIsNonsense(t *testing.T) {
	nested := func(open, inner, closed string, depth int) string {
		return `{"a":` + strings.Repeat(open, depth) + inner + strings.Repeat(closed, depth) + `}`
	}
	for text, ok := range map[string]bool{
		`{}`: true, " {\n\t} ": true,
		``: false, ` `: false, `null`: false, `[]`: false, `"{}"`: false, `1`: false, `{}{}`: false, `{} x`: false, `{`: false, `{"a":1,}`: false,
		"{\"a\":\"\xff\"}":                  false,
		`{"revision":1}`:                    false,
		`{"rev\u0069sion":1}`:               false,
		`{ "pk" : 1}`:                       false,
		`{"a":{"pk":1}}`:                    true, // only the whole's members become attributes
		`{"a":["pk"]}`:                      true,
		`{"a":"pk"}`:                        true,
		`{"a":"}\\\"{:"}`:                   true,
		`{"":1}`:                            false,
		`{"a":[{"" :1}]}`:                   false,
		`{"a":"","b":[""]}`:                 true,
		`{"a":[true,false,null,-1.5e3, 0]}`: true,
		`{"a":[1, {"b" : 123456789012345678901234567890123456789 }]}`: false,
		`{"a":"123456789012345678901234567890123456789"}`:             true,
		nested("[", "", "]", 30):                                      true,
		nested("[", "", "]", 31):                                      false,
		nested("[", "1", "]", 29):                                     true,
		nested("[", "1", "]", 30):                                     false,
		nested("[", `"x"`, "]", 29):                                   true,
		nested("[", `"x"`, "]", 30):                                   false,
		nested(`{"b":`, "null", "}", 29):                              true,
		nested(`{"b":`, "null", "}", 30):                              false,
		nested(`{"b":`, "{}", "}", 29):                                true,
		nested(`{"b":`, "{}", "}", 30):                                false,
		nested(`[`, "1],[1", "]", 29):                                 true,
		`{"a":` + strings.Repeat("[],", 5) + `{}}`:                    false,
		`{"a":[` + strings.Repeat("[],", 50) + `{}]}`:                 true,
	} {
		panics := true
		func() {
			defer func() { _ = recover() }()
			i := order("o")
			i.Data = []byte(text)
			_ = memory.New().Commit(t.Context(), table.Inserted(i))
			panics = false
		}()
		if panics == ok {
			t.Errorf("Data %q: got refused %v, want %v", text, panics, !ok)
		}
	}
}

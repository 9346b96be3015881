package journeys

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// response is what a request was answered.
type response struct {
	status int
	body   any // decoded JSON, nil if there was none
	text   string
}

// fits says why a response does not fit an expectation, or nil.
func (r response) fits(words []string) error {
	rest := words[1:]
	if !strings.HasPrefix(rest[0], ".") {
		if slices.Contains(rest, strconv.Itoa(r.status)) {
			return nil
		}
		return fmt.Errorf("status is %d: %s", r.status, r.text)
	}
	got, found := at(r.body, rest[0])
	switch strings.Join(rest[1:min(len(rest), 3)], " ") {
	case "absent":
		if !found {
			return nil
		}
	case "exists":
		if found {
			return nil
		}
	case "not before":
		other, _ := at(r.body, rest[3])
		a, err1 := instant(got)
		b, err2 := instant(other)
		if err1 == nil && err2 == nil && !a.Before(b) {
			return nil
		}
	default:
		return compare(got, found, rest, r.text)
	}
	return fmt.Errorf("%s is %v in %s", rest[0], got, r.text)
}

func compare(got any, found bool, rest []string, text string) error {
	wrong := fmt.Errorf("%s is %v (found %v) in %s", rest[0], got, found, text)
	switch rest[1] {
	case "==", "!=":
		var want any
		if err := json.Unmarshal([]byte(strings.Join(rest[2:], " ")), &want); err != nil {
			return fmt.Errorf("%q is no JSON value", strings.Join(rest[2:], " "))
		}
		if (found && reflect.DeepEqual(got, want)) == (rest[1] == "==") {
			return nil
		}
	case "has":
		list, ok := got.([]any)
		if n, err := strconv.Atoi(rest[2]); ok && err == nil && len(list) == n {
			return nil
		}
	case "within":
		d, err1 := time.ParseDuration(rest[2])
		want, err2 := time.Parse(time.RFC3339, rest[4])
		is, err3 := instant(got)
		if err1 == nil && err2 == nil && err3 == nil && is.Sub(want).Abs() <= d {
			return nil
		}
	default:
		return fmt.Errorf("nobody knows what %q means", strings.Join(rest, " "))
	}
	return wrong
}

func instant(v any) (time.Time, error) {
	s, _ := v.(string)
	return time.Parse(time.RFC3339, s)
}

// at finds .a.b[0].c in a decoded JSON value. [last] is the last member of a list, and
// [id=premium] the first whose member id is "premium".
func at(v any, path string) (any, bool) {
	for path != "" {
		switch {
		case strings.HasPrefix(path, "."):
			end := strings.IndexAny(path[1:], ".[") + 1
			if end == 0 {
				end = len(path)
			}
			object, ok := v.(map[string]any)
			if !ok {
				return nil, false
			}
			if v, ok = object[path[1:end]]; !ok {
				return nil, false
			}
			path = path[end:]
		case strings.HasPrefix(path, "["):
			index, rest, ok := strings.Cut(path[1:], "]")
			list, isList := v.([]any)
			if !ok || !isList {
				return nil, false
			}
			i := find(list, index)
			if i < 0 || i >= len(list) {
				return nil, false
			}
			v, path = list[i], rest
		default:
			return nil, false
		}
	}
	return v, true
}

func find(list []any, index string) int {
	if index == "last" {
		return len(list) - 1
	}
	if name, value, ok := strings.Cut(index, "="); ok {
		return slices.IndexFunc(list, func(member any) bool {
			object, _ := member.(map[string]any)
			return fmt.Sprint(object[name]) == value
		})
	}
	i, err := strconv.Atoi(index)
	if err != nil {
		return -1
	}
	return i
}

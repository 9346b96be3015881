// Package apigw is the part of an API Gateway HTTP API that a function can notice: which
// route a request takes, the event it becomes (payload format 2.0), what becomes of the
// answer, and the limits on the way. It adds no CORS; the functions answer OPTIONS.
package apigw

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// Route sends requests to a function.
type Route struct {
	Method   string // upper case, or ANY
	Path     string // segments may be {name}, the last one {name+}; or "$default"
	Function string
}

// key is the route's name in events.
func (r Route) key() string {
	if r.Path == "$default" {
		return "$default"
	}
	return r.Method + " " + r.Path
}

// segment kinds, the more specific one first.
const (
	literal = iota
	parameter
	greedy
)

func kindOf(segment string) int {
	switch {
	case strings.HasPrefix(segment, "{") && strings.HasSuffix(segment, "+}"):
		return greedy
	case strings.HasPrefix(segment, "{") && strings.HasSuffix(segment, "}"):
		return parameter
	default:
		return literal
	}
}

// checkRoutes refuses what API Gateway would not create.
func checkRoutes(routes []Route) error {
	seen := map[string]bool{}
	for _, r := range routes {
		if seen[r.key()] {
			return fmt.Errorf("apigw: route %q is there twice", r.key())
		}
		seen[r.key()] = true
		if r.Path == "$default" {
			continue
		}
		segments := strings.Split(r.Path, "/")
		if segments[0] != "" {
			return fmt.Errorf("apigw: route %q: want a path that begins with a slash", r.key())
		}
		for i, s := range segments {
			if kindOf(s) == greedy && i != len(segments)-1 {
				return fmt.Errorf("apigw: route %q: only the last segment may be greedy", r.key())
			}
		}
	}
	return nil
}

// sorted puts routes into the order in which they are tried: the most specific path first,
// for the same path a named method before ANY, $default last (API Gateway developer guide,
// "Routing API requests").
func sorted(routes []Route) []Route {
	rank := func(r Route) string {
		if r.Path == "$default" {
			return "9"
		}
		var b strings.Builder
		for segment := range strings.SplitSeq(r.Path, "/") {
			fmt.Fprintf(&b, "%d", kindOf(segment))
		}
		order := b.String()
		if !strings.HasSuffix(order, "2") {
			order = "0" + order // a full match goes before any greedy one
		} else {
			order = "1" + order
		}
		if r.Method == "ANY" {
			return order + "b"
		}
		return order + "a"
	}
	out := slices.Clone(routes)
	slices.SortStableFunc(out, func(a, b Route) int { return strings.Compare(rank(a), rank(b)) })
	return out
}

// match finds the route of a request and its path parameters. The path is matched decoded,
// as it is in the event: an escaped slash in a segment needs a {name+} route.
func match(routes []Route, method, path string) (Route, map[string]string, bool) {
	for _, r := range routes {
		if r.Method != "ANY" && r.Method != method {
			continue
		}
		if r.Path == "$default" {
			return r, nil, true
		}
		if parameters, ok := matchPath(r.Path, path); ok {
			return r, parameters, true
		}
	}
	return Route{}, nil, false
}

func matchPath(pattern, path string) (map[string]string, bool) {
	var parameters map[string]string
	set := func(segment, value string) {
		if parameters == nil {
			parameters = map[string]string{}
		}
		parameters[strings.Trim(segment, "{+}")] = value
	}
	want, got := strings.Split(pattern, "/"), strings.Split(path, "/")
	for i, segment := range want {
		if i >= len(got) {
			return nil, false
		}
		switch kindOf(segment) {
		case greedy:
			rest := strings.Join(got[i:], "/")
			if rest == "" {
				return nil, false
			}
			set(segment, rest)
			return parameters, true
		case parameter:
			if got[i] == "" {
				return nil, false
			}
			set(segment, got[i])
		default:
			if got[i] != segment {
				return nil, false
			}
		}
	}
	return parameters, len(want) == len(got)
}

// known methods; API Gateway refuses others.
var methods = []string{
	http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions,
}

package template

import (
	"encoding/json"
	"fmt"
	"strconv"
)

// reader reads resolved properties and keeps the first thing that was wrong.
type reader struct {
	scope scope
	of    map[string]any
	first *error
}

func (r *reader) err() error {
	if r.first == nil {
		return nil
	}
	return *r.first
}

func (r *reader) fail(name string, err error) {
	if r.first == nil {
		r.first = new(error)
	}
	if *r.first == nil {
		*r.first = fmt.Errorf("%s: %w", name, err)
	}
}

func (r *reader) value(name string) any {
	value, err := r.scope.resolve(r.of[name], 0)
	if err != nil {
		r.fail(name, err)
		return nil
	}
	if value == noValue {
		return nil
	}
	return value
}

func (r *reader) text(name, otherwise string) string {
	value := r.value(name)
	if value == nil {
		return otherwise
	}
	if tree, ok := value.(map[string]any); ok { // an Input may be written as a tree
		text, err := json.Marshal(tree)
		if err != nil {
			r.fail(name, err)
		}
		return string(text)
	}
	text, err := scalar(value)
	if err != nil {
		r.fail(name, err)
	}
	return text
}

func (r *reader) number(name string, otherwise int) int {
	text := r.text(name, "")
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		r.fail(name, fmt.Errorf("%q: want a number", text))
	}
	return n
}

func (r *reader) texts(name string) []string {
	value := r.value(name)
	if value == nil {
		return nil
	}
	list, err := scalars(value)
	if err != nil {
		r.fail(name, err)
	}
	return list
}

// in reads a nested mapping; what is wrong there is kept with the outer one.
func (r *reader) in(name string) *reader {
	if r.first == nil {
		r.first = new(error)
	}
	m, _ := r.value(name).(map[string]any)
	return &reader{scope: r.scope, of: m, first: r.first}
}

func (r *reader) list(name string) []*reader {
	if r.first == nil {
		r.first = new(error)
	}
	items, _ := r.value(name).([]any)
	var all []*reader
	for _, item := range items {
		m, _ := item.(map[string]any)
		all = append(all, &reader{scope: r.scope, of: m, first: r.first})
	}
	return all
}

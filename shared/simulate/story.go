package simulate

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// told is how many of the last events a Story keeps.
const told = 200_000

// Story is what happened last. Nothing is put into words before somebody asks.
type Story struct {
	lines []line
	n     int
}

type line struct {
	at               int64
	who, what, about string
}

// Tell adds an event: who did what, and about what.
func (s *Story) Tell(at int64, who, what, about string) {
	if l := (line{at, who, what, about}); len(s.lines) < told {
		s.lines = append(s.lines, l)
	} else {
		s.lines[s.n%told] = l
	}
	s.n++
}

// Tell adds an event of now.
func (w *World) Tell(who, what, about string) {
	w.note(who, what, about)
	w.Story.Tell(w.now, who, what, about)
}

// Last is the last events in words, oldest first: of those about which nothing says or that
// name one of the things given, most of them at most. With none given it is all.
func (s *Story) Last(most int, about ...string) string {
	var lines []string
	for i := range min(s.n, told) {
		l := s.lines[(s.n-1-i)%told]
		if len(about) > 0 && !slices.ContainsFunc(about, func(a string) bool { return names(l.about, a) || names(l.what, a) }) {
			continue
		}
		lines = append(lines, fmt.Sprintf("%s  %-16s %s  %s", time.Unix(0, l.at).UTC().Format("2006-01-02 15:04:05.000"), l.who, l.what, l.about))
		if len(lines) == most {
			break
		}
	}
	slices.Reverse(lines)
	return strings.Join(lines, "\n")
}

// names says whether a text has a name in it that goes no further.
func names(text, name string) bool {
	for {
		at := strings.Index(text, name)
		if at < 0 {
			return false
		}
		if text = text[at+len(name):]; text == "" || text[0] < '0' || text[0] > '9' {
			return true
		}
	}
}

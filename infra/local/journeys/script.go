// Package journeys tells what a customer, a company or a provider having a bad day lives
// through, as text that anybody can read, and runs it against a running stack: compiled
// functions, real tables, real queues, the simulators' log of what really happened.
//
// A journey is a file of lines:
//
//	# a comment
//	POST /api/iap/fulfill as minji {"orderId":"{order}"}     a request; {name} is filled in
//	patiently POST /v1/purchases as minji {}                 made again if the tables answer too late
//	50 times at once GET /v1/customers/minji as minji        patiently, and all answers must fit what follows
//	expect 200                                               its status, or one of: 201 or 202
//	expect .wallet.gems.balance == 100                       a JSON value in the answer
//	expect .charges has 13                                   so many members
//	expect .charges[1].dueAt within 10m of 2040-02-29T04:10:00Z
//	expect .charges[1].sentAt not before .charges[1].dueAt
//	expect .problem absent
//	keep order = .orderId                                    names a value for later
//	eventually GET /v1/subscriptions/s1 as server            asked again until what follows fits
//	clock 72h                                                moves the clock
//	clock until 2040-01-31T04:10:00Z
//	effects toss charged == 13                               entries of a kind in a simulator's log
//	effects toss charged once for each order                 no two of them are of one orderId
//	queues are empty                                         once nothing is under way; and no dead letter
//	rebuilt                                                  what all customers hold is what their events come to
//
// "as minji" signs in as that customer; "as app for minji" uses the public key; "as
// server" the secret key; "as server for minji" with the header as well. Paths under
// /_sim/ go to the simulators.
package journeys

import (
	"fmt"
	"regexp"
	"strings"
)

// line is one line of a journey.
type line struct {
	number int
	text   string
	words  []string
}

var blank = regexp.MustCompile(`\s+`)

// parse drops comments and blank lines.
func parse(text string) []line {
	var lines []line
	for i, l := range strings.Split(text, "\n") {
		l = strings.TrimSpace(l)
		if l == "" || strings.HasPrefix(l, "#") {
			continue
		}
		lines = append(lines, line{i + 1, l, blank.Split(l, -1)})
	}
	return lines
}

// request is a request line taken apart.
type request struct {
	method, path, as, body string
	times                  int  // 1 unless "n times at once"
	eventually             bool // asked again until the expectations fit
	patiently              bool // made again where tables under strain answered too late
}

var requestLine = regexp.MustCompile(`^(?:(eventually|patiently) |(\d+) times at once )?(GET|POST|PUT|DELETE|OPTIONS) (\S+)(?: as ((?:server|app)(?: for \S+)?|\S+))?(?: (\S.*))?$`)

func parseRequest(text string) (request, bool) {
	m := requestLine.FindStringSubmatch(text)
	if m == nil {
		return request{}, false
	}
	r := request{method: m[3], path: m[4], as: m[5], body: m[6], times: 1, eventually: m[1] == "eventually", patiently: m[1] == "patiently" || m[2] != ""}
	if m[2] != "" {
		_, _ = fmt.Sscan(m[2], &r.times)
	}
	return r, true
}

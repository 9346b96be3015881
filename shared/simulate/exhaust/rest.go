package exhaust

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"time"

	"grantline/shared/customer"
	"grantline/shared/fault"
	"grantline/shared/table"
)

// scope is where all races are.
var scope = table.Default

// silent is a log that nobody reads.
var silent = slog.New(slog.DiscardHandler)

func directory(tables table.Tables) customer.Directory {
	return customer.Directory{Tables: tables, Identity: customer.Identity{
		Key: func(context.Context, bool) (string, error) { return strings.Repeat("k", 32), nil },
	}}
}

// sealer makes each seal another one, by whose turn it is and how many it has made: the same
// whatever order the turns come in. What it hides is no secret.
type sealer struct{ path *Path }

const sealedBy = 16

func (s sealer) Seal(_ context.Context, plain, bound []byte) ([]byte, error) {
	var nonce uint64
	if r := s.path.acting(); r != nil {
		r.seals++
		nonce = r.seals
		for n, o := range s.path.racers {
			if o == r {
				nonce |= uint64(n+1) << 32
			}
		}
	} else {
		s.path.seals++
		nonce = s.path.seals
	}
	out := binary.BigEndian.AppendUint64(make([]byte, 0, sealedBy+len(plain)), nonce)
	out = binary.BigEndian.AppendUint64(out, sumOf(bound))
	return append(out, plain...), nil
}

func (s sealer) Open(_ context.Context, sealed, bound []byte) ([]byte, error) {
	if len(sealed) < sealedBy || binary.BigEndian.Uint64(sealed[8:]) != sumOf(bound) {
		return nil, errors.New("exhaust: this was not sealed for that")
	}
	return sealed[sealedBy:], nil
}

func sumOf(b []byte) uint64 {
	var p Print
	p.bytes(b)
	return p.sum
}

func must(err error) {
	if err != nil {
		panic("exhaust: bug: a scene could not be set: " + err.Error())
	}
}

func quiet() *Path {
	return newPath(&Set{Stage: func(*Path) {}}, &tree{seen: map[uint64]uint64{}})
}

func decoded[T any](item table.Item) (t T) {
	must(json.Unmarshal(item.Data, &t))
	return t
}

// again is what is done once more if it was not done, or nobody heard of it.
type again struct {
	Racer
	after  time.Duration
	do     func(context.Context) error
	always bool // whatever it failed with
}

// until lets time pass.
func (p *Path) until(at time.Time) { _ = p.World.Run(at) }

// mostTries is how often a message comes, and a request is repeated.
const mostTries = 8

type pending struct {
	again
	at    time.Time
	tries int
}

// pump has what waits done when it is time, until an instant.
func (p *Path) pump(of table.Table, wake func(ctx context.Context, id string) error, until time.Time, waiting []pending) {
	ctx := context.Background()
	for range 500 {
		key, sort := p.Tables.Due(of)
		next := until
		if sort != "" {
			at, err := time.Parse(time.RFC3339, sort[:len("2006-01-02T15:04:05Z")])
			must(err)
			if at.Before(next) {
				next = at
			}
		}
		which := -1
		for n, w := range waiting {
			if w.at.Before(next) || which < 0 && w.at.Equal(next) {
				next, which = w.at, n
			}
		}
		if !next.Before(until) {
			p.until(until)
			return
		}
		if p.until(next); p.World.Violated() != nil {
			return
		}
		if which >= 0 {
			w := waiting[which]
			waiting = append(waiting[:which:which], waiting[which+1:]...)
			err := w.do(ctx)
			p.Tell("%s  %s comes again: %v", p.World.Now().Format(time.TimeOnly), w.name, err)
			if err != nil && (w.always || errors.Is(err, fault.Unavailable)) {
				if w.tries++; w.tries == mostTries {
					p.Fail("nothing is stuck", "%s failed %d times, at last with %v", w.name, w.tries, err)
					return
				}
				if w.at = p.World.Now().Add(w.after); !w.always {
					w.at = p.World.Now().Add(min(time.Minute<<(2*w.tries), 12*time.Hour)) // who asks is patient
				}
				waiting = append(waiting, w)
			}
			continue
		}
		_, id, _ := strings.Cut(sort, "#")
		err := wake(ctx, id)
		p.Tell("%s  %s is woken: %v", p.World.Now().Format(time.DateTime), id, err)
		if _, is := p.Tables.Due(of); err != nil && is == sort {
			w := again{Racer{&racer{name: "a message about " + id}}, 6 * time.Minute, func(ctx context.Context) error { return wake(ctx, id) }, true}
			waiting = append(waiting, pending{w, p.World.Now().Add(w.after), 1})
			delete(p.Tables.due, key) // until it is written again
		}
	}
	p.Fail("nothing is stuck", "something is woken again and again until %s", p.World.Now())
}

// waitingFor is what has to be done once more after a race.
func waitingFor(now time.Time, all []again) (waiting []pending) {
	for _, a := range all {
		heard, err := a.Heard()
		if a.Begun() && !heard || err != nil && (a.always || errors.Is(err, fault.Unavailable)) {
			waiting = append(waiting, pending{a, now.Add(a.after), 0})
		}
	}
	return waiting
}

package telling

import (
	"context"
	"errors"
	"fmt"
	"time"

	"grantline/shared/delivery"
	"grantline/shared/fault"
	"grantline/shared/simulate"
	"grantline/shared/simulate/deployment"
	"grantline/shared/table"
)

// operator is the function in which operators have things done.
const operator = "api for operators"

// operate has a scope's endpoints made, and operators tend them until the end.
func (q *Quarter) operate(scope table.Scope) {
	servers := 2 + q.w.Dice.IntN(2)
	if scope != table.Default {
		servers = 1 + q.w.Dice.IntN(2)
	}
	for n := range servers {
		// The first is there before anything happens, and others come later.
		q.w.After(time.Duration(n)*q.within(3*24*time.Hour), func() { q.create(scope, fmt.Sprintf("shop-%d", n), q.chance(30)) })
	}
	q.tend(scope)
}

// tend has an operator do something, and something else later.
func (q *Quarter) tend(scope table.Scope) {
	q.w.After(time.Hour+q.within(max(40*time.Hour, q.o.Span/60)), func() {
		if q.over() {
			return
		}
		q.tend(scope)
		if q.calm {
			return
		}
		var at []*server
		for _, s := range q.servers {
			if s.scope == scope && !s.added.IsZero() && s.removed.IsZero() {
				at = append(at, s)
			}
		}
		if len(at) > 0 {
			q.change(at[q.w.Dice.IntN(len(at))])
		}
	})
}

// ask makes a request as an operator does, with repeats.
func (q *Quarter) ask(do func(ctx context.Context, r deployment.Endpoints) error, then func()) {
	q.d.Ask(operator, func(ctx context.Context, r *deployment.Release) error { return do(ctx, r.Endpoints) }, func(err error) {
		q.sound(err)
		if then != nil {
			then()
		}
	})
}

// sound holds an answer to that it is one of those that a caller can act on.
func (q *Quarter) sound(err error) {
	if err != nil && fault.Code(err) == "" && !errors.Is(err, simulate.Killed) {
		q.fail(Sound, "%v", err)
	}
}

// create makes an endpoint, of which nobody has heard so far.
func (q *Quarter) create(scope table.Scope, id string, beginner bool) {
	q.made++
	s := &server{
		name: scope.Environment + "/" + id, scope: scope, id: id, format: delivery.Standard, beginner: beginner,
		url:   fmt.Sprintf("https://%s.%s.example/hook?n=%d", id, scope.Environment, q.made),
		heard: map[*person]*hearing{}, mood: mood{until: q.w.Now().Add(q.within(4 * 24 * time.Hour))},
	}
	if q.chance(25) {
		s.format = delivery.RevenueCat
	}
	q.servers = append(q.servers, s)
	types := q.types()
	q.ask(func(ctx context.Context, r deployment.Endpoints) error {
		_, _, err := r.Create(ctx, scope, delivery.NewEndpoint{ID: id, URL: s.url, Format: s.format, Types: types, FromBeginning: beginner})
		return err
	}, nil)
}

// types are those that an endpoint asks for: mostly all.
func (q *Quarter) types() []string {
	some := [][]string{{"wallet.*"}, {"entitlement.granted", "entitlement.revoked", "customer.*"}, {"purchase.*", "subscription.*", "wallet.spent"}}
	if n := q.w.Dice.IntN(9); n < len(some) {
		return some[n]
	}
	return nil
}

func (q *Quarter) set(s *server, to delivery.Change) {
	q.ask(func(ctx context.Context, r deployment.Endpoints) error {
		_, err := r.Change(ctx, s.scope, s.id, to)
		return err
	}, nil)
}

var active, disabled = delivery.Active, delivery.Disabled

// change is what an operator does to an endpoint.
func (q *Quarter) change(s *server) {
	switch n := q.w.Dice.IntN(100); {
	case n < 18:
		q.ask(func(ctx context.Context, r deployment.Endpoints) error {
			_, _, err := r.Rotate(ctx, s.scope, s.id, "")
			return err
		}, nil)
	case n < 30:
		q.set(s, delivery.Change{State: &disabled})
		q.w.After(time.Minute+q.within(20*time.Hour), func() { q.set(s, delivery.Change{State: &active}) })
	case n < 36:
		q.set(s, delivery.Change{State: &active})
	case n < 46:
		// Those who look after it see that it is gone before they make another.
		q.ask(func(ctx context.Context, r deployment.Endpoints) error { return r.Remove(ctx, s.scope, s.id) }, func() {
			beginner := q.chance(30)
			q.w.After(3*time.Minute+q.within(20*time.Hour), func() { q.create(s.scope, s.id, beginner) })
		})
	case n < 58:
		types := q.types()
		q.set(s, delivery.Change{Types: &types})
	case n < 76:
		q.redrive(s, 20)
	case n < 92:
		q.replay(s)
	default:
		q.d.Once(operator, func(ctx context.Context, r *deployment.Release) error {
			_, err := r.Endpoints.Test(ctx, s.scope, s.id)
			return err
		}, q.sound)
	}
}

// redrive has dead letters told again, as long as there are more.
func (q *Quarter) redrive(s *server, most int) {
	more := false
	q.ask(func(ctx context.Context, r deployment.Endpoints) (err error) {
		_, more, err = r.Redrive(ctx, s.scope, s.id)
		return err
	}, func() {
		if most--; more && most > 0 {
			q.redrive(s, most)
		}
	})
}

// replay has a customer's events told again from some number on: one that was told, mostly, and
// at times one that was not yet.
func (q *Quarter) replay(s *server) {
	var of []*person
	for _, p := range q.all {
		if p.scope == s.scope && len(p.events) > 0 {
			of = append(of, p)
		}
	}
	if len(of) == 0 {
		return
	}
	p := of[q.w.Dice.IntN(len(of))]
	after := q.w.Dice.Int64N(int64(len(p.events)) + 2)
	q.ask(func(ctx context.Context, r deployment.Endpoints) error {
		return r.Replay(ctx, s.scope, s.id, p.ref, after)
	}, nil)
}

// mending has operators mend what they broke, each day for as long as it takes.
func (q *Quarter) mending(from time.Time) {
	for day := range int(Settle/(24*time.Hour)) - 2 {
		q.w.At(from.AddDate(0, 0, day).Add(q.within(time.Hour)), func() {
			if q.still() {
				q.mend(day)
			}
		})
	}
}

// mend has all servers be active, and dead letters sent again, once no more come, but those of
// every other server.
func (q *Quarter) mend(day int) {
	for n, s := range q.servers {
		if s.added.IsZero() || !s.removed.IsZero() {
			continue
		}
		if s.now().State != delivery.Active {
			q.set(s, delivery.Change{State: &active})
		}
		if n%2 == 0 && day > 3 {
			q.redrive(s, 100)
		}
	}
}

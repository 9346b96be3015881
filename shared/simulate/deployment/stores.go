package deployment

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"grantline/shared/notice"
	"grantline/shared/purchase"
	"grantline/shared/simulate/version"
)

// ordersBefore is what the book asks of a store whose evidence is the order's id itself.
type ordersBefore interface {
	OrderOf(p purchase.Proof) (order string, ok bool)
}

// asked is a store as another version asks it.
func asked(s purchase.Store) version.Store {
	reader, reads := s.(purchase.Reader)
	follower, follows := s.(purchase.Follower)
	acknowledger, acknowledges := s.(purchase.Acknowledger)
	orderer, orders := s.(ordersBefore)
	can := map[string]bool{"look": true}
	for what, is := range map[string]bool{"read": reads, "follow": follows, "acknowledge": acknowledges, "order of": orders} {
		if is {
			can[what] = true
		}
	}
	return version.Store{Can: can, Call: func(ctx context.Context, verb string, arguments ...json.RawMessage) ([]any, error) {
		var p purchase.Proof
		read := func(into ...any) error { return version.Read(arguments, into...) }
		switch verb {
		case "hear":
			var evidence string
			if err := read(&evidence); err != nil {
				return nil, err
			}
			news, err := follower.Hear(ctx, evidence)
			return []any{news}, err
		case "follow":
			var l purchase.Line
			if err := read(&l); err != nil {
				return nil, err
			}
			news, can, err := follower.Follow(ctx, l)
			return []any{news, can}, err
		case "report":
			var sale purchase.Sale
			var usage purchase.Usage
			if err := read(&sale, &usage); err != nil {
				return nil, err
			}
			return nil, follower.Report(ctx, sale, usage)
		case "acknowledge":
			var d purchase.Delivery
			if err := read(&d); err != nil {
				return nil, err
			}
			return nil, acknowledger.Acknowledge(ctx, d)
		}
		if err := read(&p); err != nil {
			return nil, err
		}
		switch verb {
		case "look":
			news, err := s.Look(ctx, p)
			return []any{news}, err
		case "read":
			sale, says, err := reader.Read(ctx, p)
			return []any{sale, says}, err
		case "line of":
			return []any{acknowledger.LineOf(p)}, nil
		case "order of":
			order, ok := orderer.OrderOf(p)
			return []any{order, ok}, nil
		}
		return nil, fmt.Errorf("deployment: no store can %s", verb)
	}}
}

// remembered is a store's memory as another version reads it.
func remembered(h notice.History) version.History {
	return version.History{
		Name: h.Name(), Keeps: h.Keeps(),
		Missed: func(ctx context.Context, from, to time.Time, page string) ([]json.RawMessage, string, error) {
			hints, next, err := h.Missed(ctx, from, to, page)
			if err != nil {
				return nil, next, err
			}
			texts := make([]any, len(hints))
			for n, hint := range hints {
				texts[n] = hint
			}
			all, err := version.Arguments(texts...)
			return all, next, err
		},
	}
}

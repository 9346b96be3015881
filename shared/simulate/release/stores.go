package release

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"grantline/shared/notice"
	"grantline/shared/purchase"
	"grantline/shared/simulate/version"
)

// asks asks a store and reads what it says, also beside an error.
func asks(ctx context.Context, s version.Store, verb string, arguments []any, into ...any) error {
	texts, err := version.Arguments(arguments...)
	if err != nil {
		return err
	}
	answer, failed := s.Call(ctx, verb, texts...)
	if answer == nil {
		return failed
	}
	if texts, err = version.Arguments(answer...); err == nil {
		err = version.Read(texts, into...)
	}
	if err != nil {
		return err
	}
	return failed
}

// What a store can do decides what is asked of it, so there is a type for each of the three.
type (
	looker       struct{ store version.Store }
	reader       struct{ store version.Store }
	follower     struct{ store version.Store }
	acknowledger struct{ store version.Store }
	orderer      struct{ store version.Store }

	apple struct {
		looker
		reader
		follower
	}
	play struct {
		looker
		follower
		acknowledger
	}
	appsintoss struct {
		looker
		follower
		orderer
	}
)

var (
	_ interface {
		purchase.Store
		purchase.Reader
		purchase.Follower
	} = apple{}
	_ interface {
		purchase.Store
		purchase.Follower
		purchase.Acknowledger
	} = play{}
	_ interface {
		purchase.Store
		purchase.Follower
	} = appsintoss{}
)

func openStore(s version.Store) purchase.Store {
	switch can := strings.Join(slices.Sorted(maps.Keys(s.Can)), ", "); can {
	case "follow, look, read":
		return apple{looker{s}, reader{s}, follower{s}}
	case "acknowledge, follow, look":
		return play{looker{s}, follower{s}, acknowledger{s}}
	case "follow, look, order of":
		return appsintoss{looker{s}, follower{s}, orderer{s}}
	default:
		panic("release: no store can " + can)
	}
}

func (l looker) Look(ctx context.Context, p purchase.Proof) (news purchase.News, err error) {
	err = asks(ctx, l.store, "look", []any{p}, &news)
	return news, err
}

func (r reader) Read(ctx context.Context, p purchase.Proof) (sale purchase.Sale, says bool, err error) {
	err = asks(ctx, r.store, "read", []any{p}, &sale, &says)
	return sale, says, err
}

func (f follower) Hear(ctx context.Context, evidence string) (news purchase.News, err error) {
	err = asks(ctx, f.store, "hear", []any{evidence}, &news)
	return news, err
}

func (f follower) Follow(ctx context.Context, l purchase.Line) (news purchase.News, can bool, err error) {
	err = asks(ctx, f.store, "follow", []any{l}, &news, &can)
	return news, can, err
}

func (f follower) Report(ctx context.Context, s purchase.Sale, u purchase.Usage) error {
	return asks(ctx, f.store, "report", []any{s, u})
}

func (a acknowledger) Acknowledge(ctx context.Context, d purchase.Delivery) error {
	return asks(ctx, a.store, "acknowledge", []any{d})
}

func (a acknowledger) LineOf(p purchase.Proof) (line string) {
	if err := asks(context.Background(), a.store, "line of", []any{p}, &line); err != nil {
		panic("release: " + err.Error())
	}
	return line
}

func (o orderer) OrderOf(p purchase.Proof) (order string, ok bool) {
	if err := asks(context.Background(), o.store, "order of", []any{p}, &order, &ok); err != nil {
		panic("release: " + err.Error())
	}
	return order, ok
}

// history is a store's memory.
type history struct{ of version.History }

func (h history) Name() string { return h.of.Name }

func (h history) Keeps() time.Duration { return h.of.Keeps }

func (h history) Missed(ctx context.Context, from, to time.Time, page string) ([]notice.Hint, string, error) {
	texts, next, err := h.of.Missed(ctx, from, to, page)
	if err != nil {
		return nil, next, err
	}
	hints := make([]notice.Hint, len(texts))
	for n, text := range texts {
		if err := json.Unmarshal(text, &hints[n]); err != nil {
			return nil, "", err
		}
	}
	return hints, next, nil
}

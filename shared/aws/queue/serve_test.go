package queue_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/google/go-cmp/cmp"

	"grantline/shared/aws/queue"
	"grantline/shared/clock"
	"grantline/shared/fault"
)

// due is a message of these tests.
type due struct {
	Subscription string `json:"subscription"`
	Period       int    `json:"period"`
}

// batch makes an event whose message ids are m0, m1, ….
func batch(bodies ...string) events.SQSEvent {
	var e events.SQSEvent
	for i, body := range bodies {
		e.Records = append(e.Records, events.SQSMessage{MessageId: fmt.Sprintf("m%d", i), Body: body, Attributes: map[string]string{"ApproximateReceiveCount": "3"}})
	}
	return e
}

// numbered makes n messages whose period is their place.
func numbered(n int) events.SQSEvent {
	var bodies []string
	for i := range n {
		bodies = append(bodies, fmt.Sprintf(`{"subscription":"sub","period":%d}`, i))
	}
	return batch(bodies...)
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// failed works on an event and returns the ids that came back.
func failed(t *testing.T, ctx context.Context, e events.SQSEvent, o queue.Options, work func(context.Context, due) error) []string {
	t.Helper()
	if o.Log == nil {
		o.Log = discard()
	}
	out, err := queue.Handler(work, o)(ctx, e)
	if err != nil {
		t.Fatalf("Handler: %v", err)
	}
	var ids []string
	for _, f := range out.BatchItemFailures {
		ids = append(ids, f.ItemIdentifier)
	}
	return ids
}

func TestABatchIsWorkedOnAndNothingComesAgain(t *testing.T) {
	event, err := os.ReadFile("testdata/batch.json")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var got []due
	h := queue.Handler(func(_ context.Context, m due) error {
		mu.Lock()
		defer mu.Unlock()
		got = append(got, m)
		return nil
	}, queue.Options{Log: discard()})
	out, err := lambda.NewHandler(h).Invoke(t.Context(), event)
	if err != nil || string(out) != `{"batchItemFailures":[]}` {
		t.Errorf("got %s and error %v, want no failures, as an empty list", out, err)
	}
	slices.SortFunc(got, func(a, b due) int { return strings.Compare(a.Subscription, b.Subscription) })
	if diff := cmp.Diff([]due{{"sub_1", 3}, {"sub_2", 0}}, got); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
	if out, err := lambda.NewHandler(h).Invoke(t.Context(), []byte(`{"Records":[]}`)); err != nil || string(out) != `{"batchItemFailures":[]}` {
		t.Errorf("an empty batch: got %s and error %v, want an empty list", out, err)
	}
}

func TestOnlyWhatFailedComesAgain(t *testing.T) {
	var log bytes.Buffer
	got := failed(t, t.Context(), numbered(10), queue.Options{Log: slog.New(slog.NewTextHandler(&log, nil))}, func(_ context.Context, m due) error {
		switch m.Period {
		case 2:
			return fault.New(fault.Unavailable, "gateway_unavailable", "It did not answer.")
		case 5:
			panic("card 4330-1234")
		case 7:
			return errors.New("a bug")
		}
		return nil
	})
	if diff := cmp.Diff([]string{"m2", "m5", "m7"}, got); diff != "" {
		t.Errorf("failed (-want +got):\n%s", diff)
	}
	if strings.Contains(log.String(), "4330") || strings.Contains(log.String(), `"sub"`) {
		t.Errorf("the log %q shows what was worked on", log.String())
	}
	for level, want := range map[string]int{"WARN": 1, "ERROR": 3} { // the panic is logged with its stack, too
		if got := strings.Count(log.String(), "level="+level); got != want {
			t.Errorf("%d lines of level %s, want %d:\n%s", got, level, want, log.String())
		}
	}
}

func TestPoisonIsNamedByItsIDAndNeverShown(t *testing.T) {
	poison := []string{
		`{"subscription":"secret","period":"three"}`,
		`{"subscription":"secret","period":1.5}`,
		`{"subscription":"secret","period":1,"more":"secret"}`,
		`{"subscription":"secret"`,
		`{"subscription":"secret","period":1} {}`,
		`{"subscription":"secret","period":1}]`,
		`["secret"]`,
		`secret`,
		` null `,
		``,
	}
	var log bytes.Buffer
	got := failed(t, t.Context(), batch(append(poison, `{"subscription":"good","period":1}`)...), queue.Options{Log: slog.New(slog.NewTextHandler(&log, nil))},
		func(_ context.Context, m due) error {
			if m.Subscription != "good" {
				t.Errorf("%+v was worked on", m)
			}
			return nil
		})
	var want []string
	for i := range poison {
		want = append(want, fmt.Sprintf("m%d", i))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("failed (-want +got):\n%s", diff)
	}
	if strings.Contains(log.String(), "secret") || !strings.Contains(log.String(), "messageId=m0") || !strings.Contains(log.String(), "received=3") {
		t.Errorf("the log is %q, want ids and receive counts without bodies", log.String())
	}
}

func TestAFailureWithoutAnIDFailsTheBatch(t *testing.T) {
	e := numbered(2)
	e.Records[1].MessageId = ""
	h := queue.Handler(func(context.Context, due) error { return errors.New("no") }, queue.Options{Log: discard()})
	if out, err := h(t.Context(), e); err == nil {
		t.Errorf("got %+v without an error; SQS would take an empty id for nothing", out)
	}
}

func TestNoMoreAreWorkedOnAtOnceThanAllowed(t *testing.T) {
	for name, c := range map[string]struct{ allowed, want int }{"as told": {3, 3}, "unless told": {0, 10}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var now, most atomic.Int32
				failed(t, t.Context(), numbered(100), queue.Options{AtOnce: c.allowed}, func(context.Context, due) error {
					if n := now.Add(1); n > most.Load() {
						most.Store(n)
					}
					time.Sleep(time.Second)
					now.Add(-1)
					return nil
				})
				if got := int(most.Load()); got != c.want {
					t.Errorf("%d at once, want %d", got, c.want)
				}
			})
		})
	}
}

func TestWhatCannotBeBegunInTimeComesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		var begun atomic.Int32
		got := failed(t, ctx, numbered(8), queue.Options{AtOnce: 2, Reserve: 9 * time.Second}, func(context.Context, due) error {
			begun.Add(1)
			time.Sleep(6 * time.Second)
			return nil
		})
		// Begun at 0 s and at 6 s, two each; at 12 s there are less than 9 s left.
		if diff := cmp.Diff([]string{"m4", "m5", "m6", "m7"}, got); diff != "" || begun.Load() != 4 {
			t.Errorf("%d begun, want 4; failed (-want +got):\n%s", begun.Load(), diff)
		}
	})
}

func TestTheFirstAreBegunHoweverShortTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if got := failed(t, ctx, numbered(10), queue.Options{}, func(context.Context, due) error { return nil }); got != nil {
			t.Errorf("failed %v, want none", got)
		}
		cancel()
		if got := failed(t, ctx, numbered(2), queue.Options{}, func(context.Context, due) error { t.Error("begun"); return nil }); len(got) != 2 {
			t.Errorf("after the end failed %v, want both", got)
		}
	})
}

func TestWorkEndsEarlyEnoughToBeReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
		defer cancel()
		got := failed(t, ctx, numbered(10), queue.Options{}, func(ctx context.Context, m due) error {
			if m.Period != 4 {
				return nil
			}
			<-ctx.Done()
			return ctx.Err()
		})
		if diff := cmp.Diff([]string{"m4"}, got); diff != "" || ctx.Err() != nil {
			t.Errorf("the invocation's context ended: %v; failed (-want +got):\n%s", ctx.Err(), diff)
		}
	})
}

func TestAScheduleTellsItsInstant(t *testing.T) {
	now := time.Date(2026, 11, 22, 9, 0, 30, 0, time.UTC)
	for event, want := range map[string]time.Time{
		`{"time":"2026-11-22T09:00:00Z"}`:      time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC),
		`{"time":"2026-11-22T18:00:00+09:00"}`: time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC),
		`{}`:                                   now,
		`{"time":null}`:                        now,
		`{"version":"0","detail-type":"Scheduled Event","time":"2026-11-22T09:00:00Z","detail":{}}`: time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC),
	} {
		h := queue.ScheduleHandler(func(_ context.Context, at time.Time) (any, error) {
			if !at.Equal(want) || at.Location() != time.UTC {
				t.Errorf("%s: due at %v, want %v in UTC", event, at, want)
			}
			return map[string]string{"idleUntil": "2026-11-22T10:00:00Z"}, nil
		}, clock.Fixed(now))
		out, err := lambda.NewHandler(h).Invoke(t.Context(), []byte(event))
		if err != nil || string(out) != `{"idleUntil":"2026-11-22T10:00:00Z"}` {
			t.Errorf("%s: answered %s and error %v, want what the handler returned", event, out, err)
		}
	}
}

func TestAScheduleThatCannotBeReadOrDoneFails(t *testing.T) {
	h := lambda.NewHandler(queue.ScheduleHandler(func(context.Context, time.Time) (any, error) { return nil, errors.New("no table") }, clock.Fixed{}))
	for event, want := range map[string]string{
		`{"time":"secret"}`: "should be",
		`{"time":5}`:        "should be",
		`[]`:                "should be",
		`{}`:                "no table",
	} {
		if _, err := h.Invoke(t.Context(), []byte(event)); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: error is %v, want one that says %q", event, err, want)
		}
	}
}

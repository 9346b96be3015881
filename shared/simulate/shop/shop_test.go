package shop_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"grantline/shared/catalog"
	"grantline/shared/fault"
	"grantline/shared/notice"
	"grantline/shared/purchase"
	"grantline/shared/simulate"
	"grantline/shared/simulate/shop"
)

var start = time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC)

const day = 24 * time.Hour

// fated is a chance that decides the same of each call of a store.
type fated struct {
	*simulate.Weather
	fate simulate.Fate
}

func (f fated) Cross(simulate.Op) simulate.Crossing {
	return simulate.Crossing{After: time.Millisecond, Fate: f.fate}
}

func street(t *testing.T, fate simulate.Fate, h shop.Habits) (*simulate.World, *shop.Street) {
	t.Helper()
	goods, err := catalog.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	w := simulate.New(1, start, fated{simulate.NewWeather(1, simulate.Faults{}), fate})
	t.Cleanup(w.Close)
	return w, shop.Open(w, goods, h)
}

// within does something in a function, and says what it was answered.
func within(t *testing.T, w *simulate.World, do func(ctx context.Context) error) (answer error) {
	t.Helper()
	ended := false
	w.Invoke("f", time.Minute, func(ctx context.Context) error {
		answer = do(ctx)
		ended = true
		return nil
	}, nil)
	if v := w.Run(w.Now().Add(time.Minute)); v != nil || !ended {
		t.Fatalf("ended %v, %v", ended, v)
	}
	return answer
}

func TestACallIsDoneOrNotAsItsFateSays(t *testing.T) {
	for fate, want := range map[simulate.Fate]struct{ done, heard, later bool }{
		simulate.Fine: {done: true, heard: true, later: true}, simulate.Lost: {}, simulate.Busy: {},
		simulate.Unheard: {done: true, later: true}, simulate.Late: {later: true},
	} {
		w, s := street(t, fate, shop.Habits{})
		token := s.Play.Buy("gems_100", "", 0, 1, false)
		asked := w.Now()
		err := within(t, w, func(ctx context.Context) error {
			return s.Play.Acknowledge(ctx, purchase.Delivery{Token: purchase.Token{Secret: token.Secret}, Part: "gems_100"})
		})
		done := token.Acknowledged() && token.Orders()[0].Acknowledged.Before(asked.Add(time.Second))
		_ = w.Run(w.Now().Add(time.Hour))
		if (err == nil) != want.heard || err != nil && !errors.Is(err, fault.Unavailable) || done != want.done || token.Acknowledged() != want.later {
			t.Errorf("%v: got done %v, answer %v and in the end %v, want %+v and else an outage", fate, done, err, token.Acknowledged(), want)
		}
	}
}

func TestAnAnswerIsLostWhateverItWouldHaveBeen(t *testing.T) {
	for _, fate := range []simulate.Fate{simulate.Lost, simulate.Unheard, simulate.Busy} {
		w, s := street(t, fate, shop.Habits{})
		o := s.Apple.Buy(&shop.Order{SKU: "com.example.gems100"})
		token, toss := s.Play.Buy("gems_100", "", 0, 1, false), s.AppsInToss.Buy("gems-100", 0, "", false)
		for _, p := range []purchase.Proof{
			{Store: "apple", Evidence: s.Apple.Sign(o.ID)}, {Store: "play", Evidence: token.Secret}, {Store: "appsintoss", Evidence: toss.ID},
		} {
			err := within(t, w, func(ctx context.Context) error {
				_, err := s.Stores()[p.Store].Look(ctx, p)
				return err
			})
			if !errors.Is(err, fault.Unavailable) {
				t.Errorf("%v at %s: got %v, want an outage", fate, p.Store, err)
			}
		}
	}
}

func TestGoogleGivesBackWhatNobodyAcknowledgesAndOnlyThat(t *testing.T) {
	w, s := street(t, simulate.Fine, shop.Habits{})
	var back []string
	s.Listen(nil, shop.Watcher{Returned: func(o *shop.Order) { back = append(back, o.ID) }})
	forgotten, told := s.Play.Buy("gems_100", "", 0, 1, false), s.Play.Buy("gems_100", "", 0, 1, false)
	_ = w.Run(start.Add(71 * time.Hour))
	if err := s.Play.Acknowledge(t.Context(), purchase.Delivery{Token: purchase.Token{Secret: told.Secret}, Part: "gems_100"}); err != nil {
		t.Fatal(err)
	}
	_ = w.Run(start.Add(73 * time.Hour))
	if len(back) != 1 || back[0] != forgotten.Orders()[0].ID || !forgotten.Orders()[0].Unclaimed {
		t.Errorf("got %v given back after three days, want %s alone", back, forgotten.Orders()[0].ID)
	}
}

func TestWhatIsUsedUpIsNoMoreToBeAcknowledged(t *testing.T) {
	_, s := street(t, simulate.Fine, shop.Habits{})
	token := s.Play.Buy("gems_100", "", 0, 1, false)
	d := purchase.Delivery{Token: purchase.Token{Secret: token.Secret}, Part: "gems_100", Consume: true}
	if err := s.Play.Acknowledge(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	for _, consume := range []bool{true, false} {
		if d.Consume = consume; !errors.Is(s.Play.Acknowledge(t.Context(), d), fault.Invalid) {
			t.Errorf("consume %v once more: want fault.Invalid", consume)
		}
	}
}

func TestAppleTriesAgainForDaysAndRemembersWhatFailed(t *testing.T) {
	w, s := street(t, simulate.Fine, shop.Habits{Late: 100_000})
	var came []time.Duration
	s.Listen(func(notice.Hint) { came = append(came, w.Now().Sub(start)) }, shop.Watcher{})
	s.Apple.Buy(&shop.Order{SKU: "com.example.gems100"})
	_ = w.Run(start.Add(10 * time.Minute))
	missed, _, err := s.Apple.History().Missed(t.Context(), start, start.Add(day), "")
	if len(came) != 0 || len(missed) != 1 || err != nil {
		t.Fatalf("after the first attempt: got %d notices, and %d in the history, %v, want it there alone", len(came), len(missed), err)
	}
	_ = w.Run(start.Add(8 * day))
	if len(came) != 1 || came[0] < time.Hour || came[0] > 158*time.Hour {
		t.Errorf("came after %v, want once after 1, 13, 37, 85 or 157 hours", came)
	}
	if missed, _, _ = s.Apple.History().Missed(t.Context(), start, start.Add(day), ""); len(missed) != 0 {
		t.Errorf("the history has %d that arrived, want none", len(missed))
	}
}

func TestAnAnswerMayBeOfSomeMinutesAgo(t *testing.T) {
	w, s := street(t, simulate.Fine, shop.Habits{Behind: 100_000, BehindMost: 5 * time.Minute})
	o := s.Apple.Buy(&shop.Order{SKU: "com.example.gems100"})
	_ = w.Run(start.Add(day))
	s.Apple.Refund(o, 100_000)
	stale := 0
	for range 200 {
		news, _, err := s.Apple.Follow(t.Context(), purchase.Line{Line: o.Line, Order: o.ID})
		if err != nil {
			t.Fatal(err)
		}
		if is := news.Sales[0]; is.State == purchase.Paid {
			if stale++; !is.AsOf.Before(w.Now()) {
				t.Fatalf("got a word of %v that was signed at %v, want it signed before it was given back", is.State, is.AsOf)
			}
		}
		_ = w.Run(w.Now().Add(time.Second))
	}
	if stale == 0 || stale == 200 {
		t.Errorf("%d of 200 answers were old within some minutes, want some", stale)
	}
	_ = w.Run(w.Now().Add(5 * time.Minute))
	if news, _, err := s.Apple.Follow(t.Context(), purchase.Line{Line: o.Line, Order: o.ID}); err != nil || news.Sales[0].State != purchase.Refunded {
		t.Errorf("after five minutes: got %v, %v, want it refunded", news, err)
	}
}

func TestASubscriptionRenewsAsLongAsItIsWantedAndPaid(t *testing.T) {
	w, s := street(t, simulate.Fine, shop.Habits{})
	apple := s.Apple.Subscribe(&shop.Order{SKU: "com.example.premium.monthly"})
	play := s.Play.Subscribe("premium:monthly", "", 0, nil, false, false)
	toss := s.AppsInToss.Buy("premium-1month", 0, "", false)
	_ = s.Play.Acknowledge(t.Context(), purchase.Delivery{Token: purchase.Token{Secret: play.Secret}, Part: "premium"})
	_ = w.Run(start.AddDate(0, 5, 2))
	s.Apple.Cancel(apple)
	s.Play.Cancel(play)
	s.AppsInToss.Cancel(toss)
	for name, access := range map[string]func(time.Time) (time.Time, bool){"apple": apple.Access, "play": play.Access, "appsintoss": toss.Access} {
		if until, ok := access(w.Now()); !ok || until.Before(start.AddDate(0, 5, 20)) {
			t.Errorf("%s: access until %v, %v after five months, want to the end of the sixth", name, until, ok)
		}
	}
	_ = w.Run(start.AddDate(0, 7, 0))
	if len(apple.Orders()) != 6 || len(play.Orders()) != 6 || apple.Running() || play.Running() || toss.Running() {
		t.Errorf("got %d and %d periods, want 6 each, and none that goes on", len(apple.Orders()), len(play.Orders()))
	}
}

package apple_test

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/ocsp"

	"grantline/shared/apple"
	"grantline/shared/fault"
	"grantline/shared/memory"
	"grantline/shared/table"
)

func TestChainThatIsMetFirstIsWrittenDownDueAtOnce(t *testing.T) {
	r := newRealm(t)
	v := r.verifier(apple.RevocationSoft)
	verdict(t, v, r.sign(payload), nil)
	items := r.items()
	if len(items) != 1 {
		t.Fatalf("%d chains stored, want 1", len(items))
	}
	both := sha256.Sum256(append(append([]byte{}, r.certs[leaf].Raw...), r.certs[intermediate].Raw...))
	fingerprint := hex.EncodeToString(both[:])
	if got, want := items[0].Key.Partition, "default#production#apple-revocation#"+fingerprint; got != want {
		t.Errorf("key %q, want %q", got, want)
	}
	if got, want := *items[0].Index, (table.Index{Partition: "default#production#apple-revocation", Sort: "2026-01-15T12:01:00Z", Hint: fingerprint}); got != want {
		t.Errorf("index %v, want %v", got, want)
	}
	var data map[string]any
	if err := json.Unmarshal(items[0].Data, &data); err != nil {
		t.Fatal(err)
	}
	for name, level := range map[string]int{"leaf": leaf, "intermediate": intermediate} {
		if want := base64.StdEncoding.EncodeToString(r.certs[level].Raw); data[name] != want {
			t.Errorf("%s is %v, want the certificate in base64", name, data[name])
		}
	}
	r.clock.turn(time.Hour)
	r.counted()
	verdict(t, v, r.sign(payload), nil)
	if reads, writes := r.counted(); reads != 1 || writes != 0 {
		t.Errorf("met again: %d reads and %d writes, want 1 and none", reads, writes)
	}
	r.refresh()
	if got := r.asks(); got != [2]int{1, 1} {
		t.Errorf("asked %v times, want once each", got)
	}
}

func TestTwoWhoMeetAChainAtOnceAreBothRight(t *testing.T) {
	r := newRealm(t)
	chain := apple.Chain{Leaf: r.certs[leaf], Intermediate: r.certs[intermediate]}
	r.failing(func(op memory.Op) (bool, error) {
		if op.Method == "Commit" {
			r.failing(nil)
			r.meet() // another is faster
		}
		return true, nil
	})
	if got, err := r.book().Standing(t.Context(), chain); err != nil || got.State != apple.StandingUnknown {
		t.Errorf("standing %v, error %v; want unknown and none", got, err)
	}
	if n := len(r.items()); n != 1 {
		t.Errorf("%d chains stored, want 1", n)
	}
}

func TestWriteThatIsLostIsAnOutage(t *testing.T) {
	r := newRealm(t)
	r.failing(func(op memory.Op) (bool, error) {
		if op.Method == "Commit" {
			return outOfReach(op)
		}
		return true, nil
	})
	if _, err := r.book().Standing(t.Context(), apple.Chain{Leaf: r.certs[leaf], Intermediate: r.certs[intermediate]}); !errors.Is(err, fault.Unavailable) {
		t.Errorf("error %v, want %v", err, fault.Unavailable)
	}
	verdict(t, r.verifier(apple.RevocationSoft), r.sign(payload), nil)
	verdict(t, r.verifier(apple.RevocationHard), r.sign(payload), apple.ErrRevocation)
}

func TestGoodIsAskedForAgainAfterHalfItsTime(t *testing.T) {
	for _, c := range []struct{ leaf, intermediate, want time.Duration }{
		{4 * time.Hour, 20 * time.Hour, 2 * time.Hour},
		{20 * time.Hour, 6 * time.Hour, 3 * time.Hour},
		{24 * time.Hour, 24 * time.Hour, 12 * time.Hour},
		{7 * 24 * time.Hour, 365 * 24 * time.Hour, 12 * time.Hour},
		{20 * time.Minute, 24 * time.Hour, 10 * time.Minute},
		{19 * time.Minute, 24 * time.Hour, 10 * time.Minute},
		{-30 * time.Second, 24 * time.Hour, 10 * time.Minute},
	} {
		r := newRealm(t)
		r.say(leaf, r.dated(-time.Hour, c.leaf))
		r.say(intermediate, r.dated(-time.Hour, c.intermediate))
		r.meet()
		if got, want := r.refresh(), now.Add(c.want); !got.Equal(want) {
			t.Errorf("%v: come again at %v, want %v", c, got, want)
		}
		r.asks()
		r.clock.turn(c.want - time.Second)
		if got, want := r.refresh(), now.Add(c.want); !got.Equal(want) || r.asks() != [2]int{} {
			t.Errorf("%v, too early: come again at %v, want %v, and nobody asked", c, got, want)
		}
		r.clock.turn(time.Second)
		r.refresh()
		if got := r.asks(); got != [2]int{1, 1} {
			t.Errorf("%v, in time: asked %v times, want once each", c, got)
		}
	}
}

func TestWhoDoesNotAnswerIsAskedLessAndLessOftenDownToOnceAnHour(t *testing.T) {
	for name, say := range map[string]func(*realm){
		"no answer": func(r *realm) { r.answer(intermediate, http.NotFound) },
		"no news":   func(r *realm) { r.say(intermediate, status(ocsp.Unknown)) },
		"try later": func(r *realm) {
			r.answer(intermediate, func(w http.ResponseWriter, _ *http.Request) { w.Write(ocsp.TryLaterErrorResponse) })
		},
		"both quiet": func(r *realm) { r.answer(leaf, http.NotFound); r.answer(intermediate, http.NotFound) },
	} {
		r := newRealm(t)
		say(r)
		r.meet()
		for i, want := range []time.Duration{10, 20, 40, 60, 60, 60} {
			want *= time.Minute
			if got := r.refresh().Sub(r.clock.Now()); got != want {
				t.Errorf("%s, %d: come again in %v, want %v", name, i, got, want)
			}
			r.clock.turn(want)
		}
		r.say(leaf)
		r.say(intermediate)
		if got, want := r.refresh().Sub(r.clock.Now()), 12*time.Hour; got != want {
			t.Errorf("%s, answered again: come again in %v, want %v", name, got, want)
		}
		if got := r.kept().Failures; got != 0 {
			t.Errorf("%s, answered again: %d failures stored, want none", name, got)
		}
	}
}

func TestSilenceLeavesAShortAnswerItsOwnTime(t *testing.T) {
	r := newRealm(t)
	for range 4 {
		r.answer(leaf, http.NotFound)
		r.say(intermediate, r.dated(0, 30*time.Minute))
		r.meet()
		r.refresh()
		r.clock.turn(time.Hour)
	}
	r.say(intermediate, r.dated(0, 30*time.Minute))
	if got, want := r.refresh().Sub(r.clock.Now()), 15*time.Minute; got != want {
		t.Errorf("come again in %v, want %v", got, want)
	}
}

func TestRevokedIsFinalAndAlarms(t *testing.T) {
	for name, level := range map[string]int{"leaf": leaf, "intermediate": intermediate} {
		r := newRealm(t)
		r.learn()
		at := now.Add(-2 * time.Hour)
		r.say(level, status(ocsp.Revoked), func(s *statement) { s.RevokedAt = at })
		r.clock.turn(12 * time.Hour)
		if next := r.refresh(); !next.IsZero() {
			t.Errorf("%s: come again at %v, want never", name, next)
		}
		k := r.kept()
		got := map[int]string{leaf: k.LeafAnswer.Status, intermediate: k.IntermediateAnswer.Status}
		if got[level] != "revoked" || got[1-level] != "good" {
			t.Errorf("%s: stored %v, want it revoked and the other good", name, got)
		}
		revokedAt := map[int]time.Time{leaf: k.LeafAnswer.RevokedAt, intermediate: k.IntermediateAnswer.RevokedAt}[level]
		if !revokedAt.Equal(at) {
			t.Errorf("%s: revoked at %v, want %v", name, revokedAt, at)
		}
		if r.items()[0].Index != nil {
			t.Errorf("%s: it is due still, want never", name)
		}
		log := r.logged()
		if strings.Count(log, "\n") != 1 || !strings.Contains(log, `"alarm":true`) || !strings.Contains(log, `"level":"ERROR"`) || !strings.Contains(log, `"certificate":"`+name+`"`) {
			t.Errorf("%s: logged %q, want one alarm about it", name, log)
		}
		r.say(level)
		r.asks()
		r.clock.turn(1000 * time.Hour)
		r.refresh()
		if asked := r.asks(); asked != [2]int{} {
			t.Errorf("%s: asked %v times afterwards, want never", name, asked)
		}
		verdict(t, r.verifier(apple.RevocationSoft), r.sign(payload), apple.ErrRevoked)
	}
}

// The alarm comes though the write that goes with it is lost, and again with the next.
func TestRevocationAlarmsEvenIfItCannotBeWrittenDown(t *testing.T) {
	r := newRealm(t)
	r.say(leaf, status(ocsp.Revoked))
	r.meet()
	r.failing(func(op memory.Op) (bool, error) {
		if op.Method == "Commit" {
			return outOfReach(op)
		}
		return true, nil
	})
	if _, err := r.book().Refresh(t.Context()); !errors.Is(err, fault.Unavailable) {
		t.Errorf("error %v, want %v", err, fault.Unavailable)
	}
	if !strings.Contains(r.logged(), `"alarm":true`) {
		t.Errorf("logged %q, want an alarm", r.logged())
	}
	r.failing(nil)
	r.refresh()
	verdict(t, r.verifier(apple.RevocationSoft), r.sign(payload), apple.ErrRevoked)
}

// Plain HTTP lets anybody on the way repeat what the authority said before.
func TestOlderAnswerDoesNotTakeANewersPlace(t *testing.T) {
	r := newRealm(t)
	older := r.state(leaf)
	r.clock.turn(2 * time.Hour)
	r.say(leaf, status(ocsp.Unknown))
	r.learn()
	r.answer(leaf, func(w http.ResponseWriter, _ *http.Request) { w.Write(older) })
	r.clock.turn(10 * time.Minute)
	r.refresh()
	if got := r.kept().LeafAnswer.Status; got != "unknown" {
		t.Errorf("stored %q, want unknown still", got)
	}
	r.say(leaf)
	r.clock.turn(time.Hour)
	r.refresh()
	if got := r.kept().LeafAnswer.Status; got != "good" {
		t.Errorf("stored %q, want good by the newer word", got)
	}
}

func TestCertificateThatEndedIsNotAskedAboutOnceItWasGood(t *testing.T) {
	r := newRealm(t)
	r.learn()
	r.asks()
	r.clock.turn(r.certs[leaf].NotAfter.Add(time.Second).Sub(r.clock.Now()))
	if next := r.refresh(); !next.Equal(r.clock.Now().Add(12 * time.Hour)) {
		t.Errorf("come again at %v, want in 12 hours, for the intermediate", next)
	}
	if got := r.asks(); got != [2]int{0, 1} {
		t.Errorf("asked %v times, want once about the intermediate alone", got)
	}
	verdict(t, r.verifier(apple.RevocationHard), r.sign(payload), nil)
	r.clock.turn(r.certs[intermediate].NotAfter.Add(time.Second).Sub(r.clock.Now()))
	if next := r.refresh(); !next.IsZero() || r.asks() != [2]int{} {
		t.Errorf("come again at %v, want never, and nobody asked", next)
	}
	verdict(t, r.verifier(apple.RevocationHard), r.sign(payload), nil)
}

func TestCertificateThatEndedUnansweredForIsAskedAboutTwiceADay(t *testing.T) {
	r := newRealm(t)
	r.answer(leaf, http.NotFound)
	r.clock.turn(r.certs[leaf].NotAfter.Add(time.Second).Sub(r.clock.Now()))
	r.meet()
	var got time.Duration
	for range 12 {
		got = r.refresh().Sub(r.clock.Now())
		r.clock.turn(got)
	}
	if want := 12 * time.Hour; got != want {
		t.Errorf("come again in %v, want %v", got, want)
	}
	r.say(leaf)
	r.refresh()
	verdict(t, r.verifier(apple.RevocationHard), r.sign(payload), nil)
}

func TestRunIsBoundedAndTheLongestDueComeFirst(t *testing.T) {
	r := newRealm(t)
	book := r.book()
	const chains = 120
	var all []apple.Chain
	for range chains {
		a := newAuthority(t, below(r.authority, intermediate), template(leaf, func(c *x509.Certificate) { c.OCSPServer = r.certs[leaf].OCSPServer }))
		all = append(all, apple.Chain{Leaf: a.certs[leaf], Intermediate: a.certs[intermediate]})
		if _, err := book.Standing(t.Context(), all[len(all)-1]); err != nil {
			t.Fatal(err)
		}
		r.clock.turn(time.Second)
	}
	due := func(i int) time.Time { return now.Add(time.Duration(i) * time.Second) }
	for run, want := range []struct {
		asked int
		next  time.Time
	}{{50, due(50)}, {50, due(100)}, {20, r.clock.Now().Add(12 * time.Hour)}} {
		next := r.refresh()
		if asked := r.asks(); asked != [2]int{want.asked, want.asked} {
			t.Errorf("run %d: asked %v times, want %d each", run, asked, want.asked)
		}
		if !next.Equal(want.next) {
			t.Errorf("run %d: come again at %v, want %v", run, next, want.next)
		}
		for i, c := range all {
			s, err := book.Standing(t.Context(), c)
			if good := i < (run+1)*50; err != nil || (s.State == apple.StandingGood) != good {
				t.Fatalf("run %d: chain %d is %v, error %v; want good: %v", run, i, s, err, good)
			}
		}
	}
}

func TestNothingStoredIsNothingToDo(t *testing.T) {
	r := newRealm(t)
	if next := r.refresh(); !next.IsZero() {
		t.Errorf("come again at %v, want never", next)
	}
	if asked := r.asks(); asked != [2]int{} {
		t.Errorf("asked %v times, want never", asked)
	}
}

func TestRunWithoutRoomBeginsNothing(t *testing.T) {
	r := newRealm(t)
	r.meet()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	next, err := r.book().Refresh(ctx)
	if err != nil || !next.Equal(now) {
		t.Errorf("come again at %v, error %v; want at once, without one", next, err)
	}
	if asked := r.asks(); asked != [2]int{} {
		t.Errorf("asked %v times, want never", asked)
	}
}

func TestInterruptedRunWritesNothingAndMayBeRepeated(t *testing.T) {
	for level := range 2 {
		r := newRealm(t)
		r.meet()
		ctx, cancel := context.WithCancel(t.Context())
		r.answer(level, func(_ http.ResponseWriter, request *http.Request) {
			cancel()
			<-request.Context().Done()
		})
		before := r.items()[0].Revision
		if _, err := r.book().Refresh(ctx); !errors.Is(err, fault.Unavailable) {
			t.Errorf("level %d: error %v, want %v", level, err, fault.Unavailable)
		}
		if k := r.kept(); r.items()[0].Revision != before || k.Failures != 0 {
			t.Errorf("level %d: stored %v, want what was there", level, k)
		}
		r.say(level)
		r.refresh()
		if k := r.kept(); k.LeafAnswer.Status != "good" || k.IntermediateAnswer.Status != "good" {
			t.Errorf("level %d, again: stored %v, want both good", level, k)
		}
	}
}

func TestLostAnswersOfTheTableLoseNoChain(t *testing.T) {
	for name, apply := range map[string]bool{"request lost": false, "answer lost": true} {
		for step := range 3 {
			r := newRealm(t)
			r.meet()
			n := 0
			r.failing(func(memory.Op) (bool, error) {
				if n++; n == step+1 {
					return apply, fault.New(fault.Unavailable, "tables_unavailable", "The tables did not answer.")
				}
				return true, nil
			})
			next, err := r.book().Refresh(t.Context())
			if !errors.Is(err, fault.Unavailable) || next.After(r.clock.Now()) {
				t.Errorf("%s, %d: come again at %v, error %v; want at once and %v", name, step, next, err, fault.Unavailable)
			}
			r.refresh()
			if k := r.kept(); k.LeafAnswer.Status != "good" || k.IntermediateAnswer.Status != "good" || r.items()[0].Index == nil {
				t.Errorf("%s, %d: stored %v, want both good and due", name, step, k)
			}
		}
	}
}

// What another run wrote meanwhile stays, since it may be that the chain is revoked.
func TestRunThatIsOvertakenWritesNothing(t *testing.T) {
	r := newRealm(t)
	r.meet()
	var once sync.Once
	r.answer(intermediate, func(w http.ResponseWriter, _ *http.Request) {
		once.Do(func() { r.revoke(r.authority) })
		w.Write(r.state(intermediate))
	})
	r.refresh()
	if got := r.kept().LeafAnswer.Status; got != "revoked" {
		t.Errorf("stored %q, want revoked", got)
	}
}

// lagging is a table whose index shows what it showed once.
type lagging struct {
	table.Tables
	page table.Page
}

func (l lagging) Query(context.Context, table.Query) (table.Page, error) { return l.page, nil }

func TestIndexThatLagsMakesNobodyAskTwice(t *testing.T) {
	r := newRealm(t)
	r.meet()
	book := r.book()
	page, err := r.tables.Query(t.Context(), table.Query{Table: table.Purchases, Indexed: true, Partition: "default#production#apple-revocation", Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	r.refresh()
	r.asks()
	book.Tables = lagging{r.tables, page}
	next, err := book.Refresh(t.Context())
	if want := now.Add(12 * time.Hour); err != nil || !next.Equal(want) {
		t.Errorf("come again at %v, error %v; want %v", next, err, want)
	}
	r.revoke(r.authority)
	if next, err = book.Refresh(t.Context()); err != nil || !next.IsZero() {
		t.Errorf("revoked meanwhile: come again at %v, error %v; want never", next, err)
	}
	if asked := r.asks(); asked != [2]int{} {
		t.Errorf("asked %v times, want never", asked)
	}
}

func TestRootThatIsNotOursAnyMoreAnswersForNobody(t *testing.T) {
	r := newRealm(t)
	r.meet()
	book := r.book()
	book.Roots = []*x509.Certificate{newAuthority(t).certs[root]}
	if _, err := book.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if k := r.kept(); k.LeafAnswer.Status != "good" || k.IntermediateAnswer.Status != "" || r.asks() != [2]int{1, 0} {
		t.Errorf("stored: leaf %q, intermediate %q; want good and nothing", k.LeafAnswer.Status, k.IntermediateAnswer.Status)
	}
}

func TestItemThatCannotBeReadStopsNoOther(t *testing.T) {
	r := newRealm(t)
	r.meet()
	r.newerSchema()
	r.clock.turn(time.Second)
	other := newAuthority(t, below(r.authority, intermediate), template(leaf, func(c *x509.Certificate) { c.OCSPServer = r.certs[leaf].OCSPServer }))
	chain := apple.Chain{Leaf: other.certs[leaf], Intermediate: other.certs[intermediate]}
	if _, err := r.book().Standing(t.Context(), chain); err != nil {
		t.Fatal(err)
	}
	next, err := r.book().Refresh(t.Context())
	if err == nil || next.After(r.clock.Now()) {
		t.Errorf("come again at %v, error %v; want at once and an error", next, err)
	}
	if got, err := r.book().Standing(t.Context(), chain); err != nil || got.State != apple.StandingGood {
		t.Errorf("the other: %v, error %v; want good", got, err)
	}
}

// silent is an authority that takes a question and never answers it.
type silent struct{ asked int }

func (s *silent) RoundTrip(request *http.Request) (*http.Response, error) {
	s.asked++
	_, _ = io.Copy(io.Discard, request.Body)
	<-request.Context().Done()
	return nil, request.Context().Err()
}

// trickling answers, byte by byte and without an end.
type trickling struct{}

func (trickling) RoundTrip(request *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(drops{request.Context()}), Request: request}, nil
}

type drops struct{ context.Context }

func (d drops) Read(p []byte) (int, error) {
	select {
	case <-d.Done():
		return 0, d.Err()
	case <-time.After(time.Second):
		p[0] = 0x30
		return 1, nil
	}
}

func TestAuthorityThatNeverAnswersIsLeftAfterTenSeconds(t *testing.T) {
	for name, transport := range map[string]http.RoundTripper{"silent": &silent{}, "trickling": trickling{}} {
		r := newRealm(t)
		r.meet()
		synctest.Test(t, func(t *testing.T) {
			book := r.book()
			book.HTTP = &http.Client{Transport: transport}
			began := time.Now()
			if _, err := book.Refresh(t.Context()); err != nil {
				t.Errorf("%s: error %v, want none", name, err)
			}
			if waited := time.Since(began); waited != 20*time.Second {
				t.Errorf("%s: waited %v by the test's own clock, want 10 seconds for each certificate", name, waited)
			}
		})
		if k := r.kept(); k.Failures != 1 || k.LeafAnswer.Status != "" || k.IntermediateAnswer.Status != "" {
			t.Errorf("%s: stored %v, want one failure and no answer", name, k)
		}
	}
}

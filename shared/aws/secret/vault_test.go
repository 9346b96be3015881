package secret_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"grantline/shared/aws/secret"
	"grantline/shared/clock"
	"grantline/shared/fault"
)

const (
	secretARN    = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:toss-AbCdEf"
	parameterARN = "arn:aws:ssm:ap-northeast-2:111122223333:parameter/grantline/toss"
)

// hand is a clock that a test moves.
type hand struct {
	clock.Clock
	mu sync.Mutex
	t  time.Time
}

func newHand() *hand { return &hand{t: time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)} }

func (h *hand) Now() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.t
}

func (h *hand) move(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.t = h.t.Add(d)
}

// service answers as Secrets Manager and Parameter Store do, to the real clients of the SDK.
type service struct {
	*httptest.Server
	mu      sync.Mutex
	value   string
	down    bool
	hold    chan struct{} // if set, an answer waits for it
	asked   []string      // operation, region and body of each request
	log     bytes.Buffer
	configs int
}

func newService(t *testing.T) *service {
	s := &service{value: "sk_1"}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var body bytes.Buffer
	body.ReadFrom(http.MaxBytesReader(w, r.Body, 1<<20))
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	region := "?"
	if scope := strings.Split(r.Header.Get("Authorization"), "/"); len(scope) > 2 {
		region = scope[2]
	}
	s.mu.Lock()
	s.asked = append(s.asked, operation+" "+region+" "+body.String())
	value, down, hold := s.value, s.down, s.hold
	s.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-r.Context().Done():
			return
		}
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	switch {
	case down:
		w.WriteHeader(http.StatusInternalServerError)
		fmt.Fprint(w, `{"__type":"InternalServiceError","Message":"down"}`)
	case operation == "GetSecretValue":
		json.NewEncoder(w).Encode(map[string]any{"SecretString": value})
	default:
		json.NewEncoder(w).Encode(map[string]any{"Parameter": map[string]any{"Value": value}})
	}
}

func (s *service) config(context.Context) (aws.Config, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.configs++
	return aws.Config{
		Region:       "ap-northeast-2",
		BaseEndpoint: aws.String(s.URL),
		Retryer:      func() aws.Retryer { return aws.NopRetryer{} },
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "x", SecretAccessKey: "x"}, nil
		}),
	}, nil
}

func (s *service) vault(c clock.Clock) *secret.Vault {
	v := secret.NewVault(s.config, c, slog.New(slog.NewTextHandler(&s.log, nil)))
	v.SetPatience(60 * time.Second) // a loaded machine may be slow
	return v
}

func (s *service) set(value string, down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.value, s.down = value, down
}

func (s *service) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.asked)
}

func parse(t *testing.T, text string) secret.Reference {
	t.Helper()
	ref, err := secret.Parse(text)
	if err != nil {
		t.Fatalf("Parse(%q): %v", text, err)
	}
	return ref
}

func TestASecretIsAskedForWhereItsReferenceSays(t *testing.T) {
	for text, want := range map[string]string{
		secretARN:         `GetSecretValue eu-west-1 {"SecretId":"` + secretARN + `"}`,
		parameterARN:      `GetParameter ap-northeast-2 {"Name":"` + parameterARN + `","WithDecryption":true}`,
		"/grantline/toss": `GetParameter ap-northeast-2 {"Name":"/grantline/toss","WithDecryption":true}`,
	} {
		s := newService(t)
		s.set("sk_1\r\n", false)
		got, err := s.vault(newHand()).Open(parse(t, text))(t.Context(), false)
		if err != nil || got != "sk_1" {
			t.Errorf("%s: got %q and error %v, want sk_1 without its line break", text, got, err)
		}
		if len(s.asked) != 1 || s.asked[0] != want {
			t.Errorf("%s: asked %q, want %q", text, s.asked, want)
		}
	}
}

func TestNothingIsAskedBeforeTheFirstUse(t *testing.T) {
	s := newService(t)
	s.vault(newHand()).Open(parse(t, secretARN))
	if s.configs != 0 || s.count() != 0 {
		t.Errorf("configured %d times and asked %d times, want 0", s.configs, s.count())
	}
}

func TestAValueIsKeptForFiveMinutes(t *testing.T) {
	s, h := newService(t), newHand()
	v := s.vault(h)
	open := v.Open(parse(t, secretARN))
	for _, step := range []struct {
		move  time.Duration
		fresh bool
		want  string
		asked int
	}{
		{0, false, "sk_1", 1},
		{5*time.Minute - 1, false, "sk_1", 1},
		{1, false, "sk_2", 2},
		{29 * time.Second, true, "sk_2", 2}, // fresh, but one was fetched 29 s ago
		{time.Second, true, "sk_3", 3},
		{0, true, "sk_3", 3},
		{time.Second, false, "sk_3", 3},
	} {
		h.move(step.move)
		s.set(fmt.Sprintf("sk_%d", s.count()+1), false)
		got, err := open(t.Context(), step.fresh)
		if err != nil || got != step.want || s.count() != step.asked {
			t.Errorf("after %v more: got %q and error %v with %d requests, want %q with %d", step.move, got, err, s.count(), step.want, step.asked)
		}
	}
	// The same secret opened again is the same secret.
	if got, err := v.Open(parse(t, secretARN))(t.Context(), false); err != nil || got != "sk_3" || s.count() != 3 {
		t.Errorf("opened again: got %q and error %v with %d requests, want sk_3 with 3", got, err, s.count())
	}
}

func TestBadKeysOfAnAttackerAreNotARequestEach(t *testing.T) {
	s, h := newService(t), newHand()
	open := s.vault(h).Open(parse(t, secretARN))
	for range 1000 {
		if _, err := open(t.Context(), true); err != nil {
			t.Fatal(err)
		}
		h.move(30 * time.Millisecond)
	}
	if got := s.count(); got != 1 {
		t.Errorf("%d requests within 30 s, want 1", got)
	}
}

func TestTheLastValueServesADayWhileTheServiceIsDown(t *testing.T) {
	s, h := newService(t), newHand()
	open := s.vault(h).Open(parse(t, secretARN))
	if _, err := open(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	s.set("sk_2", true)
	h.move(10 * time.Minute)
	for range 100 {
		if got, err := open(t.Context(), false); err != nil || got != "sk_1" {
			t.Fatalf("got %q and error %v, want the last value", got, err)
		}
	}
	if got := s.count(); got != 2 {
		t.Errorf("%d requests, want 2: one failed and none within 30 s of it", got)
	}
	if got := s.log.String(); strings.Count(got, "level=WARN") != 1 || !strings.Contains(got, secretARN) || strings.Contains(got, "sk_1") {
		t.Errorf("the log is %q, want one warning that names the secret and not its value", got)
	}
	h.move(24*time.Hour - 10*time.Minute - 1)
	if got, err := open(t.Context(), true); err != nil || got != "sk_1" {
		t.Errorf("just before a day is over: got %q and error %v, want the last value", got, err)
	}
	h.move(1)
	if got, err := open(t.Context(), false); !errors.Is(err, fault.Unavailable) || got != "" {
		t.Errorf("after a day: got %q and error %v, want fault.Unavailable", got, err)
	}
	s.set("sk_2", false)
	if got, err := open(t.Context(), false); err != nil || got != "sk_2" {
		t.Errorf("after the outage: got %q and error %v, want sk_2", got, err)
	}
}

func TestWithoutAnyValueAnOutageIsUnavailable(t *testing.T) {
	for name, set := range map[string]func(*service){
		"down":  func(s *service) { s.set("", true) },
		"empty": func(s *service) { s.set("\n", false) },
		"huge":  func(s *service) { s.set(strings.Repeat("x", 64<<10+1), false) },
		"gone":  func(s *service) { s.Close() },
	} {
		s := newService(t)
		set(s)
		got, err := s.vault(newHand()).Open(parse(t, secretARN))(t.Context(), false)
		if !errors.Is(err, fault.Unavailable) || fault.Code(err) != "secret_unavailable" || got != "" {
			t.Errorf("%s: got %q and error %v, want fault.Unavailable", name, got, err)
		}
	}
	if _, err := newService(t).vault(newHand()).Open(secret.Reference{})(t.Context(), false); !errors.Is(err, fault.Unavailable) {
		t.Errorf("a secret that is not configured: error is %v, want fault.Unavailable", err)
	}
}

func TestManyAtOnceAreOneRequest(t *testing.T) {
	s := newService(t)
	s.hold = make(chan struct{})
	open := s.vault(newHand()).Open(parse(t, secretARN))
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if got, err := open(t.Context(), false); err != nil || got != "sk_1" {
				t.Errorf("got %q and error %v, want sk_1", got, err)
			}
		})
	}
	wait(t, func() bool { return s.count() == 1 })
	close(s.hold)
	all.Wait()
	if got := s.count(); got != 1 {
		t.Errorf("%d requests, want 1", got)
	}
}

func TestAServiceThatHangsIsGivenUp(t *testing.T) {
	s := newService(t)
	s.hold = make(chan struct{})
	v := s.vault(newHand())
	v.SetPatience(time.Millisecond)
	if _, err := v.Open(parse(t, secretARN))(t.Context(), false); !errors.Is(err, fault.Unavailable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error is %v, want fault.Unavailable because the time was up", err)
	}
	close(s.hold)
}

func TestOneThatGivesUpTakesNobodyAlong(t *testing.T) {
	s := newService(t)
	s.hold = make(chan struct{})
	open := s.vault(newHand()).Open(parse(t, secretARN))
	first, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() {
		if _, err := open(first, false); !errors.Is(err, fault.Unavailable) || !errors.Is(err, context.Canceled) {
			t.Errorf("the one that gave up got %v, want fault.Unavailable because it was cancelled", err)
		}
	})
	wait(t, func() bool { return s.count() == 1 })
	all.Go(func() {
		if got, err := open(t.Context(), false); err != nil || got != "sk_1" {
			t.Errorf("the other got %q and error %v, want sk_1", got, err)
		}
	})
	gone, cancelGone := context.WithCancel(t.Context())
	cancelGone()
	if _, err := open(gone, false); !errors.Is(err, fault.Unavailable) {
		t.Errorf("one that gave up while waiting got %v, want fault.Unavailable", err)
	}
	cancel()
	wait(t, func() bool { return s.count() == 2 })
	close(s.hold)
	all.Wait()
}

// wait waits for a condition, for as long as a loaded machine may need.
func wait(t *testing.T, done func() bool) {
	t.Helper()
	for end := time.Now().Add(60 * time.Second); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("nothing happened within 60 s")
		}
	}
}

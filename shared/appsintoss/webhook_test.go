package appsintoss_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/appsintoss"
	"grantline/shared/fault"
	"grantline/shared/notice"
)

const (
	webhookSecret = "wh_7Qm2xV9cK4tRb8Lp=="
	olderSecret   = "wh_0ld1xV9cK4tRb8Lp=="
)

// knocks gives one secret from the cache and another to who looks past it.
type knocks struct {
	cached, fresh string
	err, freshErr error
	asked         int
	freshly       int
}

func (k *knocks) door(l *log) *appsintoss.Door {
	return &appsintoss.Door{Log: slog.New(slog.NewJSONHandler(l, nil)), Secret: func(_ context.Context, fresh bool) (string, error) {
		k.asked++
		if fresh {
			k.freshly++
			return k.fresh, k.freshErr
		}
		return k.cached, k.err
	}}
}

func shows(authorization ...string) http.Header {
	return http.Header{"Authorization": authorization, "Content-Type": {"application/json"}}
}

func hashed(body string) string {
	sum := sha256.Sum256([]byte(body))
	return "sha256-" + hex.EncodeToString(sum[:])
}

func TestWebhookThatShowsTheSecretSaysWhereToLook(t *testing.T) {
	for _, scheme := range []string{"Basic", "Bearer", "basic", "BEARER"} {
		var l log
		k := &knocks{cached: webhookSecret}
		body := change(nil)
		got, err := k.door(&l).ReadHint(t.Context(), shows(scheme+" "+webhookSecret), []byte(body))
		want := notice.Hint{
			Signed: true, ID: hashed(body), Type: "subscription.renewed", Order: "appsintoss_" + order, Line: order, Evidence: renewal.Evidence(),
		}
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: got the error %v; hint: want -, got +\n%s", scheme, err, diff)
		}
		if tidy := got.Tidy(); tidy != got {
			t.Errorf("%s: got a hint of which %+v is left, want all of it", scheme, tidy)
		}
		if k.freshly != 0 || k.asked != 1 || l.String() != "" {
			t.Errorf("%s: got %d looks at the secret, %d fresh, and the log %s, want one look and no log", scheme, k.asked, k.freshly, l.String())
		}
	}
}

func TestTypeOfAHintIsItsReason(t *testing.T) {
	for reason, want := range map[string]string{
		`"CREATED"`: "subscription.created", `"AUTO_RENEW_DISABLED"`: "subscription.auto_renew_disabled", `"GIFTED"`: "subscription.gifted",
		`null`: "subscription.other", `""`: "subscription.other", `"two words"`: "subscription.other", `"갱신"`: "subscription.other",
		`"` + strings.Repeat("A", 64) + `"`: "subscription." + strings.Repeat("a", 64), `"` + strings.Repeat("A", 65) + `"`: "subscription.other",
	} {
		k := &knocks{cached: webhookSecret}
		got, err := k.door(&log{}).ReadHint(t.Context(), shows("Basic "+webhookSecret), []byte(change(members{"changeReason": reason})))
		if err != nil || got.Type != want || got.Tidy() != got {
			t.Errorf("%s: got %+v, %v, want the type %s", reason, got, err, want)
		}
	}
}

func TestRegistrationCheckNamesNothing(t *testing.T) {
	body := `{"eventType":"callback.registration_verification","occurredAt":"2026-11-22T09:00:00"}`
	var l log
	got, err := (&knocks{cached: webhookSecret}).door(&l).ReadHint(t.Context(), shows("Bearer "+webhookSecret), []byte(body))
	if want := (notice.Hint{Signed: true, ID: hashed(body), Type: "registration"}); err != nil || got != want || l.String() != "" {
		t.Errorf("got %+v, %v and the log %s, want %+v and no log", got, err, l.String(), want)
	}
}

func TestWebhookThatNobodyUnderstandsIsKeptAndAlarms(t *testing.T) {
	for _, body := range []string{
		"", "no JSON", "[]", "{}", strings.Repeat("{", 64<<10+1), `{"eventType":"subscription.merged","orderId":"` + order + `"}`,
		change(members{"current.accessGranted": `"yes"`}), change(members{"eventVersion": `"2.0"`}),
	} {
		var l log
		got, err := (&knocks{cached: webhookSecret}).door(&l).ReadHint(t.Context(), shows("Basic "+webhookSecret), []byte(body))
		if want := (notice.Hint{Signed: true, ID: hashed(body), Type: "unreadable"}); err != nil || got != want {
			t.Errorf("%.60q: got %+v, %v, want %+v", body, got, err, want)
		}
		if strings.Count(l.String(), `"alarm":true`) != 1 {
			t.Errorf("%.60q: got the log %s, want one alarm", body, l.String())
		}
		silent(t, &l)
	}
}

// Byte for byte the same is the same notice, and anything else is another.
func TestWebhookIsKnownByItsBody(t *testing.T) {
	read := func(scheme, body string) string {
		got, err := (&knocks{cached: webhookSecret}).door(&log{}).ReadHint(t.Context(), shows(scheme+" "+webhookSecret), []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		return got.ID
	}
	body := change(nil)
	if a, b := read("Basic", body), read("Bearer", body); a != b {
		t.Errorf("got %s and %s for one body, want one id", a, b)
	}
	if a, b := read("Basic", body), read("Basic", body+" "); a == b {
		t.Errorf("got %s for two bodies, want two ids", a)
	}
}

func TestForgedWebhookIsRefused(t *testing.T) {
	encode := base64.StdEncoding.EncodeToString
	for name, header := range map[string]http.Header{
		"no header":                {},
		"empty header":             shows(""),
		"nothing behind":           shows("Basic"),
		"nothing behind the blank": shows("Basic "),
		"only blanks behind":       shows("Basic    "),
		"wrong":                    shows("Basic " + strings.Repeat("x", len(webhookSecret))),
		"one short":                shows("Basic " + webhookSecret[:len(webhookSecret)-1]),
		"one missing in front":     shows("Basic " + webhookSecret[1:]),
		"one long":                 shows("Basic " + webhookSecret + "x"),
		"one other at the end":     shows("Basic " + webhookSecret[:len(webhookSecret)-1] + "-"),
		"twice":                    shows("Basic " + webhookSecret + webhookSecret),
		"upper case":               shows("Bearer " + strings.ToUpper(webhookSecret)),
		"lower case":               shows("Bearer " + strings.ToLower(webhookSecret)),
		"blank behind":             shows("Basic " + webhookSecret + " "),
		"two blanks":               shows("Basic  " + webhookSecret),
		"tab":                      shows("Basic\t" + webhookSecret),
		"line break behind":        shows("Basic " + webhookSecret + "\n"),
		"zero behind":              shows("Basic " + webhookSecret + "\x00"),
		"bare":                     shows(webhookSecret),
		"blank in front":           shows(" " + webhookSecret),
		"blank and scheme":         shows(" Basic " + webhookSecret),
		"colon":                    shows("Basic: " + webhookSecret),
		"Token":                    shows("Token " + webhookSecret),
		"Digest":                   shows("Digest " + webhookSecret),
		"Basicc":                   shows("Basicc " + webhookSecret),
		"Basi":                     shows("Basi " + webhookSecret),
		"letter that folds to s":   shows("Ba\u017fic " + webhookSecret),
		"encoded":                  shows("Basic " + encode([]byte(webhookSecret))),
		"encoded pair":             shows("Basic " + encode([]byte("toss:"+webhookSecret))),
		"pair":                     shows("Basic toss:" + webhookSecret),
		"decoded":                  shows("Basic " + strings.TrimRight(webhookSecret, "=")),
		"hash of it":               shows("Basic " + strings.TrimPrefix(hashed(webhookSecret), "sha256-")),
		"scheme twice":             shows("Basic Basic " + webhookSecret),
		"quoted":                   shows(`Basic "` + webhookSecret + `"`),
		"older one":                shows("Basic " + olderSecret),
		"two headers, both right":  shows("Basic "+webhookSecret, "Bearer "+webhookSecret),
		"two headers, the second":  shows("Basic x", "Basic "+webhookSecret),
		"two headers, the first":   shows("Basic "+webhookSecret, "Basic x"),
		"two joined":               shows("Basic " + webhookSecret + ",Basic " + webhookSecret),
		"too long":                 shows("Basic " + strings.Repeat("x", 4<<10)),
		"another header":           {"Proxy-Authorization": {"Basic " + webhookSecret}},
		"name as nobody writes it": {"authorization": {"Basic " + webhookSecret}},
		"cookie":                   {"Cookie": {"Authorization=Basic " + webhookSecret}},
	} {
		var l log
		k := &knocks{cached: webhookSecret, fresh: webhookSecret}
		got, err := k.door(&l).ReadHint(t.Context(), header, []byte(change(nil)))
		if !errors.Is(err, fault.Unauthenticated) || got != (notice.Hint{}) {
			t.Errorf("%s: got %+v, %v, want fault.Unauthenticated and no hint", name, got, err)
		}
		if k.freshly > 1 || k.asked > 2 {
			t.Errorf("%s: got %d looks at the secret, %d of them fresh, want one of each at most", name, k.asked, k.freshly)
		}
		for _, text := range []string{l.String(), fmt.Sprint(err)} {
			if strings.Contains(text, webhookSecret) || strings.Contains(text, order) || strings.Contains(text, olderSecret) {
				t.Errorf("%s: got %q, want nothing of the webhook", name, text)
			}
		}
	}
}

// What has not the form of a credential costs nobody a look at the secret.
func TestHeaderThatCannotBeRightIsNotCompared(t *testing.T) {
	for _, header := range []http.Header{{}, shows(""), shows(webhookSecret), shows("Token " + webhookSecret), shows("Basic x", "Basic x"), shows("Basic " + strings.Repeat("x", 4<<10))} {
		k := &knocks{err: errors.New("vault says no"), freshErr: errors.New("vault says no")}
		if _, err := k.door(&log{}).ReadHint(t.Context(), header, nil); !errors.Is(err, fault.Unauthenticated) || k.asked != 0 {
			t.Errorf("%.40v: got %v after %d looks at the secret, want fault.Unauthenticated after none", header, err, k.asked)
		}
	}
}

func TestRotationOfTheWebhookSecretNeedsNoDeploy(t *testing.T) {
	k := &knocks{cached: olderSecret, fresh: webhookSecret}
	if _, err := k.door(&log{}).ReadHint(t.Context(), shows("Basic "+webhookSecret), []byte(change(nil))); err != nil || k.freshly != 1 {
		t.Errorf("got %v after %d fresh looks, want it let in after one", err, k.freshly)
	}
	k = &knocks{cached: "", fresh: webhookSecret}
	if _, err := k.door(&log{}).ReadHint(t.Context(), shows("Basic "+webhookSecret), []byte(change(nil))); err != nil || k.freshly != 1 {
		t.Errorf("after an unfit one: got %v after %d fresh looks, want it let in after one", err, k.freshly)
	}
}

func TestSecretThatIsOutOrUnfitIsAnOutageAndNeverAPass(t *testing.T) {
	down := errors.New("vault says no to " + webhookSecret)
	for name, c := range map[string]struct {
		knocks knocks
		shown  string
	}{
		"not to be had":        {knocks{err: down}, webhookSecret},
		"not to be had afresh": {knocks{cached: olderSecret, freshErr: down}, webhookSecret},
		"empty":                {knocks{}, ""},
		"empty, and something": {knocks{}, webhookSecret},
		"of fifteen bytes":     {knocks{cached: webhookSecret[:15], fresh: webhookSecret[:15]}, webhookSecret[:15]},
		"unfit afresh":         {knocks{cached: olderSecret, fresh: "short"}, "short"},
	} {
		var l log
		got, err := c.knocks.door(&l).ReadHint(t.Context(), shows("Basic "+c.shown), []byte(change(nil)))
		if !errors.Is(err, fault.Unavailable) || got != (notice.Hint{}) {
			t.Errorf("%s: got %+v, %v, want fault.Unavailable and no hint", name, got, err)
		}
		if text := fmt.Sprint(err) + l.String(); strings.Contains(text, webhookSecret[:15]) || strings.Contains(text, "vault says") {
			t.Errorf("%s: got %q, want nothing of the secret", name, text)
		}
	}
	if _, err := (&knocks{cached: webhookSecret[:16]}).door(&log{}).ReadHint(t.Context(), shows("Basic "+webhookSecret[:16]), []byte(change(nil))); err != nil {
		t.Errorf("of sixteen bytes: got %v, want it let in", err)
	}
}

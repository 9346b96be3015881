package dodo_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"grantline/shared/dodo"
	"grantline/shared/fault"
)

// The well-known sample of a signed notice; its signature was computed elsewhere.
const (
	secret    = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	noticeID  = "msg_p5jXN8AQM9LWM0D4loKWxJek"
	sentAt    = 1614265330
	signature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
	sample    = `{"test": 2432232314}`
)

var another = "whsec_" + base64.StdEncoding.EncodeToString([]byte("another secret of 24 bytes, or more"))

func headers(id, stamp, signatures string) http.Header {
	h := http.Header{}
	h.Set("webhook-id", id)
	h.Set("webhook-timestamp", stamp)
	h.Set("webhook-signature", signatures)
	return h
}

func good() http.Header { return headers(noticeID, strconv.Itoa(sentAt), signature) }

// verifier has a list of secrets, and how often it was looked at.
func verifier(t testing.TB, cached, fresh string, err error) (v *dodo.Verifier, looks *int) {
	t.Helper()
	looks = new(int)
	v, failed := dodo.NewVerifier(func(_ context.Context, freshly bool) (string, error) {
		*looks++
		if freshly {
			return fresh, err
		}
		return cached, nil
	})
	if failed != nil {
		t.Fatalf("NewVerifier: got %v, want no error", failed)
	}
	return v, looks
}

// signed is a notice of now, signed with a secret.
func signed(t testing.TB, with, text string) http.Header {
	t.Helper()
	hook, err := standardwebhooks.NewWebhook(with)
	if err != nil {
		t.Fatal(err)
	}
	made, err := hook.Sign(noticeID, time.Unix(sentAt, 0), []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return headers(noticeID, strconv.Itoa(sentAt), made)
}

func TestGenuineNoticeIsVerified(t *testing.T) {
	for name, c := range map[string]struct {
		cached, fresh string
		header        http.Header
		looks         int
	}{
		"one secret":              {secret, "", good(), 1},
		"without its prefix":      {strings.TrimPrefix(secret, "whsec_"), "", good(), 1},
		"the second of two":       {another + ", " + secret, "", good(), 1},
		"the first of two":        {secret + "," + another, "", good(), 1},
		"rotated meanwhile":       {another, secret, good(), 2},
		"two signatures":          {secret, "", headers(noticeID, strconv.Itoa(sentAt), "v1,AAAA "+signature), 1},
		"of another version, too": {secret, "", headers(noticeID, strconv.Itoa(sentAt), "v1a,AAAA "+signature), 1},
	} {
		v, looks := verifier(t, c.cached, c.fresh, nil)
		got, err := v.Verify(t.Context(), c.header, []byte(sample), time.Unix(sentAt, 0))
		if diff := cmp.Diff(dodo.Hint{ID: noticeID}, got); err != nil || diff != "" || *looks != c.looks {
			t.Errorf("%s: got %v after %d looks at the secrets, want %d; want -, got +\n%s", name, err, *looks, c.looks, diff)
		}
	}
}

func TestForgedNoticeIsRefused(t *testing.T) {
	stamp := strconv.Itoa(sentAt)
	twice := good()
	twice.Add("webhook-id", "msg_other")
	for name, c := range map[string]struct {
		header http.Header
		body   string
		looks  int // at most, at the secrets
	}{
		"no headers":              {http.Header{}, sample, 0},
		"no id":                   {headers("", stamp, signature), sample, 0},
		"no stamp":                {headers(noticeID, "", signature), sample, 0},
		"no signature":            {headers(noticeID, stamp, ""), sample, 2},
		"two ids":                 {twice, sample, 0},
		"another id":              {headers("msg_other", stamp, signature), sample, 2},
		"an id with a full stop":  {headers("msg.1614265330", stamp, signature), sample, 0},
		"another stamp":           {headers(noticeID, strconv.Itoa(sentAt+1), signature), sample, 2},
		"a stamp with a sign":     {headers(noticeID, "+"+stamp, signature), sample, 0},
		"a stamp with zeros":      {headers(noticeID, "0"+stamp, signature), sample, 0},
		"a stamp of milliseconds": {headers(noticeID, stamp+"000", signature), sample, 0},
		"a stamp with a fraction": {headers(noticeID, stamp+".0", signature), sample, 0},
		"another body":            {good(), `{"test": 2432232315}`, 2},
		"a body and more":         {good(), sample + " ", 2},
		"no body":                 {good(), "", 2},
		"another version":         {headers(noticeID, stamp, "v2"+strings.TrimPrefix(signature, "v1")), sample, 2},
		"no version":              {headers(noticeID, stamp, strings.TrimPrefix(signature, "v1,")), sample, 2},
		"another secret's":        {signed(t, another, sample), sample, 2},
		"the empty secret's":      {signed(t, "", sample), sample, 2},
		"too many signatures":     {headers(noticeID, stamp, strings.Repeat("v1,AAAA ", 600)+signature), sample, 0},
		"too large a body":        {good(), sample + strings.Repeat(" ", 1<<20), 0},
	} {
		v, looks := verifier(t, secret, secret, nil)
		got, err := v.Verify(t.Context(), c.header, []byte(c.body), time.Unix(sentAt, 0))
		if !errors.Is(err, fault.Unauthenticated) || got != (dodo.Hint{}) || *looks > c.looks {
			t.Errorf("%s: got %+v, %v after %d looks at the secrets, want fault.Unauthenticated after %d at most", name, got, err, *looks, c.looks)
		}
		if strings.Contains(fmt.Sprint(err), "MfKQ9") || strings.Contains(fmt.Sprint(err), "g0hM9") {
			t.Errorf("%s: got %v, want no secret and no signature in it", name, err)
		}
	}
}

func TestNoticeIsOfNow(t *testing.T) {
	for off, ok := range map[time.Duration]bool{
		0: true, 5 * time.Minute: true, -5 * time.Minute: true, 5*time.Minute + time.Second: false, -5*time.Minute - time.Second: false, 24 * 365 * time.Hour: false,
	} {
		v, _ := verifier(t, secret, secret, nil)
		_, err := v.Verify(t.Context(), good(), []byte(sample), time.Unix(sentAt, 0).Add(off))
		if (err == nil) != ok || err != nil && !errors.Is(err, fault.Unauthenticated) {
			t.Errorf("%v off: got %v, want it verified: %v", off, err, ok)
		}
	}
}

// With an empty or a short secret anybody could sign.
func TestNothingIsVerifiedWithoutFitSecrets(t *testing.T) {
	short := "whsec_" + base64.StdEncoding.EncodeToString([]byte("23 bytes are not enough"))
	for name, list := range map[string]string{
		"none": "", "empty": "whsec_", "empty beside a good one": secret + ",", "short": short, "short beside a good one": secret + "," + short,
		"no base64": "whsec_!" + secret, "too many": strings.Repeat(secret+",", 10) + secret,
	} {
		v, _ := verifier(t, list, list, nil)
		header := good()
		if name == "none" || name == "empty" {
			header = signed(t, "", sample)
		}
		got, err := v.Verify(t.Context(), header, []byte(sample), time.Unix(sentAt, 0))
		if !errors.Is(err, fault.Unavailable) || got != (dodo.Hint{}) || strings.Contains(fmt.Sprint(err), "MfKQ9") {
			t.Errorf("%s: got %+v, %v, want fault.Unavailable without a secret in it", name, got, err)
		}
	}
	outage, _ := verifier(t, another, "", errors.New("vault says "+secret))
	_, err := outage.Verify(t.Context(), good(), []byte(sample), time.Unix(sentAt, 0))
	if !errors.Is(err, fault.Unavailable) || strings.Contains(fmt.Sprint(err), "MfKQ9") {
		t.Errorf("outage: got %v, want fault.Unavailable without a secret in it", err)
	}
	if _, err := dodo.NewVerifier(nil); err == nil {
		t.Errorf("NewVerifier without a source: got no error, want one")
	}
}

func TestNoticeIsReadForWhatItPointsTo(t *testing.T) {
	at := time.Date(2026, 1, 31, 12, 0, 5, 0, time.UTC)
	for text, wanted := range map[string]dodo.Hint{
		`{"business_id":"bus_1","type":"payment.succeeded","timestamp":"2026-01-31T12:00:05Z","data":{"payload_type":"Payment","payment_id":"pay_1",
			"subscription_id":"sub_1","status":"succeeded","metadata":{"order_id":"gl_1234567"},"customer":{"email":"payer@company.example"}}}`: {
			ID: noticeID, Type: "payment.succeeded", Timestamp: at, Payment: "pay_1", Mandate: "sub_1", OrderID: "gl_1234567", Status: "succeeded",
		},
		`{"type":"subscription.on_hold","timestamp":"2026-01-31T13:00:05+01:00","data":{"subscription_id":"sub_1","status":"on_hold","metadata":{"grantline_subscription":"s-1"}}}`: {
			ID: noticeID, Type: "subscription.on_hold", Timestamp: at, Mandate: "sub_1", Subscription: "s-1", Status: "on_hold",
		},
		`{"type":"of.tomorrow","timestamp":7,"data":{"payment_id":"../x","metadata":{"order_id":["a"]},"status":"<b>"}}`: {ID: noticeID, Type: "of.tomorrow"},
		`{"type":"UPPER\n","data":[]}`: {ID: noticeID},
		`{}`:                           {ID: noticeID},
	} {
		v, _ := verifier(t, secret, "", nil)
		got, err := v.Verify(t.Context(), signed(t, secret, text), []byte(text), time.Unix(sentAt, 0))
		if diff := cmp.Diff(wanted, got); err != nil || diff != "" {
			t.Errorf("%s: got %v; want -, got +\n%s", text, err, diff)
		}
	}
	for _, text := range []string{"", "null", "[]", `"x"`, "{", "7", "{}{}", "\xff"} {
		v, _ := verifier(t, secret, "", nil)
		got, err := v.Verify(t.Context(), signed(t, secret, text), []byte(text), time.Unix(sentAt, 0))
		if !errors.Is(err, fault.Malformed) || got != (dodo.Hint{}) {
			t.Errorf("%q: got %+v, %v, want fault.Malformed", text, got, err)
		}
	}
}

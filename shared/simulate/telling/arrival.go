package telling

import (
	"bytes"
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"grantline/shared/delivery"
)

// unknown is a request under an id that no event has.
func (q *Quarter) unknown(to *server, id string, body []byte) {
	var told struct {
		Data struct {
			CustomerID string
			Sequence   int64
		}
		Event struct {
			AppUserID string `json:"app_user_id"`
			Sequence  int64
		}
	}
	if json.Unmarshal(body, &told) == nil {
		ref, err := q.identity.Ref(context.Background(), to.scope, cmp.Or(told.Data.CustomerID, told.Event.AppUserID))
		p := q.people[to.scope.Key(ref)]
		if n := cmp.Or(told.Data.Sequence, told.Event.Sequence); err == nil && p != nil && n >= 1 && n <= int64(len(p.events)) {
			q.fail(OneID, "%s is told of %s under another id", to.name, p.events[n-1].words)
			return
		}
	}
	q.fail(Written, "%s is told of an event under an id that none has", to.name)
}

// signed holds a request to Standard Webhooks, and its time and secret to when it was sent.
func (q *Quarter) signed(to *server, id string, header http.Header, body []byte, sent time.Time) {
	stamp := header.Get("webhook-timestamp")
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if at := time.Unix(seconds, 0); err != nil || at.Sub(sent).Abs() > 10*time.Second {
		q.fail(Signed, "a request to %s says that it was sent at %q", to.name, stamp)
	}
	begun := sent.Add(-inFlight)
	signatures := strings.Fields(header.Get("webhook-signature"))
	matched := make([]bool, len(signatures))
	is := func(secret string) bool {
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
		mac := hmac.New(sha256.New, key)
		for _, part := range []string{id, ".", stamp, "."} {
			_, _ = mac.Write([]byte(part)) // never fails
		}
		_, _ = mac.Write(body)
		want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
		at := slices.Index(signatures, want)
		if at >= 0 {
			matched[at] = true
		}
		return err == nil && at >= 0
	}
	// What was the secret when the look began, and what had been for less than a day before,
	// verifies, but for one that three others came after.
	newest := true
	kept := 0
	for n := len(to.secrets) - 1; n >= 0; n-- {
		s := to.secrets[n]
		ended := sent.Add(time.Hour) // not yet
		if n+1 < len(to.secrets) {
			ended = to.secrets[n+1].since
		}
		expired := ended.Add(24 * time.Hour)
		if expired.Before(begun) || kept > 4 {
			break
		}
		known := !s.since.After(begun)
		good := is(s.is.Signing)
		if must := known && kept <= 3 && expired.After(sent.Add(inFlight)) || newest && len(to.secrets) == 1; must && !good {
			q.fail(Signed, "a request to %s verifies with no secret that it had %d rotations ago", to.name, kept)
		}
		newest = false
		kept++
	}
	if slices.Contains(matched, false) {
		q.fail(Signed, "a request to %s has a signature by a secret that is not its own, or no more", to.name)
	}
	if to.format != delivery.RevenueCat {
		return
	}
	for n := len(to.secrets) - 1; n >= 0; n-- {
		if header.Get("Authorization") == to.secrets[n].is.Authorization {
			return
		}
		if to.secrets[n].since.Before(begun) {
			break
		}
	}
	q.fail(Signed, "a request to %s has an Authorization that is not its own", to.name)
}

// body holds what is told to what was written, and names to whom they are of.
func (q *Quarter) body(to *server, e *written, id string, body []byte, sent time.Time) {
	var name string
	switch to.format {
	case delivery.Standard:
		var told struct {
			Data struct{ CustomerID, OtherCustomerID string }
		}
		if !bytes.Equal(body, e.body) {
			if err := json.Unmarshal(body, &told); err != nil {
				q.fail(OneBody, "%s is told of %s by what is no JSON", to.name, e.words)
				return
			}
			want, err := e.standard(told.Data.CustomerID, told.Data.OtherCustomerID)
			if err != nil || !bytes.Equal(body, want) {
				q.fail(OneBody, "%s is told of %s by %s, and what was written is %s", to.name, e.words, body, want)
				return
			}
			e.body, e.names = body, [2]string{told.Data.CustomerID, told.Data.OtherCustomerID}
		}
		name = e.names[0]
		if other := e.event.Other; other != "" && !q.named(q.person(e.of.scope.Key(other)), e.names[1]) {
			q.fail(OneBody, "%s is told of %s that the other is %q", to.name, e.words, e.names[1])
		}
	default:
		var told struct {
			Event struct {
				ID          string   `json:"id"`
				Type        string   `json:"type"`
				Sequence    int64    `json:"sequence"`
				AppUserID   string   `json:"app_user_id"`
				At          int64    `json:"event_timestamp_ms"`
				Transferred []string `json:"transferred_to"`
			} `json:"event"`
		}
		if err := json.Unmarshal(body, &told); err != nil || !strings.HasPrefix(told.Event.ID, e.id) || told.Event.Sequence != e.event.Sequence || told.Event.At != e.event.At.UnixMilli() {
			q.fail(OneBody, "%s is told of %s by %s", to.name, e.words, body)
			return
		}
		if name = told.Event.AppUserID; name == "" && len(told.Event.Transferred) > 0 {
			name = e.of.first // a transfer is nobody's
			if name == "" {
				return
			}
		}
	}
	if !q.named(e.of, name) {
		q.fail(OneBody, "%s is told of %s that it is %q's", to.name, e.words, name)
	}
	q.nameless(to, e, e.of, name, sent)
	if other := e.event.Other; other != "" && to.format == delivery.Standard {
		q.nameless(to, e, q.people[e.of.scope.Key(other)], e.names[1], sent)
	}
}

func (q *Quarter) nameless(to *server, e *written, of *person, name string, sent time.Time) {
	if name != "" && of != nil && !of.erased.IsZero() && of.erased.Before(sent.Add(-inFlight)) {
		q.fail(Nameless, "%s is told of %s by a name that was erased at %v", to.name, e.words, of.erased)
	}
}

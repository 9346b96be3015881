package play

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"grantline/infra/sim/stage"
)

// sender is how notifications are pushed (Pub/Sub, push subscriptions): only five statuses
// acknowledge a message.
var sender = stage.Sender{
	Path:    "/webhooks/play",
	Timeout: 30 * time.Second,
	OK:      func(status int) bool { return slices.Contains([]int{102, 200, 201, 202, 204}, status) },
}

// The retry policy and the retention of the subscription.
const (
	leastBackoff = 10 * time.Second
	mostBackoff  = 600 * time.Second
	retention    = 7 * 24 * time.Hour
)

// The shapes of a push.
const (
	wrapped   = "wrapped"
	unwrapped = "unwrapped"
	metadata  = "metadata" // unwrapped, with Pub/Sub's metadata as headers
)

// Who pushes, what for, and through which subscription.
const (
	PushAudience     = "https://app.example.com/webhooks/play"
	PushEmail        = "play-push@grantline-sample.iam.gserviceaccount.com"
	PushSubscription = "projects/grantline-sample/subscriptions/play-notifications"
	googleIssuer     = "https://accounts.google.com"
)

// message is one that was published.
type message struct {
	id          string
	data        []byte
	kind, order string
	at          time.Time
}

// push publishes data and has it delivered, and gives its messageId. The caller holds mu.
func (s *Simulator) push(data []byte, kind, order string) string {
	s.messages++
	m := &message{strconv.FormatInt(s.messages, 10), data, kind, order, s.stage.Now()}
	if !s.stage.Reachable() {
		return m.id
	}
	s.published = append(s.published, m)
	s.stage.Send(stage.Webhook{
		ID: m.id, Type: kind, OrderID: order,
		Compose: func(int) (http.Header, []byte) {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.compose(m, s.identity(nil))
		},
		Repeat: func(attempt, _ int) (time.Duration, bool) {
			after := mostBackoff
			if attempt < 6 {
				after = min(leastBackoff<<attempt, mostBackoff)
			}
			return after, s.stage.Now().Add(after).Sub(m.at) < retention
		},
	})
	return m.id
}

// compose makes the request of an attempt.
func (s *Simulator) compose(m *message, bearer string) (http.Header, []byte) {
	header := http.Header{
		"Content-Type": {"application/json"}, "User-Agent": {"CloudPubSub-Google"}, "From": {"noreply@google.com"},
	}
	if bearer != "" {
		header.Set("Authorization", "Bearer "+bearer)
	}
	at := m.at.Format(time.RFC3339Nano)
	switch s.settings.Push {
	case unwrapped:
		return header, m.data
	case metadata:
		header.Set("X-Goog-Pubsub-Subscription-Name", PushSubscription)
		header.Set("X-Goog-Pubsub-Message-Id", m.id)
		header.Set("X-Goog-Pubsub-Publish-Time", at)
		return header, m.data
	}
	return header, stage.JSON(0, map[string]any{
		"message": map[string]any{
			"attributes": map[string]string{}, "data": base64.StdEncoding.EncodeToString(m.data),
			"messageId": m.id, "message_id": m.id, "publishTime": at, "publish_time": at,
		},
		"subscription": PushSubscription,
	}).Body
}

// signers are the keys of push tokens.
type signers struct {
	ids     []string // of all keys, the last one signs; the key of ids[i] is key(pushKey+i)
	from    int      // the first one that is published
	how     string   // how keys are answered; "" is that all is well
	subject string
}

func (s *Simulator) newSigners() signers {
	return signers{ids: []string{s.newKeyID()}, subject: "1" + s.stage.Text(20, stage.Digits)}
}

func (s *Simulator) newKeyID() string { return s.stage.Text(40, "0123456789abcdef") }

// Rotation is of the keys that sign push tokens.
type Rotation struct {
	Drop bool `json:"drop,omitempty"` // the keys before are published no more
}

// RotateKeys signs with another key from now on. Those before stay published unless they are
// dropped.
func (s *Simulator) RotateKeys(r Rotation) error {
	id := s.newKeyID()
	key(pushKey + s.keyCount())
	s.mu.Lock()
	defer s.mu.Unlock()
	s.signers.ids = append(s.signers.ids, id)
	if r.Drop {
		s.signers.from = len(s.signers.ids) - 1
	}
	return nil
}

func (s *Simulator) keyCount() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.signers.ids)
}

// Answering is how the keys of push tokens are answered.
type Answering struct {
	How string `json:"how"` // good, down (503), garbage, huge or empty
}

var answers = []string{"good", "down", "garbage", "huge", "empty"}

// AnswerKeys has the keys answered in another way until told otherwise.
func (s *Simulator) AnswerKeys(a Answering) error {
	if !slices.Contains(answers, a.How) {
		return fmt.Errorf("how %q: %s", a.How, strings.Join(answers, ", "))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.signers.how = a.How
	return nil
}

// serveKeys answers the public keys of push tokens (JWKS).
func (s *Simulator) serveKeys(r *http.Request) stage.Answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Method != http.MethodGet {
		return stage.Answer{Status: http.StatusMethodNotAllowed}
	}
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	for i, id := range s.signers.ids {
		if i >= s.signers.from && s.signers.how != "empty" {
			set.Keys = append(set.Keys, jose.JSONWebKey{Key: &key(pushKey + i).PublicKey, KeyID: id, Algorithm: "RS256", Use: "sig"})
		}
	}
	a := stage.JSON(http.StatusOK, set)
	age := int(time.Duration(*s.settings.KeysMaxAge) / time.Second)
	a.Header = http.Header{"Cache-Control": {fmt.Sprintf("public, max-age=%d, must-revalidate, no-transform", age)}}
	switch s.signers.how {
	case "down":
		return stage.Answer{Status: http.StatusServiceUnavailable}
	case "garbage":
		a.Body = []byte("<html>")
	case "huge":
		a.Body = append(a.Body[:len(a.Body)-1], `,"padding":"`+strings.Repeat("x", 2<<20)+`"}`...)
	}
	return a
}

// claims are those of a push token.
type claims struct {
	Issuer   string           `json:"iss"`
	Audience any              `json:"aud"`
	Subject  string           `json:"sub"`
	Party    string           `json:"azp"`
	Email    string           `json:"email,omitempty"`
	Verified any              `json:"email_verified,omitempty"`
	IssuedAt *jwt.NumericDate `json:"iat"`
	Expiry   *jwt.NumericDate `json:"exp"`
}

// token is a push token before it is signed.
type token struct {
	claims

	alg jose.SignatureAlgorithm
	kid string
	key any
}

// identity signs a token of the push service account as of now; spoil makes it a forgery.
// The caller holds mu.
func (s *Simulator) identity(spoil func(*token)) string {
	now, last := s.stage.Now(), len(s.signers.ids)-1
	t := token{
		claims: claims{
			Issuer: googleIssuer, Audience: PushAudience, Subject: s.signers.subject, Party: s.signers.subject, Email: PushEmail, Verified: true,
			IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(time.Hour)),
		},
		alg: jose.RS256, kid: s.signers.ids[last], key: key(pushKey + last),
	}
	if spoil != nil {
		spoil(&t)
	}
	signer := must(jose.NewSigner(jose.SigningKey{Algorithm: t.alg, Key: t.key},
		(&jose.SignerOptions{}).WithType("JWT").WithHeader("kid", t.kid)))
	return must(jwt.Signed(signer).Claims(t.claims).Serialize())
}

// Forgery is a push that is not Google's, or not for us.
type Forgery struct {
	How           string `json:"how"`
	PurchaseToken string `json:"purchaseToken,omitempty"` // what it is about; "" is a test notification
}

// forgeries spoil one thing each of a push token that is in order.
var forgeries = map[string]func(s *Simulator, t *token){
	"key":        func(_ *Simulator, t *token) { t.key = key(impostorKey) },
	"kid":        func(s *Simulator, t *token) { t.key, t.kid = key(impostorKey), s.newKeyID() },
	"audience":   func(_ *Simulator, t *token) { t.Audience = "https://elsewhere.example.com/webhooks/play" },
	"email":      func(_ *Simulator, t *token) { t.Email = "play-push@other-project.iam.gserviceaccount.com" },
	"noEmail":    func(_ *Simulator, t *token) { t.Email, t.Verified = "", nil },
	"unverified": func(_ *Simulator, t *token) { t.Verified = false },
	"expired": func(_ *Simulator, t *token) {
		t.IssuedAt, t.Expiry = jwt.NewNumericDate(t.IssuedAt.Time().Add(-2*time.Hour)), jwt.NewNumericDate(t.IssuedAt.Time().Add(-time.Hour))
	},
	"future": func(_ *Simulator, t *token) {
		t.IssuedAt, t.Expiry = jwt.NewNumericDate(t.IssuedAt.Time().Add(2*time.Hour)), jwt.NewNumericDate(t.IssuedAt.Time().Add(3*time.Hour))
	},
	"issuer": func(_ *Simulator, t *token) { t.Issuer = "https://accounts.google.com.evil.example" },
	// The public key that everybody has, taken for a shared secret.
	"hs256": func(s *Simulator, t *token) {
		public := must(x509.MarshalPKIXPublicKey(&key(pushKey + len(s.signers.ids) - 1).PublicKey))
		t.alg, t.key = jose.HS256, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})
	},
}

// unsigned are the forgeries that are no signature at all.
var unsigned = []string{"missing", "none", "payload"}

// Forge pushes a notification with a token that is wrong in one way, once, and gives the
// status of the answer. Hold no locks.
func (s *Simulator) Forge(ctx context.Context, f Forgery) (int, error) {
	spoil, ok := forgeries[f.How]
	if !ok && !slices.Contains(unsigned, f.How) {
		names := slices.Clone(unsigned)
		for name := range forgeries {
			names = append(names, name)
		}
		slices.Sort(names)
		return 0, fmt.Errorf("how %q: %s", f.How, strings.Join(names, ", "))
	}
	if !s.stage.Reachable() {
		return 0, fmt.Errorf("how %q: there is no address that notifications are sent to", f.How)
	}
	header, body, err := s.forged(f, spoil)
	if err != nil {
		return 0, err
	}
	return s.stage.Post(ctx, header, body), nil
}

func (s *Simulator) forged(f Forgery, spoil func(*Simulator, *token)) (http.Header, []byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.notice(Package)
	n.Test = &testNotice{"1.0"}
	if f.PurchaseToken != "" {
		p, err := s.purchaseOf(f.PurchaseToken)
		if err != nil {
			return nil, nil, err
		}
		n = s.notice(p.app)
		if p.subscription != nil {
			n.Subscription = &subscriptionNotice{Version: "1.0", Type: typePurchased, Token: p.token}
		} else {
			n.OneTime = &oneTimeNotice{"1.0", oneTimePurchased, p.token, p.picks[0].product.id}
		}
	}
	s.messages++
	m := &message{id: strconv.FormatInt(s.messages, 10), data: stage.JSON(0, n).Body, at: s.stage.Now()}
	bearer := ""
	switch f.How {
	case "missing":
	case "none":
		parts := strings.Split(s.identity(nil), ".")
		bearer = base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"JWT"}`)) + "." + parts[1] + "."
	case "payload":
		// Another's claims under a signature of Google's.
		good, other := strings.Split(s.identity(nil), "."), strings.Split(s.identity(func(t *token) { t.Subject = "1" }), ".")
		bearer = good[0] + "." + other[1] + "." + good[2]
	default:
		bearer = s.identity(func(t *token) { spoil(s, t) })
	}
	header, body := s.compose(m, bearer)
	return header, body, nil
}

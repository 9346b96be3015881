// Package apple plays the App Store: it sells products, signs transactions the way Apple
// signs them and answers the App Store Server API. The one idea: everything it signs hangs
// on a certificate chain in Apple's shape whose root was made up at start, so that the code
// under test verifies for real, against another anchor. Begin at New, or at NewAuthority
// where only signatures are wanted.
package apple

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"grantline/infra/sim/stage"
)

// Options are those of every provider.
type Options = stage.Options

// Transaction is the endpoint that can be made to fail.
const Transaction = "transaction"

const elsewhere = "elsewhere"

// BundleID is the app that everything is sold in unless told otherwise.
const BundleID = "com.example.app"

// The environments that the App Store signs for.
const (
	Production = "Production"
	Sandbox    = "Sandbox"
)

// The chain is valid for as long as anybody moves a clock. A real leaf is renewed after
// two years, which the simulator does not act out.
var (
	validFrom  = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	validUntil = time.Date(2120, 1, 1, 0, 0, 0, 0, time.UTC)
)

// Simulator is an http.Handler whose paths are those of api.storekit.apple.com, and below
// /sandbox those of api.storekit-sandbox.apple.com.
type Simulator struct {
	stage     *stage.Stage
	mux       *http.ServeMux
	authority *Authority
	impostor  *Authority // signs what is forged
	apiKey    *ecdsa.PrivateKey
	keyID     string
	issuerID  string
	appID     string

	failures stage.Script[Failure]

	mu       sync.Mutex
	next     int64
	sold     map[string]*transaction
	settings Settings
}

// New opens an App Store without customers.
func New(o Options) *Simulator {
	s := &Simulator{
		stage:    stage.New("apple", []string{Transaction, elsewhere}, stage.JSON(http.StatusInternalServerError, apiError{5000000, "An unknown error occurred."}), o),
		mux:      http.NewServeMux(),
		sold:     map[string]*transaction{},
		settings: Settings{Released: ptr(true)},
	}
	s.authority = must(NewAuthority(s.stage, validFrom, validUntil))
	s.impostor = must(NewAuthority(s.stage, validFrom, validUntil))
	s.apiKey = must(newKey(s.stage, elliptic.P256()))
	s.keyID = s.stage.Text(10, stage.Capitals)
	s.issuerID = s.stage.UUID()
	s.appID = "6" + s.stage.Text(9, stage.Digits)
	s.next = must(strconv.ParseInt("1"+s.stage.Text(8, stage.Digits), 10, 64))
	for prefix, environment := range map[string]string{"": Production, "/sandbox": Sandbox} {
		s.handle("GET "+prefix+"/inApps/v1/transactions/{transactionId}", Transaction, environment, s.transactionInfo)
	}
	s.handle("/", elsewhere, "", func(*query) stage.Answer {
		return stage.Answer{Status: http.StatusNotFound}
	})
	return s
}

// Authority signs what is genuine.
func (s *Simulator) Authority() *Authority { return s.authority }

// Credentials are what a developer has from App Store Connect.
type Credentials struct {
	IssuerID, KeyID string
	PrivateKey      []byte // the In-App Purchase key as a PKCS #8 PEM block
	AppID           string // the app's Apple id, a number
}

// Credentials gives the one In-App Purchase key that the API takes.
func (s *Simulator) Credentials() Credentials {
	der := must(x509.MarshalPKCS8PrivateKey(s.apiKey))
	return Credentials{
		IssuerID: s.issuerID, KeyID: s.keyID, AppID: s.appID,
		PrivateKey: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}),
	}
}

// Effects is the log of what was done, oldest first.
func (s *Simulator) Effects() []stage.Effect { return s.stage.Effects(0) }

// Fault makes the next calls go wrong.
func (s *Simulator) Fault(f stage.Fault) error { return s.stage.Script(f) }

// SetUnkind sets the percentage of calls that go wrong of themselves.
func (s *Simulator) SetUnkind(percent int) error { return s.stage.SetUnkind(percent) }

// Close lets go of every call that hangs.
func (s *Simulator) Close() { s.stage.Close() }

// ServeHTTP answers as the App Store Server API would.
func (s *Simulator) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// query is one call on its way through.
type query struct {
	*http.Request
	environment string
	pause       func()
}

// apiError is the body of a refusal (App Store Server API, error codes). The first three
// digits of the code are the HTTP status.
type apiError struct {
	Code    int64  `json:"errorCode"`
	Message string `json:"errorMessage"`
}

func (e apiError) answer() stage.Answer { return stage.JSON(int(e.Code/10000), e) }

var (
	invalidID = apiError{4000006, "Invalid transaction id."}
	unknownID = apiError{4040010, "Transaction id not found."}
)

// unauthenticated is all that Apple says about a token that it does not take, in plain text.
var unauthenticated = stage.Answer{
	Status: http.StatusUnauthorized, ContentType: "text/plain", Body: []byte("Unauthenticated\n\nRequest ID: SIMULATED.0.0\n"),
}

func (s *Simulator) handle(pattern, endpoint, environment string, act func(*query) stage.Answer) {
	s.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, http.MaxBytesReader(w, r.Body, stage.MaxBody)) // a GET has none to speak of
		id := r.PathValue("transactionId")
		call := stage.Call{Endpoint: endpoint, IDs: []string{id, environment}, Order: id}
		s.stage.Serve(w, r, call, func(pause func()) stage.Answer {
			if !s.authentic(r.Header.Get("Authorization")) {
				return unauthenticated
			}
			s.mu.Lock()
			released := *s.settings.Released
			s.mu.Unlock()
			if environment == Production && !released {
				return unauthenticated
			}
			if failure, ok := s.failures.Take(func(f Failure) bool { return f.TransactionID == "" || f.TransactionID == id }); ok {
				return failure.answer()
			}
			return act(&query{r, environment, pause})
		})
	})
}

// How far a token's dates may be off (App Store Server API, generating JSON Web Tokens).
const (
	longestToken = time.Hour
	clockSkew    = time.Minute
)

// authentic says whether a bearer token is one that Apple would take: ES256 by the key of
// its kid, the issuer, the audience, an app of the team, and not valid for too long.
func (s *Simulator) authentic(header string) bool {
	scheme, text, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return false
	}
	token, err := jwt.ParseSigned(text, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil || token.Headers[0].KeyID != s.keyID {
		return false
	}
	var claims struct {
		jwt.Claims
		BundleID string `json:"bid"`
	}
	if err := token.Claims(&s.apiKey.PublicKey, &claims); err != nil {
		return false
	}
	now := s.stage.Now()
	if claims.Expiry == nil || !now.Before(claims.Expiry.Time()) {
		return false
	}
	from := now
	if claims.IssuedAt != nil {
		if from = claims.IssuedAt.Time(); from.After(now.Add(clockSkew)) {
			return false
		}
	}
	return claims.Expiry.Time().Sub(from) <= longestToken &&
		claims.Issuer == s.issuerID && claims.Audience.Contains("appstoreconnect-v1") && len(claims.Audience) == 1 &&
		claims.BundleID == BundleID
}

var idPattern = regexp.MustCompile(`^[0-9]{1,32}$`)

// transactionInfo signs a transaction anew, as it stands now. Each environment knows its
// own transactions only.
func (s *Simulator) transactionInfo(q *query) stage.Answer {
	id := q.PathValue("transactionId")
	if !idPattern.MatchString(id) {
		return invalidID.answer()
	}
	q.pause()
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.sold[id]
	if t == nil || t.Environment != q.environment || t.BundleID != BundleID {
		return unknownID.answer()
	}
	return stage.JSON(http.StatusOK, map[string]string{"signedTransactionInfo": s.sign(s.authority, *t)})
}

// must is for what can fail only by a bug in this package.
func must[T any](v T, err error) T {
	if err != nil {
		panic(fmt.Sprintf("apple: %v", err))
	}
	return v
}

func ptr[T any](v T) *T { return &v }

package apple

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ocsp"

	"grantline/infra/sim/stage"
)

// paths are where the responder answers, by the level of the certificate that is asked
// about; Apple's are called so.
var paths = [2]string{Leaf: "/ocsp03-wwdrg602", Intermediate: "/ocsp03-applerootcag3"}

// How long an answer of the responder holds.
const (
	answerAge   = time.Hour
	answerHolds = 12 * time.Hour
)

// The ways in which the responder can answer (RFC 6960, responseStatus and certStatus).
const (
	ocspGood     = "good"
	ocspTryLater = "tryLater"
	ocspBroken   = "500"
	ocspStale    = "stale"
	ocspUnknown  = "unknown"
	ocspForeign  = "foreign"
)

var ocspWays = []string{ocspGood, ocspTryLater, ocspBroken, ocspStale, ocspUnknown, ocspForeign}

// responders have leaf and intermediate name the responder below an address, if there is
// one.
func responders(base string) []Alteration {
	if base == "" {
		return nil
	}
	var all []Alteration
	for _, level := range []Level{Leaf, Intermediate} {
		all = append(all, Altered(level, func(template *x509.Certificate) { template.OCSPServer = []string{base + paths[level]} }))
	}
	return all
}

func (s *Simulator) serveOCSP() {
	for _, level := range []Level{Leaf, Intermediate} {
		s.mux.HandleFunc("POST "+paths[level], func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, stage.MaxBody))
			if err != nil {
				stage.Write(w, stage.Answer{Status: http.StatusRequestEntityTooLarge})
				return
			}
			s.stage.Serve(w, r, stage.Call{Endpoint: OCSP, IDs: []string{level.String()}}, func(pause func()) stage.Answer {
				pause()
				return s.respond(level, r, body)
			})
		})
	}
}

// respond says whether a certificate of ours is revoked, signed by its issuer.
func (s *Simulator) respond(level Level, r *http.Request, body []byte) stage.Answer {
	if r.Header.Get("Content-Type") != "application/ocsp-request" {
		return stage.Answer{Status: http.StatusUnsupportedMediaType}
	}
	s.mu.Lock()
	pulled, how := s.pulled[level], s.answering
	s.mu.Unlock()
	if how == ocspBroken {
		return stage.Answer{Status: http.StatusInternalServerError}
	}
	answer := stage.Answer{Status: http.StatusOK, ContentType: "application/ocsp-response"}
	request, err := ocsp.ParseRequest(body)
	switch {
	case err != nil:
		answer.Body = ocsp.MalformedRequestErrorResponse
		return answer
	case how == ocspTryLater:
		answer.Body = ocsp.TryLaterErrorResponse
		return answer
	case !s.ours(level, request):
		answer.Body = ocsp.UnauthorizedErrorResponse
		return answer
	}
	now := s.stage.Now()
	template := ocsp.Response{
		Status: ocsp.Good, SerialNumber: request.SerialNumber, IssuerHash: request.HashAlgorithm,
		ThisUpdate: now.Add(-answerAge), NextUpdate: now.Add(answerHolds),
	}
	switch {
	case how == ocspStale:
		template.ThisUpdate, template.NextUpdate = now.Add(-2*answerHolds), now.Add(-answerHolds)
	case how == ocspUnknown:
		template.Status = ocsp.Unknown
	case !pulled.IsZero():
		template.Status, template.RevokedAt, template.RevocationReason = ocsp.Revoked, pulled, ocsp.KeyCompromise
	}
	by := s.authority
	if how == ocspForeign {
		by = s.impostor
	}
	issuer := by.Certificate(level + 1)
	answer.Body = must(ocsp.CreateResponse(issuer, issuer, template, by.Key(level+1)))
	return answer
}

// ours says whether a request is about our certificate of a level: its serial number under
// its issuer.
func (s *Simulator) ours(level Level, request *ocsp.Request) bool {
	issuer := s.authority.Certificate(level + 1)
	var key struct {
		Algorithm pkix.AlgorithmIdentifier
		Bits      asn1.BitString
	}
	if _, err := asn1.Unmarshal(issuer.RawSubjectPublicKeyInfo, &key); err != nil || !request.HashAlgorithm.Available() {
		return false
	}
	return request.SerialNumber.Cmp(s.authority.Certificate(level).SerialNumber) == 0 &&
		bytes.Equal(hashed(request.HashAlgorithm, issuer.RawSubject), request.IssuerNameHash) &&
		bytes.Equal(hashed(request.HashAlgorithm, key.Bits.RightAlign()), request.IssuerKeyHash)
}

func hashed(by crypto.Hash, text []byte) []byte {
	h := by.New()
	h.Write(text)
	return h.Sum(nil)
}

// Pulled is a certificate that does not hold any more.
type Pulled struct {
	Level string `json:"level"` // leaf or intermediate
}

// RevokeCertificate has the responder call a certificate revoked from now on, for good.
func (s *Simulator) RevokeCertificate(p Pulled) error {
	for _, level := range []Level{Leaf, Intermediate} {
		if p.Level == level.String() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.pulled[level] = s.stage.Now()
			return nil
		}
	}
	return fmt.Errorf("level %q: leaf or intermediate", p.Level)
}

// Responding is how the responder answers.
type Responding struct {
	How string `json:"how"` // one of ocspWays
}

// AnswerOCSP has the responder answer in another way, until it is told otherwise.
func (s *Simulator) AnswerOCSP(r Responding) error {
	if !slices.Contains(ocspWays, r.How) {
		return fmt.Errorf("how %q: %s", r.How, strings.Join(ocspWays, ", "))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answering = r.How
	return nil
}

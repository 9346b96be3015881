package apple_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"
)

// Every answer here is one that a revoked certificate's owner, somebody on the way or a
// broken authority could give. None may make the leaf good, nor revoked.
func TestBadAnswerIsNoNews(t *testing.T) {
	r := newRealm(t)
	other := newAuthority(t)
	with := func(text []byte) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.Write(text) }
	}
	made := func(changes ...func(*statement)) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.Write(r.state(leaf, changes...)) }
	}
	code := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "/intermediate")
			w.WriteHeader(code)
			w.Write(r.state(leaf))
		}
	}
	cut := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "4000")
		w.Write(r.state(leaf))
	}
	signedBy := func(key crypto.Signer) func(*statement) { return func(s *statement) { s.key = key } }
	deputy := func(change func(*x509.Certificate)) http.HandlerFunc {
		return made(r.deputy(intermediate, change))
	}
	elsewhere := &realm{t: t, authority: other, clock: r.clock}
	namesake := newAuthority(t, below(r.authority, root))
	alike := &realm{t: t, authority: namesake, clock: r.clock}
	flipped := r.state(leaf)
	flipped[len(flipped)-1] ^= 1
	for name, say := range map[string]http.HandlerFunc{
		"status 500":                    code(http.StatusInternalServerError),
		"status 404":                    code(http.StatusNotFound),
		"status 203":                    code(http.StatusNonAuthoritativeInfo),
		"status 204":                    code(http.StatusNoContent),
		"a redirect 302":                code(http.StatusFound),
		"a redirect 307":                code(http.StatusTemporaryRedirect),
		"a redirect 308":                code(http.StatusPermanentRedirect),
		"nothing":                       with(nil),
		"a page":                        with([]byte("<html>sign in to use this network</html>")),
		"try later":                     with(ocsp.TryLaterErrorResponse),
		"malformed request":             with(ocsp.MalformedRequestErrorResponse),
		"internal error":                with(ocsp.InternalErrorErrorResponse),
		"signature required":            with(ocsp.SigRequredErrorResponse),
		"unauthorized":                  with(ocsp.UnauthorizedErrorResponse),
		"success, and no more":          with([]byte{0x30, 0x03, 0x0A, 0x01, 0x00}),
		"half an answer":                with(r.state(leaf)[:200]),
		"an answer, and more":           with(append(r.state(leaf), 0)),
		"an answer of 64 KiB, and more": with(append(r.state(leaf), make([]byte, 64<<10)...)),
		"a flipped bit":                 with(flipped),
		"cut off":                       cut,
		"stale":                         made(r.dated(-25*time.Hour, -time.Minute)),
		"of tomorrow":                   made(r.dated(time.Minute+time.Second, 24*time.Hour)),
		"over before it began":          made(r.dated(30*time.Second, 29*time.Second)),
		"undated, of yesterday":         made(r.dated(-24*time.Hour-time.Minute, 0), func(s *statement) { s.NextUpdate = time.Time{} }),
		"another serial number":         made(func(s *statement) { s.SerialNumber = r.certs[intermediate].SerialNumber }),
		"another issuer's number":       made(func(s *statement) { s.issuer = other.certs[intermediate] }),
		"the root's number":             made(func(s *statement) { s.issuer = r.certs[root] }),
		"an issuer of that name":        made(func(s *statement) { s.issuer = namesake.certs[intermediate] }),
		"no status":                     made(status(99)),
		"signed by anybody":             made(signedBy(other.keys[intermediate])),
		"signed by the root":            made(signedBy(r.keys[root])),
		"signed by the leaf":            made(signedBy(r.keys[leaf])),
		"signed by the leaf, which is brought along": made(signedBy(r.keys[leaf]), func(s *statement) { s.Certificate = r.certs[leaf] }),
		"the issuer is brought along, another signs": made(signedBy(other.keys[intermediate]), func(s *statement) { s.Certificate = r.certs[intermediate] }),
		"the root is brought along, and signs":       made(signedBy(r.keys[root]), func(s *statement) { s.Certificate = r.certs[root] }),
		"signed with SHA-1":                          made(func(s *statement) { s.SignatureAlgorithm = x509.ECDSAWithSHA1 }),
		"a deputy of another":                        made(elsewhere.deputy(intermediate)),
		"a deputy of another of that name":           made(alike.deputy(intermediate)),
		"a deputy of the root":                       made(r.deputy(root)),
		"a deputy with no office":                    deputy(func(c *x509.Certificate) { c.ExtKeyUsage = nil }),
		"a deputy with another office":               deputy(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }),
		"a deputy with any office":                   deputy(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageAny} }),
		"a deputy who may not sign":                  deputy(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyAgreement }),
		"a deputy whose time is over":                deputy(func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Minute - time.Second) }),
		"a deputy whose time has not come":           deputy(func(c *x509.Certificate) { c.NotBefore = now.AddDate(0, 0, 2) }),
		"a deputy under a rule that we do not know": deputy(func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}}}
		}),
		"a deputy, and another signs": made(r.deputy(intermediate), signedBy(other.keys[leaf])),
		"an answer under a rule that we do not know": made(func(s *statement) {
			s.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}}}
		}),
		"hangs up": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			r.empty()
			r.answer(leaf, say)
			r.learn()
			k := r.kept()
			if k.LeafAnswer.Status != "" || k.IntermediateAnswer.Status != "good" || k.Failures != 1 {
				t.Errorf("stored: leaf %q, intermediate %q, %d failures; want none, good, 1", k.LeafAnswer.Status, k.IntermediateAnswer.Status, k.Failures)
			}
			if asked := r.asks(); asked != [2]int{1, 1} {
				t.Errorf("asked %v times, want once each", asked)
			}
			if log := r.logged(); strings.Count(log, "\n") != 1 || !strings.Contains(log, `"certificate":"leaf"`) || strings.Contains(log, "alarm") {
				t.Errorf("logged %q, want one line about the leaf, and no alarm", log)
			}
			// Nor does it take anything away from an answer that is there.
			r.say(leaf)
			r.clock.turn(10 * time.Minute)
			r.refresh()
			before := r.kept().LeafAnswer
			r.answer(leaf, say)
			r.clock.turn(12 * time.Hour)
			r.refresh()
			if after := r.kept().LeafAnswer; after != before || after.Status != "good" {
				t.Errorf("stored: %v, want still %v", after, before)
			}
			r.clock.turn(-12*time.Hour - 10*time.Minute)
		})
	}
}

func TestAnswerOfTheIssuerOrItsDeputyIsTaken(t *testing.T) {
	r := newRealm(t)
	key := r.keys[intermediate].(*ecdsa.PrivateKey)
	for name, change := range map[string]func(*statement){
		"of the issuer":                       func(*statement) {},
		"of the issuer, who is brought along": func(s *statement) { s.Certificate = r.certs[intermediate] },
		"of the issuer, with SHA-256":         func(s *statement) { s.SignatureAlgorithm, s.key = x509.ECDSAWithSHA256, key },
		"of a deputy":                         r.deputy(intermediate),
		"of a deputy without key usage":       r.deputy(intermediate, func(c *x509.Certificate) { c.KeyUsage = 0 }),
		"of a deputy on the last day":         r.deputy(intermediate, func(c *x509.Certificate) { c.NotAfter = now }),
		"of a deputy on the first day":        r.deputy(intermediate, func(c *x509.Certificate) { c.NotBefore = now }),
		"about the number in SHA-1":           func(s *statement) { s.IssuerHash = crypto.SHA1 },
		"a minute ahead":                      r.dated(time.Minute, time.Hour),
		"over since less than a minute":       r.dated(-time.Hour, -59*time.Second),
		"undated, of today":                   func(s *statement) { s.ThisUpdate, s.NextUpdate = r.clock.Now().Add(-24*time.Hour), time.Time{} },
		"with a remark that need not be known": func(s *statement) {
			s.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Value: []byte{5, 0}}}
		},
	} {
		for code, want := range map[int]string{ocsp.Good: "good", ocsp.Revoked: "revoked", ocsp.Unknown: "unknown"} {
			r.empty()
			r.say(leaf, change, status(code))
			r.learn()
			if got := r.kept().LeafAnswer.Status; got != want {
				t.Errorf("%s: stored %q, want %q; logged %q", name, got, want, r.logged())
			}
		}
	}
}

func TestQuestionIsAsApplesLibrariesAsk(t *testing.T) {
	r := newRealm(t)
	r.learn()
	if len(r.asked) != 2 {
		t.Fatalf("%d questions, want 2", len(r.asked))
	}
	for level, q := range r.asked {
		text, err := ocsp.CreateRequest(r.certs[level], r.certs[level+1], &ocsp.RequestOptions{Hash: crypto.SHA256})
		if err != nil {
			t.Fatal(err)
		}
		want, err := ocsp.ParseRequest(text)
		if err != nil {
			t.Fatal(err)
		}
		if q.HashAlgorithm != crypto.SHA256 || q.SerialNumber.Cmp(want.SerialNumber) != 0 || !bytes.Equal(q.IssuerNameHash, want.IssuerNameHash) || !bytes.Equal(q.IssuerKeyHash, want.IssuerKeyHash) {
			t.Errorf("question %d is %v, want %v", level, q, want)
		}
	}
}

func TestOnlyHTTPIsAsked(t *testing.T) {
	for name, addresses := range map[string][]string{
		"none":     nil,
		"ldap":     {"ldap://127.0.0.1/leaf"},
		"file":     {"file:///etc/passwd"},
		"no host":  {"http:///leaf"},
		"a path":   {"/leaf"},
		"a person": {"http://somebody:secret@127.0.0.1:1/leaf"},
		"no URL":   {"http://[::1/leaf"},
	} {
		r := newRealm(t, template(leaf, func(c *x509.Certificate) { c.OCSPServer = addresses }))
		r.learn()
		if k := r.kept(); k.LeafAnswer.Status != "" || k.IntermediateAnswer.Status != "good" {
			t.Errorf("%s: stored: leaf %q, intermediate %q; want none and good", name, k.LeafAnswer.Status, k.IntermediateAnswer.Status)
		}
		if log := r.logged(); !strings.Contains(log, "names no authority that can be asked") {
			t.Errorf("%s: logged %q, want that nobody can be asked", name, log)
		}
	}
	r := newRealm(t, template(leaf, func(c *x509.Certificate) { c.OCSPServer = append([]string{"ldap://127.0.0.1/leaf"}, c.OCSPServer...) }))
	r.learn()
	if got := r.kept().LeafAnswer.Status; got != "good" {
		t.Errorf("ldap, then http: stored %q, want good", got)
	}
}

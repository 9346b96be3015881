package apple_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"grantline/shared/apple"
	"grantline/shared/fault"
	"grantline/shared/memory"
	"grantline/shared/table"
)

// dial is a clock that a test turns.
type dial struct {
	mu sync.Mutex
	at time.Time
}

func (d *dial) Now() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.at
}

func (d *dial) Sleep(ctx context.Context, _ time.Duration) error { return ctx.Err() }

func (d *dial) turn(by time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.at = d.at.Add(by)
}

// realm is a chain with authorities that can be asked about it, as Apple's can, the tables
// that the answers are kept in, and a clock.
type realm struct {
	*authority
	t      testing.TB
	clock  *dial
	tables *memory.Tables
	client *http.Client

	mu        sync.Mutex
	says      [2]http.HandlerFunc
	questions [2]int
	asked     []*ocsp.Request
	reads     int
	writes    int
	fail      func(memory.Op) (bool, error)
	log       bytes.Buffer
}

// Write takes the log.
func (r *realm) Write(text []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.Write(text)
}

func (r *realm) logged() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.String()
}

// newRealm makes a realm whose authorities say that all is good.
func newRealm(t testing.TB, changes ...func(*plan)) *realm {
	t.Helper()
	r := &realm{t: t, clock: &dial{at: now}}
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	r.client = server.Client()
	r.authority = newAuthority(t, append([]func(*plan){
		template(leaf, func(c *x509.Certificate) { c.OCSPServer = []string{server.URL + "/leaf"} }),
		template(intermediate, func(c *x509.Certificate) { c.OCSPServer = []string{server.URL + "/intermediate"} }),
	}, changes...)...)
	r.empty()
	return r
}

// empty begins with new tables and authorities that say that all is good.
func (r *realm) empty() {
	r.tables = memory.New()
	r.tables.Fail = r.operation
	r.say(leaf)
	r.say(intermediate)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.questions, r.asked, r.fail = [2]int{}, nil, nil
	r.reads, r.writes = 0, 0
	r.log.Reset()
}

func (r *realm) operation(op memory.Op) (bool, error) {
	r.mu.Lock()
	fail := r.fail
	if op.Method == "Commit" {
		r.writes++
	} else {
		r.reads++
	}
	r.mu.Unlock()
	if fail == nil {
		return true, nil
	}
	return fail(op)
}

// failing makes each operation on the tables that is asked about fail, until it is nil.
func (r *realm) failing(fail func(memory.Op) (apply bool, err error)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fail = fail
}

func outOfReach(memory.Op) (bool, error) {
	return false, fault.New(fault.Unavailable, "tables_unavailable", "The tables did not answer.")
}

// counted is how often the tables were read and written since the last time.
func (r *realm) counted() (reads, writes int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	reads, writes = r.reads, r.writes
	r.reads, r.writes = 0, 0
	return reads, writes
}

// asks is how often the authorities were asked since the last time.
func (r *realm) asks() [2]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := r.questions
	r.questions = [2]int{}
	return n
}

// ServeHTTP is the authorities.
func (r *realm) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	level := leaf
	if request.URL.Path == "/intermediate" {
		level = intermediate
	}
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return
	}
	question, err := ocsp.ParseRequest(body)
	if err != nil || request.Method != http.MethodPost || request.Header.Get("Content-Type") != "application/ocsp-request" {
		w.WriteHeader(http.StatusTeapot)
		return
	}
	r.mu.Lock()
	r.questions[level]++
	r.asked = append(r.asked, question)
	say := r.says[level]
	r.mu.Unlock()
	say(w, request)
}

// statement is an answer before it is signed.
type statement struct {
	ocsp.Response
	issuer *x509.Certificate // of the certificate that it is about
	key    crypto.Signer
}

// state makes an answer about a certificate of the chain: good, since an hour, for a day.
func (r *realm) state(level int, changes ...func(*statement)) []byte {
	at := r.clock.Now()
	s := &statement{issuer: r.certs[level+1], key: r.keys[level+1], Response: ocsp.Response{
		Status: ocsp.Good, SerialNumber: r.certs[level].SerialNumber, IssuerHash: crypto.SHA256,
		ThisUpdate: at.Add(-time.Hour), NextUpdate: at.Add(24 * time.Hour),
	}}
	for _, change := range changes {
		change(s)
	}
	text, err := ocsp.CreateResponse(s.issuer, r.certs[level+1], s.Response, s.key)
	if err != nil {
		panic(err)
	}
	return text
}

// say makes an authority answer so from now on.
func (r *realm) say(level int, changes ...func(*statement)) {
	r.answer(level, func(w http.ResponseWriter, _ *http.Request) { w.Write(r.state(level, changes...)) })
}

func (r *realm) answer(level int, handler http.HandlerFunc) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.says[level] = handler
}

func status(code int) func(*statement) {
	return func(s *statement) {
		s.Status = code
		if code == ocsp.Revoked {
			s.RevokedAt = s.ThisUpdate.Add(-time.Minute)
		}
	}
}

// dated sets both ends of an answer, counted from now.
func (r *realm) dated(from, until time.Duration) func(*statement) {
	return func(s *statement) {
		s.ThisUpdate, s.NextUpdate = r.clock.Now().Add(from), r.clock.Now().Add(until)
	}
}

// deputy answers in the name of an authority of the chain, by a certificate of its own.
func (r *realm) deputy(level int, changes ...func(*x509.Certificate)) func(*statement) {
	c := &x509.Certificate{
		Subject: pkix.Name{CommonName: "Deputy"}, SerialNumber: big.NewInt(99),
		NotBefore: now.AddDate(0, -1, 0), NotAfter: now.AddDate(0, 1, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning},
	}
	for _, change := range changes {
		change(c)
	}
	key := newKey(r.t, elliptic.P256())
	der, err := x509.CreateCertificate(rand.Reader, c, r.certs[level], &key.PublicKey, r.keys[level])
	if err != nil {
		r.t.Fatal(err)
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		r.t.Fatal(err)
	}
	return func(s *statement) { s.Certificate, s.key = made, key }
}

func (r *realm) book() *apple.RevocationBook {
	return &apple.RevocationBook{
		Tables: r.tables, Roots: []*x509.Certificate{r.certs[root]}, Clock: r.clock,
		Log: slog.New(slog.NewJSONHandler(r, nil)), HTTP: r.client,
	}
}

func (r *realm) verifier(mode apple.Mode) *apple.Verifier {
	r.t.Helper()
	c := config(r.certs[root])
	c.Clock, c.Revocation, c.Revocations = r.clock, mode, r.book()
	v, err := apple.NewVerifier(c)
	if err != nil {
		r.t.Fatal(err)
	}
	return v
}

// meet has the chain written down.
func (r *realm) meet() {
	r.t.Helper()
	if _, err := r.book().Standing(r.t.Context(), apple.Chain{Leaf: r.certs[leaf], Intermediate: r.certs[intermediate]}); err != nil {
		r.t.Fatal(err)
	}
}

// refresh is a run of the clock's function, which has to succeed.
func (r *realm) refresh() time.Time {
	r.t.Helper()
	next, err := r.book().Refresh(r.t.Context())
	if err != nil {
		r.t.Fatalf("Refresh: error %v, want none", err)
	}
	return next
}

// learn has the authorities answer for the chain, now.
func (r *realm) learn() {
	r.t.Helper()
	r.meet()
	r.refresh()
}

// kept is what is stored about the chain.
type kept struct {
	LeafAnswer, IntermediateAnswer struct {
		Status                                       string
		ThisUpdate, NextUpdate, FetchedAt, RevokedAt time.Time
	}
	Failures int
}

func (r *realm) kept() kept {
	r.t.Helper()
	items := r.items()
	if len(items) != 1 {
		r.t.Fatalf("%d chains stored, want 1", len(items))
	}
	var k kept
	if err := json.Unmarshal(items[0].Data, &k); err != nil {
		r.t.Fatal(err)
	}
	return k
}

func (r *realm) items() []table.Item {
	r.t.Helper()
	items := r.tables.Items(table.Purchases)
	for _, i := range items {
		if !strings.HasPrefix(i.Key.Partition, "default#production#apple-revocation#") {
			r.t.Fatalf("there is an item %q", i.Key.Partition)
		}
	}
	return items
}

// revoke writes down that a chain is revoked, as if an authority had said so.
func (r *realm) revoke(a *authority) {
	r.t.Helper()
	r.edit(a, func(i *table.Item, data map[string]any) {
		data["leafAnswer"] = map[string]any{"status": "revoked", "revokedAt": r.clock.Now()}
		i.Index = nil
	})
}

func (r *realm) newerSchema() {
	r.edit(r.authority, func(i *table.Item, _ map[string]any) { i.Schema++ })
}

// edit changes a chain's item by hand.
func (r *realm) edit(a *authority, change func(*table.Item, map[string]any)) {
	r.t.Helper()
	both := sha256.Sum256(append(slices.Clone(a.certs[leaf].Raw), a.certs[intermediate].Raw...))
	for range 100 { // a Refresh may be running
		item, err := r.tables.Get(r.t.Context(), table.Key{Table: table.Purchases, Partition: "default#production#apple-revocation#" + hex.EncodeToString(both[:])})
		if err != nil {
			r.t.Errorf("no item: %v", err)
			return
		}
		var data map[string]any
		if err := json.Unmarshal(item.Data, &data); err != nil {
			r.t.Errorf("item: %v", err)
			return
		}
		change(&item, data)
		if item.Data, err = json.Marshal(data); err != nil {
			r.t.Errorf("item: %v", err)
			return
		}
		if err = r.tables.Commit(r.t.Context(), table.Replaced(item)); err == nil {
			return
		}
	}
	r.t.Errorf("the item was overtaken 100 times")
}

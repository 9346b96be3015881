//go:build differential && local

package differential_test

import (
	"crypto"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"fmt"
	"time"
)

// chains are signers whose chain is not the genuine one, most of them spoiled in one way.
func (g *generator) chains() map[string]func(payload string) string {
	a := g.a
	x5c := a.x5c()
	under := func(level int, changes ...func(*plan)) func(string) string {
		return newAuthority(g.t, append([]func(*plan){below(a, level)}, changes...)...).sign
	}
	forged, sibling, otherKey := newAuthority(g.t), newAuthority(g.t, below(a, intermediate)), newAuthority(g.t, below(a, root))
	claimed := func(signer *authority, chain ...string) func(string) string {
		return func(payload string) string { return signer.signWith(header(chain), payload) }
	}
	window := func(from, to time.Time) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.NotBefore, c.NotAfter = from, to }
	}
	past, future := window(signedAt.AddDate(-1, 0, 0), signedAt.Add(-time.Hour)), window(signedAt.Add(time.Hour), signedAt.AddDate(1, 0, 0))
	none := func(c *x509.Certificate) { c.ExtraExtensions = nil }
	marked := func(oid asn1.ObjectIdentifier) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.ExtraExtensions[0].Id = oid }
	}
	extended := func(e pkix.Extension) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.ExtraExtensions = append(c.ExtraExtensions, e) }
	}
	flipped := append([]byte{}, a.certs[leaf]...)
	flipped[len(flipped)-1] ^= 1
	// The leaf as an authority over another leaf.
	second := newAuthority(g.t, below(&authority{
		keys:  [3]crypto.Signer{nil, a.keys[leaf], a.keys[root]},
		certs: [3][]byte{nil, a.certs[leaf], a.certs[root]},
	}, intermediate))
	rsaKey := must(rsa.GenerateKey(rand.Reader, 2048))
	return map[string]func(string) string{
		"all self-made": forged.sign, "self-made, the genuine root claimed": claimed(forged, forged.x5c()[0], forged.x5c()[1], x5c[2]),
		"self-made leaf": claimed(forged, forged.x5c()[0], x5c[1], x5c[2]), "self-made leaf and root": claimed(forged, forged.x5c()[0], x5c[1], forged.x5c()[2]),
		"genuine but for the root claimed": claimed(a, x5c[0], x5c[1], forged.x5c()[2]), "another leaf's certificate": claimed(a, sibling.x5c()[0], x5c[1], x5c[2]),
		"a second genuine leaf": sibling.sign, "a second genuine intermediate": otherKey.sign,
		"intermediate of the same name": claimed(a, x5c[0], otherKey.x5c()[1], x5c[2]),
		"leaf's signature flipped":      claimed(a, base64.StdEncoding.EncodeToString(flipped), x5c[1], x5c[2]),
		"leaf over a leaf":              second.sign,
		"leaf under the root":           under(intermediate, func(p *plan) { p.issuers[leaf] = root }),
		"intermediate no CA": under(root, template(intermediate, func(c *x509.Certificate) {
			c.IsCA, c.MaxPathLenZero, c.KeyUsage = false, false, x509.KeyUsageDigitalSignature
		})),
		"intermediate without basic constraints": under(root, template(intermediate, func(c *x509.Certificate) { c.BasicConstraintsValid = false })),
		"intermediate may not sign certificates": under(root, template(intermediate, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign })),
		"intermediate without key usage":         under(root, template(intermediate, func(c *x509.Certificate) { c.KeyUsage = 0 })),
		"intermediate for servers": under(root, template(intermediate, func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		})),
		"leaf a CA": under(intermediate, template(leaf, func(c *x509.Certificate) {
			c.IsCA, c.KeyUsage = true, x509.KeyUsageDigitalSignature|x509.KeyUsageCertSign
		})),
		"leaf on P-384": under(intermediate, func(p *plan) { p.keys[leaf] = newKey(g.t, elliptic.P384()) }), "leaf on P-521": under(intermediate, func(p *plan) { p.keys[leaf] = newKey(g.t, elliptic.P521()) }),
		"leaf on P-224": under(intermediate, func(p *plan) { p.keys[leaf] = newKey(g.t, elliptic.P224()) }), "leaf with RSA": under(intermediate, func(p *plan) { p.keys[leaf] = rsaKey }),
		"intermediate on P-256":            under(root, func(p *plan) { p.keys[intermediate] = newKey(g.t, elliptic.P256()) }),
		"intermediate with RSA":            under(root, func(p *plan) { p.keys[intermediate] = rsaKey }),
		"leaf not for signatures":          under(intermediate, template(leaf, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyAgreement })),
		"leaf without key usage":           under(intermediate, template(leaf, func(c *x509.Certificate) { c.KeyUsage = 0 })),
		"leaf without basic constraints":   under(intermediate, template(leaf, func(c *x509.Certificate) { c.BasicConstraintsValid = false })),
		"leaf without Apple's mark":        under(intermediate, template(leaf, none)),
		"leaf with another mark":           under(intermediate, template(leaf, marked(asn1.ObjectIdentifier{1, 2, 840, 113635, 100, 6, 11, 2}))),
		"leaf with a longer mark":          under(intermediate, template(leaf, marked(append(append(asn1.ObjectIdentifier{}, oidLeaf...), 1)))),
		"leaf with the intermediate's":     under(intermediate, template(leaf, marked(oidIntermediate))),
		"intermediate without Apple's":     under(root, template(intermediate, none)),
		"intermediate with the leaf's":     under(root, template(intermediate, marked(oidLeaf))),
		"leaf's mark critical":             under(intermediate, template(leaf, func(c *x509.Certificate) { c.ExtraExtensions[0].Critical = true })),
		"intermediate's mark critical":     under(root, template(intermediate, func(c *x509.Certificate) { c.ExtraExtensions[0].Critical = true })),
		"leaf's mark empty":                under(intermediate, template(leaf, func(c *x509.Certificate) { c.ExtraExtensions[0].Value = nil })),
		"leaf with an unknown extension":   under(intermediate, template(leaf, extended(pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Value: []byte{5, 0}}))),
		"leaf with a critical unknown one": under(intermediate, template(leaf, extended(pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}}))),
		"leaf ended":                       under(intermediate, template(leaf, past)), "leaf to begin": under(intermediate, template(leaf, future)),
		"intermediate ended": under(root, template(intermediate, past)), "intermediate to begin": under(root, template(intermediate, future)),
		"leaf that ends before it begins": under(intermediate, template(leaf, window(signedAt.Add(time.Hour), signedAt.Add(-time.Hour)))),
		"leaf without a subject":          under(intermediate, template(leaf, func(c *x509.Certificate) { c.Subject = pkix.Name{} })),
		"intermediate without a subject":  under(root, template(intermediate, func(c *x509.Certificate) { c.Subject = pkix.Name{} })),
		"intermediate of the root's name": under(root, template(intermediate, func(c *x509.Certificate) { c.Subject.CommonName = "Root" })),
		"leaf of the root's name":         under(intermediate, template(leaf, func(c *x509.Certificate) { c.Subject.CommonName = "Root" })),
		"leaf with a host":                under(intermediate, template(leaf, func(c *x509.Certificate) { c.DNSNames = []string{"example.com"} })),
		"intermediate that names hosts": func() func(string) string {
			over := newAuthority(g.t, below(a, root), template(intermediate, func(c *x509.Certificate) {
				c.PermittedDNSDomainsCritical, c.PermittedDNSDomains = true, []string{"example.org"}
			}))
			return newAuthority(g.t, below(over, intermediate), template(leaf, func(c *x509.Certificate) { c.DNSNames = []string{"example.com"} })).sign
		}(),
	}
}

// roots shows chains to verifiers that trust a root other than Apple-like ones.
func (g *generator) roots() {
	for name, change := range inOrder(map[string]func(*x509.Certificate){
		"with room for none below": func(c *x509.Certificate) { c.MaxPathLenZero = true },
		"that had ended":           func(c *x509.Certificate) { c.NotAfter = signedAt.Add(-time.Hour) },
		"that had not begun":       func(c *x509.Certificate) { c.NotBefore = signedAt.Add(time.Hour) },
		"on another curve":         func(*x509.Certificate) {},
	}) {
		changes := []func(*plan){template(root, change)}
		if name == "on another curve" {
			changes = append(changes, func(p *plan) { p.keys[root] = newKey(g.t, elliptic.P256()) })
		}
		own := newAuthority(g.t, changes...)
		g.add("a root "+name, "transaction", own.sign(transaction("Production").String()), "Production")
		g.samples[len(g.samples)-1].genuine = own
		g.add("the genuine root asked about a root "+name, "transaction", own.sign(transaction("Production").String()), "Production")
	}
}

// dates puts the day of signing to both ends of the chain's life, and exp and nbf to both
// sides of now, in steps at which two readers may round differently.
func (g *generator) dates() {
	day := map[string]string{"transaction": "signedDate", "renewal": "signedDate", "notification": "signedDate", "appTransaction": "receiptCreationDate"}
	for _, s := range g.kinds("Production") {
		if s.kind != s.path {
			continue
		}
		add := func(name string, o object) { g.add(s.kind+" "+name, s.kind, g.a.sign(o.String()), "Production") }
		for _, end := range []time.Time{leafBegins, leafEnds} {
			for _, step := range []int64{-3600e3, -60001, -60000, -59999, -1001, -1000, -999, -1, 0, 1, 999, 1000, 1001, 59999, 60000, 60001, 3600e3} {
				for _, fraction := range []string{"", ".5"} {
					date := millis(end.UnixMilli()+step) + fraction
					add("signed at "+date, s.with(day[s.kind], date))
				}
			}
		}
		for _, claim := range []string{"exp", "nbf"} {
			for _, step := range []int64{-3600e3, -1000, -750, -749, -500, -250, -1, 0, 1, 249, 250, 251, 500, 1000, 3600e3} {
				at := now.UnixMilli() + step
				value := fmt.Sprintf("%d.%03d", at/1000, at%1000)
				add(claim+" "+value, s.and(claim, value))
			}
		}
	}
}

// inner spoils the signed parts of notifications, each by itself genuine or not.
func (g *generator) inner() {
	a, forged := g.a, newAuthority(g.t)
	for _, environment := range []string{"Production", "Sandbox"} {
		other := map[string]string{"Production": "Sandbox", "Sandbox": "Production"}[environment]
		parts := func(kind string, payload func(string) object, day string) map[string]string {
			own := payload(environment)
			good := a.sign(own.String())
			out := map[string]string{
				"forged": forged.sign(own.String()), "cut": good[:len(good)-8], "empty": "", "a word": "abc", "of the other environment": a.sign(payload(other).String()),
				"with a space": good + " ", "before the leaf": a.sign(own.with(day, millis(leafBegins.UnixMilli()-3600e3)).String()),
				"without a date": a.sign(own.without(day).String()), "of type null": a.sign("null"), "of Xcode": a.sign(payload("Xcode").String()),
				"of another app": a.sign(own.with("bundleId", `"com.example.other"`).String()), "of another app id": a.sign(own.with("appAppleId", "1").String()),
				"of another original transaction": a.sign(own.with("originalTransactionId", `"2000000899999999"`).String()),
				"with a claim of the wrong type":  a.sign(own.with("appTransactionId", "1").String()),
				"newer than the outer":            a.sign(own.with(day, millis(signedAt.UnixMilli()+3600e3)).String()),
			}
			for _, wrong := range []string{"transaction", "renewal", "appTransaction"} {
				if wrong != kind {
					made := map[string]func(string) object{"transaction": transaction, "renewal": renewal, "appTransaction": appTransaction}[wrong]
					out["that is a "+wrong] = a.sign(made(environment).String())
				}
			}
			return out
		}
		add := func(name string, payload object) {
			g.add("inner: "+name, "notification", a.sign(payload.String()), environment)
		}
		for name, token := range inOrder(parts("transaction", transaction, "signedDate")) {
			add("transaction "+name, a.notification(environment, func(d object) object { return d.with("signedTransactionInfo", quoted(token)) }))
			add("transaction without renewal "+name, a.notification(environment, func(d object) object {
				return d.with("signedTransactionInfo", quoted(token)).without("signedRenewalInfo")
			}))
		}
		for name, token := range inOrder(parts("renewal", renewal, "signedDate")) {
			add("renewal "+name, a.notification(environment, func(d object) object { return d.with("signedRenewalInfo", quoted(token)) }))
			add("renewal without transaction "+name, a.notification(environment, func(d object) object {
				return d.with("signedRenewalInfo", quoted(token)).without("signedTransactionInfo")
			}))
		}
		for name, token := range inOrder(parts("appTransaction", appTransaction, "receiptCreationDate")) {
			add("app transaction "+name, envelope("RESCIND_CONSENT", "", "appData", a.appData(environment).with("signedAppTransactionInfo", quoted(token))))
		}
		add("renewal alone", a.notification(environment, func(d object) object { return d.without("signedTransactionInfo") }))
		add("outer unsigned", a.notification(environment).and("x", "1"))
		for _, name := range []string{"summary", "externalPurchaseToken", "appData"} {
			inside := map[string]object{"summary": summary(environment), "externalPurchaseToken": externalPurchaseToken(environment), "appData": a.appData(environment)}[name]
			add(name+" in the other environment's words", envelope("X", "", name, map[string]object{
				"summary": summary(other), "externalPurchaseToken": externalPurchaseToken(other), "appData": a.appData(other),
			}[name]))
			add(name+" beside empty data", envelope("X", "", name, inside).and("data", "{}"))
			add(name+" beside data of another app", envelope("X", "", name, inside).and("data", object{{"bundleId", `"com.example.other"`}}.String()))
			add(name+" of another app beside genuine data", envelope("X", "", name, inside.with("bundleId", `"com.example.other"`)).and("data", a.notification(environment).get("data")))
			add(name+" of the wrong type beside genuine data", envelope("X", "", name, inside.with("bundleId", "1")).and("data", a.notification(environment).get("data")))
		}
	}
}

//go:build differential && local

package differential_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"math/big"
	"strings"
)

// spoiled makes, of one valid token of each kind, tokens that are wrong in one way: in
// the envelope, the header, the chain, the signature and the dates. Members have their
// own file.
func (g *generator) spoiled() {
	chains := g.chains()
	for _, environment := range []string{"Production", "Sandbox"} {
		other := map[string]string{"Production": "Sandbox", "Sandbox": "Production"}[environment]
		for _, s := range g.kinds(environment) {
			payload := s.payload(s.object)
			add := func(name, token string) { g.add(s.path+" spoiled: "+name, s.kind, token, environment) }
			g.envelopes(add, payload)
			g.headers(add, payload)
			for name, sign := range inOrder(chains) {
				add("chain: "+name, sign(payload))
			}
			g.signatures(add, payload)
			g.add(s.path+" of the other environment", s.kind, g.a.sign(payload), other)
			for _, kind := range []string{"transaction", "renewal", "notification", "appTransaction"} {
				if kind != s.kind {
					g.add(s.path+" shown as "+kind, kind, g.a.sign(payload), environment)
				}
			}
		}
	}
	g.roots()
	g.dates()
	g.inner()
}

func (g *generator) envelopes(add func(name, token string), payload string) {
	a := g.a
	good := a.sign(payload)
	parts := strings.Split(good, ".")
	head, body, sig := parts[0], parts[1], parts[2]
	var many strings.Builder
	for i := range 300 {
		fmt.Fprintf(&many, `"x%d":1,`, i)
	}
	inside := func(more string) string { return "{" + more + payload[1:] }
	for name, token := range inOrder(map[string]string{
		"nothing": "", "a word": "abc", "three letters": "a.b.c", "four letters": "a.b.c.d", "dots": "..", "a dot": ".",
		"two segments": head + "." + body, "four segments": good + "." + sig, "no header": "." + body + "." + sig,
		"no payload": head + ".." + sig, "no signature": head + "." + body + ".", "space before": " " + good, "space behind": good + " ",
		"line break behind": good + "\n", "line break within": head + "." + body[:8] + "\r\n" + body[8:] + "." + sig,
		"padded signature": good + "==", "padded header": head + "=." + body + "." + sig,
		"standard base64 in the signature": head + "." + body + ".+" + sig[1:],
		"spare bits in the signature":      head + "." + body + "." + sig[:85] + string(sig[85]+1),
		"NUL behind":                       good + "\x00", "JSON serialization": `{"payload":"` + body + `","protected":"` + head + `","signature":"` + sig + `"}`,
		"bearer":             "Bearer " + good,
		"too large":          a.signWith(strings.Replace(header(a.x5c()), "{", `{"x":"`+strings.Repeat("x", 64<<10)+`",`, 1), payload),
		"many members":       a.sign(inside(many.String())),
		"nested deep":        a.sign(inside(`"x":` + strings.Repeat(`{"a":`, 40) + "1" + strings.Repeat("}", 40) + ",")),
		"no JSON":            a.sign("transactionId"),
		"cut":                a.sign(payload[:len(payload)-1]),
		"null":               a.sign("null"),
		"true":               a.sign("true"),
		"a number":           a.sign("1"),
		"an array":           a.sign("[" + payload + "]"),
		"a string":           a.sign(quoted("x")),
		"JSON in a string":   a.sign(fmt.Sprintf("%q", payload)),
		"a tail":             a.sign(payload + "{}"),
		"a comma too many":   a.sign(payload[:len(payload)-1] + ",}"),
		"a comment":          a.sign(inside("/* */")),
		"single quotes":      a.sign(strings.ReplaceAll(payload, `"`, "'")),
		"byte order mark":    a.sign("\ufeff" + payload),
		"UTF-16":             a.sign(wide(payload)),
		"not UTF-8":          a.sign(inside("\"x\":\"\xff\",")),
		"not UTF-8, a name":  a.sign(inside("\"\xff\":1,")),
		"a control letter":   a.sign(inside("\"x\":\"\x01\",")),
		"a leading zero":     a.sign(inside(`"x":01,`)),
		"a plus":             a.sign(inside(`"x":+1,`)),
		"NaN":                a.sign(inside(`"x":NaN,`)),
		"hexadecimal":        a.sign(inside(`"x":0x1,`)),
		"a dot at the end":   a.sign(inside(`"x":1.,`)),
		"form feed as space": a.sign("\f" + payload),
		"no-break space":     a.sign("\u00a0" + payload),
		"spare bits in the payload": func() string {
			// One byte more or less makes the last letter carry spare bits.
			text := payload
			for len(text)%3 != 1 {
				text += " "
			}
			spare := segment(text)
			return a.signed(head + "." + spare[:len(spare)-1] + string(spare[len(spare)-1]+1))
		}(),
		"spare bits in the header": func() string {
			text := header(a.x5c())
			for len(text)%3 != 1 {
				text += " "
			}
			spare := segment(text)
			return a.signed(spare[:len(spare)-1] + string(spare[len(spare)-1]+1) + "." + body)
		}(),
	}) {
		add(name, token)
	}
}

// wide is UTF-16 with a mark.
func wide(text string) string {
	out := []byte{0xfe, 0xff}
	for _, r := range text {
		out = append(out, byte(r>>8), byte(r))
	}
	return string(out)
}

func (g *generator) headers(add func(name, token string), payload string) {
	a := g.a
	good, x5c := header(a.x5c()), a.x5c()
	with := func(old, new string) string { return a.signWith(strings.Replace(good, old, new, 1), payload) }
	certificates := func(x5c any) string { return a.signWith(header(x5c), payload) }
	joined := `["` + strings.Join(x5c, `","`) + `"]`

	input := segment(strings.Replace(good, "ES256", "HS256", 1)) + "." + segment(payload)
	byKey := func(key []byte) string {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(input))
		return input + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
	}
	public := must(x509.MarshalPKIXPublicKey(a.keys[leaf].Public()))
	der := a.certs[leaf]
	for name, token := range inOrder(map[string]string{
		"header no JSON": a.signWith("{", payload), "header an array": a.signWith("["+good+"]", payload), "header null": a.signWith("null", payload),
		"header not base64": "!" + a.sign(payload), "header with a tail": a.signWith(good+"{}", payload), "header empty": a.signWith("{}", payload),
		"header not UTF-8": with("{", "{\"x\":\"\xff\","), "header nested deep": with("{", `{"x":`+strings.Repeat("[", 40)+strings.Repeat("]", 40)+","),
		"alg twice": with("{", `{"alg":"none",`), "alg twice, none last": with("}", `,"alg":"none"}`),
		"x5c twice": with("{", `{"x5c":[],`), "x5c twice, empty last": with("}", `,"x5c":[]}`), "an unknown member twice": with("{", `{"x":1,"x":1,`),
		"alg none": with("ES256", "none"), "alg none, unsigned": segment(strings.Replace(good, "ES256", "none", 1)) + "." + segment(payload) + ".",
		"alg HS256": input + ".AAAA", "alg HS256 by the public key": byKey(public),
		"alg HS256 by the public key in PEM": byKey([]byte("-----BEGIN PUBLIC KEY-----\n" + base64.StdEncoding.EncodeToString(public) + "\n-----END PUBLIC KEY-----\n")),
		"alg ES384":                          with("ES256", "ES384"), "alg ES512": with("ES256", "ES512"), "alg ES256K": with("ES256", "ES256K"), "alg RS256": with("ES256", "RS256"), "alg PS256": with("ES256", "PS256"),
		"alg in small letters": with("ES256", "es256"), "alg with a space": with("ES256", "ES256 "), "alg a number": with(`"ES256"`, "256"), "alg null": with(`"ES256"`, "null"),
		"alg a list": with(`"ES256"`, `["ES256"]`), "alg in capitals": with(`"alg"`, `"Alg"`), "no alg": with(`"alg":"ES256",`, ""), "alg empty": with("ES256", ""),
		"crit": with("{", `{"crit":["b64"],"b64":true,`), "crit empty": with("{", `{"crit":[],`), "crit null": with("{", `{"crit":null,`), "b64 false and crit": with("{", `{"crit":["b64"],"b64":false,`),
		"typ JWT and no JSON within": with("{", `{"typ":"JWT",`) + "x",
		"no x5c":                     with(`"x5c"`, `"x5cwrong"`), "x5c in capitals": with(`"x5c"`, `"X5C"`), "x5c null": certificates(nil), "x5c of none": certificates([]string{}),
		"x5c of one": certificates(x5c[:1]), "x5c of two": certificates(x5c[:2]), "x5c of four": certificates(append(a.x5c(), x5c[2])), "x5c of three nulls": certificates([]any{nil, nil, nil}),
		"x5c a string": certificates(strings.Join(x5c, ",")), "x5c a string of three": certificates("abc"), "x5c of numbers": certificates([]int{1, 2, 3}), "x5c with a null": certificates([]any{x5c[0], nil, x5c[2]}),
		"x5c an object":          certificates(map[string]any{"0": x5c[0], "1": x5c[1], "2": x5c[2], "length": 3}),
		"x5c of lists":           certificates([]any{[]string{x5c[0]}, []string{x5c[1]}, []string{x5c[2]}}),
		"x5c of bytes":           certificates([]any{map[string]any{"type": "Buffer", "data": bytesOf(a.certs[leaf])}, x5c[1], x5c[2]}),
		"x5c url-safe":           certificates([]string{urlSafe(x5c[0]), urlSafe(x5c[1]), urlSafe(x5c[2])}),
		"x5c without padding":    certificates([]string{strings.TrimRight(x5c[0], "="), strings.TrimRight(x5c[1], "="), strings.TrimRight(x5c[2], "=")}),
		"x5c with too much":      certificates([]string{strings.TrimRight(x5c[0], "=") + "====", x5c[1], x5c[2]}),
		"x5c with a line break":  certificates([]string{x5c[0][:64] + "\n" + x5c[0][64:], x5c[1], x5c[2]}),
		"x5c with a space":       certificates([]string{x5c[0][:64] + " " + x5c[0][64:], x5c[1], x5c[2]}),
		"x5c with letters amiss": certificates([]string{x5c[0][:64] + "%!" + x5c[0][64:], x5c[1], x5c[2]}),
		"x5c not base64":         certificates([]string{"%%%", x5c[1], x5c[2]}), "x5c empty leaf": certificates([]string{"", x5c[1], x5c[2]}),
		"x5c leaf no certificate": certificates([]string{"aGVsbG8=", x5c[1], x5c[2]}), "x5c intermediate no certificate": certificates([]string{x5c[0], "aGVsbG8=", x5c[2]}),
		"x5c root not base64": certificates([]string{x5c[0], x5c[1], "junk!"}), "x5c root no certificate": certificates([]string{x5c[0], x5c[1], "aGVsbG8="}), "x5c root empty": certificates([]string{x5c[0], x5c[1], ""}),
		"x5c root null": certificates([]any{x5c[0], x5c[1], nil}), "x5c root a number": certificates([]any{x5c[0], x5c[1], 1}), "x5c root an object": certificates([]any{x5c[0], x5c[1], map[string]any{}}),
		"x5c leaf with a tail": certificates([]string{base64.StdEncoding.EncodeToString(append(append([]byte{}, der...), 0)), x5c[1], x5c[2]}),
		"x5c leaf PEM":         certificates([]string{"-----BEGIN CERTIFICATE-----" + x5c[0], x5c[1], x5c[2]}),
		"x5c leaf PEM within":  certificates([]string{base64.StdEncoding.EncodeToString([]byte("-----BEGIN CERTIFICATE-----\n" + x5c[0] + "\n-----END CERTIFICATE-----\n")), x5c[1], x5c[2]}),
		"x5c ends early":       certificates([]string{x5c[0], x5c[1], x5c[1]}), "x5c upside down": certificates([]string{x5c[2], x5c[1], x5c[0]}),
		"x5c leaf is root": certificates([]string{x5c[2], x5c[2], x5c[2]}), "x5c without intermediate": certificates([]string{x5c[0], x5c[2], x5c[2]}),
		"x5c only in __proto__": a.signWith(`{"alg":"ES256","__proto__":{"x5c":`+joined+`}}`, payload),
		"alg only in __proto__": a.signWith(`{"__proto__":{"alg":"ES256"},"x5c":`+joined+`}`, payload),
	}) {
		add(name, token)
	}
}

func urlSafe(text string) string {
	return strings.NewReplacer("+", "-", "/", "_").Replace(strings.TrimRight(text, "="))
}

func bytesOf(der []byte) []int {
	out := make([]int, len(der))
	for i, b := range der {
		out[i] = int(b)
	}
	return out
}

func (g *generator) signatures(add func(name, token string), payload string) {
	a := g.a
	parts := strings.Split(a.sign(payload), ".")
	input := parts[0] + "." + parts[1]
	raw := must(base64.RawURLEncoding.DecodeString(parts[2]))
	with := func(sig []byte) string { return input + "." + base64.RawURLEncoding.EncodeToString(sig) }
	changed := func(change func(sig []byte)) string {
		sig := append([]byte{}, raw...)
		change(sig)
		return with(sig)
	}
	key := a.keys[leaf].(*ecdsa.PrivateKey)
	digest := sha256.Sum256([]byte(input))
	order := key.Params().N
	high := new(big.Int).Sub(order, new(big.Int).SetBytes(raw[32:]))
	for name, token := range inOrder(map[string]string{
		"first bit flipped": changed(func(sig []byte) { sig[0] ^= 0x80 }), "last bit flipped": changed(func(sig []byte) { sig[63] ^= 1 }),
		"r and s swapped": with(append(append([]byte{}, raw[32:]...), raw[:32]...)), "r zero": changed(func(sig []byte) { clear(sig[:32]) }),
		"s zero": changed(func(sig []byte) { clear(sig[32:]) }), "all zero": with(make([]byte, 64)),
		"r the order": changed(func(sig []byte) { order.FillBytes(sig[:32]) }), "s the order": changed(func(sig []byte) { order.FillBytes(sig[32:]) }),
		"s on the other side": changed(func(sig []byte) { high.FillBytes(sig[32:]) }), // ECDSA allows either; both sides do
		"of 63 bytes":         with(raw[:63]), "of 65 bytes": with(append(append([]byte{}, raw...), 0)), "of 65 bytes, one before": with(append([]byte{0}, raw...)), "of 96 bytes": with(append(append([]byte{}, raw...), raw[:32]...)),
		"in DER":             with(must(ecdsa.SignASN1(rand.Reader, key, digest[:]))),
		"over the payload":   input + "." + base64.RawURLEncoding.EncodeToString(es256(key, parts[1])),
		"by another leaf":    input + "." + base64.RawURLEncoding.EncodeToString(es256(newKey(g.t, elliptic.P256()), input)),
		"of another token":   input + "." + strings.Split(a.sign(payload+" "), ".")[2],
		"payload edited":     parts[0] + "." + segment(strings.Replace(payload, "1", "2", 1)) + "." + parts[2],
		"payload spaced":     parts[0] + "." + segment(payload+" ") + "." + parts[2],
		"header spaced":      segment(header(a.x5c())+" ") + "." + parts[1] + "." + parts[2],
		"by no one, another": input + "." + base64.RawURLEncoding.EncodeToString(es256(a.keys[intermediate], input)),
	}) {
		add("signature: "+name, token)
	}
}

//go:build differential && local

package differential_test

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"grantline/shared/apple"
)

// stricter is all that we refuse and Apple's library accepts, with the reason that we give
// and why. holds looks for the cause in the token itself, so that an entry excuses nothing
// but what it is about.
var stricter = []struct {
	reason apple.Reason
	why    string
	holds  func(s signed) bool
}{
	{apple.ErrFormat, "a token is bounded to 64 KB", func(s signed) bool { return len(s.token) > 64<<10 }},
	{apple.ErrFormat, "a token has one spelling: spare bits of base64 are zero", func(s signed) bool { return !s.canonical }},
	{apple.ErrFormat, "text that is not UTF-8 is read in two ways", func(s signed) bool { return !utf8.Valid(s.header) || !utf8.Valid(s.payload) }},
	{apple.ErrFormat, "JSON is bounded to 256 members an object and 16 levels", func(s signed) bool { return immense(s.header) || immense(s.payload) }},
	{apple.ErrDuplicate, "a member that occurs twice is read in two ways", func(s signed) bool { return repeats(s.header) || repeats(s.payload) }},
	{apple.ErrCritical, "crit asks for what we do not understand (RFC 7515, 4.1.11)", func(s signed) bool { return s.head["crit"] != nil || s.crit }},
	{apple.ErrRoot, "the third certificate has to be the root, which the library does not look at", func(s signed) bool {
		last, ok := s.x5c(root).(string)
		der, err := base64.StdEncoding.DecodeString(last)
		return s.x5c(root) == nil || ok && err == nil && !bytes.Equal(der, s.root)
	}},
	{apple.ErrCertificate, "a certificate is standard base64 of DER and nothing else, the third one too", func(s signed) bool {
		for level := range 3 {
			text, ok := s.x5c(level).(string)
			der, err := base64.StdEncoding.Strict().DecodeString(text)
			if !ok && s.x5c(level) != nil || err != nil || base64.StdEncoding.EncodeToString(der) != text {
				return true
			}
			if level != root && !exactly(der) {
				return true
			}
		}
		return false
	}},
	{apple.ErrCertificate, "crypto/x509 reads extensions and values of a certificate that OpenSSL leaves alone", func(s signed) bool {
		return s.certs[leaf] == nil || s.certs[intermediate] == nil
	}},
	{apple.ErrLeaf, "a leaf is no authority and may sign data, which the library does not look at", func(s signed) bool {
		c := s.certs[leaf]
		return c != nil && (c.IsCA || c.KeyUsage&x509.KeyUsageDigitalSignature == 0)
	}},
	{apple.ErrChain, "a critical extension that is not understood spoils a certificate (RFC 5280, 4.2)", func(s signed) bool {
		return slices.ContainsFunc(s.certs[:2], func(c *x509.Certificate) bool { return c != nil && len(c.UnhandledCriticalExtensions) > 0 })
	}},
	{apple.ErrChain, "an authority's word on the names and the length below it holds (RFC 5280, 4.2.1.9 and 10)", func(s signed) bool {
		c := s.certs[intermediate]
		return s.short || c != nil && (c.PermittedDNSDomainsCritical || len(c.PermittedDNSDomains) > 0)
	}},
	{apple.ErrChain, "an authority's key usage says that it signs certificates", func(s signed) bool {
		return s.certs[intermediate] != nil && s.certs[intermediate].KeyUsage&x509.KeyUsageCertSign == 0
	}},
	{apple.ErrChain, "an authority has no extension that OpenSSL reads and crypto/x509 does not, or reads less of", func(s signed) bool {
		c := s.certs[intermediate]
		return c != nil && slices.ContainsFunc(c.Extensions, func(e pkix.Extension) bool {
			switch e.Id.String() {
			case "2.5.29.17", "1.3.6.1.5.5.7.1.7", "1.3.6.1.5.5.7.1.8", "1.3.6.1.5.5.7.1.14", "2.16.840.1.113730.1.1":
				return true
			case "2.5.29.35":
				// Every authority has this one, and of the key alone it is read alike.
				return !bytes.Equal(e.Value, sequence(must(asn1.Marshal(asn1.RawValue{Class: asn1.ClassContextSpecific, Bytes: c.AuthorityKeyId}))))
			}
			return false
		})
	}},
	{apple.ErrChain, "names of issuer and subject are the same bytes, not only the same text", func(s signed) bool {
		return s.certs[leaf] != nil && s.certs[intermediate] != nil && !bytes.Equal(s.certs[leaf].RawIssuer, s.certs[intermediate].RawSubject) ||
			s.certs[intermediate] != nil && s.certs[root] != nil && !bytes.Equal(s.certs[intermediate].RawIssuer, s.certs[root].RawSubject)
	}},
	{apple.ErrWindow, "the day of signing is within the chain's life, without the library's 60 seconds", func(s signed) bool {
		at, ok := s.claims[s.day()].(json.Number)
		ms, err := at.Float64()
		near := func(end float64) bool { return math.Abs(ms-end) < 60001 }
		return ok && err == nil && (near(float64(leafBegins.UnixMilli())) || near(float64(leafEnds.UnixMilli())))
	}},
	{apple.ErrExpired, "exp ends within its second, not behind it", func(s signed) bool {
		at, ok := s.claims["exp"].(json.Number)
		exp, err := at.Float64()
		return ok && err == nil && exp > float64(now.Unix()) && exp <= float64(now.UnixMilli())/1000
	}},
	{apple.ErrApp, "a transaction that names an app by its id names ours", func(s signed) bool {
		return s.kind == "transaction" && s.claims["appAppleId"] != nil
	}},
	{apple.ErrMismatch, "renewal info comes with the transaction of its own line, since it names no app", func(s signed) bool {
		t, r := s.parts["signedTransactionInfo"], s.parts["signedRenewalInfo"]
		return r != nil && (t == nil || t.claims["originalTransactionId"] != r.claims["originalTransactionId"])
	}},
	{apple.ErrClaims, "a word without its date could not be put in order with others", func(s signed) bool { return s.claims[s.day()] == nil }},
	{apple.ErrClaims, "what an object is told apart by may not be missing or empty", func(s signed) bool {
		return slices.ContainsFunc(needed[s.kind], func(name string) bool { return s.claims[name] == nil || s.claims[name] == "" })
	}},
	{apple.ErrClaims, "an id that becomes part of a key has 64 letters of a kind at most", func(s signed) bool {
		return slices.ContainsFunc([]string{"transactionId", "originalTransactionId", "notificationUUID"}, func(name string) bool {
			id, ok := s.claims[name].(string)
			return ok && (len(id) > 64 || strings.Trim(id, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_") != "")
		})
	}},
	{apple.ErrClaims, "a date is one of the years 0 to 9999, and not the instant that reads as none", func(s signed) bool {
		return s.any(func(name string, value any) bool {
			at, err := number(value)
			at = math.Trunc(at)
			dated := strings.HasSuffix(name, "Date") || name == "tokenExpirationDate"
			return dated && (err || at < -62167219200000 || at > 253402300799999 || at == -62135596800000)
		})
	}},
	{apple.ErrClaims, "a count or code is a whole number of 32 bits", func(s signed) bool {
		return s.any(func(name string, value any) bool {
			n, err := number(value)
			return slices.Contains(codes, name) && (err || n != math.Trunc(n) || math.Abs(n) > math.MaxInt32)
		})
	}},
	{apple.ErrClaims, "a number is one that a float64 can hold", func(s signed) bool {
		return s.any(func(_ string, value any) bool {
			n, is := value.(json.Number)
			_, err := n.Float64()
			return is && err != nil
		})
	}},
	{apple.ErrClaims, "documented members have their type, where the library does not look", func(s signed) bool {
		return s.any(func(name string, value any) bool {
			switch name {
			case "appAppleId":
				_, is := value.(json.Number)
				return s.kind == "transaction" && !is
			case "tokenExpirationDate":
				_, is := value.(json.Number)
				return !is
			case "tokenType":
				_, is := value.(string)
				return !is
			case "storefrontCountryCodes":
				list, is := value.([]any)
				return !is || slices.ContainsFunc(list, func(e any) bool { _, is := e.(string); return !is })
			case "data", "summary", "externalPurchaseToken", "appData", "advancedCommerceInfo", "commitmentInfo", "descriptors", "offer", "priceIncreaseInfo":
				_, is := value.(map[string]any)
				return !is
			case "items", "refunds":
				list, is := value.([]any)
				return !is || slices.ContainsFunc(list, func(e any) bool { _, is := e.(map[string]any); return !is })
			}
			return false
		})
	}},
}

var (
	needed = map[string][]string{
		"transaction":  {"transactionId", "originalTransactionId", "productId"},
		"renewal":      {"originalTransactionId", "autoRenewStatus"},
		"notification": {"notificationType", "notificationUUID"},
	}
	codes = []string{
		"quantity", "offerType", "revocationReason", "revocationPercentage", "autoRenewStatus", "expirationIntent", "priceIncreaseStatus", "status",
		"periodCount", "commitmentAutoRenewStatus", "billingPeriodNumber", "totalBillingPeriods",
	}
)

// whyStricter is the entry that explains a refusal by something in the token or in a part
// of it, or -1.
func whyStricter(s sample, status string) int {
	outer := open(s, s.kind, s.token)
	for i, e := range stricter {
		if string(e.reason) != status {
			continue
		}
		if e.holds(outer) {
			return i
		}
		for _, part := range outer.parts {
			if e.holds(*part) {
				return i
			}
		}
	}
	return -1
}

// signed is a token taken apart without a doubt about anything.
type signed struct {
	kind, token     string
	canonical       bool // each segment in the one spelling of its bytes
	header, payload []byte
	head, claims    map[string]any
	crit            bool
	certs           [3]*x509.Certificate // nil where crypto/x509 cannot read one; the third is the trusted root
	root            []byte
	short           bool // the trusted root wants no authority below it
	parts           map[string]*signed
}

func open(s sample, kind, token string) signed {
	o := signed{kind: kind, token: token, root: s.genuine.certs[root], canonical: true, parts: map[string]*signed{}}
	for i, segment := range strings.Split(token, ".") {
		text, _ := base64.RawURLEncoding.DecodeString(segment)
		if base64.RawURLEncoding.EncodeToString(text) != segment {
			o.canonical = false
		}
		switch i {
		case 0:
			o.header, o.head = text, members(text)
		case 1:
			o.payload, o.claims = text, members(text)
		}
	}
	_, o.crit = o.head["crit"]
	for level := range intermediate + 1 {
		text, _ := o.x5c(level).(string)
		der, _ := base64.StdEncoding.DecodeString(text)
		o.certs[level], _ = x509.ParseCertificate(der)
	}
	o.certs[root], _ = x509.ParseCertificate(o.root)
	o.short = o.certs[root].MaxPathLenZero
	for source, kinds := range map[string]map[string]string{
		"data":    {"signedTransactionInfo": "transaction", "signedRenewalInfo": "renewal"},
		"appData": {"signedAppTransactionInfo": "appTransaction"},
	} {
		inside, _ := o.claims[source].(map[string]any)
		for name, kind := range kinds {
			if token, ok := inside[name].(string); ok {
				part := open(s, kind, token)
				o.parts[name] = &part
			}
		}
	}
	return o
}

func members(text []byte) map[string]any {
	var o map[string]any
	in := json.NewDecoder(bytes.NewReader(text))
	in.UseNumber()
	_ = in.Decode(&o) // what is no object has no members
	return o
}

func (s signed) x5c(level int) any {
	list, _ := s.head["x5c"].([]any)
	if level >= len(list) {
		return nil
	}
	return list[level]
}

// day is the member that dates this kind.
func (s signed) day() string {
	if s.kind == "appTransaction" {
		return "receiptCreationDate"
	}
	return "signedDate"
}

// any finds a member at any depth.
func (s signed) any(match func(name string, value any) bool) bool {
	var within func(value any) bool
	within = func(value any) bool {
		switch value := value.(type) {
		case map[string]any:
			for name, v := range value {
				if match(name, v) || within(v) {
					return true
				}
			}
		case []any:
			return slices.ContainsFunc(value, within)
		}
		return false
	}
	return within(s.claims)
}

// number is a JSON number; of another type it is 0, which no entry minds.
func number(value any) (n float64, beyond bool) {
	text, is := value.(json.Number)
	if !is {
		return 0, false
	}
	n, err := text.Float64()
	return n, err != nil
}

// exactly says that der is one element and nothing behind it.
func exactly(der []byte) bool {
	if len(der) < 4 || der[0] != 0x30 || der[1] != 0x82 {
		return false
	}
	return len(der) == 4+int(der[2])<<8+int(der[3])
}

// walk goes through JSON and tells of each member with the names before it in its object,
// and of each depth.
func walk(text []byte, see func(name string, before []string, depth int) bool) bool {
	in := json.NewDecoder(bytes.NewReader(text))
	type level struct {
		object, value bool
		names         []string
	}
	var open []level
	for {
		token, err := in.Token()
		if err != nil {
			return false
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			if n := len(open); n > 0 {
				open[n-1].value = false
			}
			open = append(open, level{object: token == json.Delim('{')})
			if see("", nil, len(open)) {
				return true
			}
			continue
		case json.Delim('}'), json.Delim(']'):
			open = open[:len(open)-1]
			continue
		}
		if n := len(open); n > 0 && open[n-1].object {
			top := &open[n-1]
			if name, is := token.(string); is && !top.value {
				if see(name, top.names, n) {
					return true
				}
				top.names, top.value = append(top.names, name), true
			} else {
				top.value = false
			}
		}
	}
}

func repeats(text []byte) bool {
	return walk(text, func(name string, before []string, _ int) bool { return slices.Contains(before, name) })
}

func immense(text []byte) bool {
	return walk(text, func(_ string, before []string, depth int) bool { return len(before) >= 256 || depth > 16 })
}

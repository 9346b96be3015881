//go:build differential && local

package differential_test

import (
	"encoding/json"
	"iter"
	"maps"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/cryptotest"
)

// generator makes the samples. All chance in it comes from one number.
type generator struct {
	t       *testing.T
	a       *authority
	random  *rand.Rand
	seen    map[string]bool
	samples []sample
}

// generate makes all samples of a seed: tokens under the genuine certificates or false
// ones, and tokens under certificates that the genuine authorities signed although they
// are wrong.
func generate(t *testing.T, number uint64) (tokens, certificates []sample) {
	t.Helper()
	cryptotest.SetGlobalRandom(t, number)
	g := &generator{t: t, a: newAuthority(t), random: rand.New(rand.NewPCG(number, 0)), seen: map[string]bool{}}
	g.valid()
	g.spoiled()
	g.members()
	g.mutations()
	made := len(g.samples)
	g.certificates()
	return g.samples[:made:made], g.samples[made:]
}

// The whole run follows from the seed: without that, a difference could not be found again.
func TestSeedGivesTheSameTokensAgain(t *testing.T) {
	const number = 7
	var first, second []string
	for _, out := range []*[]string{&first, &second} {
		t.Run("", func(t *testing.T) {
			tokens, certificates := generate(t, number)
			for _, s := range slices.Concat(tokens, certificates) {
				*out = append(*out, s.String()+s.token)
			}
		})
	}
	if len(first) != len(second) {
		t.Fatalf("%d samples, and %d the second time", len(first), len(second))
	}
	for i := range first {
		if first[i] != second[i] {
			t.Fatalf("sample %d is %.120q, and %.120q the second time", i, first[i], second[i])
		}
	}
}

func (g *generator) add(name, kind, token, environment string) {
	g.t.Helper()
	if id := kind + name + environment; g.seen[id] {
		g.t.Fatalf("%s %q is there twice", kind, name)
	} else {
		g.seen[id] = true
	}
	g.samples = append(g.samples, sample{name, kind, token, environment, g.a})
}

// inOrder goes through a map by its keys in order, since every signature takes from the same
// source of chance.
func inOrder[V any](m map[string]V) iter.Seq2[string, V] {
	return func(yield func(string, V) bool) {
		for _, key := range slices.Sorted(maps.Keys(m)) {
			if !yield(key, m[key]) {
				return
			}
		}
	}
}

// kinds are all kinds of signed data with a full valid payload of each, by its path: a
// notification has one for each object that it can be about.
func (g *generator) kinds(environment string) []shape {
	a := g.a
	notified := func(kind, subtype, name string, inside object) shape {
		return shape{"notification", name, inside, func(inside object) string {
			return envelope(kind, subtype, name, inside).String()
		}}
	}
	plain := func(kind string, payload object) shape { return shape{kind, kind, payload, object.String} }
	return []shape{
		plain("transaction", transaction(environment)),
		plain("renewal", renewal(environment)),
		plain("appTransaction", appTransaction(environment)),
		plain("notification", a.notification(environment)),
		notified("DID_RENEW", "", "data", mustObject(a.notification(environment).get("data"))),
		notified("RENEWAL_EXTENSION", "SUMMARY", "summary", summary(environment)),
		notified("EXTERNAL_PURCHASE_TOKEN", "UNREPORTED", "externalPurchaseToken", externalPurchaseToken(environment)),
		notified("RESCIND_CONSENT", "", "appData", a.appData(environment)),
	}
}

// shape is an object whose members are to be spoiled, and how it becomes a payload.
type shape struct {
	kind string
	path string // the key in documented
	object
	payload func(object) string
}

// mustObject reads an object that we have written ourselves.
func mustObject(text string) object {
	var o object
	in := json.NewDecoder(strings.NewReader(text))
	must(in.Token())
	for in.More() {
		name := must(in.Token()).(string)
		var value json.RawMessage
		if err := in.Decode(&value); err != nil {
			panic(err)
		}
		o = append(o, field{name, string(value)})
	}
	return o
}

// pool are values that stand in for every member in turn: each type, and of each the
// values at which two readers part.
var pool = []string{
	"null", "true", "false", "0", "1", "2", "-1", "-0", "1.5", "1e3", "1E-2", "99999999999", "1768478400000", "1768478400000.7297", "-62135769600000",
	"-62135769600000.25", "-62167219200001", "253402300800000", "8640000000000001", "9007199254740993", "123456789012345678901234567890", "1e300", "-1e300", "1e999",
	`""`, `"x"`, `"1"`, `"true"`, `" "`, `"com.example.app"`, `"com.example.App"`, `"com.example.\u0061pp"`, `"com.example.app\u0000"`, `"Production"`, `"Sandbox"`,
	`"Xcode"`, `"LocalTesting"`, `"SANDBOX"`, `"1234567890"`, "1234567890", "1234567891", "1234567890.0", "12345678.90e2", `"2000000812345678"`, `"2000000899999999"`,
	`"\ud800"`, `"\ud83d\ude00"`, `"구독 ✓"`, `"a\/b\u2028"`, `"` + strings.Repeat("9", 64) + `"`, `"` + strings.Repeat("9", 65) + `"`,
	"[]", "[null]", `["x"]`, "[1]", "{}", `{"x":1}`, `{"x":{"x":[{"x":null}]}}`, `[[[[[[]]]]]]`, `{"length":3}`, `{"x":1,"x":1}`,
}

// nestedPool is the same for what is nested, with texts about as long as Apple allows.
var nestedPool = []string{
	"null", "true", "0", "1.5", "12", "12.5", "13", "-1", `"x"`, `""`, "[]", "[1]", `["x"]`, "[null]", "{}",
	quoted(strings.Repeat("x", 30)), quoted(strings.Repeat("x", 31)), quoted(strings.Repeat("✓", 45)), quoted(strings.Repeat("x", 46)),
	quoted(strings.Repeat("\U0001F600", 15)), quoted(strings.Repeat("\U0001F600", 16)), quoted(strings.Repeat("x", 129)),
}

// members spoils every documented member of every kind with every value of the pool, and
// drops, renames and repeats it.
func (g *generator) members() {
	for _, s := range g.kinds("Production") {
		add := func(name string, o object) { g.add(s.path+": "+name, s.kind, g.a.sign(s.payload(o)), "Production") }
		for _, member := range documented[s.path] {
			for _, value := range pool {
				add(member+" is "+value, s.with(member, value))
			}
			if s.get(member) == "" {
				continue
			}
			add("no "+member, s.without(member))
			add(member+" twice", s.and(member, s.get(member)))
			add(member+" twice, first null", append(object{{member, "null"}}, s.object...))
			add(member+" escaped", s.renamed(member, `\u00`+hex(member[0])+member[1:]))
			add(member+" in capitals", s.renamed(member, strings.ToUpper(member)))
			add(member+" and its twin in capitals", s.and(strings.ToUpper(member), "null"))
			add(member+" under another name", s.renamed(member, member+"X"))
		}
		add("an unknown member", s.and("newThing", `{"a":[1,{"b":null}]}`))
		add("an unknown member twice", s.and("newThing", "1").and("newThing", "1"))
		add("__proto__", s.and("__proto__", s.String()))
		add("only __proto__", object{{"__proto__", s.String()}})
		add("nothing", object{})
		add("constructor", s.and("constructor", `{"prototype":null}`).and("toString", "1").and("hasOwnProperty", "1"))
	}
	// The nested objects: each value in each place.
	for _, nested := range []struct{ kind, member, value string }{
		{"transaction", "advancedCommerceInfo", commerceOfTransaction},
		{"transaction", "commitmentInfo", commitmentOfTransaction},
		{"renewal", "advancedCommerceInfo", commerceOfRenewal},
		{"renewal", "commitmentInfo", commitmentOfRenewal},
		{"renewal", "eligibleWinBackOfferIds", `["one","two"]`},
	} {
		payload := transaction("Production")
		if nested.kind == "renewal" {
			payload = renewal("Production")
		}
		g.add("valid with "+nested.member, nested.kind, g.a.sign(payload.with(nested.member, nested.value).String()), "Production")
		add := func(at place, value string) {
			spoiled := nested.value[:at.from] + value + nested.value[at.to:]
			g.add(nested.member+": "+nested.value[max(0, at.from-24):at.from]+value, nested.kind, g.a.sign(payload.with(nested.member, spoiled).String()), "Production")
		}
		for _, place := range places(nested.value) {
			for _, value := range nestedPool {
				add(place, value)
			}
		}
		// Each name within, which is there no more and another instead.
		for _, at := range regexp.MustCompile(`\w":`).FindAllStringIndex(nested.value, -1) {
			add(place{at[0], at[0] + 1}, "X")
		}
	}
}

func hex(b byte) string {
	const digits = "0123456789abcdef"
	return string([]byte{digits[b>>4], digits[b&15]})
}

type place struct{ from, to int }

// places are where each value within a JSON text begins and ends, the text itself left out.
func places(text string) []place {
	var out []place
	in := json.NewDecoder(strings.NewReader(text))
	var open []int
	for {
		before := int(in.InputOffset())
		token, err := in.Token()
		if err != nil {
			break
		}
		from := before + strings.IndexFunc(text[before:], func(r rune) bool { return !strings.ContainsRune(" ,:", r) })
		to := int(in.InputOffset())
		switch token {
		case json.Delim('{'), json.Delim('['):
			open = append(open, from)
			continue
		case json.Delim('}'), json.Delim(']'):
			from, open = open[len(open)-1], open[:len(open)-1]
		default:
			if to < len(text) && text[to] == ':' {
				continue // a name
			}
		}
		if from > 0 {
			out = append(out, place{from, to})
		}
	}
	slices.SortFunc(out, func(a, b place) int { return a.from - b.from })
	return out
}

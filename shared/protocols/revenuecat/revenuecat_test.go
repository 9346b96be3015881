package revenuecat_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/event"
	"grantline/shared/protocols/revenuecat"
)

var update = flag.Bool("update", false, "write the documents in testdata anew")

// bodies are all that a sample makes, by the name of its document.
func bodies(t *testing.T, s sample) map[string][]byte {
	t.Helper()
	made := map[string][]byte{}
	body, ok, err := revenuecat.Compose(s.of)
	if err != nil {
		t.Fatalf("%s: Compose: got %v, want a body", s.name, err)
	}
	if ok == s.silent {
		t.Errorf("%s: Compose said %t, want %t", s.name, ok, !s.silent)
	}
	if ok {
		made[s.name] = body
	}
	more, err := revenuecat.Also(s.of)
	if err != nil {
		t.Fatalf("%s: Also: got %v, want bodies", s.name, err)
	}
	for i, body := range more {
		made[s.name+"+"+strconv.Itoa(i+1)] = body
	}
	return made
}

func TestEachEventIsToldAsItsDocumentSays(t *testing.T) {
	wanted := map[string]bool{}
	for _, s := range samples() {
		for name, body := range bodies(t, s) {
			path := filepath.Join("testdata", name+".json")
			wanted[path] = true
			var got bytes.Buffer
			if err := json.Indent(&got, body, "", "  "); err != nil {
				t.Fatalf("%s: got %s, want JSON: %v", name, body, err)
			}
			got.WriteByte('\n')
			if *update {
				if err := os.WriteFile(path, got.Bytes(), 0o600); err != nil {
					t.Fatal(err)
				}
				continue
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got.String()); diff != "" {
				t.Errorf("%s: want -, got +:\n%s", name, diff)
			}
		}
	}
	all, err := filepath.Glob("testdata/*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range all {
		if !wanted[path] {
			t.Errorf("%s: no event makes it any more", path)
		}
	}
}

// bodiesOf are what both make of one event.
func bodiesOf(t *testing.T, of revenuecat.Telling) map[string][]byte {
	t.Helper()
	body, ok, err := revenuecat.Compose(of)
	more, failed := revenuecat.Also(of)
	if err != nil || failed != nil {
		t.Fatalf("%s: got %v and %v, want bodies", of.ID, err, failed)
	}
	made := map[string][]byte{}
	if ok {
		made[of.ID] = body
	}
	for i, body := range more {
		made[of.ID+"+"+strconv.Itoa(i+1)] = body
	}
	return made
}

// typesInSource reads the types of events from the source, so that one that is added there
// is missed here.
func typesInSource(t *testing.T) []event.Type {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../../event/event.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var types []event.Type
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if name, is := spec.Type.(*ast.Ident); !is || name.Name != "Type" {
			return true
		}
		value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		types = append(types, event.Type(value))
		return true
	})
	return types
}

func TestEveryTypeOfEventHasAWordOrADecisionThatThereIsNone(t *testing.T) {
	sampled := map[event.Type]bool{}
	for _, s := range samples() {
		sampled[s.of.Event.Type] = true
	}
	types := typesInSource(t)
	if len(types) < 40 {
		t.Fatalf("got %d types from the source, want them all", len(types))
	}
	for _, kind := range types {
		if !revenuecat.Decided(kind) {
			t.Errorf("%s: nobody decided how it is told", kind)
		}
		if !sampled[kind] {
			t.Errorf("%s: no sample shows how it is told", kind)
		}
	}
}

// Required fields and their types, as RevenueCat documents them ("Event Types and Fields");
// a trailing ? means that null is documented, or that we do not know it.
var (
	commonFields = map[string]string{
		"type": "string", "id": "string", "app_id": "string", "event_timestamp_ms": "integer", "app_user_id": "string",
		"original_app_user_id": "string", "aliases": "strings", "subscriber_attributes": "object",
		"environment": "string", "sequence": "integer",
	}
	lifecycleFields = map[string]string{
		"product_id": "string", "entitlement_ids": "strings?", "entitlement_id": "string?", "period_type": "string",
		"purchased_at_ms": "integer?", "expiration_at_ms": "integer?", "store": "string", "is_family_share": "boolean",
		"price": "number?", "currency": "string?", "price_in_purchased_currency": "number?", "tax_percentage": "number?",
		"commission_percentage": "number?", "takehome_percentage": "number?", "transaction_id": "string",
		"original_transaction_id": "string", "presented_offering_id": "string?", "country_code": "string?",
		"offer_code": "string?", "renewal_number": "integer?",
	}
	virtualFields = map[string]string{
		"adjustments": "array", "product_id": "string?", "product_display_name": "string?", "purchase_environment": "string",
		"source": "string", "store": "string?", "transaction_id": "string?", "virtual_currency_transaction_id": "string",
	}
	transferFields = map[string]string{
		"type": "string", "id": "string", "app_id": "string", "event_timestamp_ms": "integer", "environment": "string",
		"subscriber_attributes": "object", "transferred_from": "strings", "transferred_to": "strings", "sequence": "integer",
	}
	// ownFields are those of one type only; optional ones of ours stand under "optional".
	ownFields = map[string]map[string]string{
		"RENEWAL": {"is_trial_conversion": "boolean?"}, "CANCELLATION": {"cancel_reason": "string"},
		"EXPIRATION": {"expiration_reason": "string"}, "PRODUCT_CHANGE": {"new_product_id": "string"},
		"BILLING_ISSUE":    {"grace_period_expiration_at_ms": "integer?"},
		"INITIAL_PURCHASE": {}, "NON_RENEWING_PURCHASE": {}, "UNCANCELLATION": {}, "SUBSCRIPTION_EXTENDED": {}, "REFUND_REVERSED": {},
	}
)

// schema gives the fields that a type must have, and those that it may have besides.
func schema(kind string) (must, may map[string]string) {
	must = map[string]string{}
	switch {
	case kind == "TRANSFER":
		return transferFields, map[string]string{"product_id": "string", "entitlement_ids": "strings", "store": "string"}
	case kind == "SUBSCRIBER_ALIAS":
		return commonFields, nil
	case kind == "VIRTUAL_CURRENCY_TRANSACTION":
		maps.Copy(must, commonFields)
		maps.Copy(must, virtualFields)
		return must, nil
	case ownFields[kind] != nil:
		maps.Copy(must, commonFields)
		maps.Copy(must, lifecycleFields)
		maps.Copy(must, ownFields[kind])
		return must, nil
	}
	return nil, nil
}

func TestEveryMessageHasTheDocumentedFieldsAndNoOthers(t *testing.T) {
	for _, s := range samples() {
		for name, body := range bodies(t, s) {
			got := decoded(t, name, body)
			kind, _ := got["type"].(string)
			must, may := schema(kind)
			if must == nil {
				t.Errorf("%s: got type %q, want a documented one", name, kind)
				continue
			}
			for field, want := range must {
				value, there := got[field]
				if !there {
					t.Errorf("%s: %s is missing", name, field)
				} else if !fits(value, want) {
					t.Errorf("%s: %s is %v, want %s", name, field, value, want)
				}
			}
			for field, value := range got {
				if want, optional := may[field]; must[field] == "" && (!optional || !fits(value, want)) {
					t.Errorf("%s: got %s = %v, which the format does not have", name, field, value)
				}
			}
			oneOf(t, name, got, "environment", "SANDBOX", "PRODUCTION")
			oneOf(t, name, got, "period_type", "TRIAL", "INTRO", "NORMAL", "PROMOTIONAL", "PREPAID")
			oneOf(t, name, got, "store", "APP_STORE", "PLAY_STORE", "PROMOTIONAL", "EXTERNAL")
			for _, field := range []string{"cancel_reason", "expiration_reason"} {
				oneOf(t, name, got, field, "UNSUBSCRIBE", "BILLING_ERROR", "DEVELOPER_INITIATED", "PRICE_INCREASE", "CUSTOMER_SUPPORT", "UNKNOWN")
			}
		}
	}
}

func decoded(t *testing.T, name string, body []byte) map[string]any {
	t.Helper()
	var got struct {
		APIVersion string         `json:"api_version"`
		Event      map[string]any `json:"event"`
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if err := d.Decode(&got); err != nil {
		t.Fatalf("%s: got %s, want JSON: %v", name, body, err)
	}
	if got.APIVersion != "1.0" {
		t.Errorf("%s: got api_version %q, want 1.0", name, got.APIVersion)
	}
	return got.Event
}

func fits(value any, want string) bool {
	want, nullable := strings.CutSuffix(want, "?")
	switch v := value.(type) {
	case nil:
		return nullable
	case string:
		return want == "string" && v != ""
	case bool:
		return want == "boolean"
	case map[string]any:
		return want == "object"
	case json.Number:
		_, err := v.Int64()
		return want == "number" || want == "integer" && err == nil
	case []any:
		return want == "array" || want == "strings" && len(v) > 0 &&
			!slices.ContainsFunc(v, func(e any) bool { s, is := e.(string); return !is || s == "" })
	}
	return false
}

func oneOf(t *testing.T, name string, got map[string]any, field string, words ...string) {
	t.Helper()
	if value, is := got[field].(string); is && !slices.Contains(words, value) {
		t.Errorf("%s: got %s %q, want one of %q", name, field, value, words)
	}
}

func TestNoTwoMessagesHaveTheSameID(t *testing.T) {
	seen := map[string]string{}
	for _, s := range samples() {
		for name, body := range bodies(t, s) {
			id, _ := decoded(t, name, body)["id"].(string)
			if other, twice := seen[id]; twice {
				t.Errorf("%s and %s have the same id %q", name, other, id)
			}
			seen[id] = name
			if !strings.HasPrefix(id, s.of.ID) || len(id) > 128 {
				t.Errorf("%s: got id %q, want one that follows from %q, of 128 bytes at most", name, id, s.of.ID)
			}
		}
	}
}

func TestTheSameEventMakesTheSameBytes(t *testing.T) {
	first, second := samples(), samples()
	for i := range first {
		if diff := cmp.Diff(bodies(t, first[i]), bodies(t, second[i])); diff != "" {
			t.Errorf("%s: made twice: %s", first[i].name, diff)
		}
	}
}

func TestNothingPersonalAndNothingOfTheCardIsTold(t *testing.T) {
	for _, s := range samples() {
		for name, body := range bodies(t, s) {
			for _, word := range []string{"cus_", "secret-looking-key", "43301234", "ticket-47", "INSUFFICIENT_FUNDS", "key_1a2b3c4d"} {
				if bytes.Contains(body, []byte(word)) {
					t.Errorf("%s: got %q in %s, want it kept to ourselves", name, word, body)
				}
			}
		}
	}
}

func TestAnEventWithoutAnIDIsRefused(t *testing.T) {
	for _, id := range []string{"", strings.Repeat("x", 113)} {
		bad := named(t, "purchase.granted.gems")
		bad.ID = id
		if body, ok, err := revenuecat.Compose(bad); err == nil || ok || body != nil {
			t.Errorf("%q: Compose: got %s, %t, %v; want an error alone", id, body, ok, err)
		}
		if more, err := revenuecat.Also(bad); err == nil || more != nil {
			t.Errorf("%q: Also: got %s, %v; want an error alone", id, more, err)
		}
	}
}

func TestNothingIsToldOfWhoWasErased(t *testing.T) {
	for _, s := range samples() {
		s.of.CustomerID = ""
		body, ok, err := revenuecat.Compose(s.of)
		more, failed := revenuecat.Also(s.of)
		if ok || body != nil || more != nil || err != nil || failed != nil {
			t.Errorf("%s: got %s, %t, %v and %s, %v; want nothing", s.name, body, ok, err, more, failed)
		}
	}
}

// What Apple ended, our own gateway may still give.
func TestNoMessageEndsWhatAnotherProviderStillGives(t *testing.T) {
	for _, s := range samples() {
		s.of.Entitlements = []string{"premium", "ad_free"}
		for name, body := range bodiesOf(t, s.of) {
			got := decoded(t, s.name, body)
			over := got["type"] == "EXPIRATION" || got["cancel_reason"] == "CUSTOMER_SUPPORT"
			if over && got["entitlement_ids"] != nil {
				t.Errorf("%s: got entitlement_ids %v in what is over, want null", name, got["entitlement_ids"])
			}
			if !over && got["product_id"] != nil && s.of.Event.Entitlement != "" && got["entitlement_ids"] == nil {
				t.Errorf("%s: got no entitlement_ids, want what was bought", name)
			}
		}
	}
	earlier := named(t, "charge.refunded")
	earlier.Entitlements = []string{"premium"}
	if body, ok, err := revenuecat.Compose(earlier); ok || err != nil {
		t.Errorf("an earlier period's refund: got %s, %v; want nothing", body, err)
	}
}

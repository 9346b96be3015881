package web_test

import (
	"bytes"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/goccy/go-yaml"                 // the document is YAML
	"github.com/santhosh-tekuri/jsonschema/v6" // OpenAPI 3.1 schemas are JSON Schema 2020-12

	"grantline/shared/billing"
)

// document is docs/openapi.yaml, as far as answers and requests are held against it.
type document struct {
	root   map[string]any
	routes []route

	mu       sync.Mutex
	closed   *jsonschema.Compiler // with every object of an answer closed
	schemas  map[string]*jsonschema.Schema
	observed map[string]bool // "operationId status" of every answer that was checked
}

// route is a path of the document.
type route struct {
	path    string
	pattern *regexp.Regexp
}

// pointers writes a name into a JSON pointer (RFC 6901).
var pointers = strings.NewReplacer("~", "~0", "/", "~1")

const documentName = "file:///openapi.json"

var load = sync.OnceValues(func() (*document, error) {
	text, err := os.ReadFile("../../docs/openapi.yaml")
	if err != nil {
		return nil, err
	}
	if text, err = yaml.YAMLToJSON(text); err != nil {
		return nil, err
	}
	root, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	d := &document{
		root: root.(map[string]any), closed: jsonschema.NewCompiler(),
		schemas: map[string]*jsonschema.Schema{}, observed: map[string]bool{},
	}
	closeObjects(d.root["components"].(map[string]any)["schemas"])
	d.closed.DefaultDraft(jsonschema.Draft2020)
	d.closed.AssertFormat()
	if err := d.closed.AddResource(documentName, d.root); err != nil {
		return nil, err
	}
	for path := range d.root["paths"].(map[string]any) {
		pattern := regexp.MustCompile(`\\\{[A-Za-z]+\\\}$`).ReplaceAllString(regexp.QuoteMeta(path), ".+")
		pattern = regexp.MustCompile(`\\\{[A-Za-z]+\\\}`).ReplaceAllString(pattern, ".*")
		d.routes = append(d.routes, route{path, regexp.MustCompile("^(?s:" + pattern + ")$")})
	}
	// From the right: the path with more fixed parts comes first.
	fixed := strings.NewReplacer("{", "\x01")
	slices.SortFunc(d.routes, func(a, b route) int { return strings.Compare(fixed.Replace(b.path), fixed.Replace(a.path)) })
	return d, nil
})

// closeObjects refuses, in every object that is described, what is not described: the
// document leaves answers open, for clients must live with new fields, but a field that
// is answered is to be documented.
func closeObjects(schema any) {
	switch schema := schema.(type) {
	case map[string]any:
		_, described := schema["properties"]
		_, refers := schema["$ref"]
		_, decided := schema["additionalProperties"]
		if described && !refers && !decided && schema["type"] == "object" {
			schema["additionalProperties"] = false
		}
		for _, part := range schema {
			closeObjects(part)
		}
	case []any:
		for _, part := range schema {
			closeObjects(part)
		}
	}
}

func theDocument(t testing.TB) *document {
	t.Helper()
	d, err := load()
	if err != nil {
		t.Fatalf("docs/openapi.yaml: %v", err)
	}
	return d
}

// at follows a path into the document, through references.
func (d *document) at(steps ...string) (any, string, bool) {
	var here any = d.root
	pointer := ""
	for _, step := range steps {
		here, pointer = d.resolved(here, pointer)
		object, _ := here.(map[string]any)
		next, ok := object[step]
		if !ok {
			return nil, "", false
		}
		here, pointer = next, pointer+"/"+pointers.Replace(step)
	}
	here, pointer = d.resolved(here, pointer)
	return here, pointer, true
}

func (d *document) resolved(v any, pointer string) (any, string) {
	object, _ := v.(map[string]any)
	ref, ok := object["$ref"].(string)
	if !ok || len(object) > 1 { // a schema may say more beside its $ref
		return v, pointer
	}
	found, at, ok := d.at(strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
	if !ok {
		panic("docs/openapi.yaml: nothing at " + ref)
	}
	return found, at
}

func (d *document) schema(pointer string) (*jsonschema.Schema, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s, ok := d.schemas[pointer]; ok {
		return s, nil
	}
	s, err := d.closed.Compile(documentName + "#" + pointer)
	if err != nil {
		return nil, err
	}
	d.schemas[pointer] = s
	return s, nil
}

// find gives the documented path of a request, "" if there is none.
func (d *document) find(path string) string {
	for _, r := range d.routes {
		if r.pattern.MatchString(path) {
			return r.path
		}
	}
	return ""
}

// check holds an answer against the document: its status, headers, type and body.
func (d *document) check(t testing.TB, method, path string, a answer) {
	t.Helper()
	if err := d.mismatch(method, path, a); err != nil {
		t.Errorf("%s %s answered what docs/openapi.yaml does not say: %v\n%d %s", method, path, err, a.status, a.text)
	}
}

func (d *document) mismatch(method, path string, a answer) error {
	if method == "OPTIONS" && !isWebhook(path) {
		if a.status != 204 || a.text != "" {
			return fmt.Errorf("a preflight is 204 without a body")
		}
		return nil
	}
	known := d.find(path)
	if isWebhook(path) {
		switch {
		case known == "" || method != "POST" && a.status == 404:
			return d.fits("answer at a webhook that there is not", a, 404, "components", "responses", "NoWebhook")
		case method != "POST":
			return d.fits("answer to another method", a, 405, "components", "responses", "WebhookMethodNotAllowed")
		}
	}
	if known == "" {
		return d.fits("answer at an unknown path", a, 404, "components", "responses", "NoRoute")
	}
	operation, _, ok := d.at("paths", known, strings.ToLower(method))
	if !ok || method != strings.ToUpper(method) {
		if known == "/api/iap/fulfill" {
			return d.fits("answer to another method", a, 405, "paths", known, "post", "responses", "default")
		}
		if a.status == 404 { // what stands for an id there can be none
			return d.fits("answer at an unknown path", a, 404, "components", "responses", "NoRoute")
		}
		return d.fits("answer to another method", a, 405, "components", "responses", "MethodNotAllowed")
	}
	id := operation.(map[string]any)["operationId"].(string)
	status := fmt.Sprint(a.status)
	d.mu.Lock()
	d.observed[id+" "+status] = true
	d.mu.Unlock()
	return d.fits(id, a, a.status, "paths", known, strings.ToLower(method), "responses", status)
}

func (d *document) fits(what string, a answer, status int, steps ...string) error {
	if a.status != status {
		return fmt.Errorf("%s has status %d, want %d", what, a.status, status)
	}
	found, _, ok := d.at(steps...)
	if !ok {
		return fmt.Errorf("%s has no response %s", what, steps[len(steps)-1])
	}
	headers, _ := found.(map[string]any)["headers"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		h, pointer, _ := d.at(append(steps, "headers", name)...)
		if h.(map[string]any)["required"] == true && a.header.Get(name) == "" {
			return fmt.Errorf("%s lacks the header %s", what, name)
		}
		s, err := d.schema(pointer + "/schema")
		if err != nil {
			return err
		}
		if err := s.Validate(a.header.Get(name)); err != nil {
			return fmt.Errorf("%s, header %s: %w", what, name, err)
		}
	}
	if _, _, ok := d.at(append(steps, "content")...); !ok && status == http.StatusNoContent {
		if a.text != "" {
			return fmt.Errorf("%s has a body, want none", what)
		}
		return nil
	}
	kind, _, err := mime.ParseMediaType(a.header.Get("Content-Type"))
	if err != nil {
		return fmt.Errorf("%s: content type: %w", what, err)
	}
	_, pointer, ok := d.at(append(steps, "content", kind, "schema")...)
	if !ok {
		return fmt.Errorf("%s has no content of type %s", what, kind)
	}
	body, err := jsonschema.UnmarshalJSON(strings.NewReader(a.text))
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	s, err := d.schema(pointer)
	if err != nil {
		return err
	}
	if err := s.Validate(body); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if problem, ok := body.(map[string]any); ok && kind == "application/problem+json" && fmt.Sprint(problem["status"]) != fmt.Sprint(a.status) {
		return fmt.Errorf("%s: the problem says status %v", what, problem["status"])
	} else if kind == "application/problem+json" && problem["retryable"] != (a.status >= 500 || problem["code"] == billing.ChargeUnderWay) {
		return fmt.Errorf("%s: retryable is %v: what is no fault of the request may succeed later, and nothing else", what, problem["retryable"])
	}
	return nil
}

// operation is one method of a path.
type operation struct {
	id, method, path string
	node             map[string]any
}

// operations are those that apps and servers call; webhooks those that gateways do.
func (d *document) operations() []operation {
	return slices.DeleteFunc(d.everything(), operation.isWebhook)
}

func (d *document) webhooks() []operation {
	return slices.DeleteFunc(d.everything(), func(o operation) bool { return !o.isWebhook() })
}

func (o operation) isWebhook() bool { return isWebhook(o.path) }

func (d *document) everything() []operation {
	var all []operation
	for _, r := range d.routes {
		item, _, _ := d.at("paths", r.path)
		for _, method := range []string{"get", "put", "post", "delete"} {
			if node, ok := item.(map[string]any)[method].(map[string]any); ok {
				all = append(all, operation{node["operationId"].(string), strings.ToUpper(method), r.path, node})
			}
		}
	}
	return all
}

// examples are those of a media type, by name.
func (d *document) examples(t testing.TB, steps ...string) map[string]any {
	t.Helper()
	found, _, ok := d.at(append(steps, "examples")...)
	if !ok {
		return nil
	}
	all := map[string]any{}
	for name, e := range found.(map[string]any) {
		all[name] = e.(map[string]any)["value"]
	}
	return all
}

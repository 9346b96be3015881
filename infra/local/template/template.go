// Package template reads the project's SAM template as far as one machine can run it:
// functions with their routes, queues and schedules, tables and queues. The template
// stays the only description of the system; what a local run cannot do is refused here
// rather than left out in silence.
package template

import (
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"grantline/infra/local/cron"
)

// What a local run answers for the pseudo parameters.
const (
	Region    = "us-east-1"
	Account   = "000000000000"
	StackName = "grantline"
)

// Template is what there is to run. Lists are in the order of their logical ids.
type Template struct {
	Functions []Function
	Tables    []Table
	Queues    []Queue

	scope scope
}

// Function is one AWS::Serverless::Function.
type Function struct {
	ID          string // logical id
	Name        string // the last folder of CodeUri
	Folder      string // CodeUri, relative to the template, slashes, no trailing one
	Timeout     time.Duration
	MemoryMB    int
	Concurrency int // ReservedConcurrentExecutions, -1 when there is none
	LogFormat   string
	Routes      []Route
	Sources     []Source
	Schedules   []Schedule

	variables map[string]any // unresolved
}

// Route is a HttpApi event.
type Route struct {
	Method string // upper case, or ANY
	Path   string // "/v1/{id}", "/{proxy+}" or "$default"
}

// Source is an SQS event.
type Source struct {
	Queue          string // logical id
	BatchSize      int    // 1 to 10
	PartialBatch   bool   // ReportBatchItemFailures
	MaxConcurrency int    // 0 when not limited
}

// Schedule is a Schedule or ScheduleV2 event.
type Schedule struct {
	Name       string // function's name and the event's
	Expression *cron.Expression
	Input      string // "" when EventBridge makes the event
}

// Table is one AWS::DynamoDB::Table.
type Table struct {
	ID         string
	Name       string
	Attributes map[string]string // name to S, N or B
	Key        Key
	Global     []Index
	Local      []Index
	TTL        string // attribute, "" without
}

// Key names a table's or an index's key attributes; Range may be empty.
type Key struct{ Hash, Range string }

// Index is a secondary index.
type Index struct {
	Name       string
	Key        Key
	Projection string   // ALL, KEYS_ONLY or INCLUDE
	Include    []string // for INCLUDE
}

// Queue is one AWS::SQS::Queue.
type Queue struct {
	ID          string
	Name        string
	Visibility  time.Duration
	Delay       time.Duration
	FIFO        bool
	Dedupe      bool   // ContentBasedDeduplication
	DeadLetters string // logical id, "" without
	MaxReceives int
}

// ARN is the queue's, as events name it.
func (q Queue) ARN() string { return "arn:aws:sqs:" + Region + ":" + Account + ":" + q.Name }

// kinds that would run when deployed and that the local runner knows only as events of a
// function. Without this list they would be missing from a local run in silence.
var refused = map[string]string{
	"AWS::Lambda::Function":           "AWS::Serverless::Function",
	"AWS::Lambda::EventSourceMapping": "an SQS event of the function",
	"AWS::Scheduler::Schedule":        "a ScheduleV2 event of the function",
	"AWS::Events::Rule":               "a Schedule event of the function",
	"AWS::ApiGatewayV2::Route":        "an HttpApi event of the function",
	"AWS::Serverless::SimpleTable":    "AWS::DynamoDB::Table",
}

// Load reads the template at file. Parameters given win over the template's defaults.
func Load(file string, parameters map[string]string) (*Template, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("template: %w", err)
	}
	return Parse(data, parameters)
}

// Parse is Load for a template that is already in memory.
func Parse(data []byte, parameters map[string]string) (*Template, error) {
	file, err := parser.ParseBytes(data, 0)
	if err != nil {
		return nil, fmt.Errorf("template: %w", err)
	}
	if len(file.Docs) != 1 || file.Docs[0].Body == nil {
		return nil, fmt.Errorf("template: want one document, got %d", len(file.Docs))
	}
	root, err := plain(file.Docs[0].Body)
	if err != nil {
		return nil, fmt.Errorf("template: %w", err)
	}
	document, ok := root.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("template: want a mapping at the top")
	}
	t := &Template{scope: newScope(document, parameters)}
	globals := child(child(document, "Globals"), "Function")
	resources := child(document, "Resources")
	for _, id := range slices.Sorted(maps.Keys(resources)) {
		if err := t.add(id, resources[id], globals); err != nil {
			return nil, fmt.Errorf("template: %s: %w", id, err)
		}
	}
	return t, t.check()
}

func (t *Template) add(id string, resource any, globals map[string]any) error {
	r, ok := resource.(map[string]any)
	if !ok {
		return fmt.Errorf("want a mapping")
	}
	if condition, ok := r["Condition"].(string); ok {
		holds, err := t.scope.condition(condition, 0)
		if err != nil || !holds {
			return err
		}
	}
	kind, _ := r["Type"].(string)
	if instead, bad := refused[kind]; bad {
		return fmt.Errorf("the local runner does not run %s; use %s", kind, instead)
	}
	properties := child(r, "Properties")
	switch kind {
	case "AWS::Serverless::Function":
		f, err := t.function(id, properties, globals)
		if err != nil {
			return err
		}
		t.Functions = append(t.Functions, f)
	case "AWS::DynamoDB::Table":
		table, err := t.table(id, properties)
		if err != nil {
			return err
		}
		t.Tables = append(t.Tables, table)
	case "AWS::SQS::Queue":
		q, err := t.queue(id, properties)
		if err != nil {
			return err
		}
		t.Queues = append(t.Queues, q)
	default: // roles, alarms, keys, dashboards: nothing of theirs runs here
	}
	return nil
}

// check holds together what single resources cannot see.
func (t *Template) check() error {
	folders := map[string]string{}
	for _, f := range t.Functions {
		if other, twice := folders[f.Name]; twice {
			return fmt.Errorf("template: %s and %s both are in a folder named %s", other, f.ID, f.Name)
		}
		folders[f.Name] = f.ID
		for _, s := range f.Sources {
			if _, ok := t.Queue(s.Queue); !ok {
				return fmt.Errorf("template: %s: no queue %s", f.ID, s.Queue)
			}
		}
	}
	for _, q := range t.Queues {
		if _, ok := t.Queue(q.DeadLetters); q.DeadLetters != "" && !ok {
			return fmt.Errorf("template: %s: no queue %s", q.ID, q.DeadLetters)
		}
	}
	return nil
}

// Queue finds a queue by logical id.
func (t *Template) Queue(id string) (Queue, bool) {
	i := slices.IndexFunc(t.Queues, func(q Queue) bool { return q.ID == id })
	if i < 0 {
		return Queue{}, false
	}
	return t.Queues[i], true
}

// Environment resolves the function's variables, the template's Globals included; queueURL
// gives the address of a queue by logical id. A reference to a secret (a parameter whose
// name ends in Arn or Name and whose value is an ARN or begins with a slash) is empty,
// because there is nothing here that it could refer to.
func (t *Template) Environment(f Function, queueURL func(id string) string) (map[string]string, error) {
	s := t.scope
	s.queueURL = queueURL
	s.secretsAreEmpty = true
	variables := make(map[string]string, len(f.variables))
	for name, raw := range f.variables {
		value, err := s.resolve(raw, 0)
		if err != nil {
			return nil, fmt.Errorf("template: %s: %s: %w", f.ID, name, err)
		}
		if value == noValue {
			continue
		}
		text, err := scalar(value)
		if err != nil {
			return nil, fmt.Errorf("template: %s: %s: %w", f.ID, name, err)
		}
		variables[name] = text
	}
	return variables, nil
}

func (t *Template) function(id string, properties, globals map[string]any) (Function, error) {
	g := &reader{scope: t.scope, of: globals}
	p := &reader{scope: t.scope, of: properties}
	f := Function{ID: id, Concurrency: -1, variables: map[string]any{}}
	folder := strings.TrimSuffix(path.Clean(p.text("CodeUri", g.text("CodeUri", ""))), "/")
	f.Folder, f.Name = folder, path.Base(folder)
	f.Timeout = time.Duration(p.number("Timeout", g.number("Timeout", 3))) * time.Second
	f.MemoryMB = p.number("MemorySize", g.number("MemorySize", 128))
	f.Concurrency = p.number("ReservedConcurrentExecutions", -1)
	f.LogFormat = p.in("LoggingConfig").text("LogFormat", g.in("LoggingConfig").text("LogFormat", "Text"))
	maps.Copy(f.variables, child(child(globals, "Environment"), "Variables"))
	maps.Copy(f.variables, child(child(properties, "Environment"), "Variables"))
	if folder == "." || strings.HasPrefix(folder, "../") || path.IsAbs(folder) {
		return f, fmt.Errorf("CodeUri %q: want a folder below the template", folder)
	}
	if f.Timeout < time.Second || f.Timeout > 900*time.Second {
		return f, fmt.Errorf("timeout %v: want 1 to 900 seconds", f.Timeout)
	}
	events := child(properties, "Events")
	for _, name := range slices.Sorted(maps.Keys(events)) {
		event := &reader{scope: t.scope, of: child(events, name)}
		if err := t.event(&f, name, event.text("Type", ""), event.in("Properties")); err != nil {
			return f, fmt.Errorf("event %s: %w", name, err)
		}
		if err := event.err(); err != nil {
			return f, fmt.Errorf("event %s: %w", name, err)
		}
	}
	if err := g.err(); err != nil {
		return f, fmt.Errorf("Globals: %w", err)
	}
	return f, p.err()
}

func (t *Template) event(f *Function, name, kind string, p *reader) error {
	switch kind {
	case "HttpApi":
		method, where := strings.ToUpper(p.text("Method", "ANY")), p.text("Path", "$default")
		if method == "*" || method == "X-AMAZON-APIGATEWAY-ANY-METHOD" {
			method = "ANY"
		}
		f.Routes = append(f.Routes, Route{Method: method, Path: where})
	case "SQS":
		if p.text("Enabled", "true") == "false" {
			return p.err()
		}
		arn := p.text("Queue", "")
		source := Source{
			BatchSize:      p.number("BatchSize", 10),
			PartialBatch:   slices.Contains(p.texts("FunctionResponseTypes"), "ReportBatchItemFailures"),
			MaxConcurrency: p.in("ScalingConfig").number("MaximumConcurrency", 0),
		}
		if source.BatchSize < 1 || source.BatchSize > 10 {
			return fmt.Errorf("BatchSize %d: want 1 to 10", source.BatchSize)
		}
		source.Queue = t.scope.queueID(arn)
		if source.Queue == "" {
			return fmt.Errorf("Queue %q: want the ARN of a queue of this template", arn)
		}
		f.Sources = append(f.Sources, source)
	case "Schedule", "ScheduleV2":
		if p.text("Enabled", "true") == "false" || p.text("State", "ENABLED") == "DISABLED" {
			return p.err()
		}
		zone, err := time.LoadLocation(p.text("ScheduleExpressionTimezone", "UTC"))
		if err != nil {
			return err
		}
		expression, err := cron.Parse(p.text("ScheduleExpression", p.text("Schedule", "")), zone)
		if err != nil {
			return err
		}
		f.Schedules = append(f.Schedules, Schedule{
			Name: f.Name + "/" + name, Expression: expression, Input: p.text("Input", ""),
		})
	default:
		return fmt.Errorf("the local runner has no events of type %q", kind)
	}
	return p.err()
}

func (t *Template) table(id string, properties map[string]any) (Table, error) {
	p := &reader{scope: t.scope, of: properties}
	table := Table{ID: id, Name: p.text("TableName", id), Attributes: map[string]string{}}
	for _, a := range p.list("AttributeDefinitions") {
		table.Attributes[a.text("AttributeName", "")] = a.text("AttributeType", "")
	}
	table.Key = key(p)
	table.Global, table.Local = indexes(p.list("GlobalSecondaryIndexes")), indexes(p.list("LocalSecondaryIndexes"))
	if ttl := p.in("TimeToLiveSpecification"); ttl.text("Enabled", "true") == "true" {
		table.TTL = ttl.text("AttributeName", "")
	}
	if table.Key.Hash == "" {
		return table, fmt.Errorf("no hash key")
	}
	return table, p.err()
}

func indexes(list []*reader) []Index {
	var all []Index
	for _, i := range list {
		projection := i.in("Projection")
		all = append(all, Index{
			Name: i.text("IndexName", ""), Key: key(i),
			Projection: projection.text("ProjectionType", "ALL"), Include: projection.texts("NonKeyAttributes"),
		})
	}
	return all
}

func key(p *reader) Key {
	var k Key
	for _, part := range p.list("KeySchema") {
		if part.text("KeyType", "") == "HASH" {
			k.Hash = part.text("AttributeName", "")
		} else {
			k.Range = part.text("AttributeName", "")
		}
	}
	return k
}

func (t *Template) queue(id string, properties map[string]any) (Queue, error) {
	p := &reader{scope: t.scope, of: properties}
	redrive := p.in("RedrivePolicy")
	q := Queue{
		ID: id, Name: t.scope.queueName(id),
		Visibility: time.Duration(p.number("VisibilityTimeout", 30)) * time.Second,
		Delay:      time.Duration(p.number("DelaySeconds", 0)) * time.Second,
		FIFO:       p.text("FifoQueue", "false") == "true",
		Dedupe:     p.text("ContentBasedDeduplication", "false") == "true",
	}
	if arn := redrive.text("deadLetterTargetArn", ""); arn != "" {
		q.MaxReceives = redrive.number("maxReceiveCount", 10)
		if q.DeadLetters = t.scope.queueID(arn); q.DeadLetters == "" {
			return q, fmt.Errorf("deadLetterTargetArn %q: want the ARN of a queue of this template", arn)
		}
	}
	return q, p.err()
}

// plain turns the syntax tree into maps, lists and scalars; a short form such as !Ref
// becomes its long one.
func plain(node ast.Node) (any, error) {
	switch n := node.(type) {
	case *ast.TagNode:
		return tagged(n)
	case *ast.MappingNode:
		m := make(map[string]any, len(n.Values))
		for _, v := range n.Values {
			if err := put(m, v); err != nil {
				return nil, err
			}
		}
		return m, nil
	case *ast.MappingValueNode:
		m := map[string]any{}
		return m, put(m, n)
	case *ast.SequenceNode:
		list := make([]any, 0, len(n.Values))
		for _, v := range n.Values {
			item, err := plain(v)
			if err != nil {
				return nil, err
			}
			list = append(list, item)
		}
		return list, nil
	case *ast.LiteralNode:
		return n.Value.Value, nil
	case *ast.StringNode:
		return n.Value, nil
	case *ast.NullNode:
		return nil, nil
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value, nil // as written, so that 012 or 1.10 keep their digits
	default:
		return nil, fmt.Errorf("line %d: %s is not understood", node.GetToken().Position.Line, node.Type())
	}
}

func put(m map[string]any, v *ast.MappingValueNode) error {
	name := v.Key.GetToken().Value
	value, err := plain(v.Value)
	if err != nil {
		return err
	}
	if _, twice := m[name]; twice {
		return fmt.Errorf("line %d: %s is there twice", v.Key.GetToken().Position.Line, name)
	}
	m[name] = value
	return nil
}

func tagged(n *ast.TagNode) (any, error) {
	value, err := plain(n.Value)
	if err != nil {
		return nil, err
	}
	switch tag := strings.TrimPrefix(n.Start.Value, "!"); tag {
	case "Ref", "Condition":
		return map[string]any{tag: value}, nil
	case "GetAtt":
		if text, ok := value.(string); ok {
			id, attribute, _ := strings.Cut(text, ".")
			value = []any{id, attribute}
		}
		return map[string]any{"Fn::GetAtt": value}, nil
	default:
		return map[string]any{"Fn::" + tag: value}, nil
	}
}

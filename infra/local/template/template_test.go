package template_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"grantline/infra/local/cron"
	"grantline/infra/local/template"
)

func load(t *testing.T, file string) *template.Template {
	t.Helper()
	got, err := template.Load(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestTheTemplateSaysWhatRuns(t *testing.T) {
	got := load(t, "testdata/shop.yaml")
	want := []template.Function{
		{
			ID: "Api", Name: "api", Folder: "functions/api", Timeout: 7 * time.Second, MemoryMB: 256, Concurrency: 2, LogFormat: "JSON",
			Routes: []template.Route{{Method: "ANY", Path: "/{proxy+}"}, {Method: "ANY", Path: "$default"}, {Method: "POST", Path: "/v1/things"}},
		},
		{
			ID: "Worker", Name: "worker", Folder: "functions/worker", Timeout: 90 * time.Second, MemoryMB: 256, Concurrency: -1, LogFormat: "JSON",
			Sources: []template.Source{{Queue: "Work", BatchSize: 5, PartialBatch: true, MaxConcurrency: 3}},
			Schedules: []template.Schedule{
				{Name: "worker/Minute", Input: `{"time":"<aws.scheduler.scheduled-time>"}`},
				{Name: "worker/Morning"},
			},
		},
	}
	ignore := cmp.Options{cmpopts.IgnoreUnexported(template.Function{}), cmpopts.IgnoreTypes(&cron.Expression{})}
	if diff := cmp.Diff(want, got.Functions, ignore); diff != "" {
		t.Errorf("functions (-want +got):\n%s", diff)
	}
	queues := []template.Queue{
		{ID: "Dead", Name: "Dead", Visibility: 30 * time.Second},
		{ID: "Work", Name: "grantline-work", Visibility: 540 * time.Second, DeadLetters: "Dead", MaxReceives: 4},
	}
	if diff := cmp.Diff(queues, got.Queues); diff != "" {
		t.Errorf("queues (-want +got):\n%s", diff)
	}
	tables := []template.Table{{
		ID: "Orders", Name: "grantline-orders", Attributes: map[string]string{"pk": "S", "at": "N"},
		Key: template.Key{Hash: "pk"}, TTL: "ttl",
		Global: []template.Index{{
			Name: "due", Key: template.Key{Hash: "pk", Range: "at"}, Projection: "INCLUDE", Include: []string{"hint"},
		}},
	}}
	if diff := cmp.Diff(tables, got.Tables); diff != "" {
		t.Errorf("tables (-want +got):\n%s", diff)
	}
}

func TestVariablesAreResolvedAndSecretsLeftEmpty(t *testing.T) {
	tmpl := load(t, "testdata/shop.yaml")
	got, err := tmpl.Environment(tmpl.Functions[0], func(id string) string { return "http://queues/" + id })
	if err != nil {
		t.Fatal(err)
	}
	orders := "arn:aws:dynamodb:us-east-1:000000000000:table/grantline-orders"
	want := map[string]string{
		"TABLE_PREFIX": "grantline-",
		"SHARED":       "own",
		"SECRET":       "",
		"SHARDS":       "016",
		"MISSING":      "",
		"QUEUE_URL":    "http://queues/Work",
		"QUEUE_NAME":   "grantline-work",
		"DEAD_NAME":    "Dead",
		"TABLE":        "grantline-orders",
		"INDEX":        orders + "/index/due and ${literal}",
		"TABLE_ARN":    orders + "-us-east-1",
		"JOINED":       "a-us-east-1-yes",
		"PACE":         "300",
		"SECOND":       "b",
		"KEY":          "arn:aws:kms:us-east-1:000000000000:Key",
		"NUMBER":       "1.10",
		"EMPTY":        "",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("variables (-want +got):\n%s", diff)
	}
}

func TestParametersGivenWinOverDefaults(t *testing.T) {
	tmpl, err := template.Load("testdata/shop.yaml", map[string]string{"PlainArn": "x", "Missing": "there"})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := tmpl.Queue("Hidden"); !ok {
		t.Error("the queue under a condition that now holds: got none, want it")
	}
}

func TestTheProjectsOwnTemplateIsUnderstood(t *testing.T) {
	tmpl := load(t, "../../../template.yaml")
	for _, f := range tmpl.Functions {
		if _, err := tmpl.Environment(f, func(id string) string { return id }); err != nil {
			t.Error(err)
		}
	}
	if len(tmpl.Functions) == 0 || len(tmpl.Tables) == 0 || len(tmpl.Queues) == 0 {
		t.Errorf("got %d functions, %d tables, %d queues, want some of each", len(tmpl.Functions), len(tmpl.Tables), len(tmpl.Queues))
	}
}

func TestWhatCannotRunHereIsRefused(t *testing.T) {
	function := "Resources:\n  F:\n    Type: AWS::Serverless::Function\n    Properties:\n      CodeUri: functions/f/\n"
	for name, row := range map[string]struct{ text, want string }{
		"no yaml":         {"a: [", "template"},
		"a list":          {"- a", "want a mapping"},
		"twice":           {"Resources: {}\nResources: {}\n", "already defined"},
		"other kind":      {"Resources: {R: {Type: AWS::Events::Rule}}", "Schedule event"},
		"unknown name":    {"Resources: {Q: {Type: AWS::SQS::Queue, Properties: {VisibilityTimeout: !Ref X}}}", "neither a parameter nor a resource"},
		"unknown queue":   {"Resources: {Q: {Type: AWS::SQS::Queue, Properties: {RedrivePolicy: {deadLetterTargetArn: x, maxReceiveCount: 1}}}}", "queue of this template"},
		"no number":       {"Resources: {Q: {Type: AWS::SQS::Queue, Properties: {VisibilityTimeout: soon}}}", "want a number"},
		"event":           {function + "      Events: {S: {Type: S3}}\n", "no events of type"},
		"batch":           {function + "      Events: {S: {Type: SQS, Properties: {Queue: x, BatchSize: 11}}}\n", "want 1 to 10"},
		"schedule":        {function + "      Events: {S: {Type: ScheduleV2, Properties: {ScheduleExpression: sometimes}}}\n", "want rate"},
		"endless":         {"Conditions: {A: !Not [!Condition A]}\nResources: {Q: {Type: AWS::SQS::Queue, Condition: A}}", "nested deeper"},
		"folder outside":  {strings.Replace(function, "functions/f/", "../f", 1), "below the template"},
		"unknown builtin": {"Resources: {Q: {Type: AWS::SQS::Queue, Properties: {VisibilityTimeout: !Transform x}}}", "not understood"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := template.Parse([]byte(row.text), nil)
			if err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("got %v, want an error with %q", err, row.want)
			}
		})
	}
}

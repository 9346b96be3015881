package stack

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	dynamotypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"grantline/infra/local/queues"
	"grantline/infra/local/server"
	"grantline/infra/local/template"
)

// accessKey stands for credentials, which the local servers do not check. Letters and digits
// only, as DynamoDB Local wants it.
const accessKey = "local"

func awsConfig() aws.Config {
	return aws.Config{
		Region:      template.Region,
		Credentials: credentials.NewStaticCredentialsProvider(accessKey, accessKey, ""),
	}
}

// startTables starts DynamoDB Local, unless there is one already, and creates the tables.
func (s *Stack) startTables(ctx context.Context) error {
	endpoint, own := s.options.Outside("AWS_ENDPOINT_URL_DYNAMODB")
	if !own || endpoint == "" {
		one, err := s.startServer(ctx, server.DynamoDBLocal)
		if err != nil {
			return err
		}
		endpoint = one.URL()
	}
	client := dynamodb.NewFromConfig(awsConfig(), func(o *dynamodb.Options) { o.BaseEndpoint = &endpoint })
	for _, table := range s.template.Tables {
		if err := createTable(ctx, client, table); err != nil {
			return fmt.Errorf("stack: table %s: %w", table.Name, err)
		}
	}
	s.dynamoDB = endpoint
	return s.startProxy(ctx)
}

// startProxy puts the given handler between the functions and DynamoDB.
func (s *Stack) startProxy(ctx context.Context) error {
	if s.options.DynamoDBProxy == nil {
		return nil
	}
	target, err := url.Parse(s.dynamoDB)
	if err != nil {
		return fmt.Errorf("stack: %w", err)
	}
	l, err := listen(ctx, 0, "")
	if err != nil {
		return err
	}
	s.proxy = &http.Server{Handler: s.options.DynamoDBProxy(target), ReadHeaderTimeout: 10 * time.Second}
	s.group.Go(func() { _ = s.proxy.Serve(l) }) // ends with ErrServerClosed upon Close
	s.dynamoDB = "http://" + l.Addr().String()
	return nil
}

// createTable leaves out what DynamoDB Local does not know, such as backups and encryption.
func createTable(ctx context.Context, client *dynamodb.Client, t template.Table) error {
	in := &dynamodb.CreateTableInput{
		TableName: &t.Name, KeySchema: keySchema(t.Key), BillingMode: dynamotypes.BillingModePayPerRequest,
	}
	for _, name := range slices.Sorted(maps.Keys(t.Attributes)) {
		in.AttributeDefinitions = append(in.AttributeDefinitions, dynamotypes.AttributeDefinition{
			AttributeName: &name, AttributeType: dynamotypes.ScalarAttributeType(t.Attributes[name]),
		})
	}
	for _, i := range t.Global {
		in.GlobalSecondaryIndexes = append(in.GlobalSecondaryIndexes, dynamotypes.GlobalSecondaryIndex{
			IndexName: &i.Name, KeySchema: keySchema(i.Key), Projection: projection(i),
		})
	}
	for _, i := range t.Local {
		in.LocalSecondaryIndexes = append(in.LocalSecondaryIndexes, dynamotypes.LocalSecondaryIndex{
			IndexName: &i.Name, KeySchema: keySchema(i.Key), Projection: projection(i),
		})
	}
	if _, err := client.CreateTable(ctx, in); err != nil {
		// An endpoint brought from outside may have them from the last run.
		if _, there := errors.AsType[*dynamotypes.ResourceInUseException](err); there {
			return nil
		}
		return err
	}
	if t.TTL == "" {
		return nil
	}
	_, err := client.UpdateTimeToLive(ctx, &dynamodb.UpdateTimeToLiveInput{
		TableName:               &t.Name,
		TimeToLiveSpecification: &dynamotypes.TimeToLiveSpecification{AttributeName: &t.TTL, Enabled: aws.Bool(true)},
	})
	return err
}

func keySchema(k template.Key) []dynamotypes.KeySchemaElement {
	schema := []dynamotypes.KeySchemaElement{{AttributeName: &k.Hash, KeyType: dynamotypes.KeyTypeHash}}
	if k.Range != "" {
		schema = append(schema, dynamotypes.KeySchemaElement{AttributeName: &k.Range, KeyType: dynamotypes.KeyTypeRange})
	}
	return schema
}

func projection(i template.Index) *dynamotypes.Projection {
	return &dynamotypes.Projection{ProjectionType: dynamotypes.ProjectionType(i.Projection), NonKeyAttributes: i.Include}
}

// startQueues starts ElasticMQ, unless there is an endpoint already, and creates the queues.
func (s *Stack) startQueues(ctx context.Context) error {
	endpoint, own := s.options.Outside("AWS_ENDPOINT_URL_SQS")
	if !own || endpoint == "" {
		one, err := s.startServer(ctx, server.ElasticMQ)
		if err != nil {
			return err
		}
		endpoint = one.URL()
	}
	s.sqs = endpoint
	client := sqs.NewFromConfig(awsConfig(), func(o *sqs.Options) { o.BaseEndpoint = &endpoint })
	s.urls = map[string]string{}
	names := map[string]string{} // by id
	o := queues.Options{
		Client: client, Agenda: s.agenda, Invoke: s.invoke, Now: s.clock.Now, Failed: s.journal.failed,
	}
	ordered := slices.Clone(s.template.Queues)
	slices.SortStableFunc(ordered, func(a, b template.Queue) int { // dead letters first: others point at them
		return len(a.DeadLetters) - len(b.DeadLetters)
	})
	for _, q := range ordered {
		address, err := createQueue(ctx, client, s.template, q)
		if err != nil {
			return fmt.Errorf("stack: queue %s: %w", q.Name, err)
		}
		s.urls[q.ID], names[q.ID] = address, q.Name
	}
	for _, q := range s.template.Queues {
		o.Queues = append(o.Queues, queues.Queue{
			Name: q.Name, URL: s.urls[q.ID], ARN: q.ARN(), Visibility: q.Visibility, DeadLetters: names[q.DeadLetters],
		})
	}
	for _, f := range s.template.Functions {
		for _, source := range f.Sources {
			concurrency := source.MaxConcurrency
			if concurrency == 0 {
				concurrency = 10
			}
			if f.Concurrency > 0 {
				concurrency = min(concurrency, f.Concurrency)
			}
			o.Sources = append(o.Sources, queues.Source{
				Queue: names[source.Queue], Function: f.Name, BatchSize: source.BatchSize,
				Concurrency: concurrency, PartialBatch: source.PartialBatch,
			})
		}
	}
	s.queues = queues.New(o)
	return nil
}

func createQueue(ctx context.Context, client *sqs.Client, t *template.Template, q template.Queue) (string, error) {
	attributes := map[string]string{
		string(sqstypes.QueueAttributeNameVisibilityTimeout): strconv.Itoa(int(queues.Hidden / time.Second)),
		string(sqstypes.QueueAttributeNameDelaySeconds):      strconv.Itoa(int(q.Delay / time.Second)),
	}
	if q.FIFO {
		attributes[string(sqstypes.QueueAttributeNameFifoQueue)] = "true"
		attributes[string(sqstypes.QueueAttributeNameContentBasedDeduplication)] = strconv.FormatBool(q.Dedupe)
	}
	if dead, ok := t.Queue(q.DeadLetters); ok {
		attributes[string(sqstypes.QueueAttributeNameRedrivePolicy)] = fmt.Sprintf(
			`{"deadLetterTargetArn":%q,"maxReceiveCount":%d}`, dead.ARN(), q.MaxReceives)
	}
	out, err := client.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: &q.Name, Attributes: attributes})
	if err != nil {
		return "", err
	}
	address := aws.ToString(out.QueueUrl)
	if address == "" { // whoever answers so is no queue service
		return "", errors.New("it was created without an address")
	}
	return address, nil
}

func (s *Stack) queueURL(id string) string { return s.urls[id] }

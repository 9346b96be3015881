package queues_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"grantline/infra/local/process"
	"grantline/infra/local/queues"
	"grantline/infra/local/server"
	"grantline/infra/local/template"
	"grantline/infra/local/tools"
	"grantline/shared/dbtest"
)

// elasticMQ starts a server for the test and makes a client of it.
func elasticMQ(t *testing.T) *sqs.Client {
	t.Helper()
	for _, program := range []string{"java", "mvn"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%s is missing: ElasticMQ needs Java 17 and Maven", program)
		}
	}
	const jars = "../../../.tools"
	if err := tools.Fetch(t.Context(), jars, os.Stderr); err != nil {
		t.Fatal(err)
	}
	starter := process.NewStarter()
	t.Cleanup(starter.Close)
	broker, err := server.ElasticMQ(t.Context(), server.Options{Tools: jars, Folder: t.TempDir(), Starter: starter})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := broker.Stop(); err != nil {
			t.Error(err)
		}
	})
	return sqs.NewFromConfig(aws.Config{
		Region: template.Region, BaseEndpoint: aws.String(broker.URL()),
		Credentials: credentials.NewStaticCredentialsProvider("local", "local", ""),
	})
}

// What a mapping needs of the server beside that: a message that is hidden for a moment, and
// then for as long as its batch is at work.
func TestWhatElasticMQHandedOverAndNobodyGotComesAgain(t *testing.T) {
	client := elasticMQ(t)
	made, err := client.CreateQueue(t.Context(), &sqs.CreateQueueInput{
		QueueName: aws.String("work"), Attributes: map[string]string{"VisibilityTimeout": strconv.Itoa(int(queues.Hidden / time.Second))},
	})
	if err != nil {
		t.Fatal(err)
	}
	const moment = 3 * time.Second
	var calls atomic.Int64
	s := queues.New(queues.Options{
		Client: &lossy{Client: client, lost: make(chan struct{})}, Agenda: &shelf{items: map[string]item{}}, Now: time.Now, Arrival: moment,
		Queues:  []queues.Queue{{Name: "work", URL: *made.QueueUrl, ARN: arn("work"), Visibility: time.Minute}},
		Sources: []queues.Source{{Queue: "work", Function: "f", BatchSize: 10, Concurrency: 2, PartialBatch: true}},
		Failed:  func(_ string, err error) { t.Error(err) },
		Invoke: func(context.Context, string, []byte) ([]byte, error) {
			calls.Add(1)
			time.Sleep(2 * moment) // what is at work does not show again
			return nil, nil
		},
	})
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	group.Go(func() { s.Run(ctx) })
	defer group.Wait()
	defer cancel()
	if _, err := client.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: made.QueueUrl, MessageBody: aws.String("x")}); err != nil {
		t.Fatal(err)
	}
	if err := s.Quiet(ctx); err != nil {
		t.Fatal(err)
	}
	if got := calls.Load(); got != 1 {
		t.Errorf("got %d batches at work, want 1", got)
	}
}

// TestElasticMQKeepsTheContractOfQueues: what the simulation's queues are held to is what a
// server that speaks SQS does.
func TestElasticMQKeepsTheContractOfQueues(t *testing.T) {
	client := elasticMQ(t)
	var made atomic.Int64
	dbtest.RunQueue(t, func(t *testing.T, o dbtest.QueueOptions) dbtest.Queue {
		q := &real{client: client}
		name := fmt.Sprint("queue-", made.Add(1))
		q.dead = q.create(t, name+"-dead", dbtest.Patience, "")
		redrive := ""
		if o.MostReceives > 0 {
			redrive = fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":%d}`, arn(name+"-dead"), o.MostReceives)
		}
		q.queue = q.create(t, name, o.Visibility, redrive)
		q.deadARN = arn(name + "-dead")
		return q
	})
}

func arn(name string) string {
	return "arn:aws:sqs:" + template.Region + ":" + template.Account + ":" + name
}

// real is a queue of a server, on whose clock nobody has a hand.
type real struct {
	client      *sqs.Client
	queue, dead string // URLs
	deadARN     string
}

func (r *real) create(t *testing.T, name string, visibility time.Duration, redrive string) string {
	t.Helper()
	attributes := map[string]string{
		string(types.QueueAttributeNameVisibilityTimeout): strconv.Itoa(int(visibility / time.Second)),
	}
	if redrive != "" {
		attributes[string(types.QueueAttributeNameRedrivePolicy)] = redrive
	}
	out, err := r.client.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: &name, Attributes: attributes})
	if err != nil {
		t.Fatalf("CreateQueue: %v", err)
	}
	return aws.ToString(out.QueueUrl)
}

func (*real) Now() time.Time       { return time.Now() }
func (*real) Pass(d time.Duration) { time.Sleep(d) }

func (r *real) Send(t *testing.T, body string, delay time.Duration) {
	t.Helper()
	if _, err := r.client.SendMessage(t.Context(), &sqs.SendMessageInput{
		QueueUrl: &r.queue, MessageBody: &body, DelaySeconds: int32(delay / time.Second),
	}); err != nil {
		t.Fatalf("SendMessage: %v", err)
	}
}

func (r *real) Receive(t *testing.T, most int) ([]dbtest.Message, error) {
	t.Helper()
	return r.receive(t, r.queue, most)
}

func (r *real) DeadLetters(t *testing.T) []dbtest.Message {
	t.Helper()
	batch, err := r.receive(t, r.dead, 10)
	if err != nil {
		t.Fatalf("ReceiveMessage of dead letters: %v", err)
	}
	return batch
}

func (r *real) receive(t *testing.T, url string, most int) ([]dbtest.Message, error) {
	t.Helper()
	out, err := r.client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{
		QueueUrl: &url, MaxNumberOfMessages: int32(most),
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameApproximateReceiveCount},
	})
	if err != nil {
		return nil, err
	}
	var batch []dbtest.Message
	for _, m := range out.Messages {
		times, err := strconv.Atoi(m.Attributes["ApproximateReceiveCount"])
		if err != nil {
			t.Errorf("ApproximateReceiveCount: %v", err)
		}
		batch = append(batch, dbtest.Message{Body: aws.ToString(m.Body), Times: times, Receipt: aws.ToString(m.ReceiptHandle)})
	}
	return batch, nil
}

// Delete passes over that ElasticMQ calls a receipt invalid which is no longer the latest.
// SQS says success, and deletes nothing either (Amazon SQS API reference, "DeleteMessage").
func (r *real) Delete(t *testing.T, m dbtest.Message) {
	t.Helper()
	receipt, _ := m.Receipt.(string)
	_, err := r.client.DeleteMessage(t.Context(), &sqs.DeleteMessageInput{QueueUrl: &r.queue, ReceiptHandle: &receipt})
	if _, old := errors.AsType[*types.ReceiptHandleIsInvalid](err); err != nil && !old {
		t.Errorf("DeleteMessage: %v", err)
	}
}

func (r *real) Redrive(t *testing.T) {
	t.Helper()
	if _, err := r.client.StartMessageMoveTask(t.Context(), &sqs.StartMessageMoveTaskInput{SourceArn: &r.deadARN}); err != nil {
		t.Errorf("StartMessageMoveTask: %v", err)
	}
}

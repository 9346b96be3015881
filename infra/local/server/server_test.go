package server_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"grantline/infra/local/process"
	"grantline/infra/local/server"
	"grantline/infra/local/tools"
)

const jars = "../../../.tools"

func config(s *server.Server) aws.Config {
	return aws.Config{
		Region: "eu-west-1", BaseEndpoint: aws.String(s.URL()),
		Credentials: credentials.NewStaticCredentialsProvider("local", "local", ""),
	}
}

// kinds are the two servers, each with a mark that is made in one and looked for in another.
var kinds = map[string]struct {
	start func(context.Context, server.Options) (*server.Server, error)
	mark  func(ctx context.Context, s *server.Server, name string) error
	marks func(ctx context.Context, s *server.Server) ([]string, error)
}{
	"dynamodb-local": {
		start: server.DynamoDBLocal,
		mark: func(ctx context.Context, s *server.Server, name string) error {
			_, err := dynamodb.NewFromConfig(config(s)).CreateTable(ctx, &dynamodb.CreateTableInput{
				TableName: &name, BillingMode: types.BillingModePayPerRequest,
				KeySchema:            []types.KeySchemaElement{{AttributeName: aws.String("pk"), KeyType: types.KeyTypeHash}},
				AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String("pk"), AttributeType: types.ScalarAttributeTypeS}},
			})
			return err
		},
		marks: func(ctx context.Context, s *server.Server) ([]string, error) {
			out, err := dynamodb.NewFromConfig(config(s)).ListTables(ctx, &dynamodb.ListTablesInput{})
			if err != nil {
				return nil, err
			}
			return out.TableNames, nil
		},
	},
	"elasticmq": {
		start: server.ElasticMQ,
		mark: func(ctx context.Context, s *server.Server, name string) error {
			_, err := sqs.NewFromConfig(config(s)).CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: &name})
			return err
		},
		marks: func(ctx context.Context, s *server.Server) ([]string, error) {
			out, err := sqs.NewFromConfig(config(s)).ListQueues(ctx, &sqs.ListQueuesInput{})
			if err != nil {
				return nil, err
			}
			var names []string
			for _, address := range out.QueueUrls {
				names = append(names, address[strings.LastIndex(address, "/")+1:])
			}
			return names, nil
		},
	},
}

// options are a start's, with the jars there.
func options(t *testing.T, port func(context.Context) (int, error)) server.Options {
	t.Helper()
	for _, program := range []string{"java", "mvn"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%s is missing: the servers need Java 17 and Maven", program)
		}
	}
	if err := tools.Fetch(t.Context(), jars, os.Stderr); err != nil {
		t.Fatal(err)
	}
	starter := process.NewStarter()
	t.Cleanup(starter.Close)
	return server.Options{Tools: jars, Folder: t.TempDir(), Starter: starter, Port: port}
}

func stop(t *testing.T, s *server.Server) {
	t.Helper()
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
}

// chosen counts the ports that a start chooses; first is the first of them.
func chosen(count *int, first func(ctx context.Context) (int, error)) func(context.Context) (int, error) {
	return func(ctx context.Context) (int, error) {
		if *count++; *count == 1 {
			return first(ctx)
		}
		return server.Port(ctx)
	}
}

func TestAPortThatAStrangerTakesAfterItsChoiceIsLeftForAnother(t *testing.T) {
	for name, k := range kinds {
		t.Run(name, func(t *testing.T) {
			var stranger *httptest.Server
			count := 0
			s, err := k.start(t.Context(), options(t, chosen(&count, func(ctx context.Context) (int, error) {
				port, err := server.Port(ctx)
				if err != nil {
					return 0, err
				}
				l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
				if err != nil {
					return 0, err
				}
				stranger = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Content-Type", "application/json")
					fmt.Fprint(w, "{}")
				}))
				stranger.Listener.Close()
				stranger.Listener = l
				stranger.Start()
				return port, nil
			})))
			if stranger != nil {
				defer stranger.Close()
			}
			if err != nil {
				t.Fatal(err)
			}
			defer stop(t, s)
			if s.URL() == stranger.URL || count < 2 {
				t.Errorf("got %s after %d ports, want another one than the stranger's", s.URL(), count)
			}
			if err := k.mark(t.Context(), s, "mine"); err != nil {
				t.Errorf("a real request: got %v, want an answer", err)
			}
			if got, err := k.marks(t.Context(), s); err != nil || len(got) != 1 || got[0] != "mine" {
				t.Errorf("got %v, %v, want what was made in it", got, err)
			}
		})
	}
}

// A socket that is bound and does not listen answers nothing, and ElasticMQ stays alive
// without its port.
func TestAPortThatCannotBeBoundIsLeftForAnother(t *testing.T) {
	for name, k := range kinds {
		t.Run(name, func(t *testing.T) {
			var first int
			count := 0
			s, err := k.start(t.Context(), options(t, chosen(&count, func(ctx context.Context) (int, error) {
				var err error
				if first, err = server.Port(ctx); err != nil {
					return 0, err
				}
				socket, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
				if err != nil {
					return 0, err
				}
				t.Cleanup(func() { _ = syscall.Close(socket) })
				return first, syscall.Bind(socket, &syscall.SockaddrInet4{Port: first, Addr: [4]byte{127, 0, 0, 1}})
			})))
			if err != nil {
				t.Fatal(err)
			}
			defer stop(t, s)
			if s.URL() == fmt.Sprintf("http://127.0.0.1:%d", first) || count < 2 {
				t.Errorf("got %s after %d ports, want another one than %d", s.URL(), count, first)
			}
			if err := k.mark(t.Context(), s, "mine"); err != nil {
				t.Errorf("a real request: got %v, want an answer", err)
			}
		})
	}
}

func TestTwoStartsThatChooseTheSamePortBothEndWithTheirOwnServer(t *testing.T) {
	for name, k := range kinds {
		t.Run(name, func(t *testing.T) {
			same, err := server.Port(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var both [2]*server.Server
			var failed [2]error
			var counts [2]int
			var group sync.WaitGroup
			for i := range both {
				o := options(t, chosen(&counts[i], func(context.Context) (int, error) { return same, nil }))
				group.Go(func() { both[i], failed[i] = k.start(t.Context(), o) })
			}
			group.Wait()
			for i, s := range both {
				if failed[i] != nil {
					t.Errorf("start %d: %v", i, failed[i])
				} else {
					defer stop(t, s)
				}
			}
			if t.Failed() {
				return
			}
			if both[0].URL() == both[1].URL() {
				t.Fatalf("got %s twice, want one for each", both[0].URL())
			}
			if counts[0]+counts[1] < 3 {
				t.Errorf("got %v ports chosen, want that one start chose again", counts)
			}
			for i, s := range both {
				if err := k.mark(t.Context(), s, fmt.Sprintf("of-%d", i)); err != nil {
					t.Fatal(err)
				}
			}
			for i, s := range both {
				got, err := k.marks(t.Context(), s)
				if want := fmt.Sprintf("of-%d", i); err != nil || len(got) != 1 || got[0] != want {
					t.Errorf("server %d: got %v, %v, want %s alone", i, got, err, want)
				}
			}
		})
	}
}

func TestAStartGivesUpWhereEveryPortIsTakenAndLeavesNothingRunning(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	count, taken := 0, l.Addr().(*net.TCPAddr).Port
	s, err := server.ElasticMQ(t.Context(), options(t, func(context.Context) (int, error) {
		count++
		return taken, nil
	}))
	if err == nil {
		stop(t, s)
		t.Fatal("got a server on a port that is taken, want an error")
	}
	if !strings.Contains(err.Error(), fmt.Sprintf("another process listens on %d", taken)) || count < 2 {
		t.Errorf("got %v after %d ports, want the reason after some", err, count)
	}
}

func TestAnEndedServerSaysSo(t *testing.T) {
	s, err := server.ElasticMQ(t.Context(), options(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-s.Ended():
		t.Error("before its end: got that it has ended")
	default:
	}
	stop(t, s)
	<-s.Ended()
	stop(t, s)
	if s.LastWords() == "" {
		t.Error("got no last words, want some")
	}
}

func TestPortsAreOutsideThoseThatTheKernelGivesOfItself(t *testing.T) {
	text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		t.Fatal(err)
	}
	var first, last int
	if _, err := fmt.Sscan(string(text), &first, &last); err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{}
	for range 100 {
		port, err := server.Port(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if first > 12_000 && (port <= 10_000 || port >= first) {
			t.Fatalf("got port %d, want one above 10000 and below %d", port, first)
		}
		seen[port] = true
	}
	if len(seen) < 50 {
		t.Errorf("got %d different ports of 100, want that they are chosen at random", len(seen))
	}
}

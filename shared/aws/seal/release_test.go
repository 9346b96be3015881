package seal_test

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// build compiles testdata/function and returns the path of the binary. It keeps symbols,
// which a deployed one has not.
func build(t *testing.T, tags string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "bootstrap")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-tags", tags, "-o", out, "./testdata/function")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build -tags %s: %v\n%s", tags, err, said)
	}
	return out
}

func TestAReleaseBinaryHoldsNoCodeOfALocalRun(t *testing.T) {
	// The local binary has all of them: a name that it had not would prove nothing.
	for tags, want := range map[string]bool{"lambda.norpc": false, "lambda.norpc,local": true} {
		binary := build(t, tags)
		content, err := os.ReadFile(binary)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{"LOCAL_DATA_KEY", "GRANTLINE_CLOCK_FILE", "the file cannot be opened", "http:// on this machine"} {
			if got := bytes.Contains(content, []byte(text)); got != want {
				t.Errorf("-tags %s: the binary holds %q: %v, want %v", tags, text, got, want)
			}
		}
		symbols, err := exec.CommandContext(t.Context(), "go", "tool", "nm", binary).Output()
		if err != nil {
			t.Fatalf("go tool nm: %v", err)
		}
		for _, symbol := range []string{"grantline/shared/aws/seal.(*localKeys)", "grantline/shared/aws/secret.fetchHere", "grantline/shared/clock.lastOffset"} {
			if got := bytes.Contains(symbols, []byte(symbol)); got != want {
				t.Errorf("-tags %s: the binary has the symbol %s: %v, want %v", tags, symbol, got, want)
			}
		}
	}
}

func TestABadlyConfiguredFunctionSaysSoAndEnds(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), build(t, "lambda.norpc"))
	cmd.Env = []string{"TOSS_SECRET_KEY=test_sk_abc", "APPS_IN_TOSS_CERTIFICATE=client.pem", "TOSS_API_URL=http://127.0.0.1:4000/toss", "LOCAL_DATA_KEY=" + strings.Repeat("0a", 32)}
	var said bytes.Buffer
	cmd.Stderr = &said
	err := cmd.Run()
	const want = "TOSS_SECRET_KEY: should be the ARN or name of a secret, not a value\n" +
		"APPS_IN_TOSS_CERTIFICATE: should be the ARN or name of a secret, not a value\n" +
		"TOSS_API_URL: should be the address of the Toss Payments API, beginning with https://, without user, query and fragment\n" +
		"DATA_KEY: should be the ARN of a KMS key; it is not set\n" +
		"TOSS_CHARGE_QUEUE_URL: should be the URL of an SQS queue; it is not set\n"
	if cmd.ProcessState.ExitCode() != 1 || said.String() != want {
		t.Errorf("ended with %v and\n%swant exit code 1 and\n%s", err, said.String(), want)
	}
}

func TestAFunctionReachesItsFirstNextWithoutAnyNetwork(t *testing.T) {
	binary := build(t, "lambda.norpc")
	next := make(chan struct{}, 1)
	done := make(chan struct{})
	runtime := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/runtime/invocation/next") {
			next <- struct{}{}
		} else {
			t.Errorf("the runtime was asked for %s", r.URL.Path)
		}
		select {
		case <-r.Context().Done():
		case <-done:
		}
	}))
	defer runtime.Close()
	defer close(done)

	var calls atomic.Int32
	world, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer world.Close()
	go func() {
		for {
			c, err := world.Accept()
			if err != nil {
				return
			}
			calls.Add(1)
			c.Close()
		}
	}()

	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	outside := "http://" + world.Addr().String()
	cmd := exec.CommandContext(ctx, binary)
	cmd.Env = []string{
		"AWS_LAMBDA_RUNTIME_API=" + strings.TrimPrefix(runtime.URL, "http://"),
		"AWS_ENDPOINT_URL=" + outside, "AWS_EC2_METADATA_SERVICE_ENDPOINT=" + outside, "HTTP_PROXY=" + outside, "HTTPS_PROXY=" + outside,
		"AWS_REGION=ap-northeast-2",
		"TOSS_SECRET_KEY=arn:aws:secretsmanager:ap-northeast-2:111122223333:secret:toss-AbCdEf",
		"APPS_IN_TOSS_CERTIFICATE=/grantline/certificate",
		"TOSS_API_URL=https://api.tosspayments.com",
		"DATA_KEY=" + keyARN,
		"TOSS_CHARGE_QUEUE_URL=https://sqs.ap-northeast-2.amazonaws.com/111122223333/charges",
	}
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cmd.Process.Kill()
		cmd.Wait()
	}()
	select {
	case <-next:
	case <-ctx.Done():
		t.Fatalf("no /next within 60 s; the function said %q", said.String())
	}
	if got := calls.Load(); got != 0 {
		t.Errorf("the function made %d calls before its first /next, want none", got)
	}
}

package journeys_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"grantline/infra/local/journeys"
)

func TestAMoveThatIsNotAnsweredIsExplained(t *testing.T) {
	const state = `{"queues":[{"name":"work","visible":0,"inFlight":1,"deadLetters":0}],"atWork":[]}`
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	runner := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/_local/keys":
			_, _ = io.WriteString(w, `{"publicKey":"pk","secretKey":"sk"}`)
		case "/_local/clock":
			_, _ = io.Copy(io.Discard, r.Body) // the server notices then when the caller leaves
			cancel()                           // who asks has no more time
			<-r.Context().Done()
		case "/_local/queues":
			_, _ = io.WriteString(w, state)
		}
	}))
	defer runner.Close()
	teller := journeys.Teller{URL: runner.URL}
	err := teller.Run(ctx, "clock 1h")
	if err == nil || !strings.Contains(err.Error(), "line 1: clock 1h") || !strings.Contains(err.Error(), state) {
		t.Errorf("got %v, want the line, and what was under way: %s", err, state)
	}
}

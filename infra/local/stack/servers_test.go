package stack_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"grantline/infra/local/stack"
)

func TestAQueueThatIsCreatedWithoutAnAddressIsAnErrorAndNoPanic(t *testing.T) {
	needJava(t)
	stranger := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, "{}")
	}))
	defer stranger.Close()
	o := options()
	o.Outside = func(name string) (string, bool) {
		return stranger.URL, strings.HasPrefix(name, "AWS_ENDPOINT_URL_")
	}
	s, err := stack.Start(t.Context(), o)
	if err == nil {
		_ = s.Close()
		t.Fatal("got a stack on somebody's endpoint that is none of queues, want an error")
	}
	if !strings.Contains(err.Error(), "without an address") || !strings.Contains(err.Error(), "queue ") {
		t.Errorf("got %v, want which queue has no address", err)
	}
}

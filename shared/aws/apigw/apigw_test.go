package apigw_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/google/go-cmp/cmp"

	"grantline/shared/aws/apigw"
)

// answer is the JSON that the API gets.
type answer struct {
	StatusCode      int
	Headers         map[string]string
	Body            string
	IsBase64Encoded bool
	Cookies         []string
}

// invoke hands an event to h as the Lambda runtime does, and returns the answer and the log.
func invoke(t *testing.T, ctx context.Context, event []byte, h http.HandlerFunc) (answer, string) {
	t.Helper()
	var log bytes.Buffer
	out, err := lambda.NewHandler(apigw.Handler(h, slog.New(slog.NewTextHandler(&log, nil)))).Invoke(ctx, event)
	if err != nil {
		t.Fatalf("Invoke: %v", err)
	}
	var a answer
	if err := json.Unmarshal(out, &a); err != nil {
		t.Fatalf("the answer %q is no JSON: %v", out, err)
	}
	return a, log.String()
}

func recorded(t testing.TB, name string) []byte {
	t.Helper()
	event, err := os.ReadFile(filepath.Join("testdata", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	return event
}

// get is the event of a simple request.
func get(method string) []byte {
	event, err := json.Marshal(events.APIGatewayV2HTTPRequest{
		RawPath:        "/",
		RequestContext: events.APIGatewayV2HTTPRequestContext{HTTP: events.APIGatewayV2HTTPRequestContextHTTPDescription{Method: method}},
	})
	if err != nil {
		panic(err)
	}
	return event
}

func TestARequestReachesTheHandlerAsFromAServer(t *testing.T) {
	called := false
	invoke(t, t.Context(), recorded(t, "claim"), func(_ http.ResponseWriter, r *http.Request) {
		called = true
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("reading the body: %v", err)
		}
		for _, c := range []struct{ name, got, want string }{
			{"method", r.Method, "POST"},
			{"path", r.URL.Path, "/v1/purchases"},
			{"RequestURI", r.RequestURI, "/v1/purchases"},
			{"host", r.Host, "a1b2c3d4e5.execute-api.ap-northeast-2.amazonaws.com"},
			{"Host header", r.Header.Get("Host"), ""},
			{"Authorization", r.Header.Get("Authorization"), "Bearer pk_test_0123456789"},
			{"X-Customer-Id", r.Header.Get("X-Customer-Id"), "user-7"},
			{"X-Forwarded-For", r.Header.Get("X-Forwarded-For"), "203.0.113.7, 198.51.100.2"},
			{"RemoteAddr", r.RemoteAddr, "203.0.113.7:0"},
			{"request id", apigw.RequestID(r.Context()), "JKJaXmPLvHcESHA="},
			{"Content-Length", r.Header.Get("Content-Length"), "93"},
			{"body", string(body), `{"store":"appsintoss","customerId":"user-7","appsintoss":{"orderId":"7f0c","sku":"gems-100"}}`},
			{"protocol", r.Proto, "HTTP/1.1"},
		} {
			if c.got != c.want {
				t.Errorf("%s is %q, want %q", c.name, c.got, c.want)
			}
		}
		if r.ContentLength != int64(len(body)) {
			t.Errorf("ContentLength is %d, want %d", r.ContentLength, len(body))
		}
	})
	if !called {
		t.Error("the handler was not called")
	}
}

func TestABase64BodyQueryAndCookiesArriveDecodedOnce(t *testing.T) {
	invoke(t, t.Context(), recorded(t, "form"), func(_ http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			t.Errorf("ParseForm: %v", err)
		}
		if got, want := r.PostForm.Get("app_user_id"), "user@7"; got != want {
			t.Errorf("app_user_id is %q, want %q", got, want)
		}
		if diff := cmp.Diff(map[string][]string{"a": {"1", "2"}, "q": {"café &"}}, map[string][]string(r.URL.Query())); diff != "" {
			t.Errorf("query (-want +got):\n%s", diff)
		}
		if c, err := r.Cookie("theme"); err != nil || c.Value != "dark" {
			t.Errorf("cookie theme is %v with error %v, want dark", c, err)
		}
		if got, want := r.Header.Get("X-List"), "one,two"; got != want {
			t.Errorf("X-List is %q, want %q", got, want)
		}
		if got, want := r.RemoteAddr, "[2001:db8::7]:0"; got != want {
			t.Errorf("RemoteAddr is %q, want %q", got, want)
		}
	})
}

func TestAPathIsNotDecodedTwice(t *testing.T) {
	const id = "100%25 user@example.com+한글"
	event := recorded(t, "decoded-path")
	invoke(t, t.Context(), event, func(_ http.ResponseWriter, r *http.Request) {
		if got, want := r.URL.Path, "/v1/customers/"+id; got != want {
			t.Errorf("the path is %q, want %q", got, want)
		}
		if got, want := r.URL.EscapedPath(), "/v1/customers/100%2525%20user@example.com+%ED%95%9C%EA%B8%80"; got != want {
			t.Errorf("the escaped path is %q, want %q", got, want)
		}
	})
	mux := http.NewServeMux()
	var got string
	mux.HandleFunc("GET /v1/customers/{id}", func(_ http.ResponseWriter, r *http.Request) { got = r.PathValue("id") })
	if a, _ := invoke(t, t.Context(), event, mux.ServeHTTP); a.StatusCode != http.StatusOK || got != id {
		t.Errorf("the mux answers %d with id %q, want 200 with %q", a.StatusCode, got, id)
	}
}

func TestTheHandlersTimeIsTheInvocations(t *testing.T) {
	end := time.Now().Add(time.Hour)
	ctx, cancel := context.WithDeadline(t.Context(), end)
	defer cancel()
	ctx = lambdacontext.NewContext(ctx, &lambdacontext.LambdaContext{AwsRequestID: "8f507cfc"})
	invoke(t, ctx, get("GET"), func(_ http.ResponseWriter, r *http.Request) {
		if got, ok := r.Context().Deadline(); !ok || !got.Equal(end) {
			t.Errorf("the deadline is %v, %v, want %v", got, ok, end)
		}
		if got := apigw.RequestID(r.Context()); got != "8f507cfc" {
			t.Errorf("without an id of the API's the request id is %q, want the invocation's", got)
		}
	})
	if got := apigw.RequestID(t.Context()); got != "" {
		t.Errorf("outside a request the id is %q, want none", got)
	}
}

func TestAnAnswerTravelsAsTextOrBase64(t *testing.T) {
	for name, c := range map[string]struct {
		contentType, body string
		base64            bool
	}{
		"JSON":            {"application/json", `{"a":"한글"}`, false},
		"problem":         {"application/problem+json; charset=utf-8", `{}`, false},
		"page":            {"text/html; charset=utf-8", "<p>&</p>\u2028", false},
		"text of bytes":   {"text/plain", "\xff", true},
		"image":           {"image/png", "\x89PNG", true},
		"binary":          {"application/octet-stream", "plain", true},
		"unreadable type": {"text/html; charset", "<p>", true},
		"nothing":         {"image/png", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			a, _ := invoke(t, t.Context(), get("GET"), func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", c.contentType)
				w.WriteHeader(http.StatusCreated)
				io.WriteString(w, c.body)
			})
			got := a.Body
			if a.IsBase64Encoded {
				raw, err := base64.StdEncoding.DecodeString(a.Body)
				if err != nil {
					t.Fatal(err)
				}
				got = string(raw)
			}
			if got != c.body || a.IsBase64Encoded != c.base64 || a.StatusCode != http.StatusCreated || a.Headers["content-type"] != c.contentType {
				t.Errorf("got %d %q, %q, base64 %v, want 201 %q, %q, base64 %v", a.StatusCode, a.Headers["content-type"], got, a.IsBase64Encoded, c.contentType, c.body, c.base64)
			}
		})
	}
}

func TestHeadersAreJoinedAndCookiesKeptApart(t *testing.T) {
	a, _ := invoke(t, t.Context(), get("GET"), func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Add("Vary", "Origin")
		w.Header().Add("Vary", "Accept")
		w.Header().Set("Content-Length", "2")
		http.SetCookie(w, &http.Cookie{Name: "a", Value: "1"})
		http.SetCookie(w, &http.Cookie{Name: "b", Value: "2"})
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusAccepted)
		w.Header().Set("Late", "yes")
		w.WriteHeader(http.StatusTeapot)
		io.WriteString(w, "ok")
	})
	want := answer{
		StatusCode: http.StatusAccepted,
		Headers:    map[string]string{"vary": "Origin, Accept", "content-type": "text/plain; charset=utf-8"},
		Body:       "ok",
		Cookies:    []string{"a=1", "b=2"},
	}
	if diff := cmp.Diff(want, a); diff != "" {
		t.Errorf("answer (-want +got):\n%s", diff)
	}
}

func TestAnAnswerHasABodyOnlyWhereHTTPAllowsOne(t *testing.T) {
	for _, c := range []struct {
		method string
		status int
		err    error
	}{{"HEAD", http.StatusOK, nil}, {"GET", http.StatusNoContent, http.ErrBodyNotAllowed}, {"GET", http.StatusNotModified, http.ErrBodyNotAllowed}} {
		a, _ := invoke(t, t.Context(), get(c.method), func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(c.status)
			if _, err := io.WriteString(w, "body"); !errors.Is(err, c.err) {
				t.Errorf("%s %d: writing a body gives %v, want %v", c.method, c.status, err, c.err)
			}
		})
		if a.Body != "" || a.StatusCode != c.status {
			t.Errorf("%s: got %d %q, want %d without a body", c.method, a.StatusCode, a.Body, c.status)
		}
	}
	if a, _ := invoke(t, t.Context(), get("GET"), func(http.ResponseWriter, *http.Request) {}); a.StatusCode != http.StatusOK || a.Body != "" {
		t.Errorf("a handler that does nothing answers %d %q, want 200 and nothing", a.StatusCode, a.Body)
	}
}

// wantProblem checks a problem that no handler wrote.
func wantProblem(t *testing.T, a answer, status int, code string, retryable bool) {
	t.Helper()
	var got map[string]any
	if err := json.Unmarshal([]byte(a.Body), &got); err != nil {
		t.Fatalf("the body %q is no JSON: %v", a.Body, err)
	}
	if a.StatusCode != status || a.Headers["content-type"] != "application/problem+json" ||
		got["code"] != code || got["retryable"] != retryable || got["status"] != float64(status) || got["type"] != "about:blank" || got["title"] != http.StatusText(status) {
		t.Errorf("got %d %v, want a problem %d %s, retryable %v", a.StatusCode, got, status, code, retryable)
	}
}

func TestAPanicIsAnsweredWithoutDetailAndLoggedWithoutTheRequest(t *testing.T) {
	a, log := invoke(t, t.Context(), recorded(t, "claim"), func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		io.WriteString(w, "half of")
		panic("cannot work with " + r.Header.Get("Authorization"))
	})
	wantProblem(t, a, http.StatusInternalServerError, "internal_error", true)
	if !strings.Contains(log, "level=ERROR") || !strings.Contains(log, "apigw_test.go") {
		t.Errorf("the log is %q, want an error with the stack", log)
	}
	for _, secret := range []string{"pk_test", "user-7", "7f0c"} {
		if strings.Contains(log+a.Body, secret) {
			t.Errorf("%q shows in the log %q or the answer %q", secret, log, a.Body)
		}
	}
	a, _ = invoke(t, t.Context(), get("GET"), func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(7) })
	wantProblem(t, a, http.StatusInternalServerError, "internal_error", true)
}

func TestAnAnswerLongerThanLambdaPassesOnIsAnError(t *testing.T) {
	a, log := invoke(t, t.Context(), get("GET"), func(w http.ResponseWriter, _ *http.Request) {
		chunk := make([]byte, 1<<20)
		for range 4 {
			if _, err := w.Write(chunk); err != nil {
				t.Errorf("writing 4 MiB: %v", err)
			}
		}
		if _, err := w.Write([]byte{0}); err == nil {
			t.Error("writing one byte more is no error")
		}
	})
	wantProblem(t, a, http.StatusInternalServerError, "internal_error", true)
	if !strings.Contains(log, "level=ERROR") {
		t.Errorf("the log is %q, want an error", log)
	}
}

func TestWhatIsNoRequestIsMalformed(t *testing.T) {
	for name, event := range map[string]string{
		"no base64":       `{"rawPath":"/","requestContext":{"http":{"method":"POST"}},"body":"ab%secret%","isBase64Encoded":true}`,
		"base64 and more": `{"rawPath":"/","requestContext":{"http":{"method":"POST"}},"body":"YQ==YQ==secret","isBase64Encoded":true}`,
		"loose base64":    `{"rawPath":"/","requestContext":{"http":{"method":"POST"}},"body":"YR==","isBase64Encoded":true}`,
		"no method":       `{"rawPath":"/secret"}`,
		"schedule":        `{"time":"2026-11-22T09:00:00Z"}`,
	} {
		t.Run(name, func(t *testing.T) {
			a, log := invoke(t, t.Context(), []byte(event), func(http.ResponseWriter, *http.Request) { t.Error("the handler was called") })
			wantProblem(t, a, http.StatusBadRequest, "malformed_request", false)
			if strings.Contains(log+a.Body, "secret") {
				t.Errorf("the request shows in the log %q or the answer %q", log, a.Body)
			}
		})
	}
}

func FuzzAnyEventIsAnsweredAndAnyPathKept(f *testing.F) {
	for _, name := range []string{"claim", "form", "decoded-path"} {
		f.Add(recorded(f, name))
	}
	f.Add([]byte(`{"rawPath":"no slash?#%zz","rawQueryString":"%zz;&&","headers":{"a\nb":"c\r\nd","":""},"requestContext":{"http":{"method":"\u0000"}}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var event events.APIGatewayV2HTTPRequest
		if json.Unmarshal(raw, &event) != nil {
			return
		}
		var want []byte
		h := func(w http.ResponseWriter, r *http.Request) {
			if got := strings.TrimPrefix(r.URL.Path, "/"); got != strings.TrimPrefix(event.RawPath, "/") {
				t.Errorf("the path is %q, want %q", r.URL.Path, event.RawPath)
			}
			if r.URL.RawQuery != event.RawQueryString {
				t.Errorf("the query is %q, want %q", r.URL.RawQuery, event.RawQueryString)
			}
			body, err := io.ReadAll(r.Body)
			if err != nil || int64(len(body)) != r.ContentLength {
				t.Errorf("the body has %d bytes with error %v, want %d", len(body), err, r.ContentLength)
			}
			want = body
			w.Header().Set("Content-Type", r.Header.Get("Content-Type"))
			w.Write(body)
		}
		got, err := apigw.Handler(http.HandlerFunc(h), slog.New(slog.DiscardHandler))(t.Context(), event)
		if err != nil {
			t.Fatalf("error %v", err)
		}
		if got.StatusCode != http.StatusOK && got.StatusCode != http.StatusBadRequest {
			t.Fatalf("status %d, want 200 or 400", got.StatusCode)
		}
		if got.StatusCode == http.StatusOK && event.RequestContext.HTTP.Method != http.MethodHead {
			body := []byte(got.Body)
			if got.IsBase64Encoded {
				if body, err = base64.StdEncoding.DecodeString(got.Body); err != nil {
					t.Fatal(err)
				}
			}
			if !bytes.Equal(body, want) {
				t.Errorf("the answer is %q, want %q", body, want)
			}
		}
	})
}

package dynamo_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"grantline/shared/aws/dynamo"
	"grantline/shared/dbtest/local"
	"grantline/shared/table"
)

// call is one request as DynamoDB gets it.
type call struct {
	Operation string
	Body      map[string]any
}

// at digs into the request.
func (c call) at(path ...any) any {
	var v any = c.Body
	for _, p := range path {
		switch p := p.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[p]
		case int:
			l, _ := v.([]any)
			if p >= len(l) {
				return nil
			}
			v = l[p]
		}
	}
	return v
}

// answer is what comes back.
type answer struct {
	status int
	body   string
}

// failure is an error of DynamoDB's.
func failure(status int, code, more string) answer {
	if more != "" {
		more = "," + more
	}
	return answer{status, `{"__type":"com.amazonaws.dynamodb.v20120810#` + code + `","message":"as told"` + more + `}`}
}

// scripted is a DynamoDB that answers as each of its lines says, the last one again and
// again. It is for what DynamoDB Local never does.
type scripted struct {
	mu    sync.Mutex
	lines []func(call) answer
	calls []call
}

func told(answers ...answer) *scripted {
	s := &scripted{}
	for _, a := range answers {
		s.lines = append(s.lines, func(call) answer { return a })
	}
	return s
}

func (s *scripted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	text, err := io.ReadAll(r.Body)
	c := call{Operation: r.Header.Get("X-Amz-Target")[len("DynamoDB_20120810."):]}
	if err == nil {
		err = json.Unmarshal(text, &c.Body)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusTeapot)
		return
	}
	line := s.lines[min(len(s.calls), len(s.lines)-1)]
	s.calls = append(s.calls, c)
	a := line(c)
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	w.WriteHeader(a.status)
	_, _ = io.WriteString(w, a.body)
}

// tables of a scripted DynamoDB, with the prefix "t-".
func (s *scripted) tables(t *testing.T, options ...dynamo.Option) *dynamo.Tables {
	t.Helper()
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return dynamo.New(dynamo.Client(local.Config(server.URL), time.Minute), "t-", options...)
}

func order(id string) table.Item {
	return table.Item{Key: table.Key{Table: table.Orders, Partition: id}, Schema: 1, Data: []byte(`{"state":"claimed"}`)}
}

func head(id string) table.Item {
	return table.Item{
		Key: table.Key{Table: table.Customers, Partition: id, Sort: "head"}, Schema: 1, Data: []byte(`{"secret":"s3cr3t"}`),
	}
}

// lying is an item as it lies in DynamoDB, written by whom the token names.
func lying(id, token, revision string) string {
	return `{"pk":{"S":"` + id + `"},"revision":{"N":"` + revision + `"},"schema":{"N":"1"},"token":{"S":"` + token + `"}}`
}

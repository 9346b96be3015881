package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestTheVerdictIsTheStacks(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		answer string
		equal  bool
		says   string // on either stream
	}{
		"equal": {
			200, `{"equal":true,"customers":3,"events":9,"orders":4,"older":1,"counts":{},"findings":[]}`, true,
			"equal: 3 customers, 9 events and 4 orders compared, 1 customers older",
		},
		"different": {
			200, `{"equal":false,"customers":3,"counts":{"debt":1},"findings":[{"kind":"debt","customer":"cus_1","currency":"gems"}]}`, false,
			`{"kind":"debt","customer":"cus_1","currency":"gems"}`,
		},
		"refused":   {500, `{"message":"no"}`, false, "500"},
		"nonsense":  {200, `[]`, false, "report"},
		"an answer": {200, `{}`, false, "DIFFERENT"}, // only a word for it is equal
	} {
		t.Run(name, func(t *testing.T) {
			stack := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method != http.MethodPost || r.URL.Path != "/_local/rebuild" {
					t.Errorf("got %s %s, want POST /_local/rebuild", r.Method, r.URL.Path)
				}
				w.WriteHeader(c.status)
				_, _ = w.Write([]byte(c.answer))
			}))
			defer stack.Close()
			var out bytes.Buffer
			equal, err := compare(stack.URL, &out)
			if err != nil {
				out.WriteString(err.Error())
			}
			if equal != c.equal || !strings.Contains(out.String(), c.says) {
				t.Errorf("got %v and %q, want %v and %q", equal, out.String(), c.equal, c.says)
			}
		})
	}
	if _, err := compare("http://127.0.0.1:1", &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), "make run") {
		t.Errorf("without a stack: got %v, want to be told how to start one", err)
	}
}

package web_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"grantline/shared/purchase"
	"grantline/shared/table"
)

// A script in testdata is requests and the answers that they must get:
//
//	POST /v1/purchases as minji {"store":…}
//	200 {"order":…}
//
// The path is percent-encoded, as on the wire. After "as" comes nobody, app, server, or
// app:<id> and server:<id> for one that names a customer by X-Customer-Id; anything else
// is the customer whose token comes along. An answer's body goes on until an empty line;
// the string "…" in it stands for anything, and an object with a field "…" may have more
// fields. Besides there are
//
//	sale <store> <proof> {"order":…,"sku":…}    the store knows of a sale
//	down <store>, up <store>                    it is out of reach, it is back
//	clock <duration>                            time passes
//	work <subscription>                         the queue works on it
//	approve <subscription> [<order> <amount>]   its customer approves the mandate, and pays; the gateway says so
//	nothing written                             the tables are empty
func TestScripts(t *testing.T) {
	scripts, err := filepath.Glob("testdata/*.script.txt")
	if err != nil || len(scripts) < 4 {
		t.Fatalf("got %d scripts, %v, want 4 or more", len(scripts), err)
	}
	for _, name := range scripts {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".script.txt"), func(t *testing.T) {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			newWorld(t).play(string(text))
		})
	}
}

// play runs a script's steps: paragraphs, and lines within them.
func (w *world) play(script string) {
	w.Helper()
	var last answer
	lines := strings.Split(script, "\n")
	for n := 0; n < len(lines); n++ {
		line := lines[n]
		words := strings.Fields(line)
		fail := func(err error) { w.Errorf("line %d: %s\n%v", n+1, line, err) }
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case line == "nothing written":
			w.nothingWritten(fmt.Sprintf("line %d", n))
		case words[0] == "down" || words[0] == "up":
			w.shops[words[1]].down = words[0] == "down"
		case words[0] == "clock":
			d, err := time.ParseDuration(words[1])
			if err != nil {
				w.Fatalf("line %d: %v", n+1, err)
			}
			w.clock.advance(d)
		case words[0] == "work":
			if err := w.api.Biller.Work(w.Context(), table.Default, words[1]); err != nil {
				fail(err)
			}
		case words[0] == "approve":
			pays := map[string]int64{}
			if len(words) > 2 {
				amount, err := strconv.ParseInt(words[3], 10, 64)
				if err != nil {
					w.Fatalf("line %d: %v", n+1, err)
				}
				pays[words[2]] = amount
			}
			w.mandates.approve(words[1], pays)
			w.notice(words[1])
		case words[0] == "sale":
			var s struct {
				Order, Line, SKU, State, Account, Currency string
				Price                                      int64
				Quantity                                   int
				Until, PurchasedAt                         time.Time
				WillRenew, Test                            bool
			}
			if err := json.Unmarshal([]byte(strings.Join(words[3:], " ")), &s); err != nil {
				w.Fatalf("line %d: %v", n+1, err)
			}
			w.shops[words[1]].sell(words[2], purchase.Sale{
				Order: s.Order, Line: s.Line, SKU: s.SKU, State: purchase.SaleState(s.State), Account: s.Account, Currency: s.Currency,
				Price: s.Price, Quantity: s.Quantity, Until: s.Until, PurchasedAt: s.PurchasedAt, WillRenew: s.WillRenew, Test: s.Test, AsOf: w.clock.Now(),
			})
		case line[0] >= '0' && line[0] <= '9':
			want := line
			for ; n+1 < len(lines) && lines[n+1] != ""; n++ {
				want += "\n" + lines[n+1]
			}
			if err := fits(last, want); err != nil {
				fail(fmt.Errorf("%w\ngot %d %s", err, last.status, last.text))
			}
		default:
			last = w.request(n+1, line, words)
		}
	}
}

func (w *world) request(n int, line string, words []string) answer {
	w.Helper()
	if len(words) < 4 || words[2] != "as" {
		w.Fatalf("line %d: nobody knows what %q means", n, line)
	}
	u, err := url.Parse(words[1])
	if err != nil {
		w.Fatalf("line %d: %v", n, err)
	}
	who, id, _ := strings.Cut(words[3], ":")
	h := header{}
	switch who {
	case "nobody":
	case "app":
		h = app(id)
	case "server":
		h = server(id)
	default:
		h = w.user(words[3])
	}
	return w.ask(words[0], u.Path, h, strings.Join(words[4:], " "), u.RawQuery)
}

// fits says why an answer is not the one that is wanted, or nil.
func fits(a answer, want string) error {
	status, body, _ := strings.Cut(want, " ")
	status, rest, more := strings.Cut(status, "\n")
	if more {
		body = rest + " " + body
	}
	if status != strconv.Itoa(a.status) {
		return fmt.Errorf("want status %s", status)
	}
	if strings.TrimSpace(body) == "" {
		return nil
	}
	var is, should any
	if err := json.Unmarshal([]byte(body), &should); err != nil {
		return fmt.Errorf("the script's JSON: %w", err)
	}
	if err := json.Unmarshal([]byte(a.text), &is); err != nil {
		return fmt.Errorf("the answer's JSON: %w", err)
	}
	return same("$", is, should)
}

func same(where string, is, should any) error {
	if should == "…" {
		return nil
	}
	switch should := should.(type) {
	case map[string]any:
		object, ok := is.(map[string]any)
		if !ok {
			return fmt.Errorf("%s is %v, want an object", where, is)
		}
		_, open := should["…"]
		for name, want := range should {
			got, ok := object[name]
			if name == "…" {
				continue
			}
			if !ok {
				return fmt.Errorf("%s has no %s", where, name)
			}
			if err := same(where+"."+name, got, want); err != nil {
				return err
			}
		}
		for name := range object {
			if _, ok := should[name]; !ok && !open {
				return fmt.Errorf("%s has a field %s that nobody expects", where, name)
			}
		}
		return nil
	case []any:
		list, ok := is.([]any)
		if !ok || len(list) != len(should) {
			return fmt.Errorf("%s is %v, want %d elements", where, is, len(should))
		}
		for i := range should {
			if err := same(fmt.Sprintf("%s[%d]", where, i), list[i], should[i]); err != nil {
				return err
			}
		}
		return nil
	}
	if !reflect.DeepEqual(is, should) {
		return fmt.Errorf("%s is %v, want %v", where, is, should)
	}
	return nil
}

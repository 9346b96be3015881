package dynamo_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/fault"
	"grantline/shared/table"
)

var (
	fine        = answer{200, `{}`}
	broken      = failure(500, "InternalServerError", "")
	throttled   = failure(400, "ThrottlingException", "")
	metAnother  = failure(400, "TransactionConflictException", "")
	foreign     = failure(400, "ConditionalCheckFailedException", `"Item":`+lying("o", "somebody else", "1"))
	nothingLeft = failure(400, "ConditionalCheckFailedException", "")
)

func reasons(of ...string) answer {
	return failure(400, "TransactionCanceledException", `"CancellationReasons":[`+strings.Join(of, ",")+`]`)
}

func reason(code string) string { return `{"Code":"` + code + `","Message":"s3cr3t is not in here"}` }

func kindless(err error) bool {
	return err != nil && !errors.Is(err, fault.Conflict) && !errors.Is(err, fault.Unavailable) &&
		!errors.Is(err, fault.NotFound) && !errors.Is(err, fault.Invalid) && !errors.Is(err, fault.Malformed)
}

func TestLoneWriteIsJudgedByWhatMayHaveHappened(t *testing.T) {
	read := order("o")
	read.Revision = 4
	insert, replace, remove := table.Inserted(order("o")), table.Replaced(read), table.Removed(read)
	for _, c := range []struct {
		name    string
		write   table.Write
		answers []answer
		want    error // nil is success
	}{
		{"done", insert, []answer{fine}, nil},
		{"an error, then done", insert, []answer{broken, fine}, nil},
		{"another's item", insert, []answer{foreign}, fault.Conflict},
		{"refused while throttled, then another's item", insert, []answer{throttled, foreign}, fault.Conflict},
		{"perhaps done, then another's item", insert, []answer{broken, foreign}, fault.Unavailable},
		{"perhaps done, throttled, then another's item", insert, []answer{broken, throttled, foreign}, fault.Unavailable},
		{"perhaps replaced, then another's item", replace, []answer{broken, foreign}, fault.Unavailable},
		{"gone", replace, []answer{nothingLeft}, fault.Conflict},
		{"already removed", remove, []answer{nothingLeft}, fault.Conflict},
		{"perhaps removed by us", remove, []answer{broken, nothingLeft}, fault.Unavailable},
		{"met a transaction", insert, []answer{metAnother}, fault.Conflict},
		{"perhaps done, then met a transaction", insert, []answer{broken, metAnother}, fault.Unavailable},
		{"perhaps removed, then met a transaction", remove, []answer{broken, metAnother}, fault.Unavailable},
		{"throttled for good", insert, []answer{throttled}, fault.Unavailable},
		{"broken for good", remove, []answer{broken}, fault.Unavailable},
		{"an answer that is none", insert, []answer{{200, `<html>`}}, fault.Unavailable},
		{"no such table", insert, []answer{failure(400, "ResourceNotFoundException", "")}, fault.Unavailable},
		{"no permission", insert, []answer{failure(400, "AccessDeniedException", "")}, fault.Unavailable},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := told(c.answers...).tables(t).Commit(t.Context(), c.write)
			if !errors.Is(err, c.want) {
				t.Errorf("Commit: got %v, want %v", err, c.want)
			}
		})
	}
}

func TestPutThatMeetsItsOwnTokenIsASuccess(t *testing.T) {
	own := func(c call) answer {
		token, _ := c.at("Item", "token", "S").(string)
		return failure(400, "ConditionalCheckFailedException", `"Item":`+lying("o", token, "1"))
	}
	s := &scripted{lines: []func(call) answer{func(call) answer { return broken }, own}}
	if err := s.tables(t).Commit(t.Context(), table.Inserted(order("o"))); err != nil {
		t.Errorf("Commit: got %v, want success", err)
	}
	if d := cmp.Diff(s.calls[0], s.calls[1]); d != "" {
		t.Errorf("first request (-) and its repetition (+) differ:\n%s", d)
	}
	if got, _ := s.calls[0].at("Item", "token", "S").(string); len(got) < 26 {
		t.Errorf("token: got %d characters, want 26 or more", len(got))
	}
}

func TestTokensAreNeverUsedTwice(t *testing.T) {
	s := told(fine)
	tables := s.tables(t)
	seen := map[any]bool{}
	for range 20 {
		if err := tables.Commit(t.Context(), table.Inserted(order("o"))); err != nil {
			t.Fatalf("Commit: got %v, want success", err)
		}
	}
	for _, c := range s.calls {
		seen[c.at("Item", "token", "S")] = true
	}
	if len(seen) != 20 {
		t.Errorf("tokens of 20 commits: got %d, want 20", len(seen))
	}
}

func TestTransactionRepeatsItsRequestToken(t *testing.T) {
	s := told(broken, failure(400, "TransactionInProgressException", ""), fine)
	if err := s.tables(t).Commit(t.Context(), table.Inserted(order("o")), table.Inserted(head("c"))); err != nil {
		t.Errorf("Commit: got %v, want success", err)
	}
	if len(s.calls) != 3 {
		t.Fatalf("requests: got %d, want 3", len(s.calls))
	}
	first := s.calls[0]
	for n, c := range s.calls {
		if d := cmp.Diff(first, c); d != "" {
			t.Errorf("first request (-) and repetition %d (+) differ:\n%s", n, d)
		}
		token := c.at("ClientRequestToken")
		for i := range 2 {
			if got := c.at("TransactItems", i, "Put", "Item", "token", "S"); got != token || token == nil {
				t.Errorf("token of item %d: got %v, want the request's, %v", i, got, token)
			}
		}
	}
}

func TestCancelledTransactionIsJudgedByItsReasons(t *testing.T) {
	in := `{"Code":"ConditionalCheckFailed","Item":` + lying("o", "somebody else", "7") + `}`
	for _, c := range []struct {
		name   string
		answer answer
		want   error // nil is an error of no kind
		found  bool  // the second write's item
	}{
		{"met another", reasons(reason("TransactionConflict"), reason("None")), fault.Conflict, false},
		{"an item in the way", reasons(reason("None"), in), fault.Conflict, true},
		{"nothing where something should be", reasons(reason("None"), reason("ConditionalCheckFailed")), fault.Conflict, false},
		{"met another, and an item in the way", reasons(reason("TransactionConflict"), in), fault.Conflict, true},
		{"throttled, and an item in the way", reasons(reason("ThrottlingError"), in), fault.Conflict, true},
		{"throttled", reasons(reason("ThrottlingError"), reason("None")), fault.Unavailable, false},
		{"out of capacity", reasons(reason("None"), reason("ProvisionedThroughputExceeded")), fault.Unavailable, false},
		{"a reason from the future", reasons(reason("None"), reason("Eclipse")), fault.Unavailable, false},
		{"too few reasons", reasons(in), fault.Unavailable, false},
		{"no reasons", failure(400, "TransactionCanceledException", ""), fault.Unavailable, false},
		{"still in progress", failure(400, "TransactionInProgressException", ""), fault.Unavailable, false},
		{"not valid", reasons(reason("None"), reason("ValidationError")), nil, false},
		{"too large", reasons(reason("ItemCollectionSizeLimitExceeded"), in), nil, false},
		{"another request's token", failure(400, "IdempotentParameterMismatchException", ""), nil, false},
		{"a request that is not valid", failure(400, "ValidationException", ""), nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := told(c.answer).tables(t).Commit(t.Context(), table.Inserted(head("c")), table.Inserted(order("o")))
			if c.want == nil && !kindless(err) || c.want != nil && !errors.Is(err, c.want) {
				t.Fatalf("Commit: got %v, want %v", err, c.want)
			}
			conflict, ok := errors.AsType[*table.Conflict](err)
			if !ok {
				return
			}
			want := []*table.Item{nil, nil}
			if c.found {
				want[1] = &table.Item{Key: order("o").Key, Schema: 1, Revision: 7, Data: []byte(`{}`)}
			}
			if d := cmp.Diff(want, conflict.Found); d != "" {
				t.Errorf("Conflict.Found: got (+) and want (-) differ:\n%s", d)
			}
		})
	}
}

func TestTransactionThatMeetsItsOwnTokenIsASuccess(t *testing.T) {
	s := &scripted{lines: []func(call) answer{func(call) answer { return broken }, func(c call) answer {
		token, _ := c.at("ClientRequestToken").(string)
		return reasons(reason("None"), `{"Code":"ConditionalCheckFailed","Item":`+lying("o", token, "1")+`}`)
	}}}
	if err := s.tables(t).Commit(t.Context(), table.Inserted(head("c")), table.Inserted(order("o"))); err != nil {
		t.Errorf("Commit: got %v, want success", err)
	}
}

func TestErrorsShowNothingOfTheItems(t *testing.T) {
	loud := head("c")
	loud.Data = []byte(`{"deep":{"secret":"s3cr3t","":1}}`)
	taken := head("c")
	taken.Data = []byte(`{"token":"s3cr3t"}`)
	for _, c := range []struct {
		name   string
		answer answer
		write  table.Write
	}{
		{"an outage", broken, table.Inserted(head("c"))},
		{"an item in the way", failure(400, "ConditionalCheckFailedException",
			`"Item":{"secret":{"S":"s3cr3t"},"revision":{"N":"1"},"schema":{"N":"1"}}`), table.Inserted(head("c"))},
		{"an item that cannot be read", failure(400, "ConditionalCheckFailedException",
			`"Item":{"secret":{"SS":["s3cr3t"]},"revision":{"N":"1"},"schema":{"N":"1"}}`), table.Inserted(head("c"))},
		{"a nameless member", fine, table.Inserted(loud)},
		{"a taken name", fine, table.Inserted(taken)},
	} {
		err := told(c.answer).tables(t).Commit(t.Context(), c.write)
		if err == nil || strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("%s: got %v, want an error that does not show the item", c.name, err)
		}
	}
}

// Package dbtest is the contract of the port table as tests: each is named after a
// promise that code above the port relies on, and every implementation runs all of
// them, so that what holds in memory holds on DynamoDB.
package dbtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/fault"
	"grantline/shared/table"
)

// Run proves the promises on the tables that open gives. It calls open once: each
// promise keeps to a scope of its own, as projects do in one deployment.
func Run(t *testing.T, open func(t *testing.T) table.Tables) {
	tables := open(t)
	for _, p := range promises {
		t.Run(p.name, func(t *testing.T) {
			p.keep(t, &bench{
				Tables: tables,
				scope:  table.Scope{Project: fmt.Sprintf("p%d", scopes.Add(1)), Environment: "sandbox"},
			})
		})
	}
}

// scopes counts the scopes in use, for several suites may share one set of tables.
var scopes atomic.Int64

var promises = []struct {
	name string
	keep func(t *testing.T, b *bench)
}{
	{"ItemIsInsertedOnce", itemIsInsertedOnce},
	{"AbsentItemIsNotFound", absentItemIsNotFound},
	{"OnlyWhatWasReadIsReplaced", onlyWhatWasReadIsReplaced},
	{"OnlyWhatWasReadIsRemoved", onlyWhatWasReadIsRemoved},
	{"RevisionGrowsByExactlyOne", revisionGrowsByExactlyOne},
	{"LostRaceNamesTheItemInTheWay", lostRaceNamesTheItemInTheWay},
	{"CheckHoldsOnlyWhileUnchanged", checkHoldsOnlyWhileUnchanged},
	{"CommitIsAllOrNothing", commitIsAllOrNothing},
	{"OneFailedConditionChangesNothing", oneFailedConditionChangesNothing},
	{"OnlyKeyAndRevisionOfARemovalCount", onlyKeyAndRevisionOfARemovalCount},
	{"ConflictIsInTheOrderOfTheWrites", conflictIsInTheOrderOfTheWrites},
	{"HundredWritesHappenTogether", hundredWritesHappenTogether},
	{"CancelledContextIsUnavailable", cancelledContextIsUnavailable},
	{"NonsenseIsRefused", nonsenseIsRefused},

	{"OneOfManyInsertsWins", oneOfManyInsertsWins},
	{"OneOfManyTransactionsWins", oneOfManyTransactionsWins},
	{"OneOfManyChangesWins", oneOfManyChangesWins},
	{"WhatIsCheckedDoesNotChangeMeanwhile", whatIsCheckedDoesNotChangeMeanwhile},
	{"CountersLoseNothing", countersLoseNothing},

	{"WhatIsWrittenIsReadAtOnce", whatIsWrittenIsReadAtOnce},
	{"RemovalIsSeenAtOnce", removalIsSeenAtOnce},
	{"GlanceComesToSeeWhatIsWritten", glanceComesToSeeWhatIsWritten},
	{"WhatIsReadIsACopy", whatIsReadIsACopy},
	{"DataComesBackAsItWas", dataComesBackAsItWas},
	{"BytesInKeysComeBack", bytesInKeysComeBack},
	{"SealedBytesComeBackAndGo", sealedBytesComeBackAndGo},
	{"LargeItemFits", largeItemFits},
	{"ExpiryComesBackAndGoes", expiryComesBackAndGoes},
	{"WhatHasExpiredMayOrMayNotBeThere", whatHasExpiredMayOrMayNotBeThere},

	{"AllAreReadInTheOrderOfTheKeys", allAreReadInTheOrderOfTheKeys},
	{"ThousandItemsAreReadAtOnce", thousandItemsAreReadAtOnce},

	{"PartitionIsSorted", partitionIsSorted},
	{"BoundsAreInclusive", boundsAreInclusive},
	{"PagesMissNothing", pagesMissNothing},
	{"PageGoesOnAfterItsLastItemIsGone", pageGoesOnAfterItsLastItemIsGone},
	{"LargePageEndsEarlyAndGoesOn", largePageEndsEarlyAndGoesOn},
	{"ForeignCursorIsMalformed", foreignCursorIsMalformed},
	{"IndexIsSparse", indexIsSparse},
	{"IndexIsSortedAndBounded", indexIsSortedAndBounded},
	{"SameSortKeyInAnIndexMissesNothing", sameSortKeyInAnIndexMissesNothing},
	{"EveryIndexWorks", everyIndexWorks},
	{"IndexFollowsItsItem", indexFollowsItsItem},
	{"EqualSortKeysArePagedWithinBounds", equalSortKeysArePagedWithinBounds},
	{"IndexPageGoesOnAfterItsLastEntryIsGone", indexPageGoesOnAfterItsLastEntryIsGone},
}

// bench is what a promise works on.
type bench struct {
	table.Tables
	scope table.Scope
}

// key names an item in this promise's scope; sort is used where the table has one.
func (b *bench) key(in table.Table, partition, sort string) table.Key {
	k := table.Key{Table: in, Partition: b.scope.Key(partition)}
	if in.Sorted() {
		k.Sort = sort
	}
	return k
}

func (b *bench) order(id string) table.Item {
	return table.Item{Key: b.key(table.Orders, id, ""), Schema: 1, Data: []byte(`{"state":"claimed"}`)}
}

// write commits and fails the test unless it succeeds.
func (b *bench) write(t *testing.T, writes ...table.Write) {
	t.Helper()
	if err := b.Commit(t.Context(), writes...); err != nil {
		t.Fatalf("Commit: got %v, want success", err)
	}
}

// read gets an item and fails the test unless it is there.
func (b *bench) read(t *testing.T, k table.Key) table.Item {
	t.Helper()
	i, err := b.Get(t.Context(), k)
	if err != nil {
		t.Fatalf("Get %s: got %v, want an item", k.Partition, err)
	}
	return i
}

// missing fails the test if the item is there.
func (b *bench) missing(t *testing.T, k table.Key) {
	t.Helper()
	if i, err := b.Get(t.Context(), k); !errors.Is(err, fault.NotFound) {
		t.Errorf("Get %s: got %+v, %v, want fault.NotFound", k.Partition, i, err)
	}
}

// conflict commits and fails the test unless a conflict is the answer.
func (b *bench) conflict(t *testing.T, writes ...table.Write) *table.Conflict {
	t.Helper()
	err := b.Commit(t.Context(), writes...)
	c, ok := errors.AsType[*table.Conflict](err)
	if !ok || !errors.Is(err, fault.Conflict) {
		t.Fatalf("Commit: got %v, want a *table.Conflict of kind fault.Conflict", err)
	}
	if len(c.Found) != len(writes) {
		t.Fatalf("Conflict.Found: got %d entries, want %d", len(c.Found), len(writes))
	}
	return c
}

// page queries and fails the test unless there is an answer within the limit.
func (b *bench) page(t *testing.T, q table.Query) table.Page {
	t.Helper()
	p, err := b.Query(t.Context(), q)
	if err != nil {
		t.Fatalf("Query %+v: got %v, want a page", q, err)
	}
	if len(p.Items) > q.Limit {
		t.Fatalf("Query %+v: got %d items, want at most the limit", q, len(p.Items))
	}
	return p
}

// walk follows a query to its last page.
func (b *bench) walk(t *testing.T, q table.Query) []table.Item {
	t.Helper()
	var all []table.Item
	for range 10_000 {
		p := b.page(t, q)
		all = append(all, p.Items...)
		if p.Next == "" {
			return all
		}
		q.After = p.Next
	}
	t.Fatalf("Query %+v: got 10,000 pages, want an end", q)
	return nil
}

func sorts(items []table.Item) []string {
	var all []string
	for _, i := range items {
		if i.Key.Table.Sorted() {
			all = append(all, i.Key.Sort)
		} else {
			all = append(all, i.Index.Sort)
		}
	}
	return all
}

// same fails the test unless got is want: with Data compared as JSON, numbers by their
// exact value.
func same(t *testing.T, what string, got, want table.Item) {
	t.Helper()
	if d := cmp.Diff(meaning(t, want), meaning(t, got)); d != "" {
		t.Errorf("%s: got (+) and want (-) differ:\n%s", what, d)
	}
}

func meaning(t *testing.T, i table.Item) map[string]any {
	t.Helper()
	read := json.NewDecoder(bytes.NewReader(i.Data))
	read.UseNumber()
	var data any
	if err := read.Decode(&data); err != nil && !errors.Is(err, io.EOF) {
		t.Fatalf("Data: got %q, want JSON: %v", i.Data, err)
	}
	return map[string]any{
		"key": i.Key, "schema": i.Schema, "revision": i.Revision, "index": i.Index, "data": exact(data), "sealed": string(i.Sealed),
		"expires": i.Expires,
	}
}

// exact replaces each number by a text that is the same for the same value.
func exact(v any) any {
	switch v := v.(type) {
	case json.Number:
		if r, ok := new(big.Rat).SetString(v.String()); ok {
			return "number " + r.RatString()
		}
		return v
	case []any:
		for n := range v {
			v[n] = exact(v[n])
		}
	case map[string]any:
		for name := range v {
			v[name] = exact(v[name])
		}
	}
	return v
}

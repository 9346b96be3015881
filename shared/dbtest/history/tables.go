package history

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strings"

	"github.com/anishathalye/porcupine"

	"grantline/shared/fault"
	"grantline/shared/table"
)

// Tables are tables whose reads and commits are recorded, as far as they are promised to be
// strongly consistent: not a Glance, nothing of an index. Everything ever written to the items
// has to pass through here.
type Tables struct {
	table.Tables
	History *History
}

var _ table.Tables = (*Tables)(nil)

// cell is an item as a history has it: none has revision 0.
type cell struct {
	revision int64
	content  string
}

type read struct{ key table.Key }

type commit struct{ writes []written }

type written struct {
	change table.Change
	key    table.Key
	cell   // the revision that was read, and what is to be
}

type done struct{}

// refused has the items that stood in the way, where the table said which.
type refused struct{ found []*cell }

// contentOf is all of an item but its key and revision, the same for the same.
func contentOf(i table.Item) string {
	var data any
	d := json.NewDecoder(bytes.NewReader(i.Data))
	d.UseNumber()
	if err := d.Decode(&data); err != nil {
		data = "no JSON: " + string(i.Data)
	}
	text, err := json.Marshal(data) // names in order
	if err != nil {
		panic(err) // it was decoded just now
	}
	content := fmt.Sprintf("%d %s", i.Schema, text)
	if len(i.Sealed) > 0 {
		content += fmt.Sprintf(" sealed %x", i.Sealed)
	}
	if i.Index != nil {
		content += fmt.Sprintf(" index %q", *i.Index)
	}
	if !i.Expires.IsZero() {
		content += fmt.Sprintf(" expires %d", i.Expires.Unix())
	}
	return content
}

func cellOf(i table.Item) cell { return cell{i.Revision, contentOf(i)} }

// Get records one read.
func (t *Tables) Get(ctx context.Context, k table.Key) (table.Item, error) {
	began := t.History.Begin()
	i, err := t.Tables.Get(ctx, k)
	switch {
	case err == nil:
		t.History.Ended(began, read{k}, cellOf(i))
	case errors.Is(err, fault.NotFound):
		t.History.Ended(began, read{k}, cell{})
	}
	return i, err
}

// GetAll records a read of each: together they are no snapshot.
func (t *Tables) GetAll(ctx context.Context, keys []table.Key) ([]table.Item, error) {
	began := t.History.Begin()
	all, err := t.Tables.GetAll(ctx, keys)
	if err != nil {
		return all, err
	}
	found := map[table.Key]cell{}
	for _, i := range all {
		found[i.Key] = cellOf(i)
	}
	for _, k := range keys {
		t.History.Ended(began, read{k}, found[k])
	}
	return all, nil
}

// Query records a read of each item that was found in a table.
func (t *Tables) Query(ctx context.Context, q table.Query) (table.Page, error) {
	began := t.History.Begin()
	page, err := t.Tables.Query(ctx, q)
	if err == nil && !q.Indexed {
		for _, i := range page.Items {
			t.History.Ended(began, read{i.Key}, cellOf(i))
		}
	}
	return page, err
}

// Commit records what was to be written, and whether it was.
func (t *Tables) Commit(ctx context.Context, writes ...table.Write) error {
	var c commit
	for _, w := range writes {
		part := written{w.Change, w.Item.Key, cell{revision: w.Item.Revision}}
		if w.Change == table.Insert || w.Change == table.Replace {
			part.content = contentOf(w.Item)
		}
		c.writes = append(c.writes, part)
	}
	began := t.History.Begin()
	err := t.Tables.Commit(ctx, writes...)
	overtaken, ok := errors.AsType[*table.Conflict](err)
	switch {
	case err == nil:
		t.History.Ended(began, c, done{})
	case ok:
		answer := refused{make([]*cell, len(writes))}
		for n, f := range overtaken.Found {
			if f != nil {
				is := cellOf(*f)
				answer.found[n] = &is
			}
		}
		t.History.Ended(began, c, answer)
	default:
		t.History.Lost(began, c)
	}
	return err
}

// OfTables is the model of what Tables recorded: items with revisions, all absent at first.
func OfTables() porcupine.Model {
	return porcupine.Model{
		Partition: together,
		Init:      func() any { return map[table.Key]cell{} },
		Step: func(state, input, output any) (bool, any) {
			items := state.(map[table.Key]cell)
			if r, ok := input.(read); ok {
				return items[r.key] == output.(cell), state
			}
			return input.(commit).step(items, output)
		},
		Equal: func(a, b any) bool { return maps.Equal(a.(map[table.Key]cell), b.(map[table.Key]cell)) },
		Hash: func(state any) uint64 {
			sum := uint64(0) // of all items, in any order
			for k, c := range state.(map[table.Key]cell) {
				h := fnv.New64a()
				fmt.Fprint(h, k, c)
				sum += h.Sum64()
			}
			return sum
		},
		DescribeOperation: func(input, output any) string { return describe(input, output) },
	}
}

// step is what a commit with that answer makes of the items, and whether it can have it.
func (c commit) step(items map[table.Key]cell, answer any) (bool, map[table.Key]cell) {
	holds := true
	for _, w := range c.writes {
		holds = holds && items[w.key].revision == w.revision
	}
	switch answer := answer.(type) {
	case refused:
		for n, found := range answer.found {
			if found == nil {
				continue // it held, or nothing is there, or the table could not say
			}
			if w := c.writes[n]; items[w.key] != *found || found.revision == w.revision {
				return false, items
			}
		}
		return true, items
	case done:
		if !holds {
			return false, items
		}
	default: // lost: at an instant at which it cannot happen, it does not
		if !holds {
			return true, items
		}
	}
	next := maps.Clone(items)
	for _, w := range c.writes {
		switch w.change {
		case table.Insert, table.Replace:
			next[w.key] = cell{w.revision + 1, w.content}
		case table.Remove:
			delete(next, w.key)
		case table.Check:
		}
	}
	return true, next
}

// together parts a history by items that no commit joins: what happens to one part says
// nothing about another.
func together(ops []porcupine.Operation) [][]porcupine.Operation {
	over := map[table.Key]table.Key{}
	var root func(k table.Key) table.Key
	root = func(k table.Key) table.Key {
		up, ok := over[k]
		if !ok || up == k {
			return k
		}
		over[k] = root(up)
		return over[k]
	}
	keys := func(op porcupine.Operation) []table.Key {
		if r, ok := op.Input.(read); ok {
			return []table.Key{r.key}
		}
		var all []table.Key
		for _, w := range op.Input.(commit).writes {
			all = append(all, w.key)
		}
		return all
	}
	for _, op := range ops {
		of := keys(op)
		for _, k := range of[1:] {
			over[root(k)] = root(of[0])
		}
	}
	places := map[table.Key]int{}
	var parts [][]porcupine.Operation
	for _, op := range ops {
		r := root(keys(op)[0])
		n, ok := places[r]
		if !ok {
			n = len(parts)
			places[r], parts = n, append(parts, nil)
		}
		parts[n] = append(parts[n], op)
	}
	return parts
}

func describe(input, output any) string {
	name := func(k table.Key) string {
		return strings.TrimSuffix(fmt.Sprintf("%s %s %s", k.Table, k.Partition, k.Sort), " ")
	}
	if r, ok := input.(read); ok {
		return fmt.Sprintf("read %s: %+v", name(r.key), output)
	}
	var parts []string
	for _, w := range input.(commit).writes {
		what := map[table.Change]string{table.Insert: "insert", table.Replace: "replace", table.Remove: "remove", table.Check: "check"}[w.change]
		parts = append(parts, fmt.Sprintf("%s %s %+v", what, name(w.key), w.cell))
	}
	text := "commit " + strings.Join(parts, " and ")
	switch answer := output.(type) {
	case done:
		return text + ": done"
	case refused:
		var found []string
		for _, f := range answer.found {
			if f == nil {
				found = append(found, "nothing")
			} else {
				found = append(found, fmt.Sprintf("%+v", *f))
			}
		}
		return text + ": refused, there is " + strings.Join(slices.Compact(found), ", ")
	}
	return text + ": no answer"
}

package memory

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"slices"
	"sort"

	"grantline/shared/fault"
	"grantline/shared/table"
)

// pageBytes is where a page ends though its limit is not reached, as DynamoDB's does.
const pageBytes = 1 << 20

// Query reads one page of a partition or of the index.
func (t *Tables) Query(ctx context.Context, q table.Query) (table.Page, error) {
	objectToQuery(q)
	var page table.Page
	err := t.do(ctx, Op{Method: "Query", Query: q}, func() (err error) {
		t.mu.RLock()
		defer t.mu.RUnlock()
		page, err = t.page(q)
		return err
	})
	if err != nil {
		return table.Page{}, err
	}
	return page, nil
}

func (t *Tables) page(q table.Query) (table.Page, error) {
	on := t.shelves[shelf{q.Table, q.Indexed, q.Partition}]
	if q.From != "" {
		on = on[sort.Search(len(on), func(n int) bool { return on[n].sort >= q.From }):]
	}
	if q.To != "" {
		on = on[:sort.Search(len(on), func(n int) bool { return on[n].sort > q.To })]
	}
	if q.After != "" {
		after, err := parseCursor(q)
		if err != nil {
			return table.Page{}, err
		}
		at, there := slices.BinarySearchFunc(on, after, place.compare)
		switch {
		case q.Backward:
			on = on[:at]
		case there:
			on = on[at+1:]
		default:
			on = on[at:]
		}
	}
	var page table.Page
	size := 0
	for n := range on {
		p := on[n]
		if q.Backward {
			p = on[len(on)-1-n]
		}
		var i table.Item
		if q.Indexed {
			entry := t.entries[p.key]
			i = table.Item{Key: p.key, Index: &entry}
		} else {
			i = cloned(t.items[p.key])
		}
		page.Items = append(page.Items, i)
		size += sizeOf(i)
		if n+1 < len(on) && (n+1 == q.Limit || size > pageBytes) {
			page.Next = cursorAt(q, p)
			break
		}
	}
	return page, nil
}

// cursor is what is in a Next: where the page ended, without the partition, which is
// the query's. So one that was tampered with leads nowhere else.
type cursor struct {
	Sort      string `json:"s"`
	Partition string `json:"k,omitempty"` // the item's own partition key, in an index
	Own       string `json:"o,omitempty"` // and its own sort key, if its table has them
}

func cursorAt(q table.Query, p place) string {
	c := cursor{Sort: p.sort}
	if q.Indexed {
		c.Partition, c.Own = p.key.Partition, p.key.Sort
	}
	text, err := json.Marshal(c)
	if err != nil {
		panic(err) // two strings can always be written
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

// parseCursor reads q.After. It may have come from a caller's request, so one that
// cannot be read is the caller's mistake and not a bug.
func parseCursor(q table.Query) (place, error) {
	var c cursor
	text, err := base64.RawURLEncoding.DecodeString(q.After)
	if err == nil {
		err = json.Unmarshal(text, &c)
	}
	outside := c.Sort == "" || c.Sort < q.From || q.To != "" && c.Sort > q.To
	if err != nil || outside || q.Indexed != (c.Partition != "") || (q.Indexed && q.Table.Sorted()) != (c.Own != "") {
		return place{}, fault.New(fault.Malformed, "cursor_malformed", "The cursor is not one that this list gave out.")
	}
	if q.Indexed {
		return place{c.Sort, table.Key{Table: q.Table, Partition: c.Partition, Sort: c.Own}}, nil
	}
	return place{c.Sort, table.Key{Table: q.Table, Partition: q.Partition, Sort: c.Sort}}, nil
}

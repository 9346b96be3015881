package memory

import (
	"context"
	"encoding/base64"
	"encoding/binary"
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
	if _, err := t.ask(ctx, func() Op { return Op{Method: "Query", Query: q} }); err != nil {
		return table.Page{}, err
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.page(q)
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
	if len(on) == 0 {
		return table.Page{}, nil
	}
	most := min(q.Limit, len(on))
	page := table.Page{Items: make([]table.Item, 0, most)}
	var entries []table.Index // for the items to point into
	if q.Indexed {
		entries = make([]table.Index, most)
	}
	size := 0
	for n := range on {
		p := on[n]
		if q.Backward {
			p = on[len(on)-1-n]
		}
		var i table.Item
		if q.Indexed {
			entries[n] = *p.of.entry
			i = table.Item{Key: p.key, Index: &entries[n]}
		} else {
			i = Copy(*p.of.item)
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

// A cursor is where the page ended, without the partition, which is the query's. So one that
// was tampered with leads nowhere else. It is three texts, each after its length: the sort key,
// and in an index the item's own partition key and its own sort key, if its table has them.
func cursorAt(q table.Query, p place) string {
	var room, encoded [512]byte // most are shorter
	text := appendText(room[:0], p.sort)
	if q.Indexed {
		text = appendText(appendText(text, p.key.Partition), p.key.Sort)
	}
	return string(base64.RawURLEncoding.AppendEncode(encoded[:0], text))
}

func appendText(to []byte, text string) []byte {
	return append(binary.AppendUvarint(to, uint64(len(text))), text...)
}

// cutText takes a text off the front of what appendText wrote; one that is cut short is empty
// and has nothing behind it.
func cutText(from []byte) (text string, rest []byte) {
	n, width := binary.Uvarint(from)
	if width <= 0 || n > uint64(len(from)-width) { //nolint:gosec // width is what was read of it
		return "", nil
	}
	return string(from[width:][:n]), from[width:][n:]
}

// parseCursor reads q.After. It may have come from a caller's request, so one that
// cannot be read is the caller's mistake and not a bug.
func parseCursor(q table.Query) (place, error) {
	text, err := base64.RawURLEncoding.DecodeString(q.After)
	at, text := cutText(text)
	var partition, own string
	if q.Indexed {
		partition, text = cutText(text)
		own, text = cutText(text)
	}
	outside := at == "" || at < q.From || q.To != "" && at > q.To
	if err != nil || len(text) > 0 || outside || q.Indexed != (partition != "") || (q.Indexed && q.Table.Sorted()) != (own != "") {
		return place{}, fault.New(fault.Malformed, "cursor_malformed", "The cursor is not one that this list gave out.")
	}
	if q.Indexed {
		return place{sort: at, key: table.Key{Table: q.Table, Partition: partition, Sort: own}}, nil
	}
	return place{sort: at, key: table.Key{Table: q.Table, Partition: q.Partition, Sort: at}}, nil
}

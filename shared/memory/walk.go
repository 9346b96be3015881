package memory

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"hash/fnv"
	"slices"

	"grantline/shared/fault"
	"grantline/shared/table"
)

// Walk gives the partition keys in a stretch of a table; see rebuild.Walker.
func (t *Tables) Walk(ctx context.Context, in table.Table, segment, segments, limit int, after string) (partitions []string, next string, err error) {
	if limit < 1 || limit > maxPage || segments < 1 || segment < 0 || segment >= segments || !slices.Contains(table.Names, in) {
		object("a walk through %s, segment %d of %d, of %d items", in, segment, segments, limit)
	}
	var last table.Key
	if after != "" {
		text, err := base64.RawURLEncoding.DecodeString(after)
		if err == nil {
			err = json.Unmarshal(text, &last)
		}
		if err != nil || last.Table != in {
			return nil, "", fault.New(fault.Malformed, "cursor_malformed", "The cursor is not one that this walk gave out.")
		}
	}
	if _, err := t.ask(ctx, func() Op {
		return Op{Method: "Walk", Query: table.Query{Table: in, Limit: limit, After: after}}
	}); err != nil {
		return nil, "", err
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	var keys []table.Key
	for k, r := range t.records {
		if r.item != nil && k.Table == in && segmentOf(k.Partition, segments) == segment && (after == "" || compareKeys(k, last) > 0) {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, compareKeys)
	for n, k := range keys {
		if k.Partition != last.Partition || n == 0 && after == "" {
			partitions = append(partitions, k.Partition)
		}
		last = k
		if n+1 == limit && n+1 < len(keys) {
			text, err := json.Marshal(k)
			if err != nil {
				return nil, "", err
			}
			return partitions, base64.RawURLEncoding.EncodeToString(text), nil
		}
	}
	return partitions, "", nil
}

func segmentOf(partition string, segments int) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(partition))        // never fails
	return int(h.Sum32() % uint32(segments)) //nolint:gosec // it is above zero
}

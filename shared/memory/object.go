package memory

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"grantline/shared/table"
)

// What DynamoDB takes at most, by "Service, account, and table quotas in Amazon
// DynamoDB"; the last two are the port's own.
const (
	maxItem      = 400 << 10 // bytes of an item, names included
	maxPartition = 2048      // bytes of a partition key
	maxSort      = 1024      // bytes of a sort key
	maxDigits    = 38        // significant digits of a number
	maxExponent  = 125       // of a number written d.ddd·10^n
	minExponent  = -130
	maxDepth     = 30 // of objects and arrays within Data; DynamoDB allows 32 in all
	maxWrites    = 100
	maxKeys      = 1000
	maxPage      = 1000
)

// reserved are the attributes that an item has besides the members of its Data.
var reserved = []string{"pk", "sk", "revision", "schema", "token", "indexPartition", "indexSort", "hint", "sealed", "expires"}

// indexed are the tables that have an index.
var indexed = []table.Table{table.Orders, table.Purchases, table.Customers, table.Subscriptions, table.Endpoints}

// object is the tripwire: what it is called for can only be asked by a bug.
func object(format string, args ...any) {
	panic("memory: bug in the caller: " + fmt.Sprintf(format, args...))
}

func objectToKey(k table.Key) {
	switch {
	case !slices.Contains(table.Names, k.Table):
		object("there is no table %q", k.Table)
	case k.Partition == "" || len(k.Partition) > maxPartition || !utf8.ValidString(k.Partition):
		object("a partition key in %s must be 1 to %d bytes of UTF-8", k.Table, maxPartition)
	case k.Table.Sorted() && (k.Sort == "" || len(k.Sort) > maxSort || !utf8.ValidString(k.Sort)):
		object("a sort key in %s must be 1 to %d bytes of UTF-8", k.Table, maxSort)
	case !k.Table.Sorted() && k.Sort != "":
		object("%s has no sort key", k.Table)
	}
}

func objectToQuery(q table.Query) {
	switch {
	case !slices.Contains(table.Names, q.Table):
		object("there is no table %q", q.Table)
	case q.Indexed && !slices.Contains(indexed, q.Table):
		object("%s has no index to query", q.Table)
	case !q.Indexed && !q.Table.Sorted():
		object("%s has no sort key to query by", q.Table)
	case q.Partition == "":
		object("a query of %s without a partition", q.Table)
	case q.Limit < 1 || q.Limit > maxPage:
		object("a query of %s with limit %d, not 1 to %d", q.Table, q.Limit, maxPage)
	}
}

func objectToWrites(writes []table.Write, trusted bool) {
	if len(writes) < 1 || len(writes) > maxWrites {
		object("a Commit of %d writes, not 1 to %d", len(writes), maxWrites)
	}
	seen := map[table.Key]bool{}
	for _, w := range writes {
		i := w.Item
		objectToKey(i.Key)
		if seen[i.Key] {
			object("a Commit with two writes on one item of %s", i.Key.Table)
		}
		seen[i.Key] = true
		switch w.Change {
		case table.Insert:
			if i.Revision != 0 {
				object("an Insert into %s of an item read at revision %d", i.Key.Table, i.Revision)
			}
			objectToContent(i, trusted)
		case table.Replace:
			objectToRevision(i)
			objectToContent(i, trusted)
		case table.Remove, table.Check:
			objectToRevision(i)
		default:
			object("there is no change %d", w.Change)
		}
	}
}

func objectToRevision(i table.Item) {
	if i.Revision < 1 {
		object("revision %d of an item in %s was never read", i.Revision, i.Key.Table)
	}
}

func objectToContent(i table.Item, trusted bool) {
	if x := i.Index; x != nil {
		switch {
		case !slices.Contains(indexed, i.Key.Table):
			object("%s has no index", i.Key.Table)
		case x.Partition == "" || len(x.Partition) > maxPartition || !utf8.ValidString(x.Partition),
			x.Sort == "" || len(x.Sort) > maxSort || !utf8.ValidString(x.Sort):
			object("an index entry of %s with an empty, oversized or unreadable key", i.Key.Table)
		}
	}
	if !i.Expires.IsZero() && i.Expires.Unix() < 1 {
		object("an item in %s that expires before there were tables", i.Key.Table)
	}
	if n := sizeOf(i); n > maxItem {
		object("an item of %d bytes in %s; %d are the most", n, i.Key.Table, maxItem)
	}
	if trusted {
		return
	}
	if !utf8.Valid(i.Data) {
		object("Data of an item in %s is not UTF-8", i.Key.Table)
	}
	read := json.NewDecoder(bytes.NewReader(i.Data))
	read.UseNumber()
	var members map[string]any
	if err := read.Decode(&members); err != nil || members == nil {
		object("Data of an item in %s is not a JSON object", i.Key.Table)
	}
	if _, err := read.Token(); err != io.EOF {
		object("Data of an item in %s goes on after its JSON object", i.Key.Table)
	}
	for name := range members {
		if slices.Contains(reserved, name) {
			object("Data of an item in %s has a member %q, a name that is taken", i.Key.Table, name)
		}
	}
	objectToValue(i.Key.Table, members, 0)
}

func objectToValue(in table.Table, v any, depth int) {
	if depth > maxDepth {
		object("Data of an item in %s is nested more than %d deep", in, maxDepth)
	}
	switch v := v.(type) {
	case map[string]any:
		for name, v := range v {
			if name == "" {
				object("Data of an item in %s has a member without a name", in)
			}
			objectToValue(in, v, depth+1)
		}
	case []any:
		for _, v := range v {
			objectToValue(in, v, depth+1)
		}
	case json.Number:
		if !storable(v.String()) {
			object("Data of an item in %s has a number of more than %d digits or out of range", in, maxDigits)
		}
	}
}

// storable reports whether DynamoDB keeps a number exactly.
func storable(n string) bool {
	mantissa, exponent, _ := strings.Cut(strings.ToLower(strings.TrimPrefix(n, "-")), "e")
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits := strings.TrimLeft(whole+fraction, "0")
	if digits == "" {
		return true // zero, whatever its exponent
	}
	power := 0
	if exponent != "" {
		if _, err := fmt.Sscanf(exponent, "%d", &power); err != nil {
			return false
		}
	}
	leading := len(whole+fraction) - len(digits)
	power += len(whole) - leading - 1 // of the first digit that counts
	return len(strings.TrimRight(digits, "0")) <= maxDigits && power >= minExponent && power <= maxExponent
}

// sizeOf is about what DynamoDB would count, from the bytes of the JSON.
func sizeOf(i table.Item) int {
	n := len(i.Key.Partition) + len(i.Key.Sort) + len(i.Data) + len(i.Sealed)
	if i.Index != nil {
		n += len(i.Index.Partition) + len(i.Index.Sort) + len(i.Index.Hint)
	}
	return n
}

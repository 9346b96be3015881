package memory

import (
	"fmt"
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
	for n, w := range writes {
		i := w.Item
		objectToKey(i.Key)
		if slices.ContainsFunc(writes[:n], func(w table.Write) bool { return w.Item.Key == i.Key }) {
			object("a Commit with two writes on one item of %s", i.Key.Table)
		}
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
	if !trusted {
		objectToData(i.Key.Table, i.Data)
	}
}

// storable reports whether DynamoDB keeps a number exactly.
func storable(n string) bool {
	if len(n) <= maxDigits && strings.Trim(n, "0123456789") == "" {
		return true
	}
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

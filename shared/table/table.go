// Package table is the port to where records are kept. It knows items, keys and one
// kind of condition: "as I last saw it". An item is inserted if absent or replaced if
// its revision is still the one that was read, so every rule about what may follow
// what is decided by a pure function over the item read, and a write that was
// overtaken fails and is decided anew. Nouns return writes; one Commit makes them all
// happen, or none.
package table

import (
	"context"
	"fmt"
	"strings"
	"time"

	"grantline/shared/fault"
)

// Table is the name of a table, without the deployment's prefix.
type Table string

// The tables. All have a partition key; only Customers has a sort key.
const (
	Orders        Table = "orders"
	Purchases     Table = "purchases"
	Customers     Table = "customers"
	Subscriptions Table = "subscriptions"
	Notices       Table = "notices"
	Endpoints     Table = "endpoints"
)

// Names lists every table.
var Names = []Table{Orders, Purchases, Customers, Subscriptions, Notices, Endpoints}

// Sorted reports whether the table's items have a sort key.
func (t Table) Sorted() bool { return t == Customers }

// Scope is the project and environment that every key begins with, so that several
// apps, and their sandboxes, live in one deployment without seeing each other.
type Scope struct {
	Project     string // [a-z0-9-]{1,32}
	Environment string // production or sandbox
}

// Default is the scope of a deployment with one app.
var Default = Scope{Project: "default", Environment: "production"}

// String is "project/environment".
func (s Scope) String() string { return s.Project + "/" + s.Environment }

// Key makes the partition key of parts within the scope, joined by '#'. Only the last
// part may contain a '#'; another that does is a caller's bug.
func (s Scope) Key(parts ...string) string {
	keyPart(s.Project)
	keyPart(s.Environment)
	for _, p := range parts[:len(parts)-1] {
		keyPart(p)
	}
	size := len(s.Project) + 1 + len(s.Environment)
	for _, p := range parts {
		size += 1 + len(p)
	}
	var key strings.Builder
	key.Grow(size)
	key.WriteString(s.Project)
	key.WriteByte('#')
	key.WriteString(s.Environment)
	for _, p := range parts {
		key.WriteByte('#')
		key.WriteString(p)
	}
	return key.String()
}

func keyPart(p string) {
	if p == "" || strings.IndexByte(p, '#') >= 0 {
		panic(fmt.Sprintf("table: bug in the caller: %q cannot be part of a key", p))
	}
}

// Key names one item.
type Key struct {
	Table     Table
	Partition string
	Sort      string // "" where the table has no sort key
}

// Item is one record. Data is one JSON object; the adapter keeps its members as
// attributes of their own, so that a person can read the table.
type Item struct {
	Key      Key
	Schema   int   // version of Data's shape; code reads its own and the one before
	Revision int64 // 0 before it is stored; one more with each write
	Data     []byte
	// Sealed is one value that only its owner can read, kept as bytes, since as text it
	// would take a third more room; nil if there is none.
	Sealed []byte
	Index  *Index // nil: not in the table's index
	// Expires is when nobody needs the item any more, to the second: at any time after
	// that the table may drop it, and until it does the item is there, stands in the way of
	// an Insert, and is for its reader to pass over. Zero: never. An index does not carry it.
	Expires time.Time
}

// Expired says whether the item should be passed over at that instant.
func (i Item) Expired(now time.Time) bool { return !i.Expires.IsZero() && !now.Before(i.Expires) }

// Index is an item's entry in its table's one sparse index: "due" of Subscriptions and of
// Endpoints, "check" of Purchases, "subscription" of Orders and "outbox" of Customers. It is
// read eventually consistent.
type Index struct {
	Partition string
	Sort      string
	Hint      string // carried along, so that a reader of the index need not read the item
}

// Change is what a Write does.
type Change int

// The changes.
const (
	Insert Change = iota + 1
	Replace
	Remove
	Check
)

// Write is one item's part of a Commit.
type Write struct {
	Change Change
	Item   Item // for Remove and Check only Key and Revision count
}

// Inserted stores an item whose key must be free.
func Inserted(i Item) Write { i.Revision = 0; return Write{Insert, i} }

// Replaced stores an item over the one that was read; i.Revision is the one read.
func Replaced(i Item) Write { return Write{Replace, i} }

// Removed takes away the item that was read.
func Removed(i Item) Write { return Write{Remove, i} }

// Unchanged makes the Commit fail unless the item still is as it was read.
func Unchanged(i Item) Write { return Write{Check, i} }

// Put inserts an item that was never stored and replaces one that was.
func Put(i Item) Write {
	if i.Revision == 0 {
		return Inserted(i)
	}
	return Replaced(i)
}

// Query asks for the items of one partition, or of one partition of the index,
// between two sort keys, ascending.
type Query struct {
	Table     Table
	Indexed   bool // ask the index; Items then have Key and Index only, no Data
	Partition string
	From, To  string // inclusive bounds of the sort key; "" leaves that side open
	Limit     int    // most items to return, 1 to 1000
	Backward  bool   // descending
	After     string // the Next of the page before
}

// Page is an answer to a Query.
type Page struct {
	Items []Item
	Next  string // "" on the last page
}

// Tables is where records are kept.
type Tables interface {
	// Get reads one item, strongly consistent. It returns fault.NotFound if there is
	// none and fault.Unavailable if that could not be found out.
	Get(ctx context.Context, k Key) (Item, error)
	// Glance reads one item as some replica has it, for half the price: it may be a
	// moment old, or be NotFound though just written.
	Glance(ctx context.Context, k Key) (Item, error)
	// GetAll reads up to 1,000 items, strongly consistent each, not as one snapshot.
	// Absent ones are left out; the order is that of the keys.
	GetAll(ctx context.Context, keys []Key) ([]Item, error)
	// Query reads one page: a table's partition strongly consistent, an index eventually.
	Query(ctx context.Context, q Query) (Page, error)
	// Commit makes 1 to 100 writes on different keys happen together or not at all.
	// One whose condition does not hold gives a *Conflict, and nothing is written.
	// fault.Unavailable means that it may or may not have happened: read again. A write
	// of this very call that was repeated on the way and met itself is a success.
	Commit(ctx context.Context, writes ...Write) error
}

// Conflict says which writes' conditions did not hold.
type Conflict struct {
	// Found has an entry for each write, in order: nil where the condition held or
	// nothing is stored there, else the item that stands in the way. It may be nil
	// as well where the table could not say (a transaction that met another).
	Found []*Item
}

// Error names the tables in the way.
func (c *Conflict) Error() string {
	var in []string
	for _, f := range c.Found {
		if f != nil {
			in = append(in, string(f.Key.Table))
		}
	}
	return "table: overtaken by another write in " + strings.Join(in, ", ")
}

// Unwrap makes it a fault.Conflict.
func (c *Conflict) Unwrap() error { return fault.Conflict }

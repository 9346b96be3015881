// Package dynamo keeps the tables of the port table in DynamoDB. Its one idea is that
// DynamoDB knows a single kind of condition, the revision that was read, and that a
// repeated request which meets its own write is told by the token that the write left.
//
// # An item
//
//	pk              S    Key.Partition
//	sk              S    Key.Sort, in customers only
//	revision        N    1 when inserted, one more with each write
//	schema          N    version of Data's shape
//	token           S    26 random characters, the same in all writes of one Commit
//	indexPartition  S    Index.Partition; absent, as the next two, without an Index
//	indexSort       S    Index.Sort
//	hint            S    Index.Hint; absent if empty
//	sealed          B    Sealed; absent if empty
//	expires         N    Expires in seconds since 1970; absent if zero. Notices has it for
//	                     its time to live, and DynamoDB takes a day or two to act on it
//	anything else        a member of Data under its own name: string S, number N, true
//	                     and false BOOL, null NULL, array L, object M
//
// A member of Data that has one of the names above, or none, is refused as a bug; inside
// of objects all names but the empty one are free. Numbers go in and out as they are
// written, never through a float: 38 digits, from 1e-130 to 9.99e125, by value and not by
// spelling (1.50 comes back as 1.5). What else JSON cannot tell apart is not kept either:
// the order of members, white space and escapes. Bytes are kept as the base64 that
// encoding/json makes of them. An item may have 400 KB in all.
//
// # Tables
//
//	table          key     index         holds
//	orders         pk      subscription  every movement of money
//	purchases      pk      check         who owns what a store sold, and how it stands
//	customers      pk, sk  outbox        head, profile, aliases, wallets, events
//	subscriptions  pk      due           agreements that we charge for
//	notices        pk                    what came in from outside
//	endpoints      pk      due           where events go, and how far they went
//
// An index has the keys indexPartition and indexSort and carries hint, and nothing else,
// so that it is small and is written only when an entry changes. It is sparse: a
// Replace puts the whole item, so an entry goes when Index is nil.
//
// # Items
//
// Every pk begins with project#environment#, which the list leaves out.
//
//	table          pk                     sk                 item                             written by
//	orders         <store>_<order>                           a store's order: what it granted, purchase: Insert; Replace with each newer
//	                                                         or nobody's yet; the newest word  word: refund, reversal, extension, claim
//	                                                         heard of it
//	orders         gl_<hash>                                 a charge: attempt of a period     billing: Insert is the claim; Replace closes it
//	orders         <caller's id>                             a charge on demand, indexed by    billing: as above; refunds are in the item
//	                                                         its subscription
//	purchases      <store>#<line>                            who owns a line, its last four    purchase: Insert, Replace
//	                                                         terms, how it goes on, by which
//	                                                         tokens it is asked about and what
//	                                                         the store is owed; indexed while
//	                                                         it is to be looked at
//	purchases      play#<hash of a token>                    the line that another token of    purchase: Insert
//	                                                         its chain belongs to
//	purchases      apple-revocation#<hash>                   whether a chain of certificates   apple: Insert, Replace; its index partition
//	                                                         is revoked; indexed when due      is apple-revocation
//	customers      cus_<hash>             #head              sources, number of last event;    purchase, billing, web: with each event;
//	                                                         or into whom it was merged;       delivery: when all was handed on
//	                                                         indexed while events wait
//	customers      cus_<hash>             #profile           the person                        with the customer; web
//	customers      cus_<hash>             #wallet#<currency> open lots, debt                   purchase, spends, credits, merges
//	customers      cus_<hash>             #conduct           refunds, measures, overrides;     purchase, web
//	                                                         none where nothing was refunded
//	customers      cus_<hash>             event#<12 digits>  what is told to others, and what  with the head, Insert
//	                                                         it changed: sources, ledger
//	customers      cus_<hash>             spend#<currency>#<reference>, unspend#…, credit#…    what was done under a reference: Insert;
//	                                                                                           Replace with each refund of a spend
//	customers      audit#<day>            <instant>#<id>     an act of a server key            web: Insert before it, Replace after it
//	customers      alias#<kind>#<value>   alias              which customer that is            Insert; Remove when a card is refused
//	subscriptions  <id>                                      an agreement; indexed while it    billing: Insert, Replace; Remove when
//	                                                         has a next step                   the card is refused at once
//	subscriptions  errand#<id>                               a wake-up beside an agreement's   billing: Insert, Replace; Remove when done
//	                                                         dates; indexed
//	subscriptions  cursor#<lane>#<n>                         how far a shard was handed over   billing.Fanout: Insert, Replace
//	subscriptions  cursor#<gateway>#busy, #pace              the last 429, and the pace since  billing: Insert, Replace
//	subscriptions  cursor#<gateway>#compared                 the last day held against the     billing: Insert, Replace
//	                                                         gateway's books
//	subscriptions  cursor#<gateway>#dispute#<id>             the last word of a dispute that    billing: Insert, Replace; expires
//	                                                         our books follow
//	endpoints      registry                                  the endpoints of a scope,         delivery: Insert, Replace
//	                                                         their secrets sealed
//	endpoints      delivery#<endpoint>#<customer>            how far an endpoint is with a     delivery: Insert, Replace; indexed while
//	                                                         customer's events                 something waits
//	endpoints      letter#<endpoint>#<customer>#<number>     events that it never took         delivery: Insert; Remove when sent again
//	endpoints      breaker#<endpoint>, cursor#<name>         how it answers; how far a         delivery: Insert, Replace
//	                                                         shard was handed over
//	notices        <provider>#<id>                           a notice, and what became of it;  notice.Desk: Insert, Replace
//	                                                         its ids and type, for 90 days
//	notices        progress#<provider>#<history>             how far a history of what was     notice.Missed: Insert, Replace
//	                                                         not delivered was read
//
// The index due has the partition <lane>#<shard> and sorts by <instant to the second>#<id>,
// or #errand:<id>. A lane is a gateway, a gateway's retries, or deliver. The hint of an
// agreement says which attempt was paid last and when. The index subscription has the
// partition <subscription> and sorts by <instant>#<orderId>, of charges on demand alone.
// The index check has the partition <store>#check#<0 to 7> and sorts by <instant to the
// second>#<line>.
//
// A claim of a purchase reads the customer's partition (1), the order and the line (2)
// and writes order, line, head and event, and the wallet if it is a consumable, in one
// transaction: 8 or 10. The customer's first one also writes profile and two aliases.
// A duplicate reads an order and the customer's partition and writes nothing. A line that
// is looked at again after its end has an index entry (1). What an unclaimed line holds is
// read by its first claim (1 for each of three sales at most) and written along (2 each).
//
// A notice of a renewal reads the order and the line (2), the customer's partition (1),
// and an alias where the sale names an account (1), and writes order, line, head and event
// in one transaction: 8, and 10 once the line has four terms, which take more than 1 KB.
// Its index entry moves (2). One of a sale that nobody has claimed writes order and line: 4.
// One that brings nothing new writes nothing; of a line that ended and is not renewed yet it
// moves the next look (2 and 2). The notice's own item comes on top (2).
//
// A claim at Google Play reads and writes the same, the pointers of a chain besides (2 each),
// and an entry, since what the store is owed comes with a time (1). That the store was told
// takes two reads of the line (2), and its write (1 to 2, a token has some 200 bytes) with its entry
// (1). So gems cost 11 and a subscription 12, with 2 of the index and 3 reads; an upgrade,
// which ends another order, 21 and 7, for its record has what both give (infra/bench). Each purchase is looked at again each 13
// days for 90 days.
//
// A review reads entries (0.5 for each shard of the eight) and a line (1), and then costs
// what a notice does; one that has no answer writes the line (1 or 2) and its entry (2).
// Reading a history of what was missed reads and writes its progress (1 and 1).
//
// A charge that succeeds reads the subscription twice (0.5 and 1) and the customer's
// partition (1), and writes 8: the claim 1, the close 1, and 6 for subscription, head
// and event in one transaction, which moves the index entry (2).
//
// A retry's claim takes its customer's turn along: 4 instead of 1. A charge on demand
// writes 16: 4 for order and errand, 8 for order, errand, head and event, 4 when it was held
// against the books a day later. A refund writes 4, and 8 with head and event, 10 if it
// takes back the running period's access.
//
// A spend reads the customer's partition (1) and its reference (1, and 1 more for each customer
// that was merged into this one) and writes head, wallet, event and the reference in one transaction:
// 8. A refund of one reads and writes the spend besides: 3 and 10. The same again reads the
// partition once more (3 and 4) and writes nothing.
//
// A signed notice writes 2, for it is written down before the look and after it; one that
// comes again after that writes none (the failed Insert costs 1). An unsigned one reads the
// order (1), writes nothing where there is none, and else 2 under the order's id.
//
// A comparison of all that customers hold (package rebuild) reads every item of orders and
// customers by a Scan, then each customer's partition and each order again, and of each
// customer with orders the partition once more for each of them, unless it is a long one.
//
// # Conditions
//
//	Insert    attribute_not_exists(pk)
//	Replace   revision = the one read
//	Remove    revision = the one read
//	Check     revision = the one read
//
// One write is a PutItem or DeleteItem; a lone Check is a strong GetItem and a
// comparison, since it writes nothing and so needs only one instant at which it was
// true; several writes are one TransactWriteItems. A failed condition answers with the
// item in the way (ALL_OLD), so nobody has to read it again.
//
// # Repeated and lost requests
//
// The SDK sends a request again when its answer is lost. A transaction has its token as
// ClientRequestToken, and DynamoDB answers the second as the first. A put that meets its
// own token has been made. Any other failed condition after an attempt that may have
// been carried out, no answer or a 5xx, is fault.Unavailable and not a conflict: our write
// may have been made and overtaken, and a removal leaves no token to tell it by.
//
// A transaction that meets another one is a conflict without an item. DynamoDB Local
// never does this. Requests that DynamoDB calls invalid are bugs and have no kind. All
// else is fault.Unavailable: throttling, timeouts, 5xx, an ended context, and a table or
// permission that is missing.
//
// # Units
//
// An item is counted in started KB when written and in started 4 KB when read.
//
//	Get                      1 read for each 4 KB
//	Glance                   0.5 read for each 4 KB
//	GetAll                   as Get, for each item
//	an item that is absent   1 read, 0.5 for a Glance
//	Query of a partition     1 read for each 4 KB of all items together
//	Query of an index        0.5 read for each 4 KB of all entries together
//	one Insert, Replace      1 write for each KB of the larger of old and new
//	one Remove               1 write for each KB of the old
//	one Check                1 read for each 4 KB
//	in a transaction         twice the writes; a Check counts as a write
//	a failed condition       as the write, but the answer does not say so
//	index entry              1 write when it appears, goes, or its hint changes;
//	                         2 when it moves; 0 when it stays
//
// Transactions write an index at the plain price. DynamoDB Local counts that twice, and
// an absent item of a GetAll not at all.
package dynamo

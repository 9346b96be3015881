// Package purchase is the book of what customers hold from stores: who owns it, how it
// stands, and what it granted, once.
//
// Everything goes one way whatever brings it, a claim, a notice or a review: look at the
// store, compare its words with our own records, and write the order and its line together
// with what they grant in one transaction whose condition is that all is as it was read.
// The newest word about an order counts, and which of a line's sales counts follows from
// those alone. So words that come twice, late, in any order or at once, and what was cut
// off and repeated, end in the same records and the same answer.
//
//	(none) ──paid, claimed──▶ granted ◀──undone── refunded
//	   │                        ▲ │                  ▲
//	   │                   claim│ └────refunded──────┤
//	   └──────paid──────▶ unclaimed ───refunded──────┘
//
// What is pending, failed, forged or out of reach writes no order. At a store with tokens a
// pending claim is written in its line, for it goes once paid to whoever claimed it.
package purchase

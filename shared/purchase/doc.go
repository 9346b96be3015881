// Package purchase is the book of what customers hold from stores: who owns it, how it
// stands, and what it granted, once.
//
// A claim goes one way whatever sends it: look at the store, compare with our own
// records, write the order together with what it grants in one transaction whose
// condition is that the order was not there. Two claims of one order, or a claim that
// was cut off and repeated, end in the same record and the same answer.
//
//	(none) ──paid──▶ granted ──refunded──▶ refunded
//
// What is pending, failed, forged or out of reach writes nothing.
package purchase

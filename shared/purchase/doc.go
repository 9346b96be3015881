// Package purchase is the book of what customers hold from stores: who owns it, how it
// stands, and what it granted, once.
package purchase

// Package bank is the gateways as they are, on the other side of billing.Gateway: Toss, which
// makes one payment of a request that comes twice, and Dodo, which makes two.
//
// The one idea: money moves here and nowhere else, so here it is seen whether it moved once. A
// call crosses a port of the World as a request of the real adapter crosses the network: one
// crossing for each request that the adapter makes, the answers of which are what the adapter
// makes of the provider's. People (the methods that begin with Console, and the customer's at
// its page or card form) act without crossing anything, and so do those who watch: OnTaken,
// OnReturned and OnDeclined are called at the instant at which it happens.
//
//	billing ──Charge──▶ Cross ──▶ under the key before? ──▶ Card.Mood ──▶ OnTaken, OnDeclined
//	   ▲                                                                       │
//	   └── answer, or none ◀── Crossed                 Hooks, late and twice ◀─┘
//
// What becomes of a call is its Fate: of Lost nothing is done, of Unheard and Late it is, and
// billing hears what the adapter says of a connection that failed.
package bank

// Package delivery tells a company's servers what happened to its customers: each event of a
// customer, in order, to each endpoint that asked for it, signed, until it is taken or three
// days have passed.
//
// The one idea: waiting is a wake-up in the table, never a hidden message. A customer with
// events that nobody was given yet has an entry in the index outbox, and how far an endpoint was
// told of a customer is an item of its own, with an entry in the index due while anything is to
// be done. Fanout turns entries into messages, each minute, and claims nothing; Publisher looks at
// what a message points to. So a message may be lost or come twice, and an entry goes only with
// what it was there for.
//
//	the function ends after       then
//	the claim                     its entry is at the end of the lease, and all is sent again
//	some of the requests          those are repeated, in order, under the same webhook-id
//	the progress is written       the outbox's entry is still there, and goes with the next look
//
// An event is given to an endpoint at least once. Events of a customer never overtake each
// other: the one that is not taken holds up those behind it, and no other customer's. Whoever
// sends holds a lease that outlives the function, so that no two send at once.
//
// Items of the table endpoints, whose keys begin with project#environment:
//
//	registry                               the endpoints of a scope, their secrets sealed
//	delivery#<endpoint>#<customer>         how far an endpoint was told of a customer; indexed while it waits
//	letter#<endpoint>#<customer>#<first>   events that an endpoint did not take in three days; indexed
//	breaker#<endpoint>                     how often it failed in a row, while it does
//	cursor#<lane>                          how far a lane was handed over that is longer than a tick can
//
// The index due has the partitions due#<shard>, sorted by instant, endpoint and customer; parked#<endpoint>, of what
// waits until an endpoint that was disabled is active again; and letters#<endpoint>.
package delivery

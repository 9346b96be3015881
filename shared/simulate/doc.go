// Package simulate is the ground on which the product's own handlers are driven through
// years in seconds. One World owns the time, the chance and the turns: every input and
// output of a handler crosses one of its ports, and there the World decides what becomes of
// it, lets time pass, and lets another handler go on. Nothing else is concurrent, so a seed
// is a story that can be told again.
//
//	        agenda (time, then chance)
//	           │ one at a time
//	           ▼
//	Invocation of a function ──port──▶ Cross: dies before it, waits, fate, dies after it
//	           ▲                         │
//	           └────── goes on ◀─────────┘ meanwhile others have their turns
//
// An invocation is a coroutine: it runs the handler unmodified, and is left in the middle of
// it at each port. It dies by a panic that only the World catches, which is as if the
// process had gone: what it wrote is written, what it had in mind is lost.
//
// The World knows no product: Tables, Queue, Cron and Clock are the ports that each handler
// has, and what stands on the other side of the others (gateways, stores, the company's
// server) calls Cross as they do.
package simulate

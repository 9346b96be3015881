// Package telling is the quarter of the company's servers that are told what happened: they
// take it, refuse it, hang, are down for days, are changed and made again by operators. And it
// is the watch over everything that is told of any customer, whoever caused it.
//
// The one idea: the log of events, as it is committed, is the truth. A request that arrives is
// held against it, and so is each write by which an event counts as told, given up or passed
// over; what the publisher believes of itself decides nothing.
//
//	commit of a customer ──▶ log: numbered without gaps; its fold is the customer
//	        │
//	        ▼ one at a time, in order, signed
//	request at a server ───▶ in the log? whose? in its turn? under a secret that counts?
//	        │
//	        ▼
//	progress, letters ─────▶ passed over only what was taken, given up by the rule, or unasked
package telling

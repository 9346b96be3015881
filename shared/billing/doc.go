// Package billing is the agreements that we charge for: when, how often, and never twice.
//
// A charge is an order whose id follows from subscription, period and attempt. Whoever
// wants to make it inserts that order first, and only one can; then reads the
// subscription again, so that a cancellation that came in between is seen; then sends;
// then closes the order; then advances the subscription together with what its customer
// may use and the event that tells of it. Each step can be repeated by anybody.
//
//	          ┌───────────── not made ─────────────┐
//	          ▼                                    │
//	(none)──▶sending──▶paid        void ──────▶ sending
//	          │  ▲  └──▶declined     ▲
//	          ▼  │ same body, key    │ surely not executed
//	        unknown ─────────────────┘
//
// paid and declined are final. unknown is left only by the gateway's word: a payment, a
// decline, or that long after the last send there is none.
//
//	pending ──paid──▶ active ──declined──▶ past_due ──paid──▶ active
//	   └─declined──▶ past_due ──hard, twice the same, or the last──▶ unpaid or cancelled
//
// A subscription's next wake-up and what it is for (register, charge, remind, resolve)
// are in the item itself, and its entry in the due index follows from them. Waiting is a
// wake-up, never a hidden message, so a lost message loses nothing.
package billing

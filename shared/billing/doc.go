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
//	unpaid ──another card──▶ past_due: tried at once, once; access waits for the money
//	active ──cancelled for the period's end──▶ active, ending ──▶ cancelled
//	any ──cancelled now──▶ cancelled: what an attempt under way still takes is given back
//
// A subscription's next wake-up and what it is for (register, await, charge, remind,
// resolve, end) are in the item itself, and its entry in the due index follows from them.
// What is beside its dates, a charge on demand, a refund, a card to be exchanged or
// forgotten, a customer to be told, is an errand: a wake-up of its own in the same index.
// Waiting is a wake-up, never a hidden message, so a lost message loses nothing.
//
// A gateway has Cards, of which the app brings a proof, or Mandates, which the customer
// approves on the gateway's page. Where sending twice is not once (Repeats), what was sent
// and not answered is looked for and never sent again: after a day without a trace the
// attempt is over without money, and the schedule goes on.
package billing

// Package apple says what the App Store signed, and how what was bought there stands.
// Start with NewVerifier and NewStore.
//
// The one idea: a signed transaction is worth exactly as much as the chain behind it, so
// trust comes from the configured roots and from nothing that the token carries. A token
// is believed when its three certificates are a leaf of Apple's kind under an
// intermediate of Apple's kind under one of those roots, all valid on the day of signing
// and not known to be revoked; when the leaf's key signed these very bytes; and when they
// speak of our app and of an environment that we accept. Everything else is refused with
// a Reason. What the App Store Server API answers is signed in the same way and is worth
// no more: an answer that cannot be believed is an outage.
//
// The rules are those of Apple's App Store Server Library (verification of JWS), and
// stricter where a compact JWS leaves room for two readings of the same bytes: names that
// occur twice, names that differ in case, base64 that is not canonical, crit headers, a
// last certificate that is not the root itself.
//
// How a purchase stands follows from the newest words that were signed about each of its
// transactions and about its renewal, by Sale.AsOf and Standing.AsOf, and never from the
// type of a notification or the order in which words arrive.
//
// With an In-App Purchase key, StoreConfig.API, every claim and every notification is
// looked up as it is now. Without one the Store works from signed data alone, which is
// weaker in this:
//
//   - A transaction that was refunded or replaced after it was signed still verifies. That
//     is known only when Apple's notification arrives, and whoever claims with an old proof
//     before that is granted it until then.
//   - A notification that was lost stays lost: nobody reads the history of what failed, nor
//     asks about a subscription whose end passed without word. Its access ends on the date
//     that was last signed.
//   - What replaced a transaction is not said of it. A line goes by the latest of its
//     transactions that is known and paid.
//   - A claim says no more of how a subscription goes on than that it has not ended: that it
//     was cancelled, is in grace or will change its product is known from notifications.
//   - Receipts of old apps are answered fault.Unavailable, for what they say is not believed.
//   - Requests for consumption information are heard and not answered.
package apple

// Package apple says what the App Store signed. Start with NewVerifier and NewStore.
//
// The one idea: a signed transaction is worth exactly as much as the chain behind it, so
// trust comes from the configured roots and from nothing that the token carries. A token
// is believed when its three certificates are a leaf of Apple's kind under an
// intermediate of Apple's kind under one of those roots, all valid on the day of signing;
// when the leaf's key signed these very bytes; and when they speak of our app and of an
// environment that we accept. Everything else is refused with a Reason.
//
// The rules are those of Apple's App Store Server Library (verification of JWS), and
// stricter where a compact JWS leaves room for two readings of the same bytes: names that
// occur twice, names that differ in case, base64 that is not canonical, crit headers, a
// last certificate that is not the root itself.
//
// What this cannot see: a transaction that was refunded after it was signed still
// verifies. Sale.AsOf says how old the word is.
package apple

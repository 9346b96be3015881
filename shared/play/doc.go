// Package play is Google Play: what Google is asked, what it tells, and what its words mean
// in ours. Start with NewStore, and with NewPush for what Pub/Sub pushes.
//
// The one idea: a purchase token is asked about and a notification only says which. Google's
// answer, typed by its own client and refused unless it says what it is, becomes sales,
// standings and tokens in one place for products and one for subscriptions; what is not
// understood there grants nothing and takes nothing back.
package play

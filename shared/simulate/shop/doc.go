// Package shop is the three stores that sell for us, on the other side of purchase.Store: as
// a simulated world has them, with their own truth, and unkind. Each says of a sale what the
// adapter of the real store (shared/apple, shared/play, shared/appsintoss) makes of what that
// store says, with the same instants, in the same number of calls, each of which crosses a
// port by itself. So between two calls of one look anything may happen, and an answer may be
// of some minutes ago.
//
//	people ──buy, cancel, ask for money──▶ Apple, Play, AppsInToss ──notices──▶ (lost, late, twice)
//	                                         │        ▲
//	                             Watcher ◀── truth    └── Look, Hear, Follow, Acknowledge, Missed
//
// What people and the stores themselves do crosses no port: it happens. A Watcher hears of it
// in the moment that it does, and Order is what the store knows of it, whoever else knows.
package shop

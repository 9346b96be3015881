// Package exhaust goes all ways that a few handlers can go at once: every order in which
// their inputs and outputs can follow one another, with a crash, or a request or an answer
// that is lost, at each of them. What the long runs of simulate meet by luck is met here by
// going through it all, a second of the product's life at a time.
//
// A Set says who races. A path is one way through it: at each input and output the world
// stands still, and whose turn is next, what becomes of it and what the provider answers are
// choices. When all have ended, time goes on without any: messages come again, requests are
// repeated, what waits is woken, until all is at rest. Promises are checked as it happens, and
// at rest.
//
//	(start)──a──▶ ●──b──▶ ● …        one run goes one path to its end, and then the last
//	   └───b──▶ ●──a──▶ ●            choice that has another alternative is made anew
//	                     └ the same state: what follows is known
//
// A path cannot be stopped in the middle and gone on with twice, for nobody can copy a function
// at work: each run begins anew and repeats the choices up to where it differs. Two ways that
// come to the same state go on alike, so the second is counted and not gone (see print.go for
// what a state is). So a search knows both how many paths it ran and how many it covered.
package exhaust

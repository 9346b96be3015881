package delivery

import "time"

// Reachable says whether events may be sent to an address.
var Reachable = reachable

// Refused is what follows at now for an event that failed since an instant, after so many tries,
// when its endpoint has failed for everybody since another.
func Refused(now, failed, since time.Time, tries int) (due time.Time, dead bool) {
	p, dead := progress{Endpoint: "a", Customer: "cus_a", Tries: tries, FailedSince: failed}.refused(now, breaker{Failures: opensAfter, Since: since})
	return p.DueAt, dead
}

package delivery

// Reachable says whether events may be sent to an address.
var Reachable = reachable

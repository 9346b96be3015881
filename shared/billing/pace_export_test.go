package billing

// Pace and NextPace are what a gateway's pace follows from.
type Pace = pace

// NextPace decides it.
var NextPace = next

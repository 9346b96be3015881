package sweep

// How many lines of one store are looked at in one run.
const MostInARun = mostReviews * mostTurns

package exhaust

import "slices"

// All are the sets that there are.
func All() []*Set {
	return slices.Concat(charges(), doubts(), refunds(), purchases(), wallets(), publications())
}

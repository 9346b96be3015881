// Package teeth is what the simulation has to find: faults that a tired engineer would write,
// one at a time in the paths of money and access. A simulation that finds nothing proves
// nothing until it has found each of these.
//
// A fault is a change of the product's text that is never written into it: the changed copy
// lies in a temporary folder, and the simulator is built with it by an overlay of the go
// command. Each fault names the run that is to find it; for a few that is a unit test, where a town
// would have to be larger than ours. One that no run can find, since
// another part of the product keeps what it breaks, says so with the argument; and where that
// other part can be switched off, the run says without what it is found.
//
//	go run ./shared/simulate/teeth/cmd/teeth
//
// plants and looks for all of them.
package teeth

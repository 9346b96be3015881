//go:build local

package apple

// RevocationOff asks nobody and believes every chain. It is for local runs, whose
// simulators nobody revokes.
const RevocationOff Mode = "off"

const modes = "soft, hard or, in a local run alone, off"

func (m Mode) off() bool { return m == RevocationOff }

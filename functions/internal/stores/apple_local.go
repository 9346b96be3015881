//go:build local

package stores

// unset is the revocation mode of a local run that says none: nobody revokes the
// certificates of a simulator.
const unset = "off"

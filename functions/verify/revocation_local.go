//go:build local

package main

import "grantline/shared/apple"

// revocation is off: nobody revokes the certificates of a simulator.
const revocation = apple.RevocationOff

//go:build !local

package main

import "grantline/shared/apple"

const revocation = apple.RevocationSoft

//go:build !local

package stores

// unset is no mode: a deployed function must be told.
const unset = ""

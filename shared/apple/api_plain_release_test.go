//go:build !local

package apple_test

const plainAPIAllowed = false

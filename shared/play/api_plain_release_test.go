//go:build !local

package play_test

const apiPlainAllowed = false

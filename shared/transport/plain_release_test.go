//go:build !local

package transport_test

const localBuild = false

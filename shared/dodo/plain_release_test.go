//go:build !local

package dodo_test

const localBuild = false

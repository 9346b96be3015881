//go:build !local

package toss_test

const localBuild = false

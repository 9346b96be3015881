//go:build local

package web

// literalKeys lets a local run give keys as they are.
const literalKeys = true

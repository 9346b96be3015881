//go:build !local

package web

// literalKeys: a deployed function knows keys by their hashes alone.
const literalKeys = false

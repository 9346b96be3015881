//go:build !local

package web_test

import "testing"

func TestAKeyInPlaceOfItsHashIsRefused(t *testing.T) {
	w := newWorld(t)
	w.secret.text = "default/production=" + secretKey
	w.expect(503, "unavailable", "GET", me, server(""), "")
	w.public.text = "default/production=" + publicKey
	w.expect(503, "unavailable", "GET", me, app(""), "")
	w.nothingWritten("keys given as they are")
}

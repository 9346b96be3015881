//go:build local

package web_test

import "testing"

func TestALocalRunMayGiveAKeyAsItIs(t *testing.T) {
	w := newWorld(t)
	w.secret.text = "default/production=" + secretKey
	w.expect(200, "", "GET", me, server(""), "")
	w.expect(401, "unauthenticated", "GET", me, header{"Authorization": "Bearer sk_another_0123456789"}, "")
	w.secret.text = "default/production=short"
	w.expect(503, "unavailable", "GET", me, server(""), "")
}

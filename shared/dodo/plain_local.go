//go:build local

package dodo

import "net"

// plainAllowed says whether a host may be asked without TLS: this machine, where the
// simulator is.
func plainAllowed(host string) bool {
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}

//go:build local

package apple

import "net"

// plainAPI says whether the API at a host may be asked without TLS: on this machine,
// where the simulator is.
func plainAPI(host string) bool {
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}

package delivery

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"

	"grantline/shared/transport"
)

// connectWithin bounds a connect, and a handshake.
const connectWithin = 5 * time.Second

// inside are the addresses that are not on the Internet (IANA special-purpose address
// registries, RFC 6890): this machine, the network around it, where a cloud keeps credentials
// (169.254.169.254), and what only stands for such an address. Of IPv6 nothing is outside of
// 2000::/3 but those, NAT64 (64:ff9b::/96, 64:ff9b:1::/48) and addresses with an IPv4 one in them included.
var inside = func() (all []netip.Prefix) {
	for _, p := range []string{
		"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
		"192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
		"224.0.0.0/4", "240.0.0.0/4",
		"2001::/23", // Teredo, ORCHID, benchmarks
		"2001:db8::/32", "2002::/16", "3fff::/20",
	} {
		all = append(all, netip.MustParsePrefix(p))
	}
	return all
}()

var internet6 = netip.MustParsePrefix("2000::/3")

// reachable says whether events may be sent to an address: to one on the Internet, and from a
// local build to this machine.
func reachable(ip netip.Addr) bool {
	if ip.Zone() != "" {
		return false
	}
	ip = ip.Unmap()
	if transport.Plain(ip.String()) {
		return true
	}
	if ip.Is6() && !internet6.Contains(ip) {
		return false
	}
	for _, p := range inside {
		if p.Contains(ip) {
			return false
		}
	}
	return ip.IsValid()
}

var errGuarded = errors.New("delivery: the address is not on the Internet")

// guard is asked with each address before a connection to it is made, when its name was
// resolved already: so no name can lead inside, whatever it said a moment before.
func guard(_ context.Context, network, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil || network != "tcp4" && network != "tcp6" || !reachable(to.Addr()) {
		return errGuarded
	}
	return nil
}

// Transport carries requests to strangers' servers: to none but the Internet's, by no proxy, which
// would resolve names behind our back, and bounded in everything.
func Transport() *http.Transport {
	t := transport.Kept(connectWithin)
	t.Proxy = nil
	t.DialContext = (&net.Dialer{Timeout: connectWithin, ControlContext: guard}).DialContext
	// Each endpoint is another company's matter; sessions are not kept across them.
	t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	return t
}

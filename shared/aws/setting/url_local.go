//go:build local

package setting

import (
	"net/netip"
	"net/url"
)

// addressRule is what an address has to be, for a complaint.
const addressRule = "beginning with https://, or http:// on this machine, without user, query and fragment"

// insecureAllowed says whether u is http on this machine, as the simulators are.
func insecureAllowed(u *url.URL) bool {
	if u.Scheme != "http" {
		return false
	}
	if u.Hostname() == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return err == nil && ip.IsLoopback()
}

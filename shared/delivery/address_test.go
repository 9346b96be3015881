package delivery_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"grantline/shared/delivery"
	"grantline/shared/transport"
)

func TestNoConnectionLeadsInside(t *testing.T) {
	local := transport.Plain("127.0.0.1")
	for address, want := range map[string]bool{
		// On the Internet.
		"1.1.1.1": true, "8.8.8.8": true, "93.184.215.14": true, "172.15.255.255": true, "172.32.0.1": true, "100.63.255.255": true,
		"100.128.0.1": true, "192.167.0.1": true, "223.255.255.255": true, "2606:4700:4700::1111": true, "2a00:1450:4001::1": true,
		"::ffff:8.8.8.8": true,
		// This machine.
		"127.0.0.1": local, "127.255.255.254": local, "::1": local, "::ffff:127.0.0.1": local,
		"0.0.0.0": false, "0.1.2.3": false, "::": false, "::ffff:0.0.0.0": false,
		// The network around it.
		"10.0.0.1": false, "10.255.255.255": false, "172.16.0.1": false, "172.31.255.255": false, "192.168.0.1": false,
		"100.64.0.1": false, "100.127.255.255": false, "fc00::1": false, "fd12:3456::1": false, "fec0::1": false,
		// Where clouds keep credentials.
		"169.254.169.254": false, "169.254.170.2": false, "fd00:ec2::254": false, "fe80::1": false, "fe80::1%eth0": false,
		// To many, to none, for documents and measurements.
		"224.0.0.1": false, "239.255.255.255": false, "ff02::1": false, "240.0.0.1": false, "255.255.255.255": false,
		"192.0.2.1": false, "198.51.100.1": false, "203.0.113.1": false, "198.18.0.1": false, "198.19.255.255": false,
		"192.0.0.8": false, "192.88.99.1": false, "2001:db8::1": false, "3fff::1": false,
		// What only stands for an IPv4 address.
		"::ffff:10.0.0.1": false, "::ffff:169.254.169.254": false, "::ffff:a9fe:a9fe": false, "::10.0.0.1": false, "::ffff:0:10.0.0.1": false,
		"64:ff9b::10.0.0.1": false, "64:ff9b::a9fe:a9fe": false, "64:ff9b::8.8.8.8": false, "64:ff9b:1::1": false,
		"2002:a00:1::1": false, "2002:a9fe:a9fe::": false, "2001::1": false, "2001:0:a9fe:a9fe::": false, "100::1": false,
	} {
		if got := delivery.Reachable(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s: got %v, want %v", address, got, want)
		}
	}
	if delivery.Reachable(netip.Addr{}) {
		t.Errorf("no address: got it allowed")
	}
}

// The check is on what a name leads to, at the moment of the connection.
func TestANameThatLeadsInsideIsNotFollowed(t *testing.T) {
	var reached atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			reached.Add(1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	by := delivery.Transport()
	t.Cleanup(by.CloseIdleConnections)
	port := server.URL[strings.LastIndex(server.URL, ":"):]
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://localhost"+port, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := transport.Client(by).Do(request)
	if err == nil {
		response.Body.Close()
	}
	local := transport.Plain("127.0.0.1")
	if (err == nil) != local || (reached.Load() > 0) != local {
		t.Errorf("localhost: got %v and %d connections, want it reached in a local build alone", err, reached.Load())
	}
	if by.Proxy != nil {
		t.Errorf("a proxy would be asked, which resolves names behind our back")
	}
}

func TestNoProxyOfTheEnvironmentIsAsked(t *testing.T) {
	var asked atomic.Int64
	proxy := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	t.Cleanup(proxy.Close)
	t.Setenv("HTTP_PROXY", proxy.URL)
	t.Setenv("HTTPS_PROXY", proxy.URL)
	by := delivery.Transport()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://10.0.0.1/", nil)
	if err != nil {
		t.Fatal(err)
	}
	if response, err := transport.Client(by).Do(request); err == nil {
		response.Body.Close()
		t.Errorf("a private address was reached")
	}
	if asked.Load() != 0 {
		t.Errorf("a proxy was asked")
	}
}

package server

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const (
	// lowest port that is chosen: people's own servers are below.
	lowest = 10_001
	// least is how many ports there must be to choose from, so that two who choose at the same
	// time seldom meet.
	least = 1_000
	// looks bounds how many ports are looked at.
	looks = 100
)

// Port is one on which nobody listens, and which the kernel does not give to a listener on
// port 0, nor to an outgoing connection, before it is used. Where the kernel gives all ports
// it is one of those.
func Port(ctx context.Context) (int, error) { return portBelow(ctx, ephemeral()) }

// portBelow chooses a port from lowest up to, and without, end.
func portBelow(ctx context.Context, end int) (int, error) {
	if end-lowest >= least {
		for range looks {
			port := lowest + rand.IntN(end-lowest)
			if _, err := free(ctx, port); err == nil {
				return port, nil
			}
		}
	}
	return free(ctx, 0)
}

// free returns the port if it can be listened on, and any such port for 0.
func free(ctx context.Context, port int) (int, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return 0, fmt.Errorf("server: %w", err)
	}
	port = l.Addr().(*net.TCPAddr).Port
	return port, l.Close()
}

// ephemeral is the first port that the kernel gives of itself (ip(7)), or 0 where it does not
// tell.
func ephemeral() int {
	text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		return 0
	}
	var first, last int
	if _, err := fmt.Sscan(string(text), &first, &last); err != nil {
		return 0
	}
	return first
}

// holder is who listens on a port.
type holder int

const (
	unknown holder = iota
	nobody
	ours
	another
)

// holderOf says who listens on a port, as seen from the process pid: by its sockets, and not
// by what it answers. The error says why that is unknown; so it is, too, while pid ends.
func holderOf(port, pid int) (holder, error) {
	sockets, err := listening(port)
	if err != nil {
		return unknown, err
	}
	if len(sockets) == 0 {
		return nobody, nil
	}
	folder := filepath.Join("/proc", strconv.Itoa(pid), "fd")
	files, err := os.ReadDir(folder)
	if err != nil {
		return unknown, fmt.Errorf("server: %w", err)
	}
	for _, file := range files {
		target, err := os.Readlink(filepath.Join(folder, file.Name()))
		if err == nil && slices.Contains(sockets, target) { // else it was closed meanwhile
			return ours, nil
		}
	}
	return another, nil
}

// listening lists the sockets that listen on a port of any address, as /proc/<pid>/fd names
// them (proc(5)).
func listening(port int) ([]string, error) {
	const listen = "0A"
	var found []string
	for _, table := range []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"} {
		text, err := os.ReadFile(table)
		if os.IsNotExist(err) && strings.HasSuffix(table, "6") {
			continue // a machine without IPv6
		}
		if err != nil {
			return nil, fmt.Errorf("server: %w", err)
		}
		for line := range strings.Lines(string(text)) {
			fields := strings.Fields(line) // sl, local address:port, remote, state, … 9: inode
			if len(fields) > 9 && fields[3] == listen && strings.HasSuffix(fields[1], fmt.Sprintf(":%04X", port)) {
				found = append(found, "socket:["+fields[9]+"]")
			}
		}
	}
	return found, nil
}

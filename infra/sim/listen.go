package sim

import (
	"errors"
	"net"
	"sync"
	"time"
)

// handshake is the first byte of a TLS connection (RFC 8446, 5.1: content type 22). No
// HTTP method begins with it.
const handshake = 0x16

// maxAccepted bounds the connections that have not sent their first byte yet.
const maxAccepted = 1024

// firstByteTimeout is how long a connection may stay silent, in real time.
const firstByteTimeout = 5 * time.Minute

// splitter tells plain HTTP and TLS apart on one listener by a connection's first byte.
type splitter struct {
	net.Listener
	plain, secure *branch
	done          chan struct{}
	closing       sync.Once
}

// branch is a listener of one kind of connections.
type branch struct {
	*splitter
	conns chan net.Conn
}

func split(listener net.Listener) *splitter {
	s := &splitter{Listener: listener, done: make(chan struct{})}
	s.plain = &branch{s, make(chan net.Conn)}
	s.secure = &branch{s, make(chan net.Conn)}
	return s
}

// run hands out connections until the listener closes, and returns when none is in its
// hands any more.
func (s *splitter) run() {
	var sorting sync.WaitGroup
	defer sorting.Wait()
	slots := make(chan struct{}, maxAccepted)
	for {
		conn, err := s.Listener.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			select { // out of file descriptors, perhaps: let some go
			case <-time.After(10 * time.Millisecond):
				continue
			case <-s.done:
				return
			}
		}
		select {
		case slots <- struct{}{}:
		case <-s.done:
			_ = conn.Close()
			return
		}
		sorting.Go(func() {
			defer func() { <-slots }()
			s.sort(conn)
		})
	}
}

// sort reads the first byte of a connection and hands it to its branch.
func (s *splitter) sort(conn net.Conn) {
	_ = conn.SetReadDeadline(time.Now().Add(firstByteTimeout))
	sorted := make(chan struct{})
	defer close(sorted)
	go func() { // a silent connection must not outlive the listener
		select {
		case <-s.done:
			_ = conn.SetReadDeadline(time.Unix(1, 0))
		case <-sorted:
		}
	}()
	first := make([]byte, 1)
	if _, err := conn.Read(first); err != nil {
		_ = conn.Close()
		return
	}
	_ = conn.SetReadDeadline(time.Time{})
	to := s.plain
	if first[0] == handshake {
		to = s.secure
	}
	select {
	case to.conns <- &begun{Conn: conn, first: first}:
	case <-s.done:
		_ = conn.Close()
	}
}

// Close stops both branches. It may be called more than once.
func (s *splitter) Close() (err error) {
	s.closing.Do(func() {
		close(s.done)
		err = s.Listener.Close()
	})
	return err
}

// Accept waits for a connection of the branch's kind.
func (b *branch) Accept() (net.Conn, error) {
	select {
	case conn := <-b.conns:
		return conn, nil
	case <-b.done:
		return nil, net.ErrClosed
	}
}

// begun is a connection whose first byte was read already. The first Read gives it back.
type begun struct {
	net.Conn
	first []byte
}

// Read gives the first byte once, then reads on. net/http reads from one goroutine at a time.
func (c *begun) Read(p []byte) (int, error) {
	if len(c.first) > 0 && len(p) > 0 {
		n := copy(p, c.first)
		c.first = nil
		return n, nil
	}
	return c.Conn.Read(p)
}

// NetConn is the connection beneath, for whoever wants to reset it.
func (c *begun) NetConn() net.Conn { return c.Conn }

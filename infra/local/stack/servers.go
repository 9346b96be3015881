package stack

import (
	"context"
	"fmt"

	"grantline/infra/local/server"
)

// startServer starts one of the two Java processes in the run's folder, and keeps it for Close.
func (s *Stack) startServer(ctx context.Context, start func(context.Context, server.Options) (*server.Server, error)) (*server.Server, error) {
	one, err := start(ctx, server.Options{Tools: s.options.Tools, Folder: s.folder, Starter: s.starter})
	if err != nil {
		return nil, fmt.Errorf("stack: %w", err)
	}
	s.mu.Lock() // tables and queues start side by side
	s.servers = append(s.servers, one)
	s.mu.Unlock()
	s.group.Go(func() { s.watch(one) })
	return one, nil
}

// watch tells when the server ends before the stack does.
func (s *Stack) watch(o *server.Server) {
	select {
	case <-s.ctx.Done():
	case <-o.Ended():
		select {
		case s.died <- fmt.Errorf("stack: %s has ended: %s", o.Name(), o.LastWords()):
		default: // one is enough
		}
	}
}

package websockettest

import (
	"context"
	"net"
	"os"
	"sync"
	"syscall"
)

// A Listener is a net.Listener whose connections are Pipes, for programs with a server of
// their own: an http.Server serves on it, also in a bubble of testing/synctest.
type Listener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

// Listen returns a new Listener.
func Listen() *Listener {
	return &Listener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

// NetDialContext makes a connection to whoever calls Accept, whatever the network and the
// address are. It is for a Dialer's NetDialContext. If ctx ends first, the error is
// context.Cause(ctx), and after Close one that matches syscall.ECONNREFUSED.
func (l *Listener) NetDialContext(ctx context.Context, _, _ string) (net.Conn, error) {
	clientEnd, serverEnd := Pipe(0)
	select {
	case l.conns <- serverEnd:
		return clientEnd, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-l.closed:
		return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: serverAddr, Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	}
}

// Accept implements net.Listener.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case nc := <-l.conns:
		return nc, nil
	case <-l.closed:
		return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: serverAddr, Err: net.ErrClosed}
	}
}

// Close implements net.Listener. Connections that were accepted stay.
func (l *Listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr implements net.Listener.
func (l *Listener) Addr() net.Addr { return serverAddr }

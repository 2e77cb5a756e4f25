package wstest

import (
	"net"
	"testing"

	"github.com/stretchr/testify/require"
)

// TCP returns the two ends of a TCP connection on the loopback interface. They
// are closed when the test ends.
func TCP(t testing.TB) (client, server *net.TCPConn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	dialed := make(chan error, 1)
	var nc net.Conn
	go func() {
		var err error
		nc, err = net.Dial("tcp", ln.Addr().String())
		dialed <- err
	}()
	accepted, err := ln.Accept()
	require.NoError(t, err)
	require.NoError(t, <-dialed)
	t.Cleanup(func() {
		nc.Close()
		accepted.Close()
	})
	return nc.(*net.TCPConn), accepted.(*net.TCPConn)
}

// Pipe returns the two ends of a connection in memory. They are closed when the
// test ends. A write waits for the read on the other side.
func Pipe(t testing.TB) (client, server net.Conn) {
	t.Helper()
	client, server = net.Pipe()
	t.Cleanup(func() {
		client.Close()
		server.Close()
	})
	return client, server
}

// Handshake runs the two sides of an opening handshake against each other, each
// on its end of a connection, and returns what they make of it.
func Handshake[C any](t testing.TB, clientEnd, serverEnd net.Conn, dial, upgrade func(net.Conn) (C, error)) (client, server C) {
	t.Helper()
	upgraded := make(chan error, 1)
	go func() {
		var err error
		server, err = upgrade(serverEnd)
		upgraded <- err
	}()
	client, err := dial(clientEnd)
	require.NoError(t, err)
	require.NoError(t, <-upgraded)
	return client, server
}

package wstest

import (
	"net"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPeer(t *testing.T) {
	t.Parallel()
	clientEnd, serverEnd := TCP(t)
	client, server := NewClient(t, clientEnd), NewServer(t, serverEnd)

	client.Send(Frame{Opcode: Text, Payload: "a"}, Frame{Opcode: Ping, Payload: "anything else?"})
	server.Expect(Frame{Opcode: Text, Payload: "a"}, Frame{Opcode: Ping, Payload: "anything else?"})
	server.Send(Frame{Opcode: Pong, Payload: "p"}, CloseFrame(1001, "reason"))
	client.Expect(Frame{Opcode: Pong, Payload: "p"})
	client.ExpectClose(1001)

	done := make(chan struct{})
	go func() {
		defer close(done)
		server.Expect(Frame{Opcode: Ping, Payload: "anything else?"})
		server.Send(Frame{Opcode: Pong, Payload: "anything else?"})
	}()
	client.ExpectNothing()
	<-done

	client.SendRaw([]byte("12345"))
	require.NoError(t, clientEnd.CloseWrite())
	require.EqualValues(t, 5, server.Drain())
	require.NoError(t, serverEnd.CloseWrite())
	client.ExpectEnd()
}

func TestHandshake(t *testing.T) {
	t.Parallel()
	clientEnd, serverEnd := Pipe(t)
	client, server := Handshake(t, clientEnd, serverEnd,
		func(nc net.Conn) (string, error) { _, err := nc.Write([]byte("hi")); return "client", err },
		func(nc net.Conn) (string, error) { _, err := nc.Read(make([]byte, 2)); return "server", err })
	require.Equal(t, "client", client)
	require.Equal(t, "server", server)
}

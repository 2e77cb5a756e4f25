// Package websockettest helps to test programs that use the package websocket, as
// net/http/httptest helps to test HTTP handlers.
//
// # Testing a handler
//
// A Server runs the handler, and Dial connects to it. Both end with the test, which fails if
// the handler panics, goes on when its client is gone, or leaves a connection open:
//
//	func TestEcho(t *testing.T) {
//		s := websockettest.NewServer(t, handler)
//		c := s.Dial(t, "/echo", nil)
//		...
//	}
//
// What a handler refuses is seen through the Dialer of the Server. A program that has an
// http.Server of its own has it serve on a Listener, and one that needs TLS or HTTP/2 uses
// net/http/httptest.
//
// # Testing what is not a handler
//
// Pair returns the two ends of a connection in memory, for code that is given a
// *websocket.Conn. The opening handshake is a real one, so that subprotocols and
// compression are agreed on as ever. It has a buffer in each direction: both ends may write
// before either reads.
//
// # Testing with a fake clock
//
// Timeouts, keepalive and reconnection take their time. In a bubble of testing/synctest they
// take none: its clock moves on as soon as everything waits. What is in memory here, Pair,
// Pipe, NewMemoryServer and Listen, works there; TCP does not. A bubble also fails a test whose
// goroutines wait for each other, or outlive it.
//
// The defaults of the websocket package, such as the 10 s for a handshake, and those of a
// Peer, run by that clock too.
//
// # Testing against a peer that misbehaves
//
// A Peer sends the frames that a test tells it to, right or wrong, and expects others.
// DialPeer has one connect to a handler, and a PeerHandler has one serve a client:
//
//	peer := s.DialPeer(t, "/echo", nil)
//	peer.Send(websockettest.Frame{Opcode: websocket.TextMessage, Payload: "Hello", RSV2: true})
//	peer.ExpectClose(websocket.CloseProtocolError)
//	peer.ExpectEnd()
//
// If the other end does something else, the test fails and shows which frames went before.
//
// # Testing on a network that misbehaves
//
// A FaultyConn cuts reads and writes into pieces, slows them down, stalls until the test
// lets go, and breaks at a byte of either direction. It is put between a Dialer and its
// server:
//
//	s.Dialer.NetDialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
//		nc, err := s.NetDialContext(ctx, network, addr)
//		if err != nil {
//			return nil, err
//		}
//		return websockettest.NewFaultyConn(nc, websockettest.Fault{Chunk: 1}, websockettest.Fault{}), nil
//	}
//
// or below one end of a Pair, by Handshake. It goes by Read and Write alone, and so it hides
// the shorter way that the library has to plain sockets.
//
// # Goroutines
//
// What fails a test at once, such as Dial, Pair and the methods of a Peer, is for the
// goroutine of the test, as testing.T.FailNow is. Peer.Go runs a script beside it.
package websockettest

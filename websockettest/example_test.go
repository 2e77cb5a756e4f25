package websockettest_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duplexkit/websocket"
	"github.com/duplexkit/websocket/websockettest"
)

// What is given to run is what a TestXxx function of a program has for a body; run prints
// whether it passed.

// A handler, and a test of it with a client.
func ExampleServer() {
	var upgrader websocket.Upgrader
	greeter := upgrader.Handler(func(c *websocket.Conn, r *http.Request) error {
		return c.Serve(r.Context(), func(m websocket.Message) error {
			return c.WriteMessage(m.Type, fmt.Appendf(nil, "Hello, %s!", m.Data))
		})
	})

	run(func(t *testing.T) {
		s := websockettest.NewServer(t, greeter)
		c := s.Dial(t, "/greet?lang=en", nil)
		if err := c.WriteMessage(websocket.TextMessage, []byte("Ann")); err != nil {
			t.Fatal(err)
		}
		_, p, err := c.ReadMessage()
		if err != nil {
			t.Fatal(err)
		}
		if want := "Hello, Ann!"; string(p) != want {
			t.Errorf("got %q, want %q", p, want)
		}
	})
	// Output: PASS
}

// What a handler refuses: the Dialer of the server tells more than Dial.
func ExampleServer_refusal() {
	upgrader := websocket.Upgrader{AllowedOrigins: []string{"https://*.example.com"}}
	handler := upgrader.Handler(func(c *websocket.Conn, r *http.Request) error { return nil })

	run(func(t *testing.T) {
		s := websockettest.NewServer(t, handler)
		s.Dial(t, "/", http.Header{"Origin": {"https://chat.example.com"}})

		_, resp, err := s.Dialer.Dial(s.URL, http.Header{"Origin": {"https://example.org"}})
		if !errors.Is(err, websocket.ErrBadHandshake) || resp.StatusCode != http.StatusForbidden {
			t.Errorf("got %v, want a refusal with status 403", err)
		}
	})
	// Output: PASS
}

// An hour of keepalive, by the clock of a bubble. The client answers pings while it reads,
// and stops to do so; the server then takes it for dead.
func ExampleNewMemoryServer() {
	upgrader := websocket.Upgrader{Options: websocket.Options{
		PingInterval: 30 * time.Second,
		PingTimeout:  10 * time.Second,
	}}

	run(func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ended := make(chan error, 1)
			s := websockettest.NewMemoryServer(t, upgrader.Handler(func(c *websocket.Conn, r *http.Request) error {
				_, _, err := c.ReadMessage()
				ended <- err
				return err
			}))
			c := s.Dial(t, "/", nil)
			pings := 0
			c.SetPingHandler(func(appData string) error {
				pings++
				return c.WriteControl(websocket.PongMessage, []byte(appData), time.Now().Add(time.Second))
			})

			hour, cancel := context.WithTimeout(t.Context(), time.Hour+time.Second)
			defer cancel()
			_, _, err := c.ReadMessageContext(hour, nil)
			if !errors.Is(err, context.DeadlineExceeded) || pings != 120 {
				t.Errorf("got %d pings and %v, want 120 pings in an hour", pings, err)
			}

			silent := time.Now()
			if err := <-ended; err == nil {
				t.Error("the server has not noticed that nobody answers")
			}
			if after := time.Since(silent); after > 40*time.Second {
				t.Errorf("the server has noticed after %v, want 40 s at most", after)
			}
		})
	})
	// Output: PASS
}

// A program with a server of its own, which takes leave of its clients when it ends.
func ExampleListener() {
	serve := func(ctx context.Context, ln net.Listener) {
		var all websocket.Group
		upgrader := websocket.Upgrader{Options: websocket.Options{Group: &all}}
		srv := http.Server{Handler: upgrader.Handler(func(c *websocket.Conn, r *http.Request) error {
			return c.Serve(r.Context(), func(m websocket.Message) error { return nil })
		})}
		stop := context.AfterFunc(ctx, func() {
			_ = srv.Shutdown(context.Background())
			_ = all.Shutdown(context.Background(), websocket.CloseGoingAway, "closing time")
		})
		defer stop()
		_ = srv.Serve(ln)
	}

	run(func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ln := websockettest.Listen()
			ctx, cancel := context.WithCancel(t.Context())
			go serve(ctx, ln)

			dialer := websocket.Dialer{NetDialContext: ln.NetDialContext}
			c, _, err := dialer.Dial("ws://example.com/", nil)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			cancel()
			_, _, err = c.ReadMessage()
			if !websocket.IsCloseError(err, websocket.CloseGoingAway) {
				t.Errorf("got %v, want close code 1001", err)
			}
			time.Sleep(time.Minute) // until all goroutines have ended: a bubble wants that
		})
	})
	// Output: PASS
}

// Code that is given a connection, with the other end of it.
func ExamplePair() {
	// count answers a text with its length.
	count := func(ctx context.Context, c *websocket.Conn) error {
		for m, err := range c.Messages(ctx) {
			if err != nil {
				return err
			}
			if err := c.WriteJSON(len(m.Data)); err != nil {
				return err
			}
		}
		return nil
	}

	run(func(t *testing.T) {
		client, server := websockettest.Pair(t, nil, nil)
		for _, text := range []string{"one", "three"} { // nobody has to read yet
			if err := client.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
				t.Fatal(err)
			}
		}
		counted := make(chan error, 1)
		go func() { counted <- count(t.Context(), server) }()
		for _, want := range []int{3, 5} {
			var got int
			if err := client.ReadJSON(&got); err != nil || got != want {
				t.Errorf("got %d and %v, want %d", got, err, want)
			}
		}
		err := client.Shutdown(t.Context(), websocket.CloseNormalClosure, "")
		if err := errors.Join(err, <-counted); err != nil {
			t.Error(err)
		}
	})
	// Output: PASS
}

// A handler, and a client that breaks the rules.
func ExamplePeer() {
	var upgrader websocket.Upgrader
	echo := upgrader.Handler(func(c *websocket.Conn, r *http.Request) error {
		return c.Serve(r.Context(), func(m websocket.Message) error { return c.WriteMessage(m.Type, m.Data) })
	})

	run(func(t *testing.T) {
		s := websockettest.NewServer(t, echo)

		peer := s.DialPeer(t, "/echo", nil)
		peer.Send(websockettest.Fragments(websocket.TextMessage, "Hel", "", "lo")...)
		peer.Expect(websockettest.Text("Hello"))
		peer.Send(websockettest.Frame{Opcode: websocket.TextMessage, Payload: "not masked", WrongMask: true})
		peer.ExpectClose(websocket.CloseProtocolError)
		peer.ExpectEnd()

		peer = s.DialPeer(t, "/echo", nil)
		peer.Send(websockettest.Frame{Opcode: websocket.BinaryMessage, Length: 1 << 40})
		peer.ExpectClose(websocket.CloseMessageTooBig)

		peer = s.DialPeer(t, "/echo", nil)
		half := peer.Encode(websockettest.Text("Hello"))[:8]
		peer.SendBytes(half)
		peer.Reset() // the handler must end then, or the test fails
	})
	// Output: PASS
}

// A client that asks and waits for the answer, and a server that breaks off.
func ExamplePeerHandler() {
	ask := func(c *websocket.Conn, question string) (answer string, err error) {
		if err := c.WriteMessage(websocket.TextMessage, []byte(question)); err != nil {
			return "", err
		}
		_, p, err := c.ReadMessage()
		return string(p), err
	}

	run(func(t *testing.T) {
		var peers websockettest.PeerHandler
		s := websockettest.NewServer(t, &peers)
		c := s.Dial(t, "/", nil)
		peer := peers.Accept(t)

		wait := peer.Go(func(peer *websockettest.Peer) {
			peer.Expect(websockettest.Text("What is the time?"))
			peer.Send(websockettest.Ping(""), websockettest.Text("Three o'clock"))
			peer.Expect(websockettest.Pong(""), websockettest.Text("And the weather?"))
			peer.Close()
		})
		answer, err := ask(c, "What is the time?")
		if err != nil || answer != "Three o'clock" {
			t.Errorf("got %q and %v", answer, err)
		}
		_, err = ask(c, "And the weather?")
		if !websocket.IsCloseError(err, websocket.CloseAbnormalClosure) {
			t.Errorf("got %v, want close code 1006", err)
		}
		wait()
	})
	// Output: PASS
}

// A connection that is reset in the middle of a message, after a slow beginning.
func ExampleFaultyConn() {
	run(func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			clientEnd, serverEnd := websockettest.Pipe(0)
			line := websockettest.NewFaultyConn(clientEnd, websockettest.Fault{}, websockettest.Fault{})
			client, server := websockettest.Handshake(t, line, serverEnd, nil, nil)

			line.SetReadFault(websockettest.Fault{
				Chunk: 100, Delay: time.Second, // 100 bytes in a second,
				After: 1000, Reset: true, // and no more than 1000
			})
			began := time.Now()
			if err := server.WriteMessage(websocket.BinaryMessage, make([]byte, 2000)); err != nil {
				t.Fatal(err)
			}
			_, p, err := client.ReadMessage()
			if !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("got %v, want a reset", err)
			}
			if took := time.Since(began); took < 10*time.Second {
				t.Errorf("got %d bytes in %v, want 10 s for 1000", len(p), took)
			}
		})
	})
	// Output: PASS
}

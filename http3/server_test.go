package http3

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket"
	"github.com/duplexkit/websocket/internal/wstest"
)

// pair returns the two ends of a WebSocket. The server's is a bare Upgrade.
func pair(t testing.TB, u *websocket.Upgrader, d *websocket.Dialer) (client, server *websocket.Conn) {
	t.Helper()
	conns := make(chan *websocket.Conn, 1)
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := u.Upgrade(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		conns <- c
		<-c.Context().Done()
	}))
	d.Transport = transport(t)
	client = dial(t, d, s.url)
	server = receive(t, conns)
	t.Cleanup(func() { server.Close() }) // nobody else may notice the end
	require.Equal(t, s.addr, client.RemoteAddr().String())
	require.Equal(t, s.addr, server.LocalAddr().String())
	require.Equal(t, client.LocalAddr(), server.RemoteAddr())
	for _, addr := range []string{client.LocalAddr().Network(), client.RemoteAddr().Network(), server.LocalAddr().Network(), server.RemoteAddr().Network()} {
		require.Equal(t, "udp", addr)
	}
	return client, server
}

// ends runs a scenario with either end as the one that is looked at.
func ends(t *testing.T, scenario func(t *testing.T, c, peer *websocket.Conn)) {
	for _, name := range []string{"client", "server"} {
		t.Run(name, func(t *testing.T) {
			c, peer := pair(t, new(websocket.Upgrader), new(websocket.Dialer))
			if name == "server" {
				c, peer = peer, c
			}
			scenario(t, c, peer)
		})
	}
}

type outcome struct {
	message string
	err     error
}

func readSoon(ctx context.Context, c *websocket.Conn) <-chan outcome {
	ch := make(chan outcome, 1)
	go func() {
		_, p, err := c.ReadMessageContext(ctx, nil)
		ch <- outcome{string(p), err}
	}()
	return ch
}

func send(t *testing.T, c *websocket.Conn, message string) {
	t.Helper()
	require.NoError(t, c.WriteMessage(websocket.TextMessage, []byte(message)))
}

func TestNegotiation(t *testing.T) {
	terms := &websocket.Compression{}
	u := &websocket.Upgrader{Subprotocols: []string{"b"}, Options: websocket.Options{Compression: terms}}
	d := &websocket.Dialer{Subprotocols: []string{"a", "b"}, Options: websocket.Options{Compression: terms}}
	client, server := pair(t, u, d)
	for _, c := range []*websocket.Conn{client, server} {
		require.Equal(t, "b", c.Subprotocol())
		require.NotNil(t, c.Negotiated().Compression)
	}
	message := strings.Repeat("again and again ", 10_000)
	for range 3 {
		send(t, client, message)
		requireMessage(t, server, message)
		send(t, server, message)
		requireMessage(t, client, message)
	}
	require.Less(t, server.Stats().WireRead, int64(len(message)), "nothing was compressed")
}

// The ways a server has to answer, and to end.
func TestHandlers(t *testing.T) {
	var u websocket.Upgrader
	for _, tt := range []struct {
		name    string
		handler http.Handler
	}{
		{"Serve", echo(&u)},
		{"Start", u.Handler(func(c *websocket.Conn, r *http.Request) error {
			c.Start(func(m websocket.Message) error { return c.WriteMessage(m.Type, m.Data) }, nil)
			return nil
		})},
		{"Upgrade and Context", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c, err := u.Upgrade(w, r, nil)
			if err != nil {
				return
			}
			c.Start(func(m websocket.Message) error { return c.WriteMessage(m.Type, m.Data) }, nil)
			<-c.Context().Done()
		})},
	} {
		t.Run(tt.name, func(t *testing.T) {
			returned := make(chan struct{}, 1)
			s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				tt.handler.ServeHTTP(w, r)
				returned <- struct{}{}
			}))
			d := &websocket.Dialer{Transport: transport(t)}
			for range 20 {
				c := dial(t, d, s.url)
				for _, size := range []int{0, 1, 1000, 100_000} {
					requireEcho(t, c, strings.Repeat("x", size))
				}
				require.Empty(t, returned)
				require.NoError(t, c.Shutdown(t.Context(), websocket.CloseNormalClosure, "bye"))
				receive(t, returned)
			}
			c := dial(t, d, s.url)
			requireEcho(t, c, "one more, and no farewell")
			require.NoError(t, c.NetConn().Close())
			receive(t, returned)
		})
	}
}

func TestRefusals(t *testing.T) {
	reasons := make(chan error, 1)
	u := websocket.Upgrader{Error: func(w http.ResponseWriter, r *http.Request, status int, reason error) {
		reasons <- reason
		http.Error(w, reason.Error(), status)
	}}
	s := serve(t, echo(&u))
	tr := transport(t)
	for _, tt := range []struct {
		name   string
		edit   func(r *http.Request)
		status int
	}{
		{"origin", func(r *http.Request) { r.Header.Set("Origin", "https://elsewhere.example") }, http.StatusForbidden},
		{"version", func(r *http.Request) { r.Header.Set("Sec-WebSocket-Version", "8") }, http.StatusBadRequest},
		{"protocol", func(r *http.Request) { r.Header[":protocol"] = []string{"connect-udp"} }, http.StatusNotImplemented},
		{"extensions", func(r *http.Request) { r.Header.Set("Sec-WebSocket-Extensions", ";") }, http.StatusBadRequest},
	} {
		t.Run(tt.name, func(t *testing.T) {
			body, w := io.Pipe()
			req := request(t, s, body)
			tt.edit(req)
			resp, err := tr.RoundTrip(req)
			require.NoError(t, err)
			require.Equal(t, tt.status, resp.StatusCode)
			require.Equal(t, "13", resp.Header.Get("Sec-WebSocket-Version"))
			p, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			require.Equal(t, receive(t, reasons).Error()+"\n", string(p))
			require.NoError(t, resp.Body.Close())
			_, err = w.Write([]byte("x"))
			require.ErrorIs(t, err, io.ErrClosedPipe, "the body of the request is not closed")
		})
	}
	t.Run("Dial", func(t *testing.T) {
		d := &websocket.Dialer{Transport: tr}
		_, resp, err := d.Dial(s.url, http.Header{"Origin": {"https://elsewhere.example"}})
		require.Equal(t, websocket.ErrBadHandshake, err)
		require.Equal(t, http.StatusForbidden, resp.StatusCode)
		p, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Equal(t, receive(t, reasons).Error()+"\n", string(p))
	})
	requireIdle(t, tr, s.addr)
}

// request returns the request for a WebSocket that a Dialer would make.
func request(t testing.TB, s *server, body io.ReadCloser) *http.Request {
	req, err := http.NewRequestWithContext(t.Context(), http.MethodConnect, "https"+strings.TrimPrefix(s.url, "wss"), body)
	require.NoError(t, err)
	req.Header[":protocol"] = []string{"websocket"}
	req.Header.Set("Sec-WebSocket-Version", "13")
	req.ContentLength = -1
	return req
}

func TestReadsThatEndEarly(t *testing.T) {
	enough := errors.New("enough")
	t.Run("cancelled", func(t *testing.T) {
		ends(t, func(t *testing.T, c, peer *websocket.Conn) {
			for range 10 {
				ctx, cancel := context.WithCancelCause(t.Context())
				read := readSoon(ctx, c)
				cancel(enough)
				require.Equal(t, outcome{err: enough}, receive(t, read))
			}
			read := readSoon(t.Context(), c)
			send(t, peer, "for the one that waits")
			require.Equal(t, outcome{message: "for the one that waits"}, receive(t, read))
			send(t, peer, "for the next")
			requireMessage(t, c, "for the next")
		})
	})
	t.Run("deadline", func(t *testing.T) {
		ends(t, func(t *testing.T, c, peer *websocket.Conn) {
			for range 10 {
				require.NoError(t, c.SetReadDeadline(time.Now().Add(time.Millisecond)))
				require.ErrorIs(t, receive(t, readSoon(context.Background(), c)).err, os.ErrDeadlineExceeded)
			}
			require.NoError(t, c.SetReadDeadline(time.Time{}))
			send(t, peer, "late")
			requireMessage(t, c, "late")
		})
	})
	t.Run("within a frame", func(t *testing.T) {
		ends(t, func(t *testing.T, c, peer *websocket.Conn) {
			frame := wstest.Frame{Opcode: wstest.Text, Payload: "in two parts"}
			b := frame.Unmasked()
			if !c.Negotiated().Server {
				_, err := peer.NetConn().Write(b[:1])
				require.NoError(t, err)
			} else {
				b = frame.Masked()
				_, err := peer.NetConn().Write(b[:1])
				require.NoError(t, err)
			}
			for range 3 {
				require.NoError(t, c.SetReadDeadline(time.Now().Add(time.Millisecond)))
				require.ErrorIs(t, receive(t, readSoon(context.Background(), c)).err, os.ErrDeadlineExceeded)
			}
			require.NoError(t, c.SetReadDeadline(time.Time{}))
			_, err := peer.NetConn().Write(b[1:])
			require.NoError(t, err)
			requireMessage(t, c, frame.Payload)
		})
	})
}

// A write that the peer does not read ends at its deadline, and so does the connection.
func TestWriteDeadline(t *testing.T) {
	ends(t, func(t *testing.T, c, peer *websocket.Conn) {
		require.NoError(t, c.SetWriteDeadline(time.Now().Add(50*time.Millisecond)))
		written := make(chan error, 1)
		go func() {
			for {
				if err := c.WriteMessage(websocket.BinaryMessage, make([]byte, 1<<20)); err != nil {
					written <- err
					return
				}
			}
		}()
		require.ErrorIs(t, receive(t, written), os.ErrDeadlineExceeded)
		require.NoError(t, c.Close())
		for {
			_, _, err := peer.ReadMessage()
			if err != nil {
				require.NotErrorIs(t, err, io.EOF)
				break
			}
		}
	})
}

// When the peer resets the stream, or its connection goes, reads and writes return.
func TestPeerGoes(t *testing.T) {
	ends(t, func(t *testing.T, c, peer *websocket.Conn) {
		read := readSoon(context.Background(), c)
		require.NoError(t, peer.Close())
		require.Error(t, receive(t, read).err)
		failed := make(chan error, 1)
		go func() {
			for {
				if err := c.WriteMessage(websocket.BinaryMessage, make([]byte, 1000)); err != nil {
					failed <- err
					return
				}
			}
		}()
		require.Error(t, receive(t, failed))
	})
}

func TestServersEnd(t *testing.T) {
	t.Run("Shutdown", func(t *testing.T) {
		s := serve(t, echo(new(websocket.Upgrader)))
		d := &websocket.Dialer{Transport: transport(t)}
		var reads []<-chan outcome
		for range 3 {
			c := dial(t, d, s.url)
			requireEcho(t, c, "hello")
			reads = append(reads, readSoon(t.Context(), c))
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		require.NoError(t, errors.Join(s.hs.Shutdown(ctx), s.Shutdown(ctx)))
		for _, read := range reads {
			var closed *websocket.CloseError
			require.ErrorAs(t, receive(t, read).err, &closed)
			require.Equal(t, websocket.CloseGoingAway, closed.Code)
		}
	})
	t.Run("Close", func(t *testing.T) {
		s := serve(t, echo(new(websocket.Upgrader)))
		c := dial(t, &websocket.Dialer{Transport: transport(t)}, s.url)
		requireEcho(t, c, "hello")
		read := readSoon(t.Context(), c)
		require.NoError(t, s.Close())
		require.Error(t, receive(t, read).err)
	})
}

// What quic-go's own configuration says is left alone.
func TestConfigure(t *testing.T) {
	type key struct{}
	own := &quic.Config{MaxIncomingStreams: 7, MaxStreamReceiveWindow: 1 << 20, MaxConnectionReceiveWindow: 2 << 20}
	before := *own
	hs := new(http.Server)
	s := &http3.Server{QUICConfig: own, ConnContext: func(ctx context.Context, _ *quic.Conn) context.Context {
		return context.WithValue(ctx, key{}, "own")
	}}
	Configure(s, hs)
	require.Equal(t, before, *own)
	require.Equal(t, int64(7), s.QUICConfig.MaxIncomingStreams)
	require.Zero(t, s.QUICConfig.InitialStreamReceiveWindow)
	require.Zero(t, s.QUICConfig.InitialConnectionReceiveWindow)
	ctx := s.ConnContext(t.Context(), nil)
	require.Equal(t, "own", ctx.Value(key{}))
	require.Equal(t, hs, ctx.Value(http.ServerContextKey))

	s = new(http3.Server)
	Configure(s, hs)
	require.Equal(t, int64(incomingStreams), s.QUICConfig.MaxIncomingStreams)
	require.Equal(t, uint64(maxStreamWindow), s.QUICConfig.MaxStreamReceiveWindow)
	require.Equal(t, uint64(connectionWindow), s.QUICConfig.InitialConnectionReceiveWindow)
	require.True(t, s.QUICConfig.Allow0RTT, "as without Configure")
}

// WebSockets that nobody reads do not hold up others on the same connection, on neither
// end.
func TestStalledStreams(t *testing.T) {
	const stalled, message = 8, 64 << 10
	flood := func(c *websocket.Conn) {
		for c.WriteMessage(websocket.BinaryMessage, make([]byte, message)) == nil {
		}
	}
	conns := make(chan *websocket.Conn, stalled)
	var u websocket.Upgrader
	mux := http.NewServeMux()
	mux.Handle("/", echo(&u))
	mux.Handle("/stall", u.Handler(func(c *websocket.Conn, r *http.Request) error {
		conns <- c
		flood(c)
		return nil
	}))
	s := serve(t, mux)
	tr := transport(t)
	d := &websocket.Dialer{Transport: tr}
	var all []*websocket.Conn
	for range stalled {
		c := dial(t, d, s.url+"stall")
		all = append(all, c, receive(t, conns))
		go flood(c)
	}
	written := func() (n int64) {
		for _, c := range all {
			n += c.Stats().WireWritten
		}
		return n
	}
	c := dial(t, d, s.url)
	for still := 0; still < 10; {
		before := written()
		requireEcho(t, c, strings.Repeat("x", 10_000))
		if still++; before < stalled*2*message || written() != before {
			still = 0
		}
	}
	require.Len(t, connections(tr, s.addr), 1)
}

// A client may send trailers, which say nothing to us (RFC 9114, section 4.1): its end is
// one without a close frame.
func TestTrailers(t *testing.T) {
	for _, name := range []string{"read", "cancelled read"} {
		t.Run(name, func(t *testing.T) {
			var u websocket.Upgrader
			ended := make(chan error, 1)
			s := serve(t, u.Handler(func(c *websocket.Conn, r *http.Request) error {
				ctx := context.Background()
				if name == "cancelled read" {
					ctx = r.Context()
				}
				_, p, err := c.ReadMessageContext(ctx, nil)
				if err == nil {
					_, _, err = c.ReadMessageContext(ctx, p)
				}
				ended <- err
				return nil
			}))
			_, config := identity()
			config = config.Clone()
			config.NextProtos = []string{http3.NextProtoH3}
			qc, err := quic.DialAddr(t.Context(), s.addr, config, nil)
			require.NoError(t, err)
			defer qc.CloseWithError(0, "")
			req := request(t, s, io.NopCloser(strings.NewReader(string(wstest.Frame{Opcode: wstest.Text, Payload: "hello"}.Masked()))))
			req.Proto = req.Header[":protocol"][0]
			delete(req.Header, ":protocol")
			req.Trailer = http.Header{"Checksum": {"0"}}
			resp, err := new(http3.Transport).NewClientConn(qc).RoundTrip(req)
			require.NoError(t, err)
			require.Equal(t, http.StatusOK, resp.StatusCode)
			var closed *websocket.CloseError
			require.ErrorAs(t, receive(t, ended), &closed)
			require.Equal(t, websocket.CloseAbnormalClosure, closed.Code)
		})
	}
}

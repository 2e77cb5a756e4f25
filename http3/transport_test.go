package http3

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"github.com/quic-go/quic-go/quicvarint"
	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket"
	"github.com/duplexkit/websocket/internal/wstest"
)

// What was written before Close arrives, though Close does not wait for it: a reset would
// have QUIC throw away what the server has not read yet (RFC 9000, section 3.2).
func TestCloseBehindWrites(t *testing.T) {
	read, got := make(chan struct{}), make(chan string, 1)
	var u websocket.Upgrader
	mux := http.NewServeMux()
	mux.Handle("/echo", echo(&u))
	mux.Handle("/", u.Handler(func(c *websocket.Conn, r *http.Request) error {
		<-read
		_, p, err := c.ReadMessage()
		if err != nil {
			p = []byte(err.Error())
		}
		got <- string(p)
		return err
	}))
	s := serve(t, mux)
	d := &websocket.Dialer{Transport: transport(t)}
	other := dial(t, d, s.url+"echo")
	for _, size := range []int{1, 100, 10_000} {
		for range 10 {
			c := dial(t, d, s.url)
			message := strings.Repeat("x", size)
			require.NoError(t, c.WriteMessage(websocket.TextMessage, []byte(message)))
			requireEcho(t, other, "what was written is on its way")
			require.NoError(t, c.NetConn().Close())
			requireEcho(t, other, "so is the end")
			read <- struct{}{}
			require.Equal(t, message, receive(t, got))
		}
	}
}

// raw is a handler that answers an extended CONNECT and has the stream to itself.
func raw(f func(str *http3.Stream)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		str, err := w.(http3.HTTPStreamer).HTTPStream()
		if err != nil {
			return
		}
		f(str)
	})
}

// A rawConn is a stream as a wstest.Peer wants it.
type rawConn struct {
	*http3.Stream
	addresses
}

func (c rawConn) Read(p []byte) (int, error)          { return c.Stream.Read(p) }
func (c rawConn) Write(p []byte) (int, error)         { return c.Stream.Write(p) }
func (c rawConn) Close() error                        { return c.Stream.Close() }
func (c rawConn) SetDeadline(at time.Time) error      { return c.Stream.SetDeadline(at) }
func (c rawConn) SetReadDeadline(at time.Time) error  { return c.Stream.SetReadDeadline(at) }
func (c rawConn) SetWriteDeadline(at time.Time) error { return c.Stream.SetWriteDeadline(at) }

// Our client and a server that knows no library, frame by frame.
func TestFrames(t *testing.T) {
	done := make(chan struct{})
	s := serve(t, raw(func(str *http3.Stream) {
		defer close(done)
		p := wstest.NewServer(t, rawConn{Stream: str})
		p.Expect(wstest.Frame{Opcode: wstest.Text, Payload: "hello"})
		p.Send(wstest.Frame{Opcode: wstest.Text, More: true, Payload: "in "}, wstest.Frame{Opcode: wstest.Ping, Payload: "?"},
			wstest.Frame{Payload: "two"})
		p.Expect(wstest.Frame{Opcode: wstest.Pong, Payload: "?"})
		p.ExpectClose(websocket.CloseNormalClosure)
		p.Send(wstest.Frame{Opcode: wstest.Close, Payload: "\x03\xe8"})
		str.Close()
		p.ExpectEnd()
	}))
	c := dial(t, &websocket.Dialer{Transport: transport(t)}, s.url)
	send(t, c, "hello")
	requireMessage(t, c, "in two")
	require.NoError(t, c.Shutdown(t.Context(), websocket.CloseNormalClosure, ""))
	receive(t, done)
}

// Many that are opened at once wait for one connection, and share it.
func TestOneConnection(t *testing.T) {
	s := serve(t, echo(new(websocket.Upgrader)))
	tr := transport(t)
	d := &websocket.Dialer{Transport: tr}
	conns := make([]*websocket.Conn, 50)
	var opening sync.WaitGroup
	for i := range conns {
		opening.Go(func() {
			c, _, err := d.Dial(s.url, nil)
			if err != nil {
				t.Error(err)
				return
			}
			conns[i] = c
		})
	}
	opening.Wait()
	require.Len(t, connections(tr, s.addr), 1)
	for _, c := range conns {
		require.Equal(t, conns[0].LocalAddr(), c.LocalAddr())
		requireEcho(t, c, "hello")
		require.NoError(t, c.Shutdown(t.Context(), websocket.CloseNormalClosure, ""))
	}
	requireIdle(t, tr, s.addr)
}

// Where the server allows few streams, there are more connections, and streams that have
// ended make room.
func TestMoreConnections(t *testing.T) {
	s := serve(t, echo(new(websocket.Upgrader)), func(s *http3.Server) { s.QUICConfig = &quic.Config{MaxIncomingStreams: 3} })
	tr := transport(t)
	d := &websocket.Dialer{Transport: tr}
	var conns []*websocket.Conn
	for range 7 {
		c := dial(t, d, s.url)
		requireEcho(t, c, "hello")
		conns = append(conns, c)
	}
	require.Len(t, connections(tr, s.addr), 3)
	first := connections(tr, s.addr)[0]
	require.NoError(t, conns[0].Shutdown(t.Context(), websocket.CloseNormalClosure, ""))
	require.Eventually(t, func() bool {
		tr.mu.Lock()
		defer tr.mu.Unlock()
		return !first.full
	}, patience, time.Millisecond)
	c := dial(t, d, s.url)
	require.Equal(t, conns[1].LocalAddr(), c.LocalAddr(), "there was room on the first")
	require.Len(t, connections(tr, s.addr), 3)
}

// A server that allows no streams at all gets one connection, and not one after another.
func TestNoStreams(t *testing.T) {
	s := serve(t, echo(new(websocket.Upgrader)), func(s *http3.Server) { s.QUICConfig = &quic.Config{MaxIncomingStreams: -1} })
	tr := transport(t)
	_, _, err := (&websocket.Dialer{Transport: tr}).Dial(s.url, nil)
	require.ErrorIs(t, err, errFull)
	require.Len(t, connections(tr, s.addr), 1)
}

// A connection that is over is replaced, and WebSockets on it end.
func TestConnectionsThatEnd(t *testing.T) {
	var u websocket.Upgrader
	t.Run("closed by the server", func(t *testing.T) {
		s := serve(t, echo(&u))
		tr := transport(t)
		d := &websocket.Dialer{Transport: tr}
		c := dial(t, d, s.url)
		read := readSoon(t.Context(), c)
		require.NoError(t, connections(tr, s.addr)[0].qc.CloseWithError(0, "")) // as if by the server
		require.Error(t, receive(t, read).err)
		again := dial(t, d, s.url)
		requireEcho(t, again, "hello")
		require.NotEqual(t, c.LocalAddr().String(), again.LocalAddr().String())
	})
	t.Run("GOAWAY", func(t *testing.T) { // RFC 9114, section 5.2
		s := serve(t, echo(&u))
		tr := transport(t)
		d := &websocket.Dialer{Transport: tr}
		c := dial(t, d, s.url)
		down := make(chan error, 1)
		go func() { down <- s.Shutdown(t.Context()) }()
		tr.HandshakeTimeout = 100 * time.Millisecond
		require.Eventually(t, func() bool {
			body, _ := io.Pipe()
			resp, err := tr.RoundTrip(request(t, s, body))
			if err != nil {
				return errors.Is(err, errors.ErrUnsupported) // there is no new connection any more
			}
			resp.Body.Close() // Shutdown had not begun
			return false
		}, patience, time.Millisecond)
		requireEcho(t, c, "goes on")
		require.NoError(t, c.Shutdown(t.Context(), websocket.CloseNormalClosure, ""))
		require.NoError(t, receive(t, down))
		require.Eventually(t, func() bool { return len(connections(tr, s.addr)) == 0 }, patience, time.Millisecond)
	})
	t.Run("idle", func(t *testing.T) {
		s := serve(t, echo(&u))
		tr := transport(t)
		d := &websocket.Dialer{Transport: tr}
		c := dial(t, d, s.url)
		qc := connections(tr, s.addr)[0]
		qc.expire()
		tr.CloseIdleConnections()
		requireEcho(t, c, "not idle")
		require.NoError(t, c.Shutdown(t.Context(), websocket.CloseNormalClosure, ""))
		requireIdle(t, tr, s.addr).idle.Reset(0) // the 90 seconds are over
		receive(t, qc.qc.Context().Done())
		require.Eventually(t, func() bool { return len(connections(tr, s.addr)) == 0 }, patience, time.Millisecond)

		require.NoError(t, dial(t, d, s.url).Close())
		qc = requireIdle(t, tr, s.addr)
		tr.CloseIdleConnections()
		receive(t, qc.qc.Context().Done())
		requireEcho(t, dial(t, d, s.url), "hello")
	})
	t.Run("Close", func(t *testing.T) {
		s := serve(t, echo(&u))
		tr := transport(t)
		d := &websocket.Dialer{Transport: tr}
		read := readSoon(t.Context(), dial(t, d, s.url))
		require.NoError(t, tr.Close())
		require.Error(t, receive(t, read).err)
		_, _, err := d.Dial(s.url, nil)
		require.ErrorIs(t, err, errClosed)
		require.NoError(t, tr.Close())
	})
	t.Run("Close while one is made", func(t *testing.T) {
		addr := silence(t)
		tr := transport(t)
		failed := make(chan error, 1)
		go func() {
			_, _, err := (&websocket.Dialer{Transport: tr}).Dial("wss://"+addr, nil)
			failed <- err
		}()
		require.Eventually(t, func() bool {
			tr.mu.Lock()
			defer tr.mu.Unlock()
			return tr.hosts[addr] != nil
		}, patience, time.Millisecond)
		require.NoError(t, tr.Close())
		require.ErrorIs(t, receive(t, failed), errClosed)
	})
}

// silence returns an address at which UDP arrives and is not answered.
func silence(t testing.TB) string {
	noLeaks(t)
	udp, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(t, err)
	t.Cleanup(func() { udp.Close() })
	return udp.LocalAddr().String()
}

// listenQUIC has accept called with each connection to an address.
func listenQUIC(t testing.TB, alpn string, accept func(qc *quic.Conn)) string {
	noLeaks(t)
	config, _ := identity()
	config = config.Clone()
	config.NextProtos = []string{alpn}
	ln, err := quic.ListenAddr("127.0.0.1:0", config, nil)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			qc, err := ln.Accept(ctx)
			if err != nil {
				return
			}
			accept(qc)
			defer qc.CloseWithError(0, "")
		}
	})
	t.Cleanup(func() {
		cancel()
		ln.Close()
		serving.Wait()
	})
	return ln.Addr().String()
}

// settings opens a control stream that says nothing of extended CONNECT (RFC 9114, section
// 7.2.4).
func settings(t testing.TB) func(qc *quic.Conn) {
	return func(qc *quic.Conn) {
		str, err := qc.OpenUniStream()
		if err == nil {
			const control, settings = 0x00, 0x04
			_, err = str.Write(quicvarint.Append(quicvarint.Append(quicvarint.Append(nil, control), settings), 0))
		}
		if err != nil {
			t.Error(err)
		}
	}
}

// A server that does not do it, for which there is HTTP/1.1.
func TestFallback(t *testing.T) {
	for _, tt := range []struct {
		name    string
		server  func(t *testing.T) (addr string)
		timeout time.Duration // of the handshake, short where nothing else tells
		reason  string
	}{
		{"no QUIC", func(t *testing.T) string { return silence(t) }, 300 * time.Millisecond, "no QUIC connection to 127.0.0.1:"},
		{"no HTTP/3", func(t *testing.T) string { return listenQUIC(t, "other", func(*quic.Conn) {}) }, patience, "no HTTP/3 connection: "},
		{"no SETTINGS", func(t *testing.T) string { return listenQUIC(t, http3.NextProtoH3, func(*quic.Conn) {}) }, 300 * time.Millisecond, "no QUIC connection to 127.0.0.1:"},
		{"no extended CONNECT", func(t *testing.T) string { return listenQUIC(t, http3.NextProtoH3, settings(t)) }, patience, "the server does not do extended CONNECT"},
		{"goodbye", func(t *testing.T) string {
			return listenQUIC(t, http3.NextProtoH3, func(qc *quic.Conn) { qc.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeNoError), "") })
		}, patience, "the server ended the connection"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			addr := tt.server(t)
			// The same host and port over TCP, where a Dialer finds HTTP/1.1.
			tcp := httptest.NewTLSServer(echo(new(websocket.Upgrader)))
			defer tcp.Close()
			_, config := identity()
			tr := transport(t)
			tr.HandshakeTimeout = tt.timeout
			d := &websocket.Dialer{
				Transport: tr, TLSClientConfig: config, HandshakeTimeout: patience,
				NetDial: func(network, _ string) (net.Conn, error) { return net.Dial(network, tcp.Listener.Addr().String()) },
			}
			for range 2 {
				c, resp, err := d.Dial("wss://"+addr+"/", nil)
				require.NoError(t, err)
				require.Equal(t, 1, resp.ProtoMajor)
				requireEcho(t, c, "hello")
				require.NoError(t, c.Close())
			}

			req := request(t, &server{url: "wss://" + addr}, nil)
			_, err := tr.RoundTrip(req)
			require.ErrorIs(t, err, errors.ErrUnsupported)
			require.EqualError(t, err, "http3: the server did not do extended CONNECT before")
			tr.mu.Lock()
			tr.without[addr] = time.Now() // when it is to be forgotten
			tr.mu.Unlock()
			_, err = tr.RoundTrip(req)
			require.ErrorIs(t, err, errors.ErrUnsupported)
			require.ErrorContains(t, err, "http3: "+tt.reason)
		})
	}
}

// A client of a great many servers does not remember them all.
func TestForgets(t *testing.T) {
	tr := transport(t)
	for i := range 2 * remembered {
		addr := fmt.Sprintf("host:%d", i)
		tr.remember(addr)
		require.True(t, tr.knows(addr))
	}
	require.Len(t, tr.without, remembered)
}

func TestRequestsDeclined(t *testing.T) {
	s := serve(t, echo(new(websocket.Upgrader)))
	for _, tt := range []struct {
		name        string
		edit        func(r *http.Request, tr *Transport)
		unsupported bool
	}{
		{"http", func(r *http.Request, _ *Transport) { r.URL.Scheme = "http" }, true},
		{"method", func(r *http.Request, _ *Transport) { r.Method = http.MethodGet }, false},
		{"no protocol", func(r *http.Request, _ *Transport) { delete(r.Header, ":protocol") }, false},
		{"host", func(r *http.Request, _ *Transport) { r.URL.Host = "a\u200bb" }, false},
		{"no such host", func(r *http.Request, _ *Transport) { r.URL.Host = "host.invalid" }, false},
		{"header", func(r *http.Request, _ *Transport) { r.Header["A B"] = []string{"x"} }, false},
		{"certificate", func(_ *http.Request, tr *Transport) { tr.TLSClientConfig = nil }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			body, w := io.Pipe()
			tr := transport(t)
			req := request(t, s, body)
			tt.edit(req, tr)
			_, err := tr.RoundTrip(req)
			require.Error(t, err)
			require.Equal(t, tt.unsupported, errors.Is(err, errors.ErrUnsupported), "%v", err)
			_, err = w.Write([]byte("x"))
			require.ErrorIs(t, err, io.ErrClosedPipe, "the body is not closed")
			for _, c := range connections(tr, s.addr) {
				require.Zero(t, c.streams)
			}
		})
	}
}

// At each stage the server stalls, the context ends, and Dial returns its cause.
func TestDialCancelled(t *testing.T) {
	enough := errors.New("enough")
	for _, tt := range []struct {
		name string
		addr func(t *testing.T, reached func()) string
	}{
		{"QUIC handshake", func(t *testing.T, reached func()) string {
			noLeaks(t)
			udp, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
			require.NoError(t, err)
			go func() {
				_, _, _ = udp.ReadFrom(make([]byte, 2000))
				reached()
			}()
			t.Cleanup(func() { udp.Close() })
			return udp.LocalAddr().String()
		}},
		{"SETTINGS", func(t *testing.T, reached func()) string {
			return listenQUIC(t, http3.NextProtoH3, func(*quic.Conn) { reached() })
		}},
		{"answer", func(t *testing.T, reached func()) string {
			return serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				reached()
				<-r.Context().Done()
			})).addr
		}},
		{"body of a refusal", func(t *testing.T, reached func()) string {
			return serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(http.StatusForbidden)
				io.WriteString(w, "no")
				http.NewResponseController(w).Flush()
				reached()
				<-r.Context().Done()
			})).addr
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			addr := tt.addr(t, func() { cancel(enough) })
			d := &websocket.Dialer{Transport: transport(t)}
			failed := make(chan error, 1)
			go func() {
				_, _, err := d.DialContext(ctx, "wss://"+addr+"/", nil)
				failed <- err
			}()
			require.Equal(t, enough, receive(t, failed))
		})
	}
}

// That who began to make a connection gives up does not concern those who wait for it.
func TestDialOfOthers(t *testing.T) {
	began, goOn := make(chan struct{}), make(chan struct{})
	s := serve(t, echo(new(websocket.Upgrader)), func(s *http3.Server) {
		s.TLSConfig = s.TLSConfig.Clone()
		s.TLSConfig.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
			close(began)
			<-goOn
			return nil, nil
		}
	})
	tr := transport(t)
	d := &websocket.Dialer{Transport: tr}
	enough := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	dialed := [2]chan error{make(chan error, 1), make(chan error, 1)}
	go func() {
		_, _, err := d.DialContext(ctx, s.url, nil)
		dialed[0] <- err
	}()
	receive(t, began)
	go func() {
		c, _, err := d.Dial(s.url, nil)
		if err == nil {
			err = c.Close()
		}
		dialed[1] <- err
	}()
	cancel(enough)
	require.Equal(t, enough, receive(t, dialed[0]))
	close(goOn)
	require.NoError(t, receive(t, dialed[1]))
	requireIdle(t, tr, s.addr)
}

// The four ways in which the directions of a stream end.
func TestEndsOfStreams(t *testing.T) {
	streams := make(chan *http3.Stream, 1)
	s := serve(t, raw(func(str *http3.Stream) { streams <- str }))
	tr := transport(t)
	begin := func(t *testing.T, ctx context.Context) (*http.Response, *io.PipeWriter, *http3.Stream) {
		body, w := io.Pipe()
		resp, err := tr.RoundTrip(request(t, s, body).WithContext(ctx))
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, resp.StatusCode)
		require.NotNil(t, resp.TLS)
		require.Equal(t, ctx, resp.Request.Context())
		str := receive(t, streams)
		str.SetDeadline(time.Now().Add(patience))
		_, err = w.Write([]byte("from the client"))
		require.NoError(t, err)
		_, err = str.Write([]byte("from the server"))
		require.NoError(t, err)
		return resp, w, str
	}
	closed := func(t *testing.T, w *io.PipeWriter) {
		t.Helper()
		require.Eventually(t, func() bool {
			_, err := w.Write([]byte("x"))
			return errors.Is(err, io.ErrClosedPipe)
		}, patience, time.Millisecond)
	}
	cancelledByPeer := &http3.Error{Remote: true, ErrorCode: http3.ErrCodeRequestCanceled}

	t.Run("end", func(t *testing.T) {
		resp, w, str := begin(t, t.Context())
		require.NoError(t, w.Close())
		p, err := io.ReadAll(str)
		require.NoError(t, err)
		require.Equal(t, "from the client", string(p))
		_, err = str.Write([]byte(", which goes on"))
		require.NoError(t, err)
		require.NoError(t, str.Close())
		p, err = io.ReadAll(resp.Body)
		require.NoError(t, err, "FIN is io.EOF")
		require.Equal(t, "from the server, which goes on", string(p))
		requireIdle(t, tr, s.addr)
		require.NoError(t, resp.Body.Close())
		requireIdle(t, tr, s.addr)
	})
	t.Run("reset by the server", func(t *testing.T) {
		resp, w, str := begin(t, t.Context())
		str.CancelWrite(quic.StreamErrorCode(http3.ErrCodeInternalError))
		_, err := io.ReadAll(resp.Body)
		require.ErrorIs(t, err, &http3.Error{Remote: true, ErrorCode: http3.ErrCodeInternalError})
		str.CancelRead(quic.StreamErrorCode(http3.ErrCodeInternalError))
		closed(t, w)
		requireIdle(t, tr, s.addr)
	})
	t.Run("the server wants no more", func(t *testing.T) {
		resp, w, str := begin(t, t.Context())
		str.CancelRead(quic.StreamErrorCode(http3.ErrCodeNoError))
		closed(t, w) // though nobody writes
		require.NoError(t, str.Close())
		p, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Equal(t, "from the server", string(p))
		requireIdle(t, tr, s.addr)
	})
	t.Run("closed", func(t *testing.T) {
		resp, w, str := begin(t, t.Context())
		require.NoError(t, resp.Body.Close())
		_, err := io.ReadAll(str)
		require.ErrorIs(t, err, cancelledByPeer)
		require.Eventually(t, func() bool {
			_, err := str.Write([]byte("x"))
			return errors.Is(err, cancelledByPeer)
		}, patience, time.Millisecond)
		closed(t, w)
		requireIdle(t, tr, s.addr)
	})
	t.Run("context", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		resp, w, str := begin(t, ctx)
		cancel()
		_, err := io.ReadAll(resp.Body)
		require.Error(t, err)
		_, err = io.ReadAll(str)
		require.ErrorIs(t, err, cancelledByPeer)
		closed(t, w)
		requireIdle(t, tr, s.addr)
	})
	t.Run("context, while the server does not read", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		resp, w, str := begin(t, ctx)
		blocked := make(chan error, 1)
		go func() {
			for {
				if _, err := w.Write(make([]byte, 1<<20)); err != nil {
					blocked <- err
					return
				}
			}
		}()
		require.Eventually(t, func() bool { // all that may be sent has come
			n, err := str.Read(make([]byte, 10))
			return n > 0 && err == nil
		}, patience, time.Millisecond)
		cancel()
		require.ErrorIs(t, receive(t, blocked), io.ErrClosedPipe)
		require.NoError(t, resp.Body.Close())
		requireIdle(t, tr, s.addr)
		str.CancelWrite(0)
		str.CancelRead(0)
	})
	t.Run("a body that fails", func(t *testing.T) {
		_, w, str := begin(t, t.Context())
		w.CloseWithError(errors.New("no more"))
		_, err := io.ReadAll(str)
		require.ErrorIs(t, err, cancelledByPeer)
		require.NoError(t, str.Close())
	})
}

func TestInterimResponses(t *testing.T) {
	var count atomic.Int32
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for range count.Load() {
			w.WriteHeader(http.StatusEarlyHints)
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	tr := transport(t)
	for n := range int32(maxInterim + 2) {
		count.Store(n)
		resp, err := tr.RoundTrip(request(t, s, nil))
		if n > maxInterim {
			require.EqualError(t, err, "http3: too many interim responses")
			break
		}
		require.NoError(t, err)
		require.Equal(t, http.StatusNoContent, resp.StatusCode)
		require.NoError(t, resp.Body.Close())
	}
	requireIdle(t, tr, s.addr)
}

func TestTrace(t *testing.T) {
	s := serve(t, echo(new(websocket.Upgrader)))
	tr := transport(t)
	for _, reused := range []bool{false, true} {
		var asked []string
		var got []httptrace.GotConnInfo
		req := request(t, s, nil)
		req = req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
			GetConn: func(addr string) { asked = append(asked, addr) },
			GotConn: func(info httptrace.GotConnInfo) { got = append(got, info) },
		}))
		resp, err := tr.RoundTrip(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, []string{s.addr}, asked)
		require.Len(t, got, 1)
		require.Equal(t, reused, got[0].Reused)
		nc := got[0].Conn
		require.Equal(t, s.addr, nc.RemoteAddr().String())
		require.True(t, nc.LocalAddr().(*net.UDPAddr).IP.IsLoopback())
		_, err = nc.Write(nil)
		require.ErrorIs(t, err, errors.ErrUnsupported)
	}
}

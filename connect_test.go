package websocket

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket/http2"
	"github.com/duplexkit/websocket/internal/wstest"
)

// The tests of an exchange are about a stream in memory, which behaves as those of
// net/http and x/net/http2 do. What needs the real ones is further below.

// A memStream is the other side of an exchange.
type memStream struct {
	x     *exchange
	read  io.Reader      // what the exchange sends
	write *io.PipeWriter // what it is to receive
	reset chan struct{}  // closed when it has reset the stream
}

var errReset = errors.New("stream reset")

// newMemStream makes an exchange. Without a reader of memStream.read a write waits.
func newMemStream(t testing.TB, server bool) *memStream {
	in, write := io.Pipe()
	s := &memStream{write: write, reset: make(chan struct{})}
	if server {
		read, w := io.Pipe()
		rw := &memResponse{pipe: w, cut: s.reset}
		s.read = read
		s.x = newExchange(in, &responseOutlet{rw, http.NewResponseController(rw)}, namedAddr{"mem", "s"}, namedAddr{"mem", "c"})
		stop := soon(func() bool {
			s.x.wait() // as the handler does before it returns
			w.Close()
			return true
		})
		t.Cleanup(func() {
			s.x.Close()
			<-stop
		})
		return s
	}
	ctx, cancel := context.WithCancel(context.Background())
	out := newRequestOutlet(cancel)
	s.read = out.body
	s.x = clientExchange(&responseBody{ReadCloser: in}, out, nil)
	context.AfterFunc(ctx, func() { // as an HTTP client does
		close(s.reset)
		write.CloseWithError(errReset)
		out.body.Close()
	})
	t.Cleanup(func() {
		s.x.Close()
		<-s.reset
	})
	return s
}

// A memResponse is a ResponseWriter with nothing between it and the client.
type memResponse struct {
	pipe *io.PipeWriter
	cut  chan struct{}
	once sync.Once
	gone bool // the handler has returned
}

func (w *memResponse) Header() http.Header { return nil }
func (w *memResponse) WriteHeader(int)     {}
func (w *memResponse) FlushError() error   { return nil }

func (w *memResponse) Write(b []byte) (int, error) {
	if w.gone {
		panic("Write called after Handler finished")
	}
	return w.pipe.Write(b)
}

// SetWriteDeadline resets the stream if the time is over.
func (w *memResponse) SetWriteDeadline(t time.Time) error {
	if t.Before(time.Now()) {
		w.once.Do(func() { close(w.cut) })
		w.pipe.CloseWithError(errReset)
	}
	return nil
}

// inStreams runs a scenario with the exchange of a server and that of a client, each
// in a bubble.
func inStreams(t *testing.T, scenario func(t *testing.T, s *memStream)) {
	t.Parallel()
	inBubbles(t, func(t *testing.T, server bool) { scenario(t, newMemStream(t, server)) })
}

type done struct {
	n   int
	err error
}

// readSoon reads up to n bytes.
func (s *memStream) readSoon(n int) <-chan done {
	return soon(func() done {
		n, err := s.x.Read(make([]byte, n))
		return done{n, err}
	})
}

func (s *memStream) writeSoon(b string) <-chan done {
	return soon(func() done {
		n, err := s.x.Write([]byte(b))
		return done{n, err}
	})
}

// send is what the other side sends. It waits until that is read.
func (s *memStream) send(t testing.TB, b string) {
	t.Helper()
	_, err := io.WriteString(s.write, b)
	require.NoError(t, err)
}

func TestExchangeReads(t *testing.T) {
	inStreams(t, func(t *testing.T, s *memStream) {
		n, err := s.x.Read(nil)
		require.Zero(t, n)
		require.NoError(t, err)
		r := s.readSoon(10)
		s.send(t, "hello")
		require.Equal(t, done{5, nil}, <-r)
		r = s.readSoon(10)
		synctest.Wait()
		s.write.Close()
		require.Equal(t, done{0, io.EOF}, <-r)
		require.Equal(t, done{0, io.EOF}, <-s.readSoon(10))
	})
}

// A read that is called off leaves what comes to the next one.
func TestExchangeReadsAreResumed(t *testing.T) {
	for name, later := range map[string]struct{ callsOff func(s *memStream) }{
		"by a deadline":       {func(s *memStream) { s.x.SetReadDeadline(time.Now().Add(time.Second)) }},
		"as it was foreseen":  {func(s *memStream) { s.x.foresee(true) }},
		"by the past at once": {func(s *memStream) { s.x.foresee(true); s.x.SetReadDeadline(time.Now().Add(time.Hour)) }},
	} {
		t.Run(name, func(t *testing.T) {
			inStreams(t, func(t *testing.T, s *memStream) {
				later.callsOff(s)
				r := s.readSoon(10)
				synctest.Wait()
				require.NoError(t, s.x.SetReadDeadline(longAgo))
				require.Equal(t, done{0, os.ErrDeadlineExceeded}, <-r)
				require.Equal(t, done{0, os.ErrDeadlineExceeded}, <-s.readSoon(10))
				require.NoError(t, s.x.SetReadDeadline(time.Time{}))

				r = s.readSoon(2)
				synctest.Wait()
				s.send(t, "hello") // read by what was started for the first
				require.Equal(t, done{2, nil}, <-r)
				got := make([]byte, 10)
				n, err := s.x.Read(got)
				require.NoError(t, err)
				require.Equal(t, "llo", string(got[:n]))

				s.x.SetReadDeadline(time.Now().Add(time.Second))
				r = s.readSoon(10)
				require.Equal(t, done{0, os.ErrDeadlineExceeded}, <-r, "it runs")
				require.NoError(t, s.x.SetReadDeadline(time.Time{}))
				s.write.Close()
				for range 3 {
					require.Equal(t, done{0, io.EOF}, <-s.readSoon(10))
				}
			})
		})
	}
}

// Bytes that come with the end are read before it.
func TestExchangeFetchWithError(t *testing.T) {
	t.Parallel()
	x := newExchange(&endsWith{"bye"}, nil, namedAddr{}, namedAddr{})
	x.foresee(true)
	got := make([]byte, 2)
	n, err := x.Read(got)
	require.NoError(t, err)
	require.Equal(t, "by", string(got[:n]))
	n, err = x.Read(got)
	require.NoError(t, err)
	require.Equal(t, "e", string(got[:n]))
	for range 2 {
		n, err = x.Read(got)
		require.Zero(t, n)
		require.Equal(t, io.EOF, err)
	}
	x = newExchange(&endsWith{"bye"}, nil, namedAddr{}, namedAddr{})
	n, err = x.Read(make([]byte, 10))
	require.Equal(t, 3, n)
	require.Equal(t, io.EOF, err, "the same read, as an io.Reader may")
}

// A read of a body may bring nothing, as those do that find trailers in its place.
func TestExchangeFetchOfNothing(t *testing.T) {
	t.Parallel()
	x := newExchange(io.NopCloser(io.MultiReader(&nothing{}, strings.NewReader("bye"))), nil, namedAddr{}, namedAddr{})
	x.foresee(true)
	n, err := x.Read(make([]byte, 10))
	require.Zero(t, n)
	require.NoError(t, err)
	n, err = x.Read(make([]byte, 10))
	require.Equal(t, 3, n)
	require.NoError(t, err)
}

// nothing is a reader that has nothing once, and then no more.
type nothing struct{ asked bool }

func (r *nothing) Read([]byte) (int, error) {
	if r.asked {
		return 0, io.EOF
	}
	r.asked = true
	return 0, nil
}

// endsWith is a body whose end comes with its last bytes.
type endsWith struct{ words string }

func (b *endsWith) Close() error { return nil }

func (b *endsWith) Read(p []byte) (n int, err error) {
	n = copy(p, b.words)
	if b.words = b.words[n:]; b.words == "" {
		err = io.EOF
	}
	return n, err
}

// Of a message that lies before us to its end, a read that is called off gets the rest,
// if what came before filled the memory for it.
func TestExchangeReadsTheRestOfAMessage(t *testing.T) {
	for name, wary := range map[string]bool{"read by a fetch": true, "read directly": false} {
		t.Run(name, func(t *testing.T) {
			inStreams(t, func(t *testing.T, s *memStream) {
				if wary {
					s.x.foresee(true)
				}
				big := strings.Repeat("x", 1<<minBuffer)
				sent := soon(func() error {
					_, err := io.WriteString(s.write, big+"rest")
					return err
				})
				r := s.readSoon(len(big))
				require.Equal(t, done{len(big), nil}, <-r)
				s.x.SetReadDeadline(longAgo)
				require.Equal(t, done{4, nil}, <-s.readSoon(10))
				require.NoError(t, <-sent)
				require.Equal(t, done{0, os.ErrDeadlineExceeded}, <-s.readSoon(10))

				s.x.SetReadDeadline(time.Now().Add(time.Hour))
				sent = soon(func() error {
					_, err := io.WriteString(s.write, "hello")
					return err
				})
				require.Equal(t, done{2, nil}, <-s.readSoon(2))
				s.x.SetReadDeadline(longAgo)
				require.Equal(t, done{3, nil}, <-s.readSoon(10), "it came together with the first")
				require.NoError(t, <-sent)
				require.Equal(t, done{0, os.ErrDeadlineExceeded}, <-s.readSoon(10))
			})
		})
	}
	t.Run("though it is called off again", func(t *testing.T) {
		inStreams(t, func(t *testing.T, s *memStream) {
			s.x.foresee(true)
			big := strings.Repeat("x", 1<<minBuffer)
			r := s.readSoon(len(big))
			s.send(t, big)
			require.Equal(t, done{len(big), nil}, <-r)
			s.x.SetReadDeadline(longAgo)
			r = s.readSoon(10)
			synctest.Wait()
			s.x.SetReadDeadline(longAgo.Add(time.Second))
			synctest.Wait()
			s.send(t, "rest")
			require.Equal(t, done{4, nil}, <-r)
		})
	})
	t.Run("that is not there", func(t *testing.T) {
		inStreams(t, func(t *testing.T, s *memStream) {
			s.x.foresee(true)
			big := strings.Repeat("x", 1<<minBuffer)
			r := s.readSoon(len(big))
			s.send(t, big)
			require.Equal(t, done{len(big), nil}, <-r)
			s.x.SetReadDeadline(longAgo)
			before := time.Now()
			require.Equal(t, done{0, os.ErrDeadlineExceeded}, <-s.readSoon(10))
			require.Equal(t, restTime, time.Since(before))
			require.Equal(t, done{0, os.ErrDeadlineExceeded}, <-s.readSoon(10))
			require.Equal(t, restTime, time.Since(before), "once")
			s.x.SetReadDeadline(time.Time{})
			r = s.readSoon(10)
			s.send(t, "rest")
			require.Equal(t, done{4, nil}, <-r)
		})
	})
}

// Reads at the same time share what comes, and nothing gets lost.
func TestExchangeReadsSideBySide(t *testing.T) {
	inStreams(t, func(t *testing.T, s *memStream) {
		s.x.foresee(true)
		a, b := s.readSoon(1), s.readSoon(1)
		synctest.Wait()
		s.send(t, "x")
		synctest.Wait()
		s.send(t, "y")
		require.Equal(t, done{1, nil}, <-a)
		require.Equal(t, done{1, nil}, <-b)
		s.x.foresee(false)
	})
}

// A deadline that comes when a read waits which was not prepared for it ends the stream.
func TestExchangeReadIsCut(t *testing.T) {
	inStreams(t, func(t *testing.T, s *memStream) {
		r := s.readSoon(10)
		synctest.Wait()
		require.NoError(t, s.x.SetReadDeadline(time.Now().Add(time.Second)))
		require.NoError(t, s.x.SetReadDeadline(time.Now().Add(time.Hour)))
		time.Sleep(time.Minute)
		require.NoError(t, s.x.SetReadDeadline(time.Time{}))
		time.Sleep(2 * time.Hour)
		require.NoError(t, s.x.SetReadDeadline(time.Now().Add(time.Second)))
		before := time.Now()
		got := <-r
		require.Equal(t, time.Second, time.Since(before))
		require.Equal(t, done{0, errCut}, got)
		require.ErrorIs(t, got.err, os.ErrDeadlineExceeded)
		var timeout net.Error
		require.ErrorAs(t, got.err, &timeout)
		require.True(t, timeout.Timeout())
		require.False(t, errCut.Temporary())
		require.Contains(t, got.err.Error(), "deadline")
		require.False(t, isTimeout(got.err), "it can't be taken back")
		<-s.reset
		require.NoError(t, s.x.SetReadDeadline(time.Time{}))
		require.Equal(t, done{0, errCut}, <-s.readSoon(1))
	})
}

// A read that comes to its end leaves nothing behind that cuts the stream.
func TestExchangeReadEndsBeforeTheCut(t *testing.T) {
	inStreams(t, func(t *testing.T, s *memStream) {
		r := s.readSoon(10)
		synctest.Wait()
		require.NoError(t, s.x.SetReadDeadline(time.Now().Add(time.Second)))
		s.send(t, "x")
		require.Equal(t, done{1, nil}, <-r)
		time.Sleep(time.Minute)
		require.Equal(t, done{0, os.ErrDeadlineExceeded}, <-s.readSoon(1))
		require.NoError(t, s.x.SetReadDeadline(time.Time{}))
		r = s.readSoon(10)
		synctest.Wait()
		s.send(t, "y")
		require.Equal(t, done{1, nil}, <-r)
		s.x.cutReads(longAgo) // a timer that was stopped too late
		select {
		case <-s.reset:
			t.Fatal("the stream is over")
		default:
		}
	})
}

func TestExchangeWrites(t *testing.T) {
	inStreams(t, func(t *testing.T, s *memStream) {
		w := s.writeSoon("hello")
		got := make([]byte, 5)
		_, err := io.ReadFull(s.read, got)
		require.NoError(t, err)
		require.Equal(t, "hello", string(got))
		require.Equal(t, done{5, nil}, <-w)
	})
}

func TestExchangeWriteDeadline(t *testing.T) {
	t.Run("that has passed", func(t *testing.T) {
		inStreams(t, func(t *testing.T, s *memStream) {
			require.NoError(t, s.x.SetDeadline(time.Now().Add(-time.Second)))
			require.Equal(t, done{0, os.ErrDeadlineExceeded}, <-s.writeSoon("x"))
			require.Equal(t, done{0, os.ErrDeadlineExceeded}, <-s.readSoon(1))
			require.NoError(t, s.x.SetDeadline(time.Time{}))
			w := s.writeSoon("x")
			_, err := io.ReadFull(s.read, make([]byte, 1))
			require.NoError(t, err)
			require.Equal(t, done{1, nil}, <-w, "nothing was lost by it")
		})
	})
	for name, set := range map[string]func(x *exchange){
		"set before": func(x *exchange) {},
		"moved":      func(x *exchange) { x.SetWriteDeadline(time.Now().Add(time.Minute)) },
		"taken back and set again": func(x *exchange) {
			x.SetWriteDeadline(time.Time{})
			time.Sleep(time.Hour)
			x.SetWriteDeadline(time.Now().Add(time.Second))
		},
	} {
		t.Run(name, func(t *testing.T) {
			inStreams(t, func(t *testing.T, s *memStream) {
				require.NoError(t, s.x.SetWriteDeadline(time.Now().Add(time.Second)))
				w := s.writeSoon("a")
				synctest.Wait()
				set(s.x)
				require.Equal(t, done{0, os.ErrDeadlineExceeded}, <-w)
				<-s.reset
				s.write.CloseWithError(errReset)
				require.Equal(t, done{0, errLate}, <-s.readSoon(1))
				require.NoError(t, s.x.SetWriteDeadline(time.Time{}))
				require.Equal(t, done{0, os.ErrDeadlineExceeded}, <-s.writeSoon("c"), "the stream is over")
			})
		})
	}
	t.Run("that came too late", func(t *testing.T) {
		inStreams(t, func(t *testing.T, s *memStream) {
			require.NoError(t, s.x.SetWriteDeadline(time.Now().Add(time.Second)))
			w := s.writeSoon("x")
			_, err := io.ReadFull(s.read, make([]byte, 1))
			require.NoError(t, err)
			require.Equal(t, done{1, nil}, <-w)
			time.Sleep(time.Minute)
			s.x.cutWrites() // a timer that was stopped too late
			select {
			case <-s.reset:
				t.Fatal("the stream is over")
			default:
			}
		})
	})
}

// A write deadline counts although the HTTP client is stuck, and looks at nothing.
func TestClientExchangeWriteDeadlineOfAStuckClient(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cancelled := make(chan bool, 2)
		out := newRequestOutlet(func() { cancelled <- true })
		x := clientExchange(http.NoBody, out, nil)
		require.NoError(t, x.SetWriteDeadline(time.Now().Add(time.Second)))
		n, err := x.Write([]byte("x"))
		require.Zero(t, n)
		require.Equal(t, os.ErrDeadlineExceeded, err)
		<-cancelled
		require.NoError(t, x.Close())
		<-cancelled
	})
}

func TestExchangeClose(t *testing.T) {
	t.Run("reads and writes return", func(t *testing.T) {
		inStreams(t, func(t *testing.T, s *memStream) {
			r, w := s.readSoon(1), s.writeSoon("x")
			synctest.Wait()
			require.NoError(t, s.x.SetDeadline(time.Now().Add(time.Hour)))
			require.NoError(t, s.x.Close())
			require.Equal(t, done{0, net.ErrClosed}, <-r)
			require.Equal(t, done{0, net.ErrClosed}, <-w)
			require.Equal(t, done{0, net.ErrClosed}, <-s.readSoon(1))
			require.Equal(t, done{0, net.ErrClosed}, <-s.writeSoon("x"))
			require.Equal(t, net.ErrClosed, s.x.Close())
			require.Equal(t, net.ErrClosed, s.x.SetDeadline(time.Time{}))
			require.Equal(t, net.ErrClosed, s.x.SetReadDeadline(time.Time{}))
			require.Equal(t, net.ErrClosed, s.x.SetWriteDeadline(time.Time{}))
			s.x.wait()
		})
	})
	t.Run("a read that was prepared returns", func(t *testing.T) {
		inStreams(t, func(t *testing.T, s *memStream) {
			s.x.foresee(true)
			r := s.readSoon(1)
			synctest.Wait()
			require.NoError(t, s.x.Close())
			require.Equal(t, done{0, net.ErrClosed}, <-r)
			s.x.wait()
		})
	})
	t.Run("the peer sees the end", func(t *testing.T) {
		inStreams(t, func(t *testing.T, s *memStream) {
			require.NoError(t, s.x.Close())
			_, err := io.ReadAll(s.read)
			require.NoError(t, err)
		})
	})
}

// A server's Close returns when no write uses the response any more, for its handler may
// return then.
func TestExchangeCloseWaitsForWrites(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		in, _ := io.Pipe()
		w := &slowResponse{goOn: make(chan struct{})}
		x := newExchange(in, &responseOutlet{w, http.NewResponseController(w)}, namedAddr{}, namedAddr{})
		wrote := soon(func() error {
			_, err := x.Write([]byte("Hello"))
			return err
		})
		synctest.Wait()
		closed := soon(x.Close)
		synctest.Wait()
		require.Empty(t, closed)
		close(w.goOn)
		require.NoError(t, <-closed)
		require.NoError(t, <-wrote)
	})
}

// slowResponse is a ResponseWriter whose Write takes its time, whatever happens.
type slowResponse struct {
	memResponse
	goOn chan struct{}
}

func (w *slowResponse) Write(b []byte) (int, error) {
	<-w.goOn
	return len(b), nil
}

func (w *slowResponse) SetWriteDeadline(time.Time) error { return nil }

// The handler of a server waits until nobody uses what belongs to it.
func TestExchangeWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		in := &stubborn{free: make(chan struct{})}
		x := newExchange(in, &responseOutlet{&memResponse{}, nil}, namedAddr{}, namedAddr{})
		r := soon(func() error {
			_, err := x.Read(make([]byte, 1))
			return err
		})
		waited := soon(func() bool {
			x.wait()
			return true
		})
		synctest.Wait()
		require.NoError(t, x.Close())
		synctest.Wait()
		select {
		case <-waited:
			t.Fatal("a read is still going on")
		default:
		}
		close(in.free)
		require.Equal(t, net.ErrClosed, <-r)
		<-waited
	})
}

// stubborn is a body whose Read returns when it likes.
type stubborn struct{ free chan struct{} }

func (s *stubborn) Close() error { return nil }

func (s *stubborn) Read([]byte) (int, error) {
	<-s.free
	return 0, io.ErrClosedPipe
}

func TestExchangeCloseWrite(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newMemStream(t, false)
		all := soon(func() string {
			b, err := io.ReadAll(s.read)
			require.NoError(t, err)
			return string(b)
		})
		require.Equal(t, done{1, nil}, <-s.writeSoon("x"))
		require.NoError(t, s.x.CloseWrite())
		require.Equal(t, "x", <-all)
		require.ErrorIs(t, (<-s.writeSoon("x")).err, net.ErrClosed)
		r := s.readSoon(10)
		s.send(t, "still")
		require.Equal(t, done{5, nil}, <-r)
	})
	require.ErrorIs(t, newMemStream(t, true).x.CloseWrite(), errors.ErrUnsupported)
}

// A client's Close has what was written go first, and resets nothing that can end well.
func TestClientExchangeClose(t *testing.T) {
	t.Parallel()
	isReset := func(s *memStream) bool {
		synctest.Wait()
		select {
		case <-s.reset:
			return true
		default:
			return false
		}
	}
	open := func(t *testing.T) (s *memStream, body *requestBody) {
		s = newMemStream(t, false)
		return s, s.read.(*requestBody)
	}
	openAndWrite := func(t *testing.T) (s *memStream, body *requestBody) { // of which the HTTP client has read it
		s, body = open(t)
		w := s.writeSoon("x")
		_, err := body.Read(make([]byte, 10))
		require.NoError(t, err)
		require.Equal(t, done{1, nil}, <-w)
		return s, body
	}
	openAndEnd := func(t *testing.T) (s *memStream, body *requestBody) { // of which the server has ended its side
		s, body = open(t)
		r := s.readSoon(1)
		s.write.Close()
		require.Equal(t, done{0, io.EOF}, <-r)
		return s, body
	}
	t.Run("all is sent", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, body := open(t)
			read := soon(func() error {
				_, err := body.Read(make([]byte, 10))
				if err == nil {
					_, err = body.Read(make([]byte, 10)) // so the first is with the network
				}
				return err
			})
			require.Equal(t, done{1, nil}, <-s.writeSoon("x"))
			synctest.Wait()
			require.NoError(t, s.x.Close())
			require.True(t, isReset(s), "at once, for the server has not ended its side")
			require.Error(t, <-read) // io.EOF, unless the reset was faster
		})
	})
	t.Run("something is with the HTTP client", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, body := openAndWrite(t)
			require.NoError(t, s.x.Close())
			require.False(t, isReset(s))
			_, err := body.Read(make([]byte, 10))
			require.ErrorIs(t, err, io.EOF)
			require.True(t, isReset(s))
		})
	})
	t.Run("and stays there", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, _ := openAndWrite(t)
			require.NoError(t, s.x.Close())
			require.False(t, isReset(s))
			before := time.Now()
			<-s.reset
			require.Equal(t, closePatience, time.Since(before))
		})
	})
	t.Run("the server has ended its side", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, body := openAndEnd(t)
			require.NoError(t, s.x.Close())
			_, err := body.Read(make([]byte, 10))
			require.ErrorIs(t, err, io.EOF)
			require.False(t, isReset(s), "our END_STREAM is on its way")
			require.NoError(t, body.Close())
			require.True(t, isReset(s), "which resets nothing any more")
		})
	})
	t.Run("and our end does not get through", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, _ := openAndEnd(t)
			require.NoError(t, s.x.Close())
			before := time.Now()
			<-s.reset
			require.Equal(t, closePatience, time.Since(before))
		})
	})
	t.Run("the HTTP client has given up", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, body := open(t)
			w := s.writeSoon("x")
			synctest.Wait()
			require.NoError(t, body.Close())
			got := <-w
			require.ErrorIs(t, got.err, net.ErrClosed)
			require.ErrorContains(t, got.err, "stream has ended")
			require.NoError(t, s.x.Close())
			require.True(t, isReset(s))
		})
	})
}

// A handler that has returned takes no program with it.
func TestResponseOutletAfterTheHandler(t *testing.T) {
	t.Parallel()
	w := &memResponse{gone: true}
	n, err := (&responseOutlet{w, http.NewResponseController(w)}).Write([]byte("x"))
	require.Zero(t, n)
	require.ErrorIs(t, err, net.ErrClosed)
	require.ErrorContains(t, err, "handler has returned")
}

// The Context of a server's connection, which a handler waits for, ends when all was said,
// whether it was asked for before the end or later.
func TestExchangeContext(t *testing.T) {
	for name, early := range map[string]bool{"asked for before": true, "asked for later": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newMemStream(t, true)
				c := NewConn(s.x, Negotiated{Server: true}, Options{})
				if early {
					c.Context()
				}
				wrote := soon(func() error { return c.WriteMessage(TextMessage, []byte("slow")) })
				read := reading(c)
				synctest.Wait()
				s.send(t, string(wstest.CloseFrame(4000, "bye").Masked()))
				ended := requireNothing(t, <-read)
				require.Equal(t, &CloseError{4000, "bye"}, ended)
				ctx := c.Context()
				time.Sleep(2 * closePatience) // the peer is slow
				require.NoError(t, ctx.Err())
				for _, want := range []wstest.Frame{text("slow"), wstest.CloseFrame(4000, "bye")} {
					f, _, err := wstest.ReadFrame(s.read)
					require.NoError(t, err)
					require.Equal(t, want.String(), f.String())
				}
				require.NoError(t, <-wrote)
				<-ctx.Done()
				require.Equal(t, ended, context.Cause(ctx))
			})
		})
	}
	// A loop that goes on after timeouts asks the context whether there is an end to it.
	t.Run("a deadline within a message", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			s := newMemStream(t, true)
			c := NewConn(s.x, Negotiated{Server: true}, Options{})
			ctx := c.Context()
			require.NoError(t, c.SetReadDeadline(time.Now().Add(time.Second)))
			read := reading(c)
			s.send(t, string(text("Hello").Masked()[:8]))
			require.ErrorIs(t, (<-read).err, os.ErrDeadlineExceeded)
			before := time.Now()
			<-ctx.Done()
			require.Zero(t, time.Since(before))
		})
	})
}

func TestExchangeAddresses(t *testing.T) {
	t.Parallel()
	local := &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 443}
	known := context.WithValue(t.Context(), http.LocalAddrContextKey, net.Addr(local))
	for _, tt := range []struct {
		name          string
		ctx           context.Context
		major         int
		remote        string
		local, wanted net.Addr
	}{
		{"TCP", known, 2, "10.0.0.2:80", local, &net.TCPAddr{IP: net.IP{10, 0, 0, 2}, Port: 80}},
		{"UDP", known, 3, "[2001:db8::1]:80", local, &net.UDPAddr{IP: net.ParseIP("2001:db8::1"), Port: 80}},
		{"Unix", known, 2, "@", local, namedAddr{"tcp", "@"}},
		{"nothing known", t.Context(), 3, "", namedAddr{"udp", ""}, namedAddr{"udp", ""}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodConnect, "/", http.NoBody).WithContext(tt.ctx)
			r.ProtoMajor, r.RemoteAddr = tt.major, tt.remote
			x := serverExchange(httptest.NewRecorder(), nil, r)
			require.Equal(t, tt.local, x.LocalAddr())
			require.Equal(t, tt.wanted.String(), x.RemoteAddr().String())
			require.Equal(t, tt.wanted.Network(), x.RemoteAddr().Network())
		})
	}
	clientEnd, serverEnd := wstest.TCP(t)
	x := clientExchange(nil, nil, clientEnd)
	require.Equal(t, clientEnd.LocalAddr(), x.LocalAddr())
	require.Equal(t, serverEnd.LocalAddr().String(), x.RemoteAddr().String())
	require.Empty(t, clientExchange(nil, nil, nil).RemoteAddr().String())
}

// All connections of an HTTP server are told when it shuts down, and those of none are left alone.
func TestDrainWith(t *testing.T) {
	s := new(http.Server)
	r := httptest.NewRequest(http.MethodConnect, "/", nil)
	r = r.WithContext(context.WithValue(t.Context(), http.ServerContextKey, s))
	var peers []*wstest.Peer
	for range 3 {
		c, peer := scripted(t, overPipe, true, Options{})
		drainWith(r, c)
		peers = append(peers, peer)
		reading(c)
	}
	other, otherPeer := scripted(t, overPipe, true, Options{})
	drainWith(httptest.NewRequest(http.MethodConnect, "/", nil), other)
	reading(other)
	shut := soon(func() error { return s.Shutdown(t.Context()) })
	for _, peer := range peers {
		peer.ExpectClose(CloseGoingAway)
		peer.Send(wstest.CloseFrame(CloseGoingAway, ""))
	}
	require.NoError(t, <-shut)
	otherPeer.ExpectNothing()
}

// overHTTP2 is a stream of an HTTP/2 connection, after its handshake.
func overHTTP2(t testing.TB) (client, server net.Conn) {
	t.Helper()
	c, s := connectedHTTP2(t, Options{})
	return c.NetConn(), s.NetConn()
}

// connectedHTTP2 returns the two ends of a WebSocket over HTTP/2.
func connectedHTTP2(t testing.TB, opts Options) (client, server *Conn) {
	t.Helper()
	line := newHTTP2Line(t, opts)
	return line.open(t)
}

// An http2Line is a server and a client of HTTP/2.
type http2Line struct {
	server *httptest.Server
	dialer Dialer
	opened chan *Conn
}

func newHTTP2Line(t testing.TB, opts Options) *http2Line {
	t.Helper()
	l := &http2Line{opened: make(chan *Conn)}
	u := Upgrader{Options: opts}
	l.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := u.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		l.opened <- c
		c.NetConn().(*exchange).wait()
	}))
	l.server.EnableHTTP2 = true
	return l.start(t, opts)
}

// startHTTP2Line is newHTTP2Line with a server of the caller's.
func startHTTP2Line(t testing.TB, server *httptest.Server, opts Options) *http2Line {
	t.Helper()
	server.EnableHTTP2 = true
	return (&http2Line{server: server}).start(t, opts)
}

func (l *http2Line) start(t testing.TB, opts Options) *http2Line {
	t.Helper()
	http2.Configure(l.server.Config)
	l.server.StartTLS()
	roots := l.server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	transport := &http2.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	l.dialer = Dialer{Options: opts, Transport: transport}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		l.server.Close()
	})
	return l
}

func (l *http2Line) open(t testing.TB) (client, server *Conn) {
	t.Helper()
	dialed := soon(func() (err error) {
		client, _, err = l.dialer.Dial("wss"+strings.TrimPrefix(l.server.URL, "https"), nil)
		return err
	})
	server = <-l.opened
	require.NoError(t, <-dialed)
	t.Cleanup(func() {
		client.Close()
		server.Close()
	})
	return client, server
}

// bothOverHTTP2 runs a test with our end a server's and a client's.
func bothOverHTTP2(t *testing.T, opts Options, test func(t *testing.T, ours, theirs *Conn)) {
	for _, server := range []bool{true, false} {
		t.Run(roleName(server), func(t *testing.T) {
			noLeaks(t)
			client, serverConn := connectedHTTP2(t, opts)
			if server {
				test(t, serverConn, client)
			} else {
				test(t, client, serverConn)
			}
		})
	}
}

// Reads that are cancelled and taken up again, again and again: no message is lost, none
// comes twice. Half of the cancellations come while a message is on its way.
func TestHTTP2ReadsAreCancelled(t *testing.T) {
	const rounds = 1000
	type how struct {
		name string
		read func(ctx context.Context, c *Conn, got func(string)) error
	}
	for _, way := range []how{
		{"ReadMessageContext", func(ctx context.Context, c *Conn, got func(string)) error {
			for {
				_, p, err := c.ReadMessageContext(ctx, nil)
				if err != nil {
					return err
				}
				got(string(p))
			}
		}},
		{"Messages", func(ctx context.Context, c *Conn, got func(string)) error {
			for m, err := range c.Messages(ctx) {
				if err != nil {
					return err
				}
				got(string(m.Data))
			}
			return nil
		}},
	} {
		t.Run(way.name, func(t *testing.T) {
			bothOverHTTP2(t, Options{}, func(t *testing.T, ours, theirs *Conn) {
				cause := errors.New("enough for now")
				next, sent := 0, make(chan error, 1)
				for round := range rounds {
					ctx, cancel := context.WithCancelCause(t.Context())
					if round%2 == 0 {
						go func() {
							sent <- theirs.WriteMessage(TextMessage, fmt.Append(nil, round/2))
							cancel(cause)
						}()
					} else {
						sent <- nil
						go cancel(cause)
					}
					err := way.read(ctx, ours, func(p string) {
						require.Equal(t, fmt.Sprint(next), p)
						next++
					})
					require.Equal(t, cause, err)
					require.NoError(t, <-sent)
				}
				for ; next < rounds/2; next++ {
					_, p, err := ours.ReadMessage()
					require.NoError(t, err)
					require.Equal(t, fmt.Sprint(next), string(p))
				}
				require.NoError(t, theirs.WriteMessage(TextMessage, []byte("last")))
				requireMessage(t, TextMessage, "last", <-reading(ours))
			})
		})
	}
}

// A Serve whose context ends takes leave, and has handed out what came.
func TestHTTP2ServeIsCancelled(t *testing.T) {
	bothOverHTTP2(t, Options{}, func(t *testing.T, ours, theirs *Conn) {
		cause := errors.New("enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		got := make(chan string)
		served := soon(func() error {
			return ours.Serve(ctx, func(m Message) error {
				got <- string(m.Data)
				return nil
			})
		})
		for i := range 100 {
			require.NoError(t, theirs.WriteMessage(TextMessage, fmt.Append(nil, i)))
			require.Equal(t, fmt.Sprint(i), <-got)
		}
		read := reading(theirs)
		cancel(cause)
		require.True(t, IsCloseError((<-read).err, CloseGoingAway))
		require.Equal(t, cause, <-served)
	})
}

func TestHTTP2ReadDeadline(t *testing.T) {
	t.Run("before a read", func(t *testing.T) {
		bothOverHTTP2(t, Options{}, func(t *testing.T, ours, theirs *Conn) {
			for i := range 20 {
				require.NoError(t, ours.SetReadDeadline(time.Now().Add(time.Millisecond)))
				require.ErrorIs(t, requireNothing(t, <-reading(ours)), os.ErrDeadlineExceeded)
				require.NoError(t, theirs.WriteMessage(TextMessage, fmt.Append(nil, i)))
				require.NoError(t, ours.SetReadDeadline(time.Time{}))
				requireMessage(t, TextMessage, fmt.Sprint(i), <-reading(ours))
			}
		})
	})
	t.Run("while a read waits without one", func(t *testing.T) {
		bothOverHTTP2(t, Options{}, func(t *testing.T, ours, theirs *Conn) {
			read, other := reading(ours), reading(theirs)
			x := ours.NetConn().(*exchange)
			for direct := 0; direct == 0; runtime.Gosched() {
				x.mu.Lock()
				direct = x.direct
				x.mu.Unlock()
			}
			require.NoError(t, ours.SetReadDeadline(time.Now().Add(time.Millisecond)))
			err := requireNothing(t, <-read)
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
			require.NoError(t, ours.SetReadDeadline(time.Time{}))
			require.ErrorIs(t, requireNothing(t, <-reading(ours)), os.ErrDeadlineExceeded, "there is no way back")
			requireNothing(t, <-other)
			<-ours.Context().Done()
		})
	})
}

// A handler that has called Upgrade and returns too early takes its stream with it, and
// not the program.
func TestHTTP2HandlerReturnsEarly(t *testing.T) {
	noLeaks(t)
	early := make(chan *Conn, 2)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, err := new(Upgrader).Upgrade(w, r, nil); err == nil {
			early <- c
		}
	}))
	s.EnableHTTP2 = true
	s.Config.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: 1}
	line := startHTTP2Line(t, s, Options{})
	dial := func() *Conn {
		c, _, err := line.dialer.Dial("wss"+strings.TrimPrefix(s.URL, "https"), nil)
		require.NoError(t, err)
		return c
	}
	theirs := dial()
	ours := <-early
	require.True(t, IsCloseError(requireNothing(t, <-reading(theirs)), CloseAbnormalClosure), "the peer sees the end")
	theirs.Close()
	// While a connection may have one handler at a time, the next says that net/http is through with the first.
	for same := false; !same; {
		next := dial()
		(<-early).Close()
		same = next.LocalAddr().String() == theirs.LocalAddr().String()
		next.Close()
	}

	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for ours.WriteMessage(TextMessage, []byte("x")) == nil {
			}
		})
	}
	wg.Wait()
	require.ErrorIs(t, ours.WriteMessage(TextMessage, []byte("x")), net.ErrClosed)
	requireNothing(t, <-reading(ours))
	ours.Close()
	<-ours.Context().Done()
}

// However it ends, by whomever: all calls return, and nothing stays behind.
func TestHTTP2Ends(t *testing.T) {
	for name, end := range map[string]func(ours, theirs *Conn){
		"Close":             func(ours, theirs *Conn) { ours.Close() },
		"Close of the peer": func(ours, theirs *Conn) { theirs.Close() },
		"Shutdown":          func(ours, theirs *Conn) { ours.Shutdown(context.Background(), CloseNormalClosure, "") },
		"Shutdown of both": func(ours, theirs *Conn) {
			other := soon(func() error { return theirs.Shutdown(context.Background(), CloseNormalClosure, "") })
			ours.Shutdown(context.Background(), CloseNormalClosure, "")
			<-other
		},
		"kill":             func(ours, theirs *Conn) { ours.kill(errClosed) },
		"kill of the peer": func(ours, theirs *Conn) { theirs.kill(errClosed) },
		"NetConn":          func(ours, theirs *Conn) { ours.NetConn().Close() },
		"all at once": func(ours, theirs *Conn) {
			var wg sync.WaitGroup
			for _, c := range []*Conn{ours, theirs} {
				for range 3 {
					wg.Go(func() { c.Close() })
					wg.Go(func() { c.Shutdown(context.Background(), CloseGoingAway, "") })
				}
				wg.Go(func() { c.kill(errClosed) })
			}
			wg.Wait()
		},
	} {
		t.Run(name, func(t *testing.T) {
			bothOverHTTP2(t, Options{}, func(t *testing.T, ours, theirs *Conn) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				var wg sync.WaitGroup
				for _, c := range []*Conn{ours, theirs} {
					wg.Go(func() {
						for {
							if _, _, err := c.ReadMessageContext(ctx, nil); err != nil {
								return
							}
						}
					})
					wg.Go(func() {
						for c.WriteMessage(TextMessage, []byte("x")) == nil {
						}
					})
				}
				end(ours, theirs)
				wg.Wait()
				ours.Close()
				theirs.Close()
			})
		})
	}
}

// The time limits of the HTTP server are none for the connection, and that of the handshake
// is over with it.
func TestConnectLiftsTimeLimits(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequest(http.MethodConnect, "/", http.NoBody)
	r.Proto, r.ProtoMajor, r.ContentLength = "HTTP/2.0", 2, -1
	r.Header[":protocol"] = []string{"websocket"}
	r.Header["Sec-Websocket-Version"] = []string{"13"}
	w := &limitedResponse{ResponseRecorder: httptest.NewRecorder()}
	c, err := new(Upgrader).Upgrade(w, r, nil)
	require.NoError(t, err)
	defer c.Close()
	require.Equal(t, http.StatusOK, w.Code)
	require.Equal(t, []string{"no read deadline", "a write deadline", "flush", "no write deadline"}, w.calls)
}

// limitedResponse is a ResponseWriter that notes how it is prepared.
type limitedResponse struct {
	*httptest.ResponseRecorder
	calls []string
}

func (w *limitedResponse) note(of string, deadline time.Time) error {
	call := "a " + of
	if deadline.IsZero() {
		call = "no " + of
	}
	w.calls = append(w.calls, call)
	return nil
}

func (w *limitedResponse) SetReadDeadline(t time.Time) error  { return w.note("read deadline", t) }
func (w *limitedResponse) SetWriteDeadline(t time.Time) error { return w.note("write deadline", t) }

func (w *limitedResponse) FlushError() error {
	w.calls = append(w.calls, "flush")
	return nil
}

// startBoth starts a server with the handler, and returns dialers for its two protocols, by name.
func startBoth(t *testing.T, handler http.Handler, base context.Context) (server *http.Server, dialers map[string]func() (*Conn, *http.Response, error)) {
	s := httptest.NewUnstartedServer(handler)
	s.Config.BaseContext = func(net.Listener) context.Context { return base }
	line := startHTTP2Line(t, s, Options{})
	over1 := Dialer{TLSClientConfig: s.Client().Transport.(*http.Transport).TLSClientConfig.Clone()}
	dialers = make(map[string]func() (*Conn, *http.Response, error))
	for name, d := range map[string]Dialer{"HTTP/1.1": over1, "HTTP/2": line.dialer} {
		dialers[name] = func() (*Conn, *http.Response, error) {
			return d.Dial("wss"+strings.TrimPrefix(s.URL, "https"), nil)
		}
	}
	return s.Config, dialers
}

func echoing(c *Conn, r *http.Request) error {
	return c.Serve(r.Context(), func(m Message) error { return c.WriteMessage(m.Type, m.Data) })
}

// The end of the request's context is not the end of the stream: whoever goes by it can
// still say so, and whoever does not goes on.
func TestContextOfTheRequest(t *testing.T) {
	heedless := func(c *Conn, _ *http.Request) error {
		return c.Serve(context.Background(), func(m Message) error { return c.WriteMessage(m.Type, m.Data) })
	}
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2"} {
		for name, derive := range map[string]func(ctx context.Context) (context.Context, context.CancelFunc){
			"the server's":   func(ctx context.Context) (context.Context, context.CancelFunc) { return ctx, func() {} },
			"a middleware's": context.WithCancel,
		} {
			// open returns a client, and what ends the context of its request at the server.
			open := func(t *testing.T, serve func(*Conn, *http.Request) error) (*Conn, context.CancelFunc) {
				noLeaks(t)
				base, endBase := context.WithCancel(t.Context())
				ends := make(chan context.CancelFunc, 1)
				handler := new(Upgrader).Handler(serve)
				_, dial := startBoth(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					ctx, end := derive(r.Context())
					defer end()
					ends <- func() {
						endBase()
						end()
						<-ctx.Done()
					}
					handler.ServeHTTP(w, r.WithContext(ctx))
				}), base)
				c, _, err := dial[protocol]()
				require.NoError(t, err)
				t.Cleanup(func() { c.Close() })
				return c, <-ends
			}
			t.Run(protocol+", "+name+", heeded", func(t *testing.T) {
				c, end := open(t, echoing)
				read := reading(c)
				end()
				require.True(t, IsCloseError(requireNothing(t, <-read), CloseGoingAway))
			})
			t.Run(protocol+", "+name+", not heeded", func(t *testing.T) {
				c, end := open(t, heedless)
				end()
				for range 3 {
					require.NoError(t, c.WriteMessage(TextMessage, []byte("still there?")))
					requireMessage(t, TextMessage, "still there?", <-reading(c))
				}
				require.NoError(t, c.Shutdown(t.Context(), 0, ""))
			})
		}
	}
}

// What middleware does to the ResponseWriter and its header is none of the connection's business.
func TestMiddleware(t *testing.T) {
	var u Upgrader
	u.Subprotocols = []string{"chat"}
	echo := u.Handler(echoing)
	for name, middleware := range map[string]http.HandlerFunc{
		"a writer that unwraps": func(w http.ResponseWriter, r *http.Request) {
			echo.ServeHTTP(unwrapping{wrapping{w}}, r)
		},
		"Content-Length":           withField("Content-Length", "3", echo),
		"Content-Encoding":         withField("Content-Encoding", "gzip", echo),
		"Sec-WebSocket-Protocol":   withField("Sec-WebSocket-Protocol", "other", echo),
		"Sec-WebSocket-Extensions": withField("Sec-WebSocket-Extensions", "permessage-deflate", echo),
		"another field":            withField("X-Frame-Options", "DENY", echo),
	} {
		t.Run(name, func(t *testing.T) {
			_, dialers := startBoth(t, middleware, t.Context())
			for protocol, dial := range dialers {
				c, _, err := dial()
				require.NoError(t, err, protocol)
				for range 3 {
					require.NoError(t, c.WriteMessage(TextMessage, []byte("Hello")))
					requireMessage(t, TextMessage, "Hello", <-reading(c))
				}
				require.NoError(t, c.Shutdown(t.Context(), 0, ""))
			}
		})
	}
	t.Run("a writer that does not unwrap", func(t *testing.T) {
		reasons := make(chan error, 2)
		u := u
		u.Error = func(w http.ResponseWriter, r *http.Request, status int, reason error) {
			reasons <- reason
			http.Error(w, "", status)
		}
		echo := u.Handler(echoing)
		_, dialers := startBoth(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			echo.ServeHTTP(wrapping{w}, r)
		}), t.Context())
		for protocol, dial := range dialers {
			_, resp, err := dial()
			require.ErrorIs(t, err, ErrBadHandshake, protocol)
			require.Equal(t, http.StatusInternalServerError, resp.StatusCode)
			reason := (<-reasons).Error()
			require.Contains(t, reason, "websocket.wrapping has ")
			require.Contains(t, reason, "Unwrap method")
			require.NotContains(t, reason, "\n")
		}
	})
}

func withField(name, value string, next http.Handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(name, value)
		next.ServeHTTP(w, r)
	}
}

// wrapping has the methods of a ResponseWriter and no others.
type wrapping struct{ http.ResponseWriter }

// Write would spoil the stream, as one that compresses does.
func (w wrapping) Write(p []byte) (int, error) {
	return w.ResponseWriter.Write(append([]byte("x"), p...))
}

type unwrapping struct{ wrapping }

func (w unwrapping) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// What was accepted before Close is sent, though somebody waits for something to read.
func TestHTTP2CloseSendsWhatIsPending(t *testing.T) {
	bothOverHTTP2(t, Options{}, func(t *testing.T, ours, theirs *Conn) {
		read := reading(ours)
		eventually(func() bool {
			x := ours.NetConn().(*exchange)
			x.mu.Lock()
			defer x.mu.Unlock()
			return x.direct > 0
		})
		large := make([]byte, 8<<20)
		first := soon(func() error { return ours.WriteMessage(BinaryMessage, large) })
		eventually(func() bool {
			ours.w.turn.mu.Lock()
			defer ours.w.turn.mu.Unlock()
			return ours.w.turn.taken
		})
		for range 5 {
			require.NoError(t, ours.WriteMessage(TextMessage, []byte("pending")))
		}
		closed := soon(ours.Close)
		messageType, p, err := theirs.ReadMessage()
		require.NoError(t, err)
		require.Equal(t, BinaryMessage, messageType)
		require.Len(t, p, len(large))
		for range 5 {
			requireMessage(t, TextMessage, "pending", <-reading(theirs))
		}
		require.True(t, IsCloseError(requireNothing(t, <-reading(theirs)), CloseAbnormalClosure))
		require.NoError(t, <-closed)
		require.NoError(t, <-first)
		require.ErrorIs(t, requireNothing(t, <-read), net.ErrClosed)
	})
}

func eventually(happens func() bool) {
	for !happens() {
		runtime.Gosched()
	}
}

// A server that shuts down during its first upgrade takes leave of that one, too.
func TestHTTP2ShutdownDuringTheFirstUpgrade(t *testing.T) {
	noLeaks(t)
	under, goOn := make(chan bool), make(chan bool)
	echo := new(Upgrader).Handler(echoing)
	server, dial := startBoth(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		under <- true
		<-goOn
		echo.ServeHTTP(w, r)
	}), t.Context())
	told := make(chan bool)
	server.RegisterOnShutdown(func() { close(told) })
	dialed := soon(func() got {
		c, _, err := dial["HTTP/2"]()
		if err != nil {
			return got{err: err}
		}
		return <-reading(c)
	})
	<-under
	shut := soon(func() error { return server.Shutdown(t.Context()) })
	<-told
	goOn <- true
	require.True(t, IsCloseError((<-dialed).err, CloseGoingAway))
	require.NoError(t, <-shut)
}

// The loss of a stream has code 1006 at both ends, by whatever name HTTP calls it.
func TestHTTP2Loss(t *testing.T) {
	for name, lose := range map[string]func(line *http2Line, client *Conn){
		"the server closes":          func(line *http2Line, client *Conn) { line.server.Config.Close() },
		"its connections are closed": func(line *http2Line, client *Conn) { line.server.CloseClientConnections() },
	} {
		t.Run(name, func(t *testing.T) {
			line := newHTTP2Line(t, Options{})
			client, server := line.open(t)
			reads := []<-chan got{reading(client), reading(server)}
			lose(line, client)
			for _, read := range reads {
				err := requireNothing(t, <-read)
				require.True(t, IsUnexpectedCloseError(err, CloseNormalClosure), "%v", err)
				require.True(t, IsCloseError(err, CloseAbnormalClosure), "%v", err)
			}
		})
	}
	t.Run("the handler aborts", func(t *testing.T) {
		_, dial := startBoth(t, new(Upgrader).Handler(func(c *Conn, r *http.Request) error {
			_ = c.NetConn().Close()
			panic(http.ErrAbortHandler)
		}), t.Context())
		c, _, err := dial["HTTP/2"]()
		require.NoError(t, err)
		require.True(t, IsCloseError(requireNothing(t, <-reading(c)), CloseAbnormalClosure))
	})
}

// Handler returns when nobody uses the stream any more, and not before.
func TestHTTP2HandlerWaits(t *testing.T) {
	for name, serve := range map[string]func(c *Conn, r *http.Request) error{
		"Serve": echoing,
		"Start": func(c *Conn, r *http.Request) error {
			c.Start(func(m Message) error { return c.WriteMessage(m.Type, m.Data) }, nil)
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			returned := make(chan bool, 1)
			echo := new(Upgrader).Handler(serve)
			_, dial := startBoth(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				echo.ServeHTTP(w, r)
				returned <- true
			}), t.Context())
			c, _, err := dial["HTTP/2"]()
			require.NoError(t, err)
			for range 3 {
				require.NoError(t, c.WriteMessage(TextMessage, []byte("Hello")))
				requireMessage(t, TextMessage, "Hello", <-reading(c))
				require.Empty(t, returned)
			}
			require.NoError(t, c.Shutdown(t.Context(), 0, ""))
			<-returned
		})
	}
}

// What a handler is told about its connection, and after Serve about its end.
func TestHTTP2WhatAHandlerKnows(t *testing.T) {
	noLeaks(t)
	type known struct {
		r     *http.Request
		nc    net.Conn
		cause error
	}
	told := make(chan known, 1)
	_, dial := startBoth(t, new(Upgrader).Handler(func(c *Conn, r *http.Request) error {
		err := echoing(c, r)
		<-c.Context().Done()
		told <- known{r, c.NetConn(), context.Cause(c.Context())}
		return err
	}), t.Context())
	c, _, err := dial["HTTP/2"]()
	require.NoError(t, err)
	local := c.LocalAddr().String()
	require.NoError(t, c.Shutdown(t.Context(), CloseNormalClosure, "bye"))
	k := <-told
	require.Equal(t, &CloseError{CloseNormalClosure, "bye"}, k.cause)
	require.Equal(t, "HTTP/2.0", k.r.Proto)
	require.Equal(t, "h2", k.r.TLS.NegotiatedProtocol)
	require.NotContains(t, fmt.Sprintf("%T", k.nc), "tls.")
	require.Equal(t, local, k.nc.RemoteAddr().String())
}

// A Transport that breaks the rules of http.RoundTripper gives an error.
func TestTransportWithoutResponse(t *testing.T) {
	t.Parallel()
	for name, resp := range map[string]*http.Response{
		"none":            nil,
		"no body":         {StatusCode: http.StatusOK},
		"no body of a no": {StatusCode: http.StatusNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			d := Dialer{Transport: answers{resp}}
			c, _, err := d.Dial("wss://example.com/", nil)
			require.Nil(t, c)
			require.ErrorContains(t, err, "websocket: Dialer.Transport, a websocket.answers, returned no response body")
		})
	}
}

type answers struct{ resp *http.Response }

func (a answers) RoundTrip(*http.Request) (*http.Response, error) { return a.resp, nil }

// A context that ends just before the answer came has ended the stream.
func TestTransportContextEndsLate(t *testing.T) {
	for _, status := range []int{http.StatusOK, http.StatusNotFound} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				cause := errors.New("enough")
				body := &closeNoted{Reader: strings.NewReader("Hello"), closed: make(chan struct{})}
				d := Dialer{Transport: roundTripFunc(func(r *http.Request) (*http.Response, error) {
					cancel(cause)
					<-r.Context().Done()
					r.Body.Close()
					return &http.Response{StatusCode: status, ProtoMajor: 2, Header: http.Header{}, Body: body, Request: r}, nil
				})}
				c, _, err := d.DialContext(ctx, "wss://example.com/", nil)
				require.Nil(t, c)
				require.Equal(t, cause, err)
				<-body.closed
			})
		})
	}
}

type roundTripFunc func(*http.Request) (*http.Response, error)

func (f roundTripFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// closeNoted is a body that tells when it is closed.
type closeNoted struct {
	io.Reader
	once   sync.Once
	closed chan struct{}
}

func (b *closeNoted) Close() error {
	b.once.Do(func() { close(b.closed) })
	return nil
}

// Cookies that come by a Transport are kept.
func TestHTTP2Cookies(t *testing.T) {
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	seen := make(chan string, 2)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen <- r.Header.Get("Cookie")
		if c, err := new(Upgrader).Upgrade(w, r, http.Header{"Set-Cookie": {"session=s1"}}); err == nil {
			defer c.Close()
			_ = echoing(c, r)
			<-c.Context().Done()
		}
	}))
	line := startHTTP2Line(t, s, Options{})
	line.dialer.Jar = jar
	for _, cookie := range []string{"", "session=s1"} {
		c, resp, err := line.dialer.Dial("wss"+strings.TrimPrefix(s.URL, "https"), nil)
		require.NoError(t, err)
		t.Cleanup(func() { c.Close() }) // or the server waits for it
		require.Equal(t, 2, resp.ProtoMajor)
		require.Equal(t, cookie, <-seen)
		require.NoError(t, c.Shutdown(t.Context(), 0, ""))
	}
}

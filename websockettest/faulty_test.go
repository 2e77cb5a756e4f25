package websockettest

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/nettest"

	"github.com/duplexkit/websocket"
)

var errBroken = errors.New("broken by the test")

// faulty returns a FaultyConn over a Pipe, and the other end of that.
func faulty(t testing.TB, read, write Fault) (c *FaultyConn, other net.Conn) {
	a, b := Pipe(0)
	c = NewFaultyConn(a, read, write)
	t.Cleanup(func() { c.Close(); b.Close() })
	return c, b
}

// Whatever does not break a connection leaves it one that behaves as it should.
func TestFaultyConnIsAConn(t *testing.T) {
	for name, fault := range map[string]Fault{
		"no fault": {},
		"chunks":   {Chunk: 100},
		"delay":    {Delay: time.Microsecond},
		"later":    {After: 1 << 40, Stall: true},
	} {
		for over, link := range links {
			t.Run(name+" over "+over, func(t *testing.T) {
				t.Parallel()
				nettest.TestConn(t, func() (a, b net.Conn, stop func(), err error) {
					a, b = link(t)
					a = NewFaultyConn(a, fault, fault)
					return a, b, func() { a.Close(); b.Close() }, nil
				})
			})
		}
	}
}

// readAll reads with a buffer of this size until an error, and returns what each read has
// brought.
func readAll(r io.Reader, size int) (got []string, err error) {
	for {
		p := make([]byte, size)
		n, err := r.Read(p)
		if n > 0 {
			got = append(got, string(p[:n]))
		}
		if err != nil {
			return got, err
		}
	}
}

func TestFaultyConnReads(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		fault Fault
		got   []string
		err   error
		took  time.Duration
	}{
		"nothing wrong":  {Fault{}, []string{"0123456789"}, io.EOF, 0},
		"chunks":         {Fault{Chunk: 4}, []string{"0123", "4567", "89"}, io.EOF, 0},
		"a delay":        {Fault{Delay: time.Minute}, []string{"0123456789"}, io.EOF, time.Minute},
		"a slow line":    {Fault{Chunk: 3, Delay: time.Second}, []string{"012", "345", "678", "9"}, io.EOF, 4 * time.Second},
		"an error":       {Fault{After: 7, Err: errBroken}, []string{"0123456"}, errBroken, 0},
		"at once":        {Fault{Err: errBroken}, nil, errBroken, 0},
		"an end":         {Fault{After: 3, Err: io.EOF}, []string{"012"}, io.EOF, 0},
		"at the end":     {Fault{After: 10, Err: errBroken}, []string{"0123456789"}, errBroken, 0},
		"behind the end": {Fault{After: 11, Err: errBroken}, []string{"0123456789"}, io.EOF, 0},
		"all together":   {Fault{Chunk: 4, Delay: time.Second, After: 6, Err: errBroken}, []string{"0123", "45"}, errBroken, 2 * time.Second},
		"a reset":        {Fault{After: 5, Reset: true}, []string{"01234"}, syscall.ECONNRESET, 0},
		"error first":    {Fault{After: 5, Reset: true, Err: errBroken}, []string{"01234"}, errBroken, 0},
	} {
		inBubble(t, name, func(t *testing.T) {
			c, other := faulty(t, tc.fault, Fault{Err: errors.New("of the other direction")})
			_, err := other.Write([]byte("0123456789"))
			require.NoError(t, err)
			require.NoError(t, other.(interface{ CloseWrite() error }).CloseWrite())
			began := time.Now()
			got, err := readAll(c, 100)
			require.Equal(t, tc.got, got)
			require.ErrorIs(t, err, tc.err)
			require.Equal(t, tc.took, time.Since(began))
			_, err = c.Read(make([]byte, 1))
			require.ErrorIs(t, err, tc.err, "it stays")
			struck := false
			select {
			case <-c.Struck():
				struck = true
			default:
			}
			require.Equal(t, tc.fault.shows() && tc.fault.After <= 10, struck)
		})
	}
}

func TestFaultyConnWrites(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		fault Fault
		n     int
		err   error
		took  time.Duration
	}{
		"nothing wrong": {Fault{}, 10, nil, 0},
		"chunks":        {Fault{Chunk: 4}, 10, nil, 0},
		"a delay":       {Fault{Delay: time.Minute}, 10, nil, time.Minute},
		"a slow line":   {Fault{Chunk: 3, Delay: time.Second}, 10, nil, 4 * time.Second},
		"a short write": {Fault{After: 7, Err: io.ErrShortWrite}, 7, io.ErrShortWrite, 0},
		"at once":       {Fault{Err: errBroken}, 0, errBroken, 0},
		"later":         {Fault{After: 10, Err: errBroken}, 10, nil, 0},
		"all together":  {Fault{Chunk: 4, Delay: time.Second, After: 6, Err: errBroken}, 6, errBroken, 2 * time.Second},
		"a reset":       {Fault{After: 5, Reset: true}, 5, syscall.ECONNRESET, 0},
	} {
		inBubble(t, name, func(t *testing.T) {
			c, other := faulty(t, Fault{Err: errors.New("of the other direction")}, tc.fault)
			began := time.Now()
			n, err := c.Write([]byte("0123456789"))
			require.Equal(t, tc.n, n)
			require.Equal(t, tc.took, time.Since(began))
			if tc.err == nil {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, tc.err)
			}
			if tc.fault.shows() {
				n, err = c.Write([]byte("x"))
				require.Zero(t, n)
				require.Error(t, err, "it stays")
				<-c.Struck()
			}
			_ = c.Close()
			p, err := io.ReadAll(other)
			require.Equal(t, "0123456789"[:tc.n], string(p))
			if tc.fault.Reset {
				require.ErrorIs(t, err, syscall.ECONNRESET, "the other end sees it too")
			} else {
				require.NoError(t, err)
			}
		})
	}
}

// The pieces of a write go out one by one.
func TestFaultyConnWritesInPieces(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, other := faulty(t, Fault{}, Fault{Chunk: 4, Delay: time.Second})
		go func() { _, _ = c.Write([]byte("0123456789")); c.Close() }()
		got, err := readAll(other, 100)
		require.Equal(t, io.EOF, err)
		require.Equal(t, []string{"0123", "4567", "89"}, got)
	})
}

// calls are the two directions, for what is alike in them.
var calls = map[string]struct {
	call     func(c *FaultyConn, p []byte) (int, error)
	set      func(c *FaultyConn, f Fault)
	deadline func(c *FaultyConn, t time.Time) error
}{
	"read":  {(*FaultyConn).Read, (*FaultyConn).SetReadFault, (*FaultyConn).SetReadDeadline},
	"write": {(*FaultyConn).Write, (*FaultyConn).SetWriteFault, (*FaultyConn).SetWriteDeadline},
}

// What holds a call up, and what ends that.
func TestFaultyConnHolds(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]Fault{"stall": {Stall: true}, "delay": {Delay: time.Hour}} {
		for op, way := range calls {
			begin := func(t *testing.T) (c *FaultyConn, other net.Conn, done chan error) {
				c, other = faulty(t, fault, fault)
				_, err := other.Write([]byte("x"))
				require.NoError(t, err)
				done = make(chan error, 1)
				go func() { _, err := way.call(c, []byte("x")); done <- err }()
				synctest.Wait()
				require.Empty(t, done)
				return c, other, done
			}
			inBubble(t, name+", "+op+": a deadline", func(t *testing.T) {
				c, _, done := begin(t)
				began := time.Now()
				require.NoError(t, way.deadline(c, began.Add(time.Second)))
				require.ErrorIs(t, <-done, os.ErrDeadlineExceeded)
				require.Equal(t, time.Second, time.Since(began))
				_, err := way.call(c, []byte("x"))
				require.ErrorIs(t, err, os.ErrDeadlineExceeded, "one that has passed")

				// Nothing was lost.
				require.NoError(t, way.deadline(c, time.Time{}))
				way.set(c, Fault{})
				n, err := way.call(c, []byte("y"))
				require.NoError(t, err)
				require.Equal(t, 1, n)
			})
			inBubble(t, name+", "+op+": a deadline of both", func(t *testing.T) {
				c, _, done := begin(t)
				require.NoError(t, c.SetDeadline(time.Now().Add(time.Second)))
				require.ErrorIs(t, <-done, os.ErrDeadlineExceeded)
			})
			inBubble(t, name+", "+op+": a deadline put off", func(t *testing.T) {
				c, _, done := begin(t)
				began := time.Now()
				require.NoError(t, way.deadline(c, began.Add(time.Second)))
				synctest.Wait()
				require.NoError(t, way.deadline(c, began.Add(time.Minute)))
				require.ErrorIs(t, <-done, os.ErrDeadlineExceeded)
				require.Equal(t, time.Minute, time.Since(began))
			})
			inBubble(t, name+", "+op+": a close", func(t *testing.T) {
				c, _, done := begin(t)
				require.NoError(t, c.Close())
				require.ErrorIs(t, <-done, net.ErrClosed)
				require.ErrorIs(t, c.Close(), net.ErrClosed)
				require.ErrorIs(t, c.Reset(), net.ErrClosed)
			})
			inBubble(t, name+", "+op+": a reset", func(t *testing.T) {
				c, other, done := begin(t)
				require.NoError(t, c.Reset())
				require.ErrorIs(t, <-done, syscall.ECONNRESET)
				_, err := other.Read(make([]byte, 1))
				require.ErrorIs(t, err, syscall.ECONNRESET)
			})
			inBubble(t, name+", "+op+": another call waits for its turn", func(t *testing.T) {
				c, _, done := begin(t)
				second := make(chan error, 1)
				go func() { _, err := way.call(c, []byte("z")); second <- err }()
				synctest.Wait()
				require.Empty(t, second)
				require.NoError(t, c.Close())
				require.ErrorIs(t, <-done, net.ErrClosed)
				require.ErrorIs(t, <-second, net.ErrClosed)
			})
		}
	}
	for op, way := range calls {
		inBubble(t, op+": a stall ends", func(t *testing.T) {
			c, other := faulty(t, Fault{Stall: true}, Fault{Stall: true})
			_, err := other.Write([]byte("x"))
			require.NoError(t, err)
			done := make(chan error, 1)
			go func() { _, err := way.call(c, []byte("x")); done <- err }()
			<-c.Struck()
			time.Sleep(time.Hour)
			require.Empty(t, done)
			way.set(c, Fault{Delay: time.Second})
			require.NoError(t, <-done)
		})
	}
}

// A fault that is set counts for a call that waits for the network.
func TestFaultyConnInterrupts(t *testing.T) {
	t.Parallel()
	for over, link := range links {
		for op, way := range calls {
			t.Run(op+" over "+over, func(t *testing.T) {
				t.Parallel()
				a, _ := link(t)
				c := NewFaultyConn(a, Fault{}, Fault{})
				begun := make(chan struct{})
				done := make(chan error, 1)
				go func() {
					close(begun)
					_, err := way.call(c, make([]byte, 64<<20)) // more than there is room for
					done <- err
				}()
				<-begun
				way.set(c, Fault{Stall: true}) // now, or before it has begun
				way.set(c, Fault{Err: errBroken})
				require.ErrorIs(t, <-done, errBroken)
			})
		}
	}
	inBubble(t, "and bytes stay", func(t *testing.T) {
		c, other := faulty(t, Fault{}, Fault{})
		got := make(chan string, 1)
		go func() {
			p := make([]byte, 10)
			n, _ := c.Read(p)
			got <- string(p[:n])
		}()
		synctest.Wait()
		began := time.Now()
		require.NoError(t, c.SetReadDeadline(began.Add(24*time.Hour))) // is kept
		c.SetReadFault(Fault{Stall: true})
		require.NoError(t, c.SetReadDeadline(began.Add(48*time.Hour)))
		_, err := other.Write([]byte("later"))
		require.NoError(t, err)
		time.Sleep(time.Hour)
		require.Empty(t, got)
		c.SetReadFault(Fault{Chunk: 3})
		require.Equal(t, "lat", <-got)
		p, err := io.ReadAll(c)
		require.Equal(t, "er", string(p))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.Equal(t, 48*time.Hour, time.Since(began))
	})
	inBubble(t, "and a full pipe goes on", func(t *testing.T) {
		a, other := Pipe(4)
		defer other.Close()
		c := NewFaultyConn(a, Fault{}, Fault{})
		wrote := make(chan error, 1)
		go func() { _, err := c.Write([]byte("0123456789")); wrote <- err; c.Close() }()
		synctest.Wait()
		c.SetWriteFault(Fault{Chunk: 1})
		synctest.Wait()
		require.Empty(t, wrote)
		p, err := io.ReadAll(other)
		require.NoError(t, err)
		require.Equal(t, "0123456789", string(p))
		require.NoError(t, <-wrote)
	})
}

// After counts from when the fault was set.
func TestFaultyConnCountsAgain(t *testing.T) {
	t.Parallel()
	c, other := faulty(t, Fault{After: 3, Err: errBroken}, Fault{})
	_, err := other.Write([]byte("0123456789"))
	require.NoError(t, err)
	got, err := readAll(c, 2)
	require.Equal(t, []string{"01", "2"}, got)
	require.Equal(t, errBroken, err)
	c.SetReadFault(Fault{After: 4, Err: io.EOF})
	p, err := io.ReadAll(c)
	require.NoError(t, err)
	require.Equal(t, "3456", string(p))
	n, err := c.Read(nil)
	require.NoError(t, err, "an empty read meets nothing")
	require.Zero(t, n)
}

func TestFaultyConnPassesOn(t *testing.T) {
	t.Parallel()
	c, other := faulty(t, Fault{}, Fault{})
	require.Equal(t, other.RemoteAddr(), c.LocalAddr())
	require.Equal(t, other.LocalAddr(), c.RemoteAddr())
	require.NoError(t, c.CloseWrite())
	_, err := other.Read(make([]byte, 1))
	require.Equal(t, io.EOF, err)
	require.ErrorIs(t, func() error {
		a, b := net.Pipe()
		defer b.Close()
		defer a.Close()
		return NewFaultyConn(a, Fault{}, Fault{}).CloseWrite()
	}(), errors.ErrUnsupported)
	require.NoError(t, c.Close())
	_, err = c.Read(make([]byte, 1))
	require.EqualError(t, err, "read tcp "+c.LocalAddr().String()+"->192.0.2.1:80: use of closed network connection")
}

// A WebSocket over a line of single bytes, and one that takes its time.
func TestFaultyConnCarriesWebSockets(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]Fault{"bytes": {Chunk: 1}, "slow": {Chunk: 10, Delay: 10 * time.Millisecond}} {
		inBubble(t, name, func(t *testing.T) {
			clientEnd, serverEnd := Pipe(0)
			squeeze := websocket.Options{Compression: &websocket.Compression{}}
			client, server := Handshake(t, NewFaultyConn(clientEnd, fault, fault), NewFaultyConn(serverEnd, fault, fault),
				&websocket.Dialer{Options: squeeze}, &websocket.Upgrader{Options: squeeze})
			requireEcho(t, client, server)
			go func() { _, _, _ = server.ReadMessage() }()
			require.NoError(t, client.Shutdown(t.Context(), websocket.CloseNormalClosure, ""))
		})
	}
}

package websocket

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestStats(t *testing.T) {
	t.Parallel()
	inBubbles(t, func(t *testing.T, server bool) {
		c, other := connected(t, overPipe, server, Options{})
		require.Zero(t, c.Stats())
		read := reading(other)
		require.NoError(t, c.WriteMessage(TextMessage, []byte("Hello")))
		<-read
		mw, err := c.NextWriter(BinaryMessage)
		require.NoError(t, err)
		read = reading(other)
		_, err = mw.Write(make([]byte, 10_000))
		require.NoError(t, err)
		require.NoError(t, mw.Close())
		<-read
		synctest.Wait()

		written, received := c.Stats(), other.Stats()
		require.EqualValues(t, 2, written.MessagesWritten)
		require.EqualValues(t, 10_005, written.PayloadWritten)
		require.Greater(t, written.WireWritten, written.PayloadWritten)
		require.Less(t, written.WireWritten, written.PayloadWritten+100)
		require.Equal(t, Stats{
			MessagesRead: written.MessagesWritten, PayloadRead: written.PayloadWritten, WireRead: written.WireWritten,
		}, received)

		go func() { _, _, _ = c.ReadMessage() }()
		pinged := soon(func() error { _, err := c.Ping(t.Context()); return err })
		synctest.Wait()
		time.Sleep(time.Second)
		go func() { _, _, _ = other.ReadMessage() }()
		require.NoError(t, <-pinged)
		require.Equal(t, time.Second, c.Stats().RTT)
		require.EqualValues(t, 2, c.Stats().MessagesWritten, "a ping is no message")
	})
}

// With compression, payload is what the program sees and wire what the network does.
func TestStatsCompressed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		near, far := overPipe(t)
		n := Negotiated{Server: true, Compression: &Compression{}}
		c := NewConn(near, n, Options{Compression: n.Compression})
		n.Server = false
		other := NewConn(far, n, Options{})
		defer other.Close()
		defer c.Close()
		read := reading(other)
		pm := prepared(t, some(50_000))
		require.NoError(t, c.WritePreparedMessage(pm))
		<-read
		require.EqualValues(t, 50_000, c.Stats().PayloadWritten)
		require.Less(t, c.Stats().WireWritten, int64(10_000))
		require.Equal(t, c.Stats().WireWritten, other.Stats().WireRead)
		require.EqualValues(t, 50_000, other.Stats().PayloadRead)
	})
}

// What waits in the queue, and what found no room there.
func TestStatsQueue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, peer := scripted(t, overPipe, true, Options{WriteQueue: 1000})
		for range 2 {
			require.NoError(t, c.TryWriteMessage(BinaryMessage, make([]byte, 400)))
		}
		require.Equal(t, ErrWriteQueueFull, c.TryWriteMessage(BinaryMessage, make([]byte, 400)))
		s := c.Stats()
		require.Equal(t, 2*404, s.Queued)
		require.EqualValues(t, 1, s.Dropped)
		require.EqualValues(t, 2, s.MessagesWritten)
		require.Zero(t, s.WireWritten)
		peer.Receive()
		peer.Receive()
		synctest.Wait()
		require.Zero(t, c.Stats().Queued)
		require.EqualValues(t, 2*404, c.Stats().WireWritten)
	})
}

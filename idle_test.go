package websocket

import (
	"context"
	"errors"
	"io"
	mathrand "math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// keptForWriting returns the bytes that compression keeps, for whoever is not
// writing.
func keptForWriting(c *Conn) int {
	if err := c.w.turn.take(context.Background(), control, time.Time{}); err != nil {
		return 0
	}
	defer c.w.release(true)
	return c.w.deflate.enc.Kept()
}

// keptForReading is keptForWriting for the other direction.
func keptForReading(c *Conn) int {
	c.r.inflate.mu.Lock()
	defer c.r.inflate.mu.Unlock()
	return c.r.inflate.dec.Kept()
}

// What an idle connection remembers of the messages it sent goes after a while,
// and the next message is none the worse for it.
func TestIdleWriterForgets(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client, server := squeezed(t, overPipe, Compression{}, Options{})
		rnd := mathrand.New(mathrand.NewPCG(1, 2))
		send := func() {
			p := wordy(rnd, 300)
			wrote := soon(func() error { return client.WriteMessage(TextMessage, []byte(p)) })
			requireMessage(t, TextMessage, p, <-reading(server))
			require.NoError(t, <-wrote)
		}
		for range 2 {
			for range 10 {
				send()
				time.Sleep(idleTime * 3 / 4)
				require.Positive(t, keptForWriting(client))
			}
			time.Sleep(2 * idleTime)
			require.Zero(t, keptForWriting(client))
			require.Positive(t, keptForReading(server), "the client may refer to it, for all that the server knows")
		}
		send()
	})
}

// A message that is half sent keeps its memory.
func TestIdleWriterWithinAMessage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client, server := squeezed(t, overPipe, Compression{}, Options{})
		p := wordy(mathrand.New(mathrand.NewPCG(3, 4)), 100_000)
		wrote := soon(func() error {
			w, err := client.NextWriter(TextMessage)
			if err != nil {
				return err
			}
			for _, part := range []string{p[:50_000], p[50_000:]} {
				if _, err := w.Write([]byte(part)); err != nil {
					return err
				}
				time.Sleep(5 * idleTime)
			}
			return w.Close()
		})
		requireMessage(t, TextMessage, p, <-reading(server))
		require.NoError(t, <-wrote)
		time.Sleep(3 * idleTime)
		require.Zero(t, keptForWriting(client))
	})
}

// What a peer need not have kept is forgotten, when it has sent a few messages
// without it.
func TestIdleReaderForgets(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		messages []string
		forgets  bool
	}{
		"kept its promise":          {slices.Repeat([]string{helloDeflated}, fewMessages), true},
		"broke it":                  {append(slices.Repeat([]string{helloDeflated}, fewMessages), helloAgain), false},
		"had not much time for it":  {[]string{helloDeflated}, false},
		"broke it in the beginning": {[]string{helloDeflated, helloAgain}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				promised := Compression{ServerNoContextTakeover: true, ClientNoContextTakeover: true}
				c, peer := squeezing(t, overPipe, true, promised, Options{})
				read := reading(c) // waiting, as readers do
				hear := func(payload string) {
					peer.Send(deflatedText(payload))
					requireMessage(t, TextMessage, "Hello", <-read)
					read = reading(c)
				}
				for _, payload := range tc.messages {
					hear(payload)
				}
				time.Sleep(10 * idleTime)
				synctest.Wait()
				if tc.forgets {
					require.Zero(t, keptForReading(c))
					hear(helloDeflated)
				} else {
					require.Positive(t, keptForReading(c))
					hear(helloAgain)
				}
				require.NoError(t, c.Close())
				require.Error(t, (<-read).err)
			})
		})
	}
}

// A message that is half read keeps what it may refer to.
func TestIdleReaderWithinAMessage(t *testing.T) {
	t.Parallel()
	c, peer := squeezing(t, overTCP, true, Compression{ClientNoContextTakeover: true}, Options{})
	frames := fragmented(helloDeflated, 3)
	peer.Send(frames[0])
	_, r, err := c.NextReader()
	require.NoError(t, err)
	require.False(t, c.r.inflate.forget())
	peer.Send(frames[1])
	p, err := io.ReadAll(r)
	require.NoError(t, err)
	require.Equal(t, "Hello", string(p))
	require.True(t, c.r.inflate.forget())
}

// When our close frame was sent nothing more is written, and nothing kept for it.
func TestIdleWriterForgetsAfterClose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, peer := squeezing(t, overPipe, true, Compression{}, Options{})
		wrote := soon(func() error {
			return errors.Join(c.WriteMessage(TextMessage, []byte(some(500))), c.WriteControl(CloseMessage, nil, time.Time{}))
		})
		peer.Receive()
		peer.Receive()
		require.NoError(t, <-wrote)
		time.Sleep(3 * idleTime)
		synctest.Wait()
		c.idle.mu.Lock()
		defer c.idle.mu.Unlock()
		require.Zero(t, c.w.deflate.enc.Kept())
		require.False(t, c.idle.armed)
	})
}

// A connection that ends leaves no timer behind, which would keep it alive.
func TestIdleEndsWithTheConnection(t *testing.T) {
	t.Parallel()
	c, _ := squeezing(t, overTCP, true, Compression{}, Options{})
	require.NoError(t, c.WriteMessage(TextMessage, []byte(some(100))))
	require.True(t, c.idle.armed)
	require.NoError(t, c.Close())
	require.False(t, c.idle.timer.Stop(), "it was stopped")
	c.idle.wake()
	require.False(t, c.idle.timer.Stop(), "and stays so")
}

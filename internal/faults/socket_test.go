package faults

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	websocket "github.com/duplexkit/websocket"
	"github.com/duplexkit/websocket/internal/wstest"
)

// A plain socket has ways of its own through the library, shorter than Read and Write,
// and a Start that waits for it without a goroutine. So the peer's side of the
// transcript comes over sockets too, where it is the peer that breaks it.

// A way is how a peer breaks off.
type way int

const (
	stops   way = iota // it ends its side
	resets             // it resets the connection
	pauses             // it says the rest when the program has waited in vain
	divides            // it says the rest at once, in another segment
	ways    = 4
)

// replay is a connection of which the peer sends some bytes, and then breaks it.
type replay struct {
	trial
	way  way
	wire []byte
	at   int
}

// run returns what the program read.
func (rp replay) run(t *testing.T) (r reading) {
	client, server, err := overTCP()
	require.NoError(t, err)
	ours, theirs := client, server.(*net.TCPConn)
	if rp.door.server() {
		ours, theirs = server, client.(*net.TCPConn)
	}
	defer theirs.Close()
	c := websocket.NewConn(ours, websocket.Negotiated{Server: rp.door.server(), Compression: &websocket.Compression{}}, websocket.Options{})
	defer c.Close()
	_, err = theirs.Write(rp.wire[:rp.at])
	require.NoError(t, err)
	rest := sync.OnceFunc(func() {
		_, _ = theirs.Write(rp.wire[rp.at:]) // the other end may have gone
		_ = theirs.CloseWrite()
	})
	switch rp.way {
	case stops:
		require.NoError(t, theirs.CloseWrite())
	case resets:
		require.NoError(t, theirs.SetLinger(0))
		require.NoError(t, theirs.Close())
	case divides:
		rest()
	case pauses:
		require.NoError(t, c.SetReadDeadline(time.Now().Add(2*time.Millisecond)))
		// The first timeout has the peer go on.
		for {
			messageType, p, err := rp.readWhole(c)
			if err == nil {
				r.messages = append(r.messages, message{messageType, string(p)})
				continue
			}
			if !resumes(c, err) {
				r.err = err
				return r
			}
			r.resumed++
			require.NoError(t, c.SetReadDeadline(time.Time{}))
			rest()
		}
	}
	rp.read(c, &r)
	return r
}

// readWhole reads a message.
func (rp replay) readWhole(c *websocket.Conn) (messageType int, p []byte, err error) {
	switch rp.method {
	case readContext:
		return c.ReadMessageContext(context.Background(), nil)
	case nextReader:
		messageType, r, err := c.NextReader()
		if err != nil {
			return messageType, nil, err
		}
		p, err = io.ReadAll(r)
		return messageType, p, err
	}
	return c.ReadMessage()
}

// ofTheNetwork reports whether err is one of the system's, which have other numbers on
// other systems.
func ofTheNetwork(err error) bool {
	_, ok := errors.AsType[*net.OpError](err)
	return ok
}

// verify compares what was read with what the bytes say.
func (rp replay) verify(t *testing.T, r reading) {
	t.Helper()
	who := reader{server: rp.door.server(), compressed: true, limit: websocket.DefaultReadLimit}
	before, all := who.see(rp.wire[:rp.at]), who.see(rp.wire)
	name := []any{"%v, %v, way %d at byte %d: %v", rp.door, rp.method, rp.way, rp.at, r.err}
	if r.err != nil {
		require.True(t, documented(r.err) || ofTheNetwork(r.err), name...)
	}
	complete := func() {
		require.Equal(t, all.messages, r.messages, name...)
		require.True(t, outcome{read: r}.clean(rp.trial), name...)
	}
	switch rp.way {
	case divides:
		complete()
	case pauses:
		if before.within && timedOut(r.err) {
			require.Equal(t, before.messages, r.messages, name...)
			return
		}
		complete()
	case resets:
		// What came before a reset may be lost with it, but not without an error.
		require.LessOrEqual(t, len(r.messages), len(before.messages), name...)
		require.Equal(t, before.messages[:len(r.messages)], r.messages, name...)
		if len(r.messages) < len(all.messages) {
			require.Error(t, r.err, name...)
			require.False(t, websocket.IsCloseError(r.err, websocket.CloseNormalClosure), name...)
		}
	default:
		require.Equal(t, before.messages, r.messages, name...)
		require.True(t, websocket.IsCloseError(r.err, websocket.CloseAbnormalClosure), name...)
		require.True(t, errors.Is(r.err, io.ErrUnexpectedEOF) && !errors.Is(r.err, os.ErrDeadlineExceeded), name...)
	}
}

func TestTranscriptOverSockets(t *testing.T) {
	goroutines, files := steady(t)
	count, turn := 0, 0
	for _, d := range []door{upgradeConn, dial} {
		wire := append(encodedSides[d.server()], encoded(d.server(), []wstest.Frame{farewell})...)
		for at := range wire {
			for w := range way(ways) {
				turn++
				for m := range method(methods) {
					if !*full && (at+int(w))%methods != int(m) || w == pauses && m.loops() && *full {
						continue
					}
					if w == pauses {
						m %= serve // loops end at a timeout
					}
					if skipped(turn) {
						continue
					}
					rp := replay{trial: trial{door: d, method: m}, way: w, wire: wire, at: at}
					rp.verify(t, rp.run(t))
					count++
				}
			}
		}
	}
	requireBack(t, "in the end", goroutines, files)
	t.Logf("%d faults", count)
}

package websocket

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket/internal/wstest"
)

// An endingConn is a scriptedConn whose end can be waited for.
type endingConn struct {
	scriptedConn
	once sync.Once
	gone chan struct{}
}

func newEndingConn(r io.Reader) *endingConn {
	return &endingConn{scriptedConn: scriptedConn{Reader: r}, gone: make(chan struct{})}
}

func (c *endingConn) Close() error {
	c.once.Do(func() { close(c.gone) })
	return nil
}

// lastWords returns the payload of the close frame that a connection sends when reading
// ends with err, and whether it sends any.
func lastWords(err error) (payload string, any bool) {
	switch e := err.(type) {
	case *CloseError:
		return string(FormatCloseMessage(e.Code, e.Text)), e.Code != CloseAbnormalClosure
	case *ProtocolError:
		return string(FormatCloseMessage(e.Code, cutReason(e.Reason))), true
	}
	return string(FormatCloseMessage(CloseMessageTooBig, "")), err == ErrReadLimit
}

// connWays are the ways in which programs read. Each reads to the end, and returns the
// messages that came whole. A loop has no error for a proper end.
var connWays = []struct {
	name string
	loop bool
	read func(c *Conn, rnd *rand.Rand) (lines []string, end error)
}{
	{"ReadMessage", false, func(c *Conn, _ *rand.Rand) (lines []string, end error) {
		for {
			messageType, p, err := c.ReadMessage()
			if err != nil {
				return lines, err
			}
			lines = append(lines, messageLine(messageType, p))
		}
	}},
	{"ReadMessageContext", false, func(c *Conn, rnd *rand.Rand) (lines []string, end error) {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		for {
			dst := make([]byte, 2, 2+rnd.IntN(50))
			messageType, p, err := c.ReadMessageContext(ctx, dst)
			if err != nil {
				return lines, err
			}
			lines = append(lines, messageLine(messageType, p[2:]))
		}
	}},
	{"NextReader", false, func(c *Conn, rnd *rand.Rand) (lines []string, end error) {
		for {
			messageType, r, err := c.NextReader()
			if err != nil {
				return lines, err
			}
			var p []byte
			for err == nil {
				var n int
				b := make([]byte, rnd.IntN(300))
				n, err = r.Read(b)
				p = append(p, b[:n]...)
			}
			if err != io.EOF {
				return lines, err
			}
			lines = append(lines, messageLine(messageType, p))
		}
	}},
	{"Messages", true, func(c *Conn, _ *rand.Rand) (lines []string, end error) {
		for m, err := range c.Messages(context.Background()) {
			if end = err; err == nil {
				lines = append(lines, messageLine(m.Type, m.Data))
			}
		}
		return lines, end
	}},
	{"Serve", true, func(c *Conn, _ *rand.Rand) (lines []string, end error) {
		end = c.Serve(context.Background(), func(m Message) error {
			lines = append(lines, messageLine(m.Type, m.Data))
			return nil
		})
		return lines, end
	}},
	{"Start", true, func(c *Conn, _ *rand.Rand) (lines []string, end error) {
		done := make(chan error)
		c.Start(func(m Message) error {
			lines = append(lines, messageLine(m.Type, m.Data))
			return nil
		}, func(err error) { done <- err })
		end = <-done
		return lines, end
	}},
}

func messageLine(messageType int, p []byte) string {
	return fmt.Sprintf("message %d %q", messageType, p)
}

// Terms of a connection under the fuzzer.
const (
	fuzzServer     = 1 << iota
	fuzzDeflate    // permessage-deflate, with a window that the bits above say
	fuzzNoTakeover // the peer does without, or says so
	fuzzAnyText
	fuzzBits = iota // how far to shift for the window
)

// fuzzCompression are the terms of permessage-deflate, nil for none.
func fuzzCompression(terms uint8) *Compression {
	if terms&fuzzDeflate == 0 {
		return nil
	}
	bits := 15 - int(terms>>fuzzBits)%8
	none := terms&fuzzNoTakeover != 0
	return &Compression{ServerNoContextTakeover: none, ClientNoContextTakeover: none, ServerMaxWindowBits: bits, ClientMaxWindowBits: bits}
}

// requireAnswers checks what a connection has written: pongs for these pings, of which a
// later one may stand for earlier ones (section 5.5.3), and behind them the close frame
// that the end of reading calls for.
func requireAnswers(t *testing.T, written []byte, server bool, pings []string, end error) {
	t.Helper()
	var pongs []string
	said := false
	for r := bytes.NewReader(written); r.Len() > 0; {
		f, masked, err := wstest.ReadFrame(r)
		require.NoError(t, err)
		require.Equal(t, !server, masked)
		require.False(t, said, "%v behind a close frame", f)
		switch f {
		case wstest.Frame{Opcode: wstest.Pong, Payload: f.Payload}:
			pongs = append(pongs, f.Payload)
		default:
			words, any := lastWords(end)
			require.True(t, any, "%v", f)
			require.Equal(t, wstest.Frame{Opcode: wstest.Close, Payload: words}, f)
			said = true
		}
	}
	_, any := lastWords(end)
	require.Equal(t, any, said)
	if len(pings) > 0 {
		require.NotEmpty(t, pongs)
		require.Equal(t, pings[len(pings)-1], pongs[len(pongs)-1])
	}
	for _, ping := range pings {
		if len(pongs) > 0 && pongs[0] == ping {
			pongs = pongs[1:]
		}
	}
	require.Empty(t, pongs, "answers to nothing")
}

// FuzzConn: whatever the way in which a program reads, and over whatever network
// connection, it gets the messages that a reader finds, the same end, and the peer the
// same answers.
func FuzzConn(f *testing.F) {
	for i, tc := range transcripts {
		for _, server := range []bool{true, false} {
			if wire := bytesOf(server, tc.frames...); len(wire) < 1000 {
				f.Add(wire, uint8(btoi(server)*fuzzServer), uint64(i), int64(-1))
			}
		}
	}
	for i, payload := range []string{helloDeflated, helloAgain, helloStored, helloFinal, helloInTwo, "\x00", "", "\x06", helloDeflated[:5]} {
		for _, terms := range []uint8{fuzzDeflate, fuzzDeflate | fuzzServer, fuzzDeflate | fuzzNoTakeover, fuzzDeflate | fuzzServer | 6<<fuzzBits} {
			server := terms&fuzzServer != 0
			frames := append(fragmented(helloDeflated, 2), pingFrame("1"), pingFrame("2"), deflatedText(payload), textFrame("plain"))
			f.Add(bytesOf(server, frames...), terms, uint64(i), int64(-1))
			f.Add(bytesOf(server, append(frames, wstest.CloseFrame(1001, "bye"))...), terms, uint64(i), int64(5))
		}
	}
	ln, err := net.Listen("unix", filepath.Join(f.TempDir(), "s"))
	if err != nil { // the path may be too long, or the system know no such sockets
		ln, err = net.Listen("tcp", "127.0.0.1:0")
	}
	require.NoError(f, err)
	f.Cleanup(func() { ln.Close() })

	f.Fuzz(func(t *testing.T, wire []byte, terms uint8, seed uint64, limit int64) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		server, compression := terms&fuzzServer != 0, fuzzCompression(terms)
		if limit <= 0 {
			limit = -1
		}
		if compression != nil && (limit < 0 || limit > 1<<20) {
			limit = 1 << 20 // what it inflates to
		}

		r, want := newTestReader(bytes.NewReader(wire), server)
		r.anyText = terms&fuzzAnyText != 0
		if compression != nil {
			r.in.compressed = true
			r.inflate = newInflater(*compression, server)
			r.inflate.usage.wake = func() {}
		}
		end := way{read: wholeMessage}.everything(r, want, limit)
		var messages, pings []string
		within := false
		for _, line := range want.lines {
			switch kind, what, _ := strings.Cut(line, " "); kind {
			case "message":
				messages = append(messages, line)
			case "broken":
				within = true
			case "ping":
				var p string
				_, err := fmt.Sscanf(what, "%q", &p)
				require.NoError(t, err)
				pings = append(pings, p)
			}
		}

		for _, way := range connWays {
			for _, over := range []string{"a script", "a socket"} {
				if over == "a socket" && (seed%4 != 0 || way.name == "NextReader") {
					continue // it takes long, and is the same for all but the loops and ReadMessage
				}
				what := way.name + " over " + over
				var nc net.Conn
				var answers func() []byte
				if over == "a socket" {
					nc, answers = speaking(t, ln, wire)
				} else {
					s := newEndingConn(&wstest.Source{Data: wire, Chunk: func() int { return 1 + rnd.IntN(1+rnd.IntN(300)) }})
					nc, answers = s, func() []byte {
						select {
						case <-s.gone:
						case <-time.After(longTime):
							t.Fatal("the connection stays open: ", what)
						}
						return s.written.Bytes()
					}
				}
				c := NewConn(nc, Negotiated{Server: server, Compression: compression}, Options{ReadLimit: limit, AllowInvalidUTF8: r.anyText})
				got, gotEnd := way.read(c, rnd)
				wantEnd := end
				if way.loop && !within && IsCloseError(end, CloseNormalClosure, CloseGoingAway) {
					wantEnd = nil
				}
				require.Equal(t, wantEnd, gotEnd, what)
				require.Equal(t, messages, got, what)
				_ = c.Close() // a loop has, and the peer may have gone
				requireAnswers(t, answers(), server, pings, end)
			}
		}
	})
}

// longTime keeps a test from hanging.
const longTime = 20 * time.Second

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// speaking returns a connection over a socket whose peer says all of wire, and a function
// that waits for its end and returns what the peer was sent.
func speaking(t *testing.T, ln net.Listener, wire []byte) (nc net.Conn, answers func() []byte) {
	t.Helper()
	peer, err := net.Dial(ln.Addr().Network(), ln.Addr().String())
	require.NoError(t, err)
	nc, err = ln.Accept()
	require.NoError(t, err)
	answered := make(chan []byte, 1)
	go func() {
		defer peer.Close()
		go func() {
			_, _ = peer.Write(wire) // the other end may have heard enough
			_ = peer.(halfCloser).CloseWrite()
		}()
		p, err := io.ReadAll(peer)
		if err != nil && !errors.Is(err, net.ErrClosed) {
			p = append(p, err.Error()...) // which is no frame
		}
		answered <- p
	}()
	return nc, func() []byte {
		select {
		case p := <-answered:
			return p
		case <-time.After(longTime):
			t.Fatal("the connection stays open")
			return nil
		}
	}
}

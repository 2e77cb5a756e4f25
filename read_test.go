package websocket

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket/internal/wstest"
)

// A journal notes what a reader brings, control frames and messages, in order.
// It is the upper floor of a reader under test.
type journal struct {
	lines    []string
	pingErr  error // what onPing returns
	closeErr error // what onClose returns
	waits    int   // calls of beforeWait
}

func (j *journal) note(format string, a ...any) { j.lines = append(j.lines, fmt.Sprintf(format, a...)) }

func (j *journal) onPing(p []byte) error { j.note("ping %q", p); return j.pingErr }
func (j *journal) onPong(p []byte) error { j.note("pong %q", p); return nil }
func (j *journal) onClose(code int, reason string) error {
	j.note("close %d %q", code, reason)
	return j.closeErr
}
func (j *journal) beforeWait()      { j.waits++ }
func (j *journal) afterWait([]byte) {}
func (j *journal) onMessage(int64)  {}

func newTestReader(src io.Reader, server bool) (*reader, *journal) {
	j := &journal{}
	return &reader{src: src, up: j, size: defaultBufferSize, in: inbound{server: server}}, j
}

// A way of reading messages. It reads one, whose type is 0 if it did not begin.
type way struct {
	name string
	read func(r *reader, limit int64) (messageType int, p []byte, err error)
}

func wholeMessage(r *reader, limit int64) (int, []byte, error) { return r.message([]byte{}, limit) }

// pieces reads a message with calls of read for as many bytes as size says.
func pieces(size func() int) func(r *reader, limit int64) (int, []byte, error) {
	return func(r *reader, limit int64) (messageType int, p []byte, err error) {
		p = []byte{}
		if messageType, err = r.next(limit); err != nil {
			return messageType, p, err
		}
		var room []byte
		for {
			b := append(room[:0], make([]byte, size())...)
			room = b
			n, err := r.read(b)
			p = append(p, b[:n]...)
			if err == io.EOF {
				return messageType, p, nil
			}
			if err != nil {
				return messageType, p, err
			}
		}
	}
}

func always(n int) func() int { return func() int { return n } }

var wholeWays = []way{
	{"into memory of the caller", wholeMessage},
	{"into new memory", func(r *reader, limit int64) (int, []byte, error) { return r.message(nil, limit) }},
	{"lent", func(r *reader, limit int64) (int, []byte, error) {
		messageType, p, lent, err := r.lendMessage(limit)
		defer lent.giveBack()
		return messageType, append([]byte{}, p...), err
	}},
}

var ways = append(slices.Clone(wholeWays),
	way{"by the byte", pieces(always(1))},
	way{"by 3 bytes", pieces(always(3))},
	way{"by 8 KiB", pieces(always(8 << 10))},
)

// everything reads to the end and notes the messages and what the end was.
func (w way) everything(r *reader, j *journal, limit int64) (end error) {
	for {
		messageType, p, err := w.read(r, limit)
		if err != nil {
			if messageType != 0 {
				j.note("broken %d %q", messageType, p)
			}
			return err
		}
		j.note("message %d %q", messageType, p)
	}
}

// bytesOf are frames on the wire, as the peer of a server or a client sends them.
func bytesOf(server bool, fs ...wstest.Frame) (b []byte) {
	for _, f := range fs {
		if server {
			b = append(b, f.Masked()...)
		} else {
			b = append(b, f.Unmasked()...)
		}
	}
	return b
}

func textFrame(p string) wstest.Frame { return wstest.Frame{Opcode: wstest.Text, Payload: p} }
func textFirst(p string) wstest.Frame {
	return wstest.Frame{More: true, Opcode: wstest.Text, Payload: p}
}
func binaryFrame(p string) wstest.Frame { return wstest.Frame{Opcode: wstest.Binary, Payload: p} }
func binaryFirst(p string) wstest.Frame {
	return wstest.Frame{More: true, Opcode: wstest.Binary, Payload: p}
}
func middleFrame(p string) wstest.Frame      { return wstest.Frame{More: true, Payload: p} }
func lastFrame(p string) wstest.Frame        { return wstest.Frame{Payload: p} }
func pingFrame(p string) wstest.Frame        { return wstest.Frame{Opcode: wstest.Ping, Payload: p} }
func pongFrame(p string) wstest.Frame        { return wstest.Frame{Opcode: wstest.Pong, Payload: p} }
func some(n int) string                      { return strings.Repeat("0123456789abcdef", n/16+1)[:n] }
func closedWith(code int, text string) error { return &CloseError{Code: code, Text: text} }

var cutOff = closedWith(CloseAbnormalClosure, "unexpected EOF")

// A transcript is what a peer sends and what a reader makes of it.
var transcripts = []struct {
	name   string
	frames []wstest.Frame
	lines  []string
	end    error
}{
	{name: "nothing", end: cutOff},
	{
		name:   "of section 5.7",
		frames: []wstest.Frame{textFrame("Hello"), textFirst("Hel"), lastFrame("lo"), pingFrame("Hello"), pongFrame("Hello")},
		lines:  []string{`message 1 "Hello"`, `message 1 "Hello"`, `ping "Hello"`, `pong "Hello"`},
		end:    cutOff,
	},
	{
		name:   "control frames everywhere",
		frames: []wstest.Frame{pingFrame(""), textFirst("a"), pingFrame("1"), middleFrame("b"), pongFrame("2"), pingFrame(some(125)), lastFrame("c"), pongFrame(""), wstest.CloseFrame(1000, "bye")},
		lines:  []string{`ping ""`, `ping "1"`, `pong "2"`, fmt.Sprintf("ping %q", some(125)), `message 1 "abc"`, `pong ""`, `close 1000 "bye"`},
		end:    closedWith(1000, "bye"),
	},
	{
		name:   "empty messages and fragments",
		frames: []wstest.Frame{textFrame(""), binaryFrame(""), textFirst(""), middleFrame(""), lastFrame(""), binaryFirst(""), middleFrame("x"), lastFrame(""), {Opcode: wstest.Close}},
		lines:  []string{`message 1 ""`, `message 2 ""`, `message 1 ""`, `message 2 "x"`, `close 1005 ""`},
		end:    closedWith(1005, ""),
	},
	{
		name:   "lengths around the forms of a header",
		frames: []wstest.Frame{binaryFrame(some(125)), binaryFrame(some(126)), binaryFrame(some(127)), binaryFrame(some(65535)), binaryFrame(some(65536)), wstest.CloseFrame(1001, "")},
		lines: []string{
			fmt.Sprintf("message 2 %q", some(125)), fmt.Sprintf("message 2 %q", some(126)), fmt.Sprintf("message 2 %q", some(127)),
			fmt.Sprintf("message 2 %q", some(65535)), fmt.Sprintf("message 2 %q", some(65536)), `close 1001 ""`,
		},
		end: closedWith(1001, ""),
	},
	{
		name:   "characters across fragments and control frames",
		frames: []wstest.Frame{textFirst("\xe2"), pingFrame(""), middleFrame("\x82"), middleFrame(""), lastFrame("\xac"), textFrame("€"), wstest.CloseFrame(4999, "€")},
		lines:  []string{`ping ""`, `message 1 "€"`, `message 1 "€"`, `close 4999 "€"`},
		end:    closedWith(4999, "€"),
	},
	{
		name:   "bytes that are no text in binary messages",
		frames: []wstest.Frame{binaryFrame("\xff"), binaryFirst("\xe2"), lastFrame("\xff")},
		lines:  []string{"message 2 \"\\xff\"", "message 2 \"\\xe2\\xff\""},
		end:    cutOff,
	},
	{
		name:   "what follows a close frame is not read",
		frames: []wstest.Frame{wstest.CloseFrame(1000, ""), textFrame("late"), pingFrame("late")},
		lines:  []string{`close 1000 ""`},
		end:    closedWith(1000, ""),
	},
	{
		name:   "close within a message",
		frames: []wstest.Frame{textFirst("half"), wstest.CloseFrame(1000, "")},
		lines:  []string{`close 1000 ""`, `broken 1 "half"`},
		end:    closedWith(1000, ""),
	},
	{
		name:   "end between fragments",
		frames: []wstest.Frame{textFrame("whole"), textFirst("half")},
		lines:  []string{`message 1 "whole"`, `broken 1 "half"`},
		end:    cutOff,
	},
	{
		name:   "text that ends within a character",
		frames: []wstest.Frame{textFrame("ok"), textFirst("a"), lastFrame("\xe2\x82"), textFrame("late")},
		lines:  []string{`message 1 "ok"`, "broken 1 \"a\\xe2\\x82\""},
		end:    errInvalidUTF8,
	},
	{
		name:   "text that ends within a character, in an empty fragment",
		frames: []wstest.Frame{textFirst("\xe2\x82"), lastFrame("")},
		lines:  []string{"broken 1 \"\\xe2\\x82\""},
		end:    errInvalidUTF8,
	},
	{name: "reserved bit", frames: []wstest.Frame{{RSV: 2, Opcode: wstest.Text}}, end: errReservedBit},
	{name: "reserved opcode", frames: []wstest.Frame{textFrame("a"), {Opcode: 3}}, lines: []string{`message 1 "a"`}, end: errReservedOpcode},
	{name: "continuation first", frames: []wstest.Frame{lastFrame("a")}, end: errUnexpectedContinuation},
	{name: "message within a message", frames: []wstest.Frame{textFirst("a"), textFrame("b")}, lines: []string{`broken 1 "a"`}, end: errExpectedContinuation},
	{name: "fragmented ping", frames: []wstest.Frame{{More: true, Opcode: wstest.Ping}}, end: errFragmentedControl},
	{name: "long ping", frames: []wstest.Frame{pingFrame(some(126))}, end: errLongControl},
	{name: "close of one byte", frames: []wstest.Frame{{Opcode: wstest.Close, Payload: "\x03"}}, end: errShortClose},
	{name: "close code 1005", frames: []wstest.Frame{wstest.CloseFrame(1005, "")}, end: errCloseCode},
	{name: "close reason that is no text", frames: []wstest.Frame{wstest.CloseFrame(1000, "\xff")}, end: errCloseReason},
	{
		name:   "64 empty fragments",
		frames: slices.Concat([]wstest.Frame{textFirst("a")}, slices.Repeat([]wstest.Frame{middleFrame("")}, 64), []wstest.Frame{lastFrame("b")}),
		lines:  []string{`message 1 "ab"`},
		end:    cutOff,
	},
	{
		name:   "65 empty fragments",
		frames: slices.Concat([]wstest.Frame{textFirst("a")}, slices.Repeat([]wstest.Frame{middleFrame("")}, 65), []wstest.Frame{lastFrame("b")}),
		lines:  []string{`broken 1 "a"`},
		end:    errEmptyFragments,
	},
}

// sources are the ways in which bytes come from the network.
var sources = []struct {
	name string
	wrap func(io.Reader) io.Reader
}{
	{"at once", func(r io.Reader) io.Reader { return r }},
	{"by the byte", iotest.OneByteReader},
	{"by halves", iotest.HalfReader},
	{"the end together with data", iotest.DataErrReader},
}

func TestReader(t *testing.T) {
	t.Parallel()
	for _, tc := range transcripts {
		for _, server := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/server=%t", tc.name, server), func(t *testing.T) {
				t.Parallel()
				wire := bytesOf(server, tc.frames...)
				for _, source := range sources {
					for _, way := range ways {
						r, j := newTestReader(source.wrap(bytes.NewReader(wire)), server)
						end := way.everything(r, j, -1)
						require.Equal(t, tc.end, end, "%s, %s", source.name, way.name)
						require.Equal(t, tc.lines, j.lines, "%s, %s", source.name, way.name)

						messageType, p, again := way.read(r, -1)
						require.Equal(t, tc.end, again, "the first error stays: %s, %s", source.name, way.name)
						require.Zero(t, messageType)
						require.Empty(t, p)
						n, again := r.read(make([]byte, 10))
						require.Zero(t, n)
						require.Error(t, again)
					}
				}
			})
		}
	}
}

func TestReaderMasking(t *testing.T) {
	t.Parallel()
	r, _ := newTestReader(bytes.NewReader(wstest.HelloUnmasked), true)
	_, err := r.next(-1)
	require.Equal(t, errNotMasked, err)

	r, _ = newTestReader(bytes.NewReader(wstest.HelloMasked), false)
	_, err = r.next(-1)
	require.Equal(t, errMasked, err)
}

// A network connection that was cut, wherever that was, is close code 1006 and
// never a message that looks whole.
func TestReaderCutOff(t *testing.T) {
	t.Parallel()
	wire := bytesOf(true, textFrame("first"), textFirst("Hel"), pingFrame("p"), lastFrame("lo"))
	border := len(bytesOf(true, textFrame("first")))
	for _, end := range []error{io.EOF, io.ErrUnexpectedEOF} {
		for _, way := range ways {
			for cut := range len(wire) {
				r, j := newTestReader(&wstest.Source{Data: wire[:cut], End: end}, true)
				require.Equal(t, cutOff, way.everything(r, j, -1))
				want := 0
				if cut >= border {
					want = 1
				}
				got := 0
				for _, line := range j.lines {
					if strings.HasPrefix(line, "message") {
						got++
					}
				}
				require.Equal(t, want, got, "%s, cut at %d: %v", way.name, cut, j.lines)
			}
		}
	}
}

func TestReaderNetworkError(t *testing.T) {
	t.Parallel()
	reset := errors.New("connection reset by peer")
	wire := bytesOf(true, textFirst("Hel"), lastFrame("lo"))
	for _, way := range ways {
		r, _ := newTestReader(&wstest.Source{Data: wire[:len(wire)-1], End: reset}, true)
		messageType, p, err := way.read(r, -1)
		require.Equal(t, reset, err, way.name)
		require.Equal(t, TextMessage, messageType, way.name)
		require.Equal(t, "Hell", string(p), way.name)
		_, _, err = way.read(r, -1)
		require.Equal(t, reset, err, way.name)
	}

	// A timeout of the network that is no deadline of ours is like any other error.
	r, _ := newTestReader(iotest.TimeoutReader(iotest.OneByteReader(bytes.NewReader(wire))), true)
	_, _, err := r.message(nil, -1)
	require.Equal(t, iotest.ErrTimeout, err)
	_, _, err = r.message(nil, -1)
	require.Equal(t, iotest.ErrTimeout, err)

	r, _ = newTestReader(iotest.ErrReader(nil), true) // reads 0, nil for ever
	_, err = r.next(-1)
	require.Equal(t, io.ErrNoProgress, err)
}

// timeoutTranscript has every kind of frame; inside are the offsets at which a
// message has begun and has not ended.
func timeoutTranscript(server bool) (wire []byte, inside map[int]bool) {
	inside = make(map[int]bool)
	add := func(fs ...wstest.Frame) {
		begin := len(wire)
		wire = append(wire, bytesOf(server, fs...)...)
		if op := fs[0].Opcode; op == wstest.Text || op == wstest.Binary {
			_, header, err := ParseFrameHeader(wire[begin:])
			if err != nil {
				panic(err)
			}
			for i := begin + header; i < len(wire); i++ {
				inside[i] = true
			}
		}
	}
	add(textFrame("Hello"))
	add(pingFrame("ping"))
	add(textFirst("Gr\xc3"), pingFrame("within"), middleFrame("\xbc"), middleFrame(""), lastFrame("ße"))
	add(textFrame(""))
	add(pongFrame(""))
	add(binaryFrame(some(130)))
	add(binaryFirst(""), lastFrame("x"))
	add(wstest.CloseFrame(1000, "bye"))
	return wire, inside
}

var timeoutLines = []string{
	`message 1 "Hello"`, `ping "ping"`, `ping "within"`, `message 1 "Grüße"`, `message 1 ""`, `pong ""`,
	fmt.Sprintf("message 2 %q", some(130)), `message 2 "x"`, `close 1000 "bye"`,
}

// A timeout before a message has begun loses nothing, wherever in a header or a
// control frame it strikes. Within a message it is the end, except for a lenient
// reader.
func TestReaderTimeouts(t *testing.T) {
	t.Parallel()
	for _, server := range []bool{true, false} {
		wire, inside := timeoutTranscript(server)
		for _, way := range ways {
			t.Run(fmt.Sprintf("server=%t/%s", server, way.name), func(t *testing.T) {
				t.Parallel()
				for stop := range len(wire) {
					// Twice: the second try times out as well.
					r, j := newTestReader(&wstest.Source{Data: wire, Stops: []int{stop, stop}, Stop: os.ErrDeadlineExceeded}, server)
					end := way.everything(r, j, -1)
					require.ErrorIs(t, end, os.ErrDeadlineExceeded)
					if inside[stop] {
						require.True(t, strings.HasPrefix(j.lines[len(j.lines)-1], "broken"), "offset %d: %v", stop, j.lines)
						require.Equal(t, timeoutLines[:len(j.lines)-1], j.lines[:len(j.lines)-1])
						_, _, again := way.read(r, -1)
						require.Equal(t, end, again, "it stays")
						continue
					}
					require.NoError(t, r.err, "offset %d: %v", stop, j.lines)
					require.ErrorIs(t, way.everything(r, j, -1), os.ErrDeadlineExceeded)
					require.Equal(t, closedWith(1000, "bye"), way.everything(r, j, -1))
					require.Equal(t, timeoutLines, j.lines, "offset %d", stop)
				}
			})
		}
	}
}

func TestReaderTimeoutsWhenLenient(t *testing.T) {
	t.Parallel()
	wire, _ := timeoutTranscript(true)
	for stop := range len(wire) {
		r, j := newTestReader(&wstest.Source{Data: wire, Stops: []int{stop}, Stop: os.ErrDeadlineExceeded}, true)
		r.lenient = true
		var p []byte
		timeouts := 0
		for end := error(nil); end == nil; {
			messageType, err := r.next(-1)
			for b := make([]byte, 7); err == nil; {
				var n int
				n, err = r.read(b)
				p = append(p, b[:n]...)
				if isTimeout(err) {
					timeouts, err = timeouts+1, nil
				}
			}
			switch {
			case err == io.EOF:
				j.note("message %d %q", messageType, p)
				p = nil
			case isTimeout(err):
				timeouts++
			default:
				end = err
			}
		}
		require.Equal(t, 1, timeouts)
		require.Equal(t, timeoutLines, j.lines, "offset %d", stop)
	}
}

// Nobody waits for the rest of a message that is discarded, so a timeout there
// is before the message that next is asked for.
func TestReaderTimeoutsWhileDiscarding(t *testing.T) {
	t.Parallel()
	wire, _ := timeoutTranscript(true)
	for stop := range len(wire) {
		r, j := newTestReader(&wstest.Source{Data: wire, Stops: []int{stop}, Stop: os.ErrDeadlineExceeded}, true)
		var types []int
		timeouts := 0
		for {
			messageType, err := r.next(-1)
			if isTimeout(err) {
				timeouts++
				continue
			}
			if err != nil {
				require.Equal(t, closedWith(1000, "bye"), err, "offset %d", stop)
				break
			}
			types = append(types, messageType)
		}
		require.Equal(t, 1, timeouts, "offset %d", stop)
		require.Equal(t, []int{1, 1, 1, 2, 2}, types, "offset %d", stop)
		require.Equal(t, []string{`ping "ping"`, `ping "within"`, `pong ""`, `close 1000 "bye"`}, j.lines, "offset %d", stop)
	}
}

// Discarding ends where a message ends, and no sooner is its timeout forgiven.
func TestReaderTimeoutAfterDiscarding(t *testing.T) {
	t.Parallel()
	wire := bytesOf(true, textFrame("discarded"), textFrame("read"))
	r, _ := newTestReader(&wstest.Source{Data: wire, Stops: []int{10, len(wire) - 1}, Stop: os.ErrDeadlineExceeded}, true)
	_, err := r.next(-1)
	require.NoError(t, err)
	_, err = r.next(-1)
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	messageType, p, err := r.message(nil, -1)
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	require.Equal(t, TextMessage, messageType)
	require.Equal(t, "rea", string(p))
	_, _, err = r.message(nil, -1)
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
}

func TestReaderPartialData(t *testing.T) {
	t.Parallel()
	for _, way := range ways {
		r, _ := newTestReader(bytes.NewReader(bytesOf(false, binaryFirst(some(5000)), middleFrame("abc"))), false)
		messageType, p, err := way.read(r, -1)
		require.Equal(t, cutOff, err, way.name)
		require.Equal(t, BinaryMessage, messageType, way.name)
		require.Equal(t, some(5000)+"abc", string(p), way.name)
	}
	// message keeps what its caller had.
	r, _ := newTestReader(bytes.NewReader(bytesOf(false, textFirst("half"))), false)
	_, p, err := r.message([]byte("before "), -1)
	require.Equal(t, cutOff, err)
	require.Equal(t, "before half", string(p))
	_, p, err = r.message([]byte("before "), -1)
	require.Equal(t, cutOff, err)
	require.Equal(t, "before ", string(p))
}

func TestReaderEmptyMessageIsNotNil(t *testing.T) {
	t.Parallel()
	for _, way := range wholeWays {
		r, _ := newTestReader(bytes.NewReader(bytesOf(true, textFrame(""), textFirst(""), lastFrame(""))), true)
		for range 2 {
			_, p, err := way.read(r, -1)
			require.NoError(t, err)
			require.NotNil(t, p, way.name)
			require.Empty(t, p)
		}
	}
}

func TestReaderAppends(t *testing.T) {
	t.Parallel()
	wire := bytesOf(true, textFirst("Hel"), lastFrame("lo"))
	dst := make([]byte, 4, 9)
	copy(dst, "dst ")
	r, _ := newTestReader(bytes.NewReader(wire), true)
	_, p, err := r.message(dst, -1)
	require.NoError(t, err)
	require.Equal(t, "dst Hello", string(p))
	require.Same(t, &dst[0], &p[0], "there was room")

	r, _ = newTestReader(bytes.NewReader(wire), true)
	_, p, err = r.message(dst[:4:8], -1)
	require.NoError(t, err)
	require.Equal(t, "dst Hello", string(p))
	require.NotSame(t, &dst[0], &p[0])
}

// Memory of a message is its reader's alone: nothing that comes later changes it.
func TestReaderNewMemory(t *testing.T) {
	t.Parallel()
	r, _ := newTestReader(bytes.NewReader(bytesOf(true, textFrame("one"), binaryFirst(some(9000)), lastFrame(some(9000)), textFrame("two"), binaryFirst(some(9000)), lastFrame("end"))), true)
	var got [][]byte
	for range 4 {
		_, p, err := r.message(nil, -1)
		require.NoError(t, err)
		require.Equal(t, len(p), cap(p), "one allocation of the right size")
		got = append(got, p)
	}
	for i, want := range []string{"one", some(9000) + some(9000), "two", some(9000) + "end"} {
		require.Equal(t, want, string(got[i]))
	}
}

func TestReaderDiscards(t *testing.T) {
	t.Parallel()
	wire := bytesOf(true,
		textFirst("\xff no text"), pingFrame("1"), middleFrame(some(10000)), lastFrame("x"), // what nobody reads is not judged
		textFrame("abc"), textFrame(""), textFrame("\xff"), wstest.CloseFrame(1000, ""))
	for _, source := range sources {
		r, j := newTestReader(source.wrap(bytes.NewReader(wire)), true)
		_, err := r.next(-1)
		require.NoError(t, err)
		_, err = r.next(-1)
		require.NoError(t, err)
		b := make([]byte, 2)
		n, err := io.ReadFull(readerFunc(r.read), b)
		require.NoError(t, err)
		require.Equal(t, "ab", string(b[:n]))
		for range 2 {
			_, err = r.next(-1)
			require.NoError(t, err)
		}
		_, err = r.next(-1)
		require.Equal(t, closedWith(1000, ""), err)
		require.Equal(t, []string{`ping "1"`, `close 1000 ""`}, j.lines)
	}
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestReaderStreams(t *testing.T) {
	t.Parallel()
	r, _ := newTestReader(bytes.NewReader(bytesOf(true, textFirst("Hel"), middleFrame(""), lastFrame("lo"), textFrame(""))), true)
	_, err := r.next(-1)
	require.NoError(t, err)
	n, err := r.read(nil)
	require.Zero(t, n)
	require.NoError(t, err, "there is more to read")
	p, err := io.ReadAll(readerFunc(r.read))
	require.NoError(t, err)
	require.Equal(t, "Hello", string(p))
	for range 3 {
		_, err = r.read(make([]byte, 1))
		require.Equal(t, io.EOF, err)
	}
	_, err = r.next(-1)
	require.NoError(t, err)
	_, err = r.read(make([]byte, 1))
	require.Equal(t, io.EOF, err)

	// iotest has its own opinion of readers.
	r, _ = newTestReader(bytes.NewReader(bytesOf(true, binaryFirst(some(5000)), middleFrame(some(1)), lastFrame(some(9000)))), true)
	_, err = r.next(-1)
	require.NoError(t, err)
	require.NoError(t, iotest.TestReader(readerFunc(r.read), []byte(some(5000)+some(1)+some(9000))))
}

func TestReaderLimit(t *testing.T) {
	t.Parallel()
	declared := func(opcode int, fin bool, length int64) []byte {
		return FrameHeader{Fin: fin, Opcode: opcode, Masked: true, MaskKey: helloKey, Length: length}.Append(nil)
	}
	for _, tc := range []struct {
		name  string
		limit int64
		wire  []byte
		got   string
		err   error
	}{
		{"reached", 5, bytesOf(true, textFrame("Hello")), "Hello", nil},
		{"one more", 4, bytesOf(true, textFrame("Hello")), "", ErrReadLimit},
		{"reached in fragments", 5, bytesOf(true, textFirst("Hel"), lastFrame("lo")), "Hello", nil},
		{"one more in fragments", 4, bytesOf(true, textFirst("Hel"), lastFrame("lo")), "Hel", ErrReadLimit},
		{"reached, then an empty fragment", 5, bytesOf(true, textFirst("Hello"), lastFrame("")), "Hello", nil},
		{"reached, then one byte", 5, bytesOf(true, textFirst("Hello"), lastFrame("!")), "Hello", ErrReadLimit},
		{"of nothing, empty", 0, bytesOf(true, textFrame("")), "", nil},
		{"of nothing, one byte", 0, bytesOf(true, textFrame("x")), "", ErrReadLimit},
		{"control frames do not count", 5, bytesOf(true, textFirst("Hel"), pingFrame(some(125)), lastFrame("lo")), "Hello", nil},
		{"none", -1, bytesOf(true, textFrame(some(100000))), some(100000), nil},
		{"2^63-1 declared", 1 << 20, declared(BinaryMessage, true, math.MaxInt64), "", ErrReadLimit},
		{"2^31 declared", 1 << 20, declared(BinaryMessage, true, 1<<31), "", ErrReadLimit},
		{"2^32 declared", 1 << 20, declared(BinaryMessage, true, 1<<32), "", ErrReadLimit},
		{"sum beyond 2^63", 1 << 20, slices.Concat(bytesOf(true, binaryFirst("abc")), declared(0, false, math.MaxInt64)), "abc", ErrReadLimit},
		{"largest, sum beyond 2^63", math.MaxInt64, slices.Concat(bytesOf(true, binaryFirst("abc")), declared(0, false, math.MaxInt64)), "abc", ErrReadLimit},
		{"none, sum beyond 2^63", -1, slices.Concat(bytesOf(true, binaryFirst("abc")), declared(0, false, math.MaxInt64)), "abc", cutOff},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			for _, way := range ways {
				r, _ := newTestReader(bytes.NewReader(tc.wire), true)
				_, p, err := way.read(r, tc.limit)
				require.Equal(t, tc.err, err, way.name)
				require.Equal(t, tc.got, string(p), way.name)
				if err != nil {
					_, _, again := way.read(r, -1)
					require.Equal(t, err, again)
				}
			}
		})
	}
}

// Each message has the limit of the call that reads it.
func TestReaderLimitOfEachMessage(t *testing.T) {
	t.Parallel()
	r, _ := newTestReader(bytes.NewReader(bytesOf(true, textFrame("Hello"), textFrame("Hello"), textFrame("Hello"))), true)
	for _, limit := range []int64{5, -1} {
		_, _, err := r.message(nil, limit)
		require.NoError(t, err)
	}
	_, _, err := r.message(nil, 4)
	require.Equal(t, ErrReadLimit, err)
}

func TestReaderFragmentsLimit(t *testing.T) {
	t.Parallel()
	fragments := func(n int) io.Reader {
		return bytes.NewReader(slices.Concat(
			bytesOf(false, binaryFirst("x")),
			bytes.Repeat(bytesOf(false, middleFrame("x")), n-2),
			bytesOf(false, lastFrame("x"), textFrame("next")),
		))
	}
	for _, way := range wholeWays {
		r, _ := newTestReader(fragments(131_072), false)
		_, p, err := way.read(r, -1)
		require.NoError(t, err)
		require.Len(t, p, 131_072)

		r, _ = newTestReader(fragments(131_073), false)
		_, p, err = way.read(r, -1)
		require.Equal(t, errFragments, err)
		require.Len(t, p, 131_072, "what was received until then")
		require.Equal(t, ClosePolicyViolation, errFragments.Code)
	}
	// Who reads piece by piece gathers nothing.
	r, _ := newTestReader(fragments(140_000), false)
	_, p, err := pieces(always(4096))(r, -1)
	require.NoError(t, err)
	require.Len(t, p, 140_000)
	r, _ = newTestReader(fragments(140_000), false)
	for range 2 {
		_, err = r.next(-1)
		require.NoError(t, err)
	}
}

// Text that is not UTF-8 fails as soon as it has come, in the middle of a frame.
func TestReaderFailsFastOnInvalidUTF8(t *testing.T) {
	t.Parallel()
	whole := bytesOf(true, textFirst("κόσμε"), pingFrame(""), middleFrame("\xed\xa0\x80 and more"))
	arrived := len(bytesOf(true, textFirst("κόσμε"), pingFrame(""))) + 6 + 2 // a header of 6, ED and A0
	for _, way := range ways {
		stalled := errors.New("the reader asks for more")
		r, _ := newTestReader(&wstest.Source{Data: whole[:arrived], End: stalled}, true)
		messageType, p, err := way.read(r, -1)
		require.Equal(t, errInvalidUTF8, err, way.name)
		require.Equal(t, TextMessage, messageType)
		require.True(t, strings.HasPrefix(string(p), "κόσμε"), "%q", p)

		r, _ = newTestReader(&wstest.Source{Data: whole[:arrived-1], End: stalled}, true)
		_, _, err = way.read(r, -1)
		require.Equal(t, stalled, err, "one byte less may still become text: %s", way.name)
	}
}

// Text of any length is checked and comes as it was sent, whether it is masked or
// not, wherever its fragments and the bytes that arrive together end.
func TestReaderText(t *testing.T) {
	t.Parallel()
	whole := strings.Repeat("plain, ", 30) + strings.Repeat("κόσμε, 漢字, 𝄞", 20) + strings.Repeat(" plain", 40)
	for _, server := range []bool{true, false} {
		for cut := 0; cut <= len(whole); cut += 7 {
			for _, end := range []string{"", "\xff", "\xe6\xbc"} { // right, never right, unfinished
				wire := bytesOf(server, textFirst(whole[:cut]), lastFrame(whole[cut:]+end))
				for _, way := range ways {
					r, _ := newTestReader(iotest.HalfReader(bytes.NewReader(wire)), server)
					_, p, err := way.read(r, -1)
					if end == "" {
						require.NoError(t, err, way.name)
						require.Equal(t, whole, string(p), way.name)
					} else {
						require.Equal(t, errInvalidUTF8, err, way.name)
					}
				}
			}
		}
	}
}

func TestReaderAllowsInvalidUTF8(t *testing.T) {
	t.Parallel()
	for _, way := range ways {
		r, j := newTestReader(bytes.NewReader(bytesOf(true, textFrame("\xff"), textFirst("\xe2"), lastFrame("\x82"))), true)
		r.anyText = true
		require.Equal(t, cutOff, way.everything(r, j, -1))
		require.Equal(t, []string{"message 1 \"\\xff\"", "message 1 \"\\xe2\\x82\""}, j.lines)
	}
}

// An error of a handler ends the reading with that error.
func TestReaderHandlerError(t *testing.T) {
	t.Parallel()
	wire := bytesOf(true, textFirst("half"), pingFrame("p"), lastFrame("whole"))
	for _, way := range ways {
		r, j := newTestReader(bytes.NewReader(wire), true)
		j.pingErr = errors.New("handler")
		_, p, err := way.read(r, -1)
		require.Equal(t, j.pingErr, err)
		require.Equal(t, "half", string(p))
		_, _, err = way.read(r, -1)
		require.Equal(t, j.pingErr, err)
	}
	t.Run("of close frames", func(t *testing.T) {
		t.Parallel()
		r, j := newTestReader(bytes.NewReader(bytesOf(true, wstest.CloseFrame(1000, ""), textFrame("late"))), true)
		j.closeErr = errors.New("handler")
		for range 2 {
			_, _, err := r.message(nil, -1)
			require.Equal(t, j.closeErr, err, "in place of the CloseError")
		}
		require.True(t, r.in.closed)
	})
	t.Run("timeout", func(t *testing.T) {
		t.Parallel()
		r, j := newTestReader(bytes.NewReader(bytesOf(true, pingFrame("p"), textFrame("a"))), true)
		j.pingErr = errTurnTimeout
		for range 2 {
			_, _, err := r.message(nil, -1)
			require.Equal(t, errTurnTimeout, err, "it is no timeout of reading")
		}
	})
	t.Run("io.EOF within a message", func(t *testing.T) {
		t.Parallel()
		r, j := newTestReader(bytes.NewReader(wire), true)
		j.pingErr = io.EOF
		_, err := r.next(-1)
		require.NoError(t, err)
		p, err := io.ReadAll(readerFunc(r.read))
		require.Equal(t, io.ErrUnexpectedEOF, err, "a half message must not look whole")
		require.Equal(t, "half", string(p))
	})
}

// Whoever wants to know whether the next read waits is told by buffered beforehand,
// and by beforeWait when it does, in the middle of a message too.
func TestReaderWaits(t *testing.T) {
	t.Parallel()
	frames := []wstest.Frame{textFrame(some(60)), pingFrame("p"), textFrame(""), binaryFrame(some(200)), binaryFrame(some(70_000))}
	for _, server := range []bool{true, false} {
		waitsFor := func(wire []byte) (r *reader, j *journal) {
			src := bytes.NewReader(wire)
			reads := 0
			r, j = newTestReader(readerFunc(func(p []byte) (int, error) {
				reads++
				require.Equal(t, reads, j.waits)
				return src.Read(p)
			}), server)
			r.size = 100_000
			return r, j
		}
		for _, f := range frames {
			frame := bytesOf(server, f)
			for cut := 1; cut < len(frame); cut = min(2*cut, len(frame)) { // short of a header and of a payload
				r, j := waitsFor(slices.Concat(bytesOf(server, textFrame("first")), frame[:cut]))
				require.False(t, r.buffered(), "nothing is")
				_, _, err := r.message(nil, -1)
				require.NoError(t, err)
				require.False(t, r.buffered(), "%d of %d bytes", cut, len(frame))
				waited := j.waits
				_, _, err = r.message(nil, -1)
				require.Equal(t, cutOff, err)
				require.Greater(t, j.waits, waited)
			}
		}
		r, j := waitsFor(bytesOf(server, append(frames, textFirst("Hel"), lastFrame("lo"))...))
		for n := range 5 {
			_, _, err := r.message(nil, -1)
			require.NoError(t, err)
			require.Equal(t, n < 4, r.buffered())
		}
		// The first bytes come alone, to see whether there are any.
		require.Equal(t, 2, j.waits)
		require.Equal(t, cutOff, way{read: wholeMessage}.everything(r, j, -1))
		require.Equal(t, 3, j.waits)
	}
}

// A small buffer holds any header and any control frame, and large payloads pass
// it by.
func TestReaderBuffer(t *testing.T) {
	t.Parallel()
	wire := bytesOf(true, binaryFrame(some(250)), pingFrame(some(125)), binaryFrame(some(256)), pingFrame(some(125)), binaryFrame(some(70000)), pongFrame(some(125)))
	for _, size := range []int{minReadBuffer, minReadBuffer + 1, 1000, 100000} {
		for _, source := range sources {
			for _, way := range ways {
				r, j := newTestReader(source.wrap(bytes.NewReader(wire)), true)
				r.size = int32(size)
				require.Equal(t, cutOff, way.everything(r, j, -1))
				require.Equal(t, []string{
					fmt.Sprintf("message 2 %q", some(250)), fmt.Sprintf("ping %q", some(125)), fmt.Sprintf("message 2 %q", some(256)),
					fmt.Sprintf("ping %q", some(125)), fmt.Sprintf("message 2 %q", some(70000)), fmt.Sprintf("pong %q", some(125)),
				}, j.lines)
				require.Nil(t, r.intake, "it is given back")
			}
		}
	}
}

// stallAfter returns a function that has a reader with a warm buffer read wire as
// a message, after which nothing comes.
func stallAfter(wire []byte, read func(r *reader, limit int64) (int, []byte, error)) func() []byte {
	src := &wstest.Source{}
	r, _ := newTestReader(src, true)
	return func() []byte {
		*src = wstest.Source{Data: wire, End: io.ErrClosedPipe}
		r.letGo()
		*r = reader{src: src, up: r.up, size: r.size, in: inbound{server: true}}
		_, p, _ := read(r, -1)
		return p
	}
}

// A length costs a peer nothing, so it must cost us nothing: memory follows what
// was received.
func TestReaderMemory(t *testing.T) {
	header := FrameHeader{Fin: true, Opcode: BinaryMessage, Masked: true, Length: 1 << 30}.Append(nil)
	for _, way := range wholeWays {
		if raceEnabled {
			break // pools are of little use then
		}
		stall := stallAfter(header, way.read)
		require.Zero(t, testing.AllocsPerRun(100, func() { stall() }), way.name)
	}
	for _, n := range []int{1, 10, 100, 1000, 4095, 4096, 4097, 5000, 10000, 100000} {
		stall := stallAfter(append(bytes.Clone(header), make([]byte, n)...), wholeMessage)
		p := stall()
		require.Len(t, p, n)
		require.LessOrEqual(t, cap(p), 2*n)

		fragments := slices.Concat(bytesOf(true, binaryFirst("x")), bytes.Repeat(bytesOf(true, middleFrame("x")), n-1))
		p = stallAfter(fragments, wholeMessage)()
		require.Len(t, p, n)
		require.LessOrEqual(t, cap(p), 2*n)
	}
}

// What a connection keeps while it waits is what most of them have most of the
// time.
func TestReaderKeepsLittle(t *testing.T) {
	t.Parallel()
	require.LessOrEqual(t, reflect.TypeFor[reader]().Size(), uintptr(112))
	require.LessOrEqual(t, reflect.TypeFor[attempt]().Size(), uintptr(48))
}

// What one message leaves in an intake no other gets to see, however the message
// ended. The intake is looked at after it was given back, so nothing else may run.
func TestReaderLeavesNothingBehind(t *testing.T) {
	for _, tc := range []struct {
		name string
		wire []byte
	}{
		{"whole", bytesOf(true, binaryFirst("ab"), lastFrame("c"))},
		{"text", bytesOf(true, textFrame("κόσμε"))},
		{"compressed", bytesOf(true, deflatedText(helloDeflated))},
		{"within a header", bytesOf(true, textFrame("a"), textFrame(some(1000)))[:9]},
		{"within a character", bytesOf(true, textFirst("\xe2\x82"))},
		{"within a payload", bytesOf(true, binaryFrame(some(1000)))[:500]},
		{"within a compressed payload", bytesOf(true, deflatedText(helloDeflated))[:9]},
		{"not text", bytesOf(true, textFirst("a"), lastFrame("\xff"))},
		{"wrong", bytesOf(true, textFirst("a"), textFirst("b"))},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, way := range ways {
				var used *intake
				var r *reader
				src := iotest.OneByteReader(bytes.NewReader(tc.wire))
				r, _ = newTestReader(readerFunc(func(p []byte) (int, error) {
					if r.intake != nil {
						used = r.intake
					}
					return src.Read(p)
				}), true)
				r.in.compressed = true
				r.inflate = newInflater(Compression{}, true)
				for err := error(nil); err == nil; {
					_, _, err = way.read(r, -1)
					if r.intake != nil {
						used = r.intake
					}
					r.rest()
				}
				require.Nil(t, r.intake)
				require.NotNil(t, used)
				require.Equal(t, intake{}, *used)
			}
		})
	}
}

// Readers that use the same intakes by turns, in the middle of messages and of
// headers, each read what they were sent.
func TestIntakesGoRound(t *testing.T) {
	t.Parallel()
	type turn struct {
		read func() error // on to the next timeout
		end  error
	}
	var turns []turn
	for _, tc := range transcripts {
		for _, server := range []bool{true, false} {
			wire := bytesOf(server, tc.frames...)
			if len(wire) > 1000 {
				continue
			}
			src := &wstest.Source{Data: wire, Stop: os.ErrDeadlineExceeded}
			for at := range wire {
				src.Stops = append(src.Stops, at)
			}
			r, j := newTestReader(src, server)
			r.lenient = true
			kind := 0 // of the message at hand
			var p, room []byte
			read := func() (err error) {
				for {
					if kind == 0 {
						if kind, err = r.next(-1); err != nil {
							return err
						}
						room = make([]byte, 3)
					}
					n, err := r.read(room)
					p = append(p, room[:n]...)
					switch {
					case err == io.EOF:
						j.note("message %d %q", kind, p)
						kind, p = 0, nil
					case isTimeout(err):
						return err
					case err != nil:
						j.note("broken %d %q", kind, p)
						return err
					}
				}
			}
			turns = append(turns, turn{end: tc.end, read: func() error {
				err := read()
				r.rest()
				if !isTimeout(err) {
					require.Equal(t, tc.lines, j.lines, tc.name)
				}
				return err
			}})
		}
	}
	for len(turns) > 0 {
		turns = slices.DeleteFunc(turns, func(turn turn) bool {
			err := turn.read()
			if isTimeout(err) {
				return false
			}
			require.Equal(t, turn.end, err)
			return true
		})
	}
}

// What came is counted, whether somebody looked at it or not.
func TestReaderStats(t *testing.T) {
	t.Parallel()
	wire := bytesOf(true,
		textFrame("Hello"), pingFrame("p"), binaryFirst(some(5000)), pongFrame(""), lastFrame("end"), textFrame(""),
		deflatedText(helloDeflated), wstest.CloseFrame(1000, ""))
	const payload = 5 + 5003 + 5
	for _, source := range sources {
		for _, way := range append(ways, way{"discarding", func(r *reader, limit int64) (int, []byte, error) {
			messageType, err := r.next(limit)
			return messageType, nil, err
		}}) {
			r, _ := newTestReader(source.wrap(bytes.NewReader(wire)), true)
			r.in.compressed = true
			r.inflate = newInflater(Compression{}, true)
			stop := make(chan struct{})
			watched := soon(func() (fell bool) {
				for last := [3]int64{}; ; {
					messages, payload, wire := r.stats()
					fell = fell || messages < last[0] || payload < last[1] || wire < last[2]
					last = [3]int64{messages, payload, wire}
					select {
					case <-stop:
						return fell
					default:
					}
				}
			})
			var err error
			for err == nil {
				_, _, err = way.read(r, -1)
			}
			close(stop)
			require.False(t, <-watched)
			require.Equal(t, closedWith(1000, ""), err)
			r.letGo()
			messages, bytes, received := r.stats()
			require.EqualValues(t, 4, messages, way.name)
			require.EqualValues(t, payload, bytes, way.name)
			require.EqualValues(t, len(wire), received, way.name)
		}
	}
}

// Memory for a message that is gathered is at most twice what was received of it, or
// the smallest buffer, at whatever byte it stalls.
func TestReaderMakesRoom(t *testing.T) {
	t.Parallel()
	for _, length := range []int64{1, 600, 5000, 70_000, 3 << 20, 1 << 40} {
		for _, fin := range []bool{true, false} {
			for _, inOne := range []bool{true, false} {
				for _, atHand := range []int{1, 100, 513, 4000, 16_384} {
					if length < int64(atHand) {
						continue
					}
					r, _ := newTestReader(nil, true)
					r.early(make([]byte, atHand))
					r.in.message = BinaryMessage
					r.fin, r.left = fin, length
					var got gathered
					for sent := atHand; r.left > 0 && sent < 4<<20; {
						require.NoError(t, r.makeRoom(&got, inOne))
						room := 0
						for buf := got.last; buf != nil; buf = buf.before {
							room += cap(buf.b)
						}
						require.LessOrEqual(t, room, max(2*sent, 512))
						require.Less(t, len(got.last.b), cap(got.last.b))
						// All of it comes.
						n := int(min(int64(cap(got.last.b)-len(got.last.b)), r.left))
						got.last.b = got.last.b[:len(got.last.b)+n]
						got.n += n
						r.left -= int64(n)
						r.pos = r.end
						sent = max(sent, got.n)
					}
				}
			}
		}
	}
}

func TestReaderAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes pools forget; run without -race")
	}
	for _, n := range messageSizes {
		wire := bytesOf(true, binaryFrame(some(n)))
		src := &loop{data: wire}
		r, _ := newTestReader(src, true)
		dst := make([]byte, 0, n+1)
		require.Zero(t, testing.AllocsPerRun(100, func() {
			_, _, lent, _ := r.lendMessage(-1)
			lent.giveBack()
		}), "%d bytes lent", n)
		require.Zero(t, testing.AllocsPerRun(100, func() { _, _, _ = r.message(dst, -1) }), "%d bytes", n)
		want := 1.0
		if n == 0 {
			want = 0
		}
		require.InDelta(t, want, testing.AllocsPerRun(100, func() { _, _, _ = r.message(nil, -1) }), 0.5, "%d bytes into new memory", n)
	}
}

// A loop is a reader that gives out the same data again and again.
type loop struct {
	data []byte
	at   int
}

func (l *loop) Read(p []byte) (n int, err error) {
	n = copy(p, l.data[l.at:])
	if l.at += n; l.at == len(l.data) {
		l.at = 0
	}
	return n, nil
}

// FuzzMessageReader: the way in which bytes come, and in which they are read,
// does not change what they say.
func FuzzMessageReader(f *testing.F) {
	for i, tc := range transcripts {
		for _, server := range []bool{true, false} {
			if wire := bytesOf(server, tc.frames...); len(wire) < 1000 {
				f.Add(wire, server, uint64(i), int64(-1))
				f.Add(wire, server, uint64(i), int64(3))
			}
		}
	}
	// Of the seed:
	const (
		deflated  uint64 = 1 << 63 // permessage-deflate is in use,
		afresh    uint64 = 1 << 62 // and the peer says that it takes no context over
		smallBits        = 59      // how much smaller its window is than the largest: three bits from this one on
		anyText   uint64 = 1 << 58
	)
	for i, payload := range []string{helloDeflated, helloAgain, helloStored, helloFinal, helloInTwo, "\x00", "", "\x06", helloDeflated[:5]} {
		for _, server := range []bool{true, false} {
			frames := append(fragmented(helloDeflated, 2), textFrame("plain"), deflatedText(payload))
			f.Add(bytesOf(server, frames...), server, uint64(i)|deflated, int64(-1))
			f.Add(bytesOf(server, frames...), server, uint64(i)|deflated, int64(5))
			f.Add(bytesOf(server, frames...), server, uint64(i)|deflated, int64(4))
			f.Add(bytesOf(server, frames...), server, uint64(i)|deflated|afresh, int64(-1))
			f.Add(bytesOf(server, frames...), server, uint64(i)|deflated|7<<smallBits, int64(-1))
		}
	}
	f.Fuzz(func(t *testing.T, wire []byte, server bool, seed uint64, limit int64) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		newTestReader := func(src io.Reader, server bool) (*reader, *journal) {
			r, j := newTestReader(src, server)
			r.anyText = seed&anyText != 0
			if seed&deflated != 0 {
				none, bits := seed&afresh != 0, 15-int(seed>>smallBits&7)
				r.in.compressed = true
				r.inflate = newInflater(Compression{
					ServerNoContextTakeover: none, ClientNoContextTakeover: none, ServerMaxWindowBits: bits, ClientMaxWindowBits: bits,
				}, server)
				r.inflate.usage.wake = func() {}
			}
			return r, j
		}
		source := func(stops bool) *wstest.Source {
			s := &wstest.Source{Data: wire, Chunk: func() int { return 1 + rnd.IntN(1+rnd.IntN(300)) }, Stop: os.ErrDeadlineExceeded}
			for at := rnd.IntN(20); stops && at < len(wire); at += rnd.IntN(20) {
				s.Stops = append(s.Stops, at)
			}
			return s
		}
		r, want := newTestReader(bytes.NewReader(wire), server)
		end := way{read: func(r *reader, limit int64) (messageType int, p []byte, err error) {
			messageType, p, err = wholeMessage(r, limit)
			require.True(t, limit < 0 || int64(len(p)) <= limit, "%d bytes", len(p))
			return messageType, p, err
		}}.everything(r, want, limit)
		// How much comes before these errors is a matter of chance.
		notText := end == errInvalidUTF8
		midway := notText || end == errCorruptDeflate || end == errEmptyBlocks || end == ErrReadLimit && seed&deflated != 0
		cut := func(j *journal) {
			if n := len(j.lines) - 1; midway && n >= 0 && strings.HasPrefix(j.lines[n], "broken") {
				j.lines = j.lines[:n]
			}
		}
		cut(want)

		for _, way := range append(ways, way{"by chance", pieces(func() int { return rnd.IntN(300) })}) {
			r, got := newTestReader(source(false), server)
			require.Equal(t, end, way.everything(r, got, limit), way.name)
			cut(got)
			require.Equal(t, want.lines, got.lines, way.name)
		}

		// Discarding sees the same messages begin, and judges no text.
		r, j := newTestReader(source(true), server)
		var begun []string
		for r.err == nil {
			if messageType, err := r.next(limit); err == nil {
				begun = append(begun, fmt.Sprint(messageType))
			}
		}
		if notText {
			return
		}
		require.Equal(t, end, r.err)
		var wantBegun, wantControl []string
		for _, line := range want.lines {
			var kind, first string
			_, _ = fmt.Sscan(line, &kind, &first)
			if kind == "message" || kind == "broken" {
				wantBegun = append(wantBegun, first)
			} else {
				wantControl = append(wantControl, line)
			}
		}
		if midway {
			begun = begun[:min(len(begun), len(wantBegun))] // without the one that broke
		}
		require.Equal(t, strings.Join(wantBegun, " "), strings.Join(begun, " "))
		require.Equal(t, wantControl, j.lines)
	})
}

func BenchmarkReaderMessage(b *testing.B) {
	for _, n := range messageSizes {
		for _, way := range []way{
			{"reused", func(r *reader, limit int64) (int, []byte, error) { return r.message(benchDst, limit) }},
			wholeWays[1],
		} {
			b.Run(fmt.Sprintf("%d/%s", n, way.name), func(b *testing.B) {
				r, _ := newTestReader(&loop{data: bytesOf(true, binaryFrame(some(n)))}, true)
				b.SetBytes(int64(n))
				b.ReportAllocs()
				for b.Loop() {
					if _, _, err := way.read(r, -1); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

var benchDst = make([]byte, 0, 64<<10)

// A large buffer that came with the handshake goes when it is used up.
func TestReaderLetsGoOfEarlyBytes(t *testing.T) {
	t.Parallel()
	client, server := wstest.TCP(t)
	early := bytes.Repeat(wstest.HelloMasked, 2000)
	c := NewConn(server, Negotiated{Server: true, Buffered: early}, Options{})
	defer c.Close()
	require.Len(t, c.r.buf, len(early))
	for range 2000 {
		_, p, err := c.ReadMessage()
		require.NoError(t, err)
		require.Equal(t, "Hello", string(p))
	}
	wstest.NewClient(t, client).SendRaw(wstest.HelloMasked)
	_, p, err := c.ReadMessage()
	require.NoError(t, err)
	require.Equal(t, "Hello", string(p))
	require.Nil(t, c.r.intake)
}

// Small messages that come many at a time are what a loop spends its time on: 64
// to a read.
func BenchmarkReaderBatch(b *testing.B) {
	const batch = 64
	for _, n := range []int{16, 64, 125, 200} {
		for _, f := range []wstest.Frame{textFrame(some(n)), binaryFrame(some(n))} {
			b.Run(fmt.Sprintf("%d/opcode=%d", n, f.Opcode), func(b *testing.B) {
				wire := bytes.Repeat(bytesOf(true, f), batch)
				r, _ := newTestReader(&loop{data: wire}, true)
				r.size = int32(len(wire))
				b.ReportAllocs()
				waits := 0
				for range b.N {
					_, p, lent, err := r.lendMessage(DefaultReadLimit)
					if err != nil || len(p) != n {
						b.Fatal(err)
					}
					lent.giveBack()
					if !r.buffered() {
						waits++
					}
				}
				b.ReportMetric(float64(b.N)/float64(max(waits, 1)), "messages/wait")
			})
		}
	}
}

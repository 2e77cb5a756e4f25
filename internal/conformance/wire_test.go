package conformance

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// recorder is a connection that keeps every write by itself.
type recorder struct {
	net.Conn
	writes [][]byte
}

func (r *recorder) Write(p []byte) (int, error) {
	r.writes = append(r.writes, bytes.Clone(p))
	return len(p), nil
}

func (r *recorder) SetWriteDeadline(time.Time) error { return nil }

func TestSendsInPieces(t *testing.T) {
	t.Parallel()
	frames := []frame{text("Hello").first(), ping("a"), continuation(strings.Repeat("*", 10))}
	for _, c := range []struct {
		name   string
		pieces int
		want   []int // octets of each write
	}{
		{"at once", atOnce, []int{7 + 3 + 12}},
		{"frame by frame", frameWise, []int{7, 3, 12}},
		{"octet by octet", octetWise, []int{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}},
		{"in blocks", 8, []int{8, 8, 6}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := &recorder{}
			w := &wire{conn: r, server: true, timeout: time.Minute, deadline: time.Now().Add(time.Hour), log: newWirelog()}
			require.NoError(t, w.send(c.pieces, frames...))
			var got []int
			for _, p := range r.writes {
				got = append(got, len(p))
			}
			require.Equal(t, c.want, got)
			require.Equal(t, int64(22), w.log.txOctets.Load())
			require.Equal(t, map[int]int{0: 1, 1: 1, 9: 1}, w.log.txFrames)
		})
	}
}

func TestOnlyClientsMask(t *testing.T) {
	t.Parallel()
	for _, server := range []bool{false, true} {
		w := &wire{server: server}
		require.Equal(t, server, w.key(text("")) == nil)
		require.Equal(t, !server, w.key(text("").withWrongMask()) == nil)
	}
}

func TestNextWaitsForOctetsOrSilence(t *testing.T) {
	t.Parallel()
	ours, theirs := net.Pipe()
	defer func() { _ = ours.Close() }()
	w := newWire(ours, bufio.NewReader(ours), false, nil, time.Minute, time.Now().Add(time.Hour))
	_, err := w.next(time.Millisecond, time.Now().Add(time.Hour))
	require.ErrorIs(t, err, errSilence)
	_, err = w.next(time.Hour, time.Now().Add(time.Millisecond))
	require.ErrorIs(t, err, errSilence)

	go func() {
		_, _ = theirs.Write(unhex("8100"))
		_ = theirs.Close()
	}()
	item, err := w.next(time.Minute, time.Now().Add(time.Hour))
	require.NoError(t, err)
	require.IsType(t, Event{}, item)
	item, err = w.next(time.Minute, time.Now().Add(time.Hour))
	require.NoError(t, err)
	require.Equal(t, ended{io.EOF}, item)
}

func TestWriteGivesUpOnAnEndpointThatDoesNotRead(t *testing.T) {
	t.Parallel()
	ours, theirs := net.Pipe()
	defer func() { _ = theirs.Close() }()
	w := &wire{conn: ours, server: true, timeout: 10 * time.Millisecond, deadline: time.Now().Add(time.Hour), log: newWirelog()}
	require.Error(t, w.send(atOnce, text("Hello")))
	require.NoError(t, ours.Close())
	require.True(t, errors.Is(w.send(atOnce, text("Hello")), io.ErrClosedPipe))
}

// A peer that pings and never reads moves octets all the time.
func TestWriteEndsWithTheCase(t *testing.T) {
	t.Parallel()
	ours, theirs := net.Pipe()
	defer func() { _ = theirs.Close() }()
	defer func() { _ = ours.Close() }()
	go func() {
		for {
			if _, err := theirs.Write(unhex("8900")); err != nil {
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	deadline := time.Now().Add(3 * time.Second)
	w := newWire(ours, bufio.NewReader(ours), false, nil, time.Second, deadline)
	require.ErrorIs(t, w.send(atOnce, text("Hello")), os.ErrDeadlineExceeded)
	require.False(t, time.Now().Before(deadline), "while octets move, the case has its time")
	require.ErrorIs(t, w.send(atOnce, text("Hello")), os.ErrDeadlineExceeded)
	_, err := w.next(time.Minute, time.Now().Add(time.Hour))
	require.ErrorIs(t, err, errSilence, "pings are waiting, and the case is over")
}

func TestWirelogIsBounded(t *testing.T) {
	t.Parallel()
	l := newWirelog()
	for range maxWirelog + 10 {
		l.tx(make([]byte, 1000), false)
	}
	require.Len(t, l.entries, maxWirelog+1)
	require.Equal(t, []any{"WLM", false}, l.entries[maxWirelog])
	require.Equal(t, int64((maxWirelog+10)*1000), l.txOctets.Load())
	require.Len(t, l.entries[0][1], 2*logged+len(" ..."))
}

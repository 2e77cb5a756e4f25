package faults

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
)

// step is a call and what comes of it.
type step struct {
	got  string
	err  error
	took time.Duration
}

// reads reads until there is nothing, an error comes twice, or it takes too long.
func reads(c net.Conn) (steps []step) {
	buf := make([]byte, 4)
	for range 8 {
		began := time.Now()
		n, err := c.Read(buf)
		steps = append(steps, step{string(buf[:n]), cause(err), time.Since(began)})
		if err != nil && len(steps) > 1 && steps[len(steps)-2].err != nil {
			break
		}
	}
	return steps
}

// cause returns the error that err wraps.
func cause(err error) error {
	for _, target := range []error{io.EOF, io.ErrShortWrite, syscall.ECONNRESET, syscall.EPIPE, os.ErrDeadlineExceeded, net.ErrClosed} {
		if errors.Is(err, target) {
			return target
		}
	}
	return err
}

func TestConnRead(t *testing.T) {
	t.Parallel()
	const far = time.Hour // when the deadline passes, and after that each time at once
	late := os.ErrDeadlineExceeded
	for _, tc := range []struct {
		name string
		plan Plan
		want []step
	}{
		{"none", Plan{}, []step{{got: "abcd"}, {got: "ef"}, {err: io.EOF}, {err: io.EOF}}},
		{"EOF", Plan{Kind: EOF, At: 3}, []step{{got: "abc"}, {err: io.EOF}, {err: io.EOF}}},
		{"reset", Plan{Kind: Reset, At: 3}, []step{{got: "abc"}, {err: syscall.ECONNRESET}, {err: syscall.ECONNRESET}}},
		{"timeout", Plan{Kind: Timeout, At: 3}, []step{{got: "abc"}, {err: late}, {got: "def"}, {err: io.EOF}, {err: io.EOF}}},
		{"silence", Plan{Kind: Silence, At: 3}, []step{{got: "abc"}, {err: late, took: far}, {err: late}}},
		{"overdue", Plan{Kind: Overdue, At: 3}, []step{{got: "abc"}, {err: late, took: far}, {err: late}}},
		{"pause", Plan{Kind: Pause, At: 3, Wait: time.Second}, []step{{got: "abc"}, {got: "def", took: time.Second}, {err: io.EOF}, {err: io.EOF}}},
		{"octets", Plan{Kind: Octets, At: 3}, []step{{got: "abc"}, {got: "d"}, {got: "e"}, {got: "f"}, {err: io.EOF}, {err: io.EOF}}},
		{"flip", Plan{Kind: Flip, At: 3, Bits: 1}, []step{{got: "abc"}, {got: "e"}, {got: "ef"}, {err: io.EOF}, {err: io.EOF}}},
		{"twice", Plan{Kind: Twice, At: 1, Length: 3}, []step{{got: "a"}, {got: "bcd"}, {got: "bcd"}, {got: "ef"}, {err: io.EOF}, {err: io.EOF}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				a, b := Pipe()
				_, err := b.Write([]byte("abcdef"))
				require.NoError(t, err)
				require.NoError(t, b.CloseWrite())
				c := New(a, tc.plan)
				require.NoError(t, c.SetReadDeadline(time.Now().Add(far)))
				require.Equal(t, tc.want, reads(c))
				require.Equal(t, tc.plan.Kind != None, c.Struck())
				taken := ""
				for _, s := range tc.want {
					taken += s.got
				}
				require.Equal(t, taken, string(c.Taken()))
				if tc.plan.Kind == Overdue { // it goes on after another deadline
					require.NoError(t, c.SetDeadline(time.Time{}))
					require.Equal(t, []step{{got: "def"}, {err: io.EOF}, {err: io.EOF}}, reads(c))
				}
				_ = c.Close() // a reset has closed it
				require.Equal(t, tc.plan.Kind != Reset, cause(reads(c)[0].err) == net.ErrClosed)
			})
		})
	}
}

func TestConnWrite(t *testing.T) {
	t.Parallel()
	const far = time.Hour
	for _, tc := range []struct {
		name string
		plan Plan
		want []step // got is what the first and the second write have taken
		peer string
	}{
		{"none", Plan{}, []step{{got: "abc"}, {got: "def"}}, "abcdef"},
		{"EOF", Plan{Kind: EOF, At: 2}, []step{{got: "abc"}, {got: "def"}}, "ab"},
		{"reset", Plan{Kind: Reset, At: 2}, []step{{got: "ab", err: syscall.ECONNRESET}, {err: syscall.ECONNRESET}}, "ab"},
		{"timeout", Plan{Kind: Timeout, At: 2}, []step{{got: "ab", err: os.ErrDeadlineExceeded}, {got: "def"}}, "abdef"},
		{"silence", Plan{Kind: Silence, At: 2}, []step{{got: "ab", err: os.ErrDeadlineExceeded, took: far}, {err: os.ErrDeadlineExceeded}}, "ab"},
		{"pause", Plan{Kind: Pause, At: 2, Wait: time.Second}, []step{{got: "abc", took: time.Second}, {got: "def"}}, "abcdef"},
		{"broken", Plan{Kind: Broken, At: 2}, []step{{got: "ab", err: syscall.EPIPE}, {err: syscall.EPIPE}}, "ab"},
		{"short", Plan{Kind: Short, At: 2}, []step{{got: "ab", err: io.ErrShortWrite}, {got: "def"}}, "abdef"},
		{"careless", Plan{Kind: Careless, At: 2}, []step{{got: "ab"}, {got: "def"}}, "abdef"},
		{"flip", Plan{Kind: Flip, At: 2, Bits: 0x20}, []step{{got: "abc"}, {got: "def"}}, "abCdef"},
		{"twice", Plan{Kind: Twice, At: 1, Length: 3}, []step{{got: "abc"}, {got: "def"}}, "abcdbcdef"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				tc.plan.Write = true
				a, b := Pipe()
				c := New(a, tc.plan)
				require.NoError(t, c.SetWriteDeadline(time.Now().Add(far)))
				var got []step
				for _, p := range []string{"abc", "def"} {
					began := time.Now()
					n, err := c.Write([]byte(p))
					got = append(got, step{p[:n], cause(err), time.Since(began)})
				}
				require.Equal(t, tc.want, got)
				require.Equal(t, tc.plan.Kind != None, c.Struck())
				if tc.plan.Kind.Cuts() {
					require.Equal(t, 1, c.Later())
				}
				_ = c.CloseWrite() // it may be closed
				peer, err := io.ReadAll(b)
				require.NoError(t, err)
				require.Equal(t, tc.peer, string(peer))
				_ = c.Close() // a reset has closed it
				<-c.Done()
			})
		})
	}
	require.Contains(t, Plan{Kind: Flip, Write: true, At: 3, Bits: 4}.String(), "flip at write byte 3 (bits 0x4")
}

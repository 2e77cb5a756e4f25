package http2

import (
	"encoding/binary"
	"io"
	"net"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
)

// settings is a SETTINGS frame of pairs of identifier and value.
func settings(pairs ...uint32) string {
	b := []byte{0, 0, byte(len(pairs) / 2 * settingSize), typeSettings, 0, 0, 0, 0, 0}
	for i := 0; i < len(pairs); i += 2 {
		b = binary.BigEndian.AppendUint16(b, uint16(pairs[i]))
		b = binary.BigEndian.AppendUint32(b, pairs[i+1])
	}
	return string(b)
}

func TestSmallFrames(t *testing.T) {
	t.Parallel()
	const more = "what follows, SETTINGS or not: " // 31 bytes, not a frame
	for name, tc := range map[string]struct{ sent, seen string }{
		"larger frames":           {settings(5, 1<<20), settings(5, 16<<10)},
		"just as large":           {settings(5, 16<<10), settings(5, 16<<10)},
		"too small, not our job":  {settings(5, 100), settings(5, 100)},
		"other settings":          {settings(4, 1<<20, 8, 1), settings(4, 1<<20, 8, 1)},
		"among others":            {settings(3, 250, 5, 1<<24-1, 8, 1), settings(3, 250, 5, 16<<10, 8, 1)},
		"twice":                   {settings(5, 1<<20, 5, 1<<21), settings(5, 16<<10, 5, 16<<10)},
		"none":                    {settings(), settings()},
		"a second frame":          {settings(8, 1) + settings(5, 1<<20), settings(8, 1) + settings(5, 1<<20)},
		"a length of no settings": {"\x00\x00\x02\x04\x00\x00\x00\x00\x00ab", "\x00\x00\x02\x04\x00\x00\x00\x00\x00ab"},
		"another frame":           {"\x00\x00\x06\x06\x00\x00\x00\x00\x00" + "\x00\x05\x00\x10\x00\x00", "\x00\x00\x06\x06\x00\x00\x00\x00\x00" + "\x00\x05\x00\x10\x00\x00"},
		"HTTP/1.1":                {"HTTP/1.1 400 Bad Request\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n\r\n"},
	} {
		for at, r := range map[string]io.Reader{
			"in one piece":  strings.NewReader(tc.sent + more),
			"byte by byte":  iotest.OneByteReader(strings.NewReader(tc.sent + more)),
			"with its end":  iotest.DataErrReader(strings.NewReader(tc.sent + more)),
			"half by half":  iotest.HalfReader(strings.NewReader(tc.sent + more)),
			"nothing more":  strings.NewReader(tc.sent),
			"and breaks":    io.MultiReader(strings.NewReader(tc.sent), iotest.ErrReader(io.ErrClosedPipe)),
			"breaks within": io.MultiReader(strings.NewReader(tc.sent[:len(tc.sent)-1]), iotest.ErrReader(io.ErrClosedPipe)),
		} {
			t.Run(name+", "+at, func(t *testing.T) {
				want, wantErr := tc.seen+more, error(nil)
				switch at {
				case "nothing more":
					want = tc.seen
				case "and breaks":
					want, wantErr = tc.seen, io.ErrClosedPipe
				case "breaks within":
					want, wantErr = tc.seen[:len(tc.seen)-1], io.ErrClosedPipe
				}
				got, err := io.ReadAll(iotest.OneByteReader(&smallFrames{Conn: readerConn{Reader: r}}))
				require.Equal(t, wantErr, err)
				require.Equal(t, want, string(got))
			})
		}
	}
}

type readerConn struct {
	net.Conn
	io.Reader
}

func (c readerConn) Read(p []byte) (int, error) { return c.Reader.Read(p) }

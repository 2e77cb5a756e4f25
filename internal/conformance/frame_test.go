package conformance

import (
	"bytes"
	"encoding/hex"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFrameOnTheWire(t *testing.T) {
	t.Parallel()
	key := unhex("37fa213d")
	for _, c := range []struct {
		name string
		f    frame
		key  []byte
		want string
	}{
		// RFC 6455 section 5.7
		{"unmasked", text("Hello"), nil, "8105 48656c6c6f"},
		{"masked", text("Hello"), key, "8185 37fa213d 7f9f4d5158"},
		{"first fragment", text("Hel").first(), nil, "0103 48656c"},
		{"last fragment", continuation("lo"), nil, "8002 6c6f"},
		{"ping", ping("Hello"), nil, "8905 48656c6c6f"},

		{"reserved bits", ping("").withRSV(5), nil, "d900"},
		{"close", closing(1002, "no"), nil, "8804 03ea 6e6f"},
		{"length in 16 bits", pong("a").withForm(length16), nil, "8a7e 0001 61"},
		{"length in 64 bits", pong("a").withForm(length64), nil, "8a7f 0000000000000001 61"},
		{"length with the top bit", binaryFrame([]byte("a")).withForm(lengthTop), nil, "827f 8000000000000001 61"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.want, spaced(c.f.append(nil, c.key), c.want))
		})
	}
	require.Equal(t, "827e0100", hex.EncodeToString(binaryFrame(make([]byte, 256)).append(nil, nil)[:4]))
	require.Equal(t, "827f0000000000010000", hex.EncodeToString(binaryFrame(make([]byte, 65536)).append(nil, nil)[:10]))
}

// spaced writes p in hex with spaces where the pattern has them.
func spaced(p []byte, pattern string) string {
	digits := hex.EncodeToString(p)
	var b bytes.Buffer
	for _, c := range []byte(pattern) {
		if c == ' ' {
			b.WriteByte(' ')
		} else if len(digits) > 0 {
			b.WriteByte(digits[0])
			digits = digits[1:]
		}
	}
	return b.String() + digits
}

func TestMaskIsTheOctetLoop(t *testing.T) {
	t.Parallel()
	key := []byte{1, 20, 130, 240}
	for _, n := range []int{0, 1, 3, 4, 5, 300, 4095, 4096, 4097, 10000} {
		p := varied(n, true)
		want := bytes.Clone(p)
		for i := range want {
			want[i] ^= key[i&3]
		}
		mask(p, key)
		require.Equal(t, want, p, "%d octets", n)
	}
}

func TestFragments(t *testing.T) {
	t.Parallel()
	frames := fragments(opBinary, 4, []byte("abcde"), 2)
	require.Equal(t, []frame{
		{rsv: 4, opcode: opBinary, payload: []byte("ab")},
		{payload: []byte("cd")},
		{fin: true, payload: []byte("e")},
	}, frames)
	require.Len(t, fragments(opText, 0, nil, 2), 1)
	require.Len(t, fragments(opText, 0, []byte("abcd"), 2), 2)
}

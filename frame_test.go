package websocket

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket/internal/wstest"
)

// helloKey is the masking key in the examples of RFC 6455, section 5.7.
var helloKey = [4]byte{0x37, 0xfa, 0x21, 0x3d}

// headerCases are headers and what stands on the wire for each.
var headerCases = []struct {
	name   string
	wire   []byte
	header FrameHeader
}{
	{"empty continuation", wstest.Hex("00 00"), FrameHeader{Opcode: opContinuation}},
	{"last and empty", wstest.Hex("80 00"), FrameHeader{Fin: true}},
	{"RSV1", wstest.Hex("40 00"), FrameHeader{RSV1: true}},
	{"RSV2", wstest.Hex("20 00"), FrameHeader{RSV2: true}},
	{"RSV3", wstest.Hex("10 00"), FrameHeader{RSV3: true}},
	{"reserved opcode", wstest.Hex("0f 00"), FrameHeader{Opcode: 15}},
	{"unmasked Hello", wstest.HelloUnmasked[:2], FrameHeader{Fin: true, Opcode: TextMessage, Length: 5}},
	{"masked Hello", wstest.HelloMasked[:6], FrameHeader{Fin: true, Opcode: TextMessage, Masked: true, MaskKey: helloKey, Length: 5}},
	{"fragment Hel", wstest.HelFragment[:2], FrameHeader{Opcode: TextMessage, Length: 3}},
	{"fragment lo", wstest.LoFragment[:2], FrameHeader{Fin: true, Length: 2}},
	{"ping", wstest.PingUnmasked[:2], FrameHeader{Fin: true, Opcode: PingMessage, Length: 5}},
	{"pong", wstest.PongMasked[:6], FrameHeader{Fin: true, Opcode: PongMessage, Masked: true, MaskKey: helloKey, Length: 5}},
	{"close", wstest.Hex("88 02"), FrameHeader{Fin: true, Opcode: CloseMessage, Length: 2}},
	{"256 bytes", wstest.Header256, FrameHeader{Fin: true, Opcode: BinaryMessage, Length: 256}},
	{"64 KiB", wstest.Header64K, FrameHeader{Fin: true, Opcode: BinaryMessage, Length: 65536}},
	{"longest of 7 bits", wstest.Hex("82 7d"), FrameHeader{Fin: true, Opcode: BinaryMessage, Length: 125}},
	{"shortest of 16 bits", wstest.Hex("82 7e 00 7e"), FrameHeader{Fin: true, Opcode: BinaryMessage, Length: 126}},
	{"longest of 16 bits", wstest.Hex("82 7e ff ff"), FrameHeader{Fin: true, Opcode: BinaryMessage, Length: 65535}},
	{"shortest of 64 bits", wstest.Hex("82 7f 00 00 00 00 00 01 00 00"), FrameHeader{Fin: true, Opcode: BinaryMessage, Length: 65536}},
	{"longest of 64 bits", wstest.Hex("82 7f 7f ff ff ff ff ff ff ff"), FrameHeader{Fin: true, Opcode: BinaryMessage, Length: math.MaxInt64}},
	{
		"everything", wstest.Hex("ff ff 7f ff ff ff ff ff ff ff 37 fa 21 3d"),
		FrameHeader{Fin: true, RSV1: true, RSV2: true, RSV3: true, Opcode: 15, Masked: true, MaskKey: helloKey, Length: math.MaxInt64},
	},
}

func TestFrameHeader(t *testing.T) {
	t.Parallel()
	for _, tc := range headerCases {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tc.wire, tc.header.Append(nil))

			h, n, err := ParseFrameHeader(append(bytes.Clone(tc.wire), "what follows"...))
			require.NoError(t, err)
			require.Equal(t, tc.header, h)
			require.Equal(t, len(tc.wire), n)

			for end := range tc.wire {
				h, n, err := ParseFrameHeader(tc.wire[:end])
				require.Equal(t, io.ErrUnexpectedEOF, err, "after %d bytes", end)
				require.Zero(t, n)
				require.Zero(t, h)
			}
		})
	}
}

func TestFrameHeaderLengths(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		length int64
		bytes  int // of the header, without masking key
	}{
		{0, 2}, {1, 2}, {125, 2},
		{126, 4}, {127, 4}, {128, 4}, {65535, 4},
		{65536, 10}, {1<<31 - 1, 10}, {1 << 31, 10}, {1<<32 - 1, 10}, {1 << 32, 10}, {math.MaxInt64 - 1, 10}, {math.MaxInt64, 10},
	} {
		for _, masked := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d/masked=%t", tc.length, masked), func(t *testing.T) {
				t.Parallel()
				want := FrameHeader{Fin: true, Opcode: BinaryMessage, Length: tc.length}
				size := tc.bytes
				if masked {
					want.Masked, want.MaskKey = true, helloKey
					size += len(helloKey)
				}
				b := want.Append(nil)
				require.Len(t, b, size)
				got, n, err := ParseFrameHeader(b)
				require.NoError(t, err)
				require.Equal(t, size, n)
				require.Equal(t, want, got)
			})
		}
	}
}

func TestFrameHeaderRefusesLengths(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		wire []byte
		err  error
	}{
		{"0 in 16 bits", wstest.Hex("82 7e 00 00"), errNotMinimal},
		{"125 in 16 bits", wstest.Hex("82 7e 00 7d"), errNotMinimal},
		{"125 in 16 bits, masked", wstest.Hex("82 fe 00 7d 37 fa 21 3d"), errNotMinimal},
		{"5 in 16 bits, ping", wstest.Hex("89 7e 00 05"), errNotMinimal},
		{"0 in 64 bits", wstest.Hex("82 7f 00 00 00 00 00 00 00 00"), errNotMinimal},
		{"300 in 64 bits", wstest.Hex("82 7f 00 00 00 00 00 00 01 2c"), errNotMinimal},
		{"65535 in 64 bits", wstest.Hex("82 7f 00 00 00 00 00 00 ff ff"), errNotMinimal},
		{"2^63", wstest.Hex("82 7f 80 00 00 00 00 00 00 00"), errLengthTopBit},
		{"2^64-1", wstest.Hex("82 7f ff ff ff ff ff ff ff ff"), errLengthTopBit},
		{"2^63+5, masked", wstest.Hex("82 ff 80 00 00 00 00 00 00 05 37 fa 21 3d"), errLengthTopBit},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			h, n, err := ParseFrameHeader(tc.wire)
			require.Equal(t, tc.err, err)
			require.Zero(t, n)
			require.Zero(t, h)
			var broken *ProtocolError
			require.ErrorAs(t, err, &broken)
			require.Equal(t, CloseProtocolError, broken.Code)
		})
	}
}

func TestFrameHeaderAppend(t *testing.T) {
	t.Parallel()
	h := FrameHeader{Fin: true, Opcode: TextMessage, Masked: true, MaskKey: helloKey, Length: 5}

	t.Run("keeps what dst holds", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, append([]byte("before"), wstest.HelloMasked[:6]...), h.Append([]byte("before")))
	})
	t.Run("uses the room of dst", func(t *testing.T) {
		t.Parallel()
		dst := make([]byte, 3, 3+maxHeader)
		got := h.Append(dst)
		require.Same(t, &dst[0], &got[0])
	})
	t.Run("does not write behind dst without room", func(t *testing.T) {
		t.Parallel()
		arena := []byte("0123456789")
		h.Append(arena[:1:1])
		require.Equal(t, "0123456789", string(arena))
	})
	t.Run("drops the bits of an opcode that is too large", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, wstest.Hex("02 00"), FrameHeader{Opcode: 0xf2}.Append(nil))
	})
	t.Run("leaves the key out where nothing is masked", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, wstest.Hex("00 00"), FrameHeader{MaskKey: helloKey}.Append(nil))
	})
}

func TestFrameHeaderDoesNotAllocate(t *testing.T) {
	dst := make([]byte, 0, maxHeader)
	for _, tc := range headerCases {
		require.Zero(t, testing.AllocsPerRun(10, func() {
			dst = tc.header.Append(dst[:0])
			_, _, _ = ParseFrameHeader(dst)
		}), tc.name)
	}
	bad := wstest.Hex("82 7e 00 00")
	require.Zero(t, testing.AllocsPerRun(10, func() { _, _, _ = ParseFrameHeader(bad) }))
}

func TestIsControl(t *testing.T) {
	t.Parallel()
	for opcode := range 16 {
		require.Equal(t, opcode >= 8, isControl(opcode), "opcode %d", opcode)
	}
}

// FuzzFrameHeader: what parses is what Append makes of it, and nothing that is
// incomplete or refused becomes acceptable by reading more or less of it. parseLone
// takes what it is for, and nothing else.
func FuzzFrameHeader(f *testing.F) {
	for _, tc := range headerCases {
		f.Add(tc.wire)
	}
	f.Add(wstest.HelloMasked)
	f.Add(wstest.Hex("82 7e 00 7d"))
	f.Add(wstest.Hex("82 ff 80 00 00 00 00 00 00 00"))
	f.Add(wstest.Hex("82 7f 00 00 00 00 00 00 ff ff"))
	f.Add(append(wstest.Hex("82 7e 01 00"), make([]byte, 256)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, n, err := ParseFrameHeader(b)
		for _, masked := range []bool{true, false} {
			opcode, length, key, header := parseLone(b, masked)
			lone := err == nil && h == FrameHeader{Fin: true, Opcode: h.Opcode, Masked: masked, MaskKey: h.MaskKey, Length: h.Length} &&
				(h.Opcode == TextMessage || h.Opcode == BinaryMessage) && h.Length <= min(0xffff, int64(len(b)-n))
			require.Equal(t, lone, header > 0)
			if lone {
				require.Equal(t, n, header)
				require.Equal(t, h, FrameHeader{Fin: true, Opcode: opcode, Masked: masked, MaskKey: key, Length: int64(length)})
			}
		}
		switch {
		case err == nil:
			require.LessOrEqual(t, n, min(len(b), maxHeader))
			require.GreaterOrEqual(t, h.Length, int64(0))
			require.Equal(t, b[:n], h.Append(nil))
			require.Equal(t, append([]byte("before"), b[:n]...), h.Append([]byte("before")))
			for end := range n {
				_, _, err := ParseFrameHeader(b[:end])
				require.Equal(t, io.ErrUnexpectedEOF, err)
			}
			return
		case err == io.ErrUnexpectedEOF:
			require.Less(t, len(b), maxHeader)
		default:
			require.IsType(t, &ProtocolError{}, err)
			_, _, again := ParseFrameHeader(append(bytes.Clone(b), make([]byte, maxHeader)...))
			require.Equal(t, err, again)
		}
		require.Zero(t, n)
		require.Zero(t, h)
	})
}

var headerForms = []FrameHeader{
	{Fin: true, Opcode: TextMessage, Length: 16},
	{Fin: true, Opcode: TextMessage, Length: 1 << 10},
	{Fin: true, Opcode: TextMessage, Length: 64 << 10},
	{Fin: true, Opcode: TextMessage, Length: 64 << 10, Masked: true, MaskKey: helloKey},
}

func BenchmarkParseFrameHeader(b *testing.B) {
	for _, h := range headerForms {
		b.Run(fmt.Sprintf("%d/masked=%t", h.Length, h.Masked), func(b *testing.B) {
			wire := h.Append(nil)
			b.SetBytes(int64(len(wire)))
			b.ReportAllocs()
			for b.Loop() {
				_, _, _ = ParseFrameHeader(wire)
			}
		})
	}
}

// parseLone and ParseFrameHeader agree, wherever the bytes end, on the frames that
// parseLone is for.
func TestParseLone(t *testing.T) {
	t.Parallel()
	lengths := []struct {
		octet byte
		more  string
		n     int
	}{
		{octet: 0}, {octet: 1, n: 1}, {octet: 125, n: 125}, {octet: 126, more: "00 7d", n: 125}, {octet: 126, more: "00 7e", n: 126},
		{octet: 126, more: "01 00", n: 256}, {octet: 127, more: "00 00 00 00 00 00 00 20", n: 32},
	}
	for first := range 256 {
		for _, bit := range []byte{0, bitMask} {
			for _, length := range lengths {
				wire := append([]byte{byte(first), bit | length.octet}, wstest.Hex(length.more)...)
				if bit != 0 {
					wire = append(wire, helloKey[:]...)
				}
				wire = append(wire, make([]byte, length.n)...)
				for cut := range len(wire) + 1 {
					if 20 < cut && cut < len(wire)-2 {
						continue // within the payload
					}
					for _, masked := range []bool{true, false} {
						opcode, n, key, header := parseLone(wire[:cut], masked)
						h, want, err := ParseFrameHeader(wire[:cut])
						lone := h.Fin && !h.RSV1 && !h.RSV2 && !h.RSV3 && (h.Opcode == TextMessage || h.Opcode == BinaryMessage)
						if err != nil || !lone || h.Masked != masked || cut < len(wire) {
							require.Zero(t, [3]int{opcode, n, header}, "%x", wire[:cut])
							continue
						}
						require.Equal(t, want, header)
						require.Equal(t, h.Opcode, opcode)
						require.EqualValues(t, h.Length, n)
						require.Equal(t, h.MaskKey, key)
					}
				}
			}
		}
	}
	_, _, _, n := parseLone(append(wstest.Hex("82 7f 00 00 00 00 00 01 00 00"), make([]byte, 1<<16)...), false)
	require.Zero(t, n, "longer ones are not for parseLone")
	_, _, _, n = parseLone(append(wstest.Hex("82 7f 01 00 00 00 00 00 00 00"), make([]byte, 1<<8)...), false)
	require.Zero(t, n, "nor are those whose length looks like a shorter one's")
}

func BenchmarkFrameHeaderAppend(b *testing.B) {
	for _, h := range headerForms {
		b.Run(fmt.Sprintf("%d/masked=%t", h.Length, h.Masked), func(b *testing.B) {
			dst := h.Append(nil)
			b.SetBytes(int64(len(dst)))
			b.ReportAllocs()
			for b.Loop() {
				dst = h.Append(dst[:0])
			}
		})
	}
}

// messageSizes are the payload lengths that benchmarks measure, in bytes.
var messageSizes = []int{0, 16, 125, 1 << 10, 64 << 10}

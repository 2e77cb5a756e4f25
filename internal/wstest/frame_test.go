package wstest

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFrame(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name             string
		frame            Frame
		unmasked, masked []byte // or their beginning
	}{
		{"Hello", Frame{Opcode: Text, Payload: "Hello"}, HelloUnmasked, HelloMasked},
		{"Hel", Frame{More: true, Opcode: Text, Payload: "Hel"}, HelFragment, Hex("01 83 37 fa 21 3d 7f 9f 4d")},
		{"lo", Frame{Payload: "lo"}, LoFragment, Hex("80 82 37 fa 21 3d 5b 95")},
		{"ping", Frame{Opcode: Ping, Payload: "Hello"}, PingUnmasked, Hex("89 85 37 fa 21 3d 7f 9f 4d 51 58")},
		{"pong", Frame{Opcode: Pong, Payload: "Hello"}, Hex("8a 05 48 65 6c 6c 6f"), PongMasked},
		{"RSV1", Frame{RSV: 4, Opcode: Binary}, Hex("c2 00"), Hex("c2 80 37 fa 21 3d")},
		{"125", Frame{Opcode: Binary, Payload: strings.Repeat("x", 125)}, Hex("82 7d"), Hex("82 fd 37 fa 21 3d")},
		{"126", Frame{Opcode: Binary, Payload: strings.Repeat("x", 126)}, Hex("82 7e 00 7e"), Hex("82 fe 00 7e 37 fa 21 3d")},
		{"256", Frame{Opcode: Binary, Payload: strings.Repeat("x", 256)}, Header256, Hex("82 fe 01 00 37 fa 21 3d")},
		{"64 KiB", Frame{Opcode: Binary, Payload: strings.Repeat("x", 65536)}, Header64K, Hex("82 ff 00 00 00 00 00 01 00 00 37 fa 21 3d")},
		{"close", CloseFrame(1000, "bye"), Hex("88 05 03 e8 62 79 65"), Hex("88 85 37 fa 21 3d")},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			for masked, want := range map[bool][]byte{false: tc.unmasked, true: tc.masked} {
				b := tc.frame.Unmasked()
				if masked {
					b = tc.frame.Masked()
				}
				require.Equal(t, want, b[:len(want)])

				got, wasMasked, err := ReadFrame(bytes.NewReader(b))
				require.NoError(t, err)
				require.Equal(t, masked, wasMasked)
				require.Equal(t, tc.frame, got)

				for _, end := range []int{0, 1, len(b) / 2, len(b) - 1} {
					_, _, err := ReadFrame(bytes.NewReader(b[:end]))
					require.Error(t, err)
				}
			}
		})
	}
}

func TestReadFrameRefuses(t *testing.T) {
	t.Parallel()
	for _, wire := range []string{"82 7e 00 7d", "82 7f 00 00 00 00 00 00 ff ff"} {
		_, _, err := ReadFrame(bytes.NewReader(Hex(wire)))
		require.ErrorContains(t, err, "shortest form")
	}
	for _, wire := range []string{"82 7e 00", "82 7f 00 00", "82 80 37"} {
		_, _, err := ReadFrame(bytes.NewReader(Hex(wire)))
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	}
	require.Panics(t, func() { Hex("0x") })
	require.Equal(t, `{more=false rsv=0 opcode=0x1 payload="Hello" (5 bytes)}`, Frame{Opcode: Text, Payload: "Hello"}.String())
}

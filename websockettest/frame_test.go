package websockettest

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket"
	"github.com/duplexkit/websocket/internal/wstest"
)

func TestFrame(t *testing.T) {
	t.Parallel()
	hex := wstest.Hex
	for _, tc := range []struct {
		name           string
		frame          Frame
		server, client []byte // as either sends it, or the beginning of that
	}{
		{"Hello", Text("Hello"), wstest.HelloUnmasked, wstest.HelloMasked},
		{"Hel", Frame{Opcode: websocket.TextMessage, Payload: "Hel", More: true}, wstest.HelFragment, hex("01 83 37 fa 21 3d 7f 9f 4d")},
		{"lo", Frame{Payload: "lo"}, wstest.LoFragment, hex("80 82 37 fa 21 3d 5b 95")},
		{"ping", Ping("Hello"), wstest.PingUnmasked, hex("89 85 37 fa 21 3d")},
		{"pong", Pong("Hello"), hex("8a 05 48 65 6c 6c 6f"), wstest.PongMasked},
		{"close", Close(1000, "bye"), hex("88 05 03 e8 62 79 65"), hex("88 85 37 fa 21 3d 34 12")},
		{"close without a code", Close(0, "ignored"), hex("88 00"), hex("88 80 37 fa 21 3d")},
		{"RSV1", Frame{Opcode: websocket.BinaryMessage, RSV1: true}, hex("c2 00"), hex("c2 80")},
		{"RSV2", Frame{Opcode: websocket.BinaryMessage, RSV2: true}, hex("a2 00"), hex("a2 80")},
		{"RSV3", Frame{Opcode: websocket.BinaryMessage, RSV3: true}, hex("92 00"), hex("92 80")},
		{"reserved opcode", Frame{Opcode: 0xf}, hex("8f 00"), hex("8f 80")},
		{"125", Binary(strings.Repeat("x", 125)), hex("82 7d"), hex("82 fd 37 fa 21 3d")},
		{"126", Binary(strings.Repeat("x", 126)), hex("82 7e 00 7e"), hex("82 fe 00 7e 37 fa 21 3d")},
		{"256", Binary(strings.Repeat("x", 256)), wstest.Header256, hex("82 fe 01 00")},
		{"65535", Binary(strings.Repeat("x", 65535)), hex("82 7e ff ff"), hex("82 fe ff ff")},
		{"64 KiB", Binary(strings.Repeat("x", 65536)), wstest.Header64K, hex("82 ff 00 00 00 00 00 01 00 00")},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			for client, want := range map[bool][]byte{false: tc.server, true: tc.client} {
				b := tc.frame.append([]byte("before"), client)
				require.Equal(t, "before", string(b[:6]))
				b = b[6:]
				require.Equal(t, want, b[:len(want)])

				got, err := readFrame(bytes.NewReader(b), !client)
				require.NoError(t, err)
				require.Equal(t, tc.frame, got)

				wrong := tc.frame
				wrong.WrongMask = true
				require.Equal(t, b, wrong.append(nil, !client))
				got, err = readFrame(bytes.NewReader(b), client)
				require.NoError(t, err)
				require.Equal(t, wrong, got)

				for _, end := range []int{1, len(b) / 2, len(b) - 1} {
					_, err := readFrame(bytes.NewReader(b[:end]), !client)
					require.Equal(t, io.ErrUnexpectedEOF, err)
				}
				_, err = readFrame(bytes.NewReader(nil), !client)
				require.Equal(t, io.EOF, err)
			}
		})
	}
}

// What a header says besides the truth.
func TestFrameLies(t *testing.T) {
	t.Parallel()
	hex := wstest.Hex
	for _, tc := range []struct {
		name  string
		frame Frame
		want  []byte
		err   string // of who reads it
	}{
		{"longer than it is", Frame{Opcode: 1, Payload: "ab", Length: 5}, hex("81 05 61 62"), "unexpected EOF"},
		{"shorter than it is", Frame{Opcode: 1, Payload: "ab", Length: 1}, hex("81 01 61 62"), ""},
		{"1 TiB", Frame{Opcode: 2, Length: 1 << 40}, hex("82 7f 00 00 01 00 00 00 00 00"), "a frame that claims 1099511627776 bytes: 82 7f 00 00 01 00 00 00 00 00"},
		{"top bit", Frame{Opcode: 2, Length: 1<<63 + 1}, hex("82 7f 80 00 00 00 00 00 00 01"), "a frame that is none"},
		{"2 bytes for 2", Frame{Opcode: 1, Payload: "ab", LengthBytes: 2}, hex("81 7e 00 02 61 62"), "a frame that is none"},
		{"8 bytes for 2", Frame{Opcode: 1, Payload: "ab", LengthBytes: 8}, hex("81 7f 00 00 00 00 00 00 00 02 61 62"), "a frame that is none"},
		{"8 bytes for 300", Frame{Opcode: 1, Length: 300, LengthBytes: 8}, hex("81 7f 00 00 00 00 00 00 01 2c"), "a frame that is none"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			b := tc.frame.append(nil, false)
			require.Equal(t, tc.want, b)
			_, err := readFrame(bytes.NewReader(b), true)
			if tc.err == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, tc.err)
		})
	}
}

func TestFragments(t *testing.T) {
	t.Parallel()
	require.Empty(t, Fragments(websocket.TextMessage))
	require.Equal(t, []Frame{Text("whole")}, Fragments(websocket.TextMessage, "whole"))
	require.Equal(t, []Frame{
		{Opcode: websocket.BinaryMessage, Payload: "a", More: true},
		{Payload: "", More: true},
		{Payload: "c"},
	}, Fragments(websocket.BinaryMessage, "a", "", "c"))
}

func TestFrameString(t *testing.T) {
	t.Parallel()
	for want, f := range map[string]Frame{
		`text "Hello"`:                    Text("Hello"),
		`binary "\x00\xff"`:               Binary("\x00\xff"),
		`continuation "lo"`:               {Payload: "lo"},
		`text "Hel", more to follow`:      {Opcode: 1, Payload: "Hel", More: true},
		`ping ""`:                         Ping(""),
		`pong "x"`:                        Pong("x"),
		`close 1001 "away"`:               Close(1001, "away"),
		`close ""`:                        Close(0, ""),
		`close "x"`:                       {Opcode: 8, Payload: "x"},
		`opcode 0x3 ""`:                   {Opcode: 3},
		`text "", RSV1, RSV2, RSV3`:       {Opcode: 1, RSV1: true, RSV2: true, RSV3: true},
		`text "", claiming 9 bytes`:       {Opcode: 1, Length: 9},
		`text "", length in 8 bytes`:      {Opcode: 1, LengthBytes: 8},
		`text "", with the wrong masking`: {Opcode: 1, WrongMask: true},
		`text "` + strings.Repeat("a", 64) + `"... of 65 bytes`: Text(strings.Repeat("a", 65)),
		`text "` + strings.Repeat("b", 64) + `"`:                Text(strings.Repeat("b", 64)),
	} {
		require.Equal(t, want, f.String())
	}
}

package main

import (
	"bufio"
	"bytes"
	"compress/flate"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFrame(t *testing.T) {
	t.Parallel()
	// The examples of RFC 6455, section 5.7.
	require.Equal(t, []byte{0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58}, frame(nil, fin|text, []byte("Hello")))
	require.Equal(t, []byte{0x82, 0xfe, 0x01, 0x00}, header(nil, fin|binaryData, 256))
	require.Equal(t, []byte{0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 0}, header(nil, fin|binaryData, 65536))

	large := bytes.Repeat([]byte("x"), 70_000)
	for _, test := range []struct {
		name    string
		wire    []byte
		opcode  byte
		payload []byte
	}{
		{"short", []byte{0x81, 0x05, 'H', 'e', 'l', 'l', 'o'}, text, []byte("Hello")},
		{"16 bits", append([]byte{0x82, 126, 0x01, 0x00}, large[:256]...), binaryData, large[:256]},
		{"64 bits", append([]byte{0x82, 127, 0, 0, 0, 0, 0, 1, 0x11, 0x70}, large...), binaryData, large},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			opcode, payload, err := readFrame(bufio.NewReader(bytes.NewReader(test.wire)))
			require.NoError(t, err)
			require.Equal(t, test.opcode, opcode)
			require.Equal(t, test.payload, payload)
			for n := range min(len(test.wire), 300) {
				_, _, err := readFrame(bufio.NewReader(bytes.NewReader(test.wire[:n])))
				require.Error(t, err)
			}
		})
	}
	_, _, err := readFrame(bufio.NewReader(bytes.NewReader([]byte{0x81, 127, 1, 0, 0, 0, 0, 0, 0, 0})))
	require.ErrorContains(t, err, "no server here sends")
}

func TestDeflated(t *testing.T) {
	t.Parallel()
	const end = "\x00\x00\xff\xff\x01\x00\x00\xff\xff"
	p := deflated(3)
	require.Less(t, len(p), 16<<10)
	n, err := io.Copy(io.Discard, flate.NewReader(io.MultiReader(bytes.NewReader(p), bytes.NewReader([]byte(end)))))
	require.NoError(t, err)
	require.EqualValues(t, 3<<20+1, n)
}

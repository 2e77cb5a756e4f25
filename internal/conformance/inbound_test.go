package conformance

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func inboundOf(server bool, ext *agreement, octets string) *inbound {
	return &inbound{
		r: bytes.NewReader(unhex(strings.ReplaceAll(octets, " ", ""))), server: server, ext: ext,
		log: newWirelog(),
	}
}

func TestInboundHandsUp(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		server bool
		octets string
		want   []any
	}{
		{"text", false, "8105 48656c6c6f", []any{Event{Kind: "message", Payload: []byte("Hello"), wireLength: 5}}},
		{"masked text", true, "8185 37fa213d 7f9f4d5158", []any{Event{Kind: "message", Payload: []byte("Hello"), wireLength: 5}}},
		{"fragments with a ping between", false, "0203 48656c 8901 61 8002 6c6f", []any{
			Event{Kind: "ping", Payload: []byte("a")},
			Event{Kind: "message", Payload: []byte("Hello"), Binary: true, wireLength: 5},
		}},
		{"close", false, "8804 03ea 6e6f", []any{closed{1002, "no"}}},
		{"close without a code", false, "8800", []any{closed{}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			in := inboundOf(c.server, nil, c.octets)
			for _, want := range append(c.want, ended{io.EOF}) {
				require.Equal(t, want, in.next())
			}
		})
	}
}

func TestInboundFindsViolations(t *testing.T) {
	t.Parallel()
	compression := terms{}.agree(false)
	for _, c := range []struct {
		why, octets string
		server      bool
		ext         *agreement
	}{
		{"masking", "8105 48656c6c6f", true, nil},
		{"masking", "8185 37fa213d 7f9f4d5158", false, nil},
		{"reserved opcode", "8300", false, nil},
		{"reserved opcode", "8b00", false, nil},
		{"reserved bits", "c100", false, nil},
		{"reserved bits", "a100", false, compression},
		{"reserved bits", "0100 c000", false, compression},
		{"reserved bits", "c900", false, compression},
		{"not minimal", "827e 0001 61", false, nil},
		{"not minimal", "827f 0000000000000001 61", false, nil},
		{"not minimal", "8a7e 0001 61", false, nil},
		{"control frame", "0900", false, nil},
		{"control frame", "897e 007e", false, nil},
		{"nothing to continue", "8000", false, nil},
		{"inside a message", "0100 8100", false, nil},
		{"longer than any", "827f 8000000000000001", false, nil},
		{"not UTF-8", "8101 ff", false, nil},
		{"one octet", "8801 03", false, nil},
		{"close code 1005", "8802 03ed", false, nil},
		{"reason that is not UTF-8", "8803 03e8 ff", false, nil},
		{"after the close frame", "8800 8100", false, nil},
		{"does not inflate", "c102 ffff", false, compression},
	} {
		t.Run(c.why, func(t *testing.T) {
			t.Parallel()
			in := inboundOf(c.server, c.ext, c.octets)
			item := in.next()
			if _, ok := item.(closed); ok {
				item = in.next()
			}
			require.IsType(t, violation{}, item)
			require.Contains(t, item.(violation).why, c.why)
		})
	}
}

func TestInboundCutOff(t *testing.T) {
	t.Parallel()
	for _, octets := range []string{"81", "817e00", "8105 4865", "8185 37fa"} {
		item := inboundOf(strings.HasPrefix(octets, "818"), nil, octets).next()
		require.IsType(t, ended{}, item)
		require.ErrorIs(t, item.(ended).err, io.ErrUnexpectedEOF, octets)
	}
}

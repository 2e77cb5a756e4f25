package websocket

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// The frames of a client; those of a server are the same without Masked.
var (
	aText         = FrameHeader{Fin: true, Opcode: TextMessage, Masked: true, Length: 5}
	aBinary       = FrameHeader{Fin: true, Opcode: BinaryMessage, Masked: true, Length: 5}
	aBeginning    = FrameHeader{Opcode: TextMessage, Masked: true, Length: 5}
	aMiddle       = FrameHeader{Masked: true, Length: 5}
	anEnd         = FrameHeader{Fin: true, Masked: true, Length: 5}
	aPing         = FrameHeader{Fin: true, Opcode: PingMessage, Masked: true, Length: 125}
	aPong         = FrameHeader{Fin: true, Opcode: PongMessage, Masked: true}
	aClose        = FrameHeader{Fin: true, Opcode: CloseMessage, Masked: true, Length: 2}
	anEmptyMiddle = FrameHeader{Masked: true}
)

// change returns a copy of h that f has changed.
func change(h FrameHeader, f func(*FrameHeader)) FrameHeader {
	f(&h)
	return h
}

func repeat(h FrameHeader, n int) []FrameHeader {
	hs := make([]FrameHeader, n)
	for i := range hs {
		hs[i] = h
	}
	return hs
}

func frames(parts ...[]FrameHeader) (all []FrameHeader) {
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

// TestInboundAccept feeds frames to both ends. All but the last must be accepted,
// and the last as err says.
func TestInboundAccept(t *testing.T) {
	t.Parallel()
	one := func(h ...FrameHeader) []FrameHeader { return h }
	for _, tc := range []struct {
		name       string
		compressed bool
		frames     []FrameHeader
		err        *ProtocolError
	}{
		{name: "text", frames: one(aText)},
		{name: "binary", frames: one(aBinary)},
		{name: "ping", frames: one(aPing)},
		{name: "pong", frames: one(aPong)},
		{name: "close", frames: one(aClose)},
		{name: "fragments", frames: one(aBeginning, aMiddle, aMiddle, anEnd)},
		{name: "control frames between fragments", frames: one(aBeginning, aPing, aMiddle, aPong, anEnd)},
		{name: "close between fragments", frames: one(aBeginning, aClose)},

		{name: "RSV1", frames: one(change(aText, func(h *FrameHeader) { h.RSV1 = true })), err: errReservedBit},
		{name: "RSV2", frames: one(change(aText, func(h *FrameHeader) { h.RSV2 = true })), err: errReservedBit},
		{name: "RSV3", frames: one(change(aText, func(h *FrameHeader) { h.RSV3 = true })), err: errReservedBit},
		{name: "RSV2 on ping", frames: one(change(aPing, func(h *FrameHeader) { h.RSV2 = true })), err: errReservedBit},
		{name: "compressed message", compressed: true, frames: one(change(aText, func(h *FrameHeader) { h.RSV1 = true }))},
		{name: "compressed fragments", compressed: true, frames: one(change(aBeginning, func(h *FrameHeader) { h.RSV1 = true }), anEnd)},
		{name: "plain message among compressed", compressed: true, frames: one(aText)},
		{name: "RSV1 on a continuation", compressed: true, frames: one(aBeginning, change(anEnd, func(h *FrameHeader) { h.RSV1 = true })), err: errReservedBit},
		{name: "RSV1 on ping", compressed: true, frames: one(change(aPing, func(h *FrameHeader) { h.RSV1 = true })), err: errReservedBit},
		{name: "RSV2 with compression", compressed: true, frames: one(change(aText, func(h *FrameHeader) { h.RSV2 = true })), err: errReservedBit},

		{name: "opcode 3", frames: one(change(aText, func(h *FrameHeader) { h.Opcode = 3 })), err: errReservedOpcode},
		{name: "opcode 7", frames: one(change(aText, func(h *FrameHeader) { h.Opcode = 7 })), err: errReservedOpcode},
		{name: "opcode 5 between fragments", frames: one(aBeginning, change(aText, func(h *FrameHeader) { h.Opcode = 5 })), err: errReservedOpcode},
		{name: "opcode 11", frames: one(change(aPing, func(h *FrameHeader) { h.Opcode = 11 })), err: errReservedOpcode},
		{name: "opcode 15", frames: one(change(aPing, func(h *FrameHeader) { h.Opcode = 15 })), err: errReservedOpcode},

		{name: "fragmented ping", frames: one(change(aPing, func(h *FrameHeader) { h.Fin = false })), err: errFragmentedControl},
		{name: "fragmented close", frames: one(change(aClose, func(h *FrameHeader) { h.Fin = false })), err: errFragmentedControl},
		{name: "ping of 126 bytes", frames: one(change(aPing, func(h *FrameHeader) { h.Length = 126 })), err: errLongControl},
		{name: "close of 2^40 bytes", frames: one(change(aClose, func(h *FrameHeader) { h.Length = 1 << 40 })), err: errLongControl},

		{name: "continuation first", frames: one(aMiddle), err: errUnexpectedContinuation},
		{name: "last continuation first", frames: one(anEnd), err: errUnexpectedContinuation},
		{name: "text within a message", frames: one(aBeginning, aText), err: errExpectedContinuation},
		{name: "binary within a message", frames: one(aBeginning, aMiddle, aBinary), err: errExpectedContinuation},

		{name: "64 empty fragments", frames: frames(one(aBeginning), repeat(anEmptyMiddle, 64))},
		{name: "65 empty fragments", frames: frames(one(aBeginning), repeat(anEmptyMiddle, 65)), err: errEmptyFragments},
		{
			name: "65 empty fragments with the first",
			frames: frames(
				one(change(aBeginning, func(h *FrameHeader) { h.Length = 0 })),
				repeat(anEmptyMiddle, 64),
			),
			err: errEmptyFragments,
		},
		{name: "65 empty fragments with the last", frames: frames(one(aBeginning), repeat(anEmptyMiddle, 64), one(change(anEnd, func(h *FrameHeader) { h.Length = 0 }))), err: errEmptyFragments},
		{name: "empty fragments with pings between", frames: frames(one(aBeginning), repeat(anEmptyMiddle, 64), one(aPing, anEmptyMiddle)), err: errEmptyFragments},
		{name: "fragments of one byte", frames: frames(one(aBeginning), repeat(change(aMiddle, func(h *FrameHeader) { h.Length = 1 }), 1000))},
		{name: "empty fragments with others between", frames: frames(one(aBeginning), repeat(anEmptyMiddle, 64), one(aMiddle), repeat(anEmptyMiddle, 64))},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			for _, server := range []bool{true, false} {
				in := inbound{server: server, compressed: tc.compressed}
				for i, h := range tc.frames {
					h.Masked = server
					err := in.accept(h)
					if i < len(tc.frames)-1 || tc.err == nil {
						require.NoError(t, err, "server=%t, frame %d", server, i)
					} else {
						require.Equal(t, tc.err, err, "server=%t", server)
					}
				}
			}
		})
	}
}

func TestInboundMasking(t *testing.T) {
	t.Parallel()
	for _, h := range []FrameHeader{aText, aBinary, aBeginning, aPing, aPong, aClose} {
		h.Masked = false
		require.Equal(t, errNotMasked, (&inbound{server: true}).accept(h))
		require.NoError(t, (&inbound{}).accept(h))
		h.Masked = true
		require.Equal(t, errMasked, (&inbound{}).accept(h))
		require.NoError(t, (&inbound{server: true}).accept(h))
	}
}

func TestInboundState(t *testing.T) {
	t.Parallel()
	in := inbound{server: true}
	require.NoError(t, in.accept(aBeginning))
	require.EqualValues(t, TextMessage, in.message)
	before := in
	require.NoError(t, in.accept(aPing))
	require.Equal(t, before, in, "a control frame changes nothing")

	for range 3 {
		require.NoError(t, in.accept(aMiddle))
	}
	require.EqualValues(t, 4, in.fragments)
	require.NoError(t, in.accept(anEnd))
	in.end()
	require.Zero(t, in.message)

	require.NoError(t, in.accept(aBinary))
	require.EqualValues(t, BinaryMessage, in.message)
	require.EqualValues(t, 1, in.fragments, "each message has its own count")
}

// Empty fragments count in a row, and a message has a row of its own.
func TestInboundEmptyMessages(t *testing.T) {
	t.Parallel()
	in := inbound{server: true}
	empty := change(aText, func(h *FrameHeader) { h.Length = 0 })
	for range 1000 {
		require.NoError(t, in.accept(empty))
		in.end()
	}
}

// The numbers are promises: the conformance suites need as many fragments, and no peer
// may have more.
func TestFragmentLimits(t *testing.T) {
	t.Parallel()
	require.EqualValues(t, 131_072, maxFragments)
	require.EqualValues(t, 64, maxEmptyFragments)
}

func TestOutboundAccept(t *testing.T) {
	t.Parallel()
	opcodes := []int{opContinuation, TextMessage, BinaryMessage, CloseMessage, PingMessage, PongMessage}
	var out outbound
	for _, opcode := range []int{TextMessage, opContinuation, PingMessage, PongMessage, BinaryMessage} {
		require.NoError(t, out.accept(opcode))
		require.False(t, out.closed)
	}
	require.NoError(t, out.accept(CloseMessage))
	require.True(t, out.closed)
	for _, opcode := range opcodes {
		require.Equal(t, ErrCloseSent, out.accept(opcode))
	}
	require.EqualError(t, ErrCloseSent, "websocket: close sent", "as gorilla has it")
}

// Every rule closes with the code that RFC 6455 has for it.
func TestProtocolErrorCodes(t *testing.T) {
	t.Parallel()
	for code, errs := range map[int][]*ProtocolError{
		CloseProtocolError: {
			errNotMinimal, errLengthTopBit, errShortClose, errCloseCode, errReservedBit, errReservedOpcode, errNotMasked,
			errMasked, errFragmentedControl, errLongControl, errExpectedContinuation, errUnexpectedContinuation,
		},
		CloseInvalidFramePayloadData: {errCloseReason, errInvalidUTF8},
		ClosePolicyViolation:         {errEmptyFragments, errFragments},
	} {
		for _, err := range errs {
			require.Equal(t, code, err.Code, err.Reason)
			require.NotEmpty(t, err.Reason, "the peer is told why")
			require.Equal(t, "websocket: "+err.Reason, err.Error())
			require.Equal(t, err.Reason, cutReason(err.Reason), "it fits a close frame")
		}
	}
}

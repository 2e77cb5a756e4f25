package websocket

import "errors"

// The rules of RFC 6455 for the order of frames, without any I/O. Each
// direction of a connection has its own state:
//
//	           data, ping, pong           data, ping, pong
//	             ┌──────┐                   ┌──────┐
//	inbound:    OPEN ───┴─ close ─▶ CLOSED  (no frame counts any more, section 5.5.1)
//	outbound:   OPEN ───┴─ close ─▶ CLOSED  (ErrCloseSent)
//
// The closing handshake is done when both are closed (section 7.1.4).

// ErrCloseSent is returned by writes after a close frame was sent: "The
// application MUST NOT send any more data frames after sending a Close frame"
// (RFC 6455, section 5.5.1). Reads go on until the peer's close frame comes. It is also
// what a writer sees when the peer has closed: the answer to its close frame is sent by
// whoever reads. context.Cause of Conn.Context tells why the connection ended.
var ErrCloseSent = errors.New("websocket: close sent")

const (
	// maxFragments is how many fragments one whole-message read gathers: the
	// cost of a fragment to us is a multiple of its seven bytes to the peer.
	// The conformance suites send 65,536.
	maxFragments = 131_072
	// maxEmptyFragments is how many fragments in a row may bring nothing.
	maxEmptyFragments = 64
)

// inbound holds the rules for the frames that arrive.
type inbound struct {
	server     bool // which end we are: a server gets masked frames
	compressed bool // permessage-deflate is in use, RSV1 has a meaning

	closed    bool  // the peer's close frame came
	message   int8  // type of the message in progress, 0 between messages
	empty     int8  // empty fragments in a row
	fragments int32 // fragments of that message so far
}

// accept judges the next frame by its header and takes note of it. A control
// frame changes nothing, so it may be judged again.
func (in *inbound) accept(h FrameHeader) error {
	// "MUST be 0 unless an extension is negotiated that defines meanings for non-zero values" (section 5.2)
	if h.RSV2 || h.RSV3 {
		return errReservedBit
	}
	// RFC 7692, section 6: RSV1 marks the first frame of a compressed message, and nothing else.
	if h.RSV1 && (!in.compressed || isControl(h.Opcode) || h.Opcode == opContinuation) {
		return errReservedBit
	}
	if in.server && !h.Masked {
		return errNotMasked // "The server MUST close the connection upon receiving a frame that is not masked" (section 5.1)
	}
	if !in.server && h.Masked {
		return errMasked // "A client MUST close a connection if it detects a masked frame" (section 5.1)
	}
	if isControl(h.Opcode) {
		return in.acceptControl(h)
	}
	return in.acceptData(h)
}

// acceptControl holds the rules of section 5.5.
func (in *inbound) acceptControl(h FrameHeader) error {
	switch {
	case h.Opcode > PongMessage:
		return errReservedOpcode
	case !h.Fin:
		return errFragmentedControl
	case h.Length > maxControlPayload:
		return errLongControl
	}
	return nil
}

// acceptData holds the rules of section 5.4.
func (in *inbound) acceptData(h FrameHeader) error {
	switch h.Opcode {
	case TextMessage, BinaryMessage:
		if in.message != 0 {
			return errExpectedContinuation
		}
		in.message = int8(h.Opcode)
		in.fragments, in.empty = 0, 0
	case opContinuation:
		if in.message == 0 {
			return errUnexpectedContinuation
		}
	default:
		return errReservedOpcode
	}

	in.fragments++
	if h.Length > 0 {
		in.empty = 0
	} else if in.empty++; in.empty > maxEmptyFragments {
		return errEmptyFragments
	}
	return nil
}

// end notes that the message in progress has been read to its end.
func (in *inbound) end() { in.message = 0 }

// outbound holds the rules for the frames that we send.
type outbound struct {
	closed bool // our close frame was sent
}

// accept judges the next frame by its opcode and takes note of it.
func (out *outbound) accept(opcode int) error {
	if out.closed {
		return ErrCloseSent
	}
	out.closed = opcode == CloseMessage
	return nil
}

// What a peer's sequence of frames can do wrong.
var (
	errReservedBit            = &ProtocolError{CloseProtocolError, "reserved bit set"}
	errReservedOpcode         = &ProtocolError{CloseProtocolError, "reserved opcode"}
	errNotMasked              = &ProtocolError{CloseProtocolError, "frame from the client not masked"}
	errMasked                 = &ProtocolError{CloseProtocolError, "frame from the server masked"}
	errFragmentedControl      = &ProtocolError{CloseProtocolError, "fragmented control frame"}
	errLongControl            = &ProtocolError{CloseProtocolError, "control frame with more than 125 bytes of payload"}
	errExpectedContinuation   = &ProtocolError{CloseProtocolError, "new message before the end of the last"}
	errUnexpectedContinuation = &ProtocolError{CloseProtocolError, "continuation without a message"}
	errEmptyFragments         = &ProtocolError{ClosePolicyViolation, "too many empty fragments"}
	errFragments              = &ProtocolError{ClosePolicyViolation, "too many fragments"}
	errInvalidUTF8            = &ProtocolError{CloseInvalidFramePayloadData, "text is not UTF-8"}
)

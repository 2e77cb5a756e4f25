package websocket

import (
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Close codes of RFC 6455, section 7.4.1, and of the IANA registry that
// section 11.7 founded.
const (
	CloseNormalClosure           = 1000
	CloseGoingAway               = 1001
	CloseProtocolError           = 1002
	CloseUnsupportedData         = 1003
	CloseNoStatusReceived        = 1005 // never sent: the peer's close frame had no code
	CloseAbnormalClosure         = 1006 // never sent: the connection ended without a close frame
	CloseInvalidFramePayloadData = 1007
	ClosePolicyViolation         = 1008
	CloseMessageTooBig           = 1009
	CloseMandatoryExtension      = 1010
	CloseInternalServerErr       = 1011
	CloseServiceRestart          = 1012
	CloseTryAgainLater           = 1013
	CloseBadGateway              = 1014
	CloseTLSHandshake            = 1015 // never sent: the TLS handshake failed
)

// CloseError is the error of reads after the peer has closed the connection:
// with its close frame, or by ending the network connection without one
// (code 1006).
type CloseError struct {
	Code int    // the close code; 1005 if the close frame had none
	Text string // the close reason
}

// Error names the close code and quotes the reason.
func (e *CloseError) Error() string {
	s := "websocket: close " + strconv.Itoa(e.Code)
	if name := closeCodeName(e.Code); name != "" {
		s += " (" + name + ")"
	}
	if e.Text != "" {
		s += ": " + e.Text
	}
	return s
}

// Is makes errors.Is find io.ErrUnexpectedEOF in the error of a connection that
// ended without a close frame.
func (e *CloseError) Is(target error) bool {
	return target == io.ErrUnexpectedEOF && e.Code == CloseAbnormalClosure
}

// ProtocolError is the error of reads after the peer broke a rule of the
// protocol, or a limit of ours that has a close code. The connection was failed
// (RFC 6455, section 7.1.7).
type ProtocolError struct {
	Code   int    // the close code that we sent
	Reason string // the rule that was broken, which is also the close reason that we sent
}

// Error names the broken rule.
func (e *ProtocolError) Error() string { return "websocket: " + e.Reason }

// IsCloseError reports whether err is, or wraps, a *CloseError with one of the
// codes.
func IsCloseError(err error, codes ...int) bool {
	var e *CloseError
	return errors.As(err, &e) && slices.Contains(codes, e.Code)
}

// IsUnexpectedCloseError reports whether err is, or wraps, a *CloseError whose
// code is not among expectedCodes.
func IsUnexpectedCloseError(err error, expectedCodes ...int) bool {
	var e *CloseError
	return errors.As(err, &e) && !slices.Contains(expectedCodes, e.Code)
}

// FormatCloseMessage returns the payload of a close frame with the code and the
// reason text. CloseNoStatusReceived gives an empty payload, since that code
// stands for a close frame without one (RFC 6455, section 7.4.1). Nothing is
// checked: a close frame holds at most 123 bytes of text.
func FormatCloseMessage(closeCode int, text string) []byte {
	if closeCode == CloseNoStatusReceived {
		return []byte{}
	}
	p := make([]byte, 0, 2+len(text))
	p = binary.BigEndian.AppendUint16(p, uint16(closeCode))
	return append(p, text...)
}

// parseClosePayload decodes the payload of a close frame that was received
// (section 5.5.1).
func parseClosePayload(p []byte) (code int, reason string, err error) {
	switch len(p) {
	case 0:
		return CloseNoStatusReceived, "", nil
	case 1:
		// "If there is a body, the first two bytes of the body MUST be a 2-byte unsigned integer"
		return 0, "", errShortClose
	}
	code = int(binary.BigEndian.Uint16(p))
	if !validCloseCode(code) {
		return 0, "", errCloseCode
	}
	if !utf8.Valid(p[2:]) {
		return 0, "", errCloseReason // section 8.1
	}
	return code, string(p[2:]), nil
}

// validCloseCode reports whether code may stand in a close frame: registered
// for the protocol and not reserved for other use (section 7.4.1), or in the
// ranges for libraries and applications (section 7.4.2).
func validCloseCode(code int) bool {
	switch code {
	case 1004, CloseNoStatusReceived, CloseAbnormalClosure:
		return false
	}
	return CloseNormalClosure <= code && code <= CloseBadGateway || 3000 <= code && code <= 4999
}

// cutReason makes reason UTF-8 and shortens it, at the end of a character, to what
// fits a close frame behind the code (section 5.5.1).
func cutReason(reason string) string {
	reason = strings.ToValidUTF8(reason, "\uFFFD")
	const room = maxControlPayload - 2
	if len(reason) <= room {
		return reason
	}
	end := room
	for !utf8.RuneStart(reason[end]) {
		end--
	}
	return reason[:end]
}

// closeCodeName is what an error message calls the code, "" if it has no name.
func closeCodeName(code int) string {
	switch code {
	case CloseNormalClosure:
		return "normal"
	case CloseGoingAway:
		return "going away"
	case CloseProtocolError:
		return "protocol error"
	case CloseUnsupportedData:
		return "unsupported data"
	case CloseNoStatusReceived:
		return "no status"
	case CloseAbnormalClosure:
		return "abnormal closure"
	case CloseInvalidFramePayloadData:
		return "invalid payload data"
	case ClosePolicyViolation:
		return "policy violation"
	case CloseMessageTooBig:
		return "message too big"
	case CloseMandatoryExtension:
		return "mandatory extension missing"
	case CloseInternalServerErr:
		return "internal server error"
	case CloseServiceRestart:
		return "service restart"
	case CloseTryAgainLater:
		return "try again later"
	case CloseBadGateway:
		return "bad gateway"
	case CloseTLSHandshake:
		return "TLS handshake error"
	}
	return ""
}

// What a peer's bytes can do wrong, read frame by frame. All are values of one
// type, made once: a hostile peer costs no allocation.
var (
	errNotMinimal   = &ProtocolError{CloseProtocolError, "payload length not in its shortest form"}
	errLengthTopBit = &ProtocolError{CloseProtocolError, "payload length has its highest bit set"}
	errShortClose   = &ProtocolError{CloseProtocolError, "close payload of one byte"}
	errCloseCode    = &ProtocolError{CloseProtocolError, "invalid close code"}
	errCloseReason  = &ProtocolError{CloseInvalidFramePayloadData, "close reason is not UTF-8"}
)

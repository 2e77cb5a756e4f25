package differential

import (
	"bytes"
	"encoding/binary"
	"math"
	"reflect"
	"runtime"
	"slices"
	"strings"
)

// A difference is a way in which gorilla/websocket v1.5.3 is known to differ from the
// model. Given an input and what the two make of it, it says whether it explains why
// they disagree. If gorilla reads on where the model stops, there is another input,
// whose meaning is plain and of which the model is to make what gorilla makes of this
// one: next. Otherwise next is nil and the case is closed.
type difference func(in input, m, g outcome) (next *input, ok bool)

// differences are all that are allowed. Each is named by its function.
var differences = []difference{
	acceptsLongLengths, topBitIsALimit, acceptsAnyText, acceptsShortClose, closeReasonIs1002, refusesCloseCode1014, echoesNoReason,
	hasNoLimitOfNumbers, acceptsRSV1Anywhere, judgesHalfHeaders, sumOfLengthsOverflows, limitsCompressedOctets,
	hasNoContextTakeover, wantsOctetForNothing, keepsSilentAboutCorruptData, noticesCorruptionLater, noticesCorruptionEarlier,
	completesCutOffData, stopsAtFinalBlock,
}

func (d difference) name() string {
	name := runtime.FuncForPC(reflect.ValueOf(d).Pointer()).Name()
	return name[strings.LastIndexByte(name, '.')+1:]
}

// acceptsLongLengths: "the minimal number of bytes MUST be used to encode the length"
// (section 5.2) is not checked.
func acceptsLongLengths(in input, m, _ outcome) (next *input, ok bool) {
	if m.end.rule != notMinimal {
		return nil, false
	}
	header := in.stream[m.start:m.at]
	length := uint64(binary.BigEndian.Uint16(header[2:]))
	if len(header) > 4 {
		length = binary.BigEndian.Uint64(header[2:])
	}
	short := []byte{header[0], header[1]&0x80 | byte(length)}
	if length > 125 {
		short = binary.BigEndian.AppendUint16([]byte{header[0], header[1]&0x80 | 126}, uint16(length))
	}
	return in.with(m.start, m.at, short), true
}

// topBitIsALimit: a length with its highest bit set is not a protocol error but
// ErrReadLimit, and no close frame is sent.
func topBitIsALimit(_ input, m, g outcome) (next *input, ok bool) {
	return nil, m.end.rule == topBit && sameUntilThen(m, g) && g.end.kind == limit && !g.closed
}

// acceptsAnyText: text is not checked for UTF-8 (section 8.1).
func acceptsAnyText(in input, m, _ outcome) (next *input, ok bool) {
	in.anyText = true
	return &in, m.end.rule == notText
}

// acceptsShortClose: a close frame with one octet of payload counts as one without
// (section 5.5.1: the first two "MUST be a 2-byte unsigned integer").
func acceptsShortClose(in input, m, _ outcome) (next *input, ok bool) {
	if m.end.rule != shortClose {
		return nil, false
	}
	header := in.stream[m.start : m.at-1]
	return in.with(m.start, m.at, append([]byte{header[0], header[1] &^ 0x7f}, header[2:]...)), true
}

// closeReasonIs1002: a close reason that is not UTF-8 is answered with 1002, where
// section 7.4.1 has 1007 for the like.
func closeReasonIs1002(_ input, m, g outcome) (next *input, ok bool) {
	return nil, m.end.rule == closeReason && sameUntilThen(m, g) && g.end.kind == broken && g.end.code == 1002
}

// refusesCloseCode1014: 1014 was registered by IANA when the list of gorilla was made.
func refusesCloseCode1014(_ input, m, g outcome) (next *input, ok bool) {
	return nil, m.end.kind == closed && m.end.code == 1014 && sameUntilThen(m, g) && g.end.kind == broken && g.end.code == 1002
}

// echoesNoReason: the answer to a close frame has its code alone. Section 5.5.1 asks for
// no more ("typically echos the status code").
func echoesNoReason(_ input, m, g outcome) (next *input, ok bool) {
	return nil, m.end.kind == closed && m.end.reason != "" && sameUntilThen(m, g) && g.end == theirsOf(m.end) && g.close == m.close[:2]
}

// hasNoLimitOfNumbers: there is no limit for empty fragments, for fragments, and for
// blocks of DEFLATE data that bring nothing.
func hasNoLimitOfNumbers(in input, m, _ outcome) (next *input, ok bool) {
	in.patient = true
	return &in, slices.Contains([]rule{tooEmpty, tooManyFragments, tooManyEmptyBlocks}, m.end.rule)
}

// acceptsRSV1Anywhere: where permessage-deflate is in use, the bit is not refused on
// control frames and continuations (RFC 7692, section 6), and means nothing there.
func acceptsRSV1Anywhere(in input, m, _ outcome) (next *input, ok bool) {
	if m.end.rule != misplacedRSV1 {
		return nil, false
	}
	return in.with(m.start, m.start+1, []byte{in.stream[m.start] &^ 0x40}), true
}

// judgesHalfHeaders: the first two octets of a header are judged before the others have
// come; here a connection that ends meanwhile has ended, and no more.
func judgesHalfHeaders(in input, m, g outcome) (next *input, ok bool) {
	return nil, m.end.kind == lost && len(in.stream)-m.start < 14 && sameUntilThen(m, g) && g.end.kind == broken && g.end.code == 1002
}

// sumOfLengthsOverflows: when the lengths of the fragments of a message make 2^63 or
// more the error is ErrReadLimit, limit or no limit, and no close frame is sent.
func sumOfLengthsOverflows(in input, m, g outcome) (next *input, ok bool) {
	h := in.stream[m.start:]
	return nil, sameUntilThen(m, g) && g.end.kind == limit && !g.closed && len(h) >= 10 && h[1]&0x7f == 127 &&
		binary.BigEndian.Uint64(h[2:]) > math.MaxInt64-uint64(len(in.stream))
}

// limitsCompressedOctets: the limit of a compressed message is for what comes, and not
// for what that inflates to.
func limitsCompressedOctets(in input, m, g outcome) (next *input, ok bool) {
	if !in.deflate || in.limit < 0 {
		return nil, false
	}
	if g.end.kind == limit { // what came was larger than what it inflates to
		return nil, begins(m, g)
	}
	return nil, m.end.rule == tooBig && goesOn(m, g)
}

// hasNoContextTakeover: it is never agreed on, and a message that refers to an earlier
// one is corrupt.
func hasNoContextTakeover(_ input, m, g outcome) (next *input, ok bool) {
	return nil, m.reached == len(g.messages) && begins(m, g) && g.end.kind == broken && !g.closed
}

// wantsOctetForNothing: an empty message has one octet of payload (RFC 7692, section
// 7.2.3.6), and without it is corrupt.
func wantsOctetForNothing(_ input, m, g outcome) (next *input, ok bool) {
	return nil, m.void == len(g.messages) && begins(m, g) && g.end.kind == broken && !g.closed
}

// stopsAtFinalBlock: what follows a block with BFINAL set is dropped, and not looked at
// (RFC 7692, section 7.2.3.4: other blocks may follow).
func stopsAtFinalBlock(_ input, m, g outcome) (next *input, ok bool) {
	n := m.final
	if n < 0 || n > len(g.messages) || !slices.Equal(m.messages[:n], g.messages[:n]) {
		return nil, false
	}
	if n == len(g.messages) {
		return nil, true
	}
	whole := m.part
	if n < len(m.messages) {
		whole = m.messages[n].payload
	}
	return nil, strings.HasPrefix(whole, g.messages[n].payload)
}

// completesCutOffData: what is appended to a compressed message is longer than what its
// sender left out, and may complete a block that its sender has not.
func completesCutOffData(_ input, m, g outcome) (next *input, ok bool) {
	return nil, m.end.rule == cutOff && goesOn(m, g)
}

// keepsSilentAboutCorruptData: no close frame is sent.
func keepsSilentAboutCorruptData(_ input, m, g outcome) (next *input, ok bool) {
	return nil, (m.end.rule == corrupt || m.end.rule == cutOff) && sameUntilThen(m, g) && g.end.kind == broken && !g.closed
}

// noticesCorruptionLater: a code for code lengths that is not complete, or a block whose
// code knows no end, is read on until no meaning is left; meanwhile the connection may
// end, or the peer break another rule.
func noticesCorruptionLater(_ input, m, g outcome) (next *input, ok bool) {
	return nil, m.end.rule == corrupt && slices.Equal(m.messages, g.messages)
}

// noticesCorruptionEarlier: a code length that repeats the one before, and is the first,
// is refused before it is known how many times. Here that octet has to come; what it says
// does not matter.
func noticesCorruptionEarlier(in input, m, g outcome) (next *input, ok bool) {
	pongs := m.pongs[:min(len(m.pongs), len(g.pongs))] // to pings behind that octet there are none
	if !m.end.within || !slices.Equal(m.messages, g.messages) || !slices.Equal(pongs, g.pongs) || g.end.kind != broken || g.closed {
		return nil, false
	}
	goesOn := []byte{0x00, 0x01, 0}
	if in.server {
		goesOn = []byte{0x00, 0x81, 0, 0, 0, 0, 0}
	}
	inFrame, inNextFrame := in.with(len(in.stream), len(in.stream), []byte{0}), in.with(m.start, len(in.stream), goesOn)
	return nil, run(*inFrame).end.rule == corrupt || run(*inNextFrame).end.rule == corrupt
}

// with returns the input with other octets in place of those from one offset to another.
func (in input) with(from, to int, p []byte) *input {
	in.stream = slices.Concat(in.stream[:from], p, in.stream[to:])
	return &in
}

// theirsOf returns an end as an endpoint tells it: without the rule.
func theirsOf(e end) end {
	e.rule = ""
	return e
}

// sameUntilThen reports whether all is the same before the end.
func sameUntilThen(m, g outcome) bool {
	return slices.Equal(m.messages, g.messages) && slices.Equal(m.pongs, g.pongs)
}

// begins reports whether all begins as one outcome has it.
func begins(all, first outcome) bool {
	return len(first.messages) <= len(all.messages) && slices.Equal(all.messages[:len(first.messages)], first.messages)
}

// goesOn reports whether gorilla begins as the model and then goes on with the message
// in which the model stops.
func goesOn(m, g outcome) bool {
	n := len(m.messages)
	return begins(g, m) && (n == len(g.messages) || strings.HasPrefix(g.messages[n].payload, m.part))
}

// agree reports whether an endpoint has done what the model says. Of a close frame that
// fails the connection the reason is its own affair.
func agree(m, got outcome) bool {
	answer := got.close
	if m.end.kind != closed {
		answer = answer[:min(len(answer), 2)]
	}
	return sameUntilThen(m, got) && theirsOf(m.end) == got.end && m.closed == got.closed && m.close == answer
}

// judge returns the differences that explain what gorilla makes of an input, in the
// order in which they come up, and whether they do.
func judge(in input, g outcome) (names []string, ok bool) {
	for {
		m := run(in)
		if agree(m, g) {
			return names, true
		}
		next, name := (*input)(nil), ""
		for _, d := range differences {
			if after, ok := d(in, m, g); ok {
				next, name = after, d.name()
				break
			}
		}
		if name == "" {
			return names, false
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
		if next == nil {
			return names, true
		}
		if bytes.Equal(next.stream, in.stream) && next.anyText == in.anyText && next.patient == in.patient {
			return names, false
		}
		in = *next
	}
}

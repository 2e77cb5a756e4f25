// Package differential holds the library against a small model of the protocol, and
// gorilla/websocket against the same: what does each make of the same bytes? See the
// README beside it.
package differential

import "encoding/binary"

// An input is what a peer has sent, to whom and on what terms.
type input struct {
	server  bool  // it was sent to a server
	deflate bool  // permessage-deflate was agreed on
	afresh  bool  // no context takeover, to which the library does not hold a peer
	anyText bool  // text need not be UTF-8
	patient bool  // fragments and blocks may be as many as they like, and empty
	limit   int64 // octets of a message, negative for any number
	stream  []byte
}

// An outcome is what an endpoint makes of an input.
type outcome struct {
	messages []message // that came whole
	pongs    []string  // payloads of those that were sent
	end      end       // why there are no more messages
	close    string    // payload of the close frame that was sent
	closed   bool      // one was

	// Of the model alone:
	part                 string // what came of the message that broke off
	answered             []int  // how much of the stream asks for each pong
	start, at            int    // where the frame begins that was read last; how much was read
	reached, final, void int    // the first message that refers to another, has a final block, is compressed and empty; -1 for none
}

type message struct {
	opcode  byte
	payload string
}

// An end is why there are no more messages.
type end struct {
	kind   kind
	code   int    // the close code that came or, if we end it, was sent
	reason string // the close reason that came
	rule   rule   // of the model alone: that the peer broke
	within bool   // of a message
}

// A kind of end is told apart by the error that a program sees.
type kind string

const (
	closed kind = "closed"         // the peer's close frame came
	lost   kind = "lost"           // the connection ended without one
	broken kind = "rule broken"    // the peer broke the protocol, or a limit without an error of its own
	limit  kind = "limit exceeded" // a message is too large
)

// A rule is what a peer can break.
type rule string

const (
	topBit             rule = "length with its highest bit set"
	notMinimal         rule = "length not in its shortest form"
	reservedBit        rule = "reserved bit"
	misplacedRSV1      rule = "RSV1 on a frame that does not begin a message"
	wrongMask          rule = "masking"
	reservedOpcode     rule = "reserved opcode"
	wrongControl       rule = "control frame fragmented or too long"
	wrongOrder         rule = "order of fragments"
	shortClose         rule = "close payload of one octet"
	closeCode          rule = "close code"
	closeReason        rule = "close reason not UTF-8"
	notText            rule = "text not UTF-8"
	corrupt            rule = "corrupt DEFLATE data"
	cutOff             rule = "DEFLATE data that ends within a block"
	tooBig             rule = "limit"
	tooEmpty           rule = "empty fragments"
	tooManyFragments   rule = "number of fragments"
	tooManyEmptyBlocks rule = "empty blocks"
)

// run returns what the model makes of an input.
func run(in input) (out outcome) {
	m := &model{input: in, outcome: outcome{reached: -1, final: -1, void: -1}}
	defer func() {
		stopped := recover()
		end, ok := stopped.(end)
		if !ok {
			panic(stopped)
		}
		out = m.outcome
		out.end = end
		if end.within {
			out.part = string(m.data)
		}
		out.close, out.closed = end.answer()
	}()
	m.run()
	return out
}

// answer returns the payload of the close frame that is sent at the end. Where the peer
// has broken a rule the reason is anybody's choice and left out here.
func (e end) answer() (payload string, any bool) {
	switch {
	case e.kind == lost: // nobody is there to be told
		return "", false
	case e.code == 1005: // section 7.1.5: it had no code, and so has the answer (5.5.1: it "typically echos the status code")
		return "", true
	}
	return string(binary.BigEndian.AppendUint16(nil, uint16(e.code))) + e.reason, true
}

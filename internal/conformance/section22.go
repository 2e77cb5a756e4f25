package conformance

import "bytes"

// Messages of RFC 7692 section 7.2.3, all of which say Hello.
var (
	helloBlock     = unhex("f248cdc9c90700")
	helloRepeated  = unhex("f200110000")
	helloStored    = unhex("000500faff48656c6c6f00")
	helloFinal     = unhex("f348cdc9c9070000")
	helloTwoBlocks = unhex("f248050000" + "00ffff" + "cac9c90700")
	emptyBlock     = unhex("00")
)

// deflatedMessages is section 22, ours: compressed messages that are allowed, and some that are not.
func deflatedMessages() map[string]maker {
	all := map[string]maker{}
	n := &negotiation{offers: []terms{offer(false, 0)}, accept: ask(false, 0)}
	with := func(plays ...play) []play {
		for i := range plays {
			plays[i].extension = n
		}
		return plays
	}
	deflated := func(p []byte) frame { return frame{fin: true, rsv: 4, opcode: opText, payload: p} }

	numbered(all, "22.1", with(
		play{run: func(s *session) { s.shrinks(1 << 10) }},
		play{run: func(s *session) { s.shrinks(64 << 10) }},
		play{run: func(s *session) { s.shrinks(64) }},
	)...)

	echo := []Event{textEcho("Hello")}
	split := func(p []byte, sizes ...int) []frame {
		frames := make([]frame, len(sizes))
		for i, size := range sizes {
			frames[i], p = frame{payload: p[:size]}, p[size:]
		}
		frames[0].opcode, frames[0].rsv, frames[len(sizes)-1].fin = opText, 4, true
		return frames
	}
	parts := split(helloBlock, 3, 4)
	numbered(all, "22.2", with(
		play{frames: []frame{deflated(helloBlock)}, want: echo},
		play{want: []Event{echo[0], echo[0]}, run: func(s *session) {
			second := helloRepeated
			if !s.ext.send.takeover {
				second = helloBlock
			}
			_ = s.send(atOnce, deflated(helloBlock), deflated(second))
		}},
		play{frames: []frame{deflated(helloStored)}, want: echo},
		play{frames: []frame{deflated(helloFinal)}, want: echo},
		play{frames: []frame{deflated(helloTwoBlocks)}, want: echo},
		play{frames: []frame{deflated(emptyBlock)}, want: []Event{textEcho("")}},
		play{frames: []frame{text(hello)}, want: []Event{textEcho(hello)}},
		play{frames: fragments(opText, 4, helloBlock, 1), pieces: frameWise, want: echo},
		play{frames: split(helloBlock, 0, 3, 0, 4, 0), want: echo},
		play{frames: []frame{parts[0], ping("in between"), parts[1]}, want: []Event{pongWith("in between"), echo[0]}},
		play{frames: []frame{deflated(helloBlock), text(hello), deflated(helloStored), text("")},
			want: []Event{echo[0], textEcho(hello), echo[0], textEcho("")}},
	)...)

	numbered(all, "22.3", with(
		play{frames: []frame{parts[0], parts[1].withRSV(4)}},
		play{frames: []frame{ping(hello).withRSV(4)}},
		play{frames: []frame{closing(1000, "").withRSV(4)}},
		play{frames: []frame{deflated(unhex("ffffffffff"))}},
		play{frames: []frame{deflated(unhex("00c80037ff4865"))}},
		play{run: func(s *session) { s.sendDeflated(kosme + "\xED\xA0\x80" + "edited") }},
		play{frames: []frame{deflated(helloRepeated)}},
		play{frames: []frame{deflated(helloBlock).withRSV(6)}},
		play{frames: []frame{{fin: true, rsv: 4, opcode: 3, payload: helloBlock}}},
	)...)
	return all
}

func (s *session) sendDeflated(message string) {
	p, err := s.ext.deflate([]byte(message))
	if err != nil {
		s.conclude(Failed, "the peer cannot deflate: %v", err)
		return
	}
	_ = s.send(atOnce, fragments(opText, 4, p, 0)...)
}

// shrinks wants the echo of a message that deflates well to come compressed, in fewer octets than it has.
func (s *session) shrinks(size int) {
	e, ok := s.echoDeflated(bytes.Repeat([]byte("[0,1,2],"), size/8), false, 0)
	switch {
	case !ok:
	case !e.compressed:
		s.conclude(Failed, "the echo of %d octets is not compressed", size)
	case e.wireLength >= size:
		s.conclude(Failed, "the echo of %d octets took %d compressed", size, e.wireLength)
	default:
		s.conclude(OK, "the echo of %d octets took %d", size, e.wireLength)
	}
}

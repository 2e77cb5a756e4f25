package conformance

import (
	"fmt"
	"strings"
)

// beyondFraming is section 20, ours: masking, lengths, the end of the TCP connection, letters of four octets.
func beyondFraming() map[string]maker {
	all := map[string]maker{}
	numbered(all, "20.1",
		play{frames: []frame{text(hello).withWrongMask()}},
		play{frames: []frame{ping(hello).withWrongMask()}},
		play{frames: []frame{text(hello), text("not this one").withWrongMask()}, want: []Event{textEcho(hello)}},
		play{frames: []frame{text("fragment1").first(), continuation("fragment2").withWrongMask()}},
		play{frames: []frame{closing(1000, "").withWrongMask()}},
	)
	full := strings.Repeat("*", 125)
	long := strings.Repeat("*", 65535)
	numbered(all, "20.2",
		play{frames: []frame{text("short").withForm(length16)}},
		play{frames: []frame{text(full).withForm(length16)}},
		play{frames: []frame{text("short").withForm(length64)}},
		play{frames: []frame{text(long).withForm(length64)}},
		play{frames: []frame{ping("short").withForm(length16)}},
		play{frames: []frame{ping("short").withForm(length64)}},
		play{frames: []frame{closing(1000, "").withForm(length16)}},
		play{frames: []frame{text("").withForm(length16)}},
		play{frames: []frame{text("fragment1").first(), continuation("fragment2").withForm(length16)}},
	)
	numbered(all, "20.3",
		play{frames: []frame{binaryFrame([]byte(hello)).withForm(lengthTop)}},
		play{frames: []frame{text("fragment1").first(), continuation("fragment2").withForm(lengthTop)}},
		play{frames: []frame{ping(hello).withForm(lengthTop)}},
	)
	numbered(all, "20.4", play{run: freshKeys})
	numbered(all, "20.5", play{lingering: true, want: []Event{textEcho(hello)}, frames: []frame{text(hello)}})
	numbered(all, "20.6",
		play{run: func(s *session) { s.everyLength(0, 300) }},
		play{run: func(s *session) { s.everyLength(65500, 65570) }},
	)
	var halves []frame
	var letters []Event
	for _, letter := range []string{"\U00010000", "\U0001F600", "\U0010FFFF"} {
		for i := 1; i < len(letter); i++ {
			halves = append(halves, text(letter[:i]).first(), continuation(letter[i:]))
			letters = append(letters, textEcho(letter))
		}
	}
	marked := "\uFEFF" + hello
	numbered(all, "20.7",
		play{frames: halves, want: letters},
		play{frames: []frame{text(marked)}, want: []Event{textEcho(marked)}},
	)
	return all
}

// freshKeys wants a new masking key for every frame of a client (section 5.3). A server has none to show.
func freshKeys(s *session) {
	const count = 16
	for i := range count {
		p := fmt.Appendf(nil, "message %d", i)
		if _, ok := s.echo(p, false, atOnce, text(string(p))); !ok {
			return
		}
	}
	// Two of sixteen keys that are drawn as they should be are the same once in 36 million runs.
	if frames, different := s.log.maskingKeys(); different < frames {
		s.conclude(Failed, "%d frames were masked with %d keys (section 5.3)", frames, different)
		return
	}
	s.conclude(OK, "all messages were echoed")
}

// everyLength sends a binary message of every length, so that every position of the masking key against the end is seen.
func (s *session) everyLength(from, to int) {
	for n := from; n <= to; n++ {
		p := varied(n, true)
		if _, ok := s.echo(p, true, atOnce, binaryFrame(p)); !ok {
			return
		}
	}
	s.conclude(OK, "all messages were echoed")
}

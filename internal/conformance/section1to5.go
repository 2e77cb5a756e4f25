package conformance

import (
	"bytes"
	"fmt"
	"strings"
)

const hello = "Hello, world!"

// framing is section 1: messages of every form of length.
func framing() map[string]maker {
	all := map[string]maker{}
	for i, n := range []int{0, 125, 126, 127, 128, 65535, 65536, 65536} {
		pieces := atOnce
		if i == 7 {
			pieces = 997
		}
		stars, octets := strings.Repeat("*", n), bytes.Repeat([]byte{0xFE}, n)
		all[fmt.Sprintf("1.1.%d", i+1)] = just(play{frames: []frame{text(stars)}, pieces: pieces, want: []Event{textEcho(stars)}})
		all[fmt.Sprintf("1.2.%d", i+1)] = just(play{frames: []frame{binaryFrame(octets)}, pieces: pieces, want: []Event{binaryEcho(octets)}})
	}
	return all
}

// pingPong is section 2.
func pingPong() map[string]maker {
	all := map[string]maker{}
	full := strings.Repeat("\xFE", 125)
	var pings []frame
	var pongs []Event
	for i := range 10 {
		payload := fmt.Sprintf("ping number %d", i)
		pings, pongs = append(pings, ping(payload)), append(pongs, pongWith(payload))
	}
	numbered(all, "2",
		play{frames: []frame{ping("")}, want: []Event{pongWith("")}},
		play{frames: []frame{ping(hello)}, want: []Event{pongWith(hello)}},
		play{frames: []frame{ping("\x00\xFF\xFE\xFD\xFC\xFB\x00\xFF")}, want: []Event{pongWith("\x00\xFF\xFE\xFD\xFC\xFB\x00\xFF")}},
		play{frames: []frame{ping(full)}, want: []Event{pongWith(full)}},
		play{frames: []frame{ping(full + "\xFE")}},
		play{frames: []frame{ping(full)}, pieces: octetWise, want: []Event{pongWith(full)}},
		play{frames: []frame{pong("")}},
		play{frames: []frame{pong("nobody asked")}},
		play{frames: []frame{pong("nobody asked"), ping("please answer")}, want: []Event{pongWith("please answer")}},
		play{frames: pings, want: pongs},
		play{frames: pings, pieces: octetWise, want: pongs},
	)
	return all
}

// reserved is sections 3 and 4: reserved bits and reserved opcodes.
func reserved() map[string]maker {
	all := map[string]maker{}
	// between puts the offending frame behind a message and before a ping. A careful endpoint has echoed the message by then.
	between := func(f frame, pieces int) play {
		return play{frames: []frame{text(hello), f, ping("")}, pieces: pieces, want: []Event{textEcho(hello)}}
	}
	numbered(all, "3",
		play{frames: []frame{text(hello).withRSV(1)}},
		between(text(hello).withRSV(2), atOnce),
		between(text(hello).withRSV(3), frameWise),
		between(text(hello).withRSV(4), octetWise),
		play{frames: []frame{binaryFrame(unhex("00fffefdfcfb00ff")).withRSV(5)}},
		play{frames: []frame{ping(hello).withRSV(6)}},
		play{frames: []frame{closing(1000, "").withRSV(7)}},
	)
	for prefix, opcode := range map[string]byte{"4.1": 3, "4.2": 11} {
		numbered(all, prefix,
			play{frames: []frame{{fin: true, opcode: opcode}}},
			play{frames: []frame{{fin: true, opcode: opcode + 1, payload: []byte("reserved opcode")}}},
			between(frame{fin: true, opcode: opcode + 2}, atOnce),
			between(frame{fin: true, opcode: opcode + 3, payload: []byte(hello)}, atOnce),
			between(frame{fin: true, opcode: opcode + 4, payload: []byte(hello)}, octetWise),
		)
	}
	return all
}

// fragmentation is section 5.
func fragmentation() map[string]maker {
	all := map[string]maker{}
	echo := []Event{textEcho("fragment1fragment2")}
	message := []frame{text("fragment1").first(), continuation("fragment2")}
	pinged := []frame{message[0], ping("in between"), message[1]}
	pingedEcho := []Event{pongWith("in between"), echo[0]}
	astray := func(f frame) []frame { return []frame{f, text(hello)} }
	twice := func(f frame) []frame {
		return []frame{f, message[0], message[1], f, message[0], message[1]}
	}
	final := continuation("nothing to continue")
	numbered(all, "5",
		play{frames: []frame{ping("fragment1").first(), continuation("fragment2")}},
		play{frames: []frame{pong("fragment1").first(), continuation("fragment2")}},
		play{frames: message, want: echo},
		play{frames: message, pieces: frameWise, want: echo},
		play{frames: message, pieces: octetWise, want: echo},
		play{frames: pinged, want: pingedEcho},
		play{frames: pinged, pieces: frameWise, want: pingedEcho},
		play{frames: pinged, pieces: octetWise, want: pingedEcho},
		play{frames: astray(final)},
		play{frames: astray(final), pieces: frameWise},
		play{frames: astray(final), pieces: octetWise},
		play{frames: astray(final.first())},
		play{frames: astray(final.first()), pieces: frameWise},
		play{frames: astray(final.first()), pieces: octetWise},
		play{frames: append(message[:2:2], astray(final.first())...), want: echo},
		play{frames: twice(final.first())},
		play{frames: twice(final)},
		play{frames: []frame{message[0], text("fragment2")}},
		pausing(atOnce),
		pausing(frameWise),
	)
	return all
}

// pausing sends two fragments and a ping, and goes on when the pong is there. Where the suite pauses for a second, this waits for the
// pong itself.
func pausing(pieces int) play {
	return play{
		want: []Event{pongWith("first ping"), pongWith("second ping"), textEcho("fragment1fragment2fragment3fragment4fragment5")},
		run: func(s *session) {
			_ = s.send(pieces, text("fragment1").first(), continuation("fragment2").first(), ping("first ping"))
			if !s.waitFor(s.config.Timeout, func() bool { return len(s.received) > 0 }) {
				s.conclude(Failed, "the first pong did not come before the message was complete%s", s.lastWords())
				return
			}
			_ = s.send(pieces, continuation("fragment3").first(), continuation("fragment4").first(), ping("second ping"), continuation("fragment5"))
		},
	}
}

package conformance

import (
	"regexp"
	"time"
)

// kosme is Greek. Its second letter, omicron with oxia, has three octets and would lose one if the text were normalized (to U+03CC),
// as an editor may do. The others have two.
const kosme = "κ\u1f79σμε"

// utf8Text is section 6: text and what is not text.
func utf8Text() map[string]maker {
	all := map[string]maker{}
	const mixed = "Hello-µ@ßöäüàá-UTF-8!!"
	const surrogate = kosme + "\xED\xA0\x80" + "edited"
	numbered(all, "6.1",
		play{frames: []frame{text("")}, want: []Event{textEcho("")}},
		play{frames: []frame{text("").first(), continuation("").first(), continuation("")}, want: []Event{textEcho("")}},
		play{frames: []frame{text("").first(), continuation("middle frame payload").first(), continuation("")}, want: []Event{textEcho("middle frame payload")}},
	)
	numbered(all, "6.2",
		play{frames: []frame{text(mixed)}, want: []Event{textEcho(mixed)}},
		play{frames: fragments(opText, 0, []byte(mixed), len("Hello-µ@ßöä")), want: []Event{textEcho(mixed)}},
		play{frames: fragments(opText, 0, []byte(mixed), 1), want: []Event{textEcho(mixed)}},
		play{frames: fragments(opText, 0, []byte(kosme), 1), want: []Event{textEcho(kosme)}},
	)
	numbered(all, "6.3",
		play{frames: []frame{text(surrogate)}},
		play{frames: fragments(opText, 0, []byte(surrogate), 1)},
	)
	numbered(all, "6.4",
		failFast(false, kosme, "\xF4\x90\x80\x80", "edited"),
		failFast(false, kosme+"\xF4", "\x90", "\x80\x80edited"),
		failFast(true, kosme, "\xF4\x90\x80\x80", "edited"),
		failFast(true, kosme+"\xF4", "\x90", "\x80\x80edited"),
	)

	// 6.5 to 6.23 are one text frame each. The table has the payload.
	cases, err := parseTable(table)
	if err != nil {
		panic(err)
	}
	payload := regexp.MustCompile("payload 0x([0-9a-f]+)")
	for _, c := range cases {
		found := payload.FindStringSubmatch(c.Description)
		if c.Section() != 6 || found == nil {
			continue
		}
		p := play{frames: []frame{text(string(unhex(found[1])))}}
		if c.closes == byPeer {
			p.want = []Event{textEcho(string(unhex(found[1])))}
		}
		all[c.ID] = just(p)
	}
	return all
}

// failFast sends a text in three parts, the second of which makes it invalid. A strict endpoint fails the connection before the third
// part is sent. The parts are fragments, or pieces of one frame.
func failFast(oneFrame bool, parts ...string) play {
	return play{
		want:   []Event{{Kind: "timeout", Payload: []byte("A")}},
		orWant: []Event{{Kind: "timeout", Payload: []byte("A")}, {Kind: "timeout", Payload: []byte("B")}},
		run: func(s *session) {
			send := func(part int) { _ = s.send(atOnce, fragmentOf(parts, part)) }
			if oneFrame {
				f := text(parts[0] + parts[1] + parts[2])
				key := s.key(f)
				octets := f.append(nil, key)
				s.log.txFrame(f, key, atOnce)
				from := [4]int{0, len(octets) - len(parts[1]) - len(parts[2]), len(octets) - len(parts[2]), len(octets)}
				send = func(part int) {
					_ = s.write(octets[from[part]:from[part+1]], true)
					s.inFrame = part < 2
				}
			}
			send(0)
			// Nothing is to happen yet, so there is nothing to wait for but time.
			if !s.pause("A", min(s.config.Timeout, 100*time.Millisecond)) {
				return
			}
			send(1)
			if s.pause("B", s.config.Timeout/2) {
				send(2)
				if s.ponging != nil {
					_ = s.send(atOnce, pong(string(s.ponging)))
				}
			}
		},
	}
}

func fragmentOf(parts []string, i int) frame {
	f := frame{fin: i == len(parts)-1, payload: []byte(parts[i])}
	if i == 0 {
		f.opcode = opText
	}
	return f
}

// pause waits whether something happens, and makes an event of it if nothing did.
func (s *session) pause(tag string, wait time.Duration) bool {
	s.log.note("CT", wait.Seconds(), tag)
	// The pause has an end of its own: pings of the endpoint are answered and do not make it longer.
	end := time.Now().Add(wait)
	for s.over == nil && s.remote == nil && !s.failed && s.stepUntil(wait, end) {
	}
	if s.over != nil || s.remote != nil || s.failed {
		return false
	}
	s.log.note("CTE", tag)
	s.received = append(s.received, Event{Kind: "timeout", Payload: []byte(tag)})
	s.compare()
	return !s.failed
}

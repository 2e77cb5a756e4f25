package conformance

import "strings"

// closes is section 7: closing handshakes, well formed and not.
func closes() map[string]maker {
	all := map[string]maker{}
	ordinary := closing(1000, "")
	message := fragments(opText, 0, []byte("fragment1fragment2"), 9)
	numbered(all, "7.1",
		play{frames: []frame{text(hello), ordinary}, want: []Event{textEcho(hello)}},
		play{frames: []frame{ordinary, ordinary}},
		play{frames: []frame{ordinary, ping("too late")}},
		play{frames: []frame{ordinary, text(hello)}},
		play{frames: []frame{message[0], ordinary, message[1]}},
		play{frames: []frame{text(string(varied(256<<10, false))), text(hello), ordinary, ping("too late")}},
	)
	raw := func(payload string) play {
		return play{frames: []frame{{fin: true, opcode: opClose, payload: []byte(payload)}}}
	}
	code := func(code int, reason string) play { return play{frames: []frame{closing(code, reason)}} }
	numbered(all, "7.3",
		raw(""), raw("a"), code(1000, ""), code(1000, hello), code(1000, strings.Repeat("*", 123)), code(1000, strings.Repeat("*", 124)),
	)
	numbered(all, "7.5", code(1000, kosme+"\xED\xA0\x80"+"edited"))
	for prefix, codes := range map[string][]int{
		"7.7":  {1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999},
		"7.9":  {0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999},
		"7.13": {5000, 65535},
	} {
		plays := make([]play, len(codes))
		for i, c := range codes {
			plays[i] = code(c, "")
		}
		numbered(all, prefix, plays...)
	}
	return all
}

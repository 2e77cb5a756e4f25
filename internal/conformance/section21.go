package conformance

import "errors"

// offersAndAnswers is section 21, ours: what the two ends say about permessage-deflate, and whether they keep to it.
func offersAndAnswers() map[string]maker {
	all := map[string]maker{}
	// held plays an offer that may be accepted. What the server answers must fit it, and what it sends must fit the answer.
	held := func(t terms) play {
		return play{run: keepWord, extension: &negotiation{offers: []terms{t}, held: holding(t)}}
	}
	smallest := held(terms{serverBits: 8}) // many have no such window, and may decline
	smallest.extension.optional = true
	quoted := held(terms{serverBits: 10})
	quoted.extension.raw = `permessage-deflate; server_max_window_bits="10"`
	second := held(terms{})
	second.extension.raw = "permessage-deflate; server_max_window_bits=7, permessage-deflate"
	declined := func(raw string) play {
		return play{run: plainEcho, extension: &negotiation{raw: raw, optional: true, held: notAtAll}}
	}
	numbered(all, "21.1",
		held(terms{}),
		held(terms{serverBits: 9}),
		held(terms{serverBits: 15}),
		held(terms{serverNoTakeover: true}),
		held(terms{serverNoTakeover: true, serverBits: 9}),
		held(terms{clientBits: 10}),
		held(terms{clientNoTakeover: true, clientBits: -1}),
		smallest,
		quoted,
		second,
		declined("permessage-deflate; server_max_window_bits=16"),
		declined("permessage-deflate; server_max_window_bits=7"),
		declined("permessage-deflate; server_max_window_bits"),
		declined("permessage-deflate; client_max_window_bits=0"),
		declined("permessage-deflate; server_max_window_bits=09"),
		declined("permessage-deflate; server_no_context_takeover=true"),
		declined("permessage-deflate; server_no_context_takeover; server_no_context_takeover"),
		declined("permessage-deflate; unknown_parameter"),
		declined("x-unknown-extension"),
	)

	// answered gives the client an answer that it has to refuse (section 4.1, and RFC 7692 section 7.1).
	answered := func(answer string) play {
		return play{frames: []frame{text(hello)}, extension: &negotiation{answer: answer, optional: true}}
	}
	numbered(all, "21.2",
		answered("x-unknown-extension"),
		answered("permessage-deflate; unknown_parameter"),
		answered("permessage-deflate; server_max_window_bits=16"),
		answered("permessage-deflate; server_max_window_bits=7"),
		answered("permessage-deflate; client_max_window_bits"),
		answered("permessage-deflate; client_max_window_bits=7"),
		answered("permessage-deflate; server_no_context_takeover=1"),
		answered("permessage-deflate; server_no_context_takeover; server_no_context_takeover"),
		answered("permessage-deflate, permessage-deflate"),
	)
	return all
}

func holding(t terms) func(*terms) error {
	return func(answer *terms) error {
		if answer == nil {
			return nil // declined
		}
		return answer.hold(t)
	}
}

func notAtAll(answer *terms) error {
	if answer != nil {
		return errors.New("the offer is not valid and has to be declined (RFC 7692 section 7.1)")
	}
	return nil
}

// keepWord exchanges messages that tempt the endpoint to look back further than agreed: the second repeats the first, the third repeats
// itself over a distance of 4000 octets.
func keepWord(s *session) {
	if s.ext == nil {
		plainEcho(s)
		return
	}
	p := varied(4000, false)
	for _, message := range [][]byte{p, p, append(p[:4000:4000], p...), p} {
		if _, ok := s.echoDeflated(message, false, 0); !ok {
			return
		}
	}
	s.conclude(OK, "the answer fits the offer and the messages fit the answer")
}

func plainEcho(s *session) {
	if _, ok := s.echo([]byte(hello), false, atOnce, text(hello)); ok {
		s.conclude(OK, "the offer was declined")
	}
}

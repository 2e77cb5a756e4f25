package conformance

// negotiation is what a case does with permessage-deflate in the opening handshake.
type negotiation struct {
	offers   []terms                   // what the peer offers, as a client
	raw      string                    // the header line instead of offers, for what terms cannot say
	accept   func(offer terms) *terms  // what the peer answers to an offer, as a server; nil declines it
	answer   string                    // the header line instead, whatever was offered
	optional bool                      // the case is played without the extension too
	held     func(answer *terms) error // a look at the server's answer, nil if it declined
}

// lines are the header lines of the client's offers.
func (n *negotiation) lines() []string {
	switch {
	case n == nil:
		return nil
	case n.raw != "":
		return []string{n.raw}
	}
	var lines []string
	for _, t := range n.offers {
		lines = append(lines, t.String())
	}
	return lines
}

// choose answers the client's offers: the header lines, and what they agree on.
func (n *negotiation) choose(lines []string) ([]string, *agreement) {
	switch {
	case n == nil:
		return nil, nil
	case n.answer != "":
		return []string{n.answer}, nil
	}
	offers, err := parseExtensions(lines)
	if err != nil {
		return nil, nil
	}
	for _, offer := range offers {
		if offer.name != deflateName {
			continue
		}
		t, err := parseTerms(offer.params, false)
		if err != nil {
			continue // declined (RFC 7692 section 7.1)
		}
		if answer := n.accept(t); answer != nil {
			return []string{answer.String()}, answer.agree(true)
		}
	}
	return nil, nil
}

// ask accepts an offer if the client can do what is asked of it: no context takeover, a window of so many bits (0 is not to ask).
func ask(noTakeover bool, window int) func(terms) *terms {
	return func(offer terms) *terms {
		if window > 0 && offer.clientBits == 0 {
			return nil
		}
		answer := terms{serverNoTakeover: offer.serverNoTakeover, serverBits: offer.serverBits, clientNoTakeover: noTakeover, clientBits: window}
		if offer.clientBits > 0 && window > 0 {
			answer.clientBits = min(window, offer.clientBits)
		}
		return &answer
	}
}

// eachOf tries one way to accept after the other.
func eachOf(ways ...func(terms) *terms) func(terms) *terms {
	return func(offer terms) *terms {
		for _, way := range ways {
			if answer := way(offer); answer != nil {
				return answer
			}
		}
		return nil
	}
}

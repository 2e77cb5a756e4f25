package conformance

import "fmt"

// Every group of sections 12 and 13 has these eighteen cases.
var exchanges = []struct{ size, fragment int }{
	{16, 0}, {64, 0}, {256, 0}, {1024, 0}, {4096, 0},
	{8192, 0}, {16384, 0}, {32768, 0}, {65536, 0}, {131072, 0},
	{8192, 256}, {16384, 256}, {32768, 256}, {65536, 256},
	{131072, 256}, {131072, 1024}, {131072, 4096}, {131072, 32768},
}

// offer asks the server for its parameters and allows it to ask for the client's.
func offer(noTakeover bool, window int) terms {
	return terms{serverNoTakeover: noTakeover, serverBits: window, clientNoTakeover: true, clientBits: -1}
}

// compression is sections 12 and 13: five kinds of data, and seven sets of parameters.
func compression() map[string]maker {
	all := map[string]maker{}
	group := func(prefix string, data sample, n *negotiation) {
		for i, x := range exchanges {
			all[fmt.Sprintf("%s.%d", prefix, i+1)] = func(config Config) play {
				return play{
					extension: n,
					run:       func(s *session) { s.exchange(data, x.size, x.fragment, config.Messages) },
				}
			}
		}
	}
	for i, data := range samples {
		group(fmt.Sprintf("12.%d", i+1), data, &negotiation{offers: []terms{offer(false, 0)}, accept: ask(false, 0)})
	}
	for i, n := range []*negotiation{
		{offers: []terms{offer(false, 0)}, accept: ask(false, 0)},
		{offers: []terms{offer(true, 0)}, accept: ask(true, 0)},
		{offers: []terms{offer(false, 9)}, accept: ask(false, 9)},
		{offers: []terms{offer(false, 15)}, accept: ask(false, 15)},
		{offers: []terms{offer(true, 9)}, accept: ask(true, 9)},
		{offers: []terms{offer(true, 15)}, accept: ask(true, 15)},
		{offers: []terms{offer(true, 9), offer(true, 0), offer(false, 0)}, accept: eachOf(ask(true, 9), ask(true, 0), ask(false, 0))},
	} {
		group(fmt.Sprintf("13.%d", i+1), jsonSample, n)
	}
	return all
}

// exchange sends compressed messages one at a time and compares the echoes.
func (s *session) exchange(data sample, size, fragment, count int) {
	next := slicer(data.octets(), size)
	for range count {
		p := next()
		if _, ok := s.echoDeflated(p, data.isBinary, fragment); !ok {
			return
		}
	}
	s.conclude(OK, "all %d messages were echoed in time", count)
}

// echoDeflated sends p compressed, in fragments of that size or in one frame, and compares the echo.
func (s *session) echoDeflated(p []byte, isBinary bool, fragment int) (Event, bool) {
	deflated, err := s.ext.deflate(p)
	if err != nil {
		s.conclude(Failed, "the peer cannot deflate: %v", err)
		return Event{}, false
	}
	return s.echo(p, isBinary, atOnce, fragments(opcodeFor(isBinary), 4, deflated, fragment)...)
}

func opcodeFor(isBinary bool) byte {
	if isBinary {
		return opBinary
	}
	return opText
}

//go:build unix

package interop

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/duplexkit/websocket"
)

// deflatePeer is a peer that knows permessage-deflate.
type deflatePeer struct {
	name  string
	needs []need
	limit time.Duration // of one role

	// client starts connecting to our server, once for each opening, and sends
	// back what it gets; nil: the peer is no client.
	client  func(t *testing.T, s *deflateServer, offers []opening) *child
	offers  []opening
	reports bool // in the end it does, the extensions it saw

	// server starts listening at port; nil: the peer is no server.
	server  func(t *testing.T, port string) *child
	answers []opening

	keeps bool // it takes its context over even where it has promised not to
}

// What the header field says.
const (
	pmd = "permessage-deflate"
	snt = "; server_no_context_takeover"
	cnt = "; client_no_context_takeover"
	smw = "; server_max_window_bits"
	cmw = "; client_max_window_bits"
)

type compression = websocket.Compression

var deflatePeers = []deflatePeer{
	{
		name:    "Chromium",
		needs:   needChromium,
		limit:   60 * time.Second,
		client:  echoPage,
		reports: true,
		offers: []opening{
			{ours: &compression{}, offer: pmd + cmw, answer: pmd + smw + "=12" + cmw + "=12"},
			{ours: nil, offer: pmd + cmw, answer: pmd + snt + cnt},
			{ours: &compression{ServerNoContextTakeover: true}, offer: pmd + cmw, answer: pmd + snt + smw + "=12" + cmw + "=12"},
			{ours: &compression{ClientNoContextTakeover: true}, offer: pmd + cmw, answer: pmd + cnt + smw + "=12" + cmw + "=12"},
			{ours: &compression{ServerMaxWindowBits: 15, ClientMaxWindowBits: 15}, offer: pmd + cmw, answer: pmd},
			{ours: &compression{ServerMaxWindowBits: 8, ClientMaxWindowBits: 8}, offer: pmd + cmw, answer: pmd + smw + "=8" + cmw + "=9"},
			{ours: &compression{ServerMaxWindowBits: 14, ClientMaxWindowBits: 10}, offer: pmd + cmw, answer: pmd + smw + "=14" + cmw + "=10"},
		},
	},
	{
		name:   "ws for Node",
		needs:  needNode,
		limit:  60 * time.Second,
		client: echoClient("node", "testdata/node/deflate.mjs"),
		offers: slices.Concat([]opening{
			{ours: nil, theirs: `{}`, offer: pmd + cmw, answer: pmd + snt + cnt},
			{ours: &compression{}, theirs: `{}`, offer: pmd + cmw, answer: pmd + smw + "=12" + cmw + "=12"},
			{ours: &compression{ServerNoContextTakeover: true}, theirs: `{}`, offer: pmd + cmw, answer: pmd + snt + smw + "=12" + cmw + "=12"},
			{ours: &compression{ClientNoContextTakeover: true}, theirs: `{}`, offer: pmd + cmw, answer: pmd + cnt + smw + "=12" + cmw + "=12"},
			{ours: nil, theirs: `{"clientMaxWindowBits": false}`, offer: pmd, answer: pmd + snt + cnt},
			{ours: nil, theirs: `{"serverMaxWindowBits": 10}`, offer: pmd + smw + "=10" + cmw, answer: pmd + snt + cnt + smw + "=10"},
			{ours: nil, theirs: `{"clientMaxWindowBits": 10}`, offer: pmd + cmw + "=10", answer: pmd + snt + cnt},
			{ours: &compression{}, theirs: `{"clientMaxWindowBits": false}`, offer: pmd, answer: pmd + smw + "=12"},
			{ours: &compression{}, theirs: `{"serverNoContextTakeover": true}`, offer: pmd + snt + cmw, answer: pmd + snt + smw + "=12" + cmw + "=12"},
			{ours: &compression{}, theirs: `{"clientNoContextTakeover": true}`, offer: pmd + cnt + cmw, answer: pmd + cnt + smw + "=12" + cmw + "=12"},
			{ours: &compression{}, theirs: `{"serverNoContextTakeover": true, "clientNoContextTakeover": true}`, offer: pmd + snt + cnt + cmw, answer: pmd + snt + cnt + smw + "=12" + cmw + "=12"},
			{ours: &compression{}, theirs: `{"serverMaxWindowBits": 8}`, offer: pmd + smw + "=8" + cmw, answer: pmd + smw + "=8" + cmw + "=12"},
			{ours: &compression{}, theirs: `{"serverMaxWindowBits": 9}`, offer: pmd + smw + "=9" + cmw, answer: pmd + smw + "=9" + cmw + "=12"},
			{ours: &compression{}, theirs: `{"serverMaxWindowBits": 10}`, offer: pmd + smw + "=10" + cmw, answer: pmd + smw + "=10" + cmw + "=12"},
			{ours: &compression{}, theirs: `{"serverMaxWindowBits": 15}`, offer: pmd + smw + "=15" + cmw, answer: pmd + smw + "=12" + cmw + "=12"},
			{ours: &compression{}, theirs: `{"clientMaxWindowBits": 8}`, offer: pmd + cmw + "=8", answer: pmd + smw + "=12"},
			{ours: &compression{}, theirs: `{"clientMaxWindowBits": 10}`, offer: pmd + cmw + "=10", answer: pmd + smw + "=12" + cmw + "=10"},
			{ours: &compression{}, theirs: `{"clientMaxWindowBits": 15}`, offer: pmd + cmw + "=15", answer: pmd + smw + "=12" + cmw + "=12"},
			{ours: &compression{ServerNoContextTakeover: true, ClientNoContextTakeover: true}, theirs: `{}`, offer: pmd + cmw, answer: pmd + snt + cnt + smw + "=12" + cmw + "=12"},
			{
				ours:   &compression{ServerNoContextTakeover: true, ClientNoContextTakeover: true, ServerMaxWindowBits: 10, ClientMaxWindowBits: 11},
				theirs: `{}`, offer: pmd + cmw, answer: pmd + snt + cnt + smw + "=10" + cmw + "=11",
			},
			{ours: &compression{Decline: declineAll}, theirs: `{}`, offer: pmd + cmw, answer: ""},
		}, ourWindows(`{}`), offeredWindows(`{"serverMaxWindowBits": %d, "clientMaxWindowBits": %d}`)),
		server: daemon("node", "testdata/node/server.mjs"),
		answers: slices.Concat(answers(`{}`,
			pmd+snt+cnt,
			pmd,
			pmd+snt,
			pmd+cnt,
			pmd+snt+cnt,
			pmd+smw+"=9",
			pmd+smw+"=9",
			pmd+smw+"=12",
			pmd,
			pmd+cmw+"=8",
			pmd+cmw+"=9",
			pmd+cmw+"=12",
			pmd,
			pmd+snt+cnt+smw+"=10"+cmw+"=11",
		),
			askedWindows(`{}`),
			answeredWindows(`{"serverMaxWindowBits": %d, "clientMaxWindowBits": %d}`, cmw+"=%[2]d"+smw+"=%[1]d"),
			[]opening{
				{ours: &compression{}, theirs: `{"serverNoContextTakeover": true}`, offer: pmd + cmw, answer: pmd + snt},
				{ours: &compression{}, theirs: `{"clientNoContextTakeover": true}`, offer: pmd + cmw, answer: pmd + cnt},
				{ours: &compression{}, theirs: `{"serverNoContextTakeover": true, "clientNoContextTakeover": true}`, offer: pmd + cmw, answer: pmd + snt + cnt},
				{ours: &compression{}, theirs: `{"serverMaxWindowBits": 10}`, offer: pmd + cmw, answer: pmd + smw + "=10"},
				{ours: &compression{}, theirs: `{"serverMaxWindowBits": 9}`, offer: pmd + cmw, answer: pmd + smw + "=9"},
				{ours: &compression{}, theirs: `{"serverMaxWindowBits": 8}`, offer: pmd + cmw, answer: pmd + smw + "=8"},
				{ours: &compression{}, theirs: `{"clientMaxWindowBits": 10}`, offer: pmd + cmw, answer: pmd + cmw + "=10"},
				{ours: &compression{}, theirs: `{"clientMaxWindowBits": 8}`, offer: pmd + cmw, answer: pmd + cmw + "=8"},
				{ours: nil, theirs: `{"serverMaxWindowBits": 10}`, offer: pmd + snt + cnt, answer: pmd + snt + cnt + smw + "=10"},
				{ours: nil, theirs: `{"clientMaxWindowBits": 10}`, offer: pmd + snt + cnt, fails: "400 Bad Request"},
				{ours: &compression{ServerMaxWindowBits: 9}, theirs: `{"serverMaxWindowBits": 10}`, offer: pmd + smw + "=9" + cmw, fails: "400 Bad Request"},
			}),
	},
	{
		name:   "websockets for Python",
		needs:  needPythonWebsockets,
		limit:  60 * time.Second,
		client: echoClient("/usr/bin/python3", "testdata/python/deflate.py"),
		offers: slices.Concat([]opening{
			{ours: nil, theirs: `null`, offer: pmd + cmw, answer: pmd + snt + cnt},
			{ours: &compression{}, theirs: `null`, offer: pmd + cmw, answer: pmd + smw + "=12" + cmw + "=12"},
			{ours: &compression{}, theirs: `{"client_max_window_bits": null}`, offer: pmd, answer: pmd + smw + "=12"},
			{ours: &compression{}, theirs: `{"server_no_context_takeover": true}`, offer: pmd + snt + cmw, answer: pmd + snt + smw + "=12" + cmw + "=12"},
			{ours: &compression{}, theirs: `{"client_no_context_takeover": true}`, offer: pmd + cnt + cmw, answer: pmd + cnt + smw + "=12" + cmw + "=12"},
			{ours: &compression{}, theirs: `{"server_no_context_takeover": true, "client_no_context_takeover": true}`, offer: pmd + snt + cnt + cmw, answer: pmd + snt + cnt + smw + "=12" + cmw + "=12"},
			{ours: &compression{ServerNoContextTakeover: true, ClientNoContextTakeover: true}, theirs: `null`, offer: pmd + cmw, answer: pmd + snt + cnt + smw + "=12" + cmw + "=12"},
			{ours: &compression{}, theirs: `{"server_max_window_bits": 8}`, offer: pmd + smw + "=8" + cmw, answer: pmd + smw + "=8" + cmw + "=12"},
		}, ourWindows(`null`), offeredWindows(`{"server_max_window_bits": %d, "client_max_window_bits": %d}`)),
		server: daemon("/usr/bin/python3", "testdata/python/server.py"),
		answers: slices.Concat(answers(``,
			pmd+snt+cnt+smw+"=12",
			pmd+smw+"=12"+cmw+"=12",
			pmd+snt+smw+"=12"+cmw+"=12",
			pmd+cnt+smw+"=12"+cmw+"=12",
			pmd+snt+cnt+smw+"=12"+cmw+"=12",
			pmd+smw+"=9"+cmw+"=12",
			pmd+smw+"=9"+cmw+"=12",
			pmd+smw+"=12"+cmw+"=12",
			pmd+smw+"=12"+cmw+"=12",
			pmd+smw+"=12"+cmw+"=8",
			pmd+smw+"=12"+cmw+"=9",
			pmd+smw+"=12"+cmw+"=12",
			pmd+smw+"=12"+cmw+"=12",
			pmd+snt+cnt+smw+"=10"+cmw+"=11",
		),
			askedWindows(`{}`),
			answeredWindows(`{"server_max_window_bits": %d, "client_max_window_bits": %d}`, smw+"=%d"+cmw+"=%d"),
			[]opening{
				{ours: &compression{}, theirs: `{}`, offer: pmd + cmw, answer: pmd},
				{ours: nil, theirs: `{}`, offer: pmd + snt + cnt, answer: pmd + snt + cnt},
				{ours: &compression{}, theirs: `{"server_no_context_takeover": true}`, offer: pmd + cmw, answer: pmd + snt},
				{ours: &compression{}, theirs: `{"client_no_context_takeover": true}`, offer: pmd + cmw, answer: pmd + cnt},
				{ours: &compression{}, theirs: `{"server_max_window_bits": 8}`, offer: pmd + cmw, fails: "500 Internal Server Error"},
				{ours: &compression{}, theirs: `{"client_max_window_bits": 8}`, offer: pmd + cmw, answer: pmd + cmw + "=8"},
			}),
	},
	{
		// As a client it overlooks parameters without a value, and so goes on with
		// its context after client_no_context_takeover.
		name:   "Tornado",
		needs:  []need{{"/usr/lib/python3/dist-packages/tornado/__init__.py", "apt-get install python3-tornado"}},
		limit:  60 * time.Second,
		keeps:  true,
		client: echoClient("/usr/bin/python3", "testdata/tornado/deflate.py"),
		offers: []opening{
			{ours: nil, theirs: `{}`, offer: pmd + cmw, answer: pmd + snt + cnt},
			{ours: &compression{}, theirs: `{}`, offer: pmd + cmw, answer: pmd + smw + "=12" + cmw + "=12"},
			{ours: &compression{ClientNoContextTakeover: true}, theirs: `{}`, offer: pmd + cmw, answer: pmd + cnt + smw + "=12" + cmw + "=12"},
			{ours: &compression{ServerNoContextTakeover: true}, theirs: `{}`, offer: pmd + cmw, answer: pmd + snt + smw + "=12" + cmw + "=12"},
			{ours: &compression{ServerMaxWindowBits: 9, ClientMaxWindowBits: 9}, theirs: `{}`, offer: pmd + cmw, answer: pmd + smw + "=9" + cmw + "=9"},
			{ours: &compression{ServerMaxWindowBits: 15, ClientMaxWindowBits: 15}, theirs: `{}`, offer: pmd + cmw, answer: pmd},
		},
		server: daemon("/usr/bin/python3", "testdata/tornado/server.py"),
		answers: answers(``,
			pmd,
			pmd,
			pmd,
			pmd,
			pmd,
			pmd+smw+"=9",
			pmd+smw+"=9",
			pmd+smw+"=12",
			pmd,
			pmd+cmw+"=8",
			pmd+cmw+"=9",
			pmd+cmw+"=12",
			pmd,
			pmd+cmw+"=11"+smw+"=10",
		),
	},
	{
		// It looks for the name of the extension and overlooks all parameters. As a
		// client it offers what its program says, so that anything can be tried.
		// An empty message after another is not an octet, as section 7.2.3.6 has it, but
		// no payload, marked as compressed.
		name:   "Mojolicious",
		needs:  []need{{"/usr/share/perl5/Mojolicious.pm", "apt-get install libmojolicious-perl"}},
		limit:  60 * time.Second,
		keeps:  true,
		client: echoClient("perl", "testdata/perl/deflate.pl"),
		offers: []opening{
			{ours: nil, theirs: `"permessage-deflate"`, offer: pmd, answer: pmd + snt + cnt},
			{ours: &compression{}, theirs: `"permessage-deflate"`, offer: pmd, answer: pmd + smw + "=12"},
			{ours: &compression{ClientNoContextTakeover: true}, theirs: `"permessage-deflate"`, offer: pmd, answer: pmd + cnt + smw + "=12"},
			{ours: &compression{ServerNoContextTakeover: true}, theirs: `"permessage-deflate"`, offer: pmd, answer: pmd + snt + smw + "=12"},
			{ours: &compression{}, theirs: `"permessage-deflate; client_no_context_takeover"`, offer: pmd + cnt, answer: pmd + cnt + smw + "=12"},
			{ours: &compression{}, theirs: `"x-unknown, permessage-deflate; server_max_window_bits=10"`, offer: "x-unknown, " + pmd + smw + "=10", answer: pmd + smw + "=10"},
			{ours: &compression{}, theirs: `"permessage-deflate; unknown, permessage-deflate"`, offer: pmd + "; unknown, " + pmd, answer: pmd + smw + "=12"},
			{ours: &compression{}, theirs: `"permessage-deflate; server_max_window_bits=16, permessage-deflate"`, offer: pmd + smw + "=16, " + pmd, answer: pmd + smw + "=12"},
			{ours: &compression{}, theirs: `"permessage-deflate; server_max_window_bits=\"10\""`, offer: pmd + smw + `="10"`, answer: pmd + smw + "=10"},
			{ours: &compression{}, theirs: `"permessage-deflate; server_no_context_takeover=1"`, offer: pmd + snt + "=1", answer: ""},
			{ours: &compression{}, theirs: `"x-webkit-deflate-frame"`, offer: "x-webkit-deflate-frame", answer: ""},
			{ // what Boost.Beast says
				ours:   &compression{ServerMaxWindowBits: 15, ClientMaxWindowBits: 15},
				theirs: `"permessage-deflate; server_max_window_bits=15; client_max_window_bits=15"`,
				offer:  pmd + smw + "=15" + cmw + "=15", answer: pmd + smw + "=15" + cmw + "=15",
			},
		},
		server: daemon("perl", "testdata/perl/server.pl"),
		answers: answers(``,
			pmd,
			pmd,
			pmd,
			pmd,
			pmd,
			pmd+", no server_max_window_bits, offered was 9",
			pmd+", no server_max_window_bits, offered was 9",
			pmd+", no server_max_window_bits, offered was 12",
			pmd,
			pmd,
			pmd,
			pmd,
			pmd,
			pmd+", no server_max_window_bits, offered was 10",
		),
	},
}

// ourOffers are what our client offers on various terms. Each peer's server is sent all of them.
var ourOffers = []opening{
	{ours: nil, offer: pmd + snt + cnt},
	{ours: &compression{}, offer: pmd + cmw},
	{ours: &compression{ServerNoContextTakeover: true}, offer: pmd + snt + cmw},
	{ours: &compression{ClientNoContextTakeover: true}, offer: pmd + cnt + cmw},
	{ours: &compression{ServerNoContextTakeover: true, ClientNoContextTakeover: true}, offer: pmd + snt + cnt + cmw},
	{ours: &compression{ServerMaxWindowBits: 8}, offer: pmd + smw + "=9" + cmw},
	{ours: &compression{ServerMaxWindowBits: 9}, offer: pmd + smw + "=9" + cmw},
	{ours: &compression{ServerMaxWindowBits: 12}, offer: pmd + smw + "=12" + cmw},
	{ours: &compression{ServerMaxWindowBits: 15}, offer: pmd + cmw},
	{ours: &compression{ClientMaxWindowBits: 8}, offer: pmd + cmw + "=8"},
	{ours: &compression{ClientMaxWindowBits: 9}, offer: pmd + cmw + "=9"},
	{ours: &compression{ClientMaxWindowBits: 12}, offer: pmd + cmw + "=12"},
	{ours: &compression{ClientMaxWindowBits: 15}, offer: pmd + cmw},
	{
		ours:  &compression{ServerNoContextTakeover: true, ClientNoContextTakeover: true, ServerMaxWindowBits: 10, ClientMaxWindowBits: 11},
		offer: pmd + snt + cnt + smw + "=10" + cmw + "=11",
	},
}

// answers are those to ourOffers. What our client has against one follows after a comma.
func answers(theirs string, golden ...string) []opening {
	openings := slices.Clone(ourOffers)
	for i := range openings {
		e := &openings[i]
		e.theirs = theirs
		e.answer, e.fails, _ = strings.Cut(golden[i], ", ")
	}
	return openings
}

func declineAll(*http.Request) bool { return true }

// windows are the pairs of window bits that zlib has, a small one with a large one.
func windows(each func(server, client int) opening) (openings []opening) {
	for n := 9; n <= 15; n++ {
		openings = append(openings, each(n, 24-n))
	}
	return openings
}

// ourWindows are set by our server, for a client that leaves the choice to it.
func ourWindows(theirs string) []opening {
	return windows(func(server, client int) opening {
		return opening{
			ours:   &compression{ServerMaxWindowBits: server, ClientMaxWindowBits: client},
			theirs: theirs,
			offer:  pmd + cmw,
			answer: pmd + limited(smw, server) + limited(cmw, client),
		}
	})
}

// askedWindows are set by our client, for a server that has no limits of its own.
func askedWindows(theirs string) []opening {
	return windows(func(server, client int) opening {
		e := opening{
			ours:   &compression{ServerMaxWindowBits: server, ClientMaxWindowBits: client},
			theirs: theirs,
			answer: pmd + limited(smw, server) + limited(cmw, client),
		}
		e.offer = e.answer
		if client == 15 {
			e.offer += cmw // without a value
		}
		return e
	})
}

// limited is a parameter of n bits, unless that is the largest window there is.
func limited(param string, n int) string {
	if n == 15 {
		return ""
	}
	return fmt.Sprintf("%s=%d", param, n)
}

// offeredWindows are set by the peer's client, told in the given format.
func offeredWindows(format string) []opening {
	return windows(func(server, client int) opening {
		both := fmt.Sprintf("%s%s=%d%s=%d", pmd, smw, server, cmw, client)
		return opening{
			ours:   &compression{ServerMaxWindowBits: 15, ClientMaxWindowBits: 15},
			theirs: fmt.Sprintf(format, server, client),
			offer:  both,
			answer: both,
		}
	})
}

// answeredWindows are set by the peer's server, told and saying so in the given formats.
func answeredWindows(told, says string) []opening {
	return windows(func(server, client int) opening {
		return opening{
			ours:   &compression{ServerMaxWindowBits: 15, ClientMaxWindowBits: 15},
			theirs: fmt.Sprintf(told, server, client),
			offer:  pmd + cmw,
			answer: pmd + fmt.Sprintf(says, server, client),
		}
	})
}

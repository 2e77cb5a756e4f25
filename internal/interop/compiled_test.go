//go:build unix

package interop

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// C and C++. Each peer's program is both client and server, and says in its head how it is run; for libsoup there
// are two, in Python.

var (
	needCompiler = need{"g++", "apt-get install g++"}
	needBoost    = need{"/usr/include/boost/beast.hpp", "apt-get install libboost-dev libboost-system-dev"}
)

// client runs the program as a client that goes through the cases.
func (b built) client(ctx context.Context, t *testing.T, s *echoServer, url string) report {
	return program(b.path(t), "client")(ctx, t, s, url)
}

// server runs it as an echo server.
func (b built) server(t *testing.T, port string) *child {
	return daemon(b.path(t), "server")(t, port)
}

// echoes runs it as a client that is an echo.
func (b built) echoes(t *testing.T, s *deflateServer, offers []opening) *child {
	return echoClient(b.path(t), "deflate")(t, s, offers)
}

var compiled = []row{
	{
		name:    "Boost.Beast",
		version: boostVersion,
		needs:   []need{needCompiler, needBoost},
		built:   beast,
		full:    true,
		remarks: "It never refers to earlier messages, as if it had no context takeover.",
		client:  beast.client,
		server:  beast.server,
		deflate: beastDeflate,
		limit:   limit,
		clientDiffers: differences{
			"close answer": codeAlone,
		},
		serverDiffers: differences{
			"client close": {"3001 ", "The server repeats the close code, but not the reason (RFC 6455, section 5.5.1, asks for the code only)."},
		},
	},
	{
		name:    "WebSocket++",
		version: debian("libwebsocketpp-dev"),
		needs: []need{
			needCompiler,
			{"/usr/include/websocketpp/version.hpp", "apt-get install libwebsocketpp-dev"},
			needBoost,
			{"/usr/include/zlib.h", "apt-get install zlib1g-dev"},
		},
		built:   websocketpp,
		full:    true,
		remarks: "Its server answers client_max_window_bits=9 to an offer of 8, against RFC 7692, section 7.1.2.2, and a client with ClientMaxWindowBits of 8 refuses it.",
		client:  websocketpp.client,
		server:  websocketpp.server,
		deflate: websocketppDeflate,
		limit:   limit,
	},
	{
		name:    "libwebsockets",
		version: debian("libwebsockets-dev"),
		needs:   []need{needCompiler, {"/usr/include/libwebsockets.h", "apt-get install libwebsockets-dev"}},
		built:   libwebsockets,
		full:    true,
		remarks: "With permessage-deflate, a client of this version spins for ever on a message that is not compressed, against RFC 7692, section 6.1: a server has to decline (Compression.Decline), or the client must not offer. A server of this version takes the two parameters for no context takeover for each other, so a client should not set ServerNoContextTakeover alone; and its rx_buf_size must have room for a whole message.",
		client:  libwebsockets.client,
		server:  libwebsockets.server,
		deflate: libwebsocketsDeflate,
		limit:   limit,
		clientDiffers: differences{
			"client close": {"1006", "The library does not tell a program of the close frame that answers its own, only that the connection has ended."},
		},
	},
	{
		name:    "Qt 6",
		version: debian("qt6-websockets-dev"),
		needs: []need{
			needCompiler,
			{"pkg-config", "apt-get install pkg-config"},
			{"/usr/share/doc/qt6-websockets-dev/copyright", "apt-get install qt6-websockets-dev qt6-base-dev"},
		},
		built:   qt,
		full:    true,
		remarks: "It does not know permessage-deflate. Text of more than ASCII must not be sent to it in fragments: write it as one message.",
		client:  qt.client,
		server:  qt.server,
		limit:   limit,
		clientDiffers: differences{
			"kill": {"1000", "A program is told 1000 where no close frame came, for which RFC 6455, section 7.1.5, has 1006."},
		},
		fragmentsDiffer: differences{
			"fragmented": {"close of 36 bytes: 1007 Invalid UTF-8 code encountered.", qtFragments},
			"text 1 MiB": {"close of 36 bytes: 1007 Invalid UTF-8 code encountered.", qtFragments},
		},
		serverDiffers: differences{
			"fragmented": {"websocket: close 1007 (invalid payload data): Invalid UTF-8 code encountered.", qtFragments},
		},
	},
	{
		name:    "libsoup",
		version: debian("gir1.2-soup-3.0"),
		needs: []need{
			needPython("gi/__init__.py", "python3-gi"),
			{"/usr/share/doc/gir1.2-soup-3.0/copyright", "apt-get install gir1.2-soup-3.0"},
		},
		full:    true,
		remarks: "A program must raise max-incoming-payload-size for messages of more than 128 KiB.",
		client:  pythonClient("libsoup"),
		server:  pythonServer("libsoup"),
		deflate: libsoupDeflate,
		limit:   limit,
		clientDiffers: differences{
			"fragmented": {"", "A program cannot send fragments."},
			"kill":       {"0", "A program is told 0 where no close frame came, for which RFC 6455, section 7.1.5, has 1006."},
		},
	},
}

// boostVersion is that of the headers.
func boostVersion() (string, error) {
	header, err := os.ReadFile("/usr/include/boost/version.hpp")
	if err != nil {
		return "", err
	}
	version := regexp.MustCompile(`BOOST_LIB_VERSION "([\d_]+)"`).FindSubmatch(header)
	if version == nil {
		return "", errors.New("boost/version.hpp has no version")
	}
	return strings.ReplaceAll(string(version[1]), "_", "."), nil
}

var beast = build("g++ -std=c++17 -o $program testdata/beast/beast.cpp -lpthread")

// It flushes so that nothing refers to an earlier message, and spells window bits of 15 out in an offer.
var beastDeflate = &deflatePeer{
	limit:   60 * time.Second,
	forgets: true,
	client:  beast.echoes,
	offers: slices.Concat([]opening{
		{ours: nil, theirs: `{}`, offer: pmd + smw + "=15" + cmw + "=15", answer: pmd + snt + cnt + smw + "=15"},
		{ours: &compression{}, theirs: `{}`, offer: pmd + smw + "=15" + cmw + "=15", answer: pmd + smw + "=12" + cmw + "=12"},
		{ours: &compression{ServerNoContextTakeover: true, ClientNoContextTakeover: true}, theirs: `{}`, offer: pmd + smw + "=15" + cmw + "=15", answer: pmd + snt + cnt + smw + "=12" + cmw + "=12"},
		{ours: &compression{}, theirs: `{"server_no_context_takeover": true}`, offer: pmd + smw + "=15" + cmw + "=15" + snt, answer: pmd + snt + smw + "=12" + cmw + "=12"},
		{ours: &compression{}, theirs: `{"client_no_context_takeover": true}`, offer: pmd + smw + "=15" + cmw + "=15" + cnt, answer: pmd + cnt + smw + "=12" + cmw + "=12"},
		{ours: &compression{Decline: declineAll}, theirs: `{}`, offer: pmd + smw + "=15" + cmw + "=15", answer: ""},
	}, windows(func(server, client int) opening {
		return opening{
			ours:   &compression{ServerMaxWindowBits: server, ClientMaxWindowBits: client},
			theirs: `{}`,
			offer:  pmd + smw + "=15" + cmw + "=15",
			answer: pmd + fmt.Sprintf("%s=%d%s=%d", smw, server, cmw, client),
		}
	}), offeredWindows(`{"server_max_window_bits": %d, "client_max_window_bits": %d}`)),
	server: beast.server,
	answers: slices.Concat(asAsked(`{}`),
		askedWindows(`{}`),
		windows(func(server, client int) opening {
			return opening{
				ours:   &compression{ServerMaxWindowBits: 15, ClientMaxWindowBits: 15},
				theirs: fmt.Sprintf(`{"server_max_window_bits": %d, "client_max_window_bits": %d}`, server, client),
				offer:  pmd + cmw,
				answer: pmd + limited(smw, server) + limited(cmw, client),
			}
		}),
		[]opening{
			{ours: &compression{}, theirs: ``, offer: pmd + cmw, answer: ""},
			{ours: &compression{}, theirs: `{"server_no_context_takeover": true}`, offer: pmd + cmw, answer: pmd + snt},
			{ours: &compression{}, theirs: `{"client_no_context_takeover": true}`, offer: pmd + cmw, answer: pmd + cnt},
			{ours: nil, theirs: `{"server_max_window_bits": 10}`, offer: pmd + snt + cnt, answer: pmd + snt + cnt + smw + "=10"},
			{ours: nil, theirs: `{"client_max_window_bits": 10}`, offer: pmd + snt + cnt, answer: ""},
		}),
}

var websocketpp = build("g++ -std=c++17 -o $program testdata/websocketpp/websocketpp.cpp -lz -lpthread")

// It has no window bits of 8 and answers 9, which section 7.1.2.2 forbids. A client's offer is always the same.
var websocketppDeflate = &deflatePeer{
	limit:  60 * time.Second,
	client: websocketpp.echoes,
	offers: slices.Concat([]opening{
		{ours: nil, theirs: `null`, offer: pmd + cnt + cmw, answer: pmd + snt + cnt},
		{ours: &compression{}, theirs: `null`, offer: pmd + cnt + cmw, answer: pmd + cnt + smw + "=12" + cmw + "=12"},
		{ours: &compression{ServerNoContextTakeover: true}, theirs: `null`, offer: pmd + cnt + cmw, answer: pmd + snt + cnt + smw + "=12" + cmw + "=12"},
		{ours: &compression{Decline: declineAll}, theirs: `null`, offer: pmd + cnt + cmw, answer: ""},
	}, windows(func(server, client int) opening {
		return opening{
			ours:   &compression{ServerMaxWindowBits: server, ClientMaxWindowBits: client},
			theirs: `null`,
			offer:  pmd + cnt + cmw,
			answer: pmd + cnt + limited(smw, server) + limited(cmw, client),
		}
	})),
	server: websocketpp.server,
	answers: slices.Concat(asAsked(``, map[string]string{
		pmd + cmw + "=8": pmd + cmw + "=9, client_max_window_bits=9, offered was 8",
	}), askedWindows(``)),
}

var libwebsockets = build("g++ -std=c++17 -o $program testdata/libwebsockets/libwebsockets.cpp -lwebsockets")

// Its server answers as if it had not been asked for a window. A message of no bytes after another ends it by a failed
// assertion: deflate has nothing to say then, not even the four bytes that it takes away.
// Its client would be of no use: where permessage-deflate is agreed, it never gets past a message that is not
// compressed, which section 6.1 has it expect.
var libwebsocketsDeflate = &deflatePeer{
	limit:   60 * time.Second,
	noEmpty: true,
	swaps:   true,
	server:  libwebsockets.server,
	answers: asAsked(``, map[string]string{
		pmd + smw + "=9" + cmw:  pmd + noWindow + "9",
		pmd + smw + "=12" + cmw: pmd + noWindow + "12",
		pmd + cmw + "=8":        pmd,
		pmd + cmw + "=9":        pmd,
		pmd + cmw + "=12":       pmd,
		allTerms:                pmd + snt + cnt + noWindow + "10",
	}),
}

var qt = build("g++ -std=c++17 -fPIC -o $program testdata/qt/qt.cpp $(pkg-config --cflags --libs Qt6WebSockets)")

const qtFragments = "Qt wants each fragment of a text message to be valid UTF-8 by itself. RFC 6455, section 5.6, wants this of whole messages only: fragments may divide characters."

var libsoupDeflate = &deflatePeer{
	limit:  60 * time.Second,
	client: pythonEcho("libsoup"),
	offers: slices.Concat(ourTerms(`null`, pmd+cmw), ourWindows(`null`)),
	server: pythonServer("libsoup"),
	answers: slices.Concat(asAsked(``, spelledOut, map[string]string{
		pmd + snt + cnt + cmw:   pmd + snt + cnt + cmw + "=15",
		pmd + smw + "=9" + cmw:  pmd + smw + "=9" + cmw + "=15",
		pmd + smw + "=12" + cmw: pmd + smw + "=12" + cmw + "=15",
	}), saying(askedWindows(``), func(server, client int) string {
		return limited(smw, server) + fmt.Sprintf("%s=%d", cmw, client)
	})),
}

//go:build unix

package interop

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"
)

// Python. Debian's packages go with Debian's interpreter.

const python = "/usr/bin/python3"

// needPython is a file or directory of Debian's packages for Python.
func needPython(path, install string) need {
	return need{"/usr/lib/python3/dist-packages/" + path, "apt-get install " + install}
}

var pythons = []row{
	{
		name:    "websockets for Python",
		version: debian("python3-websockets"),
		needs:   []need{needPython("websockets/__init__.py", "python3-websockets")},
		client:  pythonClient("websockets"),
		server:  pythonServer("websockets"),
		deflate: pythonWebsocketsDeflate,
		limit:   limit,
	},
	{
		name:    "Tornado",
		version: debian("python3-tornado"),
		needs:   []need{needPython("tornado/__init__.py", "python3-tornado")},
		client:  pythonClient("tornado"),
		server:  pythonServer("tornado"),
		deflate: tornadoDeflate,
		remarks: "It does not see parameters without a value, and so both its ends take their context over in spite of server_no_context_takeover and client_no_context_takeover, against RFC 7692, sections 7.1.1.1 and 7.1.1.2. We can inflate that.",
		limit:   limit,
		clientDiffers: differences{
			"fragmented":   notInAPI,
			"close answer": codeAlone,
		},
		serverDiffers: differences{
			"client close": {"3001 ", "it answers a close, as its client does, with the code alone, which RFC 6455, section 5.5.1, leaves to it"},
		},
	},
	{
		name:    "aiohttp",
		version: debian("python3-aiohttp"),
		needs:   []need{needPython("aiohttp/__init__.py", "python3-aiohttp")},
		full:    true,
		client:  pythonClient("aiohttp"),
		server:  pythonServer("aiohttp"),
		deflate: aiohttpDeflate,
		limit:   limit,
		clientDiffers: differences{
			"fragmented":   notInAPI,
			"client close": {"3001", "it tells its program the code of the server's answer, not the reason"},
			"close answer": any1000,
		},
		serverDiffers: differences{
			"client close": {"1000 ", "it answers any close, as its client does, with 1000, where an end typically echoes the code (RFC 6455, section 5.5.1)"},
		},
	},
	{
		name:    "Autobahn for Python",
		version: debian("python3-autobahn"),
		needs: []need{
			needPython("autobahn/__init__.py", "python3-autobahn"),
			needPython("twisted/__init__.py", "python3-twisted"),
		},
		full:    true,
		client:  pythonClient("autobahn"),
		server:  pythonServer("autobahn"),
		deflate: autobahnDeflate,
		remarks: "It does not have windows of 8 bits, which RFC 7692, section 7.1.2, allows: its server refuses a client that has ClientMaxWindowBits of 8, with status 400.",
		limit:   limit,
		clientDiffers: differences{
			"close answer": {"1000 ", "it answers any close with 1000, where an end typically echoes the code (RFC 6455, section 5.5.1), unless it is set up with echoCloseCodeReason"},
		},
		serverDiffers: differences{
			"client close": {"1000 ", "it answers any close, as its client does, with 1000, where an end typically echoes the code (RFC 6455, section 5.5.1), unless it is set up with echoCloseCodeReason"},
		},
	},
	{
		name:    "Hypercorn with wsproto",
		version: debian("python3-hypercorn"),
		needs: []need{
			needPython("hypercorn/__init__.py", "python3-hypercorn"),
			needPython("wsproto/__init__.py", "python3-wsproto"),
		},
		full:    true,
		server:  pythonServer("hypercorn"),
		deflate: hypercornDeflate,
		remarks: "It declines permessage-deflate to a client that has ClientMaxWindowBits of 8.",
		limit:   limit,
		serverDiffers: differences{
			"server ping": {"", "ASGI has no way to do it"},
			"kill":        {"", "ASGI has no way to do it"},
		},
	},
	{
		name:    "websocket-client",
		version: debian("python3-websocket"),
		needs:   []need{needPython("websocket/__init__.py", "python3-websocket")},
		full:    true,
		client:  pythonClient("websocket"),
		remarks: "It does not know permessage-deflate.",
		limit:   limit,
		clientDiffers: differences{
			"close answer": any1000,
		},
	},
}

// The clients share testdata/python/cases.py, of which -B keeps the interpreter from leaving a compiled copy.

func pythonClient(name string) func(context.Context, *testing.T, *echoServer, string) report {
	return program(python, "-B", "testdata/python/"+name+"_client.py")
}

func pythonEcho(name string) func(*testing.T, *deflateServer, []opening) *child {
	return echoClient(python, "-B", "testdata/python/"+name+"_client.py")
}

func pythonServer(name string) func(*testing.T, string) *child {
	return daemon(python, "testdata/python/"+name+"_server.py")
}

var pythonWebsocketsDeflate = &deflatePeer{
	limit:  60 * time.Second,
	client: pythonEcho("websockets"),
	offers: slices.Concat(ourTerms(`null`, pmd+cmw), []opening{
		{ours: &compression{}, theirs: `{"client_max_window_bits": null}`, offer: pmd, answer: pmd + smw + "=12"},
		{ours: &compression{}, theirs: `{"server_no_context_takeover": true}`, offer: pmd + snt + cmw, answer: pmd + snt + smw + "=12" + cmw + "=12"},
		{ours: &compression{}, theirs: `{"client_no_context_takeover": true}`, offer: pmd + cnt + cmw, answer: pmd + cnt + smw + "=12" + cmw + "=12"},
		{ours: &compression{}, theirs: `{"server_no_context_takeover": true, "client_no_context_takeover": true}`, offer: pmd + snt + cnt + cmw, answer: pmd + snt + cnt + smw + "=12" + cmw + "=12"},
		{ours: &compression{}, theirs: `{"server_max_window_bits": 8}`, offer: pmd + smw + "=8" + cmw, answer: pmd + smw + "=8" + cmw + "=12"},
	}, ourWindows(`null`), offeredWindows(`{"server_max_window_bits": %d, "client_max_window_bits": %d}`)),
	server: pythonServer("websockets"),
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
}

// As a client it overlooks parameters without a value, and so goes on with
// its context after client_no_context_takeover.
var tornadoDeflate = &deflatePeer{
	limit:  60 * time.Second,
	keeps:  true,
	client: pythonEcho("tornado"),
	offers: slices.Concat(ourTerms(`{}`, pmd+cmw), []opening{
		{ours: &compression{ServerMaxWindowBits: 9, ClientMaxWindowBits: 9}, theirs: `{}`, offer: pmd + cmw, answer: pmd + smw + "=9" + cmw + "=9"},
		{ours: &compression{ServerMaxWindowBits: 15, ClientMaxWindowBits: 15}, theirs: `{}`, offer: pmd + cmw, answer: pmd},
	}, ourWindows(`{}`)),
	server: pythonServer("tornado"),
	answers: slices.Concat(asAsked(``, map[string]string{
		pmd + snt + cnt:       pmd,
		pmd + snt + cmw:       pmd,
		pmd + cnt + cmw:       pmd,
		pmd + snt + cnt + cmw: pmd,
		allTerms:              pmd + cmw + "=11" + smw + "=10",
	}), saying(askedWindows(``), func(server, client int) string {
		return limited(cmw, client) + limited(smw, server)
	})),
}

// As a client it can ask the server for window bits, as a server it does what the
// client asks for, and in neither role has it wishes for the client's way.
var aiohttpDeflate = &deflatePeer{
	limit:  60 * time.Second,
	client: pythonEcho("aiohttp"),
	offers: slices.Concat(ourTerms(`15`, pmd+cmw), []opening{
		{ours: nil, theirs: `10`, offer: pmd + cmw + smw + "=10", answer: pmd + snt + cnt + smw + "=10"},
		{ours: &compression{}, theirs: `10`, offer: pmd + cmw + smw + "=10", answer: pmd + smw + "=10" + cmw + "=12"},
		{ours: &compression{}, theirs: `0`, offer: "", answer: ""},
	}, ourWindows(`15`), windows(func(server, client int) opening {
		return opening{
			ours:   &compression{ServerMaxWindowBits: 15, ClientMaxWindowBits: client},
			theirs: strconv.Itoa(server),
			offer:  pmd + cmw + limited(smw, server),
			answer: pmd + limited(smw, server) + limited(cmw, client),
		}
	})),
	server: pythonServer("aiohttp"),
	answers: slices.Concat(asAsked(``, noClientTerms, map[string]string{
		allTerms: pmd + smw + "=10" + snt,
	}), askedServerWindows(``)),
}

// noClientTerms are answers of servers that take what our client says of its own way as the hint that it is.
var noClientTerms = map[string]string{
	pmd + snt + cnt:       pmd + snt,
	pmd + cnt + cmw:       pmd,
	pmd + snt + cnt + cmw: pmd + snt,
	pmd + cmw + "=8":      pmd,
	pmd + cmw + "=9":      pmd,
	pmd + cmw + "=12":     pmd,
}

// askedServerWindows are askedWindows for such a server.
func askedServerWindows(theirs string) []opening {
	return saying(askedWindows(theirs), func(server, _ int) string { return limited(smw, server) })
}

// What a client says of its own way in an offer it takes as what may be asked of it. It
// refuses a window of 8 bits, which zlib does not have and RFC 7692, section 7.1.2.2, allows.
var autobahnDeflate = &deflatePeer{
	limit:  60 * time.Second,
	client: pythonEcho("autobahn"),
	offers: slices.Concat([]opening{
		{ours: nil, theirs: `{}`, offer: pmd + cnt + cmw, answer: pmd + snt + cnt},
		{ours: &compression{}, theirs: `{}`, offer: pmd + cnt + cmw, answer: pmd + cnt + smw + "=12" + cmw + "=12"},
		{ours: &compression{ServerNoContextTakeover: true}, theirs: `{}`, offer: pmd + cnt + cmw, answer: pmd + snt + cnt + smw + "=12" + cmw + "=12"},
		{ours: &compression{ClientNoContextTakeover: true}, theirs: `{}`, offer: pmd + cnt + cmw, answer: pmd + cnt + smw + "=12" + cmw + "=12"},
		{ours: nil, theirs: `{"accept_no_context_takeover": false}`, offer: pmd + cmw, answer: pmd + snt + cnt},
		{ours: &compression{}, theirs: `{"accept_no_context_takeover": false}`, offer: pmd + cmw, answer: pmd + smw + "=12" + cmw + "=12"},
		{ours: &compression{}, theirs: `{"accept_max_window_bits": false}`, offer: pmd + cnt, answer: pmd + cnt + smw + "=12"},
		{ours: &compression{}, theirs: `{"request_no_context_takeover": true}`, offer: pmd + cnt + cmw + snt, answer: pmd + snt + cnt + smw + "=12" + cmw + "=12"},
		{ours: &compression{}, theirs: `{"request_max_window_bits": 10}`, offer: pmd + cnt + cmw + smw + "=10", answer: pmd + cnt + smw + "=10" + cmw + "=12"},
		{ours: &compression{Decline: declineAll}, theirs: `{}`, offer: pmd + cnt + cmw, answer: ""},
	},
		ourWindows(`{"accept_no_context_takeover": false}`),
		windows(func(server, client int) opening {
			return opening{
				ours:   &compression{ServerMaxWindowBits: 15, ClientMaxWindowBits: client},
				theirs: fmt.Sprintf(`{"accept_no_context_takeover": false, "request_max_window_bits": %d}`, server),
				offer:  fmt.Sprintf("%s%s%s=%d", pmd, cmw, smw, server),
				answer: fmt.Sprintf("%s%s=%d%s", pmd, smw, server, limited(cmw, client)),
			}
		})),
	server: pythonServer("autobahn"),
	answers: slices.Concat(asAsked(`{}`, noClientTerms, map[string]string{
		pmd + cmw + "=8": ", 400 illegal extension parameter value '8'",
		allTerms:         pmd + snt + smw + "=10",
	}),
		askedServerWindows(`{}`),
		windows(func(server, client int) opening {
			return opening{
				ours:   &compression{ServerMaxWindowBits: server, ClientMaxWindowBits: 15},
				theirs: fmt.Sprintf(`{"request_max_window_bits": %d}`, client),
				offer:  pmd + limited(smw, server) + cmw,
				answer: fmt.Sprintf("%s%s%s=%d", pmd, limited(smw, server), cmw, client),
			}
		}),
		[]opening{
			{ours: nil, theirs: `{"request_no_context_takeover": true}`, offer: pmd + snt + cnt, answer: pmd + snt + cnt},
			{ours: &compression{}, theirs: `{"request_no_context_takeover": true}`, offer: pmd + cmw, answer: pmd + cnt},
			{ours: &compression{ServerNoContextTakeover: true}, theirs: `{"request_no_context_takeover": true}`, offer: pmd + snt + cmw, answer: pmd + snt + cnt},
		}),
}

// It has no terms of its own and does what the client asks for, if zlib can.
var hypercornDeflate = &deflatePeer{
	limit:  60 * time.Second,
	server: pythonServer("hypercorn"),
	answers: slices.Concat(asAsked(``, spelledOut, map[string]string{
		pmd + snt + cnt:         pmd + cnt + snt,
		pmd + snt + cnt + cmw:   pmd + cnt + snt + cmw + "=15",
		pmd + smw + "=9" + cmw:  pmd + cmw + "=15" + smw + "=9",
		pmd + smw + "=12" + cmw: pmd + cmw + "=15" + smw + "=12",
		pmd + cmw + "=8":        "",
		allTerms:                pmd + cnt + snt + cmw + "=11" + smw + "=10",
	}), saying(askedWindows(``), func(server, client int) string {
		return fmt.Sprintf("%s=%d%s", cmw, client, limited(smw, server))
	})),
}

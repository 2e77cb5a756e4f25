//go:build unix

package interop

import (
	"slices"
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
		client:  program(python, "testdata/python/client.py"),
		server:  daemon(python, "testdata/python/server.py"),
		deflate: pythonWebsocketsDeflate,
		limit:   limit,
	},
	{
		name:    "Tornado",
		version: debian("python3-tornado"),
		needs:   []need{needPython("tornado/__init__.py", "python3-tornado")},
		deflate: tornadoDeflate,
		limit:   limit,
	},
}

var pythonWebsocketsDeflate = &deflatePeer{
	limit:  60 * time.Second,
	client: echoClient(python, "testdata/python/deflate.py"),
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
	server: daemon(python, "testdata/python/server.py"),
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
	client: echoClient(python, "testdata/tornado/deflate.py"),
	offers: []opening{
		{ours: nil, theirs: `{}`, offer: pmd + cmw, answer: pmd + snt + cnt},
		{ours: &compression{}, theirs: `{}`, offer: pmd + cmw, answer: pmd + smw + "=12" + cmw + "=12"},
		{ours: &compression{ClientNoContextTakeover: true}, theirs: `{}`, offer: pmd + cmw, answer: pmd + cnt + smw + "=12" + cmw + "=12"},
		{ours: &compression{ServerNoContextTakeover: true}, theirs: `{}`, offer: pmd + cmw, answer: pmd + snt + smw + "=12" + cmw + "=12"},
		{ours: &compression{ServerMaxWindowBits: 9, ClientMaxWindowBits: 9}, theirs: `{}`, offer: pmd + cmw, answer: pmd + smw + "=9" + cmw + "=9"},
		{ours: &compression{ServerMaxWindowBits: 15, ClientMaxWindowBits: 15}, theirs: `{}`, offer: pmd + cmw, answer: pmd},
	},
	server: daemon(python, "testdata/tornado/server.py"),
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
}

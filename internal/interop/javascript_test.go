//go:build unix

package interop

import (
	"slices"
	"time"
)

// JavaScript outside of browsers.

var needNode = need{"node", "apt-get install nodejs npm"}

// needPackage is a package of the given directory in testdata.
func needPackage(dir, name string) need {
	return need{"testdata/" + dir + "/node_modules/" + name + "/package.json", "npm install --prefix internal/interop/testdata/" + dir}
}

var javascript = []row{
	{
		name:    "ws for Node",
		version: npm("node", "ws"),
		needs:   []need{needNode, needPackage("node", "ws")},
		client:  program("node", "testdata/node/client.mjs"),
		server:  daemon("node", "testdata/node/server.mjs"),
		deflate: wsDeflate,
		limit:   limit,
	},
	{
		name:          "undici",
		version:       npm("node", "undici"),
		needs:         []need{needNode, needPackage("node", "undici")},
		remarks:       "It compresses nothing that it sends.",
		client:        program("node", "testdata/node/web.mjs", "./undici.mjs"),
		clientDiffers: differences{"fragmented": notInAPI},
		deflate:       undiciDeflate,
		limit:         limit,
	},
}

var notInAPI = difference{"", "its API has no way to do it"}

var wsDeflate = &deflatePeer{
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
}

// It only inflates.
var undiciDeflate = &deflatePeer{
	limit:  60 * time.Second,
	least:  never,
	client: echoClient("node", "testdata/node/web-deflate.mjs", "./undici.mjs"),
	offers: slices.Concat([]opening{
		{ours: nil, theirs: `{}`, offer: pmd + cmw, answer: pmd + snt + cnt},
		{ours: &compression{}, theirs: `{}`, offer: pmd + cmw, answer: pmd + smw + "=12" + cmw + "=12"},
		{ours: &compression{ServerNoContextTakeover: true}, theirs: `{}`, offer: pmd + cmw, answer: pmd + snt + smw + "=12" + cmw + "=12"},
		{ours: &compression{ClientNoContextTakeover: true}, theirs: `{}`, offer: pmd + cmw, answer: pmd + cnt + smw + "=12" + cmw + "=12"},
		{ours: &compression{ServerMaxWindowBits: 8, ClientMaxWindowBits: 8}, theirs: `{}`, offer: pmd + cmw, answer: pmd + smw + "=8" + cmw + "=9"},
		{ours: &compression{Decline: declineAll}, theirs: `{}`, offer: pmd + cmw, answer: ""},
	}, ourWindows(`{}`)),
}

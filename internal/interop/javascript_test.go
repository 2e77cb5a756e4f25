//go:build unix

package interop

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"
)

// JavaScript outside of browsers.

var needNode = need{"node", "apt-get install nodejs npm"}

// needPackage is a package of the given directory in testdata.
func needPackage(dir, name string) need {
	return need{"testdata/" + dir + "/node_modules/" + name + "/package.json", "npm install --prefix internal/interop/testdata/" + dir}
}

// newNode says what is wrong if Node is older than a package demands.
func newNode(dir, name string) func() string {
	return func() string {
		p, err := os.ReadFile("testdata/" + dir + "/node_modules/" + name + "/package.json")
		if err != nil {
			return err.Error()
		}
		var manifest struct{ Engines struct{ Node string } }
		if err := json.Unmarshal(p, &manifest); err != nil {
			return err.Error()
		}
		out, err := exec.Command("node", "--version").Output()
		if err != nil {
			return "node --version: " + err.Error()
		}
		version := strings.TrimSpace(string(out))
		if slices.Compare(numbers(version), numbers(manifest.Engines.Node)) < 0 {
			return fmt.Sprintf("%s needs Node %s, but this is %s (Debian 12 has 18); newer ones are at https://nodejs.org", name, manifest.Engines.Node, version)
		}
		return ""
	}
}

// numbers are those of a version.
func numbers(version string) (parts []int) {
	for part := range strings.SplitSeq(versionNumber.FindString(version), ".") {
		n, _ := strconv.Atoi(part)
		parts = append(parts, n)
	}
	return parts
}

const (
	bun  = "testdata/node-full/node_modules/.bin/bun"
	deno = "testdata/node-full/node_modules/.bin/deno"
)

// denoRun are the arguments of env to run a program of Deno's that leaves no cache behind and looks for no newer Deno.
func denoRun(args ...string) []string {
	return append([]string{"DENO_DIR=/dev/null/none", "DENO_NO_UPDATE_CHECK=1", deno, "run", "--allow-all", "--no-config", "--no-lock"}, args...)
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
		suits:         newNode("node", "undici"),
		remarks:       "It compresses nothing that it sends. It needs Node 20.18.1 or later; Debian 12 has Node 18.",
		client:        program("node", "testdata/node/web.mjs", "./undici.mjs"),
		clientDiffers: differences{"fragmented": notInAPI, "close answer": codeAlone},
		deflate:       undiciDeflate,
		limit:         limit,
	},
	{
		name:          "Bun",
		version:       npm("node-full", "bun"),
		needs:         []need{needPackage("node-full", "bun")},
		full:          true,
		remarks:       "Its client sends messages of less than 1016 bytes uncompressed. Its server, which is uWebSockets, takes no context over and declines window bits, unless compress and decompress of perMessageDeflate are dedicated. It answers with the first subprotocol that is asked for if the program does not choose one.",
		client:        program(bun, "testdata/node/web.mjs", "../node-full/bun.mjs"),
		clientDiffers: differences{"fragmented": notInAPI},
		server:        daemon(bun, "testdata/node-full/bun-server.mjs"),
		deflate:       bunDeflate,
		limit:         limit,
	},
	{
		name:    "Deno",
		version: npm("node-full", "deno"),
		needs:   []need{needPackage("node-full", "deno")},
		full:    true,
		remarks: "Its server is fastwebsockets. Neither end knows permessage-deflate.",
		client:  program("env", denoRun("testdata/node/web.mjs", "../node-full/deno.mjs")...),
		clientDiffers: differences{
			"fragmented":  notInAPI,
			"client ping": notInAPI,
			"kill":        {"0 clean: false", "Deno says 0, in violation of RFC 6455, section 7.1.5"},
		},
		server: daemon("env", denoRun("testdata/node-full/deno-server.mjs")...),
		serverDiffers: differences{
			"server ping": notInAPI,
			"kill":        notInAPI,
		},
		limit: limit,
	},
	{
		name:          "faye-websocket for Node",
		version:       npm("node-full", "faye-websocket"),
		needs:         []need{needNode, needPackage("node-full", "faye-websocket"), needPackage("node-full", "permessage-deflate")},
		full:          true,
		remarks:       "For permessage-deflate it needs the package of that name.",
		client:        program("node", "testdata/node/web.mjs", "../node-full/faye.mjs"),
		clientDiffers: differences{"fragmented": notInAPI},
		server:        daemon("node", "testdata/node-full/faye-server.mjs"),
		deflate:       fayeDeflate,
		limit:         limit,
	},
}

var notInAPI = difference{"", "its API has no way to do it"}

var wsDeflate = &deflatePeer{
	limit:  60 * time.Second,
	client: echoClient("node", "testdata/node/deflate.mjs"),
	offers: slices.Concat(ourTerms(`{}`, pmd+cmw), []opening{
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
	}, ourWindows(`{}`), offeredWindows(`{"serverMaxWindowBits": %d, "clientMaxWindowBits": %d}`)),
	server: daemon("node", "testdata/node/server.mjs"),
	answers: slices.Concat(asAsked(`{}`),
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
	offers: slices.Concat(ourTerms(`{}`, pmd+cmw), ourWindows(`{}`)),
}

// Its client compresses no message whose frame, with header and masking key, is less than 1 KiB uncompressed. A
// server's true is for a shared compressor and decompressor, which keep no context and know the largest window only.
var bunDeflate = &deflatePeer{
	limit:  60 * time.Second,
	least:  1<<10 - 8,
	client: echoClient(bun, "testdata/node/web-deflate.mjs", "../node-full/bun.mjs"),
	offers: slices.Concat(ourTerms(`true`, pmd+cmw), []opening{
		{ours: &compression{}, theirs: `false`, offer: "", answer: ""},
	}, ourWindows(`true`)),
	server: daemon(bun, "testdata/node-full/bun-deflate.mjs"),
	answers: slices.Concat(
		always(`true`, pmd+cnt+snt, ""),
		asAsked(`{"compress": "dedicated", "decompress": "dedicated"}`, map[string]string{
			pmd + snt + cnt:       pmd + cnt + snt,
			pmd + snt + cnt + cmw: pmd + cnt + snt,
			allTerms:              "",
		}),
		saying(askedWindows(`{"compress": "dedicated", "decompress": "dedicated"}`), func(server, client int) string {
			return limited(cmw, client) + limited(smw, server)
		}),
		[]opening{
			{ours: &compression{}, theirs: `false`, offer: pmd + cmw, answer: ""},
			{ours: &compression{}, theirs: `{"compress": "dedicated", "decompress": "shared"}`, offer: pmd + cmw, answer: pmd + cnt},
			{ours: &compression{}, theirs: `{"compress": "shared", "decompress": "dedicated"}`, offer: pmd + cmw, answer: pmd + snt},
			{ours: &compression{}, theirs: `{"compress": "3KB", "decompress": "dedicated"}`, offer: pmd + cmw, answer: pmd + smw + "=9"},
			{ours: &compression{}, theirs: `{"compress": "4KB", "decompress": "dedicated"}`, offer: pmd + cmw, answer: pmd + smw + "=9"},
			{ours: &compression{}, theirs: `{"compress": "8KB", "decompress": "4KB"}`, offer: pmd + cmw, answer: pmd + cmw + "=12" + smw + "=10"},
			{ours: &compression{}, theirs: `{"compress": "16KB", "decompress": "8KB"}`, offer: pmd + cmw, answer: pmd + cmw + "=13" + smw + "=11"},
			{ours: &compression{}, theirs: `{"compress": "32KB", "decompress": "16KB"}`, offer: pmd + cmw, answer: pmd + cmw + "=14" + smw + "=12"},
			{ours: &compression{}, theirs: `{"compress": "64KB", "decompress": "32KB"}`, offer: pmd + cmw, answer: pmd + smw + "=13"},
			{ours: &compression{}, theirs: `{"compress": "128KB", "decompress": "32KB"}`, offer: pmd + cmw, answer: pmd + smw + "=14"},
			{ours: &compression{}, theirs: `{"compress": "256KB", "decompress": "32KB"}`, offer: pmd + cmw, answer: pmd},
		}),
}

var fayeDeflate = &deflatePeer{
	limit:  60 * time.Second,
	client: echoClient("node", "testdata/node/web-deflate.mjs", "../node-full/faye.mjs"),
	offers: slices.Concat(ourTerms(`{}`, pmd+cmw), []opening{
		{ours: &compression{}, theirs: `{"noContextTakeover": true}`, offer: pmd + cnt + cmw, answer: pmd + cnt + smw + "=12" + cmw + "=12"},
		{ours: &compression{}, theirs: `{"requestNoContextTakeover": true}`, offer: pmd + cmw + snt, answer: pmd + snt + smw + "=12" + cmw + "=12"},
		{ours: &compression{}, theirs: `{"noContextTakeover": true, "requestNoContextTakeover": true}`, offer: pmd + cnt + cmw + snt, answer: pmd + snt + cnt + smw + "=12" + cmw + "=12"},
		{ours: &compression{}, theirs: `{"maxWindowBits": 8}`, offer: pmd + cmw + "=8", answer: pmd + smw + "=12"},
		{ours: &compression{}, theirs: `{"requestMaxWindowBits": 8}`, offer: pmd + cmw + smw + "=8", answer: pmd + smw + "=8" + cmw + "=12"},
	}, ourWindows(`{}`), windows(func(server, client int) opening {
		e := offeredWindows(`{"requestMaxWindowBits": %d, "maxWindowBits": %d}`)[server-9]
		e.offer = fmt.Sprintf("%s%s=%d%s=%d", pmd, cmw, client, smw, server)
		return e
	})),
	server: daemon("node", "testdata/node-full/faye-server.mjs"),
	answers: slices.Concat(asAsked(`{}`),
		askedWindows(`{}`),
		[]opening{
			{ours: &compression{}, theirs: `{"noContextTakeover": true}`, offer: pmd + cmw, answer: pmd + snt},
			{ours: &compression{}, theirs: `{"requestNoContextTakeover": true}`, offer: pmd + cmw, answer: pmd + cnt},
			{ours: &compression{}, theirs: `{"noContextTakeover": true, "requestNoContextTakeover": true}`, offer: pmd + cmw, answer: pmd + snt + cnt},
			{ours: &compression{}, theirs: `{"requestMaxWindowBits": 8}`, offer: pmd + cmw, answer: pmd + cmw + "=8"},
			{ours: &compression{}, theirs: `{"requestMaxWindowBits": 10}`, offer: pmd + cmw, answer: pmd + cmw + "=10"},
			{ours: nil, theirs: `{"requestMaxWindowBits": 10}`, offer: pmd + snt + cnt, answer: pmd + snt + cnt},
			{ours: &compression{ServerMaxWindowBits: 12}, theirs: `{"maxWindowBits": 10}`, offer: pmd + smw + "=12" + cmw, answer: pmd + smw + "=10"},
		}),
}

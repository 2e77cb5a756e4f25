package main

import "fmt"

// each is one source for all libraries.
func each(s source) [5]source { return [5]source{s, s, s, s, s} }

// only is a source for ours, and the absence of what pattern describes elsewhere.
func only(s source, pattern string) [5]source {
	n := nothing{"no", pattern, false}
	return [5]source{s, n, n, n, n}
}

func kilobytes(n float64) string { return fmt.Sprintf("%.1f KB", n/1000) }

func allocations(n float64) string { return fmt.Sprintf("%.0f", n) }

const (
	idleTable  = "Idle connections, bytes of RSS for each: after a garbage collection"
	allocTable = "Ping-pong echo, connections x payload: allocations for each"
)

func idleMemory(row string) source { return measured{idleTable, row, "10000", kilobytes} }

func allocationsOf(row string) source { return measured{allocTable, row, "200x512B", allocations} }

// rows are the table's, in its order.
var rows = []row{
	// Messages.
	{
		title: "Two goroutines write at once", short: true,
		means:   "One goroutine is in the middle of writing a message when another writes one.",
		sources: each(probe(twoWriters)),
	},
	{
		title: "Reading goes on after a timeout", short: true,
		means:   "A read that waits for a message ends by a deadline, or by its context, and reading is to go on. Once a message has begun, a timeout ends our connections, too.",
		sources: each(probe(readAgain)),
	},
	{
		title: "Contexts for reads and writes",
		means: "A call that reads or writes a message takes a context.",
		sources: [5]source{
			line{"yes", "conn.go", "func (c *Conn) ReadMessageContext(ctx context.Context"},
			nothing{"no", `func \(\w+ \*?Conn\) \w+\(\w+ context\.Context`, false},
			line{"yes", "read.go", "func (c *Conn) Read(ctx context.Context)"},
			nothing{"no", `func (\(.*\) )?(Read|Write)\w*\(.*context\.Context`, false},
			nothing{"no", `context\.Context`, false},
		},
	},
	{
		title: "Messages read and written piece by piece",
		means: "A message of any size goes through without being in memory as a whole.",
		sources: [5]source{
			line{"yes", "conn.go", "func (c *Conn) NextReader()"},
			line{"yes", "conn.go", "func (c *Conn) NextReader()"},
			line{"yes", "read.go", "func (c *Conn) Reader(ctx context.Context)"},
			line{"yes", "wsutil/reader.go", "func (r *Reader) Read("},
			line{"yes", "next_reader.go", "func (c *Conn) NextReader()"},
		},
	},
	{
		title: "A handler called with each message",
		means: "Besides calls that read, the library has a loop that calls the program.",
		sources: [5]source{
			line{"yes", "serve.go", "func (c *Conn) Serve("},
			nothing{"no", `OnMessage|func \(c \*Conn\) (Serve|ReadLoop|Run)\(`, false},
			nothing{"no", `func \(c \*Conn\) (Serve|ReadLoop|Run)\(`, false},
			nothing{"no", `OnMessage|func (Serve|ReadLoop|Run)\(`, false},
			line{"yes", "types.go", "OnMessage(socket *Conn"},
		},
	},
	{
		title: "Messages of one connection handled in parallel",
		means: "An option has several handlers run at a time for one connection.",
		sources: [5]source{
			line{"no", "start.go", "one call at a time"},
			nothing{"no", `(?i)parallel`, false},
			nothing{"no", `(?i)parallel`, false},
			nothing{"no", `(?i)parallel`, false},
			line{"yes", "option.go", "ParallelEnabled bool"},
		},
	},
	{
		title: "One message of several slices",
		means: "Slices are sent as one message without being joined by the program.",
		sources: [5]source{
			nothing{"no", `Writev\(`, false},
			nothing{"no", `Writev\(`, false},
			nothing{"no", `Writev\(`, false},
			nothing{"no", `Writev\(`, false},
			line{"yes", "writer.go", "func (c *Conn) Writev(opcode Opcode"},
		},
	},
	{
		title: "Storage for a session on the connection",
		means: "A connection carries values of the program.",
		sources: [5]source{
			nothing{"no", `Session\(\)`, false},
			nothing{"no", `Session\(\)`, false},
			nothing{"no", `Session\(\)`, false},
			nothing{"no", `Session\(\)`, false},
			line{"yes", "conn.go", "func (c *Conn) Session() SessionStorage"},
		},
	},
	{
		title: "JSON",
		means: "Values are read and written as JSON.",
		sources: [5]source{
			line{"yes", "json.go", "func (c *Conn) WriteJSON("},
			line{"yes", "json.go", "func (c *Conn) WriteJSON("},
			line{"yes", "wsjson/wsjson.go", "func Write(ctx context.Context"},
			nothing{"no", `"encoding/json"`, false},
			nothing{"no", `"encoding/json"`, false},
		},
	},
	{
		title: "As a net.Conn",
		means: "Messages carry a stream of bytes, for protocols that know a net.Conn.",
		sources: [5]source{
			line{"yes", "stream.go", "func (c *Conn) Stream(messageType int) net.Conn"},
			line{"reading only", "join.go", "func JoinMessages("},
			line{"yes", "netconn.go", "func NetConn(ctx context.Context"},
			nothing{"no", `func (NetConn|\(.*\) Stream)\(`, false},
			nothing{"no", `func NetConn\(|Stream\(`, false},
		},
	},
	// Many connections.
	{
		title: "Messages prepared once for many connections",
		means: "A message is encoded once and sent to many.",
		sources: [5]source{
			line{"yes", "prepared.go", "func NewPreparedMessage("},
			line{"yes", "prepared.go", "func NewPreparedMessage("},
			nothing{"no", `(?i)prepared`, false},
			line{"yes", "frame.go", "func CompileFrame("},
			line{"yes", "writer.go", "func NewBroadcaster("},
		},
	},
	{
		title: "A broadcast that a slow peer does not hold up", short: true,
		means: "A message goes to many connections while the write to one of them is blocked.",
		sources: [5]source{
			probe(broadcasts),
			nothing{"no", `(?i)func .*broadcast`, false},
			nothing{"no", `(?i)func .*broadcast`, false},
			nothing{"no", `(?i)func .*broadcast`, false},
			probe(broadcasts),
		},
	},
	{
		title: "Limit on what waits for a slow peer",
		means: "What is broadcast to a peer that does not read is kept for it up to a limit, which is an option.",
		sources: [5]source{
			probe(bounded),
			nothing{"no queue", `(?i)queue`, false},
			nothing{"no queue", `(?i)queue`, false},
			nothing{"no queue", `(?i)queue`, false},
			probe(bounded),
		},
	},
	{
		title: "A write that never waits",
		means: "A call takes a message and returns, whether or not the network has room for it.",
		sources: [5]source{
			line{"yes", "conn.go", "func (c *Conn) TryWriteMessage("},
			nothing{"no", `func \(\w+ \*?Conn\) (Try|\w+Async)`, false},
			nothing{"no", `func \(\w+ \*?Conn\) (Try|\w+Async)`, false},
			nothing{"no", `func (Try|\w+Async\()`, false},
			line{"yes", "writer.go", "func (c *Conn) WriteAsync("},
		},
	},
	{
		title: "A call back when a queued message was written",
		means: "The program hears of each message that it did not wait for.",
		sources: [5]source{
			nothing{"no", `func \(c \*Conn\) Try\w+\(.*func\(`, false},
			nothing{"no queue", `(?i)queue`, false},
			nothing{"no queue", `(?i)queue`, false},
			nothing{"no queue", `(?i)queue`, false},
			line{"yes", "writer.go", "func (c *Conn) WriteAsync("},
		},
	},
	{
		title: "Taking leave of all connections", short: true,
		means:   "One call sends every peer a close frame and waits for the answers, when a server stops.",
		sources: only(probe(leaves), `(?i)func .*shutdown`),
	},
	{
		title:   "Goroutines of an idle connection",
		means:   "Goroutines that a server keeps for a connection that waits for a message, in the way of the library that takes fewest. On Linux, over TCP. gobwas/ws reads from a net.Conn when it is told to, so that a program with a poller of its own needs none there either.",
		sources: each(probe(idleGoroutines)),
		alone:   true,
	},
	{
		title: "Memory of an idle connection", short: true,
		means: "Growth of the server's memory for each of 10,000 idle connections after a garbage collection, stacks of goroutines included, in the way of the library that takes least. It was measured once and is not a probe; [the page](../internal/benchmarks/NETWORK.md) says on what, and has the other ways. gobwas/ws was measured with a goroutine for each connection; with a poller it takes less. A version in brackets is the one that was measured.",
		sources: [5]source{
			idleMemory("duplexkit-start"), idleMemory("gorilla-returned"), idleMemory("coder-returned"),
			idleMemory("gobwas"), idleMemory("gws"),
		},
	},
	{
		title: "Allocations to echo a message", short: true,
		means: "Allocations for a message of 512 bytes that is read and written back: ours by `Serve`, gws by its handler, the others by their call for a whole message. Our `ReadMessage` makes 1. With readers and memory of the program's own others come to less, too. Measured as the row before.",
		sources: [5]source{
			allocationsOf("duplexkit-serve"), allocationsOf("gorilla"), allocationsOf("coder"),
			allocationsOf("gobwas"), allocationsOf("gws"),
		},
	},
	// Alive and closed.
	{
		title: "Keepalive built in", short: true,
		means: "An option pings a silent peer and ends the connection of one that is gone.",
		sources: [5]source{
			probe(keepsAlive),
			nothing{"no", `(?i)keepalive|PingInterval|NewTicker`, false},
			nothing{"no", `PingInterval|NewTicker|KeepAlive`, false},
			nothing{"no", `(?i)keepalive|PingInterval|NewTicker`, false},
			nothing{"no", `(?i)keepalive|PingInterval|NewTicker`, false},
		},
	},
	{
		title: "A ping that waits for its pong",
		means: "A call returns when the peer has answered.",
		sources: [5]source{
			probe(pingWaits),
			nothing{"no", `func \(c \*?Conn\) Ping\(`, false},
			probe(pingWaits),
			nothing{"no", `func (\(.*\) )?Ping\(`, false},
			nothing{"no", `func \(c \*?Conn\) Ping\(`, false},
		},
	},
	{
		title:   "Pings answered with their payload",
		means:   "\"A Pong frame sent in response to a Ping frame must have identical Application data\" (RFC 6455, section 5.5.3), as far as the library answers by default; gws by its BuiltinEventHandler.",
		sources: each(probe(pongEchoes)),
	},
	{
		title:   "The peer's close code and reason arrive",
		means:   "The peer closes with code 4001 and a reason.",
		sources: each(probe(closeArrives)),
	},
	{
		title:   "Closing waits for the peer's answer",
		means:   "The call that takes leave returns when the closing handshake is over (RFC 6455, section 7.1.2).",
		sources: each(probe(closeWaits)),
	},
	{
		title: "How long closing waits at most",
		means: "For a peer that does not answer the close frame.",
		sources: [5]source{
			line{"5 s, or as set", "conn.go", "CloseTimeout time.Duration"},
			probe(closesAtOnce),
			line{"5 s", "close.go", "the peer to send a close frame"},
			probe(closesAtOnce),
			probe(closesAtOnce),
		},
	},
	{
		title:   "Reading on after the end",
		means:   "The program reads 1,100 times after the connection has ended.",
		sources: each(probe(readThousandTimes)),
	},
	// Safety.
	{
		title:   "Largest message by default",
		means:   "What a program accepts that sets no limit. All five have an option.",
		sources: each(probe(largest)),
	},
	{
		title: "The limit counts inflated bytes", short: true,
		means:   "A small compressed message inflates to much more than the limit allows. With gobwas/ws, whose limit counts what comes over the wire, the program inflates by itself and may stop where it likes.",
		sources: each(probe(bomb)),
	},
	{
		title:   "Text checked for UTF-8 by default",
		means:   "Text that is not UTF-8 fails the connection (RFC 6455, section 8.1). gws has an option for it, CheckUtf8Enabled.",
		sources: each(probe(utf8Checked)),
	},
	{
		title:   "Frames that break the rules refused",
		means:   "Seventeen frames that RFC 6455 forbids, sixteen of a client and one of a server, two of them with a length not in its shortest form; refused is what makes reading fail, or is answered by close code 1002 or 1007.",
		sources: each(probe(refusals)),
	},
	{
		title:   "Other origins refused by default",
		means:   "A browser lets any page open a WebSocket to any server, with the cookies of that server, unless the server looks at the Origin header.",
		sources: each(probe(foreignOrigin)),
	},
	{
		title: "Masking keys",
		means: "Where the keys of a client's frames come from (RFC 6455, section 10.3).",
		sources: [5]source{
			line{"crypto/rand", "mask.go", `"crypto/rand"`},
			line{"math/rand", "conn.go", `"math/rand"`},
			line{"crypto/rand", "write.go", `"crypto/rand"`},
			line{"math/rand", "frame.go", `"math/rand"`},
			line{"math/rand", "internal/random.go", `"math/rand"`},
		},
	},
	// Handshake.
	{
		title:   "Behind middleware",
		means:   "The ResponseWriter is wrapped, by something that has an Unwrap method for http.ResponseController.",
		sources: each(probe(behindMiddleware)),
	},
	{
		title:   "Bytes sent right behind the request",
		means:   "A client does not wait for the answer before it sends.",
		sources: each(probe(earlyBytes)),
	},
	{
		title: "Without net/http",
		means: "A server upgrades a network connection that it accepted itself.",
		sources: [5]source{
			probe(rawConn),
			nothing{"no", `func (\(.*\) )?Upgrade\w*\(.*net\.Conn`, false},
			nothing{"no", `func (\(.*\) )?(Upgrade|Accept)\w*\(.*net\.Conn`, false},
			probe(rawConn), probe(rawConn),
		},
	},
	{
		title: "Subprotocol chosen by code",
		means: "A function of the program chooses among the subprotocols that a client offers.",
		sources: [5]source{
			line{"yes", "upgrade.go", "SelectSubprotocol func("},
			line{"from a list", "server.go", "Subprotocols []string"},
			line{"from a list", "accept.go", "Subprotocols []string"},
			line{"yes", "server.go", "Protocol func(string) bool"},
			line{"from a list", "option.go", "SubProtocols []string"},
		},
	},
	{
		title:   "Dialing ends with its context",
		means:   "The context of a dial is cancelled while the client waits for the server's answer.",
		sources: each(probe(dialCancelled)),
	},
	{
		title: "Cookie jar",
		means: "The client keeps an http.CookieJar.",
		sources: [5]source{
			probe(cookies), probe(cookies), probe(cookies),
			nothing{"no", `CookieJar`, false}, nothing{"no", `CookieJar`, false},
		},
	},
	{
		title:   "Redirects followed",
		means:   "The server answers the handshake with another address.",
		sources: each(probe(redirects)),
	},
	{
		title: "Proxies",
		means: "The client reaches a wss server through a proxy.",
		sources: [5]source{
			probe(proxies), probe(proxies), probe(proxies),
			line{"by a NetDial of yours", "dialer.go", "NetDial func(ctx context.Context"},
			line{"by a Dialer of yours", "option.go", "NewDialer func() (Dialer, error)"},
		},
	},
	// Compression.
	{
		title: "Compression with context takeover", short: true,
		means:   "All five have permessage-deflate (RFC 7692). With context takeover a message refers to earlier ones, so that small ones shrink too.",
		sources: each(probe(compresses)),
	},
	{
		title:   "A client's limit on the window kept",
		means:   "A client that has little memory offers server_max_window_bits (RFC 7692, section 7.1.2.1), which a server accepts or declines.",
		sources: each(probe(windowBits)),
	},
	{
		title: "Other extensions",
		means: "The program may negotiate extensions of its own.",
		sources: [5]source{
			line{"no", "doc.go", "Other extensions are not supported"},
			line{"no", "server.go", "'Sec-WebSocket-Extensions' headers are unsupported"},
			nothing{"no", `Extensions? +(func|\[\])`, false},
			line{"yes", "server.go", "Negotiate func(httphead.Option)"},
			nothing{"no", `Extensions? +(func|\[\])`, false},
		},
	},
	{
		title: "Frames by hand", short: true,
		means: "The library reads and writes single frames for programs that have a loop of their own.",
		sources: [5]source{
			line{"headers", "frame.go", "func ParseFrameHeader("},
			nothing{"no", `func (\(.*\) )?(Read|Write|Parse)(Frame|Header)\w*\(`, false},
			nothing{"no", `func (\(.*\) )?(Read|Write|Parse)(Frame|Header)\w*\(`, false},
			line{"yes", "read.go", "func ReadFrame("},
			nothing{"no", `func (\(.*\) )?(Read|Write|Parse)(Frame|Header)\w*\(`, false},
		},
	},
	// Where it runs.
	{
		title: "HTTP/2", short: true,
		means:   "A server opens a WebSocket as a stream of an HTTP/2 connection (RFC 8441).",
		sources: each(probe(overHTTP2)),
	},
	{
		title: "HTTP/3", short: true,
		means:   "The same over HTTP/3 (RFC 9220), by quic-go. Ours needs the module `http3` beside it.",
		sources: each(probe(overHTTP3)),
	},
	{
		title: "js/wasm", short: true,
		means:   "The client runs in a browser.",
		sources: each(wasm{}),
	},
	// Confidence.
	{
		title: "Hooks for tracing and metrics",
		means: "The library tells the program of frames, messages and the end of a connection.",
		sources: [5]source{
			line{"yes", "trace.go", "type Trace struct"},
			line{"dials", "client.go", "httptrace.ContextClientTrace(ctx)"},
			line{"pings, pongs", "accept.go", "OnPongReceived func("},
			line{"handshakes", "wsutil/dialer.go", "type DebugDialer struct"},
			nothing{"no", `httptrace|Debug|(?i)\btrace`, false},
		},
	},
	{
		title: "Helpers for tests of programs",
		means: "A package for the tests of those who use the library.",
		sources: [5]source{
			line{"yes", "websockettest/server.go", "func NewServer("},
			nothing{"no", `"testing"`, false}, nothing{"no", `"testing"`, false},
			nothing{"no", `"testing"`, false}, nothing{"no", `"testing"`, false},
		},
	},
	{
		title: "Fuzz targets",
		means: "The repository has tests for go test -fuzz.",
		sources: [5]source{
			line{"yes", "conn_fuzz_test.go", "func FuzzConn("},
			nothing{"no", `^func Fuzz`, true}, nothing{"no", `^func Fuzz`, true},
			nothing{"no", `^func Fuzz`, true}, nothing{"no", `^func Fuzz`, true},
		},
	},
	{
		title: "Autobahn testsuite",
		means: "Whether the [suite](https://github.com/crossbario/autobahn-testsuite) is run for each version, as far as the repository says. All five say that they pass. Here its cases are played in CI by a peer of the repository; `autobahn/run.sh` runs the suite itself.",
		sources: [5]source{
			line{"its cases, in CI", ".ci/conformance", "-conformance.all"},
			line{"by hand", "README.md", "passes the server tests in the [Autobahn Test"},
			line{"in CI", ".github/workflows/daily.yml", "AUTOBAHN=1 make test"},
			line{"in CI", ".github/workflows/autobahn.yml", "make test autobahn"},
			line{"by hand", "README.md", "cd examples/autobahn"},
		},
	},
	{
		title: "gorilla's names", short: true,
		means:   "How many of the exported names of gorilla/websocket there are, methods and fields included: with all of them, a program written for it builds after its import path was changed. `go -C internal/apicheck run .` compares types too.",
		sources: each(gorillaNames{}),
	},
	{
		title:   "Go version needed",
		means:   "What go.mod asks for.",
		sources: each(needsGo{}),
	},
	{
		title: "Modules that come along", short: true,
		means:   "Modules besides the library's own whose packages are compiled into a program that uses it.",
		sources: each(needsModules{}),
	},
	{
		title: "Licence",
		means: "The beginning of the licence's text.",
		sources: [5]source{
			line{"MIT", "LICENSE", "MIT License"},
			line{"BSD 2-clause", "LICENSE", "Redistribution and use in source and binary forms"},
			line{"ISC", "LICENSE.txt", "Permission to use, copy, modify, and distribute this software for any"},
			line{"MIT", "LICENSE", "MIT License"},
			line{"Apache 2.0", "LICENSE", "Apache License"},
		},
	},
	{
		title:   "Latest version",
		means:   "The date of the version in this table, the newest that the Go module proxy gave out on 2026-11-26.",
		sources: each(released{}),
	},
	{
		title: "In use", short: true,
		means: "The year of the copyright in the licence, or what was found by hand, as nothing else on this page is. Of programs that many know, [Kubernetes](https://github.com/kubernetes/client-go/blob/v0.37.2/go.mod) has gorilla/websocket and [Tailscale](https://github.com/tailscale/tailscale/blob/v1.104.5/go.mod) coder/websocket.",
		sources: [5]source{
			told{"not yet", "No version has been tagged, and no program of others is known."},
			line{"since 2013", "LICENSE", "Copyright (c) 2013"},
			told{"since 2019", "`go list -m -json github.com/coder/websocket@v1.0.0` says 2019-06-01; it was nhooyr.io/websocket until 2024."},
			line{"since 2017", "LICENSE", "Copyright (c) 2017"},
			told{"since 2023 or before", "Its author [presented it](https://github.com/polaris1119/golangweekly/issues/111) on 2023-07-17."},
		},
	},
}

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
		"Two goroutines write at once", true,
		"One goroutine is in the middle of writing a message when another writes one.",
		each(probe(twoWriters)),
	},
	{
		"Reading goes on after a timeout", true,
		"A read that waits for a message ends by a deadline, or by its context, and reading is to go on. Once a message has begun, a timeout ends the connection everywhere.",
		each(probe(readAgain)),
	},
	{
		"Contexts for reads and writes", false,
		"A call that reads or writes a message takes a context.",
		[5]source{
			line{"yes", "conn.go", "func (c *Conn) ReadMessageContext(ctx context.Context"},
			nothing{"no", `func \(\w+ \*?Conn\) \w+\(\w+ context\.Context`, false},
			line{"yes", "read.go", "func (c *Conn) Read(ctx context.Context)"},
			nothing{"no", `func (\(.*\) )?(Read|Write)\w*\(.*context\.Context`, false},
			nothing{"no", `context\.Context`, false},
		},
	},
	{
		"Messages read and written piece by piece", false,
		"A message of any size goes through without being in memory as a whole.",
		[5]source{
			line{"yes", "conn.go", "func (c *Conn) NextReader()"},
			line{"yes", "conn.go", "func (c *Conn) NextReader()"},
			line{"yes", "read.go", "func (c *Conn) Reader(ctx context.Context)"},
			line{"yes", "wsutil/reader.go", "func (r *Reader) Read("},
			line{"yes", "next_reader.go", "func (c *Conn) NextReader()"},
		},
	},
	{
		"A handler called with each message", false,
		"Besides calls that read, the library has a loop that calls the program.",
		[5]source{
			line{"yes", "serve.go", "func (c *Conn) Serve("},
			nothing{"no", `func\(\w* ?\*Conn, .*\[\]byte\)|OnMessage`, false},
			nothing{"no", `func \(c \*Conn\) (Serve|ReadLoop|Run)\(`, false},
			nothing{"no", `OnMessage`, false},
			line{"yes", "types.go", "OnMessage(socket *Conn"},
		},
	},
	{
		"Messages of one connection handled in parallel", false,
		"An option has several handlers run at a time for one connection.",
		[5]source{
			nothing{"no", `(?i)parallel(enabled|golimit)`, false},
			nothing{"no", `(?i)parallel`, false},
			nothing{"no", `(?i)parallel`, false},
			nothing{"no", `(?i)parallel`, false},
			line{"yes", "option.go", "ParallelEnabled bool"},
		},
	},
	{
		"One message of several slices", false,
		"Slices are sent as one message without being joined by the program.",
		[5]source{
			nothing{"no", `func \(c \*Conn\) Writev?\(.*\[\]\[\]byte|func \(c \*Conn\) Writev\(`, false},
			nothing{"no", `Writev`, false},
			nothing{"no", `Writev`, false},
			nothing{"no", `Writev`, false},
			line{"yes", "writer.go", "func (c *Conn) Writev(opcode Opcode"},
		},
	},
	{
		"Storage for a session on the connection", false,
		"A connection carries values of the program.",
		[5]source{
			nothing{"no", `Session\(\)`, false},
			nothing{"no", `Session\(\)`, false},
			nothing{"no", `Session\(\)`, false},
			nothing{"no", `Session\(\)`, false},
			line{"yes", "conn.go", "func (c *Conn) Session() SessionStorage"},
		},
	},
	{
		"JSON", false,
		"Values are read and written as JSON.",
		[5]source{
			line{"yes", "json.go", "func (c *Conn) WriteJSON("},
			line{"yes", "json.go", "func (c *Conn) WriteJSON("},
			line{"yes", "wsjson/wsjson.go", "func Write(ctx context.Context"},
			nothing{"no", `"encoding/json"`, false},
			nothing{"no", `"encoding/json"`, false},
		},
	},
	{
		"As a net.Conn", false,
		"Messages carry a stream of bytes, for protocols that know a net.Conn.",
		[5]source{
			line{"yes", "stream.go", "func (c *Conn) Stream(messageType int) net.Conn"},
			line{"reading only", "join.go", "func JoinMessages("},
			line{"yes", "netconn.go", "func NetConn(ctx context.Context"},
			nothing{"no", `func (NetConn|\(.*\) Stream)\(`, false},
			nothing{"no", `func NetConn\(|Stream\(`, false},
		},
	},
	// Many connections.
	{
		"Messages prepared once for many connections", false,
		"A message is encoded once and sent to many.",
		[5]source{
			line{"yes", "prepared.go", "func NewPreparedMessage("},
			line{"yes", "prepared.go", "func NewPreparedMessage("},
			nothing{"no", `(?i)prepared`, false},
			line{"yes", "frame.go", "func CompileFrame("},
			line{"yes", "writer.go", "func NewBroadcaster("},
		},
	},
	{
		"A broadcast that a slow peer does not hold up", true,
		"A message goes to many connections while the write to one of them is blocked.",
		[5]source{
			probe(broadcasts),
			nothing{"no", `(?i)func .*broadcast`, false},
			nothing{"no", `(?i)func .*broadcast`, false},
			nothing{"no", `(?i)func .*broadcast`, false},
			probe(broadcasts),
		},
	},
	{
		"Limit on what waits for a slow peer", false,
		"What is broadcast to a peer that does not read is kept for it up to a limit, which is an option.",
		[5]source{
			probe(bounded),
			nothing{"no queue", `(?i)queue`, false},
			nothing{"no queue", `(?i)queue`, false},
			nothing{"no queue", `(?i)queue`, false},
			probe(bounded),
		},
	},
	{
		"A write that never waits", false,
		"A call takes a message and returns, whether or not the network has room for it.",
		[5]source{
			line{"yes", "conn.go", "func (c *Conn) TryWriteMessage("},
			nothing{"no", `func \(\w+ \*?Conn\) (Try|\w+Async)`, false},
			nothing{"no", `func \(\w+ \*?Conn\) (Try|\w+Async)`, false},
			nothing{"no", `func (Try|\w+Async\()`, false},
			line{"yes", "writer.go", "func (c *Conn) WriteAsync("},
		},
	},
	{
		"Taking leave of all connections", true,
		"One call sends every peer a close frame and waits for the answers, when a server stops.",
		only(probe(leaves), `(?i)func .*shutdown`),
	},
	{
		"Goroutines of an idle connection", true,
		"Goroutines that a server keeps for a connection that waits for a message, in the way of the library that takes fewest. On Linux, over TCP. gobwas/ws reads from a net.Conn when it is told to, so that a program with a poller of its own needs none there either.",
		each(probe(idleGoroutines)),
	},
	{
		"Memory of an idle connection", true,
		"Growth of the server's memory for each of 10,000 idle connections after a garbage collection, stacks of goroutines included, in the way of the library that takes least. It was measured once and is not a probe; [the page](../internal/benchmarks/NETWORK.md) says on what, and has the other ways. A version in brackets is the one that was measured.",
		[5]source{
			idleMemory("duplexkit-start"), idleMemory("gorilla-returned"), idleMemory("coder-returned"),
			idleMemory("gobwas"), idleMemory("gws"),
		},
	},
	{
		"Allocations to echo a message", true,
		"Allocations for a message of 512 bytes that is read and written back: ours by `Serve`, gws by its handler, the others by their call for a whole message. Our `ReadMessage` makes 1. With readers and memory of the program's own others come to less, too. Measured as the row before.",
		[5]source{
			allocationsOf("duplexkit-serve"), allocationsOf("gorilla"), allocationsOf("coder"),
			allocationsOf("gobwas"), allocationsOf("gws"),
		},
	},
	// Alive and closed.
	{
		"Keepalive built in", true,
		"An option pings a silent peer and ends the connection of one that is gone.",
		[5]source{
			probe(keepsAlive),
			nothing{"no", `(?i)keepalive|PingInterval|NewTicker`, false},
			nothing{"no", `PingInterval|NewTicker|KeepAlive`, false},
			nothing{"no", `(?i)keepalive|PingInterval|NewTicker`, false},
			nothing{"no", `(?i)keepalive|PingInterval|NewTicker`, false},
		},
	},
	{
		"A ping that waits for its pong", false,
		"A call returns when the peer has answered.",
		[5]source{
			probe(pingWaits),
			nothing{"no", `func \(c \*?Conn\) Ping\(`, false},
			probe(pingWaits),
			nothing{"no", `func (\(.*\) )?Ping\(`, false},
			nothing{"no", `func \(c \*?Conn\) Ping\(`, false},
		},
	},
	{
		"Pings answered with their payload", false,
		"\"A Pong frame sent in response to a Ping frame must have identical Application data\" (RFC 6455, section 5.5.3), as far as the library answers by default; gws by its BuiltinEventHandler.",
		each(probe(pongEchoes)),
	},
	{
		"The peer's close code and reason arrive", false,
		"The peer closes with code 4001 and a reason.",
		each(probe(closeArrives)),
	},
	{
		"Closing waits for the peer's answer", true,
		"The call that takes leave returns when the closing handshake is over (RFC 6455, section 7.1.2).",
		each(probe(closeWaits)),
	},
	{
		"How long closing waits at most", false,
		"For a peer that does not answer the close frame.",
		[5]source{
			line{"5 s, or as set", "conn.go", "CloseTimeout time.Duration"},
			line{"does not wait", "conn.go", "func (c *Conn) WriteControl("},
			line{"5 s", "close.go", "the peer to send a close frame"},
			line{"does not wait", "wsutil/helper.go", "func WriteMessage("},
			line{"does not wait", "conn.go", "func (c *Conn) emitClose("},
		},
	},
	{
		"Reading on after the end", false,
		"The program reads 1,100 times after the connection has ended.",
		each(probe(readThousandTimes)),
	},
	// Safety.
	{
		"Largest message by default", true,
		"What a program accepts that sets no limit. All five have an option.",
		[5]source{
			probe(largest(32<<20, "32 MiB")), probe(largest(0, "")), probe(largest(32<<10, "32 KiB")),
			probe(largest(0, "")), probe(largest(16<<20, "16 MiB")),
		},
	},
	{
		"The limit counts inflated bytes", true,
		"A small compressed message inflates to much more than the limit allows. With gobwas/ws, whose limit counts what comes over the wire, the program inflates by itself and may stop where it likes.",
		each(probe(bomb)),
	},
	{
		"Text checked for UTF-8 by default", false,
		"Text that is not UTF-8 fails the connection (RFC 6455, section 8.1). gws has an option for it, CheckUtf8Enabled.",
		each(probe(utf8Checked)),
	},
	{
		"Frames that break the rules refused", false,
		"Seventeen frames that RFC 6455 forbids, sixteen of a client and one of a server; refused is what makes reading fail, or is answered by close code 1002 or 1007.",
		each(probe(refusals)),
	},
	{
		"Other origins refused by default", true,
		"A browser lets any page open a WebSocket to any server, with the cookies of that server, unless the server looks at the Origin header.",
		each(probe(foreignOrigin)),
	},
	{
		"Masking keys", false,
		"Where the keys of a client's frames come from (RFC 6455, section 10.3).",
		[5]source{
			line{"crypto/rand", "mask.go", `"crypto/rand"`},
			line{"math/rand", "conn.go", `"math/rand"`},
			line{"crypto/rand", "write.go", `"crypto/rand"`},
			line{"math/rand", "frame.go", `"math/rand"`},
			line{"math/rand", "internal/random.go", `"math/rand"`},
		},
	},
	// Handshake.
	{
		"Behind middleware", false,
		"The ResponseWriter is wrapped, by something that has an Unwrap method for http.ResponseController.",
		each(probe(behindMiddleware)),
	},
	{
		"Bytes sent right behind the request", false,
		"A client does not wait for the answer before it sends.",
		each(probe(earlyBytes)),
	},
	{
		"Without net/http", false,
		"A server upgrades a network connection that it accepted itself.",
		[5]source{
			probe(rawConn),
			nothing{"no", `func (\(.*\) )?Upgrade\w*\(.*net\.Conn`, false},
			nothing{"no", `func (\(.*\) )?(Upgrade|Accept)\w*\(.*net\.Conn`, false},
			probe(rawConn), probe(rawConn),
		},
	},
	{
		"Subprotocol chosen by code", false,
		"A function of the program chooses among the subprotocols that a client offers.",
		[5]source{
			line{"yes", "upgrade.go", "SelectSubprotocol func("},
			line{"from a list", "server.go", "Subprotocols []string"},
			line{"from a list", "accept.go", "Subprotocols []string"},
			line{"yes", "server.go", "Protocol func(string) bool"},
			line{"from a list", "option.go", "SubProtocols []string"},
		},
	},
	{
		"Dialing ends with its context", false,
		"The context of a dial is cancelled while the client waits for the server's answer.",
		each(probe(dialCancelled)),
	},
	{
		"Cookie jar", false,
		"The client keeps an http.CookieJar.",
		[5]source{
			probe(cookies), probe(cookies), probe(cookies),
			nothing{"no", `CookieJar`, false}, nothing{"no", `CookieJar`, false},
		},
	},
	{
		"Redirects followed", false,
		"The server answers the handshake with another address.",
		each(probe(redirects)),
	},
	{
		"Proxies", true,
		"The client reaches a wss server through a proxy.",
		[5]source{
			probe(proxies), probe(proxies), probe(proxies),
			line{"by a NetDial of yours", "dialer.go", "NetDial func(ctx context.Context"},
			line{"by a Dialer of yours", "option.go", "NewDialer func() (Dialer, error)"},
		},
	},
	// Compression.
	{
		"permessage-deflate", true,
		"A server compresses. With context takeover a message refers to earlier ones, so that small ones shrink too.",
		each(probe(compresses)),
	},
	{
		"A client's limit on the window kept", false,
		"A client that has little memory offers server_max_window_bits (RFC 7692, section 7.1.2.1), which a server accepts or declines.",
		each(probe(windowBits)),
	},
	{
		"Other extensions", false,
		"The program may negotiate extensions of its own.",
		[5]source{
			line{"no", "README.md", "Extensions other than permessage-deflate will not be supported"},
			line{"no", "server.go", "'Sec-WebSocket-Extensions' headers are unsupported"},
			nothing{"no", `Extensions? +(func|\[\])`, false},
			line{"yes", "server.go", "Negotiate func(httphead.Option)"},
			nothing{"no", `Extensions? +(func|\[\])`, false},
		},
	},
	{
		"Frames by hand", false,
		"The library reads and writes single frames for programs that have a loop of their own.",
		[5]source{
			line{"headers", "frame.go", "func ParseFrameHeader("},
			nothing{"no", `func (\(.*\) )?(Read|Write|Parse)(Frame|Header)\w*\(`, false},
			nothing{"no", `func (\(.*\) )?(Read|Write|Parse)(Frame|Header)\w*\(`, false},
			line{"yes", "read.go", "func ReadFrame("},
			nothing{"no", `func (\(.*\) )?(Read|Write|Parse)(Frame|Header)\w*\(`, false},
		},
	},
	// Where it runs.
	{
		"HTTP/2", true,
		"A server opens a WebSocket as a stream of an HTTP/2 connection (RFC 8441).",
		each(probe(overHTTP2)),
	},
	{
		"HTTP/3", true,
		"The same over HTTP/3 (RFC 9220), by quic-go. Ours needs the module `http3` beside it.",
		each(probe(overHTTP3)),
	},
	{
		"js/wasm", true,
		"The client runs in a browser.",
		each(wasm{}),
	},
	// Confidence.
	{
		"Hooks for tracing and metrics", false,
		"The library tells the program of frames, messages and the end of a connection.",
		[5]source{
			line{"yes", "trace.go", "type Trace struct"},
			line{"dials", "client.go", "httptrace.ContextClientTrace(ctx)"},
			line{"pings, pongs", "accept.go", "OnPongReceived func("},
			line{"handshakes", "wsutil/dialer.go", "type DebugDialer struct"},
			nothing{"no", `httptrace|Debug|(?i)\btrace`, false},
		},
	},
	{
		"Helpers for tests of programs", false,
		"A package for the tests of those who use the library.",
		[5]source{
			line{"yes", "websockettest/server.go", "func NewServer("},
			nothing{"no", `"testing"`, false}, nothing{"no", `"testing"`, false},
			nothing{"no", `"testing"`, false}, nothing{"no", `"testing"`, false},
		},
	},
	{
		"Fuzz targets", false,
		"The repository has tests for go test -fuzz.",
		[5]source{
			line{"yes", "conn_fuzz_test.go", "func FuzzConn("},
			nothing{"no", `^func Fuzz`, true}, nothing{"no", `^func Fuzz`, true},
			nothing{"no", `^func Fuzz`, true}, nothing{"no", `^func Fuzz`, true},
		},
	},
	{
		"Autobahn testsuite", false,
		"What the repository says of the [suite](https://github.com/crossbario/autobahn-testsuite).",
		[5]source{
			line{"results by section", "README.md", "| 12 | compression, five kinds of data |"},
			line{"passes, as a server", "README.md", "passes the server tests in the [Autobahn Test"},
			line{"passes", "README.md", "autobahn-testsuite](https://github.com/crossbario/autobahn-testsuite)"},
			line{"passes", "README.md", "passes [Autobahn Test"},
			line{"passes", "README.md", "passing all Autobahn test cases"},
		},
	},
	{
		"gorilla's names", true,
		"A program written for gorilla/websocket builds after its import path was changed. `go -C internal/apicheck run .` compares.",
		[5]source{
			line{"yes", "internal/apicheck/main.go", "gorilla/websocket"},
			line{"its own", "server.go", "func (u *Upgrader) Upgrade("},
			line{"no", "accept.go", "func Accept("},
			line{"no", "server.go", "func (u Upgrader) Upgrade("},
			line{"no", "upgrader.go", "func NewUpgrader("},
		},
	},
	{
		"Go version needed", false,
		"What go.mod asks for.",
		each(needsGo{}),
	},
	{
		"Modules that come along", true,
		"Modules besides the library's own whose packages are compiled into a program that uses it.",
		each(needsModules{}),
	},
	{
		"Licence", false,
		"",
		[5]source{
			line{"MIT", "LICENSE", "MIT License"},
			line{"BSD 2-clause", "LICENSE", "Redistribution and use in source and binary forms"},
			line{"ISC", "LICENSE.txt", "Permission to use, copy, modify, and distribute this software for any"},
			line{"MIT", "LICENSE", "MIT License"},
			line{"Apache 2.0", "LICENSE", "Apache License"},
		},
	},
	{
		"Latest version", false,
		"The date of the version in this table, which was the newest on 2026-11-26.",
		each(released{}),
	},
	{
		"In use since", true,
		"The year of the first tagged version, as far as the Go module proxy has it, or of the copyright in the licence.",
		[5]source{
			told{"not yet", "No version has been tagged, and no program of others is known."},
			line{"2013", "LICENSE", "Copyright (c) 2013"},
			told{"2019", "`go list -m -json github.com/coder/websocket@v1.0.0`: 2019-06-01, as nhooyr.io/websocket."},
			line{"2017", "LICENSE", "Copyright (c) 2017"},
			told{"2023 or before", "`go list -m -json`."},
		},
	},
	{
		"Known to use it", true,
		"A program that many know and whose go.mod names the library.",
		[5]source{
			told{"nobody yet", "No program of others is known."},
			told{"Kubernetes", "[k8s.io/client-go v0.37.2](https://github.com/kubernetes/client-go/blob/v0.37.2/go.mod), of 2026-10-28."},
			told{"Tailscale", "[tailscale.com v1.104.5](https://github.com/tailscale/tailscale/blob/v1.104.5/go.mod), of 2026-11-02."},
			told{"", ""},
			told{"", ""},
		},
	},
}

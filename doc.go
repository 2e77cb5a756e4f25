// Package websocket implements the WebSocket protocol, RFC 6455, for servers and
// clients.
//
// It has the vocabulary of github.com/gorilla/websocket: a program written for
// that package builds after its import path is changed. See "Coming from
// gorilla/websocket" below for what behaves differently.
//
// # Overview
//
// A Conn is a WebSocket connection. A server gets one from an Upgrader:
//
//	var upgrader websocket.Upgrader
//
//	func echo(c *websocket.Conn, r *http.Request) error {
//		return c.Serve(r.Context(), func(m websocket.Message) error {
//			return c.WriteMessage(m.Type, m.Data)
//		})
//	}
//
//	http.Handle("/echo", upgrader.Handler(echo))
//
// A client gets one from a Dialer:
//
//	c, _, err := websocket.DefaultDialer.DialContext(ctx, "wss://example.com/echo", nil)
//	if err != nil {
//		return err
//	}
//	defer c.Close()
//
// Both are configured by struct literals whose zero value works and is safe. What
// they share stands in Options:
//
//	upgrader := websocket.Upgrader{Options: websocket.Options{ReadLimit: 1 << 20}}
//
// # Terminology
//
// The words are those of RFC 6455. A frame is a header and a payload. A message
// is made of one frame, or of several fragments of which all but the first are
// continuations. Text and binary frames carry messages; close, ping and pong are
// control frames, which may stand between the fragments of a message. The peer
// is the other end.
//
// # Reading
//
// ReadMessage reads a message as a whole, and ReadMessageContext into memory of
// the caller's. Messages is an iterator over them, and Serve a loop that calls a
// handler and takes leave of the peer at the end. NextReader reads a message of
// any size piece by piece. One of them has to run for the control frames of the
// peer to be seen and answered.
//
// A read deadline that passes, or a context that ends, while a connection waits
// for a message costs nothing: reading may go on afterwards. Within a message the
// connection fails. All other errors are final, and later reads return them again.
// A loop that goes on after a timeout asks Context whether the connection has
// failed:
//
//	_, p, err := c.ReadMessage()
//	if errors.Is(err, os.ErrDeadlineExceeded) && c.Context().Err() == nil {
//		// Nothing has come so far. Set another deadline and read on.
//	}
//
// Messages that are read as a whole are limited to DefaultReadLimit bytes, unless
// Options.ReadLimit or SetReadLimit says otherwise. A larger one fails the
// connection with close code 1009 and ErrReadLimit.
//
// # Writing
//
// WriteMessage sends a message as one frame; WriteMessageContext does so with a
// context. NextWriter sends one piece by piece, in fragments. WritePreparedMessage
// sends one that was encoded before to many connections, and WriteJSON a value.
//
// SetWriteDeadline or Options.WriteTimeout bound how long a peer that does not
// read can hold a writer up. TryWriteMessage never waits: what the network does not
// take at once is queued, up to Options.WriteQueue bytes.
//
// A message goes out at once, with two exceptions. While another goroutine is in
// the middle of a write, a message of less than 16 KiB is left to that goroutine,
// which sends all that has come together; up to 64 KiB wait so, and then writers
// wait. And while Serve or Start have another message at hand, they hold back small
// ones, 16 KiB at most and for about 100 µs, so that the answers to many messages go
// out together; if the handler takes its time, they go out after 1 ms. In both cases
// WriteMessage returns nil before the network has the message, and an error of the
// network comes back from the next write, from Flush, or from Close. Flush waits
// until all is sent.
//
// # Broadcasting
//
// A Group is a set of connections. Broadcast sends a PreparedMessage to all of them
// without waiting for any, and Shutdown takes leave of all of them when a server
// stops:
//
//	var room websocket.Group
//
//	upgrader := websocket.Upgrader{Options: websocket.Options{Group: &room}}
//
//	pm, err := websocket.NewPreparedMessage(websocket.TextMessage, news)
//	if err != nil {
//		return err
//	}
//	room.Broadcast(pm)
//
// A connection joins when it opens and leaves by itself when it ends. A peer that
// reads too slowly misses messages when Options.WriteQueue bytes wait for it, or is
// sent away, as Options.SlowConsumer says. Stats tells how many it missed.
//
// # Many idle connections
//
// Start is Serve for servers with a great many connections of which few are active
// at any time. It returns at once. While a connection waits for its next message it
// is parked, on Linux and over plain TCP or Unix sockets: then it has no goroutine,
// no stack and no buffer. A message wakes it, and a goroutine reads it and runs the
// handler; for a peer that sends half a frame that goroutine waits.
//
//	http.Handle("/echo", upgrader.Handler(func(c *websocket.Conn, r *http.Request) error {
//		c.Start(func(m websocket.Message) error {
//			return c.WriteMessage(m.Type, m.Data)
//		}, func(err error) {
//			// The connection has ended.
//		})
//		return nil // which leaves the connection open, and lets go of what the HTTP server holds
//	}))
//
// All else is as with Serve: one message at a time and in order, deadlines,
// keepalive, Shutdown and Close.
//
// # Concurrency
//
// Every method may be called concurrently. Messages of several goroutines do not
// interleave: they go out in the order in which writers came, and control frames may
// go between the fragments of a message. Readers take turns too. Handlers of
// control frames run on the goroutine that reads and must not read themselves.
//
// The exception is NextWriter: a connection has one message at a time that is
// written piece by piece, and beginning another ends it where it stands.
// Goroutines that write to one connection use WriteMessage, or agree on who may
// have a NextWriter.
//
// # Control frames
//
// While somebody reads, a ping is answered with a pong and a close frame with a
// close frame of the same code and reason. SetPingHandler, SetPongHandler and
// SetCloseHandler put something else in the place of that. Ping measures the
// round trip. Options.PingInterval and Options.PingTimeout keep a silent
// connection alive and notice a peer that is gone.
//
// # Closing
//
// Shutdown performs the closing handshake and Close drops the connection. The
// states that the WebSocket of browsers knows are these:
//
//	CONNECTING  while Dial, or Upgrade, has not returned
//	OPEN        there is a Conn
//	CLOSING     after WriteControl with a close frame, or during Shutdown: writes return ErrCloseSent
//	CLOSED      reads return a *CloseError, and Context is done
//
// A server that stops calls http.Server.Shutdown, which knows nothing of connections
// that were upgraded from HTTP/1.1, and beside it Group.Shutdown. The request's context, which Serve is
// mostly given, ends at neither, but with that of http.Server.BaseContext: then Serve
// takes leave with 1001.
//
// Reads end with a *CloseError when the peer closed the connection. Its code is
// 1006 if the network connection ended without a close frame. They end with a
// *ProtocolError when the peer broke the protocol, and was told so. The errors of
// the network are passed on: errors.Is finds net.ErrClosed and
// os.ErrDeadlineExceeded in them.
//
// # Watching
//
// Stats tells what a connection has carried, and Context's cause why it ended. A Trace
// in Options is told while it happens: opening handshakes, frames, messages with their
// sizes before and after compression and their time in a queue, round trips, and who
// ended the connection, and it tells nothing of what messages say. But mind what else goes
// into a log: a handshake's Request has cookies, credentials and the URL, and the reason of
// a close frame is the peer's text.
//
//	upgrader := websocket.Upgrader{Options: websocket.Options{Trace: &websocket.Trace{
//		Closed: func(c *websocket.Conn, e websocket.CloseInfo) {
//			slog.Info("closed", "peer", c.RemoteAddr(), "by", e.By, "code", e.Code, "cause", e.Cause)
//		},
//	}}}
//
// # Testing
//
// The package websockettest beside this one helps to test programs: a server for a handler,
// connected pairs in memory that work within testing/synctest, scripted peers that send
// frames right or wrong, and network connections that fail at a byte.
//
// # Origins
//
// Browsers let any page open a WebSocket to any server, with the cookies of that
// server. An Upgrader therefore refuses a request whose Origin header names
// another host than its own, unless Upgrader.AllowedOrigins or
// Upgrader.CheckOrigin admits it. Requests without the header do not come from a
// browser and are not refused. Upgrader.AllowedHosts is a defence against DNS
// rebinding.
//
// # Compression
//
// Messages are compressed by permessage-deflate (RFC 7692) if both ends want it.
// Options.Compression turns it on:
//
//	upgrader := websocket.Upgrader{Options: websocket.Options{Compression: &websocket.Compression{}}}
//
// Each direction then takes its context over from one message to the next, so that
// small messages which resemble each other shrink to about half. The price is
// memory: three times the window for writing, 12 KiB by default, and for reading
// the peer's window. It is allocated at the first compressed message; what is kept
// for writing goes after a minute or two without one. EnableCompression alone does
// what it does in gorilla/websocket: no context is taken over and no memory is kept
// for writing. Messages below 256 bytes are not compressed then. For reading, up to
// 32 KiB are kept of what a peer has sent that promised to take no context over,
// since some do it nevertheless; they go when it has been true to its word for
// eight messages and quiet for a minute or two.
//
// A message that does not shrink is sent as it is. EnableWriteCompression and
// SetCompressionLevel change what is done from the next message on. ReadLimit
// counts the bytes that a message inflates to, and they are counted before they are
// there. Compressing secrets together with what an attacker may choose gives hints
// about the secrets (CRIME, BREACH): turn compression off for such messages, or for
// such connections where other goroutines write too.
//
// Other extensions are not supported.
//
// # HTTP/2 and HTTP/3
//
// A WebSocket may be a stream of an HTTP/2 or HTTP/3 connection beside others, opened by an
// extended CONNECT request (RFC 8441, RFC 9220). A further one then costs a round trip and
// no TCP and TLS handshakes. Servers of net/http do that when the program imports
//
//	import _ "github.com/duplexkit/websocket/http2"
//
// and clients with
//
//	dialer := websocket.Dialer{Transport: new(http2.Transport)}
//
// which goes on with HTTP/1.1 where the server can't do it. Without these, all is
// HTTP/1.1: browsers use that for WebSockets to a server that does not say more. For HTTP/3
// there is the module github.com/duplexkit/websocket/http3.
//
// An Upgrader needs no change, but for three things. Middleware that wraps the
// http.ResponseWriter must have an Unwrap method, and must not limit the request's body.
// The request's method is CONNECT, so a pattern for http.ServeMux must not say GET:
// "/chat", not "GET /chat". And the stream ends when the HTTP handler returns.
// Upgrader.Handler sees to that: it returns when the connection is closed, also after
// Start. A handler that calls Upgrade itself waits for the connection before it returns, in
// the end by
//
//	<-c.Context().Done()
//
// which comes only while somebody reads, or with Options.PingInterval. If the handler returns
// earlier, the peer sees the connection break off, reads and writes fail, and a write at
// that very moment races with net/http.
//
// What else is different there: http.Server.Shutdown takes leave of these connections,
// with 1001 and no reason, and waits for them; a Group's Shutdown that is to say more
// goes before it. Start keeps a goroutine for each connection. Set a deadline before the
// read that it is for begins: one that is set while a read without any is waiting ends
// the connection when it expires, and so does a write deadline that finds a write in
// progress. A read that waits returns up to a second after Close if there is still
// something to send.
//
// NetConn is the stream, with the addresses of the connection that it is a part of, and
// not a TCP or TLS connection: what the TLS handshake agreed on stands in the request's
// TLS field. The request's ProtoMajor says what carries a WebSocket; its Proto is
// "HTTP/2.0" over HTTP/2, and "websocket" over HTTP/3.
//
// When the peer breaks off, the request's context ends as well, and a Serve that was
// given it may return context.Canceled. When Serve has returned, the Context of a
// server's connection takes a moment to end, and tells why only then:
//
//	err := c.Serve(r.Context(), handle)
//	<-c.Context().Done()
//	log.Print(err, ": ", context.Cause(c.Context()))
//
// # In browsers
//
// Built for js/wasm, Dial uses the WebSocket object of the host: a browser, a worker, Node
// from version 22 on. A Conn is what it is elsewhere, but for what that object can't do:
//
//   - Dial returns an error that names the option and matches errors.ErrUnsupported for header
//     fields other than Sec-WebSocket-Protocol, NetDial and its kin, TLSClientConfig, Jar,
//     Transport, CheckRedirect, a Proxy that names one, ProxyHeader, ProxyTLSClientConfig,
//     PingInterval, AllowInvalidUTF8, and the terms of Compression. Whether messages are
//     compressed is up to the host. Sizes of buffers are hints.
//   - Why a Dial failed browsers do not tell: there is no response, and no ErrBadHandshake.
//     After success the response has what is known: subprotocol and extensions.
//   - The host answers pings and close frames by itself. Ping, and writing a ping or pong,
//     match errors.ErrUnsupported; ping and pong handlers are never called; a close handler
//     is called, and what it sends has no effect. Fragments are not seen, and those of a
//     NextWriter are gathered and sent as one.
//   - Programs may close with 1000 and 3000 to 4999. Other codes, and a reason that is not
//     UTF-8, are an error of WriteControl, unless the peer has closed. Shutdown closes without
//     a code then, and returns an error; so do Serve, a read limit, and a Group's Broadcast
//     and Shutdown (whose own code is 1001), without an error for that: the peer sees 1005.
//   - Messages that come after Shutdown has begun are discarded by the host. Close has it
//     send what it was given.
//   - A peer that breaks the protocol gives a *CloseError with 1006, not a *ProtocolError,
//     unless the host overlooks it.
//   - The host reads on whether or not the program does, and keeps what was not read: memory
//     has no bound but the peer's moderation. A message over the limit fails when it is read.
//     Writes wait while the host has 1 MiB that it has not sent (bufferedAmount).
//   - Text that is not UTF-8 is an error of the write, for a NextWriter of its Close, and is
//     not sent.
//   - Stats does not know WireRead and WireWritten; a Trace sees messages as frames.
//
// A function that JavaScript calls must not block: use TryWriteMessage there, or a goroutine.
// Upgrader is here too, for code that is shared; nothing listens in a browser.
//
// # Coming from gorilla/websocket
//
// Every exported identifier of its version 1.5.3 is here. What is different:
//
//   - Concurrent writes take turns instead of a panic, and the thousandth read of
//     a failed connection returns its error instead of a panic.
//   - A read that timed out before a message began may be repeated.
//   - There is a default limit for messages read as a whole, and default timeouts
//     for handshakes.
//   - Text has to be UTF-8 (Options.AllowInvalidUTF8 turns that off). Lengths that
//     are not in their shortest form, close payloads of one byte, and subprotocols
//     and extensions that were not offered are refused.
//   - The answer to a close frame repeats the reason too.
//   - After the closing handshake the network connection is closed by itself.
//   - Messages below 256 bytes, or that do not shrink, are not compressed by
//     EnableCompression alone; some memory is kept for reading.
//   - Compressed messages are limited by what they inflate to, and peers that go on
//     with their context although they promised not to are understood, unless they
//     do so for the first time after eight messages and a pause.
//   - IsCloseError and IsUnexpectedCloseError see through wrapped errors.
package websocket

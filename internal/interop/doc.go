// Package interop holds tests of this library against real peers: browsers
// and the WebSocket libraries of other languages, as clients of our echo
// server and as echo servers for our client; and through real proxies, reverse
// and forward, with both ends ours.
//
// interop_test.go says what a row of the table of peers and proxies is made of. The
// rows stand with their kind: browsers_test.go, javascript_test.go, python_test.go,
// perl_ruby_test.go, compiled_test.go for C and C++, jvm_erlang_test.go,
// go_peers_test.go and, for the proxies, proxy_daemons_test.go. cases_test.go has
// what each peer must show, echo_test.go our two ends, harness_test.go the handling
// of child processes. The peers' own programs lie in testdata, one directory for each
// language or library.
//
// proxy_test.go says what proxies must pass on and when they drop a connection,
// proxy_daemons_test.go how each is run. Their configuration files in
// testdata/proxies are those that docs/proxies.md tells people to use.
//
// permessage-deflate has a test of its own. A row's deflatePeer (deflate_terms_test.go)
// says what is offered and answered between the peer and us on many terms, and is
// at the same time a record of how the peer negotiates. deflate_test.go says what
// is then sent, and what has to be seen on the wire by the tap of tap_test.go: what
// is compressed, whether the context is taken over, how far back references reach.
//
// That tap is between the two ends of the other tests as well, for what an end may not be trusted to tell of
// itself: that it sends fragments, that it offers nothing, what it answers to a ping and to a close frame.
//
// A row whose programs are missing is skipped and says how to install them.
// With WEBSOCKET_INTEROP=require in the environment it fails instead. The rows of
// the full set are skipped unless WEBSOCKET_INTEROP=all, which demands them, too.
//
// # What a peer's program does
//
// A client is run with the URL of an echo endpoint, to which it appends
// "?case=NAME". It goes through the cases, each on a connection of its own,
// and prints one JSON object of results by case name; a page in a browser
// POSTs it to /report. A server is run with the port it shall listen on at
// 127.0.0.1. Both kinds of server send every message back, apart from these
// text messages:
//
//	!close CODE REASON    start the closing handshake
//	!kill                 drop the TCP connection
//	!ping                 send a ping, and "!pong" once its payload came back
//	!cookie               send the value of the request's Cookie
//	!header               send the value of the request's X-Interop
//
// Every client's requests have the cookie session=s1 and X-Interop: from the client.
// Servers speak the subprotocol v1.example, which in the case of that name clients ask
// for as the second of two.
//
// For permessage-deflate the servers need not know these, but may be told their
// terms by a query, ?deflate=JSON. The clients are echoes too, by programs of their own or
// by the same: they are run with the URL and a list of terms in JSON, and visit the URL with
// "?case=0", "?case=1" and so on, one after the other until each is closed.
package interop

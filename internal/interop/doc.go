// Package interop holds tests of this library against real peers: browsers
// and the WebSocket libraries of other languages, as clients of our echo
// server and as echo servers for our client.
//
// interop_test.go has the table of peers, cases_test.go what each of them must
// show, echo_test.go our two ends, harness_test.go the handling of child
// processes. The peers' own programs lie in testdata, one directory each.
//
// A row whose programs are missing is skipped and says how to install them.
// With WEBSOCKET_INTEROP=require in the environment it fails instead.
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
//	!ping                 send a ping, and "!pong" once it was answered
package interop

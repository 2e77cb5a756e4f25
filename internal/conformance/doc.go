// Package conformance is a fuzzing peer: it plays the 517 cases of the Autobahn testsuite, and some of its own, against a WebSocket
// endpoint that echoes, and writes down how the endpoint did in the form the suite uses. It shares no code with the library it judges:
// it has its own frames, its own opening handshake and its own permessage-deflate, so that a mistake of the library is not made twice.
//
// # Judging a server
//
// RunClient connects to a server that echoes every message, once for each case:
//
//	report, err := conformance.RunClient(ctx, conformance.Config{
//		URL:   "ws://127.0.0.1:9001/",
//		Agent: "websocket server",
//		Cases: []string{"1.*", "2.*", "7.*"},
//		Dir:   "reports/server",
//	})
//
// # Judging a client
//
// A FuzzingServer is driven by the client under test, as the suite's own is. An ordinary Autobahn client program works against it:
//
//	server := conformance.NewServer(conformance.Config{Cases: []string{"1.*"}, Dir: "reports/client"})
//	go server.Serve(listener)
//	// the client under test: /getCaseCount, then /runCase?case=1&agent=X and on, then /updateReports?agent=X
//	report := server.Report()
//	server.Close()
//
// The client echoes on /runCase until the connection ends. It must go on with the next case when a connection could not be opened:
// in 21.2.* refusing the handshake is the right thing to do. /getCaseInfo?case=1 answers {"id", "description"} and
// /getCaseStatus?case=1&agent=X answers {"behavior", "behaviorClose"}.
//
// # Over HTTP/2
//
// With Config.HTTP2 the same cases are played on streams of HTTP/2 (RFC 8441), those of RunClient on one connection. A stream stands in
// the place of the TCP connection, END_STREAM in that of its end, and RST_STREAM in that of a reset.
//
// # Choosing cases
//
// A pattern is a case id in which `*` stands for any number in its place, and at the end for everything that follows: `9.*` is section 9,
// `12.*.1` the first case of each kind of data, `*` everything. No pattern at all is everything. Sections 1 to 13 are the suite's, from
// 20 on stand cases of our own:
//
//	20  what the suite leaves out of framing and text: masking, lengths that are not minimal, the end of the TCP connection,
//	    letters of four octets
//	21  permessage-deflate: the answer held against the offer (21.1 judges a server, 21.2 a client)
//	22  permessage-deflate: messages as RFC 7692 allows and forbids them, and whether answers are deflated at all
//
// The endpoint should compress whatever gets smaller: one that sends short messages as they are fails 22.1.3. Its limit on messages should
// be 16 MiB or more.
//
// Section 9 compares the content of the echo, not only its length. Config.Messages sets how many messages each case of sections 12
// and 13 exchanges; the suite's number is 1000.
//
// # Outcomes
//
// A Result has two verdicts, Behavior and BehaviorClose, and only both together tell that a case went well: Result.Passed. An endpoint
// that does not agree on permessage-deflate gets UNIMPLEMENTED in the cases that need it. Report.Write writes index.json and a JSON file for each case,
//
//	{agent: {id: {"behavior", "behaviorClose", "duration", "remoteCloseCode", "reportfile"}}}
//
// with the duration in milliseconds, as the suite does.
//
// # How the peer waits
//
// Nothing here sleeps for an answer: a wait ends with the event, or after Config.Timeout in which not an octet moved. The suite's limits
// on whole cases (10 seconds for four megabytes) stand in the table. They measure the machine as well, so each is stretched by the same
// factor of 6, for machines that are busy or run with the race detector. A case without a limit of the suite's has a minute.
//
// # Reading the source
//
// frame.go is the bytes, wire.go a connection that sends them in pieces and takes in what comes back, inbound.go the rules the endpoint
// must keep, session.go one case on one connection and its verdict. section*.go say what each case sends and expects; cases.tsv says what
// it is about and who closes the connection how.
package conformance

// Command soak has a server bear good clients and attackers together, for a minute or for
// hours, and fails if anything is lost, grows, or becomes slow.
//
//	go run ./internal/soak [-time 60s] [-connections 2000] [-interval 5s] [-seed N] [-drift 0.05] [-latency 2]
//
// Four fifths of the connections are good. They come by Dialer, read in every way
// there is, compressed or not, and are served by ReadMessage, Serve or Start, which
// return what they are sent, and some get a Group's broadcasts besides. Every message
// has a number and a checksum. A quarter of these connections come and go, and some of
// that quarter go without good-bye or with a reset. The rest are attackers: bare
// sockets with bytes of their own, of the kinds in attacks.go. They come at a bounded
// rate and send at a bounded rate, for it is the server that is tested, and not the
// machine. The server's timeouts are short (server.go).
//
// Server and attackers are processes of their own; good clients, in the process that
// leads, use the same library, so that there is something to be learnt of both ends.
//
// # Output
//
// Calm intervals and intervals of attack take turns, after one of each to warm up. In the
// first fifth of each nothing is measured: attackers come, or are thrown out. Each
// prints a line:
//
//	time, phase     seconds since the beginning, and what the interval is for
//	connections     good ones and attackers' at its end
//	server, clients goroutines, descriptors, live heap (after collecting garbage), resident memory
//	messages        that came back to good clients, and broadcasts that came to them, a second
//	latency         of good connections from write to answer: medians of the p50 and p99 of
//	                its slices of half a second, and the largest p99 of those
//	cpu             shares in all processors; other is the rest of the machine
//	ended badly     connections by the error that the server's loop ended with, without those
//	                that ended as good ones do: close codes that came, "broke" with the code that
//	                was sent to who broke the protocol, and others by name
//
// In the end, while everybody is busy and attacked, the server shuts down. Then come the
// outcomes of the attacks by their kind (codes of the close frames that attackers saw;
// "cut" are those that the end of an interval has cut short), totals, drifts and
// latencies, and "ok", or lines with FAILED or UNDECIDED.
//
// # What fails
//
//   - A message of a good connection that is lost, doubled, damaged or out of order, and
//     any error of a good connection, on either side.
//   - An attack with another outcome than it should have.
//   - Heap, goroutines or descriptors, on either side, that drift by -drift (5 %) or more
//     from the first calm interval to the last, along the median of the slopes between them.
//   - Latency, p50 or p99, that is under attack more than -latency times (2) what it is in
//     the calm intervals, by the medians of all slices. Where calm intervals differ among
//     themselves by so much, this is undecided: the machine has too much else to do.
//   - At the end, a good connection that is not told 1001; and goroutines and descriptors
//     of either side that are not back to what they were before the first connection, on
//     the server within 5 s.
//
// The exit status is 0, 1 for a failure, or 75 if all that is missing is a decision; go run
// makes 1 of both. SIGINT goes to the end at once, and judges what there is; a second one
// ends the program.
//
// How to read it: run.go leads, judge.go judges, server.go is the server, good.go and
// message.go are the good clients, attack.go and attacks.go the attackers with wire.go for
// their bytes; child.go is how the processes talk.
package main

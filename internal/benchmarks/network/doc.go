// Command network measures what WebSocket libraries do with the network: how much of
// the processor they take for a message, how fast they are, and how much memory a
// connection keeps that waits.
//
//	go run ./network [-quick] [-scenario LIST] [-only LIST] [-rounds N]
//
// It prints lines in the format of go test -bench, for benchstat and for ./table.
//
// The program is both ends. The measured one runs in a process of its own, which
// is the program again in the role of a server (or a client) that uses one library
// in one way: a row of rows.go. The other end, the load, is made of bare sockets
// and frames prepared before, and verifies what it gets. The rows take turns, a
// few hundred milliseconds each, round after round: a busy moment of the machine
// hits them alike.
//
// How to read it: main.go says what happens in which order, scenario.go has what
// is measured, load.go and wire.go are the load's end, measured.go is the measured
// process, and rows.go lists the ways of using libraries that the files named
// after them hold.
package main

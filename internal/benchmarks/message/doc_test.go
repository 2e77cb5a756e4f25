// Package message compares whole libraries: messages that go through a
// connection with permessage-deflate, from the program to the wire and back.
//
// data_test.go says what is sent and peers_test.go how each library is set up;
// wire_test.go holds the connection that stands for the network. Behind them
// come the benchmarks: write_test.go, read_test.go and memory_test.go.
package message

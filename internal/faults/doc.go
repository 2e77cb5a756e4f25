// Package faults breaks network connections by plan, to see what the library
// makes of it. It holds
//
//   - Conn, a net.Conn that fails at a byte of one direction, in one of the ways in
//     which networks fail, and Pipe, a connection in memory for it to break,
//   - a test that breaks one transcript, from the opening to the closing handshake,
//     at every byte in every way, for both roles (transcript_test.go), and the same
//     on sockets (socket_test.go),
//   - a test that has all the methods of a connection race against its end
//     (races_test.go).
//
// What should come of a damaged stream is told by a decoder of the tests
// (reference_test.go), which is slow, plain, and shares nothing with the library.
//
// The flags are -faults.full, for every way of reading at every fault, and
// -faults.rounds=N for the number of races.
package faults

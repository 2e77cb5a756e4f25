// Package integrity holds the tests that nothing is lost: messages of every size go through every reading and every writing method of
// the library, and each that arrives is held against what was sent. A message carries its writer, its number, its length and a
// checksum; what is too short for that is known from its number. So the receiver tells a message that was lost from one that came
// twice, out of order, shortened or changed, and there must be none.
//
// # What is sent
//
//   - TestEverySize: each size once for each method, uncompressed and compressed, over TCP, TLS and net.Pipe and in both directions.
//   - TestConcurrentWriters: four goroutines at each end, each with methods of its own, and small messages.
//   - TestReadLimit, TestEnds, TestGlued and TestCutOff: the limits and what lies one byte beside them, and the messages before an end.
//   - TestInterrupted: reads that are given up at any moment.
//
// # How much
//
// Plain `go test` takes the sizes around all limits and a few hundred others. The rest is for flags:
//
//	go test ./internal/integrity -args -integrity.full
//	go test -timeout 0 -run TestConcurrentWriters ./internal/integrity -args -integrity.messages=100000000
//
// The first sends all sizes from 0 to 70,000 and small messages up to a million in all; the second so many messages of up to 256 bytes.
//
// # Reading the source
//
// content_test.go makes messages and verifies them; link_test.go opens connections; write_test.go and read_test.go have one entry for
// each method; lane_test.go brings a writer and a reader together on a connection. The rest are tests.
package integrity

// Package epoll tells when sockets have something to read, on Linux, without a
// goroutine for each that waits. Its epoll instance is itself a file that Go's
// network poller watches, so no thread waits in it either.
//
// The sockets stay those of the net package, which watches them too: writes,
// deadlines and Close work as ever. But neither a deadline nor a Close makes a
// socket ready here: whoever waits has to be told of them in another way.
package epoll

// Package hostile attacks the library, as a server and as a client, with what has brought down implementations of WebSocket in many
// languages. It has tests only, and they speak to real sockets with bytes of their own making: nothing of the library's codec is used
// on the attacker's side.
//
// harness_test.go has the victims: a server behind net/http, a server on a bare connection, a client, each with and without
// permessage-deflate, read in every way there is. Each other file has a class of attacks.
//
// A victim must answer with the right close code or status, hand out nothing that it should not, keep its memory, goroutines and
// descriptors within bounds, and end the connection. The goroutines and descriptors of all tests are counted when they are through
// (TestMain). Attacks by a thousand connections, or of a GiB, need -hostile.full.
//
// All of it goes by HTTP/2, too (RFC 8441), where a stream stands in the place of the socket; http2_test.go has what is possible there alone.
// What is known of HTTP/2 itself, such as CVE-2023-45288, is for net/http and golang.org/x/net to see to.
package hostile

//go:build linux

package main

import (
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"
)

// A row is a way of using a library. Scenarios that it has no function for leave
// it out. The functions that take a listener serve what it accepts for ever.
type row struct {
	name    string   // in the tables; what all ways of a library have in common comes first
	plain   bool     // there is no handshake: bytes, which happen to be frames
	serial  bool     // one goroutine at a time may write
	command []string // another program that plays the roles
	without []string // scenarios that it is left out of nevertheless

	// echo returns each message to where it came from.
	echo func(l net.Listener) error

	// idle is echo with less memory, for a connection that waits. A row that has
	// an echo and no idle waits in its echo.
	idle func(l net.Listener) error

	// push hands each connection to with, which returns at once.
	push func(l net.Listener, with func(conn)) error

	// broadcast returns what sends a message to all of conns, which are of push.
	broadcast func(conns []conn) func(p []byte) error

	// read calls got with each message, which it reads into memory of its own, and
	// readKept with each which it reads into the same memory again.
	read, readKept func(l net.Listener, got func(p []byte)) error

	// drop upgrades connections and closes them, without net/http and with.
	drop, dropHTTP func(l net.Listener) error
	loses          bool // now and then drop closes a connection without an answer

	// dial and clientEcho are push and echo at the other end, of one connection.
	dial       func(addr string) (conn, error)
	clientEcho func(addr string) error
}

// conn is a connection to write binary messages to.
type conn interface{ write(p []byte) error }

// rows are all there are: ours, the peers, and the limit of what may be reached.
var rows = slices.Concat([]row{
	{
		name: "duplexkit",
		echo: ours(oursMessages), push: oursPush, broadcast: oursPrepared, read: oursRead, readKept: oursReadKept,
		drop: oursBare(dropOurs), dropHTTP: ours(dropOurs), dial: oursDial, clientEcho: oursClient(oursMessages),
	},
	{name: "duplexkit-context", echo: ours(oursContext), clientEcho: oursClient(oursContext)},
	{name: "duplexkit-serve", echo: ours(oursServe), readKept: oursReadServe, clientEcho: oursClient(oursServe)},
	{name: "duplexkit-start", echo: oursStart},
	{name: "duplexkit-group", push: oursPush, broadcast: oursGroup, without: []string{"writers", "serverwrite"}},
	{name: "duplexkit-try", push: oursPushTry, broadcast: oursTry, without: []string{"writers", "serverwrite"}},
	{name: "duplexkit-returned", idle: oursReturned(oursServe)},
	{name: "duplexkit-bare", idle: oursBare(oursServe)},
	{
		name: "gorilla", serial: true,
		echo: gorillaEcho, push: gorillaPush, broadcast: gorillaPrepared, read: gorillaRead, readKept: gorillaReadKept,
		dropHTTP: gorillaDrop, dial: gorillaDial, clientEcho: gorillaClientEcho,
	},
	{name: "gorilla-returned", idle: gorillaEchoReturned},
	{
		name: "coder",
		echo: coderEcho, push: coderPush, broadcast: oneByOne, read: coderRead, readKept: coderReadKept,
		dropHTTP: coderDrop, dial: coderDial, clientEcho: coderClientEcho,
	},
	{name: "coder-returned", idle: coderEchoReturned},
	{
		name: "gobwas", serial: true,
		echo: gobwasEcho, push: gobwasPush, broadcast: gobwasPrepared, read: gobwasRead, readKept: gobwasReadKept,
		drop: gobwasDrop, dropHTTP: gobwasHTTPDrop, dial: gobwasDial, clientEcho: gobwasClientEcho,
	},
	{name: "gobwas-http", idle: gobwasHTTPEchoReturned},
	{
		name: "gws",
		echo: gwsEcho, push: gwsPush, broadcast: gwsBroadcaster, read: gwsRead, readKept: gwsRead,
		dropHTTP: gwsDrop, dial: gwsDial, clientEcho: gwsClientEcho,
	},
	{name: "gws-async", push: gwsPushAsync, without: []string{"serverwrite"}}, // its queue has no limit
	{
		name: "nbio", without: []string{"tls"}, // which takes a TLS of its own
		echo: nbioEcho, push: nbioPush, broadcast: oneByOne, read: nbioRead, readKept: nbioRead, drop: nbioDrop, loses: true, // seen in 4 of 310 short runs
	},
	{
		name: "fasthttp", serial: true,
		echo: forkEcho, push: forkPush, broadcast: forkPrepared, read: forkRead, readKept: forkReadKept, drop: forkDrop,
	},
	{
		name: "xnet",
		echo: xnetEcho, push: xnetPush, broadcast: oneByOne, read: xnetRead, dropHTTP: xnetDrop, dial: xnetDial, clientEcho: xnetClientEcho,
	},
}, bunRows(), []row{
	{
		name: "raw", plain: true,
		echo: rawEcho(64 << 10), idle: rawEcho(512), push: rawPush, broadcast: rawBroadcast, read: rawRead, readKept: rawRead,
		drop: rawDrop, dropHTTP: rawDropHTTP, dial: rawDial, clientEcho: rawClientEcho,
	},
})

// selected returns the rows that list names: in full, or by a part between dashes.
func selected(list string) []row {
	if list == "" {
		return rows
	}
	var some []row
	for _, r := range rows {
		for name := range strings.SplitSeq(list, ",") {
			if r.name == name || slices.Contains(strings.Split(r.name, "-"), name) {
				some = append(some, r)
				break
			}
		}
	}
	return some
}

// oneByOne broadcasts where a library has no way of its own.
func oneByOne(conns []conn) func(p []byte) error {
	return func(p []byte) error {
		for _, c := range conns {
			if err := c.write(p); err != nil {
				return err
			}
		}
		return nil
	}
}

// elsewhere is in the place of what another program does.
func elsewhere(net.Listener) error { return errors.New("another program does it") }

// maxMessage is what the libraries are told to accept where they ask.
const maxMessage = 32 << 20

// eachConn calls serve for each connection, in a goroutine, and then closes it.
func eachConn(serve func(net.Conn)) func(net.Listener) error {
	return func(l net.Listener) error {
		for {
			nc, err := l.Accept()
			if err != nil {
				return err
			}
			go func() {
				defer nc.Close()
				serve(nc)
			}()
		}
	}
}

// httpServer leaves connections to net/http and handler.
func httpServer(handler http.HandlerFunc) func(net.Listener) error {
	return func(l net.Listener) error { return http.Serve(l, handler) }
}

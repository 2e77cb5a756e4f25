//go:build linux

package main

import (
	"net"
	"net/http"
	"slices"
	"strings"
)

// A row is a way of using a library. What it has no function for, it is left out of.
type row struct {
	name    string   // in the tables; what all ways of a library have in common comes first
	plain   bool     // bytes without WebSocket: the limit of what may be reached
	command []string // another program that plays the roles

	// echo returns each message to where it came from, on the connections that
	// l accepts. It may leave handshake and goroutines to net/http.
	echo func(l net.Listener) error
}

// rows are all there are. Ours come first, then the peers, then the limit.
var rows = slices.Concat([]row{
	{name: "duplexkit", echo: upgraded(echoMessages)},
	{name: "duplexkit-context", echo: upgraded(echoKept)},
	{name: "duplexkit-serve", echo: upgraded(echoServe)},
	{name: "gorilla", echo: httpEcho(gorillaEcho)},
	{name: "coder", echo: httpEcho(coderEcho)},
	{name: "gobwas", echo: gobwasEcho},
	{name: "gws", echo: httpEcho(gwsEcho)},
	{name: "nbio", echo: nbioEcho},
	{name: "fasthttp", echo: fasthttpEcho},
	{name: "xnet", echo: httpEcho(xnetEcho)},
}, bunRows(), []row{
	{name: "raw", plain: true, echo: rawEcho},
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

// httpEcho leaves connections to net/http and handler.
func httpEcho(handler http.HandlerFunc) func(net.Listener) error {
	return func(l net.Listener) error { return http.Serve(l, handler) }
}

// elsewhere is in the place of what another program does.
func elsewhere(net.Listener) error { panic("another program does it") }

package main

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/url"
	"time"
)

// setup is what a probe asks of a connection. A library passes over what it has no option
// for, and the probe sees the effect.
type setup struct {
	compress bool  // permessage-deflate
	takeover bool  // with context takeover
	limit    int64 // largest message, 0 is the library's default
	keepTime time.Duration

	jar       http.CookieJar
	redirects bool
	proxy     func(*http.Request) (*url.URL, error)
	tls       *tls.Config
	timeout   time.Duration // of a dial
}

// library is one column of the table. Its functions use a library as its own documents do.
type library struct {
	name     string
	module   string   // path
	packages []string // those that a program with both roles and compression imports

	upgrade     func(w http.ResponseWriter, r *http.Request, s setup) (conn, error)
	upgradeConn func(nc net.Conn, s setup) (conn, error) // nil: needs net/http
	dial        func(ctx context.Context, url string, s setup) (conn, error)

	// idle upgrades and leaves an idle connection, in the way that takes least. It may block
	// until the connection ends.
	idle func(w http.ResponseWriter, r *http.Request)

	// broadcast sends p to all of conns by what the library has for that; nil: nothing.
	broadcast func(conns []conn, p []byte) error

	// leave takes leave of all of conns; nil: nothing does.
	leave func(conns []conn) error
}

// conn is a connection of a library. read and write are its calls for a whole message.
type conn interface {
	read() ([]byte, error)
	write(p []byte) error                   // a text message
	shutdown(code int, reason string) error // the library's call that takes leave, if need be one that only sends a close frame
	setReadDeadline(t time.Time) error      // errors.ErrUnsupported: has none
	readContext(ctx context.Context) error  // errors.ErrUnsupported: has none
	ping(ctx context.Context) error         // waits for the pong; errors.ErrUnsupported: has none
	drop()                                  // ends the network connection
	closed(err error) (int, string, bool)   // the peer's close code and reason in an error of read
}

// without has the methods that a library may lack.
type without struct{}

func (without) setReadDeadline(time.Time) error   { return errors.ErrUnsupported }
func (without) readContext(context.Context) error { return errors.ErrUnsupported }
func (without) ping(context.Context) error        { return errors.ErrUnsupported }

var libraries = []*library{ours, gorillaLibrary, coderLibrary, gobwasLibrary, gwsLibrary}

package main

import (
	"context"
	"errors"
	"io/fs"
	"log"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/duplexkit/websocket"
)

// farewell bounds how long either end waits for the other when it leaves.
const farewell = 5 * time.Second

// options are what both ends have for their connections. A peer that is gone is noticed by
// its silence while we read, and by WriteTimeout while we write.
var options = websocket.Options{
	PingInterval: 10 * time.Second,
	WriteTimeout: 30 * time.Second, // for one fragment
}

// fragment is what a NextWriter gathers before it sends, in bytes.
const fragment = 64 << 10

type server struct {
	files  *os.Root // no name leads out of it, nor does a symbolic link
	limit  int64    // largest file that may be put here, 0 is none
	hosts  []string // names of the server, besides localhost
	all    websocket.Group
	served sync.WaitGroup
}

// serve answers on ln until ctx ends, then closes every connection with 1001. What was
// transferred until then is kept.
func (s *server) serve(ctx context.Context, ln net.Listener) error {
	upgrader := websocket.Upgrader{WriteBufferSize: fragment, Options: options}
	upgrader.Group = &s.all
	transfers := upgrader.Handler(s.transfer)
	mux := http.NewServeMux()
	mux.HandleFunc("/files", func(w http.ResponseWriter, r *http.Request) {
		s.served.Add(1)
		defer s.served.Done()
		if !s.allowsHost(r.Host) {
			http.Error(w, "the server does not go by this name, see its flag -host", http.StatusForbidden)
			return
		}
		transfers.ServeHTTP(w, r)
	})
	srv := &http.Server{Handler: mux, ReadTimeout: 10 * time.Second} // of a request; a WebSocket has none of it

	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(ln) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.Background(), farewell)
	defer cancel()
	// Beside each other: a page may take its time, and so may a browser's connection on which no
	// request has come.
	pages := make(chan error, 1)
	go func() { pages <- srv.Shutdown(ctx) }()
	if err := s.all.Shutdown(ctx, websocket.CloseGoingAway, "server is shutting down"); err != nil {
		log.Printf("not all clients have answered: %v", err)
	}
	if err := <-pages; err != nil {
		log.Printf("HTTP connections were still open: %v", err)
		srv.Close()
	}
	s.served.Wait()
	return nil
}

// transfer serves a connection. Its error becomes the close code.
func (s *server) transfer(c *websocket.Conn, _ *http.Request) error {
	if err := c.SetReadDeadline(time.Now().Add(farewell)); err != nil {
		return err
	}
	var r request
	if err := readControl(c, &r); err != nil {
		log.Printf("%v: no request: %q", c.RemoteAddr(), err)
		return err
	}
	if err := c.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	// What is the client's is quoted, lest it look like lines of ours: its words, and in an
	// error its close reason.
	n := &counter{}
	err := s.answer(c, r, n)
	if err != nil {
		log.Printf("%v: %q %q: %q; %d bytes from %d on", c.RemoteAddr(), r.Op, r.Name, err, n.bytes, n.offset)
		return told(c, err)
	}
	log.Printf("%v: %q %q: complete, %d bytes from %d on", c.RemoteAddr(), r.Op, r.Name, n.bytes, n.offset)
	return nil
}

// told is what the peer is told of an error: files are no business of its own.
func told(c *websocket.Conn, err error) error {
	switch {
	case isRefusal(err), c.Context().Err() != nil:
		return err
	case errors.Is(err, fs.ErrNotExist):
		return refuse(codeNotFound, "there is no such file")
	default:
		return refuse(codeStorage, "the file could not be read or saved")
	}
}

func (s *server) answer(c *websocket.Conn, r request, p progress) error {
	switch {
	case !allowed(r.Name):
		return refuse(codeRefused, "the name is not allowed")
	case r.Op == "get":
		f, size, err := openFile(s.files, r.Name)
		if err != nil {
			return err
		}
		defer f.Close()
		return send(c, f, size, p)
	case r.Op == "put":
		return receive(c, s.files, r.Name, s.limit, p)
	default:
		return refuse(codeRefused, "neither put nor get")
	}
}

// allowed reports whether a client may name a file so: by a/b/c, and on Windows neither by
// a drive nor by a device. os.Root would refuse what leads out of it all the same. What is
// partial is ours, in whatever case, and a directory of that name would stand in its way.
func allowed(name string) bool {
	for element := range strings.SplitSeq(name, "/") {
		if strings.HasSuffix(strings.ToLower(element), partial) {
			return false
		}
	}
	return fs.ValidPath(name) && name != "." && filepath.IsLocal(filepath.FromSlash(name)) &&
		!strings.ContainsAny(name, "\\\x00")
}

// allowsHost reports whether the server may be called so. A page can have the name of its own
// host resolve to this machine (DNS rebinding), and pass the check of its origin by that. It
// cannot have an address or localhost do so.
func (s *server) allowsHost(host string) bool {
	name := strings.ToLower((&url.URL{Host: host}).Hostname())
	_, err := netip.ParseAddr(name)
	return err == nil || name == "localhost" || slices.Contains(s.hosts, name)
}

// isRefusal reports whether err is a close code of ours, sent or received.
func isRefusal(err error) bool {
	var closed *websocket.CloseError
	return errors.As(err, &closed) && closed.Code >= codeRefused
}

// leave performs the closing handshake.
func leave(c *websocket.Conn, code int, reason string) {
	ctx, cancel := context.WithTimeout(context.Background(), farewell)
	defer cancel()
	c.Shutdown(ctx, code, reason)
}

// counter is the progress of a transfer for the server's log.
type counter struct{ offset, bytes int64 }

func (n *counter) begin(offset, _ int64) { n.offset = offset }

func (n *counter) Write(p []byte) (int, error) {
	n.bytes += int64(len(p))
	return len(p), nil
}

package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/duplexkit/websocket"
	"github.com/duplexkit/websocket/http2" // has net/http take WebSockets over HTTP/2
)

// A hub is the server: it sends each message back, or to all.
type hub struct {
	o        *options
	show     *screen
	upgrader websocket.Upgrader
	all      websocket.Group
	served   sync.WaitGroup // handlers, which http.Server.Shutdown does not know over HTTP/1.1

	mu   sync.Mutex
	last int // number of a client
}

// listen serves until ctx ends, then takes leave of all with 1001.
func listen(ctx context.Context, o *options, stdin io.Reader, stdout, stderr io.Writer) error {
	h := &hub{o: o, show: newScreen(o, stdout)}
	h.upgrader = websocket.Upgrader{
		Subprotocols:   o.subprotocols,
		AllowedOrigins: o.origins,
		Error:          h.refused,
		Options: websocket.Options{
			ReadLimit:    o.limit,
			PingInterval: o.pingInterval,
			PingTimeout:  o.pingTimeout,
			CloseTimeout: o.closeTimeout,
			WriteTimeout: time.Minute, // a client that does not read must not be kept for ever
			Compression:  o.compression,
			Group:        &h.all,
		},
	}
	srv := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          log.New(stderr, "wscat: ", 0),
	}
	scheme := "ws"
	if o.cert != "" {
		pair, err := tls.LoadX509KeyPair(o.cert, o.key)
		if err != nil {
			return fmt.Errorf("-cert and -key: %w", err)
		}
		srv.TLSConfig = &tls.Config{Certificates: []tls.Certificate{pair}}
		scheme = "wss"
	}
	if o.h2c {
		srv.Protocols = new(http.Protocols)
		srv.Protocols.SetHTTP1(true)
		srv.Protocols.SetUnencryptedHTTP2(true)
	}
	http2.Configure(srv)
	ln, err := net.Listen("tcp", o.addr)
	if err != nil {
		return err
	}
	what := "echo"
	if o.broadcast {
		what = "broadcast"
	}
	h.show.note("%s server on %s://%v%s; Ctrl-C ends", what, scheme, ln.Addr(), o.path)

	failed := make(chan error, 1)
	go func() {
		if scheme == "wss" {
			failed <- srv.ServeTLS(ln, "", "")
		} else {
			failed <- srv.Serve(ln)
		}
	}()
	if o.stdin {
		go h.dictate(stdin)
	}
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	ended, cancel := context.WithTimeout(context.Background(), o.closeTimeout)
	defer cancel()
	n := h.all.Len()
	// The Group is the first, so that all get this reason.
	groupErr := h.all.Shutdown(ended, websocket.CloseGoingAway, "the server ends")
	if err := srv.Shutdown(ended); err != nil {
		srv.Close()
	}
	h.served.Wait()
	if !o.quiet {
		h.show.note("closed %s", count(n, "connection"))
	}
	if groupErr != nil {
		return failf(exitTimeout, "some did not answer the close frame within %v", o.closeTimeout)
	}
	return nil
}

// ServeHTTP upgrades every request to the path.
func (h *hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h.o.path != "" && r.URL.Path != h.o.path {
		http.NotFound(w, r)
		return
	}
	h.served.Add(1)
	defer h.served.Done()
	h.upgrader.Handler(h.serve).ServeHTTP(w, r)
}

// refused answers as an Upgrader does, and tells.
func (h *hub) refused(w http.ResponseWriter, r *http.Request, status int, reason error) {
	if !h.o.quiet {
		h.show.trouble("%s: refused with %d: %s", r.RemoteAddr, status, printable(bare(reason)))
	}
	http.Error(w, reason.Error(), status)
}

// serve is the life of a client.
func (h *hub) serve(c *websocket.Conn, r *http.Request) error {
	h.mu.Lock()
	h.last++
	number := h.last
	h.mu.Unlock()
	who := fmt.Sprintf("[%d]", number)
	if !h.o.quiet {
		h.show.note("%s", h.arrival(who, c, r))
		c.SetPingHandler(h.observed(c.PingHandler(), who, "ping"))
		c.SetPongHandler(h.observed(c.PongHandler(), who, "pong"))
	}
	var closed error // the client's close frame, which Serve takes for granted if it is a normal one
	answer := c.CloseHandler()
	c.SetCloseHandler(func(code int, text string) error {
		closed = &websocket.CloseError{Code: code, Text: text}
		return answer(code, text)
	})
	err := c.Serve(r.Context(), func(m websocket.Message) error {
		e := messageEvent(m.Type, m.Data)
		if !h.o.quiet {
			h.show.event(received, e, who, "")
		}
		if !h.o.broadcast {
			return c.WriteMessage(m.Type, m.Data)
		}
		pm, err := websocket.NewPreparedMessage(m.Type, m.Data)
		if err == nil {
			h.all.Broadcast(pm)
		}
		return err
	})
	if !h.o.quiet {
		h.show.note("%s left: %s", who, farewellText(err, closed))
	}
	return err
}

// arrival says who has come and what was agreed on.
func (h *hub) arrival(who string, c *websocket.Conn, r *http.Request) string {
	parts := []string{fmt.Sprintf("%s %s %s %s", who, r.RemoteAddr, r.Proto, printable(r.URL.RequestURI()))}
	n := c.Negotiated()
	if n.Subprotocol != "" {
		parts = append(parts, "subprotocol "+n.Subprotocol)
	}
	if n.Compression != nil {
		parts = append(parts, formatTerms(n.Compression))
	}
	text := strings.Join(parts, ", ")
	if h.o.verbose {
		text += "\n" + strings.Join(headerLines(r.Header), "\n")
	}
	return text
}

// observed shows control frames before the handler gets them.
func (h *hub) observed(next func(string) error, who, name string) func(string) error {
	return func(appData string) error {
		h.show.event(received, controlEvent(name, appData), who, "")
		return next(appData)
	}
}

// farewellText says how a connection ended: by the client's close frame, if there was one,
// or with the error of Serve.
func farewellText(err, closed error) string {
	switch {
	case closed != nil:
		err = closed
	case err == nil:
		return "closed from here"
	}
	return printable(bare(err))
}

// dictate sends the lines of standard input to all clients.
func (h *hub) dictate(stdin io.Reader) {
	in := bufio.NewReader(stdin)
	for {
		line, err := readLine(in)
		if err != nil {
			return // the server stays
		}
		e, err := formatLines.parse(line, "text")
		if err != nil {
			h.show.trouble("%v", err)
			continue
		}
		if pm, err := websocket.NewPreparedMessage(websocket.TextMessage, e.payload); err == nil {
			h.all.Broadcast(pm)
		}
	}
}

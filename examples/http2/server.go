package main

import (
	"cmp"
	"context"
	"crypto/tls"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	quichttp3 "github.com/quic-go/quic-go/http3"

	"github.com/duplexkit/websocket"
	"github.com/duplexkit/websocket/http2" // has net/http take WebSockets over HTTP/2
	"github.com/duplexkit/websocket/http3"
)

//go:embed page.html
var page []byte

// farewell bounds how long the server waits for its clients when it ends.
const farewell = 5 * time.Second

// socket is what the page shows of a WebSocket.
type socket struct {
	Number   int    `json:"number"`
	Protocol string `json:"protocol"` // that carries it
	Remote   string `json:"remote"`   // the client's address: streams of one connection share it
	ID       string `json:"id"`       // the client's own for it, by which it knows it in the table
}

// server tells every WebSocket of all there are, whenever one comes or goes.
type server struct {
	all    websocket.Group
	served sync.WaitGroup // handlers over HTTP/1.1, whose connections net/http does not know any more

	mu      sync.Mutex
	last    int // number of a socket
	sockets map[int]socket
}

func listenAndServe(ctx context.Context, addr string, out io.Writer) error {
	tcp, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	udp, err := net.ListenPacket("udp", tcp.Addr().String())
	if err != nil {
		tcp.Close()
		return err
	}
	fmt.Fprintf(out, "open https://%v/, and let the browser trust the certificate; Ctrl-C ends\n", tcp.Addr())
	s := &server{sockets: make(map[int]socket)}
	return s.serve(ctx, tcp, udp)
}

// serve answers on both until ctx ends, then closes every WebSocket with 1001.
func (s *server) serve(ctx context.Context, tcp net.Listener, udp net.PacketConn) error {
	defer udp.Close()
	certificate, err := newCertificate()
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Write(page)
	})
	upgrader := websocket.Upgrader{Options: websocket.Options{Group: &s.all, PingInterval: 30 * time.Second}}
	handler := upgrader.Handler(s.handle)
	mux.HandleFunc("/ws", func(w http.ResponseWriter, r *http.Request) { // not "GET /ws": over HTTP/2 the method is CONNECT
		s.served.Add(1)
		defer s.served.Done()
		handler.ServeHTTP(w, r)
	})

	certificates := []tls.Certificate{certificate}
	web := &http.Server{
		Handler:           mux,
		TLSConfig:         &tls.Config{Certificates: certificates},
		ReadHeaderTimeout: 10 * time.Second,
	}
	http2.Configure(web)
	quic := &quichttp3.Server{
		Handler:   mux,
		TLSConfig: quichttp3.ConfigureTLSConfig(&tls.Config{Certificates: certificates}),
	}
	http3.Configure(quic, web)

	failed := make(chan error, 2)
	go func() { failed <- web.ServeTLS(tcp, "", "") }()
	go func() { failed <- quic.Serve(udp) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.Background(), farewell)
	defer cancel()
	// Beside each other: the first two close what is not over HTTP/1.1, but may wait for
	// connections that a browser has opened and not used yet.
	pages := make(chan error, 1)
	go func() { pages <- errors.Join(web.Shutdown(ctx), quic.Shutdown(ctx)) }()
	_ = s.all.Shutdown(ctx, websocket.CloseGoingAway, "server is shutting down")
	if err := <-pages; err != nil {
		log.Printf("HTTP connections were still open: %v", err)
		web.Close()
		quic.Close()
	}
	served := make(chan struct{})
	go func() {
		s.served.Wait()
		close(served)
	}()
	select {
	case <-served:
	case <-ctx.Done():
	}
	return nil
}

// handle keeps a WebSocket in the table. What it says is sent back.
func (s *server) handle(c *websocket.Conn, r *http.Request) error {
	number := s.enter(r)
	defer s.leave(number)
	return c.Serve(r.Context(), func(m websocket.Message) error {
		return c.WriteMessage(m.Type, m.Data)
	})
}

func (s *server) enter(r *http.Request) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last++
	protocol := map[int]string{1: "HTTP/1.1", 2: "HTTP/2", 3: "HTTP/3"}[r.ProtoMajor]
	s.sockets[s.last] = socket{s.last, protocol, r.RemoteAddr, r.FormValue("id")}
	s.tell()
	return s.last
}

func (s *server) leave(number int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sockets, number)
	s.tell()
}

// tell sends the table to everyone. The caller has mu, and so the tables go out in order.
func (s *server) tell() {
	table := make([]socket, 0, len(s.sockets))
	for _, socket := range s.sockets {
		table = append(table, socket)
	}
	slices.SortFunc(table, func(a, b socket) int { return cmp.Compare(a.Number, b.Number) })
	text, err := json.Marshal(table)
	if err != nil {
		return // there is nothing in it that could not be encoded
	}
	if message, err := websocket.NewPreparedMessage(websocket.TextMessage, text); err == nil {
		s.all.Broadcast(message)
	}
}

package http3_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"

	quichttp3 "github.com/quic-go/quic-go/http3"

	"github.com/duplexkit/websocket"
	"github.com/duplexkit/websocket/http2"
	"github.com/duplexkit/websocket/http3"
)

// A server for all versions of HTTP. Browsers come over TCP first, where Alt-Svc tells
// them about UDP.
func Example_server() {
	upgrader := websocket.Upgrader{}
	udp := &quichttp3.Server{Addr: ":443"}
	mux := http.NewServeMux()
	mux.Handle("/echo", upgrader.Handler(func(c *websocket.Conn, r *http.Request) error {
		return c.Serve(r.Context(), func(m websocket.Message) error { return c.WriteMessage(m.Type, m.Data) })
	}))
	udp.Handler = mux
	tcp := &http.Server{Addr: ":443", Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = udp.SetQUICHeaders(w.Header()) // fails as long as udp does not serve
		mux.ServeHTTP(w, r)
	})}
	http2.Configure(tcp) // whose import has it take WebSockets over HTTP/2, too
	http3.Configure(udp, tcp)

	go func() { log.Print(udp.ListenAndServeTLS("cert.pem", "key.pem")) }()
	go func() { log.Print(tcp.ListenAndServeTLS("cert.pem", "key.pem")) }()
	stop, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	defer cancel()
	<-stop.Done()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	// tcp first: it has the WebSockets of both closed.
	err := errors.Join(tcp.Shutdown(ctx), udp.Shutdown(ctx))
	if errors.Is(err, context.DeadlineExceeded) { // some client has gone without a word
		err = errors.Join(tcp.Close(), udp.Close())
	}
	if err != nil {
		log.Print(err)
	}
}

// A client that uses HTTP/3 where it can, and HTTP/1.1 elsewhere.
func Example_client() {
	transport := &http3.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS13}}
	defer transport.Close()
	dialer := websocket.Dialer{Transport: transport}
	c, resp, err := dialer.Dial("wss://example.com/echo", nil)
	if err != nil {
		log.Print(err)
		return
	}
	defer c.Close()
	fmt.Println("connected by", resp.Proto)
	if err := c.WriteMessage(websocket.TextMessage, []byte("hello")); err != nil {
		log.Print(err)
		return
	}
	_, p, err := c.ReadMessage()
	if err != nil {
		log.Print(err)
		return
	}
	fmt.Println(string(p))
}

// A client that tries HTTP/3, then HTTP/2, and then HTTP/1.1. A Dialer has one Transport and
// goes on with HTTP/1.1, for which it dials TCP: there the first one gives up.
func Example_fallBack() {
	errTCP := errors.New("not over HTTP/3")
	dialers := []websocket.Dialer{
		{
			Transport: new(http3.Transport),
			NetDialContext: func(context.Context, string, string) (net.Conn, error) {
				return nil, errTCP
			},
		},
		{Transport: new(http2.Transport)},
	}
	dial := func(ctx context.Context, url string) (*websocket.Conn, *http.Response, error) {
		c, resp, err := dialers[0].DialContext(ctx, url, nil)
		if errors.Is(err, errTCP) {
			return dialers[1].DialContext(ctx, url, nil)
		}
		return c, resp, err
	}

	c, resp, err := dial(context.Background(), "wss://example.com/echo")
	if err != nil {
		log.Print(err)
		return
	}
	defer c.Close()
	fmt.Println("connected by", resp.Proto)
}

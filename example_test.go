package websocket_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"strings"
	"sync"
	"time"

	"github.com/duplexkit/websocket"
)

// serve starts a server for an example and returns its URL.
func serve(h http.Handler) (url string, stop func()) {
	s := httptest.NewServer(h)
	return "ws" + strings.TrimPrefix(s.URL, "http"), s.Close
}

// echo sends every message back.
func echo(c *websocket.Conn, r *http.Request) error {
	return c.Serve(r.Context(), func(m websocket.Message) error {
		return c.WriteMessage(m.Type, m.Data)
	})
}

// pipe returns the two ends of a connection in memory.
func pipe() (client, server *websocket.Conn) {
	clientEnd, serverEnd := net.Pipe()
	return websocket.NewConn(clientEnd, websocket.Negotiated{}, websocket.Options{}),
		websocket.NewConn(serverEnd, websocket.Negotiated{Server: true}, websocket.Options{})
}

// An echo server and a client that says hello to it.
func Example() {
	var upgrader websocket.Upgrader
	url, stop := serve(upgrader.Handler(echo))
	defer stop()

	ctx := context.Background()
	c, _, err := websocket.DefaultDialer.DialContext(ctx, url, nil)
	if err != nil {
		log.Fatal(err)
	}
	if err := c.WriteMessage(websocket.TextMessage, []byte("Hello")); err != nil {
		log.Fatal(err)
	}
	_, p, err := c.ReadMessage()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", p)
	fmt.Println(c.Shutdown(ctx, websocket.CloseNormalClosure, "done"))
	// Output:
	// Hello
	// <nil>
}

// The loop that programs for gorilla/websocket have.
func ExampleUpgrader_Upgrade() {
	upgrader := websocket.Upgrader{Options: websocket.Options{ReadLimit: 1 << 20}}
	url, stop := serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return // the client got its answer
		}
		defer c.Close()
		for {
			messageType, p, err := c.ReadMessage()
			if err != nil {
				if websocket.IsUnexpectedCloseError(err, websocket.CloseNormalClosure, websocket.CloseGoingAway) {
					log.Print(err)
				}
				return
			}
			if err := c.WriteMessage(messageType, p); err != nil {
				return
			}
		}
	}))
	defer stop()

	c, _, err := websocket.DefaultDialer.Dial(url, nil)
	if err != nil {
		log.Fatal(err)
	}
	_ = c.WriteMessage(websocket.TextMessage, []byte("Hello"))
	_, p, err := c.ReadMessage()
	fmt.Printf("%s %v\n", p, err)
	_ = c.Shutdown(context.Background(), websocket.CloseNormalClosure, "")
	// Output: Hello <nil>
}

// A server without net/http: the handshake is read from a network connection.
func ExampleUpgrader_UpgradeConn() {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer ln.Close()
	var upgrader websocket.Upgrader
	go func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				c, r, err := upgrader.UpgradeConn(nc)
				if err != nil {
					return // the client got its answer, and nc is closed
				}
				defer c.Close()
				_ = c.Serve(context.Background(), func(m websocket.Message) error {
					return c.WriteMessage(m.Type, fmt.Appendf(nil, "%s: %s", r.URL.Path, m.Data))
				})
			}()
		}
	}()

	c, _, err := websocket.DefaultDialer.Dial("ws://"+ln.Addr().String()+"/chat", nil)
	if err != nil {
		log.Fatal(err)
	}
	_ = c.WriteMessage(websocket.TextMessage, []byte("hello"))
	_, p, err := c.ReadMessage()
	fmt.Printf("%s %v\n", p, err)
	_ = c.Shutdown(context.Background(), websocket.CloseNormalClosure, "")
	// Output: /chat: hello <nil>
}

// Pages of other origins than the server's own are refused, unless they are named.
func ExampleUpgrader_origins() {
	upgrader := websocket.Upgrader{AllowedOrigins: []string{"https://example.com", "https://*.example.org"}}
	url, stop := serve(upgrader.Handler(echo))
	defer stop()
	for _, origin := range []string{"https://example.com", "https://www.example.org", "https://evil.example"} {
		c, resp, err := websocket.DefaultDialer.Dial(url, http.Header{"Origin": {origin}})
		fmt.Println(origin, resp.Status, err)
		if err == nil {
			_ = c.Close()
		}
	}
	// Output:
	// https://example.com 101 Switching Protocols <nil>
	// https://www.example.org 101 Switching Protocols <nil>
	// https://evil.example 403 Forbidden websocket: bad handshake
}

// What belongs to one connection are variables of the function that serves it.
func ExampleUpgrader_Handler() {
	var upgrader websocket.Upgrader
	url, stop := serve(upgrader.Handler(func(c *websocket.Conn, r *http.Request) error {
		user := r.URL.Query().Get("user")
		messages := 0
		return c.Serve(r.Context(), func(m websocket.Message) error {
			messages++
			if messages > 2 {
				return &websocket.CloseError{Code: websocket.ClosePolicyViolation, Text: "that is enough"}
			}
			return c.WriteMessage(websocket.TextMessage, fmt.Appendf(nil, "%s, message %d: %s", user, messages, m.Data))
		})
	}))
	defer stop()

	c, _, err := websocket.DefaultDialer.Dial(url+"?user=ann", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	for _, word := range []string{"one", "two", "three"} {
		_ = c.WriteMessage(websocket.TextMessage, []byte(word))
		_, p, err := c.ReadMessage()
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%s\n", p)
	}
	// Output:
	// ann, message 1: one
	// ann, message 2: two
	// websocket: close 1008 (policy violation): that is enough
}

// A client with a header field and an offer of subprotocols. If the server refuses, its answer
// says why.
func ExampleDialer_Dial() {
	upgrader := websocket.Upgrader{Subprotocols: []string{"chat.v2", "chat.v1"}}
	chat := upgrader.Handler(echo)
	url, stop := serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer s3cret" {
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		chat.ServeHTTP(w, r)
	}))
	defer stop()

	d := websocket.Dialer{Subprotocols: []string{"chat.v1", "chat.v2"}}
	_, resp, err := d.Dial(url, nil)
	if errors.Is(err, websocket.ErrBadHandshake) {
		why, _ := io.ReadAll(resp.Body)
		fmt.Printf("%s: %s", resp.Status, why)
	}
	c, _, err := d.Dial(url, http.Header{"Authorization": {"Bearer s3cret"}})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	fmt.Println(c.Subprotocol())
	// Output:
	// 401 Unauthorized: who are you?
	// chat.v2
}

// A client that stays connected: it dials again with growing pauses, and
// subscribes anew each time.
func ExampleDialer_DialContext_reconnect() {
	d := websocket.Dialer{Options: websocket.Options{PingInterval: 30 * time.Second}}
	subscribe := map[string]string{"subscribe": "news"}

	// session ends with an error, or when ctx does.
	session := func(ctx context.Context, url string, handle func(websocket.Message)) error {
		c, resp, err := d.DialContext(ctx, url, nil)
		if resp != nil && err != nil {
			return fmt.Errorf("%w: %s", err, resp.Status)
		} else if err != nil {
			return err
		}
		defer c.Close()
		if err := c.WriteJSON(subscribe); err != nil {
			return err
		}
		for m, err := range c.Messages(ctx) {
			if err != nil {
				return err
			}
			handle(m)
		}
		return nil // the server said goodbye
	}
	stayConnected := func(ctx context.Context, url string, handle func(websocket.Message)) {
		const least, most = time.Millisecond, time.Minute
		pause := least
		for ctx.Err() == nil {
			err := session(ctx, url, func(m websocket.Message) {
				pause = least // it works
				handle(m)
			})
			if errors.Is(err, websocket.ErrBadHandshake) {
				log.Print(err) // with the server's answer, such as 503
			}
			select {
			case <-ctx.Done():
			case <-time.After(pause + rand.N(pause)): // not all clients at once
			}
			pause = min(2*pause, most)
		}
	}

	// A server that hangs up after one message.
	var upgrader websocket.Upgrader
	url, stop := serve(upgrader.Handler(func(c *websocket.Conn, r *http.Request) error {
		var v map[string]string
		if err := c.ReadJSON(&v); err != nil {
			return err
		}
		_ = c.WriteMessage(websocket.TextMessage, []byte(v["subscribe"]+" for you"))
		return &websocket.CloseError{Code: websocket.CloseServiceRestart}
	}))
	defer stop()

	ctx, cancel := context.WithCancel(context.Background())
	received := 0
	stayConnected(ctx, url, func(m websocket.Message) {
		fmt.Printf("%s\n", m.Data)
		if received++; received == 3 {
			cancel()
		}
	})
	// Output:
	// news for you
	// news for you
	// news for you
}

// A loop ends with an error, and a *CloseError tells how the peer has ended it.
func ExampleConn_ReadMessage() {
	client, server := pipe()
	go func() {
		_ = client.WriteMessage(websocket.TextMessage, []byte("Hello"))
		_ = client.WriteMessage(websocket.BinaryMessage, []byte{1, 2, 3})
		_ = client.Shutdown(context.Background(), websocket.CloseGoingAway, "the page is left")
	}()
	for {
		messageType, p, err := server.ReadMessage()
		if closed := new(websocket.CloseError); errors.As(err, &closed) {
			fmt.Println(closed.Code, closed.Text)
			return
		} else if err != nil {
			log.Print(err) // of the network, or the peer broke a rule
			return
		}
		fmt.Println(messageType == websocket.TextMessage, len(p))
	}
	// Output:
	// true 5
	// false 3
	// 1001 the page is left
}

// A message of any size, read piece by piece into little memory.
func ExampleConn_NextReader() {
	client, server := pipe()
	defer client.Close()
	go client.WriteMessage(websocket.TextMessage, []byte("red\ngreen\nblue\n"))
	messageType, r, err := server.NextReader()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(messageType == websocket.TextMessage)
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		fmt.Println(lines.Text())
	}
	fmt.Println(lines.Err()) // nil: the message has come to its end
	// Output:
	// true
	// red
	// green
	// blue
	// <nil>
}

// A message that is too large ends the connection, before it is there.
func ExampleConn_SetReadLimit() {
	client, server := pipe()
	server.SetReadLimit(1 << 10)
	told := make(chan error)
	go func() {
		_, _, err := client.ReadMessage()
		told <- err
	}()
	go client.WriteMessage(websocket.TextMessage, make([]byte, 1<<20))
	_, _, err := server.ReadMessage()
	fmt.Println("server:", err)
	fmt.Println("client:", websocket.IsCloseError(<-told, websocket.CloseMessageTooBig))
	_ = server.Close()
	// Output:
	// server: websocket: read limit exceeded
	// client: true
}

// A read that has timed out before a message came may be repeated.
func ExampleConn_SetReadDeadline() {
	client, server := pipe()
	defer client.Close()
	_ = server.SetReadDeadline(time.Now().Add(time.Millisecond))
	_, _, err := server.ReadMessage()
	fmt.Println(errors.Is(err, os.ErrDeadlineExceeded), server.Context().Err())

	_ = server.SetReadDeadline(time.Time{})
	go client.WriteMessage(websocket.TextMessage, []byte("Hello"))
	_, p, err := server.ReadMessage()
	fmt.Printf("%s %v\n", p, err)
	// Output:
	// true <nil>
	// Hello <nil>
}

func ExampleConn_Messages() {
	client, server := pipe()
	go func() {
		_ = client.WriteMessage(websocket.TextMessage, []byte("one"))
		_ = client.WriteMessage(websocket.TextMessage, []byte("two"))
		_ = client.Shutdown(context.Background(), websocket.CloseNormalClosure, "")
	}()
	for m, err := range server.Messages(context.Background()) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s\n", m.Data)
	}
	// Output:
	// one
	// two
}

func ExampleConn_Serve() {
	client, server := pipe()
	go func() {
		_ = server.Serve(context.Background(), func(m websocket.Message) error {
			return server.WriteMessage(m.Type, []byte(strings.ToUpper(string(m.Data))))
		})
	}()
	_ = client.WriteMessage(websocket.TextMessage, []byte("hello"))
	_, p, _ := client.ReadMessage()
	fmt.Printf("%s\n", p)
	fmt.Println(client.Shutdown(context.Background(), websocket.CloseNormalClosure, "done"))
	// Output:
	// HELLO
	// <nil>
}

// An idle connection that was started needs no goroutine: neither one of this
// package nor that of the HTTP server.
func ExampleConn_Start() {
	var upgrader websocket.Upgrader
	ended := make(chan error)
	url, stop := serve(upgrader.Handler(func(c *websocket.Conn, r *http.Request) error {
		user := r.URL.Query().Get("user") // r's context ends when this function returns
		c.Start(func(m websocket.Message) error {
			return c.WriteMessage(m.Type, fmt.Appendf(nil, "%s: %s", user, m.Data))
		}, func(err error) { ended <- err })
		return nil
	}))
	defer stop()

	c, _, err := websocket.DefaultDialer.Dial(url+"?user=ann", nil)
	if err != nil {
		log.Fatal(err)
	}
	_ = c.WriteMessage(websocket.TextMessage, []byte("hello"))
	_, p, _ := c.ReadMessage()
	fmt.Printf("%s\n", p)
	fmt.Println(c.Shutdown(context.Background(), websocket.CloseNormalClosure, ""))
	fmt.Println(<-ended)
	// Output:
	// ann: hello
	// <nil>
	// <nil>
}

// A context that ends while nothing comes costs nothing.
func ExampleConn_ReadMessageContext() {
	client, server := pipe()
	defer client.Close()
	defer server.Close()
	for range 2 {
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		_, _, err := server.ReadMessageContext(ctx, nil)
		cancel()
		fmt.Println(err)
	}
	go client.WriteMessage(websocket.TextMessage, []byte("Hello"))
	buf := make([]byte, 0, 512)
	_, p, err := server.ReadMessageContext(context.Background(), buf)
	fmt.Printf("%s %v\n", p, err)
	// Output:
	// context deadline exceeded
	// context deadline exceeded
	// Hello <nil>
}

// Any number of goroutines may write: messages do not interleave.
func ExampleConn_WriteMessage() {
	client, server := pipe()
	defer client.Close()
	for _, name := range []string{"ann", "bob", "eve"} {
		go server.WriteMessage(websocket.TextMessage, []byte("hello from "+name))
	}
	for range 3 {
		_, p, err := client.ReadMessage()
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s\n", p)
	}
	// Unordered output:
	// hello from ann
	// hello from bob
	// hello from eve
}

func ExampleConn_WriteMessageContext() {
	client, _ := pipe()
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	fmt.Println(client.WriteMessageContext(ctx, websocket.TextMessage, []byte("nobody reads this")))
	// Output: context deadline exceeded
}

// A large message in pieces, in both directions, without ever holding the whole.
func ExampleConn_NextWriter() {
	client, server := pipe()
	defer client.Close()
	go func() {
		w, err := client.NextWriter(websocket.TextMessage)
		if err != nil {
			return
		}
		for i := range 3 {
			fmt.Fprintf(w, "line %d\n", i)
		}
		_ = w.Close() // sends the last fragment: the message is complete
	}()
	_, r, err := server.NextReader()
	if err != nil {
		log.Fatal(err)
	}
	_, _ = io.Copy(os.Stdout, r)
	// Output:
	// line 0
	// line 1
	// line 2
}

func ExampleConn_WriteJSON() {
	type order struct {
		Item  string `json:"item"`
		Count int    `json:"count"`
	}
	client, server := pipe()
	defer client.Close()
	go client.WriteJSON(order{"tea", 2})
	var o order
	err := server.ReadJSON(&o)
	fmt.Println(o, err)
	// Output: {tea 2} <nil>
}

// A request and its answer. What is not JSON is an error, and the connection goes on.
func ExampleConn_ReadJSON() {
	client, server := pipe()
	defer client.Close()
	go func() {
		for {
			var n []int
			err := server.ReadJSON(&n)
			var broken *json.SyntaxError
			switch {
			case errors.As(err, &broken):
				_ = server.WriteJSON(map[string]string{"error": "that is not JSON"})
			case err != nil:
				return
			default:
				_ = server.WriteJSON(map[string]int{"numbers": len(n)})
			}
		}
	}()
	for _, request := range []string{"[1, 2, 3]", "[1,, 2]"} {
		_ = client.WriteMessage(websocket.TextMessage, []byte(request))
		var answer map[string]any
		fmt.Println(client.ReadJSON(&answer), answer)
	}
	// Output:
	// <nil> map[numbers:3]
	// <nil> map[error:that is not JSON]
}

// One message for many, encoded once.
func ExamplePreparedMessage() {
	pm, err := websocket.NewPreparedMessage(websocket.TextMessage, []byte("to all"))
	if err != nil {
		log.Fatal(err)
	}
	var sending sync.WaitGroup
	for range 3 {
		client, server := pipe()
		sending.Go(func() { _ = server.WritePreparedMessage(pm) })
		_, p, _ := client.ReadMessage()
		fmt.Printf("%s\n", p)
	}
	sending.Wait()
	// Output:
	// to all
	// to all
	// to all
}

// A chat room: whatever one says goes to all, and nobody is held up by a slow one.
func ExampleGroup() {
	var (
		room   websocket.Group
		served sync.WaitGroup
	)
	upgrader := websocket.Upgrader{Options: websocket.Options{
		Group:        &room,
		SlowConsumer: websocket.CloseSlow,
		WriteTimeout: 10 * time.Second,
	}}
	chat := upgrader.Handler(func(c *websocket.Conn, r *http.Request) error {
		return c.Serve(r.Context(), func(m websocket.Message) error {
			pm, err := websocket.NewPreparedMessage(m.Type, m.Data)
			if err == nil {
				room.Broadcast(pm)
			}
			return err
		})
	})
	server := &http.Server{Addr: "localhost:8080", Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		served.Add(1)
		defer served.Done()
		chat.ServeHTTP(w, r)
	})}
	go func() { log.Print(server.ListenAndServe()) }()

	// On a signal it takes no more connections, takes leave of all, and waits for their
	// handlers.
	signals, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	<-signals.Done()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	pages := make(chan error, 1)
	go func() { pages <- server.Shutdown(ctx) }() // may wait for connections that a browser has not used yet
	_ = room.Shutdown(ctx, websocket.CloseGoingAway, "back in a minute")
	if err := <-pages; err != nil {
		log.Print(err)
	}
	served.Wait()
}

// News for all who are connected, of whom none holds up another.
func ExampleGroup_Broadcast() {
	var room websocket.Group
	upgrader := websocket.Upgrader{Options: websocket.Options{Group: &room}}
	url, stop := serve(upgrader.Handler(echo))
	defer stop()

	var clients []*websocket.Conn
	for range 3 {
		c, _, err := websocket.DefaultDialer.Dial(url, nil)
		if err != nil {
			log.Fatal(err)
		}
		defer c.Close()
		_ = c.WriteMessage(websocket.TextMessage, nil) // when it is back, the server has joined c
		_, _, _ = c.ReadMessage()
		clients = append(clients, c)
	}
	pm, err := websocket.NewPreparedMessage(websocket.TextMessage, []byte("it rains"))
	if err != nil {
		log.Fatal(err)
	}
	room.Broadcast(pm)
	fmt.Println("sent to", room.Len())
	for _, c := range clients {
		_, p, err := c.ReadMessage()
		fmt.Printf("%s %v\n", p, err)
	}
	// Output:
	// sent to 3
	// it rains <nil>
	// it rains <nil>
	// it rains <nil>
}

// A server takes leave of all of its clients.
func ExampleGroup_Shutdown() {
	var room websocket.Group
	var clients []*websocket.Conn
	for range 2 {
		client, server := pipe()
		room.Add(server)
		clients = append(clients, client)
	}
	ended := make(chan error)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		ended <- room.Shutdown(ctx, websocket.CloseServiceRestart, "back in a minute")
	}()
	var reading sync.WaitGroup
	for _, c := range clients {
		reading.Go(func() {
			_, _, err := c.ReadMessage()
			fmt.Println(err)
		})
	}
	reading.Wait()
	fmt.Println(<-ended, room.Len())
	// Output:
	// websocket: close 1012 (service restart): back in a minute
	// websocket: close 1012 (service restart): back in a minute
	// <nil> 0
}

// A server that would rather skip a value than wait for a slow client.
func ExampleConn_TryWriteMessage() {
	clientEnd, serverEnd := net.Pipe()
	client := websocket.NewConn(clientEnd, websocket.Negotiated{}, websocket.Options{})
	server := websocket.NewConn(serverEnd, websocket.Negotiated{Server: true}, websocket.Options{WriteQueue: 1 << 10})
	defer server.Close()
	defer client.Close()

	skipped := int64(0)
	for price := range 1000 { // the client does not read yet
		err := server.TryWriteMessage(websocket.TextMessage, fmt.Appendf(nil, "price %d", price))
		if errors.Is(err, websocket.ErrWriteQueueFull) {
			skipped++ // there will be a newer one
		} else if err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println(skipped > 0, skipped == server.Stats().Dropped)
	_, p, err := client.ReadMessage()
	fmt.Printf("%s %v\n", p, err)
	// Output:
	// true true
	// price 0 <nil>
}

// Many small messages, and then the certainty that the network has them all.
func ExampleConn_Flush() {
	client, server := pipe()
	defer client.Close()
	go func() {
		for {
			if _, _, err := client.ReadMessage(); err != nil {
				return
			}
		}
	}()
	_ = server.SetWriteDeadline(time.Now().Add(10 * time.Second)) // for Flush too
	for i := range 1000 {
		if err := server.TryWriteMessage(websocket.TextMessage, fmt.Append(nil, i)); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println(server.Flush(), server.Stats().Queued)
	// Output: <nil> 0
}

func ExampleConn_Stats() {
	client, server := pipe()
	defer client.Close()
	go func() {
		_, _, _ = client.ReadMessage()
		_ = client.WriteMessage(websocket.TextMessage, []byte("Hello yourself"))
	}()
	_ = server.WriteMessage(websocket.TextMessage, []byte("Hello"))
	_, _, _ = server.ReadMessage()
	s := server.Stats()
	fmt.Println("written:", s.MessagesWritten, s.PayloadWritten, s.WireWritten)
	fmt.Println("read:", s.MessagesRead, s.PayloadRead, s.WireRead) // a client's headers are larger by four bytes
	fmt.Println("waiting:", s.Queued, "dropped:", s.Dropped)
	// Output:
	// written: 1 5 7
	// read: 1 14 20
	// waiting: 0 dropped: 0
}

// What both ends have agreed on.
func ExampleConn_Negotiated() {
	upgrader := websocket.Upgrader{Subprotocols: []string{"chat"}, EnableCompression: true}
	url, stop := serve(upgrader.Handler(func(c *websocket.Conn, r *http.Request) error {
		n := c.Negotiated()
		return c.WriteJSON([]any{n.Server, n.Subprotocol, n.Compression != nil})
	}))
	defer stop()
	for _, d := range []websocket.Dialer{
		{Subprotocols: []string{"soap", "chat"}, EnableCompression: true},
		{},
	} {
		c, _, err := d.Dial(url, nil)
		if err != nil {
			log.Fatal(err)
		}
		var theirs []any
		_ = c.ReadJSON(&theirs)
		ours := c.Negotiated()
		fmt.Println("server:", theirs, "client:", ours.Server, ours.Subprotocol, ours.Compression != nil)
		_ = c.Close()
	}
	// Output:
	// server: [true chat true] client: false chat true
	// server: [true  false] client: false  false
}

// Compression with context takeover, and what the other end made of it.
func ExampleCompression() {
	squeeze := websocket.Options{Compression: &websocket.Compression{}}
	upgrader := websocket.Upgrader{Options: squeeze}
	url, stop := serve(upgrader.Handler(echo))
	defer stop()

	dialer := websocket.Dialer{Options: squeeze}
	c, _, err := dialer.Dial(url, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	if terms := c.Negotiated().Compression; terms != nil {
		fmt.Println("the server's window:", 1<<terms.ServerMaxWindowBits, "bytes, kept between messages:", !terms.ServerNoContextTakeover)
	}
	err = c.WriteMessage(websocket.TextMessage, []byte(strings.Repeat("hello ", 100)))
	if err != nil {
		log.Fatal(err)
	}
	_, p, err := c.ReadMessage()
	fmt.Println(len(p), err)
	// Output:
	// the server's window: 4096 bytes, kept between messages: true
	// 600 <nil>
}

func ExampleConn_Ping() {
	client, server := pipe()
	defer client.Close()
	go server.ReadMessage() // answers pings
	go client.ReadMessage() // sees the pong
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	rtt, err := client.Ping(ctx)
	fmt.Println(rtt > 0, err)
	// Output: true <nil>
}

// A close frame of one's own wording, where Shutdown would wait for the answer.
func ExampleConn_WriteControl() {
	client, server := pipe()
	go func() {
		p := websocket.FormatCloseMessage(websocket.ClosePolicyViolation, "too many messages")
		_ = server.WriteControl(websocket.CloseMessage, p, time.Now().Add(time.Second))
		fmt.Println(server.WriteMessage(websocket.TextMessage, []byte("one more thing")))
		_, _, _ = server.ReadMessage() // until the client's answer
		_ = server.Close()
	}()
	_, _, err := client.ReadMessage()
	<-server.Context().Done()
	fmt.Println(err)
	// Output:
	// websocket: close sent
	// websocket: close 1008 (policy violation): too many messages
}

func ExampleConn_Shutdown() {
	client, server := pipe()
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = server.Shutdown(ctx, websocket.CloseGoingAway, "back in a minute")
	}()
	_, _, err := client.ReadMessage()
	if closed := new(websocket.CloseError); errors.As(err, &closed) {
		fmt.Println(closed.Code, closed.Text)
	}
	// Output: 1001 back in a minute
}

// The end of a connection, for goroutines that do not read it.
func ExampleConn_Context() {
	client, server := pipe()
	defer client.Close()
	context.AfterFunc(server.Context(), func() { /* take it off a list */ })
	_ = server.Close()
	<-server.Context().Done()
	fmt.Println(errors.Is(context.Cause(server.Context()), net.ErrClosed))
	// Output: true
}

// Any protocol of lines or bytes, over messages.
func ExampleConn_Stream() {
	client, server := pipe()
	go func() {
		nc := client.Stream(websocket.BinaryMessage)
		fmt.Fprint(nc, "first li")
		fmt.Fprint(nc, "ne\nsecond line\n")
		_ = nc.Close()
	}()
	lines := bufio.NewScanner(server.Stream(websocket.BinaryMessage))
	for lines.Scan() {
		fmt.Println(lines.Text())
	}
	fmt.Println(lines.Err())
	// Output:
	// first line
	// second line
	// <nil>
}

func ExampleJoinMessages() {
	client, server := pipe()
	go func() {
		_ = client.WriteMessage(websocket.TextMessage, []byte("one"))
		_ = client.WriteMessage(websocket.TextMessage, []byte("two"))
		_ = client.Shutdown(context.Background(), websocket.CloseNormalClosure, "")
	}()
	p, err := io.ReadAll(websocket.JoinMessages(server, "\n"))
	fmt.Printf("%s%v\n", p, err)
	// Output:
	// one
	// two
	// websocket: close 1000 (normal)
}

// Keepalive takes one option; a handler for pongs tells of each.
func ExampleConn_SetPongHandler() {
	client, server := pipe()
	defer client.Close()
	server.SetPongHandler(func(appData string) error {
		fmt.Println("pong:", appData)
		return server.Close()
	})
	go client.ReadMessage() // answers pings
	go server.WriteControl(websocket.PingMessage, []byte("there?"), time.Now().Add(time.Second))
	_, _, err := server.ReadMessage()
	fmt.Println(errors.Is(err, net.ErrClosed))
	// Output:
	// pong: there?
	// true
}

// What is to be done when the peer says good-bye, before the read returns it.
func ExampleConn_SetCloseHandler() {
	client, server := pipe()
	answer := server.CloseHandler()
	server.SetCloseHandler(func(code int, text string) error {
		fmt.Println("leaving:", code, text)
		return answer(code, text)
	})
	go client.Shutdown(context.Background(), websocket.CloseNormalClosure, "enough")
	_, _, err := server.ReadMessage()
	fmt.Println(err)
	// Output:
	// leaving: 1000 enough
	// websocket: close 1000 (normal): enough
}

// Which ends are worth a line in a log, and which are not.
func ExampleIsUnexpectedCloseError() {
	for _, err := range []error{
		&websocket.CloseError{Code: websocket.CloseGoingAway},
		fmt.Errorf("room 7: %w", &websocket.CloseError{Code: websocket.CloseAbnormalClosure}),
		net.ErrClosed,
	} {
		fmt.Println(websocket.IsUnexpectedCloseError(err, websocket.CloseNormalClosure, websocket.CloseGoingAway))
	}
	// Output:
	// false
	// true
	// false
}

// A handshake that was done elsewhere.
func ExampleNewConn() {
	clientEnd, serverEnd := net.Pipe()
	opts := websocket.Options{ReadLimit: 1 << 10, WriteTimeout: 5 * time.Second}
	server := websocket.NewConn(serverEnd, websocket.Negotiated{Server: true, Subprotocol: "chat"}, opts)
	client := websocket.NewConn(clientEnd, websocket.Negotiated{Subprotocol: "chat"}, opts)
	defer client.Close()
	go server.WriteMessage(websocket.TextMessage, []byte("Hello"))
	_, p, err := client.ReadMessage()
	fmt.Printf("%s: %s %v\n", client.Subprotocol(), p, err)
	// Output: chat: Hello <nil>
}

// A log of what happens on connections.
func ExampleTrace() {
	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey { // which is another one each time
				return slog.Attr{}
			}
			return a
		},
	}))
	ended := make(chan struct{})
	trace := &websocket.Trace{
		Handshake: func(h websocket.HandshakeInfo) {
			path := ""
			if h.Request != nil { // it is nil if what came was malformed
				path = h.Request.URL.Path
			}
			logger.Info("handshake", "path", path, "err", h.Err)
		},
		MessageRead: func(c *websocket.Conn, m websocket.MessageInfo) {
			logger.Info("read", "bytes", m.Payload, "compressed", m.Compressed, "smaller", m.Wire < m.Payload)
		},
		MessageWritten: func(c *websocket.Conn, m websocket.MessageInfo) {
			logger.Info("written", "bytes", m.Payload, "compressed", m.Compressed, "smaller", m.Wire < m.Payload)
		},
		Closed: func(c *websocket.Conn, e websocket.CloseInfo) {
			logger.Info("closed", "by", e.By, "code", e.Code, "reason", e.Reason)
			close(ended)
		},
	}
	upgrader := websocket.Upgrader{Options: websocket.Options{Trace: trace, Compression: &websocket.Compression{}}}
	url, stop := serve(upgrader.Handler(echo))
	defer stop()

	d := websocket.Dialer{EnableCompression: true}
	c, _, err := d.Dial(url+"/ws", nil)
	if err != nil {
		log.Fatal(err)
	}
	for _, message := range []string{"Hello", strings.Repeat("Hello, again. ", 100)} {
		if err := c.WriteMessage(websocket.TextMessage, []byte(message)); err != nil {
			log.Fatal(err)
		}
		if _, _, err := c.ReadMessage(); err != nil {
			log.Fatal(err)
		}
	}
	if err := c.Shutdown(context.Background(), websocket.CloseNormalClosure, "done"); err != nil {
		log.Fatal(err)
	}
	<-ended
	// Output:
	// level=INFO msg=handshake path=/ws err=<nil>
	// level=INFO msg=read bytes=5 compressed=false smaller=false
	// level=INFO msg=written bytes=5 compressed=false smaller=false
	// level=INFO msg=read bytes=1400 compressed=true smaller=true
	// level=INFO msg=written bytes=1400 compressed=true smaller=true
	// level=INFO msg=closed by=peer code=1000 reason=done
}

// Two who watch the same connections.
func ExampleMultiTrace() {
	count := &websocket.Trace{Opened: func(*websocket.Conn) { fmt.Println("one more") }}
	ends := &websocket.Trace{Closed: func(_ *websocket.Conn, e websocket.CloseInfo) { fmt.Println("ended by", e.By) }}
	nc, _ := net.Pipe()
	c := websocket.NewConn(nc, websocket.Negotiated{}, websocket.Options{Trace: websocket.MultiTrace(count, ends)})
	_ = c.Close()
	// Output:
	// one more
	// ended by us
}

// The header of the frame of RFC 6455, section 5.7, that holds a masked "Hello".
func ExampleParseFrameHeader() {
	frame := []byte{0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58}
	h, n, err := websocket.ParseFrameHeader(frame)
	if err != nil {
		log.Fatal(err)
	}
	payload := frame[n : n+int(h.Length)]
	websocket.Mask(h.MaskKey, 0, payload)
	fmt.Println(h.Fin, h.Opcode == websocket.TextMessage, h.Masked, string(payload))
	// Output: true true true Hello
}

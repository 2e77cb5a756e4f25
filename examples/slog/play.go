package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/duplexkit/websocket"
)

// A server echoes messages, but for one that makes it fail.
type server struct {
	all    websocket.Group
	served sync.WaitGroup
}

var errBroken = errors.New("the database is gone") // which the client is not told

// serve answers on ln until ctx ends, then closes every connection with 1001.
func (s *server) serve(ctx context.Context, ln net.Listener, l *Log) error {
	upgrader := websocket.Upgrader{Options: websocket.Options{
		Compression: &websocket.Compression{},
		Group:       &s.all,
		Trace:       l.Trace(),
	}}
	echo := upgrader.Handler(func(c *websocket.Conn, r *http.Request) error {
		return c.Serve(r.Context(), func(m websocket.Message) error {
			if string(m.Data) == "fail" { // the trace knows no more than the client: 1011
				l.logger().Error("handler failed", l.Conn(c), "err", errBroken)
				return errBroken
			}
			return c.WriteMessage(m.Type, m.Data)
		})
	})
	mux := http.NewServeMux()
	mux.HandleFunc("/ws", func(w http.ResponseWriter, r *http.Request) {
		s.served.Add(1) // before the upgrade
		defer s.served.Done()
		echo.ServeHTTP(w, r)
	})
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(ln) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	stopped := make(chan error, 1)
	go func() { stopped <- srv.Shutdown(ctx) }()
	_ = s.all.Shutdown(ctx, websocket.CloseGoingAway, "server is shutting down")
	err := <-stopped
	s.served.Wait()
	return err
}

func listenAndServe(ctx context.Context, addr string, l *Log) error {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	l.logger().Info("serving", "url", fmt.Sprintf("ws://%v/ws", ln.Addr()))
	return new(server).serve(ctx, ln, l)
}

// play has a server and a client play what may come, one connection after the other.
func play(ctx context.Context, l *Log, both bool) error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := new(server)
	ended := make(chan error, 1)
	go func() { ended <- s.serve(ctx, ln, l) }()

	dialer := websocket.Dialer{Options: websocket.Options{Compression: &websocket.Compression{}}}
	if both {
		dialer.Trace = l.Trace()
	}
	url := "ws://" + ln.Addr().String() + "/ws?token=secret"
	err = refused(ctx, dialer, url)
	for i, scene := range []func(c *websocket.Conn) error{farewell, cut, breakRule, fail} {
		if err == nil {
			err = playScene(ctx, dialer, url, i+2, scene)
			s.served.Wait() // one at a time, so that the log is easy to read
		}
	}
	if err == nil {
		err = playScene(ctx, dialer, url, 6, func(c *websocket.Conn) error {
			if err := echoed(c, "Hello"); err != nil {
				return err
			}
			cancel() // the server ends, and takes leave of who is left
			return expect(c, websocket.CloseGoingAway)
		})
	}
	cancel()
	return errors.Join(err, <-ended)
}

// playScene plays one on a connection of its own, whose request has a number.
func playScene(ctx context.Context, d websocket.Dialer, url string, number int, scene func(c *websocket.Conn) error) error {
	c, _, err := d.DialContext(ctx, url, http.Header{"X-Request-Id": {"request-" + strconv.Itoa(number)}})
	if err != nil {
		return err
	}
	defer c.Close()
	return scene(c)
}

// refused comes from a page of another origin.
func refused(ctx context.Context, d websocket.Dialer, url string) error {
	c, _, err := d.DialContext(ctx, url, http.Header{"X-Request-Id": {"request-1"}, "Origin": {"https://evil.example"}})
	if err == nil {
		c.Close()
		return errors.New("another origin was not refused")
	}
	if errors.Is(err, websocket.ErrBadHandshake) {
		return nil
	}
	return err
}

// echoed sends a message and waits until it comes back.
func echoed(c *websocket.Conn, message string) error {
	if err := c.WriteMessage(websocket.TextMessage, []byte(message)); err != nil {
		return err
	}
	_, p, err := c.ReadMessage()
	if err == nil && string(p) != message {
		err = fmt.Errorf("%q came back as %q", message, p)
	}
	return err
}

// farewell is a connection as it should be.
func farewell(c *websocket.Conn) error {
	if err := echoed(c, "Hello"); err != nil {
		return err
	}
	if err := echoed(c, strings.Repeat("Hello, again. ", 100)); err != nil {
		return err
	}
	return c.Shutdown(context.Background(), websocket.CloseNormalClosure, "done")
}

// cut goes without a word.
func cut(c *websocket.Conn) error {
	if err := echoed(c, "Hello"); err != nil {
		return err
	}
	return c.Close()
}

// breakRule sends text that is not UTF-8.
func breakRule(c *websocket.Conn) error {
	if err := c.WriteMessage(websocket.TextMessage, []byte{0xff}); err != nil {
		return err
	}
	return expect(c, websocket.CloseInvalidFramePayloadData)
}

// fail sends what the server's handler fails at.
func fail(c *websocket.Conn) error {
	if err := c.WriteMessage(websocket.TextMessage, []byte("fail")); err != nil {
		return err
	}
	return expect(c, websocket.CloseInternalServerErr)
}

// expect reads the server's close frame.
func expect(c *websocket.Conn, code int) error {
	_, _, err := c.ReadMessage()
	if !websocket.IsCloseError(err, code) {
		return fmt.Errorf("not closed with %d: %w", code, err)
	}
	return nil
}

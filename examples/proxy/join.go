package main

import (
	"errors"
	"io"
	"time"

	"github.com/duplexkit/websocket"
)

// join passes on all that either end sends until one of them ends, and returns why.
//
// What has been read from one end and not been written to the other is a buffer or two. As
// long as an end does not read, the other one is not read from, and has to wait in its turn.
func (p *proxy) join(client, backend *websocket.Conn) error {
	p.passControl(backend, client)
	p.passControl(client, backend)
	ends := make(chan error, 2)
	go func() { ends <- passMessages(backend, client) }()
	go func() { ends <- passMessages(client, backend) }()
	drop := func() {
		client.Close()
		backend.Close()
	}

	why := <-ends
	if inOrder(why) {
		// The close frame has been passed on, and the other end may have messages on their way
		// before it answers. Its answer is passed on, too.
		late := time.AfterFunc(farewell, drop)
		<-ends
		late.Stop()
		drop()
	} else {
		drop() // so that the other end sees what we have seen: a connection that was lost
		<-ends
	}
	return why
}

// inOrder reports whether err is that of an end that has sent a close frame, or was sent one
// by the proxy, which is shutting down.
func inOrder(err error) bool {
	var closed *websocket.CloseError
	return errors.Is(err, websocket.ErrCloseSent) ||
		errors.As(err, &closed) && closed.Code != websocket.CloseAbnormalClosure
}

// passMessages passes on messages as they come, piece by piece.
func passMessages(dst, src *websocket.Conn) error {
	for {
		messageType, r, err := src.NextReader()
		if err != nil {
			return err
		}
		w, err := dst.NextWriter(messageType)
		if err != nil {
			return err
		}
		// A message that breaks off here stays open there: half of one must not look whole.
		if _, err := io.Copy(w, r); err != nil {
			return err
		}
		if err := w.Close(); err != nil {
			return err
		}
	}
}

// passControl passes on the control frames of src. That takes the place of the answers which
// a connection gives by itself: the pong and the close frame that src gets are those of the
// other end. The handlers run where messages are read, and so all stays in order.
func (p *proxy) passControl(dst, src *websocket.Conn) {
	pass := func(messageType int, data []byte) error {
		err := dst.WriteControl(messageType, data, time.Now().Add(p.stall))
		if errors.Is(err, websocket.ErrCloseSent) {
			return nil // after which nothing may be sent, and nothing is missed
		}
		return err
	}
	src.SetPingHandler(func(data string) error { return pass(websocket.PingMessage, []byte(data)) })
	src.SetPongHandler(func(data string) error { return pass(websocket.PongMessage, []byte(data)) })
	src.SetCloseHandler(func(code int, reason string) error {
		return pass(websocket.CloseMessage, websocket.FormatCloseMessage(code, reason))
	})
}

package integrity

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"github.com/duplexkit/websocket"
)

// A receiver is what a reading goroutine has.
type receiver struct {
	c    *websocket.Conn
	v    *verifier
	rnd  *rand.Rand
	gate gate                            // where the sender waits and reads are given up, nil if nowhere
	echo func(m websocket.Message) error // what a handler does with a message besides, nil is nothing
}

// A gate holds the sender up before every gateEvery-th message, until the receiver has waited for that in vain. Only then is it certain
// that a read which is given up is not within a message, where that ends the connection.
type gate chan struct{}

const gateEvery = 23

func (g gate) at(seq int) bool { return g != nil && seq%gateEvery == gateEvery-1 }

// A reading is a way to receive messages, until the connection ends. It returns how it ended, or what is wrong with a message.
type reading struct {
	name string
	end  ending
	read func(r *receiver) error
	kind kind // of the messages it can receive
	one  bool // it has to know the sizes of messages: there is one sender
	halt bool // it gives up reads where there is a gate
}

// ending is how a reading ends when the peer closes the connection with code 1000.
type ending uint8

const (
	endsWithCloseError ending = iota
	endsSilently
	endsWithEOF
)

var (
	readMessage        = reading{name: "ReadMessage", read: (*receiver).messages, halt: true}
	readMessageContext = reading{name: "ReadMessageContext", read: (*receiver).messagesContext, halt: true}
	nextReader         = reading{name: "NextReader", read: (*receiver).readers}
	messages           = reading{name: "Messages", read: (*receiver).iterate, end: endsSilently, halt: true}
	serve              = reading{name: "Serve", read: (*receiver).serve, end: endsSilently}
	start              = reading{name: "Start", read: (*receiver).start, end: endsSilently}
	readJSON           = reading{name: "ReadJSON", read: (*receiver).values, kind: jsonText}
	streamRead         = reading{name: "Stream.Read", read: (*receiver).stream, end: endsWithEOF, kind: onlyBinary, one: true}
	joinMessages       = reading{name: "JoinMessages", read: (*receiver).joined, one: true}
)

// readings are all of them.
var readings = []reading{readMessage, readMessageContext, nextReader, messages, serve, start, readJSON, streamRead, joinMessages}

// judge tells whether the reading ended well, after close code 1000 and with nothing missing.
func (rd reading) judge(r *receiver, err error) error {
	switch {
	case rd.end == endsWithCloseError && websocket.IsCloseError(err, websocket.CloseNormalClosure),
		rd.end == endsWithEOF && err == io.EOF,
		rd.end == endsSilently && err == nil:
		return r.v.complete()
	case err == nil:
		err = errors.New("no error")
	}
	return fmt.Errorf("%s ended with: %w", rd.name, errors.Join(err, r.v.complete()))
}

// gated reports whether the sender waits, for the receiver to give up a read.
func (r *receiver) gated() bool {
	return r.gate != nil && r.gate.at(r.v.next[0]) && r.v.next[0] < r.v.plans[0].count
}

// interrupted checks the error of a read that was given up, and lets the sender go on.
func (r *receiver) interrupted(err, want error) error {
	if !errors.Is(err, want) {
		return fmt.Errorf("given up with %w, want %w", err, want)
	}
	if cause := context.Cause(r.c.Context()); cause != nil {
		return fmt.Errorf("ended by a read that was given up: %w", cause)
	}
	r.gate <- struct{}{}
	return nil
}

var errGivenUp = errors.New("given up")

// doomed returns a context that ends by itself: at once, while a read waits, or about when it begins to.
func (r *receiver) doomed() (ctx context.Context, cancel context.CancelFunc) {
	ctx, end := context.WithCancelCause(context.Background())
	switch r.rnd.IntN(3) {
	case 0:
		end(errGivenUp)
	case 1:
		go end(errGivenUp)
	case 2:
		time.AfterFunc(time.Duration(r.rnd.IntN(300))*time.Microsecond, func() { end(errGivenUp) })
	}
	return ctx, func() { end(errGivenUp) }
}

func (r *receiver) messages() error {
	for {
		if r.gated() {
			deadline := time.Now().Add(time.Duration(r.rnd.IntN(200)-100) * time.Microsecond)
			if err := r.c.SetReadDeadline(deadline); err != nil {
				return err
			}
			_, _, err := r.c.ReadMessage()
			if err := r.c.SetReadDeadline(time.Time{}); err != nil {
				return err
			}
			if err := r.interrupted(err, os.ErrDeadlineExceeded); err != nil {
				return err
			}
		}
		messageType, p, err := r.c.ReadMessage()
		if err != nil {
			return err
		}
		if p == nil {
			return errors.New("an empty message is nil")
		}
		if err := r.v.check(messageType, p); err != nil {
			return err
		}
	}
}

// messagesContext reads behind a prefix in memory of its own, which is too small for some and none for others.
func (r *receiver) messagesContext() error {
	const prefix = "before"
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	memory := append(make([]byte, 0, 20_000), prefix...)
	for {
		dst := memory
		if r.rnd.IntN(4) == 0 {
			dst = []byte(prefix)
		}
		if r.gated() {
			doomed, cancel := r.doomed()
			messageType, p, err := r.c.ReadMessageContext(doomed, dst)
			cancel()
			if err := r.interrupted(err, errGivenUp); err != nil {
				return err
			}
			if messageType != -1 || string(p) != prefix {
				return fmt.Errorf("given up with type %d and %q", messageType, p)
			}
		}
		messageType, p, err := r.c.ReadMessageContext(ctx, dst)
		if err != nil {
			return err
		}
		if !strings.HasPrefix(string(p[:len(prefix)]), prefix) {
			return fmt.Errorf("%q where %q was", p[:len(prefix)], prefix)
		}
		if err := r.v.check(messageType, p[len(prefix):]); err != nil {
			return err
		}
	}
}

// readers reads by NextReader, in many sizes and with what else there is.
func (r *receiver) readers() error {
	var (
		whole bytes.Buffer
		chunk = make([]byte, 64<<10)
	)
	for {
		messageType, m, err := r.c.NextReader()
		if err != nil {
			return err
		}
		whole.Reset()
		switch r.rnd.IntN(6) {
		case 0:
			_, err = io.Copy(&whole, m)
		case 1:
			_, err = io.Copy(struct{ io.Writer }{&whole}, m)
		default:
			err = r.chunks(&whole, m, chunk)
		}
		if err != nil {
			return err
		}
		if n, err := m.Read(chunk); n != 0 || err != io.EOF {
			return fmt.Errorf("%d bytes and %w after the end", n, err)
		}
		if err := r.v.check(messageType, whole.Bytes()); err != nil {
			return err
		}
	}
}

// chunks reads to the end.
func (r *receiver) chunks(whole *bytes.Buffer, m io.Reader, chunk []byte) error {
	size := []int{1, 7, 125, 512, 4096, len(chunk)}[r.rnd.IntN(6)]
	for i := 0; ; i++ {
		if i == 300 { // small ones have been tried enough
			size = max(size, 4097)
		}
		n, err := m.Read(chunk[:size])
		whole.Write(chunk[:n])
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// iterate breaks off now and then, and begins again.
func (r *receiver) iterate() error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for {
		if r.gated() {
			doomed, cancel := r.doomed()
			var got error
			for _, err := range r.c.Messages(doomed) {
				got = err
			}
			cancel()
			if err := r.interrupted(got, errGivenUp); err != nil {
				return err
			}
		}
		left := 1 + r.rnd.IntN(50)
		for m, err := range r.c.Messages(ctx) {
			if err != nil {
				return err
			}
			if err := r.v.check(m.Type, m.Data); err != nil {
				return err
			}
			if left--; left == 0 || r.gated() {
				left = 0
				break
			}
		}
		if left > 0 {
			return nil
		}
	}
}

func (r *receiver) serve() error { return r.c.Serve(context.Background(), r.handle) }

func (r *receiver) start() error {
	done := make(chan error, 1)
	r.c.Start(r.handle, func(err error) { done <- err })
	return <-done
}

func (r *receiver) handle(m websocket.Message) error {
	if err := r.v.check(m.Type, m.Data); err != nil || r.echo == nil {
		return err
	}
	return r.echo(m)
}

// values reads JSON, as what it is or as what Go makes of it.
func (r *receiver) values() error {
	for {
		var (
			raw  json.RawMessage
			text string
			p    []byte
			err  error
		)
		size, _ := r.v.due()
		if size >= jsonExtra && r.rnd.IntN(2) == 0 {
			err = r.c.ReadJSON(&text)
			p = append(append(append(p, '"'), text...), '"')
		} else {
			err = r.c.ReadJSON(&raw)
			p = append(p, raw...)
		}
		if size == 0 && errors.Is(err, io.ErrUnexpectedEOF) && r.c.Context().Err() == nil {
			err = nil // there is no value in it
		}
		if err != nil {
			return err
		}
		if size > 1 {
			p = append(p, '\n') // which is no part of the value
		}
		if err := r.v.check(websocket.TextMessage, p); err != nil {
			return err
		}
	}
}

// stream reads messages off a stream by their sizes, with deadlines that pass in the middle of them.
func (r *receiver) stream() error {
	s := r.c.Stream(websocket.BinaryMessage)
	impatient := readerFunc(func(p []byte) (int, error) {
		if r.rnd.IntN(64) == 0 {
			// A net.Pipe whose other end is closed refuses, though what came before is still to be read.
			_ = s.SetReadDeadline(time.Now().Add(time.Duration(r.rnd.IntN(100)) * time.Microsecond))
		}
		n, err := s.Read(p)
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
		_ = s.SetReadDeadline(time.Time{})
		return n, nil
	})
	return r.bytes(impatient, "")
}

func (r *receiver) joined() error {
	const term = "\x00|"
	return r.bytes(websocket.JoinMessages(r.c, term), term)
}

// bytes reads messages by their sizes, each with the term behind it.
func (r *receiver) bytes(from io.Reader, term string) error {
	memory := make([]byte, 1<<17)
	for {
		size, ok := r.v.due()
		if !ok {
			n, err := io.ReadFull(from, memory[:1])
			if n > 0 {
				return fmt.Errorf("more than was sent: %q", memory[:n])
			}
			return err
		}
		p := memory[:size+len(term)]
		limit := []int{1, 7, 125, 4096, len(memory)}[r.rnd.IntN(5)]
		for i, n := 0, 0; n < len(p); i++ {
			if i == 300 { // small ones have been tried enough
				limit = max(limit, 4097)
			}
			m, err := from.Read(p[n:min(len(p), n+limit)])
			n += m
			if err != nil {
				return err
			}
		}
		if string(p[size:]) != term {
			return fmt.Errorf("%q in the place of the term", p[size:])
		}
		if err := r.v.check(0, p[:size]); err != nil {
			return err
		}
	}
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

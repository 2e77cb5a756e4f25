//go:build unix

package interop

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket"
)

// tap passes connections on to another address and notes what goes over them. It
// lies between the ends, so that neither sees anything but plain TCP.
type tap struct {
	addr string

	mu    sync.Mutex
	wires map[string]*wire // by the address of either end
}

// wire is what went over one connection. What an end got was noted before.
type wire struct{ fromClient, fromServer stream }

func newWire() *wire {
	return &wire{stream{over: make(chan struct{})}, stream{over: make(chan struct{})}}
}

// newTap returns a tap before the given address.
func newTap(t *testing.T, target string) *tap {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &tap{addr: ln.Addr().String(), wires: make(map[string]*wire)}
	var running sync.WaitGroup
	var conns []net.Conn
	running.Go(func() {
		for {
			client, err := ln.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", target)
			if err != nil {
				client.Close()
				continue
			}
			w := newWire()
			p.mu.Lock()
			p.wires[client.RemoteAddr().String()] = w
			p.wires[server.LocalAddr().String()] = w
			conns = append(conns, client, server)
			p.mu.Unlock()
			running.Go(func() { pass(server, client, &w.fromClient) })
			running.Go(func() { pass(client, server, &w.fromServer) })
		}
	})
	t.Cleanup(func() {
		ln.Close()
		p.mu.Lock()
		for _, nc := range conns {
			nc.Close()
		}
		p.mu.Unlock()
		running.Wait()
	})
	return p
}

func pass(dst, src net.Conn, s *stream) {
	io.Copy(dst, io.TeeReader(src, s))
	s.finish()
	dst.(*net.TCPConn).CloseWrite()
}

// of returns the wire to one end of which the given address belongs.
func (p *tap) of(addr string) *wire {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.wires[addr]
}

// only returns the one wire there is.
func (p *tap) only() *wire {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, w := range p.wires {
		return w
	}
	return nil
}

// all returns every wire, some of them twice.
func (p *tap) all() []*wire {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Collect(maps.Values(p.wires))
}

// ofCase returns the wire of the connection that was opened for a case.
func (p *tap) ofCase(t *testing.T, name string) *wire {
	for _, w := range p.all() {
		if w.fromClient.caseName() == name {
			return w
		}
	}
	require.FailNow(t, "no connection", name)
	return nil
}

// stream is one direction of a wire.
type stream struct {
	mu       sync.Mutex
	head     string   // request or response, "" before it is complete
	rest     []byte   // of a head or frame that is incomplete
	messages []sent   // without control frames
	closing  string   // the code and reason of its close frame, "" before there is one
	pings    []string // their payloads
	pongs    []string
	finished bool
	over     chan struct{} // closed with the close frame, or the end
}

// sent is a message as it went over the wire.
type sent struct {
	size       int64 // of its payload, in bytes
	fragments  int
	compressed bool
}

// Write notes the next bytes.
func (s *stream) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rest = append(s.rest, p...)
	if s.head == "" {
		head, rest, found := bytes.Cut(s.rest, []byte("\r\n\r\n"))
		if !found {
			return len(p), nil
		}
		s.head, s.rest = string(head)+"\r\n", rest
	}
	if !strings.Contains(strings.ToLower(s.head), "\r\nsec-websocket-") {
		s.rest = nil // a page, or an error
	}
	for {
		h, n, err := websocket.ParseFrameHeader(s.rest)
		if err != nil || h.Length > int64(len(s.rest)-n) {
			return len(p), nil
		}
		payload := s.rest[n : n+int(h.Length)]
		s.rest = s.rest[n+int(h.Length):]
		switch h.Opcode {
		case websocket.TextMessage, websocket.BinaryMessage:
			s.messages = append(s.messages, sent{h.Length, 1, h.RSV1})
		case 0: // a continuation
			m := &s.messages[len(s.messages)-1]
			m.size += h.Length
			m.fragments++
		case websocket.PingMessage:
			s.pings = append(s.pings, string(unmasked(h, payload)))
		case websocket.PongMessage:
			s.pongs = append(s.pongs, string(unmasked(h, payload)))
		case websocket.CloseMessage:
			s.closing = closePayload(unmasked(h, payload))
			s.finishLocked()
		}
	}
}

// unmasked unmasks the payload of a frame in place.
func unmasked(h websocket.FrameHeader, p []byte) []byte {
	if h.Masked {
		websocket.Mask(h.MaskKey, 0, p)
	}
	return p
}

// closePayload is the code and reason of a close frame, as closing has them.
func closePayload(p []byte) string {
	if len(p) < 2 {
		return fmt.Sprintf("%d ", websocket.CloseNoStatusReceived)
	}
	return fmt.Sprintf("%d %s", binary.BigEndian.Uint16(p), p[2:])
}

// finish is called when nothing more is to come.
func (s *stream) finish() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.finishLocked()
}

func (s *stream) finishLocked() {
	if !s.finished {
		s.finished = true
		close(s.over)
	}
}

// close waits for the close frame and returns its code and reason.
func (s *stream) close(ctx context.Context) string {
	select {
	case <-s.over:
	case <-ctx.Done():
		return "too late"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return cmp.Or(s.closing, "no close frame")
}

// control returns the payloads of the pings and of the pongs.
func (s *stream) control() (pings, pongs []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.pings), slices.Clone(s.pongs)
}

// count returns how many messages have begun.
func (s *stream) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.messages)
}

// since returns the messages after the first n.
func (s *stream) since(n int) []sent {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.messages[n:])
}

// status returns the status line of a response, or the first line of a request.
func (s *stream) status() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	line, _, _ := strings.Cut(s.head, "\r\n")
	return line
}

// caseName returns what the target of a request has as ?case=NAME.
func (s *stream) caseName() string {
	_, rest, _ := strings.Cut(s.status(), " ")
	target, _, _ := strings.Cut(rest, " ")
	u, err := url.Parse(target)
	if err != nil {
		return ""
	}
	return u.Query().Get("case")
}

var extensionsField = regexp.MustCompile(`(?i)\r\nsec-websocket-extensions:[ \t]*([^\r]*)`)

// extensions returns the values of Sec-WebSocket-Extensions.
func (s *stream) extensions() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var values []string
	for _, field := range extensionsField.FindAllStringSubmatch(s.head, -1) {
		values = append(values, field[1])
	}
	return strings.Join(values, " AND ")
}

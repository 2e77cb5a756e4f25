// Package h2wire is an end of an HTTP/2 connection (RFC 9113) made of frames, for the peers that judge and attack the library: it does
// what it is told, right or wrong, and shares no code with what it is told to speak to. Of golang.org/x/net/http2 it has the framing and the
// header compression, but neither streams nor windows nor the rest of the state.
//
// A Stream of an extended CONNECT (RFC 8441) is a network connection whose deadlines can be taken back. By itself an end answers SETTINGS
// and PING, keeps to the windows that it is granted, and grants what was read.
package h2wire

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// EnableConnect is SETTINGS_ENABLE_CONNECT_PROTOCOL (RFC 8441, section 3).
const EnableConnect = http2.SettingEnableConnectProtocol

// Config is how an end behaves. The zero value is an ordinary end.
type Config struct {
	Settings []http2.Setting // what it announces; a server that can do extended CONNECT has EnableConnect here
	Hold     bool            // it grants no more than the first windows by itself
	Cut      int             // most octets in a DATA frame, 0 is as many as the peer takes
	Pad      int             // octets of padding in each DATA frame
}

// Conn is an end of an HTTP/2 connection.
type Conn struct {
	nc     net.Conn
	config Config
	server bool
	ours   uint32 // window that we grant a new stream

	writing sync.Mutex // of frames, and what stands before them
	fr      *http2.Framer
	head    bytes.Buffer
	enc     *hpack.Encoder
	nextID  uint32

	mu       sync.Mutex
	changed  chan struct{} // closed when something below, or of a stream, changes
	settings map[http2.SettingID]uint32
	settled  bool // the peer's first SETTINGS came
	window   int  // what we may send on the connection
	streams  map[uint32]*Stream
	arrived  []*Stream // opened by the peer, and not accepted yet
	lastID   uint32    // of these, the latest
	goAway   *http2.ErrCode
	pings    int   // answers to pings that came
	err      error // the end of the connection
	over     chan struct{}
}

// NewClient begins a connection as the client.
func NewClient(nc net.Conn, config Config) (*Conn, error) {
	if _, err := io.WriteString(nc, http2.ClientPreface); err != nil {
		return nil, err
	}
	return start(nc, bufio.NewReader(nc), config, false)
}

// NewServer begins a connection as the server, once the client's preface is here.
func NewServer(nc net.Conn, config Config) (*Conn, error) {
	br := bufio.NewReader(nc)
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(br, preface); err != nil {
		return nil, err
	}
	if string(preface) != http2.ClientPreface {
		return nil, fmt.Errorf("h2wire: %q is not the preface of a client", preface)
	}
	return start(nc, br, config, true)
}

func start(nc net.Conn, br *bufio.Reader, config Config, server bool) (*Conn, error) {
	c := &Conn{
		nc: nc, config: config, server: server, nextID: 1, changed: make(chan struct{}), settings: map[http2.SettingID]uint32{},
		window: 65535, ours: 65535, streams: map[uint32]*Stream{}, over: make(chan struct{}),
	}
	for _, s := range config.Settings {
		if s.ID == http2.SettingInitialWindowSize {
			c.ours = s.Val
		}
	}
	c.enc = hpack.NewEncoder(&c.head)
	c.fr = http2.NewFramer(nc, br)
	c.fr.AllowIllegalWrites = true
	c.fr.SetMaxReadFrameSize(1<<24 - 1)
	c.fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	err := c.Frame(func(fr *http2.Framer) error { return fr.WriteSettings(config.Settings...) })
	if err != nil {
		return nil, err
	}
	go c.read()
	return c, nil
}

// Frame has f write frames, which come between those of others.
func (c *Conn) Frame(f func(fr *http2.Framer) error) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	return f(c.fr)
}

// Ping sends a PING and waits for the answer: what was sent before has been taken in then.
func (c *Conn) Ping(patience time.Duration) error {
	c.mu.Lock()
	before := c.pings
	c.mu.Unlock()
	if err := c.Frame(func(fr *http2.Framer) error { return fr.WritePing(false, [8]byte{1}) }); err != nil {
		return err
	}
	return c.wait(time.Now().Add(patience), func() bool { return c.pings > before })
}

// Settings waits for the peer's first SETTINGS and returns what they say.
func (c *Conn) Settings(patience time.Duration) (map[http2.SettingID]uint32, error) {
	if err := c.wait(time.Now().Add(patience), func() bool { return c.settled }); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	all := map[http2.SettingID]uint32{}
	for id, v := range c.settings {
		all[id] = v
	}
	return all, nil
}

// GoneAway waits for the peer's GOAWAY and returns its code.
func (c *Conn) GoneAway(patience time.Duration) (http2.ErrCode, error) {
	if err := c.wait(time.Now().Add(patience), func() bool { return c.goAway != nil }); err != nil {
		return 0, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return *c.goAway, nil
}

// Close ends the network connection, and returns when nothing of ours runs any more.
func (c *Conn) Close() error {
	err := c.nc.Close()
	<-c.over
	return err
}

// Over is closed when the connection has ended.
func (c *Conn) Over() <-chan struct{} { return c.over }

// Open begins a stream, as a client, with header fields in pairs: those whose names begin with a colon first. With end it is over as
// far as we are concerned.
func (c *Conn) Open(end bool, fields ...string) (*Stream, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	s := c.newStream(c.nextID)
	s.sentEnd = end
	c.nextID += 2
	c.mu.Lock()
	c.streams[s.ID] = s
	c.mu.Unlock()
	return s, c.headers(s.ID, end, fields)
}

// OpenSocket begins a stream for a WebSocket (RFC 8441, section 5), with further header fields in pairs.
func (c *Conn) OpenSocket(scheme, authority, path string, fields ...string) (*Stream, error) {
	return c.Open(false, append([]string{
		":method", "CONNECT", ":protocol", "websocket", ":scheme", scheme, ":authority", authority, ":path", path, "sec-websocket-version", "13",
	}, fields...)...)
}

// headers sends header fields. The caller has writing.
func (c *Conn) headers(id uint32, end bool, fields []string) error {
	c.head.Reset()
	for i := 0; i+1 < len(fields); i += 2 {
		if err := c.enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]}); err != nil {
			return err
		}
	}
	return c.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: c.head.Bytes(), EndStream: end, EndHeaders: true})
}

// Accept returns the next stream that the peer has begun.
func (c *Conn) Accept(patience time.Duration) (*Stream, error) {
	deadline := time.Time{}
	if patience > 0 {
		deadline = time.Now().Add(patience)
	}
	if err := c.wait(deadline, func() bool { return len(c.arrived) > 0 }); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.arrived[0]
	c.arrived = c.arrived[1:]
	return s, nil
}

// wait returns when done, which is called with mu, reports true. The end of the connection and the deadline, if it is not zero, are errors.
func (c *Conn) wait(deadline time.Time, done func() bool) error {
	for {
		c.mu.Lock()
		if done() {
			c.mu.Unlock()
			return nil
		}
		err, changed := c.err, c.changed
		c.mu.Unlock()
		if err != nil {
			return err
		}
		if !await(changed, deadline) {
			return os.ErrDeadlineExceeded
		}
	}
}

// await reports whether the channel is closed before the deadline, zero for none.
func await(changed <-chan struct{}, deadline time.Time) bool {
	if deadline.IsZero() {
		<-changed
		return true
	}
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	select {
	case <-changed:
		return true
	case <-timer.C:
		return false
	}
}

// change wakes whoever waits. The caller has mu.
func (c *Conn) change() {
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *Conn) newStream(id uint32) *Stream {
	s := &Stream{Conn: c, ID: id}
	c.mu.Lock()
	defer c.mu.Unlock()
	s.window = c.initialWindow()
	return s
}

// initialWindow is what the peer grants a new stream. The caller has mu.
func (c *Conn) initialWindow() int {
	if v, ok := c.settings[http2.SettingInitialWindowSize]; ok {
		return int(v)
	}
	return 65535
}

// read takes in frames until the connection ends.
func (c *Conn) read() {
	defer close(c.over)
	for {
		f, err := c.fr.ReadFrame()
		if stream, ok := errors.AsType[http2.StreamError](err); ok {
			c.mu.Lock()
			c.end(stream.StreamID, fmt.Errorf("h2wire: %w", err))
			c.mu.Unlock()
			continue
		}
		if err == nil {
			err = c.take(f)
		}
		if err != nil {
			c.mu.Lock()
			c.err = fmt.Errorf("h2wire: the connection has ended: %w", err)
			c.change()
			c.mu.Unlock()
			return
		}
	}
}

// take acts on a frame. An error is that of answering it.
func (c *Conn) take(f http2.Frame) error {
	switch f := f.(type) {
	case *http2.SettingsFrame:
		if f.IsAck() {
			return nil
		}
		c.mu.Lock()
		before := c.initialWindow()
		_ = f.ForeachSetting(func(s http2.Setting) error {
			c.settings[s.ID] = s.Val
			return nil
		})
		for _, s := range c.streams { // RFC 9113, section 6.9.2
			s.window += c.initialWindow() - before
		}
		c.settled = true
		c.change()
		c.mu.Unlock()
		return c.Frame((*http2.Framer).WriteSettingsAck)
	case *http2.PingFrame:
		if !f.IsAck() {
			return c.Frame(func(fr *http2.Framer) error { return fr.WritePing(true, f.Data) })
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.pings++
		c.change()
	case *http2.WindowUpdateFrame:
		c.mu.Lock()
		defer c.mu.Unlock()
		if f.StreamID == 0 {
			c.window += int(f.Increment)
		} else if s := c.streams[f.StreamID]; s != nil {
			s.window += int(f.Increment)
		}
		c.change()
	case *http2.GoAwayFrame:
		c.mu.Lock()
		defer c.mu.Unlock()
		code := f.ErrCode
		c.goAway = &code
		c.change()
	case *http2.RSTStreamFrame:
		c.mu.Lock()
		defer c.mu.Unlock()
		c.end(f.StreamID, &Reset{f.ErrCode})
	case *http2.MetaHeadersFrame:
		c.begin(f)
	case *http2.DataFrame:
		return c.data(f)
	}
	return nil
}

// begin takes in header fields: the peer opens a stream, or answers ours.
func (c *Conn) begin(f *http2.MetaHeadersFrame) {
	c.mu.Lock()
	s, fresh := c.streams[f.StreamID], false
	c.mu.Unlock()
	if s == nil {
		if !c.server || f.StreamID <= c.lastID {
			return // an answer on a stream that we have given up
		}
		c.lastID = f.StreamID
		s, fresh = c.newStream(f.StreamID), true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if fresh {
		c.streams[s.ID] = s
		c.arrived = append(c.arrived, s)
	}
	if s.header == nil {
		s.header = f.Fields
	}
	if f.StreamEnded() {
		s.end(io.EOF)
	}
	c.change()
}

// data takes in DATA. What belongs to the connection's window is granted again at once, so that no stream waits for another.
func (c *Conn) data(f *http2.DataFrame) error {
	c.mu.Lock()
	if s := c.streams[f.StreamID]; s != nil && s.err == nil {
		s.in = append(s.in, f.Data()...)
		s.padding += int(f.Length) - len(f.Data())
		s.frames++
		if f.StreamEnded() {
			s.end(io.EOF)
		}
		c.change()
	}
	c.mu.Unlock()
	if f.Length == 0 || c.config.Hold {
		return nil
	}
	return c.Frame(func(fr *http2.Framer) error { return fr.WriteWindowUpdate(0, f.Length) })
}

// end ends what comes on a stream. The caller has mu.
func (c *Conn) end(id uint32, err error) {
	if s := c.streams[id]; s != nil {
		s.end(err)
		if err != io.EOF {
			s.reset = err
		}
		c.change()
	}
}

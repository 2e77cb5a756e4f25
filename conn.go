package websocket

import (
	"net"
	"time"
)

// Options are what an Upgrader and a Dialer share. The zero value works.
type Options struct {
	// ReadLimit is the largest message that may be read, in bytes. 0 is
	// DefaultReadLimit for whole-message reads (ReadMessage, Messages, Serve,
	// ReadJSON; a NextReader streams and has none), negative is no limit.
	ReadLimit int64
	// WriteTimeout is the longest that one message may take to be written;
	// 0 is no limit. A deadline set by SetWriteDeadline replaces it.
	WriteTimeout time.Duration
	// PingInterval: ping the peer after this long without hearing from it; 0 is never.
	PingInterval time.Duration
	// PingTimeout: fail the connection after this much further silence; 0 is PingInterval.
	PingTimeout time.Duration
	// CloseTimeout bounds the peer's part of the closing handshake; 0 is 5 s.
	CloseTimeout time.Duration
	// AllowInvalidUTF8 delivers text that is not UTF-8 instead of failing the
	// connection with 1007 (RFC 6455, section 8.1).
	AllowInvalidUTF8 bool
	// Compression asks for permessage-deflate on these terms; nil leaves it to EnableCompression.
	Compression *Compression
}

// buffers are the sizes that Upgrader and Dialer take besides Options.
type buffers struct {
	read, write int        // bytes, 0 is 4096
	pool        BufferPool // where a NextWriter borrows its buffer, nil is a pool of our own
}

// BufferPool is a pool of write buffers; *sync.Pool is one.
type BufferPool interface {
	Get() any
	Put(any)
}

// Conn is a WebSocket connection.
type Conn struct {
	nc net.Conn
	n  Negotiated
}

func newConn(nc net.Conn, n Negotiated, opts Options, b buffers) *Conn { return &Conn{nc: nc, n: n} }

func (c *Conn) NetConn() net.Conn      { return c.nc }
func (c *Conn) Negotiated() Negotiated { return c.n }
func (c *Conn) Close() error           { return c.nc.Close() }

package integrity

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket"
	"github.com/duplexkit/websocket/internal/wstest"
)

// A transport makes the two ends of a network connection.
type transport struct {
	name string
	link func(t testing.TB) (client, server net.Conn)
}

var transports = []transport{
	{"TCP", func(t testing.TB) (client, server net.Conn) { return wstest.TCP(t) }},
	{"TLS", overTLS},
	{"pipe", func(t testing.TB) (client, server net.Conn) { return wstest.Pipe(t) }},
}

// identity is a certificate and how to trust it.
var identity = sync.OnceValue(func() (id struct {
	certificate tls.Certificate
	roots       *x509.CertPool
}) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(24 * time.Hour), DNSNames: []string{"localhost"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	id.certificate = tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	id.roots = x509.NewCertPool()
	id.roots.AddCert(leaf)
	return id
})

// overTLS is a TLS connection over TCP, after its handshake.
func overTLS(t testing.TB) (client, server net.Conn) {
	t.Helper()
	id := identity()
	clientEnd, serverEnd := wstest.TCP(t)
	s := tls.Server(serverEnd, &tls.Config{Certificates: []tls.Certificate{id.certificate}})
	c := tls.Client(clientEnd, &tls.Config{RootCAs: id.roots, ServerName: "localhost"})
	done := make(chan error, 1)
	go func() { done <- s.Handshake() }()
	require.NoError(t, c.Handshake())
	require.NoError(t, <-done)
	return c, s
}

// A mode is a way to compress.
type mode struct {
	name        string
	enable      bool // EnableCompression, and no terms
	compression *websocket.Compression
}

var modes = []mode{
	{name: "plain"},
	{name: "takeover", compression: &websocket.Compression{}},
	{name: "no takeover", enable: true},
	{name: "large window", compression: &websocket.Compression{Level: 6, Threshold: -1, ServerMaxWindowBits: 15, ClientMaxWindowBits: 15}},
}

var plain, deflated = modes[:1], modes[1:]

// terms are what a connection is made with.
type terms struct {
	transport
	mode
	fromServer bool // the server is the end called ours
	buffers    int  // ReadBufferSize and WriteBufferSize
	options    websocket.Options
}

func (tm terms) String() string {
	direction := "client to server"
	if tm.fromServer {
		direction = "server to client"
	}
	return tm.transport.name + ", " + tm.mode.name + ", " + direction
}

// upgrader and dialer are those of the two ends.
func (tm terms) upgrader() *websocket.Upgrader {
	opts := tm.options
	opts.Compression = tm.compression
	return &websocket.Upgrader{ReadBufferSize: tm.buffers, WriteBufferSize: tm.buffers, EnableCompression: tm.enable, Options: opts}
}

func (tm terms) dialer(nc net.Conn) *websocket.Dialer {
	opts := tm.options
	opts.Compression = tm.compression
	return &websocket.Dialer{
		NetDialContext:    func(context.Context, string, string) (net.Conn, error) { return nc, nil },
		NetDialTLSContext: func(context.Context, string, string) (net.Conn, error) { return nc, nil },
		ReadBufferSize:    tm.buffers,
		WriteBufferSize:   tm.buffers,
		EnableCompression: tm.enable,
		Options:           opts,
	}
}

// url is what the dialer dials.
func (tm terms) url() string {
	if tm.transport.name == "TLS" {
		return "wss://localhost/"
	}
	return "ws://localhost/"
}

// connect opens a connection through the handshake of both ends.
func connect(t testing.TB, tm terms) (ours, theirs *websocket.Conn) {
	t.Helper()
	clientEnd, serverEnd := tm.link(t)
	client, server := wstest.Handshake(t, clientEnd, serverEnd,
		func(nc net.Conn) (*websocket.Conn, error) {
			c, _, err := tm.dialer(nc).Dial(tm.url(), nil)
			return c, err
		},
		func(nc net.Conn) (*websocket.Conn, error) {
			c, _, err := tm.upgrader().UpgradeConn(nc)
			return c, err
		})
	t.Cleanup(func() {
		client.Close()
		server.Close()
	})
	requireMode(t, tm.mode, client)
	requireMode(t, tm.mode, server)
	if tm.fromServer {
		return server, client
	}
	return client, server
}

// requireMode checks that compression was agreed on as the mode has it.
func requireMode(t testing.TB, m mode, c *websocket.Conn) {
	t.Helper()
	got := c.Negotiated().Compression
	require.Equal(t, m.enable || m.compression != nil, got != nil)
	if got != nil {
		require.Equal(t, m.enable, got.ServerNoContextTakeover)
		require.Equal(t, m.enable, got.ClientNoContextTakeover)
	}
}

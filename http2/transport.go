//lint:file-ignore SA1019 what is said to take its place, http.Transport, refuses the header field ":protocol"

package http2

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http2"
)

// A Transport opens WebSockets over HTTP/2, many on one connection to a server, for the
// Transport of a websocket.Dialer. It remembers which servers can't, and leaves those to
// HTTP/1.1. The zero value is ready; it goes through no proxy. A Transport may be used
// concurrently and must not be copied.
type Transport struct {
	// TLSClientConfig is used for wss; nil is the default configuration. It is cloned at
	// first use, and NextProtos set.
	TLSClientConfig *tls.Config

	// NetDialContext makes network connections; nil is a net.Dialer.
	NetDialContext func(ctx context.Context, network, addr string) (net.Conn, error)

	// Unencrypted says that servers of ws URLs speak HTTP/2 without TLS and are known
	// to (RFC 9113, section 3.3): an http.Server, say, whose Protocols has
	// UnencryptedHTTP2. One that does not makes Dial fail. If it is false, ws URLs are left
	// to HTTP/1.1.
	Unencrypted bool

	once          sync.Once
	secure, clear *http2.Transport // x/net's keep connections by address, whatever the scheme
	tls           *tls.Config

	mu      sync.Mutex
	without map[string]time.Time // until when a host, with its scheme, is taken for one that can't
}

const (
	// memory is how long a Transport remembers that a server can't do it. The server may
	// be another one by then.
	memory = 10 * time.Minute

	// remembered is of how many servers it does, of any if there are more.
	remembered = 1000

	// idleTime is how long a connection stays open without a stream.
	idleTime = 90 * time.Second

	// After this long without a frame the server is pinged, and has so long to answer
	// (RFC 9113, section 6.7): a dead connection must not be chosen for ever.
	pingAfter   = 15 * time.Second
	pingTimeout = 5 * time.Second
)

// A refusal is what comes of a server that speaks no HTTP/2, or no extended CONNECT.
type refusal struct{ reason string }

func (e *refusal) Error() string { return "http2: " + e.reason }

// Is makes it an errors.ErrUnsupported, at which a Dialer goes on with HTTP/1.1.
func (e *refusal) Is(target error) bool { return target == errors.ErrUnsupported }

// RoundTrip sends an extended CONNECT request and returns the response. The request's URL
// is https or http; the header field ":protocol" makes it what it is. An error that
// matches errors.ErrUnsupported says that the server does not do it.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	host := req.URL.Scheme + "://" + req.URL.Host
	var cannot *refusal
	switch {
	case req.Method != http.MethodConnect || len(req.Header[":protocol"]) != 1:
		return nil, t.decline(req, errors.New("http2: not an extended CONNECT request"))
	case req.URL.Scheme == "http" && !t.Unencrypted:
		return nil, t.decline(req, &refusal{"not without TLS, unless Transport.Unencrypted is set"})
	case t.knows(host):
		return nil, t.decline(req, &refusal{"the server did not do extended CONNECT before"})
	}
	t.once.Do(t.prepare)
	resp, err := t.roundTrip(req)
	if err != nil && strings.Contains(err.Error(), notSupported) {
		err = &refusal{"the server does not do extended CONNECT"}
	}
	if errors.As(err, &cannot) {
		t.remember(host)
	}
	return resp, err
}

// roundTrip returns when the request's context ends, also while another request's dial is
// waited for, which x/net's do not.
func (t *Transport) roundTrip(req *http.Request) (*http.Response, error) {
	h2 := t.secure
	if req.URL.Scheme == "http" {
		h2 = t.clear
	}
	type result struct {
		resp *http.Response
		err  error
	}
	results := make(chan result)
	ctx := req.Context()
	go func() {
		resp, err := h2.RoundTrip(req)
		select {
		case results <- result{resp, err}:
		case <-ctx.Done():
			if err == nil {
				resp.Body.Close()
			}
		}
	}()
	select {
	case r := <-results:
		return r.resp, r.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// notSupported is what golang.org/x/net/http2 says of a server that has not announced
// SETTINGS_ENABLE_CONNECT_PROTOCOL. The error is not exported.
const notSupported = "extended connect not supported by peer"

// decline closes the body of a request that is not sent, as a RoundTripper has to.
func (t *Transport) decline(req *http.Request, err error) error {
	if req.Body != nil {
		req.Body.Close()
	}
	return err
}

// CloseIdleConnections closes the connections that have no stream.
func (t *Transport) CloseIdleConnections() {
	t.once.Do(t.prepare)
	t.secure.CloseIdleConnections()
	t.clear.CloseIdleConnections()
}

func (t *Transport) prepare() {
	if t.tls = t.TLSClientConfig.Clone(); t.tls == nil {
		t.tls = &tls.Config{}
	}
	t.tls.NextProtos = []string{http2.NextProtoTLS, "http/1.1"}
	t.secure = newHTTP2()
	t.secure.DialTLSContext = t.dialTLS
	t.clear = newHTTP2()
	t.clear.AllowHTTP = true
	t.clear.DialTLSContext = func(ctx context.Context, network, addr string, _ *tls.Config) (net.Conn, error) {
		nc, err := t.dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &smallFrames{Conn: nc}, nil
	}
}

// newHTTP2 returns what the two have in common.
func newHTTP2() *http2.Transport {
	return &http2.Transport{
		DisableCompression: true,
		IdleConnTimeout:    idleTime,
		ReadIdleTimeout:    pingAfter,
		PingTimeout:        pingTimeout,
	}
}

func (t *Transport) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if t.NetDialContext != nil {
		return t.NetDialContext(ctx, network, addr)
	}
	return new(net.Dialer).DialContext(ctx, network, addr)
}

func (t *Transport) dialTLS(ctx context.Context, network, addr string, _ *tls.Config) (net.Conn, error) {
	nc, err := t.dial(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	cfg := t.tls
	if cfg.ServerName == "" {
		cfg = cfg.Clone()
		cfg.ServerName, _, _ = net.SplitHostPort(addr)
	}
	tc := tls.Client(nc, cfg)
	if err := tc.HandshakeContext(ctx); err != nil {
		nc.Close()
		return nil, fmt.Errorf("http2: TLS handshake: %w", err)
	}
	if tc.ConnectionState().NegotiatedProtocol != http2.NextProtoTLS {
		tc.Close()
		return nil, &refusal{"the server does not speak HTTP/2"}
	}
	return &smallTLSFrames{smallFrames{Conn: tc}, tc}, nil
}

// knows reports whether the host is known for not doing it.
func (t *Transport) knows(host string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	until, ok := t.without[host]
	if ok && !time.Now().Before(until) {
		delete(t.without, host)
		return false
	}
	return ok
}

// remember notes that the host does not do it.
func (t *Transport) remember(host string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for other := range t.without {
		if len(t.without) < remembered {
			break
		}
		delete(t.without, other)
	}
	if t.without == nil {
		t.without = make(map[string]time.Time)
	}
	t.without[host] = time.Now().Add(memory)
}

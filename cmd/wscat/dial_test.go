package main

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket"
	"github.com/duplexkit/websocket/http2"
)

// newCertificate returns the names of two files in PEM, of a certificate that vouches for
// itself and its key.
func newCertificate(t *testing.T, name string) (cert, key string) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: name},
		DNSNames:              []string{name},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	require.NoError(t, err)
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	require.NoError(t, os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	require.NoError(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600))
	return cert, key
}

// serveTLS starts a server of the certificate; configure may change it before it starts.
func serveTLS(t *testing.T, h http.Handler, cert, key string, configure func(*httptest.Server)) string {
	pair, err := tls.LoadX509KeyPair(cert, key)
	require.NoError(t, err)
	s := httptest.NewUnstartedServer(h)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	s.Config.ErrorLog = quietLog
	if configure != nil {
		configure(s)
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	return "wss" + strings.TrimPrefix(s.URL, "https")
}

func TestTLS(t *testing.T) {
	t.Parallel()
	cert, key := newCertificate(t, "server.example")
	clientCert, clientKey := newCertificate(t, "client.example")
	both := filepath.Join(t.TempDir(), "both.pem")
	certPEM, err := os.ReadFile(clientCert)
	require.NoError(t, err)
	keyPEM, err := os.ReadFile(clientKey)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(both, append(certPEM, keyPEM...), 0o600))
	var upgrader websocket.Upgrader
	name := upgrader.Handler(func(c *websocket.Conn, r *http.Request) error {
		text := "nobody"
		if len(r.TLS.PeerCertificates) > 0 {
			text = r.TLS.PeerCertificates[0].Subject.CommonName
		}
		return c.WriteMessage(websocket.TextMessage, []byte(text))
	})
	url := serveTLS(t, name, cert, key, func(s *httptest.Server) { s.TLS.ClientAuth = tls.RequestClientCert })
	tests := []struct {
		name string
		args []string
		want outcome
	}{
		{"unknown authority", []string{"-server-name", "server.example"}, outcome{code: exitConnect, err: "certificate signed by unknown authority (-cacert FILE trusts another authority, -k any)"}},
		{"other name", []string{"-cacert", cert}, outcome{code: exitConnect, err: "(-server-name NAME expects another name)"}},
		{"the right name", []string{"-cacert", cert, "-server-name", "server.example"}, outcome{out: "nobody\n"}},
		{"insecure", []string{"-k"}, outcome{out: "nobody\n"}},
		{"client certificate", []string{"-insecure", "-cert", clientCert, "-key", clientKey}, outcome{out: "client.example\n"}},
		{"client certificate in one file", []string{"-k", "-cert", both}, outcome{out: "client.example\n"}},
		{"shown", []string{"-k", "-v"}, outcome{out: "nobody\n", err: "certificate of CN=server.example by CN=server.example, until "}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := wscat(t, "", append(test.args, url, "-wait", "forever")...)
			require.Contains(t, got.err, test.want.err)
			if test.want.err == "" {
				require.Empty(t, got.err)
			}
			got.err = test.want.err
			require.Equal(t, test.want, got)
		})
	}
	got := wscat(t, "", "-k", "-v", url, "-n", "1")
	require.Regexp(t, `(?m)^\* connected to wss://\S+ in \S+ \(connect \S+, TLS \S+, handshake \S+\)$`, got.err)
	require.Regexp(t, `(?m)^\* HTTP/1.1 to 127.0.0.1:\d+, TLS 1.3, TLS_`, got.err)
}

func TestHTTP2(t *testing.T) {
	t.Parallel()
	cert, key := newCertificate(t, "server.example")
	upgrader := websocket.Upgrader{Subprotocols: []string{"chat"}}
	proto := upgrader.Handler(func(c *websocket.Conn, r *http.Request) error {
		if err := c.WriteMessage(websocket.TextMessage, []byte(r.Proto)); err != nil {
			return err
		}
		return echo(c, r)
	})
	over2 := serveTLS(t, proto, cert, key, func(s *httptest.Server) {
		s.EnableHTTP2 = true
		http2.Configure(s.Config)
	})
	over1 := serveTLS(t, proto, cert, key, nil)
	clear := httptest.NewUnstartedServer(proto)
	clear.Config.Protocols = new(http.Protocols)
	clear.Config.Protocols.SetUnencryptedHTTP2(true)
	http2.Configure(clear.Config)
	clear.Start()
	t.Cleanup(clear.Close)
	tests := []struct {
		name string
		args []string
		want string
	}{
		{"with TLS", []string{"-k", "-http2", over2}, "HTTP/2.0"},
		{"not asked for", []string{"-k", over2}, "HTTP/1.1"},
		{"the server can't", []string{"-k", "-http2", over1}, "HTTP/1.1"},
		{"without TLS", []string{"-h2c", "ws" + strings.TrimPrefix(clear.URL, "http")}, "HTTP/2.0"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := wscat(t, "hello\n", append(test.args, "-n", "2", "-s", "chat", "-v")...)
			require.Equal(t, exitOK, got.code, got.err)
			require.Equal(t, test.want+"\nhello\n", got.out)
			require.Regexp(t, `(?m)^\* `+regexp.QuoteMeta(test.want)+` to 127.0.0.1:\d+`, got.err)
			require.Contains(t, got.err, "\n* subprotocol chat\n")
			if strings.HasPrefix(test.args[len(test.args)-1], "wss") {
				require.Regexp(t, `connect \S+, TLS \S+, handshake`, got.err)
			}
		})
	}
	t.Run("refused", func(t *testing.T) {
		t.Parallel()
		url := serveTLS(t, http.NotFoundHandler(), cert, key, func(s *httptest.Server) {
			s.EnableHTTP2 = true
			http2.Configure(s.Config)
		})
		got := wscat(t, "", "-k", "-http2", url)
		require.Equal(t, outcome{code: exitRefused, err: "wscat: the server refused the handshake: 404 Not Found\n404 page not found\n"}, got)
	})
	t.Run("interrupted", func(t *testing.T) {
		t.Parallel()
		l := start(t, "-k", "-http2", over2)
		l.expect("HTTP/2.0")
		l.interrupt(interruption{os.Interrupt})
		require.Equal(t, 128+signalNumber(os.Interrupt), l.end())
	})
}

func TestRefused(t *testing.T) {
	t.Parallel()
	url := serveHTTP(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/secret":
			w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
			http.Error(w, "who are you?\x1b[31m", http.StatusUnauthorized)
		case "/page":
			io.WriteString(w, "<h1>no socket</h1>")
		case "/empty":
			w.WriteHeader(http.StatusServiceUnavailable)
		case "/there":
			http.SetCookie(w, &http.Cookie{Name: "seen", Value: "there"})
			http.Redirect(w, r, "/here", http.StatusFound)
		case "/loop":
			http.Redirect(w, r, "/loop", http.StatusFound)
		case "/accept":
			w.Header().Set("Upgrade", "websocket")
			w.Header().Set("Connection", "Upgrade")
			w.Header().Set("Sec-WebSocket-Accept", "wrong")
			w.WriteHeader(http.StatusSwitchingProtocols)
		case "/here":
			var upgrader websocket.Upgrader
			upgrader.Handler(func(c *websocket.Conn, r *http.Request) error {
				return c.WriteMessage(websocket.TextMessage, []byte(r.Header.Get("Cookie")))
			}).ServeHTTP(w, r)
		}
	}))
	tests := []struct {
		path string
		args []string
		want outcome
	}{
		{"/secret", nil, outcome{code: exitRefused, err: `wscat: the server refused the handshake: 401 Unauthorized (it wants Basic realm="x")` + "\n" + `who are you?\x1b[31m` + "\n"}},
		{"/page", nil, outcome{code: exitRefused, err: "wscat: the server refused the handshake: 200 OK\n<h1>no socket</h1>\n"}},
		{"/empty", nil, outcome{code: exitRefused, err: "wscat: the server refused the handshake: 503 Service Unavailable\n"}},
		{"/there", nil, outcome{code: exitRefused, err: "wscat: the server refused the handshake: 302 Found to /here (-L follows)\n<a href=\"/here\">Found</a>.\n"}},
		{"/there", []string{"-L", "-wait", "forever"}, outcome{out: "seen=there\n"}},
		{"/loop", []string{"-L"}, outcome{code: exitRefused, err: "wscat: stopped after 10 redirects (status 302 Found)\n"}},
		{"/accept", nil, outcome{code: exitRefused, err: "wscat: bad handshake: Sec-WebSocket-Accept does not answer our key (status 101 Switching Protocols)\n"}},
	}
	for _, test := range tests {
		t.Run(test.path[1:]+strings.Join(test.args, " "), func(t *testing.T) {
			t.Parallel()
			require.Equal(t, test.want, wscat(t, "", append(test.args, url+test.path)...))
		})
	}
	got := wscat(t, "", "-v", url+"/secret")
	require.Contains(t, got.err, "\nWww-Authenticate: Basic realm=\"x\"\n")
	got = wscat(t, "", "-v", "-L", url+"/there", "-wait", "forever")
	require.Contains(t, got.err, "* 302 Found, on to ws://")
	require.Contains(t, got.err, "* connected to "+url+"/here in ")
}

func TestNoConnection(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	url := "ws://" + ln.Addr().String()
	// The kernel accepts, and nobody answers.
	got := wscat(t, "", "-connect-timeout", "10ms", url)
	require.Equal(t, outcome{code: exitTimeout, err: "wscat: no connection to " + ln.Addr().String() + " within 10ms\n"}, got)
	got = wscat(t, "", "-timeout", "10ms", "-connect-timeout", "0", url)
	require.Equal(t, outcome{code: exitTimeout, err: "wscat: not done within 10ms\n"}, got)
	require.NoError(t, ln.Close())
	got = wscat(t, "", url)
	require.Equal(t, exitConnect, got.code)
	require.Regexp(t, `^wscat: dial tcp 127.0.0.1:\d+: `, got.err)
	got = wscat(t, "", "ws://no..host", "-proxy", "none") // no name, so that no resolver is asked
	require.Equal(t, exitConnect, got.code, got.err)
}

// connectProxy is a proxy that knows CONNECT and takes every host for target.
func connectProxy(t *testing.T, target string, used *atomic.Int32) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect || r.Header.Get("Proxy-Authorization") != "Basic YW5uOnNlY3JldA==" {
			w.WriteHeader(http.StatusProxyAuthRequired)
			return
		}
		used.Add(1)
		to, err := net.Dial("tcp", target)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer to.Close()
		nc, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer nc.Close()
		io.WriteString(nc, "HTTP/1.1 200 OK\r\n\r\n")
		done := make(chan struct{})
		go func() {
			defer close(done)
			io.Copy(to, io.MultiReader(io.LimitReader(rw, int64(rw.Reader.Buffered())), nc))
			to.(*net.TCPConn).CloseWrite()
		}()
		io.Copy(nc, bufio.NewReader(to))
		nc.Close()
		<-done
	}))
	t.Cleanup(s.Close)
	return "http://ann:secret@" + strings.TrimPrefix(s.URL, "http://")
}

func TestProxy(t *testing.T) {
	t.Parallel()
	target := strings.TrimPrefix(serve(t, echo), "ws://")
	var used atomic.Int32
	proxy := connectProxy(t, target, &used)
	got := wscat(t, "hello\n", "-proxy", proxy, "-n", "1", "-v", "ws://somewhere.invalid/")
	require.Equal(t, exitOK, got.code, got.err)
	require.Equal(t, "hello\n", got.out)
	require.EqualValues(t, 1, used.Load())
	require.Contains(t, got.err, ", the proxy http://ann:xxxxx@127.0.0.1:")
	require.Regexp(t, `connect \S+, proxy \S+, handshake`, got.err)
	require.NotContains(t, got.err, "secret")

	got = wscat(t, "", "-proxy", strings.Replace(proxy, "secret", "wrong", 1), "ws://somewhere.invalid/")
	require.Equal(t, outcome{code: exitConnect, err: "wscat: proxy: CONNECT refused: 407 Proxy Authentication Required\n"}, got)
}

func TestCompression(t *testing.T) {
	t.Parallel()
	url := serve(t, echo)
	text := strings.Repeat("all work and no play ", 100)
	got := wscat(t, text+"\n"+text+"\n", "-compress=client_no_context_takeover;server_max_window_bits=10", "-n", "2", "-v", url)
	require.Equal(t, exitOK, got.code, got.err)
	require.Equal(t, text+"\n"+text+"\n", got.out)
	require.Regexp(t, `(?m)^\* permessage-deflate; client_no_context_takeover; server_max_window_bits=10; client_max_window_bits=\d+$`, got.err)
	require.Regexp(t, `sent 2 messages, 4200 bytes, \d{2,3} on the wire; received 2 messages, 4200 bytes, \d{2,3} on the wire`, got.err)

	var plain websocket.Upgrader
	got = wscat(t, "", "-compress", "-s", "chat", "-v", serveHTTP(t, plain.Handler(echo)))
	require.Contains(t, got.err, "* no compression, though it was offered\n")
	require.Contains(t, got.err, "* no subprotocol, though chat was offered\n")
}

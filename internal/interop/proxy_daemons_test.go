//go:build unix

package interop

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var (
	needApache   = []need{{"apache2", "apt-get install apache2"}}
	needLighttpd = []need{{"lighttpd", "apt-get install lighttpd lighttpd-mod-openssl"}}
	needNghttpx  = []need{{"nghttpx", "apt-get install nghttp2-proxy"}}
	needStunnel  = []need{{"stunnel4", "apt-get install stunnel4"}}
)

var reverseProxies = []row{
	{
		name:    "httputil.ReverseProxy",
		version: goVersion,
		proxy:   reverseProxy,
		untried: "wss",
		limit:   proxyLimit,
	},
	{
		name:      "nginx",
		version:   debian("nginx-light"),
		needs:     []need{{"nginx", "apt-get install nginx-light"}},
		proxy:     nginx,
		impatient: true,
		without:   map[string]int{"header Host": 403, "header Upgrade": 426, "header Connection": 426},
		limit:     proxyLimit,
	},
	{
		name:      "HAProxy",
		http2:     true,
		cameBy2:   hasVersion2,
		version:   debian("haproxy"),
		needs:     []need{{"haproxy", "apt-get install haproxy"}},
		proxy:     haproxy,
		impatient: true,
		limit:     proxyLimit,
	},
	{
		name:      "nghttpx",
		http2:     true,
		cameBy2:   hasVia2,
		version:   debian("nghttp2-proxy"),
		needs:     needNghttpx,
		proxy:     nghttpx,
		impatient: true,
		limit:     proxyLimit,
	},
	{
		name:      "Apache httpd",
		version:   debian("apache2"),
		needs:     needApache,
		full:      true,
		proxy:     apache,
		impatient: true,
		without:   map[string]int{"ProxyPreserveHost": 403},
		limit:     proxyLimit,
	},
	{
		name:    "Apache httpd, mod_proxy_wstunnel",
		version: debian("apache2"),
		needs:   needApache,
		full:    true,
		proxy:   apacheTunnel,
		noPages: true,
		remarks: "By this module alone, without mod_proxy_http, which otherwise does the work. It drops no silent connection.",
		without: map[string]int{"ProxyPreserveHost": 403},
		limit:   proxyLimit,
	},
	{
		name:      "lighttpd",
		http2:     true,
		version:   debian("lighttpd"),
		needs:     needLighttpd,
		full:      true,
		proxy:     lighttpd,
		impatient: true,
		without:   map[string]int{"proxy.header": 426},
		limit:     proxyLimit,
	},
	{
		name:    "Caddy",
		version: debian("caddy"),
		needs:   []need{{"caddy", "apt-get install caddy"}},
		full:    true,
		proxy:   caddy,
		untried: "ws",
		limit:   proxyLimit,
	},
	{
		name:      "Varnish",
		version:   debian("varnish"),
		needs:     []need{{"varnishd", "apt-get install varnish"}, {"gcc", "apt-get install gcc libc6-dev"}},
		full:      true,
		proxy:     varnish,
		untried:   "wss",
		impatient: true,
		without:   map[string]int{"return (pipe)": 426, "bereq.http.Upgrade": 426, "bereq.http.Connection": 426},
		limit:     proxyLimit,
	},
	{
		name:      "h2o",
		version:   debian("h2o"),
		needs:     []need{{"h2o", "apt-get install h2o"}},
		full:      true,
		proxy:     h2o,
		impatient: true,
		without:   map[string]int{"preserve-host": 403, "websocket: ON": 426},
		limit:     proxyLimit,
	},
	{
		name:    "hitch",
		version: debian("hitch"),
		needs:   []need{{"hitch", "apt-get install hitch"}},
		full:    true,
		proxy:   hitch,
		untried: "ws",
		limit:   proxyLimit,
	},
	{
		name:      "stunnel",
		version:   debian("stunnel4"),
		needs:     needStunnel,
		full:      true,
		proxy:     stunnel,
		untried:   "ws",
		impatient: true,
		resets:    true,
		remarks:   "Ends a silent connection by a TCP reset. A read then returns the network's error (syscall.ECONNRESET), not close code 1006.",
		limit:     proxyLimit,
	},
	{
		name:    "lighttpd, mod_wstunnel",
		version: debian("lighttpd"),
		needs:   needLighttpd,
		full:    true,
		proxy:   lighttpdTunnel,
		tunnel:  true,
		remarks: "Is a WebSocket server for a stream of bytes. Answers with subprotocol binary also if it was not offered, " +
			"against RFC 6455, section 4.2.2, so it has to be offered. Writes the close code in four digits where section 5.5.1 " +
			"has a number of two bytes, so a closing handshake ends in \"invalid close code\". Both are lighttpd's fault.",
		impatient: true,
		limit:     proxyLimit,
	},
}

var (
	needTinyproxy = []need{{"tinyproxy", "apt-get install tinyproxy"}}
	needDante     = []need{
		{"danted", "apt-get install dante-server"},
		{"/usr/share/doc/libnss-wrapper/copyright", "apt-get install libnss-wrapper"},
	}
	needSquid = []need{{"squid", "apt-get install squid"}}
)

var forwardProxies = []row{
	{
		name:      "tinyproxy",
		version:   debian("tinyproxy"),
		needs:     needTinyproxy,
		proxy:     tinyproxy,
		forward:   "http",
		impatient: true,
		limit:     proxyLimit,
	},
	{
		name:    "tinyproxy, Basic",
		version: debian("tinyproxy"),
		needs:   needTinyproxy,
		proxy:   tinyproxy,
		forward: "http",
		refusal: "407",
		limit:   proxyLimit,
	},
	{
		name:      "Dante",
		version:   debian("dante-server"),
		needs:     needDante,
		proxy:     dante,
		forward:   "socks5",
		impatient: true,
		limit:     proxyLimit,
	},
	{
		name:    "Dante, user and password",
		version: debian("dante-server"),
		needs:   needDante,
		proxy:   dante,
		forward: "socks5",
		refusal: "no acceptable authentication methods",
		limit:   proxyLimit,
	},
	{
		name:      "squid",
		version:   debian("squid"),
		needs:     needSquid,
		full:      true,
		proxy:     squid,
		forward:   "http",
		impatient: true,
		limit:     proxyLimit,
	},
	{
		name:    "squid, Basic",
		version: debian("squid"),
		needs:   needSquid,
		full:    true,
		proxy:   squid,
		forward: "http",
		refusal: "407",
		limit:   proxyLimit,
	},
	{
		name:      "squid, https_port",
		version:   debian("squid"),
		needs:     needSquid,
		full:      true,
		proxy:     squid,
		forward:   "https",
		impatient: true,
		limit:     proxyLimit,
	},
	{
		name:      "nghttpx before squid",
		version:   debian("nghttp2-proxy"),
		needs:     slices.Concat(needNghttpx, needSquid),
		full:      true,
		proxy:     nghttpxBeforeSquid,
		forward:   "https",
		impatient: true,
		limit:     proxyLimit,
	},
	{
		name:    "stunnel before squid",
		version: debian("stunnel4"),
		needs:   slices.Concat(needStunnel, needSquid),
		full:    true,
		proxy:   stunnelBeforeSquid,
		forward: "https",
		limit:   proxyLimit,
	},
}

// How the proxies are started. The files of testdata/proxies are written as
// people have them, for docs/proxies.md shows them: on the usual ports, before a
// server at port 8080, and with a minute of patience. What a test wants otherwise
// is put in, and what makes a daemon run here, as a child with files of its own,
// stands around it.

// site is where a proxy works, and on what terms.
type site struct {
	dir        string // for its files
	addr       string // where it listens
	tlsAddr    string // where it ends TLS
	backend    string // what lies behind a reverse proxy
	silence    time.Duration
	askForUser bool   // user and password of a forward proxy's clients
	without    string // lines with this text are left out of the configuration; "" leaves none out

	certificate tls.Certificate // for tlsAddr
	roots       *x509.CertPool  // that vouch for it
}

// patience is the silence after which proxies drop a connection in their files.
const patience = time.Minute

func newSite(t *testing.T, backend string) *site {
	// The certificate that net/http/httptest has for 127.0.0.1.
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	p := &site{
		dir:         emptyDir(t),
		addr:        "127.0.0.1:" + freePort(t),
		tlsAddr:     "127.0.0.1:" + freePort(t),
		backend:     backend,
		silence:     patience,
		certificate: s.TLS.Certificates[0],
		roots:       x509.NewCertPool(),
	}
	p.roots.AddCert(s.Certificate())
	return p
}

// leaf is the certificate.
func (p *site) leaf(t *testing.T) *x509.Certificate {
	cert, err := x509.ParseCertificate(p.certificate.Certificate[0])
	require.NoError(t, err)
	return cert
}

// port returns the port of an address.
func port(addr string) string {
	_, port, _ := net.SplitHostPort(addr)
	return port
}

// file writes a file of the proxy's and returns its path.
func (p *site) file(t *testing.T, name, content string) string {
	path := filepath.Join(p.dir, name)
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

// certify writes the certificate and its key to files, and both to a third one.
func (p *site) certify(t *testing.T) (cert, key, both string) {
	der, err := x509.MarshalPKCS8PrivateKey(p.certificate.PrivateKey)
	require.NoError(t, err)
	certPEM := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.certificate.Certificate[0]}))
	keyPEM := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	return p.file(t, "cert.pem", certPEM), p.file(t, "key.pem", keyPEM), p.file(t, "both.pem", certPEM+keyPEM)
}

// seconds is the silence as the proxies' files have it.
func (p *site) seconds() string {
	return strconv.Itoa(int(p.silence / time.Second))
}

// configure writes a copy of a file of testdata/proxies, with new values in the place of old ones.
func (p *site) configure(t *testing.T, name string, oldnew ...string) string {
	conf, err := os.ReadFile("testdata/proxies/" + name)
	require.NoError(t, err)
	var lines []string
	for line := range strings.Lines(string(conf)) {
		if p.without == "" || !strings.Contains(line, p.without) {
			lines = append(lines, line)
		}
	}
	kept := strings.Join(lines, "")
	require.Equal(t, p.without == "", kept == string(conf), "lines to be left out")
	for i := 0; i < len(oldnew); i += 2 {
		require.Contains(t, string(conf), oldnew[i])
	}
	return p.file(t, name, strings.NewReplacer(oldnew...).Replace(kept))
}

// run starts the proxy's program and waits until it listens.
func (p *site) run(ctx context.Context, t *testing.T, addrs []string, name string, args ...string) {
	c := start(t, name, args...)
	for _, addr := range addrs {
		c.waitListening(ctx, t, port(addr))
	}
}

// both are the addresses of a reverse proxy.
func (p *site) both() []string { return []string{p.addr, p.tlsAddr} }

func reverseProxy(_ context.Context, t *testing.T, p *site) {
	ln, err := net.Listen("tcp", p.addr)
	require.NoError(t, err)
	s := httptest.NewUnstartedServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: "http", Host: p.backend})
		r.Out.Host = r.In.Host // SetURL has put the backend's there
	}})
	s.Listener.Close()
	s.Listener = ln
	s.Start()
	t.Cleanup(s.Close)
}

func nginx(ctx context.Context, t *testing.T, p *site) {
	cert, key, _ := p.certify(t)
	conf := p.configure(t, "nginx.conf",
		"listen 80;", "listen "+p.addr+";",
		"listen 443 ", "listen "+p.tlsAddr+" ",
		"/etc/ssl/example.com.pem", cert,
		"/etc/ssl/example.com.key", key,
		"proxy_pass http://127.0.0.1:8080", "proxy_pass http://"+p.backend,
		" 60s;", " "+p.seconds()+"s;")
	main := p.file(t, "main.conf", `
daemon off;
pid nginx.pid;
worker_processes 1;
events {}
http {
    access_log /dev/stdout;
    client_body_temp_path tmp;
    proxy_temp_path tmp;
    fastcgi_temp_path tmp;
    uwsgi_temp_path tmp;
    scgi_temp_path tmp;
    include `+conf+`;
}
`)
	p.run(ctx, t, p.both(), "nginx", "-p", p.dir, "-e", "stderr", "-c", main)
}

func haproxy(ctx context.Context, t *testing.T, p *site) {
	_, _, both := p.certify(t)
	conf := p.configure(t, "haproxy.cfg",
		"bind :80\n", "bind "+p.addr+"\n",
		"bind :443 ", "bind "+p.tlsAddr+" ",
		"/etc/ssl/example.com.pem", both,
		"127.0.0.1:8080", p.backend,
		"tunnel 60s", "tunnel "+p.seconds()+"s",
		"    default_backend app\n", "    http-request set-header X-Interop-HTTP %[req.ver]\n    default_backend app\n")
	p.run(ctx, t, p.both(), "haproxy", "-db", "-f", conf)
}

func nghttpx(ctx context.Context, t *testing.T, p *site) {
	cert, key, _ := p.certify(t)
	conf := p.configure(t, "nghttpx.conf",
		"*,80;", "127.0.0.1,"+port(p.addr)+";",
		"*,443", "127.0.0.1,"+port(p.tlsAddr),
		"/etc/ssl/example.com.pem", cert,
		"/etc/ssl/example.com.key", key,
		"127.0.0.1,8080", "127.0.0.1,"+port(p.backend),
		"=60s", "="+p.seconds()+"s")
	p.run(ctx, t, p.both(), "nghttpx", "--workers=1", "--errorlog-file=/dev/stderr", "--conf="+conf)
}

func apache(ctx context.Context, t *testing.T, p *site) {
	apacheBy(ctx, t, p, "apache.conf", "proxy_http", "Timeout 60\n", "Timeout "+p.seconds()+"\n")
}

// apacheTunnel is Apache with mod_proxy_wstunnel, which came before upgrade=websocket.
func apacheTunnel(ctx context.Context, t *testing.T, p *site) {
	apacheBy(ctx, t, p, "apache-wstunnel.conf", "proxy_wstunnel")
}

// apacheBy is Apache with one of the two modules: where both are loaded, mod_proxy_http does it.
func apacheBy(ctx context.Context, t *testing.T, p *site, name, module string, oldnew ...string) {
	cert, key, _ := p.certify(t)
	conf := p.configure(t, name, append(oldnew,
		"*:80>", p.addr+">",
		"*:443>", p.tlsAddr+">",
		"/etc/ssl/example.com.pem", cert,
		"/etc/ssl/example.com.key", key,
		"//127.0.0.1:8080/", "//"+p.backend+"/")...)
	modules := ""
	for _, m := range []string{"mpm_event", "authz_core", "proxy", module, "ssl", "socache_shmcb"} {
		modules += "LoadModule " + m + "_module /usr/lib/apache2/modules/mod_" + m + ".so\n"
	}
	main := p.file(t, "main.conf", modules+`
ServerRoot `+p.dir+`
DefaultRuntimeDir `+p.dir+`
PidFile apache.pid
ErrorLog /dev/stderr
User nobody
Group nogroup
Listen `+p.addr+`
Listen `+p.tlsAddr+` https
Include `+conf+`
`)
	p.run(ctx, t, p.both(), "apache2", "-D", "FOREGROUND", "-f", main)
}

func lighttpd(ctx context.Context, t *testing.T, p *site) { lighttpdBy(ctx, t, p, "lighttpd.conf") }

// lighttpdTunnel is lighttpd with mod_wstunnel.
func lighttpdTunnel(ctx context.Context, t *testing.T, p *site) {
	lighttpdBy(ctx, t, p, "lighttpd-wstunnel.conf")
}

func lighttpdBy(ctx context.Context, t *testing.T, p *site, name string) {
	cert, key, _ := p.certify(t)
	conf := p.configure(t, name,
		"server.port = 80", "server.port = "+port(p.addr),
		`":443"`, `"`+p.tlsAddr+`"`,
		"/etc/ssl/example.com.pem", cert,
		"/etc/ssl/example.com.key", key,
		"8080", port(p.backend),
		"idle  = 60", "idle = "+p.seconds(),
		"idle = 60", "idle = "+p.seconds())
	main := p.file(t, "main.conf", `
server.document-root = "`+p.dir+`"
server.bind = "127.0.0.1"
include "`+conf+`"
`)
	p.run(ctx, t, p.both(), "lighttpd", "-D", "-f", main)
}

func caddy(ctx context.Context, t *testing.T, p *site) {
	cert, key, _ := p.certify(t)
	conf := p.configure(t, "Caddyfile",
		"example.com {", "https://"+p.tlsAddr+" {\n\ttls "+cert+" "+key,
		"127.0.0.1:8080", p.backend)
	main := p.file(t, "main", `
{
	admin off
	auto_https off
	storage file_system `+p.dir+`
}
import `+conf+`
`)
	p.run(ctx, t, []string{p.tlsAddr}, "env", "XDG_CONFIG_HOME="+p.dir, "caddy", "run", "--adapter", "caddyfile", "--config", main)
}

func varnish(ctx context.Context, t *testing.T, p *site) {
	conf := p.configure(t, "varnish.vcl", `.port = "8080"`, `.port = "`+port(p.backend)+`"`)
	p.run(ctx, t, []string{p.addr}, "varnishd", "-F", "-j", "none", "-n", p.dir, "-f", conf, "-a", p.addr,
		"-T", "none", "-s", "malloc,16m", "-p", "pipe_timeout="+p.seconds())
}

func h2o(ctx context.Context, t *testing.T, p *site) {
	cert, key, _ := p.certify(t)
	conf := p.configure(t, "h2o.conf",
		"listen: 80\n", "listen: "+port(p.addr)+"\n",
		"port: 443", "port: "+port(p.tlsAddr),
		"/etc/ssl/example.com.pem", cert,
		"/etc/ssl/example.com.key", key,
		"127.0.0.1:8080", p.backend,
		"timeout: 60000", "timeout: "+p.seconds()+"000")
	p.run(ctx, t, p.both(), "h2o", "-m", "worker", "-c", conf)
}

func hitch(ctx context.Context, t *testing.T, p *site) {
	_, _, both := p.certify(t)
	conf := p.configure(t, "hitch.conf",
		"[*]:443", "[127.0.0.1]:"+port(p.tlsAddr),
		"[127.0.0.1]:8080", "[127.0.0.1]:"+port(p.backend),
		"/etc/ssl/example.com.pem", both)
	p.run(ctx, t, []string{p.tlsAddr}, "hitch", "--config="+conf)
}

func stunnel(ctx context.Context, t *testing.T, p *site) {
	cert, key, _ := p.certify(t)
	conf := p.configure(t, "stunnel.conf",
		"[app]", "foreground = yes\npid =\n[app]",
		"accept = 443", "accept = "+p.tlsAddr,
		"127.0.0.1:8080", p.backend,
		"/etc/ssl/example.com.pem", cert,
		"/etc/ssl/example.com.key", key,
		"idle = 60", "idle = "+p.seconds())
	p.run(ctx, t, []string{p.tlsAddr}, "stunnel4", conf)
}

func tinyproxy(ctx context.Context, t *testing.T, p *site) {
	user := "BasicAuth user password"
	asked := ""
	if p.askForUser {
		asked = user
	}
	conf := p.configure(t, "tinyproxy.conf",
		"Port 8888", "Port "+port(p.addr),
		"Timeout 60", "Timeout "+p.seconds(),
		user, asked)
	p.run(ctx, t, []string{p.addr}, "tinyproxy", "-d", "-c", conf)
}

// dante asks the system for users and passwords. libnss_wrapper.so gives it others in their place.
func dante(ctx context.Context, t *testing.T, p *site) {
	method := "socksmethod: none"
	if p.askForUser {
		method = "socksmethod: username"
	}
	conf := p.configure(t, "danted.conf",
		"port = 1080", "port = "+port(p.addr),
		"socksmethod: username", method,
		"tcp: 60", "tcp: "+p.seconds())
	users := p.file(t, "passwd", "user:x:65533:65534::/nonexistent:/usr/sbin/nologin\n")
	passwords := p.file(t, "shadow", "user:"+hashedPassword+":20000:0:99999:7:::\n")
	p.run(ctx, t, []string{p.addr}, "env", "LD_PRELOAD=libnss_wrapper.so", "NSS_WRAPPER_PASSWD="+users,
		"NSS_WRAPPER_SHADOW="+passwords, "danted", "-f", conf)
}

// hashedPassword is "password", by openssl passwd -6 -salt salt.
const hashedPassword = "$6$salt$IxDD3jeSOb5eB1CX5LBsqZFVkJdido3OUILO5Ifz5iwMuTS4XMS130MTSuDDl3aCI6WouIL9AjRbLCelDCy.g."

func squid(ctx context.Context, t *testing.T, p *site) {
	cert, key, _ := p.certify(t)
	users := "localhost users"
	asked := "localhost"
	if p.askForUser {
		asked = users
	}
	passwords := p.file(t, "passwords", "user:"+hashedPassword+"\n")
	conf := p.configure(t, "squid.conf",
		"http_port 3128", "http_port "+p.addr,
		"https_port 3129", "https_port "+p.tlsAddr,
		"/etc/ssl/example.com.pem", cert,
		"/etc/ssl/example.com.key", key,
		"/etc/squid/passwords", passwords,
		users, asked,
		"60 seconds", p.seconds()+" seconds")
	main := p.file(t, "main.conf", `
pid_filename none
access_log none
cache_log /dev/stderr
coredump_dir `+p.dir+`
pinger_enable off
include `+conf+`
`)
	// It gives up being root, but not before it has read its files; the passwords are read later.
	require.NoError(t, os.Chmod(p.dir, 0o711))
	require.NoError(t, os.Chmod(passwords, 0o644))
	name := "interop" + port(p.addr)
	t.Cleanup(func() { // it is killed and leaves its shared memory behind
		left, _ := filepath.Glob("/dev/shm/" + name + "-*")
		for _, path := range left {
			os.Remove(path)
		}
	})
	p.run(ctx, t, p.both(), "squid", "-N", "-f", main, "-n", name)
}

// beforeSquid has p end TLS where a squid without it is behind.
func (p *site) beforeSquid(ctx context.Context, t *testing.T) {
	behind := newSite(t, "")
	squid(ctx, t, behind)
	p.backend = behind.addr
}

func nghttpxBeforeSquid(ctx context.Context, t *testing.T, p *site) {
	p.beforeSquid(ctx, t)
	cert, key, _ := p.certify(t)
	conf := p.configure(t, "nghttpx-forward.conf",
		"*,3129", "127.0.0.1,"+port(p.tlsAddr),
		"/etc/ssl/example.com.pem", cert,
		"/etc/ssl/example.com.key", key,
		"127.0.0.1,3128", "127.0.0.1,"+port(p.backend),
		"=60s", "="+p.seconds()+"s")
	p.run(ctx, t, []string{p.tlsAddr}, "nghttpx", "--workers=1", "--errorlog-file=/dev/stderr", "--conf="+conf)
}

func stunnelBeforeSquid(ctx context.Context, t *testing.T, p *site) {
	p.beforeSquid(ctx, t)
	stunnel(ctx, t, p)
}

// proxyURL is the URL of a forward proxy.
func (p *site) proxyURL(scheme string, user *url.Userinfo) func(*http.Request) (*url.URL, error) {
	return http.ProxyURL(&url.URL{Scheme: scheme, Host: p.forwardAddr(scheme), User: user})
}

// forwardAddr is where a forward proxy is spoken to with a scheme.
func (p *site) forwardAddr(scheme string) string {
	if scheme == "https" {
		return p.tlsAddr
	}
	return p.addr
}

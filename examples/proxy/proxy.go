package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/duplexkit/websocket"
)

// farewell bounds how long an end may take over its part of a closing handshake.
const farewell = 5 * time.Second

// config is what the flags say.
type config struct {
	origins  []string      // whose pages may open WebSockets; none leaves it to the backend
	compress bool          // negotiate permessage-deflate, on each side by itself
	trust    bool          // another proxy stands before this one
	stall    time.Duration // how long an end may read nothing
}

type proxy struct {
	config
	backend   *url.URL
	dialer    websocket.Dialer
	upgrader  websocket.Upgrader
	transport *http.Transport // for pages
	pages     *httputil.ReverseProxy
	all       websocket.Group // both connections of each client
	served    sync.WaitGroup
}

func newProxy(backend string, cfg config) (*proxy, error) {
	u, err := url.Parse(backend)
	if err != nil {
		return nil, err
	}
	switch u.Scheme {
	case "http", "https":
	case "ws", "wss":
		u.Scheme = "http" + strings.TrimPrefix(u.Scheme, "ws")
	default:
		return nil, fmt.Errorf("the URL of the backend begins with http: or https:, not as %q", backend)
	}
	if u.Host == "" {
		return nil, fmt.Errorf("the URL of the backend has no host: %q", backend)
	}

	p := &proxy{config: cfg, backend: u, transport: http.DefaultTransport.(*http.Transport).Clone()}
	p.transport.Proxy = nil
	p.pages = &httputil.ReverseProxy{Rewrite: p.rewrite, Transport: p.transport}
	options := websocket.Options{
		WriteTimeout:     cfg.stall,
		AllowInvalidUTF8: true, // whether text is UTF-8 is for the ends to judge
		Group:            &p.all,
	}
	if cfg.compress {
		options.Compression = &websocket.Compression{}
	}
	p.dialer = websocket.Dialer{Options: options}
	p.upgrader = websocket.Upgrader{
		Options:     options,
		CheckOrigin: func(*http.Request) bool { return true }, // see allows: the decision has been made by then
	}
	return p, nil
}

// serve answers on ln until ctx ends, then closes every connection with 1001, at both ends.
func (p *proxy) serve(ctx context.Context, ln net.Listener) error {
	// ReadTimeout is for a request, and ends with it: a WebSocket has none of it, and an upload
	// sets its own as it goes on.
	srv := &http.Server{Handler: p, ReadTimeout: 10 * time.Second}
	defer p.transport.CloseIdleConnections()
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(ln) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.Background(), farewell)
	defer cancel()
	// Beside each other: a page may take its time, and so may a browser's connection on which no
	// request has come.
	pages := make(chan error, 1)
	go func() { pages <- srv.Shutdown(ctx) }()
	if err := p.all.Shutdown(ctx, websocket.CloseGoingAway, "proxy is shutting down"); err != nil {
		log.Printf("not all have answered: %v", err)
	}
	if err := <-pages; err != nil {
		log.Printf("HTTP connections were still open: %v", err)
		srv.Close()
	}
	p.served.Wait()
	return nil
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !websocket.IsWebSocketUpgrade(r) {
		// Any other protocol would be a tunnel, and nobody sees what goes through. A server may
		// answer as if it had not been asked for one (RFC 9110, section 7.8).
		r.Header.Del("Upgrade")
		if r.ContentLength != 0 {
			r = r.WithContext(r.Context()) // a copy: the server's own keeps the body that it knows
			r.Body = &upload{ReadCloser: r.Body, rc: http.NewResponseController(w), stall: p.stall}
		}
		p.pages.ServeHTTP(w, r)
		return
	}
	p.served.Add(1)
	defer p.served.Done()
	if !p.allows(r.Header.Get("Origin")) {
		http.Error(w, "this origin may not open WebSockets here", http.StatusForbidden)
		return
	}
	if !p.check(w, r) {
		return
	}

	// What either end says is quoted in the log, lest it look like a line of ours.
	//
	// The backend goes first: the client gets its refusal, its subprotocol, its cookies.
	out := p.request(r)
	dialer := p.dialer
	dialer.Subprotocols = websocket.Subprotocols(r)
	header := out.Header
	header.Set("Host", out.Host)
	backend, resp, err := dialer.DialContext(r.Context(), out.URL.String(), header)
	if err != nil {
		status := ""
		if resp != nil {
			status = fmt.Sprintf(", %d", resp.StatusCode)
		}
		log.Printf("%v %q: the backend: %q%s", r.RemoteAddr, r.URL.Path, err, status)
		refuse(w, resp, err)
		return
	}
	defer backend.Close()
	removeHopByHop(resp.Header)
	resp.Header.Del("Sec-WebSocket-Extensions") // has been negotiated with the backend, the client has its own
	client, err := p.upgrader.Upgrade(w, r, resp.Header)
	if err != nil {
		log.Printf("%v %q: %q", r.RemoteAddr, r.URL.Path, err)
		return
	}
	defer client.Close()
	why := p.join(client, backend)
	to, from := backend.Stats(), client.Stats()
	log.Printf("%v %q: %q; %d messages to the backend, %d to the client", r.RemoteAddr, r.URL.Path, why, to.MessagesWritten, from.MessagesWritten)
}

// check refuses what is no opening handshake, of which the backend is to hear nothing. It has an
// Upgrader judge the request and stops it where nothing is left but to choose a subprotocol.
func (p *proxy) check(w http.ResponseWriter, r *http.Request) bool {
	fine := false
	upgrader := p.upgrader
	upgrader.SelectSubprotocol = func(_ *http.Request, offered []string) (string, error) {
		for _, name := range offered {
			if !httpguts.ValidHeaderFieldName(name) { // which is a token, and so is a subprotocol
				return "", fmt.Errorf("%q is none", name)
			}
		}
		fine = true
		return "", errors.New("the backend chooses")
	}
	upgrader.Error = func(w http.ResponseWriter, r *http.Request, status int, reason error) {
		if fine {
			w.Header().Del("Sec-Websocket-Version") // was set for a refusal
			return
		}
		log.Printf("%v %q: %q", r.RemoteAddr, r.URL.Path, reason)
		http.Error(w, reason.Error(), status)
	}
	upgrader.Upgrade(w, r, nil)
	return fine
}

// allows reports whether a page of this origin may open a WebSocket, as far as the proxy has
// a say. The backend sees the same Origin and the same Host as if there were no proxy.
func (p *proxy) allows(origin string) bool {
	return len(p.origins) == 0 || origin == "" || slices.Contains(p.origins, strings.ToLower(origin))
}

// request is what the backend is asked.
func (p *proxy) request(r *http.Request) *http.Request {
	out := r.Clone(r.Context())
	removeHopByHop(out.Header)
	for name := range out.Header {
		if strings.HasPrefix(name, "Sec-Websocket-") || strings.HasPrefix(name, ":") { // the dialer has its own
			out.Header.Del(name)
		}
	}
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", // as httputil.ReverseProxy does for pages; see rewrite
		"Content-Length", "Expect", // there is no body
		"Accept-Encoding"} { // of a refusal no more than its beginning comes back
		out.Header.Del(name)
	}
	p.rewrite(&httputil.ProxyRequest{In: r, Out: out})
	return out
}

// rewrite is the same for WebSockets and pages.
func (p *proxy) rewrite(r *httputil.ProxyRequest) {
	r.SetURL(p.backend)
	r.Out.Host = r.In.Host // which the backend compares with Origin
	if !p.trust {
		for name := range r.Out.Header {
			if isForwarded(name) {
				delete(r.Out.Header, name)
			}
		}
		r.SetXForwarded()
		return
	}
	r.Out.Header["X-Forwarded-For"] = r.In.Header["X-Forwarded-For"]
	r.SetXForwarded() // adds the proxy before this one
	for _, name := range []string{"X-Forwarded-Host", "X-Forwarded-Proto"} {
		if v := r.In.Header.Get(name); v != "" {
			r.Out.Header.Set(name, v)
		}
	}
}

// isForwarded reports whether a field says who the client of another proxy is. To CGI and what
// comes after it, X_Forwarded_For is X-Forwarded-For.
func isForwarded(name string) bool {
	name = strings.ReplaceAll(strings.ToLower(name), "_", "-")
	switch name {
	case "forwarded", "x-real-ip", "x-client-ip", "true-client-ip":
		return true
	}
	return strings.HasPrefix(name, "x-forwarded")
}

// An upload is the body of a request, and may take as long as it likes if no piece of it takes
// too long. After its end the server reads on, to see whether the client leaves, and that may
// have no deadline.
type upload struct {
	io.ReadCloser
	rc    *http.ResponseController
	stall time.Duration
	err   error
}

func (u *upload) Read(p []byte) (n int, err error) {
	if u.err != nil {
		return 0, u.err
	}
	u.rc.SetReadDeadline(time.Now().Add(u.stall)) // fails if the connection has, and so does Read
	n, u.err = u.ReadCloser.Read(p)
	return n, u.err
}

// removeHopByHop removes what concerns one connection only (RFC 9110, section 7.6.1).
func removeHopByHop(h http.Header) {
	for _, list := range h["Connection"] {
		for name := range strings.SplitSeq(list, ",") {
			h.Del(textproto.TrimString(name))
		}
	}
	for _, name := range []string{"Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate",
		"Proxy-Authorization", "Te", "Trailer", "Transfer-Encoding", "Upgrade"} {
		h.Del(name)
	}
}

// refuse tells the client why there is no WebSocket: as the backend did, if it did.
func refuse(w http.ResponseWriter, resp *http.Response, err error) {
	var timeout net.Error
	switch {
	case resp != nil && resp.StatusCode >= 300:
		removeHopByHop(resp.Header)
		resp.Header.Del("Content-Length") // the body may be only its beginning
		for name, values := range resp.Header {
			w.Header()[name] = values
		}
		w.WriteHeader(resp.StatusCode)
		if _, err := io.Copy(w, resp.Body); err != nil {
			log.Printf("a refusal could not be passed on: %v", err)
		}
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		http.Error(w, "the backend does not answer", http.StatusGatewayTimeout)
	default:
		http.Error(w, "the backend is not reached, or opens no WebSocket", http.StatusBadGateway)
	}
}

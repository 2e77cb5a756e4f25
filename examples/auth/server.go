package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/duplexkit/websocket"
)

var (
	//go:embed login.html
	loginHTML string
	//go:embed page.html
	pageHTML  string
	loginPage = template.Must(template.New("login").Parse(loginHTML))
	page      = template.Must(template.New("page").Parse(pageHTML))
)

const (
	// cookieName is that of the session. Served over https only, __Host-session would be better:
	// browsers then let no other host of the domain set it.
	cookieName = "session"

	// closeUnauthorized is sent when the session or token that opened a connection has ended. It
	// is from the range for private use (RFC 6455, section 7.4.2).
	closeUnauthorized = 4001

	// farewell bounds how long the server waits for its clients.
	farewell = 5 * time.Second
)

// config is what the flags say.
type config struct {
	user, password string
	session, token time.Duration // how long they last
	secure         bool          // the cookie is sent over https only
	origins        []string      // further ones whose pages may open WebSockets
}

type server struct {
	config
	sessions, tokens grants
	all              websocket.Group
	served           sync.WaitGroup
}

func newServer(cfg config) *server {
	return &server{config: cfg, sessions: grants{kind: "session"}, tokens: grants{kind: "token"}}
}

// serve answers on ln until ctx ends, then closes every connection with 1001.
func (s *server) serve(ctx context.Context, ln net.Listener) error {
	granted, revokeAll := context.WithCancel(context.Background()) // what grants live in
	defer revokeAll()
	srv := &http.Server{Handler: s.handler(granted), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute}
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
	if err := s.all.Shutdown(ctx, websocket.CloseGoingAway, "server is shutting down"); err != nil {
		log.Printf("not all clients have answered: %v", err)
	}
	if err := <-pages; err != nil {
		log.Printf("HTTP connections were still open: %v", err)
		srv.Close()
	}
	s.served.Wait()
	return nil
}

func (s *server) handler(granted context.Context) http.Handler {
	upgrader := websocket.Upgrader{
		// Cookies come with whatever page opens the connection: it has to be one of ours.
		AllowedOrigins: s.origins,
		Options:        websocket.Options{Group: &s.all, PingInterval: 30 * time.Second, WriteTimeout: 10 * time.Second, ReadLimit: 64 << 10},
	}
	upgrade := upgrader.Handler(s.talk)

	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.showPage)
	mux.HandleFunc("GET /login", func(w http.ResponseWriter, r *http.Request) { show(w, http.StatusOK, loginPage, "") })
	mux.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) { s.logIn(granted, w, r) })
	mux.HandleFunc("POST /logout", s.logOut)
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) { s.issueToken(granted, w, r) })
	mux.HandleFunc("/ws", func(w http.ResponseWriter, r *http.Request) {
		s.served.Add(1)
		defer s.served.Done()
		g := s.authenticate(r)
		if g == nil { // before the upgrade: afterwards there would be no status to say so
			unauthorized(w, r)
			return
		}
		upgrade.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), grantKey{}, g)))
	})
	// Forms of other sites are refused, which could log a user in as somebody else, or out.
	safe := http.NewCrossOriginProtection().Handler(mux)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Content-Security-Policy", "frame-ancestors 'none'")
		w.Header().Set("Referrer-Policy", "same-origin")
		safe.ServeHTTP(w, r)
	})
}

// grantKey is the key of a request's grant in its context.
type grantKey struct{}

// authenticate returns what lets the request in, or nil. A token that is no good is not made
// up for by a cookie.
func (s *server) authenticate(r *http.Request) *grant {
	if authorization := r.Header.Get("Authorization"); authorization != "" {
		scheme, token, _ := strings.Cut(authorization, " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return nil
		}
		return s.tokens.find(strings.TrimSpace(token))
	}
	return s.session(r)
}

// session returns the session of a browser, or nil.
func (s *server) session(r *http.Request) *grant {
	cookie, err := r.Cookie(cookieName)
	if err != nil {
		return nil
	}
	return s.sessions.find(cookie.Value)
}

// unauthorized answers with 401 as RFC 6750 has it, section 3.
func unauthorized(w http.ResponseWriter, r *http.Request) {
	challenge := `Bearer realm="auth example"`
	if r.Header.Get("Authorization") != "" {
		challenge += `, error="invalid_token"`
	}
	w.Header().Set("WWW-Authenticate", challenge)
	http.Error(w, "log in, or bring a token that is good", http.StatusUnauthorized)
}

// talk greets and sends back what comes, for as long as the grant lasts.
func (s *server) talk(c *websocket.Conn, r *http.Request) error {
	g := r.Context().Value(grantKey{}).(*grant)
	left := make(chan struct{})
	stop := context.AfterFunc(g.ctx, func() { // at once if it has ended since it was checked
		defer close(left)
		ctx, cancel := context.WithTimeout(context.Background(), farewell)
		defer cancel()
		if err := c.Shutdown(ctx, closeUnauthorized, fmt.Sprintf("the %s has %s", g.by, ending(g.ctx))); err != nil {
			log.Printf("%v: no farewell: %v", c.RemoteAddr(), err)
		}
	})
	defer func() {
		if !stop() {
			<-left
		}
	}()

	err := c.WriteJSON(map[string]any{"user": g.user, "by": g.by, "expires": g.expires})
	if err == nil {
		err = c.Serve(r.Context(), func(m websocket.Message) error { return c.WriteMessage(m.Type, m.Data) })
	}
	log.Printf("%s of %s, %v: left: %q", g.by, g.user, c.RemoteAddr(), cmp.Or(err, context.Cause(c.Context()))) // quoted, for the reason is theirs
	return err
}

func ending(ctx context.Context) string {
	if context.Cause(ctx) == errLoggedOut {
		return "ended"
	}
	return "expired"
}

func (s *server) showPage(w http.ResponseWriter, r *http.Request) {
	g := s.session(r)
	if g == nil {
		http.Redirect(w, r, "/login", http.StatusSeeOther)
		return
	}
	show(w, http.StatusOK, page, g.user)
}

func (s *server) logIn(granted context.Context, w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 4<<10)
	// Both are compared, and in the same time whatever is wrong.
	rightUser, rightPassword := same(r.PostFormValue("user"), s.user), same(r.PostFormValue("password"), s.password)
	if !rightUser || !rightPassword {
		log.Printf("%v: a login has failed", r.RemoteAddr)
		show(w, http.StatusUnauthorized, loginPage, "The name or the password is wrong.")
		return
	}
	if old := s.session(r); old != nil {
		old.end(errLoggedOut) // nobody would log out of it any more
	}
	secret, g := s.sessions.issue(granted, s.user, s.config.session)
	http.SetCookie(w, s.cookie(r, secret, int(s.config.session.Seconds())))
	log.Printf("%v: %s has logged in until %v", r.RemoteAddr, g.user, g.expires.Format(time.TimeOnly))
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// same compares in a time that does not tell how much is right.
func same(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// cookie is that of a session: scripts can't read it, and other sites can't have it sent, but
// for a link to us, which should find the user logged in.
func (s *server) cookie(r *http.Request, secret string, maxAge int) *http.Cookie {
	return &http.Cookie{
		Name: cookieName, Value: secret, Path: "/", MaxAge: maxAge,
		HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: s.secure || r.TLS != nil,
	}
}

// logOut ends the session, with all connections that it has opened, in whatever tab.
func (s *server) logOut(w http.ResponseWriter, r *http.Request) {
	if g := s.session(r); g != nil {
		g.end(errLoggedOut)
	}
	http.SetCookie(w, s.cookie(r, "", -1))
	http.Redirect(w, r, "/login", http.StatusSeeOther)
}

// issueToken makes a token for a program of the user who is logged in.
func (s *server) issueToken(granted context.Context, w http.ResponseWriter, r *http.Request) {
	g := s.session(r)
	if g == nil {
		unauthorized(w, r)
		return
	}
	secret, token := s.tokens.issue(granted, g.user, s.config.token)
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(map[string]any{"token": secret, "expires": token.expires}); err != nil {
		log.Printf("%v: a token did not arrive: %v", r.RemoteAddr, err)
	}
}

func show(w http.ResponseWriter, status int, t *template.Template, data any) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	if err := t.Execute(w, data); err != nil {
		log.Printf("a page did not arrive: %v", err)
	}
}

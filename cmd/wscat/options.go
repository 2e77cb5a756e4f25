package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/net/http/httpguts"

	"github.com/duplexkit/websocket"
)

// options are what the command line says. Some are for the client or for the server alone.
type options struct {
	listen  bool
	version bool

	// The opening handshake.
	url            *url.URL // ws or wss; without user information, which is in header
	header         http.Header
	subprotocols   []string
	proxy          *url.URL // nil: as direct says
	direct         bool     // no proxy, whatever the environment says
	caCert         string
	cert, key      string
	insecure       bool
	serverName     string
	compression    *websocket.Compression
	http2, h2c     bool
	follow         bool
	connectTimeout time.Duration

	// The session.
	interactive  bool
	messages     []string // to send instead of standard input
	input        format
	output       format
	messageType  string // text or binary, "" is what the input format suggests
	count        int    // of messages after which to close, 0 is no limit
	wait         time.Duration
	waitSet      bool
	timeout      time.Duration
	pingInterval time.Duration
	pingTimeout  time.Duration
	closeCode    int
	closeReason  string
	closeTimeout time.Duration
	limit        int64
	record       string
	replay       string
	speed        float64 // 0 is as fast as possible
	compare      bool
	recording    *recording // of replay

	// What is shown.
	quiet, verbose bool
	color          string
	times          bool
	dump           int // bytes of a hex dump, at most

	// The server.
	addr      string
	broadcast bool
	stdin     bool
	origins   []string
	path      string
}

// forever is the wait that only the peer ends.
const forever = time.Duration(math.MaxInt64)

// parse reads the command line. flag.ErrHelp is that somebody asks for help.
func parse(args []string) (*options, error) {
	o := &options{header: make(http.Header)}
	fs := flag.NewFlagSet("wscat", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	if len(args) > 0 && args[0] == "listen" {
		o.listen = true
		args = args[1:]
	}
	o.sharedFlags(fs)
	if o.listen {
		o.serverFlags(fs)
	} else {
		o.clientFlags(fs)
	}
	rest, err := parseAnywhere(fs, args)
	switch {
	case err != nil:
		return nil, err
	case o.version:
		return o, nil
	case o.quiet && o.verbose:
		return nil, errors.New("-q and -v contradict each other")
	case o.dump < 0:
		return nil, errors.New("-dump is less than 0")
	case !slices.Contains([]string{"auto", "always", "never"}, o.color):
		return nil, fmt.Errorf("-color is auto, always or never, not %q", o.color)
	}
	for name, d := range map[string]time.Duration{
		"-connect-timeout": o.connectTimeout, "-timeout": o.timeout, "-ping": o.pingInterval,
		"-ping-timeout": o.pingTimeout, "-close-timeout": o.closeTimeout, "-wait": o.wait,
	} {
		if d < 0 {
			return nil, fmt.Errorf("%s is less than 0", name)
		}
	}
	if o.closeTimeout == 0 {
		return nil, errors.New("-close-timeout is 0, and the peer needs some time")
	}
	if o.listen {
		return o, o.checkServer(rest)
	}
	return o, o.checkClient(rest)
}

// parseAnywhere lets flags stand behind arguments too. Behind "--" there are none.
func parseAnywhere(fs *flag.FlagSet, args []string) (rest []string, err error) {
	for {
		if err := fs.Parse(args); err != nil {
			return nil, err
		}
		left := fs.Args()
		if len(left) == 0 {
			return rest, nil
		}
		if used := len(args) - len(left); used > 0 && args[used-1] == "--" {
			return append(rest, left...), nil
		}
		rest, args = append(rest, left[0]), left[1:]
	}
}

func (o *options) sharedFlags(fs *flag.FlagSet) {
	both(fs, "v", "verbose", func(name string) { fs.BoolVar(&o.verbose, name, false, "") })
	both(fs, "q", "quiet", func(name string) { fs.BoolVar(&o.quiet, name, false, "") })
	both(fs, "s", "subprotocol", func(name string) { fs.Var((*list)(&o.subprotocols), name, "") })
	fs.BoolVar(&o.version, "version", false, "")
	fs.StringVar(&o.color, "color", "auto", "")
	fs.BoolVar(&o.times, "time", false, "")
	fs.IntVar(&o.dump, "dump", 512, "")
	fs.Var(&termsFlag{&o.compression}, "compress", "")
	fs.Int64Var(&o.limit, "limit", websocket.DefaultReadLimit, "")
	fs.StringVar(&o.cert, "cert", "", "")
	fs.StringVar(&o.key, "key", "", "")
	fs.BoolVar(&o.h2c, "h2c", false, "")
	fs.DurationVar(&o.pingInterval, "ping", 0, "")
	fs.DurationVar(&o.pingTimeout, "ping-timeout", 0, "")
	fs.DurationVar(&o.closeTimeout, "close-timeout", 5*time.Second, "")
}

func (o *options) clientFlags(fs *flag.FlagSet) {
	both(fs, "H", "header", func(name string) { fs.Func(name, "", o.addHeader) })
	fs.Func("origin", "", func(s string) error { return o.setHeader("Origin", s) })
	fs.Func("cookie", "", o.addCookie)
	both(fs, "u", "user", func(name string) { fs.Func(name, "", o.setUser) })
	fs.Func("proxy", "", o.setProxy)
	fs.StringVar(&o.caCert, "cacert", "", "")
	both(fs, "k", "insecure", func(name string) { fs.BoolVar(&o.insecure, name, false, "") })
	fs.StringVar(&o.serverName, "server-name", "", "")
	fs.BoolVar(&o.http2, "http2", false, "")
	both(fs, "L", "location", func(name string) { fs.BoolVar(&o.follow, name, false, "") })
	fs.DurationVar(&o.connectTimeout, "connect-timeout", 10*time.Second, "")

	both(fs, "i", "interactive", func(name string) { fs.BoolVar(&o.interactive, name, false, "") })
	fs.Func("x", "", func(s string) error { o.messages = append(o.messages, s); return nil })
	fs.Var(&o.input, "input", "")
	fs.Var(&o.output, "output", "")
	fs.StringVar(&o.messageType, "type", "", "")
	fs.IntVar(&o.count, "n", 0, "")
	fs.Func("wait", "", o.setWait)
	fs.DurationVar(&o.timeout, "timeout", 0, "")
	fs.IntVar(&o.closeCode, "close-code", websocket.CloseNormalClosure, "")
	fs.StringVar(&o.closeReason, "close-reason", "", "")
	fs.StringVar(&o.record, "record", "", "")
	fs.StringVar(&o.replay, "replay", "", "")
	o.speed = 1
	fs.Func("speed", "", o.setSpeed)
	fs.BoolVar(&o.compare, "compare", false, "")
}

func (o *options) serverFlags(fs *flag.FlagSet) {
	fs.BoolVar(&o.broadcast, "broadcast", false, "")
	fs.BoolVar(&o.stdin, "stdin", false, "")
	fs.Var((*list)(&o.origins), "origin", "")
	fs.StringVar(&o.path, "path", "", "")
}

// both defines a flag with a short and a long name.
func both(fs *flag.FlagSet, short, long string, define func(name string)) {
	define(short)
	define(long)
}

func (o *options) checkServer(args []string) error {
	switch {
	case len(args) == 0:
		return errors.New("listen on which address? For example: wscat listen localhost:8080")
	case len(args) > 1:
		return fmt.Errorf("one address is enough: what is %q?", args[1])
	case (o.cert == "") != (o.key == ""):
		return errors.New("TLS takes both -cert and -key")
	case o.h2c && o.cert != "":
		return errors.New("-h2c is HTTP/2 without TLS; with -cert and -key there is HTTP/2 anyway")
	case o.path != "" && !strings.HasPrefix(o.path, "/"):
		return fmt.Errorf("-path %q does not begin with a slash", o.path)
	}
	o.addr = args[0]
	if _, err := strconv.ParseUint(o.addr, 10, 16); err == nil {
		o.addr = net.JoinHostPort("localhost", o.addr) // the world is let in by ":port" only
	}
	if _, _, err := net.SplitHostPort(o.addr); err != nil {
		return fmt.Errorf("%q is not an address such as localhost:8080", o.addr)
	}
	return nil
}

func (o *options) checkClient(args []string) (err error) {
	if o.replay != "" {
		if o.recording, err = readRecording(o.replay); err != nil {
			return err
		}
		if len(args) == 0 && o.recording.url != "" {
			args = []string{o.recording.url}
		}
	}
	switch {
	case len(args) == 0:
		return errors.New("connect to which URL? For example: wscat wss://example.com/ws")
	case len(args) > 1:
		return fmt.Errorf("one URL is enough: what is %q?", args[1])
	case o.replay != "" && len(o.messages) > 0:
		return errors.New("-replay and -x contradict each other")
	case o.interactive && (o.replay != "" || len(o.messages) > 0):
		return errors.New("-i does not go with -replay or -x, which read no standard input")
	case o.compare && o.replay == "":
		return errors.New("-compare compares with a recording: it needs -replay")
	case o.compare && o.count > 0:
		return errors.New("-compare and -n contradict each other: as many messages are waited for as were recorded")
	case o.count < 0:
		return errors.New("-n is less than 0")
	case !slices.Contains([]string{"", "text", "binary"}, o.messageType):
		return fmt.Errorf("-type is text or binary, not %q", o.messageType)
	case len(o.messages) > 0 && o.input == formatLength:
		return errors.New("-x takes no -input length, whose messages need no command line")
	case o.output == formatWhole:
		return errors.New("-output whole would run messages together: it is for input only")
	case o.key != "" && o.cert == "":
		return errors.New("-key without -cert")
	}
	if err := checkClose(o.closeCode, o.closeReason); err != nil {
		return fmt.Errorf("-close-code and -close-reason: %w", err)
	}
	if err := o.setURL(args[0]); err != nil {
		return err
	}
	switch {
	case o.http2 && o.url.Scheme == "ws" && !o.h2c:
		return errors.New("-http2 is over TLS; for a ws URL there is -h2c, if the server is known to speak HTTP/2")
	case o.h2c && o.url.Scheme == "wss":
		return errors.New("-h2c is HTTP/2 without TLS; for a wss URL there is -http2")
	case (o.http2 || o.h2c) && o.proxy != nil:
		return errors.New("HTTP/2 goes through no proxy: leave out -proxy, or -http2 and -h2c")
	}
	return nil
}

// setURL takes the URL to connect to.
func (o *options) setURL(s string) error {
	if !strings.Contains(s, "://") {
		return fmt.Errorf("%q has no scheme: write ws://%[2]s or, with TLS, wss://%[2]s", s, strings.TrimLeft(s, "/"))
	}
	u, err := url.Parse(s)
	if err != nil {
		return err
	}
	switch u.Scheme {
	case "ws", "wss":
	case "http":
		u.Scheme = "ws"
	case "https":
		u.Scheme = "wss"
	default:
		return fmt.Errorf("scheme %q is none of ws, wss, http and https", u.Scheme)
	}
	switch {
	case u.Hostname() == "":
		return fmt.Errorf("%q has no host", s)
	case strings.Contains(s, "#"):
		return fmt.Errorf("%q has a fragment, which a WebSocket URL may not have: write %%23 for #", s)
	}
	if u.User != nil { // which the URL of a WebSocket has no place for
		password, _ := u.User.Password()
		if o.header.Get("Authorization") == "" {
			if err := o.setUser(u.User.Username() + ":" + password); err != nil {
				return err
			}
		}
		u.User = nil
	}
	o.url = u
	return nil
}

// addHeader takes a -H: a line, or the name of a file of lines behind an @, which keeps
// secrets off the command line.
func (o *options) addHeader(s string) error {
	name, isFile := strings.CutPrefix(s, "@")
	if !isFile {
		return o.addHeaderLine(s)
	}
	content, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(content)) {
		if line = strings.TrimSpace(line); line != "" {
			if err := o.addHeaderLine(line); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	return nil
}

func (o *options) addHeaderLine(line string) error {
	name, value, ok := strings.Cut(line, ":")
	if !ok {
		return fmt.Errorf("%q is not of the form Name: value", line)
	}
	return o.checkedHeader(name, value, o.header.Add)
}

func (o *options) setHeader(name, value string) error {
	return o.checkedHeader(name, value, o.header.Set)
}

func (o *options) checkedHeader(name, value string, set func(name, value string)) error {
	name, value = strings.TrimSpace(name), strings.TrimSpace(value)
	switch http.CanonicalHeaderKey(name) {
	case "Upgrade", "Connection", "Sec-Websocket-Key", "Sec-Websocket-Version":
		return fmt.Errorf("%s belongs to the handshake itself", name)
	case "Sec-Websocket-Extensions":
		return fmt.Errorf("%s is what -compress is for", name)
	case "Sec-Websocket-Protocol":
		return (*list)(&o.subprotocols).Set(value)
	}
	if !httpguts.ValidHeaderFieldName(name) {
		return fmt.Errorf("%q is not the name of a header field", name)
	}
	if !httpguts.ValidHeaderFieldValue(value) {
		return fmt.Errorf("the value of %s has a character that may not be there", name)
	}
	set(name, value)
	return nil
}

func (o *options) addCookie(s string) error {
	if name, _, ok := strings.Cut(s, "="); !ok || !httpguts.ValidHeaderFieldName(strings.TrimSpace(name)) {
		return fmt.Errorf("%q is not of the form name=value", s)
	}
	if before := o.header.Get("Cookie"); before != "" {
		s = before + "; " + s // one field (RFC 6265, section 5.4)
	}
	return o.setHeader("Cookie", s)
}

func (o *options) setUser(s string) error {
	name, password, ok := strings.Cut(s, ":")
	if !ok {
		return errors.New("not of the form name:password")
	}
	var r http.Request
	r.Header = o.header
	r.SetBasicAuth(name, password)
	return nil
}

func (o *options) setProxy(s string) error {
	if o.proxy, o.direct = nil, s == "none"; o.direct {
		return nil
	}
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return err
	case !slices.Contains([]string{"http", "https", "socks5", "socks5h"}, u.Scheme) || u.Hostname() == "":
		return fmt.Errorf("%q is neither none nor like http://host:port, https://, socks5:// or socks5h://", u.Redacted())
	}
	o.proxy = u
	return nil
}

func (o *options) setWait(s string) (err error) {
	o.waitSet = true
	if s == "forever" {
		o.wait = forever
		return nil
	}
	o.wait, err = time.ParseDuration(s)
	return err
}

func (o *options) setSpeed(s string) (err error) {
	if s == "max" {
		o.speed = 0
		return nil
	}
	o.speed, err = strconv.ParseFloat(strings.TrimSuffix(s, "x"), 64)
	if err != nil || !(o.speed > 0) || math.IsInf(o.speed, 0) {
		return fmt.Errorf("%q is neither max nor a number above 0", s)
	}
	return nil
}

// checkClose says why a close frame may not be sent. A reason that is too long is the
// user's to shorten.
func checkClose(code int, reason string) error {
	switch {
	case code < 1000 || code > 4999 || code > 1014 && code < 3000 || code >= 1004 && code <= 1006:
		return fmt.Errorf("close code %d may not be sent: it is 1000, 1001, 1003, 1007 to 1014, or 3000 to 4999", code)
	case len(reason) > 123:
		return fmt.Errorf("a close reason has 123 bytes at most, not %d", len(reason))
	case !utf8.ValidString(reason):
		return errors.New("the close reason is not UTF-8")
	}
	return nil
}

// list is a flag that may be given often, or once with commas.
type list []string

func (l *list) String() string { return strings.Join(*l, ", ") }

func (l *list) Set(s string) error {
	for item := range strings.SplitSeq(s, ",") {
		if item = strings.TrimSpace(item); item == "" {
			return errors.New("empty")
		}
		*l = append(*l, item)
	}
	return nil
}

// termsFlag is -compress, alone or with terms in the words of RFC 7692.
type termsFlag struct{ terms **websocket.Compression }

func (f *termsFlag) IsBoolFlag() bool { return true }
func (f *termsFlag) String() string   { return "" }

func (f *termsFlag) Set(s string) (err error) {
	switch s {
	case "true":
		*f.terms = &websocket.Compression{}
	case "false":
		*f.terms = nil
	default:
		*f.terms, err = parseTerms(s)
	}
	return err
}

func parseTerms(s string) (*websocket.Compression, error) {
	var c websocket.Compression
	for term := range strings.FieldsFuncSeq(s, func(r rune) bool { return r == ';' || r == ',' || r == ' ' }) {
		name, value, _ := strings.Cut(term, "=")
		var number *int
		least, most := 8, 15
		switch name {
		case "server_no_context_takeover":
			c.ServerNoContextTakeover = true
		case "client_no_context_takeover":
			c.ClientNoContextTakeover = true
		case "server_max_window_bits":
			number = &c.ServerMaxWindowBits
		case "client_max_window_bits":
			number = &c.ClientMaxWindowBits
		case "level":
			number, least, most = &c.Level, -2, 9
		case "threshold":
			number, least, most = &c.Threshold, -1, math.MaxInt32
		default:
			return nil, fmt.Errorf("%q is none of server_no_context_takeover, client_no_context_takeover, "+
				"server_max_window_bits=8 to 15, client_max_window_bits=8 to 15, level=-2 to 9, threshold=bytes", name)
		}
		if number == nil {
			if value != "" {
				return nil, fmt.Errorf("%s has no value", name)
			}
			continue
		}
		n, err := strconv.Atoi(value)
		if err != nil || n < least || n > most {
			return nil, fmt.Errorf("%s=%s is not a number from %d to %d", name, value, least, most)
		}
		*number = n
	}
	return &c, nil
}

// formatTerms writes agreed terms as RFC 7692 does.
func formatTerms(c *websocket.Compression) string {
	var b bytes.Buffer
	b.WriteString("permessage-deflate")
	if c.ServerNoContextTakeover {
		b.WriteString("; server_no_context_takeover")
	}
	if c.ClientNoContextTakeover {
		b.WriteString("; client_no_context_takeover")
	}
	fmt.Fprintf(&b, "; server_max_window_bits=%d; client_max_window_bits=%d", c.ServerMaxWindowBits, c.ClientMaxWindowBits)
	return b.String()
}

// version is what the build knows of itself.
func version() string {
	v := "(devel)"
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		v = info.Main.Version
	}
	return "wscat " + v + " of github.com/duplexkit/websocket"
}

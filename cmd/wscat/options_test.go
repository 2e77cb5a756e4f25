package main

import (
	"flag"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket"
)

func TestHelpHasEveryFlag(t *testing.T) {
	t.Parallel()
	var o options
	o.header = make(http.Header)
	for name, define := range map[string]func(*flag.FlagSet){"shared": o.sharedFlags, "client": o.clientFlags, "server": o.serverFlags} {
		fs := flag.NewFlagSet(name, flag.ContinueOnError)
		define(fs)
		fs.VisitAll(func(f *flag.Flag) {
			require.Regexp(t, `(?m)^  -(\w+, -)?`+f.Name+`\b|, -`+f.Name+`\b`, help[strings.Index(help, "FLAGS OF"):], "-%s", f.Name)
		})
	}
	for line := range strings.Lines(help) {
		require.LessOrEqual(t, len(line), 96, line)
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	garbage := filepath.Join(t.TempDir(), "garbage")
	require.NoError(t, os.WriteFile(garbage, []byte("garbage"), 0o600))
	tests := []struct {
		name string
		args []string
		want string
	}{
		{"no URL", nil, "connect to which URL?"},
		{"two URLs", []string{"ws://a", "ws://b"}, `what is "ws://b"?`},
		{"unknown flag", []string{"-nonsense", "ws://a"}, "flag provided but not defined: -nonsense"},
		{"no scheme", []string{"localhost:8080/ws"}, "write ws://localhost:8080/ws or, with TLS, wss://localhost:8080/ws"},
		{"other scheme", []string{"ftp://localhost"}, `scheme "ftp"`},
		{"no host", []string{"ws:///ws"}, "no host"},
		{"fragment", []string{"ws://localhost/#a"}, "fragment"},
		{"malformed URL", []string{"ws://local host/"}, "invalid character"},
		{"header without colon", []string{"-H", "Name", "ws://a"}, `"Name" is not of the form Name: value`},
		{"header of two words", []string{"-H", "A b: c", "ws://a"}, `"A b" is not the name`},
		{"line feed in a header", []string{"-H", "A: b\nc", "ws://a"}, "the value of A"},
		{"header of the handshake", []string{"-H", "upgrade: x", "ws://a"}, "belongs to the handshake"},
		{"extensions by header", []string{"-H", "Sec-WebSocket-Extensions: x", "ws://a"}, "-compress"},
		{"no file of headers", []string{"-H", "@" + garbage + "2", "ws://a"}, "no such file"},
		{"malformed file of headers", []string{"-H", "@" + garbage, "ws://a"}, "garbage: "},
		{"cookie", []string{"-cookie", "a", "ws://a"}, "name=value"},
		{"user", []string{"-user", "a", "ws://a"}, "name:password"},
		{"empty subprotocol", []string{"-s", "a,,b", "ws://a"}, "empty"},
		{"proxy", []string{"-proxy", "ftp://a", "ws://a"}, "neither none nor like"},
		{"proxy without a scheme", []string{"-proxy", "localhost:3128", "ws://a"}, "neither none nor like"},
		{"terms", []string{"-compress=fast", "ws://a"}, `"fast" is none of`},
		{"window bits", []string{"-compress=server_max_window_bits=16", "ws://a"}, "not a number from 8 to 15"},
		{"takeover with a value", []string{"-compress=client_no_context_takeover=1", "ws://a"}, "has no value"},
		{"HTTP/2 without TLS", []string{"-http2", "ws://a"}, "-h2c"},
		{"h2c with TLS", []string{"-h2c", "wss://a"}, "-http2"},
		{"HTTP/2 and a proxy", []string{"-http2", "-proxy", "http://p", "wss://a"}, "no proxy"},
		{"negative time", []string{"-timeout", "-1s", "ws://a"}, "-timeout is less than 0"},
		{"no time", []string{"-wait", "long", "ws://a"}, "invalid duration"},
		{"close timeout", []string{"-close-timeout", "0", "ws://a"}, "-close-timeout is 0"},
		{"negative count", []string{"-n", "-1", "ws://a"}, "-n is less than 0"},
		{"negative dump", []string{"-dump", "-1", "ws://a"}, "-dump is less than 0"},
		{"color", []string{"-color", "red", "ws://a"}, "auto, always or never"},
		{"quiet and verbose", []string{"-q", "-v", "ws://a"}, "contradict"},
		{"type", []string{"-type", "json", "ws://a"}, "text or binary"},
		{"input format", []string{"-input", "xml", "ws://a"}, "none of lines"},
		{"output whole", []string{"-output", "whole", "ws://a"}, "for input only"},
		{"lengths on the command line", []string{"-input", "length", "-x", "a", "ws://a"}, "-input length"},
		{"close code", []string{"-close-code", "1006", "ws://a"}, "close code 1006 may not be sent"},
		{"long close reason", []string{"-close-reason", strings.Repeat("a", 124), "ws://a"}, "123 bytes at most"},
		{"close reason that is no text", []string{"-close-reason", "\xff", "ws://a"}, "not UTF-8"},
		{"key without certificate", []string{"-key", garbage, "wss://a"}, "-key without -cert"},
		{"interactive and -x", []string{"-i", "-x", "a", "ws://a"}, "-i does not go with"},
		{"speed", []string{"-speed", "0", "ws://a"}, "neither max nor a number above 0"},
		{"speed that is no number", []string{"-speed", "NaN", "ws://a"}, "neither max nor a number above 0"},
		{"compare with what", []string{"-compare", "ws://a"}, "it needs -replay"},
		{"no recording", []string{"-replay", garbage + "2", "ws://a"}, "no such file"},
		{"malformed recording", []string{"-replay", garbage, "ws://a"}, "garbage: line 1: "},
		{"certificate of the authority", []string{"-cacert", garbage, "wss://127.0.0.1:1"}, "no certificate in PEM"},
		{"no such authority", []string{"-cacert", garbage + "2", "wss://127.0.0.1:1"}, "no such file"},
		{"client certificate", []string{"-cert", garbage, "wss://127.0.0.1:1"}, "-cert and -key: "},
		{"listen where", []string{"listen"}, "on which address?"},
		{"listen twice", []string{"listen", ":1", ":2"}, `what is ":2"?`},
		{"no port", []string{"listen", "localhost"}, "not an address"},
		{"flag of the client", []string{"listen", "-x", "a", ":1"}, "-x"},
		{"certificate without key", []string{"listen", "-cert", garbage, ":1"}, "both -cert and -key"},
		{"bad certificate", []string{"listen", "-cert", garbage, "-key", garbage, "127.0.0.1:0"}, "-cert and -key: "},
		{"h2c and TLS", []string{"listen", "-h2c", "-cert", garbage, "-key", garbage, ":1"}, "without TLS"},
		{"path", []string{"listen", "-path", "ws", ":1"}, "slash"},
		{"no such address", []string{"listen", "127.0.0.1:99999"}, "invalid port"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := wscat(t, "", test.args...)
			require.Equal(t, exitUsage, got.code, got)
			require.Empty(t, got.out)
			require.True(t, strings.HasPrefix(got.err, "wscat: "), got.err)
			require.Contains(t, got.err, test.want)
		})
	}
}

func TestFlagsAnywhere(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"-n", "3", "ws://a/b"},
		{"ws://a/b", "-n", "3"},
		{"ws://a/b", "--n=3"},
		{"-n", "3", "--", "ws://a/b"},
	} {
		o, err := parse(args)
		require.NoError(t, err)
		require.Equal(t, 3, o.count)
		require.Equal(t, "ws://a/b", o.url.String())
	}
	_, err := parse([]string{"ws://a", "--", "-n"})
	require.ErrorContains(t, err, `what is "-n"?`)
}

func TestParsed(t *testing.T) {
	t.Parallel()
	o, err := parse([]string{"https://ann:secret@a.example/x?y=z", "-wait", "forever", "-speed", "2.5x", "-s", "a,b", "-s", "c", "-v"})
	require.NoError(t, err)
	require.Equal(t, "wss://a.example/x?y=z", o.url.String())
	require.Equal(t, http.Header{"Authorization": {"Basic YW5uOnNlY3JldA=="}}, o.header)
	require.Equal(t, forever, o.wait)
	require.Equal(t, 2.5, o.speed)
	require.Equal(t, []string{"a", "b", "c"}, o.subprotocols)

	o, err = parse([]string{"-user", "bob:word", "ws://ann:secret@a"})
	require.NoError(t, err)
	require.Equal(t, "Basic Ym9iOndvcmQ=", o.header.Get("Authorization"), "the flag is stronger than the URL")

	o, err = parse([]string{"listen", "8080"})
	require.NoError(t, err)
	require.Equal(t, "localhost:8080", o.addr)

	o, err = parse([]string{"listen", ":8080", "-ping", "5s"})
	require.NoError(t, err)
	require.Equal(t, ":8080", o.addr)
	require.Equal(t, 5*time.Second, o.pingInterval)
}

func TestTerms(t *testing.T) {
	t.Parallel()
	for flags, want := range map[string]*websocket.Compression{
		"-compress":       {},
		"-compress=false": nil,
		"-compress=server_no_context_takeover; client_no_context_takeover": {ServerNoContextTakeover: true, ClientNoContextTakeover: true},
		"-compress=server_max_window_bits=9,client_max_window_bits=15":     {ServerMaxWindowBits: 9, ClientMaxWindowBits: 15},
		"-compress=level=9;threshold=-1":                                   {Level: 9, Threshold: -1},
	} {
		o, err := parse([]string{flags, "ws://a"})
		require.NoError(t, err)
		require.Equal(t, want, o.compression, flags)
	}
}

func TestHandshakeFields(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "headers")
	require.NoError(t, os.WriteFile(file, []byte("X-One: 1\r\n\nX-Two: 2: two\n"), 0o600))
	requests := make(chan *http.Request, 1)
	url := serve(t, func(c *websocket.Conn, r *http.Request) error {
		requests <- r
		return c.WriteMessage(websocket.TextMessage, []byte(c.Subprotocol()))
	})
	host := strings.TrimPrefix(url, "ws://")
	got := wscat(t, "", "ws://ann:secret@"+host+"/path?q=1", "-H", "X-Zero:0", "-H", "X-Zero: 00", "-header", "@"+file,
		"-origin", "http://"+host, "-cookie", "a=b", "-cookie", "c=d", "-s", "talk,chat", "-wait", "forever")
	require.Equal(t, outcome{out: "chat\n"}, got)
	r := <-requests
	require.Equal(t, "/path?q=1", r.RequestURI)
	for name, want := range map[string][]string{
		"X-Zero": {"0", "00"}, "X-One": {"1"}, "X-Two": {"2: two"},
		"Origin": {"http://" + host}, "Cookie": {"a=b; c=d"},
		"Authorization":          {"Basic YW5uOnNlY3JldA=="},
		"Sec-Websocket-Protocol": {"talk, chat"},
		"User-Agent":             {"wscat"},
	} {
		require.Equal(t, want, r.Header[name], name)
	}

	got = wscat(t, "", url, "-H", "Host: other.example", "-H", "User-Agent: me", "-H", "Sec-WebSocket-Protocol: chat", "-wait", "forever")
	require.Equal(t, outcome{out: "chat\n"}, got)
	r = <-requests
	require.Equal(t, "other.example", r.Host)
	require.Equal(t, []string{"me"}, r.Header["User-Agent"])
}

package websocket

import (
	"bufio"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The handshake of RFC 6455, section 1.3, and one without subprotocols.
const (
	goldenKey    = "dGhlIHNhbXBsZSBub25jZQ=="
	goldenAccept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

	goldenAnswer = "HTTP/1.1 101 Switching Protocols\r\n" +
		"Upgrade: websocket\r\n" +
		"Connection: Upgrade\r\n" +
		"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" +
		"Sec-WebSocket-Protocol: chat\r\n" +
		"\r\n"

	plainRequest = "GET /chat HTTP/1.1\r\n" +
		"Host: server.example.com\r\n" +
		"Upgrade: websocket\r\n" +
		"Connection: Upgrade\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
		"Sec-WebSocket-Version: 13\r\n" +
		"\r\n"
	plainAnswer = "HTTP/1.1 101 Switching Protocols\r\n" +
		"Upgrade: websocket\r\n" +
		"Connection: Upgrade\r\n" +
		"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" +
		"\r\n"
)

// edit replaces the first old in s, which must have one.
func edit(t testing.TB, s, old, new string) string {
	t.Helper()
	require.Contains(t, s, old)
	return strings.Replace(s, old, new, 1)
}

func parsedRequest(t *testing.T, raw string) *http.Request {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(raw)))
	require.NoError(t, err)
	return r
}

func parsedResponse(t *testing.T, raw string) *http.Response {
	t.Helper()
	resp, err := http.ReadResponse(bufio.NewReader(strings.NewReader(raw)), nil)
	require.NoError(t, err)
	return resp
}

func requireRefusal(t *testing.T, err error, status int) {
	t.Helper()
	f, ok := err.(*refusal)
	require.True(t, ok, "%T: %v", err, err)
	require.Equal(t, status, f.status, f.Error())
	require.Regexp(t, `^websocket: .`, f.Error())
}

func TestHandshakeIsBounded(t *testing.T) {
	t.Parallel()
	require.Equal(t, 65_536, maxHandshake)
}

func TestAcceptKey(t *testing.T) {
	t.Parallel()
	require.Equal(t, goldenAccept, acceptKey(goldenKey))
}

func TestNewChallengeKey(t *testing.T) {
	t.Parallel()
	a, b := newChallengeKey(), newChallengeKey()
	require.NotEqual(t, a, b)
	nonce, err := base64.StdEncoding.DecodeString(a)
	require.NoError(t, err)
	require.Len(t, nonce, 16)
}

func TestChallengeKey(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		keys  []string
		valid bool
	}{
		{"golden", []string{goldenKey}, true},
		{"none", nil, false},
		{"empty", []string{""}, false},
		{"15 bytes", []string{"AQIDBAUGBwgJCgsMDQ4P"}, false},
		{"17 bytes", []string{"AQIDBAUGBwgJCgsMDQ4PEBE="}, false},
		{"18 bytes", []string{"AQIDBAUGBwgJCgsMDQ4PEBES"}, false},
		{"no padding", []string{"dGhlIHNhbXBsZSBub25jZQ"}, false},
		{"24 bytes that are not base64", []string{"!!!!!!!!!!!!!!!!!!!!!!=="}, false},
		{"line feeds in it", []string{"dGhlIHNhbXBsZSBub25j\nZQ=="}, false},
		{"two", []string{goldenKey, goldenKey}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			key, err := challengeKey(http.Header{"Sec-Websocket-Key": tt.keys})
			if !tt.valid {
				requireRefusal(t, err, 400)
				require.Empty(t, key)
				return
			}
			require.NoError(t, err)
			require.Equal(t, goldenKey, key)
		})
	}
}

func TestHandshakeErrorIsComparable(t *testing.T) {
	t.Parallel()
	a, b := refuse(400, "no").(*refusal), refuse(403, "no").(*refusal)
	require.True(t, a.reason == b.reason)
	require.EqualError(t, a.reason, "websocket: no")
}

func TestRefusalHeader(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]http.Header{
		400: {"Sec-Websocket-Version": {"13"}},
		405: {"Sec-Websocket-Version": {"13"}, "Allow": {"GET"}},
		426: {"Sec-Websocket-Version": {"13"}, "Upgrade": {"websocket"}, "Connection": {"Upgrade"}},
	} {
		got := http.Header{}
		(&refusal{status: status}).addTo(got)
		require.Equal(t, want, got)
	}
}

func TestIsWebSocketUpgrade(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name                string
		connection, upgrade []string
		want                bool
	}{
		{"plain", []string{"Upgrade"}, []string{"websocket"}, true},
		{"any case", []string{"UPGRADE"}, []string{"WebSocket"}, true},
		{"lists", []string{"keep-alive, Upgrade"}, []string{"h2c, websocket"}, true},
		{"as lighttpd sends it", []string{"close, upgrade"}, []string{"websocket"}, true},
		{"several lines", []string{"keep-alive", "upgrade"}, []string{"h2c", "websocket"}, true},
		{"nothing", nil, nil, false},
		{"no Connection", nil, []string{"websocket"}, false},
		{"no Upgrade", []string{"Upgrade"}, nil, false},
		{"h2c", []string{"Upgrade"}, []string{"h2c"}, false},
		{"part of a token", []string{"Upgrade"}, []string{"websockets"}, false},
		{"Kelvin sign", []string{"Upgrade"}, []string{"websoc\u212aet"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := &http.Request{Header: http.Header{"Connection": tt.connection, "Upgrade": tt.upgrade}}
			require.Equal(t, tt.want, IsWebSocketUpgrade(r))
		})
	}
}

func TestSubprotocols(t *testing.T) {
	t.Parallel()
	r := &http.Request{Header: http.Header{"Sec-Websocket-Protocol": {"chat, superchat", "v2"}}}
	require.Equal(t, []string{"chat", "superchat", "v2"}, Subprotocols(r))
	require.Nil(t, Subprotocols(&http.Request{}))
}

// openingCases are requests that every server judges alike, as edits of plainRequest.
var openingCases = []struct {
	name     string
	old, new string
	status   int // 0 is accepted
}{
	{"golden", "", "", 0},
	{"Connection list", "Connection: Upgrade", "Connection: keep-alive, upgrade", 0},
	{"Content-Length 0", "\r\nUpgrade:", "\r\nContent-Length: 0\r\nUpgrade:", 0},
	{"absolute target", "/chat", "http://server.example.com/chat", 0},
	{"no Connection", "Connection: Upgrade\r\n", "", 426},
	{"Connection without the token", "Connection: Upgrade", "Connection: keep-alive", 426},
	{"no Upgrade", "Upgrade: websocket\r\n", "", 426},
	{"h2c", "Upgrade: websocket", "Upgrade: h2c", 426},
	{"HTTP/1.0", "HTTP/1.1", "HTTP/1.0", 400},
	{"POST", "GET", "POST", 405},
	{"HEAD", "GET", "HEAD", 405},
	{"no version", "Sec-WebSocket-Version: 13\r\n", "", 400},
	{"version 8", "Version: 13", "Version: 8", 400},
	{"version 777", "Version: 13", "Version: 777", 400},
	{"version list", "Version: 13", "Version: 13, 8", 400},
	{"two versions", "Sec-WebSocket-Version: 13\r\n", "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Version: 13\r\n", 400},
	{"empty Host", "Host: server.example.com", "Host:", 400},
	{"malformed Host", "Host: server.example.com", "Host: a b", 400},
	{"Content-Length", "\r\nUpgrade:", "\r\nContent-Length: 5\r\nUpgrade:", 400},
	{"Transfer-Encoding", "\r\nUpgrade:", "\r\nTransfer-Encoding: chunked\r\nUpgrade:", 400},
	{"both", "\r\nUpgrade:", "\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\nUpgrade:", 400},
}

func TestCheckOpening(t *testing.T) {
	t.Parallel()
	for _, tt := range openingCases {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := checkOpening(parsedRequest(t, edit(t, plainRequest, tt.old, tt.new)))
			if tt.status == 0 {
				require.NoError(t, err)
				return
			}
			requireRefusal(t, err, tt.status)
		})
	}

	t.Run("Transfer-Encoding without a Content-Length of -1", func(t *testing.T) { // as a program may make a request
		t.Parallel()
		r := parsedRequest(t, plainRequest)
		r.TransferEncoding = []string{"chunked"}
		requireRefusal(t, checkOpening(r), 400)
	})
}

// Those who run into a refusal are told which rule of which field it was.
func TestCheckOpeningSays(t *testing.T) {
	t.Parallel()
	const no = "websocket: the client is not using the websocket protocol: "
	for _, tt := range []struct{ old, new, says string }{
		{"Connection: Upgrade\r\n", "", no + "no 'upgrade' token in the Connection header of an HTTP/1.1 request"},
		{"Upgrade: websocket\r\n", "", no + "no 'websocket' token in the Upgrade header"},
		{"HTTP/1.1", "HTTP/1.0", no + "an HTTP/1.0 request cannot be upgraded"},
		{"GET", "POST", no + "request method is not GET"},
		{"Version: 13", "Version: 8", "websocket: unsupported version: the Sec-WebSocket-Version header is not 13"},
		{"Host: server.example.com", "Host:", "websocket: missing or malformed Host header"},
		{"\r\nUpgrade:", "\r\nContent-Length: 5\r\nUpgrade:", "websocket: an opening handshake has no body"},
	} {
		require.EqualError(t, checkOpening(parsedRequest(t, edit(t, plainRequest, tt.old, tt.new))), tt.says)
	}
}

func TestOffers(t *testing.T) {
	t.Parallel()
	got, err := offers(http.Header{})
	require.NoError(t, err)
	require.Empty(t, got)
	got, err = offers(http.Header{"Sec-Websocket-Extensions": {"permessage-deflate; client_max_window_bits"}})
	require.NoError(t, err)
	require.Equal(t, []extension{{"permessage-deflate", []extensionParam{{"client_max_window_bits", ""}}}}, got)
	_, err = offers(http.Header{"Sec-Websocket-Extensions": {"permessage-deflate;"}})
	requireRefusal(t, err, 400)
}

func TestChooseSubprotocol(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name          string
		ours, offered []string
		want          string
	}{
		{"none", nil, nil, ""},
		{"nothing offered", []string{"chat"}, nil, ""},
		{"our preference", []string{"v2", "v1"}, []string{"v1", "v2"}, "v2"},
		{"only one in common", []string{"v2", "v1"}, []string{"v0", "v1"}, "v1"},
		{"none in common", []string{"v2"}, []string{"v1"}, ""},
		{"another case", []string{"CHAT"}, []string{"chat"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tt.want, chooseSubprotocol(tt.ours, tt.offered))
		})
	}
}

func TestCheckExtra(t *testing.T) {
	t.Parallel()
	require.NoError(t, checkExtra(nil))
	require.NoError(t, checkExtra(http.Header{"Set-Cookie": {"a=b"}}))
	requireRefusal(t, checkExtra(http.Header{"Sec-Websocket-Extensions": {"foo"}}), 500)
	requireRefusal(t, checkExtra(http.Header{"Sec-WebSocket-Extensions": {"foo"}}), 500)
	malformed := checkExtra(http.Header{"X: y\r\nZ": {"foo"}})
	requireRefusal(t, malformed, 500)
	require.EqualError(t, malformed, `websocket: malformed name "X: y\r\nZ" in a response header`)
}

func TestAppendAnswer(t *testing.T) {
	t.Parallel()
	opening, _ := strings.CutSuffix(plainAnswer, "\r\n")
	for _, tt := range []struct {
		name        string
		subprotocol string
		extra       http.Header
		want        string
	}{
		{"golden", "chat", nil, goldenAnswer},
		{"plain", "", nil, plainAnswer},
		{"several values", "", http.Header{"Set-Cookie": {"a=b", "c=d"}}, opening + "Set-Cookie: a=b\r\nSet-Cookie: c=d\r\n\r\n"},
		{"name as given", "", http.Header{"x-myID": {"1"}}, opening + "x-myID: 1\r\n\r\n"},
		{"response splitting", "", http.Header{"X": {"a\r\nSet-Cookie: b\x00\x7f\t"}}, opening + "X: a  Set-Cookie: b   \r\n\r\n"},
		{"not ASCII", "", http.Header{"X": {"ö"}}, opening + "X: ö\r\n\r\n"},
		{
			"the handshake's own fields", "chat",
			http.Header{
				"upgrade": {"h2c"}, "Connection": {"close"}, "Sec-WebSocket-Accept": {"x"}, "Sec-Websocket-Protocol": {"x"},
				"Content-Length": {"5"}, "Transfer-Encoding": {"chunked"},
			},
			goldenAnswer,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, "x"+tt.want, string(appendAnswer([]byte("x"), goldenKey, tt.subprotocol, "", tt.extra)))
		})
	}
	require.Equal(t, opening+"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
		string(appendAnswer(nil, goldenKey, "", "permessage-deflate", nil)))
	for range 50 { // in whatever order the map gives them
		extra := http.Header{"X-Kept": {"1"}, "Connection": {"close"}}
		require.Equal(t, opening+"X-Kept: 1\r\n\r\n", string(appendAnswer(nil, goldenKey, "", "", extra)))
		h := http.Header{}
		setAnswer(h, "", "", extra)
		require.Equal(t, http.Header{"X-Kept": {"1"}}, h)
	}
}

func TestSetOpening(t *testing.T) {
	t.Parallel()
	h := http.Header{"Origin": {"http://example.com"}}
	setOpening(h, goldenKey, nil)
	want := http.Header{
		"Origin":                {"http://example.com"},
		"Upgrade":               {"websocket"},
		"Connection":            {"Upgrade"},
		"Sec-WebSocket-Key":     {goldenKey},
		"Sec-WebSocket-Version": {"13"},
	}
	require.Equal(t, want, h)
	setOpening(h, goldenKey, &terms{})
	want["Sec-WebSocket-Extensions"] = []string{"permessage-deflate; client_max_window_bits"}
	require.Equal(t, want, h)
}

// answerCases are answers to a request that offered chat and superchat, as edits of
// goldenAnswer.
var answerCases = []struct {
	name        string
	old, new    string
	subprotocol string
	fails       string // the error, "" is none
}{
	{"golden", "", "", "chat", ""},
	{"other subprotocol", "chat", "superchat", "superchat", ""},
	{"no subprotocol", "Sec-WebSocket-Protocol: chat\r\n", "", "", ""},
	{"token lists", "Upgrade: websocket\r\nConnection: Upgrade", "Upgrade: h2c, WebSocket\r\nConnection: keep-alive, upgrade", "chat", ""},
	{"empty extension list", "Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions:\r\nSec-WebSocket-Protocol", "chat", ""},
	{"200", "101 Switching Protocols", "200 OK", "", "websocket: bad handshake"},
	{"302", "101 Switching Protocols", "302 Found", "", "websocket: bad handshake"},
	{"HTTP/1.0", "HTTP/1.1", "HTTP/1.0", "", "websocket: bad handshake: 101 in HTTP/1.0"},
	{"HTTP/2", "HTTP/1.1", "HTTP/2.0", "", "websocket: bad handshake: 101 in HTTP/2.0"},
	{"HTTP/2.1, which does not exist", "HTTP/1.1", "HTTP/2.1", "", "websocket: bad handshake: 101 in HTTP/2.1"},
	{"no Upgrade", "Upgrade: websocket\r\n", "", "", "websocket: bad handshake: 101 without Upgrade: websocket and Connection: Upgrade"},
	{"no Connection", "Connection: Upgrade\r\n", "", "", "websocket: bad handshake: 101 without Upgrade: websocket and Connection: Upgrade"},
	{"no accept", "Sec-WebSocket-Accept: " + goldenAccept + "\r\n", "", "", "websocket: bad handshake: Sec-WebSocket-Accept does not answer our key"},
	{"wrong accept", goldenAccept, "t" + goldenAccept[1:], "", "websocket: bad handshake: Sec-WebSocket-Accept does not answer our key"},
	{"accept in another case", goldenAccept, "S" + goldenAccept[1:], "", "websocket: bad handshake: Sec-WebSocket-Accept does not answer our key"},
	{"two accepts", "Sec-WebSocket-Protocol", "Sec-WebSocket-Accept: " + goldenAccept + "\r\nSec-WebSocket-Protocol", "", "websocket: bad handshake: Sec-WebSocket-Accept does not answer our key"},
	{"extension", "Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions: permessage-deflate\r\nSec-WebSocket-Protocol", "", `websocket: bad handshake: extension "permessage-deflate" was not offered`},
	{"malformed extension", "Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions: ;\r\nSec-WebSocket-Protocol", "", "websocket: bad handshake: malformed Sec-WebSocket-Extensions header"},
	{"subprotocol not offered", "chat", "v2", "", `websocket: bad handshake: subprotocol "v2" was not offered`},
	{"subprotocol in another case", "chat", "Chat", "", `websocket: bad handshake: subprotocol "Chat" was not offered`},
	{"subprotocol list", "chat", "chat, superchat", "", `websocket: bad handshake: subprotocol "chat, superchat" was not offered`},
	{"two subprotocols", "\r\n\r\n", "\r\nSec-WebSocket-Protocol: superchat\r\n\r\n", "", "websocket: bad handshake: more than one Sec-WebSocket-Protocol header"},
}

func TestCheckAnswer(t *testing.T) {
	t.Parallel()
	for _, tt := range answerCases {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			resp := parsedResponse(t, edit(t, goldenAnswer, tt.old, tt.new))
			n, err := checkAnswer(resp, goldenKey, []string{"chat", "superchat"}, nil)
			require.Equal(t, Negotiated{Subprotocol: tt.subprotocol}, n)
			if tt.fails == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, ErrBadHandshake)
			require.EqualError(t, err, tt.fails)
			if resp.StatusCode != 101 {
				require.True(t, err == ErrBadHandshake)
			}
		})
	}
}

func TestSetConnect(t *testing.T) {
	t.Parallel()
	h := http.Header{"Origin": {"http://example.com"}}
	setConnect(h, nil)
	want := http.Header{
		"Origin":                {"http://example.com"},
		":protocol":             {"websocket"},
		"Sec-WebSocket-Version": {"13"},
	}
	require.Equal(t, want, h)
	setConnect(h, &terms{})
	want["Sec-WebSocket-Extensions"] = []string{"permessage-deflate; client_max_window_bits"}
	require.Equal(t, want, h)
}

// connectRequest is an extended CONNECT as servers give it to their handlers.
func connectRequest(method, proto string, major int, protocols ...string) *http.Request {
	r := httptest.NewRequest(method, "/", http.NoBody)
	r.Proto, r.ProtoMajor, r.ContentLength = proto, major, -1
	if protocols != nil {
		r.Header[":protocol"] = protocols
	}
	r.Header["Sec-Websocket-Version"] = []string{"13"}
	return r
}

// An extended CONNECT looks different in servers of HTTP/2 and of HTTP/3.
func TestExtendedConnect(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		r      *http.Request
		wanted string
	}{
		{"HTTP/2", connectRequest(http.MethodConnect, "HTTP/2.0", 2, "websocket"), "websocket"},
		{"HTTP/2, another protocol", connectRequest(http.MethodConnect, "HTTP/2.0", 2, "connect-udp"), "connect-udp"},
		{"HTTP/2, two", connectRequest(http.MethodConnect, "HTTP/2.0", 2, "websocket", "websocket"), ""},
		{"HTTP/2, plain CONNECT", connectRequest(http.MethodConnect, "HTTP/2.0", 2), ""},
		{"HTTP/2, GET", connectRequest(http.MethodGet, "HTTP/2.0", 2, "websocket"), ""},
		{"HTTP/2, as HTTP/3 has it", connectRequest(http.MethodConnect, "websocket", 2), ""},
		{"HTTP/3", connectRequest(http.MethodConnect, "websocket", 3), "websocket"},
		{"HTTP/3, another protocol", connectRequest(http.MethodConnect, "connect-udp", 3), "connect-udp"},
		{"HTTP/3, plain CONNECT", connectRequest(http.MethodConnect, "HTTP/3.0", 3), ""},
		{"HTTP/3, GET", connectRequest(http.MethodGet, "websocket", 3), ""},
		{"HTTP/1.1", connectRequest(http.MethodConnect, "HTTP/1.1", 1, "websocket"), ""},
		{"a version to come", connectRequest(http.MethodConnect, "websocket", 4, "websocket"), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tt.wanted, extendedConnect(tt.r))
			require.Equal(t, tt.wanted == "websocket", IsWebSocketUpgrade(tt.r))
			// The fields of HTTP/1.1 make no WebSocket of a CONNECT to something else.
			tt.r.Header["Connection"], tt.r.Header["Upgrade"] = []string{"Upgrade"}, []string{"websocket"}
			require.Equal(t, tt.wanted == "websocket" || tt.wanted == "", IsWebSocketUpgrade(tt.r))
		})
	}
}

func TestCheckConnect(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		edit   func(r *http.Request)
		status int
		says   string
	}{
		{"golden", func(*http.Request) {}, 0, ""},
		{"no version", func(r *http.Request) { r.Header.Del("Sec-Websocket-Version") }, 400, "unsupported version: the Sec-WebSocket-Version header is not 13"},
		{"another version", func(r *http.Request) { r.Header.Set("Sec-Websocket-Version", "8") }, 400, "unsupported version: the Sec-WebSocket-Version header is not 13"},
		{"two versions", func(r *http.Request) { r.Header.Add("Sec-Websocket-Version", "13") }, 400, "unsupported version: the Sec-WebSocket-Version header is not 13"},
		{"no authority", func(r *http.Request) { r.Host = "" }, 400, "missing or malformed :authority"},
		{"malformed authority", func(r *http.Request) { r.Host = "exa mple.com" }, 400, "missing or malformed :authority"},
		{"ended at once", func(r *http.Request) { r.ContentLength = 0 }, 400, "the stream of an opening handshake has to stay open"},
		{"with a length", func(r *http.Request) { r.ContentLength = 1 }, 400, "the stream of an opening handshake has to stay open"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := connectRequest(http.MethodConnect, "HTTP/2.0", 2, "websocket")
			tt.edit(r)
			err := checkConnect(r, "websocket")
			if tt.status == 0 {
				require.NoError(t, err)
				return
			}
			requireRefusal(t, err, tt.status)
			require.EqualError(t, err, "websocket: "+tt.says)
		})
	}
	// RFC 9220, section 3.
	err := checkConnect(connectRequest(http.MethodConnect, "HTTP/2.0", 2, "connect-udp"), "connect-udp")
	requireRefusal(t, err, 501)
	require.EqualError(t, err, `websocket: extended CONNECT for "connect-udp", not for websocket`)
}

// What a program and the agreement want in the answer to an extended CONNECT, and that
// the answer has no place for what belongs to HTTP/1.1 or would say something of the stream.
func TestSetAnswer(t *testing.T) {
	t.Parallel()
	h := http.Header{}
	setAnswer(h, "chat", "permessage-deflate", http.Header{
		"Set-Cookie": {"a=1", "b=2\r\nX-Split: yes"}, "Connection": {"close"}, "Sec-Websocket-Protocol": {"other"}, "Content-Length": {"5"},
		"content-encoding": {"gzip"}, "Trailer": {"X-Sum"}, http.TrailerPrefix + "X-Sum": {"5"},
	})
	require.Equal(t, http.Header{
		"Set-Cookie": {"a=1", "b=2  X-Split: yes"}, "Sec-Websocket-Protocol": {"chat"}, "Sec-Websocket-Extensions": {"permessage-deflate"},
	}, h)

	// What middlewares have left there stays, or not.
	middlewares := http.Header{
		"Set-Cookie": {"theirs=1"}, "Strict-Transport-Security": {"max-age=1"}, "Vary": {"Origin"},
		"Upgrade": {"h2c"}, "Connection": {"close"}, "Content-Length": {"5"}, "Transfer-Encoding": {"chunked"}, "Content-Encoding": {"gzip"},
		"Trailer": {"X-Sum"}, http.TrailerPrefix + "X-Sum": {"5"}, "Sec-Websocket-Accept": {"x"}, "Sec-Websocket-Protocol": {"x"}, "Sec-Websocket-Extensions": {"x"},
	}
	setAnswer(middlewares, "", "", http.Header{"Set-Cookie": {"ours=1"}})
	require.Equal(t, http.Header{
		"Set-Cookie": {"theirs=1", "ours=1"}, "Strict-Transport-Security": {"max-age=1"}, "Vary": {"Origin"},
	}, middlewares)

	h = http.Header{}
	setAnswer(h, "", "", nil)
	require.Empty(t, h)
}

func TestWithoutControls(t *testing.T) {
	t.Parallel()
	require.Equal(t, "a  b c !~ \u00e9", withoutControls("a\r\nb\x1fc\x00!~\x7f\u00e9"))
}

func TestCheckConnected(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		status      int
		h           http.Header
		subprotocol string
		fails       string
	}{
		{200, nil, "", ""},
		{204, nil, "", ""}, // any 2xx (RFC 9110, section 9.3.6)
		{299, http.Header{"Sec-Websocket-Protocol": {"chat"}}, "chat", ""},
		{101, nil, "", "websocket: bad handshake"},
		{199, nil, "", "websocket: bad handshake"},
		{300, nil, "", "websocket: bad handshake"},
		{404, http.Header{"Sec-Websocket-Protocol": {"chat"}}, "", "websocket: bad handshake"},
		{200, http.Header{"Sec-Websocket-Protocol": {"v2"}}, "", `websocket: bad handshake: subprotocol "v2" was not offered`},
		{200, http.Header{"Sec-Websocket-Extensions": {"permessage-deflate"}}, "", `websocket: bad handshake: extension "permessage-deflate" was not offered`},
	} {
		n, err := checkConnected(&http.Response{StatusCode: tt.status, Header: tt.h}, []string{"chat"}, nil)
		if tt.fails != "" {
			require.ErrorIs(t, err, ErrBadHandshake)
			require.EqualError(t, err, tt.fails)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, Negotiated{Subprotocol: tt.subprotocol}, n)
	}
}

package hostile

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket"
	"github.com/duplexkit/websocket/internal/wstest"
)

// Attacks on the client's part of the opening handshake: servers and proxies that lie, leak, talk without end or fall silent.

// A liar is a server that answers opening handshakes as a test tells it.
type liar struct {
	addr   string
	mu     sync.Mutex
	heads  []string      // of the requests
	hungUp chan struct{} // once for each connection that the client has ended
}

func (l *liar) url() string { return "ws://" + l.addr + "/chat" }

// requests are the heads of all requests so far.
func (l *liar) requests() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.heads...)
}

// openLiar starts a server that lets answer have each connection and the head of its request, and waits for the client to end it.
func openLiar(t testing.TB, answer func(nc net.Conn, head string)) *liar {
	t.Helper()
	return openTLSLiar(t, nil, answer)
}

// openTLSLiar is openLiar over TLS, if config is not nil.
func openTLSLiar(t testing.TB, config *tls.Config, answer func(nc net.Conn, head string)) *liar {
	t.Helper()
	ln := listen(t)
	l := &liar{addr: ln.Addr().String(), hungUp: make(chan struct{}, 1024)}
	if config != nil {
		ln = tls.NewListener(ln, config)
	}
	var open sync.WaitGroup
	open.Go(func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			open.Go(func() {
				defer nc.Close()
				_ = nc.SetDeadline(time.Now().Add(patience))
				if head, ok := l.receive(nc); ok {
					answer(nc, head)
				}
				if _, err := io.Copy(io.Discard, nc); errors.Is(err, os.ErrDeadlineExceeded) {
					t.Error("the client does not hang up")
				}
				l.hungUp <- struct{}{}
			})
		}
	})
	t.Cleanup(func() {
		ln.Close()
		open.Wait()
	})
	return l
}

// receive reads a request's head, and not a byte more.
func (l *liar) receive(nc net.Conn) (head string, ok bool) {
	var b [1]byte
	for !strings.HasSuffix(head, "\r\n\r\n") {
		if _, err := io.ReadFull(nc, b[:]); err != nil {
			return head, false
		}
		head += string(b[:])
	}
	l.mu.Lock()
	l.heads = append(l.heads, head)
	l.mu.Unlock()
	return head, true
}

const goodAnswer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ACCEPT\r\n\r\n"

// keyOf is the Sec-WebSocket-Key of a request.
func keyOf(head string) string {
	_, key, _ := strings.Cut(head, "Sec-WebSocket-Key: ")
	key, _, _ = strings.Cut(key, "\r\n")
	return key
}

// answered is raw with the accept that the request wants for ACCEPT.
func answered(raw, head string) string {
	return strings.ReplaceAll(raw, "ACCEPT", acceptFor(keyOf(head)))
}

// says answers every request by raw.
func says(raw string, p pace) func(net.Conn, string) {
	return func(nc net.Conn, head string) { send(nc, answered(raw, head), p) }
}

// falsified is a good answer with a part replaced.
func falsified(old, new string) string {
	if strings.Count(goodAnswer, old) != 1 {
		panic("not once in the answer: " + old)
	}
	return strings.Replace(goodAnswer, old, new, 1)
}

// with is a good answer with more fields.
func with(fields string) string { return falsified("\r\n\r\n", "\r\n"+fields+"\r\n") }

// An answer that breaks a rule opens nothing, whatever it claims, and ends the connection (RFC 6455, section 4.1).
func TestFalseAnswer(t *testing.T) {
	t.Parallel()
	subprotocols := websocket.Dialer{Subprotocols: []string{"chat", "superchat"}}
	enabled := websocket.Dialer{EnableCompression: true}
	terms := func(c websocket.Compression) websocket.Dialer {
		return websocket.Dialer{Options: websocket.Options{Compression: &c}}
	}
	const extensions = "Sec-WebSocket-Extensions: "
	for _, tt := range []struct {
		name   string
		dialer websocket.Dialer
		raw    string
	}{
		{"wrong accept", websocket.Dialer{}, falsified("ACCEPT", wstest.Accept)},
		{"accept in lower case", websocket.Dialer{}, falsified("ACCEPT", strings.ToLower(wstest.Accept))},
		{"empty accept", websocket.Dialer{}, falsified("ACCEPT", "")},
		{"no accept", websocket.Dialer{}, falsified("Sec-WebSocket-Accept: ACCEPT\r\n", "")},
		{"two accepts", websocket.Dialer{}, with("Sec-WebSocket-Accept: ACCEPT\r\n")},
		{"two accepts, one wrong", websocket.Dialer{}, with("Sec-WebSocket-Accept: " + wstest.Accept + "\r\n")},
		{"accept and more", websocket.Dialer{}, falsified("ACCEPT", "ACCEPT, ACCEPT")},
		{"no Upgrade", websocket.Dialer{}, falsified("Upgrade: websocket\r\n", "")},
		{"other Upgrade", websocket.Dialer{}, falsified("Upgrade: websocket", "Upgrade: h2c")},
		{"Upgrade that begins like it", websocket.Dialer{}, falsified("Upgrade: websocket", "Upgrade: websockets")},
		{"no Connection", websocket.Dialer{}, falsified("Connection: Upgrade\r\n", "")},
		{"other Connection", websocket.Dialer{}, falsified("Connection: Upgrade", "Connection: close")},

		{"HTTP/1.0", websocket.Dialer{}, falsified("HTTP/1.1", "HTTP/1.0")},
		{"HTTP/2.0", websocket.Dialer{}, falsified("HTTP/1.1", "HTTP/2.0")},
		{"200", websocket.Dialer{}, falsified("101 Switching Protocols", "200 OK\r\nContent-Length: 8")},
		{"200 without a body", websocket.Dialer{}, falsified("101 Switching Protocols", "200 OK\r\nContent-Length: 0")},
		{"204", websocket.Dialer{}, falsified("101 Switching Protocols", "204 No Content")},
		{"426", websocket.Dialer{}, falsified("101 Switching Protocols", "426 Upgrade Required\r\nContent-Length: 8")},
		{"999", websocket.Dialer{}, falsified("101 Switching Protocols", "999 Whatever\r\nContent-Length: 8")},
		{"status that is none", websocket.Dialer{}, falsified("101 Switching Protocols", "1O1 Switching Protocols")},
		{"status of four digits", websocket.Dialer{}, falsified("101 Switching Protocols", "1010 Switching Protocols")},
		{"no HTTP", websocket.Dialer{}, "\x81\x05Hello\r\n\r\n"},
		{"blank before a colon", websocket.Dialer{}, falsified("Upgrade: websocket", "Upgrade : websocket")},
		{"NUL in a value", websocket.Dialer{}, with("X: a\x00b\r\n")},
		{"no colon", websocket.Dialer{}, with("nonsense\r\n")},

		{"subprotocol not offered", websocket.Dialer{}, with("Sec-WebSocket-Protocol: chat\r\n")},
		{"other subprotocol", subprotocols, with("Sec-WebSocket-Protocol: evil\r\n")},
		{"empty subprotocol", subprotocols, with("Sec-WebSocket-Protocol:\r\n")},
		{"two subprotocols", subprotocols, with("Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Protocol: superchat\r\n")},
		{"the same subprotocol twice", subprotocols, with("Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Protocol: chat\r\n")},
		{"list of subprotocols", subprotocols, with("Sec-WebSocket-Protocol: chat, superchat\r\n")},
		{"subprotocol in another case", subprotocols, with("Sec-WebSocket-Protocol: Chat\r\n")},
		{"subprotocol in quotes", subprotocols, with("Sec-WebSocket-Protocol: \"chat\"\r\n")},
		{"subprotocol and a parameter", subprotocols, with("Sec-WebSocket-Protocol: chat;v=1\r\n")},

		{"extension not offered", websocket.Dialer{}, with(extensions + "permessage-deflate\r\n")},
		{"other extension", enabled, with(extensions + "permessage-evil\r\n")},
		{"extension in another case", enabled, with(extensions + "Permessage-Deflate\r\n")},
		{"extension twice", enabled, with(extensions + "permessage-deflate, permessage-deflate\r\n")},
		{"extension in two lines", enabled, with(extensions + "permessage-deflate\r\n" + extensions + "permessage-deflate\r\n")},
		{"extension and another", enabled, with(extensions + "permessage-deflate, x-webkit-deflate-frame\r\n")},
		{"malformed extension", enabled, with(extensions + "permessage-deflate;\r\n")},
		{"unclosed quote", enabled, with(extensions + "permessage-deflate; server_max_window_bits=\"10\r\n")},
		{"unknown parameter", enabled, with(extensions + "permessage-deflate; evil\r\n")},
		{"odd parameter", enabled, with(extensions + "permessage-deflate; __proto__=1; constructor\r\n")},
		{"parameter twice", enabled, with(extensions + "permessage-deflate; server_no_context_takeover; server_no_context_takeover\r\n")},
		{"takeover with a value", enabled, with(extensions + "permessage-deflate; server_no_context_takeover=1\r\n")},
		{"window bits not offered", enabled, with(extensions + "permessage-deflate; client_max_window_bits=10\r\n")},
		{"bare server_max_window_bits", terms(websocket.Compression{}), with(extensions + "permessage-deflate; server_max_window_bits\r\n")},
		{"bare client_max_window_bits", terms(websocket.Compression{}), with(extensions + "permessage-deflate; client_max_window_bits\r\n")},
		{"window bits of 7", terms(websocket.Compression{}), with(extensions + "permessage-deflate; client_max_window_bits=7\r\n")},
		{"window bits of 16", terms(websocket.Compression{}), with(extensions + "permessage-deflate; server_max_window_bits=16\r\n")},
		{"window bits of 99", terms(websocket.Compression{}), with(extensions + "permessage-deflate; server_max_window_bits=99\r\n")},
		{"window bits of 2^64", terms(websocket.Compression{}), with(extensions + "permessage-deflate; server_max_window_bits=18446744073709551626\r\n")},
		{"window bits of abc", terms(websocket.Compression{}), with(extensions + "permessage-deflate; server_max_window_bits=abc\r\n")},
		{"window bits of 010", terms(websocket.Compression{}), with(extensions + "permessage-deflate; server_max_window_bits=010\r\n")},
		{"window bits with a sign", terms(websocket.Compression{}), with(extensions + "permessage-deflate; server_max_window_bits=+10\r\n")},
		{"more window bits than asked for", terms(websocket.Compression{ServerMaxWindowBits: 10}),
			with(extensions + "permessage-deflate; server_max_window_bits=11\r\n")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, p := range []pace{atOnce, byteByByte} {
				l := openLiar(t, says(tt.raw+string(wstest.Frame{Opcode: wstest.Text, Payload: "tunnel"}.Unmasked()), p))
				c, resp, err := tt.dialer.Dial(l.url(), nil)
				require.Nil(t, c)
				require.Error(t, err)
				if resp != nil {
					require.ErrorIs(t, err, websocket.ErrBadHandshake)
				}
				l.expectHangUp(t)
			}
		})
	}
}

// expectHangUp waits for the client to end a connection.
func (l *liar) expectHangUp(t testing.TB) {
	t.Helper()
	select {
	case <-l.hungUp:
	case <-time.After(patience):
		t.Fatal("the client does not hang up")
	}
}

// Bytes glued to the 101 are the first frames and must be delivered, however many they are.
func TestFramesGluedToAnswer(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 125, 4000, 100_000} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			for _, p := range []pace{atOnce, byteByByte} {
				if p == byteByByte && n > 125 {
					continue
				}
				frames := string(wstest.Frame{Opcode: wstest.Text, Payload: strings.Repeat("x", n)}.Unmasked()) +
					string(wstest.Frame{Opcode: wstest.Binary, Payload: "second"}.Unmasked()) + string(wstest.CloseFrame(1000, "bye").Unmasked())
				l := openLiar(t, func(nc net.Conn, head string) {
					says(goodAnswer+frames, p)(nc, head)
					_, _, _ = wstest.ReadFrame(nc) // the close frame; a server ends the connection then
					nc.Close()
				})
				c, _, err := new(websocket.Dialer).Dial(l.url(), nil)
				require.NoError(t, err)
				messageType, m, err := c.ReadMessage()
				require.NoError(t, err)
				require.Equal(t, websocket.TextMessage, messageType)
				require.Equal(t, strings.Repeat("x", n), string(m))
				messageType, m, err = c.ReadMessage()
				require.NoError(t, err)
				require.Equal(t, websocket.BinaryMessage, messageType)
				require.Equal(t, "second", string(m))
				_, _, err = c.ReadMessage()
				require.Equal(t, &websocket.CloseError{Code: 1000, Text: "bye"}, err)
				require.NoError(t, c.Close())
			}
		})
	}
}

// So may compressed ones be.
func TestCompressedFramesGluedToAnswer(t *testing.T) {
	t.Parallel()
	first := compressedMessage(t, wstest.Text, []byte(strings.Repeat("first ", 100)))
	for _, p := range []pace{atOnce, byteByByte} {
		l := openLiar(t, says(with("Sec-WebSocket-Extensions: permessage-deflate\r\n")+string(first.Unmasked()), p))
		c, _, err := (&websocket.Dialer{EnableCompression: true}).Dial(l.url(), nil)
		require.NoError(t, err)
		_, m, err := c.ReadMessage()
		require.NoError(t, err)
		require.Equal(t, strings.Repeat("first ", 100), string(m))
		require.NoError(t, c.Close())
	}
}

// "A client MUST close a connection if it detects a masked frame" (RFC 6455, section 5.1).
func TestMaskedFrameFromServer(t *testing.T) {
	for name, f := range map[string]wstest.Frame{
		"text":  {Opcode: wstest.Text, Payload: "Hello"},
		"empty": {Opcode: wstest.Binary},
		"ping":  {Opcode: wstest.Ping, Payload: "Hello"},
		"close": wstest.CloseFrame(1000, ""),
	} {
		t.Run(name, func(t *testing.T) {
			eachTarget(t, func(t *testing.T, g target) {
				v := g.open(t)
				if g.door.client() {
					v.SendRaw(f.Masked())
				} else {
					v.SendRaw(f.Unmasked()) // what a client must not send
				}
				v.expectFailure(websocket.CloseProtocolError)
			})
		})
	}
}

// A connection that breaks off within the answer is an error, at whatever byte, and never half a WebSocket.
func TestAnswerCutOff(t *testing.T) {
	t.Parallel()
	raw := answered(goodAnswer, "")
	for i := range raw {
		client, server := net.Pipe()
		go func() {
			defer server.Close()
			head, ok := new(liar).receive(server)
			if ok {
				send(server, answered(goodAnswer, head)[:i], atOnce)
			}
		}()
		d := websocket.Dialer{NetDial: func(string, string) (net.Conn, error) { return client, nil }}
		c, resp, err := d.Dial("ws://server.example.com/", nil)
		require.Nil(t, c, i)
		require.Nil(t, resp, i)
		require.Error(t, err, i)
		_, err = client.Write([]byte("x"))
		require.ErrorIs(t, err, io.ErrClosedPipe, i)
	}
}

// An answer that never comes, or never ends, has until the handshake timeout.
func TestAnswerNeverComes(t *testing.T) {
	t.Parallel()
	for name, raw := range map[string]string{
		"nothing":             "",
		"status line":         "HTTP/1.1 101 Switching Protocols\r\n",
		"all but the end":     strings.TrimSuffix(goodAnswer, "\r\n"),
		"interim response":    "HTTP/1.1 100 Continue\r\n\r\n",
		"body":                "HTTP/1.1 403 Forbidden\r\nContent-Length: 100\r\n\r\nno",
		"chunked body":        "HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n",
		"body without an end": "HTTP/1.1 403 Forbidden\r\n\r\nno",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := openLiar(t, says(raw, atOnce))
			d := websocket.Dialer{HandshakeTimeout: 200 * time.Millisecond}
			c, _, err := d.Dial(l.url(), nil)
			require.Nil(t, c)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			l.expectHangUp(t)
		})
	}
}

// What comes without an end is taken to 64 KiB and not further (tungstenite CVE-2023-43669).
func TestAnswerForEver(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, first, more string
		body              bool // what is endless is the body of a refusal, of which 1024 bytes are kept
	}{
		{"value", "HTTP/1.1 101 Switching Protocols\r\nX: ", strings.Repeat("x", 16<<10), false},
		{"name", "HTTP/1.1 101 Switching Protocols\r\nX", strings.Repeat("x", 16<<10), false},
		{"fields", "HTTP/1.1 101 Switching Protocols\r\n", strings.Repeat("X: y\r\n", 4<<10), false},
		{"folded lines", "HTTP/1.1 101 Switching Protocols\r\nX: y\r\n", strings.Repeat(" z\r\n", 4<<10), false},
		{"status line", "HTTP/1.1 101 ", strings.Repeat("x", 16<<10), false},
		{"no line", "", strings.Repeat("x", 16<<10), false},
		{"blank lines", "", strings.Repeat("\r\n", 8<<10), false},
		{"interim responses", "", strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 1<<10), false},
		{"early hints", "", strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", 1<<10), false},
		{"body", "HTTP/1.1 403 Forbidden\r\n\r\n", strings.Repeat("x", 16<<10), true},
		{"body with a length", "HTTP/1.1 403 Forbidden\r\nContent-Length: 9223372036854775807\r\n\r\n", strings.Repeat("x", 16<<10), true},
		{"chunks", "HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n", strings.Repeat("4\r\nxxxx\r\n", 4<<10), true},
		{"extension of a chunk", "HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n4;", strings.Repeat("x", 16<<10), true},
		{"trailer", "HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nxxxx\r\n0\r\n", strings.Repeat("X: y\r\n", 4<<10), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := openLiar(t, func(nc net.Conn, head string) {
				send(nc, tt.first, atOnce)
				for range 64 << 20 / len(tt.more) { // or until the client hangs up
					if _, err := io.WriteString(nc, tt.more); err != nil {
						return
					}
				}
				t.Error("64 MiB were taken")
			})
			var counted *countingConn
			d := websocket.Dialer{NetDial: func(network, addr string) (net.Conn, error) {
				nc, err := net.Dial(network, addr)
				counted = &countingConn{Conn: nc}
				return counted, err
			}}
			c, resp, err := d.Dial(l.url(), nil)
			require.Nil(t, c)
			require.Error(t, err)
			require.LessOrEqual(t, counted.count(), 64<<10)
			if tt.body {
				require.ErrorIs(t, err, websocket.ErrBadHandshake)
				body, err := io.ReadAll(resp.Body)
				require.NoError(t, err)
				require.LessOrEqual(t, len(body), 1024)
			} else {
				require.Nil(t, resp)
			}
			l.expectHangUp(t)
		})
	}
}

// The header limit is 64 KiB, to the byte, interim responses included; what is glued to it does not count.
func TestAnswerOf64KiB(t *testing.T) {
	t.Parallel()
	const limit = 64 << 10
	room := limit - len(answered(goodAnswer, "")) - len("X: \r\n")
	for name, raw := range map[string]string{
		"one field":     with("X: " + strings.Repeat("x", room) + "\r\n"),
		"after interim": "HTTP/1.1 100 Continue\r\n\r\n" + with("X: "+strings.Repeat("x", room-len("HTTP/1.1 100 Continue\r\n\r\n"))+"\r\n"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			glued := wstest.Frame{Opcode: wstest.Text, Payload: strings.Repeat("x", 5000)}.Unmasked()
			l := openLiar(t, says(raw+string(glued), atOnce))
			c, _, err := new(websocket.Dialer).Dial(l.url(), nil)
			require.NoError(t, err)
			_, p, err := c.ReadMessage()
			require.NoError(t, err)
			require.Len(t, p, 5000)
			require.NoError(t, c.Close())

			l = openLiar(t, says(strings.Replace(raw, "X: ", "X: x", 1), atOnce))
			_, _, err = new(websocket.Dialer).Dial(l.url(), nil)
			require.ErrorContains(t, err, "header over 65536 bytes")
		})
	}
}

// The answer's lists, too, are parsed without looking back (ws CVE-2021-32640, websocket-extensions CVE-2020-7662).
func TestQuadraticAnswer(t *testing.T) {
	t.Parallel()
	for name, field := range longFields(60 << 10) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := openLiar(t, says(with(field), atOnce))
			d := websocket.Dialer{Subprotocols: []string{"chat"}, EnableCompression: true}
			for range 8 {
				c, _, err := d.Dial(l.url(), nil)
				if err == nil {
					require.NoError(t, c.Close())
				} else {
					require.ErrorIs(t, err, websocket.ErrBadHandshake)
				}
			}
		})
	}
}

// Redirects are not followed: a page on the server must not send the client elsewhere.
func TestRedirectNotFollowed(t *testing.T) {
	t.Parallel()
	for _, status := range []int{300, 301, 302, 303, 305, 307, 308} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			elsewhere := openLiar(t, says(goodAnswer, atOnce))
			l := openLiar(t, says(fmt.Sprintf("HTTP/1.1 %d Elsewhere\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n", status, elsewhere.url()), atOnce))
			c, resp, err := new(websocket.Dialer).Dial(l.url(), nil)
			require.Nil(t, c)
			require.Equal(t, websocket.ErrBadHandshake, err)
			require.Equal(t, status, resp.StatusCode)
			l.expectHangUp(t)
			require.Empty(t, elsewhere.requests())
		})
	}
}

// Where a program has redirects followed, its credentials stay with the host that they are for, even if the next redirect leads back.
func TestRedirectTakesNoCredentials(t *testing.T) {
	t.Parallel()
	var first, second *liar
	var once sync.Once
	elsewhere := func(to *liar) string {
		return "HTTP/1.1 307 Temporary Redirect\r\nContent-Length: 0\r\nLocation: " + to.url() + "\r\n\r\n"
	}
	first = openLiar(t, func(nc net.Conn, head string) {
		raw := goodAnswer
		once.Do(func() { raw = elsewhere(second) })
		send(nc, answered(raw, head), atOnce)
	})
	second = openLiar(t, func(nc net.Conn, head string) { send(nc, elsewhere(first), atOnce) })
	d := websocket.Dialer{CheckRedirect: func(*http.Request, []*http.Request) error { return nil }}
	secrets := http.Header{
		"Authorization": {"Basic secret"}, "Cookie": {"session=secret"}, "Cookie2": {"secret"}, "Proxy-Authorization": {"secret"},
		"authorization": {"secret"}, "Host": {"secret.example.com"}, "X-Harmless": {"yes"},
	}
	c, _, err := d.Dial(first.url(), secrets)
	require.NoError(t, err)
	require.NoError(t, c.Close())
	require.Contains(t, first.requests()[0], "session=secret")
	for _, head := range []string{second.requests()[0], first.requests()[1]} {
		require.NotContains(t, head, "secret")
		require.Contains(t, head, "X-Harmless: yes\r\n")
	}
	require.NotEqual(t, keyOf(first.requests()[0]), keyOf(first.requests()[1]))
}

// Where redirects are followed, what they lead to must be fit for it.
func TestRedirectRefused(t *testing.T) {
	t.Parallel()
	for name, location := range map[string]string{
		"userinfo":    "ws://user:password@127.0.0.1:1/",
		"file":        "file:///etc/passwd",
		"ftp":         "ftp://127.0.0.1:1/",
		"no host":     "ws:///chat",
		"not a URL":   "ws://127.0.0.1:http/",
		"control":     "ws://127.0.0.1:1/\tx",
		"to itself":   "/chat", // for ever
		"from TLS":    "",      // set below
		"IPv6 broken": "ws://[::1/",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := websocket.Dialer{CheckRedirect: func(*http.Request, []*http.Request) error { return nil }}
			elsewhere := openLiar(t, says(goodAnswer, atOnce))
			var l *liar
			var target string
			if name == "from TLS" {
				a := newAuthority(t)
				location = elsewhere.url()
				d.TLSClientConfig = &tls.Config{RootCAs: a.pool}
				l = openTLSLiar(t, a.config(t, nil), says("HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: "+location+"\r\n\r\n", atOnce))
				target = strings.Replace(l.url(), "ws:", "wss:", 1)
			} else {
				l = openLiar(t, says("HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: "+location+"\r\n\r\n", atOnce))
				target = l.url()
			}
			c, _, err := d.Dial(target, http.Header{"Authorization": {"secret"}})
			require.Nil(t, c)
			require.Error(t, err)
			require.LessOrEqual(t, len(l.requests()), 11)
			require.Empty(t, elsewhere.requests())
		})
	}
}

// An authority makes certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	a := &authority{key: key, pool: x509.NewCertPool()}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	a.cert, err = x509.ParseCertificate(der)
	require.NoError(t, err)
	a.pool.AddCert(a.cert)
	return a
}

// config is a server's, for 127.0.0.1 and with a good certificate unless spoil does something to it.
func (a *authority) config(t testing.TB, spoil func(*x509.Certificate)) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "server"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	if spoil != nil {
		spoil(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	require.NoError(t, err)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}

// is reports whether err is an E, or wraps one.
func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// A server or a proxy with a bad certificate gets no request, not even a byte of it: neither credentials nor cookies.
func TestBadCertificate(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	other := newAuthority(t)
	for _, tt := range []struct {
		name   string
		config *tls.Config
		want   func(error) bool // the error, nil is none
	}{
		{"good", a.config(t, nil), nil},
		{"self-signed", other.config(t, nil), is[x509.UnknownAuthorityError]},
		{"other address", a.config(t, func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 2)} }), is[x509.HostnameError]},
		{"name in place of the address", a.config(t, func(c *x509.Certificate) {
			c.IPAddresses, c.DNSNames = nil, []string{"server.example.com"}
		}), is[x509.HostnameError]},
		{"expired", a.config(t, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }), is[x509.CertificateInvalidError]},
		{"not yet valid", a.config(t, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) }), is[x509.CertificateInvalidError]},
		{"for clients", a.config(t, func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		}), is[x509.CertificateInvalidError]},
	} {
		roots := &tls.Config{RootCAs: a.pool}
		check := func(t *testing.T, l *liar, c *websocket.Conn, err error) {
			if tt.want == nil {
				require.NoError(t, err)
				require.NoError(t, c.Close())
				require.NotEmpty(t, l.requests())
				return
			}
			require.Nil(t, c)
			require.True(t, tt.want(err), "%v", err)
			l.expectHangUp(t)
			require.Empty(t, l.requests())
		}
		t.Run("server/"+tt.name, func(t *testing.T) {
			t.Parallel()
			l := openTLSLiar(t, tt.config, says(goodAnswer, atOnce))
			d := websocket.Dialer{TLSClientConfig: roots}
			c, _, err := d.Dial("wss://"+l.addr+"/", http.Header{"Authorization": {"secret"}})
			check(t, l, c, err)
		})
		t.Run("proxy/"+tt.name, func(t *testing.T) {
			t.Parallel()
			l := openTLSLiar(t, tt.config, func(nc net.Conn, head string) {
				send(nc, "HTTP/1.1 200 OK\r\n\r\n", atOnce)
				if head, ok := new(liar).receive(nc); ok {
					send(nc, answered(goodAnswer, head), atOnce)
				}
			})
			d := websocket.Dialer{ProxyTLSClientConfig: roots, ProxyHeader: http.Header{"X-Token": {"secret"}},
				Proxy: http.ProxyURL(&url.URL{Scheme: "https", Host: l.addr, User: url.UserPassword("user", "secret")})}
			c, _, err := d.Dial("ws://server.example.com/", nil)
			check(t, l, c, err)
		})
		t.Run("server behind a proxy/"+tt.name, func(t *testing.T) {
			t.Parallel()
			l := openTLSLiar(t, tt.config, says(goodAnswer, atOnce))
			proxy := openLiar(t, func(nc net.Conn, head string) {
				send(nc, "HTTP/1.1 200 OK\r\n\r\n", atOnce)
				onward, err := net.Dial("tcp", l.addr)
				if err != nil {
					t.Error(err)
					return
				}
				defer onward.Close()
				go func() {
					_, _ = io.Copy(onward, nc)
					onward.Close()
				}()
				_, _ = io.Copy(nc, onward)
			})
			d := websocket.Dialer{TLSClientConfig: roots, Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: proxy.addr})}
			c, _, err := d.Dial("wss://"+l.addr+"/", http.Header{"Authorization": {"secret"}})
			check(t, l, c, err)
			require.NotContains(t, proxy.requests()[0], "secret")
		})
	}
}

// With no configuration at all, certificates are checked against the system's authorities, which have not heard of ours.
func TestZeroDialerChecksCertificates(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	l := openTLSLiar(t, a.config(t, nil), says(goodAnswer, atOnce))
	c, _, err := new(websocket.Dialer).Dial("wss://"+l.addr+"/", nil)
	require.Nil(t, c)
	require.ErrorAs(t, err, new(*tls.CertificateVerificationError))
	require.Empty(t, l.requests())
}

// A proxy is no more trusted with what it says than a server is.
func TestProxyAnswers(t *testing.T) {
	t.Parallel()
	for name, raw := range map[string]string{
		"403":               "HTTP/1.1 403 Forbidden\r\n\r\n",
		"302":               "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n",
		"101":               goodAnswer,
		"no HTTP":           "\x05\x00\x00\x01\r\n\r\n",
		"header for ever":   "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 1<<20),
		"interim for ever":  strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 40_000),
		"header, no colon":  "HTTP/1.1 200 OK\r\nnonsense\r\n\r\n",
		"status that is no": "HTTP/1.1 2oo OK\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := openLiar(t, says(raw, atOnce))
			d := websocket.Dialer{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: l.addr})}
			c, _, err := d.Dial("ws://server.example.com/", http.Header{"Authorization": {"secret"}})
			require.Nil(t, c)
			require.ErrorContains(t, err, "websocket: proxy: ")
			l.expectHangUp(t)
			require.Len(t, l.requests(), 1)
			require.NotContains(t, l.requests()[0], "secret")
		})
	}
}

// Nothing that a program passes on can start a line of its own in a request (CRLF injection, CWE-93).
func TestRequestInjection(t *testing.T) {
	t.Parallel()
	const evil = "a\r\nX-Evil: yes"
	for _, tt := range []struct {
		name   string
		dialer websocket.Dialer
		suffix string // of the URL
		header http.Header
		sent   bool // a harmless request is sent, in place of none
	}{
		{name: "path", suffix: "/" + evil},
		{name: "query", suffix: "/?" + evil},
		{name: "bare LF in the path", suffix: "/a\nX-Evil: yes"},
		{name: "escaped in the path", suffix: "/a%0d%0aX-Evil:%20yes", sent: true},
		{name: "escaped in the query", suffix: "/?a%0d%0aX-Evil:%20yes", sent: true},
		{name: "blank in the path", suffix: "/a HTTP/1.1", sent: true},
		{name: "blank in the query", suffix: "/?a HTTP/1.1", sent: true},
		{name: "escaped in the host", suffix: "%0d%0aX-Evil:%20yes/"},
		{name: "value", header: http.Header{"X": {evil}}},
		{name: "second value", header: http.Header{"X": {"a", evil}}},
		{name: "value, bare LF", header: http.Header{"X": {"a\nX-Evil: yes"}}},
		{name: "value, bare CR", header: http.Header{"X": {"a\rX-Evil: yes"}}},
		{name: "value, NUL", header: http.Header{"X": {"a\x00"}}},
		{name: "name", header: http.Header{"X: a\r\nX-Evil": {"yes"}}},
		{name: "name with a colon", header: http.Header{"X-Evil: yes, X": {"a"}}},
		{name: "empty name", header: http.Header{"": {"a"}}},
		{name: "Origin", header: http.Header{"Origin": {evil}}},
		{name: "Cookie", header: http.Header{"Cookie": {evil}}},
		{name: "User-Agent", header: http.Header{"User-Agent": {evil}}},
		{name: "Host", header: http.Header{"Host": {evil}}, sent: true},
		{name: "host in lower case", header: http.Header{"host": {evil}}, sent: true},
		{name: "Host with a blank", header: http.Header{"Host": {"a X-Evil: yes"}}, sent: true},
		{name: "Sec-WebSocket-Protocol", header: http.Header{"Sec-WebSocket-Protocol": {evil}}},
		{name: "Subprotocols", dialer: websocket.Dialer{Subprotocols: []string{evil}}},
		{name: "Subprotocols, a list", dialer: websocket.Dialer{Subprotocols: []string{"a, X-Evil"}}},
		{name: "the handshake's own", header: http.Header{"sec-websocket-key": {"X-Evil"}}},
		{name: "a body", header: http.Header{"Content-Length": {"5"}, "Transfer-Encoding": {"chunked"}, "trailer": {"X-Evil"}}, sent: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := openLiar(t, says(goodAnswer, atOnce))
			if tt.suffix == "" {
				tt.suffix = "/"
			}
			c, _, err := tt.dialer.Dial("ws://"+l.addr+tt.suffix, tt.header)
			if !tt.sent {
				require.Error(t, err)
				require.Empty(t, l.requests())
				return
			}
			require.NoError(t, err)
			require.NoError(t, c.Close())
			head := l.requests()[0]
			require.NotContains(t, head, "\nX-Evil")
			require.NotContains(t, head, "\rX-Evil")
			require.NotContains(t, head, "\r\nTrailer")
			require.NotContains(t, head, "\r\nContent-Length")
			require.NotContains(t, head, "\r\nTransfer-Encoding")
			require.Equal(t, 1, strings.Count(head, " HTTP/1.1"), head)
			require.Equal(t, 1, strings.Count(head, "Host:"), head)
		})
	}
	for name, h := range map[string]http.Header{
		"ProxyHeader's value": {"X": {evil}},
		"ProxyHeader's name":  {"X: a\r\nX-Evil": {"yes"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := openLiar(t, says(goodAnswer, atOnce))
			d := websocket.Dialer{ProxyHeader: h, Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: l.addr})}
			_, _, err := d.Dial("ws://server.example.com/", nil)
			require.ErrorContains(t, err, "malformed")
			require.Empty(t, l.requests())
		})
	}
	t.Run("proxy's user", func(t *testing.T) {
		t.Parallel()
		l := openLiar(t, says("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", atOnce))
		d := websocket.Dialer{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: l.addr, User: url.UserPassword(evil, evil)})}
		_, _, err := d.Dial("ws://server.example.com/", nil)
		require.Error(t, err)
		require.NotContains(t, l.requests()[0], "X-Evil")
	})
	t.Run("CheckRedirect", func(t *testing.T) {
		t.Parallel()
		elsewhere := openLiar(t, says(goodAnswer, atOnce))
		l := openLiar(t, says("HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: "+elsewhere.url()+"\r\n\r\n", atOnce))
		d := websocket.Dialer{CheckRedirect: func(r *http.Request, via []*http.Request) error {
			r.Header["X"] = []string{evil}
			return nil
		}}
		_, _, err := d.Dial(l.url(), nil)
		require.ErrorContains(t, err, "malformed")
		require.Empty(t, elsewhere.requests())
	})
}

// recorder remembers what it gave.
type recorder struct {
	from io.Reader
	mu   sync.Mutex
	gave []byte
}

func (r *recorder) Read(p []byte) (int, error) {
	n, err := r.from.Read(p)
	r.mu.Lock()
	r.gave = append(r.gave, p[:n]...)
	r.mu.Unlock()
	return n, err
}

func (r *recorder) all() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return string(r.gave)
}

// Masking keys must not be predictable (GHSA-w67g-5rqw-f597), or a page can have a client write what a proxy takes for a request (RFC 6455,
// section 10.3). Each one comes from crypto/rand, and so does the key of each handshake.
//
// It looks over the shoulder of crypto/rand, which only a process of its own allows: nobody else may use it meanwhile.
func TestMaskingKeysAreRandom(t *testing.T) {
	const alone = "HOSTILE_MASKING_KEYS"
	if os.Getenv(alone) == "" {
		t.Parallel()
		self, err := os.Executable()
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
		defer cancel()
		cmd := exec.CommandContext(ctx, self, "-test.run=^TestMaskingKeysAreRandom$", "-test.v")
		cmd.Env = append(os.Environ(), alone+"=yes")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		require.Contains(t, string(out), "--- PASS: TestMaskingKeysAreRandom")
		return
	}
	source := &recorder{from: rand.Reader}
	rand.Reader = source
	const conns, frames = 32, 8
	masks, nonces := map[string]bool{}, map[string]bool{}
	var differences []string
	for range conns {
		keys := make(chan []string, 1)
		l := openLiar(t, func(nc net.Conn, head string) {
			send(nc, answered(goodAnswer, head), atOnce)
			var all []string
			frame := make([]byte, 2+4+5)
			for range frames {
				if _, err := io.ReadFull(nc, frame); err != nil {
					break
				}
				all = append(all, string(frame[2:6]))
			}
			keys <- all
		})
		c, _, err := new(websocket.Dialer).Dial(l.url(), nil)
		require.NoError(t, err)
		for range frames {
			require.NoError(t, c.WriteMessage(websocket.TextMessage, []byte("Hello")))
		}
		all := <-keys
		require.NoError(t, c.Close())
		require.Len(t, all, frames)
		for i, key := range all {
			masks[key] = true
			if i > 0 {
				d := make([]byte, 4)
				for j := range d {
					d[j] = key[j] - all[i-1][j]
				}
				differences = append(differences, string(d))
			}
		}
		nonce := keyOf(l.requests()[0])
		b, err := base64.StdEncoding.DecodeString(nonce)
		require.NoError(t, err)
		require.Len(t, b, 16)
		require.True(t, strings.Contains(source.all(), string(b)), "a handshake's key is not from crypto/rand")
		nonces[nonce] = true
	}
	require.Len(t, nonces, conns)
	// Of 256 random keys two are the same once in 130,000 runs.
	require.Len(t, masks, conns*frames)
	for key := range masks {
		require.True(t, strings.Contains(source.all(), key), "%x is not from crypto/rand", key)
	}
	distinct := map[string]bool{}
	for _, d := range differences {
		distinct[d] = true
	}
	require.Len(t, distinct, len(differences), "keys are related")
}

// math/rand has no place in the library: what is random there is for security.
func TestNoPredictableRandomness(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../*.go")
	require.NoError(t, err)
	checked := 0
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		require.NoError(t, err)
		for _, spec := range f.Imports {
			require.NotContains(t, spec.Path.Value, "math/rand", name)
		}
		checked++
	}
	require.Greater(t, checked, 20)
}

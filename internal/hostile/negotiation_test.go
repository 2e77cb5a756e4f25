package hostile

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket"
	"github.com/duplexkit/websocket/internal/wstest"
)

// What a peer may say of permessage-deflate in the opening handshake, and should not (RFC 7692, sections 5 and 7.1). A server declines what
// it does not understand, a client fails. Window bits that were not checked: undici CVE-2026-2229.

const extensionsField = "Sec-WebSocket-Extensions: "

func terms() *websocket.Compression {
	return &websocket.Compression{ServerMaxWindowBits: 15, ClientMaxWindowBits: 15, Threshold: -1}
}

// badParams can't be met by a server, and must not be in an answer.
var badParams = []string{
	"; permessage-deflate",
	"; unknown", "; unknown=1", "; __proto__", "; constructor=1", "; server_max_window_bits=10; unknown",
	"; server_no_context_takeover=1", "; client_no_context_takeover=true", `; server_no_context_takeover="x"`,
	"; server_no_context_takeover; server_no_context_takeover",
	"; client_no_context_takeover; server_no_context_takeover; client_no_context_takeover",
	"; server_max_window_bits=10; server_max_window_bits=10", "; server_max_window_bits=10; server_max_window_bits=11",
	"; client_max_window_bits=10; client_max_window_bits=10", "; client_max_window_bits=10; client_max_window_bits",
	"; server_max_window_bits", "; Server_Max_Window_Bits=10",
	strings.Repeat("; a", 5000), strings.Repeat("; server_no_context_takeover", 1000),
}

func init() {
	for _, bits := range []string{
		"7", "16", "99", "0", "-1", "-9", "+9", "09", "015", "9.0", "0x9", "1e1", "abc", "nine", "128", "256", "264", "65545", "4294967305",
		"18446744073709551625", strings.Repeat("9", 4000), `"7"`, `"16"`, `"99"`, `"abc"`, `"+9"`, `"09"`, `"1\6"`,
	} {
		badParams = append(badParams, "; server_max_window_bits="+bits, "; client_max_window_bits="+bits)
	}
}

// badGrammar is no Sec-WebSocket-Extensions header at all (RFC 6455, section 9.1).
var badGrammar = []string{
	"permessage-deflate; server_max_window_bits=", `permessage-deflate; server_max_window_bits=""`,
	`permessage-deflate; server_max_window_bits="9`, `permessage-deflate; server_max_window_bits="9\`,
	`permessage-deflate; server_max_window_bits="9 "`, `permessage-deflate; server_max_window_bits="9"9`,
	"permessage-deflate; server_max_window_bits=8 9", "permessage-deflate;", "permessage-deflate;;server_no_context_takeover",
	"permessage-deflate; =9", "=", ";", "permessage deflate", "permessage-deflate; client_max_window_bits==9",
	"permessage-deflate; client_max_window_bits=\u0669", `"permessage-deflate"`,
	`permessage-deflate; a="` + strings.Repeat(`\`, 4000),
	"permessage-deflate" + strings.Repeat(";", 4000),
}

// label names a subtest by what may be long.
func label(s string) string { return fmt.Sprintf("%.60q", s) }

func serverTargets() (targets []target) {
	for _, g := range withoutDeflate() {
		if !g.door.client() {
			targets = append(targets, g)
		}
	}
	return targets
}

// A server declines the offer and goes on without: RSV1 has no meaning then.
func TestOfferDeclined(t *testing.T) {
	for n, params := range badParams {
		t.Run(label(params), func(t *testing.T) {
			each(t, inTurn(n, serverTargets()), func(t *testing.T, g target) {
				g.options.Compression = terms()
				g.extensions = extensionsField + "permessage-deflate" + params + "\r\n"
				v := g.open(t)
				require.NotContains(t, v.head, "Extensions")
				require.Nil(t, v.conn.Negotiated().Compression)
				v.expectWell()
				v.Send(compressed(wstest.Text, hello))
				v.expectFailure(websocket.CloseProtocolError)
			})
		})
	}
}

// A header that breaks the grammar is no handshake: a server answers 400, also where it would have declined (RFC 6455, section 9.1).
func TestOfferMalformed(t *testing.T) {
	for _, value := range badGrammar {
		t.Run(label(value), func(t *testing.T) {
			for _, options := range []websocket.Options{{}, {Compression: terms()}} {
				for _, d := range []door{throughNetHTTP, throughConn} {
					head := refused(t, d, options, extensionsField+"permessage-deflate\r\n"+extensionsField+value+"\r\n")
					require.True(t, strings.HasPrefix(head, "HTTP/1.1 400 "), "%s: %s", d, head)
				}
			}
		})
	}
}

// refused sends a request that is to be refused, and returns the answer.
func refused(t *testing.T, d door, options websocket.Options, extra string) (head string) {
	t.Helper()
	upgrader := websocket.Upgrader{Options: options}
	upgraded := make(chan error, 1)
	var attacker net.Conn
	if d == throughNetHTTP {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, err := upgrader.Upgrade(w, r, nil)
			upgraded <- err
		}))
		defer server.Close()
		nc, err := net.Dial("tcp", server.Listener.Addr().String())
		require.NoError(t, err)
		defer nc.Close()
		attacker = nc
	} else {
		client, server := wstest.TCP(t)
		attacker = client
		go func() {
			_, _, err := upgrader.UpgradeConn(server)
			upgraded <- err
		}()
	}
	require.NoError(t, attacker.SetDeadline(time.Now().Add(patience)))
	_, err := io.WriteString(attacker, request(extra))
	require.NoError(t, err)
	head = readHead(t, attacker)
	require.Error(t, <-upgraded)
	return head
}

// Several offers, and odd ones: the server takes the first that it can meet, and says what it takes.
func TestOfferMet(t *testing.T) {
	const name = "permessage-deflate"
	bad := name + "; server_max_window_bits=7, "
	for n, test := range []struct {
		name   string
		lines  []string
		answer string
	}{
		{"smallest", []string{name + "; server_max_window_bits=8"}, "; server_max_window_bits=8"},
		{"largest", []string{name + "; server_max_window_bits=15"}, "; server_max_window_bits=15"},
		{"quoted", []string{name + `; server_max_window_bits="10"`}, "; server_max_window_bits=10"},
		{"quoted and escaped", []string{name + `; server_max_window_bits="\1\0"`}, "; server_max_window_bits=10"},
		{"client's, smallest", []string{name + "; client_max_window_bits=8"}, ""}, // which it keeps to without being told
		{"client's, quoted", []string{name + `; client_max_window_bits="9"`}, "; client_max_window_bits=9"},
		{"the first is bad", []string{bad + name + "; server_max_window_bits=11, " + name}, "; server_max_window_bits=11"},
		{"the first line is bad", []string{bad + bad, name + "; server_no_context_takeover"}, "; server_no_context_takeover"},
		{"the second is bad", []string{name + ", " + name + "; unknown"}, ""},
		{"others too", []string{"x-webkit-deflate-frame, bbf-usp-protocol; a=1; b, " + name, "foo"}, ""},
		{"empty elements", []string{", ,\t,", "," + name + " ,,"}, ""},
		{"63 bad", []string{strings.Repeat(bad, 63) + name + "; server_max_window_bits=9"}, "; server_max_window_bits=9"},
		{"20,000 elements", []string{name + strings.Repeat(", x", 20000)}, ""},
		{"50,000 commas", []string{strings.Repeat(",", 50000) + name}, ""},
		{"800 lines", append([]string{name}, slices.Repeat([]string{"permessage-bzip2; server_max_window_bits=7"}, 800)...), ""},
		{"1,000 good", []string{strings.Repeat(name+"; server_max_window_bits=10, ", 1000) + name}, "; server_max_window_bits=10"},
	} {
		t.Run(test.name, func(t *testing.T) {
			each(t, inTurn(n, serverTargets()), func(t *testing.T, g target) {
				g.options.Compression = terms()
				g.deflate = true
				for _, line := range test.lines {
					g.extensions += extensionsField + line + "\r\n"
				}
				v := g.open(t)
				require.Contains(t, v.head, "\r\n"+extensionsField+name+test.answer+"\r\n")
				v.Send(compressed(wstest.Text, hello))
				v.expectDelivered(websocket.TextMessage, "Hello")
				v.expectWell()
			})
		})
	}
}

// Of a great many extensions the first 64 are looked at: an offer behind them is not met, and the connection opens without.
func TestOfferBehindTooMany(t *testing.T) {
	const name = "permessage-deflate"
	for n, lines := range map[string][]string{
		"64 bad":          {strings.Repeat(name+"; server_max_window_bits=7, ", 64) + name},
		"20,000 elements": {strings.Repeat("x, ", 20000) + name},
		"800 lines":       append(slices.Repeat([]string{"permessage-bzip2; server_max_window_bits=7"}, 800), name),
	} {
		t.Run(n, func(t *testing.T) {
			each(t, serverTargets(), func(t *testing.T, g target) {
				g.options.Compression = terms()
				for _, line := range lines {
					g.extensions += extensionsField + line + "\r\n"
				}
				v := g.open(t)
				v.expectWell()
				v.Send(compressed(wstest.Text, hello))
				v.expectFailure(websocket.CloseProtocolError)
			})
		})
	}
}

// A client fails on an answer that it does not understand, or that is none to its offer, and leaves (RFC 7692, sections 5.2 and 7.1).
func TestAnswerRefused(t *testing.T) {
	offering := websocket.Dialer{Options: websocket.Options{Compression: terms()}}
	strict := websocket.Dialer{Options: websocket.Options{Compression: &websocket.Compression{ServerMaxWindowBits: 10, ClientMaxWindowBits: 9}}}
	bare := websocket.Dialer{EnableCompression: true}
	type test struct {
		dialer websocket.Dialer
		value  string
	}
	tests := []test{
		{offering, "permessage-deflate; client_max_window_bits"},
		{offering, "permessage-deflate, permessage-deflate"},
		{offering, "permessage-deflate, x"},
		{offering, "x, permessage-deflate"},
		{offering, "x-webkit-deflate-frame"},
		{offering, "Permessage-Deflate"},
		{offering, "permessage-deflate\r\n" + extensionsField + "permessage-deflate"},
		{offering, "permessage-deflate" + strings.Repeat(", x", 20000)},
		{strict, "permessage-deflate"}, // server_max_window_bits=10 was offered
		{strict, "permessage-deflate; server_max_window_bits=11"},
		{strict, "permessage-deflate; server_max_window_bits=15"},
		{strict, "permessage-deflate; server_max_window_bits=10; client_max_window_bits=10"},
		{bare, "permessage-deflate; client_max_window_bits=10"}, // client_max_window_bits was not
		{websocket.Dialer{}, "permessage-deflate"},
		{websocket.Dialer{}, "x"},
	}
	for _, params := range badParams {
		tests = append(tests, test{offering, "permessage-deflate" + params})
	}
	for _, value := range badGrammar {
		tests = append(tests, test{offering, value}, test{websocket.Dialer{}, value})
	}
	for _, test := range tests {
		t.Run(label(test.value), func(t *testing.T) {
			t.Parallel()
			ln := listen(t)
			defer ln.Close()
			answered := make(chan error, 1)
			go func() {
				nc, err := ln.Accept()
				if err != nil {
					answered <- err
					return
				}
				defer nc.Close()
				_ = nc.SetDeadline(time.Now().Add(patience))
				in := bufio.NewReader(nc)
				r, err := http.ReadRequest(in)
				if err == nil {
					_, err = io.WriteString(nc, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
						"Sec-WebSocket-Accept: "+acceptFor(r.Header.Get("Sec-WebSocket-Key"))+"\r\n"+extensionsField+test.value+"\r\n\r\n")
				}
				if err == nil {
					_, err = in.ReadByte() // until the client leaves
				}
				answered <- err
			}()
			c, _, err := test.dialer.Dial("ws://"+ln.Addr().String(), nil)
			require.ErrorIs(t, err, websocket.ErrBadHandshake)
			require.Nil(t, c)
			err = <-answered
			require.Error(t, err)
			require.NotErrorIs(t, err, os.ErrDeadlineExceeded, "the connection is still open")
		})
	}
}

// A client that is answered with odd terms keeps to them.
func TestAnswerAccepted(t *testing.T) {
	for n, params := range []string{
		"; server_max_window_bits=8", "; client_max_window_bits=8", `; server_max_window_bits="10"; client_max_window_bits="9"`,
		"; client_max_window_bits=15; server_max_window_bits=15", noTakeover,
	} {
		t.Run(label(params), func(t *testing.T) {
			var targets []target
			for _, g := range withoutDeflate() {
				if g.door.client() {
					targets = append(targets, g)
				}
			}
			each(t, inTurn(n, targets), func(t *testing.T, g target) {
				v := g.withParams(params).open(t)
				v.Send(compressed(wstest.Text, hello))
				v.expectDelivered(websocket.TextMessage, "Hello")
				v.expectWell()
			})
		})
	}
}

// An attacker that wants a small window gets one: what it says is answered honestly, and nothing that is sent reaches further back,
// neither within a message nor to the one before.
func TestHostileWindow(t *testing.T) {
	for bits := 8; bits <= 11; bits++ {
		t.Run(fmt.Sprint(bits), func(t *testing.T) {
			each(t, inTurn(bits, withoutDeflate()), func(t *testing.T, g target) {
				whose := "server"
				if g.door.client() {
					whose = "client"
				}
				g = g.withParams(fmt.Sprintf("; %s_max_window_bits=%d", whose, bits))
				g.answer = true
				v := g.open(t)
				agreed := v.conn.Negotiated().Compression
				require.NotNil(t, agreed)
				if g.door.client() {
					require.Equal(t, bits, agreed.ClientMaxWindowBits)
				} else {
					require.Equal(t, bits, agreed.ServerMaxWindowBits)
					require.Contains(t, v.head, fmt.Sprintf("; server_max_window_bits=%d", bits))
				}

				window := 1 << bits
				sent := "" // what an inflater with such a window has
				exchange := func(data string) (size int) {
					v.Send(wstest.Frame{Opcode: wstest.Binary, Payload: data})
					answer := v.Receive()
					size = len(answer.Payload)
					if answer.RSV == 4 {
						answer.Payload = inflated(t, sent, answer.Payload)
						sent += answer.Payload
						sent = sent[max(0, len(sent)-window):]
					}
					require.True(t, answer.Payload == data, "another message came back")
					return size
				}
				near, far := noise(3, window/2), noise(4, window+40)
				require.Less(t, exchange(strings.Repeat(near, 20)), 3*len(near), "a repetition within the window")
				for range 3 {
					require.Greater(t, exchange(strings.Repeat(far, 3)), 3*len(far)-32, "a repetition beyond the window")
					require.Greater(t, exchange(far), len(far)-32, "the end of the message before")
				}
			})
		})
	}
}

// The same attacker does not even read. Nothing of what could not be sent remains when the write has timed out.
func TestHostileWindowNothingRead(t *testing.T) {
	const n, size = 5, 256 * kib
	data := fmt.Appendf(nil, "%x", noise(5, size/2)) // of which a half remains
	for _, d := range sockets {                      // an attacker's window of HTTP/2 is on the same heap
		for _, bits := range []int{8, 9, 15} {
			t.Run(fmt.Sprintf("%s/%d", d, bits), func(t *testing.T) {
				whose := "server"
				if d.client() {
					whose = "client"
				}
				g := target{door: d, silent: true}.withParams(fmt.Sprintf("; %s_max_window_bits=%d", whose, bits))
				g.options.WriteTimeout = 50 * time.Millisecond
				victims := openMany(t, n, g)
				before := liveHeap()
				throughAll(victims, func(v *victim) {
					var err error
					for err == nil {
						err = v.conn.WriteMessage(websocket.BinaryMessage, data)
					}
					if !errors.Is(err, os.ErrDeadlineExceeded) {
						t.Errorf("the write failed with %v", err)
					}
				})
				held := (liveHeap() - before) / n
				t.Logf("%d bytes held by each connection", held)
				require.LessOrEqual(t, held, int64(4*kib+3<<bits)) // what Compression says is kept for writing
				runtime.KeepAlive(victims)
			})
		}
	}
}

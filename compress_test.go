package websocket

import (
	"bytes"
	"compress/flate"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket/internal/deflate"
	"github.com/duplexkit/websocket/internal/wstest"
)

// offered parses the value of a Sec-WebSocket-Extensions header.
func offered(t testing.TB, value string) []extension {
	t.Helper()
	extensions, err := parseExtensions([]string{value})
	require.NoError(t, err)
	return extensions
}

// What a server with certain terms answers to an offer, and what is agreed then:
// takeover of server and client, bits of server and client.
func TestChooseOffer(t *testing.T) {
	t.Parallel()
	agree := func(serverTakeover, clientTakeover bool, serverBits, clientBits int) *Compression {
		return &Compression{
			ServerNoContextTakeover: !serverTakeover, ClientNoContextTakeover: !clientTakeover,
			ServerMaxWindowBits: serverBits, ClientMaxWindowBits: clientBits,
		}
	}
	const name = "permessage-deflate"
	small := Compression{}
	large := Compression{ServerMaxWindowBits: 15, ClientMaxWindowBits: 15}
	forgetful := Compression{ServerNoContextTakeover: true, ClientNoContextTakeover: true, ServerMaxWindowBits: 15, ClientMaxWindowBits: 15}
	tiny := Compression{ServerMaxWindowBits: 8, ClientMaxWindowBits: 8}
	for _, tc := range []struct {
		name   string
		terms  *terms
		offer  string
		answer string // after the name; "-" is none
		agreed *Compression
	}{
		{"off", nil, name, "-", nil},
		{"nothing offered", &terms{Compression: small}, "", "-", nil},
		{"another extension", &terms{Compression: small}, "x-webkit-deflate-frame", "-", nil},

		{"Firefox", &terms{Compression: small}, name, "; server_max_window_bits=12", agree(true, true, 12, 15)},
		{"Chromium", &terms{Compression: small}, name + "; client_max_window_bits", "; server_max_window_bits=12; client_max_window_bits=12", agree(true, true, 12, 12)},
		{"large windows", &terms{Compression: large}, name + "; client_max_window_bits", "", agree(true, true, 15, 15)},
		{"Beast", &terms{Compression: large}, name + "; server_max_window_bits=15; client_max_window_bits=15", "; server_max_window_bits=15; client_max_window_bits=15", agree(true, true, 15, 15)},
		{"quoted", &terms{Compression: small}, name + `; server_max_window_bits="10"`, "; server_max_window_bits=10", agree(true, true, 10, 15)},

		{"a smaller window is asked for", &terms{Compression: small}, name + "; server_max_window_bits=9", "; server_max_window_bits=9", agree(true, true, 9, 15)},
		{"the smallest is", &terms{Compression: small}, name + "; server_max_window_bits=8", "; server_max_window_bits=8", agree(true, true, 8, 15)},
		{"a larger one is", &terms{Compression: small}, name + "; server_max_window_bits=14", "; server_max_window_bits=12", agree(true, true, 12, 15)},
		{"the client has a smaller one", &terms{Compression: small}, name + "; client_max_window_bits=10", "; server_max_window_bits=12; client_max_window_bits=10", agree(true, true, 12, 10)},
		{"the client has the smallest that is asked for", &terms{Compression: small}, name + "; client_max_window_bits=9", "; server_max_window_bits=12; client_max_window_bits=9", agree(true, true, 12, 9)},
		{"the client has the smallest", &terms{Compression: small}, name + "; client_max_window_bits=8", "; server_max_window_bits=12", agree(true, true, 12, 8)},
		{"the client has a larger one", &terms{Compression: small}, name + "; client_max_window_bits=15", "; server_max_window_bits=12; client_max_window_bits=12", agree(true, true, 12, 12)},
		{"no client is asked for 8", &terms{Compression: tiny}, name + "; client_max_window_bits", "; server_max_window_bits=8; client_max_window_bits=9", agree(true, true, 8, 9)},

		{"no takeover by the server", &terms{Compression: small}, name + "; server_no_context_takeover", "; server_no_context_takeover; server_max_window_bits=12", agree(false, true, 12, 15)},
		{"no takeover by the client", &terms{Compression: small}, name + "; client_no_context_takeover", "; client_no_context_takeover; server_max_window_bits=12", agree(true, false, 12, 15)},
		{"no takeover by our wish", &terms{Compression: forgetful}, name, "; server_no_context_takeover; client_no_context_takeover", agree(false, false, 15, 15)},

		{"bare", &terms{forgetful, true}, name, "; server_no_context_takeover; client_no_context_takeover", agree(false, false, 15, 15)},
		{"bare, Chromium", termsOf(true, nil), name + "; client_max_window_bits", "; server_no_context_takeover; client_no_context_takeover", agree(false, false, 15, 15)},
		{"bare, bits", termsOf(true, nil), name + "; server_max_window_bits=10; client_max_window_bits=11", "; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=10", agree(false, false, 10, 11)},
		{"terms go before EnableCompression", termsOf(true, &large), name, "", agree(true, true, 15, 15)},

		{"the first that can be met", &terms{Compression: small}, "x, " + name + "; server_max_window_bits=7, " + name + "; server_max_window_bits=11, " + name, "; server_max_window_bits=11", agree(true, true, 11, 15)},
		{"too many bits", &terms{Compression: small}, name + "; server_max_window_bits=16", "-", nil},
		{"too few", &terms{Compression: small}, name + "; client_max_window_bits=7", "-", nil},
		{"leading zero", &terms{Compression: small}, name + "; server_max_window_bits=09", "-", nil},
		{"sign", &terms{Compression: small}, name + "; server_max_window_bits=+9", "-", nil},
		{"no number", &terms{Compression: small}, name + "; server_max_window_bits=abc", "-", nil},
		{"a large number", &terms{Compression: small}, name + "; server_max_window_bits=99999999999999999999", "-", nil},
		{"no value", &terms{Compression: small}, name + "; server_max_window_bits", "-", nil},
		{"a value too many", &terms{Compression: small}, name + "; client_no_context_takeover=1", "-", nil},
		{"another value too many", &terms{Compression: small}, name + "; server_no_context_takeover=true", "-", nil},
		{"twice", &terms{Compression: small}, name + "; server_no_context_takeover; server_no_context_takeover", "-", nil},
		{"twice with different values", &terms{Compression: small}, name + "; client_max_window_bits; client_max_window_bits=9", "-", nil},
		{"unknown", &terms{Compression: small}, name + "; __proto__", "-", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			agreed, answer := tc.terms.choose(offered(t, tc.offer))
			require.Equal(t, tc.agreed, agreed)
			if tc.answer == "-" {
				require.Empty(t, answer)
				return
			}
			require.Equal(t, name+tc.answer, answer)
		})
	}
}

// What a client with certain terms offers, and what it makes of an answer.
func TestAcceptAnswer(t *testing.T) {
	t.Parallel()
	agree := func(serverTakeover, clientTakeover bool, serverBits, clientBits int) *Compression {
		return &Compression{
			ServerNoContextTakeover: !serverTakeover, ClientNoContextTakeover: !clientTakeover,
			ServerMaxWindowBits: serverBits, ClientMaxWindowBits: clientBits,
		}
	}
	const name = "permessage-deflate"
	type answer struct {
		answer string // after the name
		agreed *Compression
		fails  string
	}
	for _, tc := range []struct {
		name    string
		terms   *terms
		offer   string // after the name
		answers []answer
	}{
		{"default", &terms{}, "; client_max_window_bits", []answer{
			{"", agree(true, true, 15, 15), ""},
			{"; server_max_window_bits=12; client_max_window_bits=12", agree(true, true, 12, 12), ""},
			{"; server_max_window_bits=8; client_max_window_bits=8", agree(true, true, 8, 8), ""},
			{"; client_max_window_bits=15", agree(true, true, 15, 15), ""},
			{"; server_no_context_takeover; client_no_context_takeover", agree(false, false, 15, 15), ""},
			{`; server_max_window_bits="10"`, agree(true, true, 10, 15), ""},
			{"; client_max_window_bits", nil, "permessage-deflate: client_max_window_bits without a value"},
			{"; client_max_window_bits=16", nil, `permessage-deflate: value "16" of parameter "client_max_window_bits"`},
			{"; server_max_window_bits=7", nil, `permessage-deflate: value "7" of parameter "server_max_window_bits"`},
			{"; server_no_context_takeover; server_no_context_takeover", nil, `permessage-deflate: parameter "server_no_context_takeover" comes twice`},
			{"; bogus", nil, `permessage-deflate: unknown parameter "bogus"`},
			{", x", nil, `extension "x" besides permessage-deflate`},
			{", permessage-deflate", nil, `extension "permessage-deflate" besides permessage-deflate`},
		}},
		{"EnableCompression", termsOf(true, nil), "; server_no_context_takeover; client_no_context_takeover", []answer{
			{"; server_no_context_takeover; client_no_context_takeover", agree(false, false, 15, 15), ""},
			{"; server_no_context_takeover", agree(false, false, 15, 15), ""}, // ours was no question
			{"", agree(true, false, 15, 15), ""},                              // against section 7.1.1.1, and harmless
			{"; server_max_window_bits=10", agree(true, false, 10, 15), ""},
			{"; client_max_window_bits=10", nil, "permessage-deflate: client_max_window_bits was not offered"},
			{"; client_max_window_bits", nil, "permessage-deflate: client_max_window_bits without a value"},
		}},
		{"everything", &terms{Compression: Compression{ServerNoContextTakeover: true, ServerMaxWindowBits: 10, ClientMaxWindowBits: 11}},
			"; server_no_context_takeover; server_max_window_bits=10; client_max_window_bits=11", []answer{
				{"; server_no_context_takeover; server_max_window_bits=10", agree(false, true, 10, 11), ""},
				{"; server_no_context_takeover; server_max_window_bits=9; client_max_window_bits=9", agree(false, true, 9, 9), ""},
				{"; server_max_window_bits=10; client_max_window_bits=11", agree(true, true, 10, 11), ""},
				{"; server_no_context_takeover", nil, "permessage-deflate: no server_max_window_bits, offered was 10"},
				{"; server_max_window_bits=11", nil, "permessage-deflate: server_max_window_bits=11, offered was 10"},
				{"; server_max_window_bits=10; client_max_window_bits=12", nil, "permessage-deflate: client_max_window_bits=12, offered was 11"},
			}},
		{"no server is asked for 8, and 15 is no wish", &terms{Compression: Compression{ServerMaxWindowBits: 8, ClientMaxWindowBits: 15}},
			"; server_max_window_bits=9; client_max_window_bits", []answer{{"; server_max_window_bits=8", agree(true, true, 8, 15), ""}}},
		{"the rest", &terms{Compression: Compression{ServerMaxWindowBits: 15, ClientMaxWindowBits: 8, ClientNoContextTakeover: true}},
			"; client_no_context_takeover; client_max_window_bits=8", []answer{{"", agree(true, false, 15, 8), ""}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, name+tc.offer, tc.terms.offer().String())
			agreed, err := tc.terms.accept(nil)
			require.NoError(t, err)
			require.Nil(t, agreed, "declined")
			for _, a := range tc.answers {
				agreed, err := tc.terms.accept(offered(t, name+a.answer))
				require.Equal(t, a.agreed, agreed, a.answer)
				if a.fails == "" {
					require.NoError(t, err, a.answer)
				} else {
					require.EqualError(t, err, a.fails, a.answer)
				}
			}
			_, err = tc.terms.accept(offered(t, "x"))
			require.EqualError(t, err, `extension "x" was not offered`)
		})
	}
	_, err := (*terms)(nil).accept(offered(t, name))
	require.EqualError(t, err, `extension "permessage-deflate" was not offered`)
}

func TestCheckTerms(t *testing.T) {
	t.Parallel()
	for _, c := range []Compression{{}, {Level: -2}, {Level: 9}, {ServerMaxWindowBits: 8, ClientMaxWindowBits: 15}} {
		require.NoError(t, termsOf(false, &c).check())
	}
	require.NoError(t, termsOf(true, nil).check())
	require.NoError(t, termsOf(false, nil).check())
	for _, tc := range []struct {
		c    Compression
		says string
	}{
		{Compression{Level: 10}, "Compression.Level is 10, and not from -2 to 9"},
		{Compression{Level: -3}, "Compression.Level is -3, and not from -2 to 9"},
		{Compression{ServerMaxWindowBits: 7}, "Compression.ServerMaxWindowBits is 7, and not 0 or from 8 to 15"},
		{Compression{ClientMaxWindowBits: 16}, "Compression.ClientMaxWindowBits is 16, and not 0 or from 8 to 15"},
	} {
		require.EqualError(t, termsOf(false, &tc.c).check(), tc.says)

		_, _, err := (&Dialer{Options: Options{Compression: &tc.c}}).Dial("ws://127.0.0.1:1", nil)
		require.EqualError(t, err, "websocket: Dialer's "+tc.says)

		r := parsedRequest(t, plainRequest)
		recorder := httptest.NewRecorder()
		_, err = (&Upgrader{Options: Options{Compression: &tc.c}}).Upgrade(recorder, r, nil)
		require.EqualError(t, err, "websocket: the server's "+tc.says)
		require.Equal(t, http.StatusInternalServerError, recorder.Code)
	}
}

// Whatever a client of ours offers and a server of ours answers, they agree on
// the same.
func FuzzNegotiation(f *testing.F) {
	f.Add(uint8(0), uint8(0), uint8(0), uint8(0), uint8(0), "permessage-deflate; client_max_window_bits")
	f.Add(uint8(15), uint8(9), uint8(8), uint8(0), uint8(15), "permessage-deflate; server_max_window_bits=10, permessage-deflate")
	f.Add(uint8(255), uint8(12), uint8(12), uint8(12), uint8(12), `permessage-deflate; server_max_window_bits="08"; x=";"`)
	f.Fuzz(func(t *testing.T, flags, a, b, c, d uint8, header string) {
		bits := func(n uint8) int {
			if n %= 9; n > 0 {
				return int(n) + 7
			}
			return 0
		}
		client := termsOf(flags&1 != 0, &Compression{ServerNoContextTakeover: flags&2 != 0, ClientNoContextTakeover: flags&4 != 0, ServerMaxWindowBits: bits(a), ClientMaxWindowBits: bits(b)})
		server := termsOf(flags&8 != 0, &Compression{ServerNoContextTakeover: flags&16 != 0, ClientNoContextTakeover: flags&32 != 0, ServerMaxWindowBits: bits(c), ClientMaxWindowBits: bits(d)})
		if flags&64 != 0 {
			client = termsOf(true, nil)
		}
		if flags&128 != 0 {
			server = termsOf(true, nil)
		}

		agreed, answer := server.choose(offered(t, client.offer().String()))
		require.NotNil(t, agreed)
		accepted, err := client.accept(offered(t, answer))
		require.NoError(t, err)
		require.Equal(t, agreed, accepted)

		// Anything else is answered well or not at all, and accepted or not.
		strange, err := parseExtensions([]string{header})
		if err != nil {
			return
		}
		if agreed, answer := server.choose(strange); agreed != nil {
			a := offered(t, answer)
			require.Len(t, a, 1)
			p, err := parseDeflateParams(a[0].params)
			require.NoError(t, err)
			require.True(t, p.clientBits == 0 || p.clientBits >= smallestAsked)
			require.True(t, validBits(agreed.ServerMaxWindowBits) && validBits(agreed.ClientMaxWindowBits))
		}
		if agreed, err := client.accept(strange); err == nil && len(strange) > 0 {
			require.True(t, validBits(agreed.ServerMaxWindowBits) && validBits(agreed.ClientMaxWindowBits))
		}
	})
}

// Both ends by the real handshake, with the defaults and as gorilla does it.
func TestCompressionByHandshake(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		u      Upgrader
		d      Dialer
		agreed *Compression
	}{
		{"both by Options", Upgrader{Options: Options{Compression: &Compression{}}}, Dialer{Options: Options{Compression: &Compression{}}}, &Compression{ServerMaxWindowBits: 12, ClientMaxWindowBits: 12}},
		{"both by EnableCompression", Upgrader{EnableCompression: true}, Dialer{EnableCompression: true}, &Compression{ServerNoContextTakeover: true, ClientNoContextTakeover: true, ServerMaxWindowBits: 15, ClientMaxWindowBits: 15}},
		{"one of each", Upgrader{Options: Options{Compression: &Compression{}}}, Dialer{EnableCompression: true}, &Compression{ServerNoContextTakeover: true, ClientNoContextTakeover: true, ServerMaxWindowBits: 12, ClientMaxWindowBits: 15}},
		{"the other way", Upgrader{EnableCompression: true}, Dialer{Options: Options{Compression: &Compression{}}}, &Compression{ServerNoContextTakeover: true, ClientNoContextTakeover: true, ServerMaxWindowBits: 15, ClientMaxWindowBits: 15}},
		{"only the server", Upgrader{EnableCompression: true}, Dialer{}, nil},
		{"only the client", Upgrader{}, Dialer{EnableCompression: true}, nil},
		{"declined", Upgrader{Options: Options{Compression: &Compression{
			Decline: func(r *http.Request) bool { return strings.HasPrefix(r.UserAgent(), "Go-http-client/") },
		}}}, Dialer{EnableCompression: true}, nil},
		{"not declined", Upgrader{Options: Options{Compression: &Compression{Decline: func(*http.Request) bool { return false }}}}, Dialer{Options: Options{Compression: &Compression{ServerMaxWindowBits: 9}}}, &Compression{ServerMaxWindowBits: 9, ClientMaxWindowBits: 12}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(tc.u.Handler(func(c *Conn, r *http.Request) error {
				if n := c.Negotiated(); !assert.ObjectsAreEqual(tc.agreed, n.Compression) {
					return &CloseError{Code: 4000, Text: fmt.Sprintf("%+v", n.Compression)}
				}
				return c.Serve(r.Context(), func(m Message) error { return c.WriteMessage(m.Type, m.Data) })
			}))
			defer server.Close()
			c, _, err := tc.d.Dial(server.URL, nil)
			require.NoError(t, err)
			defer c.Close()
			require.Equal(t, tc.agreed, c.Negotiated().Compression)
			for range 3 {
				require.NoError(t, c.WriteMessage(TextMessage, []byte(some(1000))))
				requireMessage(t, TextMessage, some(1000), <-reading(c))
			}
		})
	}
}

// wordy returns n bytes that compress like chat does.
func wordy(rnd *mathrand.Rand, n int) string {
	var b strings.Builder
	for b.Len() < n {
		fmt.Fprintf(&b, `{"user":"user%d","room":"lobby","text":"%s"},`, rnd.IntN(50), strings.Repeat("hello ", rnd.IntN(4)))
	}
	return b.String()[:n]
}

// noise returns n bytes that do not compress.
func noise(rnd *mathrand.Rand, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rnd.Uint32())
	}
	return string(b)
}

// A plainInflater expands frames by compress/flate.
type plainInflater struct {
	takeover bool
	window   []byte
}

func (i *plainInflater) expand(t testing.TB, frames ...wstest.Frame) string {
	t.Helper()
	var p strings.Builder
	for _, f := range frames {
		p.WriteString(f.Payload)
	}
	if frames[0].RSV == 0 {
		return p.String()
	}
	r := flate.NewReaderDict(strings.NewReader(p.String()+"\x00\x00\xff\xff\x01\x00\x00\xff\xff"), i.window)
	out, err := io.ReadAll(r)
	require.NoError(t, err)
	if i.takeover {
		i.window = append(i.window, out...)
		i.window = i.window[max(0, len(i.window)-32<<10):]
	}
	return string(out)
}

// A plainDeflater compresses by compress/flate, with context takeover until it is
// thrown away.
type plainDeflater struct {
	out bytes.Buffer
	w   *flate.Writer
}

func (d *plainDeflater) payload(t testing.TB, p string) string {
	t.Helper()
	if d.w == nil {
		w, err := flate.NewWriter(&d.out, 6)
		require.NoError(t, err)
		d.w = w
	}
	_, err := d.w.Write([]byte(p))
	require.NoError(t, err)
	require.NoError(t, d.w.Flush())
	defer d.out.Reset()
	return strings.TrimSuffix(d.out.String(), "\x00\x00\xff\xff")
}

func deflatedText(payload string) wstest.Frame {
	return wstest.Frame{Opcode: wstest.Text, RSV: 4, Payload: payload}
}

// squeezing returns a connection that compresses, and the peer at its other end.
func squeezing(t testing.TB, over link, server bool, agreed Compression, opts Options) (*Conn, *wstest.Peer) {
	t.Helper()
	clientEnd, serverEnd := over(t)
	ours, peer := clientEnd, func() *wstest.Peer { return wstest.NewServer(t, serverEnd) }
	if server {
		ours, peer = serverEnd, func() *wstest.Peer { return wstest.NewClient(t, clientEnd) }
	}
	c := NewConn(ours, Negotiated{Server: server, Compression: &agreed}, opts)
	t.Cleanup(func() { c.Close() })
	return c, peer()
}

// squeezed returns two connections that speak permessage-deflate with each other.
func squeezed(t testing.TB, nc func(testing.TB) (net.Conn, net.Conn), agreed Compression, opts Options) (client, server *Conn) {
	t.Helper()
	clientEnd, serverEnd := nc(t)
	client = NewConn(clientEnd, Negotiated{Compression: &agreed}, opts)
	server = NewConn(serverEnd, Negotiated{Server: true, Compression: &agreed}, opts)
	t.Cleanup(func() {
		client.Close()
		server.Close()
	})
	return client, server
}

// agreements are terms with every window and every takeover.
func agreements() (all []Compression) {
	for bits := 8; bits <= 15; bits++ {
		all = append(all, Compression{ServerMaxWindowBits: bits, ClientMaxWindowBits: 23 - bits})
	}
	return append(all,
		Compression{ServerNoContextTakeover: true},
		Compression{ClientNoContextTakeover: true},
		Compression{ServerNoContextTakeover: true, ClientNoContextTakeover: true, ServerMaxWindowBits: 9},
	)
}

// Every way to write, every way to read, every agreement.
func TestCompressedConversation(t *testing.T) {
	t.Parallel()
	for _, agreed := range agreements() {
		for _, level := range []int{-2, 0, 9} {
			t.Run(fmt.Sprintf("%d %d %t %t level %d", agreed.ServerMaxWindowBits, agreed.ClientMaxWindowBits, agreed.ServerNoContextTakeover, agreed.ClientNoContextTakeover, level), func(t *testing.T) {
				t.Parallel()
				terms := agreed
				terms.Level = level
				client, server := squeezed(t, overTCP, agreed, Options{Compression: &terms})
				for _, ends := range [][2]*Conn{{client, server}, {server, client}} {
					rnd := mathrand.New(mathrand.NewPCG(1, uint64(level)))
					sizes := []int{0, 1, 10, 60, 125, 126, 300, 1000, 5000, 40_000, 70_000, 200_000}
					var messages []string
					for i, size := range sizes {
						messages = append(messages, wordy(rnd, size), noise(rnd, sizes[len(sizes)-1-i]), wordy(rnd, size), some(size))
					}
					wrote := soon(func() error {
						for i, m := range messages {
							if err := writeSomehow(ends[0], i, m); err != nil {
								return err
							}
						}
						return nil
					})
					for i, m := range messages {
						got, err := readSomehow(ends[1], i/4)
						require.NoError(t, err)
						require.True(t, m == got, "message %d of %d bytes", i, len(m))
					}
					require.NoError(t, <-wrote)
				}
			})
		}
	}
}

// writeSomehow writes a message in one of five ways.
func writeSomehow(c *Conn, i int, m string) error {
	switch i % 5 {
	case 0:
		return c.WriteMessage(BinaryMessage, []byte(m))
	case 1:
		pm, err := NewPreparedMessage(BinaryMessage, []byte(m))
		if err != nil {
			return err
		}
		return c.WritePreparedMessage(pm)
	case 4:
		c.EnableWriteCompression(false)
		defer c.EnableWriteCompression(true)
		return c.WriteMessage(BinaryMessage, []byte(m))
	}
	w, err := c.NextWriter(BinaryMessage)
	if err != nil {
		return err
	}
	if i%5 == 2 {
		_, err = w.Write([]byte(m))
	} else {
		_, err = io.CopyBuffer(struct{ io.Writer }{w}, strings.NewReader(m), make([]byte, 1000))
	}
	if err != nil {
		return err
	}
	return w.Close()
}

// readSomehow reads a message in one of four ways.
func readSomehow(c *Conn, i int) (string, error) {
	switch i % 4 {
	case 0:
		_, p, err := c.ReadMessage()
		return string(p), err
	case 1:
		_, p, err := c.ReadMessageContext(c.Context(), make([]byte, 3, 40))
		return string(p[3:]), err
	}
	_, r, err := c.NextReader()
	if err != nil {
		return "", err
	}
	var p strings.Builder
	_, err = io.CopyBuffer(struct{ io.Writer }{&p}, struct{ io.Reader }{r}, make([]byte, 7+i%4*5000-10000))
	return p.String(), err
}

// Many goroutines write in every way, with context takeover: what is compressed
// in one order must not be sent in another.
func TestCompressedWritesKeepTheirOrder(t *testing.T) {
	t.Parallel()
	noLeaks(t)
	const writers, each = 8, 60
	client, server := squeezed(t, overTCP, Compression{}, Options{Compression: &Compression{}})
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			rnd := mathrand.New(mathrand.NewPCG(uint64(w), 0))
			for i := range each {
				if err := writeNumbered(client, rnd, w, i); err != nil {
					t.Error(err)
					return
				}
				if i%10 == 0 {
					_ = client.SetCompressionLevel(rnd.IntN(12) - 2)
					client.EnableWriteCompression(rnd.IntN(4) > 0)
				}
			}
		})
	}
	var next [writers]int
	for range writers * each {
		_, p, err := server.ReadMessage()
		require.NoError(t, err)
		w, i, err := readNumbered(p)
		require.NoError(t, err)
		require.Equal(t, next[w], i)
		next[w]++
	}
	group.Wait()
}

// The messages of RFC 7692, section 7.2.3, all of which say Hello.
var (
	helloDeflated = string(wstest.Hex("f2 48 cd c9 c9 07 00"))
	helloAgain    = string(wstest.Hex("f2 00 11 00 00")) // with context takeover
	helloStored   = string(wstest.Hex("00 05 00 fa ff 48 65 6c 6c 6f 00"))
	helloFinal    = string(wstest.Hex("f3 48 cd c9 c9 07 00 00"))
	helloInTwo    = string(wstest.Hex("f2 48 05 00 00 00 ff ff ca c9 c9 07 00"))
)

// fragmented splits a compressed text into fragments of these sizes; RSV1 is set
// on the first and on no other (RFC 7692, section 6).
func fragmented(payload string, sizes ...int) (fs []wstest.Frame) {
	for i, n := range append(sizes, -1) {
		f := wstest.Frame{More: n >= 0}
		if i == 0 {
			f.RSV, f.Opcode = 4, wstest.Text
		}
		if n < 0 {
			n = len(payload)
		}
		f.Payload, payload = payload[:n], payload[n:]
		fs = append(fs, f)
	}
	return fs
}

func TestReadCompressed(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		frames []wstest.Frame
		want   []string
	}{
		{"one block", []wstest.Frame{deflatedText(helloDeflated)}, []string{"Hello"}},
		{"takeover", []wstest.Frame{deflatedText(helloDeflated), deflatedText(helloAgain), deflatedText(helloAgain)}, []string{"Hello", "Hello", "Hello"}},
		{"takeover over a plain one", []wstest.Frame{deflatedText(helloDeflated), text("between"), deflatedText(helloAgain)}, []string{"Hello", "between", "Hello"}},
		{"stored", []wstest.Frame{deflatedText(helloStored), deflatedText(helloAgain)}, []string{"Hello", "Hello"}},
		{"final block", []wstest.Frame{deflatedText(helloFinal), deflatedText(helloAgain)}, []string{"Hello", "Hello"}},
		{"two blocks", []wstest.Frame{deflatedText(helloInTwo)}, []string{"Hello"}},
		{"empty", []wstest.Frame{deflatedText("\x00"), deflatedText(helloDeflated)}, []string{"", "Hello"}},
		{"no octet at all", []wstest.Frame{deflatedText(helloDeflated), deflatedText(""), deflatedText(helloAgain)}, []string{"Hello", "", "Hello"}},
		{"no octet in fragments", append(fragmented("", 0, 0), deflatedText(helloDeflated)), []string{"", "Hello"}},
		{"fragments", fragmented(helloDeflated, 1, 0, 2, 1, 1), []string{"Hello"}},
		{"an empty first and last fragment", fragmented(helloDeflated, 0, 7), []string{"Hello"}},
		{"the flush of a fragment", fragmented(helloInTwo, 8), []string{"Hello"}},
		{"a ping between", slicesJoin(fragmented(helloDeflated, 3)[:1], []wstest.Frame{ping("x")}, fragmented(helloDeflated, 3)[1:]), []string{"Hello"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			for how := range 4 {
				inBubbles(t, func(t *testing.T, server bool) {
					c, peer := squeezing(t, overPipe, server, Compression{}, Options{})
					c.SetPingHandler(func(string) error { return nil })
					sent := soon(func() bool { peer.Send(tc.frames...); return true })
					for _, want := range tc.want {
						got, err := readSomehow(c, how)
						require.NoError(t, err)
						require.Equal(t, want, got)
					}
					require.True(t, <-sent)
				})
			}
		})
	}
}

func slicesJoin(parts ...[]wstest.Frame) (all []wstest.Frame) {
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

// The message that somebody leaves unread is part of what later ones refer to.
func TestSkippedMessageStaysInTheWindow(t *testing.T) {
	t.Parallel()
	inBubbles(t, func(t *testing.T, server bool) {
		c, peer := squeezing(t, overPipe, server, Compression{}, Options{})
		var d plainDeflater
		long := some(100_000)
		frames := fragmented(d.payload(t, long), 20, 30)
		frames = append(frames, deflatedText(d.payload(t, long[:300])), deflatedText(d.payload(t, "Hello"+long[:100])))
		sent := soon(func() bool { peer.Send(frames...); return true })
		_, r, err := c.NextReader()
		require.NoError(t, err)
		p := make([]byte, 10)
		_, err = io.ReadFull(r, p)
		require.NoError(t, err)
		require.Equal(t, long[:10], string(p))
		_, r, err = c.NextReader()
		require.NoError(t, err)
		got, err := io.ReadAll(r)
		require.NoError(t, err)
		require.Equal(t, long[:300], string(got))
		requireMessage(t, TextMessage, "Hello"+long[:100], <-reading(c))
		require.True(t, <-sent)
	})
}

// zeros compresses n zeros about a thousand to one.
func zeros(t testing.TB, n int) string {
	t.Helper()
	var d plainDeflater
	return d.payload(t, string(make([]byte, n)))
}

func TestCompressedMessageFails(t *testing.T) {
	t.Parallel()
	const limit = 1000
	emptyFixed := strings.Repeat("\x02\x08\x20\x80\x00", 40) // four blocks of 10 bits each
	emptyStored := strings.Repeat("\x00\x00\x00\xff\xff", 70)
	for _, tc := range []struct {
		name   string
		frames []wstest.Frame
		code   int
		err    error
	}{
		{"garbage", []wstest.Frame{deflatedText("\xff\xff\xff")}, 1007, errCorruptDeflate},
		{"block type 3", []wstest.Frame{deflatedText("\x06")}, 1007, errCorruptDeflate},
		{"ends within a block", []wstest.Frame{deflatedText(helloDeflated[:4])}, 1007, errCorruptDeflate},
		{"ends within a stored block", []wstest.Frame{deflatedText(helloStored[:8])}, 1007, errCorruptDeflate},
		{"no history", []wstest.Frame{deflatedText(helloAgain)}, 1007, errCorruptDeflate},
		{"not UTF-8", []wstest.Frame{deflatedText("\x00\x01\x00\xfe\xff\xff\x00")}, 1007, errInvalidUTF8},
		{"ends within a character", []wstest.Frame{deflatedText("\x00\x01\x00\xfe\xff\xc3\x00")}, 1007, errInvalidUTF8},
		{"empty blocks", []wstest.Frame{deflatedText(emptyFixed)}, 1008, errEmptyBlocks},
		{"empty stored blocks", []wstest.Frame{deflatedText(emptyStored)}, 1008, errEmptyBlocks},
		{"a bomb", []wstest.Frame{deflatedText(zeros(t, 1<<20))}, 1009, ErrReadLimit},
		{"one byte too many", []wstest.Frame{deflatedText(zeros(t, limit+1))}, 1009, ErrReadLimit},
		{"a bomb in fragments", fragmented(zeros(t, 1<<20), 10, 10, 10, 10), 1009, ErrReadLimit},
		{"many compressed bytes", []wstest.Frame{deflatedText(strings.Repeat(emptyStored, 4))}, 1009, ErrReadLimit},
		{"RSV1 on a continuation", []wstest.Frame{fragmented(helloDeflated, 3)[0], {RSV: 4, Payload: helloDeflated[3:]}}, 1002, errReservedBit},
		{"RSV1 on a ping", []wstest.Frame{{Opcode: wstest.Ping, RSV: 4}}, 1002, errReservedBit},
		{"RSV2", []wstest.Frame{{Opcode: wstest.Text, RSV: 6, Payload: helloDeflated}}, 1002, errReservedBit},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			for how := range 4 {
				inBubbles(t, func(t *testing.T, server bool) {
					c, peer := squeezing(t, overPipe, server, Compression{}, Options{ReadLimit: limit})
					sent := soon(func() bool {
						peer.SendRaw(bytesOf(server, tc.frames...)) // some of it may find the connection closed
						return true
					})
					_, err := readSomehow(c, how)
					require.ErrorIs(t, err, tc.err)
					peer.ExpectClose(tc.code)
					requireSticky(t, c, tc.err)
					c.Close()
					<-sent
				})
			}
		})
	}
}

// The limit itself is allowed, and a NextReader has none where none is set.
func TestCompressedLimit(t *testing.T) {
	t.Parallel()
	inBubbles(t, func(t *testing.T, server bool) {
		c, peer := squeezing(t, overPipe, server, Compression{}, Options{ReadLimit: 1000})
		sent := soon(func() bool {
			peer.Send(deflatedText(zeros(t, 1000)), deflatedText(zeros(t, 1000)), deflatedText(zeros(t, 1<<20)))
			return true
		})
		for how := range 2 {
			got, err := readSomehow(c, how+1)
			require.NoError(t, err)
			require.Len(t, got, 1000)
		}
		c.SetReadLimit(0)
		got, err := readSomehow(c, 2)
		require.NoError(t, err)
		require.Len(t, got, 1<<20)
		require.True(t, <-sent)
	})
}

// A flush at each fragment's end is what many peers do.
func TestFlushedFragmentsAreNotEmptyBlocks(t *testing.T) {
	t.Parallel()
	frames := []wstest.Frame{{More: true, Opcode: wstest.Text, RSV: 4, Payload: "\x00\x00\x00\xff\xff"}}
	for range 500 {
		frames = append(frames, wstest.Frame{More: true, Payload: "\x00\x00\x00\xff\xff"})
	}
	frames = append(frames, wstest.Frame{Payload: helloDeflated})
	c, peer := squeezing(t, overTCP, true, Compression{}, Options{})
	peer.Send(frames...)
	requireMessage(t, TextMessage, "Hello", <-reading(c))
}

// A message reaches the program as far as it has come, and a timeout within it is
// final: a half message cannot be taken up again.
func TestCompressedMessageBreaksOff(t *testing.T) {
	t.Parallel()
	inBubbles(t, func(t *testing.T, server bool) {
		c, peer := squeezing(t, overPipe, server, Compression{}, Options{})
		var d plainDeflater
		payload := d.payload(t, some(20_000)) + "\x00\x00\xff\xff" + d.payload(t, some(20_000))
		sent := soon(func() bool {
			peer.Send(fragmented(payload, len(payload)-10)[0])
			peer.Close()
			return true
		})
		messageType, p, err := c.ReadMessage()
		require.Equal(t, TextMessage, messageType)
		require.GreaterOrEqual(t, len(p), 20_000)
		require.Equal(t, some(40_000)[:1000], string(p[:1000]))
		require.True(t, IsCloseError(err, CloseAbnormalClosure))
		require.True(t, <-sent)
	})
}

// requireSqueezed checks that frames say p, and compressed if they should be.
func requireSqueezed(t testing.TB, i *plainInflater, p string, compressed bool, frames ...wstest.Frame) {
	t.Helper()
	n := 0
	for k, f := range frames {
		require.Equal(t, k < len(frames)-1, f.More)
		require.Equal(t, compressed && k == 0, f.RSV == 4, "RSV1 of fragment %d", k)
		n += len(f.Payload)
	}
	require.True(t, p == i.expand(t, frames...))
	if compressed && len(frames) == 1 {
		require.Less(t, n, len(p))
	}
}

func TestWriteCompressed(t *testing.T) {
	t.Parallel()
	inBubbles(t, func(t *testing.T, server bool) {
		rnd := mathrand.New(mathrand.NewPCG(1, 2))
		for _, takeover := range []bool{true, false} {
			agreed := Compression{ServerNoContextTakeover: !takeover, ClientNoContextTakeover: !takeover}
			c, peer := squeezing(t, overPipe, server, agreed, Options{Compression: &Compression{Threshold: 50}})
			i := &plainInflater{takeover: takeover}
			for _, tc := range []struct {
				p          string
				compressed bool
				before     func()
			}{
				{"", false, nil},
				{some(49), false, nil},
				{some(50), true, nil},
				{wordy(rnd, 300), true, nil},
				{wordy(rnd, 300), false, func() { c.EnableWriteCompression(false) }},
				{wordy(rnd, 300), true, func() { c.EnableWriteCompression(true) }},
				{wordy(rnd, 300), false, func() { require.NoError(t, c.SetCompressionLevel(0)) }},
				{wordy(rnd, 300), true, func() { require.NoError(t, c.SetCompressionLevel(9)) }},
				{wordy(rnd, 300), true, func() { require.NoError(t, c.SetCompressionLevel(-2)) }},
				{noise(rnd, 300), false, func() { require.NoError(t, c.SetCompressionLevel(-1)) }},
				{wordy(rnd, 100_000), true, nil},
				{noise(rnd, 100_000), false, nil},
			} {
				if tc.before != nil {
					tc.before()
				}
				wrote := soon(func() error { return c.WriteMessage(TextMessage, []byte(tc.p)) })
				f := peer.Receive()
				require.NoError(t, <-wrote)
				requireSqueezed(t, i, tc.p, tc.compressed, f)
			}
			// The second of two equal messages needs next to nothing if the context is
			// taken over.
			p := wordy(rnd, 400)
			var sizes []int
			for range 2 {
				wrote := soon(func() error { return c.WriteMessage(TextMessage, []byte(p)) })
				f := peer.Receive()
				require.NoError(t, <-wrote)
				requireSqueezed(t, i, p, true, f)
				sizes = append(sizes, len(f.Payload))
			}
			if takeover {
				require.Less(t, sizes[1], 20)
			} else {
				require.Equal(t, sizes[0], sizes[1])
			}
		}
	})
}

// Without a threshold of the program's, small messages are compressed where they
// can refer to others.
func TestDefaultThreshold(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		agreed     Compression
		want       *Compression
		compressed bool
	}{
		{Compression{}, nil, true},
		{Compression{}, &Compression{}, true},
		{Compression{ServerNoContextTakeover: true}, nil, false},
		{Compression{ServerNoContextTakeover: true}, &Compression{}, false},
		{Compression{ServerNoContextTakeover: true}, &Compression{Threshold: -1}, true},
		{Compression{}, &Compression{Threshold: 1000}, false},
	} {
		d := newDeflater(tc.agreed, tc.want, true)
		d.usage.wake = func() {}
		require.Equal(t, tc.compressed, d.wants(TextMessage, 255))
		require.Equal(t, tc.want == nil || tc.want.Threshold <= 256, d.wants(TextMessage, 256))
		require.False(t, d.wants(PingMessage, 100_000))
	}
}

// An end may use less of its window than was agreed, and does.
func TestWindowsInUse(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		agreed         Compression
		want           *Compression
		server, client int
	}{
		{Compression{ServerMaxWindowBits: 15, ClientMaxWindowBits: 15}, nil, 15, 15},
		{Compression{ServerMaxWindowBits: 15, ClientMaxWindowBits: 15}, &Compression{}, 12, 12},
		{Compression{ServerMaxWindowBits: 15, ClientMaxWindowBits: 15}, &Compression{ServerMaxWindowBits: 9, ClientMaxWindowBits: 15}, 9, 15},
		{Compression{ServerMaxWindowBits: 9, ClientMaxWindowBits: 8}, &Compression{}, 9, 8},
		{Compression{ServerMaxWindowBits: 9, ClientMaxWindowBits: 8}, &Compression{ServerMaxWindowBits: 1, ClientMaxWindowBits: 100}, 8, 8},
	} {
		require.Equal(t, tc.server, newDeflater(tc.agreed, tc.want, true).bits)
		require.Equal(t, tc.client, newDeflater(tc.agreed, tc.want, false).bits)
	}
	c := NewConn(&wire{Conn: nopConn{}}, Negotiated{Compression: &Compression{ServerMaxWindowBits: 3, ClientMaxWindowBits: 77}}, Options{})
	require.Equal(t, &Compression{ServerMaxWindowBits: 8, ClientMaxWindowBits: 15}, c.Negotiated().Compression)
	c.Negotiated().Compression.ServerMaxWindowBits = 1
	require.Equal(t, 8, c.Negotiated().Compression.ServerMaxWindowBits, "a copy")
}

// Each end expands with the other's window, whatever was agreed for its own. One that
// promised to begin each message afresh may refer to all that there can be.
func TestInflaterOfAgreement(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		agreed   Compression
		server   bool
		takeover bool
		kept     int
	}{
		{Compression{ServerMaxWindowBits: 13, ClientMaxWindowBits: 14}, false, true, 1 << 13},
		{Compression{ServerMaxWindowBits: 13, ClientMaxWindowBits: 14}, true, true, 1 << 14},
		{Compression{ServerNoContextTakeover: true, ServerMaxWindowBits: 13, ClientMaxWindowBits: 14}, false, false, 1 << 15},
		{Compression{ServerNoContextTakeover: true, ServerMaxWindowBits: 13, ClientMaxWindowBits: 14}, true, true, 1 << 14},
		{Compression{ClientNoContextTakeover: true, ServerMaxWindowBits: 13, ClientMaxWindowBits: 14}, false, true, 1 << 13},
		{Compression{ClientNoContextTakeover: true, ServerMaxWindowBits: 13, ClientMaxWindowBits: 14}, true, false, 1 << 15},
	} {
		i := newInflater(tc.agreed, tc.server)
		require.Equal(t, tc.takeover, i.takeover)
		i.commit(make([]byte, 1<<16))
		require.Equal(t, tc.kept, i.dec.Kept())
		i.dec.Forget()
	}
}

// A level that does not exist is the default one, which is fast.
func TestLevelInUse(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		want  *Compression
		level deflate.Level
	}{
		{nil, deflate.LevelOf(1)},
		{&Compression{}, deflate.LevelOf(1)},
		{&Compression{Level: -1}, deflate.LevelOf(1)},
		{&Compression{Level: 9}, deflate.LevelOf(9)},
		{&Compression{Level: -2}, deflate.LevelOf(-2)},
		{&Compression{Level: 10}, deflate.LevelOf(1)},
		{&Compression{Level: -3}, deflate.LevelOf(1)},
	} {
		require.Equal(t, tc.level, newDeflater(Compression{}, tc.want, true).effort(), "%+v", tc.want)
	}
	require.NotEqual(t, deflate.LevelOf(1), deflate.LevelOf(9))
	require.NotEqual(t, deflate.LevelOf(1), deflate.LevelOf(-2))
}

type nopConn struct{ net.Conn }

func (nopConn) SetDeadline(t time.Time) error { return nil }

// Of messages that do not shrink some are not tried, until one shrinks.
func TestAdaptiveSkip(t *testing.T) {
	t.Parallel()
	d := newDeflater(Compression{}, nil, true)
	d.usage.wake = func() {}
	rnd := mathrand.New(mathrand.NewPCG(3, 4))
	tries := 0
	for range 1000 {
		if d.luckOf(200).skipping == 0 {
			tries++
		}
		_, ok := d.message(nil, []byte(noise(rnd, 200)))
		require.False(t, ok)
	}
	require.Greater(t, tries, fewMisses)
	require.Less(t, tries, 40)
	shrunk := 0
	for range 200 {
		if _, ok := d.message(nil, []byte(some(200))); ok {
			shrunk++
		}
	}
	require.GreaterOrEqual(t, shrunk, 200-1<<maxDoublings)
}

// Messages that are too short ever to shrink say nothing about others, and
// neither do pictures.
func TestAdaptiveSkipIsBySize(t *testing.T) {
	t.Parallel()
	d := newDeflater(Compression{}, nil, true)
	d.usage.wake = func() {}
	rnd := mathrand.New(mathrand.NewPCG(5, 6))
	for range 100 {
		for range 20 {
			_, ok := d.message(nil, []byte(noise(rnd, 8)))
			require.False(t, ok)
			_, ok = d.message(nil, []byte(noise(rnd, 100_000)))
			require.False(t, ok)
		}
		for _, size := range []int{300, 20_000} {
			_, ok := d.message(nil, []byte(wordy(rnd, size)))
			require.True(t, ok, "%d bytes", size)
		}
	}
}

func TestNextWriterCompressed(t *testing.T) {
	t.Parallel()
	rnd := mathrand.New(mathrand.NewPCG(5, 6))
	for _, tc := range []struct {
		name       string
		writes     []string
		compressed bool
		frames     int // 0 is any number
	}{
		{"nothing", nil, false, 1},
		{"small", []string{some(100)}, true, 1},
		{"many small ones", []string{some(1000), some(1000), some(1000), some(1000), some(1000)}, true, 1},
		{"a block", []string{some(32 << 10)}, true, 1},
		{"more than a block", []string{some(40 << 10)}, true, 2},
		{"words", []string{wordy(rnd, 300_000)}, true, 0},
		{"noise that fits", []string{noise(rnd, 1000)}, false, 1},
		{"noise that fits a block", []string{noise(rnd, 20_000)}, false, 5},
		{"noise of a block", []string{noise(rnd, 32<<10)}, false, 8},
		{"half noise", []string{noise(rnd, 15_000), some(15_000)}, true, 0},
		{"noise", []string{noise(rnd, 100_000)}, true, 0},
		{"noise, then words", []string{noise(rnd, 40_000), wordy(rnd, 40_000), noise(rnd, 40_000)}, true, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			inBubbles(t, func(t *testing.T, server bool) {
				c, peer := squeezing(t, overPipe, server, Compression{}, Options{})
				i := &plainInflater{takeover: true}
				for range 3 {
					c.w.deflate.luck = [sizeClasses]luck{}
					wrote := soon(func() error {
						w, err := c.NextWriter(TextMessage)
						if err != nil {
							return err
						}
						for _, p := range tc.writes {
							if _, err := io.WriteString(w, p); err != nil {
								return err
							}
						}
						return w.Close()
					})
					var frames []wstest.Frame
					size := 0
					for more := true; more; {
						f := peer.Receive()
						require.LessOrEqual(t, len(f.Payload), defaultBufferSize, "fragments have the write buffer's size")
						frames = append(frames, f)
						size += len(f.Payload)
						more = f.More
					}
					require.NoError(t, <-wrote)
					p := strings.Join(tc.writes, "")
					requireSqueezed(t, i, p, tc.compressed, frames...)
					if tc.frames > 0 {
						require.Len(t, frames, tc.frames)
					}
					blocks := len(p)/deflate.BlockSize + 1
					require.LessOrEqual(t, size, len(p)+5*blocks+5*len(frames), "growth")
				}
			})
		})
	}
}

// A message counts once, in however many pieces it is written.
func TestOneStreamedPictureIsOne(t *testing.T) {
	t.Parallel()
	rnd := mathrand.New(mathrand.NewPCG(17, 18))
	c, _ := squeezing(t, overTCP, true, Compression{}, Options{})
	c.w.line = &socket{nc: discard{}}
	w, err := c.NextWriter(BinaryMessage)
	require.NoError(t, err)
	_, err = io.WriteString(w, noise(rnd, 20*deflate.BlockSize))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	require.Equal(t, luck{misses: 1}, *c.w.deflate.luckOf(deflate.BlockSize))
}

// A large message may be one of those that are not tried. It is sent in fragments
// of the same size.
func TestNextWriterSkipsCompression(t *testing.T) {
	t.Parallel()
	inBubbles(t, func(t *testing.T, server bool) {
		c, peer := squeezing(t, overPipe, server, Compression{}, Options{})
		c.w.deflate.luckOf(deflate.BlockSize).skipping = 1
		p := some(100_000)
		wrote := soon(func() error {
			w, err := c.NextWriter(TextMessage)
			if err != nil {
				return err
			}
			if _, err := io.WriteString(w, p); err != nil {
				return err
			}
			return w.Close()
		})
		var got strings.Builder
		for more := true; more; {
			f := peer.Receive()
			require.Zero(t, f.RSV)
			require.LessOrEqual(t, len(f.Payload), defaultBufferSize)
			got.WriteString(f.Payload)
			more = f.More
		}
		require.True(t, p == got.String())
		require.NoError(t, <-wrote)
	})
}

// While a message is open that has sent nothing yet others go ahead of it, and
// the history is in the order of the wire all the same.
func TestMessagesGoAheadOfOneNotSent(t *testing.T) {
	t.Parallel()
	rnd := mathrand.New(mathrand.NewPCG(7, 8))
	client, server := squeezed(t, overTCP, Compression{}, Options{})
	first, second, third := wordy(rnd, 30_000), wordy(rnd, 500), wordy(rnd, 500)
	w, err := client.NextWriter(TextMessage)
	require.NoError(t, err)
	_, err = io.WriteString(w, first)
	require.NoError(t, err)
	require.NoError(t, client.WriteMessage(TextMessage, []byte(second)))
	require.NoError(t, w.Close())
	require.NoError(t, client.WriteMessage(TextMessage, []byte(third)))
	for _, want := range []string{second, first, third} {
		requireMessage(t, TextMessage, want, <-reading(server))
	}
}

// A prepared message is encoded once for each form that connections want it in,
// and enters their history.
func TestPreparedCompressed(t *testing.T) {
	t.Parallel()
	rnd := mathrand.New(mathrand.NewPCG(9, 10))
	p, after := wordy(rnd, 2000), wordy(rnd, 500)
	pm, err := NewPreparedMessage(TextMessage, []byte(p))
	require.NoError(t, err)
	incompressible, err := NewPreparedMessage(TextMessage, []byte(noise(rnd, 500)))
	require.NoError(t, err)
	forms := 0
	for _, server := range []bool{true, false} {
		for _, agreed := range []Compression{
			{},
			{ServerNoContextTakeover: true, ClientNoContextTakeover: true},
			{ServerMaxWindowBits: 9, ClientMaxWindowBits: 9},
		} {
			takeover := !agreed.ServerNoContextTakeover
			c, peer := squeezing(t, overTCP, server, agreed, Options{})
			i := &plainInflater{takeover: takeover}
			var sizes []int
			for range 2 {
				require.NoError(t, c.WritePreparedMessage(pm))
				f := peer.Receive()
				requireSqueezed(t, i, p, true, f)
				require.NoError(t, c.WriteMessage(TextMessage, []byte(after)))
				f = peer.Receive()
				requireSqueezed(t, i, after, true, f)
				sizes = append(sizes, len(f.Payload))
				require.NoError(t, c.WritePreparedMessage(incompressible))
				requireSqueezed(t, i, string(incompressible.plain.payload()), false, peer.Receive())
			}
			if takeover && agreed.ServerMaxWindowBits == 0 {
				require.Less(t, sizes[1], 20, "it refers to its own last appearance, before the prepared one")
			}
			c.EnableWriteCompression(false)
			require.NoError(t, c.WritePreparedMessage(pm))
			requireSqueezed(t, i, p, false, peer.Receive())
		}
		if server {
			forms = len(pm.deflated)
		}
	}
	require.Equal(t, 2, forms, "two windows, one level")
	require.Len(t, pm.deflated, forms, "the same for servers and clients")
	require.Len(t, incompressible.deflated, forms)
}

// What a connection keeps while it is idle, as the README promises.
func TestKeptMemory(t *testing.T) {
	t.Parallel()
	rnd := mathrand.New(mathrand.NewPCG(11, 12))
	client, server := squeezed(t, overTCP, Compression{ServerMaxWindowBits: 12, ClientMaxWindowBits: 12}, Options{Compression: &Compression{}})
	require.Zero(t, keptForWriting(client))
	require.Zero(t, keptForReading(server))
	for range 100 {
		require.NoError(t, client.WriteMessage(TextMessage, []byte(wordy(rnd, 200))))
		_, _, err := server.ReadMessage()
		require.NoError(t, err)
	}
	require.Positive(t, keptForWriting(client))
	require.LessOrEqual(t, keptForWriting(client), 13<<10)
	require.Positive(t, keptForReading(server))
	require.LessOrEqual(t, keptForReading(server), 4<<10)
	require.Zero(t, keptForWriting(server), "it has sent nothing")
}

func TestCompressionDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates; run without -race")
	}
	rnd := mathrand.New(mathrand.NewPCG(13, 14))
	for _, agreed := range []Compression{{}, {ServerNoContextTakeover: true, ClientNoContextTakeover: true}} {
		for _, size := range []int{300, 2000, 64 << 10} {
			client, server := squeezed(t, overTCP, agreed, Options{Compression: &Compression{}})
			p := []byte(wordy(rnd, size))
			dst := make([]byte, 0, size)
			allocs := testing.AllocsPerRun(200, func() {
				if err := client.WriteMessage(TextMessage, p); err != nil {
					t.Error(err)
				}
				if _, _, err := server.ReadMessageContext(context.Background(), dst); err != nil {
					t.Error(err)
				}
			})
			require.Zero(t, allocs, "%d bytes, takeover %t", size, !agreed.ServerNoContextTakeover)
		}
	}
}

// What has come of a message can be read, in whatever pieces, while the peer is
// silent.
func TestCompressedBytesDoNotWait(t *testing.T) {
	t.Parallel()
	inBubbles(t, func(t *testing.T, server bool) {
		c, peer := squeezing(t, overPipe, server, Compression{}, Options{})
		var d plainDeflater
		flushed := d.payload(t, some(5000)) + "\x00\x00\xff\xff"
		rest := d.payload(t, "bye")
		frame := peer.Encode(deflatedText(flushed + rest)) // of which the first part comes alone
		sent := soon(func() bool { peer.SendRaw(frame[:len(frame)-len(rest)]); return true })
		_, r, err := c.NextReader()
		require.NoError(t, err)
		p := make([]byte, 7)
		for n := 0; n < 5000; {
			k, err := r.Read(p)
			require.NoError(t, err)
			require.Equal(t, some(5007)[n:n+k], string(p[:k]))
			n += k
		}
		require.True(t, <-sent)
		sent = soon(func() bool { peer.SendRaw(frame[len(frame)-len(rest):]); return true })
		got, err := io.ReadAll(r)
		require.NoError(t, err)
		require.Equal(t, "bye", string(got))
		require.True(t, <-sent)
	})
}

// MaxInt64 is what many write for no limit.
func TestCompressedWithoutLimit(t *testing.T) {
	t.Parallel()
	c, peer := squeezing(t, overTCP, true, Compression{}, Options{ReadLimit: math.MaxInt64})
	for range 2 {
		peer.Send(deflatedText(helloDeflated))
		_, p, err := c.ReadMessageContext(context.Background(), []byte("x"))
		require.NoError(t, err)
		require.Equal(t, "xHello", string(p))
		c.SetReadLimit(math.MaxInt64)
	}
}

// A message at the limit may take more bytes than it has: zlib's stored blocks
// have no more than 127 bytes if it is given the least memory.
func TestCompressedLimitLeavesRoomForOverhead(t *testing.T) {
	t.Parallel()
	const size = 127 * 1000
	p := noise(mathrand.New(mathrand.NewPCG(15, 16)), size)
	var payload strings.Builder
	for block := range slices.Chunk([]byte(p), 127) {
		payload.Write([]byte{0, byte(len(block)), 0, ^byte(len(block)), 0xff})
		payload.Write(block)
	}
	payload.WriteByte(0)
	frame := deflatedText(payload.String())
	frame.Opcode = wstest.Binary
	c, peer := squeezing(t, overTCP, true, Compression{}, Options{ReadLimit: size})
	sent := soon(func() bool { peer.Send(frame); return true })
	requireMessage(t, BinaryMessage, p, <-reading(c))
	require.True(t, <-sent)
}

// Whether a message is compressed is settled when NextWriter begins it.
func TestEnableWriteCompressionWithinAMessage(t *testing.T) {
	t.Parallel()
	for _, enabled := range []bool{true, false} {
		c, peer := squeezing(t, overTCP, true, Compression{}, Options{})
		i := &plainInflater{takeover: true}
		for _, size := range []int{1000, 100_000} {
			c.EnableWriteCompression(enabled)
			w, err := c.NextWriter(TextMessage)
			require.NoError(t, err)
			_, err = io.WriteString(w, some(size/2))
			require.NoError(t, err)
			c.EnableWriteCompression(!enabled)
			wrote := soon(func() error {
				_, err := io.WriteString(w, some(size/2))
				return errors.Join(err, w.Close())
			})
			var frames []wstest.Frame
			for more := true; more; more = frames[len(frames)-1].More {
				frames = append(frames, peer.Receive())
			}
			require.NoError(t, <-wrote)
			requireSqueezed(t, i, some(size/2)+some(size/2), enabled, frames...)
		}
	}
}

// Decline is a question about offers that would be met.
func TestDeclineIsNotAskedInVain(t *testing.T) {
	t.Parallel()
	u := Upgrader{Options: Options{Compression: &Compression{Decline: func(*http.Request) bool { panic("asked") }}}}
	for _, offer := range []string{"", "Sec-WebSocket-Extensions: x\r\n", "Sec-WebSocket-Extensions: permessage-deflate; x\r\n"} {
		agreed, answer, err := u.extension(parsedRequest(t, edit(t, plainRequest, "Upgrade:", offer+"Upgrade:")))
		require.NoError(t, err)
		require.Nil(t, agreed)
		require.Empty(t, answer)
	}
}

//go:build unix

package interop

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket"
)

// permessage-deflate (RFC 7692). The peers of both roles are mere echoes here: we
// send, and look at what went over the wire each way. deflate_terms_test.go says
// what is offered and answered.

// opening is an opening handshake and what follows from it.
type opening struct {
	ours   *websocket.Compression // Options.Compression, nil is EnableCompression alone
	theirs string                 // what the peer's program is told, as JSON
	offer  string                 // the values of Sec-WebSocket-Extensions
	answer string
	fails  string // why there is no connection
	long   bool   // so are some messages
}

// longOnes is how many openings of each list are long ones.
const longOnes = 4

// String names the settings of both ends.
func (e opening) String() string {
	if e.ours == nil {
		return e.theirs + " EnableCompression"
	}
	s := e.theirs + " Compression{"
	for field, value := range reflect.ValueOf(*e.ours).Fields() {
		switch {
		case value.IsZero():
		case value.Kind() == reflect.Func: // of which there is an address to tell, no more
			s += " " + field.Name
		default:
			s += fmt.Sprintf(" %s: %v", field.Name, value)
		}
	}
	return s + " }"
}

// options returns our settings.
func (e opening) options() (enable bool, options websocket.Options) {
	return e.ours == nil, websocket.Options{Compression: e.ours, ReadLimit: 4 << 20}
}

// agreed returns what the two header fields mean (RFC 7692, section 7.1), nil for nothing.
func (e opening) agreed() *websocket.Compression {
	if e.answer == "" {
		return nil
	}
	return &websocket.Compression{
		ServerNoContextTakeover: strings.Contains(e.answer, "server_no_context_takeover"),
		ClientNoContextTakeover: strings.Contains(e.offer+e.answer, "client_no_context_takeover"),
		ServerMaxWindowBits:     bits(e.answer, "server", 15),
		ClientMaxWindowBits:     bits(e.answer, "client", bits(e.offer, "client", 15)),
	}
}

func bits(field, end string, otherwise int) int {
	found := regexp.MustCompile(end + `_max_window_bits=(\d+)`).FindStringSubmatch(field)
	if found == nil {
		return otherwise
	}
	n, _ := strconv.Atoi(found[1])
	return n
}

// TestOurServerCompressed has every peer's client offer permessage-deflate to our server.
func TestOurServerCompressed(t *testing.T) {
	for _, row := range rows {
		peer := row.deflate
		if peer == nil || peer.client == nil {
			continue
		}
		t.Run(row.name, func(t *testing.T) {
			row.demand(t)
			ctx, cancel := context.WithTimeout(t.Context(), peer.limit)
			defer cancel()
			s := newDeflateServer(t, peer.offers)
			p := peer.client(t, s, peer.offers)
			for i, e := range peer.offers {
				t.Run(e.String(), func(t *testing.T) {
					e.long = i < longOnes
					v := s.next(ctx, t, p)
					defer v.c.Close()
					require.Equal(t, i, v.number, "an earlier connection of the peer failed")
					w := s.tap.of(v.c.RemoteAddr().String())
					require.Equal(t, e.offer, w.fromClient.extensions(), "offer")
					ctx, cancel := context.WithTimeout(ctx, limit)
					defer cancel()
					newTalk(ctx, v.c, peer, e, &w.fromServer, &w.fromClient).run(t)
					require.Equal(t, e.answer, w.fromServer.extensions(), "answer")
				})
			}
			if !peer.reports {
				p.wait(ctx, t)
				return
			}
			seen := make(report)
			for i, e := range peer.offers {
				seen[strconv.Itoa(i)] = e.answer
				if peer.names {
					seen[strconv.Itoa(i)], _, _ = strings.Cut(e.answer, ";")
				}
			}
			require.Equal(t, seen, waitReport(ctx, t, p, s.reports))
		})
	}
}

// TestOurClientCompressed has our client offer permessage-deflate to every peer's server, also
// to those that do not know it.
func TestOurClientCompressed(t *testing.T) {
	for _, row := range rows {
		peer := row.deflate
		switch {
		case row.server == nil:
			continue
		case peer == nil || peer.server == nil:
			peer = &deflatePeer{limit: row.limit, server: row.server, answers: always(``, "", "")}
		}
		t.Run(row.name, func(t *testing.T) {
			row.demand(t)
			ctx, cancel := context.WithTimeout(t.Context(), peer.limit)
			defer cancel()
			port := freePort(t)
			peer.server(t, port).waitListening(ctx, t, port)
			for i, e := range peer.answers {
				t.Run(e.String(), func(t *testing.T) {
					e.long = i < longOnes
					ctx, cancel := context.WithTimeout(ctx, limit)
					defer cancel()
					p := newTap(t, "127.0.0.1:"+port)
					endpoint := "ws://" + p.addr + "/"
					if e.theirs != "" {
						endpoint += "?deflate=" + url.QueryEscape(e.theirs)
					}
					var d websocket.Dialer
					d.EnableCompression, d.Options = e.options()
					c, _, err := d.DialContext(ctx, endpoint, nil)
					w := p.only()
					require.NotNil(t, w, "%v", err)
					require.Equal(t, e.offer, w.fromClient.extensions(), "offer")
					require.Equal(t, e.answer, w.fromServer.extensions(), "answer, to which we say: %v", err)
					if e.fails != "" {
						require.ErrorIs(t, err, websocket.ErrBadHandshake)
						require.Contains(t, w.fromServer.status()+" "+err.Error(), e.fails)
						return
					}
					require.NoError(t, err)
					defer c.Close()
					newTalk(ctx, c, peer, e, &w.fromClient, &w.fromServer).run(t)
				})
			}
		})
	}
}

// deflateServer is our server behind a tap. The connection with ?case=N is made
// on the terms of opening N, and then the test's.
type deflateServer struct {
	tap     *tap
	visits  chan visit
	reports chan report // of browsers
}

type visit struct {
	number int
	c      *websocket.Conn
	err    error
}

func newDeflateServer(t *testing.T, offers []opening) *deflateServer {
	s := &deflateServer{visits: make(chan visit, len(offers)), reports: make(chan report, 1)}
	mux := http.NewServeMux()
	mux.Handle("/", http.FileServer(http.Dir("testdata/browser")))
	mux.Handle("POST /report", reporting(s.reports))
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		v := visit{}
		if v.number, v.err = strconv.Atoi(r.FormValue("case")); v.err == nil {
			var u websocket.Upgrader
			u.EnableCompression, u.Options = offers[v.number].options()
			v.c, v.err = u.Upgrade(w, r, nil)
		}
		s.visits <- v
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	s.tap = newTap(t, server.Listener.Addr().String())
	return s
}

// next returns the next visit of the peer's client p.
func (s *deflateServer) next(ctx context.Context, t *testing.T, p *child) visit {
	select {
	case v := <-s.visits:
		require.NoError(t, v.err)
		return v
	case <-p.exited:
		require.FailNow(t, "the peer ended", "%v", p.err)
	case <-ctx.Done():
		require.FailNow(t, "the peer does not come")
	}
	return visit{}
}

// echoClient is a program that takes the URL and a list of what it is told for each opening.
func echoClient(name string, args ...string) func(*testing.T, *deflateServer, []opening) *child {
	return func(t *testing.T, s *deflateServer, offers []opening) *child {
		told := make([]json.RawMessage, len(offers))
		for i, e := range offers {
			told[i] = json.RawMessage(e.theirs)
		}
		list, err := json.Marshal(told)
		require.NoError(t, err)
		return start(t, name, append(slices.Clone(args), "ws://"+s.tap.addr+"/echo", string(list))...)
	}
}

// talk is a conversation with an echo.
type talk struct {
	ctx     context.Context
	c       *websocket.Conn
	peer    *deflatePeer
	opening opening
	ways    [2]way
	breaks  bool // the peer forgets what we refer to
	least   int  // bytes that a message must have to tell something about the terms
}

// The two ways of a talk.
const (
	ours = iota
	theirs
)

// way is one of the two, and what to expect there.
type way struct {
	*stream
	window   int  // in bytes, 0 if there is no compression
	used     int  // as much of it is made use of in any case
	takeover bool // from one message to the next
}

func newTalk(ctx context.Context, c *websocket.Conn, peer *deflatePeer, e opening, toPeer, fromPeer *stream) *talk {
	k := &talk{ctx: ctx, c: c, peer: peer, opening: e, ways: [2]way{{stream: toPeer}, {stream: fromPeer}}}
	agreed := e.agreed()
	if agreed == nil {
		return k
	}
	const server, client = 0, 1
	windows := [2]int{server: 1 << agreed.ServerMaxWindowBits, client: 1 << agreed.ClientMaxWindowBits}
	takeover := [2]bool{server: !agreed.ServerNoContextTakeover, client: !agreed.ClientNoContextTakeover}
	we, they := client, server
	if c.Negotiated().Server {
		we, they = server, client
	}
	theyTakeOver := takeover[they] || peer.keeps
	if peer.swaps {
		theyTakeOver = takeover[we]
		k.breaks = takeover[we] && !takeover[they]
	}
	k.ways = [2]way{
		ours:   {toPeer, windows[we], min(windows[we], 1<<9), takeover[we]}, // far back we find but some repetitions
		theirs: {fromPeer, windows[they], windows[they], theyTakeOver && !peer.forgets},
	}
	if they == client {
		k.least = peer.least
	}
	if k.least == never {
		k.least, k.ways[theirs] = 0, way{stream: fromPeer}
	}
	return k
}

// run goes through the conversation. Every message is checked to come back as it
// was, and those that tell something about the terms for their size, too.
func (k *talk) run(t *testing.T) {
	require.Equal(t, k.opening.agreed(), k.c.Negotiated().Compression)
	deadline, _ := k.ctx.Deadline()
	k.c.SetReadDeadline(deadline)
	k.c.SetWriteDeadline(deadline)

	if k.breaks {
		k.misread(t)
		return
	}
	k.echo(t, websocket.TextMessage, []byte("hello"))
	k.echo(t, websocket.BinaryMessage, sevenBytes)
	if !k.peer.noEmpty || !k.ways[theirs].takeover {
		k.echo(t, websocket.TextMessage, []byte{})
		k.echo(t, websocket.BinaryMessage, []byte{})
	}
	if k.least > 0 {
		require.False(t, k.echo(t, websocket.TextMessage, randomText(k.least-1))[theirs][0].compressed)
	}
	k.similar(t)
	k.repeated(t)
	k.distances(t)
	k.otherwise(t)
	if k.opening.long {
		k.long(t)
	}
	require.NoError(t, k.c.Shutdown(k.ctx, websocket.CloseNormalClosure, ""))
}

// echo sends messages, then expects them back, and returns how they went over the wire, each way.
func (k *talk) echo(t *testing.T, messageType int, messages ...[]byte) [2][]sent {
	t.Helper()
	return k.exchange(t, messageType, messages, func() error {
		for _, p := range messages {
			if err := k.c.WriteMessage(messageType, p); err != nil {
				return err
			}
		}
		return nil
	})
}

// exchange is echo for messages that are sent otherwise.
func (k *talk) exchange(t *testing.T, messageType int, messages [][]byte, send func() error) (seen [2][]sent) {
	t.Helper()
	n := k.ways[ours].count()
	require.Equal(t, n, k.ways[theirs].count())
	failed := make(chan error, 1)
	go func() { failed <- send() }()
	for _, p := range messages {
		gotType, got, err := k.c.ReadMessage()
		require.NoError(t, err)
		require.Equal(t, messageType, gotType)
		require.True(t, bytes.Equal(got, p), "%.80q in place of %.80q", got, p)
	}
	require.NoError(t, <-failed)
	for i, way := range k.ways {
		seen[i] = way.since(n)
		require.Len(t, seen[i], len(messages))
	}
	return seen
}

// misread sends the same message twice. The peer cannot inflate the second one, and says so or drops the connection.
func (k *talk) misread(t *testing.T) {
	t.Helper()
	p := randomText(300)
	k.echo(t, websocket.TextMessage, p)
	require.NoError(t, k.c.WriteMessage(websocket.TextMessage, p))
	_, _, err := k.c.ReadMessage()
	require.True(t, websocket.IsCloseError(err, websocket.CloseInvalidFramePayloadData, websocket.CloseAbnormalClosure), "%v", err)
}

// similar sends small messages that are much alike, without waiting for an answer.
func (k *talk) similar(t *testing.T) {
	t.Helper()
	var messages [][]byte
	total := 0
	for i := range 40 {
		p := []byte("[")
		for n := 0; n < 6 || len(p) < k.least; n++ {
			p = fmt.Appendf(p, `{"event":"position changed","vehicle":%d,"latitude":52.51%d,"longitude":13.37%d},`, i*7%10, i*13%100, i*17%100)
		}
		p = append(p, "null]"...)
		total += len(p)
		messages = append(messages, p)
	}
	seen := k.echo(t, websocket.TextMessage, messages...)
	for i, way := range k.ways {
		size := 0
		for _, m := range seen[i] {
			require.Equal(t, way.window != 0, m.compressed)
			size += int(m.size)
		}
		switch {
		case way.window == 0:
			require.Equal(t, total, size)
		case way.takeover && way.window > 1<<9:
			require.Less(t, size, total/5)
		default:
			require.Less(t, size, total/2)
		}
	}
}

// repeated sends the same message twice, one that has no repetitions in itself.
// The second one is small if the context of the first was taken over.
func (k *talk) repeated(t *testing.T) {
	t.Helper()
	n := 300
	if min(k.ways[ours].window, k.ways[theirs].window) <= 1<<9 {
		n = 120 // zlib does not use the whole of its window
	}
	n = max(n, k.least) // and then perhaps more than a window holds, which tells nothing
	p := randomText(n)
	seen := k.echo(t, websocket.TextMessage, p, p)
	for i, way := range k.ways {
		first, second := seen[i][0].size, seen[i][1].size
		switch {
		case !way.takeover, i == theirs && n < k.peer.short:
			require.InDelta(t, first, second, 2)
		case n <= way.window/2:
			require.Less(t, second, int64(n/4), "after %d bytes", first)
		}
	}
}

// distances sends repetitions within and beyond the window of each way. Of those
// beyond the window nothing may be saved.
func (k *talk) distances(t *testing.T) {
	t.Helper()
	for i, way := range k.ways {
		if way.window == 0 {
			continue
		}
		ratio := func(distance, blocks int) float64 {
			p := bytes.Repeat(randomText(distance), blocks)
			return float64(k.echo(t, websocket.TextMessage, p)[i][0].size) / float64(len(p))
		}
		const alone = 0.75 // the letters of randomText have six bits each
		require.Less(t, ratio(way.used/4, max(4, 4*k.least/way.used+1)), alone*0.9)
		if way.window < 1<<15 {
			require.Greater(t, ratio(way.window+1, 2), alone*0.98)
			require.Greater(t, ratio(way.window+way.window/2, 2), alone*0.98)
		}
	}
}

// otherwise sends messages by the other ways to do so, among some of WriteMessage
// that may refer to them and to each other.
func (k *talk) otherwise(t *testing.T) {
	t.Helper()
	p, q := randomText(300), randomText(300)
	write := func() error { return k.c.WriteMessage(websocket.TextMessage, p) }
	writePrepared := func() error {
		prepared, err := websocket.NewPreparedMessage(websocket.TextMessage, q)
		if err != nil {
			return err
		}
		return k.c.WritePreparedMessage(prepared)
	}
	writeFragments := func() error {
		w, err := k.c.NextWriter(websocket.TextMessage)
		if err != nil {
			return err
		}
		for range 200 {
			if _, err := w.Write(p); err != nil {
				return err
			}
			if _, err := w.Write(q); err != nil {
				return err
			}
		}
		return w.Close()
	}
	long := bytes.Repeat(slices.Concat(p, q), 200)
	seen := k.exchange(t, websocket.TextMessage, [][]byte{p, q, p, q, long, p, q, p}, func() error {
		for _, send := range []func() error{write, writePrepared, write, writePrepared, writeFragments, write, writePrepared, write} {
			if err := send(); err != nil {
				return err
			}
		}
		return nil
	})
	require.Greater(t, seen[ours][4].fragments, 1)
}

// long sends messages of 1 MiB that shrink, and one that does not.
func (k *talk) long(t *testing.T) {
	t.Helper()
	for _, p := range [][]byte{[]byte(longText), bytes.Repeat([]byte(`{"latitude":52.512,"longitude":13.377},`), 1<<20/39)} {
		for _, messageType := range []int{websocket.TextMessage, websocket.BinaryMessage} {
			seen := k.echo(t, messageType, p)
			for i, way := range k.ways {
				require.Equal(t, way.window != 0, seen[i][0].size < int64(len(p)/10), "%d bytes", seen[i][0].size)
			}
		}
	}
	k.echo(t, websocket.BinaryMessage, longBinary())
}

// randomText returns n letters.
func randomText(n int) []byte {
	p := make([]byte, n)
	rand.Read(p)
	return []byte(base64.RawStdEncoding.EncodeToString(p)[:n])
}

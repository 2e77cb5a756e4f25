package main

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket"
)

// parsed returns what the flags say, for a node that a test can't see pause, and that takes no other
// for dead because it had to wait for the processor.
func parsed(t *testing.T, args ...string) config {
	cfg, err := parseFlags(append([]string{"-pause", "0"}, args...), io.Discard)
	require.NoError(t, err)
	cfg.silent = time.Hour
	return cfg
}

var errStuck = errors.New("the node does not end")

// start serves on a free port until end is called, which reports how serving ended.
func start(t *testing.T, cfg config) (n *node, host string, end func() error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	n, err = newNode(ctx, cfg)
	require.NoError(t, err)
	ready, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		err = n.serve(ctx, ln, func() { close(ready) })
	}()
	end = func() error {
		cancel()
		select {
		case <-done:
			return err
		case <-time.After(patience):
			return errStuck
		}
	}
	t.Cleanup(func() {
		if errors.Is(end(), errStuck) {
			t.Error(errStuck)
		}
	})
	select {
	case <-ready:
	case <-done:
		require.FailNow(t, "it has ended", "%v", err)
	case <-time.After(patience):
		require.FailNow(t, "it is not ready")
	}
	return n, ln.Addr().String(), end
}

// connect has somebody come to a room.
func connect(t *testing.T, host, room, name string, more ...string) *websocket.Conn {
	t.Helper()
	query := url.Values{"room": {room}, "name": {name}}
	for i := 0; i < len(more); i += 2 {
		query.Set(more[i], more[i+1])
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, _, err := websocket.DefaultDialer.DialContext(ctx, "ws://"+host+"/ws?"+query.Encode(), nil)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

// A talker is a client that does no more than it is told, besides reading: it answers pings
// however long a test takes, and is no slow consumer.
//
// An event waits until a test wants one of its type. So a test says in which order those of
// one type come, and nothing about types: whether somebody's message is first confirmed or
// first told to the room is not given.
type talker struct {
	*websocket.Conn
	t *testing.T

	state
	events []event // that nobody has heard yet
	people []string
	left   []string
	err    error // of reading; nothing comes after it
}

func dial(t *testing.T, host, room, name string, more ...string) *talker {
	t.Helper()
	p := &talker{Conn: connect(t, host, room, name, more...), t: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for p.read() {
		}
	}()
	t.Cleanup(func() {
		p.Close()
		within(t, done, "reading does not end")
	})
	return p
}

// read takes in an event, and reports whether there may be another.
func (p *talker) read() (more bool) {
	var e event
	err := p.ReadJSON(&e)
	p.note(func() {
		if err != nil {
			p.err = err
			return
		}
		switch e.Type {
		case "welcome":
			p.people = slices.Clone(e.People)
		case "people":
			p.people = e.comeAndGo(p.people)
			p.left = append(p.left, e.Left...)
		}
		p.events = append(p.events, e)
	})
	return err == nil
}

func (p *talker) await(what string, so func() bool) {
	p.t.Helper()
	p.state.await(p.t, so, func() string {
		return fmt.Sprintf("%s: people %v, not asked for %+v, error %v", what, p.people, p.events, p.err)
	})
}

// join dials and returns the welcome too.
func join(t *testing.T, host, room, name string, more ...string) (*talker, event) {
	t.Helper()
	p := dial(t, host, room, name, more...)
	return p, p.hear("welcome")
}

// hear returns the next event of this type.
func (p *talker) hear(eventType string) (e event) {
	p.t.Helper()
	var err error
	p.await("no "+eventType, func() bool {
		i := slices.IndexFunc(p.events, func(e event) bool { return e.Type == eventType })
		if i < 0 {
			err = p.err
			return err != nil
		}
		e = p.events[i]
		p.events = slices.Delete(p.events, i, i+1)
		return true
	})
	require.NoError(p.t, err, eventType)
	return e
}

// sees waits until these and no others are there, as far as it was told.
func (p *talker) sees(names ...string) {
	p.t.Helper()
	p.await(fmt.Sprintf("it does not see %v", names), func() bool { return slices.Equal(names, p.people) })
}

// wentAway returns the names of those who left, in this order.
func (p *talker) wentAway() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.left)
}

func (p *talker) say(id, text string) {
	p.t.Helper()
	require.NoError(p.t, p.WriteJSON(request{Type: "say", ID: id, Text: text}))
}

// leave takes leave, and waits for the answer.
func (p *talker) leave() {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	require.NoError(p.t, p.Shutdown(ctx, websocket.CloseNormalClosure, ""))
}

// closed waits for the close frame.
func (p *talker) closed() *websocket.CloseError {
	p.t.Helper()
	var err error
	p.await("it is not closed", func() bool {
		err = p.err
		return err != nil
	})
	var closed *websocket.CloseError
	require.ErrorAs(p.t, err, &closed)
	return closed
}

// startNATS starts a nats-server that is no node, and returns its URL.
func startNATS(t *testing.T, change func(*server.Options)) (*server.Server, string) {
	opts := &server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true,
		JetStream: true, JetStreamMaxMemory: 256 << 20, StoreDir: t.TempDir(),
		TLSTimeout: patience.Seconds(), // in place of two
	}
	if change != nil {
		change(opts)
	}
	s, err := server.NewServer(opts)
	require.NoError(t, err)
	s.Start()
	t.Cleanup(func() {
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			s.Shutdown()
			s.WaitForShutdown()
		}()
		within(t, ended, "nats-server does not end")
	})
	require.True(t, s.ReadyForConnections(patience))
	return s, s.ClientURL()
}

func TestTwoNodesWithANATSServer(t *testing.T) {
	_, nats := startNATS(t, nil)
	_, hostA, endA := start(t, parsed(t, "-nats", nats, "-replicas", "1", "-name", "a"))
	b, hostB, _ := start(t, parsed(t, "-nats", nats, "-replicas", "1", "-name", "b"))

	ann, welcome := join(t, hostA, "lobby", "Ann")
	require.Equal(t, "a", welcome.Node)
	require.Equal(t, []string{"Ann"}, welcome.People)
	require.Empty(t, welcome.History)
	bob, _ := join(t, hostB, "lobby", "Bob")
	ann.sees("Ann", "Bob")
	bob.sees("Ann", "Bob") // his node has asked who is at others
	elsewhere, _ := join(t, hostB, "attic", "Eve")

	ann.say("1", "  hello ")
	e := bob.hear("said")
	require.Equal(t, []string{"1", "Ann", "hello"}, []string{e.ID, e.Name, e.Text})
	require.WithinDuration(t, time.Now(), *e.Time, patience)
	bob.say("2", "hello")
	require.Equal(t, "2", bob.hear("sent").ID)
	require.Equal(t, e, ann.hear("said"))
	second := ann.hear("said")
	require.Equal(t, "2", second.ID)
	require.Greater(t, second.Seq, e.Seq)
	require.Equal(t, second, bob.hear("said")) // now his node has it to tell others

	// One that comes to another node gets what it has not heard, and only that.
	cid, welcome := join(t, hostB, "lobby", "Cid", "stream", welcome.Stream, "after", strconv.FormatUint(e.Seq, 10))
	require.Equal(t, []string{"Ann", "Bob", "Cid"}, welcome.People)
	require.False(t, welcome.Missing)
	require.Len(t, welcome.History, 1)
	require.Contains(t, string(welcome.History[0]), `"id":"2"`)
	ann.sees("Ann", "Bob", "Cid")

	// A page that moves is not two, and does not go and come.
	dan, _ := join(t, hostA, "lobby", "Dan", "page", "x")
	cid.sees("Ann", "Bob", "Cid", "Dan")
	_, welcome = join(t, hostB, "lobby", "Dan", "page", "x")
	require.Equal(t, []string{"Ann", "Bob", "Cid", "Dan"}, welcome.People)

	ann.leave()
	cid.sees("Bob", "Cid", "Dan")
	require.NoError(t, dan.Close())
	require.NoError(t, endA())
	cid.say("3", "alone")
	require.Equal(t, "3", cid.hear("sent").ID)
	lobby := roomOf(b, "lobby")
	eventually(t, func() bool {
		lobby.mu.Lock()
		defer lobby.mu.Unlock()
		return len(lobby.elsewhere) == 0
	}, "node b does not hear that nobody is at node a")
	require.NoError(t, cid.WriteJSON(request{Type: "probe"}))
	cid.hear("here") // and what was told before
	require.Equal(t, []string{"Ann"}, cid.wentAway())

	require.NoError(t, elsewhere.WriteJSON(request{Type: "probe"}))
	elsewhere.hear("here")
	elsewhere.mu.Lock()
	others := elsewhere.events
	elsewhere.mu.Unlock()
	require.Empty(t, others, "and nothing from the other room before it")
}

func roomOf(n *node, name string) *room {
	n.rooms.mu.Lock()
	defer n.rooms.mu.Unlock()
	return n.rooms.byName[name]
}

// The history is where the messages are, and outlives the nodes.
func TestHistory(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		keep string
		say  int
		text string
		want []string // IDs
	}{
		{"all", "10", 3, "x", []string{"0", "1", "2"}},
		{"the last ones", "2", 5, "x", []string{"3", "4"}},
		{"no more than fits", "100", 12, strings.Repeat("<", maxText), []string{"2", "3", "4", "5", "6", "7", "8", "9", "10", "11"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := parsed(t, "-history", tt.keep, "-storage", "file", "-dir", t.TempDir())
			_, host, end := start(t, cfg)
			ann, welcome := join(t, host, "lobby", "Ann")
			for i := range tt.say {
				ann.say(strconv.Itoa(i), tt.text)
				require.Equal(t, tt.text, ann.hear("said").Text)
			}
			check := func(host string) {
				stream := welcome.Stream
				bob, welcome := join(t, host, "lobby", "Bob", "stream", stream, "after", "1")
				require.NoError(t, bob.Close())
				require.Equal(t, stream, welcome.Stream)
				require.Equal(t, tt.want[0] != "0", welcome.Missing)
				bob, welcome = join(t, host, "lobby", "Bob", "stream", "another", "after", "2")
				require.NoError(t, bob.Close())
				require.True(t, welcome.Missing)
				var got []string
				for _, raw := range welcome.History {
					var e event
					require.NoError(t, json.Unmarshal(raw, &e))
					require.Equal(t, tt.text, e.Text)
					got = append(got, e.ID)
				}
				require.Equal(t, tt.want, got)
			}
			check(host)
			require.NoError(t, ann.Close())
			require.NoError(t, end())
			_, host, _ = start(t, cfg)
			check(host)
		})
	}
}

func TestMessageThatIsSentAgainIsSaidOnce(t *testing.T) {
	_, host, _ := start(t, parsed(t, "-history", "1"))
	ann, _ := join(t, host, "lobby", "Ann")
	// What is confirmed is not yet in the history; what the room was told is.
	say := func(id, text string) {
		ann.say(id, text)
		require.Equal(t, id, ann.hear("sent").ID)
	}
	say("1", "hello")
	require.Equal(t, "1", ann.hear("said").ID)
	say("1", "hello") // the history knows it
	say("2", "and")
	require.Equal(t, "2", ann.hear("said").ID)
	say("1", "hello") // the history no longer does, but NATS
	bob, _ := join(t, host, "lobby", "Bob")
	bob.say("1", "the same ID of somebody else")
	require.Equal(t, "the same ID of somebody else", bob.hear("said").Text)
	require.Equal(t, "1", bob.hear("sent").ID)
	require.Equal(t, "the same ID of somebody else", ann.hear("said").Text, "and nothing before it")
	ann.leave()

	cid, welcome := join(t, host, "lobby", "Cid")
	require.Len(t, welcome.History, 1)
	require.Contains(t, string(welcome.History[0]), `"seq":3`, "nothing was kept twice")
	cid.say("1", "")
	require.Equal(t, "there is nothing in it", cid.hear("refused").Text)
}

// A room is there when all is read that the stream's leader has.
func TestLatestMessage(t *testing.T) {
	n, host, _ := start(t, parsed(t))
	latest := func(room string) uint64 {
		seq, err := n.bus.latest(t.Context(), room)
		require.NoError(t, err)
		return seq
	}
	ann, welcome := join(t, host, "lobby", "Ann")
	require.Zero(t, latest("lobby"))
	for i, want := range []uint64{1, 2} {
		ann.say(strconv.Itoa(i), "hello")
		ann.hear("sent")
		require.Equal(t, want, latest("lobby"))
	}
	require.Zero(t, latest("attic"))

	ctx, cancel := context.WithTimeout(t.Context(), patience)
	caughtUp := make(chan string, 3)
	var read sync.WaitGroup
	defer func() {
		cancel()
		read.Wait()
	}()
	for _, room := range []string{"lobby", "attic"} {
		read.Go(func() {
			last := uint64(0)
			r := reader{
				bus: n.bus, room: room, stream: welcome.Stream,
				handle:   func(m *jetstream.MsgMetadata, _ []byte) { last = m.Sequence.Stream },
				caughtUp: func(uint64) { caughtUp <- fmt.Sprintf("%s up to %d", room, last) },
			}
			_ = r.read(ctx)
		})
	}
	require.ElementsMatch(t, []string{"lobby up to 2", "attic up to 0"}, []string{
		within(t, caughtUp, "it does not catch up"), within(t, caughtUp, "it does not catch up")})
}

// tellStream has the stream keep messages that nobody here has said.
func tellStream(t *testing.T, n *node, room, prefix string, count, size int) {
	t.Helper()
	for i := range count {
		p, err := json.Marshal(message{ID: prefix + strconv.Itoa(i), Name: "Bob", Text: strings.Repeat("x", size)})
		require.NoError(t, err)
		_, err = n.bus.js.PublishAsync(n.bus.subject("said", room), p)
		require.NoError(t, err)
	}
	within(t, n.bus.js.PublishAsyncComplete(), "the stream does not confirm")
}

// The stream drops what is too much whether or not the nodes have read it.
func TestBurstIsHeard(t *testing.T) {
	n, host, _ := start(t, parsed(t, "-history", "1"))
	ann, _ := join(t, host, "lobby", "Ann")
	tellStream(t, n, "lobby", "", 500, 1)
	for i := range 500 {
		require.Equal(t, strconv.Itoa(i), ann.hear("said").ID)
	}
}

func TestNodeThatIsFarBehindSaysSo(t *testing.T) {
	t.Parallel() // it waits for what happens once a second
	for _, tt := range []struct {
		name string
		hole bool // that is found when what comes after it has been told
		fill func(t *testing.T, n *node)
	}{
		// Some hundred have been delivered to the node when they were said.
		{"the room has too many", false, func(t *testing.T, n *node) {
			tellStream(t, n, "lobby", "", n.cfg.kept()+1000, 1)
		}},
		{"the stream has too many", true, func(t *testing.T, n *node) {
			tellStream(t, n, "lobby", "", 1000, 1)
			tellStream(t, n, "attic", "", 3, 500<<10)
			tellStream(t, n, "lobby", "last", 1, 1)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n, host, _ := start(t, parsed(t, "-history", "10", "-size", "1"))
			ann, _ := join(t, host, "lobby", "Ann")
			ann.say("1", "hello")
			last := ann.hear("said").Seq
			r := roomOf(n, "lobby")
			r.mu.Lock() // so it tells nobody anything
			func() {
				defer r.mu.Unlock()
				tt.fill(t, n)
			}()
			require.Equal(t, websocket.CloseServiceRestart, ann.closed().Code)
			holes, told := 0, false
			for _, e := range ann.events {
				switch e.Type {
				case "said":
					if e.Seq > last+1 {
						holes++
					}
					last = e.Seq
				case "missing":
					told = true
				}
			}
			require.Equal(t, tt.hole, told)
			if !tt.hole {
				require.Zero(t, holes)
			}

			_, welcome := join(t, host, "lobby", "Ann", "stream", r.stream, "after", strconv.FormatUint(last, 10))
			if !tt.hole {
				require.True(t, welcome.Missing)
				require.Len(t, welcome.History, 10)
			}
			require.NotSame(t, r, roomOf(n, "lobby"))
		})
	}
}

// A reader that has lost its consumer does not know what the stream has dropped meanwhile.
func TestReaderThatWasAway(t *testing.T) {
	for _, tt := range []struct {
		name string
		more int // messages meanwhile
		keep int // of them
		want error
	}{
		{"nothing was said", 0, 0, nil},
		{"all is there", 5, 0, nil},
		{"some are gone", 5, 3, errMissed},
		{"what was read is too old", 5, 5, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n, _, _ := start(t, parsed(t))
			stream, err := n.bus.stream(t.Context())
			require.NoError(t, err)
			tellStream(t, n, "lobby", "", 1, 1)
			var read []uint64
			want := 1
			handled := make(chan struct{})
			r := reader{bus: n.bus, room: "lobby", stream: stream.id, caughtUp: func(uint64) { close(handled) },
				handle: func(m *jetstream.MsgMetadata, _ []byte) {
					if read = append(read, m.Sequence.Stream); len(read) == want && want > 1 {
						close(handled)
					}
				}}
			readAll := func() error {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				ended := make(chan error, 1)
				go func() { ended <- r.read(ctx) }()
				select {
				case <-handled:
					cancel()
					<-ended
					return nil
				case err := <-ended:
					return err
				}
			}
			require.NoError(t, readAll())
			tellStream(t, n, "lobby", "more", tt.more, 1)
			if tt.keep > 0 {
				s, err := n.bus.js.Stream(t.Context(), "chat")
				require.NoError(t, err)
				require.NoError(t, s.Purge(t.Context(), jetstream.WithPurgeSubject(n.bus.subject("said", "lobby")), jetstream.WithPurgeKeep(uint64(tt.keep))))
			}
			if want += tt.more; tt.more > 0 {
				handled = make(chan struct{})
			}
			err = readAll()
			require.ErrorIs(t, err, tt.want)
			if tt.want == nil {
				require.Len(t, read, want)
			} else {
				require.Len(t, read, 1, "it goes on as if nothing was missing")
			}
		})
	}
}

// A room that is closed leaves nothing behind that counts at the server.
func TestClosedRoomHasNoConsumer(t *testing.T) {
	n, host, _ := start(t, parsed(t))
	requests, err := nats.Connect("", nats.InProcessServer(n.bus.embedded))
	require.NoError(t, err)
	defer requests.Close()
	deleted := make(chan *nats.Msg, 1)
	_, err = requests.ChanSubscribe("$JS.API.CONSUMER.DELETE.chat.*", deleted)
	require.NoError(t, err)
	require.NoError(t, requests.Flush())
	ann, _ := join(t, host, "lobby", "Ann")
	ann.leave()
	eventually(t, func() bool {
		n.rooms.mu.Lock()
		defer n.rooms.mu.Unlock()
		return n.rooms.closeEmpty(1, 0) == 1
	}, "the room is not empty")
	within(t, deleted, "the consumer is left to the server")
	s, err := n.bus.js.Stream(t.Context(), "chat")
	require.NoError(t, err)
	require.Equal(t, maxConsumers, s.CachedInfo().Config.MaxConsumers)
	eventually(t, func() bool {
		info, err := s.Info(t.Context())
		require.NoError(t, err)
		return info.State.Consumers == 0
	}, "the server has another consumer")
}

func TestStreamThatIsLost(t *testing.T) {
	t.Parallel() // it waits until the node asks for the stream
	n, host, _ := start(t, parsed(t))
	ann, first := join(t, host, "lobby", "Ann")
	ann.say("1", "hello")
	ann.hear("sent")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	require.NoError(t, n.bus.js.DeleteStream(ctx, "chat"))
	require.Equal(t, websocket.CloseServiceRestart, ann.closed().Code)
	ann, second := join(t, host, "lobby", "Ann", "stream", first.Stream, "after", "1")
	require.NotEqual(t, first.Stream, second.Stream)
	require.True(t, second.Missing)
	ann.say("1", "again")
	require.EqualValues(t, 1, ann.hear("said").Seq)
}

// A node that has no stream for long sends its people away, and is not ready.
func TestNodeThatIsCutOff(t *testing.T) {
	t.Parallel() // it waits for NATS, which does not answer
	nats, at := startNATS(t, nil)
	n, host, _ := start(t, parsed(t, "-nats", at, "-replicas", "1"))
	ann, _ := join(t, host, "lobby", "Ann")
	requireStatus(t, http.StatusOK, host, "/readyz")
	nats.Shutdown()
	nats.WaitForShutdown()
	ann.say("1", "hello")
	require.Equal(t, "1", ann.hear("waiting").ID)
	n.mu.Lock()
	n.reached = n.reached.Add(-cutOff) // as if it had been long ago
	n.mu.Unlock()
	requireStatus(t, http.StatusServiceUnavailable, host, "/readyz")
	require.Equal(t, websocket.CloseTryAgainLater, ann.closed().Code)
	require.Equal(t, websocket.CloseTryAgainLater, dial(t, host, "lobby", "Ann").closed().Code)
}

func get(t *testing.T, host, path string) (*http.Response, string) {
	t.Helper()
	client := http.Client{Timeout: patience}
	resp, err := client.Get("http://" + host + path)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp, string(body)
}

func requireStatus(t *testing.T, want int, host, path string) {
	t.Helper()
	resp, body := get(t, host, path)
	require.Equal(t, want, resp.StatusCode, body)
}

// clusterError returns what is wrong with a cluster where there can be one.
func clusterError(want string) string {
	if strconv.IntSize < 64 {
		return err32.Error()
	}
	return want
}

func TestWhatNATSRefuses(t *testing.T) {
	_, one := startNATS(t, nil)
	for _, tt := range []struct{ name, args, want string }{
		{"replicas of one server", "-nats " + one, "-replicas is 3"},
		{"nobody there", "-nats nats://127.0.0.1:1", "no servers available"},
		{"no such credentials", "-nats " + one + " -creds /none/x.creds", "x.creds"},
		{"no such CA", "-nats " + one + " -ca /none/ca.pem", "ca.pem"},
		{"no such configuration", "-config /none/nats.conf", "nats.conf"},
		{"address of nobody", "-name a -cluster 127.0.0.1 -routes nats://127.0.0.1:1", clusterError("-cluster: ")},
		{"no such secret", "-name a -cluster 127.0.0.1:0 -routes nats://127.0.0.1:1 -secret /none/secret", clusterError("-secret: ")},
		{"route to nowhere", "-name a -cluster 127.0.0.1:0 -routes 127.0.0.1", clusterError("-routes are as")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := parsed(t, strings.Fields(tt.args)...)
			n, err := newNode(t.Context(), cfg)
			if err == nil {
				var ln net.Listener
				ln, err = net.Listen("tcp", "127.0.0.1:0")
				require.NoError(t, err)
				ctx, cancel := context.WithTimeout(t.Context(), patience) // no error, and it serves to the end
				defer cancel()
				err = n.serve(ctx, ln, func() {})
			}
			require.ErrorContains(t, err, tt.want)
		})
	}
}

// An account may have its own limit.
func TestConsumersOfAnAccount(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "nats.conf")
	require.NoError(t, os.WriteFile(file, fmt.Appendf(nil, `listen: 127.0.0.1:-1, server_name: x
		jetstream { store_dir: %q, max_memory_store: 256M }
		accounts { chat { jetstream { max_memory: 128M, max_consumers: 1 }, users: [ { user: u, password: p } ] } }
		no_auth_user: u`, filepath.ToSlash(dir)), 0o600))
	n, host, _ := start(t, parsed(t, "-config", file, "-replicas", "1"))
	join(t, host, "lobby", "Ann")
	_, err := n.bus.js.CreateConsumer(t.Context(), "chat", jetstream.ConsumerConfig{})
	var api *jetstream.APIError
	require.ErrorAs(t, err, &api)
	require.Equal(t, jetstream.JSErrCodeMaximumConsumersLimit, api.ErrorCode)
}

// Whoever does not know the secret is not let into the cluster.
func TestSecret(t *testing.T) {
	if strconv.IntSize < 64 {
		t.Skip("nats-server forms no cluster on 32-bit machines: run this with a GOARCH of 64 bits, such as amd64")
	}
	dir := t.TempDir()
	require.NoError(t, makeSecret(dir))
	first, err := os.ReadFile(secretFile(dir))
	require.NoError(t, err)
	require.NoError(t, makeSecret(dir))
	secret, err := os.ReadFile(secretFile(dir))
	require.NoError(t, err)
	require.NotEqual(t, first, secret)
	info, err := os.Stat(secretFile(dir))
	require.NoError(t, err)
	if runtime.GOOS != "windows" { // where a file has no such bits
		require.Equal(t, fs.FileMode(0o600), info.Mode())
	}

	free, err := addresses("127.0.0.1:0", 1)
	require.NoError(t, err)
	b, err := newBus(t.Context(), parsed(t, "-name", "a", "-cluster", free[0], "-routes", "nats://"+free[0], "-secret", secretFile(dir), "-dir", dir))
	require.NoError(t, err)
	defer func() { require.NoError(t, b.end()) }()

	// As a server greets another.
	greet := func(user, password string) string {
		c, err := net.Dial("tcp", free[0])
		require.NoError(t, err)
		defer c.Close()
		require.NoError(t, c.SetDeadline(time.Now().Add(patience)))
		r := bufio.NewReader(c)
		line, err := r.ReadString('\n')
		require.NoError(t, err)
		require.Contains(t, line, `"auth_required":true`)
		_, err = fmt.Fprintf(c, "CONNECT {\"user\":%q,\"pass\":%q,\"name\":\"x\",\"cluster\":\"chat\"}\r\nPING\r\n", user, password)
		require.NoError(t, err)
		for {
			line, err := r.ReadString('\n')
			require.NoError(t, err)
			if verb := strings.Fields(line)[0]; verb == "-ERR" || verb == "PONG" {
				return strings.TrimSpace(line)
			}
		}
	}
	require.Contains(t, greet("", ""), "Authorization Violation")
	require.Contains(t, greet("route", "guess"), "Authorization Violation")
	require.Equal(t, "PONG", greet("route", strings.TrimSpace(string(secret))))
}

func TestConfigurationFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "nats.conf")
	write := func(s string) {
		require.NoError(t, os.WriteFile(file, []byte(s), 0o600))
	}
	write("listen: 127.0.0.1:-1")
	_, err := newNode(t.Context(), parsed(t, "-config", file))
	require.ErrorContains(t, err, "does not enable jetstream")
	write(fmt.Sprintf("listen: 127.0.0.1:-1\nserver_name: x\njetstream { store_dir: %q, max_memory_store: 256M }\nauthorization { user: u, password: p, timeout: 60 }", filepath.ToSlash(dir)))
	_, host, _ := start(t, parsed(t, "-config", file, "-replicas", "1"))
	ann, _ := join(t, host, "lobby", "Ann")
	ann.say("1", "hello")
	ann.hear("sent")
}

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	require.NoError(t, os.WriteFile(certFile, certPEM, 0o600))
	require.NoError(t, os.WriteFile(keyFile, keyPEM, 0o600))
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(certPEM)
	_, nats := startNATS(t, func(o *server.Options) {
		o.TLS, o.TLSVerify = true, true
		o.TLSConfig = &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert}
	})

	_, host, _ := start(t, parsed(t, "-nats", nats, "-replicas", "1", "-ca", certFile, "-cert", certFile, "-key", keyFile))
	ann, _ := join(t, host, "lobby", "Ann")
	ann.say("1", "hello")
	ann.hear("sent")
	_, err = newNode(t.Context(), parsed(t, "-nats", nats, "-ca", certFile))
	require.Error(t, err, "it wants a client's certificate")
	_, err = newNode(t.Context(), parsed(t, "-nats", nats, "-cert", certFile, "-key", keyFile))
	require.Error(t, err, "nobody knows that authority")
}

func TestNames(t *testing.T) {
	_, host, _ := start(t, parsed(t))
	for i, tt := range []struct{ name, room, person, want string }{
		{"plain", "lobby", "Ann", "Ann"},
		{"blanks around", " lobby ", "  Ann ", "Ann"},
		{"any script", "кухня", "高橋 🦉", "高橋 🦉"},
		{"room that NATS would read", "a.*.>", "Ann", "Ann"},
		{"HTML stays text", "html", `<img src=x onerror="alert(1)">`, `<img src=x onerror="alert(1)">`},
		{"as long as may be", strings.Repeat("🦉", maxName), strings.Repeat("ö", maxName), strings.Repeat("ö", maxName)},
		{"too long", "lobby", strings.Repeat("x", maxName+1), ""},
		{"none", "lobby", "", ""},
		{"blank", "lobby", " \t", ""},
		{"no room", "", "Ann", ""},
		{"line break", "lobby", "Ann\nBob", ""},
		{"turned around", "lobby", "Ann\u202etxt", ""},
		{"not UTF-8", "lobby", "Ann\xff", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.want == "" {
				require.Equal(t, websocket.ClosePolicyViolation, dial(t, host, tt.room, tt.person).closed().Code)
				return
			}
			c := connect(t, host, tt.room, tt.person)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			_, raw, err := c.ReadMessageContext(ctx, nil)
			require.NoError(t, err)
			require.NotContains(t, string(raw), "<")
			p, welcome := join(t, host, tt.room, tt.person)
			require.Contains(t, welcome.People, tt.want)
			p.say(strconv.Itoa(i), "hello")
			require.Equal(t, tt.want, p.hear("said").Name)
		})
	}
	for _, query := range []string{"page=a+b", "page=" + strings.Repeat("x", maxID+1), "after=-1", "after=x"} {
		values, err := url.ParseQuery(query)
		require.NoError(t, err)
		for name, value := range values {
			require.Equal(t, websocket.ClosePolicyViolation, dial(t, host, "lobby", "Ann", name, value[0]).closed().Code, query)
		}
	}
}

func TestRequests(t *testing.T) {
	_, host, _ := start(t, parsed(t))
	say := func(id, text string) string {
		return fmt.Sprintf(`{"type":"say","id":%q,"text":%q}`, id, text)
	}
	for i, tt := range []struct {
		name        string
		messageType int
		data        string
		answer      string // type of the event
		code        int    // or a close code
	}{
		{"longest", websocket.TextMessage, say("1", strings.Repeat("x", maxText)), "said", 0},
		{"as long as JSON can make it", websocket.TextMessage,
			`{"type":"say","id":"1","text":"` + strings.Repeat(`\u00e4`, maxText) + `"}`, "said", 0},
		{"too long", websocket.TextMessage, say("1", strings.Repeat("x", maxText+1)), "refused", 0},
		{"empty", websocket.TextMessage, say("1", " "), "refused", 0},
		{"too large", websocket.TextMessage, say("1", strings.Repeat("x", readLimit)), "", websocket.CloseMessageTooBig},
		{"no id", websocket.TextMessage, say("", "x"), "", websocket.ClosePolicyViolation},
		{"long id", websocket.TextMessage, say(strings.Repeat("x", maxID+1), "x"), "", websocket.ClosePolicyViolation},
		{"id with a line break", websocket.TextMessage, say("1\n", "x"), "", websocket.ClosePolicyViolation},
		{"unknown type", websocket.TextMessage, `{"type":"shout"}`, "", websocket.ClosePolicyViolation},
		{"not JSON", websocket.TextMessage, `hello`, "", websocket.ClosePolicyViolation},
		{"binary", websocket.BinaryMessage, say("1", "x"), "", websocket.CloseUnsupportedData},
		{"not UTF-8", websocket.TextMessage, say("1", "x") + "\xff", "", websocket.CloseInvalidFramePayloadData},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ann, _ := join(t, host, strconv.Itoa(i), "Ann")
			require.NoError(t, ann.WriteMessage(tt.messageType, []byte(tt.data)))
			if tt.code != 0 {
				require.Equal(t, tt.code, ann.closed().Code)
				return
			}
			require.Equal(t, "1", ann.hear(tt.answer).ID)
		})
	}
}

func TestSlowConsumerIsSentAwayAndLosesNothing(t *testing.T) {
	t.Parallel()
	cfg := parsed(t, "-history", "4") // whose welcome fits in this queue:
	cfg.queue = 64 << 10
	_, host, _ := start(t, cfg)
	quick, _ := join(t, host, "lobby", "quick")
	connect(t, host, "lobby", "slow") // and reads nothing
	quick.sees("quick", "slow")

	// What is on the way is bounded, but not small: the system has buffers too.
	text := strings.Repeat("🐌", maxText)
	gone := false
	for i := 0; !gone; i++ {
		quick.say(strconv.Itoa(i), text)
		require.Equal(t, strconv.Itoa(i), quick.hear("said").ID)
		gone = len(quick.wentAway()) > 0
	}
	_, welcome := join(t, host, "lobby", "slow")
	require.Len(t, welcome.History, 4)
}

func TestLimits(t *testing.T) {
	n, host, _ := start(t, parsed(t))
	join(t, host, "lobby", "Ann")
	r := roomOf(n, "lobby")
	r.mu.Lock()
	alone := maps.Clone(r.people)
	for len(r.people) < maxPeople {
		r.people[new(websocket.Conn)] = person{"somebody", "x"}
	}
	r.mu.Unlock()
	require.Equal(t, websocket.CloseTryAgainLater, dial(t, host, "lobby", "Bob").closed().Code)
	r.mu.Lock()
	r.people = alone
	r.mu.Unlock()

	// An empty room is closed when its place is needed; others stay.
	n.rooms.mu.Lock()
	for i := len(n.rooms.byName); i < maxRooms-1; i++ {
		n.rooms.byName[strconv.Itoa(i)] = r
	}
	n.rooms.mu.Unlock()
	empty, _ := join(t, host, "empty", "Ann")
	require.Equal(t, websocket.CloseTryAgainLater, dial(t, host, "more", "Ann").closed().Code)
	coming := roomOf(n, "empty")
	n.rooms.mu.Lock()
	coming.waiting++ // somebody is about to come in
	n.rooms.mu.Unlock()
	empty.leave()
	eventually(t, func() bool {
		coming.mu.Lock()
		defer coming.mu.Unlock()
		return len(coming.people) == 0
	}, "the room is not empty")
	require.Equal(t, websocket.CloseTryAgainLater, dial(t, host, "more", "Ann").closed().Code)
	n.rooms.mu.Lock()
	coming.waiting--
	n.rooms.mu.Unlock()
	eventually(t, func() bool {
		p := dial(t, host, "more", "Ann") // the node may not have noticed yet
		welcome := false
		p.await("neither welcome nor sent away", func() bool {
			welcome = len(p.events) > 0
			return welcome || p.err != nil
		})
		return welcome
	}, "the place is not given away")
	n.rooms.mu.Lock()
	defer n.rooms.mu.Unlock()
	require.Len(t, n.rooms.byName, maxRooms)
	require.NotContains(t, n.rooms.byName, "empty")
	for name, other := range n.rooms.byName {
		if other == r && name != "lobby" {
			delete(n.rooms.byName, name)
		}
	}
}

func TestPeopleOfASilentNodeAreForgotten(t *testing.T) {
	t.Parallel() // it waits for what happens once a second
	n, host, _ := start(t, parsed(t))
	ann, _ := join(t, host, "lobby", "Ann")
	r := roomOf(n, "lobby")
	r.mu.Lock()
	r.elsewhere["x"] = crowd{Node: "x", People: []person{{"Bob", "1"}, {"Bob", "2"}}, heard: time.Now()}
	r.mu.Unlock()
	require.Equal(t, []string{"Bob", "Bob"}, ann.hear("people").Joined)
	r.mu.Lock()
	r.elsewhere["x"] = crowd{Node: "x", People: []person{{"Bob", "1"}}, heard: time.Now().Add(-n.cfg.silent)}
	r.mu.Unlock()
	require.Equal(t, []string{"Bob", "Bob"}, ann.hear("people").Left)
}

// However many there are, their names leave room for the history in the queue of one who joins.
func TestManyPeople(t *testing.T) {
	t.Parallel()
	n, host, _ := start(t, parsed(t))
	ann, _ := join(t, host, "lobby", "Ann")
	for i := range 12 { // more than there may be bytes of history
		ann.say(strconv.Itoa(i), strings.Repeat("<", maxText))
		ann.hear("said")
	}
	r := roomOf(n, "lobby")
	crowds := func(people int) {
		r.mu.Lock()
		defer r.mu.Unlock()
		for node := range 3 {
			c := crowd{Node: strconv.Itoa(node), heard: time.Now()}
			for i := range people {
				c.People = append(c.People, person{strings.Repeat("<", maxName-4) + strconv.Itoa(1000+i), fmt.Sprintf("%d-%d", node, i)})
			}
			r.elsewhere[c.Node] = c
		}
		r.refresh()
	}
	crowds(maxPeople)
	e := ann.hear("people")
	require.Equal(t, 3*maxPeople+1, e.Count)
	require.Len(t, e.People, maxNames)
	bob, welcome := join(t, host, "lobby", "Bob")
	require.Equal(t, 3*maxPeople+2, welcome.Count)
	require.Len(t, welcome.People, maxNames)
	require.NotEmpty(t, welcome.History)
	e = ann.hear("people")
	require.Equal(t, []string{"Bob"}, e.Joined)
	require.Equal(t, 3*maxPeople+2, e.Count)
	crowds(maxPeople - 1)
	e = bob.hear("people")
	require.Len(t, e.Left, 3)
	require.Equal(t, 3*maxPeople-1, e.Count)
}

// A welcome that is as large as may be fits in the queue.
func TestLargestWelcome(t *testing.T) {
	e := event{Type: "welcome", Count: 1 << 30, People: make([]string, maxNames), History: make([]json.RawMessage, maxHistoryBytes/8)}
	for i := range e.People {
		e.People[i] = strings.Repeat("<", maxName)
	}
	for i := range e.History {
		e.History[i] = json.RawMessage(`"12345"`)
	}
	require.Less(t, len(e.encode()), parsed(t).queue*3/4)
}

// Nobody writes lines into the log by the reason of a close frame.
func TestLogIsNotForged(t *testing.T) {
	var mu sync.Mutex
	var lines strings.Builder
	log.SetOutput(writerFunc(func(p []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return lines.Write(p)
	}))
	defer log.SetOutput(os.Stderr)
	_, host, end := start(t, parsed(t))
	ann, _ := join(t, host, "lobby", "Ann")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	require.NoError(t, ann.Shutdown(ctx, 3000, "bye\n10.0.0.1:1 joins \x1b[31m"))
	require.NoError(t, end())
	mu.Lock()
	defer mu.Unlock()
	require.Contains(t, lines.String(), `bye\n10.0.0.1:1 joins \x1b[31m`)
	require.NotContains(t, lines.String(), "\n10.0.0.1")
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestWithout(t *testing.T) {
	for _, tt := range []struct{ a, b, want string }{
		{"", "", ""},
		{"a b", "", "a b"},
		{"a a b", "a", "a b"},
		{"b d", "a b c d e", ""},
		{"a c e", "b c d", "a e"},
	} {
		require.Equal(t, strings.Fields(tt.want), append([]string{}, without(strings.Fields(tt.a), strings.Fields(tt.b))...), tt.a)
	}
}

func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		p := pace{pause: time.Second}
		for range burst {
			p.wait(t.Context())
		}
		require.Zero(t, time.Since(begun), "the first few are free")
		for range 3 {
			p.wait(t.Context())
		}
		require.Equal(t, 3*time.Second, time.Since(begun))

		gone, cancel := context.WithCancel(t.Context())
		cancel()
		p.wait(gone)
		require.Equal(t, 3*time.Second, time.Since(begun))
	})
}

func TestShutdownTellsEveryone(t *testing.T) {
	_, host, end := start(t, parsed(t, "-unready", "1ms"))
	ann, _ := join(t, host, "lobby", "Ann")
	require.NoError(t, end())
	require.Equal(t, websocket.CloseGoingAway, ann.closed().Code)
	_, err := net.Dial("tcp", host)
	require.Error(t, err, "still listening")
}

// A browser opens connections in advance.
func TestConnectionThatIsNeverUsedHoldsNobodyUp(t *testing.T) {
	t.Parallel() // it waits for the farewell
	_, host, end := start(t, parsed(t))
	c, err := net.Dial("tcp", host)
	require.NoError(t, err)
	defer c.Close()
	join(t, host, "lobby", "Ann") // for the listener has accepted the other one before
	require.NoError(t, end())
	require.NoError(t, c.SetReadDeadline(time.Now().Add(patience)))
	_, err = c.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)
}

func TestNodeThatIsNotReadyServes(t *testing.T) {
	n, host, end := start(t, parsed(t, "-unready", "1h"))
	ann, _ := join(t, host, "lobby", "Ann")
	ended := make(chan error, 1)
	go func() { ended <- end() }()
	eventually(t, func() bool {
		resp, _ := get(t, host, "/readyz")
		return resp.StatusCode == http.StatusServiceUnavailable
	}, "it is ready")
	ann.say("1", "hello")
	require.Equal(t, "1", ann.hear("said").ID)
	join(t, host, "lobby", "Bob")
	ann.sees("Ann", "Bob")

	// There is nothing to wait for when it can't serve any more.
	n.bus.fail(io.ErrUnexpectedEOF)
	require.Equal(t, websocket.CloseGoingAway, ann.closed().Code)
	require.ErrorIs(t, within(t, ended, "it does not end"), io.ErrUnexpectedEOF)
}

func TestOrigins(t *testing.T) {
	_, host, _ := start(t, parsed(t, "-peers", "https://a.example,http://localhost:7777"))
	for origin, want := range map[string]int{
		"http://" + host:             http.StatusSwitchingProtocols,
		"https://a.example":          http.StatusSwitchingProtocols,
		"http://localhost:7777":      http.StatusSwitchingProtocols,
		"http://127.0.0.1:7777":      http.StatusSwitchingProtocols,
		"http://127.0.0.1:7778":      http.StatusForbidden,
		"http://a.example":           http.StatusForbidden,
		"https://example":            http.StatusForbidden,
		"https://x.a.example":        http.StatusForbidden,
		"https://a.example.attacker": http.StatusForbidden,
	} {
		c, resp, err := websocket.DefaultDialer.DialContext(t.Context(), "ws://"+host+"/ws?room=lobby&name=Ann", http.Header{"Origin": {origin}})
		require.NotNil(t, resp, "%v", err)
		require.Equal(t, want, resp.StatusCode, origin)
		if err == nil {
			require.NoError(t, c.Close())
		}
	}
}

func TestPage(t *testing.T) {
	_, host, _ := start(t, parsed(t, "-peers", "https://a.example,http://localhost:7777"))
	for path, contentType := range map[string]string{
		"/":         "text/html",
		"/chat.js":  "javascript", // systems differ in what stands before it
		"/chat.css": "text/css",
	} {
		resp, p := get(t, host, path)
		require.Equal(t, http.StatusOK, resp.StatusCode, path)
		require.Contains(t, resp.Header.Get("Content-Type"), contentType, path)
		require.Contains(t, resp.Header.Get("Content-Security-Policy"), "default-src 'self'", path)
		require.Contains(t, resp.Header.Get("Content-Security-Policy"), "connect-src 'self' wss://a.example ws://localhost:7777", path)
		require.NotContains(t, p, "innerHTML", "names are text")
		require.NotContains(t, p, "insertAdjacentHTML", "names are text")
		if path == "/" {
			require.Contains(t, p, `<meta name="nodes" content="https://a.example http://localhost:7777">`)
		}
	}
	requireStatus(t, http.StatusNotFound, host, "/none")
	requireStatus(t, http.StatusNotFound, host, "/index.html/x")
}

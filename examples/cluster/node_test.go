package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket"
)

// parsed returns what the flags say, for a node that a test can't see pause.
func parsed(t *testing.T, args ...string) config {
	cfg, err := parseFlags(append([]string{"-pause", "0"}, args...), io.Discard)
	require.NoError(t, err)
	return cfg
}

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
		<-done
		return err
	}
	t.Cleanup(func() { end() })
	select {
	case <-ready:
	case <-done:
		require.NoError(t, err)
	}
	return n, ln.Addr().String(), end
}

// A talker is a client that does no more than it is told.
type talker struct {
	*websocket.Conn
	t *testing.T
}

func dial(t *testing.T, host, room, name string, more ...string) *talker {
	query := url.Values{"room": {room}, "name": {name}}
	for i := 0; i < len(more); i += 2 {
		query.Set(more[i], more[i+1])
	}
	c, _, err := websocket.DefaultDialer.DialContext(t.Context(), "ws://"+host+"/ws?"+query.Encode(), nil)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	require.NoError(t, c.SetReadDeadline(time.Now().Add(patience)))
	return &talker{c, t}
}

// join dials and returns the welcome too.
func join(t *testing.T, host, room, name string, more ...string) (*talker, event) {
	p := dial(t, host, room, name, more...)
	return p, p.hear("welcome")
}

// hear reads up to the next event of this type.
func (p *talker) hear(eventType string) event {
	p.t.Helper()
	for {
		var e event
		require.NoError(p.t, p.ReadJSON(&e), eventType)
		if e.Type == eventType {
			return e
		}
	}
}

func (p *talker) say(id, text string) {
	p.t.Helper()
	require.NoError(p.t, p.WriteJSON(request{Type: "say", ID: id, Text: text}))
}

// closed reads up to the close frame.
func (p *talker) closed() *websocket.CloseError {
	p.t.Helper()
	for {
		if _, _, err := p.ReadMessage(); err != nil {
			var closed *websocket.CloseError
			require.ErrorAs(p.t, err, &closed)
			return closed
		}
	}
}

// startNATS starts a nats-server that is no node, and returns its URL.
func startNATS(t *testing.T, change func(*server.Options)) (*server.Server, string) {
	opts := &server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, JetStreamMaxMemory: 256 << 20, StoreDir: t.TempDir(), NoSigs: true}
	if change != nil {
		change(opts)
	}
	s, err := server.NewServer(opts)
	require.NoError(t, err)
	s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	require.True(t, s.ReadyForConnections(patience))
	return s, s.ClientURL()
}

func TestTwoNodesWithANATSServer(t *testing.T) {
	_, nats := startNATS(t, nil)
	_, hostA, endA := start(t, parsed(t, "-nats", nats, "-replicas", "1", "-name", "a"))
	_, hostB, _ := start(t, parsed(t, "-nats", nats, "-replicas", "1", "-name", "b"))

	ann, welcome := join(t, hostA, "lobby", "Ann")
	require.Equal(t, "a", welcome.Node)
	require.Equal(t, []string{"Ann"}, welcome.People)
	require.Empty(t, welcome.History)
	bob, _ := join(t, hostB, "lobby", "Bob")
	require.Equal(t, []string{"Bob"}, ann.hear("people").Joined)
	bob.t.Log("Bob asked who is at other nodes")
	elsewhere, _ := join(t, hostB, "attic", "Eve")

	ann.say("1", "  hello ")
	e := bob.hear("said")
	require.Equal(t, []string{"1", "Ann", "hello"}, []string{e.ID, e.Name, e.Text})
	require.WithinDuration(t, time.Now(), *e.Time, patience)
	bob.say("2", "hello")
	require.Equal(t, "2", bob.hear("sent").ID)
	require.Equal(t, e, ann.hear("said"))
	second := ann.hear("said")
	require.Greater(t, second.Seq, e.Seq)

	// One that comes to another node gets what it has not heard, and only that.
	cid, welcome := join(t, hostB, "lobby", "Cid", "stream", welcome.Stream, "after", strconv.FormatUint(e.Seq, 10))
	require.Equal(t, []string{"Ann", "Bob", "Cid"}, welcome.People)
	require.False(t, welcome.Missing)
	require.Len(t, welcome.History, 1)
	require.Contains(t, string(welcome.History[0]), `"id":"2"`)
	require.Equal(t, []string{"Cid"}, ann.hear("people").Joined)

	// A page that moves is not two, and does not go and come.
	dan, _ := join(t, hostA, "lobby", "Dan", "page", "x")
	require.Equal(t, []string{"Dan"}, cid.hear("people").Joined)
	_, welcome = join(t, hostB, "lobby", "Dan", "page", "x")
	require.Equal(t, []string{"Ann", "Bob", "Cid", "Dan"}, welcome.People)

	require.NoError(t, ann.Shutdown(t.Context(), websocket.CloseNormalClosure, ""))
	require.Equal(t, []string{"Ann"}, cid.hear("people").Left)
	require.NoError(t, dan.Close())
	require.NoError(t, endA())
	cid.say("3", "alone")
	require.Equal(t, "3", cid.hear("sent").ID)

	require.NoError(t, elsewhere.WriteJSON(request{Type: "probe"}))
	var next event
	require.NoError(t, elsewhere.ReadJSON(&next))
	require.Equal(t, "here", next.Type, "and nothing from the other room before it")
}

// The history is where the messages are, and outlives the nodes.
func TestHistory(t *testing.T) {
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
	for range 2 {
		ann.say("1", "hello") // the history knows it
		require.Equal(t, "1", ann.hear("sent").ID)
	}
	ann.say("2", "and")
	ann.say("1", "hello") // NATS knows it
	require.Equal(t, "2", ann.hear("sent").ID)
	bob, _ := join(t, host, "lobby", "Bob")
	bob.say("1", "the same ID of somebody else")
	require.Equal(t, "the same ID of somebody else", bob.hear("said").Text)
	require.NoError(t, ann.Shutdown(t.Context(), websocket.CloseNormalClosure, ""))

	cid, welcome := join(t, host, "lobby", "Cid")
	require.Len(t, welcome.History, 1)
	require.Contains(t, string(welcome.History[0]), `"seq":3`, "nothing was kept twice")
	cid.say("1", "")
	require.Equal(t, "there is nothing in it", cid.hear("refused").Text)
}

func TestStreamThatIsLost(t *testing.T) {
	n, host, _ := start(t, parsed(t))
	ann, first := join(t, host, "lobby", "Ann")
	ann.say("1", "hello")
	ann.hear("sent")
	require.NoError(t, n.bus.js.DeleteStream(t.Context(), "chat"))
	require.Equal(t, websocket.CloseServiceRestart, ann.closed().Code)
	ann, second := join(t, host, "lobby", "Ann", "stream", first.Stream, "after", "1")
	require.NotEqual(t, first.Stream, second.Stream)
	require.True(t, second.Missing)
	ann.say("1", "again")
	require.EqualValues(t, 1, ann.hear("said").Seq)
}

// A node that has no stream for long sends its people away, and is not ready.
func TestNodeThatIsCutOff(t *testing.T) {
	nats, at := startNATS(t, nil)
	n, host, _ := start(t, parsed(t, "-nats", at, "-replicas", "1"))
	ann, _ := join(t, host, "lobby", "Ann")
	require.Equal(t, http.StatusOK, get(t, host, "/readyz"))
	nats.Shutdown()
	nats.WaitForShutdown()
	ann.say("1", "hello")
	require.Equal(t, "1", ann.hear("waiting").ID)
	n.mu.Lock()
	n.reached = n.reached.Add(-cutOff) // as if it had been long ago
	n.mu.Unlock()
	require.Equal(t, http.StatusServiceUnavailable, get(t, host, "/readyz"))
	require.Equal(t, websocket.CloseTryAgainLater, ann.closed().Code)
	require.Equal(t, websocket.CloseTryAgainLater, dial(t, host, "lobby", "Ann").closed().Code)
}

func get(t *testing.T, host, path string) int {
	resp, err := http.Get("http://" + host + path)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	return resp.StatusCode
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
		{"route to nowhere", "-name a -cluster 127.0.0.1:0 -routes 127.0.0.1", clusterError("-routes are as")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := parsed(t, strings.Fields(tt.args)...)
			n, err := newNode(t.Context(), cfg)
			if err == nil {
				var ln net.Listener
				ln, err = net.Listen("tcp", "127.0.0.1:0")
				require.NoError(t, err)
				err = n.serve(t.Context(), ln, func() {})
			}
			require.ErrorContains(t, err, tt.want)
		})
	}
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
	write(fmt.Sprintf("listen: 127.0.0.1:-1\nserver_name: x\njetstream { store_dir: %q, max_memory_store: 256M }\nauthorization { user: u, password: p }", filepath.ToSlash(dir)))
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
			p := dial(t, host, tt.room, tt.person)
			if tt.want == "" {
				require.Equal(t, websocket.ClosePolicyViolation, p.closed().Code)
				return
			}
			_, raw, err := p.ReadMessage()
			require.NoError(t, err)
			require.NotContains(t, string(raw), "<")
			var e event
			require.NoError(t, json.Unmarshal(raw, &e))
			require.Contains(t, e.People, tt.want)
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
	cfg := parsed(t, "-history", "4") // whose welcome fits in this queue:
	cfg.queue = 64 << 10
	_, host, _ := start(t, cfg)
	quick, _ := join(t, host, "lobby", "quick")
	_, _ = join(t, host, "lobby", "slow") // and reads nothing from here on
	require.Equal(t, []string{"slow"}, quick.hear("people").Joined)

	text := strings.Repeat("🐌", maxText)
	for i, gone := 0, false; !gone; i++ {
		quick.say(strconv.Itoa(i), text)
		for said := false; !said && !gone; {
			var e event
			require.NoError(t, quick.ReadJSON(&e))
			said = e.Type == "said" && e.ID == strconv.Itoa(i)
			gone = e.Type == "people" && len(e.Left) > 0
		}
	}
	_, welcome := join(t, host, "lobby", "slow")
	require.Len(t, welcome.History, 4)
}

func TestLimits(t *testing.T) {
	n, host, _ := start(t, parsed(t))
	join(t, host, "lobby", "Ann")
	n.rooms.mu.Lock()
	r := n.rooms.byName["lobby"]
	n.rooms.mu.Unlock()
	r.mu.Lock()
	for len(r.people) < maxPeople {
		r.people[new(websocket.Conn)] = person{"somebody", "x"}
	}
	r.mu.Unlock()
	require.Equal(t, websocket.CloseTryAgainLater, dial(t, host, "lobby", "Bob").closed().Code)

	// An empty room is closed when its place is needed; others stay.
	n.rooms.mu.Lock()
	for i := len(n.rooms.byName); i < maxRooms-1; i++ {
		n.rooms.byName[strconv.Itoa(i)] = r
	}
	n.rooms.mu.Unlock()
	empty, _ := join(t, host, "empty", "Ann")
	require.Equal(t, websocket.CloseTryAgainLater, dial(t, host, "more", "Ann").closed().Code)
	require.NoError(t, empty.Shutdown(t.Context(), websocket.CloseNormalClosure, ""))
	require.Eventually(t, func() bool {
		p := dial(t, host, "more", "Ann") // the node may not have noticed yet
		var e event
		return p.ReadJSON(&e) == nil
	}, patience, 10*time.Millisecond)
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
	n, host, _ := start(t, parsed(t))
	ann, _ := join(t, host, "lobby", "Ann")
	n.rooms.mu.Lock()
	r := n.rooms.byName["lobby"]
	n.rooms.mu.Unlock()
	r.mu.Lock()
	r.elsewhere["x"] = crowd{Node: "x", People: []person{{"Bob", "1"}, {"Bob", "2"}}, heard: time.Now()}
	r.mu.Unlock()
	require.Equal(t, []string{"Bob", "Bob"}, ann.hear("people").Joined)
	r.mu.Lock()
	r.elsewhere["x"] = crowd{Node: "x", People: []person{{"Bob", "1"}}, heard: time.Now().Add(-silent)}
	r.mu.Unlock()
	require.Equal(t, []string{"Bob", "Bob"}, ann.hear("people").Left)
}

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
	_, host, end := start(t, parsed(t, "-unready", "300ms"))
	ann, _ := join(t, host, "lobby", "Ann")
	ended := make(chan error, 1)
	go func() { ended <- end() }()
	require.Eventually(t, func() bool { return get(t, host, "/readyz") == http.StatusServiceUnavailable }, patience, time.Millisecond)
	require.Equal(t, websocket.CloseGoingAway, ann.closed().Code)
	require.NoError(t, <-ended)
	_, err := net.Dial("tcp", host)
	require.Error(t, err, "still listening")
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
		resp, err := http.Get("http://" + host + path)
		require.NoError(t, err)
		p, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, http.StatusOK, resp.StatusCode, path)
		require.Contains(t, resp.Header.Get("Content-Type"), contentType, path)
		require.Contains(t, resp.Header.Get("Content-Security-Policy"), "default-src 'self'", path)
		require.Contains(t, resp.Header.Get("Content-Security-Policy"), "connect-src 'self' wss://a.example ws://localhost:7777", path)
		require.NotContains(t, string(p), "innerHTML", "names are text")
		require.NotContains(t, string(p), "insertAdjacentHTML", "names are text")
		if path == "/" {
			require.Contains(t, string(p), `<meta name="nodes" content="https://a.example http://localhost:7777">`)
		}
	}
	require.Equal(t, http.StatusNotFound, get(t, host, "/none"))
	require.Equal(t, http.StatusNotFound, get(t, host, "/index.html/x"))
}

package endpoint

import (
	"bytes"
	"context"
	"flag"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket"
	_ "github.com/duplexkit/websocket/autobahn/internal/playflag"
)

// reads makes a Config for each read path.
func reads(t *testing.T, test func(t *testing.T, config Config)) {
	for _, read := range Paths {
		t.Run(read, func(t *testing.T) {
			t.Parallel()
			config := Default
			config.Read = read
			test(t, config)
		})
	}
}

// start serves until end is called, which tells how serving ended.
func start(t *testing.T, config Config) (url string, end func() error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	served := make(chan error, 1)
	go func() { served <- config.Serve(ctx, ln) }()
	return "ws://" + ln.Addr().String(), func() error {
		cancel()
		return <-served
	}
}

// dial connects to a server under test.
func dial(t *testing.T, url string) *websocket.Conn {
	c, _, err := websocket.DefaultDialer.DialContext(t.Context(), url, http.Header{"Origin": {"http://elsewhere.example"}})
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	require.NoError(t, c.SetReadDeadline(time.Now().Add(time.Minute)))
	return c
}

// echoes checks that a message comes back.
func echoes(t *testing.T, c *websocket.Conn, m websocket.Message) {
	written := make(chan error, 1)
	go func() { written <- c.WriteMessage(m.Type, m.Data) }() // the beginning of a long message comes back early
	messageType, p, err := c.ReadMessage()
	require.NoError(t, err)
	require.NoError(t, <-written)
	require.Equal(t, m.Type, messageType)
	require.True(t, bytes.Equal(m.Data, p))
}

func TestServerEchoes(t *testing.T) {
	reads(t, func(t *testing.T, config Config) {
		url, end := start(t, config)
		c := dial(t, url+"/any/path?will=do")
		echoes(t, c, websocket.Message{Type: websocket.TextMessage, Data: []byte("hello")})
		echoes(t, c, websocket.Message{Type: websocket.TextMessage, Data: []byte{}})
		echoes(t, c, websocket.Message{Type: websocket.BinaryMessage, Data: bytes.Repeat([]byte{0, 1, 2, 255}, 4<<20)})
		require.NoError(t, c.Shutdown(t.Context(), 4321, "that was it"))
		require.NoError(t, end())
	})
}

func TestServerTakesLeave(t *testing.T) {
	reads(t, func(t *testing.T, config Config) {
		url, end := start(t, config)
		c := dial(t, url)
		echoes(t, c, websocket.Message{Type: websocket.TextMessage, Data: []byte("are you there?")})
		ended := make(chan error, 1)
		go func() { ended <- end() }()
		_, _, err := c.ReadMessage()
		require.True(t, websocket.IsCloseError(err, websocket.CloseGoingAway), "%v", err)
		require.NoError(t, <-ended)
		_, err = net.Dial("tcp", strings.TrimPrefix(url, "ws://"))
		require.Error(t, err, "still listening")
	})
}

func TestServerSaysWhyItCannotListen(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, ln.Close())
	require.ErrorIs(t, Default.Serve(t.Context(), ln), net.ErrClosed)
}

// A message that breaks off must not come back looking whole.
func TestStreamDoesNotEndAHalfMessage(t *testing.T) {
	config := Default
	config.Read = "stream"
	url, end := start(t, config)
	c := dial(t, url)
	w, err := c.NextWriter(websocket.TextMessage)
	require.NoError(t, err)
	_, err = w.Write(append(bytes.Repeat([]byte("long "), 10_000), 0xff))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	_, r, err := c.NextReader()
	if err == nil {
		_, err = io.Copy(io.Discard, r)
	}
	require.True(t, websocket.IsCloseError(err, websocket.CloseInvalidFramePayloadData), "%v", err)
	require.NoError(t, end())
}

// suite is a server that has some cases, of which one refuses the client.
type suite struct {
	count   string
	refuse  string                // the case that is refused
	play    func(*websocket.Conn) // the other cases
	asked   []string              // what the client wanted, in order
	reports func(*websocket.Conn) // how updateReports is answered
}

func (s *suite) start(t *testing.T) (url string) {
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return strings.Replace(server.URL, "http", "ws", 1)
}

func (s *suite) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.asked = append(s.asked, r.URL.RequestURI())
	if s.refuse != "" && r.FormValue("case") == s.refuse {
		http.Error(w, "no", http.StatusForbidden)
		return
	}
	new(websocket.Upgrader).Handler(func(c *websocket.Conn, r *http.Request) error {
		switch r.URL.Path {
		case "/getCaseCount":
			return c.WriteMessage(websocket.TextMessage, []byte(s.count))
		case "/runCase":
			s.play(c)
		case "/updateReports":
			if s.reports != nil {
				s.reports(c)
			}
		}
		return nil
	}).ServeHTTP(w, r)
}

func TestClientPlaysAllCases(t *testing.T) {
	reads(t, func(t *testing.T, config Config) {
		var heard [][]byte
		s := &suite{count: "3", refuse: "2", play: func(c *websocket.Conn) {
			c.WriteMessage(websocket.BinaryMessage, []byte{1, 2, 3})
			_, p, _ := c.ReadMessage()
			heard = append(heard, p)
		}}
		var said bytes.Buffer
		client := Client{Config: config, URL: s.start(t), Agent: "me & you", Log: log.New(&said, "", 0)}
		require.NoError(t, client.Run(t.Context()))
		require.Equal(t, []string{
			"/getCaseCount", "/runCase?case=1&agent=me+%26+you", "/runCase?case=2&agent=me+%26+you", "/runCase?case=3&agent=me+%26+you",
			"/updateReports?agent=me+%26+you",
		}, s.asked)
		require.Equal(t, [][]byte{{1, 2, 3}, {1, 2, 3}}, heard)
		require.Contains(t, said.String(), "case 2 of 3: websocket: bad handshake")
		require.Contains(t, said.String(), "2 of 3 cases played, and the reports asked for\n")
	})
}

// The suite ends its answers with a close frame that has no code.
func TestClientTakesACloseWithoutCodeForAnEnd(t *testing.T) {
	s := &suite{count: "0", reports: func(c *websocket.Conn) {
		c.WriteMessage(websocket.CloseMessage, nil)
		c.ReadMessage()
	}}
	require.NoError(t, Client{Config: Default, URL: s.start(t), Log: log.New(io.Discard, "", 0)}.Run(t.Context()))
}

func TestClientWaitsForTheServer(t *testing.T) {
	s := &suite{count: "0"}
	tries := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if tries++; tries < 4 {
			panic(http.ErrAbortHandler) // as a published port does with nothing behind it
		}
		s.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	client := Client{Config: Default, URL: strings.Replace(server.URL, "http", "ws", 1), Wait: time.Minute, Log: log.New(io.Discard, "", 0)}
	require.NoError(t, client.Run(t.Context()))
	require.Equal(t, []string{"/getCaseCount", "/updateReports?agent="}, s.asked)
}

func TestClientGivesUp(t *testing.T) {
	t.Run("no server", func(t *testing.T) {
		server := httptest.NewServer(http.NotFoundHandler())
		server.Close()
		err := Client{Config: Default, URL: strings.Replace(server.URL, "http", "ws", 1)}.Run(t.Context())
		require.ErrorContains(t, err, "getCaseCount: ")
	})
	t.Run("no number", func(t *testing.T) {
		s := &suite{count: "many"}
		require.ErrorContains(t, Client{Config: Default, URL: s.start(t), Log: log.New(io.Discard, "", 0)}.Run(t.Context()), "getCaseCount: ")
	})
	t.Run("no reports", func(t *testing.T) {
		s := &suite{count: "0", reports: func(c *websocket.Conn) { c.NetConn().Close() }}
		require.ErrorContains(t, Client{Config: Default, URL: s.start(t), Log: log.New(io.Discard, "", 0)}.Run(t.Context()), "updateReports: ")
	})
	for name, upgrades := range map[string]bool{"no answer": false, "no message": true} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if !upgrades {
					<-r.Context().Done()
					return
				}
				new(websocket.Upgrader).Handler(func(c *websocket.Conn, _ *http.Request) error {
					_, _, err := c.ReadMessage()
					return err
				}).ServeHTTP(w, r)
			}))
			t.Cleanup(server.Close)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			client := Client{Config: Default, URL: strings.Replace(server.URL, "http", "ws", 1), Wait: 200 * time.Millisecond}
			require.ErrorContains(t, client.Run(ctx), "getCaseCount: ")
			require.NoError(t, ctx.Err(), "the client waited on")
		})
	}
	t.Run("interrupted while it waits", func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			cancel(io.ErrClosedPipe)
			http.Error(w, "not yet", http.StatusServiceUnavailable)
		}))
		t.Cleanup(server.Close)
		err := Client{Config: Default, URL: strings.Replace(server.URL, "http", "ws", 1), Wait: time.Hour}.Run(ctx)
		require.ErrorIs(t, err, io.ErrClosedPipe)
	})
	reads(t, func(t *testing.T, config Config) { // in the middle of a case
		ctx, cancel := context.WithCancelCause(t.Context())
		s := &suite{count: "2", play: func(c *websocket.Conn) {
			cancel(io.ErrClosedPipe)
			c.ReadMessage()
		}}
		err := Client{Config: config, URL: s.start(t), Log: log.New(io.Discard, "", 0)}.Run(ctx)
		require.ErrorIs(t, err, io.ErrClosedPipe)
		require.Len(t, s.asked, 2)
	})
}

func TestFlags(t *testing.T) {
	parse := func(args ...string) (Config, error) {
		config := Default
		flags := flag.NewFlagSet("", flag.ContinueOnError)
		flags.SetOutput(io.Discard)
		config.Flags(flags)
		err := flags.Parse(args)
		return config, err
	}
	config, err := parse()
	require.NoError(t, err)
	require.Equal(t, Config{Read: "messages", Compression: true, Takeover: true}, config)
	config, err = parse("-read", "iterate", "-compression=false", "-takeover=false")
	require.NoError(t, err)
	require.Equal(t, Config{Read: "iterate"}, config)
	_, err = parse("-read", "slowly")
	require.ErrorContains(t, err, "messages, stream, serve, start, iterate")
}

func TestOptions(t *testing.T) {
	require.Nil(t, Config{Takeover: true}.options().Compression)
	compression := Config{Compression: true}.options().Compression
	require.True(t, compression.ServerNoContextTakeover)
	require.True(t, compression.ClientNoContextTakeover)
	require.Negative(t, compression.Threshold, "small messages are compressed, too")
	require.GreaterOrEqual(t, Default.options().ReadLimit, int64(16<<20))
}

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"math"
	"net"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket"
	"github.com/duplexkit/websocket/websockettest"
)

// patience keeps a test from hanging; nothing takes so long.
const patience = 30 * time.Second

// Calls must leave no goroutine behind, however they end.
func TestMain(m *testing.M) {
	before := runtime.NumGoroutine()
	code := m.Run()
	for end := time.Now().Add(patience); runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			stacks := make([]byte, 1<<20)
			fmt.Printf("goroutines are left:\n%s\n", stacks[:runtime.Stack(stacks, true)])
			code = 1
			break
		}
	}
	os.Exit(code)
}

func patient(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeoutCause(t.Context(), patience, errors.New("the test has lost its patience"))
	t.Cleanup(cancel)
	return ctx
}

func TestSendAndReceive(t *testing.T) {
	t.Parallel()
	type point struct{ X, Y int }
	client, server := websockettest.Pair(t, nil, nil)
	require.NoError(t, Send(client, point{1, 2}))
	require.NoError(t, client.WriteMessage(websocket.TextMessage, []byte("{")))
	require.NoError(t, Send(client, []point{{3, 4}}))
	require.Error(t, Send(client, math.NaN()), "nothing was sent")
	require.NoError(t, Send(client, point{5, 6}))

	p, err := Receive[point](patient(t), server)
	require.NoError(t, err)
	require.Equal(t, point{1, 2}, p)
	_, err = Receive[point](patient(t), server)
	require.True(t, isSyntax(err), "%v", err)
	ps, err := Receive[[]point](patient(t), server)
	require.NoError(t, err)
	require.Equal(t, []point{{3, 4}}, ps)
	ctx, cancel := context.WithCancel(t.Context())
	_, err = Receive[point](ctx, server)
	require.NoError(t, err)
	cancel()
	_, err = Receive[point](ctx, server)
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, Send(client, point{7, 8}))
	p, err = Receive[point](patient(t), server)
	require.NoError(t, err)
	require.Equal(t, point{7, 8}, p, "what was called off has lost nothing")
}

// peers returns two ends that serve until the test ends. Their Serves' errors come when the
// connection has ended.
func peers(t *testing.T, clients, servers map[string]Method) (client, server *Peer, ended chan error) {
	t.Helper()
	c, s := websockettest.Pair(t, nil, nil)
	client, server, ended = NewPeer(c, clients, nil), NewPeer(s, servers, nil), make(chan error, 2)
	var served sync.WaitGroup
	for _, p := range []*Peer{client, server} {
		served.Go(func() { ended <- p.Serve(context.Background()) })
	}
	t.Cleanup(func() {
		c.Close()
		s.Close()
		served.Wait()
	})
	return client, server, ended
}

func TestConcurrentCallsBothWays(t *testing.T) {
	t.Parallel()
	methods := new(server).methods()
	client, server, _ := peers(t, methods, methods)
	var calls sync.WaitGroup
	for i := range maxRunning {
		for _, p := range []*Peer{client, server} {
			calls.Go(func() {
				sum, err := Call[float64](patient(t), p, "add", []float64{float64(i), 0.5})
				if err != nil || sum != float64(i)+0.5 {
					t.Errorf("%d + 0.5: %v, %v", i, sum, err)
				}
			})
		}
	}
	calls.Wait()
	require.Empty(t, client.waiting)
	require.Empty(t, server.waiting)
}

// Answers come in the order in which methods return, not in that of the calls.
func TestAnswersOvertake(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	client, _, _ := peers(t, nil, map[string]Method{
		"slow":  Typed(func(context.Context, *Peer, struct{}) (string, error) { <-release; return "slow", nil }),
		"quick": Typed(func(context.Context, *Peer, struct{}) (string, error) { return "quick", nil }),
	})
	slow := make(chan string, 1)
	go func() {
		s, err := Call[string](patient(t), client, "slow", nil)
		slow <- fmt.Sprint(s, err)
	}()
	s, err := Call[string](patient(t), client, "quick", nil)
	require.NoError(t, err)
	require.Equal(t, "quick", s)
	close(release)
	require.Equal(t, "slow<nil>", <-slow)
}

func TestCallBack(t *testing.T) {
	t.Parallel()
	client, _, _ := peers(t, map[string]Method{
		"name": Typed(func(context.Context, *Peer, struct{}) (string, error) { return "Ann", nil }),
	}, new(server).methods())
	greeting, err := Call[string](patient(t), client, "greet", nil)
	require.NoError(t, err)
	require.Equal(t, "Hello, Ann!", greeting)
}

func TestErrors(t *testing.T) {
	t.Parallel()
	methods := new(server).methods()
	methods["fail"] = Typed(func(context.Context, *Peer, struct{}) (int, error) { return 0, errors.New("the password is x") })
	methods["nan"] = Typed(func(context.Context, *Peer, struct{}) (float64, error) { return math.NaN(), nil })
	methods["data"] = Typed(func(context.Context, *Peer, struct{}) (int, error) {
		return 0, fmt.Errorf("wrapped: %w", &Error{Code: 7, Message: "seven", Data: json.RawMessage(`[7]`)})
	})
	client, _, _ := peers(t, nil, methods)
	for _, tt := range []struct {
		method string
		params any
		want   Error
	}{
		{"divide", division{1, 0}, Error{Code: codeDivision, Message: "division by zero"}},
		{"none", nil, Error{Code: CodeMethodNotFound, Message: `there is no method "none"`}},
		{"add", map[string]int{"a": 1}, Error{Code: CodeInvalidParams, Message: "json: cannot unmarshal object into Go value of type []float64"}},
		{"wait", pause{-1}, Error{Code: CodeInvalidParams, Message: "ms must be from 0 to 3600000"}},
		{"fail", nil, Error{Code: CodeInternal, Message: "internal error"}},
		{"nan", nil, Error{Code: CodeInternal, Message: "internal error"}},
		{"data", nil, Error{Code: 7, Message: "seven", Data: json.RawMessage(`[7]`)}},
	} {
		t.Run(tt.method, func(t *testing.T) {
			_, err := Call[float64](patient(t), client, tt.method, tt.params)
			var failed *Error
			require.ErrorAs(t, err, &failed)
			require.Equal(t, tt.want, *failed)
		})
	}
	_, err := Call[string](patient(t), client, "add", []int{1})
	var wrong *json.UnmarshalTypeError
	require.ErrorAs(t, err, &wrong, "the result has another type")
	_, err = Call[float64](patient(t), client, "add", math.NaN())
	require.Error(t, err)
	sum, err := Call[float64](patient(t), client, "add", nil)
	require.NoError(t, err, "nothing of that has hurt the connection")
	require.Zero(t, sum)
}

func TestCancelReachesTheMethod(t *testing.T) {
	t.Parallel()
	running, ended := make(chan struct{}), make(chan error, 1)
	client, _, _ := peers(t, nil, map[string]Method{
		"wait": Typed(func(ctx context.Context, _ *Peer, _ struct{}) (int, error) {
			close(running)
			<-ctx.Done()
			ended <- ctx.Err()
			return 0, ctx.Err()
		}),
		"add": Typed(add),
	})
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		<-running
		cancel(errors.New("enough"))
	}()
	_, err := Call[int](ctx, client, "wait", nil)
	require.EqualError(t, err, "enough")
	require.Equal(t, context.Canceled, <-ended)
	_, err = Call[int](ctx, client, "wait", nil)
	require.EqualError(t, err, "enough", "is not even sent: it would close running again")
	_, err = Call[float64](patient(t), client, "add", []int{1})
	require.NoError(t, err)
}

func TestConnectionEndsDuringCalls(t *testing.T) {
	t.Parallel()
	running := make(chan struct{}, 1)
	wait := map[string]Method{"wait": Typed(func(ctx context.Context, _ *Peer, _ struct{}) (int, error) {
		running <- struct{}{}
		<-ctx.Done()
		return 0, ctx.Err()
	})}
	client, server, ended := peers(t, nil, wait)
	failed := make(chan error, 1)
	go func() {
		_, err := Call[int](patient(t), client, "wait", nil)
		failed <- err
	}()
	<-running
	require.NoError(t, server.c.Shutdown(patient(t), websocket.CloseGoingAway, "enough"))
	require.True(t, websocket.IsCloseError(<-failed, websocket.CloseGoingAway))
	require.NoError(t, <-ended)
	require.NoError(t, <-ended, "the method has returned, too")
	_, err := Call[int](patient(t), client, "wait", nil)
	require.Error(t, err)
}

func TestNotificationsComeInOrder(t *testing.T) {
	t.Parallel()
	const n = 1000
	got := make(chan int, n)
	c, s := websockettest.Pair(t, nil, nil)
	client, server := NewPeer(c, nil, nil), NewPeer(s, nil, map[string]Notice{
		"tell": TypedNotice(func(_ *Peer, i [1]int) error {
			got <- i[0]
			return errors.New("which nobody is told")
		}),
	})
	served := make(chan error, 1)
	go func() { served <- server.Serve(context.Background()) }()
	defer func() {
		require.NoError(t, c.Close())
		<-served
	}()
	require.NoError(t, client.Notify("none", nil))
	for i := range n {
		require.NoError(t, client.Notify("tell", [1]int{i}))
	}
	for i := range n {
		require.Equal(t, i, <-got)
	}
}

func TestNotificationToTheServer(t *testing.T) {
	t.Parallel()
	url, end := start(t)
	c, _, err := new(websocket.Dialer).DialContext(t.Context(), url, nil)
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, NewPeer(c, nil, nil).Notify("say", saying{"hello"}))
	m, err := Receive[message](patient(t), c)
	require.NoError(t, err)
	require.Equal(t, "said", m.Method)
	require.Contains(t, string(m.Params), `"text":"hello"`)
	require.NoError(t, c.Close())
	require.NoError(t, end())
}

func TestTooManyCalls(t *testing.T) {
	t.Parallel()
	client, _, _ := peers(t, nil, new(server).methods())
	ctx, cancel := context.WithCancel(t.Context())
	results := make(chan error, maxRunning+1)
	var calls sync.WaitGroup
	for range maxRunning + 1 {
		calls.Go(func() {
			_, err := Call[pause](ctx, client, "wait", pause{longestWait})
			results <- err
		})
	}
	var failed *Error
	require.ErrorAs(t, <-results, &failed)
	require.Equal(t, CodeBusy, failed.Code)
	cancel()
	calls.Wait()
}

// The other end may call without end and read nothing: then what it has called must not pile
// up here, answered or not.
func TestCallerWhoDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clientEnd, serverEnd := websockettest.Pipe(4 << 10)
		c, s := websockettest.Handshake(t, clientEnd, serverEnd, nil, nil)
		var called atomic.Int64
		p := NewPeer(s, map[string]Method{
			"page": Typed(func(context.Context, *Peer, struct{}) (string, error) {
				called.Add(1)
				return strings.Repeat("x", 64<<10), nil
			}),
		}, nil)
		served := make(chan error, 1)
		go func() { served <- p.Serve(t.Context()) }()

		const calls = 4 * maxRunning
		sent := make(chan error, 1)
		go func() {
			var err error
			for id := 0; id < calls && err == nil; id++ {
				err = Send(c, message{Version: version, Method: "page", ID: json.RawMessage(strconv.Itoa(id))})
			}
			sent <- err
		}()
		synctest.Wait()
		require.EqualValues(t, maxRunning, called.Load())

		for range calls { // it reads at last, and each call is answered, if only by CodeBusy
			m, err := Receive[message](patient(t), c)
			require.NoError(t, err)
			require.True(t, m.Result != nil || m.Error.Code == CodeBusy, "%+v", m.Error)
		}
		require.NoError(t, <-sent)
		require.NoError(t, c.Shutdown(t.Context(), websocket.CloseNormalClosure, ""))
		require.NoError(t, <-served)
	})
}

// The wire, as other implementations see it.
func TestWire(t *testing.T) {
	t.Parallel()
	longest := strings.Repeat("1", maxID)
	for _, tt := range []struct{ name, request, response string }{ // no response is ""
		{"a call", `{"jsonrpc":"2.0","method":"add","params":[1,2],"id":1}`, `{"jsonrpc":"2.0","id":1,"result":3}`},
		{"an id that is a string", `{"jsonrpc": "2.0", "method": "add", "params": [], "id": "a b"}`, `{"jsonrpc":"2.0","id":"a b","result":0}`},
		{"no id is not the id null", `{"jsonrpc":"2.0","method":"add","id":null}`, `{"jsonrpc":"2.0","id":null,"result":0}`},
		{"parameters by name", `{"jsonrpc":"2.0","method":"divide","params":{"a":1,"b":4},"id":-1}`, `{"jsonrpc":"2.0","id":-1,"result":0.25}`},
		{"a notification", `{"jsonrpc":"2.0","method":"add","params":[1]}`, ``},
		{"a notification of no method", `{"jsonrpc":"2.0","method":"none"}`, ``},
		{"a notification with wrong parameters", `{"jsonrpc":"2.0","method":"add","params":{}}`, ``},
		{"a notification of a method that would call back", `{"jsonrpc":"2.0","method":"greet"}`, ``},
		{"a notification of a method that takes an hour", `{"jsonrpc":"2.0","method":"wait","params":{"ms":3600000}}`, ``},
		{"a notification that there is", `{"jsonrpc":"2.0","method":"say","params":{"text":"hello"}}`, ``}, // nobody is in the Group
		{"canceling what does not run", `{"jsonrpc":"2.0","method":"rpc.cancel","params":{"id":9}}`, ``},
		{"canceling by a call", `{"jsonrpc":"2.0","method":"rpc.cancel","params":{"id":9},"id":1}`, `{"jsonrpc":"2.0","id":1,"result":null}`},
		{"canceling nothing by a call", `{"jsonrpc":"2.0","method":"rpc.cancel","params":[],"id":1}`, `{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"json: cannot unmarshal array into Go value of type main.cancelParams"}}`},
		{"canceling nothing", `{"jsonrpc":"2.0","method":"rpc.cancel","params":[]}`, ``},
		{"a response to nothing", `{"jsonrpc":"2.0","id":1,"result":3}`, ``},
		{"an error without an id", `{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"?"}}`, ``},
		{"not JSON", `{"jsonrpc": "2.0", "method`, `{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"not JSON"}}`},
		{"nothing", ``, `{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"not JSON"}}`},
		{"a batch", `[]`, `{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"not a request"}}`},
		{"a method that is a number", `{"jsonrpc":"2.0","method":1,"id":1}`, `{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"not a request"}}`},
		{"another version", `{"method":"add","id":1}`, `{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"not JSON-RPC 2.0"}}`},
		{"neither", `{"jsonrpc":"2.0","id":1}`, `{"jsonrpc":"2.0","id":1,"error":{"code":-32600,"message":"neither a request nor a response"}}`},
		{"an id that is an object", `{"jsonrpc":"2.0","method":"add","id":{}}`, `{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"an id is a number or a string"}}`},
		{"the longest id", `{"jsonrpc":"2.0","method":"add","id":` + longest + `}`, `{"jsonrpc":"2.0","id":` + longest + `,"result":0}`},
		{"an id that is longer", `{"jsonrpc":"2.0","method":"add","id":1` + longest[1:] + `0}`, `{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"an id has 256 bytes at most"}}`},
		{"no such method", `{"jsonrpc":"2.0","method":"none","id":1}`, `{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"there is no method \"none\""}}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var upgrader websocket.Upgrader
			s := websockettest.NewServer(t, upgrader.Handler(func(c *websocket.Conn, r *http.Request) error {
				return NewPeer(c, new(server).methods(), new(server).notices()).Serve(r.Context())
			}))
			p := s.DialPeer(t, "/", nil)
			p.Send(websockettest.Text(tt.request))
			if tt.response != "" {
				p.Expect(websockettest.Text(tt.response))
			}
			p.Send(websockettest.Text(`{"jsonrpc":"2.0","method":"add","params":[7],"id":7}`)) // goes on
			p.Expect(websockettest.Text(`{"jsonrpc":"2.0","id":7,"result":7}`))
		})
	}
}

// What others say must not pass for lines of the log, or drive a terminal.
func TestLogsQuoteOthers(t *testing.T) {
	var logged bytes.Buffer
	log.SetOutput(&logged)
	defer log.SetOutput(os.Stderr)
	const words = "\x1b[2J\n2026/01/01 00:00:00 root left"
	url, end := start(t)
	c, _, err := new(websocket.Dialer).DialContext(t.Context(), url, nil)
	require.NoError(t, err)
	defer c.Close()
	for range 3 {
		require.NoError(t, Send(c, message{Version: version, Error: &Error{Message: words}, ID: json.RawMessage("null")}))
	}
	require.NoError(t, c.Shutdown(patient(t), 4000, words))
	require.NoError(t, end())
	require.Regexp(t, `^.* 127\.0\.0\.1:\d+: it did not understand us: "\\x1b\[2J\\n2026/01/01 00:00:00 root left \(0\)"; more of that is not logged
.* 127\.0\.0\.1:\d+ left: "websocket: close 4000: \\x1b\[2J\\n2026/01/01 00:00:00 root left"
$`, logged.String())
}

func TestWireOfACanceledCall(t *testing.T) {
	t.Parallel()
	var upgrader websocket.Upgrader
	s := websockettest.NewServer(t, upgrader.Handler(func(c *websocket.Conn, r *http.Request) error {
		return NewPeer(c, new(server).methods(), new(server).notices()).Serve(r.Context())
	}))
	p := s.DialPeer(t, "/", nil)
	const call = `{"jsonrpc":"2.0","method":"wait","params":{"ms":3600000},"id":"w"}`
	p.Send(websockettest.Text(call), websockettest.Text(call))
	p.Expect(websockettest.Text(`{"jsonrpc":"2.0","id":"w","error":{"code":-32600,"message":"a call with this id is running"}}`))
	p.Send(websockettest.Text(`{"jsonrpc":"2.0","method":"rpc.cancel","params":{"id":"w"}}`))
	p.Expect(websockettest.Text(`{"jsonrpc":"2.0","id":"w","error":{"code":-32001,"message":"canceled"}}`))
}

// start runs the program until end is called, and returns the URL that it serves.
func start(t *testing.T) (url string, end func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	read, write := io.Pipe()
	done := make(chan error, 1)
	go func() { done <- run(ctx, []string{"-addr", "127.0.0.1:0"}, write) }()
	line, err := bufio.NewReader(read).ReadString('\n')
	require.NoError(t, err)
	require.Regexp(t, `^dial ws://127\.0\.0\.1:\d+/rpc; Ctrl-C ends\n$`, line)
	return strings.TrimSuffix(strings.Fields(line)[1], ";"), func() error {
		cancel()
		return <-done
	}
}

// Browsers open connections ahead of any request, and http.Server.Shutdown waits for them. The
// WebSockets must not wait as well, and have no time left then.
func TestServerEndsWhileABrowserHoldsAConnection(t *testing.T) {
	t.Parallel()
	url, end := start(t)
	idle, err := net.Dial("tcp", strings.TrimSuffix(strings.TrimPrefix(url, "ws://"), "/rpc"))
	require.NoError(t, err)
	c, _, err := new(websocket.Dialer).DialContext(t.Context(), url, nil)
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, Send(c, message{Version: version, Method: "add", ID: json.RawMessage("1")}))
	_, err = Receive[message](patient(t), c)
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() { ended <- end() }()
	_, _, err = c.ReadMessage()
	require.True(t, websocket.IsCloseError(err, websocket.CloseGoingAway), "%v", err)
	require.NoError(t, idle.Close())
	require.NoError(t, <-ended)
}

func TestDemo(t *testing.T) {
	t.Parallel()
	url, end := start(t)
	var out bytes.Buffer
	require.NoError(t, run(patient(t), []string{"-dial", url, "demo"}, &out))
	require.Regexp(t, `^1 \+ 2 \+ 3 = 6
1 / 0 is an error: division by zero \(1\)
the server asked for a name and says: Hello, the example's client!
(waited for \d00 ms\n){3}a minute is too long: context deadline exceeded
127\.0\.0\.1:\d+ says: "hello, all"
said something to 1
$`, out.String())
	require.NoError(t, end())
}

func TestCallAndWatch(t *testing.T) {
	t.Parallel()
	url, end := start(t)
	var out bytes.Buffer
	require.NoError(t, run(patient(t), []string{"-dial", url, "call", "add", "[1, 2]"}, &out))
	require.NoError(t, run(patient(t), []string{"-dial", url, "call", "add"}, &out))
	require.Equal(t, "3\n0\n", out.String())
	require.EqualError(t, run(patient(t), []string{"-dial", url, "call", "divide", "{}"}, &out), "division by zero (1)")
	require.EqualError(t, run(patient(t), []string{"-dial", url, "call", "add", "[1"}, &out), "the parameters are no JSON: [1")

	read, write := io.Pipe()
	watched := make(chan error, 1)
	go func() { watched <- run(patient(t), []string{"-dial", url, "watch"}, write) }()
	line := make(chan string, 1)
	lines := bufio.NewReader(read)
	first, err := lines.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "connected; Ctrl-C ends\n", first)
	go func() {
		s, err := lines.ReadString('\n')
		line <- fmt.Sprint(s, err)
	}()
	require.Regexp(t, `^127\.0\.0\.1:\d+ says: "hello"\n<nil>$`, sayUntil(t, url, line))
	go io.Copy(io.Discard, lines)
	require.NoError(t, end())
	require.True(t, websocket.IsCloseError(<-watched, websocket.CloseGoingAway))
	require.NoError(t, write.Close())
}

// sayUntil says hello until a watcher has heard it, which takes its time to be there.
func sayUntil(t *testing.T, url string, line <-chan string) string {
	t.Helper()
	for {
		require.NoError(t, run(patient(t), []string{"-dial", url, "call", "say", `{"text":"hello"}`}, io.Discard))
		select {
		case s := <-line:
			return s
		default:
		}
	}
}

func TestWatchIsInterrupted(t *testing.T) {
	t.Parallel()
	url, end := start(t)
	ctx, interrupt := context.WithCancel(t.Context())
	read, write := io.Pipe()
	go func() { write.CloseWithError(run(ctx, []string{"-dial", url, "watch"}, write)) }()
	line := make(chan string, 1)
	lines := bufio.NewReader(read)
	_, err := lines.ReadString('\n') // it is connected
	require.NoError(t, err)
	go func() {
		s, err := lines.ReadString('\n')
		line <- fmt.Sprint(s, err)
	}()
	sayUntil(t, url, line)
	interrupt()
	_, err = io.Copy(io.Discard, lines)
	require.NoError(t, err)
	require.NoError(t, end())
}

func TestCalledWrongly(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"call"}, {"call", "a", "{}", "b"}, {"demo", "x"}, {"watch", "x"}, {"dance"}, {"-fast"}, {"-addr", "nowhere"}} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			require.Error(t, run(t.Context(), args, io.Discard))
		})
	}
	err := run(t.Context(), []string{"-dial", "ws://127.0.0.1:1/rpc", "demo"}, io.Discard)
	require.Error(t, err)
}

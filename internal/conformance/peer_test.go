package conformance_test

import (
	"net"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket/internal/conformance"
)

// playServer plays the cases against a server with the fault.
func playServer(t *testing.T, fault string, compression bool, config conformance.Config) map[string]*conformance.Result {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var serving sync.WaitGroup
	defer serving.Wait()
	defer func() { require.NoError(t, listener.Close()) }()
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				e := &echo{conn: conn, fault: fault, held: t.Context().Done()}
				if e.accept(compression) != nil {
					_ = conn.Close()
					return
				}
				e.run()
			}()
		}
	})
	config.URL, config.Agent = "ws://"+listener.Addr().String()+"/", "echo"
	report, err := conformance.RunClient(t.Context(), config)
	require.NoError(t, err)
	return report["echo"]
}

// playClient plays the cases against a client with the fault, which asks for them as an Autobahn client does, some at a time.
func playClient(t *testing.T, fault string, compression bool, config conformance.Config) map[string]*conformance.Result {
	t.Helper()
	server, base := serve(t, config)
	answer, err := ask(base + "/getCaseCount")
	require.NoError(t, err)
	count, err := strconv.Atoi(string(answer))
	require.NoError(t, err)
	todo := make(chan int)
	var players sync.WaitGroup
	for range max(config.Parallel, 1) {
		players.Go(func() {
			for i := range todo {
				e, err := dial(base+"/runCase?case="+strconv.Itoa(i)+"&agent="+url.QueryEscape("echo"), fault, compression)
				if err == nil {
					e.held = t.Context().Done()
					e.run()
				}
			}
		})
	}
	for i := range count {
		todo <- i + 1
	}
	close(todo)
	players.Wait()
	_, err = ask(base + "/updateReports?agent=echo")
	require.NoError(t, err)
	return server.Report()["echo"]
}

type player func(t *testing.T, fault string, compression bool, config conformance.Config) map[string]*conformance.Result

var players = map[string]player{"server": playServer, "client": playClient}

// roleOf is the end the peer takes when that end is under test.
var roleOf = map[string]conformance.Role{"server": conformance.Client, "client": conformance.Server}

func TestHealthyEndpointPasses(t *testing.T) {
	t.Parallel()
	for under, play := range players {
		for _, compression := range []bool{false, true} {
			name := under + ", uncompressed"
			config := conformance.Config{Parallel: 8, Messages: 2, Timeout: 30 * time.Second}
			if compression {
				name = under + ", compressed"
			}
			// Cases that take long and differ from others only in a number.
			config.Exclude = []string{"9.*", "12.*.10", "12.*.15", "12.*.16", "12.*.17", "13.*.10", "13.*.15", "13.*.16", "13.*.17"}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				results := play(t, "", compression, config)
				cases, err := conformance.Cases(roleOf[under])
				require.NoError(t, err)
				for _, c := range cases {
					r := results[c.ID]
					if left := func(p string) bool { return conformance.Match(p, c.ID) }; slices.ContainsFunc(config.Exclude, left) {
						require.Nil(t, r, c.ID)
						continue
					}
					require.NotNil(t, r, c.ID)
					want := c.Allowed[0]
					if !compression && c.Allowed[len(c.Allowed)-1] == conformance.Unimplemented {
						want = conformance.Unimplemented
					}
					wantClose := conformance.OK
					if want == conformance.Informational {
						wantClose = want
					}
					require.Equal(t, want, r.Behavior, "%s: %s\n%s", c.ID, c.Description, r.Result)
					require.Equal(t, wantClose, r.BehaviorClose, "%s: %s\n%s", c.ID, c.Description, r.ResultClose)
				}
			})
		}
	}
}

func TestResultTellsWhatTimedOut(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		fault              string
		close, drop, timed bool
	}{
		{"", false, false, false},
		{"does nothing about close frames", true, false, true},
		{"keeps the TCP connection", false, true, true},
	} {
		t.Run(c.fault, func(t *testing.T) {
			t.Parallel()
			config := conformance.Config{Cases: []string{"1.1.2"}, Timeout: time.Second}
			if c.fault == "" {
				config.Timeout = 30 * time.Second
			}
			r := playServer(t, c.fault, false, config)["1.1.2"]
			require.Equal(t, c.close, r.CloseTimeout)
			require.Equal(t, c.drop, r.DropTimeout)
			require.False(t, r.OpenTimeout)
			require.Equal(t, c.timed, r.NotClean != nil)
			require.Equal(t, c.timed, !r.WasClean)
			require.NotEmpty(t, r.RxReads)
			octets := 0
			for size, count := range r.TxWrites {
				octets += size * count
			}
			require.EqualValues(t, r.TxOctets, octets)
		})
	}
}

func TestResultTellsThatTheOpeningHandshakeTimedOut(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, listener.Close()) }()
	report, err := conformance.RunClient(t.Context(), conformance.Config{
		URL: "ws://" + listener.Addr().String(), Cases: []string{"1.1.1", "9.1.1"}, Timeout: 100 * time.Millisecond,
	})
	require.NoError(t, err)
	require.True(t, report["server"]["1.1.1"].OpenTimeout)
	require.False(t, report["server"]["1.1.1"].ReportTime)
	require.True(t, report["server"]["9.1.1"].ReportTime)
}

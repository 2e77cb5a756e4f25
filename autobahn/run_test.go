package autobahn_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket"
	"github.com/duplexkit/websocket/autobahn/internal/resultstest"
)

// The tests of run.sh put a stand-in for docker on its PATH. It writes down how
// it was called and, as the suite's client, is this test binary: that connects to
// the server under test and hands in canned reports. The suite's server is played
// by the test itself.
const (
	standIn   = "AUTOBAHN_TEST_STAND_IN" // set in the test binary that is the suite's client
	state     = "AUTOBAHN_TEST_STATE"    // directory for what stand-ins leave to the test and to each other
	canned    = "AUTOBAHN_TEST_CANNED"   // directory with the reports to hand in
	broken    = "AUTOBAHN_TEST_BROKEN"   // beginnings of calls that fail, one a line
	hangUntil = "AUTOBAHN_TEST_HANG"     // address to connect to, and to hang on, instead of ending the run
)

// engine is the stand-in: its name and the test binary are to be filled in.
const engine = `
call="%[1]s $*"
echo "$call" >>"$AUTOBAHN_TEST_STATE/calls"
while read -r line; do
	case $line in '') continue ;; esac
	case $call in "$line"*)
		echo 'stand-in: told to fail' >&2
		exit 9 ;;
	esac
done <<END
${AUTOBAHN_TEST_BROKEN-}
END
case $* in
run*fuzzingclient.json) AUTOBAHN_TEST_STAND_IN=1 exec %[2]q "$@" ;;
rm*) if [ -f "$AUTOBAHN_TEST_STATE/pid" ]; then kill -9 "$(cat "$AUTOBAHN_TEST_STATE/pid")"; fi ;;
esac
`

func TestMain(m *testing.M) {
	if os.Getenv(standIn) != "" {
		if err := playClient(os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, "stand-in:", err)
			os.Exit(9)
		}
		return
	}
	os.Exit(m.Run())
}

// playClient is the suite's client in a container: it echoes with the server of
// its configuration and hands in the canned reports.
func playClient(args []string) error {
	var config struct {
		OutDir  string
		Servers []struct{ Agent, URL string }
	}
	text, err := os.ReadFile(inContainer(args, args[len(args)-1]))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &config); err != nil {
		return err
	}
	server := strings.Replace(config.Servers[0].URL, "host.docker.internal", "127.0.0.1", 1)
	c, _, err := websocket.DefaultDialer.Dial(server, nil)
	if err != nil {
		return err
	}
	if err := c.WriteMessage(websocket.TextMessage, []byte("hello")); err != nil {
		return err
	}
	if _, p, err := c.ReadMessage(); err != nil || string(p) != "hello" {
		return fmt.Errorf("no echo: %q, %w", p, err)
	}
	if address := os.Getenv(hangUntil); address != "" {
		return hang(address)
	}
	if err := c.Shutdown(context.Background(), websocket.CloseNormalClosure, ""); err != nil {
		return err
	}
	return os.CopyFS(inContainer(args, config.OutDir), os.DirFS(filepath.Join(os.Getenv(canned), "servers")))
}

// hang never returns; the test hears when it begins and when the process has ended.
func hang(address string) error {
	err := os.WriteFile(filepath.Join(os.Getenv(state), "pid"), []byte(strconv.Itoa(os.Getpid())), 0o600)
	if err != nil {
		return err
	}
	nc, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, nc)
	return err
}

// inContainer is where a path in the container lies, by the -v flags.
func inContainer(args []string, path string) string {
	for i, arg := range args[:len(args)-1] {
		if mount := strings.Split(args[i+1], ":"); arg == "-v" && len(mount) > 1 && strings.HasPrefix(path, mount[1]) {
			return mount[0] + strings.TrimPrefix(path, mount[1])
		}
	}
	return path
}

// suiteServer is the suite's server: it has two cases, and writes the canned
// reports when it is asked to. It starts slowly.
type suiteServer struct {
	state, canned, reports string
	asked                  atomic.Int32 // requests for the number of cases
	played                 atomic.Int32 // cases
	URL                    string
}

func (s *suiteServer) start(t *testing.T) {
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	s.URL = server.URL
}

func (s *suiteServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if calls, _ := os.ReadFile(filepath.Join(s.state, "calls")); !bytes.Contains(calls, []byte("-m fuzzingserver ")) || s.asked.Add(1) < 3 {
		http.Error(w, "not yet", http.StatusServiceUnavailable)
		return
	}
	new(websocket.Upgrader).Handler(s.serve).ServeHTTP(w, r)
}

func (s *suiteServer) serve(c *websocket.Conn, r *http.Request) error {
	switch r.URL.Path {
	case "/getCaseCount":
		return c.WriteMessage(websocket.TextMessage, []byte("2"))
	case "/runCase":
		if err := c.WriteMessage(websocket.BinaryMessage, []byte{1, 2}); err != nil {
			return err
		}
		_, p, err := c.ReadMessage()
		if err == nil && bytes.Equal(p, []byte{1, 2}) && r.FormValue("agent") == "duplexkit-websocket" {
			s.played.Add(1)
		}
		return err
	case "/updateReports":
		if s.played.Load() == 2 {
			return os.CopyFS(filepath.Join(s.reports, "clients"), os.DirFS(filepath.Join(s.canned, "clients")))
		}
	}
	return fmt.Errorf("unexpected request %s", r.URL)
}

// bench is a place to try run.sh in.
type bench struct {
	suiteServer
	bin string
	env []string
}

// newBench has stand-ins with the given names on its PATH.
func newBench(t *testing.T, engines ...string) *bench {
	if runtime.GOOS == "windows" {
		t.Skip("run.sh wants a Unix shell")
	}
	self, err := os.Executable()
	require.NoError(t, err)
	dir := t.TempDir()
	b := &bench{
		suiteServer: suiteServer{state: filepath.Join(dir, "state"), canned: filepath.Join(dir, "canned"), reports: filepath.Join(dir, "reports")},
		bin:         filepath.Join(dir, "bin"),
	}
	require.NoError(t, os.Mkdir(b.bin, 0o700))
	require.NoError(t, os.Mkdir(b.state, 0o700))
	for _, name := range engines {
		b.script(t, name, fmt.Sprintf(engine, name, self))
	}
	b.hand(t, nil, nil)
	b.start(t)
	address, err := url.Parse(b.URL)
	require.NoError(t, err)
	b.env = append(os.Environ(), state+"="+b.state, canned+"="+b.canned,
		"PATH="+b.bin+string(filepath.ListSeparator)+os.Getenv("PATH"),
		"AUTOBAHN_ENGINE=docker podman", "AUTOBAHN_REPORTS="+b.reports, "AUTOBAHN_PORT="+address.Port(), "AUTOBAHN_NETWORK=host",
		"AUTOBAHN_ENDPOINT=", "AUTOBAHN_IMAGE=")
	return b
}

func (b *bench) script(t *testing.T, name, body string) {
	require.NoError(t, os.WriteFile(filepath.Join(b.bin, name), []byte("#!/bin/sh\n"+body+"\n"), 0o700))
}

// hand prepares the reports to be handed in: the best ones but for these cases.
func (b *bench) hand(t *testing.T, servers, clients map[string]resultstest.Case) {
	require.NoError(t, os.RemoveAll(b.canned))
	for name, cases := range map[string]map[string]resultstest.Case{
		"servers": resultstest.But(resultstest.Perfect(false), servers),
		"clients": resultstest.But(resultstest.Perfect(true), clients),
	} {
		err := resultstest.Write(filepath.Join(b.canned, name), map[string]map[string]resultstest.Case{"duplexkit-websocket": cases})
		require.NoError(t, err)
	}
}

// withBuilt spares run.sh building: its go copies what was built for all tests.
func (b *bench) withBuilt(t *testing.T, built string) *bench {
	b.script(t, "go", fmt.Sprintf(`cp %q/* "$3"`, built))
	return b
}

func (b *bench) command(args ...string) *exec.Cmd {
	cmd := exec.Command("bash", append([]string{"run.sh"}, args...)...)
	cmd.Env = b.env
	return cmd
}

// run runs run.sh to its end.
func (b *bench) run(t *testing.T, args ...string) (status int, output string) {
	out, err := b.command(args...).CombinedOutput()
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		err = nil
		status = exit.ExitCode()
	}
	require.NoError(t, err)
	t.Logf("%s", out)
	return status, string(out)
}

// calls lists how the stand-ins were called, with what differs from run to run left out.
func (b *bench) calls(t *testing.T) (calls []string) {
	text, err := os.ReadFile(filepath.Join(b.state, "calls"))
	if err != nil {
		require.ErrorIs(t, err, os.ErrNotExist)
	}
	for line := range strings.Lines(string(text)) {
		call := strings.Fields(line)
		for i, arg := range call {
			switch {
			case strings.HasPrefix(arg, "autobahn-fuzzing"):
				call[i] = strings.TrimRight(arg, "0123456789") + "N"
			case strings.HasSuffix(arg, ":/config:ro"):
				call[i] = "CONFIG:/config:ro"
			case strings.HasSuffix(arg, ":/reports"):
				require.Equal(t, b.reports, strings.TrimSuffix(arg, ":/reports"))
				call[i] = "REPORTS:/reports"
			}
		}
		calls = append(calls, strings.Join(call, " "))
	}
	return calls
}

const (
	info      = "docker info"
	inspect   = "docker image inspect crossbario/autobahn-testsuite"
	pull      = "docker pull crossbario/autobahn-testsuite"
	runServer = "docker run --rm --network host --name autobahn-fuzzingclient-N --security-opt label=disable -v CONFIG:/config:ro -v REPORTS:/reports " +
		"crossbario/autobahn-testsuite wstest -m fuzzingclient -s /config/fuzzingclient.json"
	runClient = "docker run -d --network host --name autobahn-fuzzingserver-N --security-opt label=disable -v CONFIG:/config:ro -v REPORTS:/reports " +
		"crossbario/autobahn-testsuite wstest -m fuzzingserver -s /config/fuzzingserver.json"
	logsClient   = "docker logs autobahn-fuzzingserver-N"
	stopClient   = "docker stop autobahn-fuzzingserver-N"
	removeClient = "docker rm -f autobahn-fuzzingserver-N"
	removeServer = "docker rm -f autobahn-fuzzingclient-N"
)

func TestRun(t *testing.T) {
	built := t.TempDir()
	first := newBench(t, "docker")
	out, err := exec.Command("go", "build", "-o", built, "./server", "./client", "./report").CombinedOutput()
	require.NoError(t, err, string(out))

	// Once with the real go.
	status, output := first.run(t, "all")
	require.Equal(t, 0, status)
	require.Equal(t, []string{info, inspect, runServer, runClient, stopClient, removeClient}, first.calls(t))
	require.Contains(t, output, "server duplexkit-websocket: 517 cases, 514 OK, 3 INFORMATIONAL, 0 pending, 0 wrong or missing\n")
	require.Contains(t, output, "client duplexkit-websocket: 517 cases, 514 OK, 3 INFORMATIONAL, 0 pending, 0 wrong or missing\n")
	require.FileExists(t, filepath.Join(first.reports, "summary.md"))

	for _, args := range [][]string{{"server", "stray"}, {"client", "-wait", "1s", "stray"}, {"report", first.reports, "-pending", "12"}} {
		out, err := exec.Command(filepath.Join(built, args[0]), args[1:]...).CombinedOutput()
		exit := new(exec.ExitError)
		require.ErrorAs(t, err, &exit, "%q", args)
		require.Equal(t, 2, exit.ExitCode(), "%q", args)
		require.Contains(t, strings.ToLower(string(out)), "usage", "%q", args)
	}

	late := map[string]resultstest.Case{"6.4.1": {Behavior: "NON-STRICT", BehaviorClose: "OK", Result: "late"}}
	lateClient := map[string]resultstest.Case{"6.4.1": {Behavior: "NON-STRICT", BehaviorClose: "OK", Result: "late", IsServer: true}}
	plain := map[string]resultstest.Case{"12.1.1": {Behavior: "UNIMPLEMENTED", BehaviorClose: "OK"}}
	tests := []struct {
		name             string
		args             []string
		servers, clients map[string]resultstest.Case
		env              []string
		system           string // what uname says, "" is the truth
		status           int
		calls            []string
		says             string
	}{
		{
			name: "server", args: []string{"server"}, clients: lateClient,
			calls: []string{info, inspect, runServer},
		},
		{
			name: "client", args: []string{"client"}, servers: late,
			calls: []string{info, inspect, runClient, stopClient, removeClient},
		},
		{
			name: "the server is not strict", args: []string{"all"}, servers: late,
			status: 1, calls: []string{info, inspect, runServer, runClient, stopClient, removeClient},
			says: "server duplexkit-websocket  6.4.1  NON-STRICT, not OK: late\n",
		},
		{
			name: "the client is not strict", args: []string{"client"}, clients: lateClient,
			status: 1, calls: []string{info, inspect, runClient, stopClient, removeClient},
			says: "client duplexkit-websocket  6.4.1  NON-STRICT, not OK: late\n",
		},
		{
			name: "not implemented", args: []string{"server"}, servers: plain,
			status: 1, calls: []string{info, inspect, runServer},
			says: "12.1.1",
		},
		{
			name: "pending, and other flags of the report", args: []string{"server", "-pending", "12,13"}, servers: plain,
			calls: []string{info, inspect, runServer},
		},
		{
			name: "flags for the endpoints", args: []string{"all"}, env: []string{"AUTOBAHN_ENDPOINT=-read stream -compression=false"},
			calls: []string{info, inspect, runServer, runClient, stopClient, removeClient},
		},
		{
			name: "a flag that the endpoints don't have", args: []string{"server"}, env: []string{"AUTOBAHN_ENDPOINT=-read badly"},
			status: 2, calls: []string{info, inspect}, says: "the server did not start",
		},
		{
			name: "another image, not here yet", args: []string{"server"},
			env:   []string{"AUTOBAHN_IMAGE=example/suite", broken + "=docker image inspect"},
			calls: []string{info, "docker image inspect example/suite", "docker pull example/suite", strings.Replace(runServer, "crossbario/autobahn-testsuite", "example/suite", 1)},
		},
		{
			name: "no image", args: []string{"all"}, env: []string{broken + "=docker image inspect\ndocker pull"},
			status: 2, calls: []string{info, inspect, pull}, says: "no image",
		},
		{
			name: "the suite's client fails", args: []string{"all"}, env: []string{broken + "=docker run --rm"},
			status: 2, calls: []string{info, inspect, runServer, removeServer}, says: "the suite's client ended with status 9",
		},
		{
			name: "the suite's server does not start", args: []string{"client"}, env: []string{broken + "=docker run -d"},
			status: 2, calls: []string{info, inspect, runClient, removeClient}, says: "the suite's server did not start",
		},
		{
			name: "a bridge", args: []string{"all"}, env: []string{"AUTOBAHN_NETWORK=bridge"}, system: "Darwin",
			calls: []string{
				info, inspect, strings.Replace(runServer, "--network host ", "", 1),
				strings.Replace(runClient, "--network host", "-p 127.0.0.1:PORT:9001", 1), stopClient, removeClient,
			},
		},
		{
			name: "a bridge on Linux, to a client", args: []string{"client"}, env: []string{"AUTOBAHN_NETWORK=bridge"}, system: "Linux",
			calls: []string{info, inspect, strings.Replace(runClient, "--network host", "-p 127.0.0.1:PORT:9001", 1), stopClient, removeClient},
		},
		{
			name: "a bridge on Linux, to a server", args: []string{"all"}, env: []string{"AUTOBAHN_NETWORK=bridge"}, system: "Linux",
			status: 2, says: "AUTOBAHN_NETWORK=bridge: on Linux",
		},
		{
			name: "no such network", args: []string{"all"}, env: []string{"AUTOBAHN_NETWORK=none"},
			status: 2, says: "AUTOBAHN_NETWORK=none: it is host or bridge",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t, "docker").withBuilt(t, built)
			b.hand(t, test.servers, test.clients)
			b.env = append(b.env, test.env...)
			if test.system != "" {
				b.script(t, "uname", "echo "+test.system)
			}
			status, output := b.run(t, test.args...)
			require.Equal(t, test.status, status)
			port := b.URL[strings.LastIndex(b.URL, ":"):]
			for i := range test.calls {
				test.calls[i] = strings.Replace(test.calls[i], ":PORT", port, 1)
			}
			require.Equal(t, test.calls, b.calls(t))
			require.Contains(t, output, test.says)
		})
	}

	t.Run("what another run left is not judged", func(t *testing.T) {
		b := newBench(t, "docker").withBuilt(t, built)
		for _, name := range []string{"servers", "clients"} {
			require.NoError(t, os.CopyFS(filepath.Join(b.reports, name), os.DirFS(filepath.Join(b.canned, name))))
			require.NoError(t, os.Remove(filepath.Join(b.canned, name, "index.json")))
		}
		status, output := b.run(t, "all")
		require.Equal(t, 2, status)
		require.Contains(t, output, "no index.json")
	})

	t.Run("podman, where docker does not work", func(t *testing.T) {
		b := newBench(t, "docker", "podman").withBuilt(t, built)
		b.env = append(b.env, broken+"=docker info")
		status, _ := b.run(t, "server")
		require.Equal(t, 0, status)
		require.Equal(t, []string{
			info, strings.Replace(info, "docker", "podman", 1), strings.Replace(inspect, "docker", "podman", 1),
			strings.Replace(runServer, "docker", "podman", 1),
		}, b.calls(t))
	})

	t.Run("terminated", func(t *testing.T) {
		b := newBench(t, "docker").withBuilt(t, built)
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer ln.Close()
		b.env = append(b.env, hangUntil+"="+ln.Addr().String())
		cmd := b.command("server")
		cmd.Stdout, cmd.Stderr = t.Output(), t.Output()
		require.NoError(t, cmd.Start())
		ended := make(chan error, 1)
		go func() {
			ended <- cmd.Wait() // also for the processes that hold the output open
			ln.Close()
		}()
		container, err := ln.Accept()
		require.NoError(t, err)
		defer container.Close()
		require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
		exit := new(exec.ExitError)
		require.ErrorAs(t, <-ended, &exit)
		require.Equal(t, 143, exit.ExitCode())
		require.NoError(t, container.SetReadDeadline(time.Now().Add(time.Minute)))
		_, err = container.Read(make([]byte, 1))
		require.Error(t, err)
		require.NotErrorIs(t, err, os.ErrDeadlineExceeded, "the container runs on")
		require.Equal(t, []string{info, inspect, runServer, removeServer}, b.calls(t))
	})
}

func TestRunWithoutContainers(t *testing.T) {
	t.Run("not installed", func(t *testing.T) {
		b := newBench(t)
		for _, tool := range []string{"bash", "dirname", "uname"} {
			path, err := exec.LookPath(tool)
			require.NoError(t, err)
			require.NoError(t, os.Symlink(path, filepath.Join(b.bin, tool)))
		}
		b.env = append(b.env, "PATH="+b.bin, "AUTOBAHN_ENGINE=")
		status, output := b.run(t, "all")
		require.Equal(t, 75, status)
		require.Contains(t, output, "neither docker nor podman is installed\n")
		require.Contains(t, output, "go test ./autobahn/...")
	})
	t.Run("another engine is named", func(t *testing.T) {
		b := newBench(t, "docker")
		b.env = append(b.env, "AUTOBAHN_ENGINE=no-such-engine")
		status, output := b.run(t, "all")
		require.Equal(t, 75, status)
		require.Contains(t, output, "no-such-engine, which AUTOBAHN_ENGINE names, is not installed\n")
		require.NotContains(t, output, "neither docker nor podman is installed")
		require.Empty(t, b.calls(t))
	})
	t.Run("not running", func(t *testing.T) {
		b := newBench(t, "docker", "podman")
		b.env = append(b.env, broken+"=docker\npodman")
		status, output := b.run(t, "all")
		require.Equal(t, 75, status)
		require.Contains(t, output, `docker is installed, but "info" fails`)
		require.Contains(t, output, `podman is installed, but "info" fails`)
		require.Equal(t, []string{info, "podman info"}, b.calls(t))
	})
}

func TestRunTellsItsUsage(t *testing.T) {
	for _, args := range [][]string{nil, {"both"}} {
		b := newBench(t, "docker")
		status, output := b.run(t, args...)
		require.Equal(t, 2, status)
		require.Contains(t, output, "usage: ")
		require.Empty(t, b.calls(t))
	}
	status, output := newBench(t, "docker").run(t, "-h")
	require.Equal(t, 0, status)
	require.Contains(t, output, "usage: ")
}

// The suite's configurations leave nothing out.
func TestConfigurations(t *testing.T) {
	for _, name := range []string{"fuzzingclient", "fuzzingserver"} {
		var config map[string]any
		text, err := os.ReadFile(filepath.Join("config", name+".json"))
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(text, &config))
		require.Equal(t, []any{"*"}, config["cases"])
		require.Empty(t, config["exclude-cases"])
		require.Empty(t, config["exclude-agent-cases"])
		require.Equal(t, 1, strings.Count(string(text), `"ws://127.0.0.1:9001"`), "run.sh puts another URL here")
	}
}

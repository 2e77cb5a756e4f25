package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
)

// patience keeps a test from hanging; nothing takes so long, on a slow machine with other
// work neither. A test waits so long once, and has failed then.
const patience = time.Minute

// asProgram in the environment has the test binary be the program.
const asProgram = "CLUSTER_TEST_AS_PROGRAM"

// A node in this process must leave no goroutine behind.
func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	flag.Parse()
	parallel := "8" // for these tests wait for elections and the like, not for processors
	flag.Visit(func(f *flag.Flag) {
		if f.Name == "test.parallel" {
			parallel = f.Value.String()
		}
	})
	if err := flag.Set("test.parallel", parallel); err != nil {
		panic(err) // there is no such flag any more
	}
	before := runtime.NumGoroutine()
	code := m.Run()
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
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

// A state is what a goroutine changes and a test waits for.
type state struct {
	mu      sync.Mutex
	changed chan struct{} // closed at the next change
}

// note changes what belongs to s, and wakes who waits.
func (s *state) note(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

// await waits until something is so, and fails the test with the complaint if that does not
// come. Both are called with s locked, and so must not end the test themselves: those that
// clean up would wait for s for ever.
func (s *state) await(t *testing.T, so func() bool, complaint func() string) {
	t.Helper()
	late := time.After(patience)
	for {
		s.mu.Lock()
		if so() {
			s.mu.Unlock()
			return
		}
		if s.changed == nil {
			s.changed = make(chan struct{})
		}
		changed := s.changed
		s.mu.Unlock()
		select {
		case <-changed:
		case <-late:
			s.mu.Lock()
			why := complaint()
			s.mu.Unlock()
			require.FailNow(t, why)
		}
	}
}

// within waits for done, which closes or gets a value.
func within[T any](t *testing.T, done <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-done:
	case <-time.After(patience):
		require.FailNow(t, what)
	}
	return v
}

// eventually asks again and again, for what tells nobody that it has changed. Unlike
// require.Eventually it does so on the test's goroutine, which alone may end the test.
func eventually(t *testing.T, so func() bool, what string) {
	t.Helper()
	for end := time.Now().Add(patience); !so(); time.Sleep(time.Millisecond) {
		require.True(t, time.Now().Before(end), what)
	}
}

// A process is the program, run as a user would. Its standard output is read to the end,
// which comes when all have ended that write there.
type process struct {
	*exec.Cmd
	t     *testing.T
	stdin io.Closer
	ended chan struct{} // it, and its children

	state
	lines  []string // all of them, for a test that fails
	passed int      // of these, by next
	all    bool     // there will be no more
}

func run(t *testing.T, args ...string) *process {
	if strconv.IntSize < 64 {
		t.Skip("nats-server forms no cluster on 32-bit machines: run this with a GOARCH of 64 bits, such as amd64")
	}
	self, err := os.Executable()
	require.NoError(t, err)
	p := &process{Cmd: exec.Command(self, args...), t: t, ended: make(chan struct{})}
	p.Env = append(os.Environ(), asProgram+"=1")
	p.stdin, err = p.StdinPipe()
	require.NoError(t, err)
	// A pipe of our own, for Wait closes those of exec.
	out, in, err := os.Pipe()
	require.NoError(t, err)
	p.Stdout, p.Stderr = in, in
	require.NoError(t, p.Start())
	require.NoError(t, in.Close())
	go func() {
		defer close(p.ended)
		defer p.note(func() { p.all = true })
		defer out.Close()
		for r := bufio.NewReader(out); ; {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			p.note(func() { p.lines = append(p.lines, strings.TrimSpace(line)) })
		}
	}()
	t.Cleanup(func() {
		p.Process.Kill() // of no effect if it has ended
		p.Wait()
		select {
		case <-p.ended:
		case <-time.After(patience):
			t.Error("nodes are left")
		}
		if t.Failed() {
			p.mu.Lock()
			defer p.mu.Unlock()
			t.Logf("%s %s said:\n%s", filepath.Base(p.Path), strings.Join(p.Args[1:], " "), strings.Join(p.lines, "\n"))
		}
	})
	return p
}

// next returns what the expression finds in the next line of output that has it.
func (p *process) next(expr string) (found []string) {
	p.t.Helper()
	re := regexp.MustCompile(expr)
	p.await(p.t, func() bool {
		for found == nil && p.passed < len(p.lines) {
			found = re.FindStringSubmatch(p.lines[p.passed])
			p.passed++
		}
		return found != nil || p.all
	}, func() string { return fmt.Sprintf("it does not say %q", expr) })
	require.NotNil(p.t, found, "it has ended without %q", expr)
	return found
}

// end ends it by the end of its standard input.
func (p *process) end() error {
	p.t.Helper()
	p.stdin.Close()
	within(p.t, p.ended, "it does not end")
	return p.Wait()
}

func TestProcessesOfOneCommand(t *testing.T) {
	t.Parallel()
	p := run(t, "-nodes", "2", "-addr", "127.0.0.1:0", "-dir", t.TempDir(), "-restart", "1ms")
	pids := make(map[string]int)
	ready := make(map[string]bool)
	for len(ready)+len(pids) < 4 { // a node may be the first to say something, or its parent
		found := p.next(`^(n\d) is (?:process (\d+)|ready: http://127)`)
		if found[2] == "" {
			ready[found[1]] = true
		} else {
			var err error
			pids[found[1]], err = strconv.Atoi(found[2])
			require.NoError(t, err)
		}
	}
	node, err := os.FindProcess(pids["n1"])
	require.NoError(t, err)
	require.NoError(t, node.Kill())
	p.next(`^n1 has ended: .*; it is started again in 1ms`)
	p.next(`^n1 is ready`)

	if runtime.GOOS == "windows" {
		// There is no way to have it end itself; what follows is for that as well.
		require.NoError(t, p.Process.Kill())
		within(t, p.ended, "nodes are left")
		return
	}
	require.NoError(t, p.Process.Signal(os.Interrupt))
	within(t, p.ended, "it does not end")
	require.NoError(t, p.Wait())
}

// Whoever kills the parent kills its nodes.
func TestNodesEndWithTheirParent(t *testing.T) {
	t.Parallel()
	p := run(t, "-nodes", "2", "-addr", "127.0.0.1:0", "-dir", t.TempDir())
	p.next("^n. is process")
	p.next("^n. is process")
	require.NoError(t, p.Process.Kill())
	within(t, p.ended, "nodes are left")
}

func TestFlags(t *testing.T) {
	for _, tt := range []struct{ name, args, want string }{
		{"none", "", ""},
		{"three nodes", "-nodes 3 -restart 1s -dir x -storage file", ""},
		{"real cluster", "-nats nats://a,nats://b -creds x -ca y -cert z -key z", ""},
		{"on three machines", "-name a -cluster :6222 -routes nats://a:6222,nats://b:6222 -peers http://a,https://b:1/", ""},
		{"configuration file", "-config x -creds y", ""},
		{"configuration file that says where", "-config x -storage file", ""},
		{"files of a NATS cluster", "-nats x -storage file", ""},
		{"files that are removed", "-storage file", "-storage file needs -dir"},
		{"files of several that are removed", "-nodes 3 -storage file", "-storage file needs -dir"},
		{"secret", "-name a -cluster :1 -routes x -secret y", ""},
		{"secret that nobody is asked for", "-secret y", "-secret is of use with -cluster"},
		{"unknown", "-nod 3", "not defined"},
		{"argument", "3", `no argument "3"`},
		{"too many nodes", "-nodes 10", "-nodes is from 1 to 9"},
		{"no nodes", "-nodes 0", "-nodes is from 1 to 9"},
		{"no history", "-history 0", "-history is 1 or more"},
		{"no room", "-size 0", "-size is 1 or more"},
		{"replicas", "-replicas 6", "-replicas is from 1 to 5"},
		{"storage", "-storage tape", `not "tape"`},
		{"prefix", "-prefix a.b", "-prefix has"},
		{"name", "-name a.b", "-name has"},
		{"peer without a scheme", "-peers a:8080", "-peers are as"},
		{"peer with a path", "-peers http://a/chat", "-peers are as"},
		{"nodes that use NATS", "-nodes 3 -nats x", "-nodes is for an embedded"},
		{"directory of another's", "-nats x -dir y", "-dir is for an embedded"},
		{"credentials for nothing", "-creds x", "-creds is of use"},
		{"CA for nothing", "-ca x", "-ca is of use"},
		{"key without certificate", "-nats x -key y", "-cert and -key"},
		{"cluster without routes", "-cluster :1", "want each other"},
		{"cluster without name", "-cluster :1 -routes x", "-name of its own"},
		{"twice the same", "-config x -dir y", "-dir is what the file"},
		{"one name for all", "-nodes 2 -name x", "-name is for one node"},
		{"nothing to restart", "-restart 1s", "-restart is of use"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := parseFlags(strings.Fields(tt.args), io.Discard)
			if tt.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, tt.want)
		})
	}
}

func TestReplicas(t *testing.T) {
	for args, want := range map[string]int{
		"":                                   1,
		"-nodes 2":                           2,
		"-nodes 5":                           3,
		"-nodes 5 -replicas 5":               5,
		"-nats x":                            3,
		"-config x":                          3,
		"-name a -cluster :1 -routes a,b":    2,
		"-name a -cluster :1 -routes a,b,c,": 3,
	} {
		cfg, err := parseFlags(strings.Fields(args), io.Discard)
		require.NoError(t, err, args)
		require.Equal(t, want, cfg.replicas, args)
	}
}

func TestAddresses(t *testing.T) {
	got, err := addresses("localhost:8080", 3)
	require.NoError(t, err)
	require.Equal(t, []string{"localhost:8080", "localhost:8081", "localhost:8082"}, got)
	got, err = addresses("127.0.0.1:0", 2)
	require.NoError(t, err)
	more, err := addresses("127.0.0.1:0", 1)
	require.NoError(t, err)
	ports := make(map[string]bool)
	for _, addr := range append(got, more...) {
		host, port, err := net.SplitHostPort(addr)
		require.NoError(t, err)
		require.Equal(t, "127.0.0.1", host)
		n, err := strconv.Atoi(port)
		require.NoError(t, err)
		require.Less(t, n, 32768, "it is of those that are given to outgoing connections")
		ports[port] = true
	}
	require.Len(t, ports, 3, "one was given away twice")
	_, err = addresses("192.0.2.1:0", 1)
	require.Error(t, err, "it is no address of this machine")
	_, err = addresses("localhost", 2)
	require.ErrorContains(t, err, "-addr")
	_, err = addresses("localhost:http", 2)
	require.ErrorContains(t, err, "-addr")
}

// What the parent passes on, a node must understand, and as it was meant.
func TestPlan(t *testing.T) {
	cfg, err := parseFlags(strings.Fields("-nodes 3 -addr :9000 -history 7 -size 9 -storage file -dir dir -pause 1s -unready 2s -prefix p -replicas 2"), io.Discard)
	require.NoError(t, err)
	nodes, err := plan(cfg, "dir")
	require.NoError(t, err)
	require.Len(t, nodes, 3)
	for i, args := range nodes {
		got, err := parseFlags(args, io.Discard)
		require.NoError(t, err)
		name := fmt.Sprintf("n%d", i+1)
		require.Len(t, got.routes, 3)
		require.Contains(t, got.routes, "nats://"+got.cluster)
		want := cfg
		want.nodes, want.restart, want.untilEOF = 1, 10*time.Second, true
		want.name, want.addr, want.dir = name, fmt.Sprintf(":%d", 9000+i), filepath.Join("dir", name)
		want.peers = []string{"http://localhost:9000", "http://localhost:9001", "http://localhost:9002"}
		want.cluster, want.routes, want.secret = got.cluster, got.routes, filepath.Join("dir", "secret")
		require.Equal(t, want, got)
		require.Equal(t, jetstream.FileStorage, got.storage)
	}
}

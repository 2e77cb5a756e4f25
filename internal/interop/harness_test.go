//go:build unix

package interop

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// programs is the directory of those that are built.
var programs string

// TestMain has the parallel tests run all at once: they do nothing but wait for timers.
// In the end it removes the programs.
func TestMain(m *testing.M) {
	flag.Parse()
	if *writeMatrix && (flag.Lookup("test.run").Value.String() != "" || flag.Lookup("test.skip").Value.String() != "") {
		log.Fatal("-matrix is for a run of all tests, and not together with -run or -skip: docs/interop.md says that all of them passed")
	}
	flag.Set("test.parallel", "100")
	dir, err := os.MkdirTemp("", "websocket-interop-")
	if err != nil {
		log.Fatal(err)
	}
	programs = dir
	code := m.Run()
	os.RemoveAll(dir)
	if code == 0 && *writeMatrix {
		if err := saveMatrix(); err != nil {
			log.Fatal(err)
		}
	}
	os.Exit(code)
}

// need is something a row cannot do without.
type need struct {
	path    string // a program looked up in PATH, or a file
	install string // the command that brings it
}

// demand skips or fails the test if a need is missing.
func demand(t *testing.T, needs []need) {
	for _, n := range needs {
		_, err := exec.LookPath(n.path)
		if err != nil {
			_, err = os.Stat(n.path)
		}
		if err != nil {
			lack(t, fmt.Sprintf("%s is missing; to install it: %s", n.path, n.install))
		}
	}
}

// lack skips the test, or fails it if WEBSOCKET_INTEROP is require or all.
func lack(t *testing.T, msg string) {
	t.Helper()
	if demanded := os.Getenv("WEBSOCKET_INTEROP"); demanded == "require" || demanded == "all" {
		require.FailNow(t, msg)
	}
	t.Skip(msg)
}

// built is a peer's own program that has to be compiled, once for all tests. It returns the program.
type built func() (string, error)

// build has a shell run a command that writes the program to $program.
func build(command string) built {
	return sync.OnceValues(func() (string, error) {
		dir, err := os.MkdirTemp(programs, "")
		if err != nil {
			return "", err
		}
		file := filepath.Join(dir, "program")
		cmd := exec.Command("sh", "-c", command)
		cmd.Env = append(os.Environ(), "program="+file)
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("%s: %w\n%s", command, err, out)
		}
		return file, nil
	})
}

func (b built) path(t *testing.T) string {
	file, err := b()
	require.NoError(t, err)
	return file
}

// child is a program in a process group of its own, killed with the test, or with the process of the tests
// if that does not live to do so.
type child struct {
	pid            int    // of the program and its group
	stdout, stderr string // files with its output
	exited         chan struct{}
	err            error // how it exited, valid once exited is closed
}

// start runs a program. Its output goes to files that are shown if the test fails.
func start(t *testing.T, name string, args ...string) *child {
	dir := t.TempDir()
	p := &child{stdout: filepath.Join(dir, "stdout"), stderr: filepath.Join(dir, "stderr"), exited: make(chan struct{})}
	stdout, err := os.Create(p.stdout)
	require.NoError(t, err)
	defer stdout.Close()
	stderr, err := os.Create(p.stderr)
	require.NoError(t, err)
	defer stderr.Close()
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = stdout, stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	require.NoError(t, cmd.Start())
	p.pid = cmd.Process.Pid
	// The watcher is of the same group, which is there even if the program has ended: nobody has waited for it yet.
	watcher := exec.Command("sh", "-c", "read -r _; kill -KILL 0")
	watcher.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pgid: p.pid}
	held, err := watcher.StdinPipe() // closed with this process, however that ends
	if err == nil {
		err = watcher.Start()
	}
	if err != nil {
		syscall.Kill(-p.pid, syscall.SIGKILL)
		require.NoError(t, err)
	}
	go func() {
		p.err = cmd.Wait()
		close(p.exited)
	}()
	t.Cleanup(func() {
		syscall.Kill(-p.pid, syscall.SIGKILL)
		<-p.exited
		watcher.Wait()
		held.Close()
		if t.Failed() {
			out, _ := os.ReadFile(p.stdout)
			errs, _ := os.ReadFile(p.stderr)
			t.Logf("%s %v said:\n%s%s", name, args, out, errs)
		}
	})
	return p
}

// wait returns what the program printed once it has exited well.
func (p *child) wait(ctx context.Context, t *testing.T) []byte {
	select {
	case <-p.exited:
		require.NoError(t, p.err)
	case <-ctx.Done():
		require.FailNow(t, "the program did not end", "%v", context.Cause(ctx))
	}
	out, err := os.ReadFile(p.stdout)
	require.NoError(t, err)
	return out
}

// TestChildrenEndWithUs kills a process that runs tests, while those have a child.
func TestChildrenEndWithUs(t *testing.T) {
	const fifoOf = "WEBSOCKET_INTEROP_FIFO"
	if fifo := os.Getenv(fifoOf); fifo != "" { // we are that process
		start(t, "sh", "-c", `exec >"$0"; echo up; sleep 1000 & wait`, fifo)
		require.NoError(t, os.WriteFile(fifo, []byte("up\n"), 0o600))
		select {}
	}
	fifo := filepath.Join(t.TempDir(), "fifo")
	require.NoError(t, syscall.Mkfifo(fifo, 0o600))
	heard, err := os.OpenFile(fifo, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	require.NoError(t, err)
	defer heard.Close()
	require.NoError(t, heard.SetReadDeadline(time.Now().Add(limit)))
	other, err := os.OpenFile(fifo, os.O_WRONLY, 0) // or what is heard would end before anyone is up
	require.NoError(t, err)
	defer other.Close()

	us, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(us, "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), fifoOf+"="+fifo)
	require.NoError(t, cmd.Start())
	up := make([]byte, len("up\nup\n"))
	_, err = io.ReadFull(heard, up)
	require.NoError(t, errors.Join(cmd.Process.Kill(), err))
	cmd.Wait()
	require.NoError(t, other.Close())
	_, err = heard.Read(up)
	require.Equal(t, io.EOF, err) // neither the shell nor what it started can write any more
}

// lastPort is the last port that freePort tried, less 20000.
var lastPort atomic.Int64

func init() { lastPort.Store(rand.Int64N(12000)) } // other runs of these tests begin elsewhere

// freePort returns a port of 127.0.0.1 on which nothing listens, another one each
// time. It is none of those that systems choose from for anyone who does not ask for
// a certain port, and so stays free until the program that it is meant for is up.
func freePort(t *testing.T) string {
	for range 12000 {
		port := strconv.FormatInt(20000+lastPort.Add(1)%12000, 10)
		if ln, err := net.Listen("tcp", "127.0.0.1:"+port); err == nil {
			ln.Close()
			return port
		}
	}
	require.FailNow(t, "no port is free")
	return ""
}

// waitListening returns when p accepts connections on port.
func (p *child) waitListening(ctx context.Context, t *testing.T, port string) {
	for retry := time.NewTicker(20 * time.Millisecond); ; {
		nc, err := new(net.Dialer).DialContext(ctx, "tcp", "127.0.0.1:"+port)
		if err == nil {
			nc.Close()
			return
		}
		select {
		case <-retry.C:
		case <-p.exited:
			require.FailNow(t, "the server ended", "%v", p.err)
		case <-ctx.Done():
			require.FailNow(t, "the server does not listen", "%v", err)
		}
	}
}

// emptyDir returns a new directory that may still be written to when it is
// removed: the processes of a killed browser do not all die at once.
func emptyDir(t *testing.T) string {
	dir, err := os.MkdirTemp("", "websocket-interop-")
	require.NoError(t, err)
	t.Cleanup(func() {
		require.Eventually(t, func() bool { return os.RemoveAll(dir) == nil }, 10*time.Second, 20*time.Millisecond)
	})
	return dir
}

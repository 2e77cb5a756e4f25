//go:build unix

package main

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket"
)

// The program as it is installed: exit codes, signals, pipes and the environment.
func TestBinary(t *testing.T) {
	t.Parallel()
	program := filepath.Join(t.TempDir(), "wscat")
	built, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput()
	require.NoError(t, err, "%s", built)
	url := serve(t, echo)

	t.Run("README", func(t *testing.T) {
		t.Parallel()
		testReadme(t, program)
	})
	t.Run("exit codes", func(t *testing.T) {
		t.Parallel()
		for _, test := range []struct {
			args []string
			want int
		}{
			{[]string{"-x", "hello", "-n", "1", url}, exitOK},
			{[]string{"-nonsense"}, exitUsage},
			{[]string{serve(t, closes(4000, "")), "-wait", "forever"}, exitClosed},
			{[]string{serveHTTP(t, http.NotFoundHandler())}, exitRefused},
			{[]string{"-timeout", "10ms", "-wait", "forever", url}, exitTimeout},
		} {
			err := exec.Command(program, test.args...).Run() // without standard input
			if test.want == exitOK {
				require.NoError(t, err)
				continue
			}
			var exit *exec.ExitError
			require.ErrorAs(t, err, &exit)
			require.Equal(t, test.want, exit.ExitCode(), "%v", test.args)
		}
	})
	t.Run("null device", func(t *testing.T) { // which is no terminal
		t.Parallel()
		out, err := exec.Command(program, url).CombinedOutput()
		require.NoError(t, err)
		require.Empty(t, out)
	})
	for _, test := range []struct {
		signal os.Signal
		want   int
	}{{os.Interrupt, 130}, {syscall.SIGTERM, 143}} {
		t.Run(test.signal.String(), func(t *testing.T) {
			t.Parallel()
			handle, ended := hears()
			cmd := exec.Command(program, "-i", serve(t, handle))
			_, err := cmd.StdinPipe() // stays open
			require.NoError(t, err)
			out, err := cmd.StdoutPipe()
			require.NoError(t, err)
			require.NoError(t, cmd.Start())
			lines := bufio.NewReader(out)
			for line := ""; line != "< welcome\n"; {
				line, err = lines.ReadString('\n')
				require.NoError(t, err)
			}
			require.NoError(t, cmd.Process.Signal(test.signal))
			rest, err := io.ReadAll(lines)
			require.NoError(t, err)
			require.Contains(t, string(rest), "> close 1001 (going away)\n< close 1001 (going away)\n* open for ")
			var exit *exec.ExitError
			require.ErrorAs(t, cmd.Wait(), &exit)
			require.Equal(t, test.want, exit.ExitCode())
			require.True(t, websocket.IsCloseError(await(t, ended), websocket.CloseGoingAway))
		})
	}
	t.Run("a second signal", func(t *testing.T) { // while the peer does not answer the first
		t.Parallel()
		closing := make(chan struct{})
		release := make(chan struct{})
		defer close(release)
		cmd := exec.Command(program, "-wait", "forever", "-close-timeout", "1h", serve(t, func(c *websocket.Conn, r *http.Request) error {
			_ = c.WriteMessage(websocket.TextMessage, []byte("welcome"))
			c.SetCloseHandler(func(int, string) error { close(closing); <-release; return nil })
			_, _, err := c.ReadMessage()
			return err
		}))
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		_, err = bufio.NewReader(out).ReadString('\n')
		require.NoError(t, err)
		require.NoError(t, cmd.Process.Signal(os.Interrupt))
		<-closing
		require.NoError(t, cmd.Process.Signal(os.Interrupt))
		var exit *exec.ExitError
		require.ErrorAs(t, cmd.Wait(), &exit)
		require.True(t, exit.Sys().(syscall.WaitStatus).Signaled())
	})
	t.Run("nobody reads", func(t *testing.T) { // wscat | head -1
		t.Parallel()
		handle, ended := hears()
		read, write, err := os.Pipe()
		require.NoError(t, err)
		require.NoError(t, read.Close())
		cmd := exec.Command(program, "-wait", "forever", serve(t, handle))
		var errOut bytes.Buffer
		cmd.Stdout, cmd.Stderr = write, &errOut
		require.NoError(t, cmd.Start())
		require.NoError(t, write.Close())
		var exit *exec.ExitError
		require.ErrorAs(t, cmd.Wait(), &exit)
		require.Equal(t, exitUsage, exit.ExitCode())
		require.Contains(t, errOut.String(), "broken pipe")
		require.True(t, websocket.IsCloseError(await(t, ended), websocket.CloseGoingAway))
	})
	t.Run("proxy of the environment", func(t *testing.T) {
		t.Parallel()
		var used atomic.Int32
		proxy := connectProxy(t, strings.TrimPrefix(url, "ws://"), &used)
		run := func(args ...string) (string, error) {
			cmd := exec.Command(program, args...)
			cmd.Env = append(os.Environ(), "HTTP_PROXY="+proxy, "http_proxy="+proxy, "NO_PROXY=", "no_proxy=")
			out, err := cmd.CombinedOutput()
			return string(out), err
		}
		out, err := run("-x", "hello", "-n", "1", "ws://somewhere.invalid/")
		require.NoError(t, err, out)
		require.Equal(t, "hello\n", out)
		require.EqualValues(t, 1, used.Load())
		out, err = run("-h2c", "ws://somewhere.invalid/")
		require.Error(t, err)
		require.Contains(t, out, "HTTP/2 goes through no proxy, and the environment wants http://ann:xxxxx@")
		_, err = run("-proxy", "none", "ws://some..where/")
		require.Error(t, err)
		require.EqualValues(t, 1, used.Load())
	})
	t.Run("listen", func(t *testing.T) {
		t.Parallel()
		server := exec.Command(program, "listen", "127.0.0.1:0")
		out, err := server.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, server.Start())
		lines := bufio.NewReader(out)
		line, err := lines.ReadString('\n')
		require.NoError(t, err)
		_, rest, _ := strings.Cut(line, " on ")
		url, _, _ := strings.Cut(rest, ";")
		client := exec.Command(program, "-wait", "forever", "-x", "hello", url)
		answers, err := client.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, client.Start())
		answer, err := bufio.NewReader(answers).ReadString('\n')
		require.NoError(t, err)
		require.Equal(t, "hello\n", answer)
		require.NoError(t, server.Process.Signal(os.Interrupt))
		_, err = io.ReadAll(lines)
		require.NoError(t, err)
		require.NoError(t, server.Wait())
		require.NoError(t, client.Wait(), "1001 is a normal end")
	})
}

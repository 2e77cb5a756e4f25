//go:build unix

package main

import (
	"bufio"
	"net"
	"os"
	"os/exec"
	"regexp"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket"
)

// program starts the program as a process of its own.
func program(t *testing.T, args ...string) (p *exec.Cmd, out *bufio.Scanner) {
	p = exec.Command(os.Args[0], args...)
	p.Env = append(os.Environ(), asProgram+"=1")
	p.Stderr = t.Output()
	stdout, err := p.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, p.Start())
	enough := time.AfterFunc(patience, func() { p.Process.Kill() }) // which ends its output, too
	t.Cleanup(func() {
		enough.Stop()
		p.Process.Kill() // of no effect after Wait
	})
	return p, bufio.NewScanner(stdout)
}

func TestSIGTERM(t *testing.T) {
	p, out := program(t, "-addr", "127.0.0.1:0")
	host := regexp.MustCompile(`ws://([^/]+)/`).FindStringSubmatch(await(t, out, "serves"))[1]
	busy := dial(t, host)
	require.NoError(t, busy.WriteJSON(job{ID: "a", Ms: 300}))
	await(t, out, `begin "a"`)
	idle := dial(t, host)
	require.NoError(t, idle.WriteJSON(job{ID: "b"}))
	done(t, idle, "b")

	require.NoError(t, p.Process.Signal(syscall.SIGTERM))
	told(t, idle, websocket.CloseGoingAway)
	_, err := net.Dial("tcp", host)
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
	done(t, busy, "a")
	told(t, busy, websocket.CloseGoingAway)
	await(t, out, "all are gone")
	require.NoError(t, p.Wait(), "it has to exit with 0")
}

func TestSecondSignalEndsAtOnce(t *testing.T) {
	p, out := program(t, "-addr", "127.0.0.1:0", "-unready", "1h")
	await(t, out, "serves")
	require.NoError(t, p.Process.Signal(syscall.SIGTERM))
	await(t, out, "not ready any more")
	// The first signal's handler may still be there for a moment.
	exited := make(chan error, 1)
	go func() { exited <- p.Wait() }()
	for {
		_ = p.Process.Signal(syscall.SIGTERM) // an error is that it has ended
		select {
		case err := <-exited:
			var exit *exec.ExitError
			require.ErrorAs(t, err, &exit)
			require.Equal(t, syscall.SIGTERM, exit.Sys().(syscall.WaitStatus).Signal())
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func dial(t *testing.T, host string) *websocket.Conn {
	c, _, err := websocket.DefaultDialer.DialContext(t.Context(), "ws://"+host+"/ws", nil)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	require.NoError(t, c.SetReadDeadline(time.Now().Add(patience)))
	return c
}

package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket"
)

func TestConversation(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "a file")
	require.NoError(t, os.WriteFile(file, []byte("contents"), 0o600))
	l := start(t, "-i", serve(t, echo))
	l.expect(`^\* connected to ws://127.0.0.1:\d+ in \S+ \(connect \S+, handshake \S+\)$`)
	l.expect(`^\* lines are sent as messages; /help`)
	for _, step := range []struct {
		line string
		want []string // what comes, in order
	}{
		{"hello", []string{"> hello", "< hello"}},
		{"/text ", []string{"> ", "< "}},
		{"/text  two blanks", []string{">  two blanks", "<  two blanks"}},
		{"//slash", []string{"> /slash", "< /slash"}},
		{"/hex 00 41", []string{"> binary, 2 bytes", "  00000000  00 41  ", "< binary, 2 bytes", "  00000000  00 41  "}},
		{"/hex 0", []string{"! hex: odd length hex string"}},
		{"/file " + file, []string{"> binary, 8 bytes", "|contents|", "< binary, 8 bytes", "|contents|"}},
		{"/textfile " + file, []string{"> contents", "< contents"}},
		{"/file", []string{"! which file?"}},
		{"/file " + file + "2", []string{"no such file"}},
		{"/ping", []string{`> ping "1"`, `< pong "1" after `}},
		{"/ping abc", []string{`> ping "abc"`, `< pong "abc" after `}},
		{"/ping " + strings.Repeat("a", 126), []string{"! a ping has 125 bytes at most"}},
		{"/pong abc", []string{`> pong "abc"`}},
		{"/nonsense", []string{"! no command /nonsense: /help lists them, and //nonsense sends the line as it is"}},
		{"\xff", []string{"! text that is not UTF-8"}},
		{"/stats", []string{"* open for ", ""}},
		{"/info", []string{"* connected to ", "* HTTP/1.1 to "}},
		{"/help", []string{"* a line is sent", "/text TEXT  ", "/close [CODE [REASON]]  ", "/quit  "}},
		{"/close 1006", []string{"! close code 1006 may not be sent"}},
		{"/close now", []string{`! "now" is not a close code`}},
		{"/close 4000 " + strings.Repeat("a", 124), []string{"! a close reason has 123 bytes at most"}},
		{"", nil},
		{"/close 4000 bye for now", []string{"> close 4000: bye for now", "< close 4000: bye for now", "* open for "}},
	} {
		l.enter(step.line)
		for _, want := range step.want {
			line := l.expect("(.*)")[0]
			for !strings.Contains(line, want) && strings.HasPrefix(line, "  ") { // further lines of a dump or the help
				line = l.expect("(.*)")[0]
			}
			require.Contains(t, line, want)
			if step.line == "/stats" {
				break
			}
		}
	}
	require.Equal(t, exitOK, l.end())
	require.Empty(t, l.errOut.String())
}

func TestConversationEnds(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(l *live){
		"quit":         func(l *live) { l.enter("/quit") },
		"end of input": func(l *live) { l.in.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			handle, ended := hears()
			l := start(t, "-i", "-close-code", "4321", serve(t, handle))
			l.expect("^< welcome$")
			end(l)
			l.expect("^> close 4321$")
			require.Equal(t, exitOK, l.end())
			require.True(t, websocket.IsCloseError(await(t, ended), 4321))
		})
	}
	t.Run("by the peer", func(t *testing.T) {
		t.Parallel()
		l := start(t, "-i", serve(t, closes(4444, "away")))
		l.expect("^< close 4444: away$")
		require.Equal(t, exitClosed, l.end())
		require.Equal(t, "wscat: the peer ended the connection: close 4444: away\n", l.errOut.String())
	})
}

// The peer's pings are shown, and answered; so are the pongs to those of -ping.
func TestPings(t *testing.T) {
	t.Parallel()
	server, url := listening(t, "-ping", "5ms", "-ping-timeout", "1m")
	l := start(t, "-i", "-q", "-ping", "50ms", "-ping-timeout", "1m", url)
	l.expect(`^> ping "1"$`)
	l.expect(`^< ping$`)
	l.expect(`^< pong "\d+" after `)
	server.expect(`^< \[1\] pong$`)
	server.expect(`^< \[1\] ping "\d+"$`)
	l.enter("/quit")
	require.Equal(t, exitOK, l.end())
}

func TestQuiet(t *testing.T) {
	t.Parallel()
	l := start(t, "-i", "-q", serve(t, echo))
	l.enter("hello")
	require.Equal(t, "> hello", l.expect("(.*)")[0])
	require.Equal(t, "< hello", l.expect("(.*)")[0])
	l.enter("/quit")
	require.Equal(t, exitOK, l.end())
	l.expect(`^> close 1000 \(normal\)$`)
	l.expect(`^< close 1000 \(normal\)$`)
	_, more := <-l.lines
	require.False(t, more)
}

// What is typed while the peer does not read holds nobody up.
func TestPeerThatDoesNotRead(t *testing.T) {
	t.Parallel()
	opened := make(chan struct{})
	release := make(chan struct{})
	file := filepath.Join(t.TempDir(), "large")
	require.NoError(t, os.WriteFile(file, make([]byte, 32<<20), 0o600))
	l := start(t, "-i", "-dump", "0", "-close-timeout", "50ms", serve(t, func(c *websocket.Conn, r *http.Request) error {
		close(opened)
		<-release
		return nil
	}))
	<-opened
	l.enter("/file " + file)
	l.expect("^> binary, 33554432 bytes$")
	l.interrupt(interruption{os.Interrupt})
	require.Equal(t, 128+signalNumber(os.Interrupt), l.end())
	close(release)

}

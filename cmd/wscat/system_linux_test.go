package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// terminal returns the two ends of a pseudoterminal.
func terminal(t *testing.T) (person, tty *os.File) {
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	t.Cleanup(func() { person.Close() })
	var number int
	raw, err := person.SyscallConn()
	require.NoError(t, err)
	require.NoError(t, raw.Control(func(fd uintptr) {
		if err = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); err == nil {
			number, err = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		}
	}))
	require.NoError(t, err)
	tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	t.Cleanup(func() { tty.Close() })
	return person, tty
}

// On a terminal the program talks, and what is typed is not shown a second time.
func TestTerminal(t *testing.T) {
	person, tty := terminal(t)
	require.True(t, isTerminal(tty))
	t.Setenv("TERM", "xterm")
	t.Setenv("NO_COLOR", "")
	var errOut bytes.Buffer
	code := make(chan int, 1)
	url := serve(t, echo)
	go func() { code <- run(t.Context(), []string{url}, tty, tty, &errOut) }()
	lines := bufio.NewReader(person)
	var seen []string
	until := func(want string) {
		for {
			line, err := lines.ReadString('\n')
			require.NoError(t, err)
			seen = append(seen, strings.TrimRight(line, "\r\n"))
			if seen[len(seen)-1] == want {
				return
			}
		}
	}
	until("\x1b[90m* \x1b[0mlines are sent as messages; /help lists the commands, Ctrl-D ends")
	_, err := io.WriteString(person, "hello\n")
	require.NoError(t, err)
	until("\x1b[32m< \x1b[0mhello")
	require.Contains(t, seen, "hello", "as the terminal echoes it")
	require.NotContains(t, strings.Join(seen, "\n"), "> ")
	_, err = io.WriteString(person, "\x04") // Ctrl-D
	require.NoError(t, err)
	until("\x1b[32m< \x1b[0mclose 1000 (normal)")
	require.Equal(t, exitOK, <-code)
	require.Empty(t, errOut.String())
}

func TestNoTerminal(t *testing.T) {
	t.Parallel()
	null, err := os.Open(os.DevNull)
	require.NoError(t, err)
	defer null.Close()
	require.False(t, isTerminal(null), "though it is a character device")
	require.False(t, isTerminal(strings.NewReader("")))
	closed, other, err := os.Pipe()
	require.NoError(t, err)
	defer other.Close()
	require.False(t, isTerminal(closed))
	require.NoError(t, closed.Close())
	require.False(t, isTerminal(closed))
}

package epoll_test

import (
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket/internal/epoll"
	"github.com/duplexkit/websocket/internal/wstest"
)

// within calls f with the file descriptor of a socket.
func within(t *testing.T, nc *net.TCPConn, f func(fd uintptr) error) error {
	t.Helper()
	raw, err := nc.SyscallConn()
	require.NoError(t, err)
	var failed error
	require.NoError(t, raw.Control(func(fd uintptr) { failed = f(fd) }))
	return failed
}

func write(t *testing.T, nc *net.TCPConn) {
	t.Helper()
	_, err := nc.Write([]byte("x"))
	require.NoError(t, err)
}

func TestSet(t *testing.T) {
	t.Parallel()
	set, err := epoll.New()
	require.NoError(t, err)
	tags := make(chan epoll.Tag, 10)
	done := make(chan error, 1)
	go func() {
		done <- set.Wait(func(got []epoll.Tag) {
			for _, tag := range got {
				tags <- tag
			}
		})
	}()
	near, far := wstest.TCP(t)
	first := epoll.Tag{Index: 1<<32 - 1, Generation: 1<<31 + 5}
	require.NoError(t, within(t, near, func(fd uintptr) error { return set.Add(fd, first) }))
	require.ErrorContains(t, within(t, near, func(fd uintptr) error { return set.Add(fd, first) }), "epoll_ctl: file exists")
	write(t, far)
	require.Equal(t, first, <-tags)

	// Once is enough. The other socket's tag would come behind it.
	write(t, far)
	other, otherFar := wstest.TCP(t)
	write(t, otherFar)
	require.NoError(t, within(t, other, func(fd uintptr) error { return set.Add(fd, epoll.Tag{Index: 2}) }))
	require.Equal(t, epoll.Tag{Index: 2}, <-tags)

	// What is there already counts.
	second := epoll.Tag{Index: 7, Generation: 8}
	require.NoError(t, within(t, near, func(fd uintptr) error { return set.Arm(fd, second) }))
	require.Equal(t, second, <-tags)

	// So does the end, of what is read to the end.
	_, err = near.Read(make([]byte, 10))
	require.NoError(t, err)
	require.NoError(t, within(t, near, func(fd uintptr) error { return set.Arm(fd, first) }))
	require.NoError(t, far.CloseWrite())
	require.Equal(t, first, <-tags)

	require.NoError(t, within(t, near, func(fd uintptr) error { return set.Remove(fd, first) }))
	require.ErrorContains(t, within(t, near, func(fd uintptr) error { return set.Arm(fd, first) }), "no such file")

	set.Interrupt()
	require.ErrorIs(t, <-done, os.ErrDeadlineExceeded)
	require.ErrorIs(t, set.Wait(nil), os.ErrDeadlineExceeded)
	require.Empty(t, tags)
	set.Resume()
	_, err = other.Read(make([]byte, 10))
	require.NoError(t, err)
	go func() {
		done <- set.Wait(func(got []epoll.Tag) { tags <- got[0] })
	}()
	require.NoError(t, within(t, other, func(fd uintptr) error { return set.Arm(fd, second) }))
	write(t, otherFar)
	require.Equal(t, second, <-tags)
	set.Interrupt()
	require.ErrorIs(t, <-done, os.ErrDeadlineExceeded)
}

// More than fit into a batch are handed out in several.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	set, err := epoll.New()
	require.NoError(t, err)
	const n = 3*epoll.Batch - 5
	for i := range n {
		near, far := wstest.TCP(t)
		write(t, far)
		require.NoError(t, within(t, near, func(fd uintptr) error { return set.Add(fd, epoll.Tag{Index: uint32(i)}) }))
	}
	seen := make(map[uint32]bool)
	all := make(chan bool)
	go set.Wait(func(tags []epoll.Tag) {
		for _, tag := range tags {
			seen[tag.Index] = true
		}
		if len(seen) == n {
			close(all)
		}
	})
	select {
	case <-all:
	case <-time.After(10 * time.Second):
		t.Error("some are missing")
	}
	set.Interrupt()
}

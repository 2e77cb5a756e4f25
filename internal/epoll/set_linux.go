package epoll

import (
	"os"
	"syscall"
	"time"
)

// A Set is a set of sockets. Its methods may be called concurrently.
type Set struct {
	fd   int
	file *os.File // owns fd
	raw  syscall.RawConn
}

// A Tag is what a socket is known by. It should name nothing that somebody else
// may have come to own meanwhile, as a file descriptor does.
type Tag struct{ Index, Generation uint32 }

// Batch is how many sockets Wait hands out at a time, at most.
const Batch = 64

// New returns an empty set. There is no way to close it.
func New() (*Set, error) {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	if err := syscall.SetNonblock(fd, true); err != nil { // has os take it for one that can be watched
		syscall.Close(fd)
		return nil, os.NewSyscallError("fcntl", err)
	}
	file := os.NewFile(uintptr(fd), "epoll")
	if err := file.SetReadDeadline(time.Time{}); err != nil { // os does not say so otherwise
		file.Close()
		return nil, err
	}
	raw, err := file.SyscallConn()
	if err != nil {
		file.Close()
		return nil, err
	}
	return &Set{fd: fd, file: file, raw: raw}, nil
}

// what we want to know of a socket, and that once: until it is armed again it is
// left alone. Errors and the end of the stream are reported too.
const once = syscall.EPOLLIN | syscall.EPOLLRDHUP | syscall.EPOLLONESHOT

// Add adds the socket fd under this tag, and arms it: when it has something to
// read, or has now, Wait tells so. The caller makes sure that fd is not closed
// meanwhile, by being inside RawConn.Control.
func (s *Set) Add(fd uintptr, tag Tag) error { return s.control(syscall.EPOLL_CTL_ADD, fd, tag) }

// Arm arms a socket again that was added, as Add does.
func (s *Set) Arm(fd uintptr, tag Tag) error { return s.control(syscall.EPOLL_CTL_MOD, fd, tag) }

// Remove removes a socket. To close it does that too, unless somebody has
// duplicated its file descriptor. It is otherwise as Add.
func (s *Set) Remove(fd uintptr, tag Tag) error { return s.control(syscall.EPOLL_CTL_DEL, fd, tag) }

func (s *Set) control(op int, fd uintptr, tag Tag) error {
	event := syscall.EpollEvent{Events: once, Fd: int32(tag.Index), Pad: int32(tag.Generation)}
	return os.NewSyscallError("epoll_ctl", syscall.EpollCtl(s.fd, op, int(fd), &event))
}

// Wait hands the tags of the sockets that are ready to f, at most Batch at a time, until
// Interrupt is called. A tag may come late, when its socket was removed or armed
// again meanwhile. One goroutine may wait at a time.
func (s *Set) Wait(f func(tags []Tag)) error {
	var events [Batch]syscall.EpollEvent
	var tags [Batch]Tag
	var failed error
	err := s.raw.Read(func(uintptr) (done bool) {
		for {
			n, err := syscall.EpollWait(s.fd, events[:], 0)
			if err == syscall.EINTR {
				continue
			}
			if err != nil {
				failed = os.NewSyscallError("epoll_wait", err)
				return true
			}
			for i, e := range events[:n] {
				tags[i] = Tag{uint32(e.Fd), uint32(e.Pad)}
			}
			if n > 0 {
				f(tags[:n])
			}
			if n < len(events) {
				return false // there is no more, until Go's poller has heard of it
			}
		}
	})
	if err == nil {
		err = failed
	}
	return err
}

// Interrupt makes Wait return an error that matches os.ErrDeadlineExceeded, now
// and until Resume is called.
func (s *Set) Interrupt() { _ = s.file.SetReadDeadline(time.Unix(1, 0)) }

// Resume lets Wait wait again.
func (s *Set) Resume() { _ = s.file.SetReadDeadline(time.Time{}) }

// Fd returns the file descriptor of the set, which is not to be changed.
func (s *Set) Fd() int { return s.fd }

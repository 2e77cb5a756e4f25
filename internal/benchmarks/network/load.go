//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// patience is how long anything that the load waits for may take.
const patience = 20 * time.Second

// A load is the end of connections that is not measured. One thread serves them
// all, by epoll, with system calls and nothing else, so that it takes little of
// the processor.
type load struct {
	epoll  int
	links  []*link // by place, as in epoll's events
	events []syscall.EpollEvent
	buf    []byte

	messages int       // that have come on all of them
	last     time.Time // when something came
}

// A link is a connection of a load.
type link struct {
	fd   int
	out  []byte // to be written
	in   receiver
	due  int // messages to have come when the link has got what it waits for
	sent time.Time
}

func newLoad() (*load, error) {
	epoll, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll_create1: %w", err)
	}
	return &load{epoll: epoll, events: make([]syscall.EpollEvent, 256), buf: make([]byte, 256<<10)}, nil
}

// close drops all connections.
func (l *load) close() {
	for _, c := range l.links {
		syscall.Close(c.fd)
	}
	syscall.Close(l.epoll)
}

// socket returns a socket for TCP that waits no longer than patience and that,
// closed, leaves nothing behind.
func socket() (int, error) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("socket: %w", err)
	}
	return fd, setOptions(fd)
}

func setOptions(fd int) error {
	limit := syscall.NsecToTimeval(patience.Nanoseconds())
	return errors.Join(
		syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1),
		syscall.SetsockoptLinger(fd, syscall.SOL_SOCKET, syscall.SO_LINGER, &syscall.Linger{Onoff: 1}),
		syscall.SetsockoptTimeval(fd, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &limit),
		syscall.SetsockoptTimeval(fd, syscall.SOL_SOCKET, syscall.SO_SNDTIMEO, &limit))
}

// connect returns a connection to addr on which request, if any, was sent.
func connect(addr netip.AddrPort, request []byte) (int, error) {
	fd, err := socket()
	if err != nil {
		return -1, err
	}
	if err := retried(func() error {
		return syscall.Connect(fd, &syscall.SockaddrInet4{Port: int(addr.Port()), Addr: addr.Addr().As4()})
	}); err != nil && err != syscall.EISCONN {
		syscall.Close(fd)
		return -1, fmt.Errorf("connect: %w", err)
	}
	if len(request) > 0 {
		if err := retried(func() error { _, err := syscall.Write(fd, request); return err }); err != nil {
			syscall.Close(fd)
			return -1, fmt.Errorf("write: %w", err)
		}
	}
	return fd, nil
}

// retried calls do until no signal gets in its way: the runtime sends some.
func retried(do func() error) error {
	for {
		if err := do(); err != syscall.EINTR {
			return err
		}
	}
}

var errHungUp = errors.New("closed")

// readHead reads to an empty line and nothing beyond, which nobody has sent.
func readHead(fd int) ([]byte, error) {
	buf := make([]byte, 4096)
	for n := 0; n < len(buf); {
		var k int
		if err := retried(func() (err error) { k, err = syscall.Read(fd, buf[n:]); return err }); err != nil {
			return nil, fmt.Errorf("read: %w", err)
		}
		if k == 0 {
			return nil, fmt.Errorf("%w after %q", errHungUp, buf[:n])
		}
		if n += k; bytes.HasSuffix(buf[:n], []byte("\r\n\r\n")) {
			return buf[:n], nil
		}
	}
	return nil, fmt.Errorf("no end to %q", buf)
}

// dial opens n connections more to a server, WebSockets unless it is plain, on
// which in is to come.
func (l *load) dial(addr netip.AddrPort, plain bool, n int, in receiver) error {
	request := handshakeRequest(addr.String(), "http")
	if plain {
		request = nil
	}
	for range n {
		fd, err := connect(addr, request)
		if err != nil {
			return err
		}
		if !plain {
			answer, err := readHead(fd)
			if err == nil {
				err = checkAnswer(answer)
			}
			if err != nil {
				syscall.Close(fd)
				return err
			}
		}
		if err := l.add(fd, in); err != nil {
			return err
		}
	}
	return nil
}

// listen returns a socket that clients may connect to, and where.
func listen() (fd int, addr string, err error) {
	if fd, err = socket(); err != nil {
		return -1, "", err
	}
	if err = syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err == nil {
		err = syscall.Listen(fd, 128)
	}
	if err == nil {
		var name syscall.Sockaddr
		if name, err = syscall.Getsockname(fd); err == nil {
			return fd, fmt.Sprintf("127.0.0.1:%d", name.(*syscall.SockaddrInet4).Port), nil
		}
	}
	syscall.Close(fd)
	return -1, "", err
}

// accept takes n connections in that clients open, with handshakes unless they are
// plain.
func (l *load) accept(listener int, plain bool, n int, in receiver) error {
	for range n {
		var fd int
		if err := retried(func() (err error) {
			fd, _, err = syscall.Accept4(listener, syscall.SOCK_CLOEXEC)
			return err
		}); err != nil {
			return fmt.Errorf("accept: %w", err)
		}
		err := setOptions(fd)
		if err == nil && !plain {
			err = answerHandshake(fd)
		}
		if err != nil {
			syscall.Close(fd)
			return err
		}
		if err := l.add(fd, in); err != nil {
			return err
		}
	}
	return nil
}

func answerHandshake(fd int) error {
	head, err := readHead(fd)
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(head)) {
		if name, value, _ := strings.Cut(line, ":"); strings.EqualFold(name, "Sec-WebSocket-Key") {
			return retried(func() error {
				_, err := syscall.Write(fd, handshakeAnswer(strings.TrimSpace(value)))
				return err
			})
		}
	}
	return fmt.Errorf("no key in %q", head)
}

// add takes a connection in.
func (l *load) add(fd int, in receiver) error {
	const edge = 1 << 31 // syscall.EPOLLET, which is negative
	l.links = append(l.links, &link{fd: fd, in: in})
	if err := syscall.SetNonblock(fd, true); err != nil {
		return err
	}
	event := syscall.EpollEvent{Events: syscall.EPOLLIN | syscall.EPOLLOUT | edge, Fd: int32(len(l.links) - 1)}
	return syscall.EpollCtl(l.epoll, syscall.EPOLL_CTL_ADD, fd, &event)
}

var errLate = errors.New("nothing more came")

// run handles what happens on the connections until it is done. came is called
// after messages have come on one, room after all of its out was written.
func (l *load) run(done func() bool, came, room func(*link) error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	l.last = time.Now()
	for !done() {
		n, err := syscall.EpollWait(l.epoll, l.events, 10)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return fmt.Errorf("epoll_wait: %w", err)
		}
		if n > 0 {
			l.last = time.Now()
		} else if time.Since(l.last) > patience {
			return errLate
		}
		for _, event := range l.events[:n] {
			c := l.links[event.Fd]
			if event.Events&syscall.EPOLLOUT != 0 && len(c.out) > 0 {
				if err := c.flush(); err != nil {
					return err
				}
				if len(c.out) == 0 && room != nil {
					if err := room(c); err != nil {
						return err
					}
				}
			}
			if event.Events&^syscall.EPOLLOUT != 0 {
				if err := l.read(c, came); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// read reads what there is. Events are told once: it has to be all.
func (l *load) read(c *link, came func(*link) error) error {
	for {
		n, err := syscall.Read(c.fd, l.buf)
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
			return nil
		case err != nil:
			return fmt.Errorf("read: %w", err)
		case n == 0:
			return errors.New("read: the connection has ended")
		}
		before := c.in.messages
		if err := c.in.take(l.buf[:n]); err != nil {
			return err
		}
		if c.in.messages > before {
			l.messages += c.in.messages - before
			if came != nil {
				if err := came(c); err != nil {
					return err
				}
			}
		}
		if n < len(l.buf) {
			return nil
		}
	}
}

// write writes p, now or when there is room. p is not to change until then.
func (c *link) write(p []byte) error {
	if len(c.out) > 0 {
		return errors.New("a write while another goes on")
	}
	c.out = p
	return c.flush()
}

func (c *link) flush() error {
	for len(c.out) > 0 {
		n, err := syscall.Write(c.fd, c.out)
		switch {
		case err == syscall.EINTR:
		case err == syscall.EAGAIN:
			return nil
		case err != nil:
			return fmt.Errorf("write: %w", err)
		default:
			c.out = c.out[n:]
		}
	}
	return nil
}

// exchange sends batch, of per messages, on every connection, and again as soon as
// all of its messages have come back, for the duration d.
func (l *load) exchange(batch []byte, per int, d time.Duration) (result, error) {
	begin := time.Now()
	var r result
	open := 0
	send := func(c *link) error {
		c.due += per
		c.sent = time.Now()
		return c.write(batch)
	}
	for _, c := range l.links {
		if err := send(c); err != nil {
			return r, err
		}
		open++
	}
	err := l.run(func() bool { return open == 0 }, func(c *link) error {
		if c.in.messages < c.due {
			return nil
		}
		if c.in.messages > c.due {
			return fmt.Errorf("%d messages instead of %d", c.in.messages, c.due)
		}
		now := time.Now()
		r.latency.add(now.Sub(c.sent))
		r.messages += per
		if now.Sub(begin) < d {
			return send(c)
		}
		open--
		return nil
	}, nil)
	r.elapsed = time.Since(begin)
	return r, err
}

// collect reads until as many messages have come on each connection as have been
// sent, which sent tells once it is over; negative is not yet.
func (l *load) collect(sent func() (int, error)) error {
	var failed error
	err := l.run(func() bool {
		n, err := sent()
		failed = err
		return err != nil || n >= 0 && l.messages >= n*len(l.links)
	}, nil, nil)
	if err = errors.Join(failed, err); err != nil {
		return err
	}
	n, _ := sent()
	for _, c := range l.links {
		if c.in.messages != n || c.in.at != 0 || c.in.headLen != 0 {
			return fmt.Errorf("%d messages instead of %d", c.in.messages, n)
		}
	}
	return nil
}

// feed sends frame on the first connection again and again, for the duration d,
// and returns how often it was.
func (l *load) feed(frame []byte, d time.Duration) (n int, err error) {
	begin, c := time.Now(), l.links[0]
	more := func(c *link) error {
		for len(c.out) == 0 && (n == 0 || time.Since(begin) < d) {
			n++
			if err := c.write(frame); err != nil {
				return err
			}
		}
		return nil
	}
	if err := more(c); err != nil {
		return n, err
	}
	return n, l.run(func() bool { return len(c.out) == 0 }, func(*link) error { return errors.New("an answer") }, more)
}

// upgrade opens connections to a server and drops them once it has answered, so
// many at a time, for the duration d. One that is known to lose connections may close one in a
// hundred without an answer; those are not counted.
func upgrade(addr netip.AddrPort, atOnce int, d time.Duration, loses bool) (r result, err error) {
	request := handshakeRequest(addr.String(), "http")
	l, err := newLoad()
	if err != nil {
		return r, err
	}
	defer l.close()
	open := func(place int) error {
		c := l.links[place]
		c.sent = time.Now()
		if c.fd, err = connect(addr, request); err != nil {
			return err
		}
		return syscall.EpollCtl(l.epoll, syscall.EPOLL_CTL_ADD, c.fd, &syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(place)})
	}
	begin := time.Now()
	for place := range atOnce {
		l.links = append(l.links, &link{fd: -1})
		if err := open(place); err != nil {
			return r, err
		}
	}
	lost := 0
	for busy := atOnce; busy > 0; {
		n, err := syscall.EpollWait(l.epoll, l.events, int(patience.Milliseconds()))
		switch {
		case err == syscall.EINTR:
			continue
		case err != nil:
			return r, fmt.Errorf("epoll_wait: %w", err)
		case n == 0:
			return r, errLate
		}
		for _, event := range l.events[:n] {
			c := l.links[event.Fd]
			answer, err := readHead(c.fd)
			if err == nil {
				err = checkAnswer(answer)
			}
			syscall.Close(c.fd)
			c.fd = -1
			now := time.Now()
			switch {
			case err == nil:
				r.messages++
				r.latency.add(now.Sub(c.sent))
			case loses && errors.Is(err, errHungUp) && lost <= r.messages/100:
				lost++
			default:
				return r, err
			}
			if now.Sub(begin) >= d {
				busy--
			} else if err := open(int(event.Fd)); err != nil {
				return r, err
			}
		}
	}
	r.elapsed = time.Since(begin)
	return r, nil
}

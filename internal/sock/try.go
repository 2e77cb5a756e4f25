package sock

import (
	"sync"
	"syscall"
)

// TryRead reads into p, which is not empty, what has come already. 0 bytes without
// an error is the end of the stream. ErrAgain means that nothing has come, or that
// the net package has to be asked: the socket is closed or its deadline has passed.
func TryRead(rc syscall.RawConn, p []byte) (n int, err error) {
	a := begin(Read, p)
	_ = rc.Read(a.do) // if this does not call a.do, it is ErrAgain
	return a.end()
}

// TryWrite writes what there is room for of p, which is not empty. ErrAgain means
// that there is none, or that the net package has to be asked, as in TryRead.
func TryWrite(rc syscall.RawConn, p []byte) (n int, err error) {
	a := begin(Write, p)
	_ = rc.Write(a.do)
	return a.end()
}

// An attempt is one call of Read or Write.
type attempt struct {
	call func(fd uintptr, p []byte) (n int, err error)
	p    []byte
	n    int
	err  error
	do   func(fd uintptr) (done bool) // bound once: each closure is an allocation
}

var attempts = sync.Pool{New: func() any {
	a := new(attempt)
	a.do = func(fd uintptr) bool {
		a.n, a.err = a.call(fd, a.p)
		return true
	}
	return a
}}

func begin(call func(fd uintptr, p []byte) (int, error), p []byte) *attempt {
	a := attempts.Get().(*attempt)
	a.call, a.p, a.n, a.err = call, p, 0, ErrAgain
	return a
}

func (a *attempt) end() (n int, err error) {
	n, err, a.p = a.n, a.err, nil
	attempts.Put(a)
	return n, err
}
